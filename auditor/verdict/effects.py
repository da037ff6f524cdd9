"""What inserting an artefact does to the scores of classes: leads and theta, each with its interval.

Pure functions of arrays; the first axis is always the image. Formulas are in `docs/method.md`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from auditor.measure.arrays import Array, Bools, Ints
from auditor.measure.intervals import least, mean_bounds, mean_intervals, missing, simultaneous_bounds
from auditor.measure.measurement import Measurement
from auditor.verdict.contrasts import class_contrasts, control_contrasts, split_class_contrasts
from auditor.verdict.observations import Insertion, Observations
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

ON_OTHERS = (
    "suppression_others",
    "suppression_others_control_contrast",
    "suppression_others_class_contrast",
    "theta_suppression_others",
)
"""The `Leads` of suppression on images of other classes: what stands in where too few of its own are free of it."""


def spread_of(observed: Observations, target: int) -> float:
    """Standard deviation of a class's log-odds over all images as they came, carriers among them."""
    images = observed.everything
    if images is None or not len(images):
        return 0.0
    return float(images.scores[:, target].std(dtype=np.float64))


def margin_of(observed: Observations, target: int, rule: Rule) -> float:
    """The margin for one class, in log-odds: the rule's share of the score's spread, over the rule's floor.

    Models differ in temperature: where the score of a class spans fifty log-odds, a half is nothing, and where it spans
    one, a half is everything.
    """
    return max(rule.margin, rule.margin_sd * spread_of(observed, target))


class Leads(NamedTuple):
    """What is measured of one class in one direction."""

    lift: Measurement
    over_controls: Measurement
    over_classes: Measurement
    theta: Measurement


def measure_effects(observed: Observations, insertion: Insertion, target: int, rule: Rule, alpha: float) -> Effects:
    """The primary endpoint and its parts for one class, in both directions.

    Parameters
    ----------
    alpha
        Level of the adjusted bounds, which `relies` is decided on.
    """
    together = find_sets(observed, insertion, np.array([target]), rule)
    has = insertion.images.has[:, target]
    found: dict[str, Measurement] = {}
    for rows, sign in ((~has, 1), (has, -1)):
        if rows.any():
            part = insertion.rows(rows)
            (leads,) = measure_leads(observed, part, np.array([target]), sign, rule, alpha, together[sign])
            found |= dict(zip(NAMES[sign], (*leads, confirm(insertion, target, sign, rule, alpha)), strict=True))
        else:
            without = "without" if sign > 0 else "of"
            reason = f"no image {without} the class {observed.classes[target]} is free of the artefact"
            found |= dict.fromkeys(NAMES[sign], missing(reason))
    if (~has).any() and found["theta_suppression"].groups < rule.min_groups:
        part, own = insertion.rows(~has), together[-1]
        (leads,) = measure_leads(observed, part, np.array([target]), -1, rule, alpha, own, on_others=True)
        found |= dict(zip(ON_OTHERS, leads, strict=True))
    return Effects(found, {sign: together[sign][0] for sign in (1, -1)})


class Effects(NamedTuple):
    """What insertion does to one class."""

    values: dict[str, Measurement]
    together: dict[int, Bools]
    """Direction -> (classes,): others that move along with the class."""


def leads_by_image(observed: Observations, insertion: Insertion, target: int, rule: Rule) -> dict[str, Array]:
    """Each image's part in the lift and the leads of one class: name of the measurement -> (n,), NaN of other images.

    The mean of the parts is the measurement, in either direction.
    """
    at = np.array([target])
    together = find_sets(observed, insertion, at, rule)
    found: dict[str, Array] = {}
    for sign, is_own, names in ((1, False, NAMES[1]), (-1, True, NAMES[-1]), (-1, False, ON_OTHERS)):
        rows, shift = insertion.images.has[:, at] == is_own, sign * insertion.shift
        parts = [shift[:, at]]
        controls = [sign * values[:, at] for values in insertion.controls.values()]
        nothing = np.full((len(rows), 1), np.nan)
        parts.append(control_contrasts(shift[:, at], controls, rows) if controls and rows.any() else nothing)
        parts.append(class_contrasts(shift, at, rows, together[sign]) if _has_rivals(observed) else nothing)
        found |= {name: np.where(rows, part, np.nan)[:, 0] for name, part in zip(names[:3], parts, strict=True)}
    return found


def confirm(insertion: Insertion, target: int, sign: int, rule: Rule, alpha: float) -> Measurement:
    """The lead over controls on the other side: the class's own images for promotion, those of others for suppression.

    Evidence for a class raises it on every image, its own included; evidence against it lowers it on every image. What
    an artefact does by hiding what it covers, it does on some images only: a hole in a coat makes a pullover, but no
    pullover more of one.
    """
    other_side = insertion.images.has[:, target] == (sign > 0)
    if not insertion.controls or len(np.unique(insertion.images.groups[other_side])) < rule.min_groups:
        return missing("too few images on the other side to confirm it on")
    part = insertion.rows(other_side)
    rows = np.ones((len(part.images), 1), bool)
    controls = [sign * values[:, [target]] for values in part.controls.values()]
    contrast = control_contrasts(sign * part.shift[:, [target]], controls, rows)
    (plain,) = mean_intervals(contrast, rows, part.images.groups, rule.level)
    (wide,) = mean_intervals(contrast, rows, part.images.groups, 1 - alpha)
    return _adjusted(plain, wide.low)


