"""Which tensors of a model are feature maps, which of them Grad-CAM reads, and how they lie over the picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from auditor.errors import ModelError
from auditor.measure.arrays import Floats, Numbers
from auditor.subject.model.anatomy import Anatomy, LayerCall, Place, trace
from auditor.subject.model.foreign import user_code
from auditor.subject.model.saved_model import SavedFunction


class Turn(NamedTuple):
    """How a part of a model sees the picture: rows and columns exchanged first, then each perhaps reversed."""

    exchanged: bool = False
    upside_down: bool = False
    mirrored: bool = False

    def undo(self, maps: Any) -> Any:
        """Maps (n, h, w, k) as they lie over the picture."""
        axes = [axis for axis, is_reversed in ((1, self.upside_down), (2, self.mirrored)) if is_reversed]
        maps = tf.reverse(maps, axes) if axes else maps
        return tf.transpose(maps, (0, 2, 1, 3)) if self.exchanged else maps


@dataclass(frozen=True)
class FeatureMaps:
    """Maps by one name: one tensor for each call of a layer."""

    places: tuple[Place, ...]
    shape: tuple[int, int]
    """Height and width."""
    is_convolution: bool


class FeatureReader:
    """The feature maps of a model by name, as they lie over the picture."""

    def __init__(self, anatomy: Anatomy, run: Callable[[Any], Any], feed: Callable[[Any], Any], probe: Floats) -> None:
        """Find them.

        Parameters
        ----------
        run, feed
            What the anatomy was traced of, and what makes its input of images in [0, 1].
        probe
            Images (n, height, width, channels) to find out with where each part of a map looks at.
        """
        self._anatomy, self._run, self._feed, self._probe = anatomy, run, feed, probe
        self._maps, usual, self.why_none = find_feature_maps(anatomy)
        self._turns: dict[str, tuple[Turn | None, ...]] = {}
        self.names = tuple(self._maps)
        self.usual = tuple(name for name in usual if any(self._turns_of(name)))
        if usual and not self.usual:
            self.why_none = "its feature maps look at a part of the picture only"

    def refuse_unknown(self, layers: tuple[str, ...]) -> None:
        """Refuse names that are none, and layers that see a part of the picture only."""
        unknown = [layer for layer in layers if layer not in self._maps]
        if unknown:
            raise ModelError(f"layer {unknown[0]!r} has no feature maps; layers that have: {', '.join(self._maps)}")
        for layer in layers:
            if not any(self._turns_of(layer)):
                raise ModelError(f"layer {layer!r} sees a part of the picture only, so its maps do not lie over it")

    def parts_left_out(self, layer: str) -> str:
        """A sentence where some calls of a layer see a part of the picture only; else nothing."""
        turns = self._turns_of(layer)
        if None not in turns:
            return ""
        part = f"{turns.count(None)} of {len(turns)} calls of layer {layer!r}"
        return f"The maps are without {part}, which see a part of the picture only."

    def places(self, layer: str) -> list[Place]:
        """Where the calls of a layer that see the whole picture give their maps."""
        return [place for place, turn in zip(self._maps[layer].places, self._turns_of(layer), strict=True) if turn]

    def laid(self, layer: str, calls: list[Any]) -> Any:
        """What these calls gave (n, h, w, k), turned to lie over the picture, one behind the other."""
        turns = [turn for turn in self._turns_of(layer) if turn]
        return tf.concat([turn.undo(part) for turn, part in zip(turns, calls, strict=True)], axis=-1)

    def _turns_of(self, layer: str) -> tuple[Turn | None, ...]:
        if layer not in self._turns:
            self._turns[layer] = find_turns(self._anatomy, self._maps[layer], self._energy)
        return self._turns[layer]

    def _energy(self, place: Place, mask: Floats) -> Numbers:
        """Squared derivative (height, width), by the pixels of some images, of what is inside a mask (h, w) of maps."""

        def compute(images: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(images)
                _, (maps,) = self._anatomy.replay(self._run, self._feed(images), (place,))
                maps = tf.cast(maps, tf.float32)
                signs = np.random.default_rng(0).choice([-1.0, 1.0], maps.shape[1:]) * mask[..., None]
                total = tf.reduce_sum(maps * signs.astype(np.float32))
            return tape.gradient(total, images)

        spec = tf.TensorSpec(self._probe.shape, tf.float32)
        with user_code("the model cannot be differentiated"):
            gradient = trace(compute, spec, in_place=self._anatomy.is_open)(self._probe)
        return np.zeros(self._probe.shape[1:3]) if gradient is None else np.square(gradient.numpy()).sum(axis=(0, 3))


def find_feature_maps(anatomy: Anatomy) -> tuple[dict[str, FeatureMaps], list[str], str]:
    """Feature maps by name, the names of those that Grad-CAM takes by default, and, where there are none, why.

    The two that Grad-CAM takes by default come first, then all from last to first. The usual choice is the last one at
    a convolution's resolution that all goes through on its way from the image to the scores; the second, such a one at
    the resolution before, or else the last one there. Paddings, croppings and what lies before the first convolution
    are none. What a line of Python makes (a sum, a product) is one too where all goes through it, called by the layer
    that it follows.
    """
    if any(isinstance(call.layer, SavedFunction) for call in anatomy.calls):
        return {}, [], "a SavedModel shows no layers"
    if not anatomy.is_open:
        return {}, [], "its layers run in a tf.function that can only be traced as a whole"
    convolutions = [number for number in _convolutions(anatomy) if number in anatomy.decides]
    if not convolutions:
        return {}, [], "the model has no convolutional feature maps"
    if len(convolutions) == 1 and _embeds_patches(anatomy, convolutions[0]):
        return {}, [], "the model's only convolution cuts the image into patches, which are no feature maps"
    sizes = {_size(anatomy.operations[at].outputs[0]) for at in convolutions}
    scaled = (each.outputs[0] for each in anatomy.operations if each.type in _SCALING)
    scales = sizes | {_size(tensor) for tensor in scaled if _is_map(tensor)}
    found = [*_of_layers(anatomy), *_of_operations(anatomy)]
    found = [each for each in found if each[0][0] >= convolutions[0] and each[2].shape in scales]
    ordered = [(name, maps) for _, name, maps in sorted(found, key=lambda each: each[0], reverse=True)]
    fit = [each for each in ordered if each[1].shape in sizes]
    if not fit:
        return {}, [], "the model has no convolutional feature maps"
    usual = [each for each in fit if anatomy.is_on_every_way(each[1].places)]
    first = (usual or fit)[0]
    shapes = list(dict.fromkeys(maps.shape for _, maps in fit[fit.index(first) :]))
    chosen = [next(each for each in [*usual, *fit] if each[1].shape == shape) for shape in shapes[:2]]
    if len(chosen) == 1:
        chosen += [each for each in [*usual, *fit] if each[1].is_convolution and each[0] != first[0]][:1]
    return dict([*chosen, *ordered]), [name for name, _ in chosen], ""


def _of_layers(anatomy: Anatomy) -> list[tuple[tuple[int, int], str, FeatureMaps]]:
    """What layers give: (operation, call) of the last call of each, by which they are ordered; name; maps."""
    calls: dict[int, list[tuple[int, LayerCall, Place]]] = {}
    for at, call in enumerate(anatomy.calls):
        place = None if call.output is None else anatomy.place(call.output)
        is_one = place is not None and place[0] in anatomy.decides and _is_map(call.output)
        kinds = (keras.Model, keras.layers.InputLayer)
        if is_one and not isinstance(call.layer, kinds) and call.output.op.type not in _CUTTING:
            assert place is not None
            calls.setdefault(id(call.layer), []).append((at, call, place))
    layers = [each[0][1].layer for each in calls.values()]
    repeated = {name for name, count in Counter(layer.name for layer in layers).items() if count > 1}
    found = []
    for layer, each in zip(layers, calls.values(), strict=True):
        size = _size(each[0][1].output)
        places = tuple(place for _, call, place in each if _size(call.output) == size)
        name = layer.path if layer.name in repeated else layer.name
        found.append(((each[-1][2][0], each[-1][0]), name, FeatureMaps(places, size, _is_convolution(layer))))
    return found


def _of_operations(anatomy: Anatomy) -> list[tuple[tuple[int, int], str, FeatureMaps]]:
    """What lines of Python give between layers, where all goes through it; ordered and named as layers are."""
    given = {anatomy.place(call.output) for call in anatomy.calls if call.output is not None}
    inside = [call for call in anatomy.calls if call.is_leaf and call.start < call.end]
    found: list[tuple[tuple[int, int], str, FeatureMaps]] = []
    for number, operation in enumerate(anatomy.operations):
        word = _WORDS.get(operation.type)
        if word is None or number not in anatomy.decides or (number, 0) in given or not _is_map(operation.outputs[0]):
            continue
        if any(call.start <= number < call.end for call in inside):
            continue
        if not anatomy.is_on_every_way([(number, 0)]):
            continue
        before = [call.layer.name for call in inside if call.end <= number]
        name = f"{word} after {before[-1]}" if before else f"{word} {number}"
        if any(name == other for _, other, _ in found):
            name = f"{name} ({number})"
        found.append(((number, 0), name, FeatureMaps(((number, 0),), _size(operation.outputs[0]), False)))
    return found


def find_turns(
    anatomy: Anatomy, maps: FeatureMaps, energy: Callable[[Place, Floats], Numbers]
) -> tuple[Turn | None, ...]:
    """How each call of a layer sees the picture; None for one that sees a part of it only.

    Parameters
    ----------
    energy
        For a place and a mask (h, w) over its maps, the squared derivative (height, width) of what is inside of the
        mask by the pixels: where a quarter of the maps looks, that quarter of the picture is.
    """
    moving = (anatomy.operations[at] for at in anatomy.decides if at >= 0 and anatomy.operations[at].type in _TURNING)
    if len(maps.places) == 1 and not any((each.outputs[0].shape.rank or 0) > 2 for each in moving):
        return (Turn(),)
    return tuple(_find_turn(place, maps.shape, energy) for place in maps.places)


def _find_turn(place: Place, shape: tuple[int, int], energy: Callable[[Place, Floats], Numbers]) -> Turn | None:
    seen, maps = np.zeros((2, 2, 2, 2)), []
    for row in (0, 1):
        for column in (0, 1):
            by_pixel = energy(place, np.outer(_third(shape[0], row), _third(shape[1], column)).astype(np.float32))
            maps.append(by_pixel)
            halves = [np.array_split(half, 2, axis=1) for half in np.array_split(by_pixel, 2, axis=0)]
            parts = np.array([[float(part.sum()) for part in half] for half in halves])
            seen[row, column] = parts / max(parts.sum(), np.finfo(float).tiny)
    flags = (False, True)
    turns = [Turn(exchanged, down, mirrored) for exchanged in flags for down in flags for mirrored in flags]
    fits = {turn: _fit(seen, turn) for turn in turns}
    best = max(turns, key=lambda turn: fits[turn])
    if fits[best] - fits[Turn()] < _CLEAR:  # each place looks at the whole picture: nothing speaks for a turn
        best = Turn()
    is_part = seen.mean(axis=(0, 1)).max() > _PART
    return None if is_part or min(_extents(np.sum(maps, axis=0))) < _WHOLE else best


def _extents(energy: Numbers) -> list[float]:
    """Shares of the height and of the width of a picture that anything is seen in."""
    sides = []
    for axis in (1, 0):
        there = np.flatnonzero(energy.sum(axis=axis) > 1e-9 * max(float(energy.max()), np.finfo(float).tiny))
        sides.append((there[-1] - there[0] + 1) / energy.shape[1 - axis] if len(there) else 0.0)
    return sides


def _fit(seen: Numbers, turn: Turn) -> float:
    """The share of what corners of the maps look at that lies in the corners of the picture that they would be."""
    total = 0.0
    for row in (0, 1):
        for column in (0, 1):
            there = (1 - row if turn.upside_down else row, 1 - column if turn.mirrored else column)
            total += float(seen[(row, column, *(there[::-1] if turn.exchanged else there))])
    return total / 4


def _third(length: int, side: int) -> Floats:
    """The first or last third of an axis."""
    third, row = max(1, length // 3), np.zeros(length, np.float32)
    row[slice(-third, None) if side else slice(third)] = 1
    return row


def _convolutions(anatomy: Anatomy) -> list[int]:
    """Numbers of the convolutions whose maps have more than one pixel."""
    return [
        number
        for number, operation in enumerate(anatomy.operations)
        if operation.type in _CONVOLUTIONS and _is_map(operation.outputs[0])
    ]


def _embeds_patches(anatomy: Anatomy, number: int) -> bool:
    """Whether a convolution looks at patches that do not overlap, and tokens are made of them."""
    operation = anatomy.operations[number]
    window = [int(size) for size in operation.inputs[1].shape[:2]]
    if max(window) == 1 or list(operation.get_attr("strides"))[1:3] != window:
        return False
    later = (tensor for each in anatomy.operations[number:] for tensor in each.outputs)
    return any(tensor.shape.rank == 3 for tensor in later)


def _is_map(tensor: Any) -> bool:
    shape = tensor.shape
    return shape.rank == 4 and None not in shape[1:3] and shape[1] * shape[2] > 1


def _size(tensor: Any) -> tuple[int, int]:
    return int(tensor.shape[1]), int(tensor.shape[2])


def _is_convolution(layer: Any) -> bool:
    kernel = getattr(layer, "kernel", getattr(layer, "depthwise_kernel", None))
    return kernel is not None and len(kernel.shape) == 4


_WORDS = {
    "AddV2": "sum", "AddN": "sum", "Sub": "difference", "Mul": "product", "RealDiv": "quotient", "Maximum": "maximum",
    "Minimum": "minimum", "ConcatV2": "join", "Relu": "relu", "Relu6": "relu", "LeakyRelu": "relu", "Elu": "elu",
    "Selu": "selu", "Tanh": "tanh", "Softplus": "softplus", "FusedBatchNormV3": "normalisation", "BiasAdd": "sum",
    "Conv2D": "convolution", "DepthwiseConv2dNative": "convolution",
}  # fmt: skip
"""Operations that a line of Python may make feature maps by, and what their maps are called."""

_CONVOLUTIONS = {"Conv2D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "BatchToSpaceND"}
"""The last is the end of a dilated one, which TensorFlow takes apart."""

_SCALING = {"MaxPool", "AvgPool", "ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic"}
"""Operations beside convolutions that give maps of a size of their own."""

_CUTTING = {"Pad", "PadV2", "MirrorPad", "StridedSlice", "Slice"}
"""Operations that move the picture within its frame."""

_TURNING = {
    "StridedSlice",
    "Slice",
    "ReverseV2",
    "Transpose",
    "Roll",
    "ImageProjectiveTransformV3",
    "CropAndResize",
    "GatherV2",
}
"""Operations after which maps may lie over the picture otherwise than it does itself."""

_CLEAR = 0.1
"""A turn must fit better than none by this share."""

_WHOLE = 0.85
"""Share of the height and width of the picture that the corners of the maps look at together, at the least."""

_PART = 0.7
"""Where all corners of the maps look at one corner of the picture by more than this share, they see that part only."""
