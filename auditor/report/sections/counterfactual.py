"""What the least changes say, in words and pictures."""

from __future__ import annotations

from typing import Any

from auditor.explain.counterfactual.record import NO_ERRORS, ChangedImage, ChangeSet, CounterfactualRecord
from auditor.measure.intervals import missing
from auditor.measure.measurement import Measurement
from auditor.measure.pieces import Interval
from auditor.measure.words import number, say, say_interval, say_n, signed
from auditor.report import plots
from auditor.report.packing import Album
from auditor.report.words import figure
from auditor.run.result import AuditResult
from auditor.verdict.record import Finding

SIZES = {
    "success": "share of images for which a change was found",
    "changed pixels": "share of the frame that moves by half a step of 8-bit colour or more (L0)",
    "L1": "sum of absolute changes; pixels reach from 0 to 1",
    "L2": "root of the sum of squared changes",
    "L-infinity": "largest change of any pixel; pixels reach from 0 to 1",
}
TRAITS = {
    "adversarial": "share of the changes found that the rule calls adversarial rather than explanatory",
    "RMS": "root mean square over the pixels that move; the rule asks whether a change can be seen",
    "survival": "share of the effect on the margin that is left when the change is blurred slightly",
    "spread": "share of the frame, in cells of a seventh of each side, that holds nine tenths of the energy",
    "block": "share of the energy in the one block of touching pixels that holds most",
    "high frequencies": "share of the change's energy above half of Nyquist's frequency (1/4 cycle per pixel)",
}

_FEWEST_PAIRS = 6
"""Fewer pairs than these have no interval of their median at 95 %."""

_NOT_MEASURED = missing("not measured when the run was made", unit="share")


def view_counterfactual(result: AuditResult, album: Album) -> dict[str, Any] | None:
    """What the section shows; None where the study did not run."""
    record = result.counterfactual
    if record is None:
        return None
    findings = {finding.artefact: finding for finding in result.findings}
    artefacts = list(dict.fromkeys(entry.artefact for entry in record.sets if entry.artefact))
    asked = [entry for entry in record.sets if not entry.control and not entry.confined]
    rule = record.rule
    return {
        "changed": [_what_changed(entry) for entry in asked],
        "meaning": [
            _whether_meaningful(entry) for entry in asked if entry.measurements["adversarial"].value is not None
        ],
        "frequencies": _real_frequencies(record),
        "errors": _about_errors(record),
        "artefacts": [
            _view_artefact(number, name, record, findings.get(name)) for number, name in enumerate(artefacts)
        ],
        "tables": [
            ("How large the least changes are: shares of images, and medians", SIZES, _rows(record, SIZES)),
            ("What kind of changes they are: shares of changes, and medians", TRAITS, _rows(record, TRAITS)),
        ],
        "shares": _view_shares(record),
        "exemplars": [
            (_capital(_title(entry)), [_view_image(image, album) for image in entry.shown])
            for entry in asked
            if entry.shown
        ],
        "rule": {
            "visible": f"{rule.visible:.3f} (8/255)",
            "rms": f"{rule.visible_rms:.4f} (1/255)",
            "survives": f"{rule.survives:.0%}",
            "in_place": f"{rule.in_place:.0%}",
            "in_block": f"{rule.in_block:.0%}",
            "block": f"{rule.block} pixels",
            "blur": "one pixel" if rule.blur == 1 else f"{rule.blur:.3g} pixels",
        },
        "notes": record.notes,
        "passes": record.passes,
    }


def _what_changed(entry: ChangeSet) -> tuple[str, str]:
    """An aim, and what the optimisation had to change for it."""
    success = entry.measurements["success"]
    text = f"found for {say(success, 'count')} images ({_bounds(success)})"
    pixels, largest = (entry.measurements[name] for name in ("changed pixels", "L-infinity"))
    if pixels.value is not None:
        text += (
            f"; the median change touches {figure('', pixels).value} of the pixels and moves none by more than "
            f"{figure('', largest).value} of the range from black to white"
        )
    if "best margin" in entry.measurements:
        margin = signed(entry.measurements["best margin"].value)
        text += f"; where none was found, the margin came to {margin} at best (median)"
    return _capital(_title(entry)), text + "."


