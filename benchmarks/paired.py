"""How often what is concluded from two runs on the same images is wrong: tables in Markdown.

    OMP_NUM_THREADS=1 python benchmarks/paired.py               # about two minutes
    OMP_NUM_THREADS=1 python benchmarks/paired.py --runs 20000  # standard errors of 0.15 points instead of 0.35

An effect grows by a known amount between two runs, or a share of errors rises by one. `judge_change` then says worse,
not worse, or open, by the interval of the paired difference (auditor/run/paired.py) and a tolerance. Wrongly worse is
worst where the truth lies at the tolerance itself, from below; wrongly not worse likewise, from above. So both are
simulated there, and once where nothing changed at all. The last columns are what two intervals side by side would say.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from auditor.measure.intervals import MeanBounds, change_interval, mean_bounds, share_interval
from auditor.measure.measurement import Measurement
from auditor.run.paired import change_of_extreme

GROUPS = (12, 25, 50, 100, 300)
LEVEL = 0.95
TOLERANCE, SHARE_TOLERANCE = 0.5, 0.02
"""Margins, and share of images, as the preset `release` has them."""


class Pair(NamedTuple):
    """Two runs on the same images, many times over."""

    before: np.ndarray
    """(images, runs)."""
    after: np.ndarray
    groups: np.ndarray
    """(images,)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"Effects, tolerance {TOLERANCE:g} margins; {options.runs} runs a cell, %\n")
    print_table(EFFECTS, TOLERANCE, options.runs, options.seed, say_effects)
    runs = options.runs // 4
    print(f"\nThe least of two leads, tolerance {TOLERANCE:g} margins; {runs} runs a cell, %\n")
    print_table(LEADS, TOLERANCE, runs, options.seed, say_leads)
    print(f"\nShares of errors, tolerance {SHARE_TOLERANCE:.0%}; {runs} runs a cell, %\n")
    print_table(SHARES, SHARE_TOLERANCE, runs, options.seed, say_shares)


def print_table(
    designs: dict[str, Callable[[int, float, int, np.random.Generator], Pair]],
    tolerance: float,
    runs: int,
    seed: int,
    say: Callable[[Pair, float], Iterator[tuple[str, str]]],
) -> None:
    """Wrong and right conclusions by design and number of groups."""
    columns = ("images", "groups", "wrongly worse", "wrongly not worse", "unchanged: not worse", "open", "worse",
               "grew by twice the tolerance: worse", "by two intervals: worse")  # fmt: skip
    print(f"| {' | '.join(columns)} |")
    print(f"| --- |{' ---: |' * (len(columns) - 1)}")
    for number, (name, draw) in enumerate(designs.items()):
        for count in GROUPS:
            random = np.random.default_rng([seed, number, count])
            said = {}
            for truth in (0.0, tolerance, 2 * tolerance):
                both = list(say(draw(count, truth, runs, random), tolerance))
                for at, way in enumerate(("paired", "apart")):
                    said[truth, way] = {
                        word: 100 * sum(each[at] == word for each in both) / len(both) for word in WORDS
                    }
            at_bar, equal, grown = (said[truth, "paired"] for truth in (tolerance, 0.0, 2 * tolerance))
            shares = (at_bar["worse"], at_bar["not worse"], equal["not worse"], equal["open"], equal["worse"],
                      grown["worse"], said[2 * tolerance, "apart"]["worse"])  # fmt: skip
            print(f"| {name} | {count} | {' | '.join(f'{share:.1f}' for share in shares)} |")


def say_effects(pair: Pair, tolerance: float) -> Iterator[tuple[str, str]]:
    """What is concluded of each pair of runs: image by image, and from two intervals side by side."""
    change = mean_bounds(pair.after - pair.before, pair.groups, (LEVEL,))
    old, new = (mean_bounds(side, pair.groups, (LEVEL,)) for side in (pair.before, pair.after))
    apart = (new.lows[0] - old.highs[0], new.highs[0] - old.lows[0])
    for low, high, least, most in zip(change.lows[0], change.highs[0], *apart, strict=True):
        yield conclude(low, high, tolerance), conclude(least, most, tolerance)


