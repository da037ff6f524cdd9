"""The verdicts and the interventions behind them, and what the maps hold in the region beside that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from auditor.artefacts.record import ArtefactRecord
from auditor.explain.attribution.record import RegionScores
from auditor.measure.measurement import Measurement
from auditor.measure.pieces import Interval, IntervalPlot
from auditor.measure.words import listed, name_in_words, say, signed
from auditor.report import plots
from auditor.report.sections.methods_compared import over_random_model, points_at
from auditor.report.words import (
    ADVICE,
    MOST_ROWS,
    drop_in_words,
    failed_methods,
    figure,
    headline,
    image_anchors,
    method_name,
    named,
)
from auditor.run.result import AuditResult
from auditor.verdict.record import Finding


def view_finding(number: int, finding: Finding, record: ArtefactRecord | None, result: AuditResult) -> dict[str, Any]:
    drops = {drop_in_words(name): drop for name, drop in finding.drops.items()}
    tables = []
    for heading, names in _TABLES:
        rows = [named(name, finding.measurements[name]) for name in names if name in finding.measurements]
        if heading == "Removal":
            rows[1:1] = [figure(name, drop) for name, drop in drops.items()]
        if rows:
            reasons = {row.reason for row in rows}
            only_reason = rows[0].reason if "" not in reasons else None
            tables.append((heading, rows, only_reason))
    known = {name for _, names in _TABLES for name in names}
    others = [name for name in finding.measurements if name not in known]
    if others:
        tables.append(("Further measurements", [named(name, finding.measurements[name]) for name in others], None))
    return {
        "number": number,
        "finding": finding,
        "record": record,
        "box": _box(record),
        "opacity": None if record is None or record.opacity is None else f"{record.opacity:.2f}",
        "coverage": None if record is None or record.coverage is None else f"{record.coverage:.1%}",
        "advice": ADVICE[finding.verdict],
        "headline": headline(finding),
        "flip": named("flip_rate", finding.measurements["flip_rate"]) if "flip_rate" in finding.measurements else None,
        "tables": tables,
        "images": image_anchors(result).get((finding.artefact, finding.target), ""),
        "controls": [figure(name, value) for name, value in finding.controls.items()],
        "variants": [figure(name, value) for name, value in finding.variants.items()],
        "fills_disagree": _fills_disagree(finding),
        "effects_plot": _effects_plot(number, finding),
        "lifts_plot": _lifts_plot(number, finding),
        "dose_plot": plots.plot_doses(finding.dose_response, record.opacity if record else None, f"dose{number}")
        if finding.dose_response
        else None,
        "scanned": finding.scanned[:MOST_ROWS],
        "scanned_left_out": max(0, len(finding.scanned) - MOST_ROWS),
    }


def view_regions(number: int, finding: Finding, result: AuditResult) -> dict[str, Any]:
    entries = [entry for entry in result.region_scores if entry.artefact == finding.artefact]
    scored = [entry for entry in entries if entry.scores]
    failed = failed_methods(result)
    lifts = [
        Interval(f"\N{BALLOT X} {method_name(entry.map)}", entry.scores["lift"], "reference")
        if entry.map in failed
        else Interval(method_name(entry.map), entry.scores["lift"], "variant")
        for entry in scored
    ]
    plot = IntervalPlot("", lifts, "lift of the region (1 is an even map)", origin=1.0)
    return {
        "finding": finding,
        "rows": [
            (entry, [*(note.text for note in entry.notes), *_random_model_note(entry, result)]) for entry in entries
        ],
        "plot": plots.plot_intervals(plot, f"lift{number}") if lifts else None,
        "comparison": _compare_with_verdict(finding, scored, result),
        "images": max((entry.scores["lift"].n for entry in scored), default=0),
    }


def _compare_with_verdict(finding: Finding, scored: Sequence[RegionScores], result: AuditResult) -> str:
    """Whether the maps point where the interventions do."""
    if not scored:
        return "No map could be scored in this region."
    states = {entry.map: points_at(entry, result) for entry in scored}
    over = [method_name(name) for name, state in states.items() if state == "points"]
    under = [method_name(name) for name, state in states.items() if state in ("does not", "not clearly", "random")]
    failed = [method_name(name) for name, state in states.items() if state == "failed"]
    left_open = [method_name(name) for name, state in states.items() if state == "open"]
    told = f"{len(over)} of {len(scored)} maps point at the artefact, more clearly than edges and look-alike places do"
    told += f" ({listed(over)})" if over and under else ""
    told += f"; {listed(left_open)} left it open" if left_open else ""
    left_out = f" {listed(failed)} failed the tests of trust, and count for nothing here." if failed else ""
    if finding.verdict == "relies":
        if not under and not left_open:
            return f"{told}: here the maps agree with the interventions.{left_out}"
        if not under:
            return f"{told}. Interventions found reliance.{left_out}"
        return (
            f"{told}. Interventions found reliance, yet the other maps ({listed(under)}) do not single the artefact "
            f"out: whoever read those alone could have missed the shortcut.{left_out}"
        )
    if finding.verdict == "no_evidence" and over:
        return (
            f"{told}, though interventions found no evidence of reliance above the margin: "
            f"here the maps show where the model looks, not what its answer depends on.{left_out}"
        )
    return f"{told}. The interventions decide.{left_out}"


def _random_model_note(entry: RegionScores, result: AuditResult) -> list[str]:
    over = over_random_model(entry, result)
    return [] if over is None else [f"lift over that on a random model: {say(over, 'full')}"]


def _effects_plot(number: int, finding: Finding) -> Markup | None:
    rows = [(name_in_words(name), finding.measurements[name]) for name in _EFFECTS if name in finding.measurements]
    rows += [(drop_in_words(name), value) for name, value in finding.drops.items()]
    rows = [(label, value) for label, value in rows if value.value is not None]
    return plots.plot_intervals(plot_of_effects(rows, finding.margin), f"effects{number}") if rows else None


def plot_of_effects(rows: Sequence[tuple[str, Measurement]], margin: float) -> IntervalPlot:
    """Effects, and the margin of the verdict as a line."""
    intervals = [Interval(name, measured) for name, measured in rows]
    return IntervalPlot("", intervals, "effect on the target, log-odds", bar=margin, bar_name=f"margin {margin:.3g}")


def _lifts_plot(number: int, finding: Finding) -> Markup | None:
    if "insertion_lift" not in finding.measurements or not finding.controls:
        return None
    rows = [Interval("the artefact", finding.measurements["insertion_lift"], "subject")]
    rows += [Interval(f"control: {name}", value) for name, value in finding.controls.items()]
    rows += [Interval(f"variant: {name}", value, "variant") for name, value in finding.variants.items()]
    plot = IntervalPlot("", rows, "insertion lift of the target, log-odds")
    return plots.plot_intervals(plot, f"lifts{number}", row_height=0.3)


def _fills_disagree(finding: Finding) -> str | None:
    known = {name: drop.value for name, drop in finding.drops.items() if drop.value is not None}
    if len(known) < 2 or min(known.values()) * max(known.values()) >= 0:
        return None
    low, high = min(known, key=lambda n: known[n]), max(known, key=lambda n: known[n])
    return (
        f"The ways of removal disagree, from {signed(known[low])} ({low}) to {signed(known[high])} ({high}) "
        "log-odds: a fill is itself something to look at, and this model answers to it."
    )


def _box(record: ArtefactRecord | None) -> str | None:
    if record is None or record.box is None:
        return None
    left, top, right, bottom = record.box
    return f"{right - left} × {bottom - top} pixels at left {left}, top {top}"


_EFFECTS = ("theta", "control_contrast", "class_contrast", "theta_suppression", "insertion_lift", "removal_drop")


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
