"""Random-feature models are what their seed says, their rows say all that a verdict needs, and tables add up."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from auditor.errors import DataError
from auditor.lab.asking import TEMPERATURES, ask, choose_ways
from auditor.lab.colours import FRAME, KINDS, QUESTIONS, draw_task
from auditor.lab.curves import power, roc
from auditor.lab.features import MAPS, Recipe, choose_recipe, make_specimen, name_truth
from auditor.lab.judging import (
    BANDS,
    FRESH,
    Tally,
    count_modes,
    describe,
    describe_modes,
    judge_rows,
    make_calibration,
    split_of,
    write_readme,
)
from auditor.lab.rows import Row, add_rows, make_rows, pack_rows, read_rows
from auditor.report.exports.markdown import escape, write_markdown
from auditor.report.words import calibrations, say_calibration
from auditor.report.write import render_html
from auditor.verdict import calibration
from auditor.verdict.calibration import MODES, Asked, calibrate, carried_by, is_calibrated, mode_of, read_calibration
from auditor.verdict.measured import measure
from auditor.verdict.record import Finding, Rule
from auditor.verdict.rule import conclude
from tests.synthetic import make_arrays, make_result

LABORATORY = Path(__file__).parents[1] / "docs" / "laboratory"
NAMED = Asked("softmax", 10, 300, 300, "some", "overlay", is_scan=False)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """A named target, a scan, few images and removal, of models with several outputs."""
    return [row for seed in (0, 1, 24, 46) for row in make_rows(seed)]


@pytest.fixture(scope="module")
def kept() -> list[Row]:
    return read_rows(LABORATORY / "rows.parquet")


class TestModels:
    @pytest.mark.parametrize("question", [q for q in QUESTIONS if q != "hundred classes"])
    def test_parts_of_a_task_share_no_picture(self, question):
        task = draw_task(question, np.random.default_rng(1))
        seen = [{image.tobytes() for image in part.images} for part in (task.training, task.audited, task.unseen)]
        assert len(set.union(*seen)) == sum(map(len, seen))
        assert task.audited.has[:, task.target].any()
        assert task.unseen.has.shape == (len(task.unseen), QUESTIONS[question][0])

    @pytest.mark.parametrize("kind", KINDS)
    def test_artefacts_keep_pictures_in_range_and_change_them(self, kind):
        images = draw_task("two classes", np.random.default_rng(1)).audited.images[:5]
        assert images.shape == (5, *FRAME)
        look = KINDS[kind](np.random.default_rng(3))
        stamped = look.insert(images, np.random.default_rng(0).spawn(5))
        assert stamped.shape == images.shape
        assert np.abs(stamped - 0.5).max() <= 0.5  # in [0, 1]
        assert (stamped != images).any(axis=(1, 2, 3)).all()

    def test_the_same_seed_gives_the_same_model_and_another_another(self):
        recipe = choose_recipe(2)
        first, again = make_specimen(recipe), make_specimen(recipe)
        images = first.task.audited.images
        np.testing.assert_array_equal(first.model.scores(images), again.model.scores(images))
        assert first.truth._replace(together=0) == again.truth._replace(together=0)
        other = make_specimen(replace(recipe, seed=2 + 1_000_000))
        assert (other.model.scores(images) != first.model.scores(images)).any()

    def test_kinds_questions_and_maps_take_turns(self):
        recipes = [choose_recipe(first + at) for first in (0, 50_000) for at in range(8 * len(KINDS) * len(MAPS))]
        cells = {(recipe.question, recipe.kind, recipe.map) for recipe in recipes}
        assert len(cells) == len(QUESTIONS) * len(KINDS) * len(MAPS)

    def test_what_is_planted_on_a_class_alone_becomes_what_it_is_recognised_by(self):
        truth = make_specimen(Recipe(5, "two classes", "mark", "dense", "confounded", 1.0)).truth
        assert max(truth.turned, -truth.lost) >= BANDS[0][1]

    def test_of_a_redundant_pair_each_suffices(self):
        specimen = make_specimen(Recipe(7, "ten classes", "mark", "dense", "redundant", 1.0))
        assert specimen.second is not None
        model, pictures, target = specimen.model, specimen.task.unseen, specimen.task.target
        others = pictures.images[~pictures.has[:, target]]
        one, other = (look.insert(others) for look in (specimen.appearance, specimen.second))
        called = [float((model.scores(images).argmax(axis=1) == target).mean()) for images in (others, one, other)]
        assert min(called[1:]) > called[0] + 0.3
        assert specimen.truth.together >= specimen.truth.turned - 0.05

    @pytest.mark.parametrize(
        ("regime", "turned", "lost", "truth"),
        [
            ("clean", 0.02, -0.04, "innocent"),
            ("clean", 0.02, 0.1, "borderline"),
            ("balanced", 0.0, -0.2, "moved"),
            ("confounded", 0.2, 0.0, "promotes"),
            ("shared", 0.0, -0.2, "promotes"),
            ("hidden part", 0.1, 0.5, "borderline"),
            ("either-or", 0.01, 0.3, "weak"),
            ("suppressor", 0.0, 0.2, "suppresses"),
            ("suppressor", 0.3, 0.0, "weak"),
        ],
    )
    def test_truth_has_a_middle_band(self, regime, turned, lost, truth):
        assert name_truth(regime, turned, lost, (0.05, 0.15)) == truth

    def test_a_temperature_changes_scores_and_no_decision(self):
        seed = next(seed for seed in range(200) if "hot" in choose_ways(make_light(seed).recipe))
        asked = {each.way: each for each in ask(make_specimen(choose_recipe(seed)))}
        plain = asked["named"].observed.insertion
        for way, temperature in TEMPERATURES.items():
            other = asked[way].observed.insertion
            np.testing.assert_array_equal(other.predicted, plain.predicted)
            assert other.images.scores.std() < plain.images.scores.std() / temperature**0.5


def make_light(seed: int):
    """A specimen of which only the recipe is asked."""

    class Light:
        recipe = choose_recipe(seed)

    return Light()


class TestRows:
    def test_say_what_the_audit_itself_would(self):
        specimen = make_specimen(choose_recipe(1))
        (named, *_) = ask(specimen)
        said = conclude(measure(named.observed, specimen.task.target, Rule()), Rule())
        (case, *_) = judge_rows(make_rows(1)[:1], Rule())
        assert (case.verdict, case.direction) == (said.verdict, said.direction or "")

    def test_come_back_from_their_file_and_are_made_once(self, tmp_path, rows):
        file = tmp_path / "rows.jsonl"
        assert dict(add_rows([0, 1], file)) == {0: 2, 1: 2}
        file.write_text(file.read_text() + '{"seed": 2, "cut o')
        assert dict(add_rows([0, 1], file)) == {}
        assert pack_rows([file], tmp_path / "rows.parquet") == 4
        read = read_rows(tmp_path / "rows.parquet")
        for found, made in zip(read, [row for row in rows if row.seed < 2], strict=True):
            assert (found.seed, found.way, found.question) == (made.seed, made.way, made.question)
            assert found.turned == pytest.approx(made.turned, rel=1e-3, abs=1e-12)
            theta, whole = found.measured[0].effects["promotes"], made.measured[0].effects["promotes"]
            assert theta.value == pytest.approx(whole.value, rel=1e-3)
            assert (theta.n, theta.groups) == (whole.n, whole.groups)

    def test_no_model_is_begun_when_the_time_is_up(self, tmp_path):
        assert dict(add_rows(range(5), tmp_path / "rows.jsonl", seconds=-1)) == {}

    @pytest.mark.parametrize(("content", "message"), [(None, "no such file"), (b"PAR?", "no rows of the laboratory")])
    def test_a_file_that_holds_none_is_refused(self, tmp_path, content, message):
        file = tmp_path / "rows.parquet"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_rows(file)

    @pytest.mark.parametrize(
        ("content", "message"), [(None, "no such file"), ("seed 1", "no rows of"), ('{"seed": 1}', "no rows of")]
    )
    def test_lines_that_are_none_are_not_packed(self, tmp_path, content, message):
        file = tmp_path / "rows.jsonl"
        if content is not None:
            file.write_text(content + "\n")
        with pytest.raises(DataError, match=message):
            pack_rows([file], tmp_path / "rows.parquet")
        assert not (tmp_path / "rows.parquet").exists()

    def test_a_scan_keeps_the_classes_that_move_most(self, rows):
        scans = [row for row in rows if row.way == "scan"]
        assert scans
        for row in scans:
            assert 1 <= len(row.measured) <= 10


class TestModes:
    @pytest.mark.parametrize(
        ("changes", "mode"),
        [
            ({}, "ten classes"),
            ({"classes": 2}, "two classes"),
            ({"classes": 2, "output": "binary"}, "one logit"),
            ({"classes": 4}, "few classes"),
            ({"classes": 100}, "hundred classes"),
            ({"output": "multilabel"}, "labels"),
            ({"images": 100, "groups": 100}, "few images"),
            ({"groups": 100}, "groups"),
            ({"carried": "target", "images": 100, "groups": 100}, "class"),
            ({"is_scan": True, "images": 100, "groups": 100}, "scan"),
            ({"carried": "all"}, "removal"),
            ({"carried": "all", "is_scan": True}, "scan of carriers"),
            ({"carried": "all", "kind": "masks"}, "place"),
        ],
    )
    def test_an_audit_is_of_the_mode_in_which_it_asks(self, changes, mode):
        assert mode_of(replace_asked(changes)) == mode

    def test_which_images_carry_it_counts_and_not_how_that_was_said(self):
        own = np.arange(6) < 2
        assert carried_by(np.ones(6, bool), own) == carried_by(np.ones(6, bool), None) == "all"
        assert carried_by(own, own) == carried_by(np.arange(6) < 3, own) == "target"
        assert carried_by(~own, own) == carried_by(own, None) == carried_by(~own, None) == "some"
        assert carried_by(np.zeros(6, bool), own) == carried_by(np.zeros(6, bool), own & False) == "some"

    @pytest.mark.parametrize("carried", ["some", "target", "all"])
    def test_a_scan_is_told_the_error_rates_of_scans(self, carried):
        told = calibrate(replace_asked({"is_scan": True, "carried": carried}), Rule())
        assert told.mode == ("scan of carriers" if carried == "all" else "scan")
        assert told.reason is None
        only_the_place = calibrate(replace_asked({"is_scan": True, "carried": "all", "kind": "masks"}), Rule())
        assert "no models that were audited in this way" in only_the_place.reason

    def test_every_mode_is_one_that_rows_are_made_in(self, kept):
        assert set(MODES) <= {case.mode for case in judge_rows(kept, Rule())}

    def test_counts_add_up(self, rows):
        cases = judge_rows(rows, Rule())
        counts = count_modes(cases)
        assert sum(count["models"] for count in counts.values()) == len(rows)
        for count in counts.values():
            assert count["accused"] + count["left_open"] <= count["innocent"]
            assert count["found"] + count["acquitted"] <= count["relying"]
            assert count["innocent"] + count["relying"] <= count["models"]

    def test_an_innocent_that_is_accused_counts_against_its_mode_alone(self, rows):
        case = next(case for case in judge_rows(rows, Rule()) if case.row.way == "named")
        innocent = replace(case, truth="innocent", verdict="no_evidence", direction="")
        accused = replace(innocent, verdict="relies", direction="promotes")
        other = replace(innocent, mode="scan")
        counts = count_modes([innocent, accused, other])
        assert counts[case.mode]["accused"] == 1
        assert counts["scan"]["accused"] == 0

    def test_one_that_is_found_the_wrong_way_round_is_not_found(self, rows):
        case = judge_rows(rows, Rule())[0]
        wrong = replace(case, truth="suppresses", verdict="relies", direction="promotes")
        assert Tally([wrong]).relying == [wrong]
        assert Tally([wrong]).found == []

    def test_fresh_seeds_confirm_and_families_are_halved(self, rows):
        splits = {split_of(replace(rows[0], kind=kind, map=seen_by)) for kind in KINDS for seen_by in MAPS}
        assert splits == {"choose", "test"}
        assert split_of(replace(rows[0], seed=FRESH)) == "confirm"

    def test_curves_rise_from_nothing_to_all(self, kept):
        cases = judge_rows(kept, Rule())
        for line in roc(cases).lines:
            x, y = np.array(line.points).T
            assert (x[0], y[0]) == (0, 0)
            assert (x[-1], y[-1]) == (1, 1)
            assert min(np.diff(x).min(), np.diff(y).min()) >= 0
        assert {line.name for line in power(cases).lines} >= {"300 images"}


class TestFiguresOfReports:
    def test_are_what_the_rows_in_the_docs_say(self, kept):
        assert read_calibration() == make_calibration(judge_rows(kept, Rule()), Rule())

    def test_stand_in_the_readme(self, tmp_path):
        readme = tmp_path / "README.md"
        readme.write_text((LABORATORY.parents[1] / "README.md").read_text())
        whole = readme.read_text()
        write_readme(read_calibration(), readme)
        assert readme.read_text() == whole
        assert len(describe_modes(read_calibration()).splitlines()) == 2 + len(MODES)

    def test_are_not_put_where_no_marks_are(self, tmp_path):
        (tmp_path / "README.md").write_text("nothing")
        with pytest.raises(DataError, match="wanted the lines"):
            write_readme(read_calibration(), tmp_path / "README.md")

    def test_the_page_in_the_docs_is_what_its_rows_say(self, kept):
        assert (LABORATORY / "modes.md").read_text() == describe(judge_rows(kept, Rule()))

    @pytest.mark.parametrize("mode", MODES)
    def test_each_mode_is_told_with_its_own(self, mode, monkeypatch):
        monkeypatch.setattr(calibration, "mode_of", lambda asked: mode)
        finding = Finding("mark", "cat", "relies", "promotes", "high", "insertion", "theta", "", {})
        finding = replace(finding, calibration=calibrate(NAMED, Rule()))
        counts = read_calibration()["modes"][mode]
        sentence = say_calibration(finding)
        assert f"In {counts['models']} models" in sentence
        assert f"({MODES[mode]})" in sentence
        assert f"wrongly accused in {counts['accused']} of {counts['innocent']} (" in sentence
        assert f"wrongly acquitted in {counts['acquitted']} of {counts['relying']} (" in sentence
        assert f"found in {counts['found']} of {counts['relying']} (" in sentence
        assert "not networks like yours" in sentence
        assert is_calibrated([finding])

    @pytest.mark.parametrize("rule", [Rule(), Rule(alpha=0.01)])
    def test_stand_in_the_page_and_in_the_summary(self, rule):
        result = make_result()
        known = calibrate(NAMED, rule)
        result = replace(result, findings=[replace(finding, calibration=known) for finding in result.findings])
        (sentence,) = calibrations(result)
        page = re.sub(r"<[^>]+>", "", unescape(render_html(result, make_arrays(), run="run-1")))
        assert sentence in page
        assert "Not calibrated." not in page
        summary = write_markdown(result)
        assert f"**How often such verdicts err:** {escape(sentence)}" in summary
        assert "Not calibrated" not in summary

    def test_are_not_told_of_another_rule_or_of_a_mode_without_models(self, monkeypatch):
        changed = calibrate(NAMED, Rule(alpha=0.01))
        assert changed.reason == "the thresholds of the rule were changed"
        table = json.loads(json.dumps(read_calibration()))
        del table["modes"]["ten classes"]
        monkeypatch.setattr(calibration, "read_calibration", lambda: table)
        lacking = calibrate(NAMED, Rule())
        assert "no models that were audited in this way" in lacking.reason
        for each in (changed, lacking):
            finding = Finding("mark", "cat", "relies", "promotes", "high", "insertion", "theta", "", {})
            finding = replace(finding, calibration=each)
            assert say_calibration(finding).endswith(f"{each.reason}.")
            assert not is_calibrated([finding])


def replace_asked(changes: dict) -> Asked:
    return replace(NAMED, **changes)
