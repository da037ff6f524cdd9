"""Reads `audit.toml` into a frozen `AuditConfig`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic
from pydantic import Field

from auditor.config.gate import find_unknown_artefacts
from auditor.config.options import (
    Call,
    Function,
    KeyPath,
    bind_options,
    dotted,
    explain_faults,
    import_function,
    is_function_spec,
    suggest,
    to_json,
)
from auditor.config.places import Place, find_places, nearest_place
from auditor.config.sections import ArtefactConfig, Document, GateConfig, MethodConfig
from auditor.errors import ConfigError, OptionError, StoreError
from auditor.stores.address import Place as Located
from auditor.stores.address import is_address, read_place, without_secrets
from auditor.stores.fetched import fetch, tell


class AuditConfig(Document):
    """A whole `audit.toml`, checked, with the file that it came from."""

    file: Path
    places: dict[KeyPath, Place] = Field(default_factory=dict, repr=False)
    overridden: dict[KeyPath, str] = Field(default_factory=dict, repr=False)
    """Keys whose values came from the command line, and the option that they came with."""
    calls: dict[KeyPath, Call] = Field(default_factory=dict, repr=False)
    """The functions of artefacts, methods, exporters and sections with their options, by the path of their keys."""

    def path(self, name: str, *key: str | int) -> Path:
        """The path that a key names, as `locate` finds it; of what lies on a store, that of a copy on the disk."""
        place = self.locate(name, *key)
        try:
            return place if isinstance(place, Path) else fetch(place)
        except StoreError as fault:
            raise StoreError(f"{self.place(*key)}: {dotted(key)}: {fault}") from None

    def locate(self, name: str, *key: str | int) -> Located:
        """What a key names: an address, or a path relative to the file's folder; on the command line to one's own."""
        if "\0" in name:  # no system has a file of that name
            raise self.fault(key, f"got {name!r}, which holds a NUL byte; wanted a path")
        try:
            if is_address(name):
                return read_place(name)
        except OptionError as fault:
            raise self.fault(key, fault.message) from None
        is_overridden = any(key[: len(path)] == path for path in self.overridden)
        return Path(name) if is_overridden else self.file.parent / name

    def place(self, *path: str | int) -> str:
        """Where a key stands, as `file:line:column`, or the option of the command line that it came with."""
        return _where(self.file, self.places, self.overridden, path)

    def fault(self, path: KeyPath, message: str) -> ConfigError:
        """An error about the value of one key, with its place."""
        return ConfigError(f"{self.place(*path)}: {dotted(path)}: {tell(message)}", path)

    def function(self, path: KeyPath, spec: str) -> Function:
        """The user's function that a `package.module:function` value names."""
        try:
            return import_function(spec, self.file.parent)
        except OptionError as error:
            raise self.fault(path, error.message) from None

    def echo(self) -> dict[str, Any]:
        """The configuration as plain data, for the record of the run; every default is spelt out."""
        return self.model_dump(mode="json", exclude={"file", "places", "overridden", "calls"})


def read_config(
    file: Path,
    overrides: tuple[str, ...] = (),
    *,
    kinds: Mapping[str, Function],
    methods: Mapping[str, Function],
) -> AuditConfig:
    """Read and check an `audit.toml`.

    Parameters
    ----------
    overrides
        `KEY=VALUE` with a dotted key; the value is read as TOML, or else as a plain string. A path among them is
        relative to the current folder, not to that of the file.
    kinds, methods
        The functions whose keyword-only parameters are the options of artefact kinds and methods.

    Raises
    ------
    ConfigError
        The file is missing or wrong; all faults at once, a line each.
    """
    data, places = read_toml(file)
    overridden = dict.fromkeys((override(data, item) for item in overrides), "--set")
    return check_config(data, file, places, overridden, kinds=kinds, methods=methods)


def read_toml(file: Path, wanted: str = "the configuration of an audit") -> tuple[dict[str, Any], dict[KeyPath, Place]]:
    """Read a TOML file, with the place of every key; `wanted` says what it would be, where it is missing.

    Raises
    ------
    ConfigError
        It is missing, too large or no TOML.
    """
    text = _read_text(file, wanted)
    if any(line.count(".") > _MOST_DOTS for line in text.splitlines()):  # a reader takes the square of their number
        raise ConfigError(f"{file}: a line has more than {_MOST_DOTS} dots; wanted keys of a few parts")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        line, column, message = _syntax_fault(text, fault)
        raise ConfigError(f"{file}:{line}:{column}: not TOML: {message}") from None
    except RecursionError:
        raise ConfigError(f"{file}: cannot be read: it nests without end") from None
    except ValueError as fault:  # a number of too many digits
        raise ConfigError(f"{file}: cannot be read: {fault}") from None
    return data, find_places(text)


