"""A folder of pictures as a source: which files are pictures, and what their folders say of them."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from auditor.errors import MisfitError
from auditor.measure.arrays import Array
from auditor.subject.data.pictures import PICTURES, CorruptImageError, Pictures, RawImage, is_picture_inside


class FolderSource:
    """A folder with a folder of pictures per class, or with unlabelled pictures directly in it."""

    def __init__(self, folder: Path, *, where: str = "") -> None:
        self.notes: list[str] = []
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        split = _test_split(entries)
        if split is not None:
            others = [_printable(entry.name) for entry in entries if entry.is_dir() and entry != split]
            also = f", those of {', '.join(others)} are left out" if others else ""
            told = f"The images of {_printable(split.name)} are audited{also}"
            self.notes.append(f"{told}, which is a guess; source may name one of these folders.")
            entries = sorted(entry for entry in split.iterdir() if not entry.name.startswith("."))
        loose = [entry for entry in entries if not entry.is_dir()]
        classed = [file for entry in entries if entry.is_dir() for file in sorted(_files_in(entry))]
        ignored = [file for file in [*loose, *classed] if not _is_picture(file)]
        loose, classed = ([file for file in files if _is_picture(file)] for files in (loose, classed))
        if ignored:
            kinds = Counter(_printable(file.suffix.lower()) or "without a suffix" for file in ignored)
            listed = ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common(5))
            self.notes.append(f"{len(ignored)} files are no pictures by their names and are left out: {listed}.")
        wanted = "wanted a folder per class, or unlabelled pictures alone"
        if not loose and not classed:
            raise MisfitError(f"{where}{folder}: no pictures ({', '.join(sorted(PICTURES))}); {wanted}")
        if loose and classed:
            one, other = _printable(loose[0].name), _printable(classed[0].relative_to(folder).as_posix())
            got = (
                f"got pictures both directly in it ({len(loose)}, as {one}) and in folders ({len(classed)}, as {other})"
            )
            raise MisfitError(f"{where}{folder}: {got}; {wanted}")
        self._files = loose or classed
        self._pictures = Pictures(self._files)
        relative = [file.relative_to(split or folder) for file in self._files]
        self.ids = [_printable(file.relative_to(folder).as_posix()) for file in self._files]
        self.labels: list[Any] | None = None if loose else [_printable(path.parts[0]) for path in relative]
        self.groups: list[str] | None = None
        self.masks: list[Path | None] | None = None

    def stream(self, wanted: Sequence[int]) -> Iterator[tuple[int, RawImage | CorruptImageError]]:
        """See `Source.stream`."""
        return self._pictures.stream(wanted)

    def array(self, name: str) -> Array | None:
        """See `Source.array`; a folder has none."""
        del name
        return None

    def sha256(self) -> str | None:
        """See `Source.sha256`; a folder is no single file."""
        return None


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


def _test_split(entries: list[Path]) -> Path | None:
    """The folder to audit where a folder holds `train` and `test` over the folders of classes."""
    folders = {entry.name.lower(): entry for entry in entries if entry.is_dir()}
    folders.pop("__macosx", None)  # what an archive made on a Mac has beside them
    others = [entry for entry in entries if not entry.is_dir()]
    are_splits = folders and set(folders) <= set(_SPLITS) and not any(map(_is_picture, others))
    if not are_splits or not all(any(inner.is_dir() for inner in entry.iterdir()) for entry in folders.values()):
        return None
    return next(folders[name] for name in _SPLITS if name in folders)


_SPLITS = ("test", "testing", "val", "valid", "validation", "train", "training")
"""Names of parts of a data set, those that a model has not seen first."""


def _is_picture(file: Path) -> bool:
    """By its suffix; a file without one by how it begins, as browsers save them."""
    suffix = file.suffix.lower()
    return suffix in PICTURES or (not suffix and is_picture_inside(file))


def _printable(path: str) -> str:
    """A path in which bytes of a file name that are no UTF-8 are spelt out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
