"""Which methods of attribution deserve trust, in words first: what their tests say of this model."""

from __future__ import annotations

import operator
from typing import Any

from markupsafe import Markup

from auditor.explain.trust.record import MethodTrust, ReadingRecord, TrustCriterion, TrustRecord, TrustTest
from auditor.explain.trust.sanity import READINGS
from auditor.measure.ledger import Arrays
from auditor.report import pictures as figures
from auditor.report import plots
from auditor.report.sections.methods_compared import which_method_shows_it
from auditor.report.words import figure, in_brackets, listed, method_name, signed
from auditor.run.result import AuditResult

_SHOWN_STAGES = 4
"""Maps of the cascade that are shown for each method, the trained model's apart."""


def view_trust(result: AuditResult, arrays: Arrays) -> dict[str, Any] | None:
    """What the section shows; None where the study did not run."""
    record = result.trust
    if record is None:
        return None
    criteria = [criterion for criterion in record.criteria if _is_applied(record, criterion.name)]
    return {
        "sample": _describe_sample(record),
        "verdict": _say_who_deserves_trust(record),
        "levels": _describe_levels(result.rule.level),
        "criteria": [_view_criterion(criterion) for criterion in criteria],
        "unused": _say_what_was_not_tested(record) + _say_what_is_open(record) + _say_what_is_empty(record),
        "draws": "one draw of weights" if record.draws == 1 else f"the mean of {record.draws} draws of weights",
        "rows": [_view_method(entry, criteria) for entry in record.methods],
        "sense": _say_whether_it_makes_sense(record),
        "signs": [_say_signed_or_absolute(entry) for entry in record.methods if _reading(entry, "signed")],
        "smoothing": [_say_smoothed_or_not(entry) for entry in record.methods if _reading(entry, "smoothed")],
        "shortcut": [which_method_shows_it(finding, result) for finding in result.findings],
        "readings": [
            {"method": method_name(entry.method), "rows": [_view_reading(reading) for reading in entry.readings]}
            for entry in record.methods
        ]
        + [{"method": "controls", "rows": [_view_reading(control) for control in record.controls]}],
        "reading_meanings": READINGS,
        "cascade_plot": _plot_cascade(record),
        "deletion_plot": _plot_walks(record, "deletion"),
        "insertion_plot": _plot_walks(record, "insertion"),
        "strips": _view_strips(record, arrays),
        "pictured": record.pictured,
        "agreement": _view_agreement(record),
    }


def _describe_sample(record: TrustRecord) -> str:
    few = [entry for entry in record.methods if entry.is_costly]
    told = (
        f"{record.images} images of a seeded random choice: {record.with_artefact} with an artefact, explained for the "
        "class that it is suspected of, the others as they came, for what is predicted. Cells of "
        f"{record.cell} × {record.cell} pixels are deleted and inserted, and filled by the mean image and by a blur; "
        f"noise has a standard deviation of {record.noise:.0%} of the pixels' range."
    )
    if few:
        told += (
            f" {listed([method_name(entry.method) for entry in few])} would take too long on all of that, and "
            f"{'was' if len(few) == 1 else 'were'} tested on {few[0].images} images and fewer stages."
        )
    return told


def _say_who_deserves_trust(record: TrustRecord) -> str:
    by_status = {
        status: [entry for entry in record.methods if entry.status == status] for status in ("passed", "failed", "open")
    }
    count = len(record.methods)
    parts = []
    if by_status["passed"]:
        names = listed([method_name(entry.method) for entry in by_status["passed"]])
        parts.append(f"{len(by_status['passed'])} of {count} kinds of maps passed what decides: {names}.")
    else:
        parts.append(f"None of {count} kinds of maps passed all that decides.")
    if by_status["failed"]:
        names = "; ".join(f"{method_name(entry.method)}, {_why(entry)}" for entry in by_status["failed"])
        parts.append(f"Failed, and marked wherever their maps appear: {names}.")
    if by_status["open"]:
        names = "; ".join(f"{method_name(entry.method)}, {_why(entry)}" for entry in by_status["open"])
        parts.append(f"Left open, neither passed nor failed: {names}.")
    if record.why_not_randomised:
        parts.append(f"No weights could be drawn anew ({record.why_not_randomised}), so no method can pass outright.")
    return " ".join(parts)


