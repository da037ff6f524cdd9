"""What is kept of an audit until its run is whole, and how another goes on from there."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from auditor.auditing.growing import Growing, changed
from auditor.auditing.opening import Subject
from auditor.config.file import AuditConfig
from auditor.errors import ReportError
from auditor.explain.attribution.exemplars import CHECK_OF_METHOD
from auditor.explain.table import STUDIES
from auditor.run.index import locked
from auditor.run.journal import Journal, begin_journal, find_journals, is_written, open_journal
from auditor.run.leftovers import sweep
from auditor.run.provenance import describe_software
from auditor.run.result import AuditResult, result_to_json
from auditor.run.store import Run, SavedRun, grow_run, save_run
from auditor.subject.data.sample import Dataset
from auditor.subject.model.classifier import Classifier
from auditor.verdict.passes import Journalled, Kept

KEPT = "what was measured until then is kept: the same command with --resume goes on from there"

Fingerprint = dict[str, str]
"""Of what was audited: a hash of each of model, data, configuration and version."""


def take_fingerprint(config: AuditConfig, subject: Subject) -> Fingerprint:
    """What an audit is of; what pictures hold is told by each pass instead, without a look at all of them."""
    dataset, code = subject.dataset, hashlib.sha256()
    data = hashlib.sha256(json.dumps(dataset.file_sha256).encode())
    for identity, group in zip(dataset.ids, dataset.groups.tolist(), strict=True):
        data.update(json.dumps([identity, dataset.group_names[group]]).encode())
    for array in (dataset.labelled, dataset.truth):
        data.update(b"" if array is None else array.tobytes())
    for call in config.calls.values():
        file = inspect.getsourcefile(inspect.unwrap(call.function))
        if file is not None and not call.function.__module__.startswith("auditor."):
            code.update(Path(file).read_bytes())
    texts = {
        "model": json.dumps(asdict(subject.model)),
        "data": data.hexdigest(),
        "configuration": json.dumps([_echo(config), code.hexdigest()], sort_keys=True),
        "version": json.dumps(describe_software(), sort_keys=True),
    }
    return {name: hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for name, text in texts.items()}


def _echo(config: AuditConfig) -> dict[str, Any]:
    """The configuration, but for where it is run: passes are numbered otherwise by each engine, and by that alone."""
    return config.echo() | {"execution": config.execution.engine}


class Keeping:
    """Keeps what an audit measures while it is open, for another to go on from; forgets it once the run is whole."""

    def __init__(self, reports: Path, *, resume: bool, note: Callable[[str], object] = lambda text: None) -> None:
        """Keep it in the folder of runs.

        Parameters
        ----------
        resume
            Go on from what an audit of the same left, where one did.
        note
            Told, for people, what became of that.
        """
        self._reports, self._resume, self._note = reports, resume, note
        self._journal: Journal | None = None
        self._taken: Path | None = None

    def __enter__(self) -> Keeping:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None) -> None:
        journal = self._journal
        if journal is None:
            return
        if fault is not None and journal.holds_anything():
            journal.close()
            fault.add_note(KEPT)
            return
        journal.remove()
        if fault is None:
            for folder, header in find_journals(self._reports):  # those that were not gone on from have nothing more
                other = open_journal(folder, header) if header.fingerprint == journal.header.fingerprint else None
                if other is not None:
                    other.remove()

    def begin(self, fingerprint: Fingerprint, started: str) -> str:
        """Begin, or go on, where the audit is known; returns when it was begun first."""
        try:
            if self._resume and self._reports.is_dir():
                with locked(self._reports):
                    sweep(self._reports)
            self._journal = self._find(fingerprint) or begin_journal(self._reports, fingerprint, started)
        except (ReportError, OSError) as fault:
            self._note(f"{fault}; an audit that is ended now starts anew")
        return started if self._journal is None else self._journal.header.started

    def _find(self, fingerprint: Fingerprint) -> Journal | None:
        found = find_journals(self._reports)
        same = [(folder, header) for folder, header in found if header.fingerprint == fingerprint]
        for folder, header in same if self._resume else []:
            journal = open_journal(folder, header)
            if journal is not None:
                self._note(f"going on with the audit of {header.started}")
                return journal
        waiting = [header for folder, header in same if not is_written(folder)]
        if waiting and not self._resume:
            self._note(
                f"an audit of the same was cut short on {waiting[0].started}; --resume would have gone on with it"
            )
        if self._resume:
            why = "no audit was cut short here"
            if same:
                why = "the audit that was begun here is still running"
            elif found:
                other = found[0][1]
                names = [name for name, digest in fingerprint.items() if other.fingerprint.get(name) != digest]
                why = f"the one of {other.started} that was cut short is of another {' and '.join(names)}"
            self._note(f"nothing to resume: {why}; starting anew")
        return None

    def over(self, classifier: Classifier) -> Classifier:
        """The classifier, its passes kept and those that are known taken from what was kept."""
        return classifier if self._journal is None else Journalled(classifier, self._journal)

    @property
    def is_on(self) -> bool:
        """Whether passes are kept."""
        return self._journal is not None

    def recall(self, first: int) -> list[Kept]:
        """The passes of a unit of work that are known, whose numbers begin with one."""
        return [] if self._journal is None else [Kept(*each) for each in self._journal.recall_from(first)]

    def note(self, passes: Sequence[Kept], *, instead: bool) -> None:
        """Keep the passes of a unit of work, `instead` of all that were known, which are of another model."""
        if self._journal is None:
            return
        if instead:
            self._journal.drop()
        for kept in passes:
            self._journal.note(kept.number, kept.checksum, kept.scores)

    def take_up(self, growing: Growing) -> None:
        """Take over what the run has of explanations already, if its verdicts are those that were found again."""
        if self._journal is None:
            return
        run = self._reports / self._journal.header.run
        if not run.is_dir():
            return
        try:
            saved = SavedRun(run)
            if _verdicts(saved.result) == _verdicts(growing.settled().result):
                take_up(growing, saved)
                self._taken = run
        except ReportError as fault:
            self._note(f"{fault}; explanations start anew")

    def save(self, run: Run) -> Path:
        """Save the run for the first time, or over what was taken up; returns its folder.

        Raises
        ------
        ReportError
            The folder cannot be written.
        """
        if self._journal is not None:
            self._journal.flush()
            if self._journal.fault:
                self._note(self._journal.fault)
        if self._taken is not None:
            grow_run(run, self._taken)
            return self._taken
        return save_run(run, self._reports, "" if self._journal is None else self._journal.header.run)


def take_up(growing: Growing, saved: SavedRun) -> None:
    """Give a run that has its verdicts alone all that a saved one of the same verdicts has of its explanations.

    Raises
    ------
    ReportError
        The saved run is damaged; then what was given stays as it was.
    """
    before, rows, exhibits = saved.result, saved.rows, growing.exhibits
    arrays = {name: saved.arrays[name] for name in saved.arrays}
    fresh = growing.result
    ended = {unit.name: unit for unit in before.units if unit.status != "left_out"}  # there is time again
    result = replace(
        fresh,
        units=[ended.get(unit.name, unit) for unit in fresh.units],
        told=before.told,
        **{name: getattr(before, name) for name in STUDIES},
    )
    for record in before.methods:
        fields = {"status": record.status, "reason": record.reason, "trace": record.trace}
        result = replace(result, methods=changed(result.methods, record.name, **fields))
    growing.result = result
    exhibits.rows.clear()
    for part in rows.to_batches(max_chunksize=2**16):
        for name, column in exhibits.rows.columns.items():
            column += part.column(name).to_pylist()
    exhibits.arrays.clear()
    for name, values in arrays.items():
        exhibits.arrays.keep(name, values, of_data=name not in before.made_up)
    exhibits.exemplars += before.exemplars
    exhibits.region_scores += before.region_scores
    exhibits.agreement += before.agreement if before.agreement != fresh.agreement else []
    _restore_checks(growing, growing.subject.dataset)


def _restore_checks(growing: Growing, dataset: Dataset) -> None:
    """The checks of methods by image, as `explain_case` noted them, one part for every case."""
    at_image, rows = {name: at for at, name in enumerate(dataset.ids)}, growing.exhibits.rows.columns
    parts: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for at, condition in enumerate(rows["condition"]):
        if condition == CHECK_OF_METHOD:
            parts[rows["method"][at], rows["measurement"][at], rows["artefact"][at] or ""].append(at)
    for (method, check, _), chosen in parts.items():
        name, _, variant = method.partition(" (")
        values = np.array([rows["value"][at] for at in chosen])
        groups = dataset.groups[[at_image[rows["image"][at]] for at in chosen]]
        growing.exhibits.diagnostics[name][check, variant.removesuffix(")")].append((values, groups))


def _verdicts(result: AuditResult) -> dict[str, Any]:
    """What a result has of its verdicts, and how they were come to."""
    data = json.loads(result_to_json(result))
    found = {name: data[name] for name in ("rule", "findings", "artefacts", "model", "data", "title", "preface")}
    how = {name: value for name, value in data["provenance"].items() if name not in ("started", "seconds", "work")}
    how["config"] = {key: value for key, value in how["config"].items() if key != "execution"}  # workers are alike
    return found | {"provenance": how}
