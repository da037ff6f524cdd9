"""What a model asks for, told by the model alone: the patch that raises a class most, in its own images, too.

An opaque patch is laid at every place of a grid, and its pattern climbs the derivative of a class's score, in images of
the class and of others at once. Some patch turns images of others into any class, in every network: it hides the object
or draws a part of another. But an image of the class has its own object already, and what only fools adds nothing to
it. A mark that was learnt does, at the one place where it was learnt. So a place counts by the lesser of what its patch
does to either. What is found is shown by no image: what it does beyond edits of equal size decides, as always.

References: Wang et al., "Neural Cleanse: identifying and mitigating backdoor attacks in neural networks" (2019), for a
search of changes that are the same in all images; Brown et al., "Adversarial patch" (2017); Madry et al., "Towards deep
learning models resistant to adversarial attacks" (2018), for the steps by sign.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from auditor.artefacts.overlay import Overlay
from auditor.discovery.candidate import CannotLookError, Proposal
from auditor.discovery.gradients import refuse_scores_alone
from auditor.discovery.looks import cut_out, strongest
from auditor.discovery.material import Material
from auditor.measure.arrays import Doubles, Floats, Ints


@dataclass(frozen=True)
class Patches:
    """Opaque squares in a frame."""

    corners: Ints
    """(n, 2): top and left."""
    patterns: Doubles
    """(n, side, side, c) in [0, 1]."""

    @property
    def places(self) -> list[tuple[slice, slice]]:
        """Where each lies, as rows and columns."""
        side = self.patterns.shape[1]
        return [(slice(top, top + side), slice(left, left + side)) for top, left in self.corners.tolist()]

    def take(self, rows: Ints | slice) -> Patches:
        """Some of them."""
        return Patches(self.corners[rows], self.patterns[rows])

    def insert(self, images: Floats) -> Floats:
        """(patches, images, h, w, c): each laid over the same images (n, h, w, c)."""
        shown = np.repeat(images[None], len(self.corners), axis=0)
        for one, (rows, columns), pattern in zip(shown, self.places, self.patterns, strict=True):
            one[:, rows, columns] = pattern
        return shown

    def moved(self, moves: Ints, frame: tuple[int, int]) -> Patches:
        """The only one of them, some pixels (m, 2) further within a frame; grey where it showed nothing."""
        (corner,), (pattern,), side = self.corners, self.patterns, self.patterns.shape[1]
        corners = np.clip(corner + moves, 0, np.array(frame) - side)
        wide = np.pad(pattern, ((side, side), (side, side), (0, 0)), constant_values=GREY)
        starts = (corners - corner + side).tolist()
        return Patches(corners, np.stack([wide[top : top + side, left : left + side] for top, left in starts]))


@dataclass(frozen=True)
class Asked:
    """The patch that a class asks for most."""

    target: int
    look: Overlay
    raised: float
    """By how much it raises the log-odds of the class, in its own images or in others, whichever is less."""
    usual: float
    """What the patch of the median place of the grid does, after the first climb."""


def propose_universal(material: Material, passes: int) -> Iterator[Proposal]:
    """The places where a patch raises the score of a class most, in its own images as well as in others.

    Of the classes those whose patch does most; each is trusted as far as `weigh_likelihood` tells.

    Parameters
    ----------
    passes
        About how many images the model may be differentiated at, of 64 x 64 pixels or fewer; larger ones count more.
        Patches are compared by scores besides, of some 1600 images for each class, which are not counted.

    Raises
    ------
    CannotLookError
        The model has no derivatives, or so few passes are no search.
    """
    refuse_scores_alone(material)
    classes, steps = plan(material, passes)
    found = sorted((search(material, number, steps) for number in classes), key=lambda asked: -asked.raised)
    for asked in found[:MOST]:
        number, likelihood = asked.target, weigh_likelihood(asked, found)
        own, free = material.own(number), material.images[material.others(number)]
        strong = strongest(own, material.images[own], asked.look, free)
        looks = (asked.look, cut_out(material.images[list(strong)], asked.look.fixed_region))
        yield Proposal("universal", number, looks, likelihood, strong, trust=likelihood)


def weigh_likelihood(asked: Asked, every: list[Asked]) -> float:
    """The share of what a patch does, in [0, 1], that others do not do.

    Others: that of the median place of its class, and the median of those that other classes ask for, whichever does
    more.
    """
    others = [other.raised for other in every if other.target != asked.target]
    usual = max([asked.usual, *([float(np.median(others))] if others else [])])
    return float(np.clip(1 - usual / asked.raised, 0, 1)) if asked.raised > 0 else 0.0


def plan(material: Material, passes: int) -> tuple[list[int], int]:
    """The classes that are searched for, and in how many steps.

    Of the classes that enough images have and lack: those first that most images are taken for wrongly, then the most
    frequent; as many as leave each a search.

    Raises
    ------
    CannotLookError
        Not even one class does, or there is none.
    """
    if not material.classes:
        raise CannotLookError("no class has images enough")
    wrongly = (material.seen.predicted & ~material.seen.has).sum(axis=0)
    classes = sorted(material.classes, key=lambda number: -int(wrongly[number]))
    cost = EACH * (PLACES**2 + LONGER * (KEPT + 9 * len(FINER))) * material.cost
    count = min(len(classes), passes // (cost * FEWEST_STEPS))
    if not count:
        raise CannotLookError(f"{passes} passes are too few: a search takes {cost * FEWEST_STEPS} for a class")
    return classes[:count], min(STEPS, passes // (cost * count))


def tell_unasked(material: Material, passes: int) -> str:
    """How many classes are searched for, and of how many, as a clause; empty where it is all that are looked at."""
    classes, whole = plan(material, passes)[0], len(material.classes)
    return "" if len(classes) == whole else f"{passes} passes allow a search for {len(classes)} of {whole} classes"


def search(material: Material, number: int, steps: int) -> Asked:
    """The patch that raises a class most: on a grid, then longer at its best places, then ever nearer to the best."""
    height, width, channels = material.images.shape[1:]
    side, random = max(1, round(SIDE * min(height, width))), material.generator(f"universal of {number}")
    grid = (np.linspace(0, extent - side, PLACES).round().astype(int) for extent in (height, width))
    corners = _cross(*map(np.unique, grid))  # a frame of few pixels has fewer places
    patches = Patches(corners, np.full((len(corners), side, side, channels), GREY))
    patches = climb(material, number, patches, steps, FIRST_RATE, random)
    raised = try_patches(material, number, patches, TRIED)
    usual = float(np.median(raised))
    patches = patches.take(np.argsort(-raised, kind="stable")[:KEPT])
    patches = climb(material, number, patches, LONGER * steps, RATE, random)
    for share in FINER:
        step = max(1, round(share * side))
        best = best_of(material, number, patches)
        near = best.moved(_cross(*[np.array([0, -step, step])] * 2), (height, width))
        patches = climb(material, number, near, LONGER * steps, RATE, random)
    best = best_of(material, number, patches)
    alpha, ink = np.zeros((height, width), np.float32), np.zeros((height, width, channels), np.float32)
    alpha[best.places[0]], ink[best.places[0]] = 1, best.patterns[0]
    return Asked(number, Overlay(alpha, ink), float(try_patches(material, number, best, WEIGHED)[0]), usual)


def climb(
    material: Material, number: int, patches: Patches, steps: int, rate: float, random: np.random.Generator
) -> Patches:
    """Patches, after their patterns climbed the derivative of a class's score by its sign.

    All see the same images, drawn anew at every step: some of the class, and as many others.

    Parameters
    ----------
    rate
        How far the first step goes, of the whole range; the later ones ever less.
    random
        Draws the images.
    """
    patterns, pools = patches.patterns.copy(), (material.some_own(number), material.others(number))
    drawn = [np.concatenate([random.choice(pool, EACH // 2) for pool in pools]) for _ in range(steps)]
    at_once = max(1, material.batch_size // EACH)
    for start in range(0, len(patterns), at_once):
        part = Patches(patches.corners[start : start + at_once], patterns[start : start + at_once])  # a view of them
        for step, rows in enumerate(drawn):
            shown = part.insert(material.images[rows])
            flat = shown.reshape(-1, *shown.shape[2:])
            found = material.classifier.differentiate(flat, np.full(len(flat), number))  # type: ignore[attr-defined]
            slopes = found.gradient.reshape(shown.shape).mean(axis=1, dtype=np.float64)
            for pattern, (down, across), slope in zip(part.patterns, part.places, slopes, strict=True):
                pattern += rate * (1 - step / steps) * np.sign(slope[down, across])
            np.clip(part.patterns, 0, 1, out=part.patterns)
    return Patches(patches.corners, patterns)


def try_patches(material: Material, number: int, patches: Patches, count: int) -> Doubles:
    """(n,): by how much patches raise the log-odds of a class, in its images or in others, whichever is less.

    Parameters
    ----------
    count
        Images of either kind.
    """
    raised = np.zeros((2, len(patches.corners)))
    for kind, rows in enumerate((material.some_own(number, count), material.others(number, count))):
        at_once = max(1, material.batch_size // len(rows))
        for start in range(0, len(patches.corners), at_once):
            shown = patches.take(slice(start, start + at_once)).insert(material.images[rows])
            odds = material.scores(shown.reshape(-1, *shown.shape[2:]))[:, number].reshape(shown.shape[:2])
            raised[kind, start : start + at_once] = (odds - material.seen.scores[rows, number]).mean(axis=1)
    return raised.min(axis=0)


def best_of(material: Material, number: int, patches: Patches) -> Patches:
    """The only one that raises a class most, the first of equals."""
    at = int(try_patches(material, number, patches, TRIED).argmax())
    return patches.take(slice(at, at + 1))


def _cross(rows: Ints, columns: Ints) -> Ints:
    """(n, 2): every row with every column."""
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)


SIDE, PLACES, KEPT, FINER = 0.21, 8, 12, (0.33, 0.17)
"""Of a patch, as a share of the shorter side of the frame; places of the grid along either side of it; those that are
gone on with; and how far patches are moved from the best, as shares of their side, one after the other."""

STEPS, FEWEST_STEPS, LONGER = 4, 3, 2
"""Of a climb on the grid; fewer are no search; and how many times as many there are later."""

FIRST_RATE, RATE, GREY = 0.5, 0.3, 0.5
"""How far the first step of a pattern goes, on the grid and later; and where all begin."""

EACH, TRIED, WEIGHED = 4, 8, 48
"""Images at each step, half of them of the class; and of either kind, to choose a place by, and to rank a class by."""

MOST = 3
"""Proposals in all, each of a class of its own."""
