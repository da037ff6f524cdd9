"""Proposes an `audit.toml` for a model and its data: what they tell of themselves, and what must be guessed."""

from __future__ import annotations

import json
import os
import textwrap
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from auditor.config.file import AuditConfig
from auditor.config.options import describe_options, is_function_spec
from auditor.config.sections import DataConfig, ModelConfig
from auditor.errors import ConfigError, DataError
from auditor.explain.table import METHODS, STUDIES
from auditor.measure.arrays import Bools
from auditor.report.templates import open_templates
from auditor.subject.data.pictures import CorruptImageError
from auditor.subject.data.sample import Dataset, open_dataset
from auditor.subject.data.sources import Source, first_image_shape, open_source
from auditor.subject.model.classifier import Classifier, predicted_classes
from auditor.subject.model.loading import load_classifier
from auditor.subject.population import is_correct
from auditor.subject.record import ModelRecord

Range = tuple[float, float]


@dataclass(frozen=True)
class Proposal:
    """An `audit.toml` that passes `auditor validate`, and what in it is guessed."""

    text: str
    guesses: list[str]


def propose_config(output: Path, *, model: str, data: str, labels: str | None = None, trust: bool = False) -> Proposal:
    """Look at a model and its data, and propose the configuration of an audit.

    Parameters
    ----------
    output
        Where the configuration will stand; paths in it become relative to its folder.
    model, data
        A path, or `package.module:function` of a module beside the configuration.
    labels
        A text file with a class name per line.

    Raises
    ------
    AuditError
        The model cannot be loaded, the data cannot be read, or they do not fit each other.
    """
    beside = {name: _beside(output.parent, name) for name in (model, data, labels) if name is not None}
    config = AuditConfig(
        model=ModelConfig(source=model, labels=labels, trust=trust),
        data=DataConfig(source=data, max_corrupt=1),
        file=output,
        overridden={("model", "source"): "--model", ("model", "labels"): "--labels", ("data", "source"): "--data"},
    )
    source = open_source(config)
    look, shape = _look_at(source), first_image_shape(source)
    config, classifier, record = _load(config, shape)
    tells_range = config.model.input_range is None
    names = _names_in(source, classifier) if labels is None else None
    if names is not None:
        config, classifier, record = _load(_with(config, "model", labels=names), shape)
    others = look.others(classifier.image_shape)
    config = _with(config, "data", fit="resize" if others else "exact")
    sample = _open(config, source, classifier, _MOST_SCORED)
    next(sample.batches(1), None)  # whether its images are of a kind that can be audited
    right = _are_right(classifier, sample)
    rights = {config.model.input_range: right}
    if not tells_range and len(right):
        for limits in _RANGES[1:]:
            _, tried, _ = _load(_with(config, "model", input_range=limits), shape)
            rights[limits] = _are_right(tried, sample)
        best = max(rights, key=lambda limits: rights[limits].sum())
        config, right = _with(config, "model", input_range=best), rights[best]

    environment = open_templates(autoescape=False)
    environment.filters |= {"toml": to_toml, "comment": _comment, "share": _share}
    text = environment.get_template("audit.toml.j2").render(
        config=config,
        beside=beside,
        usual=AuditConfig(model=config.model, data=DataConfig(source=config.data.source), file=output),
        model=record,
        tells_range=tells_range,
        names=names,
        images=_describe_images(_open(config, source, classifier, "all"), classifier.classes),
        look=look,
        others=others,
        right=right,
        rights=rights,
        methods={name: describe_options(function) for name, function in METHODS.items()},
        studies=list(STUDIES),
    )
    guesses = [] if tells_range else [f"model.input_range = {to_toml(config.model.input_range)}"]
    guesses += [] if names is None else [f"model.labels = {to_toml(names)}"]
    return Proposal(text + "\n", guesses)


def to_toml(value: Any) -> str:
    """A value as TOML writes it: text, a number, a boolean, or an array of them."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(to_toml(item) for item in value)}]"
    if isinstance(value, bool):
        return json.dumps(value)
    return str(int(value)) if value == int(value) else repr(value)


@dataclass(frozen=True)
class _Look:
    """What some images, spread over all, are like."""

    count: int
    sizes: Counter[tuple[int, int]]
    """Height and width of those that can be read."""
    unreadable: list[str]

    def others(self, shape: tuple[int, int, int]) -> list[tuple[str, int]]:
        """Sizes that are not the model's, the commonest first, and how many have them."""
        height, width, _ = shape
        return [(f"{w} x {h}", n) for (h, w), n in self.sizes.most_common() if (h, w) != (height, width)]


