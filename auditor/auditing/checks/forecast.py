"""What an audit will cost, told from its configuration and its last run before anything is asked of its model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditor.auditing.checks.judging import read_cell
from auditor.config.checks import Cell
from auditor.config.file import AuditConfig
from auditor.config.sections import DiscoveryConfig, Document
from auditor.errors import AuditError
from auditor.run.checked import CheckRecord
from auditor.run.store import load_result
from auditor.subject.data.sources import first_image_shape, open_source
from auditor.verdict.passes import BESIDE, EDITS, ONCE
from auditor.verdict.rounds import FIRST_LOOK


@dataclass(frozen=True)
class Forecast:
    """What one audit will ask of its model, and what travels for it."""

    name: str
    least: int
    """Images scored for the verdicts where they are plain at the first look ..."""
    most: int
    """... and where all images are tried."""
    explaining: int
    """Passes of explanations: images scored, and images differentiated times `BACKWARDS`."""
    read: int
    """Bytes of images that workers read, at the most."""
    sent: int
    """Bytes of scores that they send, at the most."""
    seconds: float
    """Of processor for one pass."""
    source: str
    """Where that is from."""
    fault: str = ""
    """Why nothing is known, where it is not."""

    @property
    def hours(self) -> tuple[float, float]:
        """Of one worker, at the least and at the most."""
        low, high = (passes + self.explaining for passes in (self.least, self.most))
        return low * self.seconds / 3600, high * self.seconds / 3600

    @property
    def passes(self) -> int:
        """All passes, at the most: how large it is beside others."""
        return self.most + self.explaining


def forecast(cell: Cell, reports: Path, before: CheckRecord | None) -> Forecast:
    """What a check will cost, at the most and at the least.

    Parameters
    ----------
    reports
        The folder of all runs.
    before
        What became of it last: its run tells how long a pass of its model takes.
    """
    try:
        data, places = read_cell(cell)
        sections = {key: data.get(key) for key in ("model", "data")} | {"discovery": data.get("discovery", {})}
        document = Document.model_validate_json(json.dumps(sections))
        section = document.data
        fields = {"file": cell.config, "places": places}
        source = open_source(AuditConfig(model=document.model, data=section, **fields))  # type: ignore[arg-type]
        shape = first_image_shape(source) or (0, 0, 0)
    except (AuditError, ValueError, OSError) as fault:
        lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
        return Forecast(cell.name, 0, 0, 0, 0, 0, 0.0, "", lines[0] if lines else type(fault).__name__)
    count = len(source.ids) if section.limit == "all" else min(section.limit, len(source.ids))
    classes = _count_classes(document, source.labels)
    artefacts = len(data.get("artefacts", ()))
    is_sequential = bool(data.get("verdict", {}).get("sequential", True)) and artefacts
    looks = FIRST_LOOK if is_sequential and count >= 2 * FIRST_LOOK else count
    least, most = (
        images + artefacts * (edits * images + ONCE) for images, edits in ((looks, EDITS), (count, EDITS + BESIDE))
    )
    seconds, told = _time_a_pass(reports, before)
    return Forecast(
        name=cell.name,
        least=least,
        most=most + _count_discovering(document.discovery, artefacts, count),
        explaining=_count_explaining(data, artefacts),
        read=count * shape[0] * shape[1] * shape[2],
        sent=most * classes * _BYTES,
        seconds=seconds,
        source=told,
    )


def tell_forecasts(forecasts: Sequence[Forecast], workers: int) -> list[str]:
    """A table for people, the largest first, and what all of them come to on so many workers."""
    ordered = sorted(forecasts, key=lambda each: -each.passes)
    rows = [("check", "passes", "explanations", "read", "sent", "worker hours", "a pass")]
    for each in ordered:
        if each.fault:
            continue
        low, high = each.hours
        cells = _span(each.least, each.most), f"{each.explaining:,}", _size(each.read), _size(each.sent)
        rows.append((each.name, *cells, _span_of_hours(low, high), f"{1000 * each.seconds:.3g} ms, {each.source}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"{each.name}: nothing can be said of it: {each.fault}" for each in ordered if each.fault]
    low, high = (sum(each.hours[at] for each in forecasts) for at in (0, 1))
    longest = max((each.hours[1] for each in forecasts), default=0.0)
    passes = _span(*(sum(getattr(each, at) for each in forecasts) for at in ("least", "most")))
    total = f"all: {passes} passes for verdicts, {sum(each.explaining for each in forecasts):,} for explanations, "
    total += f"{_size(sum(each.read for each in forecasts))} read, {_size(sum(each.sent for each in forecasts))} sent"
    lines.append(total)
    spent = f"all: {_span_of_hours(low, high)} hours of a worker, which is what they cost; "
    lines.append(f"{spent}{_span_of_hours(low / workers, high / workers)} hours on {workers}, loading left out")
    if longest > high / workers:
        lines.append(f"the longest takes {_hours(longest)} hours on one worker alone, so it is spread")
    return [*lines, *ESTIMATES]


def _count_classes(document: Document, labels: Sequence[Any] | None) -> int:
    named = document.model.labels
    if isinstance(named, tuple):
        return len(named)
    return 1000 if named == "imagenet" or labels is None else max(2, len({str(label) for label in labels}))


def _count_discovering(section: DiscoveryConfig, artefacts: int, count: int) -> int:
    """Passes of finding suspects and judging them on half of the images, at the most."""
    is_wanted = not artefacts if section.enabled == "auto" else section.enabled
    return section.passes + section.most * ((EDITS + BESIDE) * count // 2 + ONCE) if is_wanted else 0


def _count_explaining(data: Mapping[str, Any], artefacts: int) -> int:
    """Passes of what is switched on, as the example of this repository takes them for one artefact."""
    sections = data.get("methods", {})
    off = {name for name, section in sections.items() if not section.get("enabled", True)}
    images = data.get("explain", {}).get("images", 48)
    maps = 0 if off >= _ATTRIBUTIONS else max(artefacts, 1) * images * _MAPS_OF_AN_IMAGE
    return int(maps + sum(passes for name, passes in _STUDIES.items() if name not in off))


def _time_a_pass(reports: Path, before: CheckRecord | None) -> tuple[float, str]:
    """Seconds of one pass, and where that is from."""
    if before is not None and before.run:
        try:
            found = load_result(reports / before.run).provenance
        except AuditError:
            return _ASSUMED, "assumed"
        if found.config.get("execution", {}).get("engine") == "ray":  # its seconds are of several workers
            return _ASSUMED, "assumed"
        passes = sum(part.scores.made + BACKWARDS * part.gradients.made for part in found.work)
        if passes:
            return found.seconds / passes, "as its last run"
    return _ASSUMED, "assumed"


def _span(low: float, high: float) -> str:
    return f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"


def _span_of_hours(low: float, high: float) -> str:
    told = _hours(low), _hours(high)
    return told[0] if told[0] == told[1] else " to ".join(told)


def _hours(hours: float) -> str:
    return f"{hours:.2g}" if hours < 100 else f"{hours:,.0f}"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.3g} {unit}"
        count /= 1000
    raise AssertionError(count)


BACKWARDS = 3
"""Passes that an image differentiated counts for: there and back, with all that is kept for the way."""

_BYTES = 8
"""Of what comes back for each class of a pass: its score for the journal, and what is made of it."""

_ASSUMED = 0.02
"""Seconds of one pass of a model that was never audited here: of EfficientNet-Lite0 on a core, about."""

_ATTRIBUTIONS = {"gradient", "smoothgrad", "integrated_gradients", "grad_cam"}

_MAPS_OF_AN_IMAGE = 114 * BACKWARDS

_STUDIES = {
    "trust": 7896 + BACKWARDS * 12033,
    "errors": 2570 + BACKWARDS * 7364,
    "counterfactual": 2648 + BACKWARDS * 6415,
    "optima": 1282 + BACKWARDS * 11904,
}
"""Study -> passes, of the example of this repository: see docs/performance.md."""

ESTIMATES = (
    "These are estimates: images by the rows of the data, 7 edits of each by an artefact, or 14 where it is tried at a "
    "neighbouring place, and 1,000 besides; "
    "at the most as many suspects as [discovery] allows, where they are looked for; "
    "explanations as the example of Auditor takes them; seconds of a pass of all that its last run did, reports "
    f"included, or {_ASSUMED:g} s where there is none.",
)
