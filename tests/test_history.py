"""The history of runs: a line per run that no process loses, a page over all, and no name that breaks it."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from auditor.errors import ReportError
from auditor.measure.ledger import Rows
from auditor.report.gravity import GRAVITY
from auditor.report.index_page import INDEX_PAGE, find_series, index_policy, refresh_index, render_index
from auditor.report.matrix import tell_course, view_matrix
from auditor.report.trends import view_trend
from auditor.run.index import INDEX, Listing, add_lines, enter_run, is_run_id, locked, read_runs
from auditor.run.result import result_to_json
from auditor.run.store import Run, load_hashes, save_run
from tests.small_world import Command, World, unwritable
from tests.synthetic import absent, make_arrays, make_finding, make_history, make_result, measure

HOSTILE = "<script>alert('1')</script> \" ' & {{ 7 * 7 }} \u202egnp.exe \x1b[31m"


class Page(HTMLParser):
    """Elements of a page, with the text of each table row."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src", "action")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data):
        self.text += data


def add_run(reports: Path, name: str, **changes: object) -> Path:
    """A run of a synthetic result, under any name."""
    folder = reports / name
    folder.mkdir(parents=True)
    result = make_result(**changes)
    (folder / "result.json").write_text(result_to_json(result), encoding="utf-8")
    return folder


def lines(reports: Path) -> list[dict]:
    return [json.loads(line) for line in (reports / INDEX).read_text().splitlines() if line]


