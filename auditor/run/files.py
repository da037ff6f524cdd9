"""The files of a run by their names, and files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from auditor.errors import ConfigError, ReportError
from auditor.run.unfinished import in_hand, read_unfinished

RESULT, ROWS, ARRAYS, HASHES = "result.json", "rows.parquet", "arrays.npz", "hashes.json"

PAGE, PDF = "report.html", "report.pdf"
"""What a report is read as."""

FOLDER, BUNDLE = "report_pictures", "report.zip"
"""Where the pictures of a large page lie, and the archive of both."""

REPORTS = {
    "html": PAGE,
    "pdf": PDF,
    "junit": "report.junit.xml",
    "sarif": "report.sarif",
    "markdown": "report.md",
}
"""Format of a report -> its file."""

FORMATS = {**REPORTS, "csv": "rows.csv", "parquet": ROWS}
"""Format -> the file that a run is written to in it."""

_PICTURE = re.compile(r"[0-9a-f]{20}\.(jpeg|png)")


def write_files(files: Mapping[Path, bytes]) -> None:
    """Put files in their places once all of them are on the disk; what stood there before stays until then.

    Raises
    ------
    ReportError
        One of them cannot be written: then none is, and nothing is left behind.
    """
    folders = {file.parent for file in files if not file.parent.exists()}
    at = Path()
    with contextlib.ExitStack() as stack:
        partial = {file: stack.enter_context(in_hand(file)) for file in files}
        try:
            for at in folders:
                at.mkdir()
            for at, data in files.items():
                if at.is_dir():
                    raise ReportError(f"{at}: cannot be written: it is a folder")
                with partial[at].open("wb") as opened:
                    opened.write(data)
                    opened.flush()
                    os.fsync(opened.fileno())  # a full disk may say so only now
            for at in files:
                os.replace(partial[at], at)
                del partial[at]
            for at in {file.parent for file in files} | {folder.parent for folder in folders}:
                sync(at)
        except OSError as fault:
            raise ReportError(f"{at}: cannot be written: {fault.strerror or fault}") from None
        finally:
            for file in partial.values():
                _remove(file)
            for folder in folders:
                with contextlib.suppress(OSError):  # it is in use, which is what it was made for
                    folder.rmdir()


def refuse_unwritable(folder: Path, where: str) -> None:
    """A run that could not be saved is better not begun.

    Raises
    ------
    ConfigError
        The folder, or the nearest above it that there is, takes no files.
    """
    if "\0" in str(folder):
        raise ConfigError(f"{where}: got {str(folder)!r}, which holds a NUL byte; wanted a folder")
    existing = next((path for path in [folder, *folder.absolute().parents] if path.exists()), Path("/"))
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as fault:
        raise ConfigError(f"{where}: {existing}: cannot be written ({fault.strerror}); wanted a folder") from None


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError:  # a folder that takes no file has none to remove
        return


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, so that their names are on the disk too."""
    missing = [path for path in [folder, *folder.parents] if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_beside(name: str) -> bool:
    """Whether a file of a run is one that a large page needs beside it, or its archive."""
    return name == BUNDLE or name.startswith(f"{FOLDER}/")


def is_pictures(folder: Path) -> bool:
    """Whether this is the folder of pictures that `unpack` fills, with nothing else in it and no link on the way.

    Raises
    ------
    OSError
        It cannot be read.
    """
    if folder.name != FOLDER or folder.is_symlink() or not folder.is_dir():
        return False
    return all(
        (_PICTURE.fullmatch(file.name) or read_unfinished(file)) and file.is_file() and not file.is_symlink()
        for file in folder.iterdir()
    )