def say_leads(pair: Pair, tolerance: float) -> Iterator[tuple[str, str]]:
    """The first half of the runs is one lead, the second half the other; an effect is the lesser of the two."""
    sides = [dict(zip(("first", "second"), np.split(side, 2, axis=1), strict=True)) for side in pair[:2]]
    alone = [{name: mean_bounds(side[name], pair.groups, (LEVEL,)) for name in side} for side in sides]
    between = {
        (one, other): mean_bounds(sides[1][other] - sides[0][one], pair.groups, (LEVEL,))
        for one in sides[0]
        for other in sides[1]
    }
    for at in range(pair.before.shape[1] // 2):
        was, now = ({name: _measured(bounds, at) for name, bounds in side.items()} for side in alone)
        found = change_of_extreme(was, now, lambda *names, at=at: _measured(between[names], at), min)
        ends = [[min(end) for end in zip(*(part.bounds for part in side.values()), strict=True)] for side in (was, now)]
        (old_low, old_high), (new_low, new_high) = ends
        yield conclude(*found.bounds, tolerance), conclude(new_low - old_high, new_high - old_low, tolerance)


def _measured(bounds: MeanBounds, at: int) -> Measurement:
    value, low, high = (float(part[at]) for part in (bounds.means, bounds.lows[0], bounds.highs[0]))
    return Measurement(value, low, high, LEVEL, int(bounds.n[at]), int(bounds.groups[at]), "margins", None)


def say_shares(pair: Pair, tolerance: float) -> Iterator[tuple[str, str]]:
    for before, after in zip(pair.before.T, pair.after.T, strict=True):
        change = change_interval(after, before, pair.groups, LEVEL)
        old, new = (share_interval(side, pair.groups, LEVEL) for side in (before, after))
        yield conclude(*change.bounds, tolerance), conclude(*_apart(old, new), tolerance)


def _apart(old: Measurement, new: Measurement) -> tuple[float, float]:
    """What the change may be, where only either interval is known."""
    return new.bounds[0] - old.bounds[1], new.bounds[1] - old.bounds[0]


def conclude(low: float, high: float, tolerance: float) -> str:
    return "worse" if low > tolerance else "not worse" if high <= tolerance else "open"


def draw_effects(
    count: int, truth: float, runs: int, random: np.random.Generator, *, per_group: int, noise: float, skewed: bool
) -> Pair:
    """Effects in margins: images differ much and are much alike in both runs, which differ by a noise of their own."""
    groups = np.repeat(np.arange(count), per_group)
    shape = (count, runs)
    common = 3 * random.standard_normal(shape)[groups] + random.standard_normal((len(groups), runs))
    moved = random.exponential(1.0, shape) - 1 if skewed else random.standard_normal(shape)
    own = noise * (moved[groups] + 0.5 * random.standard_normal((len(groups), runs)))
    return Pair(common, common + truth + own, groups)


def draw_shares(
    count: int, truth: float, runs: int, random: np.random.Generator, *, per_group: int, churn: float
) -> Pair:
    """Errors: a tenth of the images before; some are mended, and so many more are broken as the share rises by."""
    groups = np.repeat(np.arange(count), per_group)
    shape = (len(groups), runs)
    hard = 0.1 * random.gamma(2.0, 0.5, (count, runs))[groups] if per_group > 1 else np.full(shape, 0.1)
    before = random.random(shape) < np.minimum(hard, 0.9)
    broken = (churn + truth) / (1 - before.mean())
    mended = churn / before.mean()
    after = np.where(before, random.random(shape) >= mended, random.random(shape) < broken)
    return Pair(before.astype(float), after.astype(float), groups)


def draw_leads(count: int, truth: float, runs: int, random: np.random.Generator, *, turns: bool) -> Pair:
    """Two leads of one effect, which are equal before; both grow, or the second is least before and the first after."""
    first, second = (draw_effects(count, truth, runs, random, per_group=1, noise=1.0, skewed=False) for _ in range(2))
    apart = 1.0 if turns else 0.0
    return Pair(
        np.concatenate([first.before + apart, second.before], axis=1),
        np.concatenate([first.after, second.after + apart], axis=1),
        first.groups,
    )


WORDS = ("worse", "not worse", "open")

EFFECTS: dict[str, Callable[[int, float, int, np.random.Generator], Pair]] = {
    name: lambda count, truth, runs, random, options=options: draw_effects(count, truth, runs, random, **options)
    for name, options in {
        "each a group, much alike": {"per_group": 1, "noise": 0.5, "skewed": False},
        "each a group, hardly alike": {"per_group": 1, "noise": 2.0, "skewed": False},
        "each a group, skewed": {"per_group": 1, "noise": 1.0, "skewed": True},
        "four a group": {"per_group": 4, "noise": 1.0, "skewed": False},
        "four a group, skewed": {"per_group": 4, "noise": 1.0, "skewed": True},
    }.items()
}  # fmt: skip

LEADS: dict[str, Callable[[int, float, int, np.random.Generator], Pair]] = {
    name: lambda count, truth, runs, random, turns=turns: draw_leads(count, truth, runs, random, turns=turns)
    for name, turns in {"both leads alike": False, "another is least afterwards": True}.items()
}

SHARES: dict[str, Callable[[int, float, int, np.random.Generator], Pair]] = {
    name: lambda count, truth, runs, random, options=options: draw_shares(count, truth, runs, random, **options)
    for name, options in {
        "each a group, 1 % mended": {"per_group": 1, "churn": 0.01},
        "each a group, 5 % mended": {"per_group": 1, "churn": 0.05},
        "four a group, 1 % mended": {"per_group": 4, "churn": 0.01},
    }.items()
}


if __name__ == "__main__":
    main()
