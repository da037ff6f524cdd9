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
from auditor.measure.words import listed, number, say, signed
from auditor.report.packing import Album
from auditor.report.pictures import HeatLayer, heat_layer, map_scale
from auditor.report.words import list_methods, method_name
from auditor.run.result import AuditResult

_OF_SENSITIVITY = {"gradient", "smoothgrad"}

_FEW = 0.1
"""An artefact whose removal mends surely less than this share of the errors is said not to make them."""


def view_errors(result: AuditResult, album: Album) -> dict[str, Any] | None:
    """What the section shows; None where the study did not run."""
    record = result.errors
    if record is None:
        return None
    return {
        "record": record,
        "helped": _say_what_helps(record),
        "answers": {
            "Do the maps of the predicted and of the true class differ?": _differ(record),
            "Does the difference explain the error?": _explain(record),
            "Which method helps most?": _choose(record),
            "Was the error the artefact’s doing?": " ".join(_blame(record, entry) for entry in record.interventions)
            or "No artefact is named, so none was tried.",
        },
        "mending_plot": _mending_plot(record),
        "layers_of": partial(_layers, album),
    }


def _differ(record: ErrorsRecord) -> str:
    if record.shares_logit:
        return (
            "Not applicable: the two classes share one logit, so the map of the one is the negative of the other’s. "
            "Margins are of that logit: the log-odds of the predicted class."
        )
    known = [entry for entry in record.likeness if entry.overlap.value is not None]
    if not known:
        return "That is open: no map of an error was made, or all of them are zero."
    sides = [entry.overlap.against(0.5) for entry in known]
    apart = [entry for entry, side in zip(known, sides, strict=True) if side == "below"]
    if len(apart) == len(known):
        answer = "Yes, by every method: their strongest pixels are mostly not the same."
    elif set(sides) == {"above"}:
        answer = "Hardly: by every method both dwell on mostly the same pixels, whatever the class."
    else:
        answer = f"Clearly by {list_methods(apart)}; otherwise less, or it is open." if apart else "It is open."
    known.sort(key=lambda entry: entry.overlap.value or 0.0)
    least, most = known[0], known[-1]
    ranks = [entry.spearman.value for entry in known if entry.spearman.value is not None]
    return (
        f"{answer} In {len(known)} kinds of map on up to {record.measured} errors, the two share between "
        f"{say(least.overlap)} by {method_name(least.map)} and {say(most.overlap)} by {method_name(most.map)} of their "
        f"strongest pixels (median; the strongest are {number(record.share, 'share')} of the frame), and the rank "
        f"correlation of all pixels runs from {min(ranks):.2f} to {max(ranks):.2f}."
    )


def _explain(record: ErrorsRecord) -> str:
    *methods, random, edges = record.mending
    if not methods:
        return "That was not tried: no method of attribution made a map of the margin."
    winners = _winners(methods)
    best = (winners or methods)[0]
    if len(winners) == len(methods):
        answer = "Yes, by every method that was tried."
    elif winners:
        answer = f"By {list_methods(winners)} yes, by the others not clearly more than pixels chosen without the map."
    else:
        answer = "Not here: no margin map’s pixels mend clearly more errors than their own shape elsewhere and edges."
    groups = "" if best.mended.groups == best.mended.n else f" in {best.mended.groups} groups"
    fills = f"{'fills' if len(record.fills) > 1 else 'fill'} {listed(record.fills)}"
    return (
        f"{answer} Removing the {number(record.share, 'share')} of pixels that speak most for the wrong class by the "
        f"margin map of {method_name(best.map)} mends {say(best.mended)} of {best.mended.n} errors{groups}, as many in "
        f"the same shape elsewhere {'–' if best.elsewhere is None else say(best.elsewhere)}, the strongest edges "
        f"{say(edges.mended)}, scattered random pixels {say(random.mended)} (by most of the {fills})."
    )


def _choose(record: ErrorsRecord) -> str:
    *methods, _, _ = record.mending
    if not methods:
        return "None was tried."
    winners = _winners(methods)
    best = (winners or methods)[0]
    name, over_elsewhere, over_edges = method_name(best.map), _lead(best.over_elsewhere), _lead(best.over_edges)
    if winners:
        said = (
            f"{name}: removing what it blames mends {over_elsewhere} more of the errors than the same mask elsewhere "
            f"and {over_edges} more than edges, and moves the margin by {signed(-(best.fall.value or 0.0))} log-odds."
        )
        said += f" Better than both references, too: {list_methods(winners[1:])}." if winners[1:] else ""
    else:
        said = (
            "None clearly mends more errors than the same mask elsewhere and than edges. "
            f"The nearest is {name}, {over_elsewhere} over its mask elsewhere and {over_edges} over edges."
        )
    worse = [entry for entry in methods if _is_below(entry.over_elsewhere) or _is_below(entry.fall_over_elsewhere)]
    if worse:
        blame = "blames" if len(worse) == 1 else "blame"
        said += f" Removing what {list_methods(worse)} {blame} does worse than removing the same shape elsewhere."
    if any(entry.map.method in _OF_SENSITIVITY for entry in worse):
        said += (
            " A map of sensitivity (gradient, SmoothGrad) may tell where a change would speak for the error, not that "
            "what is there does."
        )
    return f"{said} {_predicted_alone(best)}"


