"""Where images come from: an npz, a folder per class, or a function. All are streamed, never held as a whole.

A source is opened once for its index (ids, labels, groups) and then streamed, in order, as often as needed.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from auditor.config import AuditConfig
from auditor.errors import DataError
from auditor.options import is_function_spec

RawImage = npt.NDArray[Any]


Label = int | str | Sequence[Any] | None


_PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}


_UNREADABLE = (
    OSError, ValueError, TypeError, KeyError, EOFError, RuntimeError, SyntaxError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What numpy and zipfile raise on a damaged `.npz`."""


class CorruptImageError(Exception):
    """One image cannot be used; it is skipped, counted and named."""


class Source(Protocol):
    """Where images come from."""

    ids: list[str]
    labels: list[Label] | None
    groups: list[str] | None

    def stream(self, wanted: Sequence[int]) -> Iterator[tuple[int, RawImage | CorruptImageError]]:
        """The images at these ascending positions, one after the other."""

    def array(self, name: str) -> npt.NDArray[Any] | None:
        """A further array over all images, or None."""

    def sha256(self) -> str | None:
        """Of the file, where the source is one file."""


def open_source(config: AuditConfig) -> Source:
    """Open the data source that a configuration names.

    Raises
    ------
    ConfigError
        The source does not exist or is of no known kind.
    DataError
        It cannot be read.
    """
    spec = config.data.source
    where = f"{config.place('data', 'source')}: data.source: "
    if is_function_spec(spec):
        return FunctionSource(config.function(("data", "source"), spec), f"{where}{spec}")
    path = config.path(spec)
    if path.is_dir():
        return FolderSource(path, where=where)
    if path.suffix == ".npz" and path.is_file():
        return NpzSource(path, where=where)
    got = "not a known kind of file" if path.is_file() else "no such file or folder"
    wanted = "wanted an .npz file, a folder with a folder per class, or package.module:function"
    raise config.fault(("data", "source"), f"{path}: {got}; {wanted}")


def first_image_shape(source: Source) -> tuple[int, int, int] | None:
    """Height, width and channels of the first readable image."""
    for _, raw in source.stream(range(min(len(source.ids), 20))):
        if not isinstance(raw, CorruptImageError) and raw.ndim in (2, 3):
            return (*raw.shape[:2], raw.shape[2] if raw.ndim == 3 else 1)
    return None


