"""Where images come from: an npz, a manifest, a folder or a function. All are streamed, never held as a whole.

A source is opened once for its index (ids, labels, groups) and then streamed, in order, as often as needed.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from auditor.config.file import AuditConfig
from auditor.config.options import is_function_spec
from auditor.errors import DataError, MisfitError, StoreError
from auditor.measure.arrays import Array, Bools
from auditor.stores.address import Place, Stored
from auditor.stores.fetched import fetch
from auditor.stores.store import kind_of
from auditor.subject.data.folders import FolderSource
from auditor.subject.data.functions import FunctionSource
from auditor.subject.data.listed import Names
from auditor.subject.data.manifests import MANIFESTS, read_manifest
from auditor.subject.data.naming import OF_ARRAYS, Naming
from auditor.subject.data.npz import UNREADABLE, NpzReader, read_header
from auditor.subject.data.pictures import (
    MOST_PIXELS,
    CorruptImageError,
    Pictures,
    RawImage,
)

Label = int | str | Sequence[Any] | None

MOST_IMAGES, MOST_NUMBERS = 5_000_000, 3 * MOST_PIXELS
"""Of one source, and of one image of an `.npz`."""

_MOST_UNPACKED, _MOST_RATIO = 512 * 2**20, 20
"""Bytes that an array of an `.npz` may unpack to, and how many more for each of its bytes there."""


class Source(Protocol):
    """Where images come from."""

    ids: Sequence[str]
    labels: list[Label] | None
    groups: list[str] | None
    masks: list[Place | None] | None
    """A mask picture for each image, where the data name any."""
    notes: list[str]
    """What was guessed about the data, and what of them was left out, a sentence each."""

    def stream(self, wanted: Sequence[int]) -> Iterator[tuple[int, RawImage | CorruptImageError]]:
        """The images at these ascending positions, one after the other."""

    def array(self, name: str) -> Array | None:
        """A further array or column over all images, or None."""

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
    StoreError
        The store that it lies on does not give it.
    """
    spec = config.data.source
    where = f"{config.place('data', 'source')}: data.source: "
    place = config.locate(spec, "data", "source")
    try:
        return _open_place(config, spec, place, where)
    except StoreError as fault:
        raise StoreError(f"{where}{fault}") from None


def _open_place(config: AuditConfig, spec: str, place: Place, where: str) -> Source:
    is_folder = place.is_dir() if isinstance(place, Path) else kind_of(place) == "folder"
    origin = place if isinstance(place, Stored) else None
    path = place if isinstance(place, Path) else Path() if is_folder else fetch(place)
    kind = "" if is_folder else place.suffix.lower()
    keys = {key: getattr(config.data, key) for key in ("images", "labels", "groups", "ids")}
    declared = {key: name for key, name in keys.items() if name is not None}
    if declared and (is_folder or is_function_spec(spec)):
        key = next(iter(declared))
        raise config.fault(("data", key), "has an effect only where source is an .npz or a manifest; leave it out")
    if config.data.root and kind not in MANIFESTS:
        raise config.fault(("data", "root"), "has an effect only where source is a manifest; leave it out")
    if is_function_spec(spec):
        return FunctionSource(config.function(("data", "source"), spec), f"{where}{spec}")
    if is_folder:
        return FolderSource(place, where=where)
    if kind == ".npz" and path.is_file():
        return NpzSource(path, where=where, declared=declared, origin=origin)
    if kind in MANIFESTS and path.is_file():
        root = config.locate(config.data.root, "data", "root") if config.data.root else None
        return ManifestSource(path, where=where, declared=declared, origin=origin, root=root)
    got = "not a known kind of file" if path.is_file() else "no such file or folder"
    wanted = f"wanted an .npz, {' or '.join(MANIFESTS)} file, a folder of pictures, or package.module:function"
    raise config.fault(("data", "source"), f"{place}: {got}; {wanted}")


def first_image_shape(source: Source) -> tuple[int, int, int] | None:
    """Height, width and channels of the first readable image."""
    for _, raw in source.stream(range(min(len(source.ids), 20))):
        if not isinstance(raw, CorruptImageError) and raw.ndim in (2, 3):
            return (*raw.shape[:2], raw.shape[2] if raw.ndim == 3 else 1)
    return None


def find_flags(source: Source) -> dict[str, Bools]:
    """The arrays or columns (images,) of true and false that hold both, by name: perhaps who carries an artefact.

    Raises
    ------
    DataError
        An array cannot be read.
    """
    found = source.flags() if isinstance(source, (NpzSource, ManifestSource)) else {}
    return {name: flags for name, flags in found.items() if flags.any() and not flags.all()}