def _why(entry: MethodTrust) -> str:
    """The decisive test that a method failed or left open, with its figure."""
    wanted = {"failed": ("failed",), "open": ("open", "not_applicable")}[entry.status]
    told = []
    for test in entry.tests:
        if test.outcome in wanted and test.name in _DECISIVE:
            told.append(f"{_named(test)} {in_brackets(test.measured) if test.measured else test.reason}")
    return ", ".join(told)


def _named(test: TrustTest) -> str:
    return f"{test.name} ({test.reading} map)" if test.reading else test.name


def _say_whether_it_makes_sense(record: TrustRecord) -> str:
    """On the plain saliency map, or the first method where that was not tested."""
    entry = next((entry for entry in record.methods if entry.method == "gradient"), record.methods[0])
    name = method_name(entry.method)
    tests = {test.name: test for test in entry.tests}
    parts = []
    randomised = tests["randomised weights"]
    if randomised.measured is not None:
        which = f"of the {randomised.reading} map " if randomised.reading else ""
        kept = in_brackets(randomised.measured)
        left = f"with weights drawn anew the order {which}correlates by {kept} with what it was"
        parts.append(f"{_MODEL_WORDS[randomised.outcome]}: {left}.")
    else:
        parts.append(f"Whether it follows the model could not be tested: {randomised.reason}.")
    order, edges = tests["order"], tests["edge filter"]
    if order.measured is not None:
        parts.append(
            f"The pixels that it ranks first move the score {_ORDER_WORDS[order.outcome]} than random ones, by "
            f"{in_brackets(order.measured)} over the way."
        )
    if edges.measured is not None:
        parts.append(f"Than an edge filter it is {_EDGE_WORDS[edges.outcome]}: {in_brackets(edges.measured)}.")
    verdict = {"passed": "Yes, here it does.", "failed": "No, not here.", "open": "That is open."}[entry.status]
    return f"{verdict} This is about the map of the {name}. {' '.join(parts)}"


def _say_signed_or_absolute(entry: MethodTrust) -> dict[str, str]:
    """Which of the two orders finds sooner what moves the score."""
    signs, strengths = _reading(entry, "signed"), _reading(entry, "absolute")
    assert signs is not None
    assert strengths is not None
    measured = signs.over_absolute
    assert measured is not None
    if measured.against(0) == "above":
        head = "signed"
        told = f"Its signs tell what speaks for the target: the signed order is better by {in_brackets(measured)}."
    elif measured.against(0) == "below":
        head = "absolute"
        better = in_brackets(measured.mapped(operator.neg))
        told = f"Its signs do not tell what speaks for the target: the absolute order is better by {better}."
    else:
        head = "open"
        told = f"The signed order is not clearly better or worse: {in_brackets(measured)}."
    gained = " and ".join(
        f"the {part.reading} one gains {in_brackets(part.gains['together'])}" for part in (signs, strengths)
    )
    stays = ""
    if entry.cascade:
        last = entry.cascade[-1]
        stays = (
            f" On a model that knows nothing the absolute map still correlates by {signed(last.absolute.value)} with "
            f"the trained model's, the signed one by {signed(last.signed.value)}."
        )
    return {"head": f"{method_name(entry.method)}: {head}.", "text": f"{told} Over a random order {gained}.{stays}"}


def _say_smoothed_or_not(entry: MethodTrust) -> dict[str, str]:
    """Whether smoothing helps to find what moves the score, and what it changes."""
    raw, smoothed = _reading(entry, "absolute"), _reading(entry, "smoothed")
    assert raw is not None
    assert smoothed is not None
    gain, likeness = smoothed.over_absolute, smoothed.likeness
    assert gain is not None
    assert likeness is not None
    head = {"above": "smoothed", "below": "raw", "open": "no clear difference"}[gain.against(0)]
    lifts = ""
    if raw.lift.value is not None and smoothed.lift.value is not None:
        before, after = (figure("", part.lift).value for part in (raw, smoothed))
        lifts = f"; the lift of the artefact's region goes from {before} to {after}"
    before, after = (in_brackets(part.gains["deletion"]) for part in (raw, smoothed))
    told = (
        f"Smoothing changes what the order gains by {in_brackets(gain)}; deletion alone goes from {before} to "
        f"{after}{lifts}. "
        f"It is another map, though: its ranking of the pixels correlates by {in_brackets(likeness)} with the raw one."
    )
    return {"head": f"{method_name(entry.method)}: {head}.", "text": told}


