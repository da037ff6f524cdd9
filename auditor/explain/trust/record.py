"""Which methods of attribution passed the tests that one that deserves trust must pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from auditor.explain.attribution.record import MapName
from auditor.measure.measurement import Measurement

Status = Literal["passed", "failed", "open"]

Outcome = Literal["passed", "failed", "open", "not_applicable"]


@dataclass(frozen=True)
class TrustCriterion:
    """What a test asks of a method, and what the interval of its figure is held against."""

    name: str
    question: str
    figure: str
    passes: float
    """Passed where the whole interval lies on the good side of this."""
    fails: float
    """Failed where it lies wholly on the bad side of this; else open."""
    better: Literal["low", "high"]
    decisive: bool
    """Whether a method that fails it has failed."""


@dataclass(frozen=True)
class TrustTest:
    """One test of one method of attribution."""

    name: str
    """Of one of the record's criteria."""
    outcome: Outcome
    """Passed and failed only where the whole interval says so, else open."""
    measured: Measurement | None
    reason: str | None = None
    """Why it is not applicable, or left open whatever its figure."""
    reading: str | None = None
    """Of the maps, that the figure is of; null where there is only one."""


@dataclass(frozen=True)
class CascadeStage:
    """How alike a method's maps are once the weights of some layers, from the head down, are drawn anew."""

    lowest_layer: str
    layers: int
    """How many layers have been randomised by now."""
    signed: Measurement
    """Spearman's correlation with the map of the trained model."""
    absolute: Measurement
    structure: Measurement
    """Structural similarity of the absolute maps."""
    map: str | None = None
    """Key of the array with the map of one image at this stage."""
    empty: float = 0.0
    """Share of the maps that are the same everywhere or not finite: they count neither as changed nor as unchanged."""


@dataclass(frozen=True)
class ReadingRecord:
    """One way to read a method's maps: absolute, signed, the positive part, smoothed."""

    reading: str
    gains: dict[str, Measurement]
    """By how much deletion, insertion and both together beat a random order, in mean log-odds over the way."""
    over_absolute: Measurement | None
    """By how much both together beat the absolute reading of the same maps; null for itself and for controls."""
    over_edges: Measurement
    """By how much both together beat the order of an edge filter."""
    fills: dict[str, Measurement]
    """Both together, by what fills the place of a deleted cell."""
    likeness: Measurement | None
    """Spearman's correlation with the absolute map; null for controls."""
    lift: Measurement
    """Of the artefacts' regions, on the images that have one."""
    deletion: list[Measurement]
    """Log-odds of the target when the first cells are deleted, at each of the record's fractions, mean of the fills."""
    insertion: list[Measurement]


@dataclass(frozen=True)
class LiftControl:
    """The lift of an artefact's region beside that of the same method on a model that knows nothing."""

    artefact: str
    lift: Measurement
    over_random_model: Measurement
    """Lift minus that on the model with all its weights drawn anew, image by image."""


@dataclass(frozen=True)
class MethodTrust:
    """What the tests say of one method of attribution (one variant of it)."""

    map: MapName
    status: Status
    reason: str
    """Why, in a sentence."""
    images: int
    is_costly: bool
    """Whether it was tested in fewer stages and draws, and perhaps on fewer images, for what its maps cost."""
    best_reading: str | None
    """The reading whose order beats a random one by most, where one does."""
    tests: list[TrustTest]
    cascade: list[CascadeStage]
    readings: list[ReadingRecord]
    lifts: list[LiftControl]
    trained_map: str | None = None
    """Key of the array with the trained model's map of the image that the cascade is shown on."""

    def test(self, name: str) -> TrustTest:
        """The test of one criterion."""
        return next(test for test in self.tests if test.name == name)

    @property
    def by_reading(self) -> dict[str, ReadingRecord]:
        """The ways to read its maps, by name."""
        return {reading.reading: reading for reading in self.readings}


@dataclass(frozen=True)
class MapLikeness:
    """How alike the absolute maps of two methods are: Spearman's correlation, median over images."""

    first: MapName
    second: MapName
    correlation: Measurement


@dataclass(frozen=True)
class ScoredImage:
    """One image with the gradients of three scores of its target."""

    image: str
    target: str
    probability: float
    picture: str
    """Key of its array."""
    maps: dict[str, str]
    """Score (logit, log-odds, probability) -> key of the array with its gradient."""
    place: tuple[int, int, int, int] | None = None
    """Where its artefact is: left, top, right, bottom in pixels, half-open; null where it has none in one place."""


@dataclass(frozen=True)
class SaturationRecord:
    """What gradients of the probability show beside those of the logit, on the images that methods are tested on."""

    sure: float
    """A probability over this, or under what is left of 1, counts as saturated."""
    saturated: Measurement
    """Share of the images whose target's probability is."""
    fainter: Measurement
    """Length (L2) of the gradient of the logit over that of the probability, the median."""
    likeness: Measurement
    """Spearman's correlation of the absolute maps of both, the median."""
    lifts: dict[str, Measurement]
    """Score -> lift of the artefacts' regions, on the images that have one."""
    shown: list[ScoredImage]
    """The image where the model is surest, and the one where it is least so."""


@dataclass(frozen=True)
class TrustRecord:
    """Which methods of attribution passed the tests that one that deserves trust must pass."""

    images: int
    with_artefact: int
    """Images that carry an artefact or had it inserted, explained for its class; others for what is predicted."""
    draws: int
    """Times that weights were drawn anew at each stage; once for costly methods."""
    noise: float
    """Standard deviation of the noise of the stability test, as a share of the range of pixels."""
    cell: int
    """Side in pixels of the cells that are deleted together."""
    fractions: list[float]
    """Shares of the cells that are deleted or inserted."""
    criteria: list[TrustCriterion]
    why_not_randomised: str | None
    """Why no weights could be drawn anew, where so."""
    methods: list[MethodTrust]
    controls: list[ReadingRecord]
    """The orders that every method's is compared with: random, and an edge filter's."""
    likenesses: list[MapLikeness]
    picture: str
    """Key of the image that the cascade is shown on."""
    pictured: str
    """Its id, and the class that it is explained for."""
    place: tuple[int, int, int, int] | None = None
    """Where that image has an artefact: left, top, right, bottom in pixels, half-open; null where in no one place."""
    saturation: SaturationRecord | None = None
    """Null in runs from before it was measured, and where a gradient of every class would have to be taken."""
