"""Where the effects of one artefact on one model stand, audit by audit, in a small plot.

Drawn by a template of its own: an index has dozens of these and is made anew after every audit, and matplotlib takes
longer to be imported than all of them take to be written.
"""

from __future__ import annotations

from typing import Any

from auditor.measure.measurement import Measurement
from auditor.measure.words import MINUS, say_effect
from auditor.run.index import Entry, Outcome

MOST_POINTS = 40
"""A plot shows the latest audits, at most this many."""

_FEWEST, _WILD = 4, 3.0
"""Of so many audits, one that makes the scale so many times as long as the others need is drawn at its edge."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 312, 8, 104
"""The frame of a plot in its 320 × 128 units."""

Series = list[tuple[Entry, Outcome]]
"""The audits of one artefact and target on one model and data, oldest first."""


def view_trend(audits: Series) -> dict[str, Any]:
    """Where the latest effects lie with their intervals, oldest at the left, beside the margin of the last."""
    audits = audits[-MOST_POINTS:]
    (first, _), (last, latest) = audits[0], audits[-1]
    reaches = [_reach(outcome) for _, outcome in audits]
    wild = _find_wild(reaches, latest.margin)
    low, high = _span([reach for at, reach in enumerate(reaches) if at not in wild], latest.margin)
    spread = (high - low) or 1.0
    low, high = low - 0.06 * spread, high + 0.06 * spread

    def up(value: float | None) -> str:
        if value is None:
            return ""
        inside = min(max(value, low), high)
        return f"{_BOTTOM - (inside - low) * (_BOTTOM - _TOP) / (high - low):.1f}"

    step = (_RIGHT - _LEFT) / len(audits)
    models = [entry.model_sha256 for entry, _ in audits]
    return {
        "frame": (_LEFT, _RIGHT, _TOP, _BOTTOM),
        "zero": up(0),
        "margin": up(latest.margin),
        "ticks": [(up(tick), f"{tick:+.4g}".replace("-", MINUS) if tick else "0") for tick in _ticks(low, high)],
        "points": [
            (f"{_LEFT + (at + 0.5) * step:.1f}", *map(up, (outcome.value, outcome.low, outcome.high)), entry, outcome)
            for at, (entry, outcome) in enumerate(audits)
        ],
        "changes": [f"{_LEFT + at * step:.1f}" for at in range(1, len(models)) if models[at] != models[at - 1]],
        "days": list(dict.fromkeys((first.started[:10], last.started[:10]))),
        "beyond": [audits[at] for at in sorted(wild)],
    }


def _reach(outcome: Outcome) -> tuple[float, ...]:
    """All that a plot would have to show of an audit."""
    return tuple(end for end in (outcome.value, outcome.low, outcome.high) if end is not None)


def _span(reaches: list[tuple[float, ...]], margin: float) -> tuple[float, float]:
    ends = [0.0, margin, *(end for reach in reaches for end in reach)]
    return min(ends), max(ends)


def _find_wild(reaches: list[tuple[float, ...]], margin: float) -> set[int]:
    """The audits that would squash all others: one after the other, a quarter of them at most."""
    wild: set[int] = set()
    while len(reaches) >= _FEWEST and len(wild) < len(reaches) // 4:
        lengths = {}
        for at in range(len(reaches)):
            if at not in wild:
                low, high = _span([reach for other, reach in enumerate(reaches) if other not in wild | {at}], margin)
                lengths[at] = high - low
        low, high = _span([reach for at, reach in enumerate(reaches) if at not in wild], margin)
        shortest = min(lengths, key=lambda at: lengths[at])
        if high - low < _WILD * lengths[shortest]:
            break
        wild.add(shortest)
    return wild


def say_target(outcome: Outcome) -> str:
    return "every class" if outcome.scanned and outcome.verdict != "relies" else outcome.target or "–"


def say_outcome(outcome: Outcome) -> str:
    """The effect that decided, with its interval; empty where nothing was measured."""
    effect = Measurement(outcome.value, outcome.low, outcome.high, None, outcome.n, outcome.n, outcome.unit, None)
    return "" if effect.value is None else say_effect(effect)


def _ticks(low: float, high: float) -> list[float]:
    """Zero and multiples of a round step, about four in all."""
    step = next(step for step in _STEPS if step >= (high - low) / 4)
    return [step * number for number in range(-4, 5) if low <= step * number <= high]


_STEPS = [factor * 10.0**power for power in range(-2, 300) for factor in (1, 2, 5)]
