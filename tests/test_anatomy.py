"""What is read of models of every structure: head, pixel range, feature maps, and how they lie over the picture."""

from __future__ import annotations

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from auditor.errors import ModelError, OptionError
from auditor.explain.attribution.methods import grad_cam
from auditor.explain.attribution.question import ask
from auditor.subject.model.keras import KerasClassifier
from auditor.subject.model.surgery import narrowed

LAYERS, OPS = keras.layers, keras.ops
SHAPE = (16, 16, 3)
IMAGES = np.random.default_rng(0).random((6, *SHAPE)).astype(np.float32)


def functional(make):
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, make(inputs))


def wrap(model, **options):
    return KerasClassifier(model, input_range=options.pop("input_range", (0, 1)), batch_size=3, **options)


class Residual(keras.Model):
    """A sum, a relu and a softmax that are lines of Python."""

    def __init__(self):
        super().__init__()
        self.first = LAYERS.Conv2D(4, 3, padding="same", activation="relu", name="first")
        self.second = LAYERS.Conv2D(4, 3, padding="same", name="second")
        self.dense = LAYERS.Dense(3, name="dense")

    def features(self, images):
        given = self.first(images)
        return tf.nn.relu(given + self.second(given))

    def logits(self, images):
        return self.dense(tf.reduce_mean(self.features(images), (1, 2)))

    def call(self, images):
        return tf.nn.softmax(self.logits(images))


class Traced(Residual):
    """The same, with a `tf.function`, as TensorFlow's own tutorials have it."""

    @tf.function
    def call(self, images):
        return tf.nn.softmax(self.logits(images))


class Branching(Residual):
    """The same, with a branch by the values of a tensor."""

    @tf.function
    def call(self, images):
        if tf.reduce_mean(images) > 2.0:
            images = images * 0.0
        return tf.nn.softmax(self.logits(images))


@pytest.fixture(params=[Residual, Traced])
def residual(request):
    model = request.param()
    model(IMAGES)
    return model


class TestLinesOfPython:
    def test_scores_are_the_logits_of_a_softmax_that_is_no_layer(self, residual):
        classifier = wrap(residual, image_shape=SHAPE)
        assert classifier.score_name == "logit"
        np.testing.assert_allclose(classifier.scores(IMAGES), residual.logits(IMAGES).numpy(), atol=1e-5)
        np.testing.assert_allclose(residual(IMAGES).numpy().sum(axis=1), 1, atol=1e-5)  # it is as it was

    def test_grad_cam_reads_the_sum_that_the_head_sees(self, residual):
        classifier = wrap(residual, image_shape=SHAPE)
        assert classifier.feature_layers == ("relu after second", "first")
        found = classifier.differentiate(IMAGES, np.zeros(6, int), classifier.feature_layers[:1])
        features = found.features["relu after second"]
        np.testing.assert_allclose(features, residual.features(IMAGES).numpy(), atol=1e-5)
        expected = np.broadcast_to(residual.dense.kernel.numpy()[:, 0] / 256, features.shape)
        np.testing.assert_allclose(found.feature_gradients["relu after second"], expected, atol=1e-6)

    @pytest.mark.parametrize("make", [lambda x, y: x + y, lambda x, y: x * y, lambda x, y: OPS.maximum(x, y)])
    def test_a_functional_models_too(self, make):
        def build(inputs):
            first = LAYERS.Conv2D(4, 3, padding="same", name="first")(inputs)
            second = LAYERS.Conv2D(4, 3, padding="same", name="second")(first)
            return LAYERS.Dense(2)(LAYERS.GlobalAveragePooling2D()(make(first, second)))

        classifier = wrap(functional(build))
        assert classifier.feature_layers[0].endswith("after second")
        found = classifier.linearise(IMAGES[:2], classifier.feature_layers)
        assert found.features[classifier.feature_layers[0]].shape == (2, 16, 16, 4)

    def test_a_branch_by_values_is_audited_all_the_same(self):
        model = Branching()
        model(IMAGES)
        scores = wrap(model, image_shape=SHAPE).scores(IMAGES)
        odds = scores - scores[:, :1]
        expected = model.logits(IMAGES).numpy()
        np.testing.assert_allclose(odds, expected - expected[:, :1], atol=1e-4)