class TestIndex:
    def test_a_line_tells_of_its_run_what_the_page_needs(self, tmp_path):
        add_run(tmp_path, "run-1")
        refresh_index(tmp_path)
        (line,) = lines(tmp_path)
        result = make_result()
        finding, theta = result.findings[0], result.findings[0].measurements["theta"]
        assert (line["id"], line["started"], line["title"]) == ("run-1", result.provenance.started, result.title)
        assert (line["model"], line["model_sha256"]) == (result.model.source, result.model.sha256)
        assert (line["data"], line["data_sha256"]) == (result.data.source, result.data.sha256)
        assert line["exit_code"] == result.exit_code
        (outcome,) = line["outcomes"]
        assert (outcome["artefact"], outcome["target"]) == (finding.artefact, finding.target)
        assert (outcome["verdict"], outcome["direction"]) == ("relies", "promotes")
        assert (outcome["severity"], outcome["margin"]) == ("medium", 0.5)
        assert (outcome["endpoint"], outcome["value"]) == ("theta", theta.value)
        assert (outcome["low"], outcome["high"], outcome["n"]) == (theta.low, theta.high, theta.n)

    def test_runs_that_were_copied_in_are_found_and_those_known_are_not_read_again(self, tmp_path, monkeypatch):
        add_run(tmp_path, "run-1")
        refresh_index(tmp_path)
        add_run(tmp_path, "run-2", title="copied in")
        read = []
        monkeypatch.setattr("auditor.run.index.load_result", lambda folder: read.append(folder.name) or make_result())
        assert {entry.id for entry in refresh_index(tmp_path).entries} == {"run-1", "run-2"}
        assert read == ["run-2"]
        assert [line["id"] for line in lines(tmp_path)] == ["run-1", "run-2"]

    def test_a_run_removed_by_hand_vanishes_and_one_replaced_is_read_again(self, tmp_path):
        add_run(tmp_path, "run-1")
        add_run(tmp_path, "run-2")
        refresh_index(tmp_path)
        shutil.rmtree(tmp_path / "run-1")
        (tmp_path / "run-2" / "result.json").write_text(result_to_json(make_result(title="quite another title")))
        (entry,) = refresh_index(tmp_path).entries
        assert (entry.id, entry.title) == ("run-2", "quite another title")
        assert "run-1" not in (tmp_path / INDEX_PAGE).read_text()

    def test_the_newest_run_comes_first_whatever_its_time_zone(self, tmp_path):
        for name, started in (
            ("a", "2026-01-02T10:00:00+00:00"), ("b", "2026-01-02T11:00:00+02:00"), ("c", "no time"),
        ):  # fmt: skip
            result = make_result()
            provenance = dataclasses.replace(result.provenance, started=started)
            folder = tmp_path / name
            folder.mkdir()
            (folder / "result.json").write_text(result_to_json(dataclasses.replace(result, provenance=provenance)))
        assert [entry.id for entry in read_runs(tmp_path).entries] == ["a", "b", "c"]

    def test_a_torn_last_line_costs_no_run(self, tmp_path):
        for name in ("run-1", "run-2"):
            add_run(tmp_path, name)
        refresh_index(tmp_path)
        file = tmp_path / INDEX
        file.write_bytes(file.read_bytes()[:-40])
        add_run(tmp_path, "run-3")
        listing = refresh_index(tmp_path)
        assert {entry.id for entry in listing.entries} == {"run-1", "run-2", "run-3"}
        assert read_runs(tmp_path).unlisted == []

    @pytest.mark.parametrize(
        "rubbish", [b"\xff\xfe\n", b"null\n", b'{"id": 1}\n', b"\0" * 50, b"\n\n\n", b'{"version": 2}\n', b"[" * 9999]
    )
    def test_rubbish_in_the_file_is_passed_over(self, rubbish, tmp_path):
        add_run(tmp_path, "run-1")
        (tmp_path / INDEX).write_bytes(rubbish)
        assert [entry.id for entry in refresh_index(tmp_path).entries] == ["run-1"]
        assert read_runs(tmp_path).unlisted == []

    def test_a_name_with_half_a_sign_is_read_once_like_any_other(self, tmp_path):
        file = add_run(tmp_path, "run-1", title="half a sign", artefact="half a sign") / "result.json"
        file.write_text(file.read_text().replace("half a sign", "half \\ud800 sign"))
        assert refresh_index(tmp_path).entries[0].title == "half ? sign"
        assert read_runs(tmp_path).unlisted == []

    def test_a_line_for_a_folder_that_is_not_there_shows_nothing(self, tmp_path):
        add_lines(tmp_path / INDEX, [dataclasses.replace(make_history(1)[0], id="../../etc")])
        assert read_runs(tmp_path).entries == []

    def test_two_processes_that_append_at_once_lose_nothing(self, tmp_path):
        code = (
            "import dataclasses, sys; from pathlib import Path\n"
            "from auditor.run.index import INDEX, add_lines; from tests.synthetic import make_history\n"
            "reports, name = Path(sys.argv[1]), sys.argv[2]; (entry,) = make_history(1)\n"
            "print('ready', flush=True); sys.stdin.readline()\n"
            "for number in range(300):\n"
            "    add_lines(reports / INDEX, [dataclasses.replace(entry, id=f'{name}-{number}', title='x' * 5000)])\n"
        )
        at_once(tmp_path, code, ["a", "b"])
        assert {line["id"] for line in lines(tmp_path)} == {f"{name}-{n}" for name in "ab" for n in range(300)}

    @pytest.mark.slow
    def test_two_processes_that_save_runs_at_once_end_with_a_page_of_all(self, tmp_path):
        code = (
            "import sys; from pathlib import Path\n"
            "from auditor.run.store import Rows, Run, save_run; from auditor.report.index_page import refresh_index\n"
            "from tests.synthetic import make_arrays, make_result\n"
            "import pyarrow.parquet\n"
            "print('ready', flush=True); sys.stdin.readline()\n"
            "for number in range(8):\n"
            "    result = make_result(title=f'audit {number}')  # the very same as the other process has\n"
            "    save_run(Run(result, Rows(), make_arrays()), Path(sys.argv[1]))\n"
            "    refresh_index(Path(sys.argv[1]))\n"
        )
        at_once(tmp_path, code, ["a", "b"])
        wanted = sorted(f"audit {number}" for number in range(8) for _ in "ab")
        assert sorted(line["title"] for line in lines(tmp_path)) == wanted
        assert len({line["id"] for line in lines(tmp_path)}) == 16
        assert sorted(re.findall(r"<bdi>(audit \d)</bdi>", (tmp_path / INDEX_PAGE).read_text())) == wanted
        assert not [item.name for item in tmp_path.iterdir() if item.name.startswith(".")]

    def test_a_process_that_holds_the_index_is_waited_for_and_then_named(self, tmp_path, monkeypatch):
        monkeypatch.setattr("auditor.run.index._PATIENCE", 0.1)
        add_run(tmp_path, "run-1")
        with locked(tmp_path), pytest.raises(ReportError, match=r"another process has been writing it for 0\.1 s"):
            refresh_index(tmp_path)
        assert len(refresh_index(tmp_path).entries) == 1


