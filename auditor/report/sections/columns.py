"""Columns that go with a class and with its score, as the report and the terminal tell them."""

from __future__ import annotations

from auditor.discovery.record import OF_PIXELS, OTHER, ColumnFinding, ColumnsRecord
from auditor.measure.pieces import Answer, Column, Piece, Remark, Row, Table
from auditor.measure.words import listed, number, say


def view_columns(record: ColumnsRecord | None) -> list[Piece]:
    """What is shown of a record; nothing where nothing was looked at."""
    if record is None:
        return []
    pieces: list[Piece] = [Answer(tell_columns(record), "Beside the pictures.")]
    pieces += [_table(finding) for finding in record.found]
    said = [*record.inseparable, *(_tell_how(record) if not record.why_not else [])]
    return [*pieces, *(Remark(text) for text in said)]


def tell_columns(record: ColumnsRecord | None) -> str:
    """What goes with a class and with its score, in a sentence or two; empty where nothing was looked at."""
    if record is None:
        return ""
    if record.why_not:
        return f"Columns were not looked at: {record.why_not}."
    if not record.found:
        return (
            f"None of {len(record.looked_at)} columns was found to go with a class and with its score ({record.images} "
            "images). That is no all-clear."
        )
    beside = [finding for finding in record.found if not finding.column.startswith(OF_PIXELS)]
    named = [tell_column(finding) for finding in (beside or record.found)[:_MOST_TOLD]]
    more = len(record.found) - len(named)
    told = f" {more} more {'is' if more == 1 else 'are'} listed in the report." if more else ""
    return f"{' '.join(named)}{told} Nothing of this is judged: no image was edited."


def tell_column(finding: ColumnFinding) -> str:
    """What is named of a column, in a sentence."""
    first = finding.rows[0]
    rest = [row for row in finding.rows[1:] if row.value != OTHER][:_MOST_COMPARED] or finding.rows[1:]
    others = listed([f"{say(row.share, 'counted')} where it is {row.value}" for row in rest] or ["none elsewhere"])
    return (
        f"{finding.target} goes with {finding.column} = {finding.value}: {say(first.share, 'counted')} images there, "
        f"{others}; and there the model scores {finding.target} higher, by {number(finding.raised, '')} standard "
        "deviations."
    )


def _table(finding: ColumnFinding) -> Table:
    """The whole column beside the class."""
    columns: list[str | Column] = [
        finding.column,
        "images",
        Column(f"of {finding.target}", "share of images"),
        Column("recognised", f"of images of {finding.target}"),
        Column("score", f"on images of {finding.target}"),
        Column("score, others", "on images of other classes"),
    ]
    rows = [
        Row(row.value, [str(row.images), row.share, row.accuracy, row.own, row.others], "named" if not at else "")
        for at, row in enumerate(finding.rows)
    ]
    return Table(f"{finding.column} and {finding.target}", columns, rows)


def _tell_how(record: ColumnsRecord) -> list[str]:
    if not record.looked_at:
        return record.left_out
    looked = f"{len(record.looked_at)} columns were looked at on {record.images} labelled images"
    held = (
        f"{record.tried} triples of column, value and class were tried; the chance that any of them is named wrongly "
        f"is at most {number(record.alpha, 'share')} (Holm)."
    )
    return [f"{looked}: {listed(record.looked_at, _MOST_NAMED)}. {held} {RIGHTLY}", *record.left_out]


RIGHTLY = (
    "A value may go with a class rightly, as dark coats are coats: light and sharpness are tried by edits among the "
    "suspects, and what a column stands for only those tell who know the data."
)

_MOST_TOLD, _MOST_COMPARED, _MOST_NAMED = 3, 3, 20
