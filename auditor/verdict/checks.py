"""Edits whose effect is known beforehand: they check the run itself."""

from __future__ import annotations

from collections import Counter

import numpy as np

from auditor.artefacts.edits import paste_middle
from auditor.measure.arrays import Bools
from auditor.measure.seeds import audit_generator
from auditor.subject.data.sample import Dataset
from auditor.subject.model.classifier import Classifier, log_odds
from auditor.subject.population import Population
from auditor.verdict.observations import Checks


def check_run(
    classifier: Classifier,
    dataset: Dataset,
    images: Population,
    targets: set[int | None],
    regions: list[Bools],
    seed: int,
) -> Checks | None:
    """Score images again that nothing was done to, and images that the object of another class was pasted into.

    Objects come from images that have just one class, one that is a target; each image gives its object once, to an
    image of another class. The regions of the artefacts are not pasted. None where an image is no longer there: it is
    skipped from then on.
    """
    order = audit_generator(seed, "checks").permutation(len(images))
    again = order[:_CHECKED]
    single = images.has.sum(axis=1) == 1
    first = images.has.argmax(axis=1)
    wanted = single if None in targets else single & np.isin(first, [t for t in targets if t is not None])
    donors: list[int] = []
    takers: list[int] = []
    given: Counter[int] = Counter()
    free = order.tolist()
    for donor in order:
        kind = int(first[donor])
        if not wanted[donor] or given[kind] == _CHECKED:
            continue
        taker = next((row for row in free if not images.has[row, kind]), None)
        if taker is None:
            continue
        free.remove(taker)
        given[kind] += 1
        donors.append(int(donor))
        takers.append(taker)
    keep_out = np.any(regions, axis=0) if regions else np.zeros(classifier.image_shape[:2], bool)
    if keep_out.mean() > 0.5:  # an artefact that covers the frame would leave nothing to paste
        keep_out[:] = False
    rise = np.empty(len(donors), np.float32)
    for start in range(0, len(donors), 64):
        part = slice(start, start + 64)
        (_, under), (_, objects) = (dataset.read(images.positions[rows]) for rows in (takers[part], donors[part]))
        if len(under) != len(takers[part]) or len(objects) != len(donors[part]):
            return None
        pasted = paste_middle(under, objects, keep_out)
        odds = log_odds(classifier.scores(pasted), classifier.output)
        at = np.arange(len(pasted))
        rise[part] = odds[at, first[donors[part]]] - images.scores[takers[part], first[donors[part]]]
    kept, still = dataset.read(images.positions[again])
    if len(kept) != len(again):
        return None
    once_more = log_odds(classifier.scores(still), classifier.output)
    return Checks(
        no_op=np.abs(once_more - images.scores[again]).max(axis=1),
        no_op_groups=images.groups[again],
        pasted=first[donors],
        rise=rise,
        pasted_groups=images.groups[donors],
    )


_CHECKED = 48
"""Images scored again with nothing done, and objects pasted of each class."""
