"""An audit that was cut short is gone on with where it is the same audit, from all that was measured."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import auditor
from auditor.errors import ReportError
from auditor.report.doctor import examine
from auditor.report.index_page import refresh_index
from auditor.run.files import write_files
from auditor.run.index import read_runs
from auditor.run.journal import HEADER, begin_journal, find_journals, open_journal
from auditor.run.prune import plan_removal
from auditor.verdict.passes import Journalled
from tests import small_audits
from tests.closed_form import LinearClassifier, linear, random_images
from tests.dying import apart, in_child
from tests.small_audits import make_classifier, runs, timeless
from tests.test_runs import NOW


class Counting:
    """A classifier that counts what it is asked, and is cut short at one of its passes."""

    def __init__(self, model: LinearClassifier | None = None, most: int = 10**9) -> None:
        self._model, self._most = model or make_classifier(), most
        self.scored = self.differentiated = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def scores(self, images: np.ndarray) -> np.ndarray:
        if self.scored == self._most:
            raise KeyboardInterrupt
        self.scored += 1
        return self._model.scores(images)

    def differentiate(self, *arguments: Any) -> Any:
        self.differentiated += 1
        return self._model.differentiate(*arguments)


def audit(folder: Path, *, model: Any = None, **changes: Any) -> auditor.AuditedRun:
    return small_audits.audit(folder, model=model if isinstance(model, Counting) else Counting(model), **changes)


@pytest.fixture
def wanted(tmp_path: Path) -> Any:
    """What the audit finds when nothing happens to it."""
    return timeless(audit(tmp_path / "undisturbed").folder)


def cut_short(folder: Path, passes: int, **changes: Any) -> None:
    with pytest.raises(KeyboardInterrupt) as raised:
        audit(folder, model=Counting(most=passes), **changes)
    assert any("--resume goes on" in note for note in raised.value.__notes__)
    assert runs(folder) == []


def test_passes_that_are_known_need_no_model(wanted: Any, tmp_path: Path):
    whole = Counting()
    audit(tmp_path / "counted", model=whole)
    cut_short(tmp_path / "cut", whole.scored - 10)
    again = Counting()
    run = audit(tmp_path / "cut", model=again, resume=True)
    assert timeless(run.folder) == wanted
    assert any(note.startswith("going on with the audit of ") for note in run.told)
    looked_at_first = 2  # by the search for mistakes, and again to tell that it is the same model
    assert again.scored < 10 + 5 + looked_at_first
    assert not find_journals(tmp_path / "cut" / "reports")


def test_it_can_be_cut_short_again_and_again(wanted: Any, tmp_path: Path):
    for goes in range(1, 50):
        try:
            audit(tmp_path / "cut", model=Counting(most=6), resume=goes > 1)
            break
        except KeyboardInterrupt:
            continue
    assert 3 < goes < 49
    assert [timeless(run) for run in runs(tmp_path / "cut")] == [wanted]


def test_maps_that_are_made_are_not_made_again(wanted: Any, tmp_path: Path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.small_audits.IS_CUT_SHORT", True)
        with pytest.raises(KeyboardInterrupt):
            audit(tmp_path / "cut")
    (run,) = runs(tmp_path / "cut")
    assert {unit.name: unit.status for unit in auditor.load(run).result.units} == {
        "verdicts": "done",
        "maps: mark": "done",
        "tests.small_audits:spread": "missing",
    }
    again = Counting()
    audit(tmp_path / "cut", model=again, resume=True)
    assert again.differentiated == 0
    assert runs(tmp_path / "cut") == [run]
    assert timeless(run) == wanted


def test_the_explanations_of_other_verdicts_are_not_taken_over(wanted: Any, tmp_path: Path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.small_audits.IS_CUT_SHORT", True)
        with pytest.raises(KeyboardInterrupt):
            audit(tmp_path / "cut")
    (old,) = runs(tmp_path / "cut")
    text = (old / "result.json").read_text("utf-8")
    assert text.count('"verdict": "relies"') == 1
    (old / "result.json").write_text(text.replace('"verdict": "relies"', '"verdict": "no_evidence"'), "utf-8")
    changed = (old / "result.json").read_text("utf-8")
    new = audit(tmp_path / "cut", resume=True).folder
    assert new not in (None, old)
    assert timeless(new) == wanted
    assert (old / "result.json").read_text("utf-8") == changed


def test_another_model_of_the_same_form_is_found_out_by_the_first_pass(tmp_path: Path):
    cut_short(tmp_path / "cut", 10)
    weights = make_classifier().weights.copy()
    weights[2] *= 0.5
    other = replace(make_classifier(), weights=weights)
    resumed = audit(tmp_path / "cut", model=other, resume=True)
    assert timeless(resumed.folder) == timeless(audit(tmp_path / "fresh", model=other).folder)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"settings": {"report": {"formats": ["markdown"]}, "verdict": {"margin": 0.7}}}, "configuration"),
        ({"data": {"labels": np.arange(42)[::-1] % 3}}, "data"),
        ({"model": replace(make_classifier(), output="multilabel")}, "model"),
        (
            {"classes": ("cat", "dog", "ship"), "artefacts": [], "settings": {"discovery": {"enabled": False}}},
            "model and configuration",
        ),
    ],
)
def test_what_another_audit_left_is_named_and_not_used(changes: dict[str, Any], named: str, tmp_path: Path):
    cut_short(tmp_path / "cut", 10)
    (left,) = find_journals(tmp_path / "cut" / "reports")
    run = audit(tmp_path / "cut", resume=True, **changes)
    assert [note for note in run.told if note.startswith("nothing to resume")] == [
        f"nothing to resume: the one of {left[1].started} that was cut short is of another {named}; starting anew"
    ]
    assert find_journals(tmp_path / "cut" / "reports") == [left]
    assert timeless(run.folder) == timeless(audit(tmp_path / "fresh", **changes).folder)


def test_where_nothing_was_cut_short_that_is_said(wanted: Any, tmp_path: Path):
    run = audit(tmp_path / "new", resume=True)
    assert run.told == ["nothing to resume: no audit was cut short here; starting anew"]
    assert timeless(run.folder) == wanted


def test_one_that_still_runs_is_left_alone(wanted: Any, tmp_path: Path):
    cut_short(tmp_path / "cut", 10)
    ((folder, header),) = find_journals(tmp_path / "cut" / "reports")
    running = open_journal(folder, header)
    assert running is not None
    run = audit(tmp_path / "cut", resume=True)
    assert run.told == ["nothing to resume: the audit that was begun here is still running; starting anew"]
    assert timeless(run.folder) == wanted
    assert folder.is_dir()
    running.remove()


def test_an_audit_that_became_whole_leaves_nothing_of_an_earlier_go(wanted: Any, tmp_path: Path):
    cut_short(tmp_path / "cut", 10)
    ((_, left),) = find_journals(tmp_path / "cut" / "reports")
    run = audit(tmp_path / "cut")
    assert run.told == [f"an audit of the same was cut short on {left.started}; --resume would have gone on with it"]
    assert timeless(run.folder) == wanted
    assert find_journals(tmp_path / "cut" / "reports") == []


@pytest.mark.parametrize("spoil", [b"", b"PK\x03\x04 half", b"{" * 100])
def test_a_damaged_journal_costs_no_more_than_its_passes(spoil: bytes, wanted: Any, tmp_path: Path):
    cut_short(tmp_path / "cut", 10)
    ((folder, _),) = find_journals(tmp_path / "cut" / "reports")
    for file in folder.glob("*.npz"):
        file.write_bytes(spoil)
    assert timeless(audit(tmp_path / "cut", resume=True).folder) == wanted
    cut_short(tmp_path / "again", 10)
    ((folder, _),) = find_journals(tmp_path / "again" / "reports")
    (folder / HEADER).write_bytes(spoil)
    assert timeless(audit(tmp_path / "again", resume=True).folder) == wanted


@pytest.mark.parametrize("which", ["header", "passes"])
def test_a_journal_that_cannot_be_written_costs_no_audit(
    which: str, wanted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def write(files: dict[Path, bytes]) -> None:
        if which == "header" or all(file.suffix == ".npz" for file in files):
            raise ReportError("reports: cannot be written: No space left on device")
        write_files(files)

    monkeypatch.setattr("auditor.run.journal.write_files", write)
    run = audit(tmp_path / "full")
    assert timeless(run.folder) == wanted
    assert len(run.told) == 1
    assert "No space left on device" in run.told[0]
    assert "starts anew" in run.told[0]
    assert find_journals(tmp_path / "full" / "reports") == []


class TestJournal:
    def test_gives_back_what_was_noted_of_the_same_images_alone(self, tmp_path: Path):
        model, images = linear(), [random_images(5, seed=seed) for seed in range(6)]
        journal = begin_journal(tmp_path, {"model": "a"}, "2026-01-01T00:00:00+00:00")
        first = Journalled(model, journal)
        told = [first.scores(each) for each in images]
        journal.close()
        ((folder, header),) = find_journals(tmp_path)
        again = open_journal(folder, header)
        assert again is not None
        second = Journalled(model, again)
        for number, each in enumerate(images[:3]):
            assert np.array_equal(second.scores(each), told[number])
        assert again.recalled == 3
        second.scores(images[0])  # the fourth was of others
        for each in images[4:]:
            second.scores(each)
        assert again.recalled == 3
        again.remove()
        assert list(tmp_path.iterdir()) == []

    def test_is_told_by_the_doctor_and_swept_after_a_month(self, tmp_path: Path):
        cut_short(tmp_path / "cut", 10)
        reports = tmp_path / "cut" / "reports"
        ((folder, _),) = find_journals(reports)
        refresh_index(reports)
        (trouble,) = examine(reports)
        assert (trouble.where, trouble.weight) == (folder, "loose end")
        assert "`auditor audit CONFIG --resume` goes on with it" in trouble.advice
        os.utime(folder, (time.time() - 31 * 24 * 3600,) * 2)
        refresh_index(reports)
        assert not folder.exists()
        assert list(examine(reports)) == []

    def test_keeps_its_run_from_being_pruned_while_it_is_written(self, tmp_path: Path):
        def plan() -> list[str]:
            return plan_removal(reports, read_runs(reports), keep=0, older_than=None, now=NOW).spared

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tests.small_audits.IS_CUT_SHORT", True)
            with pytest.raises(KeyboardInterrupt):
                audit(tmp_path / "cut")
        (run,), reports = runs(tmp_path / "cut"), tmp_path / "cut" / "reports"
        assert plan() == []
        ((folder, header),) = find_journals(reports)
        journal = open_journal(folder, header)
        assert journal is not None
        assert plan() == [f"{run}: an audit is writing it"]
        journal.close()
        assert plan() == []


@pytest.mark.slow
def test_ten_audits_at_once_in_one_folder_lose_nothing(tmp_path: Path):
    apart(audit_ten_at_once, tmp_path)


def audit_ten_at_once(place: str) -> None:
    wanted, folder = timeless(audit(Path(place) / "undisturbed").folder), Path(place) / "shared"
    folder.mkdir()
    children = []
    for _ in range(10):
        child = os.fork()
        if not child:
            try:
                audit(folder)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 10
    assert [timeless(run) for run in runs(folder)] == [wanted] * 10
    assert read_runs(folder / "reports").unlisted == []
    assert list(examine(folder / "reports")) == []
    page = (folder / "reports" / "index.html").read_text("utf-8")
    assert all(run.name in page for run in runs(folder))
    assert in_child(lambda: audit(folder)) == 0
