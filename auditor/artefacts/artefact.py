"""A suspected shortcut, ready to be tested, and how it is seen in an image that carries it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from auditor.artefacts.appearance import Appearance, Frame
from auditor.artefacts.global_edits import GlobalEdit
from auditor.artefacts.locating import Finder
from auditor.artefacts.together import Together
from auditor.artefacts.varied import Varied
from auditor.measure.arrays import Bools, Floats
from auditor.measure.measurement import Note
from auditor.measure.seeds import KeyedGenerators


@dataclass(frozen=True)
class Seen:
    """An artefact in one image that carries it."""

    region: Bools | None
    """(h, w); None where it has none, or nobody knows where it is."""
    look: Appearance
    """What takes it out there."""
    is_exact: bool
    """Whether that is exact."""
    is_found: bool | None = None
    """None where it was not looked for."""
    offset: tuple[int, int] = (0, 0)
    """(down, right) in pixels from where it is named to where it was found."""

    @property
    def is_usable(self) -> bool:
        """Whether the image tells something of it: it has a place in it, or was looked for in vain."""
        if self.region is None:
            return self.is_found is False
        return bool(self.region.any()) and (self.is_exact or not self.region.all())


@dataclass(frozen=True)
class Artefact:
    """A suspected shortcut, ready to be tested."""

    name: str
    kind: str
    appearance: Appearance
    target: int | None
    """Class that it is suspected to change; None scans every class."""
    present: str
    """What was said of the images that carry it already."""
    carriers: Bools
    """(images,): which rows of the data set these are."""
    controls: dict[str, Appearance] = field(default_factory=dict)
    """Innocent content given by the user."""
    variants: dict[str, Appearance] = field(default_factory=dict)
    """Content like the artefact given by the user."""
    line: int | None = None
    """Where it stands in the configuration file; None where it came otherwise."""
    seed: int = 0
    """Of what varies from image to image."""
    finder: Finder | None = None
    """What looks for it in images that carry it; None where it is taken to be where it is named."""
    found: tuple[int, int] | None = None
    """In how many carriers it was found, of how many, when it was first looked for."""
    parts: tuple[Artefact, ...] = ()
    """Of what consists of other artefacts."""
    beside: tuple[Artefact, ...] = ()
    """Other artefacts that many of its carriers carry too."""
    notes: tuple[Note, ...] = ()

    @property
    def is_everywhere(self) -> bool:
        """Whether it covers the whole image, so that nothing is left to fill it in from."""
        region = self.appearance.fixed_region
        return isinstance(self.appearance, GlobalEdit) or (region is not None and bool(region.all()))

    def randoms(self, ids: Sequence[str]) -> KeyedGenerators:
        """For each image what every edit of it by this artefact draws from."""
        return KeyedGenerators(self.seed, f"artefact {self.name}", ids)

    def insert(self, images: Floats, ids: Sequence[str]) -> Floats:
        """Images (n, h, w, c) with the artefact."""
        return self.appearance.insert(images, self.randoms(ids))

    def region(self, image_id: str, frame: Frame) -> Bools | None:
        """The region (height, width) in one image; None where it has none."""
        (random,) = self.randoms([image_id])
        return self.appearance.region(image_id, frame, random)

    def region_at(self, position: int, image_id: str, image: Floats) -> Bools | None:
        """The region (h, w) in an image (h, w, c) of the data: where a carrier shows it, else where it is put."""
        if self.carriers[position]:
            return self.seen_in(image, image_id).region
        return self.region(image_id, image.shape)

    def seen_in(self, image: Floats, image_id: str) -> Seen:
        """Where it is in one image (h, w, c) that carries it."""
        if self.parts:
            seen = [part.seen_in(image, image_id) for part in self.parts]
            regions = [each.region for each in seen if each.region is not None]
            looked = [each.is_found for each in seen if each.is_found is not None]
            return Seen(
                region=np.any(regions, axis=0) if len(regions) == len(seen) else None,
                look=Together(tuple(each.look for each in seen)),
                is_exact=all(each.is_exact for each in seen),
                is_found=all(looked) if looked else None,
            )
        found = None if self.finder is None else self.finder.find(image)
        if found is not None:
            is_exact = found.is_exact and found.look.can_remove
            return Seen(found.look.fixed_region, found.look, is_exact, is_found=True, offset=found.offset)
        is_named = not isinstance(self.appearance, Varied)
        return Seen(
            region=self.region(image_id, image.shape) if is_named else None,
            look=self.appearance,
            is_exact=self.appearance.can_remove and self.finder is None,
            is_found=None if self.finder is None else False,
        )