class NpzSource:
    """An `.npz` with `images` (n, h, w[, c]) and perhaps `labels`, `groups` and `ids`; images are streamed from it."""

    def __init__(self, file: Path, *, where: str = "") -> None:
        self._file = file
        self._name = f"{where}{file}"
        if not zipfile.is_zipfile(file):
            raise DataError(f"{self._name}: not a readable .npz: it is no zip archive, or it is cut short")
        try:
            with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
                self._names = list(arrays.files)
            if "images" not in self._names:
                raise DataError(f"{self._name}: no array 'images'; it holds {', '.join(self._names) or 'nothing'}")
            shape, dtype = self._header()
        except _UNREADABLE as fault:
            raise DataError(f"{self._name}: not a readable .npz: {fault}") from None
        if not (dtype == np.uint8 or np.issubdtype(dtype, np.floating)):
            raise DataError(f"{self._name}: images are {dtype}, wanted uint8 in [0, 255] or float in [0, 1]")
        if len(shape) not in (3, 4) or 0 in shape[1:]:
            raise DataError(f"{self._name}: images have shape {shape}, wanted (n, height, width[, channels])")
        self._count = shape[0]
        labels, groups, ids = (self._column(name) for name in ("labels", "groups", "ids"))
        self.labels: list[Label] | None = None if labels is None else list(labels.tolist())
        self.groups = None if groups is None else [str(group) for group in groups]
        self.ids = _numbered(self._count) if ids is None else [str(identity) for identity in ids]

    def stream(self, wanted: Sequence[int]) -> Iterator[tuple[int, RawImage | CorruptImageError]]:
        """See `Source.stream`."""
        shape, dtype = self._header()
        size = int(np.prod(shape[1:])) * dtype.itemsize
        with zipfile.ZipFile(self._file) as archive, archive.open("images.npy") as member:
            _read_header(member)
            at = 0
            for position in wanted:
                try:
                    while at < position:
                        at += 1
                        member.read(size)
                    data = member.read(size)
                    at += 1
                    image = np.frombuffer(data, dtype).reshape(shape[1:])
                except _UNREADABLE as fault:
                    raise DataError(f"{self._name}: image {position} cannot be read: {fault}") from None
                yield position, image

    def array(self, name: str) -> npt.NDArray[Any] | None:
        """See `Source.array`."""
        if name not in self._names:
            return None
        try:
            with self._file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
                values: npt.NDArray[Any] = arrays[name]
        except _UNREADABLE as fault:
            if "allow_pickle" in str(fault):  # numpy advises to allow it, and a pickle may run any code
                reason = "holds pickled objects, which are never opened; save it as text, numbers or booleans"
            else:
                reason = f"cannot be read: {fault}"
            raise DataError(f"{self._name}: array {name!r} {reason}") from None
        return values

    def sha256(self) -> str:
        """See `Source.sha256`."""
        digest = hashlib.sha256()
        with self._file.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    def _column(self, name: str) -> npt.NDArray[Any] | None:
        values = self.array(name)
        if values is not None and (values.ndim == 0 or len(values) != self._count):
            got = "one value" if values.ndim == 0 else str(len(values))
            raise DataError(f"{self._name}: got {got} {name} for {self._count} images, wanted one each")
        return values

    def _header(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        with zipfile.ZipFile(self._file) as archive, archive.open("images.npy") as member:
            shape, fortran, dtype = _read_header(member)
        if fortran:
            raise DataError(f"{self._name}: images are stored in Fortran order, wanted C order")
        return shape, dtype


class FolderSource:
    """A folder with a folder of pictures per class."""

    def __init__(self, folder: Path, *, where: str = "") -> None:
        classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        self._files = [
            file for entry in classes for file in sorted(entry.rglob("*")) if file.suffix.lower() in _PICTURES
        ]
        if not self._files:
            wanted = f"wanted a folder per class with {', '.join(sorted(_PICTURES))}"
            raise DataError(f"{where}{folder}: no pictures in its folders; {wanted}")
        relative = [file.relative_to(folder) for file in self._files]
        self.ids = [_printable(path.as_posix()) for path in relative]
        self.labels: list[Label] | None = [_printable(path.parts[0]) for path in relative]
        self.groups: list[str] | None = None

    def stream(self, wanted: Sequence[int]) -> Iterator[tuple[int, RawImage | CorruptImageError]]:
        """See `Source.stream`."""
        for position in wanted:
            try:
                yield position, read_picture(self._files[position])
            except CorruptImageError as fault:
                yield position, fault

    def array(self, name: str) -> npt.NDArray[Any] | None:
        """See `Source.array`; a folder has none."""
        del name
        return None

    def sha256(self) -> str | None:
        """See `Source.sha256`; a folder is no single file."""
        return None


class FunctionSource:
    """A function that returns an iterable of (image, label or None, id, group or None).

    It is called again for every pass and must give the same images in the same order each time.
    """

    def __init__(self, function: Callable[[], Any], name: str) -> None:
        self._function = function
        self._name = name
        self.ids = []
        labels: list[Label] = []
        groups: list[str] = []
        for _, label, identity, group in self._items():
            self.ids.append(str(identity))
            labels.append(label)
            groups.append(str(identity if group is None else group))
        self.labels: list[Label] | None = None if all(label is None for label in labels) else labels
        self.groups: list[str] | None = groups

    def stream(self, wanted: Sequence[int]) -> Iterator[tuple[int, RawImage | CorruptImageError]]:
        """See `Source.stream`."""
        remaining = iter(wanted)
        position = next(remaining, None)
        for at, (image, _, identity, _) in enumerate(self._items()):
            if position is None:
                return
            if at < position:
                continue
            if str(identity) != self.ids[at]:
                raise DataError(
                    f"{self._name}: image {at} was {self.ids[at]} and is now {identity}; the order must stay"
                )
            yield at, _as_array(image)
            position = next(remaining, None)
        if position is not None:
            raise DataError(
                f"{self._name}: image {position} was {self.ids[position]} and is gone; the images must stay"
            )

    def array(self, name: str) -> npt.NDArray[Any] | None:
        """See `Source.array`; a function has none."""
        del name
        return None

    def sha256(self) -> str | None:
        """See `Source.sha256`; a function is no file."""
        return None

    def _items(self) -> Iterator[tuple[Any, Label, Any, Any]]:
        try:
            for item in self._function():
                if not isinstance(item, tuple) or len(item) != 4:
                    raise DataError(f"{self._name}: got {type(item).__name__}, wanted (image, label, id, group)")
                yield item
        except DataError:
            raise
        except Exception as fault:  # the user's code may raise anything
            raise DataError(f"{self._name} failed: {type(fault).__name__}: {fault}") from None


def read_picture(file: Path) -> RawImage:
    """A picture file as uint8 (h, w) or (h, w, 3), turned upright, or 16-bit grey as float in [0, 1].

    Raises
    ------
    CorruptImageError
        The file is no readable picture.
    """
    try:
        with Image.open(file) as picture:
            upright = ImageOps.exif_transpose(picture)
            if upright.mode.startswith("I;16"):
                return np.asarray(upright, dtype=np.float32) / 65535.0
            if upright.mode in ("I", "F"):  # their range is not known, and Pillow would clip it to 8 bits
                raise CorruptImageError("its pixels are 32-bit numbers, wanted 8 or 16 bits")
            if upright.mode == "P":  # straight to RGB, Pillow warns of transparency
                upright = upright.convert("RGBA")
            return np.asarray(upright.convert("L" if upright.mode in ("L", "1") else "RGB"))
    except CorruptImageError:
        raise
    except Exception as fault:  # the readers of damaged pictures raise anything
        raise CorruptImageError(f"not a readable picture: {fault}") from None


def _read_header(member: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(member)
    return shape, fortran, dtype


def _as_array(image: Any) -> RawImage | CorruptImageError:
    try:
        return np.asarray(image)
    except Exception as fault:  # the user's object may be anything
        return CorruptImageError(f"not an array: {fault}")


def _printable(path: str) -> str:
    """A path in which bytes of a file name that are no UTF-8 are spelt out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _numbered(count: int) -> list[str]:
    digits = len(str(max(count - 1, 0)))
    return [f"{number:0{digits}d}" for number in range(count)]
