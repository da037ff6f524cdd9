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
from auditor.explain.attribution.regions import box_of
from auditor.explain.inquiry import Inquiry, NotApplicableError
from auditor.explain.trust.pixel_flipping import PixelFlipping, Score, readings_of
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
)
from auditor.explain.trust.saturation import measure_saturation
from auditor.measure.arrays import Doubles, Floats, Ints
from auditor.measure.intervals import mean_interval, median_interval
from auditor.measure.seeds import keyed_generators
from auditor.measure.words import say
from auditor.subject.data.pictures import to_pixels

Count = Annotated[int, Field(ge=2, le=1000)]
Times = Annotated[int, Field(ge=1, le=100)]
Share = Annotated[float, Field(gt=0, le=0.1)]
Criteria = dict[str, TrustCriterion]

_SMALL = 128 * 128
"""Pixels of an image up to which a costly method is tested."""

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
    deviation in the test of stability. A method that differentiates the model at 16 images or more to explain
    one is tested in `costly_stages`, with one draw, and on `costly_images`: by default on all, and where an image has
    more than 128 × 128 pixels on none. It is then said not to be tested.

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
    whole = MethodGroup(inquiry, sample, stages, draws)
    slow = [method for method in inquiry.attributions if whole.is_costly(method)]
    fast = [method for method in inquiry.attributions if method not in slow]
    usual = replace(whole, inquiry=replace(inquiry, attributions=fast))
    untested: list[MapName] = []
    if costly_images is None and np.prod(inquiry.classifier.image_shape[:2]) > _SMALL:
        untested, slow = [name for method in slow for name in whole.names(method)], []
    few = sample.first(costly_images or images)
    costly = MethodGroup(replace(inquiry, attributions=slow), few, costly_stages, 1, True)
    criteria = criteria_at_scale(float(np.median(inquiry.images.scores.std(axis=0))))
    flipping = PixelFlipping(inquiry, sample)
    methods: list[MethodTrust] = []
    maps: dict[MapName, Floats] = {}
    for group in (usual, costly):
        if group.inquiry.attributions:
            trained = group.explain()
            methods += _examine(group, trained, flipping, criteria, noise)
            maps |= {name: attribution.maps for name, attribution in trained.items()}
    return TrustRecord(
        images=len(sample),
        with_artefact=sum(number is not None for number in sample.artefacts),
        draws=draws,
        noise=noise,
        cell=flipping.side,
        fractions=list(FRACTIONS),
        criteria=list(criteria.values()),
        why_not_randomised=inquiry.classifier.why_no_weights or None,
        methods=[*methods, *(_leave_untested(name, criteria) for name in untested)],
        controls=flipping.record_controls(),
        likenesses=_compare_methods(sample, maps, inquiry.level),
        picture=inquiry.keep("trust image", to_pixels(sample.images[0])),
        pictured=f"{sample.ids[0]}, for {inquiry.classifier.classes[sample.targets[0]]}",
        place=box_of(sample.masks[0]),
        saturation=measure_saturation(inquiry, sample),
    )


def _examine(
    group: MethodGroup, trained: dict[MapName, Attribution], flipping: PixelFlipping, criteria: Criteria, noise: float
) -> list[MethodTrust]:
    """Put every method of a group to all tests."""
    inquiry, sample = group.inquiry, group.sample
    cascade = run_cascade(group, trained)
    foils, why_no_foil = _other_classes(inquiry, sample)
    others = group.explain(targets=foils) if why_no_foil is None else {}
    noisy = group.explain(images=_disturb(inquiry, sample, noise))
    found = []
    for name, attribution in trained.items():
        maps = attribution.maps
        signed = read_map(maps, "signed")
        values: dict[str, Doubles | str] = {
            "other class": why_no_foil or rank_correlations(signed, read_map(others[name].maps, "signed")),
            "small noise": rank_correlations(signed, read_map(noisy[name].maps, "signed")),
            "completeness": attribution.diagnostics.get(_COMPLETENESS, "such maps are not said to add up to anything"),
        }
        readings = {reading: read_map(maps, reading) for reading in readings_of(name.method, maps)}
        scores = {reading: flipping.score(heat) for reading, heat in readings.items()}
        absolute = readings["absolute"], scores["absolute"]
        ordered, best = _test_orders(group, name, scores, criteria)
        randomised = _test_randomised(group, name, cascade, list(scores), criteria["randomised weights"])
        tests = [randomised, *ordered, *(_test(group, name, criteria[key], value) for key, value in values.items())]
        status, reason = _conclude(tests, criteria)
        found.append(
            MethodTrust(
                map=name,
                status=status,
                reason=reason,
                images=len(sample),
                is_costly=group.is_reduced,
                best_reading=best,
                tests=tests,
                cascade=_record_cascade(group, name, cascade),
                readings=[flipping.record(key, heat, scores[key], absolute) for key, heat in readings.items()],
                lifts=_control_lifts(group, name, absolute[0], cascade),
                trained_map=inquiry.keep(f"trust map {name}", signed[0][..., None]),
            )
        )
    return found


def _leave_untested(name: MapName, criteria: Criteria) -> MethodTrust:
    """What is kept of a method whose maps take so many passes that few of them could be made, and decide nothing."""
    why = f"a map takes long here, and fewer than {LEAST_GROUPS} decide nothing"
    tests = [TrustTest(criterion, "not_applicable", None, why) for criterion in criteria]
    reason = f"not tested: {why}; trust.costly_images = {LEAST_GROUPS} has it tested"
    return MethodTrust(name, "open", reason, 0, True, None, tests, [], [], [])


