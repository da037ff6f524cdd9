"""What sources of suspects are given: half of the images, in memory, and what the model says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from auditor.artefacts.appearance import Appearance, Edit
from auditor.measure.arrays import Array, Bools, Doubles, Floats, Ints
from auditor.measure.seeds import keyed_generator, seeded_order
from auditor.subject.model.classifier import Classifier, log_odds
from auditor.subject.population import Population


@dataclass(frozen=True)
class Material:
    """The images of the half that proposes."""

    classifier: Classifier
    images: Floats
    """(n, h, w, c)."""
    seen: Population
    """What the model said of them as they came, and what they are."""
    ids: list[str]
    seed: int = 0
    batch_size: int = 64
    columns: Mapping[str, Array] = field(default_factory=dict)
    """What the data say of each image besides, (n,) each."""
    _orders: dict[tuple[int, str], Ints] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def spread(self) -> Doubles:
        """(classes,): standard deviation of each class's log-odds, at least a little."""
        return np.maximum(self.seen.scores.std(axis=0, dtype=np.float64), 1e-6)

    @cached_property
    def classes(self) -> list[int]:
        """The classes that enough images have and enough lack, the most frequent first: those looked at."""
        counts = self.seen.has.sum(axis=0)
        enough = (counts >= FEWEST_OWN) & (len(self.images) - counts >= FEWEST_OWN)
        order = np.argsort(-counts, kind="stable")
        return [int(number) for number in order if enough[number]][:MOST_CLASSES]

    @property
    def cost(self) -> int:
        """How many passes one image counts as, where it is differentiated: large ones take long."""
        height, width = self.images.shape[1:3]
        return max(1, round(height * width / SMALL**2))

    def own(self, number: int) -> Ints:
        """Rows (m,) of the images that have a class."""
        return np.flatnonzero(self.seen.has[:, number])

    def others(self, number: int, most: int | None = None, purpose: str = "recipients") -> Ints:
        """Rows (m,) of images that lack a class, so many at the most, in a seeded order."""
        return self._ordered(np.flatnonzero(~self.seen.has[:, number]), number, purpose)[:most]

    def some_own(self, number: int, most: int | None = None) -> Ints:
        """Rows (m,) of the images that have a class, so many at the most, in a seeded order: files lie by patient."""
        return self._ordered(self.own(number), number, "own")[:most]

    def _ordered(self, rows: Ints, number: int, purpose: str) -> Ints:
        if (number, purpose) not in self._orders:
            order = seeded_order(self.seed, f"{purpose} of {number}", [self.ids[row] for row in rows])
            self._orders[number, purpose] = rows[order]
        return self._orders[number, purpose]

    def all(self, most: int) -> Ints:
        """Rows (m,) of images of any class, so many at the most, in order."""
        return np.sort(seeded_order(self.seed, "images of any class", self.ids)[:most])

    def raised_most(self, look: Appearance, rows: Ints) -> int:
        """Of the classes looked at, that whose score a look raises most, in log-odds, in images at some rows."""
        rows = rows[:RECIPIENTS]
        edited = look.insert(self.images[rows], [np.random.default_rng(0) for _ in rows])
        return self.classes[int(self.shifts(rows, edited).mean(axis=0)[self.classes].argmax())]

    def generator(self, purpose: str) -> np.random.Generator:
        """What a source draws from."""
        return keyed_generator(self.seed, "suspects", purpose)

    def scores(self, images: Floats) -> Doubles:
        """Log-odds (n, classes) of edited images."""
        parts = [images[at : at + self.batch_size] for at in range(0, len(images), self.batch_size)]
        raw = np.concatenate([self.classifier.scores(part) for part in parts])
        return np.asarray(log_odds(raw, self.classifier.output), np.float64)

    def shifts(self, rows: Ints, edited: Floats) -> Doubles:
        """By how much log-odds (n, classes) change when images at some rows are edited."""
        return self.scores(edited) - self.seen.scores[rows]

    def gain(self, look: Appearance, number: int) -> tuple[float, float]:
        """What inserting a look does to the score of a class, on images that lack it, in its standard deviations.

        And what it does beyond the median harmless edit of the same kind: the number that suspects are ranked by.
        """
        raised = self.raise_by(look.insert, number)
        controls, _ = look.controls({}, self.seed)
        innocent = [self.raise_by(draws[0], number) for draws in controls.values()]
        return raised, raised - float(np.median(innocent)) if innocent else raised

    def raise_by(self, edit: Edit, number: int) -> float:
        """By how much an edit raises the score of a class, on images that lack it, in its standard deviations."""
        rows = self.others(number, RECIPIENTS)
        edited = edit(self.images[rows], np.random.default_rng(0).spawn(len(rows)))
        return float(self.shifts(rows, edited)[:, number].mean() / self.spread[number])


def halve(groups: Sequence[str] | Array, seed: int) -> Bools:
    """Which images (n,) propose: half of the groups, by seed and name alone; the others decide.

    Parameters
    ----------
    groups
        (n,): by name.
    """
    names = sorted({str(group) for group in groups})
    order = seeded_order(seed, "halves of suspects", names)
    first = {names[at] for at in order[: (len(names) + 1) // 2]}
    return np.array([str(group) in first for group in groups], bool)


FEWEST_OWN, MOST_CLASSES = 6, 20
"""Images that have a class, and that lack it, to be looked at; and classes that are, by how many images have them."""

SMALL = 64
"""Side in pixels of an image that is differentiated at the cost of one pass."""

RECIPIENTS = 48
"""Images that a look is tried on, to rank it."""
