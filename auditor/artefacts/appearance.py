"""What an artefact of any kind can do: be put into images, be taken out, and be told apart from what is innocent.

An overlay is one kind of it and `masks`, of which only the place is known, another. A kind that is none of them, such
as a tint, a blur or a crop, is a class with the same members; all randomness it has for an image comes from the
generator that it is given for that image, which is the same in every edit: so a control lies where the artefact would.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from auditor.measure.arrays import Bools, Floats
from auditor.measure.measurement import Note

Frame = tuple[int, int, int]
"""Height, width and channels of images."""

Randoms = Iterable[np.random.Generator]
"""A generator for each of some images, made anew whenever it is walked through."""


class Edit(Protocol):
    """A change of images (n, h, w, c), float32 in [0, 1], each by itself."""

    def __call__(self, images: Floats, randoms: Randoms = ()) -> Floats: ...


@runtime_checkable
class Appearance(Protocol):
    """What an artefact looks like, or only where it is."""

    @property
    def can_insert(self) -> bool:
        """Whether images can be given the artefact: whether its look is known."""

    @property
    def can_remove(self) -> bool:
        """Whether what would be there without it can be computed, rather than filled in."""

    @property
    def fixed_region(self) -> Bools | None:
        """(h, w): the region, where it is the same in every image."""

    @property
    def opacity(self) -> float | None:
        """The largest of any pixel; None of what has none."""

    def insert(self, images: Floats, randoms: Randoms = ()) -> Floats:
        """Images (n, h, w, c) with the artefact; pixels outside its region stay as they are, to the bit."""

    def remove(self, images: Floats, shift: tuple[int, int] = (0, 0)) -> Floats:
        """What would be there without it; with a shift (down, right), as though it had stood there: a placebo."""

    def region(self, image_id: str, frame: Frame, random: np.random.Generator) -> Bools | None:
        """The region (h, w) in one image; None where it has none."""

    def controls(self, given: Mapping[str, Appearance], seed: int) -> tuple[dict[str, list[Edit]], list[Note]]:
        """Innocent edits at the artefact's own place, fixed before any score is seen.

        By name; several where a control is the mean over draws. A control that equals the artefact is left out, with a
        note.

        Parameters
        ----------
        given
            Innocent content given by the user.
        """

    def innocents(self, count: int, seed: int) -> list[Edit]:
        """Innocent content drawn at random at the artefact's place: what the strongest of many classes does by chance.

        None where there is no such content; then a scan is not held against chance.
        """

    def variants(self, given: Mapping[str, Appearance]) -> dict[str, Edit]:
        """The artefact changed in one way, and what the user gave: how general a shortcut is. They never decide."""

    def doses(self) -> dict[float, Edit]:
        """The artefact at the opacities of the dose-response curve; empty of what has no opacity."""

    def neighbours(self) -> dict[str, Appearance]:
        """The same at other places and sizes near its own, all in the frame and each once: was it named quite rightly?

        Empty of what has no place that could be another.
        """


def paired(images: Floats, randoms: Randoms) -> Iterator[tuple[Floats, np.random.Generator]]:
    """Images with their generators; where none are given, each has one of its own that is always the same."""
    return zip(images, list(randoms) or [np.random.default_rng(0) for _ in images], strict=True)


def box_of(region: Bools) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a region in pixels, half-open."""
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
