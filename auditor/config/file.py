"""Reads `audit.toml` into a frozen `AuditConfig`; the only place for defaults of the audit itself."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from auditor.config.options import (
    Function,
    KeyPath,
    dotted,
    explain_faults,
    find_option_faults,
    import_function,
    is_function_spec,
    suggest,
    to_json,
)
from auditor.config.places import Place, find_places, nearest_place
from auditor.errors import ConfigError, OptionError

_Name = Annotated[str, Field(min_length=1)]
_Format = Literal["html", "pdf", "junit", "sarif", "markdown"]
_Fill = Literal["mean", "blur", "inpaint"]


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


class ModelConfig(_Section):
    """The classifier to audit."""

    source: _Name
    """A `.keras` or `.h5` file, the folder of a SavedModel, `keras.applications:NAME`, or `package.module:function`
    returning a Keras model."""
    labels: str | tuple[_Name, ...] | None = None
    """A text file with a class name per line, the names themselves, or `imagenet` for the 1000 classes of ImageNet-1k;
    without it classes are called by their number."""
    preprocess: _Name = "none"
    """`package.module:function`, applied to float images in [0, 255]; or `none`, and pixels are fed to the model in the
    range that `input_range` or the model's own Rescaling or Normalization tells."""
    input_range: tuple[float, float] | None = None
    """The pixel range that the model expects, for example [0, 1]; needed where the model does not tell it."""
    output: Literal["auto", "softmax", "binary", "multilabel"] = "auto"
    weights: _Name | None = None
    """Of a model of `keras.applications`: a `.weights.h5`, `.h5` or `.keras` file, or `imagenet`, which is fetched."""
    signature: _Name = "serving_default"
    """Of a SavedModel: the signature to audit, one image in and the scores of the classes out."""
    trust: bool = False
    """Load layers that carry Python code (Lambda), and SavedModels whose operations may reach files, the network or
    Python. Only for a model whose origin you trust."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 64

    @pydantic.field_validator("input_range")
    @classmethod
    def _rises(cls, limits: tuple[float, float] | None) -> tuple[float, float] | None:
        if limits is not None and limits[0] >= limits[1]:
            raise ValueError("the lower end first, then the higher")
        return limits


class DataConfig(_Section):
    """The images to audit with."""

    source: _Name
    """An `.npz`, a `.csv` or `.parquet` manifest, a folder of pictures, or `package.module:function`."""
    limit: Annotated[int, Field(ge=1)] | Literal["all"] = 500
    """Size of the seeded, class-balanced sample, or `all`."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    fit: Literal["exact", "resize", "crop"] = "exact"
    """What to do with images of another size than the model's: refuse, resize, or resize and crop the centre."""
    max_corrupt: Annotated[float, Field(ge=0, le=1)] = 0.05
    """A larger share of unreadable images ends the audit."""


class ArtefactConfig(_Section):
    """One suspected shortcut; further keys are the options of its kind."""

    model_config = pydantic.ConfigDict(extra="allow")

    name: _Name
    kind: _Name
    target: _Name | None = None
    present: _Name = "none"
    """Which images carry it already: `none`, `all`, `class:NAME`, or an array of the npz or a column of the manifest
    that says so of each."""
    controls: tuple[_Name, ...] = ()
    """Pictures of innocent content, put where the artefact is; they enter the verdict."""
    variants: tuple[_Name, ...] = ()
    """Pictures like the artefact, put where it is: they say how general a shortcut is and never decide."""

    @property
    def options(self) -> dict[str, Any]:
        """The options of the kind."""
        return dict(self.model_extra or {})


class MethodConfig(_Section):
    """One method of explanation; further keys are its options."""

    model_config = pydantic.ConfigDict(extra="allow")

    enabled: bool = True
    on: Literal["all", "exemplars"] = "all"
    """All images that are explained, or only those shown with their maps: for methods that take long."""

    @property
    def options(self) -> dict[str, Any]:
        """The options of the method."""
        return dict(self.model_extra or {})


class InterventionsConfig(_Section):
    """How artefacts are taken out."""

    fills: Annotated[tuple[_Fill, ...], Field(min_length=1)] = ("mean", "blur", "inpaint")


class ExplainConfig(_Section):
    """How many images are explained."""

    images: Annotated[int, Field(ge=1)] = 48
    """Images per artefact whose attributions are measured in the region."""
    exemplars: Annotated[int, Field(ge=0, le=64)] = 6
    """Images per artefact shown in the report with all their maps."""


