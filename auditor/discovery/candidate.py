"""A suspect before it is judged: what it looks like, who proposed it, and what ranked it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from auditor.artefacts.appearance import Appearance, box_of
from auditor.discovery.splits import Filter
from auditor.measure.arrays import Bools


class CannotLookError(Exception):
    """A source cannot look here: its message says why, as a clause."""


@dataclass(frozen=True)
class Proposal:
    """What a source found, before all proposals are tried on the same images and ranked."""

    source: str
    """A key of `SOURCES`."""
    target: int
    """The class that it is about."""
    looks: tuple[Appearance, ...]
    """What it may look like: the one that does most is kept."""
    found: float
    """What the source itself ranked it by."""
    strong: tuple[int, ...]
    """Rows of the material, of the images where it is strongest."""
    kind: str = "overlay"
    """The kind of artefact that its looks are of ..."""
    options: Mapping[str, float | str] = field(default_factory=dict)
    """... with its options, where they say all of it."""
    told: str = ""
    """What it is, as a clause: of a place nothing, for pictures show it."""
    focus: float = 0.0
    """How much its source saw what is no object's manner, in [0, 1]: that the model looks sharply at its place whatever
    an image shows, or that images of the class fall in two by it with nothing between."""
    filter: Filter | None = None
    """What tells images that show it from those that do not, where they fall in two."""
    is_common: bool = False
    """Images of several classes show it, and not of one alone."""
    trust: float = 1.0
    """How far its effect counts in the ranking, in [0, 1]: less where its source chose it for that very effect."""
    beside: str = ""
    """What its source tells of it besides, as sentences."""


@dataclass(frozen=True)
class Candidate:
    """A suspect, ready to be judged on other images."""

    name: str
    proposal: Proposal
    look: Appearance
    gain: float
    """What the look does to the score of the class in images of others, beyond the median harmless edit, in standard
    deviations of the score, on the half that proposed it."""
    on_object: float
    """How much of it may be the object's, in [0, 1], as `extent.of_object` tells."""
    raised: float = 0.0
    """What the look does to that score, whatever harmless edits do."""

    @property
    def effect(self) -> float:
        """What it does by itself and beyond harmless edits; of what no object does by itself alone will do."""
        return max(min(self.gain, self.raised), self.proposal.focus * self.raised)

    @property
    def number(self) -> float:
        """What it was ranked by: its effect, as far as that counts, less where it may be the object's.

        The latter unless something says otherwise.
        """
        effect = self.effect * self.proposal.trust
        return effect * (1 - OF_OBJECT * self.on_object * (1 - self.proposal.focus))

    def unfiltered(self) -> Candidate:
        """Without what divides images: those that it was told from say nothing by it."""
        return replace(self, proposal=replace(self.proposal, filter=None))

    @property
    def target(self) -> int:
        """The class that it is about."""
        return self.proposal.target


OF_OBJECT = 0.9
"""Of its gain that a suspect loses in the ranking where all of it is the object's."""


def say_place(region: Bools | None) -> str:
    """Where a region (h, w) lies, in words."""
    if region is None or region.mean() > 0.5:
        return "whole image"
    left, top, right, bottom = box_of(region)
    height, width = region.shape
    if (right - left) * (bottom - top) > 0.7 * region.size:
        inner = region[height // 4 : -(height // 4), width // 4 : -(width // 4)]
        return "edge" if not inner.any() else "whole image"
    middle = (np.array([top + bottom, left + right]) / 2) / np.array([height, width])
    rows, columns = (("upper", "", "lower"), ("left", "", "right"))
    down, across = (words[int(min(2, 3 * at))] for words, at in zip((rows, columns), middle, strict=True))
    if not down and not across:
        return "middle"
    if not down or not across:
        return {"upper": "top", "lower": "bottom"}.get(down, across)
    return f"{down} {across}"
