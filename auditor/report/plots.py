"""Measurements to plots, as SVG whose text is text. The only module that imports matplotlib."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from auditor.measure.measurement import Measurement
from auditor.measure.pieces import Curves, Interval, IntervalPlot, Role
from auditor.report.pictures import BLUE, GREEN, GREY, ORANGE
from auditor.verdict.record import DosePoint

_INK = "#010203"
"""Stands for the page's own text colour in a plot."""


def plot_doses(points: Sequence[DosePoint], opacity: float | None, name: str) -> Markup:
    """Insertion lift against opacity, with its interval as a band."""

    def draw(axes: Axes) -> None:
        doses = [point.opacity for point in points]
        axes.fill_between(
            doses,
            [_number(point.lift.low) for point in points],
            [_number(point.lift.high) for point in points],
            color=BLUE,
            alpha=0.2,
            linewidth=0,
        )
        axes.plot(doses, [_number(point.lift.value) for point in points], color=BLUE, marker="o", markersize=3.5)
        axes.axhline(0, color=GREY, linewidth=0.8)
        axes.margins(y=0.12)
        if opacity is not None:
            axes.axvline(opacity, color=ORANGE, linewidth=1.2, linestyle="--")
            side = "right" if opacity > 0.6 else "left"
            axes.annotate(
                f"as suspected, {opacity:.2g}",
                (opacity, 0.15),
                xycoords=("data", "axes fraction"),
                xytext=(-4 if side == "right" else 4, 0),
                textcoords="offset points",
                color=ORANGE,
                fontsize=8,
                ha=side,
            )
        axes.set_xlim(0, 1.02)
        axes.set_xlabel("opacity of the artefact")
        axes.set_ylabel("insertion lift, log-odds")

    return _svg(draw, name, height=2.5)


def plot_curves(curves: Curves, name: str) -> Markup:
    """Lines over one axis, coloured one after another; those that others are compared with are grey and broken."""

    def draw(axes: Axes) -> None:
        if curves.bar is not None:
            axes.axhline(0, color=GREY, linewidth=0.8)
            axes.axhline(curves.bar, color=ORANGE, linewidth=1.2, linestyle="--")
        coloured, grey = cycle(_LINES), cycle((GREY, style) for style in ("--", ":"))
        for line in sorted(curves.lines, key=lambda line: not line.is_reference):  # references lie below
            colour, style = next(grey if line.is_reference else coloured)
            x, y = zip(*line.points, strict=True) if line.points else ((), ())
            values = [_number(at.value) if isinstance(at, Measurement) else at for at in y]
            axes.plot(
                x,
                values,
                color=colour,
                linestyle=style,
                linewidth=2 if line.is_reference else None,
                marker="o" if curves.has_dots else None,
                markersize=3,
                label=_plain(line.name),
            )
        axes.set_xlabel(curves.x)
        axes.set_ylabel(curves.y)
        if all(0 <= x <= 1 for line in curves.lines for x, _ in line.points):
            axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        if curves.lines:
            _add_legend(axes)

    return _svg(draw, name, height=2.6)


def plot_intervals(plot: IntervalPlot, name: str, *, row_height: float = 0.34) -> Markup:
    """Measurements with their intervals, coloured by what they are; shares from nothing to all."""

    def draw(axes: Axes) -> None:
        if plot.origin is not None:
            axes.axvline(plot.origin, color=GREY, linewidth=0.8)
        if plot.bar is not None:
            axes.axvline(plot.bar, color=ORANGE, linewidth=1.2, linestyle="--")
            axes.text(plot.bar, -0.75, plot.bar_name, color=ORANGE, fontsize=8, ha="left", va="bottom")
        _draw_intervals(axes, plot.rows)
        axes.set_xlabel(plot.axis)

    return _svg(draw, name, height=0.55 + row_height * len(plot.rows))


def plot_ascent(curves: Sequence[tuple[str, Sequence[tuple[int, Measurement]]]], name: str) -> Markup:
    """An objective over the steps of its optimisation: the first curve with its interval, the others in grey."""

    def draw(axes: Axes) -> None:
        for title, points in reversed(curves):
            is_first = title == curves[0][0]
            steps = [step for step, _ in points]
            values = [_number(measured.value) for _, measured in points]
            axes.plot(steps, values, color=ORANGE if is_first else GREY, linewidth=1.8 if is_first else 0.8)
        title, points = curves[0]
        steps = [step for step, _ in points]
        lows, highs = ([_number(getattr(measured, end)) for _, measured in points] for end in ("low", "high"))
        axes.fill_between(steps, lows, highs, color=ORANGE, alpha=0.2, linewidth=0)
        place = (steps[-1], _number(points[-1][1].value))
        axes.annotate(_plain(title), place, (4, 0), textcoords="offset points", color=ORANGE, fontsize=8, va="center")
        axes.set_xscale("symlog", linthresh=10)
        axes.set_xlim(0, 1.6 * max(steps[-1], 1))
        ticks = [0, *(step for step in (1, 2, 5, 10, 50, 100, 500, 1000) if step < steps[-1]), steps[-1]]
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("step")
        axes.set_ylabel("objective")

    return _svg(draw, name, height=2.7)


