"""From evidence to findings: what is measured for each artefact and class, judged, and told. Pure functions."""

from __future__ import annotations

import math
from dataclasses import replace
from weakref import WeakKeyDictionary

from auditor.measure.arrays import Array
from auditor.measure.intervals import mean_interval
from auditor.measure.measurement import Measurement, Note
from auditor.measure.words import listed, number, say, signed
from auditor.verdict.decisions import measure_carriers, measure_missed, measure_strata
from auditor.verdict.harms import find_worst_group, measure_harms
from auditor.verdict.measured import Measured, measure, measure_scan
from auditor.verdict.observations import ITSELF, Observations
from auditor.verdict.record import Direction, DosePoint, Finding, Rule, ScannedTarget, Verdict
from auditor.verdict.rule import Decision, conclude, judge_severity, write_reason


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
    known, asked = _known.setdefault(observed, {}), (target, rule, level)
    if asked not in known:
        if target is None:
            known[asked] = _scan(observed, rule, level)
        else:
            measured = measure(observed, target, rule, level)
            known[asked] = _find(observed, target, measured, conclude(measured, rule), rule)
    return known[asked]


_known: WeakKeyDictionary[Observations, dict[tuple[int | None, Rule, float], Finding]] = WeakKeyDictionary()
"""What was judged of observations for as long as these are there: whether all is clear is asked before the verdict."""


def _measure_varied(observed: Observations, target: int, rule: Rule) -> tuple[dict[str, Measurement], list[DosePoint]]:
    """What variants of the artefact do, and what it does by its opacity, to images without the class."""
    varied, at = observed.varied, observed.column(target)
    if varied is None:
        return {}, []
    lacks = ~varied.images.has[:, target]

    def mean(shift: Array) -> Measurement:
        return mean_interval(shift[lacks, at], varied.images.groups[lacks], rule.level)

    doses = [DosePoint(dose, mean(shift)) for dose, shift in varied.doses.items()]
    return {name: mean(shift) for name, shift in varied.variants.items()}, doses


def _find(observed: Observations, target: int, measured: Measured, decision: Decision, rule: Rule) -> Finding:
    """Everything that is known of one artefact and one class."""
    values, notes = dict(measured.values), list(observed.notes)
    variants: dict[str, Measurement] = {}
    doses: list[DosePoint] = []
    missed = None
    insertion = observed.insertion
    if insertion is not None:
        variants, doses = _measure_varied(observed, target, rule)
        if measured.controls:
            strongest = _strongest(measured.controls)
            lead = insertion.shift[:, target] - insertion.controls[strongest][:, target]
            lacks = ~insertion.images.has[:, target]
            values["lead_over_strongest_control"] = mean_interval(
                lead[lacks], insertion.images.groups[lacks], rule.level
            )
        values |= measure_harms(observed, target, rule, values["theta"])
        missed = measure_missed(insertion, target, values["theta"], measured.margin, rule)
        worst = find_worst_group(observed, rule)
        if worst is not None:
            hit, how, values["worst_group_accuracy"] = worst
            accuracy = values["worst_group_accuracy"].value or 0.0
            share = f"{'only ' if accuracy < 0.5 else ''}{number(accuracy, 'share')}"
            notes.append(Note("worst class", f"hardest hit is {hit}: {how}, {share} of its images are recognised"))
        notes += _untested(measured, rule) + _broader(measured, decision)
        notes += _unchecked(values, decision, rule, observed.classes[target]) + _moved_parts(measured)
    together = measured.together(decision.direction or "promotes")
    if together and decision.verdict == "relies":
        does = "promotes" if decision.direction == "promotes" else "suppresses"
        notes.append(Note("together", f"it {does} {listed(together, 5)} along with {measured.target}"))
    harms = [values.get(name) for name in _HARMS[decision.direction or "promotes"]]
    phi = {"promotes": "decisions_turned", "suppresses": "decisions_lost"}[decision.direction or "promotes"]
    return Finding(
        artefact=observed.artefact,
        target=observed.classes[target],
        verdict=decision.verdict,
        direction=decision.direction,
        severity=judge_severity(decision, measured, harms),
        basis=measured.basis,
        endpoint=None if decision.taken_on is None else measured.endpoints[decision.taken_on],
        reason=write_reason(decision, measured),
        measurements=values,
        controls=measured.controls,
        strength=observed.strengths.get(ITSELF),
        control_strengths={name: observed.strengths[name] for name in measured.controls if name in observed.strengths},
        variants=variants,
        dose_response=doses,
        drops=measured.drops,
        notes=notes,
        margin=measured.margin,
        together=list(together),
        decisions_turned=values.get(phi),
        strata=list(measured.strata),
        could_be_missed=missed,
        carriers=measure_carriers(observed, rule),
    )


