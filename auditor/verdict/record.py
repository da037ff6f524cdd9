"""What an audit claims: the rule, a verdict on each artefact and class, and the measurements behind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from auditor.measure.measurement import Measurement, Note

Verdict = Literal["relies", "no_evidence", "inconclusive", "not_applicable", "error"]


Direction = Literal["promotes", "suppresses"]


Severity = Literal["none", "low", "medium", "high"]


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
class Stratum:
    """The effect on a part of the images: those of a class, or with a value of a column."""

    name: str
    effect: Measurement


@dataclass(frozen=True)
class Missed:
    """What a finding could have missed: no gate, but what a reader must weigh."""

    smallest_effect: float | None
    """The smallest effect that this many images would have shown, in log-odds."""
    unseen_share: Measurement | None
    """The largest share of images that could rely on the artefact without being seen."""


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
    drops: dict[str, Measurement] = field(default_factory=dict)
    """Way of removal -> removal drop by it alone."""
    scanned: list[ScannedTarget] = field(default_factory=list)
    """All classes, strongest first, where no target was named."""
    notes: list[Note] = field(default_factory=list)
    margin: float = 0.5
    """The margin for this class, in log-odds."""
    decisions_turned: Measurement | None = None
    """Share of decisions that it turns, beyond those that the median control turns; null where it is not measured."""
    strata: list[Stratum] = field(default_factory=list)
    could_be_missed: Missed | None = None

    @property
    def effect(self) -> Measurement | None:
        """The measurement that the verdict was taken on."""
        return self.measurements.get(self.endpoint or "")
