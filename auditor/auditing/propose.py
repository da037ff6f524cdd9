"""Proposes an `audit.toml` for a model and its data: what they tell of themselves, and what must be guessed."""

from __future__ import annotations

import os
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from auditor.auditing.guesses import Choose, Reading, read, usual_orders
from auditor.auditing.mistakes import find_mistakes
from auditor.config.file import AuditConfig
from auditor.config.options import KeyPath, describe_options, is_function_spec, to_toml
from auditor.config.sections import DataConfig, ModelConfig, VerdictConfig
from auditor.errors import ConfigError, DataError, MisfitError
from auditor.explain.table import METHODS, STUDIES
from auditor.measure.arrays import Bools
from auditor.report.templates import open_templates
from auditor.stores.address import is_address
from auditor.subject.data.pictures import CorruptImageError
from auditor.subject.data.sample import Dataset, open_dataset
from auditor.subject.data.sources import Source, find_flags, first_image_shape, open_source
from auditor.subject.model.classifier import Classifier
from auditor.subject.model.keras import KerasClassifier
from auditor.subject.model.loading import load_classifier
from auditor.subject.model.pixels import Range
from auditor.subject.record import ModelRecord


@dataclass(frozen=True)
class Proposal:
    """An `audit.toml` that passes `auditor validate`, and what in it is guessed."""

    text: str
    guesses: list[str]
    notes: list[str]
    """What looks wrong, and what a verdict will lack, a sentence each."""


def propose_config(
    output: Path,
    *,
    model: str,
    data: str,
    labels: str | None = None,
    input_range: Range | None = None,
    inputs: Sequence[str] = (),
    outputs: str | None = None,
    trust: bool = False,
    choose: Choose,
) -> Proposal:
    """Look at a model and its data, and propose the configuration of an audit.

    Parameters
    ----------
    output
        Where the configuration will stand; paths in it become relative to its folder.
    model, data
        A path, or `package.module:function` of a module beside the configuration.
    labels
        A text file with a class name per line.
    input_range
        The pixel range that the model expects.
    inputs, outputs
        What further inputs are fixed to, as `age=50` or `place=1,2`, and which of several outputs is audited.
    choose
        Is asked where the images do not tell the order of the classes or the range.

    Raises
    ------
    AuditError
        The model cannot be loaded, the data cannot be read, or they do not fit each other.
    """
    beside = {name: _beside(output.parent, name) for name in (model, data, labels) if name is not None}
    config = AuditConfig(
        model=ModelConfig(
            source=model,
            labels=labels,
            input_range=input_range,
            inputs=dict(map(_read_input, inputs)),
            outputs=outputs,
            trust=trust,
        ),
        data=DataConfig(source=data, max_corrupt=1),
        file=output,
        overridden=_OPTIONS,
    )
    source = open_source(config)
    look, shape = _look_at(source), first_image_shape(source)
    config, classifier, record = _load(config, shape, look.ranges[0])
    told = "given" if input_range else "guessed" if config.model.input_range else "told"
    usual = usual_orders(source.labels or (), classifier) if labels is None else [(classifier.classes, "")]
    others = look.others(classifier.image_shape)
    config = _with(config, "data", fit="resize" if others else "exact")
    sample = _open(config, source, classifier, _MOST_SCORED, classes=usual[0][0])
    next(sample.batches(1), None)  # whether its images are of a kind that can be audited
    fed: dict[Range | None, Classifier] = {config.model.input_range: classifier}
    if told == "guessed":
        assert isinstance(classifier, KerasClassifier)
        fed |= {limits: classifier.fed_in(limits) for limits in look.ranges[1:]}
    reading = read(fed, sample, usual, choose, may_reorder=labels is None)
    told = "chosen" if "range" in reading.asked else told
    names = None
    if labels is None and (len(reading.orders) > 1 or reading.orders[0].names != classifier.classes):
        names = reading.orders[0].names
    if names is not None or reading.input_range != config.model.input_range:
        config = _with(config, "model", labels=names or labels, input_range=reading.input_range)
        config, classifier, record = _load(config, shape, look.ranges[0])
        sample = _open(config, source, classifier, _MOST_SCORED)
    planned = _open(config, source, classifier, DataConfig(source=data).limit)
    need = _describe_need(planned, classifier.classes, VerdictConfig().min_groups)

    environment = open_templates(autoescape=False)
    environment.filters |= {"toml": to_toml, "comment": _comment, "share": _share}
    text = environment.get_template("audit.toml.j2").render(
        config=config,
        beside=beside,
        usual=AuditConfig(model=config.model, data=DataConfig(source=config.data.source), file=output),
        model=record,
        told=told,
        only_range=len(look.ranges) == 1,
        names=names,
        order="" if names is None else _describe_order(reading),
        images=_describe_images(_open(config, source, classifier, "all"), classifier.classes),
        look=look,
        others=others,
        right=reading.right,
        rights=reading.ranges,
        flags=find_flags(source),
        most_flags=_MOST_NAMED,
        need=need,
        methods={name: describe_options(function) for name, function in METHODS.items()},
        studies=list(STUDIES),
    )
    guesses = [f"model.input_range = {to_toml(config.model.input_range)}"] if told == "guessed" else []
    if names is not None and "order" not in reading.asked:
        tried = [f"{_share(order.right)} right in {order.kind}" for order in reading.orders]
        guesses.append(f"model.labels = {to_toml(names)}" + (f" ({', '.join(tried)})" if len(tried) > 1 else ""))
    notes = [mistake.text for mistake in find_mistakes(classifier, sample)]
    return Proposal(text + "\n", guesses, notes + ([need.text] if need.is_short else []))


