"""A command in a process of its own: for so long and no longer, and never left behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_PRCTL = ctypes.CDLL(None).prctl if sys.platform.startswith("linux") else None
"""Found here, for a new process may do little before it is another program."""

GRACE = 30.0
"""Seconds that a process has, once it is told to end, to put away what it has measured."""

_MOST_HEARD = 2**20
"""Bytes of what it prints that are read."""


@dataclass(frozen=True)
class Ending:
    """How a process ended."""

    code: int
    """Its exit code; less than 0 where a signal ended it."""
    out: str
    err: str
    is_late: bool = False
    """It was ended because its time was up."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What it warned of, a line each."""
        return tuple(re.findall(r"^warning: (.+)$", self.err, re.MULTILINE))

    @property
    def error(self) -> str:
        """What it said went wrong, in its own words; else how it ended."""
        if self.code < 0:
            name = signal.Signals(-self.code).name
            memory = ", as the system does where memory runs out" if name == "SIGKILL" else ""
            return f"the process was ended by {name}{memory}"
        said = self.err.rpartition("error: ")[2].strip() if "error: " in self.err else ""
        return said or f"the process ended with code {self.code} and said no more"


def run_auditor(
    words: Sequence[str], folder: Path, limit: float, *, is_heard: bool = True, grace: float = GRACE
) -> Ending:
    """Run this Auditor's command line in another process, from a folder, for `limit` seconds at most.

    Whatever ends this call ends the process too, with all that it has started: it is asked first, and has time to keep
    what it has measured.

    Parameters
    ----------
    is_heard
        Keep what it prints; else it prints where this process does.
    """
    paths = [str(Path(__file__).parents[3]), *filter(None, sys.path)]  # -P: never modules of the working directory
    command = [sys.executable, "-P", "-m", "auditor.cli", *words]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out if is_heard else None,
            stderr=err if is_heard else None,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))},
            start_new_session=True,  # Ctrl-C is ours to answer
            preexec_fn=_end_with_parent if _PRCTL is not None else None,
        )
        is_late = False
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            is_late = True
        finally:
            _end(process, grace)
        return Ending(process.returncode, _heard(out), _heard(err), is_late)


def _end_with_parent() -> None:
    """In the new process: be asked to end when the process that started this one is gone, killed perhaps."""
    _PRCTL(1, signal.SIGTERM)  # type: ignore[misc]  # PR_SET_PDEATHSIG


def _end(process: subprocess.Popen[bytes], grace: float) -> None:
    """End a process that still runs, and what is left of those that it started."""
    try:
        if process.poll() is None:
            _signal(process, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace)
    finally:  # who interrupts a second time does not want to wait
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """To all processes of its session; those that are gone hear nothing."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _heard(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _MOST_HEARD))
    return file.read().decode("utf-8", "replace")
