"""Activation maximisation of the audited model: what it looks for, and whether that carries an artefact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from auditor.explain.attribution.likeness import correlations
from auditor.explain.inquiry import Inquiry, NotApplicableError
from auditor.explain.optima.ascent import Ascent, Recipe, evaluate, mean_cosines
from auditor.explain.optima.match import find_direction, match_artefact, why_not
from auditor.explain.optima.objectives import Feature, feature_mean, find_features
from auditor.explain.optima.parametrisation import Basis, Constraint
from auditor.explain.optima.record import (
    ClassOptimum,
    Comparison,
    CurvePoint,
    FeatureOptimum,
    Looks,
    OptimaRecord,
    Side,
    Snapshot,
)
from auditor.explain.optima.search import ClassObjective, Maximiser, Start, Way, set_up
from auditor.explain.texture import high_frequency_share
from auditor.measure.arrays import Doubles, Floats, Ints, take
from auditor.measure.intervals import median_interval, share_interval, within
from auditor.measure.measurement import Note
from auditor.measure.words import PER_CENT
from auditor.subject.model.classifier import predicted_classes, to_probability

Weight = Annotated[float, Field(ge=0)]

_LARGE = 128 * 128
"""Pixels of an image from which the defaults are those for large images."""

_SMALL_CAP, _LARGE_CAP = 12, 4
_FEATURE_RESTARTS = 4
_RATE, _SLOW_RATE = 0.2, 0.05

_SNAPSHOTS = (0, 1, 10, 50)
_WATCHED = (0, 1, 2, 5, 10, 20, 50, 100, 150, 200, 300, 500, 1000)


def study_optima(
    inquiry: Inquiry,
    *,
    steps: Annotated[int, Field(ge=1, le=4096)] = 96,
    restarts: Annotated[int, Field(ge=2, le=64)] = 8,
    classes: Annotated[int, Field(ge=1, le=1000)] | None = None,
    objective: ClassObjective = "logit",
    start: Start = "noise",
    basis: Basis = "fourier",
    constraint: Constraint = "sigmoid",
    optimiser: Literal["adam", "plain"] = "adam",
    rate: Annotated[float, Field(gt=0)] | None = None,
    l2: Weight = 10.0,
    total_variation: Weight = 5.0,
    blur_every: Annotated[int, Field(ge=0)] = 0,
    jitter: Annotated[int, Field(ge=0)] | None = None,
    scale: Annotated[float, Field(ge=0, lt=0.5)] = 0.05,
    rotation: Annotated[float, Field(ge=0, le=45)] = 5.0,
    diversity: Weight = 1.0,
    features: tuple[str, ...] = (),
) -> OptimaRecord:
    """Images optimised to excite a class, a channel or a direction most: what the model looks for.

    Where images are large (128 x 128 pixels or more), `classes` is 4 instead of 12 and `rate` 0.05 instead of 0.2
    unless given; it is 0.05 with plain steps, too, which are as long as the derivative is. `l2` and
    `total_variation` weigh in standard deviations of the class's log-odds over the real images. `features` are
    channels ("conv_2:5") or neurons ("conv_2:5@3,4": row 3, column 4). Restarts of a feature repel each other
    (`diversity`, cosine of pixels) and pay no penalties; those of a class are independent.

    References: Erhan et al., "Visualizing higher-layer features of a deep network" (2009); Simonyan et al., "Deep
    inside convolutional networks" (2014); Olah, Mordvintsev, Schubert, "Feature visualization" (2017).
    """
    population, classifier = inquiry.images, inquiry.classifier
    if len(population) < 2:
        raise NotApplicableError("there are fewer than two usable images to compare optimal inputs with")
    wanted = find_features(classifier, features)
    height, width, _ = classifier.image_shape
    is_large = height * width >= _LARGE
    most = classes or (_LARGE_CAP if is_large else _SMALL_CAP)
    jitter = max(1, round(max(height, width) / 28)) if jitter is None else jitter
    rate = rate or (_RATE if optimiser == "adam" and not is_large else _SLOW_RATE)
    recipe = Recipe(steps, rate, optimiser, l2, total_variation, blur_every, jitter, scale, rotation)
    way = Way(objective, start, basis, constraint, recipe)
    chosen = _choose_classes(inquiry, most)
    numbers = np.array(list(chosen))
    maximiser = set_up(inquiry)
    plain = way.unpenalised()  # a feature is a weaker call than a class: penalties would leave it grey
    repelling = replace(plain, start="noise", recipe=replace(plain.recipe, diversity=diversity))
    feature_restarts = 1 if is_large else _FEATURE_RESTARTS

    stages = 5 + len(inquiry.artefacts) + len(wanted)
    done = iter(range(1, stages + 1))

    def progress() -> None:
        inquiry.progress("optimal inputs", next(done), stages)

    targets, starts = np.repeat(numbers, restarts), np.tile(np.arange(restarts), len(numbers))
    climbed = maximiser.climb_classes(way, targets, starts, {*_SNAPSHOTS, steps}, {*_WATCHED, steps})
    optima = climbed.images.reshape(len(numbers), restarts, *classifier.image_shape)
    found = _record_classes(maximiser, way, climbed, chosen, restarts)
    comparisons = _compare(maximiser, way, numbers, optima[:, 0], progress)
    directions = []
    for number in range(len(inquiry.artefacts)):
        directions.append(find_direction(maximiser, number, repelling, feature_restarts))
        progress()
    excited = []
    for feature in wanted:
        excited.append(_excite(maximiser, feature, repelling))
        progress()
    looks = _measure_looks(maximiser, climbed.images, targets, restarts)
    artefacts = range(len(inquiry.artefacts))
    matches = [match_artefact(maximiser, number, numbers, optima, of_data=way.is_of_data) for number in artefacts]
    return OptimaRecord(
        steps=steps,
        restarts=restarts,
        objective=objective,
        start=start,
        recipe=_in_words(way),
        sampled=len(maximiser.sample),
        classes=found,
        looks=looks,
        comparisons=comparisons,
        features=[*(direction for direction in directions if direction is not None), *excited],
        matches=matches,
        notes=_notes(inquiry, len(numbers), directions),
    )


def _choose_classes(inquiry: Inquiry, most: int) -> dict[int, str]:
    """The artefacts' targets, then the classes predicted most often, and why each was chosen."""
    reasons: dict[int, str] = {}
    for artefact, target in zip(inquiry.artefacts, inquiry.targets, strict=True):
        if target is not None:
            reasons.setdefault(target, f"target of {artefact.name}")
    counts = inquiry.images.predicted.sum(axis=0)
    for number in np.argsort(-counts, kind="stable").tolist():
        reasons.setdefault(number, f"predicted for {counts[number]} images")
    return dict(list(reasons.items())[:most])


