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
from auditor.artefacts.overlay import Overlay
from auditor.errors import AuditError, DataError, ModelError
from auditor.measure.arrays import Array, Floats, Ints, join, take
from auditor.measure.measurement import Note
from auditor.subject.data.copies import Copies
from auditor.subject.data.sample import Batch, Dataset
from auditor.subject.model.classifier import Classifier, log_odds, predicted_classes, to_probability
from auditor.subject.pooling import Answer, Pool
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
    counted = Counted(classifier, pool=Pool(classifier, batch_size))
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


@dataclass(frozen=True)
class _Put:
    """What an appearance and its controls were asked to do to some images."""

    before: Population
    inserted: Answer
    controls: dict[str, list[Answer]]


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
        # where it is one overlay, the dose of its own opacity is the insertion itself
        self.own_dose = look.opacity if isinstance(look, Overlay) and look.opacity in self.doses else None
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
            self._fail(failure)

    def add(self, batch: Batch, scores: Floats) -> None:
        """Try all interventions on a batch; an artefact that fails once is tried no more."""
        if self.failure is not None:
            return
        try:
            carries = self.artefact.carriers[batch.positions]
            asked: list[Callable[[], None]] = []
            if self.artefact.appearance.can_insert and (~carries).any():
                asked.append(self._insert(batch, scores, np.flatnonzero(~carries)))
            if carries.any():
                asked.append(self._remove(batch, scores, np.flatnonzero(carries)))
            for take_in in asked:  # all was asked for: the last batch alone may be less than whole
                take_in()
        except AuditError as failure:
            self._fail(failure)

    def _fail(self, failure: AuditError) -> None:
        assert self.classifier.pool is not None
        self.classifier.pool.drop()
        self.failure = failure

    def _insert(self, batch: Batch, scores: Floats, rows: Ints) -> Callable[[], None]:
        images, ids = batch.images[rows], [batch.ids[row] for row in rows]
        before = _populate(self.classifier, self.dataset, batch.positions[rows], scores[rows])
        randoms, region = self.artefact.randoms(ids), self.artefact.appearance.fixed_region

        def compare(name: str, draws: list[Floats], other: Floats) -> None:
            place = (slice(None), ... if region is None else region)
            apart = [float(np.abs(one[place] - other[place]).sum(dtype=np.float64)) for one in draws]
            self.apart[name].append(float(np.mean(apart)))

        put = self._put(self.artefact.appearance, self.controls, images, randoms, before, compare=compare)
        self.pixels += images[:, ... if region is None else region].size
        shown, is_shown = self.classifier.part("variants and doses"), np.isin(batch.positions[rows], self.shown)
        those = self.artefact.randoms([ids[row] for row in np.flatnonzero(is_shown)])
        tried: dict[str | float, Answer] = {}
        for name, edit in (self.variants | self.doses).items() if is_shown.any() else ():
            if name != self.own_dose:
                tried[name] = shown.ask(edit(images[is_shown], those))
        moved: _Put | None = None
        if self.neighbour is not None:
            fresh = ~np.isin(self.dataset.groups[batch.positions[rows]], self.dataset.groups[self.neighbour.screened])
            if fresh.any():
                others = self.artefact.randoms([ids[row] for row in np.flatnonzero(fresh)])
                look, controls = self.neighbour.look, self.neighbour.controls
                moved = self._put(look, controls, images[fresh], others, take(before, fresh), NEIGHBOURS)

        def shift(name: str | float) -> Floats:
            by = np.full(before.scores.shape, np.nan, np.float32)
            if name == self.own_dose:
                by[is_shown] = (log_odds(put.inserted.scores, shown.output) - before.scores)[is_shown]
            elif name in tried:
                by[is_shown] = log_odds(tried[name].scores, shown.output) - before.scores[is_shown]
            return self._kept(by)

        def take_in() -> None:
            variants = {name: shift(name) for name in self.variants}
            doses = {dose: shift(dose) for dose in self.doses}
            self.inserted.append(replace(self._measured(put), variants=variants, doses=doses))
            if moved is not None:
                self.moved.append(self._measured(moved))

        return take_in

    def _put(
        self,
        look: Appearance,
        controls: Mapping[str, list[Edit]],
        images: Floats,
        randoms: Randoms,
        before: Population,
        purpose: str = "",
        compare: Callable[[str, list[Floats], Floats], None] = lambda name, draws, other: None,
    ) -> _Put:
        """Ask what an appearance and its controls do to some images.

        Parameters
        ----------
        compare
            Told the name of each and the images that it gave, beside those that it is compared with.
        """
        inserted = look.insert(images, randoms)
        compare(_ITSELF, [inserted], images)
        own, innocent = (self.classifier.part(purpose or name) for name in ("the artefact", "controls"))
        answer, tried = own.ask(inserted), dict[str, list[Answer]]()
        for name, draws in controls.items():
            edited = [edit(images, randoms) for edit in draws]
            compare(name, edited, inserted)
            tried[name] = [innocent.ask(each) for each in edited]
        return _Put(before, answer, tried)

    def _measured(self, put: _Put) -> Insertion:
        """What an appearance and its controls did."""
        output, before, raw = self.classifier.output, put.before, put.inserted.scores
        scores = log_odds(raw, output)
        change = to_probability(scores) - to_probability(before.scores)
        return Insertion(
            images=before,
            shift=scores - before.scores,
            predicted=predicted_classes(raw, output),
            probability_change=self._kept(change.astype(np.float32)),
            controls={
                name: np.mean([log_odds(each.scores, output) for each in draws], axis=0) - before.scores
                for name, draws in put.controls.items()
            },
            predicted_with={
                name: np.stack([predicted_classes(each.scores, output) for each in draws]).mean(
                    axis=0, dtype=np.float32
                )
                for name, draws in put.controls.items()
            },
        )

    def _remove(self, batch: Batch, scores: Floats, rows: Ints) -> Callable[[], None]:
        ids, images = [batch.ids[row] for row in rows], batch.images[rows]
        before = _populate(self.classifier, self.dataset, batch.positions[rows], scores[rows])
        removals, lost = take_out(
            self.classifier.part("removal"), self.artefact, self.fills, ids, images, before, self._kept
        )
        self.without_mask += lost
        return lambda: self.removed.extend([] if removals is None else [removals()])

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
            self._fail(failure)
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
        return self._measured(self._put(self.artefact.appearance, self.controls, canvases, randoms, before, CANVASES))


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