class TestFolders:
    @pytest.mark.parametrize(
        "name", ["", ".", "..", ".hidden", "a/b", "a b", "a\nb", "a\0b", "-x", "<b>", "\u202ea", "x" * 201, 'a"b']
    )
    def test_a_name_that_could_be_taken_amiss_is_no_run(self, name):
        assert not is_run_id(name)

    def test_what_looks_like_a_run_and_cannot_be_listed_is_named_and_spoils_nothing(self, tmp_path):
        add_run(tmp_path, "good")
        add_run(tmp_path, "bad name")
        add_run(tmp_path, "damaged").joinpath("result.json").write_text('{"schema_version":')
        add_run(tmp_path, "deep").joinpath("result.json").write_text("[" * 100_000)
        add_run(tmp_path, "long").joinpath("result.json").write_text("9" * 10_000)
        newer = add_run(tmp_path, "newer") / "result.json"
        newer.write_text(newer.read_text().replace('"schema_version": 2', '"schema_version": 3'))
        (tmp_path / "linked").symlink_to(tmp_path / "good")
        (tmp_path / "no-run").mkdir()
        (tmp_path / "README.md").touch()
        listing = refresh_index(tmp_path)
        assert [entry.id for entry in listing.entries] == ["good"]
        assert len(listing.faults) == 6
        for said in (
            "bad name",
            "result.json:1:19: not JSON",
            "got 3, wanted 1 to 2",
            "linked: a symbolic link",
            "deep",
            "long",
        ):
            assert any(said in fault for fault in listing.faults), said
        assert (tmp_path / INDEX_PAGE).read_text().count("Left out: ") == 6

    def test_a_folder_that_cannot_be_written_is_one_clear_error(self, tmp_path):
        add_run(tmp_path, "run-1")
        with pytest.raises(ReportError, match="cannot be written"), unwritable(tmp_path):
            refresh_index(tmp_path)

    def test_a_full_disk_leaves_the_page_as_it_was_and_loses_no_run(self, tmp_path, monkeypatch):
        add_run(tmp_path, "run-1")
        refresh_index(tmp_path)
        before = (tmp_path / INDEX_PAGE).read_bytes()
        add_run(tmp_path, "run-2")
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda descriptor, data: 10)
            with pytest.raises(ReportError, match="No space left on device"):
                refresh_index(tmp_path)
        assert (tmp_path / INDEX_PAGE).read_bytes() == before
        assert {entry.id for entry in refresh_index(tmp_path).entries} == {"run-1", "run-2"}

    def test_a_page_that_cannot_be_put_in_place_leaves_no_half_of_it(self, tmp_path):
        add_run(tmp_path, "run-1")
        (tmp_path / INDEX_PAGE).mkdir()
        with pytest.raises(ReportError, match="cannot be written: it is a folder"):
            refresh_index(tmp_path)
        assert {item.name for item in tmp_path.iterdir()} == {"run-1", INDEX, INDEX_PAGE}

    def test_a_folder_that_is_not_there_is_one_clear_error(self, tmp_path):
        with pytest.raises(ReportError, match="no such folder"):
            refresh_index(tmp_path / "gone")


