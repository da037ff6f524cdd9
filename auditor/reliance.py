"""From measured shifts of the score to a verdict: pure functions of arrays.

The rule and its formulas are in `docs/method.md`. In short: the effect theta of an artefact on a class is the least
of its lead over innocent controls and its lead over the other classes, in log-odds; the verdict compares the
confidence interval of theta with a margin. The unit of resampling is the group of images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from auditor.intervals import least, mean_interval, missing, share_interval
from auditor.records import Direction, DosePoint, Finding, Measurement, Rule, ScannedTarget, Severity, Verdict

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.generic]

CLASS_QUANTILE = 0.9
"""The class contrast compares with this quantile (nearest rank up) of the other classes' shifts."""

SEVERITY_THRESHOLDS: tuple[tuple[Severity, float], ...] = (("high", 0.25), ("medium", 0.05))
"""The least flip rate or accuracy drop of a severity; below the last it is low."""


@dataclass(frozen=True)
class Population:
    """The images that one kind of intervention was tried on; the first axis is always the image."""

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
    """Shifts of the log-odds (n, classes) by edits of images that do not carry the artefact."""

    images: Population
    shift: Array
    predicted: Bools
    """(n, classes): predicted classes with the artefact."""
    probability_change: Array
    """(n, classes)."""
    controls: dict[str, Array] = field(default_factory=dict)
    variants: dict[str, Array] = field(default_factory=dict)
    doses: dict[float, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Removals:
    """Falls of the log-odds (n, classes) when carriers lose the artefact, and when the same is done elsewhere."""

    images: Population
    fall: dict[str, Array]
    """Fill -> (n, classes)."""
    placebo: dict[str, Array]
    """Fill -> (n, classes); NaN where the region fits nowhere else."""
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


def judge(evidence: Evidence, target: int | None, rule: Rule) -> Finding:
    """The verdict on one artefact: for a named target class, or over all classes."""
    if target is not None:
        return _judge_target(evidence, target, rule, adjusted_alpha=rule.alpha)
    return _scan(evidence, rule)


def control_contrast(shift: Array, controls: list[Array]) -> Array:
    """Per image: its shift minus its shift by the median control (n,); the median is taken of the controls' means."""
    order = np.argsort([control.mean(dtype=np.float64) for control in controls], kind="stable")
    middle = order[(len(order) - 1) // 2 : len(order) // 2 + 1]
    return np.asarray(shift - np.mean([controls[at] for at in middle], axis=0))


def class_contrast(shifts: Array, target: int) -> Array:
    """Per image: the target's shift minus that of the class at the 90th percentile of the others (n,).

    The percentile (nearest rank up) is taken of the classes' mean shifts.
    """
    others = np.delete(np.arange(shifts.shape[1]), target)
    means = shifts[:, others].mean(axis=0, dtype=np.float64)
    rank = math.ceil(CLASS_QUANTILE * len(others)) - 1
    rival = others[np.argsort(means, kind="stable")[rank]]
    return np.asarray(shifts[:, target] - shifts[:, rival])


class Decision(NamedTuple):
    """A verdict on one hypothesis."""

    verdict: Verdict
    direction: Direction | None
    why: str
    taken_on: Direction | None
    """The direction whose effect settled it, or keeps it open."""


def decide(effects: dict[Direction, Measurement], rule: Rule) -> Decision:
    """The verdict on one hypothesis from the effect in each direction.

    `relies` needs the lower (adjusted) bound of one effect over the margin; `no_evidence` the upper bounds of all
    under it. Effects that could not be measured, or on too few groups, take no part.
    """
    known = {way: effect for way, effect in effects.items() if effect.value is not None}
    if not known:
        reason = next(iter(effects.values())).reason or "nothing could be measured"
        return Decision("not_applicable", None, reason, None)
    tested = {way: effect for way, effect in known.items() if effect.groups >= rule.min_groups}
    if not tested:
        way = max(known, key=lambda key: known[key].groups)
        why = f"{known[way].groups} independent groups of images, and a verdict needs {rule.min_groups}"
        return Decision("inconclusive", None, why, way)
    way = max(tested, key=lambda key: _low(tested[key]))
    if _low(tested[way]) > rule.margin:
        why = f"{_WORDS[way]} {_interval(tested[way])} lies above the margin of {rule.margin:g}"
        return Decision("relies", way, why, way)
    highs = {key: effect.high if effect.high is not None else math.inf for key, effect in tested.items()}
    way = max(tested, key=lambda key: highs[key])
    if highs[way] < rule.margin:
        listed = " and ".join(f"{_WORDS[key]} {_interval(tested[key], adjusted=False)}" for key in tested)
        lies = "lie" if len(tested) > 1 else "lies"
        return Decision("no_evidence", None, f"{listed} {lies} below the margin of {rule.margin:g}", way)
    why = f"{_WORDS[way]} {_interval(tested[way])} spans the margin of {rule.margin:g}"
    return Decision("inconclusive", None, f"{why}{_images_needed(tested[way], rule.margin)}", way)


def judge_severity(verdict: Verdict, harms: list[Measurement | None]) -> Severity:
    """How bad a shortcut is, by the largest of its flip rate and accuracy drop (`SEVERITY_THRESHOLDS`)."""
    if verdict != "relies":
        return "none"
    worst = max((harm.value for harm in harms if harm is not None and harm.value is not None), default=0.0)
    return next((name for name, threshold in SEVERITY_THRESHOLDS if worst >= threshold), "low")


def _judge_target(evidence: Evidence, target: int, rule: Rule, *, adjusted_alpha: float) -> Finding:
    effects = _effects(evidence, target, rule, adjusted_alpha)
    measurements = {name: value for name, value in effects.items() if value is not None}
    notes = list(evidence.notes)
    insertion, removals = evidence.insertion, evidence.removals
    controls: dict[str, Measurement] = {}
    variants: dict[str, Measurement] = {}
    doses: list[DosePoint] = []
    if insertion is not None:
        lacks = ~insertion.images.has[:, target]
        groups = insertion.images.groups[lacks]

        def lift(shift: Array) -> Measurement:
            return mean_interval(shift[lacks, target], groups, rule.level, unit="log-odds", score="log-odds")

        controls = {name: lift(shift) for name, shift in insertion.controls.items()}
        variants = {name: lift(shift) for name, shift in insertion.variants.items()}
        doses = [DosePoint(dose, lift(shift)) for dose, shift in insertion.doses.items()]
        if controls:
            strongest = insertion.controls[_strongest(controls)]
            lead = (insertion.shift - strongest)[lacks, target]
            measurements["lead_over_strongest_control"] = mean_interval(
                lead, groups, rule.level, unit="log-odds", score="log-odds"
            )
        measurements |= _insertion_harms(insertion, target, rule, measurements["theta"])
    if removals is not None:
        measurements |= _removal_effects(removals, target, rule)

    basis: Literal["insertion", "removal"] | None = None
    endpoints: dict[Direction, str] = {}
    if insertion is not None:
        basis, endpoints = "insertion", {"promotes": "theta", "suppresses": "theta_suppression"}
    elif removals is not None:
        basis, endpoints = "removal", {"promotes": "removal_drop"}
    candidates = {way: measurements[name] for way, name in endpoints.items()}
    nothing = missing("no image is free of the artefact, and none carries it in a place that is known")
    decision = decide(candidates or {"promotes": nothing}, rule)
    if basis == "insertion":
        notes += _untested(candidates, rule) + _nearly_alike(measurements, controls, decision.verdict, rule)
    harms = [measurements.get(name) for name in _HARMS[decision.direction or "promotes"]]
    return Finding(
        artefact=evidence.artefact,
        target=evidence.classes[target],
        verdict=decision.verdict,
        direction=decision.direction,
        severity=judge_severity(decision.verdict, harms),
        basis=basis,
        endpoint=None if decision.taken_on is None else endpoints[decision.taken_on],
        reason=_sentence(evidence, target, decision, basis),
        measurements=measurements,
        controls=controls,
        variants=variants,
        dose_response=doses,
        notes=notes,
    )


def _scan(evidence: Evidence, rule: Rule) -> Finding:
    """Every class as target: bounds for `relies` hold for all of them at once (Bonferroni)."""
    count = 1 if evidence.one_logit else len(evidence.classes)
    numbers = [1] if evidence.one_logit else list(range(count))
    scanned: list[tuple[float, int, ScannedTarget]] = []
    for number in numbers:
        effects = _effects(evidence, number, rule, rule.alpha / count)
        ways: dict[Direction, Measurement] = {}
        if evidence.insertion is not None:
            ways = {"promotes": effects["theta"], "suppresses": effects["theta_suppression"]}
        elif evidence.removals is not None:
            removal = _removal_effects(evidence.removals, number, rule, rule.alpha / count)
            ways = {"promotes": removal["removal_drop"]}
        if not ways:
            continue
        verdict, direction, _, way = decide(ways, rule)
        shown = ways[way or "promotes"]
        strength = max((_low(effect) for effect in ways.values() if effect.value is not None), default=-math.inf)
        scanned.append((strength, number, ScannedTarget(evidence.classes[number], verdict, direction, shown)))
    scanned.sort(key=lambda item: (item[2].verdict != "relies", -item[0]))
    if not scanned:
        return _judge_target(evidence, 0, rule, adjusted_alpha=rule.alpha)
    top = _judge_target(evidence, scanned[0][1], rule, adjusted_alpha=rule.alpha / count)
    verdicts = [entry.verdict for _, _, entry in scanned]
    relied = [entry for _, _, entry in scanned if entry.verdict == "relies"]
    name = evidence.artefact
    if relied:
        listed = ", ".join(entry.target for entry in relied[:5]) + (" …" if len(relied) > 5 else "")
        reason = f"{top.reason} (strongest of {len(relied)} among {count} classes scanned: {listed})"
        return replace(top, reason=reason, scanned=[entry for *_, entry in scanned])
    overall: Verdict = "not_applicable"
    if "inconclusive" in verdicts:
        overall = "inconclusive"
        open_targets = [entry.target for _, _, entry in scanned if entry.verdict == "inconclusive"]
        reason = (
            f"For {len(open_targets)} of {count} classes scanned the effect of {name} is not settled, "
            f"first of all {open_targets[0]}: {top.reason}"
        )
    elif "no_evidence" in verdicts:
        overall = "no_evidence"
        reason = (
            f"For none of {count} classes is there evidence of reliance on {name} above the margin of {rule.margin:g}."
        )
    else:
        reason = top.reason
    return replace(
        top, verdict=overall, direction=None, severity="none", reason=reason, scanned=[e for *_, e in scanned]
    )


def _effects(evidence: Evidence, target: int, rule: Rule, adjusted_alpha: float) -> dict[str, Measurement]:
    """The primary endpoint and its parts, in both directions."""
    insertion = evidence.insertion
    if insertion is None:
        return {}
    has = insertion.images.has[:, target]
    found: dict[str, Measurement] = {}
    for rows, sign, names in (
        (~has, 1.0, ("insertion_lift", "control_contrast", "class_contrast", "theta")),
        (
            has,
            -1.0,
            (
                "suppression",
                "suppression_control_contrast",
                "suppression_class_contrast",
                "theta_suppression",
            ),
        ),
    ):
        shift = sign * insertion.shift[rows]
        controls = [sign * values[rows, target] for values in insertion.controls.values()]
        groups = insertion.images.groups[rows]

        def interval(values: Array, groups: Groups = groups) -> Measurement:
            plain = mean_interval(values, groups, rule.level, unit="log-odds", score="log-odds")
            if adjusted_alpha == rule.alpha or plain.low is None:
                return plain
            wide = mean_interval(values, groups, 1 - adjusted_alpha, unit="log-odds", score="log-odds")
            return replace(plain, low_adjusted=wide.low, high_adjusted=wide.high)

        if not rows.any():
            without = "without" if sign > 0 else "of"
            reason = f"no image {without} the class {evidence.classes[target]} is free of the artefact"
            found |= {name: missing(reason) for name in names}
            continue
        found[names[0]] = interval(shift[:, target])
        found[names[1]] = (
            interval(control_contrast(shift[:, target], controls))
            if controls
            else missing("every control is degenerate")
        )
        contrastable = not evidence.one_logit and len(evidence.classes) > 2
        found[names[2]] = (
            interval(class_contrast(shift, target))
            if contrastable
            else missing("fewer than three classes share the score, so there is none to contrast with")
        )
        found[names[3]] = _least_adjusted(found[names[1]], found[names[2]])
    return found


def _least_adjusted(first: Measurement, second: Measurement) -> Measurement:
    result = least(first, second)
    if first.value is None or second.value is None or first.low_adjusted is None or second.low_adjusted is None:
        return result
    assert first.high_adjusted is not None
    assert second.high_adjusted is not None
    return replace(
        result,
        low_adjusted=min(first.low_adjusted, second.low_adjusted),
        high_adjusted=min(first.high_adjusted, second.high_adjusted),
    )


def _insertion_harms(insertion: Insertion, target: int, rule: Rule, theta: Measurement) -> dict[str, Measurement]:
    """What insertion does to probabilities, predictions and accuracy."""
    images, level = insertion.images, rule.level
    lacks = ~images.has[:, target]
    eligible = lacks & ~images.predicted[:, target]
    found = {
        "probability_change": mean_interval(
            insertion.probability_change[lacks, target],
            images.groups[lacks],
            level,
            unit="probability",
            score="probability",
        ),
        "flip_rate": share_interval(insertion.predicted[eligible, target], images.groups[eligible], level),
    }
    spread = float(images.scores[lacks, target].std(dtype=np.float64)) if lacks.any() else 0.0
    if spread > 0 and theta.value is not None:
        found["theta_standardised"] = _divided(theta, spread)
    if images.labelled.any():
        for prefix, rows in (("", lacks & images.labelled), ("class_", ~lacks & images.labelled)):
            before = _correct(images.predicted, images.has)[rows]
            after = _correct(insertion.predicted, images.has)[rows]
            groups = images.groups[rows]
            found[f"{prefix}accuracy_without"] = share_interval(before, groups, level)
            found[f"{prefix}accuracy_with"] = share_interval(after, groups, level)
            drop = before.astype(np.float64) - after
            found[f"{prefix}accuracy_drop"] = mean_interval(drop, groups, level, unit="share", score=None)
        found["worst_group_accuracy"] = _worst_group(insertion, rule)
    else:
        found["accuracy_drop"] = missing("the data have no labels", unit="share", score=None)
    return found


def _divided(effect: Measurement, spread: float) -> Measurement:
    value, low, high = (None if part is None else part / spread for part in (effect.value, effect.low, effect.high))
    unit = "SD of the score"
    return replace(effect, value=value, low=low, high=high, low_adjusted=None, high_adjusted=None, unit=unit)


def _worst_group(insertion: Insertion, rule: Rule) -> Measurement:
    """The lowest accuracy of a class with or without the artefact (Sagawa et al. 2020)."""
    images = insertion.images
    groups = []
    for predicted in (images.predicted, insertion.predicted):
        correct = _correct(predicted, images.has)
        for number in range(images.has.shape[1]):
            rows = images.has[:, number] & images.labelled
            if rows.any():
                groups.append(share_interval(correct[rows], images.groups[rows], rule.level))
    return min(groups, key=lambda share: share.value if share.value is not None else 1.0)


def _removal_effects(removals: Removals, target: int, rule: Rule, alpha: float | None = None) -> dict[str, Measurement]:
    """The removal drop and the drop by each fill.

    The headline is the exact removal where there is one, else the least over the fills, bound by bound.
    """
    level = rule.level if alpha is None else 1 - alpha
    groups = removals.images.groups
    found: dict[str, Measurement] = {}
    for name, fall in removals.fall.items():
        contrast = fall[:, target] - removals.placebo[name][:, target]
        drop = mean_interval(contrast, groups, level, unit="log-odds", score="log-odds")
        if drop.value is None:
            drop = missing("the region fits nowhere else in the frame, so there is no placebo")
        found[f"removal_drop.{name}"] = drop
    drops = list(found.values())
    total = found.get("removal_drop.exact", drops[0])
    for drop in drops if "removal_drop.exact" not in found else []:
        total = least(total, drop)
    first = next(iter(removals.predicted.values()))
    was = removals.images.predicted[:, target]
    result = {"removal_drop": total, **found}
    result["removal_flip_rate"] = share_interval(~first[was, target], groups[was], rule.level)
    labelled = removals.images.labelled
    if labelled.any():
        correct = _correct(removals.images.predicted, removals.images.has)[labelled]
        without = _correct(first, removals.images.has)[labelled]
        result["carriers_accuracy_with"] = share_interval(correct, groups[labelled], rule.level)
        result["carriers_accuracy_without"] = share_interval(without, groups[labelled], rule.level)
        change = correct.astype(np.float64) - without
        result["carriers_accuracy_drop"] = mean_interval(change, groups[labelled], rule.level, unit="share", score=None)
    return result


def _correct(predicted: Bools, has: Bools) -> Bools:
    return np.asarray((predicted == has).all(axis=1))


def _low(effect: Measurement) -> float:
    low = effect.low_adjusted if effect.low_adjusted is not None else effect.low
    return -math.inf if low is None else low


def _interval(effect: Measurement, *, adjusted: bool = True) -> str:
    low = effect.low_adjusted if adjusted and effect.low_adjusted is not None else effect.low
    high = effect.high_adjusted if adjusted and effect.high_adjusted is not None else effect.high
    if effect.value is None or low is None or high is None:
        return "an effect without an interval"
    return f"{effect.value:+.2f} log-odds [{low:+.2f}, {high:+.2f}] (n = {effect.n})"


def _images_needed(effect: Measurement, margin: float) -> str:
    if effect.value is None or effect.low is None or effect.high is None or effect.value == margin:
        return ""
    half = (effect.high - effect.low) / 2
    needed = math.ceil(effect.n * (half / abs(effect.value - margin)) ** 2)
    return f"; about {needed} images would settle it if the effect stays" if needed < 1_000_000 else ""


def _untested(candidates: dict[Direction, Measurement], rule: Rule) -> list[str]:
    notes = []
    for way, effect in candidates.items():
        if effect.groups < rule.min_groups:
            reason = effect.reason or f"only {effect.groups} independent groups of images"
            notes.append(f"whether it {way} the target was not tested: {reason}")
    return notes


def _nearly_alike(
    measurements: dict[str, Measurement], controls: dict[str, Measurement], verdict: Verdict, rule: Rule
) -> list[str]:
    """A note where one control does nearly what the artefact does: the shortcut may be simpler than the artefact."""
    lead = measurements.get("lead_over_strongest_control")
    if verdict != "relies" or lead is None or lead.value is None or lead.low is None:
        return []
    name = _strongest(controls)
    moved, lift = controls[name].value, measurements["insertion_lift"].value
    if moved is None or lift is None or (lead.low > rule.margin and moved < lift / 2):
        return []
    return [
        f"the control {name!r} alone moves the score by {moved:+.2f} of {lift:+.2f} log-odds, so part of what the "
        "model has learnt is simpler than the artefact itself"
    ]


def _strongest(controls: dict[str, Measurement]) -> str:
    return max(controls, key=lambda name: controls[name].value or 0.0)


def _sentence(evidence: Evidence, target: int, decision: Decision, basis: str | None) -> str:
    name, target_name = evidence.artefact, evidence.classes[target]
    why = decision.why if basis == "insertion" else decision.why.replace(_WORDS["promotes"], "the removal drop")
    if decision.verdict == "relies":
        if basis == "removal":
            return f"Taking {name} out lowers the score of {target_name} more than the same edit elsewhere: {why}."
        does = "raises" if decision.direction == "promotes" else "lowers"
        return f"Inserting {name} {does} the score of {target_name} beyond what controls explain: {why}."
    if decision.verdict == "no_evidence":
        return f"No evidence that the score of {target_name} relies on {name}: {why}."
    if decision.verdict == "inconclusive":
        return f"Not settled whether the score of {target_name} relies on {name}: {why}."
    return f"{name} could not be tested on {target_name}: {why}."


_WORDS: dict[Direction, str] = {"promotes": "theta", "suppresses": "theta for suppression"}

_HARMS: dict[Direction, tuple[str, ...]] = {
    "promotes": ("flip_rate", "accuracy_drop", "removal_flip_rate", "carriers_accuracy_drop"),
    "suppresses": ("class_accuracy_drop",),
}
