"""SmoothGrad: gradients under noise, as many for each image as it needs for its own standard error."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from auditor.explain.attribution.question import Question
from auditor.measure.arrays import Doubles, Floats, Ints
from auditor.measure.seeds import keyed_generators

_FIRST = 4
"""Pairs of the first round: enough to tell the variance, which is summed over thousands of pixels."""

_GROWTH = 4
"""By how much a round may multiply the pairs of an image at the most, for the variance is only estimated."""

_MARGIN = 1.05
"""On what the variance says that an image needs: so most images are done in one more round."""

_LEAST = float(np.finfo(np.float32).eps)
"""Of errors: gradients are float32."""

_CHUNK = 64
"""Pairs whose gradients are asked for at once: two batches of the usual size."""

_CHUNK_FLOATS = 2**21
"""The same in values of noisy images, of which no more than fit into 16 MiB are held."""


@dataclass
class Smoothed:
    """Sums over pairs of noisy gradients of n images, for each score that is aimed at."""

    total: Doubles
    """(aims, n, pixels)."""
    squares: Doubles
    """(aims, n): of the pairs' means, summed over pixels."""
    pairs: Ints
    """(n,)."""

    def maps(self) -> Doubles:
        """Mean gradients (aims, n, pixels)."""
        return self.total / np.maximum(self.pairs, 1)[:, None]

    def errors(self, rows: Ints) -> tuple[Doubles, Doubles]:
        """Of some images, (rows,): standard error of the mean over its length, and the pairs for one of 1.

        The second is told by the mean's length less what chance adds to it. Both are of the aim that is less sure. An
        error is never less than float32 can tell; of a mean that is zero everywhere it is NaN.
        """
        count = self.pairs[rows].astype(np.float64)
        lengths = np.square(self.total[:, rows]).sum(axis=2) / count**2
        variance = np.maximum(self.squares[:, rows] / count - lengths, 0) * count / np.maximum(count - 1, 1)
        tiny = float(np.finfo(np.float32).tiny)
        error = np.maximum(np.sqrt(variance / count / np.maximum(lengths, tiny)), _LEAST)
        error = np.where(self.squares[:, rows] > 0, error, np.nan)
        needed = variance / np.maximum(lengths - variance / count, tiny)
        is_believed = (count > _FIRST) | ((count > 1) & (error > _LEAST).all(axis=0))
        is_believed &= np.isfinite(error).all(axis=0)  # of zeros nothing tells how many it takes
        return np.where(count > 1, error.max(axis=0), np.inf), np.where(is_believed, needed.max(axis=0), np.inf)


def smooth(question: Question, noise: float, samples: int, tolerance: float) -> tuple[Floats, Ints, Doubles]:
    """Mean gradients (aims, n, h, w, c) of a question's images, the noisy samples of each, (n,), and the errors (n,).

    Noise comes in pairs of both signs. After a first round each image gets what its variance says that it needs, and
    so on until the standard error of its mean, over the mean's length, is under the tolerance, or its samples are used
    up. Where nothing varied in the first round, or all derivatives are zero, that may be chance, and more are drawn.
    How many samples an image takes depends on nothing else, so batches are filled with those of all images together.
    """
    images = question.images
    pixels = int(np.prod(images.shape[1:]))
    generators = keyed_generators(question.seed, "smoothgrad", question.ids)
    aims, count = len(question.aims), len(images)
    found = Smoothed(np.zeros((aims, count, pixels)), np.zeros((aims, count)), np.zeros(count, np.int64))
    error = np.full(count, np.inf)
    most = max(1, samples // 2)
    active, wanted = np.arange(count), np.full(count, min(_FIRST, most))
    while len(active):
        for rows, sizes in _chunks(active, wanted, max(1, min(_CHUNK, _CHUNK_FLOATS // (2 * pixels)))):
            _add(found, question, rows, sizes, noise, generators)
        error[active], needed = found.errors(active)
        is_done = (error[active] <= tolerance) & np.isfinite(needed)
        goes_on = ~is_done & (found.pairs[active] < most)
        active, needed = active[goes_on], needed[goes_on]
        have = found.pairs[active]
        aim = np.minimum(np.ceil(np.minimum(_MARGIN * needed / tolerance**2, _GROWTH * have)), most).astype(np.int64)
        wanted = np.maximum(aim - have, 1)
    maps = found.maps().astype(np.float32).reshape(aims, *images.shape)
    return maps, 2 * found.pairs, error


def _chunks(rows: Ints, wanted: Ints, size: int) -> Iterator[tuple[Ints, Ints]]:
    """Rows and how many pairs of each, in chunks of `size` pairs in all; a row may go on in the next chunk."""
    owners = np.repeat(rows, wanted)
    for start in range(0, len(owners), size):
        yield np.unique(owners[start : start + size], return_counts=True)


def _add(
    found: Smoothed, question: Question, rows: Ints, sizes: Ints, noise: float, generators: list[np.random.Generator]
) -> None:
    """Add so many pairs of each of some images, which come one after another: all of plus, then all of minus noise."""
    ends = np.cumsum(sizes)
    starts = ends - sizes
    noisy = np.empty((2, ends[-1], *question.images.shape[1:]), np.float32)

    def draw(at: int) -> None:
        plus, minus = noisy[:, starts[at] : ends[at]]
        generators[rows[at]].standard_normal(dtype=np.float32, out=minus)
        minus *= np.float32(noise)
        np.add(question.images[rows[at]], minus, out=plus)
        np.subtract(question.images[rows[at]], minus, out=minus)

    with ThreadPoolExecutor() as pool:  # numpy lets other threads run while it draws
        list(pool.map(draw, range(len(rows))))
    owners = np.tile(np.repeat(rows, sizes), 2)
    for aim, slopes in enumerate(question.slopes(noisy.reshape(-1, *noisy.shape[2:]), owners)):
        by_sample = slopes.reshape(2, ends[-1], -1)
        by_pair = np.add(by_sample[0], by_sample[1], out=noisy[0].reshape(by_sample[0].shape))
        # einsum, not a product of matrices: BLAS keeps its threads spinning, and TensorFlow then waits for a core
        squares = np.einsum("sp,sp->s", by_pair, by_pair, dtype=np.float64) / 4
        for row, start, end in zip(rows, starts, ends, strict=True):
            found.total[aim, row] += by_pair[start:end].sum(axis=0, dtype=np.float64) / 2
            found.squares[aim, row] += squares[start:end].sum()
    found.pairs[rows] += sizes
