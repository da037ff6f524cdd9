"""A saved run to HTML and PDF: a pure function of its result and arrays, through the templates."""

from __future__ import annotations

import contextlib
import platform
import warnings as python_warnings
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from markupsafe import Markup

from auditor import plots
from auditor.errors import ReportError
from auditor.history import Arrays, load_arrays, load_result, record_report, write_whole
from auditor.rendering import open_templates, read_template
from auditor.result import AuditResult
from auditor.views.page import view_result

NO_PDF = (
    "No PDF was written: WeasyPrint or the system library pango is missing. Install it with "
    "`pip install 'auditor[pdf]'` and, on Debian, `apt-get install libpango-1.0-0 libpangoft2-1.0-0`, "
    "or on macOS `brew install pango`."
)


def write_report(folder: Path, formats: Sequence[str]) -> list[str]:
    """Render the report of a saved run into its folder; returns warnings.

    Raises
    ------
    ReportError
        The run is damaged, the folder cannot be written, or `pdf` alone was asked for and cannot be made.
    """
    result, arrays = load_result(folder), load_arrays(folder)
    weasyprint = _import_weasyprint() if "pdf" in formats else None
    warnings = [NO_PDF] if "pdf" in formats and weasyprint is None else []
    if warnings and "html" not in formats:
        raise ReportError(NO_PDF)
    page = render_html(result, arrays, warnings=warnings, run=folder.absolute().name)
    written = {}
    if "html" in formats:
        written["report.html"] = page.encode("utf-8")
    if weasyprint is not None:
        written["report.pdf"] = _render_pdf(weasyprint, page)
    try:
        for name, data in written.items():
            write_whole(folder / name, data)
        record_report(folder, written, renderer_versions())
    except OSError as fault:
        raise ReportError(f"{folder}: the report cannot be written: {fault.strerror or fault}") from None
    except ReportError as fault:
        warnings.append(f"{fault}; the hashes of the report are not recorded")
    return warnings


def render_html(result: AuditResult, arrays: Arrays, *, warnings: Sequence[str] = (), run: str = "") -> str:
    """The whole report as one HTML page that needs nothing beside it.

    Raises
    ------
    ReportError
        An array that the result names is missing.
    """
    try:
        view = view_result(result, arrays)
    except KeyError as fault:
        raise ReportError(f"arrays.npz: array {fault} is missing, which result.json names") from None
    view |= {"warnings": [*result.warnings, *warnings], "run": run, "sections": SECTIONS}
    view["style"] = Markup(read_template("style.css"))
    page = open_templates(autoescape=True).get_template("report.html.j2").render(view)
    return page.encode("utf-8", "replace").decode("utf-8")  # a name may hold half of a surrogate pair


def render_pdf(page: str) -> bytes | None:
    """The PDF of a page; None where WeasyPrint is missing."""
    weasyprint = _import_weasyprint()
    return None if weasyprint is None else _render_pdf(weasyprint, page)


def renderer_versions() -> dict[str, str]:
    """Versions of all that a report's bytes depend on beside its run."""
    versions = {"python": platform.python_version()}
    for package in _RENDERERS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def _import_weasyprint() -> Any:
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore", UserWarning)  # where no fonts are configured; we bring our own
            import weasyprint
    except (ImportError, OSError):  # OSError: pango is missing
        return None
    return weasyprint


def _render_pdf(weasyprint: Any, page: str) -> bytes:
    """PDF of a page with our own fonts: without any font pango ends the process, which no `except` can catch."""
    from weasyprint.text.fonts import FontConfiguration

    fetcher = weasyprint.urls.URLFetcher(allowed_protocols=["data"])
    fonts = FontConfiguration()
    style = weasyprint.CSS(string=plots.font_faces() + _PDF_FAMILIES, font_config=fonts, url_fetcher=fetcher)
    document = weasyprint.HTML(string=page, url_fetcher=fetcher)
    data: bytes = document.write_pdf(stylesheets=[style], font_config=fonts, pdf_variant="pdf/ua-1")
    return data


_RENDERERS = ("auditor", "jinja2", "markupsafe", "matplotlib", "numpy", "pillow", "weasyprint", "pydyf", "fonttools")

_PDF_FAMILIES = """
html, svg text { font-family: 'DejaVu Sans' !important }
code, pre, .hash { font-family: 'DejaVu Sans Mono' !important }
"""

SECTIONS: tuple[tuple[str, str, str], ...] = (
    ("verdict", "Verdict", "sections/verdict.html.j2"),
    ("artefacts", "Interventions", "sections/artefacts.html.j2"),
    ("regions", "Where the maps look", "sections/regions.html.j2"),
    ("gallery", "Images and maps", "sections/gallery.html.j2"),
    ("accuracy", "Accuracy by class", "sections/accuracy.html.j2"),
    ("methods", "Explanation methods", "sections/methods.html.j2"),
    ("skipped", "What was left out", "sections/skipped.html.j2"),
    ("provenance", "Provenance", "sections/provenance.html.j2"),
    ("notes", "How the verdict is reached", "sections/notes.html.j2"),
)
