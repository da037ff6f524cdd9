"""Reads the images of an `.npz` one after the other."""

from __future__ import annotations

import math
import weakref
import zipfile
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from auditor.subject.data.pictures import RawImage

UNREADABLE = (
    OSError, ValueError, TypeError, KeyError, EOFError, RuntimeError, SyntaxError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What numpy and zipfile raise on a damaged `.npz`."""


class NpzReader:
    """The images in an `.npz`, which can only be read on from where one is."""

    def __init__(self, file: Path, name: str) -> None:
        with ExitStack() as opened:
            archive = opened.enter_context(zipfile.ZipFile(file))
            self._member = opened.enter_context(archive.open(name))
            weakref.finalize(self, opened.pop_all().close)  # when nobody reads on; a cycle would leave that to chance
        shape, _, self._dtype = read_header(self._member)
        self._shape, self._size = shape[1:], math.prod(shape[1:]) * self._dtype.itemsize
        self.at = 0
        """The next image."""

    def read(self, position: int) -> RawImage:
        """An image that was not read yet; those before it are left out."""
        left = (position - self.at) * self._size
        self.at = position + 1
        while left > 0:
            left -= len(self._member.read(min(left, _AT_ONCE))) or left
        return np.frombuffer(self._member.read(self._size), self._dtype).reshape(self._shape)


_AT_ONCE = 2**20
"""Bytes that are read of what is left out."""


def read_header(member: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape of an array, whether it is in Fortran order, and its type: what stands before its numbers."""
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(member)
    return shape, fortran, dtype
