"""Which methods of attribution deserve trust on this model: each is put to tests that a good one must pass."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Annotated

import numpy as np
from pydantic import Field

from auditor.explain.attribution.likeness import rank_correlations
from auditor.explain.attribution.question import Attribution
from auditor.explain.attribution.record import MapName
from auditor.explain.inquiry import Inquiry, NotApplicableError
from auditor.explain.trust.pixel_flipping import PixelFlipping, Score, readings_of, record_readings
from auditor.explain.trust.randomisation import Cascade, MethodGroup, mean_of_known, region_lifts, run_cascade
from auditor.explain.trust.record import (
    CascadeStage,
    LiftControl,
    MapLikeness,
    MethodTrust,
    Outcome,
    Status,
    TrustCriterion,
    TrustRecord,
    TrustTest,
)
from auditor.explain.trust.sample import Sample, draw_sample
from auditor.explain.trust.sanity import (
    FRACTIONS,
    LEAST_GROUPS,
    Reading,
    criteria_at_scale,
    judge,
    read_map,
    why_open,
)
from auditor.measure.arrays import Doubles, Floats, Ints
from auditor.measure.intervals import mean_interval, median_interval
from auditor.measure.measurement import Measurement
from auditor.measure.seeds import keyed_generators
from auditor.measure.words import say
from auditor.subject.data.pictures import to_pixels

Count = Annotated[int, Field(ge=2, le=1000)]
Times = Annotated[int, Field(ge=1, le=100)]
Share = Annotated[float, Field(gt=0, le=0.1)]
Criteria = dict[str, TrustCriterion]

_SMALL = 128 * 128
"""Pixels of an image up to which a costly method is tested on enough images to decide."""

_COMPLETENESS = "completeness residual"
"""The check of a path method that tells whether its attributions add up."""


def study_trust(
    inquiry: Inquiry,
    *,
    images: Count = 16,
    stages: Times = 8,
    draws: Times = 1,
    noise: Share = 0.01,
    costly_images: Count | None = None,
    costly_stages: Times = 3,
) -> TrustRecord:
    """Tests that maps must pass to be believed: they follow the model, the class, and what moves the score.

    Weights are drawn anew in so many `stages`, from the head down, `draws` times at each; `noise` is the standard
    deviation in the test of stability. A method that differentiates the model at a million pixels or more for one map
    is tested on `costly_images` (by default 12, and 4 where an image has more than 128 × 128 pixels: too few to decide)
    and `costly_stages`, with one draw.

    Regions are scored by absolute maps. So weights drawn anew must change signed and absolute maps alike, and the order
    passes by the absolute map alone; it fails where that of the signed map fails as well, for an exact map of what
    speaks for the target and against it puts only its signs in the order of the score.

    References: Adebayo et al., "Sanity checks for saliency maps" (2018); Sixt, Granz, Landgraf, "When explanations
    lie" (2020); Petsiuk, Das, Saenko, "RISE" (2018); Samek et al., "Evaluating the visualization of what a deep neural
    network has learned" (2017).
    """
    if not inquiry.attributions:
        raise NotApplicableError("no method of attribution is switched on")
    sample = draw_sample(inquiry, images)
    if not len(sample):
        raise NotApplicableError("no image can be used")
    alone = [
        MethodGroup(replace(inquiry, attributions=[method]), sample, stages, draws) for method in inquiry.attributions
    ]
    slow = [method for each in alone if each.is_costly() for method in each.inquiry.attributions]
    fast = [method for method in inquiry.attributions if method not in slow]
    usual = MethodGroup(replace(inquiry, attributions=fast), sample, stages, draws)
    if costly_images is None:
        height, width, _ = inquiry.classifier.image_shape
        costly_images = LEAST_GROUPS if height * width <= _SMALL else 4
    costly = MethodGroup(replace(inquiry, attributions=slow), sample.first(costly_images), costly_stages, 1)
    criteria = criteria_at_scale(float(np.median(inquiry.images.scores.std(axis=0))))
    flipping = PixelFlipping(inquiry, sample)
    methods: list[MethodTrust] = []
    maps: dict[MapName, Floats] = {}
    for group in (usual, costly):
        if group.inquiry.attributions:
            trained = group.explain()
            methods += _examine(group, trained, flipping, criteria, noise, is_costly=group is costly)
            maps |= {name: attribution.maps for name, attribution in trained.items()}
    inquiry.arrays.keep("trust image", to_pixels(sample.images[0]), of_data=True)
    return TrustRecord(
        images=len(sample),
        with_artefact=sum(number is not None for number in sample.artefacts),
        draws=draws,
        noise=noise,
        cell=flipping.side,
        fractions=list(FRACTIONS),
        criteria=list(criteria.values()),
        why_not_randomised=inquiry.classifier.why_no_weights or None,
        methods=methods,
        controls=flipping.record_controls(),
        likenesses=_compare_methods(sample, maps, inquiry.level),
        picture="trust image",
        pictured=f"{sample.ids[0]}, for {inquiry.classifier.classes[sample.targets[0]]}",
    )


def _examine(
    group: MethodGroup,
    trained: dict[MapName, Attribution],
    flipping: PixelFlipping,
    criteria: Criteria,
    noise: float,
    *,
    is_costly: bool,
) -> list[MethodTrust]:
    """Put every method of a group to all tests."""
    inquiry, sample = group.inquiry, group.sample
    cascade = run_cascade(group, trained)
    foils, why_no_foil = _other_classes(inquiry, sample)
    others = group.explain(targets=foils) if why_no_foil is None else {}
    noisy = group.explain(images=sample.images + noise * _draw_noise(inquiry, sample))
    found = []
    for name, attribution in trained.items():
        maps = attribution.maps
        signed = read_map(maps, "signed")
        values: dict[str, Doubles | str] = {
            "other class": why_no_foil or rank_correlations(signed, read_map(others[name].maps, "signed")),
            "small noise": rank_correlations(signed, read_map(noisy[name].maps, "signed")),
            "completeness": attribution.diagnostics.get(_COMPLETENESS, "such maps are not said to add up to anything"),
        }
        scores = {reading: flipping.score(read_map(maps, reading)) for reading in readings_of(name.method, maps)}
        ordered, best = _test_orders(group, name, scores, criteria)
        randomised = _test_randomised(group, name, cascade, list(scores), criteria["randomised weights"])
        tests = [randomised, *ordered] + [_test(group, name, criteria[key], value) for key, value in values.items()]
        tests.sort(key=lambda test: list(criteria).index(test.name))
        status, reason = _conclude(tests, criteria)
        found.append(
            MethodTrust(
                map=name,
                status=status,
                reason=reason,
                images=len(sample),
                is_costly=is_costly,
                best_reading=best,
                tests=tests,
                cascade=_record_cascade(group, name, cascade),
                readings=record_readings(maps, scores, sample, inquiry.level),
                lifts=_control_lifts(group, name, maps, cascade),
                trained_map=_keep_map(group, f"trust map {name}", signed[0][..., None]),
            )
        )
    return found


def _test(group: MethodGroup, method: MapName, criterion: TrustCriterion, values: Doubles | str) -> TrustTest:
    """One test by its figures of each image (n,), or why it is not applicable."""
    name = criterion.name
    if isinstance(values, str):
        return TrustTest(name, "not_applicable", None, values)
    groups, level = group.sample.groups, group.inquiry.level
    if name == "completeness":
        measured = median_interval(values, groups, level, unit="median")
    else:
        measured = mean_interval(values, groups, level, unit="correlation")
    _note(group, method, name, values)
    if measured.value is None:
        return TrustTest(name, "not_applicable", None, "its maps are the same everywhere")
    return _judged(criterion, measured, float(np.isnan(values).mean()) if name != "completeness" else 0.0)


def _judged(
    criterion: TrustCriterion, measured: Measurement, empty: float = 0.0, reading: str | None = None
) -> TrustTest:
    reason = why_open(criterion, measured, empty)
    return TrustTest(criterion.name, judge(criterion, measured, empty), measured, reason, reading)


def _test_randomised(
    group: MethodGroup, method: MapName, cascade: Cascade, readings: list[Reading], criterion: TrustCriterion
) -> TrustTest:
    """The test on the worse of two readings, whose intervals share the level's misses."""
    if cascade.why_not is not None:
        return TrustTest(criterion.name, "not_applicable", None, cascade.why_not)
    rivals, level = _rivals(group, readings)
    empty = max(stage.empty[method] for stage in cascade.stages)
    values = {
        reading: mean_of_known([stage.likeness[method][reading] for stage in cascade.stages]) for reading in rivals
    }
    rated: list[tuple[int, float, TrustTest]] = []
    for reading, known in values.items():
        _note(group, method, criterion.name, known, reading)
        measured = mean_interval(known, group.sample.groups, level, unit="correlation")
        if measured.value is not None:
            test = _judged(criterion, measured, empty, reading)
            rated.append((("passed", "open", "failed").index(test.outcome), measured.value, test))
    if not rated:
        return TrustTest(criterion.name, "not_applicable", None, "its maps are the same everywhere")
    return max(rated, key=lambda one: one[:2])[2]


