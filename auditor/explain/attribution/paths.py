"""Integrated Gradients: mean derivatives on the way from a baseline, as finely as each image needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from auditor.explain.attribution.question import Question
from auditor.measure.arrays import Doubles, Floats, Ints

_CHUNK = 128
_CHUNK_FLOATS = 2**21
"""Points on ways that are held at once: this many, or as many as fit into 8 MiB."""


_DENSITY = 0.75
"""Power of the derivative's turn between two steps that points are as dense as: 1 would share the turns out equally."""

_LEAST_DENSITY = 0.02
"""Of points, as a share of the largest: what was not seen to turn may do so in between."""

_ORDER = 1.25
"""Of the error of chords by the number of steps, as it is measured: for how many it takes, not for what is stated."""


@dataclass(frozen=True)
class Integrated:
    """What the ways from one baseline to n images gave."""

    maps: Floats
    """(aims, n, h, w, c): difference to the baseline times the mean derivative."""
    nodes: Ints
    """(n,): points at which the model was differentiated for the map as it is."""
    gradients: Ints
    """(n,): the same for all maps on the way to that."""
    errors: Doubles
    """(n,): an estimate, no bound, of how far the map is from that of many nodes, as a share of its length; or NaN."""
    residuals: Doubles
    """(n,): by what share of the change of the score the map fails to sum to it."""


