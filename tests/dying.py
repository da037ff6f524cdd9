"""A process that dies at one of its operations on files: each is a moment at which a machine may stop."""

from __future__ import annotations

import builtins
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

Happen = Callable[[str, Path], None]
"""Told what is about to be done, and to which file."""

_BY_PATH = ("mkdir", "rmdir", "unlink", "remove", "rename", "replace")


@contextmanager
def operations(folder: Path, happen: Happen) -> Iterator[None]:
    """For as long, be told of everything that is to change a folder: every open, write, rename, sync and removal.

    Of a write, half is written first.
    """
    names: dict[int, Path] = {}

    def is_inside(path: Any) -> bool:
        return isinstance(path, (str, os.PathLike)) and Path(os.path.abspath(path)).is_relative_to(folder)

    with pytest.MonkeyPatch.context() as patch:

        def watch(name: str) -> None:
            call = getattr(os, name)

            def watched(path: Any, *rest: Any, **named: Any) -> Any:
                if is_inside(path):
                    happen(name, Path(path))
                elif named.get("dir_fd") is not None:  # as shutil.rmtree does
                    happen(name, names.get(named["dir_fd"], folder) / path)
                return call(path, *rest, **named)

            patch.setattr(os, name, watched)

        for name in _BY_PATH:
            watch(name)
        really_open, really_write, really_sync, really_stream = os.open, os.write, os.fsync, io.open

        def open_descriptor(path: Any, flags: int, *rest: Any, **named: Any) -> int:
            if is_inside(path) and flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
                happen("open", Path(path))
            descriptor = really_open(path, flags, *rest, **named)
            names[descriptor] = Path(path)
            return descriptor

        def write(descriptor: int, data: bytes) -> int:
            if descriptor in names and is_inside(names[descriptor]):
                happen("write", names[descriptor])
            return really_write(descriptor, data)

        def sync(descriptor: int) -> None:
            happen("sync", names.get(descriptor, folder))
            really_sync(descriptor)

        def open_stream(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
            if not is_inside(file) or mode.startswith("r"):
                return really_stream(file, mode, *rest, **named)
            happen("open", Path(file))
            stream = really_stream(file, mode, *rest, **named)
            call, is_first = stream.write, [True]

            def write_some(data: Any) -> int:
                if is_first[0]:  # the parts of one file are one write
                    is_first[0] = False
                    half = len(data) // 2
                    call(data[:half])
                    stream.flush()
                    happen("write", Path(file))
                    return half + call(data[half:])
                return call(data)

            stream.write = write_some
            return stream

        patch.setattr(os, "open", open_descriptor)
        patch.setattr(os, "write", write)
        patch.setattr(os, "fsync", sync)
        patch.setattr(io, "open", open_stream)
        patch.setattr(builtins, "open", open_stream)
        yield


def apart(call: Callable[..., None], *words: object) -> None:
    """Call a function of a module of tests, with texts, in a process of its own, which can fork.

    Other tests leave threads behind, of TensorFlow's and others' libraries, and a fork of such a process may crash.
    """
    code = f"import sys; from {call.__module__} import {call.__name__} as call; call(*sys.argv[1:])"
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def in_child(work: Callable[[], object]) -> int:
    """Do something in a forked child, which ends without a farewell; its exit code."""
    child = os.fork()
    if not child:
        code = 70
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
