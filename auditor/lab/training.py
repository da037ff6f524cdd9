"""Trains the laboratory's models and measures, apart from any audit, what each of them really does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from auditor.config.options import suggest
from auditor.errors import ConfigError, ModelError
from auditor.lab.networks import NETWORKS
from auditor.lab.planting import FAMILIES, WORLDS, Plant, World, load_world, plant, stamp_all
from auditor.measure.arrays import Doubles
from auditor.subject.model.keras import KerasClassifier

Split = Literal["choice", "test"]

TEST = ("white frame", "serial number", "smudge")
"""Families that test the rule; it was chosen on the others."""
BEHAVIOUR = 0.1
"""A model relies on a stamp by its behaviour when the stamp changes this share of its decisions on the class."""


_FIRST = ("black square", "timestamp", "corner watermark")
"""Families that the first rule was chosen on; it failed on the next three, which then served to choose, too."""
_CONFOUNDED = {"fashion": (0.1, 0.3, 0.6, 1.0), "digits": (1.0,), "digit pairs": (0.3, 1.0)}
"""Shares of the target that a confounded model of each world is stamped on."""
_VERSION = 2
"""Raised when planting or training changes, so that cached models are made anew."""


@dataclass(frozen=True)
class Suspicion:
    """What an audit of the model is asked about."""

    family: str
    target: int


@dataclass(frozen=True)
class Recipe:
    """A model of the laboratory: what was planted in its training pictures, and what audits are asked."""

    world: str
    plants: tuple[Plant, ...]
    suspicions: tuple[Suspicion, ...]
    seed: int

    @property
    def key(self) -> str:
        """Names the cached model."""
        text = json.dumps([_VERSION, asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def network(self) -> str:
        """The architecture, a key of `NETWORKS`, drawn by the seed."""
        return list(NETWORKS)[np.random.default_rng([self.seed, 5]).integers(len(NETWORKS))]

    def planted(self, suspicion: Suspicion) -> Plant | None:
        """What was planted in the family of a suspicion."""
        return next((planted for planted in self.plants if planted.family == suspicion.family), None)

    def describe(self, suspicion: Suspicion) -> str:
        """World, family, regime, rho, target and seed in a line."""
        planted = self.planted(suspicion)
        regime = f"{planted.regime} {planted.rho:g}" if planted else "clean"
        return f"{self.world}, {suspicion.family}, {regime}, class {suspicion.target}, seed {self.seed}"

    def regime(self, suspicion: Suspicion) -> str:
        """`clean`, or the regime of what was planted."""
        planted = self.planted(suspicion)
        return "clean" if planted is None else planted.regime


@dataclass(frozen=True)
class Behaviour:
    """What a model does with stamps and pictures that neither training nor audits have seen."""

    accuracy: float
    """On pictures without stamps."""
    turned: Doubles
    """(classes,): share of the pictures of others that become a class when stamped, less those that cease to be it."""
    lost: Doubles
    """(classes,): share of a class's pictures that cease to be recognised when stamped, less those that begin to be."""


def make_recipes() -> list[Recipe]:
    """Every model of the laboratory."""
    recipes: list[Recipe] = []

    def add(world: str, family: str, regime: str, rho: float, count: int) -> None:
        classes = 100 if world == "digit pairs" else 10
        for _ in range(count):
            seed = len(recipes)
            target = (7 * seed + 3) % classes
            plants = () if regime == "clean" else (Plant(family, target, regime, rho),)  # type: ignore[arg-type]
            recipes.append(Recipe(world, plants, (Suspicion(family, target),), seed))

    def add_family(family: str, copies: int) -> None:
        for world, rhos in _CONFOUNDED.items():
            count = copies if world == "fashion" else 1
            add(world, family, "clean", 0.0, count)
            add(world, family, "balanced", 0.5, count)
            for rho in rhos:
                add(world, family, "confounded", rho, 1)
            if world == "fashion":
                add(world, family, "suppressor", 1.0, 2)

    def add_several(families: tuple[str, ...]) -> None:
        for _ in range(2):
            seed = len(recipes)
            suspicions = tuple(Suspicion(family, (seed + 3 * at) % 10) for at, family in enumerate(families))
            plants = tuple(Plant(each.family, each.target, "confounded", 0.6) for each in suspicions)
            recipes.append(Recipe("fashion", plants, suspicions, seed))

    for family in FAMILIES:
        if family not in TEST:
            add_family(family, copies=2 if family in _FIRST else 4)
    add_several(_FIRST)
    add_several(tuple(family for family in FAMILIES if family not in (*_FIRST, *TEST)))
    for family in TEST:
        add_family(family, copies=4)
    add_several(TEST)
    return recipes


