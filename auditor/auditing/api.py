"""What a user calls: an audit of a file or of objects, a saved run, and two of them compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.auditing.conduct import AuditedRun, conduct
from auditor.auditing.gating import pass_gate
from auditor.auditing.opening import Handed
from auditor.auditing.performing import perform
from auditor.config.file import AuditConfig, check_config, read_config
from auditor.errors import ConfigError, OptionError
from auditor.explain.table import METHODS
from auditor.report.templates import configured_templates
from auditor.run.compare import Change, compare_runs
from auditor.run.elsewhere import fetch_run
from auditor.run.shelf import refuse_unwritable_place
from auditor.run.store import SavedRun
from auditor.stores.address import Place, read_path, read_place
from auditor.subject.data.memory import HeldSource
from auditor.verdict.trial import Progress

CALL = "auditor.audit"
"""What errors name as the place of what came with a call."""


__all__ = ["Artefact", "AuditedRun", "audit", "compare", "load", "overlay", "text"]


@dataclass(frozen=True)
class Artefact:
    """A suspected shortcut as a call names it; `overlay` and `text` make one."""

    kind: str
    """A kind of `auditor methods`, or `package.module:function`."""
    name: str
    target: str | None = None
    """The class that it is suspected to promote or suppress; None scans every class."""
    present: str | Sequence[bool] = "none"
    """Which images carry it already: none, all, class:NAME, or one boolean per image."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the kind."""
    controls: Sequence[str | Path] = ()
    """Pictures of innocent content, which enter the verdict."""
    variants: Sequence[str | Path] = ()
    """Pictures like the artefact, which never decide."""


def overlay(
    image: str | Path,
    *,
    position: tuple[float, float] = (0, 0),
    opacity: float = 1.0,
    scale: float | None = None,
    name: str = "",
    target: str | None = None,
    present: str | Sequence[bool] = "none",
    controls: Sequence[str | Path] = (),
    variants: Sequence[str | Path] = (),
) -> Artefact:
    """A picture with transparency (RGBA) that may lie over images: a watermark, a tag.

    Parameters
    ----------
    position, scale
        Left and top edge, and width: whole numbers are pixels, others fractions of the frame.
    name
        How the report calls it; the name of the file, where empty.
    """
    options = {"image": str(image), "position": list(position), "opacity": opacity}
    options |= {} if scale is None else {"scale": scale}
    return Artefact("overlay", name or Path(image).stem, target, present, options, controls, variants)


def text(
    text: str,
    *,
    position: tuple[float, float] = (0, 0),
    size: float = 12,
    colour: str = "white",
    opacity: float = 1.0,
    font: str | Path | None = None,
    name: str = "",
    target: str | None = None,
    present: str | Sequence[bool] = "none",
    controls: Sequence[str | Path] = (),
    variants: Sequence[str | Path] = (),
) -> Artefact:
    """Written text that may lie over images, such as a time stamp; `size` is its height, as in `overlay`."""
    options = {"text": text, "position": list(position), "size": size, "colour": colour, "opacity": opacity}
    options |= {} if font is None else {"font": str(font)}
    return Artefact("text", name or text, target, present, options, controls, variants)


def audit(
    model: Any,
    images: Any = None,
    labels: Any = None,
    *,
    classes: Sequence[str] | None = None,
    groups: Sequence[Any] | None = None,
    ids: Sequence[Any] | None = None,
    artefacts: Iterable[Artefact] = (),
    methods: Mapping[str, Mapping[str, Any]] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    output: str | Path | None = None,
    resume: bool = False,
    progress: Progress = lambda stage, done, total: None,
) -> AuditedRun:
    """Audit a model: does it rely on any of the artefacts?

        auditor.audit("audit.toml")
        auditor.audit(model, images, labels, classes=names, artefacts=[auditor.overlay("tag.png", target="pneumonia")])

    Parameters
    ----------
    model
        The path of an `audit.toml`, and nothing else is said; or a Keras model, the path of one, or any `Classifier`.
    images, labels, groups, ids
        As `HeldSource` takes them: an array (n, h, w[, c]) uint8 or float in [0, 1], paths, a `tf.data.Dataset`, a
        Keras `PyDataset`, or an iterable of (image, label). A path is read as `data.source` of an `audit.toml`.
    classes
        Their names, in the order of the scores.
    methods
        Options of methods by their names, as `[methods.NAME]` of an `audit.toml`.
    settings
        Any other section of an `audit.toml` by its name, for example `{"verdict": {"margin": 1.0}}`.
    output
        A folder for runs; the run is kept there as it grows, from its verdicts on. A file's own `report.output` is
        used without. A call without keeps the run in memory, until `AuditedRun.save`.
    resume
        Go on from where an audit of the same model, data and settings was cut short, if one was: see `output`.
    progress
        Told the stage, how much of it is done, and how much there is.

    Raises
    ------
    AuditError
        What was asked for is wrong, or the audit could not be completed; its text says where, what, got and wanted.
    """
    if images is None and isinstance(model, (str, Path)):
        said = {"labels": labels, "classes": classes, "groups": groups, "ids": ids, "methods": methods}
        beside = [name for name, value in (said | {"settings": settings}).items() if value is not None]
        if beside or list(artefacts):
            name = beside[0] if beside else "artefacts"
            raise ConfigError(f"{CALL}: {name}: got it beside a file, which says all of that itself")
        try:
            file = read_path(str(model))
        except OptionError as fault:
            raise ConfigError(f"{CALL}: model: {fault.message}") from None
        return audit_file(file, output=output, resume=resume, progress=progress)
    given = {"labels": labels, "groups": groups, "ids": ids}
    config, handed = _configure(model, images, given, classes, list(artefacts), methods or {}, settings or {})
    return _audit(config, handed, output, f"{CALL}: output", progress, resume=resume)


