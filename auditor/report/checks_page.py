"""The page of all checks of a folder of runs, `checks.html`: the matrix, and what became of each; whole as it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from auditor.errors import AuditError
from auditor.report.index_page import shorten
from auditor.report.templates import open_templates, policy_hash, read_template
from auditor.report.trends import Series, say_outcome, say_target, view_trend
from auditor.run.checked import CheckRecord, ChecksRecord, State, read_records, worst_first
from auditor.run.files import write_files
from auditor.run.index import Entry, Listing, Outcome, moment, read_runs
from auditor.verdict.record import Verdict

CHECKS_PAGE = "checks.html"

STATES: dict[State, tuple[str, str, Verdict]] = {
    "wrong": ("✗", "Misconfigured", "error"),
    "broken": ("✗", "Not completed", "error"),
    "fail": ("▲", "Fails", "relies"),
    "open": ("?", "Open", "inconclusive"),
    "warn": ("!", "Warns", "inconclusive"),
    "pass": ("○", "Passes", "no_evidence"),
}
"""State, the severest first -> its sign, its words, and the verdict whose colours it has."""


def renew_checks_page(reports: Path, now: datetime) -> list[str]:
    """Make the page anew after checks were run; returns warnings: whatever fails, the checks stand."""
    try:
        records, faults = read_records(reports)
        page = render_checks(records, read_runs(reports), now, faults)
        write_files({reports / CHECKS_PAGE: page.encode()})
    except (AuditError, OSError) as fault:
        return [f"{CHECKS_PAGE} was not renewed: {fault}"]
    return []


def render_checks(records: Sequence[ChecksRecord], listing: Listing, now: datetime, faults: Sequence[str] = ()) -> str:
    """The page; it needs nothing beside it but the reports that it links to.

    Parameters
    ----------
    now
        What was due before is said to be overdue.
    """
    entries = {entry.id: entry for entry in listing.entries}
    files = [_view_file(number, record, entries, now) for number, record in enumerate(records, 1)]
    counts = Counter(check.state for record in records for check in record.checks)
    view = {
        "files": files,
        "faults": faults,
        "counts": [(state, counts[state]) for state in STATES if counts[state]],
        "total": counts.total(),
        "states": STATES,
        "reports": listing.reports,
        "shorten": shorten,
        "effect_of": say_outcome,
        "target_of": say_target,
        "style": Markup(_style()),
        "policy": checks_policy(),
    }
    page = open_templates(autoescape=True).get_template("checks.html.j2").render(view)
    return page.encode("utf-8", "replace").decode("utf-8")


def checks_policy() -> str:
    """What a browser may do with the page: use its own style, and nothing else."""
    return f"default-src 'none'; style-src '{policy_hash(_style())}'; base-uri 'none'; form-action 'none'"


def _style() -> str:
    return read_template("style.css") + read_template("index.css") + read_template("checks.css")


def _view_file(number: int, record: ChecksRecord, entries: Mapping[str, Entry], now: datetime) -> dict[str, Any]:
    order = list(STATES)
    anchors = {check.name: f"check-{number}-{at}" for at, check in enumerate(record.checks, 1)}
    matrix = [check for check in record.checks if check.model and check.data]
    sides = [list(dict.fromkeys(getattr(check, side) for check in matrix)) for side in ("model", "data")]
    due = record.next_due
    return {
        "file": record.file.removeprefix("../"),
        "begun": record.begun,
        "is_cut_off": record.ended is None,
        "due": due,
        "is_overdue": due is not None and moment(due) < now,
        "models": sides[0] if len(matrix) > 1 else [],
        "data": sides[1],
        "cells": {(check.model, check.data): check for check in matrix},
        "anchors": anchors,
        "checks": [
            (check, anchors[check.name], _view_outcomes(check, entries))
            for check in sorted(record.checks, key=lambda check: order.index(check.state))
        ],
    }


_Shown = tuple[Outcome, dict[str, Any] | None, int]
"""What was found of an artefact, the plot of its trend where there are two audits or more, and how many there are."""


def _view_outcomes(check: CheckRecord, entries: Mapping[str, Entry]) -> list[_Shown]:
    """Each artefact of a check with its trend, the worst first: of its last run, where the latest audit left none."""
    runs = [entries[run] for run in check.history if run in entries]
    latest = check.outcomes if check.run else runs[-1].outcomes if runs else []
    found: list[_Shown] = []
    for outcome in worst_first(latest):
        series: Series = [(entry, each) for entry in runs for each in entry.outcomes if _is_same(each, outcome)]
        found.append((outcome, view_trend(series) if len(series) > 1 else None, len(series)))
    return found


def _is_same(one: Outcome, other: Outcome) -> bool:
    """Whether two runs say this of one thing; a scan is one, whichever class was the strongest."""
    if one.scanned or other.scanned:
        return one.artefact == other.artefact and one.scanned == other.scanned
    return (one.artefact, one.target) == (other.artefact, other.target)
