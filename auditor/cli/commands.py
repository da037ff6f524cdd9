"""The command line: parse, call, print. Commands import what they need, so that `--help` is instant."""

from __future__ import annotations

import gc
import json
import math
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auditor.cli.check import check
from auditor.cli.gate import GATE_COMMANDS, print_gate
from auditor.cli.lab import lab
from auditor.cli.runs import RUN_COMMANDS
from auditor.cli.schedule import schedule
from auditor.cli.suspect import suspect
from auditor.cli.terminal import (
    EXIT_CODES,
    HERE,
    PLACE,
    can_ask,
    outlive_readers,
    print_reports,
    print_warnings,
    quiet_tensorflow,
    say,
    show_progress,
    stoppable,
)
from auditor.errors import AuditError, ConfigError, EngineLostError
from auditor.run.files import refuse_unwritable
from auditor.stores.address import Place
from auditor.stores.fetched import tell

if TYPE_CHECKING:
    from auditor.auditing.guesses import Tie
    from auditor.config.file import AuditConfig
    from auditor.run.result import AuditResult

_COMPLETE = "_AUDITOR_COMPLETE"
"""What a shell sets to ask how a line may go on."""

_CONFIG = click.argument("config", type=HERE, default="audit.toml")
_SET = click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override a key, for example --set verdict.margin=1; a path is relative to the current folder.",
)


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="auditor")
def cli() -> None:
    """Tells whether an image classifier takes shortcuts, and shows how it knows."""


@cli.command(epilog=EXIT_CODES)
@_CONFIG
@_SET
@click.option("--output", type=PLACE, help="Folder for the run, here or on a store, instead of report.output.")
@click.option("--resume", is_flag=True, help="Go on from where an audit of the same was cut short, if one was.")
@click.option("--quiet", is_flag=True, help="Print the verdicts and the report's path only.")
@click.option("--profile", is_flag=True, help="Print what each part cost: time, and images asked of the model.")
def audit(
    config: Path, overrides: tuple[str, ...], output: Place | None, resume: bool, quiet: bool, profile: bool
) -> int:
    """Audit the model that CONFIG describes and write the report."""
    from auditor.report.templates import configured_templates
    from auditor.run.shelf import refuse_unwritable_place

    settings = _read(config, overrides)
    if output is None:
        found = settings.locate(settings.report.output, "report", "output")
        reports = Path(os.path.normpath(found)) if isinstance(found, Path) else found
        refuse_unwritable_place(reports, f"{settings.place('report', 'output')}: report.output")
    else:
        reports = output
        refuse_unwritable_place(reports, "--output")
    own = configured_templates(settings)
    _expect(settings.model.source, trust=settings.model.trust)

    def note(text: str) -> None:
        if not quiet:
            say(f"note: {text}", err=True)

    with show_progress(quiet) as progress:
        progress("loading", 0, 1)
        from auditor.auditing.metering import Meter

        meter = Meter()
        meter.begin("imports")
        with quiet_tensorflow():
            from auditor.auditing.performing import perform

        run = perform(
            settings,
            reports,
            progress,
            own,
            resume=resume,
            told=_print_verdicts,
            gated=print_gate,
            note=note,
            meter=meter,
        )
    passes = run.result.provenance.passes
    if passes and not quiet:
        listed = ", ".join(f"{count} {part}" for part, count in passes.items())
        say(f"scored: {sum(passes.values())} images for the verdicts: {listed}", err=True)
    for line in meter.lines() if profile else ():
        say(line, err=True)
    print_warnings(run.warnings)
    if run.folder is not None:
        print_reports(run.folder, run.files)
    for name in run.files if run.address else ():
        click.echo(f"{name}: {run.address}/{name}")
    return run.exit_code


