"""Looks inside Keras models: what their layers give, where the head is, what they expect.

Layers are observed by recording what their `call` returns while the model runs, which works alike for functional,
nested, Sequential and subclassed models; building a model on an inner layer's output fails on nested ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from auditor.errors import ModelError, OptionError
from auditor.subject.model.classifier import Output
from auditor.subject.model.saved_model import SavedFunction

_SMALLEST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class Calls:
    """What was seen while the model ran once."""

    calls: list[tuple[Any, Any, Any]]
    """(layer, first input, output) of every call, in order."""
    fed: Any
    output: Any


@dataclass(frozen=True)
class Head:
    """How the model's last step is undone."""

    kind: Literal["softmax", "sigmoid", "linear", "probabilities", "sigmoid probabilities"]
    layer: Any
    """The layer whose activation is taken off; None where nothing is."""
    units: int
    description: str

    @contextmanager
    def taken_off(self) -> Iterator[None]:
        if self.layer is None:
            yield
        elif isinstance(self.layer, keras.layers.Softmax):
            with _replaced(self.layer, lambda inputs, mask=None: inputs):
                yield
        else:
            activation = self.layer.activation
            self.layer.activation = keras.activations.linear
            try:
                yield
            finally:
                self.layer.activation = activation

    def to_scores(self, output: Any, meaning: Output) -> Any:
        if self.kind == "probabilities":
            output = tf.math.log(tf.maximum(output, _SMALLEST_PROBABILITY))
        elif self.kind == "sigmoid probabilities":
            clipped = tf.clip_by_value(output, 1e-7, 1 - 1e-7)
            output = tf.math.log(clipped) - tf.math.log1p(-clipped)
        return tf.concat([-output, output], axis=1) if meaning == "binary" else output


def find_head(calls: Calls, agrees: Callable[[Head], bool]) -> Head:
    output = calls.output
    units = int(output.shape[1])
    values = np.asarray(output)
    if not np.isfinite(values).all():
        raise ModelError("the model's scores are not finite (NaN or infinity) on random images")
    final = next((layer for layer, _, result in calls.calls if result is output), None)
    activation = getattr(getattr(final, "activation", None), "__name__", None)
    if isinstance(final, keras.layers.Softmax):
        activation = "softmax"
    if activation == "softmax" and units == 1:
        raise ModelError("the model's softmax over a single output unit is 1 for every image; was a sigmoid meant?")
    if final is not None and activation in ("softmax", "sigmoid"):
        head = Head(
            activation,
            final,
            units,
            f"the {activation} of layer {final.name!r} is taken off; scores are logits",
        )
        if agrees(head):
            return head
    in_unit_interval = bool((values >= 0).all() and (values <= 1).all())
    if in_unit_interval and units > 1 and np.allclose(values.sum(axis=1), 1, atol=1e-3):
        return Head("probabilities", None, units, "the model gives probabilities; scores are their logarithms")
    is_linear_layer = activation == "linear" and getattr(final, "kernel", None) is not None
    is_linear_layer |= isinstance(final, SavedFunction) and final.last_operation in ("MatMul", "Conv2D")
    if in_unit_interval and not is_linear_layer:
        return Head("sigmoid probabilities", None, units, "the model gives probabilities; scores are their log-odds")
    what = "signature" if isinstance(final, SavedFunction) else "layer"
    name = f"{what} {final.name!r}" if final is not None else "the output"
    return Head("linear", None, units, f"{name} has no softmax or sigmoid; its values are the scores (logits)")


def settle_output(declared: Literal["auto", "softmax", "binary", "multilabel"], head: Head) -> Output:
    if declared == "auto":
        if head.units == 1:
            return "binary"
        return "multilabel" if head.kind.startswith("sigmoid") else "softmax"
    if (declared == "binary") != (head.units == 1):
        raise OptionError("output", f"got {declared!r}, but the model has {head.units} output units")
    if declared == "multilabel" and head.kind in ("softmax", "probabilities"):
        raise OptionError("output", "got 'multilabel', but the model's outputs are a softmax")
    return declared


def find_image_shape(model: Any, hint: tuple[int, int, int] | None) -> tuple[tuple[int, int, int], bool]:
    """Height, width, channels, and whether the model's input has an axis of channels."""
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) > 1:
        raise ModelError(f"the model has {len(inputs)} inputs, wanted one: the images")
    shape = tuple(inputs[0].shape)[1:] if inputs else _built_shape(model)
    if not shape and hint is None:
        raise ModelError("the model does not say what images it takes; give it an Input, or data to take them from")
    if not shape:
        shape = hint or ()
    has_channel_axis = len(shape) == 3
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3:
        raise ModelError(f"the model's input has shape {shape}, wanted (height, width, channels)")
    full = tuple(size if size is not None else (hint or (None,) * 3)[axis] for axis, size in enumerate(shape))
    height, width, channels = full
    if height is None or width is None or channels is None:
        raise ModelError(f"the model leaves its input open, {shape}, and the data do not settle it")
    if channels not in (1, 3):
        wanted = "wanted 1 (grey) or 3 (colour), channels last"
        if height in (1, 3):
            wanted += "; it seems to take channels first, so give it a Permute((3, 1, 2)) in front"
        raise ModelError(f"the model takes {channels} channels, {wanted}")
    return (int(height), int(width), int(channels)), has_channel_axis


