"""Where feature maps lie over the picture: as they are, turned, over a part of it only, or not at all.

A roll, a padding on one side or patches in another order move the picture on its way to the feature maps, and no map
of these would lie over what it tells of. So where a graph holds an operation that may do so, the maps are asked: each
block of them looks at some pixels, and the middle of these is where that block lies.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from auditor.measure.arrays import Floats, Numbers
from auditor.subject.model.anatomy import Anatomy, Place

Energy = Callable[[Place, Floats], Numbers]
"""For a place and masks (k, h, w) over its maps: the squared derivative (k, height, width), by the pixels of a picture,
of what lies inside of each mask."""


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

    def apply(self, points: Numbers) -> Numbers:
        """Points (n, 2) of the maps, row and column about the middle, as they lie over the picture."""
        found = points * [-1 if self.upside_down else 1, -1 if self.mirrored else 1]
        return found[:, ::-1] if self.exchanged else found


IN_PART = "a part of the picture only"
MOVED = "the picture with its parts moved"

Placement = Turn | str
"""How a tensor of maps sees the picture; in words, where its maps cannot be laid over it."""


def find_placement(anatomy: Anatomy, place: Place, shape: tuple[int, int], energy: Energy) -> Placement:
    """How the maps (h, w) at a place see the picture.

    Where no operation before them can move anything, as they are. Where the blocks of the maps all look at about the
    same pixels, nothing speaks for anything else.
    """
    if not any(_may_move(anatomy.operations[number]) for number in anatomy.behind(place) if number >= 0):
        return Turn()
    ends = [np.linspace(0, side, min(_BLOCKS, side) + 1).astype(int) for side in shape]
    blocks = list(itertools.product(*(list(itertools.pairwise(each)) for each in ends)))
    masks = np.zeros((len(blocks), *shape), np.float32)
    for mask, ((top, bottom), (left, right)) in zip(masks, blocks, strict=True):
        mask[top:bottom, left:right] = 1
    middles = np.array([[(top + bottom) / 2, (left + right) / 2] for (top, bottom), (left, right) in blocks])
    seen = energy(place, masks)
    together = seen.sum(axis=0)
    if min(_extents(together)) < _WHOLE:
        return IN_PART
    seen = np.square(seen) / np.maximum(together, np.finfo(float).tiny)  # pixels that this block sees more than others
    return _fit(middles / shape - 0.5, seen, [_EXACT + _OF_A_CELL / side for side in shape])


def _fit(points: Numbers, seen: Numbers, slack: list[float]) -> Placement:
    """How points of the maps (k, 2), about their middle, lie over a picture where they see these energies (k, h, w)."""
    total = seen.sum(axis=(1, 2))
    sees = total > 1e-6 * total.max()
    centres = _centres(seen[sees])
    middle = np.average(centres, axis=0, weights=total[sees])
    if np.sqrt(np.square(centres - middle).sum(axis=1).mean()) < _ALIKE:  # each block looks at all that any looks at
        return Turn() if np.abs(middle).max() < _OFF else IN_PART
    misfits = {turn: _misfit(turn.apply(points[sees]), centres) for turn in _TURNS}
    turn = min(_TURNS, key=lambda each: float(np.square(misfits[each]).sum()))
    gained = float((np.square(misfits[Turn()]) - np.square(misfits[turn])).sum())
    if gained < _CLEAR * float(np.square(centres).mean(axis=0).sum()):
        turn = Turn()
    room = slack[::-1] if turn.exchanged else slack
    return turn if (misfits[turn] < room).all() else MOVED


def _misfit(points: Numbers, centres: Numbers) -> Numbers:
    """By how much (2,) centres (k, 2) are, on average, not where points about the middle lie, be they drawn to it."""
    scale = (points * centres).sum(axis=0) / np.maximum(np.square(points).sum(axis=0), np.finfo(float).tiny)
    return np.asarray(np.sqrt(np.square(centres - np.clip(scale, 0, _STRETCH) * points).mean(axis=0)))


def _centres(energy: Numbers) -> Numbers:
    """Centres (k, 2), row and column as shares of the sides about the middle of the picture, of energies (k, h, w)."""
    found = []
    for axis, other in ((1, 2), (2, 1)):
        size = energy.shape[axis]
        along = energy.sum(axis=other)
        found.append(along @ ((np.arange(size) + 0.5) / size - 0.5) / along.sum(axis=1))
    return np.stack(found, axis=1)


def _extents(energy: Numbers) -> list[float]:
    """Shares of the height and of the width of a picture that anything is seen in."""
    sides = []
    for axis in (1, 0):
        there = np.flatnonzero(energy.sum(axis=axis) > 1e-9 * max(float(energy.max()), np.finfo(float).tiny))
        sides.append((there[-1] - there[0] + 1) / energy.shape[1 - axis] if len(there) else 0.0)
    return sides


def _may_move(operation: Any) -> bool:
    """Whether an operation may give a picture, or maps of it, that lie otherwise than what it is given."""
    sides = [operation.outputs[0].shape] if operation.outputs else []
    sides += [tensor.shape for tensor in operation.inputs]
    if not any(shape.rank is None or shape.rank > 2 for shape in sides):
        return False
    if operation.type in _PADDING:
        return _pads_unevenly(operation)
    if operation.type in _JOINING:
        return not _is_of_channels(operation)
    if operation.type == "Reshape":
        shape = operation.outputs[0].shape
        return shape.rank is None or (shape.rank > 2 and any(side != 1 for side in shape[1:-1]))
    return operation.type in _MOVING


def _pads_unevenly(operation: Any) -> bool:
    """Whether a padding is wider on one side than on the other, or as wide as a good part of the picture."""
    widths, shape = tf.get_static_value(operation.inputs[1]), operation.inputs[0].shape
    if widths is None or shape.rank is None:
        return True
    sides = zip(shape[1:-1], widths[1:-1], strict=True)
    return any(abs(before - after) > 1 or before + after > _WIDE * (side or 0) for side, (before, after) in sides)


def _is_of_channels(operation: Any) -> bool:
    """Whether tensors are joined or split by their channels, of which each lies over the picture as before."""
    if operation.type in ("Pack", "Unpack"):
        return False
    at = {"ConcatV2": -1, "Split": 0, "SplitV": 2}[operation.type]
    axis, rank = tf.get_static_value(operation.inputs[at]), (operation.outputs[0].shape.rank or 0)
    return axis is not None and int(axis) in (-1, rank - 1)


_TURNS = [Turn(*each) for each in itertools.product((False, True), repeat=3)]

_PADDING = {"Pad", "PadV2", "MirrorPad"}

_JOINING = {"ConcatV2", "Pack", "Unpack", "Split", "SplitV"}

_MOVING = {
    "StridedSlice", "Slice", "ReverseV2", "Transpose", "Roll", "ImageProjectiveTransformV3", "CropAndResize",
    "GatherV2", "GatherNd", "ScatterNd", "TensorScatterUpdate", "Einsum", "MatMul", "BatchMatMulV2", "BatchMatMulV3",
    "SpaceToBatchND", "BatchToSpaceND", "ExtractImagePatches",
}  # fmt: skip
"""Operations after which maps may lie over the picture otherwise than it does itself."""

_BLOCKS = 4
"""Blocks along a side of the maps."""

_WIDE = 0.1
"""Share of a side by which a padding on both sides is worth a look."""

_EXACT, _OF_A_CELL = 0.03, 0.4
"""How far from where it should be the middle of what a block sees may lie: a share of the side, and of a cell of the
maps, by which strides move them."""

_STRETCH = 1.05
"""Blocks lie that much further apart on the picture than on the maps, at the most: else they see more than it."""

_ALIKE, _OFF = 0.03, 0.15
"""The middles of what blocks see differ by no more, as shares of the side, where each looks at the whole picture; and
how far from its middle they may lie then."""

_CLEAR = 0.1
"""A turn must explain more than none by this share."""

_WHOLE = 0.85
"""Share of the height and width of the picture that the maps look at together, at the least."""
