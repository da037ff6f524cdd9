"""Where optimal inputs are made for the studies: starts, ways to climb, and what is measured of what comes out."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np

from auditor.explain.inquiry import Inquiry, Selection
from auditor.explain.optima.ascent import Ascent, Objective, Recipe, ascend
from auditor.explain.optima.objectives import class_log_odds, class_logit, class_probability, draw_noise
from auditor.explain.optima.parametrisation import Basis, Constraint, colour_covariance, parametrise
from auditor.explain.optima.record import Optimum, RealImage
from auditor.explain.texture import high_frequency_share, total_variation
from auditor.measure.arrays import Doubles, Floats, Ints, Numbers, join
from auditor.measure.intervals import mean_interval, ratio_interval
from auditor.measure.measurement import Measurement
from auditor.measure.seeds import keyed_generator
from auditor.subject.data.pictures import to_pixels
from auditor.subject.model.classifier import Explainable, Output, log_odds, predicted_classes, to_probability
from auditor.subject.population import name_classes

ClassObjective = Literal["logit", "log_odds", "probability"]
Start = Literal["noise", "grey", "image"]

SAMPLE = 256
"""Real images that colours, looks and features are measured on."""

_REAL_SHOWN = 3
"""Real images shown beside an optimum."""

_NOISE = {"fourier": 0.3, "pixels": 0.1}
"""Standard deviation of a noise start in parameters; either way about a tenth of the range of pixels."""

_LEAST_BATCH, _LARGEST_BATCH = 8, 128
_BATCH_FLOATS = 2**20
"""Pixels of one batch, where that is within these bounds: fixed, so results do not depend on `model.batch_size`."""

_CLASS_OBJECTIVES: dict[ClassObjective, Callable[[Ints, Output], Objective]] = {
    "logit": lambda targets, output: class_logit(targets),
    "log_odds": class_log_odds,
    "probability": class_probability,
}


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
        plain = self.unpenalised()
        still = replace(plain.recipe, jitter=0, scale=0.0, rotation=0.0)
        return replace(plain, basis="pixels", constraint="clip", recipe=still)

    def unpenalised(self) -> Way:
        """Without penalties: a probability that is nearly reached cannot pay for them."""
        return replace(self, recipe=replace(self.recipe, l2=0.0, total_variation=0.0, blur_every=0))


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


@dataclass(frozen=True)
class Maximiser:
    """The model and a sample of real images, and what climbing needs to know of them."""

    inquiry: Inquiry
    sample: Selection
    """(n,): real images, in the order of the data set."""
    at: Ints
    """(n,): where they stand in the inquiry's images."""
    covariance: Doubles
    """(c, c) of the colours of the sample."""
    looks: RealLooks
    """Of the sample."""
    _sized: dict[int, Explainable] = field(default_factory=dict)

    def climb_classes(
        self, way: Way, targets: Ints, restarts: Ints, keep: Collection[int] = (), watch: Collection[int] = ()
    ) -> Ascent:
        """Optima (n, ...) of classes, targets (n,), each from its own start, restarts (n,)."""
        inquiry, make = self.inquiry, _CLASS_OBJECTIVES[way.objective]
        names = [f"{inquiry.classifier.classes[c]}, {r}" for c, r in zip(targets, restarts, strict=True)]
        worth = inquiry.images.scores.astype(np.float64)
        worth = to_probability(worth) if way.objective == "probability" else worth
        units = np.maximum(worth.std(axis=0)[targets], 1e-3)
        start = self.start_images(targets, restarts) if way.start == "image" else None

        def objective(some: slice) -> Objective:
            return make(targets[some], inquiry.classifier.output)

        return self.climb(objective, names, way, units, start=start, keep=keep, watch=watch)

    def climb(
        self,
        objective: Callable[[slice], Objective],
        names: list[str],
        way: Way,
        units: Doubles,
        *,
        start: Floats | None = None,
        keep: Collection[int] = (),
        watch: Collection[int] = (),
    ) -> Ascent:
        """Climb from named starts, in batches of one size; `objective` is that of some of them.

        Where the recipe asks for diversity, the images of a batch repel each other; eight fit into one at any size.
        """
        inquiry, shape = self.inquiry, self.inquiry.classifier.image_shape
        space = parametrise(way.basis, way.constraint, shape, self.covariance)
        if start is not None:
            parameters = space.to_parameters(start)
        else:
            strength = _NOISE[way.basis] if way.start == "noise" else 0.0
            parameters = draw_noise(space, shape, names, strength, inquiry.seed)
        most = min(_LARGEST_BATCH, max(_LEAST_BATCH, _BATCH_FLOATS // int(np.prod(shape))))
        size = math.ceil(len(names) / math.ceil(len(names) / most))
        climber = partial(ascend, self.sized(size), recipe=way.recipe, seed=inquiry.seed, keep=keep, watch=watch)
        parts = []
        for at in range(0, len(names), size):
            some = slice(at, at + size)
            parts.append(climber(objective(some), space, parameters[some], names=names[some], units=units[some]))
        return join(parts)

    def sized(self, size: int) -> Explainable:
        """The classifier, made for calls with so many images."""
        if size not in self._sized:
            self._sized[size] = self.inquiry.classifier.sized(size)
        return self._sized[size]

    def start_images(self, targets: Ints, restarts: Ints) -> Floats:
        """A real image for each start, drawn by its name from those of the sample not predicted as its class."""
        predicted = self.inquiry.images.predicted[self.at]
        by_name = np.argsort(self.sample.ids, kind="stable")
        chosen = []
        for target, restart in zip(targets, restarts, strict=True):
            others = by_name[~predicted[by_name, target]]
            name = f"{self.inquiry.classifier.classes[target]}, {restart}"
            random = keyed_generator(self.inquiry.seed, "activation_maximisation start image", name)
            chosen.append(int(random.choice(others if len(others) else by_name)))
        return self.sample.images[chosen]

    def score(self, images: Floats) -> tuple[Floats, Doubles, list[str]]:
        """Scores and log-odds (n, classes) of images, and what each is predicted as, in words."""
        classifier = self.inquiry.classifier
        scores = self.sized(min(64, max(1, len(images)))).scores(images)
        predicted = predicted_classes(scores, classifier.output)
        words = [name_classes(flags, classifier.classes) for flags in predicted]
        return scores, log_odds(scores, classifier.output).astype(np.float64), words

    def mean_features(self, images: Floats, layer: str) -> Doubles:
        """Means (n, k) over the frame of a layer's features."""
        classifier = self.sized(min(32, max(1, len(images))))
        batches = [images[at : at + 32] for at in range(0, len(images), 32)]
        features = [classifier.linearise(batch, (layer,)).features[layer] for batch in batches]
        return np.concatenate([maps.mean(axis=(1, 2), dtype=np.float64) for maps in features])

    def excite(
        self, name: str, objective: Objective, way: Way, restarts: int, everywhere: Doubles
    ) -> tuple[list[Optimum], list[RealImage], Measurement]:
        """Optima of a feature, highest first, the real images that excite it most, and its mean at the optima.

        Its value on the sample is `everywhere` (n,). Restarts repel each other.
        """
        names = [f"{name}, {restart}" for restart in range(restarts)]
        units = np.full(restarts, max(float(everywhere.std()), 1e-6))
        climbed = self.climb(lambda some: objective, names, way, units)
        _, _, predicted = self.score(climbed.images)
        order = np.argsort(-climbed.values, kind="stable")
        images = [f"optimum of {each}" for each in names]
        self.inquiry.rows.note(climbed.values, image=images, measurement="feature at the optimum", method="optima")
        reached = self.mean(climbed.values, "feature")
        if way.recipe.diversity and restarts > 1:  # they repel each other, so they are no independent draws
            reached = replace(reached, low=None, high=None, level=None, reason="restarts repel each other")
        pairs = enumerate(order)
        optima = [self.optimum(f"{name}, {place}", climbed, row, way, predicted[row]) for place, row in pairs]
        return optima, self.best_images(name, self.at, everywhere), reached

    def keep(self, key: str, image: Floats, *, of_data: bool) -> str:
        """Keep a picture in the run; returns its key."""
        return self.inquiry.arrays.keep(f"activation maximisation: {key}", to_pixels(image), of_data=of_data)

    def optimum(
        self, key: str, climbed: Ascent, row: int, way: Way, predicted: str, probability: float | None = None
    ) -> Optimum:
        """One of the images that were climbed to, its picture kept."""
        picture = self.keep(key, climbed.images[row], of_data=way.is_of_data)
        return Optimum(picture, float(climbed.values[row]), probability, predicted)

    def best_images(self, key: str, at: Ints, values: Numbers) -> list[RealImage]:
        """Of the inquiry's images, at their places there (m,), those with the highest values (m,)."""
        population, dataset, classes = self.inquiry.images, self.inquiry.dataset, self.inquiry.classifier.classes
        best = np.argsort(-values, kind="stable")[:_REAL_SHOWN]
        place_of = dict(zip(population.positions[at[best]].tolist(), best.tolist(), strict=True))
        found = []
        for number, (row, image) in enumerate(zip(*dataset.read(place_of), strict=True)):
            place = place_of[int(row)]
            predicted = name_classes(population.predicted[at[place]], classes)
            picture = self.keep(f"{key}, real {number}", image, of_data=True)
            label = dataset.label(int(row), classes)
            found.append(RealImage(dataset.ids[row], label, predicted, picture, float(values[place])))
        return found

    def mean(self, values: Doubles, unit: str = "correlation", score: str | None = None) -> Measurement:
        """The mean over classes or restarts; of ratios the geometric one."""
        level, each = self.inquiry.level, np.arange(len(values))
        if unit == "ratio":
            return ratio_interval(values, each, level)
        return mean_interval(values, each, level, unit=unit, score=score)


def set_up(inquiry: Inquiry) -> Maximiser:
    """A seeded sample of the usable images, their colours and their looks."""
    usable = inquiry.images.positions
    sample = inquiry.select(np.sort(inquiry.ordered(usable, "activation_maximisation sample")[:SAMPLE]))
    looks = RealLooks(total_variation(sample.images), high_frequency_share(sample.images))
    at = np.searchsorted(usable, sample.positions)
    return Maximiser(inquiry, sample, at, colour_covariance(sample.images), looks)
