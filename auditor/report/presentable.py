"""A result as it may be shown: no sign hides or turns text, names fit, pictures are as private as asked.

What is shown is changed here, once, before any view sees it; the saved run keeps everything as it is.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache, cached_property
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from auditor.errors import ReportError
from auditor.measure.arrays import Array
from auditor.measure.ledger import Arrays, why_unfit
from auditor.report import pictures as figures
from auditor.report.pointers import point
from auditor.report.visible import make_visible
from auditor.run.result import AuditResult

Pictures = Literal["all", "thumbnails", "none"]

LONGEST_NAME, LONGEST_TEXT = 200, 4000
"""Longer names and texts are cut, in characters."""

THUMBNAIL = 32
"""Longest side of a picture of the data in `thumbnails`, in pixels."""

PICTURE_NOTES: dict[Pictures, str] = {
    "all": "",
    "thumbnails": f"Pictures of the data and their maps are reduced to at most {THUMBNAIL} pixels a side",
    "none": "Pictures of the data and their maps are withheld, and images are called by pseudonyms",
}
"""What a report says of its pictures."""

_T = TypeVar("_T")
_Change = Callable[[str, str], str]


@dataclass(frozen=True)
class Presented:
    """A run as a report may show it; made once for all files of a report."""

    result: AuditResult
    """Every measurement knows its place, and no text works unseen."""
    arrays: Arrays
    data: AuditResult
    """The result to be handed on as data: as it was saved, but for the names of images where those are withheld."""
    pictures: Pictures
    saved: str = ""
    """The text of `result.json` as it lies in the folder of the run; empty where it is known from the result alone."""


def present(result: AuditResult, arrays: Arrays, pictures: Pictures | None = None, saved: str = "") -> Presented:
    """A saved result and its arrays as a report may show them.

    Parameters
    ----------
    pictures
        How much is shown of the audited images; without it, what the configuration of the run says.
    """
    chosen = pictures or configured_pictures(result)
    data, kept = withhold(result, checked(arrays), chosen)
    return Presented(*show_plainly(point(data), kept), data, chosen, saved)


def configured_pictures(result: AuditResult) -> Pictures:
    """How much of the audited images the configuration of a run lets its report show."""
    section = result.provenance.config.get("report", {})
    configured = section.get("pictures", "all") if isinstance(section, dict) else None
    return next((mode for mode in PICTURE_NOTES if mode == configured), "none")


def withhold(result: AuditResult, arrays: Arrays, pictures: Pictures) -> tuple[AuditResult, Arrays]:
    """A result and its arrays with no more of the audited images than is asked for.

    In `thumbnails` pictures and maps of the data are reduced. In `none` a placeholder stands for each picture, a map
    keeps its scale alone, and images go by pseudonyms: keyed by the withheld mean image, so they are the same for the
    same sample, and nobody who lacks it can try out which name belongs to which. What the result says is made up stays;
    all else counts as data.
    """
    if pictures == "all":
        return result, arrays
    made_up = set(result.made_up)
    shown = _Changed(arrays, change=lambda key, values: values if key in made_up else _reduced(values, pictures))
    if pictures == "thumbnails":
        return result, shown
    mean = result.data.mean_image
    rename = _renaming(result, arrays[mean].tobytes() if mean in arrays else b"")
    return _rewritten(result, rename), _Changed(shown, rename=lambda key: rename(key, ""))


def show_plainly(result: AuditResult, arrays: Arrays) -> tuple[AuditResult, Arrays]:
    """A result whose texts are safe to set: see `make_visible`; long ones are cut, and say how long they are.

    Names are treated alike wherever they stand, in sentences and in the keys of the arrays too.
    """
    names = {name for name in _named(result, _NAMES) if _show(name, LONGEST_NAME) != name}
    parts = re.compile("(" + "|".join(map(re.escape, sorted(names, key=len, reverse=True))) + ")") if names else None

    def change(text: str, place: str) -> str:
        if place == "pointer":  # it leads into the saved result, which keeps its names as they are
            return text
        pieces = parts.split(text) if parts else [text]
        return "".join(
            _show(piece, LONGEST_NAME if number % 2 else LONGEST_TEXT) for number, piece in enumerate(pieces)
        )

    return _rewritten(result, change), _Changed(arrays, rename=lambda key: change(key, ""))


def show_short(text: str) -> str:
    """A text as `show_plainly` shows a name."""
    return _show(text, LONGEST_NAME)


def checked(arrays: Arrays) -> Arrays:
    """The same arrays; one that is neither a picture (h, w, 1 or 3) nor finite numbers is refused when it is read.

    Raises
    ------
    ReportError
        At the reading of such an array: the run is damaged.
    """
    return _Changed(arrays, change=_checked)


class _Changed(Arrays):
    """Arrays under other names, or with other values, made when they are read.

    Raises
    ------
    ReportError
        At the reading of one that is not there: a result names only arrays that were saved with it.
    """

    def __init__(
        self,
        arrays: Arrays,
        *,
        change: Callable[[str, Array], Array] = lambda _, values: values,
        rename: Callable[[str], str] = lambda key: key,
    ) -> None:
        self._arrays, self._change, self._rename = arrays, change, rename

    @cached_property
    def _keys(self) -> dict[str, str]:
        return {self._rename(key): key for key in self._arrays}

    def __getitem__(self, name: str) -> Array:
        if name not in self._keys:
            raise ReportError(f"arrays.npz: array {name!r} is missing, which result.json names")
        key = self._keys[name]
        return self._change(key, self._arrays[key])

    def __contains__(self, name: object) -> bool:
        return name in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def _checked(key: str, values: Array) -> Array:
    misfit = why_unfit(values)
    if misfit:
        raise ReportError(f"arrays.npz: {make_visible(key)!r}: damaged: {misfit}")
    return values


def _show(text: str, longest: int) -> str:
    if len(text) <= longest:
        return make_visible(text)
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{make_visible(text[:longest])}… [{len(text)} characters, {digest}]"


def _reduced(values: Any, pictures: Pictures) -> Any:
    is_picture = values.dtype == np.uint8
    if not is_picture and not (values.ndim in (2, 3) and np.issubdtype(values.dtype, np.floating)):
        return values
    if values.ndim == 2:
        return _reduced(values[..., None], pictures)[..., 0]
    if pictures == "thumbnails":
        return figures.shrink(values, THUMBNAIL)
    if is_picture:
        return figures.placeholder(*values.shape[:2])
    withheld = np.full((*values.shape[:2], 1), np.nan, np.float32)
    withheld[0, 0] = figures.map_scale(values)
    return withheld


def _renaming(result: AuditResult, key: bytes) -> _Change:
    """Images by pseudonyms: alone, and in sentences where they cannot be taken for an ordinary word or number."""
    names = _named(result, _IDS)
    pseudonyms = {
        name: f"image {hmac.new(key, name.encode('utf-8', 'replace'), 'sha256').hexdigest()[:8]}" for name in names
    }
    words = _named(result, _NAMES - _IDS)
    telling = [name for name in names - words if len(name) > 4 or not (name.isalpha() or name.isdigit())]
    listed = "|".join(map(re.escape, sorted(telling, key=len, reverse=True)))
    inside = re.compile(rf"(?<!\w)(?:{listed})(?!\w)") if telling else None

    def change(text: str, place: str) -> str:
        if place in _IDS:
            return pseudonyms.get(text, text)
        return inside.sub(lambda found: pseudonyms[found[0]], text) if inside else text

    return change


def _rewritten(value: _T, change: _Change, place: str = "") -> _T:
    """The same record with every text changed but codes of ours; a change is told the field that the text stands in."""
    new: Any = value
    if isinstance(value, str):
        new = change(value, place)
    elif isinstance(value, list | tuple):
        new = type(value)(_rewritten(item, change, place) for item in value)
    elif isinstance(value, dict):
        new = {_rewritten(key, change): _rewritten(item, change) for key, item in value.items()}
    elif is_dataclass(value) and not isinstance(value, type):
        texts = [field.name for field in fields(value) if field.name not in _codes(type(value))]
        new = replace(value, **{name: _rewritten(getattr(value, name), change, name) for name in texts})
    return new


@cache
def _codes(record: type) -> frozenset[str]:
    """Fields of a record that hold one of a few words of ours: no name is meant, whoever is called so."""
    kinds = {
        name: [get_origin(part) for part in (hint, *get_args(hint))] for name, hint in get_type_hints(record).items()
    }
    return frozenset(name for name, origins in kinds.items() if Literal in origins)


def _named(result: AuditResult, places: frozenset[str]) -> set[str]:
    """Every text in a field of one of these names."""
    found = {""}

    def collect(text: str, place: str) -> str:
        if place in places:
            found.add(text)
        return text

    _rewritten(result, collect)
    return found - {""}


_IDS = frozenset({"image", "images"})
"""Fields that hold the names of images, in every record."""

_NAMES = _IDS | {
    "artefact", "classes", "foil", "label", "name", "predicted", "predicted_with", "predicted_without", "target",
    "title",
}  # fmt: skip
"""Fields that hold names, in every record."""
