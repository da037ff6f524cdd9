"""Where optimal inputs are made for the studies: starts, ways to climb, and what is measured of what comes out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from auditor.explain.inquiry import Inquiry
from auditor.explain.optima.ascent import Ascent, Objective, Recipe, ascend
from auditor.explain.optima.objectives import (
    class_log_odds,
    class_logit,
    class_probability,
    draw_noise,
)
from auditor.explain.optima.parametrisation import Basis, Constraint, colour_covariance, parametrise
from auditor.explain.optima.record import FeatureOptimum, Optimum, RealImage
from auditor.explain.texture import high_frequency_share, total_variation
from auditor.measure.arrays import Doubles, Floats, Ints, Numbers, join
from auditor.measure.intervals import mean_interval
from auditor.measure.measurement import Measurement
from auditor.measure.seeds import keyed_generator
from auditor.subject.data.pictures import to_pixels
from auditor.subject.model.classifier import Explainable, log_odds, predicted_classes, to_probability
from auditor.subject.population import name_classes

ClassObjective = Literal["logit", "log_odds", "probability"]
Start = Literal["noise", "grey", "image"]

SAMPLE = 256
"""Real images that colours, looks and features are measured on."""

REAL_SHOWN = 3
"""Real images shown beside an optimum."""

_NOISE = {"fourier": 0.3, "pixels": 0.1}
"""Standard deviation of a noise start in parameters; either way about a tenth of the range of pixels."""

_BATCH_FLOATS = 2**20
"""Pixels of one batch, of 8 to 128 images: fixed, so that results do not depend on `model.batch_size`."""


@dataclass(frozen=True)
class Way:
    """One way to look for an optimum."""

    objective: ClassObjective
    start: Start
    basis: Basis
    constraint: Constraint
    recipe: Recipe

    @property
    def is_of_data(self) -> bool:
        """Whether what it finds was made from an audited image."""
        return self.start == "image"

    def bare(self) -> Way:
        """Pixels that are clipped, and nothing to keep them smooth."""
        return replace(self, basis="pixels", constraint="clip", recipe=_without(self.recipe, views=True))

    def unpenalised(self) -> Way:
        """Without penalties: a probability that is nearly reached cannot pay for them."""
        return replace(self, recipe=_without(self.recipe, views=False))


@dataclass(frozen=True)
class Maximiser:
    """The model and a sample of real images, and what climbing needs to know of them."""

    inquiry: Inquiry
    positions: Ints
    """(n,): rows of the data set that the sample is, ascending."""
    images: Floats
    """(n, h, w, c)."""
    at: Ints
    """(n,): where the sample stands in the inquiry's images."""
    covariance: Doubles
    """(c, c) of the colours of the sample."""
    _sized: dict[int, Explainable] = field(default_factory=dict)

    def climb_classes(
        self, way: Way, targets: Ints, restarts: Ints, keep: Collection[int] = (), watch: Collection[int] = ()
    ) -> Ascent:
        """Optima (n, ...) of classes, targets (n,), each from its own start, restarts (n,)."""
        inquiry = self.inquiry
        names = [f"{inquiry.classifier.classes[c]}, {r}" for c, r in zip(targets, restarts, strict=True)]
        objectives: dict[str, Callable[[Ints], Objective]] = {
            "logit": class_logit,
            "log_odds": lambda rows: class_log_odds(rows, inquiry.classifier.output),
            "probability": lambda rows: class_probability(rows, inquiry.classifier.output),
        }
        worth = inquiry.images.scores.astype(np.float64)
        worth = to_probability(worth) if way.objective == "probability" else worth
        start = self.start_images(targets, restarts) if way.start == "image" else None
        return self.climb(
            lambda rows: objectives[way.objective](targets[rows]),
            names,
            way,
            units=np.maximum(worth.std(axis=0)[targets], 1e-3),
            start=start,
            keep=keep,
            watch=watch,
        )

    def climb(
        self,
        objective: Callable[[Ints], Objective],
        names: list[str],
        way: Way,
        *,
        units: Doubles,
        start: Floats | None = None,
        keep: Collection[int] = (),
        watch: Collection[int] = (),
        are_one_group: bool = False,
    ) -> Ascent:
        """Climb from named starts, in batches of one size; `objective` is that of some of the rows."""
        inquiry, shape = self.inquiry, self.inquiry.classifier.image_shape
        parametrisation = parametrise(way.basis, way.constraint, shape, self.covariance)
        if start is not None:
            parameters = parametrisation.to_parameters(start)
        else:
            strength = _NOISE[way.basis] if way.start == "noise" else 0.0
            parameters = draw_noise(parametrisation, shape, names, strength, inquiry.seed)
        most = len(names) if are_one_group else min(128, max(8, _BATCH_FLOATS // int(np.prod(shape))))
        count = -(-len(names) // most)
        size = -(-len(names) // count)
        parts = []
        for at in range(0, len(names), size):
            rows = np.arange(at, min(at + size, len(names)))
            parts.append(
                ascend(
                    self.sized(size),
                    objective(rows),
                    parametrisation,
                    parameters[rows],
                    way.recipe,
                    names=[names[row] for row in rows],
                    groups=np.zeros(len(rows), np.int64) if are_one_group else None,
                    units=units[rows],
                    seed=inquiry.seed,
                    keep=keep,
                    watch=watch,
                )
            )
        return join(parts)

    def sized(self, size: int) -> Explainable:
        if size not in self._sized:
            self._sized[size] = self.inquiry.classifier.sized(size)
        return self._sized[size]

    def start_images(self, targets: Ints, restarts: Ints) -> Floats:
        """A real image for each start, drawn by its name from those of the sample not predicted as its class."""
        predicted = self.inquiry.images.predicted[self.at]
        by_name = np.argsort(self.inquiry.dataset.named(self.positions), kind="stable")
        chosen = []
        for target, restart in zip(targets, restarts, strict=True):
            others = by_name[~predicted[by_name, target]]
            name = f"{self.inquiry.classifier.classes[target]}, {restart}"
            random = keyed_generator(self.inquiry.seed, "activation_maximisation start image", name)
            chosen.append(int(random.choice(others if len(others) else by_name)))
        return self.images[chosen]

    def score(self, images: Floats) -> tuple[Floats, Doubles, list[str]]:
        """Scores and log-odds (n, classes) of images, and what each is predicted as, in words."""
        classifier = self.inquiry.classifier
        scores = self.sized(min(64, max(1, len(images)))).scores(images)
        predicted = predicted_classes(scores, classifier.output)
        words = [name_classes(flags, classifier.classes) for flags in predicted]
        odds = log_odds(scores, classifier.output)
        return scores, odds.astype(np.float64), words

    def mean_features(self, images: Floats, layer: str) -> Doubles:
        """Means (n, k) over the frame of a layer's features."""
        classifier = self.sized(min(32, max(1, len(images))))
        parts = [
            classifier.linearise(images[at : at + 32], (layer,)).features[layer].mean(axis=(1, 2), dtype=np.float64)
            for at in range(0, len(images), 32)
        ]
        return np.concatenate(parts)

    def excite(
        self,
        name: str,
        kind: Literal["channel", "neuron", "direction"],
        artefact: str | None,
        objective: Objective,
        way: Way,
        restarts: int,
        everywhere: Doubles,
        *,
        usual: Measurement,
        with_artefact: Measurement | None = None,
    ) -> FeatureOptimum:
        """Optima of a feature, whose value on the sample is `everywhere` (n,); restarts repel each other."""
        names = [f"{name}, {restart}" for restart in range(restarts)]
        units = np.full(restarts, max(float(everywhere.std()), 1e-6))
        climbed = self.climb(lambda rows: objective, names, way, units=units, are_one_group=True)
        _, _, predicted = self.score(climbed.images)
        order = np.argsort(-climbed.values, kind="stable")
        images = [f"optimum of {each}" for each in names]
        self.inquiry.rows.note(climbed.values, image=images, measurement="feature at the optimum", method="optima")
        top = np.argsort(-everywhere, kind="stable")[:REAL_SHOWN]
        reached = mean_interval(climbed.values, np.arange(restarts), self.inquiry.level, unit="feature")
        if way.recipe.diversity and restarts > 1:  # they repel each other, so they are no independent draws
            reached = replace(reached, low=None, high=None, level=None, reason="restarts repel each other")
        return FeatureOptimum(
            name=name,
            kind=kind,
            artefact=artefact,
            optima=[
                Optimum(
                    self.keep(f"{name}, {place}", climbed.images[row], of_data=way.is_of_data),
                    float(climbed.values[row]),
                    None,
                    predicted[row],
                )
                for place, row in enumerate(order)
            ],
            real=self.real_images(name, self.at[top].tolist(), everywhere[top]),
            reached=reached,
            usual=usual,
            with_artefact=with_artefact,
        )

    def keep(self, key: str, image: Floats, *, of_data: bool) -> str:
        """Keep a picture in the run; returns its key."""
        return self.inquiry.arrays.keep(f"activation maximisation: {key}", to_pixels(image), of_data=of_data)

    def real_images(self, key: str, at: Sequence[int], values: Numbers) -> list[RealImage]:
        """Some of the inquiry's images, at their places there, with their values (m,)."""
        inquiry = self.inquiry
        population, classes = inquiry.images, inquiry.classifier.classes
        rows = [int(population.positions[place]) for place in at]
        pictures, found = inquiry.dataset.images(rows), []
        for number, (place, row, value) in enumerate(zip(at, rows, values, strict=True)):
            label = inquiry.dataset.label(row, classes)
            predicted = name_classes(population.predicted[place], classes)
            picture = self.keep(f"{key}, real {number}", pictures[number], of_data=True)
            found.append(RealImage(inquiry.dataset.ids[row], label, predicted, picture, float(value)))
        return found


def set_up(inquiry: Inquiry) -> Maximiser:
    """A seeded sample of the usable images, and their colours."""
    population = inquiry.images
    chosen = inquiry.ordered(population.positions, "activation_maximisation sample")[:SAMPLE]
    at = np.flatnonzero(np.isin(population.positions, chosen))
    at = at[np.argsort(population.positions[at], kind="stable")]
    positions = population.positions[at]
    images = inquiry.dataset.images(positions)
    return Maximiser(inquiry, positions, images, at, colour_covariance(images))


@dataclass(frozen=True)
class RealLooks:
    """What optima are compared with: how real images look."""

    total_variation: Doubles
    """(n,)."""
    high_frequency: Doubles
    """(n,)."""

    def ratios(self, images: Floats) -> tuple[Doubles, Doubles]:
        """Total variation and high-frequency share (m,) of images, each as a ratio to the median real image.

        The share of an image without contrast is undefined, NaN: it is left out, and so is the median of such alone.
        """
        known = self.high_frequency[np.isfinite(self.high_frequency)]
        rough, fine = np.median(self.total_variation), np.median(known) if len(known) else np.nan
        return total_variation(images) / max(rough, 1e-9), high_frequency_share(images) / np.maximum(fine, 1e-9)


def look_at(images: Floats) -> RealLooks:
    return RealLooks(total_variation(images), high_frequency_share(images))


def _without(recipe: Recipe, *, views: bool) -> Recipe:
    plain = replace(recipe, l2=0.0, total_variation=0.0, blur_every=0)
    return replace(plain, jitter=0, scale=0.0, rotation=0.0) if views else plain
