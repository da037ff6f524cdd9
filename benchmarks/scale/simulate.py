"""A platform simulated: 1,000 models of 1,000,000 images each, on 256 workers of which some are slow and some are lost.

    python benchmarks/scale/simulate.py [--models 1000] [--images 1000000] [--workers 256] [--pictures docs/pictures]

Nothing is audited. A unit is a batch of 64 images with all that is tried on them. How many images a verdict takes is
drawn as decision 26 has it: an audit ends at the first look (300 images, then twice as many each time) at which an
effect that lies so far from the margin is clear at a fiftieth of the level. What is assumed is printed first, then what
comes of it, the worst first. Where all images are tried the units are 50 times as large, so that there are not too many
to simulate: what is lost with a node is then too much.
"""

from __future__ import annotations

import argparse
import heapq
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BATCH, ARTEFACTS, EDITS, ONCE, CLASSES = 64, 3, 12, 1000, 1000
SECONDS_PER_PASS = 0.001
"""Of a GPU, with the edits on its processors: assumed, for none was at hand."""
EXPLAINING = 120_000
"""Passes of the explanations of a model with three artefacts, an image differentiated counted three times: assumed."""
TAIL, SLOWER = 0.05, 20.0
"""One unit in twenty is a straggler: Pareto of 1.5, so many times as long at the most."""
NODE_HOURS, ON_A_NODE, RETURN = 500.0, 8, 600.0
"""A node of eight workers is lost about every so many hours, and is back after so many seconds."""
POISON = 1e-5
"""Share of units that end every worker, as pictures do that a library of the system dies of."""
TRIES = 3
BYTES_OF_AN_IMAGE = CLASSES * (2 + ARTEFACTS * 15) * 4
"""Of scores and what is made of them that the process that decides holds: benchmarks/scale/costs.py."""


@dataclass(frozen=True)
class Policy:
    """How units are handed out."""

    name: str
    is_whole: bool = False
    """One worker does a model by itself."""
    is_largest_first: bool = False
    late: float = 0.0
    """A unit that takes so many times the mean is begun once more elsewhere, and the first to end counts."""


POLICIES = (
    Policy("a model on one worker, as listed", is_whole=True),
    Policy("a model on one worker, largest first", is_whole=True, is_largest_first=True),
    Policy("units, models by turns"),
    Policy("units, largest model first", is_largest_first=True),
    Policy("units, largest first, copies of stragglers", is_largest_first=True, late=3.0),
)


@dataclass
class Outcome:
    """What came of a simulation."""

    hours: float
    busy: float
    """Worker hours that ended in a result ..."""
    wasted: float
    """... and those that did not: lost with a node, ended by a picture, or done twice."""
    lost: int
    failed: int
    """Units that failed three times ..."""
    innocent: int
    """... and those of them that no picture is to blame for."""
    ends: np.ndarray
    """(models,): hours at which each was done."""


def draw_images(random: np.random.Generator, models: int, most: int, spread: float = 0.3) -> np.ndarray:
    """Images that each model's verdicts take, those of its hardest artefact, (models,).

    Effects lie `spread` standard deviations of one image's effect from the margin.
    """
    apart = np.abs(random.normal(0, spread, (models, ARTEFACTS))).min(axis=1)
    needed = (3.9 / np.maximum(apart, 1e-9)) ** 2
    taken = np.full(models, most)
    for look in reversed([300 * 2**step for step in range(32) if 600 * 2**step <= most]):
        taken[needed <= look] = look
    return taken


class Queue:
    """Which unit a worker gets next."""

    def __init__(self, units: np.ndarray, policy: Policy) -> None:
        order = np.argsort(-units, kind="stable") if policy.is_largest_first else np.arange(len(units))
        self._models = deque(int(model) for model in order if units[model])
        self._left, self._again, self._policy = units.copy(), deque[tuple[int, int, bool]](), policy
        self._mine: dict[int, int] = {}

    def take(self, worker: int) -> tuple[int, int, bool] | None:
        """A model, how often the unit was tried, and whether it ends every worker; None where nothing is left."""
        if self._again:
            return self._again.popleft()
        if self._policy.is_whole:
            model = self._mine.get(worker, -1)
            if model < 0 or not self._left[model]:
                if not self._models:
                    return None
                model = self._mine[worker] = self._models.popleft()
            self._left[model] -= 1
            return model, 0, False
        if not self._models:
            return None
        model = self._models[0]
        self._left[model] -= 1
        if not self._left[model]:
            self._models.popleft()
        elif not self._policy.is_largest_first:
            self._models.rotate(-1)
        return model, 0, False

    def put_back(self, model: int, tries: int, is_poison: bool) -> None:
        """A unit that failed is the next to be taken."""
        self._again.append((model, tries, is_poison))