class NpzSource:
    """An `.npz` with `images` (n, h, w[, c]) and perhaps `labels`, `groups` and `ids`; images are streamed from it."""

    def __init__(
        self,
        file: Path,
        *,
        where: str = "",
        declared: dict[str, str] | None = None,
        origin: Stored | None = None,
    ) -> None:
        """Read its index.

        Parameters
        ----------
        declared
            What arrays are called, where otherwise than usual: `images`, `labels`, `groups` or `ids` -> name.
        origin
            What the file is a copy of.
        """
        self._file = file
        self._name = f"{where}{origin or file}"
        if not zipfile.is_zipfile(file):
            raise DataError(f"{self._name}: not a readable .npz: it is no zip archive, or it is cut short")
        try:
            with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
                self._names = list(arrays.files)
            for name in self._names:
                self._refuse_bomb(name)
            naming = Naming(self._names, OF_ARRAYS, "array", declared or {})
            self._found = {key: self._find(naming, key) for key in OF_ARRAYS}
            shape, dtype = self._header()
        except UNREADABLE as fault:
            raise DataError(f"{self._name}: not a readable .npz: {fault}") from None
        if dtype.kind not in "uif" or dtype.itemsize > 8 or (dtype.kind in "ui" and dtype.itemsize > 2):
            raise MisfitError(f"{self._name}: images are {dtype}, wanted uint8 in [0, 255] or float in [0, 1]")
        if len(shape) not in (3, 4) or min(shape, default=0) < 0 or 0 in shape[1:]:
            raise MisfitError(f"{self._name}: images have shape {shape}, wanted (n, height, width[, channels])")
        self._stamp = _stamp(file)
        self._reader: NpzReader | None = None
        """Where the last stream ended: who asks for parts of the images in turn reads the file once."""
        self.files: list[Place] = []
        self._count = shape[0]
        for got, most, what in (
            (self._count, MOST_IMAGES, "images"),
            (math.prod(shape[1:]), MOST_NUMBERS, "numbers in an image"),
        ):
            if got > most:
                raise DataError(f"{self._name}: got {got:,} {what}, wanted {most:,} at most")
        labels, groups, ids = (self._column(self._found[key]) for key in ("labels", "groups", "ids"))
        self.notes = naming.notes
        self.class_names = self._class_names()
        self.labels: list[Label] | None = None if labels is None else list(labels.tolist())
        self.masks: list[Place | None] | None = None
        self.ids = _numbered(self._count) if ids is None else Names(str(identity) for identity in ids)
        self.groups = None
        if groups is not None:  # an image without a group is one by itself
            if groups.ndim != 1:
                raise MisfitError(f"{self._name}: groups have shape {groups.shape}, wanted one for each image")
            named = ("" if group != group else str(group) for group in groups.tolist())
            self.groups = [group or identity for group, identity in zip(named, self.ids, strict=True)]

    def stream(self, wanted: Sequence[int]) -> Iterator[tuple[int, RawImage | CorruptImageError]]:
        """See `Source.stream`."""
        if _stamp(self._file) != self._stamp:
            raise DataError(f"{self._name}: it was changed while it was audited; the images must stay")
        reader, self._reader = self._reader, None  # nobody else has it meanwhile
        for position in wanted:
            try:
                if reader is None or reader.at > position:
                    reader = NpzReader(self._file, f"{self._found['images']}.npy")
                image = reader.read(position)
            except UNREADABLE as fault:
                raise DataError(f"{self._name}: image {position} cannot be read: {fault}") from None
            yield position, image
        self._reader = reader if reader is not None and reader.at < self._count else None

    def array(self, name: str) -> Array | None:
        """See `Source.array`."""
        if name not in self._names:
            return None
        try:
            with self._file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
                values: Array = arrays[name]
        except UNREADABLE as fault:
            if "allow_pickle" in str(fault):  # numpy advises to allow it, and a pickle may run any code
                wanted = "which are never opened; save it as text, numbers or booleans"
                raise MisfitError(f"{self._name}: array {name!r} holds pickled objects, {wanted}") from None
            raise DataError(f"{self._name}: array {name!r} cannot be read: {fault}") from None
        return values

    def sha256(self) -> str:
        """See `Source.sha256`."""
        digest = hashlib.sha256()
        with self._file.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    def flags(self) -> dict[str, Bools]:
        """All further arrays of booleans, one for each image, by name."""
        arrays = {name: self.array(name) for name in self.further if self._kind(name) == "b"}
        return {name: values for name, values in arrays.items() if values is not None}

    @property
    def further(self) -> list[str]:
        """The names of all further arrays with a value for each image."""
        named = (name for name in self._names if name not in self._found.values())
        return [name for name in named if self._kind(name)]

    def column(self, name: str) -> list[Any]:
        """See `Telling.column`."""
        values = self._column(name)
        return [] if values is None else list(values.tolist())

    def _kind(self, name: str) -> str:
        """The kind of what an array holds for each image; empty where it is of another shape, or is none."""
        try:
            with zipfile.ZipFile(self._file) as archive, archive.open(f"{name}.npy") as member:
                shape, _, dtype = read_header(member)
        except UNREADABLE:  # no array
            return ""
        return dtype.kind if shape == (self._count,) else ""

    def _find(self, naming: Naming, key: str) -> str | None:
        try:
            name = naming.find(key)
        except DataError as fault:
            raise type(fault)(f"{self._name}: {fault}") from None
        if name is None and key == "images":
            raise MisfitError(f"{self._name}: no array 'images'; it holds {', '.join(self._names) or 'nothing'}")
        return name

    def _class_names(self) -> list[str]:
        """What an array of class names holds, if there is one."""
        for name in {"class_names", "label_names", "classes"} & set(self._names):
            with contextlib.suppress(DataError):
                values = np.asarray(self.array(name))
                return values.tolist() if values.ndim == 1 and values.dtype.kind == "U" else []
        return []

    def _column(self, name: str | None) -> Array | None:
        values = None if name is None else self.array(name)
        if values is not None and (values.ndim == 0 or len(values) != self._count):
            got = "one value" if values.ndim == 0 else str(len(values))
            raise MisfitError(f"{self._name}: got {got} {name} for {self._count} images, wanted one each")
        return values

    def _refuse_bomb(self, name: str) -> None:
        """Refuse an array that is larger than what is stored of it: its memory is taken before it is read."""
        with zipfile.ZipFile(self._file) as archive:
            member = archive.getinfo(name if name in archive.namelist() else f"{name}.npy")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"array {name!r} is packed in a way that numpy does not use")
            most = _MOST_UNPACKED + _MOST_RATIO * member.compress_size
            if member.file_size > most:
                raise ValueError(
                    f"array {name!r} unpacks to {member.file_size:,} bytes, wanted {most:,} at most; save it unpacked"
                )
            with archive.open(member) as opened:
                if opened.read(6) != np.lib.format.MAGIC_PREFIX:
                    return  # no array
            with archive.open(member) as opened:
                shape, _, dtype = read_header(opened)
                stored = member.file_size - opened.tell()
        if not dtype.hasobject and math.prod(shape) * dtype.itemsize > stored:
            raise ValueError(f"array {name!r} says that it is {shape} of {dtype}, and is too short for that")

    def _header(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        with zipfile.ZipFile(self._file) as archive, archive.open(f"{self._found['images']}.npy") as member:
            shape, fortran, dtype = read_header(member)
        if fortran:
            raise MisfitError(f"{self._name}: images are stored in Fortran order, wanted C order")
        return shape, dtype


class ManifestSource:
    """The pictures that a table names, with their labels, groups and masks."""

    def __init__(
        self,
        file: Path,
        *,
        where: str = "",
        declared: dict[str, str] | None = None,
        origin: Stored | None = None,
        root: Place | None = None,
    ) -> None:
        self._manifest = read_manifest(file, where, declared or {}, origin, root)
        self._pictures = Pictures(self._manifest.files)
        self.notes = self._manifest.notes
        self.ids: Sequence[str] = self._manifest.ids
        self.labels: list[Label] | None = self._manifest.labels
        self.groups = self._manifest.groups
        self.masks = self._manifest.masks
        self.files = self._manifest.files
        self.further = self._manifest.further

    def stream(self, wanted: Sequence[int]) -> Iterator[tuple[int, RawImage | CorruptImageError]]:
        """See `Source.stream`."""
        return self._pictures.stream(wanted)

    def array(self, name: str) -> Array | None:
        """See `Source.array`: a column of true and false."""
        return self._manifest.flags(name)

    def column(self, name: str) -> list[Any]:
        """See `Telling.column`."""
        return self._manifest.column(name)

    def flags(self) -> dict[str, Bools]:
        """All further columns of true and false, by name."""
        found = {}
        for name in self._manifest.further:
            with contextlib.suppress(DataError):  # it holds something else
                found[name] = self._manifest.flags(name)
        return {name: values for name, values in found.items() if values is not None}

    def sha256(self) -> str | None:
        """See `Source.sha256`; the pictures lie in files of their own."""
        return None


def _stamp(file: Path) -> tuple[int, int] | None:
    """What changes with a file; None where it is gone."""
    try:
        state = file.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size


def _numbered(count: int) -> Sequence[str]:
    digits = len(str(max(count - 1, 0)))
    return Names(f"{number:0{digits}d}" for number in range(count))
