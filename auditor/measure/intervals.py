"""Numbers with their intervals: pure functions of arrays.

The unit of resampling is the group of images: crops of one photograph are one group.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import special, stats

from auditor.measure.arrays import Array, Bools, Groups
from auditor.measure.measurement import Measurement


class MeanBounds(NamedTuple):
    """Means of k columns of values with intervals at several levels; NaN where groups are too few for them."""

    means: Array
    """(k,)."""
    lows: Array
    """(levels, k)."""
    highs: Array
    """(levels, k)."""
    n: Array
    """(k,): values that are known."""
    groups: Array
    """(k,): groups that they come from."""


def mean_interval(
    values: Array, groups: Groups, level: float, *, unit: str = "log-odds", score: str | None = None
) -> Measurement:
    """Mean of n values with the interval that `mean_bounds` gives; NaN values are left out.

    The interval ends where values of that unit do (`RANGES`). What was measured (`score`) is the unit, if not given.
    """
    every = np.ones((len(values), 1), bool)
    return mean_intervals(values[:, None], every, groups, level, unit=unit, score=score)[0]


def within(measured: Measurement, least: float, most: float) -> Measurement:
    """The measurement with an interval that ends where its values do."""
    if measured.low is None or measured.high is None:
        return measured
    return replace(measured, low=max(least, measured.low), high=min(most, measured.high))


def ratio_interval(values: Array, groups: Groups, level: float) -> Measurement:
    """Geometric mean of n ratios with the interval of their logarithms, so that both exceed nought."""
    if np.any(values <= 0):
        return missing("a ratio is nought, and then the geometric mean says nothing", unit="ratio")
    return mean_interval(np.log(values), groups, level, unit="ratio").mapped(math.exp)


def mean_bounds(values: Array, groups: Groups, levels: Sequence[float]) -> MeanBounds:
    """Means of the columns of values (n, k), each with intervals that allow for groups and for skewness.

    The variance is the jackknife's over groups, and the degrees of freedom are less where groups differ in size. Where
    effects are skewed, the side of the long tail is longer by Hall's transformation; neither side is shorter than
    Student's. Of symmetric data in groups of one size this is the ordinary t interval of their means. NaN values are
    left out, column by column. `benchmarks/coverage.py` simulates how often the intervals miss.

    References: Willink, "A confidence interval and test for the mean of an asymmetric distribution" (2005); Hall, "On
    the removal of skewness by transformation" (1992); Carter, Schnepel and Steigerwald (2017) for the groups' worth.
    """
    return _bounds(_spread_over_groups(values, groups), 1 - np.array(levels))


def simultaneous_bounds(values: Array, groups: Groups, level: float) -> MeanBounds:
    """`mean_bounds` so wide that the intervals of all columns of values (n, k) hold at once at one level.

    How wide is read off the most extreme column in each of 2000 fixed resamples of the groups, on either side apart:
    columns that move together cost little, and skewed ones what they must, which Bonferroni's bounds do not know.
    The order of columns and of images and the names of groups do not matter.

    References: Westfall and Young, "Resampling-based multiple testing" (1993); Romano and Wolf (2005).
    """
    spread = _spread_over_groups(values, groups)
    bounds = _bounds(spread, _misses_of_each(spread, 1 - level))
    return bounds._replace(lows=bounds.lows[:1], highs=bounds.highs[1:])


def mean_intervals(
    values: Array, rows: Bools, groups: Groups, level: float, *, unit: str = "log-odds", score: str | None = None
) -> list[Measurement]:
    """Means of columns (n, k) over the rows (n, k) that count for each, with their intervals; see `mean_interval`."""
    measured = score or (unit if unit in SCORES else None)
    if not len(values):
        return [missing("no images", unit=unit, score=measured)] * values.shape[1]
    bounds = mean_bounds(np.where(rows, values, np.nan), groups, (level,))
    found = []
    for mean, low, high, n, count in zip(*bounds._replace(lows=bounds.lows[0], highs=bounds.highs[0]), strict=True):
        if n == 0:
            found.append(missing("no images", unit=unit, score=measured))
        elif count < 2:
            found.append(_alone(float(mean), int(n), int(count), unit, measured, "an interval needs two groups"))
        else:
            part = Measurement(float(mean), float(low), float(high), level, int(n), int(count), unit, measured)
            found.append(within(part, *RANGES[unit]) if unit in RANGES else part)
    return found


def _alone(value: float, n: int, groups: int, unit: str, score: str | None, reason: str) -> Measurement:
    """A number without an interval, and why."""
    return Measurement(value, None, None, None, n, groups, unit, score, reason=reason)


def share_interval(hits: Array, groups: Groups, level: float) -> Measurement:
    """Share of n images with a Wilson interval; n is reduced by the design effect of the groups.

    Where each image counts in part, in a share of several tries, the interval is too wide rather than too narrow.

    References: Wilson (1927); Kish (1965) for the design effect.
    """
    n = len(hits)
    if n == 0:
        return missing("no images", unit="share")
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

    Values that are not finite are left out. Where groups hold several values, the share of values below the median
    has the standard error that its design effect gives it, and the interval is between the quantiles at its bounds.

    References: Conover, "Practical nonparametric statistics" (1999); Woodruff, "Confidence intervals for medians and
    other position measures" (1952) for groups.
    """
    known = np.isfinite(values)
    found, members = values[known], groups[known]
    ordered, count = np.sort(found), len(np.unique(members))
    n = len(ordered)
    if n == 0:
        return missing("no value is known", unit=unit)
    median = float(np.median(ordered))
    if count == n:
        rank = int(stats.binom.ppf((1 - level) / 2, n, 0.5))
    else:
        below = np.sign(median - found) / 2
        effect = max(1.0, float(np.square(_group_sums(below, members)).sum() / max(np.square(below).sum(), 0.25)))
        half = _quantile(level, n, count) * math.sqrt(0.25 * effect / n) if count > 1 else math.inf
        rank = max(0, math.floor(n * (0.5 - half))) if half < 0.5 else 0
    if rank < 1:
        few = f"{n} values in {count} groups" if count < n else f"{n} values"
        return _alone(median, n, count, unit, None, f"{few} are too few for an interval")
    return Measurement(median, float(ordered[rank - 1]), float(ordered[n - rank]), level, n, count, unit, None)