def find_batch_size(model: Any) -> int | None:
    """The only number of images that the model takes at once; None where it takes any."""
    inputs = getattr(model, "inputs", None) or []
    return inputs[0].shape[0] if inputs else None


def _built_shape(model: Any) -> tuple[int | None, ...]:
    """The input shape that a subclassed model was built with, or nothing."""
    shapes = getattr(model, "_build_shapes_dict", None) or {}
    return tuple(next(iter(shapes.values()), ()))[1:]


def find_input_range(calls: Calls) -> tuple[tuple[float, float], str] | None:
    """The pixel range that the model's own Rescaling or Normalization was made for, and the layer's name.

    None where there is none, where something changes the pixels before it, or where its numbers fit no usual range.
    """
    for layer, given, _ in calls.calls:
        if not isinstance(layer, (keras.layers.Rescaling, keras.layers.Normalization)):
            continue
        if not _is_same(given, calls.fed):
            return None
        if isinstance(layer, keras.layers.Rescaling):
            brightest = np.max(np.abs(255.0 * np.asarray(layer.scale) + np.asarray(layer.offset)))
            return ((0.0, 255.0) if brightest <= 10 else (0.0, 1.0)), layer.name
        mean = float(np.max(np.abs(np.asarray(layer.mean))))
        if mean < 0.05:
            return None
        return ((0.0, 255.0) if mean > 1.5 else (0.0, 1.0)), layer.name
    return None


def settle_input_range(
    declared: tuple[float, float] | None, known: tuple[tuple[float, float], str] | None
) -> tuple[float, float]:
    if declared is None and known is None:
        raise OptionError(
            "input_range",
            "the model shows no Rescaling or Normalization of its own that would tell its pixel range; "
            "declare it, for example input_range = [0, 1]",
        )
    if declared is not None and known is not None and tuple(declared) != known[0]:
        got, wanted = (f"[{low:g}, {high:g}]" for low, high in (declared, known[0]))
        raise OptionError(
            "input_range",
            f"got {got}, but the model's own layer {known[1]!r} expects {wanted}; leave it out, or say otherwise "
            "with a preprocess function",
        )
    if declared is not None:
        return declared
    assert known is not None
    return known[0]


def _is_same(given: Any, fed: Any) -> bool:
    """Whether a layer was given what the model was fed, perhaps in its own precision."""
    if getattr(given, "shape", None) != fed.shape:
        return False
    values = np.asarray(given)
    return bool(np.array_equal(values, np.asarray(fed).astype(values.dtype)))


def find_feature_layers(calls: Calls) -> tuple[dict[str, Any], str]:
    """Layers with feature maps by name, and, where there are none, why.

    The two that Grad-CAM takes by default come first, then all from last to first. The usual choice is the last layer
    at the resolution of the last convolution; the second, the last one at the resolution before that.
    """
    if any(isinstance(layer, SavedFunction) for layer, _, _ in calls.calls):
        return {}, "a SavedModel shows no layers"
    maps = [
        (layer, tuple(output.shape))
        for layer, _, output in calls.calls
        if not isinstance(layer, (keras.Model, keras.layers.InputLayer))
        and getattr(getattr(output, "shape", None), "rank", None) == 4
        and output.shape[1] * output.shape[2] > 1
    ]
    convolutions = [at for at, (layer, _) in enumerate(maps) if _is_convolution(layer)]
    if not convolutions:
        return {}, "the model has no convolutional feature maps"
    if len(convolutions) == 1 and _embeds_patches(calls, maps[convolutions[0]][0]):
        return {}, "the model's only convolution cuts the image into patches, which are no feature maps"
    maps = maps[convolutions[0] :]
    sizes: list[tuple[int, int]] = []
    for _, shape in reversed(maps):
        size = (shape[1], shape[2])
        if size not in sizes and any(_is_convolution(other) and s[1:3] == size for other, s in maps):
            sizes.append(size)
    usual = [next(layer for layer, shape in reversed(maps) if shape[1:3] == size) for size in sizes[:2]]
    if len(usual) == 1:
        usual += [layer for layer, _ in reversed(maps) if _is_convolution(layer) and layer is not usual[0]][:1]
    ordered = [*usual, *(layer for layer, _ in reversed(maps))]
    unique = list({id(layer): layer for layer in ordered}.values())
    repeated = {name for name, count in Counter(layer.name for layer in unique).items() if count > 1}
    return {(layer.path if layer.name in repeated else layer.name): layer for layer in unique}, ""


