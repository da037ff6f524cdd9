"""Methods of attribution that are tested alike, and what becomes of their maps as the model forgets what it learnt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from auditor.errors import ModelError
from auditor.explain.attribution.question import Attribution, Method, explain
from auditor.explain.attribution.record import MapName
from auditor.explain.attribution.regions import lift
from auditor.explain.inquiry import Inquiry
from auditor.explain.trust.sample import Sample
from auditor.explain.trust.sanity import read_map, similarities, spread_over_depth
from auditor.measure.arrays import Doubles, Floats, Ints
from auditor.measure.intervals import mean_interval
from auditor.measure.measurement import Measurement
from auditor.subject.model.classifier import Chords, Explainable, Pass

_COSTLY = 16
"""Images that the model is differentiated at for all maps of one image, from which on a method is costly."""


@dataclass(frozen=True)
class MethodGroup:
    """Some methods, the images that they are tested on, and how thoroughly."""

    inquiry: Inquiry
    """With the methods of the group alone."""
    sample: Sample
    stages: int
    """Of the cascade."""
    draws: int
    """Of random weights."""
    is_reduced: bool = False
    """Whether in fewer stages and draws, and perhaps on fewer images, for what maps cost."""

    def explain(self, classifier: Explainable | None = None, **changed: Any) -> dict[MapName, Attribution]:
        """Attributions by name: of the audited model or another, for the sample with some of its fields changed."""
        asked = replace(self.sample, **changed)
        return self.inquiry.explain(self.inquiry.ask(asked.images, asked.targets, asked.ids, classifier=classifier))

    def mean(self, values: Doubles, unit: str = "log-odds", level: float | None = None) -> Measurement:
        """Over the images of the sample, (n,); at the audit's level or another."""
        return mean_interval(values, self.sample.groups, level or self.inquiry.level, unit=unit)

    def note(self, method: MapName, test: str, values: Doubles, reading: str | None = None) -> None:
        """Keep a test's figures image by image, where they are known."""
        sample, artefacts = self.sample, self.inquiry.artefacts
        self.inquiry.note(
            sample,
            values,
            f"trust: {test}",
            artefact=[None if number is None else artefacts[number].name for number in sample.artefacts],
            target=[self.inquiry.classifier.classes[number] for number in sample.targets],
            condition=reading,
            method=method,
        )

    def names(self, method: Method) -> list[MapName]:
        """What the maps of a method are called, of which it makes those of the first image."""
        one = self.sample.first(1)
        return list(explain(method, self.inquiry.ask(one.images, one.targets, one.ids)))

    def is_costly(self, method: Method) -> bool:
        """Whether maps take so many passes that the method is to be tested on less; measured on the first image."""
        one, counted = self.sample.first(1), _Counted(self.inquiry.classifier)
        question = self.inquiry.ask(one.images, one.targets, one.ids)
        explain(method, replace(question, classifier=cast(Explainable, counted)))
        return counted.images >= _COSTLY


@dataclass(frozen=True)
class Stage:
    """The maps of all methods once some layers have been randomised, beside those of the trained model."""

    layers: tuple[str, ...]
    likeness: dict[MapName, dict[str, Doubles]]
    """Map -> name of a similarity -> (n,), mean of the draws; NaN where every draw's map is empty."""
    shown: dict[MapName, Floats]
    """Map -> signed map (h, w, 1) of the first image, of the first draw."""
    empty: dict[MapName, float]
    """Map -> share of the maps that have no order, in the reading where more have none."""


@dataclass(frozen=True)
class Cascade:
    """Stages from the head down, to a model that knows nothing."""

    stages: list[Stage] = field(default_factory=list)
    lifts: dict[MapName, Doubles] = field(default_factory=dict)
    """Map -> (n,): lift of the artefact's region on the model that knows nothing, mean of the draws."""
    why_not: str | None = None
    """Why there are no stages."""


def run_cascade(group: MethodGroup, trained: dict[MapName, Attribution]) -> Cascade:
    """Draw the weights anew, layer by layer from the head down, and compare the maps with the trained model's.

    References: Adebayo et al., "Sanity checks for saliency maps" (2018).
    """
    classifier, sample = group.inquiry.classifier, group.sample
    if not classifier.weight_layers:
        return Cascade(why_not=classifier.why_no_weights)
    found: list[Stage] = []
    lifts: dict[MapName, list[Doubles]] = defaultdict(list)
    steps = spread_over_depth(classifier.weight_layers, group.stages)
    for number, layers in enumerate(steps):
        drawn: dict[MapName, list[dict[str, Doubles]]] = defaultdict(list)
        shown: dict[MapName, Floats] = {}
        for draw in range(group.draws):
            try:
                seed = group.inquiry.seed + 1000 * draw + number  # weights of every stage are drawn apart
                with classifier.randomised(layers, seed) as random_model:
                    maps = group.explain(random_model)
            except ModelError as fault:
                return Cascade(why_not=f"with weights drawn anew down to layer {layers[-1]}, {fault}")
            for name, attribution in maps.items():
                drawn[name].append(similarities(trained[name].maps, attribution.maps))
                if not draw:
                    shown[name] = read_map(attribution.maps[:1], "signed")[0][..., None]
                if layers == steps[-1]:
                    lifts[name].append(region_lifts(read_map(attribution.maps, "absolute"), sample))
        likeness = {
            name: {kind: mean_of_known([one[kind] for one in parts]) for kind in parts[0]}
            for name, parts in drawn.items()
        }
        empty = {
            name: max(float(np.isnan([one[kind] for one in parts]).mean()) for kind in ("signed", "absolute"))
            for name, parts in drawn.items()
        }
        found.append(Stage(layers, likeness, shown, empty))
    return Cascade(found, {name: np.mean(parts, axis=0) for name, parts in lifts.items()})


def mean_of_known(parts: list[Doubles]) -> Doubles:
    """Mean of arrays, each (n,), over those of them that are known; NaN where none is."""
    stacked = np.stack(parts)
    known = np.isfinite(stacked)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, stacked, 0).sum(axis=0) / np.maximum(count, 1), np.nan)


def region_lifts(heat: Floats, sample: Sample) -> Doubles:
    """Lift (n,) of each image's region in maps (n, h, w); NaN where it has none, or the map is empty."""
    return np.array([lift(one, mask) for one, mask in zip(heat, sample.masks, strict=True)])


class _Counted:
    """A classifier that counts the images that it is differentiated at."""

    def __init__(self, classifier: Explainable) -> None:
        self._classifier = classifier
        self.images = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._classifier, name)

    def differentiate(self, images: Floats, targets: Ints, layers: tuple[str, ...] = ()) -> Pass:
        self.images += len(images)
        return self._classifier.differentiate(images, targets, layers)

    def chords(self, starts: Floats, ways: Floats, aims: Sequence[Ints], places: Doubles) -> Chords:
        self.images += places.size
        return self._classifier.chords(starts, ways, aims, places)
