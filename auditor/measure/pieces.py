"""What a study tells, as typed pieces of a page: each type is drawn in one way, whoever tells it.

A study, or a section of a user's own, returns a list of them, and needs no template:

    [
        Answer("The score hardly hangs on the border."),
        Table("Score by border", ["Border", "Score"], [Row("black", [dark]), Row("white", [bright])]),
    ]

Pieces are plain data, which `result.json` holds and `templates/pieces.html.j2` draws. Numbers stay measurements, so the
page can lead to where they stand; pictures are named by the keys of their arrays, so a report can withhold them.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, cast

import pydantic

from auditor.measure.measurement import Measurement

Outcome = Literal["passed", "failed", "open", "not_applicable"]
"""Of a test: passed and failed only where the whole interval says so."""

Role = Literal["subject", "comparison", "variant", "reference"]
"""Of a number in a plot: what the plot is about, what that is compared with, a variant of it, or a mere reference."""


@dataclass(frozen=True)
class Answer:
    """A paragraph, or one of several answers."""

    text: str
    head: str = ""
    """What comes before it in bold: what is answered, where several are."""
    kind: Literal["answer"] = field(default="answer", kw_only=True)


@dataclass(frozen=True)
class Answers:
    """The answers to one question for several things, as a list."""

    answers: list[Answer]
    kind: Literal["answers"] = field(default="answers", kw_only=True)


@dataclass(frozen=True)
class Remark:
    """What a reader should know beside the answer."""

    text: str
    tone: Literal["aside", "warning"] = "aside"
    section: str = ""
    """Id of a section of the report that the text ends with a link to, for example `regions`."""
    kind: Literal["remark"] = field(default="remark", kw_only=True)


@dataclass(frozen=True)
class Glossary:
    """Words and what they mean."""

    terms: dict[str, str]
    kind: Literal["glossary"] = field(default="glossary", kw_only=True)


@dataclass(frozen=True)
class Judged:
    """A measurement in a table, with what became of the test that it decided."""

    measured: Measurement
    outcome: Outcome | None = None
    remark: str = ""
    """What comes after its interval."""


@dataclass(frozen=True)
class Column:
    """The head of a column, with what it means; one that needs no explanation is its name alone."""

    name: str
    meaning: str = ""
    stress: str = ""
    """What comes under that in bold."""


@dataclass(frozen=True)
class Row:
    """A row of a table: its name, and a cell for each further column, None where there is nothing to say."""

    name: str
    cells: list[str | Measurement | Judged | None]
    meaning: str = ""
    outcome: Outcome | None = None
    method: str = ""
    """The method of attribution that the row is of, as maps name it: one that failed the tests of trust is marked."""


@dataclass(frozen=True)
class Table:
    """Rows of texts and measurements."""

    title: str
    """What it is, in a few words; read out to those who do not see it."""
    columns: list[str | Column]
    """Of the names of the rows, then of the cells."""
    rows: list[Row]
    caption: str = ""
    """What is printed above it; the title, where empty."""
    kind: Literal["table"] = field(default="table", kw_only=True)


@dataclass(frozen=True)
class Matrix:
    """Measurements from 0 to 1 of every two of several things, coloured by how much they are."""

    title: str
    columns: list[str]
    rows: list[Row]
    caption: str = ""
    kind: Literal["matrix"] = field(default="matrix", kw_only=True)


@dataclass(frozen=True)
class Interval:
    """A measurement in a plot of several."""

    name: str
    measured: Measurement
    role: Role = "comparison"


@dataclass(frozen=True)
class IntervalPlot:
    """Measurements as points with their intervals, one under the other."""

    title: str
    rows: list[Interval]
    axis: str
    """What is measured, and its unit."""
    text: str = ""
    """How it is to be read."""
    origin: float | None = 0.0
    """Where a thin line stands: the value that says nothing."""
    bar: float | None = None
    """What the intervals are held against: a dashed line ..."""
    bar_name: str = ""
    """... and what it is called."""
    name: str = ""
    """Begins the ids of its parts, which must differ on a page; made from what it shows, where empty."""
    kind: Literal["interval_plot"] = field(default="interval_plot", kw_only=True)


@dataclass(frozen=True)
class Line:
    """A line through points (x, y); y is a bare number where it is known without measuring."""

    name: str
    points: list[tuple[float, Measurement | float]]
    is_reference: bool = False
    """Whether it is there to compare others with: those are coloured, it is grey."""
    has_band: bool = False
    """Whether the intervals of its points are drawn as a band."""


@dataclass(frozen=True)
class Curves:
    """Lines over one axis."""

    title: str
    lines: list[Line]
    x: str
    """What the axis below shows; that of shares, from 0 to 1, is printed in percent."""
    y: str
    text: str = ""
    """How it is to be read."""
    bar: float | None = None
    """What the lines are held against: a dashed line, with a thin one at zero."""
    mark: float | None = None
    """A place on the axis below, as a dashed line ..."""
    mark_name: str = ""
    """... and what it is called."""
    has_dots: bool = False
    """Whether every point is marked."""
    are_steps: bool = False
    """Whether the axis below counts steps, of which the early ones are drawn wider."""
    name: str = ""
    """Begins the ids of its parts, which must differ on a page; made from what it shows, where empty."""
    kind: Literal["curves"] = field(default="curves", kw_only=True)


@dataclass(frozen=True)
class Picture:
    """A picture (h, w, 1 or 3) uint8, or a map (h, w, c) float, by the key of its array."""

    array: str
    caption: str
    value: str = ""
    """A second line of the caption."""
    under: str | None = None
    """Of a map: key of the picture that it lies over; a map without one is drawn about mid-grey."""
    image: str = ""
    """Id of the audited image that it shows, printed with the caption; a pseudonym where pictures are withheld."""
    alt: str = ""
    """What it shows, for those who do not see it; the caption, where empty."""
    is_strength: bool = False
    """Of a map: whether only its strength is drawn, because its signs say nothing."""
    place: tuple[int, int, int, int] | None = None
    """Of a map over a picture: a box of its pixels to be outlined: left, top, right, bottom, half-open."""
    scale_of: str | None = None
    """Of a map over a picture: key of the map whose full colour it is drawn with; its own, where null."""


@dataclass(frozen=True)
class Strip:
    """Pictures in a row."""

    title: str
    pictures: list[Picture]
    method: str = ""
    """As in `Row`."""
    kind: Literal["strip"] = field(default="strip", kw_only=True)


@dataclass(frozen=True)
class Abreast:
    """Plots, or strips of pictures, side by side where there is room."""

    pieces: list[Annotated[IntervalPlot | Curves | Strip, pydantic.Field(discriminator="kind")]]
    kind: Literal["abreast"] = field(default="abreast", kw_only=True)


@dataclass(frozen=True)
class Told:
    """A question, or another title, and what is told under it."""

    title: str
    pieces: list[Piece]
    kind: Literal["told"] = field(default="told", kw_only=True)


Piece = Annotated[
    Answer | Answers | Remark | Glossary | Table | Matrix | IntervalPlot | Curves | Strip | Abreast | Told,
    pydantic.Field(discriminator="kind"),
]
"""Anything that a study or a section tells; which it is stands in its `kind`."""


def check_pieces(told: object, arrays: Container[str]) -> list[Piece]:
    """What somebody else's code told, as it is, once all of it can be saved and drawn.

    Parameters
    ----------
    arrays
        The keys of all arrays that pieces may name.

    Raises
    ------
    ValueError
        It is no list of pieces, a piece holds what its fields do not take, a number that is none, or the key of an
        array that was not kept.
    """
    try:
        plain = _adapter().dump_python(cast(list[Piece], told), mode="json", warnings="none")
        _adapter().validate_json(json.dumps(plain, allow_nan=False), strict=True)
    except pydantic.ValidationError as fault:
        first = fault.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"wanted a list of pieces: {place}: {first['msg']}, got {first['input']!r:.80}") from None
    except ValueError as fault:  # what JSON does not know, among it numbers that are none
        raise ValueError(f"wanted a list of pieces that JSON can hold: {fault}") from None
    for picture in _pictures(told):
        for key in (picture.array, picture.under, picture.scale_of):
            if key is not None and key not in arrays:
                raise ValueError(f"picture {picture.caption!r}: no array was kept as {key!r}")
    return cast(list[Piece], told)


def _pictures(told: Any) -> Iterator[Picture]:
    if isinstance(told, Picture):
        yield told
    elif isinstance(told, list | tuple):
        for item in told:
            yield from _pictures(item)
    elif is_dataclass(told):
        for part in fields(told):
            yield from _pictures(getattr(told, part.name))


@cache
def _adapter() -> pydantic.TypeAdapter[list[Piece]]:
    return pydantic.TypeAdapter(list[Piece])
