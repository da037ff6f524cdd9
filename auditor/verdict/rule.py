"""The rule of the verdict: from what was measured of one artefact and one class to a decision and its words.

The rule and its formulas are in `docs/method.md`. In short: the effect theta of an artefact on a class is the least
of its lift, its lead over innocent controls and its lead over the other classes, in log-odds; the verdict compares the
confidence interval of theta with a margin, and asks of decisions, too. The unit of resampling is the group of images.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from auditor.measure.measurement import Measurement
from auditor.measure.words import listed, number, say, signed
from auditor.verdict.carrying import HALF
from auditor.verdict.harms import JOINT_DROP
from auditor.verdict.measured import Measured
from auditor.verdict.record import FILL_FACTOR, SMALLEST_SHARE, Direction, Rule, Severity, Verdict

SEVERITY_THRESHOLDS: tuple[tuple[Severity, float], ...] = (("high", 0.25), ("medium", 0.05))
"""The least flip rate or accuracy drop of a severity; below the last it is low."""

LARGEST_CHANGE = 0.1
"""Share of decisions that an artefact may change, for whatever reason, beside an all-clear."""

LEAST_ACCURACY = 0.5
"""Share of the labelled images that a model must be right on, or every verdict is in doubt."""

LARGEST_NO_OP = 0.01
"""Standard deviations of the score by which scoring an image again may move any class, on average."""


class Decision(NamedTuple):
    """A verdict on one hypothesis."""

    verdict: Verdict
    direction: Direction | None
    why: str
    taken_on: Direction | None
    """The direction whose effect settled it, or keeps it open."""


def conclude(measured: Measured, rule: Rule) -> Decision:
    """The decision, unless a check of the run failed or something speaks against an all-clear."""
    decision = decide(measured, rule)
    if decision.verdict not in ("relies", "no_evidence"):
        return decision
    doubts = _doubts(measured, rule, decision)
    doubt = next(doubts, None)
    if doubt is not None:
        return decision._replace(verdict="inconclusive", direction=None, why=f"{decision.why}, but {doubt}")
    return decision


def decide(measured: Measured, rule: Rule) -> Decision:
    """The verdict on one hypothesis from the effect in each direction.

    `relies` needs the lower (adjusted) bound of one effect over the margin, and the other side to bear it out;
    `no_evidence` the upper bounds of all under it. Effects that could not be measured, or on too few groups, take no
    part; without a test of promotion there is no `no_evidence`.
    """
    effects, margin = measured.effects, measured.margin
    names = {way: _NAMES[endpoint] for way, endpoint in measured.endpoints.items()}
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
    unconfirmed = None
    for way in sorted(tested, key=lambda key: -decisive[key].bounds[0]):
        bar, told = _bar(measured, way, decisive[way])
        if decisive[way].against(bar) != "above":
            continue
        obstacle = _unconfirmed(measured, way, bar, rule)
        why = f"{names[way]} {say(decisive[way], 'decided')} lies above {told}"
        if obstacle is None:
            return Decision("relies", way, why, way)
        unconfirmed = unconfirmed or Decision("inconclusive", None, f"{why}, but {obstacle}", way)
    if unconfirmed is not None:
        return unconfirmed
    way = max(tested, key=lambda key: tested[key].bounds[1])
    least, limit = margin, f"the margin of {margin:.3g}"
    if _is_by_fill(measured):
        least, limit = margin / FILL_FACTOR, f"{margin / FILL_FACTOR:.3g}, half the margin"
    if tested[way].against(least) != "below":
        why = f"{names[way]} {say(decisive[way], 'decided')} spans {limit}{_images_needed(decisive[way], least)}"
        if _is_by_fill(measured) and decisive[way].against(least) == "above":
            why = (
                f"{names[way]} {say(decisive[way], 'decided')} lies above {limit}, and not clearly above twice the "
                "margin: a fill changes more than it takes out, so it settles nothing in between"
            )
        return Decision("inconclusive", None, why, way)
    told = listed([f"{names[key]} {say(tested[key], 'decided')}" for key in tested])
    why = f"{told} {'lie' if len(tested) > 1 else 'lies'} below {limit}"
    if "promotes" not in tested:
        untested = effects["promotes"].reason or "too few independent groups of images"
        return Decision("inconclusive", None, f"{why}, but promotion was not tested: {untested}", way)
    return Decision("no_evidence", None, why, way)


def phi_of(measured: Measured, way: Direction) -> Measurement | None:
    """The decisions that the artefact turns in one direction, beyond those that the median control turns."""
    names = {"promotes": "decisions_turned", "suppresses": "decisions_lost"}
    return measured.values.get("decisions_undone" if measured.basis == "removal" else names[way])


def judge_severity(decision: Decision, measured: Measured, harms: list[Measurement | None]) -> Severity | None:
    """How bad a shortcut is, by the largest of its flip rate and accuracy drop (`SEVERITY_THRESHOLDS`).

    Where it turns hardly more decisions than the median control does, it moves the score only. None where nothing was
    decided.
    """
    if decision.verdict != "relies" or decision.direction is None:
        return "none" if decision.verdict == "no_evidence" else None
    turned = [phi_of(measured, decision.direction), measured.values.get("decisions_turned_together")]
    shares = [phi.value for phi in turned if phi is not None and phi.value is not None]
    if shares and max(shares) < SMALLEST_SHARE:
        return "score only"
    worst = max((harm.value for harm in harms if harm is not None and harm.value is not None), default=0.0)
    return next((name for name, threshold in SEVERITY_THRESHOLDS if worst >= threshold), "low")


def write_reason(decision: Decision, measured: Measured) -> str:
    name, target_name, why = measured.artefact, measured.target, decision.why
    if decision.verdict == "relies":
        if measured.basis == "removal":
            return f"Taking {name} out lowers the score of {target_name} more than the same edit elsewhere: {why}."
        does = "raises" if decision.direction == "promotes" else "lowers"
        return f"Inserting {name} {does} the score of {target_name} more than harmless edits do: {why}."
    if decision.verdict == "no_evidence":
        return f"No evidence that the score of {target_name} relies on {name}: {why}."
    if decision.verdict == "inconclusive":
        return (
            f"Not settled whether the score of {target_name} relies on {name}: {why}{'' if why.endswith('?') else '.'}"
        )
    return f"{name} could not be tested on {target_name}: {why}."


def _bar(measured: Measured, way: Direction, effect: Measurement) -> tuple[float, str]:
    """What the lower bound must exceed, with its words: half the margin where the artefact clearly turns decisions.

    Twice the margin where it could only be filled in.
    """
    phi, whole = phi_of(measured, way), f"the margin of {measured.margin:.3g}"
    if _is_by_fill(measured):
        bar = FILL_FACTOR * measured.margin
        return bar, f"{bar:.3g}, twice the margin"
    if phi is None or phi.against(SMALLEST_SHARE) != "above":
        return measured.margin, whole
    bar = measured.margin / 2
    told = whole if effect.against(measured.margin) == "above" else f"{bar:.3g}, half the margin"
    return bar, f"{told}, and it turns {say(phi, 'points')} more decisions than the median harmless edit"


def _is_by_fill(measured: Measured) -> bool:
    """Whether the verdict rests on fills alone: what they hide and what they paint counts as what they take out."""
    return measured.basis == "removal" and "exact" not in measured.drops


def _unconfirmed(measured: Measured, way: Direction, bar: float, rule: Rule) -> str | None:
    """Why the other side, or chance, speaks against a reliance; None where nothing does."""
    values = measured.values
    confirming, opposite, said = _OTHER_SIDE[way]
    if measured.basis == "insertion":
        lead, raw = values[confirming], values[opposite]
        if lead.groups >= rule.min_groups and lead.decisive.against(0) != "above":
            return (
                f"on {said[0]} its lead over harmless edits is {say(lead, 'decided')}: it may hide a part of the "
                "object, or look like one, rather than be taken for evidence"
            )
        if raw.groups >= rule.min_groups and raw.against(measured.margin) != "below":
            return f"it may {said[1]} {said[0]}, {say(raw, 'decided')}"
        against = values.get({"promotes": "removal_rise", "suppresses": "removal_drop"}[way])
        if (
            "exact" in measured.drops
            and against is not None
            and against.groups >= rule.min_groups
            and against.against(0) == "above"
        ):
            does = {"promotes": "raises", "suppresses": "lowers"}[way]
            return f"taking it out of images that carry it {does} the score, too: {say(against, 'decided')}"
    if way == "promotes" and measured.chance is not None and measured.chance > measured.alpha / 2:
        return f"random innocent content there moves another class as far: {measured.chance_words}"
    return None


def _doubts(measured: Measured, rule: Rule, decision: Decision) -> Iterator[str]:
    """What withholds a verdict, one sentence each: failed checks of the run, and what speaks against an all-clear."""
    values = measured.values
    no_op, accuracy, pasted = (values.get(name) for name in ("no_op_change", "accuracy", "pasted_object"))
    if no_op is not None and no_op.value is not None and no_op.value > max(LARGEST_NO_OP * measured.spread, 1e-4):
        yield f"scoring images again, unchanged, moves them by {no_op.value:.3g} log-odds; the model is not steady"
    is_known = accuracy is not None and accuracy.groups >= rule.min_groups
    is_right = accuracy.against(LEAST_ACCURACY) if accuracy is not None and is_known else "unknown"
    # where most images carry it, it may be what spoils them; and where none does, what the model cannot do without
    otherwise = [values.get(name) for name in ("carriers_accuracy_without", "accuracy_inserted")]
    tried = [each for each in otherwise if each is not None and each.groups >= rule.min_groups]
    is_right_otherwise = any(each.against(LEAST_ACCURACY) != "below" for each in tried)
    if accuracy is not None and is_right == "below" and not is_right_otherwise:
        yield (
            f"the model is right on {number(accuracy.value or 0.0, 'share')} of the labelled images only: are the "
            "labels in the order of its outputs, and is it fed as it expects?"
        )
    is_seen = pasted is None or pasted.groups < rule.min_groups or pasted.against(0) == "above"
    if pasted is not None and not is_seen and (decision.verdict == "no_evidence" or is_right == "unknown"):
        yield (
            f"pasting objects of {measured.target} into other images hardly raises its score, "
            f"{say(pasted, 'decided')}: is the model fed as it expects?"
        )
    if decision.verdict == "no_evidence" and measured.basis is not None:
        yield from _against_an_all_clear(measured, rule)


def _against_an_all_clear(measured: Measured, rule: Rule) -> Iterator[str]:
    values, margin = measured.values, measured.margin
    if measured.spread < 1e-6:
        yield "the score is the same for every image"
    drop = values.get("removal_drop")
    if (
        measured.basis == "insertion"
        and drop is not None
        and drop.groups >= rule.min_groups
        and drop.against(margin) == "above"
    ):
        yield (
            f"taking it out of images that carry it lowers the score: {say(drop, 'decided')}; "
            "are its position and appearance right?"
        )
    rise, undone = values.get("removal_rise"), values.get("decisions_undone")
    own = values.get("theta_suppression")
    is_tested = own is not None and own.groups >= rule.min_groups
    if not is_tested and rise is not None and rise.groups >= rule.min_groups and rise.against(margin) == "above":
        yield f"taking it out of images that carry it raises the score, {say(rise, 'decided')}: it may suppress"
    if measured.basis == "removal" and undone is not None and undone.against(SMALLEST_SHARE) == "above":
        yield f"taking it out turns {say(undone, 'points')} more decisions away from {measured.target} than elsewhere"
    for name, both in values.items():
        if name.startswith(JOINT_DROP) and both.groups >= rule.min_groups and both.against(margin) == "above":
            yield f"the {name} is {say(both, 'decided')}: either may stand in for the other"
    for name, told in (("found", "is found in only"), ("found_elsewhere", "lies elsewhere than named in")):
        share = values.get(name)
        wrong = {"found": "below", "found_elsewhere": "above"}[name]
        if share is not None and share.groups >= rule.min_groups and share.against(0.5) == wrong:
            yield f"it {told} {say(share, 'count')} images that carry it; are its position and appearance right?"
    yield from _not_shown(measured, rule)
    if measured.contradiction:
        yield f"{measured.contradiction}; are its position and appearance right?"
    for name, rises, falls in (("decisions_turned_raw", "to", "away from"), ("decisions_lost_raw", "away from", "to")):
        raw = values.get(name)
        if raw is not None and raw.value is not None and raw.groups >= rule.min_groups and _is_large(raw):
            size = raw if raw.value > 0 else raw.mapped(lambda share: -share)
            way = rises if raw.value > 0 else falls
            yield f"it turns {say(size, 'points')} of decisions {way} {measured.target}{_simpler(measured)}"
    elsewhere, turned = values.get("theta_elsewhere"), values.get("decisions_turned_elsewhere")
    if (
        elsewhere is not None
        and turned is not None
        and elsewhere.groups >= rule.min_groups
        and elsewhere.against(margin) == "above"
        and turned.against(SMALLEST_SHARE) == "above"
    ):
        yield (
            f"{measured.place} its effect is {say(elsewhere, 'decided')}, and it turns {say(turned, 'points')} more "
            "decisions there than the median harmless edit; is it named where it is?"
        )
    alone = values.get("alone")
    if alone is not None and alone.groups >= rule.min_groups and alone.against(margin) == "above":
        yield (
            f"on canvases without content it raises the score by {say(alone, 'decided')}: something else in these "
            "images may make it needless"
        )
    moved = [stratum for stratum in measured.strata if stratum.is_moved]
    if moved:
        most = max(moved, key=lambda stratum: stratum.decisions_turned.bounds[0])
        yield (
            f"where {most.name} it turns {say(most.decisions_turned, 'points')} more decisions than the "
            "median harmless edit"
        )
    primary, needed = measured.effects["promotes"], rule.images_for_all_clear
    if primary.n < needed:
        yield f"{primary.n} images could not show an effect on one image in twenty; an all-clear needs {needed}"


def _not_shown(measured: Measured, rule: Rule) -> Iterator[str]:
    """Why what was taken out of carriers may not be the artefact, and what was put into others not new to them."""
    shown, beside = (measured.values.get(name) for name in ("shown_by_carriers", "shown_elsewhere"))
    change = measured.values.get("change_by_inserting")
    if change is not None and change.groups >= rule.min_groups and change.against(HALF) == "below":
        yield (
            f"inserting it changes images only {say(change, 'decided')} as much as it changes plain ones: do they "
            "carry it already, and does `present` say so?"
        )
    if shown is None or shown.groups < rule.min_groups:
        return
    if beside is not None and beside.against(0) == "above":
        yield "images that carry it show more of it beside the place that is named; is its position right?"
    elif shown.against(HALF) == "below":
        yield f"images that carry it show {say(shown, 'decided')} of it where it is named; is its position right?"
    elif measured.basis == "removal" and shown.against(HALF) != "above":
        yield (
            f"whether it lies where it is named cannot be told from the images, {say(shown, 'decided')}: it is too "
            "faint there, or not in all of them"
        )


def _is_large(raw: Measurement) -> bool:
    """Whether so many decisions change, for whatever reason, that it is no all-clear."""
    is_beyond = raw.against(SMALLEST_SHARE) == "above" or raw.against(-SMALLEST_SHARE) == "below"
    return is_beyond or abs(raw.value or 0.0) >= LARGEST_CHANGE


def _simpler(measured: Measured) -> str:
    """What innocent edits do as much, named, as the artefact to test next."""
    known = {name: effect.value for name, effect in measured.controls.items() if effect.value is not None}
    lift = measured.values["insertion_lift"].value
    if not known or lift is None:
        return ""
    way = 1 if lift >= 0 else -1
    name = max(known, key=lambda key: way * known[key])
    if way * known[name] < way * lift / 2:
        return ""
    return (
        f", and innocent edits there do as much: the control {name!r} moves the score by {signed(known[name])} of "
        f"{signed(lift)} log-odds. The model relies on something simpler there: test that as an artefact of its own"
    )


def _images_needed(effect: Measurement, margin: float) -> str:
    if effect.value is None or effect.low is None or effect.high is None or effect.value == margin:
        return ""
    needed = math.ceil(effect.n * ((effect.high - effect.low) / 2 / abs(effect.value - margin)) ** 2)
    rounded = round(needed, 1 - len(str(needed)))
    return f"; about {rounded} images would settle it if the effect stays" if effect.n < rounded <= 20_000 else ""


_NAMES = {
    "theta": "the effect",
    "theta_suppression": "the lowering effect",
    "theta_suppression_others": "the lowering effect on images of other classes",
    "removal_drop": "the removal drop",
}
"""What the effects that decide are called."""

_OTHER_SIDE: dict[Direction, tuple[str, str, tuple[str, str]]] = {
    "promotes": ("own_control_contrast", "suppression", ("images of the class itself", "lower")),
    "suppresses": ("suppression_others_control_contrast", "insertion_lift", ("images of other classes", "raise")),
}
"""What confirms a direction, what contradicts it, and the words for the images and for the contradiction."""
