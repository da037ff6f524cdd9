"""`auditor check`: the audits of a file of checks, one after the other or at once, needing nobody to look on."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auditor.cli.terminal import HERE, plain, print_warnings, say
from auditor.errors import AuditError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from auditor.auditing.checks.cell import Checked
    from auditor.auditing.checks.check import Each
    from auditor.auditing.checks.child import Ending
    from auditor.auditing.checks.forecast import Forecast
    from auditor.config.checks import ChecksConfig

CHECK_CODES = """\b
Exit codes, the first that applies to one of the checks:
  2  usage, the file of checks, or the configuration of an audit is wrong
  3  an audit could not be completed, the checks run already, or nothing can be kept
  1  an artefact is relied on, or a demand of the gate is broken
  4  nothing could be decided
  0  all pass, with warnings or without
A check that is left out for nothing changed counts as what it was."""


@click.command(epilog=CHECK_CODES)
@click.argument("checks", type=HERE, default="checks.toml")
@click.option("--only", metavar="NAME", multiple=True, help="Only this check; may be given several times.")
@click.option("--if-changed", is_flag=True, help="Leave out checks of which nothing changed that they depend on.")
@click.option("--read-all", is_flag=True, help="With --if-changed: read every file, also where size and times are old.")
@click.option("--quiet", is_flag=True, help="Print only checks that are in another state than before.")
@click.option("--json", "as_json", is_flag=True, help="Print what became of the checks as JSON.")
@click.option(
    "--engine", type=click.Choice(["local", "ray"]), help="Where the audits run, instead of execution.engine."
)
@click.option("--plan", is_flag=True, help="Print what the audits would cost, and run none of them.")
@click.option("--export", type=HERE, metavar="FOLDER", help="Write JUnit, SARIF and Markdown there.")
def check(
    checks: Path,
    only: tuple[str, ...],
    if_changed: bool,
    read_all: bool,
    quiet: bool,
    as_json: bool,
    engine: str | None,
    plan: bool,
    export: Path | None,
) -> int:
    """Run the audits that CHECKS (checks.toml) names, compare each with its accepted run, and gate it."""
    from auditor.auditing.checks.check import run_checks
    from auditor.auditing.checks.child import run_auditor
    from auditor.auditing.checks.notify import count_states
    from auditor.auditing.schedule.times import next_due
    from auditor.config.checks import read_checks
    from auditor.config.sections import ExecutionConfig

    config = read_checks(checks)
    if engine is not None and engine != config.execution.engine:
        config = config.model_copy(update={"execution": ExecutionConfig.model_validate({"engine": engine})})
    if plan:
        _print_plan(config, only)
        return 0
    names = [cell.name for cell in config.cells if not only or cell.name in only]
    done: list[Checked] = []

    def tell(checked: Checked) -> None:
        done.append(checked)
        if not as_json and (not quiet or checked.is_new):
            _print_line(checked)

    def audit(words: list[str], folder: Path, limit: float) -> Ending:
        if not quiet and sys.stderr.isatty():  # who looks on sees what takes so long
            say(f"{names[len(done)]}: is being audited ({len(done) + 1} of {len(names)})", err=True)
        return run_auditor(words, folder, limit)

    due = next_due(config)
    try:
        with _spread(config) as each:
            checking = run_checks(
                config, only=only, if_changed=if_changed, read_all=read_all, tell=tell, due=due, audit=audit, each=each
            )
    except KeyboardInterrupt:
        kept = f"{len(done)} of {len(names)} checks are done and kept"
        raise AuditError(f"interrupted: {kept}; `auditor check {checks}` goes on with the rest") from None
    if as_json:
        told = [asdict(checked.record) | {"how": checked.how, "note": checked.note} for checked in checking.checks]
        click.echo(json.dumps({"exit_code": checking.exit_code, "checks": told}, indent=2))
    elif not quiet:
        click.echo(count_states([checked.record for checked in checking.checks]))
    print_warnings(checking.warnings)
    if export is not None:
        from auditor.auditing.checks.export import export_checks

        export_checks(config, [checked.record for checked in checking.checks], export)
    return checking.exit_code


def _spread(config: ChecksConfig) -> AbstractContextManager[Each | None]:
    """What checks several at once, where the configuration asks for that."""
    if config.execution.engine == "local":
        return nullcontext()
    from auditor.auditing.checks.spread import on_cluster

    return on_cluster(config, {each.name: float(each.passes) for each in _forecasts(config, ())})


def _forecasts(config: ChecksConfig, only: tuple[str, ...]) -> list[Forecast]:
    from auditor.auditing.checks.forecast import forecast
    from auditor.run.checked import read_record, record_file

    reports = config.folder / config.reports
    try:
        record = read_record(record_file(reports, config.file))
    except AuditError:
        record = None
    known = {} if record is None else {each.name: each for each in record.checks}
    return [forecast(cell, reports, known.get(cell.name)) for cell in config.cells if not only or cell.name in only]


def _print_plan(config: ChecksConfig, only: tuple[str, ...]) -> None:
    from auditor.auditing.checks.forecast import tell_forecasts

    for line in tell_forecasts(_forecasts(config, only), config.execution.workers or 1):
        say(line)


def _print_line(checked: Checked) -> None:
    record, how = checked.record, checked.how
    note = f" ({checked.note})" if checked.note else ""
    run = f" [{record.run}]" if record.run else ""
    reason = " ".join(record.reason.split())
    click.echo(plain(f"{record.name}: {record.state}, {how}{note}: {reason}{run}"))
