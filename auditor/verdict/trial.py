"""Tries every intervention on every image, in one pass over the data, and keeps scores, never images."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from auditor.artefacts.appearance import Edit
from auditor.artefacts.edits import paste_middle, remove
from auditor.artefacts.kinds import Artefact
from auditor.errors import AuditError, DataError, ModelError
from auditor.measure.arrays import Bools, Floats, Ints
from auditor.measure.measurement import Note
from auditor.measure.seeds import audit_generator
from auditor.subject.data.sample import Batch, Dataset
from auditor.subject.model.classifier import Classifier, log_odds, predicted_classes, to_probability
from auditor.subject.population import Population
from auditor.verdict.observations import Checks, Insertion, Observations, Removals

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
    carriers: list[Bools],
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
    carriers
        For each artefact, which images (images,) of the data set carry it.
    alpha
        Level of the tests to come: the smaller, the more draws of innocent content a scan needs.
    """
    draws = math.ceil(
        2 * len(artefacts) / alpha
    )  # one more than the fewest that can reach the level, Holm's correction included
    trials = [_Trial(classifier, a, c, fills, draws, seed) for a, c in zip(artefacts, carriers, strict=True)]
    total = np.zeros(classifier.image_shape, np.float64)
    seen: list[_Scored] = []
    done = 0
    for batch in dataset.batches(batch_size):
        raw = classifier.scores(batch.images)
        if not seen:
            _refuse_chance(classifier, batch.images, raw)
        seen.append(_Scored.of(classifier, batch.positions, raw))
        total += batch.images.sum(axis=0, dtype=np.float64)
        for trial in trials:
            trial.add(batch, raw)
        done += len(batch.ids)
        progress("interventions", done, len(dataset))
    if not seen:
        raise DataError(f"none of {len(dataset)} images could be used")
    scored = _Scored.joined(seen)
    images = _population(scored, dataset)
    targets = {artefact.target for artefact in artefacts}
    regions = [region for each in artefacts if (region := each.appearance.fixed_region) is not None]
    checks = _check(classifier, dataset, images, targets, regions, seed)
    return Survey(
        images=images,
        mean_image=(total / len(scored.positions)).astype(np.float32),
        observed=[trial.observed(dataset, checks) for trial in trials],
    )