def simulate(units: np.ndarray, mean: float, workers: int, policy: Policy, seed: int = 0) -> Outcome:
    """Do so many units of each model, (models,), of so many seconds on average."""
    random, queue = np.random.default_rng(seed), Queue(units, policy)
    failure = random.exponential(3600 * NODE_HOURS, -(-workers // ON_A_NODE))
    undone, out = units.copy(), Outcome(0.0, 0.0, 0.0, 0, 0, 0, np.zeros(len(units)))
    events: list[tuple[float, int, int, tuple[int, int, bool, str, float] | None]] = []
    for worker in range(workers):
        heapq.heappush(events, (0.0, worker, worker, None))
    idle: list[int] = []
    number = workers
    while events:
        now, _, worker, ended = heapq.heappop(events)
        if ended is not None:
            model, tries, is_poison, how, took = ended
            out.busy, out.wasted = out.busy + took * (how == "done"), out.wasted + took * (how != "done")
            if how == "done" or tries == TRIES:
                undone[model] -= 1
                out.failed += how != "done"
                out.innocent += how == "lost"
                out.ends[model], out.hours = now / 3600, now / 3600
            else:
                queue.put_back(model, tries, is_poison)
                while idle:
                    number += 1
                    heapq.heappush(events, (now, number, idle.pop(), None))
            if how == "lost":
                out.lost += 1
                number += 1
                heapq.heappush(events, (now + RETURN, number, worker, None))
                continue
        given = queue.take(worker)
        if given is None:
            idle.append(worker)
            continue
        model, tries, is_poison = given
        is_poison = is_poison or (not tries and random.random() < POISON)
        node, how = worker // ON_A_NODE, "done"
        took = mean * random.lognormal(0, 0.1)
        if random.random() < TAIL:
            slow = took * min(SLOWER, 1 + random.pareto(1.5))
            again = policy.late * mean + took
            if policy.late and again < slow:
                out.wasted += took
                slow = again
            took = slow
        while failure[node] < now:
            failure[node] += random.exponential(3600 * NODE_HOURS)
        if now + took > failure[node]:
            how, took = "lost", failure[node] - now
        elif is_poison:
            how = "ended"
        number += 1
        heapq.heappush(events, (now + took, number, worker, (model, tries + 1, is_poison, how, took)))
    out.busy, out.wasted = out.busy / 3600, out.wasted / 3600
    return out


def draw(file: Path, title: str, curves: dict[str, tuple[np.ndarray, np.ndarray]], across: str, up: str) -> None:
    """A picture of some curves, as SVG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for name, (at, values) in curves.items():
        axes.plot(at, values, label=name)
    axes.set(title=title, xlabel=across, ylabel=up, xscale="log")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--models", type=int, default=1000)
    arguments.add_argument("--images", type=int, default=1_000_000)
    arguments.add_argument("--workers", type=int, default=256)
    arguments.add_argument("--pictures", type=Path)
    chosen = arguments.parse_args()
    models, most, workers = chosen.models, chosen.images, chosen.workers
    looked = draw_images(np.random.default_rng(1), models, most)
    of_image, of_model = 1 + ARTEFACTS * EDITS, ARTEFACTS * ONCE + EXPLAINING
    print(
        f"assumed: {1000 * SECONDS_PER_PASS:g} ms a pass, {ARTEFACTS} artefacts, {CLASSES} classes, a node lost every"
    )
    print(f"{NODE_HOURS:g} hours, one unit in {1 / TAIL:g} a straggler, {POISON:g} of the units end every worker\n")
    print("| asked of each model | images | passes | worker hours | TB of scores sent | GB held, the largest model |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, images in (("all images", np.full(models, most)), ("as many as a verdict takes", looked)):
        passes = float((images * of_image + of_model).sum())
        sent, held = images.sum() * of_image * CLASSES * 8 / 1e12, images.max() * BYTES_OF_AN_IMAGE / 1e9
        hours = passes * SECONDS_PER_PASS / 3600
        print(f"| {name} | {images.sum():,} | {passes:.3g} | {hours:,.0f} | {sent:,.1f} | {held:,.0f} |")
    print(f"\nmodels tried to the last image: {np.mean(looked == most):.1%}; at 300: {np.mean(looked == 300):.1%}")
    shares = [np.mean(looked * BYTES_OF_AN_IMAGE > gigabytes * 1e9) for gigabytes in (16, 64, 256)]
    print(
        "models whose deciding process needs more than 16, 64, 256 GB: " + ", ".join(f"{each:.1%}" for each in shares)
    )

    curves = {}
    for name, images, factor in (("all images", np.full(models, most), 50), ("as verdicts take", looked, 1)):
        units = np.maximum(1, np.round((images * of_image + of_model) / (BATCH * of_image * factor))).astype(np.int64)
        mean = BATCH * of_image * SECONDS_PER_PASS * factor
        ideal = units.sum() * mean / 3600 / workers
        print(f"\n{name}, {units.sum():,} units of {mean:.0f} s; {ideal:.1f} hours at the least\n")
        print(
            "| times the least | handed out | hours | half of the models after | wasted | units lost | failed thrice |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- |")
        rows = []
        for policy in POLICIES:
            found = simulate(units, mean, workers, policy)
            wasted = found.wasted / (found.busy + found.wasted)
            cells = f"{policy.name} | {found.hours:.1f} | {np.median(found.ends):.1f} | {wasted:.1%} | {found.lost}"
            rows.append((found.hours / ideal, f"| {cells} | {found.failed} ({found.innocent} by nodes alone) |"))
            curves[f"{name}: {policy.name}"] = np.sort(found.ends), np.arange(1, models + 1) / models
        for times, row in sorted(rows, reverse=True):
            print(f"| {times:.2f} {row}")
    if chosen.pictures:
        for name, file in (("all images", "scale-all.svg"), ("as verdicts take", "scale-looks.svg")):
            own = {key.partition(": ")[2]: curve for key, curve in curves.items() if key.startswith(name)}
            draw(chosen.pictures / file, f"{models:,} models on {workers} workers, {name}", own, "hours", "models done")
        at = np.sort(looked)
        share = {"images that a verdict takes": (at, np.arange(1, models + 1) / models)}
        draw(chosen.pictures / "scale-images.svg", "What looks on the way leave needless", share, "images", "models")


if __name__ == "__main__":
    main()
