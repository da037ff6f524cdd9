"""Tries every intervention on every image, in one pass over the data, and keeps scores, never images."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from auditor.artefacts.appearance import Appearance, Edit, Randoms
from auditor.artefacts.kinds import Artefact
from auditor.errors import AuditError, DataError, ModelError
from auditor.measure.arrays import Array, Floats, Ints, join, take
from auditor.measure.measurement import Note
from auditor.subject.data.copies import Copies
from auditor.subject.data.sample import Batch, Dataset
from auditor.subject.model.classifier import Classifier, log_odds, predicted_classes, to_probability
from auditor.subject.population import Population
from auditor.subject.scoring import score_batches
from auditor.verdict.checks import check_run
from auditor.verdict.observations import Checks, Insertion, Observations, Removals
from auditor.verdict.passes import CANVASES, CHECKS, NEIGHBOURS, Counted
from auditor.verdict.removing import describe_found, take_out
from auditor.verdict.screening import Neighbour, choose_neighbour, choose_shown, draw_innocents, scrambled

Tried = TypeVar("Tried", Insertion, Removals)

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
) -> Survey:
    """Score every image as it is and after every intervention.

    Parameters
    ----------
    alpha
        Level of the tests to come: the smaller, the more draws of innocent content a scan needs.
    columns
        Column of the data -> (images of the sample,): values, as text, that divide the images into parts.
    """
    counted = Counted(classifier)
    trials = [_Trial(counted, dataset, each, fills, seed) for each in artefacts]
    total = np.zeros(classifier.image_shape, np.float64)
    seen: list[Population] = []
    done = 0
    copies = Copies()
    for batch, raw in score_batches(counted, dataset, batch_size):
        copies.add(batch.positions, batch.images)
        if not seen:
            _refuse_chance(counted.part(CHECKS), batch.images, raw)
        seen.append(_populate(classifier, dataset, batch.positions, raw))
        total += batch.images.sum(axis=0, dtype=np.float64)
        for trial in trials:
            trial.add(batch, raw)
        done += len(batch.ids)
        progress("interventions", done, len(dataset))
    if not seen:
        raise DataError(f"none of {len(dataset)} images could be used")
    dataset.join_copies(copies.find())
    images = _regrouped(join(seen), dataset)
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
        observed=[trial.observed(images, values, checks, draws, alpha) for trial in trials],
        passes=dict(counted.counts),
    )


@dataclass
class _Trial:
    """One artefact's interventions, and what they have given so far, batch by batch."""

    classifier: Counted
    dataset: Dataset
    artefact: Artefact
    fills: tuple[str, ...]
    seed: int
    failure: AuditError | None = None

    def __post_init__(self) -> None:
        look = self.artefact.appearance
        self.controls, self.notes = look.controls(self.artefact.controls, self.seed)
        self.variants, self.doses = look.variants(self.artefact.variants), look.doses()
        self.shown = choose_shown(self.dataset, self.artefact, self.seed)
        self.inserted: list[Insertion] = []
        self.moved: list[Insertion] = []
        self.apart: dict[str, list[float]] = defaultdict(list)
        self.removed: list[Removals] = []
        self.pixels = 0
        self.without_mask = 0
        self.neighbour: Neighbour | None = None
        try:
            self.neighbour = choose_neighbour(self.classifier.part(NEIGHBOURS), self.dataset, self.artefact, self.seed)
        except AuditError as failure:
            self.failure = failure

    def add(self, batch: Batch, scores: Floats) -> None:
        """Try all interventions on a batch; an artefact that fails once is tried no more."""
        if self.failure is not None:
            return
        try:
            carries = self.artefact.carriers[batch.positions]
            if self.artefact.appearance.can_insert and (~carries).any():
                self._insert(batch, scores, np.flatnonzero(~carries))
            if carries.any():
                self._remove(batch, scores, np.flatnonzero(carries))
        except AuditError as failure:
            self.failure = failure

    def _insert(self, batch: Batch, scores: Floats, rows: Ints) -> None:
        images, ids = batch.images[rows], [batch.ids[row] for row in rows]
        before = _populate(self.classifier, self.dataset, batch.positions[rows], scores[rows])
        randoms, region = self.artefact.randoms(ids), self.artefact.appearance.fixed_region
        part, inserted, edited = self._put(self.artefact.appearance, self.controls, images, randoms, before)
        shown, is_shown = self.classifier.part("variants and doses"), np.isin(batch.positions[rows], self.shown)
        those = self.artefact.randoms([ids[row] for row in np.flatnonzero(is_shown)])

        def shift(edit: Edit) -> Floats:
            moved = np.full(before.scores.shape, np.nan, np.float32)
            if is_shown.any():
                scores = shown.scores(edit(images[is_shown], those))
                moved[is_shown] = log_odds(scores, shown.output) - before.scores[is_shown]
            return self._kept(moved)

        self.inserted.append(
            replace(
                part,
                variants={name: shift(edit) for name, edit in self.variants.items()},
                doses={dose: shift(edit) for dose, edit in self.doses.items()},
            )
        )

        def differ(one: Floats, other: Floats) -> float:
            return float(np.abs(one - other)[:, ... if region is None else region].sum(dtype=np.float64))

        self.apart[_ITSELF].append(differ(inserted, images))
        for name, drawn in edited.items():
            self.apart[name].append(float(np.mean([differ(each, inserted) for each in drawn])))
        self.pixels += images[:, ... if region is None else region].size
        if self.neighbour is not None:
            fresh = ~np.isin(self.dataset.groups[batch.positions[rows]], self.dataset.groups[self.neighbour.screened])
            if fresh.any():
                others = self.artefact.randoms([ids[row] for row in np.flatnonzero(fresh)])
                look, controls = self.neighbour.look, self.neighbour.controls
                part, *_ = self._put(look, controls, images[fresh], others, take(before, fresh), NEIGHBOURS)
                self.moved.append(part)

    def _put(
        self,
        look: Appearance,
        controls: Mapping[str, list[Edit]],
        images: Floats,
        randoms: Randoms,
        before: Population,
        purpose: str = "",
    ) -> tuple[Insertion, Floats, dict[str, list[Floats]]]:
        """What an appearance and its controls do to some images; and the images with the one, and with the others."""
        output, inserted = self.classifier.output, look.insert(images, randoms)
        raw = self.classifier.part(purpose or "the artefact").scores(inserted)
        scores = log_odds(raw, output)
        change = to_probability(scores) - to_probability(before.scores)
        edited = {name: [edit(images, randoms) for edit in draws] for name, draws in controls.items()}
        innocent = self.classifier.part(purpose or "controls")
        tried = {name: [innocent.scores(each) for each in draws] for name, draws in edited.items()}
        part = Insertion(
            images=before,
            shift=scores - before.scores,
            predicted=predicted_classes(raw, output),
            probability_change=self._kept(change.astype(np.float32)),
            controls={
                name: np.mean([log_odds(each, output) for each in draws], axis=0) - before.scores
                for name, draws in tried.items()
            },
            predicted_with={
                name: np.stack([predicted_classes(each, output) for each in draws]).mean(axis=0, dtype=np.float32)
                for name, draws in tried.items()
            },
        )
        return part, inserted, edited

    def _remove(self, batch: Batch, scores: Floats, rows: Ints) -> None:
        ids, images = [batch.ids[row] for row in rows], batch.images[rows]
        before = _populate(self.classifier, self.dataset, batch.positions[rows], scores[rows])
        part, lost = take_out(
            self.classifier.part("removal"), self.artefact, self.fills, ids, images, before, self._kept
        )
        self.without_mask += lost
        if part is not None:
            self.removed.append(part)

    def _kept(self, values: Floats) -> Floats:
        """The columns of the classes that may become the target: (n, targets)."""
        return values if self.artefact.target is None else values[:, [self.artefact.target]]

    def observed(
        self, images: Population, columns: dict[str, Array], checks: Checks, draws: int, alpha: float
    ) -> Observations | AuditError:
        """What all batches together gave."""
        if self.failure is not None:
            return self.failure
        notes, insertion = list(self.notes), join(self.inserted) if self.inserted else None
        if insertion is not None:
            alike = max(_ALIKE * sum(self.apart[_ITSELF]), _STEP * self.pixels)
            for name in [name for name in insertion.controls if sum(self.apart[name]) < alike]:
                del insertion.controls[name], insertion.predicted_with[name]
                notes.append(
                    Note("control", f"control {name!r} looks like the artefact on these images and is left out")
                )
            insertion = _of_groups(insertion, self.dataset)
        if self.without_mask:
            told = f"{self.without_mask} images said to carry it have no usable region and were left out"
            notes.append(Note("no region", told))
        removals = _of_groups(join(self.removed), self.dataset) if self.removed else None
        notes += [*self.artefact.notes, *([] if removals is None else describe_found(removals))]
        observed = Observations(
            artefact=self.artefact.name,
            classes=self.classifier.classes,
            one_logit=self.classifier.output == "binary",
            insertion=insertion,
            removals=removals,
            notes=tuple(notes),
            checks=checks,
            target=self.artefact.target,
            images=images,
            carries=self.artefact.carriers[images.positions],
            columns=columns,
            elsewhere=self._elsewhere(),
            place=self.neighbour.name if self.neighbour else "",
        )
        try:
            if insertion is None and self.artefact.appearance.can_insert:
                observed = replace(observed, alone=self._alone(images))
            if self.artefact.target is None and insertion is not None:
                drawn = draw_innocents(
                    self.classifier.part("random innocent content"),
                    self.dataset,
                    self.artefact,
                    observed,
                    draws,
                    alpha,
                    self.seed,
                )
                observed = replace(observed, draws=drawn)
        except AuditError as failure:
            return failure
        return observed

    def _elsewhere(self) -> Insertion | None:
        """What the neighbour does, on images of groups that it was not chosen on."""
        if self.neighbour is None or not self.moved:
            return None
        moved = _of_groups(join(self.moved), self.dataset)
        fresh = ~np.isin(moved.images.groups, self.dataset.groups[self.neighbour.screened])
        return moved.rows(fresh) if fresh.any() else None

    def _alone(self, images: Population) -> Insertion | None:
        """What the artefact does where there is nothing else: on the scrambled pixels of images that carry it."""
        carriers = images.positions[self.artefact.carriers[images.positions]]
        positions, canvases = scrambled(self.dataset, carriers, self.seed)
        if not len(positions):
            return None
        raw = self.classifier.part(CANVASES).scores(canvases)
        before = _populate(self.classifier, self.dataset, positions, raw)
        before = replace(before, has=np.zeros_like(before.has))
        randoms = self.artefact.randoms([self.dataset.ids[position] for position in positions])
        return self._put(self.artefact.appearance, self.controls, canvases, randoms, before, CANVASES)[0]


