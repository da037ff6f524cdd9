"""An audit as Markdown for a pull request: verdicts first, details folded away."""

from __future__ import annotations

import re

from auditor.report.words import ADVICE, MOST_ROWS, VERDICTS, Figure, drop_in_words, figure, headline, named, subject
from auditor.run.result import AuditResult
from auditor.verdict.record import Finding


def write_markdown(result: AuditResult) -> str:
    """Verdicts with their effects as a table, what to do about each, and what it rests on, in GitHub's Markdown.

    Parameters
    ----------
    result
        As it may be shown: see `present`.
    """
    lines = [f"## Shortcut audit: {escape(result.title)}", ""]
    if result.findings:
        lines += ["| | Artefact → class | Verdict | Effect | n | Severity |", "| --- | --- | --- | --- | --- | --- |"]
        lines += [_row(finding) for finding in result.findings]
    else:
        lines.append("No artefact is named in the configuration, so there is no verdict.")
    lines.append("")
    if not result.calibrated:
        lines += ["**Not calibrated:** how often such verdicts err on models like this one is not known.", ""]
    for finding in result.findings:
        lines += [
            f"**{_about(finding)}**: {escape(finding.reason)}",
            "",
            f"*What to do:* {ADVICE[finding.verdict]}",
            "",
        ]
        lines += _fold("Measurements", _measurements(finding))
    lines += _fold("Model, data and settings", _settings(result))
    others = [warning for warning in result.warnings if warning.kind != "calibration"]
    lines += _fold("Warnings", [f"- {escape(warning.text)}" for warning in others])
    return "\n".join(lines)


def escape(text: str) -> str:
    """Text that says what it says and does nothing: no markup, link, mention, reference, emoji code or formula."""
    flat = " ".join(text.split())
    for mark, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        flat = flat.replace(mark, entity)
    flat = re.sub(r"([\\`*_{}\[\]()#!|~$^])", r"\\\1", flat)
    flat = re.sub(r"^(\d*)([-+=.)])(?= |$)", r"\1\\\2", flat)  # what would begin a list or a heading
    return _LINKING.sub(rf"\g<0>{_BREAK}", flat)


def code(text: str, *, in_table: bool = False) -> str:
    """Text as code, in which nothing is markup but, inside a table, the bar."""
    flat = " ".join(text.split()) or " "
    longest = max((len(run) for run in re.findall("`+", flat)), default=0)
    pad = " " if flat[0] == "`" or flat[-1] == "`" or flat.isspace() else ""
    fence = "`" * (longest + 1)
    span = f"{fence}{pad}{flat}{pad}{fence}"
    return span.replace("|", "\\|") if in_table else span


def _row(finding: Finding) -> str:
    sign, words = VERDICTS[finding.verdict]
    effect = headline(finding)
    cells = [
        escape(sign),
        _about(finding, in_table=True),
        f"**{words}**" + (f" ({finding.direction})" if finding.direction else ""),
        "–" if effect is None else _effect(effect),
        "–" if effect is None else escape(effect.n),
        finding.severity,
    ]
    return f"| {' | '.join(cells)} |"


def _about(finding: Finding, *, in_table: bool = False) -> str:
    artefact, target = subject(finding)
    named_class = target and (target if target == "every class" else code(target, in_table=in_table))
    return code(artefact, in_table=in_table) + (f" → {named_class}" if target else "")


def _effect(effect: Figure) -> str:
    if effect.reason:
        return escape(effect.reason)
    level = f", {effect.level} interval" if effect.level else ""
    return f"**{escape(effect.value)}** {escape(effect.unit)} ({escape(effect.interval + level)})"


def _measurements(finding: Finding) -> list[str]:
    figures = [named(name, measured) for name, measured in finding.measurements.items()]
    figures += [figure(drop_in_words(name), measured) for name, measured in finding.drops.items()]
    figures += [figure(f"control {name}", measured) for name, measured in finding.controls.items()]
    lines = ["| Measurement | Value | Interval | n | Unit |", "| --- | ---: | --- | ---: | --- |"]
    for shown in figures[:MOST_ROWS]:
        interval = shown.reason or shown.interval
        cells = [shown.name, shown.value, interval, shown.n, shown.unit]
        lines.append(f"| {' | '.join(escape(cell) for cell in cells)} |")
    return [*lines, "", *(f"- {escape(note.text)}" for note in finding.notes)] if figures else []


def _settings(result: AuditResult) -> list[str]:
    model, data, run = result.model, result.data, result.provenance
    return [
        f"- model: {code(model.source)}, SHA-256 {code(model.sha256 or '-')}",
        f"- data: {code(data.source)}, {data.used} images in {data.groups} independent groups",
        f"- margin: {result.rule.margin:g} log-odds or {result.rule.margin_sd:g} standard deviations of the score",
        f"- run: {code(run.started)}, seed {run.seed}, Auditor {escape(run.auditor)}, {code(run.config_file)}",
    ]


def _fold(title: str, lines: list[str]) -> list[str]:
    return ["<details>", f"<summary>{title}</summary>", "", *lines, "", "</details>", ""] if lines else []


_BREAK = "\N{ZERO WIDTH SPACE}"

_LINKING = re.compile(r"@|#(?=\d)|:(?=//|\w)|\b(?:www|mailto|xmpp|GH)(?=[.:-])|[0-9a-f]{6}(?=[0-9a-f])", re.IGNORECASE)
"""After these GitHub would begin to see a mention, a reference, an address, an emoji or a commit."""
