"""Activation maximisation of the audited model: what it looks for, and whether that carries an artefact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from auditor.explain.attribution.likeness import correlations
from auditor.explain.inquiry import Inquiry, NotApplicableError
from auditor.explain.optima.ascent import Ascent, Recipe, mean_cosines
from auditor.explain.optima.match import find_direction, match_artefact, why_not
from auditor.explain.optima.objectives import (
    Feature,
    feature_mean,
    find_features,
)
from auditor.explain.optima.parametrisation import Basis, Constraint
from auditor.explain.optima.record import (
    ClassOptimum,
    Comparison,
    CurvePoint,
    FeatureOptimum,
    Looks,
    OptimaRecord,
    Optimum,
    Side,
    Snapshot,
)
from auditor.explain.optima.search import REAL_SHOWN, ClassObjective, Maximiser, RealLooks, Start, Way, look_at, set_up
from auditor.explain.texture import high_frequency_share
from auditor.measure.arrays import Array, Doubles, Floats, Ints
from auditor.measure.intervals import (
    mean_interval,
    median_interval,
    ratio_interval,
    share_interval,
    within,
)
from auditor.measure.measurement import Measurement, Note
from auditor.subject.model.classifier import predicted_classes, to_probability

Weight = Annotated[float, Field(ge=0)]

_LARGE = 128 * 128
"""Pixels of an image from which the defaults are those for large images."""

_SMALL_CAP, _LARGE_CAP = 12, 4
_SMALL_STEPS, _LARGE_STEPS = 256, 96
_FEATURE_RESTARTS = 4

_SNAPSHOTS = (0, 1, 10, 50)
_WATCHED = (0, 1, 2, 5, 10, 20, 50, 100, 150, 200, 300, 500, 1000)


def study_optima(
    inquiry: Inquiry,
    *,
    steps: Annotated[int, Field(ge=1, le=4096)] | None = None,
    restarts: Annotated[int, Field(ge=2, le=64)] = 8,
    classes: Annotated[int, Field(ge=1, le=1000)] | None = None,
    objective: ClassObjective = "logit",
    start: Start = "noise",
    basis: Basis = "fourier",
    constraint: Constraint = "sigmoid",
    optimiser: Literal["adam", "plain"] = "adam",
    rate: Annotated[float, Field(gt=0)] = 0.05,
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

    Where images are large (128 x 128 pixels or more), `steps` is 96 instead of 256 and `classes` 4 instead of 12
    unless given. `l2` and `total_variation` weigh in standard deviations of the class's log-odds over the real images.
    `features` are channels ("conv_2:5") or neurons ("conv_2:5@3,4": row 3, column 4). Restarts of a feature repel each
    other (`diversity`, cosine of pixels) and pay no penalties; those of a class are independent.

    References: Erhan et al., "Visualizing higher-layer features of a deep network" (2009); Simonyan et al., "Deep
    inside convolutional networks" (2014); Olah, Mordvintsev, Schubert, "Feature visualization" (2017).
    """
    population, classifier = inquiry.images, inquiry.classifier
    if len(population) < 2:
        raise NotApplicableError("there are fewer than two usable images to compare optimal inputs with")
    wanted = find_features(classifier, features)
    height, width, _ = classifier.image_shape
    is_large = height * width >= _LARGE
    steps = steps or (_LARGE_STEPS if is_large else _SMALL_STEPS)
    most = classes or (_LARGE_CAP if is_large else _SMALL_CAP)
    recipe = Recipe(
        steps=steps,
        rate=rate,
        optimiser=optimiser,
        l2=l2,
        total_variation=total_variation,
        blur_every=blur_every,
        jitter=max(1, round(max(height, width) / 28)) if jitter is None else jitter,
        scale=scale,
        rotation=rotation,
    )
    way = Way(objective, start, basis, constraint, recipe)
    chosen, reasons = _choose_classes(inquiry, most)
    maximiser = set_up(inquiry)
    plain = way.unpenalised()  # a feature is a weaker call than a class: penalties would leave it grey
    repelling = replace(plain, start="noise", recipe=replace(plain.recipe, diversity=diversity))
    looks = look_at(maximiser.images)

    stages = 5 + len(inquiry.artefacts) + len(wanted)
    done = iter(range(1, stages + 1))

    def progress() -> None:
        inquiry.progress("optimal inputs", next(done), stages)

    targets, starts = np.repeat(chosen, restarts), np.tile(np.arange(restarts), len(chosen))
    climbed = maximiser.climb_classes(way, targets, starts, {*_SNAPSHOTS, steps}, {*_WATCHED, steps})
    optima = climbed.images.reshape(len(chosen), restarts, *classifier.image_shape)
    found = _record_classes(maximiser, climbed, chosen, reasons, restarts, way)
    progress()
    comparisons = _compare(maximiser, looks, way, chosen, optima[:, 0], progress)
    directions = []
    for number in range(len(inquiry.artefacts)):
        directions.append(find_direction(maximiser, number, repelling, 1 if is_large else _FEATURE_RESTARTS))
        progress()
    excited = []
    for feature in wanted:
        excited.append(_excite(maximiser, feature, repelling))
        progress()
    return OptimaRecord(
        steps=steps,
        restarts=restarts,
        objective=objective,
        start=start,
        recipe=_in_words(way),
        sampled=len(maximiser.images),
        classes=found,
        looks=_measure_looks(maximiser, looks, optima, chosen),
        comparisons=comparisons,
        features=[*(direction for direction in directions if direction is not None), *excited],
        matches=[
            match_artefact(maximiser, number, chosen, optima, of_data=way.is_of_data)
            for number in range(len(inquiry.artefacts))
        ],
        notes=_notes(inquiry, chosen, directions),
    )


