"""The verdicts and the interventions behind them, and what the maps hold in the region beside that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from auditor.explain.attribution.record import RegionScores
from auditor.measure.measurement import Measurement
from auditor.measure.pieces import Curves, Interval, IntervalPlot, Line
from auditor.measure.words import listed, name_in_words, signed
from auditor.report.sections.methods_compared import Pointing, over_random_model, points_at
from auditor.report.words import (
    ADVICE,
    DROP,
    MEASUREMENTS,
    Figure,
    failed_methods,
    figures,
    headline,
    image_anchors,
    method_name,
    named,
)
from auditor.run.result import AuditResult
from auditor.verdict.record import Finding, Stratum


def view_finding(number: int, finding: Finding, result: AuditResult) -> dict[str, Any]:
    record = next((record for record in result.artefacts if record.name == finding.artefact), None)
    return {
        "number": number,
        "finding": finding,
        "record": record,
        "advice": ADVICE[finding.verdict],
        "headline": headline(finding),
        "tables": list(_tables(finding)),
        "images": image_anchors(result).get((finding.artefact, finding.target), ""),
        "fills_disagree": _fills_disagree(finding),
        "missed": _missed(finding),
        "effects_plot": _effects_plot(number, finding),
        "lifts_plot": _lifts_plot(number, finding),
        "dose_plot": _dose_plot(number, finding, record.opacity if record else None),
    }


def _tables(finding: Finding) -> Iterator[tuple[str, list[Figure], str]]:
    """A heading, what was measured under it, and the one reason why nothing of that could be."""
    known = {name for names in MEASUREMENTS.values() for name in names}
    others = {name: "" for name in finding.measurements if name not in known}
    for heading, names in (MEASUREMENTS | {"Further measurements": others}).items():
        rows = [named(name, finding.measurements[name]) for name in names if name in finding.measurements]
        rows[1:1] = figures(finding.drops, DROP) if heading == "Removal" else []
        if rows:
            yield heading, rows, rows[0].reason if all(row.reason for row in rows) else ""
    lifts = {"Controls: insertion lift of innocent edits": finding.controls, _VARIANTS: finding.variants}
    yield from ((heading, figures(found, "{}"), "") for heading, found in lifts.items() if found)
    for column in dict.fromkeys(part.column for part in finding.strata):
        parts = sorted(_parts_of(finding, column), key=lambda part: -part.decisions_turned.bounds[0])[:_MOST_PARTS]
        turned = {part.value: part.decisions_turned for part in parts}
        yield f"Decisions turned, by {column}", figures(turned, "{}"), ""
    accuracy: dict[str, Measurement] = {}
    for entry in finding.carriers[:_MOST_PARTS]:
        accuracy |= {f"{entry.target}, with it": entry.carriers, f"{entry.target}, without": entry.others}
    if accuracy:
        yield "Accuracy by class, as the images came", figures(accuracy, "{}"), ""


def _parts_of(finding: Finding, column: str) -> list[Stratum]:
    return [part for part in finding.strata if part.column == column]


def _missed(finding: Finding) -> str:
    """What the finding could have missed, in a sentence or two."""
    missed = finding.could_be_missed
    if missed is None:
        return ""
    told = ""
    if missed.smallest_effect is not None:
        told = (
            f"So many images show an effect from {missed.smallest_effect:.2g} log-odds on; a smaller one can be missed."
        )
    share = missed.unseen_share
    if share is not None and share.value is not None and share.high is not None:
        told += (
            f" Inserting it changes the decision on {share.value:.1%} of {share.n} images of other classes; in images "
            f"like these it may be as many as {share.high:.1%}."
        )
    return told.strip()


def view_regions(number: int, finding: Finding, result: AuditResult) -> dict[str, Any]:
    entries = [entry for entry in result.region_scores if entry.artefact == finding.artefact]
    scored = [entry for entry in entries if entry.scores]
    failed = failed_methods(result)
    lifts = []
    for entry in scored:
        has_failed, name = entry.map in failed, method_name(entry.map)
        mark = "\N{BALLOT X} " if has_failed else ""
        lifts.append(Interval(f"{mark}{name}", entry.scores["lift"], "reference" if has_failed else "variant"))
    axis = "lift of the region (1 is an even map)"
    return {
        "finding": finding,
        "rows": [(entry, over_random_model(entry, result)) for entry in entries],
        "plot": IntervalPlot("", lifts, axis, origin=1.0, name=f"lift{number}") if lifts else None,
        "comparison": _compare_with_verdict(finding, scored, result),
        "images": max((entry.scores["lift"].n for entry in scored), default=0),
    }


def _compare_with_verdict(finding: Finding, scored: Sequence[RegionScores], result: AuditResult) -> str:
    """Whether the maps point where the interventions do."""
    if not scored:
        return "No map could be scored in this region."

    def names(*states: Pointing) -> list[str]:
        return [method_name(entry.map) for entry in scored if points_at(entry, result) in states]

    over, under, unsettled = names("points"), names("does not", "not clearly", "random"), names("open")
    told = f"{len(over)} of {len(scored)} maps point at the artefact, more clearly than edges and look-alike places do"
    told += f" ({listed(over)})" if over and under else ""
    told += f"; {listed(unsettled)} left it open" if unsettled else ""
    if finding.verdict == "relies" and under:
        told += (
            f". Interventions found reliance, yet the other maps ({listed(under)}) do not single the artefact out: "
            "whoever read those alone could have missed the shortcut."
        )
    elif finding.verdict == "relies":
        told += ". Interventions found reliance." if unsettled else ": here the maps agree with the interventions."
    elif finding.verdict == "no_evidence" and over:
        told += (
            ", though interventions found no evidence of reliance above the margin: here the maps show where the model "
            "looks, not what its answer depends on."
        )
    else:
        told += ". The interventions decide."
    failed = names("failed")
    return f"{told} {listed(failed)} failed the tests of trust, and count for nothing here." if failed else told


def _effects_plot(number: int, finding: Finding) -> IntervalPlot | None:
    effects = {name_in_words(name): finding.measurements[name] for name in _EFFECTS if name in finding.measurements}
    effects |= {DROP.replace("{}", name): drop for name, drop in finding.drops.items()}
    return plot_of_effects(effects, finding.margin, f"effects{number}")


def plot_of_effects(effects: Mapping[str, Measurement], margin: float, name: str) -> IntervalPlot | None:
    """The effects that are known, and the margin of the verdict as a line."""
    rows = [Interval(name, effect) for name, effect in effects.items() if effect.value is not None]
    axis, bar = "effect on the target, log-odds", f"margin {margin:.3g}"
    return IntervalPlot("", rows, axis, bar=margin, bar_name=bar, name=name) if rows else None


def _lifts_plot(number: int, finding: Finding) -> IntervalPlot | None:
    if "insertion_lift" not in finding.measurements or not finding.controls:
        return None
    rows = [Interval("the artefact", finding.measurements["insertion_lift"], "subject")]
    rows += [Interval(f"control: {name}", value) for name, value in finding.controls.items()]
    rows += [Interval(f"variant: {name}", value, "variant") for name, value in finding.variants.items()]
    return IntervalPlot("", rows, "insertion lift of the target, log-odds", name=f"lifts{number}")


def _dose_plot(number: int, finding: Finding, opacity: float | None) -> Curves | None:
    lifts = Line("", [(point.opacity, point.lift) for point in finding.dose_response], has_band=True)
    suspected = "" if opacity is None else f"as suspected, {opacity:.0%}"
    dosed = "share of the artefact's strength" if opacity is None else "opacity of the artefact"
    axes = (dosed, "insertion lift, log-odds")
    dose = Curves("", [lifts], *axes, mark=opacity, mark_name=suspected, has_dots=True, name=f"dose{number}")
    return dose if lifts.points else None


def _fills_disagree(finding: Finding) -> str | None:
    known = {name: drop.value for name, drop in finding.drops.items() if drop.value is not None}
    if len(known) < 2 or min(known.values()) * max(known.values()) >= 0:
        return None
    low, high = min(known, key=lambda n: known[n]), max(known, key=lambda n: known[n])
    return (
        f"The ways of removal disagree, from {signed(known[low])} ({low}) to {signed(known[high])} ({high}) "
        "log-odds: a fill is itself something to look at, and this model answers to it."
    )


_EFFECTS = ("theta", "control_contrast", "class_contrast", "theta_suppression", "insertion_lift", "removal_drop")


_MOST_PARTS = 12
"""Parts of the images shown, those first whose decisions turn most."""

_VARIANTS = "Variants: insertion lift, never decisive"
