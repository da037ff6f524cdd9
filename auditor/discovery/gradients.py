"""What a model looks for at one place whatever an image shows: the mean derivative of a score over images of others.

What belongs to an object moves and turns with it, so derivatives by its pixels cancel out over images of other
objects. What is asked for at the same pixels in every image adds up: a stamp draws its own picture there. The place
comes from the model alone, what stands there from the images of the class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter, label

from auditor.artefacts.overlay import Overlay
from auditor.discovery.candidate import CannotLookError, Proposal
from auditor.discovery.looks import cut_out, detail, strongest
from auditor.discovery.material import Material
from auditor.measure.arrays import Bools, Doubles, Floats, Ints


@dataclass(frozen=True)
class Wanted:
    """A place that a model looks for whatever an image shows."""

    region: Bools
    """(h, w)."""
    slopes: Doubles
    """(h, w, c): the mean derivative of the score, everywhere."""
    density: float
    """How much larger it is there than in the mean of the frame: a stamp's is large, an object's lies everywhere."""

    @property
    def focus(self) -> float:
        """The same in [0, 1], from what objects have to what only stamps have."""
        return float(np.clip((self.density - OF_OBJECTS) / (OF_STAMPS - OF_OBJECTS), 0, 1))


def propose_gradients(material: Material, passes: int) -> Iterator[Proposal]:
    """Where the mean derivative of a class's score is largest.

    Raises
    ------
    CannotLookError
        The model has no derivatives.
    """
    del passes  # few images are differentiated
    refuse_scores_alone(material)
    found = [(place, number) for number in material.classes for place in wanted_places(material, number)]
    found.sort(key=lambda each: -each[0].density)
    for place, number in found[:MOST]:
        own, free = material.own(number), material.images[material.others(number)]
        mine = material.images[own]
        lines = lines_towards(place.slopes, mine, free, place.region)
        looks = [cut_out(mine, place.region)] if lines is None else [lines, cut_out(mine, place.region)]
        strong = strongest(own, mine, looks[0], free)
        yield Proposal("gradients", number, tuple(looks), place.density, strong, focus=place.focus)


def refuse_scores_alone(material: Material) -> None:
    """Raise `CannotLookError` where a model gives scores and no derivatives."""
    if not can_be_differentiated(material.classifier):
        raise CannotLookError("the model gives scores and no derivatives")


def can_be_differentiated(classifier: Any) -> bool:
    """Whether a model has derivatives, and not scores alone."""
    return bool(getattr(classifier, "is_differentiable", callable(getattr(classifier, "differentiate", None))))


def mean_slopes(material: Material, rows: Ints, number: int) -> Doubles:
    """(h, w, c): the mean derivative of the score of a class by the pixels of images at some rows."""
    total = np.zeros(material.images.shape[1:])
    for at in range(0, len(rows), material.batch_size):
        part = material.images[rows[at : at + material.batch_size]]
        found = material.classifier.differentiate(part, np.full(len(part), number))  # type: ignore[attr-defined]
        total += found.gradient.sum(axis=0, dtype=np.float64)
    return total / len(rows)


def wanted_places(material: Material, number: int) -> list[Wanted]:
    """The places where the mean derivative of a class's score over images of others is largest, the densest first.

    Connected, from a share of the highest value on after a blur of a few pixels, and none of them most of the image.
    """
    slopes = mean_slopes(material, material.others(number, DIFFERENTIATED), number)
    strength = np.abs(slopes).sum(axis=-1)
    height, width = strength.shape
    smooth = gaussian_filter(strength, max(1.0, min(height, width) / 28), mode="nearest")
    parts, count = label(smooth > NEARLY * smooth.max())
    regions = [parts == part for part in range(1, count + 1)] if smooth.max() > 0 else []
    regions = [region for region in regions if region.sum() >= FEWEST_PIXELS and region.mean() < MOST_OF_FRAME]
    found = [Wanted(region, slopes, float(strength[region].mean() / strength.mean())) for region in regions]
    return sorted(found, key=lambda place: -place.density)[:OF_A_CLASS]


def lines_towards(slopes: Doubles, own: Floats, free: Floats, region: Bools) -> Overlay | None:
    """Fine lines that images of a class (n, h, w, c) show more than others (m, h, w, c), where the model asks for them.

    Light or dark ink, as opaque as the mean difference says, at the pixels of a region (h, w) where it has the sign of
    the mean derivative. None where that is nowhere.
    """
    apart = (detail(own).mean(axis=0) - detail(free).mean(axis=0)).mean(axis=-1)
    room = np.where(apart > 0, 1 - own.mean(axis=(0, 3)), own.mean(axis=(0, 3)))
    alpha = np.clip(np.abs(apart) / np.maximum(room, 0.05), 0, 1)
    alpha = np.where(region & (apart * slopes.sum(axis=-1) > 0), alpha, 0).astype(np.float32)
    if not alpha.any():
        return None
    ink = np.repeat((apart > 0)[..., None], own.shape[-1], axis=-1)
    return Overlay(alpha, np.where(alpha[..., None] > 0, ink, 0).astype(np.float32))


DIFFERENTIATED = 128
"""Images of others, for each class."""

NEARLY, MOST_OF_FRAME, FEWEST_PIXELS = 0.3, 0.5, 4
"""Of the largest mean derivative, from where on a place is wanted; and what is too large, or too small, for a place."""

OF_OBJECTS, OF_STAMPS = 2.0, 6.0
"""Densities that are common, and that no clean network had."""

OF_A_CLASS, MOST = 2, 8
"""Proposals of a class, and in all."""
