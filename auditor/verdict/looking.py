"""What is measured of one batch of images: their scores as they came, and what every artefact does to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np

from auditor.errors import ModelError
from auditor.measure.arrays import Doubles, Floats, Groups, Ints, take
from auditor.measure.measurement import Note
from auditor.subject.data.copies import Sketches, sketch
from auditor.subject.data.sample import Batch, Dataset
from auditor.subject.model.batches import Work
from auditor.subject.model.classifier import Classifier
from auditor.subject.population import Population
from auditor.subject.scoring import score_batches
from auditor.verdict.gathered import Cost, Gathered
from auditor.verdict.interventions import Trial, populate
from auditor.verdict.passes import CHECKS, Counted
from auditor.verdict.screening import Chosen


@dataclass(frozen=True)
class Beside:
    """What is known of images that are looked at once more."""

    came: Population
    """As they came, by ascending position."""
    rows: Mapping[int, Ints]
    """By the number of the artefact: rows of those that it is to be tried on."""


@dataclass(frozen=True)
class Course:
    """What a survey has decided before it looks at some images, and what they give depends on."""

    first: Ints
    """Rows of the images that are looked at first of all."""
    groups: Groups
    """(images of the sample,): as they are known by now."""
    chosen: Mapping[int, Chosen | None]
    """The artefacts that are tried, by number: at which neighbouring place, once that is chosen."""
    is_first: bool
    """Nothing has been looked at yet."""
    beside: Beside | None = None
    """Images are looked at once more, and artefacts tried at their neighbouring places alone."""


@dataclass
class Looked:
    """What one batch of images gave."""

    came: Population | None = None
    """The images as they came; None where none of them can be used."""
    total: Doubles = field(default_factory=lambda: np.zeros(0))
    """(h, w, c): their sum."""
    sketches: Sketches | None = None
    """By which copies are found; None where `came` is."""
    gathered: dict[int, Gathered] = field(default_factory=dict)
    """By the number of the artefact."""
    skipped: dict[int, str] = field(default_factory=dict)
    """Row -> why it cannot be used, where another process found that; so are the next three."""
    brightest: int = 0
    """The highest value of 16-bit pictures."""
    notes: list[Note] = field(default_factory=list)
    """On memory that ran out."""
    cost: Cost = field(default_factory=Cost)
    """What was asked of the model, but for what was asked for an artefact."""


class Look(Protocol):
    """Looks at images of some rows (n,), ascending, in batches of so many, which it gives in their order.

    An artefact that has failed is tried no more.
    """

    def __call__(
        self,
        counted: Counted,
        dataset: Dataset,
        trials: Mapping[int, Trial],
        course: Course,
        rows: Ints,
        batch_size: int,
    ) -> Iterator[Looked]: ...


def look_here(
    counted: Counted, dataset: Dataset, trials: Mapping[int, Trial], course: Course, rows: Ints, batch_size: int
) -> Iterator[Looked]:
    """Look at them in this process, one batch after the other."""
    for looked, try_on in _each(counted, dataset, course, rows, batch_size):
        for at, trial in trials.items():
            if trial.failure is None:
                looked.gathered[at] = try_on(at, trial)
        yield looked


def look_for_another(
    classifier: Classifier, work: Work, dataset: Dataset, trials: Mapping[int, Trial], course: Course, rows: Ints
) -> Looked:
    """Look at one batch for a survey that goes on in another process, which is told all that it would know itself.

    Parameters
    ----------
    trials
        Artefacts to be tried, each with a count of its own.
    work
        What the classifier counts.
    """
    dataset.skipped.clear()
    dataset.groups = course.groups
    counted, ask = Counted(classifier), _Metered(work)
    looked = Looked()
    for looked, try_on in _each(counted, dataset, course, rows, len(rows)):
        looked.cost = ask.cost(counted)
        for at, trial in trials.items():
            trial.classifier.counts.clear()
            looked.gathered[at] = try_on(at, trial)
            looked.gathered[at].cost = ask.cost(trial.classifier)
    if looked.came is None:
        looked.cost = ask.cost(counted)
    looked.skipped = {row: image.reason for row, image in dataset.skipped.items()}
    looked.brightest = dataset.brightest
    return looked


def tell(looked: Looked, counted: Counted, work: Work, dataset: Dataset, trials: Mapping[int, Trial]) -> None:
    """Tell a survey what another process found and asked; what it asked for artefacts that failed is not counted.

    Raises
    ------
    DataError
        Too many images cannot be used.
    """
    costs = [looked.cost, *(each.cost for at, each in looked.gathered.items() if trials[at].failure is None)]
    for cost in costs:
        counted.counts.update(cost.passes)
        work.needed.update(cost.needed)
        work.made.update(cost.made)
    dataset.brightest = max(dataset.brightest, looked.brightest)
    for row, reason in looked.skipped.items():
        dataset.skip([row], reason)


def _each(
    counted: Counted, dataset: Dataset, course: Course, rows: Ints, batch_size: int
) -> Iterator[tuple[Looked, Callable[[int, Trial], Gathered]]]:
    """What each batch gives without an artefact, and how one is tried on it, of a number."""
    if course.beside is not None:
        for batch in dataset.batches(batch_size, rows):
            yield Looked(), partial(_try_beside, batch, course.beside)
        return
    is_first = course.is_first
    for batch, scores in score_batches(counted, dataset, batch_size, rows):
        if is_first:
            _refuse_chance(counted.part(CHECKS), batch.images, scores)
        is_first = False
        yield see(counted, dataset, batch, scores), partial(_try_on, batch, scores)


def _try_on(batch: Batch, scores: Floats, at: int, trial: Trial) -> Gathered:
    return trial.try_on(batch, scores)


def _try_beside(batch: Batch, beside: Beside, at: int, trial: Trial) -> Gathered:
    rows = np.flatnonzero(np.isin(batch.positions, beside.rows[at]))
    if not len(rows):
        return Gathered()
    some = Batch(batch.positions[rows], batch.images[rows], [batch.ids[row] for row in rows])
    return trial.try_beside(some, take(beside.came, np.searchsorted(beside.came.positions, some.positions)))


def see(classifier: Classifier, dataset: Dataset, batch: Batch, raw: Floats) -> Looked:
    """A batch as it came, with its scores (n, classes)."""
    came = populate(classifier, dataset, batch.positions, raw)
    return Looked(came, batch.images.sum(axis=0, dtype=np.float64), sketch(batch.positions, batch.images))


class _Metered:
    """What a model was asked since it was looked at last."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._before = Counter(work.needed), Counter(work.made)

    def cost(self, counted: Counted) -> Cost:
        before, self._before = self._before, (Counter(self._work.needed), Counter(self._work.made))
        needed, made = (now - then for now, then in zip(self._before, before, strict=True))
        return Cost(Counter(counted.counts), needed, made)


def _refuse_chance(classifier: Classifier, images: Floats, scores: Floats) -> None:
    """A model that scores the same images differently in another order (dropout left on) cannot be audited."""
    again = classifier.scores(images[::-1])[::-1]
    difference = float(np.abs(again - scores).max())
    if difference > 1e-3 * max(1.0, float(np.abs(scores).max())):
        raise ModelError(
            f"the model scores the same images differently in another order, by up to {difference:.3g}; "
            "does it draw at random, or mix the images of a batch, when it should not?"
        )
