"""The commands on saved runs: they need no TensorFlow and no model."""

from __future__ import annotations

import json
import math
import sys
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auditor.cli.terminal import HERE, PLACE, only_here, plain, print_reports, print_warnings, say
from auditor.errors import ConfigError
from auditor.run.files import REPORTS
from auditor.run.limits import limited
from auditor.stores.address import Place
from auditor.stores.store import is_file, write

if TYPE_CHECKING:
    from auditor.run.index import Listing

COMPARE_CODES = """\b
Exit codes, the highest that applies:
  2  usage is wrong
  3  a run cannot be read, or the page not be written
  1  worse: an artefact is newly relied on, or more than before, in all images or in a part
  4  open: an artefact was decided on before and is not now
  0  neither"""

VERIFY_CODES = """\b
Exit codes, the highest that applies:
  2  usage is wrong
  3  the run cannot be read, or has no hashes.json
  1  a file is missing or differs, or the evidence gives another report
  4  nothing differs, but something could not be compared
  0  all is as it was written"""

DOCTOR_CODES = """\b
Exit codes, the highest that applies:
  2  usage is wrong
  3  the folder cannot be read, or not be repaired
  1  damage: evidence of a run is missing, changed or cannot be read
  4  a loose end: something is left over, half done or not recorded
  0  all is in order"""

_FOLDER = click.argument("folder", type=PLACE, default="reports")
_RUN = click.argument("run", type=PLACE)
_TEMPLATES = click.option(
    "--templates",
    type=HERE,
    metavar="FOLDER",
    help="Templates of your own; else those that the report was drawn with.",
)


@click.command()
@_RUN
@click.option(
    "--format",
    "formats",
    type=click.Choice(list(REPORTS)),
    multiple=True,
    help="Only this; may be given several times.",
)
@click.option(
    "--pictures",
    type=click.Choice(["all", "thumbnails", "none"]),
    help="How much the page shows of the audited images, instead of report.pictures.",
)
@_TEMPLATES
@click.option("--no-templates", is_flag=True, help="The built-in templates, whatever drew the report before.")
def render(
    run: Place, formats: tuple[str, ...], pictures: str | None, templates: Path | None, no_templates: bool
) -> None:
    """Write the report of a saved RUN again; needs no TensorFlow and no model."""
    from auditor.report.index_page import renew_index
    from auditor.report.templates import BUILT_IN, read_own_templates
    from auditor.report.write import write_report
    from auditor.run.elsewhere import on_disk

    if templates is not None and no_templates:
        raise click.UsageError("wanted --templates FOLDER or --no-templates, got both")
    wanted = formats or ("html", "pdf")
    with on_disk(run, sends=True) as folder, limited(folder, *([] if templates is None else [templates])):
        own = BUILT_IN if no_templates else None if templates is None else read_own_templates(templates)
        warnings = write_report(folder, wanted, pictures, own)  # type: ignore[arg-type]
    reports = run.absolute().parent if isinstance(run, Path) else run.parent
    index = reports / "index.jsonl"
    if index.is_file() if isinstance(index, Path) else is_file(index):  # else it lies in no folder of runs
        warnings += renew_index(reports)
    print_warnings(warnings)
    print_reports(folder, [REPORTS[name] for name in wanted])


@click.command()
@_RUN
@click.option(
    "--format", "name", required=True, type=click.Choice(["junit", "sarif", "markdown", "csv", "parquet"]),
    help="csv and parquet hold the rows behind the numbers, the others the findings.",
)  # fmt: skip
@click.option("--output", type=PLACE, help="A file, here or on a store, or - to print; else beside the report.")
@click.option("--location", default="", metavar="PATH", help="SARIF: the configuration's path from the repository.")
@click.option("--only-problems", is_flag=True, help="SARIF: leave out findings that are no failures.")
def export(run: Place, name: str, output: Place | None, location: str, only_problems: bool) -> None:
    """Write a saved RUN in the format of another tool; needs no TensorFlow and no model."""
    if name != "sarif" and (location or only_problems):
        option = "--location" if location else "--only-problems"
        raise ConfigError(f"{option}: got --format {name}, wanted --format sarif")
    from auditor.report.exports.formats import export as export_run
    from auditor.report.exports.sarif import write_sarif
    from auditor.report.presentable import present
    from auditor.run.elsewhere import on_disk
    from auditor.run.files import FORMATS, write_files
    from auditor.run.store import SavedRun

    file = output or run / FORMATS[name]
    if name == "parquet" and output is None:
        raise ConfigError(f"--output: missing; {file} is there already, wanted another file")
    with on_disk(run) as folder, limited(folder):
        saved = SavedRun(folder)
        if name == "sarif":
            shown = present(saved.result, saved.arrays).result
            data = write_sarif(saved.result, shown, location=location, only_problems=only_problems)
        else:
            data = export_run(saved, name)
    if str(file) == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        return
    if isinstance(file, Path):
        if not file.parent.is_dir():
            raise ConfigError(f"--output: {file.parent}: no such folder")
        write_files({file: data})
    else:
        write(file, data)
    click.echo(f"{name}: {file}")


