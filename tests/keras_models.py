"""One small network in the four shapes that Keras models come in."""

from __future__ import annotations

from functools import cache
from typing import Any

import keras
import numpy as np

from auditor.keras_classifier import KerasClassifier

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


@cache
def small_classifier(batch_size: int = 8) -> KerasClassifier:
    return KerasClassifier(in_every_shape()["functional"], batch_size=batch_size)
