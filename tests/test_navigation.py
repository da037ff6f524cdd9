"""How one gets about in a report: few tab stops, what is folded opens, a number tells what it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from auditor.report.formulas import FORMULAS, Formula, formula_key
from auditor.report.page import APPENDIX, REPORT
from auditor.report.write import render_html
from auditor.run.store import SavedRun
from tests.web import VIEWS, unfold

RUN = Path(__file__).parent / "golden" / "runs" / "complete"

_STOPS = """() => [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex]")]
    .filter((item) => item.tabIndex >= 0 && item.checkVisibility() && !item.closest("dialog")).length"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = SavedRun(RUN)
    file = tmp_path_factory.mktemp("navigation") / "report.html"
    file.write_text(render_html(run.result, run.arrays, run="complete"), encoding="utf-8")
    return file


@pytest.fixture
def page(browser: Browser, file: Path) -> Iterator[Page]:
    context = browser.new_context(**VIEWS["light"])
    page = context.new_page()
    page.goto(file.as_uri())
    yield page
    context.close()


@pytest.mark.parametrize("view", ["light", "phone"])
def test_tab_stops_are_few_folded_and_unfolded(browser, file, view):
    context = browser.new_context(**VIEWS[view])
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.evaluate(_STOPS) < 80
    unfold(page)
    assert page.evaluate(_STOPS) < 150
    context.close()


def test_no_table_scrolls_sideways_on_a_wide_screen(page):
    unfold(page)
    wide = "[...document.querySelectorAll('.scroll')].filter(box => box.scrollWidth > box.clientWidth)"
    assert page.evaluate(f"{wide}.map(box => box.getAttribute('aria-label'))") == []


def test_the_first_tab_stop_skips_to_the_verdict(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#verdict"


def test_the_report_is_open_and_the_appendix_is_folded_with_its_answer(page):
    for identifier, title, _ in REPORT:
        assert page.locator(f"#{identifier} > h2").inner_text() == title
    for identifier, title, _ in APPENDIX:
        assert page.locator(f"#{identifier} summary h2").inner_text() == title
        assert not page.locator(f"#{identifier} > details").evaluate("folded => folded.open")


def test_a_link_into_the_appendix_opens_it(page, file):
    page.goto(f"{file.as_uri()}#trust")
    assert page.locator("#trust > details").evaluate("folded => folded.open")
    page.locator(".contents a[href='#errors']").click()
    page.wait_for_function("document.querySelector('#errors > details').open")


def test_print_opens_what_is_folded_and_folds_it_again(page):
    after = "name => (dispatchEvent(new Event(name)), document.querySelectorAll('details:not([open])').length)"
    folded = page.locator("details:not([open])").count()
    assert folded >= len(APPENDIX)
    assert page.evaluate(after, "beforeprint") == 0
    assert page.evaluate(after, "afterprint") == folded


def test_arrow_keys_go_on_inside_a_table(page):
    links = page.locator("#severity table a.pointer")
    assert [link.get_attribute("tabindex") for link in links.all()] == ["0", *["-1"] * (links.count() - 1)]
    links.first.focus()
    page.keyboard.press("ArrowDown")
    assert links.nth(1).evaluate("link => link === document.activeElement && link.tabIndex === 0")


def test_the_head_of_a_column_sorts_its_table_by_numbers(page, file):
    page.goto(f"{file.as_uri()}#artefacts")
    table = page.locator("#artefacts table").first
    values = "rows => rows.map(row => Number(row.querySelector('[data-value]').dataset.value))"
    for sign, order in ((1, "ascending"), (-1, "descending")):
        table.locator("thead button").nth(1).click()
        shown = table.locator("tbody tr").evaluate_all(values)
        assert len(shown) >= 3
        assert [sign * value for value in shown] == sorted(sign * value for value in shown)
        assert table.locator("thead th").nth(1).get_attribute("aria-sort") == order


def test_every_number_of_every_golden_page_has_a_formula_and_the_panel_shows_it(page, file):
    for run in RUN.parent.iterdir():
        saved = SavedRun(run)
        fields = set(re.findall(r'data-field="([^"]*)"', render_html(saved.result, saved.arrays)))
        assert {field for field in map(unescape, fields) if not formula_key(field)} == set()
    unfold(page)
    for link in page.locator("main a.pointer[data-field]").all()[::40]:
        formula = FORMULAS[formula_key(link.get_attribute("data-field"))]
        link.evaluate("link => link.click()")
        assert page.locator("#panel [data-part=formula]").inner_text() == formula.text
        assert page.locator("#panel [data-part=source]").inner_text() == formula.source
        page.keyboard.press("Escape")


def test_the_nearest_entry_tells_the_formula():
    known = {"a": Formula("1"), "b/c": Formula("2"), "c": Formula("3")}
    places = {"/x/0/a": "a", "/x/0/a/c": "c", "/b/1/c": "b/c", "/a/2/d": "a", "/x/d": ""}
    assert {place: formula_key(place, known) for place in places} == places


def test_a_number_opens_what_it_is(page):
    page.locator("#verdict a.pointer").first.click()
    told = page.locator("#panel[open]").inner_text()
    assert "2.125" in told
    assert "/findings/0/measurements/theta" in told
    assert "120" in told
    page.locator("#panel a[data-to=row]").click()
    page.wait_for_function("document.querySelector('#artefacts > details').open")
    assert not page.locator("#panel").is_visible()


def test_without_a_script_a_reader_chooses_how_maps_are_drawn(browser, file):
    context = browser.new_context(**VIEWS["without JavaScript"])
    page = context.new_page()
    page.goto(file.as_uri())
    page.evaluate("document.querySelector('#gallery > details').open = true")
    look = "getComputedStyle(document.querySelector('#gallery .heat')).filter"
    assert page.evaluate(look) == "none"
    signed = page.locator("#gallery .when-signed")
    assert signed.is_visible()
    page.check("#look-strength")
    assert "#strength" in page.evaluate(look)
    assert not signed.is_visible()
    assert page.locator("#gallery .when-strength").is_visible()
    page.check("#look-smooth")
    assert page.evaluate(look).startswith("blur(")
    picture = page.locator("#gallery .stack").first.screenshot
    with_filter = picture()
    page.check("#look-signed")
    page.uncheck("#look-smooth")
    assert page.evaluate(look) == "none"
    assert picture() != with_filter
    context.close()


def test_without_a_script_a_number_leads_to_its_row_and_all_is_there(browser, file):
    page = browser.new_context(**VIEWS["without JavaScript"]).new_page()
    page.goto(file.as_uri())
    href = page.locator("#verdict a.pointer").first.get_attribute("href")
    row = page.locator(href)
    assert "effect beyond harmless edits" in row.text_content()