def missing(reason: str, *, unit: str = "log-odds", score: str | None = None) -> Measurement:
    """A measurement that could not be made, and why."""
    measured = score or (unit if unit in SCORES else None)
    return Measurement(None, None, None, None, 0, 0, unit, measured, reason=reason)


def change_interval(before: Array, after: Array, groups: Groups, level: float) -> Measurement:
    """How much less often n images are right after than before, as a difference of paired shares.

    Each image is right or not, or in a share of several tries. The interval is Wald's with a pair added to each cell
    that changes, and n reduced by the groups' design effect.

    References: Bonett and Price, "Adjusted Wald confidence interval for a difference of proportions" (2012).
    """
    n = len(before)
    if n == 0:
        return missing("no images", unit="share")
    drop = before.astype(np.float64) - after
    mean = float(drop.mean())
    sums = _group_sums(drop - mean, groups)
    spread = float(np.square(drop - mean).sum())
    effect = max(1.0, float(np.square(sums).sum()) / spread) if spread > 0 else n / len(sums)
    size = n / effect
    total, squares = float(drop.sum()) / effect, float(np.square(drop).sum()) / effect + 2
    centre = total / (size + 2)
    error = math.sqrt(max(squares - total**2 / (size + 2), 0)) / (size + 2)
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
    bounds = {name: _extreme(parts, name, min) for name in ("low", "high")}
    if any(part.low_adjusted is not None for part in parts):
        decisive = [replace(part, low=part.low if part.low_adjusted is None else part.low_adjusted) for part in parts]
        bounds["low_adjusted"] = _extreme(decisive, "low", min)
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
    return float(special.ndtri(share) if groups == n or groups < 2 else special.stdtrit(groups - 1, share))


def _group_sums(values: Array, groups: Groups) -> Array:
    """Sums over groups of the first axis, in the order of their names."""
    if np.less(groups[:-1], groups[1:]).all():  # each image is a group, as it mostly is
        return np.ascontiguousarray(values)
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    return np.add.reduceat(values[order], starts, axis=0)


class _Spread(NamedTuple):
    """What the groups say of the means of k columns."""

    means: Array
    moves: Array
    """(groups, k): how far the mean moves with each group; their squares add up to its variance."""
    errors: Array
    skewness: Array
    """Of the mean itself, which falls as groups are added."""
    inflation: Array
    """What the sample's skewness was multiplied by, for it is too small in few groups."""
    freedom: Array
    """One less than the groups are worth: fewer than there are where they differ in size."""
    n: Array
    groups: Array


def _spread_over_groups(values: Array, groups: Groups) -> _Spread:
    known = ~np.isnan(values)
    sizes = _group_sums(known.astype(np.float64), groups)
    n, count = sizes.sum(axis=0), (sizes > 0).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.where(known, values, 0.0).sum(axis=0, dtype=np.float64) / n
        deviations = _group_sums(np.where(known, values - means, 0.0), groups)
        moves = np.sqrt((count - 1) / count) * deviations / (n - sizes)
        errors = np.sqrt(np.square(moves).sum(axis=0))
        worth = np.square(np.square(sizes).sum(axis=0)) / (sizes**4).sum(axis=0)
        least = np.maximum(worth, 3)
        inflation = np.sqrt(least * (least - 1)) / (least - 2)
        skewness = np.where(errors > 0, inflation * (moves * moves * moves).sum(axis=0) / errors**3, 0.0)
        return _Spread(means, moves, errors, skewness, inflation, (count - 1) * worth / count, n, count)


