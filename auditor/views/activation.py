"""What the model looks for: optimal inputs, and the answers in words that their numbers give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from auditor import figures, plots
from auditor.explanations.activation import (
    ActivationRecord,
    ArtefactMatch,
    ClassOptimum,
    Comparison,
    FeatureOptimum,
    Looks,
    RealImage,
)
from auditor.history import Arrays
from auditor.records import Finding, Measurement
from auditor.result import AuditResult
from auditor.views.wording import MOST_ROWS, figure, signed

NAME = "activation_maximisation"


def view_activation(result: AuditResult, arrays: Arrays) -> dict[str, Any]:
    record = result.activation_maximisation
    if record is None:
        return {"absent": _why_absent(result)}
    findings = {finding.artefact: finding for finding in result.findings}
    shown = record.classes[:MOST_ROWS]
    comparisons = {each.topic: each for each in record.comparisons}
    return {
        "absent": None,
        "made": _how_made(record),
        "matches": [
            _view_match(number, match, findings.get(match.artefact), record, arrays)
            for number, match in enumerate(record.matches)
        ],
        "classes": [_view_class(entry, arrays) for entry in shown],
        "classes_left_out": len(record.classes) - len(shown),
        "looks": _tell_looks(record.looks, record),
        "looks_rows": [figure(name, getattr(record.looks, key), 3) for key, name in _LOOKS.items()],
        "steps": _tell_steps(record.classes),
        "snapshots": [
            {
                "step": snapshot.step,
                "picture": figures.picture_uri(arrays[snapshot.picture]),
                "value": signed(snapshot.value, 1),
            }
            for snapshot in record.classes[0].snapshots
        ],
        "first": record.classes[0].name,
        "curve": Markup(plots.plot_ascent([(c.name, [(p.step, p.value) for p in c.curve]) for c in shown], "ascent")),
        "comparisons": [
            _view_comparison(question, comparisons[topic], tell(comparisons[topic], record), arrays)
            for topic, (question, tell) in _QUESTIONS.items()
            if topic in comparisons
        ],
        "features": [_view_feature(feature, arrays) for feature in record.features],
        "notes": [note[0].upper() + note[1:] for note in record.notes],
    }


def _why_absent(result: AuditResult) -> str:
    for method in result.methods:
        if method.name == NAME:
            return f"{_STATES.get(method.status, method.status)}: {method.reason or 'no reason was given'}."
    return "Not run: this audit was made without it."


def _how_made(record: ActivationRecord) -> str:
    return (
        f"{record.steps} steps up the gradient of the {_OBJECTIVES[record.objective]}, {record.restarts} independent "
        f"restarts for each class, from {_STARTS[record.start]}. What is varied: {record.recipe}. Penalties weigh in "
        "standard deviations of the class’s score; images stay in [0, 1] at every step."
    )


def _view_match(
    number: int, match: ArtefactMatch, finding: Finding | None, record: ActivationRecord, arrays: Arrays
) -> dict[str, Any]:
    plot = None
    if match.status == "ok":
        rows = [
            (name, value, "target" if name == match.target else "class")
            for name, value in list(match.classes.items())[:MOST_ROWS]
        ]
        rows += [(f"placebo: {name}", value, "placebo") for name, value in match.placebos.items()]
        plot = Markup(plots.plot_matches(rows, f"match{number}"))
    return {
        "match": match,
        "answer": _tell_match(match, finding, record),
        "pattern": figures.picture_uri(arrays[match.pattern]) if match.pattern else None,
        "found": figures.picture_uri(arrays[match.found]) if match.found else None,
        "rows": [figure(name, match.measurements[key]) for key, name in _LEADS.items() if key in match.measurements],
        "plot": plot,
    }


def _tell_match(match: ArtefactMatch, finding: Finding | None, record: ActivationRecord) -> str:
    if match.status != "ok":
        return f"Not applicable: {match.reason}."
    found = match.measurements
    leads = [found["over_classes"], found["over_next"]]
    if all(_is_above(lead, 0) for lead in leads):
        answer, is_there = "Yes, more than any other class does", True
    elif any(_is_below(lead, 0) for lead in leads):
        answer, is_there = "No", False
    else:
        answer, is_there = "That is not clear", False
    count = len(match.classes)
    told = (
        f"{answer}. Over {record.restarts} restarts the best match of {match.artefact} in the optima of {match.target} "
        f"has a correlation of {_say(found['correlation'])}, which is {_say(found['over_classes'])} more than in those "
        f"of the {count - 1} other classes. Beyond what innocent patterns reach in the same optima it leads "
        f"the class that comes next by {_say(found['over_next'])}; by chance alone, one class in {count} comes first. "
        f"At the artefact’s own place the correlation is {_say(found['here'])}, and {_say(found['here_others'])} in "
        "other classes’ optima."
    )
    return f"{told} {_compare_with_verdict(is_there, finding)}"


def _compare_with_verdict(is_there: bool, finding: Finding | None) -> str:
    if finding is None or finding.verdict not in ("relies", "no_evidence"):
        return "This is evidence, not a verdict; the interventions decide, and they left it open."
    if finding.verdict == "relies" and finding.direction == "suppresses":
        return (
            "The interventions, which decide, found that the artefact lowers this class, so its optimum is expected "
            "to lack it."
        )
    if finding.verdict == "relies":
        if is_there:
            return "This agrees with the interventions, which decide: they found reliance."
        return (
            "The interventions, which decide, found reliance all the same: an optimum need not show everything that "
            "a model uses, and what it shows need not look like the artefact."
        )
    if is_there:
        return (
            "The interventions, which decide, found no evidence of reliance above the margin: what excites a class "
            "most need not be what moves its score on real images."
        )
    return "This agrees with the interventions, which decide: they found no evidence above the margin."


def _view_class(entry: ClassOptimum, arrays: Arrays) -> dict[str, Any]:
    odds, probability = figure("", entry.log_odds), figure("", entry.probability)
    return {
        "entry": entry,
        "picture": figures.picture_uri(arrays[entry.optimum.picture]),
        "predicted": entry.optimum.predicted,
        "over_restarts": f"log-odds {odds.value} ({odds.reason or odds.interval}), probability {probability.value}, "
        f"over {entry.log_odds.n} restarts",
        "real": _view_real(entry.real, arrays),
    }


def _view_real(real: Sequence[RealImage], arrays: Arrays) -> list[dict[str, Any]]:
    return [
        {"image": image, "picture": figures.picture_uri(arrays[image.picture]), "value": signed(image.value)}
        for image in real
    ]


def _tell_looks(looks: Looks, record: ActivationRecord) -> str:
    rough, fine = looks.total_variation, looks.high_frequency
    is_rougher, is_smoother = _is_above(rough, 1), _is_below(rough, 1)
    is_finer, is_coarser = _is_above(fine, 1), _is_below(fine, 1)
    by_roughness = "rougher than" if is_rougher else "smoother than" if is_smoother else "about as rough as"
    by_detail = "more fine detail" if is_finer else "less fine detail" if is_coarser else "about as much fine detail"
    is_unlike = is_rougher or is_smoother or is_finer or is_coarser
    right, probability = figure("", looks.predicted_as_asked), figure("", looks.probability)
    return (
        f"{'Not by its texture' if is_unlike else 'Its texture is that of real images'}: optimal images are "
        f"{by_roughness} real ones, with {_say(rough)} times the total variation of the median real image, and hold "
        f"{by_detail}, {_say(fine)} times its share of high frequencies (medians over {rough.n} classes, against "
        f"{record.sampled} real images). The model has no such doubts: it predicts {right.value} of the optima "
        f"(n = {right.n}) as the class asked for, with a mean probability of {probability.value}. Texture is not "
        "meaning: whether an optimum shows the thing itself, its parts, or something else, the pictures beside the "
        "real images tell."
    )


def _tell_steps(classes: Sequence[ClassOptimum]) -> str:
    first = classes[0]
    values = [(point.step, point.value.value or 0.0) for point in first.curve]
    start, end = values[0][1], values[-1][1]
    rise = end - start
    told = f"For {first.name} the objective goes from {signed(start, 1)} to {signed(end, 1)} in {values[-1][0]} steps"
    if rise <= 0:
        return f"{told}: it did not rise, so these are no optima."
    half = next(step for step, value in values if value - start >= rise / 2)
    told += f" (mean over {first.curve[0].value.n} restarts), and half of the rise is done after {half}. "
    late = [_share_done(entry, 50) for entry in classes]
    known = sorted(share for share in late if share is not None)
    if not known:
        return told.rstrip()
    middle = known[len(known) // 2]
    told += f"By step 50 the median of {len(known)} classes has done {middle:.0%} of its rise: "
    if middle > 0.9:
        return told + "what comes after hardly changes what the picture says."
    return told + "outlines come early, and the steps after it still add contrast and detail."


def _share_done(entry: ClassOptimum, step: int) -> float | None:
    values = {point.step: point.value.value for point in entry.curve}
    start, then, end = values.get(0), values.get(step), entry.curve[-1].value.value
    if start is None or then is None or end is None or end <= start:
        return None
    return (then - start) / (end - start)


def _tell_start(comparison: Comparison, record: ActivationRecord) -> str:
    alike, usual = comparison.correlation, record.looks.restarts_alike
    if alike.high is not None and usual.low is not None and alike.high < usual.low:
        picture = "For the picture, yes: it keeps a mark of its start"
    elif alike.low is not None and usual.high is not None and alike.low > usual.high:
        picture = "For the picture, hardly"
    else:
        picture = "For the picture, no more than it matters which noise it starts from"
    gain = comparison.gain
    score = "yes" if _is_above(gain, 0) or _is_below(gain, 0) else "not clearly"
    return (
        f"{picture}; for the score, {score}. Started from noise and from a real image of another class, the optima of "
        f"one class correlate by {_say(alike)}; two restarts as above correlate by {_say(usual)}. From the image the "
        f"log-odds end {_tell_gain(gain)}. {_tell_roughness(comparison, 'from noise', 'from the image')}"
    )


def _tell_objective(comparison: Comparison, record: ActivationRecord) -> str:
    gain, first, second = comparison.gain, comparison.first, comparison.second
    if _is_below(gain, 0):
        why = "a probability near 1 has no slope left to climb, while a logit has no ceiling"
    elif _is_above(gain, 0):
        why = "a probability rises also by pushing the other classes down, which a logit does not ask for"
    else:
        why = "here they ask for much the same"
    return (
        f"Climbing the probability, the log-odds end {_tell_gain(gain)} than climbing the logit: {why}. The logit ends "
        f"at {_say(second.logit)} instead of {_say(first.logit)}, the probability at {_say(second.probability)} "
        f"instead of {_say(first.probability)}, and the two optima of one class correlate by "
        f"{_say(comparison.correlation)}. "
        f"{_tell_roughness(comparison, 'for the logit', 'for the probability')} Both without penalties, which a "
        "probability near 1 could not pay for."
    ).replace("different than", "different from")


def _tell_regularisation(comparison: Comparison, record: ActivationRecord) -> str:
    gain, first, second = comparison.gain, comparison.first, comparison.second
    return (
        f"Bare pixels that are only clipped end {_tell_gain(gain)} in log-odds. "
        f"{_tell_roughness(comparison, 'regularised', 'bare')} "
        f"Their share of high frequencies is {_say(second.high_frequency)} times that of real images instead of "
        f"{_say(first.high_frequency)}, and the two optima of one class correlate by {_say(comparison.correlation)}. "
        + (
            "So what excites the model most is largely fine noise; regularisation gives up score for what can be seen."
            if _is_above(gain, 0) and _over(second.high_frequency, first.high_frequency)
            else "What regularisation costs in score, and what it buys, these numbers say."
        )
    )


def _tell_gain(gain: Measurement) -> str:
    if gain.value is None:
        return f"at an unknown distance ({gain.reason})"
    size = f"{abs(gain.value):.2f}"
    if _is_above(gain, 0) or _is_below(gain, 0):
        word = "higher" if gain.value > 0 else "lower"
        return f"{size} {word} ({figure('', gain).interval}, n = {gain.n})"
    span = figure("", gain)
    return f"not clearly different ({span.value}, {span.reason or span.interval}, n = {gain.n})"


def _tell_roughness(comparison: Comparison, one: str, other: str) -> str:
    first, second = comparison.first.total_variation, comparison.second.total_variation
    return f"Total variation is {_say(first)} times that of real images {one} and {_say(second)} times {other}."


def _view_comparison(question: str, comparison: Comparison, answer: str, arrays: Arrays) -> dict[str, Any]:
    pictures = []
    if comparison.start_picture:
        pictures.append(
            {"name": "a real image to start from", "uri": figures.picture_uri(arrays[comparison.start_picture])}
        )
    for side in (comparison.first, comparison.second):
        pictures.append({"name": _SIDES[side.name], "uri": figures.picture_uri(arrays[side.picture])})
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


def _view_feature(feature: FeatureOptimum, arrays: Arrays) -> dict[str, Any]:
    return {
        "feature": feature,
        "answer": _tell_feature(feature),
        "optima": [
            {"picture": figures.picture_uri(arrays[o.picture]), "value": signed(o.value), "predicted": o.predicted}
            for o in feature.optima
        ],
        "real": _view_real(feature.real, arrays),
    }


def _tell_feature(feature: FeatureOptimum) -> str:
    reached, usual = figure("", feature.reached).value, _say(feature.usual)
    predicted = sorted({optimum.predicted for optimum in feature.optima})
    named = f"The model calls {'them' if len(feature.optima) > 1 else 'it'} {' or '.join(predicted)}."
    if feature.with_artefact is None:
        return f"It reaches {reached}; on real images it is {usual} (median, n = {feature.usual.n}). {named}"
    return (
        f"The direction in which {feature.artefact} moves the features of the last layer, on average: on "
        f"{feature.usual.n} real images the mean along it is {usual} without and {_say(feature.with_artefact)} with "
        f"the artefact; the optima reach {reached}. {named}"
    )


def _say(measured: Measurement) -> str:
    """A measurement within a sentence: its value and interval."""
    shown = figure("", measured)
    if measured.value is None:
        return f"– ({measured.reason})"
    return f"{shown.value} [{shown.interval}]" if shown.interval != "–" else shown.value


def _is_above(measured: Measurement, value: float) -> bool:
    return measured.low is not None and measured.low > value


def _is_below(measured: Measurement, value: float) -> bool:
    return measured.high is not None and measured.high < value


def _over(first: Measurement, second: Measurement) -> bool:
    return first.low is not None and second.high is not None and first.low > second.high


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
    "start": ("Does it matter where it starts, from noise or from an image?", _tell_start),
    "objective": ("Does it matter what is climbed, the logit or the probability?", _tell_objective),
    "regularisation": ("What does regularisation do?", _tell_regularisation),
}
