"""Two runs on the same images: by how much numbers differ, image by image.

A difference of two effects that were measured on the same images is far better known than either effect, and two
intervals that overlap say nothing about it. So each image is compared with itself, and the interval is that of the mean
difference, clustered by group. `benchmarks/paired.py` simulates how often what is concluded from it is wrong.

References: Altman and Bland, "Interaction revisited" (2003); Schuirmann (1987) for two one-sided tests.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from auditor.errors import ReportError
from auditor.measure.arrays import Array, Groups
from auditor.measure.intervals import change_interval, mean_interval, missing
from auditor.measure.measurement import Measurement
from auditor.run.files import ROWS
from auditor.run.result import AuditResult
from auditor.run.store import Run, SavedRun
from auditor.verdict.effects import NAMES
from auditor.verdict.notes import PART, SCORE
from auditor.verdict.record import Finding

Values = Mapping[str, float]
"""Image -> its value."""

Subject = tuple[str | None, str | None]
"""Artefact and class; neither, for what is no finding's."""

LEADS = {"theta": NAMES[1][:3], "theta_suppression": NAMES[-1][:3], "removal_drop": ("removal_drop",)}
"""What an effect was decided on -> what its parts are, the least of which it is."""


class Evidence:
    """What the rows of one run say of each image; they are read when they are first asked for.

    Raises
    ------
    ReportError
        At the reading: they are missing or damaged.
    """

    def __init__(self, run: Run | SavedRun) -> None:
        self._run = run

    @property
    def result(self) -> AuditResult:
        """The run's result."""
        return self._run.result

    def of(self, subject: Subject, measurement: str) -> Mapping[str, Values]:
        """Condition -> what was measured under it, by image; empty where no row tells."""
        return self._values[*subject, measurement]

    def groups(self, images: Iterable[str]) -> Groups:
        """The groups of some images."""
        return np.array([str(self._groups[image]) for image in images])

    def members(self, subject: Subject, part: str) -> Collection[str]:
        """The images of a part of the data, as `class = dog` names it."""
        column, _, value = part.partition(" = ")
        if column == "class":
            return {image for image, label in self._labels[subject].items() if value in self.classes_of(label)}
        return self.of((None, None), PART).get(part, {})

    @cached_property
    def scores(self) -> dict[tuple[str, ...], float]:
        """Every score that was kept, of images as they came and of how edits moved it."""
        kept = (SCORE, NAMES[1][0], NAMES[-1][0])
        return {
            (*map(str, key), condition, image): value
            for key, ways in self._values.items()
            for condition, values in ways.items()
            for image, value in values.items()
            if key[-1] in kept
        }

    def labels(self, subject: Subject) -> Mapping[str, str]:
        """Image -> its classes, of those that an artefact was put into."""
        return self._labels[subject]

    def classes_of(self, label: str) -> list[str]:
        """The classes that a label names, one or several."""
        classes = self.result.model.classes
        return [label] if label in classes else [name for name in classes if f", {name}," in f", {label},"]

    @cached_property
    def _rows(self) -> dict[str, list[Any]]:
        if isinstance(self._run, Run):
            return {name: self._run.rows.columns[name] for name in _TYPES}
        import pyarrow as pa
        import pyarrow.compute as pc

        file = self._run.folder / ROWS
        try:
            table = self._run.rows.select(list(_TYPES))
            table = table.cast(pa.schema([(name, getattr(pa, kind)()) for name, kind in _TYPES.items()]))
            wanted = pc.is_in(table["measurement"], value_set=pa.array(sorted(_PAIRED)))
            known = pc.and_(pc.is_valid(table["image"]), pc.is_finite(table["value"]))
            found: dict[str, list[Any]] = table.filter(pc.and_(wanted, known)).to_pydict()
        except (KeyError, pa.ArrowException) as fault:
            raise ReportError(f"{file}: damaged: {str(fault).splitlines()[0]}") from None
        return found

    @cached_property
    def _values(self) -> dict[tuple[Any, ...], dict[str, dict[str, float]]]:
        found: dict[tuple[Any, ...], dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
        names = ("artefact", "target", "measurement", "condition", "image", "value")
        for *key, condition, image, value in zip(*(self._rows[name] for name in names), strict=True):
            if key[-1] in _PAIRED:
                found[tuple(key)][condition][image] = value
        return found

    @cached_property
    def _groups(self) -> dict[str, str]:
        return dict(zip(self._rows["image"], self._rows["group"], strict=True))

    @cached_property
    def _labels(self) -> dict[Subject, dict[str, str]]:
        found: dict[Subject, dict[str, str]] = defaultdict(dict)
        names = ("artefact", "target", "image", "label")
        for artefact, target, image, label in zip(*(self._rows[name] for name in names), strict=True):
            if label is not None:
                found[artefact, target][image] = label
        return found


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

        An effect is the least of its leads, and which of them that is may differ between runs. The change is then at
        least that of the lead that is least afterwards, and at most that of the one that was least before.
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
        changes: dict[str, Measurement] = {}
        was: dict[str, float] = {}
        now: dict[str, float] = {}
        for name, (old, new) in pairs.items():
            images = sorted(image for image in old.keys() & new.keys() if kept is None or image in kept)
            groups = self.after.groups(images)
            count = len(np.unique(groups))
            if count < self._least_groups:
                shared = f"{count} groups of images" if count else "no image"
                return _nothing(f"they share {shared} of it, and {self._least_groups} groups are needed", unit)
            before, after = (np.array([side[image] for image in images]) for side in (old, new))
            changes[name] = self._change(before, after, groups, unit)
            was[name], now[name] = float(before.mean()), float(after.mean())
        earlier, later = choose(was, key=was.__getitem__), choose(now, key=now.__getitem__)
        lower, upper = (later, earlier) if choose is min else (earlier, later)
        return replace(changes[lower], value=now[later] - was[earlier], high=changes[upper].high)

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

_PAIRED = frozenset(
    [*(name for names in LEADS.values() for name in names), "decisions_turned", "decisions_lost", "flip_rate",
     "suppression_flip_rate", "correct", "accuracy", SCORE, PART]
)  # fmt: skip

_TYPES = {
    "image": "string", "group": "string", "label": "string", "artefact": "string", "target": "string",
    "measurement": "string", "condition": "string", "value": "float64",
}  # fmt: skip
"""Columns of the rows that are read, and what they must be."""
