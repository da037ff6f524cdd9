"""The rows behind the verdicts: one per image and intervention."""

from __future__ import annotations

from auditor.measure.arrays import Array, Bools
from auditor.measure.ledger import Rows
from auditor.subject.data.sample import Dataset
from auditor.subject.population import Population, name_classes
from auditor.verdict.observations import Observations
from auditor.verdict.record import Finding


def note_images(rows: Rows, dataset: Dataset, classes: tuple[str, ...], images: Population) -> None:
    """One row per image: its label, prediction and the score of the prediction."""
    rows.note(
        images.scores.max(axis=1),
        image=dataset.named(images.positions),
        group=images.groups,
        label=_named(images.has & images.labelled[:, None], classes),
        predicted=_named(images.predicted, classes),
        measurement="score of the prediction",
        condition="as it came",
    )


def note_interventions(rows: Rows, dataset: Dataset, finding: Finding, observed: Observations) -> None:
    """One row per image and intervention: how far the target's log-odds moved."""
    if finding.target is None:
        return
    target = observed.classes.index(finding.target)
    insertion, removals, at = observed.insertion, observed.removals, observed.column(target)
    shifts: list[tuple[Population, str, Array]] = []
    if insertion is not None:
        images = insertion.images
        shifts.append((images, "inserted", insertion.shift[:, target]))
        shifts += [(images, f"control: {name}", values[:, target]) for name, values in insertion.controls.items()]
        shifts += [(images, f"variant: {name}", values[:, at]) for name, values in insertion.variants.items()]
        shifts += [(images, f"opacity: {dose:g}", values[:, at]) for dose, values in insertion.doses.items()]
    if removals is not None:
        images = removals.images
        shifts += [(images, f"removed: {name}", -values[:, at]) for name, values in removals.fall.items()]
        shifts += [(images, f"removed elsewhere: {name}", -values[:, at]) for name, values in removals.placebo.items()]
    for images, condition, values in shifts:
        rows.note(
            values,
            image=dataset.named(images.positions),
            group=images.groups,
            artefact=finding.artefact,
            target=finding.target,
            measurement="shift of the log-odds",
            condition=condition,
        )


def _named(flags: Bools, classes: tuple[str, ...]) -> list[str | None]:
    return [name_classes(row, classes) if row.any() else None for row in flags]