class TestHead:
    @pytest.mark.parametrize("last", ["pool", "activation", "average", "rescaling"])
    def test_logits_between_0_and_1_on_noise_are_no_probabilities(self, last):
        flat = LAYERS.GlobalAveragePooling2D()
        ends = {
            "pool": flat,
            "activation": lambda x: LAYERS.Activation("linear", dtype="float32")(flat(x)),
            "average": lambda x: LAYERS.Average()([flat(x), flat(x)]),
            "rescaling": lambda x: LAYERS.Rescaling(1.0)(flat(x)),
        }
        constant = keras.initializers.Constant
        conv = LAYERS.Conv2D(1, 1, kernel_initializer=constant(40 / 3), bias_initializer=constant(-19.5))
        classifier = wrap(functional(lambda inputs: ends[last](conv(inputs))))
        images = np.concatenate([np.full((1, *SHAPE), value, np.float32) for value in (0.3, 0.7)])
        found = classifier.differentiate(images, np.array([1, 1]))
        np.testing.assert_allclose(found.scores[:, 1], 40 * images.mean(axis=(1, 2, 3)) - 19.5, atol=1e-3)
        np.testing.assert_allclose(found.gradient.sum(axis=(1, 2, 3)), 40, rtol=1e-3)

    @pytest.mark.parametrize("activation", ["relu", "tanh", "softplus", "elu", "log_softmax", "swish"])
    def test_no_other_activation_makes_probabilities(self, activation):
        model = functional(lambda inputs: LAYERS.Dense(2, activation=activation)(LAYERS.Flatten()(inputs)))
        classifier = wrap(model)
        assert (classifier.score_name, classifier.output) == ("logit", "softmax")
        np.testing.assert_allclose(classifier.scores(IMAGES), model(IMAGES).numpy(), atol=1e-5)

    def test_a_temperature_and_a_cast_keep_the_logits(self):
        def build(inputs):
            dense = LAYERS.Dense(3, name="dense")(LAYERS.Flatten()(inputs))
            return LAYERS.Activation("linear", dtype="float32")(LAYERS.Softmax()(dense / 4.0))

        model = functional(build)
        bare = keras.Model(model.input, model.get_layer("dense").output)
        np.testing.assert_allclose(wrap(model).scores(IMAGES), bare(IMAGES).numpy() / 4, atol=1e-4)

    def test_several_sigmoids_beside_each_other_are_multilabel(self):
        def build(inputs):
            flat = LAYERS.Flatten()(inputs)
            return LAYERS.Concatenate()([LAYERS.Dense(1, activation="sigmoid")(flat) for _ in range(3)])

        classifier = wrap(functional(build))
        assert (classifier.output, classifier.notes) == ("multilabel", [])

    def test_a_column_of_a_softmax_is_one_of_two_classes(self):
        def build(inputs):
            return LAYERS.Dense(2, activation="softmax")(LAYERS.Flatten()(inputs))[:, 1:]

        model = functional(build)
        classifier = wrap(model)
        assert classifier.output == "binary"
        np.testing.assert_allclose(1 / (1 + np.exp(-classifier.scores(IMAGES)[:, 1:])), model(IMAGES), atol=1e-4)

    def test_some_classes_of_a_softmax_exclude_each_other(self):
        def build(inputs):
            return LAYERS.Dense(5, activation="softmax", name="all")(LAYERS.Flatten()(inputs))[:, :3]

        model = functional(build)
        classifier = wrap(model)
        assert (classifier.output, classifier.score_name) == ("softmax", "log-probability")
        assert "some classes of a softmax" in classifier.record("m", None).head
        classifier.settle(IMAGES)
        np.testing.assert_allclose(np.exp(classifier.scores(IMAGES)), model(IMAGES), atol=1e-5)
        assert wrap(model, output="multilabel").output == "multilabel"

    def test_two_softmaxes_beside_each_other_exclude_no_more_than_their_own_classes(self):
        def build(inputs):
            flat = LAYERS.Flatten()(inputs)
            return LAYERS.Concatenate()([LAYERS.Dense(2, activation="softmax")(flat) for _ in range(2)])

        assert wrap(functional(build)).output == "multilabel"

    def test_logits_that_sum_to_1_are_no_probabilities(self):
        model = functional(lambda inputs: LAYERS.Dense(2, name="dense")(LAYERS.Flatten()(inputs)))
        weights = np.full(768, 10 / 768, np.float32)
        model.get_layer("dense").set_weights([np.stack([weights, -weights], 1), np.array([-4.5, 5.5], np.float32)])
        classifier = wrap(model)
        assert classifier.score_name == "logit"
        np.testing.assert_allclose(classifier.scores(IMAGES), model(IMAGES).numpy(), atol=1e-4)

    def test_multiples_of_sigmoids_are_refuted_by_real_images(self):
        def build(inputs):
            options = {
                "kernel_initializer": keras.initializers.Constant(20 / 768),
                "bias_initializer": keras.initializers.Constant(-14),
            }
            return LAYERS.Rescaling(10.0)(LAYERS.Dense(3, activation="sigmoid", **options)(LAYERS.Flatten()(inputs)))

        model, bright = functional(build), np.ones((3, *SHAPE), np.float32)
        classifier = wrap(model)
        assert classifier.score_name == "log-probability"
        classifier.settle(bright)
        np.testing.assert_allclose(classifier.scores(bright), model(bright).numpy(), rtol=1e-4)


