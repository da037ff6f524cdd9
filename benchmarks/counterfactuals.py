"""How fast, how sure and how much in place the least changes of the example models are.

    python benchmarks/counterfactuals.py

For 16 images in each direction, on the planted model and its clean twin: seconds, their ratio to the same number of
bare passes (one batched `tf.function` that computes scores and a gradient), passes of an image, success, the median
share of the change in the watermark, and its L0; the same in fewer and more steps; then by FISTA at 11 fixed trade-offs
(bracketing and bisection, 40 steps each), which is what the one descent of `find_counterfactuals` replaces. First, how
much of the effect of a watermark that was really put in survives a blur of the change: what the rule's threshold is
held against.
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

from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.auditing.opening import open_subject
from auditor.config.file import read_config
from auditor.explain.counterfactual.adversarial import SURVIVES, energy, find_traits
from auditor.explain.counterfactual.search import Cost, away_from, find_counterfactuals, margins, towards
from auditor.explain.table import METHODS
from auditor.measure.arrays import take

ROOT = Path(__file__).resolve().parents[1]
IMAGES, RUNS, CONFIDENCE = 16, 3, 0.1
OTHER_STEPS = (20, 40, 60)


def make_bare(folder: Path):
    model = keras.models.load_model(folder / "model.keras")

    @tf.function(input_signature=[tf.TensorSpec((IMAGES, 28, 28, 1))])
    def step(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            scores = model(images, training=False)[:, 0]
        return tape.gradient(scores, images)

    return lambda images: step(images * 255.0).numpy()


def bisect(classifier, images, aim, cost: Cost):
    """FISTA at a trade-off that is searched for from outside: the textbook."""
    count = len(images)
    best, found = np.full(count, np.inf), np.zeros_like(images)
    low, high, trade = np.zeros(count), np.full(count, np.inf), np.full(count, 0.1)
    for _ in range(11):
        change, at, speed, reached_once = np.zeros_like(images), np.zeros_like(images), 1.0, np.zeros(count, bool)
        for _ in range(40):
            here = classifier.linearise(np.clip(images + at, 0, 1))
            values, slopes = margins(here.scores, aim, classifier.output)
            reached = values >= CONFIDENCE
            reached_once |= reached
            price = cost.of(at)
            better = reached & (price < best)
            best[better], found[better] = price[better], at[better]
            pull = np.where(reached, 0, trade)[:, None, None, None].astype(np.float32)
            stepped = at - 0.5 * (at - pull * here.pull_back(slopes, {}))
            shrunk = np.sign(stepped) * np.maximum(np.abs(stepped) - 0.5 * cost.l1, 0)
            moved = np.clip(images + shrunk, 0, 1) - images
            faster = (1 + np.sqrt(1 + 4 * speed**2)) / 2
            at = (np.clip(images + moved + (speed - 1) / faster * (moved - change), 0, 1) - images).astype(np.float32)
            change, speed = moved, faster
        high = np.where(reached_once, np.minimum(high, trade), high)
        low = np.where(reached_once, low, np.maximum(low, trade))
        trade = np.where(
            np.isinf(high), 4 * trade, np.where(low == 0, trade / 4, np.sqrt(np.maximum(low, 1e-9) * high))
        )
    return found, np.isfinite(best), 440 * count


def main() -> None:
    cost = Cost()
    for folder, file in (("planted", "audit.toml"), ("clean_twin", "examples/clean_twin/audit.toml")):
        subject = open_subject(read_config(ROOT / file, kinds=ARTEFACT_KINDS, methods=METHODS))
        classifier, dataset, mask = (
            subject.classifier.sized(IMAGES),
            subject.dataset,
            subject.artefacts[0].appearance.fixed_region,
        )
        images, bare = dataset.images(range(len(dataset))), make_bare(ROOT / "examples" / folder)
        target = classifier.classes.index("Coat")
        truth, said = dataset.truth.argmax(axis=1), classifier.scores(images).argmax(axis=1)
        order = np.random.default_rng(0).permutation(len(images))
        coats = order[((truth == target) & (said == target))[order]][:IMAGES]
        others = order[((truth != target) & (said != target))[order]][:IMAGES]
        wrong = order[(truth != said)[order]][:IMAGES]
        aims = {
            "coats away from Coat": (coats, away_from(np.full(len(coats), target))),
            "others towards Coat": (others, towards(np.full(len(others), target))),
            "errors towards the truth": (wrong, towards(truth[wrong])),
        }
        bare(images[:IMAGES])
        if folder == "planted":
            marked = subject.artefacts[0].appearance.insert(images[others])
            survival = find_traits(classifier, images[others], marked, towards(np.full(len(others), target))).survival
            low, median, high = np.percentile(survival, [10, 50, 90])
            print(f"inserted watermark: {median:.2f} ({low:.2f} to {high:.2f}) survives; threshold {SURVIVES}")
        for name, (rows, aim) in aims.items():
            chosen = images[rows]
            seconds, ratios = [], []
            find_counterfactuals(classifier, chosen[:2], take(aim, np.arange(2)), cost=cost, steps=5)
            for _ in range(RUNS):
                started = time.perf_counter()
                result = find_counterfactuals(classifier, chosen, aim, cost=cost, confidence=CONFIDENCE)
                middle = time.perf_counter()
                for _ in range(result.passes // len(rows)):
                    bare(images[:IMAGES])
                seconds.append(middle - started)
                ratios.append(seconds[-1] / (time.perf_counter() - middle))
            changes, found, passes = result.images - chosen, result.found, result.passes
            tell(folder, name, "one descent", seconds, ratios, passes, changes, found, mask, cost)
            for steps in OTHER_STEPS:
                started = time.perf_counter()
                other = find_counterfactuals(classifier, chosen, aim, cost=cost, confidence=CONFIDENCE, steps=steps)
                seconds, changes = [time.perf_counter() - started], other.images - chosen
                tell(folder, name, f"{steps} steps", seconds, [], other.passes, changes, other.found, mask, cost)
            started = time.perf_counter()
            changes, found, passes = bisect(classifier, chosen, aim, cost)
            tell(folder, name, "11 trade-offs", [time.perf_counter() - started], [], passes, changes, found, mask, cost)


def tell(folder, name, how, seconds, ratios, passes, changes, found, mask, cost) -> None:
    heat = energy(changes[found])
    share = np.median(heat[:, mask].sum(axis=1) / np.maximum(heat.sum(axis=(1, 2)), 1e-12))
    touched = np.median((np.abs(changes[found]) > 1 / 510).any(axis=-1).mean(axis=(1, 2)))
    against = f", {statistics.median(ratios):.2f} times the bare passes" if ratios else ""
    print(
        f"{folder:10s} {name:25s} {how:13s} {len(found)} images in {statistics.median(seconds):5.2f} s{against}; "
        f"{passes / len(found):.0f} passes of an image; found "
        f"{found.mean():.0%}; in the watermark {share:.1%} (its area {mask.mean():.1%}); pixels {touched:.1%}; "
        f"median cost {np.median(cost.of(changes)[found]):.4f}"
    )


if __name__ == "__main__":
    main()
