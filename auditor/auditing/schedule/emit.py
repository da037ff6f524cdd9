"""A schedule for those who keep one already: cron, systemd or GitHub, as text; nothing is installed anywhere."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from auditor.auditing.schedule.times import Times
from auditor.config.checks import ChecksConfig, to_seconds
from auditor.errors import ConfigError

_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")

_SHORTEST = 5 * 60
"""Seconds between two runs at GitHub, at least."""


def emit(target: str, config: ChecksConfig, times: Times) -> dict[str, str]:
    """The files of a target of `TARGETS`, name -> text.

    Raises
    ------
    ConfigError
        The target cannot do what the schedule says.
    """
    folder = str(config.folder.resolve())
    if not (folder + config.file.name).isprintable():
        raise ConfigError(f"{config.file}: its path has signs that no {target} takes; wanted printable ones")
    return TARGETS[target](config, times)


def _emit_cron(config: ChecksConfig, times: Times) -> dict[str, str]:
    """A line for a crontab. In one, a `%` would end the command."""
    words = [*_auditor(), "check", config.file.name, "--if-changed", "--quiet"]
    command = f"cd {shlex.quote(str(config.folder.resolve()))} && {shlex.join(words)}".replace("%", r"\%")
    told = [
        "# Add these lines with `crontab -e`. cron mails what is printed: what changed, and what went wrong.",
        f"# The time is that of {times.timezone} for cronie, which heeds CRON_TZ; Debian's cron takes the machine's.",
    ]
    told += ["# cron knows no jitter: the runs begin on the minute."] if times.jitter else []
    return {"crontab": "\n".join([*told, f"CRON_TZ={times.timezone}", f"{times.cron} {command}"]) + "\n"}


def _emit_systemd(config: ChecksConfig, times: Times) -> dict[str, str]:
    """A service and its timer."""
    assert config.schedule is not None
    name = f"auditor-{re.sub(r'[^A-Za-z0-9]+', '-', config.file.stem).strip('-').lower() or 'checks'}"
    folder = str(config.folder.resolve())
    command = " ".join(_quote(word) for word in [*_auditor(), "check", config.file.name, "--if-changed"])
    service = [
        f"# {name}.service: with its timer into /etc/systemd/system, then: systemctl enable --now {name}.timer",
        "[Unit]",
        f"Description=Checks of {_escape(f'{folder}/{config.file.name}')}",
        "",
        "[Service]",
        "Type=oneshot",
        f"WorkingDirectory={_escape(folder)}",
        f"ExecStart={command}",
        f"TimeoutStartSec={to_seconds(config.schedule.limit):g}",
        "TimeoutStopSec=90",
        "KillMode=mixed",
    ]
    timer = [
        f"# {name}.timer: a run that the machine was off for is made up for when it is on again.",
        "[Unit]",
        f"Description=When {name}.service runs",
        "",
        "[Timer]",
        *(f"OnCalendar={line}" for line in to_calendar(times)),
        "Persistent=true",
        "AccuracySec=1s",
        *([f"RandomizedDelaySec={times.jitter:g}", "FixedRandomDelay=true"] if times.jitter else []),
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return {f"{name}.service": "\n".join(service) + "\n", f"{name}.timer": "\n".join(timer) + "\n"}


def _emit_github(config: ChecksConfig, times: Times) -> dict[str, str]:
    """A workflow: it keeps the runs from one time to the next, and shows what was found as alerts of code scanning."""
    due = [times.next(datetime.now(UTC))]
    for _ in range(60):  # more than an hour can hold of times that no other hour has
        due.append(times.next(due[-1]))
    if min((later - earlier).total_seconds() for earlier, later in pairwise(due)) < _SHORTEST:
        told = f"got {times.cron!r}, wanted 5 minutes or more between runs, as GitHub does"
        raise config.fault(("schedule", "cron"), told)
    on_schedule = {"cron": times.cron} | ({} if times.timezone == "UTC" else {"timezone": times.timezone})
    limit = max(1, round(to_seconds(config.schedule.limit) / 60)) if config.schedule else 360
    folder = config.folder.resolve()
    root = next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)
    file, reports = (os.path.relpath(folder / name, root) for name in (config.file.name, config.reports))
    if reports.startswith(".."):
        raise config.fault(("reports",), f"got {config.reports!r}, wanted a folder in the repository to be kept")
    cache = {"path": reports, "key": "auditor-${{ github.run_id }}-${{ github.run_attempt }}"}
    kept = {"name": "auditor", "path": f"auditor-found\n{reports}"}
    check = f"auditor check {shlex.quote(file)} --if-changed --export auditor-found"
    steps: list[dict[str, Any]] = [
        {"uses": "actions/checkout@v4"},
        {"uses": "actions/setup-python@v5", "with": {"python-version": "3.12"}},
        {"run": "pip install auditor"},
        {"uses": "actions/cache/restore@v4", "with": cache | {"restore-keys": "auditor-"}},
        {"run": check},
        {"if": "always()", "uses": "actions/cache/save@v4", "with": cache},
        {"if": "always()", "uses": "github/codeql-action/upload-sarif@v3", "with": {"sarif_file": "auditor-found"}},
        {"if": "always()", "uses": "actions/upload-artifact@v4", "with": kept},
    ]
    job = {
        "runs-on": "ubuntu-latest",
        "timeout-minutes": min(limit, 360),
        "permissions": {"contents": "read", "security-events": "write"},
        "steps": steps,
    }
    workflow = {
        "name": "Auditor",
        "on": {"schedule": [on_schedule], "workflow_dispatch": {}},
        "concurrency": {"group": "auditor"},
        "jobs": {"check": job},
    }
    return {"auditor.yml": "# .github/workflows/auditor.yml\n" + _to_yaml(workflow) + "\n"}


TARGETS: Mapping[str, Callable[[ChecksConfig, Times], dict[str, str]]] = {
    "cron": _emit_cron,
    "systemd": _emit_systemd,
    "github": _emit_github,
}


def to_calendar(times: Times) -> list[str]:
    """A line of cron as systemd's calendar events: two, where it is due on days of both kinds."""
    minutes, hours, days, months, weekdays = times.expanded
    names = "" if weekdays == ["*"] else ",".join(_DAYS[int(day)] for day in weekdays) + " "
    clock = f"{_list(hours)}:{_list(minutes)}:00 {times.timezone}"
    if names and days != ["*"]:
        return [f"{names}*-{_list(months)}-* {clock}", f"*-{_list(months)}-{_list(days)} {clock}"]
    return [f"{names}*-{_list(months)}-{_list(days)} {clock}"]


