"""The rows behind the verdicts: one per image and intervention."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from auditor.measure.arrays import Array, Bools
from auditor.measure.columns import Coded
from auditor.measure.ledger import Rows
from auditor.subject.data.sample import Dataset
from auditor.subject.population import Population, is_correct, name_classes
from auditor.verdict.decisions import decisions_by_image
from auditor.verdict.effects import leads_by_image
from auditor.verdict.harms import hits_by_image
from auditor.verdict.observations import Observations
from auditor.verdict.record import Finding, Rule

SCORE = "score of the prediction"

PART = "part of the images"
"""A row of this measurement says that an image belongs to the part that its condition names."""

COLUMN = "value of a column"
"""A row of this measurement says what value an image has of a column that goes with a class."""


def note_images(
    rows: Rows, dataset: Dataset, classes: tuple[str, ...], images: Population, columns: Mapping[str, Array]
) -> None:
    """One row per image: its label, prediction and the score of the prediction; and its parts in other numbers.

    Parameters
    ----------
    columns
        Column of the data -> (n,): the value, as text, that divides the images.
    """
    rows.note(
        images.scores.max(axis=1),
        **_who(dataset, images),
        label=_named(images.has & images.labelled[:, None], classes),
        predicted=_named(images.predicted, classes),
        measurement=SCORE,
        condition="as it came",
    )
    rows.note(hits_by_image(images), **_who(dataset, images), measurement="accuracy", condition="as it came")
    for column, values in columns.items():
        note_column(rows, dataset, images, column, values)


def note_column(
    rows: Rows, dataset: Dataset, images: Population, column: str, values: Array, measurement: str = PART
) -> None:
    """One row per image: the value (n,) that it has of a column."""
    known, codes = np.unique(values, return_inverse=True)
    parts = Coded(codes.astype(np.min_scalar_type(len(known))), [f"{column} = {value}" for value in known])
    rows.note(np.ones(len(images), bool), **_who(dataset, images), measurement=measurement, condition=parts)


def note_parts(rows: Rows, dataset: Dataset, finding: Finding, observed: Observations, rule: Rule) -> None:
    """One row per image and number: its part in what was measured, so that runs can be compared image by image.

    The mean of the rows of a measurement is the measurement.
    """
    if finding.target is None:
        return
    target = observed.classes.index(finding.target)
    insertion, removals, at = observed.insertion, observed.removals, observed.column(target)
    parts: list[tuple[Population, str, str, Array]] = []
    if insertion is not None:
        images = insertion.images
        found = leads_by_image(observed, insertion, target, rule) | decisions_by_image(insertion, target)
        parts += [(images, name, "inserted", values) for name, values in found.items()]
        for condition, predicted in (("as it came", images.predicted), ("inserted", insertion.predicted)):
            correct = np.where(images.labelled, is_correct(predicted, images.has), np.nan)
            parts.append((images, "correct", condition, correct))
    if removals is not None:
        for way, fall in removals.fall.items():
            contrast = fall[:, at] - removals.placebo[way][:, at]
            parts += [
                (removals.images, "removal_fall", way, fall[:, at]),
                (removals.images, "removal_contrast", way, contrast),
            ]
    for images, measurement, condition, values in parts:
        rows.note(
            values,
            **_who(dataset, images),
            label=_named(images.has, observed.classes),
            artefact=finding.artefact,
            target=finding.target,
            measurement=measurement,
            condition=condition,
        )


def note_interventions(rows: Rows, dataset: Dataset, finding: Finding, observed: Observations) -> None:
    """One row per image and intervention: how far the target's log-odds moved."""
    if finding.target is None:
        return
    target = observed.classes.index(finding.target)
    insertion, removals, at = observed.insertion, observed.removals, observed.column(target)
    varied, shifts = observed.varied, list[tuple[Population, str, Array]]()
    if insertion is not None:
        images = insertion.images
        shifts.append((images, "inserted", insertion.shift[:, target]))
        shifts += [(images, f"control: {name}", values[:, target]) for name, values in insertion.controls.items()]
    if varied is not None:
        images = varied.images
        shifts += [(images, f"variant: {name}", values[:, at]) for name, values in varied.variants.items()]
        shifts += [(images, f"opacity: {dose:g}", values[:, at]) for dose, values in varied.doses.items()]
    if removals is not None:
        images = removals.images
        shifts += [(images, f"removed: {name}", -values[:, at]) for name, values in removals.fall.items()]
        shifts += [(images, f"removed elsewhere: {name}", -values[:, at]) for name, values in removals.placebo.items()]
    for images, condition, values in shifts:
        rows.note(
            values,
            **_who(dataset, images),
            artefact=finding.artefact,
            target=finding.target,
            measurement="shift of the log-odds",
            condition=condition,
        )


def _who(dataset: Dataset, images: Population) -> dict[str, Coded]:
    """The images of rows, and their groups."""
    return {
        "image": Coded(images.positions, dataset.ids),
        "group": Coded(images.groups, dataset.group_names),
    }


def _named(flags: Bools, classes: tuple[str, ...]) -> Coded:
    """The classes that each image has, flags (n, classes); None where it has none."""
    known, codes = np.unique(flags, axis=0, return_inverse=True)
    names = [name_classes(row, classes) if row.any() else None for row in known]
    return Coded(codes.ravel().astype(np.min_scalar_type(len(known))), names)
