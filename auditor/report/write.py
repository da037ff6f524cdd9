"""A saved run to HTML and PDF: a pure function of its result and arrays, through the templates."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import platform
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from markupsafe import Markup

from auditor.errors import ReportError, TemplateError
from auditor.measure.ledger import Arrays
from auditor.report import packing, plots
from auditor.report.exports.formats import EXPORTS
from auditor.report.fonts import describe_missing
from auditor.report.page import view_result
from auditor.report.pdf import NO_PDF, Pdf, PdfError, Request, render_pdf
from auditor.report.presentable import (
    PICTURE_NOTES,
    Pictures,
    Presented,
    configured_pictures,
    make_visible,
    present,
)
from auditor.report.templates import BUILT_IN, OwnTemplates, read_own_templates, read_template, render_page
from auditor.run.files import BUNDLE, FOLDER, FORMATS, PAGE, PDF, RESULT, write_files
from auditor.run.result import AuditResult, result_to_json
from auditor.run.store import SavedRun, load_hashes, record_report


@dataclass(frozen=True)
class Drawing:
    """A report that is not written yet."""

    files: dict[str, bytes]
    warnings: list[str]


def write_report(
    folder: Path, formats: Sequence[str], pictures: Pictures | None = None, own: OwnTemplates | None = None
) -> list[str]:
    """Render the report of a saved run into its folder, in all formats or none; returns warnings.

    Parameters
    ----------
    formats
        `html`, `pdf`, and those of `EXPORTS`.
    pictures
        How much it shows of the audited images; without it, what the configuration of the run says.
    own
        The user's templates; without it, those that the report was drawn with before.

    Raises
    ------
    ReportError
        The run is damaged, the folder cannot be written, or a PDF cannot be made and no page was asked for.
    TemplateError
        A template of the user's cannot be drawn.
    """
    run = SavedRun(folder)
    chosen = pictures or configured_pictures(run.result)
    is_drawn = bool({"html", "pdf"} & set(formats))
    templates = known_templates(folder) if own is None and is_drawn else own or BUILT_IN
    beside = folder / FOLDER
    if beside.is_symlink():  # it may lead to somebody's own pictures, which are neither ours to replace nor to remove
        raise ReportError(f"{beside}: a symbolic link; wanted a folder, or nothing there")
    drawing = draw_report(run, formats, chosen, name=folder.absolute().name, own=templates)
    write_files({folder / name: data for name, data in drawing.files.items()})
    if PAGE in drawing.files:
        _remove_old_pictures(folder, drawing.files)
    drawn_with = (templates.folder, templates.digest) if is_drawn else None
    try:
        others = record_report(folder, drawing.files, renderer_versions(), chosen, drawn_with)
    except ReportError as fault:
        return [*drawing.warnings, f"{fault}; the hashes of the report are not recorded"]
    told = [
        f"{folder / name}: stays as it was drawn before, with other pictures, templates or versions; "
        "render or remove it, too"
        for name in others
    ]
    return [*drawing.warnings, *told]


def _remove_old_pictures(folder: Path, files: Collection[str]) -> None:
    """Take away what an earlier page needed: it may show more of the images than this one may."""
    beside = folder / FOLDER
    old = [folder / BUNDLE, *beside.glob("*")]
    try:
        for file in old:
            if file.relative_to(folder).as_posix() not in files:
                file.unlink(missing_ok=True)
        if beside.is_dir() and not any(beside.iterdir()):
            beside.rmdir()
    except OSError as fault:
        raise ReportError(f"{folder}: pictures of an earlier report cannot be removed: {fault.strerror}") from None


def known_templates(folder: Path) -> OwnTemplates:
    """The templates that the report of a run was drawn with, from where they lay.

    Raises
    ------
    TemplateError
        They are no longer there, or cannot be read.
    """
    try:
        hashes = load_hashes(folder)
    except ReportError:  # where they are damaged nothing says so, and a report can still be drawn
        return BUILT_IN
    if hashes is None or not hashes.templates:
        return BUILT_IN
    try:
        return read_own_templates(Path(os.path.normpath(folder.resolve() / hashes.templates)))
    except TemplateError as fault:
        raise TemplateError(
            f"{fault}; the report was drawn with it: say --templates FOLDER or --no-templates"
        ) from None


def draw_report(
    run: SavedRun,
    formats: Sequence[str],
    pictures: Pictures,
    *,
    name: str,
    warnings: Sequence[str] = (),
    own: OwnTemplates = BUILT_IN,
) -> Drawing:
    """The report of a saved run, by names of files, in all formats.

    Parameters
    ----------
    name
        Of the run, as the report shows it.

    Raises
    ------
    ReportError
        The run is damaged, or a PDF cannot be made and no page was asked for.
    TemplateError
        A template of the user's cannot be drawn.
    """
    shown = present(run.result, run.arrays, pictures)
    files = {FORMATS[format]: EXPORTS[format](run, shown.result) for format in formats if format in EXPORTS}
    told, aside = list(warnings), list[str]()
    if {"html", "pdf"} & set(formats):
        page = view_page(shown, run=name, own=own)
        attachment = run.text if shown.data is run.result else result_to_json(shown.data)
        if "pdf" in formats:
            try:
                files[PDF], new, aside = _draw_pdf(page, told, own, attachment)
                told += new
            except PdfError as fault:
                if "html" not in formats:
                    raise
                (told if str(fault) == NO_PDF else aside).append(str(fault))
        if "html" in formats:
            files |= _draw_html(page, told, own, attachment)
    return Drawing(files, [*told, *aside])


def render_html(
    result: AuditResult,
    arrays: Arrays,
    *,
    warnings: Sequence[str] = (),
    run: str = "",
    pictures: Pictures | None = None,
    own: OwnTemplates = BUILT_IN,
) -> str:
    """The whole report as one HTML page that needs nothing beside it.

    Raises
    ------
    ReportError
        An array that the result names is missing or damaged.
    TemplateError
        A template of the user's cannot be drawn.
    """
    page = view_page(present(result, arrays, pictures), run=run, own=own)
    return _carry_all(*_collect(page, warnings, own), own)


def draw_page(
    result: AuditResult, arrays: Arrays, kind: str, *, run: str = "", pictures: Pictures | None = None
) -> bytes:
    """The whole report as one file, `html` or `pdf`.

    Raises
    ------
    ReportError
        An array that the result names is missing or damaged, or a PDF cannot be made.
    """
    if kind == "html":
        return render_html(result, arrays, run=run, pictures=pictures).encode("utf-8")
    shown = present(result, arrays, pictures)
    return _draw_pdf(view_page(shown, run=run), [], BUILT_IN, result_to_json(shown.data))[0]


def view_page(shown: Presented, *, run: str, own: OwnTemplates = BUILT_IN) -> dict[str, Any]:
    """All variables that the templates of the report are given; `docs/templates.md` tells what they are.

    Raises
    ------
    ReportError
        An array that the result names is missing or damaged.
    """
    result, arrays = shown.result, shown.arrays
    view = view_result(result, arrays)
    told = list(result.told.values())
    view["told"] |= {f"told-{number}": part.pieces for number, part in enumerate(told)}
    at = next(at for at, (id, *_) in enumerate(SECTIONS) if id == "accuracy")
    listed = [*SECTIONS[:at], *((f"told-{n}", part.title, TOLD) for n, part in enumerate(told)), *SECTIONS[at:]]
    view |= {"warnings": [note.text for note in result.warnings], "run": make_visible(run), "sections": listed}
    view |= {"pictures": PICTURE_NOTES[shown.pictures], "picture": own.picture}
    worst_first = sorted(view["findings"], key=lambda item: _ON_COVER.index(item["finding"].verdict))
    view |= {"cover": worst_first[:_MOST_ON_COVER], "cover_left_out": max(0, len(worst_first) - _MOST_ON_COVER)}
    return view | _style(own, paper=False)


def fill_page(page: dict[str, Any], warnings: Sequence[str], own: OwnTemplates, *, paper: bool = False) -> str:
    """The page from its variables and what came up since they were made; on paper, as it goes into the PDF."""
    told = {"warnings": [*page["warnings"], *warnings]}
    return render_page("report.html.j2", page | told | _style(own, paper=paper), own)


def _draw_html(page: dict[str, Any], warnings: Sequence[str], own: OwnTemplates, attachment: str) -> dict[str, bytes]:
    """One file; where that is too large the page, its pictures, and an archive of both."""
    whole, store = _collect(page, warnings, own)
    if packing.fits(whole, store):
        return {PAGE: _carry_all(whole, store, own).encode("utf-8")}
    return packing.unpack(whole, store, {RESULT: attachment.encode("utf-8")})


def _collect(page: dict[str, Any], warnings: Sequence[str], own: OwnTemplates) -> tuple[str, packing.Store]:
    """The page, which names its pictures, and these."""
    with packing.collecting() as store:
        text = fill_page(page, warnings, own)
    return packing.collect(text, store), store


def _carry_all(whole: str, store: packing.Store, own: OwnTemplates) -> str:
    """The page with its pictures inside; the images under its maps once, in its stylesheet, where it has ours."""
    style = _style(own, paper=False)
    sheet = f"<style>{style['style']}</style>"
    if sheet in whole:
        whole, rules = packing.share_images(whole, store)
        new = f"{style['style']}{rules}"
        whole = whole.replace(sheet, f"<style>{new}</style>", 1).replace(style["style_hash"], policy_hash(new), 1)
    return packing.embed(whole, store)


def _style(own: OwnTemplates, *, paper: bool) -> dict[str, Any]:
    """Stylesheet and script with their hashes for the page's policy; on paper with what only WeasyPrint understands."""
    sheets = ["", read_template("style.css"), read_template("paper.css") if paper else "", own.look]
    style, script = "\n".join(sheets), f"\n{read_template('report.js')}"
    carried = {"style": Markup(style), "script": Markup(script)}
    return carried | {"paper": paper, "style_hash": policy_hash(style), "script_hash": policy_hash(script)}


