"""What tests need of the system beside Python: where it is, how it is installed, and what stays untested without it.

A test, or a fixture, that needs some of it says `require("chromium")` first; where it is missing the test is skipped,
and the last line of the run says so for all of them at once.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import pytest

from auditor.report.pdf import NoPdfError, PdfError, Request, render_pdf
from auditor.report.plots import font_folder


@dataclass(frozen=True)
class Tool:
    """Programs or a library of the system."""

    is_here: Callable[[], bool]
    tests: str
    """What is not tested without it."""
    debian: str
    """Its packages, for `apt-get install`."""
    macos: str
    """The same for `brew install`."""


def find_browser() -> str | None:
    """The Chromium that `CHROMIUM` names, else one that is installed."""
    installed = ("chromium", "google-chrome", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
    names = [os.environ["CHROMIUM"]] if os.environ.get("CHROMIUM") else installed
    return next(filter(None, map(shutil.which, names)), None)


@cache
def draws_pdf() -> bool:
    """Whether WeasyPrint finds pango: a page is drawn."""
    try:
        render_pdf(Request("<!doctype html><title>t</title><p>x", "{}", "2026-01-01T00:00:00Z", str(font_folder())))
    except PdfError as fault:
        return not isinstance(fault, NoPdfError)
    return True


TOOLS = {
    "chromium": Tool(lambda: find_browser() is not None, "pages in a browser", "chromium", "google-chrome"),
    "make": Tool(lambda: shutil.which("make") is not None, "the Makefile", "make", "make"),
    "pango": Tool(draws_pdf, "the PDF", "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0", "pango"),
    "poppler": Tool(
        lambda: None not in map(shutil.which, ("pdftotext", "pdftoppm")),
        "how the PDF reads and looks",
        "poppler-utils",
        "poppler",
    ),
}


def require(*names: str) -> None:
    """Skip the test that runs where one of the tools is missing."""
    missing = [name for name in names if not TOOLS[name].is_here()]
    if missing:
        pytest.skip(_NEEDS + ", ".join(missing))


def tell_missing(skipped: Iterable[str]) -> str | None:
    """What was not tested and how to install what it needs, in a line, from the reasons that tests were skipped for."""
    reasons = [reason.removeprefix("Skipped: ") for reason in skipped]
    needs = [name for said in reasons if said.startswith(_NEEDS) for name in said.removeprefix(_NEEDS).split(", ")]
    missing = {name: tool for name, tool in TOOLS.items() if name in needs}
    if not missing:
        return None
    untested = ", ".join(f"{tool.tests} ({needs.count(name)} tests need {name})" for name, tool in missing.items())
    debian, macos = (" ".join(getattr(tool, system) for tool in missing.values()) for system in ("debian", "macos"))
    wanted = f"make setup (Debian: apt-get install {debian}; macOS: brew install {macos})"
    return f"not tested: {untested}; to install: {wanted}"


_NEEDS = "needs "