class VerdictConfig(_Section):
    """The rule of the verdict."""

    margin: Annotated[float, Field(gt=0)] = 0.5
    """The smallest effect that matters, in log-odds."""
    margin_sd: Annotated[float, Field(ge=0)] = 0.1
    """The same in standard deviations of the score over the images; the larger of both counts."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    min_groups: Annotated[int, Field(ge=2)] = 12
    """Fewer independent groups of images are inconclusive."""


class ReportConfig(_Section):
    """Where the report goes and what it is called."""

    output: _Name = "reports"
    formats: Annotated[tuple[_Format, ...], Field(min_length=1)] = ("html", "pdf")
    """`html` and `pdf` are the report; `junit`, `sarif` and `markdown` stand beside it for other tools."""
    pictures: Literal["all", "thumbnails", "none"] = "all"
    """How much the page shows of the audited images: all, pictures of at most 32 pixels a side, or none, with
    pseudonyms for the images."""
    title: _Name = "Shortcut audit"
    preface: str = ""
    """A paragraph of your own under the title, for example what the model is for."""
    templates: str = ""
    """A folder of templates of your own, which go before the built-in ones of the same name; see docs/templates.md."""


class _Document(_Section):
    model: ModelConfig
    data: DataConfig
    artefacts: tuple[ArtefactConfig, ...] = ()
    methods: dict[str, MethodConfig] = Field(default_factory=dict)
    interventions: InterventionsConfig = InterventionsConfig()
    explain: ExplainConfig = ExplainConfig()
    verdict: VerdictConfig = VerdictConfig()
    report: ReportConfig = ReportConfig()


class AuditConfig(_Document):
    """A whole `audit.toml`, checked, with the file that it came from."""

    file: Path
    places: dict[KeyPath, Place] = Field(default_factory=dict, repr=False)
    overridden: dict[KeyPath, str] = Field(default_factory=dict, repr=False)
    """Keys whose values came from the command line, and the option that they came with."""

    def path(self, name: str) -> Path:
        """A path of the file, which may be relative to its folder."""
        return self.file.parent / name

    def place(self, *path: str | int) -> str:
        """Where a key stands, as `file:line:column`, or the option of the command line that it came with."""
        return _where(self.file, self.places, self.overridden, path)

    def fault(self, path: KeyPath, message: str) -> ConfigError:
        """An error about the value of one key, with its place."""
        return ConfigError(f"{self.place(*path)}: {dotted(path)}: {message}", path)

    def function(self, path: KeyPath, spec: str) -> Function:
        """The user's function that a `package.module:function` value names."""
        try:
            return import_function(spec, self.file.parent)
        except OptionError as error:
            raise self.fault(path, error.message) from None

    def echo(self) -> dict[str, Any]:
        """The configuration as plain data, for the record of the run; every default is spelt out."""
        return self.model_dump(mode="json", exclude={"file", "places", "overridden"})


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
        `KEY=VALUE` with a dotted key; the value is read as TOML, or else as a plain string.
    kinds, methods
        The functions whose keyword-only parameters are the options of artefact kinds and methods.

    Raises
    ------
    ConfigError
        The file is missing or wrong; all faults at once, a line each.
    """
    text = _read_text(file)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        line, column, message = _syntax_fault(text, fault)
        raise ConfigError(f"{file}:{line}:{column}: not TOML: {message}") from None
    places = find_places(text)
    overridden = dict.fromkeys((_override(data, item) for item in overrides), "--set")
    faults = {path: [message] for path, message in _rename_methods(data)}
    places = {_today(path): place for path, place in places.items()}
    overridden = {_today(path): option for path, option in overridden.items()}
    config = None
    try:
        document = _Document.model_validate_json(to_json(data), strict=True)
        config = AuditConfig(**dict(document), file=file, places=places, overridden=overridden)
    except pydantic.ValidationError as error:
        for path, message in explain_faults(error, _Document, data):
            faults.setdefault(path, []).append(message)
    for path, message in _option_faults(data, file.parent, kinds, methods):
        faults.setdefault(path, []).append(message)
    if faults:
        lines = []
        for path, messages in faults.items():
            line, _ = nearest_place(places, path)
            where = _where(file, places, overridden, path)
            lines += [(line, f"{where}: {dotted(path)}: {message}") for message in messages]
        raise ConfigError("\n".join(message for _, message in sorted(lines, key=lambda item: item[0])))
    assert config is not None
    return config


def config_schema() -> dict[str, Any]:
    """JSON schema of `audit.toml`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_Document.model_json_schema()}


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


def _option_faults(
    data: dict[str, Any], folder: Path, kinds: Mapping[str, Function], methods: Mapping[str, Function]
) -> list[tuple[KeyPath, str]]:
    """Faults in the options of artefact kinds and methods, and names used twice."""
    faults: list[tuple[KeyPath, str]] = []
    sections = data.get("methods")
    for name, options in sections.items() if isinstance(sections, dict) else ():
        path: KeyPath = ("methods", name)
        if name not in methods:
            faults.append((path, f"unknown method{suggest(name, list(methods))}"))
        elif isinstance(options, dict):
            own = {k: v for k, v in options.items() if k not in MethodConfig.model_fields}
            faults += find_option_faults(methods[name], own, path)
    entries = data.get("artefacts")
    seen: set[str] = set()
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        if not isinstance(entry, dict):
            continue
        path = ("artefacts", index)
        name, kind = entry.get("name"), entry.get("kind")
        if isinstance(name, str) and name in seen:
            faults.append(((*path, "name"), f"got {name!r} twice, wanted a name of its own for each artefact"))
        seen.add(str(name))
        if not isinstance(kind, str):
            continue
        function = kinds.get(kind)
        if function is None and is_function_spec(kind):
            try:
                function = import_function(kind, folder)
            except OptionError as error:
                faults.append(((*path, "kind"), error.message))
                continue
        if function is None:
            faults.append(
                (
                    (*path, "kind"),
                    f"unknown kind {kind!r}{suggest(kind, [*kinds, 'package.module:function'])}",
                )
            )
            continue
        options = {k: v for k, v in entry.items() if k not in ArtefactConfig.model_fields}
        try:
            faults += find_option_faults(function, options, path)
        except OptionError as error:
            faults.append(((*path, "kind"), error.message))
    return faults


def _override(data: dict[str, Any], item: str) -> KeyPath:
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


def _where(file: Path, places: dict[KeyPath, Place], overridden: dict[KeyPath, str], path: KeyPath) -> str:
    """Where the value of a key came from; a key that stands nowhere in the file may have come with an override."""
    for key, option in overridden.items():
        if path[: len(key)] == key or (key[: len(path)] == path and path not in places):
            return option
    line, column = nearest_place(places, path)
    return f"{file}:{line}:{column}"


def _read_text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such file; wanted the configuration of an audit") from None
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
