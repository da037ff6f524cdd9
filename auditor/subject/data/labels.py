"""Labels as data hold them, by name, number, row or bytes, as classes of a model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

from auditor.config.options import suggest
from auditor.errors import MisfitError
from auditor.measure.arrays import Bools
from auditor.subject.data.manifests import WrittenLabel
from auditor.subject.data.sources import Label

NONE = "none"
"""How a table of text says of an image that it has none of the classes of a multilabel model."""


def find_class(name: str, classes: Sequence[str]) -> int | None:
    """The number of a class by its name, however its signs are composed (NFC, NFD); None where there is none."""
    wanted = unicodedata.normalize("NFC", name)
    return next((at for at, each in enumerate(classes) if unicodedata.normalize("NFC", each) == wanted), None)


def read_labels(labels: Sequence[Label], classes: tuple[str, ...], multilabel: bool) -> Bools:
    """Which classes (images, classes) each image has.

    A label is the name of a class, or its number from 0 (a whole float too; as text only in a table of text, unless
    classes are called by such numbers); as bytes; as a row of one of these, or of 0 and 1 for each class (just one of
    them 1 where classes exclude each other); or missing.

    Raises
    ------
    MisfitError
        The model has no such class, or a row does not fit.
    """
    number_of = {unicodedata.normalize("NFC", name): number for number, name in enumerate(classes)}
    truth = np.zeros((len(labels), len(classes)), dtype=bool)
    unknown: dict[str, int] = {}
    plain = [_plain(label) for label in labels]
    numbers = {found[1] for label in plain if isinstance(label, str) and (found := _WHOLE.fullmatch(_text(label)))}
    by_name = any(number in number_of for number in numbers)  # classes may be called by numbers of their own
    for row, given in enumerate(labels):
        label = plain[row]
        is_none = multilabel and isinstance(given, WrittenLabel) and label == NONE and NONE not in number_of
        if label is None or is_none:
            continue
        if isinstance(label, (list, tuple)):
            truth[row] = _read_row(label, len(classes), multilabel)
            continue
        for part in _parts(label, number_of) if multilabel else [label]:
            number = _number(part, number_of, by_name=by_name)
            if 0 <= number < len(classes):
                truth[row, number] = True
            else:
                unknown[str(part)] = unknown.get(str(part), 0) + 1
    if unknown:
        listed = ", ".join(
            f"{name!r} ({count} image{'s' if count > 1 else ''})" for name, count in sorted(unknown.items())[:20]
        )
        raise MisfitError(f"labels that the model lacks: {listed}{suggest(next(iter(unknown)), list(classes))}")
    return truth


def note_numbers(labels: Sequence[Label], classes: Sequence[str]) -> list[str]:
    """A sentence where labels are numbers and classes are called by numbers that are not their places."""
    elsewhere = [(at, name) for at, name in enumerate(classes) if name.isdecimal() and int(name) != at]
    are_places = any(isinstance(_plain(label), int) for label in labels[:100])
    if not elsewhere or not are_places:
        return []
    at, name = elsewhere[0]
    told = f"Labels are numbers, which are places from 0 and no names: {at} is the class called {name!r}"
    return [f"{told}; as text, labels go by name."]


def is_labelled(labels: Sequence[Label] | None, count: int) -> Bools:
    """Which images (count,) have a label."""
    return np.zeros(count, bool) if labels is None else np.array([_plain(label) is not None for label in labels])


def _plain(label: Any) -> Any:
    """A label without its container: bytes as text, arrays as lists, a row of one value as that."""
    if isinstance(label, (np.ndarray, np.generic)):
        label = label.tolist()
    if isinstance(label, (list, tuple)) and len(label) == 1:
        label = _plain(label[0])
    if isinstance(label, bytes):
        label = label.decode("utf-8", "backslashreplace")
    if isinstance(label, str) and not label.strip():
        return None
    if isinstance(label, float):
        return None if np.isnan(label) else int(label) if label.is_integer() else label
    return label


def _read_row(row: Sequence[Any], count: int, multilabel: bool) -> Bools:
    """Which classes (count,) a row of 0 and 1 names."""
    if len(row) != count:
        if not multilabel:
            raise MisfitError(f"a label is a row of {len(row)} values, wanted a class, by its name or number")
        raise MisfitError(f"a multilabel row has {len(row)} values, wanted {count}: one per class")
    wrong = [value for value in row if value not in (0, 1)]
    if wrong:
        kind = "multilabel" if multilabel else "label"
        raise MisfitError(f"a {kind} row holds {wrong[0]!r}, wanted 0 or 1 for each class")
    named = sum(map(int, row))
    if not multilabel and named != 1:
        raise MisfitError(f"a label row names {named} classes, wanted one, for the classes exclude each other")
    return np.asarray(row, dtype=bool)


def _parts(label: Any, number_of: dict[str, int]) -> list[Any]:
    """The several classes of a written label."""
    if isinstance(label, WrittenLabel) and label not in number_of:
        return [WrittenLabel(part.strip()) for part in label.split("|")]
    return [label]


def _number(label: Any, number_of: dict[str, int], *, by_name: bool) -> int:
    """The number of a class; -1 where there is none of that name."""
    if isinstance(label, int):
        return int(label)
    text = _text(label)
    number, whole = number_of.get(text, -1), _WHOLE.fullmatch(text)
    if number >= 0 or whole is None or (isinstance(label, str) and not isinstance(label, WrittenLabel)):
        return number  # text is a name, but in a table of text, which has no numbers
    return number_of.get(whole[1], -1) if by_name else int(whole[1])


def _text(label: Any) -> str:
    return unicodedata.normalize("NFC", str(label).strip())


_WHOLE = re.compile(r"(\d+)(\.0+)?")
"""A number of a class; floats are whole where a table of numbers has gaps."""