def _predicted_alone(best: ContrastMending) -> str:
    lead, name = best.over_predicted, method_name(best.map)
    if lead is None or lead.value is None:
        return ""
    if lead.against(0) == "open":
        asked = "Whether the map of the predicted class alone would have done is open"
        return f"{asked}: by {name} the margin’s map mends {_lead(lead)} more."
    done = f"would not have done: by {name} it mends {_lead(lead)} less"
    better = f"does better: by {name} it mends {_lead(lead)} of errors more"
    return f"The map of the predicted class alone {done if lead.against(0) == 'above' else better}."


def _blame(record: ErrorsRecord, entry: ContrastIntervention) -> str:
    """Whether one artefact makes errors that removing it mends, and right predictions wrong."""
    lead = entry.removal_lead
    said = f"{entry.artefact}: "
    if not entry.removals:
        said += "none of the errors that were measured carries it, so it made none of these."
    elif lead.value is None:
        said += f"taking it out mends {say(next(iter(entry.removals.values())))}, without placebo: {lead.reason}."
    else:
        few = "no" if lead.against(_FEW) == "below" else "open"
        said += (
            f"{'yes, of some' if lead.against(0) == 'above' else few}: taking it out mends {_lead(lead)} more of the "
            f"{lead.n} errors that carry it than the same edit elsewhere."
        )
    if entry.broken.value is None:
        return said
    towards = ", ".join(f"{name} {count}" for name, count in list(entry.towards.items())[:3])
    makes = entry.broken_lead.against(0) == "above"
    said += (
        f" Put into {entry.broken.n} images that are predicted rightly, it makes {say(entry.broken)} of them errors"
        f"{f' (towards {towards})' if towards else ''}, the strongest innocent edit {say(entry.broken_by_controls)}: "
        f"{'it can make errors' if makes else 'no clear sign that it makes errors'}."
    )
    made = [share for share in record.regions if (share.artefact, share.errors) == (entry.artefact, "inserted")]
    if made:
        made.sort(key=lambda share: share.share.value or 0.0)
        least, most = made[0], made[-1]
        said += (
            f" Where inserting it made the error, the margin maps put between {say(least.share)} "
            f"({method_name(least.map)}) and {say(most.share)} ({method_name(most.map)}) of their weight in its "
            f"region, which is {number(least.area, 'share')} of the frame (medians, n = {most.share.n})."
        )
    return said


def _layers(album: Album, entry: ContrastExemplar, maps: ContrastMaps) -> list[tuple[str, HeatLayer]]:
    """The maps of an error by one method; those of the two classes share one scale."""
    predicted, true, margin = (
        album.arrays[key].sum(axis=-1, keepdims=True, dtype=np.float64)
        for key in (maps.predicted, maps.true, maps.margin)
    )
    shared = map_scale(predicted, true)
    layers = (
        (f"predicted: {entry.predicted}", predicted, shared),
        (f"true: {entry.label}", true, shared),
        ("margin", margin, None),
        ("difference", np.abs(predicted - true), None),
    )
    return [(words, heat_layer(values.astype(np.float32), scale, album.put)) for words, values, scale in layers]


def _mending_plot(record: ErrorsRecord) -> IntervalPlot | None:
    rows = [
        Interval(method_name(entry.map), entry.mended, "reference" if entry.over_edges is None else "comparison")
        for entry in record.mending
    ]
    return IntervalPlot("", rows, "share of errors mended", origin=None, name="mending") if rows else None


def _winners(methods: list[ContrastMending]) -> list[ContrastMending]:
    """The methods whose pixels mend clearly more than both references."""
    return [entry for entry in methods if _is_above(entry.over_elsewhere) and _is_above(entry.over_edges)]


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
        f"Integrated Gradients measures the difference to its baseline, which is close to what {puts} there "
        f"({' and '.join(shared)}): compare it with other methods by inpainting."
    )


def _lead(measured: Measurement | None) -> str:
    return "an unknown share" if measured is None else say(measured, "points")
