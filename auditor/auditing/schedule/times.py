"""When checks are due: a line of cron in a time zone, and a seeded delay."""

from __future__ import annotations

import hashlib
import re
import socket
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from auditor.config.checks import ChecksConfig, to_seconds
from auditor.errors import ConfigError, ReportError

NEEDS = "a schedule needs croniter: `pip install 'auditor[schedule]'`"

_FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_DAYS = "sun|mon|tue|wed|thu|fri|sat"
_NAMED = {3: _MONTHS, 4: _DAYS}
"""Fields that may hold names, by their position."""


@dataclass(frozen=True)
class Times:
    """When something is due."""

    cron: str
    timezone: str
    jitter: float
    """Seconds; each time is put off by less than that ..."""
    seed: str
    """... by how much is drawn from this and from the time itself."""

    def next(self, after: datetime) -> datetime:
        """The first time, in UTC, that it is due after a moment.

        An hour that the clocks leave out does not lose what is due in it: that is due when they go on. One that they
        repeat repeats only what is due every hour.
        """
        from croniter import croniter

        zone, at = zoneinfo.ZoneInfo(self.timezone), after
        while True:
            local: datetime = croniter(self.cron, at.astimezone(zone)).get_next(datetime)
            at = local.astimezone(UTC)
            if not (local.fold and self.fields[1][0] != "*"):
                return at

    def delay(self, due: datetime) -> float:
        """Seconds by which a time is put off: the same whenever it is asked for."""
        text = f"{self.seed} {due.astimezone(UTC).isoformat()}"
        share = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:8]) / 2**64
        return self.jitter * share

    @property
    def fields(self) -> list[str]:
        return self.cron.split()

    @property
    def expanded(self) -> list[list[Any]]:
        """The values of each field, `*` for all of them; Sunday is 0."""
        from croniter import croniter

        values: list[list[Any]] = croniter.expand(self.cron)[0]
        return values


def read_times(config: ChecksConfig) -> Times:
    """When the schedule of a file of checks is due.

    Raises
    ------
    ConfigError
        It has none, or its line of cron is wrong or never due.
    ReportError
        croniter is missing.
    """
    if config.schedule is None:
        raise ConfigError(f'{config.file}: got no [schedule], wanted one, with cron = "0 3 * * 1" for example')
    try:
        from croniter import CroniterBadCronError, CroniterBadDateError
    except ImportError:
        raise ReportError(NEEDS) from None
    section = config.schedule
    path = ("schedule", "cron")
    fault = _fault_of(section.cron)
    if fault:
        raise config.fault(path, f"got {section.cron!r}, {fault}")
    cron = " ".join(section.cron.split())
    times = Times(cron, section.timezone, to_seconds(section.jitter), section.seed or socket.gethostname())
    try:
        times.next(datetime.now(UTC))
    except CroniterBadDateError:
        raise config.fault(
            path, f"got {section.cron!r}, which is never due; wanted a day that is in the calendar"
        ) from None
    except CroniterBadCronError as error:
        raise config.fault(path, f"got {section.cron!r}: {error}; wanted a line of cron") from None
    return times


def next_due(config: ChecksConfig) -> str | None:
    """When a file of checks is next due, to the second; None where it has no schedule, or croniter is missing.

    Raises
    ------
    ConfigError
        The schedule is wrong.
    """
    if config.schedule is None:
        return None
    try:
        return read_times(config).next(datetime.now(UTC)).isoformat(timespec="seconds")
    except ReportError:
        return None


def _fault_of(cron: str) -> str:
    """What is wrong with a line of cron; nothing that only some kinds of cron know is let through."""
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        return f"which has {len(fields)} fields; wanted 5: {', '.join(_FIELDS)}"
    for position, field in enumerate(fields):
        value = rf"(?:\d+|{_NAMED[position]})" if position in _NAMED else r"\d+"
        for item in field.lower().split(","):
            found = re.fullmatch(rf"(\*|{value}-{value})(/[1-9]\d*)?|{value}", item)
            low, _, high = ((found and found[1]) or "").partition("-")
            if low.isdigit() and high.isdigit() and int(low) > int(high):
                return f"whose {_FIELDS[position]} is {field!r}; wanted the lower one first"
            if found is None:
                return (
                    f"whose {_FIELDS[position]} is {field!r}; wanted numbers, ranges 1-5, steps */15 and lists of them"
                )
    days = fields[2], fields[4]
    if any(day.startswith("*/") for day in days) and "*" not in days:
        return "with a step in one of two kinds of day, which kinds of cron read in two ways; wanted a list of the days"
    return ""