def _bounds(spread: _Spread, misses: Array) -> MeanBounds:
    """Bounds that miss in these shares (levels,) of cases, half of them on either side."""
    student = stats.t.isf(misses[:, None] / 2, spread.freedom)
    # far out in the tail the transformation runs away: beyond the levels that were simulated it goes on in proportion
    known = np.minimum(student, stats.t.isf(_LEAST_MISSES / 2, spread.freedom))
    above = np.maximum(student, _skewed(known, spread.skewness) * student / known)
    below = np.minimum(-student, _skewed(-known, spread.skewness) * student / known)
    told = np.where(spread.groups > 1, spread.errors, np.nan)
    lows, highs = spread.means - above * told, spread.means - below * told
    return MeanBounds(spread.means, lows, highs, spread.n, spread.groups)


def _skewed(quantile: Array, skewness: Array) -> Array:
    """The quantile of a skewed studentised mean, by the inverse of Hall's transformation."""
    shifted = quantile - skewness / 6
    root = np.cbrt(1 + skewness * shifted)
    return 3 * shifted / (1 + root + root * root)


def _unskewed(studentised: Array, skewness: Array) -> Array:
    """Hall's transformation of a studentised mean to one that is nearly symmetric."""
    bent = skewness * studentised
    return studentised + skewness / 6 + bent * studentised / 3 + bent * bent * studentised / 27


def _misses_of_each(spread: _Spread, misses: float) -> Array:
    """(2,): how seldom each column may miss, for all lows, and all highs, to hold at once but for half the `misses`."""
    varied = (spread.errors > 0) & (spread.groups > 1)
    moves = spread.moves[:, varied] / spread.errors[varied]
    if moves.shape[1] < 2:
        return np.array([misses, misses])
    moves = moves[np.argsort(moves.sum(axis=1))]  # so that names of groups and the order of images do not matter
    count = len(moves)
    random = np.random.Generator(np.random.SFC64(count))
    extremes = np.concatenate(
        [_extremes(_resample(count, random), moves, spread.inflation[varied]) for _ in range(_RESAMPLES // _BLOCK)]
    )
    seen = max(misses, 20 / _RESAMPLES)  # rarer misses are too few to count in resamples, and taken in proportion
    each = 2 * stats.t.sf(np.quantile(extremes, 1 - seen / 2, axis=0), count - 1) * misses / seen
    return np.clip(each, np.finfo(np.float64).tiny, misses)


def _resample(count: int, random: np.random.Generator) -> Array:
    """(block, groups): how often each of `count` groups is drawn; every other half mirrors the first, as values may."""
    half = _BLOCK // 2
    drawn = random.integers(count, size=(half, count)) + count * np.arange(half)[:, None]
    weights = np.bincount(drawn.ravel(), minlength=half * count).reshape(half, count).astype(np.float64)
    return np.concatenate([weights, weights[:, ::-1]])


def _extremes(weights: Array, moves: Array, inflation: Array) -> Array:
    """(block, 2): by how much the worst column's lows and highs would miss, in quantiles of Student's distribution."""
    count, squares = len(moves), moves * moves
    first, second, third = weights @ moves, weights @ squares, weights @ (squares * moves)
    # a resample of groups that are all alike tells no spread: no column's is taken for less than a fifth of its own
    errors = np.sqrt(np.maximum(second - first * first / count, 0.04))
    studentised = math.sqrt((count - 1) / count) * (first - moves.sum(axis=0)) / errors
    cubes = third - first * (3 * second - 2 * first * first / count) / count
    skewness = inflation * cubes / (errors * errors * errors)
    straight = _unskewed(studentised, skewness)
    lows, highs = np.minimum(studentised, straight), np.maximum(studentised, straight)
    return np.stack([lows.max(axis=1), -highs.min(axis=1)], axis=1)


SCORES = ("log-odds", "logit", "probability")
"""Units that say what of a model was measured."""

RANGES = {
    "share": (0.0, 1.0),
    "area under the curve": (0.0, 1.0),
    "correlation": (-1.0, 1.0),
    "difference of correlations": (-2.0, 2.0),
}
"""Where the values of a unit end."""

_RESAMPLES, _BLOCK = 2000, 250
"""Counting 2.5 % of 2000 has a standard error of 0.35 points; twice as many did not change the coverage."""

_LEAST_MISSES = 0.005
"""Down to this share of misses the correction for skewness was simulated on single columns."""
