"""Tests that a map must pass before it is believed: does it follow the model, the class, and what moves the score?

Arrays in, arrays out; which images and how many draws, and what is concluded, is the study's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter

from auditor.explain.attribution.likeness import rank_correlations, structure
from auditor.explain.attribution.methods import saliency
from auditor.explain.trust.record import Outcome, TrustCriterion, TrustTest
from auditor.measure.arrays import Doubles, Floats, Ints
from auditor.measure.measurement import Measurement
from auditor.measure.words import PER_CENT
from auditor.subject.model.classifier import Explainable, log_odds

Reading = Literal["absolute", "signed", "positive", "smoothed"]

FRACTIONS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
"""Shares of the cells that are deleted or inserted, at which scores are taken."""

_CELLS = 16
"""Pixels are deleted in square cells, about so many to a side: single pixels of a large picture are mere noise."""

_SMOOTHING = 0.02
"""Standard deviation of the Gaussian that smooths a map for display, as a share of the longer side."""

_TOGETHER = 16
"""Images whose edits are scored in one call."""

LEAST_GROUPS = 12
"""Independent groups of images under which a decisive test is left open, as under the verdict's own rule."""

MOST_EMPTY = 0.25
"""Share of maps that may be the same everywhere, or not finite, before a test says nothing."""

READINGS: dict[Reading, str] = {
    "absolute": "the strength of each pixel, whatever its sign",
    "signed": "the sum over channels: what speaks for the target first, what speaks against it last",
    "positive": "the same, but what speaks against the target counts as nothing",
    "smoothed": f"absolute, blurred by a Gaussian of {_SMOOTHING:.0%} of the longer side",
}


@dataclass(frozen=True)
class FlipCurves:
    """Scores of n images on the way as their cells are deleted, and as they are inserted, in the order of a map."""

    deletion: Doubles
    """(..., n, fractions): log-odds of the target when the first cells are filled."""
    insertion: Doubles
    """(..., n, fractions): when all but the first cells are filled."""

    def areas(self) -> tuple[Doubles, Doubles]:
        """Mean log-odds (..., n) over the way down and the way up."""
        steps = np.diff(FRACTIONS)
        down, up = (((part[..., 1:] + part[..., :-1]) / 2) @ steps for part in (self.deletion, self.insertion))
        return down, up

    def first(self, count: int) -> FlipCurves:
        """That of the first images."""
        return FlipCurves(self.deletion[..., :count, :], self.insertion[..., :count, :])


def read_map(maps: Floats, reading: Reading) -> Floats:
    """Attributions (n, h, w, c) as one number per pixel (n, h, w)."""
    if reading == "absolute":
        return saliency(maps)
    if reading == "smoothed":
        sigma = _SMOOTHING * max(maps.shape[1:3])
        return gaussian_filter(saliency(maps), (0, sigma, sigma), mode="nearest")
    summed = maps.sum(axis=-1, dtype=np.float64).astype(np.float32)
    return np.maximum(summed, 0) if reading == "positive" else summed


def similarities(first: Floats, second: Floats) -> dict[str, Doubles]:
    """How alike attributions (n, h, w, c) are: Spearman of the signed and of the absolute maps, and their SSIM."""
    strengths = read_map(first, "absolute"), read_map(second, "absolute")
    return {
        "signed": rank_correlations(read_map(first, "signed"), read_map(second, "signed")),
        "absolute": rank_correlations(*strengths),
        "structure": np.array([_structure(a, b) for a, b in zip(*strengths, strict=True)]),
    }


def cell_side(height: int, width: int) -> int:
    """Side in pixels of the cells that are deleted together."""
    return max(1, round(max(height, width) / _CELLS))


