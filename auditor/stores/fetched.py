"""Copies on the disk of what is read as a whole: models, archives, tables. They are gone when the process ends."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import tempfile
import zlib
from functools import cache
from pathlib import Path

from auditor.errors import StoreError
from auditor.stores.address import Stored
from auditor.stores.store import fetch_file, kind_of, list_files, size_of, stamp_of

MOST_FETCHED = 16 * 2**30
"""Bytes that all copies of a process may take."""

_SPARE = 2**28
"""Bytes of the disk that are left to others."""


@cache
def scratch() -> Path:
    """The folder of this process for what it fetches, which goes when the process ends."""
    name = f"auditor-stores-{zlib.crc32(platform.node().encode()):08x}-"
    for left in Path(tempfile.gettempdir()).glob(f"{name}*"):
        with contextlib.suppress(OSError, ValueError):
            if left.lstat().st_uid == os.geteuid() and not _is_running(int(left.name.removeprefix(name).split("-")[0])):
                shutil.rmtree(left)  # of a process of this machine that was killed
    folder = tempfile.TemporaryDirectory(prefix=f"{name}{os.getpid()}-", ignore_cleanup_errors=True)
    _open_folders.append(folder)
    return Path(folder.name)


def fetch(place: Stored) -> Path:
    """A copy of a file, or of a folder with all that is in it, under its own name; fetched anew where it changed.

    Raises
    ------
    StoreError
        It is not there or denied, is too large, is not as long as the store says, or the store cannot be reached.
    """
    version = place, stamp_of(place)
    if version not in _copies:
        is_folder = kind_of(place) == "folder"
        files = list_files(place) if is_folder else [Stored(place.store, place.key, size_of(place))]
        refuse_large(place, sum(file.size or 0 for file in files))
        copy = Path(tempfile.mkdtemp(dir=scratch())) / place.name
        for file in files:
            fetch_into(file, copy, file.below(place) if is_folder else "")
        _copies[version] = copy
        call_copy(copy, place)
    return _copies[version]


def fetch_into(file: Stored, folder: Path, name: str) -> Path:
    """Copy a file to a name below a folder, or to the folder's own name where there is none.

    Raises
    ------
    StoreError
        As `fetch`; or the name leads out of the folder.
    """
    if any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in (name.split("/") if name else ())):
        raise StoreError(f"{file}: no name that a file on the disk can have")
    to = folder / name if name else folder
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        fetch_file(file, to)
    except OSError as fault:
        raise StoreError(f"{file}: cannot be kept on this disk: {fault.strerror or fault}") from None
    return to


def call_copy(copy: Path, place: Stored) -> None:
    """Have a copy called by the address of what it is a copy of, wherever it is told of."""
    _called[str(copy)] = str(place)


def tell(text: str) -> str:
    """A text in which copies are called by the addresses of what they are copies of."""
    for copy, place in _called.items():
        text = text.replace(copy, place)
    return text


def refuse_large(place: Stored, size: int) -> None:
    """Refuse so many bytes where this process, or the disk, has no room for them.

    Raises
    ------
    StoreError
        It has none.
    """
    held = sum(file.stat().st_size for copy in _copies.values() for file in (copy, *copy.rglob("*")) if file.is_file())
    room = MOST_FETCHED - held
    with contextlib.suppress(OSError):
        room = min(room, shutil.disk_usage(scratch()).free - _SPARE)
    if size > room:
        raise StoreError(f"{place}: has {size:,} bytes, wanted {max(0, room):,} at most, for it is fetched as a whole")


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


_open_folders: list[tempfile.TemporaryDirectory[str]] = []

_copies: dict[tuple[Stored, str], Path] = {}
"""By what stands at a place, and its stamp: who reads an older one goes on with it."""

_called: dict[str, str] = {}
