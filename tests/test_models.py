from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from auditor.errors import ModelError, OptionError
from auditor.subject.model.classifier import log_odds, predicted_classes
from auditor.subject.model.keras import KerasClassifier
from tests.closed_form import random_images
from tests.keras_models import SHAPE, in_every_shape, make_layers, transformer

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
    np.testing.assert_allclose(model(IMAGES * 255).numpy(), before, atol=1e-6)


@pytest.mark.parametrize("last", [keras.layers.Softmax, lambda: keras.layers.Activation("softmax")])
def test_a_softmax_of_its_own_layer_is_taken_off_too(last):
    model = keras.Sequential([keras.Input(SHAPE), *make_layers(activation="linear"), last()])
    bare = keras.Sequential([keras.Input(SHAPE), *model.layers[:-1]])
    np.testing.assert_allclose(KerasClassifier(model).scores(IMAGES), bare(IMAGES * 255).numpy(), atol=1e-4)


def test_a_softmax_inside_a_subclassed_call_is_taken_off_too():
    class Hidden(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = keras.Sequential(make_layers(activation="linear"))

        def call(self, inputs):
            return tf.nn.softmax(self.inner(inputs))

    model = Hidden()
    model(IMAGES * 255)
    classifier = KerasClassifier(model, image_shape=SHAPE)
    assert classifier.score_name == "logit"
    np.testing.assert_allclose(classifier.scores(IMAGES), model.inner(IMAGES * 255).numpy(), atol=1e-4)


def test_one_sigmoid_unit_is_two_classes_with_opposite_logits():
    model = keras.Sequential([keras.Input(SHAPE), *make_layers(classes=1, activation="sigmoid")])
    classifier = KerasClassifier(model, classes=("sound", "ill"))
    scores = classifier.scores(IMAGES)
    assert classifier.output == "binary"
    np.testing.assert_array_equal(scores[:, 0], -scores[:, 1])
    np.testing.assert_allclose(tf.sigmoid(scores[:, 1]).numpy(), model(IMAGES * 255).numpy()[:, 0], atol=1e-5)
    both = [classifier.differentiate(IMAGES, np.full(5, number)).gradient for number in (0, 1)]
    np.testing.assert_allclose(both[0], -both[1], atol=1e-7)


def test_a_softmax_over_one_unit_is_refused_as_it_says_the_same_of_every_image():
    model = keras.Sequential([keras.Input(SHAPE), *make_layers(classes=1)])
    with warnings.catch_warnings(action="ignore"), pytest.raises(ModelError, match="was a sigmoid meant"):
        KerasClassifier(model)


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


def test_a_linearisation_gives_the_gradient_of_every_objective(models):
    classifier = KerasClassifier(models["functional"], batch_size=4)
    plain = classifier.differentiate(IMAGES, TARGETS, ("conv_2",))
    seen = classifier.linearise(IMAGES, ("conv_2",))
    np.testing.assert_allclose(seen.scores, plain.scores, atol=1e-5)
    np.testing.assert_allclose(seen.features["conv_2"], plain.features["conv_2"], atol=1e-5)
    by_target = np.eye(3, dtype=np.float32)[TARGETS]
    first, again = (seen.pull_back(by_target, {}) for _ in range(2))
    np.testing.assert_allclose(first, plain.gradient, atol=1e-5)
    np.testing.assert_allclose(first, again, atol=1e-6)
    by_feature = seen.pull_back(None, {"conv_2": plain.feature_gradients["conv_2"]})
    np.testing.assert_allclose(by_feature, plain.gradient, atol=1e-5)  # all that the scores know came through conv_2
    both = seen.pull_back(by_target, {"conv_2": plain.feature_gradients["conv_2"]})
    np.testing.assert_allclose(both, 2 * plain.gradient, atol=1e-5)


def test_a_classifier_of_another_batch_size_is_the_same_model(models):
    classifier = KerasClassifier(models["functional"], batch_size=4)
    other = classifier.sized(2)
    assert other.sized(2) is other
    np.testing.assert_allclose(other.scores(IMAGES), classifier.scores(IMAGES), atol=1e-5)
    seen, same = (c.linearise(IMAGES).pull_back(np.ones((5, 3), np.float32), {}) for c in (classifier, other))
    np.testing.assert_allclose(seen, same, atol=1e-5)


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


def test_a_preprocessing_function_may_go_by_values():
    def darken(pixels):
        if tf.reduce_max(pixels) > 200:
            pixels = pixels / 2
        return pixels

    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    images = np.random.default_rng(0).random((3, 8, 8, 3), np.float32)
    plain, darkened = (KerasClassifier(model, preprocess=each).scores(images) for each in (lambda x: x / 2, darken))
    np.testing.assert_allclose(darkened, plain, rtol=1e-5)


def test_a_preprocessing_function_may_loop_over_a_tensor_and_swallow_what_fails():
    def halve_each_row(pixels):
        for _ in range(tf.shape(pixels)[1] // 8):
            pixels = pixels / 2
        return pixels

    def scale_if_large(pixels):
        try:
            if tf.reduce_max(pixels) > 1.5:
                pixels = pixels / 2
        except Exception:  # as people write it
            pass
        return pixels

    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    images = np.random.default_rng(0).random((3, 8, 8, 3), np.float32)
    plain = KerasClassifier(model, preprocess=lambda pixels: pixels / 2).scores(images)
    for function in (halve_each_row, scale_if_large):
        np.testing.assert_allclose(KerasClassifier(model, preprocess=function).scores(images), plain, rtol=1e-5)


def test_a_model_whose_number_of_scores_only_the_run_tells_is_differentiated():
    @keras.saving.register_keras_serializable("tests")
    class FirstTwo(keras.layers.Layer):
        def call(self, scores):
            return tf.boolean_mask(scores, tf.range(4) < 2, axis=1)

        def compute_output_shape(self, shape):
            return (shape[0], 2)

    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(4), FirstTwo()])
    images, aims = np.random.default_rng(0).random((3, 8, 8, 3), np.float32), np.array([0, 1, 0])
    classifier = KerasClassifier(model, classes=("a", "b"), input_range=(0, 1))
    found = classifier.differentiate(images, aims).gradient
    kernel = model.layers[1].get_weights()[0]
    np.testing.assert_allclose(found, kernel[:, aims].T.reshape(found.shape), atol=1e-5)


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


