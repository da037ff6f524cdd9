"""How rough images and changes are, and how fine: what is measured of their texture, whatever they show."""

from __future__ import annotations

import numpy as np
from scipy import fft

from auditor.measure.arrays import Doubles, Floats

FINEST = 0.25
"""Cycles per pixel, half of what a grid can hold, above which a frequency counts as high."""


def high_frequency_share(images: Floats) -> Doubles:
    """Share (n,) of the variance of images or changes (n, h, w, c) at spatial frequencies above `FINEST`, radially.

    The mean over the frame is left out, so the share does not depend on brightness; NaN where there is nothing else.
    """
    power = np.square(np.abs(fft.fft2(images.astype(np.float64), axes=(1, 2)))).sum(axis=3)
    radius = np.hypot(fft.fftfreq(images.shape[1])[:, None], fft.fftfreq(images.shape[2])[None])
    high, whole = (power[:, radius > least].sum(axis=1) for least in (FINEST, 0))
    has_contrast = np.ptp(images, axis=(1, 2)).max(axis=1) > 0
    return np.divide(high, whole, out=np.full(len(images), np.nan), where=has_contrast)


def variation(images: Floats, smooth: float) -> tuple[Floats, Floats]:
    """Length of the gradient between neighbouring pixels of images (n, h, w, c), and the derivative of its sum.

    The length is smooth at zero: it is that of the gradient and of a number `smooth` at right angles to it. At the
    lower and right edge the image is taken to go on as it is.
    """
    down, right = np.zeros_like(images), np.zeros_like(images)
    np.subtract(images[:, 1:], images[:, :-1], out=down[:, :-1])
    np.subtract(images[:, :, 1:], images[:, :, :-1], out=right[:, :, :-1])
    length = np.sqrt(down * down + right * right + np.float32(smooth**2))
    down /= length
    right /= length
    slopes = -down - right
    slopes[:, 1:] += down[:, :-1]
    slopes[:, :, 1:] += right[:, :, :-1]
    return length, slopes


def total_variation(images: Floats) -> Doubles:
    """Mean length (n,) of the gradient between neighbouring pixels of images (n, h, w, c)."""
    return variation(images, SMOOTH)[0].mean(axis=(1, 2, 3), dtype=np.float64)


SMOOTH = 1e-3
"""Of the total variation of images, in units of pixels."""