def _test(group: MethodGroup, method: MapName, criterion: TrustCriterion, values: Doubles | str) -> TrustTest:
    """One test by its figures of each image (n,), or why it is not applicable."""
    if isinstance(values, str):
        return TrustTest(criterion.name, "not_applicable", None, values)
    group.note(method, criterion.name, values)
    if criterion.name == "completeness":
        return judge(criterion, median_interval(values, group.sample.groups, group.inquiry.level, unit="median"))
    return judge(criterion, group.mean(values, "correlation"), float(np.isnan(values).mean()))


def _test_randomised(
    group: MethodGroup, method: MapName, cascade: Cascade, readings: list[Reading], criterion: TrustCriterion
) -> TrustTest:
    """The test on the worse of two readings, whose intervals share the level's misses."""
    if cascade.why_not is not None:
        return TrustTest(criterion.name, "not_applicable", None, cascade.why_not)
    rivals, level = _rivals(group, readings)
    empty = max(stage.empty[method] for stage in cascade.stages)
    tests = []
    for reading in rivals:
        known = mean_of_known([stage.likeness[method][reading] for stage in cascade.stages])
        group.note(method, criterion.name, known, reading)
        tests.append(judge(criterion, group.mean(known, "correlation", level), empty, reading))
    order = ("not_applicable", "passed", "open", "failed")
    return max(tests, key=lambda test: (order.index(test.outcome), _value(test)))


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
    rivals, level = _rivals(group, list(scores))
    judged = {
        reading: judge(criteria["order"], group.mean(scores[reading].gains["together"], level=level), 0.0, "absolute")
        for reading in rivals
    }
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
        tests.append(judge(criteria[name], group.mean(values, level=level), 0.0, "absolute"))
        group.note(method, name, values, "absolute")
    group.note(method, "order", absolute.gains["together"], "absolute")
    better = [reading for reading in rivals if judged[reading].outcome == "passed"]
    return tests, max(better, key=lambda reading: _value(judged[reading]), default=None)


def _value(test: TrustTest) -> float:
    return 0.0 if test.measured is None else test.measured.value or 0.0


def _conclude(tests: list[TrustTest], criteria: Criteria) -> tuple[Status, str]:
    """What the decisive tests of a method say together, and why in a sentence."""
    decisive = [test for test in tests if criteria[test.name].decisive]
    for status, outcomes in _WORST_FIRST:
        told = [_say(test) for test in decisive if test.outcome in outcomes]
        if told:
            return status, f"{status}: {', '.join(told)}"
    return "passed", f"passed: {', '.join(test.name for test in decisive)}"


def _say(test: TrustTest) -> str:
    """A test with its figure, and why it was left open."""
    parts = [f"{test.name} ({test.reading})" if test.reading else test.name]
    parts += [] if test.measured is None else [say(test.measured, "brief")]
    parts += [] if test.reason is None else [f"({test.reason})"]
    return " ".join(parts)


def _record_cascade(group: MethodGroup, method: MapName, cascade: Cascade) -> list[CascadeStage]:
    return [
        CascadeStage(
            lowest_layer=stage.layers[-1],
            layers=len(stage.layers),
            **{kind: group.mean(values, "correlation") for kind, values in stage.likeness[method].items()},
            empty=stage.empty[method],
            map=group.inquiry.keep(f"trust map {method}, {len(stage.layers)} layers", stage.shown[method]),
        )
        for stage in cascade.stages
    ]


def _control_lifts(group: MethodGroup, method: MapName, strengths: Floats, cascade: Cascade) -> list[LiftControl]:
    """Lift of each artefact's region, and how much of it a model that knows nothing does not show."""
    sample, level = group.sample, group.inquiry.level
    if cascade.why_not is not None:
        return []
    lifts = region_lifts(strengths, sample)
    over = lifts - cascade.lifts[method]
    found = []
    for number, artefact in enumerate(group.inquiry.artefacts):
        rows = np.array([own == number for own in sample.artefacts]) & np.isfinite(over)
        if rows.any():
            lift = mean_interval(lifts[rows], sample.groups[rows], level, unit="ratio")
            lead = mean_interval(over[rows], sample.groups[rows], level, unit="difference of ratios")
            found.append(LiftControl(artefact.name, lift, lead))
    return found


def _compare_methods(sample: Sample, maps: dict[MapName, Floats], level: float) -> list[MapLikeness]:
    """Every two methods on the images that both were tested on."""
    found = []
    for first, second in combinations(maps, 2):
        count = min(len(maps[first]), len(maps[second]))
        values = rank_correlations(*(read_map(maps[name][:count], "absolute") for name in (first, second)))
        alike = median_interval(values, sample.groups[:count], level, unit="correlation")
        found.append(MapLikeness(first, second, alike))
    return found


def _disturb(inquiry: Inquiry, sample: Sample, noise: float) -> Floats:
    """The images with Gaussian noise of this standard deviation, drawn by their ids."""
    randoms = keyed_generators(inquiry.seed, "small noise", sample.ids)
    drawn = [random.standard_normal(sample.images.shape[1:], dtype=np.float32) for random in randoms]
    return sample.images + noise * np.stack(drawn)


def _other_classes(inquiry: Inquiry, sample: Sample) -> tuple[Ints, str | None]:
    """For each image a random class that is not explained, or why there is none."""
    count = len(inquiry.classifier.classes)
    if inquiry.classifier.output == "binary" or count < 2:
        return sample.targets, "there is no other class: two share one logit"
    steps = [random.integers(1, count) for random in keyed_generators(inquiry.seed, "other class", sample.ids)]
    return (sample.targets + np.array(steps)) % count, None


_WORST_FIRST: tuple[tuple[Status, set[Outcome]], ...] = (("failed", {"failed"}), ("open", {"open", "not_applicable"}))
"""What a method is where some of its decisive tests came out so."""
