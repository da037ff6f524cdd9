"""How often intervals of a mean miss the truth, in few groups and with skewed effects: tables in Markdown.

    OMP_NUM_THREADS=1 python benchmarks/coverage.py                 # about four minutes
    OMP_NUM_THREADS=1 python benchmarks/coverage.py --runs 20000    # standard errors of 0.15 points instead of 0.4

Misses are given on each side: `relies` rests on the lower bound, `no evidence` on the upper one. Means are compared
with a truth of 0; every effect has mean 0 and standard deviation 1 over groups, and every image adds its own noise.
The mirror of a distribution has the same misses with sides exchanged, as all methods treat both sides alike.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from auditor.measure.intervals import mean_bounds, share_interval, simultaneous_bounds

GROUPS, LEVELS = (12, 22, 50, 300), (0.95, 0.995)
RESAMPLES, COLUMNS = 1000, 2000
SPIKE = 0.15
"""Share of groups that move at all in the mixture."""


class Sample(NamedTuple):
    values: np.ndarray
    """(images, runs)."""
    groups: np.ndarray


class Summary(NamedTuple):
    """What a classical method needs of a sample."""

    means: np.ndarray
    deviations: np.ndarray
    """(groups, runs): sums of the values less their mean."""
    sizes: np.ndarray
    errors: np.ndarray
    """(runs,): of the means, robust to groups."""


Bounds = tuple[np.ndarray, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    compare_means(options.runs, options.seed)
    compare_families(options.runs // 12, options.seed)
    compare_shares(options.runs // 2, options.seed)


def compare_means(runs: int, seed: int) -> None:
    """Every candidate in short, and the one that is used in full."""
    found: dict[tuple[str, float, int, str, str], tuple[float, float]] = {}
    for count in GROUPS:
        for design in DESIGNS:
            for name in EFFECTS:
                sample = draw_sample(name, design, count, runs, np.random.default_rng([seed, count]))
                for method, level, lows, highs in bounds_of_all(sample):
                    below, above = 100 * float((highs < 0).mean()), 100 * float((lows > 0).mean())
                    found[method, level, count, design, name] = (above, below)
    for level in LEVELS:
        show_candidates(found, level)
    for level in LEVELS:
        print(f"\nMeans: `mean_bounds` at {level:.1%}: coverage (lower bound too high / upper bound too low), %\n")
        head("effect, images per group", *(f"{count} groups" for count in GROUPS))
        for design in DESIGNS:
            for name in EFFECTS:
                misses = [found[OURS, level, count, design, name] for count in GROUPS]
                row(f"{name}, {design}", *(f"{100 - low - high:.1f} ({low:.1f}/{high:.1f})" for low, high in misses))


def show_candidates(found: dict[tuple[str, float, int, str, str], tuple[float, float]], level: float) -> None:
    print(f"\nMeans: every method at {level:.1%}, over all effects and sizes of groups but the sparse effect\n")
    head("method", *(f"{count} groups: least and most coverage, most misses of one side, %" for count in GROUPS))
    for method in (OURS, *CANDIDATES):
        cells = []
        for count in GROUPS:
            cases = [(design, name) for design in DESIGNS for name in EFFECTS if name != SPARSE]
            misses = np.array([found[method, level, count, *case] for case in cases])
            covered = 100 - misses.sum(axis=1)
            cells.append(f"{covered.min():.1f}–{covered.max():.1f}, {misses.max():.1f}")
        row(method, *cells)


def bounds_of_all(sample: Sample) -> list[tuple[str, float, np.ndarray, np.ndarray]]:
    """Method, level, lows (runs,), highs (runs,), in blocks of runs that fit into memory."""
    parts: dict[tuple[str, float], list[Bounds]] = {}
    for start in range(0, sample.values.shape[1], COLUMNS):
        values = sample.values[:, start : start + COLUMNS]
        ours = mean_bounds(values, sample.groups, LEVELS)
        summary = summarise(values, sample.groups)
        resampled = resample(summary)
        for number, level in enumerate(LEVELS):
            parts.setdefault((OURS, level), []).append((ours.lows[number], ours.highs[number]))
            for method, bounds in CANDIDATES.items():
                parts.setdefault((method, level), []).append(bounds(summary, resampled, level))
    return [
        (method, level, np.concatenate([low for low, _ in found]), np.concatenate([high for _, high in found]))
        for (method, level), found in parts.items()
    ]


def summarise(values: np.ndarray, groups: np.ndarray) -> Summary:
    sizes = np.bincount(groups).astype(float)
    starts = np.cumsum(sizes).astype(int) - sizes.astype(int)
    means = values.mean(axis=0)
    deviations = np.add.reduceat(values - means, starts, axis=0)
    count = len(sizes)
    errors = np.sqrt(count / (count - 1) * np.square(deviations).sum(axis=0)) / len(values)
    return Summary(means, deviations, sizes, errors)


def resample(summary: Summary) -> Bounds:
    """(resamples, runs): by how much the mean moves when groups are drawn anew, and its errors then."""
    count = len(summary.sizes)
    weights = np.random.default_rng(count).multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(float)
    n = (weights @ summary.sizes)[:, None]
    moved = (weights @ summary.deviations) / n
    squares = (
        weights @ np.square(summary.deviations)
        - 2 * moved * (weights @ (summary.deviations * summary.sizes[:, None]))
        + moved**2 * (weights @ summary.sizes**2)[:, None]
    )
    return moved, np.sqrt(count / (count - 1) * np.maximum(squares, 0)) / n


def cluster_t(summary: Summary, _: Bounds, level: float) -> Bounds:
    half = student(level, len(summary.sizes)) * summary.errors
    return summary.means - half, summary.means + half


def hall_t(summary: Summary, _: Bounds, level: float) -> Bounds:
    """Hall's transformation with the sample's own skewness and Student's quantiles."""
    quantile = student(level, len(summary.sizes))
    skewness = (summary.deviations**3).sum(axis=0) / np.square(summary.deviations).sum(axis=0) ** 1.5

    def bend(value: float) -> np.ndarray:
        shifted = value - skewness / 6
        root = np.cbrt(1 + skewness * shifted)
        return 3 * shifted / (1 + root + root**2)

    return summary.means - bend(quantile) * summary.errors, summary.means - bend(-quantile) * summary.errors


