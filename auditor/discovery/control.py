"""A positive control: how strong a mark must be for this search to see it in these very images.

A square of black and white noise is put into a copy of some images of a class, ever fainter, and the source that needs
no model is asked whether it sees it. What it would have missed here is told beside what it found.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from auditor.artefacts.overlay import Overlay
from auditor.discovery.candidate import Proposal
from auditor.discovery.material import Material
from auditor.discovery.proposing import overlap
from auditor.discovery.record import ControlRecord
from auditor.discovery.stamps import LOOKED_AT, propose_splits
from auditor.measure.arrays import Bools


def plant_and_seek(material: Material) -> ControlRecord | None:
    """From what opacity on a mark is seen; None where no class has images enough.

    The class is that with most images. It is seen where something is proposed that at least `RIGHT` of the images that
    carry it are said to show, as many of those that are said to show it carry, and whose region fits what it changed:
    black on black is not there.
    """
    if not material.classes:
        return None
    number = material.classes[0]
    own, random = material.own(number)[:LOOKED_AT], material.generator("positive control")
    carries = np.zeros(len(material.images), bool)
    carries[random.permutation(own)[: max(FEWEST, round(SHARE * len(own)))]] = True
    if carries.sum() > len(own) - FEWEST or min(material.images.shape[1:3]) < 4:
        return None
    height, width, channels = material.images.shape[1:]
    side = max(2, round(SIDE * min(height, width)))
    top, left = (int(random.choice([0, whole - side])) for whole in (height, width))
    pattern = np.repeat(random.integers(0, 2, (side, side, 1)), channels, axis=2)
    pattern[0, 0], pattern[-1, -1] = 0, 1
    seen = list[bool]()
    for opacity in OPACITIES:
        alpha, ink = np.zeros((height, width), np.float32), np.zeros((height, width, channels), np.float32)
        alpha[top : top + side, left : left + side] = opacity
        ink[top : top + side, left : left + side] = pattern
        images = material.images.copy()
        images[carries] = Overlay(alpha, ink).insert(images[carries])
        changed = np.abs(images[carries] - material.images[carries]).mean(axis=(0, 3))
        proposals = propose_splits(replace(material, images=images), number)
        seen.append(any(_is_it(each, carries, changed > changed.max() / 4) for each in proposals))
        if not seen[-1]:
            break
    return ControlRecord(
        target=material.classifier.classes[number],
        carriers=int(carries.sum()),
        images=len(own),
        side=side,
        opacities=list(OPACITIES[: len(seen)]),
        seen=seen,
    )


def _is_it(proposal: Proposal, carries: Bools, region: Bools) -> bool:
    told = np.zeros(len(carries), bool)
    told[list(proposal.strong)] = True
    both = float((told & carries).sum())
    place = proposal.looks[0].fixed_region
    fits = place is not None and overlap(place, region) >= FITS
    return fits and both >= RIGHT * max(carries.sum(), told.sum())


OPACITIES = (1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12)
"""From an opaque mark to one that hardly anybody sees."""

SHARE, SIDE, FEWEST = 0.2, 0.12, 6
"""Of the class that carries the mark, and its side as a share of the frame's shorter side; images of either kind."""

RIGHT, FITS = 0.8, 0.3
"""Share of the images that must be told rightly, and intersection over union of the region."""
