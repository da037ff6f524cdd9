"""Measurements to plots, as SVG whose text is text.

Each plot is drawn twice, for a wide page and for a phone, and the style sheet shows the one that fits: a drawing that
is merely shrunk has letters that nobody can read. Colours are attributes, which paper takes as they are, and classes,
by which the style sheet changes them in the dark. All text has a contrast of 4.5 to 1 or more on either.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from markupsafe import Markup, escape

from auditor.measure.measurement import Measurement
from auditor.measure.pieces import Curves, Interval, IntervalPlot, Line, Role
from auditor.measure.words import MINUS, say

WIDE, NARROW = 720, 340
"""Widths in units that are about a pixel on a screen."""

_SIZE, _LETTER = 13.0, 7.6
"""Height of the letters, and about the width of one."""

_LONGEST = 42
"""Longer names are cut, in letters."""


@dataclass(frozen=True)
class _Scale:
    """From values to places on the drawing."""

    low: float
    high: float
    start: float
    end: float
    early: float = 0.0
    """Of an axis of steps: up to here it is straight, then logarithmic, so that the early steps are drawn wider."""

    def __call__(self, value: float) -> float:
        low, high, at = (self._bent(part) for part in (self.low, self.high, value))
        return self.start + (at - low) / ((high - low) or 1.0) * (self.end - self.start)

    def _bent(self, value: float) -> float:
        return value if not self.early or value <= self.early else self.early * (1 + math.log(value / self.early))


def plot_curves(curves: Curves, name: str, widths: Sequence[int] = (WIDE, NARROW)) -> Markup:
    """Lines over one axis, told apart by colour and by dashes and named at their ends; references are grey."""
    told = "; ".join(_tell_line(line) for line in curves.lines if line.points)
    return Markup("").join(
        svg_of(*_draw_curves(curves, width), f"{name}-{width}", curves.title, told, is_narrow=width == NARROW)
        for width in widths
    )


def plot_intervals(plot: IntervalPlot, name: str, widths: Sequence[int] = (WIDE, NARROW)) -> Markup:
    """Measurements with their intervals, coloured by what they are; shares from nothing to all."""
    told = "; ".join(f"{row.name}: {say(row.measured, 'brief')}" for row in plot.rows)
    return Markup("").join(
        svg_of(*_draw_intervals(plot, width), f"{name}-{width}", plot.title, told, is_narrow=width == NARROW)
        for width in widths
    )


def font_folder() -> Path:
    """The folder of the open fonts that come with matplotlib, which need not be imported for them."""
    found = importlib.util.find_spec("matplotlib")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"


def _draw_intervals(plot: IntervalPlot, width: int) -> tuple[list[str], float, float]:
    """The parts of a drawing, its width and its height."""
    is_narrow = width == NARROW
    names = [plain(row.name) for row in plot.rows]
    left = 10.0 if is_narrow else 12 + _LETTER * max(map(len, names), default=0)
    top = 26.0 if plot.bar is not None else 8.0
    each = 40.0 if is_narrow else 26.0
    bottom = top + each * len(plot.rows) + 4
    scale = _scale_of(plot, left + 8, width - 18)
    is_share = _is_share(plot.rows)
    parts = list(_axis_below(scale, bottom, plot.axis, is_share, width))
    if plot.origin is not None:
        parts.append(line_from(scale(plot.origin), top, scale(plot.origin), bottom, "quiet", 'stroke-width="1"'))
    if plot.bar is not None:
        at = scale(plot.bar)
        parts.append(line_from(at, top - 6, at, bottom, "bar", 'stroke-width="1.5" stroke-dasharray="6 4"'))
        parts.append(_label_beside(at, top - 10, plot.bar_name, width, "bar"))
    for number, (row, said) in enumerate(zip(plot.rows, names, strict=True)):
        middle = top + each * number + (28 if is_narrow else 13)
        if is_narrow:
            parts.append(text_at(left, middle - 13, said, "ink"))
        else:
            parts.append(text_at(left, middle + 4.5, said, "ink", "end"))
        parts += _mark(row, scale, middle)
    return parts, width, bottom + 42


def _draw_curves(curves: Curves, width: int) -> tuple[list[str], float, float]:
    is_narrow = width == NARROW
    lines = [line for line in curves.lines if line.points]
    named = [line for line in lines if line.name]
    room = _LETTER * max((len(plain(line.name)) for line in named), default=0)
    left, right = 52.0, width - (14.0 if is_narrow or not named else room + 34)
    top, bottom = 30.0, 236.0
    places = [place for line in lines for place, _ in line.points] or [0.0, 1.0]
    is_share = not curves.are_steps and all(0 <= place <= 1 for place in places)
    early = 10.0 if curves.are_steps and max(places) > 10 else 0.0
    x = _Scale(min(places), max(places), left + 8, right - 8, early)
    ends = [end for line in lines for _, at in line.points for end in _ends(at) if not math.isnan(end)]
    ends += [0.0, curves.bar] if curves.bar is not None else [0.0] if curves.mark is not None else []
    y = _Scale(*_widened(ends), bottom, top + 6)
    parts = list(_axis_below(x, bottom, curves.x, is_share, width, curves.are_steps))
    parts.append(text_at(6, 14, " ".join(curves.y.split()), "ink"))
    parts.append(line_from(left, top, left, bottom, "ink", 'stroke-width="1"'))
    for tick in _ticks(y.low, y.high):
        parts.append(line_from(left - 4, y(tick), left, y(tick), "ink", 'stroke-width="1"'))
        parts.append(text_at(left - 7, y(tick) + 4.5, _tick_text(tick), "ink", "end"))
    if curves.bar is not None or curves.mark is not None:
        parts.append(line_from(left, y(0), right, y(0), "quiet", 'stroke-width="1"'))
    if curves.bar is not None:
        dashed = 'stroke-width="1.5" stroke-dasharray="6 4"'
        parts.append(line_from(left, y(curves.bar), right, y(curves.bar), "bar", dashed))
    if curves.mark is not None:
        at = x(curves.mark)
        parts.append(line_from(at, top, at, bottom, "bar", 'stroke-width="1.5" stroke-dasharray="6 4"'))
        parts.append(_label_beside(at, bottom - 8, curves.mark_name, right, "bar"))
    looks = list(_looks(lines))
    drawn = sorted(zip(lines, looks, strict=True), key=lambda pair: not pair[0].is_reference)  # references lie below
    for line, (colour, dash) in drawn:
        parts += _draw_line(line, x, y, colour, dash, has_dots=curves.has_dots)
    known = {id(line): look for line, look in zip(lines, looks, strict=True)}
    if is_narrow:
        parts += _list_names(named, known, bottom + 54)
        return parts, width, bottom + 46 + 20 * len(named)
    parts += _name_ends(named, known, y, right)
    return parts, width, bottom + 44


def _draw_line(line: Line, x: _Scale, y: _Scale, colour: str, dash: str, *, has_dots: bool) -> Iterator[str]:
    points = [(x(place), [y(end) for end in _ends(at)]) for place, at in line.points]
    known = [(place, low, high) for place, (low, _, high) in points if not math.isnan(low) and not math.isnan(high)]
    if line.has_band and known:
        around = [(place, low) for place, low, _ in known] + [(place, high) for place, _, high in reversed(known)]
        yield f'<polygon class="band {colour}" {fill_of(colour)} fill-opacity=".2" points="{points_of(around)}"/>'
    middles = [(place, value) for place, (_, value, _) in points if not math.isnan(value)]
    style = f' stroke-dasharray="{dash}"' if dash else ""
    style += f' points="{points_of(middles)}"'
    yield f'<polyline class="{colour}" {_stroke(colour)} fill="none" stroke-width="2"{style}/>'
    if has_dots:
        for place, value in middles:
            yield f'<circle class="{colour}" {fill_of(colour)} cx="{place:.1f}" cy="{value:.1f}" r="3"/>'


def _name_ends(named: list[Line], looks: dict[int, tuple[str, str]], y: _Scale, right: float) -> Iterator[str]:
    """The names of lines at their ends, moved apart where they would lie over one another."""
    ordered = sorted(named, key=lambda line: y(_last(line)))
    places: list[float] = []
    for line in ordered:
        places.append(max(y(_last(line)), places[-1] + _SIZE + 3) if places else y(_last(line)))
    limit = y.start
    for at in reversed(range(len(places))):
        places[at] = min(places[at], limit)
        limit = places[at] - _SIZE - 3
    for place, line in zip(places, ordered, strict=True):
        yield line_from(right - 8, y(_last(line)), right + 16, place, looks[id(line)][0], 'stroke-width="1"')
        yield text_at(right + 20, place + 4.5, plain(line.name), "ink")


def _list_names(named: list[Line], looks: dict[int, tuple[str, str]], top: float) -> Iterator[str]:
    """The names of lines below a plot, each behind a piece of its line."""
    for at, line in enumerate(named):
        colour, dash = looks[id(line)]
        middle = top + 20 * at
        dashes = f'stroke-width="2" stroke-dasharray="{dash}"' if dash else 'stroke-width="2"'
        yield line_from(10, middle, 44, middle, colour, dashes)
        yield text_at(52, middle + 4.5, plain(line.name), "ink")


def _axis_below(
    scale: _Scale, at: float, title: str, is_share: bool, width: float, are_steps: bool = False
) -> Iterator[str]:
    yield line_from(scale.start - 8, at, scale.end + 8, at, "ink", 'stroke-width="1"')
    steps = [*(step for step in _STEPS if scale.low <= step < scale.high), scale.high]
    ticks = steps if are_steps else _ticks(scale.low, scale.high)
    taken = -math.inf
    for tick in ticks:
        said = f"{round(100 * tick)} %" if is_share else _tick_text(tick)
        place, half = scale(tick), _LETTER * len(said) / 2
        yield line_from(place, at, place, at + 4, "ink", 'stroke-width="1"')
        if place - half > taken and not (are_steps and tick != scale.high and place + half > scale(scale.high) - 16):
            yield text_at(place, at + 18, said, "ink", "middle")
            taken = place + half + 4
    half = _LETTER * len(title) / 2
    middle = min(max((scale.start + scale.end) / 2, half + 4), width - half - 4)
    yield text_at(max(middle, width / 2) if half > width / 2 - 4 else middle, at + 36, title, "ink", "middle")


def _mark(row: Interval, scale: _Scale, middle: float) -> Iterator[str]:
    """A point with its interval; references are hollow, so that colour never tells it alone."""
    low, value, high = _ends(row.measured)
    colour = _ROLES[row.role]
    if not math.isnan(low) and not math.isnan(high):
        yield line_from(scale(low), middle, scale(high), middle, colour, 'stroke-width="3"')
    if not math.isnan(value):
        at = f'cx="{scale(value):.1f}" cy="{middle:.1f}"'
        if row.role == "reference":
            yield f'<circle class="{colour} hollow" {_stroke(colour)} stroke-width="2" fill="#ffffff" {at} r="4.5"/>'
        else:
            yield f'<circle class="{colour}" {fill_of(colour)} {at} r="5"/>'


def _scale_of(plot: IntervalPlot, start: float, end: float) -> _Scale:
    ends = [end for row in plot.rows for end in _ends(row.measured) if not math.isnan(end)]
    if _is_share(plot.rows):
        return _Scale(0.0, 1.0, start, end)
    ends += [part for part in (plot.origin, plot.bar) if part is not None]
    return _Scale(*_widened(ends), start, end)


def _is_share(rows: Iterable[Interval]) -> bool:
    ends = [end for row in rows for end in _ends(row.measured) if not math.isnan(end)]
    return all(row.measured.unit == "share" for row in rows) and all(0 <= end <= 1 for end in ends)


def _widened(ends: list[float]) -> tuple[float, float]:
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    more = 0.04 * (high - low) or 0.5
    return low - more, high + more


def _looks(lines: list[Line]) -> Iterator[tuple[str, str]]:
    """A colour and a pattern of dashes for each line: no two have both in common while there are few enough."""
    coloured = cycle([(f"line{number % 6}", _DASHES[number % len(_DASHES)]) for number in range(12)])
    grey = cycle([("quiet", "5 4"), ("quiet", "2 3")])
    for line in lines:
        yield next(grey if line.is_reference else coloured)


def svg_of(
    parts: list[str], width: float, height: float, name: str, title: str, told: str, *, is_narrow: bool
) -> Markup:
    kind = "narrow" if is_narrow else "wide"
    words = escape(" ".join(title.split()).rstrip(".") or "Plot")
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{kind}" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-labelledby="{name}-title" aria-describedby="{name}-told" font-family="DejaVu Sans, sans-serif" '
        f'font-size="{_SIZE:g}"><title id="{name}-title">{words}</title><desc id="{name}-told">{escape(told)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def text_at(x: float, y: float, said: str, colour: str, anchor: str = "start") -> str:
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text class="{colour}" {fill_of(colour)} x="{x:.1f}" y="{y:.1f}"{where}>{escape(said)}</text>'


def _label_beside(x: float, y: float, said: str, right: float, colour: str) -> str:
    """Text to the right of a line, or to its left where there is no room."""
    fits = x + 6 + _LETTER * len(said) <= right
    return text_at(x + (5 if fits else -5), y, said, colour, "start" if fits else "end")


def line_from(x: float, y: float, to_x: float, to_y: float, colour: str, style: str) -> str:
    ends = f'x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"'
    return f'<line class="{colour}" {_stroke(colour)} {style} {ends}/>'


def points_of(places: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def fill_of(colour: str) -> str:
    return f'fill="{_COLOURS[colour]}"'


def _stroke(colour: str) -> str:
    return f'stroke="{_COLOURS[colour]}"'


def _tell_line(line: Line) -> str:
    (start, first), (end, last) = line.points[0], line.points[-1]
    first, last = (_ends(at)[1] for at in (first, last))
    return f"{line.name or 'line'}: from {_tick_text(first)} at {start:g} to {_tick_text(last)} at {end:g}"


def _last(line: Line) -> float:
    known = [value for _, at in line.points if not math.isnan(value := _ends(at)[1])]
    return known[-1] if known else 0.0


def _ticks(low: float, high: float) -> list[float]:
    """Multiples of a round step, about five in all."""
    if high <= low:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / 5))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= (high - low) / 5)
    return [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _tick_text(value: float) -> str:
    return "–" if math.isnan(value) else f"{value + 0.0:.3g}".replace("-", MINUS)


def plain(text: str) -> str:
    """Text for a plot: one line, not too long."""
    line = " ".join(text.split())
    if len(line) <= _LONGEST:
        return line
    start = line[: _LONGEST - 1]
    return f"{start}…{_ISOLATE_END * (start.count(_ISOLATE) - start.count(_ISOLATE_END))}"


def _ends(measured: Measurement | float) -> tuple[float, float, float]:
    """The low end, the value and the high end; NaN, of which nothing is drawn, where there is none."""
    if isinstance(measured, Measurement):
        low, value, high = (math.nan if x is None else x for x in (measured.low, measured.value, measured.high))
        return low, value, high
    return math.nan, measured, math.nan


_ISOLATE, _ISOLATE_END = "\u2068", "\u2069"
"""Text from right to left stands between these."""

_STEPS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
"""Where an axis of steps may be marked."""

_ROLES: dict[Role, str] = {"subject": "subject", "comparison": "comparison", "variant": "variant", "reference": "quiet"}

_COLOURS = {
    "ink": "#1c2430",
    "quiet": "#5a6472",
    "bar": "#a4310c",
    "subject": "#b44a00",
    "comparison": "#0069a8",
    "variant": "#00704f",
    "line0": "#0069a8",
    "line1": "#b44a00",
    "line2": "#00704f",
    "line3": "#9a3d77",
    "line4": "#7a5b00",
    "line5": "#4f56b3",
}
"""On white, each at 4.5 to 1 or more; hues after Okabe and Ito (2008). The style sheet has those for the dark."""

_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 4")
