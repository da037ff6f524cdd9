"""The verdict's mathematics, on arrays: intervals that cover, contrasts by their formula, verdicts by the rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from auditor.effects import (
    class_contrasts,
    control_contrasts,
    split_class_contrasts,
)
from auditor.intervals import change_interval, least, mean_interval, median_interval, share_interval
from auditor.observations import Checks, Evidence, Insertion, Population, Removals
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


def lead_over_controls(shift: np.ndarray, controls: list[np.ndarray]) -> np.ndarray:
    rows = np.ones((len(shift), 1), bool)
    return control_contrasts(shift[:, None], [control[:, None] for control in controls], rows)[:, 0]


def class_contrasts_of(shifts: np.ndarray, target: int) -> np.ndarray:
    return class_contrasts(shifts, np.array([target]), np.ones((len(shifts), 1), bool))[:, 0]


def split_contrasts_of(shifts: np.ndarray, target: int, groups: np.ndarray) -> np.ndarray:
    return split_class_contrasts(shifts, np.array([target]), np.ones((len(shifts), 1), bool), groups)[:, 0]


def run_checks(rise: float, no_op: float = 0.0, n: int = 30) -> Checks:
    random = np.random.default_rng(4)
    return Checks(np.full(n, no_op), np.arange(n), np.full(n, 2), rise + random.normal(0, 0.3, n), np.arange(n))


def removal_evidence(drop: float, n: int = 60) -> Evidence:
    random = np.random.default_rng(1)
    images = population(n, np.full(n, 2))
    falls = {name: random.normal(0, 0.3, (n, 10)) + drop for name in ("mean", "blur")}
    placebo = {name: random.normal(0, 0.3, (n, 10)) for name in falls}
    predicted = dict.fromkeys(falls, images.predicted)
    return Evidence("mark", CLASSES, False, None, Removals(images, falls, placebo, predicted))


class TestMeanInterval:
    def test_is_the_t_interval_where_every_image_is_its_own_group(self):
        values = np.random.default_rng(0).normal(1, 2, 30)
        ours = mean_interval(values, np.arange(30), 0.95, unit="", score=None)
        low, high = stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
        assert (ours.value, ours.low, ours.high) == pytest.approx((values.mean(), low, high))

    def test_of_equal_groups_is_the_t_interval_of_their_means(self):
        values = np.random.default_rng(0).normal(size=(15, 4))
        ours = mean_interval(values.ravel(), np.repeat(np.arange(15), 4), 0.9, unit="", score=None)
        means = values.mean(axis=1)
        low, high = stats.t.interval(0.9, 14, means.mean(), stats.sem(means))
        assert (ours.low, ours.high) == pytest.approx((low, high))
        assert (ours.n, ours.groups) == (60, 15)

    @pytest.mark.parametrize("groups", [12, 22, 50])
    def test_covers_the_mean_of_clustered_data_as_often_as_it_says(self, groups):
        random = np.random.default_rng(groups)
        runs = 3000
        shared = random.normal(size=(runs, groups, 1))
        values = 0.7 + shared + 0.5 * random.normal(size=(runs, groups, 3))
        labels = np.repeat(np.arange(groups), 3)
        found = [mean_interval(run.ravel(), labels, 0.95, unit="", score=None) for run in values]
        covered = np.mean([m.low <= 0.7 <= m.high for m in found])
        assert covered == pytest.approx(0.95, abs=0.02)

    def test_leaves_out_values_that_are_not_known(self):
        values = np.array([1.0, np.nan, 3.0])
        assert mean_interval(values, np.arange(3), 0.95, unit="", score=None).n == 2

    def test_of_nothing_has_no_value_and_says_why(self):
        nothing = mean_interval(np.array([]), np.array([]), 0.95, unit="", score=None)
        assert nothing.value is None
        assert nothing.reason

    def test_of_one_group_has_no_interval_and_says_why(self):
        one = mean_interval(np.array([1.0, 2.0]), np.array(["g", "g"]), 0.95, unit="", score=None)
        assert (one.value, one.low) == (1.5, None)
        assert one.reason


class TestShareInterval:
    @pytest.mark.parametrize(
        ("hits", "n", "low", "high"), [(0, 10, 0, 0.2775), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)]
    )
    def test_is_wilsons_for_single_images(self, hits, n, low, high):
        found = share_interval(np.arange(n) < hits, np.arange(n), 0.95)
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)

    def test_is_wider_where_images_of_a_group_agree(self):
        hits = np.repeat(np.arange(20) % 2 == 0, 5)
        grouped = share_interval(hits, np.repeat(np.arange(20), 5), 0.95)
        single = share_interval(hits[::5], np.arange(20), 0.95)
        assert (grouped.low, grouped.high) == pytest.approx((single.low, single.high), abs=0.015)
        assert grouped.low < single.low < single.high < grouped.high

    def test_of_a_share_that_is_none_counts_groups_not_images(self):
        grouped = share_interval(np.zeros(100, bool), np.repeat(np.arange(10), 10), 0.95)
        assert grouped.high >= 0.2775


class TestChangeInterval:
    def test_of_no_change_still_has_a_width(self):
        found = change_interval(np.ones(12, bool), np.ones(12, bool), np.arange(12), 0.95)
        assert found.value == 0
        assert found.low < 0 < found.high

    @pytest.mark.parametrize("loss", [0.05, 0.3])
    def test_covers_a_loss_as_often_as_it_says_or_more(self, loss):
        random = np.random.default_rng(3)
        before = np.ones(30, bool)
        found = [change_interval(before, random.random(30) > loss, np.arange(30), 0.95) for _ in range(2000)]
        assert np.mean([m.low <= loss <= m.high for m in found]) >= 0.93

    def test_is_wider_where_images_of_a_group_change_together(self):
        after = np.repeat(np.random.default_rng(0).random(20) > 0.3, 5)
        before = np.ones(100, bool)
        grouped = change_interval(before, after, np.repeat(np.arange(20), 5), 0.95)
        alone = change_interval(before, after, np.arange(100), 0.95)
        assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


class TestMedianInterval:
    def test_covers_the_median_of_a_skewed_distribution(self):
        random = np.random.default_rng(1)
        found = [median_interval(random.exponential(size=25), np.arange(25), 0.95, unit="") for _ in range(2000)]
        assert np.mean([m.low <= np.log(2) <= m.high for m in found]) >= 0.95

    def test_of_few_values_has_no_interval_and_says_so(self):
        few = median_interval(np.array([1.0, 2.0, 3.0]), np.arange(3), 0.95, unit="")
        assert (few.value, few.low) == (2.0, None)
        assert few.reason


class TestContrasts:
    def test_control_contrast_subtracts_the_median_control(self):
        shift = np.array([5.0, 7.0])
        controls = [np.array([0.0, 0.0]), np.array([1.0, 3.0]), np.array([9.0, 9.0])]
        np.testing.assert_array_equal(lead_over_controls(shift, controls), [4.0, 4.0])

    def test_control_contrast_averages_the_middle_two_of_an_even_number(self):
        controls = [np.array([value]) for value in (0.0, 1.0, 2.0, 9.0)]
        np.testing.assert_array_equal(lead_over_controls(np.array([5.0]), controls), [3.5])

    def test_class_contrast_of_up_to_ten_classes_is_the_lead_over_the_runner_up(self):
        shifts = np.array([[0.0, 5.0, 1.0, 2.0, 3.0, 4.0, -1.0, -2.0, -3.0, -4.0]])
        np.testing.assert_array_equal(class_contrasts_of(shifts, 1), [1.0])
        np.testing.assert_array_equal(class_contrasts_of(shifts, 5), [-1.0])

    def test_class_contrast_of_many_classes_takes_the_nearest_rank_up(self):
        shifts = np.arange(101.0)[None]
        assert class_contrasts_of(shifts, 100)[0] == 100 - 89

    def test_the_rival_of_the_split_contrast_is_chosen_on_the_other_half(self):
        shifts = np.zeros((4, 3))
        shifts[:, 0] = 1.0
        shifts[[0, 2], 1] = 0.5  # class b leads among the even groups, class c among the odd ones
        shifts[[1, 3], 2] = 0.5
        np.testing.assert_array_equal(split_contrasts_of(shifts, 0, np.arange(4)), [1, 1, 1, 1])
        np.testing.assert_array_equal(class_contrasts_of(shifts, 0), [1, 0.5, 1, 0.5])

    @pytest.mark.parametrize(("n", "classes"), [(30, 10), (100, 10), (30, 100)])
    def test_the_upper_bound_holds_although_the_rival_is_the_luckiest_of_equals(self, n, classes):
        random = np.random.default_rng(n)
        missed = 0
        for _ in range(2000):
            shifts = random.normal(0, 1.0, (n, classes))
            shifts[:, 2] += 1
            contrasts = (class_contrasts_of(shifts, 2), split_contrasts_of(shifts, 2, np.arange(n)))
            bounds = [mean_interval(rows, np.arange(n), 0.95, unit="", score=None).high for rows in contrasts]
            missed += max(bounds) < 1
        assert missed / 2000 <= RULE.alpha

    def test_theta_takes_the_higher_of_both_upper_bounds(self):
        evidence = planted_evidence(1.0, n=80)
        images = evidence.insertion.images
        rows = ~images.has[:, 2]
        shift, groups = evidence.insertion.shift[rows], images.groups[rows]
        contrasts = (class_contrasts_of(shift, 2), split_contrasts_of(shift, 2, groups))
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
        wide = replace(effect(2, 1, 3), low_adjusted=0.4)
        assert decide({"promotes": wide}, RULE)[0] == "inconclusive"
        narrow = replace(effect(0, -0.4, 0.4), low_adjusted=-0.9)
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

    def test_a_model_that_pasted_objects_do_not_move_proves_nothing(self):
        evidence = replace(planted_evidence(0.0, n=600), checks=run_checks(rise=0.0))
        finding = judge(evidence, 2, RULE)
        assert finding.verdict == "inconclusive"
        assert "fed as it expects" in finding.reason
        assert judge(replace(evidence, checks=run_checks(rise=3.0)), 2, RULE).verdict == "no_evidence"

    def test_a_model_that_relies_wholly_on_the_artefact_need_not_see_pasted_objects(self):
        evidence = replace(planted_evidence(3.0), checks=run_checks(rise=0.0))
        assert judge(evidence, 2, RULE).verdict == "relies"

    @pytest.mark.parametrize("lift", [0.0, 3.0])
    def test_nothing_is_concluded_where_scoring_again_moves_the_scores(self, lift):
        evidence = replace(planted_evidence(lift, n=600), checks=run_checks(rise=3.0, no_op=0.2))
        finding = judge(evidence, 2, RULE)
        assert finding.verdict == "inconclusive"
        assert "not steady" in finding.reason

    def test_too_few_pasted_objects_take_no_part(self):
        checks = run_checks(rise=0.0, n=11)
        assert judge(replace(planted_evidence(0.0, n=600), checks=checks), 2, RULE).verdict == "no_evidence"

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
