"""The records that flow from an audit to its report.

Every number is a `Measurement`: it has an n, an interval and a unit, or it says why it has none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["relies", "no_evidence", "inconclusive", "not_applicable", "error"]
Direction = Literal["promotes", "suppresses"]
Severity = Literal["none", "low", "medium", "high"]


@dataclass(frozen=True)
class Measurement:
    """A number with its interval, or the reason why there is none (`value` is then null)."""

    value: float | None
    low: float | None
    high: float | None
    level: float | None
    """Confidence level of the interval, for example 0.95."""
    n: int
    """Images behind the number."""
    groups: int
    """Independent groups of images: the unit of resampling."""
    unit: str
    score: str | None
    """What was measured: `log-odds`, `logit`, `probability`, or null for plain shares."""
    low_adjusted: float | None = None
    """The lower bound that `relies` is decided on: corrected for the classes and artefacts tried, where it differs."""
    reason: str | None = None
    """Why there is no value, or no interval."""


@dataclass(frozen=True)
class Rule:
    """What the verdicts are decided by."""

    margin: float = 0.5
    """The smallest effect that matters, in log-odds."""
    margin_sd: float = 0.1
    """The smallest effect that matters, in standard deviations of the score; the larger of both counts."""
    alpha: float = 0.05
    min_groups: int = 12

    @property
    def level(self) -> float:
        """Confidence level of all intervals."""
        return 1 - self.alpha


@dataclass(frozen=True)
class DosePoint:
    """Insertion lift at one opacity of the artefact."""

    opacity: float
    lift: Measurement


@dataclass(frozen=True)
class ScannedTarget:
    """One class of a scan, with its primary endpoint."""

    target: str
    verdict: Verdict
    direction: Direction | None
    theta: Measurement


@dataclass(frozen=True)
class Finding:
    """What the audit claims of one artefact and one target class."""

    artefact: str
    target: str | None
    verdict: Verdict
    direction: Direction | None
    severity: Severity
    basis: Literal["insertion", "removal"] | None
    endpoint: str | None
    """Name of the measurement that the verdict was taken on."""
    reason: str
    measurements: dict[str, Measurement]
    controls: dict[str, Measurement] = field(default_factory=dict)
    """Insertion lift of each control: innocent edits that enter the verdict."""
    variants: dict[str, Measurement] = field(default_factory=dict)
    """Insertion lift of each variant: they say how general a shortcut is and never decide."""
    dose_response: list[DosePoint] = field(default_factory=list)
    scanned: list[ScannedTarget] = field(default_factory=list)
    """All classes, strongest first, where no target was named."""
    notes: list[str] = field(default_factory=list)
    margin: float = 0.5
    """The margin for this class, in log-odds."""


@dataclass(frozen=True)
class ArtefactRecord:
    """A suspected shortcut as it was tested."""

    name: str
    kind: str
    target: str | None
    present: str
    carriers: int
    """Images of the sample that already carry it."""
    coverage: float | None
    """Share of the frame that it covers; null where it differs from image to image."""
    box: tuple[int, int, int, int] | None
    """Left, top, right, bottom in pixels, half-open."""
    opacity: float | None
    picture: str | None
    """Key of the array that shows it on grey."""
    notes: list[str] = field(default_factory=list)
    line: int | None = None
    """Where it stands in the configuration file; null where it came with the command line."""


@dataclass(frozen=True)
class RegionScores:
    """How much of one method's attribution lies in one artefact's region: description, not evidence."""

    artefact: str
    target: str
    method: str
    scores: dict[str, Measurement]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class MethodRecord:
    """One explanation method as it was run."""

    name: str
    status: Literal["ok", "off", "not_applicable", "error"]
    reason: str | None
    options: dict[str, Any]
    summary: str
    reference: str
    diagnostics: dict[str, Measurement] = field(default_factory=dict)
    """The method's own checks: completeness residual, standard error, share of all-zero maps."""


@dataclass(frozen=True)
class Agreement:
    """Correlation of our maps with an independent implementation of the same method."""

    method: str
    status: Literal["ok", "not_applicable", "error"]
    reason: str | None
    correlation: Measurement | None
    """Pearson correlation per image; the interval spans the images."""
    largest_difference: float | None
    """Largest absolute difference, as a share of the largest value of the map."""


@dataclass(frozen=True)
class MapRecord:
    """One raw attribution map kept in the run."""

    method: str
    array: str
    """Key of the float32 array."""
    largest: float
    """Largest absolute value: the scale that a picture of the map is drawn with."""


@dataclass(frozen=True)
class Exemplar:
    """One image shown in the report, with and without the artefact."""

    image: str
    label: str | None
    predicted: str
    artefact: str
    target: str
    carrier: bool
    """True where the image came with the artefact; else it was inserted."""
    score_with: float | None
    score_without: float | None
    predicted_with: str | None
    predicted_without: str | None
    picture_with: str | None
    picture_without: str | None
    removal: str | None
    """How the artefact was taken out of a carrier."""
    maps: list[MapRecord]
    """Maps of the image with the artefact, for the target class."""


@dataclass(frozen=True)
class ClassAccuracy:
    """Accuracy on the images of one class, as they came."""

    name: str
    images: int
    predicted: int
    accuracy: Measurement


@dataclass(frozen=True)
class SkippedImage:
    """An image that could not be used, and why."""

    image: str
    reason: str


@dataclass(frozen=True)
class ModelRecord:
    """The audited model."""

    source: str
    sha256: str | None
    structure: str
    classes: list[str]
    image_shape: tuple[int, int, int]
    input_range: tuple[float, float] | None
    preprocessing: str
    head: str
    """How scores were taken from the model's output."""
    output: Literal["softmax", "binary", "multilabel"]
    score: str
    parameters: int
    feature_layers: list[str]


@dataclass(frozen=True)
class DataRecord:
    """The audited images."""

    source: str
    sha256: str | None
    """Of the file; of a manifest, folder or function, of the sampled pixels and labels as the model gets them."""
    available: int
    sampled: int
    used: int
    groups: int
    labelled: bool
    skipped: list[SkippedImage]
    accuracy: Measurement
    classes: list[ClassAccuracy]
    mean_image: str
    """Key of the array."""


@dataclass(frozen=True)
class Provenance:
    """What it takes to run this audit again. Only `started` and `seconds` change between equal runs."""

    started: str
    seconds: float
    auditor: str
    python: str
    platform: str
    packages: dict[str, str]
    seed: int
    config_file: str
    config: dict[str, Any]
