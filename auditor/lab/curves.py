"""Plots of the laboratory: what is told apart at which cost, and how strong a reliance must be to be found."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from auditor.lab.judging import Case, Tally
from auditor.measure.intervals import share_interval
from auditor.measure.pieces import Curves, Line
from auditor.report.plots import WIDE, plot_curves
from auditor.verdict.calibration import MODES


def write_curves(cases: Sequence[Case], folder: Path) -> None:
    """Draw `roc.svg` and `power.svg` from the cases that confirm or test the rule."""
    kept = [case for case in cases if case.split != "choose"]
    for name, curves in (("roc", roc(kept)), ("power", power(kept))):
        (folder / f"{name}.svg").write_text(f"{plot_curves(curves, name, (WIDE,))}\n", encoding="utf-8")


def roc(cases: Sequence[Case]) -> Curves:
    """By mode the share of relying models above each strength over that of innocent ones."""
    lines = []
    for mode in MODES:
        tally = Tally([case for case in cases if case.mode == mode])
        if not tally.innocent or not tally.relying:
            continue
        innocent, relying = (np.array([case.strength for case in part]) for part in (tally.innocent, tally.relying))
        bars = np.unique(np.concatenate([innocent, relying, [np.inf]]))[::-1]
        points = [(float((innocent >= bar).mean()), float((relying >= bar).mean())) for bar in bars]
        lines.append(Line(mode, list(points)))
    return Curves("", lines, x="share of innocent models above a strength", y="of relying models")


def power(cases: Sequence[Case]) -> Curves:
    """Share of planted models that are found, by the share of decisions that the artefact changes."""
    lines = []
    for name, modes in _SIZES.items():
        part = [case for case in cases if case.mode in modes and case.row.regime not in ("clean", "balanced")]
        shares = np.array([_change(case) for case in part])
        points = []
        for low, high in pairwise(_STEPS):
            inside = [case for case, share in zip(part, shares, strict=True) if low <= share < high]
            if len(inside) >= _FEWEST:
                found = np.array([case.verdict == "relies" and case.direction == _way(case) for case in inside])
                points.append(((low + min(high, 1)) / 2, share_interval(found, np.arange(len(found)), 0.95)))
        lines.append(Line(name, list(points), has_band=True))
    return Curves("", lines, x="share of decisions that the artefact changes", y="found", has_dots=True)


def _way(case: Case) -> str:
    return "suppresses" if case.row.regime == "suppressor" else "promotes"


def _change(case: Case) -> float:
    return case.row.lost if _way(case) == "suppresses" else max(case.row.turned, -case.row.lost)


_SIZES = {
    "300 images": ("one logit", "two classes", "few classes", "ten classes", "labels"),
    "300 images, a hundred classes": ("hundred classes",),
    "60 or 100 images": ("few images",),
}
_STEPS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.01)
_FEWEST = 5
"""Models from which a share is drawn."""
