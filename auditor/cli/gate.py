"""The commands that decide whether a run may pass, and what later runs are compared with."""

from __future__ import annotations

import getpass
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auditor.cli.terminal import EXIT_CODES, HERE, PLACE, plain, print_warnings, say
from auditor.errors import ConfigError
from auditor.run.files import REPORTS
from auditor.run.limits import limited
from auditor.stores.address import Place, Stored

if TYPE_CHECKING:
    from auditor.run.gate import Gate
    from auditor.run.ruling import GateRecord

ACCEPT_CODES = """\b
Exit codes:
  2  usage is wrong
  3  the run is damaged, not whole, or not as it was written; or the list cannot be read or written
  0  it is accepted"""


@click.command(epilog=ACCEPT_CODES)
@click.argument("run", type=PLACE, default="reports")
@click.option("--reason", default="", metavar="TEXT", help="Why it is accepted.")
@click.option("--by", default="", metavar="NAME", help="Who accepts it; else whoever is logged in.")
@click.option("--as", "name", default="", metavar="NAME", help="A name to find it by, instead of its model and data.")
@click.option("--list", "only_list", is_flag=True, help="List what was accepted in the folder RUN (reports).")
def accept(run: Place, reason: str, by: str, name: str, only_list: bool) -> None:
    """Accept a saved RUN: later runs of the same model and data are compared with it, and it is never cleared away."""
    from auditor.run.accepted import accept_run, find_changes, read_accepted
    from auditor.run.elsewhere import accept_stored_run, read_stored_acceptances

    if only_list:
        if isinstance(run, Path) and not run.is_dir():
            raise ConfigError(f"{run}: no such folder; wanted a folder of runs")
        acceptances = read_accepted(run) if isinstance(run, Path) else read_stored_acceptances(run)
        counts = {acceptance.key: number for number, acceptance in enumerate(acceptances)}
        for number, acceptance in enumerate(acceptances):
            state = "" if counts[acceptance.key] == number else " (until another was)"
            say(f"{acceptance.run}: {acceptance.key}{state}")
            say(f"  {acceptance.when[:10]}, {acceptance.by}: {acceptance.reason}")
            changed = find_changes(run, acceptance) if isinstance(run, Path) else []
            if changed:
                say(f"  changed or gone since: {', '.join(changed)}")
        if not acceptances:
            click.echo("nothing was accepted")
        return
    if isinstance(run, Stored):
        acceptance = accept_stored_run(run, reason, by or _whoever(), key=name)
    else:
        with limited(run):
            acceptance = accept_run(run, reason, by or _whoever(), key=name)
    say(f"accepted: {acceptance.run} for {acceptance.key}")
    click.echo(f"sha256: {acceptance.digest}")


@click.command(epilog=EXIT_CODES)
@click.argument("run", type=PLACE, required=False)
@click.option("--config", type=HERE, help="An audit.toml with another [gate] or [[waivers]].")
@click.option("--keep", is_flag=True, help="Put what it says into the run, and write its reports again.")
@click.option("--json", "as_json", is_flag=True, help="Print everything that it says, for programs.")
@click.option("--preset", metavar="NAME", help="Only print the demands of a preset: strict, release, watch, verdicts.")
def gate(run: Place | None, config: Path | None, keep: bool, as_json: bool, preset: str | None) -> int:
    """Judge a saved RUN as of today by the [gate] that it was audited with, or by that of another configuration."""
    if preset is not None:
        from auditor.config.gate import PRESETS, write_preset
        from auditor.config.options import suggest

        if preset not in PRESETS:
            raise ConfigError(f"--preset: unknown {preset!r}{suggest(preset, list(PRESETS))}")
        click.echo(write_preset(preset), nl=False)
        return 0
    if run is None:
        raise click.UsageError("wanted RUN, the folder of a saved run, or --preset NAME")
    from auditor.report.index_page import renew_index
    from auditor.report.write import write_report
    from auditor.run.accepted import key_of
    from auditor.run.elsewhere import bring_accepted, on_disk
    from auditor.run.gate import judge_run, keep_gate, recorded_gate
    from auditor.run.store import SavedRun

    with on_disk(run, sends=keep) as folder, limited(folder):
        saved = SavedRun(folder)
        asked = recorded_gate(saved.result) if config is None else _configured_gate(config)
        if asked is None:
            raise ConfigError(f"{run}: was audited without [gate]; wanted --config FILE with one")
        reports = folder.absolute().parent
        if isinstance(run, Stored) and asked.compares:
            reports = bring_accepted(run.parent, asked.accepted or key_of(saved.result))
        record = judge_run(saved, reports, asked, datetime.now(UTC).date())
        if keep:
            keep_gate(folder, record)
            written = [name for name, file in REPORTS.items() if (folder / file).is_file()]
            print_warnings(write_report(folder, written) if written else [])
    if keep:  # the result has another size
        print_warnings(renew_index(run.absolute().parent if isinstance(run, Path) else run.parent))
    if as_json:
        click.echo(json.dumps(asdict(record), indent=2))
    else:
        print_gate(record)
    return record.exit_code


GATE_COMMANDS = (accept, gate)


def print_gate(record: GateRecord) -> None:
    """What the gate says, its reasons first."""
    compared = f", compared with {record.accepted}" if record.accepted else ""
    say(f"gate: {record.state} (preset {record.preset}{compared})")
    for ruling in record.rulings:
        about = f" {ruling.artefact}" if ruling.artefact else ""
        about += f" -> {ruling.target}" if ruling.target else ""
        say(f"  {'waived' if ruling.is_waived else ruling.counts}: {ruling.demand}{about}: {plain(ruling.sentence)}")


def _configured_gate(config: Path) -> Gate:
    from auditor.artefacts.kinds import ARTEFACT_KINDS
    from auditor.config.file import read_config
    from auditor.explain.table import METHODS
    from auditor.run.gate import read_gate

    gate = read_gate(read_config(config, kinds=ARTEFACT_KINDS, methods=METHODS))
    if gate is None:
        raise ConfigError(f"{config}: gate: missing; wanted [gate] or [[waivers]]")
    return gate


def _whoever() -> str:
    """Who is logged in; nobody's name in a container that knows none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""