@dataclass
class _Trial:
    """One artefact's interventions, and the log-odds they have given so far."""

    classifier: Classifier
    artefact: Artefact
    carriers: Bools
    fills: tuple[str, ...]
    draws: int
    seed: int
    notes: list[Note] = field(default_factory=list)
    failure: AuditError | None = None

    def __post_init__(self) -> None:
        self.edits: dict[tuple[str, str | float], list[Edit]] = {}
        appearance = self.artefact.appearance
        controls, self.notes = appearance.controls(self.artefact.controls, self.seed)
        self.edits |= {("control", name): edits for name, edits in controls.items()}
        variants = appearance.variants(self.artefact.variants)
        self.edits |= {("variant", name): [edit] for name, edit in variants.items()}
        self.edits |= {("dose", dose): [edit] for dose, edit in appearance.doses().items()}
        self.drawn = np.zeros(len(self.carriers), bool)
        is_scan = self.artefact.target is None
        self.innocent = appearance.innocents(self.draws, self.seed) if is_scan else []
        if self.innocent:
            free = audit_generator(self.seed, "drawn images").permutation(np.flatnonzero(~self.carriers))
            self.drawn[free[:_DRAWN_IMAGES]] = True
        self.chance: list[Floats] = []
        self.free: list[_Scored] = []
        self.inserted: list[_Scored] = []
        self.shifts: dict[tuple[str, str | float], list[Floats]] = defaultdict(list)
        self.distances: dict[str, list[float]] = defaultdict(list)
        self.carrying: list[_Scored] = []
        self.removed: dict[str, list[_Scored]] = defaultdict(list)
        self.placebos: dict[str, list[Floats]] = defaultdict(list)
        self.without_mask = 0

    def add(self, batch: Batch, scores: Floats) -> None:
        """Try all interventions on a batch; an artefact that fails once is tried no more."""
        if self.failure is not None:
            return
        try:
            carries = self.carriers[batch.positions]
            if self.artefact.appearance.can_insert and (~carries).any():
                self._insert(batch, scores, ~carries)
            if carries.any():
                self._remove(batch, scores, carries)
        except AuditError as failure:
            self.failure = failure

    def _insert(self, batch: Batch, scores: Floats, rows: Bools) -> None:
        images, ids = batch.images[rows], [batch.ids[row] for row in np.flatnonzero(rows)]
        randoms, region = self.artefact.randoms(ids), self.artefact.appearance.fixed_region
        before = _Scored.of(self.classifier, batch.positions[rows], scores[rows])
        inserted = self.artefact.appearance.insert(images, randoms)
        self.free.append(before)
        self.inserted.append(_Scored.of(self.classifier, batch.positions[rows], self.classifier.scores(inserted)))
        drawn = self.drawn[batch.positions[rows]]
        if drawn.any():
            some = self.artefact.randoms([ids[row] for row in np.flatnonzero(drawn)])
            innocent = [self.classifier.scores(edit(images[drawn], some)) for edit in self.innocent]
            self.chance.append(
                np.stack([log_odds(scored, self.classifier.output) for scored in innocent]) - before.odds[drawn]
            )
        for (kind, name), edits in self.edits.items():
            shifts = []
            for edit in edits:
                edited = edit(images, randoms)
                scores = self.classifier.scores(edited)
                shifts.append(self._kept(log_odds(scores, self.classifier.output) - before.odds))
                if kind == "control":
                    apart = np.abs(edited - inserted)
                    within = apart if region is None else apart[:, region]
                    self.distances[str(name)].append(float(within.mean()))
            self.shifts[kind, name].append(np.mean(shifts, axis=0))

    def _remove(self, batch: Batch, scores: Floats, rows: Bools) -> None:
        edited: dict[str, list[Floats]] = defaultdict(list)
        elsewhere: dict[str, list[Floats | None]] = defaultdict(list)
        kept = []
        for row in np.flatnonzero(rows):
            image = batch.images[row]
            mask = self.artefact.region(batch.ids[row], self.classifier.image_shape)
            if mask is None or not mask.any() or mask.all():
                self.without_mask += 1
                continue
            kept.append(row)
            for name, removal in remove(image, mask, self.fills, self.artefact.appearance).items():
                edited[name].append(removal.removed)
                elsewhere[name].append(removal.placebo)
        if not kept:
            return
        before = _Scored.of(self.classifier, batch.positions[kept], scores[kept])
        self.carrying.append(before)
        for name, images in edited.items():
            after = self.classifier.scores(np.stack(images))
            self.removed[name].append(_Scored.of(self.classifier, batch.positions[kept], after))
            possible = [at for at, image in enumerate(elsewhere[name]) if image is not None]
            fall = np.full(before.odds.shape, np.nan, np.float32)
            if possible:
                moved = self.classifier.scores(np.stack([image for image in elsewhere[name] if image is not None]))
                fall[possible] = before.odds[possible] - log_odds(moved, self.classifier.output)
            self.placebos[name].append(self._kept(fall))

    def _kept(self, values: Floats) -> Floats:
        """The columns of the classes that may become the target: (n, targets)."""
        return values if self.artefact.target is None else values[:, [self.artefact.target]]

    def observed(self, dataset: Dataset, checks: Checks) -> Observations | AuditError:
        """What all batches together gave."""
        if self.failure is not None:
            return self.failure
        insertion, removals = None, None
        notes = list(self.notes)
        if self.free:
            before, after = _Scored.joined(self.free), _Scored.joined(self.inserted)
            alike = [name for name, parts in self.distances.items() if np.mean(parts) < _ALIKE]
            notes += [
                Note("control", f"control {name!r} looks like the artefact on these images and is left out")
                for name in alike
            ]
            shifts = {key: np.concatenate(parts) for key, parts in self.shifts.items()}
            insertion = Insertion(
                images=_population(before, dataset),
                shift=after.odds - before.odds,
                predicted=after.predicted,
                probability_change=self._kept(
                    (to_probability(after.odds) - to_probability(before.odds)).astype(np.float32)
                ),
                controls={str(n): v for (kind, n), v in shifts.items() if kind == "control" and n not in alike},
                variants={str(n): v for (kind, n), v in shifts.items() if kind == "variant"},
                doses={float(n): v for (kind, n), v in shifts.items() if kind == "dose"},
                drawn=np.flatnonzero(self.drawn[before.positions]) if self.chance else None,
                draws=np.concatenate(self.chance, axis=1) if self.chance else None,
            )
        if self.carrying:
            before = _Scored.joined(self.carrying)
            without = {name: _Scored.joined(parts) for name, parts in self.removed.items()}
            removals = Removals(
                images=_population(before, dataset),
                fall={name: self._kept(before.odds - after.odds) for name, after in without.items()},
                placebo={name: np.concatenate(parts) for name, parts in self.placebos.items()},
                predicted={name: after.predicted for name, after in without.items()},
            )
        if self.without_mask:
            told = f"{self.without_mask} images said to carry it have no usable region and were left out"
            notes.append(Note("no region", told))
        return Observations(
            artefact=self.artefact.name,
            classes=self.classifier.classes,
            one_logit=self.classifier.output == "binary",
            insertion=insertion,
            removals=removals,
            notes=tuple(notes),
            checks=checks,
            target=self.artefact.target,
        )


