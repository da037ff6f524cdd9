"""Whether a saved run is still what it was when it was written: files by their hashes, reports by drawing them again.

This finds decay, mix-ups and careless edits. Whoever can change a file can change `hashes.json` with it; a copy of that
file kept elsewhere guards against more.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from auditor.errors import ReportError, TemplateError
from auditor.report.pdf import NO_PDF
from auditor.report.presentable import PICTURE_NOTES, Pictures
from auditor.report.templates import BUILT_IN, OwnTemplates, read_own_templates
from auditor.report.write import draw_report, known_templates, renderer_versions
from auditor.run.files import ARRAYS, FOLDER, FORMATS, HASHES, RESULT, ROWS, is_beside
from auditor.run.store import Hashes, SavedRun, hash_file, load_hashes

State = Literal["as written", "differs", "missing", "not recorded", "not compared"]

EXIT_CODES: dict[State, int] = {"as written": 0, "differs": 1, "missing": 1, "not recorded": 4, "not compared": 4}

_SERIOUS = (1, 4, 0)


@dataclass(frozen=True)
class Check:
    """One thing that was compared."""

    what: str
    state: State
    reason: str = ""


def verify_run(folder: Path, templates: Path | None = None) -> list[Check]:
    """Compare a run with its hashes, and its reports with what its evidence gives now.

    Parameters
    ----------
    templates
        Where the user's templates lie now that drew the report; without it, where they lay then.

    Raises
    ------
    ReportError
        The folder is no run, or `hashes.json` is damaged or missing.
    """
    if not (folder / RESULT).exists() and not (folder / HASHES).exists():
        raise ReportError(f"{folder}: no {RESULT} there; wanted the folder of a saved run")
    hashes = load_hashes(folder)
    if hashes is None:
        raise ReportError(f"{folder / HASHES}: missing; nothing says what this run was when it was written")
    return [*compare_files(folder, hashes), *_draw_again(folder, hashes, templates)]


def exit_code(checks: list[Check]) -> int:
    """1 where something differs, else 4 where something could not be compared, else 0."""
    codes = {EXIT_CODES[check.state] for check in checks}
    return next(code for code in _SERIOUS if code in codes)


def compare_files(folder: Path, hashes: Hashes) -> list[Check]:
    """Compare the files of a run with their hashes.

    Raises
    ------
    ReportError
        A file cannot be read, or `hashes.json` is damaged.
    """
    checks = []
    for name in dict.fromkeys((RESULT, ROWS, ARRAYS, *hashes.files, "report.html", "report.pdf")):
        file, wanted = folder / name, hashes.files.get(name)
        if Path(name).name != name and not (is_beside(name) and Path(FOLDER, Path(name).name).as_posix() == name):
            raise ReportError(f"{folder / HASHES}: damaged: {name!r} is no name of a file")
        if not file.is_file():
            if wanted is not None or name in (RESULT, ROWS, ARRAYS):
                checks.append(Check(name, "missing"))
        elif wanted is None:
            checks.append(Check(name, "not recorded", "nobody wrote its hash down"))
        else:
            try:
                got = hash_file(file)
            except OSError as fault:
                raise ReportError(f"{file}: cannot be read: {fault.strerror}") from None
            reason = f"SHA-256 is {got[:12]}…, was {wanted[:12]}…"
            checks.append(Check(name, "as written") if got == wanted else Check(name, "differs", reason))
    return _gather_pictures(checks)


def _gather_pictures(checks: list[Check]) -> list[Check]:
    """The many pictures beside a large page as one, but for those that something is wrong with."""
    whole = [check for check in checks if check.what.startswith(f"{FOLDER}/") and check.state == "as written"]
    others = [check for check in checks if check not in whole]
    return [*others, Check(f"{FOLDER}, {len(whole)} pictures", "as written")] if whole else others


def _draw_again(folder: Path, hashes: Hashes, templates: Path | None) -> list[Check]:
    formats = {name: file for name, file in FORMATS.items() if file in hashes.files and file not in (RESULT, ROWS)}
    if not formats:
        return []
    try:
        pictures: Pictures = next((mode for mode in PICTURE_NOTES if mode == hashes.pictures), "none")
        run, own = SavedRun(folder), _same_templates(folder, hashes, templates)
        drawings = [draw_report(run, list(formats), pictures, name=hashes.run, own=own)]
        if "pdf" not in formats:  # a page says so where its PDF could not be made
            drawings.append(draw_report(run, list(formats), pictures, name=hashes.run, warnings=[NO_PDF], own=own))
    except (ReportError, TemplateError) as fault:
        return [Check(f"{file}, drawn again", "not compared", str(fault)) for file in formats.values()]
    checks = []
    for file in formats.values():
        what = f"{file}, drawn again"
        again = [drawing.files[file] for drawing in drawings if file in drawing.files]
        if not again:
            checks.append(Check(what, "not compared", drawings[0].no_pdf))
        elif hashes.files[file] in [hashlib.sha256(data).hexdigest() for data in again]:
            checks.append(Check(what, "as written"))
        else:
            checks.append(_explain(what, hashes.versions, renderer_versions()))
    return checks


def _same_templates(folder: Path, hashes: Hashes, templates: Path | None) -> OwnTemplates:
    """The templates that drew the report, if they are still what they were."""
    if not hashes.templates:
        return BUILT_IN
    own = known_templates(folder) if templates is None else read_own_templates(templates)
    if own.digest != hashes.templates_hash:
        was = f"SHA-256 is {own.digest[:12]}…, was {hashes.templates_hash[:12]}…"
        raise TemplateError(f"{own.folder}: these templates have changed since: {was}")
    return own


def _explain(what: str, then: dict[str, str], now: dict[str, str]) -> Check:
    """A report that comes out otherwise: by other versions it may, by the same it must not."""
    names = [name for name in now | then if then.get(name) != now.get(name)]
    if not names:
        return Check(what, "differs", "the evidence in this run does not give this report")
    changes = ", ".join(f"{name} {then.get(name, 'none')} then, {now.get(name, 'none')} now" for name in names)
    return Check(what, "not compared", f"it comes out otherwise, as other versions may have it: {changes}")
