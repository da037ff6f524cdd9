"""Properties of whole images that go with a class: light, contrast, sharpness, noise, saturation and colour.

Each property that differs has an edit that would give it to images of other classes: that edit is the suspect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.ndimage import laplace

from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.discovery.candidate import Proposal
from auditor.discovery.material import Material
from auditor.measure.arrays import Doubles, Floats, Ints

Options = dict[str, float | str]


def propose_properties(material: Material, passes: int) -> Iterator[Proposal]:
    """Edits that make images of others as light, sharp or colourful as those of a class, where these differ.

    What some images of a class have shows in the strongest quarter of them, which is compared with that of others. Of
    several edits the one is taken that does to others most nearly what tells the former from the latter.
    """
    del passes  # few images tell which tint
    measured = {name: measure(material.images) for name, measure in PROPERTIES.items()}
    found = []
    for number in material.classes:
        own, others = material.own(number), material.others(number)
        for name, values in measured.items():
            spread = max(float(values[others].std()), 1e-6)
            for sign in (1, -1):
                apart = _strongest(sign * values[own]) - _strongest(sign * values[others])
                if apart >= LEAST_APART * spread:
                    found.append((apart / spread, number, name, sign * apart))
    found.sort(key=lambda each: -each[0])
    for size, number, name, apart in found[:MOST]:
        strong, kind, options = _find_edit(material, number, name, measured[name], apart)
        look = ARTEFACT_KINDS[kind](material.images.shape[1:], **options)
        told = f"{'more' if apart > 0 else 'less'} {'noise' if kind == 'noise' else name}"
        yield Proposal("properties", number, (look,), size, tuple(strong[:8].tolist()), kind, options, told)
    yield from _propose_tints(material)


def _strongest(values: Doubles) -> float:
    """The mean of the upper quarter of some numbers (n,)."""
    return float(np.sort(values)[-max(2, len(values) // 4) :].mean())


def _find_edit(material: Material, number: int, name: str, values: Doubles, apart: float) -> tuple[Ints, str, Options]:
    """Rows of a class, the strongest first, and the edit that gives others what these have: its kind and options.

    Parameters
    ----------
    values
        Of the property, (n,).
    apart
        By how much those of the class are larger, or smaller.
    """
    own, others = (
        rows[np.argsort(-values[rows] * np.sign(apart), kind="stable")]
        for rows in (material.own(number), material.others(number))
    )
    strong, rivals = (material.images[rows[: max(2, len(rows) // 4)][:_TRIED]] for rows in (own, others))
    wanted = _profile(strong) - _profile(rivals)
    some = material.images[material.others(number, _TRIED)]
    usual = float(PROPERTIES[name](some).mean())

    def miss(edit: tuple[str, Options]) -> float:
        return float(np.abs(_profile(_edited(some, *edit)) - _profile(some) - wanted).mean())

    return own, *min(_edits_for(name, usual + apart, usual, some), key=miss)


def _propose_tints(material: Material) -> Iterator[Proposal]:
    """Tints towards the colour that images of a class have more of, and that the model scores it higher for.

    The mean colours of a class and of others, and the slopes of the score by the mean colour, tell the way with errors
    of their own: it is half that of the one and half that of the other. A class has more of a colour where its mean
    lies that way from that of others, clearly beyond what independent groups of images vary by; else there is no tint.
    """
    if material.images.shape[-1] != 3 or not material.classes:
        return
    colours = material.images.mean(axis=(1, 2), dtype=np.float64)
    rows = material.all(_ASKED)
    slopes = np.zeros((3, *material.seen.scores.shape[1:]))
    lacks = ~material.seen.has[rows]
    for channel in range(3):
        step = np.where(np.arange(3) == channel, STEP, 0).astype(np.float32)
        up, down = (material.scores(np.clip(material.images[rows] + sign * step, 0, 1)) for sign in (1, -1))
        slopes[channel] = ((up - down) * lacks).sum(axis=0) / np.maximum(lacks.sum(axis=0), 1) / (2 * STEP)
    found = []
    for number in material.classes:
        own, usual = material.own(number), colours[material.others(number)].mean(axis=0)
        apart, wanted = colours[own].mean(axis=0) - usual, slopes[:, number] / material.spread[number]
        way = _unit(_unit(apart) + _unit(wanted))
        if _unit(apart) @ way < NEAR_WAY or _sureness(material, number, colours @ way) < CLEAR:
            continue
        size = float(np.clip(2 * np.linalg.norm(apart), *SHIFTS))  # some of the class may lack it
        found.append((float(wanted @ way) * size, number, way, size, usual))
    found.sort(key=lambda each: -each[0])
    for rise, number, way, size, usual in found[:MOST_TINTS]:
        if rise <= 0:
            continue
        own = material.own(number)
        room = np.where(way > 0, 1 - usual, usual) / np.maximum(np.abs(way), 1e-9)
        far = max(float(room.min()), 2 * size)
        ink = np.round(255 * np.clip(usual + far * way, 0, 1)).astype(int)
        colour = "#" + "".join(f"{value:02x}" for value in ink)
        options: Options = {"colour": colour, "strength": round(size / far, 3)}
        look = ARTEFACT_KINDS["tint"](material.images.shape[1:], **options)
        strong = own[np.argsort(-(colours[own] @ way), kind="stable")[:8]]
        told = f"more of the colour {colour}"
        yield Proposal("properties", number, (look,), rise, tuple(strong.tolist()), "tint", options, told)


def _sureness(material: Material, number: int, values: Doubles) -> float:
    """By how many standard errors over independent groups the mean of values (n,) is larger in a class than in others.

    0 where either has one group alone.
    """
    means, variance = list[float](), 0.0
    for rows in (material.own(number), material.others(number)):
        _, of = np.unique(material.seen.groups[rows], return_inverse=True)
        levels = np.bincount(of, values[rows]) / np.bincount(of)
        if len(levels) < 2:
            return 0.0
        means.append(float(levels.mean()))
        variance += float(levels.var(ddof=1)) / len(levels)
    return (means[0] - means[1]) / max(variance**0.5, 1e-9)


def _unit(vector: Doubles) -> Doubles:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12))


def _edits_for(name: str, wanted: float, usual: float, images: Floats) -> Iterator[tuple[str, Options]]:
    """The edits that bring a property of images (n, h, w, c) from what is usual to what is wanted, nearly."""
    if name != "sharpness":
        yield name, {"factor": round(float(np.clip(wanted / max(usual, 1e-3), 0.2, 5.0)), 3)}
    for kind, option, amounts, others in (_LESS if wanted < usual else _MORE).get(name, ()):

        def miss(amount: float, kind: str = kind, option: str = option, others: Options = others) -> float:
            edited = _edited(images, kind, {option: amount, **others})
            return abs(float(PROPERTIES[name](edited).mean()) - wanted)

        yield kind, {option: min(amounts, key=miss), **others}


def _edited(images: Floats, kind: str, options: Options) -> Floats:
    look = ARTEFACT_KINDS[kind](images.shape[1:], **options)
    return look.insert(images, np.random.default_rng(0).spawn(len(images)))


def _profile(images: Floats) -> Doubles:
    """How strong the detail of images (n, h, w, c) is, and how light they are, from least to most, as logarithms.

    Sharpening makes all detail stronger, noise the faintest most, and spots the strongest.
    """
    grey = images.mean(axis=-1)
    fine = np.abs(np.stack([laplace(image) for image in grey]))
    parts = [(fine, (0.5, 0.75, 0.9, 0.97, 0.99)), (grey, (0.1, 0.5, 0.9))]
    quantiles = [np.quantile(part.reshape(len(images), -1), shares, axis=1) for part, shares in parts]
    return np.asarray(np.log(np.concatenate(quantiles) + _FAINT).mean(axis=1), np.float64)


def _saturation(images: Floats) -> Doubles:
    return np.asarray((images.max(axis=-1) - images.min(axis=-1)).mean(axis=(1, 2)), np.float64)


def _sharpness(images: Floats) -> Doubles:
    grey = images.mean(axis=-1)
    edges = np.abs(np.stack([laplace(image) for image in grey])).mean(axis=(1, 2))
    return np.asarray(edges / (grey.std(axis=(1, 2)) + 1e-2), np.float64)


PROPERTIES: dict[str, Callable[[Floats], Doubles]] = {
    "brightness": lambda images: np.asarray(images.mean(axis=(1, 2, 3)), np.float64),
    "contrast": lambda images: np.asarray(images.std(axis=(1, 2, 3)), np.float64),
    "sharpness": _sharpness,
    "saturation": _saturation,
}
"""What is measured of images (n, h, w, c) -> (n,)."""

LEAST_APART, MOST = 0.5, 8
"""Standard deviations that a class must differ by; and properties that are tried."""

MOST_TINTS, SHIFTS, STEP = 3, (0.08, 0.15), 0.04
"""Tints that are tried; by how much they move the mean colour; and the step by which slopes are asked for."""

NEAR_WAY, CLEAR = 0.8, 3.0
"""Cosine of the way of a tint and that from others to a class; and standard errors that lie between them along it."""

_TRIED, _ASKED = 24, 96
"""Images that an amount is fitted to, and that slopes are asked on."""

_FAINT = 1e-3
"""What is too little to be told from nothing."""

_Way = tuple[str, str, tuple[float, ...], Options]
"""Kind of an edit, the option that says how strong it is, its amounts, and other options."""

_LESS: dict[str, tuple[_Way, ...]] = {
    "brightness": (("gamma", "exponent", (1.15, 1.3, 1.5, 1.8), {}),),
    "sharpness": (("blur", "sigma", (0.4, 0.6, 0.8, 1.2, 2.0), {}), ("jpeg", "quality", (5, 10, 20, 40), {})),
}
_MORE: dict[str, tuple[_Way, ...]] = {
    "brightness": (("gamma", "exponent", (0.55, 0.65, 0.75, 0.9), {}),),
    "sharpness": (
        ("sharpen", "amount", (0.3, 0.6, 1.0, 2.0), {}),
        ("noise", "strength", (0.02, 0.04, 0.08, 0.15), {}),
        ("noise", "strength", (0.01, 0.02, 0.04, 0.08), {"pattern": "salt"}),
    ),
}
"""What gives a class less or more of a property, beside the edit that has its name."""