@click.command("list")
@_FOLDER
@click.option("--json", "as_json", is_flag=True, help="Print everything that index.jsonl holds of the runs.")
def list_runs(folder: Place, as_json: bool) -> None:
    """List the runs in FOLDER (reports), newest first; writes nothing."""
    from dataclasses import asdict

    with _limited_to(folder):
        listing = _read_runs(folder)
        if as_json:
            click.echo(json.dumps([asdict(entry) for entry in listing.entries], indent=2))
        else:
            _print_table(listing)
    print_warnings(listing.faults)


@click.command()
@_FOLDER
def index(folder: Place) -> None:
    """Make the page over all runs in FOLDER (reports) anew, as every audit does."""
    from auditor.report.index_page import INDEX_PAGE, refresh_index

    with _limited_to(folder):
        faults = refresh_index(folder).faults
    print_warnings(faults)
    click.echo(f"{INDEX_PAGE}: {folder / INDEX_PAGE}")


@click.command(epilog=COMPARE_CODES)
@click.argument("before", type=PLACE)
@click.argument("after", type=PLACE)
@click.option("--output", type=PLACE, help="Write the comparison, with maps, as an HTML page.")
@click.option(
    "--pictures",
    type=click.Choice(["all", "thumbnails", "none"]),
    help="How much the page shows of the audited images, instead of what both runs' report.pictures allow.",
)
def compare(before: Place, after: Place, output: Place | None, pictures: str | None) -> int:
    """Compare two saved runs, image by image: did the mending work, did another shortcut grow, what else differs."""
    from auditor.report.comparison import describe_effect, list_differences, render_comparison
    from auditor.report.index_page import shorten
    from auditor.run.compare import compare_results, exit_code, pair_runs, summarise
    from auditor.run.elsewhere import on_disk
    from auditor.run.files import write_files
    from auditor.run.metrics import say_change
    from auditor.run.store import SavedRun

    page_file = None if output is None else only_here(output, "the page of a comparison is no part of a run")
    with on_disk(before) as old, on_disk(after) as new, limited(old, new):
        runs = SavedRun(old), SavedRun(new)
        results, pairing = (runs[0].result, runs[1].result), pair_runs(*runs)
        if page_file is not None:
            names, arrays = (old.absolute().name, new.absolute().name), (runs[0].arrays, runs[1].arrays)
            page = render_comparison(names, results, arrays, pictures, pairing)  # type: ignore[arg-type]
            if not page_file.parent.is_dir():
                raise ConfigError(f"--output: {page_file.parent}: no such folder")
            write_files({page_file: page.encode()})
        changes, differences = compare_results(*results, pairing), list_differences(*results)
    for sentence in summarise(changes):
        click.echo(plain(sentence))
    for change in changes:
        click.echo(f"{plain(change.artefact)} -> {plain(change.target)}: {change.course} ({plain(change.reason)})")
        for side, finding in (("before", change.before), ("after", change.after)):
            if finding is not None:
                click.echo(f"  {side}: {finding.told}, {describe_effect(finding)}")
        for part in change.parts:
            click.echo(
                f"  where {plain(part.part)}: {part.course} (its effect {say_change(part.effect, 'grew', 'shrank')})"
            )
    if not changes:
        click.echo("neither run names an artefact")
    for name, was, is_now in differences:
        click.echo(f"{plain(name)}: {plain(shorten(was))} -> {plain(shorten(is_now))}")
    if page_file is not None:
        click.echo(f"page: {page_file}")
    return exit_code(changes)


@click.command(epilog=VERIFY_CODES)
@_RUN
@_TEMPLATES
def verify(run: Place, templates: Path | None) -> int:
    """Check that a saved RUN is as it was written: its files by their hashes, its report by drawing it again."""
    from auditor.report.verify import exit_code, verify_run
    from auditor.run.elsewhere import on_disk

    with on_disk(run, is_whole=True) as folder, limited(folder, *([] if templates is None else [templates])):
        checks = verify_run(folder, templates)
    for check in checks:
        click.echo(f"{check.what}: {check.state}{f' ({check.reason})' if check.reason else ''}")
    return exit_code(checks)


@click.command(epilog=DOCTOR_CODES)
@_FOLDER
@click.option("--repair", "with_repair", is_flag=True, help="Sweep leftovers and make the index anew; nothing else.")
def doctor(folder: Place, with_repair: bool) -> int:
    """Check everything in FOLDER (reports): each run by its hashes, leftovers, the index, accepted runs."""
    from auditor.report.doctor import examine, exit_code, repair

    folder = only_here(folder, "the doctor looks after a folder of files, and on a store `auditor verify RUN` does")
    with limited(_existing(folder), is_endless=True):
        for path in repair(folder) if with_repair else []:
            say(f"swept: {path}")
        troubles = []
        for trouble in examine(folder):
            say(str(trouble))
            troubles.append(trouble)
    if not troubles:
        click.echo(f"{folder}: all is in order")
    return exit_code(troubles)


