"""What the least changes say, in words and pictures."""

from __future__ import annotations

from typing import Any

from auditor.explain.counterfactual.record import NO_ERRORS, ChangeSet, CounterfactualRecord
from auditor.measure.intervals import missing
from auditor.measure.measurement import Measurement
from auditor.measure.pieces import Interval, IntervalPlot
from auditor.measure.words import number, say, say_interval, say_n
from auditor.report.words import finding_of
from auditor.run.result import AuditResult
from auditor.verdict.record import Finding

_FEWEST_PAIRS = 6
"""Fewer pairs than these have no interval of their median at 95 %."""

_NOT_MEASURED = missing("not measured when the run was made", unit="share")


def view_counterfactual(result: AuditResult) -> dict[str, Any] | None:
    """What the section shows; None where the study did not run."""
    record = result.counterfactual
    if record is None:
        return None
    artefacts = dict.fromkeys(entry.artefact for entry in record.sets if entry.artefact)
    asked = [entry for entry in record.sets if not entry.control and not entry.confined]
    return {
        "record": record,
        "asked": [(entry, _whether_meaningful(entry)) for entry in asked],
        "errors": _about_errors(record),
        "artefacts": [_about_artefact(at, name, record, finding_of(name, result)) for at, name in enumerate(artefacts)],
        "title_of": _title,
        "bounds_of": _bounds,
        "not_measured": _NOT_MEASURED,
    }


def _whether_meaningful(entry: ChangeSet) -> str:
    """Whether the changes explain anything by the rule."""
    calls = entry.measurements["adversarial"]
    if calls.value is None:
        return ""
    verdict = (
        "they show that the answer is fragile, not what it rests on."
        if _are_mostly_adversarial(entry)
        else "the others can be seen, and stand in one place or survive a blur, so what they change is worth a look."
    )
    share = f"{say(calls, 'bare')}, {_bounds(calls)}"
    return f"{say(calls, 'count')} changes ({share}) are adversarial by the rule; {verdict}"


def _are_mostly_adversarial(entry: ChangeSet) -> bool:
    return (entry.measurements["adversarial"].value or 0) >= 0.5


def _about_errors(record: CounterfactualRecord) -> str:
    """Whether one can learn from the changes why the errors were made."""
    entry = next((entry for entry in record.sets if entry.reason == "errors"), None)
    if entry is None:
        why = next((note.text for note in record.notes if note.kind == NO_ERRORS), None)
        return "No error was asked about." if why is None else f"There is nothing to learn from: {why}."
    told = [] if entry.nearness is None else [_tell_nearness(entry.nearness)]
    told += [_about_region(name, entry, record.areas[name]) for name in entry.regions]
    calls = entry.measurements["adversarial"]
    if calls.value is None:
        told.append("No change towards the truth was found, so nothing can be learnt from these.")
    elif _are_mostly_adversarial(entry):
        told.append(
            f"As {say(calls, 'count')} of these changes are adversarial, they teach that the errors are near calls, "
            "and little of why they were made."
        )
    else:
        told.append("The changes below that are not adversarial may show what the model missed of the true class.")
    return " ".join(part for part in told if part)


def _tell_nearness(nearness: Measurement) -> str:
    """Whether errors lie nearer to the truth than to another class, from the ratios of pairs."""
    pairs = f"median of {nearness.n} image{'' if nearness.n == 1 else 's'}"
    if nearness.value is None:
        return "Whether the truth is nearer than a random class is open: no image was led to both."
    length = number(nearness.value, "share")
    told = f"The way to the truth is {length} as long (L2) as that of the same image to a random class"
    if nearness.low is None or nearness.high is None or nearness.n < _FEWEST_PAIRS:
        return f"{told} ({pairs}, too few for an interval): whether the truth is nearer is open."
    ends = [number(end, "share") for end in (nearness.low, nearness.high)]
    return f"{told} ({pairs}; {ends[0]} to {ends[1]}): {_NEARNESS[nearness.against(1)]}."


def _about_region(name: str, entry: ChangeSet, area: float) -> str:
    """Whether an artefact's region has a part in the errors."""
    share, lead = entry.regions[name], entry.leads.get(name)
    if share.value is None:
        return ""
    told = (
        f"{say(share, 'bare')} of the change (median; {_bounds(share)}) lies where {name} is or would be, "
        f"{number(area, 'share')} of the frame"
    )
    if lead is None or lead.value is None:
        return f"{told}."
    end = "the artefact has a part" if _single_it_out(entry, name, area) else "no sign that it has a part"
    return f"{told}, {say(lead, 'points')} against a random class: {end} in these errors."


def _single_it_out(entry: ChangeSet, name: str, area: float) -> bool:
    """Whether the change lies in a region more than an even one would, and than that towards a random class."""
    lead = entry.leads.get(name)
    is_more = lead is None or lead.value is None or lead.against(0) == "above"
    return entry.regions[name].against(area) == "above" and is_more


