"""What an audit is about: model, data and artefacts, opened, checked and described."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from auditor.artefacts.kinds import Artefact, build_artefacts
from auditor.config.file import AuditConfig
from auditor.subject.data.sample import Dataset, open_dataset
from auditor.subject.data.sources import Source, first_image_shape, open_source
from auditor.subject.model.given import SCORES_ONLY, GivenClassifier
from auditor.subject.model.keras import KerasClassifier
from auditor.subject.model.loading import load_classifier
from auditor.subject.record import ModelRecord


@dataclass(frozen=True)
class Subject:
    """What an audit is about, opened and checked, before anything is measured."""

    classifier: KerasClassifier | GivenClassifier
    model: ModelRecord
    dataset: Dataset
    artefacts: list[Artefact]
    why_no_gradients: str | None = None
    """Why the model can be scored and not differentiated, where it cannot."""


@dataclass(frozen=True)
class Handed:
    """What is handed in as an object, in place of the file that a configuration would name."""

    model: Any = None
    """A Keras model, or anything that is a `Classifier`."""
    source: Source | None = None


NOTHING = Handed()


def open_subject(config: AuditConfig, handed: Handed = NOTHING) -> Subject:
    """Open model, data and artefacts, and check all that can be checked without running the audit.

    Raises
    ------
    AuditError
        Whatever is wrong with them.
    """
    source = handed.source or open_source(config)
    classifier, model = load_classifier(config, first_image_shape(source), handed.model)
    dataset = open_dataset(
        config,
        source,
        classes=classifier.classes,
        image_shape=classifier.image_shape,
        multilabel=classifier.output == "multilabel",
    )
    artefacts = build_artefacts(config, dataset, classifier.image_shape, classifier.classes)
    next(dataset.batches(1), None)
    scores_only = isinstance(classifier, GivenClassifier) and not classifier.is_differentiable
    return Subject(classifier, model, dataset, artefacts, SCORES_ONLY if scores_only else None)
