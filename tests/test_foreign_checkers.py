"""Pages and PDF by the checkers of others, Lighthouse and three of PDF/UA, where `make check-pages` installed them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from auditor.run.store import SavedRun
from tests.system_tools import require

ROOT = Path(__file__).parents[1]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_pages", ROOT / "benchmarks" / "check_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModuleType, Path]:
    require("chromium")
    require("pango")
    checkers = load()
    if not (checkers.CHECKERS / "bin" / "outloud").is_file():
        pytest.skip("no checkers; `make check-pages` installs them")
    folder = tmp_path_factory.mktemp("checked")
    runs = [SavedRun(ROOT / "tests" / "golden" / "runs" / name) for name in ("complete", "later")]
    checkers.draw(*runs, folder)
    return checkers, folder


@pytest.mark.slow
def test_every_page_has_full_marks_of_lighthouse(drawn):
    checkers, folder = drawn
    scores = list(checkers.score_pages(folder, ["report.html", "index.html", "comparison.html"]))
    assert len(scores) == 6
    assert [told for told in scores if told[2] < 100] == []


@pytest.mark.slow
def test_three_checkers_find_nothing_in_the_pdf_that_the_file_itself_does_not_refute(drawn):
    checkers, folder = drawn
    html, file = (folder / "report.html").read_text(encoding="utf-8"), folder / "report.pdf"
    found = list(checkers.check_pdf(file))
    assert [told for told in found if not checkers.explain(told[1], told[2], file, html)] == []


def test_what_a_rule_is_wrong_about_is_shown_on_the_file_and_never_taken_for_granted(tmp_path):
    checkers = load()
    assert checkers.explain("TBL-999", "something new", tmp_path / "none.pdf", "") == ""
    page = "<table><thead><tr><th>Label</th><th>Errors</th></tr></thead></table>"
    hidden = "1 line(s) of prose are marked /Artifact [Label Errors]"
    assert checkers.explain("TAG-002", hidden, tmp_path / "none.pdf", page)
    assert not checkers.explain("TAG-002", hidden.replace("Errors]", "a secret]"), tmp_path / "none.pdf", page)
