"""What became of checks for other tools: one JUnit XML and one Markdown of all, and the SARIF of each."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from auditor.auditing.checks.notify import count_states, write_message
from auditor.config.checks import ChecksConfig
from auditor.errors import ReportError
from auditor.report.exports.junit import write_junit
from auditor.report.exports.sarif import write_sarif
from auditor.report.presentable import present
from auditor.report.visible import make_visible
from auditor.run.checked import CheckRecord
from auditor.run.files import write_files
from auditor.run.store import SavedRun

JUNIT, MARKDOWN = "checks.junit.xml", "checks.md"


def export_checks(config: ChecksConfig, records: Sequence[CheckRecord], folder: Path) -> None:
    """Write `checks.junit.xml`, `checks.md`, and `NUMBER-NAME.sarif` of every check that has a run, into a folder.

    A check whose audit could not be completed is an error in JUnit, whatever its run says.

    Raises
    ------
    ReportError
        The folder cannot be written.
    """
    root, files = ElementTree.Element("testsuites"), dict[Path, bytes]()
    configs = {cell.name: cell.config for cell in config.cells}
    for number, record in enumerate(records, 1):
        fault = record.reason if record.state in ("broken", "wrong") else ""
        if record.run is not None:
            run = SavedRun(config.folder / config.reports / record.run)
            try:
                shown = present(run.result, run.arrays).result
                location = Path(os.path.relpath(configs[record.name])).as_posix()
                name = re.sub(r"[^A-Za-z0-9]+", "-", record.name).strip("-")
                files[folder / f"{number}-{name}.sarif"] = write_sarif(run.result, shown, location=location)
                suites = ElementTree.fromstring(write_junit(shown))
            except ReportError as damage:  # gone, or damaged, since
                fault = fault or str(damage)
            else:
                for suite in suites:
                    suite.set("name", make_visible(f"{record.name}: {suite.get('name')}"))
                    suite.set("id", str(len(root)))
                    root.append(suite)
        if fault:
            _add_error(root, record, fault)
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    text = write_message(f"{config.file.name}: {count_states(records)}", records, config.folder / config.reports)
    write_files(files | {folder / JUNIT: data + b"\n", folder / MARKDOWN: text.encode("utf-8", "replace")})


def _add_error(root: ElementTree.Element, record: CheckRecord, fault: str) -> None:
    """A suite of one test that could not be made."""
    name, told = make_visible(record.name), make_visible(fault)
    suite = ElementTree.SubElement(
        root, "testsuite", name=name, id=str(len(root)), package="auditor", hostname="localhost", time="0", tests="1",
        failures="0", errors="1", skipped="0", timestamp=record.checked[:19],
    )  # fmt: skip
    ElementTree.SubElement(suite, "properties")
    case = ElementTree.SubElement(suite, "testcase", name=name, classname="auditor.check", time="0")
    ElementTree.SubElement(case, "error", type=record.state, message=told)
    ElementTree.SubElement(suite, "system-out").text = told
    ElementTree.SubElement(suite, "system-err")
