"""Measurements to plots, as SVG whose text is text. The only module that imports matplotlib."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from auditor.measure.measurement import Measurement
from auditor.measure.pieces import Curves, IntervalPlot, Role
from auditor.report.pictures import BLUE, GREEN, GREY, ORANGE

_INK = "#010203"
"""Stands for the page's own text colour in a plot."""


def plot_curves(curves: Curves, name: str) -> Markup:
    """Lines over one axis, coloured one after another; those that others are compared with are grey and broken."""

    def draw(axes: Axes) -> None:
        if curves.bar is not None or curves.mark is not None:
            axes.axhline(0, color=GREY, linewidth=0.8)
        if curves.bar is not None:
            axes.axhline(curves.bar, color=ORANGE, linewidth=1.2, linestyle="--")
        coloured, grey = cycle(_LINES), cycle((GREY, style) for style in ("--", ":"))
        for line in sorted(curves.lines, key=lambda line: not line.is_reference):  # references lie below
            colour, style = next(grey if line.is_reference else coloured)
            x = [place for place, _ in line.points]
            low, value, high = ([_ends(at)[end] for _, at in line.points] for end in range(3))
            if line.has_band:
                axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
            (drawn,) = axes.plot(x, value, color=colour, linestyle=style, markersize=3, label=_plain(line.name))
            drawn.set_marker("o" if curves.has_dots else "")
        if curves.mark is not None:
            axes.axvline(curves.mark, color=ORANGE, linewidth=1.2, linestyle="--", label=_plain(curves.mark_name))
        axes.set_xlabel(curves.x)
        axes.set_ylabel(curves.y)
        places = [place for line in curves.lines for place, _ in line.points]
        if curves.are_steps and places:
            axes.set_xscale("symlog", linthresh=10)
            ticks = [*(step for step in _STEPS if step < max(places)), max(places)]
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
        elif all(0 <= place <= 1 for place in places):
            axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8, labelcolor=_INK)

    return _svg(draw, name, height=2.6)


def plot_intervals(plot: IntervalPlot, name: str) -> Markup:
    """Measurements with their intervals, coloured by what they are; shares from nothing to all."""

    def draw(axes: Axes) -> None:
        if plot.origin is not None:
            axes.axvline(plot.origin, color=GREY, linewidth=0.8)
        if plot.bar is not None:
            axes.axvline(plot.bar, color=ORANGE, linewidth=1.2, linestyle="--")
            axes.text(plot.bar, -0.75, plot.bar_name, color=ORANGE, fontsize=8, ha="left", va="bottom")
        for at, row in enumerate(plot.rows):
            low, value, high = _ends(row.measured)
            colour = _ROLES[row.role]
            axes.plot([low, high], [at, at], color=colour, linewidth=2.2, solid_capstyle="butt")
            axes.plot([value], [at], color=colour, marker="o", markersize=5)
        axes.set_yticks(range(len(plot.rows)), [_plain(row.name) for row in plot.rows])
        axes.set_ylim(len(plot.rows) - 0.4, -0.8)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        ends = [end for row in plot.rows for end in _ends(row.measured) if not math.isnan(end)]
        if all(row.measured.unit == "share" for row in plot.rows) and all(0 <= end <= 1 for end in ends):
            axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel(plot.axis)

    return _svg(draw, name, height=0.55 + 0.32 * len(plot.rows))


def font_folder() -> Path:
    """The folder of the open fonts that come with matplotlib, in which plots are measured."""
    return Path(mpl.get_data_path()) / "fonts" / "ttf"


def _svg(draw: Callable[[Axes], None], name: str, *, height: float) -> Markup:
    """A plot as inline SVG whose text is text and whose ink is the page's own colour."""
    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9,
        "text.parse_math": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "text.color"), _INK),
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


def _ends(measured: Measurement | float) -> tuple[float, float, float]:
    """The low end, the value and the high end; NaN, of which nothing is drawn, where there is none."""
    if isinstance(measured, Measurement):
        low, value, high = (math.nan if x is None else x for x in (measured.low, measured.value, measured.high))
        return low, value, high
    return math.nan, measured, math.nan


_ISOLATE, _ISOLATE_END = "\u2068", "\u2069"
"""Text from right to left stands between these."""

_FONT = re.compile(r"\bfont: *([\d.]+px) ([^;]*)")
"""How matplotlib before 3.11 writes a font: the shorthand is no attribute."""

_STEPS = [0, 1, 2, 5, 10, 50, 100, 500, 1000]
"""Where an axis of steps is marked."""

_ROLES: dict[Role, str] = {"subject": ORANGE, "comparison": BLUE, "variant": GREEN, "reference": GREY}

_LINES = tuple(
    (colour, style) for style in ("-", "--") for colour in (BLUE, ORANGE, GREEN, "#cc79a7", "#e69f00", "#56b4e9")
)
"""Colours after Okabe and Ito (2008) and styles of lines, for as many methods as there may be."""
