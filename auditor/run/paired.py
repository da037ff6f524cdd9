"""Two runs on the same images: by how much numbers differ, image by image.

A difference of two effects that were measured on the same images is far better known than either effect, and two
intervals that overlap say nothing about it. So each image is compared with itself, and the interval is that of the mean
difference, clustered by group. `benchmarks/paired.py` simulates how often what is concluded from it is wrong.

References: Altman and Bland, "Interaction revisited" (2003); Schuirmann (1987) for two one-sided tests.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from auditor.measure.arrays import Array, Groups
from auditor.measure.intervals import change_interval, mean_interval, missing, share_interval
from auditor.measure.measurement import Measurement
from auditor.run.evidence import LEADS, Evidence, Subject, Values
from auditor.verdict.record import Finding


class _Sample(NamedTuple):
    """One number of the images that two runs share."""

    images: list[str]
    groups: Groups
    before: Array
    after: Array


@dataclass(frozen=True)
class Pairing:
    """Two runs, and how sure a claim about them must be."""

    before: Evidence
    after: Evidence
    tests: int = 1
    """How many such comparisons are made: a claim that one of them is worse is corrected for that (Bonferroni)."""
    both_ends: bool = False
    """Whether both ends of an interval hold for all comparisons at once, rather than what such a claim rests on."""

    def change_of_effect(self, old: Finding, new: Finding, part: str = "") -> Measurement:
        """By how many margins an effect grew, in all images or in a part.

        An effect is the least of its leads, and which of them that is may differ between runs: see `change_of_extreme`.
        """
        endpoint, subject = endpoint_of(old, new), (new.artefact, new.target)
        effects = [finding.measurements.get(endpoint) for finding in (old, new)]
        if any(effect is None or effect.value is None or effect.score != "log-odds" for effect in effects):
            return _nothing("the effect is not known of both, or in other units", MARGINS)
        if old.margin <= 0 or new.margin <= 0:
            return _nothing("a margin is nought", MARGINS)
        pairs = {}
        for name in LEADS.get(endpoint, ()):
            tried = self.before.of(subject, name), self.after.of(subject, name)
            if bool(tried[0]) != bool(tried[1]):
                return _nothing(f"the {name.replace('_', ' ')} is known of one of them only", MARGINS)
            for way in _shared_ways(*tried):
                pairs[f"{name}, {way}"] = [
                    {image: value / finding.margin for image, value in side[way].items()}
                    for side, finding in zip(tried, (old, new), strict=True)
                ]
        return self._change_of_extreme(pairs, min, MARGINS, self._members(subject, part))

    def change_of_share(self, old: Finding, new: Finding, name: str, part: str = "") -> Measurement:
        """By how much a share of images rose, in all of them or in a part."""
        subject = (new.artefact, new.target)
        tried = [side.of(subject, name).get("inserted", {}) for side in (self.before, self.after)]
        return self._change_of_extreme({name: tried}, min, "share", self._members(subject, part))

    def change_of_errors(self) -> Measurement:
        """By how much the share of errors rose on the images as they came."""
        tried = [side.of((None, None), "accuracy").get("as it came", {}) for side in (self.before, self.after)]
        return self._change_of_extreme({"accuracy": [_errors(side) for side in tried]}, max, "share", None)

    def change_of_worst_group(self, old: Finding, new: Finding) -> Measurement:
        """By how much the share of errors rose in the class that is recognised worst, with the artefact or without.

        Classes of fewer groups than a verdict needs are left out.
        """
        subject = (new.artefact, new.target)
        labels = {
            image: self.after.classes_of(label)
            for image, label in self.after.labels(subject).items()
            if self.before.labels((old.artefact, old.target)).get(image) == label
        }
        sides = self.before.of(subject, "correct"), self.after.of(subject, "correct")
        pairs = {}
        for condition in sides[0].keys() & sides[1].keys():
            errors = [_errors(side[condition]) for side in sides]
            shared = errors[0].keys() & errors[1].keys() & labels.keys()
            for name in {name for image in shared for name in labels[image]}:
                members = [image for image in shared if name in labels[image]]
                if len(set(self.after.groups(members))) >= self._least_groups:
                    pairs[f"{name}, {condition}"] = [{image: side[image] for image in members} for side in errors]
        return self._change_of_extreme(pairs, max, "share", None)

    @cached_property
    def is_one_model(self) -> bool:
        """Whether the models give the same scores, but for rounding, to each image as it came and to each edit."""
        was, now = self.before.scores, self.after.scores
        shared = sorted(was.keys() & now.keys())
        pairs = [np.array([side[key] for key in shared]) for side in (was, now)]
        return len(shared) == len(was) == len(now) > 0 and bool(np.allclose(pairs[0], pairs[1], atol=1e-5))

    def _members(self, subject: Subject, part: str) -> Collection[str] | None:
        """The images of a part in both runs; None for all of them."""
        return set(self.before.members(subject, part)) & set(self.after.members(subject, part)) if part else None

    def _change_of_extreme(
        self,
        pairs: Mapping[str, Sequence[Values]],
        choose: Callable[..., str],
        unit: str,
        kept: Collection[str] | None,
    ) -> Measurement:
        """By how much the least, or the greatest, of several means rose between two runs.

        Parameters
        ----------
        pairs
            Name -> values by image, before and after.
        choose
            `min` or `max`.
        kept
            The images that count; all of them where it is None.
        """
        if not pairs or not all(side for sides in pairs.values() for side in sides):
            return _nothing("one of them does not tell it of each image", unit)
        samples: dict[str, _Sample] = {}
        for name, (old, new) in pairs.items():
            images = sorted(image for image in old.keys() & new.keys() if kept is None or image in kept)
            groups = self.after.groups(images)
            count = len(np.unique(groups))
            if count < self._least_groups:
                shared = f"{count} groups of images" if count else "no image"
                return _nothing(f"they share {shared} of it, and {self._least_groups} groups are needed", unit)
            before, after = (np.array([side[image] for image in images]) for side in (old, new))
            samples[name] = _Sample(images, groups, before, after)

        def change(earlier: str, later: str) -> Measurement | None:
            one, other = samples[earlier], samples[later]
            return self._change(one.before, other.after, one.groups, unit) if one.images == other.images else None

        was = {name: self._mean(sample.before, sample.groups, unit) for name, sample in samples.items()}
        now = {name: self._mean(sample.after, sample.groups, unit) for name, sample in samples.items()}
        return change_of_extreme(was, now, change, choose)

    def _mean(self, values: Array, groups: Groups, unit: str) -> Measurement:
        level = 1 - self.after.result.rule.alpha
        if unit == "share" and ((values == 0) | (values == 1)).all():
            return share_interval(values, groups, level)
        return mean_interval(values, groups, level, unit=unit if unit != "share" else "difference")

    def _change(self, old: Array, new: Array, groups: Groups, unit: str) -> Measurement:
        """The mean of paired differences, with a lower bound that is corrected for the number of comparisons.

        Of one and the same model every difference is nought, and not only on these images.
        """
        alpha = self.after.result.rule.alpha
        wide_level = 1 - alpha / self.tests
        levels = (wide_level if self.both_ends else 1 - alpha, wide_level)
        if unit == "share" and not (self.is_one_model and np.array_equal(old, new)):
            plain, wide = (change_interval(new, old, groups, level) for level in levels)
        else:
            plain, wide = (mean_interval(new - old, groups, level, unit=unit) for level in levels)
        return plain if plain.low == wide.low else replace(plain, low_adjusted=wide.low)

    @property
    def _least_groups(self) -> int:
        return self.after.result.rule.min_groups


def change_of_extreme(
    was: Mapping[str, Measurement],
    now: Mapping[str, Measurement],
    change: Callable[[str, str], Measurement | None],
    choose: Callable[..., str],
) -> Measurement:
    """By how much the least, or the greatest, of several numbers rose.

    Where it is clear which one that was and which it is, the one is compared with the other. Else the least rose by no
    less than whatever is least now, and by no more than whatever was least: the interval spans all that may be.

    Parameters
    ----------
    was, now
        Each number before and after, by its name.
    change
        By how much the second is greater now than the first was; None where they are of other images. Of one and the
        same number it is always known.
    choose
        `min` or `max`.
    """
    earlier, later = (_candidates(side, choose) for side in (was, now))
    direct = change(earlier[0], later[0]) if len(earlier) == len(later) == 1 else None
    if direct is not None:
        return direct
    lowest, highest = (later, earlier) if choose is min else (earlier, later)
    lower, upper = ([found for name in names if (found := change(name, name))] for names in (lowest, highest))
    before, after = (choose(side, key=lambda name, side=side: side[name].value) for side in (was, now))
    low, high = min(part.bounds[0] for part in lower), max(part.bounds[1] for part in upper)
    adjusted = min(part.decisive.bounds[0] for part in lower)
    value = (now[after].value or 0.0) - (was[before].value or 0.0)
    return replace(lower[0], value=value, low=low, high=high, low_adjusted=None if adjusted == low else adjusted)


def _candidates(numbers: Mapping[str, Measurement], choose: Callable[..., str]) -> list[str]:
    """Which of several numbers may be the least, or the greatest: those that are not clearly another's better."""
    if choose is min:
        bar = min(number.bounds[1] for number in numbers.values())
        return [name for name, number in numbers.items() if number.bounds[0] <= bar]
    bar = max(number.bounds[0] for number in numbers.values())
    return [name for name, number in numbers.items() if number.bounds[1] >= bar]


def endpoint_of(old: Finding, new: Finding) -> str:
    """What two findings are compared on: what a reliance was decided on, the later one's first."""
    ordered = sorted((new, old), key=lambda finding: finding.verdict != "relies")
    return next((finding.endpoint for finding in ordered if finding.endpoint), "")


def _shared_ways(before: Mapping[str, Values], after: Mapping[str, Values]) -> Collection[str]:
    """The ways in which both were edited; where both could be edited exactly, that alone."""
    shared = before.keys() & after.keys()
    return {"exact"} if "exact" in shared else shared


def _errors(hits: Values) -> Values:
    return {image: 1 - hit for image, hit in hits.items()}


def _nothing(why: str, unit: str = "share") -> Measurement:
    return missing(f"the runs cannot be compared image by image, for {why}", unit=unit)


MARGINS = "margins"
"""The unit of effects that are compared: 1 is the smallest effect that matters, whatever the model's temperature."""
