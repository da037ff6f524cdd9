"""The verdict's mathematics, on arrays: contrasts by their formula, verdicts by the rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from auditor.effects import (
    Evidence,
    Insertion,
    Population,
    Removals,
    class_contrast,
    control_contrast,
    split_class_contrast,
)
from auditor.intervals import least, mean_interval
from auditor.records import Measurement, Rule
from auditor.reliance import decide, judge, judge_severity

RULE = Rule()
CLASSES = tuple("abcdefghij")


def effect(value: float, low: float, high: float, groups: int = 100) -> Measurement:
    return Measurement(value, low, high, 0.95, groups, groups, "log-odds", "log-odds")


def population(n: int, labels: np.ndarray, groups: np.ndarray | None = None, classes: int = 10) -> Population:
    has = np.arange(classes)[None] == labels[:, None]
    scores = np.where(has, 3.0, -3.0) + np.random.default_rng(5).normal(size=(n, classes))
    return Population(
        positions=np.arange(n),
        scores=scores,
        predicted=has.copy(),
        has=has,
        labelled=np.ones(n, bool),
        groups=np.arange(n) if groups is None else groups,
    )


def planted_evidence(lift: float = 3.0, n: int = 200, seed: int = 0, target: int = 2, fall: float = 0.0) -> Evidence:
    """Insertion lifts one class by `lift` (and lowers it by `fall` on its own images), everything else is noise."""
    random = np.random.default_rng(seed)
    images = population(n, random.integers(0, 10, n))
    shift = random.normal(0, 0.5, (n, 10))
    lacks = ~images.has[:, target]
    shift[lacks, target] += lift
    shift[~lacks, target] -= fall
    controls = {name: random.normal(0, 0.5, (n, 10)) for name in ("one", "two", "three")}
    predicted = images.predicted.copy()
    insertion = Insertion(images, shift, predicted, np.zeros((n, 10)), controls)
    return Evidence("mark", CLASSES, False, insertion, None)


def removal_evidence(drop: float, n: int = 60) -> Evidence:
    random = np.random.default_rng(1)
    images = population(n, np.full(n, 2))
    falls = {name: random.normal(0, 0.3, (n, 10)) + drop for name in ("mean", "blur")}
    placebo = {name: random.normal(0, 0.3, (n, 10)) for name in falls}
    predicted = dict.fromkeys(falls, images.predicted)
    return Evidence("mark", CLASSES, False, None, Removals(images, falls, placebo, predicted))


class TestContrasts:
    def test_control_contrast_subtracts_the_median_control(self):
        shift = np.array([5.0, 7.0])
        controls = [np.array([0.0, 0.0]), np.array([1.0, 3.0]), np.array([9.0, 9.0])]
        np.testing.assert_array_equal(control_contrast(shift, controls), [4.0, 4.0])

    def test_control_contrast_averages_the_middle_two_of_an_even_number(self):
        controls = [np.array([value]) for value in (0.0, 1.0, 2.0, 9.0)]
        np.testing.assert_array_equal(control_contrast(np.array([5.0]), controls), [3.5])

    def test_class_contrast_of_up_to_ten_classes_is_the_lead_over_the_runner_up(self):
        shifts = np.array([[0.0, 5.0, 1.0, 2.0, 3.0, 4.0, -1.0, -2.0, -3.0, -4.0]])
        np.testing.assert_array_equal(class_contrast(shifts, 1), [1.0])
        np.testing.assert_array_equal(class_contrast(shifts, 5), [-1.0])

    def test_class_contrast_of_many_classes_takes_the_nearest_rank_up(self):
        shifts = np.arange(101.0)[None]
        assert class_contrast(shifts, 100)[0] == 100 - 89

    def test_the_rival_of_the_split_contrast_is_chosen_on_the_other_half(self):
        shifts = np.zeros((4, 3))
        shifts[:, 0] = 1.0
        shifts[[0, 2], 1] = 0.5  # class b leads among the even groups, class c among the odd ones
        shifts[[1, 3], 2] = 0.5
        np.testing.assert_array_equal(split_class_contrast(shifts, 0, np.arange(4)), [1, 1, 1, 1])
        np.testing.assert_array_equal(class_contrast(shifts, 0), [1, 0.5, 1, 0.5])

    @pytest.mark.parametrize(("n", "classes"), [(30, 10), (100, 10), (30, 100)])
    def test_the_upper_bound_holds_although_the_rival_is_the_luckiest_of_equals(self, n, classes):
        random = np.random.default_rng(n)
        missed = 0
        for _ in range(2000):
            shifts = random.normal(0, 1.0, (n, classes))
            shifts[:, 2] += 1
            contrasts = (class_contrast(shifts, 2), split_class_contrast(shifts, 2, np.arange(n)))
            bounds = [mean_interval(rows, np.arange(n), 0.95, unit="", score=None).high for rows in contrasts]
            missed += max(bounds) < 1
        assert missed / 2000 <= RULE.alpha

    def test_theta_takes_the_higher_of_both_upper_bounds(self):
        evidence = planted_evidence(1.0, n=80)
        images = evidence.insertion.images
        rows = ~images.has[:, 2]
        shift, groups = evidence.insertion.shift[rows], images.groups[rows]
        contrasts = (class_contrast(shift, 2), split_class_contrast(shift, 2, groups))
        bounds = [mean_interval(values, groups, 0.95, unit="", score=None).high for values in contrasts]
        assert judge(evidence, 2, RULE).measurements["class_contrast"].high == max(bounds)

    def test_the_least_of_two_effects_exceeds_a_margin_only_where_both_do(self):
        both = least(effect(2, 1.5, 2.5), effect(1, 0.2, 1.8))
        assert (both.value, both.low, both.high) == (1, 0.2, 1.8)
        crossed = least(effect(2, 0.1, 3.9), effect(1, 0.9, 1.1))
        assert (crossed.value, crossed.low, crossed.high) == (1, 0.1, 1.1)


class TestDecide:
    @pytest.mark.parametrize(
        ("promotes", "suppresses", "verdict", "direction"),
        [
            (effect(2, 1, 3), effect(0, -0.2, 0.2), "relies", "promotes"),
            (effect(0, -0.2, 0.2), effect(2, 1, 3), "relies", "suppresses"),
            (effect(2, 1, 3), effect(3, 2, 4), "relies", "suppresses"),
            (effect(0, -0.2, 0.2), effect(0, -0.3, 0.3), "no_evidence", None),
            (effect(0, -0.2, 0.2), effect(0.4, 0.1, 0.7), "inconclusive", None),
            (effect(0.6, 0.4, 0.8), effect(0, -0.2, 0.2), "inconclusive", None),
            (effect(2, 1, 3, groups=11), effect(2, 1, 3, groups=6), "inconclusive", None),
        ],
    )
    def test_follows_the_rule(self, promotes, suppresses, verdict, direction):
        found = decide({"promotes": promotes, "suppresses": suppresses}, RULE)
        assert found[:2] == (verdict, direction)

    def test_uses_the_adjusted_bound_to_rely_and_the_plain_one_to_find_nothing(self):
        wide = replace(effect(2, 1, 3), low_adjusted=0.4, high_adjusted=3.6)
        assert decide({"promotes": wide}, RULE)[0] == "inconclusive"
        narrow = replace(effect(0, -0.4, 0.4), low_adjusted=-0.9, high_adjusted=0.9)
        assert decide({"promotes": narrow}, RULE)[0] == "no_evidence"

    def test_says_how_many_images_would_settle_it(self):
        decision = decide({"promotes": effect(1.0, 0.0, 2.0, groups=50)}, RULE)
        assert "about 200 images" in decision.why

    def test_is_not_applicable_where_nothing_was_measured(self):
        nothing = Measurement(None, None, None, None, 0, 0, "log-odds", "log-odds", reason="no images")
        assert decide({"promotes": nothing}, RULE)[:3] == ("not_applicable", None, "no images")


class TestJudge:
    def test_a_planted_lift_is_relied_on(self):
        finding = judge(planted_evidence(3.0), 2, RULE)
        assert (finding.verdict, finding.direction, finding.target) == ("relies", "promotes", "c")
        assert finding.measurements["insertion_lift"].value == pytest.approx(3.0, abs=0.2)
        assert finding.measurements["theta"].low > RULE.margin

    def test_theta_is_the_lesser_of_its_two_contrasts(self):
        found = judge(planted_evidence(3.0), 2, RULE).measurements
        parts = [found["control_contrast"], found["class_contrast"]]
        assert found["theta"].value == min(part.value for part in parts)
        assert found["theta"].low == min(part.low for part in parts)
        assert found["theta"].high == min(part.high for part in parts)

    def test_no_lift_is_no_evidence(self):
        finding = judge(planted_evidence(0.0, n=600), 2, RULE)
        assert (finding.verdict, finding.direction, finding.severity) == ("no_evidence", None, "none")

    def test_a_lift_that_controls_share_is_no_evidence(self):
        evidence = planted_evidence(3.0, n=600)
        controls = dict.fromkeys(("one", "two", "three"), evidence.insertion.shift)
        evidence = replace(evidence, insertion=replace(evidence.insertion, controls=controls))
        assert judge(evidence, 2, RULE).verdict == "no_evidence"

    def test_a_lift_that_all_classes_share_is_no_evidence(self):
        evidence = planted_evidence(0.0, n=600)
        evidence = replace(evidence, insertion=replace(evidence.insertion, shift=evidence.insertion.shift + 3))
        assert judge(evidence, 2, RULE).verdict == "no_evidence"

    def test_a_class_that_falls_with_the_artefact_is_suppressed(self):
        finding = judge(planted_evidence(0.0, n=600, fall=4.0), 2, RULE)
        assert (finding.verdict, finding.direction) == ("relies", "suppresses")

    def test_few_groups_are_inconclusive_however_large_the_effect(self):
        evidence = planted_evidence(9.0)
        images = replace(evidence.insertion.images, groups=np.arange(200) % 11)
        evidence = replace(evidence, insertion=replace(evidence.insertion, images=images))
        finding = judge(evidence, 2, RULE)
        assert finding.verdict == "inconclusive"
        assert "11 independent groups" in finding.reason

    def test_the_finding_names_the_measurement_that_it_was_taken_on(self):
        assert judge(planted_evidence(3.0), 2, RULE).endpoint == "theta"
        assert judge(planted_evidence(0.0, n=600, fall=4.0), 2, RULE).endpoint == "theta_suppression"
        assert judge(removal_evidence(2.0), 2, RULE).endpoint == "removal_drop"
        found = judge(planted_evidence(0.0, n=600), 2, RULE)
        highs = {name: found.measurements[name].high for name in ("theta", "theta_suppression")}
        assert found.endpoint == max(highs, key=highs.get)

    def test_a_control_that_does_nearly_as_much_is_pointed_out(self):
        evidence = planted_evidence(3.0)
        alike = {**evidence.insertion.controls, "flat": evidence.insertion.shift * 0.9}
        finding = judge(replace(evidence, insertion=replace(evidence.insertion, controls=alike)), 2, RULE)
        assert finding.verdict == "relies"
        assert any("'flat' alone moves the score" in note for note in finding.notes)
        assert not any("alone moves" in note for note in judge(evidence, 2, RULE).notes)

    def test_an_innocent_artefact_is_hardly_ever_relied_on(self):
        verdicts = [judge(planted_evidence(RULE.margin, n=60, seed=seed), 2, RULE).verdict for seed in range(300)]
        assert verdicts.count("relies") / 300 <= RULE.alpha

    def test_two_classes_that_share_a_logit_are_not_contrasted(self):
        evidence = planted_evidence(3.0)
        finding = judge(replace(evidence, one_logit=True), 2, RULE)
        assert finding.measurements["class_contrast"].value is None
        assert finding.measurements["theta"].value == finding.measurements["control_contrast"].value

    def test_removal_alone_decides_where_nothing_can_be_inserted(self):
        assert judge(removal_evidence(2.0), 2, RULE).verdict == "relies"
        assert judge(removal_evidence(2.0), 2, RULE).basis == "removal"
        assert judge(removal_evidence(0.0), 2, RULE).verdict == "no_evidence"

    def test_the_fills_must_agree_where_removal_decides(self):
        evidence = removal_evidence(2.0)
        falls = {**evidence.removals.fall, "blur": evidence.removals.fall["blur"] - 2}
        evidence = replace(evidence, removals=replace(evidence.removals, fall=falls))
        assert judge(evidence, 2, RULE).verdict == "inconclusive"

    def test_removal_that_contradicts_insertion_leaves_the_matter_open(self):
        evidence = replace(planted_evidence(0.0, n=600), removals=removal_evidence(4.0).removals)
        finding = judge(evidence, 2, RULE)
        assert finding.verdict == "inconclusive"
        assert "position and appearance" in finding.reason

    def test_a_model_that_cannot_tell_the_class_proves_nothing(self):
        evidence = planted_evidence(0.0, n=600)
        blind = replace(evidence.insertion.images, scores=np.random.default_rng(0).normal(size=(600, 10)))
        finding = judge(replace(evidence, insertion=replace(evidence.insertion, images=blind)), 2, RULE)
        assert finding.verdict == "inconclusive"
        assert "fed as it expects" in finding.reason

    def test_recognition_is_the_gap_between_images_of_the_class_and_others(self):
        evidence = planted_evidence(0.0, n=400)
        images = evidence.insertion.images
        has, scores = images.has[:, 2], images.scores[:, 2]
        for part, mean in ((has, 3), (~has, -3)):
            scores[part] = mean + np.resize([-1.0, 1.0], part.sum())  # no tail, so the interval is the plain one
        found = judge(evidence, 2, RULE).measurements["recognition"]
        assert found.value == pytest.approx(scores[has].mean() - scores[~has].mean())
        error = np.sqrt(scores[has].var() / has.sum() + scores[~has].var() / (~has).sum())
        assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.02)

    def test_suppression_alone_cannot_end_in_no_evidence(self):
        evidence = planted_evidence(0.0, n=600)
        only = replace(evidence.insertion.images, has=np.arange(10)[None] == np.full((600, 1), 2))
        finding = judge(replace(evidence, insertion=replace(evidence.insertion, images=only)), 2, RULE)
        assert finding.verdict == "inconclusive"
        assert "promotion was not tested" in finding.reason

    def test_without_a_single_control_theta_is_not_measured(self):
        evidence = planted_evidence(3.0)
        finding = judge(replace(evidence, insertion=replace(evidence.insertion, controls={})), 2, RULE)
        assert finding.verdict == "not_applicable"
        assert "innocent pictures" in finding.reason

    def test_an_effect_that_controls_share_is_said_even_where_nothing_is_relied_on(self):
        evidence = planted_evidence(3.0, n=600)
        controls = dict.fromkeys(("one", "two", "three"), evidence.insertion.shift)
        evidence = replace(evidence, insertion=replace(evidence.insertion, controls=controls))
        finding = judge(evidence, 2, RULE)
        assert finding.verdict == "no_evidence"
        assert any("rely on something simpler" in note for note in finding.notes)

    def test_nothing_to_test_is_not_applicable(self):
        finding = judge(Evidence("mark", CLASSES, False, None, None), 2, RULE)
        assert finding.verdict == "not_applicable"
        assert finding.measurements == {}


class TestScan:
    def test_finds_the_planted_class_first(self):
        finding = judge(planted_evidence(3.0), None, RULE)
        assert (finding.verdict, finding.target) == ("relies", "c")
        assert finding.scanned[0].target == "c"
        assert len(finding.scanned) == 10

    def test_says_which_classes_are_promoted_and_which_suppressed(self):
        evidence = planted_evidence(3.0, n=600)
        shift = evidence.insertion.shift.copy()
        shift[evidence.insertion.images.has[:, 5], 5] -= 6
        finding = judge(replace(evidence, insertion=replace(evidence.insertion, shift=shift)), None, RULE)
        assert "it promotes c; it suppresses f" in finding.reason

    def test_bounds_are_wider_than_those_of_a_named_target(self):
        theta = judge(planted_evidence(3.0), None, RULE).measurements["theta"]
        assert theta.low_adjusted < theta.low
        assert theta.high_adjusted > theta.high

    def test_of_nothing_planted_finds_no_evidence_for_any_class(self):
        finding = judge(planted_evidence(0.0, n=2000), None, RULE)
        assert finding.verdict == "no_evidence"
        assert {entry.verdict for entry in finding.scanned} == {"no_evidence"}

    def test_of_innocent_artefacts_hardly_ever_relies(self):
        verdicts = [judge(planted_evidence(0.0, n=120, seed=seed), None, RULE).verdict for seed in range(100)]
        assert verdicts.count("relies") <= 5


class TestSeverity:
    @pytest.mark.parametrize(("harm", "severity"), [(0.0, "low"), (0.05, "medium"), (0.2499, "medium"), (0.25, "high")])
    def test_follows_its_thresholds(self, harm, severity):
        measured = Measurement(harm, None, None, None, 1, 1, "share", None)
        assert judge_severity("relies", [None, measured]) == severity

    def test_of_suppression_counts_lost_predictions_even_without_labels(self):
        evidence = planted_evidence(0.0, n=600, fall=6.0)
        images = replace(evidence.insertion.images, labelled=np.zeros(600, bool))
        nothing = np.zeros((600, 10), bool)
        finding = judge(
            replace(evidence, insertion=replace(evidence.insertion, images=images, predicted=nothing)), 2, RULE
        )
        assert (finding.direction, finding.severity) == ("suppresses", "high")

    def test_is_none_without_reliance(self):
        assert judge_severity("inconclusive", [effect(1, 1, 1)]) == "none"

    def test_takes_the_flip_rate_into_account(self):
        evidence = planted_evidence(3.0)
        predicted = np.zeros_like(evidence.insertion.predicted)
        predicted[:, 2] = True
        finding = judge(replace(evidence, insertion=replace(evidence.insertion, predicted=predicted)), 2, RULE)
        assert finding.measurements["flip_rate"].value == 1.0
        assert finding.severity == "high"