class TestPage:
    def test_five_thousand_runs_are_all_there(self):
        entries = make_history(5000)
        html = render_index(Listing(entries[::-1], reports={entry.id: [] for entry in entries}))
        newest_first = [entry.id for entry in reversed(entries)]
        assert re.findall(r'<tr id="run-([^"]*)"', html) == newest_first
        assert re.findall(r'href="([^"/]*)/result.json"', html) == newest_first

    def test_is_the_same_twice(self):
        entries = make_history(20)
        listing = Listing(entries[::-1], reports={entry.id: [] for entry in entries})
        assert render_index(listing) == render_index(listing)

    def test_links_to_the_reports_that_are_there_and_no_others(self, tmp_path):
        (add_run(tmp_path, "run-1") / "report.pdf").touch()
        refresh_index(tmp_path)
        links = Page((tmp_path / INDEX_PAGE).read_text()).links
        assert set(links) == {"run-1/report.pdf", "run-1/result.json", "#run-run-1"}

    def test_hostile_names_are_plain_text(self, tmp_path):
        for name in ("run-1", "run-2"):  # two, so that there is a trend
            add_run(tmp_path, name, title=HOSTILE, artefact=HOSTILE, classes=(HOSTILE, "dog"))
        html = render_index(refresh_index(tmp_path))
        page = Page(html)
        assert page.tags.count("script") == 1
        assert page.handlers == []
        assert "<script>alert('1')</script>" in page.text
        assert "{{ 7 * 7 }}" in page.text
        # what turns the order of letters is written out, so that no name reads as another
        assert "[U+202E]gnp.exe" in page.text
        assert not re.search("[\u202e\x1b]", html)
        assert html.count("<bdi>") == html.count("</bdi>")

    def test_a_name_of_ten_thousand_characters_is_cut(self, tmp_path):
        for name in ("run-1", "run-2"):
            add_run(tmp_path, name, title="x" * 10_000, artefact="y" * 10_000, classes=("z" * 10_000, "dog"))
        html = render_index(refresh_index(tmp_path))
        assert len(html) < 60_000
        assert "x" * 200 not in html

    def test_two_names_that_are_cut_alike_stay_two_models(self, tmp_path):
        entries = [
            dataclasses.replace(entry, model=f"{'x' * 200}{number}{'y' * 200}")
            for number, entry in enumerate(make_history(2))
        ]
        html = render_index(Listing(entries, reports={entry.id: [] for entry in entries}))
        assert 'data-m="0"' in html
        assert 'data-m="1"' in html

    def test_no_runs_is_no_error(self, tmp_path):
        html = render_index(refresh_index(tmp_path))
        assert "No run is here yet" in html
        assert "script" not in Page(html).tags

    def test_a_finding_without_an_effect_and_a_run_without_findings_are_shown(self, tmp_path):
        bare = make_finding(verdict="error", measurements={"theta": absent("broken")}, endpoint=None)
        for name in ("run-1", "run-2"):
            add_run(tmp_path, name, findings=[bare])
        add_run(tmp_path, "run-3", findings=[])
        html = render_index(refresh_index(tmp_path))
        assert html.count("<tr id=") == 3
        assert "no artefact named" in html
        assert "latest: not measured" in html

    def test_a_trend_tells_when_reliance_was_first_found(self):
        entries = make_history(60)
        html = render_index(Listing(entries[::-1], reports={entry.id: [] for entry in entries}))
        series = [entry for entry in entries if (entry.model, entry.data) == (entries[0].model, entries[0].data)]
        first = next(entry for entry in series if entry.outcomes[0].verdict == "relies")
        assert len(series) == 10
        cards = [card for card in html.split('<article class="trend"')[1:] if "<bdi>watermark</bdi>" in card]
        card = next(card for card in cards if series[0].model in card and series[0].data in card)
        assert f"reliance first found on {first.started[:10]}" in card
        assert f"10 audits since {series[0].started[:10]}" in card
        assert card.count("<title>") == 10

    def test_a_plot_keeps_every_mark_inside_its_frame(self):
        finding = make_finding(measurements={"theta": measure(-1e6, 5e5)}, margin=0.5)
        entries = [enter_run(f"run-{n}", make_result(findings=[finding]), 1) for n in range(3)]
        html = render_index(Listing(entries, reports={entry.id: [] for entry in entries}))
        svg = html[html.index("<svg") : html.index("</svg>")]
        heights = [float(y) for y in re.findall(r"M[\d.]+ (-?[\d.]+)V", svg)]
        assert heights
        assert all(0 <= y <= 128 for y in heights)

    def test_one_wild_audit_does_not_squash_the_others_and_is_told(self):
        def heights(values):
            audits = []
            for number, value in enumerate(values):
                finding = make_finding(measurements={"theta": measure(value, 0.25)}, margin=0.5)
                entry = enter_run(f"run-{number}", make_result(findings=[finding]), 1)
                audits.append((entry, entry.outcomes[0]))
            trend = view_trend(audits)
            return [float(y) for _, y, *_ in trend["points"]], [entry.id for entry, _ in trend["beyond"]]

        calm, none = heights([1.0, 2.0, 1.5, 1.0, 2.0])
        wild, beyond = heights([1.0, 2.0, 1.5, 300.0, 2.0])
        assert none == []
        assert beyond == ["run-3"]
        assert wild[1] - wild[0] == pytest.approx(calm[1] - calm[0], rel=0.2)
        assert wild[3] == min(wild)
        few, beyond = heights([1.0, 300.0, 1.5])  # of three nobody can say which is the wild one
        assert beyond == []
        assert few[1] < min(few[0], few[2])

    def test_the_matrix_tells_the_last_and_gravest_verdict_of_every_model_and_artefact(self):
        entries = make_history(60)
        matrix = view_matrix(find_series(entries[::-1]))
        assert [model for model, _ in matrix.rows] == sorted(
            {entry.model for entry in entries}, key=[model for model, _ in matrix.rows].index
        )
        last = {}
        for entry in entries:
            for outcome in entry.outcomes:
                last[entry.model, entry.data, outcome.artefact] = (entry, outcome)
        for model, cells in matrix.rows:
            for artefact, cell in zip(matrix.artefacts, cells, strict=True):
                ends = [found for (of, _, about), found in last.items() if (of, about) == (model, artefact)]
                gravest = min((outcome for _, outcome in ends), key=lambda each: GRAVITY.index(each.verdict))
                assert cell.verdict == gravest.verdict
                assert cell.run in {entry.id for entry, _ in ends}
                assert cell.others == len(ends) - 1 == 1

    @pytest.mark.parametrize(("before", "last", "course"), [
        (1.0, 3.0, "rose"), (3.0, 1.0, "fell"), (1.0, 1.25, "no clear change"), (None, 1.0, "first audit"),
    ])  # fmt: skip
    def test_an_effect_rose_or_fell_only_where_intervals_do_not_overlap(self, before, last, course):
        audits = []
        for value in (before, last):
            if value is not None:
                finding = make_finding(measurements={"theta": measure(value, 0.25)})
                entry = enter_run("run", make_result(findings=[finding]), 1)
                audits.append((entry, entry.outcomes[0]))
        assert tell_course(audits) == course

    @pytest.mark.parametrize("change", [{"endpoint": "theta_suppression"}, {"target": "another"}, {"unit": "share"}])
    def test_what_was_decided_on_something_else_neither_rose_nor_fell(self, change):
        finding = make_finding(measurements={"theta": measure(1.0, 0.25)})
        entry = enter_run("run", make_result(findings=[finding]), 1)
        (outcome, *_) = entry.outcomes
        before = dataclasses.replace(outcome, value=9.0, low=8.0, high=10.0, **change)
        assert tell_course([(entry, before), (entry, outcome)]) == "not comparable"

    def test_the_policy_of_the_page_names_no_source_but_itself(self):
        policy = index_policy()
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy
        assert "http" not in policy


