"""The file of checks: which audits run by themselves, when, and who is told; read as an `audit.toml` is."""

from __future__ import annotations

import json
import re
import shlex
import zoneinfo
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import Field

from auditor.config.file import raise_faults, read_toml
from auditor.config.options import KeyPath, dotted, explain_faults, is_function_spec, suggest, to_json
from auditor.config.places import Place, nearest_place
from auditor.config.sections import Document, ExecutionConfig, GateConfig, WaiverConfig
from auditor.errors import ConfigError, OptionError
from auditor.stores.address import is_address, is_stored, read_path


def to_seconds(duration: str) -> float:
    """Seconds of a duration as it is written: `90s`, `45m`, `2h`, `1d`."""
    return float(duration[:-1]) * _UNITS[duration[-1]]


def _duration(written: str) -> str:
    if not (re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?[smhd]", written) and to_seconds(written) <= _LONGEST):
        raise ValueError('a duration such as "90s", "45m", "2h" or "1d", of a year at most')
    return written


def _positive(written: str) -> str:
    if to_seconds(written) <= 0:
        raise ValueError("a duration of more than nothing")
    return written


def _zone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError('a time zone such as "UTC" or "Europe/Berlin"') from None
    return name


def _path(written: str) -> str:
    if "\0" in written:  # no system has a file of that name
        raise ValueError("a path, which holds no NUL byte")
    return written


def _command(written: str) -> str:
    try:
        is_one = "\0" not in written and (not written or bool(shlex.split(written)))
    except ValueError:  # a quotation that does not end
        is_one = False
    if not is_one:
        raise ValueError("a command with its words, in which quotations end and no NUL byte is")
    return written


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 366 * 86400.0

_Name = Annotated[str, Field(min_length=1)]
_Path = Annotated[_Name, pydantic.AfterValidator(_path)]
_Command = Annotated[str, pydantic.AfterValidator(_command)]
_Duration = Annotated[str, pydantic.AfterValidator(_duration)]
_Positive = Annotated[_Duration, pydantic.AfterValidator(_positive)]


class _Section(pydantic.BaseModel):
    model_config = Document.model_config


class CheckConfig(_Section):
    """One check: an audit with a name."""

    name: _Name
    config: _Path = "audit.toml"
    """The configuration of the audit."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Keys of the configuration that are otherwise here; paths among them are relative to the file of checks."""
    watch: tuple[_Path, ...] = ()
    """Further files and folders that the audit depends on, where functions of the user's read them."""


class ScheduleConfig(_Section):
    """When the checks run by themselves."""

    cron: _Name
    """The five fields of a line of cron: minute, hour, day of the month, month, day of the week."""
    timezone: Annotated[_Name, pydantic.AfterValidator(_zone)] = "UTC"
    jitter: _Duration = "0s"
    """Each run begins up to so much later, so that many machines do not begin at once."""
    limit: _Positive = "1d"
    """A run of all checks that takes longer is ended."""
    seed: str = ""
    """What the jitter is drawn from, beside the time that the run is due; the name of the machine, where empty."""


class CheckWaiverConfig(WaiverConfig):
    """A waiver in a file of checks."""

    checks: tuple[_Name, ...] = ()
    """Only for these checks; where left out, for every check whose audit names the artefact."""


class GatedDocument(_Section):
    """What an audit must show to pass, and what is waived: the same keys in a file of checks and in an `audit.toml`."""

    gate: GateConfig | None = None
    waivers: tuple[WaiverConfig, ...] = ()


class ChecksDocument(GatedDocument):
    """The keys of a file of checks; its gate goes before those of the audits, its waivers beside theirs."""

    waivers: tuple[CheckWaiverConfig, ...] = ()

    checks: tuple[CheckConfig, ...] = ()
    models: Annotated[tuple[_Name, ...], Field(min_length=1)] | None = None
    """A check for each of these models with each of the `data`; as `model.source` of the `base`."""
    data: Annotated[tuple[_Name, ...], Field(min_length=1)] | None = None
    """As `data.source` of the `base`."""
    base: _Path = "audit.toml"
    watch: tuple[_Path, ...] = ()
    """As `watch` of a check, for all of them."""
    reports: _Path = "reports"
    """The folder of all runs, and of what is kept between checks."""
    limit: _Positive = "6h"
    """An audit that takes longer is ended."""
    notify: _Command = ""
    """A command that is given Markdown when the state of a check has changed."""
    schedule: ScheduleConfig | None = None
    execution: ExecutionConfig = ExecutionConfig()
    """Where the audits run: one after the other here, or all at once on a cluster, as one job."""


@dataclass(frozen=True)
class Cell:
    """One audit of the matrix."""

    name: str
    config: Path
    overrides: tuple[str, ...]
    """As `--set` takes them; paths among them are relative to the folder of the file of checks."""
    watch: tuple[Path, ...]
    model: str = ""
    """What its row of the matrix is called ..."""
    data: str = ""
    """... and its column; empty for a check that stands by itself."""


class ChecksConfig(ChecksDocument):
    """A whole file of checks, checked, with its cells in their order."""

    file: Path
    places: dict[KeyPath, Place] = Field(default_factory=dict, repr=False)
    cells: tuple[Cell, ...] = ()

    @property
    def folder(self) -> Path:
        """Where relative paths begin."""
        return self.file.parent

    def fault(self, path: KeyPath, message: str) -> ConfigError:
        """An error about the value of one key, with its place."""
        line, column = nearest_place(self.places, path)
        return ConfigError(f"{self.file}:{line}:{column}: {dotted(path)}: {message}", path)


def read_checks(file: Path) -> ChecksConfig:
    """Read and check a file of checks.

    Raises
    ------
    ConfigError
        The file is missing or wrong; all faults at once, a line each.
    """
    data, places = read_toml(file, "a file of checks")
    faults: dict[KeyPath, list[str]] = {}
    try:
        document = ChecksDocument.model_validate_json(to_json(data), strict=True)
    except pydantic.ValidationError as error:
        for path, message in explain_faults(error, ChecksDocument, data):
            faults.setdefault(path, []).append(message)
        raise_faults(file, places, faults, {})
        raise AssertionError("a fault of validation has a place") from None
    cells = []
    names = Counter[str]()
    for path, cell in _cells(document, file.parent):
        names[cell.name] += 1
        if names[cell.name] == 2:
            faults[path] = [f"got {cell.name!r} twice, wanted a name of its own for each check"]
        cells.append(cell)
    if is_stored(document.reports):
        why = "a store has no lock, which checks hold on to their record"
        faults["reports",] = [f"got {document.reports!r}, wanted a folder of this machine: {why}"]
    elif why_not := _why_no_path(document.reports):
        faults["reports",] = [why_not]
    if "base" in data and document.models is None and document.data is None:
        faults["base",] = ["has an effect only beside models or data; leave it out"]
    for number, waiver in enumerate(document.waivers):
        for at, name in enumerate(waiver.checks):
            if name not in names:
                told = f"got {name!r}, wanted the name of a check{suggest(name, list(names))}"
                faults["waivers", number, "checks", at] = [told]
    for path, name in _configs(document):
        if why_not := _why_no_path(name):
            faults[path] = [why_not]
        elif not (file.parent / name).is_file():
            faults[path] = [f"got {name!r}, wanted the configuration of an audit; {file.parent / name}: no such file"]
    raise_faults(file, places, faults, {})
    if not cells:
        raise ConfigError(f"{file}: got no check; wanted [[checks]], or models and data for a matrix of them")
    return ChecksConfig(**dict(document), file=file, places=places, cells=tuple(cells))


def _why_no_path(text: str) -> str:
    """Why a text is no path as it stands; empty where it is one."""
    try:
        read_path(text)
    except OptionError as fault:
        return fault.message
    return f"got {text!r}, wanted a path" if is_address(text) else ""


def checks_schema() -> dict[str, Any]:
    """JSON schema of a file of checks."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **ChecksDocument.model_json_schema()}


def _cells(document: ChecksDocument, folder: Path) -> Iterator[tuple[KeyPath, Cell]]:
    """Each check with the key that names it."""
    everywhere = tuple(folder / name for name in document.watch)
    for number, check in enumerate(document.checks):
        watch = (*everywhere, *(folder / name for name in check.watch))
        overrides = tuple(f"{key}={json.dumps(value)}" for key, value in _flat(check.set))
        yield ("checks", number, "name"), Cell(check.name, folder / check.config, overrides, watch)
    if document.models is None and document.data is None:
        return
    models, sets = _short(document.models), _short(document.data)
    for model, model_name in models:
        for data, data_name in sets:
            named = [("model.source", model), ("data.source", data)]
            overrides = tuple(f"{key}={json.dumps(value)}" for key, value in named if value)
            name = " on ".join(filter(None, (model_name, data_name)))
            cell = Cell(name, folder / document.base, overrides, everywhere, model_name, data_name)
            yield ("models" if model else "data",), cell


def _configs(document: ChecksDocument) -> Iterator[tuple[KeyPath, str]]:
    for number, check in enumerate(document.checks):
        yield ("checks", number, "config"), check.config
    if document.models is not None or document.data is not None:
        yield ("base",), document.base


def _flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _short(sources: tuple[str, ...] | None) -> list[tuple[str, str]]:
    """Each source with what it is called: the name of its file, where no other has the same."""
    if sources is None:
        return [("", "")]
    stems = [source if is_function_spec(source) else Path(source).stem or source for source in sources]
    return [(source, stem if stems.count(stem) == 1 else source) for source, stem in zip(sources, stems, strict=True)]
