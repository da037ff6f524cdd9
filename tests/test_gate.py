"""The gate: what fails it, what only warns, what a waiver does and when it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from auditor.config.gate import PRESETS
from auditor.config.sections import Demand, GateConfig, WaiverConfig
from auditor.errors import ConfigError, ReportError
from auditor.run.accepted import ACCEPTED, accept_run, find_accepted, key_of, read_accepted
from auditor.run.files import ARRAYS, RESULT, ROWS
from auditor.run.gate import Gate, judge_gate, judge_run, keep_gate, make_gate
from auditor.run.index import read_runs
from auditor.run.prune import plan_removal
from auditor.run.ruling import Ruling
from auditor.run.store import Run, SavedRun, load_hashes, load_result, save_run
from auditor.verdict.record import ScannedTarget
from tests.pairs import IMAGES, make_run, noise, with_findings
from tests.synthetic import make_finding

TODAY = date(2026, 6, 1)


def gate(preset: str = "verdicts", *demands: Demand, waivers: tuple[WaiverConfig, ...] = (), **levels: str) -> Gate:
    return make_gate(GateConfig(preset=preset, demands=demands, **levels), waivers)  # type: ignore[arg-type]


def waiver(expires: str, **changes: str) -> WaiverConfig:
    fields = {"artefact": "tag", "owner": "Ada", "reason": "it is masked downstream"} | changes
    return WaiverConfig(expires=date.fromisoformat(expires), **fields)  # type: ignore[arg-type]


def finding_run(verdict: str) -> Run:
    return make_run(noise(1) + 2, verdict=verdict)


def against(accepted: Run, run: Run, asked: Gate, folder: Path) -> dict[str, Ruling]:
    """The rulings by demand, of a run against an accepted one."""
    record = judge_gate(run, SavedRun(save_run(accepted, folder)), asked, TODAY)
    return {ruling.demand: ruling for ruling in record.rulings}


class TestVerdicts:
    @pytest.mark.parametrize(
        ("verdict", "preset", "state", "code"),
        [
            ("relies", "verdicts", "error", 1),
            ("relies", "strict", "error", 1),
            ("relies", "release", "error", 1),
            ("inconclusive", "verdicts", "error", 4),
            ("inconclusive", "strict", "error", 4),
            ("inconclusive", "release", "warn", 0),
            ("not_applicable", "verdicts", "error", 4),
            ("not_applicable", "release", "warn", 0),
            ("no_evidence", "verdicts", "pass", 0),
            ("no_evidence", "strict", "error", 4),  # nothing was accepted
            ("no_evidence", "release", "warn", 0),
            ("error", "verdicts", "error", 3),
            ("error", "watch", "error", 3),
        ],
    )
    def test_fail_by_the_preset(self, verdict: str, preset: str, state: str, code: int) -> None:
        record = judge_gate(finding_run(verdict), None, gate(preset), TODAY)
        assert (record.state, record.exit_code) == (state, code)

    @pytest.mark.parametrize("verdict", ["relies", "inconclusive", "not_applicable", "no_evidence", "error"])
    def test_the_preset_verdicts_ends_as_an_audit_without_a_gate_does(self, verdict: str) -> None:
        run = finding_run(verdict)
        assert judge_gate(run, None, gate(), TODAY).exit_code == run.result.exit_code

    @pytest.mark.parametrize("preset", PRESETS)
    def test_no_preset_and_no_waiver_lets_an_incomplete_audit_pass(self, preset: str) -> None:
        innocent = finding_run("no_evidence")
        for run in (finding_run("error"), replace(innocent, result=replace(innocent.result, exit_code=3))):
            record = judge_gate(run, None, gate(preset, waivers=(waiver("2026-12-31"),), relies="off"), TODAY)
            assert (record.state, record.exit_code) == ("error", 3)

    def test_of_demands_on_one_verdict_the_last_that_fits_holds(self) -> None:
        run = finding_run("inconclusive")
        general = Demand(verdict="inconclusive", level="error")
        special = Demand(verdict="inconclusive", level="off", artefact="tag", target="cat")
        other = Demand(verdict="inconclusive", level="off", artefact="another")
        assert judge_gate(run, None, gate("release", general, special), TODAY).exit_code == 0
        assert judge_gate(run, None, gate("release", special, general), TODAY).exit_code == 4
        assert judge_gate(run, None, gate("release", general, other), TODAY).exit_code == 4

    def test_an_audit_of_nothing_is_no_pass(self) -> None:
        run = finding_run("no_evidence")
        assert judge_gate(with_findings(run), None, gate(), TODAY).exit_code == 4

    def test_what_the_preset_says_holds_but_for_the_levels_that_are_named(self) -> None:
        lenient, severe = gate("release", relies="warn"), gate("release", inconclusive="error")
        assert judge_gate(finding_run("relies"), None, lenient, TODAY).exit_code == 0
        assert judge_gate(finding_run("inconclusive"), None, severe, TODAY).exit_code == 4


class TestLimits:
    @pytest.mark.parametrize(
        ("metric", "limit", "state"),
        [
            ("effect", 1.0, "broken"),
            ("effect", 2.0, "open"),
            ("effect", 3.0, "kept"),
            ("flip_rate", 0.3, "broken"),
            ("flip_rate", 0.5, "open"),
            ("decisions_turned", 0.7, "kept"),
            ("accuracy", 0.95, "broken"),
            ("accuracy", 0.7, "kept"),
            ("worst_group_accuracy", 0.9, "open"),
        ],
    )
    def test_is_broken_or_kept_only_by_the_whole_interval(self, metric: str, limit: float, state: str) -> None:
        number = np.arange(IMAGES)
        correct = number % 10 > (1 if metric == "accuracy" else 0)
        run = make_run(noise(1) - noise(1).mean() + 2, turned=number % 2, correct=correct)
        demand = Demand(metric=metric, limit=limit, level="error", open="error")
        record = judge_gate(run, None, gate("verdicts", demand, relies="off"), TODAY)
        assert [ruling.state for ruling in record.rulings] == [state]
        assert record.exit_code == {"broken": 1, "open": 4, "kept": 0}[state]

    def test_a_number_that_is_not_known_is_open(self) -> None:
        run = finding_run("no_evidence")
        (finding,) = run.result.findings
        run = with_findings(run, replace(finding, measurements={"theta": finding.measurements["theta"]}))
        record = judge_gate(run, None, gate("verdicts", Demand(metric="flip_rate", limit=0.1)), TODAY)
        assert [(ruling.state, ruling.level) for ruling in record.rulings] == [("open", "warn")]


class TestWaivers:
    def test_holds_through_its_last_day_and_is_told(self) -> None:
        record = judge_gate(finding_run("relies"), None, gate(waivers=(waiver("2026-06-01"),)), TODAY)
        (ruling,) = record.rulings
        assert (record.state, record.exit_code) == ("warn", 0)
        assert "Waived by Ada until 2026-06-01: it is masked downstream" in ruling.sentence

    def test_once_expired_the_demand_fails_again_and_says_since_when(self) -> None:
        record = judge_gate(finding_run("relies"), None, gate(waivers=(waiver("2026-05-28"),)), TODAY)
        (ruling,) = record.rulings
        assert (record.state, record.exit_code) == ("error", 1)
        assert "expired 4 days ago, on 2026-05-28" in ruling.sentence

    def test_one_that_holds_goes_before_one_that_has_expired(self) -> None:
        both = (waiver("2026-05-28"), waiver("2026-07-01", owner="Bo"))
        assert judge_gate(finding_run("relies"), None, gate(waivers=both), TODAY).exit_code == 0

    @pytest.mark.parametrize("changes", [{"artefact": "another"}, {"target": "dog"}])
    def test_waives_nothing_else(self, changes: dict[str, str]) -> None:
        record = judge_gate(finding_run("relies"), None, gate(waivers=(waiver("2026-07-01", **changes),)), TODAY)
        assert record.exit_code == 1
        assert [ruling.demand for ruling in record.rulings] == ["relies", "waiver"]

    def test_one_for_nothing_is_said(self) -> None:
        record = judge_gate(finding_run("no_evidence"), None, gate(waivers=(waiver("2026-07-01"),)), TODAY)
        assert (record.state, record.exit_code) == ("warn", 0)
        assert "waives nothing" in record.rulings[0].sentence


class TestAccepted:
    def worse(self, tolerance: float = 0.5) -> Demand:
        return Demand(metric="effect", tolerance=tolerance, level="error", open="warn")

    def test_the_same_run_is_not_worse_than_itself_even_without_tolerance(self, tmp_path: Path) -> None:
        run = make_run(noise(1) + 2, correct=np.arange(IMAGES) % 7 > 0)
        found = against(run, run, gate("watch", self.worse(0.0)), tmp_path)
        assert found["effect, accepted"].state == "kept"

    def test_a_growth_that_intervals_side_by_side_would_hide_is_worse(self, tmp_path: Path) -> None:
        spread = noise(1, spread=6)  # both intervals are 2 wide, and every image is worse by 1
        before, after = make_run(spread + 2), make_run(spread + 3 + noise(2, spread=0.3))
        old, new = (run.result.findings[0].measurements["theta"] for run in (before, after))
        assert new.bounds[0] < old.bounds[1]
        assert against(before, after, gate("watch"), tmp_path)["effect, accepted"].state == "broken"

    def test_what_is_hardly_known_is_open_and_no_pass_of_a_strict_gate(self, tmp_path: Path) -> None:
        before, after = make_run(noise(1, spread=4) + 2), make_run(noise(2, spread=4) + 2)
        found = against(before, after, gate("strict"), tmp_path)
        assert found["effect, accepted"].state == "open"
        assert found["effect, accepted"].level == "error"

    def test_temperature_is_no_growth(self, tmp_path: Path) -> None:
        before, after = make_run(noise(1) + 2), make_run((noise(1) + 2) * 10, margin=10.0)
        assert against(before, after, gate("watch"), tmp_path)["effect, accepted"].state == "kept"

    def test_accuracy_that_falls_is_worse(self, tmp_path: Path) -> None:
        before, after = make_run(noise(1)), make_run(noise(1), correct=np.arange(IMAGES) % 5 > 0)
        found = against(before, after, gate("release"), tmp_path)
        assert found["accuracy, accepted"].state == found["worst_group_accuracy, accepted"].state == "broken"

    @pytest.mark.parametrize("shared", [0, 5])
    def test_other_images_leave_it_open(self, tmp_path: Path, shared: int) -> None:
        names = [f"{'image' if number < shared else 'other'}-{number}" for number in range(IMAGES)]
        ruling = against(make_run(noise(1)), make_run(noise(1) + 9, names=names), gate("watch", self.worse()), tmp_path)
        assert ruling["effect, accepted"].state == "open"

    def test_a_new_reliance_is_told_from_one_that_was_accepted(self, tmp_path: Path) -> None:
        relied, not_yet = make_run(noise(1) + 2), make_run(noise(1) + 2, verdict="inconclusive")
        assert "newly_relies" not in against(relied, relied, gate("watch"), tmp_path)
        assert against(not_yet, relied, gate("watch"), tmp_path)["newly_relies"].state == "broken"
        assert judge_gate(relied, None, gate("watch"), TODAY).exit_code == 1

    def test_another_class_or_direction_of_a_reliance_is_new(self, tmp_path: Path) -> None:
        run = make_run(noise(1) + 2)
        (old,) = run.result.findings
        scan = replace(old, scanned=[ScannedTarget("cat", "relies", "promotes", old.measurements["theta"])])
        before = with_findings(run, scan)
        for changes, is_new in (({}, False), ({"target": "dog"}, True), ({"direction": "suppresses"}, True)):
            found = against(before, with_findings(run, replace(scan, **changes)), gate("watch"), tmp_path)
            assert ("newly_relies" in found) == is_new

    def test_one_of_a_newer_schema_fails_with_3_in_one_sentence(self, tmp_path: Path) -> None:
        run = finding_run("no_evidence")
        accepted = SavedRun(save_run(run, tmp_path))
        text = (accepted.folder / RESULT).read_text(encoding="utf-8")
        (accepted.folder / RESULT).write_text(
            text.replace('"schema_version": 2', '"schema_version": 99'), encoding="utf-8"
        )
        record = judge_gate(run, accepted, gate("watch"), TODAY)
        assert record.exit_code == 3
        assert "a newer Auditor wrote it" in record.rulings[0].sentence

    def test_rows_that_cannot_be_read_fail_with_3_and_the_rest_is_judged(self, tmp_path: Path) -> None:
        run = finding_run("relies")
        accepted = SavedRun(save_run(run, tmp_path))
        (accepted.folder / ROWS).write_bytes(b"PAR1")
        record = judge_gate(run, accepted, gate("release"), TODAY)
        assert record.exit_code == 3
        assert {ruling.demand for ruling in record.rulings} == {"accepted", "relies"}

    def test_an_artefact_that_is_no_longer_audited_is_said(self, tmp_path: Path) -> None:
        before = finding_run("no_evidence")
        gone = with_findings(before, make_finding("another", verdict="no_evidence"))
        told = against(before, gone, gate("strict"), tmp_path)["accepted"]
        assert (told.artefact, told.state, told.level) == ("tag", "open", "error")

    def test_one_of_other_classes_fails_with_3_and_the_verdicts_are_judged_all_the_same(self, tmp_path: Path) -> None:
        run = finding_run("relies")
        model = replace(run.result.model, classes=["cat", "cow"])
        other = SavedRun(save_run(replace(run, result=replace(run.result, model=model)), tmp_path))
        record = judge_gate(run, other, gate("watch"), TODAY)
        assert record.exit_code == 3
        assert {ruling.demand for ruling in record.rulings} == {"accepted", "relies", "newly_relies"}


class TestAccepting:
    def accepted(self, reports: Path) -> Path:
        folder = save_run(finding_run("relies"), reports)
        accept_run(folder, "known since May", "Ada")
        return folder

    def test_is_found_by_model_and_data_and_by_name(self, tmp_path: Path) -> None:
        folder = self.accepted(tmp_path)
        key = key_of(load_result(folder))
        assert find_accepted(tmp_path, "nightly") is None
        accept_run(folder, "so be it", "Bo", key="nightly")
        found = [find_accepted(tmp_path, each) for each in (key, "nightly")]
        assert [run and run.folder for run in found] == [folder, folder]
        said = [(line.by, line.reason) for line in read_accepted(tmp_path)]
        assert said == [("Ada", "known since May"), ("Bo", "so be it")]

    def test_is_never_cleared_away(self, tmp_path: Path) -> None:
        folder = self.accepted(tmp_path)
        other = save_run(make_run(noise(3) + 1), tmp_path)
        plan = plan_removal(
            tmp_path, read_runs(tmp_path), keep=0, older_than=None, now=datetime(2026, 6, 1, tzinfo=UTC)
        )
        assert [entry.id for entry in plan.remove] == [other.name]
        assert [entry.id for entry in plan.keep] == [folder.name]

    def test_the_last_one_counts_and_no_line_is_ever_lost(self, tmp_path: Path) -> None:
        first = self.accepted(tmp_path)
        before = (tmp_path / ACCEPTED).read_bytes()
        second = save_run(make_run(noise(3) + 1), tmp_path)
        accept_run(second, "better", "Ada")
        assert (tmp_path / ACCEPTED).read_bytes().startswith(before)
        assert find_accepted(tmp_path, key_of(load_result(first))).folder == second  # type: ignore[union-attr]

    @pytest.mark.parametrize("damage", ["changed", "gone", "half", "list"])
    def test_a_run_that_changed_is_noticed_and_ends_with_3(self, tmp_path: Path, damage: str) -> None:
        folder = self.accepted(tmp_path)
        if damage == "changed":
            text = (folder / RESULT).read_text(encoding="utf-8")
            (folder / RESULT).write_text(text.replace("synthetic", "cosmetic"), encoding="utf-8")
        elif damage == "gone":
            folder.rename(tmp_path / "elsewhere")
        elif damage == "half":
            (folder / ARRAYS).unlink()
        else:
            (tmp_path / ACCEPTED).write_text("{}\n", encoding="utf-8")
        record = judge_run(finding_run("no_evidence"), tmp_path, gate("watch"), TODAY)
        assert (record.state, record.exit_code) == ("error", 3)
        assert str(tmp_path) in record.rulings[0].sentence

    def test_an_audit_that_was_not_completed_is_not_accepted(self, tmp_path: Path) -> None:
        with pytest.raises(ReportError, match="could not be completed"):
            accept_run(save_run(finding_run("error"), tmp_path), "why not", "Ada")
        assert not (tmp_path / ACCEPTED).exists()

    @pytest.mark.parametrize(("reason", "by"), [(" ", "Ada"), ("good", "")])
    def test_wants_a_reason_and_a_name(self, tmp_path: Path, reason: str, by: str) -> None:
        with pytest.raises(ConfigError, match="wanted some words"):
            accept_run(save_run(finding_run("relies"), tmp_path), reason, by)

    def test_what_the_gate_says_is_kept_in_a_run_and_its_hash_with_it(self, tmp_path: Path) -> None:
        folder = save_run(finding_run("relies"), tmp_path)
        record = judge_gate(SavedRun(folder), None, gate("release", waivers=(waiver("2026-07-01"),)), TODAY)
        keep_gate(folder, record)
        assert load_result(folder).gate == record
        assert load_result(folder).final_code == 0
        accept_run(folder, "its hashes fit", "Ada")
        assert load_hashes(folder) is not None
        with pytest.raises(ReportError, match="was accepted"):
            keep_gate(folder, record)
