"""What an artefact does to predictions and accuracy, what taking it out does, and how the run's own checks went.

Pure functions of arrays; the first axis is always the image. Formulas are in `docs/method.md`.
"""

from __future__ import annotations

import numpy as np

from auditor.measure.arrays import Array, Bools
from auditor.measure.intervals import (
    change_interval,
    least,
    mean_interval,
    median_interval,
    missing,
    share_interval,
    spanning,
)
from auditor.measure.measurement import Measurement
from auditor.subject.population import Population, is_correct
from auditor.verdict.effects import spread_of
from auditor.verdict.observations import Checks, Observations, Removals
from auditor.verdict.record import Rule


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
    spread = spread_of(observed, target)
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


def find_worst_group(observed: Observations, rule: Rule) -> tuple[str, str, Measurement] | None:
    """The class with the lowest accuracy, whether that is with or without the artefact, and that accuracy.

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
            found.append((observed.classes[number], words, share))
    return min(found, key=lambda item: item[2].value if item[2].value is not None else 1.0)


def measure_drops(observed: Observations, target: int, level: float) -> dict[str, Measurement]:
    """The removal drop by each way; empty where no image carries the artefact.

    It is the lesser of the fall itself and its lead over the same edit elsewhere.
    """
    removals = observed.removals
    if removals is None:
        return {}
    return {way: _drop(*_falls(removals, way, observed.column(target), level, 1)) for way in removals.fall}


def measure_removals(
    observed: Observations, target: int, rule: Rule, drops: dict[str, Measurement]
) -> dict[str, Measurement]:
    """The removal drop and what removal does to predictions; empty where no image carries the artefact.

    The drop is that of the exact removal where there is one; else the least over the fills, with an interval that spans
    all of theirs, so that they must agree. `removal_rise` is its mirror image: the lesser of the rise and its lead over
    the same edit elsewhere. What removal does to predictions is told of the images where that could be done.
    """
    removals = observed.removals
    if removals is None:
        return {}
    groups, images = removals.images.groups, removals.images
    way = next((name for name, drop in drops.items() if drop.value is not None), next(iter(drops)))
    done, after = np.isfinite(removals.fall[way][:, observed.column(target)]), removals.predicted[way]
    was = images.predicted[:, target] & done
    ways = ["exact"] if way == "exact" else [name for name in drops if name != "exact"]
    at = observed.column(target)
    down, up = ([_falls(removals, name, at, rule.level, sign) for name in ways] for sign in (1, -1))
    undone = [_undone(removals, name, target, at, rule.level) for name in ways]
    result = {
        "removal_drop": spanning([drops[name] for name in ways]),
        "removal_fall": spanning([fall for fall, _ in down]),
        "removal_contrast": spanning([contrast for _, contrast in down]),
        "removal_rise": spanning([_drop(*each) for each in up]),
        "decisions_undone": spanning([beyond for _, beyond in undone]),
        "decisions_undone_raw": spanning([raw for raw, _ in undone]),
    }
    result["removal_flip_rate"] = share_interval(~after[was, target], groups[was], rule.level)
    labelled = images.labelled & done
    if labelled.any():
        right, still = (is_correct(each, images.has)[labelled] for each in (images.predicted, after))
        result["carriers_accuracy_with"] = share_interval(right, groups[labelled], rule.level)
        result["carriers_accuracy_without"] = share_interval(still, groups[labelled], rule.level)
        result["carriers_accuracy_drop"] = change_interval(right, still, groups[labelled], rule.level)
    return result


def _falls(removals: Removals, way: str, at: int, level: float, sign: int) -> tuple[Measurement, Measurement]:
    """By how much scores fall (rise, where the sign is -1) by removal in one way, and how much more than elsewhere."""
    groups, fall = removals.images.groups, sign * removals.fall[way][:, at]
    contrast = mean_interval(fall - sign * removals.placebo[way][:, at], groups, level)
    if contrast.value is None:
        contrast = missing("the region fits nowhere else in the frame, so there is no placebo")
    return mean_interval(fall, groups, level), contrast


def _drop(fall: Measurement, contrast: Measurement) -> Measurement:
    return contrast if contrast.value is None else least(contrast, fall)


def _undone(removals: Removals, way: str, target: int, at: int, level: float) -> tuple[Measurement, Measurement]:
    """Share of images that cease to be the target by removal, less those that begin to; and beyond that elsewhere."""
    groups, now = removals.images.groups, removals.predicted[way][:, target]

    def ceased(before: Bools, rows: Bools) -> Measurement:
        return change_interval(before[rows], now[rows], groups[rows], level)

    raw = ceased(removals.images.predicted[:, target], np.isfinite(removals.fall[way][:, at]))
    if way not in removals.predicted_elsewhere:
        return raw, raw
    return raw, ceased(removals.predicted_elsewhere[way][:, target], np.isfinite(removals.placebo[way][:, at]))


def measure_jointly(observed: Observations, target: int, rule: Rule) -> dict[str, Measurement]:
    """Where images carry two artefacts: the drop by taking out both, and what that does beyond each alone.

    The interaction is drop(both) - drop(this) - drop(the other), image by image, less the same of the same edits made
    elsewhere in the image: above 0 where either suffices, below 0 where both are needed. The drop is the lesser of the
    fall itself and its lead over that elsewhere. Where the two fit nowhere else in enough images, both are without
    that placebo.
    """
    removals = observed.removals
    found: dict[str, Measurement] = {}
    if removals is None:
        return found
    at, groups = observed.column(target), removals.images.groups
    for name, jointly in removals.jointly.items():
        both, interaction = jointly.both[:, at], jointly.interaction[:, at]
        drop, beyond = (mean_interval(values, groups, rule.level) for values in (both, interaction))
        elsewhere = jointly.elsewhere
        if elsewhere and len(np.unique(groups[np.isfinite(elsewhere.both[:, at])])) >= rule.min_groups:
            both_there, there = elsewhere.both[:, at], elsewhere.interaction[:, at]
            drop = _drop(drop, mean_interval(both - both_there, groups, rule.level))
            beyond = mean_interval(interaction - there, groups, rule.level)
            found[f"{INTERACTION_ELSEWHERE} {name}"] = mean_interval(there, groups, rule.level)
        found |= {f"{JOINT_DROP} {name}": drop, f"{INTERACTION} {name}": beyond}
    return found


JOINT_DROP, INTERACTION = "removal drop together with", "interaction with"
INTERACTION_ELSEWHERE = "interaction elsewhere with"
"""What begins the names of measurements on two artefacts."""


def measure_no_op(checks: Checks | None, rule: Rule) -> dict[str, Measurement]:
    """What scoring again does to any class."""
    if checks is None:
        return {}
    no_op = median_interval(checks.no_op, checks.no_op_groups, rule.level, unit="log-odds")
    return {"no_op_change": no_op}


def measure_pasted(checks: Checks | None, target: int, rule: Rule) -> dict[str, Measurement]:
    """What pasting an object of the target does to the target."""
    if checks is None:
        return {}
    kept = checks.pasted == target
    pasted = mean_interval(checks.rise[kept], checks.pasted_groups[kept], rule.level)
    if pasted.value is None:
        pasted = missing("no image shows the target and nothing else")
    return {"pasted_object": pasted}


def measure_accuracy(images: Population, rule: Rule) -> Measurement:
    """Share of the labelled images, as they came, whose class of the highest score is one of theirs.

    Of classes that exclude each other that is accuracy; where they are independent, a model that ranks them well may
    still predict too few, or too many.
    """
    hits = hits_by_image(images)
    known = ~np.isnan(hits)
    return share_interval(hits[known] > 0, images.groups[known], rule.level)


def hits_by_image(images: Population) -> Array:
    """Whether the class of each image's highest score is one of its own, (n,); NaN of images without a label."""
    first = images.scores.argmax(axis=1)
    hits = np.take_along_axis(images.has, first[:, None], axis=1)[:, 0]
    return np.where(images.labelled & images.has.any(axis=1), hits, np.nan)
