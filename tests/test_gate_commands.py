"""Real audits with a gate: what the commands print, how they end, and that reports and other tools say the same."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import auditor
from auditor.config.gate import write_preset
from auditor.errors import ConfigError
from auditor.report.exports.junit import write_junit
from auditor.report.exports.markdown import write_markdown
from auditor.report.exports.sarif import write_sarif
from auditor.report.presentable import present
from auditor.report.write import write_report
from auditor.run.accepted import accept_run
from auditor.run.gate import judge_gate, keep_gate, make_gate
from auditor.run.result import AuditResult
from auditor.run.store import SavedRun, load_result, save_run
from tests.numpy_world import build_numpy_world, set_strength
from tests.pairs import make_run, noise
from tests.small_world import Command, World
from tests.test_gate import TODAY, gate, waiver

ROOT = Path(__file__).resolve().parents[1]

WAIVER = '[[waivers]]\nartefact = "mark"\nowner = "Ada"\nreason = "masked downstream"\nexpires = {day}\n'


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return build_numpy_world(tmp_path, monkeypatch)


class TestRows:
    def test_the_mean_of_a_measurement_s_rows_is_the_measurement(self, small: World) -> None:
        small.replace('target = "boat"', 'target = "boat"\npresent = "class:dog"')
        run = auditor.audit(small.config)
        rows, (finding,) = run.rows(), run.findings
        measured = finding.measurements | {"accuracy": run.result.data.accuracy}
        for name in (
            "insertion_lift", "control_contrast", "class_contrast", "suppression", "suppression_control_contrast",
            "decisions_turned", "decisions_lost", "flip_rate", "suppression_flip_rate", "accuracy",
        ):  # fmt: skip
            values = rows[rows["measurement"] == name]["value"]
            if name != "class_contrast":  # its rival is chosen anew in each half, and its upper bound is the higher one
                assert len(values) == measured[name].n
            if measured[name].n:
                assert values.mean() == pytest.approx(measured[name].value, abs=1e-6)
        leads = [
            rows[rows["measurement"] == name].groupby("condition")["value"].mean()
            for name in ("removal_fall", "removal_contrast")
        ]
        assert set(leads[0].index) == set(finding.drops)
        for way, drop in finding.drops.items():
            assert min(lead[way] for lead in leads) == pytest.approx(drop.value, abs=1e-6)

    def test_parts_of_the_data_are_told_image_by_image(self, small: World) -> None:
        scanner = np.array(["old", "new"])[np.arange(96) % 2]
        small.save_images(**(make_data_with(scanner)))
        small.replace('source = "images.npz"', 'source = "images.npz"\nstrata = ["scanner"]')
        rows = auditor.audit(small.config).rows()
        parts = rows[rows["measurement"] == "part of the images"]
        assert parts.groupby("condition").size().to_dict() == {"scanner = new": 48, "scanner = old": 48}


def make_data_with(scanner: np.ndarray) -> dict[str, object]:
    from tests.small_world import make_data

    return make_data(96) | {"scanner": scanner}


class TestAudit:
    @pytest.mark.parametrize(
        ("strength", "more", "code", "said"),
        [
            (4.0, '[gate]\npreset = "release"\n', 1, "gate: error (preset release)"),
            (0.0, '[gate]\npreset = "release"\n', 0, "gate: warn (preset release)"),
            (0.0, "[gate]\n", 0, "gate: pass (preset verdicts)"),
            (4.0, '[gate]\nrelies = "warn"\n', 0, "  warn: relies mark -> boat: Inserting mark raises"),
            (4.0, WAIVER.format(day="2999-01-01"), 0, "Waived by Ada until 2999-01-01: masked downstream"),
            (4.0, WAIVER.format(day="2020-01-01"), 1, "ago, on 2020-01-01."),
            (0.0, WAIVER.format(day="2999-01-01"), 0, "audit.toml:"),
        ],
    )
    def test_ends_as_its_gate_says(
        self, small: World, command: Command, strength: float, more: str, code: int, said: str
    ) -> None:
        set_strength(small, strength)
        small.add(more)
        ending = command("audit", small.config, "--quiet")
        assert (ending.code, said in ending.out) == (code, True), ending.out
        assert small.result().final_code == code

    def test_without_a_gate_nothing_is_said_of_one(self, small: World, command: Command) -> None:
        ending = command("audit", small.config, "--quiet")
        assert ending.code == 1
        assert "gate:" not in ending.out
        assert small.result().gate is None

    def test_in_memory_it_is_judged_without_an_accepted_run(self, small: World) -> None:
        set_strength(small, 0.0)
        small.add('[gate]\npreset = "strict"\n')
        assert auditor.audit(small.config, output=small.folder / "elsewhere").exit_code == 4

    def test_accepted_then_unchanged_passes_and_a_worse_model_fails(self, small: World, command: Command) -> None:
        small.add('[gate]\npreset = "watch"\n')
        set_strength(small, 1.0)
        assert command("audit", small.config, "--quiet").code == 1  # nothing was accepted: every reliance is new
        (run,) = small.runs()
        assert command("accept", run, "--reason", "known", "--by", "Ada").out.startswith(f"accepted: {run.name}")
        assert command("audit", small.config, "--quiet").code == 0
        set_strength(small, 2.0)
        ending = command("audit", small.config, "--quiet")
        assert ending.code == 1
        assert "error: effect, accepted mark -> boat: The effect is worse than accepted: it grew by" in ending.out
        listed = command("accept", "--list", run.parent).out
        assert f"{run.name}: mine:load on images.npz" in listed
        assert "Ada: known" in listed

    def test_an_artefact_that_is_another_one_is_said(self, small: World) -> None:
        small.add('[gate]\npreset = "strict"\n')
        first = auditor.audit(small.config)
        assert first.folder is not None
        accept_run(first.folder, "known", "Ada")
        small.replace("position = [5, 5]", "position = [5, 5]\nopacity = 0.9")
        gate = auditor.audit(small.config).result.gate
        assert gate is not None
        (told,) = [ruling.sentence for ruling in gate.rulings if ruling.demand == "effect, accepted"]
        assert "mark is configured otherwise than it was" in told

    def test_a_damaged_accepted_run_ends_with_3_and_the_run_is_kept(self, small: World, command: Command) -> None:
        small.add('[gate]\npreset = "watch"\n')
        assert command("audit", small.config, "--quiet").code == 1
        (run,) = small.runs()
        accept_run(run, "known", "Ada")
        (run / "rows.parquet").write_bytes(b"")
        ending = command("audit", small.config, "--quiet")
        assert ending.code == 3
        assert "rows.parquet: changed since the run was accepted" in ending.out
        assert len(small.runs()) == 2
        assert "changed or gone since: rows.parquet" in command("accept", "--list", run.parent).out


class TestCommand:
    def run(self, small: World) -> Path:
        small.add('[gate]\npreset = "release"\n')
        auditor.audit(small.config)
        (run,) = small.runs()
        return run

    def test_judges_again_by_the_gate_of_the_run_or_of_another_file(self, small: World, command: Command) -> None:
        run = self.run(small)
        assert command("gate", run).code == 1
        small.add(WAIVER.format(day="2999-01-01"))
        assert command("gate", run, "--config", small.config).code == 0
        assert load_result(run).final_code == 1  # nothing is kept unless it is asked for
        assert command("gate", run, "--config", small.config, "--keep").code == 0
        assert load_result(run).final_code == 0
        assert command("doctor", run.parent).code == 0
        told = json.loads(command("gate", run, "--json").out)
        assert (told["state"], told["exit_code"]) == ("error", 1)
        assert command("verify", run).code == 0

    def test_one_without_a_gate_wants_another_file(self, small: World, command: Command) -> None:
        auditor.audit(small.config)
        ending = command("gate", small.runs()[0])
        assert ending.code == 2
        assert "was audited without [gate]" in ending.err
        assert command("gate", small.runs()[0], "--config", small.config).code == 2

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            (("gate",), 2, "wanted RUN"),
            (("gate", "--preset", "relase"), 2, "did you mean 'release'"),
            (("gate", "nowhere"), 3, "no result.json there"),
            (("accept", "nowhere", "--reason", "r", "--by", "b"), 3, "no result.json there"),
            (("accept", "nowhere", "--by", "b"), 2, "--reason: got nothing"),
            (("accept", "--list", "nowhere"), 2, "no such folder"),
        ],
    )
    def test_says_what_is_wrong_and_ends_with_the_documented_code(
        self, command: Command, words: tuple[str, ...], code: int, said: str
    ) -> None:
        ending = command(*words)
        assert ending.code == code
        assert said in ending.err


@pytest.fixture
def gated(tmp_path: Path) -> AuditResult:
    """A run whose gate fails by its accuracy, and whose reliance is waived."""
    accepted = SavedRun(save_run(make_run(noise(1) + 2), tmp_path))
    run = make_run(noise(1) + 2, correct=np.arange(120) % 4 > 0)
    record = judge_gate(run, accepted, gate("release", waivers=(waiver("2026-07-01"),)), TODAY)
    assert (record.state, record.exit_code) == ("error", 1)
    return replace(run.result, gate=record)


class TestShown:
    def test_in_junit_what_fails_is_a_failure_and_what_is_waived_skipped(self, gated: AuditResult) -> None:
        suites = ElementTree.fromstring(write_junit(present(gated, {}, "all").result)).findall("testsuite")
        endings = {suite.get("name"): [child.tag for child in suite.find("testcase") or []] for suite in suites}
        assert endings["tag → cat"] == ["skipped"]
        assert endings["gate: relies tag → cat"] == ["skipped"]
        assert endings["gate: accuracy, accepted"] == ["failure"]
        assert endings["gate: effect, accepted tag → cat"] == []
        assert sorted(suite.get("id") or "" for suite in suites) == sorted(map(str, range(len(suites))))
        told = ElementTree.tostring(suites[[*endings].index("gate: relies tag → cat")], encoding="unicode")
        assert "Ada" in told
        assert "2026-07-01" in told

    def test_in_sarif_a_waiver_suppresses_and_every_ruling_is_a_result(self, gated: AuditResult) -> None:
        log = json.loads(write_sarif(gated, present(gated, {}, "all").result))
        (run,) = log["runs"]
        assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["shortcut-reliance", "gate"]
        results = {result["message"]["text"].split(":")[1].strip(): result for result in run["results"][1:]}
        assert results["accuracy, accepted"]["kind"] == "fail"
        assert results["accuracy, accepted"]["level"] == "error"
        for waived in (run["results"][0], results["relies tag → cat"]):
            (suppression,) = waived["suppressions"]
            assert suppression["justification"] == "Ada, until 2026-07-01: it is masked downstream"
        assert all(result["ruleId"] == "gate" and result["ruleIndex"] == 1 for result in run["results"][1:])
        problems = json.loads(write_sarif(gated, present(gated, {}, "all").result, only_problems=True))
        assert all(result["kind"] == "fail" for result in problems["runs"][0]["results"])

    def test_in_markdown_and_on_the_page_the_gate_tells_its_reasons(self, gated: AuditResult, tmp_path: Path) -> None:
        assert gated.gate is not None
        folder = save_run(replace(make_run(noise(1)), result=replace(gated, gate=None)), tmp_path / "shown")
        keep_gate(folder, gated.gate)
        write_report(folder, ["html"])
        page = (folder / "report.html").read_text(encoding="utf-8")
        text = write_markdown(present(gated, {}, "all").result)
        for told in (page, text):
            assert "The accuracy is worse than accepted" in told
            assert "Waived by Ada until 2026-07-01" in told
        assert 'id="gate"' in page
        assert "**Gate: fails**" in text

    def test_a_run_without_a_gate_shows_none(self, tmp_path: Path) -> None:
        folder = save_run(make_run(noise(1)), tmp_path)
        write_report(folder, ["html"])
        assert 'id="gate"' not in (folder / "report.html").read_text(encoding="utf-8")


def test_the_docs_show_the_preset_as_it_is() -> None:
    assert write_preset("release") in (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")


def test_a_gate_of_another_file_needs_no_audit_toml() -> None:
    from auditor.config.sections import GateConfig

    run = make_run(noise(1), verdict="inconclusive")
    assert judge_gate(run, None, make_gate(GateConfig(preset="watch")), date(2026, 1, 1)).exit_code == 0
    with pytest.raises(ConfigError, match="some words"):
        accept_run(Path("nowhere"), "", "Ada")
