"""How the effect of one artefact on one model went from audit to audit, as a small plot.

Drawn by hand: an index has dozens of these and is made anew after every audit, and matplotlib takes longer to be
imported than all of them take to be written.
"""

from __future__ import annotations

from markupsafe import Markup, escape

from auditor.measure.measurement import Measurement
from auditor.measure.words import say
from auditor.run.index import Entry, Outcome
from auditor.verdict.record import Verdict

MOST_POINTS = 40
"""A plot shows the latest audits, at most this many."""

_WIDTH, _HEIGHT = 320, 128
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 312, 8, 104


Series = list[tuple[Entry, Outcome]]
"""The audits of one artefact and target on one model and data, oldest first."""


def draw_trend(audits: Series, description: str) -> Markup:
    """Effects with their intervals, oldest at the left, beside the margin of the last, as SVG in the page's colours."""
    audits = audits[-MOST_POINTS:]
    (first, _), (last, latest) = audits[0], audits[-1]
    ends = [end for _, outcome in audits for end in (outcome.value, outcome.low, outcome.high) if end is not None]
    low, high = min(0.0, latest.margin, *ends), max(0.0, latest.margin, *ends)
    spread = (high - low) or 1.0
    low, high = low - 0.06 * spread, high + 0.06 * spread

    def across(number: float) -> float:
        return _LEFT + (number + 0.5) * (_RIGHT - _LEFT) / len(audits)

    def up(value: float) -> float:
        return _BOTTOM - (value - low) * (_BOTTOM - _TOP) / (high - low)

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(description)}">',
        f'<path class="zero" d="M{_LEFT} {up(0):.1f}H{_RIGHT}"/>',
        f'<path class="margin" d="M{_LEFT} {up(latest.margin):.1f}H{_RIGHT}"/>',
    ]
    for tick in _ticks(low, high):
        parts.append(f'<text x="{_LEFT - 6}" y="{up(tick) + 3.5:.1f}" text-anchor="end">{_tick_text(tick)}</text>')
    for number, (entry, outcome) in enumerate(audits):
        x = across(number)
        if number and entry.model_sha256 != audits[number - 1][0].model_sha256:
            parts.append(f'<path class="change" d="M{across(number - 0.5):.1f} {_TOP}V{_BOTTOM}"/>')
        mark = f'<path d="M{x - 3:.1f} {_BOTTOM - 3}l6 6m0-6l-6 6"/>'
        if outcome.value is not None:
            mark = _MARKS[outcome.verdict].format(x=x, y=up(outcome.value))
            if outcome.low is not None and outcome.high is not None:
                mark = f'<path d="M{x:.1f} {up(outcome.low):.1f}V{up(outcome.high):.1f}"/>{mark}'
        when = escape(entry.started[:16].replace("T", " "))
        said = f"{when}: {outcome.verdict.replace('_', ' ')} {say_effect(outcome)}"
        parts.append(f'<g class="{outcome.verdict}"><title>{said}</title>{mark}</g>')
    days = [entry.started[:10] for entry in (first, last)]
    parts.append(f'<text x="{_LEFT}" y="{_HEIGHT - 8}">{escape(days[0])}</text>')
    if days[1] != days[0]:
        parts.append(f'<text x="{_RIGHT}" y="{_HEIGHT - 8}" text-anchor="end">{escape(days[1])}</text>')
    return Markup("".join([*parts, "</svg>"]))


def say_target(outcome: Outcome) -> str:
    return "every class" if outcome.scanned and outcome.verdict != "relies" else outcome.target or "–"


def say_effect(outcome: Outcome) -> str:
    """The effect that decided, with its interval; empty where nothing was measured."""
    effect = Measurement(outcome.value, outcome.low, outcome.high, None, outcome.n, outcome.n, "log-odds", None)
    return "" if effect.value is None else say(effect, "brief")


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
