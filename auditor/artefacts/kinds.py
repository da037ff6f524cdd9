"""What a suspected shortcut looks like, and where it is: the kinds of artefacts, and how a configuration makes one.

A kind is a function of the frame that gives an `Appearance`; its keyword-only parameters are its options.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from auditor.artefacts.appearance import Appearance, Frame, box_of
from auditor.artefacts.artefact import Artefact, Seen
from auditor.artefacts.backgrounds import Background, background, read_ground
from auditor.artefacts.drawn import border, box, lightness, overlay, read_layer, text, vignette
from auditor.artefacts.locating import TooFaintError, finder_of
from auditor.artefacts.masks import Masks, masks
from auditor.artefacts.together import Together, together
from auditor.artefacts.users import from_user
from auditor.artefacts.varied import Varied
from auditor.artefacts.whole_image import (
    blur,
    brightness,
    contrast,
    crop,
    flip,
    gamma,
    hue,
    jpeg,
    noise,
    rotation,
    saturation,
    sharpen,
    tint,
    zoom,
)
from auditor.config.file import AuditConfig
from auditor.config.options import KeyPath, suggest
from auditor.config.sections import ArtefactConfig
from auditor.errors import ConfigError, OptionError
from auditor.measure.arrays import Bools
from auditor.measure.measurement import Note
from auditor.measure.seeds import keyed_generator
from auditor.subject.data.labels import find_class
from auditor.subject.data.sample import Dataset

__all__ = ["ARTEFACT_KINDS", "Artefact", "Seen", "box", "build_artefacts", "lightness", "overlay", "text"]


def build_artefacts(config: AuditConfig, dataset: Dataset, frame: Frame, classes: tuple[str, ...]) -> list[Artefact]:
    """The artefacts of a configuration, in a frame of height, width and channels, and the images that carry them.

    Raises
    ------
    ConfigError
        A file is missing, the artefact does not lie in the frame, its target is no class of the model, or `present`
        does not say which images carry it; all at once.
    DataError
        A value of the column that `present` names is no boolean.
    """
    built: dict[int, Artefact] = {}
    faults: list[str] = []
    for index, entry in enumerate(config.artefacts):
        try:
            built[index] = _build(config, ("artefacts", index), entry, dataset, frame, classes)
        except ConfigError as fault:
            faults.append(str(fault))
    for index, artefact in built.items():
        try:
            built[index] = _composed(config, ("artefacts", index, "parts"), artefact, list(built.values()))
        except ConfigError as fault:
            faults.append(str(fault))
    if faults:
        raise ConfigError("\n".join(faults))
    return [
        _beside(artefact, [other for other in built.values() if other is not artefact]) for artefact in built.values()
    ]


def _build(
    config: AuditConfig,
    path: KeyPath,
    entry: ArtefactConfig,
    dataset: Dataset,
    frame: Frame,
    classes: tuple[str, ...],
) -> Artefact:
    target = None
    if entry.target is not None:
        target = find_class(entry.target, classes)
        if target is None:
            message = f"got {entry.target!r}, which is no class of the model{suggest(entry.target, list(classes))}"
            raise config.fault((*path, "target"), message)
    function, options = config.calls[path].function, config.calls[path].options
    said = entry.options
    options = {name: _located(config, value, said.get(name, value), (*path, name)) for name, value in options.items()}
    try:
        carriers = _find_carriers(entry.present, dataset, classes)
        make = function if entry.kind in ARTEFACT_KINDS else partial(from_user, entry.kind, function)
        made = make(frame, **options)
        if isinstance(made, Background):
            made = made.behind(dataset, config.data.fit)
        if isinstance(made, Masks):
            made = replace(made.named_by(dataset.masks), fit=config.data.fit)
            if entry.present == "none":
                raise OptionError("present", "got 'none', but masks say where images carry the artefact; wanted 'all'")
            if entry.controls or entry.variants:
                key = "controls" if entry.controls else "variants"
                raise OptionError(key, f"masks have no appearance to compare with; leave {key} out")
        artefact = Artefact(
            name=entry.name,
            kind=entry.kind,
            appearance=made,
            target=target,
            present=entry.present,
            carriers=carriers,
            controls=_alternatives(config, (*path, "controls"), entry.controls, made, entry.kind, options, frame),
            variants=_alternatives(config, (*path, "variants"), entry.variants, made, entry.kind, options, frame),
            line=config.places.get(path, (None, None))[0],
            seed=config.data.seed,
        )
        return look_for(artefact, dataset) if entry.find else artefact
    except OptionError as fault:
        raise config.fault((*path, *([fault.option] if fault.option else [])), fault.message) from None


def _composed(config: AuditConfig, path: KeyPath, artefact: Artefact, others: list[Artefact]) -> Artefact:
    """An artefact with its parts, where it has some."""
    if not isinstance(artefact.appearance, Together):
        return artefact
    whole = {other.name: other for other in others if not isinstance(other.appearance, Together)}
    names = artefact.appearance.names
    lost = next((name for name in names if name not in whole), None)
    if lost in {entry.name for entry in config.artefacts if entry.kind != artefact.kind}:
        return artefact  # what is wrong with that one is said
    if lost is not None:
        raise config.fault(path, f"got {lost!r}, which is no other artefact of one part{suggest(lost, list(whole))}")
    if len(set(names)) < len(names):
        raise config.fault(path, f"got {list(names)}, wanted each once")
    parts = tuple(whole[name] for name in names)
    return replace(artefact, appearance=Together(tuple(part.appearance for part in parts), names), parts=parts)


def _beside(artefact: Artefact, others: list[Artefact]) -> Artefact:
    """An artefact with those of the others that enough images carry together with it."""

    def is_beside(other: Artefact) -> bool:
        is_one = not other.parts and not other.is_everywhere
        return is_one and int((artefact.carriers & other.carriers).sum()) >= _ENOUGH

    if artefact.parts or artefact.is_everywhere:
        return artefact
    return replace(artefact, beside=tuple(filter(is_beside, others))[:_MOST_BESIDE])


def look_for(artefact: Artefact, dataset: Dataset) -> Artefact:
    """An artefact with what finds it in images that carry it, where it has a look that can be told from them.

    Raises
    ------
    OptionError
        It is found in none of some images that are said to carry it.
    """
    finder = finder_of(artefact.appearance)
    if finder is None or not artefact.carriers.any():
        return artefact
    random = keyed_generator(artefact.seed, "looking for", artefact.name)
    carried, without = (
        dataset.read(np.sort(random.permutation(np.flatnonzero(rows))[:_LOOKED_AT]))[1]
        for rows in (artefact.carriers, ~artefact.carriers)
    )
    if not len(carried):
        return artefact
    try:
        finder = finder.settled(artefact.appearance, without, carried, random)
    except TooFaintError:
        told = "it is too faint to be found in images that carry it, so it is taken to lie where it is named"
        return replace(artefact, notes=(Note("not looked for", told),))
    found = sum(finder.find(image) is not None for image in carried)
    if not found:
        got = f"the artefact is found in none of {len(carried)} images that are said to carry it"
        wanted = "are its picture, its size and these images right? find = false takes it out where it is named"
        raise OptionError("present", f"got {artefact.present!r}, but {got}; {wanted}")
    return replace(artefact, finder=finder, found=(found, len(carried)))


def _located(config: AuditConfig, value: Any, said: Any, path: KeyPath) -> Any:
    """The value of an option, with the paths in it as they are from where one stands; `said` is how it was written."""
    if isinstance(value, tuple) and value and all(isinstance(each, Path) for each in value):
        return tuple(config.path(str(each), *path, number) for number, each in enumerate(said))
    if not isinstance(value, Path):
        return value
    return config.locate(str(said), *path) if path[-1] == "folder" else config.path(str(said), *path)


def _find_carriers(present: str, dataset: Dataset, classes: tuple[str, ...]) -> Bools:
    """Which images of the sample (images,) carry an artefact already."""
    count = len(dataset)
    if present in ("none", "all"):
        return np.full(count, present == "all")
    if present.startswith("class:"):
        name = present.removeprefix("class:")
        number = find_class(name, classes)
        if number is None:
            raise OptionError("present", f"{name!r} is no class of the model{suggest(name, list(classes))}")
        if dataset.truth is None:
            raise OptionError("present", f"got {present!r}, but the data have no labels")
        return dataset.truth[:, number]
    values = dataset.array(present)
    if values is None or values.shape != (count,) or values.dtype != bool:
        what = "no array or column of the data" if values is None else f"an array of {values.dtype}"
        wanted = "wanted 'none', 'all', 'class:NAME' or an array or column with a boolean per image"
        raise OptionError("present", f"got {present!r}, which is {what}; {wanted}")
    return np.asarray(values)


def _alternatives(
    config: AuditConfig,
    path: KeyPath,
    names: tuple[str, ...],
    artefact: Appearance,
    kind: str,
    options: dict[str, Any],
    frame: Frame,
) -> dict[str, Appearance]:
    """The user's pictures that stand at a path of keys, each put just where the artefact is."""
    stems = [Path(name).stem for name in names]
    placed: dict[str, Appearance] = {}
    if names and artefact.fixed_region is None and not isinstance(artefact, Background | Varied):
        raise OptionError(str(path[-1]), f"{kind} has no one place to put pictures at; leave it out")
    for number, (stem, name) in enumerate(zip(stems, names, strict=True)):
        try:
            picture = _alike(artefact, config.path(name, *path, number), kind, options, frame)
        except OptionError as fault:
            message = fault.message if fault.option == "image" else f"{name}: {fault.message}"
            raise OptionError(str(path[-1]), message) from None
        placed[stem if stems.count(stem) == 1 else name] = picture
    return placed


