"""What interventions did to the scores, measured: effects, contrasts and harms, each with its interval.

Pure functions of arrays; the first axis is always the image. Formulas are in `docs/method.md`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from auditor.measure.arrays import Array, Bools, Groups, Ints
from auditor.measure.intervals import (
    change_interval,
    least,
    mean_interval,
    mean_intervals,
    median_interval,
    missing,
    share_interval,
    simultaneous_bounds,
    spanning,
)
from auditor.measure.measurement import Measurement
from auditor.subject.population import Population, is_correct
from auditor.verdict.observations import Checks, Insertion, Observations
from auditor.verdict.record import Rule

NAMES = {
    1: ("insertion_lift", "control_contrast", "class_contrast", "theta", "own_control_contrast"),
    -1: (
        "suppression",
        "suppression_control_contrast",
        "suppression_class_contrast",
        "theta_suppression",
        "suppression_others_control_contrast",
    ),
}
"""What is measured of a class, by direction: the `Leads`, and the lead over controls on the other side."""

CLASS_QUANTILE = 0.9
"""The class contrast compares with this quantile (nearest rank) of the other classes' shifts."""


def measure_effects(observed: Observations, target: int, rule: Rule, alpha: float) -> dict[str, Measurement]:
    """The primary endpoint and its parts in both directions; empty where nothing was inserted.

    Parameters
    ----------
    alpha
        Level of the adjusted bounds, which `relies` is decided on.
    """
    insertion = observed.insertion
    if insertion is None:
        return {}
    has = insertion.images.has[:, target]
    found: dict[str, Measurement] = {}
    for rows, sign in ((~has, 1), (has, -1)):
        if rows.any():
            part = insertion.rows(np.flatnonzero(rows))
            (leads,) = measure_leads(observed, part, np.array([target]), sign, rule, alpha)
            found |= confirm_leads(observed, insertion, target, sign, leads, rule, alpha)
        else:
            without = "without" if sign > 0 else "of"
            reason = f"no image {without} the class {observed.classes[target]} is free of the artefact"
            found |= dict.fromkeys(NAMES[sign], missing(reason))
    return found


def confirm_leads(
    observed: Observations, insertion: Insertion, target: int, sign: int, leads: Leads, rule: Rule, alpha: float
) -> dict[str, Measurement]:
    """The measurements of one class in one direction, theta being confirmed on the images of the other side.

    Evidence for a class raises it on every image, its own included; evidence against it lowers it on every image. What
    an artefact does by hiding what it covers, it does on some images only: a hole in a coat makes a pullover, but no
    pullover more of one. So theta is the least of the leads and of the lead over controls on the other side: the
    class's own images for promotion, those of other classes for suppression. Its upper bound is that of the leads
    alone: scores on the other side may be at their ceiling or floor, which must not pass for "no evidence".
    """
    part = insertion.rows(np.flatnonzero(insertion.images.has[:, target] == (sign > 0)))
    theta, confirmed = leads.theta, missing("too few images on the other side to confirm it on")
    if part.controls and len(np.unique(part.images.groups)) >= rule.min_groups:
        targets, rows = np.array([target]), np.ones((len(part.images), 1), bool)
        controls = [sign * values[:, observed.columns(targets)] for values in part.controls.values()]
        contrast = control_contrasts(sign * part.shift[:, targets], controls, rows)
        (plain,) = mean_intervals(contrast, rows, part.images.groups, rule.level)
        (wide,) = mean_intervals(contrast, rows, part.images.groups, 1 - alpha)
        confirmed = _adjusted(plain, wide.low)
        theta = replace(least(theta, confirmed), high=theta.high, n=theta.n, groups=theta.groups)
    return dict(zip(NAMES[sign], (*leads[:3], theta, confirmed), strict=True))


def margin_of(observed: Observations, target: int, rule: Rule) -> float:
    """The margin for one class, in log-odds: that of the rule, or its share of the score's spread where that is more.

    Models differ in temperature: where the score of a class spans fifty log-odds, a half is nothing.
    """
    return max(rule.margin, rule.margin_sd * _spread(observed, target))


class Leads(NamedTuple):
    """What is measured of one class in one direction."""

    lift: Measurement
    over_controls: Measurement
    over_classes: Measurement
    theta: Measurement


