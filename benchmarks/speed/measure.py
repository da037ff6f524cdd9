"""Measures one network in this process: ours and the peers in turn; writes what it found as JSON.

    python benchmarks/speed/measure.py NETWORK FOLDER METHOD,.. IMAGES...

See `run.py`, which makes the environment for it and draws the tables.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from networks import make_network, make_photographs
from peers import METHODS, NOISE, Explain, open_peers

from auditor.explain.attribution.methods import ATTRIBUTIONS, WITHOUT_GRADIENT
from auditor.explain.attribution.question import ask
from auditor.subject.model.keras import KerasClassifier


@dataclass(frozen=True)
class Effort:
    """How thoroughly a network is measured."""

    known: int
    """Images whose errors are measured: the first ones."""
    nodes: int
    samples: int
    """Of the references that errors are measured against."""
    steps: tuple[int, ...]
    """Of peers' paths, at which their errors are measured; in between, and beyond, on a line in logarithms."""
    limit: int
    """Gradients that one timed call of a peer makes at most; what more it would need is counted in proportion."""
    most_samples: dict[int, int]
    """Noisy samples that ours may take, by the number of images; peers are held to the error that ours then has."""
    repeats: dict[int, int]
    """By the number of images."""
    more_of_short: int
    """Times as many repeats of a gradient or Grad-CAM, which take milliseconds."""


SMALL = Effort(
    known=4,
    nodes=2000,
    samples=800,
    steps=(4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192),
    limit=128,
    most_samples={1: 512, 4: 512, 64: 512},
    repeats={1: 3, 4: 3, 64: 1},
    more_of_short=15,
)
DEEP = Effort(
    known=2,
    nodes=1000,
    samples=400,
    steps=(12, 24, 48, 96),
    limit=64,
    most_samples={1: 64, 4: 64, 64: 16},
    repeats={1: 3, 4: 3, 64: 1},
    more_of_short=3,
)
"""A map of 64 noisy samples is far from still on deep networks, for anyone."""

EXACT = ("gradient", "grad_cam")
"""Methods that have no error, and need no references."""

BASELINE = "black"
"""The only one that all peers know."""


def main() -> None:
    network, folder, methods = sys.argv[1], Path(sys.argv[2]), sys.argv[3].split(",")
    counts = [int(word) for word in sys.argv[4:]]
    effort = SMALL if network == "small" else DEEP
    warnings.simplefilter("ignore")
    model = make_network(network, folder)
    images, _ = make_photographs(model.input_shape[1])
    images = images[: max(counts)]
    classifier = KerasClassifier(model, input_range=(0.0, 1.0), batch_size=64 if network == "small" else 32)
    targets = classifier.scores(images).argmax(axis=1)
    layer = classifier.feature_layers[0]
    peers, missing = open_peers(model, layer)
    found: dict[str, Any] = {"network": network, "missing": missing, "cells": []}
    known, laws = None, {}
    for method in methods:
        if method not in EXACT and known is None:
            some = images[: effort.known], targets[: effort.known]
            known = Reference(classifier, *some, effort)
        if method == "integrated_gradients":
            laws = {name: find_law(explain, *some, known, effort.steps) for name, explain in peers.items()}
        for count in counts:
            own = ours(classifier, effort.most_samples[count], layer)[method]
            subject = images[:count], targets[:count]
            found["cells"].append(compare(effort, method, subject, own, peers, laws, known))
            (folder / f"{network}.json").write_text(json.dumps(found, indent=1))


