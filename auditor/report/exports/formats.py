"""A saved run in the formats of other tools: JUnit XML, SARIF, Markdown, and its rows as CSV and Parquet."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from typing import Any

from auditor.report.exports.junit import write_junit
from auditor.report.exports.markdown import write_markdown
from auditor.report.exports.sarif import write_sarif
from auditor.report.presentable import present
from auditor.report.visible import make_visible
from auditor.run.result import AuditResult
from auditor.run.store import SavedRun

Exporter = Callable[[SavedRun, AuditResult], bytes]
"""What makes the file of another tool from a run as it was saved, and from its result as it may be shown."""


def export(run: SavedRun, name: str) -> bytes:
    """A saved run in one of the formats of `EXPORTS`.

    Raises
    ------
    ReportError
        The run is damaged.
    """
    return EXPORTS[name](run, present(run.result, run.arrays).result)


def write_csv(table: Any) -> bytes:
    """Rows as CSV (RFC 4180, UTF-8, a header, empty where nothing is known); numbers are numbers.

    A text that a spreadsheet would take for a formula (it begins with = + - @ or a blank before one) has an apostrophe
    before it.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(table.column_names)
    for batch in table.to_batches():
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            writer.writerow([_cell(value) for value in row])
    return buffer.getvalue().encode("utf-8")


def write_parquet(table: Any) -> bytes:
    """Rows as Parquet, with their types."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return "" if value is None or math.isnan(value) else repr(value)
    shown = make_visible(value)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown


_FORMULA = ("=", "+", "-", "@", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}", "\N{FULLWIDTH HYPHEN-MINUS}",
            "\N{FULLWIDTH COMMERCIAL AT}")  # fmt: skip

EXPORTS: dict[str, Exporter] = {
    "junit": lambda run, shown: write_junit(shown),
    "sarif": lambda run, shown: write_sarif(run.result, shown),
    "markdown": lambda run, shown: write_markdown(shown).encode("utf-8"),
    "csv": lambda run, shown: write_csv(run.rows),
    "parquet": lambda run, shown: write_parquet(run.rows),
}
"""Format -> the bytes of a run in it; `auditor.run.files.FORMATS` names its file."""
