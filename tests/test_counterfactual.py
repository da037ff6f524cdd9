"""Least changes: the closed forms of linear classifiers, the box, regions, and the rule that calls noise noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from auditor.artefacts.kinds import Artefact
from auditor.artefacts.overlay import Overlay
from auditor.errors import OptionError
from auditor.explain.counterfactual.adversarial import find_traits, moved
from auditor.explain.counterfactual.record import NO_ERRORS
from auditor.explain.counterfactual.search import (
    ANY,
    Aim,
    Cost,
    away_from,
    find_counterfactuals,
    margins,
    towards,
)
from auditor.explain.counterfactual.study import study_counterfactuals
from auditor.explain.inquiry import Inquiry, NotApplicableError
from auditor.explain.texture import high_frequency_share
from auditor.measure.arrays import Floats
from auditor.measure.ledger import NewArrays, Rows
from auditor.measure.measurement import Measurement, Note
from auditor.report.sections.counterfactual import view_counterfactual
from auditor.subject.data.sample import Dataset
from auditor.subject.model.classifier import log_odds, predicted_classes
from auditor.subject.population import Population
from tests.closed_form import LinearClassifier, MemorySource, linear, quadratic, random_images
from tests.small_world import Command, World
from tests.synthetic import make_result

CONFIDENCE = 0.1
PURE_L2, PURE_L1, LARGEST = Cost(l1=0), Cost(l1=1, l2=0), Cost("l-infinity")


@dataclass(frozen=True)
class Watched(LinearClassifier):
    """Keeps every image that it is shown."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "seen", [])

    def linearise(self, images, layers=()):
        self.seen.append(images.copy())
        return super().linearise(images, layers)

    def scores(self, images):
        self.seen.append(images.copy())
        return super().scores(images)


def one_logit(shape=(6, 7, 1), need=0.5, seed=0, middle=0.5):
    """A linear classifier whose class 0 lacks `need` at grey images, and those images."""
    weights = np.random.default_rng(seed).normal(size=(1, *shape)).astype(np.float32)
    images = np.full((3, *shape), middle, np.float32) + 0.02 * random_images(3, shape, seed) - 0.01
    bias = -np.einsum("nhwc,khwc->nk", images, weights).mean(axis=0) - need
    return LinearClassifier(weights, bias.astype(np.float32)), images.astype(np.float32)


def needed(classifier: LinearClassifier, images: Floats) -> np.ndarray:
    return CONFIDENCE - classifier.scores(images)[:, 0].astype(np.float64)


def changes_of(classifier, images, cost, **options):
    found = find_counterfactuals(classifier, images, towards(np.zeros(len(images), np.int64)), cost=cost, **options)
    assert found.found.all()
    return (found.images - images).astype(np.float64), found


