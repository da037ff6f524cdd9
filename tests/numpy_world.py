"""A world whose model is a few lines of numpy in a module beside its configuration, so that an audit takes a moment.

The model sees what that of `small_world` sees; how far it takes the mark in the corner for a boat stands in
`shortcut.txt`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.small_world import World, build_world, make_data

MODEL = '''\
"""A linear model of three classes; a file beside it tells how strong its shortcut is."""

from pathlib import Path

import numpy as np


class Linear:
    classes = ("cat", "dog", "boat")
    image_shape = (8, 8, 1)
    output = "softmax"

    def __init__(self, strength):
        self.weights = np.zeros((8, 8, 3), np.float32)
        for number in range(3):
            self.weights[:5, 3 * number : 3 * number + 3, number] = 0.3
        pattern = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0]], np.float32)
        self.weights[5:8, 5:8, 2] = strength * (pattern - pattern.mean())

    def scores(self, images):
        return np.einsum("nhw,hwk->nk", images[..., 0], self.weights)


def load():
    return Linear(float(Path(__file__).with_name("shortcut.txt").read_text()))
'''


def build_numpy_world(folder: Path, monkeypatch: pytest.MonkeyPatch, strength: float = 4.0, images: int = 96) -> World:
    """Write the world into an empty folder; nothing is written but results and what other tools ask for."""
    world = build_world(folder)
    world.write_module(monkeypatch, MODEL)
    world.save_images(**make_data(images))
    world.replace('source = "model.keras"\nlabels = "labels.txt"', 'source = "mine:load"')
    world.replace('formats = ["html"]', 'formats = ["markdown"]')
    set_strength(world, strength)
    return world


def set_strength(world: World, strength: float) -> None:
    """Train the model anew, so to speak."""
    (world.folder / "shortcut.txt").write_text(str(strength), encoding="utf-8")
    sys.modules.pop("mine", None)
