"""What interventions did to the scores, image by image: the arrays that effects are measured on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from auditor.measure.arrays import Array, Bools, Groups, Ints, take
from auditor.measure.measurement import Note
from auditor.subject.population import Population


@dataclass(frozen=True)
class Insertion:
    """Shifts of the log-odds by edits of images that do not carry the artefact."""

    images: Population
    shift: Array
    """(n, classes): by the artefact itself."""
    predicted: Bools
    """(n, classes): predicted classes with the artefact."""
    probability_change: Array
    """(n, targets)."""
    controls: dict[str, Array] = field(default_factory=dict)
    """Name -> (n, targets)."""
    variants: dict[str, Array] = field(default_factory=dict)
    """Name -> (n, targets)."""
    doses: dict[float, Array] = field(default_factory=dict)
    """Opacity -> (n, targets)."""
    drawn: Ints | None = None
    """(m,): the rows that random innocent content was tried on too; None where no class is scanned for."""
    draws: Array | None = None
    """(draws, m, classes): shifts by each draw of random innocent content."""

    def rows(self, chosen: Ints) -> Insertion:
        """The same of some images only; draws are left out."""
        return take(replace(self, drawn=None, draws=None), chosen)


@dataclass(frozen=True)
class Removals:
    """Falls of the log-odds when carriers lose the artefact, and when the same is done elsewhere."""

    images: Population
    fall: dict[str, Array]
    """Fill -> (n, targets)."""
    placebo: dict[str, Array]
    """Fill -> (n, targets); NaN where the region fits nowhere else."""
    predicted: dict[str, Bools]
    """Fill -> (n, classes): predicted classes without the artefact."""


@dataclass(frozen=True)
class Checks:
    """Edits whose effect is known beforehand, to check the run itself."""

    no_op: Array
    """(n,): largest change of any log-odds when nothing is edited and the image is scored again."""
    no_op_groups: Groups
    """(n,)."""
    pasted: Ints
    """(m,): the class whose object was pasted into an image of another class."""
    rise: Array
    """(m,): rise of that class's log-odds."""
    pasted_groups: Groups
    """(m,): groups of the images that the objects came from."""


@dataclass(frozen=True)
class Observations:
    """Everything that interventions measured about one artefact."""

    artefact: str
    classes: tuple[str, ...]
    one_logit: bool
    """Whether two classes share one logit, so that they cannot be contrasted."""
    insertion: Insertion | None
    removals: Removals | None
    notes: tuple[Note, ...] = ()
    checks: Checks | None = None
    """What edits of known effect did in this run."""
    target: int | None = None
    """The only class for which edits other than the artefact were kept; None where all were."""

    def column(self, target: int) -> int:
        """Where a class stands in arrays (n, targets)."""
        assert self.target in (None, target)
        return target if self.target is None else 0

    def columns(self, targets: Ints) -> Ints:
        """Where classes stand in arrays (n, targets)."""
        return targets if self.target is None else np.zeros_like(targets)
