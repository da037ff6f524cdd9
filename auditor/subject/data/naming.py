"""Which array or column is which, where they are called otherwise than `images`, `labels`, `groups` and `ids`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field

from auditor.errors import MisfitError

OF_ARRAYS: dict[str, tuple[str, ...]] = {
    "images": ("images", "image", "imgs", "img", "x", "x_test", "x_val", "x_train", "data"),
    "labels": ("labels", "label", "y", "y_test", "y_val", "y_train", "targets", "target", "class"),
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
        """`y_test` where the images are `x_test`."""
        images = self.declared.get("images") or self._taken.get("images", "")
        name = f"y{images[1:]}"
        return name if key == "labels" and images[:1] in ("x", "X") and name in self.names else None


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")