def _read_input(text: str) -> tuple[str, float | tuple[float, ...]]:
    """The name of an input and what it is fixed to."""
    name, _, written = text.partition("=")
    try:
        numbers = tuple(float(number) for number in written.split(","))
    except ValueError:
        numbers = ()
    if not name.strip() or not numbers or not np.isfinite(numbers).all():
        raise ConfigError(f"--inputs: got {text!r}, wanted NAME=NUMBER, as age=50, or numbers, as place=1,2")
    return name.strip(), numbers[0] if len(numbers) == 1 else numbers


@dataclass(frozen=True)
class _Need:
    """How many groups of images a verdict needs, and how many there are."""

    text: str
    is_short: bool


@dataclass(frozen=True)
class _Look:
    """What some images, spread over all, are like."""

    count: int
    sizes: Counter[tuple[int, int]]
    """Height and width of those that can be read."""
    unreadable: list[str]
    span: Range = (0, 1)
    """The lowest and the highest value of those that are fractions, and 0 and 1."""

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The usual pixel ranges of a model that these may be meant for: beyond [0, 1] those that they lie in."""
        low, high = self.span
        return tuple(limits for limits in _RANGES if limits[0] <= low and high <= limits[1]) or _RANGES

    def others(self, shape: tuple[int, int, int]) -> list[tuple[str, int]]:
        """Sizes that are not the model's, the commonest first, and how many have them."""
        height, width, _ = shape
        return [(f"{w} x {h}", n) for (h, w), n in self.sizes.most_common() if (h, w) != (height, width)]


def _look_at(source: Source) -> _Look:
    if not source.ids:
        raise MisfitError("--data: data.source: there are no images")
    wanted = np.unique(np.linspace(0, len(source.ids) - 1, _MOST_LOOKED_AT).astype(int)).tolist()
    sizes: Counter[tuple[int, int]] = Counter()
    unreadable = []
    low, high = 0.0, 1.0
    for position, raw in source.stream(wanted):
        if isinstance(raw, CorruptImageError):
            unreadable.append(f"{source.ids[position]}: {raw}")
        elif raw.ndim >= 2:
            sizes[raw.shape[0], raw.shape[1]] += 1
            if raw.dtype.kind == "f" and raw.size and np.isfinite(raw).all():
                low, high = min(low, float(raw.min())), max(high, float(raw.max()))
    if len(unreadable) == len(wanted):
        got = f"none of {len(wanted)} images looked at can be read; the first is {unreadable[0]}"
        raise DataError(f"--data: data.source: {got}")
    return _Look(len(wanted), sizes, unreadable, (low, high) if high - low > 1.01 else (0, 1))


