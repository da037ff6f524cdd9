"""How much of an artefact images show where it is named: in each of them, so that many together tell even a faint one.

The strength of the artefact that fits an image best, by least squares: about 1 on average where images carry it as it
is named, 0 where they do not. Images and artefact are compared in what is finer than some pixels, and of the artefact
in what it does to the mean colour of the image: where it stands on colours further from its own, it is more than 1. In
one image a faint artefact drowns in what else is there; in the mean of a hundred it does not. So a misplaced one is
told from one that is there even where taking it out leaves valid pixels.

References: Turin, "An introduction to matched filters" (1960).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from auditor.artefacts.appearance import Appearance, box_of
from auditor.artefacts.locating import COARSE, detail
from auditor.artefacts.overlay import DIRECTIONS, steps_of
from auditor.measure.arrays import Array, Floats


class Fit(NamedTuple):
    """How an artefact fits images, where it is named and a little beside."""

    likeness: Array
    """(n, places): product of each image with it, at the named place first, then a pixel or two beside."""
    energy: Array
    """(n,): product of it with itself; the ratio of both means is how much of it the images show."""
    change: Array
    """(n,): how much inserting it changes the pixels of each image, in absolute values summed ..."""
    change_of_plain: Array
    """(n,): ... and those of an image of its mean colour alone."""


def has_place(look: Appearance) -> bool:
    """Whether there is something to be seen at a place, the same in every image, and most of the frame is not it."""
    region = look.fixed_region
    return look.can_insert and region is not None and 0 < region.mean() < _MOST


def fit(images: Floats, look: Appearance) -> Fit:
    """How what has a place (`has_place`) fits images (n, h, w, c)."""
    region = look.fixed_region
    assert region is not None
    (left, top, right, bottom), (height, width) = box_of(region), region.shape
    shifts = [
        (down * step, across * step)
        for step in steps_of(images.shape[1:])
        for down, across in DIRECTIONS.values()
        if 0 <= top + down * step <= height - (bottom - top) and 0 <= left + across * step <= width - (right - left)
    ]
    around = max(steps_of(images.shape[1:])) + _REACH
    rows = slice(max(top - around, 0), min(bottom + around, height))
    columns = slice(max(left - around, 0), min(right + around, width))
    colour = np.broadcast_to(images.mean(axis=(1, 2), keepdims=True, dtype=np.float64), images.shape)
    colour = np.ascontiguousarray(colour, np.float32)
    added = (look.insert(colour) - colour)[:, rows, columns].astype(np.float64)
    change = np.abs(look.insert(images) - images).sum(axis=(1, 2, 3), dtype=np.float64)
    seen, template = detail(images[:, rows, columns].astype(np.float64)), detail(added)
    inside = added[:, top - rows.start : bottom - rows.start, left - columns.start : right - columns.start]

    def product(values: Array, shift: tuple[int, int]) -> Array:
        first, start = top - rows.start + shift[0], left - columns.start + shift[1]
        part = values[:, first : first + inside.shape[1], start : start + inside.shape[2]]
        return np.einsum("nijc,nijc->n", part, inside)

    likeness = np.stack([product(seen, shift) for shift in ((0, 0), *shifts)], axis=1)
    return Fit(likeness, product(template, (0, 0)), change, np.abs(added).sum(axis=(1, 2, 3)))


_MOST = 0.75
"""Of the frame: what covers more is mostly as coarse as what images show."""

_REACH = int(4 * COARSE)
"""Pixels that what is coarse is smoothed over."""
