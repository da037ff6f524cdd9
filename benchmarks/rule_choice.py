"""What other rules would have made of the laboratory's models: the figures behind the choice of controls and quantile.

    auditor lab train                          # once; under an hour
    python benchmarks/rule_choice.py           # the families that the rule was chosen on; some minutes
    python benchmarks/rule_choice.py test      # the families that test it

For each candidate: the area under the curve of its theta, promoting models against those in which nothing that
predicts the class was planted; how many of either lie above the margin. Point values, so that rules are compared and
not intervals.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from auditor.lab.table import area_under_curve, observe
from auditor.lab.training import make_recipes, measure_behaviour, name_truth, split_of, train_all
from auditor.verdict.effects import spread_of
from auditor.verdict.observations import Observations
from auditor.verdict.record import Rule

MARGIN = 0.5
"""Log-odds: the margin of the first rule, which these figures were made for."""

QUANTILES = {
    "no class contrast": None,
    "median class": 0.5,
    "75th percentile": 0.75,
    "90th, nearest rank": 0.9,
    "90th, rank up": 0.9,
    "strongest class": 1.0,
}
CONTROLS = {
    "no controls": (),
    "scrambled": ("scrambled",),
    "flat patch": ("flat patch",),
    "veil": ("veil",),
    "inverted tone": ("inverted tone",),
    "scrambled, flat, veil": ("scrambled", "flat patch", "veil"),
    "all four": ("scrambled", "flat patch", "veil", "inverted tone"),
    "strongest of four": ("scrambled", "flat patch", "veil", "inverted tone"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("split", nargs="?", default="choice", choices=["choice", "test"])
    parser.add_argument("--folder", type=Path, default=Path("lab"))
    options = parser.parse_args()
    thetas: dict[tuple[str, str, bool], dict[bool, list[tuple[float, float]]]] = {}
    for is_positive, observed, target in find_cases(options.split, options.folder):
        margin = max(MARGIN, 0.1 * spread_of(observed, target))
        for controls in CONTROLS:
            for quantile in QUANTILES:
                for is_confirmed in (False, True):
                    found = thetas.setdefault((controls, quantile, is_confirmed), {True: [], False: []})
                    theta = measure_theta(observed, target, controls, quantile, is_confirmed)
                    found[is_positive].append((theta, margin))
    heads = (
        "controls",
        "class contrast",
        "confirmed",
        "AUC",
        "found over 0.5",
        "false",
        "found over 0.1 SD too",
        "false",
    )
    print(f"| {' | '.join(heads)} |\n{'| --- ' * len(heads)}|")
    for (controls, quantile, is_confirmed), found in thetas.items():
        positive, negative = np.array(found[True]), np.array(found[False])
        shares = [f"{(part[:, 0] > MARGIN).sum()} of {len(part)}" for part in (positive, negative)]
        shares += [f"{(part[:, 0] > part[:, 1]).sum()} of {len(part)}" for part in (positive, negative)]
        area = area_under_curve(positive[:, 0].tolist(), negative[:, 0].tolist())
        confirmed = "yes" if is_confirmed else "no"
        print(f"| {controls} | {quantile} | {confirmed} | {area:.3f} | {' | '.join(shares)} |")


def find_cases(split: str, folder: Path) -> Iterator[tuple[bool, Observations, int]]:
    """Whether the model promotes the class by its behaviour, what an audit measures of it, and the class."""
    wanted = {recipe.key for recipe in make_recipes() if split_of(recipe) == split}
    for _, _, recipe, classifier in train_all(folder):
        if recipe.key not in wanted:
            continue
        for suspicion in recipe.suspicions:
            behaviour = measure_behaviour(classifier, recipe, suspicion.family)
            turned, lost = behaviour.turned[suspicion.target], behaviour.lost[suspicion.target]
            truth = name_truth(recipe.regime(suspicion), float(turned), float(lost))
            if truth in ("promotes", "innocent", "moved"):
                yield truth == "promotes", observe(classifier, recipe, suspicion), suspicion.target


def measure_theta(observed: Observations, target: int, controls: str, quantile: str, is_confirmed: bool) -> float:
    """The point value of one candidate's theta."""
    insertion = observed.insertion
    assert insertion is not None
    has = insertion.images.has[:, target]
    leads = [over_controls(observed, target, ~has, controls), over_classes(observed, target, ~has, quantile)]
    if is_confirmed and has.sum() >= Rule().min_groups:
        leads.append(over_controls(observed, target, has, controls))
    return min(leads)


def over_controls(observed: Observations, target: int, rows: np.ndarray, name: str) -> float:
    insertion = observed.insertion
    assert insertion is not None
    lift = float(insertion.shift[rows, target].mean())
    moved = [insertion.controls[kind][rows, target].mean() for kind in CONTROLS[name] if kind in insertion.controls]
    if not moved:  # a control that equals the artefact is none
        return lift
    return lift - float(max(moved) if name.startswith("strongest") else np.median(moved))


def over_classes(observed: Observations, target: int, rows: np.ndarray, name: str) -> float:
    insertion = observed.insertion
    assert insertion is not None
    quantile = QUANTILES[name]
    if quantile is None:
        return float("inf")
    means = insertion.shift[rows].mean(axis=0, dtype=np.float64)
    others = np.sort(np.delete(means, target))
    rank = int(np.ceil(quantile * len(others))) if name.endswith("up") else round(quantile * len(others))
    return float(means[target] - others[max(rank, 1) - 1])


if __name__ == "__main__":
    main()
