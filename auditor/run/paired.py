"""Two runs on the same images: by how much numbers differ, image by image.

A difference of two effects that were measured on the same images is far better known than either effect, and two
intervals that overlap say nothing about it. So each image is compared with itself, and the interval is that of the mean
difference, clustered by group. `benchmarks/paired.py` simulates how often what is concluded from it is wrong.

References: Altman and Bland, "Interaction revisited" (2003); Schuirmann (1987) for two one-sided tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from auditor.measure.arrays import Array, Bools, Groups, Ints
from auditor.measure.intervals import change_interval, mean_interval, missing, share_interval
from auditor.measure.measurement import Measurement
from auditor.run.evidence import LEADS, Evidence, Subject, Values, match, scores_of
from auditor.verdict.record import Finding


class _Sample(NamedTuple):
    """One number of the images that two runs share."""

    images: Ints
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
            was, now = self.before.of(subject, name), self.after.of(subject, name)
            if bool(was) != bool(now):
                return _nothing(f"the {name.replace('_', ' ')} is known of one of them only", MARGINS)
            for way in _shared_ways(was, now):
                scaled = was[way]._replace(values=was[way].values / old.margin)
                pairs[f"{name}, {way}"] = scaled, now[way]._replace(values=now[way].values / new.margin)
        return self._change_of_extreme(pairs, min, MARGINS, self._members(subject, part))

    def change_of_share(self, old: Finding, new: Finding, name: str, part: str = "") -> Measurement:
        """By how much a share of images rose, in all of them or in a part."""
        subject = (new.artefact, new.target)
        was, now = (side.of(subject, name) for side in (self.before, self.after))
        pairs = {way: (was[way], now[way]) for way in _shared_ways(was, now)}
        return self._change_of_extreme(pairs, min, "share", self._members(subject, part))

    def change_of_errors(self) -> Measurement:
        """By how much the share of errors rose on the images as they came."""
        was, now = (side.of((None, None), "accuracy") for side in (self.before, self.after))
        pairs = {way: (_errors(was[way]), _errors(now[way])) for way in _shared_ways(was, now)}
        return self._change_of_extreme(pairs, max, "share")

    def change_of_worst_group(self, old: Finding, new: Finding) -> Measurement:
        """By how much the share of errors rose in the class that is recognised worst, with the artefact or without.

        Classes of fewer groups than a verdict needs are left out.
        """
        subject, pairs = (new.artefact, new.target), {}
        was, now = (side.of(subject, "correct") for side in (self.before, self.after))
        for way in _shared_ways(was, now):
            for name in self.after.result.model.classes:
                members = self._members(subject, f"class = {name}")
                assert members is not None
                kept = now[way].images[members[now[way].images]]
                if len(np.unique(self.after.groups[kept])) >= self._least_groups:
                    part = Values(kept, now[way].values[np.isin(now[way].images, kept)])
                    pairs[f"{name}, {way}"] = _errors(was[way]), _errors(part)
        if was and now and not pairs:
            return _nothing(f"no class has {self._least_groups} groups of images in both")
        return self._change_of_extreme(pairs, max, "share")

    @cached_property
    def is_one_model(self) -> bool:
        """Whether the models give the same scores, but for rounding, to each image as it came and to each edit."""
        subjects = [(finding.artefact, finding.target) for finding in self.after.result.findings]
        was, now = (scores_of(side, subjects) for side in (self.before, self.after))
        if not was or was.keys() != now.keys():
            return False
        for key, values in was.items():
            _, one, other = self._pair(values, now[key])
            if not (len(one) == len(values.images) == len(now[key].images) and np.allclose(one, other, atol=1e-5)):
                return False
        return True

    def is_asked_otherwise(self, artefact: str) -> bool:
        """Whether an artefact of this name is another one than it was."""
        was, now = (_configured(side.result.provenance.config, artefact) for side in (self.before, self.after))
        return was != now

    @cached_property
    def _matched(self) -> Ints:
        return match(self.before, self.after)

    def _pair(self, old: Values, new: Values) -> tuple[Ints, Array, Array]:
        """The images of both, by their numbers in the later run, and what each was and is."""
        numbers = self._matched[old.images]
        known = numbers >= 0
        shared, was, now = np.intersect1d(numbers[known], new.images, assume_unique=True, return_indices=True)
        return shared, old.values[known][was], new.values[now]

    def _members(self, subject: Subject, part: str) -> Bools | None:
        """(images of the later run,): those of a part in both runs; None for all of them."""
        if not part:
            return None
        before, after = self.before.members(subject, part), self.after.members(subject, part)
        both = np.zeros_like(after)
        both[self._matched[before & (self._matched >= 0)]] = True
        return np.asarray(both & after)

    def _change_of_extreme(
        self,
        pairs: Mapping[str, tuple[Values, Values]],
        choose: Callable[..., str],
        unit: str,
        kept: Bools | None = None,
    ) -> Measurement:
        """By how much the least, or the greatest, of several means rose between two runs.

        Parameters
        ----------
        pairs
            Name -> values before and after.
        choose
            `min` or `max`.
        kept
            (images of the later run,): those that count; all of them where it is None.
        """
        if not pairs:
            return _nothing("one of them does not tell it of each image", unit)
        samples: dict[str, _Sample] = {}
        for name, (old, new) in pairs.items():
            images, before, after = self._pair(old, new)
            if kept is not None:
                counts = kept[images]
                images, before, after = images[counts], before[counts], after[counts]
            groups = self.after.groups[images]
            count = len(np.unique(groups))
            if count < self._least_groups:
                shared = f"{count} groups of images" if count else "no image"
                return _nothing(f"they share {shared} of it, and {self._least_groups} groups are needed", unit)
            samples[name] = _Sample(images, groups, before, after)

        def change(earlier: str, later: str) -> Measurement | None:
            one, other = samples[earlier], samples[later]
            if not np.array_equal(one.images, other.images):
                return None
            return self._change(one.before, other.after, one.groups, unit)

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


def _configured(config: Mapping[str, Any], artefact: str) -> Any:
    """What a configuration says of an artefact, if it has it."""
    entries = config.get("artefacts")
    named = (entry for entry in entries if isinstance(entry, dict)) if isinstance(entries, list) else ()
    return next((entry for entry in named if entry.get("name") == artefact), None)


def _shared_ways(before: Mapping[str, Values], after: Mapping[str, Values]) -> list[str]:
    """The ways in which both were edited; where both could be edited exactly, that alone."""
    return ["exact"] if "exact" in before.keys() & after.keys() else [way for way in after if way in before]


def _errors(hits: Values) -> Values:
    return hits._replace(values=1 - hits.values)


def _nothing(why: str, unit: str = "share") -> Measurement:
    return missing(f"the runs cannot be compared image by image, for {why}", unit=unit)


MARGINS = "margins"
"""The unit of effects that are compared: 1 is the smallest effect that matters, whatever the model's temperature."""