def _record_classes(
    maximiser: Maximiser, way: Way, climbed: Ascent, chosen: dict[int, str], restarts: int
) -> list[ClassOptimum]:
    """What excites each class most: of climbs (classes * restarts), class by class."""
    inquiry, population = maximiser.inquiry, maximiser.inquiry.images
    _, odds, predicted = maximiser.score(climbed.images)
    found = []
    for place, (number, reason) in enumerate(chosen.items()):
        rows = np.arange(place * restarts, (place + 1) * restarts)
        own, name, log_odds = take(climbed, rows), inquiry.classifier.classes[number], odds[rows, number]
        share, said = to_probability(log_odds), [predicted[row] for row in rows]
        best = int(own.values.argmax())
        inquiry.rows.note(
            log_odds,
            image=[f"optimum of {name}, {restart}" for restart in range(restarts)],
            predicted=said,
            target=name,
            measurement="log-odds of the optimum",
            method="optima",
        )
        optimum = maximiser.optimum(name, own, best, way, said[best], float(share[best]))
        snapshots = []
        for step, images in sorted(own.snapshots.items()):
            picture = maximiser.keep(f"{name}, step {step}", images[best], of_data=way.is_of_data)
            snapshots.append(Snapshot(step, picture, float(own.curve[step][best])))
        curve = []
        for step, values in sorted(own.curve.items()):
            reached = maximiser.mean(values, "objective")
            curve.append(CurvePoint(step, within(reached, 0, 1) if way.objective == "probability" else reached))
        found.append(
            ClassOptimum(
                name=name,
                reason=reason,
                optimum=optimum,
                log_odds=maximiser.mean(log_odds, "log-odds"),
                probability=maximiser.mean(share, "share", "probability"),
                snapshots=snapshots,
                curve=curve,
                real=maximiser.best_images(name, np.arange(len(population)), population.scores[:, number]),
            )
        )
    return found


def _compare(
    maximiser: Maximiser, way: Way, classes: Ints, main: Floats, progress: Callable[[], None]
) -> list[Comparison]:
    """Noise against image start, logit against probability, regularised against bare pixels: one restart each."""
    first = np.zeros(len(classes), np.int64)
    usual = replace(way, start="noise", objective="logit")
    plain = usual.unpenalised()
    ways = {
        "noise": usual,
        "image": replace(usual, start="image"),
        "logit": plain,
        "probability": replace(plain, objective="probability"),
        "bare": usual.bare(),
    }
    known: dict[Way, Floats] = {way: main}
    sides: dict[str, Side] = {}
    odds: dict[str, Doubles] = {}
    for name, each in ways.items():
        if each not in known:
            known[each] = maximiser.climb_classes(each, classes, first).images
        sides[name], odds[name] = _measure_side(maximiser, name, known[each], classes, of_data=each.is_of_data)
        progress()
    shown = maximiser.inquiry.classifier.classes[classes[0]]
    real = maximiser.start_images(classes[:1], first[:1])[0]
    picture = maximiser.keep(f"{shown}, image to start from", real, of_data=True)
    return [
        Comparison(
            topic=topic,  # type: ignore[arg-type]
            shown=shown,
            start_picture=picture if topic == "start" else None,
            first=sides[one],
            second=sides[other],
            gain=maximiser.mean(odds[other] - odds[one], "log-odds"),
            correlation=maximiser.mean(correlations(known[ways[one]], known[ways[other]])),
        )
        for topic, one, other in _COMPARISONS
    ]