class TestClosedForms:
    def test_the_least_l2_change_projects_on_the_hyperplane(self):
        classifier, images = one_logit()
        changes, _ = changes_of(classifier, images, PURE_L2)
        weights = classifier.weights[0].astype(np.float64)
        expected = needed(classifier, images)[:, None, None, None] * weights / np.square(weights).sum()
        np.testing.assert_allclose(changes, expected, atol=2e-4)

    def test_the_least_l1_change_moves_the_pixel_of_the_largest_weight_alone(self):
        classifier, images = one_logit()
        changes, _ = changes_of(classifier, images, PURE_L1)
        weights = classifier.weights[0].ravel()
        strongest = np.abs(weights).argmax()
        expected = np.zeros((3, weights.size))
        expected[:, strongest] = needed(classifier, images) / weights[strongest]
        np.testing.assert_allclose(changes.reshape(3, -1), expected, atol=1e-3)

    def test_the_least_largest_change_has_the_signs_of_the_weights(self):
        classifier, images = one_logit()
        changes, _ = changes_of(classifier, images, LARGEST)
        weights = classifier.weights[0].astype(np.float64)
        epsilon = needed(classifier, images) / np.abs(weights).sum()
        np.testing.assert_allclose(changes, epsilon[:, None, None, None] * np.sign(weights), atol=1e-4)

    def test_the_elastic_net_shrinks_the_weights(self):
        classifier, images = one_logit()
        cost = Cost(l1=0.2)
        changes, _ = changes_of(classifier, images, cost)
        weights = classifier.weights[0].astype(np.float64)
        for change, need in zip(changes, needed(classifier, images), strict=True):
            expected = solve(weights, need, lambda pull: np.sign(weights) * np.maximum(pull * np.abs(weights) - 0.2, 0))
            np.testing.assert_allclose(change, expected, atol=3e-4)
            assert 0 < (np.abs(expected) > 0).mean() < 1

    @pytest.mark.parametrize("cost", [PURE_L2, LARGEST], ids=["l2", "l-infinity"])
    def test_with_the_box_active_the_rest_of_the_pixels_pay(self, cost):
        classifier, images = one_logit(need=6.0, middle=0.8)
        changes, found = changes_of(classifier, images, cost)
        weights = classifier.weights[0].astype(np.float64)
        shape = weights if cost is PURE_L2 else np.sign(weights)
        for image, change, need in zip(images.astype(np.float64), changes, needed(classifier, images), strict=True):
            expected = solve(weights, need, lambda pull, image=image: np.clip(image + pull * shape, 0, 1) - image)
            np.testing.assert_allclose(change, expected, atol=1e-3)
        assert (found.images == 1).any()

    def test_with_the_box_active_l1_goes_on_to_the_next_pixels_in_the_order_of_their_weights(self):
        classifier, images = one_logit(need=2.0, middle=0.8)
        changes, _ = changes_of(classifier, images, PURE_L1)
        weights = classifier.weights[0].ravel().astype(np.float64)
        for image, change, need in zip(images.astype(np.float64), changes, needed(classifier, images), strict=True):
            room = np.where(weights > 0, 1 - image.ravel(), image.ravel())
            expected, left = np.zeros(weights.size), need
            for pixel in np.argsort(-np.abs(weights)):
                step = min(room[pixel], left / abs(weights[pixel]))
                expected[pixel] = np.sign(weights[pixel]) * step
                left -= step * abs(weights[pixel])
            assert (np.abs(expected) > 0).sum() > 1
            np.testing.assert_allclose(np.abs(change).sum(), np.abs(expected).sum(), rtol=0.01)


def solve(weights: np.ndarray, need: float, family) -> np.ndarray:
    """The change of a family that grows with its argument, where the linear score rises just by what is needed."""
    low, high = 0.0, 1e4
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if (weights * family(middle)).sum() < need else (low, middle)
    return family(high)


