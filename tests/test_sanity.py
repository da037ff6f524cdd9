from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from auditor.explain.attribution.likeness import rank_correlations
from auditor.explain.attribution.methods import ATTRIBUTIONS
from auditor.explain.attribution.question import ask
from auditor.explain.trust.sanity import (
    FRACTIONS,
    TRUST_TESTS,
    FlipCurves,
    cell_side,
    criteria_at_scale,
    flip_pixels,
    gains,
    judge,
    read_map,
    similarities,
    spread_over_depth,
)
from auditor.subject.model.classifier import log_odds
from auditor.subject.model.keras import KerasClassifier
from tests.closed_form import linear, random_images
from tests.keras_models import SHAPE, in_every_shape, transformer
from tests.synthetic import measure
from tests.trust_doubles import deep_classifier, edges_posing_as_explainer, pictures

RANDOM = np.random.default_rng(0)


def generators(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(number) for number in range(count)]


def weights_of(classifier: KerasClassifier) -> list[np.ndarray]:
    return [weight.numpy() for weight in classifier._model.weights]


def are_equal(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.array_equal(a.view(np.uint8), b.view(np.uint8)) for a, b in zip(first, second, strict=True))


class TestRandomWeights:
    @pytest.mark.parametrize("shape", ["functional", "sequential", "nested", "subclassed"])
    def test_come_from_the_head_down_in_every_kind_of_model(self, shape):
        classifier = KerasClassifier(in_every_shape()[shape], batch_size=4)
        assert classifier.weight_layers == ("head", "conv_2", "conv_1")

    def test_are_those_of_parts_of_layers_too(self):
        classifier = KerasClassifier(transformer("dense"), batch_size=4)
        covered = {id(weight) for part in classifier._weights.values() for weight in part}
        constant = {id(w) for w in classifier._model.weights if np.ptp(w.numpy()) == 0}
        assert covered == {id(weight) for weight in classifier._model.weights} - constant
        assert sum(len(part) for part in classifier._weights.values()) == len(covered)

    def test_are_the_same_values_in_another_order(self):
        classifier = deep_classifier()
        before = weights_of(classifier)
        with classifier.randomised(classifier.weight_layers, 1):
            inside = weights_of(classifier)
        for old, new in zip(before, inside, strict=True):
            np.testing.assert_array_equal(np.sort(old, axis=None), np.sort(new, axis=None))
        assert sum(not np.array_equal(old, new) for old, new in zip(before, inside, strict=True)) == 16

    def test_keep_what_batch_normalisation_knows_of_one_channel_together(self):
        classifier = deep_classifier()
        layer = classifier._model.get_layer("norm_1")
        before = {tuple(column) for column in np.array(layer.get_weights()).T}
        with classifier.randomised(("norm_1",), 1):
            assert {tuple(column) for column in np.array(layer.get_weights()).T} == before

    def test_change_only_the_layers_that_are_named(self):
        classifier = deep_classifier()
        before = classifier._model.get_layer("conv_0").get_weights()
        with classifier.randomised(("head", "conv_2"), 1):
            assert are_equal(classifier._model.get_layer("conv_0").get_weights(), before)

    def test_are_the_same_for_a_seed_whatever_other_layers_are_drawn(self):
        classifier = deep_classifier()
        drawn = []
        for layers, seed in ((("head",), 3), (classifier.weight_layers, 3), (("head",), 4)):
            with classifier.randomised(layers, seed):
                drawn.append(classifier._model.get_layer("head").get_weights())
        assert are_equal(drawn[0], drawn[1])
        assert not are_equal(drawn[0], drawn[2])

    def test_are_gone_after_the_test_bit_for_bit(self):
        classifier = deep_classifier()
        images = pictures(4)
        before, scores = weights_of(classifier), classifier.scores(images)
        with classifier.randomised(classifier.weight_layers, 1) as random_model:
            assert not np.allclose(random_model.scores(images), scores)
        assert are_equal(weights_of(classifier), before)
        np.testing.assert_allclose(classifier.scores(images), scores, atol=1e-5)

    def test_are_gone_where_an_error_is_raised_inside(self):
        classifier = deep_classifier()
        before = weights_of(classifier)
        with pytest.raises(ZeroDivisionError), classifier.randomised(classifier.weight_layers, 1):
            raise ZeroDivisionError
        assert are_equal(weights_of(classifier), before)

    def test_leave_a_normalisation_of_pixels_alone(self):
        inputs = keras.Input(SHAPE)
        normalised = keras.layers.Normalization(axis=-1)
        normalised.adapt(255 * random_images(8, SHAPE))
        x = keras.layers.Conv2D(3, 3, name="conv")(normalised(inputs))
        x = keras.layers.Dense(3, activation="softmax", name="head")(keras.layers.GlobalAveragePooling2D()(x))
        assert KerasClassifier(keras.Model(inputs, x)).weight_layers == ("head", "conv")

    def test_change_every_map_that_shows_the_model_and_no_map_of_edges(self):
        classifier = deep_classifier()
        images = pictures(6)
        targets = classifier.scores(images).argmax(axis=1)

        def explain(model):
            question = ask(model, images, targets, ids=list("abcdef"), mean_image=images.mean(axis=0))
            found = {name: next(iter(ATTRIBUTIONS[name](question).values())).maps for name in ATTRIBUTIONS}
            return found | {"edges": edges_posing_as_explainer(question)[""].maps}

        trained = explain(classifier)
        with classifier.randomised(classifier.weight_layers, 0) as random_model:
            drawn = explain(random_model)
        for name, maps in trained.items():
            alike = np.nanmean(similarities(maps, drawn[name])["signed"])
            assert alike == pytest.approx(1) if name == "edges" else alike < 0.4, name


