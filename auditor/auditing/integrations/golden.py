"""A golden run: an audit that was accepted by being committed beside the tests that compare with it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

from auditor.config.sections import GateConfig
from auditor.errors import ReportError
from auditor.measure.words import name_in_words
from auditor.run.files import ARRAYS, HASHES, RESULT, ROWS
from auditor.run.gate import judge_gate, make_gate, recorded_gate
from auditor.run.result import AuditResult
from auditor.run.ruling import question_of, say_verdict
from auditor.run.store import Run, SavedRun, save_run


def find_differences(run: Run, golden: SavedRun, today: date) -> list[str]:
    """What of a run is not as its golden run says: verdicts that are others, and demands that are broken, in lines.

    The demands are those of the configuration's gate; of one without, of the preset `watch`: what was accepted stays
    accepted, and what is clearly worse on the same images is told. Numbers that differ without meaning are not.
    """
    try:
        lines = list(_other_verdicts(golden.result, run.result))
    except ReportError as fault:
        return [f"  {fault}"]
    record = judge_gate(run, golden, recorded_gate(run.result) or make_gate(GateConfig(preset="watch")), today)
    for ruling in record.rulings if record.exit_code else []:
        if ruling.counts == "error":
            about = " → ".join(part for part in (ruling.artefact, ruling.target) if part)
            lines.append(f"  {' '.join(f'{name_in_words(ruling.demand)} {about}'.split())}: {ruling.sentence}")
    return lines


def write_golden(run: Run, folder: Path) -> None:
    """Write a golden run in place of the one that stands there; its pictures are left out, for nothing compares them.

    Raises
    ------
    ReportError
        The folder cannot be written, or holds something else.
    """
    if folder.exists():
        foreign = sorted({item.name for item in folder.iterdir()} - {RESULT, ROWS, ARRAYS, HASHES})
        if foreign:
            raise ReportError(f"{folder}: holds {foreign[0]!r}, which is no file of a run; wanted a folder of its own")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as beside:
            written = save_run(replace(run, arrays={}), Path(beside))
            if folder.exists():
                shutil.rmtree(folder)
            written.rename(folder)
    except OSError as fault:
        raise ReportError(f"{folder}: cannot be written: {fault.strerror or fault}") from None


def _other_verdicts(golden: AuditResult, now: AuditResult) -> Iterator[str]:
    old, new = ({question_of(finding): finding for finding in result.findings} for result in (golden, now))
    for question in dict.fromkeys([*old, *new]):
        was, now_is = (
            say_verdict(findings[question]) if question in findings else "not audited" for findings in (old, new)
        )
        if was != now_is:
            yield f"  {' → '.join(filter(None, question))}: was {was}, is {now_is}"