class TestLaws:
    @pytest.mark.parametrize("cost", [Cost(), PURE_L2, PURE_L1, LARGEST, Cost(variation=0.02)])
    def test_images_are_in_range_at_every_step(self, cost):
        shape = (6, 7, 3)
        first = linear(shape=shape)
        classifier = Watched(4 * first.weights, first.bias)
        images = random_images(5, shape).round()
        found = find_counterfactuals(classifier, images, towards(np.full(5, 2)), cost=cost, confidence=2.0)
        shown = np.concatenate(classifier.seen)
        assert len(shown) > 50
        assert shown.min() >= 0
        assert shown.max() <= 1
        assert found.images.dtype == np.float32

    @pytest.mark.parametrize("output", ["softmax", "binary", "multilabel"])
    @pytest.mark.parametrize("away", [False, True])
    def test_the_margin_is_reached_and_hardly_more(self, output, away):
        classifier = linear(classes=2 if output == "binary" else 4, output=output)
        if output == "binary":
            classifier = replace(classifier, weights=np.stack([-classifier.weights[1], classifier.weights[1]]),
                                 bias=np.array([-classifier.bias[1], classifier.bias[1]]))  # fmt: skip
        images = random_images(8)
        said = predicted_classes(classifier.scores(images), output)
        column = said.mean(axis=0).argmax() if away else said.mean(axis=0).argmin()
        rows = np.flatnonzero(said[:, column] == away)
        make = away_from if away else towards
        found = find_counterfactuals(classifier, images[rows], make(np.full(len(rows), column)))
        assert len(rows)
        assert found.found.all()
        says = predicted_classes(classifier.scores(found.images), output)
        assert (says[:, column] != away).all()
        assert (found.margins >= CONFIDENCE).all()
        assert (found.margins < CONFIDENCE + 0.01).all()

    def test_a_named_foil_is_what_the_class_gets_ahead_of(self):
        classifier = linear(output="softmax")
        images = random_images(6)
        order = classifier.scores(images).argsort(axis=1)
        aim = Aim(order[:, 0], np.zeros(6, bool), order[:, 1])
        found = find_counterfactuals(classifier, images, aim)
        scores = classifier.scores(found.images)
        rows = np.arange(6)
        lead = scores[rows, order[:, 0]] - scores[rows, order[:, 1]]
        assert found.found.all()
        np.testing.assert_allclose(lead, found.margins, atol=1e-4)
        assert (scores.argmax(axis=1) != order[:, 0]).any()

    def test_an_image_that_says_it_already_stays_as_it_is(self):
        classifier = linear(output="softmax")
        images = random_images(6)
        scores = classifier.scores(images)
        rows = np.flatnonzero(np.diff(np.sort(scores, axis=1)[:, -2:])[:, 0] > CONFIDENCE)
        found = find_counterfactuals(classifier, images[rows], towards(scores.argmax(axis=1)[rows]))
        assert len(rows)
        assert found.found.all()
        np.testing.assert_array_equal(found.images, images[rows])

    def test_no_change_is_dearer_than_a_random_one_that_does_as_well(self):
        classifier = quadratic()
        images = random_images(6)
        targets = classifier.scores(images).argmin(axis=1)
        found = find_counterfactuals(replace(classifier, output="softmax"), images, towards(targets))
        cost = Cost()
        least = cost.of(found.images - images)
        random = np.random.default_rng(5)
        reached = 0
        for _ in range(200):
            nudged = np.clip(found.images + 0.02 * random.normal(size=images.shape), 0, 1).astype(np.float32)
            values, _ = margins(classifier.scores(nudged), towards(targets), "softmax")
            ok = values >= CONFIDENCE
            reached += ok.sum()
            assert (cost.of(nudged - images)[ok] > least[ok]).all()
        assert reached

    def test_confined_changes_touch_the_region_alone(self):
        classifier, images = one_logit()
        region = np.zeros((3, 6, 7), bool)
        region[:, 1:4, 2:6] = True
        changes, _ = changes_of(classifier, images, Cost(), within=region)
        assert (changes[~region] == 0).all()
        assert (changes[region] != 0).any()
        elsewhere, _ = changes_of(classifier, images, Cost(), within=~region)
        assert (elsewhere[region] == 0).all()
        free, _ = changes_of(classifier, images, Cost())
        price = Cost().of
        assert (price(free) <= price(changes) + 1e-4).all()
        assert (price(free) <= price(elsewhere) + 1e-4).all()

    def test_what_cannot_be_reached_is_given_with_its_best_margin(self):
        classifier, images = one_logit(need=1e4)
        found = find_counterfactuals(classifier, images, towards(np.zeros(3, np.int64)))
        weights = classifier.weights[0]
        best = classifier.scores(np.where(weights > 0, 1, 0)[None].astype(np.float32))[0, 0]
        assert not found.found.any()
        assert len(found.images) == 3
        np.testing.assert_allclose(found.margins, best, rtol=1e-3)

    def test_a_model_without_slopes_is_given_up_at_once(self):
        shape = (6, 7, 1)
        dead = LinearClassifier(np.zeros((1, *shape), np.float32), np.full(1, -1, np.float32))
        found = find_counterfactuals(dead, random_images(2, shape), towards(np.zeros(2, np.int64)))
        assert not found.found.any()
        np.testing.assert_allclose(found.margins, -1)

    def test_the_same_twice_and_whoever_is_beside(self):
        classifier = replace(quadratic(), output="softmax")
        images = random_images(9)
        targets = classifier.scores(images).argmin(axis=1)
        whole = find_counterfactuals(classifier, images, towards(targets))
        again = find_counterfactuals(classifier, images, towards(targets))
        np.testing.assert_array_equal(whole.images, again.images)
        order = np.array([7, 2, 5])
        some = find_counterfactuals(classifier, images[order], towards(targets[order]))
        np.testing.assert_allclose(some.images, whole.images[order], atol=1e-4)
        np.testing.assert_allclose(some.margins, whole.margins[order], atol=1e-4)

    def test_a_keras_model_answers_the_same_in_batches_of_any_size(self):
        from auditor.subject.model.keras import KerasClassifier
        from tests.small_world import make_data, make_model

        classifier = KerasClassifier(make_model())
        images = make_data()["images"][:7].astype(np.float32) / 255
        targets = classifier.scores(images).argmin(axis=1)
        whole, parts = (find_counterfactuals(classifier.sized(size), images, towards(targets)) for size in (7, 2))
        assert whole.found.all()
        np.testing.assert_allclose(whole.images, parts.images, atol=1e-4)

    def test_total_variation_makes_changes_smoother(self):
        classifier, images = one_logit((12, 12, 1), seed=3)
        rough, _ = changes_of(classifier, images, PURE_L2)
        smooth, _ = changes_of(classifier, images, Cost(l1=0, variation=0.05))
        assert (high_frequency_share(smooth.astype(np.float32)) < high_frequency_share(rough.astype(np.float32))).all()

    def test_no_images_are_no_trouble(self):
        classifier, images = one_logit()
        found = find_counterfactuals(classifier, images[:0], towards(np.zeros(0, np.int64)))
        assert len(found.images) == 0

    def test_the_derivative_of_the_margin_is_that_of_the_margin(self):
        scores = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
        aim = Aim(np.array([0, 1, 2, 3, 0]), np.array([0, 1, 0, 1, 1], bool), np.array([ANY, ANY, 1, 0, ANY]))
        for output in ("softmax", "multilabel"):
            values, slopes = margins(scores, aim, output)
            for number in range(4):
                moved = scores.copy()
                moved[:, number] += 1e-3
                change = (margins(moved, aim, output)[0] - values) / 1e-3
                np.testing.assert_allclose(change, slopes[:, number], atol=0.01)


