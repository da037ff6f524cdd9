"""The report in a real browser: light, dark and phone, on screen and in print, with and without JavaScript."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from auditor.report import SECTIONS, render_html
from tests.synthetic import make_arrays, make_result

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
VIEWS = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2},
    "without JavaScript": {"viewport": {"width": 1280, "height": 900}, "java_script_enabled": False},
}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("page") / "report.html"
    long_name = "a class with a very long name " * 6 + "x" * 120
    result = make_result(classes=(long_name, "dog"), artefact="tag-" + "y" * 120)
    file.write_text(render_html(result, make_arrays()), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


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


@pytest.mark.parametrize("view", ["light", "phone"])
def test_is_never_wider_than_the_window(browser, page_file, view):
    page = browser.new_context(**VIEWS[view]).new_page()
    page.goto(page_file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_every_picture_is_loaded(browser, page_file):
    page = browser.new_context(**VIEWS["light"]).new_page()
    page.goto(page_file.as_uri())
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
