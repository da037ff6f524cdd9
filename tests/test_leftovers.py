"""What a killed process leaves is swept by the next command; what others wrote, or still write, is not."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from pathlib import Path

import pytest

import auditor
from auditor.report.index_page import INDEX_PAGE, refresh_index
from auditor.report.write import write_report
from auditor.run.files import HASHES, RESULT, ROWS
from auditor.run.index import INDEX, read_runs
from auditor.run.prune import remove_runs
from auditor.run.store import load_result
from auditor.run.unfinished import in_hand, read_unfinished
from tests.small_world import Command, World
from tests.test_history import add_run, lines
from tests.test_runs import save


def left_by(path: Path, process: int, kind: str = "partial") -> Path:
    """The name under which a process would write what is to stand at a path."""
    with in_hand(path, kind) as place:  # type: ignore[arg-type]
        return place.with_name(place.name.replace(f".{os.getpid()}-", f".{process}-"))


@pytest.fixture(scope="module")
def dead() -> int:
    """The number of a process that has ended."""
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return child


ALIVE = os.getppid()


def hidden(reports: Path) -> set[str]:
    return {item.name for item in reports.rglob(".*")}


class TestSweep:
    def test_takes_half_a_run_half_a_removal_and_half_a_report(self, dead: int, tmp_path: Path):
        whole, doomed = save(tmp_path), save(tmp_path)
        shutil.copytree(whole, left_by(tmp_path / "new", dead))
        doomed.rename(left_by(doomed, dead, "removed"))
        left_by(tmp_path / "empty", dead).mkdir()
        left_by(whole / "report.html", dead).write_text("half")
        left_by(tmp_path / INDEX_PAGE, dead).write_text("half")
        (whole / "report_pictures").mkdir()
        left_by(whole / "report_pictures" / f"{0:020x}.png", dead).write_text("half")
        refresh_index(tmp_path)
        assert hidden(tmp_path) == set()
        assert {item.name for item in tmp_path.iterdir()} == {whole.name, INDEX, INDEX_PAGE}

    def test_ends_a_growth_that_was_whole_and_forgets_one_that_was_not(self, dead: int, tmp_path: Path):
        old, half = save(tmp_path), save(tmp_path)
        before = load_result(half)
        grown = dataclasses.replace(before, title="Grown")
        new = save(tmp_path / "other", grown)
        new.rename(left_by(old, dead, "growth"))
        part = left_by(half, dead, "growth")
        part.mkdir()
        shutil.copy(left_by(old, dead, "growth") / RESULT, part)
        refresh_index(tmp_path)
        assert load_result(old) == grown
        assert load_result(half) == before
        assert hidden(tmp_path) == set()

    def test_ends_a_growth_of_which_some_files_are_in_place(self, dead: int, tmp_path: Path):
        run, other = save(tmp_path), save(tmp_path / "other")
        growth = left_by(run, dead, "growth")
        other.rename(growth)
        (growth / ROWS).replace(run / ROWS)
        refresh_index(tmp_path)
        assert hidden(tmp_path) == set()
        assert (run / HASHES).exists()

    def test_leaves_what_a_living_process_writes(self, tmp_path: Path):
        run = save(tmp_path)
        kept = [left_by(tmp_path / "new", ALIVE), left_by(run, ALIVE, "growth")]
        for folder in kept:
            folder.mkdir()
        kept += [left_by(run / "report.html", ALIVE), left_by(tmp_path / INDEX_PAGE, ALIVE)]
        for file in kept[2:]:
            file.write_text("half")
        with in_hand(run / "report.pdf") as own:
            own.write_text("half")
            refresh_index(tmp_path)
            assert hidden(tmp_path) == {path.name for path in (*kept, own)}
        refresh_index(tmp_path)  # a process that had the number of this one has left it
        assert hidden(tmp_path) == {path.name for path in kept}

    def test_leaves_another_machine_a_day(self, tmp_path: Path, dead: int):
        here = left_by(tmp_path / INDEX_PAGE, dead)
        file = here.with_name(here.name.rpartition("-")[0] + "-00000000.partial")
        file.write_text("half")
        refresh_index(tmp_path)
        assert file.exists()
        os.utime(file, (time.time() - 2 * 24 * 3600,) * 2)
        refresh_index(tmp_path)
        assert not file.exists()

    @pytest.mark.parametrize("kind", ["partial", "growth", "removed"])
    def test_leaves_what_holds_something_of_a_strangers(self, kind: str, dead: int, tmp_path: Path):
        folder = left_by(save(tmp_path), dead, kind)
        folder.mkdir()
        (folder / "thesis.tex").write_text("mine")
        (folder / RESULT).write_text("{}")
        older = tmp_path / ".20260101T000000-00000000.removed"
        older.mkdir()
        (older / "thesis.tex").write_text("mine")
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "thesis.tex").write_text("mine")
        left_by(tmp_path / "link", dead, kind).symlink_to(elsewhere)
        refresh_index(tmp_path)
        assert (folder / "thesis.tex").read_text() == "mine"
        assert (folder / RESULT).exists()
        assert (older / "thesis.tex").read_text() == "mine"
        assert (elsewhere / "thesis.tex").read_text() == "mine"

    def test_a_name_tells_what_it_is_of_whatever_that_is(self, tmp_path: Path):
        for name in ("report.html", "a.1-00000000.partial", "ä\nb", ".hidden"):
            with in_hand(tmp_path / name) as place:
                found = read_unfinished(place)
                assert found is not None
                assert (found.name, found.kind, found.writer) == (name, "partial", "this process")
        for name in (".mine.partial", "x.1-00000000.partial", ".x.1.partial", ".x.0-00000000.partial", "."):
            assert read_unfinished(tmp_path / name) is None


class TestPrune:
    def test_goes_on_past_what_was_left(self, command: Command, dead: int, tmp_path: Path):
        run = save(tmp_path)
        left_by(run / "report.html", dead).write_text("half")
        (run / "report_pictures").mkdir()
        left_by(run / "report_pictures" / f"{0:020x}.png", dead).write_text("half")
        assert command("prune", tmp_path, "--keep", "0", "--yes").code == 0
        assert {item.name for item in tmp_path.iterdir()} == {INDEX, INDEX_PAGE}

    def test_spares_a_run_that_is_being_written(self, command: Command, tmp_path: Path):
        run, other = save(tmp_path), save(tmp_path)
        left_by(run / "report.html", ALIVE).write_text("half")
        ending = command("prune", tmp_path, "--keep", "0", "--yes")
        assert f"kept: {run}: process {ALIVE} is writing it" in ending.err
        assert run.exists()
        assert not other.exists()

    def test_spares_what_came_into_a_run_since_it_was_planned(self, tmp_path: Path):
        run, written = save(tmp_path), save(tmp_path)
        entries = read_runs(tmp_path).entries
        (run / "thesis.tex").write_text("mine")
        left_by(written, ALIVE, "growth").mkdir()
        remove_runs(tmp_path, entries)
        assert (run / "thesis.tex").exists()
        assert written.exists()


class TestIndex:
    def test_a_link_in_its_place_is_not_followed_and_gives_way(self, command: Command, tmp_path: Path):
        reports, mine = tmp_path / "reports", tmp_path / "mine.txt"
        add_run(reports, "run-1")
        mine.write_text("mine")
        (reports / INDEX).symlink_to(mine)
        assert "run-1" in command("list", reports).out
        assert (reports / INDEX).is_symlink()
        refresh_index(reports)
        assert mine.read_text() == "mine"
        assert not (reports / INDEX).is_symlink()
        assert [line["id"] for line in lines(reports)] == ["run-1"]

    def test_a_pipe_in_its_place_is_a_warning_and_not_waited_for(self, command: Command, tmp_path: Path):
        run = save(tmp_path)
        write_report(run, ("html",))
        os.mkfifo(tmp_path / INDEX)
        ending = command("index", tmp_path)
        assert ending.code == 3
        assert "a pipe or a device; wanted a file" in ending.err


class TestOutput:
    def test_a_nul_byte_is_a_wrong_configuration(self, world: World, command: Command):
        world.replace('formats = ["html"]', 'formats = ["html"]\noutput = "a\\u0000b"')
        ending = command("audit", world.config)
        assert (ending.code, ending.out) == (2, "")
        assert ending.err.count("\n") == 1
        assert "audit.toml:21:" in ending.err
        assert "report.output: got 'a\\x00b', which holds a NUL byte; wanted a path" in ending.err

    @pytest.mark.parametrize("output", ["a\0b", "audit.toml"])
    def test_a_call_cannot_save_where_there_can_be_no_folder(self, output: str, world: World):
        with pytest.raises(auditor.AuditError, match=r"auditor\.audit: output: .*wanted a folder") as raised:
            auditor.audit(world.config, output=world.folder / output)
        assert raised.value.exit_code == 2
