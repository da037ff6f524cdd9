"""Cuts images into batches of few sizes, the last one padded, and joins what a model gives for each.

Where memory runs out in a batch, all go on in batches of half the size.
"""

from __future__ import annotations

import functools
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np

from auditor.errors import NotFiniteError, TimeUp
from auditor.measure.arrays import Array, Floats
from auditor.measure.measurement import Note
from auditor.subject.model.classifier import Linearisation

Kind = Literal["scores", "gradients"]


@dataclass
class Work:
    """What a model was asked since it was opened: images by the kind of pass, and what was computed for them."""

    needed: Counter[Kind] = field(default_factory=Counter)
    """Images that were handed in."""
    made: Counter[Kind] = field(default_factory=Counter)
    """Images that went through the model for them: the same and what filled the last batches up."""
    ends: float = math.inf
    """From this time on, as `time.monotonic` has it, nothing more is asked."""

    @property
    def is_over(self) -> bool:
        """Whether that time has come."""
        return time.monotonic() >= self.ends

    def count(self, kind: Kind, needed: int, made: int) -> None:
        """Count the images of one call.

        Raises
        ------
        TimeUp
            It comes too late.
        """
        if self.is_over:
            raise TimeUp
        self.needed[kind] += needed
        self.made[kind] += made


@functools.lru_cache
def steps_of(size: int, least: int = 1) -> tuple[int, ...]:
    """Sizes that a rest of images is cut into, the largest first: each a quarter of the one before, down to the least.

    Each size costs a trace, which takes a large network as long as many images. So there are few of them.
    """
    sizes = [max(size, least)]
    while sizes[-1] > least:
        sizes.append(max(least, sizes[-1] // 4))
    return tuple(sizes)


@functools.lru_cache
def plan_batches(count: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes of the batches for so many images: those of `sizes` (descending), of which the last one may be padded.

    It is padded where an eighth of it is wasted at the most, or one image; and where there is no smaller size.
    """
    plan, rest = list[int](), count
    while rest > 0:
        fits = [size for size in sizes if size >= rest]
        least = min(fits, default=0)
        if fits and (least - rest <= max(1, least // 8) or least == sizes[-1]):
            return (*plan, least)
        plan.append(max(size for size in sizes if size < rest))
        rest -= plan[-1]
    return tuple(plan)


def cut_batches(values: Array, sizes: tuple[int, ...]) -> Iterator[Array]:
    """Batches of the sizes that are planned for these images; the last image fills up the last one."""
    start = 0
    for size in plan_batches(len(values), sizes):
        part = values[start : start + size]
        start += size
        missing = size - len(part)
        yield np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing else part


Ask = TypeVar("Ask", bound=Callable[..., Any])


def sparing(ask: Ask) -> Ask:
    """A method of a classifier that asks the model: where memory runs out, it asks again in smaller batches.

    The classifier has `batch_size`, `only_batch_size` (None where it takes any), `traces` of its passes, and
    `notes_of_memory` for what is to be said of it.
    """

    @functools.wraps(ask)
    def asked(self: Any, *arguments: Any, **named: Any) -> Any:
        while True:
            try:
                return ask(self, *arguments, **named)
            except MemoryError:
                if self.only_batch_size or self.batch_size == 1:
                    raise
            self.batch_size //= 2
            self.traces.clear()
            told = f"Memory ran out, so the model was asked {self.batch_size} images at a time"
            self.notes_of_memory = [Note(MEMORY, f"{told}; model.batch_size = {self.batch_size} would begin so.")]

    return asked  # type: ignore[return-value]


MEMORY = "memory"
"""The kind of such a note."""


def gather(batches: Iterable[Sequence[Any]], count: int) -> list[Floats]:
    """Arrays (count, ...) from those of each batch; a batch's own arrays are let go at once, which is faster."""
    gathered: list[Floats] = []
    at = 0
    for batch in batches:
        parts = [np.asarray(part) for part in batch]
        if len(parts[0]) == count:
            return [part.astype(np.float32) for part in parts]  # a copy: what the tensors hold is not ours to change
        if not gathered:
            gathered = [np.empty((count, *part.shape[1:]), np.float32) for part in parts]
        for whole, part in zip(gathered, parts, strict=True):
            rows = whole[at : at + len(part)]
            rows[:] = part[: len(rows)]
        at += len(parts[0])
    return gathered


def join(parts: list[Linearisation]) -> Linearisation:
    """One linearisation of all images, of those of some after another."""
    ends = np.cumsum([len(part.scores) for part in parts])[:-1]

    def pull_back(by_scores: Floats | None, by_features: Mapping[str, Floats]) -> Floats:
        scores = [None] * len(parts) if by_scores is None else np.split(by_scores, ends)
        features = {layer: np.split(slope, ends) for layer, slope in by_features.items()}
        return np.concatenate(
            [
                part.pull_back(scores[at], {layer: slopes[at] for layer, slopes in features.items()})
                for at, part in enumerate(parts)
            ]
        )

    joined = {layer: np.concatenate([part.features[layer] for part in parts]) for layer in parts[0].features}
    return Linearisation(np.concatenate([part.scores for part in parts]), joined, pull_back)


def finite(values: Floats, what: str) -> Floats:
    """The values, or an error that says for how many images some are not finite."""
    is_finite = np.isfinite(values)
    if not is_finite.all():
        rows = ~is_finite.reshape(len(values), -1).all(axis=1)
        got = f"the model's {what} are not finite (NaN or infinity) for {rows.sum()} of {len(values)} images"
        raise NotFiniteError(got, rows)
    return values
