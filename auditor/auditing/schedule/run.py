"""A schedule in the foreground: it waits, runs what is due, and outlives whatever comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from auditor.auditing.checks.child import Ending
from auditor.auditing.schedule.times import Times

_SLICE = 30.0
"""Seconds after which the clock is looked at again: it may have been set, or the machine have slept."""

_SET_BACK = timedelta(minutes=1)
"""A clock that shows so much less than before was set."""


class Clock(Protocol):
    """What a schedule knows of time."""

    def now(self) -> datetime:
        """The time that the clock shows, in UTC."""

    def wait(self, seconds: float) -> None:
        """Let so much time pass."""


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass(frozen=True)
class Job:
    """Something that is run when it is due."""

    name: str
    times: Times
    start: Callable[[], Ending]
    last: datetime | None = None
    """When it was last run; what was due since is run at once."""


@dataclass(frozen=True)
class _Waiting:
    job: Job
    due: datetime

    @property
    def begin(self) -> datetime:
        return self.due + timedelta(seconds=self.job.times.delay(self.due))


def run_jobs(jobs: Sequence[Job], clock: Clock, say: Callable[[str], object]) -> None:
    """Run jobs whenever they are due, one at a time, until interrupted.

    What became due several times while the machine slept, or while something else ran, is run once. Where the clock was
    set back, what comes next is found anew, and what was due already stays due: to run something twice is better than
    not to run it.
    """
    seen = clock.now()
    waiting = [_first(job, seen) for job in jobs]
    for each in waiting:
        say(_announce(each))
    while True:
        now = clock.now()
        if now < seen - _SET_BACK:
            say(f"the clock was set back by {_round(seen - now)}: what is due is found anew")
            waiting = [replace(each, due=min(each.due, each.job.times.next(now))) for each in waiting]
        seen = now
        each = min(waiting, key=lambda one: one.begin)
        if each.begin > now:
            clock.wait(min(_SLICE, (each.begin - now).total_seconds()))
            continue
        missed = _count(each, now) - 1
        late = f", and {missed} more since, which this run makes up for" if missed else ""
        say(f"{each.job.name}: due {_write(each.due)}{late}: begun {_write(now)}")
        try:
            ending = each.job.start()
            told = "its time was up" if ending.is_late else f"code {ending.code}"
        except OSError as fault:  # as where no process can be started
            told = f"it could not be run: {fault.strerror or fault}"
        following = _Waiting(each.job, each.job.times.next(max(clock.now(), each.due)))
        waiting[waiting.index(each)] = following
        say(f"{each.job.name}: ended: {told}; {_announce(following).partition(': ')[2]}")


def _first(job: Job, now: datetime) -> _Waiting:
    """What is first due of a job: what was missed while nothing ran, else what is next."""
    if job.last is not None and job.last <= now:
        missed = job.times.next(job.last)
        if missed <= now:
            return _Waiting(job, missed)
    return _Waiting(job, job.times.next(now))


def _count(waiting: _Waiting, now: datetime) -> int:
    """How often something was due until now, up to a thousand times."""
    due, count = waiting.due, 0
    while due <= now and count < 1000:
        due, count = waiting.job.times.next(due), count + 1
    return count


def _announce(waiting: _Waiting) -> str:
    delay = waiting.begin - waiting.due
    put_off = f", put off by {_round(delay)}" if delay >= timedelta(seconds=1) else ""
    return f"{waiting.job.name}: next due {_write(waiting.due)}{put_off}"


def _write(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _round(span: timedelta) -> str:
    return str(timedelta(seconds=round(span.total_seconds())))