def truth(weights: np.ndarray) -> tuple[LinearClassifier, Floats]:
    """A softmax classifier of two classes that sees nothing but these weights, and images it says the second of."""
    shape = weights.shape
    images = (0.48 + 0.04 * random_images(6, (*shape, 1), 1)).astype(np.float32)
    both = np.stack([weights, -weights])[..., None].astype(np.float32)
    here = np.einsum("nhwc,khwc->nk", images, both)
    bias = np.array([0.0, 2 * here[:, 0].max() + 6], np.float32)
    return LinearClassifier(both, bias, "softmax"), images


SIDE = 28
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]
NOISE = np.random.default_rng(4).normal(size=(SIDE, SIDE))
BLOB = np.exp(-((ROWS - 9) ** 2 + (COLUMNS - 17) ** 2) / 18)
PATCH = ((ROWS >= 20) & (ROWS < 25) & (COLUMNS >= 3) & (COLUMNS < 9)).astype(float)
MEANT = {"a blob": BLOB, "a patch": PATCH, "a fine pattern in one place": PATCH * NOISE}
NOISES = {"random weights": NOISE, "a checkerboard": np.where((ROWS + COLUMNS) % 2, 1.0, -1.0)}


class TestRule:
    @pytest.mark.parametrize("name", NOISES)
    @pytest.mark.parametrize("cost", [Cost(), PURE_L2, LARGEST], ids=["elastic net", "l2", "l-infinity"])
    def test_a_change_along_noise_is_called_adversarial(self, name, cost):
        classifier, images = truth(NOISES[name])
        aim = towards(np.zeros(6, np.int64))
        found = find_counterfactuals(classifier, images, aim, cost=cost)
        traits = find_traits(classifier, images, found.images, aim)
        assert found.found.all()
        assert traits.is_adversarial.all()

    @pytest.mark.parametrize("scale", [20, 60])
    def test_noise_that_can_be_seen_is_caught_for_being_brittle_and_scattered(self, scale):
        classifier, images = truth(NOISE)
        far = replace(classifier, bias=classifier.bias + np.array([0, scale], np.float32))
        aim = towards(np.zeros(6, np.int64))
        found = find_counterfactuals(far, images, aim)
        traits = find_traits(far, images, found.images, aim)
        assert found.found.all()
        assert not traits.is_invisible.any()
        assert traits.is_brittle.all()

    @pytest.mark.parametrize("name", MEANT)
    @pytest.mark.parametrize("cost", [Cost(), PURE_L2], ids=["elastic net", "l2"])
    def test_a_change_of_a_thing_in_one_place_is_called_explanatory(self, name, cost):
        classifier, images = truth(MEANT[name])
        aim = towards(np.zeros(6, np.int64))
        found = find_counterfactuals(classifier, images, aim, cost=cost)
        traits = find_traits(classifier, images, found.images, aim)
        assert found.found.all()
        assert not traits.is_adversarial.any()

    @pytest.mark.parametrize("scale", [0, 20])
    @pytest.mark.parametrize("cost", [Cost(l1=1), PURE_L1], ids=["elastic net", "l1"])
    def test_a_few_single_pixels_along_noise_are_called_adversarial_however_few(self, cost, scale):
        classifier, images = truth(NOISE)
        far = replace(classifier, bias=classifier.bias + np.array([0, scale], np.float32))
        aim = towards(np.zeros(6, np.int64))
        found = find_counterfactuals(far, images, aim, cost=cost)
        traits = find_traits(far, images, found.images, aim)
        assert found.found.all()
        assert (moved(found.images - images).mean(axis=(1, 2)) < 0.05).all()
        assert traits.is_adversarial.all()

    def test_a_small_mark_on_a_large_frame_is_no_less_visible_than_on_a_small_one(self):
        for side in (28, 224):
            weights = np.zeros((side, side))
            weights[:6, :6] = 1.0
            images = np.full((1, side, side, 1), 0.5, np.float32)
            changed = images.copy()
            changed[0, :6, :6] += 0.1
            both = np.stack([weights, -weights])[..., None].astype(np.float32)
            classifier = LinearClassifier(both, np.zeros(2, np.float32), "softmax")
            traits = find_traits(classifier, images, changed, towards(np.zeros(1, np.int64)))
            np.testing.assert_allclose(traits.rms, 0.1, atol=1e-6)
            assert not traits.is_adversarial.any()

    def test_the_block_is_the_touching_pixels_that_hold_most_and_single_pixels_are_none(self):
        images = np.full((2, SIDE, SIDE, 1), 0.5, np.float32)
        changed = images.copy()
        changed[0, 3:6, 3:6] += 0.2
        changed[0, 20:22, 20:22] += 0.3
        changed[1, ::5, ::5] += 0.2
        classifier, _ = truth(NOISE)
        traits = find_traits(classifier, images, changed, towards(np.zeros(2, np.int64)))
        np.testing.assert_allclose(traits.block, [0.36 / (0.36 + 0.36), 0], atol=1e-6)

    def test_a_change_that_nobody_sees_is_called_adversarial_whatever_its_shape(self):
        classifier, images = truth(BLOB)
        easy = replace(classifier, weights=100 * classifier.weights, bias=np.zeros(2, np.float32))
        bias = np.array([0, 2 * easy.scores(images)[:, 0].max() + 1], np.float32)
        aim = towards(np.zeros(1, np.int64))
        top = easy.scores(images)[:, 0].argmax()
        easy = replace(easy, bias=bias)
        found = find_counterfactuals(easy, images[[top]], aim)
        assert find_traits(easy, images[[top]], found.images, aim).is_invisible.all()

    def test_survival_is_the_share_of_the_effect_that_a_blur_leaves(self):
        classifier, images = truth(BLOB)
        aim = towards(np.zeros(6, np.int64))
        found = find_counterfactuals(classifier, images, aim, cost=PURE_L2)
        survival = find_traits(classifier, images, found.images, aim).survival
        width = 3.0  # of the blob; a Gaussian of one pixel leaves sum(b * blurred b) / sum(b * b) of it
        np.testing.assert_allclose(survival, width**2 / (width**2 + 0.5), atol=0.01)


