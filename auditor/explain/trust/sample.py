"""A seeded choice of images, with and without artefacts, that the methods of attribution are tested on."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, zip_longest

import numpy as np

from auditor.explain.attribution.regions import local
from auditor.explain.inquiry import Inquiry, Selection
from auditor.measure.arrays import Bools, Groups, Ints, take


@dataclass(frozen=True)
class Sample(Selection):
    """Images in the order of their choice, in which those with and without artefacts alternate."""

    targets: Ints
    """(n,): the class an artefact was tested for on images with it, else what is predicted."""
    artefacts: list[int | None]
    """Which artefact each image carries or had inserted."""
    masks: list[Bools | None]
    """Its region; None where it has none that is local."""

    def first(self, count: int) -> Sample:
        """The same of the first images only."""
        return take(self, np.arange(min(count, len(self))))


@dataclass(frozen=True)
class _Pool:
    artefact: int | None
    target: int
    """Of no artefact a negative number."""
    rows: list[int]
    inserted: frozenset[int] = frozenset()


def draw_sample(inquiry: Inquiry, count: int) -> Sample:
    """Up to `count` images: half with an artefact, each artefact in turn, as carriers and insertions in equal parts."""
    dataset, artefacts = inquiry.dataset, inquiry.artefacts
    order = inquiry.ordered(inquiry.images.positions, "sample of maps")
    carried = np.any([np.zeros(len(dataset), bool), *(artefact.carriers for artefact in artefacts)], axis=0)
    plain = _Pool(None, -1, [int(row) for row in order if not carried[row]])
    pools = []
    for number, artefact in enumerate(artefacts):
        target = inquiry.targets[number]
        if target is None:
            continue
        carriers = [int(row) for row in order if artefact.carriers[row]]
        free: list[int] = []
        if artefact.appearance.can_insert:
            others = set(inquiry.images.positions[~inquiry.images.has[:, target]].tolist())
            free = [row for row in plain.rows if row in others]
        mixed = [row for row in chain.from_iterable(zip_longest(carriers, free)) if row is not None]
        pools += [_Pool(number, target, mixed, frozenset(free)), plain]
    chosen = _take_turns(pools or [plain], dataset.groups, count)
    drawn = inquiry.select(np.array([row for _, row in chosen], np.int64))
    masks: list[Bools | None] = [None] * len(drawn)
    for at, (pool, row) in enumerate(chosen):
        if pool.artefact is not None:
            artefact, name = artefacts[pool.artefact], drawn.ids[at]
            if row in pool.inserted:
                drawn.images[at] = artefact.insert(drawn.images[at][None], [name])[0]
            masks[at] = local(artefact.region_at(row, name, drawn.images[at]))
    aims, scores = np.array([pool.target for pool, _ in chosen]), inquiry.classifier.scores(drawn.images)
    targets = np.where(aims < 0, scores.argmax(axis=1), aims)
    return Sample(**vars(drawn), targets=targets, artefacts=[pool.artefact for pool, _ in chosen], masks=masks)


def _take_turns(pools: list[_Pool], groups: Groups, count: int) -> list[tuple[_Pool, int]]:
    """Rows from each pool in turn, none twice, and from groups that were not drawn yet as long as there are some."""
    chosen: list[tuple[_Pool, int]] = []
    rows: set[int] = set()
    seen: set[object] = set()
    waiting = list(pools)
    while waiting and len(chosen) < count:
        pool = waiting.pop(0)
        free = [row for row in pool.rows if row not in rows]
        if not free:
            continue
        row = next((row for row in free if groups[row] not in seen), free[0])
        chosen.append((pool, row))
        rows.add(row)
        seen.add(groups[row])
        waiting.append(pool)
    return chosen
