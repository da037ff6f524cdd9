"""What travels between who hands out units of an audit and who does them: ids and numbers, and maps for the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from auditor.artefacts.artefact import Artefact
from auditor.explain.attribution.record import Agreement, Exemplar, MethodRecord, RegionScores
from auditor.measure.arrays import Doubles, Floats, Groups, Ints
from auditor.measure.ledger import NewArrays, Rows
from auditor.measure.measurement import Note
from auditor.measure.pieces import Told
from auditor.run.result import AuditResult, WorkUnit
from auditor.subject.population import Population
from auditor.subject.record import SkippedImage
from auditor.verdict.gathered import Cost


@dataclass(frozen=True)
class Sight:
    """Images to be looked at."""

    rows: Ints
    """(n,): of the sample."""
    artefacts: tuple[int, ...]
    """By number."""
    course: int
    """The number of the round; what was decided before it travels once."""
    is_first: bool
    """They are the first images of the round."""
    first_pass: int
    """The number of their first pass in the journal."""
    is_kept: bool
    """Their passes are to be kept."""


@dataclass(frozen=True)
class Maps:
    """A case to be explained, by numbers."""

    artefact: int | None
    target: int | None
    carriers: list[int]
    inserted: list[int]
    shown: int


@dataclass(frozen=True)
class Before:
    """What has become of the units before one, as far as it depends on that."""

    failed: tuple[str, ...]
    """Methods that are asked no more."""
    shown: int
    """Artefacts that exemplars are shown of."""
    has_second_opinion: bool
    skipped: dict[int, SkippedImage]
    until: float
    """When explanations must end, as `time.time` has it."""

    def is_as(self, other: Before) -> bool:
        """Whether a unit gives the same after both; what time was left tells on itself."""
        return (self.failed, self.shown, self.has_second_opinion, self.skipped) == (
            other.failed,
            other.shown,
            other.has_second_opinion,
            other.skipped,
        )


@dataclass(frozen=True)
class Evidence:
    """What explanations go on from; the same for all of them."""

    images: Population
    mean_image: Floats
    targets: list[int | None]
    groups: Groups
    result: AuditResult
    arrays: NewArrays
    suspects: list[Artefact]
    """Artefacts that are explained beside those that were named: found on the way, and so not opened by workers."""


@dataclass
class Grown:
    """What a unit of explanation adds to a run."""

    unit: WorkUnit
    methods: list[MethodRecord]
    """Those of which something is known now."""
    found: dict[str, Any]
    """Study -> its record."""
    told: dict[str, Told]
    rows: Rows
    arrays: NewArrays
    exemplars: list[Exemplar]
    region_scores: list[RegionScores]
    agreement: list[Agreement]
    diagnostics: dict[str, dict[tuple[str, str], list[tuple[Doubles, Groups]]]]
    skipped: dict[int, SkippedImage]
    cost: Cost
    notes: list[Note]
    """On memory that ran out."""