def test_a_cascade_begins_with_the_head_and_ends_with_all_layers():
    layers = tuple("abcdefghij")
    for stages in (1, 2, 3, 8, 40):
        steps = spread_over_depth(layers, stages)
        assert len(steps) == min(stages, 10)
        assert steps[-1] == layers
        assert stages == 1 or steps[0] == ("a",)
        assert [len(step) for step in steps] == sorted({len(step) for step in steps})


class TestLikeness:
    maps = RANDOM.normal(size=(5, 12, 11, 3)).astype(np.float32)

    def test_of_a_map_with_itself_is_whole(self):
        for kind, values in similarities(self.maps, self.maps).items():
            np.testing.assert_allclose(values, 1, err_msg=kind)

    def test_tells_a_map_from_its_negative_by_the_signs_alone(self):
        found = similarities(self.maps, -self.maps)
        np.testing.assert_allclose(found["signed"], -1)
        np.testing.assert_allclose(found["absolute"], 1)

    def test_of_independent_noise_is_about_nothing(self):
        found = similarities(self.maps, RANDOM.normal(size=self.maps.shape).astype(np.float32))
        assert np.abs(found["signed"]).max() < 0.35
        assert np.abs(found["absolute"]).max() < 0.35

    def test_depends_on_the_order_alone(self):
        heat = read_map(self.maps, "absolute")
        np.testing.assert_allclose(rank_correlations(heat, np.exp(heat)), 1)

    @pytest.mark.parametrize("value", [0.0, np.nan])
    def test_is_unknown_where_either_map_is_empty(self, value):
        empty = np.full_like(self.maps, value)
        for pair in ((empty, self.maps), (self.maps, empty)):
            for kind, values in similarities(*pair).items():
                assert np.isnan(values).all(), kind


class TestReadings:
    maps = np.array([[[[3.0, -1.0]], [[-4.0, 1.0]]]], np.float32)

    @pytest.mark.parametrize(("reading", "wanted"), [("absolute", [4, 5]), ("signed", [2, -3]), ("positive", [2, 0])])
    def test_are_one_number_per_pixel(self, reading, wanted):
        np.testing.assert_array_equal(read_map(self.maps, reading)[0].ravel(), wanted)

    def test_smoothing_keeps_the_sum_and_lowers_the_peak(self):
        maps = np.zeros((1, 51, 51, 1), np.float32)
        maps[0, 25, 25] = -1
        smoothed = read_map(maps, "smoothed")
        assert smoothed.sum() == pytest.approx(1, rel=1e-4)
        assert 0 < smoothed.max() < 0.5


