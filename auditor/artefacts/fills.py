"""What is put in place of pixels that are taken out: one family of fills, whatever the pixels were.

A fill never looks at the pixels that it replaces, and leaves all others as they are, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.restoration import inpaint_biharmonic

from auditor.measure.arrays import Bools, Floats, Numbers

FillName = Literal["mean", "blur", "inpaint"]


def fill_mean(image: Floats, mask: Bools) -> Floats:
    """Fill pixels (h, w) of one image (h, w, c) with the mean colour of the rest."""
    rest = image[~mask] if not mask.all() else image.reshape(-1, image.shape[-1])
    return _filled(image, mask, np.broadcast_to(rest.mean(axis=0, dtype=np.float64), image.shape))


def fill_blur(image: Floats, mask: Bools) -> Floats:
    """Fill pixels with a Gaussian blur of the rest (normalised convolution, Knutsson and Westin 1993)."""
    sigma = max(1.0, 0.5 * float(np.sqrt(mask.sum())))
    known = (~mask).astype(np.float64)
    weight = gaussian_filter(known, sigma, mode="nearest")
    blurred = np.stack(
        [gaussian_filter(image[..., c] * known, sigma, mode="nearest") for c in range(image.shape[-1])],
        axis=-1,
    )
    return _filled(image, mask, blurred / np.maximum(weight, 1e-9)[..., None])


def fill_inpaint(image: Floats, mask: Bools) -> Floats:
    """Continue the surroundings smoothly into the pixels (biharmonic equation, Damelin and Hoang 2018)."""
    return _filled(image, mask, inpaint_biharmonic(image, mask, channel_axis=-1))


def _filled(image: Floats, mask: Bools, content: Numbers) -> Floats:
    return np.where(mask[..., None], np.clip(content, 0, 1), image).astype(np.float32)


FILLS: dict[str, Callable[[Floats, Bools], Floats]] = {
    "mean": fill_mean,
    "blur": fill_blur,
    "inpaint": fill_inpaint,
}
