"""Images of a data set with what a model says of them, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from auditor.errors import NotFiniteError
from auditor.measure.arrays import Floats, Ints
from auditor.subject.data.sample import Batch, Dataset
from auditor.subject.model.classifier import Classifier


def score_batches(
    classifier: Classifier, dataset: Dataset, size: int, positions: Sequence[int] | Ints | None = None
) -> Iterator[tuple[Batch, Floats]]:
    """Each batch of `Dataset.batches` and its scores (n, classes).

    An image that the model gives no finite score for is skipped, as one that cannot be read is.

    Raises
    ------
    DataError
        Too many are skipped.
    """
    for batch in dataset.batches(size, positions):
        kept = batch
        try:
            scores = classifier.scores(batch.images)
        except NotFiniteError as fault:
            if fault.rows is None:
                raise
            dataset.skip(batch.positions[fault.rows], "the model gives no finite score for it")
            rows = np.flatnonzero(~fault.rows)
            kept = Batch(batch.positions[rows], batch.images[rows], [batch.ids[row] for row in rows])
            scores = classifier.scores(kept.images)
        if len(kept.ids):
            yield kept, scores