def flip_pixels(
    classifier: Explainable,
    images: Floats,
    targets: Ints,
    order: Floats,
    fill: Floats,
    *,
    side: int,
    randoms: list[np.random.Generator],
    ends: Doubles | None = None,
) -> FlipCurves:
    """Delete and insert cells of images (n, h, w, c) in the order of maps (n, h, w), highest first.

    Parameters
    ----------
    fill
        (n, h, w, c): what stands where a cell is deleted.
    side
        Of a cell, in pixels.
    randoms
        One per image: equal cells come in random order.
    ends
        (n, 2): log-odds of the target of the whole and of the filled image, where they are known.

    References: Samek et al., "Evaluating the visualization of what a deep neural network has learned" (2017); Petsiuk,
    Das, Saenko, "RISE" (2018).
    """
    places, count = _rank_cells(order, side, randoms)
    inner = [round(fraction * count) for fraction in FRACTIONS[1:-1]]
    parts = []
    for start in range(0, len(images), _TOGETHER):
        some = slice(start, start + _TOGETHER)
        pair = images[some], np.broadcast_to(fill[some], images[some].shape)
        chosen = [(places[some] < first)[..., None] for first in inner]
        steps = [
            *(pair if ends is None else ()),
            *(np.where(c, pair[1 - up], pair[up]) for up in (0, 1) for c in chosen),
        ]
        odds = log_odds(classifier.scores(np.concatenate(steps).astype(np.float32)), classifier.output)
        parts.append(odds.reshape(len(steps), -1, odds.shape[1])[:, np.arange(len(pair[0])), targets[some]])
    scored = np.concatenate(parts, axis=1).astype(np.float64)
    whole, filled, *rest = scored if ends is None else [*ends.T, *scored]
    down, up = rest[: len(inner)], rest[len(inner) :]
    return FlipCurves(np.stack([whole, *down, filled], axis=1), np.stack([filled, *up, whole], axis=1))


def gains(path: FlipCurves, references: list[FlipCurves]) -> dict[str, Doubles]:
    """By how much (..., n) one order of deletion and insertion is better than others, in mean log-odds over the way.

    `together` is the mean of both: what a fill does to the scores by itself cancels in it.

    References: Blücher, Vielhaben, Strodthoff, "Decoupling pixel flipping and occlusion strategy" (2024).
    """
    down, up = path.areas()
    others = [reference.areas() for reference in references]
    deletion = np.mean([other[0] for other in others], axis=0) - down
    insertion = up - np.mean([other[1] for other in others], axis=0)
    return {"deletion": deletion, "insertion": insertion, "together": (deletion + insertion) / 2}


def spread_over_depth(layers: tuple[str, ...], stages: int) -> list[tuple[str, ...]]:
    """The layers from the head down that are randomised at each stage of a cascade, spread evenly over the depth."""
    ends = np.unique(np.linspace(len(layers), 1, min(stages, len(layers))).round().astype(int))
    return [layers[:end] for end in ends]


def criteria_at_scale(spread: float) -> dict[str, TrustCriterion]:
    """The tests by name, for a model whose scores have this standard deviation: to fail, a gain is surely negligible.

    That is less than half a log-odds, the verdict's own margin, and less than a tenth of the standard deviation.
    """
    negligible = float(f"{min(0.5, 0.1 * spread):.2g}")
    return {
        name: replace(criterion, fails=negligible) if name in _IN_LOG_ODDS else criterion
        for name, criterion in TRUST_TESTS.items()
    }


def judge(
    criterion: TrustCriterion, measured: Measurement, empty: float = 0.0, reading: str | None = None
) -> TrustTest:
    """Passed or failed where the whole interval of a test's figure says so, else open.

    Parameters
    ----------
    empty
        Share of the maps without an order.
    reading
        Of the maps, that the figure is of.
    """
    if measured.value is None:
        return TrustTest(criterion.name, "not_applicable", None, "its maps are the same everywhere")
    is_low, reason = criterion.better == "low", _why_open(criterion, measured, empty)
    outcome: Outcome = "open"
    if reason is None and measured.against(criterion.passes) == ("below" if is_low else "above"):
        outcome = "passed"
    elif reason is None and (
        measured.lies_in(criterion.fails, math.inf) if is_low else measured.against(criterion.fails) == "below"
    ):
        outcome = "failed"
    return TrustTest(criterion.name, outcome, measured, reason, reading)


