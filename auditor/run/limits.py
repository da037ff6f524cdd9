"""What reading and drawing a run may take: it may come from somebody else, and the templates it is drawn with, too.

The limits are the process's own, for as long as a context is open. They go by what lies on the disk: a small run that
takes a gigabyte is no run.
"""

from __future__ import annotations

import contextlib
import signal
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from auditor.errors import ReportError

LEAST_MEMORY, MEMORY_PER_BYTE = 768 * 2**20, 8
"""Bytes that reading and drawing may take beyond what the process has, and how many more for each on the disk."""

LEAST_SECONDS, SECONDS_PER_BYTE = 10.0, 2 / 2**20
"""Seconds of the processor, likewise; a report of 200 images has ten million bytes, and takes as many seconds."""


@contextlib.contextmanager
def limited(*paths: Path, is_endless: bool = False) -> Iterator[None]:
    """Where what others wrote is read or drawn: files or folders, and what lies in these.

    Parameters
    ----------
    is_endless
        No limit on time, as for a server.

    Raises
    ------
    ReportError
        It takes more memory, or more of the processor, than is reasonable.
    """
    size = sum(_size(path) for path in paths)
    memory, seconds = LEAST_MEMORY + MEMORY_PER_BYTE * size, LEAST_SECONDS + SECONDS_PER_BYTE * size
    named = ", ".join(str(path) for path in paths)
    try:
        with _limited_memory(memory), contextlib.nullcontext() if is_endless else _limited_time(seconds, named):
            yield
    except MemoryError:
        raise ReportError(f"{named}: takes more than {memory >> 20} MiB of memory; {_HOSTILE}") from None


def refuse_odd(file: Path) -> None:
    """Refuse what stands in place of a file and would be waited for: a pipe, a device.

    Raises
    ------
    ReportError
        It is such a thing; one that is not there is left to whoever reads it.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        mode = file.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ReportError(f"{file}: a pipe or a device; wanted a file")


@contextlib.contextmanager
def _limited_memory(most: int) -> Iterator[None]:
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[5])
    except (ImportError, OSError):  # not every system tells
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [pages * resource.getpagesize() + most, *(limit for limit in (soft, hard) if limit >= 0)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@contextlib.contextmanager
def _limited_time(seconds: float, named: str) -> Iterator[None]:
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    late = ReportError(f"{named}: takes more than {seconds:.0f} seconds of the processor; {_HOSTILE}")
    is_late = is_over = False

    def stop(*_: Any) -> None:
        nonlocal is_late
        if not is_over:  # what is set back below is set back to the end
            is_late = True
            raise late

    import resource

    before = signal.signal(signal.SIGPROF, stop)
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    limits = [int(time.process_time() + seconds) + _LAST, *(limit for limit in (soft, hard) if limit >= 0)]
    resource.setrlimit(resource.RLIMIT_CPU, (min(limits), hard))  # where Python itself does not come to hear of it
    signal.setitimer(signal.ITIMER_PROF, seconds, 1)  # again and again, wherever it was caught
    try:
        yield
    except Exception:
        if is_late:  # whatever became of it on its way
            raise late from None
        raise
    finally:
        is_over = True
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _size(path: Path) -> int:
    """Bytes on the disk of a file, or of the files in a folder and in the folders there."""
    total = 0
    for file in [path, *path.glob("*"), *path.glob("*/*")]:
        with contextlib.suppress(OSError):
            state = file.lstat()
            if stat.S_ISREG(state.st_mode):
                total += min(state.st_size, 512 * getattr(state, "st_blocks", 2**40) + 4096)
    return total


_LAST = 30
"""Seconds more after which the system ends the process."""

_HOSTILE = "it is damaged, or made to do so"
