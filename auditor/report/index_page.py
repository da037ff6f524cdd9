"""The page over all runs of a folder: `index.html`, whole without JavaScript, filtered with it."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from auditor.errors import AuditError, ReportError
from auditor.measure.measurement import Measurement
from auditor.measure.words import say
from auditor.report.templates import open_templates, read_template
from auditor.report.trends import MOST_POINTS, Point, draw_trend
from auditor.run.files import write_files
from auditor.run.index import INDEX, Entry, Listing, Outcome, add_lines, locked, moment, read_runs
from auditor.verdict.record import Verdict

INDEX_PAGE = "index.html"

_TRENDS_OPEN, _MOST_TRENDS = 6, 120
_LONGEST = 90

_VERDICTS: tuple[Verdict, ...] = ("relies", "inconclusive", "no_evidence", "not_applicable", "error")

Series = list[tuple[Entry, Outcome]]
"""The audits of one artefact and target on one model and data, oldest first."""


def refresh_index(reports: Path) -> Listing:
    """Add the runs that `index.jsonl` lacks to it and make `index.html` anew.

    Raises
    ------
    ReportError
        The folder cannot be read or written; the runs in it, and the index as it was, are untouched.
    """
    if not reports.is_dir():
        raise ReportError(f"{reports}: no such folder; wanted a folder of runs")
    with locked(reports):
        listing = read_runs(reports)
        try:
            add_lines(reports / INDEX, listing.unlisted)
            write_files({reports / INDEX_PAGE: render_index(listing).encode()})
        except OSError as fault:
            raise ReportError(f"{reports}: the index cannot be written: {fault.strerror or fault}") from None
    return listing


def renew_index(reports: Path) -> list[str]:
    """Make the index anew after a run was saved; returns warnings: whatever fails, the run stands."""
    try:
        faults = refresh_index(reports).faults
    except (AuditError, OSError) as fault:
        return [f"the index was not renewed: {fault}"]
    return [f"the index leaves out {len(faults)}; `auditor list {reports}` says why"] if faults else []


def render_index(listing: Listing) -> str:
    """The page over all runs; it needs nothing beside it but the reports that it links to."""
    models = _numbered(entry.model for entry in listing.entries)
    data = _numbered(entry.data for entry in listing.entries)
    series = _find_series(listing.entries)
    trends = [_view_series(key, audits, models, data) for key, audits in series[:_MOST_TRENDS]]
    style, script = _read_assets()
    counts = Counter(outcome.verdict for entry in listing.entries for outcome in entry.outcomes)
    view = {
        "rows": [_view_row(entry, listing.reports[entry.id], models, data) for entry in listing.entries],
        "counts": [(verdict, counts[verdict]) for verdict in _VERDICTS if counts[verdict]],
        "models": [shorten(name) for name in models],
        "data": [shorten(name) for name in data],
        "first_day": listing.entries[-1].started[:10] if listing.entries else "",
        "last_day": listing.entries[0].started[:10] if listing.entries else "",
        "trends": trends[:_TRENDS_OPEN],
        "more_trends": trends[_TRENDS_OPEN:],
        "trends_left_out": len(series) - len(trends),
        "most_points": MOST_POINTS,
        "faults": [shorten(fault, 400) for fault in listing.faults],
        "style": Markup(style),
        "script": Markup(script),
        "policy": index_policy(),
    }
    page = open_templates(autoescape=True).get_template("index.html.j2").render(view)
    return page.encode("utf-8", "replace").decode("utf-8")


def index_policy() -> str:
    """What a browser may do with the page: use its own style, run its own script, and nothing else."""
    style, script = (_source(text) for text in _read_assets())
    return f"default-src 'none'; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'"


def shorten(text: str, longest: int = _LONGEST) -> str:
    """Text on one line, cut in the middle where it is long: both ends of a path tell something."""
    line = " ".join(text[: 10 * longest].split()) + ("…" if len(text) > 10 * longest else "")
    return line if len(line) <= longest else f"{line[: longest // 2]}…{line[-(longest - longest // 2 - 1) :]}"


def say_target(outcome: Outcome) -> str:
    return "every class" if outcome.scanned and outcome.verdict != "relies" else outcome.target or "–"


def say_effect(outcome: Outcome) -> str:
    """The effect that decided, with its interval; empty where nothing was measured."""
    effect = Measurement(outcome.value, outcome.low, outcome.high, None, outcome.n, outcome.n, "log-odds", None)
    return "" if effect.value is None else say(effect, "brief")


def _read_assets() -> tuple[str, str]:
    return read_template("style.css") + read_template("index.css"), read_template("index.js")


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _numbered(names: Any) -> dict[str, int]:
    return {name: number for number, name in enumerate(sorted(set(names)))}


def _view_row(entry: Entry, reports: Sequence[str], models: dict[str, int], data: dict[str, int]) -> tuple[Any, ...]:
    """What the template unpacks for one run, escaped already: names looked up and escaped for thousands of rows, most
    of them again and again, would take three quarters of the time.
    """
    outcomes = [
        (outcome.verdict, _escaped(outcome.artefact), _escaped(say_target(outcome)), say_effect(outcome))
        for outcome in entry.outcomes
    ]
    return (
        entry.id,
        models[entry.model],
        data[entry.data],
        " ".join({outcome.verdict: None for outcome in entry.outcomes}),
        _escaped(entry.started[:10]),
        _escaped(entry.started[11:16]),
        _escaped(entry.title),
        _escaped(entry.model),
        _escaped((entry.model_sha256 or "")[:8]),
        _escaped(entry.data),
        _escaped((entry.data_sha256 or "")[:8]),
        outcomes,
        reports,
    )


@lru_cache(maxsize=4096)
def _escaped(text: str) -> str:
    return str(escape(shorten(text)))


def _find_series(entries: Sequence[Entry]) -> list[tuple[tuple[str, str, str, str], Series]]:
    """Series of two audits or more: those that end in reliance first, then the latest."""
    found: dict[tuple[str, str, str, str], Series] = {}
    for entry in reversed(entries):
        for outcome in entry.outcomes:
            # a scan is one series, whichever class was the strongest
            target = "every class" if outcome.scanned else outcome.target or "–"
            found.setdefault((entry.model, entry.data, outcome.artefact, target), []).append((entry, outcome))
    series = [(key, audits) for key, audits in found.items() if len(audits) > 1]
    series.sort(key=lambda item: moment(item[1][-1][0].started), reverse=True)
    series.sort(key=lambda item: item[1][-1][1].verdict != "relies")
    return series


def _view_series(
    key: tuple[str, str, str, str], audits: Series, models: dict[str, int], data: dict[str, int]
) -> dict[str, Any]:
    model, source, artefact, target = key
    first, (entry, last) = audits[0][0], audits[-1]
    relied = next((entry for entry, outcome in audits if outcome.verdict == "relies"), None)
    history = f"{len(audits)} audits since {first.started[:10]}"
    first_seen = f"reliance first found on {relied.started[:10]}" if relied else "reliance never found"
    points = [
        Point(
            day=entry.started[:10],
            label=f"{entry.started[:16].replace('T', ' ')}: {outcome.verdict.replace('_', ' ')} {say_effect(outcome)}",
            verdict=outcome.verdict,
            value=outcome.value,
            low=outcome.low,
            high=outcome.high,
            model_changed=entry.model_sha256 != before.model_sha256,
        )
        for (before, _), (entry, outcome) in list(zip([audits[0], *audits], audits, strict=False))[-MOST_POINTS:]
    ]
    effect = say_effect(last)
    said = f"latest effect {effect} {last.unit}, n = {last.n}" if effect else "no effect measured at last"
    return {
        "artefact": shorten(artefact, 60),
        "target": shorten(target, 60),
        "model": shorten(model, 60),
        "data": shorten(source, 60),
        "m": models[model],
        "d": data[source],
        "verdict": last.verdict,
        "v": " ".join({outcome.verdict: None for _, outcome in audits}),
        "latest": effect or "not measured",
        "details": f"latest: {last.unit}, n = {last.n}, margin {last.margin:.3g}" if effect else "latest: not measured",
        "id": entry.id,
        "history": history,
        "first_seen": first_seen,
        "plot": draw_trend(points, last.margin, f"{said}; {history}; {first_seen}"),
    }