@pytest.mark.parametrize("wrap", [lambda one: [one], lambda one: {one.name: one}, lambda one: {one.name: [one]}])
def test_the_only_input_and_output_may_come_in_lists_and_tables(models, wrap):
    twin = models["functional"]
    model = keras.Model(wrap(twin.inputs[0]), wrap(twin.outputs[0]))
    first, second = (KerasClassifier(m).differentiate(IMAGES, TARGETS, ("conv_2",)) for m in (twin, model))
    np.testing.assert_allclose(second.scores, first.scores, atol=1e-5)
    np.testing.assert_allclose(second.gradient, first.gradient, atol=1e-5)
    np.testing.assert_allclose(second.feature_gradients["conv_2"], first.feature_gradients["conv_2"], atol=1e-5)


@pytest.mark.parametrize("kind", ["uint8", "int32"])
@pytest.mark.parametrize("shape", ["functional", "sequential"])
def test_a_model_of_whole_numbers_is_fed_with_floats_so_that_it_has_derivatives(models, shape, kind):
    given = keras.Input(SHAPE, dtype=kind)
    layers = models["sequential"].layers
    if shape == "sequential":
        model = keras.Sequential([given, *layers])
    else:
        output = given
        for layer in layers:
            output = layer(output)
        model = keras.Model(given, output)
    whole = np.round(IMAGES * 255) / np.float32(255)
    first, second = (KerasClassifier(m).differentiate(whole, TARGETS) for m in (models["functional"], model))
    np.testing.assert_allclose(second.scores, first.scores, atol=1e-5)
    np.testing.assert_allclose(second.gradient, first.gradient, atol=1e-5)


@pytest.mark.parametrize("size", [1, 8])
def test_a_model_of_one_batch_size_is_run_in_it(size):
    given = keras.Input(batch_shape=(size, *SHAPE))
    flat = keras.ops.reshape(given, (size, 144))
    model = keras.Model(given, keras.layers.Dense(3)(flat))
    kernel, bias = model.get_weights()
    classifier = KerasClassifier(model, input_range=(0, 1))
    np.testing.assert_allclose(classifier.scores(IMAGES), IMAGES.reshape(5, -1) @ kernel + bias, atol=1e-5)
    expected = kernel[:, TARGETS].T.reshape(IMAGES.shape)
    np.testing.assert_allclose(classifier.differentiate(IMAGES, TARGETS).gradient, expected, atol=1e-5)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "linear"])