@cli.command()
@click.option("--model", required=True, metavar="MODEL", help="A model file or SavedModel, or package.module:function.")
@click.option("--data", required=True, metavar="DATA", help="An .npz, manifest or folder, or package.module:function.")
@click.option("--labels", metavar="FILE", help="A class name per line, in the order of the model's outputs.")
@click.option(
    "--input-range", nargs=2, type=float, metavar="LOW HIGH", help="The pixel range that the model expects: 0 1, 0 255."
)
@click.option("--inputs", multiple=True, metavar="NAME=NUMBER", help="What a further input is fixed to: age=50.")
@click.option("--outputs", metavar="NAME", help="Of several outputs, the one to audit.")
@click.option("--output", type=HERE, default="audit.toml", show_default=True)
@click.option("--trust", is_flag=True, help="Load what may run code: Lambda layers, some SavedModels.")
@click.option("--force", is_flag=True, help="Overwrite a file that exists.")
def init(
    model: str,
    data: str,
    labels: str | None,
    input_range: tuple[float, float] | None,
    inputs: tuple[str, ...],
    outputs: str | None,
    output: Path,
    trust: bool,
    force: bool,
) -> None:
    """Look at a model and its data and write a commented audit.toml for them."""
    if input_range is not None and not -math.inf < input_range[0] < input_range[1] < math.inf:
        low, high = input_range
        raise ConfigError(f"--input-range: got {low:g} {high:g}, wanted two numbers, the lower one first")
    if output.exists() and not (force and output.is_file()):
        wanted = "a new file, or --force" if output.is_file() else "a file"
        raise ConfigError(f"--output: {output}: exists already; wanted {wanted}")
    if not output.parent.is_dir():
        raise ConfigError(f"--output: {output.parent}: no such folder")
    refuse_unwritable(output.parent, "--output")
    _expect(model, trust=trust)
    with quiet_tensorflow():
        from auditor.auditing.propose import propose_config
    proposal = propose_config(
        output,
        model=model,
        data=data,
        labels=labels,
        input_range=input_range,
        inputs=inputs,
        outputs=outputs,
        trust=trust,
        choose=_choose,
    )
    with output.open("w" if force else "x", encoding="utf-8", newline="\n") as file:
        file.write(proposal.text)
    click.echo(f"{output}: written")
    for guess in proposal.guesses:
        say(f"a guess, to be checked: {guess}")
    for note in proposal.notes:
        say(f"note: {note}")
    click.echo(f"next: name a suspicion in it under [[artefacts]], then `auditor validate {output}`")


@cli.command()
@_CONFIG
@_SET
@click.option("--show", type=HERE, metavar="PAGE.html", help="A page to look at, of some images.")
def validate(config: Path, overrides: tuple[str, ...], show: Path | None) -> None:
    """Check all that can be checked of CONFIG without running the audit.

    With --show it draws some images of each class with label and prediction, each artefact put in, and its carriers.
    """
    settings = _read(config, overrides)
    if show is not None:
        _refuse_unfit_page(show)
    from auditor.report.templates import configured_templates

    configured_templates(settings)
    _expect(settings.model.source, trust=settings.model.trust)
    with quiet_tensorflow():
        from auditor.auditing.opening import open_subject
    subject = open_subject(settings)
    height, width, channels = subject.classifier.image_shape
    click.echo(f"{config}: in order")
    say(f"model: {subject.model.structure}, {len(subject.classifier.classes)} classes, {subject.model.head}")
    say(f"pixels: {subject.model.preprocessing}")
    click.echo(f"images: {len(subject.dataset)} of {subject.dataset.available}, {width} x {height} x {channels}")
    if subject.dataset.truth is not None:
        counts = subject.dataset.truth.sum(axis=0)
        pairs = list(zip(subject.classifier.classes, counts.tolist(), strict=True))
        say(f"labels: {', '.join(f'{name} {count}' for name, count in pairs[:10])}{', …' if pairs[10:] else ''}")
    for artefact in subject.artefacts:
        target = "every class" if artefact.target is None else subject.classifier.classes[artefact.target]
        say(f"artefact {artefact.name!r}: {artefact.kind}, target {target}, on {artefact.carriers.sum()} images")
    for note in subject.notes:
        say(f"note: {note.text}")
    if show is not None:
        from auditor.auditing.check import render_check
        from auditor.run.files import write_files

        write_files({show: render_check(subject, settings.report.title, config.name).encode()})
        click.echo(f"page: {show}")


for command in (suspect, check, schedule, *RUN_COMMANDS, *GATE_COMMANDS, lab):
    cli.add_command(command)


@cli.command()
def methods() -> None:
    """List the explanation methods and artefact kinds with their options."""
    from auditor.artefacts.kinds import ARTEFACT_KINDS
    from auditor.config.options import describe_options
    from auditor.explain.table import METHODS

    for heading, table in (
        ("Methods, [methods.NAME]", METHODS),
        ("Artefact kinds, [[artefacts]]", ARTEFACT_KINDS),
    ):
        click.echo(heading)
        for name, function in table.items():
            summary = (function.__doc__ or "").strip().splitlines()[0]
            click.echo(f"\n  {name}: {summary}")
            for option, kind, default in describe_options(function):
                click.echo(f"    {option} = {default}  ({kind})")
        click.echo()


