"""How often the upper bound of the class contrast misses, in the worst case: all other classes move alike.

    python benchmarks/class_contrast.py

The contrast compares with the class at the 90th percentile of the others. Chosen on the images that it is compared on,
it is the luckiest of equals, and the upper bound comes out too low; chosen on the other half of the groups, it is not.
The audit takes the higher of both bounds. Nominal: 2.5 % on each side of a 95 % interval.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from auditor.measure.intervals import mean_interval
from auditor.verdict.contrasts import class_contrasts, split_class_contrasts

RUNS, LEAD = 4000, 1.0


def main() -> None:
    print("images  classes  same images  higher of both  lower bound above the truth")
    for images, classes in ((30, 10), (100, 10), (300, 10), (30, 100)):
        random, groups = np.random.default_rng(images), np.arange(images)
        target, rows = np.array([2]), np.ones((images, 1), bool)
        same = both = above = 0
        for _ in range(RUNS):
            shifts = random.normal(0, 1, (images, classes))
            shifts[:, 2] += LEAD
            contrasts = (
                class_contrasts(shifts, target, rows)[:, 0],
                split_class_contrasts(shifts, target, rows, groups)[:, 0],
            )
            first, second = (mean_interval(values, groups, 0.95, unit="") for values in contrasts)
            same += first.high < LEAD
            both += max(first.high, second.high) < LEAD
            above += first.low > LEAD
        print(f"{images:6d}  {classes:7d}  {same / RUNS:11.1%}  {both / RUNS:14.1%}  {above / RUNS:27.1%}")


if __name__ == "__main__":
    main()
