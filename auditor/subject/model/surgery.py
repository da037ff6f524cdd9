"""Looks at Keras models from outside: what images they take, which weights they hold, what they are."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from auditor.config.options import suggest
from auditor.errors import ModelError, OptionError
from auditor.subject.model.anatomy import Anatomy
from auditor.subject.model.saved_model import SavedFunction


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


def narrowed(model: Any, inputs: Mapping[str, Any], outputs: str | None) -> Any:
    """A model of one input, the images, and one output, of a functional one that has several.

    Parameters
    ----------
    inputs
        A value, or one for each unit, for every other input by its name.
    outputs
        The name of the output, or its number.

    Raises
    ------
    OptionError
        A name is none of the model's, one is missing, or a value does not fit.
    """
    given, given_off = getattr(model, "inputs", None) or [], getattr(model, "outputs", None) or []
    if not (given and given_off):
        for option, value in (("inputs", inputs), ("outputs", outputs)):
            if value:
                raise OptionError(option, "a subclassed model does not name its inputs and outputs; leave it out")
        return model
    if len(given) == len(given_off) == 1 and not inputs and outputs is None:
        return model
    names, named = _names(model.input, [tensor.name for tensor in given]), _names(model.output, model.output_names)
    images = [name for name in names if name not in inputs]
    unknown = [name for name in inputs if name not in names]
    if unknown:
        raise OptionError("inputs", f"the model has no input {unknown[0]!r}{suggest(unknown[0], names)}")
    if len(images) != 1:
        told = f"the model has {len(given)} inputs ({', '.join(names)}), wanted one that is not fixed: the images"
        raise OptionError("inputs", f"{told}; say for example inputs = {{ {names[-1]} = 0.0 }}")
    chosen = next((name for at, name in enumerate(named) if outputs in (name, str(at))), None)
    if outputs is None and len(named) == 1:
        chosen = named[0]
    if chosen is None:
        got = f"got {outputs!r}" if outputs else f"the model has {len(named)} outputs"
        raise OptionError("outputs", f"{got}, wanted the name of the one with the scores: {', '.join(named)}")
    frame = keras.Input(batch_shape=given[names.index(images[0])].shape, dtype=given[names.index(images[0])].dtype)
    fed = [
        frame if name == images[0] else _constant(name, inputs[name], tensor.shape, tensor.dtype, frame)
        for name, tensor in zip(names, given, strict=True)
    ]
    result = keras.tree.flatten(model(keras.tree.pack_sequence_as(model.input, fed)))[named.index(chosen)]
    return keras.Model(frame, result, name=f"narrowed_{model.name}")


def _names(structure: Any, otherwise: list[str]) -> list[str]:
    """What inputs or outputs are called: by the keys of a dictionary, in the order in which it is flattened."""
    is_flat = isinstance(structure, dict) and len(structure) == len(otherwise)
    return sorted(structure) if is_flat else list(otherwise)


def _constant(name: str, value: Any, shape: tuple[int | None, ...], dtype: str, images: Any) -> Any:
    """A tensor like an input, the same for each of the images."""
    try:
        row = np.broadcast_to(np.asarray(value, float), [1 if size is None else size for size in shape[1:]])
    except ValueError:
        wanted = f"one number, or {' x '.join(map(str, shape[1:]))}"
        raise OptionError("inputs", f"{name}: got {np.size(value)} numbers, wanted {wanted}") from None
    zeros = keras.ops.zeros_like(images[:, :1, :1, :1] if len(images.shape) == 4 else images[:, :1, :1])
    zeros = keras.ops.cast(keras.ops.reshape(zeros, (-1, *[1] * (len(shape) - 1))), dtype)
    return zeros + keras.ops.convert_to_tensor(row[None], dtype)


def find_batch_size(model: Any) -> int | None:
    """The only number of images that the model takes at once; None where it takes any."""
    inputs = getattr(model, "inputs", None) or []
    return inputs[0].shape[0] if inputs else None


def _built_shape(model: Any) -> tuple[int | None, ...]:
    """The input shape that a subclassed model was built with, or nothing."""
    shapes = getattr(model, "_build_shapes_dict", None) or {}
    return tuple(next(iter(shapes.values()), ()))[1:]


def find_weights(anatomy: Anatomy, model: Any) -> tuple[dict[str, list[Any]], str]:
    """The weights of each layer by its name, from the head down as the layers were called, and, where none, why.

    A layer's weights are its own, without those of layers inside it; what no called layer holds comes last, under the
    model's name. What stays the same however it is permuted is left out, and so are the statistics by which a
    Normalization prepares the pixels.
    """
    found: dict[str, list[Any]] = {}
    layers = list({id(call.layer): call.layer for call in reversed(anatomy.calls)}.values())
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


def only_output(outputs: list[Any]) -> Any:
    """The one tensor (images, classes) among what a model gives, or an error that says what it gives instead."""
    if len(outputs) != 1:
        raise ModelError(f"the model has {len(outputs)} outputs, wanted one: the scores of the classes")
    if outputs[0].shape.rank != 2 or outputs[0].shape[1] == 0:
        raise ModelError(f"the model's output has shape {tuple(outputs[0].shape)}, wanted (images, classes)")
    return outputs[0]


def count_parameters(model: Any) -> int:
    saved = [layer for layer in model.layers if isinstance(layer, SavedFunction)]
    return int(model.count_params()) + sum(layer.parameters for layer in saved)


def describe_structure(model: Any) -> str:
    if any(isinstance(layer, SavedFunction) for layer in model.layers):
        return "SavedModel"
    kind = {"Functional": "functional", "Sequential": "sequential"}.get(type(model).__name__, "subclassed")
    is_nested = any(isinstance(layer, keras.Model) for layer in model._flatten_layers(include_self=False))
    return f"{kind}, nested" if is_nested else kind


def hash_weights(model: Any) -> str:
    """SHA-256 over the values of all weights, in their order."""
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
    return digest.hexdigest()
