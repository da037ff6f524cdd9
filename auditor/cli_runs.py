"""The commands on saved runs: the report again, and the formats of other tools. They need no TensorFlow."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from auditor.errors import ConfigError

_RUN = click.argument("run", type=click.Path(path_type=Path))


@click.command()
@_RUN
@click.option(
    "--format",
    "formats",
    type=click.Choice(["html", "pdf", "junit", "sarif", "markdown"]),
    multiple=True,
    help="Only this; may be given several times.",
)
@click.option(
    "--pictures",
    type=click.Choice(["all", "thumbnails", "none"]),
    help="How much the page shows of the audited images, instead of report.pictures.",
)
def render(run: Path, formats: tuple[str, ...], pictures: str | None) -> None:
    """Write the report of a saved RUN again; needs no TensorFlow and no model."""
    from auditor.report import write_report

    print_warnings(write_report(run, formats or ("html", "pdf"), pictures))  # type: ignore[arg-type]
    print_reports(run, formats or ("html", "pdf"))


@click.command()
@_RUN
@click.option(
    "--format", "name", required=True, type=click.Choice(["junit", "sarif", "markdown", "csv", "parquet"]),
    help="csv and parquet hold the rows behind the numbers, the others the findings.",
)  # fmt: skip
@click.option(
    "--output", type=click.Path(path_type=Path, allow_dash=True), help="A file, or - to print; else beside the report."
)
@click.option("--location", default="", metavar="PATH", help="SARIF: the configuration's path from the repository.")
@click.option("--only-problems", is_flag=True, help="SARIF: leave out findings that are no failures.")
def export(run: Path, name: str, output: Path | None, location: str, only_problems: bool) -> None:
    """Write a saved RUN in the format of another tool; needs no TensorFlow and no model."""
    if name != "sarif" and (location or only_problems):
        option = "--location" if location else "--only-problems"
        raise ConfigError(f"{option}: got --format {name}, wanted --format sarif")
    from auditor import exports
    from auditor.history import load_result
    from auditor.writing import write_files

    file = output or run / exports.EXPORTS[name].file
    if name == "parquet" and output is None:
        raise ConfigError(f"--output: missing; {file} is there already, wanted another file")
    if name == "sarif":
        data = exports.write_sarif(load_result(run), location=location, only_problems=only_problems)
    else:
        data = exports.export(run, name)
    if str(file) == "-":
        sys.stdout.buffer.write(data)
        return
    if not file.parent.is_dir():
        raise ConfigError(f"--output: {file.parent}: no such folder")
    write_files({file: data})
    click.echo(f"{name}: {file}")


def print_warnings(warnings: list[str]) -> None:
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


def print_reports(folder: Path, formats: tuple[str, ...]) -> None:
    """Where the files of a report are."""
    from auditor.exports import EXPORTS

    files = {"html": "report.html", "pdf": "report.pdf"} | {name: made.file for name, made in EXPORTS.items()}
    for name in formats:
        if (folder / files[name]).is_file():
            click.echo(f"{files[name]}: {folder / files[name]}")
