"""What the maps of an error cost: predicted class, true label and their margin, against one map of the same method.

    python benchmarks/contrast.py

For each method all three maps, made in shared passes, and then one map alone, each with its first pass, on the network
of `benchmarks/engine.py`. Both in one process, in turn; prints the medians of the ratios of their times, by the clock
and of the processor (which other work on the machine disturbs less), and the former run by run.
"""

from __future__ import annotations

import statistics
import time

import keras
import numpy as np
from engine import BATCH, IMAGES, SAMPLES, make_network

from auditor.explain.attribution.methods import grad_cam, gradient, integrated_gradients, smoothgrad
from auditor.explain.attribution.question import ask
from auditor.subject.model.keras import KerasClassifier

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
        ratios, of_processor = [], []
        for run in range(RUNS + 1):
            started, busy = time.perf_counter(), time.process_time()
            for _ in range(repeats):
                explain(foils)
            middle, between = time.perf_counter(), time.process_time()
            for _ in range(repeats):
                explain(None)
            ended = time.perf_counter()
            if run:
                ratios.append((middle - started) / (ended - middle))
                of_processor.append((between - busy) / (time.process_time() - between))
        shown = " ".join(f"{ratio:.2f}" for ratio in ratios)
        medians = (
            f"{statistics.median(ratios):.2f} by the clock, {statistics.median(of_processor):.2f} of the processor"
        )
        print(f"{name}: three maps / one map: {medians} ({shown})", flush=True)


if __name__ == "__main__":
    main()
