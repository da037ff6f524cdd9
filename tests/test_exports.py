"""A saved run in the formats of other tools says the same as the report, whatever the names in it hold."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest
from markdown_it import MarkdownIt

from auditor.errors import ReportError
from auditor.measure.ledger import Rows
from auditor.measure.measurement import Note
from auditor.report.exports.formats import export
from auditor.report.exports.junit import write_junit
from auditor.report.exports.markdown import code, escape, write_markdown
from auditor.report.exports.sarif import write_sarif
from auditor.report.presentable import present
from auditor.report.words import VERDICTS
from auditor.report.write import write_report
from auditor.run.files import FORMATS
from auditor.run.result import AuditResult
from auditor.run.store import Run, SavedRun, save_run
from tests.small_world import Command
from tests.synthetic import make_arrays, make_finding, make_result, measure
from tests.test_cli import WITHOUT_TENSORFLOW

VERDICT_NAMES = ("relies", "no_evidence", "inconclusive", "not_applicable", "error")

HOSTILE = [
    "<script>alert('1')</script>",
    "a | b `c` ``d`` *e* _f_ ~~g~~",
    "[click](http://evil.example) ![x](http://evil.example/x.png)",
    "<img src=x onerror=alert(1)> </summary></details>",
    "@octocat #12 GH-12 https://evil.example www.evil.example me@evil.example :tada: $x^2$ 0123abc0123abc",
    "\u202egnp.exe \x00\x1b[31m\x08 \ud800 \ufffe",
    "line one\nline two\r\n# heading\n- item\n<!-- comment",
    "`",
    "]]> &amp; {0} \\| \\",
    " ",
]


def plain(result: AuditResult) -> AuditResult:
    """As it may be shown."""
    return present(result, {}, "all").result


def sarif(result: AuditResult, **options: Any) -> bytes:
    return write_sarif(result, plain(result), **options)


def make_verdicts() -> AuditResult:
    findings = [make_finding(f"artefact {verdict}", "cat", verdict) for verdict in VERDICT_NAMES]
    return make_result(findings=findings)


def make_hostile(name: str) -> AuditResult:
    finding = make_finding(
        name, name, controls={name: measure(0.5)}, notes=[Note("remark", name)], reason=f"{name} and {name}."
    )
    return make_result(classes=(name, "dog"), artefact=name, title=name, findings=[finding], image=name)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    rows = Rows()
    rows.add(image="=cmd|' /C calc'!A0", group="-1", label="@sum", predicted="+1", measurement=" =1", value=-0.5)
    rows.add(image='quoted "name", with\nlines', target="\uff1dfull", method="safe=1", value=1e-17)
    rows.add(image="\x1b[31m\u202e", label="-")
    return save_run(Run(make_verdicts(), rows, make_arrays()), tmp_path)


class TestJUnit:
    def test_every_finding_is_a_test_that_ends_as_its_verdict_says(self):
        suites = ElementTree.fromstring(write_junit(plain(make_verdicts()))).findall("testsuite")
        endings = [[child.tag for child in suite.find("testcase")] for suite in suites]
        assert endings == [["failure"], [], ["skipped"], ["skipped"], ["error"]]
        for tag, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert [int(suite.get(attribute)) for suite in suites] == [int(tag in ending) for ending in endings]
        reasons = [suite.find("testcase")[0].get("message") for suite in suites if len(suite.find("testcase"))]
        assert all("a reason in one sentence" in reason for reason in reasons)

    def test_has_the_structure_of_the_schemas_of_jenkins_and_ant(self):
        root = ElementTree.fromstring(write_junit(plain(make_verdicts())))
        assert root.tag == "testsuites"
        assert root.attrib == {}
        for number, suite in enumerate(root):
            assert [child.tag for child in suite] == ["properties", "testcase", "system-out", "system-err"]
            assert set(suite.attrib) == {
                "name", "id", "package", "hostname", "time", "tests", "failures", "errors", "skipped", "timestamp",
            }  # fmt: skip
            assert suite.get("id") == str(number)
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp"))
            case = suite.find("testcase")
            assert set(case.attrib) == {"name", "classname", "time"}
            for ending in case:
                assert ending.tag == "skipped" or ending.get("type")
            for entry in suite.find("properties"):
                assert set(entry.attrib) == {"name", "value"}

    def test_tells_the_effect_with_its_interval_and_n(self):
        suite = ElementTree.fromstring(write_junit(plain(make_verdicts())))[0]
        told = {entry.get("name"): entry.get("value") for entry in suite.find("properties")}
        assert (told["effect"], told["low"], told["high"], told["n"]) == ("2.125", "1.875", "2.375", "120")

    @pytest.mark.parametrize("name", HOSTILE)
    def test_is_xml_whatever_names_hold(self, name):
        data = write_junit(plain(make_hostile(name)))
        suite = ElementTree.fromstring(data)[0]
        assert len(suite.findall("testcase")) == 1
        assert all(len(child) == 0 for child in suite.find("testcase"))
        assert "\u202e" not in data.decode("utf-8")

    def test_without_findings_has_no_tests(self):
        assert len(ElementTree.fromstring(write_junit(plain(make_result(findings=[]))))) == 0


class TestSarif:
    def test_has_what_code_scanning_requires(self):
        log = json.loads(sarif(make_verdicts()))
        assert log["version"] == "2.1.0"
        assert log["$schema"].endswith("sarif-2.1.0.json")
        (run,) = log["runs"]
        driver = run["tool"]["driver"]
        assert driver["name"] == "Auditor"
        for rule in driver["rules"]:
            for field in ("shortDescription", "fullDescription", "help"):
                assert rule[field]["text"]
        for result in run["results"]:
            assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
            assert result["message"]["text"]
            (location,) = result["locations"]
            assert location["physicalLocation"]["artifactLocation"]["uri"] == "audit.toml"
            assert location["physicalLocation"]["region"]["startLine"] >= 1
            assert re.fullmatch(r"[0-9a-f]{16}:1", result["partialFingerprints"]["primaryLocationLineHash"])

    def test_the_kind_is_the_verdict_and_only_failures_have_a_level(self):
        (run,) = json.loads(sarif(make_verdicts()))["runs"]
        assert [result["kind"] for result in run["results"]] == ["fail", "pass", "open", "notApplicable", "open"]
        assert [result["level"] for result in run["results"]] == ["warning", "none", "none", "none", "none"]
        assert run["invocations"][0]["executionSuccessful"] is False
        (notice,) = run["invocations"][0]["toolExecutionNotifications"]
        assert "artefact error" in notice["message"]["text"]

    @pytest.mark.parametrize(
        ("severity", "level"),
        [("score only", "note"), ("low", "note"), ("medium", "warning"), ("high", "error"), (None, "note")],
    )
    def test_the_level_of_a_failure_is_its_severity(self, severity, level):
        (run,) = json.loads(sarif(make_result(findings=[make_finding(severity=severity)])))["runs"]
        assert [result["level"] for result in run["results"]] == [level]
        assert run["invocations"][0]["executionSuccessful"] is True

    def test_the_fingerprint_is_that_of_artefact_class_model_and_data_and_not_of_the_effect(self):
        def fingerprint(result: AuditResult) -> str:
            (entry,) = json.loads(sarif(result))["runs"][0]["results"]
            return entry["partialFingerprints"]["primaryLocationLineHash"]

        result = make_result()
        (finding,) = result.findings
        other = replace(
            finding, reason="another", severity="high", measurements=finding.measurements | {"theta": measure(9)}
        )
        clock = replace(result.provenance, started="2027-01-01T00:00:00+00:00", seconds=9)
        assert fingerprint(replace(result, findings=[other], provenance=clock)) == fingerprint(result)
        changed = [
            make_result(artefact="another"),
            make_result(classes=("lynx", "dog")),
            replace(result, model=replace(result.model, sha256="f" * 64)),
            replace(result, data=replace(result.data, sha256="f" * 64)),
        ]
        assert len({fingerprint(one) for one in [result, *changed]}) == 1 + len(changed)

    def test_a_finding_stands_at_the_line_of_its_artefact_in_the_file_that_is_named(self):
        result = make_result()
        result = replace(result, artefacts=[replace(result.artefacts[0], line=14)])
        (entry,) = json.loads(sarif(result, location="models/my audit.toml"))["runs"][0]["results"]
        place = entry["locations"][0]["physicalLocation"]
        assert place == {"artifactLocation": {"uri": "models/my%20audit.toml"}, "region": {"startLine": 14}}

    def test_can_leave_out_what_is_no_failure(self):
        (run,) = json.loads(sarif(make_verdicts(), only_problems=True))["runs"]
        assert [result["kind"] for result in run["results"]] == ["fail"]

    @pytest.mark.parametrize("name", HOSTILE)
    def test_no_name_becomes_a_link_or_turns_the_text(self, name):
        text = sarif(make_hostile(name)).decode("utf-8")
        messages = [entry["message"]["text"] for entry in json.loads(text)["runs"][0]["results"]]
        assert not any(re.search(r"\]\(", message) for message in messages)
        assert not re.search("[\x00\x1b\u202e]", "".join(messages))


class TestMarkdown:
    def test_shows_verdict_effect_interval_n_reason_and_what_to_do(self):
        text = write_markdown(plain(make_verdicts()))
        for verdict in VERDICT_NAMES:
            assert f"`artefact {verdict}` → `cat`" in text
            assert f"**{VERDICTS[verdict][1]}**" in text
        assert "**+2.1** log-odds (1.9 to 2.4, 95 % interval) | 120 |" in text
        assert "a reason in one sentence" in text
        assert "Train without the artefact relies" in text
        assert "Not calibrated" in text

    @pytest.mark.parametrize("name", HOSTILE)
    def test_no_name_does_anything(self, name):
        parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
        usual, hostile = (parser.render(write_markdown(plain(make_hostile(one)))) for one in ("tag", name))
        assert re.findall(r"<(/?\w+)", hostile) == re.findall(r"<(/?\w+)", usual)
        prose = re.sub(r"<code>.*?</code>", "", hostile, flags=re.DOTALL)
        assert not re.search(r"@\w|#\d|://|www\.|GH-\d|:tada:|\b[0-9a-f]{7,40}\b", prose)
        assert not re.search("[\x00\x1b\u202e\ud800]", hostile)

    @pytest.mark.parametrize("name", ["a", "`", "a`b", "``", "`a", "a|b", "a\\|b", " ", "\\"])
    def test_code_shows_what_it_was_given(self, name):
        parser = MarkdownIt("commonmark").enable("table")
        shown = re.search(r"<code>(.*?)</code>", parser.render(code(name)), re.DOTALL)[1]
        assert shown.strip() == name.strip()
        table = parser.render(f"| x | y |\n| - | - |\n| {code(name, in_table=True)} | z |")
        assert re.search(r"<code>(.*?)</code>", table)[1].strip() == name.strip()
        assert "<td>z</td>" in table

    @pytest.mark.parametrize("text", ["- item", "1. item", "12) item", "+ item", "= x", "# title", "> quote", "\tcode"])
    def test_no_text_begins_a_block(self, text):
        assert MarkdownIt().render(escape(text)).startswith("<p>")

    def test_without_findings_says_so(self):
        assert "no verdict" in write_markdown(plain(make_result(findings=[])))


class TestRows:
    def test_csv_holds_every_row_and_numbers_stay_numbers(self, run):
        rows = list(csv.DictReader(io.StringIO(export(SavedRun(run), "csv").decode("utf-8"), newline="")))
        assert [row["value"] for row in rows] == ["-0.5", "1e-17", ""]
        assert rows[1]["image"] == 'quoted "name", with\nlines'
        assert rows[1]["method"] == "safe=1"

    def test_no_cell_of_a_csv_is_a_formula(self, run):
        rows = list(csv.DictReader(io.StringIO(export(SavedRun(run), "csv").decode("utf-8"), newline="")))
        cells = [cell for row in rows for name, cell in row.items() if name != "value"]
        assert not any(re.match(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r]", cell) for cell in cells)
        assert rows[0]["group"] == "'-1"
        assert rows[2]["image"] == "[U+001B][31m[U+202E]"

    def test_parquet_is_the_rows_with_their_types(self, run):
        table = pq.read_table(io.BytesIO(export(SavedRun(run), "parquet")))
        assert table.equals(SavedRun(run).rows)
        assert str(table.schema.field("value").type) == "double"

    @pytest.mark.parametrize("spoil", [Path.unlink, lambda file: file.write_bytes(b"PAR1 no more")])
    def test_missing_or_damaged_rows_are_named(self, run, spoil):
        spoil(run / "rows.parquet")
        with pytest.raises(ReportError, match=r"rows\.parquet: (missing|damaged)"):
            export(SavedRun(run), "csv")


class TestCommand:
    @pytest.mark.parametrize("name", ["junit", "sarif", "markdown", "csv"])
    def test_writes_beside_the_report_what_it_prints(self, run: Path, name: str, command: Command):
        ending = command("export", run, "--format", name)
        file = run / FORMATS[name]
        assert (ending.code, ending.out) == (0, f"{name}: {file}\n")
        assert file.read_bytes() == export(SavedRun(run), name)

    def test_prints_where_it_is_asked_to_and_needs_no_tensorflow(self, run: Path):
        words = [sys.executable, "-c", WITHOUT_TENSORFLOW, "export", str(run), "--format", "markdown", "--output", "-"]
        done = subprocess.run(words, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout == export(SavedRun(run), "markdown")
        assert not (run / "report.md").exists()

    def test_writes_into_the_file_that_is_named(self, run: Path, tmp_path: Path, command: Command):
        ending = command("export", run, "--format", "parquet", "--output", tmp_path / "copy.parquet")
        assert ending.code == 0
        assert pq.read_table(tmp_path / "copy.parquet").num_rows == 3

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            (["--format", "parquet"], 2, "--output: missing"),
            (["--format", "csv", "--output", "no/where.csv"], 2, "no: no such folder"),
            (["--format", "csv", "--only-problems"], 2, "--only-problems: got --format csv"),
            (["--format", "docx"], 2, "'docx' is not one of"),
        ],
    )
    def test_says_what_is_wrong(self, run: Path, words: list[str], code: int, said: str, command: Command, monkeypatch):
        monkeypatch.chdir(run)
        ending = command("export", run, *words)
        assert ending.code == code
        assert said in ending.err

    def test_a_report_has_the_formats_that_are_asked_for(self, run: Path):
        assert write_report(run, ("junit", "sarif", "markdown")) == []
        for name in ("junit", "sarif", "markdown"):
            assert (run / FORMATS[name]).read_bytes() == export(SavedRun(run), name)
        assert not (run / "report.html").exists()