class TestDeletionAndInsertion:
    """On a linear classifier every score on the way is known."""

    classifier = linear(shape=(10, 10, 1))
    images = random_images(4, (10, 10, 1))
    targets = np.array([0, 1, 2, 3])
    fill = np.full((4, 10, 10, 1), 0.5, np.float32)

    def order(self):
        """What each pixel adds to the score: the best order that there is."""
        return ((self.images - self.fill) * self.classifier.weights[self.targets])[..., 0]

    def go(self, order, side=1):
        return flip_pixels(
            self.classifier, self.images, self.targets, order, self.fill, side=side, randoms=generators(4)
        )

    def test_scores_are_those_that_the_weights_foretell(self):
        order = self.order()
        found = self.go(order)
        whole = self.classifier.scores(self.images)[np.arange(4), self.targets]
        for row in range(4):
            added = np.sort(order[row].ravel())[::-1]
            lost = [added[: round(fraction * 100)].sum() for fraction in FRACTIONS]
            np.testing.assert_allclose(found.deletion[row], whole[row] - lost, atol=1e-4)
            np.testing.assert_allclose(found.insertion[row], whole[row] - added.sum() + lost, atol=1e-4)

    def test_the_exact_order_beats_a_random_one_and_its_reverse_is_worse(self):
        random = self.go(RANDOM.random((4, 10, 10)))
        best, worst = gains(self.go(self.order()), [random]), gains(self.go(-self.order()), [random])
        for kind in ("deletion", "insertion", "together"):
            assert (best[kind] > 0.5).all()
            assert (worst[kind] < -0.5).all()

    def test_an_order_gains_nothing_over_itself(self):
        own = self.go(self.order())
        np.testing.assert_array_equal(gains(own, [own])["together"], 0)

    def test_deletion_and_insertion_change_ends(self):
        found = self.go(self.order())
        np.testing.assert_array_equal(found.deletion[:, 0], found.insertion[:, -1])
        np.testing.assert_array_equal(found.deletion[:, -1], found.insertion[:, 0])

    def test_pixels_of_a_cell_go_together(self):
        order = np.zeros((4, 10, 10), np.float32)
        order[:, 0, 0] = 1
        found = self.go(order, side=5)
        assert [len(np.unique(row.round(5))) for row in found.deletion] == [5] * 4

    def test_no_image_couples_to_another(self):
        both, order = self.go(self.order()), self.order()
        alone = flip_pixels(
            self.classifier,
            self.images[2:3],
            self.targets[2:3],
            order[2:3],
            self.fill[2:3],
            side=1,
            randoms=generators(4)[2:3],
        )
        np.testing.assert_allclose(alone.deletion[0], both.deletion[2], atol=1e-5)

    def test_many_images_are_scored_as_few_are(self):
        images = random_images(40, (10, 10, 1))
        targets, fill = np.arange(40) % 4, np.zeros((40, 10, 10, 1), np.float32)
        order = RANDOM.random((40, 10, 10)).astype(np.float32)
        found = flip_pixels(self.classifier, images, targets, order, fill, side=2, randoms=generators(40))
        odds = log_odds(self.classifier.scores(images), self.classifier.output)
        np.testing.assert_allclose(found.deletion[:, 0], odds[np.arange(40), targets], rtol=1e-5)
        assert found.insertion.shape == (40, len(FRACTIONS))

    def test_known_ends_are_not_scored_again_and_change_nothing(self, monkeypatch):
        classifier, images = linear(), random_images(5)
        targets, order, counted = np.arange(5) % 4, random_images(5, (6, 7, 1))[..., 0], []
        scores = type(classifier).scores
        monkeypatch.setattr(type(classifier), "scores", lambda s, x: counted.append(len(x)) or scores(s, x))

        def go(ends=None):
            counted.clear()
            fill = np.zeros_like(images)
            curves = flip_pixels(classifier, images, targets, order, fill, side=1, randoms=generators(5), ends=ends)
            return curves, sum(counted)

        first, of_all = go()
        again, of_rest = go(first.deletion[:, [0, -1]])
        assert of_all - of_rest == 2 * len(images)
        np.testing.assert_allclose(again.deletion, first.deletion, atol=1e-5)
        np.testing.assert_allclose(again.insertion, first.insertion, atol=1e-5)

    def test_areas_are_means_over_the_way(self):
        straight = np.tile(np.array(FRACTIONS), (2, 1))
        down, up = FlipCurves(1 - straight, np.full_like(straight, 3)).areas()
        np.testing.assert_allclose(down, 0.5)
        np.testing.assert_allclose(up, 3)

    def test_cells_are_pixels_in_small_pictures_and_patches_in_large_ones(self):
        assert [cell_side(side, side) for side in (8, 28, 224)] == [1, 2, 14]


class TestCriteria:
    @pytest.mark.parametrize(
        ("name", "value", "half", "outcome"),
        [
            ("randomised weights", 0.3, 0.1, "passed"),
            ("randomised weights", 0.45, 0.1, "open"),
            ("randomised weights", 0.7, 0.1, "failed"),
            ("order", 0.2, 0.1, "passed"),
            ("order", 0.3, 0.4, "open"),
            ("order", 0.1, 0.3, "failed"),
            ("small noise", 0.7, 0.1, "passed"),
            ("small noise", 0.3, 0.1, "failed"),
            ("completeness", 0.2, 0.05, "failed"),
        ],
    )
    def test_are_met_or_missed_by_the_whole_interval(self, name, value, half, outcome):
        assert judge(TRUST_TESTS[name], measure(value, half)).outcome == outcome

    def test_say_nothing_without_an_interval(self):
        assert judge(TRUST_TESTS["order"], replace(measure(9.0), low=None, high=None)).outcome == "open"

    @pytest.mark.parametrize(("n", "empty", "outcome"), [(12, 0.25, "passed"), (11, 0.0, "open"), (12, 0.26, "open")])
    def test_that_decide_need_twelve_groups_and_three_quarters_of_the_maps(self, n, empty, outcome):
        measured = measure(0.3, 0.1, "correlation", n)
        test = judge(TRUST_TESTS["randomised weights"], measured, empty)
        assert test.outcome == outcome
        assert (test.reason is None) == (outcome == "passed")

    def test_call_no_gain_negligible_that_is_a_tenth_of_the_spread_of_the_scores(self):
        small, large = criteria_at_scale(0.5)["order"], criteria_at_scale(20)["order"]
        assert (small.passes, small.fails) == (0, 0.05)
        assert (large.passes, large.fails) == (0, 0.5)
        assert criteria_at_scale(0.5)["small noise"] == TRUST_TESTS["small noise"]

    def test_that_decide_are_two(self):
        assert [name for name, criterion in TRUST_TESTS.items() if criterion.decisive] == [
            "randomised weights",
            "order",
        ]
