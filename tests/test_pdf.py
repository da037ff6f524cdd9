"""The PDF: a cover, contents that are right, tags, fonts and the result inside, the same bytes, in a process apart."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pypdf
import pytest

from auditor.errors import ReportError
from auditor.measure.ledger import Rows
from auditor.measure.words import say_effect
from auditor.report import cells, pdf, plots
from auditor.report import write as report
from auditor.report.page import SECTIONS, fill_page, view_page
from auditor.report.pdf import MOST_ROWS, Pdf, PdfError, Request, render_pdf
from auditor.report.presentable import present
from auditor.report.telling import tell_lead
from auditor.report.templates import read_own_templates, read_template
from auditor.report.verify import verify_run
from auditor.report.visible import make_visible
from auditor.report.write import write_report
from auditor.run.result import result_from_json
from auditor.run.store import Run, SavedRun, save_run
from tests.synthetic import make_arrays, make_finding, make_result, replace_weasyprint
from tests.system_tools import require

MADE = "2026-01-02T03:04:05+00:00"


HOSTILE = [
    "<script>alert(1)</script>",
    "\u202etxt.exe",
    "{{ 7 * 7 }}",
    "x\x00\x1b[31m",
    "'\"><img src=x>",
    "&lt;b&gt;",
    "%s",
]


def draw(page: str, attachment: str = "{}") -> pypdf.PdfReader:
    from io import BytesIO

    require("pango")
    return pypdf.PdfReader(BytesIO(render_pdf(ask(page, attachment)).data))


def ask(page: str, attachment: str = "{}") -> Request:
    html = f"<!doctype html><html lang=en><title>t</title><body>{page}"
    return Request(html, attachment, MADE, str(plots.font_folder()))


def save(folder: Path, **changes: Any) -> Path:
    return save_run(Run(make_result(**changes), Rows(), make_arrays()), folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("pango")
    run = save(tmp_path_factory.mktemp("pdf"))
    assert write_report(run, ("pdf",)) == []
    return run


@pytest.fixture(scope="module")
def pages(run: Path) -> list[str]:
    require("poppler")
    text = subprocess.run(["pdftotext", "-layout", run / "report.pdf", "-"], capture_output=True, text=True, check=True)
    return text.stdout.split("\f")[:-1]


@pytest.fixture(scope="module")
def document(run: Path) -> pypdf.PdfReader:
    return pypdf.PdfReader(run / "report.pdf")


@pytest.fixture
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take seconds, and no cover has one."""
    monkeypatch.setattr(plots, "svg_of", lambda *_, **__: "")


def outline(document: pypdf.PdfReader) -> list[tuple[int, str, int]]:
    """Depth, title and page (from 1) of every entry."""

    def walk(entries: list[Any], depth: int) -> list[tuple[int, str, int]]:
        found = []
        for entry in entries:
            if isinstance(entry, list):
                found += walk(entry, depth + 1)
            else:
                found.append((depth, entry.title, document.get_destination_page_number(entry) + 1))
        return found

    return walk(document.outline, 1)


def tags_of(document: pypdf.PdfReader) -> list[Any]:
    """The elements of the tree of tags."""
    found, waiting = [], [document.trailer["/Root"]["/StructTreeRoot"]["/K"]]
    while waiting:
        item = waiting.pop().get_object()
        if isinstance(item, list):
            waiting += item
        elif isinstance(item, dict) and "/S" in item:
            found.append(item)
            waiting.append(item.get("/K", pypdf.generic.ArrayObject()))
    return found