def _why_open(criterion: TrustCriterion, measured: Measurement, empty: float) -> str | None:
    """Why a test is left open whatever its figure."""
    if measured.low is None or measured.high is None:
        return measured.reason or "it has no interval"
    if empty > MOST_EMPTY:
        return f"{100 * empty:.0f}{PER_CENT} of the maps are the same everywhere, or not finite"
    if criterion.decisive and measured.groups < LEAST_GROUPS:
        return f"{measured.groups} groups of images are under the {LEAST_GROUPS} that a decision needs"
    return None


def _structure(first: Floats, second: Floats) -> float:
    """Structural similarity of two maps, each over its own largest value; NaN where one is zero."""
    largest, other = float(first.max()), float(second.max())
    return structure(first / largest, second / other) if largest > 0 and other > 0 else float("nan")


def _rank_cells(order: Floats, side: int, randoms: list[np.random.Generator]) -> tuple[Ints, int]:
    """The place (n, h, w) of each pixel's cell in the order of its mean, and how many cells there are."""
    height, width = order.shape[1:]
    down, right = np.arange(height) // side, np.arange(width) // side
    cells = down[:, None] * (right[-1] + 1) + right[None]
    count = int(cells.max()) + 1
    sizes = np.bincount(cells.ravel())
    places = np.empty(order.shape, np.int64)
    for at, (values, random) in enumerate(zip(order, randoms, strict=True)):
        means = np.bincount(cells.ravel(), values.ravel().astype(np.float64), count) / sizes
        place = np.empty(count, np.int64)
        place[np.lexsort((random.permutation(count), -means))] = np.arange(count)
        places[at] = place[cells]
    return places, count


TRUST_TESTS = {
    criterion.name: criterion
    for criterion in (
        TrustCriterion(
            "randomised weights",
            "does the map change when the model forgets what it learnt, its signs and its absolute pattern alike?",
            "Spearman with the trained model's map, mean over the stages of the cascade; of the signed and the "
            "absolute map, the one that changes less",
            passes=0.5, fails=0.5, better="low", decisive=True,
        ),
        TrustCriterion(
            "order",
            "do the pixels that the map ranks first move the score sooner than random ones?",
            "deletion and insertion together, over a random order, in log-odds; the absolute map passes, as regions "
            "are scored by it, and only a method whose signed map fails too has failed",
            passes=0.0, fails=0.5, better="high", decisive=True,
        ),
        TrustCriterion(
            "deletion",
            "does deleting those pixels first lower the score sooner?",
            "area between the curves of a random order and of the map, in log-odds",
            passes=0.0, fails=0.5, better="high", decisive=False,
        ),
        TrustCriterion(
            "insertion",
            "does inserting them first raise it sooner?",
            "area between the curves of the map and of a random order, in log-odds",
            passes=0.0, fails=0.5, better="high", decisive=False,
        ),
        TrustCriterion(
            "edge filter",
            "does its order beat that of an edge filter, which knows nothing of the model?",
            "deletion and insertion together, over an edge filter's order, in log-odds",
            passes=0.0, fails=0.5, better="high", decisive=False,
        ),
        TrustCriterion(
            "other class",
            "is the map of another class another map?",
            "Spearman of the maps of the target and of a random other class",
            passes=0.5, fails=0.5, better="low", decisive=False,
        ),
        TrustCriterion(
            "small noise",
            "does the map stay when the image hardly changes?",
            "Spearman of the maps with and without noise",
            passes=0.5, fails=0.5, better="high", decisive=False,
        ),
        TrustCriterion(
            "completeness",
            "do the attributions add up to the change of the score?",
            "completeness residual, median over images",
            passes=0.1, fails=0.1, better="low", decisive=False,
        ),
    )
}  # fmt: skip
"""The tests by name. A correlation of 0.5 lies between gradients, which pass, and guided backpropagation, which fails:
`tests/test_trust.py` holds both."""

_IN_LOG_ODDS = ("order", "deletion", "insertion", "edge filter")
