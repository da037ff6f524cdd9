"""One small network in the four shapes that Keras models come in, and a transformer in two."""

from __future__ import annotations

from functools import cache
from typing import Any

import keras
import numpy as np

from auditor.subject.model.keras import KerasClassifier

SHAPE = (12, 12, 1)


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    """The layers of the functional twin, called by hand."""

    def __init__(self, twin_layers: list[Any]) -> None:
        super().__init__()
        self.steps = twin_layers

    def call(self, inputs: Any) -> Any:
        for step in self.steps:
            inputs = step(inputs)
        return inputs


def make_layers(classes: int = 3, activation: str = "softmax", seed: int = 0) -> list[Any]:
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    return [
        layers.Rescaling(1 / 255, name="rescaling"),
        layers.Conv2D(4, 3, padding="same", activation="relu", name="conv_1"),
        layers.MaxPooling2D(name="pool"),
        layers.Conv2D(6, 3, padding="same", activation="relu", name="conv_2"),
        layers.Flatten(name="flatten"),
        layers.Dense(classes, activation=activation, name="head"),
    ]


def in_every_shape(**options: Any) -> dict[str, Any]:
    """Functional, sequential, nested and subclassed models that share their layers, hence their weights."""
    steps = make_layers(**options)
    inputs = keras.Input(SHAPE)
    x = inputs
    for step in steps:
        x = step(x)
    functional = keras.Model(inputs, x)
    backbone = keras.Sequential([keras.Input(SHAPE), *steps[:4]], name="backbone")
    outer = keras.Input(SHAPE)
    nested = keras.Model(outer, steps[5](steps[4](backbone(outer))))
    sequential = keras.Sequential([keras.Input(SHAPE), *steps])
    subclassed = Subclassed(steps)
    subclassed(np.zeros((1, *SHAPE), np.float32))
    return {"functional": functional, "sequential": sequential, "nested": nested, "subclassed": subclassed}


def transformer(patches: str, shape: tuple[int, int, int] = SHAPE, classes: int = 3, seed: int = 0) -> Any:
    """A vision transformer whose patches are embedded by a convolution or by a dense layer."""
    keras.utils.set_random_seed(seed)
    layers, ops = keras.layers, keras.ops
    side, width = 4, 8
    rows, columns = shape[0] // side, shape[1] // side
    inputs = keras.Input(shape)
    x = layers.Rescaling(1 / 255)(inputs)
    if patches == "convolution":
        x = layers.Conv2D(width, side, strides=side, name="patches")(x)
    else:
        x = layers.Reshape((rows, side, columns, side, shape[2]))(x)
        x = layers.Permute((1, 3, 2, 4, 5))(x)
        x = layers.Reshape((rows, columns, side * side * shape[2]))(x)
        x = layers.Dense(width, name="patches")(x)
    x = layers.Reshape((rows * columns, width))(x)
    x = x + layers.Embedding(rows * columns, width)(ops.arange(rows * columns)[None])
    for _ in range(2):
        normed = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(2, width // 2)(normed, normed)
        hidden = layers.Dense(2 * width, activation="gelu")(layers.LayerNormalization()(x))
        x = x + layers.Dense(width)(hidden)
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model(inputs, layers.Dense(classes, activation="softmax", name="head")(x))


@cache
def small_classifier(batch_size: int = 8) -> KerasClassifier:
    return KerasClassifier(in_every_shape()["functional"], batch_size=batch_size)
