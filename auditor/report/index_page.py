"""The page over all runs of a folder: `index.html`, whole without JavaScript, filtered with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from markupsafe import Markup, escape

from auditor.errors import AuditError, ReportError
from auditor.measure.words import number
from auditor.report.gravity import gravest_first, tell_counts
from auditor.report.matrix import About, view_matrix
from auditor.report.templates import open_templates, policy_hash, read_template
from auditor.report.trends import MOST_POINTS, Series, say_outcome, say_target, view_trend
from auditor.report.visible import make_visible
from auditor.run.checked import has_checks
from auditor.run.elsewhere import read_stored_runs
from auditor.run.files import write_files
from auditor.run.index import INDEX, Entry, Listing, add_lines, locked, moment, read_runs, write_lines
from auditor.run.leftovers import sweep
from auditor.stores.address import Place, Stored
from auditor.stores.store import write
from auditor.verdict.record import Told

INDEX_PAGE = "index.html"

_TRENDS_OPEN, _MOST_TRENDS = 6, 120
_LONGEST = 90

_VERDICTS: tuple[Told, ...] = ("relies", "inconclusive", "no_evidence", "unconfirmed", "not_applicable", "error")


def refresh_index(reports: Place) -> Listing:
    """Sweep what killed processes left, add the runs that `index.jsonl` lacks to it and make `index.html` anew.

    On a store, which has no lock, both are written anew from the runs that are there.

    Raises
    ------
    ReportError
        The folder cannot be read or written; the runs in it, and the index as it was, are untouched.
    StoreError
        Nor can one on a store.
    """
    if isinstance(reports, Stored):
        listing = read_stored_runs(reports)
        write(reports / INDEX, write_lines(listing.entries))
        write(reports / INDEX_PAGE, render_index(listing).encode())
        return listing
    if not reports.is_dir():
        raise ReportError(f"{reports}: no such folder; wanted a folder of runs")
    with locked(reports):
        try:
            sweep(reports)
            listing = read_runs(reports)
            add_lines(reports / INDEX, listing.unlisted)
            write_files({reports / INDEX_PAGE: render_index(listing, has_checks=has_checks(reports)).encode()})
        except OSError as fault:
            raise ReportError(f"{reports}: the index cannot be written: {fault.strerror or fault}") from None
    return listing


def renew_index(reports: Place) -> list[str]:
    """Make the index anew after a run was saved; returns warnings: whatever fails, the run stands."""
    try:
        faults = refresh_index(reports).faults
    except (AuditError, OSError) as fault:
        return [f"the index was not renewed: {fault}"]
    return [f"the index leaves out {len(faults)}; `auditor list {reports}` says why"] if faults else []


def render_index(listing: Listing, *, has_checks: bool = False) -> str:
    """The page over all runs; it needs nothing beside it but the reports that it links to, and the page of checks."""
    entries = listing.entries
    models, data = sorted({entry.model for entry in entries}), sorted({entry.data for entry in entries})
    known = find_series(entries)
    series = _find_trends(known)
    style, script = _read_assets()
    counts = Counter(outcome.told for entry in entries for outcome in entry.outcomes)
    view = {
        "subject": _tell_subject(models, data),
        "entries": entries,
        "reports": listing.reports,
        "counts": [(verdict, counts[verdict]) for verdict in _VERDICTS if counts[verdict]],
        "models": {name: number for number, name in enumerate(models)},
        "data": {name: number for number, name in enumerate(data)},
        "matrix": view_matrix(known),
        "trends": [_view_series(about, audits) for about, audits in series[:_MOST_TRENDS]],
        "trends_open": _TRENDS_OPEN,
        "trends_left_out": max(0, len(series) - _MOST_TRENDS),
        "most_points": MOST_POINTS,
        "faults": listing.faults,
        "has_checks": has_checks,
        "shorten": show_shortened,
        "show": _escaped,
        "gravest_first": gravest_first,
        "counts_of": tell_counts,
        "target_of": say_target,
        "effect_of": say_outcome,
        "say_number": number,
        "style": Markup(style),
        "script": Markup(script),
        "policy": index_policy(),
    }
    page = open_templates(autoescape=True).get_template("index.html.j2").render(view)
    return page.encode("utf-8", "replace").decode("utf-8")


def _tell_subject(models: list[str], data: list[str]) -> str:
    """What was audited on what: names where there is one, else how many."""
    if not models:
        return "No run"
    model = show_shortened(models[0], 40) if len(models) == 1 else f"{len(models)} models"
    source = show_shortened(data[0], 40) if len(data) == 1 else f"{len(data)} data sets"
    return f"{model} on {source}"


def index_policy() -> str:
    """What a browser may do with the page: use its own style, run its own script, and nothing else."""
    style, script = (policy_hash(text) for text in _read_assets())
    return f"default-src 'none'; style-src '{style}'; script-src '{script}'; base-uri 'none'; form-action 'none'"


def shorten(text: str, longest: int = _LONGEST) -> str:
    """Text on one line, cut in the middle where it is long: both ends of a path tell something."""
    line = " ".join(text[: 10 * longest].split()) + ("…" if len(text) > 10 * longest else "")
    return line if len(line) <= longest else f"{line[: longest // 2]}…{line[-(longest - longest // 2 - 1) :]}"


def show_shortened(text: str, longest: int = _LONGEST) -> str:
    """Shortened text as a page shows it: nothing in it works unseen."""
    return make_visible(shorten(text, longest))


def _read_assets() -> tuple[str, str]:
    return read_template("style.css") + read_template("index.css"), read_template("index.js")


@lru_cache(maxsize=4096)
def _escaped(text: str) -> str:
    """A name of a row: most stand in thousands of them, and escaping each anew would take longer than all else."""
    return str(escape(show_shortened(text)))


def find_series(entries: Sequence[Entry]) -> dict[About, Series]:
    """The audits of each artefact and target on one model and data, oldest first."""
    found: dict[About, Series] = {}
    for entry in reversed(entries):
        for outcome in entry.outcomes:
            # a scan is one series, whichever class was the strongest
            target = "every class" if outcome.scanned else outcome.target or "–"
            found.setdefault((entry.model, entry.data, outcome.artefact, target), []).append((entry, outcome))
    return found


def _find_trends(found: dict[About, Series]) -> list[tuple[About, Series]]:
    """Series of two audits or more: those that end in reliance first, then the latest."""
    series = [(about, audits) for about, audits in found.items() if len(audits) > 1]
    series.sort(key=lambda item: moment(item[1][-1][0].started), reverse=True)
    series.sort(key=lambda item: item[1][-1][1].verdict != "relies")
    return series


def _view_series(about: About, audits: Series) -> dict[str, Any]:
    relied = [entry.started[:10] for entry, outcome in audits if outcome.verdict == "relies"]
    verdicts = " ".join({outcome.told: None for _, outcome in audits})
    return {"about": about, "audits": audits, "verdicts": verdicts, "relied": relied, "plot": view_trend(audits)}
