"""Images in a plane as an SVG: each cluster has a shape and a colour of its own, and leads to its contact sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from auditor.report.plots import NARROW, WIDE, fill_of, line_from, plain, points_of, svg_of, text_at


@dataclass(frozen=True)
class Cloud:
    """The images of a cluster."""

    name: str
    points: list[tuple[float, float]]
    link: str
    """Id of what tells of it."""


def plot_clouds(clouds: Sequence[Cloud], title: str, axes: tuple[str, str], name: str) -> Markup:
    """Points in a plane whose units are the same along both axes, drawn for a wide page and for a phone."""
    told = "; ".join(f"{cloud.name}: {len(cloud.points)} images" for cloud in clouds)
    return Markup("").join(
        svg_of(*_draw(clouds, axes, width), f"{name}-{width}", title, told, is_narrow=width == NARROW)
        for width in (WIDE, NARROW)
    )


def _draw(clouds: Sequence[Cloud], axes: tuple[str, str], width: int) -> tuple[list[str], float, float]:
    is_narrow = width == NARROW
    right = width - (10.0 if is_narrow else 250.0)
    left, top, side = 16.0, 26.0, right - 16.0
    xs, ys = ([point[axis] for cloud in clouds for point in cloud.points] for axis in (0, 1))
    scale = (side - 24) / max(max(xs) - min(xs), max(ys) - min(ys), 1e-9)
    height = max(120.0, (max(ys) - min(ys)) * scale + 24)
    bottom = top + height
    ink = 'stroke-width="1"'
    parts = [line_from(left, bottom, right, bottom, "ink", ink), line_from(left, top, left, bottom, "ink", ink)]
    parts += [text_at(left, top - 10, axes[1], "ink"), text_at(left, bottom + 20, axes[0], "ink")]
    for number, cloud in enumerate(clouds):
        marks = [
            _mark(number, left + 12 + (x - min(xs)) * scale, bottom - 12 - (y - min(ys)) * scale)
            for x, y in cloud.points
        ]
        parts.append(f'<a href="#{escape(cloud.link)}">{"".join(marks)}</a>')
    start, first = (10.0, bottom + 48) if is_narrow else (right + 22, top + 14)
    for number, cloud in enumerate(clouds):
        middle = first + 22 * number
        said = text_at(start + 14, middle + 4.5, plain(f"{cloud.name}, {len(cloud.points)} images"), "ink")
        parts.append(f'<a href="#{escape(cloud.link)}">{_mark(number, start, middle)}{said}</a>')
    below = first + 22 * len(clouds) if is_narrow else bottom + 34
    return parts, width, max(below, first + 22 * len(clouds))


def _mark(number: int, x: float, y: float) -> str:
    """A shape about a point; the first eight differ in shape, and with their colour more do."""
    colour, corners = f"line{number % 6}", _SHAPES[number % len(_SHAPES)]
    if not corners:
        return f'<circle class="{colour}" {fill_of(colour)} fill-opacity=".75" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    around = points_of([(x + 4.6 * across, y + 4.6 * down) for across, down in corners])
    return f'<polygon class="{colour}" {fill_of(colour)} fill-opacity=".75" points="{around}"/>'


def _regular(count: int, turned: float = 0.0, inner: float = 1.0) -> list[tuple[float, float]]:
    """Corners of a polygon, or of a star with as many points where every other corner lies further in."""
    many = count if inner == 1 else 2 * count
    turns = [2 * math.pi * at / many + turned for at in range(many)]
    far = [1.0 if not at % 2 or inner == 1 else inner for at in range(many)]
    return [(reach * math.sin(turn), -reach * math.cos(turn)) for reach, turn in zip(far, turns, strict=True)]


_SHAPES: list[list[tuple[float, float]]] = [
    [],
    _regular(3),
    _regular(4, math.pi / 4),
    _regular(4),
    _regular(4, 0, 0.35),
    _regular(3, math.pi),
    _regular(4, math.pi / 4, 0.35),
    _regular(5, 0, 0.45),
]
"""Corners about the middle: a dot, a triangle, a square, a diamond, a plus, a triangle upside down, a cross, a star."""
