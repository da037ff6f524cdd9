"""Cells of tables that WeasyPrint need not measure letter by letter, as it would where words may break anywhere.

How narrow a cell may get is looked for by laying out each piece that cannot be broken. Names in our tables may break
anywhere, so that is every letter, which took half of the time of a PDF; and they have a least width of many letters, so
that it decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def spare_measuring() -> Iterator[None]:
    """While this is open a cell of such names is taken to be as narrow as it may be; layouts stay the same."""
    from weasyprint.layout import preferred

    measure = preferred.table_cell_min_content_width

    def least_width(context: Any, box: Any, outer: bool) -> Any:
        return preferred.adjust(box, outer, 0) if _is_wide_enough(box) else measure(context, box, outer)

    preferred.table_cell_min_content_width = least_width
    try:
        yield
    finally:
        preferred.table_cell_min_content_width = measure


def _is_wide_enough(cell: Any) -> bool:
    """Whether the least width of a cell is surely more than any letter of it takes."""
    least, letters = cell.style["min_width"], cell.style["font_size"]
    if getattr(least, "unit", None) != "px" or least.value < _LETTERS * letters:
        return False
    return all(_breaks_anywhere(box, letters) for child in cell.children for box in (child, *child.descendants()))


def _breaks_anywhere(box: Any, letters: float) -> bool:
    from weasyprint.formatting_structure import boxes

    style = box.style
    if isinstance(box, boxes.TextBox):
        wraps = style["white_space"] in ("normal", "pre-wrap", "pre-line")
        return wraps and style["overflow_wrap"] == "anywhere" and style["font_size"] <= letters
    if type(box) not in (boxes.LineBox, boxes.InlineBox, boxes.BlockBox) or style["width"] != "auto":
        return False
    return style["letter_spacing"] in ("normal", 0) and all(_is_nothing(style[name]) for name in _TAKING_WIDTH)


def _is_nothing(length: Any) -> bool:
    return length in (0, "auto") or getattr(length, "value", None) == 0


_TAKING_WIDTH = (
    "min_width",
    *(f"{what}_{side}" for what in ("padding", "margin") for side in ("left", "right")),
    *(f"border_{side}_width" for side in ("left", "right")),
)
"""What of a piece within the cell would take width beside its letters."""

_LETTERS = 6
"""So many letters, each as wide as high, and whatever lies around them, are a least width that is wide enough."""
