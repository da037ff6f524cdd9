"""Locates an artefact in images that are said to carry it: where it is, and whether it is there at all.

Images are compared with what the artefact looks like on their mean colour, by normalised cross-correlation over all
shifts and some sizes (Lewis, "Fast normalized cross-correlation", 1995). How much alike is enough depends on what the
images show, so the bar is set on images that do not carry it, above all that is alike in them by chance. And whether an
artefact that is there would be found is tried, by putting it into them: where it would not, as a faint one in rich
pictures, nothing follows from not finding it, and it is not looked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.feature import match_template

from auditor.artefacts.appearance import Appearance
from auditor.artefacts.overlay import Overlay
from auditor.artefacts.varied import Varied
from auditor.measure.arrays import Array, Floats
from auditor.subject.data.sample import to_grey


@dataclass(frozen=True)
class Sighting:
    """An artefact as it was found in one image."""

    look: Overlay
    """Where it is, and in the size that it has there."""
    likeness: float
    """Correlation of the image with it there, in [-1, 1]."""
    offset: tuple[int, int]
    """(down, right) in pixels from where it is named to where it is, middle to middle; 0 where no place is named."""
    is_exact: bool
    """Whether it is the artefact itself, moved, and not like it in another size."""


@dataclass(frozen=True)
class Finder:
    """Looks for an artefact in images."""

    looks: tuple[Overlay, ...]
    """What it may look like; where in the frame each lies does not matter."""
    named: Overlay | None
    """The first of them, where it is named to be; None where it may be anywhere."""
    bar: float = 1.0
    """Likeness from which on it is there."""

    def find(self, image: Floats) -> Sighting | None:
        """The artefact in one image (h, w, c), wherever it is; None where nothing is like it.

        Where its named place is as much like it as the best one, to within a fiftieth, it is there.
        """
        own = -1.0 if self.named is None else float(_correlate(image, self.named, here=True).max())
        best = self._best(image) if own < max(self.bar, _UNMISTAKABLE) else None
        if self.named is not None and (best is None or own >= max(self.bar, best.likeness - _AS_MUCH)):
            return Sighting(self.named, own, (0, 0), is_exact=True)
        return best if best is not None and best.likeness >= self.bar else None

    def likeness(self, image: Floats) -> float:
        """Of what is most like it in an image, wherever that is."""
        return self._best(image).likeness

    def opposite_likeness(self, image: Floats) -> float:
        """Of what is most like it in inverted tone: what is alike by chance, even in an image that carries it."""
        return max(-float(_correlate(image, look).min()) for look in self.looks)

    def settled(self, artefact: Appearance, without: Floats, carriers: Floats, random: np.random.Generator) -> Finder:
        """With the bar that images without the artefact (n, h, w, c) set, or where they are few, carriers.

        It lies above what is alike by chance, and at least halfway to what the artefact itself is mostly alike.

        Raises
        ------
        TooFaintError
            It would be found in less than four of five images that it is put into.
        """
        ground = without if len(without) >= _FEW else carriers
        chance = [self.likeness(image) for image in without] if ground is without else []
        chance = chance or [self.opposite_likeness(image) for image in carriers]
        bar = max(max(chance), float(np.mean(chance) + _ABOVE * np.std(chance)))
        planted = []
        for image in ground:
            if self.named is None:
                planted.append(self.likeness(artefact.insert(image[None], [random])[0]))
            else:
                look = self.named if ground is without else _somewhere(self.named, random)
                planted.append(float(_correlate(look.insert(image[None])[0], look, here=True).max()))
        usual = float(np.quantile(planted, 1 - _POWER))
        if usual <= bar:
            raise TooFaintError
        return replace(self, bar=max(bar, (usual + float(np.mean(chance))) / 2))

    def _best(self, image: Floats) -> Sighting:
        """What is most like it."""
        maps = [_correlate(image, look) for look in self.looks]
        number = int(np.argmax([alike.max() for alike in maps]))
        alike, look = maps[number], self.looks[number]
        row, column = (int(at) for at in np.unravel_index(int(alike.argmax()), alike.shape))
        left, top, _, _ = look.box
        found = look.shifted((row - top, column - left))
        offset = (0, 0) if self.named is None else _between(self.named, found)
        return Sighting(found, float(alike.max()), offset, is_exact=number == 0 and self.named is not None)


class TooFaintError(Exception):
    """An artefact cannot be told from what images show anyway."""


def finder_of(artefact: Appearance) -> Finder | None:
    """What looks for an artefact, its bar not set; None of what has no look, or one that fills half of the frame."""
    if isinstance(artefact, Overlay):
        left, top, right, bottom = artefact.box
        if (right - left) * (bottom - top) > artefact.alpha.size / 2:
            return None
        return Finder(_unlike([artefact, *(artefact.resized(factor) for factor in _SIZES)]), artefact)
    return Finder(_unlike(artefact.looks()), None) if isinstance(artefact, Varied) else None


def _correlate(image: Floats, look: Overlay, *, here: bool = False) -> Array:
    """Likeness (rows, columns) by where the top and left edge of a look are: anywhere, or just where it lies.

    Of colours, or where the frame is large of their luminance.

    It is compared with an edge of the mean colour around it, without which a uniform patch would have no look.
    """
    left, top, right, bottom = look.box
    colour = image.mean(axis=(0, 1), dtype=np.float64)
    alpha = look.alpha[top:bottom, left:right, None].astype(np.float64)
    template = _framed(alpha * look.ink[top:bottom, left:right] + (1 - alpha) * colour, colour)
    seen = _framed(image, colour)
    if image.shape[2] == 3 and image.shape[0] * image.shape[1] > _MOST_IN_COLOUR:
        template, seen = to_grey(template), to_grey(seen)
    template, seen = detail(template), detail(seen)
    if here:
        seen = seen[top : bottom + 2 * _EDGE, left : right + 2 * _EDGE]
    return np.asarray(np.nan_to_num(match_template(seen, template)[..., 0]))


def _framed(image: Array, colour: Array) -> Array:
    """An image (h, w, c) with an edge of one colour around it."""
    height, width, channels = image.shape
    framed = np.empty((height + 2 * _EDGE, width + 2 * _EDGE, channels))
    framed[:] = colour
    framed[_EDGE:-_EDGE, _EDGE:-_EDGE] = image
    return framed


def detail(images: Array) -> Array:
    """What is finer than some pixels, of one image (h, w, c) or of several (n, h, w, c).

    Pictures vary most in what is coarse (Field 1987), which would drown the rest.
    """
    smoothed = (0,) * (images.ndim - 3) + (COARSE, COARSE, 0)
    return np.asarray(images - gaussian_filter(images, smoothed, mode="nearest"))


def _between(named: Overlay, found: Overlay) -> tuple[int, int]:
    """From the middle of one to that of the other, (down, right)."""
    (left, top, right, bottom), (west, north, east, south) = named.box, found.box
    return round((north + south - top - bottom) / 2), round((west + east - left - right) / 2)


def _somewhere(look: Overlay, random: np.random.Generator) -> Overlay:
    left, top, right, bottom = look.box
    height, width = look.alpha.shape
    row, column = random.integers(height - (bottom - top) + 1), random.integers(width - (right - left) + 1)
    return look.shifted((int(row) - top, int(column) - left))


def _unlike(looks: list[Overlay]) -> tuple[Overlay, ...]:
    """Without those that equal an earlier one."""
    kept: list[Overlay] = []
    for look in looks:
        if not any(look.equals(other) for other in kept):
            kept.append(look)
    return tuple(kept)


_SIZES = (0.8, 0.9, 1.1, 1.25)
"""Times the size of an artefact at one place, that it is looked for in besides its own."""

_EDGE = 1
"""Pixels around a look that belong to it."""

_UNMISTAKABLE = 0.9
"""A likeness at the named place that makes a search elsewhere idle."""

COARSE = 1.5
"""Pixels."""

_AS_MUCH = 0.02
"""Likenesses that differ by less are the same."""

_MOST_IN_COLOUR = 96 * 96
"""Pixels of a frame that is searched in colour, which takes five times as long."""

_FEW = 8
"""Fewer images without the artefact do not tell what is alike by chance."""

_ABOVE = 4.0
"""Standard deviations above the mean of what is alike by chance: a largest value exceeds that in 0.3 % (Gumbel)."""

_POWER = 0.8
"""Share of images in which an artefact that is there has to be found."""
