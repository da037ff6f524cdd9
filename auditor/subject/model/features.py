"""Which tensors of a model are feature maps, which of them Grad-CAM reads, and how they lie over the picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from auditor.errors import ModelError
from auditor.measure.arrays import Floats, Numbers
from auditor.subject.model.anatomy import Anatomy, LayerCall, Place
from auditor.subject.model.batches import cut_batches, gather
from auditor.subject.model.foreign import user_code
from auditor.subject.model.placement import Placement, Turn, find_placement
from auditor.subject.model.saved_model import SavedFunction


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
        self._placed: dict[str, tuple[Placement, ...]] = {}
        self.names = tuple(self._maps)
        self.usual = tuple(name for name in usual if self._turns(name))
        if usual and not self.usual:
            self.why_none = f"its feature maps look at {self._why_not(usual[0])}"

    def refuse_unknown(self, layers: tuple[str, ...]) -> None:
        """Refuse names that are none, and layers whose maps do not lie over the picture."""
        unknown = [layer for layer in layers if layer not in self._maps]
        if unknown:
            raise ModelError(f"layer {unknown[0]!r} has no feature maps; layers that have: {', '.join(self._maps)}")
        for layer in layers:
            if not self._turns(layer):
                raise ModelError(f"layer {layer!r} sees {self._why_not(layer)}, so its maps do not lie over it")

    def notes(self, layer: str) -> list[str]:
        """Sentences where some calls of a layer are left out, and where maps are turned to lie over the picture."""
        placed, turns = self._placements(layer), self._turns(layer)
        told = []
        if len(turns) < len(placed):
            part = f"{len(placed) - len(turns)} of {len(placed)} calls of layer {layer!r}"
            told.append(f"The maps are without {part}, which see {self._why_not(layer)}.")
        if len(placed) == 1 and any(turns[0]):
            told.append(f"The maps of layer {layer!r} are turned, for its places seem to see the picture turned.")
        return told

    def places(self, layer: str) -> list[Place]:
        """Where the calls of a layer that see the whole picture give their maps."""
        pairs = zip(self._maps[layer].places, self._placements(layer), strict=True)
        return [place for place, placed in pairs if isinstance(placed, Turn)]

    def laid(self, layer: str, calls: list[Any]) -> Any:
        """What these calls gave (n, h, w, k), turned to lie over the picture, one behind the other."""
        return tf.concat([turn.undo(part) for turn, part in zip(self._turns(layer), calls, strict=True)], axis=-1)

    def _turns(self, layer: str) -> list[Turn]:
        return [placed for placed in self._placements(layer) if isinstance(placed, Turn)]

    def _why_not(self, layer: str) -> str:
        return next(placed for placed in self._placements(layer) if isinstance(placed, str))

    def _placements(self, layer: str) -> tuple[Placement, ...]:
        if layer not in self._placed:
            maps = self._maps[layer]
            found = (find_placement(self._anatomy, place, maps.shape, self._energy) for place in maps.places)
            self._placed[layer] = tuple(found)
        return self._placed[layer]

    def _energy(self, place: Place, masks: Floats) -> Numbers:
        """See `placement.Energy`; each mask is tried on one of the probe images."""

        def compute(images: Any, masks: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(images)
                _, (maps,) = self._anatomy.replay(self._run, self._feed(images), (place,))
                maps = tf.cast(maps, tf.float32)
                signs = np.random.default_rng(0).choice([-1.0, 1.0], maps.shape[1:]).astype(np.float32)
                total = tf.reduce_sum(maps * signs * masks[..., None])
            return tape.gradient(total, images)

        size = len(self._probe)
        specs = [tf.TensorSpec(shape, tf.float32) for shape in (self._probe.shape, (size, *masks.shape[1:]))]
        with user_code("the model cannot be differentiated"):
            function = self._anatomy.trace(compute, *specs)
            gradients = [function(self._probe, batch) for batch in cut_batches(masks, (size,))]
        if gradients[0] is None:
            return np.zeros((len(masks), *self._probe.shape[1:3]))
        (found,) = gather(([np.square(each.numpy()).sum(axis=3)] for each in gradients), len(masks))
        return found.astype(np.float64)


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
        deciding = (anatomy.operations[at] for at in anatomy.decides if at >= 0)
        if any(each.type in _CONVOLUTIONS and _is_plane(each.outputs[0]) for each in deciding):
            return {}, [], "its feature maps are of tiles of the picture, not of the picture"
        return {}, [], "the model has no convolutional feature maps"
    if len(convolutions) == 1 and _embeds_patches(anatomy, convolutions[0]):
        return {}, [], "the model's only convolution cuts the image into patches, which are no feature maps"
    sizes = {_size(anatomy.operations[at].outputs[0]) for at in convolutions}
    scaled = (each.outputs[0] for each in anatomy.operations if each.type in _SCALING)
    scales = sizes | {_size(tensor) for tensor in scaled if _is_map(anatomy, tensor)}
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
        is_one = place is not None and place[0] in anatomy.decides and _is_map(anatomy, call.output)
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
        if (
            word is None
            or number not in anatomy.decides
            or (number, 0) in given
            or not _is_map(anatomy, operation.outputs[0])
        ):
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


def _convolutions(anatomy: Anatomy) -> list[int]:
    """Numbers of the convolutions whose maps have more than one pixel."""
    return [
        number
        for number, operation in enumerate(anatomy.operations)
        if operation.type in _CONVOLUTIONS and _is_map(anatomy, operation.outputs[0])
    ]


def _embeds_patches(anatomy: Anatomy, number: int) -> bool:
    """Whether a convolution looks at patches that do not overlap, and tokens are made of them."""
    operation = anatomy.operations[number]
    window = [int(size) for size in operation.inputs[1].shape[:2]]
    if max(window) == 1 or list(operation.get_attr("strides"))[1:3] != window:
        return False
    later = (tensor for each in anatomy.operations[number:] for tensor in each.outputs)
    return any(tensor.shape.rank == 3 for tensor in later)


def _is_map(anatomy: Anatomy, tensor: Any) -> bool:
    """Whether a tensor holds a map of more than one pixel for each picture, not for tiles that count as pictures."""
    return _is_plane(tensor) and tensor.shape[0] in (None, anatomy.fed.shape[0])


def _is_plane(tensor: Any) -> bool:
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
