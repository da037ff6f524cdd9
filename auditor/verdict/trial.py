"""Tries every intervention on every image, in one pass over the data, and keeps scores, never images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from auditor.artefacts.kinds import Artefact
from auditor.errors import AuditError, DataError, ModelError
from auditor.measure.arrays import Array, Floats, join, take
from auditor.subject.data.copies import Copies
from auditor.subject.data.sample import Dataset
from auditor.subject.model.classifier import Classifier
from auditor.subject.pooling import Pool
from auditor.subject.population import Population
from auditor.subject.scoring import score_batches
from auditor.verdict.checks import check_run
from auditor.verdict.interventions import Trial, populate, regrouped
from auditor.verdict.observations import Observations
from auditor.verdict.passes import CHECKS, Counted
from auditor.verdict.record import Rule

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
    alpha: float,
    seed: int,
    batch_size: int,
    progress: Progress,
    columns: Mapping[str, Array] | None = None,
    min_groups: int = Rule().min_groups,
) -> Survey:
    """Score every image as it is and after every intervention.

    Parameters
    ----------
    alpha
        Level of the tests to come: the smaller, the more draws of innocent content a scan needs.
    columns
        Column of the data -> (images of the sample,): values, as text, that divide the images into parts.
    min_groups
        Where all images carry an artefact, it is inserted only if it can be taken out exactly of so many groups.
    """
    counted = Counted(classifier, pool=Pool(classifier, batch_size))
    trials = [Trial(counted, dataset, each, fills, seed) for each in artefacts]
    total = np.zeros(classifier.image_shape, np.float64)
    seen: list[Population] = []
    done = 0
    copies = Copies()
    for batch, raw in score_batches(counted, dataset, batch_size):
        copies.add(batch.positions, batch.images)
        if not seen:
            _refuse_chance(counted.part(CHECKS), batch.images, raw)
        seen.append(populate(classifier, dataset, batch.positions, raw))
        total += batch.images.sum(axis=0, dtype=np.float64)
        for trial in trials:
            trial.add(batch, raw)
        done += len(batch.ids)
        progress("interventions", done, len(dataset))
    if not seen:
        raise DataError(f"none of {len(dataset)} images could be used")
    dataset.join_copies(copies.find())
    images = regrouped(join(seen), dataset)
    targets = {artefact.target for artefact in artefacts}
    regions = [region for each in artefacts if (region := each.appearance.fixed_region) is not None]
    checks = None
    while checks is None:
        images = take(images, ~np.isin(images.positions, list(dataset.skipped)))
        checks = check_run(counted.part(CHECKS), dataset, images, targets, regions, seed)
    # one more than the fewest that can reach the level, Holm's correction included
    draws = math.ceil(2 * len(artefacts) / alpha)
    values = {name: column[images.positions] for name, column in (columns or {}).items()}
    return Survey(
        images=images,
        mean_image=(total / len(images)).astype(np.float32),
        observed=[trial.observed(images, values, checks, draws, alpha, min_groups) for trial in trials],
        passes=dict(counted.counts),
    )


def _refuse_chance(classifier: Classifier, images: Floats, scores: Floats) -> None:
    """A model that scores the same images differently in another order (dropout left on) cannot be audited."""
    again = classifier.scores(images[::-1])[::-1]
    difference = float(np.abs(again - scores).max())
    if difference > 1e-3 * max(1.0, float(np.abs(scores).max())):
        raise ModelError(
            f"the model scores the same images differently in another order, by up to {difference:.3g}; "
            "does it draw at random, or mix the images of a batch, when it should not?"
        )
