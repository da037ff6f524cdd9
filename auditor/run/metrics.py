"""The numbers that a gate may be told about: what they are in a run, and how they compare with the accepted one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from auditor.config.sections import Demand, Level, Metric
from auditor.measure.measurement import Measurement
from auditor.measure.words import POINTS, number, say, say_n
from auditor.run.paired import MARGINS, Pairing, endpoint_of
from auditor.run.result import AuditResult
from auditor.run.ruling import Ruling, subject_of
from auditor.verdict.record import Finding

State = Literal["kept", "open", "broken"]


def judge_limit(demand: Demand, result: AuditResult, finding: Finding | None) -> Ruling | None:
    """Whether a number of a run keeps to a limit; None where the demand is off for what came out."""
    assert demand.metric is not None
    assert demand.limit is not None
    metric = METRICS[demand.metric]
    measured, limit = metric.value(result, finding), demand.limit
    if measured is None or measured.value is None:
        why = measured.reason if measured is not None and measured.reason else "it was not measured"
        return _ruling(demand, finding, "open", f"The {metric.words} is not known: {why}.", measured)
    is_kept = measured.lies_in(limit, math.inf) if metric.is_good_large else measured.lies_in(-math.inf, limit)
    is_broken = measured.decisive.against(limit) == ("below" if metric.is_good_large else "above")
    state: State = "kept" if is_kept else "broken" if is_broken else "open"
    told = {"kept": "which keeps to", "open": "which may or may not keep to", "broken": "which clearly breaks"}[state]
    unit = f" {MARGINS}" if measured.unit == MARGINS else ""
    bar = f"{'at least' if metric.is_good_large else 'at most'} {number(limit, measured.unit)}{unit}"
    sentence = f"The {metric.words} is {say(measured)}{unit}, {told} the limit of {bar}."
    return _ruling(demand, finding, state, sentence, measured)


def judge_tolerance(demand: Demand, pairing: Pairing, old: Finding | None, new: Finding | None) -> Ruling | None:
    """Whether a number is worse than in the accepted run by more than is tolerated; None where neither knows it.

    Worse is claimed only where the whole interval of the paired difference, corrected for how many are compared, lies
    above the tolerance; not worse only where it lies below it. All else is open.
    """
    assert demand.metric is not None
    assert demand.tolerance is not None
    metric, tolerance = METRICS[demand.metric], demand.tolerance

    def leave_open(why: str | None, change: Measurement | None = None) -> Ruling | None:
        told = f"Whether the {metric.words} is worse than accepted is open: {why}."
        return _ruling(demand, new, "open", told, change)

    about = () if old is None or new is None else (old, new)
    if new is not None and old is None:
        return leave_open("the accepted run has no finding on this")
    if old is not None and new is not None and old.target != new.target:
        return leave_open(f"of all classes the strongest was {old.target}, and is {new.target}")
    sides = ((pairing.before.result, old), (pairing.after.result, new))
    if all(value is None or value.value is None for value in (metric.value(*side) for side in sides)):
        return None
    change = metric.change(pairing, *about)
    if change.value is None:
        return leave_open(change.reason, change)
    state = judge_change(change, tolerance)
    moved = say_change(change.decisive if state == "broken" else change, *metric.verbs)
    moved = f"it {moved}; {_amount(tolerance, change.unit)} worse is tolerated"
    if old is not None and new is not None and pairing.is_asked_otherwise(new.artefact):
        moved += f", and {new.artefact} is configured otherwise than it was"
    if state == "open":
        return leave_open(moved, change)
    worse = "is worse than accepted" if state == "broken" else "is not worse than accepted"
    return _ruling(demand, new, state, f"The {metric.words} {worse}: {moved}.", change)


def judge_change(change: Measurement, tolerance: float) -> State:
    """Whether something is worse by more than a tolerance: broken, kept, or open."""
    if change.decisive.against(tolerance) == "above":
        return "broken"
    return "kept" if change.lies_in(-math.inf, tolerance) else "open"


def say_change(change: Measurement, rose: str, fell: str) -> str:
    """A change in words, with its interval and how many images it was seen on."""
    if change.low == change.high == 0:
        return f"is as it was, n = {say_n(change)}"
    verb, shown = (rose, change) if (change.value or 0.0) >= 0 else (fell, change.mapped(lambda value: -value))
    low, high = (_amount(end, shown.unit, bare=True) for end in shown.bounds)
    return f"{verb} by {_amount(shown.value or 0.0, shown.unit)} ({low} to {high}, n = {say_n(shown)})"


def _amount(value: float, unit: str, *, bare: bool = False) -> str:
    told = POINTS if unit == "share" else unit
    shown = number(value, told)
    return shown if bare else f"{shown} {told}"


def _ruling(
    demand: Demand, finding: Finding | None, state: State, sentence: str, measured: Measurement | None
) -> Ruling | None:
    levels: dict[State, Level] = {"broken": demand.level, "open": demand.open, "kept": demand.level}
    level = levels[state]
    if level == "off":
        return None
    name = f"{demand.metric}, {'limit' if demand.tolerance is None else 'accepted'}"
    artefact, target = (None, None) if finding is None else subject_of(finding)
    return Ruling(name, artefact, target, state, level, sentence, measured)


def _effect(result: AuditResult, finding: Finding | None) -> Measurement | None:
    """The effect that a verdict was taken on, in margins."""
    if finding is None or finding.effect is None or finding.effect.value is None or finding.margin <= 0:
        return None
    low = finding.effect.low_adjusted
    scaled = finding.effect.mapped(lambda effect: effect / finding.margin, MARGINS)
    return replace(scaled, low_adjusted=None if low is None else low / finding.margin)


def _measured(name: str, result: AuditResult, finding: Finding | None) -> Measurement | None:
    return None if finding is None else finding.measurements.get(name)


def _by_endpoint(names: dict[str, str], result: AuditResult, finding: Finding | None) -> Measurement | None:
    """The measurement that goes with what the verdict was taken on."""
    return None if finding is None else finding.measurements.get(names.get(finding.endpoint or "theta", ""))


def change_of_decisions(pairing: Pairing, old: Finding, new: Finding) -> Measurement:
    """By how much the share of decisions turned rose, in the direction that the effect is compared in."""
    return _change_by_endpoint(_DECISIONS, pairing, old, new)


def _change_by_endpoint(names: dict[str, str], pairing: Pairing, old: Finding, new: Finding) -> Measurement:
    return pairing.change_of_share(old, new, names.get(endpoint_of(old, new), ""))


_DECISIONS = {"theta": "decisions_turned", "theta_suppression": "decisions_lost"}

_FLIPS = {"theta": "flip_rate", "theta_suppression": "suppression_flip_rate", "removal_drop": "removal_flip_rate"}
"""What a verdict was taken on -> what tells the share of decisions that go with it."""


@dataclass(frozen=True)
class _Metric:
    """A number that a gate may be told about."""

    words: str
    verbs: tuple[str, str]
    """What a change for the worse is, and one for the better."""
    is_good_large: bool
    value: Callable[[AuditResult, Finding | None], Measurement | None]
    change: Callable[..., Measurement]
    """By how much it is worse in a `Pairing`, of the earlier finding and the later one if it is one of findings."""


METRICS: dict[Metric, _Metric] = {
    "effect": _Metric("effect", ("grew", "shrank"), False, _effect, Pairing.change_of_effect),
    "decisions_turned": _Metric(
        "share of decisions turned",
        ("rose", "fell"),
        False,
        partial(_by_endpoint, _DECISIONS),
        change_of_decisions,
    ),
    "flip_rate": _Metric(
        "flip rate", ("rose", "fell"), False, partial(_by_endpoint, _FLIPS), partial(_change_by_endpoint, _FLIPS)
    ),
    "worst_group_accuracy": _Metric(
        "accuracy of the worst group",
        ("fell", "rose"),
        True,
        partial(_measured, "worst_group_accuracy"),
        Pairing.change_of_worst_group,
    ),
    "accuracy": _Metric(
        "accuracy", ("fell", "rose"), True, lambda result, finding: result.data.accuracy, Pairing.change_of_errors
    ),
}
"""Name in `[gate]` -> what it is, and how two runs are compared in it."""
