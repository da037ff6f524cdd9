"""The verdicts and the interventions behind them, and what the maps hold in the region beside that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from auditor.artefacts.record import ArtefactRecord
from auditor.explain.attribution.record import RegionScores
from auditor.measure.measurement import Measurement
from auditor.measure.pieces import Curves, Interval, IntervalPlot, Line
from auditor.measure.words import listed, number
from auditor.report.labels import CONTROLS, DROP, LABELS, MEASUREMENTS, WAYS, Label
from auditor.report.methods import read_methods
from auditor.report.sections.methods_compared import Pointing, over_random_model, points_at
from auditor.report.telling import (
    deciding,
    effects_of,
    tell_advice,
    tell_bar,
    tell_cautions,
    tell_hardest_hit,
    tell_lead,
    tell_notes,
    tell_scale,
    tell_severity,
    tell_why,
)
from auditor.report.words import Figure, figures, headline, image_anchors, named
from auditor.run.result import AuditResult
from auditor.verdict.record import Finding, Stratum


def view_finding(at: int, finding: Finding, result: AuditResult) -> dict[str, Any]:
    record = next((record for record in result.artefacts if record.name == finding.artefact), None)
    effect = deciding(finding)
    return {
        "number": at,
        "finding": finding,
        "record": record,
        "lead": tell_lead(finding, result.rule),
        "why": tell_why(finding, result.rule),
        "severity": tell_severity(finding),
        "effects": effects_of(finding),
        "bar": tell_bar(finding, result.rule),
        "scale": tell_scale(effect.measured) if effect and finding.verdict == "relies" else "",
        "cautions": tell_cautions(finding),
        "notes": tell_notes(finding),
        "advice": tell_advice(finding, result.rule),
        "headline": headline(finding),
        "did": _tell_what_was_done(finding, record),
        "hit": tell_hardest_hit(finding),
        "harms": _rows(finding, [name for name in _HARMS if not _is_gain(finding.measurements.get(name))]),
        "checks": _rows(finding, _CHECKS),
        "tables": list(_tables(finding)),
        "images": image_anchors(result).get((finding.artefact, finding.target), ""),
        "missed": _missed(finding),
        "effects_plot": _effects_plot(at, finding),
        "lifts_plot": _lifts_plot(at, finding),
        "dose_plot": _dose_plot(at, finding, record.opacity if record else None),
    }


def _tell_what_was_done(finding: Finding, record: ArtefactRecord | None) -> str:
    """What was added to, or removed from, how many images, in a few sentences."""
    lift, drop = finding.measurements.get("insertion_lift"), finding.measurements.get("removal_drop")
    told = []
    if record is not None and record.box is not None:
        left, top, right, bottom = record.box
        told.append(
            f"The artefact is {right - left} × {bottom - top} pixels, {left} from the left and {top} from the top."
        )
    if lift is not None and lift.value is not None:
        told.append(f"It was added to {lift.n} images of other classes that are without it.")
    if finding.controls:
        names = listed([CONTROLS.get(name, name) for name in finding.controls], 5)
        told.append(f"In its place the same images got harmless edits: {names}.")
    if drop is not None and drop.value is not None:
        ways = listed([WAYS.get(name, name) for name in finding.drops], 5) if finding.drops else "removing it"
        told.append(f"It was removed from {drop.n} images that carry it ({ways}), beside the same edit elsewhere.")
    return " ".join(told) or finding.reason


def _rows(finding: Finding, names: Sequence[str]) -> list[Figure]:
    return [named(name, finding.measurements[name]) for name in names if _is_known(finding.measurements.get(name))]


def _is_known(measured: Measurement | None) -> bool:
    return measured is not None and measured.value is not None


def _is_gain(measured: Measurement | None) -> bool:
    """Whether what would be a harm is clearly its opposite, as where a class is recognised only with the artefact."""
    return measured is not None and measured.against(0) == "below"


def _tables(finding: Finding) -> Iterator[tuple[str, list[Figure], str]]:
    """A heading, what was measured under it, and the one reason why nothing of that could be."""
    known = {name for names in MEASUREMENTS.values() for name in names}
    others = {name: Label("") for name in finding.measurements if name not in known}
    for heading, names in (MEASUREMENTS | {"Further measurements": others}).items():
        rows = [named(name, finding.measurements[name]) for name in names if name in finding.measurements]
        rows[1:1] = figures(finding.drops, DROP) if heading == "Removing the artefact" else []
        if rows:
            yield heading, rows, rows[0].reason if all(row.reason for row in rows) else ""
    lifts = {"Harmless edits (controls): rise of the score": finding.controls, _VARIANTS: finding.variants}
    yield from ((heading, figures(found, "{}"), "") for heading, found in lifts.items() if found)
    yield from _strengths(finding)
    for column in dict.fromkeys(part.column for part in finding.strata):
        parts = sorted(_parts_of(finding, column), key=lambda part: -part.decisions_turned.bounds[0])[:_MOST_PARTS]
        turned = {part.value: part.decisions_turned for part in parts}
        yield f"Decisions turned to the target, by {column}", figures(turned, "{}", differences=turned), ""
    accuracy: dict[str, Measurement] = {}
    for entry in finding.carriers[:_MOST_PARTS]:
        accuracy |= {f"{entry.target}, with it": entry.carriers, f"{entry.target}, without": entry.others}
    if accuracy:
        yield "Accuracy with and without it, as the images came", figures(accuracy, "{}"), ""


def _strengths(finding: Finding) -> Iterator[tuple[str, list[Figure], str]]:
    """How much the artefact and each control change images: whether they are of equal strength."""
    known = {"the artefact": finding.strength} | {CONTROLS.get(k, k): v for k, v in finding.control_strengths.items()}
    held = {name: strength for name, strength in known.items() if strength is not None}
    pixels, visible = ({name: getattr(each, part) for name, each in held.items()} for part in ("pixels", "visible"))
    if held:
        yield "How much harmless edits change images: pixels, of their range", figures(pixels, "{}"), ""
        yield "How much that shows (1 − SSIM, 0 of equal images)", figures(visible, "{}"), ""


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
            f"With this many images an effect shows from {number(missed.smallest_effect, '')} log-odds on; a smaller "
            "one can be missed."
        )
    share = missed.unseen_share
    if share is not None and share.value is not None and share.high is not None:
        told += (
            f" Adding it changes the decision on {number(share.value, 'share')} of {share.n} images of other classes; "
            f"in images like these it may be as many as {number(share.high, 'share')}."
        )
    return told.strip()


def view_regions(number: int, finding: Finding, result: AuditResult) -> dict[str, Any]:
    entries = [entry for entry in result.region_scores if entry.artefact == finding.artefact]
    scored = [entry for entry in entries if entry.scores]
    names = read_methods(result.trust)
    lifts = [
        Interval(names.short(entry.map), entry.scores["lift"], "reference" if entry.map in names.failed else "variant")
        for entry in scored
    ]
    axis = "lift of the region (1 is an even map)"
    plot = IntervalPlot("Lift of the region.", lifts, axis, _LIFT, origin=1.0, name=f"lift{number}")
    return {
        "finding": finding,
        "rows": [(entry, over_random_model(entry, result)) for entry in entries],
        "plot": plot if lifts else None,
        "comparison": _compare_with_verdict(finding, scored, result),
        "images": max((entry.scores["lift"].n for entry in scored), default=0),
    }


def _compare_with_verdict(finding: Finding, scored: Sequence[RegionScores], result: AuditResult) -> str:
    """Whether the maps point where the interventions do."""
    if not scored:
        return "No map could be scored in this region."

    methods = read_methods(result.trust)

    def names(*states: Pointing) -> list[str]:
        return [methods.name(entry.map) for entry in scored if points_at(entry, result) in states]

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
    return f"{told} {listed(failed)}: not counted here." if failed else told


def _effects_plot(number: int, finding: Finding) -> IntervalPlot | None:
    names = sorted(_EFFECTS, key=lambda name: name != finding.endpoint)  # what decides stands first
    words = {name: LABELS[name].name.removesuffix(" (theta)") for name in names}  # else it is too long for a plot
    effects = {words[name]: finding.measurements[name] for name in names if name in finding.measurements}
    effects |= {DROP.replace("{}", name): drop for name, drop in finding.drops.items()}
    text = "Points are estimates, bars their intervals. The first decides: it is held against the dashed line."
    return plot_of_effects(effects, finding.margin, f"effects{number}", "Effects.", text)


def plot_of_effects(
    effects: Mapping[str, Measurement], margin: float, name: str, title: str, text: str
) -> IntervalPlot | None:
    """The effects that are known, and the margin of the verdict as a line."""
    rows = [Interval(name, effect.decisive) for name, effect in effects.items() if effect.value is not None]
    axis, bar = "effect on the target, log-odds", f"bar {number(margin, '')}"
    return IntervalPlot(title, rows, axis, text, bar=margin, bar_name=bar, name=name) if rows else None


def _lifts_plot(number: int, finding: Finding) -> IntervalPlot | None:
    if "insertion_lift" not in finding.measurements or not finding.controls:
        return None
    rows = [Interval("the artefact", finding.measurements["insertion_lift"], "subject")]
    rows += [Interval(f"control: {name}", value) for name, value in finding.controls.items()]
    rows += [Interval(f"variant: {name}", value, "variant") for name, value in finding.variants.items()]
    text = (
        "Controls (blue) are harmless edits in the same place and enter the verdict; variants (green) show how general "
        "the effect is and never decide."
    )
    axis = "rise of the target\u2019s score, log-odds"
    return IntervalPlot("Artefact, controls and variants.", rows, axis, text, name=f"lifts{number}")


def _dose_plot(number: int, finding: Finding, opacity: float | None) -> Curves | None:
    lifts = Line("", [(point.opacity, point.lift) for point in finding.dose_response], has_band=True)
    suspected = "" if opacity is None else f"as suspected, {opacity:.0%}"
    dosed = "share of the artefact's strength" if opacity is None else "opacity of the artefact"
    axes = (dosed, "rise of the target\u2019s score, log-odds")
    text = "How the score rises as the artefact fades in. Shown, never decisive: that it levels off is normal."
    dose = Curves(
        "Dose and response.",
        [lifts],
        *axes,
        text,
        mark=opacity,
        mark_name=suspected,
        has_dots=True,
        name=f"dose{number}",
    )
    return dose if lifts.points else None


_HARMS = (
    "flip_rate", "decisions_turned", "accuracy_drop", "suppression_flip_rate", "decisions_lost", "class_accuracy_drop",
    "removal_flip_rate", "carriers_accuracy_drop", "worst_group_accuracy",
)  # fmt: skip

_CHECKS = ("pasted_object", "accuracy", "no_op_change", "theta_elsewhere", "own_control_contrast", "removal_drop")

_EFFECTS = ("theta", "control_contrast", "class_contrast", "theta_suppression", "insertion_lift", "removal_drop")


_LIFT = "How many times more of the map lies in the region than an even map would put there."

_MOST_PARTS = 12
"""Parts of the images shown, those first whose decisions turn most."""

_VARIANTS = "Variants: rise of the score, never decisive"
