"""Report, index and comparison in a real browser: without barriers, without complaint, and stronger than any name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from auditor.measure.ledger import Arrays, Rows
from auditor.measure.measurement import Note
from auditor.report.checks_page import render_checks
from auditor.report.comparison import render_comparison
from auditor.report.index_page import INDEX_PAGE, refresh_index
from auditor.report.write import render_html
from auditor.run.checked import CODES, CheckRecord, ChecksRecord
from auditor.run.index import enter_run, read_runs
from auditor.run.result import AuditResult
from auditor.run.ruling import GateRecord, Ruling, Waived
from auditor.run.store import Run, save_run
from tests.synthetic import make_arrays, make_finding, make_result, measure
from tests.web import find_barriers, layout_shift

PAGES = ("report", "index", "comparison", "checks")
WIDE, TABLET, PHONE = {"width": 1280, "height": 900}, {"width": 800, "height": 900}, {"width": 390, "height": 844}

TAKE = "window.taken = true"
HOSTILE = {
    "a script": f"<script>{TAKE}</script>",
    "a broken picture": f"\"><img src=x onerror='{TAKE}'>",
    "an end of what stands around it": f"'\"`>--></style></title></textarea><svg onload='{TAKE}'>",
    "a link that runs": f"javascript:{TAKE}",
    "a template": "{{ 7 * 7 }}{% endif %}${7 * 7}",
    "text turned round": "\u202egnp.exe \u2067 \u200f שלום مرحبا",
    "ten thousand letters": "x" * 10_000,
    "ten thousand letters in words": "a name " * 1_428,
    "emoji": "👩🏽\u200d🔬🏴\U000e0067\U000e0062🐈" * 9,
    "Chinese, Japanese, Korean": "肺炎の画像分類器폐렴" * 30,
}


def write_pages(folder: Path, results: tuple[AuditResult, AuditResult], arrays: Arrays) -> dict[str, Path]:
    """The three pages of two runs."""
    reports = folder / "reports"
    for number, result in enumerate(results):
        run = save_run(Run(result, Rows(), arrays), reports)
        (run / "report.html").touch()
        run.rename(reports / f"run-{number}")
    refresh_index(reports)
    pages = {
        "checks": render_checks([make_checks(results[0])], read_runs(reports), datetime(2026, 6, 1, tzinfo=UTC)),
        "report": render_html(results[0], arrays, run="run-0"),
        "comparison": render_comparison(("run-0", "run-1"), results, (arrays, arrays)),
    }
    for name, html in pages.items():
        (folder / f"{name}.html").write_text(html, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in pages} | {"index": reports / INDEX_PAGE}


def make_gate(name: str) -> GateRecord:
    """A gate with a ruling in each state, one of them waived."""
    rulings = [
        Ruling("effect, accepted", name, name, state, level, f"{name} is {state}.")  # type: ignore[arg-type]
        for state, level in (("failed", "error"), ("broken", "error"), ("open", "warn"), ("kept", "error"))
    ]
    waived = replace(rulings[1], waiver=Waived(name, name, "2026-12-31", False))
    return GateRecord("error", 3, "release", "2026-06-01", "run-1", [*rulings, waived])


def make_checks(result: AuditResult) -> ChecksRecord:
    """A matrix with a check in each state, two of which found what the result has."""
    outcomes = enter_run("run-0", result, 0).outcomes
    names = [outcome.artefact for outcome in outcomes]
    found: dict[str, Any] = {"run": "run-0", "outcomes": outcomes, "history": ["run-1", "run-0"]}
    checks = [
        CheckRecord(
            f"{state} of {name}",
            state,
            f"{name} is why.",
            since="2026-01-01T00:00:00+00:00",
            checked="2026-01-02T00:00:00+00:00",
            model=name if number % 2 else "model",
            data=f"data {number} {name}",
            waived=[f"{name} is waived."] if state == "warn" else [],
            **(found if state in ("fail", "warn") else {}),
        )
        for number, (state, name) in enumerate(
            zip(CODES, [*names, *names, *names, *names, *names, *names], strict=False)
        )
    ]
    return ChecksRecord(f"../{names[0]}", "2026-01-02T00:00:00+00:00", None, checks, "2026-01-09T00:00:00+00:00")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    first = make_result()
    verdicts = ("no_evidence", "inconclusive", "not_applicable", "error")
    others = [make_finding(verdict, "dog", verdict, measurements={}, endpoint=None) for verdict in verdicts]
    gated = replace(first, findings=[*first.findings, *others], gate=make_gate("tag"))
    results = gated, replace(first, title="Another")
    return write_pages(tmp_path_factory.mktemp("pages"), results, make_arrays())


class Visit:
    """A page that is open, and what the browser said of it."""

    def __init__(self, browser: Browser, file: Path, view: dict[str, int]) -> None:
        self.page: Page = browser.new_context(viewport=view).new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.goto(file.as_uri())


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[[Path, dict[str, int]], Visit]]:
    yield lambda file, view: Visit(browser, file, view)
    for context in browser.contexts:
        context.close()


class TestBarriers:
    @pytest.mark.parametrize("name", PAGES)
    def test_there_are_none_by_wcag_on_a_wide_screen_and_on_a_phone_in_light_and_in_dark(self, name, files, visit):
        opened = visit(files[name], WIDE)
        assert find_barriers(opened.page) == []
        opened.page.emulate_media(color_scheme="dark")
        assert find_barriers(opened.page, COLOURS) == []
        opened.page.set_viewport_size(PHONE)
        assert find_barriers(opened.page) == []
        opened.page.emulate_media(color_scheme="light")
        assert find_barriers(opened.page, COLOURS) == []
        assert opened.complaints == []

    def test_they_would_be_found(self, files, visit):
        opened = visit(files["comparison"], WIDE)
        opened.page.evaluate(
            "document.querySelector('h1').style.color = '#ddd'; document.images[0].removeAttribute('alt')"
        )
        found = {line.partition(" at ")[0] for line in find_barriers(opened.page)}
        assert found == {"color-contrast", "image-alt"}


COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
"""All that light and dark can change."""


class TestLayout:
    @pytest.mark.parametrize("view", [WIDE, PHONE], ids=["wide", "phone"])
    @pytest.mark.parametrize("name", PAGES)
    def test_nothing_moves_while_a_page_loads(self, name, view, files, visit):
        page = visit(files[name], view).page
        assert layout_shift(page) == 0
        page.evaluate("document.body.prepend(Object.assign(document.createElement('p'), { innerText: 'late' }))")
        assert layout_shift(page) > 0

    @pytest.mark.parametrize("view", [WIDE, TABLET, PHONE], ids=["wide", "tablet", "phone"])
    @pytest.mark.parametrize("name", PAGES)
    def test_no_page_is_wider_than_the_window(self, name, view, files, visit):
        opened = visit(files[name], view)
        assert what_overflows(opened.page) == []
        assert opened.complaints == []


def what_overflows(page: Page) -> list[str]:
    """Elements that make a page wider than its window, by their tag and how their text begins."""
    return page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.body.querySelectorAll("*")]
            .filter(element => element.getBoundingClientRect().right > innerWidth)
            .map(element => `${element.tagName} ${element.className}: ${element.textContent.trim().slice(0, 40)}`)"""
    )