def _choose_classes(inquiry: Inquiry, most: int) -> tuple[Ints, list[str]]:
    """The artefacts' targets, then the classes predicted most often, and why each was chosen."""
    reasons: dict[int, str] = {}
    for number, artefact in enumerate(inquiry.artefacts):
        target = inquiry.targets[number]
        if target is not None and target not in reasons:
            reasons[target] = f"target of {artefact.name}"
    counts = inquiry.images.predicted.sum(axis=0)
    for number in np.argsort(-counts, kind="stable"):
        reasons.setdefault(int(number), f"predicted for {counts[number]} images")
    kept = list(reasons)[:most]
    return np.array(kept), [reasons[number] for number in kept]


def _record_classes(
    maximiser: Maximiser,
    climbed: Ascent,
    chosen: Ints,
    reasons: list[str],
    restarts: int,
    way: Way,
) -> list[ClassOptimum]:
    inquiry = maximiser.inquiry
    names, population = inquiry.classifier.classes, inquiry.images
    _, odds, predicted = maximiser.score(climbed.images)
    found = []
    for place, number in enumerate(chosen):
        rows = np.arange(place * restarts, (place + 1) * restarts)
        own = odds[rows, number]
        best = int(rows[np.argmax(climbed.values[rows])])
        key = names[number]
        top = np.argsort(-population.scores[:, number], kind="stable")[:REAL_SHOWN]
        inquiry.rows.note(
            own,
            image=[f"optimum of {key}, {restart}" for restart in range(restarts)],
            predicted=[predicted[row] for row in rows],
            target=key,
            measurement="log-odds of the optimum",
            method="optima",
        )
        found.append(
            ClassOptimum(
                name=key,
                reason=reasons[place],
                optimum=Optimum(
                    maximiser.keep(key, climbed.images[best], of_data=way.is_of_data),
                    float(climbed.values[best]),
                    float(to_probability(odds[best, number])),
                    predicted[best],
                ),
                log_odds=_mean(own, inquiry.level, "log-odds"),
                probability=_mean_probability(to_probability(own), inquiry.level),
                snapshots=[
                    Snapshot(
                        step,
                        maximiser.keep(f"{key}, step {step}", climbed.snapshots[step][best], of_data=way.is_of_data),
                        float(climbed.curve[step][best]),
                    )
                    for step in sorted(climbed.snapshots)
                ],
                curve=[
                    CurvePoint(step, _mean_objective(values[rows], inquiry.level, way.objective))
                    for step, values in sorted(climbed.curve.items())
                ],
                real=maximiser.real_images(key, top.tolist(), population.scores[top, number]),
            )
        )
    return found


