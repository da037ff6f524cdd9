"""Which images a study of least changes takes, and what they shall be made to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from auditor.artefacts.kinds import Artefact
from auditor.config.options import suggest
from auditor.errors import OptionError
from auditor.explain.attribution.regions import LARGEST_SHARE
from auditor.explain.counterfactual.record import NO_ERRORS
from auditor.explain.counterfactual.search import Aim, away_from, towards
from auditor.explain.inquiry import SHOWN_ERRORS, Inquiry, Selection
from auditor.measure.arrays import Bools, Ints, join, take
from auditor.measure.measurement import Note
from auditor.measure.seeds import keyed_generator, seeded_order
from auditor.subject.model.classifier import Explainable, predicted_classes

NAME = "counterfactual"

_CANDIDATES = 256
"""Images that an artefact is inserted into, in search of some that then are predicted as its target."""


@dataclass(frozen=True)
class Goal(Selection):
    """Images, and what they shall be made to say."""

    reason: str
    artefact: str | None
    wanted: str
    aim: Aim
    within: Bools
    """(n, h, w): where the images may change."""
    control: bool = False
    confined: str | None = None


class GoalFinder:
    """Chooses images and aims; keeps what could not be aimed at as notes."""

    def __init__(self, inquiry: Inquiry, images: int, errors: int) -> None:
        self.inquiry = inquiry
        self.most, self.errors = images, errors
        self.goals: list[Goal] = []
        self.notes: list[Note] = []
        self.order = seeded_order(inquiry.seed, SHOWN_ERRORS, inquiry.dataset.named(inquiry.images.positions))
        """Rows of the population, in a seeded order that knows nothing of the order of the images."""

    def add_errors(self) -> None:
        """Images that the model gets wrong, towards what they are."""
        if not self.errors:
            return
        population = self.inquiry.images
        if not population.labelled.any():
            self._note(NO_ERRORS, "the data have no labels, so no image counts as misclassified")
            return
        is_wrong = population.labelled & (population.predicted != population.has).any(axis=1)
        if not is_wrong.any():
            self._note(NO_ERRORS, "the model gets no labelled image wrong, so there is no error to correct")
            return
        chosen = self.select(is_wrong, self.errors)
        has, predicted = (flags[self._rows_of(chosen)] for flags in (population.has, population.predicted))
        lacking, extra = has & ~predicted, predicted & ~has
        lacks = lacking.any(axis=1)  # of several classes none may be lacking: then one too many is to be left
        classes = np.where(lacks, lacking.argmax(axis=1), extra.argmax(axis=1))
        aim = replace(towards(classes), away=np.logical_not(lacks))
        self._add("errors", "towards the true class", chosen, aim, "")

    def add_pairs(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Images predicted as the first class of a pair, towards the second."""
        predicted = self.inquiry.images.predicted
        for pair, (first, second) in zip(pairs, find_pairs(self.inquiry.classifier, pairs), strict=True):
            chosen = self.select(predicted[:, first] & ~predicted[:, second], self.most)
            none = f"no image is predicted as {pair[0]} and not as {pair[1]}"
            aim = towards(np.full(len(chosen), second))
            self._add("pair", f"predicted as {pair[0]}, towards {pair[1]}", chosen, aim, none)

    def add_artefact(self, number: int) -> None:
        """Images with the artefact away from its target, and images without it towards that."""
        artefact, target = self.inquiry.artefacts[number], self.inquiry.targets[number]
        if target is None:
            self._note("untested", f"{artefact.name}: it was tested for no class, so there is no direction to take")
            return
        name, population = self.inquiry.classifier.classes[target], self.inquiry.images
        carries = artefact.carriers[population.positions]
        chosen = self._with_artefact(artefact, target, carries)
        none = f"{artefact.name}: no image with it is predicted as {name}, so none can be led away from it"
        self._add("away", f"away from {name}", chosen, away_from(np.full(len(chosen), target)), none, artefact)
        is_free = ~carries & ~population.has[:, target] & ~population.predicted[:, target]
        chosen = self.select(is_free, self.most)
        none = f"{artefact.name}: no image without it is something else than {name}"
        self._add("towards", f"towards {name}", chosen, towards(np.full(len(chosen), target)), none, artefact)

    def _add(
        self, reason: str, wanted: str, chosen: Selection, aim: Aim, none: str, artefact: Artefact | None = None
    ) -> None:
        """The goal itself, the same towards a random class, and with an artefact confined to its region."""
        if not len(chosen):
            self._note(reason, none)
            return
        name, everywhere = None if artefact is None else artefact.name, np.ones(chosen.images.shape[:3], bool)
        goal = Goal(**vars(chosen), reason=reason, artefact=name, wanted=wanted, aim=aim, within=everywhere)
        self.goals.append(goal)
        others = self._random_classes(chosen, aim)
        possible = np.flatnonzero(others >= 0)
        if len(possible):
            at_random = replace(goal, wanted="towards a random class", control=True, aim=towards(others))
            self.goals.append(take(at_random, possible))
        elif self.inquiry.classifier.output == "binary":
            self._note("control", "with two classes there is no random third one to compare with")
        if artefact is None:
            return
        regions = [artefact.region_at(*one) for one in zip(goal.positions, goal.ids, goal.images, strict=True)]
        masks = {at: mask for at, mask in enumerate(regions) if mask is not None and mask.any()}
        share = float(np.mean(list(masks.values()))) if masks else 0.0
        if share > LARGEST_SHARE:
            told = f"{name}: it covers {share:.0%} of the frame, so it has no region that a change could lie in"
            self._note("no region", told)
        elif masks:
            part, within = take(goal, np.array(list(masks))), np.stack(list(masks.values()))
            self.goals.append(replace(part, confined="region", within=within))
            self.goals.append(replace(part, confined="elsewhere", within=~within))

    def _note(self, kind: str, text: str) -> None:
        if Note(kind, text) not in self.notes:
            self.notes.append(Note(kind, text))

    def _with_artefact(self, artefact: Artefact, target: int, carries: Bools) -> Selection:
        """Images predicted as the target with the artefact: carriers, then some that it is inserted into."""
        population, classifier = self.inquiry.images, self.inquiry.classifier
        carriers = self.select(carries & population.predicted[:, target], self.most)
        if len(carriers) == self.most or not artefact.appearance.can_insert:
            return carriers
        candidates = self.select(~carries & ~population.has[:, target], _CANDIDATES)
        inserted = replace(candidates, images=artefact.insert(candidates.images, candidates.ids))
        becomes = predicted_classes(classifier.scores(inserted.images), classifier.output)[:, target]
        return join([carriers, take(inserted, np.flatnonzero(becomes)[: self.most - len(carriers)])])

    def select(self, which: Bools, count: int) -> Selection:
        """Images of the population, at most `count`, in the seeded order."""
        return self.inquiry.select(self.inquiry.images.positions[self.order[which[self.order]][:count]])

    def _rows_of(self, chosen: Selection) -> Ints:
        """Where images stand in the population."""
        return np.searchsorted(self.inquiry.images.positions, chosen.positions)

    def _random_classes(self, chosen: Selection, aim: Aim) -> Ints:
        """For each image a class, drawn by seed and id, that it neither has nor is predicted nor aims at; -1: none."""
        population = self.inquiry.images
        rows = self._rows_of(chosen)
        taken = population.predicted[rows] | population.has[rows]
        taken[np.arange(len(rows)), aim.classes] = True
        drawn = np.full(len(rows), -1)
        for at, name in enumerate(chosen.ids):
            if not taken[at].all():
                random = keyed_generator(self.inquiry.seed, f"{NAME} control", name)
                drawn[at] = random.choice(np.flatnonzero(~taken[at]))
        return drawn


def find_pairs(classifier: Explainable, pairs: Sequence[tuple[str, str]]) -> list[tuple[int, int]]:
    """The numbers of the classes of each pair.

    Raises
    ------
    OptionError
        The model has no class of that name.
    """
    names = list(classifier.classes)
    for name in (name for pair in pairs for name in pair):
        if name not in names:
            raise OptionError("pairs", f"got {name!r}, which is no class of the model{suggest(name, names)}")
    return [(names.index(first), names.index(second)) for first, second in pairs]
