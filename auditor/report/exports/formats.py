"""A saved run in the formats of other tools: JUnit XML, SARIF, Markdown, and its rows as CSV and Parquet."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from auditor.measure.measurement import Measurement
from auditor.report.exports.markdown import write_markdown
from auditor.report.presentable import make_visible, present
from auditor.report.templates import read_template
from auditor.report.words import VERDICTS, subject
from auditor.run.result import AuditResult
from auditor.run.store import SavedRun
from auditor.verdict.record import Finding

Exporter = Callable[[SavedRun, AuditResult], bytes]
"""What makes the file of another tool from a run as it was saved, and from its result as it may be shown."""


def export(run: SavedRun, name: str) -> bytes:
    """A saved run in one of the formats of `EXPORTS`.

    Raises
    ------
    ReportError
        The run is damaged.
    """
    return EXPORTS[name](run, present(run.result, run.arrays).result)


def write_junit(shown: AuditResult) -> bytes:
    """JUnit XML as Jenkins and Ant read it: a test suite of one test per finding.

    `relies` is a failure, `error` an error, and what is undecided is skipped, each with its reason. The suite's
    properties hold the effect that decided, its interval and its n: tests have no properties in either schema.
    """
    root = ElementTree.Element("testsuites")
    for number, finding in enumerate(shown.findings):
        tag, name = _JUNIT.get(finding.verdict), _title(finding)
        suite = ElementTree.SubElement(
            root, "testsuite", name=name, id=str(number), package="auditor", hostname="localhost", time="0", tests="1",
            failures=str(int(tag == "failure")), errors=str(int(tag == "error")), skipped=str(int(tag == "skipped")),
            timestamp=shown.provenance.started[:19],
        )  # fmt: skip
        properties = ElementTree.SubElement(suite, "properties")
        for key, value in _facts(shown, finding).items():
            ElementTree.SubElement(properties, "property", name=key, value=_text(value))
        case = ElementTree.SubElement(suite, "testcase", name=name, classname=f"auditor.{finding.artefact}", time="0")
        if tag:
            kind: dict[str, str] = {} if tag == "skipped" else {"type": finding.verdict}
            ElementTree.SubElement(case, tag, kind, message=f"{VERDICTS[finding.verdict][1]}: {finding.reason}")
        said = [finding.reason, *(note.text for note in finding.notes)]
        ElementTree.SubElement(suite, "system-out").text = "\n".join(said)
        ElementTree.SubElement(suite, "system-err")
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def write_sarif(saved: AuditResult, shown: AuditResult, *, location: str = "", only_problems: bool = False) -> bytes:
    """SARIF 2.1.0 for GitHub's code scanning: a result per finding, at the artefact's line of the configuration.

    Parameters
    ----------
    saved, shown
        The result as it was saved, which findings are recognised by, and as it may be shown: see `present`.
    location
        Path of the configuration from the root of its repository; its name alone, where it is not given.
    only_problems
        Leave out what is no failure: GitHub shows results of every kind as alerts.
    """
    rule = json.loads(read_template("sarif_rule.json"))
    place = location or saved.provenance.config_file
    lines = {record.name: record.line for record in saved.artefacts}
    errors = [
        {"level": "error", "message": _message(finding, finding.reason)}
        for finding in shown.findings
        if finding.verdict == "error"
    ]
    results = [
        {
            "ruleId": rule["id"],
            "ruleIndex": 0,
            "kind": _KINDS.get(finding.verdict, "fail"),
            "level": _LEVELS[finding.severity] if finding.verdict == "relies" else "none",
            "message": _message(finding, f"{VERDICTS[finding.verdict][1].lower()}. {finding.reason}"),
            "locations": [_location(place, lines.get(raw.artefact) or 1)],
            "partialFingerprints": _fingerprints(saved, raw),
            "properties": _facts(shown, finding),
        }
        for raw, finding in zip(saved.findings, shown.findings, strict=True)
        if not only_problems or finding.verdict == "relies"
    ]
    run = {
        "tool": {"driver": {"name": "Auditor", "semanticVersion": shown.provenance.auditor, "rules": [rule]}},
        "automationDetails": {"id": f"auditor/{make_visible(place)}/"},
        "invocations": [
            {
                "executionSuccessful": not errors,
                "startTimeUtc": f"{shown.provenance.started[:19]}Z",
                "toolExecutionNotifications": errors,
            }
        ],
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    log = {"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}
    return (json.dumps(log, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def write_csv(table: Any) -> bytes:
    """Rows as CSV (RFC 4180, UTF-8, a header, empty where nothing is known); numbers are numbers.

    A text that a spreadsheet would take for a formula (it begins with = + - @ or a blank before one) has an apostrophe
    before it.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(table.column_names)
    for batch in table.to_batches():
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            writer.writerow([_cell(value) for value in row])
    return buffer.getvalue().encode("utf-8")


