"""A number with its n, its interval and its unit, or the reason why it has none."""

from __future__ import annotations

from dataclasses import dataclass


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


def name_in_words(name: str) -> str:
    """The name of a measurement as one says it."""
    base, _, fill = name.partition(".")
    return base.replace("_", " ") + (f", {fill}" if fill else "")
