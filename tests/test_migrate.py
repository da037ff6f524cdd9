"""Runs and configurations of earlier versions stay readable."""

from __future__ import annotations

import json

import pytest

from auditor.config.file import read_config
from auditor.errors import ConfigError, ReportError
from auditor.explain.attribution.record import MapName
from auditor.explain.table import METHODS
from auditor.run.migrate import SCHEMA_VERSION
from auditor.run.result import result_from_json, result_to_json
from tests.golden_runs import FOLDER

KINDS = {"box": lambda frame: None}
OPTIMUM = "activation maximisation: Coat, 0"
CONFIG = '[model]\nsource = "m.keras"\n[data]\nsource = "d.npz"\n'


@pytest.mark.parametrize("name", ["complete", "later", "hostile"])
def test_a_frozen_run_of_the_first_schema_is_read_whole(name):
    text = (FOLDER / name / "result.json").read_text("utf-8")
    old = json.loads(text)
    assert old["schema_version"] == 1
    result = result_from_json(text, "result.json")
    assert result.schema_version == SCHEMA_VERSION
    for before, today in (("activation_maximisation", "optima"), ("contrastive", "errors")):
        assert (old[before] is None) == (getattr(result, today) is None)
        assert (before in [record["name"] for record in old["methods"]]) == (
            today in [record.name for record in result.methods]
        )
    assert result_from_json(result_to_json(result), "result.json") == result


class TestWhatTheFirstSchemaToldInWords:
    def read(self, name="complete"):
        text = (FOLDER / name / "result.json").read_text("utf-8")
        return json.loads(text), result_from_json(text, "result.json")

    def test_notes_keep_every_word_and_get_a_kind(self):
        old, result = self.read()
        assert [note.text for note in result.findings[0].notes] == old["findings"][0]["notes"]
        assert [note.kind for note in result.findings[0].notes] == ["untested"]
        assert [note.text for note in result.warnings] == old["warnings"]
        assert [note.kind for note in result.warnings] == ["calibration"]

    def test_the_removal_drops_are_no_longer_named_among_other_measurements(self):
        old, result = self.read()
        before, finding = old["findings"][0]["measurements"], result.findings[0]
        assert {f"removal_drop.{name}": drop.value for name, drop in finding.drops.items()} == {
            name: measured["value"] for name, measured in before.items() if name.startswith("removal_drop.")
        }
        assert set(finding.measurements) == {name for name in before if not name.startswith("removal_drop.")}

    def test_errors_made_by_inserting_an_artefact_are_known_as_such(self):
        _, result = self.read()
        assert {share.errors for share in result.errors.regions} == {"came", "inserted"}

    def test_maps_are_called_by_method_and_variant(self):
        old, result = self.read()
        assert [str(entry.map) for entry in result.region_scores] == [entry["method"] for entry in old["region_scores"]]
        assert {entry.map for entry in result.trust.methods} == {MapName("gradient"), MapName("grad_cam", "conv")}
        assert {kept.map for each in result.exemplars for kept in each.maps} == {
            entry.map for entry in result.region_scores
        }

    @pytest.mark.parametrize(
        ("place", "value"), [("findings", [7]), ("findings", [{}]), ("warnings", [7]), ("errors", {"regions": [{}]})]
    )
    def test_what_does_not_fit_is_refused_in_words(self, place, value):
        old, _ = self.read()
        name = {"errors": "contrastive"}.get(place, place)
        with pytest.raises(ReportError, match=place):
            result_from_json(json.dumps(old | {name: value}), "result.json")


class TestWhatIsMadeUp:
    def read(self, *keys, start="noise"):
        """What is made up of a run of the first schema, whose optimised inputs have these keys."""
        old = json.loads((FOLDER / "complete" / "result.json").read_text("utf-8"))
        study = next(record for record in old["methods"] if record["name"] == "gradient")
        old["methods"].append({**study, "name": "activation_maximisation", "options": {"start": start}})
        optima = old["activation_maximisation"]
        optima["classes"] = [
            {**optima["classes"][0], "optimum": {**optima["classes"][0]["optimum"], "picture": key}} for key in keys
        ]
        return set(result_from_json(json.dumps(old), "result.json").made_up)

    def test_are_artefacts_and_inputs_optimised_from_noise(self):
        assert self.read(OPTIMUM) == {"artefact", OPTIMUM}

    @pytest.mark.parametrize("end", ["Coat, real 3", "Coat, image to start from", "compared, image"])
    def test_are_no_real_images_among_them(self, end):
        assert self.read(f"activation maximisation: {end}", OPTIMUM) == {"artefact", OPTIMUM}

    def test_are_none_of_them_where_all_began_with_real_images(self):
        assert self.read(OPTIMUM, start="image") == {"artefact"}

    def test_are_not_what_only_looks_like_it(self):
        assert self.read("something else") == {"artefact"}


@pytest.mark.parametrize(("old", "today"), [("activation_maximisation", "optima"), ("contrastive", "errors")])
class TestOldNamesOfMethods:
    def read(self, tmp_path, text, *overrides):
        file = tmp_path / "audit.toml"
        file.write_text(CONFIG + text)
        return read_config(file, overrides, kinds=KINDS, methods=METHODS)

    def test_are_read_as_those_of_today(self, tmp_path, old, today):
        config = self.read(tmp_path, f"[methods.{old}]\nenabled = false\n")
        assert set(config.methods) == {today}
        assert not config.methods[today].enabled

    def test_are_read_from_the_command_line_too(self, tmp_path, old, today):
        assert not self.read(tmp_path, "", f"methods.{old}.enabled=false").methods[today].enabled

    def test_a_fault_still_has_its_place(self, tmp_path, old, today):
        with pytest.raises(ConfigError, match=rf"audit\.toml:6:1: methods\.{today}\.nonsense: "):
            self.read(tmp_path, f"[methods.{old}]\nnonsense = 1\n")

    def test_beside_those_of_today_are_one_clear_error(self, tmp_path, old, today):
        with pytest.raises(ConfigError, match=rf"methods\.{today}: {old} is the old name of {today}; got both"):
            self.read(tmp_path, f"[methods.{old}]\nenabled = false\n[methods.{today}]\nenabled = true\n")


def test_a_place_that_lies_deep_is_told_in_a_line():
    data = json.loads((FOLDER / "complete" / "result.json").read_text("utf-8")) | {"schema_version": SCHEMA_VERSION}
    piece: dict[str, object] = {"kind": "answer", "text": 3}
    for _ in range(50):
        piece = {"kind": "told", "title": "t", "pieces": [piece]}
    data["told"] = {"mine": {"kind": "told", "title": "t", "pieces": [piece]}}
    with pytest.raises(ReportError) as caught:
        result_from_json(json.dumps(data), "result.json")
    assert len(str(caught.value)) < 300