def _rivals(group: MethodGroup, readings: list[Reading]) -> tuple[list[Reading], float]:
    """The readings that are tested, and the level of each one's interval."""
    rivals: list[Reading] = [reading for reading in ("absolute", "signed") if reading in readings]
    return rivals, 1 - (1 - group.inquiry.level) / len(rivals)


def _test_orders(
    group: MethodGroup, method: MapName, scores: dict[Reading, Score], criteria: Criteria
) -> tuple[list[TrustTest], str | None]:
    """The tests of deletion and insertion on the absolute reading, and the reading that beats a random order by most.

    The intervals of two readings share the level's misses.
    """
    groups = group.sample.groups
    rivals, level = _rivals(group, list(scores))

    def measure(values: Doubles) -> Measurement:
        return mean_interval(values, groups, level)

    together = {reading: measure(scores[reading].gains["together"]) for reading in rivals}
    judged = {reading: _judged(criteria["order"], together[reading], reading="absolute") for reading in rivals}
    ordered = judged["absolute"]
    if ordered.outcome == "failed" and any(test.outcome != "failed" for test in judged.values()):
        ordered = replace(ordered, outcome="open", reason="the order of its signed map has not failed")
    absolute = scores["absolute"]
    tests = [ordered]
    for name, values in (
        ("deletion", absolute.gains["deletion"]),
        ("insertion", absolute.gains["insertion"]),
        ("edge filter", absolute.over_edges),
    ):
        tests.append(_judged(criteria[name], measure(values), reading="absolute"))
        _note(group, method, name, values, "absolute")
    _note(group, method, "order", absolute.gains["together"], "absolute")
    better = [reading for reading in rivals if judged[reading].outcome == "passed"]
    return tests, max(better, key=lambda reading: together[reading].value or 0.0, default=None)


