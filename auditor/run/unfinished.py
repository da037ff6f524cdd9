"""What is not whole yet stands under a hidden name beside its place, which tells what it is and who is writing it.

A process that is killed leaves it there. The name is enough to tell it from what is still being written, and from what
others put there.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Kind = Literal["partial", "growth", "removed"]
"""What becomes a file or a run when it is whole; what is added to a run; a run on its way out."""


@dataclass(frozen=True)
class Unfinished:
    """Something that a process is writing or removing, or left behind when it was killed."""

    path: Path
    name: str
    """Of what it is to become, or was."""
    kind: Kind
    writer: str
    """Who is at it, for people; empty where that process is gone."""


@contextlib.contextmanager
def in_hand(path: Path, kind: Kind = "partial") -> Iterator[Path]:
    """The hidden place beside a path to write at; for as long, nobody takes it for left behind."""
    place = path.with_name(f".{path.name}.{os.getpid()}-{_host()}.{kind}")
    _IN_HAND.add(place)
    try:
        yield place
    finally:
        _IN_HAND.discard(place)


def read_unfinished(path: Path) -> Unfinished | None:
    """What the name of a file or folder says of it; None where it is not such a name."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    name, number, host, kind = match.groups()
    return Unfinished(path, name, kind, _writer(path, int(number), host))  # type: ignore[arg-type]


def _writer(path: Path, number: int, host: str) -> str:
    if host != _host():
        with contextlib.suppress(OSError):
            return "a process on another machine" if time.time() - path.lstat().st_mtime < _LONGEST else ""
        return ""
    if number == os.getpid():
        return "this process" if path in _IN_HAND else ""  # else one that had the same number
    return f"process {number}" if _is_running(number) else ""


def _is_running(number: int) -> bool:
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    try:  # one that has ended, and that nobody has asked how, is still there
        return Path(f"/proc/{number}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (OSError, IndexError):
        return True


def _host() -> str:
    return f"{zlib.crc32(platform.node().encode()):08x}"


_NAME = re.compile(rf"\.(.+)\.([1-9]\d*)-([0-9a-f]{{8}})\.({'|'.join(get_args(Kind))})", re.DOTALL)

_IN_HAND: set[Path] = set()
"""What this process is writing."""

_LONGEST = 24 * 3600.0
"""Seconds after which nobody on another machine, of which no more can be known, is still writing a file."""
