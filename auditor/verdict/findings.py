"""From evidence to findings: what is measured for each artefact and class, judged, and told. Pure functions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from auditor.measure.arrays import Array
from auditor.measure.intervals import mean_interval, missing
from auditor.measure.measurement import Measurement, Note
from auditor.measure.words import listed, say, signed
from auditor.verdict.effects import (
    NAMES,
    confirm_leads,
    find_worst_group,
    margin_of,
    measure_checks,
    measure_drops,
    measure_effects,
    measure_harms,
    measure_leads,
    measure_removals,
    strongest_by_chance,
)
from auditor.verdict.observations import Observations
from auditor.verdict.record import Direction, DosePoint, Finding, Rule, ScannedTarget, Verdict
from auditor.verdict.rule import Decision, Measured, conclude, judge_severity, write_reason


def judge_all(tried: list[tuple[Observations, int | None]], rule: Rule) -> list[Finding]:
    """The verdicts on all artefacts of an audit, each for a named target class, or (None) over all classes.

    `relies` holds for all artefacts together by Holm's procedure; a scan keeps its share of alpha even when one of its
    classes is relied on, for its other classes were tested with it.

    References: Holm, "A simple sequentially rejective multiple test procedure" (1979).
    """
    findings: dict[int, Finding] = {}
    waiting = list(range(len(tried)))
    while waiting:
        kept = sum(tried[number][1] is None for number in range(len(tried)) if number not in waiting)
        alpha = rule.alpha / (len(waiting) + kept)
        judged = {number: judge(*tried[number], rule, alpha) for number in waiting}
        findings |= judged
        waiting = [number for number in waiting if judged[number].verdict != "relies"]
        if len(waiting) == len(judged):
            break
    return [findings[number] for number in range(len(tried))]


def judge(observed: Observations, target: int | None, rule: Rule, alpha: float | None = None) -> Finding:
    """The verdict on one artefact: for a named target class, or over all classes.

    Parameters
    ----------
    alpha
        Level that `relies` is decided at; that of the rule unless several artefacts are tried.
    """
    level = rule.alpha if alpha is None else alpha
    if target is None:
        return _scan(observed, rule, level)
    rule = replace(rule, margin=margin_of(observed, target, rule))
    measured = _measure(observed, target, rule, level)
    return _find(observed, target, measured, conclude(observed, target, measured, rule), rule)


def _measure(observed: Observations, target: int, rule: Rule, alpha: float) -> Measured:
    """All that the verdict on one class is taken on; `alpha` is that of the adjusted bounds."""
    values = measure_effects(observed, target, rule, alpha)
    drops = measure_drops(observed, target, 1 - (rule.alpha if values else alpha))
    removals = measure_removals(observed, target, rule, drops)
    checked = measure_checks(observed.checks, target, rule)
    if values:
        endpoints: dict[Direction, str] = {"promotes": "theta", "suppresses": "theta_suppression"}
        return Measured("insertion", endpoints, values | removals | checked, drops)
    if removals:
        return Measured("removal", {"promotes": "removal_drop"}, removals | checked, drops)
    return Measured(None, {}, checked, {})


def _find(observed: Observations, target: int, measured: Measured, decision: Decision, rule: Rule) -> Finding:
    """Everything that is known of one artefact and one class."""
    values, notes = dict(measured.values), list(observed.notes)
    controls: dict[str, Measurement] = {}
    variants: dict[str, Measurement] = {}
    doses: list[DosePoint] = []
    insertion, at = observed.insertion, observed.column(target)
    if insertion is not None:
        lacks = ~insertion.images.has[:, target]
        groups = insertion.images.groups[lacks]

        def mean(shift: Array) -> Measurement:
            return mean_interval(shift[lacks], groups, rule.level)

        controls = {name: mean(shift[:, at]) for name, shift in insertion.controls.items()}
        variants = {name: mean(shift[:, at]) for name, shift in insertion.variants.items()}
        doses = [DosePoint(dose, mean(shift[:, at])) for dose, shift in insertion.doses.items()]
        if controls:
            strongest = _strongest(controls)
            lead = insertion.shift[:, target] - insertion.controls[strongest][:, at]
            values["lead_over_strongest_control"] = mean(lead)
        values |= measure_harms(observed, target, rule, values["theta"])
        worst = find_worst_group(observed, rule)
        if worst is not None:
            values["worst_group_accuracy"] = worst[1]
            told = f"the class recognised worst is {worst[0]}: {worst[1].value or 0:.0%} of its images"
            notes.append(Note("worst class", told))
        notes += _untested(measured.effects, rule) + _explained_by_controls(values, controls, decision, rule)
        notes += _unchecked(values, decision, rule, observed.classes[target])
    harms = [values.get(name) for name in _HARMS[decision.direction or "promotes"]]
    return Finding(
        artefact=observed.artefact,
        target=observed.classes[target],
        verdict=decision.verdict,
        direction=decision.direction,
        severity=judge_severity(decision.verdict, harms),
        basis=measured.basis,
        endpoint=None if decision.taken_on is None else measured.endpoints[decision.taken_on],
        reason=write_reason(observed, target, decision, measured.basis),
        measurements=values,
        controls=controls,
        variants=variants,
        dose_response=doses,
        drops=measured.drops,
        notes=notes,
        margin=rule.margin,
    )


def _scan(observed: Observations, rule: Rule, alpha: float) -> Finding:
    """Every class as target: bounds for `relies` hold for all of them at once, and chance must not reach as far."""
    numbers = [1] if observed.one_logit else list(range(len(observed.classes)))
    innocent = _compare_with_chance(observed, numbers, rule)
    judged: list[tuple[float, int, Measured, Decision]] = []
    for number, measured in zip(numbers, _measure_each(observed, numbers, rule, alpha), strict=True):
        thetas = (effect.value for effect in measured.effects.values())
        strength = max((theta for theta in thetas if theta is not None), default=-math.inf)
        decision = conclude(observed, number, measured, replace(rule, margin=margin_of(observed, number, rule)))
        if innocent is not None and decision.direction == "promotes" and innocent.chance[number] > alpha / 2:
            why = f"{decision.why}, but random innocent content there moves another class as far: {innocent.words}"
            decision = Decision("inconclusive", None, why, "promotes")
        judged.append((strength, number, measured, decision))
    judged.sort(key=lambda item: (_ORDER.index(item[3].verdict), item[3].direction == "suppresses", -item[0]))
    scanned = [
        ScannedTarget(observed.classes[number], d.verdict, d.direction, measured.effects[d.taken_on or "promotes"])
        for _, number, measured, d in judged
    ]
    _, number, measured, decision = judged[0]
    complete = _measure(observed, number, rule, alpha)
    values = complete.values | measured.values
    if innocent is not None:
        values["strongest_by_chance"] = innocent.strongest
    rule = replace(rule, margin=margin_of(observed, number, rule))
    top = _find(observed, number, complete._replace(values=values, drops=measured.drops), decision, rule)
    return _summarise(top, scanned, [_untested(m.effects, rule) != [] for _, _, m, _ in judged], decision)


def _summarise(top: Finding, scanned: list[ScannedTarget], partly: list[bool], decision: Decision) -> Finding:
    """The finding on the foremost class of a scan, saying what became of the others."""
    count = len(scanned)
    notes = [note for note in top.notes if note.kind != UNTESTED]
    untested = [entry.target for entry, is_partly in zip(scanned, partly, strict=True) if is_partly]
    if untested:
        told = f"not every direction could be tested for {listed(untested, 5)}"
        notes.append(Note(UNTESTED, f"{told}: too few groups of such images are free of it"))
    reason = top.reason
    if top.verdict == "relies":
        ways = {way: [e.target for e in scanned if e.direction == way] for way in ("promotes", "suppresses")}
        said = "; ".join(f"it {way} {listed(names, 5)}" for way, names in ways.items() if names)
        if ways["promotes"] and ways["suppresses"]:
            told = "a class may be suppressed merely because another is promoted in its place"
            notes.append(Note("both directions", told))
        reason = f"{top.reason} Of {count} {'classes' if count > 1 else 'class'} scanned {said}."
    elif top.verdict == "no_evidence":
        reason = (
            f"For none of {count} classes is there evidence of reliance on {top.artefact}. The strongest is "
            f"{top.target}: {decision.why}."
        )
    elif top.verdict == "inconclusive":
        still_open = [entry.target for entry in scanned if entry.verdict == "inconclusive"]
        reason = f"Not settled for {listed(still_open, 5)}, of {count} classes scanned. {top.reason}"
    return replace(top, reason=reason, scanned=scanned, notes=notes)


class _Innocent(NamedTuple):
    """What random innocent content does to the strongest of all classes."""

    chance: dict[int, float]
    """Class -> share of the draws (and the artefact itself) whose strongest class moves as far."""
    strongest: Measurement
    words: str


def _compare_with_chance(observed: Observations, numbers: list[int], rule: Rule) -> _Innocent | None:
    insertion = observed.insertion
    if insertion is None or insertion.draws is None or insertion.drawn is None or not insertion.controls:
        return None
    own, innocent = strongest_by_chance(observed, np.array(numbers))
    if len(numbers) < 2 or not np.isfinite(innocent.max(axis=1)).all():
        return None
    count = len(innocent)
    chance = (1 + (~(innocent < own)).sum(axis=0)) / (1 + count)
    low, middle, high = np.quantile(
        innocent.max(axis=1), [rule.alpha / 2, 0.5, 1 - rule.alpha / 2], method="inverted_cdf"
    )
    groups = len(np.unique(insertion.images.groups[insertion.drawn]))
    strongest = Measurement(
        float(middle), float(low), float(high), rule.level, len(insertion.drawn), groups, "log-odds", "log-odds"
    )
    words = f"theta {say(strongest, 'brief')} over {count} draws"
    return _Innocent(dict(zip(numbers, chance.tolist(), strict=True)), strongest, words)


def _measure_each(observed: Observations, numbers: list[int], rule: Rule, alpha: float) -> list[Measured]:
    """What the verdict on every class of a scan is taken on, the adjusted bounds holding for all classes at once.

    Promotion has simultaneous bounds; suppression, on the few images of each class, has Bonferroni's.
    """
    insertion = observed.insertion
    if insertion is None:
        return [_measure(observed, number, rule, alpha / len(numbers)) for number in numbers]
    has = insertion.images.has[:, numbers]
    tested = {
        number
        for at, number in enumerate(numbers)
        if len(np.unique(insertion.images.groups[has[:, at]])) >= rule.min_groups
    }
    promoted = np.array([number for at, number in enumerate(numbers) if not has[:, at].all()], dtype=np.int64)
    leads = dict(zip(promoted.tolist(), measure_leads(observed, insertion, promoted, 1, rule, alpha), strict=True))
    endpoints: dict[Direction, str] = {"promotes": "theta", "suppresses": "theta_suppression"}
    found = []
    for at, number in enumerate(numbers):
        drops = measure_drops(observed, number, rule.level)
        values = measure_checks(observed.checks, number, rule) | measure_removals(observed, number, rule, drops)
        reason = f"no image without the class {observed.classes[number]} is free of the artefact"
        values |= dict.fromkeys(NAMES[1], missing(reason))
        share = alpha / max(len(tested), 1)
        if number in leads:
            values |= confirm_leads(observed, insertion, number, 1, leads[number], rule, share)
        count = int(has[:, at].sum())
        reason = f"{count} images of the class {observed.classes[number]} are free of the artefact"
        values |= dict.fromkeys(NAMES[-1], missing(reason))
        if number in tested:
            rows = insertion.rows(np.flatnonzero(has[:, at]))
            (falls,) = measure_leads(observed, rows, np.array([number]), -1, rule, share)
            values |= confirm_leads(observed, insertion, number, -1, falls, rule, share)
        found.append(Measured("insertion", endpoints, values, drops))
    return found


def _untested(effects: dict[Direction, Measurement], rule: Rule) -> list[Note]:
    few = {way: effect for way, effect in effects.items() if effect.groups < rule.min_groups}
    reasons = {way: few[way].reason or f"only {few[way].groups} independent groups of images" for way in few}
    return [Note(UNTESTED, f"whether it {way} the target was not tested: {why}") for way, why in reasons.items()]


def _unchecked(values: dict[str, Measurement], decision: Decision, rule: Rule, name: str) -> list[Note]:
    pasted = values.get("pasted_object")
    if decision.verdict != "no_evidence" or pasted is None or pasted.groups >= rule.min_groups:
        return []
    told = f"too few images show {name} alone to check, by pasting it into others, that the model sees {name} at all"
    return [Note("unchecked", told)]


def _explained_by_controls(
    values: dict[str, Measurement], controls: dict[str, Measurement], decision: Decision, rule: Rule
) -> list[Note]:
    """A note where innocent edits do nearly what the artefact does: the shortcut may be simpler than the artefact."""
    lift, by_class = values["insertion_lift"], values["class_contrast"]
    if not controls or lift.value is None or lift.low is None:
        return []
    name = _strongest(controls)
    moved = controls[name].value or 0.0
    if decision.verdict == "relies" and decision.direction == "promotes" and moved >= lift.value / 2:
        told = (
            f"the control {name!r} alone moves the score by {signed(moved)} of {signed(lift.value)} log-odds, so what "
            "the model has learnt is broader than this very artefact: such content there does as much or nearly so"
        )
        return [Note("broader", told)]
    is_moved = all(effect.against(rule.margin) == "above" for effect in (lift, by_class))
    if decision.verdict == "no_evidence" and is_moved:
        told = (
            f"inserting it does move the score, by {signed(lift.value)} log-odds, more than that of other classes, but "
            f"innocent edits at the same place do as much ({name!r}: {signed(moved)}): the model may rely on something "
            "simpler there, such as a patch of that brightness; name it as an artefact of its own"
        )
        return [Note("simpler", told)]
    return []


def _strongest(controls: dict[str, Measurement]) -> str:
    return max(controls, key=lambda name: controls[name].value or 0.0)


UNTESTED = "untested"
"""The kind of a note on a direction that was not tested."""

_ORDER: tuple[Verdict, ...] = ("relies", "inconclusive", "no_evidence", "not_applicable", "error")

_HARMS: dict[Direction, tuple[str, ...]] = {
    "promotes": ("flip_rate", "accuracy_drop", "removal_flip_rate", "carriers_accuracy_drop"),
    "suppresses": ("suppression_flip_rate", "class_accuracy_drop"),
}
