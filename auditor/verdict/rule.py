"""The rule of the verdict: from the measured effects of one artefact on one class to a decision and its words.

The rule and its formulas are in `docs/method.md`. In short: the effect theta of an artefact on a class is the least
of its lead over innocent controls and its lead over the other classes, in log-odds; the verdict compares the
confidence interval of theta with a margin. The unit of resampling is the group of images.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from auditor.measure.intervals import missing
from auditor.measure.measurement import Measurement
from auditor.measure.words import say
from auditor.verdict.effects import measure_accuracy
from auditor.verdict.observations import Observations
from auditor.verdict.record import Direction, Rule, Severity, Verdict

SEVERITY_THRESHOLDS: tuple[tuple[Severity, float], ...] = (("high", 0.25), ("medium", 0.05))
"""The least flip rate or accuracy drop of a severity; below the last it is low."""

LEAST_RISE = 0.5
"""Log-odds by which a pasted object must raise the score of its class, or `no_evidence` is in doubt."""

LEAST_ACCURACY = 0.5
"""Share of the labelled images that a model must be right on, or `no_evidence` is in doubt."""

LARGEST_NO_OP = 0.01
"""Log-odds by which scoring an image again may move any class, on average."""

Basis = Literal["insertion", "removal"]


class Decision(NamedTuple):
    """A verdict on one hypothesis."""

    verdict: Verdict
    direction: Direction | None
    why: str
    taken_on: Direction | None
    """The direction whose effect settled it, or keeps it open."""


class Measured(NamedTuple):
    basis: Basis | None
    endpoints: dict[Direction, str]
    """Direction -> name of the measurement that it is decided on."""
    values: dict[str, Measurement]
    drops: dict[str, Measurement]
    """Way of removal -> removal drop by it alone."""

    @property
    def effects(self) -> dict[Direction, Measurement]:
        nothing = missing("no image is free of the artefact, and none carries it in a place that is known")
        return {way: self.values[name] for way, name in self.endpoints.items()} or {"promotes": nothing}


def decide(effects: dict[Direction, Measurement], rule: Rule, basis: Basis = "insertion") -> Decision:
    """The verdict on one hypothesis from the effect in each direction.

    `relies` needs the lower (adjusted) bound of one effect over the margin; `no_evidence` the upper bounds of all
    under it. Effects that could not be measured, or on too few groups, take no part; without a test of promotion
    there is no `no_evidence`.
    """
    names = _NAMES[basis]
    known = {way: effect for way, effect in effects.items() if effect.value is not None}
    if not known:
        reason = next(iter(effects.values())).reason or "nothing could be measured"
        return Decision("not_applicable", None, reason, None)
    tested = {way: effect for way, effect in known.items() if effect.groups >= rule.min_groups}
    if not tested:
        way = max(known, key=lambda key: known[key].groups)
        why = f"{known[way].groups} independent groups of images, and a verdict needs {rule.min_groups}"
        return Decision("inconclusive", None, why, way)
    decisive = {way: effect.decisive for way, effect in tested.items()}
    way = max(tested, key=lambda key: decisive[key].bounds[0])
    if decisive[way].against(rule.margin) == "above":
        why = f"{names[way]} {say(decisive[way], 'decided')} lies above the margin of {rule.margin:.3g}"
        return Decision("relies", way, why, way)
    way = max(tested, key=lambda key: tested[key].bounds[1])
    if tested[way].against(rule.margin) != "below":
        why = f"{names[way]} {say(decisive[way], 'decided')} spans the margin of {rule.margin:.3g}"
        return Decision("inconclusive", None, f"{why}{_images_needed(decisive[way], rule.margin)}", way)
    listed = " and ".join(f"{names[key]} {say(tested[key], 'decided')}" for key in tested)
    why = f"{listed} {'lie' if len(tested) > 1 else 'lies'} below the margin of {rule.margin:.3g}"
    if "promotes" not in tested:
        untested = effects["promotes"].reason or "too few independent groups of images"
        return Decision("inconclusive", None, f"{why}, but promotion was not tested: {untested}", way)
    return Decision("no_evidence", None, why, way)


def conclude(observed: Observations, target: int, measured: Measured, rule: Rule) -> Decision:
    """The decision, unless a check of the run failed or, for `no_evidence`, removal contradicts it."""
    decision = decide(measured.effects, rule, measured.basis or "insertion")
    if decision.verdict == "inconclusive" and decision.taken_on and measured.basis == "insertion":
        return _explain_one_side(decision, decision.taken_on, measured, rule)
    if decision.verdict not in ("relies", "no_evidence"):
        return decision
    no_op = measured.values.get("no_op_change")
    if no_op is not None and no_op.value is not None and no_op.value > LARGEST_NO_OP:
        why = f"scoring images again, unchanged, moves them by {no_op.value:.3g} log-odds; the model is not steady"
        return Decision("inconclusive", None, why, decision.taken_on)
    if decision.verdict == "relies" or measured.basis is None:
        return decision
    drop, pasted = measured.values.get("removal_drop"), measured.values.get("pasted_object")
    if (
        measured.basis == "insertion"
        and drop is not None
        and drop.groups >= rule.min_groups
        and drop.against(rule.margin) == "above"
    ):
        why = (
            f"{decision.why}, yet taking it out of images that carry it lowers the score: {say(drop, 'decided')}; "
            "are its position and appearance right?"
        )
        return decision._replace(verdict="inconclusive", why=why)
    if pasted is not None and pasted.groups >= rule.min_groups and not pasted.lies_in(LEAST_RISE, math.inf):
        name = observed.classes[target]
        why = (
            f"{decision.why}, but pasting objects of {name} into other images hardly raises its score, "
            f"{say(pasted, 'decided')}: is the model fed as it expects?"
        )
        return decision._replace(verdict="inconclusive", why=why)
    insertion = observed.insertion
    if insertion is not None and float(insertion.images.scores[:, target].std()) < 1e-6:
        return decision._replace(verdict="inconclusive", why="the score is the same for every image")
    accuracy = None if insertion is None else measure_accuracy(insertion.images, rule)
    if accuracy is not None and accuracy.groups >= rule.min_groups and accuracy.against(LEAST_ACCURACY) == "below":
        why = (
            f"{decision.why}, but the model is right on {accuracy.value:.0%} of the labelled images only: are the "
            "labels in the order of its outputs, and is it fed as it expects?"
        )
        return decision._replace(verdict="inconclusive", why=why)
    return decision


def _explain_one_side(decision: Decision, way: Direction, measured: Measured, rule: Rule) -> Decision:
    """An open decision, in other words where the artefact moves the images of one side only beyond the margin."""
    lead, confirmed = (measured.values[name] for name in _SIDES[way])
    if lead.against(rule.margin) != "above" or confirmed.against(rule.margin) != "below":
        return decision
    one, other = ("others", "the class itself") if way == "promotes" else ("the class itself", "others")
    why = (
        f"beyond controls it moves images of {one} by {say(lead, 'decided')}, but not those of {other}, "
        f"{say(confirmed, 'decided')}: it may hide a part of the object, or look like one, rather than be taken for "
        "evidence"
    )
    return decision._replace(why=why)


def judge_severity(verdict: Verdict, harms: list[Measurement | None]) -> Severity:
    """How bad a shortcut is, by the largest of its flip rate and accuracy drop (`SEVERITY_THRESHOLDS`)."""
    if verdict != "relies":
        return "none"
    worst = max((harm.value for harm in harms if harm is not None and harm.value is not None), default=0.0)
    return next((name for name, threshold in SEVERITY_THRESHOLDS if worst >= threshold), "low")


def write_reason(observed: Observations, target: int, decision: Decision, basis: Basis | None) -> str:
    name, target_name, why = observed.artefact, observed.classes[target], decision.why
    if decision.verdict == "relies":
        if basis == "removal":
            return f"Taking {name} out lowers the score of {target_name} more than the same edit elsewhere: {why}."
        does = "raises" if decision.direction == "promotes" else "lowers"
        return f"Inserting {name} {does} the score of {target_name} more than the median control does: {why}."
    if decision.verdict == "no_evidence":
        return f"No evidence that the score of {target_name} relies on {name}: {why}."
    if decision.verdict == "inconclusive":
        return (
            f"Not settled whether the score of {target_name} relies on {name}: {why}{'' if why.endswith('?') else '.'}"
        )
    return f"{name} could not be tested on {target_name}: {why}."


def _images_needed(effect: Measurement, margin: float) -> str:
    if effect.value is None or effect.low is None or effect.high is None or effect.value == margin:
        return ""
    needed = math.ceil(effect.n * ((effect.high - effect.low) / 2 / abs(effect.value - margin)) ** 2)
    rounded = round(needed, 1 - len(str(needed)))
    return f"; about {rounded} images would settle it if the effect stays" if effect.n < rounded <= 20_000 else ""


_NAMES: dict[Basis, dict[Direction, str]] = {
    "insertion": {"promotes": "theta", "suppresses": "theta for suppression"},
    "removal": {"promotes": "the removal drop"},
}
"""What the effects that decide are called."""

_SIDES: dict[Direction, tuple[str, str]] = {
    "promotes": ("control_contrast", "own_control_contrast"),
    "suppresses": ("suppression_control_contrast", "suppression_others_control_contrast"),
}
"""The control contrast on the side that a direction is about, and on the other."""
