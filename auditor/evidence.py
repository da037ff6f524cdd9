"""Tries every intervention on every image, in one pass over the data, and keeps scores, never images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from auditor.artefacts import Artefact, Overlay
from auditor.classifier import Classifier, log_odds, predicted_classes
from auditor.datasets import Batch, Dataset
from auditor.errors import AuditError
from auditor.interventions import Edit, insert, make_controls, make_doses, make_variants, remove
from auditor.reliance import Evidence, Insertion, Population, Removals

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Progress = Callable[[str, int, int], None]
"""Told the stage, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Survey:
    """What one pass over the data gave."""

    images: Population
    """All usable images, as they came."""
    mean_image: Floats
    """(h, w, c)."""
    evidence: list[Evidence | AuditError]
    """For each artefact, what was measured, or why it could not be."""


def survey(
    classifier: Classifier,
    dataset: Dataset,
    artefacts: list[Artefact],
    carriers: list[Bools],
    *,
    fills: tuple[str, ...],
    seed: int,
    batch_size: int,
    progress: Progress,
) -> Survey:
    """Score every image as it is and after every intervention.

    Parameters
    ----------
    carriers
        For each artefact, which images (images,) of the data set carry it.
    """
    trials = [_Trial(classifier, a, c, fills, seed) for a, c in zip(artefacts, carriers, strict=True)]
    total = np.zeros(classifier.image_shape, np.float64)
    seen: list[npt.NDArray[np.int64]] = []
    scores: list[Floats] = []
    done = 0
    for batch in dataset.batches(batch_size):
        raw = classifier.scores(batch.images)
        seen.append(batch.positions)
        scores.append(raw)
        total += batch.images.sum(axis=0, dtype=np.float64)
        for trial in trials:
            trial.add(batch, raw)
        done += len(batch.ids)
        progress("interventions", done, len(dataset))
    positions = np.concatenate(seen) if seen else np.empty(0, np.int64)
    all_scores = np.concatenate(scores) if scores else np.empty((0, len(classifier.classes)), np.float32)
    return Survey(
        images=_population(classifier, dataset, positions, all_scores),
        mean_image=(total / max(len(positions), 1)).astype(np.float32),
        evidence=[trial.evidence(dataset) for trial in trials],
    )