CORNER = np.zeros((8, 8), bool)
CORNER[5:, 5:] = True


def inquire(
    *,
    labels: bool = True,
    output: str = "softmax",
    count: int = 30,
    whole_frame: bool = False,
    order: np.ndarray | None = None,
    wrong: bool = True,
) -> Inquiry:
    """Three classes, bright in a third of their columns each; the third one also reacts to a mark in the corner."""
    weights = np.zeros((3, 8, 8, 1), np.float32)
    for number in range(3):
        weights[number, :5, 3 * number : 3 * number + 3] = 0.3
    weights[2][CORNER] = 2.0
    classifier = LinearClassifier(weights, np.array([-1.5, -1.5, -4.5], np.float32), output, ())
    images = 0.1 + 0.1 * random_images(count, (8, 8, 1), 7)
    truth = np.arange(count) % 3
    for number, label in enumerate(truth):
        images[number, :, 3 * label : 3 * label + 3] += 0.4
    images[truth == 2, 5:, 5:] += 0.1
    said = classifier.scores(images).argmax(axis=1)
    given = np.where(np.arange(count) < 4, (said + 1) % 3, said) if wrong else said
    order = np.arange(count) if order is None else order
    source = MemorySource(images[order], given[order].tolist() if labels else None)
    source.ids = [f"image {number:03d}" for number in order]
    dataset = Dataset(source, classes=classifier.classes, image_shape=(8, 8, 1), multilabel=output == "multilabel")
    scores = classifier.scores(images[order])
    predicted = predicted_classes(scores, output)
    has = predicted if dataset.truth is None else dataset.truth
    population = Population(
        np.arange(count), log_odds(scores, output), predicted, has, dataset.labelled, dataset.groups
    )
    region = np.ones((8, 8), bool) if whole_frame else CORNER
    overlay = Overlay(np.where(region, 0.5, 0).astype(np.float32), np.ones((8, 8, 1), np.float32))
    mark = Artefact("mark", "overlay", overlay, 2, "none", np.zeros(count, bool))
    return Inquiry(
        classifier,
        dataset,
        population,
        [mark],
        [2],
        images.mean(axis=0),
        [],
        Rows(),
        NewArrays(),
        0,
        0.95,
        lambda *_: None,
    )


