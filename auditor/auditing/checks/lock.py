"""One check of a file at a time: a lock that says who holds it, and that nobody holds who is gone."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import pydantic

from auditor.errors import ReportError


@dataclass(frozen=True)
class Holder:
    """Who holds a lock."""

    process: int
    host: str
    since: str


@contextmanager
def hold(file: Path) -> Iterator[Holder | None]:
    """Hold a lock; yields who held it before and is gone, where somebody did who was cut off.

    The system takes the lock from a process that ends, however it ends, so one of this host is never stale. Processes
    of other hosts cannot be asked; what they left is for a person to remove.

    Raises
    ------
    ReportError
        Another process holds it, or the file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _open(file)
    except FileExistsError:
        raise ReportError(f"{file.parent}: is no folder; wanted one, or nothing there") from None
    except OSError as fault:
        raise ReportError(f"{file}: cannot be locked: {fault.strerror or fault}") from None
    try:
        before = _holder(os.pread(descriptor, 4096, 0))
        if before is not None and before.host != socket.gethostname():
            told = f"process {before.process} of {before.host} holds it since {before.since}"
            raise ReportError(f"{file}: {told}, which cannot be asked from here; if it is gone, remove the file")
        now = Holder(os.getpid(), socket.gethostname(), datetime.now(UTC).isoformat(timespec="seconds"))
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(asdict(now)).encode(), 0)
            os.fsync(descriptor)
        except OSError as fault:
            raise ReportError(f"{file}: cannot be written: {fault.strerror}") from None
        try:
            yield before
        finally:
            file.unlink(missing_ok=True)  # while it is held: who waits for the old file sees that it is another one
    finally:
        os.close(descriptor)


def _open(file: Path) -> int:
    """The lock file, open and locked.

    Raises
    ------
    ReportError
        Another process holds it.
    """
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                    return descriptor
            os.close(descriptor)  # its last holder has removed it in the meantime
        except BlockingIOError:
            holder = _holder(os.pread(descriptor, 4096, 0))
            os.close(descriptor)
            who = f"process {holder.process} of {holder.host} since {holder.since}" if holder else "another process"
            raise ReportError(f"{file}: these checks run already: held by {who}") from None
        except OSError:
            os.close(descriptor)
            raise


def _holder(data: bytes) -> Holder | None:
    try:
        return pydantic.TypeAdapter(Holder).validate_json(data)
    except pydantic.ValidationError:
        return None
