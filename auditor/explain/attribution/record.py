"""What attribution found: maps, how much of them lies in regions, and how each method was run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from auditor.measure.measurement import Measurement, Note


@dataclass(frozen=True)
class MapName:
    """Which maps: those of a method of attribution, or of one variant of it where it has several."""

    method: str
    variant: str = ""
    """The layer that is read, or the baseline."""

    def __str__(self) -> str:
        """In rows and in the keys of arrays."""
        return f"{self.method} ({self.variant})" if self.variant else self.method


@dataclass(frozen=True)
class RegionScores:
    """How much of one method's attribution lies in one artefact's region: description, not evidence."""

    artefact: str
    target: str
    map: MapName
    scores: dict[str, Measurement]
    notes: list[Note] = field(default_factory=list)


@dataclass(frozen=True)
class MethodRecord:
    """One explanation method as it was run."""

    name: str
    status: Literal["ok", "off", "not_applicable", "error", "missing"]
    """Missing where the audit ended before it was run."""
    reason: str | None
    options: dict[str, Any]
    summary: str
    reference: str
    diagnostics: dict[str, Measurement] = field(default_factory=dict)
    """The method's own checks: completeness residual, standard error, share of all-zero maps."""
    trace: str = ""
    """Traceback of what it threw, for who is to mend it."""


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

    map: MapName
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