def measure_leads(
    observed: Observations, insertion: Insertion, targets: Ints, sign: int, rule: Rule, alpha: float
) -> list[Leads]:
    """Lift, leads and theta of several classes at once, each on the images without it (with it, where sign is -1).

    With several classes the adjusted bounds hold for all of them together.
    """
    if not len(targets):
        return []
    images, columns = insertion.images, observed.columns(targets)
    rows = images.has[:, targets] == (sign < 0)
    shifts = sign * insertion.shift
    controls = [sign * values[:, columns] for values in insertion.controls.values()]
    is_contrasted = not observed.one_logit and len(observed.classes) > 2
    parts = {"lift": shifts[:, targets]}
    if controls:
        parts["over controls"] = control_contrasts(shifts[:, targets], controls, rows)
    if is_contrasted:
        parts["over classes"] = class_contrasts(shifts, targets, rows)
        parts["over classes, split"] = split_class_contrasts(shifts, targets, rows, images.groups)
    bounds = {name: mean_intervals(values, rows, images.groups, rule.level) for name, values in parts.items()}
    deciding = [name for name in ("over controls", "over classes") if name in parts]
    adjusted: dict[str, list[float | None]] = {}
    if len(targets) > 1 and deciding:
        columns_of_all = np.concatenate([np.where(rows, parts[name], np.nan) for name in deciding], axis=1)
        together = simultaneous_bounds(columns_of_all, images.groups, 1 - alpha).lows[0]
        told = [None if np.isnan(low) else float(low) for low in together]
        adjusted = {name: told[at * len(targets) : (at + 1) * len(targets)] for at, name in enumerate(deciding)}
    else:
        adjusted = {name: _lows(mean_intervals(parts[name], rows, images.groups, 1 - alpha)) for name in deciding}
    found = []
    for at in range(len(targets)):
        over_controls = missing("every control equals the artefact; give innocent pictures as controls")
        over_classes = missing("fewer than three classes share the score, so there is none to contrast with")
        if controls:
            over_controls = _adjusted(bounds["over controls"][at], adjusted["over controls"][at])
        if is_contrasted:
            lead = _adjusted(bounds["over classes"][at], adjusted["over classes"][at])
            over_classes = _highest(lead, bounds["over classes, split"][at])
        theta = least(over_controls, over_classes) if controls else over_controls
        found.append(Leads(bounds["lift"][at], over_controls, over_classes, theta))
    return found


def strongest_by_chance(observed: Observations, targets: Ints) -> tuple[Array, Array]:
    """Theta of each class (targets,), and beside it the largest of any *other* class under each draw (draws, targets).

    Both are point values on the images that the draws of innocent content were tried on, formula and controls being
    the same. What innocent content does to the class itself is left to the controls: where a model has learnt
    something as coarse as a speckled patch, scrambled ink promotes the very class that the artefact does.
    """
    insertion = observed.insertion
    assert insertion is not None
    assert insertion.drawn is not None
    assert insertion.draws is not None
    part = insertion.rows(insertion.drawn)
    rows = ~part.images.has[:, targets]
    controls = [values[:, targets] for values in part.controls.values()]

    def thetas(shifts: Array) -> Array:
        leads = [control_contrasts(shifts[:, targets], controls, rows)] if controls else []
        if not observed.one_logit and len(observed.classes) > 2:
            leads.append(class_contrasts(shifts, targets, rows))
        return np.min([masked_means(lead, rows) for lead in leads], axis=0)

    innocent = np.array([thetas(shifts) for shifts in insertion.draws])
    innocent = np.where(np.isnan(innocent), -np.inf, innocent)  # a class that every drawn image has is moved by none
    first = innocent.argmax(axis=1)
    rows_of = np.arange(len(innocent))
    others = np.repeat(innocent.max(axis=1)[:, None], len(targets), axis=1)
    if len(targets) > 1:
        others[rows_of, first] = np.sort(innocent, axis=1)[:, -2]
    return thetas(part.shift), others


