"""The rows behind the verdicts: one per image and intervention."""

from __future__ import annotations

import numpy as np

from auditor.measure.arrays import Array
from auditor.measure.ledger import Rows
from auditor.subject.data.sample import Dataset
from auditor.subject.population import Population
from auditor.verdict.observations import Evidence
from auditor.verdict.record import Finding


def note_images(rows: Rows, dataset: Dataset, classes: tuple[str, ...], images: Population) -> None:
    """One row per image: its label, prediction and the score of the prediction."""
    for at, position in enumerate(images.positions):
        predicted = [classes[number] for number in np.flatnonzero(images.predicted[at])]
        has = [classes[number] for number in np.flatnonzero(images.has[at])] if images.labelled[at] else []
        rows.add(
            image=dataset.ids[position],
            group=str(dataset.groups[position]),
            label=", ".join(has) or None,
            predicted=", ".join(predicted) or None,
            measurement="score of the prediction",
            condition="as it came",
            value=float(images.scores[at].max()),
        )


def note_interventions(rows: Rows, dataset: Dataset, finding: Finding, evidence: Evidence) -> None:
    """One row per image and intervention: how far the target's log-odds moved."""
    if finding.target is None:
        return
    target = evidence.classes.index(finding.target)
    insertion, removals, at = evidence.insertion, evidence.removals, evidence.column(target)
    shifts: list[tuple[Population, str, Array]] = []
    if insertion is not None:
        images = insertion.images
        shifts.append((images, "inserted", insertion.shift[:, target]))
        shifts += [(images, f"control: {name}", values[:, at]) for name, values in insertion.controls.items()]
        shifts += [(images, f"variant: {name}", values[:, at]) for name, values in insertion.variants.items()]
        shifts += [(images, f"opacity: {dose:g}", values[:, at]) for dose, values in insertion.doses.items()]
    if removals is not None:
        images = removals.images
        shifts += [(images, f"removed: {name}", -values[:, at]) for name, values in removals.fall.items()]
        shifts += [(images, f"removed elsewhere: {name}", -values[:, at]) for name, values in removals.placebo.items()]
    for images, condition, values in shifts:
        for position, value in zip(images.positions, values, strict=True):
            rows.add(
                image=dataset.ids[position],
                group=str(dataset.groups[position]),
                artefact=finding.artefact,
                target=finding.target,
                measurement="shift of the log-odds",
                condition=condition,
                value=float(value) if np.isfinite(value) else None,
            )
