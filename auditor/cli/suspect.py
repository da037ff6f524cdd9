"""`auditor suspect`: what nobody named and is worth naming, as blocks of `[[artefacts]]`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from auditor.cli.terminal import EXIT_CODES, HERE, quiet_tensorflow, say, show_progress
from auditor.errors import ConfigError
from auditor.run.files import refuse_unwritable


@click.command(epilog=EXIT_CODES)
@click.argument("config", type=HERE, default="audit.toml")
@click.option(
    "--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Override a key, for example --set discovery.most=3."
)
@click.option(
    "--output", type=HERE, default=Path("suspects"), show_default=True,
    help="Folder for suspects.toml and its pictures.",
)  # fmt: skip
@click.option("--quiet", is_flag=True, help="Print the list and the file only.")
def suspect(config: Path, overrides: tuple[str, ...], output: Path, quiet: bool) -> int:
    """List what CONFIG names no artefact for and is worth naming, and write it as blocks of [[artefacts]].

    Nothing is decided: look at the pictures, delete what is the object, paste the rest into CONFIG, and audit. All
    images propose, so an audit of the same images is a second look at them, not an independent one.
    """
    with show_progress(quiet) as progress:
        progress("loading", 0, 1)
        with quiet_tensorflow():
            from auditor.artefacts.kinds import ARTEFACT_KINDS
            from auditor.auditing.suspect_files import write_suspects
            from auditor.auditing.suspecting import list_suspects
            from auditor.config.file import read_config
            from auditor.explain.table import METHODS
            from auditor.report.sections.columns import tell_columns
        settings = read_config(config, overrides, kinds=ARTEFACT_KINDS, methods=METHODS)
        if output.exists() and not output.is_dir():
            raise ConfigError(f"--output: {output}: got a file, wanted a folder")
        refuse_unwritable(output, "--output")
        found = list_suspects(settings, progress)
    for suspect in found.suspects:
        say(f"{suspect.name}: {suspect.reason}")
        for said in suspect.evidence:
            say(f"  {said}")
    if beside := tell_columns(found.record.columns if found.record else None):
        say(beside)
    if not found.suspects:
        say(f"no suspect was found among {found.record.proposing if found.record else 0} images; that is no all-clear")
        return 4
    output.mkdir(parents=True, exist_ok=True)
    named = Path(os.path.relpath(output.resolve(), config.resolve().parent)).as_posix()
    file = write_suspects(found.suspects, found.arrays, output, named)
    click.echo(f"blocks to prune, and to paste into {config}: {file}")
    return 4
