"""Numbers with their intervals: pure functions of arrays.

The unit of resampling is the group of images: crops of one photograph are one group.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from auditor.records import Measurement

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Groups = npt.NDArray[np.generic]


def mean_interval(values: Array, groups: Groups, level: float, *, unit: str, score: str | None) -> Measurement:
    """Mean of n values with a cluster-robust Student interval over their groups.

    The variance is that of the group sums about the mean, with one degree of freedom less than groups; where every
    image is its own group this is the ordinary t interval. NaN values are left out.

    References: Liang and Zeger (1986); Cameron and Miller, "Cluster-robust inference" (2015).
    """
    known = ~np.isnan(values)
    values, groups = values[known].astype(np.float64), groups[known]
    n = len(values)
    if n == 0:
        return missing("no images", unit=unit, score=score)
    mean = float(values.mean())
    sums = _group_sums(values - mean, groups)
    count = len(sums)
    if count < 2:
        return Measurement(mean, None, None, None, n, count, unit, score, reason="an interval needs two groups")
    error = math.sqrt(count / (count - 1) * float(np.square(sums).sum())) / n
    half = float(stats.t.ppf((1 + level) / 2, count - 1)) * error
    return Measurement(mean, mean - half, mean + half, level, n, count, unit, score)


def mean_intervals(values: Array, rows: Bools, groups: Groups, level: float) -> list[Measurement]:
    return [
        mean_interval(values[rows[:, at], at], groups[rows[:, at]], level, unit="log-odds", score="log-odds")
        for at in range(values.shape[1])
    ]


def simultaneous_lows(parts: list[Array], rows: Bools, groups: Groups, level: float) -> list[list[float | None]]:
    count = len(parts) * rows.shape[1]
    return [[m.low for m in mean_intervals(values, rows, groups, 1 - (1 - level) / count)] for values in parts]


def share_interval(hits: Bools, groups: Groups, level: float) -> Measurement:
    """Share of n images with a Wilson interval; n is reduced by the design effect of the groups.

    References: Wilson (1927); Kish (1965) for the design effect.
    """
    n = len(hits)
    if n == 0:
        return missing("no images", unit="share", score=None)
    share = float(hits.mean())
    sums = _group_sums(hits - share, groups)
    count = len(sums)
    binomial = share * (1 - share) * n
    effect = max(1.0, float(np.square(sums).sum()) / binomial) if binomial > 0 else n / count
    size = n / effect
    z = _quantile(level, n, count)
    centre = (share + z * z / (2 * size)) / (1 + z * z / size)
    half = z / (1 + z * z / size) * math.sqrt(share * (1 - share) / size + z * z / (4 * size * size))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Measurement(share, min(low, share), max(high, share), level, n, count, "share", None)


def median_interval(values: Array, groups: Groups, level: float, *, unit: str) -> Measurement:
    """Median of n values with the interval between two order statistics, which needs no distribution.

    Values that are not finite are left out. Images are taken as independent here.

    References: Conover, "Practical nonparametric statistics" (1999).
    """
    known = np.isfinite(values)
    ordered, count = np.sort(values[known]), len(np.unique(groups[known]))
    n = len(ordered)
    if n == 0:
        return missing("no value is known", unit=unit, score=None)
    median = float(np.median(ordered))
    rank = int(stats.binom.ppf((1 - level) / 2, n, 0.5))
    if rank < 1:
        return Measurement(
            median, None, None, None, n, count, unit, None, reason=f"{n} values are too few for an interval"
        )
    return Measurement(median, float(ordered[rank - 1]), float(ordered[n - rank]), level, n, count, unit, None)


def missing(reason: str, *, unit: str = "log-odds", score: str | None = "log-odds", n: int = 0) -> Measurement:
    """A measurement that could not be made, and why."""
    return Measurement(None, None, None, None, n, 0, unit, score, reason=reason)


def change_interval(before: Bools, after: Bools, groups: Groups, level: float) -> Measurement:
    """How much less often n images are right after than before, as a difference of paired shares.

    The interval is Wald's with a pair added to each cell that changes, and n reduced by the groups' design effect.

    References: Bonett and Price, "Adjusted Wald confidence interval for a difference of proportions" (2012).
    """
    n = len(before)
    if n == 0:
        return missing("no images", unit="share", score=None)
    drop = before.astype(np.float64) - after
    mean = float(drop.mean())
    sums = _group_sums(drop - mean, groups)
    spread = float(np.square(drop - mean).sum())
    effect = max(1.0, float(np.square(sums).sum()) / spread) if spread > 0 else n / len(sums)
    size = n / effect
    lost, gained = float((drop > 0).sum()) / effect + 1, float((drop < 0).sum()) / effect + 1
    centre = (lost - gained) / (size + 2)
    error = math.sqrt(max(lost + gained - (lost - gained) ** 2 / (size + 2), 0)) / (size + 2)
    half = _quantile(level, n, len(sums)) * error
    low, high = max(-1.0, centre - half), min(1.0, centre + half)
    return Measurement(mean, min(low, mean), max(high, mean), level, n, len(sums), "share", None)


def least(first: Measurement, second: Measurement) -> Measurement:
    """The lesser of two effects, bound by bound: it exceeds a margin only where both do (intersection-union).

    One that could not be measured leaves the other alone.
    """
    parts = [part for part in (first, second) if part.value is not None]
    if len(parts) < 2:
        return parts[0] if parts else first
    smaller = min(parts, key=lambda part: part.value if part.value is not None else math.inf)
    bounds = {name: _extreme(parts, name, min) for name in ("low", "high", "low_adjusted")}
    return replace(smaller, **bounds, reason=None)  # type: ignore[arg-type]


def spanning(parts: list[Measurement]) -> Measurement:
    """The least of several effects with an interval that spans all of theirs: it settles only what all settle."""
    known = [part for part in parts if part.value is not None]
    if not known:
        return parts[0]
    smallest = min(known, key=lambda part: part.value if part.value is not None else math.inf)
    return replace(smallest, low=_extreme(known, "low", min), high=_extreme(known, "high", max), reason=None)


def _extreme(parts: list[Measurement], name: str, choose: Callable[[list[float]], float]) -> float | None:
    values = [getattr(part, name) for part in parts]
    return None if None in values else choose(values)


def _quantile(level: float, n: int, groups: int) -> float:
    """Of the normal distribution; of Student's where images come in groups, whose spread is estimated."""
    share = (1 + level) / 2
    return float(stats.norm.ppf(share) if groups == n or groups < 2 else stats.t.ppf(share, groups - 1))


def _group_sums(values: Array, groups: Groups) -> Array:
    _, inverse = np.unique(groups, return_inverse=True)
    return np.bincount(inverse, weights=values)
