"""Writes files whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from auditor.errors import ReportError


def write_files(files: Mapping[Path, bytes]) -> None:
    """Put files in their places once all of them are on the disk; what stood there before stays until then.

    Raises
    ------
    ReportError
        One of them cannot be written: then none is, and nothing is left behind.
    """
    partial = {file: file.with_name(f".{file.name}.{os.getpid()}.partial") for file in files}
    folders = {file.parent for file in files if not file.parent.exists()}
    at = Path()
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
    except OSError as fault:
        raise ReportError(f"{at}: cannot be written: {fault.strerror or fault}") from None
    finally:
        for file in partial.values():
            _remove(file)
        for folder in folders:
            with contextlib.suppress(OSError):  # it is in use, which is what it was made for
                folder.rmdir()


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError:  # a folder that takes no file has none to remove
        return