def _alike(artefact: Appearance, file: Path, kind: str, options: dict[str, Any], frame: Frame) -> Appearance:
    """The user's picture, put just where the artefact is."""
    if isinstance(artefact, Background):
        return replace(artefact, ground=read_ground(frame, file))
    if kind == "overlay":
        return overlay(frame, **{**options, "image": file, "examples": ()})
    if isinstance(artefact, Varied):
        return artefact.showing(read_layer("image", file, artefact.width, frame))
    assert artefact.fixed_region is not None
    left, top, right, _ = box_of(artefact.fixed_region)
    return overlay(frame, image=file, position=(left, top), scale=right - left, opacity=artefact.opacity or 1.0)


ARTEFACT_KINDS: dict[str, Callable[..., Appearance]] = {
    "overlay": overlay,
    "text": text,
    "box": box,
    "border": border,
    "lightness": lightness,
    "vignette": vignette,
    "tint": tint,
    "brightness": brightness,
    "contrast": contrast,
    "gamma": gamma,
    "saturation": saturation,
    "hue": hue,
    "blur": blur,
    "sharpen": sharpen,
    "jpeg": jpeg,
    "noise": noise,
    "rotation": rotation,
    "flip": flip,
    "zoom": zoom,
    "crop": crop,
    "background": background,
    "masks": masks,
    "together": together,
}

_ENOUGH = 12
"""Images that carry two artefacts, to take out both of."""

_MOST_BESIDE = 3
"""Artefacts that are taken out together with one."""

_LOOKED_AT = 24
"""Images with an artefact, and without, that tell whether it can be found."""