def raise_faults(
    file: Path,
    places: dict[KeyPath, Place],
    faults: Mapping[KeyPath, list[str]],
    overridden: dict[KeyPath, str],
) -> None:
    """Raise one error for all faults of a file, a line each in the order of the file; nothing where there are none.

    Raises
    ------
    ConfigError
        There are some.
    """
    lines = []
    for path, messages in faults.items():
        line, _ = nearest_place(places, path)
        where = _where(file, places, overridden, path)
        lines += [(line, f"{where}: {dotted(path)}: {without_secrets(message)}") for message in messages]
    if lines:
        raise ConfigError("\n".join(message for _, message in sorted(lines, key=lambda item: item[0])))


def check_config(
    data: dict[str, Any],
    file: Path,
    places: dict[KeyPath, Place],
    overridden: dict[KeyPath, str],
    *,
    kinds: Mapping[str, Function],
    methods: Mapping[str, Function],
) -> AuditConfig:
    """Check the values of a configuration, wherever they came from.

    Parameters
    ----------
    file
        Paths are relative to its folder, and functions are found there.
    overridden
        Keys that came otherwise, and what to name as their place; the empty key stands for all of them.

    Raises
    ------
    ConfigError
        All faults at once, a line each.
    """
    faults = {path: [message] for path, message in _rename_methods(data)}
    places = {_today(path): place for path, place in places.items()}
    overridden = {_today(path): option for path, option in overridden.items()}
    calls, wrong = _bind_calls(data, file.parent, kinds, methods)
    config = None
    try:
        document = Document.model_validate_json(to_json(data), strict=True)
        config = AuditConfig(**dict(document), file=file, places=places, overridden=overridden, calls=calls)
        wrong += _wrong_addresses(document)
        wrong += find_unknown_artefacts(document.gate or GateConfig(), [each.name for each in document.artefacts])
    except pydantic.ValidationError as error:
        for path, message in explain_faults(error, Document, data):
            faults.setdefault(path, []).append(message)
    for path, message in wrong:
        faults.setdefault(path, []).append(message)
    raise_faults(file, places, faults, overridden)
    assert config is not None
    return config


def override(data: dict[str, Any], item: str) -> KeyPath:
    """Change one key of the data as `KEY=VALUE` says; returns its path.

    Raises
    ------
    ConfigError
        It is no `KEY=VALUE`, or leads to no key.
    """
    key, equals, value = item.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts):
        raise ConfigError(f"--set {item}: got no KEY=VALUE, wanted for example --set verdict.margin=0.5")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    path: KeyPath = tuple(int(part) if part.isdigit() else part for part in parts)
    node: Any = data
    for position, part in enumerate(path):
        is_last = position == len(path) - 1
        if isinstance(node, list) and isinstance(part, int) and part < len(node):
            if is_last:
                node[part] = parsed
            else:
                node = node[part]
        elif isinstance(node, dict):
            if is_last:
                node[str(part)] = parsed
            else:
                node = node.setdefault(str(part), {})
        else:
            raise ConfigError(f"--set {item}: {dotted(path[: position + 1])} is no key of the configuration")
    return path