def _describe_levels(level: float) -> str:
    usual, shared = (f"{100 * part:.4g} %" for part in (level, (1 + level) / 2))
    return f"{usual} intervals ({shared} where two readings are tested)"


def _view_criterion(criterion: TrustCriterion) -> dict[str, str]:
    sides = ("under", "over") if criterion.better == "low" else ("over", "under")
    if criterion.passes == criterion.fails:
        rule = f"passed {sides[0]} {criterion.passes:g}, failed {sides[1]} it"
    else:
        rule = f"passed {sides[0]} {criterion.passes:g}, failed {sides[1]} {criterion.fails:g}"
    return {
        "name": criterion.name,
        "question": criterion.question[:1].upper() + criterion.question[1:],
        "figure": criterion.figure,
        "rule": rule,
        "wanted": f"wanted {sides[0]} {criterion.passes:g}",
        "decisive": "decides" if criterion.decisive else "",
    }


def _view_method(entry: MethodTrust, criteria: list[TrustCriterion]) -> dict[str, Any]:
    tests = {test.name: test for test in entry.tests}
    return {
        "key": entry.method,
        "method": method_name(entry.method),
        "status": entry.status,
        "best": f"best read {entry.best_reading}" if entry.best_reading else "",
        "n": entry.images,
        "cells": [_view_test(tests[criterion.name]) for criterion in criteria],
    }


def _view_test(test: TrustTest) -> dict[str, Any]:
    return {
        "outcome": test.outcome,
        "reading": test.reading or "",
        "figure": None if test.measured is None else figure(test.name, test.measured),
    }


def _say_what_was_not_tested(record: TrustRecord) -> list[str]:
    """Which tests were not applicable to which methods, and why."""
    found: dict[tuple[str, str], list[str]] = {}
    for entry in record.methods:
        for test in entry.tests:
            if test.outcome == "not_applicable":
                found.setdefault((test.name, test.reason or ""), []).append(method_name(entry.method))
    return [f"{name}: not applicable to {listed(methods)}, for {why}." for (name, why), methods in found.items()]


def _say_what_is_open(record: TrustRecord) -> list[str]:
    """Which tests were left open whatever their figure, and why."""
    found: dict[tuple[str, str], list[str]] = {}
    for entry in record.methods:
        for test in entry.tests:
            if test.outcome == "open" and test.reason:
                found.setdefault((test.name, test.reason), []).append(method_name(entry.method))
    return [f"{name}: left open for {listed(methods)}, since {why}." for (name, why), methods in found.items()]


def _say_what_is_empty(record: TrustRecord) -> list[str]:
    """What share of the maps of random models has no order."""
    worst = {entry.method: max((stage.empty for stage in entry.cascade), default=0.0) for entry in record.methods}
    return [
        f"{method_name(method)}: up to {share:.0%} of its maps at one stage of random weights are the same everywhere "
        "or not finite; they count neither as changed nor as unchanged."
        for method, share in worst.items()
        if share > 0
    ]


def _view_reading(record: ReadingRecord) -> dict[str, Any]:
    columns = [*(record.gains[kind] for kind in _GAINS), record.over_edges, record.likeness, record.lift]
    return {"name": record.reading, "cells": [None if value is None else figure("", value) for value in columns]}


def _plot_cascade(record: TrustRecord) -> Markup | None:
    rows = []
    for entry in record.methods:
        reading = next(test.reading for test in entry.tests if test.name == "randomised weights") or "absolute"
        stages = [stage.signed if reading == "signed" else stage.absolute for stage in entry.cascade]
        if stages:
            rows.append((f"{method_name(entry.method)}, {reading}", stages))
    threshold = next(criterion.passes for criterion in record.criteria if criterion.name == "randomised weights")
    return Markup(plots.plot_cascade(rows, threshold, "cascade")) if rows else None


