"""Derivatives by chords sum to the change of the score, and tend to the mean derivative sooner than nodes do."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from auditor.explain.attribution.methods import integrated_gradients
from auditor.explain.attribution.question import ask
from auditor.subject.model.chords import find_failure
from auditor.subject.model.classifier import Chords
from auditor.subject.model.keras import KerasClassifier
from auditor.subject.model.ways import cut_ways
from tests.closed_form import LinearClassifier, linear, random_images

SHAPE = (16, 16, 3)


def make_classifier(activation="relu", pooling=None, batch_size=16, last=None) -> KerasClassifier:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = keras.Input(SHAPE)
    x = layers.Rescaling(1.0)(inputs)
    for width in (8, 16):
        x = layers.Conv2D(width, 3, padding="same", bias_initializer="normal")(x)
        x = layers.BatchNormalization()(x)
        x = layers.Activation(activation)(x)
        x = (pooling or layers.MaxPooling2D)()(x)
    outputs = layers.Dense(4, activation=last)(layers.Flatten()(x))
    return KerasClassifier(keras.Model(inputs, outputs), input_range=(0.0, 1.0), batch_size=batch_size)


@pytest.fixture(scope="module")
def classifier() -> KerasClassifier:
    return make_classifier()


def ways(count=3):
    ends, starts = random_images(count, SHAPE), random_images(count, SHAPE, seed=1)
    return starts, ends - starts, np.arange(count) % 4


def places(count, steps):
    return np.tile(np.linspace(0, 1, steps + 1), (count, 1))


def mean_derivative(classifier, starts, differences, targets, nodes=400):
    at = ((np.arange(nodes) + 0.5) / nodes).astype(np.float32)[:, None, None, None]
    parts = zip(starts, differences, targets, strict=True)
    slopes = (classifier.differentiate(a + at * way, np.full(nodes, t)).gradient for a, way, t in parts)
    return np.stack([slope.mean(axis=0, dtype=np.float64) for slope in slopes])


@pytest.mark.parametrize("activation", ["relu", "relu6", "sigmoid", "tanh", "softplus"])
def test_sum_to_the_change_of_the_score_times_the_way(activation):
    classifier = make_classifier(activation)
    assert classifier.why_no_chords == ""
    starts, differences, targets = ways()
    found = classifier.chords(starts, differences, (targets,), places(3, 1)).slopes[0]
    change = classifier.scores(starts + differences) - classifier.scores(starts)
    np.testing.assert_allclose((found * differences).sum(axis=(1, 2, 3)), change[np.arange(3), targets], atol=1e-3)


def test_tend_to_the_mean_derivative_sooner_than_the_middles_of_parts(classifier):
    starts, differences, targets = ways()
    limit = mean_derivative(classifier, starts, differences, targets)
    chords = classifier.chords(starts, differences, (targets,), places(3, 16)).slopes[0]
    middles = mean_derivative(classifier, starts, differences, targets, nodes=17)
    assert np.linalg.norm(chords - limit) < np.linalg.norm(middles - limit) / 2


def test_do_not_depend_on_batches_or_on_other_ways(classifier):
    starts, differences, targets = ways()
    straight = classifier.chords(starts, differences, (targets,), places(3, 9))
    for size in (1, 4, 64):
        sized = classifier.sized(size).chords(starts[::-1], differences[::-1], (targets[::-1],), places(3, 9))
        np.testing.assert_allclose(sized.slopes[0][::-1], straight.slopes[0], atol=1e-4)


def test_of_two_classes_are_those_of_each(classifier):
    starts, differences, targets = ways()
    both = classifier.chords(starts, differences, (targets, (targets + 1) % 4), places(3, 4)).slopes
    for aim, slopes in zip((targets, (targets + 1) % 4), both, strict=True):
        alone = classifier.chords(starts, differences, (aim,), places(3, 4)).slopes[0]
        np.testing.assert_allclose(slopes, alone, atol=1e-5)


def test_of_uneven_parts_are_weighted_by_their_widths(classifier):
    starts, differences, targets = ways()
    at = np.sort(np.random.default_rng(0).random((3, 30)), axis=1)
    at[:, 0], at[:, -1] = 0, 1
    found = classifier.chords(starts, differences, (targets,), at).slopes[0]
    limit = mean_derivative(classifier, starts, differences, targets)
    assert np.linalg.norm(found - limit) < 0.05 * np.linalg.norm(limit)


@pytest.mark.parametrize("last", ["softmax", "sigmoid"])
def test_are_of_the_logits_where_the_model_ends_in_probabilities(last: str):
    bare = make_classifier()
    probable = make_classifier(last=last)
    assert probable.why_no_chords == ""
    starts, differences, targets = ways()
    found, wanted = (c.chords(starts, differences, (targets,), places(3, 4)).slopes[0] for c in (probable, bare))
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"activation": "gelu"}, "neither linear nor a known activation"),
        ({"activation": lambda x: 1 / (keras.ops.relu(x) + 1)}, "divides by what depends on the image"),
        ({"pooling": lambda: keras.layers.MaxPooling2D(3, 2)}, "squares that overlap"),
    ],
)
def test_are_refused_where_an_operation_is_not_known(change, why):
    classifier = make_classifier(**change)
    assert why in classifier.why_no_chords
    images, targets = random_images(2, SHAPE), np.array([0, 1])
    asked = ask(classifier, images, targets, ids=["a", "b"], mean_image=images.mean(axis=0))
    found = integrated_gradients(asked, baselines=("black",), tolerance=0.02, most_nodes=4096)["black"]
    assert (found.diagnostics["completeness residual"] < 0.02).all()


NO_GAIN = "12 of them come no nearer than 12 derivatives"


@pytest.mark.parametrize(("off", "middles_off", "why"), [(1.0, 0.0, NO_GAIN), (1.0, 9.0, ""), (0.0, 0.0, "")])
def test_are_left_alone_where_they_come_no_nearer(off, middles_off, why):
    """Chords that miss the slopes across the way, the less the more there are; and derivatives that miss them, too."""
    plain = linear(shape=SHAPE)
    pattern = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)

    class Missing(LinearClassifier):
        def chords(self, starts, ways, aims, places):
            along = (pattern * ways).sum(axis=(1, 2, 3)) / np.square(ways).sum(axis=(1, 2, 3))
            across = pattern - along[:, None, None, None] * ways
            miss = off * across / (places.shape[1] - 1)
            return Chords([self.weights[aims[0]] + miss], np.zeros((len(starts), places.shape[1] - 2)))

        def slopes(self, images, targets):
            return super().slopes(images, targets) + middles_off * pattern / len(images)

    assert find_failure(Missing(plain.weights, plain.bias)) == why


def test_are_refused_where_the_model_takes_one_image_at_a_time():
    layers = keras.layers
    inputs = keras.Input(batch_shape=(1, *SHAPE))
    outputs = layers.Dense(4)(layers.Flatten()(layers.Conv2D(4, 3, activation="relu")(inputs)))
    classifier = KerasClassifier(keras.Model(inputs, outputs), input_range=(0.0, 1.0), batch_size=16)
    assert classifier.why_no_chords.startswith("it takes one image at a time")


def test_integrated_gradients_by_them_have_the_error_that_is_stated(classifier):
    images = random_images(6, SHAPE)
    targets = np.arange(6) % 4
    asked = ask(classifier, images, targets, ids=list("abcdef"), mean_image=images.mean(axis=0))
    found = integrated_gradients(asked, baselines=("black",), tolerance=0.02)["black"]
    limit = images * mean_derivative(classifier, np.zeros_like(images), images, targets)
    errors = np.sqrt(np.square(found.maps - limit).sum(axis=(1, 2, 3)) / np.square(limit).sum(axis=(1, 2, 3)))
    assert (found.diagnostics["relative error"] <= 0.02).all()
    assert (errors <= 1.5 * found.diagnostics["relative error"]).all()
    assert (found.diagnostics["completeness residual"] < 1e-3).all()


@pytest.mark.parametrize(("first", "tolerance"), [(2, 0.1), (4, 0.1), (6, 0.02), (6, 0.001)])
def test_where_the_error_falls_as_the_number_of_steps_grows_it_is_what_is_stated(first: int, tolerance: float):
    class ByTheNumber(LinearClassifier):
        """Its chords miss the weights by a number of steps' share of their mirror image, and keep their sum."""

        why_no_chords = ""

        def chords(self, starts, ways, aims, places):
            (targets,) = aims
            miss = (self.weights - self.weights[:, ::-1])[targets] / (places.shape[1] - 1)
            return Chords([self.weights[targets] + miss], np.zeros((len(starts), places.shape[1] - 2)))

    plain = linear(shape=SHAPE)
    classifier = ByTheNumber(plain.weights, plain.bias)
    images, targets = np.ones((4, *SHAPE), np.float32), np.arange(4)
    asked = ask(classifier, images, targets, ids=list("abcd"), mean_image=images[0])
    options = {"baselines": ("black",), "nodes": first, "most_nodes": 4000, "tolerance": tolerance}
    found = integrated_gradients(asked, **options)["black"]
    gaps = np.sqrt(np.square(found.maps - plain.weights[targets]).sum(axis=(1, 2, 3)))
    true = gaps / np.sqrt(np.square(plain.weights[targets]).sum(axis=(1, 2, 3)))
    assert (true <= tolerance * 1.1).all()
    np.testing.assert_allclose(found.diagnostics["relative error"], true, rtol=2 * tolerance)


@pytest.mark.parametrize("sizes", [(2,), (8, 2), (64, 16, 4)])
def test_every_step_of_every_way_is_in_one_batch_once(sizes):
    at = np.sort(np.random.default_rng(1).random((5, 12)), axis=1)
    widths = np.zeros((5, 11))
    for part in cut_ways(at, sizes):
        assert len(part.owners) in sizes
        has_next = part.widths > 0
        np.add.at(widths, (part.owners[has_next], part.numbers[has_next]), part.widths[has_next])
    np.testing.assert_allclose(widths, np.diff(at, axis=1), atol=1e-6)
