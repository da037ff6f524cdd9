"""The whole audit on the models that the repository carries: the planted shortcut is found, its twin is not accused."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest

from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.auditing.audit import run_audit
from auditor.config.file import read_config
from auditor.explain.attribution.record import MapName
from auditor.explain.table import METHODS, STUDIES
from auditor.run.result import result_from_json, result_schema, result_to_json
from auditor.run.store import SavedRun, load_result, save_run
from auditor.verdict.calibration import read_calibration
from tests.small_world import World, build_world

ROOT = Path(__file__).resolve().parents[1]
PLANTED, TWIN = ROOT / "audit.toml", ROOT / "examples" / "clean_twin" / "audit.toml"


WITHOUT_STUDIES = tuple(f"methods.{name}.enabled=false" for name in STUDIES)


def run(config: Path, *overrides: str):
    settings = read_config(config, overrides, kinds=ARTEFACT_KINDS, methods=METHODS)
    return run_audit(settings, lambda *_: None)


def without_clock(result) -> str:
    data = json.loads(result_to_json(result))
    del data["provenance"]["started"], data["provenance"]["seconds"]
    return json.dumps(data)


@pytest.fixture(scope="module")
def planted():
    return run(PLANTED)


@pytest.fixture(scope="module")
def twin():
    return run(TWIN, *WITHOUT_STUDIES)


def test_the_planted_watermark_is_relied_on(planted):
    (finding,) = planted.result.findings
    assert (finding.verdict, finding.direction, finding.target) == ("relies", "promotes", "Coat")
    assert finding.severity == "high"
    assert finding.measurements["theta"].low > 0.5
    assert finding.measurements["removal_drop"].low > 0.5
    assert planted.result.exit_code == 1


def test_its_twin_is_not_accused(twin):
    (finding,) = twin.result.findings
    assert (finding.verdict, finding.direction, finding.severity) == ("no_evidence", None, "none")
    assert finding.measurements["theta"].high < 0.5
    assert finding.measurements["theta_suppression"].high < 0.5
    assert twin.result.exit_code == 0


def test_six_images_are_inconclusive():
    result = run(PLANTED, "data.limit=6", *WITHOUT_STUDIES).result
    assert {finding.verdict for finding in result.findings} == {"inconclusive"}
    assert result.exit_code == 4


def test_a_scan_finds_the_planted_class_first():
    settings = read_config(PLANTED, WITHOUT_STUDIES, kinds=ARTEFACT_KINDS, methods=METHODS)
    artefact = settings.artefacts[0].model_copy(update={"target": None})
    scan = run_audit(settings.model_copy(update={"artefacts": (artefact,)}), lambda *_: None)
    (finding,) = scan.result.findings
    assert (finding.verdict, finding.target) == ("relies", "Coat")
    assert finding.scanned[0].target == "Coat"
    assert len(finding.scanned) == 10


def test_every_study_runs_on_the_planted_model(planted):
    ended = {record.name: record.status for record in planted.result.methods}
    assert {name: ended[name] for name in STUDIES} == dict.fromkeys(STUDIES, "ok")
    assert all(getattr(planted.result, name) is not None for name in STUDIES)


def test_a_study_that_is_switched_off_says_so(twin):
    for record in twin.result.methods:
        if record.name in STUDIES:
            assert (record.status, record.reason) == ("off", "switched off in the configuration")
            assert getattr(twin.result, record.name) is None


def test_every_study_runs_in_the_smallest_world_or_says_why_not_and_twice_the_same(tmp_path):
    world = build_world(tmp_path, studies=True)
    first = run(world.config)
    ended = {record.name: record for record in first.result.methods}
    for name in STUDIES:
        assert ended[name].status == "ok" or (ended[name].status == "not_applicable" and ended[name].reason)
    second = run(world.config)
    assert without_clock(second.result) == without_clock(first.result)
    assert second.arrays.keys() == first.arrays.keys()
    for name, values in first.arrays.items():
        np.testing.assert_array_equal(second.arrays[name], values)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_result(planted):
    assert without_clock(run(PLANTED).result) == without_clock(planted.result)


@pytest.mark.slow
def test_the_batch_size_changes_no_measurement(planted):
    other = run(PLANTED, "model.batch_size=24", *WITHOUT_STUDIES)
    for first, second in zip(planted.result.findings, other.result.findings, strict=True):
        for name, measured in first.measurements.items():
            for bound in ("value", "low", "high"):
                assert asdict(second.measurements[name])[bound] == pytest.approx(asdict(measured)[bound], abs=1e-4)
    for first, second in zip(planted.result.region_scores, other.result.region_scores, strict=True):
        for name, measured in first.scores.items():
            assert second.scores[name].value == pytest.approx(measured.value, rel=1e-3, abs=2e-3), (first.map, name)


def test_the_result_is_of_its_own_schema(planted):
    schema = result_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(result_to_json(planted.result)))


def test_a_result_is_read_back_as_it_was_written(planted):
    assert result_from_json(result_to_json(planted.result), "here") == planted.result


def test_every_measurement_has_an_n_an_interval_and_a_unit_or_a_reason(planted, twin):
    for result in (planted.result, twin.result):
        for finding in result.findings:
            for measured in [*finding.measurements.values(), *finding.controls.values(), *finding.variants.values()]:
                assert measured.unit
                if measured.value is None:
                    assert measured.reason
                else:
                    assert measured.n > 0
                    assert measured.low <= measured.value <= measured.high
                    assert measured.level >= 0.95


def test_every_measurement_of_insertion_leads_to_its_images(planted, tmp_path):
    folder = save_run(planted, tmp_path)
    rows = pq.read_table(folder / "rows.parquet").to_pylist()
    shifts = [
        row["value"]
        for row in rows
        if row["artefact"] == "watermark" and row["condition"] == "inserted" and row["measurement"] == "insertion_lift"
    ]
    lift = planted.result.findings[0].measurements["insertion_lift"]
    assert len(shifts) == lift.n
    assert np.mean(shifts) == pytest.approx(lift.value, abs=1e-4)


def test_region_scores_lead_to_their_images_too(planted, tmp_path):
    rows = pq.read_table(save_run(planted, tmp_path) / "rows.parquet").to_pylist()
    for entry in planted.result.region_scores:
        for name, measured in entry.scores.items():
            values = [row["value"] for row in rows if row["method"] == str(entry.map) and row["measurement"] == name]
            assert len(values) == measured.n
            assert np.mean(values) == pytest.approx(measured.value, abs=1e-5)


def test_a_saved_run_keeps_result_and_raw_maps(planted, tmp_path):
    folder = save_run(planted, tmp_path)
    assert load_result(folder) == planted.result
    arrays = SavedRun(folder).arrays
    for exemplar in planted.result.exemplars:
        for kept in exemplar.maps:
            values = arrays[kept.array]
            assert values.dtype == np.float32
            assert np.abs(values).max() == pytest.approx(kept.largest)


def test_two_equal_runs_are_two_folders(planted, tmp_path):
    assert save_run(planted, tmp_path) != save_run(planted, tmp_path)
    assert not list(tmp_path.glob(".*"))


def test_exemplars_show_carriers_and_insertions_alike(planted):
    shown = planted.result.exemplars
    assert len(shown) == 6
    assert sum(exemplar.carrier for exemplar in shown) == 3
    methods = {"gradient", "grad_cam (conv_3)", "grad_cam (conv_2)", "smoothgrad"}
    methods |= {"integrated_gradients (mean)", "integrated_gradients (blur)"}
    assert all({str(kept.map) for kept in exemplar.maps} == methods for exemplar in shown)


def test_tf_explain_agrees_with_our_maps(planted):
    for agreement in planted.result.agreement:
        assert agreement.status == "ok"
        assert agreement.correlation.low > 0.999
        assert agreement.largest_difference < 1e-3


def test_gradient_methods_complete_or_say_by_how_much_they_do_not(planted):
    by_name = {method.name: method for method in planted.result.methods}
    residuals = [value for name, value in by_name["integrated_gradients"].diagnostics.items() if "residual" in name]
    assert len(residuals) == 2
    assert all(value.value < 0.1 for value in residuals)


def test_a_method_that_is_switched_off_is_off_and_said_to_be(tmp_path):
    result = run(TWIN, "methods.smoothgrad.enabled=false", "data.limit=40", *WITHOUT_STUDIES).result
    assert {method.name: method.status for method in result.methods}["smoothgrad"] == "off"
    assert not any(entry.map == MapName("smoothgrad") for entry in result.region_scores)


class TestAMethodOnExemplarsOnly:
    ON = "methods.smoothgrad.on=exemplars"

    def test_gives_the_exemplars_the_maps_that_it_gives_them_among_all(self, world: World):
        few, everywhere = run(world.config, self.ON), run(world.config)
        assert [e.image for e in few.result.exemplars] == [e.image for e in everywhere.result.exemplars]
        for exemplar in few.result.exemplars:
            (kept,) = [kept for kept in exemplar.maps if kept.map == MapName("smoothgrad")]
            np.testing.assert_allclose(few.arrays[kept.array], everywhere.arrays[kept.array], atol=1e-6)

    def test_is_measured_on_them_alone_and_says_so(self, world: World):
        result = run(world.config, self.ON).result
        by_method = {str(entry.map): entry for entry in result.region_scores}
        assert by_method["gradient"].scores["lift"].n == 6
        assert by_method["smoothgrad"].scores["lift"].n == 2
        assert [note.text for note in by_method["smoothgrad"].notes] == ["on 2 of 6 images, those shown below"]
        (record,) = [method for method in result.methods if method.name == "smoothgrad"]
        assert record.options["on"] == "exemplars"
        assert record.diagnostics["samples"].n == 2

    def test_is_off_where_none_are_shown(self, world: World):
        result = run(world.config, self.ON, "explain.exemplars=0").result
        (record,) = [method for method in result.methods if method.name == "smoothgrad"]
        assert (record.status, record.reason) == ("off", "for exemplars only, and none are shown")
        assert not any(entry.map == MapName("smoothgrad") for entry in result.region_scores)


def test_a_finding_tells_how_often_such_verdicts_err(planted):
    (finding,) = planted.result.findings
    assert planted.result.calibrated
    assert finding.calibration.mode == "class"
    counts = read_calibration()["modes"]["class"]
    assert finding.calibration.models == counts["models"]
    for name, of in (
        ("accused", "innocent"),
        ("acquitted", "relying"),
        ("found", "relying"),
        ("left_open", "innocent"),
    ):
        share = getattr(finding.calibration, name)
        assert (round(share.value * share.n), share.n) == (counts[name], counts[of])
    assert not any(note.kind == "calibration" for note in planted.result.warnings)


def test_thresholds_of_ones_own_are_said_to_be_uncalibrated(world: World):
    result = run(world.config, *WITHOUT_STUDIES, "verdict.margin_sd=0.3").result
    assert not result.calibrated
    (note,) = [note for note in result.warnings if note.kind == "calibration"]
    assert "the thresholds of the rule were changed" in note.text


def test_what_each_part_asked_of_the_model_is_told_and_little_more_was_made(planted):
    work = planted.result.provenance.work
    parts = [each.part for each in work]
    assert parts[:3] == ["opening", "verdicts", "maps: watermark"]
    assert set(STUDIES) <= set(parts)
    of = {each.part: each for each in work}
    assert of["verdicts"].scores.needed == sum(planted.result.provenance.passes.values())
    for each in work:
        for asked in (each.scores, each.gradients):
            assert asked.needed <= asked.made <= 1.1 * asked.needed + 8, each.part


def test_a_verdict_alone_differentiates_no_image():
    found = run(PLANTED, *(f"methods.{name}.enabled=false" for name in METHODS)).result
    assert found.findings[0].verdict == "relies"
    assert [each.part for each in found.provenance.work] == ["opening", "verdicts"]
    assert all(each.gradients.made == 0 for each in found.provenance.work)
