from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from auditor.classifier import log_odds, predicted_classes
from auditor.errors import ModelError, OptionError
from auditor.keras_classifier import KerasClassifier
from tests.closed_form import random_images
from tests.keras_models import SHAPE, in_every_shape, make_layers

IMAGES = random_images(5, SHAPE)
TARGETS = np.array([0, 1, 2, 0, 1])


@pytest.fixture(scope="module")
def models():
    return in_every_shape()


@pytest.mark.parametrize("shape", ["sequential", "nested", "subclassed"])
def test_every_shape_of_model_gives_the_maps_of_its_functional_twin(models, shape):
    twin, other = (KerasClassifier(models[name], batch_size=4) for name in ("functional", shape))
    assert other.feature_layers == twin.feature_layers == ("conv_2", "conv_1")
    assert other.output == twin.output == "softmax"
    assert other.head == twin.head
    first, second = (c.differentiate(IMAGES, TARGETS, ("conv_2", "conv_1")) for c in (twin, other))
    np.testing.assert_allclose(second.scores, first.scores, atol=1e-5)
    np.testing.assert_allclose(second.gradient, first.gradient, atol=1e-5)
    for layer in first.features:
        np.testing.assert_allclose(second.features[layer], first.features[layer], atol=1e-5)
        np.testing.assert_allclose(second.feature_gradients[layer], first.feature_gradients[layer], atol=1e-5)


def test_a_softmax_head_is_taken_off_and_put_back(models):
    model = models["functional"]
    before = model(IMAGES * 255).numpy()
    classifier = KerasClassifier(model)
    scores = classifier.scores(IMAGES)
    assert classifier.score_name == "logit"
    np.testing.assert_allclose(tf.nn.softmax(scores).numpy(), before, atol=1e-5)
    assert scores.std() > 0
    assert not np.allclose(scores, before)
    np.testing.assert_array_equal(model(IMAGES * 255).numpy(), before)


@pytest.mark.parametrize("last", [keras.layers.Softmax, lambda: keras.layers.Activation("softmax")])
def test_a_softmax_of_its_own_layer_is_taken_off_too(last):
    model = keras.Sequential([keras.Input(SHAPE), *make_layers(activation="linear"), last()])
    bare = keras.Sequential([keras.Input(SHAPE), *model.layers[:-1]])
    np.testing.assert_allclose(KerasClassifier(model).scores(IMAGES), bare(IMAGES * 255).numpy(), atol=1e-4)


def test_a_softmax_inside_a_subclassed_call_leaves_log_probabilities():
    class Hidden(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = keras.Sequential(make_layers(activation="linear"))

        def call(self, inputs):
            return tf.nn.softmax(self.inner(inputs))

    model = Hidden()
    probabilities = model(IMAGES * 255).numpy()
    classifier = KerasClassifier(model, image_shape=SHAPE)
    assert classifier.score_name == "log-probability"
    np.testing.assert_allclose(classifier.scores(IMAGES), np.log(probabilities), atol=1e-4)


def test_one_sigmoid_unit_is_two_classes_with_opposite_logits():
    model = keras.Sequential([keras.Input(SHAPE), *make_layers(classes=1, activation="sigmoid")])
    classifier = KerasClassifier(model, classes=("sound", "ill"))
    scores = classifier.scores(IMAGES)
    assert classifier.output == "binary"
    np.testing.assert_array_equal(scores[:, 0], -scores[:, 1])
    np.testing.assert_allclose(tf.sigmoid(scores[:, 1]).numpy(), model(IMAGES * 255).numpy()[:, 0], atol=1e-5)
    both = [classifier.differentiate(IMAGES, np.full(5, number)).gradient for number in (0, 1)]
    np.testing.assert_allclose(both[0], -both[1], atol=1e-7)


def test_several_sigmoid_units_are_multilabel():
    model = keras.Sequential([keras.Input(SHAPE), *make_layers(classes=4, activation="sigmoid")])
    classifier = KerasClassifier(model)
    assert classifier.output == "multilabel"
    np.testing.assert_allclose(tf.sigmoid(classifier.scores(IMAGES)).numpy(), model(IMAGES * 255).numpy(), atol=1e-5)


def test_the_gradient_is_that_of_finite_differences(models):
    classifier = KerasClassifier(models["nested"])
    image, step = IMAGES[:1], 1e-2
    gradient = classifier.differentiate(image, np.array([1])).gradient[0]
    at = np.unravel_index(np.argmax(np.abs(gradient)), gradient.shape)
    up, down = image.copy(), image.copy()
    up[0][at] += step
    down[0][at] -= step
    slope = (classifier.scores(up)[0, 1] - classifier.scores(down)[0, 1]) / (2 * step)
    assert gradient[at] == pytest.approx(slope, rel=0.05)


@pytest.mark.parametrize("size", [1, 3, 64])
def test_the_batch_size_does_not_matter(models, size):
    expected = KerasClassifier(models["functional"], batch_size=5).scores(IMAGES)
    np.testing.assert_allclose(
        KerasClassifier(models["functional"], batch_size=size).scores(IMAGES), expected, atol=1e-5
    )


def test_no_images_give_no_scores(models):
    assert KerasClassifier(models["functional"]).scores(IMAGES[:0]).shape == (0, 3)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (keras.layers.Rescaling(1 / 255), (0, 255)),
        (keras.layers.Rescaling(1 / 127.5, offset=-1), (0, 255)),
        (keras.layers.Rescaling(2, offset=-1), (0, 1)),
        (keras.layers.Normalization(mean=120.0, variance=3000.0), (0, 255)),
        (keras.layers.Normalization(mean=0.45, variance=0.05), (0, 1)),
    ],
)
def test_the_pixel_range_is_read_from_the_models_own_preprocessing(layer, expected):
    model = keras.Sequential([keras.Input(SHAPE), layer, keras.layers.Flatten(), keras.layers.Dense(3)])
    assert KerasClassifier(model).record("m", None).input_range == expected


