"""Images that fall into two groups with nothing between: those that show the same thing, and the rest.

What images vary in naturally is taken out of them first, in two ways, so that what is left of an innocent one is noise.
Images that share something to the pixel then lie apart from all others along one direction, however faint the thing
is, and a gap is left between both groups; objects, which differ from image to image, leave none.

References: Abid et al., "Exploring patterns enriched in a dataset with contrastive principal component analysis"
(2018); Carandini and Heeger, "Normalization as a canonical neural computation" (2012); Otsu, "A threshold selection
method from gray-level histograms" (1979).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.linalg import eigh
from scipy.ndimage import gaussian_filter

from auditor.measure.arrays import Array, Bools, Doubles, Floats, Ints

Window = tuple[slice, slice]
"""Rows and columns of a frame."""


class Nature(Protocol):
    """What images vary in naturally, and how to take it out."""

    def unexplained(self, images: Floats) -> Floats:
        """What is left of images (n, h, w, c), (n, h, w, c)."""
        ...


@dataclass(frozen=True)
class Filter:
    """A direction in what is left of images: how much of something an image shows."""

    nature: Nature
    direction: Floats
    """(h, w, c)."""
    usual: float
    """How much of it images show that lack it ..."""
    shown: float
    """... and those that have it."""

    def __call__(self, images: Floats) -> Doubles:
        """How much of it each image (n, h, w, c) shows, (n,), in a unit of its own."""
        left = self.nature.unexplained(images)
        return np.asarray(left.reshape(len(images), -1) @ self.direction.ravel(), np.float64)

    def divides(self, images: Floats, groups: Array) -> tuple[Bools, float]:
        """Which independent groups of images (n, h, w, c) show it, and the gap that lies between them and the rest.

        The gap is 0 where they do not fall in two as those images did that the filter is from: near one level each.
        """
        names, of = np.unique(groups, return_inverse=True)
        levels = np.bincount(of, self(images)) / np.bincount(of)
        bar, gap = divide(levels)
        shows, half = levels > bar, abs(self.shown - self.usual) / 2
        if len(names) < 2 * FEWEST or self.shown < self.usual:
            return shows, 0.0
        is_alike = abs(levels[shows].mean() - self.shown) < half and abs(levels[~shows].mean() - self.usual) < half
        return shows, gap if is_alike else 0.0


@dataclass(frozen=True)
class Split:
    """Images in two groups."""

    shows: Bools
    """(n,): which images show the thing."""
    gap: float
    """How far apart the groups lie, in standard deviations within them."""
    filter: Filter

    @property
    def excess(self) -> float:
        """By how much the gap is larger than the largest that so many images of noise leave: few leave large ones."""
        return self.gap - (OF_NOISE[0] + OF_NOISE[1] / float(np.sqrt(len(self.shows))))

    @property
    def sureness(self) -> float:
        """How sure it is that no object does so, in [0, 1]."""
        return float(np.clip((self.excess - OF_OBJECTS) / (CLEARLY - OF_OBJECTS), 0, 1))


class Texture:
    """What is finer than an object, as strong everywhere: so lines on a lawn count no more than those on a wall.

    For photographs: on a plain ground the outline of an object that reaches a place in few images divides them as well.
    """

    def unexplained(self, images: Floats) -> Floats:
        """See `Nature`."""
        fine = images - gaussian_filter(images, (0, FINE, FINE, 0))
        energy = gaussian_filter((fine**2).mean(axis=-1), (0, AROUND * FINE, AROUND * FINE))
        return np.asarray(fine / np.sqrt(energy + LEAST_SPREAD**2)[..., None], np.float32)


class Population:
    """What images (m, h, w, c) vary in most, six of them at least: principal components of two thirds of them.

    The rest tells how much of each value they leave.
    """

    def __init__(self, images: Floats) -> None:
        count = len(images) * 2 // 3
        learnt = images[:count].reshape(count, -1)
        self._mean = learnt.mean(axis=0)
        centred = learnt - self._mean
        strengths, vectors = np.linalg.eigh(centred @ centred.T)
        strengths, vectors = np.maximum(strengths[::-1], 0), vectors[:, ::-1]
        needed = int(np.searchsorted(np.cumsum(strengths), EXPLAINED * strengths.sum())) + 1
        kept = min(needed, count // 3, int((strengths > 1e-6 * strengths[0]).sum()))
        self._basis = (centred.T @ vectors[:, :kept]) / np.sqrt(strengths[:kept])
        self._spread = np.ones(images.shape[1:], np.float32)
        self._spread = self.unexplained(images[count:]).std(axis=0) + LEAST_SPREAD

    def unexplained(self, images: Floats) -> Floats:
        """See `Nature`; in standard deviations of each value."""
        apart = images.reshape(len(images), -1) - self._mean
        left = apart - (apart @ self._basis) @ self._basis.T
        return np.asarray(left.reshape(images.shape) / self._spread, np.float32)


def find_splits(own: Floats, nature: Nature, others: Floats | None = None) -> Iterator[Split]:
    """Ways in which images (n, h, w, c) fall in two.

    Parameters
    ----------
    nature
        What is taken out of them first.
    others
        Images (m, h, w, c) that lack what is looked for: those that are like them lack it, too. Without them the
        smaller group is said to show it.
    """
    left = nature.unexplained(own)
    usual = None if others is None else nature.unexplained(others).mean(axis=0, keepdims=True)
    for window in lay_windows(own.shape[1:3]):
        part = _within(left, window)
        level = None if usual is None else _within(usual, window)[0]
        for shows, gap, (low, high) in halve_by_likeness(part @ part.T):
            way = part[shows].mean(axis=0) - part[~shows].mean(axis=0)
            if _is_reversed(shows, low, high, None if level is None else float(level @ way)):
                shows, way, low, high = ~shows, -way, -high, -low
            direction = np.zeros(own.shape[1:], np.float32)
            direction[window] = way.reshape(direction[window].shape)
            yield Split(shows, gap, Filter(nature, direction, low, high))


def _is_reversed(shows: Bools, low: float, high: float, usual: float | None) -> bool:
    """Whether those said to show something are those that lack it: they are like others, or are most."""
    if usual is None:
        return bool(shows.mean() > 0.5)
    return abs(low - usual) > abs(high - usual)


def lay_windows(frame: tuple[int, ...]) -> Iterator[Window]:
    """The frame, and its halves and quarters that overlap by half: a small thing is drowned by a large frame."""
    for parts in (1, 2, 4):
        height, width = frame[0] // parts, frame[1] // parts
        if min(height, width) < 2:
            return
        for top in range(0, frame[0] - height + 1, max(1, height // 2)):
            for left in range(0, frame[1] - width + 1, max(1, width // 2)):
                yield slice(top, top + height), slice(left, left + width)


def halve_by_likeness(products: Floats) -> list[tuple[Bools, float, tuple[float, float]]]:
    """Two groups of images each time, with their gap and levels, from the products of all with all (n, n).

    Starts from each of the directions in which they vary most; each image is put where it belongs by a direction that
    it has no part in.
    """
    count = len(products)
    if count < 2 * FEWEST:
        return []
    means = products.mean(axis=0)
    centred = products - means - means[:, None] + means.mean()
    _, vectors = eigh(centred.astype(np.float64), subset_by_index=(count - STARTS, count - 1))
    own, found = np.diag(products), list[tuple[Bools, float, tuple[float, float]]]()
    for start in range(1, STARTS + 1):
        levels, before = vectors[:, -start], None
        for _ in range(ROUNDS):
            bar, gap = divide(levels)
            shows = levels > bar
            if before is not None and (shows == before).all():
                break
            before = shows
            likeness, first, second = products @ shows, int(shows.sum()), int((~shows).sum())
            unlike = products @ ~shows
            with_it = (likeness - own * shows) / np.maximum(1, first - shows)  # each by others alone
            levels = with_it - (unlike - own * ~shows) / np.maximum(1, second - ~shows)
        if min(shows.sum(), (~shows).sum()) >= FEWEST and not any(_is_same(shows, other) for other, *_ in found):
            bar, gap = divide(levels)
            found.append((shows, gap, (float(levels[~shows].mean()), float(levels[shows].mean()))))
    return found


def divide(levels: Doubles) -> tuple[float, float]:
    """The bar that divides numbers (n,) best, and the gap between both groups in standard deviations within them.

    Each group has `FEWEST` at least, and counts the same, however small it is: what shows by degrees has no gap, even
    where few show it. Numbers of one bell-shaped group have a gap of 2.65.
    """
    ordered = np.sort(np.asarray(levels, np.float64))
    count, middle = len(ordered), ordered.mean()
    if count < 2 * FEWEST:
        return float("inf"), 0.0
    below = np.arange(FEWEST, count - FEWEST + 1)
    sums, squares = np.cumsum(ordered - middle), np.cumsum((ordered - middle) ** 2)
    lower, upper = sums[below - 1] / below, (sums[-1] - sums[below - 1]) / (count - below)
    at = int((below * (count - below) * (upper - lower) ** 2).argmax())
    first = squares[below[at] - 1] / below[at] - lower[at] ** 2
    second = (squares[-1] - squares[below[at] - 1]) / (count - below[at]) - upper[at] ** 2
    spread = np.sqrt(max((first + second) / 2, 1e-12 * squares[-1] / count, 1e-300))
    bar = (ordered[below[at] - 1] + ordered[below[at]]) / 2
    return float(bar), float((upper[at] - lower[at]) / spread)


def _is_same(one: Bools, other: Bools) -> bool:
    return max(float((one == other).mean()), float((one != other).mean())) > _SAME


def _within(images: Floats, window: Window) -> Floats:
    return np.ascontiguousarray(images[:, window[0], window[1]]).reshape(len(images), -1)


def same_images(one: Ints, other: Ints) -> bool:
    """Whether two groups of images, by their rows, are nearly the same."""
    return len(np.intersect1d(one, other)) > _ALIKE * max(len(one), len(other))


EXPLAINED, LEAST_SPREAD = 0.9, 0.01
"""Share of the variance of images that is taken out; and what a value varies at least, in [0, 1]."""

FINE, AROUND = 1.5, 5.0
"""Pixels that lines are wide, at the most, as a standard deviation; and how many times as far their strength is told
from."""

STARTS, ROUNDS, FEWEST = 5, 15, 5
"""Directions to start from, steps from each, and images of a group."""

OF_STAMPS = 8.0
"""Gap that objects leave seldom, where images fall in two by what other images told."""

OF_NOISE = 2.65, 15.0
"""The largest gap over all windows of n images of noise is about the first and the second by the root of n."""

OF_OBJECTS, CLEARLY = 0.3, 3.3
"""Excess over it that objects leave often, and seldom."""

_SAME, _ALIKE = 0.95, 0.8
