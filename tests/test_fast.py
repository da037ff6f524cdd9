"""Scores by another engine: only where it is there, pays, and gives the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from auditor.subject.model import fast
from auditor.subject.model.fast import is_worth_while, multiplications
from auditor.subject.model.keras import KerasClassifier

SHAPE = (16, 16, 3)
IMAGES = np.random.default_rng(0).random((23, *SHAPE)).astype(np.float32)


def make(*, by_depth: bool = True) -> KerasClassifier:
    keras.utils.set_random_seed(3)
    layers = keras.layers
    middle = layers.DepthwiseConv2D(3, padding="same") if by_depth else layers.Conv2D(4, 3, padding="same")
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Normalization(mean=[0.4] * 3, variance=[0.1] * 3),
            layers.Conv2D(4, 3, padding="same", strides=2),
            layers.BatchNormalization(),
            middle,
            layers.Activation("relu"),
            layers.Flatten(),
            layers.Dense(5, activation="softmax"),
        ]
    )
    return KerasClassifier(model, input_range=(0.0, 1.0), batch_size=8)


def hastened(monkeypatch: pytest.MonkeyPatch, export: Callable[[Any], Any] | None = None) -> KerasClassifier:
    classifier = make()
    monkeypatch.setattr("auditor.subject.model.keras.is_worth_while", lambda *_: True)
    if export is not None:
        monkeypatch.setattr(fast, "export", export)
    classifier.hasten(lambda: IMAGES[:6], 10**6)
    return classifier


def test_multiplications_are_those_of_its_convolutions_and_matrices():
    operations = make()._anatomy.operations
    one = 8 * 8 * 4 * 9 * 3 + 8 * 8 * 4 * 9 + 8 * 8 * 4 * 5
    assert multiplications(operations) == 4 * one


def test_it_is_worth_while_for_many_passes_of_a_network_by_depth_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fast.util, "find_spec", lambda name: object())
    by_depth, others = make()._anatomy.operations, make(by_depth=False)._anatomy.operations
    weights = 10
    assert is_worth_while(1000, by_depth, 4, weights)
    assert not is_worth_while(999, by_depth, 4, weights)
    assert not is_worth_while(1000, others, 4, weights)
    assert not is_worth_while(1000, by_depth, 4, 10**6)
    with monkeypatch.context() as patch:
        patch.setattr(fast.tf.config, "list_physical_devices", lambda kind: [kind])
        assert not is_worth_while(1000, by_depth, 4, weights)
    monkeypatch.setattr(fast.util, "find_spec", lambda name: None if name == "tf2onnx" else object())
    assert not is_worth_while(1000, by_depth, 4, weights)


def test_without_the_extra_nothing_is_tried_and_nothing_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fast.util, "find_spec", lambda name: None)
    classifier = make()
    classifier.hasten(lambda: pytest.fail("no image is needed"), 10**9)
    assert (classifier.traces.fast, classifier.engine, classifier.notes_of_engine) == (None, "", [])


def test_onnx_runtime_gives_the_same_scores_in_any_number(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    classifier, plain = hastened(monkeypatch), make()
    assert classifier.engine.startswith("ONNX Runtime, on 6 images within ")
    assert classifier.notes_of_engine == []
    for count in (0, 1, 5, 8, 23):
        np.testing.assert_allclose(classifier.scores(IMAGES[:count]), plain.scores(IMAGES[:count]), atol=1e-4)
    assert classifier.work.made["scores"] <= classifier.work.needed["scores"] + 2  # of the images that it was tried on


def test_weights_drawn_anew_are_scored_by_tensorflow_and_so_are_gradients(monkeypatch: pytest.MonkeyPatch):
    classifier = (
        hastened(monkeypatch, lambda function: lambda images: plain.scores(images)) if (plain := make()) else None
    )
    assert classifier is not None
    wanted = classifier.scores(IMAGES)
    other = classifier.sized(4)
    with classifier.randomised(classifier.weight_layers, 0) as model:
        assert np.abs(model.scores(IMAGES) - wanted).max() > 1e-2
        np.testing.assert_allclose(other.scores(IMAGES), model.scores(IMAGES), atol=1e-4)
        targets = np.zeros(len(IMAGES), np.int64)
        np.testing.assert_allclose(model.differentiate(IMAGES, targets).scores, model.scores(IMAGES), atol=1e-4)
    np.testing.assert_allclose(other.scores(IMAGES), wanted, atol=1e-4)
    assert classifier.traces.fast is not None


def fail(*_: Any) -> Any:
    raise RuntimeError("no kernel for this")


@pytest.mark.parametrize(
    ("export", "said"),
    [
        (fail, "ONNX Runtime cannot run the model (RuntimeError: no kernel for this); it was scored by TensorFlow."),
        (lambda function: lambda images: 1.01 * make().scores(images), "ONNX Runtime gives other scores"),
        (lambda function: lambda images: make().scores(images)[:, :2], "ONNX Runtime gives other scores"),
        (lambda function: lambda images: np.nan * make().scores(images), "ONNX Runtime gives other scores"),
    ],
)
def test_one_that_fails_the_check_is_left_alone_and_that_is_said(
    export: Callable[[Any], Any], said: str, monkeypatch: pytest.MonkeyPatch
):
    classifier = hastened(monkeypatch, export)
    assert (classifier.traces.fast, classifier.engine) == (None, "")
    (note,) = [note for note in classifier.notes if note.kind == "engine"]
    assert note.text.startswith(said)
    np.testing.assert_allclose(classifier.scores(IMAGES), make().scores(IMAGES), atol=1e-5)


def test_one_that_fails_later_is_asked_no_more(monkeypatch: pytest.MonkeyPatch):
    plain, asked = make(), list[int]()

    def export(_: Any) -> Any:
        def score(images: np.ndarray) -> np.ndarray:
            asked.append(len(images))
            return fail() if len(asked) > 2 else plain.scores(images)

        return score

    classifier = hastened(monkeypatch, export)
    for _ in range(2):
        np.testing.assert_allclose(classifier.scores(IMAGES), plain.scores(IMAGES), atol=1e-5)
    assert asked == [6, 8, 8]
    assert [note.text for note in classifier.notes_of_engine] == [
        "ONNX Runtime failed (RuntimeError: no kernel for this); from then on the model was scored by TensorFlow."
    ]