def write_parquet(table: Any) -> bytes:
    """Rows as Parquet, with their types."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _title(finding: Finding) -> str:
    artefact, target = subject(finding)
    return " ".join(f"{artefact} → {target}".split()) if target else artefact


def _facts(result: AuditResult, finding: Finding) -> dict[str, Any]:
    """What a finding rests on, as plain data."""
    facts = {name: getattr(finding, name) for name in _FACTS}
    if finding.effect is not None:
        effect = {part.name: getattr(finding.effect, part.name) for part in fields(Measurement)}
        facts |= {"effect": effect.pop("value"), **effect}
    facts |= {"model": result.model.source, "data": result.data.source, "calibrated": result.calibrated}
    return {key: value for key, value in facts.items() if value is not None}


def _fingerprints(result: AuditResult, finding: Finding) -> dict[str, str]:
    """What the same finding of another run has in common, whatever its effect: artefact, class, model and data.

    The class is the configured one: that which moves most in a scan may be another next time.
    """
    model, data = (record.sha256 or record.source for record in (result.model, result.data))
    configured = next((record.target for record in result.artefacts if record.name == finding.artefact), finding.target)
    identity = json.dumps([finding.artefact, configured, model, data])
    digest = hashlib.sha256(identity.encode("ascii")).hexdigest()
    return {"shortcutReliance/v1": digest, "primaryLocationLineHash": f"{digest[:16]}:1"}


def _location(place: str, line: int) -> dict[str, Any]:
    from urllib.parse import quote

    uri = quote(Path(place).as_posix(), safe="/", errors="replace")
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": line}}}


def _message(finding: Finding, text: str) -> dict[str, str]:
    """A text without the links that SARIF allows in messages."""
    return {"text": f"{_title(finding)}: {text}".replace("](", "] (")}


def _text(value: Any) -> str:
    return "yes" if value is True else "no" if value is False else str(value)


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return "" if value is None or math.isnan(value) else repr(value)
    shown = make_visible(value)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown


_FACTS = ("artefact", "target", "verdict", "direction", "severity", "margin", "endpoint")

_JUNIT = {"relies": "failure", "error": "error", "inconclusive": "skipped", "not_applicable": "skipped"}

_KINDS = {
    "no_evidence": "pass", "inconclusive": "open", "not_applicable": "notApplicable", "error": "open",
}  # fmt: skip

_LEVELS = {"none": "note", "low": "note", "medium": "warning", "high": "error"}

_FORMULA = ("=", "+", "-", "@", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}", "\N{FULLWIDTH HYPHEN-MINUS}",
            "\N{FULLWIDTH COMMERCIAL AT}")  # fmt: skip

_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

EXPORTS: dict[str, Exporter] = {
    "junit": lambda run, shown: write_junit(shown),
    "sarif": lambda run, shown: write_sarif(run.result, shown),
    "markdown": lambda run, shown: write_markdown(shown).encode("utf-8"),
    "csv": lambda run, shown: write_csv(run.rows),
    "parquet": lambda run, shown: write_parquet(run.rows),
}
"""Format -> the bytes of a run in it; `auditor.run.files.FORMATS` names its file."""
