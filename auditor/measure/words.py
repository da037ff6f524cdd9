"""Numbers and measurements as one says them: the only place where either becomes text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from auditor.measure.measurement import Measurement

MINUS = "\N{MINUS SIGN}"

Style = Literal["plain", "bare", "brief", "full", "decided", "effect", "points", "percentage points", "count", "tally"]


def say(measured: Measurement, style: Style = "plain") -> str:
    """A measurement inside a sentence, in one of the styles of `STYLES`."""
    manner = STYLES[style]
    if measured.value is None:
        return manner.absent.format(reason=measured.reason, n=say_n(measured))

    ends = (measured.value, measured.low, measured.high)
    value, low, high = ("" if part is None else manner.show(part, measured.unit) for part in ends)
    return (manner.whole if low and high else manner.bare).format(
        value=value,
        low=low,
        high=high,
        interval=say_interval(measured),
        unit=measured.unit,
        log_odds=" log-odds" if measured.unit == "log-odds" else "",
        n=say_n(measured),
        images=measured.n,
        count=round(measured.value * measured.n),
    )


def say_interval(measured: Measurement, digits: int = 2) -> str:
    """Both ends of an interval, and the corrected lower bound where there is one; a dash where there is none."""
    if measured.low is None or measured.high is None:
        return "–"
    parts = (measured.low, measured.high, measured.low_adjusted)
    low, high, corrected = ("" if part is None else number(part, measured.unit, digits) for part in parts)
    return f"{low} to {high}" + (f"; corrected lower bound {corrected}" if corrected else "")


def say_n(measured: Measurement) -> str:
    """How many images are behind a measurement, and in how many groups where these are fewer."""
    return str(measured.n) if measured.groups == measured.n else f"{measured.n} in {measured.groups} groups"


def number(value: float, unit: str, digits: int = 2) -> str:
    """A number of a unit: shares in per cent, what may go either way with its sign."""
    if unit == "share":
        return f"{100 * value:.1f} %".replace("-", MINUS)
    if unit in _SIGNED:
        return signed(value, 3 if unit == "probability" else digits)
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", MINUS)


def signed(value: float | None, digits: int = 2) -> str:
    """A number with its sign; what rounds to nothing is positive, and what is missing a dash."""
    return "–" if value is None else f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", MINUS)


def listed(names: Sequence[str], most: int | None = None) -> str:
    """`a`, `a and b`, `a, b and c`; of more than `most` names only those, and how many are left out."""
    if most is not None and len(names) > most:
        names = [*names[:most], f"{len(names) - most} more"]
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def name_in_words(name: str) -> str:
    """The name of a measurement as one says it."""
    return name.replace("_", " ")


def _points(value: float, unit: str) -> str:
    return f"{round(100 * value) + 0:.0f}".replace("-", MINUS)


def _per_cent(value: float, unit: str) -> str:
    return f"{value:.0%}"


def _percentage_points(value: float, unit: str) -> str:
    return signed(100 * value, 1)


@dataclass(frozen=True)
class _Manner:
    """How one style writes a measurement: with its interval, without one, and where there is no value."""

    whole: str
    bare: str
    absent: str = "–"
    show: Callable[[float, str], str] = number


STYLES: dict[Style, _Manner] = {
    "plain": _Manner("{value} [{interval}]", "{value}", "– ({reason})"),
    "bare": _Manner("{value}", "{value}"),
    "brief": _Manner("{value} [{low}, {high}]", "{value}"),
    "full": _Manner("{value}{log_odds} [{interval}, n = {n}]", "{value}{log_odds} [n = {n}]", "– [n = {n}]"),
    "decided": _Manner(
        "{value} log-odds [{low}, {high}] (n = {images})",
        "an effect without an interval",
        "an effect without an interval",
    ),
    "effect": _Manner("{value} [{low}, {high}] {unit}, n = {n}", "{value} {unit}, n = {n}"),
    "points": _Manner("{value} points [{low} to {high}]", "{value} points", "an unknown share", _points),
    "percentage points": _Manner(
        "{value} percentage points ({low} to {high})", "{value} percentage points", show=_percentage_points
    ),
    "count": _Manner("{count} of {images}", "{count} of {images}", "0 of {n}"),
    "tally": _Manner("{count} of {images} [{low}, {high}]", "{count} of {images}", "none to ask", _per_cent),
}
"""What a sentence needs: the value, with its interval, the images too, the unit, points of a difference, or a count."""

_SIGNED = {
    "log-odds",
    "SD of the score",
    "probability",
    "difference of ratios",
    "difference of correlations",
    "feature",
}
