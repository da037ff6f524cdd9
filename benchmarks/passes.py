"""What each part of an audit costs beside the passes that it cannot do without.

    python benchmarks/passes.py [CONFIG] [--set KEY=VALUE ..] [--verdict] [--tensorflow]

Audits, by default the example, and measures afterwards what bare passes cost: whole batches through the functions that
TensorFlow traced, nothing else. Prints by part: processor time, images scored and differentiated, made for each that
was needed, and the processor time as a multiple of those passes at that price. The worst part stands first.
`--verdict` leaves all explanations out, `--tensorflow` every other engine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")  # as a command has it
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.auditing import audit
from auditor.auditing.conduct import conduct
from auditor.auditing.metering import Meter
from auditor.config.file import read_config
from auditor.explain.table import METHODS

ROOT = Path(__file__).resolve().parents[1]
RUNS = 5


def find_floor(classifier: object) -> tuple[float, float]:
    """Processor seconds of an image that is scored, and of one that is differentiated."""
    size = classifier.batch_size
    images = np.random.default_rng(0).random((size, *classifier.image_shape)).astype(np.float32)
    aims = np.zeros(size, np.int32)
    score, differentiate = classifier.traces.scores(size), classifier.traces.gradient(size, 1, ())
    score(images), differentiate(images, aims)
    found = []
    for ask in (lambda: score(images), lambda: differentiate(images, aims)):
        times = []
        for _ in range(RUNS):
            started, asked = time.process_time(), 0
            while time.process_time() - started < 0.2:
                ask()
                asked += size
            times.append((time.process_time() - started) / asked)
        found.append(statistics.median(times))
    return found[0], found[1]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("config", nargs="?", type=Path, default=ROOT / "audit.toml")
    arguments.add_argument("--set", action="append", default=[], dest="changes")
    arguments.add_argument("--verdict", action="store_true")
    arguments.add_argument("--tensorflow", action="store_true")
    told = arguments.parse_args()
    off = [f"methods.{name}.enabled=false" for name in METHODS] if told.verdict else []
    config = read_config(told.config, (*off, *told.changes), kinds=ARTEFACT_KINDS, methods=METHODS)
    opened, open_subject = [], audit.open_subject

    def opening(*given: object) -> object:
        opened.append(open_subject(*given))
        return opened[-1]

    audit.open_subject = opening
    if told.tensorflow:
        audit.hasten = lambda subject: None
    meter = Meter()
    run = conduct(config, None, lambda *_: None, meter=meter)
    meter.end()
    score, slope = find_floor(opened[0].classifier)
    print(f"a pass of an image: {1e3 * score:.3f} ms scored, {1e3 * slope:.3f} ms differentiated")
    if run.result.provenance.engine:
        print(f"scores by {run.result.provenance.engine}")
    rows = []
    for part in run.result.provenance.work:
        needed = part.scores.needed + part.gradients.needed
        made = part.scores.made + part.gradients.made
        price = part.scores.made * score + part.gradients.made * slope
        seconds = meter.seconds[part.part]
        rows.append((seconds / price, part.part, seconds, part.scores.needed, part.gradients.needed, made / needed))
    print("times the passes | part | seconds | scored | differentiated | made / needed")
    for ratio, name, seconds, scored, slopes, made in sorted(rows, reverse=True):
        print(f"{ratio:.2f} | {name} | {seconds:.1f} | {scored} | {slopes} | {made:.3f}")
    total = sum(seconds for _, _, seconds, *_ in rows)
    price = sum(seconds / ratio for ratio, _, seconds, *_ in rows)
    print(f"{total / price:.2f} | all | {total:.1f}")


if __name__ == "__main__":
    main()