@dataclass(frozen=True)
class _Scored:
    """Log-odds (n, classes) and predictions (n, classes) of images at some rows of the data set (n,)."""

    positions: Ints
    odds: Floats
    predicted: Bools

    @classmethod
    def of(cls, classifier: Classifier, positions: Ints, scores: Floats) -> _Scored:
        return cls(positions, log_odds(scores, classifier.output), predicted_classes(scores, classifier.output))

    @classmethod
    def joined(cls, parts: list[_Scored]) -> _Scored:
        return cls(
            np.concatenate([part.positions for part in parts]),
            np.concatenate([part.odds for part in parts]),
            np.concatenate([part.predicted for part in parts]),
        )


def _check(
    classifier: Classifier,
    dataset: Dataset,
    images: Population,
    targets: set[int | None],
    regions: list[Bools],
    seed: int,
) -> Checks:
    """Score images again that nothing was done to, and images that the object of another class was pasted into.

    Objects come from images that have just one class, one that is a target; each image gives its object once, to an
    image of another class. The regions of the artefacts are not pasted.
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
        under, objects = (dataset.images(images.positions[rows]) for rows in (takers[part], donors[part]))
        pasted = paste_middle(under, objects, keep_out)
        odds = log_odds(classifier.scores(pasted), classifier.output)
        at = np.arange(len(pasted))
        rise[part] = odds[at, first[donors[part]]] - images.scores[takers[part], first[donors[part]]]
    once_more = log_odds(classifier.scores(dataset.images(images.positions[again])), classifier.output)
    return Checks(
        no_op=np.abs(once_more - images.scores[again]).max(axis=1),
        no_op_groups=images.groups[again],
        pasted=first[donors],
        rise=rise,
        pasted_groups=images.groups[donors],
    )


def _population(scored: _Scored, dataset: Dataset) -> Population:
    labelled = dataset.labelled[scored.positions]
    has = scored.predicted
    if dataset.truth is not None:
        has = np.where(labelled[:, None], dataset.truth[scored.positions], has)
    groups = dataset.groups[scored.positions]
    return Population(scored.positions, scored.odds, scored.predicted, has, labelled, groups)


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
