"""Suspects that nobody named, as a result tells of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from auditor.discovery.record import ColumnsRecord, ControlRecord, EmbeddingRecord
from auditor.measure.pieces import Picture

Standing = Literal[
    "shortcut candidate", "part of the object, perhaps", "shown by hardly any image", "not confirmed", "not judged"
]
"""What became of a suspect: confirmed on other images, and known not to be the object; confirmed, and perhaps it;
confirmed, and shown by hardly any image; not confirmed; or only listed."""


SET_APART: dict[Standing, str] = {
    "part of the object, perhaps": (
        "The model uses it, but nothing tells it from a part of the object, which would be used rightly: look at it."
    ),
    "shown by hardly any image": (
        "The model answers to it, but hardly any image here shows it: either the model learnt it elsewhere, or it is "
        "chance, for every network answers to something. Look at it."
    ),
}
"""Why suspects that were confirmed have no verdict; a note of that kind stands with their findings."""


@dataclass(frozen=True)
class Suspect:
    """Something that nobody named and that the audit found worth testing."""

    name: str
    """That of its finding, where it was judged."""
    reason: str
    """Why it was proposed, in a sentence."""
    box: tuple[int, int, int, int] | None = None
    """Left, top, right, bottom in pixels, half-open, where it has a place."""
    picture: str | None = None
    """Key of the array that shows it."""
    source: str = ""
    """Who proposed it, a key of `auditor.discovery.proposing.SOURCES`."""
    target: str | None = None
    """The class that it is about."""
    gain: float | None = None
    """What inserting it does to the score of the class on the half that proposed it, beyond the median harmless edit,
    in standard deviations of the score ..."""
    on_object: float | None = None
    """... and how much of it may be the object's, in [0, 1], by where it lies and how much it varies: the more, the
    lower it is ranked."""
    standing: Standing = "not judged"
    evidence: list[str] = field(default_factory=list)
    """What says that it is not the object, or why nothing does; sentences."""
    pictures: list[Picture] = field(default_factory=list)
    """Where it is strongest, where it is absent, itself alone, and where it sits on average."""
    block: str = ""
    """The `[[artefacts]]` of an `audit.toml` that name it."""
    file: str = ""
    """Name of the picture that the block names; empty where it needs none."""


@dataclass(frozen=True)
class DiscoveryRecord:
    """How suspects were looked for."""

    proposing: int
    """Images that proposed ..."""
    deciding: int
    """... and images that decided: none of one group in both."""
    groups: int
    """Independent groups of images in all."""
    tried: dict[str, int]
    """Source -> proposals of it that were tried on the half that proposes."""
    dropped: int
    """Proposals that did not become suspects: weaker, or like another."""
    why_not_judged: str = ""
    """Why suspects are listed and not judged; empty where they are judged."""
    columns: ColumnsRecord | None = None
    """What goes with a class beside the pictures, listed and not judged; null where nothing was looked at."""
    control: ControlRecord | None = None
    """What the source that needs no model sees of a mark put into a copy of the images; null where it did not look, or
    where no class has images enough."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Source -> why it did not look, or, where it is in `tried`, looked in part only; as a clause."""
    embedding: EmbeddingRecord | None = None
    """How images lie to each other as the model sees them; null where they are few, or nothing differs."""
