"""What the report shows of a result, as text and pictures: templates do no arithmetic and never see raw numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt
from markupsafe import Markup

from auditor import figures
from auditor.explain.regions import REGION_SCORES
from auditor.records import ArtefactRecord, AuditResult, Exemplar, Finding, Measurement, RegionScores
from auditor.reliance import SEVERITY_THRESHOLDS

Arrays = dict[str, npt.NDArray[Any]]

_MOST_ROWS = 40
"""Longer tables are cut and point to result.json."""


@dataclass(frozen=True)
class Figure:
    """A measurement as text."""

    name: str
    meaning: str
    value: str
    interval: str
    level: str
    n: str
    unit: str
    reason: str


def view_result(result: AuditResult, arrays: Arrays) -> dict[str, Any]:
    records = {record.name: record for record in result.artefacts}
    findings = [
        _view_finding(number, finding, records.get(finding.artefact), result, arrays)
        for number, finding in enumerate(result.findings)
    ]
    classes = sorted(result.data.classes, key=lambda entry: entry.images == 0)  # those that the labels have come first
    return {
        "result": result,
        "findings": findings,
        "regions": [_view_regions(number, finding, result) for number, finding in enumerate(result.findings)],
        "region_scores": REGION_SCORES,
        "gallery": _view_gallery(result, arrays),
        "accuracy": _figure("accuracy", result.data.accuracy),
        "classes": [{"entry": entry, "figure": _figure(entry.name, entry.accuracy)} for entry in classes[:_MOST_ROWS]],
        "classes_left_out": max(0, len(result.data.classes) - _MOST_ROWS),
        "accuracy_plot": _accuracy_plot(result),
        "methods": [
            {
                "record": record,
                "options": json.dumps(record.options, ensure_ascii=False) if record.options else "none",
                "checks": [_figure(name, value) for name, value in record.diagnostics.items()],
            }
            for record in result.methods
        ],
        "agreements": [
            {
                "record": agreement,
                "figure": None if agreement.correlation is None else _figure("correlation", agreement.correlation, 6),
                "difference": None if agreement.largest_difference is None else f"{agreement.largest_difference:.1e}",
            }
            for agreement in result.agreement
        ],
        "fit": _fit(result),
        "mean_image": figures.picture_uri(arrays[result.data.mean_image]),
        "config": json.dumps(result.provenance.config, indent=2, ensure_ascii=False),
        "margin": f"{result.rule.margin:g}",
        "margin_sd": f"{result.rule.margin_sd:g}",
        "severities": [(name, f"{threshold:.0%}") for name, threshold in SEVERITY_THRESHOLDS],
        "skipped": result.data.skipped[:_MOST_ROWS],
        "skipped_left_out": max(0, len(result.data.skipped) - _MOST_ROWS),
    }


def _view_finding(
    number: int, finding: Finding, record: ArtefactRecord | None, result: AuditResult, arrays: Arrays
) -> dict[str, Any]:
    tables = []
    for heading, names in _TABLES:
        rows = [_named(name, finding.measurements[name]) for name in names if name in finding.measurements]
        if heading == "Removal":
            fills = [name for name in finding.measurements if name.startswith("removal_drop.")]
            rows[1:1] = [_named(name, finding.measurements[name]) for name in fills]
        if rows:
            reasons = {row.reason for row in rows}
            only_reason = rows[0].reason if "" not in reasons else None
            tables.append((heading, rows, only_reason))
    known = {name for _, names in _TABLES for name in names}
    others = [name for name in finding.measurements if name.partition(".")[0] not in known]
    if others:
        tables.append(("Further measurements", [_named(name, finding.measurements[name]) for name in others], None))
    return {
        "number": number,
        "finding": finding,
        "record": record,
        "box": _box(record),
        "opacity": None if record is None or record.opacity is None else f"{record.opacity:.2f}",
        "coverage": None if record is None or record.coverage is None else f"{record.coverage:.1%}",
        "picture": figures.picture_uri(arrays[record.picture]) if record is not None and record.picture else None,
        "advice": _ADVICE[finding.verdict],
        "headline": None
        if finding.endpoint is None
        else _named(finding.endpoint, finding.measurements[finding.endpoint]),
        "flip": _named("flip_rate", finding.measurements["flip_rate"]) if "flip_rate" in finding.measurements else None,
        "tables": tables,
        "controls": [_figure(name, value) for name, value in finding.controls.items()],
        "variants": [_figure(name, value) for name, value in finding.variants.items()],
        "fills_disagree": _fills_disagree(finding),
        "effects_plot": _effects_plot(number, finding),
        "lifts_plot": _lifts_plot(number, finding),
        "dose_plot": Markup(
            figures.plot_doses(finding.dose_response, record.opacity if record else None, f"dose{number}")
        )
        if finding.dose_response
        else None,
        "scanned": [{"entry": entry, "theta": _figure("theta", entry.theta)} for entry in finding.scanned[:_MOST_ROWS]],
        "scanned_left_out": max(0, len(finding.scanned) - _MOST_ROWS),
    }


def _view_regions(number: int, finding: Finding, result: AuditResult) -> dict[str, Any]:
    entries = [entry for entry in result.region_scores if entry.artefact == finding.artefact]
    scored = [entry for entry in entries if entry.scores]
    lifts = [(_method(entry.method), entry.scores["lift"]) for entry in scored]
    return {
        "finding": finding,
        "rows": [
            {
                "method": _method(entry.method),
                "scores": [_figure(name, entry.scores[name]) for name in REGION_SCORES] if entry.scores else [],
                "notes": entry.notes,
            }
            for entry in entries
        ],
        "plot": Markup(figures.plot_region_lift(lifts, f"lift{number}")) if lifts else None,
        "comparison": _compare_with_verdict(finding, scored),
        "images": max((entry.scores["lift"].n for entry in scored), default=0),
    }


def _compare_with_verdict(finding: Finding, scored: Sequence[RegionScores]) -> str:
    """One sentence on whether the maps point where the interventions do."""
    if not scored:
        return "No map could be scored in this region."
    over = [_method(e.method) for e in scored if (e.scores["excess lift"].low or 0) > 0]
    under = [_method(e.method) for e in scored if _method(e.method) not in over]
    told = f"{len(over)} of {len(scored)} maps hold clearly more in the region than an edge filter does"
    listed = f" ({', '.join(over)})" if over and under else ""
    if finding.verdict == "relies":
        if not under:
            return f"{told}: here the maps agree with the interventions."
        return (
            f"{told}{listed}. Interventions found reliance, yet the other maps ({', '.join(under)}) do not single "
            "the artefact out: whoever read those alone could have missed the shortcut."
        )
    if finding.verdict == "no_evidence" and over:
        return (
            f"{told}{listed}, though interventions found no evidence of reliance above the margin: "
            "here the maps show where the model looks, not what its answer depends on."
        )
    return f"{told}{listed}. The interventions decide."


def _view_gallery(result: AuditResult, arrays: Arrays) -> list[dict[str, Any]]:
    shown = []
    for exemplar in result.exemplars:
        maps = []
        for kept in exemplar.maps:
            layer = figures.heat_layer(arrays[kept.array])
            maps.append({"method": _method(kept.method), "layer": layer, "scale": f"{layer.scale:.3g}"})
        shown.append(
            {
                "exemplar": exemplar,
                "with": figures.picture_uri(arrays[exemplar.picture_with]) if exemplar.picture_with else None,
                "without": figures.picture_uri(arrays[exemplar.picture_without]) if exemplar.picture_without else None,
                "score_with": _signed(exemplar.score_with),
                "score_without": _signed(exemplar.score_without),
                "story": _story(exemplar),
                "maps": maps,
            }
        )
    return shown


def _story(exemplar: Exemplar) -> str:
    """What happened to this one image, in a sentence."""
    if exemplar.score_without is None or exemplar.score_with is None:
        return f"Explained for {exemplar.target}, which the model predicts."
    came = "It came with the artefact" if exemplar.carrier else "It came without the artefact"
    edit = f"taken out by {exemplar.removal}" if exemplar.carrier else "put in"
    change = exemplar.score_with - exemplar.score_without
    return (
        f"{came}, which was {edit}. With it the score of {exemplar.target} is {_signed(abs(change))[1:]} log-odds "
        f"{'higher' if change >= 0 else 'lower'} than without."
    )


def _fit(result: AuditResult) -> str:
    """What was done with images of another size than the model's, in words."""
    height, width, _ = result.model.image_shape
    fit = result.provenance.config.get("data", {}).get("fit", "exact")
    return f"{width} × {height} pixels: {_FITS[fit]} (data.fit = {fit})"


