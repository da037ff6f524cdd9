"""A run as JUnit XML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from auditor.report.exports.facts import facts_of, measured_facts, ruling_title, title_of
from auditor.report.words import VERDICTS
from auditor.run.result import AuditResult
from auditor.run.ruling import rulings_on


def write_junit(shown: AuditResult) -> bytes:
    """JUnit XML as Jenkins and Ant read it: a test suite of one test per finding.

    `relies` is a failure, `error` an error, and what is undecided is skipped, each with its reason. The suite's
    properties hold the effect that decided, its interval and its n: tests have no properties in either schema.

    With a gate each of its rulings is a test, too: what fails it is a failure, what only warns or is waived is skipped.
    A finding is then a failure only where the gate fails by its verdict.
    """
    root = ElementTree.Element("testsuites")
    for finding in shown.findings:
        tag = _ENDINGS.get(finding.told)
        if shown.gate is not None and tag in ("failure", "skipped"):
            fails = any(ruling.counts == "error" for ruling in rulings_on(shown.gate, finding))
            tag = "failure" if fails else "skipped"
        message = f"{VERDICTS[finding.told][1]}: {finding.reason}"
        suite = _add_test(root, shown, title_of(finding), f"auditor.{finding.artefact}", tag, facts_of(shown, finding))
        _end(suite, tag, finding.verdict, message, [finding.reason, *(note.text for note in finding.notes)])
    for ruling in shown.gate.rulings if shown.gate else []:
        tag = "error" if ruling.state == "failed" else {"error": "failure", "warn": "skipped"}.get(ruling.counts)
        facts = {"state": ruling.state, "level": ruling.level} | measured_facts(ruling.measured)
        if ruling.waiver is not None:
            facts |= {f"waiver, {key}": value for key, value in vars(ruling.waiver).items()}
        suite = _add_test(root, shown, f"gate: {ruling_title(ruling)}", "auditor.gate", tag, facts)
        _end(suite, tag, ruling.state, ruling.sentence, [ruling.sentence])
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def _add_test(
    root: ElementTree.Element, shown: AuditResult, name: str, classname: str, tag: str | None, facts: dict[str, Any]
) -> ElementTree.Element:
    """A suite of one test, without its end."""
    suite = ElementTree.SubElement(
        root, "testsuite", name=name, id=str(len(root)), package="auditor", hostname="localhost", time="0", tests="1",
        failures=str(int(tag == "failure")), errors=str(int(tag == "error")), skipped=str(int(tag == "skipped")),
        timestamp=shown.provenance.started[:19],
    )  # fmt: skip
    properties = ElementTree.SubElement(suite, "properties")
    for key, value in facts.items():
        ElementTree.SubElement(properties, "property", name=key, value=_text(value))
    ElementTree.SubElement(suite, "testcase", name=name, classname=classname, time="0")
    return suite


def _end(suite: ElementTree.Element, tag: str | None, kind: str, message: str, said: Sequence[str]) -> None:
    """How the test of a suite ended, and what it said."""
    if tag:
        ending = ElementTree.SubElement(suite[-1], tag, {} if tag == "skipped" else {"type": kind})
        ending.set("message", message)
    ElementTree.SubElement(suite, "system-out").text = "\n".join(said)
    ElementTree.SubElement(suite, "system-err")


def _text(value: Any) -> str:
    return "yes" if value is True else "no" if value is False else str(value)


_ENDINGS = {
    "relies": "failure",
    "error": "error",
    "inconclusive": "skipped",
    "unconfirmed": "skipped",
    "not_applicable": "skipped",
}
