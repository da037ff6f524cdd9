"""Places whose content carries a class: patches of images of a class are pasted into images of others, place by place.

Each pasted image is scored for all classes at once, so one set of pairs serves every class: what patches of its own
images raise a class by, less what patches of other images do. Where only some images carry something, few donors give
much and most give nothing: so the strongest donors are found on half of the images that they are pasted into, and what
they give is measured on the other half.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from auditor.discovery.candidate import Proposal
from auditor.discovery.looks import cut_out, drawn_over, see_through
from auditor.discovery.material import Material
from auditor.measure.arrays import Array, Bools, Doubles, Ints


@dataclass(frozen=True)
class Pairs:
    """Donors and the images that their patches are pasted into: rows (pairs,) of the material."""

    donors: Ints
    recipients: Ints
    halves: Ints
    """(pairs,): 0 where the strongest donors are found, 1 where they are measured."""


def propose_places(material: Material, passes: int) -> Iterator[Proposal]:
    """Where the content of a class's own images raises its score in others, beyond that of any other images.

    Parameters
    ----------
    passes
        About how many images the model may score for it.
    """
    if not material.classes:
        return
    frame = material.images.shape[1:3]
    places = lay_grid(frame)
    pairs = draw_pairs(material, max(2, passes // (len(places) * 2 * len(material.classes))))
    shifts = np.stack([_paste(material, pairs, place) for place in places])
    found = []
    for number in material.classes:
        rises = np.stack([rise_of(material, pairs, each, number) for each in shifts])
        for at in peaks(rises, places):
            found.append((float(rises[at]), number, at, rises))
    found.sort(key=lambda each: -each[0])
    for rise, number, at, rises in found[:MOST_PLACES]:
        if rise <= 0:
            continue
        region = joined(at, rises, places)
        strong = strongest(material, pairs, shifts[at], number)
        free = material.images[material.others(number)]
        carriers = material.images[strong]
        looks = [cut_out(carriers, region)]
        if region.sum() > places[at].sum():
            looks.append(cut_out(carriers, places[at]))
        around, own = around_of(region, places), material.images[material.own(number)]
        for seen in (see_through(own, free, around), drawn_over(own, free, around), drawn_over(own, free, region)):
            if seen is not None:
                looks.append(seen)
        yield Proposal("places", number, tuple(looks), rise, tuple(strong.tolist()))


def lay_grid(frame: tuple[int, ...]) -> list[Bools]:
    """Square places (h, w) that overlap by half, over the whole frame."""
    height, width = frame
    side = max(2, round(PLACE * min(height, width)))
    step = max(1, side // 2)
    tops, lefts = (sorted({*range(0, whole - side + 1, step), whole - side}) for whole in (height, width))
    places = []
    for top in tops:
        for left in lefts:
            place = np.zeros(frame, bool)
            place[top : top + side, left : left + side] = True
            places.append(place)
    return places


def draw_pairs(material: Material, donors: int) -> Pairs:
    """So many donors of each class, each pasted into two images of other classes."""
    random = material.generator("places")
    chosen: list[tuple[int, int, int]] = []
    for number in material.classes:
        own, others = material.own(number), material.others(number)
        for donor in random.permutation(own)[:donors]:
            two = random.permutation(others)[:2]
            chosen += [(int(donor), int(row), half) for half, row in enumerate(two)]
    donor, recipient, half = (np.array(column, np.int64) for column in zip(*chosen, strict=True))
    return Pairs(donor, recipient, half)


def _paste(material: Material, pairs: Pairs, place: Bools) -> Doubles:
    """What pasting a place does to all scores, (pairs, classes); so many images are held at once as go into a batch."""
    shifts = []
    for at in range(0, len(pairs.donors), material.batch_size):
        donors, recipients = (
            pairs.donors[at : at + material.batch_size],
            pairs.recipients[at : at + material.batch_size],
        )
        edited = material.images[recipients]
        edited[:, place] = material.images[donors][:, place]
        shifts.append(material.shifts(recipients, edited))
    return np.concatenate(shifts)


def rise_of(material: Material, pairs: Pairs, shifts: Array, number: int) -> float:
    """What the strongest donors of a class raise it by, less what the strongest other donors do, in its spread."""
    own = material.seen.has[pairs.donors, number]
    lacks = ~material.seen.has[pairs.recipients, number]
    values = shifts[:, number] / material.spread[number]

    def strong(rows: Bools) -> float:
        donors, gives = _by_donor(pairs, values, rows & lacks)
        if not len(donors):
            return 0.0
        count = max(2, round(STRONGEST * len(donors)))
        return float(gives[np.argsort(-gives[:, 0], kind="stable")[:count], 1].mean())

    return strong(own) - strong(~own)


def strongest(material: Material, pairs: Pairs, shifts: Array, number: int) -> Ints:
    """Rows of the donors of a class that raise it most."""
    own = material.seen.has[pairs.donors, number] & ~material.seen.has[pairs.recipients, number]
    donors, gives = _by_donor(pairs, shifts[:, number], own)
    count = max(3, round(STRONGEST * len(donors)))
    return donors[np.argsort(-gives.mean(axis=1), kind="stable")[:count]]


def _by_donor(pairs: Pairs, values: Doubles, rows: Bools) -> tuple[Ints, Doubles]:
    """Donors (m,) and what each gives in the first and the second image that it is pasted into, (m, 2)."""
    first = {int(pairs.donors[at]): values[at] for at in np.flatnonzero(rows & (pairs.halves == 0))}
    second = {int(pairs.donors[at]): values[at] for at in np.flatnonzero(rows & (pairs.halves == 1))}
    both = [donor for donor in first if donor in second]
    return np.array(both, np.int64), np.array([(first[donor], second[donor]) for donor in both]).reshape(-1, 2)


def peaks(rises: Doubles, places: list[Bools]) -> list[int]:
    """Places that raise a class more than any that they overlap with, the strongest first."""
    order, kept = np.argsort(-rises, kind="stable"), list[int]()
    for at in order:
        if not any((places[at] & places[other]).any() for other in kept):
            kept.append(int(at))
        if len(kept) == PEAKS:
            break
    return kept


def joined(at: int, rises: Doubles, places: list[Bools]) -> Bools:
    """A place with its neighbours that do nearly as much."""
    region = places[at].copy()
    for other in np.argsort(-rises, kind="stable"):
        if rises[other] < NEARLY * rises[at]:
            break
        if (places[other] & region).any():
            region |= places[other]
    return region


def around_of(region: Bools, places: list[Bools]) -> Bools:
    """A region and all places that overlap it."""
    return np.any([place for place in places if (place & region).any()], axis=0)


PLACE = 0.22
"""Side of a place, as a share of the frame's shorter side."""

STRONGEST = 0.25
"""Share of a class's donors that may be all that carry something."""

PEAKS, MOST_PLACES, NEARLY = 2, 12, 0.6
"""Places of one class, and of all, that are proposed; and how much of a peak a neighbour must do to be joined."""
