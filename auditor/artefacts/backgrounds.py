"""Another background: what a mask picture per image does not cover is replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from auditor.artefacts.appearance import Appearance, Edit, Frame, Randoms
from auditor.artefacts.lengths import read_colour
from auditor.artefacts.masks import Masks, masks
from auditor.artefacts.overlay import DOSES
from auditor.errors import OptionError
from auditor.measure.arrays import Bools, Floats
from auditor.measure.measurement import Note
from auditor.measure.seeds import KeyedGenerators, audit_generator
from auditor.subject.data.pictures import CorruptImageError, open_picture
from auditor.subject.data.sample import Dataset, Fit, fit_to, to_grey

Ground = Callable[[Floats, Bools], Floats]
"""What lies behind one image (h, w, c) with its background (h, w)."""


@dataclass(frozen=True)
class Background:
    """One background behind all objects; where an object is, its mask says."""

    ground: Floats
    """(h, w, c)."""
    masks: Masks
    """Not black where the object is, which stays."""
    share: float = 1.0
    """Of the new background, over the image's own."""

    can_insert = True
    can_remove = False
    fixed_region = opacity = None

    def insert(self, images: Floats, randoms: Randoms = ()) -> Floats:
        """Images with the new background; the object stays as it is, to the bit."""
        return self._replaced(images, randoms, lambda *_: self.ground)

    def remove(self, images: Floats, shift: tuple[int, int] = (0, 0)) -> Floats:
        """Nobody knows what was there."""
        raise AssertionError("it says so in can_remove")

    def region(self, image_id: str, frame: Frame, random: np.random.Generator | None = None) -> Bools:
        """All that the mask of an image does not cover."""
        covered = self.masks.region(image_id, frame)
        return np.ones(frame[:2], bool) if covered is None else ~covered

    def controls(self, given: Mapping[str, Appearance], seed: int) -> tuple[dict[str, list[Edit]], list[Note]]:
        """Its pixels scrambled, its tone inverted, its mean colour, the image's own background blurred, those given."""
        random = audit_generator(seed, "controls")
        looks: dict[str, Appearance] = {
            "scrambled": self._scrambled(random),
            "inverted tone": replace(self, ground=1 - self.ground),
            "flat ground": replace(self, ground=np.broadcast_to(self.ground.mean(axis=(0, 1)), self.ground.shape)),
        }
        looks |= given
        alike = [name for name, look in looks.items() if self._equals(look)]
        edits: dict[str, list[Edit]] = {name: [look.insert] for name, look in looks.items() if name not in alike}
        edits["blurred"] = [self._blurred]
        return edits, [Note("control", f"control {name!r} equals the artefact and is left out") for name in alike]

    def innocents(self, count: int, seed: int) -> list[Edit]:
        """Smooth grounds of random light and colour."""
        random = audit_generator(seed, "innocent content")
        height, width, channels = self.ground.shape
        drawn: list[Edit] = []
        for _ in range(count):
            field = gaussian_filter(random.standard_normal((height, width, channels)), (height / 8, width / 8, 0))
            field = random.random(channels) + 0.5 * field / np.abs(field).max()
            drawn.append(replace(self, ground=np.clip(field, 0, 1).astype(np.float32)).insert)
        return drawn

    def variants(self, given: Mapping[str, Appearance]) -> dict[str, Edit]:
        """Mirrored, upside down, half of it over the image's own background, and what the user gave."""
        looks: dict[str, Appearance] = {
            "mirrored": replace(self, ground=self.ground[:, ::-1]),
            "upside down": replace(self, ground=self.ground[::-1]),
            "half": replace(self, share=self.share / 2),
        }
        return {name: look.insert for name, look in (looks | dict(given)).items() if not self._equals(look)}

    def doses(self) -> dict[float, Edit]:
        """By shares of it over the image's own background."""
        return {dose: replace(self, share=dose).insert for dose in DOSES}

    def neighbours(self) -> dict[str, Appearance]:
        """None: its place is that of the masks."""
        return {}

    def behind(self, dataset: Dataset, fit: Fit) -> Background:
        """The same with the masks of a data set, one for every image.

        Raises
        ------
        OptionError
            Images have none.
        """
        known = replace(self.masks.named_by(dataset.masks), fit=fit)
        lost = [image_id for image_id in dataset.ids if not known.has(image_id)]
        if lost:
            others = f" ({len(lost)} of {len(dataset.ids)} have none)" if len(lost) > 1 else ""
            raise OptionError("folder", f"there is no mask of the image {lost[0]!r}{others}; wanted one of each")
        return replace(self, masks=known)

    def _replaced(self, images: Floats, randoms: Randoms, ground: Ground) -> Floats:
        regions = (self.region(name, images.shape[1:]) for name in _names(images, randoms))
        return np.stack([self._mixed(image, region, ground) for image, region in zip(images, regions, strict=True)])

    def _mixed(self, image: Floats, region: Bools, ground: Ground) -> Floats:
        behind = (1 - self.share) * image + self.share * ground(image, region)
        return np.where(region[..., None], behind, image).astype(np.float32)

    def _blurred(self, images: Floats, randoms: Randoms = ()) -> Floats:
        return self._replaced(images, randoms, _blur_ground)

    def _scrambled(self, random: np.random.Generator) -> Background:
        pixels = self.ground.reshape(-1, self.ground.shape[2])
        return replace(self, ground=pixels[random.permutation(len(pixels))].reshape(self.ground.shape))

    def _equals(self, other: Appearance) -> bool:
        return (
            isinstance(other, Background)
            and other.share == self.share
            and bool(np.abs(self.ground - other.ground).max() < 0.5 / 255)
        )


def background(
    frame: Frame, *, picture: Path | None = None, colour: str = "white", folder: Path | None = None
) -> Background:
    """Another background, a `picture` in the size of the frame or one `colour`, behind what a mask picture covers.

    The mask of an image is `<image id>.png` in `folder`, or without a folder the picture in the column `mask` of the
    manifest; it is not black where the object is.
    """
    if picture is not None:
        ground = read_ground(frame, picture)
    else:
        ink = read_colour(colour)
        ground = np.broadcast_to(ink if frame[2] == 3 else to_grey(ink), frame).astype(np.float32)
    return Background(ground, masks(frame, folder=folder))


def read_ground(frame: Frame, file: Path) -> Floats:
    """A picture in the size of the frame (h, w, c), cut to its proportions."""
    try:
        with open_picture(file) as picture:
            values = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255.0
    except FileNotFoundError:
        raise OptionError("picture", f"{file}: no such file") from None
    except (CorruptImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as fault:
        raise OptionError("picture", f"{file}: not a readable picture: {fault}") from None
    return fit_to(values if frame[2] == 3 else to_grey(values), *frame[:2], crop=True)


def _blur_ground(image: Floats, region: Bools) -> Floats:
    sigma = max(image.shape[:2]) / 8
    weight = gaussian_filter(region.astype(np.float64), sigma, mode="nearest")[..., None]
    blurred = gaussian_filter(image * region[..., None], (sigma, sigma, 0), mode="nearest")
    return np.clip(blurred / np.maximum(weight, 1e-6), 0, 1).astype(np.float32)


def _names(images: Floats, randoms: Randoms) -> Iterator[str]:
    """The ids of images, which their generators are keyed by."""
    assert isinstance(randoms, KeyedGenerators), "only generators of named images tell which mask is theirs"
    assert len(randoms) == len(images)
    return iter(randoms.names)
