"""A saved run to HTML and PDF: a pure function of its result and arrays, through the templates."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import platform
import warnings as python_warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from markupsafe import Markup

from auditor import plots
from auditor.errors import ReportError
from auditor.exports import EXPORTS, export
from auditor.fonts import describe_missing, watch_fonts
from auditor.history import Arrays, load_arrays, load_result, record_report
from auditor.presentable import PICTURE_NOTES, Pictures, check_arrays, make_visible, show_plainly, withhold
from auditor.rendering import open_templates, read_template
from auditor.result import AuditResult
from auditor.views.page import view_result
from auditor.writing import write_files

NO_PDF = (
    "No PDF was written: WeasyPrint or the system library pango is missing. Install it with "
    "`pip install 'auditor[pdf]'` and, on Debian, `apt-get install libpango-1.0-0 libpangoft2-1.0-0`, "
    "or on macOS `brew install pango`."
)


@dataclass(frozen=True)
class Drawing:
    """A report that is not written yet."""

    files: dict[str, bytes]
    warnings: list[str]


def write_report(folder: Path, formats: Sequence[str], pictures: Pictures | None = None) -> list[str]:
    """Render the report of a saved run into its folder, in all formats or none; returns warnings.

    Parameters
    ----------
    formats
        `html`, `pdf`, and those of `EXPORTS`.
    pictures
        How much it shows of the audited images; without it, what the configuration of the run says.

    Raises
    ------
    ReportError
        The run is damaged, the folder cannot be written, or a PDF cannot be made and no page was asked for.
    """
    chosen = pictures or _configured_pictures(load_result(folder))
    drawing = draw_report(folder, formats, chosen, run=folder.absolute().name)
    write_files({folder / name: data for name, data in drawing.files.items()})
    try:
        record_report(folder, drawing.files, renderer_versions(), chosen)
    except ReportError as fault:
        return [*drawing.warnings, f"{fault}; the hashes of the report are not recorded"]
    return drawing.warnings


def draw_report(
    folder: Path, formats: Sequence[str], pictures: Pictures, *, run: str, warnings: Sequence[str] = ()
) -> Drawing:
    """The report of a saved run, by names of files, in all formats.

    Raises
    ------
    ReportError
        The run is damaged, or a PDF cannot be made and no page was asked for.
    """
    files = {EXPORTS[name].file: export(folder, name) for name in formats if name in EXPORTS}
    told = list(warnings)
    if {"html", "pdf"} & set(formats):
        result, arrays = load_result(folder), load_arrays(folder)
        weasyprint = _import_weasyprint() if "pdf" in formats else None
        if "pdf" in formats and weasyprint is None:
            if "html" not in formats:
                raise ReportError(NO_PDF)
            told.append(NO_PDF)
        page = render_html(result, arrays, warnings=told, run=run, pictures=pictures)
        if weasyprint is not None:
            data, missing = _render_pdf(weasyprint, page)
            if missing:
                told.append(describe_missing(missing))
                page = render_html(result, arrays, warnings=told, run=run, pictures=pictures)
                data, _ = _render_pdf(weasyprint, page)
            files["report.pdf"] = data
        if "html" in formats:
            files["report.html"] = page.encode("utf-8")
    return Drawing(files, told)


def render_html(
    result: AuditResult,
    arrays: Arrays,
    *,
    warnings: Sequence[str] = (),
    run: str = "",
    pictures: Pictures | None = None,
) -> str:
    """The whole report as one HTML page that needs nothing beside it.

    Raises
    ------
    ReportError
        An array that the result names is missing or damaged.
    """
    check_arrays(arrays)
    chosen = pictures or _configured_pictures(result)
    result, arrays = show_plainly(*withhold(result, arrays, chosen))
    try:
        view = view_result(result, arrays)
    except KeyError as fault:
        raise ReportError(f"arrays.npz: array {fault} is missing, which result.json names") from None
    style = f"\n{read_template('style.css')}"
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    view |= {"warnings": [*result.warnings, *warnings], "run": make_visible(run), "sections": SECTIONS}
    view |= {"pictures": PICTURE_NOTES[chosen], "style": Markup(style), "style_hash": f"sha256-{digest}"}
    return open_templates(autoescape=True).get_template("report.html.j2").render(view)


def _configured_pictures(result: AuditResult) -> Pictures:
    section = result.provenance.config.get("report", {})
    configured = section.get("pictures", "all") if isinstance(section, dict) else None
    return next((mode for mode in PICTURE_NOTES if mode == configured), "none")


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


def _render_pdf(weasyprint: Any, page: str) -> tuple[bytes, set[str]]:
    """PDF of a page and the signs that no font has, with our own fonts first.

    Without any font pango ends the process, which no `except` can catch.
    """
    from weasyprint.text.fonts import FontConfiguration

    fetcher = weasyprint.urls.URLFetcher(allowed_protocols=["data"])
    fonts = FontConfiguration()
    style = weasyprint.CSS(string=plots.font_faces() + _PDF_FAMILIES, font_config=fonts, url_fetcher=fetcher)
    document = weasyprint.HTML(string=page, url_fetcher=fetcher)
    with watch_fonts() as missing:
        data: bytes = document.write_pdf(stylesheets=[style], font_config=fonts, pdf_variant="pdf/ua-1")
    return data, missing


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
    ("trust", "Trust in the explainers", "sections/trust.html.j2"),
    ("activation", "What the model looks for", "sections/activation.html.j2"),
    ("counterfactual", "The least change that changes the answer", "sections/counterfactual.html.j2"),
    ("contrast", "Errors and contrasts", "sections/contrast.html.j2"),
    ("accuracy", "Accuracy by class", "sections/accuracy.html.j2"),
    ("methods", "Explanation methods", "sections/methods.html.j2"),
    ("skipped", "What was left out", "sections/skipped.html.j2"),
    ("provenance", "Provenance", "sections/provenance.html.j2"),
    ("notes", "How the verdict is reached", "sections/notes.html.j2"),
)
