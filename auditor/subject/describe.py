"""What a result tells of the images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from auditor.config.file import AuditConfig
from auditor.measure.intervals import share_interval
from auditor.subject.data.sample import Dataset
from auditor.subject.population import Population, is_correct
from auditor.subject.record import ClassAccuracy, DataRecord


def describe_data(
    config: AuditConfig, dataset: Dataset, images: Population, classes: tuple[str, ...], level: float
) -> DataRecord:
    """The record of the sampled images, their accuracy in all and by class with intervals at `level`."""
    correct = is_correct(images.predicted, images.has)
    labelled = images.labelled
    by_class = []
    for number, name in enumerate(classes):
        rows = images.has[:, number] & labelled
        if rows.any() or images.predicted[:, number].any():
            accuracy = share_interval(images.predicted[rows, number], images.groups[rows], level)
            by_class.append(ClassAccuracy(name, int(rows.sum()), int(images.predicted[:, number].sum()), accuracy))
    overall = share_interval(correct[labelled], images.groups[labelled], level)
    return DataRecord(
        source=config.data.source,
        sha256=dataset.sha256(images.positions),
        available=dataset.available,
        sampled=len(dataset),
        used=len(images),
        groups=len(np.unique(images.groups)),
        labelled=bool(labelled.any()),
        skipped=[dataset.skipped[row] for row in sorted(dataset.skipped)],
        accuracy=overall if labelled.any() else replace(overall, reason="the data have no labels"),
        classes=by_class,
        mean_image="mean image",
    )
