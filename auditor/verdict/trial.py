"""Tries every intervention on every image, in one pass over the data, and keeps scores, never images."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from auditor.artefacts.edits import paste_middle, remove
from auditor.artefacts.kinds import Artefact
from auditor.errors import AuditError, DataError, ModelError
from auditor.measure.arrays import Bools, Floats, Ints, join, take
from auditor.measure.measurement import Note
from auditor.measure.seeds import audit_generator
from auditor.subject.data.copies import Copies
from auditor.subject.data.sample import Batch, Dataset
from auditor.subject.model.classifier import Classifier, log_odds, predicted_classes, to_probability
from auditor.subject.population import Population
from auditor.subject.scoring import score_batches
from auditor.verdict.observations import Checks, Insertion, Observations, Removals

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
) -> Survey:
    """Score every image as it is and after every intervention.

    Parameters
    ----------
    alpha
        Level of the tests to come: the smaller, the more draws of innocent content a scan needs.
    """
    # one more than the fewest that can reach the level, Holm's correction included
    draws = math.ceil(2 * len(artefacts) / alpha)
    trials = [_Trial(classifier, dataset, each, fills, draws, seed) for each in artefacts]
    total = np.zeros(classifier.image_shape, np.float64)
    seen: list[Population] = []
    done = 0
    copies = Copies()
    for batch, raw in score_batches(classifier, dataset, batch_size):
        copies.add(batch.positions, batch.images)
        if not seen:
            _refuse_chance(classifier, batch.images, raw)
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
        checks = _check(classifier, dataset, images, targets, regions, seed)
    return Survey(
        images=images,
        mean_image=(total / len(images)).astype(np.float32),
        observed=[trial.observed(checks) for trial in trials],
    )


@dataclass
class _Trial:
    """One artefact's interventions, and what they have given so far, batch by batch."""

    classifier: Classifier
    dataset: Dataset
    artefact: Artefact
    fills: tuple[str, ...]
    draws: int
    seed: int
    failure: AuditError | None = None

    def __post_init__(self) -> None:
        look = self.artefact.appearance
        self.controls, self.notes = look.controls(self.artefact.controls, self.seed)
        self.variants, self.doses = look.variants(self.artefact.variants), look.doses()
        self.innocents = look.innocents(self.draws, self.seed) if self.artefact.target is None else []
        self.drawn = np.zeros(len(self.dataset), bool)
        if self.innocents:
            free = audit_generator(self.seed, "drawn images").permutation(np.flatnonzero(~self.artefact.carriers))
            self.drawn[free[:_DRAWN_IMAGES]] = True
        self.inserted: list[Insertion] = []
        self.chance: list[Floats] = []
        self.distances: dict[str, list[float]] = defaultdict(list)
        self.removed: list[Removals] = []
        self.without_mask = 0

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
        randoms, region = self.artefact.randoms(ids), self.artefact.appearance.fixed_region
        before = _populate(self.classifier, self.dataset, batch.positions[rows], scores[rows])
        inserted = self.artefact.appearance.insert(images, randoms)
        after = _populate(self.classifier, self.dataset, batch.positions[rows], self.classifier.scores(inserted))

        def shift(edited: Floats) -> Floats:
            return self._kept(self._odds(edited) - before.scores)

        controls = {}
        for name, draws in self.controls.items():
            edited = [edit(images, randoms) for edit in draws]
            controls[name] = np.mean([shift(each) for each in edited], axis=0)
            apart = [np.abs(each - inserted) for each in edited]
            self.distances[name] += [float((each if region is None else each[:, region]).mean()) for each in apart]
        change = to_probability(after.scores) - to_probability(before.scores)
        self.inserted.append(
            Insertion(
                images=before,
                shift=after.scores - before.scores,
                predicted=after.predicted,
                probability_change=self._kept(change.astype(np.float32)),
                controls=controls,
                variants={name: shift(edit(images, randoms)) for name, edit in self.variants.items()},
                doses={dose: shift(edit(images, randoms)) for dose, edit in self.doses.items()},
            )
        )
        drawn = self.drawn[batch.positions[rows]]
        if drawn.any():
            some = self.artefact.randoms([ids[row] for row in np.flatnonzero(drawn)])
            innocent = [self._odds(edit(images[drawn], some)) for edit in self.innocents]
            self.chance.append(np.stack(innocent) - before.scores[drawn])

    def _remove(self, batch: Batch, scores: Floats, rows: Ints) -> None:
        regions = {row: self.artefact.region(batch.ids[row], self.classifier.image_shape) for row in rows.tolist()}
        masks = {row: mask for row, mask in regions.items() if mask is not None and mask.any() and not mask.all()}
        self.without_mask += len(regions) - len(masks)
        if not masks:
            return
        look, kept = self.artefact.appearance, list(masks)
        tried = [remove(batch.images[row], mask, self.fills, look) for row, mask in masks.items()]
        before = _populate(self.classifier, self.dataset, batch.positions[kept], scores[kept])
        part = Removals(before, {}, {}, {})
        for name in tried[0]:
            after = self.classifier.scores(np.stack([ways[name].removed for ways in tried]))
            part.fall[name] = self._kept(before.scores - log_odds(after, self.classifier.output))
            part.predicted[name] = predicted_classes(after, self.classifier.output)
            placebos = {at: ways[name].placebo for at, ways in enumerate(tried) if ways[name].placebo is not None}
            fall = np.full(before.scores.shape, np.nan, np.float32)
            if placebos:
                possible = list(placebos)
                fall[possible] = before.scores[possible] - self._odds(np.array(list(placebos.values()), np.float32))
            part.placebo[name] = self._kept(fall)
        self.removed.append(part)

    def _odds(self, images: Floats) -> Floats:
        return log_odds(self.classifier.scores(images), self.classifier.output)

    def _kept(self, values: Floats) -> Floats:
        """The columns of the classes that may become the target: (n, targets)."""
        return values if self.artefact.target is None else values[:, [self.artefact.target]]

    def observed(self, checks: Checks) -> Observations | AuditError:
        """What all batches together gave."""
        if self.failure is not None:
            return self.failure
        notes, insertion = list(self.notes), join(self.inserted) if self.inserted else None
        if insertion is not None:
            for name in [name for name, parts in self.distances.items() if np.mean(parts) < _ALIKE]:
                del insertion.controls[name]
                notes.append(
                    Note("control", f"control {name!r} looks like the artefact on these images and is left out")
                )
        if insertion is not None and self.chance:
            drawn, draws = np.flatnonzero(self.drawn[insertion.images.positions]), np.concatenate(self.chance, axis=1)
            insertion = replace(insertion, drawn=drawn, draws=draws)
        if self.without_mask:
            told = f"{self.without_mask} images said to carry it have no usable region and were left out"
            notes.append(Note("no region", told))
        return Observations(
            artefact=self.artefact.name,
            classes=self.classifier.classes,
            one_logit=self.classifier.output == "binary",
            insertion=None if insertion is None else _of_groups(insertion, self.dataset),
            removals=_of_groups(join(self.removed), self.dataset) if self.removed else None,
            notes=tuple(notes),
            checks=checks,
            target=self.artefact.target,
        )


