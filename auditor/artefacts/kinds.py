"""What a suspected shortcut looks like, and where it is: the kinds of artefacts, and how a configuration makes one.

A kind is a function of the frame that gives an `Appearance`; its keyword-only parameters are its options.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from auditor.artefacts.appearance import Appearance, Frame, box_of
from auditor.artefacts.backgrounds import Background, background, read_ground
from auditor.artefacts.drawn import border, box, lightness, overlay, read_layer, text, vignette
from auditor.artefacts.masks import Masks, masks
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
from auditor.measure.arrays import Bools, Floats
from auditor.measure.seeds import KeyedGenerators
from auditor.subject.data.labels import find_class
from auditor.subject.data.sample import Dataset

__all__ = ["ARTEFACT_KINDS", "Artefact", "box", "build_artefacts", "lightness", "overlay", "text"]


@dataclass(frozen=True)
class Artefact:
    """A suspected shortcut, ready to be tested."""

    name: str
    kind: str
    appearance: Appearance
    target: int | None
    """Class that it is suspected to change; None scans every class."""
    present: str
    """What was said of the images that carry it already."""
    carriers: Bools
    """(images,): which rows of the data set these are."""
    controls: dict[str, Appearance] = field(default_factory=dict)
    """Innocent content given by the user."""
    variants: dict[str, Appearance] = field(default_factory=dict)
    """Content like the artefact given by the user."""
    line: int | None = None
    """Where it stands in the configuration file; None where it came otherwise."""
    seed: int = 0
    """Of what varies from image to image."""

    def randoms(self, ids: Sequence[str]) -> KeyedGenerators:
        """For each image what every edit of it by this artefact draws from."""
        return KeyedGenerators(self.seed, f"artefact {self.name}", ids)

    def insert(self, images: Floats, ids: Sequence[str]) -> Floats:
        """Images (n, h, w, c) with the artefact."""
        return self.appearance.insert(images, self.randoms(ids))

    def region(self, image_id: str, frame: Frame) -> Bools | None:
        """The region (height, width) in one image; None where it has none."""
        (random,) = self.randoms([image_id])
        return self.appearance.region(image_id, frame, random)


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
    built, faults = [], []
    for index, entry in enumerate(config.artefacts):
        try:
            built.append(_build(config, ("artefacts", index), entry, dataset, frame, classes))
        except ConfigError as fault:
            faults.append(str(fault))
    if faults:
        raise ConfigError("\n".join(faults))
    return built


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
    options = {name: _located(config, value, (*path, name)) for name, value in options.items()}
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
        controls = _alternatives(config, (*path, "controls"), entry.controls, made, entry.kind, options, frame)
        variants = _alternatives(config, (*path, "variants"), entry.variants, made, entry.kind, options, frame)
    except OptionError as fault:
        raise config.fault((*path, *([fault.option] if fault.option else [])), fault.message) from None
    line = config.places.get(path, (None, None))[0]
    return Artefact(
        entry.name, entry.kind, made, target, entry.present, carriers, controls, variants, line, config.data.seed
    )


def _located(config: AuditConfig, value: Any, path: KeyPath) -> Any:
    """The value of an option, with the paths in it as they are from where one stands."""
    if isinstance(value, tuple) and value and all(isinstance(each, Path) for each in value):
        return tuple(config.path(str(each), *path, number) for number, each in enumerate(value))
    return config.path(str(value), *path) if isinstance(value, Path) else value


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
}
