"""Stores in memory, for tests: one that works, and those on which something goes wrong."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

from auditor.stores import store as asked

BUCKET = "memory://hospital"


class Troubled(MemoryFileSystem):
    """A store in memory on which each request may go wrong."""

    trouble: Callable[[str, str], None] = staticmethod(lambda what, path: None)
    """Told the request and the path; raises what goes wrong."""
    change: Callable[[str, bytes], bytes] = staticmethod(lambda path, data: data)
    """What is given instead of the bytes of a path."""
    asked: list[tuple[str, str]] = []  # noqa: RUF012  of all instances

    def _ask(self, what: str, path: str) -> None:
        type(self).asked.append((what, path))
        type(self).trouble(what, path)

    def cat_file(self, path: str, start: Any = None, end: Any = None, **options: Any) -> bytes:
        self._ask("read", path)
        return type(self).change(path, super().cat_file(path, start, end, **options))

    def get_file(self, path: str, local: str, **options: Any) -> None:
        self._ask("read", path)
        Path(local).write_bytes(type(self).change(path, MemoryFileSystem.cat_file(self, path)))

    def info(self, path: str, **options: Any) -> Any:
        self._ask("info", path)
        return super().info(path, **options)

    def find(self, path: str, *words: Any, **options: Any) -> Any:
        self._ask("list", path)
        return super().find(path, *words, **options)

    def pipe_file(self, path: str, value: bytes, **options: Any) -> None:
        self._ask("write", path)
        super().pipe_file(path, value, **options)

    def put_file(self, local: str, path: str, **options: Any) -> None:
        self._ask("write", path)
        super().pipe_file(path, Path(local).read_bytes())

    def rm_file(self, path: str) -> None:
        self._ask("remove", path)
        super().rm_file(path)


@contextmanager
def store_in_memory() -> Iterator[type[Troubled]]:
    """For as long, `memory://` is an empty store; what goes wrong on it is set on the class that is given."""
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    fsspec.register_implementation("memory", Troubled, clobber=True)
    forget_stores()
    try:
        yield Troubled
    finally:
        Troubled.trouble = staticmethod(lambda what, path: None)
        Troubled.change = staticmethod(lambda path, data: data)
        Troubled.asked.clear()
        MemoryFileSystem.store.clear()
        fsspec.register_implementation("memory", MemoryFileSystem, clobber=True)
        forget_stores()


def forget_stores() -> None:
    """Forget which stores are open, and what was fetched from them."""
    from auditor.artefacts import masks
    from auditor.stores import fetched

    asked._open.cache_clear()
    masks._listed.cache_clear()
    fetched._copies.clear()


def put(folder: Path, address: str) -> None:
    """Copy a folder of the disk to a place on a store."""
    system = fsspec.filesystem(address.partition("://")[0])
    for file in folder.rglob("*"):
        if file.is_file():
            system.pipe_file(f"{address}/{file.relative_to(folder).as_posix()}", file.read_bytes())


def flaky(share: float, seed: int = 0) -> Callable[[str, str], None]:
    """A trouble that makes a share of all requests fail, for a moment."""
    draw, lock = random.Random(seed), threading.Lock()

    def trouble(what: str, path: str) -> None:
        with lock:
            is_lost = draw.random() < share
        if is_lost:
            raise ConnectionResetError(f"{what} of {path}: reset by peer")

    return trouble
