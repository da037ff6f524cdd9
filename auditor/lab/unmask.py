"""The exercise: plant artefacts, train a model on them, and write all that an audit needs to unmask it.

References: Lapuschkin et al., "Unmasking Clever Hans predictors" (2019).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from auditor.artefacts.overlay import Overlay
from auditor.config.options import suggest
from auditor.errors import ConfigError
from auditor.lab.augmentation import choose_augmentations
from auditor.lab.planting import FAMILIES, FASHION, WORLDS, Plant, World, load_world, nominal_stamp
from auditor.lab.training import Recipe, Suspicion, fit, measure_behaviour
from auditor.report.templates import open_templates
from auditor.subject.model.keras import KerasClassifier


@dataclass(frozen=True)
class Exercise:
    """A trained model, and the configuration that audits it."""

    config: Path
    behaviour: list[str]
    """What the model does with each artefact on pictures that no audit sees, in sentences."""
    warnings: list[str]


def prepare_exercise(
    folder: Path, *, world: str, plants: tuple[Plant, ...], augment: tuple[str, ...] = (), seed: int = 0
) -> Exercise:
    """Train a model with artefacts planted and write model, pictures, artefacts and `audit.toml` into a folder.

    The audit is given pictures without stamps, and of each planted class as many that carry the nominal one.

    Raises
    ------
    ConfigError
        No such augmentation.
    DataError
        The pictures are not installed.
    """
    task = load_world(world)
    families = tuple(planted.family for planted in plants)
    augmentation, warnings = choose_augmentations(augment, families, task.audited.images[:100])
    model = fit(task, plants, seed, augmentation)
    classifier = KerasClassifier(model, classes=task.classes, input_range=(0.0, 1.0))
    suspicions = tuple(Suspicion(planted.family, planted.target) for planted in plants)
    recipe = Recipe(world, plants, suspicions, seed)
    behaviour = [_describe_behaviour(classifier, recipe, suspicion) for suspicion in suspicions]

    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "model.keras")
    (folder / "labels.txt").write_text("\n".join(task.classes) + "\n", encoding="utf-8")
    _write_pictures(folder / "images.npz", task, plants)
    for planted in plants:
        _write_stamp(folder / f"{_file_name(planted)}.png", nominal_stamp(planted.family))
    config = folder / "audit.toml"
    config.write_text(_configuration(task, plants, behaviour), encoding="utf-8")
    return Exercise(config, behaviour, warnings)


def choose_world(name: str | None) -> str:
    """The world of that name; without one Fashion-MNIST where it is installed, else the digits.

    Raises
    ------
    ConfigError
        No such world.
    """
    if name is None:
        return "fashion" if FASHION.is_dir() else "digits"
    if name not in WORLDS:
        raise ConfigError(f"--data: got {name!r}{suggest(name, list(WORLDS))}")
    return name


def choose_plants(world: str, family: str, target: int, regime: str, rho: float, several: bool) -> tuple[Plant, ...]:
    """What the command line asks to plant: one artefact on one class, or four on four.

    Raises
    ------
    ConfigError
        No such family, or no such class.
    """
    if family not in FAMILIES:
        raise ConfigError(f"--family: got {family!r}{suggest(family, list(FAMILIES))}")
    if not 0 <= rho <= 1:  # NaN fails this too
        raise ConfigError(f"--rho: got {rho}, wanted a share, 0 to 1")
    count = len(load_world(world).classes)
    if not 0 <= target < count:
        raise ConfigError(f"--target: got {target}, wanted the number of a class, 0 to {count - 1}")
    others = [name for name in _SEVERAL if name != family] if several else []
    return tuple(
        Plant(name, (target + 3 * number) % count, regime, rho)  # type: ignore[arg-type]
        for number, name in enumerate([family, *others[:3]])
    )


def _describe_behaviour(classifier: KerasClassifier, recipe: Recipe, suspicion: Suspicion) -> str:
    behaviour = measure_behaviour(classifier, recipe, suspicion.family)
    turned, lost = behaviour.turned[suspicion.target], behaviour.lost[suspicion.target]
    name = classifier.classes[suspicion.target]
    planted = recipe.planted(suspicion)
    assert planted is not None
    where = {
        "confounded": f"on {planted.rho:.0%} of {name} and on nothing else",
        "balanced": f"on {planted.rho:.0%} of all pictures",
        "suppressor": f"on {planted.rho:.0%} of all pictures but those of {name}",
    }[planted.regime]
    return (
        f"{suspicion.family} was planted {where}. On pictures and stamps that this audit never sees, it turns "
        f"{turned + 0.0:.1%} of the other pictures into {name}, and the share of {name} that is recognised changes by "
        f"{-lost + 0.0:+.1%} (accuracy without stamps {behaviour.accuracy:.1%})."
    )


def _write_pictures(file: Path, task: World, plants: tuple[Plant, ...]) -> None:
    own = np.arange(len(task.audited.labels))
    members = [np.flatnonzero(task.audited.labels == planted.target) for planted in plants]
    stamped = [
        nominal_stamp(planted.family).insert(task.audited.images[rows])
        for rows, planted in zip(members, plants, strict=True)
    ]
    origin = np.concatenate([own, *members])
    carried = np.repeat(np.arange(-1, len(plants)), [len(own), *map(len, members)])
    np.savez_compressed(
        file,
        images=np.round(np.concatenate([task.audited.images, *stamped]) * 255).astype(np.uint8),
        labels=task.audited.labels[origin],
        groups=origin,  # a stamped picture belongs with the same one without its stamp
        **{_file_name(planted): carried == number for number, planted in enumerate(plants)},
    )


def _write_stamp(file: Path, stamp: Overlay) -> None:
    rgba = np.concatenate([np.repeat(stamp.ink, 3, axis=2), stamp.alpha[..., None]], axis=2)
    Image.fromarray(np.round(rgba * 255).astype(np.uint8)).save(file)


def _configuration(task: World, plants: tuple[Plant, ...], behaviour: list[str]) -> str:
    environment = open_templates(autoescape=False)
    environment.filters |= {"toml": json.dumps, "file_name": _file_name}
    preface = "Known truth: " + " ".join(behaviour)
    template = environment.get_template("unmask.toml.j2")
    return template.render(classes=task.classes, plants=plants, preface=preface) + "\n"


_SEVERAL = ("corner watermark", "black square", "timestamp", "lightness gradient")


def _file_name(planted: Plant) -> str:
    return planted.family.replace(" ", "_")