def bootstrap_t(summary: Summary, resampled: Bounds, level: float) -> Bounds:
    """Studentised group bootstrap; a resample's error is taken for a fifth of the sample's at least."""
    moved, errors = resampled
    studentised = moved / np.maximum(errors, summary.errors / 5)
    low, high = np.quantile(studentised, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return summary.means - high * summary.errors, summary.means - low * summary.errors


def bootstrap_or_cluster_t(summary: Summary, resampled: Bounds, level: float) -> Bounds:
    first, second = bootstrap_t(summary, resampled, level), cluster_t(summary, resampled, level)
    return np.minimum(first[0], second[0]), np.maximum(first[1], second[1])


def bca(summary: Summary, resampled: Bounds, level: float) -> Bounds:
    """Bias-corrected and accelerated percentiles of the group bootstrap (Efron 1987)."""
    moved = np.sort(resampled[0], axis=0)
    bias = stats.norm.ppf(np.clip((moved < 0).mean(axis=0), 1 / RESAMPLES, 1 - 1 / RESAMPLES))
    skewness = (summary.deviations**3).sum(axis=0) / np.square(summary.deviations).sum(axis=0) ** 1.5
    bounds = []
    for quantile in (-stats.norm.ppf((1 + level) / 2), stats.norm.ppf((1 + level) / 2)):
        share = stats.norm.cdf(bias + (bias + quantile) / (1 - skewness / 6 * (bias + quantile)))
        rows = np.clip((share * RESAMPLES).astype(int), 0, RESAMPLES - 1)
        bounds.append(summary.means + np.take_along_axis(moved, rows[None], axis=0)[0])
    return bounds[0], bounds[1]


def expanded_percentile(summary: Summary, resampled: Bounds, level: float) -> Bounds:
    """Percentiles of the group bootstrap, widened as Student's interval is (Hesterberg 2015)."""
    count = len(summary.sizes)
    tail = stats.norm.sf(student(level, count) * math.sqrt(count / (count - 1)))
    low, high = np.quantile(resampled[0], [tail, 1 - tail], axis=0)
    return summary.means + low, summary.means + high


def student(level: float, count: int) -> float:
    return float(stats.t.ppf((1 + level) / 2, count - 1))


def compare_families(runs: int, seed: int) -> None:
    """How often all columns' bounds hold at once, and how wide they are beside Bonferroni's."""
    print("\nMany columns at once, one image per group, `simultaneous_bounds` at 95.0%: all hold (a lower bound too")
    print("high / an upper bound too low), %; the same by Bonferroni; width over Bonferroni's, median\n")
    head("effect, columns", *(f"{count} groups" for count in GROUPS))
    for correlation in (0.0, 0.9):
        for columns in (10, 100):
            for name in ("normal", "exponential"):
                cells = []
                for count in GROUPS:
                    random = np.random.default_rng([seed, count, columns])
                    ours, theirs, widths = [], [], []
                    for _ in range(runs):
                        values = draw_columns(name, correlation, columns, count, random)
                        wide = simultaneous_bounds(values, np.arange(count), 0.95)
                        plain = mean_bounds(values, np.arange(count), (1 - 0.05 / columns,))
                        for misses, bounds in ((ours, wide), (theirs, plain)):
                            misses.append(((bounds.lows > 0).any(), (bounds.highs < 0).any()))
                        widths.append(np.median((wide.highs - wide.lows) / (plain.highs - plain.lows)))
                    cells.append(f"{family(ours)}; {family(theirs)}; {np.median(widths):.2f}")
                kind = "apart" if correlation == 0 else "moving together"
                row(f"{name}, {columns} {kind}", *cells)


def family(misses: list[tuple[bool, bool]]) -> str:
    table = 100 * np.array(misses)
    low, high = table.mean(axis=0)
    return f"{100 - table.max(axis=1).mean():.1f} ({low:.1f}/{high:.1f})"


def draw_columns(name: str, correlation: float, columns: int, count: int, random: np.random.Generator) -> np.ndarray:
    shared, own = EFFECTS[name](random, (count, 1)), EFFECTS[name](random, (count, columns))
    noise = 0.3 * random.normal(size=(count, columns))
    return math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own + noise


def compare_shares(runs: int, seed: int) -> None:
    print("\nShares: `share_interval` at 95.0%: coverage (lower bound too high / upper bound too low), %\n")
    head("share, images per group", *(f"{count} groups" for count in GROUPS))
    for share in (0.05, 0.3, 0.5):
        for size, alike in ((1, 0), (5, 0.5), (5, 0.9)):
            cells = []
            for count in GROUPS:
                random, groups = np.random.default_rng([seed, count, size]), np.repeat(np.arange(count), size)
                lows, highs = [], []
                for _ in range(runs):
                    apart = 1 / alike - 1 if alike else 1e6
                    chance = random.beta(share * apart, (1 - share) * apart, count)
                    hits = random.random((size, count)) < chance
                    found = share_interval(hits.T.ravel(), groups, 0.95)
                    lows.append(found.low)
                    highs.append(found.high)
                low, high = 100 * np.mean(np.array(lows) > share), 100 * np.mean(np.array(highs) < share)
                cells.append(f"{100 - low - high:.1f} ({low:.1f}/{high:.1f})")
            row(f"{share:g}, {size}" + (f" correlated {alike:g}" if alike else ""), *cells)


def draw_sample(name: str, design: str, count: int, runs: int, random: np.random.Generator) -> Sample:
    cycle, noise = DESIGNS[design]
    groups = np.repeat(np.arange(count), np.resize(cycle, count))
    effects = EFFECTS[name](random, (count, runs))
    return Sample(effects[groups] + noise * random.normal(size=(len(groups), runs)), groups)


def head(*cells: str) -> None:
    row(*cells)
    row("---", *("---:" for _ in cells[1:]))


def row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def _lognormal(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    variance = 0.75**2
    spread = math.sqrt((math.exp(variance) - 1) * math.exp(variance))
    return (random.lognormal(0, 0.75, shape) - math.exp(variance / 2)) / spread


def _sparse(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    moves = np.where(random.random(shape) < SPIKE, random.normal(5, 1, shape), 0.0)
    return (moves - 5 * SPIKE) / math.sqrt(26 * SPIKE - (5 * SPIKE) ** 2)


Effect = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]

OURS, SPARSE = "Willink's t or t, by groups' worth (used)", f"sparse ({SPIKE:.0%} of groups move)"

EFFECTS: dict[str, Effect] = {
    "normal": lambda random, shape: random.normal(size=shape),
    "uniform": lambda random, shape: random.uniform(-math.sqrt(3), math.sqrt(3), shape),
    "Student's t, 4 df": lambda random, shape: random.standard_t(4, shape) / math.sqrt(2),
    "exponential": lambda random, shape: random.exponential(size=shape) - 1,
    "lognormal": _lognormal,
    SPARSE: _sparse,
}

DESIGNS: dict[str, tuple[tuple[int, ...], float]] = {
    "1": ((1,), 0.3),
    "3": ((3,), 1.0),
    "5 correlated": ((5,), 0.3),
    "1 to 8": ((1, 1, 2, 3, 5, 8), 0.3),
}
"""Images per group, repeated as often as there are groups; and the standard deviation of an image's own noise."""

CANDIDATES: dict[str, Callable[[Summary, Bounds, float], Bounds]] = {
    "cluster-robust t (before)": cluster_t,
    "Hall's t": hall_t,
    "bootstrap-t": bootstrap_t,
    "bootstrap-t or t": bootstrap_or_cluster_t,
    "BCa": bca,
    "expanded percentile": expanded_percentile,
}


if __name__ == "__main__":
    main()
