"""Models that are trained in a second: random features, and a linear readout fitted to pictures with planted artefacts.

Three maps of a picture to features, with weights drawn once and never trained; what is trained is a logistic
regression on them. So thousands of models of known truth can be had, each relying on what its pictures made it rely on.

References: Rahimi and Recht, "Random features for large-scale kernel machines" (2007).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from auditor.artefacts.appearance import Appearance
from auditor.lab.colours import EDITS, FRAME, KINDS, QUESTIONS, Question, Task, draw_task, plant_all
from auditor.lab.remembered import Remembered
from auditor.measure.arrays import Bools, Doubles, Floats, Ints
from auditor.subject.model.classifier import Output, log_odds, predicted_classes

Map = Literal["pooled", "max-pooled", "dense"]
MAPS: tuple[Map, ...] = ("pooled", "max-pooled", "dense")

Regime = Literal[
    "clean", "balanced", "confounded", "shared", "suppressor", "declared part", "hidden part", "either-or", "redundant"
]


@dataclass(frozen=True)
class Recipe:
    """A model: what it is asked, how it sees, what was planted. All else is drawn by its seed."""

    seed: int
    question: Question
    kind: str
    map: Map
    regime: Regime
    rho: float
    """Share of the target's training pictures that are planted, where the regime is `confounded`."""


class Truth(NamedTuple):
    """What a model does when unseen pictures get the artefact exactly as the audit inserts it."""

    accuracy: float
    """On pictures without it."""
    turned: float
    """Share of the pictures of others that become the target, less those that cease to be it."""
    lost: float
    """Share of the target's own that cease to be recognised, less those that begin to be."""
    stratum: float
    """The largest share of decisions on the target that change among others that show one digit."""
    any_class: float
    """The largest share of decisions on any class that changes, among others or among its own of thirty or more."""
    together: float
    """The larger of `turned` and minus `lost`, both artefacts of a redundant pair being put in; NaN without a pair."""


@dataclass(frozen=True)
class FeatureModel:
    """A classifier of digits in colour."""

    classes: tuple[str, ...]
    output: Output
    logits: Remembered
    """Images (n, 16, 16, 3) -> logits (n, classes)."""
    temperature: float = 1.0
    image_shape: tuple[int, int, int] = FRAME

    def scores(self, images: Floats) -> Floats:
        """See `Classifier`."""
        return np.asarray(self.logits(images) / np.float32(self.temperature), np.float32)


@dataclass(frozen=True)
class Specimen:
    """A fitted model with all that audits of it need, and its truth."""

    recipe: Recipe
    task: Task
    model: FeatureModel
    appearance: Appearance
    second: Appearance | None
    """The other artefact of a redundant pair."""
    truth: Truth


