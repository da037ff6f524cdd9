"""The doctor finds everything in a folder of runs that is not in order, and mends only what is harmless to mend."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from auditor.report.doctor import examine, exit_code
from auditor.report.index_page import INDEX_PAGE, refresh_index
from auditor.report.write import write_report
from auditor.run.accepted import accept_run
from auditor.run.index import INDEX, read_runs
from auditor.run.result import WorkUnit
from auditor.run.store import load_result
from tests.small_world import Command
from tests.synthetic import make_result, without_studies
from tests.test_leftovers import ALIVE, dead, left_by
from tests.test_runs import save

assert dead  # a fixture


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """Two runs in order, one of them with a report."""
    folder = tmp_path / "reports"
    write_report(save(folder), ("html",))
    save(folder)
    refresh_index(folder)
    return folder


def first(reports: Path) -> Path:
    return next(folder for folder in reports.iterdir() if (folder / "report.html").exists())


def snapshot(folder: Path) -> dict[Path, tuple[int, float]]:
    return {path: (path.lstat().st_size, path.lstat().st_mtime) for path in folder.rglob("*")}


def change_a_byte(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def test_a_folder_in_order_is_so_and_is_only_read(reports: Path, command: Command):
    before = snapshot(reports)
    ending = command("doctor", reports)
    assert (ending.code, ending.out, ending.err) == (0, f"{reports}: all is in order\n", "")
    assert snapshot(reports) == before


def interrupt(reports: Path) -> None:
    result = dataclasses.replace(without_studies(make_result()), units=[WorkUnit("maps", "missing")])
    save(reports, result)
    refresh_index(reports)


def accept_and_change(reports: Path) -> None:
    accept_run(first(reports), "as released", "me")
    shutil.rmtree(first(reports))


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        (lambda reports: change_a_byte(first(reports) / "arrays.npz"), 1, "arrays.npz: differs: SHA-256 is"),
        (lambda reports: change_a_byte(first(reports) / "result.json"), 1, "result.json: differs: SHA-256 is"),
        (lambda reports: (first(reports) / "rows.parquet").unlink(), 1, "rows.parquet: missing; put back a copy"),
        (lambda reports: (first(reports) / "result.json").write_text("{"), 1, "result.json:1:2: not JSON"),
        (lambda reports: (first(reports) / "hashes.json").write_text("{"), 1, "hashes.json: damaged"),
        (lambda reports: (first(reports) / "hashes.json").unlink(), 4, "hashes.json: missing; nothing says whether"),
        (lambda reports: change_a_byte(first(reports) / "report.html"), 4, "report.html: differs"),
        (lambda reports: (first(reports) / "report.html").unlink(), 4, "report.html: missing; `auditor render"),
        (lambda reports: (first(reports) / "thesis.tex").touch(), 4, "holds 'thesis.tex', which is no file of a run"),
        (lambda reports: (first(reports) / "rows.csv").symlink_to("/etc/hosts"), 4, "holds 'rows.csv'"),
        (interrupt, 4, ": the audit ended before these were done: maps; `auditor audit CONFIG --resume` goes on"),
        (lambda reports: (reports / INDEX).write_text((reports / INDEX).read_text() + "{"), 4, "line 3 is torn"),
        (lambda reports: (reports / INDEX).unlink(), 4, "index.jsonl: missing; the next audit mends it"),
        (lambda reports: save(reports), 4, "no line for the run"),
        (lambda reports: shutil.rmtree(first(reports)), 0, "1 lines of runs that are gone"),
        (lambda reports: (reports / "notes.txt").touch(), 0, "notes.txt: not written by Auditor; it is left alone"),
        (lambda reports: (reports / ".mine.partial").mkdir(), 0, ".mine.partial: not written by Auditor"),
        (lambda reports: left_by(reports / "x", ALIVE).mkdir(), 0, f"process {ALIVE} is writing it"),
        (lambda reports: (reports / "linked").symlink_to(first(reports)), 1, "a symbolic link; wanted the run itself"),
        (accept_and_change, 1, "changed or gone since it was accepted"),
        (lambda reports: (reports / "accepted.jsonl").write_text("{}"), 1, "accepted.jsonl: "),
    ],
)  # fmt: skip
def test_each_trouble_is_a_line_with_what_to_do(
    spoil: Callable[[Path], object], code: int, said: str, reports: Path, command: Command
):
    spoil(reports)
    before = snapshot(reports)
    ending = command("doctor", reports)
    assert ending.code == code
    assert ending.out.count(said) == 1
    assert all("; " in line for line in ending.out.splitlines())
    assert "all is in order" not in ending.out
    assert ending.err == ""
    assert snapshot(reports) == before


def test_an_index_that_is_a_link_is_found(reports: Path):
    (reports / INDEX).rename(reports.parent / "mine")
    (reports / INDEX).symlink_to(reports.parent / "mine")
    assert [trouble.weight for trouble in examine(reports) if "a symbolic link" in trouble.what] == ["loose end"]


def test_leftovers_are_found_wherever_they_lie(reports: Path, dead: int):
    run = first(reports)
    for path in (reports / "x", run / "report.pdf", reports / INDEX_PAGE):
        left_by(path, dead).touch()
    left_by(run, dead, "growth").mkdir()
    foreign = left_by(run, dead, "removed")
    foreign.mkdir()
    (foreign / "thesis.tex").touch()
    troubles = [trouble for trouble in examine(reports) if "a process that is gone" in trouble.what]
    assert len(troubles) == 5
    assert [trouble.where for trouble in troubles if "thesis.tex" in trouble.what] == [foreign]
    assert exit_code(troubles) == 4


def test_repair_sweeps_makes_the_index_anew_and_touches_nothing_else(reports: Path, dead: int, command: Command):
    run = first(reports)
    (reports / "notes.txt").touch()
    left_by(run / "report.pdf", dead).touch()
    left_by(reports / "x", dead).mkdir()
    change_a_byte(run / "arrays.npz")
    with (reports / INDEX).open("a") as index:
        index.write('{"id": "to')
    evidence = snapshot(run)
    ending = command("doctor", reports, "--repair")
    assert ending.code == 1
    assert ending.out.count("swept: ") == 2
    assert len(ending.out.splitlines()) == 4  # and the two that it leaves to people
    assert "arrays.npz: differs" in ending.out
    assert "notes.txt: not written by Auditor" in ending.out
    assert {path: state for path, state in evidence.items() if path.name[0] != "."} == snapshot(run)
    assert read_runs(reports).unlisted == []
    assert len((reports / INDEX).read_text().splitlines()) == 2
    assert load_result(run)


def test_a_folder_that_is_not_there_ends_with_2(command: Command, tmp_path: Path):
    ending = command("doctor", tmp_path / "gone")
    assert (ending.code, ending.out) == (2, "")
    assert ending.err == f"error: {tmp_path / 'gone'}: no such folder; wanted a folder of runs\n"
