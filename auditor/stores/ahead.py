"""Reads many small files of a store one after the other, some of them ahead of need, in threads.

What was read is kept on the disk while there is room, so that a second pass over the files asks the store for the rest
alone.
"""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from auditor.errors import NotGivenError
from auditor.stores.address import Place, Stored
from auditor.stores.fetched import scratch
from auditor.stores.store import read, size_of

THREADS, FILES_AHEAD, BYTES_AHEAD = 8, 32, 64 * 2**20
"""How many files are asked for at once, and read ahead of what is needed, and about how many bytes they have."""

MOST_KEPT = 2**30
"""Bytes of files that one reader keeps on the disk."""

_USUAL = 2**18
"""Bytes that a file is taken to have before its size is known."""


class Ahead:
    """Reads the files of a list that lie on a store, which must stay as they are from one pass to the next."""

    def __init__(self, files: Sequence[Place]) -> None:
        self._files = files
        self._sizes, self._sums, self._starts = (np.full(len(files), -1, np.int64) for _ in range(3))
        self._kept: int | None = None
        self._end, self._lock = 0, threading.Lock()

    def __reduce__(self) -> tuple[type[Ahead], tuple[Sequence[Place]]]:
        """A copy in another process, which keeps files of its own."""
        return Ahead, (self._files,)

    def stream(self, wanted: Iterable[int]) -> Iterator[tuple[int, bytes | NotGivenError]]:
        """The bytes of the files at these positions, in this order, each with its position, or why there are none.

        Raises
        ------
        StoreError
            The store cannot be reached.
        """
        remaining, waiting, due = iter(wanted), deque[tuple[int, int, Future[bytes]]](), 0
        pool, given_up = ThreadPoolExecutor(THREADS, "auditor-ahead"), threading.Event()
        try:
            while True:
                while len(waiting) < FILES_AHEAD and (due < BYTES_AHEAD or not waiting):
                    position = next(remaining, None)
                    if position is None:
                        break
                    size = self._size(position)
                    waiting.append((position, size, pool.submit(self._read, position, given_up)))
                    due += size
                if not waiting:
                    return
                position, size, future = waiting.popleft()
                due -= size
                try:
                    data: bytes | NotGivenError = future.result()
                except NotGivenError as fault:
                    data = fault
                yield position, data
        finally:
            given_up.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def _size(self, position: int) -> int:
        listed, known = self._stored(position).size, int(self._sizes[position])
        return listed if listed is not None else known if known >= 0 else _USUAL

    def _stored(self, position: int) -> Stored:
        file = self._files[position]
        assert isinstance(file, Stored)
        return file

    def _read(self, position: int, given_up: threading.Event) -> bytes:
        """One file, from the disk where it was kept."""
        file, start, size = self._stored(position), int(self._starts[position]), int(self._sizes[position])
        if start >= 0 and self._kept is not None:
            return os.pread(self._kept, size, start)
        before = int(self._sums[position])
        try:
            if file.size is None:
                file = Stored(file.store, file.key, size if size >= 0 else size_of(file))
            data = read(file, given_up)
        except NotGivenError as fault:
            if before < 0:
                raise
            raise NotGivenError(
                file, f"it was there, and is not as it was ({fault.reason}); the images must stay"
            ) from None
        found = zlib.crc32(data)
        if before not in (-1, found):
            raise NotGivenError(file, "it was changed while it was audited; the images must stay")
        self._sizes[position], self._sums[position] = len(data), found
        self._keep(position, data)
        return data

    def _keep(self, position: int, data: bytes) -> None:
        """Keep a file for the next pass, if there is room on the disk."""
        with self._lock:
            if self._end + len(data) > MOST_KEPT:
                return
            try:
                if self._kept is None:
                    self._kept, name = tempfile.mkstemp(dir=scratch())
                    weakref.finalize(self, os.close, self._kept)
                    os.unlink(name)  # so it goes with the process, however that ends
                if os.pwrite(self._kept, data, self._end) < len(data):  # the disk is nearly full
                    return
            except OSError:  # the disk is full: it is read again instead
                return
            self._starts[position] = self._end
            self._end += len(data)
