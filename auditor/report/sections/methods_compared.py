"""Which method says what of which artefact, beside what the interventions found."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from auditor.explain.attribution.record import MapName, RegionScores
from auditor.measure.measurement import Measurement
from auditor.measure.words import listed, say_effect
from auditor.report.methods import read_methods
from auditor.report.sections.optima import judge_match
from auditor.report.telling import deciding
from auditor.report.words import subject
from auditor.run.result import AuditResult
from auditor.verdict.record import Finding

Pointing = Literal["points", "does not", "not clearly", "open", "random", "failed", "adversarial", "not applicable"]

Cell = tuple[Pointing, Measurement | None]
"""What a method says of an artefact, and the figure that it says it by."""


def view_methods_compared(result: AuditResult) -> dict[str, Any]:
    """A row for each method, a cell for each finding: what it says, and the figure that it says it by."""
    findings = result.findings
    methods = dict.fromkeys(entry.map for entry in result.region_scores)
    return {
        "maps": [(method, [_of_maps(method, finding, result) for finding in findings]) for method in methods],
        "studies": [(*study, [read(finding, result) for finding in findings]) for *study, read in _STUDIES],
        "answers": [which_method_shows_it(finding, result) for finding in findings],
    }


def points_at(entry: RegionScores | None, result: AuditResult) -> Pointing:
    """Whether a method's maps point at an artefact: more clearly than an edge filter, look-alike places and chance.

    `random` where the same method surely shows as much on the model with all weights drawn anew; `open` where that or
    an interval is unsettled.
    """
    if entry is None or not entry.scores or entry.scores["lift"].value is None:
        return "not applicable"
    if entry.map in read_methods(result.trust).failed:
        return "failed"
    excess, places = entry.scores["excess lift"], entry.scores["placement percentile"]
    bars = ((excess, 0.0), (places, 0.5))
    if any(one.lies_in(-math.inf, bar) for one, bar in bars):
        return "does not"
    if any(one.low is not None and one.against(bar) != "above" for one, bar in bars):
        return "not clearly"
    over = over_random_model(entry, result)
    if over is not None and over.lies_in(-math.inf, 0):
        return "random"
    is_clear = all(one.against(bar) == "above" for one, bar in bars)
    return "points" if is_clear and (over is None or over.against(0) == "above") else "open"


def which_method_shows_it(finding: Finding, result: AuditResult) -> str:
    """Whether the model used the opportunity to cheat, and which method shows it."""
    about = ", ".join(filter(None, subject(finding)))
    effect = deciding(finding)
    told = f", {effect.words.lower()} {say_effect(effect.measured)}" if effect else ""
    used = {
        "relies": f"yes, the model uses it{told}",
        "no_evidence": f"no evidence above the margin that the model uses it{told}",
        "unconfirmed": f"on images that did not propose it, nothing confirms that the model uses it{told}",
        "inconclusive": f"the interventions leave open whether the model uses it{told}",
    }.get(finding.told, "whether the model uses it could not be tested")
    states: dict[Pointing, list[str]] = {}
    for entry in result.region_scores:
        if entry.artefact == finding.artefact:
            states.setdefault(points_at(entry, result), []).append(read_methods(result.trust).name(entry.map))
    parts = [f"{words} {listed(states[state])}." for state, words in _POINTING.items() if state in states]
    if "points" not in states:
        parts.insert(0, f"No map {'that can be believed points at it' if parts else 'could be scored in its region'}.")
    return f"{about}: {used}. {' '.join(parts)}"


def over_random_model(entry: RegionScores, result: AuditResult) -> Measurement | None:
    """By how much a method's lift exceeds that of the same method on a model that knows nothing, where measured."""
    methods = result.trust.methods if result.trust is not None else []
    controls = [control for method in methods if method.map == entry.map for control in method.lifts]
    return next((one.over_random_model for one in controls if one.artefact == entry.artefact), None)


def _of_maps(method: MapName, finding: Finding, result: AuditResult) -> Cell:
    for entry in result.region_scores:
        if (entry.map, entry.artefact) == (method, finding.artefact):
            return points_at(entry, result), entry.scores.get("excess lift")
    return _NOTHING


def _of_optima(finding: Finding, result: AuditResult) -> Cell:
    states: dict[bool | None, Pointing] = {True: "points", False: "does not", None: "open"}
    for match in result.optima.matches if result.optima else []:
        if (match.artefact, match.target, match.status) == (finding.artefact, finding.target, "ok"):
            return states[judge_match(match)], match.measurements["over_placebos"]
    return _NOTHING


def _of_changes(reason: str, finding: Finding, result: AuditResult) -> Cell:
    """They stand in the region more than those towards a random class do, and more than an even change would."""
    name, record = finding.artefact, result.counterfactual
    if record is None:
        return _NOTHING
    for entry in record.sets:
        lead = entry.leads.get(name)
        is_asked = (entry.reason, entry.artefact, entry.control, entry.confined) == (reason, name, False, None)
        if is_asked and lead is not None and lead.value is not None and name in entry.regions:
            state = _by_sign(lead)
            if (entry.measurements["adversarial"].value or 0.0) >= 0.5:
                return "adversarial", lead
            is_even = state == "points" and entry.regions[name].against(record.areas[name]) != "above"
            return "not clearly" if is_even else state, lead
    return _NOTHING


def _of_errors(finding: Finding, result: AuditResult) -> Cell:
    for entry in result.errors.interventions if result.errors else []:
        if entry.artefact == finding.artefact and entry.removal_lead.value is not None:
            return _by_sign(entry.removal_lead), entry.removal_lead
    return _NOTHING


def _by_sign(lead: Measurement) -> Pointing:
    if lead.low is None:
        return "open"
    return "points" if lead.against(0) == "above" else "does not" if lead.lies_in(-math.inf, 0) else "not clearly"


_NOTHING: Cell = ("not applicable", None)

_AWAY = "share of the change in its region, over that towards a random class"
_TOWARDS = "the same, of images without it"

_STUDIES: tuple[tuple[str, str, str, Callable[[Finding, AuditResult], Cell]], ...] = (
    ("optima", "Activation maximisation", "match with the optima of the class, over harmless patterns", _of_optima),
    ("counterfactual", "Counterfactuals, away from the class", _AWAY, partial(_of_changes, "away")),
    ("counterfactual", "Counterfactuals, towards the class", _TOWARDS, partial(_of_changes, "towards")),
    ("errors", "Errors that carry it", "share that removing it corrects, over the same edit elsewhere", _of_errors),
)

_POINTING: dict[Pointing, str] = {
    "points": "Shown by",
    "not clearly": "Not clearly shown by",
    "does not": "Not shown by",
    "open": "Left open by",
    "random": "Shown no more than on a model that knows nothing by",
    "failed": "Not to be believed, for they failed their tests:",
}
