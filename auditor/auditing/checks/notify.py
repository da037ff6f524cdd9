"""Telling people: a command is given Markdown when the state of a check is another than was last told."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from auditor.config.checks import ChecksConfig
from auditor.report.exports.markdown import code, escape
from auditor.run.checked import CheckRecord

_PATIENCE = 60.0
"""Seconds that the command may take."""


def notify(config: ChecksConfig, records: Sequence[CheckRecord], reports: Path) -> tuple[list[CheckRecord], list[str]]:
    """Tell of what changed, if anything did: the records as they are then, and what went wrong.

    Where the command fails, the change counts as untold, and is told of the next time.
    """
    changed = [record for record in records if record.state != record.told]
    told = [replace(record, told=record.state) for record in records]
    if not (config.notify and changed):
        return told, []
    title = f"{config.file.name}: {len(changed)} changed of {count_states(records)}"
    try:
        with tempfile.TemporaryFile() as heard:  # a pipe would wait for whatever the command leaves running
            done = subprocess.run(
                shlex.split(config.notify),
                input=write_message(title, changed, reports).encode("utf-8", "replace"),
                cwd=config.folder,
                stdout=subprocess.DEVNULL,
                stderr=heard,
                timeout=_PATIENCE,
                check=False,
            )
            heard.seek(0)
            said = heard.read().decode("utf-8", "replace").strip().splitlines()[-1:]
    except (OSError, ValueError, subprocess.TimeoutExpired) as fault:
        late = isinstance(fault, subprocess.TimeoutExpired)
        why = f"it took longer than {_PATIENCE:g} seconds" if late else getattr(fault, "strerror", None) or str(fault)
        return list(records), [f"notify: {config.notify}: {why}; nobody was told"]
    if done.returncode:
        last = f": {said[0]}" if said else ""
        return list(records), [f"notify: {config.notify}: ended with code {done.returncode}{last}; nobody was told"]
    return told, []


def write_message(title: str, records: Sequence[CheckRecord], reports: Path) -> str:
    """Markdown: the state of each check, which it was before where that was another, since when, and why."""
    lines = [f"# {escape(title)}", "", "| check | state | since | why | run |", "| --- | --- | --- | --- | --- |"]
    for record in records:
        was = f", was {record.told}" if record.told != record.state else ""
        run = code(str(reports / record.run), in_table=True) if record.run else "none"
        cells = [escape(record.name), f"**{record.state}**{was}", record.since[:10], escape(record.reason), run]
        lines.append(f"| {' | '.join(cells)} |")
    waived = [f"- {escape(record.name)}: {escape(sentence)}" for record in records for sentence in record.waived]
    return "\n".join([*lines, *(["", "Waived:", "", *waived] if waived else [])]) + "\n"


def count_states(records: Sequence[CheckRecord]) -> str:
    """`12 checks: 10 pass, 1 open, 1 fail`."""
    states = [record.state for record in records]
    counts = [f"{states.count(state)} {state}" for state in ("wrong", "broken", "fail", "open", "warn", "pass")
              if state in states]  # fmt: skip
    return f"{len(records)} check{'' if len(records) == 1 else 's'}: {', '.join(counts)}"