class TestGuess:
    """A sigmoid written out by hand: its values alone say that they may be probabilities."""

    @staticmethod
    def build(inputs, scale=1.0):
        score = LAYERS.Dense(2, kernel_initializer="ones")(LAYERS.Flatten()(inputs)) - 0.5 * 16 * 16 * 3
        return scale / (1 + OPS.exp(-0.1 * score))

    def test_is_said(self):
        classifier = wrap(functional(self.build))
        assert classifier.score_name == "log-probability"
        (note,) = classifier.notes
        assert "a guess" in note.text
        assert 'output = "logits"' in note.text

    def test_is_dropped_where_real_images_refute_it(self):
        model = functional(lambda inputs: self.build(inputs, scale=1.5) * OPS.mean(inputs, axis=(1, 2, 3))[:, None])
        classifier = wrap(model)
        assert classifier.score_name == "log-probability"
        bright = np.ones((5, *SHAPE), np.float32)
        classifier.settle(bright)
        assert (classifier.score_name, classifier.output) == ("logit", "softmax")
        np.testing.assert_allclose(classifier.scores(bright), model(bright).numpy(), rtol=1e-4)
        assert "real images" in classifier.notes[0].text

    @pytest.mark.parametrize(
        ("said", "score"), [("logits", "logit"), ("softmax", "logit"), ("multilabel", "log-probability")]
    )
    def test_gives_way_to_the_user(self, said, score):
        classifier = wrap(functional(self.build), output=said)
        assert (classifier.score_name, classifier.notes) == (score, [])

    def test_probabilities_that_are_none_are_refused(self):
        model = functional(lambda inputs: LAYERS.Dense(2)(LAYERS.Flatten()(inputs)))
        with pytest.raises(OptionError, match="got 'probabilities', but the model gives -"):
            wrap(model, output="probabilities")


def brightness(name="bright", shape=SHAPE):
    """Class 1 is what is bright, wherever it is."""
    constant = keras.initializers.Constant
    options = {"kernel_initializer": constant(1 / 27), "bias_initializer": constant(-0.5)}
    conv = LAYERS.Conv2D(1, 3, padding="same", activation="relu", name=name, **options)
    dense = LAYERS.Dense(2, kernel_initializer=constant(np.array([[0.0, 5.0]])))
    return keras.Sequential([keras.Input(shape), conv, LAYERS.GlobalAveragePooling2D(), dense])


TURNS = {
    "mirrored": lambda x: OPS.flip(x, axis=2),
    "mirrored by a slice": lambda x: x[:, :, ::-1],
    "upside down": lambda x: OPS.flip(x, axis=1),
    "exchanged": lambda x: OPS.transpose(x, (0, 2, 1, 3)),
    "a quarter": lambda x: OPS.rot90(x, 1, axes=(1, 2)),
    "a half": lambda x: OPS.rot90(x, 2, axes=(1, 2)),
    "three quarters": lambda x: OPS.rot90(x, 3, axes=(1, 2)),
}


