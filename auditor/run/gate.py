"""The gate: from a run, the demands of a configuration and the accepted run to a `GateRecord`. Who calls it:

    gate = read_gate(config)                     of an `audit.toml`; `make_gate` of the sections of another file
    record = judge_run(run, reports, gate, day)  finds the accepted run, too; what is wrong with it is in the record
    record = judge_gate(run, find_accepted(reports, key), gate, day)                              the same by hand
    keep_gate(folder, record)                    puts it into a saved run, for its report and for other tools

`record.exit_code` is what a command ends with, and `AuditResult.final_code` knows it. 3 is never a gate's to change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Literal

import pydantic

from auditor.config.file import AuditConfig
from auditor.config.gate import PRESETS
from auditor.config.sections import Demand, GateConfig, Level, WaiverConfig
from auditor.errors import AuditError, ReportError
from auditor.run.accepted import accepted_runs, find_accepted, key_of
from auditor.run.evidence import Evidence
from auditor.run.files import RESULT, write_files
from auditor.run.metrics import judge_limit, judge_tolerance
from auditor.run.paired import Pairing
from auditor.run.result import AuditResult, result_to_json
from auditor.run.ruling import GateRecord, Ruling, Waived, is_new_reliance, question_of, say_verdict, subject_of
from auditor.run.store import Run, SavedRun, record_files
from auditor.stores.fetched import tell
from auditor.verdict.record import Finding


@dataclass(frozen=True)
class Waiver:
    """A demand that is not made of one artefact for some time."""

    artefact: str
    target: str | None
    owner: str
    reason: str
    expires: date
    place: str
    """Where it stands: `audit.toml:20:1`."""


@dataclass(frozen=True)
class Gate:
    """What an audit must show to pass, with the preset's demands spelt out."""

    preset: str
    levels: dict[str, Level]
    """By verdict; and `unaccepted`, for that there is no accepted run."""
    demands: tuple[Demand, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    accepted: str = ""
    """The name that the accepted run has; empty for that of the model and the data."""

    @property
    def compares(self) -> bool:
        """Whether it asks for an accepted run."""
        told = {self.levels["newly_relies"], self.levels["unaccepted"]}
        return told != {"off"} or any(
            demand.tolerance is not None or demand.verdict == "newly_relies" for demand in self.demands
        )


def read_gate(config: AuditConfig) -> Gate | None:
    """The gate of an `audit.toml`; None where it has none. Waivers alone are waivers of the preset `verdicts`."""
    if config.gate is None and not config.waivers:
        return None
    places = [config.place("waivers", number) for number in range(len(config.waivers))]
    return make_gate(config.gate or GateConfig(), config.waivers, places)


def make_gate(section: GateConfig, waivers: Sequence[WaiverConfig] = (), places: Sequence[str] = ()) -> Gate:
    """A gate from the sections of a configuration.

    Parameters
    ----------
    places
        Where each waiver stands, as its sentence tells it.
    """
    preset = PRESETS[section.preset]
    levels = {name: getattr(section, name) or getattr(preset, name) for name in _LEVELS}
    told = [*places, *("waivers" for _ in waivers[len(places) :])]
    held = [Waiver(**dict(waiver), place=place) for waiver, place in zip(waivers, told, strict=True)]
    return Gate(section.preset, levels, preset.demands + section.demands, tuple(held), section.accepted)


def recorded_gate(result: AuditResult) -> Gate | None:
    """The gate that a run was audited with; None where it had none.

    Raises
    ------
    ReportError
        The run's configuration is none of this version.
    """
    section, waivers = (result.provenance.config.get(name) for name in ("gate", "waivers"))
    if section is None and not waivers:
        return None
    try:
        held = [WaiverConfig.model_validate(waiver) for waiver in waivers or []]
        return make_gate(GateConfig.model_validate(section or {}), held)
    except (pydantic.ValidationError, TypeError):
        raise ReportError("result.json: provenance.config.gate: is none of this version") from None


def judge_run(run: Run | SavedRun, reports: Path | None, gate: Gate, today: date) -> GateRecord:
    """What the gate says of a run beside the accepted one among `reports`; what is wrong with that one is a ruling."""
    if reports is None or not gate.compares:
        return judge_gate(run, None, gate, today)
    try:
        accepted = find_accepted(reports, gate.accepted or key_of(run.result))
    except ReportError as fault:
        return judge_gate(run, None, gate, today, fault=tell(str(fault)))
    return judge_gate(run, accepted, gate, today)


def judge_gate(
    run: Run | SavedRun, accepted: SavedRun | None, gate: Gate, today: date, *, fault: str = ""
) -> GateRecord:
    """What the gate says of a run.

    Parameters
    ----------
    accepted
        The run to compare with, if there is one.
    fault
        Why it cannot be used; the gate then fails with 3, and judges all that needs no other run.
    """
    result = run.result
    if accepted is not None and not fault:
        fault = tell(_misfit(result, accepted))
    rulings = list(_rule_on_audit(result, fault))
    usable = None if fault else accepted
    if usable is None and not fault and gate.compares and gate.levels["unaccepted"] != "off":
        told = "No run was accepted to compare with; `auditor accept RUN --reason ..` accepts one."
        rulings.append(Ruling("accepted", None, None, "open", gate.levels["unaccepted"], told))
    rulings += _rule_on_verdicts(result, usable, gate)
    rulings += _rule_on_metrics(run, usable, gate)
    rulings = [_waive(ruling, gate.waivers, today) for ruling in rulings]
    rulings += _idle_waivers(rulings, result, gate.waivers, today)
    rulings.sort(key=lambda ruling: (_ORDER.index(ruling.counts), _STATES.index(ruling.state)))
    code = _code(rulings)
    state: Literal["pass", "warn", "error"] = "error" if code else rulings[0].counts if rulings else "pass"
    return GateRecord(state, code, gate.preset, today.isoformat(), usable.folder.name if usable else None, rulings)


def keep_gate(folder: Path, record: GateRecord) -> None:
    """Put what the gate says into a saved run, whose report then shows it.

    Raises
    ------
    ReportError
        The run is damaged or cannot be written; or it was accepted, and stays as it is.
    """
    if folder.absolute().name in accepted_runs(folder.absolute().parent):
        raise ReportError(f"{folder}: was accepted, and stays as it was then")
    result = replace(SavedRun(folder).result, gate=record)
    write_files({folder / RESULT: result_to_json(result).encode()})
    record_files(folder, [RESULT])


def _misfit(result: AuditResult, accepted: SavedRun) -> str:
    """Why the accepted run cannot be compared with; empty where it can."""
    try:
        before = accepted.result
    except ReportError as fault:
        return str(fault)
    if before.model.classes != result.model.classes:
        old, new = (f"{len(each.model.classes)} classes" for each in (before, result))
        told = f"{old}, and this run {new}" if old != new else "other classes than this run"
        return f"{accepted.folder}: the accepted run has {told}"
    return ""


def _rule_on_audit(result: AuditResult, fault: str) -> Iterator[Ruling]:
    if result.exit_code == AuditError.exit_code:
        errors = [finding.reason for finding in result.findings if finding.verdict == "error"]
        told = errors[0] if errors else "A part of it failed or is missing; the warnings say which."
        yield Ruling("audit", None, None, "failed", "error", f"The audit could not be completed. {told}")
    if fault:
        yield Ruling("accepted", None, None, "failed", "error", fault)


def _rule_on_verdicts(result: AuditResult, accepted: SavedRun | None, gate: Gate) -> Iterator[Ruling]:
    before = {} if accepted is None else {question_of(each): each for each in accepted.result.findings}
    for finding in result.findings:
        level = _level(gate, finding.verdict, finding)
        if level != "off":
            state: Literal["broken", "open"] = "broken" if finding.verdict == "relies" else "open"
            yield Ruling(finding.verdict, *subject_of(finding), state, level, finding.reason)
        level = _level(gate, "newly_relies", finding)
        old = before.get(question_of(finding))
        if level != "off" and is_new_reliance(old, finding):
            was = "not audited" if old is None else say_verdict(old)
            why = "no run was accepted" if accepted is None else f"in the accepted run it was {was}"
            told = f"This reliance is new: {why}. {finding.reason}"
            yield Ruling("newly_relies", *subject_of(finding), "broken", level, told)
    level = gate.levels["not_applicable"]
    suspects = {suspect.name for suspect in result.suspects}
    if all(finding.artefact in suspects for finding in result.findings) and level != "off":
        told = "No artefact is named, so there was nothing to decide on but suspects that the audit found itself."
        yield Ruling("not_applicable", None, None, "open", level, told)


def _level(gate: Gate, verdict: str, finding: Finding) -> Level:
    """What a verdict on a finding means; an error is the audit's, and fails it anyway."""
    fitting = [demand.level for demand in gate.demands if demand.verdict == verdict and _fits(demand, finding)]
    return fitting[-1] if fitting else gate.levels.get(verdict, "off")


def _rule_on_metrics(run: Run | SavedRun, accepted: SavedRun | None, gate: Gate) -> Iterator[Ruling]:
    asked = list(_metrics_asked(run.result, gate))
    for demand, finding in asked:
        ruling = judge_limit(demand, run.result, finding) if demand.tolerance is None else None
        if ruling is not None:
            yield ruling
    if accepted is None:
        return
    compared = [(demand, finding) for demand, finding in asked if demand.tolerance is not None]
    before = {question_of(finding): finding for finding in accepted.result.findings}
    evidence = Evidence(accepted)
    try:
        _ = evidence.names if compared else None
    except ReportError as fault:
        yield Ruling("accepted", None, None, "failed", "error", str(fault))
        return
    pairing = Pairing(evidence, Evidence(run), len(compared))
    for demand, finding in compared:
        ruling = judge_tolerance(demand, pairing, before.get(question_of(finding)) if finding else None, finding)
        if ruling is not None:
            yield ruling
    gone = before.keys() - {question_of(finding) for finding in run.result.findings}
    level = gate.levels["unaccepted"]
    if level != "off":
        told = "The accepted run has a finding on this, and this run has none."
        yield from (Ruling("accepted", *subject, "open", level, told) for subject in sorted(gone, key=str))


def _metrics_asked(result: AuditResult, gate: Gate) -> Iterator[tuple[Demand, Finding | None]]:
    """Every demand on a metric with the finding that it is made of; of those on one thing the last."""
    tried = [finding for finding in result.findings if finding.verdict != "error"]
    for finding in [*tried, None]:
        asked: dict[tuple[str, bool], Demand] = {}
        for demand in gate.demands:
            is_of_audit = demand.metric == "accuracy"
            if demand.metric and (finding is None) == is_of_audit and (finding is None or _fits(demand, finding)):
                asked[demand.metric, demand.tolerance is None] = demand
        yield from ((demand, finding) for demand in asked.values() if (demand.level, demand.open) != ("off", "off"))


def _fits(demand: Demand, finding: Finding) -> bool:
    return demand.artefact in (None, finding.artefact) and demand.target in (None, finding.target)


def _waive(ruling: Ruling, waivers: Sequence[Waiver], today: date) -> Ruling:
    """The ruling with the waiver that is on its artefact, one that holds before one that has expired."""
    fitting = [waiver for waiver in waivers if _is_about(waiver, ruling)]
    if ruling.state in ("kept", "failed") or not fitting:
        return ruling
    waiver = max(fitting, key=lambda each: each.expires)
    days = (today - waiver.expires).days
    waived = Waived(waiver.owner, waiver.reason, waiver.expires.isoformat(), days > 0)
    told = f"Waived by {waiver.owner} until {waived.expires}: {waiver.reason.rstrip('.')}."
    if waived.is_expired:
        told = f"The waiver of {waiver.owner} expired {days} {'day' if days == 1 else 'days'} ago, on {waived.expires}."
    return replace(ruling, sentence=f"{ruling.sentence} {told}", waiver=waived)


def _is_about(waiver: Waiver, ruling: Ruling) -> bool:
    return waiver.artefact == ruling.artefact and waiver.target in (None, ruling.target)


def _idle_waivers(
    rulings: Sequence[Ruling], result: AuditResult, waivers: Sequence[Waiver], today: date
) -> Iterator[Ruling]:
    """A warning for each waiver that waives nothing."""
    known = {finding.artefact for finding in result.findings}
    for waiver in waivers:
        if any(ruling.waiver is not None and _is_about(waiver, ruling) for ruling in rulings):
            continue
        target = f" → {waiver.target}" if waiver.target else ""
        why = "every demand on it is kept" if waiver.artefact in known else "no artefact of that name was audited"
        told = f"{waiver.place}: the waiver of {waiver.owner} for {waiver.artefact}{target} waives nothing: {why}."
        yield Ruling("waiver", waiver.artefact, waiver.target, "open", "warn", told)


def _code(rulings: Sequence[Ruling]) -> int:
    states = {ruling.state for ruling in rulings if ruling.counts == "error"}
    return next((code for state, code in _CODES.items() if state in states), 0)


_LEVELS = ("relies", "newly_relies", "inconclusive", "not_applicable", "unaccepted")

_ORDER = ("error", "warn", "pass")

_CODES = {"failed": 3, "broken": 1, "open": 4}

_STATES = (*_CODES, "kept")
