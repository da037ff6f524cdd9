"""Saved runs compared, verified and cleared away: what is said is so, and nothing else is touched."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.errors import ReportError
from auditor.measure.ledger import Rows
from auditor.report.comparison import list_differences, render_comparison
from auditor.report.pictures import heat_layer, picture_uri
from auditor.report.verify import verify_run
from auditor.report.write import write_report
from auditor.run.compare import compare_results, exit_code
from auditor.run.index import read_runs
from auditor.run.prune import plan_removal, remove_runs
from auditor.run.result import AuditResult
from auditor.run.store import Run, save_run
from tests.small_world import Command
from tests.synthetic import absent, make_arrays, make_finding, make_result, measure, replace_weasyprint, without_studies
from tests.system_tools import require
from tests.test_cli import WITHOUT_TENSORFLOW
from tests.test_history import HOSTILE, Page, add_run

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def save(reports: Path, result: AuditResult | None = None, **arrays: Any) -> Path:
    return save_run(Run(result or without_studies(make_result()), Rows(), make_arrays() | arrays), reports)


def with_effect(value: float, half: float = 0.25, verdict: str = "relies", **changes: Any) -> AuditResult:
    return make_result(
        findings=[make_finding(verdict=verdict, measurements={"theta": measure(value, half)}, **changes)]
    )


class TestCompare:
    @pytest.mark.parametrize(
        ("before", "after", "course", "code"),
        [
            (with_effect(2), with_effect(2.1), "no clear change", 0),
            (with_effect(2), with_effect(2.5), "no clear change", 0),  # the intervals touch
            (with_effect(2), with_effect(2.6), "grew", 1),
            (with_effect(2.6), with_effect(2), "shrank", 0),
            (with_effect(0, verdict="no_evidence"), with_effect(2), "new reliance", 1),
            (with_effect(0, verdict="no_evidence"), with_effect(0.1), "new reliance", 1),
            (with_effect(2), with_effect(0, verdict="no_evidence"), "shrank", 0),
            (with_effect(-3, verdict="no_evidence"), with_effect(0, verdict="no_evidence"), "grew", 0),
            (with_effect(2), with_effect(2, verdict="inconclusive"), "no clear change", 4),
            (with_effect(2, verdict="inconclusive"), with_effect(2, verdict="inconclusive"), "no clear change", 0),
            (make_result(findings=[]), with_effect(2), "new reliance", 1),
            (make_result(findings=[]), with_effect(0, verdict="no_evidence"), "new", 0),
            (with_effect(2), make_result(findings=[]), "gone", 4),
            (with_effect(2, verdict="error"), make_result(findings=[]), "gone", 0),
        ],
    )
    def test_tells_what_became_of_an_artefact(self, before, after, course, code):
        changes = compare_results(before, after)
        assert [change.course for change in changes] == [course]
        assert exit_code(changes) == code

    def test_the_other_way_round_grown_is_shrunk_and_new_is_gone(self):
        few, many = with_effect(1), with_effect(2)
        many = dataclasses.replace(many, findings=[*many.findings, make_finding("frame", "dog")])
        assert [change.course for change in compare_results(few, many)] == ["grew", "new reliance"]
        assert [change.course for change in compare_results(many, few)] == ["gone", "shrank"]

    def test_a_run_is_no_worse_than_itself(self):
        result = make_result()
        assert exit_code(compare_results(result, result)) == 0
        assert list_differences(result, result) == []

    @pytest.mark.parametrize(
        "other",
        [
            make_finding(endpoint="removal_drop"),
            make_finding(measurements={"theta": dataclasses.replace(measure(9.0), score="probability")}),
            make_finding(measurements={"theta": absent("too few images")}),
            make_finding(measurements={}, endpoint=None),
        ],
    )
    def test_effects_that_measure_different_things_are_not_compared(self, other):
        (change,) = compare_results(make_result(findings=[make_finding()]), make_result(findings=[other]))
        assert change.course == "not comparable"
        assert change.reason

    def test_lists_every_circumstance_that_differs(self):
        old = make_result()
        model = dataclasses.replace(old.model, sha256="2" * 64)
        config = old.provenance.config | {"verdict": {"margin": 0.7, "alpha": 0.05, "min_groups": 12}}
        provenance = dataclasses.replace(old.provenance, seed=3, packages={"keras": "4.0"}, config=config)
        new = dataclasses.replace(old, model=model, provenance=provenance, methods=old.methods[:1])
        assert list_differences(old, new) == [
            ("model, SHA-256", "0" * 64, "2" * 64),
            ("method smoothgrad", "off: switched off", "–"),
            ("seed", "0", "3"),
            ("package keras", "3.0", "4.0"),
            ("verdict.margin", "0.5", "0.7"),
        ]

    def test_the_page_pairs_the_maps_of_the_same_image_and_says_how_alike_they_are(self):
        arrays = make_arrays()
        other = arrays | {"map gradient": -arrays["map gradient"]}
        html = render_comparison(("a", "b"), (make_result(), make_result()), (arrays, other))
        assert html.count('class="heat"') == 4
        assert "correlation −1.00 over 64 pixels" in html
        assert "correlation 1.00 over 64 pixels" in html
        assert "The picture itself is not the same" not in html

    def test_the_page_says_where_a_map_is_missing_or_the_picture_is_another(self):
        new = make_result()
        (exemplar,) = new.exemplars
        new = dataclasses.replace(new, exemplars=[dataclasses.replace(exemplar, maps=exemplar.maps[:1])])
        arrays = make_arrays()
        other = arrays | {"with": 255 - arrays["with"], "map gradient": np.zeros((9, 9, 1), np.float32)}
        html = render_comparison(("a", "b"), (make_result(), new), (arrays, other))
        assert "only the earlier run has it" in html
        assert "the maps differ in size" in html
        assert "The picture itself is not the same" in html

    def test_runs_without_a_common_image_or_artefact_make_a_page_too(self):
        empty = dataclasses.replace(make_result(findings=[]), exemplars=[], methods=[])
        html = render_comparison(("a", "b"), (empty, empty), (make_arrays(), make_arrays()))
        assert "Neither run names an artefact" in html
        assert "No image was explained in both runs" in html
        assert "Nothing: model, data" in html

    def test_the_page_asks_for_nothing_and_runs_nothing_whatever_the_names(self):
        results = (make_result(classes=(HOSTILE, "dog"), artefact=HOSTILE, title=HOSTILE, image=HOSTILE),) * 2
        html = render_comparison((HOSTILE, "b"), results, (make_arrays(), make_arrays()))
        page = Page(html)
        assert "script" not in page.tags
        assert page.handlers == []
        assert all(link.startswith(("#", "data:image/")) for link in page.links)
        assert "default-src 'none'" in html

    def test_its_policy_allows_its_own_style_alone(self):
        html = render_comparison(("a", "b"), (make_result(), make_result()), (make_arrays(), make_arrays()))
        (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"style-src 'sha256-{digest}';" in html
        assert "unsafe" not in html
        assert " style=" not in re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL)

    @pytest.mark.parametrize("private", [(0,), (1,), (0, 1)])
    def test_shows_no_more_of_the_images_than_either_run_allows(self, private):
        results, arrays = (
            [make_result(), make_result()],
            (make_arrays(), make_arrays() | {"mean": 255 - make_arrays()["mean"]}),
        )
        for number in private:
            config = results[number].provenance.config | {"report": {"pictures": "none"}}
            provenance = dataclasses.replace(results[number].provenance, config=config)
            results[number] = dataclasses.replace(results[number], provenance=provenance)
        html = render_comparison(("a", "b"), (results[0], results[1]), arrays)
        assert "image-1" not in html
        assert picture_uri(arrays[0]["with"]) not in html
        assert heat_layer(arrays[0]["map gradient"]).uri not in html
        assert html.count("<br>withheld<br>") == 2  # the image is paired all the same
        shown = render_comparison(("a", "b"), (results[0], results[1]), arrays, "all")
        assert "image-1" in shown
        assert picture_uri(arrays[0]["with"]) in shown

    def test_the_command_says_it_writes_it_and_ends_with_its_code(self, command: Command, tmp_path: Path):
        before, after = save(tmp_path / "r", with_effect(1)), save(tmp_path / "r", with_effect(2))
        page = tmp_path / "page.html"
        ending = command("compare", before, after, "--output", page)
        assert ending.code == 1
        assert ending.out.startswith("The shortcut tag → cat grew; it is still relied on.\n")
        assert (
            "tag -> cat: grew (the intervals do not overlap; the runs cannot be compared image by image" in ending.out
        )
        assert "  before: relies, +1.0 log-odds, 0.75 to 1.2, n = 120\n" in ending.out
        assert "  after: relies, +2.0 log-odds, 1.8 to 2.2, n = 120\n" in ending.out
        assert before.name in page.read_text()
        assert command("compare", after, before).code == 0

    def test_the_summary_needs_no_arrays_and_the_page_does(self, command: Command, tmp_path: Path):
        run = save(tmp_path)
        (run / "arrays.npz").unlink()
        assert command("compare", run, run).code == 0
        ending = command("compare", run, run, "--output", tmp_path / "page.html")
        assert (ending.code, ending.out) == (3, "")
        assert ending.err == f"error: {run}/arrays.npz: missing; the run cannot be shown without its pictures\n"
        assert not (tmp_path / "page.html").exists()

    def test_a_page_that_cannot_be_written_is_one_clear_error(self, command: Command, tmp_path: Path):
        run = save(tmp_path)
        ending = command("compare", run, run, "--output", tmp_path / "gone" / "page.html")
        assert (ending.code, ending.out) == (2, "")
        assert ending.err == f"error: --output: {tmp_path / 'gone'}: no such folder\n"

    def test_a_run_of_a_newer_schema_is_one_clear_error(self, command: Command, tmp_path: Path):
        run = save(tmp_path)
        data = json.loads((run / "result.json").read_text()) | {"schema_version": 3}
        (run / "result.json").write_text(json.dumps(data))
        ending = command("compare", run, run)
        assert ending.code == 3
        assert (
            ending.err == f"error: {run}/result.json: schema_version: got 3, wanted 1 to 2; "
            "a newer Auditor wrote it, update this one\n"
        )

    def test_a_run_from_before_the_studies_is_compared_with_one_after(self, command: Command, tmp_path: Path):
        old, new = save(tmp_path / "r"), save(tmp_path / "r")
        data = json.loads((old / "result.json").read_text())
        for name in ("trust", "optima", "counterfactual", "errors", "preface"):
            del data[name]
        (old / "result.json").write_text(json.dumps(data))
        assert command("compare", old, new).code == 0


class TestVerify:
    def states(self, run: Path) -> dict[str, str]:
        return {check.what: check.state for check in verify_run(run)}

    def test_a_run_as_it_was_written_verifies_wherever_it_lies(self, command: Command, tmp_path: Path):
        require("pango")
        run = save(tmp_path / "reports")
        write_report(run, ("html", "pdf"))
        moved = run.rename(tmp_path / "moved")
        ending = command("verify", moved)
        assert ending.code == 0
        assert [line.partition(": ")[2] for line in ending.out.splitlines()] == ["as written"] * 7

    @pytest.mark.parametrize("name", ["result.json", "rows.parquet", "arrays.npz", "report.html"])
    def test_a_changed_byte_is_found(self, name: str, command: Command, tmp_path: Path):
        run = save(tmp_path)
        write_report(run, ("html",))
        data = bytearray((run / name).read_bytes())
        data[len(data) // 2] ^= 1
        (run / name).write_bytes(bytes(data))
        ending = command("verify", run)
        assert ending.code == 1
        assert re.search(rf"^{re.escape(name)}: differs \(SHA-256 is \w+…, was \w+…\)$", ending.out, re.MULTILINE)

    def test_a_missing_file_is_found(self, command: Command, tmp_path: Path):
        run = save(tmp_path)
        (run / "rows.parquet").unlink()
        ending = command("verify", run)
        assert (ending.code, "rows.parquet: missing\n" in ending.out) == (1, True)

    def test_rendering_again_does_not_whitewash_changed_evidence(self, command: Command, tmp_path: Path):
        run = save(tmp_path)
        text = (run / "result.json").read_text()
        (run / "result.json").write_text(text.replace('"verdict": "relies"', '"verdict": "no_evidence"', 1))
        write_report(run, ("html",))
        ending = command("verify", run)
        assert ending.code == 1
        assert "result.json: differs" in ending.out
        assert "report.html, drawn again: as written" in ending.out

    @pytest.mark.parametrize("formats", [("junit",), ("markdown", "sarif")])
    def test_a_format_without_pictures_changes_nothing_of_how_the_page_was_drawn(self, formats, tmp_path: Path):
        run = save(tmp_path)
        write_report(run, ("html",), "none")
        assert write_report(run, formats) == []
        assert set(self.states(run).values()) == {"as written"}

    @pytest.mark.slow
    def test_a_page_left_as_another_drew_it_is_told_and_not_called_false(self, tmp_path: Path):
        require("pango")
        run = save(tmp_path)
        write_report(run, ("html", "pdf"))
        (told,) = write_report(run, ("html",), "none")
        assert told.startswith(f"{run}/report.pdf: stays as it was drawn before")
        states = self.states(run)
        assert states.pop("report.pdf") == "not recorded"
        assert set(states.values()) == {"as written"}
        assert write_report(run, ("html", "pdf"), "none") == []
        assert set(self.states(run).values()) == {"as written"}

    def test_a_report_of_other_evidence_is_found_although_its_hash_was_renewed(self, tmp_path: Path):
        run, other = save(tmp_path), save(tmp_path, make_result(title="another"))
        write_report(run, ("html",))
        write_report(other, ("html",))
        hashes = json.loads((run / "hashes.json").read_text())
        hashes["files"]["report.html"] = json.loads((other / "hashes.json").read_text())["files"]["report.html"]
        (run / "hashes.json").write_text(json.dumps(hashes))
        (other / "report.html").replace(run / "report.html")
        states = self.states(run)
        assert states["report.html"] == "as written"
        assert states["report.html, drawn again"] == "differs"

    def test_other_versions_may_draw_otherwise_and_that_is_said(self, command: Command, tmp_path: Path, monkeypatch):
        run = save(tmp_path)
        write_report(run, ("html",))
        hashes = json.loads((run / "hashes.json").read_text())
        hashes["versions"]["matplotlib"] = "1.0"
        hashes["files"]["report.html"] = "0" * 64
        (run / "hashes.json").write_text(json.dumps(hashes))
        (check,) = [check for check in verify_run(run) if check.what == "report.html, drawn again"]
        assert check.state == "not compared"
        assert "matplotlib 1.0 then" in check.reason

    def test_a_page_that_was_made_without_its_pdf_verifies(self, tmp_path: Path, monkeypatch):
        run = save(tmp_path)
        with monkeypatch.context() as patch:
            replace_weasyprint(patch, tmp_path / "none", "raise ImportError")
            write_report(run, ("html", "pdf"))
        assert self.states(run)["report.html, drawn again"] == "as written"

    def test_what_nobody_recorded_is_left_open(self, command: Command, tmp_path: Path):
        run = save(tmp_path)
        (run / "hashes.json").unlink()
        ending = command("verify", run)
        assert (ending.code, ending.out) == (3, "")
        assert "hashes.json: missing; nothing says what this run was" in ending.err
        write_report(run, ("html",))  # the hash of a report says nothing of the evidence
        ending = command("verify", run)
        assert ending.code == 4
        assert "arrays.npz: not recorded" in ending.out

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"files": {"result.json": 3}}', '{"files": {"../x": "00"}}'])
    def test_damaged_hashes_are_one_clear_error_and_no_report_is_lost(
        self, text: str, command: Command, tmp_path: Path
    ):
        run = save(tmp_path)
        (run / "hashes.json").write_text(text)
        ending = command("verify", run)
        assert (ending.code, ending.out) == (3, "")
        assert ending.err.startswith(f"error: {run}/hashes.json: damaged: ")
        assert len(ending.err.splitlines()) == 1
        if "../x" not in text:
            assert "the hashes of the report are not recorded" in write_report(run, ("html",))[0]
            assert (run / "report.html").exists()

    def test_a_folder_that_is_no_run_is_one_clear_error(self, tmp_path: Path):
        with pytest.raises(ReportError, match="wanted the folder of a saved run"):
            verify_run(tmp_path)


class TestPrune:
    def reports(self, folder: Path, count: int = 5) -> Path:
        """Runs of the last days, the first of them today."""
        for number in range(count):
            result = make_result()
            started = (NOW - timedelta(days=number, hours=1)).isoformat()
            provenance = dataclasses.replace(result.provenance, started=started)
            save(folder, dataclasses.replace(result, provenance=provenance))
        return folder

    @pytest.mark.parametrize(
        ("keep", "older_than", "left"),
        [(2, None, 2), (0, None, 0), (9, None, 5), (None, 2, 2), (None, 0, 0), (3, 1, 3), (1, 3, 3), (9, 0, 5)],
    )
    def test_keeps_what_either_rule_keeps_the_newest_first(self, keep, older_than, left, tmp_path):
        listing = read_runs(self.reports(tmp_path))
        plan = plan_removal(tmp_path, listing, keep=keep, older_than=older_than, now=NOW)
        assert plan.keep == listing.entries[:left]
        remove_runs(tmp_path, plan.remove)
        assert read_runs(tmp_path).entries == plan.keep
        assert len(list(tmp_path.iterdir())) == left

    def test_touches_nothing_that_is_no_run(self, command: Command, tmp_path: Path):
        reports = self.reports(tmp_path / "reports", 1)
        kept = [reports / "README.md", tmp_path / "elsewhere" / "result.json"]
        kept += [reports / name / "result.json" for name in ("bad name", "damaged", "newer")]
        noted = add_run(reports, "with-notes") / "notes.txt"
        nested = add_run(reports, "with-folder") / "data" / "report.html"
        for name in ("bad name", "damaged", "newer"):
            add_run(reports, name)
        for file in (*kept, noted, nested):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text('{"schema_version": 3}')
        linked = reports / "linked"
        linked.symlink_to(save(tmp_path / "elsewhere"))
        inner = save(tmp_path / "elsewhere")
        (reports / "run-with-link").symlink_to(inner)
        ending = command("prune", reports, "--keep", "0", "--yes")
        assert ending.code == 0
        assert "removed: 1 of 3 runs" in ending.out
        assert "holds 'notes.txt', which is no file of a run" in ending.err
        assert "holds 'data', which is no file of a run" in ending.err
        assert all(file.exists() for file in (*kept, noted, nested))
        assert linked.is_symlink()
        assert (inner / "result.json").exists()

    def test_removes_a_large_report_with_its_pictures_unless_something_else_lies_among_them(
        self, command: Command, tmp_path: Path, monkeypatch
    ):
        monkeypatch.setattr("auditor.report.packing.LARGEST_PAGE", 1000)
        runs = [save(tmp_path), save(tmp_path)]
        for run in runs:
            write_report(run, ("html",))
            assert (run / "report.zip").exists()
        (runs[1] / "report_pictures" / "mine.png").write_bytes(b"mine")
        ending = command("prune", tmp_path, "--keep", "0", "--yes")
        assert "holds 'report_pictures', which is no file of a run" in ending.err
        assert [run.exists() for run in runs] == [False, True]

    def test_a_dry_run_says_and_leaves(self, command: Command, tmp_path: Path):
        self.reports(tmp_path)
        before = sorted(tmp_path.rglob("*"))
        ending = command("prune", tmp_path, "--keep", "3", "--dry-run")
        assert ending.code == 0
        assert ending.out.count("would remove: ") == 2
        assert sorted(tmp_path.rglob("*")) == before

    def test_asks_before_it_removes(self, command: Command, tmp_path: Path, monkeypatch):
        import io

        self.reports(tmp_path)
        monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
        assert command("prune", tmp_path, "--keep", "3").code == 3
        assert len(read_runs(tmp_path).entries) == 5
        monkeypatch.setattr("sys.stdin", io.StringIO(""))  # as in a job that nobody looks on
        ending = command("prune", tmp_path, "--keep", "3")
        assert (ending.code, len(read_runs(tmp_path).entries)) == (2, 5)
        assert ending.err == "error: --yes: missing, and nobody is there to answer; nothing was removed\n"
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
        assert command("prune", tmp_path, "--keep", "3").code == 0
        assert len(read_runs(tmp_path).entries) == 3
        assert (tmp_path / "index.html").read_text().count("<tr id=") == 3

    def test_without_a_rule_it_is_a_wrong_command_line(self, command: Command, tmp_path: Path):
        ending = command("prune", self.reports(tmp_path))
        assert ending.code == 2
        assert "wanted --keep N, --older-than DAYS, or both" in ending.err

    @pytest.mark.parametrize("days", ["nan", "-1", "inf", "soon"])
    def test_how_old_must_be_a_number_of_days(self, days, command: Command, tmp_path: Path) -> None:
        ending = command("prune", tmp_path, f"--older-than={days}")
        assert ending.code == 2
        assert "older-than" in ending.err


@pytest.mark.parametrize(
    "words",
    [["list", "."], ["index", "."], ["compare", "RUN", "RUN"], ["verify", "RUN"], ["prune", ".", "--keep", "9"]],
)
def test_commands_on_runs_do_without_tensorflow(words: list[str], tmp_path: Path) -> None:
    run = save(tmp_path)
    words = [run.name if word == "RUN" else word for word in words]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
