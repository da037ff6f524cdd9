"""Is it the object? Where objects lie is told from pixels alone, by what differs from the edge of each image."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation, label, laplace

from auditor.artefacts.appearance import Appearance
from auditor.artefacts.overlay import Overlay
from auditor.measure.arrays import Bools, Doubles, Floats


def foreground(images: Floats) -> Bools:
    """(n, h, w): where images (n, h, w, c) differ from the median colour of their own edge, by Otsu's threshold.

    All of an image whose edge is not of one colour, as in a photograph: then nothing is known to be background.

    References: Otsu, "A threshold selection method from gray-level histograms" (1979).
    """
    return np.array([_foreground(image) for image in images]).reshape(images.shape[:3])


def _foreground(image: Floats) -> Bools:
    edge = edge_of(image.shape[:2])
    apart = np.abs(image - np.median(image[edge], axis=0)).max(axis=-1)
    if apart.max() < LEAST_CONTRAST:
        return np.zeros(image.shape[:2], bool)
    if apart.max() == apart.min():  # half of the edge is of one colour, half of another
        return np.ones(image.shape[:2], bool)
    bar = max(otsu(apart), LEAST_CONTRAST)
    front = apart > bar
    if front[edge].mean() > MOST_OF_EDGE:
        return np.ones(image.shape[:2], bool)
    return np.asarray(front)


def otsu(values: Floats) -> float:
    """Otsu's threshold between numbers that are not all equal, of whatever shape: the middle of one of 256 bins."""
    low, high = float(values.min()), float(values.max())
    width = (high - low) / 256
    counts = np.bincount(np.minimum((values.ravel() - low) / width, 255).astype(np.int64), minlength=256)
    middles = low + width * (np.arange(256) + 0.5)
    first, second = np.cumsum(counts)[:-1], np.cumsum(counts[::-1])[::-1][1:]
    lower = np.cumsum(counts * middles)[:-1] / first
    upper = np.cumsum((counts * middles)[::-1])[::-1][1:] / second
    return float(middles[np.argmax(first * second * (lower - upper) ** 2)])


def ground(images: Floats) -> Doubles:
    """(n, c + 1): the colour of the edge of images (n, h, w, c), beside objects, and its grain; NaN of hardly any.

    Medians, so that what else reaches the edge counts little.
    """
    edge = edge_of(images.shape[1:3])
    found = np.full((len(images), images.shape[-1] + 1), np.nan)
    for at, (image, front) in enumerate(zip(images, foreground(images), strict=True)):
        beside = edge & ~binary_dilation(front, iterations=2)
        if beside.sum() >= _FEWEST_PIXELS:
            grain = np.abs(laplace(image.mean(axis=-1)))
            found[at] = [*np.median(image[beside], axis=0), np.median(grain[beside])]
    return found


def are_photographs(images: Floats) -> bool:
    """Whether the edge of most images (n, h, w, c) is not plain, as that of things on a ground of one colour is."""
    edges = images[:_MANY, edge_of(images.shape[1:3])]
    apart = np.abs(edges - np.median(edges, axis=1, keepdims=True)).max(axis=-1)
    return bool(len(images)) and float((np.median(apart, axis=1) > PLAIN).mean()) > 0.5


def object_map(own: Floats, others: Floats) -> Doubles:
    """(h, w): how often a pixel is covered by an object: by anything in others, or by the largest thing in own images.

    So what stands beside the object, in images of its class, is no part of it, however many carry it.
    """
    largest = [_largest(front) for front in foreground(own[:_MANY])]
    covered = object_share(others[:_MANY])
    return np.maximum(covered, np.mean(largest, axis=0)) if largest else covered


