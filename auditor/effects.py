"""What interventions did to the scores, measured: effects, contrasts and harms, each with its interval.

Pure functions of arrays; the first axis is always the image. Formulas are in `docs/method.md`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from auditor.intervals import (
    Array,
    Bools,
    Groups,
    change_interval,
    least,
    mean_interval,
    missing,
    share_interval,
    spanning,
)
from auditor.records import Measurement, Rule

CLASS_QUANTILE = 0.9
"""The class contrast compares with this quantile (nearest rank up) of the other classes' shifts."""


@dataclass(frozen=True)
class Population:
    """The images that one kind of intervention was tried on."""

    positions: npt.NDArray[np.int64]
    """(n,): rows of the data set."""
    scores: Array
    """(n, classes): log-odds before the intervention."""
    predicted: Bools
    """(n, classes): predicted classes before."""
    has: Bools
    """(n, classes): the classes it has; where unlabelled, those predicted."""
    labelled: Bools
    """(n,)."""
    groups: Groups
    """(n,)."""

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Insertion:
    """Shifts of the log-odds by edits of images that do not carry the artefact."""

    images: Population
    shift: Array
    """(n, classes): by the artefact itself."""
    predicted: Bools
    """(n, classes): predicted classes with the artefact."""
    probability_change: Array
    """(n, targets)."""
    controls: dict[str, Array] = field(default_factory=dict)
    """Name -> (n, targets)."""
    variants: dict[str, Array] = field(default_factory=dict)
    """Name -> (n, targets)."""
    doses: dict[float, Array] = field(default_factory=dict)
    """Opacity -> (n, targets)."""


@dataclass(frozen=True)
class Removals:
    """Falls of the log-odds when carriers lose the artefact, and when the same is done elsewhere."""

    images: Population
    fall: dict[str, Array]
    """Fill -> (n, targets)."""
    placebo: dict[str, Array]
    """Fill -> (n, targets); NaN where the region fits nowhere else."""
    predicted: dict[str, Bools]
    """Fill -> (n, classes): predicted classes without the artefact."""


@dataclass(frozen=True)
class Evidence:
    """Everything that interventions measured about one artefact."""

    artefact: str
    classes: tuple[str, ...]
    one_logit: bool
    """Whether two classes share one logit, so that they cannot be contrasted."""
    insertion: Insertion | None
    removals: Removals | None
    notes: tuple[str, ...] = ()
    target: int | None = None
    """The only class for which edits other than the artefact were kept; None where all were."""

    def column(self, target: int) -> int:
        """Where a class stands in arrays (n, targets)."""
        assert self.target in (None, target)
        return target if self.target is None else 0


def measure_effects(evidence: Evidence, target: int, rule: Rule, adjusted_alpha: float) -> dict[str, Measurement]:
    """The primary endpoint and its parts in both directions; empty where nothing was inserted."""
    insertion = evidence.insertion
    if insertion is None:
        return {}
    has = insertion.images.has[:, target]
    found: dict[str, Measurement] = {}
    for rows, sign, prefix in ((~has, 1.0, ""), (has, -1.0, "suppression_")):
        lift, theta = ("insertion_lift", "theta") if sign > 0 else ("suppression", "theta_suppression")
        names = (lift, f"{prefix}control_contrast", f"{prefix}class_contrast", theta)
        if not rows.any():
            without = "without" if sign > 0 else "of"
            reason = f"no image {without} the class {evidence.classes[target]} is free of the artefact"
            found |= {name: missing(reason) for name in names}
            continue
        shift = sign * insertion.shift[rows]
        controls = [sign * values[rows, evidence.column(target)] for values in insertion.controls.values()]
        groups = insertion.images.groups[rows]
        interval = _interval_of(groups, rule, adjusted_alpha)
        found[names[0]] = interval(shift[:, target])
        found[names[1]] = missing("every control equals the artefact; give innocent pictures as controls")
        if controls:
            found[names[1]] = interval(control_contrast(shift[:, target], controls))
        found[names[2]] = missing("fewer than three classes share the score, so there is none to contrast with")
        if not evidence.one_logit and len(evidence.classes) > 2:
            lead = interval(class_contrast(shift, target))
            found[names[2]] = _highest(lead, interval(split_class_contrast(shift, target, groups)))
        found[theta] = least(found[names[1]], found[names[2]]) if controls else found[names[1]]
    return found


