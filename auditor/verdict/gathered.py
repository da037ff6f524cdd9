"""What the interventions of one artefact gave, batch by batch; and what they cost, where another process made them."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from auditor.errors import AuditError
from auditor.measure.arrays import Bools, Parts, take
from auditor.subject.model.batches import Kind
from auditor.verdict.observations import Insertion, Removals, Shown, Varied

What = TypeVar("What", Insertion, Varied)


@dataclass
class Cost:
    """What was asked of a model in another process, to be counted with what is asked in this one."""

    passes: Counter[str] = field(default_factory=Counter)
    """Part of the survey -> images."""
    needed: Counter[Kind] = field(default_factory=Counter)
    """See `Work`; likewise ..."""
    made: Counter[Kind] = field(default_factory=Counter)


@dataclass(frozen=True)
class Put(Generic[What]):
    """What inserting it, or another look of it, did to some images."""

    what: What
    is_freed: Bools
    """(n,): whether it was taken out of them before."""

    def of(self, *, is_free: bool) -> What | None:
        """Of the images, without those that it was taken out of unless these count; None where none is left."""
        if is_free or not self.is_freed.any():
            return self.what
        return None if self.is_freed.all() else take(self.what, ~self.is_freed)


@dataclass
class Gathered:
    """What the interventions of one artefact gave so far, and why there is no more of it, if it failed."""

    inserted: Parts[Put[Insertion]] = field(default_factory=Parts)
    varied: Parts[Put[Varied]] = field(default_factory=Parts)
    """Other looks of it, on some of these images."""
    moved: Parts[Insertion] = field(default_factory=Parts)
    """The same at the neighbouring place."""
    removed: Parts[Removals] = field(default_factory=Parts)
    fits: Parts[Shown] = field(default_factory=Parts)
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
        self.inserted.extend(other.inserted)
        self.varied.extend(other.varied)
        self.moved.extend(other.moved)
        self.removed.extend(other.removed)
        self.fits.extend(other.fits)
        for name, apart in other.apart.items():
            self.apart[name] += apart
        for name, strengths in other.strengths.items():
            self.strengths[name] += strengths
        self.pixels += other.pixels
        self.without_mask += other.without_mask
        self.failure = other.failure