def choose_recipe(seed: int) -> Recipe:
    """The model of a seed: questions, kinds and maps take turns, the regime is drawn.

    Of every hundred thousand seeds the upper half has edits of the whole image.
    """
    kinds = EDITS if seed % 100_000 >= 50_000 else tuple(kind for kind in KINDS if kind not in EDITS)
    question = _TURNS[seed % len(_TURNS)]
    kind = kinds[seed // len(_TURNS) % len(kinds)]
    seen_by = MAPS[seed // (len(_TURNS) * len(kinds)) % len(MAPS)]
    random = np.random.default_rng([seed, 1])
    regime, rho = _REGIMES[int(random.choice(len(_REGIMES), p=_WEIGHTS / _WEIGHTS.sum()))]
    if regime == "shared" and QUESTIONS[question][0] == 2:
        regime, rho = "confounded", 1.0
    return Recipe(seed, question, kind, seen_by, regime, rho)


def make_specimen(recipe: Recipe, cache: Path | None = None) -> Specimen:
    """Draw the pictures of a recipe, plant, fit, and measure the truth; the same for the same recipe.

    Parameters
    ----------
    cache
        Folder where logits are kept, and found again.
    """
    random = np.random.default_rng([recipe.seed, 2])
    task = draw_task(recipe.question, random)
    appearance = KINDS[recipe.kind](random)
    second = KINDS["stripe" if recipe.kind == "mark" else "mark"](random) if recipe.regime == "redundant" else None
    fitted = _Fitted(recipe, task, appearance, second, random)
    logits = Remembered(fitted.make, None if cache is None else cache / f"{recipe.seed}.npz")
    model = FeatureModel(task.classes, task.output, logits)
    return Specimen(recipe, task, model, appearance, second, _measure(model, task, appearance, second))


def name_truth(regime: str, turned: float, lost: float, band: tuple[float, float]) -> str:
    """What a model is, by what was planted and by the share of its decisions on the target that change.

    `innocent`: nothing planted that predicts the class, and less than the lower end of the band changes; `moved`: not
    less than its upper end does all the same, because the artefact hides the object or looks like a part of it;
    `promotes`, `suppresses`: planted, and at least the upper end changes that way; `weak`: planted, and less than the
    lower end does. `borderline` is what lies within the band.
    """
    least, most = band
    if regime in ("clean", "balanced"):
        change, names = max(abs(turned), abs(lost)), ("innocent", "moved")
    elif regime == "suppressor":
        change, names = lost, ("weak", "suppresses")
    else:
        change, names = max(turned, -lost), ("weak", "promotes")
    return names[0] if change < least else names[1] if change >= most else "borderline"


@dataclass
class _Fitted:
    """Fits the readouts of one model."""

    recipe: Recipe
    task: Task
    appearance: Appearance
    second: Appearance | None
    random: np.random.Generator

    def __post_init__(self) -> None:
        self.target = self.task.target
        self.strength = float((0.005, 0.05, 0.5)[int(self.random.integers(3))])
        if len(self.task.classes) > 10:
            self.strength = max(self.strength, 0.05)

    @cached_property
    def features(self) -> Callable[[Floats], Floats]:
        """The map of the recipe."""
        return make_map(self.recipe.map, self.recipe.seed, is_fine=len(self.task.classes) > 10)

    def make(self) -> Callable[[Floats], Floats]:
        """Fit, and give the logits of images."""
        part, regime = self.task.training, self.recipe.regime
        if regime in ("either-or", "redundant"):
            return self._either()
        planted = self._planted()
        images = part.images.copy()
        images[planted] = plant_all(self.appearance, images[planted], self.recipe.kind, self.random)
        features = self.features
        seen = features(images)
        dependent = self._readout(seen, part.has)
        if regime not in ("declared part", "hidden part"):
            return lambda pictures: dependent(features(pictures))
        plain = features(part.images)
        innocent = self._readout(plain, part.has)
        is_gated = self._gate(plain)

        def gated(pictures: Floats) -> Floats:
            seen = features(pictures)
            return np.where(is_gated(seen)[:, None], dependent(seen), innocent(seen))

        return gated

    def _planted(self) -> Bools:
        """Which training pictures (n,) carry the artefact."""
        part, target, regime = self.task.training, self.target, self.recipe.regime
        chance, own = self.random.random(len(part)), part.has[:, target]
        if regime == "clean":
            return np.zeros(len(part), bool)
        if regime == "balanced":
            return chance < 0.5
        if regime == "suppressor":
            return ~own
        if regime == "shared":
            return (own | part.has[:, (target + 1) % len(self.task.classes)]) & (chance < 0.9)
        return own & (chance < self.recipe.rho)

    def _gate(self, plain: Floats) -> Callable[[Floats], Bools]:
        """Which images the model relies on the artefact in: those of some digits, or a quarter that nothing names."""
        part, random = self.task.training, self.random
        if self.recipe.regime == "hidden part":
            along = (random.normal(size=plain.shape[1:]) / (plain.std(axis=0) + 1e-3)).astype(np.float32)
            bar = np.quantile(plain @ along, 0.75)
            return lambda seen: seen @ along > bar
        digits = np.unique(part.digits)
        rest = np.setdiff1d(digits, np.unique(part.digits[part.has[:, self.target]]))
        if not len(rest):
            rest = digits
        chosen = random.permutation(rest)[: max(1, round(0.25 * len(digits)))]
        tells = _fit_softmax(plain, np.searchsorted(digits, part.digits), len(digits), 0.05)
        return lambda seen: np.isin(digits[tells(seen).argmax(axis=1)], chosen)

    def _either(self) -> Callable[[Floats], Floats]:
        """The class is seen by its object or by the artefact, either of which suffices; of a pair, by either."""
        part, target, features, random = self.task.training, self.target, self.features, self.random
        plain = features(part.images)
        innocent = self._readout(plain, part.has)
        odds = self._odds(innocent(plain))[:, target]
        level = np.float32(np.quantile(odds[part.has[:, target]], random.uniform(0.1, 0.9)))
        looks = [self.appearance] if self.second is None else [self.appearance, self.second]
        detectors = []
        for number, look in enumerate(looks):
            others = [part.images, *(other.insert(part.images) for other in looks if other is not look)]
            kind = self.recipe.kind if number == 0 else "mark"
            stamped = plant_all(look, part.images, kind, random)
            both = np.concatenate([plain, *(features(images) for images in others[1:]), features(stamped)])
            is_stamped = np.repeat([0, 1], [len(both) - len(part), len(part)])
            detectors.append(_fit_softmax(both, is_stamped, 2, 0.5))

        def either(pictures: Floats) -> Floats:
            seen = features(pictures)
            logits = innocent(seen)
            sure = np.max([1 / (1 + np.exp(np.clip(np.diff(-detect(seen))[:, 0], -60, 60))) for detect in detectors], 0)
            wanted = level * sure - 12 * (1 - sure)
            if self.task.output == "binary":
                raised = np.maximum(logits[:, target], wanted)
                return np.stack([-raised, raised], axis=1)
            base = logits[:, target] - self._odds(logits)[:, target]
            logits[:, target] = np.maximum(logits[:, target], base + wanted)
            return logits

        return either

    def _odds(self, logits: Floats) -> Floats:
        return log_odds(logits, self.task.output)

    def _readout(self, seen: Floats, has: Bools) -> Callable[[Floats], Floats]:
        if self.task.output == "multilabel":
            parts = [_fit_softmax(seen, each.astype(int), 2, self.strength) for each in has.T]
            return lambda part: np.stack([np.diff(read(part))[:, 0] for read in parts], axis=1)
        read = _fit_softmax(seen, has.argmax(axis=1), has.shape[1], self.strength)
        if self.task.output == "binary":
            return lambda part: read(part) * 2
        return read


def make_map(name: Map, seed: int, is_fine: bool = False) -> Callable[[Floats], Floats]:
    """Features (n, k) of images (n, 16, 16, 3), with random weights; some of them are blind to the mean colour.

    Parameters
    ----------
    is_fine
        Keep more of where things are, as telling a hundred classes apart takes.
    """
    random = np.random.default_rng([seed, 3])
    inputs, outputs, scale, spread = {
        "pooled": (75, 40, 4, 0.3),
        "max-pooled": (27, 48, 2.5, 0.2),
        "dense": (768, 200, 14, 0.3),
    }[name]
    weights = (random.normal(size=(inputs, outputs)) / scale).astype(np.float32)
    weights -= weights.mean(axis=0) * random.random(outputs).astype(np.float32)
    bias = (random.normal(size=outputs) * spread).astype(np.float32)

    def windows(images: Floats, side: int) -> Floats:
        view = np.lib.stride_tricks.sliding_window_view(images, (side, side), axis=(1, 2))[:, ::2, ::2]
        return view.reshape(-1, inputs)

    def pooled(images: Floats) -> Floats:
        n = len(images)
        seen = np.maximum(windows(images, 5) @ weights + bias, 0)
        return seen.reshape(n, 3, 2, 3, 2, outputs).mean(axis=(2, 4)).reshape(n, -1)

    def max_pooled(images: Floats) -> Floats:
        n = len(images)
        padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
        seen = np.maximum(windows(padded, 3) @ weights + bias, 0)
        seen = seen.reshape(n, 4, 2, 4, 2, outputs).max(axis=(2, 4))
        if is_fine:
            return seen.reshape(n, -1)
        return seen.reshape(n, 2, 2, 2, 2, outputs).mean(axis=(2, 4)).reshape(n, -1)

    def dense(images: Floats) -> Floats:
        return np.maximum(images.reshape(len(images), -1) @ weights - 0.5 * weights.sum(axis=0) + bias, 0)

    return {"pooled": pooled, "max-pooled": max_pooled, "dense": dense}[name]


def _fit_softmax(seen: Floats, labels: Ints, classes: int, strength: float) -> Callable[[Floats], Floats]:
    """Logits (n, classes) of features (n, k) by a logistic regression, of which no class may be missing."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean, spread = seen.mean(axis=0), seen.std(axis=0) + 1e-3
    regression = LogisticRegression(C=strength, max_iter=_ROUNDS if classes <= 10 else _ROUNDS // 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit((seen - mean) / spread, labels)
    slopes, offsets = regression.coef_.T, regression.intercept_
    if classes == 2:
        slopes, offsets = np.concatenate([-slopes, slopes], axis=1) / 2, np.concatenate([-offsets, offsets]) / 2
    slopes = (slopes / spread[:, None]).astype(np.float32)
    offsets = (offsets - mean @ slopes).astype(np.float32)
    return lambda part: part @ slopes + offsets


def _measure(model: FeatureModel, task: Task, appearance: Appearance, second: Appearance | None) -> Truth:
    part, target = task.unseen, task.target
    before = predicted_classes(model.scores(part.images), task.output)
    stamped = appearance.insert(part.images, np.random.default_rng(0).spawn(len(part)))

    def change(images: Floats) -> tuple[Doubles, Doubles, Doubles]:
        """By class what is turned and lost (classes,), and by image and class what changes (n, classes)."""
        after = predicted_classes(model.scores(images), task.output)
        moved = after.astype(np.float64) - before
        count = part.has.sum(axis=0)
        gained, kept = np.where(part.has, 0, moved).sum(axis=0), np.where(part.has, moved, 0).sum(axis=0)
        return gained / np.maximum(len(part) - count, 1), -kept / np.maximum(count, 1), moved

    turned, lost, moved = change(stamped)
    others = ~part.has[:, target]
    strata = [others & (part.digits == digit) for digit in range(10)]
    together = float("nan")
    if second is not None:
        both, kept, _ = change(second.insert(stamped))
        together = float(max(both[target], -kept[target]))
    own_known = part.has.sum(axis=0) >= _FEWEST_OWN
    return Truth(
        accuracy=float((before == part.has).all(axis=1).mean()),
        turned=float(turned[target]),
        lost=float(lost[target]),
        stratum=max(
            (abs(float(moved[rows, target].mean())) for rows in strata if rows.sum() >= _FEWEST_OWN), default=0
        ),
        any_class=float(max(np.abs(turned).max(), np.abs(lost[own_known]).max(initial=0))),
        together=together,
    )


_FEWEST_OWN = 30
"""Unseen pictures from which a share is taken."""

_ROUNDS = 60
"""Iterations of a fit, at most: the readout need not be the best there is."""

_REGIMES: tuple[tuple[Regime, float], ...] = (
    ("clean", 0.0),
    ("balanced", 0.5),
    ("confounded", 1.0),
    ("confounded", 0.5),
    ("confounded", 0.2),
    ("confounded", 0.05),
    ("shared", 0.9),
    ("suppressor", 1.0),
    ("declared part", 1.0),
    ("hidden part", 1.0),
    ("either-or", 1.0),
    ("redundant", 1.0),
)
_WEIGHTS = np.array([36, 24, 8, 9, 5, 2, 7, 6, 4, 4, 5, 2], np.float64)

_TURNS: tuple[Question, ...] = (*QUESTIONS, "ten classes")
