"""How much the engine adds to the passes that it must make anyway.

    python benchmarks/engine.py

Runs SmoothGrad and Integrated Gradients through the engine, and then a bare loop: one batched `tf.function` that
computes the same number of gradients, fed with arrays and giving arrays. Both in one process, in turn; prints the
ratio of their times, run by run, and the median.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras
import numpy as np
import tensorflow as tf

from auditor.explain.attribution.methods import integrated_gradients, smoothgrad
from auditor.explain.attribution.question import ask
from auditor.subject.model.keras import KerasClassifier

BATCH, IMAGES, SAMPLES, RUNS = 32, 32, 48, 7


def make_network(size: int) -> keras.Model:
    layers = keras.layers
    inputs = keras.Input((size, size, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    for width in (32, 64, 128):
        x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Dense(64, activation="relu")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(10)(x))


def make_bare_loop(model: keras.Model, size: int):
    @tf.function(input_signature=[tf.TensorSpec((BATCH, size, size, 3)), tf.TensorSpec((BATCH,), tf.int32)])
    def step(images, targets):
        with tf.GradientTape() as tape:
            tape.watch(images)
            scores = tf.gather(model(images * 255.0, training=False), targets, batch_dims=1)
        return tape.gradient(scores, images)

    def loop(images: np.ndarray, targets: np.ndarray, passes: int) -> None:
        for at in range(0, passes, BATCH):
            rows = np.arange(at, at + BATCH) % len(images)
            step(images[rows], targets[rows]).numpy()

    return loop


def main() -> None:
    size = 64
    keras.utils.set_random_seed(0)
    model = make_network(size)
    classifier = KerasClassifier(model, batch_size=BATCH)
    bare = make_bare_loop(model, size)
    images = np.random.default_rng(0).random((IMAGES, size, size, 3)).astype(np.float32)
    targets = np.arange(IMAGES) % 10
    ids = [str(number) for number in range(IMAGES)]
    question = ask(classifier, images, targets, ids=ids, mean_image=images.mean(axis=0), layers=())
    methods = {
        "smoothgrad": lambda: smoothgrad(question, samples=SAMPLES, tolerance=1e-6),
        "integrated gradients": lambda: integrated_gradients(
            question, baselines=("mean",), nodes=SAMPLES, most_nodes=SAMPLES, tolerance=1e-6
        ),
    }
    passes = SAMPLES * IMAGES
    for name, method in methods.items():
        ratios = []
        for run in range(RUNS + 1):
            started = time.perf_counter()
            method()
            middle = time.perf_counter()
            bare(images, targets.astype(np.int32), passes)
            ended = time.perf_counter()
            if run:
                ratios.append((middle - started) / (ended - middle))
        shown = " ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"{name}: {passes} gradients, engine / bare loop: median {statistics.median(ratios):.2f} ({shown})")


if __name__ == "__main__":
    main()
