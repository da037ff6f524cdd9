"""Which images show the same picture: identical ones, and those that differ by a rounding or a recompression."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from auditor.measure.arrays import Array, Bools, Floats, Ints

Joining = Literal["auto", "group", "keep"]
"""See `DataConfig.copies`."""

_SIDE, _COARSE = 16, 4
"""Parts along a side of a picture that it is compared by, and that it is first compared by."""

_MOST, _MEAN, _ALWAYS, _OF_CONTRAST = 9 / 255, 2 / 255, 1 / 255, 0.15
"""Copies differ by no more than the first in any part of the picture; on average over them by no more than the second,
and where that is more than the third, by no more than this share of their standard deviation. So differ what JPEG makes
of a photograph at quality 20 (96 pixels a side) and the photograph."""

_AT_FIRST = 2 / 255
"""Copies differ by no more than this, as a root mean square over the parts that they are first compared by."""

_PLAIN = 4 / 255
"""Standard deviation over the parts below which pictures are too plain to be told apart by them."""

_NEAREST = 32
"""So many of what is alike at first are compared further: in a heap of copies each is linked to some others of it."""

_BLOCK = 512


class Found(NamedTuple):
    """Rows of a data set that show one picture, a group at a time."""

    identical: list[Ints]
    """Of images that are identical ..."""
    alike: list[Ints]
    """... and of those that are identical or nearly so."""


class Copies:
    """Collects images batch by batch, and then says which are copies of each other."""

    def __init__(self) -> None:
        self._positions: list[Ints] = []
        self._digests: list[bytes] = []
        self._small: list[Floats] = []

    def add(self, positions: Ints, images: Floats) -> None:
        """Look at some images (n, height, width, channels) in [0, 1], at their rows (n,) of a data set."""
        self._positions.append(positions)
        self._digests += [hashlib.sha1(image.tobytes(), usedforsecurity=False).digest() for image in images]
        self._small.append(_in_parts(images @ np.full(images.shape[3], 1 / images.shape[3], np.float32), _SIDE))

    def extend(self, other: Copies) -> None:
        """Look at what another has looked at."""
        self._positions += other._positions
        self._digests += other._digests
        self._small += other._small

    def find(self) -> Found:
        """What is there once only is in no group."""
        if not self._positions:
            return Found([], [])
        positions, small = np.concatenate(self._positions), self._joined()
        known = dict[bytes, int]()
        first = np.fromiter((known.setdefault(digest, at) for at, digest in enumerate(self._digests)), np.int64)
        same = np.stack([np.arange(len(first)), first], axis=1)
        near = _near(small, np.unique(first))
        return Found(_linked(positions, same), _linked(positions, np.concatenate([same, near])))

    def _joined(self) -> Floats:
        """(n, height, width): the means over parts of all images; they take more memory than all else of an image."""
        joined = np.empty((sum(map(len, self._small)), *self._small[0].shape[1:]), np.float32)
        at = 0
        self._small.reverse()
        while self._small:  # so that never both are held
            part = self._small.pop()
            joined[at : at + len(part)] = part
            at += len(part)
        self._small.append(joined)
        return joined


def _linked(positions: Ints, pairs: Ints) -> list[Ints]:
    """The rows of what pairs link, a group at a time."""
    count = len(positions)
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, names = connected_components(links, directed=False)
    order = np.argsort(names, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(names[order])) + 1, count)
    starts = np.append(0, ends[:-1])
    linked = np.flatnonzero(ends - starts > 1)
    return [np.sort(positions[order[starts[at] : ends[at]]]) for at in linked]


def _averaging(length: int, parts: int) -> Floats:
    """(parts, length): makes means over so many parts of an axis; a shorter one stays as it is."""
    parts = min(length, parts)
    member = np.arange(length) * parts // length == np.arange(parts)[:, None]
    return (member / member.sum(axis=1, keepdims=True)).astype(np.float32)


def _in_parts(planes: Floats, parts: int) -> Floats:
    """Means of planes (n, h, w) over parts along each side."""
    rows, columns = (_averaging(side, parts) for side in planes.shape[1:])
    return np.asarray(rows @ planes @ columns.T, np.float32)


def _near(small: Floats, rows: Ints) -> Ints:
    """Pairs (k, 2) of some rows of images that look alike, by their means over parts (n, h, w)."""
    blocks = np.split(rows, range(_BLOCK, len(rows), _BLOCK))
    rows = np.concatenate([block[small[block].std(axis=(1, 2)) > _PLAIN] for block in blocks])
    pairs = [np.empty((0, 2), np.int64)]
    if len(rows) > 1:
        blocks = np.split(rows, range(_BLOCK, len(rows), _BLOCK))
        coarse = np.concatenate([_in_parts(small[block], _COARSE) for block in blocks]).reshape(len(rows), -1)
        coarse -= coarse.mean(axis=0)
        along = coarse @ np.linalg.svd(coarse.T @ coarse)[0][:, 0]  # where they differ most
        order = np.argsort(along, kind="stable")
        for one, other in _close(coarse[order], along[order], _AT_FIRST * np.sqrt(coarse.shape[1])):
            both = rows[order[one]], rows[order[other]]
            is_copy = _are_copies(small[both[0]], small[both[1]])
            pairs.append(np.stack(both, axis=1)[is_copy])
    return np.concatenate(pairs)


def _close(points: Floats, along: Floats, radius: float) -> Iterator[tuple[Ints, Ints]]:
    """Numbers of points (n, k) and of later ones within a radius, the nearest of many, block by block.

    The points are in the order of `along` (n,), which is no farther between two of them than they are.
    """
    squares = np.square(points).sum(axis=1)
    for start in range(0, len(points), _BLOCK):
        stop = min(start + _BLOCK, len(points))
        end = int(np.searchsorted(along, along[stop - 1] + radius, side="right"))
        apart = squares[start:stop, None] + squares[None, start:end] - 2 * points[start:stop] @ points[start:end].T
        is_close = np.triu(apart <= radius**2, k=1)
        crowded = np.flatnonzero(is_close.sum(axis=1) > _NEAREST)
        if len(crowded):
            ranked = np.where(is_close[crowded], apart[crowded], np.inf)
            nearest = np.argpartition(ranked, _NEAREST, axis=1)[:, :_NEAREST]
            is_close[crowded] = False
            is_close[crowded[:, None], nearest] = True
        one, other = np.nonzero(is_close)
        yield one + start, other + start


def _are_copies(one: Floats, other: Floats) -> Bools:
    """Which pairs (k,) of images are nearly the same, by their means over parts (k, h, w)."""
    apart, contrast = np.abs(one - other), one.std(axis=(1, 2))
    mean = apart.mean(axis=(1, 2))
    most = np.maximum(_ALWAYS, np.minimum(_MEAN, _OF_CONTRAST * contrast))
    return np.asarray((apart.max(axis=(1, 2)) <= _MOST) & (mean <= most))


def join_groups(groups: Array, found: Found, joining: Joining, *, are_given: bool) -> tuple[Array, list[str]]:
    """Groups (n,) of images in which those of copies are one, and sentences that say so.

    Parameters
    ----------
    are_given
        Whether the groups are the user's: then images that are nearly the same, which is a guess, join none of these
        unless the user says so.
    """
    if not found.alike:
        return groups, []
    pictures = "one picture" if len(found.alike) == 1 else f"{len(found.alike)} pictures"
    told = f"{sum(map(len, found.alike))} images show {pictures}, the same or nearly so"
    if joining == "keep":
        return groups, [f'{told}; their groups stay as they are, as copies = "keep" says.']
    joined = merge_groups(groups, found.identical if joining == "auto" and are_given else found.alike)
    apart = sum(len(np.unique(joined[rows])) > 1 for rows in found.alike)
    if apart:
        stay = f"the groups that the data give keep {apart} of them apart, whose images are not identical"
        return joined, [f'{told}; {stay} (copies = "group" under [data] joins these too).']
    one = "those of one picture count as one group"
    return joined, [f'{told}; {one} (copies = "keep" under [data] takes each as it comes).']


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
