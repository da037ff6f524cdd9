"""Columns that go with a class and with what the model says: tables of class x value, by counting alone.

A column is what a manifest, a file or the pixels say of each image. A value of it is named where a class is much
commoner than elsewhere, and where the model scores that class higher than elsewhere, too: on images of the class, or on
images of others. Both must hold by intervals over groups, at the level that Holm's procedure leaves to each of all
that were tried. No image is edited, so what is named is listed and never judged.

References: Holm, "A simple sequentially rejective multiple test procedure" (1979); Berger, "Multiparameter hypothesis
testing and acceptance sampling" (1982) for two tests of which both must reject.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from auditor.discovery.extent import edge_of
from auditor.discovery.properties import PROPERTIES
from auditor.discovery.record import NONE, OF_PIXELS, OTHER, ColumnFinding, ColumnsRecord, ValueRow
from auditor.measure.arrays import Array, Bools, Doubles, Floats, Groups
from auditor.measure.intervals import mean_bounds, mean_interval, share_interval
from auditor.subject.population import Population


def look_at_columns(
    given: Mapping[str, Sequence[Any]],
    measured: Mapping[str, Sequence[Any]],
    seen: Population,
    classes: Sequence[str],
    *,
    alpha: float,
    margins: Doubles,
    least: int,
) -> tuple[ColumnsRecord, dict[str, Array]]:
    """What goes with a class and with its score; and for each column that is named, the value of each image as text.

    Parameters
    ----------
    given, measured
        Columns (n,) of whatever the data say, and of numbers that were measured of files and pixels: these are looked
        at even where each image has another.
    margins
        (classes,): the least difference of a score that matters.
    least
        Independent groups that a value, a class, and a mean must have.
    """
    groups = len(np.unique(seen.groups))
    why_not = _why_not(seen, groups, least)
    if why_not:
        return ColumnsRecord(len(seen), groups, [], [], 0, alpha, [], why_not=why_not), {}
    rows = seen.labelled
    known = Population(*(getattr(seen, name)[rows] for name in _FIELDS))
    divided: dict[str, Array] = {}
    left_out = []
    names = [*((name, given[name], False) for name in given), *((name, measured[name], True) for name in measured)]
    for name, values, is_measured in names[:MOST_COLUMNS]:
        parts = divide([value for value, is_one in zip(values, rows, strict=True) if is_one], known.groups, least,
                       is_measured=is_measured)  # fmt: skip
        if isinstance(parts, str):
            left_out.append(f"{name} {parts}.")
        else:
            divided[name] = parts
    left_out += [f"{name} is one column too many ({MOST_COLUMNS} are looked at)." for name, *_ in names[MOST_COLUMNS:]]
    ties = list(_tie(divided, known, least))
    found, wholly = _name(ties, known, alpha, margins, least)
    record = ColumnsRecord(
        images=len(known),
        groups=len(np.unique(known.groups)),
        looked_at=list(divided),
        left_out=left_out,
        tried=len(ties),
        alpha=alpha,
        found=[_describe(tie, size, divided[tie.column], known, classes, 1 - alpha) for size, tie in found],
        inseparable=[WHOLLY.format(column=tie.column, value=tie.value, target=classes[tie.target]) for tie in wholly],
    )
    named = {finding.column for finding in record.found}
    whole = {}
    for column in named:
        whole[column] = np.full(len(seen), OTHER, object)
        whole[column][rows] = divided[column]
    return record, {column: values.astype(str) for column, values in whole.items()}


def divide(values: Sequence[Any], groups: Groups, least: int, *, is_measured: bool = False) -> Array | str:
    """The value of each image (n,) as text, numbers in four ranges; or why the column tells nothing, as a clause.

    Values that fewer groups than `least` share become `other`, and so does all beyond the commonest twelve.
    """
    plain = [_plain(value) for value in values]
    known = [value for value in plain if value is not None]
    distinct = set(known)
    if len(distinct) + (len(known) < len(plain)) < 2:
        return "holds one value"
    if not is_measured and all(isinstance(value, str) or value.is_integer() for value in known):
        pairs = {(value, str(group)) for value, group in zip(plain, groups, strict=True) if value is not None}
        if len(distinct) > LEAST_NAMED * len(np.unique(groups)) and len(pairs) < 2 * len(distinct):
            return "holds a value of its own for nearly every image or group, so it names them"
    if len(distinct) > MOST_VALUES and all(isinstance(value, float) for value in known):
        named = _in_ranges(plain)
    else:
        named = np.array([NONE if value is None else _text(value) for value in plain], object)
    sizes = {value: len(np.unique(groups[named == value])) for value in dict.fromkeys(named.tolist())}
    kept = sorted((value for value in sizes if sizes[value] >= least), key=lambda value: -sizes[value])[:MOST_VALUES]
    if not kept:
        return f"holds {len(distinct)} values, none of them in {least} independent groups of images"
    named[~np.isin(named.astype(str), kept)] = OTHER
    return "holds one value in nearly all images" if len(set(named.tolist())) < 2 else named.astype(str)


def measure_pixels(images: Floats) -> dict[str, Doubles]:
    """Light, contrast, sharpness, saturation and the colour of the border of images (n, h, w, c), by name."""
    found = {f"{OF_PIXELS}{name}": measure(images) for name, measure in PROPERTIES.items()}
    border = images[:, edge_of(images.shape[1:3])].mean(axis=1, dtype=np.float64)
    names = ("red", "green", "blue") if border.shape[1] == 3 else ("brightness",)
    return found | {f"{OF_PIXELS}border {name}": border[:, at] for at, name in enumerate(names)}


@dataclass(frozen=True, eq=False)
class _Tie:
    """A value of a column beside a class."""

    column: str
    value: str
    target: int
    holds: Bools
    """(n,): which images have the value."""


def _why_not(seen: Population, groups: int, least: int) -> str:
    if not seen.labelled.any():
        return "the data have no labels"
    if groups < 2 * least:
        there = "is 1 independent group" if groups == 1 else f"are {groups} independent groups"
        return f"there {there} of images, and two parts of {least} each are wanted"
    if (seen.has[seen.labelled].any(axis=0)).sum() < 2:
        return "all images are of one class"
    return ""


def _tie(divided: Mapping[str, Array], seen: Population, least: int) -> Iterator[_Tie]:
    """Every value of every column that stands beside other values, with every class that enough groups have."""
    frequent = np.argsort(-seen.has.sum(axis=0), kind="stable")[:MOST_CLASSES]
    asked = [int(number) for number in frequent if _count(seen, seen.has[:, number]) >= least]
    for column, values in divided.items():
        for value in dict.fromkeys(values.tolist()):
            holds = values == value
            if value != OTHER and min(_count(seen, holds), _count(seen, ~holds)) >= least:
                yield from (_Tie(column, value, number, holds) for number in asked)


def _name(
    ties: list[_Tie], seen: Population, alpha: float, margins: Doubles, least: int
) -> tuple[list[tuple[float, _Tie]], list[_Tie]]:
    """What both tests name, by Holm's procedure: the strongest value of each column and class, and how strong it is.

    And what goes with a class as clearly, and wholly, so that there is nothing to compare its score with.
    """
    hopeful = [tie for tie in ties if _leads(tie, seen) >= LEAST_APART]
    named: list[_Tie] = []
    while True:
        level = alpha / max(len(ties) - len(named), 1)
        more = [tie for tie in hopeful if tie not in named and _is_named(tie, seen, level, margins, least)]
        if not more:
            break
        named += more
    best: dict[tuple[str, int], tuple[float, _Tie]] = {}
    for tie in named:
        spread = max(float(seen.scores[:, tie.target].std()), 1e-6)
        size = max((mean - rest) / spread for mean, rest in _means(tie, seen))
        key = tie.column, tie.target
        if key not in best or size > best[key][0]:
            best[key] = size, tie
    found = sorted(best.values(), key=lambda each: (each[1].column.startswith(OF_PIXELS), -each[0]))[:MOST_FOUND]
    first = alpha / max(len(ties), 1)
    wholly = [tie for tie in hopeful if not _parts(tie, seen, least) and _is_commoner(tie, seen, first)]
    return found, wholly[:MOST_FOUND]


def _is_named(tie: _Tie, seen: Population, level: float, margins: Doubles, least: int) -> bool:
    """Whether both tests reject: the class is commoner, and its score is higher by the margin, on either side."""
    bar = float(margins[tie.target])
    for part in _parts(tie, seen, least):
        values = seen.scores[:, tie.target].astype(np.float64)[:, None]
        low, high = (
            bounds[0, 0]
            for bounds in (
                mean_bounds(values[part & tie.holds], seen.groups[part & tie.holds], (1 - level / 2,)).lows,
                mean_bounds(values[part & ~tie.holds], seen.groups[part & ~tie.holds], (1 - level / 2,)).highs,
            )
        )
        if low - high > bar and _is_commoner(tie, seen, level):
            return True
    return False


def _is_commoner(tie: _Tie, seen: Population, level: float) -> bool:
    """Whether the class is commoner where the value is than elsewhere: each interval at half the level."""
    has = seen.has[:, tie.target]
    with_it = share_interval(has[tie.holds], seen.groups[tie.holds], 1 - level)
    without = share_interval(has[~tie.holds], seen.groups[~tie.holds], 1 - level)
    return with_it.bounds[0] > without.bounds[1]


def _parts(tie: _Tie, seen: Population, least: int) -> list[Bools]:
    """The images of the class, and the others, where enough groups of either have the value, and enough lack it."""
    has = seen.has[:, tie.target]
    return [
        part
        for part in (has, ~has)
        if min(_count(seen, part & tie.holds), _count(seen, part & ~tie.holds)) >= least
    ]  # fmt: skip


def _leads(tie: _Tie, seen: Population) -> float:
    """By how much the class is commoner where the value is."""
    has = seen.has[:, tie.target]
    return float(has[tie.holds].mean() - has[~tie.holds].mean())


def _means(tie: _Tie, seen: Population) -> Iterator[tuple[float, float]]:
    has, scores = seen.has[:, tie.target], seen.scores[:, tie.target].astype(np.float64)
    for part in (has, ~has):
        if (part & tie.holds).any() and (part & ~tie.holds).any():
            yield float(scores[part & tie.holds].mean()), float(scores[part & ~tie.holds].mean())


def _describe(
    tie: _Tie, size: float, values: Array, seen: Population, classes: Sequence[str], level: float
) -> ColumnFinding:
    """The whole column beside the class."""
    has, scores = seen.has[:, tie.target], seen.scores[:, tie.target].astype(np.float64)
    right = seen.predicted[:, tie.target]
    rows = []
    for value in sorted(dict.fromkeys(values.tolist()), key=lambda value: (value != tie.value, value == OTHER)):
        holds = values == value
        own, others = holds & has, holds & ~has
        rows.append(
            ValueRow(
                value,
                int(holds.sum()),
                share_interval(has[holds], seen.groups[holds], level),
                share_interval(right[own], seen.groups[own], level),
                mean_interval(scores[own], seen.groups[own], level),
                mean_interval(scores[others], seen.groups[others], level),
            )
        )
    return ColumnFinding(tie.column, tie.value, classes[tie.target], size, rows)


def _count(seen: Population, rows: Bools) -> int:
    return len(np.unique(seen.groups[rows]))


def _plain(value: Any) -> float | str | None:
    """A value as a number where it is one, else as text; None of what is missing, or no single value."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        value = value.strip()
    if value is None or value == "" or isinstance(value, list | tuple | dict | np.ndarray):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return str(value)[:LONGEST]
    return number if math.isfinite(number) else None


def _text(value: float | str) -> str:
    return f"{value:.6g}" if isinstance(value, float) else value


def _in_ranges(plain: Sequence[Any]) -> Array:
    """Numbers by the quarter of all that they lie in."""
    numbers = np.array([math.nan if value is None else value for value in plain], np.float64)
    edges = np.unique(np.nanquantile(numbers, [0, 0.25, 0.5, 0.75, 1]))
    at = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, max(len(edges) - 2, 0))
    names = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)] or [f"{edges[0]:.4g}"]
    return np.array([NONE if math.isnan(each) else names[bin] for each, bin in zip(numbers, at, strict=True)], object)


_FIELDS = ("positions", "scores", "predicted", "has", "labelled", "groups")

WHOLLY = "{column} = {value} goes with {target} so wholly that nothing tells whether the model uses it."

MOST_COLUMNS, MOST_VALUES, MOST_CLASSES, MOST_FOUND = 100, 12, 20, 12
"""Columns that are looked at, values of each, classes, and what is told of, at the most."""

LEAST_APART, LEAST_NAMED, LONGEST = 0.1, 0.5, 60
"""By what share a class must be commoner to be much commoner; values for each group from which on they name groups;
and letters of a value."""