def _effects_plot(number: int, finding: Finding) -> Markup | None:
    rows = [(_label(name), finding.measurements[name]) for name in _EFFECTS if name in finding.measurements]
    rows += [(_label(n), value) for n, value in finding.measurements.items() if n.startswith("removal_drop.")]
    rows = [(label, value) for label, value in rows if value.value is not None]
    return Markup(figures.plot_effects(rows, finding.margin, f"effects{number}")) if rows else None


def _lifts_plot(number: int, finding: Finding) -> Markup | None:
    if "insertion_lift" not in finding.measurements or not finding.controls:
        return None
    rows = [("the artefact", finding.measurements["insertion_lift"], "artefact")]
    rows += [(f"control: {name}", value, "control") for name, value in finding.controls.items()]
    rows += [(f"variant: {name}", value, "variant") for name, value in finding.variants.items()]
    return Markup(figures.plot_lifts(rows, f"lifts{number}"))


def _accuracy_plot(result: AuditResult) -> Markup | None:
    classes = [entry for entry in result.data.classes if entry.accuracy.value is not None][:_MOST_ROWS]
    return Markup(figures.plot_accuracy(classes, "accuracy")) if classes else None


def _fills_disagree(finding: Finding) -> str | None:
    drops = {n.partition(".")[2]: m.value for n, m in finding.measurements.items() if n.startswith("removal_drop.")}
    known = {name: value for name, value in drops.items() if value is not None}
    if len(known) < 2 or min(known.values()) * max(known.values()) >= 0:
        return None
    low, high = min(known, key=lambda n: known[n]), max(known, key=lambda n: known[n])
    return (
        f"The ways of removal disagree, from {_signed(known[low])} ({low}) to {_signed(known[high])} ({high}) "
        "log-odds: a fill is itself something to look at, and this model answers to it."
    )