def config_schema() -> dict[str, Any]:
    """JSON schema of `audit.toml`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Document.model_json_schema()}


_MOST_BYTES = 256 * 2**10
"""Of a configuration; that of many artefacts has ten thousand."""

_MOST_DOTS = 200
"""In one line."""

_RENAMED = {"activation_maximisation": "optima", "contrastive": "errors"}
"""Methods by the names that they had, which files may still use."""


def _today(path: KeyPath) -> KeyPath:
    """A key path with the name that its method has today."""
    is_old = len(path) > 1 and path[0] == "methods" and path[1] in _RENAMED
    return ("methods", _RENAMED[str(path[1])], *path[2:]) if is_old else path


def _rename_methods(data: dict[str, Any]) -> list[tuple[KeyPath, str]]:
    """Give methods the names that they have today; faults where a file names one of them twice."""
    methods = data.get("methods")
    if not isinstance(methods, dict):
        return []
    twice = [(old, new) for old, new in _RENAMED.items() if old in methods and new in methods]
    data["methods"] = {_RENAMED.get(name, name): options for name, options in methods.items()}
    return [(("methods", new), f"{old} is the old name of {new}; got both, wanted one") for old, new in twice]


def _wrong_addresses(document: Document) -> list[tuple[KeyPath, str]]:
    """What is wrong with the addresses that a document names: of no known kind, or with a secret in them."""
    named: dict[KeyPath, Any] = {
        ("model", "source"): document.model.source,
        ("model", "labels"): document.model.labels,
        ("model", "weights"): document.model.weights,
        ("data", "source"): document.data.source,
        ("data", "root"): document.data.root,
        ("report", "output"): document.report.output,
    }
    for number, artefact in enumerate(document.artefacts):
        options = artefact.options | {"controls": artefact.controls, "variants": artefact.variants}
        named |= {("artefacts", number, name): value for name, value in options.items()}
    faults = []
    for path, value in named.items():
        for text in value if isinstance(value, (list, tuple)) else [value]:
            try:
                if isinstance(text, str) and is_address(text):
                    read_place(text)
            except OptionError as error:
                faults.append((path, error.message))
    return faults


def _bind_calls(
    data: dict[str, Any], folder: Path, kinds: Mapping[str, Function], methods: Mapping[str, Function]
) -> tuple[dict[KeyPath, Call], list[tuple[KeyPath, str]]]:
    """Every function that the data name, by the path of its section; and what is wrong with them and their options."""
    calls: dict[KeyPath, Call] = {}
    faults: list[tuple[KeyPath, str]] = []

    def bind(path: KeyPath, name: str, known: Mapping[str, Function], options: dict[str, Any], *key: str) -> None:
        """`key` is where in the section the name of the function stands."""
        try:
            if name not in known and not is_function_spec(name):
                what = {"artefacts": "kind", "methods": "method"}[str(path[0])]
                shown = f"{what} {name!r}" if key else what
                raise OptionError("", f"unknown {shown}{suggest(name, [*known, 'package.module:function'])}")
            calls[path], wrong = bind_options(known.get(name) or import_function(name, folder), options)
            faults.extend(((*path, *inner), message) for inner, message in wrong)
        except OptionError as error:
            faults.append(((*path, *key), error.message))

    report, sections, entries = data.get("report"), data.get("methods"), data.get("artefacts")
    sections = sections if isinstance(sections, dict) else {}
    for name in {**methods, **sections}:
        section = sections.get(name, {})
        own = {} if not isinstance(section, dict) else _without(section, MethodConfig)
        bind(("methods", name), name, methods, own)
    for key in ("formats", "sections"):
        names = report.get(key) if isinstance(report, dict) else None
        for index, name in enumerate(names if isinstance(names, list) else []):
            if isinstance(name, str) and is_function_spec(name):
                bind(("report", key, index), name, {}, {})
    seen: set[str] = set()
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        if not isinstance(entry, dict):
            continue
        name, kind = str(entry.get("name")), entry.get("kind")
        if "name" in entry and name in seen:
            twice = f"got {name!r} twice, wanted a name of its own for each artefact"
            faults.append((("artefacts", index, "name"), twice))
        seen.add(name)
        if isinstance(kind, str):
            bind(("artefacts", index), kind, kinds, _without(entry, ArtefactConfig), "kind")
    return calls, faults


def _without(section: dict[str, Any], schema: type[pydantic.BaseModel]) -> dict[str, Any]:
    """The options of a section: what are no keys of its own."""
    return {key: value for key, value in section.items() if key not in schema.model_fields}


def _where(file: Path, places: dict[KeyPath, Place], overridden: dict[KeyPath, str], path: KeyPath) -> str:
    """Where the value of a key came from; a key that stands nowhere in the file may have come with an override."""
    for key, option in overridden.items():
        if path[: len(key)] == key or (key[: len(path)] == path and path not in places):
            return option
    line, column = nearest_place(places, path)
    return f"{file}:{line}:{column}"


def _read_text(file: Path, wanted: str) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ConfigError(f"{file}: too large; wanted {_MOST_BYTES >> 10} KiB at most")
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such file; wanted {wanted}") from None
    except OSError as fault:
        raise ConfigError(f"{file}: cannot be read: {fault.strerror or fault}") from None
    except UnicodeDecodeError as fault:
        before = fault.object[: fault.start]
        line, column = before.count(b"\n") + 1, fault.start - before.rfind(b"\n")
        got = f"byte 0x{fault.object[fault.start]:02x}"
        raise ConfigError(f"{file}:{line}:{column}: not UTF-8 text: got {got}; save the file as UTF-8") from None


def _syntax_fault(text: str, fault: tomllib.TOMLDecodeError) -> tuple[int, int, str]:
    found = re.search(r"^(.*) \(at line (\d+), column (\d+)\)$", str(fault), re.DOTALL)
    if found:
        return int(found[2]), int(found[3]), found[1]
    return text.count("\n") + 1, 1, str(fault)
