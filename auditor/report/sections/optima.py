"""What the model looks for, in words and plots: a difference or a likeness only where an interval shows it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from auditor.explain.optima.record import (
    ArtefactMatch,
    ClassOptimum,
    Comparison,
    Looks,
    OptimaRecord,
)
from auditor.measure.measurement import Measurement
from auditor.measure.pieces import Curves, Interval, IntervalPlot, Line
from auditor.measure.words import number, say, say_interval, signed
from auditor.report.words import MOST_ROWS, finding_of
from auditor.run.result import AuditResult
from auditor.verdict.record import Finding

_ALIKE = (0.8, 1.25)
"""A ratio whose interval lies in here is told as much the same."""
_SAME_SCORE = 0.5
"""A difference of log-odds whose interval lies within this, either way, is told as much the same."""
_SAME_LIKENESS = 0.2
"""Two correlations that differ by no more than this at the ends of their intervals are told as much the same."""
_SURE = 0.9
"""From this share of the optima, and this probability, the model has no doubts."""


def view_optima(result: AuditResult) -> dict[str, Any] | None:
    """What the section shows; None where the study did not run."""
    record = result.optima
    if record is None:
        return None
    return {
        "record": record,
        "matches": [
            (match, tell_match(match, finding_of(match.artefact, result), record), _plot(at, match))
            for at, match in enumerate(record.matches)
        ],
        "looks": tell_looks(record.looks, record),
        "steps": tell_steps(record.classes, record),
        "snapshots": [(each, tell_objective_value(each.value, record)) for each in record.classes[0].snapshots],
        "curve": _plot_ascent(record.classes[:MOST_ROWS]),
        "comparisons": [
            (question, each, tell(each, record))
            for topic, (question, tell) in _QUESTIONS.items()
            for each in record.comparisons
            if each.topic == topic
        ],
    }


def judge_match(match: ArtefactMatch) -> bool | None:
    """Whether the optima of the class surely show the artefact, or surely do not; `None` where that is open."""
    found = match.measurements
    if found["over_placebos"].lies_in(-math.inf, 0) or found["over_classes"].against(0) == "below":
        return False
    leads = (found["over_classes"], found["over_next"], found["over_placebos"])
    return True if all(lead.against(0) == "above" for lead in leads) else None


def tell_match(match: ArtefactMatch, finding: Finding | None, record: OptimaRecord) -> str:
    if match.status != "ok":
        return f"Not applicable: {match.reason}."
    is_there = judge_match(match)
    answer = {True: "Yes, more than any other class does", False: "No", None: "That is open"}[is_there]
    if is_there is None and match.measurements["over_next"].lies_in(-math.inf, 0):
        following = f" ({match.next_class})" if match.next_class else ""
        answer += f": not more than in the optima of the class that comes next{following}"
    found = {name: say(measured) for name, measured in match.measurements.items()}
    count = len(match.classes)
    others = "the other class" if count == 2 else f"the {count - 1} other classes"
    return (
        f"{answer}. Over {record.restarts} restarts the best match of {match.artefact} in the optima of {match.target} "
        f"has a correlation of {found['correlation']}, which is {found['over_classes']} more than in those of {others} "
        f"and {found['over_placebos']} more than harmless patterns reach in the same optima. Beyond these it leads the "
        f"class that comes next by {found['over_next']}; by chance alone, one class in {count} comes first. At the "
        f"artefact’s own place the correlation is {found['here']}, and {found['here_others']} in other classes’ "
        f"optima. {_compare_with_verdict(is_there, finding)}"
    )


def _compare_with_verdict(is_there: bool | None, finding: Finding | None) -> str:
    if finding is None or finding.verdict not in ("relies", "no_evidence"):
        return "This is evidence, not a verdict; the interventions decide, and they left it open."
    if finding.verdict == "relies" and finding.direction == "suppresses":
        return (
            "The interventions, which decide, found that the artefact lowers this class, so its optimum is expected "
            "to lack it."
        )
    found = "found reliance" if finding.verdict == "relies" else "found no evidence above the margin"
    if is_there is None:
        return f"The interventions, which decide, {found}."
    if is_there == (finding.verdict == "relies"):
        return f"This agrees with the interventions, which decide: they {found}."
    if is_there:
        return (
            "The interventions, which decide, found no evidence of reliance above the margin: what excites a class "
            "most need not be what moves its score on real images."
        )
    return (
        "The interventions, which decide, found reliance all the same: an optimum need not show everything that a "
        "model uses, and what it shows need not look like the artefact."
    )


def tell_looks(looks: Looks, record: OptimaRecord) -> str:
    rough, fine, right, probability = (
        looks.total_variation,
        looks.high_frequency,
        looks.predicted_as_asked,
        looks.probability,
    )
    if rough.against(1) != "open" or fine.against(1) != "open":
        answer = "Not by its texture"
    elif rough.lies_in(*_ALIKE) and fine.lies_in(*_ALIKE):
        answer = "Its texture is much that of real images"
    else:
        answer = "By its texture that is open"
    is_sure = min(right.value or 0, probability.value or 0) >= _SURE
    return (
        f"{answer}: optimal images have {say(rough)} times the total variation of the median real image "
        f"({_tell_ratio(rough, 'rougher', 'smoother', 'about as rough')}) and {say(fine)} times its share of high "
        f"frequencies ({_tell_ratio(fine, *_DETAIL)}; medians over {rough.n} classes, against {record.sampled} real "
        f"images). {'The model has no such doubts: it' if is_sure else 'The model'} predicts {say(right, 'bare')} of "
        f"{right.n} optima ({right.groups} classes) as the class asked for, with a mean probability of "
        f"{say(probability, 'bare')}. Texture is not meaning: whether an optimum shows the thing itself, its parts, or "
        "something else, the pictures beside the real images tell."
    )


def _tell_ratio(ratio: Measurement, above: str, below: str, alike: str) -> str:
    unsure = "open" if ratio.low is not None else "open: too few for an interval"
    return {"above": above, "below": below, "open": alike if ratio.lies_in(*_ALIKE) else unsure}[ratio.against(1)]


def tell_objective_value(value: float, record: OptimaRecord) -> str:
    """A probability has no sign."""
    return f"{value:.3f}" if record.objective == "probability" else signed(value, 1)


def tell_steps(classes: Sequence[ClassOptimum], record: OptimaRecord) -> str:
    first = classes[0]
    values = [(point.step, point.value.value or 0.0) for point in first.curve]
    (_, start), (last, end) = values[0], values[-1]
    ends = [tell_objective_value(value, record) for value in (start, end)]
    told = f"For {first.name} the objective goes from {ends[0]} to {ends[1]} in {last} steps"
    if end <= start:
        return f"{told}: it did not rise, so these are no optima."
    half = next(step for step, value in values if value - start >= (end - start) / 2)
    told += f" (mean over {first.curve[0].value.n} restarts), and half of the rise is done after {half}."
    shares = sorted(share for entry in classes if (share := _share_done(entry, 50)) is not None)
    if not shares:
        return told
    middle = shares[len(shares) // 2]
    done = number(middle, "share")
    if middle > 0.9:
        late = "what comes after hardly changes what the picture says."
    else:
        late = "outlines come early, and the steps after it still add contrast and detail."
    return f"{told} By step 50 the median of {len(shares)} classes has done {done} of its rise: {late}"


def _share_done(entry: ClassOptimum, step: int) -> float | None:
    values = {point.step: point.value.value for point in entry.curve}
    start, then, end = values.get(0), values.get(step), entry.curve[-1].value.value
    if start is None or then is None or end is None or end <= start:
        return None
    return (then - start) / (end - start)


def tell_start(comparison: Comparison, record: OptimaRecord) -> str:
    alike, usual, gain = comparison.correlation, record.looks.restarts_alike, comparison.gain
    if alike.against(usual.bounds[0]) == "below":
        picture = "It changes the picture, too: that keeps a mark of its start."
    elif alike.against(usual.bounds[1]) == "above":
        picture = "It hardly changes the picture."
    elif _are_alike(alike, usual):
        picture = "The picture changes no more than it does with another start of noise."
    else:
        picture = f"Whether it changes the picture cannot be told from {alike.n} classes."
    if gain.against(0) != "open":
        score = "The starting point changes the score."
    elif _is_the_same(gain):
        score = f"The starting point hardly changes the score (by less than {_SAME_SCORE:g})."
    else:
        score = "Whether the starting point changes the score is open."
    return (
        f"{score} {picture} Started from noise and from a real image of another class, the ideal images of one class "
        f"correlate by {say(alike)}; two restarts from noise correlate by {say(usual)}. From the image the log-odds "
        f"end {_tell_gain(gain)}. {_tell_roughness(comparison, 'from noise', 'from the image')}"
    )


def tell_objective(comparison: Comparison, record: OptimaRecord) -> str:
    gain, first, second = comparison.gain, comparison.first, comparison.second
    if gain.against(0) == "below":
        why = "a probability near 1 has no slope left to climb, while a logit has no ceiling"
    elif gain.against(0) == "above":
        why = "a probability rises also by pushing the other classes down, which a logit does not ask for"
    elif _is_the_same(gain):
        why = f"here they ask for much the same, to within {_SAME_SCORE:g}"
    else:
        why = "whether they ask for the same is open"
    return (
        f"Climbing the probability, the log-odds end {_tell_gain(gain, 'climbing the logit')}: {why}. The logit ends "
        f"at {say(second.logit)} instead of {say(first.logit)}, the probability at {say(second.probability)} instead "
        f"of {say(first.probability)}, and the two optima of one class correlate by {say(comparison.correlation)}. "
        f"{_tell_roughness(comparison, 'for the logit', 'for the probability')} Both without penalties, which a "
        "probability near 1 could not pay for."
    )


def tell_regularisation(comparison: Comparison, record: OptimaRecord) -> str:
    gain, first, second = comparison.gain, comparison.first, comparison.second
    share = "" if second.fine is None else f", which is {say(second.fine)} of their variance"
    is_noise = second.fine is not None and second.fine.against(0.5) == "above"
    if is_noise and gain.against(0) == "above" and second.high_frequency.against(1) == "above":
        so = "So what excites the model most is largely fine noise; regularisation gives up score for what can be seen."
    else:
        so = "What regularisation costs in score, and what it buys, these numbers say."
    return (
        f"Bare pixels that are only clipped end {_tell_gain(gain)} in log-odds. "
        f"{_tell_roughness(comparison, 'regularised', 'bare')} Their share of high frequencies is "
        f"{say(second.high_frequency)} times that of real images instead of {say(first.high_frequency)}{share}, and "
        f"the two optima of one class correlate by {say(comparison.correlation)}. {so}"
    )


def _is_the_same(gain: Measurement) -> bool:
    return gain.lies_in(-_SAME_SCORE, _SAME_SCORE)


def _are_alike(first: Measurement, second: Measurement) -> bool:
    """Whether two correlations differ little, wherever in their intervals they are."""
    (low, high), (other_low, other_high) = first.bounds, second.bounds
    return max(high - other_low, other_high - low) <= _SAME_LIKENESS


def _tell_gain(gain: Measurement, reference: str = "") -> str:
    if gain.value is None:
        return f"at an unknown distance ({gain.reason})"
    if gain.against(0) == "open":
        than = f" from {reference}" if reference else ""
        ends = gain.reason or say_interval(gain)
        return f"not clearly different ({number(gain.value, gain.unit)}, {ends}, n = {gain.n}){than}"
    than = f" than {reference}" if reference else ""
    word = "higher" if gain.value > 0 else "lower"
    return f"{number(abs(gain.value), '')} {word} ({say_interval(gain)}, n = {gain.n}){than}"


def _tell_roughness(comparison: Comparison, one: str, other: str) -> str:
    first, second = comparison.first.total_variation, comparison.second.total_variation
    return f"Total variation is {say(first)} times that of real images {one} and {say(second)} times {other}."


def _plot(number: int, match: ArtefactMatch) -> IntervalPlot | None:
    rows = [
        Interval(name, value, "subject" if name == match.target else "comparison")
        for name, value in list(match.classes.items())[:MOST_ROWS]
    ]
    rows += [Interval(f"placebo: {name}", value, "variant") for name, value in match.placebos.items()]
    text = (
        "Orange: the artefact in the images of its target; blue: in those of other classes; green: harmless patterns "
        "in those of the target. Bars are intervals over restarts."
    )
    axis = "correlation at the best place"
    plot = IntervalPlot("Correlation with the ideal images.", rows, axis, text, name=f"match{number}")
    return plot if match.status == "ok" else None


def _plot_ascent(classes: Sequence[ClassOptimum]) -> Curves:
    first, *others = classes
    lines = [Line(first.name, [(at.step, at.value) for at in first.curve], has_band=True)]
    lines += [Line("", [(at.step, at.value) for at in entry.curve], is_reference=True) for entry in others]
    text = "The first class with its interval over restarts; other classes in grey. Early steps are drawn wider."
    return Curves("The objective over the steps.", lines, "step", "objective", text, are_steps=True, name="ascent")


_DETAIL = ("more fine detail", "less fine detail", "about as much fine detail")

_QUESTIONS = {
    "start": ("Does it matter where it starts, from noise or from an image?", tell_start),
    "objective": ("Does it matter what is climbed, the logit or the probability?", tell_objective),
    "regularisation": ("What does regularisation do?", tell_regularisation),
}
