"""An audit as Markdown for a pull request: verdicts first, details folded away."""

from __future__ import annotations

import re
from functools import partial

from auditor.measure.words import say_effect
from auditor.report.gravity import by_gravity, tell_counts
from auditor.report.labels import DROP
from auditor.report.telling import (
    effects_of,
    tell_advice,
    tell_bar,
    tell_cautions,
    tell_lead,
    tell_notes,
    tell_severity,
)
from auditor.report.templates import open_templates
from auditor.report.words import (
    MOST_ROWS,
    VERDICTS,
    Figure,
    calibrations,
    figures,
    headline,
    named,
    subject,
)
from auditor.run.result import AuditResult
from auditor.verdict.record import Finding


def write_markdown(result: AuditResult) -> str:
    """Verdicts with their effects as a table, what to do about each, and what it rests on, in GitHub's Markdown.

    Parameters
    ----------
    result
        As it may be shown: see `present`.
    """
    ordered = [result.findings[number] for number in by_gravity(result.findings)]
    view = {"result": result, "findings": ordered, "verdicts": VERDICTS, "most_rows": MOST_ROWS}
    view["calibrations"] = calibrations(result)
    tools = {
        "lead": partial(tell_lead, rule=result.rule),
        "bar": partial(tell_bar, rule=result.rule),
        "advice": partial(tell_advice, rule=result.rule),
        "counts": tell_counts(result.findings),
        "cautions": tell_cautions,
        "notes": tell_notes,
        "severity": tell_severity,
        "effects": effects_of,
        "say_effect": say_effect,
    }
    tools |= {"escape": escape, "code": code, "subject": subject, "headline": headline, "rows_of": _rows}
    return open_templates(autoescape=False).get_template("summary.md.j2").render(view | tools).rstrip() + "\n"


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


def _rows(finding: Finding) -> list[Figure]:
    rows = [named(name, measured) for name, measured in finding.measurements.items()]
    return [*rows, *figures(finding.drops, DROP), *figures(finding.controls, "control {}")]


_BREAK = "\N{ZERO WIDTH SPACE}"

_LINKING = re.compile(r"@|#(?=\d)|:(?=//|\w)|\b(?:www|mailto|xmpp|GH)(?=[.:-])|[0-9a-f]{6}(?=[0-9a-f])", re.IGNORECASE)
"""After these GitHub would begin to see a mention, a reference, an address, an emoji or a commit."""
