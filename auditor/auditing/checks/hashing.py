"""Hashes of files and folders, remembered for as long as a file looks the same from outside."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from auditor.errors import DataError, ReportError
from auditor.run.files import write_files
from auditor.run.store import hash_file

_Stamp = list[int]
"""Bytes, time of the last change of content and of the entry, and number of a file: what a change of it changes."""

_SETTLED = 2.0
"""Seconds after which a further change of a file has another time, on file systems that count coarsely."""


class Hashes:
    """SHA-256 of files by what they hold.

    A file whose size, times and number are those that it had when it was last read is not read again. Such a change
    would go unseen that leaves all of them as they were: one by a program that sets the clock back, or in a file of
    which the system keeps no times. `is_full` reads every file.
    """

    def __init__(self, cache: Path, *, left_out: Path | None = None, is_full: bool = False) -> None:
        """Begin with what is remembered in `cache`.

        Parameters
        ----------
        left_out
            A folder that is passed over where another holds it: what audits write is nothing that they depend on.
        """
        self._cache = cache
        self._left_out = None if left_out is None else os.path.realpath(left_out)
        self._known = {} if is_full else _read(cache)
        self._seen: dict[str, tuple[_Stamp, str]] = {}
        self._folders: dict[Path, str] = {}

    def of(self, path: Path) -> str:
        """SHA-256 of a file, or of a folder's files with their names.

        Raises
        ------
        DataError
            It cannot be read.
        """
        try:
            if not path.is_dir():
                return self._of_file(str(path.absolute()))
            if path not in self._folders:
                found = sorted(self._walk(path.absolute(), ""))
                lines = (f"{self._of_file(file)}  {name}\n" for file, name in found)
                self._folders[path] = _hash_lines(lines)
            return self._folders[path]
        except OSError as fault:
            raise DataError(f"{fault.filename or path}: cannot be read: {fault.strerror or fault}") from None

    def save(self) -> None:
        """Keep what was read for the next time; where that cannot be written, the files are read again."""
        others = {name: found for name, found in self._known.items() if name not in self._seen and os.path.exists(name)}
        kept = {name: [*stamp, digest] for name, (stamp, digest) in {**others, **self._seen}.items()}
        try:
            write_files({self._cache: json.dumps(kept, separators=(",", ":")).encode()})
        except (ReportError, UnicodeEncodeError):
            return

    def _of_file(self, name: str) -> str:
        state = os.stat(name)
        if not stat.S_ISREG(state.st_mode):
            raise DataError(f"{name}: a pipe or a device; wanted a file or a folder")
        stamp = [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
        found = self._seen.get(name) or self._known.get(name)
        if found is not None and found[0] == stamp:
            self._seen[name] = found
            return found[1]
        digest = hash_file(Path(name))
        if max(state.st_mtime_ns, state.st_ctime_ns) < (time.time() - _SETTLED) * 1e9:
            self._seen[name] = stamp, digest
        return digest

    def _walk(self, folder: Path, prefix: str) -> Iterator[tuple[str, str]]:
        """Path and name of every file below a folder, but those that Python makes of its own."""
        with os.scandir(folder) as found:
            for item in found:
                if item.is_dir(follow_symlinks=True):
                    is_left_out = item.name == "__pycache__" or os.path.realpath(item.path) == self._left_out
                    if not (is_left_out or _leads_up(item, folder)):
                        yield from self._walk(Path(item.path), f"{prefix}{item.name}/")
                elif item.is_file():
                    yield item.path, f"{prefix}{item.name}"


def hash_text(text: str) -> str:
    """SHA-256 of a text, whatever signs it holds."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _hash_lines(lines: Iterator[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _leads_up(item: os.DirEntry[str], folder: Path) -> bool:
    """Whether a link leads to a folder that it lies in, and so round and round."""
    return item.is_symlink() and folder.resolve().is_relative_to(Path(item.path).resolve())


def _read(cache: Path) -> dict[str, tuple[_Stamp, str]]:
    try:
        data = json.loads(cache.read_bytes())
        return {name: ([size, changed, entered, number], digest) for name, (size, changed, entered, number, digest)
                in data.items()}  # fmt: skip
    except (OSError, ValueError, TypeError, AttributeError):  # there is none, or it is damaged: all is read again
        return {}
