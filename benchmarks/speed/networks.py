"""The networks and photographs that the speed of explanations is measured on, and each network in PyTorch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "imagenet_watermark"
NAMES = ("small", "mobilenet", "lite0")


def make_photographs(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Crops of real photographs (n, size, size, 3) in [0, 1], and the number of the photograph of each."""
    sys.path.insert(0, str(EXAMPLE))
    import photographs
    from PIL import Image

    images, numbers, known = [], [], {}
    for pixels, _, _, photograph in photographs.crops():
        images.append(np.asarray(Image.fromarray(pixels).resize((size, size)), np.float32) / 255)
        numbers.append(known.setdefault(photograph, len(known)))
    order = np.random.default_rng(0).permutation(len(images))
    return np.stack(images)[order], np.array(numbers)[order]


def make_network(name: str, folder: Path) -> Any:
    """A Keras model of images in [0, 1] that gives logits; one that is trained here is kept in the folder."""
    import keras

    if name == "small":
        file = folder / "small.keras"
        if not file.exists():
            _train_small().save(file)
        return keras.models.load_model(file)
    inputs = keras.Input((224, 224, 3))
    if name == "mobilenet":  # its weights are not to be had as a package, so they are random
        keras.utils.set_random_seed(0)
        scaled = keras.layers.Rescaling(2.0, offset=-1.0)(inputs)
        network = keras.applications.MobileNetV2(weights=None, classifier_activation=None, input_tensor=scaled)
        return keras.Model(inputs, network.output)
    sys.path.insert(0, str(EXAMPLE))
    import efficientnet_lite0

    return _flat(efficientnet_lite0.load(), keras.layers.Rescaling(255.0, name="pixels")(inputs), inputs)


def to_torch(model: Any) -> Any:
    """The same network in PyTorch: images (n, channels, height, width) to logits; raises on a layer unknown to it."""
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            steps = [_convert(layer) for layer in model.layers]
            self.parts = torch.nn.ModuleList(part for part in steps if isinstance(part, torch.nn.Module))
            self.steps = steps
            self.names = [layer.name for layer in model.layers]
            self.sources = [_sources(layer, self.names) for layer in model.layers]

        def forward(self, images: Any) -> Any:
            values: list[Any] = []
            for step, sources in zip(self.steps, self.sources, strict=True):
                values.append(images if step is None else step(*(values[at] for at in sources)))
            return values[-1]

        def part(self, name: str) -> Any:
            return self.steps[self.names.index(name)]

    return Network().eval()


def _flat(model: Any, given: Any, inputs: Any) -> Any:
    """A functional model run on another tensor, its layers side by side, not nested, and each called once."""
    import keras

    values = {id(model.inputs[0]): given}
    for layer in model.layers[1:]:
        of = keras.tree.flatten(layer.input)
        found = [values[id(tensor)] for tensor in of]
        values[id(layer.output)] = layer(found if len(found) > 1 else found[0])
    twice = keras.Model(inputs, values[id(model.output)])
    once = keras.models.clone_model(twice)
    once.set_weights(twice.get_weights())
    return once


def _train_small() -> Any:
    """Convolutions of 32, 64 and 128 channels at 64 x 64 pixels, taught to tell photographs apart."""
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(0)
    inputs = keras.Input((64, 64, 3))
    x = inputs
    for width in (32, 64, 128):
        x = layers.Conv2D(width, 3, padding="same")(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling2D()(x)
    x = layers.ReLU()(layers.Dense(64)(layers.Flatten()(x)))
    model = keras.Model(inputs, layers.Dense(10)(x))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, numbers = make_photographs(64)
    random = np.random.default_rng(0)
    for _ in range(150):
        rows = random.integers(len(images), size=32)
        noisy = images[rows] + random.normal(0, 0.05, (32, 64, 64, 3)).astype(np.float32)
        model.train_on_batch(np.clip(noisy, 0, 1), numbers[rows] % 10)
    return model


def _sources(layer: Any, names: list[str]) -> list[int]:
    import keras

    if isinstance(layer, keras.layers.InputLayer):
        return []
    return [names.index(tensor._keras_history.operation.name) for tensor in keras.tree.flatten(layer.input)]


def _convert(layer: Any) -> Any:
    """A step of PyTorch for a layer of Keras; None for the input."""
    import torch

    kind, weights = type(layer).__name__, [np.asarray(weight) for weight in layer.weights]
    if kind == "InputLayer":
        return None
    if kind == "Rescaling":
        return lambda x: x * layer.scale + layer.offset
    if kind in ("Conv2D", "DepthwiseConv2D"):
        return _Convolution(layer, weights)
    if kind == "BatchNormalization":
        scale = weights[0] / np.sqrt(weights[3] + layer.epsilon)
        part = torch.nn.BatchNorm2d(len(scale), eps=layer.epsilon)
        for target, value in zip((part.weight, part.bias, part.running_mean, part.running_var), weights, strict=True):
            target.data = torch.tensor(value)
        return part
    if kind == "ReLU":
        return torch.nn.ReLU6() if layer.max_value else torch.nn.ReLU()
    if kind == "MaxPooling2D":
        return torch.nn.MaxPool2d(layer.pool_size, layer.strides)
    if kind == "ZeroPadding2D":
        (top, bottom), (left, right) = layer.padding
        return torch.nn.ZeroPad2d((left, right, top, bottom))
    if kind == "GlobalAveragePooling2D":
        return lambda x: x.mean(dim=(2, 3))
    if kind == "Flatten":
        return lambda x: x.permute(0, 2, 3, 1).flatten(1)
    if kind == "Add":
        return lambda x, y: x + y
    if kind == "Dense":
        part = torch.nn.Linear(*weights[0].shape)
        part.weight.data, part.bias.data = torch.tensor(weights[0].T.copy()), torch.tensor(weights[1])
        return part
    raise ValueError(f"got a layer {kind}, wanted one that is built in PyTorch here")


def _Convolution(layer: Any, weights: list[np.ndarray]) -> Any:  # noqa: N802 (makes a module)
    import torch

    by_depth = type(layer).__name__ == "DepthwiseConv2D"
    kernel = weights[0].transpose(2, 3, 0, 1) if by_depth else weights[0].transpose(3, 2, 0, 1)
    channels = kernel.shape[0] if by_depth else kernel.shape[1]
    part = torch.nn.Conv2d(
        channels, kernel.shape[0], kernel.shape[2:], layer.strides,
        groups=channels if by_depth else 1, bias=len(weights) > 1,
    )  # fmt: skip
    part.weight.data = torch.tensor(kernel.copy())
    if len(weights) > 1:
        part.bias.data = torch.tensor(weights[1])
    if layer.padding == "valid":
        return part
    height, width = (int(size) for size in keras_size(layer))
    pads = []
    for size, side, stride in zip((width, height), kernel.shape[:1:-1], layer.strides[::-1], strict=True):
        whole = max((-(-size // stride) - 1) * stride + side - size, 0)
        pads += [whole // 2, whole - whole // 2]
    return torch.nn.Sequential(torch.nn.ZeroPad2d(pads), part)


def keras_size(layer: Any) -> tuple[int, int]:
    """Height and width of what a layer is given."""
    return layer.input.shape[1:3]
