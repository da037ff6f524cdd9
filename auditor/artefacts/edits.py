"""Edits of images that ask a causal question: take an artefact out, or do the same where it is not.

All take and give float32 images in [0, 1]. An edit depends on its own image only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import fftconvolve

from auditor.artefacts.appearance import Appearance
from auditor.artefacts.fills import FILLS
from auditor.artefacts.global_edits import as_much_uneven_light
from auditor.measure.arrays import Bools, Floats
from auditor.subject.data.sample import to_grey


@dataclass(frozen=True)
class Removal:
    """One way to take an artefact out, and the same edit elsewhere in the image."""

    removed: Floats
    """(h, w, c)."""
    placebo: Floats | None
    """(h, w, c); None where the region fits nowhere else."""


def remove(image: Floats, mask: Bools, fills: tuple[str, ...], appearance: Appearance | None) -> dict[str, Removal]:
    """Take the artefact out of one image (h, w, c) in several ways, each with its placebo.

    `exact` is what the appearance itself computes, where it can. The placebo makes the same edit at the place whose
    brightness and contrast come closest to what the region looks like without the artefact. What covers the frame can
    be taken out exactly only, and its placebo is uneven light that changes the image as much.
    """
    results: dict[str, Removal] = {}
    can_remove = appearance is not None and appearance.can_remove
    if mask.all():
        if appearance is not None and can_remove:
            clean = appearance.remove(image[None])[0]
            results["exact"] = Removal(clean, as_much_uneven_light(image, clean))
        return results
    clean = appearance.remove(image[None])[0] if appearance is not None and can_remove else FILLS["blur"](image, mask)
    shifts = matched_placements(clean, mask, 1)
    if appearance is not None and can_remove:
        results["exact"] = Removal(clean, appearance.remove(image[None], shifts[0])[0] if shifts else None)
    for name in fills:
        elsewhere = FILLS[name](image, shift_mask(mask, shifts[0])) if shifts else None
        results[name] = Removal(FILLS[name](image, mask), elsewhere)
    return results


def paste_middle(images: Floats, donors: Floats, keep_out: Bools) -> Floats:
    """The middle of other images (n, h, w, c), 70 % of height and width, but for pixels `keep_out` (h, w)."""
    height, width = images.shape[1:3]
    top, left = round(0.15 * height), round(0.15 * width)
    mask = np.zeros((height, width), bool)
    mask[top : height - top, left : width - left] = True
    return np.where((mask & ~keep_out)[..., None], donors, images).astype(np.float32)


def matched_placements(image: Floats, mask: Bools, count: int, keep_out: Bools | None = None) -> list[tuple[int, int]]:
    """Shifts (down, right) of a region that look most like it, best first.

    The shifted region stays in the frame and clear of the region itself, and of the pixels `keep_out` (h, w); places
    are ranked by how close the mean and the standard deviation of their pixels come to those of the region in `image`
    (h, w, c), which is without artefact.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    shape = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float64)
    grey = (to_grey(image)[..., 0] if image.shape[-1] == 3 else image[..., 0]).astype(np.float64)
    kernel = shape[::-1, ::-1]
    area = shape.sum()
    mean = fftconvolve(grey, kernel, "valid") / area
    contrast = np.sqrt(np.maximum(fftconvolve(grey**2, kernel, "valid") / area - mean**2, 0))
    taken = mask if keep_out is None else mask | keep_out
    overlap = fftconvolve(taken.astype(np.float64), kernel, "valid")
    distance = np.hypot(mean - mean[rows[0], columns[0]], contrast - contrast[rows[0], columns[0]])
    free = np.flatnonzero(overlap.ravel() < 0.5)
    # rounding keeps the order the same whatever the last bits of the transform are
    best = free[np.argsort(np.round(distance.ravel()[free], 6), kind="stable")[:count]]
    return [(int(at // mean.shape[1] - rows[0]), int(at % mean.shape[1] - columns[0])) for at in best]


def shift_mask(mask: Bools, shift: tuple[int, int]) -> Bools:
    """A region moved by (down, right); it must stay in the frame."""
    return np.roll(mask, shift, axis=(0, 1))
