"""What the model looks for: optimal inputs, their pictures and tables."""

from __future__ import annotations

from typing import Any

from auditor.explain.optima.record import (
    ArtefactMatch,
    ClassOptimum,
    OptimaRecord,
)
from auditor.measure.pieces import Interval, IntervalPlot
from auditor.report import plots
from auditor.report.sections.optima_words import (
    tell_feature,
    tell_looks,
    tell_match,
    tell_objective,
    tell_objective_value,
    tell_regularisation,
    tell_start,
    tell_steps,
)
from auditor.report.words import MOST_ROWS, figure
from auditor.run.result import AuditResult
from auditor.verdict.record import Finding

NAME = "optima"


def view_optima(result: AuditResult) -> dict[str, Any]:
    record = result.optima
    if record is None:
        return {"absent": _why_absent(result)}
    findings = {finding.artefact: finding for finding in result.findings}
    shown = record.classes[:MOST_ROWS]
    comparisons = {each.topic: each for each in record.comparisons}
    return {
        "absent": None,
        "made": _how_made(record),
        "matches": [
            _view_match(number, match, findings.get(match.artefact), record)
            for number, match in enumerate(record.matches)
        ],
        "classes": [(entry, _over_restarts(entry)) for entry in shown],
        "classes_left_out": len(record.classes) - len(shown),
        "looks": tell_looks(record.looks, record),
        "looks_rows": [figure(name, getattr(record.looks, key), 3) for key, name in _LOOKS.items()],
        "steps": tell_steps(record.classes, record),
        "snapshots": [(each, tell_objective_value(each.value, record)) for each in record.classes[0].snapshots],
        "first": record.classes[0].name,
        "curve": plots.plot_ascent([(c.name, [(p.step, p.value) for p in c.curve]) for c in shown], "ascent"),
        "comparisons": [
            (question, comparisons[topic], tell(comparisons[topic], record))
            for topic, (question, tell) in _QUESTIONS.items()
            if topic in comparisons
        ],
        "sides": _SIDES,
        "features": [(feature, tell_feature(feature)) for feature in record.features],
        "notes": [note.text[0].upper() + note.text[1:] for note in record.notes],
    }


def _why_absent(result: AuditResult) -> str:
    for method in result.methods:
        if method.name == NAME:
            return f"{_STATES.get(method.status, method.status)}: {method.reason or 'no reason was given'}."
    return "Not run: this audit was made without it."


def _how_made(record: OptimaRecord) -> str:
    return (
        f"{record.steps} steps up the gradient of the {_OBJECTIVES[record.objective]}, {record.restarts} independent "
        f"restarts for each class, from {_STARTS[record.start]}. What is varied: {record.recipe}. Penalties weigh in "
        "standard deviations of the class’s score; images stay in [0, 1] at every step."
    )


def _view_match(number: int, match: ArtefactMatch, finding: Finding | None, record: OptimaRecord) -> dict[str, Any]:
    plot = None
    if match.status == "ok":
        rows = [
            Interval(name, value, "subject" if name == match.target else "comparison")
            for name, value in list(match.classes.items())[:MOST_ROWS]
        ]
        rows += [Interval(f"placebo: {name}", value, "variant") for name, value in match.placebos.items()]
        intervals = IntervalPlot("", rows, "correlation at the best place")
        plot = plots.plot_intervals(intervals, f"match{number}", row_height=0.28)
    return {
        "match": match,
        "answer": tell_match(match, finding, record),
        "rows": [figure(name, match.measurements[key]) for key, name in _LEADS.items() if key in match.measurements],
        "plot": plot,
    }


def _over_restarts(entry: ClassOptimum) -> str:
    odds, probability = figure("", entry.log_odds), figure("", entry.probability)
    return (
        f"log-odds {odds.value} ({odds.reason or odds.interval}), probability {probability.value}, "
        f"over {entry.log_odds.n} restarts"
    )


_STATES = {"off": "Switched off", "not_applicable": "Not applicable", "error": "It failed", "ok": "Not run"}

_OBJECTIVES = {"logit": "logit", "log_odds": "log-odds", "probability": "probability"}

_STARTS = {"noise": "grey noise", "grey": "plain grey", "image": "real images of other classes"}

_SIDES = {
    "noise": "from noise, regularised",
    "image": "from a real image, regularised",
    "logit": "logit",
    "probability": "probability",
    "bare": "bare pixels, clipped",
}

_LEADS = {
    "correlation": "correlation with the artefact",
    "over_classes": "more than in other classes’ optima",
    "over_placebos": "more than innocent patterns",
    "over_both": "beyond both",
    "over_next": "beyond the class that comes next",
    "here": "correlation at its own place",
    "here_others": "the same in other classes’ optima, mean",
    "own_place": "restarts whose best match is at its own place",
    "own_place_others": "the same in other classes’ optima, share",
}

_LOOKS = {
    "total_variation": "total variation, times the median real image’s",
    "high_frequency": "share of high frequencies, times the median real image’s",
    "real_total_variation": "total variation of real images, median",
    "real_high_frequency": "share of high frequencies of real images, median",
    "predicted_as_asked": "optima predicted as the class asked for",
    "probability": "probability of the class asked for",
    "restarts_alike": "correlation of two restarts",
}

_QUESTIONS = {
    "start": ("Does it matter where it starts, from noise or from an image?", tell_start),
    "objective": ("Does it matter what is climbed, the logit or the probability?", tell_objective),
    "regularisation": ("What does regularisation do?", tell_regularisation),
}
