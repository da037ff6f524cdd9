"""How an audit may stop early: what three ways of doing so cost in errors, and what they save. Tables in Markdown.

    OMP_NUM_THREADS=1 python benchmarks/sequential.py               # about two minutes
    OMP_NUM_THREADS=1 python benchmarks/sequential.py --runs 40000  # standard errors of 0.08 points instead of 0.25

Effects of 2,400 images are drawn, and looked at after 300, 600, 1,200 and all of them, with the intervals of the
verdict (`mean_bounds`). A way that looks often errs most where the true mean lies at the margin itself: there either
claim is wrong. Every way is also tried at some distance from the margin, where it should end soon.

* one look: all images, no looks on the way.
* looks as one: every look at the level of the last, which nobody should do.
* strict looks: a fiftieth of the level at every look but the last (Haybittle 1971; Peto and others 1976): what it
  does in an audit.
* O'Brien-Fleming: the level spent as Lan and DeMets (1983) spend it, boundaries by simulation.
* confidence sequence: valid at every number of images, so at any look (Waudby-Smith and others 2024).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from auditor.measure.intervals import mean_bounds
from auditor.verdict.record import Rule
from auditor.verdict.rounds import FIRST_LOOK, SHARE_OF_A_LOOK

LOOKS = tuple(FIRST_LOOK << step for step in range(4))
ALPHA = Rule().alpha


def draw_normal(shape: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    return random.normal(size=shape)


def draw_skewed(shape: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """Log-normal: skewness 6."""
    values = random.lognormal(0, 1, shape)
    return (values - np.exp(0.5)) / np.sqrt((np.e - 1) * np.e)


def draw_parts(shape: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """One image in twenty moves, by ten times what the others differ."""
    values = random.normal(size=shape) + 10 * (random.random(shape) < 0.05)
    return (values - 0.5) / np.sqrt(1 + 100 * 0.05 * 0.95)


DESIGNS = {"normal": draw_normal, "skewed": draw_skewed, "one in twenty moves": draw_parts}


def brown_boundaries() -> list[float]:
    """The level at each look by which O'Brien and Fleming's spending is spent."""
    random, shares = np.random.default_rng(0), np.array(LOOKS) / LOOKS[-1]
    steps = np.sqrt(np.diff(shares, prepend=0))
    walk = (random.normal(size=(2_000_000, len(LOOKS))) * steps).cumsum(axis=1) / np.sqrt(shares)
    spent = 2 * stats.norm.sf(stats.norm.isf(ALPHA / 2) / np.sqrt(shares))
    going, levels = np.ones(len(walk), bool), []
    for at, due in enumerate(np.diff(spent, prepend=0)):
        left = np.sort(np.abs(walk[going, at]))[::-1]
        count = int(due * len(walk))
        bound = left[count] if count > 20 else stats.norm.isf(due / 2)
        levels.append(float(2 * stats.norm.sf(bound)))
        going &= np.abs(walk[:, at]) <= bound
    return levels


def sequence_bounds(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The confidence sequence of values (n, runs), tightest at the first look."""
    n, spread = len(values), values.std(axis=0, ddof=1)
    tuned = (-2 * np.log(ALPHA) + np.log(-2 * np.log(ALPHA) + 1)) / LOOKS[0]
    half = spread * np.sqrt(2 * (n * tuned + 1) / (n**2 * tuned) * np.log(np.sqrt(n * tuned + 1) / ALPHA))
    return values.mean(axis=0) - half, values.mean(axis=0) + half


def by_levels(levels: list[float | None]) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Bounds of values (n, runs) by the level of the look; none where there is no look."""

    def bound(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        level = levels[LOOKS.index(len(values))]
        if level is None:
            nothing = np.full(values.shape[1], np.inf)
            return -nothing, nothing
        found = mean_bounds(values, np.arange(len(values)), (1 - level,))
        return found.lows[0], found.highs[0]

    return bound


def conclude(values: np.ndarray, bound: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """(runs, 2): what was concluded of a margin at 0 (1 above, -1 below, 0 open), and after how many images."""
    found = np.zeros((values.shape[1], 2))
    found[:, 1] = LOOKS[-1]
    for look in LOOKS:
        rows = np.flatnonzero(found[:, 0] == 0)
        if not len(rows):
            break
        lows, highs = bound(values[:look, rows])
        is_clear = (lows > 0) | (highs < 0)
        found[rows[is_clear], 0] = np.where(lows > 0, 1, -1)[is_clear]
        found[rows[is_clear], 1] = look
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    some = ALPHA * SHARE_OF_A_LOOK
    ways = {
        "one look": by_levels([None, None, None, ALPHA]),
        "looks as one": by_levels([ALPHA] * 4),
        "strict looks": by_levels([some, some, some, ALPHA]),
        "O'Brien-Fleming": by_levels([*brown_boundaries()]),
        "confidence sequence": sequence_bounds,
    }
    print(f"The true mean at the margin: wrong claims, % ({options.runs} runs a cell; each should be 2.5 at most)\n")
    print("| effects | claim |", " | ".join(ways), "|\n| --- | --- |", " --- |" * len(ways))
    for name, draw in DESIGNS.items():
        found = _all(draw, 0.0, ways, options)
        for claim, sign in (("above", 1), ("below", -1)):
            shares = [f"{100 * (found[way][:, 0] == sign).mean():.1f}" for way in ways]
            print(f"| {name} | {claim} | {' | '.join(shares)} |")
    print("\nThe true mean apart from the margin, in standard deviations of an image's effect: images asked on average")
    print("(and % concluded rightly), normal effects\n")
    print("| apart |", " | ".join(ways), "|\n| --- |", " --- |" * len(ways))
    for apart in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0):
        found = _all(draw_normal, apart, ways, options)
        cells = [f"{found[way][:, 1].mean():.0f} ({100 * (found[way][:, 0] == 1).mean():.0f})" for way in ways]
        print(f"| {apart:g} | {' | '.join(cells)} |")


def _all(
    draw: Callable[[tuple[int, int], np.random.Generator], np.ndarray],
    apart: float,
    ways: dict[str, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]],
    options: argparse.Namespace,
) -> dict[str, np.ndarray]:
    """What every way concludes of the same draws."""
    random = np.random.default_rng([options.seed, round(1000 * apart), len(draw.__name__)])
    found: dict[str, list[np.ndarray]] = {way: [] for way in ways}
    for start in range(0, options.runs, 1000):
        values = draw((LOOKS[-1], min(1000, options.runs - start)), random) + apart
        for way, bound in ways.items():
            found[way].append(conclude(values, bound))
    return {way: np.concatenate(parts) for way, parts in found.items()}


if __name__ == "__main__":
    main()