def _scan(observed: Observations, rule: Rule, alpha: float) -> Finding:
    """Every class as target: bounds for `relies` hold for all of them at once, and chance must not reach as far."""
    judged = [(measured, conclude(measured, rule)) for measured in measure_scan(observed, rule, alpha)]
    judged.sort(key=lambda pair: _rank(*pair))
    scanned = [
        ScannedTarget(measured.target, d.verdict, d.direction, measured.effects[d.taken_on or "promotes"])
        for measured, d in judged
    ]
    measured, decision = judged[0]
    number = observed.classes.index(measured.target)
    if observed.insertion is not None:
        measured = replace(measured, strata=tuple(measure_strata(observed, observed.insertion, number, rule)))
    top = _find(observed, number, measured, decision, rule)
    return _summarise(top, scanned, [_untested(each, rule) != [] for each, _ in judged], decision)


def _rank(measured: Measured, decision: Decision) -> tuple[int, bool, float]:
    """Where a class stands among those scanned: by verdict, promotion first, the strongest first."""
    thetas = (effect.value for effect in measured.effects.values())
    strength = max((theta for theta in thetas if theta is not None), default=-math.inf)
    return _ORDER.index(decision.verdict), decision.direction == "suppresses", -strength


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


def _untested(measured: Measured, rule: Rule) -> list[Note]:
    few = {way: effect for way, effect in measured.effects.items() if effect.groups < rule.min_groups}
    reasons = {way: few[way].reason or f"only {few[way].groups} independent groups of images" for way in few}
    notes = [Note(UNTESTED, f"whether it {way} the target was not tested: {why}") for way, why in reasons.items()]
    if "theta_suppression_others" in measured.values and "suppresses" not in few:
        own = measured.values["theta_suppression"]
        why = own.reason or f"only {own.groups} independent groups of its own are free of the artefact"
        told = (
            "whether it suppresses the target was tested on images of other classes alone, and not how many of its own"
        )
        notes.append(Note(UNTESTED, f"{told} are lost: {why}"))
    return notes


def _unchecked(values: dict[str, Measurement], decision: Decision, rule: Rule, name: str) -> list[Note]:
    pasted = values.get("pasted_object")
    if decision.verdict != "no_evidence" or pasted is None or pasted.groups >= rule.min_groups:
        return []
    told = f"too few images show {name} alone to check, by pasting it into others, that the model sees {name} at all"
    return [Note("unchecked", told)]


def _broader(measured: Measured, decision: Decision) -> list[Note]:
    """A note where innocent edits do nearly what the artefact does: the shortcut may be simpler than the artefact."""
    lift, by_class, controls = (measured.values["insertion_lift"], measured.values["class_contrast"], measured.controls)
    if not controls or lift.value is None:
        return []
    name = _strongest(controls)
    moved = controls[name].value or 0.0
    if decision.verdict == "relies" and decision.direction == "promotes" and moved >= lift.value / 2:
        told = (
            f"the control {name!r} alone moves the score by {signed(moved)} of {signed(lift.value)} log-odds, so what "
            "the model has learnt is broader than this very artefact: such content there does as much or nearly so"
        )
        return [Note("broader", told)]
    if decision.verdict == "no_evidence" and all(lead.against(measured.margin) == "above" for lead in (lift, by_class)):
        told = (
            f"inserting it does move the score, by {signed(lift.value)} log-odds, more than that of other classes, but "
            f"innocent edits at the same place do as much ({name!r}: {signed(moved)}): the model may rely on something "
            "simpler there, such as a patch of that brightness; name it as an artefact of its own"
        )
        return [Note("simpler", told)]
    return []


def _moved_parts(measured: Measured) -> list[Note]:
    """A note on the parts of the images whose decisions the artefact clearly turns."""
    moved = sorted(
        (part for part in measured.strata if part.is_moved), key=lambda part: -(part.decisions_turned.value or 0.0)
    )
    if not moved:
        return []
    parts = [f"{say(part.decisions_turned, 'points')} where {part.name}" for part in moved]
    than = "than the median harmless edit does"
    return [Note("stratum", f"it clearly turns more decisions to {measured.target} {than}: {listed(parts, 5)}")]


def _strongest(controls: dict[str, Measurement]) -> str:
    return max(controls, key=lambda name: controls[name].value or 0.0)


UNTESTED = "untested"
"""The kind of a note on a direction that was not tested."""

_ORDER: tuple[Verdict, ...] = ("relies", "inconclusive", "no_evidence", "not_applicable", "error")

_HARMS: dict[Direction, tuple[str, ...]] = {
    "promotes": ("flip_rate", "accuracy_drop", "removal_flip_rate", "carriers_accuracy_drop"),
    "suppresses": ("suppression_flip_rate", "class_accuracy_drop"),
}
