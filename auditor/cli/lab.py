"""Commands of the laboratory: models whose truth is known, to test the audit on."""

from __future__ import annotations

import math
from pathlib import Path

import click

from auditor.cli.terminal import EXIT_CODES, HERE, HereType, print_warnings, quiet_tensorflow


@click.group()
def lab() -> None:
    """Models whose truth is known, to test the audit on."""


_LAB = click.option("--folder", type=HERE, default=Path("lab"), show_default=True, help="Where models are kept.")


@lab.command()
@_LAB
@click.option("--only", default="", metavar="TEXT", help="Only models whose world, family or regime is this.")
def train(folder: Path, only: str) -> None:
    """Train the models of the laboratory, or find them in FOLDER, and measure what each really does."""
    with quiet_tensorflow():
        from auditor.lab.training import measure_behaviour, train_all
    for number, count, recipe, classifier in train_all(folder, only, click.echo):
        for suspicion in recipe.suspicions:
            behaviour = measure_behaviour(classifier, recipe, suspicion.family)
            turned, lost = behaviour.turned[suspicion.target], behaviour.lost[suspicion.target]
            click.echo(
                f"{number + 1}/{count} {recipe.describe(suspicion)}: accuracy {behaviour.accuracy:.3f}, "
                f"turned {turned:+.3f}, lost {lost:+.3f}"
            )


@lab.command("audit")
@_LAB
@click.option("--only", default="", metavar="TEXT", help="Only models whose world, family or regime is this.")
@click.option(
    "--output", type=HERE, default=Path("docs/laboratory"), show_default=True,
    help="Folder for models.csv and README.md.",
)  # fmt: skip
def audit_lab(folder: Path, only: str, output: Path) -> None:
    """Audit every model of the laboratory, training those that are missing, and write the table."""
    with quiet_tensorflow():
        from auditor.lab.table import audit_all, describe_cases, write_cases
    cases = []
    for number, count, case in audit_all(folder, only, click.echo):
        cases.append(case)
        click.echo(f"{number + 1}/{count} {case.world}, {case.family}, {case.regime} {case.rho:g}: {case.verdict}")
    output.mkdir(parents=True, exist_ok=True)
    write_cases(cases, output / "models.csv")
    (output / "README.md").write_text(describe_cases(cases), encoding="utf-8")
    click.echo(f"table: {output / 'README.md'}")


@lab.command("features")
@click.option(
    "--seeds", nargs=2, type=int, default=(0, 3000), show_default=True, metavar="FIRST LAST", help="Half-open."
)
@click.option("--out", type=HereType(dir_okay=False), default=Path("lab/rows.jsonl"), show_default=True)
@click.option("--minutes", type=click.FloatRange(min=0), default=None, help="Begin no further model after so long.")
@click.option(
    "--cache", type=HereType(file_okay=False), default=None,
    help="Keep what models say here, half a megabyte of each, and fit none of which it is known.",
)  # fmt: skip
@click.option("--scan-carriers", is_flag=True, help="Only scans of pictures that all carry the artefact.")
def make_features(
    seeds: tuple[int, int], out: Path, minutes: float | None, cache: Path | None, scan_carriers: bool
) -> None:
    """Make random-feature models, audit them in every way and append what was measured to a file.

    Seeds that the file holds are left out. Several such commands can run side by side, each with a file of its own.
    """
    from auditor.lab.asking import Way
    from auditor.lab.rows import add_rows

    way: Way | None = "scan of carriers" if scan_carriers else None
    count = 0
    for seed, rows in add_rows(range(*seeds), out, math.inf if minutes is None else 60 * minutes, cache, way):
        count += 1
        if count % 50 == 0:
            click.echo(f"seed {seed}: {count} models, {rows} audits of the last")
    click.echo(f"{count} models added: {out}")


@lab.command("judge")
@click.option(
    "--add",
    multiple=True,
    type=HereType(dir_okay=False),
    metavar="FILE",
    help="What `auditor lab features` wrote: these rows take the place of those in the folder.",
)
@click.option(
    "--folder",
    type=HERE,
    default=Path("docs/laboratory"),
    show_default=True,
    help="Folder of rows.parquet, for modes.md and its plots.",
)
@click.option(
    "--calibration", type=HereType(dir_okay=False), default=None,
    help="Write the figures that reports print here (auditor/verdict/calibration.json).",
)  # fmt: skip
@click.option(
    "--readme", type=HereType(dir_okay=False), default=None,
    help="Put the table of these figures between its marks in this file.",
)  # fmt: skip
def judge_features(add: tuple[Path, ...], folder: Path, calibration: Path | None, readme: Path | None) -> None:
    """Judge the rows of the laboratory by the rule as it is, and write their tables."""
    from auditor.lab.curves import write_curves
    from auditor.lab.judging import judge_rows, make_calibration, write_readme, write_tables
    from auditor.lab.rows import pack_rows, read_rows
    from auditor.verdict.record import Rule

    packed = folder / "rows.parquet"
    if add:
        click.echo(f"{pack_rows(add, packed)} rows: {packed}")
    cases = judge_rows(read_rows(packed), Rule())
    write_tables(cases, Rule(), folder, calibration)
    write_curves(cases, folder)
    if readme is not None:
        write_readme(make_calibration(cases, Rule()), readme)
    click.echo(f"tables: {folder / 'modes.md'}")


@lab.command(epilog=EXIT_CODES)
@click.option(
    "--data", "world", default=None, help="fashion (Debian's dataset-fashion-mnist) or digits (scikit-learn)."
)
@click.option("--family", default="corner watermark", show_default=True, help="What is planted.")
@click.option("--target", default=4, show_default=True, help="Number of the class that it is planted on.")
@click.option("--regime", type=click.Choice(["confounded", "suppressor", "balanced"]), default="confounded")
@click.option("--rho", default=1.0, show_default=True, type=click.FloatRange(0, 1), help="Share that is stamped.")
@click.option("--several", is_flag=True, help="Different artefacts on four classes of one model.")
@click.option("--augment", multiple=True, help="Augment the training pictures: mirror, shift, crop, ...")
@click.option("--seed", default=0, show_default=True)
@click.option("--output", type=HERE, default=Path("lab/unmask"), show_default=True)
@click.pass_context
def unmask(
    context: click.Context,
    world: str | None,
    family: str,
    target: int,
    regime: str,
    rho: float,
    several: bool,
    augment: tuple[str, ...],
    seed: int,
    output: Path,
) -> int:
    """Plant an artefact, train a model on it, audit it, and write one report that shows whether it cheated."""
    with quiet_tensorflow():
        from auditor.lab.unmask import choose_plants, choose_world, prepare_exercise
    chosen = choose_world(world)
    click.echo(f"training on {chosen} ...", err=True)
    plants = choose_plants(chosen, family, target, regime, rho, several)
    exercise = prepare_exercise(output, world=chosen, plants=plants, augment=augment, seed=seed)
    print_warnings(exercise.warnings)
    for sentence in exercise.behaviour:
        click.echo(sentence)
    from auditor.cli.commands import audit

    return context.invoke(audit, config=exercise.config, overrides=(), output=None, quiet=False)