def plot_change_shares(rows: Sequence[Interval], area: float, name: str) -> Markup:
    """Shares of a change's energy in a region, beside the share of the frame that it is."""

    def draw(axes: Axes) -> None:
        axes.axvline(area, color=GREY, linewidth=1.2, linestyle="--")
        axes.text(area + 0.01, -0.75, f"its area, {area:.1%}", color=GREY, fontsize=8, ha="left", va="bottom")
        _draw_intervals(axes, rows)
        axes.set_xlabel("share of the change's energy in the region")

    return _svg(draw, name, height=0.65 + 0.34 * len(rows))


def font_folder() -> Path:
    """The folder of the open fonts that come with matplotlib, in which plots are measured."""
    return Path(mpl.get_data_path()) / "fonts" / "ttf"


def _draw_intervals(axes: Axes, rows: Sequence[Interval]) -> None:
    for at, row in enumerate(rows):
        measured, colour = row.measured, _ROLES[row.role]
        if measured.value is None:
            continue
        if measured.low is not None and measured.high is not None:
            axes.plot([measured.low, measured.high], [at, at], color=colour, linewidth=2.2, solid_capstyle="butt")
        axes.plot([measured.value], [at], color=colour, marker="o", markersize=5)
    axes.set_yticks(range(len(rows)), [_plain(row.name) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.8)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    ends = [end for row in rows for end in (row.measured.value, row.measured.low, row.measured.high) if end is not None]
    if all(row.measured.unit == "share" for row in rows) and all(0 <= end <= 1 for end in ends):
        axes.set_xlim(-0.02, 1.02)


def _add_legend(axes: Axes) -> None:
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8, labelcolor=_INK)


def _svg(draw: Callable[[Axes], None], name: str, *, height: float) -> Markup:
    """A plot as inline SVG whose text is text and whose ink is the page's own colour."""
    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9,
        "text.parse_math": False,
        "axes.edgecolor": _INK,
        "axes.labelcolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "text.color": _INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(settings):
        figure = Figure(figsize=(6.4, height), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        buffer = io.StringIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a sign that this font lacks is drawn in the reader's own
            figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style\b.*?</style>", "", svg, flags=re.DOTALL)  # inside a page it would style everything
    svg = re.sub(r'\bstyle="([^"]*)"', _presentation_attributes, svg)
    svg = svg.replace("<svg ", '<svg stroke-linejoin="round" stroke-linecap="butt" ', 1)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)
    # a size of its own would overflow narrow pages; the view box keeps the proportions
    return Markup(re.sub(r'<svg ([^>]*?)height="[^"]*"([^>]*?)width="[^"]*"', r"<svg \1\2", svg, count=1))


def _presentation_attributes(style: re.Match[str]) -> str:
    """The declarations of a style attribute, which the page's policy forbids, as attributes that it allows."""
    css = _FONT.sub(r"font-size:\1;font-family:\2", style[1])
    declarations = (item.partition(":") for item in css.split(";") if item.strip())
    return " ".join(f'{name.strip()}="{value.strip()}"' for name, _, value in declarations)


def _plain(text: str, longest: int = 34) -> str:
    """Text for an axis: one line, not too long."""
    line = " ".join(text.split())
    if len(line) <= longest:
        return line
    start = line[: longest - 1]
    return f"{start}…{_ISOLATE_END * (start.count(_ISOLATE) - start.count(_ISOLATE_END))}"


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


_ISOLATE, _ISOLATE_END = "\u2068", "\u2069"
"""Text from right to left stands between these."""

_FONT = re.compile(r"\bfont: *([\d.]+px) ([^;]*)")
"""How matplotlib before 3.11 writes a font: the shorthand is no attribute."""

_ROLES: dict[Role, str] = {"subject": ORANGE, "comparison": BLUE, "variant": GREEN, "reference": GREY}

_LINES = tuple(
    (colour, style) for style in ("-", "--") for colour in (BLUE, ORANGE, GREEN, "#cc79a7", "#e69f00", "#56b4e9")
)
"""Colours after Okabe and Ito (2008) and styles of lines, for as many methods as there may be."""
