"""What a class's score hangs on in each image, as coarse maps: derivatives times what is unusual in the image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from auditor.discovery.material import Material
from auditor.measure.arrays import Doubles, Floats, Ints

Slopes = Callable[[Floats], Floats]
"""Derivatives (n, h, w, c) of something by the pixels of images (n, h, w, c)."""


def maps_of(material: Material, rows: Ints, slopes: Slopes) -> Doubles:
    """(n, h, w): derivatives times the difference from the mean of all images, summed over channels.

    The sum of a map is, to first order, what makes the image's score unlike that of the mean image.
    """
    mean = material.images.mean(axis=0)
    parts = [rows[at : at + material.batch_size] for at in range(0, len(rows), material.batch_size)]
    found = [(slopes(images) * (images - mean)).sum(axis=-1) for images in (material.images[part] for part in parts)]
    return np.concatenate(found).astype(np.float64)


def of_score(material: Material, number: int) -> Slopes:
    """The derivatives of a class's score."""

    def slopes(images: Floats) -> Floats:
        aims = np.full(len(images), number)
        return material.classifier.differentiate(images, aims).gradient  # type: ignore[attr-defined]

    return slopes


def coarse(maps: Doubles, cells: int) -> Doubles:
    """(n, a, b): sums of maps (n, h, w) over cells, as many along the shorter side."""
    height, width = maps.shape[1:]
    side = max(1, round(min(height, width) / cells))
    edges = [np.arange(0, whole, side) for whole in (height, width)]
    return np.asarray(np.add.reduceat(np.add.reduceat(maps, edges[0], axis=1), edges[1], axis=2))