def _about_artefact(
    at: int, name: str, record: CounterfactualRecord, finding: Finding | None
) -> tuple[str, list[str], IntervalPlot | None]:
    """Its title, the answers on it, and where the changes are spent."""
    entries = [entry for entry in record.sets if entry.artefact == name]
    area = record.areas.get(name)
    told = [_agreement(name, entries, area, finding), *_about_confined(entries)]
    plot = None if area is None else _plot(at, name, entries, area)
    return f"{name} and {finding.target}" if finding and finding.target else name, told, plot


def _plot(at: int, name: str, entries: list[ChangeSet], area: float) -> IntervalPlot | None:
    rows = []
    for entry in entries:
        if not entry.confined and name in entry.regions and entry.regions[name].value is not None:
            words = f"{'with' if entry.reason == 'away' else 'without'} it, {entry.wanted}"
            rows.append(Interval(words, entry.regions[name], "reference" if entry.control else "subject"))
    axis, bar = "share of the change's energy in the region", f"its area, {number(area, 'share')}"
    title = "Where the change is spent."
    text = "Orange: towards what was wanted; grey, hollow: the same images towards a random class. Bars are intervals."
    plot = IntervalPlot(title, rows, axis, text, origin=None, bar=area, bar_name=bar, name=f"changes{at}")
    return plot if rows else None


def _agreement(name: str, entries: list[ChangeSet], area: float | None, finding: Finding | None) -> str:
    """Whether the two directions speak for what interventions found."""
    if area is None:
        return "The artefact has no local region, so how much of a change lies in it is not applicable."
    target = (finding.target if finding else None) or "the target"
    told: list[str] = []
    singled: dict[str, bool] = {}
    for entry in entries:
        share, lead = entry.regions.get(name), entry.leads.get(name)
        if entry.control or entry.confined or share is None or share.value is None:
            continue
        singled[entry.reason] = _single_it_out(entry, name, area)
        text = (
            f"To {'leave' if entry.reason == 'away' else 'become'} {target}, the optimisation spends "
            f"{say(share, 'bare')} of its change (median; {_bounds(share)}, n = {say_n(share)}) inside the region, "
            f"which is {number(area, 'share')} of the frame"
        )
        if lead is not None and lead.value is not None:
            text += f"; against the same images led to a random class that is {say(lead, 'points')}"
        if _are_mostly_adversarial(entry):
            few = "yet they lie there more than at random" if singled[entry.reason] else "so where they lie says little"
            text += f"; {say(entry.measurements['adversarial'], 'count')} of these changes are adversarial, {few}"
        told.append(f"{text}.")
    if not told:
        return "No change was found in either direction, so there is nothing to compare."
    return " ".join([*told, _conclusion(singled, finding), "This is description: the interventions decide."])


def _conclusion(singled: dict[str, bool], finding: Finding | None) -> str:
    if all(singled.values()) and len(singled) > 1:
        seen = "Both directions single the artefact out"
    elif any(singled.values()):
        seen = f"Only the way {'away from' if singled.get('away') else 'towards'} the target singles the artefact out"
    else:
        seen = "The changes do not single the artefact out"
    contrary = finding is not None and any(singled.values()) != (finding.verdict == "relies")
    ends = {
        "relies": "though the interventions found reliance" if contrary else "as the interventions do",
        "no_evidence": f"{'though' if contrary else 'and'} the interventions found no evidence above the margin",
    }
    verdict = finding.verdict if finding else ""
    return f"{seen}, {ends[verdict]}." if verdict in ends else f"{seen}; the interventions did not settle it."


def _about_confined(entries: list[ChangeSet]) -> list[str]:
    """How far a change comes in the region alone, and outside it alone."""
    told = []
    for reason, way in (("away", "Away from the target"), ("towards", "Towards the target")):
        places = {entry.confined: entry.measurements for entry in entries if entry.reason == reason}
        parts = []
        for place, words in (("region", "in the region alone"), ("elsewhere", "outside it alone")):
            if place in places:
                success, length = places[place]["success"], places[place]["L2"]
                cost = "" if length.value is None else f", median length (L2) {say(length, 'bare')}"
                parts.append(f"{words} for {say(success, 'count')} images{cost}")
        told += [f"{way}, a change succeeds {'; '.join(parts)}."] if parts else []
    return [" ".join(told)] if told else []


def _title(entry: ChangeSet) -> str:
    place = "with" if entry.reason == "away" else "without"
    start = {"errors": "errors", "pair": "images"}.get(entry.reason, f"{place} {entry.artefact},")
    where = {"region": ", in the region only", "elsewhere": ", outside the region only"}
    return f"{start} {entry.wanted}{where.get(entry.confined or '', '')}"


def _bounds(measured: Measurement) -> str:
    return "too few for an interval" if measured.low is None else say_interval(measured)


_NEARNESS = {
    "below": "these images lie nearer to the truth than to a random class",
    "above": "these images lie further from the truth than from a random class",
    "open": "whether the truth is nearer is open",
}
