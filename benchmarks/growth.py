"""How the passes and the time of a verdict grow with images, classes, artefacts and pixels. Tables in Markdown.

    OMP_NUM_THREADS=1 python benchmarks/growth.py [PLOT.svg]    # about ten minutes

A network of three convolutions that knows blots by their features, noisy pictures of them, and a mark in the corner.
One thing is changed at a time. Passes are images that the model scored: those that were needed, and those that were
made for them. Seconds are of processor, and `times the passes` is how many times what those passes cost alone. The last
column is of an audit that ends where its verdicts are clear; the others are of all images.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras
import numpy as np
from PIL import Image

import auditor
from auditor.explain.table import METHODS

ROOT = Path(__file__).resolve().parents[1]
USUAL = {"images": 300, "classes": 10, "artefacts": 1, "pixels": 32}
TRIED = {
    "images": (100, 300, 600, 1200, 2400),
    "classes": (2, 10, 100, 1000),
    "artefacts": (1, 2, 4, 8),
    "pixels": (16, 32, 64, 128),
}
_TICKS = (2000, 5000, 10_000, 20_000, 50_000)


class Cost(NamedTuple):
    """What a verdict cost."""

    needed: int
    made: int
    seconds: float
    floor: float
    """Processor seconds of its passes alone."""


def make_model(classes: int, pixels: int) -> keras.Model:
    """A network that knows a blot of each class by its features."""
    keras.utils.set_random_seed(0)
    layers = [keras.Input((pixels, pixels, 3))]
    for width in (32, 64, 128):
        layers += [keras.layers.Conv2D(width, 3, strides=2, padding="same", activation="relu")]
    body = keras.Sequential([*layers, keras.layers.Flatten()])
    known = np.asarray(body.predict(0.7 * draw_blots(classes, pixels) + 0.15, verbose=0))
    model = keras.Sequential([*body.layers, keras.layers.Dense(classes)])
    model.build((None, pixels, pixels, 3))
    model.layers[-1].set_weights([20 * known.T, -10 * np.square(known).sum(axis=1)])
    return model


def draw_blots(classes: int, pixels: int) -> np.ndarray:
    blots = np.random.default_rng(0).random((classes, 4, 4, 3)).astype(np.float32)
    return np.repeat(np.repeat(blots, pixels // 4, axis=1), pixels // 4, axis=2)


def make_images(count: int, classes: int, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy pictures of the blots of all classes by turns: as many of each, so that growth is of one thing."""
    labels = np.arange(count) % classes
    noise = np.random.default_rng(1).random((count, pixels, pixels, 3), np.float32)
    return 0.7 * draw_blots(classes, pixels)[labels] + 0.3 * noise, labels


def measure(images: int, classes: int, artefacts: int, pixels: int, *, sequential: bool) -> Cost:
    model = make_model(classes, pixels)
    pictures, labels = make_images(images, classes, pixels)
    side = max(3, pixels // 6)
    with tempfile.TemporaryDirectory() as folder:
        mark = Path(folder) / "mark.png"
        ink = np.random.default_rng(1).integers(0, 256, (side, side, 4), np.uint8)
        ink[..., 3] = 60
        Image.fromarray(ink, "RGBA").save(mark)
        suspects = [
            auditor.overlay(mark, position=(2, 2 + at), name=f"mark {at}", target="0") for at in range(artefacts)
        ]
        settings = {"data": {"limit": "all", "as_written": True}, "verdict": {"sequential": sequential}}
        settings |= {"report": {"formats": ["markdown"]}, "model": {"input_range": (0.0, 1.0)}}
        started = time.process_time()
        run = auditor.audit(
            model, images=pictures, labels=labels, artefacts=suspects, output=None, settings=settings,
            methods={name: {"enabled": False} for name in METHODS},
        )  # fmt: skip
        seconds = time.process_time() - started
    work = [part.scores for part in run.result.provenance.work]
    made = sum(part.made for part in work)
    return Cost(sum(part.needed for part in work), made, seconds, made * _price(model))


def _price(model: keras.Model) -> float:
    """Processor seconds of an image in whole batches."""
    batch = np.zeros((64, *model.input_shape[1:]), np.float32)
    import tensorflow as tf

    score = tf.function(lambda given: model(given, training=False), autograph=False)
    score(tf.constant(batch))
    started, asked = time.process_time(), 0
    while time.process_time() - started < 0.3:
        score(tf.constant(batch))
        asked += len(batch)
    return (time.process_time() - started) / asked


def main() -> None:
    measure(**USUAL, sequential=False)  # what is loaded and traced once
    found: dict[str, dict[int, tuple[Cost, Cost]]] = {}
    for name, values in TRIED.items():
        print(f"\n| {name} | scored | made / needed | seconds | times the passes | scored, ending early |")
        print("| --- | --- | --- | --- | --- | --- |")
        for value in values:
            asked = USUAL | {name: value}
            whole, early = (measure(**asked, sequential=each) for each in (False, True))
            found.setdefault(name, {})[value] = whole, early
            ratios = f"{whole.made / whole.needed:.3f} | {whole.seconds:.1f} | {whole.seconds / whole.floor:.2f}"
            print(f"| {value} | {whole.needed} | {ratios} | {early.needed} |", flush=True)
    draw(found, Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/pictures/growth.svg")


def draw(found: dict[str, dict[int, tuple[Cost, Cost]]], file: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "growth"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(found), figsize=(12, 3), sharey=True)
    for axis, (name, costs) in zip(axes, found.items(), strict=True):
        for at, style, told in ((0, "o-", "all images"), (1, "s--", "ending early")):
            axis.plot(list(costs), [pair[at].needed for pair in costs.values()], style, label=told)
        axis.set(xscale="log", yscale="log", xlabel=name)
        axis.set_xticks(list(costs), [str(value) for value in costs])
        axis.set_yticks(_TICKS, [f"{tick:,}" for tick in _TICKS])
        axis.minorticks_off()
    axes[0].set_ylabel("images scored")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    main()
