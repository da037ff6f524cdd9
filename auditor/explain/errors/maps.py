"""Two attributions of one image compared: that of the predicted class and that of the true one.

Maps are signed, (h, w, c); where only the place counts they are taken as saliency, the absolute sum over channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from auditor.explain.attribution.likeness import rank_correlations, structure
from auditor.explain.attribution.methods import saliency
from auditor.explain.attribution.record import MapName
from auditor.measure.arrays import Bools, Floats, Numbers

_CLIPPED = 99.5
"""Percentile of the absolute values, of both maps together, that SSIM takes for full scale: outliers have no say."""


@dataclass(frozen=True)
class Choice:
    """A choice of pixels: the strongest of a map, or of a reference that knows nothing of the model."""

    map: MapName
    of: Literal["margin", "predicted class alone", "elsewhere"] = "margin"
    """Of the map of the margin; of that of the predicted class; or, a placebo, the mask of the former elsewhere."""

    def __str__(self) -> str:
        return str(self.map) if self.of == "margin" else f"{self.map}, {self.of}"


class Likeness(NamedTuple):
    """How alike two maps are; NaN where it is undefined."""

    spearman: float
    """Rank correlation of the saliency of all pixels: do they dwell on the same places?"""
    ssim: float
    """Structural similarity of the signed maps as they are drawn: do they say the same there?"""
    overlap: float
    """Intersection over union of the strongest pixels."""


def compare_maps(first: Floats, second: Floats, share: float, random: np.random.Generator) -> Likeness:
    """Compare two maps (h, w, c); the strongest pixels are this share of the frame, ties in random order for each map.

    For SSIM both maps are summed over channels and divided by one number, the 99.5th percentile of their absolute
    values together, clipped to [-1, 1] and moved to [0, 1]: a map that is weaker everywhere stays weaker, and zero is
    the middle grey, for SSIM is made for tones and takes two changes of sign for none.

    References: Adebayo et al., "Sanity checks for saliency maps" (2018).
    """
    strengths = [saliency(one[None])[0] for one in (first, second)]
    signed = np.stack([one.sum(axis=-1, dtype=np.float64) for one in (first, second)])
    if any(float(np.ptp(one)) == 0 for one in strengths):
        return Likeness(float("nan"), float("nan"), float("nan"))
    absolute = np.abs(signed)
    scale = float(np.percentile(absolute, _CLIPPED)) or float(absolute.max())
    scaled = (np.clip(signed / max(scale, np.finfo(np.float64).tiny), -1, 1) + 1) / 2
    count = max(1, round(share * strengths[0].size))
    tops = [strongest_pixels(one, count, random) for one in strengths]
    common = int((tops[0] & tops[1]).sum())
    (spearman,) = rank_correlations(strengths[0][None], strengths[1][None])
    return Likeness(float(spearman), structure(scaled[0], scaled[1]), common / (2 * count - common))


def speaking_for(maps: Floats) -> Floats:
    """The part of maps (n, h, w, c) that is positive once summed over channels, (n, h, w)."""
    return np.maximum(maps.sum(axis=-1, dtype=np.float64), 0).astype(np.float32)


def strongest_pixels(values: Numbers, count: int, random: np.random.Generator) -> Bools:
    """The `count` largest of values (h, w) as a mask; ties, as of a map that is zero in places, at random."""
    order = np.lexsort((random.random(values.size), -values.ravel()))
    mask = np.zeros(values.size, bool)
    mask[order[:count]] = True
    return mask.reshape(values.shape)


def move_elsewhere(mask: Bools, random: np.random.Generator) -> Bools:
    """A mask (h, w) in another random place, around the frame's borders, at least a quarter of either side away.

    It has as many pixels in the same shape, for what a fill does depends on both.
    """
    shifts = [int(random.integers(-(-side // 4), side - -(-side // 4) + 1)) for side in mask.shape]
    return np.roll(mask, shifts, axis=(0, 1))