class Reference:
    """Maps that errors are measured against: by many nodes, and by many samples with what is unsure of them."""

    def __init__(self, classifier: KerasClassifier, images: np.ndarray, targets: np.ndarray, effort: Effort) -> None:
        nodes, self.samples = effort.nodes, effort.samples
        self.paths, self.smooth, self.spread = [], [], []
        random = np.random.default_rng(7)
        for image, target in zip(images, targets, strict=True):
            places = (np.arange(nodes) + 0.5) / nodes
            total = 0.0
            for part in np.array_split(places, nodes // 50):
                points = (part[:, None, None, None] * image).astype(np.float32)
                total = total + classifier.differentiate(points, np.full(len(part), target)).gradient.sum(axis=0)
            self.paths.append(image * total / nodes)
            mean, square = 0.0, 0.0
            for _ in range(self.samples // 50):
                noisy = image + random.normal(0, NOISE, (50, *image.shape)).astype(np.float32)
                slopes = classifier.differentiate(noisy, np.full(50, target)).gradient.astype(np.float64)
                mean, square = mean + slopes.sum(axis=0), square + np.square(slopes).sum(axis=0)
            mean = mean / self.samples
            self.smooth.append(mean)
            self.spread.append(float((square / self.samples - mean**2).sum()) * self.samples / (self.samples - 1))

    @property
    def sizes(self) -> np.ndarray:
        """Squared length of each true mean under noise, without what chance adds to that of the sample's mean."""
        return np.array([np.square(m).sum() - v / self.samples for m, v in zip(self.smooth, self.spread, strict=True)])

    def error(self, method: str, maps: np.ndarray) -> float:
        """Relative error of the maps of the first images, root mean square; chance in the reference taken off."""
        known = self.paths if method == "integrated_gradients" else self.smooth
        pairs = list(zip(maps, known, strict=False))
        gaps = np.array([np.square(one - other).sum() for one, other in pairs])
        if method == "integrated_gradients":
            sizes = np.array([np.square(other).sum() for _, other in pairs])
        else:
            sizes = self.sizes[: len(pairs)]
            gaps = gaps - np.array(self.spread[: len(pairs)]) / self.samples
        return float(np.sqrt(max(np.mean(gaps / sizes), 0)))

    def samples_for(self, error: float, count: int) -> float:
        """Independent samples of each image that give this error."""
        return float(np.mean((np.array(self.spread) / self.sizes)[:count]) / error**2)


Law = dict[int, float]
"""Errors of a peer's paths by the number of steps; empty where it has no paths."""


def find_law(
    explain: dict[str, Explain], images: np.ndarray, targets: np.ndarray, known: Reference, steps: tuple[int, ...]
) -> Law:
    """Errors of a peer's paths."""
    path = explain.get("integrated_gradients")
    return {} if path is None else {n: known.error("integrated_gradients", path(images, targets, n)) for n in steps}


def steps_for(error: float, law: Law) -> float:
    """Steps at which a peer has this error, between those that were measured, or beyond them on the same line."""
    steps, logs = np.log(list(law)), np.minimum.accumulate(np.log(list(law.values())))
    at = int(np.clip(np.searchsorted(-logs, -np.log(error)), 1, len(steps) - 1))
    slope = (steps[at] - steps[at - 1]) / min(logs[at] - logs[at - 1], -1e-9)
    return float(np.exp(steps[at - 1] + slope * (np.log(error) - logs[at - 1])))


def ours(classifier: KerasClassifier, most: int, layer: str) -> dict[str, Explain]:
    """Our methods, each with the pass that it needs before, and SmoothGrad with at most so many samples."""
    options: dict[str, dict[str, Any]] = {
        "gradient": {},
        "grad_cam": {"layers": (layer,)},
        "smoothgrad": {"noise": NOISE, "samples": most},
        "integrated_gradients": {"baselines": (BASELINE,)},
    }

    def make(method: str) -> Explain:
        def explain(images: np.ndarray, targets: np.ndarray, amount: int = 0) -> Any:
            ids = [str(number) for number in range(len(images))]
            layers, function = (layer,) if method == "grad_cam" else (), ATTRIBUTIONS[method]
            told = {"ids": ids, "mean_image": images[0], "layers": layers}
            question = ask(classifier, images, targets, by_pixels=function not in WITHOUT_GRADIENT, **told)
            return next(iter(function(question, **options[method]).values()))

        return explain

    return {method: make(method) for method in METHODS}


def compare(
    effort: Effort,
    method: str,
    subject: tuple[np.ndarray, np.ndarray],
    own: Explain,
    peers: dict[str, dict[str, Explain]],
    laws: dict[str, Law],
    known: Reference | None,
) -> dict[str, Any]:
    """One cell of the table: milliseconds of processor time an image, and what each took for the same error."""
    count = len(subject[0])
    answer: Any = own(*subject, 0)
    error = None if known is None or method in EXACT else known.error(method, answer.maps)
    spent = [key for key in ("nodes", "samples", "gradients") if key in answer.diagnostics]
    cell: dict[str, Any] = {"method": method, "images": count, "error": error, "peers": {}}
    cell["amount"] = float(np.mean(answer.diagnostics[spent[-1]])) if spent else 1.0
    calls: dict[str, tuple[Callable[[], Any], float]] = {"ours": (lambda: own(*subject, 0), 1.0)}
    for name, explain in peers.items():
        if method not in explain:
            continue
        needed = 1.0
        if known is not None and error is not None:
            by_path = method == "integrated_gradients"
            needed = steps_for(error, laws[name]) if by_path else known.samples_for(error, count)
        amount = max(2, min(round(needed), effort.limit // count))
        cell["peers"][name] = {"amount": needed}
        calls[name] = (lambda explain=explain, amount=amount: explain[method](*subject, amount)), needed / amount
        if error is None:
            calls[name] = calls[name][0], 1.0
    times: dict[str, list[float]] = {name: [] for name in calls}
    times_more = 1 if error is not None else effort.more_of_short
    random = np.random.default_rng(0)
    for repeat in range(effort.repeats[count] * times_more + 1):
        for name in random.permutation(list(calls)):  # who comes after a large one finds nothing in the caches
            call, share = calls[name]
            started = time.process_time()
            call()
            if repeat:
                times[name].append((time.process_time() - started) * share / count * 1000)
    for name, values in times.items():
        (cell if name == "ours" else cell["peers"][name])["ms"] = float(np.median(values))
    return cell


if __name__ == "__main__":
    main()
