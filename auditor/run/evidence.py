"""What the rows of a run say of each image, for whoever compares runs image by image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from auditor.errors import ReportError
from auditor.measure.arrays import Groups
from auditor.run.files import ROWS
from auditor.run.result import AuditResult
from auditor.run.store import Run, SavedRun
from auditor.verdict.effects import NAMES
from auditor.verdict.notes import PART, SCORE

Values = Mapping[str, float]
"""Image -> its value."""

Subject = tuple[str | None, str | None]
"""Artefact and class; neither, for what is no finding's."""

LEADS = {"theta": NAMES[1][:3], "theta_suppression": NAMES[-1][:3], "removal_drop": ("removal_drop",)}
"""What an effect was decided on -> what its parts are, the least of which it is."""


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

    def of(self, subject: Subject, measurement: str) -> Mapping[str, Values]:
        """Condition -> what was measured under it, by image; empty where no row tells."""
        return self._values[*subject, measurement]

    def groups(self, images: Iterable[str]) -> Groups:
        """The groups of some images."""
        return np.array([str(self._groups[image]) for image in images])

    def members(self, subject: Subject, part: str) -> Collection[str]:
        """The images of a part of the data, as `class = dog` names it."""
        column, _, value = part.partition(" = ")
        if column == "class":
            return {image for image, label in self._labels[subject].items() if value in self.classes_of(label)}
        return self.of((None, None), PART).get(part, {})

    @cached_property
    def scores(self) -> dict[tuple[str, ...], float]:
        """Every score that was kept, of images as they came and of how edits moved it."""
        kept = (SCORE, NAMES[1][0], NAMES[-1][0])
        return {
            (*map(str, key), condition, image): value
            for key, ways in self._values.items()
            for condition, values in ways.items()
            for image, value in values.items()
            if key[-1] in kept
        }

    def labels(self, subject: Subject) -> Mapping[str, str]:
        """Image -> its classes, of those that an artefact was put into."""
        return self._labels[subject]

    def classes_of(self, label: str) -> list[str]:
        """The classes that a label names, one or several."""
        classes = self.result.model.classes
        return [label] if label in classes else [name for name in classes if f", {name}," in f", {label},"]

    @cached_property
    def _rows(self) -> dict[str, list[Any]]:
        if isinstance(self._run, Run):
            return {name: self._run.rows.columns[name] for name in _TYPES}
        import pyarrow as pa
        import pyarrow.compute as pc

        file = self._run.folder / ROWS
        try:
            table = self._run.rows.select(list(_TYPES))
            table = table.cast(pa.schema([(name, getattr(pa, kind)()) for name, kind in _TYPES.items()]))
            wanted = pc.is_in(table["measurement"], value_set=pa.array(sorted(_PAIRED)))
            known = pc.and_(pc.is_valid(table["image"]), pc.is_finite(table["value"]))
            found: dict[str, list[Any]] = table.filter(pc.and_(wanted, known)).to_pydict()
        except (KeyError, pa.ArrowException) as fault:
            raise ReportError(f"{file}: damaged: {str(fault).splitlines()[0]}") from None
        return found

    @cached_property
    def _values(self) -> dict[tuple[Any, ...], dict[str, dict[str, float]]]:
        found: dict[tuple[Any, ...], dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
        names = ("artefact", "target", "measurement", "condition", "image", "value")
        for *key, condition, image, value in zip(*(self._rows[name] for name in names), strict=True):
            if key[-1] in _PAIRED:
                found[tuple(key)][condition][image] = value
        return found

    @cached_property
    def _groups(self) -> dict[str, str]:
        return dict(zip(self._rows["image"], self._rows["group"], strict=True))

    @cached_property
    def _labels(self) -> dict[Subject, dict[str, str]]:
        found: dict[Subject, dict[str, str]] = defaultdict(dict)
        names = ("artefact", "target", "image", "label")
        for artefact, target, image, label in zip(*(self._rows[name] for name in names), strict=True):
            if label is not None:
                found[artefact, target][image] = label
        return found


_PAIRED = frozenset(
    [*(name for names in LEADS.values() for name in names), "decisions_turned", "decisions_lost", "flip_rate",
     "suppression_flip_rate", "correct", "accuracy", SCORE, PART]
)  # fmt: skip

_TYPES = {
    "image": "string", "group": "string", "label": "string", "artefact": "string", "target": "string",
    "measurement": "string", "condition": "string", "value": "float64",
}  # fmt: skip
"""Columns of the rows that are read, and what they must be."""