class TestPages:
    def test_the_cover_is_one_page_and_says_what_was_found_of_what(self, run, pages):
        result = make_result()
        (finding,) = result.findings
        cover = " ".join(pages[0].split())
        assert result.title in cover
        assert "Relies on it" in cover
        assert tell_lead(finding, result.rule) in cover
        assert say_effect(finding.effect) in cover
        assert f"{finding.effect.n} images" in cover
        for fact in (result.model.source, result.data.source, "2026-01-02", run.name):
            assert fact in cover
        assert not re.search(r"\d+ / \d+", cover)

    def test_the_contents_follow_and_name_the_pages_on_which_sections_begin(self, pages, document):
        named = re.findall(r"^ *(\S.*?)\s+page (\d+)$", pages[1], re.MULTILINE)
        begins = {title: page for depth, title, page in outline(document) if depth == 1}
        assert named == [(title, str(begins[title])) for _, title, _ in SECTIONS]
        for title, page in begins.items():
            assert re.search(rf"^ *{re.escape(title)}$", pages[page - 1], re.MULTILINE), title
        assert min(begins.values()) == 3

    def test_every_page_after_the_cover_has_its_number_and_running_heads(self, pages, document):
        begins = [(page, title) for depth, title, page in outline(document) if depth == 1]
        for number, text in enumerate(pages[1:], 2):
            assert text.split()[-3:] == [str(number), "/", str(len(pages))]
            head, foot = text.split("\n", 1)[0], text.rstrip().rpartition("\n")[2].split("  ")
            assert head.strip() == make_result().title
            before = [title for page, title in begins if page < number]
            assert foot[0].strip() in {*before[-1:], *(title for page, title in begins if page == number), "Contents"}

    def test_the_outline_is_of_sections_and_their_parts(self, document):
        found = outline(document)
        assert [title for depth, title, _ in found if depth == 1] == [title for _, title, _ in SECTIONS]
        assert {depth for depth, _, _ in found} == {1, 2}
        assert (2, "References") in [(depth, title) for depth, title, _ in found]
        assert [page for _, _, page in found] == sorted(page for _, _, page in found)

    @pytest.mark.parametrize("names", [HOSTILE, ["a" * 5000] * 9], ids=["hostile", "long"])
    def test_hostile_names_stay_on_one_cover_as_plain_text(self, names, without_plots):
        title = " ".join(names)
        findings = [make_finding(target=name) for name in names]
        result = make_result(title=title, classes=("cat", *set(names)), findings=findings)
        text = fill_page(view_page(present(result, make_arrays()), run="r"), [], paper=True)
        cover = text.partition('<section class="cover"')[2].partition("</section>")[0]
        assert "<script" not in cover
        assert "\u202e" not in cover
        sheets = read_template("style.css") + read_template("paper.css")
        drawn = draw(f'<style>{sheets}</style><section class="cover"{cover}</section><nav class="contents">next')
        assert len(drawn.pages) == 2
        shown = "".join(drawn.pages[0].extract_text().split())
        assert f"{len(names) - 4}moreartefactsareunderVerdict" in shown
        for name in names[:3]:
            assert "".join(make_visible(name).split())[:20] in shown

    def test_a_run_without_artefacts_says_so_on_its_cover(self, without_plots):
        page = view_page(present(make_result(findings=[]), make_arrays()), run="r")
        assert "so there is no verdict" in fill_page(page, [], paper=True).partition("</section>")[0]


