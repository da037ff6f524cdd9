"""What the contrast of the predicted with the true class says about the errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from auditor.explain.attribution.record import MapName
from auditor.measure.measurement import Measurement, Note


@dataclass(frozen=True)
class ContrastLikeness:
    """How alike the maps of the predicted and of the true class are by one method: medians over errors."""

    map: MapName
    spearman: Measurement
    """Rank correlation of the saliency of all pixels."""
    ssim: Measurement
    """Structural similarity of the signed maps on one scale."""
    overlap: Measurement
    """Intersection over union of the strongest pixels."""


@dataclass(frozen=True)
class ContrastShare:
    """How much of the margins' maps by one method lies in an artefact's region: medians over errors that have it."""

    artefact: str
    map: MapName
    errors: Literal["came", "inserted"]
    """Which errors: those that came with the artefact, or those made by inserting it."""
    share: Measurement
    """Of the absolute margin map; that of an even map is `area`."""
    share_predicted: Measurement
    """Of the map of the predicted class alone."""
    area: float
    """Mean share of the frame that the region covers."""


@dataclass(frozen=True)
class ContrastIntervention:
    """Whether errors come and go with one artefact."""

    artefact: str
    target: str | None
    removals: dict[str, Measurement]
    """Way of removal -> share of the errors that carry it which it mends."""
    placebos: dict[str, Measurement]
    """The same edits elsewhere in the image."""
    removal_lead: Measurement
    """Errors mended by the removal minus by its placebo, image by image: exact where there is one, else the least."""
    mended_by_insertion: Measurement
    """Errors without it that inserting it mends."""
    mended_by_controls: Measurement
    """The same by the kind of innocent edit that mends most; of several draws the mean."""
    insertion_lead: Measurement
    """Mended by it minus by each kind of innocent edit, image by image: the least lead; its interval spans all."""
    broken: Measurement
    """Rightly predicted images without it that inserting it makes errors."""
    broken_by_controls: Measurement
    """The same by the kind of innocent edit that breaks most; of several draws the mean."""
    broken_lead: Measurement
    """Broken by it minus by each kind of innocent edit, image by image: the least lead; its interval spans all."""
    towards: dict[str, int]
    """What the broken images are predicted as, the most frequent first."""
    notes: list[Note] = field(default_factory=list)


@dataclass(frozen=True)
class ContrastSuspect:
    """One error that carries an artefact, and how much it looks like the artefact's doing."""

    image: str
    label: str
    predicted: str
    artefact: str
    score: float
    """The region's share of what speaks for the predicted class against the true one, over its share of the frame:
    median over methods; zero where the prediction is not the class that the artefact was tested for."""
    mended: bool
    """Whether removing the artefact makes the prediction right."""
    mended_by_placebo: bool | None
    """Whether the same edit elsewhere does; null where it fits nowhere else."""


@dataclass(frozen=True)
class ContrastGroup:
    """The errors of one kind."""

    label: str
    predicted: str
    count: int
    margin: Measurement
    """Mean log-odds of the predicted over the true class."""
    carriers: int
    """Errors among them that carry an artefact which can be removed."""
    mended: int
    """Of those, how many removing an artefact mends."""


@dataclass(frozen=True)
class ContrastMending:
    """How often an error is mended once the pixels are gone that speak most for it by one method's margin map."""

    map: MapName
    mended: Measurement
    """Right after most of the ways to fill them."""
    fall: Measurement
    """How much the margin of the predicted over the true class falls."""
    by_fill: dict[str, Measurement]
    elsewhere: Measurement | None = None
    """Errors mended by the placebo: the same mask moved to another place; null for the references themselves."""
    over_elsewhere: Measurement | None = None
    """Errors mended minus those by the placebo, image by image."""
    over_edges: Measurement | None = None
    """The same against the pixels of the strongest edges."""
    over_predicted: Measurement | None = None
    """The same against the map of the predicted class alone; null too where the two classes share one logit."""
    fall_over_elsewhere: Measurement | None = None
    fall_over_edges: Measurement | None = None


@dataclass(frozen=True)
class ContrastMaps:
    """Keys of the raw maps of one error by one method, and what became of it without the strongest pixels."""

    map: MapName
    predicted: str
    true: str
    margin: str
    mended: bool | None = None
    """Whether it is right by most fills once the pixels are gone that speak most for it by the map of the margin;
    null where that was not tried."""
    mended_elsewhere: bool | None = None
    """Whether it is with the same mask moved to another place."""


@dataclass(frozen=True)
class ContrastExemplar:
    """One error shown with its maps."""

    image: str
    label: str
    predicted: str
    margin: float
    """Log-odds of the predicted over the true class."""
    picture: str
    inserted: str | None
    """The artefact that was inserted to make the error; null where the image came so."""
    maps: list[ContrastMaps]
    place: tuple[int, int, int, int] | None = None
    """Where its artefacts are: left, top, right, bottom in pixels, half-open; null where it has none in one place."""


@dataclass(frozen=True)
class ErrorsRecord:
    """What the contrast of the predicted with the true class says about the errors."""

    errors: int
    """Labelled images of the sample that are predicted wrongly."""
    measured: int
    """Errors explained: a seeded choice."""
    share: float
    """Share of the frame that counts as the strongest pixels."""
    fills: list[str]
    likeness: list[ContrastLikeness]
    regions: list[ContrastShare]
    interventions: list[ContrastIntervention]
    suspects: list[ContrastSuspect]
    """Errors that carry an artefact, those that look most like its doing first."""
    groups: list[ContrastGroup]
    mending: list[ContrastMending]
    """The method that mends most errors more than its placebo and than edges first; then the references."""
    exemplars: list[ContrastExemplar]
    shares_logit: bool = False
    """The model is binary: its classes share one logit, so their maps are opposites and were not compared."""
    notes: list[Note] = field(default_factory=list)