def measure_harms(observed: Observations, target: int, rule: Rule, theta: Measurement) -> dict[str, Measurement]:
    """What insertion does to probabilities, predictions and accuracy."""
    insertion = observed.insertion
    assert insertion is not None
    images, level = insertion.images, rule.level
    has, predicted = images.has[:, target], images.predicted[:, target]
    eligible, held = ~has & ~predicted, has & predicted
    change = insertion.probability_change[~has, observed.column(target)]
    found = {
        "probability_change": mean_interval(
            change, images.groups[~has], level, unit="probability", score="probability"
        ),
        "flip_rate": share_interval(insertion.predicted[eligible, target], images.groups[eligible], level),
        "suppression_flip_rate": share_interval(~insertion.predicted[held, target], images.groups[held], level),
    }
    spread = _spread(observed, target)
    if spread > 0 and theta.value is not None:
        found["theta_standardised"] = theta.mapped(lambda effect: effect / spread, "SD of the score")
    if not images.labelled.any():
        return found | {"accuracy_drop": missing("the data have no labels", unit="share")}
    for prefix, rows in (("", ~has & images.labelled), ("class_", has & images.labelled)):
        before = is_correct(images.predicted, images.has)[rows]
        after = is_correct(insertion.predicted, images.has)[rows]
        groups = images.groups[rows]
        found[f"{prefix}accuracy_without"] = share_interval(before, groups, level)
        found[f"{prefix}accuracy_with"] = share_interval(after, groups, level)
        found[f"{prefix}accuracy_drop"] = change_interval(before, after, groups, level)
    return found


