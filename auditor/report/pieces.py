"""What templates draw records and pieces with: numbers and names as text, plots, pictures of a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from markupsafe import Markup

from auditor.errors import ReportError
from auditor.measure.measurement import Measurement
from auditor.measure.pieces import Curves, IntervalPlot, Picture
from auditor.measure.words import number, say, say_effect, signed
from auditor.report import plots
from auditor.report.methods import Methods, method_name
from auditor.report.packing import Album
from auditor.report.pictures import HeatLayer, difference_uri, heat_layer, map_scale
from auditor.report.telling import say_images
from auditor.report.words import figure, figures


def template_functions(album: Album, methods: Methods) -> dict[str, Callable[..., Any]]:
    """Functions that templates call, by name; the pictures that they draw go into an album."""

    def picture_of(picture: Picture) -> tuple[str, HeatLayer | None]:
        """What names a picture, and the map over it where there is one."""
        values = album.arrays[picture.array]
        if values.ndim not in (2, 3):
            raise ReportError(f"arrays.npz: {picture.array!r}: got shape {values.shape}, wanted a picture or a map")
        values = values.reshape(*values.shape[:2], -1)
        if picture.under is not None:
            scale = None if picture.scale_of is None else map_scale(album.arrays[picture.scale_of])
            layer = heat_layer(values, scale, album.put, is_strength=picture.is_strength, outline=picture.place)
            return album.picture(picture.under), layer
        return album.picture(picture.array) if values.dtype == "uint8" else difference_uri(values, album.put)[0], None

    return {
        "difference_of": lambda key: difference_uri(album.arrays[key], album.put),
        "figure_of": partial(figure, ""),
        "figures_of": figures,
        "flatten": album.flatten,
        "image_of": album.picture,
        "level_of": _level,
        "name_of": method_name,
        "marked_name_of": methods.name,
        "picture_of": picture_of,
        "plot_of": plot_of,
        "say": say,
        "say_effect": say_effect,
        "say_images": say_images,
        "say_number": number,
        "signed": signed,
        "to_json": partial(json.dumps, ensure_ascii=False),
    }


def _level(measured: Measurement | None) -> int:
    """How dark a cell of a matrix is, from 0 to 5."""
    return 0 if measured is None else min(5, max(0, round(5 * (measured.value or 0.0))))


def plot_of(piece: Curves | IntervalPlot | None) -> Markup:
    """A plot drawn, under ids that begin with its name."""
    if piece is None:
        return Markup()
    name = piece.name if piece.name.isidentifier() else f"p{hashlib.sha256(repr(piece).encode()).hexdigest()[:10]}"
    return plots.plot_curves(piece, name) if isinstance(piece, Curves) else plots.plot_intervals(piece, name)
