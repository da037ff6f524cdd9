"""What the contrast of predicted and true class says about the errors, in words and pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from auditor.explain.attribution.record import MapName
from auditor.explain.errors.record import (
    ContrastExemplar,
    ContrastIntervention,
    ContrastLikeness,
    ContrastMending,
    ErrorsRecord,
)
from auditor.measure.measurement import Measurement
from auditor.measure.pieces import Interval, IntervalPlot
from auditor.measure.words import listed, say, signed
from auditor.report import plots
from auditor.report.packing import Album
from auditor.report.pictures import map_scale
from auditor.report.words import Figure, figure, method_name
from auditor.run.result import AuditResult

_MOST_LISTED = 12

_OF_SENSITIVITY = {"gradient", "smoothgrad"}

_FEW = 0.1
"""An artefact whose removal mends surely less than this share of the errors is said not to make them."""


def view_errors(result: AuditResult, album: Album) -> dict[str, Any]:
    """The section on errors; where the study did not run, only why."""
    record = result.errors
    if record is None:
        method = next((entry for entry in result.methods if entry.name == "errors"), None)
        why = "it is not in this result" if method is None else method.reason
        return {"record": None, "why": f"Errors were not explained: {why}."}
    return {
        "record": record,
        "share": _share(record),
        "fills": ", ".join(record.fills),
        "by_inpaint": "inpaint" in record.fills,
        "helped": _say_what_helps(record),
        "answers": [
            ("Do the maps of the predicted and of the true class differ?", _differ(record)),
            ("Does the difference explain the error?", _explain(record)),
            ("Which method helps most?", _choose(record)),
            ("Was the error the artefact’s doing?", _blame(record)),
        ],
        "mending": [_mending_row(entry) for entry in record.mending],
        "mending_plot": _mending_plot(record),
        "interventions": [(entry, _intervention_rows(entry)) for entry in record.interventions],
        "regions": [(entry, _MADE[entry.errors], f"{100 * entry.area:.1f} %") for entry in record.regions],
        "suspects": [(entry, f"{entry.score:.2f}") for entry in record.suspects[:_MOST_LISTED]],
        "mended": _WORDS,
        "suspects_left_out": max(0, len(record.suspects) - _MOST_LISTED),
        "groups": record.groups[:_MOST_LISTED],
        "groups_left_out": max(0, len(record.groups) - _MOST_LISTED),
        "exemplars": [_exemplar(entry, album) for entry in record.exemplars],
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
    apart = [entry for entry in known if entry.overlap.against(0.5) == "below"]
    alike = [entry for entry in known if entry.overlap.against(0.5) == "above"]
    least = min(known, key=_value(lambda entry: entry.overlap))
    most = max(known, key=_value(lambda entry: entry.overlap))
    told = (
        f"In {len(known)} kinds of map on up to {record.measured} errors, the two share between {say(least.overlap)} "
        f"by {method_name(least.map)} and {say(most.overlap)} by {method_name(most.map)} of their strongest "
        f"pixels (median; the strongest are {_share(record)} of the frame), and the rank correlation of all pixels "
        f"runs from {_extreme(known, min)} to {_extreme(known, max)}."
    )
    if len(apart) == len(known):
        return f"Yes, by every method: their strongest pixels are mostly not the same. {told}"
    if len(alike) == len(known):
        return f"Hardly: by every method both dwell on mostly the same pixels, whatever the class. {told}"
    named = listed([method_name(entry.map) for entry in apart] or ["none"])
    return f"{f'Clearly by {named}; otherwise less, or it is open.' if apart else 'It is open.'} {told}"


def _explain(record: ErrorsRecord) -> str:
    methods, random, edges = _parted(record)
    if not methods:
        return "That was not tried: no method of attribution made a map of the margin."
    winners = [entry for entry in methods if _beats(entry)]
    best = (winners or methods)[0]
    fills = "fills" if len(record.fills) > 1 else "fill"
    told = (
        f"Removing the {_share(record)} of pixels that speak most for the wrong class by the margin map of "
        f"{method_name(best.map)} mends {say(best.mended)} of {best.mended.n} errors{_grouped(best.mended)}, "
        "as many in the same shape "
        f"elsewhere {'–' if best.elsewhere is None else say(best.elsewhere)}, the strongest edges "
        f"{say(edges.mended)}, scattered random pixels {say(random.mended)} (by most of the {fills} "
        f"{listed(record.fills)})."
    )
    if len(winners) == len(methods):
        return f"Yes, by every method that was tried. {told}"
    if winners:
        names = listed([method_name(entry.map) for entry in winners])
        return f"By {names} yes, by the others not clearly more than pixels chosen without the map. {told}"
    return f"Not here: no margin map’s pixels mend clearly more errors than their own shape elsewhere and edges. {told}"


def _choose(record: ErrorsRecord) -> str:
    methods, _, _ = _parted(record)
    if not methods:
        return "None was tried."
    winners = [entry for entry in methods if _beats(entry)]
    best = (winners or methods)[0]
    worse = [
        entry
        for entry in methods
        if any(lead and lead.against(0) == "below" for lead in (entry.over_elsewhere, entry.fall_over_elsewhere))
    ]
    if not winners:
        said = (
            "None clearly mends more errors than the same mask elsewhere and than edges. "
            f"The nearest is {method_name(best.map)}, {_lead(best.over_elsewhere)} over its mask elsewhere and "
            f"{_lead(best.over_edges)} over edges."
        )
    else:
        said = (
            f"{method_name(best.map)}: removing what it blames mends {_lead(best.over_elsewhere)} more of the "
            f"errors than the same mask elsewhere and {_lead(best.over_edges)} more than edges, and moves the "
            f"margin by {signed(-(best.fall.value or 0.0))} log-odds."
        )
        others = [method_name(entry.map) for entry in winners[1:]]
        said += f" Better than both references, too: {listed(others)}." if others else ""
    if worse:
        names = listed([method_name(entry.map) for entry in worse])
        said += (
            f" Removing what {names} {'blames' if len(worse) == 1 else 'blame'} does worse than removing the same "
            "shape elsewhere."
        )
        if any(entry.map.method in _OF_SENSITIVITY for entry in worse):
            said += (
                " A map of sensitivity (gradient, SmoothGrad) may tell where a change would speak for the error, not "
                "that what is there does."
            )
    return f"{said} {_predicted_alone(best)}"


def _predicted_alone(best: ContrastMending) -> str:
    lead = best.over_predicted
    if lead is None or lead.value is None:
        return ""
    name = method_name(best.map)
    if lead.against(0) == "above":
        return f"The map of the predicted class alone would not have done: by {name} it mends {_lead(lead)} less."
    if lead.against(0) == "below":
        return f"The map of the predicted class alone does better: by {name} it mends {_lead(lead)} of errors more."
    return (
        f"Whether the map of the predicted class alone would have done is open: by {name} the margin’s map mends "
        f"{_lead(lead)} more."
    )


def _blame(record: ErrorsRecord) -> str:
    if not record.interventions:
        return "No artefact is named, so none was tried."
    return " ".join(_blame_one(record, entry) for entry in record.interventions)


def _blame_one(record: ErrorsRecord, entry: ContrastIntervention) -> str:
    lead = entry.removal_lead
    said = f"{entry.artefact}: "
    if not entry.removals:
        said += "none of the errors that were measured carries it, so it made none of these."
    elif lead.value is None:
        said += f"taking it out mends {say(next(iter(entry.removals.values())))}, without placebo: {lead.reason}."
    else:
        few = "no" if lead.against(_FEW) == "below" else "open"
        verdict = "yes, of some" if lead.against(0) == "above" else few
        compared = f"{_lead(lead)} more of the {lead.n} errors that carry it than the same edit elsewhere"
        said += f"{verdict}: taking it out mends {compared}."
    if entry.broken.value is None:
        return said
    towards = ", ".join(f"{name} {count}" for name, count in list(entry.towards.items())[:3])
    makes = entry.broken_lead.against(0) == "above"
    said += (
        f" Put into {entry.broken.n} images that are predicted rightly, it makes {say(entry.broken)} of them errors"
        f"{f' (towards {towards})' if towards else ''}, the strongest innocent edit "
        f"{say(entry.broken_by_controls)}: "
        f"{'it can make errors' if makes else 'no clear sign that it makes errors'}."
    )
    made = [share for share in record.regions if share.artefact == entry.artefact and share.errors == "inserted"]
    if made:
        held = sorted(made, key=lambda share: share.share.value or 0.0)
        said += (
            f" Where inserting it made the error, the margin maps put between {say(held[0].share)} "
            f"({method_name(held[0].map)}) and {say(held[-1].share)} ({method_name(held[-1].map)}) of "
            f"their weight in its region, which is {100 * held[0].area:.1f} % of the frame "
            f"(medians, n = {held[-1].share.n})."
        )
    return said


def _exemplar(entry: ContrastExemplar, album: Album) -> dict[str, Any]:
    rows = []
    for maps in entry.maps:
        predicted, true, margin = (
            album.arrays[key].sum(axis=-1, keepdims=True, dtype=np.float64)
            for key in (maps.predicted, maps.true, maps.margin)
        )
        pairs = (
            (f"predicted: {entry.predicted}", predicted, (predicted, true)),
            (f"true: {entry.label}", true, (predicted, true)),
            ("margin", margin, (margin,)),
            ("difference", np.abs(predicted - true), (predicted - true,)),
        )
        layers = [
            (words, album.heat(values.astype(np.float32), map_scale(*together))) for words, values, together in pairs
        ]
        rows.append((method_name(maps.map), [(words, layer, f"{layer.scale:.3g}") for words, layer in layers]))
    return {"entry": entry, "rows": rows}


def _mending_row(entry: ContrastMending) -> tuple[str, list[Measurement | None]]:
    inpainted = (entry.by_fill["inpaint"],) if "inpaint" in entry.by_fill else ()
    leads = (entry.elsewhere, entry.over_elsewhere, entry.over_edges, entry.over_predicted)
    return method_name(entry.map), [entry.mended, *inpainted, *leads, entry.fall]


def _mending_plot(record: ErrorsRecord) -> Markup | None:
    rows = [
        Interval(method_name(entry.map), entry.mended, "reference" if entry.over_edges is None else "comparison")
        for entry in record.mending
    ]
    plot = IntervalPlot("", rows, "share of errors mended", origin=None)
    return plots.plot_intervals(plot, "mending", row_height=0.3) if rows else None


def _intervention_rows(entry: ContrastIntervention) -> list[Figure]:
    rows = [figure(f"errors mended by removal, {way}", part) for way, part in entry.removals.items()]
    rows += [figure(f"errors mended by the same elsewhere, {way}", part) for way, part in entry.placebos.items()]
    rows += [
        figure("errors mended by removal, minus elsewhere", entry.removal_lead),
        figure("errors without it that inserting it mends", entry.mended_by_insertion),
        figure("errors without it that the strongest innocent edit mends", entry.mended_by_controls),
        figure("mended by inserting it, minus by every innocent edit", entry.insertion_lead),
        figure("right predictions that inserting it breaks", entry.broken),
        figure("right predictions that the strongest innocent edit breaks", entry.broken_by_controls),
        figure("broken by it, minus by every innocent edit", entry.broken_lead),
    ]
    return rows


def _parted(record: ErrorsRecord) -> tuple[list[ContrastMending], ContrastMending, ContrastMending]:
    """The methods, best first, and the two references."""
    *methods, random, edges = record.mending
    return methods, random, edges


def _beats(entry: ContrastMending) -> bool:
    return all(lead is not None and lead.against(0) == "above" for lead in (entry.over_elsewhere, entry.over_edges))


def _say_what_helps(record: ErrorsRecord) -> str:
    """Where the baseline of Integrated Gradients is what a fill puts in place of the pixels."""
    maps = {entry.map for entry in record.mending}
    shared = [fill for fill in record.fills if MapName("integrated_gradients", fill) in maps]
    if not shared:
        return ""
    puts = "is close to what one of the fills puts" if len(shared) == 1 else "is close to what two of the fills put"
    return (
        f"Integrated Gradients measures the difference to its baseline, which {puts} there "
        f"({' and '.join(shared)}): compare it with other methods by inpainting."
    )


def _value(of: Callable[[ContrastLikeness], Measurement]) -> Callable[[ContrastLikeness], float]:
    return lambda entry: of(entry).value or 0.0


def _extreme(entries: Sequence[ContrastLikeness], choose: Callable[[list[float]], float]) -> str:
    return f"{choose([entry.spearman.value for entry in entries if entry.spearman.value is not None]):.2f}"


def _grouped(measured: Measurement) -> str:
    return "" if measured.groups == measured.n else f" in {measured.groups} groups"


def _share(record: ErrorsRecord) -> str:
    return f"{100 * record.share:.3g} %"


def _lead(measured: Measurement | None) -> str:
    return "an unknown share" if measured is None else say(measured, "points")


_MADE = {"came": "those that came with it", "inserted": "those made by inserting it"}

_WORDS = {True: "yes", False: "no", None: "–"}
