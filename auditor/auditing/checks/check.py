"""All checks of a file, one after the other or at once: each is kept as soon as it is known, and none hurts another."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from auditor.auditing.checks.cell import Audit, Checked, check_cell
from auditor.auditing.checks.child import run_auditor
from auditor.auditing.checks.hashing import Hashes
from auditor.auditing.checks.judging import tell_idle_waivers
from auditor.auditing.checks.lock import hold
from auditor.auditing.checks.notify import notify
from auditor.config.checks import Cell, ChecksConfig
from auditor.config.options import suggest
from auditor.errors import ConfigError, ReportError
from auditor.report.checks_page import renew_checks_page
from auditor.report.index_page import renew_index
from auditor.run.checked import (
    CheckRecord,
    ChecksRecord,
    exit_code,
    read_record,
    record_file,
    refuse_newer,
    write_record,
)

Tell = Callable[[Checked], object]

One = Callable[[Cell, Audit], Checked]
"""Checks one cell, whose audit is run by the function that it is told."""

Each = Callable[[Iterable[Cell], One], Iterator[tuple[Cell, Checked]]]
"""Checks cells, one after the other or several at once, in whatever order; see `at_once`."""


@dataclass(frozen=True)
class Checking:
    """What became of the checks that were asked for."""

    checks: list[Checked]
    warnings: list[str]

    @property
    def exit_code(self) -> int:
        """The severest of theirs."""
        return exit_code([checked.record for checked in self.checks])


def run_checks(
    config: ChecksConfig,
    *,
    only: Collection[str] = (),
    if_changed: bool = False,
    read_all: bool = False,
    tell: Tell = lambda checked: None,
    due: str | None = None,
    audit: Audit = run_auditor,
    each: Each | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Checking:
    """Run the checks of a file.

    A check that was cut off is continued: what it had come to stands, where what it depends on is as it was.

    Parameters
    ----------
    only
        The names of those to run; all, where empty.
    if_changed
        Leave out those of which nothing changed that they depend on.
    read_all
        Read every file anew to tell whether it changed, whatever it looks like from outside.
    tell
        Called with each check as soon as it is known and kept.
    due
        When they are to run again.
    each
        Checks them in another order than one after the other.

    Raises
    ------
    ConfigError
        There is no check of a name in `only`.
    ReportError
        Another process runs these checks, or what becomes of them cannot be kept, or a newer version has kept it.
    """
    names = [cell.name for cell in config.cells]
    for name in only:
        if name not in names:
            raise ConfigError(f"--only {name}: no check of this name in {config.file}{suggest(name, names)}")
    reports = config.folder / config.reports
    file = record_file(reports, config.file)
    with hold(file.with_suffix(".lock")) as cut_off:
        warnings = tell_idle_waivers(config)
        refuse_newer(file)
        try:
            before = read_record(file)
        except ReportError as fault:
            before, warnings = None, [*warnings, f"{fault}; all is audited anew"]
        if cut_off is not None:
            warnings.append(
                f"the last check was cut off (process {cut_off.process}, begun {cut_off.since}): it goes on"
            )
        begun = now().isoformat(timespec="seconds")
        resumed = before.begun if before is not None and before.ended is None else None
        known = {} if before is None else {record.name: record for record in before.checks if record.name in names}
        written = os.path.relpath(config.file.resolve(), reports.resolve())
        record = ChecksRecord(written, resumed or begun, None, list(known.values()), due)
        write_record(file, record)
        hashes = Hashes(file.parent / "hashes.cache", left_out=reports, is_full=read_all)
        done: list[Checked] = []
        wanted = [cell for cell in config.cells if not only or cell.name in only]

        def one(cell: Cell, audit: Audit) -> Checked:
            last = known.get(cell.name)
            is_done = resumed is not None and last is not None and last.checked >= resumed
            return check_cell(cell, config, last, hashes, audit, may_skip=if_changed or is_done, now=now())

        for cell, checked in each(wanted, one) if each else ((cell, one(cell, audit)) for cell in wanted):
            known[cell.name] = checked.record
            done.append(checked)
            warnings += [f"{cell.name}: {told}" for told in checked.warnings]
            if checked.how != "unchanged":
                write_record(file, replace(record, checks=_ordered(known, names)))
            tell(checked)
        hashes.save()
        told, faults = notify(config, [known[name] for name in names if name in known], reports)
        known |= {each.name: each for each in told}
        if only and before is not None:  # when all began, and are due, is as it was: what they missed is made up for
            record = replace(record, begun=before.begun, next_due=before.next_due)
        ended = now().isoformat(timespec="seconds")
        write_record(file, replace(record, ended=ended, checks=_ordered(known, names)))
        if any(checked.how in ("audited", "judged anew") for checked in done):  # the gate stands in the run, too
            faults += renew_index(reports)
        warnings += [*faults, *renew_checks_page(reports, now())]
    return Checking(done, warnings)


def _ordered(known: dict[str, CheckRecord], names: list[str]) -> list[CheckRecord]:
    return [known[name] for name in names if name in known]