class TestSeveralCalls:
    """A network that is called on the picture as it is and turned, and averaged."""

    @staticmethod
    def map_of(model):
        picture = np.zeros((1, *SHAPE), np.float32)
        picture[:, 2:6, 1:5] = 1
        classifier = wrap(model)
        question = ask(classifier, picture, np.array([1]), ids=["0"], mean_image=picture.mean(0))
        return classifier, grad_cam(question)["bright"].maps[0, ..., 0]

    @pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
    @pytest.mark.parametrize("is_first", [True, False])
    def test_maps_of_all_calls_lie_over_the_picture(self, turn, is_first):
        core = brightness()

        def build(inputs):
            calls = [core(turn(inputs)), core(inputs)]
            return LAYERS.Average()(calls if is_first else calls[::-1])

        classifier, found = self.map_of(functional(build))
        assert classifier.feature_layers == ("bright",)
        assert found[2:6, 1:5].sum() > 0.99 * found.sum() > 0
        assert classifier.differentiate(IMAGES, np.ones(6, int), ("bright",)).features["bright"].shape[-1] == 2

    @pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
    def test_so_does_the_map_of_a_network_that_turns_the_picture_itself(self, turn):
        core = brightness()
        _, found = self.map_of(functional(lambda inputs: core(turn(inputs))))
        assert found[2:6, 1:5].sum() > 0.99 * found.sum() > 0

    def test_a_call_on_a_part_of_the_picture_is_left_out_and_said(self):
        core = brightness()

        def build(inputs):
            part = LAYERS.Resizing(16, 16)(LAYERS.Cropping2D(((8, 0), (8, 0)))(inputs))
            return LAYERS.Average()([core(part), core(inputs)])

        classifier, found = self.map_of(functional(build))
        assert found[2:6, 1:5].sum() > 0.99 * found.sum() > 0
        assert "1 of 2 calls of layer 'bright'" in classifier.notes[0].text

    @pytest.mark.parametrize("crop", ["halves", "one side", "middle"])
    def test_networks_that_see_parts_only_have_no_maps(self, crop):
        core = brightness(shape=(16, 8, 3) if crop != "middle" else (8, 8, 3))
        calls = {
            "halves": lambda x: LAYERS.Average()([core(x[:, :, :8]), core(x[:, :, 8:])]),
            "one side": lambda x: core(LAYERS.Cropping2D(((0, 0), (8, 0)))(x)),
            "middle": lambda x: core(LAYERS.CenterCrop(8, 8)(x)),
        }
        classifier = wrap(functional(calls[crop]))
        assert classifier.feature_layers == ()
        assert classifier.why_no_features == "its feature maps look at a part of the picture only"
        with pytest.raises(ModelError, match="sees a part of the picture only"):
            classifier.differentiate(IMAGES, np.ones(6, int), ("bright",))

    def test_the_objective_of_all_calls_has_the_derivative_of_each(self):
        core = brightness()
        model = functional(lambda inputs: LAYERS.Average()([core(inputs), core(OPS.flip(inputs, axis=2))]))
        found = wrap(model).linearise(IMAGES[:3], ("bright",))
        slope = found.pull_back(None, {"bright": np.ones_like(found.features["bright"])})
        once = wrap(functional(core)).linearise(IMAGES[:3], ("bright",))
        expected = once.pull_back(None, {"bright": np.ones_like(once.features["bright"])})
        np.testing.assert_allclose(slope, 2 * expected, rtol=1e-4, atol=1e-6)


def in_strips(x):
    strips = OPS.reshape(x, (-1, 4, 4, 16, 3))
    return OPS.reshape(OPS.take(strips, [2, 0, 3, 1], axis=1), (-1, 16, 16, 3))


def in_tiles(x):
    tiles = OPS.transpose(OPS.reshape(x, (-1, 2, 8, 2, 8, 3)), (0, 1, 3, 2, 4, 5))
    return OPS.reshape(tiles, (-1, 8, 8, 3))


def by_matrix(x):
    return OPS.einsum("hk,nkwc->nhwc", np.roll(np.eye(16, dtype="f"), 5, axis=0), x)


MOVES = {
    "rolled by a half": lambda x: OPS.roll(x, 8, axis=2),
    "rolled by a quarter": lambda x: OPS.roll(x, 4, axis=1),
    "rolled both ways": lambda x: OPS.roll(x, (8, 8), axis=(1, 2)),
    "rolled by a matrix": by_matrix,
    "strips in another order": in_strips,
    "padded on one side": LAYERS.ZeroPadding2D(((8, 0), (0, 0))),
    "padded all around": LAYERS.ZeroPadding2D(8),
}


