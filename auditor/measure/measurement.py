"""A number with its n, its interval and its unit, or the reason why it has none; and a remark beside numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Measurement:
    """A number with its interval, or the reason why there is none (`value` is then null)."""

    value: float | None
    low: float | None
    high: float | None
    level: float | None
    """Confidence level of the interval, for example 0.95."""
    n: int
    """Images behind the number."""
    groups: int
    """Independent groups of images: the unit of resampling."""
    unit: str
    score: str | None
    """What was measured: `log-odds`, `logit`, `probability`, or null for plain shares."""
    low_adjusted: float | None = None
    """The lower bound that `relies` is decided on: corrected for the classes and artefacts tried, where it differs."""
    reason: str | None = None
    """Why there is no value, or no interval."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Both ends of the interval; infinite where it has none, for then nothing is ruled out."""
        return (-math.inf if self.low is None else self.low, math.inf if self.high is None else self.high)

    @property
    def decisive(self) -> Measurement:
        """The same with the lower bound that `relies` is decided on in place of the plain one.

        Only the claim that an effect exceeds a bar is corrected for how many were tried; what says that it stays under
        one holds for all of them without, and a warning wants no correction. So `against` compares the plain interval,
        and whoever decides on reliance asks `decisive.against`.
        """
        return self if self.low_adjusted is None else replace(self, low=self.low_adjusted, low_adjusted=None)

    def against(self, bar: float) -> Literal["above", "below", "open"]:
        """Where the whole interval lies; `open` where the bar is in it or at its end, or there is no interval."""
        low, high = self.bounds
        return "above" if low > bar else "below" if high < bar else "open"

    def lies_in(self, least: float, most: float) -> bool:
        """Whether the whole interval lies in a range, ends included."""
        low, high = self.bounds
        return least <= low and high <= most

    def mapped(self, change: Callable[[float], float], unit: str | None = None) -> Measurement:
        """The value and its interval by a function that only rises or only falls; the corrected bound is left out."""
        value, *ends = (None if x is None else change(x) for x in (self.value, self.low, self.high))
        low, high = ends if None in ends else sorted(end for end in ends if end is not None)
        return replace(self, value=value, low=low, high=high, low_adjusted=None, unit=unit or self.unit)


@dataclass(frozen=True)
class Note:
    """A remark for the reader. Code that must know what a note is about goes by its kind, never by its words."""

    kind: str
    """One word or two for what is remarked on: `untested`, `baseline`, `control`; plain `remark` where none asks."""
    text: str
    """A clause without a full stop; it may hold names that users gave."""
