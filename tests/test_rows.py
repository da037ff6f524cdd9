"""Rows are held small, and are what was put into them, however many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.measure.ledger import COLUMNS, Rows, Texts, Values
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