def audit_file(
    file: Path,
    *,
    model: Any = None,
    overrides: Sequence[str] = (),
    output: str | Path | None = None,
    is_kept: bool = True,
    resume: bool = False,
    progress: Progress = lambda stage, done, total: None,
) -> AuditedRun:
    """Audit as a file says.

    Parameters
    ----------
    model
        A Keras model, or any `Classifier`, in place of the one that the file names.
    overrides
        `KEY=VALUE`, as the command's `--set` takes them.
    output
        A folder for runs, in place of the file's own.
    is_kept
        Without, the run stays in memory, and nothing is written.
    resume
        Go on from where an audit of the same was cut short.

    Raises
    ------
    AuditError
        As `audit` does.
    """
    config = read_config(file, tuple(overrides), kinds=ARTEFACT_KINDS, methods=METHODS)
    if output is not None or not is_kept:
        return _audit(config, Handed(model), output if is_kept else None, f"{CALL}: output", progress, resume=resume)
    own = config.locate(config.report.output, "report", "output")
    return _audit(config, Handed(model), own, config.place("report", "output"), progress, resume=resume)


def _audit(
    config: AuditConfig, handed: Handed, output: str | Place | None, place: str, progress: Progress, *, resume: bool
) -> AuditedRun:
    reports = _located(output, place) if isinstance(output, str) else output
    if reports is not None:
        refuse_unwritable_place(reports, place)
    own = configured_templates(config)
    if reports is None:
        return pass_gate(conduct(config, None, progress, handed=handed), config)
    notes: list[str] = []
    run = perform(config, reports, progress, own, handed=handed, resume=resume, note=notes.append)
    return replace(run, told=[*notes, *run.told])


def load(folder: str | Path) -> AuditedRun:
    """A saved run; of the address of one on a store its evidence is fetched.

    Raises
    ------
    ReportError
        The folder is no run, or its result is damaged.
    StoreError
        The store does not give it.
    """
    place = _located(folder, CALL) if isinstance(folder, str) else folder
    run = SavedRun(place if isinstance(place, Path) else fetch_run(place))
    run.result  # noqa: B018  at once, not when it is first asked for
    return AuditedRun(run, run.folder, "" if isinstance(place, Path) else str(place))


def _located(text: str, where: str) -> Place:
    try:
        return read_place(text)
    except OptionError as fault:
        raise ConfigError(f"{where}: {fault.message}") from None


def compare(before: AuditedRun | str | Path, after: AuditedRun | str | Path) -> list[Change]:
    """What became of every artefact and class of two runs, image by image where they share some; what got worse first.

    Raises
    ------
    ReportError
        A folder is no run, or it is damaged.
    """
    first, second = (run if isinstance(run, AuditedRun) else load(run) for run in (before, after))
    return compare_runs(first.run, second.run)


def _configure(
    model: Any,
    images: Any,
    given: dict[str, Any],
    classes: Sequence[str] | None,
    artefacts: list[Artefact],
    methods: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, Mapping[str, Any]],
) -> tuple[AuditConfig, Handed]:
    """The configuration that a call amounts to, and the objects that came with it."""
    if images is None:
        raise ConfigError(f"{CALL}: images: missing; wanted images to audit the model with")
    data: dict[str, Any] = {name: dict(section) for name, section in settings.items()}
    section = data.setdefault("model", {})
    is_file = isinstance(model, (str, Path))
    section["source"] = str(model) if is_file else f"handed in: {type(model).__module__}.{type(model).__qualname__}"
    if classes is not None:
        section["labels"] = [str(name) for name in classes]
    columns = {f"{each.name} is there": each.present for each in artefacts if not isinstance(each.present, str)}
    source = None
    if isinstance(images, (str, Path)):
        beside = [name for name, value in (given | columns).items() if value is not None]
        if beside:
            raise ConfigError(f"{CALL}: {beside[0]}: got it beside a path of data, which hold that themselves")
    else:
        source = HeldSource(images, **given, columns=columns)
    kind = f"{type(images).__module__}.{type(images).__qualname__}"
    data.setdefault("data", {})["source"] = str(images) if source is None else f"handed in: {kind}"
    data["artefacts"] = [_entry(each) for each in artefacts]
    data["methods"] = {name: dict(options) for name, options in methods.items()}
    config = check_config(data, Path.cwd() / CALL, {}, {(): CALL}, kinds=ARTEFACT_KINDS, methods=METHODS)
    return config, Handed(None if is_file else model, source)


def _entry(artefact: Artefact) -> dict[str, Any]:
    present = artefact.present if isinstance(artefact.present, str) else f"{artefact.name} is there"
    entry = {"name": artefact.name, "kind": artefact.kind, "present": present, **artefact.options}
    entry |= {} if artefact.target is None else {"target": artefact.target}
    for key, pictures in (("controls", artefact.controls), ("variants", artefact.variants)):
        entry |= {key: [str(picture) for picture in pictures]} if pictures else {}
    return entry
