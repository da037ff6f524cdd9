"""What interventions did to the scores, image by image: the arrays that effects are measured on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import numpy as np

from auditor.measure.arrays import Array, Bools, Groups, Ints, take
from auditor.measure.measurement import Measurement, Note
from auditor.subject.population import Population
from auditor.verdict.record import Strength

ITSELF = ""
"""Beside the names of controls: the artefact."""


@dataclass(frozen=True)
class Insertion:
    """Shifts of the log-odds by edits of images that do not carry the artefact, or that it was taken out of exactly."""

    images: Population
    shift: Array
    """(n, classes): by the artefact itself."""
    predicted: Bools
    """(n, classes): predicted classes with the artefact."""
    probability_change: Array
    """(n, targets)."""
    controls: dict[str, Array] = field(default_factory=dict)
    """Name -> (n, classes)."""
    predicted_with: dict[str, Array] = field(default_factory=dict)
    """Control -> (n, classes): share of its draws with which a class is predicted."""

    def rows(self, chosen: Ints | Bools) -> Insertion:
        """The same of some images only."""
        return take(self, chosen)

    def without(self, controls: Collection[str]) -> Insertion:
        """The same without some of the controls."""
        kept = [name for name in self.controls if name not in controls]
        return replace(
            self,
            controls={name: self.controls[name] for name in kept},
            predicted_with={name: self.predicted_with[name] for name in kept},
        )


@dataclass(frozen=True)
class Varied:
    """Shifts of the log-odds by other looks of the artefact, on some of the images that it was inserted into."""

    images: Population
    variants: dict[str, Array]
    """Name -> (n, targets)."""
    doses: dict[float, Array]
    """Opacity -> (n, targets)."""


@dataclass(frozen=True)
class Draws:
    """What random innocent content does at the artefact's place, on some of the images."""

    drawn: Ints
    """(m,): rows of the insertion's images."""
    shifts: Array
    """(draws, m, classes)."""
    count: int
    """How many draws it would have taken; fewer were made where those left no doubt."""


@dataclass(frozen=True)
class Jointly:
    """Falls of the log-odds where images carry two artefacts, taken out together and each alone, in one way.

    All are (n, targets), NaN of images that do not carry both. What they do together and not alone, image by image, is
    `interaction`: above 0 where either suffices, below 0 where both are needed.
    """

    both: Array
    own: Array
    other: Array
    elsewhere: Jointly | None = None
    """The same edits made elsewhere in these images, clear of both artefacts; NaN where there is no such place."""

    @property
    def interaction(self) -> Array:
        """(n, targets): both less each alone."""
        return np.asarray(self.both - self.own - self.other)


@dataclass(frozen=True)
class Shown:
    """How the artefact, where it is named and a little beside, fits images as they came; see `showing.fit`."""

    positions: Ints
    """(n,): rows of the data set."""
    carries: Bools
    """(n,): whether each is said to carry it."""
    likeness: Array
    """(n, places): the named place first."""
    energy: Array
    """(n,)."""
    change: Array
    """(n,)."""
    change_of_plain: Array
    """(n,)."""


@dataclass(frozen=True)
class Removals:
    """Falls of the log-odds when carriers lose the artefact, and when the same is done elsewhere."""

    images: Population
    fall: dict[str, Array]
    """Way -> (n, targets); NaN where it cannot be taken out so: not exactly, where it was not found."""
    placebo: dict[str, Array]
    """Way -> (n, targets); NaN where the region fits nowhere else too."""
    predicted: dict[str, Bools]
    """Way -> (n, classes): predicted classes without the artefact; as they were, where it cannot be taken out so."""
    predicted_elsewhere: dict[str, Bools] = field(default_factory=dict)
    """Way -> (n, classes): predicted classes after the same edit elsewhere; as they were, where it fits nowhere."""
    jointly: dict[str, Jointly] = field(default_factory=dict)
    """By the name of the other artefact that images carry too."""
    found: Bools | None = None
    """(n,): whether the artefact was found in each; None where it was not looked for."""
    offset: Ints | None = None
    """(n, 2): (down, right) in pixels from where it is named to where it was found; 0 where it was not."""


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


@dataclass(frozen=True, eq=False)
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
    """The only class for which variants and doses were kept; None where all were."""
    varied: Varied | None = None
    """None where no other look of it was tried."""
    images: Population | None = None
    """All usable images, as they came."""
    carries: Bools | None = None
    """(images,): whether each of them carries the artefact already."""
    columns: dict[str, Array] = field(default_factory=dict)
    """Column of the data -> (images,): its value, as text, for each of them."""
    draws: Draws | None = None
    """None where there is no such content."""
    elsewhere: Insertion | None = None
    """The same artefact at the neighbouring place or size that does most, on images that it was not chosen on."""
    place: str = ""
    """What that place is."""
    strengths: dict[str, Strength] = field(default_factory=dict)
    """Name of the control, or `ITSELF` -> how much it changes images."""
    shown: dict[str, Measurement] = field(default_factory=dict)
    """How much of the artefact images show where it is named: see `measure_shown`."""
    alone: Insertion | None = None
    """The artefact on canvases without content: its images are scrambled pixels of carriers."""

    @property
    def everything(self) -> Population | None:
        """All usable images; where they were not kept, those that were tried."""
        tried = self.insertion or self.removals
        return self.images if self.images is not None or tried is None else tried.images

    def column(self, target: int) -> int:
        """Where a class stands in arrays (n, targets)."""
        assert self.target in (None, target)
        return target if self.target is None else 0
