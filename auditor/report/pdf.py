"""A page to a PDF, drawn by WeasyPrint in a process of its own: whatever happens in there, the audit goes on.

`python -m auditor.report.pdf` is that process. It is given one request on its standard input, may read nothing but
`data:` URLs and our own fonts, and answers on its standard output with a line of JSON and the PDF.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from auditor.errors import ReportError
from auditor.report.cells import spare_measuring
from auditor.report.fonts import watch_fonts
from auditor.report.tags import mend_tags, take_out_running_heads
from auditor.report.templates import read_template

NO_PDF = (
    "No PDF was written: WeasyPrint or the system library pango is missing. Install it with "
    "`pip install 'auditor[pdf]'` and, on Debian, `apt-get install libpango-1.0-0 libpangoft2-1.0-0`, "
    "or on macOS `brew install pango`."
)

MOST_SECONDS, MOST_MEMORY = 600.0, 4 * 2**30
"""What a PDF may take, in seconds and bytes; one of 200 images takes seconds, and less than a tenth of the memory."""

MOST_ROWS = 60
"""Rows of one table on paper; sections cut most of their tables sooner."""


class PdfError(ReportError):
    """A PDF could not be drawn."""


class NoPdfError(PdfError):
    """What draws PDFs is not installed."""


@dataclass(frozen=True)
class Request:
    """What is to be drawn."""

    page: str
    attachment: str
    """Text of the `result.json` that the PDF carries."""
    made: str
    """When the run started, ISO 8601: the date of the PDF and its attachment."""
    fonts: str
    """The folder of our own fonts."""


@dataclass(frozen=True)
class Pdf:
    """A PDF that was drawn."""

    data: bytes
    missing: frozenset[str]
    """The signs that no font has."""
    refused: tuple[str, ...]
    """Addresses that the page asks for and that were not fetched."""


def render_pdf(request: Request, meanwhile: Callable[[], object] = lambda: None) -> Pdf:
    """Draw a page in a process of its own; the same request gives the same bytes.

    Parameters
    ----------
    meanwhile
        Called here while it draws; what this raises ends the drawing.

    Raises
    ------
    PdfError
        Drawing failed, took too long or too much memory; a `NoPdfError` where WeasyPrint or pango is missing.
    """
    paths = [str(Path(__file__).parents[2]), *filter(None, sys.path)]  # -P: never modules of the working directory
    fixed = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "0"}
    fixed["SOURCE_DATE_EPOCH"] = str(max(0, int(_moment(request.made).timestamp())))
    try:
        with tempfile.TemporaryFile() as asked:  # a pipe would have to be read from, and fed, while others are at work
            asked.write(json.dumps(asdict(request)).encode())
            asked.seek(0)
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "auditor.report.pdf"],
                stdin=asked,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=os.environ | fixed,
            )
    except OSError as fault:
        raise PdfError(f"No PDF was written: it cannot be started: {fault.strerror or fault}") from None
    with process:
        try:
            meanwhile()
            out, err = process.communicate(timeout=MOST_SECONDS)
        except subprocess.TimeoutExpired:
            raise PdfError(f"No PDF was written: drawing it took more than {MOST_SECONDS:g} seconds.") from None
        finally:
            process.kill()  # nothing, where it has ended
    return _read_answer(process.returncode, out, err)


def _read_answer(code: int, out: bytes, err: bytes) -> Pdf:
    head, _, data = out.partition(b"\n")
    if code < 0:
        name = signal.Signals(-code).name
        raise PdfError(f"No PDF was written: the process that draws it was ended by {name}.")
    if code or not head:
        last = err.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise PdfError(f"No PDF was written: the process that draws it ended with {code}: {last}")
    answer = json.loads(head)
    if "fault" in answer:
        raise (NoPdfError if answer.get("is_missing") else PdfError)(answer["fault"])
    return Pdf(data, frozenset(answer["missing"]), tuple(answer["refused"]))


def main() -> None:
    """Answer the one request of this process."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no part of the answer
    _limit_memory()
    gc.set_threshold(200_000, 50, 50)  # a page is a great many objects, of which few are dropped before its end
    data = b""
    try:
        pdf = _draw(Request(**json.load(sys.stdin.buffer)))
        answer: dict[str, Any] = {"missing": sorted(pdf.missing), "refused": pdf.refused}
        data = pdf.data
    except PdfError as fault:
        answer = {"fault": str(fault), "is_missing": isinstance(fault, NoPdfError)}
    except MemoryError:
        answer = {"fault": f"No PDF was written: drawing it took more than {MOST_MEMORY >> 30} GiB of memory."}
    except Exception as fault:
        answer = {"fault": f"No PDF was written: drawing it failed: {type(fault).__name__}: {fault}"}
    output.write(json.dumps(answer).encode() + b"\n" + data)
    output.close()
    gc.freeze()  # this process ends, and nothing is looked through before


