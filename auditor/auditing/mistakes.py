"""Mistakes of the user that accuracy gives away: classes in another order, pixels in another range.

Whatever is concluded of a model whose outputs go by the wrong names, or that is fed with pixels it was not made for, is
about another model. So each order and range is tried on some labelled images, and where one is far better than what was
said, that is told, and no verdict is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from auditor.measure.arrays import Bools, Groups, Ints
from auditor.measure.intervals import change_interval, share_interval
from auditor.measure.seeds import audit_generator
from auditor.subject.data.sample import Dataset
from auditor.subject.model.classifier import Classifier
from auditor.subject.model.keras import KerasClassifier
from auditor.subject.model.pixels import USUAL, Range
from auditor.subject.scoring import score_batches

LEVEL = 0.95

FAR_BETTER = 0.2
"""Share of the images by which another order or range must do better, at the least, to be called the right one."""


@dataclass(frozen=True)
class Mistake:
    """What is probably wrong, and what would be right."""

    kind: Literal["labels", "range", "chance"]
    text: str
    """A sentence."""
    labels: tuple[str, ...] | None = None
    """The names of the classes in the order that is far better."""
    input_range: Range | None = None
    """The pixel range that is far better."""


def find_mistakes(classifier: Classifier, dataset: Dataset, seed: int = 0) -> list[Mistake]:
    """Whether accuracy on some labelled images says that labels or pixel range are wrong.

    Nothing is found out about multilabel models, and where fewer than a dozen images have a label.
    """
    if dataset.truth is None or classifier.output == "multilabel":
        return []
    labelled = audit_generator(seed, "mistakes").permutation(np.flatnonzero(dataset.labelled))[:_MOST]
    truth, predicted, groups = _look(classifier, dataset, labelled)
    if len(truth) < _FEWEST:
        return []
    right = truth == predicted
    if right.mean() >= _FINE:
        return []
    found = [_find_order(truth, predicted, groups, classifier.classes, seed)]
    found += [_find_range(classifier, dataset, labelled, right)] if isinstance(classifier, KerasClassifier) else []
    mistakes = [mistake for mistake in found if mistake is not None]
    return mistakes or _find_chance(truth, right, groups)


def _look(classifier: Classifier, dataset: Dataset, rows: Ints) -> tuple[Ints, Ints, Groups]:
    """Class, predicted class and group of each of some images that can be read."""
    truth, predicted, groups = [], [], []
    for batch, scores in score_batches(classifier, dataset, 64, sorted(rows.tolist())):
        assert dataset.truth is not None
        truth.append(dataset.truth[batch.positions].argmax(axis=1))
        predicted.append(scores.argmax(axis=1))
        groups.append(dataset.groups[batch.positions])
    if not truth:
        return np.empty(0, int), np.empty(0, int), np.empty(0, object)
    return np.concatenate(truth), np.concatenate(predicted), np.concatenate(groups)


def _find_order(truth: Ints, predicted: Ints, groups: Groups, classes: tuple[str, ...], seed: int) -> Mistake | None:
    """The order of the names that fits best, found on one half of the images and tried on the other."""
    halves = audit_generator(seed, "halves of mistakes").permutation(len(truth)) % 2 == 0
    counts = np.zeros((len(classes), len(classes)))
    np.add.at(counts, (predicted[halves], truth[halves]), 1)
    _, names = linear_sum_assignment(counts + 1e-3 * np.eye(len(classes)), maximize=True)
    other = ~halves
    better, now = names[predicted[other]] == truth[other], predicted[other] == truth[other]
    if not _is_far_better(better, now, groups[other]):
        return None
    order = tuple(classes[at] for at in names)
    told = ", ".join(order[:12]) + (", …" if len(order) > 12 else "")
    text = f"With the classes in the order {told} the model is right on {_share(better)}, as written on {_share(now)}"
    says_so = f"; labels = [{', '.join(map(repr, order))}] under [model] says so" if len(order) <= 12 else ""
    return Mistake("labels", f"{text}: labels and outputs do not match{says_so}.", labels=order)


def _find_range(classifier: KerasClassifier, dataset: Dataset, rows: Ints, now: Bools) -> Mistake | None:
    """The usual pixel range that the model does far better in than in its own."""
    tried: dict[Range, Bools] = {}
    for limits in USUAL if classifier.input_range is not None else ():
        if limits != classifier.input_range:
            truth, predicted, groups = _look(classifier.fed_in(limits), dataset, rows)
            if len(truth) == len(now) and _is_far_better(truth == predicted, now, groups):
                tried[limits] = truth == predicted
    if not tried or classifier.input_range is None:
        return None
    best = max(tried, key=lambda limits: tried[limits].sum())
    told, said = (f"[{low:g}, {high:g}]" for low, high in (best, classifier.input_range))
    text = f"Fed with pixels in {told} the model is right on {_share(tried[best])}, in {said} on {_share(now)}"
    return Mistake("range", f"{text}; input_range = {told} under [model] says so.", input_range=best)


def _find_chance(truth: Ints, right: Bools, groups: Groups) -> list[Mistake]:
    """Whether the model is right on fewer images than whoever always says the same."""
    commonest = np.bincount(truth).max() / len(truth)
    accuracy = share_interval(right, groups, LEVEL)
    if accuracy.high is None or accuracy.high >= min(commonest, 1 / max(len(np.unique(truth)), 2)):
        return []
    text = f"The model is right on {_share(right)} of {len(right)} labelled images, which is less than by guessing"
    return [Mistake("chance", f"{text}: labels, pixels or preprocessing are not what it was trained on.")]


def _is_far_better(better: Bools, now: Bools, groups: Groups) -> bool:
    gain = change_interval(better, now, groups, LEVEL)
    return gain.against(0) == "above" and (gain.value or 0) > FAR_BETTER


def _share(right: Bools) -> str:
    return f"{100 * right.mean():.0f} %"


_MOST, _FEWEST, _FINE = 256, 12, 0.8
"""Images to look at; fewer than these tell nothing; a model that is right on such a share is not looked at further."""
