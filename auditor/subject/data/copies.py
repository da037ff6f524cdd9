"""Which images show the same picture: identical ones, and those that differ by a rounding or a recompression."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from auditor.measure.arrays import Array, Floats, Ints

_SIDE, _COARSE = 16, 4

_ALIKE, _ON_AVERAGE = 6 / 255, 1 / 255
"""Copies differ by no more than this in any of the 16 x 16 parts of the picture, and on average over them."""

_PLAIN = 4 / 255
"""Standard deviation over these parts below which pictures are too plain to be told apart by them."""

_MOST_ALIKE = 50
"""Where images have more neighbours than this on average, likeness says nothing."""


class Copies:
    """Collects images batch by batch, and then says which are copies of each other."""

    def __init__(self) -> None:
        self._positions: list[Ints] = []
        self._digests: list[bytes] = []
        self._small: list[Floats] = []

    def add(self, positions: Ints, images: Floats) -> None:
        """Look at some images (n, height, width, channels) in [0, 1], at their rows (n,) of a data set."""
        self._positions.append(positions)
        self._digests += [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]
        grey = images.mean(axis=3)
        for axis in (1, 2):
            grey = _in_parts(grey, axis)
        self._small.append(grey)

    def find(self) -> list[Ints]:
        """Rows of the data set that show one picture, a group at a time; of what is there once nothing."""
        if not self._positions:
            return []
        positions, small = np.concatenate(self._positions), np.concatenate(self._small)
        count = len(positions)
        first = {digest: at for at, digest in reversed(list(enumerate(self._digests)))}
        same = np.array([(at, first[digest]) for at, digest in enumerate(self._digests)])
        pairs = np.concatenate([same, _near(small)])
        links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
        _, names = connected_components(links, directed=False)
        groups = [np.flatnonzero(names == name) for name in np.flatnonzero(np.bincount(names) > 1)]
        return [np.sort(positions[group]) for group in groups]


def merge_groups(groups: Array, copies: Sequence[Ints]) -> Array:
    """Groups (n,) of images, in which those of copies are one."""
    other: dict[object, object] = {}

    def root(name: object) -> object:
        while name in other:
            name = other[name]
        return name

    for rows in copies:
        first, *rest = dict.fromkeys(root(name) for name in groups[rows].tolist())
        other |= dict.fromkeys(rest, first)
    return np.array([root(name) for name in groups.tolist()], groups.dtype)


def _in_parts(values: Floats, axis: int) -> Floats:
    """Means over 16 parts of an axis; a shorter one stays as it is."""
    length = values.shape[axis]
    if length <= _SIDE:
        return values
    starts = np.linspace(0, length, _SIDE, endpoint=False).astype(int)
    sizes = np.diff([*starts, length]).reshape([-1 if at == axis else 1 for at in range(values.ndim)])
    return np.asarray(np.add.reduceat(values, starts, axis=axis) / sizes, np.float32)


def _near(small: Floats) -> Ints:
    """Pairs of images that look alike, by their means over parts (n, h, w)."""
    rows = np.flatnonzero(small.std(axis=(1, 2)) > _PLAIN)
    nothing = np.empty((0, 2), np.int64)
    if len(rows) < 2:
        return nothing
    step = [max(1, size // _COARSE) for size in small.shape[1:]]
    coarse = small[rows][:, :: step[0], :: step[1]].reshape(len(rows), -1)
    tree = cKDTree(coarse)
    if tree.count_neighbors(tree, _ALIKE, p=np.inf) > _MOST_ALIKE * len(rows):
        return nothing
    pairs = rows[tree.query_pairs(_ALIKE, p=np.inf, output_type="ndarray")]
    if not len(pairs):
        return nothing
    differences = np.abs(small[pairs[:, 0]] - small[pairs[:, 1]]).reshape(len(pairs), -1)
    return np.asarray(pairs[(differences.max(axis=1) <= _ALIKE) & (differences.mean(axis=1) <= _ON_AVERAGE)])
