"""What the numbers of optimal inputs say, in words: a difference or a likeness only where an interval shows it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from auditor.explain.optima.record import (
    ArtefactMatch,
    ClassOptimum,
    Comparison,
    FeatureOptimum,
    Looks,
    OptimaRecord,
)
from auditor.measure.measurement import Measurement
from auditor.measure.words import number, say, say_interval, signed
from auditor.report.words import figure
from auditor.verdict.record import Finding

_ALIKE = (0.8, 1.25)
"""A ratio whose interval lies in here is told as much the same."""
_SAME_SCORE = 0.5
"""A difference of log-odds whose interval lies within this, either way, is told as much the same."""
_SAME_LIKENESS = 0.2
"""Two correlations that differ by no more than this at the ends of their intervals are told as much the same."""
_SURE = 0.9
"""From this share of the optima, and this probability, the model has no doubts."""


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
    found = match.measurements
    is_there = judge_match(match)
    if is_there is not None:
        answer = "Yes, more than any other class does" if is_there else "No"
    elif found["over_next"].lies_in(-math.inf, 0):
        following = f" ({match.next_class})" if match.next_class else ""
        answer = f"That is open: not more than in the optima of the class that comes next{following}"
    else:
        answer = "That is open"
    count = len(match.classes)
    others = "the other class" if count == 2 else f"the {count - 1} other classes"
    told = (
        f"{answer}. Over {record.restarts} restarts the best match of {match.artefact} in the optima of {match.target} "
        f"has a correlation of {say(found['correlation'])}, which is {say(found['over_classes'])} more than in those "
        f"of {others} and {say(found['over_placebos'])} more than innocent patterns reach in the "
        f"same optima. Beyond these it leads the class that comes next by "
        f"{say(found['over_next'])}; by chance alone, one class in {count} comes first. "
        f"At the artefact’s own place the correlation is {say(found['here'])}, and {say(found['here_others'])} in "
        "other classes’ optima."
    )
    return f"{told} {_compare_with_verdict(is_there, finding)}"


def _compare_with_verdict(is_there: bool | None, finding: Finding | None) -> str:
    if finding is None or finding.verdict not in ("relies", "no_evidence"):
        return "This is evidence, not a verdict; the interventions decide, and they left it open."
    if finding.verdict == "relies" and finding.direction == "suppresses":
        return (
            "The interventions, which decide, found that the artefact lowers this class, so its optimum is expected "
            "to lack it."
        )
    if is_there is None:
        decided = "found reliance" if finding.verdict == "relies" else "found no evidence above the margin"
        return f"The interventions, which decide, {decided}."
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


def tell_looks(looks: Looks, record: OptimaRecord) -> str:
    rough, fine = looks.total_variation, looks.high_frequency
    if rough.against(1) != "open" or fine.against(1) != "open":
        answer = "Not by its texture"
    elif rough.lies_in(*_ALIKE) and fine.lies_in(*_ALIKE):
        answer = "Its texture is much that of real images"
    else:
        answer = "By its texture that is open"
    by_roughness = _tell_ratio(rough, "rougher", "smoother", "about as rough")
    by_detail = _tell_ratio(fine, "more fine detail", "less fine detail", "about as much fine detail")
    right, probability = looks.predicted_as_asked, looks.probability
    is_sure = min(right.value or 0, probability.value or 0) >= _SURE
    subject = "The model has no such doubts: it" if is_sure else "The model"
    return (
        f"{answer}: optimal images have {say(rough)} times the total variation of the median real image "
        f"({by_roughness}) and {say(fine)} times its share of high frequencies ({by_detail}; medians over {rough.n} "
        f"classes, against {record.sampled} real images). {subject} "
        f"predicts {figure('', right).value} of {right.n} optima ({right.groups} classes) as the class asked for, "
        f"with a mean probability of {figure('', probability).value}. Texture is not meaning: "
        "whether an optimum shows the "
        "thing itself, its parts, or something else, the pictures beside the real images tell."
    )


def _tell_ratio(ratio: Measurement, above: str, below: str, alike: str) -> str:
    if ratio.against(1) == "above":
        return above
    if ratio.against(1) == "below":
        return below
    if ratio.lies_in(*_ALIKE):
        return alike
    return "open: too few for an interval" if ratio.low is None else "open"


def tell_objective_value(value: float, record: OptimaRecord) -> str:
    """A probability has no sign."""
    return f"{value:.3f}" if record.objective == "probability" else signed(value, 1)


def tell_steps(classes: Sequence[ClassOptimum], record: OptimaRecord) -> str:
    first = classes[0]
    values = [(point.step, point.value.value or 0.0) for point in first.curve]
    start, end = values[0][1], values[-1][1]
    rise = end - start
    ends = [tell_objective_value(value, record) for value in (start, end)]
    told = f"For {first.name} the objective goes from {ends[0]} to {ends[1]} in {values[-1][0]} steps"
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


def tell_start(comparison: Comparison, record: OptimaRecord) -> str:
    alike, usual = comparison.correlation, record.looks.restarts_alike
    if alike.against(usual.bounds[0]) == "below":
        picture = "For the picture, yes: it keeps a mark of its start"
    elif alike.against(usual.bounds[1]) == "above":
        picture = "For the picture, hardly"
    elif _are_alike(alike, usual):
        picture = "For the picture, no more than it matters which noise it starts from"
    else:
        picture = "For the picture that is open"
    gain = comparison.gain
    if gain.against(0) != "open":
        score = "yes"
    else:
        score = f"hardly (less than {_SAME_SCORE:g})" if _is_the_same(gain) else "that is open"
    return (
        f"{picture}; for the score, {score}. Started from noise and from a real image of another class, the optima of "
        f"one class correlate by {say(alike)}; two restarts as above correlate by {say(usual)}. From the image the "
        f"log-odds end {_tell_gain(gain)}. {_tell_roughness(comparison, 'from noise', 'from the image')}"
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
        f"at {say(second.logit)} instead of {say(first.logit)}, the probability at {say(second.probability)} "
        f"instead of {say(first.probability)}, and the two optima of one class correlate by "
        f"{say(comparison.correlation)}. "
        f"{_tell_roughness(comparison, 'for the logit', 'for the probability')} Both without penalties, which a "
        "probability near 1 could not pay for."
    )


def _is_the_same(gain: Measurement) -> bool:
    return gain.lies_in(-_SAME_SCORE, _SAME_SCORE)


def _are_alike(first: Measurement, second: Measurement) -> bool:
    """Whether two correlations differ little, wherever in their intervals they are."""
    (low, high), (other_low, other_high) = first.bounds, second.bounds
    return max(high - other_low, other_high - low) <= _SAME_LIKENESS


def tell_regularisation(comparison: Comparison, record: OptimaRecord) -> str:
    gain, first, second = comparison.gain, comparison.first, comparison.second
    return (
        f"Bare pixels that are only clipped end {_tell_gain(gain)} in log-odds. "
        f"{_tell_roughness(comparison, 'regularised', 'bare')} "
        f"Their share of high frequencies is {say(second.high_frequency)} times that of real images instead of "
        f"{say(first.high_frequency)}{_tell_share(second.fine)}, and "
        f"the two optima of one class correlate by {say(comparison.correlation)}. "
        + (
            "So what excites the model most is largely fine noise; regularisation gives up score for what can be seen."
            if gain.against(0) == "above"
            and second.fine is not None
            and second.fine.against(0.5) == "above"
            and second.high_frequency.against(1) == "above"
            else "What regularisation costs in score, and what it buys, these numbers say."
        )
    )


def _tell_share(fine: Measurement | None) -> str:
    return "" if fine is None else f", which is {say(fine)} of their variance"


def _tell_gain(gain: Measurement, reference: str = "") -> str:
    if gain.value is None:
        return f"at an unknown distance ({gain.reason})"
    size = f"{abs(gain.value):.2f}"
    if gain.against(0) != "open":
        word = "higher" if gain.value > 0 else "lower"
        than = f" than {reference}" if reference else ""
        return f"{size} {word} ({say_interval(gain)}, n = {gain.n}){than}"
    ends = gain.reason or say_interval(gain)
    than = f" from {reference}" if reference else ""
    return f"not clearly different ({number(gain.value, gain.unit)}, {ends}, n = {gain.n}){than}"


def _tell_roughness(comparison: Comparison, one: str, other: str) -> str:
    first, second = comparison.first.total_variation, comparison.second.total_variation
    return f"Total variation is {say(first)} times that of real images {one} and {say(second)} times {other}."


def tell_feature(feature: FeatureOptimum) -> str:
    reached, usual = figure("", feature.reached).value, say(feature.usual)
    predicted = sorted({optimum.predicted for optimum in feature.optima})
    named = f"The model calls {'them' if len(feature.optima) > 1 else 'it'} {' or '.join(predicted)}."
    if feature.with_artefact is None:
        return f"It reaches {reached}; on real images it is {usual} (median, n = {feature.usual.n}). {named}"
    return (
        f"The direction in which {feature.artefact} moves the features of the last layer, on average: on "
        f"{feature.usual.n} real images the mean along it is {usual} without and {say(feature.with_artefact)} with "
        f"the artefact; the optima reach {reached}. {named}"
    )
