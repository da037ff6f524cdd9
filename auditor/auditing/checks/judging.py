"""What a check is judged by: the gate of its file or else of its audit, the waivers of both, and accepted runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pydantic

from auditor.auditing.checks.hashing import Hashes
from auditor.config.checks import Cell, ChecksConfig, GatedDocument
from auditor.config.file import override, raise_faults, read_toml
from auditor.config.options import KeyPath, explain_faults, to_json
from auditor.config.places import Place, nearest_place
from auditor.config.sections import GateConfig, WaiverConfig
from auditor.errors import ConfigError, DataError, ReportError
from auditor.run.accepted import Acceptance, accepted_runs, read_accepted
from auditor.run.checked import CODES, CheckRecord, State, worst_first
from auditor.run.files import REPORTS
from auditor.run.index import enter_run
from auditor.run.ruling import GateRecord
from auditor.run.store import SavedRun


@dataclass(frozen=True)
class Judging:
    """What a check is judged by."""

    gate: GateConfig | None
    """None where nothing is configured, nor waived: the verdicts decide."""
    waivers: list[WaiverConfig]
    places: list[str]
    """Where each waiver stands."""
    today: date
    digest: str
    """It changes with the gate, with what was accepted and its files, and on the day that a waiver expires."""


def read_cell(cell: Cell) -> tuple[dict[str, Any], dict[KeyPath, Place]]:
    """The data that a cell's audit is configured by, and the places of their keys.

    Raises
    ------
    ConfigError
        The file is no TOML, or an override leads to no key.
    """
    data, places = read_toml(cell.config)
    for item in cell.overrides:
        override(data, item)
    return data, places


def read_judging(
    cell: Cell,
    config: ChecksConfig,
    data: Mapping[str, Any],
    places: dict[KeyPath, Place],
    today: date,
    hashes: Hashes,
) -> Judging:
    """What a cell is judged by, from the data of its configuration and the places of their keys.

    Raises
    ------
    ConfigError
        The gate or the waivers there are wrong.
    ReportError
        It cannot be read what was accepted.
    """
    own = _read_gated(cell.config, data, places)
    section = config.gate or own.gate
    held: list[tuple[WaiverConfig, str]] = [
        (waiver, _place(config.file, config.places, number))
        for number, waiver in enumerate(config.waivers)
        if cell.name in waiver.checks or (not waiver.checks and waiver.artefact in _name_artefacts(data))
    ]
    held += [(waiver, _place(cell.config, places, number)) for number, waiver in enumerate(own.waivers)]
    waivers = [WaiverConfig(**waiver.model_dump(include=set(WaiverConfig.model_fields))) for waiver, _ in held]
    reports = config.folder / config.reports
    accepted = {each.key: each for each in read_accepted(reports)}  # the last of each key counts
    if section is None and waivers:
        section = GateConfig()
    if section is not None and not section.accepted and cell.name in accepted:
        section = section.model_copy(update={"accepted": cell.name})
    parts = [
        None if section is None else section.model_dump(mode="json"),
        [waiver.model_dump(mode="json") | {"expired": waiver.expires < today} for waiver in waivers],
        [(key, each.digest, *_look_at(each, reports, hashes)) for key, each in accepted.items()],
    ]
    return Judging(section, waivers, [place for _, place in held], today, json.dumps(parts))


def tell_idle_waivers(config: ChecksConfig) -> list[str]:
    """Of each waiver for an artefact that no check has, that it waives nothing."""
    unknown = {number: waiver for number, waiver in enumerate(config.waivers) if not waiver.checks}
    for cell in config.cells if unknown else ():
        with suppress(ConfigError):  # that is told of the check itself
            named = _name_artefacts(read_cell(cell)[0])
            unknown = {number: waiver for number, waiver in unknown.items() if waiver.artefact not in named}
    return [
        f"{_place(config.file, config.places, number)}: the waiver of {waiver.owner} for {waiver.artefact} waives "
        "nothing: no check has an artefact of that name"
        for number, waiver in unknown.items()
    ]


def judge(record: CheckRecord, folder: Path, judging: Judging) -> CheckRecord:
    """A check's record as its run is judged; what the gate says is put into the run, and its reports are drawn anew.

    Raises
    ------
    ReportError
        The run is damaged.
    """
    run = SavedRun(folder)
    entry = enter_run(folder.name, run.result, 0)
    record = replace(record, run=folder.name, audited=entry.started, outcomes=entry.outcomes)
    code, reason, waived, is_warned = run.result.exit_code, _say(record), list[str](), False
    if judging.gate is not None and code != ReportError.exit_code:
        from auditor.run.gate import judge_run, make_gate  # a second of imports, and mostly nothing changed

        gate = make_gate(judging.gate, judging.waivers, judging.places)
        said = judge_run(run, folder.parent, gate, judging.today)
        code, is_warned = said.exit_code, said.state == "warn"
        waived = [ruling.sentence for ruling in said.rulings if ruling.is_waived]
        if code or is_warned:
            reason = said.rulings[0].sentence
        if run.result.gate != said:
            _show(folder, said)
    state: State = "warn" if is_warned and not code else _STATES[code]
    return replace(record, state=state, reason=reason, waived=waived)


def _read_gated(file: Path, data: Mapping[str, Any], places: dict[KeyPath, Place]) -> GatedDocument:
    """The gate and the waivers of an `audit.toml`, of which nothing else is looked at."""
    part = {key: data[key] for key in GatedDocument.model_fields if key in data}
    try:
        return GatedDocument.model_validate_json(to_json(part), strict=True)
    except pydantic.ValidationError as error:
        faults: dict[KeyPath, list[str]] = {}
        for path, message in explain_faults(error, GatedDocument, part):
            faults.setdefault(path, []).append(message)
        raise_faults(file, places, faults, {})
        raise AssertionError("a fault of validation has a place") from None


def _look_at(acceptance: Acceptance, reports: Path, hashes: Hashes) -> list[str]:
    """What the files of an accepted run hold, or why they cannot be read: that it changed must not go unseen."""
    try:
        return [hashes.of(reports / acceptance.run / name) for name in acceptance.files]
    except DataError as fault:
        return [str(fault)]


def _name_artefacts(data: Mapping[str, Any]) -> list[str]:
    """The names of the artefacts that a configuration holds, which may be wrong in any way."""
    entries = data.get("artefacts")
    return [str(entry.get("name")) for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _place(file: Path, places: dict[KeyPath, Place], number: int) -> str:
    line, column = nearest_place(places, ("waivers", number))
    return f"{file.name}:{line}:{column}"


def _show(folder: Path, said: GateRecord) -> None:
    """Put what the gate says into a run and its reports; one that was accepted stays as it is."""
    if folder.name in accepted_runs(folder.parent):
        return
    from auditor.report.write import write_report
    from auditor.run.gate import keep_gate

    keep_gate(folder, said)
    drawn = [name for name, file in REPORTS.items() if (folder / file).is_file()]
    if drawn:
        write_report(folder, drawn)


def _say(record: CheckRecord) -> str:
    """What was found, the worst of it, in a line."""
    found = worst_first(record.outcomes)
    if not found:
        return "no artefact is named"
    first = found[0]
    direction = f" ({first.direction})" if first.direction else ""
    severity = f", severity {first.severity}" if first.severity not in (None, "none") else ""
    more = f"; {len(found) - 1} more" if len(found) > 1 else ""
    return f"{first.artefact} -> {first.target or 'every class'}: {first.told}{direction}{severity}{more}"


_STATES = {code: state for state, code in CODES.items() if state != "warn"}
