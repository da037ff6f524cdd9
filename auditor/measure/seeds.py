"""All randomness of an audit. It depends on the seed and on names, never on what was drawn before or in which order.

What a purpose is called stays as it is, even where its method is renamed: else a seed would give other numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from auditor.measure.arrays import Ints

Purpose = Literal[
    "controls",
    "innocent content",
    "explained images",
    "drawn images",
    "checks",
    "mistakes",
    "halves of mistakes",
    "neighbours",
    "variants and doses",
]


def keyed_generator(seed: int, purpose: str, name: str) -> np.random.Generator:
    """A generator for one thing, mostly an image by its id: the same whatever is drawn for others."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{name}".encode()).digest()
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(int.from_bytes(digest[:16], "little"))))


def keyed_generators(seed: int, purpose: str, names: Sequence[str]) -> list[np.random.Generator]:
    """A generator of its own for each of several names."""
    return [keyed_generator(seed, purpose, name) for name in names]


@dataclass(frozen=True)
class KeyedGenerators:
    """A generator for each of several names, made anew whenever it is walked through: whoever does draws the same."""

    seed: int
    purpose: str
    names: Sequence[str]

    def __iter__(self) -> Iterator[np.random.Generator]:
        return iter(keyed_generators(self.seed, self.purpose, self.names))

    def __len__(self) -> int:
        return len(self.names)


def seeded_order(seed: int, purpose: str, names: Sequence[str]) -> Ints:
    """Where the names stand, in a random order that depends on them alone: (n,); its beginning is a seeded choice."""
    return np.argsort([random.random() for random in keyed_generators(seed, purpose, names)], kind="stable")


def audit_generator(seed: int, purpose: Purpose) -> np.random.Generator:
    """The one generator of an audit for what is drawn of no single image."""
    if purpose in _KEYS:
        return np.random.Generator(np.random.Philox(key=np.array([seed, _KEYS[purpose]], dtype=np.uint64)))
    return np.random.default_rng([seed, _STREAMS[purpose]])


_KEYS = {"controls": 0xC0, "innocent content": 0xD0}

_STREAMS = {
    "explained images": 1,
    "drawn images": 2,
    "checks": 3,
    "mistakes": 4,
    "halves of mistakes": 5,
    "neighbours": 6,
    "variants and doses": 7,
}