def _list(values: list[Any]) -> str:
    return ",".join("*" if value == "*" else f"{value:02d}" for value in values)


def _auditor() -> list[str]:
    """How the command is called from anywhere: as it is installed, or else as a module."""
    installed = Path(sys.executable).with_name("auditor")
    return [str(installed)] if installed.is_file() else [sys.executable, "-m", "auditor.cli"]


def _escape(text: str) -> str:
    return text.replace("%", "%%")


def _quote(word: str) -> str:
    """A word of systemd's command lines."""
    if re.fullmatch(r"[\w./@:+-]+", word):
        return word
    inner = word.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{_escape(inner)}"'


def _to_yaml(value: Any, indent: int = 0) -> str:
    """Nested dictionaries and lists of texts and numbers as YAML."""
    pad = "  " * indent
    lines = []
    if isinstance(value, dict):
        for key, inner in value.items():
            nested = isinstance(inner, (dict, list)) and inner
            shown = "\n" + _to_yaml(inner, indent + 1) if nested else f" {_scalar(inner)}"
            lines.append(f"{pad}{key}:{shown}")
    else:
        for inner in value:
            lines.append(f"{pad}- {_to_yaml(inner, indent + 1).lstrip()}")
    return "\n".join(lines)


def _scalar(value: Any) -> str:
    """A text in plain style where it cannot be taken for anything else; what JSON says is YAML, too."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_./@-]*( [A-Za-z0-9_./@-]+)*(\(\))?", value):
        return json.dumps(value) if value.lower() in ("true", "false", "null", "yes", "no", "on", "off") else value
    return json.dumps(value)
