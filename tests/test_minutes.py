"""A limit of time for an audit: verdicts are never cut, explanations end where it is over, and that is said."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest

import auditor
from auditor.report.write import draw_page
from auditor.subject.model import batches
from tests import small_audits

MAPS = "maps: mark"


def audit(folder: Path, minutes: float | None, **changes: object) -> auditor.AuditedRun:
    settings = {"report": {"formats": ["markdown"]}, "explain": {"images": 6, "exemplars": 2}}
    if minutes is not None:
        settings |= {"audit": {"minutes": minutes}}
    off = ("smoothgrad", "integrated_gradients", "grad_cam", "trust", "counterfactual")
    methods = {name: {"enabled": False} for name in off}
    methods |= {"tests.small_audits:spread": {}, "optima": {"restarts": 2, "steps": 2}}
    return small_audits.audit(folder, settings=settings, methods=methods, **changes)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> auditor.AuditedRun:
    return audit(tmp_path_factory.mktemp("whole") / "audit", None)


def statuses(run: auditor.AuditedRun) -> dict[str, str]:
    return {unit.name: unit.status for unit in run.result.units}


def test_with_no_time_left_there_are_verdicts_and_no_explanations(tmp_path, whole):
    cut = audit(tmp_path / "cut", 1e-9)
    assert set(statuses(whole).values()) == {"done"}
    found = statuses(cut)
    assert found.pop("verdicts") == "done"
    assert found[MAPS] == found["errors"] == found["optima"] == "left_out"
    assert [finding.verdict for finding in cut.findings] == [finding.verdict for finding in whole.findings]
    assert cut.exit_code == whole.exit_code
    assert not cut.result.exemplars
    reasons = {method.name: method.reason for method in cut.result.methods}
    assert "[audit] minutes" in reasons["gradient"]
    assert "[audit] minutes" in reasons["optima"]
    (told,) = [note.text for note in cut.result.warnings if note.kind == "left out"]
    assert MAPS in told
    assert "optima" in told
    assert b"[audit] minutes" in draw_page(cut.result, cut.run.arrays, "html")


def test_time_enough_changes_nothing(tmp_path, whole):
    timed = audit(tmp_path / "timed", 1e6)
    assert statuses(timed) == statuses(whole)
    assert timed.result.findings == whole.result.findings
    assert timed.rows().equals(whole.rows())


@pytest.mark.parametrize("passes", [0, 1, 3, 4, 7, 12])
def test_what_comes_before_the_end_of_time_is_whole_and_what_comes_after_is_told(tmp_path, monkeypatch, whole, passes):
    """The clock stands still until so many passes of explanations were asked, and is past any limit then."""
    asked: list[float] = []
    has_begun: list[str] = []

    def look_at_the_clock() -> float:
        asked.append(1.0)
        return math.inf if has_begun and len(asked) > passes else 0.0

    def told(stage: str, done: int, due: int) -> None:
        if stage == "explanations" and not has_begun:
            has_begun.append(stage)
            asked.clear()

    monkeypatch.setattr(batches, "time", SimpleNamespace(monotonic=look_at_the_clock))
    cut = audit(tmp_path / "cut", 1e6, progress=told)
    order = list(statuses(cut).values())
    assert "left_out" in order
    assert order == sorted(order, key=("done", "left_out").index)
    done = [name for name, status in statuses(cut).items() if status == "done"]
    for name in (name for name in done if hasattr(whole.result, name)):
        assert getattr(cut.result, name) == getattr(whole.result, name)
    assert cut.result.exemplars == (whole.result.exemplars if MAPS in done else [])
    assert cut.result.region_scores == (whole.result.region_scores if MAPS in done else [])
    (gradient,) = [method for method in cut.result.methods if method.name == "gradient"]
    assert bool(gradient.diagnostics) == (MAPS in done)
    of_maps = cut.rows().method.notna().sum()
    assert (of_maps > 0) == (MAPS in done)
    assert cut.exit_code == whole.exit_code
