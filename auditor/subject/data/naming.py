"""Which array or column is which, where they are called otherwise than `images`, `labels`, `groups` and `ids`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field

from auditor.errors import MisfitError

_PARTS = ("test", "val", "train")


def _by_part(*names: str) -> list[str]:
    """`x_test`, `test_x` and the like, those of images that a model has not seen first."""
    return [word for part in _PARTS for name in names for word in (f"{name}_{part}", f"{part}_{name}")]


OF_ARRAYS: dict[str, tuple[str, ...]] = {
    "images": ("images", "image", "imgs", "img", "x", *_by_part("x", "images"), "data"),
    "labels": ("labels", "label", "y", *_by_part("y", "labels"), "targets", "target", "class"),
    "groups": ("groups", "group"),
    "ids": ("ids", "id"),
}
"""What arrays of an `.npz` are usually called, our own name first."""

OF_COLUMNS: dict[str, tuple[str, ...]] = {
    "images": ("path", "paths", "file", "files", "filename", "filepath", "image", "imagepath"),
    "labels": ("label", "labels", "class", "target", "y"),
    "groups": ("group", "groups"),
    "masks": ("mask", "masks"),
    "ids": ("id", "ids"),
}
"""The same of columns of a manifest."""


@dataclass
class Naming:
    """Finds arrays or columns by what they are, and keeps what it guessed."""

    names: Sequence[str]
    usual: dict[str, tuple[str, ...]]
    what: str
    """`array` or `column`."""
    declared: dict[str, str] = field(default_factory=dict)
    """Names that the user gave: key -> name."""
    notes: list[str] = field(default_factory=list)
    _taken: dict[str, str] = field(default_factory=dict)

    def find(self, key: str) -> str | None:
        """The name of what stands for a key; None where nothing does.

        Raises
        ------
        MisfitError
            What the user named is not there, or several may be meant.
        """
        if key in self.declared:
            name = self.declared[key]
            if name not in self.names:
                held = ", ".join(self.names) or "nothing"
                raise MisfitError(f"no {self.what} {name!r}, as {key} says; it holds {held}")
            return name
        usual = self.usual[key]
        if usual[0] in self.names:
            return usual[0]
        alike = (name for word in usual for name in self.names if _plain(name) == word)
        found = self._beside_the_images(key) or next(alike, None)
        if found is not None:
            self._taken[key] = found
            says_so = f'{key} = "{found}" under [data] says so'
            self.notes.append(f"The {self.what} {found!r} is taken for the {key}, which is a guess; {says_so}.")
        elif near := difflib.get_close_matches(usual[0], self.names, n=1, cutoff=0.75):
            would = f'{key} = "{near[0]}" under [data] would have it read'
            self.notes.append(f"The {self.what} {near[0]!r} is not read as the {key}; {would}.")
        return found

    def _beside_the_images(self, key: str) -> str | None:
        """`y_test` where the images are `x_test`, `test_labels` where they are `test_images`."""
        images = _plain(self.declared.get("images") or self._taken.get("images", ""))
        words = ["y" if word == "x" else "labels" if word == "images" else word for word in images.split("_")]
        wanted = "_".join(words)
        is_other = key == "labels" and wanted != images
        return next((name for name in self.names if is_other and _plain(name) == wanted), None)


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")