def of_object(look: Appearance, objects: Doubles, strong: Floats) -> float:
    """How much of a look may be the object's, in [0, 1]; 0 of what has no place.

    The less of it lies where objects do and belongs to things that reach beyond it, or the less its pixels vary.

    Parameters
    ----------
    objects
        What `object_map` tells.
    strong
        Images (n, h, w, c) where it is strongest.
    """
    if not isinstance(look, Overlay):
        return 0.0
    hanging = attached(strong, look.fixed_region)
    lies = float(np.average(objects, weights=look.alpha))
    hangs = float(np.nanmean(hanging)) if np.isfinite(hanging).any() else 0.0
    varies = float(np.clip(2 * variation(strong, look) - 1, 0, 1)) if is_visible(strong, look) else 1.0
    return min(max(lies, hangs), varies)


def is_visible(carriers: Floats, look: Overlay) -> bool:
    """Whether images (n, h, w, c) show something in the place of an overlay, and not what lies behind everything.

    An empty place is the same in all images, too, and tells of the outline of the object.
    """
    return float(np.average(object_share(carriers), weights=look.alpha)) >= LEAST_SHOWN


def changes_ground(look: Overlay, images: Floats) -> bool:
    """Whether an overlay shows on the plain ground of images (n, h, w, c); one of an empty place shows nothing there.

    True where no ground is known, as in photographs.
    """
    known = ground(images)[:, :-1]
    if not np.isfinite(known).any():
        return True
    change = look.alpha * np.abs(look.ink - np.nanmedian(known, axis=0)).max(axis=-1)
    return float(np.quantile(change[look.fixed_region], _PLAINEST)) >= LEAST_CONTRAST


def variation(carriers: Floats, look: Overlay) -> float:
    """How much images (n, h, w, c) that show an overlay vary from each other in its place, as a ratio to elsewhere.

    About 1 of a part of the object; less of a stamp, which is the same to the pixel.
    """
    spread, inside = carriers.std(axis=0).mean(axis=-1), look.fixed_region
    elsewhere = float(np.median(spread[~inside])) if not inside.all() else 0.0
    return float(np.average(spread, weights=look.alpha)) / max(elsewhere, LEAST_SPREAD)


def _largest(front: Bools) -> Bools:
    """(h, w): the largest connected part of a foreground."""
    parts, count = label(front, np.ones((3, 3)))
    return np.asarray(parts == 1 + np.bincount(parts[parts > 0] - 1).argmax()) if count else front


def object_share(images: Floats) -> Doubles:
    """(h, w): share of images whose object covers each pixel."""
    return np.asarray(foreground(images).mean(axis=0, dtype=np.float64))


def attached(images: Floats, region: Bools) -> Doubles:
    """(n,): share of what is shown in a region (h, w) that is of things which lie mostly outside; NaN of none."""
    shares = np.full(len(images), np.nan)
    for at, front in enumerate(foreground(images)):
        parts, count = label(front, np.ones((3, 3)))
        inside = front & region
        if count and inside.any():
            within, beyond = (np.bincount(parts[part], minlength=count + 1) for part in (inside, front & ~region))
            shares[at] = float((beyond > within)[parts[inside]].mean())
    return shares


def edge_of(frame: tuple[int, ...]) -> Bools:
    """(h, w): the outermost pixels."""
    width = max(1, min(frame) // 16)
    edge = np.ones(frame, bool)
    edge[width:-width, width:-width] = False
    return edge


_FEWEST_PIXELS = 8
"""Of an edge, to tell its colour."""

_PLAINEST = 0.9
"""Of the pixels of an overlay: so many may show nothing."""

_MANY = 100
"""Images that tell where objects lie."""

LEAST_SHOWN = 0.5
"""Share of a place that must differ from the edge of the image for something to be there."""

LEAST_SPREAD = 0.02
"""Standard deviation of a pixel, below which it hardly varies at all."""

PLAIN = 0.06
"""How far half of an edge may lie from its median colour and be plain: noise, and no scene."""

LEAST_CONTRAST, MOST_OF_EDGE = 0.1, 0.5
"""Of a thing to what is around it; and share of the edge that may be covered by things."""
