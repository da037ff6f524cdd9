"""Tries every intervention on every image, in one pass over the data, and keeps scores, never images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from auditor.artefacts.kinds import Artefact
from auditor.errors import AuditError, DataError, ModelError
from auditor.measure.arrays import Array, Floats, Ints, join, take
from auditor.subject.data.copies import Copies
from auditor.subject.data.sample import Dataset
from auditor.subject.model.classifier import Classifier
from auditor.subject.pooling import Pool
from auditor.subject.population import Population
from auditor.subject.scoring import score_batches
from auditor.verdict.checks import check_run
from auditor.verdict.interventions import Trial, populate, regrouped
from auditor.verdict.observations import Checks, Observations
from auditor.verdict.passes import CHECKS, Counted
from auditor.verdict.record import Rule
from auditor.verdict.rounds import Claim, claim, claim_clearly, tests_as_much

Progress = Callable[[str, int, int], None]
"""Told the stage, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Survey:
    """What one pass over the data gave."""

    images: Population
    """All usable images, as they came."""
    mean_image: Floats
    """(h, w, c)."""
    observed: list[Observations | AuditError]
    """For each artefact, what was measured, or why it could not be."""
    passes: dict[str, int] = field(default_factory=dict)
    """Part of the survey -> images that the model scored for it."""


def survey(
    classifier: Classifier,
    dataset: Dataset,
    artefacts: list[Artefact],
    *,
    fills: tuple[str, ...],
    rule: Rule,
    seed: int,
    batch_size: int,
    progress: Progress,
    columns: Mapping[str, Array] | None = None,
    rounds: Sequence[Ints] = (),
) -> Survey:
    """Score every image as it is and after every intervention.

    Parameters
    ----------
    rule
        What the verdicts will be decided by: the smaller its level, the more draws of innocent content a scan needs.
    columns
        Column of the data -> (images of the sample,): values, as text, that divide the images into parts.
    rounds
        Rows of the sample, a round at a time: after each, an artefact whose verdict is settled is tried no more, and
        when none is left the survey ends. All images at once where there are none.
    """
    rounds = rounds or [np.arange(len(dataset))]
    counted = Counted(classifier, pool=Pool(classifier, batch_size))
    trials = [Trial(counted, dataset, each, fills, seed, rounds[0]) for each in artefacts]
    observed: dict[int, Observations | AuditError] = {}
    total = np.zeros(classifier.image_shape, np.float64)
    seen: list[Population] = []
    done = due = 0
    copies = Copies()
    for rows in rounds:
        due += len(rows)
        waiting = {at: trial for at, trial in enumerate(trials) if at not in observed}
        for batch, raw in score_batches(counted, dataset, batch_size, rows.tolist()):
            copies.add(batch.positions, batch.images)
            if not seen:
                _refuse_chance(counted.part(CHECKS), batch.images, raw)
            seen.append(populate(classifier, dataset, batch.positions, raw))
            total += batch.images.sum(axis=0, dtype=np.float64)
            for trial in waiting.values():
                trial.add(batch, raw)
            done += len(batch.ids)
            progress("interventions", done, due)
        if not seen:
            raise DataError(f"none of {len(dataset)} images could be used")
        dataset.join_copies(copies.find())
        images, is_last = regrouped(join(seen), dataset), rows is rounds[-1]
        images = take(images, np.argsort(images.positions))
        images = take(images, ~np.isin(images.positions, list(dataset.skipped)))

        # what costs passes besides is asked only of what would be settled by it
        near: dict[int, Claim | None] = dict.fromkeys(waiting) if is_last else {}
        may_end = not is_last and not dataset.lacks_too_many(due)
        for at, trial in waiting.items() if may_end else ():
            if not tests_as_much(images, dataset, artefacts[at], columns or {}, rule):
                continue
            clear = claim_clearly(trial.look(images, columns, rule), artefacts[at].target, rule, len(artefacts))
            if clear is not None:
                near[at] = clear
        if near or is_last:
            images, checks = _check(counted.part(CHECKS), dataset, images, artefacts, seed)
        for at, clear in near.items():
            found = trials[at].observed(images, columns, checks, len(artefacts), rule)
            if is_last or claim(found, artefacts[at].target, rule, len(artefacts)) == clear:
                observed[at] = found
        if trials and len(observed) == len(trials):
            break
    return Survey(
        images=images,
        mean_image=(total / len(images)).astype(np.float32),
        observed=[observed[at] for at in range(len(trials))],
        passes=dict(counted.counts),
    )


def _check(
    classifier: Counted, dataset: Dataset, images: Population, artefacts: list[Artefact], seed: int
) -> tuple[Population, Checks]:
    """The images that are still there, and the checks of the run on them."""
    targets = {artefact.target for artefact in artefacts}
    regions = [region for each in artefacts if (region := each.appearance.fixed_region) is not None]
    checks = None
    while checks is None:
        images = take(images, ~np.isin(images.positions, list(dataset.skipped)))
        checks = check_run(classifier, dataset, images, targets, regions, seed)
    return images, checks


def _refuse_chance(classifier: Classifier, images: Floats, scores: Floats) -> None:
    """A model that scores the same images differently in another order (dropout left on) cannot be audited."""
    again = classifier.scores(images[::-1])[::-1]
    difference = float(np.abs(again - scores).max())
    if difference > 1e-3 * max(1.0, float(np.abs(scores).max())):
        raise ModelError(
            f"the model scores the same images differently in another order, by up to {difference:.3g}; "
            "does it draw at random, or mix the images of a batch, when it should not?"
        )
