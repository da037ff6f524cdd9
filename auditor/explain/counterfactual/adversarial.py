"""Whether a change of an image explains anything, or is noise that only a model answers to: a rule that is stated.

A change is called *adversarial rather than explanatory* where it is

- **invisible**: no pixel moves by `VISIBLE` or more, or the root of the mean square over the pixels that move at all
  (by `TOUCHED` or more) is under `VISIBLE_RMS`; or
- **brittle**: blurred slightly (Gaussian of one pixel, or of a 112th of the longer side), it keeps less than
  `SURVIVES` of its effect on the margin; unless it stands **in one place**: nine tenths of its energy need no more than
  `IN_PLACE` of the frame, in cells of a seventh of each side, and one block of pixels that touch, a square of
  twice the blur or more, holds at least `IN_BLOCK` of it.

A shape that is smooth survives the blur; fine strokes such as those of a watermark do not, but stand in one place, and
a few single pixels are no block. What is neither is what optimisation finds where nothing has a meaning. The share of
high frequencies is shown beside and does not decide, for watermarks have more of them than noise that fools a model.
Changes are float32 (n, h, w, c).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, label

from auditor.explain.counterfactual.search import Aim, margins
from auditor.measure.arrays import Bools, Doubles, Floats
from auditor.subject.model.classifier import Explainable

VISIBLE = 8 / 255
"""The bound under which the literature calls a change of a pixel imperceptible."""
VISIBLE_RMS = 1 / 255
"""One step of 8-bit colour."""
SURVIVES = 0.7
"""A watermark really put in keeps more in most images (`benchmarks/counterfactuals.py`), noise a fifth or less."""
IN_PLACE = 0.2
IN_BLOCK = 0.5
TOUCHED = 1 / 510
"""Half a step of 8-bit colour: a pixel that moves less is unchanged."""

_CELLS = 7
_MOST_ENERGY = 0.9


@dataclass(frozen=True)
class Traits:
    """What the rule looks at, for each of n changes."""

    largest: Doubles
    """L-infinity."""
    rms: Doubles
    """Over the pixels that move; nought where none does."""
    survival: Doubles
    """Share of the effect on the margin that is left when the change is blurred; NaN where it had none."""
    spread: Doubles
    """Share of the frame, in cells, that holds nine tenths of the energy."""
    block: Doubles
    """Share of the energy in the one block of touching pixels that holds most; nought where there is no block."""

    @property
    def is_invisible(self) -> Bools:
        """(n,)."""
        return (self.largest < VISIBLE) | (self.rms < VISIBLE_RMS)

    @property
    def is_brittle(self) -> Bools:
        """(n,): loses its effect when blurred, and does not stand in one place."""
        is_in_one_place = (self.spread <= IN_PLACE) & (self.block >= IN_BLOCK)
        return (np.nan_to_num(self.survival) < SURVIVES) & ~is_in_one_place

    @property
    def is_adversarial(self) -> Bools:
        """(n,)."""
        return self.is_invisible | self.is_brittle


def find_traits(classifier: Explainable, images: Floats, changed: Floats, aim: Aim) -> Traits:
    """What the rule looks at, of images (n, h, w, c) and what they were changed to; two more passes forward."""
    changes = changed - images
    flat = changes.reshape(len(changes), -1).astype(np.float64)
    sigma = blur_of(images.shape[1:3])
    blurred = np.clip(images + gaussian_filter(changes, (0, sigma, sigma, 0), mode="constant"), 0, 1)
    before, after, left = (
        margins(classifier.scores(shown), aim, classifier.output)[0] for shown in (images, changed, blurred)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        survival = np.where(after > before, (left - before) / (after - before), np.nan)
    return Traits(
        largest=np.abs(flat).max(axis=1, initial=0),
        rms=_rms_of_moved(changes),
        survival=survival,
        spread=_spread(energy(changes)),
        block=_block(changes, least_block(images.shape[1:3])),
    )


def moved(changes: Floats) -> Bools:
    """Pixels (n, h, w) that move by half a step or more in any channel."""
    return np.asarray(np.abs(changes).max(axis=-1) >= TOUCHED)


def blur_of(frame: tuple[int, ...]) -> float:
    """Standard deviation, in pixels, of the slight blur."""
    return max(1.0, max(frame) / 112)


def least_block(frame: tuple[int, ...]) -> int:
    """Fewest pixels that are a block: a square twice as wide as the blur."""
    return round((2 * blur_of(frame)) ** 2)


def energy(changes: Floats) -> Doubles:
    """Squared change, summed over channels, (n, h, w)."""
    return np.square(changes.astype(np.float64)).sum(axis=-1)


def _rms_of_moved(changes: Floats) -> Doubles:
    is_moved = moved(changes)
    counts = is_moved.sum(axis=(1, 2)) * changes.shape[-1]
    sums = np.where(is_moved, energy(changes), 0).sum(axis=(1, 2))
    return np.sqrt(np.divide(sums, counts, out=np.zeros(len(changes)), where=counts > 0))


def _block(changes: Floats, least: int) -> Doubles:
    """See `Traits.block`; pixels touch at corners too, and fewer than `least` are no block."""
    found = np.zeros(len(changes))
    for at, (heat, is_moved) in enumerate(zip(energy(changes), moved(changes), strict=True)):
        blocks, count = label(is_moved, np.ones((3, 3)))
        sizes = np.bincount(blocks.ravel(), minlength=count + 1)[1:]
        held = np.bincount(blocks.ravel(), heat.ravel(), count + 1)[1:]
        found[at] = np.where(sizes >= least, held, 0).max(initial=0) / max(heat.sum(), 1e-300)
    return found


def _spread(energies: Doubles) -> Doubles:
    """See `Traits.spread`."""
    rows, columns = (np.arange(size) * min(_CELLS, size) // size for size in energies.shape[1:])
    cell = rows[:, None] * (columns[-1] + 1) + columns[None]
    count = int(cell.max()) + 1
    area = np.bincount(cell.ravel(), minlength=count) / cell.size
    found = np.zeros(len(energies))
    for at, heat in enumerate(energies):
        held = np.bincount(cell.ravel(), heat.ravel(), count)
        order = np.argsort(-held, kind="stable")
        before = np.cumsum(held[order]) - held[order]
        found[at] = area[order][before < _MOST_ENERGY * held.sum()].sum()
    return found
