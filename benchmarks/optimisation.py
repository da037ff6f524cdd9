"""How fast optimal inputs are found, and how much that is beyond the gradients that they need.

    python benchmarks/optimisation.py              # all classes of a small network at 64 x 64
    python benchmarks/optimisation.py --imagenet   # one class of EfficientNet-Lite0 at 224 x 224, too
    python benchmarks/optimisation.py --schedules  # how high few long steps get, beside many short ones

Climbs 256 steps, in Fourier space with jitter, turns, scaling and penalties, and beside it runs a bare loop: one
batched `tf.function` that computes as many gradients, fed with arrays and giving arrays. Prints the seconds of both,
and their ratio, run by run. The first run of either, which traces the network, is not counted but is printed.

`--schedules` climbs to all classes of the example of this repository and of its honest twin, from four starts each,
and with `--imagenet` to four of EfficientNet-Lite0, from one start. Prints the mean of what is climbed, the logit less
penalties in standard deviations of the real images' logits, and of the logit; then of the logit where nothing is
penalised.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples" / "imagenet_watermark"))

import keras
import numpy as np
import tensorflow as tf
from engine import make_network

from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.auditing.opening import open_subject
from auditor.config.file import read_config
from auditor.explain.optima.ascent import Recipe, ascend
from auditor.explain.optima.objectives import class_logit, draw_noise
from auditor.explain.optima.parametrisation import colour_covariance, parametrise
from auditor.explain.table import METHODS
from auditor.explain.texture import total_variation
from auditor.subject.model.keras import KerasClassifier

ROOT = Path(__file__).resolve().parents[1]
STEPS, RUNS = 256, 3

SCHEDULES = ((256, 0.05), (96, 0.05), (128, 0.1), (96, 0.2), (64, 0.2), (64, 0.3), (32, 0.4))
"""Steps and rates that are compared, of which the first was the default once."""

L2, VARIATION = 10.0, 5.0


def make_bare_loop(model: keras.Model, count: int, shape: tuple[int, int, int], targets: np.ndarray):
    @tf.function(input_signature=[tf.TensorSpec((count, *shape)), tf.TensorSpec((count,), tf.int32)])
    def step(images, aims):
        with tf.GradientTape() as tape:
            tape.watch(images)
            scores = tf.gather(model(images * 255.0, training=False), aims, batch_dims=1)
        return tape.gradient(scores, images)

    images = np.random.default_rng(0).random((count, *shape)).astype(np.float32)

    def loop() -> None:
        for _ in range(STEPS):
            step(images, targets).numpy()

    return loop


def measure(title: str, model: keras.Model, targets: np.ndarray, seconds: float) -> None:
    count = len(targets)
    classifier = KerasClassifier(model, batch_size=count)
    shape = classifier.image_shape
    names = [str(number) for number in range(count)]
    way = parametrise("fourier", "sigmoid", shape, np.eye(3) / 12 + 0.02)
    recipe = Recipe(STEPS, l2=10, total_variation=5, jitter=round(shape[0] / 28), scale=0.05, rotation=5)

    def climb() -> None:
        parameters = draw_noise(way, shape, names, 0.3, 0)
        ascend(classifier, class_logit(targets), way, parameters, recipe, names=names)

    bare = make_bare_loop(model, count, shape, targets.astype(np.int32))
    times = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        climb()
        middle = time.perf_counter()
        bare()
        times.append((middle - started, time.perf_counter() - middle))
    ratios = [first / second for first, second in times[1:]]
    print(f"{title}: {count} x {STEPS} steps, wanted in {seconds:g} s")
    print(f"  climbing {', '.join(f'{first:.1f}' for first, _ in times[1:])} s (with tracing {times[0][0]:.1f} s)")
    print(f"  bare gradients {', '.join(f'{second:.1f}' for _, second in times[1:])} s")
    print(f"  ratio: median {statistics.median(ratios):.2f} ({' '.join(f'{ratio:.2f}' for ratio in ratios)})")


def compare_schedules(
    name: str, classifier: KerasClassifier, images: np.ndarray, classes: np.ndarray, starts: int
) -> None:
    """Print what each schedule reaches, for some classes."""
    shape = classifier.image_shape
    targets, numbers = np.repeat(classes, starts), np.tile(np.arange(starts), len(classes))
    names = [f"{target}, {number}" for target, number in zip(targets, numbers, strict=True)]
    units = np.maximum(classifier.scores(images).std(axis=0, dtype=np.float64), 1e-3)[targets]
    way = parametrise("fourier", "sigmoid", shape, colour_covariance(images))
    for steps, rate in SCHEDULES:
        jitter = max(1, round(max(shape) / 28))
        recipe = Recipe(steps, rate, l2=L2, total_variation=VARIATION, jitter=jitter, scale=0.05, rotation=5.0)
        parameters = draw_noise(way, shape, names, 0.3, 0)
        climb = partial(ascend, classifier.sized(len(names)), class_logit(targets), way, parameters, names=names)
        found = climb(recipe, units=units)
        grey = np.square(found.images - 0.5).mean(axis=(1, 2, 3), dtype=np.float64)
        climbed = found.values / units - L2 * grey - VARIATION * total_variation(found.images)
        bare = climb(replace(recipe, l2=0.0, total_variation=0.0)).values
        told = [f"{value.mean():.2f}" for value in (climbed, found.values, bare)]
        print(f"| {name} | {steps} | {rate:g} | {' | '.join(told)} |", flush=True)


def tell_schedules(*, with_imagenet: bool) -> None:
    print("| model | steps | rate | climbed | logit | not penalised |\n| --- | --- | --- | --- | --- | --- |")
    configs = ["audit.toml", "examples/clean_twin/audit.toml"]
    for file in configs + ["examples/imagenet_watermark/audit.toml"] * with_imagenet:
        subject = open_subject(read_config(ROOT / file, (), kinds=ARTEFACT_KINDS, methods=METHODS))
        _, images = subject.dataset.read(np.arange(min(256, len(subject.dataset))))
        count = len(subject.classifier.classes)
        is_large = count > 10
        classes = np.linspace(0, count - 1, 4).astype(np.int64) if is_large else np.arange(count)
        compare_schedules(file, subject.classifier, images, classes, starts=1 if is_large else 4)


def main() -> None:
    if "--schedules" in sys.argv[1:]:
        tell_schedules(with_imagenet="--imagenet" in sys.argv[1:])
        return
    keras.utils.set_random_seed(0)
    measure("small network at 64 x 64, all ten classes", make_network(64), np.arange(10), 12)
    if "--imagenet" in sys.argv[1:]:
        from efficientnet_lite0 import load

        measure("EfficientNet-Lite0 at 224 x 224, one class", load(), np.array([478]), 20)


if __name__ == "__main__":
    main()