def test_a_preprocessing_function_is_part_of_the_gradient():
    model = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(3)])
    plain = KerasClassifier(model, input_range=(0, 1))
    scaled = KerasClassifier(model, preprocess=lambda pixels: pixels / 127.5)
    np.testing.assert_allclose(scaled.scores(IMAGES), plain.scores(IMAGES * 2), atol=1e-5)
    gradients = [c.differentiate(IMAGES, TARGETS).gradient for c in (plain, scaled)]
    np.testing.assert_allclose(gradients[1], 2 * gradients[0], atol=1e-5)


def test_a_model_without_an_axis_of_channels_is_fed_without_it():
    model = keras.Sequential([keras.Input((12, 12)), keras.layers.Flatten(), keras.layers.Dense(3)])
    classifier = KerasClassifier(model, input_range=(0, 1))
    np.testing.assert_allclose(classifier.scores(IMAGES), model(IMAGES[..., 0]).numpy(), atol=1e-5)
    assert classifier.differentiate(IMAGES, TARGETS).gradient.shape == IMAGES.shape


def test_a_model_without_convolutions_has_no_feature_layers():
    model = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(3)])
    assert KerasClassifier(model, input_range=(0, 1)).feature_layers == ()


def test_an_unknown_layer_is_refused_with_the_list_of_layers(models):
    with pytest.raises(ModelError, match=r"'conv_9' has no feature maps.*conv_2"):
        KerasClassifier(models["functional"]).differentiate(IMAGES, TARGETS, ("conv_9",))


def test_log_odds_are_the_logit_of_the_probability():
    scores = np.random.default_rng(0).normal(0, 3, (20, 5)).astype(np.float32)
    probabilities = tf.nn.softmax(scores.astype(np.float64)).numpy()
    np.testing.assert_allclose(log_odds(scores, "softmax"), np.log(probabilities / (1 - probabilities)), atol=1e-4)


def test_log_odds_keep_their_exactness_where_softmax_saturates():
    scores = np.array([[60.0, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(log_odds(scores, "softmax"), [[60 - np.log(2), -60, -60]], atol=1e-4)


def test_log_odds_do_not_change_when_all_logits_are_shifted():
    scores = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    np.testing.assert_allclose(log_odds(scores + 100, "softmax"), log_odds(scores, "softmax"), atol=1e-4)


def test_log_odds_of_independent_classes_are_their_logits():
    scores = np.array([[1.0, -2.0]], np.float32)
    np.testing.assert_array_equal(log_odds(scores, "multilabel"), scores)
    np.testing.assert_array_equal(predicted_classes(scores, "multilabel"), [[True, False]])


class TestHeadsThatAreNotTheLastLayer:
    """Probabilities behind a layer of another kind must not pass for logits."""

    def test_an_ensemble_of_sigmoid_models_gives_log_odds(self):
        inputs = keras.Input(SHAPE)
        members = [keras.Sequential([keras.Input(SHAPE), *make_layers(4, "sigmoid", seed)])(inputs) for seed in (1, 2)]
        classifier = KerasClassifier(keras.Model(inputs, keras.layers.Average()(members)), input_range=(0, 255))
        assert classifier.output == "multilabel"
        probabilities = tf.sigmoid(classifier.scores(IMAGES)).numpy()
        expected = np.mean([member.numpy() for member in _outputs(inputs, members)], axis=0)
        np.testing.assert_allclose(probabilities, expected, atol=1e-4)

    def test_an_ensemble_of_softmax_models_gives_log_probabilities(self):
        inputs = keras.Input(SHAPE)
        members = [keras.Sequential([keras.Input(SHAPE), *make_layers(4, "softmax", seed)])(inputs) for seed in (1, 2)]
        classifier = KerasClassifier(keras.Model(inputs, keras.layers.Average()(members)), input_range=(0, 255))
        expected = np.mean([member.numpy() for member in _outputs(inputs, members)], axis=0)
        np.testing.assert_allclose(np.exp(classifier.scores(IMAGES)), expected, atol=1e-4)

    def test_a_reshape_behind_a_sigmoid_leaves_log_odds(self):
        model = keras.Sequential([keras.Input(SHAPE), *make_layers(4, "sigmoid"), keras.layers.Reshape((4,))])
        probabilities = model(IMAGES * 255).numpy()
        np.testing.assert_allclose(tf.sigmoid(KerasClassifier(model).scores(IMAGES)).numpy(), probabilities, atol=1e-4)


class TestInputRange:
    def test_that_contradicts_the_models_own_is_refused(self, models):
        with pytest.raises(OptionError, match=r"got \[0, 1\].*'rescaling' expects \[0, 255\]"):
            KerasClassifier(models["functional"], input_range=(0, 1))

    def test_is_not_read_through_something_that_changes_the_pixels_first(self):
        inputs = keras.Input(SHAPE)
        x = keras.layers.Rescaling(1 / 255)((inputs + 1) * 127.5)
        model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
        with pytest.raises(OptionError, match="declare it"):
            KerasClassifier(model)

    def test_of_a_normalization_about_zero_is_not_guessed(self):
        layers = [keras.layers.Normalization(mean=0.0, variance=0.25), keras.layers.Flatten(), keras.layers.Dense(3)]
        with pytest.raises(OptionError, match="declare it"):
            KerasClassifier(keras.Sequential([keras.Input(SHAPE), *layers]))


def _outputs(inputs, members):
    return keras.Model(inputs, members)(IMAGES * 255)
