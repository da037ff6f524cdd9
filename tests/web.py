"""The browser of the tests, and what it knows of a page: barriers (axe-core), shifts of the layout, first paint."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from playwright.sync_api import Page

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
VIEWS = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2},
    "without JavaScript": {"viewport": {"width": 1280, "height": 900}, "java_script_enabled": False},
}

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
"""The tags of axe-core that make up WCAG 2.2 AA, and what it calls best practice."""


def find_barriers(page: Page, rules: dict[str, Any] | None = None) -> list[str]:
    """What axe-core finds against WCAG 2.2 AA: the rule, the element and the mend, a line each.

    What is folded is opened, for nobody sees it otherwise. DevTools bring axe-core into the page, which its policy
    does not forbid; nothing of the page is changed.
    """
    unfold(page)
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    only = rules or {"type": "tag", "values": WCAG}
    found = page.evaluate("only => axe.run({ runOnly: only, resultTypes: ['violations'] })", only)
    assert found["passes"] or found["violations"], "axe-core looked at nothing"
    return [
        f"{rule['id']} at {node['target'][-1]}: {' '.join(node['failureSummary'].split())}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


def unfold(page: Page) -> None:
    """Open all that is folded on a page."""
    page.evaluate("document.querySelectorAll('details').forEach(folded => folded.open = true)")


def layout_shift(page: Page) -> float:
    """How far things moved since the page began to load, as Cumulative Layout Shift counts it."""
    return page.evaluate(
        """() => new Promise(answer => {
            let sum = 0
            new PerformanceObserver(list => {
                for (const shift of list.getEntries()) sum += shift.value
            }).observe({ type: "layout-shift", buffered: true })
            requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => answer(sum), 50)))
        })"""
    )


def first_paint(page: Page) -> float:
    """Seconds from the beginning of the load to the first text or picture on the screen."""
    milliseconds: float = page.evaluate(
        """() => new Promise(answer => new PerformanceObserver(list => {
            const paint = list.getEntriesByName("first-contentful-paint")[0]
            if (paint) answer(paint.startTime)
        }).observe({ type: "paint", buffered: true }))"""
    )
    return milliseconds / 1000
