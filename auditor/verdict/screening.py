"""What is tried on a few images before or after the pass over all of them, and so need not be tried on all.

At which neighbouring place an artefact does most, what random innocent content does there, and what it does alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from auditor.artefacts.appearance import Appearance, Edit
from auditor.artefacts.kinds import Artefact
from auditor.measure.arrays import Array, Floats, Ints
from auditor.measure.seeds import audit_generator, keyed_generators
from auditor.subject.data.sample import Dataset
from auditor.subject.model.classifier import log_odds
from auditor.subject.pooling import Answer
from auditor.verdict.chance import reached_by_chance, strongest_by_chance
from auditor.verdict.observations import Draws, Observations
from auditor.verdict.passes import Counted


@dataclass(frozen=True)
class Chosen:
    """Which neighbouring place or size of an artefact is looked at, by its name."""

    name: str
    """Empty where none is."""
    screened: Ints
    """Positions of the images that it was chosen on; what it does is measured on other groups."""


@dataclass(frozen=True)
class Neighbour:
    """The artefact at the neighbouring place or size where it seems to do most."""

    name: str
    look: Appearance
    controls: dict[str, list[Edit]]
    screened: Ints
    """Positions of the images that it was chosen on; what it does is measured on other groups."""


def choose_shown(dataset: Dataset, artefact: Artefact, first: Ints, seed: int) -> Ints:
    """Positions of the images that variants and doses are tried on: they are shown and decide nothing, so few will do.

    They are among the `first` (n,) that are looked at, if any of these will do.

    None of them carries the artefact, unless all do, nor is of the target where labels say what is.
    """
    lacks = ~artefact.carriers | artefact.carriers.all()
    if artefact.target is not None and dataset.truth is not None:
        lacks &= ~(dataset.truth[:, artefact.target] & dataset.labelled)
    among = lacks & np.isin(np.arange(len(dataset)), first)
    return audit_generator(seed, "variants and doses").permutation(np.flatnonzero(among if among.any() else lacks))[
        :_SHOWN
    ]


def neighbour_of(artefact: Artefact, chosen: Chosen, seed: int) -> Neighbour | None:
    """The neighbour that was chosen, if one was."""
    if not chosen.name:
        return None
    look = artefact.appearance.neighbours()[chosen.name]
    controls, _ = look.controls(artefact.controls, seed)
    return Neighbour(chosen.name, look, controls, chosen.screened)


def choose_neighbour(classifier: Counted, dataset: Dataset, artefact: Artefact, first: Ints, seed: int) -> Chosen:
    """The neighbour that raises the target most, or of a scan any class; none where none does more than the artefact.

    Tried on a few images that do not carry it, among the `first` (n,) that are looked at where these are enough. What
    raises no class by more than chance and a small share of its spread is not worth measuring either.
    """
    looks = artefact.appearance.neighbours() if artefact.appearance.can_insert else {}
    free = first[~artefact.carriers[first]]
    if len(free) < 4 * _FEWEST_SCREENED:
        free = np.flatnonzero(~artefact.carriers)
    if not looks or len(free) < 4 * _FEWEST_SCREENED:
        return _NONE
    positions, images = dataset.read(_few_groups(dataset, free, seed))
    if len(positions) < _FEWEST_SCREENED:
        return _NONE
    randoms = artefact.randoms([dataset.ids[position] for position in positions])
    before = log_odds(classifier.scores(images), classifier.output)
    spread = np.maximum(before.std(axis=0), 1e-6)
    classes = np.arange(len(classifier.classes)) if artefact.target is None else np.array([artefact.target])
    if dataset.truth is None or artefact.target is None:
        rows = np.ones(len(images), bool)
    else:
        rows = ~dataset.truth[positions, artefact.target]
    if rows.sum() < 2:
        return _NONE

    def lifts(answer: Answer) -> tuple[Array, Array]:
        shift = (log_odds(answer.scores, classifier.output) - before)[rows][:, classes]
        mean, error = shift.mean(axis=0), shift.std(axis=0, ddof=1) / np.sqrt(len(shift))
        return mean / spread[classes], error / spread[classes]

    own = classifier.ask(artefact.appearance.insert(images, randoms))
    asked = {name: classifier.ask(look.insert(images, randoms)) for name, look in looks.items()}
    named, _ = lifts(own)
    tried = {name: lifts(answer) for name, answer in asked.items()}
    name = max(tried, key=lambda key: float((tried[key][0] - named).max()))
    mean, error = tried[name]
    at = int((mean - named).argmax())
    if mean[at] <= named[at] or mean[at] + 3 * error[at] < _NEGLIGIBLE:
        return _NONE
    return Chosen(name, positions)


def _few_groups(dataset: Dataset, free: Ints, seed: int) -> Ints:
    """Positions of the images that neighbours are tried on: those of at most a quarter of the groups."""
    names, group = np.unique(dataset.groups[free], return_inverse=True)
    order = audit_generator(seed, "neighbours").permutation(len(names))
    turn = np.argsort(order)[group]  # the place of each image's group in that order
    first = np.flatnonzero(turn < len(names) // 4)
    return np.sort(free[first[np.argsort(turn[first], kind="stable")[:_SCREENED]]])


def draw_innocents(
    classifier: Counted,
    dataset: Dataset,
    artefact: Artefact,
    observed: Observations,
    most: int,
    alpha: float,
    seed: int,
) -> Draws | None:
    """Scores under random innocent content at the artefact's place, of a scan on up to a hundred of the images.

    Draws end as soon as they can change no decision: when every class that the artefact moves at all is either out of
    reach of the test at the level `alpha`, or when all draws are made. Of a named class they are as many as can reach
    that level, on a few images of it and of others, and end when in either direction one moves it as far. Carriers that
    the artefact can be taken out of exactly are among the images, without it.
    """
    insertion = observed.insertion
    assert insertion is not None
    images, target = insertion.images, artefact.target
    order = audit_generator(seed, "drawn images").permutation(len(images))
    if target is None:
        drawn = np.sort(order[:_DRAWN_IMAGES])
    else:
        most = math.ceil(1 / alpha) - 1
        has = images.has[order, target]
        drawn = np.sort(np.concatenate([order[rows][:_DRAWN_OF_ONE] for rows in (has, ~has)]))
    there, pictures = dataset.read(images.positions[drawn])
    drawn = drawn[np.isin(images.positions[drawn], there)]
    innocents = artefact.appearance.innocents(most, seed)
    if not innocents or not len(drawn):
        return None
    ids = [dataset.ids[position] for position in there]
    for at in np.flatnonzero(artefact.carriers[there]).tolist():  # a carrier is among them as it is without it
        pictures[at] = artefact.seen_in(pictures[at], ids[at]).look.remove(pictures[at : at + 1])[0]
    randoms = artefact.randoms(ids)
    numbers = np.array([1]) if observed.one_logit else np.arange(len(observed.classes))
    spread = images.scores[:, numbers].std(axis=0)
    rivals = np.zeros((len(numbers), len(observed.classes)), bool)
    answers: list[Answer] = []
    shifts: list[Floats] = []
    draws = Draws(drawn, np.empty((0, len(drawn), images.scores.shape[1]), np.float32), len(innocents))
    for number, edit in enumerate(innocents, start=1):
        answers.append(classifier.ask(edit(pictures, randoms)))
        if target is None and number % _BLOCK and number < len(innocents):
            continue
        shifts += [log_odds(each.scores, classifier.output) - images.scores[drawn] for each in answers[len(shifts) :]]
        draws = Draws(drawn, np.stack(shifts), len(innocents))
        if target is not None:
            ways = [reached_by_chance(observed, insertion, draws, target, sign) for sign in (1, -1)]
            if all(way is None or way.any() for way in ways):
                break
            continue
        # which classes are no rivals is not known here: the most that theta can be, and the least that draws can reach
        own, _ = strongest_by_chance(observed, insertion, draws, numbers, None)
        _, others = strongest_by_chance(observed, insertion, draws, numbers, rivals)
        reached = (1 + (others >= own).sum(axis=0)) / (1 + len(innocents)) > alpha / 2
        if (reached | ~(own > _NEGLIGIBLE * spread / 2)).all():
            break
    return draws


def scrambled(dataset: Dataset, positions: Ints, seed: int) -> tuple[Ints, Floats]:
    """Some images at these positions with their pixels in random order, so that nothing but their colours is left."""
    chosen = np.sort(audit_generator(seed, "neighbours").permutation(positions)[:_CANVASES])
    there, images = dataset.read(chosen)
    height, width, channels = images.shape[1:]
    randoms = keyed_generators(seed, "canvases", [dataset.ids[position] for position in there])
    flat = images.reshape(len(images), height * width, channels)
    mixed = [part[random.permutation(len(part))] for part, random in zip(flat, randoms, strict=True)]
    return there, np.array(mixed, np.float32).reshape(images.shape)


_NONE = Chosen("", np.arange(0))

_SCREENED, _FEWEST_SCREENED = 24, 6
"""Images that neighbours are tried on, at most and at least; never more than a quarter of the groups without it."""

_SHOWN = 48
"""Images that variants and doses are tried on."""

_NEGLIGIBLE = 0.1
"""Standard deviations of the score: what surely moves less is not looked at again."""

_DRAWN_IMAGES = 100
"""Images that the random innocent content of a scan is tried on."""

_DRAWN_OF_ONE = 16
"""The same of a named class: so many of the class, and so many of others."""

_BLOCK = 10
"""After so many draws of a scan it is asked whether more could change anything."""

_CANVASES = 96
"""Canvases that an artefact is tried on alone."""
