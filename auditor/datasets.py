"""Images, labels and groups, read lazily: memory grows with the batch, never with the data set.

A source is opened once for its index (ids, labels, groups) and then streamed, in order, as often as needed.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from auditor.config import AuditConfig, is_function_spec, suggest
from auditor.errors import DataError
from auditor.records import SkippedImage

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
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


@dataclass(frozen=True)
class Batch:
    """Some images of the sample, ready for a classifier."""

    positions: npt.NDArray[np.int64]
    """Rows of the sample, (n,)."""
    images: Floats
    """(n, height, width, channels) in [0, 1]."""
    ids: list[str]


class Dataset:
    """A seeded sample of a source, in the shape and with the classes of a model."""

    def __init__(
        self,
        source: Source,
        *,
        classes: tuple[str, ...],
        image_shape: tuple[int, int, int],
        multilabel: bool = False,
        limit: int | None = None,
        seed: int = 0,
        fit: Literal["exact", "resize", "crop"] = "exact",
        max_corrupt: float = 0.05,
        where: str = "data",
    ) -> None:
        """Choose the sample.

        Parameters
        ----------
        where
            What errors name as their place.

        Raises
        ------
        DataError
            No images, ids that are not unique, or labels that the model lacks.
        """
        if not source.ids:
            raise DataError(f"{where}: there are no images")
        commonest, count = Counter(source.ids).most_common(1)[0]
        if count > 1:
            raise DataError(f"{where}: got id {commonest!r} for {count} images, wanted an id of its own for each")
        self._source = source
        self._where = where
        self._shape = image_shape
        self._fit = fit
        self._max_corrupt = max_corrupt
        self.available = len(source.ids)
        try:
            truth = None if source.labels is None else _truth(source.labels, classes, multilabel)
        except DataError as fault:
            raise DataError(f"{where}: {fault}") from None
        self._chosen = _sample(truth, self.available, limit, seed)
        self.ids = [source.ids[at] for at in self._chosen]
        groups = source.groups or source.ids
        self.groups = np.array([groups[at] for at in self._chosen])
        self.truth: Bools | None = None if truth is None else truth[self._chosen]
        """Which classes (images, classes) each sampled image has; None where the data have no labels."""
        self.labelled: Bools = _is_labelled(source.labels, self.available)[self._chosen]
        """Which sampled images (images,) have a label."""
        self.skipped: dict[int, SkippedImage] = {}
        """Images that could not be used, by their row in the sample."""
        self._digest: str | None = source.sha256()

    def __len__(self) -> int:
        return len(self._chosen)

    def array(self, name: str) -> npt.NDArray[Any] | None:
        """A further array of the source, at the sampled images."""
        values = self._source.array(name)
        if values is None:
            return None
        if values.ndim == 0 or len(values) != self.available:
            wanted = f"wanted a value for each of {self.available} images"
            raise DataError(f"{self._where}: array {name!r} has shape {values.shape}, {wanted}")
        return values[self._chosen]

    def batches(self, size: int, positions: Sequence[int] | None = None) -> Iterator[Batch]:
        """Stream the sample, or some rows of it (ascending), leaving out what cannot be read.

        Raises
        ------
        DataError
            Too large a share of the images is corrupt, or one has the wrong size.
        """
        rows = list(range(len(self))) if positions is None else list(positions)
        row_of = {int(self._chosen[row]): row for row in rows}
        kept: list[tuple[int, Floats]] = []
        for at, raw in self._source.stream(sorted(row_of)):
            row = row_of[at]
            try:
                if isinstance(raw, CorruptImageError):
                    raise raw
                kept.append((row, to_model_image(raw, self._shape, self._fit, self.ids[row])))
            except CorruptImageError as fault:
                self.skipped[row] = SkippedImage(self.ids[row], str(fault))
                self._refuse_too_many()
            except DataError as fault:
                raise DataError(f"{self._where}: {fault}") from None
            if len(kept) == size:
                yield self._batch(kept)
                kept = []
        if kept:
            yield self._batch(kept)

    def images(self, positions: Sequence[int]) -> Floats:
        """A few images of the sample by row, all at once, in ascending order of the rows."""
        parts = [batch.images for batch in self.batches(64, sorted(positions))]
        return np.concatenate(parts) if parts else np.empty((0, *self._shape), np.float32)

    def sha256(self) -> str:
        """Of the source's file, else of the sampled pixels."""
        if self._digest is None:
            digest = hashlib.sha256()
            for batch in self.batches(64):
                digest.update(batch.images.tobytes())
            self._digest = digest.hexdigest()
        return self._digest

    def _batch(self, kept: list[tuple[int, Floats]]) -> Batch:
        rows = np.array([row for row, _ in kept], dtype=np.int64)
        return Batch(rows, np.stack([image for _, image in kept]), [self.ids[row] for row in rows])

    def _refuse_too_many(self) -> None:
        share = len(self.skipped) / len(self)
        if share > self._max_corrupt:
            first = next(iter(self.skipped.values()))
            raise DataError(
                f"{self._where}: {len(self.skipped)} of {len(self)} images cannot be used, more than "
                f"data.max_corrupt = {self._max_corrupt:g}; the first is {first.image}: {first.reason}"
            )


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


