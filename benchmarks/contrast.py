"""What the maps of an error cost: predicted class, true label and their margin, against one map of the same method.

    python benchmarks/contrast.py

For each method all three maps, made in shared passes, and then one map alone, each with its first pass, on the network
of `benchmarks/engine.py`. Both in one process, in turn; prints the ratio of their times, run by run, and the median.
"""

from __future__ import annotations

import statistics
import time

import keras
import numpy as np
from engine import BATCH, IMAGES, SAMPLES, make_network

from auditor.explain.attribution import ask, grad_cam, gradient, integrated_gradients, smoothgrad
from auditor.keras_classifier import KerasClassifier

RUNS = 15


def main() -> None:
    keras.utils.set_random_seed(0)
    classifier = KerasClassifier(make_network(64), batch_size=BATCH)
    images = np.random.default_rng(0).random((IMAGES, 64, 64, 3)).astype(np.float32)
    targets = np.arange(IMAGES) % 10
    foils = (targets + 3) % 10
    ids = [str(number) for number in range(IMAGES)]
    mean = images.mean(axis=0)
    methods = {
        "gradient": (gradient, ()),
        "Grad-CAM": (grad_cam, classifier.feature_layers[:1]),
        "SmoothGrad": (lambda question: smoothgrad(question, samples=SAMPLES, tolerance=1e-6), ()),
        "Integrated Gradients": (
            lambda question: integrated_gradients(
                question, baselines=("mean",), nodes=SAMPLES, most_nodes=SAMPLES, tolerance=1e-6
            ),
            (),
        ),
    }
    for name, (method, layers) in methods.items():

        def explain(against: np.ndarray | None, method=method, layers=layers) -> None:
            method(ask(classifier, images, targets, ids=ids, mean_image=mean, layers=layers, foils=against))

        repeats = 1 if name in ("SmoothGrad", "Integrated Gradients") else SAMPLES
        ratios = []
        for run in range(RUNS + 1):
            started = time.perf_counter()
            for _ in range(repeats):
                explain(foils)
            middle = time.perf_counter()
            for _ in range(repeats):
                explain(None)
            ended = time.perf_counter()
            if run:
                ratios.append((middle - started) / (ended - middle))
        shown = " ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"{name}: three maps / one map: median {statistics.median(ratios):.2f} ({shown})")


if __name__ == "__main__":
    main()
