"""The networks that the laboratory trains: three architectures, small enough to be trained in seconds.

References: He et al., "Deep residual learning for image recognition" (2016); Tolstikhin et al., "MLP-Mixer: an all-MLP
architecture for vision" (2021).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import Input, Model, layers

from auditor.lab.planting import FRAME


def convolutional(classes: int) -> Any:
    """Three convolutions and two dense layers."""
    inputs = Input(FRAME, name="image")
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="conv_1")(inputs)
    x = layers.MaxPooling2D(name="pool_1")(x)
    x = layers.Conv2D(32, 3, padding="same", activation="relu", name="conv_2")(x)
    x = layers.MaxPooling2D(name="pool_2")(x)
    x = layers.Conv2D(32, 3, padding="same", activation="relu", name="conv_3")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(64, activation="relu", name="dense")(x)
    return Model(inputs, layers.Dense(classes, name="logits")(x), name="convolutional")


def residual(classes: int) -> Any:
    """A convolution and three residual blocks with batch normalisation, pooled over the frame."""
    inputs = Input(FRAME, name="image")
    x = layers.Conv2D(16, 3, padding="same", use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    for width, stride in ((16, 2), (32, 2), (64, 1)):
        short = layers.Conv2D(width, 1, strides=stride, use_bias=False)(x)
        x = layers.Conv2D(width, 3, strides=stride, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.ReLU()(layers.Add()([x, short]))
    x = layers.GlobalAveragePooling2D()(x)
    return Model(inputs, layers.Dense(classes, name="logits")(x), name="residual")


def mixer(classes: int) -> Any:
    """Patches of 4 x 4 pixels, mixed by turns across places and across channels: no convolution looks over an edge."""
    inputs = Input(FRAME, name="image")
    x = layers.Conv2D(_WIDTH, 4, strides=4, name="patches")(inputs)
    tokens = x.shape[1] * x.shape[2]
    x = layers.Reshape((tokens, _WIDTH))(x)
    for _ in range(2):
        turned = layers.Permute((2, 1))(layers.LayerNormalization()(x))
        turned = layers.Dense(tokens)(layers.Dense(2 * tokens, activation="gelu")(turned))
        x = layers.Add()([x, layers.Permute((2, 1))(turned)])
        mixed = layers.Dense(2 * _WIDTH, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(_WIDTH)(mixed)])
    x = layers.Flatten()(layers.LayerNormalization()(x))
    return Model(inputs, layers.Dense(classes, name="logits")(x), name="mixer")


NETWORKS: dict[str, Callable[[int], Any]] = {"convolutional": convolutional, "residual": residual, "mixer": mixer}
"""Architecture -> an untrained network of so many classes, whose output is the logits."""

_WIDTH = 48
