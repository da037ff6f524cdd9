"""What an audit found, as the terminal says it: a line and a few sentences each, and one table where there is room."""

from __future__ import annotations

import os
import sys

import click

from auditor.cli.terminal import NOTHING, UNNAMED, plain, say
from auditor.measure.words import say_effect, say_n
from auditor.report.gravity import by_gravity, tell_counts
from auditor.report.sections.columns import tell_columns
from auditor.report.sections.suspects import tell_suspects
from auditor.report.telling import (
    effects_of,
    tell_advice,
    tell_bar,
    tell_cautions,
    tell_lead,
    tell_severity,
    tell_why,
)
from auditor.report.words import VERDICTS, subject
from auditor.run.result import AuditResult
from auditor.stores.address import Place
from auditor.verdict.record import Finding, Rule


def print_verdicts(result: AuditResult, folder: Place | None) -> None:
    """The verdicts, the gravest first, with the words of the report; where the result is comes last.

    On a terminal they stand in one table. Elsewhere, or where it is narrow, each is a line that programs can read.
    """
    findings = [result.findings[number] for number in by_gravity(result.findings)]
    if result.discovery is not None:
        say(tell_suspects(result))
        for suspect in result.suspects:
            say(f"{suspect.name}: {suspect.standing}")
        if beside := tell_columns(result.discovery.columns):
            say(beside)
    if not findings:
        click.echo(NOTHING if result.discovery is None else UNNAMED)
    elif sys.stdout.isatty():
        _print_table(findings)
    else:
        for finding in findings:
            say(_line(finding))
    counts = tell_counts(findings)
    if counts:
        say(f"{counts}.")
    for finding in findings:
        if sys.stdout.isatty() and len(findings) > 1:
            say(f"{finding.artefact}:")
        for sentence in _sentences(finding, result.rule):
            say(f"  {sentence}")
    if folder is not None:
        click.echo(f"result.json: {folder / 'result.json'}")
    sys.stdout.flush()


def _line(finding: Finding) -> str:
    direction = f" ({finding.direction})" if finding.direction else ""
    severity = f", severity {finding.severity}" if finding.severity not in (None, "none") else ""
    artefact, target = subject(finding)
    return f"{artefact} -> {target or '-'}: {finding.told}{direction}{severity}"


def _sentences(finding: Finding, rule: Rule) -> list[str]:
    told = [tell_lead(finding, rule)]
    told += [
        f"{effect.words}: {say_effect(effect.measured)} (n = {say_n(effect.measured)})."
        for effect in effects_of(finding)
    ]
    if finding.effect is not None and finding.effect.value is not None and finding.margin:
        bar = tell_bar(finding, rule)
        told.append(f"{bar[:1].upper()}{bar[1:]}.")
    told += filter(None, [tell_why(finding, rule)])
    told += [f"Caution: {caution}" for caution in tell_cautions(finding)]
    return [*told, f"What to do: {tell_advice(finding, rule)}"]


def _print_table(findings: list[Finding]) -> None:
    """One row a finding; colours are left out where NO_COLOR is set, and names wrap where the terminal is narrow."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("Artefact", "Class", "Verdict", "Effect beyond harmless edits", "Severity"):
        table.add_column(head, overflow="fold")
    for finding in findings:
        artefact, target = subject(finding)
        sign, words = VERDICTS[finding.told]
        effect = "–" if finding.effect is None else say_effect(finding.effect)
        cells = (plain(artefact), plain(target or "–"), f"{sign} {words}", effect, tell_severity(finding))
        table.add_row(
            *(Text(cell, style=_STYLES.get(finding.told, "") if at == 2 else "") for at, cell in enumerate(cells))
        )
    console = Console(no_color="NO_COLOR" in os.environ, highlight=False)
    console.print(table)


_STYLES = {"relies": "bold red", "error": "bold red", "inconclusive": "yellow", "no_evidence": "green"}