@pytest.mark.parametrize(("policy", "accuracy"), [("mixed_float16", 0.02), ("mixed_bfloat16", 0.03), ("float64", 1e-5)])
def test_models_of_other_precisions_give_the_scores_and_maps_of_their_twin(policy, accuracy, activation):
    twin = keras.Sequential([keras.Input(SHAPE), *make_layers(activation=activation)])
    config = twin.get_config()
    for layer in config["layers"][1:]:
        layer["config"]["dtype"] = policy
    model = keras.Sequential.from_config(config)
    model.set_weights(twin.get_weights())
    first, second = (KerasClassifier(m, batch_size=5) for m in (twin, model))
    assert (second.output, second.head) == (first.output, first.head)
    expected, found = (c.differentiate(IMAGES, TARGETS, c.feature_layers) for c in (first, second))
    assert found.scores.dtype == found.gradient.dtype == np.float32
    np.testing.assert_allclose(found.scores, expected.scores, atol=accuracy * np.abs(expected.scores).max())
    # a rounded value may win another maximum, so single derivatives may differ, but not the map
    correlation = np.corrcoef(found.gradient.ravel(), expected.gradient.ravel())[0, 1]
    assert correlation > 1 - accuracy


def test_derivatives_that_stop_on_the_way_are_missing_rather_than_zero():
    given = keras.Input(SHAPE)
    rounded = keras.ops.cast(keras.ops.cast(given, "uint8"), "float32")
    classifier = KerasClassifier(
        keras.Model(given, keras.layers.Dense(3)(keras.layers.Flatten()(rounded))), input_range=(0, 255)
    )
    with pytest.raises(ModelError, match="no derivative of its scores reaches the pixels"):
        classifier.differentiate(IMAGES, TARGETS)


def test_a_model_without_convolutions_has_no_feature_layers():
    model = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(3)])
    assert KerasClassifier(model, input_range=(0, 1)).feature_layers == ()


@pytest.mark.parametrize(
    ("patches", "reason"),
    [
        ("convolution", "the model's only convolution cuts the image into patches, which are no feature maps"),
        ("dense", "the model has no convolutional feature maps"),
    ],
)
def test_a_transformer_has_no_feature_layers_however_it_embeds_its_patches(patches, reason):
    classifier = KerasClassifier(transformer(patches))
    assert (classifier.feature_layers, classifier.why_no_features) == ((), reason)
    assert np.abs(classifier.differentiate(IMAGES, TARGETS).gradient).max() > 0


def test_a_convolution_over_patches_that_stays_a_map_is_one():
    layers = [keras.layers.Conv2D(4, 3, strides=3, name="only"), keras.layers.Flatten(), keras.layers.Dense(3)]
    classifier = KerasClassifier(keras.Sequential([keras.Input(SHAPE), *layers]), input_range=(0, 1))
    assert classifier.feature_layers == ("only",)


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
    def test_that_contradicts_the_models_own_is_taken_and_said(self, models):
        classifier = KerasClassifier(models["functional"], input_range=(0, 1))
        assert classifier.record("m", None).input_range == (0, 1)
        (note,) = classifier.notes
        assert note.text.endswith("in [0, 1], as declared, though the model's own layer 'rescaling' tells [0, 255].")

    def test_is_read_through_what_changes_the_pixels_first(self):
        inputs = keras.Input(SHAPE)
        x = keras.layers.Rescaling(1 / 255)((inputs + 1) * 127.5)
        model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
        assert KerasClassifier(model).record("m", None).input_range == (-1, 1)

    def test_of_a_normalization_about_zero_is_not_guessed(self):
        layers = [keras.layers.Normalization(mean=0.0, variance=0.25), keras.layers.Flatten(), keras.layers.Dense(3)]
        with pytest.raises(OptionError, match="declare it"):
            KerasClassifier(keras.Sequential([keras.Input(SHAPE), *layers]))


def _outputs(inputs, members):
    return keras.Model(inputs, members)(IMAGES * 255)
