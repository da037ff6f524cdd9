"""What holds of every golden run, page and PDF alike: failed methods are marked, and each number has one interval."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from html import unescape
from pathlib import Path

import pytest

from auditor.measure.words import number, say_interval
from auditor.report.exports.markdown import write_markdown
from auditor.report.methods import method_name, read_methods
from auditor.report.page import fill_page, view_page
from auditor.report.presentable import present
from auditor.report.trends import say_outcome as say_on_index
from auditor.run.index import enter_run
from auditor.run.result import AuditResult
from auditor.run.store import SavedRun, load_result
from tests.synthetic import make_arrays, make_finding, make_result, measure

RUNS = Path(__file__).parent / "golden" / "runs"
NAMES = ("complete", "later", "hostile")

_TAG = re.compile(r"<[^>]*>")
_SAID = re.compile(r'(?:alt|title|aria-label)="([^"]*)"')
_BLOCK = re.compile(r"</?(?:p|li|td|tr|h\d|dd|dt|div|figure|summary|option|text|caption|section|article|desc)\b[^>]*>")


@cache
def pages(name: str) -> dict[str, str]:
    """The page and what the PDF is made from, without style and script."""
    run = SavedRun(RUNS / name)
    page = view_page(present(run.result, run.arrays), run=name)
    drawn = {"page": fill_page(page, []), "paper": fill_page(page, [], paper=True)}
    return {key: re.sub(r"<(style|script)\b.*?</\1>", "", text, flags=re.DOTALL) for key, text in drawn.items()}


def texts(html: str) -> list[str]:
    """What each block of a page says, and what is read out for pictures."""
    blocks = [_TAG.sub(" ", block) for block in _BLOCK.split(html)]
    said = _SAID.findall(html)
    return [" ".join(unescape(text).split()) for text in [*blocks, *said] if text.strip()]


def unmarked(text: str, names: list[str]) -> list[str]:
    """The failed methods that a text names without their mark, before or behind."""
    found = []
    for name in names:
        for at in re.finditer(re.escape(name), text):
            around = text[max(0, at.start() - 2) : at.start()] + text[at.end() : at.end() + 3]
            if "✗" not in around:
                found.append(name)
    return found


class TestMarks:
    @pytest.mark.parametrize("medium", ["page", "paper"])
    @pytest.mark.parametrize("name", NAMES)
    def test_a_method_that_failed_its_tests_is_marked_wherever_it_is_named(self, name, medium):
        failed = [method_name(method) for method in read_methods(load_result(RUNS / name).trust).failed]
        assert bool(failed) == (name == "complete")
        html = pages(name)[medium].partition("<main ")[2]
        assert html
        assert [(text[:100], found) for text in texts(html) if (found := unmarked(text, failed))] == []

    def test_a_name_without_its_mark_would_be_found(self):
        assert unmarked("Grad-CAM (conv) helps most", ["Grad-CAM (conv)"])
        assert not unmarked("Grad-CAM (conv) ✗ failed its tests", ["Grad-CAM (conv)"])
        assert not unmarked("✗ Grad-CAM (conv)", ["Grad-CAM (conv)"])


def corrected() -> AuditResult:
    """A finding whose lower bound is corrected for all that was tried."""
    effect = replace(measure(2.75), low_adjusted=1.25)
    finding = make_finding(measurements=make_finding().measurements | {"theta": effect})
    return make_result(findings=[finding, make_finding("frame", "dog", "no_evidence")])


def intervals_of(value: str, text: str) -> set[str]:
    """The intervals that stand behind a number that is told."""
    end = r"\u2212?\d+(?:\.\d+)?"
    behind = rf"(?<![\d.]){re.escape(value)}\*{{0,2}} (?:log-odds)?[ ,(\\]*({end} to {end})"
    return set(re.findall(behind, " ".join(text.split())))


class TestIntervals:
    @pytest.mark.parametrize("name", [*NAMES, "corrected"])
    def test_the_effect_that_decides_has_the_same_interval_wherever_it_is_told(self, name):
        if name == "corrected":
            result, drawn = corrected(), {}
            page = view_page(present(result, make_arrays()), run=name)
            drawn = {"page": fill_page(page, []), "paper": fill_page(page, [], paper=True)}
        else:
            result, drawn = load_result(RUNS / name), pages(name)
        media = {key: _TAG.sub(" ", html) for key, html in drawn.items()} | {"markdown": write_markdown(result)}
        outcomes = enter_run(name, result, 0).outcomes
        told = 0
        for finding, outcome in zip(result.findings, outcomes, strict=True):
            effect = finding.effect
            if effect is None or effect.value is None:
                continue
            value, interval = number(effect.value, effect.unit), say_interval(effect)
            for medium, text in media.items():
                assert intervals_of(value, unescape(text)) == {interval}, (medium, finding.artefact)
            assert say_on_index(outcome) == f"{value} {effect.unit}, {interval}"
            told += 1
        assert told

    def test_the_interval_that_decides_has_the_corrected_end(self):
        assert say_interval(replace(measure(2.125), low_adjusted=1.25)) == "1.2 to 2.4"
