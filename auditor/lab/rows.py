"""Audits of random-feature models as rows: what each model is and does, and all that its verdict is taken on.

A row holds what was measured, not what was concluded, so that a changed rule is judged again in seconds.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pydantic

from auditor.errors import DataError
from auditor.lab.asking import SCANS, Asked, Way, ask
from auditor.lab.colours import Question
from auditor.lab.features import Map, Regime, Specimen, choose_recipe, make_specimen
from auditor.verdict.measured import Measured, measure, measure_scan
from auditor.verdict.record import Rule


@dataclass(frozen=True)
class Row:
    """One audit of one model."""

    seed: int
    question: Question
    kind: str
    map: Map
    regime: Regime
    rho: float
    way: Way
    images: int
    passes: int
    """As in `Asked`."""
    accuracy: float
    turned: float
    lost: float
    stratum: float
    any_class: float
    together: float
    """These six as in `Truth`."""
    target: str
    measured: tuple[Measured, ...]
    """Of a named target one; of a scan the classes that move most, at most ten."""


def make_rows(seed: int, cache: Path | None = None, only: Way | None = None) -> list[Row]:
    """Make the model of a seed, audit it in all its ways, or only in one, and measure.

    Parameters
    ----------
    cache
        Folder where what models say is kept: where only what is measured of it has changed, no model is fitted again.

    Raises
    ------
    DataError
        scikit-learn is not installed.
    """
    specimen = make_specimen(choose_recipe(seed), cache)
    rows = [_row(specimen, asked) for asked in ask(specimen, only)]
    specimen.model.logits.keep()
    return rows


def add_rows(
    seeds: Iterable[int], file: Path, seconds: float = math.inf, cache: Path | None = None, only: Way | None = None
) -> Iterator[tuple[int, int]]:
    """Append the rows of some seeds to a file, a line each, until a time is up; seeds that it holds are left out.

    Yields each seed with its number of rows. A line that was cut off is taken away first.
    """
    started, done = time.monotonic(), set()
    if file.is_file():
        whole = file.read_bytes()
        whole = whole[: whole.rfind(b"\n") + 1]
        file.write_bytes(whole)
        done = {json.loads(line)["seed"] for line in whole.splitlines()}
    file.parent.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        if seed in done:
            continue
        if time.monotonic() - started > seconds:
            return
        rows = make_rows(seed, cache, only)
        with file.open("a", encoding="utf-8") as opened:
            opened.write("".join(json.dumps(_to_plain(row)) + "\n" for row in rows))
        yield seed, len(rows)


def pack_rows(files: Iterable[Path], packed: Path) -> int:
    """Put the rows of several files, of lines or packed before, into one table in the order of seeds; their number.

    Raises
    ------
    DataError
        There is no such file, or it holds something else.
    """
    lines: list[dict[str, Any]] = []
    columns: dict[str, list[Any]] = {}
    for file in files:
        try:
            lines += _read_lines(file)
            columns = {name: [line[name] for line in lines] for name in (*_FACTS, "measured")}
        except FileNotFoundError:
            raise DataError(f"{file}: no such file; auditor lab features makes it") from None
        except (pa.ArrowException, ValueError, KeyError, TypeError) as fault:
            raise DataError(f"{file}: no rows of the laboratory: {fault!r}") from None
    order = sorted(range(len(lines)), key=lambda at: int(columns["seed"][at]))
    columns["measured"] = [json.dumps(measured, separators=(",", ":")) for measured in columns["measured"]]
    table = pa.table({name: [values[at] for at in order] for name, values in columns.items()})
    packed.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, packed, compression="zstd", compression_level=19, row_group_size=100_000)
    return len(lines)


def read_rows(packed: Path) -> list[Row]:
    """The rows of a table.

    Raises
    ------
    DataError
        There is no such file, or it holds other rows.
    """
    try:
        table = pq.read_table(packed)
        facts = [table.column(name).to_pylist() for name in _FACTS]
        measured = table.column("measured").to_pylist()
        return [
            Row(**dict(zip(_FACTS, row, strict=True)), measured=_adapter().validate_json(text))
            for *row, text in zip(*facts, measured, strict=True)
        ]
    except FileNotFoundError:
        raise DataError(
            f"{packed}: no such file; auditor lab features makes rows, auditor lab judge packs them"
        ) from None
    except (pa.ArrowException, KeyError, pydantic.ValidationError) as fault:
        raise DataError(f"{packed}: no rows of the laboratory: {str(fault).splitlines()[0]}") from None


def _read_lines(file: Path) -> list[dict[str, Any]]:
    if file.suffix == ".parquet":
        return [row | {"measured": json.loads(row["measured"])} for row in pq.read_table(file).to_pylist()]
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _row(specimen: Specimen, asked: Asked) -> Row:
    recipe, rule, task = specimen.recipe, Rule(), specimen.task
    if asked.way in SCANS:
        measured = sorted(measure_scan(asked.observed, rule, rule.alpha), key=_strength, reverse=True)[:_KEPT]
    else:
        measured = [measure(asked.observed, task.target, rule)]
    return Row(
        **{name: getattr(recipe, name) for name in ("seed", "question", "kind", "map", "regime", "rho")},
        way=asked.way,
        images=asked.images,
        passes=asked.passes,
        target=task.classes[task.target],
        measured=tuple(measured),
        **specimen.truth._asdict(),
    )


def _strength(measured: Measured) -> float:
    """The highest lower bound of what is decided on, in margins."""
    bounds = [effect.decisive.bounds[0] for effect in measured.effects.values() if effect.value is not None]
    return max(bounds, default=-math.inf) / max(measured.margin, 1e-9)


def _to_plain(row: Row) -> dict[str, Any]:
    facts = {name: _rounded(getattr(row, name)) for name in _FACTS}
    return facts | {"measured": _rounded(_adapter().dump_python(row.measured, mode="json", exclude_defaults=True))}


def _rounded(value: Any) -> Any:
    """The same with four significant digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, (list, tuple)) else value


@cache
def _adapter() -> pydantic.TypeAdapter[tuple[Measured, ...]]:
    return pydantic.TypeAdapter(tuple[Measured, ...])


_FACTS = [field.name for field in fields(Row) if field.name != "measured"]

_KEPT = 10
"""Classes of a scan that are kept."""
