"""Randomness that depends on names, never on what was drawn before."""

from __future__ import annotations

import hashlib

import numpy as np


def keyed_generator(seed: int, method: str, image_id: str) -> np.random.Generator:
    """A generator keyed by seed, method and image: the same whatever was drawn before, and for whom.

    What a purpose is called stays as it is, even where its method is renamed: else a seed would give other numbers.
    """
    digest = hashlib.sha256(f"{seed}/{method}/{image_id}".encode()).digest()
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(int.from_bytes(digest[:16], "little"))))
