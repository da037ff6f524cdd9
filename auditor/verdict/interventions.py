"""One artefact's interventions: what is asked of the model for every image, and what it gave, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from auditor.artefacts.appearance import Randoms
from auditor.artefacts.global_edits import change_of, dissimilarity
from auditor.artefacts.kinds import Artefact
from auditor.artefacts.overlay import Overlay
from auditor.artefacts.showing import fit, has_place
from auditor.errors import AuditError
from auditor.measure.arrays import Array, Floats, Ints, take
from auditor.measure.intervals import mean_interval
from auditor.measure.measurement import Measurement, Note
from auditor.subject.data.sample import Batch, Dataset
from auditor.subject.model.classifier import Classifier, log_odds, predicted_classes
from auditor.subject.pooling import Answer
from auditor.subject.population import Population
from auditor.verdict.carrying import bears_out, describe_found, describe_shown, measure_shown
from auditor.verdict.gathered import Gathered, Put
from auditor.verdict.observations import ITSELF, Checks, Insertion, Observations, Removals, Shown, Varied
from auditor.verdict.passes import CANVASES, NEIGHBOURS, Counted
from auditor.verdict.putting import Came, put
from auditor.verdict.record import Rule, Strength
from auditor.verdict.removing import take_out
from auditor.verdict.rounds import SETTLED
from auditor.verdict.screening import (
    Chosen,
    choose_neighbour,
    choose_shown,
    draw_innocents,
    neighbour_of,
    scrambled,
)

Tried = TypeVar("Tried", Insertion, Removals, Varied)


@dataclass
class Trial:
    """One artefact's interventions, and what they have given so far."""

    classifier: Counted
    dataset: Dataset
    artefact: Artefact
    fills: tuple[str, ...]
    seed: int
    first: Ints
    """Rows of the images that are looked at first: what is tried on a few images is tried on these."""
    chosen: Chosen | None = None
    """At which neighbouring place it is also tried, once that is chosen."""
    beside: Ints = field(default_factory=lambda: np.arange(0))
    """Rows of the images that it was tried on there."""
    gathered: Gathered = field(default_factory=Gathered)

    def __post_init__(self) -> None:
        look = self.artefact.appearance
        self.controls, self.notes = look.controls(self.artefact.controls, self.seed)
        self.variants, self.doses = look.variants(self.artefact.variants), look.doses()
        # where it is one overlay, the dose of its own opacity is the insertion itself
        self.own_dose = look.opacity if isinstance(look, Overlay) and look.opacity in self.doses else None
        self.shown = choose_shown(self.dataset, self.artefact, self.first, self.seed)
        # what is looked for in each carrier needs no second look at all of them
        self.is_looked_at = self.artefact.finder is None and has_place(look)
        self.neighbour = None if self.chosen is None else neighbour_of(self.artefact, self.chosen, self.seed)

    @property
    def failure(self) -> AuditError | None:
        """Why the artefact cannot be tried, where it cannot: one that fails once is tried no more."""
        return self.gathered.failure

    def try_on(self, batch: Batch, scores: Floats) -> Gathered:
        """What all interventions give on a batch, of which the scores (n, classes) are known."""
        into = Gathered()
        try:
            carries, look = self.artefact.carriers[batch.positions], self.artefact.appearance
            if self.is_looked_at:
                # where none is said to carry it, a few tell
                rows = np.isin(batch.positions, self.shown) | self.artefact.carriers.any()
                into.fits.add(Shown(batch.positions[rows], carries[rows], *fit(batch.images[rows], look)))
            asked: list[Callable[[], None]] = []
            if self.artefact.appearance.can_insert and (~carries).any():
                before = populate(self.classifier, self.dataset, batch.positions[~carries], scores[~carries])
                asked.append(self._insert(into, batch.images[~carries], batch.positions[~carries], lambda: before))
            if carries.any():
                asked += self._remove(into, batch, scores, np.flatnonzero(carries))
            for take_in in asked:  # all was asked for: the last batch alone may be less than whole
                take_in()
        except AuditError as failure:
            self._fail(into, failure)
        return into

    def choose_beside(self) -> None:
        """Choose the neighbouring place, unless that is done; see `choose_neighbour`."""
        if self.chosen is not None or self.failure is not None:
            return
        try:
            asking = self.classifier.part(NEIGHBOURS)
            self.chosen = choose_neighbour(asking, self.dataset, self.artefact, self.first, self.seed)
            self.neighbour = neighbour_of(self.artefact, self.chosen, self.seed)
        except AuditError as failure:
            self._fail(self.gathered, failure)

    def due_beside(self, images: Population) -> Ints:
        """Rows (n,) of images that it is still to be tried on at its neighbouring place.

        They do not carry it, and are of other groups than the place was chosen on.
        """
        if self.neighbour is None:
            return np.arange(0)
        known = self.artefact.carriers[images.positions] | np.isin(images.positions, self.beside)
        return images.positions[~known & ~np.isin(images.groups, self.dataset.groups[self.neighbour.screened])]

    def try_beside(self, batch: Batch, came: Population) -> Gathered:
        """What it gives at the neighbouring place on a batch, of which is known how it `came`."""
        into, asking = Gathered(), self.classifier
        assert self.neighbour is not None
        look, controls, randoms = self.neighbour.look, self.neighbour.controls, self._randoms(batch.positions)
        try:
            moved = put(asking, look, controls, batch.images, randoms, lambda: came, purpose=NEIGHBOURS)
            into.moved.add(moved.measured(self._kept))
        except AuditError as failure:
            self._fail(into, failure)
        return into

    def _fail(self, into: Gathered, failure: AuditError) -> None:
        assert self.classifier.pool is not None
        self.classifier.pool.drop()
        into.failure = failure

    def _insert(
        self,
        into: Gathered,
        images: Floats,
        positions: Ints,
        before: Callable[[], Population],
        came: Came | None = None,
    ) -> Callable[[], None]:
        """Ask what all does to images without the artefact; where some `came` with it, they are the images with it."""
        look, region = self.artefact.appearance, self.artefact.appearance.fixed_region

        shown, is_shown = self.classifier.part("variants and doses"), np.isin(positions, self.shown)

        def compare(name: str, draws: list[Floats], other: Floats) -> None:
            for row in np.flatnonzero(is_shown):
                sizes = [[size(images[row], one[row]) for one in draws] for size in (change_of, dissimilarity)]
                into.strengths[name].append((positions[row], *np.mean(sizes, axis=1)))
            place = (slice(None), ... if region is None else region)
            apart = [float(np.abs(one[place] - other[place]).sum(dtype=np.float64)) for one in draws]
            into.apart[name].append(float(np.mean(apart)))

        asking, controls, randoms = self.classifier, self.controls, self._randoms(positions)
        tried_on = put(asking, look, controls, images, randoms, before, compare=compare, came=came)
        into.pixels += images[:, ... if region is None else region].size
        those = self._randoms(positions[is_shown])
        tried: dict[str | float, Answer] = {}
        for name, edit in (self.variants | self.doses).items() if is_shown.any() else ():
            if name != self.own_dose:
                tried[name] = shown.ask(edit(images[is_shown], those))

        def shift(name: str | float, known: Array) -> Floats:
            raw = tried_on.inserted.scores[is_shown] if name == self.own_dose else tried[name].scores
            return self._kept(log_odds(raw, shown.output) - known)

        def take_in() -> None:
            is_freed = np.full(len(positions), came is not None)
            into.inserted.add(Put(tried_on.measured(self._kept), is_freed))
            if is_shown.any():
                those = take(before(), is_shown)
                variants = {name: shift(name, those.scores) for name in self.variants}
                doses = {dose: shift(dose, those.scores) for dose in self.doses}
                into.varied.add(Put(Varied(those, variants, doses), is_freed[is_shown]))

        return take_in

    def _randoms(self, positions: Ints) -> Randoms:
        return self.artefact.randoms([self.dataset.ids[position] for position in positions])

    def _remove(self, into: Gathered, batch: Batch, scores: Floats, rows: Ints) -> list[Callable[[], None]]:
        """Ask what taking it out does, and what all does to images that it was taken out of exactly."""
        ids, images, positions = [batch.ids[row] for row in rows], batch.images[rows], batch.positions[rows]
        before = populate(self.classifier, self.dataset, positions, scores[rows])
        taken = take_out(self.classifier.part("removal"), self.artefact, self.fills, ids, images, before, self._kept)
        into.without_mask += taken.lost
        asked: list[Callable[[], None]] = []
        if (removals := taken.removals) is not None:
            known = removals
            asked.append(lambda: into.removed.add(known()))
        if len(taken.rows) and self.artefact.appearance.can_insert:
            free, came = positions[taken.rows], Came(images[taken.rows], scores[rows][taken.rows])
            asked.append(
                self._insert(
                    into, taken.clean, free, lambda: populate(self.classifier, self.dataset, free, taken.scores()), came
                )
            )
        return asked

    def _kept(self, values: Floats) -> Floats:
        """The columns of the classes that may become the target: (n, targets)."""
        return values if self.artefact.target is None else values[:, [self.artefact.target]]

    def look(self, images: Population, columns: Mapping[str, Array] | None, rule: Rule) -> Observations | AuditError:
        """What all batches together gave so far, without what takes further passes.

        Parameters
        ----------
        images
            All usable images, as they came.
        """
        if self.failure is not None:
            return self.failure
        found, notes, carriers = self.gathered, list(self.notes), self.artefact.carriers
        whole = found.inserted.joined() if found.inserted else None
        freed = np.arange(0) if whole is None else whole.what.images.positions[whole.is_freed]
        count = len(np.unique(self.dataset.groups[freed]))
        # what lies elsewhere was not taken out; and too few would keep all the other carriers from deciding
        is_free = count >= rule.min_groups or not carriers[images.positions].all()
        is_free &= bears_out(self._shown(freed, rule))
        insertion = None if whole is None else whole.of(is_free=is_free)
        if insertion is not None:
            alike = max(_ALIKE * sum(found.apart[ITSELF]), _STEP * found.pixels)
            same = [name for name in insertion.controls if sum(found.apart[name]) < alike]
            told = "looks like the artefact on these images and is left out"
            notes += [Note("control", f"control {name!r} {told}") for name in same]
            insertion = _of_groups(insertion.without(same), self.dataset)
        varied = found.varied.joined().of(is_free=is_free) if found.varied else None
        if found.without_mask:
            told = f"{found.without_mask} images said to carry it have no usable region and were left out"
            notes.append(Note("no region", told))
        if is_free and len(freed):
            told = f"{len(freed)} images that carry it count as images without it, too"
            notes.append(Note("freed", f"{told}: it was taken out of them exactly"))
        removals = _of_groups(found.removed.joined(), self.dataset) if found.removed else None
        shown = self._shown(np.flatnonzero(carriers), rule)
        told_of = [] if removals is None else describe_found(removals)
        notes += [*self.artefact.notes, *told_of, *describe_shown(shown)]
        if (left := len(self.dataset) - len(images) - len(self.dataset.skipped)) > 0:
            told = f"the verdict was clear after {len(images)} images, at a far stricter level than the audit's own"
            notes.append(Note(SETTLED, f"{told}, so the other {left} of the sample were not tried"))
        return Observations(
            artefact=self.artefact.name,
            classes=self.classifier.classes,
            one_logit=self.classifier.output == "binary",
            insertion=insertion,
            removals=removals,
            notes=tuple(notes),
            target=self.artefact.target,
            varied=None if varied is None else _of_groups(varied, self.dataset),
            images=images,
            carries=self.artefact.carriers[images.positions],
            columns={name: column[images.positions] for name, column in (columns or {}).items()},
            strengths={name: self._strength(rows, rule.level) for name, rows in found.strengths.items()},
            shown=shown,
            elsewhere=self._elsewhere(images),
            place=self.neighbour.name if self.neighbour else "",
        )

    def observed(
        self, images: Population, columns: Mapping[str, Array] | None, checks: Checks, artefacts: int, rule: Rule
    ) -> Observations | AuditError:
        """All that is known of the artefact, one of so many; see `survey`."""
        found = self.look(images, columns, rule)
        if isinstance(found, AuditError):
            return found
        found = replace(found, checks=checks)
        # one more than the fewest that can reach the level, Holm's correction included
        draws = math.ceil(2 * artefacts / rule.alpha)
        try:
            if self.artefact.appearance.can_insert and self.artefact.carriers[images.positions].all():
                found = replace(found, alone=self._alone(images))
            if found.insertion is not None:
                asking = self.classifier.part("random innocent content")
                drawn = draw_innocents(asking, self.dataset, self.artefact, found, draws, rule.alpha, self.seed)
                found = replace(found, draws=drawn)
        except AuditError as failure:
            self._fail(self.gathered, failure)
            return failure
        return found

    def _strength(self, rows: list[tuple[int, float, float]], level: float) -> Strength:
        """How much the artefact or a control changes images, by position, change and dissimilarity of each."""
        positions, *changes = zip(*rows, strict=True)
        groups = self.dataset.groups[np.array(positions)]
        return Strength(*(mean_interval(np.array(part), groups, level, unit="share") for part in changes))

    def _shown(self, positions: Ints, rule: Rule) -> dict[str, Measurement]:
        """How much of it some carriers show where it is named; nothing where that was not looked at."""
        if not self.gathered.fits:
            return {}
        shown = self.gathered.fits.joined()
        rows = np.isin(shown.positions, positions)
        return measure_shown(shown, self.dataset.groups[shown.positions], rule.level, rule.min_groups, rows)

    def _elsewhere(self, images: Population) -> Insertion | None:
        """What the neighbour does, on images of groups that it was not chosen on; None until all of them are tried."""
        if self.neighbour is None or not self.gathered.moved or len(self.due_beside(images)):
            return None
        moved = _of_groups(self.gathered.moved.joined(), self.dataset)
        fresh = ~np.isin(moved.images.groups, self.dataset.groups[self.neighbour.screened])
        return moved.rows(fresh) if fresh.any() else None

    def _alone(self, images: Population) -> Insertion | None:
        """What the artefact does where there is nothing else: on the scrambled pixels of images that carry it."""
        carriers = images.positions[self.artefact.carriers[images.positions]]
        positions, canvases = scrambled(self.dataset, carriers, self.seed)
        if not len(positions):
            return None
        raw = self.classifier.part(CANVASES).scores(canvases)
        before = populate(self.classifier, self.dataset, positions, raw)
        before = replace(before, has=np.zeros_like(before.has))
        look, randoms = self.artefact.appearance, self._randoms(positions)
        asking, controls = self.classifier, self.controls
        return put(asking, look, controls, canvases, randoms, lambda: before, purpose=CANVASES).measured(self._kept)


def populate(classifier: Classifier, dataset: Dataset, positions: Ints, scores: Floats) -> Population:
    """Images at some rows of the data set (n,) by their scores (n, classes)."""
    labelled, predicted = dataset.labelled[positions], predicted_classes(scores, classifier.output)
    has = predicted if dataset.truth is None else np.where(labelled[:, None], dataset.truth[positions], predicted)
    odds = log_odds(scores, classifier.output)
    return Population(positions, odds, predicted, has, labelled, dataset.groups[positions])


def regrouped(images: Population, dataset: Dataset) -> Population:
    """The images with the groups that they have now, copies being known."""
    return replace(images, groups=dataset.groups[images.positions])


def _of_groups(observed: Tried, dataset: Dataset) -> Tried:
    return replace(observed, images=regrouped(observed.images, dataset))


_ALIKE = 0.2
"""A control nearer to the artefact than this share of what the artefact itself changes is no control, and ..."""

_STEP = 0.5 / 255
"""... neither is one that no 8-bit picture could tell from it, on average over the region and the images."""
