"""What activation maximisation found: the inputs that excite the model most."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from auditor.measure.measurement import Measurement, Note


@dataclass(frozen=True)
class Optimum:
    """One optimised image and what the model says of it."""

    picture: str
    """Key of the array."""
    value: float
    """The objective there."""
    probability: float | None
    """Of the class that was asked for; null for a feature."""
    predicted: str


@dataclass(frozen=True)
class RealImage:
    """A real image that excites a class or a feature most."""

    image: str
    label: str | None
    predicted: str
    picture: str
    value: float
    """Log-odds of the class, or the feature."""


@dataclass(frozen=True)
class Snapshot:
    """An image on its way to the optimum."""

    step: int
    picture: str
    value: float
    """The objective there."""


@dataclass(frozen=True)
class CurvePoint:
    """The objective after some steps, over the restarts."""

    step: int
    value: Measurement


@dataclass(frozen=True)
class ClassOptimum:
    """What excites one class most."""

    name: str
    reason: str
    """Why this class was chosen."""
    optimum: Optimum
    """Of the restart that got highest."""
    log_odds: Measurement
    """Of the class at its optima, over the restarts."""
    probability: Measurement
    snapshots: list[Snapshot]
    """Of the same restart; step 0 is the start."""
    curve: list[CurvePoint]
    real: list[RealImage]
    """The sampled images with the highest log-odds of the class, highest first."""


@dataclass(frozen=True)
class Looks:
    """How natural the optimal images look, beside a sample of the real ones."""

    total_variation: Measurement
    """Of the optima, as a ratio to the median real image: median over the classes."""
    high_frequency: Measurement
    """The same of the share of variance above half of the finest frequency."""
    real_total_variation: Measurement
    """Median over the real images."""
    real_high_frequency: Measurement
    predicted_as_asked: Measurement
    """Share of the optima that the model predicts as the class that they are of."""
    probability: Measurement
    """Of the class asked for, mean over the classes."""
    restarts_alike: Measurement
    """Mean correlation between the pixels of two restarts of one class, over the classes."""


@dataclass(frozen=True)
class Side:
    """One way of looking for optima, measured on one restart of each class compared."""

    name: str
    picture: str
    """Of the class shown."""
    logit: Measurement
    log_odds: Measurement
    probability: Measurement
    total_variation: Measurement
    """As a ratio to the median real image."""
    high_frequency: Measurement
    """As a ratio to the median real image."""
    fine: Measurement | None = None
    """The share of high frequencies itself."""


@dataclass(frozen=True)
class Comparison:
    """Two ways of looking for the optima of the same classes from the same starts."""

    topic: Literal["start", "objective", "regularisation"]
    shown: str
    """The class of the pictures."""
    start_picture: str | None
    """The image that the second side starts from, where starts are compared."""
    first: Side
    second: Side
    gain: Measurement
    """Log-odds of the second side's optima minus the first's, over the classes."""
    correlation: Measurement
    """Between the pixels of both sides' optima, over the classes."""


@dataclass(frozen=True)
class FeatureOptimum:
    """What excites a channel, a neuron or a direction of a hidden layer most."""

    name: str
    kind: Literal["channel", "neuron", "direction"]
    artefact: str | None
    """For a direction: the artefact whose insertion moves features along it."""
    optima: list[Optimum]
    """One for each restart, highest first; restarts repel each other."""
    real: list[RealImage]
    reached: Measurement
    """The feature at the optima."""
    usual: Measurement
    """The feature on a sample of real images; for a direction, free of the artefact as far as is known."""
    with_artefact: Measurement | None
    """For a direction: the same images with the artefact inserted."""


@dataclass(frozen=True)
class ArtefactMatch:
    """How well an artefact's pattern matches the optima of its target, beside other classes and placebos."""

    artefact: str
    target: str | None
    status: Literal["ok", "not_applicable"]
    reason: str | None
    pattern: str | None = None
    """Key of the picture of the artefact on grey, in its box."""
    found: str | None = None
    """Key of the picture of the best match in the target's optima, in a box of that size."""
    measurements: dict[str, Measurement] = field(default_factory=dict)
    """Largest normalised cross-correlation over all shifts (`correlation`), its leads, the same about the artefact's
    own place (`here`), and how often the best match lies there (`own_place`); means over the restarts."""
    classes: dict[str, Measurement] = field(default_factory=dict)
    """Class -> correlation of its optima with the artefact; the target stands first."""
    placebos: dict[str, Measurement] = field(default_factory=dict)
    """Placebo -> correlation of the target's optima with it."""
    next_class: str | None = None
    """The other class whose optima lead most over the placebos."""


@dataclass(frozen=True)
class OptimaRecord:
    """What activation maximisation found: the inputs that excite the model most."""

    steps: int
    restarts: int
    objective: str
    start: str
    recipe: str
    """Parametrisation, constraint, penalties and views, in words."""
    sampled: int
    """Real images that optima are compared with."""
    classes: list[ClassOptimum]
    looks: Looks
    comparisons: list[Comparison]
    features: list[FeatureOptimum]
    matches: list[ArtefactMatch]
    notes: list[Note] = field(default_factory=list)
    """What was left out, and why."""
