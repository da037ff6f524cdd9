"""What the rows of a run say of each image, for whoever compares runs image by image.

Images are numbers here, in the order of their names: a run has tens of rows for each of its images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from auditor.errors import ReportError
from auditor.measure.arrays import Array, Bools, Groups, Ints
from auditor.run.files import ROWS
from auditor.run.limits import refuse_odd
from auditor.run.parts import tabulate
from auditor.run.result import AuditResult
from auditor.run.store import Run, SavedRun
from auditor.verdict.effects import NAMES, ON_OTHERS
from auditor.verdict.notes import PART, SCORE

Subject = tuple[str | None, str | None]
"""Artefact and class; neither, for what is no finding's."""

LEADS = {
    "theta": NAMES[1][:3],
    "theta_suppression": NAMES[-1][:3],
    ON_OTHERS[3]: ON_OTHERS[:3],
    "removal_drop": ("removal_fall", "removal_contrast"),
}
"""What an effect was decided on -> what its parts are, the least of which it is."""


class Values(NamedTuple):
    """One number of some images."""

    images: Ints
    """(n,): rising, each once."""
    values: Array
    """(n,)."""


class Evidence:
    """What the rows of one run say of each image; they are read when they are first asked for.

    Raises
    ------
    ReportError
        At the reading: they are missing or damaged.
    """

    def __init__(self, run: Run | SavedRun) -> None:
        self._run = run

    @property
    def result(self) -> AuditResult:
        """The run's result."""
        return self._run.result

    @property
    def names(self) -> Array:
        """The images by name, rising: (images,) of texts."""
        return self._codes["image"][1]

    def of(self, subject: Subject, measurement: str) -> Mapping[str, Values]:
        """Condition -> what was measured under it, by image; empty where no row tells."""
        rows = self._about(subject) & self._is("measurement", measurement)
        conditions, names = self._codes["condition"]
        found = {}
        for code in np.unique(conditions[rows]).tolist():
            at = rows & (conditions == code)
            images, first = np.unique(self._codes["image"][0][at], return_index=True)
            found[str(names[code]) if code >= 0 else ""] = Values(images, self._values[at][first])
        return found

    @cached_property
    def groups(self) -> Groups:
        """(images,): the group of each."""
        return self._by_image("group", np.ones(len(self._values), bool))[0]

    def members(self, subject: Subject, part: str) -> Bools:
        """(images,): which of them are in a part of the data, as `class = dog` names it."""
        column, _, value = part.partition(" = ")
        if column == "class":
            return self.of_class(subject, value)
        members, found = np.zeros(len(self.names), bool), self.of((None, None), PART).get(part)
        if found is not None:
            members[found.images] = True
        return members

    def of_class(self, subject: Subject, name: str) -> Bools:
        """(images,): which of those that an artefact was put into are of a class."""
        labels, texts = self._by_image("label", self._about(subject))
        return np.isin(labels, [code for code, text in enumerate(texts) if name in self._classes_of(str(text))])

    def _classes_of(self, label: str) -> list[str]:
        """The classes that a label names, one or several."""
        classes = self.result.model.classes
        return [label] if label in classes else [name for name in classes if f", {name}," in f", {label},"]

    def _about(self, subject: Subject) -> Bools:
        return np.asarray(self._is("artefact", subject[0]) & self._is("target", subject[1]))

    def _is(self, column: str, text: str | None) -> Bools:
        """(rows,): which hold a text, or none."""
        codes, texts = self._codes[column]
        wanted = -1 if text is None else next(iter(np.flatnonzero(texts == text)), -2)
        return np.asarray(codes == wanted)

    def _by_image(self, column: str, rows: Bools) -> tuple[Ints, Array]:
        """(images,): what a column holds of each, by number, -1 where nothing; and the texts by number."""
        codes, texts = self._codes[column]
        held = np.full(len(self.names), -1)
        held[self._codes["image"][0][rows]] = codes[rows]
        return held, texts

    @property
    def _values(self) -> Array:
        return self._columns[1]

    @property
    def _codes(self) -> dict[str, tuple[Ints, Array]]:
        return self._columns[0]

    @cached_property
    def _columns(self) -> tuple[dict[str, tuple[Ints, Array]], Array]:
        """Column -> (rows,) numbers of its texts, -1 for none, and the texts; and (rows,) values."""
        import pyarrow as pa

        try:
            table = self._read()
            coded = {name: _encode(table[name]) for name in _TEXTS}
            return coded, np.asarray(table["value"].to_numpy(), np.float64)
        except (KeyError, TypeError, pa.ArrowException) as fault:
            raise ReportError(f"{self._file}: damaged: {str(fault).splitlines()[0]}") from None

    def _read(self) -> Any:
        """An Arrow table of the rows that can be compared; of a saved run no others are read."""
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        types = pa.schema([*((name, pa.string()) for name in _TEXTS), ("value", pa.float64())])
        is_meant = pc.field("measurement").isin(sorted(_PAIRED)) & pc.field("value").is_valid()
        is_meant &= ~pc.field("value").is_nan() & pc.field("image").is_valid()
        if isinstance(self._run, Run):
            return tabulate(self._run.rows).filter(is_meant)
        refuse_odd(self._file)
        try:
            return pq.read_table(self._file, partitioning=None, columns=types.names, filters=is_meant).cast(types)
        except FileNotFoundError:
            raise ReportError(f"{self._file}: missing; wanted the rows of a saved run") from None
        except OSError as fault:
            raise ReportError(f"{self._file}: damaged: {fault}") from None

    @property
    def _file(self) -> Any:
        return ROWS if isinstance(self._run, Run) else self._run.folder / ROWS


def _encode(column: Any) -> tuple[Ints, Array]:
    """(rows,): the number of each text among all of a column, which rise; -1 for none."""
    encoded = column.combine_chunks().dictionary_encode()
    texts = np.array(encoded.dictionary.to_pylist(), dtype=object)
    order = np.argsort(texts, kind="stable")
    place = np.empty(len(order) + 1, np.int64)
    place[order], place[-1] = np.arange(len(order)), -1
    return place[encoded.indices.fill_null(len(order)).to_numpy()], texts[order]


def match(before: Evidence, after: Evidence) -> Ints:
    """(images of the earlier run,): the number that each has in the later one, -1 where it is not there."""
    numbers = {name: number for number, name in enumerate(after.names.tolist())}
    return np.array([numbers.get(name, -1) for name in before.names.tolist()], np.int64)


def scores_of(evidence: Evidence, subjects: Iterable[Subject]) -> dict[tuple[Subject, str, str], Values]:
    """Every score that was kept: of images as they came, and of how inserting an artefact moved it."""
    kept: list[tuple[Subject, str]] = [((None, None), SCORE)]
    kept += [(subject, name) for subject in subjects for name in (NAMES[1][0], NAMES[-1][0])]
    return {(*key, way): values for key in kept for way, values in evidence.of(*key).items()}


_TEXTS = ("image", "group", "label", "artefact", "target", "measurement", "condition")
"""Columns of the rows that are read, beside the value."""

_PAIRED = frozenset(
    [*(name for names in LEADS.values() for name in names), "decisions_turned", "decisions_lost", "flip_rate",
     "suppression_flip_rate", "correct", "accuracy", SCORE, PART]
)  # fmt: skip
"""Measurements that are compared."""
