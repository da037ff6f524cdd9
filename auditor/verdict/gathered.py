"""What the interventions of one artefact gave, batch by batch; and what they cost, where another process made them."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from auditor.errors import AuditError
from auditor.subject.model.batches import Kind
from auditor.verdict.observations import Insertion, Removals, Shown


@dataclass
class Cost:
    """What was asked of a model in another process, to be counted with what is asked in this one."""

    passes: Counter[str] = field(default_factory=Counter)
    """Part of the survey -> images."""
    needed: Counter[Kind] = field(default_factory=Counter)
    """See `Work`; likewise ..."""
    made: Counter[Kind] = field(default_factory=Counter)


@dataclass
class Gathered:
    """What the interventions of one artefact gave so far, and why there is no more of it, if it failed."""

    inserted: list[tuple[Insertion, bool]] = field(default_factory=list)
    """And whether it was taken out of these images."""
    moved: list[Insertion] = field(default_factory=list)
    """The same at the neighbouring place."""
    removed: list[Removals] = field(default_factory=list)
    fits: list[Shown] = field(default_factory=list)
    apart: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Control, or `ITSELF` -> by how much the images of each batch differ from those with the artefact, or without."""
    strengths: dict[str, list[tuple[int, float, float]]] = field(default_factory=lambda: defaultdict(list))
    """Control, or `ITSELF` -> position, change and dissimilarity of images."""
    pixels: int = 0
    """Values of images in its region."""
    without_mask: int = 0
    """Carriers that it has no place in."""
    failure: AuditError | None = None
    cost: Cost = field(default_factory=Cost)

    def extend(self, other: Gathered) -> None:
        """Add what a further batch gave."""
        self.inserted += other.inserted
        self.moved += other.moved
        self.removed += other.removed
        self.fits += other.fits
        for name, apart in other.apart.items():
            self.apart[name] += apart
        for name, strengths in other.strengths.items():
            self.strengths[name] += strengths
        self.pixels += other.pixels
        self.without_mask += other.without_mask
        self.failure = other.failure
