"""What the contrast of predicted and true class says about the errors, in words and pictures."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from auditor.explain.attribution.record import MapName
from auditor.explain.errors.record import (
    ContrastExemplar,
    ContrastIntervention,
    ContrastMaps,
    ContrastMending,
    ErrorsRecord,
)
from auditor.measure.measurement import Measurement
from auditor.measure.pieces import Interval, IntervalPlot
from auditor.measure.words import listed, number, say, say_n
from auditor.report.methods import Methods, read_methods
from auditor.report.packing import Album
from auditor.report.pictures import HeatLayer, heat_layer, map_scale
from auditor.report.sections.one_error import find_corrections, tell_why
from auditor.run.result import AuditResult

_OF_SENSITIVITY = {"gradient", "smoothgrad"}

_FEW = 0.1
"""An artefact whose removal mends surely less than this share of the errors is said not to make them."""


def view_errors(result: AuditResult, album: Album) -> dict[str, Any] | None:
    """What the section shows; None where the study did not run."""
    record = result.errors
    if record is None:
        return None
    names = read_methods(result.trust)
    corrections = find_corrections(result)
    reasons = [tell_why(entry, record, corrections, names) for entry in record.exemplars]
    return {
        "record": record,
        "helped": _say_what_helps(record),
        "answers": {
            "Do the maps of the predicted and of the true class differ?": _differ(record, names),
            "Does the difference explain the error?": _explain(record, names),
            "Which method helps most?": _choose(record, names),
            "Did the artefact cause the error?": " ".join(
                _blame(record, entry, names) for entry in record.interventions
            )
            or "No artefact is named, so none was tried.",
        },
        "reasons": reasons,
        "explained": sum(why.is_known for why in reasons),
        "mending_plot": _mending_plot(record, names),
        "layers_of": partial(_layers, album, names),
    }


def _differ(record: ErrorsRecord, names: Methods) -> str:
    if record.shares_logit:
        return (
            "Not applicable: the two classes share one logit, so the map of one is the negative of the other. "
            "Margins are of that logit: the log-odds of the predicted class."
        )
    known = [entry for entry in record.likeness if entry.overlap.value is not None]
    if not known:
        return "This is open: no map of an error was made, or all of them are zero."
    sides = [entry.overlap.against(0.5) for entry in known]
    apart = [entry for entry, side in zip(known, sides, strict=True) if side == "below"]
    if len(apart) == len(known):
        answer = "Yes, by every method: their strongest pixels are mostly not the same."
    elif set(sides) == {"above"}:
        answer = "Hardly: by every method both point at mostly the same pixels, whatever the class."
    else:
        answer = f"Clearly by {names.listed(apart)}; otherwise less, or it is open." if apart else "This is open."
    known.sort(key=lambda entry: entry.overlap.value or 0.0)
    least, most = known[0], known[-1]
    ranks = [entry.spearman.value for entry in known if entry.spearman.value is not None]
    return (
        f"{answer} Of the strongest pixels ({number(record.share, 'share')} of the picture) the two maps share between "
        f"{say(least.overlap)} by {names.name(least.map)} and {say(most.overlap)} by {names.name(most.map)} (medians "
        f"over up to {record.measured} errors). The rank correlation of all pixels runs from "
        f"{number(min(ranks), 'correlation')} to {number(max(ranks), 'correlation')}."
    )


def _explain(record: ErrorsRecord, names: Methods) -> str:
    *methods, random, edges = record.mending
    if not methods:
        return "This was not tried: no method of attribution made a map of the margin."
    winners = _winners(methods, names)
    best = (winners or methods)[0]
    if len(winners) == len(methods):
        answer = "Yes, by every method that was tried."
    elif winners:
        answer = f"By {names.listed(winners)} yes; by the others not clearly more than pixels chosen without the map."
    else:
        answer = "Not here: no margin map finds pixels that correct clearly more errors than the references do."
    fills = f"{'fills' if len(record.fills) > 1 else 'fill'} {listed(record.fills)}"
    return (
        f"{answer} {names.name(best.map)}: removing the {number(record.share, 'share')} of pixels that speak most for "
        f"the wrong class corrects {say(best.mended)} of {say_n(best.mended)} errors. As many pixels in the same shape "
        f"elsewhere correct {'–' if best.elsewhere is None else say(best.elsewhere)}, the strongest edges "
        f"{say(edges.mended)}, random pixels {say(random.mended)} (by most of the {fills})."
    )


def _choose(record: ErrorsRecord, names: Methods) -> str:
    *methods, _, _ = record.mending
    if not methods:
        return "None was tried."
    winners = _winners(methods, names)
    best = (winners or methods)[0]
    name, over_elsewhere, over_edges = names.name(best.map), _lead(best.over_elsewhere), _lead(best.over_edges)
    if winners:
        said = (
            f"{name}: removing what it points at corrects {over_elsewhere} more of the errors than the same shape "
            f"elsewhere, and {over_edges} more than edges."
        )
        said += f" Better than both, too: {names.listed(winners[1:])}." if winners[1:] else ""
        if best.map in names.failed:
            said += " It failed the tests of trust, so take this as a hint, not as a reason to rely on its maps."
    else:
        said = (
            "None clearly corrects more errors than the same shape elsewhere and than edges. "
            f"The nearest is {name}, {over_elsewhere} over its shape elsewhere and {over_edges} over edges."
        )
    worse = [entry for entry in methods if _is_below(entry.over_elsewhere) or _is_below(entry.fall_over_elsewhere)]
    if worse:
        point = "points" if len(worse) == 1 else "point"
        said += f" Removing what {names.listed(worse)} {point} at does worse than removing the same shape elsewhere."
    if any(entry.map.method in _OF_SENSITIVITY for entry in worse):
        said += (
            " Maps of sensitivity (gradient, SmoothGrad) may show where a change would help the wrong class, not what "
            "helps it now."
        )
    return f"{said} {_predicted_alone(best)}"


def _predicted_alone(best: ContrastMending) -> str:
    lead, mended = best.over_predicted, best.mended.value
    if lead is None or lead.value is None or mended is None:
        return ""
    alone, both = number(max(0.0, mended - lead.value), "share"), number(mended, "share")
    repairs = f"it corrects {alone} of the errors, the margin’s map {both}; difference {_lead(lead)}"
    return {
        "above": f"The map of the predicted class alone works less well: {repairs}.",
        "below": f"The map of the predicted class alone works better: {repairs}.",
        "open": f"Whether the map of the predicted class alone works as well is open: {repairs}.",
    }[lead.against(0)]


def _blame(record: ErrorsRecord, entry: ContrastIntervention, names: Methods) -> str:
    """Whether one artefact makes errors that removing it mends, and right predictions wrong."""
    lead = entry.removal_lead
    said = f"{entry.artefact}: "
    if not entry.removals:
        said += "none of these errors carries it, so it caused none of them."
    elif lead.value is None:
        first = say(next(iter(entry.removals.values())))
        said += f"removing it corrects {first}, with nothing to compare it with: {lead.reason}."
    else:
        few = "no" if lead.against(_FEW) == "below" else "open"
        said += (
            f"{'yes, some of them' if lead.against(0) == 'above' else few}. Removing it corrects {_lead(lead)} more of "
            f"the {lead.n} errors that carry it than the same edit elsewhere."
        )
    if entry.broken.value is None:
        return said
    towards = ", ".join(f"{name} {count}" for name, count in list(entry.towards.items())[:3])
    makes = entry.broken_lead.against(0) == "above"
    said += (
        f" Added to {entry.broken.n} pictures that the model gets right, it makes {say(entry.broken)} of them errors"
        f"{f' (towards {towards})' if towards else ''}; the strongest harmless edit makes "
        f"{say(entry.broken_by_controls)}. {'So it can cause errors.' if makes else 'No clear sign that it does.'}"
    )
    made = [share for share in record.regions if (share.artefact, share.errors) == (entry.artefact, "inserted")]
    if made:
        made.sort(key=lambda share: share.share.value or 0.0)
        least, most = made[0], made[-1]
        said += (
            f" Where adding it made the error, its place holds between {say(least.share)} ({names.name(least.map)}) "
            f"and {say(most.share)} ({names.name(most.map)}) of the margin maps; it covers "
            f"{number(least.area, 'share')} of the picture (medians over {most.share.n} errors)."
        )
    return said


def _layers(album: Album, names: Methods, entry: ContrastExemplar, maps: ContrastMaps) -> list[tuple[str, HeatLayer]]:
    """The maps of an error by one method; those of the two classes share one scale."""
    predicted, true, margin = (
        album.arrays[key].sum(axis=-1, keepdims=True, dtype=np.float64)
        for key in (maps.predicted, maps.true, maps.margin)
    )
    shared, is_strength = map_scale(predicted, true), maps.map in names.unsigned
    layers = (
        (f"predicted: {entry.predicted}", predicted, shared),
        (f"true: {entry.label}", true, shared),
        ("margin", margin, None),
        ("difference", np.abs(predicted - true), None),
    )
    return [
        (words, heat_layer(values.astype(np.float32), scale, album.put, is_strength=is_strength, outline=entry.place))
        for words, values, scale in layers
    ]


def _mending_plot(record: ErrorsRecord, names: Methods) -> IntervalPlot | None:
    rows = [
        Interval(names.short(entry.map), entry.mended, "reference" if entry.over_edges is None else "comparison")
        for entry in record.mending
    ]
    text = (
        f"The strongest {number(record.share, 'share')} of pixels by each margin map are removed (fills: "
        f"{', '.join(record.fills)}), as many at random (scattered), and at the strongest edges."
    )
    axis = "share of errors corrected"
    return IntervalPlot("Errors corrected.", rows, axis, text, origin=None, name="mending") if rows else None


def _winners(methods: list[ContrastMending], names: Methods) -> list[ContrastMending]:
    """The methods whose pixels mend clearly more than both references, those that failed their tests last."""
    found = [entry for entry in methods if _is_above(entry.over_elsewhere) and _is_above(entry.over_edges)]
    return sorted(found, key=lambda entry: entry.map in names.failed)


def _is_above(lead: Measurement | None) -> bool:
    return lead is not None and lead.against(0) == "above"


def _is_below(lead: Measurement | None) -> bool:
    return lead is not None and lead.against(0) == "below"


def _say_what_helps(record: ErrorsRecord) -> str:
    """Where the baseline of Integrated Gradients is what a fill puts in place of the pixels."""
    maps = {entry.map for entry in record.mending}
    shared = [fill for fill in record.fills if MapName("integrated_gradients", fill) in maps]
    if not shared:
        return ""
    puts = "one of the fills puts" if len(shared) == 1 else "two of the fills put"
    return (
        f"The path method’s baseline is close to what {puts} there ({' and '.join(shared)}), which favours it: compare "
        "it with other methods by inpainting."
    )


def _lead(measured: Measurement | None) -> str:
    return "an unknown share" if measured is None else say(measured, "points")
