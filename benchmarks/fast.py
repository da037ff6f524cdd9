"""What ONNX Runtime gains, network by network.

    python benchmarks/fast.py [NETWORK ..]

Networks of `keras.applications`, without weights of their own, and a small one. Each is exported and then scored by
both engines in turn, whole batches of 16 images. Prints processor time: of the export, and of TensorFlow's scores as a
multiple of ONNX Runtime's, the median of the runs and their ends; and how far apart scores lie. The worst stands first.
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

from auditor.subject.model.fast import find_fast, multiplications
from auditor.subject.model.keras import KerasClassifier
from benchmarks.engine import make_network

NETWORKS = ("small", "MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "Xception", "ResNet50")
BATCH, RUNS = 16, 5


def main() -> None:
    rows = []
    for name in sys.argv[1:] or NETWORKS:
        keras.utils.set_random_seed(0)
        make = getattr(keras.applications, name, None)
        model = make_network(64) if make is None else make(weights=None, input_shape=(224, 224, 3))
        classifier = KerasClassifier(model, input_range=(0.0, 255.0), output="auto", batch_size=BATCH)
        images = np.random.default_rng(0).random((BATCH, *classifier.image_shape)).astype(np.float32)
        wanted = classifier.scores(images)
        started = time.process_time()
        found = find_fast(classifier.traces.of_any_number, images, wanted)
        export = time.process_time() - started
        millions = multiplications(classifier._anatomy.operations) / 4 / 1e6
        if found.fast is None:
            rows.append((0.0, f"{name} | {millions:.0f} | {export:.1f} | {found.notes[0].text}"))
            continue
        ratios = []
        for run in range(RUNS + 1):
            times = []
            for ask in (classifier.scores, found.fast):
                started, asked = time.process_time(), 0
                while time.process_time() - started < 0.3 or not asked:
                    given = ask(images)
                    asked += 1
                times.append((time.process_time() - started) / asked)
            if run:
                ratios.append(times[0] / times[1])
        apart = np.abs(given - wanted).max() / np.abs(wanted).max()
        median, ends = statistics.median(ratios), f"{min(ratios):.2f} to {max(ratios):.2f}"
        rows.append((median, f"{name} | {millions:.0f} | {export:.1f} | {median:.2f} ({ends}) | {apart:.1g}"))
    print("network | million multiplications | export, s | TensorFlow / ONNX Runtime | scores apart, of the largest")
    for _, row in sorted(rows):
        print(row)


if __name__ == "__main__":
    main()