def _measure_side(
    maximiser: Maximiser, name: str, images: Floats, classes: Ints, *, of_data: bool
) -> tuple[Side, Doubles]:
    """What one way found, an image of each class (n, h, w, c), and the log-odds (n,) of these."""
    scores, odds, _ = maximiser.score(images)
    rough, fine = maximiser.looks.ratios(images)
    rows, mean = np.arange(len(classes)), maximiser.mean
    own = odds[rows, classes]
    side = Side(
        name=name,
        picture=maximiser.keep(f"compared, {name}", images[0], of_data=of_data),
        logit=mean(scores[rows, classes].astype(np.float64), "logit"),
        log_odds=mean(own, "log-odds"),
        probability=mean(to_probability(own), "share", "probability"),
        total_variation=mean(rough, "ratio"),
        high_frequency=mean(fine, "ratio"),
        fine=mean(high_frequency_share(images), "share"),
    )
    return side, own


def _excite(maximiser: Maximiser, feature: Feature, way: Way) -> FeatureOptimum:
    """What excites one channel or neuron most."""
    one, level = feature_mean([feature]), maximiser.inquiry.level
    everywhere = np.concatenate([evaluate(maximiser.sized(1), one, image[None]) for image in maximiser.sample.images])
    usual = median_interval(everywhere, maximiser.sample.groups, level, unit="feature")
    objective = feature_mean([feature] * _FEATURE_RESTARTS)
    excited = maximiser.excite(str(feature), objective, way, _FEATURE_RESTARTS, everywhere)
    return FeatureOptimum(str(feature), "neuron" if feature.place else "channel", None, *excited, usual, None)


def _measure_looks(maximiser: Maximiser, optima: Floats, targets: Ints, restarts: int) -> Looks:
    """How optima (n, h, w, c) of classes, targets (n,), look: means over the restarts, then over the classes."""
    level, looks = maximiser.inquiry.level, maximiser.looks
    scores, odds, _ = maximiser.score(optima)
    rows = np.arange(len(targets))
    is_as_asked = predicted_classes(scores, maximiser.inquiry.classifier.output)[rows, targets]
    groups = maximiser.sample.groups

    def of_classes(values: Doubles) -> Doubles:
        return values.reshape(-1, restarts).mean(axis=1)

    rough, fine = (of_classes(values) for values in looks.ratios(optima))
    each = np.arange(len(rough))
    return Looks(
        total_variation=median_interval(rough, each, level, unit="ratio"),
        high_frequency=median_interval(fine, each, level, unit="ratio"),
        real_total_variation=median_interval(looks.total_variation, groups, level, unit="difference per pixel"),
        real_high_frequency=median_interval(looks.high_frequency, groups, level, unit="share"),
        predicted_as_asked=share_interval(is_as_asked, targets, level),
        probability=maximiser.mean(of_classes(to_probability(odds[rows, targets])), "share", "probability"),
        restarts_alike=maximiser.mean(of_classes(mean_cosines(optima, targets))),
    )


def _in_words(way: Way) -> str:
    recipe = way.recipe
    parts = ["frequencies of decorrelated colours" if way.basis == "fourier" else "pixels"]
    parts.append("kept valid by a sigmoid" if way.constraint == "sigmoid" else "clipped to [0, 1] at every step")
    parts += [f"L2 penalty {recipe.l2:g}"] if recipe.l2 else []
    parts += [f"total variation penalty {recipe.total_variation:g}"] if recipe.total_variation else []
    parts += [f"blurred every {recipe.blur_every} steps"] if recipe.blur_every else []
    parts += [f"jittered by up to {recipe.jitter} pixel{'' if recipe.jitter == 1 else 's'}"] if recipe.jitter else []
    parts += [f"scaled by up to {100 * recipe.scale:.0f}{PER_CENT}"] if recipe.scale else []
    parts += [f"turned by up to {recipe.rotation:g} degrees"] if recipe.rotation else []
    return ", ".join(parts)


def _notes(inquiry: Inquiry, optimised: int, directions: list[FeatureOptimum | None]) -> list[Note]:
    """What was left out, and why."""
    count, notes = len(inquiry.classifier.classes), []
    if optimised < count:
        order = "the targets of the artefacts, then those predicted most often; `classes` sets how many"
        notes.append(Note("classes", f"{optimised} of {count} classes were optimised: {order}"))
    no_features = "it moves no features" if inquiry.classifier.feature_layers else "the model shows no feature maps"
    for artefact, direction in zip(inquiry.artefacts, directions, strict=True):
        if direction is None:
            reason = why_not(artefact) or no_features
            notes.append(Note("direction", f"the direction of {artefact.name} was not optimised: {reason}"))
    return notes


_COMPARISONS = (("start", "noise", "image"), ("objective", "logit", "probability"), ("regularisation", "noise", "bare"))
"""What is compared, and the names of the two ways."""
