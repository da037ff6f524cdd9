"""Numbers and measurements as one says them: the only place where either becomes text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from auditor.measure.measurement import Measurement

MINUS = "\N{MINUS SIGN}"

PER_CENT = "\N{NARROW NO-BREAK SPACE}%"

POINTS = "points"
"""The unit that a difference of shares is told in, in hundredths."""

Style = Literal["plain", "bare", "brief", "full", "decided", "points", "count", "counted", "tally"]


def say(measured: Measurement, style: Style = "plain") -> str:
    """A measurement inside a sentence, in one of the styles of `STYLES`, with the interval that decides."""
    manner = STYLES[style]
    if measured.value is None:
        return manner.absent.format(reason=measured.reason, n=say_n(measured))

    decisive = measured.decisive
    low, high = (
        "" if end is None else manner.show(end, measured.unit).removeprefix("+")
        for end in (decisive.low, decisive.high)
    )
    return (manner.whole if low and high else manner.bare).format(
        value=manner.show(measured.value, measured.unit),
        interval=f"{low} to {high}",
        low=low,
        high=high,
        unit=measured.unit,
        log_odds=" log-odds" if measured.unit == "log-odds" else "",
        n=say_n(measured),
        images=measured.n,
        count=round(measured.value * measured.n),
    )


def say_interval(measured: Measurement, digits: int | None = None, *, is_difference: bool = False) -> str:
    """Both ends of the interval that decides; a dash where there is none.

    There is one interval for each number wherever it is told: the lower end is the corrected one where several were
    tried (see `Measurement.decisive`).
    """
    decisive = measured.decisive
    if decisive.low is None or decisive.high is None:
        return "–"
    if is_difference and measured.unit == "share":
        low, high = (_points(end, measured.unit) for end in (decisive.low, decisive.high))
    else:
        low, high = (number(end, measured.unit, digits) for end in (decisive.low, decisive.high))
    return f"{low.removeprefix('+')} to {high.removeprefix('+')}"


def say_effect(effect: Measurement) -> str:
    """An effect with its unit and its interval, as it stands everywhere: `+5.6 log-odds, 5.3 to 5.9`."""
    if effect.value is None:
        return effect.reason or "–"
    ends = say_interval(effect)
    told = f"{number(effect.value, effect.unit)} {effect.unit}"
    return f"{told}, {ends}" if ends != "–" else told


def say_n(measured: Measurement) -> str:
    """How many images are behind a measurement, and in how many groups where these are fewer."""
    return str(measured.n) if measured.groups == measured.n else f"{measured.n} in {measured.groups} groups"


def number(value: float, unit: str, digits: int | None = None) -> str:
    """A number of a unit in two significant digits, two decimals at most: shares in per cent, changes with their sign.

    A difference of shares is told in points: its unit is then `POINTS`.

    Parameters
    ----------
    digits
        So many decimals instead.
    """
    if unit == "share":
        return _per_cent(value, unit)
    if unit == POINTS:
        return _points(value, unit)
    if digits is None and unit in _LIKENESSES:
        digits = 2
    if unit in _SIGNED:
        return signed(value, 3 if unit == "probability" and digits is None else digits)
    return _rounded(value, digits).replace("-", MINUS)


def signed(value: float | None, digits: int | None = None) -> str:
    """A number with its sign; what rounds to nothing is positive, and what is missing a dash."""
    if value is None:
        return "–"
    told = _rounded(value, digits)
    return told.replace("-", MINUS) if told.startswith("-") else f"+{told}"


def _rounded(value: float, digits: int | None = None) -> str:
    """Two significant digits, but whole numbers as they are and two decimals at most; nothing is never negative."""
    if digits is None:
        size = abs(value)
        digits = 2 if size < 0.995 else 1 if size < 9.95 else 0
    return f"{round(value, digits) + 0.0:.{digits}f}"


def say_in(share: float, n: int) -> str:
    """A share of n images as one says it: `1 in 3`, `3 of 6`, `nearly all`."""
    count = round(share * n)
    if n < _FEW or count in (0, n):
        return "none" if count == 0 else "all" if count == n else f"{count} of {n}"
    if share >= 0.97:
        return "nearly all"
    if share < 0.01:
        return f"{count} of {n}"
    ones = round(1 / share)
    tenths = round(10 * share)
    if ones > 1 and abs(ones * share - 1) <= abs(tenths / 10 / share - 1) + 1e-9:
        return f"1 in {ones}"
    return f"{tenths} in 10" if tenths < 10 else "more than 9 in 10"


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
    """Points of a difference of shares, in hundredths."""
    return _rounded(100 * value).replace("-", MINUS)


def _whole_per_cent(value: float, unit: str) -> str:
    return f"{value:.0%}"


def _per_cent(value: float, unit: str) -> str:
    hundredths = 100 * value
    if 0 < 1 - abs(value) < 0.005:  # nearly all is not all
        hundredths = min(max(round(hundredths, 1), -99.9), 99.9)
        told = f"{hundredths:.1f}"
    elif abs(hundredths - round(hundredths)) < 1e-9:  # 5 %, as it was configured, is not 5.0 %
        told = f"{hundredths:.0f}"
    else:
        told = _rounded(hundredths)
    return f"{told}{PER_CENT}".replace("-", MINUS)


@dataclass(frozen=True)
class _Manner:
    """How one style writes a measurement: with its interval, without one, and where there is no value."""

    whole: str
    bare: str
    absent: str = "–"
    show: Callable[[float, str], str] = number


STYLES: dict[Style, _Manner] = {
    "plain": _Manner("{value} ({interval})", "{value}", "– ({reason})"),
    "bare": _Manner("{value}", "{value}"),
    "brief": _Manner("{value} ({interval})", "{value}"),
    "full": _Manner("{value}{log_odds} ({interval}, n = {n})", "{value}{log_odds} (n = {n})", "– (n = {n})"),
    "decided": _Manner(
        "{value} log-odds ({interval}, n = {images})",
        "an effect without an interval",
        "an effect without an interval",
    ),
    "points": _Manner("{value} points ({interval})", "{value} points", "an unknown share", _points),
    "count": _Manner("{count} of {images}", "{count} of {images}", "0 of {n}"),
    "counted": _Manner("{count} of {images} ({interval})", "{count} of {images}", "none to ask", _per_cent),
    "tally": _Manner("{count} of {images} [{low}, {high}]", "{count} of {images}", "none to ask", _whole_per_cent),
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

_LIKENESSES = {"correlation", "rank correlation", "SSIM", "difference of correlations"}
"""Units of numbers that never exceed 1: with two decimals, always."""

_FEW = 20
"""Fewer images than these are counted, not told as a proportion."""