def measure_harms(evidence: Evidence, target: int, rule: Rule, theta: Measurement) -> dict[str, Measurement]:
    """What insertion does to probabilities, predictions and accuracy."""
    insertion = evidence.insertion
    assert insertion is not None
    images, level = insertion.images, rule.level
    has, predicted = images.has[:, target], images.predicted[:, target]
    eligible, held = ~has & ~predicted, has & predicted
    change = insertion.probability_change[~has, evidence.column(target)]
    found = {
        "probability_change": mean_interval(
            change, images.groups[~has], level, unit="probability", score="probability"
        ),
        "flip_rate": share_interval(insertion.predicted[eligible, target], images.groups[eligible], level),
        "suppression_flip_rate": share_interval(~insertion.predicted[held, target], images.groups[held], level),
    }
    spread = float(images.scores[~has, target].std(dtype=np.float64)) if (~has).any() else 0.0
    if spread > 0 and theta.value is not None:
        found["theta_standardised"] = _divided(theta, spread)
    if not images.labelled.any():
        return found | {"accuracy_drop": missing("the data have no labels", unit="share", score=None)}
    for prefix, rows in (("", ~has & images.labelled), ("class_", has & images.labelled)):
        before = is_correct(images.predicted, images.has)[rows]
        after = is_correct(insertion.predicted, images.has)[rows]
        groups = images.groups[rows]
        found[f"{prefix}accuracy_without"] = share_interval(before, groups, level)
        found[f"{prefix}accuracy_with"] = share_interval(after, groups, level)
        found[f"{prefix}accuracy_drop"] = change_interval(before, after, groups, level)
    return found


def find_worst_group(evidence: Evidence, rule: Rule) -> tuple[str, Measurement] | None:
    """The class with the lowest accuracy, with or without the artefact, in words and with its interval.

    The bounds hold for all these groups at once (Bonferroni), for the lowest of many is low by chance too.

    References: Sagawa et al., "Distributionally robust neural networks" (2020).
    """
    insertion = evidence.insertion
    if insertion is None or not insertion.images.labelled.any():
        return None
    images = insertion.images
    members = {
        number: images.has[:, number] & images.labelled
        for number in range(len(evidence.classes))
        if (images.has[:, number] & images.labelled).any()
    }
    if not members:
        return None
    level = 1 - rule.alpha / (2 * len(members))
    found = []
    for words, predicted in (("without the artefact", images.predicted), ("with the artefact", insertion.predicted)):
        correct = is_correct(predicted, images.has)
        for number, rows in members.items():
            share = share_interval(correct[rows], images.groups[rows], level)
            found.append((f"{evidence.classes[number]} {words}", share))
    return min(found, key=lambda item: item[1].value if item[1].value is not None else 1.0)


def measure_removals(evidence: Evidence, target: int, rule: Rule, alpha: float) -> dict[str, Measurement]:
    """The removal drop and the drop by each fill; empty where no image carries the artefact.

    The headline is the exact removal where there is one; else the least over the fills, with an interval that spans
    all of theirs, so that they must agree.
    """
    removals = evidence.removals
    if removals is None:
        return {}
    groups, at = removals.images.groups, evidence.column(target)
    found: dict[str, Measurement] = {}
    for name, fall in removals.fall.items():
        contrast = fall[:, at] - removals.placebo[name][:, at]
        drop = mean_interval(contrast, groups, 1 - alpha, unit="log-odds", score="log-odds")
        if drop.value is None:
            drop = missing("the region fits nowhere else in the frame, so there is no placebo")
        found[f"removal_drop.{name}"] = drop
    headline = found.get("removal_drop.exact") or spanning(list(found.values()))
    first = next(iter(removals.predicted.values()))
    was = removals.images.predicted[:, target]
    result = {"removal_drop": headline, **found}
    result["removal_flip_rate"] = share_interval(~first[was, target], groups[was], rule.level)
    labelled = removals.images.labelled
    if labelled.any():
        before = is_correct(removals.images.predicted, removals.images.has)[labelled]
        after = is_correct(first, removals.images.has)[labelled]
        result["carriers_accuracy_with"] = share_interval(before, groups[labelled], rule.level)
        result["carriers_accuracy_without"] = share_interval(after, groups[labelled], rule.level)
        result["carriers_accuracy_drop"] = change_interval(before, after, groups[labelled], rule.level)
    return result


