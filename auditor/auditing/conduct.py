"""An audit on its way: run, kept as it grows, and published; and what has been audited, for those who call."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from auditor.auditing.audit import run_audit
from auditor.auditing.engine.units import Crew
from auditor.auditing.metering import Meter
from auditor.auditing.opening import NOTHING, Handed
from auditor.auditing.resuming import Keeping
from auditor.config.file import AuditConfig
from auditor.config.options import Function
from auditor.errors import AuditError, ConfigError, MethodError, ReportError
from auditor.measure.measurement import Note
from auditor.run.files import ARRAYS, BUNDLE, FOLDER, HASHES, REPORTS, RESULT, ROWS, write_files
from auditor.run.index import is_run_id
from auditor.run.limits import limited
from auditor.run.parts import tabulate
from auditor.run.result import AuditResult, WorkUnit
from auditor.run.shelf import Shelf
from auditor.run.store import Run, SavedRun, grow_run, record_files, save_run
from auditor.stores.address import Place, read_place
from auditor.verdict.record import Finding
from auditor.verdict.trial import Progress

if TYPE_CHECKING:
    import pandas

    from auditor.report.templates import OwnTemplates


@dataclass(frozen=True, eq=False)
class AuditedRun:
    """What an audit found, in memory or saved."""

    run: Run | SavedRun = field(repr=False)
    folder: Path | None = None
    """Where it is saved ..."""
    address: str = ""
    """... or, on a store, its address there."""
    files: list[str] = field(default_factory=list, repr=False)
    """What was written of it in its folder, for people and other tools, as far as it could be ..."""
    told: list[str] = field(default_factory=list, repr=False)
    """... and what came up meanwhile."""

    @property
    def result(self) -> AuditResult:
        """Everything that was found, as `result.json` has it."""
        return self.run.result

    @property
    def findings(self) -> list[Finding]:
        """A verdict on each artefact."""
        return self.result.findings

    @property
    def warnings(self) -> list[str]:
        """What a reader must know beside the verdicts."""
        return [*(warning.text for warning in self.result.warnings), *self.told]

    @property
    def exit_code(self) -> int:
        """As the command ends: 0 no evidence, 1 relies, 3 could not be completed, 4 inconclusive or not applicable.

        With a gate: 0 it passes, 1 a demand is broken, 4 one is open.
        """
        return self.result.final_code

    def to_pandas(self) -> pandas.DataFrame:
        """The findings, a row each, with the effect that each verdict was taken on."""
        return _pandas().DataFrame([_row(finding) for finding in self.findings])

    def rows(self) -> pandas.DataFrame:
        """The measurements per image behind the numbers."""
        saved = self.run.rows if isinstance(self.run, SavedRun) else tabulate(self.run.rows)
        return _pandas().DataFrame(saved.to_pydict())

    def save(self, reports: str | Path) -> AuditedRun:
        """Save the run into a new folder below `reports`, which may be the address of one on a store.

        Returns the saved run.

        Raises
        ------
        ReportError
            The folder cannot be written.
        StoreError
            The store does not take it.
        """
        if not isinstance(self.run, Run):
            raise ReportError(f"{self.folder}: saved already; copy the folder")
        shelf = Shelf(read_place(reports) if isinstance(reports, str) else reports)
        folder = save_run(self.run, shelf.folder)
        there = shelf.finish(folder)
        return AuditedRun(self.run, folder) if there is None else AuditedRun(self.run, address=str(there))

    def report(self, file: str | Path, *, pictures: Literal["all", "thumbnails", "none"] | None = None) -> Path:
        """Write the report as one file, `.html` or `.pdf` by its suffix; returns its path.

        Raises
        ------
        ReportError
            It cannot be drawn or written.
        """
        from auditor.report.write import draw_page

        file = Path(file)
        if file.suffix not in (".html", ".pdf"):
            raise ReportError(f"{file}: wanted a name that ends in .html or .pdf")
        name = "" if self.folder is None else self.folder.name
        write_files({file: draw_page(self.result, self.run.arrays, file.suffix[1:], run=name, pictures=pictures)})
        return file

    def _repr_html_(self) -> str:
        from auditor.report.notebook import show_run

        return show_run(self.result, self.run.arrays)


Tell = Callable[[AuditResult, Place | None], object]
"""Told of a result, and where it is saved."""


def conduct(
    config: AuditConfig,
    reports: Path | None,
    progress: Progress,
    *,
    told: Tell = lambda result, folder: None,
    handed: Handed = NOTHING,
    keeping: Keeping | None = None,
    meter: Meter | None = None,
    shelf: Shelf | None = None,
) -> AuditedRun:
    """Run an audit; keep it in a new folder below `reports` from the moment that there are verdicts.

    Parameters
    ----------
    told
        Called once, as soon as the verdicts are on the disk, with the result as it is then and the run's folder. Where
        they cannot be saved it is called all the same, without a folder, before the error is raised.
    keeping
        Where what is measured before is kept.
    meter
        Measures what each part costs.
    shelf
        What sends the run on, where `reports` is its folder.

    Raises
    ------
    AuditError
        There can be no verdicts, or the run cannot be saved.
    """
    shelf = shelf or Shelf(Path() if reports is None else reports)
    folder: Path | None = None

    def keep(run: Run) -> None:
        nonlocal folder
        if reports is None:
            return
        if folder is not None:
            grow_run(run, folder)
            shelf.send(folder)
            return
        try:
            folder = save_run(run, reports) if keeping is None else keeping.save(run)
        except ReportError:
            told(run.result, None)
            raise
        shelf.send(folder)
        told(run.result, shelf.where(folder))

    with _crew(config, handed) as crew:
        return AuditedRun(run_audit(config, progress, keep, handed, keeping, meter, crew), folder)


def _crew(config: AuditConfig, handed: Handed) -> AbstractContextManager[Crew | None]:
    """The workers that a configuration asks for, if it does."""
    if config.execution.engine == "local":
        return nullcontext()
    if handed != NOTHING:
        got = 'got "ray" beside a model or images that were handed in as objects'
        raise config.fault(("execution", "engine"), f"{got}; wanted files, which every worker can open")
    from auditor.auditing.engine.crew import open_crew

    return open_crew(config)


def publish(run: AuditedRun, config: AuditConfig, own: OwnTemplates) -> AuditedRun:
    """Write what a configuration wants of a saved run beside it, and renew the page of all runs.

    Returns the run as it is then. What a function of the user's makes comes first; where it fails that is said in the
    run, and so in its report.

    Raises
    ------
    ReportError
        The folder cannot be written, or a PDF not be made where no page was asked for.
    TemplateError
        A template of the user's cannot be drawn.
    """
    from auditor.auditing.suspect_files import write_looks
    from auditor.report.index_page import renew_index
    from auditor.report.presentable import configured_pictures
    from auditor.report.write import write_report

    folder = run.folder
    assert folder is not None
    built_in = [name for name in config.report.formats if name in REPORTS]
    exporters = {name: at for at, name in enumerate(config.report.formats) if name not in REPORTS}
    files: list[str] = []
    try:
        if run.result.suspects and configured_pictures(run.result) == "all":
            files += write_looks(run.result.suspects, run.run.arrays, folder)
        for name, at in exporters.items():
            run, file = _export(run, name, config.calls["report", "formats", at].function)
            files += file
        with limited(folder, own.folder) if own.files else nullcontext():  # what templates of others do, drawn here
            warnings = write_report(folder, built_in, own=own) if built_in else []
        record_files(folder, files)
    finally:  # the run stands, with its report or without
        of_index = renew_index(folder.parent)
    return replace(run, files=[*files, *(REPORTS[name] for name in built_in)], told=[*warnings, *of_index])


def _export(run: AuditedRun, name: str, function: Function) -> tuple[AuditedRun, list[str]]:
    """The run with what became of an exporter of the user's, and the file that it made, if it did."""
    assert isinstance(run.run, Run)
    assert run.folder is not None
    unit, files = WorkUnit(name, "done"), list[str]()
    try:
        made = function(run)
        if not (isinstance(made, tuple) and len(made) == 2 and isinstance(made[1], bytes)):
            raise TypeError(f"returned {type(made).__name__}, wanted a tuple of a file's name and its bytes")
        if not is_run_id(str(made[0])) or made[0] in {RESULT, ROWS, ARRAYS, HASHES, BUNDLE, FOLDER, *REPORTS.values()}:
            raise ValueError(f"returned the name {made[0]!r}, wanted that of a file of its own in the run's folder")
        write_files({run.folder / made[0]: made[1]})
        files = [made[0]]
    except (Exception, SystemExit) as fault:
        failure = MethodError(name, fault, traceback.format_exc())
        unit = WorkUnit(name, "error", failure.reason, failure.trace)
    result = replace(run.result, units=[*run.result.units, unit])
    if unit.status == "error":
        result = replace(
            result,
            exit_code=AuditError.exit_code,
            warnings=[*result.warnings, Note("failed", f"Export failed: {name}: {unit.reason}.")],
        )
    grown = replace(run.run, result=result)
    grow_run(grown, run.folder)
    return replace(run, run=grown), files


def _row(finding: Finding) -> dict[str, Any]:
    effect = finding.effect
    bounds = {name: np.nan if effect is None else getattr(effect, name) for name in ("value", "low", "high", "n")}
    return {
        "artefact": finding.artefact,
        "target": finding.target,
        "verdict": finding.verdict,
        "direction": finding.direction,
        "severity": finding.severity,
        "endpoint": finding.endpoint,
        **bounds,
        "margin": finding.margin,
        "reason": finding.reason,
    }


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise ConfigError("a table needs pandas: `pip install pandas`") from None
    return pandas