def _whether_meaningful(entry: ChangeSet) -> tuple[str, str]:
    """An aim, and whether its changes explain anything by the rule."""
    measured = entry.measurements["adversarial"]
    calls = figure("", measured)
    told = f"{say(measured, 'count')} changes ({calls.value}, {_bounds(measured)}) are adversarial by the rule"
    if (measured.value or 0) >= 0.5:
        verdict = "they show that the answer is fragile, not what it rests on."
    else:
        verdict = (
            "the others can be seen, and stand in one place or survive a blur, so what they change is worth a look."
        )
    return _capital(_title(entry)), f"{told}; {verdict}"


def _real_frequencies(record: CounterfactualRecord) -> str:
    real = record.real_high_frequency
    if real.value is None:
        return ""
    return (
        "For comparison: in differences between real images that the model tells apart, "
        f"{number(real.value, real.unit)} of the energy is of high frequency "
        f"(median; {_bounds(real)}, n = {say_n(real)})."
    )


def _about_errors(record: CounterfactualRecord) -> str:
    """Whether one can learn from the changes why the errors were made."""
    entries = [entry for entry in record.sets if entry.reason == "errors"]
    if not entries:
        why = next((note.text for note in record.notes if note.kind == NO_ERRORS), None)
        return "No error was asked about." if why is None else f"There is nothing to learn from: {why}."
    entry = entries[0]
    told = []
    if entry.nearness is not None:
        told.append(_tell_nearness(entry.nearness))
    told += [_about_region(name, share, entry, record.areas[name]) for name, share in entry.regions.items()]
    calls = entry.measurements["adversarial"]
    if calls.value is None:
        told.append("No change towards the truth was found, so nothing can be learnt from these.")
    elif calls.value >= 0.5:
        told.append(
            f"As {say(calls, 'count')} of these changes are adversarial, they teach that the errors are near calls, "
            "and little of why they were made."
        )
    else:
        told.append("The changes below that are not adversarial may show what the model missed of the true class.")
    return " ".join(part for part in told if part)


def _tell_nearness(nearness: Measurement) -> str:
    """Whether errors lie nearer to the truth than to another class, from the ratios of pairs."""
    pairs = f"{nearness.n} image{'' if nearness.n == 1 else 's'}"
    if nearness.value is None:
        return "Whether the truth is nearer than a random class is open: no image was led to both."
    told = f"The way to the truth is {nearness.value:.0%} as long (L2) as that of the same image to a random class"
    if nearness.low is None or nearness.high is None or nearness.n < _FEWEST_PAIRS:
        return f"{told} (median of {pairs}, too few for an interval): whether the truth is nearer is open."
    told += f" (median of {pairs}; {nearness.low:.0%} to {nearness.high:.0%})"
    return f"{told}: {_NEARNESS[nearness.against(1)]}."


def _about_region(name: str, share: Measurement, entry: ChangeSet, area: float) -> str:
    """Whether an artefact's region has a part in the errors."""
    if share.value is None:
        return ""
    lead = entry.leads.get(name)
    shown = figure("", share)
    text = (
        f"{shown.value} of the change (median; {_bounds(share)}) lies where {name} is or would be, "
        f"{area:.1%} of the frame"
    )
    if lead is None or lead.value is None:
        return f"{text}."
    singled = share.against(area) == "above" and lead.against(0) == "above"
    end = "the artefact has a part in these errors" if singled else "no sign that it has a part in these errors"
    return f"{text}, {say(lead, 'percentage points')} against a random class: {end}."