class TestMoved:
    """Grad-CAM is refused where feature maps do not lie over the picture, and stays where they do."""

    @pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
    def test_a_picture_whose_parts_are_moved_has_no_maps(self, move):
        classifier = wrap(functional(lambda inputs: brightness(shape=move(inputs).shape[1:])(move(inputs))))
        assert classifier.feature_layers == ()
        assert classifier.why_no_features == "its feature maps look at the picture with its parts moved"
        with pytest.raises(ModelError, match="'bright' sees the picture with its parts moved"):
            classifier.differentiate(IMAGES, np.ones(6, int), ("bright",))

    def test_tiles_that_count_as_pictures_have_none(self):
        core = brightness(shape=(8, 8, 3))
        model = functional(lambda inputs: OPS.mean(OPS.reshape(core(in_tiles(inputs)), (-1, 4, 2)), axis=1))
        classifier = wrap(model)
        assert classifier.layers == ()
        assert classifier.why_no_features == "its feature maps are of tiles of the picture, not of the picture"
        np.testing.assert_allclose(classifier.scores(IMAGES), model(IMAGES), atol=1e-4)

    def test_maps_before_the_move_are_read(self):
        def build(inputs):
            first = LAYERS.Conv2D(4, 3, padding="same", activation="relu", name="first")(inputs)
            second = LAYERS.Conv2D(4, 3, padding="same", name="second")(OPS.roll(first, 8, axis=1))
            return LAYERS.Dense(2)(LAYERS.GlobalAveragePooling2D()(second))

        assert wrap(functional(build)).feature_layers == ("first",)

    @pytest.mark.parametrize(
        "keep",
        [
            lambda x: OPS.roll(OPS.roll(x, 5, axis=1), -5, axis=1),
            lambda x: OPS.reshape(OPS.reshape(x, (-1, 256, 3)), (-1, 16, 16, 3)),
            LAYERS.ZeroPadding2D(1),
            lambda x: x[:, 1:-1, 1:-1],
        ],
        ids=["rolled back", "reshaped back", "a margin", "a narrow cut"],
    )
    def test_what_lies_as_before_is_read(self, keep):
        classifier = wrap(functional(lambda inputs: brightness(shape=keep(inputs).shape[1:])(keep(inputs))))
        assert (classifier.feature_layers, classifier.notes) == (("bright",), [])

    def test_a_turn_is_said(self):
        core = brightness()
        (note,) = wrap(functional(lambda inputs: core(OPS.flip(inputs, axis=2)))).notes
        assert note.text == "The maps of layer 'bright' are turned, for its places seem to see the picture turned."


class TestGroupedConvolutions:
    @pytest.mark.parametrize("options", [{}, {"strides": 2}, {"dilation_rate": 2}, {"strides": (1, 2)}])
    @pytest.mark.parametrize(("filters", "groups"), [(12, 2), (6, 3), (6, 6), (12, 6)])
    def test_are_scored_and_differentiated(self, filters, groups, options):
        def build(inputs):
            x = LAYERS.Conv2D(6, 3, padding="same", activation="relu", name="first")(inputs)
            x = LAYERS.Conv2D(filters, 3, padding="same", groups=groups, activation="tanh", name="grouped", **options)(
                x
            )
            return LAYERS.Dense(3)(LAYERS.GlobalAveragePooling2D()(x))

        model = functional(build)
        classifier = wrap(model)
        assert classifier.feature_layers[0] == "grouped"
        np.testing.assert_allclose(classifier.scores(IMAGES), model.predict(IMAGES, verbose=0), atol=1e-5)
        step = np.random.default_rng(0).normal(size=IMAGES.shape).astype(np.float32) * 1e-2
        found = classifier.differentiate(IMAGES, np.ones(6, int), ("grouped",))
        change = classifier.scores(IMAGES + step)[:, 1] - classifier.scores(IMAGES - step)[:, 1]
        np.testing.assert_allclose((found.gradient * 2 * step).sum(axis=(1, 2, 3)), change, atol=2e-3)