class TestDocument:
    def test_is_tagged_and_says_what_it_is(self, document):
        root = document.trailer["/Root"]
        assert root["/MarkInfo"]["/Marked"]
        assert root["/Lang"] == "en"
        assert root["/ViewerPreferences"]["/DisplayDocTitle"]
        assert "pdfuaid" in root["/Metadata"].get_object().get_data().decode()
        kinds = set()
        waiting = [root["/StructTreeRoot"]]
        while waiting:
            item = waiting.pop().get_object()
            if isinstance(item, list):
                waiting += item
            elif isinstance(item, dict):
                kinds.add(item.get("/S"))
                if "/K" in item:
                    waiting.append(item["/K"])
        assert {"/H1", "/H2", "/H3", "/P", "/Table", "/TH", "/TD", "/Figure", "/L", "/LI", "/Link"} <= kinds

    def test_what_readers_aloud_go_by_is_whole(self, document):
        """Every figure has words, lists hold items alone, header cells say whose they are, links are printed."""
        seen: dict[str, int] = {}
        waiting = [document.trailer["/Root"]["/StructTreeRoot"]["/K"]]
        while waiting:
            item = waiting.pop().get_object()
            if isinstance(item, list):
                waiting += item
                continue
            if not isinstance(item, dict) or "/S" not in item:
                continue
            kind = item["/S"]
            seen[kind] = seen.get(kind, 0) + 1
            kids = item.get("/K", [])
            kids = [kid.get_object() for kid in (kids if isinstance(kids, list) else [kids])]
            within = {kid["/S"] for kid in kids if isinstance(kid, dict) and "/S" in kid}
            if kind == "/Figure":
                assert item["/Alt"]
            elif kind == "/L":
                assert within <= {"/LI", "/L", "/Caption"}
            elif kind == "/TH":
                assert item["/A"]["/Scope"] in ("/Row", "/Column")
            else:
                assert kind == "/LI" or not within & {"/LBody", "/Lbl"}
            assert kind == "/L" or "/LI" not in within
            waiting += [kid for kid in kids if isinstance(kid, dict)]
        assert min(seen[kind] for kind in ("/Figure", "/L", "/LI", "/TH")) > 5
        links = [item.get_object() for page in document.pages for item in page.get("/Annots", [])]
        assert links
        assert all(link["/F"] == 4 for link in links)

    def test_a_table_is_one_with_one_head_however_many_pages_it_stands_on(self):
        rows = "".join(f"<tr><th scope=row>row {number}</th><td>cell {number}</td></tr>" for number in range(60))
        head = "<caption>Many</caption><thead><tr><th scope=col>Row</th><th scope=col>Cell</th></tr></thead>"
        table = f"<table style='line-height: 3'>{head}<tbody>{rows}</tbody></table>"
        drawn = draw(f"<main>{table}<p>between</p>{table}</main>")
        assert len(drawn.pages) > 4
        kinds = [item["/S"] for item in tags_of(drawn)]
        assert kinds.count("/Table") == kinds.count("/THead") == 2
        assert kinds.count("/TR") == 2 * 61
        repeated = sum(page.get_contents().get_data().count(b"/Artifact") for page in drawn.pages)
        assert repeated >= len(drawn.pages) - 2

    def test_running_heads_and_page_numbers_are_no_part_of_what_is_read_aloud(self, document):
        for number, page in enumerate(document.pages):
            marked = page.get_contents().get_data().count(b"/Pagination")
            assert marked >= 3 if number else not marked

    def test_has_title_author_subject_and_the_date_of_the_run(self, document, run):
        told = document.metadata
        assert told.title == f"{make_result().title} – shortcut audit"
        assert told.author.startswith("Auditor ")
        assert run.name in told.subject
        assert told["/CreationDate"] == "D:20260102030405Z"

    def test_carries_the_result_as_it_was_saved(self, document, run):
        assert document.attachments == {"result.json": [(run / "result.json").read_bytes()]}
        names = document.trailer["/Root"]["/Names"]["/EmbeddedFiles"]["/Names"]
        assert names[1].get_object()["/AFRelationship"] == "/Data"
        assert document.trailer["/Root"]["/AF"][0].get_object() == names[1].get_object()
        dates = names[1].get_object()["/EF"]["/F"]["/Params"]
        assert dates["/CreationDate"] == dates["/ModDate"] == "D:20260102030405Z"

    def test_carries_no_name_of_an_image_where_they_are_withheld(self, tmp_path, monkeypatch):
        run = save(tmp_path, image="a very private name")
        saved, attached = SavedRun(run), []

        def keep(request: Request, meanwhile: object) -> Pdf:
            attached.append(request.attachment)
            return Pdf(b"", frozenset(), ())

        monkeypatch.setattr(report, "render_pdf", keep)
        for pictures in ("all", "none"):
            report.draw_report(saved, ["pdf"], pictures, name="r")
        assert attached[0] == saved.text
        assert "private" in attached[0]
        assert "private" not in attached[1]
        assert result_from_json(attached[1], "attached").title == saved.result.title

    def test_embeds_every_font(self, document):
        seen = set()
        for page in document.pages:
            for font in page["/Resources"].get("/Font", {}).values():
                (inner,) = font["/DescendantFonts"]
                described = inner.get_object()["/FontDescriptor"]
                assert {"/FontFile2", "/FontFile3"} & set(described)
                seen.add(described["/FontName"].partition("+")[2])
        assert {"DejaVu-Sans", "DejaVu-Sans-Bold", "DejaVu-Sans-Mono"} <= seen

    @pytest.mark.slow
    def test_is_the_same_in_another_process_place_and_time(self, run, tmp_path):
        code = (
            "import hashlib, sys; from pathlib import Path; from auditor.report.write import draw_report;"
            "from auditor.run.store import SavedRun;"
            "made = draw_report(SavedRun(Path(sys.argv[1])), ('pdf',), 'all', name=sys.argv[2]).files['report.pdf'];"
            "print(hashlib.sha256(made).hexdigest())"
        )
        environment = os.environ | {"PYTHONHASHSEED": "7", "TZ": "Pacific/Kiritimati", "LC_ALL": "C"}
        done = subprocess.run(
            [sys.executable, "-c", code, str(run), run.name],
            cwd=tmp_path,
            env=environment | {"PYTHONPATH": str(Path(report.__file__).parents[2])},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == hashlib.sha256((run / "report.pdf").read_bytes()).hexdigest()


class TestLayout:
    def test_the_report_is_eight_pages_at_most_and_the_appendix_follows(self, pages):
        begin = next(
            number for number, text in enumerate(pages) if re.search(r"^ *Appendix$", text, re.MULTILINE) and number > 1
        )
        assert begin <= 8
        assert sum(len(text.split()) for text in pages[:begin]) <= 1800

    def test_no_letter_is_smaller_than_seven_and_a_half_points(self, document):
        sizes: set[float] = set()

        def note(text: str, matrix: list[float], place: list[float], font: Any, size: float) -> None:
            if text.strip():
                sizes.add(round(size * abs(place[3] or place[0]) * abs(matrix[3] or matrix[0]), 2))

        for page in document.pages:
            page.extract_text(visitor_text=note)
        assert min(sizes) >= 7.4

    def test_a_long_table_is_cut_and_says_where_the_rest_is(self):
        rows = "".join(f"<tr><td>row{number}<td>x</tr>" for number in range(MOST_ROWS + 7))
        text = "".join(page.extract_text() for page in draw(f"<table>{rows}</table>").pages)
        assert f"row{MOST_ROWS - 1}" in text
        assert f"row{MOST_ROWS}" not in text
        assert "7 more rows are in the attached result.json" in text

    def test_a_table_of_the_most_rows_is_whole(self):
        rows = "".join(f"<tr><td>row{number}</tr>" for number in range(MOST_ROWS))
        text = "".join(page.extract_text() for page in draw(f"<table>{rows}</table>").pages)
        assert f"row{MOST_ROWS - 1}" in text
        assert "more rows" not in text

    def test_no_heading_stands_alone_and_no_figure_is_torn(self):
        style = read_template("style.css") + read_template("paper.css")
        tries = range(8, 44, 4)  # lines above, so that the end of the page falls everywhere around the figure
        parts = "".join(
            f"<div class=try>{'<p>line</p>' * lines}<section><h2>heading{lines}</h2><p>below{lines}</p>"
            f"<figure class=plot><figcaption>caption{lines}</figcaption><svg viewBox='0 0 64 30'><text y=9>top{lines}"
            f"</text><text y=28>bottom{lines}</text></svg></figure></section></div>"
            for lines in tries
        )
        drawn = draw(f"<style>{style} .try {{ break-before: page }}</style><main>{parts}</main>")
        texts = [page.extract_text() for page in drawn.pages]
        broken = 0
        for lines in tries:
            words = [f"{word}{lines}" for word in ("heading", "below", "caption", "top", "bottom")]
            together = [number for number, text in enumerate(texts) if all(word in text for word in words)]
            assert len(together) == 1, lines
            broken += texts[together[0]].split().count("line") < lines
        assert 0 < broken < len(tries)


class TestSafety:
    def failing(self, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> str:
        """The warning of a report whose PDF is drawn by this code; its page is written, and no PDF."""
        monkeypatch.setattr(report, "fill_page", lambda *_, **__: "<p>a page")
        for old in ("report.html", "report.pdf"):
            (run / old).unlink(missing_ok=True)
        replace_weasyprint(monkeypatch, tmp_path / "double", code)
        with pytest.raises(PdfError) as caught:
            write_report(run, ("pdf",))
        (warning,) = write_report(run, ("html", "pdf"))
        assert (run / "report.html").read_text() == "<p>a page"
        assert not (run / "report.pdf").exists()
        assert warning == str(caught.value)
        return warning

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            ("import os; os.kill(os.getpid(), 9)", "the process that draws it was ended by SIGKILL"),
            ("import os; os.abort()", "ended by SIGABRT"),
            ("import os; os._exit(7)", "ended with 7"),
            ("bytearray(1 << 40)", "more than 4 GiB of memory"),
            ("raise RuntimeError('torn')", "drawing it failed: RuntimeError: torn"),
            ("raise ImportError", "apt-get install libpango"),
            ("raise OSError", "apt-get install libpango"),
        ],
    )
    def test_whatever_ends_the_drawing_the_page_is_written_and_a_warning_says_why(
        self, tmp_path, monkeypatch, code, said
    ):
        assert said in self.failing(save(tmp_path), tmp_path, monkeypatch, code)

    def test_drawing_that_takes_too_long_is_ended(self, tmp_path, monkeypatch):
        monkeypatch.setattr(pdf, "MOST_SECONDS", 1.5)
        code = f"import time, pathlib; time.sleep(4); pathlib.Path({str(tmp_path / 'late')!r}).touch()"
        assert "took more than 1.5 seconds" in self.failing(save(tmp_path), tmp_path, monkeypatch, code)
        assert not (tmp_path / "late").exists()

    def test_what_fails_beside_it_ends_it(self, monkeypatch):
        begun = []

        class Kept(subprocess.Popen):
            def __init__(self, *given, **named):
                super().__init__(*given, **named)
                begun.append(self)

        def fail() -> None:
            assert begun[0].poll() is None
            raise ReportError("no page")

        monkeypatch.setattr(subprocess, "Popen", Kept)
        with pytest.raises(ReportError, match="no page"):
            render_pdf(ask("x"), fail)
        assert begun[0].returncode == -signal.SIGKILL

    def test_what_libraries_print_is_no_part_of_the_pdf(self, tmp_path, monkeypatch):
        replace_weasyprint(monkeypatch, tmp_path, "import os; os.write(1, b'noise'); print('noise'); raise ImportError")
        with pytest.raises(PdfError, match="libpango"):
            render_pdf(ask("x"))

    def test_modules_of_the_working_directory_are_not_run(self, tmp_path, monkeypatch):
        (tmp_path / "weasyprint.py").write_text("raise SystemExit('run')")
        (tmp_path / "json.py").write_text("raise SystemExit('run')")
        monkeypatch.chdir(tmp_path)
        assert len(draw("x").pages) == 1

    @pytest.mark.parametrize("address", ["file://{secret}", "http://127.0.0.1:9/a.png", "{secret}", "ftp://a/b"])
    def test_nothing_but_the_page_is_read(self, tmp_path, address):
        require("pango")
        secret = tmp_path / "secret.svg"
        secret.write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 99 9"><text y="9">secret</text></svg>')
        at = address.format(secret=secret)
        drawn = render_pdf(
            ask(
                f'<link rel=stylesheet href="{at}"><style>@import url("{at}"); p {{ background: url("{at}") }}</style>'
                f'<p>text<img src="{at}" alt=""><object data="{at}"></object><a rel=attachment href="{at}">a</a>'
                f"<svg><image href='{at}'/></svg>"
            )
        )
        (tmp_path / "a.pdf").write_bytes(drawn.data)
        document = pypdf.PdfReader(tmp_path / "a.pdf")
        assert "secret" not in document.pages[0].extract_text()
        assert set(document.attachments) == {"result.json"}
        assert at in drawn.refused

    def test_an_address_in_a_template_is_named_in_a_warning(self, tmp_path, monkeypatch):
        require("pango")
        run = save(tmp_path / "reports")
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "report.html.j2").write_text('<p>text<img src="http://127.0.0.1:9/logo.png" alt="">')
        (warning,) = write_report(run, ("pdf",), own=read_own_templates(tmp_path / "mine"))
        assert warning == "not fetched for the PDF: http://127.0.0.1:9/logo.png; the page must carry it"

    def test_names_that_break_anywhere_lie_as_if_every_letter_had_been_measured(self, monkeypatch):
        require("pango")
        style = "tbody th { min-width: 10rem; overflow-wrap: anywhere; } .narrow tbody th { min-width: 1rem; }"
        row = f"<tr><th>integrated_gradients of <i>many</i> words<td>{'a value ' * 200}</tr>"
        tables = "".join(f"<table class={name}><thead><tr><th>a<th>b<tbody>{row}</table>" for name in ("", "narrow"))
        request = ask(f"<style>{style}</style>{tables}")
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
        is_wide_enough, seen = cells._is_wide_enough, set()

        def noted(cell: Any) -> bool:
            seen.add(is_wide_enough(cell))
            return is_wide_enough(cell)

        monkeypatch.setattr(cells, "_is_wide_enough", noted)
        found = pdf._draw(request).data
        assert seen == {True, False}
        monkeypatch.setattr(cells, "_is_wide_enough", lambda cell: False)
        assert pdf._draw(request).data == found
        monkeypatch.setattr(cells, "_is_wide_enough", lambda cell: True)  # names without a least width are not spared
        assert pdf._draw(request).data != found

    @pytest.mark.parametrize(
        "inner", ["padding: 0 12rem", "min-width: 20rem", "margin-left: 14rem", "letter-spacing: 3rem"]
    )
    def test_what_takes_width_within_a_name_is_measured(self, inner, monkeypatch):
        require("pango")
        style = f"tbody th {{ min-width: 10rem; overflow-wrap: anywhere; }} th div {{ {inner}; }}"
        table = f"<table><tbody><tr><th><div>name</div><td>{'a value ' * 200}</tr></table>"
        request = ask(f"<style>{style}</style>{table}")
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
        found = pdf._draw(request).data
        monkeypatch.setattr(cells, "_is_wide_enough", lambda cell: False)
        assert pdf._draw(request).data == found

    def test_needs_no_tensorflow_and_no_matplotlib(self):
        require("pango")
        code = (
            "import sys, io, json; from auditor.report import pdf; from dataclasses import asdict;"
            "pdf._draw(pdf.Request(**json.loads(sys.argv[1])));"
            "print([name for name in ('tensorflow', 'keras', 'matplotlib', 'numpy') if name in sys.modules])"
        )
        request = json.dumps(ask("x").__dict__)
        done = subprocess.run([sys.executable, "-c", code, request], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"

    def test_a_date_that_is_none_is_one_sentence(self):
        with pytest.raises(PdfError, match=r"provenance\.started: got 'yesterday', wanted a moment"):
            render_pdf(replace(ask("x"), made="yesterday"))

    def test_a_date_without_a_zone_does_not_go_by_the_clock_on_the_wall(self, monkeypatch):
        require("pango")
        drawn = []
        for zone in ("Pacific/Kiritimati", "America/Adak"):
            monkeypatch.setenv("TZ", zone)
            drawn.append(render_pdf(replace(ask("x"), made=MADE.partition("+")[0])).data)
        assert drawn[0] == drawn[1] == render_pdf(ask("x")).data

    def test_verifying_says_why_a_pdf_could_not_be_drawn_again(self, tmp_path, monkeypatch):
        require("pango")
        run = save(tmp_path)
        monkeypatch.setattr(report, "fill_page", lambda *_, **__: "<p>a page")
        write_report(run, ("html", "pdf"))
        replace_weasyprint(monkeypatch, tmp_path / "double", "raise RuntimeError('torn')")
        states = {check.what: (check.state, check.reason) for check in verify_run(run)}
        assert states["report.html, drawn again"] == ("as written", "")
        assert states["report.pdf, drawn again"][0] == "not compared"
        assert "RuntimeError: torn" in states["report.pdf, drawn again"][1]

    def test_a_damaged_run_is_told_before_anything_is_drawn(self, tmp_path):
        run = save(tmp_path)
        (run / "arrays.npz").write_bytes(b"no archive")
        with pytest.raises(ReportError, match="arrays"):
            write_report(run, ("pdf",))
