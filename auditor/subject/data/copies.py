"""Which images show the same picture: identical ones, and those that differ by a rounding or a recompression."""

from __future__ import annotations

import hashlib
import mmap
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Literal, NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from auditor.errors import DataError
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

_COMPARED = 2**18
"""Pairs of images that are compared at once, at the most; and no fewer than one image with all others."""

_DIGEST = 20


class Found(NamedTuple):
    """Rows of a data set that show one picture, a group at a time."""

    identical: list[Ints]
    """Of images that are identical ..."""
    alike: list[Ints]
    """... and of those that are identical or nearly so."""


@dataclass(frozen=True)
class Sketches:
    """What some images are compared by."""

    positions: Ints
    """(n,): their rows of the data set."""
    digests: bytes
    """`_DIGEST` bytes of each, of its pixels."""
    means: Floats
    """(n, height, width): over the parts of each picture."""


def sketch(positions: Ints, images: Floats) -> Sketches:
    """Look at some images (n, height, width, channels) in [0, 1], at their rows (n,) of a data set."""
    digests = b"".join(hashlib.sha1(image.tobytes(), usedforsecurity=False).digest() for image in images)
    means = _in_parts(images @ np.full(images.shape[3], 1 / images.shape[3], np.float32), _SIDE)
    return Sketches(positions, digests, means)


class Copies:
    """Collects images batch by batch, and then says which are copies of each other.

    Means over parts, a KiB for each image, lie on the disk until it is forgotten.
    """

    def __init__(self) -> None:
        self._positions = array("q")
        self._digests = bytearray()
        self._means = _Means()

    def add(self, seen: Sketches) -> None:
        """Look at some images.

        Raises
        ------
        DataError
            The disk has no room.
        """
        self._positions.extend(seen.positions.tolist())
        self._digests += seen.digests
        self._means.add(seen.means)

    def find(self) -> Found:
        """What is there once only is in no group."""
        if not self._positions:
            return Found([], [])
        positions = np.array(self._positions, np.int64)
        _, first, of = np.unique(
            np.frombuffer(bytes(self._digests), f"S{_DIGEST}"), return_index=True, return_inverse=True
        )
        first = first[of]
        again = np.flatnonzero(first != np.arange(len(first)))
        same = np.stack([again, first[again]], axis=1)
        with self._means.opened() as means:
            near = _near(means, np.unique(first))
        return Found(_linked(positions, same), _linked(positions, np.concatenate([same, near])))


class _Means:
    """Means over parts of images (n, h, w), on the disk."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._shape: tuple[int, ...] = ()

    def add(self, means: Floats) -> None:
        self._shape = means.shape[1:]
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed with the object
                weakref.finalize(self, self._file.close)
            self._file.write(means.tobytes())
            self._file.flush()
        except OSError as fault:
            raise DataError(f"{tempfile.gettempdir()}: no room to look for copies of images: {fault}") from None

    @contextmanager
    def opened(self) -> Iterator[Callable[[Ints], Floats]]:
        """A function that gives those of some images, by number."""
        assert self._file is not None
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as held:
            everything: Floats | None = np.frombuffer(held, np.float32).reshape(-1, *self._shape)

            def give(rows: Ints) -> Floats:
                assert everything is not None
                found = everything[rows]
                held.madvise(mmap.MADV_DONTNEED)  # pages that were read stay with the system, not with this process
                return found

            try:
                yield give
            finally:
                everything = None  # a map that is looked into cannot be closed


def _linked(positions: Ints, pairs: Ints) -> list[Ints]:
    """The rows of what pairs link, a group at a time."""
    count = len(positions)
    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
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


def _near(means: Callable[[Ints], Floats], rows: Ints) -> Ints:
    """Pairs (k, 2) of some rows of images that look alike, by their means over parts."""
    kept, coarse = [], []
    for block in np.split(rows, range(_BLOCK, len(rows), _BLOCK)):
        small = means(block)
        is_told = small.std(axis=(1, 2)) > _PLAIN
        kept.append(block[is_told])
        parts = _in_parts(small[is_told], _COARSE)
        coarse.append(parts.reshape(len(parts), parts.shape[1] * parts.shape[2]))
    rows, points, pairs = np.concatenate(kept), np.concatenate(coarse), [np.empty((0, 2), np.int32)]
    if len(rows) > 1:
        points -= points.mean(axis=0)
        along = points @ np.linalg.svd(points.T @ points)[0][:, 0]  # where they differ most
        order = np.argsort(along, kind="stable")
        rows, along = rows[order], along[order]
        for part in range(points.shape[1]):
            points[:, part] = points[order, part]  # one after the other, so that never all are held twice
        for one, other in _close(points, along, _AT_FIRST * np.sqrt(points.shape[1])):
            both = rows[one], rows[other]
            is_copy = _are_copies(means(both[0]), means(both[1]))
            pairs.append(np.stack(both, axis=1)[is_copy].astype(np.int32))
    return np.concatenate(pairs)


def _close(points: Floats, along: Floats, radius: float) -> Iterator[tuple[Ints, Ints]]:
    """Numbers of points (n, k) and of later ones within a radius, the nearest of many, block by block.

    The points are in the order of `along` (n,), which is no farther between two of them than they are.
    """
    squares = np.square(points).sum(axis=1)
    ends = np.searchsorted(along, along + radius, side="right")
    most = _COMPARED // max(1, int((ends - np.arange(len(points))).max()))
    block = min(max(1, most), _BLOCK)
    for start in range(0, len(points), block):
        stop = min(start + block, len(points))
        end = int(ends[stop - 1])
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
