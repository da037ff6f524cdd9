"""No file can do anything: each of a corpus of hostile ones is given to the command line."""

from __future__ import annotations

import re
import shutil
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.hostile import Case, corpus, honest, is_sprung, say, set_trap
from tests.hostile_watch import ROOT, Watched, beyond, longer, watch
from tests.small_world import Command

CORPUS = corpus()
TABLE = (ROOT / "docs" / "hostile-files.md").read_text("utf-8")

MOST_MEMORY, MOST_SECONDS = 2**30, 11
"""What a hostile file may take beyond an honest one: bytes of the largest process, and the ten seconds it is given."""

LONG = {
    ".keras: calls a model twice that calls one twice, thirty times",
    "SavedModel: loops without end",
    "csv: has millions of columns",
    "csv: has millions of rows",
    "gif: is half a billion pixels of one colour",
    "run: holds arrays that unpack to gigabytes, to be compared",
    "templates: counts without end",
    "webp: is as large as one may be, of one colour",
}
WATCHED = {".keras: declares a layer of a billion weights", "templates: multiplies a text to a gigabyte"}
"""Left out, and watched, every day; all of them are in `make test-slow`."""


def all_but(slow: set[str]) -> list[Any]:
    return [pytest.param(case, marks=[pytest.mark.slow] if case.name in slow else []) for case in CORPUS]


@pytest.mark.parametrize("case", all_but(LONG), ids=lambda case: case.name)
def test_a_hostile_file_does_nothing_and_is_told_of_as_the_table_says(case: Case, tmp_path: Path, command: Command):
    trap = set_trap(tmp_path, case)
    ending = command(*case.words(trap))
    assert not is_sprung(trap)
    assert "Traceback" not in ending.err
    assert _without_numbers(row(case, say(trap, ending.code, ending.out, ending.err))) in _without_numbers(TABLE)


def row(case: Case, happened: str) -> str:
    """A line of the table."""
    cells = (case.container, case.tries, case.effect, f"`auditor {case.command.split()[0]}`", happened)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _without_numbers(text: str) -> str:
    return re.sub(r"\d[\d,.]*", "#", text)


def test_the_table_has_every_file_and_no_other():
    lines = [line for line in TABLE.splitlines() if line.startswith("| ")][2:]
    assert [tuple(line.strip("| ").split(" | ")[:2]) for line in lines] == [
        (case.container, case.tries) for case in CORPUS
    ]


@pytest.mark.skipif(not sys.platform.startswith("linux") or shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("case", all_but({case.name for case in CORPUS} - WATCHED), ids=lambda case: case.name)
def test_a_hostile_file_reaches_for_nothing_when_it_is_watched_from_outside(case: Case, tmp_path: Path):
    trap = set_trap(tmp_path, case)
    watched, usual = watch(case.words(trap), tmp_path), _watch_honest(case.command)
    assert not is_sprung(trap)
    assert beyond(watched, usual) == []
    assert case.is_read or str(trap.secret) not in watched.opened
    assert watched.memory - usual.memory < MOST_MEMORY
    assert longer(watched, usual) < MOST_SECONDS


@cache
def _watch_honest(command: str) -> Watched:
    case = honest(Case("", "write", "", lambda trap: None, command))
    with TemporaryDirectory() as folder:
        return watch(case.words(set_trap(Path(folder), case)), Path(folder))
