"""Every pass that a verdict takes: how many images the model scored, and for what; and what it said, to be kept."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from auditor.measure.arrays import Floats
from auditor.subject.model.classifier import Classifier, Output
from auditor.subject.pooling import Answer, Pool

AS_THEY_CAME, CHECKS = "images as they came", "checks of the run"
NEIGHBOURS, CANVASES = "neighbouring places", "canvases without content"

EDITS, BESIDE, ONCE = 7, 7, 1000
"""About how many edits there are of each image by an artefact, how many more where it is tried at a neighbouring place,
and how many besides, on few images.
"""


@dataclass(frozen=True)
class Counted:
    """A classifier that counts the images it scores, by the part of the audit that they are scored for."""

    model: Classifier
    counts: Counter[str] = field(default_factory=Counter)
    """Part -> images; shared by all that `part` gives."""
    name: str = AS_THEY_CAME
    pool: Pool | None = None
    """Where what is asked waits for the rest of its batch; shared by all parts."""

    @property
    def classes(self) -> tuple[str, ...]:
        """See `Classifier`."""
        return self.model.classes

    @property
    def output(self) -> Output:
        """See `Classifier`."""
        return self.model.output

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """See `Classifier`."""
        return self.model.image_shape

    def scores(self, images: Floats) -> Floats:
        """See `Classifier`."""
        self.counts[self.name] += len(images)
        return self.model.scores(images)

    def ask(self, images: Floats) -> Answer:
        """Scores that are computed together with those of other edits."""
        assert self.pool is not None
        self.counts[self.name] += len(images)
        return self.pool.ask(images)

    def part(self, name: str) -> Counted:
        """The same, counting for a part of the audit."""
        return replace(self, name=name)


class Journal(Protocol):
    """What the passes of a verdict gave, by the number of the pass and a checksum of its images."""

    def recall(self, number: int, checksum: int) -> Floats | None:
        """The scores that are known of a pass; None where none are."""

    def note(self, number: int, checksum: int, scores: Floats) -> None:
        """Keep the scores of a pass."""

    def drop(self) -> None:
        """Forget all that is known: it is of another model."""


@dataclass(frozen=True)
class Kept:
    """One pass, as it is kept."""

    number: int
    checksum: int
    scores: Floats


@dataclass
class Carried:
    """A journal that travels with the work that it is of: what is known goes along, what is new comes back."""

    known: dict[int, Kept] = field(default_factory=dict)
    new: list[Kept] = field(default_factory=list)
    is_of_another: bool = False
    """What was known is of another model."""

    def recall(self, number: int, checksum: int) -> Floats | None:
        """See `Journal.recall`."""
        kept = self.known.get(number)
        return kept.scores if kept is not None and kept.checksum == checksum else None

    def note(self, number: int, checksum: int, scores: Floats) -> None:
        """See `Journal.note`."""
        self.new.append(Kept(number, checksum, scores))

    def drop(self) -> None:
        """See `Journal.drop`."""
        self.known, self.is_of_another = {}, True


class Journalled:
    """A classifier whose every pass is kept in a journal, and taken from it where it is known.

    Passes are known by their number: the same audit asks the same of the model in the same order. The first that is
    known is asked all the same, which tells a model that is not what it was.
    """

    def __init__(self, model: Classifier, journal: Journal) -> None:
        self._model, self._journal = model, journal
        self.number = 0
        """Of the next pass."""
        self._is_tried = False
        self.classes, self.output, self.image_shape = model.classes, model.output, model.image_shape

    def scores(self, images: Floats) -> Floats:
        """See `Classifier`."""
        number, self.number = self.number, self.number + 1
        checksum = zlib.crc32(np.ascontiguousarray(images).data)
        known = self._journal.recall(number, checksum)
        if known is not None and (self._is_tried or np.allclose(self._model.scores(images), known, 1e-3, 1e-4)):
            self._is_tried = True
            return known
        if known is not None:
            self._journal.drop()
        scores = self._model.scores(images)
        self._journal.note(number, checksum, scores)
        return scores
