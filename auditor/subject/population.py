"""The images that something was measured on: what the model said of them, and what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auditor.measure.arrays import Array, Bools, Groups, Ints


@dataclass(frozen=True)
class Population:
    """The images that one kind of intervention was tried on."""

    positions: Ints
    """(n,): rows of the data set."""
    scores: Array
    """(n, classes): log-odds before the intervention."""
    predicted: Bools
    """(n, classes): predicted classes before."""
    has: Bools
    """(n, classes): the classes it has; where unlabelled, those predicted."""
    labelled: Bools
    """(n,)."""
    groups: Groups
    """(n,)."""

    def __len__(self) -> int:
        return len(self.scores)


def name_classes(flags: Bools, classes: Sequence[str]) -> str:
    """The classes that an image has, or is predicted as, flags (classes,): `cat, dog`, or `none`."""
    return ", ".join(classes[number] for number in np.flatnonzero(flags).tolist()) or "none"


def is_correct(predicted: Bools, has: Bools) -> Bools:
    """Whether exactly the classes that an image has are predicted (n,)."""
    return np.asarray((predicted == has).all(axis=1))