def _compare(
    maximiser: Maximiser, looks: RealLooks, way: Way, classes: Ints, main: Floats, progress: Callable[[], None]
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
    optima: dict[str, Floats] = {}
    for name, each in ways.items():
        if each not in known:
            known[each] = maximiser.climb_classes(each, classes, first).images
        optima[name] = known[each]
        if name != "noise":
            progress()
    sides = {
        name: _measure_side(maximiser, looks, name, images, classes, of_data=ways[name].is_of_data)
        for name, images in optima.items()
    }
    shown = maximiser.inquiry.classifier.classes[classes[0]]
    real = maximiser.start_images(classes[:1], first[:1])[0]
    picture = maximiser.keep(f"{shown}, image to start from", real, of_data=True)
    found = []
    for topic, one, other in (
        ("start", "noise", "image"),
        ("objective", "logit", "probability"),
        ("regularisation", "noise", "bare"),
    ):
        odds = [sides[name][1] for name in (one, other)]
        alike = correlations(optima[one], optima[other])
        found.append(
            Comparison(
                topic=topic,  # type: ignore[arg-type]
                shown=shown,
                start_picture=picture if topic == "start" else None,
                first=sides[one][0],
                second=sides[other][0],
                gain=_mean(odds[1] - odds[0], maximiser.inquiry.level, "log-odds"),
                correlation=_mean(alike, maximiser.inquiry.level, "correlation"),
            )
        )
    return found


def _measure_side(
    maximiser: Maximiser, looks: RealLooks, name: str, images: Floats, classes: Ints, *, of_data: bool
) -> tuple[Side, Array]:
    level, rows = maximiser.inquiry.level, np.arange(len(classes))
    scores, odds, _ = maximiser.score(images)
    rough, fine = looks.ratios(images)
    own = odds[rows, classes]
    side = Side(
        name=name,
        picture=maximiser.keep(f"compared, {name}", images[0], of_data=of_data),
        logit=_mean(scores[rows, classes].astype(np.float64), level, "logit"),
        log_odds=_mean(own, level, "log-odds"),
        probability=_mean_probability(to_probability(own), level),
        total_variation=_mean(rough, level, "ratio"),
        high_frequency=_mean(fine, level, "ratio"),
        fine=_mean(high_frequency_share(images), level, "share"),
    )
    return side, own


def _excite(maximiser: Maximiser, feature: Feature, way: Way) -> FeatureOptimum:
    objective = feature_mean([feature] * _FEATURE_RESTARTS)
    one = feature_mean([feature])
    classifier = maximiser.sized(1)
    seen = [classifier.linearise(image[None], (feature.layer,)) for image in maximiser.images]
    everywhere = np.concatenate([one.judge(each.scores, each.features).values for each in seen])
    groups = maximiser.inquiry.images.groups[maximiser.at]
    usual = median_interval(everywhere, groups, maximiser.inquiry.level, unit="feature")
    kind: Literal["channel", "neuron"] = "channel" if feature.place is None else "neuron"
    return maximiser.excite(str(feature), kind, None, objective, way, _FEATURE_RESTARTS, everywhere, usual=usual)


def _measure_looks(maximiser: Maximiser, looks: RealLooks, optima: Floats, chosen: Ints) -> Looks:
    level, count, restarts = maximiser.inquiry.level, len(chosen), optima.shape[1]
    flat = optima.reshape(-1, *optima.shape[2:])
    rough, fine = (values.reshape(count, restarts).mean(axis=1) for values in looks.ratios(flat))
    scores, odds, _ = maximiser.score(flat)
    targets = np.repeat(chosen, restarts)
    rows = np.arange(len(flat))
    own = odds[rows, targets]
    is_as_asked = predicted_classes(scores.astype(np.float32), maximiser.inquiry.classifier.output)[rows, targets]
    groups = maximiser.inquiry.images.groups[maximiser.at]
    of_class = np.arange(count)
    alike = mean_cosines(flat, targets).reshape(count, restarts).mean(axis=1)
    return Looks(
        total_variation=median_interval(rough, of_class, level, unit="ratio"),
        high_frequency=median_interval(fine, of_class, level, unit="ratio"),
        real_total_variation=median_interval(looks.total_variation, groups, level, unit="difference per pixel"),
        real_high_frequency=median_interval(looks.high_frequency, groups, level, unit="share"),
        predicted_as_asked=share_interval(is_as_asked, targets, level),
        probability=_mean_probability(to_probability(own).reshape(count, restarts).mean(axis=1), level),
        restarts_alike=_mean(alike, level, "correlation"),
    )


def _mean(values: Doubles, level: float, unit: str, score: str | None = None) -> Measurement:
    """The mean over classes or restarts; of ratios the geometric one."""
    values, each = np.asarray(values, np.float64), np.arange(len(values))
    if unit == "ratio":
        return ratio_interval(values, each, level)
    return mean_interval(values, each, level, unit=unit, score=score)


def _mean_objective(values: Doubles, level: float, objective: ClassObjective) -> Measurement:
    measured = _mean(values, level, "objective")
    return within(measured, 0, 1) if objective == "probability" else measured


def _mean_probability(values: Doubles, level: float) -> Measurement:
    return _mean(values, level, "share", "probability")


def _in_words(way: Way) -> str:
    recipe = way.recipe
    parts = ["frequencies of decorrelated colours" if way.basis == "fourier" else "pixels"]
    parts.append("kept valid by a sigmoid" if way.constraint == "sigmoid" else "clipped to [0, 1] at every step")
    parts += [f"L2 penalty {recipe.l2:g}"] if recipe.l2 else []
    parts += [f"total variation penalty {recipe.total_variation:g}"] if recipe.total_variation else []
    parts += [f"blurred every {recipe.blur_every} steps"] if recipe.blur_every else []
    parts += [f"jittered by up to {recipe.jitter} pixel{'' if recipe.jitter == 1 else 's'}"] if recipe.jitter else []
    parts += [f"scaled by up to {recipe.scale:.0%}"] if recipe.scale else []
    parts += [f"turned by up to {recipe.rotation:g} degrees"] if recipe.rotation else []
    return ", ".join(parts)


def _notes(inquiry: Inquiry, chosen: Ints, directions: list[FeatureOptimum | None]) -> list[Note]:
    names = inquiry.classifier.classes
    notes = []
    if len(chosen) < len(names):
        told = (
            f"{len(chosen)} of {len(names)} classes were optimised: the targets of the artefacts, then those predicted "
            "most often; `classes` sets how many"
        )
        notes.append(Note("classes", told))
    for artefact, direction in zip(inquiry.artefacts, directions, strict=True):
        if direction is None:
            reason = why_not(artefact) or (
                "it moves no features" if inquiry.classifier.feature_layers else "the model shows no feature maps"
            )
            notes.append(Note("direction", f"the direction of {artefact.name} was not optimised: {reason}"))
    return notes
