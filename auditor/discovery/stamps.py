"""Content that many images of a class share to the pixel, and others lack: a stamp, a frame, a tint, from data alone.

An object differs from image to image, a stamp does not. Images of a class are told apart by how much they show of the
mean difference of the class from others, where objects seldom lie; those that show most are compared with others as
`looks.see_through` does.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import binary_dilation, label

from auditor.artefacts.overlay import Overlay
from auditor.discovery.candidate import Proposal
from auditor.discovery.extent import object_map
from auditor.discovery.looks import detail, likeness, see_through
from auditor.discovery.material import Material
from auditor.measure.arrays import Bools, Floats, Ints


def propose_stamps(material: Material, passes: int) -> Iterator[Proposal]:
    """What some images of a class share, and others lack, beside the object."""
    del passes  # the model is not asked
    found: list[Proposal] = []
    for number in material.classes:
        own, others = material.own(number), material.others(number, _LOOKED_AT)
        mine, free = material.images[own], material.images[others]
        beside = object_map(mine, free) < MOST_OBJECTS
        of_class: list[Proposal] = []
        for scale in (detail, np.asarray):
            ways = scale(mine)[:, beside], scale(free)[:, beside]
            for share in SHARES:
                rows = pick_alike(*ways, share)
                look = see_through(mine[rows], free, beside) if len(rows) >= FEWEST else None
                for part in [] if look is None else split_parts(look):
                    carries = likeness(mine, part, free)
                    shown = float((carries > np.quantile(likeness(free, part, free), _OTHERS)).mean()) - 1 + _OTHERS
                    strong = own[np.argsort(-carries, kind="stable")[: max(FEWEST, round(shown * len(own)))]]
                    of_class.append(Proposal("stamps", number, (part,), shown, tuple(strong.tolist())))
        of_class.sort(key=lambda each: -each.found)
        found += of_class[:OF_A_CLASS]
    found.sort(key=lambda each: -each.found)
    yield from [each for each in found if each.found >= LEAST_SHOWN][:MOST]


def pick_alike(own: Floats, free: Floats, share: float) -> Ints:
    """Rows (m,) of a share of the images (n, pixels, c) that are most alike in what others (m, pixels, c) lack."""
    count = max(FEWEST, round(share * len(own)))
    if count >= len(own):
        return np.arange(len(own))
    mean, spread = free.mean(axis=0), free.std(axis=0) + 0.05
    flat = ((own - mean) / spread).reshape(len(own), -1)
    chosen = np.arange(len(own))
    for _ in range(ROUNDS):
        way = flat[chosen].mean(axis=0)
        chosen = np.sort(np.argsort(-(flat @ way), kind="stable")[:count])
    return chosen


def split_parts(look: Overlay) -> list[Overlay]:
    """The whole, and its largest connected part where that is not most of it."""
    region = look.fixed_region
    parts, count = label(binary_dilation(region))
    found = [look]
    sizes = [(float(look.alpha[(parts == number) & region].sum()), number) for number in range(1, count + 1)]
    for size, number in sorted(sizes, reverse=True)[:2]:
        if count > 1 and size < 0.8 * look.alpha.sum():
            found.append(_within(look, parts == number))
    return found


def _within(look: Overlay, region: Bools) -> Overlay:
    inside = look.fixed_region & region
    alpha = np.where(inside, look.alpha, 0).astype(np.float32)
    return Overlay(alpha, np.where(inside[..., None], look.ink, 0).astype(np.float32))


SHARES = (1.0, 0.5, 0.25)
"""Shares of a class that may carry something."""

MOST_OBJECTS = 0.5
"""Of images, whose object covers a pixel: where more do, content is the object's."""

OF_A_CLASS, MOST, LEAST_SHOWN = 4, 16, 0.05
"""Proposals of a class and in all; and the share of its images that must show it as hardly any other does."""

FEWEST, ROUNDS = 5, 4

_LOOKED_AT, _OTHERS = 200, 0.98
