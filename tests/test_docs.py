"""What README, CONTRIBUTING and the documentation show is run: every fenced block, by its language."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import jinja2
import numpy as np
import pytest

from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.cli.commands import cli
from auditor.config.checks import ChecksDocument
from auditor.config.file import check_config
from auditor.config.options import to_json
from auditor.config.sections import Document
from auditor.explain.table import METHODS
from auditor.measure.words import say_in, signed

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    ROOT / "tests" / "golden" / "README.md",
]


class Block(NamedTuple):
    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def find_blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text("utf-8")
        for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, found.start()) + 1
            yield Block(page.relative_to(ROOT).as_posix(), line, found[1], found[2])


BLOCKS = list(find_blocks())


def blocks(language: str) -> Any:
    chosen = [block for block in BLOCKS if block.language == language]
    assert chosen
    return pytest.mark.parametrize("block", chosen, ids=str)


def test_every_block_has_a_language_that_is_tried_here():
    assert {block.language for block in BLOCKS} <= {"sh", "toml", "python", "jinja", "csv", "text"}


STUB = """
import numpy as np

class Model:
    def scores(self, images): ...

def function(frame=None, *, anything: int = 1):
    '''A function of the user's.'''
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place where `package.module:function` and the example extensions exist."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "examples" / "extensions")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "package" / "module.py").write_text(STUB)
    return tmp_path


@blocks("toml")
def test_a_configuration_is_one_that_is_read(block: Block, folder: Path):
    least: dict[str, Any] = {"model": {"source": "m.keras"}, "data": {"source": "d.npz"}}
    shown = tomllib.loads(block.text)
    if {"checks", "models", "schedule", "notify"} & set(shown):  # a file of checks
        assert ChecksDocument.model_validate_json(to_json(shown), strict=True)
    elif set(shown) & set(Document.model_fields):
        config = check_config({**least, **shown}, folder / "audit.toml", {}, {}, kinds=ARTEFACT_KINDS, methods=METHODS)
        assert config.file == folder / "audit.toml"
    else:  # some keys of one section
        sections = [name for name in ("data", "model", "verdict", "report") if _fits(name, shown, least, folder)]
        assert sections, block.text


def _fits(section: str, keys: dict[str, Any], least: dict[str, Any], folder: Path) -> bool:
    from auditor.errors import ConfigError

    data = {**least, section: {**least.get(section, {}), **keys}}
    try:
        check_config(data, folder / "audit.toml", {}, {}, kinds=ARTEFACT_KINDS, methods=METHODS)
    except ConfigError:
        return False
    return True


COMMANDS = {
    line: block
    for block in BLOCKS
    if block.language == "sh"
    for line in re.sub(r"\\\n\s*", "", block.text).splitlines()
    if line.strip() and not line.startswith("#")
}


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_one_that_is_there(line: str):
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        del words[0]
    first = Path(words[0]).name
    if first == "auditor":
        parse(cli, words[1:])
    elif first == "make":
        makefile = (ROOT / "Makefile").read_text()
        assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in words[1:]), line
    elif first.startswith("python") and words[1] == "-m":
        assert words[2] in ("pytest", "venv", "pip", "tests.golden_runs"), line
    elif first.startswith("python"):
        assert (ROOT / words[1]).is_file(), line
    elif first == "git":
        assert words[1] in ("log", "diff"), line
    elif first == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        extras = re.findall(r"\[([\w,]+)\]", line)
        assert {name for found in extras for name in found.split(",")} <= set(project["optional-dependencies"]), line
    else:
        assert first in ("cp", "cd", "apt-get", "brew", "sudo"), line


def parse(command: click.Command, words: list[str]) -> None:
    """What the command line would make of these words; a fault is a `click.UsageError`."""
    context = command.make_context(command.name, list(words), resilient_parsing=False)
    if isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        _, inner, words = command.resolve_command(context, rest)
        assert inner is not None
        parse(inner, words)


@pytest.mark.filterwarnings("ignore::auditor.AuditWarning")  # of a model that is meant to take a shortcut
@blocks("python")
def test_python_runs(block: Block, world, monkeypatch: pytest.MonkeyPatch):
    from tests.small_world import CLASSES, make_data, make_model

    monkeypatch.chdir(world.folder)
    (world.folder / "tag.png").write_bytes((world.folder / "mark.png").read_bytes())
    data = make_data()
    names: dict[str, Any] = {
        "model": make_model(), "images": data["images"], "labels": data["labels"], "names": [*CLASSES[:2], "pneumonia"],
        "patients": data["groups"], "np": np,
    }  # fmt: skip
    exec(compile(block.text, str(block), "exec"), names)


@blocks("jinja")
def test_a_template_is_one(block: Block):
    jinja2.Environment().parse(block.text)


@blocks("csv")
def test_a_manifest_is_read(block: Block, tmp_path: Path):
    from auditor.subject.data.manifests import read_manifest

    (tmp_path / "images.csv").write_text(block.text)
    assert read_manifest(tmp_path / "images.csv", "").ids


def test_what_the_readme_says_of_a_mistake_is_what_is_said(world, command):
    (shown,) = [block.text for block in BLOCKS if block.page == "README.md" and block.text.startswith("error: ")]
    config = next(block.text for block in BLOCKS if block.page == "README.md" and block.language == "toml")
    wrong = config.replace("limit = 500", "limt = 500")
    line = next(number for number, text in enumerate(wrong.splitlines(), 1) if text.startswith("limt"))
    world.config.write_text(wrong)
    said = command("validate", world.config).err
    expected = re.sub(r"audit\.toml:\d+:", f"{world.config}:{line}:", shown.strip())
    assert expected in said


def test_the_schema_that_the_docs_name_is_printed(command):
    assert json.loads(command("schema", "result").out)["$schema"]


def test_the_ten_answers_are_those_of_the_example():
    kept = json.loads((ROOT / "tests" / "golden" / "root_example.json").read_text(encoding="utf-8"))
    text = (ROOT / "docs" / "reading-a-report.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+)\. (.*?)\? \| (.+) \|$", text.partition("### Ten questions")[2], re.MULTILINE)
    assert [number for number, _, _ in rows] == [str(number) for number in range(1, 11)]
    answers = [answer for *_, answer in rows]
    verdict = kept["facts"]["watermark → Coat"]
    assert (verdict["verdict"], verdict["severity"]) == ("relies", "high")
    assert answers[0].startswith("Yes")
    assert answers[5].startswith("High")
    figures = {name: part["value"] for name, part in kept["figures"].items()}
    assert f"{signed(figures['watermark → Coat: theta'])} log-odds" in answers[3]
    assert say_in(figures["watermark → Coat: flip_rate"], 360) in answers[2]
    ways = [figures[f"watermark → Coat: removal_drop.{way}"] for way in ("exact", "mean", "blur", "inpaint")]
    assert sum(drop > 0 for drop in ways) == sum(drop < 0 for drop in ways) == 2
    assert "two lower the score of Coat, two raise it" in answers[7]