class TestStudy:
    def test_asks_about_errors_and_both_directions_with_controls_and_confined(self):
        record = study_counterfactuals(inquire())
        asked = {(entry.reason, entry.control, entry.confined) for entry in record.sets}
        both = {(way, *rest) for way in ("away", "towards") for rest in [(False, None), (True, None)]}
        confined = {(way, False, place) for way in ("away", "towards") for place in ("region", "elsewhere")}
        assert asked == {("errors", False, None), ("errors", True, None)} | both | confined

    def test_says_of_every_error_alone_what_its_change_is(self):
        record = study_counterfactuals(inquire(), shown=2)
        (entry,) = (each for each in record.sets if each.corrections)
        assert (entry.reason, entry.control) == ("errors", False)
        assert len(entry.corrections) == entry.images
        calls = [change.adversarial for change in entry.corrections if change.adversarial is not None]
        assert np.mean(calls) == pytest.approx(entry.measurements["adversarial"].value)
        for shown, change in zip(entry.shown, entry.corrections, strict=False):
            assert (shown.image, shown.adversarial) == (change.image, change.adversarial)
            assert change.changed_pixels == pytest.approx(shown.changed_pixels)

    def test_finds_the_mark_in_both_directions_and_not_on_the_way_to_a_random_class(self):
        record = study_counterfactuals(inquire())
        for way in ("away", "towards"):
            (entry,) = (e for e in record.sets if e.reason == way and not e.control and not e.confined)
            assert entry.measurements["success"].value == 1
            assert entry.regions["mark"].low > 0.9 > record.areas["mark"]
            assert entry.images == entry.measurements["L2"].n
        (control,) = (e for e in record.sets if e.reason == "towards" and e.control)
        assert control.regions["mark"].high < 0.1

    def test_confined_changes_lie_where_they_may(self):
        record = study_counterfactuals(inquire())
        region, outside = (
            next(e for e in record.sets if e.reason == "towards" and e.confined == place)
            for place in ("region", "elsewhere")
        )
        assert region.measurements["success"].value == outside.measurements["success"].value == 1
        assert region.regions["mark"].low == pytest.approx(1)
        assert outside.regions["mark"].high == 0
        assert outside.measurements["L1"].value > region.measurements["L1"].value

    def test_a_change_that_cannot_be_found_is_told_with_its_best_margin(self):
        record = study_counterfactuals(inquire())
        (outside,) = (e for e in record.sets if e.reason == "away" and e.confined == "elsewhere")
        assert outside.images > 0  # nothing else makes up for the mark: see the weights
        assert outside.measurements["success"].value == 0
        assert outside.measurements["best margin"].value < 0
        assert outside.regions["mark"].value is None

    def test_knows_nothing_of_the_order_of_the_images(self):
        order = np.random.default_rng(3).permutation(30)
        first, second = (
            study_counterfactuals(inquire(), images=5),
            study_counterfactuals(inquire(order=order), images=5),
        )
        assert [[shown.image for shown in e.shown] for e in first.sets] == [
            [shown.image for shown in e.shown] for e in second.sets
        ]
        for one, other in zip(first.sets, second.sets, strict=True):
            assert one.measurements["L2"].value == pytest.approx(other.measurements["L2"].value, abs=1e-4)

    def test_keeps_the_pictures_and_rows_that_it_names(self):
        inquiry = inquire()
        record = study_counterfactuals(inquiry, shown=2)
        shown = [image for entry in record.sets for image in entry.shown]
        assert shown
        for image in shown:
            change = inquiry.arrays[image.difference]
            assert change.dtype == np.float32
            assert inquiry.arrays[image.picture_before].dtype == np.uint8
            assert float(np.abs(change).max()) == pytest.approx(image.largest)
            assert image.before != image.after
        (entry,) = (e for e in record.sets if e.reason == "away" and not e.control and not e.confined)
        columns = inquiry.rows.columns
        shares = [
            value
            for name, condition, value in zip(
                columns["measurement"], columns["condition"], columns["value"], strict=True
            )
            if name == "share in mark" and condition == "away, everywhere"
        ]
        assert np.median(shares) == pytest.approx(entry.regions["mark"].value)

    def test_leads_images_of_one_class_to_another_where_asked(self):
        record = study_counterfactuals(inquire(), pairs=(("class 0", "class 1"),))
        (entry,) = (e for e in record.sets if e.reason == "pair" and not e.control)
        assert entry.measurements["success"].value == 1
        assert {image.before for image in entry.shown} == {"class 0"}
        assert {image.after for image in entry.shown} == {"class 1"}

    def test_refuses_a_class_that_the_model_lacks(self):
        with pytest.raises(OptionError, match="'class 9', which is no class of the model"):
            study_counterfactuals(inquire(), pairs=(("class 0", "class 9"),))

    def test_refuses_changes_that_are_free(self):
        with pytest.raises(OptionError, match="every change would be free"):
            study_counterfactuals(inquire(), l1=0, l2=0)

    def test_says_that_there_are_no_labels_or_no_errors(self):
        without = study_counterfactuals(inquire(labels=False))
        assert any("no labels" in note.text for note in without.notes)
        assert not any(entry.reason == "errors" for entry in without.sets)
        right = study_counterfactuals(inquire(wrong=False))
        assert any("no labelled image wrong" in note.text for note in right.notes)
        assert study_counterfactuals(inquire(), errors=0).notes == []

    def test_an_artefact_of_the_whole_frame_has_no_region_and_it_says_so(self):
        record = study_counterfactuals(inquire(whole_frame=True))
        assert record.areas == {}
        assert all(entry.regions == {} and entry.confined is None for entry in record.sets)
        assert any("100% of the frame" in note.text for note in record.notes)

    def test_works_where_classes_do_not_exclude_each_other(self):
        record = study_counterfactuals(inquire(output="multilabel"))
        (entry,) = (e for e in record.sets if e.reason == "errors" and not e.control)
        assert entry.measurements["success"].value == 1

    def test_is_not_applicable_where_nothing_can_be_asked(self):
        inquiry = replace(inquire(labels=False), artefacts=[], targets=[])
        with pytest.raises(NotApplicableError, match="no labels"):
            study_counterfactuals(inquiry)

    def test_how_near_the_truth_is_is_the_median_ratio_of_pairs(self):
        inquiry = inquire()
        record = study_counterfactuals(inquiry)
        (entry,) = (e for e in record.sets if e.reason == "errors" and not e.control)
        columns = inquiry.rows.columns
        lengths = {}
        for name, condition, image, value in zip(
            columns["measurement"], columns["condition"], columns["image"], columns["value"], strict=True
        ):
            if name == "L2":
                lengths.setdefault(condition, {})[image] = value
        mine, theirs = lengths["errors, everywhere"], lengths["errors, everywhere, random class"]
        ratios = [np.log(mine[image] / theirs[image]) for image in mine if image in theirs]
        assert entry.nearness.n == len(ratios) > 1
        assert entry.nearness.value == pytest.approx(np.exp(np.median(ratios)))
        assert entry.nearness.low is None  # of four pairs

    @pytest.mark.parametrize(
        ("nearness", "said"),
        [
            (Measurement(0.3, None, None, None, 1, 1, "ratio", None), "is open"),
            (Measurement(0.3, 0.1, 1.2, 0.95, 9, 9, "ratio", None), "is open"),
            (Measurement(0.3, 0.1, 0.6, 0.95, 9, 9, "ratio", None), "lie nearer to the truth"),
            (Measurement(2.0, 1.5, 3.0, 0.95, 9, 9, "ratio", None), "lie further from the truth"),
        ],
    )
    def test_errors_lie_near_the_truth_only_where_the_interval_says_so(self, nearness, said):
        result = make_result()
        entry, *others = result.counterfactual.sets
        record = replace(result.counterfactual, sets=[replace(entry, nearness=nearness), *others])
        view = view_counterfactual(replace(result, counterfactual=record))
        assert said in view["errors"]
        assert f"median of {nearness.n} image" in view["errors"]
        assert ("lie nearer" in view["errors"]) == (said == "lie nearer to the truth")

    def test_the_name_of_an_artefact_is_never_taken_for_a_reason(self):
        result = make_result()
        about = "wrong sticker: no image with it is predicted as cat, so none can be led away from it"
        record = replace(result.counterfactual, sets=[], notes=[Note("away", about)])
        view = view_counterfactual(replace(result, counterfactual=record))
        assert view["errors"] == "No error was asked about."
        record = replace(record, notes=[*record.notes, Note(NO_ERRORS, "the data have no labels")])
        view = view_counterfactual(replace(result, counterfactual=record))
        assert view["errors"] == "There is nothing to learn from: the data have no labels."


def test_a_class_that_the_model_lacks_ends_the_audit_at_once_with_its_place(world: World, command: Command):
    world.set_study("counterfactual", 'pairs = [["cat", "baot"]]\n')
    ending = command("audit", world.config)
    assert ending.code == 2
    line = world.config.read_text().splitlines().index('pairs = [["cat", "baot"]]') + 1
    place = f"audit.toml:{line}:1: methods.counterfactual.pairs: "
    assert f"{place}got 'baot', which is no class of the model; did you mean 'boat'?" in ending.err
    assert world.runs() == []