def _load(
    config: AuditConfig, shape: tuple[int, int, int] | None, usual: Range
) -> tuple[AuditConfig, Classifier, ModelRecord]:
    """The model, fed with pixels in the usual range where neither it nor the configuration tells one."""
    try:
        return config, *load_classifier(config, shape)
    except ConfigError as fault:
        if fault.path != ("model", "input_range"):
            raise
    config = _with(config, "model", input_range=usual)
    return config, *load_classifier(config, shape)


def _open(
    config: AuditConfig,
    source: Source,
    classifier: Classifier,
    limit: int | str,
    classes: tuple[str, ...] | None = None,
) -> Dataset:
    try:
        return open_dataset(
            _with(config, "data", limit=limit),
            source,
            classes=classes or classifier.classes,
            image_shape=classifier.image_shape,
            multilabel=classifier.output == "multilabel",
        )
    except DataError as fault:
        is_of_names = "labels that the model lacks" in str(fault) and config.model.labels is None
        hint = "; name the classes of the model with --labels" if is_of_names else ""
        raise type(fault)(f"{fault}{hint}") from None


def _describe_order(reading: Reading) -> str:
    """Why the names of the classes stand in the order of a reading, in sentences."""
    first, *others = reading.orders
    if "order" in reading.asked:
        return "Chosen by hand, for the images do not tell in which order the model has its classes."
    if not others:
        told = "the data name as many classes as the model has, so here they stand in the order of the alphabet, as"
        return f"A GUESS, to be checked: {told} Keras numbers the folders that it trains on."
    told = f"{_share(first.right)} of {len(first.right)} labelled images are predicted rightly in this order,"
    also = ", ".join(f"{_share(order.right)} in {order.kind}" for order in others)
    return f"A GUESS, to be checked: {told} {first.kind}, {also}."


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


def _describe_need(sample: Dataset, classes: tuple[str, ...], least: int) -> _Need:
    """Whether a sample has as many groups of images of each class, and of all others, as a verdict needs."""
    groups = sample.groups
    count = len(np.unique(groups))
    wanted = (
        f"A verdict on a class needs {least} independent groups of images of other classes, to put the artefact into, "
        f"and {least} of the class itself, or whether it holds the class back stays untested"
    )
    have = f"the sample of {len(sample)} images has {count} groups"
    if sample.truth is None:
        return _Need(f"{wanted}; without labels, what is predicted counts, and {have}.", count < 2 * least)
    own = {name: len(np.unique(groups[sample.truth[:, at]])) for at, name in enumerate(classes)}
    others = {name: len(np.unique(groups[sample.labelled & ~sample.truth[:, at]])) for at, name in enumerate(classes)}
    few = [f"{name} ({own[name]})" for name in classes if own[name] < least]
    alone = [f"all but {name} ({others[name]})" for name in classes if others[name] < least]
    short = [*alone, *few]
    if not short:
        fewest = min(own, key=lambda name: own[name])
        return _Need(f"{wanted}; {have}, at the fewest {own[fewest]} of {fewest}.", False)
    more = f" and {len(short) - _MOST_SHORT} more" if len(short) > _MOST_SHORT else ""
    return _Need(f"{wanted}; {have}, too few of {', '.join(short[:_MOST_SHORT])}{more}.", True)


def _with(config: AuditConfig, section: str, **values: Any) -> AuditConfig:
    """The configuration with other values in one section."""
    return config.model_copy(update={section: getattr(config, section).model_copy(update=values)})


def _beside(folder: Path, name: str) -> str:
    """A path as a file in that folder names it; functions, addresses and what lies on another drive stay as they are.

    Raises
    ------
    ConfigError
        Its bytes are no UTF-8, which TOML cannot say.
    """
    if is_function_spec(name) or is_address(name):
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

_OPTIONS: dict[KeyPath, str] = {
    ("model", "source"): "--model",
    ("model", "labels"): "--labels",
    ("model", "input_range"): "--input-range",
    ("model", "inputs"): "--inputs",
    ("model", "outputs"): "--outputs",
    ("data", "source"): "--data",
}
"""The keys that options of the command line stand for."""

_MOST_LOOKED_AT = 100
_MOST_SCORED = 200
_MOST_NAMED = 20
_MOST_SHORT = 6
