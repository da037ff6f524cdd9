"""Why maps explain the logit and not the probability, told by the images of this run."""

from __future__ import annotations

from typing import Any

from auditor.explain.trust.record import SaturationRecord, ScoredImage
from auditor.measure.measurement import Measurement
from auditor.measure.pieces import Answer, Picture, Piece, Remark, Strip
from auditor.measure.words import PER_CENT, number, say, say_interval, say_n


def tell_saturation(record: SaturationRecord, score: str, *, is_strength: bool) -> list[Piece]:
    """What a gradient of the probability shows beside that of the score, in words, then on two images.

    Parameters
    ----------
    score
        What maps explain: `logit`, or `log-probability` of a model that has no logits.
    is_strength
        Whether the signs of gradients were found to say nothing, so that only their strength is drawn.
    """
    said = [_say_how_sure(record, score), _say_pattern(record.likeness, score), _say_lifts(record.lifts, score)]
    told: list[Piece] = [Answer(" ".join(filter(None, said)))]
    told += [_strip(entry, score, is_strength) for entry in record.shown]
    if record.shown:
        told.append(Remark(_SCALES.format(score=score)))
    return told


def _say_how_sure(record: SaturationRecord, score: str) -> str:
    ends = " or ".join(
        f"{word} {number(end, 'share')}" for word, end in (("over", record.sure), ("under", _rest(record)))
    )
    return (
        f"The maps of this report explain the {score}. In {say(record.saturated, 'count')} images the probability of "
        f"the target is {ends}: there it hardly moves, whatever one does to a pixel. A gradient of the probability is "
        f"{_say_times(record.fainter)} fainter than that of the {score}."
    )


def _rest(record: SaturationRecord) -> float:
    return round(1 - record.sure, 6)


def _say_times(fainter: Measurement) -> str:
    """How many times, in words that a person can take in however many it is."""
    if fainter.value is None:
        return "not measurably"
    ends = f"; {say_interval(fainter)}" if fainter.low is not None and (fainter.high or 0.0) < _BEYOND else ""
    times = "more than a million" if fainter.value >= _BEYOND else number(fainter.value, fainter.unit)
    return f"{times} times (median{ends}, n = {say_n(fainter)})"


def _say_pattern(likeness: Measurement, score: str) -> str:
    told = (
        "One number scales all pixels of an image, p (1 − p), so between images such maps cannot be compared, and an "
        "average over images shows those where the model is unsure."
    )
    if likeness.value is None:
        return told
    return f"{told} Inside an image its order of pixels correlates by {say(likeness, 'full')} with that of the {score}."


def _say_lifts(lifts: dict[str, Measurement], score: str) -> str:
    known = {score: lift for score, lift in lifts.items() if lift.value is not None}
    if "logit" not in known or "probability" not in known:
        return ""
    return (
        f"The artefact’s place holds {say(known['logit'], 'bare')} times its share of the {score}’s map and "
        f"{say(known['probability'], 'bare')} times its share of the probability’s (n = {say_n(known['logit'])})."
    )


def _strip(entry: ScoredImage, explained: str, is_strength: bool) -> Strip:
    """The same gradient of three scores, and that of the probability once more with the colours of the first."""
    logit = entry.maps["logit"]
    look: dict[str, Any] = {"under": entry.picture, "place": entry.place, "is_strength": is_strength}
    shown = [Picture(entry.picture, "the image", f"p {_say_probability(entry.probability)}", image=entry.image)]
    for score, key in entry.maps.items():
        name = explained if score == "logit" else score
        shown.append(Picture(key, name, alt=f"gradient of the {name}", **look))
    alt = f"gradient of the probability, in the colours of the {explained}"
    again = entry.maps["probability"], "probability", f"as the {explained}"
    shown.append(Picture(*again, alt=alt, scale_of=logit, **look))
    only = ", strength only" if is_strength else ""
    return Strip(f"Gradients for {entry.target}{only}", shown, "gradient")


def _say_probability(value: float) -> str:
    end = {True: "under 0.1", False: "over 99.9"}[value < 0.5]
    return number(value, "share") if 0.001 <= value <= 0.999 else f"{end}{PER_CENT}"


_BEYOND = 1e6

_SCALES = (
    "Each map has its own full colour, but for the last one of each row: that has the {score}’s, and so shows how much "
    "is left of it. That of the log-odds has the same pattern as that of the probability."
)