def _figure(name: str, measured: Measurement, digits: int = 2) -> Figure:
    """A measurement as text; a missing one is a dash with its reason."""
    is_share = measured.unit == "share"

    def show(value: float) -> str:
        if is_share:
            return f"{100 * value:.1f} %".replace("-", "\N{MINUS SIGN}")
        if measured.unit in _SIGNED:
            return _signed(value, 3 if measured.unit == "probability" else digits)
        return f"{value:.{digits}f}"

    interval = ""
    if measured.low is not None and measured.high is not None:
        interval = f"{show(measured.low)} to {show(measured.high)}"
        if measured.low_adjusted is not None:
            interval += f"; corrected lower bound {show(measured.low_adjusted)}"
    n = str(measured.n) if measured.groups == measured.n else f"{measured.n} in {measured.groups} groups"
    return Figure(
        name=name,
        meaning="",
        value="–" if measured.value is None else show(measured.value),
        interval=interval or "–",
        level="" if measured.level is None else f"{100 * measured.level:.4g} %",
        n=n,
        unit=measured.unit,
        reason=measured.reason or "",
    )


def _named(name: str, measured: Measurement) -> Figure:
    """A measurement of a finding, with what it means."""
    return replace(_figure(_label(name), measured), meaning=_MEANINGS.get(name, ""))


def _label(name: str) -> str:
    base, _, fill = name.partition(".")
    return base.replace("_", " ") + (f", {fill}" if fill else "")


def _method(name: str) -> str:
    """A method as one says it; the layer or baseline in brackets keeps its name."""
    method, bracket, variant = name.partition(" (")
    return _METHOD_NAMES.get(method, method.replace("_", " ")) + bracket + variant


def _box(record: ArtefactRecord | None) -> str | None:
    if record is None or record.box is None:
        return None
    left, top, right, bottom = record.box
    return f"{right - left} × {bottom - top} pixels at left {left}, top {top}"


