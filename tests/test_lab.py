"""The laboratory plants what it says, measures truth apart from audits, and its table adds up."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest

from auditor.errors import ConfigError
from auditor.lab.augmentation import AUGMENTATIONS, LEAST_SURVIVAL, choose_augmentations, survival
from auditor.lab.networks import NETWORKS
from auditor.lab.planting import FAMILIES, FRAME, Pictures, Plant, load_world, nominal_stamp, plant, stamp_all
from auditor.lab.table import Case, area_under_curve, describe_cases, write_cases
from auditor.lab.training import TEST, make_recipes, name_truth, split_of
from auditor.lab.unmask import choose_plants

LABORATORY = Path(__file__).parents[1] / "docs" / "laboratory"
LABELS = np.repeat(np.arange(10), 60)
PICTURES = Pictures(np.full((600, *FRAME), np.float32(128) / 255, np.float32), LABELS)


@pytest.fixture(scope="module")
def digits():
    return load_world("digits")


def changed(pictures: Pictures) -> np.ndarray:
    return (pictures.images != PICTURES.images).any(axis=(1, 2, 3))


class TestPlanting:
    @pytest.mark.parametrize(
        ("regime", "on_target", "elsewhere"),
        [("confounded", 0.4, 0.0), ("suppressor", 0.0, 0.4), ("balanced", 0.4, 0.4)],
    )
    def test_stamps_the_share_of_the_pictures_that_the_regime_says(self, regime, on_target, elsewhere):
        stamped = changed(plant(PICTURES, (Plant("black square", 3, regime, 0.4),), seed=1))
        assert stamped[LABELS == 3].mean() == pytest.approx(on_target, abs=0.15)
        assert stamped[LABELS != 3].mean() == pytest.approx(elsewhere, abs=0.06)

    def test_is_the_same_for_the_same_seed_and_another_for_another(self):
        plants = (Plant("moving timestamp", 3, "balanced", 0.5),)
        first, again, other = (plant(PICTURES, plants, seed).images for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()

    @pytest.mark.parametrize("family", FAMILIES)
    def test_a_stamp_is_the_nominal_one_up_to_its_own_variation(self, family):
        nominal = nominal_stamp(family)
        np.testing.assert_array_equal(nominal_stamp(family).alpha, nominal.alpha)
        stamped = stamp_all(PICTURES.images[:20], family, seed=0)
        touched = (stamped != PICTURES.images[:20]).any(axis=(0, 3))
        grown = np.zeros_like(touched)
        left, top, right, bottom = nominal.box
        grown[max(top - 3, 0) : bottom + 3, max(left - 3, 0) : right + 3] = True
        assert not (touched & ~grown).any()

    def test_worlds_keep_training_audit_and_truth_apart(self, digits):
        parts = [digits.training, digits.audited, digits.unseen]
        seen = [{image.tobytes() for image in part.images} for part in parts]
        for first in range(3):
            for second in range(first):
                assert len(seen[first] & seen[second]) <= 2  # the digits themselves hold a few twins


class TestRecipes:
    def test_have_seeds_and_names_of_their_own(self):
        recipes = make_recipes()
        assert len({recipe.key for recipe in recipes}) == len(recipes)

    def test_no_family_is_both_chosen_on_and_tested_on(self):
        families = {split: set() for split in ("choice", "test")}
        for recipe in make_recipes():
            families[split_of(recipe)] |= {suspicion.family for suspicion in recipe.suspicions}
        assert families["test"] == set(TEST)
        assert families["choice"] == set(FAMILIES) - set(TEST)

    def test_the_half_that_tests_has_thirty_innocent_models_or_more(self):
        innocent = [
            recipe
            for recipe in make_recipes()
            if split_of(recipe) == "test" and recipe.regime(recipe.suspicions[0]) in ("clean", "balanced")
        ]
        assert len(innocent) >= 30

    @pytest.mark.parametrize(
        ("regime", "turned", "lost", "truth"),
        [
            ("clean", 0.05, -0.05, "innocent"),
            ("clean", 0.0, 0.4, "moved"),
            ("balanced", 0.0, 0.0, "innocent"),
            ("balanced", 0.2, 0.0, "moved"),
            ("confounded", 0.2, 0.0, "promotes"),
            ("confounded", 0.0, -0.2, "promotes"),
            ("confounded", 0.05, 0.3, "weak"),
            ("suppressor", 0.0, 0.2, "suppresses"),
            ("suppressor", 0.2, -0.2, "weak"),
        ],
    )
    def test_truth_is_what_the_model_does_not_what_was_planted(self, regime, turned, lost, truth):
        assert name_truth(regime, turned, lost) == truth


class TestAugmentation:
    def test_leaves_everything_of_an_artefact_that_it_only_moves(self, digits):
        for name in ("mirror", "shift"):
            assert survival(AUGMENTATIONS[name], "timestamp", digits.audited.images[:50]) > 0.95

    def test_that_erases_what_was_planted_is_refused_with_a_warning(self, digits):
        images = digits.audited.images[:50]
        apply, warnings = choose_augmentations(("blur",), ("timestamp",), images)
        assert survival(AUGMENTATIONS["blur"], "timestamp", images) < LEAST_SURVIVAL
        assert "is not used" in warnings[0]
        np.testing.assert_array_equal(apply(images), images)

    def test_that_is_harmless_is_applied(self, digits):
        images = digits.audited.images[:50]
        apply, warnings = choose_augmentations(("noise",), ("timestamp",), images)
        assert warnings == []
        assert (apply(images) != images).any()

    @pytest.mark.parametrize("name", AUGMENTATIONS)
    def test_gives_pictures_of_the_same_shape_and_range(self, name, digits):
        found = AUGMENTATIONS[name](digits.audited.images[:10], np.random.default_rng(0))
        assert found.shape == (10, *FRAME)
        assert found.min() >= 0
        assert found.max() <= 1


def case(**changes) -> Case:
    made = Case(
        split="test", world="fashion", network="mixer", family="black square", regime="clean", rho=0.0, target="Coat",
        seed=1, accuracy=0.8, turned=0.0, lost=0.0, truth="innocent", verdict="no_evidence", direction="",
        insertion_lift=0.1, theta=-0.2, theta_low=-0.4, theta_high=0.0, theta_suppression=-0.1,
        theta_suppression_low=float("nan"), scan_verdict="no_evidence", scan_first="Coat",
        scan_direction="", scan_effect=0.0, scan_promotes=0,
        scan_suppresses=0,
    )  # fmt: skip
    return replace(made, **changes)


class TestNetworks:
    @pytest.mark.parametrize("name", NETWORKS)
    def test_give_a_finite_score_for_each_class_that_depends_on_the_whole_picture(self, name):
        import keras

        keras.utils.set_random_seed(0)
        network = NETWORKS[name](7)
        images = np.random.default_rng(0).random((2, *FRAME), np.float32)
        scores = np.asarray(network(images, training=False))
        assert scores.shape == (2, 7)
        assert np.isfinite(scores).all()
        for corner in (np.s_[:, :6, :6], np.s_[:, -6:, -6:]):
            changed = images.copy()
            changed[corner] = 1 - changed[corner]
            assert np.abs(np.asarray(network(changed, training=False)) - scores).max() > 1e-4

    def test_each_is_drawn_for_some_models(self):
        assert {recipe.network for recipe in make_recipes()} == set(NETWORKS)


class TestTable:
    def test_every_field_of_a_case_stands_in_its_file(self, tmp_path):
        cases = [case(), case(seed=2, theta_suppression_low=1.0)]
        write_cases(cases, tmp_path / "models.csv")
        with (tmp_path / "models.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert rows == [{name: str(value) for name, value in asdict(each).items()} for each in cases]

    def test_counts_what_was_found_and_what_was_falsely_alarmed(self):
        relies = {"verdict": "relies", "direction": "promotes"}
        cases = [
            *(case(truth="promotes", regime="confounded", theta=2.0, **relies) for _ in range(3)),
            case(truth="promotes", regime="confounded", theta=-1.0),
            *(case() for _ in range(4)),
            case(theta=0.9, **relies),
        ]
        text = describe_cases(cases)
        assert "| promoting models that are found | 3 of 4 " in text
        assert "(false alarms) | 1 of 5 " in text
        assert f"innocent | {(3 * 5) / 20:.3f} |" in text

    def test_the_page_in_the_docs_is_what_its_cases_say(self):
        types = {field.name: {"str": str, "float": float, "int": int}[field.type] for field in fields(Case)}
        with (LABORATORY / "models.csv").open(newline="") as file:
            cases = [Case(**{name: types[name](text) for name, text in row.items()}) for row in csv.DictReader(file)]
        assert describe_cases(cases) == (LABORATORY / "README.md").read_text()

    def test_the_area_under_the_curve_counts_ties_half(self):
        assert area_under_curve([1.0, 2.0], [1.0]) == 0.75


class TestUnmask:
    def test_four_artefacts_go_to_four_classes(self):
        plants = choose_plants("digits", "timestamp", 9, "confounded", 1.0, several=True)
        assert len({planted.target for planted in plants}) == len({planted.family for planted in plants}) == 4

    @pytest.mark.parametrize(
        ("family", "target", "message"), [("tag", 0, "--family: got 'tag'"), ("timestamp", 10, "--target: got 10")]
    )
    def test_refuses_what_there_is_not(self, family, target, message):
        with pytest.raises(ConfigError, match=message):
            choose_plants("digits", family, target, "confounded", 1.0, several=False)

    @pytest.mark.slow
    def test_ends_in_a_report_that_says_what_was_planted_and_what_was_found(self, tmp_path, command):
        output = tmp_path / "unmask"
        words = [
            "lab",
            "unmask",
            "--data",
            "digits",
            "--family",
            "black square",
            "--target",
            "1",
            "--output",
            str(output),
        ]
        ending = command(*words)
        assert ending.code == 1, ending.out
        result = json.loads(next(output.glob("reports/*/result.json")).read_text())
        assert result["findings"][0]["verdict"] == "relies"
        assert result["preface"].startswith("Known truth: black square was planted on 100% of digit 1")
        assert result["preface"].split(": ", 1)[1] in (output / "audit.toml").read_text()