def _plot_walks(record: TrustRecord, kind: str) -> Markup:
    rows = []
    for entry in record.methods:
        best = _reading(entry, entry.best_reading or "absolute")
        if best is not None and not entry.is_costly:
            rows.append((f"{method_name(entry.method)}", getattr(best, kind)))
    controls = [(control.reading, getattr(control, kind)) for control in record.controls]
    return Markup(plots.plot_walks(rows, controls, record.fractions, _DONE[kind], kind))


def _view_strips(record: TrustRecord, arrays: Arrays) -> list[dict[str, Any]]:
    """For each method the map of one image, of the trained model and as ever more of it is randomised."""
    under = figures.picture_uri(arrays[record.picture])
    strips = []
    for entry in record.methods:
        count = len(entry.cascade)
        chosen = sorted({round(at * (count - 1) / (_SHOWN_STAGES - 1)) for at in range(_SHOWN_STAGES)}) if count else []
        if entry.trained_map is None or not count:
            continue
        maps = [("trained", entry.trained_map, "")]
        for at in chosen:
            stage = entry.cascade[at]
            if stage.map is not None:
                words = "all random" if at == count - 1 else f"random to {stage.lowest_layer}"
                maps.append((words, stage.map, signed(stage.signed.value)))
        shown = [
            {"caption": caption, "layer": figures.heat_layer(arrays[key]), "kept": kept} for caption, key, kept in maps
        ]
        strips.append({"key": entry.method, "method": method_name(entry.method), "under": under, "maps": shown})
    return strips


def _view_agreement(record: TrustRecord) -> dict[str, Any] | None:
    """A table of every two methods, and the closest and the farthest pair in words."""
    known = [entry for entry in record.likenesses if entry.correlation.value is not None]
    if not known:
        return None
    names = [entry.method for entry in record.methods]
    values = {(entry.first, entry.second): entry for entry in record.likenesses}
    rows = []
    for first in names:
        cells = []
        for second in names:
            entry = values.get((first, second)) or values.get((second, first))
            told = None if entry is None else figure("", entry.correlation)
            strength = 0 if entry is None else min(5, max(0, round(5 * (entry.correlation.value or 0.0))))
            cells.append({"figure": told, "strength": strength})
        rows.append({"method": method_name(first), "key": first, "cells": cells})
    known.sort(key=lambda entry: entry.correlation.value or 0.0)
    farthest, closest = (
        f"{method_name(entry.first)} and {method_name(entry.second)}, {in_brackets(entry.correlation)}"
        for entry in (known[0], known[-1])
    )
    agree = sum((entry.correlation.value or 0.0) >= 0.5 for entry in known)
    return {
        "rows": rows,
        "names": [method_name(name) for name in names],
        "sentence": (
            f"{agree} of {len(known)} pairs correlate by 0.5 or more (Spearman of absolute maps, median over "
            f"images). Closest are {closest}; farthest apart {farthest}. Methods that disagree cannot all show "
            "what the model looks at."
        ),
    }


def _is_applied(record: TrustRecord, name: str) -> bool:
    return any(
        test.outcome != "not_applicable" for entry in record.methods for test in entry.tests if test.name == name
    )


def _reading(entry: MethodTrust, name: str) -> ReadingRecord | None:
    return next((reading for reading in entry.readings if reading.reading == name), None)


_DECISIVE = ("randomised weights", "order")
_GAINS = ("deletion", "insertion", "together")
_DONE = {"deletion": "deleted", "insertion": "inserted"}
_MODEL_WORDS = {
    "passed": "It follows the model",
    "failed": "It does not follow the model",
    "open": "Whether it follows the model is open",
}
_ORDER_WORDS = {"passed": "sooner", "failed": "no sooner", "open": "not clearly sooner"}
_EDGE_WORDS = {"passed": "better", "failed": "no better", "open": "not clearly better or worse"}
