"""A run as SARIF."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from auditor.report.exports.facts import facts_of, measured_facts, ruling_title, title_of
from auditor.report.templates import read_template
from auditor.report.visible import make_visible
from auditor.report.words import VERDICTS
from auditor.run.result import AuditResult
from auditor.run.ruling import Ruling, rulings_on
from auditor.verdict.record import Finding


def write_sarif(saved: AuditResult, shown: AuditResult, *, location: str = "", only_problems: bool = False) -> bytes:
    """SARIF 2.1.0 for GitHub's code scanning: a result per finding, at the artefact's line of the configuration.

    With a gate there is a result per ruling, too; what a waiver holds for is suppressed, and says by whom and why.

    Parameters
    ----------
    saved, shown
        The result as it was saved, which findings are recognised by, and as it may be shown: see `present`.
    location
        Path of the configuration from the root of its repository; its name alone, where it is not given.
    only_problems
        Leave out what is no failure: GitHub shows results of every kind as alerts.
    """
    rules = json.loads(read_template("sarif_rules.json"))[: 1 if saved.gate is None else 2]
    place = location or saved.provenance.config_file
    lines = {record.name: record.line for record in saved.artefacts}
    errors = [
        {"level": "error", "message": _message(title_of(finding), finding.reason)}
        for finding in shown.findings
        if finding.verdict == "error"
    ]
    results = [
        {
            "ruleId": rules[0]["id"],
            "ruleIndex": 0,
            "kind": _KINDS.get(finding.told, "fail"),
            "level": _LEVELS[finding.severity or "none"] if finding.verdict == "relies" else "none",
            "message": _message(title_of(finding), f"{VERDICTS[finding.told][1].lower()}. {finding.reason}"),
            "locations": [_location(place, lines.get(raw.artefact) or 1)],
            "partialFingerprints": _fingerprints(saved, raw),
            "properties": facts_of(shown, finding),
            **_suppressions([] if shown.gate is None else rulings_on(shown.gate, finding)),
        }
        for raw, finding in zip(saved.findings, shown.findings, strict=True)
        if not only_problems or finding.verdict == "relies"
    ]
    ruled = [] if saved.gate is None or shown.gate is None else zip(saved.gate.rulings, shown.gate.rulings, strict=True)
    results += [
        {
            "ruleId": rules[1]["id"],
            "ruleIndex": 1,
            "kind": _STATES[ruling.state],
            "level": _GATE_LEVELS[ruling.level] if _STATES[ruling.state] == "fail" else "none",
            "message": _message(f"gate: {ruling_title(ruling)}", ruling.sentence),
            "locations": [_location(place, lines.get(raw.artefact or "") or 1)],
            "partialFingerprints": _fingerprint("gate/v1", saved, [raw.demand, raw.artefact, raw.target]),
            "properties": {"state": ruling.state, "counts": ruling.counts} | measured_facts(ruling.measured),
            **_suppressions([ruling]),
        }
        for raw, ruling in ruled
        if not only_problems or _STATES[ruling.state] == "fail"
    ]
    run = {
        "tool": {"driver": {"name": "Auditor", "semanticVersion": shown.provenance.auditor, "rules": rules}},
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


def _fingerprints(result: AuditResult, finding: Finding) -> dict[str, str]:
    """What the same finding of another run has in common, whatever its effect: artefact, class, model and data.

    The class is the configured one: that which moves most in a scan may be another next time.
    """
    configured = next((record.target for record in result.artefacts if record.name == finding.artefact), finding.target)
    return _fingerprint("shortcutReliance/v1", result, [finding.artefact, configured])


def _fingerprint(name: str, result: AuditResult, about: Sequence[str | None]) -> dict[str, str]:
    model, data = (record.sha256 or record.source for record in (result.model, result.data))
    digest = hashlib.sha256(json.dumps([*about, model, data]).encode("ascii")).hexdigest()
    return {name: digest, "primaryLocationLineHash": f"{digest[:16]}:1"}


def _suppressions(rulings: Sequence[Ruling]) -> dict[str, Any]:
    """What waivers say in place of an alert."""
    waivers = [ruling.waiver for ruling in rulings if ruling.waiver is not None and ruling.is_waived]
    told = [f"{waiver.owner}, until {waiver.expires}: {waiver.reason}" for waiver in waivers]
    found = [{"kind": "external", "status": "accepted", "justification": text} for text in dict.fromkeys(told)]
    return {"suppressions": found} if found else {}


def _location(place: str, line: int) -> dict[str, Any]:
    from urllib.parse import quote

    uri = quote(Path(place).as_posix(), safe="/", errors="replace")
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": line}}}


def _message(title: str, text: str) -> dict[str, str]:
    """A text without the links that SARIF allows in messages."""
    return {"text": f"{title}: {text}".replace("](", "] (")}


_KINDS = {
    "no_evidence": "pass", "unconfirmed": "open", "inconclusive": "open", "error": "open",
    "not_applicable": "notApplicable",
}  # fmt: skip

_LEVELS = {"none": "note", "score only": "note", "low": "note", "medium": "warning", "high": "error"}

_STATES = {"kept": "pass", "open": "open", "broken": "fail", "failed": "fail"}

_GATE_LEVELS = {"warn": "warning", "error": "error"}

_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
