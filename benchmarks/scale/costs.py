"""What units of work cost on this machine, beside the same work in one process.

    python benchmarks/scale/costs.py [--runs 3] [overhead] [mobile] [bytes] [data]

`overhead`  audits of a small network in one process and on one worker, by turns, from the moment that the worker has
            opened model and images: what units, their transport and taking them in add. Processor time of all
            processes, for a machine that does other work has no clock to go by.
`mobile`    the same of MobileNetV2, whose units take seconds.
`bytes`     what comes back of a batch of 64 images, and what the process that decides holds of it, by classes.
`data`      5,000 images scored by the same two actors, handed row numbers here, and by Ray Data's `map_batches`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from PIL import Image

from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.auditing.audit import run_audit
from auditor.auditing.engine.cluster import cluster
from auditor.auditing.engine.crew import open_crew
from auditor.auditing.engine.wire import Sight
from auditor.auditing.engine.worker import Worker, opening_of
from auditor.config.file import AuditConfig, read_config
from auditor.config.sections import ExecutionConfig
from auditor.explain.table import METHODS
from auditor.subject.data.sources import NpzSource
from auditor.verdict.looking import Course
from auditor.verdict.screening import Chosen

SIDE = 64
MOBILE, PICTURES = 224, 64
"""Pixels a side of MobileNetV2's images, and how many of them it is audited with, sixteen in a batch."""
OFF = tuple(f"methods.{name}.enabled=false" for name in METHODS)


def write_audit(folder: Path, images: int, classes: int, *, is_mobile: bool = False) -> Path:
    """A network of two convolutions, or MobileNetV2, untrained; pictures of noise, and a mark in the corner."""
    import keras

    keras.utils.set_random_seed(0)
    side, batch = (MOBILE, 16) if is_mobile else (SIDE, 64)
    model = small_network(classes)
    if is_mobile:
        model = keras.applications.MobileNetV2(weights=None, classes=classes, classifier_activation=None)
    model.save(folder / "model.keras")
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (images, side, side, 3), np.uint8)
    np.savez(folder / "images.npz", images=pictures, labels=np.arange(images) % classes)
    mark = np.zeros((12, 12, 4), np.uint8)
    mark[..., 0], mark[..., 3] = 255, 255 * (random.random((12, 12)) > 0.5)
    Image.fromarray(mark, "RGBA").save(folder / "mark.png")
    pixels = ", input_range = [-1, 1]" if is_mobile else ""
    (folder / "audit.toml").write_text(
        f'model = {{ source = "model.keras", output = "logits", batch_size = {batch}{pixels} }}\n'
        'data = { source = "images.npz", limit = "all", as_written = true, copies = "keep" }\n'
        "verdict = { sequential = false }\n"
        '[[artefacts]]\nname = "mark"\nkind = "overlay"\nimage = "mark.png"\nposition = [50, 50]\ntarget = "1"\n'
    )
    return folder / "audit.toml"


def small_network(classes: int) -> Any:
    import keras

    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(32, 3, strides=2, activation="relu"),
            keras.layers.Conv2D(64, 3, strides=2, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(classes),
        ]
    )


def read(file: Path, *overrides: str) -> AuditConfig:
    return read_config(file, (*OFF, *overrides), kinds=ARTEFACT_KINDS, methods=METHODS)


def spent() -> tuple[float, float]:
    """Processor seconds of this process and its workers; and with all others that Ray has started."""
    parents, times, workers = {}, {}, {os.getpid()}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "stat").read_text().rpartition(")")[2].split()
                process = int(entry.name)
                parents[process], times[process] = int(words[1]), int(words[11]) + int(words[12])
                if (entry / "cmdline").read_bytes().startswith(b"ray::Worker"):
                    workers.add(process)
    ours = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in ours} - ours:
        ours |= more
    ticks = os.sysconf("SC_CLK_TCK")
    return tuple(sum(times[process] for process in part) / ticks for part in (ours & workers, ours))


def measure_overhead(folder: Path, runs: int) -> None:
    """Processor seconds of verdicts on a small network, by turns."""
    compare_verdicts("two convolutions, 2,000 images", write_audit(folder, 2000, 10), runs)


def measure_mobile(folder: Path, runs: int) -> None:
    """The same of a network of a usual size."""
    compare_verdicts(f"MobileNetV2, {PICTURES} images", write_audit(folder, PICTURES, 10, is_mobile=True), runs)


def compare_verdicts(what: str, file: Path, runs: int) -> None:
    """What the verdict of an audit takes in one process and on one worker."""
    times = defaultdict[str, list[float]](list)
    spread = read(file, "execution.engine=ray", "execution.workers=1")
    with open_crew(spread) as crew:
        while not crew.room():
            crew.collect()
        for _ in range(runs):
            for name, config, given in (("one process", read(file), None), ("one worker", spread, crew)):
                begun = list[tuple[float, float]]()

                def note(stage: str, done: int, total: int, begun: list[tuple[float, float]] = begun) -> None:
                    if stage == "loading":
                        begun.append(spent())

                run_audit(config, note, crew=given)
                own, everything = (now - then for now, then in zip(spent(), begun[0], strict=True))
                times[name].append(own)
                if given is not None:
                    times["one worker, and what Ray does by itself meanwhile"].append(everything)
    local = statistics.median(times["one process"])
    print(f"| verdict: {what} | processor s, median | least | most | times one process |")
    print("| --- | --- | --- | --- | --- |")
    for name, each in sorted(times.items(), key=lambda item: -statistics.median(item[1])):
        middle = statistics.median(each)
        print(f"| {name} | {middle:.1f} | {min(each):.1f} | {max(each):.1f} | {middle / local:.3f} |")
    print(flush=True)