def _conclude(tests: list[TrustTest], criteria: Criteria) -> tuple[Status, str]:
    """What the decisive tests of a method say together, and why in a sentence."""
    decisive = [test for test in tests if criteria[test.name].decisive]
    worst_first: tuple[tuple[Status, set[Outcome]], ...] = (
        ("failed", {"failed"}),
        ("open", {"open", "not_applicable"}),
    )
    for status, outcomes in worst_first:
        told = [f"{_named(test)} {_figure(test)}" for test in decisive if test.outcome in outcomes]
        if told:
            return status, f"{status}: {', '.join(told)}"
    return "passed", f"passed: {', '.join(test.name for test in decisive)}"


def _named(test: TrustTest) -> str:
    return f"{test.name} ({test.reading})" if test.reading else test.name


def _figure(test: TrustTest) -> str:
    told = [] if test.measured is None or test.measured.value is None else [say(test.measured, "brief")]
    return " ".join(told + [f"({test.reason})"] * (test.reason is not None))


def _record_cascade(group: MethodGroup, method: MapName, cascade: Cascade) -> list[CascadeStage]:
    groups, level = group.sample.groups, group.inquiry.level
    return [
        CascadeStage(
            lowest_layer=stage.layers[-1],
            layers=len(stage.layers),
            **{
                kind: mean_interval(values, groups, level, unit="correlation")
                for kind, values in stage.likeness[method].items()
            },
            empty=stage.empty[method],
            map=_keep_map(group, f"trust map {method}, {len(stage.layers)} layers", stage.shown[method]),
        )
        for stage in cascade.stages
    ]


