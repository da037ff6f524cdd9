"""Mistakes of the user that accuracy gives away: classes in another order, pixels in another range.

Whatever is concluded of a model whose outputs go by the wrong names, or that is fed with pixels it was not made for, is
about another model. So each order and range is tried on some labelled images, and where one is far better than what was
said, that is told, and no verdict is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from auditor.measure.arrays import Bools, Groups, Ints
from auditor.measure.intervals import change_interval, share_interval
from auditor.measure.measurement import Measurement
from auditor.measure.seeds import audit_generator
from auditor.subject.data.sample import Dataset
from auditor.subject.model.classifier import Classifier
from auditor.subject.model.keras import KerasClassifier
from auditor.subject.model.pixels import USUAL, Range
from auditor.subject.scoring import score_batches

LEVEL = 0.95

FAR_BETTER = 0.15
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


@dataclass(frozen=True)
class Seen:
    """Some images that have a class, and which class the model thinks likeliest."""

    has: Bools
    """(n, classes): one of each, or several of a multilabel model."""
    predicted: Ints
    """(n,): the class of the highest score."""
    groups: Groups

    @property
    def right(self) -> Bools:
        """(n,): whether the image has that class."""
        return self.right_as(np.arange(self.has.shape[1]))

    def right_as(self, names: Ints) -> Bools:
        """The same (n,), if the outputs stood for the classes of these numbers."""
        return np.asarray(self.has[np.arange(len(self.has)), names[self.predicted]])


@dataclass(frozen=True)
class Fit:
    """The order of the classes that fits some images best."""

    names: Ints
    """(outputs,): the class that each output stands for, found on all images."""
    gain: Measurement
    """By how much the order found on a half of the images does better than that as written, on the other half."""

    @property
    def seems_better(self) -> bool:
        """Whether it does far better, be it by chance."""
        return (self.gain.value or 0) > FAR_BETTER

    @property
    def is_far_better(self) -> bool:
        """Whether it does far better, and not by chance."""
        return self.seems_better and self.gain.against(0) == "above"


def find_mistakes(
    classifier: Classifier, dataset: Dataset, seed: int = 0, left_out: Bools | None = None
) -> list[Mistake]:
    """Whether accuracy on some labelled images says that labels or pixel range are wrong.

    Nothing is found out where fewer than a dozen images have a label. Of an image with several classes, what counts is
    whether that of the highest score is among them.

    Parameters
    ----------
    left_out
        (images,): those that carry an artefact, which the model may go by.
    """
    if dataset.truth is None:
        return []
    free = dataset.truth.any(axis=1) & (dataset.labelled if left_out is None else dataset.labelled & ~left_out)
    labelled = audit_generator(seed, "mistakes").permutation(np.flatnonzero(free))[:_MOST]
    seen = _look(classifier, dataset, labelled)
    if len(seen.has) < FEWEST or seen.right.mean() >= _FINE:
        return []
    found = [_find_order(classifier, dataset, seen, seed)]
    found += [_find_range(classifier, dataset, labelled, seen.right)] if isinstance(classifier, KerasClassifier) else []
    mistakes = [mistake for mistake in found if mistake is not None]
    return mistakes or _find_chance(seen)


def fit_order(seen: Seen, seed: int = 0) -> Fit:
    """The class that each output most probably stands for, by what the model says of labelled images."""
    halves = audit_generator(seed, "halves of mistakes").permutation(len(seen.has)) % 2 == 0
    names, other = _assign(seen.has[halves], seen.predicted[halves]), ~halves
    gain = change_interval(seen.right_as(names)[other], seen.right[other], seen.groups[other], LEVEL)
    return Fit(_assign(seen.has, seen.predicted), gain)


def _assign(has: Bools, predicted: Ints) -> Ints:
    """The class (outputs,) of each output with which most predictions are right; its own where nothing tells."""
    count = has.shape[1]
    counts = np.zeros((count, count))
    np.add.at(counts, predicted, has)
    return np.asarray(linear_sum_assignment(counts + 1e-3 * np.eye(count), maximize=True)[1])


def _look(classifier: Classifier, dataset: Dataset, rows: Ints) -> Seen:
    """Those of some images that can be read."""
    assert dataset.truth is not None
    has, predicted, groups = [dataset.truth[:0]], [np.empty(0, int)], [dataset.groups[:0]]
    for batch, scores in score_batches(classifier, dataset, 64, sorted(rows.tolist())):
        has.append(dataset.truth[batch.positions])
        predicted.append(scores.argmax(axis=1))
        groups.append(dataset.groups[batch.positions])
    return Seen(np.concatenate(has), np.concatenate(predicted), np.concatenate(groups))


def _find_order(classifier: Classifier, dataset: Dataset, seen: Seen, seed: int) -> Mistake | None:
    """The order of the names that is far better than that in which they are written."""
    classes = classifier.classes
    fit = fit_order(seen, seed)
    if not fit.is_far_better:
        return None
    order = tuple(classes[at] for at in fit.names)
    better = seen.right_as(fit.names)
    if better.mean() < _GOOD:  # a model that errs much may seem to mean another class by what it says
        return None
    text = f"With the classes in the order {list_names(order)} the model is right on {say_share(better)}"
    text += f", as written on {say_share(seen.right)}: labels and outputs do not match"
    named = dataset.truth_as(order)
    assert named is not None
    assert dataset.truth is not None
    if np.array_equal(named, dataset.truth):
        return Mistake("labels", f"{text}; the data number their labels, and must number them as the outputs are.")
    says_so = f"; labels = [{', '.join(map(repr, order))}] under [model] says so" if len(order) <= _MOST_LISTED else ""
    return Mistake("labels", f"{text}{says_so}.", labels=order)


def _find_range(classifier: KerasClassifier, dataset: Dataset, rows: Ints, now: Bools) -> Mistake | None:
    """The usual pixel range that the model does far better in than in its own."""
    tried: dict[Range, Bools] = {}
    for limits in USUAL if classifier.input_range is not None else ():
        if limits != classifier.input_range:
            seen = _look(classifier.fed_in(limits), dataset, rows)
            if len(seen.has) == len(now) and _is_far_better(seen.right, now, seen.groups):
                tried[limits] = seen.right
    if not tried or classifier.input_range is None:
        return None
    best = max(tried, key=lambda limits: tried[limits].sum())
    told, said = (f"[{low:g}, {high:g}]" for low, high in (best, classifier.input_range))
    text = f"Fed with pixels in {told} the model is right on {say_share(tried[best])}, in {said} on {say_share(now)}"
    return Mistake("range", f"{text}; input_range = {told} under [model] says so.", input_range=best)


def _find_chance(seen: Seen) -> list[Mistake]:
    """Whether a model is right on far fewer images, not half as many, than who guesses."""
    accuracy = share_interval(seen.right, seen.groups, LEVEL)
    is_less = accuracy.high is not None and accuracy.high < 0.5 / max(seen.has.shape[1], 2)
    if not is_less or seen.has.any(axis=0).sum() < 2:
        return []
    text = f"The model is right on {say_share(seen.right)} of {len(seen.right)} labelled images"
    return [
        Mistake(
            "chance",
            f"{text}, far fewer than by guessing: labels, pixels or preprocessing are not what it was trained on.",
        )
    ]


def _is_far_better(better: Bools, now: Bools, groups: Groups) -> bool:
    gain = change_interval(better, now, groups, LEVEL)
    return gain.against(0) == "above" and (gain.value or 0) > FAR_BETTER


def list_names(names: Sequence[str]) -> str:
    """Names in their order, the first of many."""
    return ", ".join(names[:_MOST_LISTED]) + (", …" if len(names) > _MOST_LISTED else "")


def say_share(right: Bools) -> str:
    """In per cent."""
    return f"{100 * right.mean():.0f} %"


FEWEST = 12
"""Images that tell something; of fewer all may be chance."""

_MOST, _FINE, _GOOD, _MOST_LISTED = 256, 0.9, 0.8, 12
"""Images to look at; a model that is right on such a share is not looked at further; names told."""
