"""What becomes of the scores when images that carry an artefact lose it, alone or with another that they carry too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from auditor.artefacts.edits import Removal, matched_placements, remove, shift_mask
from auditor.artefacts.fills import FILLS
from auditor.artefacts.kinds import Artefact, Seen
from auditor.measure.arrays import Bools, Floats, Ints, take
from auditor.subject.model.classifier import log_odds, predicted_classes
from auditor.subject.pooling import Answer
from auditor.subject.population import Population
from auditor.verdict.observations import Jointly, Removals
from auditor.verdict.passes import Counted

Fall = Callable[[], tuple[Floats, Bools]]
"""By how much scores fall with some images edited, (n, classes), NaN of the others; and what is predicted then."""

Shift = tuple[int, int]
"""(down, right) in pixels."""

Edited = Callable[[Mapping[int, Floats]], Fall]
"""Asks for the scores of edited images, by their rows; what comes of it is known later."""


class Taken(NamedTuple):
    """An artefact taken out of the images that carry it."""

    removals: Callable[[], Removals] | None
    """What that does, known later; None where it has a place in none of them."""
    lost: int
    """Images that it has no place in."""
    rows: Ints
    """(m,): which of the images are known without it: it was taken out of them exactly, where it is named to be."""
    clean: Floats
    """(m, h, w, c): these, without it."""
    scores: Callable[[], Floats]
    """(m, classes): what the model says of them, known later."""


def take_out(
    classifier: Counted,
    artefact: Artefact,
    fills: tuple[str, ...],
    ids: Sequence[str],
    images: Floats,
    before: Population,
    kept: Callable[[Floats], Floats],
) -> Taken:
    """Take an artefact out of images (n, h, w, c) that carry it, where it is; and of how many it has no place.

    Where it is looked for and not found, it is filled in where it is named to be, and never taken out exactly.

    Parameters
    ----------
    kept
        Gives the columns of the classes that may become the target.
    """
    sights = [artefact.seen_in(image, name) for image, name in zip(images, ids, strict=True)]
    rows = [row for row, seen in enumerate(sights) if seen.is_usable]
    lost = len(sights) - len(rows)
    if not rows:
        return Taken(None, lost, np.arange(0), images[:0], lambda: before.scores[:0])
    ids = [ids[row] for row in rows]
    images, before, sights = images[rows], take(before, np.array(rows)), [sights[row] for row in rows]

    def ask(edited: Mapping[int, Floats]) -> Answer | None:
        return classifier.ask(np.stack(list(edited.values()))) if edited else None

    def fall_to(at: Sequence[int], answer: Answer | None) -> Fall:
        def fall() -> tuple[Floats, Bools]:
            falls, predicted = np.full(before.scores.shape, np.nan, np.float32), before.predicted.copy()
            if answer is not None:
                falls[at] = before.scores[at] - log_odds(answer.scores, classifier.output)
                predicted[at] = predicted_classes(answer.scores, classifier.output)
            return kept(falls), predicted

        return fall

    def edit(edited: Mapping[int, Floats]) -> Fall:
        return fall_to(list(edited), ask(edited))

    tried = [_take_out(seen, image, fills) for seen, image in zip(sights, images, strict=True)]
    exact = ("exact",) if artefact.appearance.can_remove else ()
    falls: dict[str, tuple[Fall, Fall]] = {}
    scored, is_free, free, clean = None, np.zeros(0, bool), np.arange(0), images[:0]
    for way in (*exact, *(() if artefact.is_everywhere else fills)):
        done = {at: ways[way] for at, ways in enumerate(tried) if way in ways}
        placebos = {at: removal.placebo for at, removal in done.items() if removal.placebo is not None}
        removed = {at: removal.removed for at, removal in done.items()}
        answer = ask(removed)
        falls[way] = fall_to(list(removed), answer), edit(placebos)
        if way == "exact" and answer is not None:
            undone = [_is_undone(artefact, ids[at], sights[at], images[at], each) for at, each in removed.items()]
            is_free, scored = np.array(undone), answer
            free, clean = np.array(list(removed))[is_free], np.stack(list(removed.values()))[is_free]
    del tried
    beside = {
        other.name: _take_out_both(artefact, other, fills[0], ids, images, before, sights, edit)
        for other in artefact.beside
    }

    def removals() -> Removals:
        part = Removals(before, {}, {}, {}, {}, {name: jointly() for name, jointly in beside.items()})
        for way, (fall, elsewhere) in falls.items():
            part.fall[way], part.predicted[way] = fall()
            part.placebo[way], part.predicted_elsewhere[way] = elsewhere()
        if artefact.finder is None:
            return part
        found = np.array([bool(seen.is_found) for seen in sights])
        return replace(part, found=found, offset=np.array([seen.offset for seen in sights], np.int64))

    def scores() -> Floats:
        return before.scores[:0] if scored is None else scored.scores[is_free]

    return Taken(removals, lost, np.array(rows)[free], clean, scores)


def _take_out(seen: Seen, image: Floats, fills: tuple[str, ...]) -> dict[str, Removal]:
    """One artefact out of one image in several ways; in none where it has no place in it."""
    if seen.region is None or not seen.region.any():
        return {}
    return remove(image, seen.region, fills, seen.look if seen.is_exact else None)


def _is_undone(artefact: Artefact, image_id: str, seen: Seen, image: Floats, clean: Floats) -> bool:
    """Whether an image (h, w, c) is known without the artefact: put in again, where it is named, it gives the image.

    Where it is not what was taken out, or was not there, that would be neither 0 nor 1 and is clipped; and where it is
    nearly opaque, what lies under it is mostly the rounding of the pixels.
    """
    opacity = artefact.appearance.opacity
    region = artefact.region(image_id, image.shape)
    if (opacity or 0.0) > _THICKEST or seen.region is None or region is None or not np.array_equal(region, seen.region):
        return False
    again = artefact.insert(clean[None], [image_id])[0]
    return bool(np.abs(again - image)[region].mean() < _STEP)


def _take_out_both(
    artefact: Artefact,
    other: Artefact,
    fill: str,
    ids: Sequence[str],
    images: Floats,
    before: Population,
    sights: list[Seen],
    edit: Edited,
) -> Callable[[], Jointly]:
    """Two artefacts out of the images that carry both, exactly where that can be done, and the same edits elsewhere."""
    way = "exact" if artefact.appearance.can_remove and other.appearance.can_remove else fill
    taken: dict[int, tuple[Floats, Floats, Floats]] = {}
    placebos: dict[int, tuple[Floats, Floats, Floats]] = {}
    for at in np.flatnonzero(other.carriers[before.positions]).tolist():
        image, pair = images[at], (sights[at], other.seen_in(images[at], ids[at]))
        if not all(_can_take_out(seen, way) for seen in pair):
            continue
        taken[at] = _each_and_both(pair, image, way, ((0, 0), (0, 0)))
        shifts = _places_elsewhere(pair, taken[at][0])
        if shifts is not None:
            placebos[at] = _each_and_both(pair, image, way, shifts)
    falls = [edit({at: each[part] for at, each in edited.items()}) for edited in (taken, placebos) for part in range(3)]

    def jointly() -> Jointly:
        here, elsewhere = ([fall()[0] for fall in part] for part in (falls[:3], falls[3:]))
        return Jointly(here[0], here[1], here[2], Jointly(elsewhere[0], elsewhere[1], elsewhere[2]))

    return jointly


def _each_and_both(
    pair: tuple[Seen, Seen], image: Floats, way: str, shifts: tuple[Shift, Shift]
) -> tuple[Floats, Floats, Floats]:
    """One image without two artefacts, without the first, and without the second; or as though they stood elsewhere."""
    first, second = (_without(seen, image, way, shift) for seen, shift in zip(pair, shifts, strict=True))
    return _without(pair[1], first, way, shifts[1]), first, second


def _places_elsewhere(pair: tuple[Seen, Seen], clean: Floats) -> tuple[Shift, Shift] | None:
    """Where in one image, which is without them, two artefacts could stand: clear of both, and of each other."""
    regions = [seen.region for seen in pair if seen.region is not None]
    shifts: list[Shift] = []
    for number, region in enumerate(regions):
        there = [shift_mask(each, shift) for each, shift in zip(regions, shifts, strict=False)]
        found = matched_placements(clean, region, 1, np.any([regions[1 - number], *there], axis=0))
        if not found:
            return None
        shifts += found
    return shifts[0], shifts[1]


def _can_take_out(seen: Seen, way: str) -> bool:
    is_local = seen.region is not None and bool(seen.region.any()) and not seen.region.all()
    return is_local and (seen.is_exact or way != "exact")


def _without(seen: Seen, image: Floats, way: str, shift: Shift) -> Floats:
    """One image without an artefact, as though it were shifted."""
    if way == "exact":
        return seen.look.remove(image[None], shift)[0]
    assert seen.region is not None
    return FILLS[way](image, shift_mask(seen.region, shift))


_THICKEST = 0.9
"""The largest opacity under which pixels of eight bits tell what lies there: to a fiftieth."""

_STEP = 1 / 255
"""By how much pixels of the region may differ, on average, from those that the artefact put in again gives."""
