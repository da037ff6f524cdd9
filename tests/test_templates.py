"""Templates of a user's own: they go before ours, reach nothing but their folder, and fail in one clear sentence."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import jinja2
import numpy as np
import pytest
from click.testing import CliRunner

from auditor.cli.commands import cli
from auditor.errors import ReportError, TemplateError
from auditor.measure.ledger import Rows
from auditor.report import plots
from auditor.report.page import SECTIONS, view_page
from auditor.report.presentable import present
from auditor.report.templates import (
    BUILT_IN,
    LARGEST_PICTURE,
    MOST_BYTES,
    MOST_FILES,
    open_templates,
    read_own_templates,
)
from auditor.report.verify import exit_code, verify_run
from auditor.report.write import render_html, write_report
from auditor.run.store import Run, save_run
from tests.synthetic import make_arrays, make_result, without_studies

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "own_templates" / "templates"
PAGE = '{% extends "builtin/report.html.j2" %}\n'


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    """Plots are left out: they take seconds, and no template changes them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "svg_of", lambda *_, **__: "")
        yield


_BODY = (
    r"</h2>(?:<span[^>]*>[^<]*</span>)?(?:</summary>)?\s*(.*?)\s*"
    r'(?:<p class="back">.*?</p>\s*)?(?:</details>\s*)?</section>'
)
"""What stands under the heading of a section, folded or not, without the way back."""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return save_run(Run(make_result(), Rows(), make_arrays()), tmp_path / "reports")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def put(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def draw(folder: Path) -> str:
    return render_html(make_result(), make_arrays(), own=read_own_templates(folder))


def text_between(page: str, start: str, end: str) -> str:
    return page.partition(start)[2].partition(end)[0]


class TestExample:
    @pytest.fixture
    def drawn(self) -> str:
        return draw(EXAMPLE)

    def test_changes_title_and_logo(self, drawn):
        assert text_between(drawn, "<title>", "</title>") == "A synthetic audit – model review"
        logo = base64.b64encode((EXAMPLE / "logo.svg").read_bytes()).decode()
        assert f'src="data:image/svg+xml;base64,{logo}"' in drawn

    def test_adds_a_section_and_a_line_of_the_contents(self, drawn):
        headings = re.findall(r'<h2 id="([\w-]+)-title">', drawn)
        linked = re.findall(r'<a href="#([\w-]+)">', text_between(drawn, '<nav class="contents"', "</nav>"))
        wanted = [id for id, _, _ in SECTIONS]
        assert headings == linked == [*wanted[:1], "approval", *wanted[1:]]
        assert "may not ship" in text_between(drawn, '<section id="approval"', "</section>")

    def test_keeps_what_it_does_not_override(self, drawn):
        plain = render_html(make_result(), make_arrays())
        verdict = text_between(plain, '<h2 id="verdict-title">Verdict</h2>\n', "</section>").strip()
        assert verdict in text_between(drawn, '<section id="verdict"', "</section>")
        assert "The verdict below is the audit’s" in drawn

    def test_its_colours_are_in_the_style_that_the_policy_names(self, drawn):
        style = text_between(drawn, "<style>", "</style>")
        assert (EXAMPLE / "look.css").read_text() in style
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"style-src 'sha256-{digest}'" in drawn
        assert not re.search(r"\bstyle=", drawn)


class TestOverriding:
    def test_every_block_of_the_page_can_be_replaced(self, folder):
        blocks = ["head_title", "head", "look", "logo", "contents", "main", "extra_sections", "footer"]
        for chosen in (blocks, ["header"]):
            text = "".join(f"{{% block {block} %}}<!--my {block}-->{{% endblock %}}" for block in chosen)
            put(folder, "report.html.j2", PAGE + text)
            page = draw(folder)
            assert [page.count(f"<!--my {block}-->") for block in chosen] == [1] * len(chosen)

    def test_every_section_can_be_extended_and_replaced(self, folder):
        templates = [template for _, _, template in SECTIONS]
        for template in templates:
            body = f"{{% block body %}}{{{{ super() }}}}<!--my {template}-->{{% endblock %}}"
            put(folder, template, f'{{% extends "builtin/{template}" %}}\n{body}')
        page = draw(folder)
        assert [page.count(f"<!--my {template}-->") for template in templates] == [1] * len(templates)
        plain = render_html(make_result(), make_arrays())
        assert re.sub("<!--my .*?-->", "", page).split() == plain.split()
        for template in templates:
            put(folder, template, f"<!--only {template}-->")
        page = draw(folder)
        sections = re.findall(_BODY, page, re.DOTALL)
        assert sections == [f"<!--only {template}-->" for template in templates]

    def test_macros_of_the_user_are_used_by_our_sections(self, folder):
        text = (ROOT / "templates" / "macros.html.j2").read_text()
        put(folder, "macros.html.j2", text.replace("Relies on it", "Takes the shortcut"))
        assert "Takes the shortcut" in draw(folder)

    def test_the_name_of_a_user_s_data_stays_text(self, folder):
        put(folder, "sections/notes.html.j2", "{{ result.title }}")
        page = render_html(make_result(title="<b>bold</b>"), make_arrays(), own=read_own_templates(folder))
        assert "<b>bold</b>" not in page

    def test_without_templates_of_their_own_nothing_changes(self):
        assert BUILT_IN.digest == ""
        assert render_html(make_result(), make_arrays(), own=BUILT_IN) == render_html(make_result(), make_arrays())


class TestVariables:
    def test_the_table_names_every_variable_and_no_other(self):
        table = text_between((ROOT / "docs" / "templates.md").read_text(), "## Variables", "## What")
        rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
        given = view_page(present(make_result(), make_arrays()), run="run").view
        assert sorted(named) == sorted(given)

    def test_the_table_of_blocks_names_every_block_of_the_page(self):
        table = text_between((ROOT / "docs" / "templates.md").read_text(), "## Blocks", "Every section")
        template = (ROOT / "templates" / "report.html.j2").read_text()
        assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == set(re.findall(r"{% block (\w+)", template))

    def test_what_does_not_exist_is_an_error(self, folder):
        put(folder, "sections/notes.html.j2", "\n{{ result.tittle }}")
        with pytest.raises(TemplateError, match=r"notes\.html\.j2:2: .*'tittle'"):
            draw(folder)


class TestFaults:
    @pytest.mark.parametrize(
        ("name", "text", "said"),
        [
            ("report.html.j2", PAGE + "{% block main %}", r"report\.html\.j2:2: Unexpected end of template"),
            ("report.html.j2", "\n{{ 1 | nonsense }}", r"report\.html\.j2:2: No filter named 'nonsense'"),
            ("report.html.j2", "\n{{ [1, 2] | random }}", r"report\.html\.j2:2: No filter named 'random'"),
            ("report.html.j2", '{% extends "report.html.j2" %}', "call one another without end; .*builtin/"),
            ("report.html.j2", '\n{% include "no.j2" %}', r"report\.html\.j2:2: no template of this name: no\.j2"),
            ("report.html.j2", '{% include "../a.j2" %}', "no template of this name"),
            ("report.html.j2", "\n\n{{ nothing }}", r"report\.html\.j2:3: 'nothing' is undefined"),
            ("report.html.j2", "{{ 1 / 0 }}", r"report\.html\.j2:1: ZeroDivisionError"),
            ("report.html.j2", '{{ picture("a.png") }}', r"j2:1: picture 'a\.png': not among the templates; .*: none"),
            ("report.html.j2", '{{ picture("/etc/passwd") }}', "not among the templates"),
            ("report.html.j2", "{{ picture.__globals__ }}", "access to attribute '__globals__' .* unsafe"),
            ("report.html.j2", "{{ ''.__class__.__mro__ }}", "access to attribute '__class__' .* unsafe"),
            ("report.html.j2", "{{ '{0.__class__}'.format(1) }}", "access to attribute '__class__' .* unsafe"),
            ("report.html.j2", "{% do sections.clear() %}", "Encountered unknown tag 'do'"),
            ("report.html.j2", "{{ sections.clear() }}", "access to attribute 'clear' of 'list' object is unsafe"),
            ("look.css", "p {}\n</STYLE ><script>", r"look\.css:2: got '</style'"),
        ],
    )
    def test_a_broken_template_is_one_sentence_with_its_place_and_the_older_report_stands(
        self, run, folder, name, text, said
    ):
        (run / "report.html").write_text("an older report")
        hashes = (run / "hashes.json").read_text()
        put(folder, name, text)
        ending = CliRunner().invoke(cli, ["render", str(run), "--templates", str(folder), "--format", "html"])
        assert isinstance(ending.exception, TemplateError)
        assert ending.exception.exit_code == 2
        assert "\n" not in str(ending.exception)
        assert re.search(said, str(ending.exception))
        assert (run / "report.html").read_text() == "an older report"
        assert (run / "hashes.json").read_text() == hashes

    def test_a_folder_that_is_missing_empty_or_too_large(self, folder):
        with pytest.raises(TemplateError, match="gone: no such folder"):
            read_own_templates(folder / "gone")
        put(folder, "notes.txt", "no template")
        with pytest.raises(TemplateError, match="no templates there"):
            read_own_templates(folder)
        (folder / "large.png").write_bytes(bytes(LARGEST_PICTURE + 1))
        with pytest.raises(TemplateError, match=r"large\.png: too large; wanted a picture of at most 2 MiB"):
            read_own_templates(folder)
        (folder / "large.png").rename(folder / "large.j2")
        with (folder / "large.j2").open("r+b") as opened:
            opened.truncate(MOST_BYTES + 1)
        with pytest.raises(TemplateError, match="wanted 20 MiB in all"):
            read_own_templates(folder)

    def test_a_home_directory_is_no_folder_of_templates(self, folder):
        for number in range(MOST_FILES + 1):
            (folder / str(number)).touch()
        with pytest.raises(TemplateError, match="more than 2000 files"):
            read_own_templates(folder)

    @pytest.mark.parametrize("name", ["sections/notes.html.j2", "logo.png", "look.css"])
    def test_a_link_out_of_the_folder_is_refused_and_one_inside_is_not(self, folder, tmp_path, name):
        secret = put(tmp_path, "secret", "secret")
        (folder / "sections").mkdir()
        (folder / name).symlink_to(secret)
        with pytest.raises(TemplateError, match="leads out of the folder"):
            read_own_templates(folder)
        (folder / name).unlink()
        inside = put(folder, "inside.j2", "inside")
        (folder / name).symlink_to(inside)
        assert read_own_templates(folder).files[name] == b"inside"

    def test_a_linked_folder_is_not_entered(self, folder, tmp_path):
        put(tmp_path / "elsewhere", "notes.html.j2", "secret")
        (folder / "sections").symlink_to(tmp_path / "elsewhere")
        put(folder, "look.css", "")
        assert list(read_own_templates(folder).files) == ["look.css"]

    def test_text_that_is_no_utf_8(self, folder):
        (folder / "report.html.j2").write_bytes(b"\n\xff")
        with pytest.raises(TemplateError, match=r"report\.html\.j2:2: not UTF-8"):
            read_own_templates(folder)

    @pytest.mark.parametrize("command", ["audit", "validate"])
    def test_the_configuration_names_a_folder_that_must_be_there_before_anything_is_done(self, tmp_path, command):
        text = '[model]\nsource = "m.keras"\n[data]\nsource = "d.npz"\n[report]\n  templates = "house"\n'
        config = put(tmp_path, "audit.toml", text)
        ending = CliRunner().invoke(cli, [command, str(config)])
        place = f"{config}:6:3: report.templates: {tmp_path / 'house'}"
        assert str(ending.exception).startswith(f"{place}: no such folder")
        put(tmp_path / "house", "report.html.j2", "{% if %}")
        ending = CliRunner().invoke(cli, [command, str(config)])
        assert str(ending.exception).startswith(f"{place}/report.html.j2:1: ")

    def test_the_sandbox_is_for_templates_of_the_user(self, folder):
        put(folder, "look.css", "")
        assert open_templates(autoescape=True, own=read_own_templates(folder)).sandboxed
        assert not open_templates(autoescape=True).sandboxed


class TestCompiled:
    @pytest.fixture(autouse=True)
    def kept(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
        monkeypatch.setattr(sys, "dont_write_bytecode", False)
        open_templates.cache_clear()
        yield tmp_path
        open_templates.cache_clear()

    def test_a_built_in_template_is_compiled_once(self, kept, monkeypatch):
        first = open_templates(autoescape=True).get_template("macros.html.j2")
        assert [file.suffix for file in kept.rglob("*.*") if file.is_file()] == [".pyc"]
        open_templates.cache_clear()
        monkeypatch.setattr(jinja2.Environment, "_parse", None)
        again = open_templates(autoescape=True).get_template("macros.html.j2")
        assert again is not first
        assert again.module.badge.name == "badge"
        with pytest.raises(TypeError):  # one that does not escape is another
            open_templates(autoescape=False).get_template("macros.html.j2")

    def test_a_template_of_the_user_is_not_kept(self, kept, folder):
        put(folder, "report.html.j2", PAGE)
        open_templates(autoescape=True, own=read_own_templates(folder)).get_template("report.html.j2")
        assert not list(kept.rglob("*.pyc"))

    def test_a_folder_that_takes_no_files_is_no_fault(self, kept, monkeypatch):
        (kept / "file").touch()
        monkeypatch.setattr(sys, "pycache_prefix", str(kept / "file"))
        assert open_templates(autoescape=True).get_template("macros.html.j2")


class TestVerifying:
    @pytest.fixture
    def drawn(self, run: Path, folder: Path) -> Path:
        put(folder, "sections/notes.html.j2", "mine")
        put(folder, "read.me", "not a template")
        assert write_report(run, ("html",), own=read_own_templates(folder)) == []
        return run

    def check(self, run: Path, templates: Path | None = None) -> tuple[str, str, int]:
        checks = verify_run(run, templates)
        (again,) = [check for check in checks if check.what == "report.html, drawn again"]
        return again.state, again.reason, exit_code(checks)

    def test_the_same_templates_give_the_same_report(self, drawn, folder):
        assert self.check(drawn) == ("as written", "", 0)
        put(folder, "read.me", "another text")
        assert self.check(drawn) == ("as written", "", 0)

    def test_they_are_used_again_until_others_are_named(self, drawn):
        first = (drawn / "report.html").read_bytes()
        write_report(drawn, ("html",))
        assert (drawn / "report.html").read_bytes() == first
        write_report(drawn, ("markdown",))
        assert self.check(drawn)[0] == "as written"
        write_report(drawn, ("html",), own=BUILT_IN)
        assert (drawn / "report.html").read_bytes() != first
        assert self.check(drawn) == ("as written", "", 0)
        assert json.loads((drawn / "hashes.json").read_text())["templates"] == ""

    def test_run_and_templates_may_move_together(self, drawn, tmp_path):
        (tmp_path / "there").mkdir()
        for name in ("reports", "mine"):
            (tmp_path / name).rename(tmp_path / "there" / name)
        assert self.check(tmp_path / "there" / "reports" / drawn.name)[0] == "as written"

    def test_templates_that_changed_are_said_to_have(self, drawn, folder):
        put(folder, "sections/notes.html.j2", "others")
        state, reason, code = self.check(drawn)
        assert (state, code) == ("not compared", 4)
        assert "these templates have changed since: SHA-256 is" in reason

    def test_templates_that_are_gone_are_named_and_may_lie_elsewhere(self, drawn, folder):
        folder.rename(folder.with_name("moved"))
        state, reason, code = self.check(drawn)
        assert (state, code) == ("not compared", 4)
        assert f"{folder}: no such folder" in reason
        assert "--templates FOLDER" in reason
        assert self.check(drawn, folder.with_name("moved")) == ("as written", "", 0)
        with pytest.raises((TemplateError, ReportError), match="--no-templates"):
            write_report(drawn, ("html",))

    def test_the_hash_is_of_names_and_contents(self, folder):
        put(folder, "a.j2", "1")
        first = read_own_templates(folder).digest
        put(folder, "a.j2", "2")
        second = read_own_templates(folder).digest
        (folder / "a.j2").rename(folder / "b.j2")
        assert len({first, second, read_own_templates(folder).digest, BUILT_IN.digest}) == 4


@pytest.mark.parametrize("broken", [None, np.full((8, 8, 1), np.nan, np.float32)])
def test_a_picture_that_is_missing_or_damaged_is_the_fault_of_the_run_and_not_of_the_templates(broken):
    result, arrays = without_studies(make_result()), make_arrays()
    key = result.exemplars[0].maps[0].array
    arrays = {name: values for name, values in arrays.items() if name != key} | (
        {} if broken is None else {key: broken}
    )
    with pytest.raises(ReportError, match=r"^arrays\.npz: .*map gradient"):
        render_html(result, arrays, own=read_own_templates(EXAMPLE))
