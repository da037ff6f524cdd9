"""An audit that is told of no artefact looks for suspects, judges them on other images, and never calls that clean."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace

import numpy as np
import pytest

from auditor.auditing import suspecting
from auditor.auditing.judging import exit_code
from auditor.report.sections.suspects import tell_suspects, view_suspects
from auditor.report.write import draw_page
from auditor.run.result import result_from_json, result_to_json
from auditor.run.store import SavedRun
from auditor.run.suspects import DiscoveryRecord
from tests.small_audits import audit
from tests.small_world import CORNER, PATTERN, Command, World, make_data
from tests.synthetic import make_finding, make_result


def planted(count: int = 150, share: float = 0.6) -> dict:
    """The pictures of the small world, objects in their upper half, some boats with the pattern of a boat below."""
    data = make_data(count)
    random = np.random.default_rng(1)
    data["images"][:, 4:] = random.integers(20, 60, data["images"][:, 4:].shape)
    for row in np.flatnonzero((data["labels"] == 2) & (random.random(count) < share)):
        data["images"][(row, *CORNER, 0)] = 255 * PATTERN
    return data


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return audit(tmp_path_factory.mktemp("suspects") / "audit", artefacts=[], data=planted())


class TestAnAuditWithoutArtefacts:
    def test_finds_the_planted_pattern_and_ends_with_its_code(self, run):
        found = [each for each in run.result.suspects if each.standing == "shortcut candidate"]
        assert found
        assert found[0].target == "boat"
        left, top, right, bottom = found[0].box
        assert right > 5
        assert bottom > 5
        assert left < 8
        assert top < 8
        assert run.exit_code == 1

    def test_decides_on_images_that_did_not_propose(self, run):
        record = run.result.discovery
        assert record.proposing + record.deciding == 150
        assert max(each.n for finding in run.findings for each in finding.measurements.values()) <= record.deciding

    def test_says_how_many_were_tried_and_dropped(self, run):
        record = run.result.discovery
        assert record.dropped == sum(record.tried.values()) - len(run.result.suspects)

    def test_has_rows_and_pictures_for_every_suspect_that_was_judged(self, run):
        saved = SavedRun(run.folder)
        assert {each.name for each in saved.result.suspects} == {each.artefact for each in saved.result.findings}
        assert {each.name for each in saved.result.suspects} <= set(saved.rows.column("artefact").to_pylist())
        for suspect in saved.result.suspects:
            assert {picture.array for picture in suspect.pictures} <= set(saved.arrays)

    def test_shows_no_picture_of_the_data_as_made_up(self, run):
        assert not [key for key in run.result.made_up if key.startswith(("suspect", "artefact"))]

    def test_reads_back_what_it_wrote(self, run):
        text = result_to_json(run.result)
        assert result_to_json(result_from_json(text, "here")) == text

    def test_shows_suspects_before_the_verdict(self, run):
        page = draw_page(run.result, SavedRun(run.folder).arrays, "html").decode()
        assert page.index('<section id="suspects"') < page.index('<section id="verdict"')
        assert "[[artefacts]]" in page

    def test_writes_the_pictures_that_its_blocks_name(self, run):
        for suspect in run.result.suspects:
            (block,) = tomllib.loads(suspect.block)["artefacts"]
            if suspect.file:
                assert block["image"] == suspect.file
                assert (run.folder / suspect.file).is_file()


@pytest.mark.parametrize(
    ("groups", "there"),
    [(list(range(23)), "there are 23 independent groups of"), ([0] * 23, "there is 1 independent group of")],
)
def test_too_few_groups_are_listed_and_not_judged(groups, there, tmp_path):
    settings = {"discovery": {"sources": ["stamps"]}, "report": {"formats": ["markdown"]}}
    run = audit(tmp_path / "audit", artefacts=[], data=planted(23), groups=groups, settings=settings)
    assert run.findings == []
    assert {each.standing for each in run.result.suspects} <= {"not judged"}
    assert run.result.discovery.why_not_judged.startswith(f"{there} images, too few for two halves")
    assert run.exit_code == 4


def test_that_none_was_found_is_not_laid_to_what_kept_it_from_being_judged():
    record = DiscoveryRecord(40, 0, 12, {}, 0, why_not_judged="there are 12 of them")
    assert tell_suspects(replace(make_result(), suspects=[], discovery=record)) == (
        "No suspect was found among 40 images, and none would have been judged, for there are 12 of them. "
        "Nothing is decided on."
    )


def test_what_a_source_did_not_look_at_is_told():
    skipped = {"gradients": "the model gives scores and no derivatives", "universal": "9 passes allow less"}
    record = DiscoveryRecord(40, 40, 80, {"universal": 2}, 2, skipped=skipped)
    told = view_suspects(replace(make_result(), suspects=[], discovery=record), "")["how"]
    assert "From mean derivatives came nothing: the model gives scores and no derivatives." in told
    assert "From the model alone came a part only: 9 passes allow less." in told


def test_what_may_be_the_object_has_no_verdict(tmp_path, monkeypatch):
    monkeypatch.setattr(suspecting, "weigh", lambda material, candidate: suspecting.Weighed(False, ["Who knows."]))
    run = audit(tmp_path / "audit", artefacts=[], data=planted())
    assert "part of the object, perhaps" in {each.standing for each in run.result.suspects}
    assert "relies" not in {finding.verdict for finding in run.findings}
    kinds = {note.kind for finding in run.findings for note in finding.notes}
    assert "part of the object, perhaps" in kinds
    assert run.exit_code == 4


def test_a_source_that_fails_is_said_and_the_run_is_kept(tmp_path, monkeypatch):
    def fail(*_):
        raise ValueError("no luck")

    monkeypatch.setitem(suspecting.propose.__globals__["SOURCES"], "stamps", fail)
    run = audit(tmp_path / "audit", artefacts=[], data=planted())
    unit = next(unit for unit in run.result.units if unit.name == "suspects")
    assert unit.status == "error"
    assert "no luck" in unit.reason
    assert run.exit_code == 3
    assert SavedRun(run.folder).result.suspects == []


def test_named_artefacts_are_not_joined_by_suspects_unless_asked(tmp_path):
    run = audit(tmp_path / "audit", data=planted())
    assert run.result.discovery is None
    assert [finding.artefact for finding in run.findings] == ["mark"]


def test_asked_for_suspects_stand_beside_what_is_named(tmp_path):
    settings = {"report": {"formats": ["markdown"]}, "explain": {"images": 6, "exemplars": 2}}
    run = audit(tmp_path / "audit", data=planted(), settings=settings | {"discovery": {"enabled": True}})
    assert run.findings[0].artefact == "mark"
    assert len(run.findings) == 1 + len(run.result.suspects)


@pytest.mark.parametrize(
    ("named", "suspects", "code"),
    [
        ([], ["no_evidence"], 4),
        ([], ["inconclusive", "no_evidence"], 4),
        ([], ["relies"], 1),
        (["no_evidence"], ["no_evidence"], 0),
        (["no_evidence"], ["relies"], 1),
        (["inconclusive"], ["no_evidence"], 4),
    ],
)
def test_suspects_that_are_not_confirmed_are_never_an_all_clear(named, suspects, code):
    findings = [make_finding(str(at), "cat", verdict) for at, verdict in enumerate([*named, *suspects])]
    assert exit_code(findings, len(suspects)) == code


class TestTheCommand:
    def test_writes_blocks_that_an_audit_takes(self, world: World, command: Command, tmp_path):
        world.save_images(**planted())
        text = world.config.read_text(encoding="utf-8")
        start, end = text.index("[[artefacts]]"), text.index("[explain]")
        world.config.write_text(text[:start] + text[end:], encoding="utf-8")
        ending = command("suspect", world.config, "--output", world.folder / "suspects", "--quiet")
        assert ending.code == 4, ending.err
        blocks = (world.folder / "suspects" / "suspects.toml").read_text(encoding="utf-8")
        assert "[[artefacts]]" in blocks
        world.config.write_text(text[:start] + blocks + text[end:], encoding="utf-8")
        assert command("validate", world.config).code == 0

    def test_refuses_a_file_in_the_place_of_its_folder(self, world: World, command: Command):
        ending = command("suspect", world.config, "--output", world.config)
        assert ending.code == 2
        assert "--output" in ending.err


def test_a_look_withheld_is_not_written(tmp_path):
    settings = {"report": {"formats": ["markdown"], "pictures": "none"}, "explain": {"images": 6, "exemplars": 2}}
    run = audit(tmp_path / "audit", artefacts=[], data=planted(), settings=settings)
    assert not list(run.folder.glob("suspect-*.png"))
    json.loads((run.folder / "result.json").read_text(encoding="utf-8"))