def find_worst_group(observed: Observations, rule: Rule) -> tuple[str, Measurement] | None:
    """The class with the lowest accuracy, with or without the artefact, in words and with its interval.

    The bounds hold for all these groups at once (Bonferroni), for the lowest of many is low by chance too.

    References: Sagawa et al., "Distributionally robust neural networks" (2020).
    """
    insertion = observed.insertion
    if insertion is None or not insertion.images.labelled.any():
        return None
    images = insertion.images
    members = {
        number: images.has[:, number] & images.labelled
        for number in range(len(observed.classes))
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
            found.append((f"{observed.classes[number]} {words}", share))
    return min(found, key=lambda item: item[1].value if item[1].value is not None else 1.0)


def measure_drops(observed: Observations, target: int, level: float) -> dict[str, Measurement]:
    """The removal drop by each fill; empty where no image carries the artefact."""
    removals = observed.removals
    if removals is None:
        return {}
    groups, at = removals.images.groups, observed.column(target)
    found: dict[str, Measurement] = {}
    for name, fall in removals.fall.items():
        contrast = fall[:, at] - removals.placebo[name][:, at]
        drop = mean_interval(contrast, groups, level)
        if drop.value is None:
            drop = missing("the region fits nowhere else in the frame, so there is no placebo")
        found[name] = drop
    return found


def measure_removals(
    observed: Observations, target: int, rule: Rule, drops: dict[str, Measurement]
) -> dict[str, Measurement]:
    """The removal drop and what removal does to predictions; empty where no image carries the artefact.

    The drop is that of the exact removal where there is one; else the least over the fills, with an interval that spans
    all of theirs, so that they must agree.
    """
    removals = observed.removals
    if removals is None:
        return {}
    groups = removals.images.groups
    first = next(iter(removals.predicted.values()))
    was = removals.images.predicted[:, target]
    result = {"removal_drop": drops.get("exact") or spanning(list(drops.values()))}
    result["removal_flip_rate"] = share_interval(~first[was, target], groups[was], rule.level)
    labelled = removals.images.labelled
    if labelled.any():
        before = is_correct(removals.images.predicted, removals.images.has)[labelled]
        after = is_correct(first, removals.images.has)[labelled]
        result["carriers_accuracy_with"] = share_interval(before, groups[labelled], rule.level)
        result["carriers_accuracy_without"] = share_interval(after, groups[labelled], rule.level)
        result["carriers_accuracy_drop"] = change_interval(before, after, groups[labelled], rule.level)
    return result


def measure_checks(checks: Checks | None, target: int, rule: Rule) -> dict[str, Measurement]:
    """What scoring again does to any class, and what pasting an object of the target does to the target."""
    if checks is None:
        return {}
    kept = checks.pasted == target
    pasted = mean_interval(checks.rise[kept], checks.pasted_groups[kept], rule.level)
    if pasted.value is None:
        pasted = missing("no image shows the target and nothing else")
    no_op = median_interval(checks.no_op, checks.no_op_groups, rule.level, unit="log-odds")
    return {"no_op_change": no_op, "pasted_object": pasted}


def measure_accuracy(images: Population, rule: Rule) -> Measurement:
    """Share of the labelled images, as they came, that the model is right on; of exclusive classes only.

    Where classes are independent, a model that ranks images well may still predict too few of them.
    """
    if not (images.predicted.sum(axis=1) == 1).all():
        return missing("classes are independent", unit="share")
    labelled = images.labelled & images.has.any(axis=1)
    hits = (images.predicted[labelled] & images.has[labelled]).any(axis=1)
    return share_interval(np.asarray(hits), images.groups[labelled], rule.level)


def control_contrasts(shifts: Array, controls: list[Array], rows: Bools) -> Array:
    """Per image and target: its shift minus its shift by the median control (n, targets).

    The median is taken of the controls' means over the rows (n, targets) that count for each target.
    """
    stacked = np.stack(controls)
    order = np.argsort([masked_means(control, rows) for control in controls], axis=0, kind="stable")
    middle = order[(len(order) - 1) // 2 : len(order) // 2 + 1]
    return np.asarray(shifts - np.take_along_axis(stacked, middle[:, None, :], axis=0).mean(axis=0))


def class_contrasts(shifts: Array, targets: Ints, rows: Bools) -> Array:
    """Per image and target: the target's shift minus that of the class at the 90th percentile of the others.

    The percentile (nearest rank) is taken of the classes' mean shifts over the rows (n, targets) that count. The
    rival is thus chosen by the same images that it is compared on, which makes the contrast a little too small.
    """
    return np.asarray(shifts[:, targets] - shifts[:, _find_rivals(shifts, targets, rows)])


def split_class_contrasts(shifts: Array, targets: Ints, rows: Bools, groups: Groups) -> Array:
    """The class contrasts with rivals chosen on the other half of the groups, a little too large if anything."""
    _, inverse = np.unique(groups, return_inverse=True)
    first = inverse % 2 == 0
    if first.all():
        return class_contrasts(shifts, targets, rows)
    halves = [_find_rivals(shifts[half], targets, rows[half]) for half in (~first, first)]
    rivals = np.where(first[:, None], halves[0][None], halves[1][None])
    return np.asarray(shifts[:, targets] - np.take_along_axis(shifts, rivals, axis=1))


def masked_means(values: Array, rows: Bools) -> Array:
    """Means (columns,) of values (n, columns) over the rows that count; NaN where none does."""
    count = rows.sum(axis=0)
    total = np.where(rows, values, 0.0).sum(axis=0, dtype=np.float64)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def _spread(observed: Observations, target: int) -> float:
    """Standard deviation of a class's log-odds over the images as they came."""
    tried = observed.insertion or observed.removals
    if tried is None or not len(tried.images):
        return 0.0
    return float(tried.images.scores[:, target].std(dtype=np.float64))


def _find_rivals(shifts: Array, targets: Ints, rows: Bools) -> Ints:
    """For each target the class at the 90th percentile of the others' mean shifts, (targets,)."""
    others = shifts.shape[1] - 1
    rank = round(CLASS_QUANTILE * others) - 1

    def rivals(means: Array, of: Ints) -> Ints:
        order = np.argsort(means, kind="stable")
        places = np.argsort(order, kind="stable")[of]
        return np.where(places > rank, order[rank], order[rank + 1])

    found = rivals(shifts.mean(axis=0, dtype=np.float64), targets)
    for at in np.flatnonzero(~rows.all(axis=0) & rows.any(axis=0)):
        means = shifts[rows[:, at]].mean(axis=0, dtype=np.float64)
        found[at] = rivals(means, targets[at : at + 1])[0]
    return found


def _lows(intervals: list[Measurement]) -> list[float | None]:
    return [interval.low for interval in intervals]


def _adjusted(plain: Measurement, low: float | None) -> Measurement:
    """With the bound that `relies` is decided on, where it is not the plain one."""
    return plain if plain.low is None or plain.low == low else replace(plain, low_adjusted=low)


def _highest(first: Measurement, second: Measurement) -> Measurement:
    """The first measurement with the higher of both upper bounds."""

    def higher(one: float | None, other: float | None) -> float | None:
        return one if one is None or other is None else max(one, other)

    return replace(first, high=higher(first.high, second.high))
