"""Points on straight ways, cut into batches of few sizes in which each is followed by the next of its way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from auditor.measure.arrays import Doubles, Floats, Ints
from auditor.subject.model.classifier import Chords


@dataclass(frozen=True)
class Part:
    """A batch of n points, of one way after another."""

    owners: Ints
    """(n,): the way of each."""
    numbers: Ints
    """(n,): which point of its way."""
    places: Floats
    """(n,): how far along it, in [0, 1]."""
    widths: Floats
    """(n,): from there to the next point of the same way; 0 where that is not the next of the batch."""

    def add(self, totals: Doubles, slopes: Floats) -> None:
        """Add slopes (n, h, w, c), each times its width, to totals (ways, h, w, c)."""
        for owner in np.unique(self.owners):
            totals[owner] += slopes[(self.owners == owner) & (self.widths > 0)].sum(axis=0, dtype=np.float64)

    def bend(self, bends: Doubles, slopes: Floats, ways: Floats, last: tuple[int, Floats] | None) -> tuple[int, Floats]:
        """Note how much the derivative turns from each step to the next in bends (ways, steps - 1).

        Parameters
        ----------
        last
            The way of the last step of the batch before, and its slope (h, w, c): where a way is cut between batches it
            goes on from there, so that what is noted does not depend on where that is.
        """
        rows = np.flatnonzero(self.widths > 0)
        for owner in np.unique(self.owners[rows]):
            own = rows[self.owners[rows] == owner]
            means, first = slopes[own] / self.widths[own, None, None, None], int(self.numbers[own[0]])
            if last is not None and last[0] == owner:
                means, first = np.concatenate([last[1][None], means]), first - 1
            turns = np.diff(means, axis=0) * ways[owner]
            bends[owner, first : first + len(turns)] = np.sqrt(np.einsum("shwc,shwc->s", turns, turns))
            last = int(owner), means[-1]
        assert last is not None
        return last


def walk(
    ask: Callable[[Floats, Floats, list[Ints]], list[Floats]],
    starts: Floats,
    ways: Floats,
    aims: Sequence[Ints],
    places: Doubles,
    sizes: Sequence[int],
) -> tuple[Chords, int]:
    """See `Explainable.chords`; gives also how many points were asked for.

    Parameters
    ----------
    ask
        Slopes of points (n, h, w, c), each times its width (n,), by each of some classes (n,).
    sizes
        Of batches, each of two points or more: a chord is of two.
    """
    totals = [np.zeros(starts.shape, np.float64) for _ in aims]
    bends = np.zeros((len(starts), places.shape[1] - 2))
    last: tuple[int, Floats] | None = None
    made = 0
    for part in cut_ways(places, sizes):
        points = starts[part.owners] + part.places[:, None, None, None] * ways[part.owners]
        slopes = ask(points, part.widths, [aim[part.owners].astype(np.int32) for aim in aims])
        for total, slope in zip(totals, slopes, strict=True):
            part.add(total, slope)
        last = part.bend(bends, slopes[0], ways, last)
        made += len(points)
    return Chords([total.astype(np.float32) for total in totals], bends), made


def cut_ways(places: Doubles, sizes: Sequence[int]) -> Iterator[Part]:
    """Batches of the points at places (ways, steps + 1) in [0, 1]; where a way is cut, its last point comes again."""
    count, each = places.shape
    owners, numbers = np.repeat(np.arange(count), each), np.tile(np.arange(each), count)
    start = 0
    while start < len(owners):
        size = _size(len(owners) - start, sizes)
        rows = np.minimum(np.arange(start, start + size), len(owners) - 1)
        at = places[owners[rows], numbers[rows]]
        widths = np.zeros(size, np.float32)
        has_next = (np.diff(rows) > 0) & (numbers[rows[:-1]] < each - 1)
        widths[:-1] = np.where(has_next, np.diff(at), 0)
        yield Part(owners[rows], numbers[rows], at.astype(np.float32), widths)
        end = int(rows[-1])
        start = end if numbers[end] < each - 1 else end + 1


def _size(rest: int, sizes: Sequence[int]) -> int:
    """Of the next batch for so many points: a cut between two costs one, so a quarter of a batch may stay empty."""
    fits = [size for size in sizes if size >= rest]
    if fits and (3 * min(fits) <= 4 * rest or min(fits) == min(sizes)):
        return min(fits)
    return max(size for size in sizes if size < rest)