def _signed(value: float | None, digits: int = 2) -> str:
    if value is None:
        return "–"
    text = f"{value:+.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


_FITS = {
    "exact": "all images had this size",
    "resize": "images of another size were resized to it, whatever their proportions",
    "crop": "images of another size were resized and their centre taken, in their own proportions",
}

_METHOD_NAMES = {"grad_cam": "Grad-CAM", "smoothgrad": "SmoothGrad", "integrated_gradients": "Integrated Gradients"}

_SIGNED = {"log-odds", "SD of the score", "probability", "difference of ratios"}


_EFFECTS = ("theta", "control_contrast", "class_contrast", "theta_suppression", "insertion_lift", "removal_drop")


_MEANINGS = {
    "theta": "the least of the three leads below; this decides",
    "control_contrast": "insertion lift minus that of the median control",
    "class_contrast": "insertion lift minus that of the other classes (90th percentile)",
    "own_control_contrast": "the control contrast on images of the target itself: evidence for it raises those, too",
    "insertion_lift": "how much inserting the artefact raises the score of the target",
    "lead_over_strongest_control": "insertion lift minus that of the control that moves most; never decides",
    "pasted_object": "check: how much pasting the middle of an image of the target into others raises its score",
    "no_op_change": "check: how much scoring an image again, unchanged, moves any class",
    "strongest_by_chance": "largest theta of any class that random innocent content reaches: median and range of draws",
    "theta_standardised": "theta in standard deviations of the target's score",
    "probability_change": "how much inserting it raises the probability of the target",
    "flip_rate": "images not predicted as the target that become it",
    "accuracy_without": "images of other classes, as they came",
    "accuracy_with": "the same images with the artefact inserted",
    "accuracy_drop": "what inserting it costs",
    "worst_group_accuracy": "the lowest accuracy of any class, with or without the artefact",
    "theta_suppression": "the least of the three leads below; this decides too",
    "suppression": "how much inserting the artefact lowers the target on its own images",
    "suppression_control_contrast": "that fall minus the median control's",
    "suppression_class_contrast": "that fall minus that of the other classes",
    "suppression_others_control_contrast": "the same over controls on other images: what hides an object spares those",
    "suppression_flip_rate": "images of the target, predicted as such, that no longer are with the artefact",
    "class_accuracy_without": "images of the target class, as they came",
    "class_accuracy_with": "the same images with the artefact inserted",
    "class_accuracy_drop": "what inserting it costs the target class",
    "removal_drop": "how much taking the artefact out lowers the target, minus the same edit elsewhere",
    "removal_flip_rate": "images predicted as the target that no longer are",
    "carriers_accuracy_with": "images that carry the artefact, as they came",
    "carriers_accuracy_without": "the same images with the artefact taken out",
    "carriers_accuracy_drop": "what taking it out costs",
}


_TABLES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Insertion", (
        "theta", "control_contrast", "class_contrast", "own_control_contrast", "insertion_lift",
        "lead_over_strongest_control", "strongest_by_chance", "theta_standardised", "probability_change", "flip_rate",
        "accuracy_without", "accuracy_with", "accuracy_drop", "worst_group_accuracy",
    )),
    ("Suppression", (
        "theta_suppression", "suppression_control_contrast", "suppression_class_contrast",
        "suppression_others_control_contrast", "suppression",
        "suppression_flip_rate", "class_accuracy_without", "class_accuracy_with", "class_accuracy_drop",
    )),
    ("Removal", (
        "removal_drop", "removal_flip_rate", "carriers_accuracy_with", "carriers_accuracy_without",
        "carriers_accuracy_drop",
    )),
    ("Checks of the run", ("pasted_object", "no_op_change")),
)  # fmt: skip


_ADVICE = {
    "relies": "Do not sign off on the score as it is: train without this artefact, balance it over the classes, or "
    "mask it, and audit again.",
    "no_evidence": "This says nothing of other artefacts, of smaller effects, or of images unlike these.",
    "inconclusive": "Audit with more images, or more independent groups of them, before deciding.",
    "not_applicable": "Change the configuration so that some images can be tested.",
    "error": "Mend the cause and audit again; nothing can be said of this artefact.",
}