def _draw(request: Request) -> Pdf:
    weasyprint = _import_weasyprint()
    from weasyprint.text.fonts import FontConfiguration

    refused: list[str] = []
    fetcher = _make_fetcher(weasyprint, Path(request.fonts), refused)
    fonts = FontConfiguration()
    style = weasyprint.CSS(string=read_template("fonts.css"), font_config=fonts, url_fetcher=fetcher)
    document = weasyprint.HTML(string=request.page, url_fetcher=fetcher, base_url="about:blank")
    _cut_tables(document.etree_element)
    made = _moment(request.made)
    attachment = weasyprint.Attachment(
        string=request.attachment,
        name="result.json",
        description="Every number of this report",
        created=made,
        modified=made,
        url_fetcher=fetcher,
    )
    with watch_fonts() as missing, spare_measuring():
        data: bytes = document.write_pdf(
            stylesheets=[style],
            font_config=fonts,
            pdf_variant="pdf/ua-1",
            attachments=[attachment],
            finisher=_finish,
        )
    return Pdf(data, frozenset(missing), tuple(dict.fromkeys(refused)))


def _import_weasyprint() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # where no fonts are configured; we bring our own
            import weasyprint
    except (ImportError, OSError):  # OSError: pango is missing
        raise NoPdfError(NO_PDF) from None
    return weasyprint


def _make_fetcher(weasyprint: Any, fonts: Path, refused: list[str]) -> Any:
    """A fetcher of `data:` URLs and, by a scheme of their own, of our fonts: as data they take seconds to parse."""

    class Fetcher(weasyprint.urls.URLFetcher):  # type: ignore[misc]
        def fetch(self, url: str, headers: Any = None) -> Any:
            scheme, _, name = url.partition(":")
            if scheme == _SCHEME and name in _FONTS:
                return weasyprint.urls.URLFetcherResponse(url, (fonts / name).read_bytes())
            if scheme.lower() != "data":
                refused.append(url)
            return super().fetch(url, headers)

    return Fetcher(allowed_protocols=["data"])


def _cut_tables(root: Any) -> None:
    """No table runs on for pages: a last row says how many are left out and where they are."""
    for body in root.iter("tbody"):
        rows = body.findall("tr")
        if len(rows) <= MOST_ROWS:
            continue
        for row in rows[MOST_ROWS:]:
            body.remove(row)
        columns = sum(int(cell.get("colspan", "1")) for cell in rows[0])
        more = body.makeelement("tr", {})
        cell = more.makeelement("td", {"colspan": str(columns), "class": "reason"})
        cell.text = f"{len(rows) - MOST_ROWS} more rows are in the attached result.json."
        more.append(cell)
        body.append(more)


def _finish(document: Any, pdf: Any) -> None:
    _relate_attachment(pdf)
    mend_tags(pdf)
    take_out_running_heads(pdf)
    for item in pdf.objects:
        if isinstance(item, dict) and item.get("Type") == "/Annot":
            item["F"] = 4  # links are printed, as on the screen


def _relate_attachment(pdf: Any) -> None:
    """Say that the attachment holds the data of what is shown (`AFRelationship`, ISO 32000-2, 7.11.3)."""
    import pydyf

    files: list[Any] = [item for item in pdf.objects if isinstance(item, dict) and item.get("Type") == "/Filespec"]
    for item in files:
        item["AFRelationship"] = "/Data"
    pdf.catalog["AF"] = pydyf.Array([item.reference for item in files])


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # not every system has such a limit
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = MOST_MEMORY if hard == resource.RLIM_INFINITY else min(MOST_MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _moment(text: str) -> datetime:
    """A moment in UTC; one that says nothing of its zone is taken to be."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise PdfError(f"No PDF was written: provenance.started: got {text[:40]!r}, wanted a moment.") from None


_SCHEME = "auditor-font"

_FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSans-Oblique.ttf", "DejaVuSansMono.ttf")
"""Open fonts that come with matplotlib, for `templates/fonts.css`: without any font at all, pango aborts."""

if __name__ == "__main__":
    main()