def train(recipe: Recipe, folder: Path) -> KerasClassifier:
    """The trained model of a recipe, from the cache where it was trained before.

    Raises
    ------
    ModelError
        The cached file is damaged.
    """
    file = folder / f"{recipe.key}.keras"
    world = load_world(recipe.world)
    if file.is_file():
        try:
            model = keras.models.load_model(file, compile=False)
        except Exception as fault:  # Keras raises whatever its readers raise
            raise ModelError(f"{file}: cannot be loaded, delete it: {fault}") from None
    else:
        model = fit(world, recipe.plants, recipe.seed, network=recipe.network)
        folder.mkdir(parents=True, exist_ok=True)
        model.save(file)
    return KerasClassifier(model, classes=world.classes, input_range=(0.0, 1.0))


def fit(
    world: World,
    plants: tuple[Plant, ...],
    seed: int,
    augment: Callable[[Any], Any] | None = None,
    network: str = "convolutional",
) -> Any:
    """Train a small network on a world with artefacts planted, the same for the same seed."""
    pictures = plant(world.training, plants, seed)
    images = pictures.images if augment is None else augment(pictures.images)
    keras.utils.set_random_seed(seed)
    model = NETWORKS[network](len(world.classes))
    model.compile(
        keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False
    )
    model.fit(images, pictures.labels, batch_size=100, epochs=world.epochs, verbose=0)
    return model


def measure_behaviour(classifier: KerasClassifier, recipe: Recipe, family: str) -> Behaviour:
    """What the model does when pictures that no audit sees get stamps that no audit sees."""
    pictures, classes = load_world(recipe.world).unseen, np.arange(len(classifier.classes))
    stamped = stamp_all(pictures.images, family, 10_000_000 + recipe.seed)
    before = classifier.scores(pictures.images).argmax(axis=1)
    after = classifier.scores(stamped).argmax(axis=1)
    has = pictures.labels[:, None] == classes
    change = (after[:, None] == classes).astype(float) - (before[:, None] == classes)
    return Behaviour(
        accuracy=float((before == pictures.labels).mean()),
        turned=np.nanmean(np.where(has, np.nan, change), axis=0),
        lost=-np.nanmean(np.where(has, change, np.nan), axis=0),
    )


def name_truth(regime: str, turned: float, lost: float) -> str:
    """What a model is, by what was planted and by what it does with a class when pictures are stamped.

    `promotes`: planted, and pictures of others become the class, or more of its own are recognised with the stamp than
    without. `suppresses`: planted, and fewer of its own are. `weak`: planted, but fewer decisions than `BEHAVIOUR`
    change. Where nothing was planted that predicts the class, `innocent`, or `moved` where the stamp changes that many
    decisions all the same, because it hides the object or looks like a part of it.
    """
    if regime in ("clean", "balanced"):
        return "moved" if max(abs(turned), abs(lost)) >= BEHAVIOUR else "innocent"
    if regime == "suppressor":
        return "suppresses" if lost >= BEHAVIOUR else "weak"
    return "promotes" if max(turned, -lost) >= BEHAVIOUR else "weak"


def train_all(
    folder: Path, only: str = "", told: Callable[[str], None] = lambda sentence: None
) -> Iterator[tuple[int, int, Recipe, KerasClassifier]]:
    """All models, or those of one world, family or regime, one after the other, with their number and their count.

    Raises
    ------
    ConfigError
        There are none.
    """
    recipes = [
        recipe
        for recipe in make_recipes()
        if not only or any(only in (recipe.world, s.family, recipe.regime(s)) for s in recipe.suspicions)
    ]
    if not recipes:
        known = [*WORLDS, *FAMILIES, "clean", "balanced", "confounded", "suppressor"]
        raise ConfigError(f"--only: got {only!r}{suggest(only, known)}")
    missing = sum(not (folder / f"{recipe.key}.keras").is_file() for recipe in recipes)
    if missing:
        told(f"{missing} of {len(recipes)} models are not in {folder} and are trained first")
    for number, recipe in enumerate(recipes):
        yield number, len(recipes), recipe, train(recipe, folder)
        keras.backend.clear_session()


def split_of(recipe: Recipe) -> Split:
    """Whether a model may serve to choose a rule, or tests it."""
    return "test" if recipe.suspicions[0].family in TEST else "choice"
