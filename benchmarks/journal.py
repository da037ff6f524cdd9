"""What it costs to keep every pass of a verdict on the disk while it is made.

    python benchmarks/journal.py

Audits the same small network on the same images with a journal and without one, in turn, in one process. Prints the
ratio of their times of the processor, pair by pair, and the median: what else a machine does is not counted.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import auditor
from auditor.auditing.resuming import Keeping
from auditor.explain.table import METHODS
from benchmarks.engine import make_network

IMAGES, SIZE, PAIRS = 300, 64, 7


def main() -> None:
    model = make_network(SIZE)
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, SIZE, SIZE, 3), np.uint8)
    artefact = auditor.text("sample", position=(4, 40), target="3")

    def seconds(folder: Path) -> float:
        start = time.process_time()
        auditor.audit(
            model,
            images,
            classes=[str(number) for number in range(10)],
            artefacts=[artefact],
            methods={name: {"enabled": False} for name in METHODS},
            settings={"report": {"formats": ["markdown"]}, "data": {"copies": "keep"}},
            output=folder,
        )
        return time.process_time() - start

    with tempfile.TemporaryDirectory() as scratch:
        seconds(Path(scratch))  # the first traces the model
        ratios = []
        for _ in range(PAIRS):
            with patch.object(Keeping, "begin", lambda self, fingerprint, started: started):
                without = seconds(Path(scratch))
            ratios.append(seconds(Path(scratch)) / without)
            print(f"{ratios[-1]:.3f} of {without:.2f} s", flush=True)
    print(f"median {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
