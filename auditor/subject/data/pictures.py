"""Reads picture files of every usual kind into arrays."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageFile, ImageOps

from auditor.errors import NotGivenError, StoreError
from auditor.measure.arrays import Array, Floats
from auditor.stores.address import Place, Stored
from auditor.stores.ahead import Ahead
from auditor.stores.store import read

RawImage = Array

MOST_PIXELS = 50_000_000
"""Of one picture; the largest sensors of cameras in a hand have so many. A small file may declare any number."""

PICTURES = {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp"}
"""Suffixes, in small letters, of what is taken for a picture where files are searched for."""


class CorruptImageError(Exception):
    """One image cannot be used; it is skipped, counted and named."""


def read_picture(file: Place | bytes) -> RawImage:
    """A picture as uint8 (h, w) or (h, w, 3); grey of 16 bits as uint16 (h, w), of 12 as float32 in [0, 1].

    Photographs are turned upright as their EXIF says. Transparency is dropped, as the decoders of TensorFlow and
    Keras drop it, and never composited: what lies under it keeps its own colour. Of an animation or of several pages
    the first is read. Colours of 16 bits keep the upper 8. Colour profiles and gamma are not applied.

    Raises
    ------
    CorruptImageError
        The file is missing or no readable picture, or its pixels have no known range.
    """
    try:
        with open_picture(file) as picture:
            is_inverted = _has_inverted_pixels(picture)
            brightest = np.uint16(4095) if _tiff_tag(picture, _BITS) == (12,) else _WHITE
            upright = ImageOps.exif_transpose(picture)
        if upright.mode.startswith("I;16"):
            grey = np.asarray(upright).astype(np.uint16)
            grey = brightest - grey if is_inverted else grey
            return grey if brightest == _WHITE else grey.astype(np.float32) / np.float32(brightest)
        if upright.mode in ("I", "F"):  # their range is not known, and Pillow would clip it to 8 bits
            raise CorruptImageError("its pixels are signed or 32-bit numbers, wanted 8 or 16 bits")
        if upright.mode == "P":  # straight to RGB, Pillow warns of transparency
            upright = upright.convert("RGBA")
        if upright.mode == "CMYK" and is_inverted:
            upright = ImageChops.invert(upright)
        return np.asarray(upright.convert("L" if upright.mode in ("1", "L", "LA") else "RGB"))
    except (CorruptImageError, StoreError):
        raise
    except FileNotFoundError:
        raise CorruptImageError("no such file") from None
    except Exception as fault:  # the readers of damaged pictures raise anything
        raise CorruptImageError(f"not a readable picture: {fault}") from None


def is_picture_inside(file: Place | bytes) -> bool:
    """Whether a file begins as a picture does, whatever its name is."""
    try:
        with open_picture(file):
            return True
    except (CorruptImageError, OSError, ValueError, SyntaxError):
        return False


class Pictures:
    """Picture files, which must stay as they are from one pass over them to the next.

    Those that lie on a store are read ahead of need.
    """

    def __init__(self, files: Sequence[Place]) -> None:
        self._files = files
        self._stamps = np.zeros((len(files), 2), np.int64)
        self._ahead = Ahead(files) if any(isinstance(file, Stored) for file in files) else None

    def stream(self, wanted: Sequence[int]) -> Iterator[tuple[int, RawImage | CorruptImageError]]:
        """The pictures at these positions, one after the other, each with its position, or why it cannot be used."""
        stored = (at for at in wanted if isinstance(self._files[at], Stored))
        contents = iter(()) if self._ahead is None else self._ahead.stream(stored)
        for position in wanted:
            file = self._files[position]
            try:
                if isinstance(file, Path):
                    self._refuse_changed(position, file)
                    yield position, read_picture(file)
                    continue
                content = next(contents)[1]
                if isinstance(content, NotGivenError):
                    raise CorruptImageError(content.reason)
                yield position, read_picture(content)
            except CorruptImageError as fault:
                yield position, fault

    def _refuse_changed(self, position: int, file: Path) -> None:
        """Refuse a picture that was another one, or that was there, in an earlier pass."""
        try:
            state = file.stat()
        except OSError:
            if self._stamps[position].any():
                raise CorruptImageError("it was there and is gone; the images must stay") from None
            return  # reading it tells why
        stamp = state.st_mtime_ns, state.st_size + 1  # 0 is of none that was seen
        if not self._stamps[position].any():
            self._stamps[position] = stamp
        elif tuple(self._stamps[position].tolist()) != stamp:
            raise CorruptImageError("it was changed while it was audited; the images must stay")


@contextmanager
def open_picture(file: Place | bytes) -> Iterator[Image.Image]:
    """A picture of one of the kinds of `PICTURES`, of which nothing but its size is read yet.

    Raises
    ------
    CorruptImageError
        It is no file, or has too many pixels, or a store does not give it.
    StoreError
        The store that it lies on cannot be reached.
    """
    if isinstance(file, Stored):
        try:
            file = read(file)
        except NotGivenError as fault:
            raise CorruptImageError(fault.reason) from None
    if isinstance(file, Path) and not file.is_file() and file.exists():
        raise CorruptImageError("no file but a folder, a pipe or a device")
    with whole_files_only(), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our limit is lower
        with Image.open(BytesIO(file) if isinstance(file, bytes) else file, formats=_FORMATS) as picture:
            width, height = picture.size
            if width * height > MOST_PIXELS:
                raise CorruptImageError(f"it has {width} x {height} pixels, wanted {MOST_PIXELS:,} at most")
            yield picture


@contextmanager
def whole_files_only() -> Iterator[None]:
    """Where Pillow refuses truncated files, though a library, as WeasyPrint does, told it to make do with them."""
    told = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = told


def _has_inverted_pixels(picture: Image.Image) -> bool:
    """Whether Pillow, which goes by neither mark, reads the pixels as their opposite.

    It takes the inks of every CMYK JPEG to be inverted, though only Adobe's are, and white to be the largest number in
    every 16-bit TIFF.
    """
    if picture.mode == "CMYK":
        return picture.format in ("JPEG", "MPO") and "adobe" not in picture.info
    return picture.mode.startswith("I;16") and _tiff_tag(picture, _PHOTOMETRIC) == _WHITE_IS_ZERO


def _tiff_tag(picture: Image.Image, tag: int) -> Any:
    return getattr(picture, "tag_v2", {}).get(tag)


_FORMATS = ("BMP", "DIB", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""What Pillow may take a file for, whatever its name is: for some other kinds it starts programs."""

_WHITE = np.uint16(65535)

_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0


def to_pixels(image: Floats) -> npt.NDArray[np.uint8]:
    """An image in [0, 1] as 8-bit pixels, as runs keep it."""
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