def measure_recognition(evidence: Evidence, target: int, rule: Rule) -> Measurement:
    """How much higher images of the target score than others: a model that cannot tell them apart proves nothing."""
    insertion = evidence.insertion
    if insertion is None:
        return missing("nothing was inserted")
    images = insertion.images
    if not images.labelled.any():  # images of the target are then those predicted as such
        return missing("the data have no labels")
    scores, has = images.scores[:, target], images.has[:, target]
    if not has.any() or has.all():
        return missing(f"no images with and without {evidence.classes[target]} are free of the artefact")
    # each image's distance to the mean of the other side, so that one interval covers both samples
    share = has.mean()
    influence = np.where(has, (scores - scores[has].mean()) / share, -(scores - scores[~has].mean()) / (1 - share))
    gap = float(scores[has].mean(dtype=np.float64) - scores[~has].mean(dtype=np.float64))
    return mean_interval(influence + gap, images.groups, rule.level, unit="log-odds", score="log-odds")


def control_contrast(shift: Array, controls: list[Array]) -> Array:
    """Per image: its shift minus its shift by the median control (n,); the median is taken of the controls' means."""
    order = np.argsort([control.mean(dtype=np.float64) for control in controls], kind="stable")
    middle = order[(len(order) - 1) // 2 : len(order) // 2 + 1]
    return np.asarray(shift - np.mean([controls[at] for at in middle], axis=0))


def class_contrast(shifts: Array, target: int) -> Array:
    """Per image: the target's shift minus that of the class at the 90th percentile of the others (n,).

    The percentile (nearest rank up) is taken of the classes' mean shifts. The rival is thus chosen by the same images
    that it is compared on, which makes the contrast a little too small.
    """
    return np.asarray(shifts[:, target] - shifts[:, _find_rival(shifts, target)])


def split_class_contrast(shifts: Array, target: int, groups: Groups) -> Array:
    """The class contrast with the rival chosen on the other half of the groups (n,), a little too large if anything."""
    _, inverse = np.unique(groups, return_inverse=True)
    first = inverse % 2 == 0
    if first.all():
        return class_contrast(shifts, target)
    rivals = np.where(first, _find_rival(shifts[~first], target), _find_rival(shifts[first], target))
    return np.asarray(shifts[:, target] - shifts[np.arange(len(shifts)), rivals])


def is_correct(predicted: Bools, has: Bools) -> Bools:
    """Whether exactly the classes that an image has are predicted (n,)."""
    return np.asarray((predicted == has).all(axis=1))


def _find_rival(shifts: Array, target: int) -> int:
    others = np.delete(np.arange(shifts.shape[1]), target)
    means = shifts[:, others].mean(axis=0, dtype=np.float64)
    rank = math.ceil(CLASS_QUANTILE * len(others)) - 1
    return int(others[np.argsort(means, kind="stable")[rank]])


def _interval_of(groups: Groups, rule: Rule, adjusted_alpha: float) -> Callable[[Array], Measurement]:
    def interval(values: Array) -> Measurement:
        plain = mean_interval(values, groups, rule.level, unit="log-odds", score="log-odds")
        if adjusted_alpha == rule.alpha or plain.low is None:
            return plain
        wide = mean_interval(values, groups, 1 - adjusted_alpha, unit="log-odds", score="log-odds")
        return replace(plain, low_adjusted=wide.low, high_adjusted=wide.high)

    return interval


def _highest(first: Measurement, second: Measurement) -> Measurement:
    """The first measurement with the higher of both upper bounds."""

    def higher(one: float | None, other: float | None) -> float | None:
        return one if one is None or other is None else max(one, other)

    return replace(
        first,
        high=higher(first.high, second.high),
        high_adjusted=higher(first.high_adjusted, second.high_adjusted),
    )


def _divided(effect: Measurement, spread: float) -> Measurement:
    value, low, high = (None if part is None else part / spread for part in (effect.value, effect.low, effect.high))
    unit = "SD of the score"
    return replace(effect, value=value, low=low, high=high, low_adjusted=None, high_adjusted=None, unit=unit)