def _control_lifts(group: MethodGroup, method: MapName, maps: Floats, cascade: Cascade) -> list[LiftControl]:
    """Lift of each artefact's region, and how much of it a model that knows nothing does not show."""
    inquiry, sample = group.inquiry, group.sample
    if cascade.why_not is not None:
        return []
    lifts = region_lifts(read_map(maps, "absolute"), sample)
    over = lifts - cascade.lifts[method]
    found = []
    for number, artefact in enumerate(inquiry.artefacts):
        rows = np.array([own == number for own in sample.artefacts]) & np.isfinite(over)
        if rows.any():
            first, second = (
                mean_interval(values[rows], sample.groups[rows], inquiry.level, unit=unit)
                for values, unit in ((lifts, "ratio"), (over, "difference of ratios"))
            )
            found.append(LiftControl(artefact.name, first, second))
    return found


def _compare_methods(sample: Sample, maps: dict[MapName, Floats], level: float) -> list[MapLikeness]:
    """Every two methods on the images that both were tested on."""
    found = []
    for first, second in combinations(maps, 2):
        count = min(len(maps[first]), len(maps[second]))
        pair = (read_map(maps[name][:count], "absolute") for name in (first, second))
        values = rank_correlations(*pair)
        found.append(
            MapLikeness(first, second, median_interval(values, sample.groups[:count], level, unit="correlation"))
        )
    return found


def _other_classes(inquiry: Inquiry, sample: Sample) -> tuple[Ints, str | None]:
    """For each image a random class that is not explained, or why there is none."""
    count = len(inquiry.classifier.classes)
    if inquiry.classifier.output == "binary" or count < 2:
        return sample.targets, "there is no other class: two share one logit"
    steps = [random.integers(1, count) for random in keyed_generators(inquiry.seed, "other class", sample.ids)]
    return (sample.targets + np.array(steps)) % count, None


def _draw_noise(inquiry: Inquiry, sample: Sample) -> Floats:
    shape = sample.images.shape[1:]
    randoms = keyed_generators(inquiry.seed, "small noise", sample.ids)
    return np.stack([random.standard_normal(shape, dtype=np.float32) for random in randoms])


def _keep_map(group: MethodGroup, key: str, values: Floats) -> str:
    return group.inquiry.arrays.keep(key, values.astype(np.float32), of_data=True)


def _note(group: MethodGroup, method: MapName, test: str, values: Doubles, reading: str | None = None) -> None:
    """Keep a test's figures image by image, where they are known."""
    sample, inquiry = group.sample.first(len(values)), group.inquiry
    inquiry.rows.note(
        values,
        image=sample.ids,
        group=sample.groups,
        artefact=[None if number is None else inquiry.artefacts[number].name for number in sample.artefacts],
        target=[inquiry.classifier.classes[number] for number in sample.targets],
        measurement=f"trust: {test}",
        condition=reading,
        method=method,
    )