@click.command()
@_FOLDER
@click.option("--keep", type=click.IntRange(min=0), metavar="N", help="Keep the N newest runs.")
@click.option("--older-than", type=click.FloatRange(0, 1e6), metavar="DAYS", help="Keep what is not older than this.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def prune(folder: Place, keep: int | None, older_than: float | None, dry_run: bool, yes: bool) -> None:
    """Remove old runs from FOLDER (reports). With both rules, a run that either keeps is kept."""
    from auditor.report.index_page import refresh_index
    from auditor.run.prune import plan_removal, remove_runs

    if older_than is not None and math.isnan(older_than):
        raise click.UsageError("--older-than: got nan, wanted a number of days")
    if keep is None and older_than is None:
        raise click.UsageError("wanted --keep N, --older-than DAYS, or both")
    with _limited_to(folder):
        listing = _read_runs(folder)
    plan = plan_removal(folder, listing, keep=keep, older_than=older_than, now=datetime.now(UTC))
    print_warnings(f"kept: {reason}" for reason in [*listing.faults, *plan.spared])
    for entry in plan.remove:
        click.echo(f"{'would remove' if dry_run else 'to remove'}: {folder / entry.id} ({plain(entry.title)})")
    if not plan.remove:
        click.echo("nothing to remove")
    if dry_run or not plan.remove:
        return
    if not yes:
        try:
            click.confirm(f"Remove {len(plan.remove)} of {len(listing.entries)} runs for good?", abort=True)
        except click.Abort as fault:
            if isinstance(fault.__context__, EOFError):
                click.echo()
                raise ConfigError("--yes: missing, and nobody is there to answer; nothing was removed") from None
            raise
    try:
        remove_runs(folder, plan.remove)
    finally:
        refresh_index(folder)
    click.echo(f"removed: {len(plan.remove)} of {len(listing.entries)} runs")


@click.command()
@_FOLDER
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; another needs --token.")
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free one.")
@click.option("--token", "with_token", is_flag=True, help="Ask for a random token, which the printed address holds.")
@click.option("--no-open", is_flag=True, help="Do not open the browser.")
def browse(folder: Place, host: str, port: int, with_token: bool, no_open: bool) -> None:
    """Show the runs in FOLDER (reports) in the browser, until interrupted."""
    import secrets
    import webbrowser

    from auditor.report.browse import allowed_hosts, is_loopback, make_app, open_socket, serve
    from auditor.run.index import read_runs

    folder = only_here(folder, "the browser is shown a folder of files, and the page over all runs on a store is there")
    if not is_loopback(host) and not with_token:
        raise ConfigError(f"--host {host}: others could read the runs there; wanted --token as well, or 127.0.0.1")
    with limited(_existing(folder)):
        faults = read_runs(folder).faults
    print_warnings(faults)
    token = secrets.token_urlsafe(24) if with_token else None
    with open_socket(host, port) as listening:
        port = listening.getsockname()[1]
        app = make_app(folder, hosts=allowed_hosts(host, port), token=token)
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}/{f'?token={token}' if token else ''}"
        click.echo(f"runs: {address}  (Ctrl-C ends)")
        if not no_open:
            webbrowser.open(address)
        with limited(folder, is_endless=True):
            serve(app, listening)


RUN_COMMANDS = (render, export, list_runs, index, compare, verify, doctor, prune, browse)


def _read_runs(folder: Place) -> Listing:
    from auditor.run.elsewhere import read_stored_runs
    from auditor.run.index import read_runs

    return read_runs(folder) if isinstance(folder, Path) else read_stored_runs(folder)


def _limited_to(folder: Place) -> AbstractContextManager[None]:
    """The limits for a folder of runs; what comes from a store is bounded by the store."""
    return limited(_existing(folder)) if isinstance(folder, Path) else nullcontext()


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder; wanted a folder of runs")
    return folder


def _print_table(listing: Listing) -> None:
    """A table as wide as the terminal; whole where there is none."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from auditor.report.index_page import shorten
    from auditor.report.trends import say_outcome, say_target

    if not listing.entries:
        click.echo("no runs")
        return
    table = Table("run", "started", "title", "model", "data", "found", box=None, pad_edge=False)
    for entry in listing.entries:
        found = [
            f"{outcome.told}: {shorten(outcome.artefact, 40)} -> {shorten(say_target(outcome), 40)} "
            f"{say_outcome(outcome)}"
            for outcome in entry.outcomes
        ]
        cells = [entry.id, entry.started[:16].replace("T", " "), shorten(entry.title, 50), shorten(entry.model, 40),
                 shorten(entry.data, 40)]  # fmt: skip
        table.add_row(*(Text(plain(cell)) for cell in cells), Text("\n".join(plain(line) for line in found)))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 400
    console.print(table)