class _Ways:
    """All ways of a question: from each baseline to each image, one baseline after another."""

    def __init__(self, question: Question, baselines: Mapping[str, Floats]) -> None:
        count = len(question.images)
        self._question = question
        self.images = np.tile(np.arange(count), len(baselines))
        self.starts = np.concatenate(list(baselines.values()))
        self.aims = [aim[self.images] for aim in question.aims]
        rows = np.arange(count)
        changes = []
        for baseline in baselines.values():
            is_one = baseline.strides[0] == 0  # the same for all images
            before = question.classifier.scores(np.ascontiguousarray(baseline[:1] if is_one else baseline))
            gained = question.first.scores.astype(np.float64) - before
            changes.append([gained[rows, aim] for aim in question.aims])
        self.changes = np.concatenate(changes, axis=1)
        """(aims, ways): of the scores."""
        self._bends: dict[int, Doubles] = {}
        """Of each way, as it was last walked: (steps,) how much the derivative turns there, in some unit."""
        self._places: dict[int, Doubles] = {}
        """Of each way, (steps + 1,): where it was cut then."""
        self._sums: Doubles | None = None
        """(aims, ways, h, w, c): of the derivatives at nodes so far."""

    def __len__(self) -> int:
        return len(self.images)

    def differences(self, rows: Ints) -> Floats:
        return self._question.images[self.images[rows]] - self.starts[rows]

    def by_chords(self, rows: Ints, steps: int) -> Doubles:
        """Mean derivatives (aims, rows, h, w, c) of some ways; the more it turned somewhere, the closer the points."""
        aims = [aim[rows] for aim in self.aims]
        places = np.stack([self._place(row, steps) for row in rows])
        found = self._question.classifier.chords(self.starts[rows], self.differences(rows), aims, places)
        for row, at, bends in zip(rows, places, found.bends, strict=True):
            self._places[row], self._bends[row] = at, _per_step(bends)
        return np.stack(found.slopes).astype(np.float64)

    def _place(self, row: int, steps: int) -> Doubles:
        even = np.linspace(0, 1, steps + 1)
        bends = self._bends.get(row)
        if bends is None or bends.max() <= 0:
            return even
        shares = np.cumsum([0, *(_LEAST_DENSITY + (bends / bends.max()) ** _DENSITY)])
        return np.interp(even, shares / shares[-1], self._places[row])

    def by_midpoints(self, rows: Ints, nodes: int) -> Doubles:
        """The same by the middles of so many parts of each way; those of a third as many parts are known already."""
        shape = self._question.images.shape[1:]
        numbers = np.arange(nodes)
        if self._sums is None:
            self._sums = np.zeros((len(self.aims), len(self), *shape))
        elif nodes % 3 == 0:
            numbers = numbers[numbers % 3 != 1]
        places = ((numbers + 0.5) / nodes).astype(np.float32)
        most = max(1, min(_CHUNK, _CHUNK_FLOATS // int(np.prod(shape))))
        owners, at = np.repeat(rows, len(places)), np.tile(places, len(rows))
        for start in range(0, len(owners), most):
            some, along = owners[start : start + most], at[start : start + most, None, None, None]
            points = self.starts[some] + along * self.differences(some)
            for total, slopes in zip(self._sums, self._question.slopes(points, self.images[some]), strict=True):
                for row in np.unique(some):
                    total[row] += slopes[some == row].sum(axis=0, dtype=np.float64)
        return self._sums[:, rows] / nodes


def integrate(
    question: Question, baselines: Mapping[str, Floats], nodes: int, most_nodes: int, tolerance: float
) -> dict[str, Integrated]:
    """Integrate from each baseline (n, h, w, c) to the images.

    A model that can be told by chords is, from points that lie closer where the derivative turns more; their error
    falls faster than their number grows. Else the middles of equal parts are taken, and kept as parts fall in three.
    Each way gets finer until what its map changed by last, taken to fall as the number grows, and what is missing of
    the change of the score are under the tolerance. Ways do not depend on each other, and fill batches together.
    """
    ways = _Ways(question, baselines)
    has_chords = not question.classifier.why_no_chords
    count = len(ways)
    maps = np.zeros((len(ways.aims), count, *question.images.shape[1:]))
    used, spent = np.zeros(count, np.int64), np.zeros(count, np.int64)
    errors, residuals = np.full(count, np.nan), np.full(count, np.inf)
    waiting = {nodes: np.arange(count)}
    while waiting:
        size = min(waiting)
        rows = waiting.pop(size)
        slopes = ways.by_chords(rows, size) if has_chords else ways.by_midpoints(rows, size)
        finer = slopes * ways.differences(rows)
        if used[rows[0]]:
            # it falls as the number grows: what it changed by is the difference of both errors
            errors[rows] = _distances(finer, maps[:, rows]) * used[rows] / (size - used[rows])
        maps[:, rows] = finer
        spent[rows] += size + 1 if has_chords else size - used[rows]
        used[rows] = size
        residuals[rows] = _residuals(finer, ways.changes[:, rows])
        is_open = ~(np.fmax(np.nan_to_num(errors[rows], nan=np.inf), residuals[rows]) <= tolerance)
        for row in rows[is_open]:
            finer_size = _finer(size, float(errors[row]) / tolerance, most_nodes, has_chords)
            if finer_size > size:
                waiting[finer_size] = np.append(waiting.get(finer_size, np.zeros(0, np.int64)), row)
    parts = {
        name: slice(at * len(question.images), (at + 1) * len(question.images)) for at, name in enumerate(baselines)
    }
    return {
        name: Integrated(maps[:, part].astype(np.float32), used[part], spent[part], errors[part], residuals[part])
        for name, part in parts.items()
    }


def _finer(size: int, excess: float, most: int, has_chords: bool) -> int:
    """The next number of nodes; the same where there is none."""
    if not has_chords:
        return 3 * size if 3 * size <= most else size
    growth = 4.0 if np.isnan(excess) else float(np.clip((1.1 * excess) ** (1 / _ORDER), 1.5, 16))
    return int(min(np.ceil(size * growth), most))


def _per_step(bends: Doubles) -> Doubles:
    """Of each step, (n,), the mean of what was seen before and after it, (n - 1,), or next to that; 0 of one step."""
    if not len(bends):
        return np.zeros(1)
    return (np.append(bends, bends[-1]) + np.append(bends[0], bends)) / 2


def _distances(first: Doubles, second: Doubles) -> Doubles:
    """Distance (n,) of maps (aims, n, h, w, c), as a share of the first ones' length; the largest of the aims."""
    apart, lengths = (np.sqrt(np.square(part).sum(axis=(2, 3, 4))) for part in (first - second, first))
    return (apart / np.maximum(lengths, np.finfo(np.float32).tiny)).max(axis=0)


def _residuals(maps: Doubles, changes: Doubles) -> Doubles:
    gaps = np.abs(maps.sum(axis=(2, 3, 4)) - changes)
    # a change of score near zero has no meaningful relative residual, so a hundredth of a logit is the least scale
    return (gaps / np.maximum(np.abs(changes), 0.01)).max(axis=0)