def _check(
    classifier: Classifier,
    dataset: Dataset,
    images: Population,
    targets: set[int | None],
    regions: list[Bools],
    seed: int,
) -> Checks | None:
    """Score images again that nothing was done to, and images that the object of another class was pasted into.

    Objects come from images that have just one class, one that is a target; each image gives its object once, to an
    image of another class. The regions of the artefacts are not pasted. None where an image is no longer there: it is
    skipped from then on.
    """
    order = audit_generator(seed, "checks").permutation(len(images))
    again = order[:_CHECKED]
    single = images.has.sum(axis=1) == 1
    first = images.has.argmax(axis=1)
    wanted = single if None in targets else single & np.isin(first, [t for t in targets if t is not None])
    donors: list[int] = []
    takers: list[int] = []
    given: Counter[int] = Counter()
    free = order.tolist()
    for donor in order:
        kind = int(first[donor])
        if not wanted[donor] or given[kind] == _CHECKED:
            continue
        taker = next((row for row in free if not images.has[row, kind]), None)
        if taker is None:
            continue
        free.remove(taker)
        given[kind] += 1
        donors.append(int(donor))
        takers.append(taker)
    keep_out = np.any(regions, axis=0) if regions else np.zeros(classifier.image_shape[:2], bool)
    if keep_out.mean() > 0.5:  # an artefact that covers the frame would leave nothing to paste
        keep_out[:] = False
    rise = np.empty(len(donors), np.float32)
    for start in range(0, len(donors), 64):
        part = slice(start, start + 64)
        (_, under), (_, objects) = (dataset.read(images.positions[rows]) for rows in (takers[part], donors[part]))
        if len(under) != len(takers[part]) or len(objects) != len(donors[part]):
            return None
        pasted = paste_middle(under, objects, keep_out)
        odds = log_odds(classifier.scores(pasted), classifier.output)
        at = np.arange(len(pasted))
        rise[part] = odds[at, first[donors[part]]] - images.scores[takers[part], first[donors[part]]]
    kept, still = dataset.read(images.positions[again])
    if len(kept) != len(again):
        return None
    once_more = log_odds(classifier.scores(still), classifier.output)
    return Checks(
        no_op=np.abs(once_more - images.scores[again]).max(axis=1),
        no_op_groups=images.groups[again],
        pasted=first[donors],
        rise=rise,
        pasted_groups=images.groups[donors],
    )


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


_DRAWN_IMAGES = 100
"""Images that the random innocent content of a scan is tried on."""

_CHECKED = 48
"""Images scored again with nothing done, and objects pasted of each class."""

_ALIKE = 0.05
"""A control nearer to the artefact than this, on average over the region and the images, is no control."""
