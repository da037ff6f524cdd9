"""A run on its way from the verdicts to its end: what is known of it so far, unit of work by unit of work."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from auditor.auditing.metering import Meter
from auditor.auditing.opening import Subject
from auditor.errors import AuditError, MethodError
from auditor.explain.attribution.exemplars import BASELINE, Exhibits
from auditor.explain.attribution.methods import ALL_ZERO
from auditor.explain.attribution.question import Method
from auditor.explain.attribution.record import MethodRecord
from auditor.measure.intervals import median_interval, share_interval
from auditor.measure.measurement import Note
from auditor.run.result import AuditResult, WorkUnit
from auditor.run.store import Run

Record = TypeVar("Record", WorkUnit, MethodRecord)


@dataclass
class Growing:
    """What is known of a run."""

    result: AuditResult
    exhibits: Exhibits
    subject: Subject
    clock: float
    """When it began, as `time.monotonic` has it."""
    meter: Meter
    minutes: float | None = None
    """How long the audit may take, where that is said."""

    def settled(self) -> Run:
        """The run as it stands, with what was explained so far, and with what failed or is missing said."""
        result, exhibits = self.result, self.exhibits
        ended: list[MethodRecord | WorkUnit] = [*result.methods, *result.units]
        failures = dict.fromkeys(f"{each.name}: {each.reason}" for each in ended if each.status == "error")
        missing = [unit.name for unit in result.units if unit.status == "missing"]
        warnings = [*result.warnings, *(Note("failed", f"Explanations failed: {failure}") for failure in failures)]
        if left_out := [unit for unit in result.units if unit.status == "left_out"]:
            names = ", ".join(unit.name for unit in left_out)
            warnings.append(Note("left out", f"Not explained: {names}; {left_out[0].reason}."))
        if missing:
            warnings.append(Note("missing", f"The audit ended before these were done: {', '.join(missing)}."))
        for entry in exhibits.region_scores:
            about = f"{entry.artefact}, {entry.map}"
            warnings += [Note(BASELINE, f"{about}: {note.text}") for note in entry.notes if note.kind == BASELINE]
        gone = len(self.subject.dataset.skipped) - len(result.data.skipped)
        warnings += [note for note in self.subject.classifier.notes_of_memory if note not in warnings]
        if gone > 0:
            told = f"{gone} images were changed or gone when they were to be explained, and are left out there."
            warnings.append(Note("images", told))
        grown = replace(
            result,
            exit_code=AuditError.exit_code if failures or missing else result.exit_code,
            region_scores=list(exhibits.region_scores),
            methods=[_with_diagnostics(record, exhibits, result.rule.level) for record in result.methods],
            agreement=exhibits.agreement or result.agreement,
            exemplars=list(exhibits.exemplars),
            made_up=list(exhibits.arrays.made_up),
            warnings=warnings,
            provenance=replace(
                result.provenance, seconds=round(time.monotonic() - self.clock, 1), work=self.meter.told()
            ),
        )
        return Run(grown, exhibits.rows, exhibits.arrays)

    def is_due(self, unit: str) -> bool:
        """Whether a unit of work is yet to be done, and there is time for it; where there is none, it is left out."""
        is_missing = any(each.name == unit and each.status == "missing" for each in self.result.units)
        is_over = self.meter.work.is_over
        if is_missing and is_over:
            self.leave_out(unit)
        return is_missing and not is_over

    def well(self, methods: list[Method]) -> list[Method]:
        """Those methods that have not failed: the others are asked no more."""
        failed = {record.name for record in self.result.methods if record.status == "error"}
        return [method for method in methods if method.name not in failed]

    def end(self, unit: str, failure: MethodError | None = None) -> None:
        """A unit of work has ended."""
        self.result = replace(self.result, units=changed(self.result.units, unit, **_ended("done", failure)))

    def leave_out(self, unit: str) -> None:
        """A unit of work, or a method that has no maps yet, was not done: the time that the audit may take was over."""
        why = f"the {self.minutes:g} minutes that the audit may take ([audit] minutes) were over"
        has_none = any(each.name == unit and each.status == "missing" for each in self.result.methods)
        units, methods = changed(self.result.units, unit, status="left_out", reason=why), self.result.methods
        methods = changed(methods, unit, status="not_applicable", reason=why) if has_none else methods
        self.result = replace(self.result, units=units, methods=methods)

    def end_method(self, name: str, failure: MethodError | None = None) -> None:
        """A method has answered, or failed."""
        self.result = replace(self.result, methods=changed(self.result.methods, name, **_ended("ok", failure)))


def changed(records: list[Record], name: str, **fields: Any) -> list[Record]:
    """Records in which that of a name has other fields."""
    return [replace(each, **fields) if each.name == name else each for each in records]


def _ended(well: str, failure: MethodError | None) -> dict[str, str | None]:
    if failure is None:
        return {"status": well, "reason": None}
    return {"status": "error", "reason": failure.reason, "trace": failure.trace}


def _with_diagnostics(record: MethodRecord, exhibits: Exhibits, level: float) -> MethodRecord:
    """A method with the medians of its own checks over all images explained."""
    measured = {}
    for (check, variant), parts in exhibits.diagnostics.get(record.name, {}).items():
        name = f"{check} ({variant})" if variant else check
        values = np.concatenate([values for values, _ in parts])
        groups = np.concatenate([groups for _, groups in parts])
        if check == ALL_ZERO:
            measured[name] = share_interval(values > 0, groups, level)
        else:
            measured[name] = median_interval(values, groups, level, unit="median")
    return replace(record, diagnostics=measured)