@dataclass
class _Trial:
    """One artefact's interventions, and the scores they have given so far."""

    classifier: Classifier
    artefact: Artefact
    carriers: Bools
    fills: tuple[str, ...]
    seed: int
    notes: list[str] = field(default_factory=list)
    failure: AuditError | None = None

    def __post_init__(self) -> None:
        self.edits: dict[tuple[str, str | float], Edit] = {}
        overlay = self.artefact.appearance
        if isinstance(overlay, Overlay):
            controls, self.notes = make_controls(overlay, self.artefact.controls, self.seed)
            self.edits[("artefact", "")] = lambda images: insert(images, overlay)
            self.edits |= {("control", name): edit for name, edit in controls.items()}
            self.edits |= {("variant", name): edit for name, edit in make_variants(overlay).items()}
            self.edits |= {("dose", dose): edit for dose, edit in make_doses(overlay).items()}
        self.inserted: dict[tuple[str, str | float], list[Floats]] = defaultdict(list)
        self.removed: dict[str, list[Floats]] = defaultdict(list)
        self.placebos: dict[str, list[Floats]] = defaultdict(list)
        self.free_positions: list[npt.NDArray[np.int64]] = []
        self.carrier_positions: list[npt.NDArray[np.int64]] = []
        self.free_scores: list[Floats] = []
        self.carrier_scores: list[Floats] = []

    def add(self, batch: Batch, scores: Floats) -> None:
        """Try all interventions on a batch; an artefact that fails once is tried no more."""
        if self.failure is not None:
            return
        try:
            carries = self.carriers[batch.positions]
            if self.edits and (~carries).any():
                self._insert(batch, scores, ~carries)
            if carries.any():
                self._remove(batch, scores, carries)
        except AuditError as failure:
            self.failure = failure

    def _insert(self, batch: Batch, scores: Floats, rows: Bools) -> None:
        self.free_positions.append(batch.positions[rows])
        self.free_scores.append(scores[rows])
        for key, edit in self.edits.items():
            self.inserted[key].append(self.classifier.scores(edit(batch.images[rows])))

    def _remove(self, batch: Batch, scores: Floats, rows: Bools) -> None:
        overlay = self.artefact.appearance if isinstance(self.artefact.appearance, Overlay) else None
        edited: dict[str, list[Floats]] = defaultdict(list)
        elsewhere: dict[str, list[Floats | None]] = defaultdict(list)
        kept = []
        for row in np.flatnonzero(rows):
            image = batch.images[row]
            mask = self.artefact.region(batch.ids[row], self.classifier.image_shape)
            if mask is None or not mask.any() or mask.all():
                continue
            kept.append(row)
            for name, removal in remove(image, mask, self.fills, overlay).items():
                edited[name].append(removal.removed)
                elsewhere[name].append(removal.placebo)
        if not kept:
            return
        self.carrier_positions.append(batch.positions[kept])
        self.carrier_scores.append(scores[kept])
        for name, images in edited.items():
            self.removed[name].append(self.classifier.scores(np.stack(images)))
            placebos = elsewhere[name]
            possible = [at for at, image in enumerate(placebos) if image is not None]
            result = np.full_like(scores[kept], np.nan)
            if possible:
                result[possible] = self.classifier.scores(np.stack([p for p in placebos if p is not None]))
            self.placebos[name].append(result)

    def evidence(self, dataset: Dataset) -> Evidence | AuditError:
        """What all batches together gave."""
        if self.failure is not None:
            return self.failure
        insertion, removals = None, None
        output = self.classifier.output
        if self.free_positions:
            images = _population(
                self.classifier,
                dataset,
                np.concatenate(self.free_positions),
                np.concatenate(self.free_scores),
            )
            raw = np.concatenate(self.free_scores)
            after = {key: np.concatenate(parts) for key, parts in self.inserted.items()}
            shift = {key: log_odds(scores, output) - images.scores for key, scores in after.items()}
            inserted = after["artefact", ""]
            insertion = Insertion(
                images=images,
                shift=shift["artefact", ""],
                predicted=predicted_classes(inserted, output),
                probability_change=_probabilities(inserted, output) - _probabilities(raw, output),
                controls={str(name): values for (kind, name), values in shift.items() if kind == "control"},
                variants={str(name): values for (kind, name), values in shift.items() if kind == "variant"},
                doses={float(dose): values for (kind, dose), values in shift.items() if kind == "dose"},
            )
        if self.carrier_positions:
            images = _population(
                self.classifier,
                dataset,
                np.concatenate(self.carrier_positions),
                np.concatenate(self.carrier_scores),
            )
            without = {name: np.concatenate(parts) for name, parts in self.removed.items()}
            removals = Removals(
                images=images,
                fall={name: images.scores - log_odds(scores, output) for name, scores in without.items()},
                placebo={
                    name: images.scores - log_odds(np.concatenate(parts), output)
                    for name, parts in self.placebos.items()
                },
                predicted={name: predicted_classes(scores, output) for name, scores in without.items()},
            )
        return Evidence(
            artefact=self.artefact.name,
            classes=self.classifier.classes,
            one_logit=output == "binary",
            insertion=insertion,
            removals=removals,
            notes=tuple(self.notes),
        )


def _population(classifier: Classifier, dataset: Dataset, positions: npt.NDArray[np.int64], raw: Floats) -> Population:
    predicted = predicted_classes(raw, classifier.output)
    labelled = dataset.labelled[positions]
    has = predicted if dataset.truth is None else np.where(labelled[:, None], dataset.truth[positions], predicted)
    return Population(
        positions=positions,
        scores=log_odds(raw, classifier.output),
        predicted=predicted,
        has=has,
        labelled=labelled,
        groups=dataset.groups[positions],
    )


def _probabilities(raw: Floats, output: str) -> Floats:
    values = raw.astype(np.float64)
    if output == "softmax":
        exponentials = np.exp(values - values.max(axis=1, keepdims=True))
        return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)
    return (0.5 * (1 + np.tanh(values / 2))).astype(np.float32)