class TestMainPath:
    def test_a_padding_within_a_stage_is_no_feature_layer(self):
        def build(inputs):
            conv = lambda count, **options: LAYERS.Conv2D(count, 3, padding="same", **options)  # noqa: E731
            x = conv(4, name="stage_1", activation="relu")(inputs)
            x = conv(6, strides=4, name="stage_2", activation="relu")(x)
            x = conv(8, strides=2, name="stage_3", activation="relu")(x)
            y = LAYERS.Conv2D(8, 3, name="inner")(LAYERS.ZeroPadding2D(1, name="padding")(x))
            return LAYERS.Dense(2)(LAYERS.GlobalAveragePooling2D()(LAYERS.Add(name="end_of_stage_3")([x, y])))

        assert wrap(functional(build)).feature_layers == ("end_of_stage_3", "stage_2")
        assert "padding" not in wrap(functional(build)).layers

    def test_a_side_path_is_no_default_however_late_it_is_called(self):
        def build(inputs):
            main = LAYERS.Conv2D(4, 3, padding="same", name="main")(inputs)
            gate = LAYERS.Conv2D(4, 3, padding="same", activation="sigmoid", name="gate")(main)
            joined = LAYERS.Multiply(name="joined")([main, gate])
            return LAYERS.Dense(2)(LAYERS.GlobalAveragePooling2D()(joined))

        assert wrap(functional(build)).feature_layers == ("joined", "main")

    def test_a_dilated_convolution_is_one(self):
        def build(inputs):
            conv = LAYERS.Conv2D(4, 3, padding="same", name="first")(inputs)
            last = LAYERS.Conv2D(4, 3, padding="same", dilation_rate=2, name="last")(LAYERS.MaxPooling2D()(conv))
            return LAYERS.Dense(3)(LAYERS.GlobalAveragePooling2D()(last))

        assert wrap(functional(build)).feature_layers == ("last", "first")


class TestRange:
    @pytest.mark.parametrize(
        ("make", "expected"),
        [
            (LAYERS.Rescaling(1 / 65535), (0, 65535)),
            (LAYERS.Rescaling(1 / 4095), (0, 4095)),
            (LAYERS.Rescaling(1 / 256), (0, 255)),
            (LAYERS.Rescaling(0.5, offset=0.5), (-1, 1)),
            (LAYERS.Rescaling(255.0), (0, 1)),
            (LAYERS.Rescaling([1 / 58, 1 / 57, 1 / 57], offset=[-2.1, -2.0, -1.8]), (0, 255)),
            (LAYERS.Normalization(mean=[21000.0] * 3, variance=[9e7] * 3), (0, 65535)),
            (LAYERS.Normalization(mean=[-0.3] * 3, variance=[0.2] * 3), (-1, 1)),
            (lambda x: x / 255.0, (0, 255)),
            (lambda x: x / 127.5 - 1.0, (0, 255)),
            (lambda x: (x - 127.5) / 127.5, (0, 255)),
            (lambda x: x * 2.0 - 1.0, (0, 1)),
            (lambda x: (x / 255.0 - np.array([0.485, 0.456, 0.406], "f")) / 0.225, (0, 255)),
        ],
    )
    def test_is_told_by_the_first_step(self, make, expected):
        model = functional(lambda inputs: LAYERS.Dense(2)(LAYERS.Flatten()(make(inputs))))
        assert wrap(model, input_range=None).record("m", None).input_range == expected

    @pytest.mark.parametrize(
        "make",
        [
            LAYERS.Rescaling(1.0),
            LAYERS.Normalization(mean=[1.2] * 3, variance=[30.0] * 3),  # of dark pictures: it fits no range
            LAYERS.Normalization(mean=[0.3] * 3, variance=[0.08] * 3),  # of [0, 1] or of [-1, 1]
            LAYERS.Rescaling(1 / 4095, offset=1024 / 4095),  # of Hounsfield units
            lambda x: x / 4,
            lambda x: x - 120.0,
            lambda x: x,
        ],
    )
    def test_is_asked_for_where_no_step_tells_and_taken_as_said(self, make):
        model = functional(lambda inputs: LAYERS.Dense(2)(LAYERS.Flatten()(make(inputs))))
        with pytest.raises(OptionError, match="declare it"):
            wrap(model, input_range=None)
        assert wrap(model, input_range=(-1024, 3071)).record("m", None).input_range == (-1024, 3071)


