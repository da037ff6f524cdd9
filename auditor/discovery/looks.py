"""What an unnamed thing looks like, from images that carry it and images that do not.

Under a stamp of opacity a, whatever lies below varies only 1 - a times as much from image to image as it does
elsewhere. So where images that carry it vary less than others, its opacity is told by how much less, and its ink by
where their mean lies.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter

from auditor.artefacts.overlay import Overlay
from auditor.measure.arrays import Bools, Doubles, Floats, Ints


def see_through(carriers: Floats, free: Floats, region: Bools | None = None) -> Overlay | None:
    """The overlay that would make images without a thing (m, h, w, c) as those that carry it (n, h, w, c) are.

    None where they hardly differ so: a pixel counts where its mean differs, too, and not by chance. Where nothing
    varies without the thing, as on a black ground, its opacity cannot be told: what hardly varies with it is opaque.
    Within a region (h, w), where one is given.
    """
    before, after = np.sqrt(free.var(axis=0).mean(axis=-1)), np.sqrt(carriers.var(axis=0).mean(axis=-1))
    size = 3 if min(before.shape) >= 24 else 1
    before, after = (uniform_filter(each, size, mode="nearest") for each in (before, after))
    alpha = np.clip(1 - after / np.maximum(before, _LEAST_SPREAD), 0, 1)
    apart = np.abs(carriers.mean(axis=0) - free.mean(axis=0)).max(axis=-1)
    is_sure = apart > _SURE * before / np.sqrt(len(carriers))
    alpha = np.where((alpha < LEAST_OPACITY) | (before < _LEAST_SPREAD) | ~is_sure, 0, alpha)
    is_stamped = (before < _LEAST_SPREAD) & (after < _LEAST_APART / 2) & (apart > _LEAST_APART) & is_sure
    alpha = np.where(is_stamped, 1, alpha)
    if region is not None:
        alpha = np.where(region, alpha, 0)
    if not alpha.any():
        return None
    mean, below = carriers.mean(axis=0), free.mean(axis=0)
    weight = alpha[..., None]
    ink = np.clip((mean - (1 - weight) * below) / np.maximum(weight, 1e-6), 0, 1)
    return Overlay(alpha.astype(np.float32), np.where(weight > 0, ink, 0).astype(np.float32))


def drawn_over(carriers: Floats, free: Floats, region: Bools) -> Overlay | None:
    """Fine lines that images (n, h, w, c) share and others (m, h, w, c) lack in a region (h, w): light or dark ink.

    What is coarser than a line is left to the object. None where nothing differs but by chance.
    """
    own, others = detail(carriers).mean(axis=-1), detail(free).mean(axis=-1)
    apart = own.mean(axis=0) - others.mean(axis=0)
    sure = _SURE * np.sqrt(own.var(axis=0) / len(own) + others.var(axis=0) / len(others))
    below = np.where(apart > 0, 1 - carriers.mean(axis=(0, 3)), carriers.mean(axis=(0, 3)))
    alpha = np.clip(np.abs(apart) / np.maximum(below, 0.05), 0, 1)
    alpha = np.where((np.abs(apart) > sure) & region & (alpha >= _LEAST_LINE), alpha, 0).astype(np.float32)
    if not alpha.any():
        return None
    ink = np.repeat((apart > 0)[..., None], carriers.shape[-1], axis=-1)
    return Overlay(alpha, np.where(alpha[..., None] > 0, ink, 0).astype(np.float32))


def detail(images: Floats) -> Floats:
    """What of images (n, h, w, c) is finer than an object."""
    width = max(1.0, min(images.shape[1:3]) / 20)
    return images - gaussian_filter(images, (0, width, width, 0), mode="nearest")


def cut_out(carriers: Floats, region: Bools) -> Overlay:
    """The mean of what some images (n, h, w, c) show in a region (h, w), opaque."""
    alpha = region.astype(np.float32)
    return Overlay(alpha, np.where(region[..., None], carriers.mean(axis=0), 0).astype(np.float32))


def likeness(images: Floats, look: Overlay, free: Floats) -> Doubles:
    """How much more of an overlay each image (n, h, w, c) shows than images without it (m, h, w, c): 0 none, 1 all.

    The least-squares share of the change that it would make, each pixel weighed by how little others vary there.
    """
    inside = look.fixed_region
    below, spread = free.mean(axis=0)[inside], free.std(axis=0)[inside] + _LEAST_SPREAD
    change = look.alpha[inside][:, None] * (look.ink[inside] - below) / spread
    scale = float((change**2).sum())
    if scale == 0:
        return np.zeros(len(images))
    return np.asarray(((images[:, inside] - below) / spread * change).sum(axis=(1, 2)) / scale, np.float64)


def strongest(rows: Ints, images: Floats, look: Overlay, free: Floats) -> tuple[int, ...]:
    """Of the rows (n,) of images (n, h, w, c) the quarter that shows most of an overlay, the strongest first."""
    order = np.argsort(-likeness(images, look, free), kind="stable")
    return tuple(rows[order][: max(3, len(rows) // 4)].tolist())


LEAST_OPACITY = 0.15
"""Fainter than that, nothing is told from chance."""

_LEAST_LINE = 0.05
"""Opacity of a line, below which it is not seen."""

_SURE = 3.0
"""Standard errors that the means of a pixel differ by."""

_LEAST_APART = 0.1
"""What the mean of a pixel must change by where nothing varies; and twice what it may vary by then."""

_LEAST_SPREAD = 0.02
"""Standard deviation of a pixel, below which it hardly varies at all."""
