"""What labelled images tell of a model that says too little of itself: the order of its classes, its pixel range.

Each order and range that is usual is tried. Where the images do not tell two of them apart, a person is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from auditor.auditing.mistakes import FAR_BETTER, FEWEST, LEVEL, Seen, fit_order, list_names
from auditor.measure.arrays import Bools, Ints
from auditor.measure.intervals import change_interval
from auditor.subject.data.manifests import WrittenLabel
from auditor.subject.data.sample import Dataset
from auditor.subject.model.classifier import Classifier, predicted_classes
from auditor.subject.model.pixels import Range
from auditor.subject.population import is_correct
from auditor.subject.scoring import score_batches

_ALPHABET, _NUMBERS, _WRITTEN = "the order of the alphabet", "the order of the numbers", "the order of the model"
_FOUND = "the order that fits best"


@dataclass(frozen=True)
class Tie:
    """What images do not tell, and a person must."""

    about: str
    candidates: tuple[str, ...]
    """What it may be, and how the model does then."""
    option: str
    """Of `auditor init`, that says it."""

    @property
    def text(self) -> str:
        """A sentence for where nobody can be asked."""
        return f"the images do not tell {self.about}: {'; '.join(self.candidates)}; say it with {self.option}"


Choose = Callable[[Tie], int]
"""Decides between the candidates of a tie, by their number from 0."""


@dataclass(frozen=True)
class Order:
    """An order of the class names, and on which images the model is right in it."""

    names: tuple[str, ...]
    kind: str
    """What order that is, in words."""
    right: Bools
    """(n,)."""


@dataclass(frozen=True)
class Reading:
    """How labels and pixels are to be read."""

    input_range: Range | None
    ranges: Mapping[Range | None, Bools]
    """On which images (n,) the model is right in each range that was tried, with the best order."""
    orders: list[Order]
    """What was tried in that range: the one to take, then the others."""
    asked: frozenset[str]
    """What a person chose: `range`, `order`."""

    @property
    def right(self) -> Bools:
        """(n,)."""
        return self.orders[0].right


def usual_orders(labels: Sequence[Any], classifier: Classifier) -> list[tuple[tuple[str, ...], str]]:
    """The orders in which a model usually has the classes that data name, the likeliest first, and their names.

    Keras numbers the folders that it trains on in the order of the alphabet, in which 10 comes before 2.
    """
    classes = classifier.classes
    given = [label for label in labels if label is not None]
    if classifier.output == "multilabel" or not given or not all(isinstance(label, str) for label in given):
        return [(classes, _WRITTEN)]
    names = sorted({str(label) for label in given})
    are_numbers = all(name.isdecimal() for name in names)
    if are_numbers and set(names) <= set(classes):
        orders = [(classes, _NUMBERS if classes == _numbered(classes) else _WRITTEN)]
        if not any(isinstance(label, WrittenLabel) for label in given):  # in tables numbers are numbers
            orders.append((tuple(sorted(classes)), _ALPHABET))
    elif len(names) == len(classes) and set(names) != set(classes):
        orders = [(tuple(names), _ALPHABET)]
        orders += [(_numbered(names), _NUMBERS)] if are_numbers else []
    else:
        return [(classes, _WRITTEN)]
    return [order for at, order in enumerate(orders) if order[0] not in [names for names, _ in orders[:at]]]


def read(
    classifiers: Mapping[Range | None, Classifier],
    dataset: Dataset,
    usual: Sequence[tuple[tuple[str, ...], str]],
    choose: Choose,
    *,
    may_reorder: bool = True,
) -> Reading:
    """Find range and order by what the model says of labelled images.

    Parameters
    ----------
    classifiers
        The same model, fed with pixels in each range that it may be made for; the first where nothing tells.
    dataset
        Images whose classes go by the first of the usual orders.
    may_reorder
        Whether any other order may be the right one, if it fits far better than the usual ones.

    Raises
    ------
    AuditError
        What `choose` raises.
    """
    may_reorder = may_reorder and next(iter(classifiers.values())).output != "multilabel"
    predicted, seen = _predict(classifiers, dataset)
    tried = {limits: _try_orders(found, dataset, seen, usual, may_reorder) for limits, found in predicted.items()}
    ranges = {limits: orders[0].right for limits, orders in tried.items()}
    best, asked = next(iter(ranges)), set()
    if len(ranges) > 1 and len(seen):
        groups = dataset.groups[seen]
        best = max(ranges, key=lambda limits: ranges[limits].sum())
        alike = [limits for limits in ranges if not _is_better(ranges[best], ranges[limits], groups)]
        if len(alike) > 1:
            shown = [f"in {_in_words(limits)} {_say_right(ranges[limits])}" for limits in alike]
            tie = Tie("the pixel range that the model expects", tuple(shown), "--input-range LOW HIGH")
            best, asked = alike[choose(tie)], {"range"}
    orders = tried[best]
    alike_orders = _not_told_apart(orders, dataset, seen)
    if len(alike_orders) > 1:
        shown = [f"as {list_names(order.names)} {_say_right(order.right)}" for order in alike_orders]
        chosen = alike_orders[choose(Tie("the order of the classes", tuple(shown), "--labels FILE"))]
        orders, asked = [chosen, *(order for order in orders if order is not chosen)], asked | {"order"}
    return Reading(best, ranges, orders, frozenset(asked))


def _predict(
    classifiers: Mapping[Range | None, Classifier], dataset: Dataset
) -> tuple[dict[Range | None, Bools], Ints]:
    """Which classes (n, classes) are predicted in each range, of labelled images that all can score (n,)."""
    rows = np.flatnonzero(dataset.labelled).tolist()
    found: dict[Range | None, dict[int, Bools]] = {limits: {} for limits in classifiers}
    for limits, classifier in classifiers.items():
        for batch, scores in score_batches(classifier, dataset, 64, rows):
            predicted = predicted_classes(scores, classifier.output)
            found[limits] |= dict(zip(batch.positions.tolist(), predicted, strict=True))
    seen = [row for row in rows if all(row in each for each in found.values())]
    none = np.zeros((0, len(next(iter(classifiers.values())).classes)), bool)
    return {
        limits: np.stack([each[row] for row in seen]) if seen else none for limits, each in found.items()
    }, np.array(seen, int)


def _try_orders(
    predicted: Bools, dataset: Dataset, seen: Ints, usual: Sequence[tuple[tuple[str, ...], str]], may_reorder: bool
) -> list[Order]:
    """The usual orders, and that which fits best where it is far better than they are or seems so; the best first."""
    found = []
    for names, kind in usual:
        truth = dataset.truth if names == usual[0][0] else dataset.truth_as(names)
        right = np.zeros(0, bool) if truth is None else is_correct(predicted, truth[seen])
        found.append(Order(names, kind, right))
    found.sort(key=lambda order: -int(order.right.sum()))  # of those alike the first stays first
    best, groups = found[0], dataset.groups[seen]
    truth = dataset.truth_as(best.names)
    if truth is None or not may_reorder or not len(seen):
        return found
    fit = fit_order(Seen(truth[seen], predicted.argmax(axis=1), groups))
    names = tuple(best.names[at] for at in fit.names)
    other = dataset.truth_as(names)
    assert other is not None
    order = Order(names, _FOUND, is_correct(predicted, other[seen]))
    if names in [order.names for order in found] or np.array_equal(other, truth):  # labels may be numbers
        return found
    if fit.is_far_better:
        return [order, *found]
    few = len(seen) < FEWEST and best.right.mean() < 0.5 and order.right.mean() - best.right.mean() > FAR_BETTER
    return [*found, order] if few or (len(seen) >= FEWEST and fit.seems_better) else found


def _not_told_apart(orders: list[Order], dataset: Dataset, seen: Ints) -> list[Order]:
    """The first order, and those that may be the right one as well; one that fits best stands last if it only seems."""
    if orders[0].kind == _FOUND:
        return orders[:1]
    groups = dataset.groups[seen]
    first = orders[0]
    return [first, *(o for o in orders[1:] if o.kind == _FOUND or not _is_better(first.right, o.right, groups))]


def _is_better(one: Bools, other: Bools, groups: Any) -> bool:
    """Whether the model is more often right in one reading than in another, and not by chance."""
    return change_interval(one, other, groups, LEVEL).against(0) == "above"


def _numbered(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(names, key=lambda name: (len(name.lstrip("0")), name.lstrip("0"), name)))


def _say_right(right: Bools) -> str:
    return f"it is right on {100 * right.mean():.0f} % of {len(right)} labelled images"


def _in_words(limits: Range | None) -> str:
    assert limits is not None
    return f"[{limits[0]:g}, {limits[1]:g}]"
