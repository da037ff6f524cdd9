"""The journal of an audit on its way: what it was of, and every pass of its verdict, to go on from after a kill.

A journal is a hidden folder beside the run to be, and is removed when the run is whole. Whoever writes it holds a lock
that the system takes from a process that ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import time
import zipfile
from dataclasses import asdict, dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import pydantic

from auditor.errors import ReportError
from auditor.measure.arrays import Array, Floats
from auditor.run.files import make_folder, sync, write_files
from auditor.run.unfinished import in_hand

HEADER = "journal.json"

_FOLDER, _PASSES = re.compile(r"\.([A-Za-z0-9].*)\.journal"), re.compile(r"\d{8,}\.npz")

_SECONDS, _BYTES = 2.0, 2**23
"""Passes are put on the disk after so long, or so many bytes of scores."""


@dataclass(frozen=True)
class Header:
    """What an audit is of, and the run that it is to become."""

    fingerprint: dict[str, str]
    """What was audited, as hashes by what they are of."""
    started: str
    run: str
    version: Literal[1] = 1


class Journal:
    """The journal of one audit: see `auditor.verdict.passes.Journal`. What cannot be kept is no fault of the audit."""

    def __init__(self, folder: Path, header: Header, lock: int) -> None:
        self.folder, self.header, self._lock = folder, header, lock
        self.fault = ""
        """Why something could not be kept."""
        self.recalled = 0
        """Passes that needed no model."""
        self._known: dict[int, tuple[int, Path, slice]] = {}
        self._open: tuple[Path | None, Array] = None, np.empty(0)
        self._new: list[tuple[int, int, Floats]] = []
        self._since, self._size, self._is_written = time.monotonic(), 0, False
        for file in sorted(folder.iterdir()):
            if _PASSES.fullmatch(file.name):
                self._read(file)

    def holds_anything(self) -> bool:
        """Whether there is something on the disk to go on from."""
        self.flush()
        return bool(self._known) or self._is_written

    def recall(self, number: int, checksum: int) -> Floats | None:
        """The scores (n, classes) that are known of a pass; of other images than then, nothing is known any more."""
        if number not in self._known:
            return None
        wanted, file, rows = self._known[number]
        try:
            if self._open[0] != file:
                self._open = file, _load(file)["scores"]
        except _DAMAGE:
            wanted = -1
        if wanted != checksum:
            self.drop(number)
            return None
        self.recalled += 1
        return self._open[1][rows]

    def recall_from(self, number: int) -> list[tuple[int, int, Floats]]:
        """Number, checksum and scores (n, classes) of the passes that are known from a number on, without a gap."""
        found: list[tuple[int, int, Floats]] = []
        while number in self._known:
            checksum = self._known[number][0]
            scores = self.recall(number, checksum)
            if scores is None:
                break
            found.append((number, checksum, scores))
            number += 1
        return found

    def note(self, number: int, checksum: int, scores: Floats) -> None:
        """Keep the scores of a pass, on the disk within seconds."""
        if self.fault:
            return
        self._new.append((number, checksum, scores))
        self._size += scores.nbytes
        if self._size > _BYTES or time.monotonic() - self._since > _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Put on the disk what is not there yet."""
        if not self._new:
            return
        numbers, checksums, scores = zip(*self._new, strict=True)
        stream = BytesIO()
        counts = [len(part) for part in scores]
        np.savez(stream, numbers=numbers, checksums=checksums, counts=counts, scores=np.concatenate(scores))
        try:
            write_files({self.folder / f"{numbers[0]:08d}.npz": stream.getvalue()})
            self._is_written = True
        except ReportError as fault:
            self.fault = f"an audit that is ended from here on starts anew: {fault}"
        self._new, self._size, self._since = [], 0, time.monotonic()

    def drop(self, first: int = 0) -> None:
        """Forget the passes from one on; they are of other images, or of another model."""
        gone = [number for number in self._known if number >= first]
        for file in {self._known.pop(number)[1] for number in gone}:
            if not any(known[1] == file for known in self._known.values()):
                with contextlib.suppress(OSError):
                    file.unlink(missing_ok=True)

    def close(self) -> None:
        """Put all on the disk, and let others go on from it."""
        self.flush()
        os.close(self._lock)

    def remove(self) -> None:
        """Forget all: the run is whole."""
        with in_hand(self.folder, "removed") as doomed, contextlib.suppress(OSError):
            os.rename(self.folder, doomed)
            shutil.rmtree(doomed)
        os.close(self._lock)

    def _read(self, file: Path) -> None:
        try:
            passes = _load(file)
            ends = np.cumsum(passes["counts"]).tolist()
            starts = [0, *ends[:-1]]
            each = zip(passes["numbers"].tolist(), passes["checksums"].tolist(), starts, ends, strict=True)
            self._known |= {number: (checksum, file, slice(start, end)) for number, checksum, start, end in each}
        except _DAMAGE:
            return


def begin_journal(reports: Path, fingerprint: dict[str, str], started: str) -> Journal:
    """A new journal in a folder of runs.

    Raises
    ------
    ReportError
        It cannot be written or locked.
    """
    stamp = started[:19].replace(":", "").replace("-", "")
    header = Header(fingerprint, started, f"{stamp}-{secrets.token_hex(4)}")
    folder = reports / f".{header.run}.journal"
    with in_hand(folder) as partial:
        try:
            make_folder(reports)
            partial.mkdir()
            write_files({partial / HEADER: (json.dumps(asdict(header), indent=2) + "\n").encode()})
            lock = _lock(partial / HEADER)
            os.rename(partial, folder)
            sync(reports)
        except OSError as fault:
            raise ReportError(f"{reports}: no journal can be kept: {fault.strerror or fault}") from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return Journal(folder, header, lock)


def find_journals(reports: Path) -> list[tuple[Path, Header]]:
    """The journals in a folder of runs that can be read, the newest first."""
    found = []
    with contextlib.suppress(OSError), os.scandir(reports) as items:
        for item in items:
            if _FOLDER.fullmatch(item.name) and item.is_dir(follow_symlinks=False):
                with contextlib.suppress(OSError, pydantic.ValidationError):
                    header = _adapter().validate_json((Path(item.path) / HEADER).read_bytes())
                    found.append((Path(item.path), header))
    return sorted(found, key=lambda each: each[1].started, reverse=True)


def open_journal(folder: Path, header: Header) -> Journal | None:
    """A journal that a process left, to go on with; None where one still writes it."""
    try:
        lock = _lock(folder / HEADER)
    except OSError:
        return None
    return Journal(folder, header, lock)


def is_written(folder: Path) -> bool:
    """Whether a process writes a journal."""
    try:
        os.close(_lock(folder / HEADER))
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def is_of_journal(name: str) -> bool:
    """Whether a file of this name is one of a journal's."""
    return name == HEADER or _PASSES.fullmatch(name) is not None


def read_journal_name(name: str) -> str:
    """The run that a folder of this name is the journal of; empty where it is no such name."""
    match = _FOLDER.fullmatch(name)
    return match[1] if match else ""


def _lock(file: Path) -> int:
    descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(descriptor), os.lstat(file)):
            raise FileNotFoundError(file)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _load(file: Path) -> dict[str, Array]:
    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as passes:
        return {name: passes[name] for name in ("numbers", "checksums", "counts", "scores")}


@cache
def _adapter() -> pydantic.TypeAdapter[Header]:
    return pydantic.TypeAdapter(Header)


_DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
