"""What an audit is about: model, data and artefacts, opened, checked and described."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from auditor.artefacts.kinds import Artefact, build_artefacts
from auditor.auditing.mistakes import Mistake, find_mistakes
from auditor.config.file import AuditConfig
from auditor.measure.arrays import Array
from auditor.measure.measurement import Note
from auditor.subject.data.sample import Dataset, open_dataset
from auditor.subject.data.sources import Source, first_image_shape, open_source
from auditor.subject.model.given import SCORES_ONLY, GivenClassifier
from auditor.subject.model.keras import KerasClassifier
from auditor.subject.model.loading import load_classifier
from auditor.subject.record import ModelRecord
from auditor.verdict.passes import EDITS, ONCE


@dataclass(frozen=True)
class Subject:
    """What an audit is about, opened and checked, before anything is measured."""

    classifier: KerasClassifier | GivenClassifier
    model: ModelRecord
    dataset: Dataset
    artefacts: list[Artefact]
    why_no_gradients: str | None = None
    """Why the model can be scored and not differentiated, where it cannot."""
    mistakes: list[Mistake] = field(default_factory=list)
    """What accuracy says is wrong with labels or pixels; then no verdict is given ..."""
    is_as_written: bool = False
    """... unless the user says that all is right as written."""
    finds_suspects: bool = False
    """Whether suspects that nobody named are looked for: by default where no artefact is named."""

    @property
    def notes(self) -> list[Note]:
        """What was guessed and what is odd about model and data, for people."""
        model = self.classifier
        found = list(model.notes if isinstance(model, KerasClassifier) else model.notes_of_memory)
        told = _TAKEN if self.is_as_written else TO_KEEP
        found += [Note("mistake", f"{mistake.text} {told}") for mistake in self.mistakes]
        found += [Note("data", text) for text in self.dataset.notes]
        skipped = len(self.dataset.skipped)
        if skipped:
            told = f"{skipped} {'image' if skipped == 1 else 'images'} could not be used; see what was left out."
            found.append(Note("images", told))
        if not self.dataset.labelled.any():
            told = "The data have no labels: images count as what they are predicted, and accuracy is not measured."
            found.append(Note("labels", told))
        if not self.artefacts:
            told = _NOTHING_NAMED + (_SUSPECTS_ALONE if self.finds_suspects else _NOTHING_DECIDED)
            found.append(Note("artefacts", told))
        return found


def read_strata(config: AuditConfig, dataset: Dataset) -> dict[str, Array]:
    """The columns that divide the images into parts: name -> (images,), values as text.

    Raises
    ------
    ConfigError
        There is no such column, or no value of it is shared by enough images to measure anything on.
    """
    found = {}
    for number, name in enumerate(config.data.strata):
        values = dataset.array(name)
        path = ("data", "strata", number)
        if values is None or values.ndim != 1:
            what = "no array or column of the data" if values is None else f"an array of shape {values.shape}"
            raise config.fault(path, f"got {name!r}, which is {what}; wanted one with a value per image")
        found[name] = values.astype(str)
        _, sizes = np.unique(found[name], return_counts=True)
        least = config.verdict.min_groups
        if sizes.max() < least:
            told = f"got {name!r}, whose commonest value {sizes.max()} images share"
            raise config.fault(path, f"{told}; wanted values that {least} images or more share")
    return found


TO_KEEP = "If all is right as written, as_written = true under [data] says so."
"""How to go on where accuracy says otherwise."""

_NOTHING_NAMED = "No artefact is named in the configuration: "
_SUSPECTS_ALONE = "only suspects that the audit finds itself are judged."
_NOTHING_DECIDED = "there is nothing to decide on."

_TAKEN = "It is taken as written, as as_written says."

_SEEN = 16
"""Images that the model's head is looked at with."""


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
    dataset = _open_dataset(config, source, classifier)
    batch = next(dataset.batches(_SEEN), None)
    if isinstance(classifier, KerasClassifier) and batch is not None:
        meaning = classifier.output
        classifier.settle(batch.images)
        model = classifier.record(model.source, model.sha256)
        if classifier.output != meaning:
            dataset = _open_dataset(config, source, classifier)
    artefacts = build_artefacts(config, dataset, classifier.image_shape, classifier.classes)
    scores_only = isinstance(classifier, GivenClassifier) and not classifier.is_differentiable
    carried = np.any([np.zeros(len(dataset), bool), *(artefact.carriers for artefact in artefacts)], axis=0)
    mistakes = find_mistakes(classifier, dataset, config.data.seed, carried)
    wanted = config.discovery.enabled
    return Subject(
        classifier,
        model,
        dataset,
        artefacts,
        why_no_gradients=SCORES_ONLY if scores_only else None,
        mistakes=mistakes,
        is_as_written=config.data.as_written,
        finds_suspects=not artefacts if wanted == "auto" else wanted,
    )


def hasten(subject: Subject) -> None:
    """Score by a faster engine from now on, where so much is to be scored that its start is worth while."""
    images = len(subject.dataset)
    due = images + (EDITS * images + ONCE) * len(subject.artefacts)
    if isinstance(subject.classifier, KerasClassifier):
        subject.classifier.hasten(lambda: subject.dataset.images(range(min(_TRIED, len(subject.dataset)))), due)


_TRIED = 16
"""Images that another engine is tried on."""


def _open_dataset(config: AuditConfig, source: Source, classifier: KerasClassifier | GivenClassifier) -> Dataset:
    return open_dataset(
        config,
        source,
        classes=classifier.classes,
        image_shape=classifier.image_shape,
        multilabel=classifier.output == "multilabel",
    )