def _look_at(source: Source) -> _Look:
    if not source.ids:
        raise DataError("--data: data.source: there are no images")
    wanted = np.unique(np.linspace(0, len(source.ids) - 1, _MOST_LOOKED_AT).astype(int)).tolist()
    sizes: Counter[tuple[int, int]] = Counter()
    unreadable = []
    for position, raw in source.stream(wanted):
        if isinstance(raw, CorruptImageError):
            unreadable.append(f"{source.ids[position]}: {raw}")
        elif raw.ndim >= 2:
            sizes[raw.shape[0], raw.shape[1]] += 1
    if len(unreadable) == len(wanted):
        got = f"none of {len(wanted)} images looked at can be read; the first is {unreadable[0]}"
        raise DataError(f"--data: data.source: {got}")
    return _Look(len(wanted), sizes, unreadable)


def _load(config: AuditConfig, shape: tuple[int, int, int] | None) -> tuple[AuditConfig, Classifier, ModelRecord]:
    """The model, fed with the first of the usual ranges where neither it nor the configuration tells one."""
    try:
        return config, *load_classifier(config, shape)
    except ConfigError as fault:
        if fault.path != ("model", "input_range"):
            raise
    config = _with(config, "model", input_range=_RANGES[0])
    return config, *load_classifier(config, shape)


def _names_in(source: Source, classifier: Classifier) -> tuple[str, ...] | None:
    """The class names of the data, in the order of the alphabet, where the model has just as many classes."""
    given = [label for label in source.labels or () if label is not None]
    if classifier.output == "multilabel" or not all(isinstance(label, str) for label in given):
        return None
    names = sorted({str(label) for label in given})
    are_new = len(names) == len(classifier.classes) and set(names) != set(classifier.classes)
    return tuple(names) if are_new else None


def _open(config: AuditConfig, source: Source, classifier: Classifier, limit: int | str) -> Dataset:
    try:
        return open_dataset(
            _with(config, "data", limit=limit),
            source,
            classes=classifier.classes,
            image_shape=classifier.image_shape,
            multilabel=classifier.output == "multilabel",
        )
    except DataError as fault:
        hint = "; name the classes of the model with --labels" if config.model.labels is None else ""
        raise DataError(f"{fault}{hint}") from None


def _are_right(classifier: Classifier, sample: Dataset) -> Bools:
    """Whether each labelled image of the sample that can be read is predicted rightly."""
    found = [np.zeros(0, bool)]
    for batch in sample.batches(64, np.flatnonzero(sample.labelled).tolist()):
        assert sample.truth is not None
        predicted = predicted_classes(classifier.scores(batch.images), classifier.output)
        found.append(is_correct(predicted, sample.truth[batch.positions]))
    return np.concatenate(found)


def _describe_images(images: Dataset, classes: tuple[str, ...]) -> str:
    """How many images there are, of which classes and in which groups, in sentences."""
    count, labelled = len(images), int(images.labelled.sum())
    if images.truth is None:
        told = f"{count} images without labels: they count as what they are predicted, and accuracy is not measured."
    else:
        of_class = images.truth.sum(axis=0)
        present = [f"{name} {of_class[at]}" for at, name in enumerate(classes) if of_class[at]]
        more = f", and {len(present) - _MOST_NAMED} classes more" if len(present) > _MOST_NAMED else ""
        told = f"{count} images, {labelled} of them labelled: {', '.join(present[:_MOST_NAMED])}{more}."
    groups = len(np.unique(images.groups))
    if groups < count:
        return f"{told} They form {groups} groups, which is what every interval counts."
    return f"{told} Each is a group by itself; where several show the same (crops, slices, frames), give them a group."


def _with(config: AuditConfig, section: str, **values: Any) -> AuditConfig:
    """The configuration with other values in one section."""
    return config.model_copy(update={section: getattr(config, section).model_copy(update=values)})


def _beside(folder: Path, name: str) -> str:
    """A path as a file in that folder names it; functions and what lies on another drive stay as they are.

    Raises
    ------
    ConfigError
        Its bytes are no UTF-8, which TOML cannot say.
    """
    if is_function_spec(name):
        return name
    path = Path(name)
    try:
        str(path.absolute()).encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigError(f"{name!r}: its name is not UTF-8, so no configuration can name it; rename it") from None
    path = path.parent.resolve() / path.name  # a link is named itself, not what it leads to
    try:
        return Path(os.path.relpath(path, folder.resolve())).as_posix()
    except ValueError:
        return path.as_posix()


def _share(right: Bools) -> str:
    return f"{100 * right.mean():.1f} %"


def _comment(text: str) -> str:
    """A text of any length as lines of comment."""
    words = " ".join(text.split())
    printable = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in words)
    lines = textwrap.wrap(printable, 118, break_on_hyphens=False)
    return "".join(f"# {line}\n" for line in lines)


_RANGES: tuple[Range, ...] = ((0, 1), (0, 255), (-1, 1))
"""Pixel ranges to try where a model does not tell its own; the first, where nothing decides between them."""

_MOST_LOOKED_AT = 100
_MOST_SCORED = 200
_MOST_NAMED = 20