def find_sets(observed: Observations, insertion: Insertion, targets: Ints, rule: Rule) -> dict[int, Bools]:
    """Classes that the artefact moves along with each target: direction -> (targets, classes).

    A ruler may stand for both kinds of cancer. A class is in the set where its lift and its lead over controls, on
    images of others, clearly exceed its margin, and whose lead over controls on its own images clearly exceeds 0 while
    these are not moved the other way; the lead of the target is then taken over the classes outside the set.
    """
    count = len(observed.classes)
    none = np.zeros((len(targets), count), bool)
    if not _has_rivals(observed) or not insertion.controls:
        return {1: none, -1: none}
    has, groups = insertion.images.has, insertion.images.groups
    margins = np.array([margin_of(observed, number, rule) for number in range(count)])
    sets = {}
    for sign in (1, -1):
        shift, controls = sign * insertion.shift, [sign * values for values in insertion.controls.values()]
        joined = np.ones(count, bool)
        first, other = (~has, has) if sign > 0 else (has, ~has)
        for rows, by_itself, over_controls in ((first, margins, margins), (other, -margins, 0.0)):
            for values, bar in ((shift, by_itself), (control_contrasts(shift, controls, rows), over_controls)):
                bounds = mean_bounds(np.where(rows, values, np.nan), groups, (rule.level,))
                joined &= (bounds.groups >= rule.min_groups) & (bounds.lows[0] > bar)
        sets[sign] = np.repeat(joined[None], len(targets), axis=0)
        sets[sign][np.arange(len(targets)), targets] = False
    return sets


def measure_leads(
    observed: Observations,
    insertion: Insertion,
    targets: Ints,
    sign: int,
    rule: Rule,
    alpha: float | None,
    together: Bools | None = None,
    on_others: bool = False,
) -> list[Leads]:
    """Lift, leads and theta of several classes at once, each on the images without it (with it, where sign is -1).

    Theta is the least of the lift itself, its lead over the median control, and its lead over the other classes: an
    artefact promotes a class where it raises it, not where it lowers it less than controls do. With several classes the
    adjusted bounds of each lead hold for all of them together.

    Parameters
    ----------
    alpha
        Level of the adjusted bounds; None leaves them out.
    together
        (targets, classes): those that are no rivals of a target, see `find_sets`.
    on_others
        Take the images without the class, whatever the sign.
    """
    if not len(targets):
        return []
    images = insertion.images
    rows = images.has[:, targets] == (sign < 0 and not on_others)
    shifts = sign * insertion.shift
    parts = {"lift": shifts[:, targets]}
    if insertion.controls:
        controls = [sign * values[:, targets] for values in insertion.controls.values()]
        parts["over controls"] = control_contrasts(shifts[:, targets], controls, rows)
    split = None
    if _has_rivals(observed):
        parts["over classes"] = class_contrasts(shifts, targets, rows, together)
        contrast = split_class_contrasts(shifts, targets, rows, images.groups, together)
        split = mean_intervals(contrast, rows, images.groups, rule.level)
    bounds = {name: _with_adjusted(values, rows, insertion, rule, alpha) for name, values in parts.items()}
    found = []
    for at in range(len(targets)):
        over_controls = missing("every control equals the artefact; give innocent pictures as controls")
        over_classes = missing("fewer than three classes share the score, so there is none to contrast with")
        if insertion.controls:
            over_controls = bounds["over controls"][at]
        if split is not None:
            over_classes = _highest(bounds["over classes"][at], split[at])
            if over_classes.value is None:
                over_classes = missing("it moves all classes together, so there is none to contrast with")
        theta = over_controls
        if over_controls.value is not None:
            theta = least(least(bounds["lift"][at], over_controls), over_classes)
        found.append(Leads(bounds["lift"][at], over_controls, over_classes, theta))
    return found


def _with_adjusted(
    values: Array, rows: Bools, insertion: Insertion, rule: Rule, alpha: float | None
) -> list[Measurement]:
    """Means of columns (n, targets) with plain intervals and, where they differ, the bounds for all columns at once."""
    groups = insertion.images.groups
    plain = mean_intervals(values, rows, groups, rule.level)
    if alpha is None or (values.shape[1] == 1 and alpha == rule.alpha):
        return plain
    if values.shape[1] > 1:
        lows = simultaneous_bounds(np.where(rows, values, np.nan), groups, 1 - alpha).lows[0]
        told = [None if np.isnan(low) else float(low) for low in lows]
    else:
        told = [wide.low for wide in mean_intervals(values, rows, groups, 1 - alpha)]
    return [_adjusted(part, low) for part, low in zip(plain, told, strict=True)]


def _has_rivals(observed: Observations) -> bool:
    return not observed.one_logit and len(observed.classes) > 2


def _adjusted(plain: Measurement, low: float | None) -> Measurement:
    """With the bound that `relies` is decided on, where it is not the plain one."""
    return plain if plain.low is None or plain.low == low else replace(plain, low_adjusted=low)


def _highest(first: Measurement, second: Measurement) -> Measurement:
    """The first measurement with the higher of both upper bounds."""

    def higher(one: float | None, other: float | None) -> float | None:
        return one if one is None or other is None else max(one, other)

    return replace(first, high=higher(first.high, second.high))