class TestNames:
    def test_are_shown_and_run_nothing_and_overflow_nothing(self, tmp_path, visit):
        for page, file in write_pages(tmp_path, make_hostile(), make_arrays()).items():
            opened = visit(file, WIDE)
            assert opened.page.evaluate("window.taken") is None
            assert set(opened.page.evaluate("[...document.links].map(link => link.protocol)")) <= {"file:"}
            for view in (WIDE, TABLET, PHONE):
                opened.page.set_viewport_size(view)
                assert what_overflows(opened.page) == [], (page, view)
            assert opened.complaints == []

    def test_would_run_something_in_a_page_that_does_not_care(self, tmp_path, visit):
        file = tmp_path / "careless.html"
        for name in list(HOSTILE.values())[:3]:
            file.write_text(f"<!doctype html><title>{name}</title><p title='{name}'>{name}", encoding="utf-8")
            assert visit(file, WIDE).page.evaluate("window.taken")


def make_hostile() -> tuple[AuditResult, AuditResult]:
    """Two results with every hostile name as class, artefact, image, warning, and wherever else one may stand."""
    names = list(HOSTILE.values())
    result = make_result(classes=tuple(names), artefact=names[0], title=" ".join(names[:4]), image=names[1])
    effect = {"theta": measure(2.0)}
    places = {
        "findings": [make_finding(name, name, measurements=effect, controls={name: measure(0.5)}) for name in names],
        "artefacts": [replace(result.artefacts[0], name=name) for name in names],
        "exemplars": [replace(result.exemplars[0], image=name, artefact=name, target=name) for name in names],
        "warnings": [Note("remark", name) for name in names],
        "preface": " ".join(names[:4]),
        "gate": replace(make_gate(names[0]), rulings=[ruling for name in names for ruling in make_gate(name).rulings]),
        "model": replace(result.model, source=names[3]),
        "data": replace(result.data, source=names[2]),
    }
    studies = dict.fromkeys(("counterfactual", "errors", "trust", "optima"))
    first: AuditResult = replace(result, **places, **studies)
    return first, replace(first, title=names[6], model=replace(result.model, source=names[6]))
