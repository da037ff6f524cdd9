"""What a result tells of columns that go with a class, of the control of the search, and of how images lie together."""

from __future__ import annotations

from dataclasses import dataclass, field

from auditor.measure.measurement import Measurement
from auditor.measure.pieces import Picture


@dataclass(frozen=True)
class ValueRow:
    """One value of a column, beside one class."""

    value: str
    """As the column has it, a range of numbers, or `other` for all values that few images share."""
    images: int
    share: Measurement
    """Of the images with this value that are of the class."""
    accuracy: Measurement
    """Share of the images of the class with this value that are recognised."""
    own: Measurement
    """Mean score of the class on them ..."""
    others: Measurement
    """... and on images of other classes with this value."""


@dataclass(frozen=True)
class ColumnFinding:
    """A value of a column that goes with a class, and where the model says that class more."""

    column: str
    value: str
    target: str
    raised: float
    """By how much the score of the class is higher where the value is, in standard deviations of the score: the more
    of own images and of others."""
    rows: list[ValueRow]
    """All values of the column, that which is named first."""


@dataclass(frozen=True)
class ColumnsRecord:
    """What was looked at beside the pictures, and what was found."""

    images: int
    groups: int
    looked_at: list[str]
    """Columns, but for those left out."""
    left_out: list[str]
    """Which columns were not looked at, and why; a sentence each."""
    tried: int
    """Triples of column, value and class."""
    alpha: float
    """At most the chance that any of them is named wrongly."""
    found: list[ColumnFinding]
    """The strongest value of a column and class each, the strongest first, and what pixels tell last."""
    inseparable: list[str] = field(default_factory=list)
    """Values that go with a class so wholly that nothing tells whether the model uses them; a sentence each."""
    why_not: str = ""
    """Why nothing could be looked at; else empty."""


@dataclass(frozen=True)
class ControlRecord:
    """A mark put into a copy of the images that propose, ever fainter, and whether the search saw it."""

    target: str
    """Class that carried it: the one with most images."""
    carriers: int
    """How many of its images ..."""
    images: int
    """... of how many."""
    side: int
    """Of the square, in pixels."""
    opacities: list[float]
    """From opaque on; the last is the first that was not seen, where one was not."""
    seen: list[bool]

    @property
    def weakest_seen(self) -> float | None:
        """Opacity of the faintest that was seen; None where not even the opaque one was."""
        faint = [opacity for opacity, seen in zip(self.opacities, self.seen, strict=True) if seen]
        return faint[-1] if faint else None


@dataclass(frozen=True)
class ClusterRecord:
    """Images that lie together."""

    points: list[tuple[float, float]]
    """Where each lies in the plane."""
    stability: float | None
    """How alike it comes again when images are drawn anew, in [0, 1]; null where that was not asked."""
    classes: dict[str, int]
    """Class -> how many of its images are here, the most frequent first; three at the most."""
    recognised: int
    """How many are recognised."""
    suspects: dict[str, tuple[int, int]]
    """Suspect -> how many of the images where it is strongest are here, of how many; where most of them are."""
    sheet: Picture
    """The images nearest to its middle."""


@dataclass(frozen=True)
class EmbeddingRecord:
    """How images of the half that proposes lie to each other, as the model sees them."""

    told_by: str
    """What they were placed by."""
    held: tuple[float, float]
    """Share of what differs that each axis holds."""
    clusters: list[ClusterRecord]


STABLE = 0.75
"""Mean Jaccard index from which on a cluster is stable (Hennig, "Cluster-wise assessment of stability", 2007)."""

OTHER, NONE = "other", "(none)"
"""What values are called that few images share, and that are missing."""

OF_PIXELS = "image: "
"""How columns are called that are measured of pixels, which may rightly go with a class: they are told last."""