def script_source() -> str:
    """The one script of a report, as a policy names what may run."""
    return f"'{_style(BUILT_IN, paper=False)['script_hash']}'"


def policy_hash(text: str) -> str:
    """As a page's policy names what it may use (CSP level 3)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _draw_pdf(
    page: dict[str, Any], warnings: Sequence[str], own: OwnTemplates, attachment: str
) -> tuple[bytes, list[str], list[str]]:
    """The PDF, what the report must tell of it, and what only who makes it needs to know."""

    def draw(told: Sequence[str]) -> Pdf:
        made, fonts = page["result"].provenance.started, str(plots.font_folder())
        return render_pdf(Request(fill_page(page, told, own, paper=True), attachment, made, fonts))

    pdf, told = draw(warnings), []
    if pdf.missing:
        told = [describe_missing(set(pdf.missing))]
        pdf = draw([*warnings, *told])
    refused = [f"not fetched for the PDF: {make_visible(url)[:200]}; the page must carry it" for url in pdf.refused]
    return pdf.data, told, refused


def renderer_versions() -> dict[str, str]:
    """Versions of all that a report's bytes depend on beside its run."""
    versions = {"python": platform.python_version()}
    for package in _RENDERERS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


_RENDERERS = ("auditor", "jinja2", "markupsafe", "matplotlib", "numpy", "pillow", "weasyprint", "pydyf", "fonttools")

