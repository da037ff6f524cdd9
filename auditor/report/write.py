"""A saved run to HTML and PDF: a pure function of its result and arrays, through the templates."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from auditor.errors import ReportError, TemplateError
from auditor.measure.ledger import Arrays
from auditor.report import packing, plots
from auditor.report.exports.formats import EXPORTS
from auditor.report.fonts import describe_missing
from auditor.report.page import Page, fill_page, view_page
from auditor.report.pdf import NoPdfError, Pdf, PdfError, Request, render_pdf
from auditor.report.presentable import Pictures, configured_pictures, present
from auditor.report.templates import BUILT_IN, OwnTemplates, read_own_templates
from auditor.report.visible import make_visible
from auditor.run.files import BUNDLE, FOLDER, FORMATS, PAGE, PDF, RESULT, write_files
from auditor.run.result import AuditResult, result_to_json
from auditor.run.store import SavedRun, load_hashes, record_report


@dataclass(frozen=True)
class Drawing:
    """A report that is not written yet."""

    files: dict[str, bytes]
    warnings: list[str]
    no_pdf: str = ""
    """Why there is no PDF, where one was asked for."""


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
    try:
        for file in (folder / BUNDLE, *beside.glob("*")):
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
        They are no longer there, or cannot be read, or lie with the run.
    """
    hashes = None
    with contextlib.suppress(ReportError):  # where they are damaged nothing says so, and a report can still be drawn
        hashes = load_hashes(folder)
    if hashes is None or not hashes.templates:
        return BUILT_IN
    templates = Path(os.path.normpath(folder.resolve() / hashes.templates))
    if templates.is_relative_to(folder.resolve().parent):  # whoever sent the run may have sent them with it
        raise TemplateError(
            f"{templates}: templates that lie with the run are drawn only when they are asked for; "
            "say --templates FOLDER or --no-templates"
        )
    try:
        return read_own_templates(templates)
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
    shown = present(run.result, run.arrays, pictures, run.text)
    files = {FORMATS[format]: EXPORTS[format](run, shown.result) for format in formats if format in EXPORTS}
    told, aside, no_pdf = list(warnings), list[str](), ""
    if {"html", "pdf"} & set(formats):
        page = view_page(shown, run=name, own=own)
        attachment = run.text if shown.data is run.result else result_to_json(shown.data)
        drawn = dict[str, bytes]()

        def draw_beside() -> None:
            if "html" in formats:
                drawn.update(_draw_html(page, warnings, attachment))

        if "pdf" in formats:
            try:
                files[PDF], new, aside = _draw_pdf(page, warnings, attachment, draw_beside)
                told += new
            except PdfError as fault:
                if "html" not in formats:
                    raise
                no_pdf = str(fault)
                (told if isinstance(fault, NoPdfError) else aside).append(no_pdf)
        if "html" in formats:
            files |= drawn if drawn and told == [*warnings] else _draw_html(page, told, attachment)
    return Drawing(files, [*told, *aside], no_pdf)


def render_html(
    result: AuditResult,
    arrays: Arrays,
    *,
    run: str = "",
    pictures: Pictures | None = None,
    own: OwnTemplates = BUILT_IN,
    saved: str = "",
) -> str:
    """The whole report as one HTML page that needs nothing beside it.

    Parameters
    ----------
    saved
        The text of `result.json` as it lies in the folder of the run, whose hash the page tells; without it that of the
        result.

    Raises
    ------
    ReportError
        An array that the result names is missing or damaged.
    TemplateError
        A template of the user's cannot be drawn.
    """
    page = view_page(present(result, arrays, pictures, saved), run=run, own=own)
    return packing.embed(fill_page(page, []), page.album, page.style)


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
    return _draw_pdf(view_page(shown, run=run), [], result_to_json(shown.data))[0]


def _draw_html(page: Page, warnings: Sequence[str], attachment: str) -> dict[str, bytes]:
    """One file; where that is too large the page, its pictures, and an archive of both."""
    text = fill_page(page, warnings)
    if packing.fits(text, page.album):
        return {PAGE: packing.embed(text, page.album, page.style).encode("utf-8")}
    return packing.unpack(text, page.album, page.style, {RESULT: attachment.encode("utf-8")})


def _draw_pdf(
    page: Page, warnings: Sequence[str], attachment: str, meanwhile: Callable[[], None] = lambda: None
) -> tuple[bytes, list[str], list[str]]:
    """The PDF, what the report must tell of it, and what only who makes it needs to know; something is done beside."""

    def draw(told: Sequence[str], meanwhile: Callable[[], None] = lambda: None) -> Pdf:
        made, fonts = page.view["result"].provenance.started, str(plots.font_folder())
        text = packing.embed(fill_page(page, told, paper=True), page.album)
        return render_pdf(Request(text, attachment, made, fonts), meanwhile)

    pdf, told = draw(warnings, meanwhile), []
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