def _populate(classifier: Classifier, dataset: Dataset, positions: Ints, scores: Floats) -> Population:
    """Images at some rows of the data set (n,) by their scores (n, classes)."""
    labelled, predicted = dataset.labelled[positions], predicted_classes(scores, classifier.output)
    has = predicted if dataset.truth is None else np.where(labelled[:, None], dataset.truth[positions], predicted)
    odds = log_odds(scores, classifier.output)
    return Population(positions, odds, predicted, has, labelled, dataset.groups[positions])


def _regrouped(images: Population, dataset: Dataset) -> Population:
    """The images with the groups that they have now, copies being known."""
    return replace(images, groups=dataset.groups[images.positions])


def _of_groups(observed: Tried, dataset: Dataset) -> Tried:
    return replace(observed, images=_regrouped(observed.images, dataset))


def _refuse_chance(classifier: Classifier, images: Floats, scores: Floats) -> None:
    """A model that scores the same images differently in another order (dropout left on) cannot be audited."""
    again = classifier.scores(images[::-1])[::-1]
    difference = float(np.abs(again - scores).max())
    if difference > 1e-3 * max(1.0, float(np.abs(scores).max())):
        raise ModelError(
            f"the model scores the same images differently in another order, by up to {difference:.3g}; "
            "does it draw at random, or mix the images of a batch, when it should not?"
        )


_ITSELF = ""
"""Beside the names of controls: what the artefact itself changes."""

_ALIKE = 0.2
"""A control nearer to the artefact than this share of what the artefact itself changes is no control, and ..."""

_STEP = 0.5 / 255
"""... neither is one that no 8-bit picture could tell from it, on average over the region and the images."""