_ON_COVER = ("relies", "error", "inconclusive", "no_evidence", "not_applicable")
_MOST_ON_COVER = 5

TOLD = "sections/told.html.j2"
"""The template of every section that is told in pieces and has none of its own."""

SECTIONS: tuple[tuple[str, str, str], ...] = (
    ("verdict", "Verdict", "sections/verdict.html.j2"),
    ("artefacts", "Interventions", "sections/artefacts.html.j2"),
    ("methods_compared", "Evidence across methods", "sections/methods_compared.html.j2"),
    ("regions", "Where the maps look", "sections/regions.html.j2"),
    ("gallery", "Images and maps", "sections/gallery.html.j2"),
    ("optima", "What the model looks for", "sections/optima.html.j2"),
    ("errors", "Errors and contrasts", "sections/errors.html.j2"),
    ("counterfactual", "The least change that changes the answer", "sections/counterfactual.html.j2"),
    ("trust", "Trust in the explainers", "sections/trust.html.j2"),
    ("accuracy", "Accuracy by class", "sections/accuracy.html.j2"),
    ("skipped", "What was left out", "sections/skipped.html.j2"),
    ("provenance", "Provenance", "sections/provenance.html.j2"),
    ("methods", "Explanation methods", "sections/methods.html.j2"),
    ("notes", "How the verdict is reached", "sections/notes.html.j2"),
)
