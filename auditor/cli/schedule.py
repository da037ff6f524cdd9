"""`auditor schedule`: checks that run themselves, in the foreground or by what runs things already."""

from __future__ import annotations

import sys
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auditor.cli.terminal import HERE, plain
from auditor.errors import ConfigError

if TYPE_CHECKING:
    from auditor.auditing.checks.child import Ending
    from auditor.config.checks import ChecksConfig

RUN_CODES = """\b
Exit codes:
  2  usage, or a file of checks, is wrong
  3  it was ended while checks ran: what they had come to is kept
  0  it was ended while it waited"""


@click.group()
def schedule() -> None:
    """Run checks when their [schedule] says."""


@schedule.command(epilog=RUN_CODES)
@click.argument("checks", type=HERE, nargs=-1)
def run(checks: tuple[Path, ...]) -> int:
    """Run each of CHECKS (checks.toml) whenever it is due, until ended by Ctrl-C or SIGTERM."""
    from auditor.auditing.schedule.run import Job, SystemClock, run_jobs
    from auditor.auditing.schedule.times import read_times
    from auditor.config.checks import read_checks

    jobs: list[Job] = []
    running: list[ChecksConfig] = []
    for file in checks or (Path("checks.toml"),):
        config = read_checks(file)
        jobs.append(Job(str(file), read_times(config), partial(_start, config, running), _last(config)))
    try:
        run_jobs(jobs, SystemClock(), _say)
    except KeyboardInterrupt:  # by SIGTERM, too
        if running:
            _say(f"ended while {running[0].file} ran: the checks that were done are kept, and the next run goes on")
            return 3
        _say("ended while it waited")
    return 0


@schedule.command()
@click.argument("checks", type=HERE, default="checks.toml")
@click.option("--target", type=click.Choice(["cron", "systemd", "github"]), required=True)
@click.option("--output", type=HERE, metavar="FOLDER", help="Write files; else they are printed.")
def emit(checks: Path, target: str, output: Path | None) -> None:
    """Print the [schedule] of CHECKS (checks.toml) for cron, systemd or GitHub; nothing is installed."""
    from auditor.auditing.schedule.emit import emit as emit_files
    from auditor.auditing.schedule.times import read_times
    from auditor.config.checks import read_checks
    from auditor.run.files import write_files

    config = read_checks(checks)
    files = emit_files(target, config, read_times(config))
    if output is None:
        click.echo("\n".join(files.values()), nl=False)
        return
    if not output.is_dir():
        raise ConfigError(f"--output: {output}: no such folder")
    write_files({output / name: text.encode() for name, text in files.items()})
    for name in files:
        click.echo(f"{name}: {output / name}")


def _start(config: ChecksConfig, running: list[ChecksConfig]) -> Ending:
    """Run the checks of a file in a process of its own."""
    from auditor.auditing.checks.child import GRACE, run_auditor
    from auditor.config.checks import to_seconds

    assert config.schedule is not None
    running.append(config)
    words = ["check", config.file.name, "--if-changed"]
    # what the process has started has the same time to end, before it
    ending = run_auditor(words, config.folder, to_seconds(config.schedule.limit), is_heard=False, grace=2 * GRACE)
    running.clear()
    return ending


def _last(config: ChecksConfig) -> datetime | None:
    """When the checks last began, as it was kept."""
    from auditor.errors import ReportError
    from auditor.run.checked import read_record, record_file
    from auditor.run.index import moment

    try:
        record = read_record(record_file(config.folder / config.reports, config.file))
    except ReportError:
        return None
    return None if record is None else moment(record.begun)


def _say(text: str) -> None:
    click.echo(plain(text))
    sys.stdout.flush()
