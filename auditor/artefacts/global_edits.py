"""Edits of the whole image by an amount, such as a tint, a blur or a rotation, and what is innocently done as strongly.

An artefact at one place is compared with other content at that place; an edit of the whole image with other edits of
the whole image, of the same size in each: uneven light, another tint, noise, a blur, a shift, and for light and colour
the opposite. Size is the mean absolute change of the pixels. Where that would be far more visible, as noise is beside a
tint, the control is weaker: its structural dissimilarity is twice that of the artefact, or 0.1, at most (1 - SSIM; Wang
et al., "Image quality assessment: from error visibility to structural similarity", 2004).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, shift
from scipy.optimize import brentq
from skimage.color import hsv2rgb
from skimage.metrics import structural_similarity

from auditor.artefacts.appearance import Appearance, Edit, Frame, Randoms, paired
from auditor.measure.arrays import Bools, Floats, Numbers
from auditor.measure.measurement import Note
from auditor.measure.seeds import audit_generator
from auditor.subject.data.sample import to_grey

Change = Callable[[Floats, float, np.random.Generator], Numbers]
"""Of one image (h, w, c) in [0, 1] by an amount; what leaves [0, 1] is clipped."""

Strengths = Callable[[float], Numbers]
"""One image, changed by a strength in [0, 1]: not at all by 0, and the more the larger it is."""

Way = Callable[[Floats, np.random.Generator], Strengths]
"""How one image (h, w, c) is changed innocently; the generator is the same for all images."""

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of the amount, in the dose-response curve."""


@dataclass(frozen=True)
class GlobalEdit:
    """An artefact that is an edit of the whole image by an amount; it has no place, ink or opacity."""

    change: Change
    amounts: tuple[float, float]
    """Each image draws its own between these."""
    neutral: float | None = None
    """The amount that changes nothing; None of an edit that is made or not made."""
    undo: Change | None = None
    """The inverse by the same amount, where nothing is lost but by rounding."""
    like: str = ""
    """The innocent way that is of the same kind, and so no control."""
    opposite: Way | None = None
    """Another look of the same kind, which is a control: darker where the artefact is brighter."""
    mirrored: Change | None = None
    """The same look the other way round, which is a variant: a rotation to the other side."""

    can_insert = True
    fixed_region = opacity = None

    @property
    def can_remove(self) -> bool:
        """Whether what would be there without it can be computed: nothing is lost, and the amount is known."""
        return self.undo is not None and self.amounts[0] == self.amounts[1]

    def insert(self, images: Floats, randoms: Randoms = ()) -> Floats:
        """Edit images, each by its own amount."""
        return _stacked(self.edit(image, random) for image, random in paired(images, randoms))

    def edit(
        self, image: Floats, random: np.random.Generator, share: float = 1.0, change: Change | None = None
    ) -> Floats:
        """Edit one image (h, w, c) by a share of its amount, by another change where one is given."""
        low, high = self.amounts
        amount = low + (high - low) * random.random()
        if self.neutral is not None:
            amount = self.neutral + share * (amount - self.neutral)
        return _clipped((change or self.change)(image, amount, random))

    def remove(self, images: Floats, shift: tuple[int, int] = (0, 0)) -> Floats:
        """Compute images without it: the inverse of `insert` but for rounding. There is no other place to shift to."""
        assert self.can_remove
        assert self.undo is not None
        idle = np.random.default_rng(0)
        return _stacked(_clipped(self.undo(image, self.amounts[0], idle)) for image in images)

    def region(self, image_id: str, frame: Frame, random: np.random.Generator | None = None) -> Bools:
        """All of the image."""
        return np.ones(frame[:2], bool)

    def controls(self, given: Mapping[str, Appearance], seed: int) -> tuple[dict[str, list[Edit]], list[Note]]:
        """Innocent edits of the whole image that are as large in each image, none of them of the same kind."""
        assert not given, "there is no one place to put pictures at"
        seeds = audit_generator(seed, "controls").integers(2**32, size=_DRAWS).tolist()
        edits: dict[str, list[Edit]] = {
            name: [_Matched(self, way, each).insert for each in (seeds if name == "uneven light" else seeds[:1])]
            for name, way in _WAYS.items()
            if name != self.like
        }
        if self.opposite is not None:
            edits["opposite"] = [_Matched(self, self.opposite, seeds[0]).insert]
        return edits, []

    def innocents(self, count: int, seed: int) -> list[Edit]:
        """Innocent edits as large in each image, of ways and looks drawn at random."""
        random = audit_generator(seed, "innocent content")
        ways = [way for name, way in _WAYS.items() if name != self.like]
        drawn = [(ways[int(random.integers(len(ways)))], int(random.integers(2**32))) for _ in range(count)]
        return [_Matched(self, way, each).insert for way, each in drawn]

    def variants(self, given: Mapping[str, Appearance]) -> dict[str, Edit]:
        """By half its amount, and the other way round."""
        assert not given, "there is no one place to put pictures at"
        variants = {} if self.neutral is None else {"half as strong": self._by(0.5)}
        return variants | ({} if self.mirrored is None else {"mirrored": self._by(1.0, self.mirrored)})

    def doses(self) -> dict[float, Edit]:
        """By shares of its amount."""
        return {} if self.neutral is None else {share: self._by(share) for share in SHARES}

    def neighbours(self) -> dict[str, Appearance]:
        """None: it has no place."""
        return {}

    def _by(self, share: float, change: Change | None = None) -> Edit:
        def edit(images: Floats, randoms: Randoms = ()) -> Floats:
            return _stacked(self.edit(image, random, share, change) for image, random in paired(images, randoms))

        return edit