class TestCommands:
    def test_an_audit_adds_its_run_to_the_index(self, world: World, command: Command) -> None:
        assert command("audit", world.config, "--quiet").code == 1
        (run,) = world.runs()
        reports = world.folder / "reports"
        assert [line["id"] for line in lines(reports)] == [run.name]
        assert f'href="{run.name}/report.html"' in (reports / INDEX_PAGE).read_text()
        hashes = load_hashes(run)
        assert hashes is not None
        assert set(hashes.files) == {"result.json", "rows.parquet", "arrays.npz", "report.html"}

    def test_an_index_that_cannot_be_written_is_a_warning_and_the_run_stands(
        self, world: World, command: Command
    ) -> None:
        (world.folder / "reports" / INDEX).mkdir(parents=True)
        ending = command("audit", world.config, "--quiet")
        assert ending.code == 1
        assert "warning: the index was not renewed: " in ending.err
        assert len([run for run in world.runs() if (run / "report.html").exists()]) == 1

    def test_render_renews_an_index_and_makes_none(self, command: Command, tmp_path: Path) -> None:
        run = save_run(Run(make_result(), Rows(), make_arrays()), tmp_path / "reports")
        assert command("render", run, "--format", "html").code == 0
        assert not (run.parent / INDEX_PAGE).exists()
        refresh_index(run.parent)
        (run / "report.html").unlink()
        assert command("index", run.parent).code == 0
        assert "report.html" not in (run.parent / INDEX_PAGE).read_text()
        assert command("render", run, "--format", "html").code == 0
        assert "report.html" in (run.parent / INDEX_PAGE).read_text()

    def test_list_prints_every_run_and_writes_nothing(self, command: Command, tmp_path: Path) -> None:
        add_run(tmp_path, "run-1", title=HOSTILE)
        add_run(tmp_path, "run-2")
        ending = command("list", tmp_path)
        assert ending.code == 0
        assert {line.split()[0] for line in ending.out.splitlines()} >= {"run", "run-1", "run-2"}
        assert "\x1b" not in ending.out
        assert "\u202e" not in ending.out
        listed = json.loads(command("list", tmp_path, "--json").out)
        assert {entry["id"] for entry in listed} == {"run-1", "run-2"}
        assert listed[0]["outcomes"][0]["value"] == 2.125
        assert not (tmp_path / INDEX).exists()

    def test_list_names_what_it_leaves_out(self, command: Command, tmp_path: Path) -> None:
        add_run(tmp_path, "run-1").joinpath("result.json").write_text("{")
        ending = command("list", tmp_path)
        assert (ending.code, ending.out) == (0, "no runs\n")
        assert ending.err.startswith(f"warning: {tmp_path}/run-1/result.json:1:2: not JSON")

    @pytest.mark.parametrize("words", [["list"], ["index"], ["prune", "--keep", "1"], ["browse"]])
    def test_a_folder_that_is_not_there_ends_with_2(self, words: list[str], command: Command, tmp_path: Path) -> None:
        ending = command(words[0], tmp_path / "gone", *words[1:])
        assert (ending.code, ending.out) == (2, "")
        assert ending.err == f"error: {tmp_path}/gone: no such folder; wanted a folder of runs\n"


def at_once(reports: Path, code: str, names: list[str]) -> None:
    """Run a program in several processes that begin together."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(reports), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        )
        for name in names
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        process.communicate(timeout=120)
        assert process.returncode == 0