def open_dataset(
    config: AuditConfig,
    source: Source,
    *,
    classes: tuple[str, ...],
    image_shape: tuple[int, int, int],
    multilabel: bool,
) -> Dataset:
    """The sample that a configuration asks for.

    Raises
    ------
    DataError
        See `Dataset`.
    """
    section = config.data
    return Dataset(
        source,
        classes=classes,
        image_shape=image_shape,
        multilabel=multilabel,
        limit=None if section.limit == "all" else section.limit,
        seed=section.seed,
        fit=section.fit,
        max_corrupt=section.max_corrupt,
        where=f"{config.place('data', 'source')}: data.source",
    )


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


def to_model_image(
    raw: RawImage, shape: tuple[int, int, int], fit: Literal["exact", "resize", "crop"], name: str
) -> Floats:
    """A raw image as float32 (height, width, channels) in [0, 1], in the shape of the model.

    Raises
    ------
    CorruptImageError
        Values are not finite.
    DataError
        The size or the range is wrong: a fault of the whole data set rather than of one image.
    """
    image = raw[..., None] if raw.ndim == 2 else raw
    if image.ndim != 3 or image.shape[2] not in (1, 3) or not image.size:
        raise DataError(f"image {name} has shape {raw.shape}, wanted (height, width) or with 1 or 3 channels last")
    if image.dtype == np.uint8:
        pixels = image.astype(np.float32) / 255.0
    elif np.issubdtype(image.dtype, np.floating):
        pixels = image.astype(np.float32)
        if not np.isfinite(pixels).all():
            raise CorruptImageError("pixels are NaN or infinite")
        low, high = float(pixels.min()), float(pixels.max())
        if low < 0 or high > 1:
            raise DataError(f"image {name} is {image.dtype} in [{low:g}, {high:g}], wanted uint8 or float in [0, 1]")
    else:
        raise DataError(f"image {name} is {image.dtype}, wanted uint8 in [0, 255] or float in [0, 1]")
    height, width, channels = shape
    if pixels.shape[:2] != (height, width):
        if fit == "exact":
            got = f"{pixels.shape[1]} x {pixels.shape[0]}"
            raise DataError(
                f'image {name} is {got} pixels, the model takes {width} x {height}; set data.fit = "resize" or "crop"'
            )
        pixels = _resize(pixels, height, width, crop=fit == "crop")
    if pixels.shape[2] < channels:
        pixels = np.repeat(pixels, channels, axis=2)
    elif pixels.shape[2] > channels:
        pixels = to_grey(pixels)
    return pixels


def to_grey(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Luminance (ITU-R BT.601) of colour values (..., 3), as (..., 1)."""
    return np.asarray(image @ np.array([0.299, 0.587, 0.114], dtype=image.dtype))[..., None]


def _resize(image: Floats, height: int, width: int, *, crop: bool) -> Floats:
    rows, columns = image.shape[:2]
    if crop:
        scale = max(height / rows, width / columns)
        rows, columns = max(height, round(rows * scale)), max(width, round(columns * scale))
    else:
        rows, columns = height, width
    planes = [
        np.asarray(Image.fromarray(image[..., channel]).resize((columns, rows), Image.Resampling.BILINEAR))
        for channel in range(image.shape[2])
    ]
    top, left = (rows - height) // 2, (columns - width) // 2
    return np.clip(np.stack(planes, axis=-1)[top : top + height, left : left + width], 0, 1)


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


def _truth(labels: Sequence[Label], classes: tuple[str, ...], multilabel: bool) -> Bools:
    """Which classes (images, classes) each image has."""
    number_of = {name: number for number, name in enumerate(classes)}
    truth = np.zeros((len(labels), len(classes)), dtype=bool)
    unknown: dict[str, int] = {}
    for row, label in enumerate(labels):
        if multilabel and isinstance(label, (list, tuple)):
            if len(label) != len(classes):
                raise DataError(f"a multilabel row has {len(label)} values, wanted {len(classes)}: one per class")
            truth[row] = np.asarray(label, dtype=bool)
            continue
        if isinstance(label, (list, tuple)):
            raise DataError(f"a label is a row of {len(label)} values, wanted a class, by its name or number")
        if label is None:
            continue
        number = label if isinstance(label, (int, np.integer)) else number_of.get(str(label), -1)
        if 0 <= number < len(classes):
            truth[row, number] = True
        else:
            unknown[str(label)] = unknown.get(str(label), 0) + 1
    if unknown:
        listed = ", ".join(f"{name!r} ({count} images)" for name, count in sorted(unknown.items())[:20])
        raise DataError(f"labels that the model lacks: {listed}{suggest(next(iter(unknown)), list(classes))}")
    return truth


def _is_labelled(labels: Sequence[Label] | None, count: int) -> Bools:
    return np.zeros(count, bool) if labels is None else np.array([label is not None for label in labels])


def _sample(truth: Bools | None, available: int, limit: int | None, seed: int) -> npt.NDArray[np.int64]:
    """Ascending positions of a seeded sample, as even over the classes as they allow."""
    if limit is None or limit >= available:
        return np.arange(available)
    order = np.random.default_rng(seed).permutation(available)
    if truth is None:
        return np.sort(order[:limit])
    first_class = np.where(truth.any(axis=1), truth.argmax(axis=1), truth.shape[1])[order]
    turn = np.zeros(available, dtype=np.int64)
    for number in np.unique(first_class):
        members = np.flatnonzero(first_class == number)
        turn[members] = np.arange(len(members))
    return np.sort(order[np.argsort(turn, kind="stable")[:limit]])