def _view_artefact(number: int, name: str, record: CounterfactualRecord, finding: Finding | None) -> dict[str, Any]:
    entries = [entry for entry in record.sets if entry.artefact == name]
    area = record.areas.get(name)
    rows = [
        Interval(
            f"{'with' if entry.reason == 'away' else 'without'} it, {entry.wanted}",
            entry.regions[name],
            "reference" if entry.control else "subject",
        )
        for entry in entries
        if not entry.confined and name in entry.regions and entry.regions[name].value is not None
    ]
    return {
        "title": f"{name} and {finding.target}" if finding and finding.target else name,
        "answer": _agreement(name, entries, area, finding),
        "confined": _about_confined(entries),
        "plot": plots.plot_change_shares(rows, area, f"changes{number}") if rows and area is not None else None,
    }


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
        shown = figure("", share)
        way = f"To {'leave' if entry.reason == 'away' else 'become'} {target}"
        text = (
            f"{way}, the optimisation spends {shown.value} of its change (median; {_bounds(share)}, "
            f"n = {shown.n}) inside the region, which is {area:.1%} of the frame"
        )
        singled[entry.reason] = share.against(area) == "above"
        if lead is not None and lead.value is not None:
            text += f"; against the same images led to a random class that is {say(lead, 'percentage points')}"
            singled[entry.reason] &= lead.against(0) == "above"
        calls = entry.measurements["adversarial"]
        if (calls.value or 0) >= 0.5:
            few = "yet they lie there more than at random" if singled[entry.reason] else "so where they lie says little"
            text += f"; {say(calls, 'count')} of these changes are adversarial, {few}"
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
    ends = {
        ("relies", True): ", as the interventions do",
        ("relies", False): ", though the interventions found reliance",
        ("no_evidence", True): ", though the interventions found no evidence above the margin",
        ("no_evidence", False): ", and the interventions found no evidence above the margin",
    }
    end = ends.get((finding.verdict if finding else "", any(singled.values())), "; the interventions did not settle it")
    return f"{seen}{end}."


def _about_confined(entries: list[ChangeSet]) -> str | None:
    """How far a change comes in the region alone, and outside it alone."""
    told = []
    for reason, way in (("away", "Away from the target"), ("towards", "Towards the target")):
        places = {entry.confined: entry for entry in entries if entry.reason == reason and entry.confined}
        parts = []
        for place, words in (("region", "in the region alone"), ("elsewhere", "outside it alone")):
            if place in places:
                measured = places[place].measurements
                length = measured["L2"]
                cost = "" if length.value is None else f", median length (L2) {number(length.value, length.unit)}"
                parts.append(f"{words} for {say(measured['success'], 'count')} images{cost}")
        if parts:
            told.append(f"{way}, a change succeeds {'; '.join(parts)}.")
    return " ".join(told) or None


def _rows(record: CounterfactualRecord, columns: dict[str, str]) -> list[tuple[str, int, list[Measurement]]]:
    return [
        (_title(entry), entry.images, [entry.measurements.get(name, _NOT_MEASURED) for name in columns])
        for entry in record.sets
    ]


def _view_shares(record: CounterfactualRecord) -> list[tuple[str, str, str, Measurement, str]]:
    """For every aim and artefact: the area of its region, the share of the change in it, and that less the random."""
    return [
        (
            _title(entry),
            name,
            f"{record.areas[name]:.1%}",
            share,
            say(entry.leads.get(name, _NOT_MEASURED), "percentage points"),
        )
        for entry in record.sets
        if not entry.confined
        for name, share in entry.regions.items()
    ]


def _view_image(image: ChangedImage, album: Album) -> dict[str, Any]:
    difference, factor = album.difference(album.arrays[image.difference])
    call = "no change was found" if image.adversarial is None else "adversarial" if image.adversarial else "explanatory"
    return {
        "image": image,
        "difference": difference,
        "factor": None if factor is None else f"{factor:g}",
        "call": call,
        "pixels": f"{image.changed_pixels:.1%}",
        "l2": f"{image.l2:.3g}",
        "largest": f"{image.largest:.3f}",
    }


def _title(entry: ChangeSet) -> str:
    start = {"errors": "errors", "pair": "images"}.get(entry.reason)
    if start is None:
        start = f"{'with' if entry.reason == 'away' else 'without'} {entry.artefact},"
    where = {"region": ", in the region only", "elsewhere": ", outside the region only"}
    return f"{start} {entry.wanted}{where.get(entry.confined or '', '')}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _bounds(measured: Measurement) -> str:
    return "too few for an interval" if measured.low is None else say_interval(measured)


_NEARNESS = {
    "below": "these images lie nearer to the truth than to a random class",
    "above": "these images lie further from the truth than from a random class",
    "open": "whether the truth is nearer is open",
}
