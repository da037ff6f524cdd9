"""Rows are held small, and are what was put into them, however many."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.measure.columns import Coded, Texts, Values
from auditor.measure.ledger import COLUMNS, Rows
from auditor.run.parts import tabulate, write_rows


@pytest.mark.parametrize(
    ("column", "items"),
    [
        (Texts(), ["cat", None, "dog", "cat", *(f"picture-{number}" for number in range(300)), "cat", None]),
        (Values(), [1.5, None, -0.0, 1e-300, *map(float, range(300))]),
    ],
)
def test_a_column_is_a_list_of_what_was_put_into_it(column: Any, items: list[Any]):
    column.extend(items)
    column.append(items[0])
    assert list(column) == [*items, items[0]]
    assert column == [*items, items[0]]
    assert column[1:3] == items[1:3]
    column += items[:2]
    column[0] = items[2]
    column.insert(1, items[3])
    del column[2]
    assert list(column)[:3] == [items[2], items[3], items[2]]
    assert len(column) == len(items) + 3
    column.clear()
    assert list(column) == []


def test_rows_that_are_written_some_at_a_time_are_those_that_are_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import pyarrow.parquet as pq

    rows = Rows()
    names = [f"picture-{number}" for number in range(700)]
    rows.note(np.arange(700) / 7, image=names, group=np.arange(700) // 3, measurement="shift", artefact="mark")
    rows.add(image="one", label=None)
    rows.note([np.nan, 2.0], image=["left out", "two"], measurement="shift")
    monkeypatch.setattr("auditor.run.parts._ROWS_AT_ONCE", 64)
    write_rows(tmp_path / "rows.parquet", rows)
    table = pq.read_table(tmp_path / "rows.parquet")
    assert table.to_pydict() == tabulate(rows).to_pydict() == {name: list(rows.columns[name]) for name in COLUMNS}
    assert (len(rows), table["image"][-1].as_py(), table["value"][700].as_py()) == (702, "two", None)


def test_what_is_coded_is_not_copied_and_reads_as_its_texts():
    rows, names = Rows(), [f"picture-{number}" for number in range(20_000)]
    image = Coded(np.arange(20_000)[::-1].copy(), names)
    values = np.where(np.arange(20_000) % 2, np.nan, np.arange(20_000)).astype(np.float32)
    tracemalloc.start()
    for condition in "abc":
        rows.note(values, image=image, measurement="shift", condition=condition)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 10 * len(rows)
    assert list(rows.columns["image"]) == 3 * names[::-2]
    assert list(rows.columns["value"]) == 3 * [float(number) for number in range(0, 20_000, 2)]
    assert rows.columns["condition"][9_999:10_001] == ["a", "b"]


def test_rows_are_added_to_others_and_forgotten_from_the_end():
    rows, more = Rows(), Rows()
    rows.note([1.0, 2.0], image=Coded(np.array([1, 0]), ["a", "b"]), measurement="one")
    more.note([3.0, np.nan, 4.0], image=Coded(np.array([2, 1, 0]), ["c", "d", "e"]), group=["x", "y", "z"])
    rows.extend(more)
    rows.add(image="f", value=5.0)
    assert list(rows.columns["image"]) == ["b", "a", "e", "c", "f"]
    assert list(rows.columns["group"]) == [None, None, "x", "z", None]
    rows.keep_first(3)
    rows.add(image="a")
    assert [list(rows.columns[name]) for name in ("image", "value", "measurement")] == [
        ["b", "a", "e", "a"],
        [1.0, 2.0, 3.0, None],
        ["one", "one", None, None],
    ]
