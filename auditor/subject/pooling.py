"""A pool of images to be scored: whole batches are filled across edits, and answers are handed back by who asked."""

from __future__ import annotations

import numpy as np

from auditor.measure.arrays import Floats
from auditor.subject.model.classifier import Classifier


class Pool:
    """Images that wait until there are enough for a whole batch, or until somebody wants to know.

    What it holds is less than a batch. The same images asked for in the same order make the same batches.
    """

    def __init__(self, classifier: Classifier, size: int) -> None:
        """Score by `classifier` in batches of `size` images."""
        self._classifier, self._size = classifier, size
        self._waiting: list[tuple[Answer, int, Floats]] = []
        self._count = 0

    def ask(self, images: Floats) -> Answer:
        """Hand in images (n, h, w, c); their scores are known at the latest when they are looked at.

        Raises
        ------
        ModelError
            A batch that they complete cannot be scored.
        """
        answer = Answer(self, len(images), len(self._classifier.classes))
        if len(images):
            self._waiting.append((answer, 0, images))
            self._count += len(images)
        while self._count >= self._size:
            self._score(self._size)
        return answer

    def settle(self) -> None:
        """Score all that still waits."""
        while self._count:
            self._score(min(self._size, self._count))

    def drop(self) -> None:
        """Forget all that waits: somebody who asked has failed, and wants no answers."""
        self._waiting, self._count = [], 0

    def _score(self, count: int) -> None:
        taken: list[tuple[Answer, int, Floats]] = []
        rest = count
        while rest:
            answer, start, images = self._waiting.pop(0)
            taken.append((answer, start, images[:rest]))
            if len(images) > rest:
                self._waiting.insert(0, (answer, start + rest, images[rest:]))
            rest -= len(taken[-1][2])
        self._count -= count
        parts = [images for _, _, images in taken]
        scores = self._classifier.scores(parts[0] if len(parts) == 1 else np.concatenate(parts))
        ends = np.cumsum([len(part) for part in parts])
        for (answer, start, _), of_part in zip(taken, np.split(scores, ends[:-1]), strict=True):
            answer.take(start, of_part)


class Answer:
    """Scores that are known, or will be as soon as they are looked at."""

    def __init__(self, pool: Pool, count: int, classes: int) -> None:
        """Of `count` images that wait in `pool`."""
        self._pool, self._missing = pool, count
        self._scores = np.empty((count, classes), np.float32)

    @property
    def scores(self) -> Floats:
        """(n, classes).

        Raises
        ------
        ModelError
            What waits cannot be scored.
        """
        if self._missing:
            self._pool.settle()
        assert not self._missing, "what was dropped is known to nobody"
        return self._scores

    def take(self, start: int, scores: Floats) -> None:
        """Take the scores of the images from one on."""
        self._scores[start : start + len(scores)] = scores
        self._missing -= len(scores)
