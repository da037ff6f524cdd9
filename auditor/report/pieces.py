"""Pieces on the page: what `templates/pieces.html.j2` draws any piece with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from markupsafe import Markup

from auditor.errors import ReportError
from auditor.measure.ledger import Arrays
from auditor.measure.measurement import Measurement
from auditor.measure.pieces import Curves, IntervalPlot, Picture
from auditor.report import pictures, plots
from auditor.report.words import figure


@dataclass(frozen=True)
class Shown:
    """A picture as an `<img>` names it, with the map over it where there is one."""

    uri: str
    layer: pictures.HeatLayer | None = None


def piece_functions(arrays: Arrays) -> dict[str, Callable[..., Any]]:
    """Functions that the template calls, by name, for pieces whose pictures are among these arrays."""

    def picture_of(picture: Picture) -> Shown:
        values = arrays[picture.array]
        if values.ndim not in (2, 3):
            raise ReportError(f"arrays.npz: {picture.array!r}: got shape {values.shape}, wanted a picture or a map")
        values = values.reshape(*values.shape[:2], -1)
        if picture.under is not None:
            return Shown(pictures.picture_uri(arrays[picture.under]), pictures.heat_layer(values))
        is_map = values.dtype != "uint8"
        return Shown(pictures.difference_uri(values)[0] if is_map else pictures.picture_uri(values))

    return {
        "figure_of": partial(figure, ""),
        "level_of": _level,
        "plot_of": _plot,
        "picture_of": picture_of,
    }


def _level(measured: Measurement | None) -> int:
    """How dark a cell of a matrix is, from 0 to 5."""
    return 0 if measured is None else min(5, max(0, round(5 * (measured.value or 0.0))))


def _plot(piece: Curves | IntervalPlot) -> Markup:
    name = piece.name if piece.name.isidentifier() else f"p{hashlib.sha256(repr(piece).encode()).hexdigest()[:10]}"
    return Markup(plots.plot_curves(piece, name) if isinstance(piece, Curves) else plots.plot_intervals(piece, name))
