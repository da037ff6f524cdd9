"""A folder of pictures as a source: which files are pictures, and what their folders say of them."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, groupby
from operator import not_
from pathlib import Path
from typing import Any

from auditor.errors import MisfitError
from auditor.measure.arrays import Array
from auditor.stores.address import Place, Stored
from auditor.stores.ahead import Ahead
from auditor.stores.store import list_files
from auditor.subject.data.listed import Files, Names, below
from auditor.subject.data.pictures import PICTURES, CorruptImageError, Pictures, RawImage, is_picture_inside


class FolderSource:
    """A folder with a folder of pictures per class, or with unlabelled pictures directly in it."""

    def __init__(self, folder: Place, *, where: str = "") -> None:
        self.notes: list[str] = []
        entries = _open(folder).entries()
        split = _test_split(entries)
        if split is not None:
            others = [_printable(entry.name) for entry in entries if entry.is_folder and entry != split]
            also = f", those of {', '.join(others)} are left out" if others else ""
            audited = f"The images of {_printable(split.name)} are audited{also}"
            self.notes.append(f"{audited}, which is a guess; source may name one of these folders.")
            entries = split.entries()
        loose = [entry.place for entry in entries if not entry.is_folder]
        classed = [file for entry in entries if entry.is_folder for file in entry.files()]
        told = [list(_are_pictures(files)) for files in (loose, classed)]
        ignored = list(compress(loose + classed, map(not_, told[0] + told[1])))
        if ignored:
            loose, classed = (list(compress(*each)) for each in zip((loose, classed), told, strict=True))
            kinds = Counter(_printable(file.suffix.lower()) or "without a suffix" for file in ignored)
            listed = ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common(5))
            self.notes.append(f"{len(ignored)} files are no pictures by their names and are left out: {listed}.")
        wanted = "wanted a folder per class, or unlabelled pictures alone"
        if not loose and not classed:
            raise MisfitError(f"{where}{folder}: no pictures ({', '.join(sorted(PICTURES))}); {wanted}")
        if loose and classed:
            one, other = _printable(loose[0].name), _printable(below(classed[0], folder))
            got = (
                f"got pictures both directly in it ({len(loose)}, as {one}) and in folders ({len(classed)}, as {other})"
            )
            raise MisfitError(f"{where}{folder}: {got}; {wanted}")
        self.files = Files(folder, loose or classed)
        self.further: list[str] = []
        self._pictures = Pictures(self.files)
        names, above = self.files.names, "" if split is None else f"{below(split.place, folder)}/"
        printable = Names(map(_printable, names))
        self.ids: Sequence[str] = names if printable == names else printable
        known = dict[str, str]()  # a text for each class, not for each image
        classes = (_printable(name.removeprefix(above).partition("/")[0]) for name in names)
        self.labels: list[Any] | None = None if loose else [known.setdefault(name, name) for name in classes]
        self.groups: list[str] | None = None
        self.masks: list[Place | None] | None = None

    def stream(self, wanted: Sequence[int]) -> Iterator[tuple[int, RawImage | CorruptImageError]]:
        """See `Source.stream`."""
        return self._pictures.stream(wanted)

    def array(self, name: str) -> Array | None:
        """See `Source.array`; a folder has none."""
        del name
        return None

    def column(self, name: str) -> list[Any]:
        """See `Telling.column`; a folder has none."""
        del name
        return []

    def sha256(self) -> str | None:
        """See `Source.sha256`; a folder is no single file."""
        return None


@dataclass(frozen=True)
class _Entry:
    """A file, or a folder, in a folder of pictures."""

    place: Place
    is_folder: bool
    listed: tuple[Stored, ...] = ()
    """Of a folder on a store: all files below it."""

    @property
    def name(self) -> str:
        return self.place.name

    def entries(self) -> list[_Entry]:
        """What lies directly in a folder, but for what is hidden."""
        if isinstance(self.place, Path):
            inside = sorted(entry for entry in self.place.iterdir() if not entry.name.startswith("."))
            return [_Entry(entry, entry.is_dir()) for entry in inside]
        found: list[_Entry] = []
        for name, files in groupby(self.listed, lambda file: below(file, self.place).partition("/")[0]):
            if name in ("", ".", ".."):  # no name that a file on the disk can have
                continue
            place = self.place / name
            held = list(files)
            found += [_Entry(file, is_folder=False) for file in held if file == place]
            deeper = tuple(file for file in held if file != place)
            found += [_Entry(place, is_folder=True, listed=deeper)] if deeper else []
        return [entry for entry in found if not entry.name.startswith(".")]

    def files(self) -> list[Place]:
        """All files at any depth of a folder, but for hidden ones, in order."""
        if isinstance(self.place, Path):
            return [*sorted(_files_in(self.place))]
        return [file for file in self.listed if "/." not in f"/{below(file, self.place)}"]


def _open(folder: Place) -> _Entry:
    return _Entry(folder, is_folder=True, listed=tuple(list_files(folder)) if isinstance(folder, Stored) else ())


def _files_in(folder: Path) -> Iterator[Path]:
    """All files at any depth but hidden ones, behind links to folders too; each folder counts once, and none that
    leads back to where it is."""
    waiting, seen = [folder], set(map(_identity, folder.resolve().parents))
    while waiting:
        place = waiting.pop()
        with contextlib.suppress(OSError):  # it may not be read, or be gone
            if (identity := _identity(place)) in seen:
                continue
            seen.add(identity)
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir():
                        waiting.append(place / entry.name)
                    else:
                        yield place / entry.name


def _identity(folder: Path) -> tuple[int, int]:
    """What a folder is the same by, whatever link it is found behind."""
    state = folder.stat()
    return state.st_dev, state.st_ino


def _test_split(entries: list[_Entry]) -> _Entry | None:
    """The folder to audit where a folder holds `train` and `test` over the folders of classes."""
    folders = {entry.name.lower(): entry for entry in entries if entry.is_folder}
    folders.pop("__macosx", None)  # what an archive made on a Mac has beside them
    others = [entry.place for entry in entries if not entry.is_folder]
    are_splits = folders and set(folders) <= set(_SPLITS) and not any(_are_pictures(others))
    if not are_splits or not all(any(inner.is_folder for inner in entry.entries()) for entry in folders.values()):
        return None
    return next(folders[name] for name in _SPLITS if name in folders)


_SPLITS = ("test", "testing", "val", "valid", "validation", "train", "training")
"""Names of parts of a data set, those that a model has not seen first."""


def _are_pictures(files: list[Place]) -> Iterator[bool]:
    """Whether each is a picture: by its suffix; without one by how it begins, as browsers save them."""
    unnamed = [at for at, file in enumerate(files) if not file.suffix and isinstance(file, Stored)]
    contents = Ahead(files).stream(unnamed) if unnamed else iter(())
    for file in files:
        if file.suffix:
            yield file.suffix.lower() in PICTURES
        elif isinstance(file, Stored):
            content = next(contents)[1]
            yield isinstance(content, bytes) and is_picture_inside(content)
        else:
            yield is_picture_inside(file)


def _printable(path: str) -> str:
    """A path in which bytes of a file name that are no UTF-8 are spelt out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