@cli.command()
@click.argument("what", type=click.Choice(["config", "result", "checks"]))
def schema(what: str) -> None:
    """Print the JSON schema of audit.toml, of result.json or of checks.toml."""
    from auditor.config.checks import checks_schema
    from auditor.config.file import config_schema
    from auditor.run.result import result_schema

    schemas = {"config": config_schema, "result": result_schema, "checks": checks_schema}
    click.echo(json.dumps(schemas[what](), indent=2))


def main() -> None:
    """Run the command line; every fault of the user's ends in one clear message and a documented exit code."""
    if _COMPLETE in os.environ:
        cli(prog_name="auditor", complete_var=_COMPLETE)  # answers the shell, and ends
    with outlive_readers() as faults:
        with stoppable():
            code = _run()
        sys.stdout.flush()
        if faults:  # what was found is kept, where it is kept, and nobody may take silence for it
            code = _fail(f"not all could be printed: {faults[0].strerror}")
    exec(
        ""
    )  # else Python ends by SIGINT, whatever the code, where one interrupted an earlier `exec`, as of a dataclass
    sys.exit(code)


def _run() -> int:
    try:
        return cli.main(standalone_mode=False) or 0
    except click.exceptions.Abort as fault:
        return _fail("interrupted", of=fault.__cause__ or fault.__context__)
    except click.ClickException as fault:
        fault.show()
        return 2
    except EngineLostError as fault:
        code = _fail(str(fault), fault.exit_code, of=fault)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    except AuditError as fault:
        return _fail(str(fault), fault.exit_code, of=fault)
    except MemoryError as fault:
        return _fail("out of memory; lower model.batch_size or explain.images", of=fault)
    except OSError as fault:
        return _fail(f"{fault.filename or 'the system'}: {fault.strerror or fault}", of=fault)
    except SystemExit as fault:  # the user's code may end Python, and its code must not pass for a verdict
        return _fail(f"Python was told to exit (code {fault.code}) before the audit was complete")
    except Exception:  # Python would end with 1, which says that an artefact is relied on
        traceback.print_exc()
        return _fail("this is a defect of auditor; please report it with the lines above")


def _fail(message: str, code: int = 3, of: BaseException | None = None) -> int:
    """Say what went wrong, with what was noted of it: that something is kept, and how to go on."""
    click.echo("; ".join([f"error: {tell(message)}", *getattr(of, "__notes__", [])]), err=True)
    return code


def _read(config: Path, overrides: tuple[str, ...]) -> AuditConfig:
    was_on = gc.isenabled()
    gc.disable()  # of all that is imported here nothing is dropped, and looking for it takes a fifth of the time
    try:
        from auditor.artefacts.kinds import ARTEFACT_KINDS
        from auditor.config.file import read_config
        from auditor.explain.table import METHODS
    finally:
        if was_on:
            gc.enable()
    return read_config(config, overrides, kinds=ARTEFACT_KINDS, methods=METHODS)


def _expect(source: str, *, trust: bool) -> None:
    """Let the process that tries models import TensorFlow while this one does."""
    from auditor.subject.model.trial import expect

    expect(source, trust=trust)


def _choose(tie: Tie) -> int:
    """Ask at a terminal what images do not tell; elsewhere nobody is there to answer."""
    if not can_ask():
        raise ConfigError(f"--data: {tie.text}")
    click.echo(f"The images do not tell {tie.about}:", err=True)
    for number, candidate in enumerate(tie.candidates, 1):
        say(f"  {number}  {candidate}", err=True)
    wanted = click.IntRange(1, len(tie.candidates))
    return int(click.prompt(f"Which of them ({tie.option} says it too)", type=wanted, err=True)) - 1


def _refuse_unfit_page(page: Path) -> None:
    """A page replaces what stands in its place, so that must be a page too."""
    if page.suffix.lower() not in (".html", ".htm") or page.is_dir():
        raise ConfigError(f"--show: {page}: wanted a file named .html")
    if not page.parent.is_dir():
        raise ConfigError(f"--show: {page.parent}: no such folder")
    refuse_unwritable(page.parent, "--show")


def _print_verdicts(result: AuditResult, folder: Place | None) -> None:
    from auditor.cli.verdicts import print_verdicts

    print_verdicts(result, folder)
