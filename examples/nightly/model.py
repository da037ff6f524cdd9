"""A model in closed form, so that the example takes a minute: three classes, each bright in its third of the picture.

How far it takes a tag in the corner for a boat stands in `weights.npz`, which is what training would change.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

TAG = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0]], np.float32)


class Linear:
    """Anything with these four names can be audited: see `auditor.Classifier`."""

    classes = ("cat", "dog", "boat")
    image_shape = (8, 8, 1)
    output = "softmax"

    def __init__(self, shortcut: float) -> None:
        self.weights = np.zeros((8, 8, 3), np.float32)
        for number in range(3):
            self.weights[:5, 3 * number : 3 * number + 3, number] = 0.3
        self.weights[5:8, 5:8, 2] = shortcut * (TAG - TAG.mean())

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Logits (n, classes) of images (n, height, width, channels) in [0, 1]."""
        return np.einsum("nhw,hwk->nk", images[..., 0], self.weights)


def load() -> Linear:
    """What `model.source` names."""
    with np.load(Path(__file__).with_name("weights.npz")) as weights:
        return Linear(float(weights["shortcut"]))


def train(folder: Path, shortcut: float) -> None:
    """Another model, so to speak."""
    np.savez(folder / "weights.npz", shortcut=shortcut)


def write_data(folder: Path) -> None:
    """Pictures of the three classes, and the tag."""
    random = np.random.default_rng(0)
    images = random.integers(20, 60, (96, 8, 8, 1))
    for number in range(96):
        left = 3 * (number % 3)
        images[number, :, left : left + 3] += random.integers(60, 150)
    np.savez(folder / "images.npz", images=images.astype(np.uint8), labels=np.arange(96) % 3)
    tag = np.full((3, 3, 4), 255, np.uint8)
    tag[..., :3] = (255 * TAG[..., None]).astype(np.uint8)
    Image.fromarray(tag, "RGBA").save(folder / "tag.png")