@dataclass(frozen=True)
class _Matched:
    """An innocent edit, as large in every image as the artefact is in it, or as visible where that is less."""

    artefact: GlobalEdit
    way: Way
    seed: int
    """Of the look, which is the same in all images."""

    def insert(self, images: Floats, randoms: Randoms = ()) -> Floats:
        return _stacked(
            _match(image, self.artefact.edit(image, random), self.way, self.seed)
            for image, random in paired(images, randoms)
        )


def change_of(image: Floats, edited: Floats) -> float:
    """Mean absolute change of the pixels of an image."""
    return float(np.abs(edited - image).mean(dtype=np.float64))


def dissimilarity(image: Floats, edited: Floats) -> float:
    """1 - SSIM of the luminance of two images (h, w, c), in windows of 7 pixels a side; 0 of equal ones."""
    side = min(7, *image.shape[:2])
    if side < 3:
        return change_of(image, edited)
    first, second = (to_grey(each)[..., 0] if each.shape[2] == 3 else each[..., 0] for each in (image, edited))
    return 1 - float(structural_similarity(first, second, win_size=side - (side + 1) % 2, data_range=1.0))


def as_much_uneven_light(image: Floats, edited: Floats) -> Floats:
    """One image (h, w, c) under uneven light that changes it as much as an edit does, or is as visible."""
    return _match(image, edited, _light_unevenly, 0)


def _match(image: Floats, edited: Floats, way: Way, seed: int) -> Floats:
    strengths = way(image, np.random.default_rng(seed))
    size = change_of(image, edited)
    limit = max(_MORE_VISIBLE * dissimilarity(image, edited), _HARDLY_VISIBLE)
    best = _solve(lambda strength: change_of(image, _clipped(strengths(strength))) - size)
    if dissimilarity(image, _clipped(strengths(best))) > limit:
        best *= _solve(lambda share: dissimilarity(image, _clipped(strengths(share * best))) - limit)
    return _clipped(strengths(best))


def along(change: Change, neutral: float, far: float) -> Way:
    """The way by which a change leads from the amount that changes nothing to one far off."""
    return lambda image, random: lambda strength: change(image, neutral + strength * (far - neutral), random)


def _solve(gap: Callable[[float], float]) -> float:
    """The strength at which a rising gap, below 0 at first, is 0, to a fiftieth of itself; 1 where it never is."""
    if gap(0.0) >= 0:
        return 0.0
    return 1.0 if gap(1.0) <= 0 else float(brentq(gap, 0.0, 1.0, xtol=1e-5, rtol=0.02))


def _stacked(images: Iterator[Floats]) -> Floats:
    return np.stack(list(images))


def _clipped(image: Numbers) -> Floats:
    return np.clip(image, 0, 1).astype(np.float32)


def _light_unevenly(image: Floats, random: np.random.Generator) -> Strengths:
    height, width, _ = image.shape
    field = gaussian_filter(random.standard_normal((height, width)), max(height, width) / 6, mode="reflect")
    field /= np.abs(field).max()
    return lambda strength: image + strength * field[..., None]


def _tint(image: Floats, random: np.random.Generator) -> Strengths:
    """Towards a full colour, or of grey images towards black or white."""
    hue = random.random()
    colour = hsv2rgb([hue, 1.0, 1.0]) if image.shape[2] == 3 else round(hue)
    return lambda strength: image + strength * (colour - image)


def _add_noise(image: Floats, random: np.random.Generator) -> Strengths:
    pattern = random.standard_normal(image.shape)
    return lambda strength: image + strength * pattern


def _blur(image: Floats, random: np.random.Generator) -> Strengths:
    most = max(image.shape[:2]) / 4
    return lambda strength: gaussian_filter(image, (strength * most, strength * most, 0), mode="nearest")


def _shift(image: Floats, random: np.random.Generator) -> Strengths:
    angle, most = 2 * np.pi * random.random(), max(image.shape[:2]) / 2
    step = np.array([most * np.sin(angle), most * np.cos(angle), 0])
    return lambda strength: shift(image, strength * step, order=1, mode="reflect")


_WAYS: dict[str, Way] = {
    "uneven light": _light_unevenly,
    "another tint": _tint,
    "noise": _add_noise,
    "blur": _blur,
    "shift": _shift,
}
"""What is done to images innocently, each in a look that a seed draws."""

_DRAWS = 2
"""Looks of uneven light, whose mean counts."""

_MORE_VISIBLE, _HARDLY_VISIBLE = 2.0, 0.1
"""A control is at most so many times as dissimilar as the artefact, or so dissimilar."""