def find_weights(calls: Calls, model: Any) -> tuple[dict[str, list[Any]], str]:
    """The weights of each layer by its name, from the head down as the layers were called, and, where none, why.

    A layer's weights are its own, without those of layers inside it; what no called layer holds comes last, under the
    model's name. What stays the same however it is permuted is left out, and so are the statistics by which a
    Normalization prepares the pixels.
    """
    found: dict[str, list[Any]] = {}
    layers = list({id(layer): layer for layer, _, _ in reversed(calls.calls)}.values())
    if any(isinstance(layer, SavedFunction) for layer in layers):
        return {}, "a SavedModel shows no layers"
    names = Counter(layer.name for layer in layers)
    held: set[int] = set()
    for layer in [*layers, model]:
        inner = [] if layer is model else layer._flatten_layers(include_self=False)
        elsewhere = held | {id(weight) for part in inner for weight in part.weights}
        own = [weight for weight in layer.weights if id(weight) not in elsewhere and _can_be_permuted(weight)]
        held |= {id(weight) for weight in layer.weights if id(weight) not in elsewhere}
        if own and not isinstance(layer, keras.layers.Normalization):
            found[layer.name if names[layer.name] < 2 else layer.path] = own
    return found, "" if found else "the model has no weights that can be drawn anew"


def _can_be_permuted(weight: Any) -> bool:
    values = weight.numpy()
    return bool("float" in str(weight.dtype) and values.size > 1 and (values != values.flat[0]).any())


@contextmanager
def permuted(weights: Mapping[str, list[Any]], seed: int) -> Iterator[None]:
    """Permute the values of each weight of these layers, keyed by seed and layer, for as long as the context is open.

    So each weight keeps its own distribution, whatever it was initialised by, and signals neither vanish nor explode.
    Vectors of one length that a layer holds, as the scales and statistics of a BatchNormalization, move together.
    """
    kept = [(weight, weight.numpy()) for part in weights.values() for weight in part]
    try:
        for name, part in weights.items():
            orders: dict[int, Any] = {}
            random = np.random.default_rng([seed, *name.encode()])
            for weight in part:
                values = weight.numpy()
                if values.ndim != 1 or len(values) not in orders:
                    orders[values.size] = random.permutation(values.size)
                weight.assign(values.ravel()[orders[values.size]].reshape(values.shape))
        yield
    finally:
        for weight, values in kept:
            weight.assign(values)


def _embeds_patches(calls: Calls, layer: Any) -> bool:
    """Whether a convolution looks at patches that do not overlap, and makes tokens of them."""
    window = tuple(layer.kernel.shape[:2])
    if max(window) == 1 or tuple(getattr(layer, "strides", ())) != window:
        return False
    start = next(at for at, (called, _, _) in enumerate(calls.calls) if called is layer)
    ranks = [getattr(getattr(output, "shape", None), "rank", None) for _, _, output in calls.calls[start:]]
    return 3 in ranks


def _is_convolution(layer: Any) -> bool:
    kernel = getattr(layer, "kernel", getattr(layer, "depthwise_kernel", None))
    return kernel is not None and len(kernel.shape) == 4


@contextmanager
def recording(layers: list[Any]) -> Iterator[list[tuple[Any, Any, Any]]]:
    """Note (layer, first input, output) for every call of these layers while the context is open."""
    calls: list[tuple[Any, Any, Any]] = []

    def noting(layer: Any, call: Any) -> Any:
        def noted(*args: Any, **kwargs: Any) -> Any:
            output = call(*args, **kwargs)
            calls.append((layer, args[0] if args else None, output))
            return output

        return noted

    unique = list({id(layer): layer for layer in layers}.values())
    for layer in unique:
        layer.__dict__["call"] = noting(layer, layer.call)
    try:
        yield calls
    finally:
        for layer in unique:
            del layer.__dict__["call"]


@contextmanager
def _replaced(layer: Any, call: Any) -> Iterator[None]:
    shadowed = layer.__dict__.get("call")
    layer.__dict__["call"] = call
    try:
        yield
    finally:
        if shadowed is None:
            del layer.__dict__["call"]
        else:
            layer.__dict__["call"] = shadowed


def from_one_float_tensor_to_one(model: Any) -> Any:
    """A model whose layers are the same, and whose images come as floats and not in a list or dictionary."""
    kind = type(model).__name__
    inputs = (getattr(model, "inputs", None) or []) if kind in ("Functional", "Sequential") else []
    if len(inputs) != 1 or len(model.outputs) != 1:
        return model
    if kind == "Functional" and (model.input is not inputs[0] or model.output is not model.outputs[0]):
        model = keras.Model(inputs[0], model.outputs[0], name=model.name)
    if "int" in inputs[0].dtype:  # Keras would round the pixels, and cut the derivative off
        floats = keras.Input(batch_shape=inputs[0].shape)
        model = keras.models.clone_model(model, input_tensors=floats, clone_function=lambda layer: layer)
    return model


def count_parameters(model: Any) -> int:
    saved = [layer for layer in model.layers if isinstance(layer, SavedFunction)]
    return int(model.count_params()) + sum(layer.parameters for layer in saved)


def describe_structure(model: Any) -> str:
    if any(isinstance(layer, SavedFunction) for layer in model.layers):
        return "SavedModel"
    kind = {"Functional": "functional", "Sequential": "sequential"}.get(type(model).__name__, "subclassed")
    is_nested = any(isinstance(layer, keras.Model) for layer in model._flatten_layers(include_self=False))
    return f"{kind}, nested" if is_nested else kind
