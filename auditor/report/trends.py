"""How the effect of one artefact on one model went from audit to audit, as a small plot.

Drawn by hand: an index has dozens of these and is made anew after every audit, and matplotlib takes longer to be
imported than all of them take to be written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from auditor.verdict.record import Verdict

MOST_POINTS = 40
"""A plot shows the latest audits, at most this many."""

_WIDTH, _HEIGHT = 320, 128
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 312, 8, 104


@dataclass(frozen=True)
class Point:
    """One audit in a trend."""

    day: str
    label: str
    """The audit in words, shown where it is pointed at."""
    verdict: Verdict
    value: float | None
    low: float | None
    high: float | None
    model_changed: bool
    """Whether the model is another than in the audit before."""


def draw_trend(points: Sequence[Point], margin: float, description: str) -> Markup:
    """Effects with their intervals, oldest at the left, as SVG in the page's own colours."""
    points = points[-MOST_POINTS:]
    reach = [0.0, margin]
    for point in points:
        reach += [v for v in (point.value, point.low, point.high) if v is not None]
    low, high = min(reach), max(reach)
    spread = (high - low) or 1.0
    low, high = low - 0.06 * spread, high + 0.06 * spread

    def across(number: int) -> float:
        return _LEFT + (number + 0.5) * (_RIGHT - _LEFT) / len(points)

    def up(value: float) -> float:
        return _BOTTOM - (value - low) * (_BOTTOM - _TOP) / (high - low)

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(description)}">',
        f'<path class="zero" d="M{_LEFT} {up(0):.1f}H{_RIGHT}"/>',
        f'<path class="margin" d="M{_LEFT} {up(margin):.1f}H{_RIGHT}"/>',
    ]
    for tick in _ticks(low, high):
        parts.append(f'<text x="{_LEFT - 6}" y="{up(tick) + 3.5:.1f}" text-anchor="end">{_tick_text(tick)}</text>')
    for number, point in enumerate(points):
        x = across(number)
        if point.model_changed and number:
            parts.append(f'<path class="change" d="M{(x + across(number - 1)) / 2:.1f} {_TOP}V{_BOTTOM}"/>')
        if point.value is None:
            mark = f'<path d="M{x - 3:.1f} {_BOTTOM - 3}l6 6m0-6l-6 6"/>'
        else:
            mark = _MARKS[point.verdict].format(x=x, y=up(point.value))
            if point.low is not None and point.high is not None:
                mark = f'<path d="M{x:.1f} {up(point.low):.1f}V{up(point.high):.1f}"/>' + mark
        parts.append(f'<g class="{point.verdict}"><title>{escape(point.label)}</title>{mark}</g>')
    first, last = points[0].day, points[-1].day
    parts.append(f'<text x="{_LEFT}" y="{_HEIGHT - 8}">{escape(first)}</text>')
    if last != first:
        parts.append(f'<text x="{_RIGHT}" y="{_HEIGHT - 8}" text-anchor="end">{escape(last)}</text>')
    return Markup("".join([*parts, "</svg>"]))


def _ticks(low: float, high: float) -> list[float]:
    """Zero and multiples of a round step, about four in all."""
    step = next(step for step in _STEPS if step >= (high - low) / 4)
    return [step * number for number in range(-4, 5) if low <= step * number <= high]


def _tick_text(tick: float) -> str:
    return f"{tick:+.4g}".replace("-", "\N{MINUS SIGN}") if tick else "0"


_STEPS = [factor * 10.0**power for power in range(-2, 300) for factor in (1, 2, 5)]

_MARKS: dict[Verdict, str] = {
    "relies": '<path class="full" d="M{x:.1f} {y:.1f}m-4.5 3.5h9l-4.5-8z"/>',
    "no_evidence": '<circle class="hollow" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>',
    "inconclusive": '<path class="hollow" d="M{x:.1f} {y:.1f}m-4.5 0l4.5-4.5l4.5 4.5l-4.5 4.5z"/>',
    "not_applicable": '<path d="M{x:.1f} {y:.1f}m-3 -3l6 6m0-6l-6 6"/>',
    "error": '<path d="M{x:.1f} {y:.1f}m-3 -3l6 6m0-6l-6 6"/>',
}
"""A shape per verdict, so that colour never tells it alone."""
