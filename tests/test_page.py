"""The report in a real browser: light, dark and phone, on screen and in print, with and without JavaScript."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditor.report.page import SECTIONS
from auditor.report.write import render_html
from auditor.run.result import AuditResult
from tests.synthetic import make_arrays, make_result
from tests.web import VIEWS, unfold


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render_html(make_long(), make_arrays()), encoding="utf-8")
    return file


def make_long() -> AuditResult:
    long_name = "a class with a very long name " * 6 + "x" * 120
    return make_result(classes=(long_name, "שלום"), artefact="tag-" + "y" * 120)


@pytest.mark.parametrize("view", VIEWS)
def test_shows_every_section_without_complaint_or_request(browser, page_file, view):
    page = browser.new_context(**VIEWS[view]).new_page()
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_file.as_uri())
    for identifier, _, _ in SECTIONS:
        assert page.locator(f"#{identifier}").bounding_box()["height"] > 20
    assert complaints == []
    assert [url for url in asked if not url.startswith("data:")] == [page_file.as_uri()]


def test_a_style_that_the_policy_does_not_name_has_no_effect(browser, page_file, tmp_path):
    """The policy holds: what a name would smuggle in changes nothing, and the browser says so."""
    smuggled = tmp_path / "smuggled.html"
    page_text = page_file.read_text(encoding="utf-8")
    smuggled.write_text(
        page_text.replace("<h1>", "<style>h1 { color: red }</style><h1 style='background: red'>", 1), encoding="utf-8"
    )
    page = browser.new_context(**VIEWS["light"]).new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(smuggled.as_uri())
    shown = page.evaluate("(s => [s.color, s.backgroundColor])(getComputedStyle(document.querySelector('h1')))")
    assert "rgb(255, 0, 0)" not in shown
    assert len([text for text in complaints if "Content Security Policy" in text]) == 2


@pytest.mark.parametrize("view", ["light", "dark", "phone"])
def test_plots_say_what_they_show_in_letters_that_can_be_read(browser, page_file, view):
    """One of both drawings is shown, whole, its letters at 4.5 to 1 or more; title and description are read out."""
    page = browser.new_context(**VIEWS[view]).new_page()
    page.goto(page_file.as_uri())
    unfold(page)
    plots = page.evaluate(_PLOTS)
    assert len(plots) >= 5
    for plot in plots:
        assert plot["shown"] == 1
        assert plot["role"] == "img"
        assert plot["title"]
        assert plot["told"]
        assert plot["lowest"] >= 11, "letters in pixels"
        assert plot["marks"], "something is drawn"
        assert plot["outside"] == []
        ground = _luminance(plot["ground"])
        for colour in plot["colours"]:
            light = _luminance(colour)
            assert (max(light, ground) + 0.05) / (min(light, ground) + 0.05) >= 4.5, colour


_PLOTS = """() => [...document.querySelectorAll("main .plot")].map((plot) => {
  const all = [...plot.querySelectorAll("svg")];
  const shown = all.filter((svg) => svg.getBoundingClientRect().width);
  const svg = shown[0], frame = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll("text")];
  const marks = [...svg.querySelectorAll("line, circle, polyline")];
  const inside = (mark) => {
    const box = mark.getBoundingClientRect();
    return box.left >= frame.left - 1 && box.right <= frame.right + 1;
  };
  return {
    shown: shown.length, role: svg.getAttribute("role"), marks: marks.length,
    title: document.getElementById(svg.getAttribute("aria-labelledby")).textContent,
    told: document.getElementById(svg.getAttribute("aria-describedby")).textContent,
    lowest: Math.min(...texts.map((text) => 13 * frame.width / svg.viewBox.baseVal.width)),
    colours: [...new Set(texts.map((text) => getComputedStyle(text).fill))],
    outside: marks.filter((mark) => !inside(mark)).map((mark) => mark.outerHTML),
    ground: getComputedStyle(document.body).backgroundColor,
  };
})"""


@pytest.mark.parametrize("view", ["light", "phone"])
def test_is_never_wider_than_the_window(browser, page_file, view):
    page = browser.new_context(**VIEWS[view]).new_page()
    page.goto(page_file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    unfold(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_every_picture_is_loaded(browser, page_file):
    page = browser.new_context(**VIEWS["light"]).new_page()
    page.goto(page_file.as_uri())
    unfold(page)
    sizes = page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth)")
    assert sizes
    assert all(size and size >= 100 for size in sizes)


def test_dark_and_light_differ_and_both_can_be_read(browser, page_file):
    contrasts = {}
    for view in ("light", "dark"):
        page = browser.new_context(**VIEWS[view]).new_page()
        page.goto(page_file.as_uri())
        style = "(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))"
        contrasts[view] = [_luminance(colour) for colour in page.evaluate(style)]
    assert contrasts["light"][0] < contrasts["light"][1]
    assert contrasts["dark"][0] > contrasts["dark"][1]
    for pair in contrasts.values():
        assert (max(pair) + 0.05) / (min(pair) + 0.05) >= 7


def _luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)` by WCAG 2.2."""
    channels = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