def measure_bytes(folder: Path, runs: int) -> None:
    """Bytes of what a batch gives, which are the same each time."""
    del runs
    print("| classes | sent back, kB an image | the image, kB as floats | kB at 224 pixels | seconds of the unit |")
    print("| --- | --- | --- | --- | --- |")
    for classes in (1000, 100, 10):
        own = folder / str(classes)
        own.mkdir()
        config = read(write_audit(own, 256, classes), "execution.engine=ray")
        worker = Worker()
        assert hasattr(worker.open(opening_of(config)), "value")
        rows = np.arange(64)
        course = Course(np.arange(256), np.arange(256).astype(str), {0: Chosen("", rows[:0])}, False)
        sight = Sight(rows, (0,), 1, False, 0, True)
        worker.do("look", sight, course, ())  # which traces the model
        started = time.monotonic()
        given = worker.do("look", sight, course, ())
        took = time.monotonic() - started
        sent = len(pickle.dumps(given, protocol=5)) / 64 / 1000
        print(f"| {classes} | {sent:.1f} | {SIDE * SIDE * 3 * 4 / 1000:.1f} | 602.1 | {took:.2f} |")


class Scorer:
    """An actor that holds the model, and scores images by their rows."""

    def __init__(self, folder: str) -> None:
        import keras

        self.model = keras.saving.load_model(Path(folder) / "model.keras")
        self.source = NpzSource(Path(folder) / "images.npz")
        self.model(np.zeros((64, SIDE, SIDE, 3), np.float32), training=False)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        images = np.stack([image for _, image in self.source.stream(sorted(batch["id"].tolist()))])
        return {"id": np.sort(batch["id"]), "scores": self.model(images.astype(np.float32), training=False).numpy()}


def measure_data(folder: Path, runs: int) -> None:
    """Seconds of scoring by actors, which have opened the model before, and by Ray Data, which opens it each time."""
    write_audit(folder, 5000, 10)
    count, size, times = 5000, 64, {"actors": list[float](), "Ray Data": list[float]()}
    with cluster(ExecutionConfig(engine="ray", workers=4), "here") as ray:
        ray.data.DataContext.get_current().enable_progress_bars = False
        kind = ray.remote(Scorer)
        actors = [kind.options(num_cpus=0.5).remote(str(folder)) for _ in range(2)]
        batches = [np.arange(at, min(at + size, count)) for at in range(0, count, size)]
        pool = ray.util.ActorPool(actors)

        def by_actors() -> float:
            return sum(
                float(part["scores"].sum(dtype=np.float64))
                for part in pool.map(lambda actor, rows: actor.__call__.remote({"id": rows}), batches)
            )

        def by_data() -> float:
            found = ray.data.range(count).map_batches(
                Scorer, fn_constructor_args=(str(folder),), batch_size=size, concurrency=2, num_cpus=0.5
            )
            return sum(float(part["scores"].sum(dtype=np.float64)) for part in found.iter_batches(batch_size=size))

        by_actors()
        for _ in range(runs):
            sums = []
            for name, score in (("actors", by_actors), ("Ray Data", by_data)):
                started = time.monotonic()
                sums.append(score())
                times[name].append(time.monotonic() - started)
            assert abs(sums[0] - sums[1]) < 1e-3 * abs(sums[0])
        started = time.monotonic()
        ray.get(ray.remote(Scorer).options(num_cpus=0.5).remote(str(folder)).__call__.remote({"id": np.arange(64)}))
        opening = time.monotonic() - started
    least = statistics.median(times["actors"])
    print("| 5,000 images scored | seconds, median | least | most | times actors |\n| --- | --- | --- | --- | --- |")
    for name, each in sorted(times.items(), key=lambda item: -statistics.median(item[1])):
        middle = statistics.median(each)
        print(f"| {name} | {middle:.1f} | {min(each):.1f} | {max(each):.1f} | {middle / least:.2f} |")
    print(f"\nAn actor takes {opening:.1f} s to open the model; Ray Data starts new ones each time, ours stay.")


MEASURES = {"overhead": measure_overhead, "mobile": measure_mobile, "bytes": measure_bytes, "data": measure_data}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("what", nargs="*", choices=MEASURES)
    asked = parser.parse_args()
    for name in asked.what or MEASURES:
        with tempfile.TemporaryDirectory() as folder:
            MEASURES[name](Path(folder), asked.runs)
        print()


if __name__ == "__main__":
    main()