class TestNarrowed:
    """Of several inputs and outputs one is audited."""

    @pytest.fixture
    def model(self):
        image, age, place = (
            keras.Input(SHAPE, name="image"),
            keras.Input((1,), name="age"),
            keras.Input((2,), name="place"),
        )
        flat = LAYERS.Concatenate()([LAYERS.Flatten()(image), age, place])
        outputs = {"kind": LAYERS.Dense(3, name="a")(flat), "grade": LAYERS.Dense(2, name="b")(flat)}
        return keras.Model({"image": image, "age": age, "place": place}, outputs)

    def test_the_others_are_fixed(self, model):
        fixed = {"age": 50.0, "place": (1.0, 2.0)}
        scores = wrap(narrowed(model, fixed, "kind")).scores(IMAGES)
        fed = {"image": IMAGES, "age": np.full((6, 1), 50.0), "place": np.tile([1.0, 2.0], (6, 1))}
        np.testing.assert_allclose(scores, model(fed)["kind"].numpy(), atol=1e-4)

    @pytest.mark.parametrize(
        ("inputs", "outputs", "message"),
        [
            ({}, "kind", r"the model has 3 inputs \(age, image, place\), wanted one that is not fixed: the images"),
            ({"age": 1.0, "place": 0.0, "agee": 1.0}, "kind", r"no input 'agee'; did you mean 'age'\?"),
            ({"age": 1.0, "place": (1.0, 2.0, 3.0)}, "kind", "place: got 3 numbers, wanted one number, or 2"),
            ({"age": 1.0, "place": 0.0}, None, "the model has 2 outputs, wanted the name of the one with the scores: "),
            ({"age": 1.0, "place": 0.0}, "sort", "got 'sort', wanted the name of the one with the scores: grade, kind"),
        ],
    )
    def test_what_does_not_fit_is_said(self, model, inputs, outputs, message):
        with pytest.raises(OptionError, match=message):
            narrowed(model, inputs, outputs)

    def test_a_subclassed_model_names_none(self):
        with pytest.raises(OptionError, match="a subclassed model does not name"):
            narrowed(Residual(), {}, "kind")


@pytest.mark.parametrize("where", [pytest.param("environment", marks=pytest.mark.slow), "file"])
def test_keras_runs_on_tensorflow_whatever_it_is_set_to(tmp_path, where):
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    environment = dict(os.environ, KERAS_HOME=str(tmp_path), TF_CPP_MIN_LOG_LEVEL="3")
    environment.pop("KERAS_BACKEND", None)
    environment |= {"KERAS_BACKEND": "torch"} if where == "environment" else {}
    code = (
        "from auditor.subject.model import OTHER_BACKEND; import keras; print(keras.backend.backend(), OTHER_BACKEND)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    name = "torch by KERAS_BACKEND" if where == "environment" else f"jax by {tmp_path / 'keras.json'}"
    assert run.stdout == f"tensorflow Keras is set to {name}; here it runs on TensorFlow.\n"


def test_what_keras_only_looks_for_is_not_imported_with_it_and_can_be_afterwards():
    code = (
        "import sys; from auditor.subject.model.backend import import_tensorflow; import_tensorflow();"
        "print([name for name in ('matplotlib', 'pandas', 'sklearn') if name in sys.modules]);"
        "import sklearn, matplotlib; print(sklearn.__name__, matplotlib.__name__)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\nsklearn matplotlib\n"


class Lazy(keras.Model):
    """Layers that are made by the first call."""

    def call(self, images):
        if not hasattr(self, "dense"):
            self.dense = LAYERS.Dense(3)
        return self.dense(tf.reduce_mean(images, (1, 2)))


def test_what_a_model_raises_while_it_is_traced_is_said_in_its_own_words():
    with pytest.raises(ModelError, match=r"cannot be run on images \(16, 16, 3\): [\w.]*(Error|Exception)"):
        wrap(Lazy(), image_shape=SHAPE)


def test_tokens_with_heads_are_no_feature_maps():
    def build(inputs):
        tokens = LAYERS.Reshape((196, 4))(LAYERS.Conv2D(4, 3, name="stem")(inputs))
        return LAYERS.Dense(3)(LAYERS.GlobalAveragePooling1D()(LAYERS.MultiHeadAttention(2, 4)(tokens, tokens)))

    assert wrap(functional(build)).layers == wrap(functional(build)).feature_layers == ("stem",)
