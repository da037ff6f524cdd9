"""The gallery in a real browser: filters, how strongly maps lie over images, pictures in large, by mouse and keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from auditor.report.page import SECTIONS
from auditor.report.write import render_html
from auditor.run.result import AuditResult
from tests.synthetic import make_arrays, make_finding, make_result, without_studies
from tests.web import VIEWS, unfold

SHOWN = "#gallery .exemplar:visible h3"


def make_four() -> AuditResult:
    """Four images: two of each class, one of them predicted wrongly, the last two of another artefact and verdict."""
    result = without_studies(
        make_result(findings=[make_finding("tag", "cat"), make_finding("stamp", "dog", verdict="no_evidence")])
    )
    (first,) = result.exemplars
    exemplars = [
        replace(first, image="one", label="cat", predicted="cat"),
        replace(first, image="two", label="dog", predicted="cat"),
        replace(first, image="three", label="cat", predicted="cat", artefact="stamp", target="dog"),
        replace(first, image="four", label="dog", predicted="dog", artefact="stamp", target="dog"),
    ]
    return replace(result, exemplars=exemplars)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("gallery") / "report.html"
    file.write_text(render_html(make_four(), make_arrays()), encoding="utf-8")
    return file


@pytest.fixture
def page(browser: Browser, file: Path) -> Iterator[Page]:
    yield from opened(browser, file)


@pytest.fixture
def complete(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    file = tmp_path / "report.html"
    file.write_text(render_html(make_result(), make_arrays()), encoding="utf-8")
    yield from opened(browser, file)


def opened(browser: Browser, file: Path) -> Iterator[Page]:
    context = browser.new_context(**VIEWS["light"])
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(file.as_uri())
    unfold(page)
    yield page
    context.close()
    assert complaints == []


def names(page: Page) -> list[str]:
    return [text.split()[0] for text in page.locator(SHOWN).all_inner_texts()]


class TestFilters:
    @pytest.mark.parametrize(
        ("name", "value", "shown"),
        [
            ("label", "dog", ["two", "four"]),
            ("answer", "wrong", ["two"]),
            ("answer", "right", ["one", "three", "four"]),
            ("artefact", "stamp", ["three", "four"]),
            ("verdict", "relies", ["one", "two"]),
        ],
    )
    def test_show_the_images_that_are_so(self, page, name, value, shown):
        page.select_option(f"#filters [name={name}]", value)
        assert names(page) == shown
        assert page.locator("#filters output").inner_text() == f"{len(shown)} of 4 images"

    def test_add_up_and_are_taken_back(self, page):
        page.select_option("#filters [name=label]", "cat")
        page.select_option("#filters [name=answer]", "wrong")
        assert names(page) == []
        assert page.locator("#none").is_visible()
        page.click("#filters button[type=reset]")
        expect(page.locator("#filters output")).to_have_text("4 of 4 images")
        assert names(page) == ["one", "two", "three", "four"]
        assert not page.locator("#none").is_visible()

    def test_of_methods_leave_the_image_and_the_maps_of_that_method(self, page):
        maps = page.locator("#gallery figure[data-method]:visible")
        every = maps.count()
        page.select_option("#filters [name=method]", "gradient")
        assert maps.count() == every / 2 == 4
        assert page.locator("#gallery figure[data-original]:visible").count() == 4

    def test_stay_as_they_are_on_paper_and_are_not_printed_themselves(self, page):
        page.select_option("#filters [name=label]", "dog")
        page.select_option("#filters [name=method]", "gradient")
        page.emulate_media(media="print")
        assert names(page) == ["two", "four"]
        assert page.locator("#gallery figure[data-method]:visible").count() == 2
        assert not page.locator("#filters").is_visible()

    def test_find_a_class_whatever_blanks_its_name_has(self, browser, tmp_path):
        result = make_four()
        (tmp_path / "report.html").write_text(
            render_html(replace(result, exemplars=[replace(result.exemplars[0], label=" a  cat\n")]), make_arrays())
        )
        for page in opened(browser, tmp_path / "report.html"):
            page.select_option("#filters [name=label]", index=1)
            assert names(page) == ["one"]

    def test_without_a_script_there_are_none_and_all_is_shown(self, browser, file):
        page = browser.new_context(**VIEWS["without JavaScript"]).new_page()
        page.goto(file.as_uri())
        page.locator("#gallery summary").click()
        assert names(page) == ["one", "two", "three", "four"]
        assert page.locator("#gallery figure:visible").count() == 16
        assert not page.locator("#filters").is_visible()
        assert not page.locator("#viewer").is_visible()


class TestOpacity:
    def opacities(self, page: Page) -> list[float]:
        read = "element => Number(getComputedStyle(element).opacity)"
        return [page.locator(f"#gallery {part}").first.evaluate(read) for part in (".heat", ".under")]

    def test_goes_from_the_map_to_the_bare_image(self, page):
        assert self.opacities(page) == pytest.approx([1, 0.45])
        page.locator("#opacity").fill("0")
        assert self.opacities(page) == pytest.approx([0, 1])
        page.locator("#opacity").fill("50")
        assert self.opacities(page) == pytest.approx([0.5, 0.725])

    def test_comes_back_with_the_slider_that_a_browser_brings_back(self, page):
        page.locator("#opacity").fill("30")
        page.select_option("#filters [name=label]", "dog")
        page.goto("about:blank")
        page.go_back()
        unfold(page)
        expect(page.locator("#filters output")).to_have_text("2 of 4 images")
        assert page.locator("#opacity").input_value() == "30"
        assert self.opacities(page) == pytest.approx([0.3, 0.835])
        assert names(page) == ["two", "four"]

    def test_answers_to_keys(self, page):
        page.locator("#opacity").focus()
        page.keyboard.press("Home")
        assert self.opacities(page) == pytest.approx([0, 1])


class TestViewer:
    def test_shows_a_map_beside_its_image_and_goes_on_by_keys(self, page):
        def state() -> str:
            return page.locator("#viewer output").inner_text()

        page.locator("#gallery .exemplar").first.locator("figure[data-method] button").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("#viewer").is_visible()
        assert state() == "one: picture 3 of 4"
        assert page.locator("#viewer figure").count() == 2
        assert page.locator("#viewer figcaption").all_inner_texts()[0].startswith("with\n")
        page.keyboard.press("ArrowRight")
        assert state() == "one: picture 4 of 4"
        page.keyboard.press("ArrowRight")
        assert state() == "one: picture 1 of 4"
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowDown")
        assert state() == "two: picture 4 of 4"
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowUp")
        assert state() == "four: picture 4 of 4"
        page.keyboard.press("Escape")
        assert not page.locator("#viewer").is_visible()
        assert page.evaluate("document.activeElement.className") == "enlarge"

    def test_passes_over_what_is_filtered_out(self, page):
        page.select_option("#filters [name=label]", "dog")
        page.locator("#gallery button.enlarge:visible").first.click()
        page.get_by_role("button", name="Image below").click()
        assert page.locator("#viewer output").inner_text().startswith("four: ")
        page.get_by_role("button", name="Close").click()
        assert not page.locator("#viewer").is_visible()

    def test_opens_the_pictures_of_every_section(self, complete):
        sections = [name for name, _, _ in SECTIONS if complete.locator(f"#{name} .enlarge").count()]
        assert {"gallery", "optima", "errors", "trust"} <= set(sections)
        for section in sections:
            complete.locator(f"#{section} .enlarge").first.click()
            assert ": picture 1 of " in complete.locator("#viewer output").inner_text()
            complete.keyboard.press("ArrowRight")
            complete.keyboard.press("ArrowDown")
            complete.keyboard.press("Escape")

    def test_pictures_are_as_large_as_the_window_allows(self, page):
        button = page.locator("#gallery button.enlarge").nth(2)
        small = button.bounding_box()["width"]
        button.click()
        large = page.locator("#viewer .heat").bounding_box()["width"]
        assert large > 4 * small
        assert page.locator("#viewer .under").bounding_box()["width"] == pytest.approx(large, abs=1)
