"""What the model looks for: optimal inputs, their pictures and tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auditor.explain.optima.record import (
    ArtefactMatch,
    ClassOptimum,
    Comparison,
    FeatureOptimum,
    OptimaRecord,
    RealImage,
)
from auditor.measure.pieces import Interval, IntervalPlot
from auditor.measure.words import signed
from auditor.report import plots
from auditor.report.packing import Album
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


def view_optima(result: AuditResult, album: Album) -> dict[str, Any]:
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
            _view_match(number, match, findings.get(match.artefact), record, album)
            for number, match in enumerate(record.matches)
        ],
        "classes": [_view_class(entry, album) for entry in shown],
        "classes_left_out": len(record.classes) - len(shown),
        "looks": tell_looks(record.looks, record),
        "looks_rows": [figure(name, getattr(record.looks, key), 3) for key, name in _LOOKS.items()],
        "steps": tell_steps(record.classes, record),
        "snapshots": [
            {
                "step": snapshot.step,
                "picture": album.picture(snapshot.picture),
                "value": tell_objective_value(snapshot.value, record),
            }
            for snapshot in record.classes[0].snapshots
        ],
        "first": record.classes[0].name,
        "curve": plots.plot_ascent([(c.name, [(p.step, p.value) for p in c.curve]) for c in shown], "ascent"),
        "comparisons": [
            _view_comparison(question, comparisons[topic], tell(comparisons[topic], record), album)
            for topic, (question, tell) in _QUESTIONS.items()
            if topic in comparisons
        ],
        "features": [_view_feature(feature, album) for feature in record.features],
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


def _view_match(
    number: int, match: ArtefactMatch, finding: Finding | None, record: OptimaRecord, album: Album
) -> dict[str, Any]:
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
        "pattern": album.picture(match.pattern) if match.pattern else None,
        "found": album.picture(match.found) if match.found else None,
        "rows": [figure(name, match.measurements[key]) for key, name in _LEADS.items() if key in match.measurements],
        "plot": plot,
    }


def _view_class(entry: ClassOptimum, album: Album) -> dict[str, Any]:
    odds, probability = figure("", entry.log_odds), figure("", entry.probability)
    return {
        "entry": entry,
        "picture": album.picture(entry.optimum.picture),
        "predicted": entry.optimum.predicted,
        "over_restarts": f"log-odds {odds.value} ({odds.reason or odds.interval}), probability {probability.value}, "
        f"over {entry.log_odds.n} restarts",
        "real": _view_real(entry.real, album),
    }


def _view_real(real: Sequence[RealImage], album: Album) -> list[dict[str, Any]]:
    return [{"image": image, "picture": album.picture(image.picture), "value": signed(image.value)} for image in real]


def _view_comparison(question: str, comparison: Comparison, answer: str, album: Album) -> dict[str, Any]:
    pictures = []
    if comparison.start_picture:
        pictures.append({"name": "a real image to start from", "uri": album.picture(comparison.start_picture)})
    for side in (comparison.first, comparison.second):
        pictures.append({"name": _SIDES[side.name], "uri": album.picture(side.picture)})
    return {
        "question": question,
        "answer": answer,
        "shown": comparison.shown,
        "pictures": pictures,
        "rows": [
            {
                "name": _SIDES[side.name],
                "figures": [
                    figure("", value)
                    for value in (
                        side.logit,
                        side.log_odds,
                        side.probability,
                        side.total_variation,
                        side.high_frequency,
                    )
                ],
            }
            for side in (comparison.first, comparison.second)
        ],
    }


def _view_feature(feature: FeatureOptimum, album: Album) -> dict[str, Any]:
    return {
        "feature": feature,
        "answer": tell_feature(feature),
        "optima": [
            {"picture": album.picture(o.picture), "value": signed(o.value), "predicted": o.predicted}
            for o in feature.optima
        ],
        "real": _view_real(feature.real, album),
    }


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
