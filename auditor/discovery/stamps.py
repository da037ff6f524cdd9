"""Content that images of a class share to the pixel, and others lack: a stamp, a frame, a tint, from data alone.

An object differs from image to image, a stamp does not. Where some images of a class carry one, they fall in two as
`splits` tells, and those that carry it are compared with those that do not. Where all do, the class is compared with
others beside the object, for there nothing tells a stamp from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from scipy.ndimage import binary_dilation, label

from auditor.artefacts.overlay import Overlay
from auditor.discovery.candidate import Proposal
from auditor.discovery.extent import are_photographs, object_map, otsu
from auditor.discovery.looks import see_through, strongest
from auditor.discovery.material import Material
from auditor.discovery.splits import FEWEST, Population, Split, Texture, find_splits, same_images
from auditor.measure.arrays import Bools, Floats, Ints


def propose_stamps(material: Material, passes: int) -> Iterator[Proposal]:
    """What some images share and the rest lack, and what all of a class share beside the object and others lack."""
    del passes  # only which class it is about is asked of the model
    found = [proposal for number in material.classes for proposal in propose_splits(material, number)]
    found += propose_common(material)
    found.sort(key=lambda each: -each.found)
    yield from found[:MOST]
    for number in material.classes:
        yield from _of_all(material, number)


def propose_splits(material: Material, number: int) -> list[Proposal]:
    """What some images of a class share and the rest of it lacks, the clearest first; `found` is the gap's excess."""
    own, others = material.own(number)[:LOOKED_AT], material.others(number, LOOKED_AT)
    mine, free = material.images[own], material.images[others]
    splits = list(find_splits(mine, Population(free), free))
    if are_photographs(free):
        splits += find_splits(mine, Texture(), free)
    return [_propose(material, number, own, split, look) for split, look in _seen(material, own, splits)]


def propose_common(material: Material) -> list[Proposal]:
    """What some images of several classes share, where they are photographs: of the class that it raises most."""
    rows = material.all(LOOKED_AT)
    images, found = material.images[rows], list[Proposal]()
    if not material.classes or not are_photographs(images):
        return []
    for split, look in _seen(material, rows, find_splits(images, Texture())):
        shows, rest = (material.seen.has[rows[part]].mean(axis=0) for part in (split.shows, ~split.shows))
        if (shows - rest).max() > MOST_OF_ONE:
            continue  # that is what the class looks like, or what a part of it shows
        number = material.raised_most(look, rows[~split.shows])
        found.append(replace(_propose(material, number, rows, split, look), is_common=True))
    return found


def _seen(material: Material, rows: Ints, splits: Iterable[Split]) -> Iterator[tuple[Split, Overlay]]:
    """Splits that are clear enough, the clearest first, with what those that show the thing show more than the rest."""
    kept = list[Ints]()
    for split in sorted((each for each in splits if each.excess >= LEAST_EXCESS), key=lambda split: -split.excess):
        shown = rows[split.shows]
        if len(np.unique(material.seen.groups[shown])) < FEWEST or any(same_images(shown, other) for other in kept):
            continue
        kept.append(shown)
        look = see_through(material.images[shown], material.images[rows[~split.shows]])
        if look is not None:
            yield split, without_strays(look)


def _propose(material: Material, number: int, rows: Ints, split: Split, look: Overlay) -> Proposal:
    shown = tuple(rows[split.shows].tolist())
    return Proposal("stamps", number, (look,), split.excess, shown, focus=split.sureness, filter=split.filter)


def _of_all(material: Material, number: int) -> Iterator[Proposal]:
    """What all images of a class share: beside objects, whole and in its largest parts; and where it is plainest."""
    own, others = material.own(number)[:LOOKED_AT], material.others(number, LOOKED_AT)
    mine, free = material.images[own], material.images[others]
    beside = see_through(mine, free, object_map(mine, free) < MOST_OBJECTS)
    plainest = see_through(mine, free, plainly_apart(mine, free))
    looks = [] if beside is None else split_parts(beside)
    for look in looks if plainest is None else [*looks, plainest]:
        yield Proposal("stamps", number, (look,), 0.0, strongest(own, mine, look, free))


def plainly_apart(own: Floats, others: Floats) -> Bools:
    """(h, w): where images of a class (n, h, w, c) differ from others (m, h, w, c) far more surely than elsewhere.

    What others vary in is taken out first: objects leave differences everywhere, and a stamp leaves large ones where it
    is, on objects, too. The bar is Otsu's, of square roots: some of a stamp is far surer than the rest.
    """
    nature = Population(others)
    first, second = nature.unexplained(own), nature.unexplained(others)
    error = np.sqrt(first.var(axis=0) / len(first) + second.var(axis=0) / len(second))
    sure = np.sqrt((np.abs(first.mean(axis=0) - second.mean(axis=0)) / np.maximum(error, 1e-6)).max(axis=-1))
    return np.asarray(sure > otsu(sure)) if sure.max() > sure.min() else np.zeros(sure.shape, bool)


def split_parts(look: Overlay) -> list[Overlay]:
    """The whole, and its largest connected parts where none is most of it."""
    region = look.fixed_region
    parts, count = label(binary_dilation(region))
    found = [look]
    sizes = [(float(look.alpha[(parts == number) & region].sum()), number) for number in range(1, count + 1)]
    for size, number in sorted(sizes, reverse=True)[:2]:
        if count > 1 and size < 0.8 * look.alpha.sum():
            found.append(_within(look, parts == number))
    return found


def without_strays(look: Overlay) -> Overlay:
    """Without connected parts that are far smaller than the largest: what a few images share there by chance."""
    region = look.fixed_region
    parts, count = label(binary_dilation(region, iterations=max(1, min(region.shape) // 64)))
    sizes = np.bincount(parts[region], look.alpha[region], minlength=count + 1)
    return _within(look, np.isin(parts, np.flatnonzero(sizes >= STRAY * sizes.max())))


def _within(look: Overlay, region: Bools) -> Overlay:
    inside = look.fixed_region & region
    alpha = np.where(inside, look.alpha, 0).astype(np.float32)
    return Overlay(alpha, np.where(inside[..., None], look.ink, 0).astype(np.float32))


MOST_OBJECTS = 0.5
"""Of images, whose object covers a pixel: where more do, content is the object's."""

LEAST_EXCESS, MOST = -0.5, 16
"""Of a gap over that of noise, from which on images may fall in two; and how many splits are proposed."""

STRAY = 0.3
"""Of the largest part: a smaller one is there by chance."""

MOST_OF_ONE = 0.5
"""By how much a class may be commoner among images that show something, where it is said to be common to several."""

LOOKED_AT = 300
"""Images of a class, and of others, that are compared."""
