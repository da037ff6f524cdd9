"""What an audit is about: model, data and artefacts, opened, checked and described."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt

from auditor.artefacts.edits import insert
from auditor.artefacts.kinds import Artefact, Overlay, build_artefacts, find_carriers
from auditor.config.file import AuditConfig
from auditor.measure.intervals import share_interval
from auditor.measure.measurement import (
    ArtefactRecord,
    ClassAccuracy,
    DataRecord,
    Finding,
    ModelRecord,
    Provenance,
    Rule,
)
from auditor.run.store import NewArrays, Rows
from auditor.subject.data.pictures import to_pixels
from auditor.subject.data.sample import Dataset, open_dataset
from auditor.subject.data.sources import first_image_shape, open_source
from auditor.subject.model.keras import KerasClassifier
from auditor.subject.model.loading import load_classifier
from auditor.verdict.effects import is_correct
from auditor.verdict.observations import Evidence, Population

Bools = npt.NDArray[np.bool_]

_PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "scikit-image", "tf-explain", "pillow")


@dataclass(frozen=True)
class Subject:
    """What an audit is about, opened and checked, before anything is measured."""

    classifier: KerasClassifier
    model: ModelRecord
    dataset: Dataset
    artefacts: list[Artefact]
    carriers: list[Bools]


def open_subject(config: AuditConfig) -> Subject:
    """Open model, data and artefacts, and check all that can be checked without running the audit.

    Raises
    ------
    AuditError
        Whatever is wrong with them.
    """
    source = open_source(config)
    classifier, model = load_classifier(config, first_image_shape(source))
    dataset = open_dataset(
        config,
        source,
        classes=classifier.classes,
        image_shape=classifier.image_shape,
        multilabel=classifier.output == "multilabel",
    )
    artefacts = build_artefacts(config, classifier.image_shape, classifier.classes, dataset.masks)
    carriers = [find_carriers(artefact, dataset, classifier.classes) for artefact in artefacts]
    next(dataset.batches(1), None)
    return Subject(classifier, model, dataset, artefacts, carriers)


def describe_artefact(config: AuditConfig, subject: Subject, number: int, arrays: NewArrays) -> ArtefactRecord:
    artefact, carries = subject.artefacts[number], subject.carriers[number]
    overlay = artefact.appearance if isinstance(artefact.appearance, Overlay) else None
    picture = None
    if overlay is not None:
        grey = np.full((1, *subject.classifier.image_shape), 0.5, np.float32)
        picture = f"artefact {number}"
        arrays[picture] = to_pixels(insert(grey, overlay)[0])
    target = None if artefact.target is None else subject.classifier.classes[artefact.target]
    return ArtefactRecord(
        name=artefact.name,
        kind=artefact.kind,
        target=target,
        present=artefact.present,
        carriers=int(carries.sum()),
        coverage=None if overlay is None else float(overlay.mask.mean()),
        box=None if overlay is None else overlay.box,
        opacity=None if overlay is None else overlay.opacity,
        picture=picture,
        line=config.places.get(("artefacts", number), (None, None))[0],
    )


def describe_data(
    config: AuditConfig, dataset: Dataset, images: Population, classes: tuple[str, ...], rule: Rule
) -> DataRecord:
    correct = is_correct(images.predicted, images.has)
    labelled = images.labelled
    by_class = []
    for number, name in enumerate(classes):
        rows = images.has[:, number] & labelled
        if rows.any() or images.predicted[:, number].any():
            accuracy = share_interval(images.predicted[rows, number], images.groups[rows], rule.level)
            by_class.append(ClassAccuracy(name, int(rows.sum()), int(images.predicted[:, number].sum()), accuracy))
    overall = share_interval(correct[labelled], images.groups[labelled], rule.level)
    return DataRecord(
        source=config.data.source,
        sha256=dataset.sha256(),
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


def note_images(rows: Rows, subject: Subject, images: Population) -> None:
    """One row per image: its label, prediction and the score of the prediction."""
    dataset, classes = subject.dataset, subject.classifier.classes
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


def note_interventions(rows: Rows, subject: Subject, finding: Finding, evidence: Evidence) -> None:
    """One row per image and intervention: how far the target's log-odds moved."""
    if finding.target is None:
        return
    target = subject.classifier.classes.index(finding.target)
    insertion, removals, at = evidence.insertion, evidence.removals, evidence.column(target)
    shifts: list[tuple[Population, str, npt.NDArray[Any]]] = []
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
                image=subject.dataset.ids[position],
                group=str(subject.dataset.groups[position]),
                artefact=finding.artefact,
                target=finding.target,
                measurement="shift of the log-odds",
                condition=condition,
                value=float(value) if np.isfinite(value) else None,
            )


def describe_run(config: AuditConfig, started: datetime, seconds: float) -> Provenance:
    return Provenance(
        started=started.isoformat(timespec="seconds"),
        seconds=round(seconds, 1),
        auditor=_version("auditor") or "not installed",
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages=_versions(),
        seed=config.data.seed,
        config_file=config.file.name,
        config=config.echo(),
    )


def _versions() -> dict[str, str]:
    versions: Mapping[str, str | None] = {name: _version(name) for name in _PACKAGES}
    return {name: version for name, version in versions.items() if version is not None}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
