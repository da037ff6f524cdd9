"""What is put in place of pixels that are taken out: one family of fills, whatever the pixels were.

A fill never looks at the pixels that it replaces, and leaves all others as they are, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter
from skimage.restoration import inpaint_biharmonic

from auditor.artefacts.appearance import box_of
from auditor.measure.arrays import Bools, Floats, Numbers

FillName = Literal["mean", "blur", "inpaint"]


def fill_mean(image: Floats, mask: Bools) -> Floats:
    """Fill pixels (h, w) of one image (h, w, c) with the mean colour of the rest."""
    rest = image[~mask] if not mask.all() else image.reshape(-1, image.shape[-1])
    return _filled(image, mask, lambda part, hole: rest.mean(axis=0, dtype=np.float64), reach=0)


def fill_blur(image: Floats, mask: Bools) -> Floats:
    """Fill pixels with a Gaussian blur of the rest (normalised convolution, Knutsson and Westin 1993)."""
    sigma = max(1.0, 0.5 * float(np.sqrt(mask.sum())))

    def blur(part: Floats, hole: Bools) -> Numbers:
        known = (~hole).astype(np.float64)
        weight = gaussian_filter(known, sigma, mode="nearest", truncate=_TRUNCATE)
        blurred = np.stack(
            [
                gaussian_filter(part[..., c] * known, sigma, mode="nearest", truncate=_TRUNCATE)
                for c in range(image.shape[-1])
            ],
            axis=-1,
        )
        return np.asarray(blurred / np.maximum(weight, 1e-9)[..., None])

    return _filled(image, mask, blur, reach=int(_TRUNCATE * sigma + 0.5))  # as far as that filter looks


def fill_inpaint(image: Floats, mask: Bools) -> Floats:
    """Continue the surroundings smoothly into the pixels (biharmonic equation, Damelin and Hoang 2018)."""
    known = image[~mask]

    def inpaint(part: Floats, hole: Bools) -> Numbers:
        unused = np.argwhere(~binary_dilation(hole, np.ones((5, 5), bool)))
        if part.shape != image.shape and len(unused) < 2:
            return np.asarray(inpaint_biharmonic(image, mask, channel_axis=-1)[window_of(mask, _STENCIL)])
        if part.shape != image.shape:  # what is filled in keeps to the values of the whole image, not to those nearby
            part = part.copy()
            for pixel, values in zip((unused[0], unused[-1]), (known.min(axis=0), known.max(axis=0)), strict=True):
                part[tuple(pixel)] = values
        return np.asarray(inpaint_biharmonic(part, hole, channel_axis=-1))

    return _filled(image, mask, inpaint, reach=_STENCIL)


def window_of(mask: Bools, reach: int) -> tuple[slice, slice]:
    """Rows and columns of the pixels (h, w) that are set and of all that are within reach of them."""
    left, top, right, bottom = box_of(mask)
    rows, columns = ((max(0, low - reach), high + reach) for low, high in ((top, bottom), (left, right)))
    return slice(*rows), slice(*columns)


def _filled(image: Floats, mask: Bools, fill: Callable[[Floats, Bools], Numbers], reach: int) -> Floats:
    """One image with what `fill` gives for a part of it, of which it looks no further than so many pixels."""
    filled = image.astype(np.float32)
    if mask.any():
        window = window_of(mask, reach)
        part, hole = image[window], mask[window]
        filled[window] = np.where(hole[..., None], np.clip(fill(part, hole), 0, 1), part)
    return filled


_TRUNCATE = 4.0
"""Standard deviations at which a Gaussian ends."""

_STENCIL = 6
"""Pixels around a hole: two of them tell how it is filled, and some of the others hold the limits of all values."""


FILLS: dict[str, Callable[[Floats, Bools], Floats]] = {
    "mean": fill_mean,
    "blur": fill_blur,
    "inpaint": fill_inpaint,
}
