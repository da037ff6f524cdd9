"""Names of images and of their files in the bytes that they have: a list of texts takes a hundred for each."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from auditor.measure.arrays import Ints
from auditor.stores.address import Place, Stored


class Names(Sequence[str]):
    """A list of texts that is not changed."""

    def __init__(self, texts: Iterable[str]) -> None:
        held, self._ends = bytearray(), array("q", [0])
        for text in texts:
            held += text.encode("utf-8", "surrogatepass")
            self._ends.append(len(held))
        self._held = bytes(held)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[each] for each in range(len(self))[at]]
        at = range(len(self))[at]
        return self._held[self._ends[at] : self._ends[at + 1]].decode("utf-8", "surrogatepass")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Names):
            return (self._held, self._ends) == (other._held, other._ends)
        return isinstance(other, Sequence) and list(self) == list(other)

    def __repr__(self) -> str:
        return repr(list(self))


class Picked(Sequence[str]):
    """Some texts of a list, by number (n,)."""

    def __init__(self, texts: Sequence[str], chosen: Ints) -> None:
        self._texts, self._chosen = texts, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self._texts[each] for each in self._chosen[at].tolist()]
        return self._texts[int(self._chosen[at])]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __repr__(self) -> str:
        return repr(list(self))


class Files(Sequence[Place]):
    """Files below a folder of the disk, or of a store, which says how many bytes each has."""

    def __init__(self, folder: Place, files: Sequence[Place]) -> None:
        self._folder = folder
        self.names = Names(below(file, folder) for file in files)
        """As they are from the folder."""
        self._sizes = array("q", (-1 if isinstance(file, Path) or file.size is None else file.size for file in files))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[each] for each in range(len(self))[at]]
        name, size = self.names[at], self._sizes[at]
        if isinstance(self._folder, Path):
            return self._folder / name
        return Stored(self._folder.store, f"{self._folder.key}/{name}", size if size >= 0 else None)

    def __iter__(self) -> Iterator[Place]:
        return (self[at] for at in range(len(self)))


def below(file: Place, folder: Place) -> str:
    """The name of a file as it is from a folder above it."""
    if isinstance(file, Stored) and isinstance(folder, Stored):
        return file.below(folder)
    assert isinstance(file, Path)
    assert isinstance(folder, Path)
    return file.relative_to(folder).as_posix()
