"""What becomes of a map where it explains the probability and the model is sure: the same gradients of three scores."""

from __future__ import annotations

import numpy as np

from auditor.explain.attribution.likeness import rank_correlations
from auditor.explain.attribution.regions import box_of
from auditor.explain.attribution.scores import Score, differentiate_scores
from auditor.explain.inquiry import Inquiry
from auditor.explain.trust.randomisation import region_lifts
from auditor.explain.trust.record import SaturationRecord, ScoredImage
from auditor.explain.trust.sample import Sample
from auditor.explain.trust.sanity import read_map
from auditor.measure.arrays import Doubles, Floats
from auditor.measure.intervals import mean_interval, median_interval, share_interval
from auditor.subject.data.pictures import to_pixels

SURE = 0.99
"""A probability over this, or under what is left of 1, counts as saturated."""

_MOST_CLASSES = 100
"""A model that is differentiated class by class is not asked about more."""


def measure_saturation(inquiry: Inquiry, sample: Sample) -> SaturationRecord | None:
    """How gradients of the probability and of the log-odds compare with those of the logit; None where that is dear."""
    from auditor.subject.model.keras import KerasClassifier  # here, for `auditor methods` needs no TensorFlow

    classifier = inquiry.classifier
    if not isinstance(classifier, KerasClassifier) and len(classifier.classes) > _MOST_CLASSES:
        return None
    maps, probabilities = differentiate_scores(classifier, sample.images, sample.targets)
    strengths = {score: read_map(own, "absolute") for score, own in maps.items()}
    with np.errstate(divide="ignore", invalid="ignore"):  # a map of nothing has no ratio, and is left out
        fainter = _lengths(maps["logit"]) / _lengths(maps["probability"])
    alike = rank_correlations(strengths["logit"], strengths["probability"])
    is_sure = (probabilities > SURE) | (probabilities < 1 - SURE)
    lifts = {score: region_lifts(heat, sample) for score, heat in strengths.items()}
    values = {"saturated": is_sure.astype(np.float64), "times fainter": fainter, "likeness to the logit": alike}
    values |= {f"lift, {score}": each for score, each in lifts.items()}
    for name, each in values.items():
        inquiry.note(sample, each, name, condition="gradient of the probability", method="gradient")
    groups, level = sample.groups, inquiry.level
    return SaturationRecord(
        sure=SURE,
        saturated=share_interval(is_sure, groups, level),
        fainter=median_interval(fainter, groups, level, unit="ratio"),
        likeness=median_interval(alike, groups, level, unit="correlation"),
        lifts={score: mean_interval(each, groups, level, unit="ratio") for score, each in lifts.items()},
        shown=[_show(inquiry, sample, maps, probabilities, row) for row in _extremes(probabilities)],
    )


def _lengths(maps: Floats) -> Doubles:
    return np.asarray(np.sqrt(np.square(maps, dtype=np.float64).sum(axis=(1, 2, 3))))


def _extremes(probabilities: Doubles) -> list[int]:
    """The image whose model is surest, and the one where it is least so."""
    doubt = probabilities * (1 - probabilities)
    return list(dict.fromkeys([int(doubt.argmin()), int(doubt.argmax())]))


def _show(inquiry: Inquiry, sample: Sample, maps: dict[Score, Floats], probabilities: Doubles, row: int) -> ScoredImage:
    key, keep = f"scores of {sample.ids[row]}", inquiry.keep
    return ScoredImage(
        image=sample.ids[row],
        target=inquiry.classifier.classes[sample.targets[row]],
        probability=float(probabilities[row]),
        picture=keep(key, to_pixels(sample.images[row])),
        maps={score: keep(f"{key}, {score}", own[row]) for score, own in maps.items()},
        place=box_of(sample.masks[row]),
    )
