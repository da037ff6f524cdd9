"""The verdict's mathematics, on arrays: contrasts by their formula, verdicts by the rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auditor.measure.intervals import least, mean_interval
from auditor.measure.measurement import Measurement
from auditor.subject.population import Population
from auditor.verdict.contrasts import class_contrasts, control_contrasts, split_class_contrasts
from auditor.verdict.effects import margin_of
from auditor.verdict.findings import judge, judge_all
from auditor.verdict.harms import JOINT_DROP
from auditor.verdict.measured import Measured
from auditor.verdict.observations import Checks, Draws, Insertion, Observations, Removals
from auditor.verdict.record import Rule
from auditor.verdict.rule import Decision, conclude, decide, judge_severity

RULE = Rule()
CLASSES = tuple("abcdefghij")
RELIES = Decision("relies", "promotes", "it does", "promotes")


def effect(value: float, low: float, high: float, groups: int = 100) -> Measurement:
    return Measurement(value, low, high, 0.95, groups, groups, "log-odds", "log-odds")


def measured(
    promotes: Measurement, suppresses: Measurement | None = None, margin: float = 0.5, **values: Measurement
) -> Measured:
    """Effects of one artefact on one class that nothing on the other side speaks of."""
    nothing = Measurement(None, None, None, None, 0, 0, "log-odds", "log-odds", reason="no images")
    sides = ("own_control_contrast", "suppression", "suppression_others_control_contrast", "insertion_lift")
    found = dict.fromkeys(sides, nothing) | {"theta": promotes, "theta_suppression": suppresses or nothing}
    return Measured("mark", "c", "insertion", margin, 2.0, RULE.alpha, found | values)


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


def planted_evidence(
    lift: float = 3.0, n: int = 200, seed: int = 0, target: int = 2, fall: float = 0.0
) -> Observations:
    """Insertion lifts one class by `lift` less `fall` on every image, everything else is noise."""
    random = np.random.default_rng(seed)
    images = population(n, random.integers(0, 10, n))
    shift = random.normal(0, 0.5, (n, 10))
    shift[:, target] += lift - fall
    controls = {name: random.normal(0, 0.5, (n, 10)) for name in ("one", "two", "three")}
    predicted = images.predicted.copy()
    insertion = Insertion(images, shift, predicted, np.zeros((n, 10)), controls)
    return Observations("mark", CLASSES, False, insertion, None)


def at_the_margin(seed: int) -> Observations:
    """Sixty images that the artefact moves by the margin on average, which is not beyond it."""
    nothing = planted_evidence(0.0, n=60, seed=seed)
    return planted_evidence(margin_of(nothing, 2, RULE), n=60, seed=seed)


def keep_classes(found: Any, classes: list[int]) -> Any:
    """What was measured of some classes only: arrays (n, classes), dictionaries and records of them."""
    if isinstance(found, dict):
        return {name: part[:, classes] for name, part in found.items()}
    if isinstance(found, Population):
        kept = {name: getattr(found, name)[:, classes] for name in ("scores", "predicted", "has")}
        return replace(found, **kept)
    return found[:, classes]


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


def removal_evidence(drop: float, n: int = 60) -> Observations:
    random = np.random.default_rng(1)
    images = population(n, np.full(n, 2))
    falls = {name: random.normal(0, 0.3, (n, 10)) + drop for name in ("mean", "blur")}
    placebo = {name: random.normal(0, 0.3, (n, 10)) for name in falls}
    predicted = dict.fromkeys(falls, images.predicted)
    return Observations("mark", CLASSES, False, None, Removals(images, falls, placebo, predicted))


class TestContrasts:
    def test_control_contrast_subtracts_the_median_control(self):
        shift = np.array([5.0, 7.0])
        controls = [np.array([0.0, 0.0]), np.array([1.0, 3.0]), np.array([9.0, 9.0])]
        np.testing.assert_array_equal(lead_over_controls(shift, controls), [4.0, 4.0])

    def test_control_contrast_averages_the_middle_two_of_an_even_number(self):
        controls = [np.array([value]) for value in (0.0, 1.0, 2.0, 9.0)]
        np.testing.assert_array_equal(lead_over_controls(np.array([5.0]), controls), [3.5])

    def test_class_contrast_of_ten_classes_lets_one_rival_pass(self):
        shifts = np.array([[0.0, 5.0, 1.0, 2.0, 3.0, 4.0, -1.0, -2.0, -3.0, -4.0]])
        np.testing.assert_array_equal(class_contrasts_of(shifts, 1), [2.0])
        np.testing.assert_array_equal(class_contrasts_of(shifts, 5), [1.0])

    @pytest.mark.parametrize("classes", [3, 4, 5])
    def test_class_contrast_of_few_classes_is_the_lead_over_the_runner_up(self, classes):
        shifts = np.arange(float(classes))[None]
        np.testing.assert_array_equal(class_contrasts_of(shifts, classes - 1), [1.0])

    def test_class_contrast_of_many_classes_takes_the_nearest_rank(self):
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
            bounds = [mean_interval(rows, np.arange(n), 0.95, unit="").high for rows in contrasts]
            missed += max(bounds) < 1
        assert missed / 2000 <= RULE.alpha

    def test_theta_takes_the_higher_of_both_upper_bounds(self):
        observed = planted_evidence(1.0, n=80)
        images = observed.insertion.images
        rows = ~images.has[:, 2]
        shift, groups = observed.insertion.shift[rows], images.groups[rows]
        contrasts = (class_contrasts_of(shift, 2), split_contrasts_of(shift, 2, groups))
        bounds = [mean_interval(values, groups, 0.95, unit="").high for values in contrasts]
        assert judge(observed, 2, RULE).measurements["class_contrast"].high == pytest.approx(max(bounds))

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
        found = decide(measured(promotes, suppresses), RULE)
        assert found[:2] == (verdict, direction)

    def test_uses_the_adjusted_bound_to_rely_and_the_plain_one_to_find_nothing(self):
        wide = replace(effect(2, 1, 3), low_adjusted=0.4)
        assert decide(measured(wide), RULE)[0] == "inconclusive"
        narrow = replace(effect(0, -0.4, 0.4), low_adjusted=-0.9)
        assert decide(measured(narrow), RULE)[0] == "no_evidence"

    def test_says_how_many_images_would_settle_it(self):
        decision = decide(measured(effect(1.0, 0.0, 2.0, groups=50)), RULE)
        assert "about 200 images" in decision.why

    def test_is_not_applicable_where_nothing_was_measured(self):
        nothing = Measurement(None, None, None, None, 0, 0, "log-odds", "log-odds", reason="no images")
        assert decide(measured(nothing), RULE)[:3] == ("not_applicable", None, "no images")

    @pytest.mark.parametrize(
        ("name", "share", "words"),
        [("found", 0.1, "found in only 10 of 100"), ("found_elsewhere", 0.9, "elsewhere than named in 90 of 100")],
    )
    def test_carriers_that_do_not_show_it_where_it_is_named_are_no_all_clear(self, name, share, words):
        nothing = measured(effect(0, -0.2, 0.2))
        assert conclude(nothing, RULE).verdict == "no_evidence"
        seen = Measurement(share, share - 0.05, share + 0.05, 0.95, 100, 100, "share", None)
        doubted = conclude(measured(effect(0, -0.2, 0.2), **{name: seen}), RULE)
        assert doubted.verdict == "inconclusive"
        assert words in doubted.why

    def test_a_joint_drop_of_two_artefacts_is_no_all_clear(self):
        both = {f"{JOINT_DROP} ruler": effect(3, 2, 4)}
        doubted = conclude(measured(effect(0, -0.2, 0.2), **both), RULE)
        assert doubted.verdict == "inconclusive"
        assert "either may stand in for the other" in doubted.why

    def test_half_the_margin_is_enough_where_decisions_turn(self):
        weak, turned = effect(0.4, 0.3, 0.5), Measurement(0.3, 0.2, 0.4, 0.95, 100, 100, "share", None)
        assert decide(measured(weak), RULE)[0] == "inconclusive"
        assert decide(measured(weak, decisions_turned=turned), RULE)[0] == "relies"

    def test_a_lift_that_the_other_side_contradicts_is_open(self):
        raised = {"own_control_contrast": effect(2, 1, 3), "suppression": effect(1.0, 0.6, 1.4)}
        assert decide(measured(effect(2, 1, 3), **raised), RULE)[0] == "inconclusive"
        raised["suppression"] = effect(-1.0, -1.4, -0.6)
        assert decide(measured(effect(2, 1, 3), **raised), RULE)[0] == "relies"


class TestJudge:
    def test_a_planted_lift_is_relied_on(self):
        finding = judge(planted_evidence(3.0), 2, RULE)
        assert (finding.verdict, finding.direction, finding.target) == ("relies", "promotes", "c")
        assert finding.measurements["insertion_lift"].value == pytest.approx(3.0, abs=0.2)
        assert finding.measurements["theta"].low > RULE.margin

    def test_tells_the_reason_in_words_that_need_no_key(self):
        verdicts = set()
        for lift, fall in ((3.0, 0.0), (0.0, 4.0), (0.0, 0.0), (0.25, 0.0)):
            finding = judge(planted_evidence(lift, n=600, fall=fall), 2, RULE)
            verdicts.add(finding.verdict)
            assert not any(word in finding.reason for word in ("theta", "phi", "median control", "  "))
        assert {"relies", "no_evidence"} <= verdicts

    def test_names_the_class_that_is_hit_hardest_and_when(self):
        observed = planted_evidence(3.0)
        insertion = observed.insertion
        predicted = insertion.predicted.copy()
        predicted[insertion.images.has[:, 4]] = 2
        finding = judge(replace(observed, insertion=replace(insertion, predicted=predicted)), 2, RULE)
        (told,) = [note.text for note in finding.notes if note.kind == "worst class"]
        assert finding.measurements["worst_group_accuracy"].value == 0
        assert told.startswith("hardest hit is e: with the artefact, only 0")
        assert told.endswith("of its images are recognised")

    def test_theta_is_the_least_of_its_three_leads(self):
        found = judge(planted_evidence(3.0), 2, RULE).measurements
        parts = [found[name] for name in ("insertion_lift", "control_contrast", "class_contrast")]
        for end in ("value", "low", "high"):
            assert getattr(found["theta"], end) == min(getattr(part, end) for part in parts)

    def test_no_lift_is_no_evidence(self):
        finding = judge(planted_evidence(0.0, n=600), 2, RULE)
        assert (finding.verdict, finding.direction, finding.severity) == ("no_evidence", None, "none")

    def test_a_lift_that_controls_share_is_no_evidence(self):
        observed = planted_evidence(3.0, n=600)
        controls = dict.fromkeys(("one", "two", "three"), observed.insertion.shift)
        observed = replace(observed, insertion=replace(observed.insertion, controls=controls))
        assert judge(observed, 2, RULE).verdict == "no_evidence"

    def test_a_lift_that_controls_fall_short_of_by_falling_is_no_evidence(self):
        observed = planted_evidence(-0.4, n=600)
        fallen = {name: shift - 1.6 for name, shift in observed.insertion.controls.items()}
        observed = replace(observed, insertion=replace(observed.insertion, controls=fallen))
        assert judge(observed, 2, RULE).measurements["control_contrast"].low > judge(observed, 2, RULE).margin
        assert judge(observed, 2, RULE).verdict == "no_evidence"

    def test_classes_that_are_promoted_together_are_named_as_a_set(self):
        observed = planted_evidence(3.0, n=600)
        shift = observed.insertion.shift.copy()
        shift[:, 5] += 3.0
        three = replace(observed.insertion, shift=shift)
        for name in ("images", "shift", "predicted", "probability_change", "controls"):
            three = replace(three, **{name: keep_classes(getattr(three, name), [2, 5, 7])})
        finding = judge(Observations("mark", ("c", "f", "h"), False, three, None), 0, RULE)
        assert (finding.verdict, finding.together) == ("relies", ["f"])
        assert finding.measurements["class_contrast"].value == pytest.approx(3.0, abs=0.2)

    def test_a_class_that_falls_with_the_artefact_is_suppressed(self):
        finding = judge(planted_evidence(0.0, n=600, fall=4.0), 2, RULE)
        assert (finding.verdict, finding.direction) == ("relies", "suppresses")

    def test_few_groups_are_inconclusive_however_large_the_effect(self):
        observed = planted_evidence(9.0)
        images = replace(observed.insertion.images, groups=np.arange(200) % 11)
        observed = replace(observed, insertion=replace(observed.insertion, images=images))
        finding = judge(observed, 2, RULE)
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
        observed = planted_evidence(3.0)
        alike = {**observed.insertion.controls, "flat": observed.insertion.shift * 0.9}
        finding = judge(replace(observed, insertion=replace(observed.insertion, controls=alike)), 2, RULE)
        assert finding.verdict == "relies"
        assert any("'flat' alone moves the score" in note.text for note in finding.notes)
        assert not any("alone moves" in note.text for note in judge(observed, 2, RULE).notes)

    def test_an_innocent_artefact_is_hardly_ever_relied_on(self):
        verdicts = [judge(at_the_margin(seed), 2, RULE).verdict for seed in range(120)]
        assert verdicts.count("relies") / 120 <= RULE.alpha

    def test_two_classes_that_share_a_logit_are_not_contrasted(self):
        observed = planted_evidence(3.0)
        finding = judge(replace(observed, one_logit=True), 2, RULE)
        assert finding.measurements["class_contrast"].value is None
        leads = [finding.measurements[name].value for name in ("insertion_lift", "control_contrast")]
        assert finding.measurements["theta"].value == min(leads)

    def test_removal_alone_decides_where_nothing_can_be_inserted(self):
        assert judge(removal_evidence(2.0), 2, RULE).verdict == "relies"
        assert judge(removal_evidence(2.0), 2, RULE).basis == "removal"
        assert judge(removal_evidence(0.0), 2, RULE).verdict == "no_evidence"

    def test_the_fills_must_agree_where_removal_decides(self):
        observed = removal_evidence(2.0)
        falls = {**observed.removals.fall, "blur": observed.removals.fall["blur"] - 2}
        observed = replace(observed, removals=replace(observed.removals, fall=falls))
        assert judge(observed, 2, RULE).verdict == "inconclusive"

    def test_removal_that_contradicts_insertion_leaves_the_matter_open(self):
        observed = replace(planted_evidence(0.0, n=600), removals=removal_evidence(4.0).removals)
        finding = judge(observed, 2, RULE)
        assert finding.verdict == "inconclusive"
        assert "position and appearance" in finding.reason

    def test_a_model_that_pasted_objects_do_not_move_proves_nothing(self):
        observed = replace(planted_evidence(0.0, n=600), checks=run_checks(rise=0.0))
        finding = judge(observed, 2, RULE)
        assert finding.verdict == "inconclusive"
        assert "fed as it expects" in finding.reason
        assert judge(replace(observed, checks=run_checks(rise=3.0)), 2, RULE).verdict == "no_evidence"

    def test_a_model_that_relies_wholly_on_the_artefact_need_not_see_pasted_objects(self):
        observed = replace(planted_evidence(3.0), checks=run_checks(rise=0.0))
        assert judge(observed, 2, RULE).verdict == "relies"

    @pytest.mark.parametrize("lift", [0.0, 3.0])
    def test_nothing_is_concluded_where_scoring_again_moves_the_scores(self, lift):
        observed = replace(planted_evidence(lift, n=600), checks=run_checks(rise=3.0, no_op=0.2))
        finding = judge(observed, 2, RULE)
        assert finding.verdict == "inconclusive"
        assert "not steady" in finding.reason

    def test_too_few_pasted_objects_take_no_part(self):
        checks = run_checks(rise=0.0, n=11)
        assert judge(replace(planted_evidence(0.0, n=600), checks=checks), 2, RULE).verdict == "no_evidence"

    def test_suppression_alone_cannot_end_in_no_evidence(self):
        observed = planted_evidence(0.0, n=600)
        only = replace(observed.insertion.images, has=np.arange(10)[None] == np.full((600, 1), 2))
        finding = judge(replace(observed, insertion=replace(observed.insertion, images=only)), 2, RULE)
        assert finding.verdict == "inconclusive"
        assert "promotion was not tested" in finding.reason

    def test_without_a_single_control_theta_is_not_measured(self):
        observed = planted_evidence(3.0)
        finding = judge(replace(observed, insertion=replace(observed.insertion, controls={})), 2, RULE)
        assert finding.verdict == "not_applicable"
        assert "innocent pictures" in finding.reason

    def test_an_effect_that_controls_share_is_said_even_where_nothing_is_relied_on(self):
        observed = planted_evidence(3.0, n=600)
        controls = dict.fromkeys(("one", "two", "three"), observed.insertion.shift)
        observed = replace(observed, insertion=replace(observed.insertion, controls=controls))
        finding = judge(observed, 2, RULE)
        assert finding.verdict == "no_evidence"
        assert any("rely on something simpler" in note.text for note in finding.notes)

    def test_nothing_to_test_is_not_applicable(self):
        finding = judge(Observations("mark", CLASSES, False, None, None), 2, RULE)
        assert finding.verdict == "not_applicable"
        assert finding.measurements == {}


class TestConfirmation:
    def only_on(self, side: str, lift: float) -> Observations:
        observed = planted_evidence(0.0, n=600)
        has = observed.insertion.images.has[:, 2]
        shift = observed.insertion.shift.copy()
        shift[has if side == "own" else ~has, 2] += lift
        return replace(observed, insertion=replace(observed.insertion, shift=shift))

    def test_what_hides_the_object_lowers_its_own_images_only_and_is_no_suppression(self):
        finding = judge(self.only_on("own", -4.0), 2, RULE)
        assert finding.measurements["suppression"].low > RULE.margin
        assert finding.verdict == "inconclusive"
        assert "it may hide a part of the object" in finding.reason

    def test_what_raises_other_images_only_is_no_promotion(self):
        finding = judge(self.only_on("others", 4.0), 2, RULE)
        assert finding.measurements["control_contrast"].low > RULE.margin
        assert finding.verdict == "inconclusive"
        assert "on images of the class itself its lead over harmless edits is" in finding.reason

    def test_too_few_images_of_the_class_leave_promotion_unconfirmed_and_let_it_stand(self):
        observed = planted_evidence(3.0, n=100)
        finding = judge(observed, 2, replace(RULE, min_groups=20))
        assert finding.measurements["own_control_contrast"].value is None
        assert finding.verdict == "relies"

    def test_the_count_of_groups_is_that_of_the_side_that_is_tested(self):
        observed = planted_evidence(3.0, n=200)
        few = np.arange(10)[None] == np.where(np.arange(200) < 3, 5, 2)[:, None]  # three images of other classes
        images = replace(observed.insertion.images, has=few)
        finding = judge(replace(observed, insertion=replace(observed.insertion, images=images)), 2, RULE)
        assert finding.measurements["theta"].groups == 3
        assert finding.verdict == "inconclusive"

    def test_a_corrected_bound_of_one_lead_is_not_lost(self):
        plain, corrected = effect(2, 1, 3), replace(effect(3, 1.5, 4), low_adjusted=0.4)
        assert least(plain, corrected).low_adjusted == 0.4

    def test_nothing_is_said_for_a_model_that_is_mostly_wrong(self):
        observed = planted_evidence(0.0, n=600)
        images = observed.insertion.images
        wrong = replace(images, **{name: np.roll(getattr(images, name), 1, axis=1) for name in ("predicted", "scores")})
        finding = judge(replace(observed, insertion=replace(observed.insertion, images=wrong)), 2, RULE)
        assert finding.verdict == "inconclusive"
        assert "order of its outputs" in finding.reason


class TestMargin:
    def test_is_a_share_of_the_spread_of_the_score_where_that_is_more(self):
        observed = planted_evidence(3.0)
        hot = replace(observed.insertion.images, scores=40 * observed.insertion.images.scores)
        heated = replace(observed, insertion=replace(observed.insertion, images=hot))
        assert judge(observed, 2, RULE).margin == pytest.approx(0.2 * observed.insertion.images.scores[:, 2].std())
        assert judge(observed, 2, replace(RULE, margin=0.7)).margin == 0.7
        assert judge(heated, 2, RULE).margin == pytest.approx(0.2 * hot.scores[:, 2].std())
        assert judge(observed, 2, RULE).verdict == "relies"
        assert judge(heated, 2, RULE).verdict == "no_evidence"


class TestHolm:
    def evidence_at(self, low: float, alpha: float) -> Observations:
        """Evidence whose lower bound of theta at a level is this much above the margin."""
        observed = planted_evidence(1.0, n=150, seed=3)
        finding = judge(observed, 2, RULE, alpha)
        shift = observed.insertion.shift.copy()
        shift[:, 2] += finding.margin + low - finding.measurements["theta"].decisive.low
        shift[observed.insertion.images.has[:, 2], 2] += 2.0  # the class's own images leave no doubt
        return replace(observed, insertion=replace(observed.insertion, shift=shift))

    def test_of_two_artefacts_the_first_must_pass_the_half_level(self):
        weak = self.evidence_at(0.001, RULE.alpha)
        assert judge(weak, 2, RULE).verdict == "relies"
        nothing = planted_evidence(0.0, n=600)
        assert [f.verdict for f in judge_all([(weak, 2), (nothing, 2)], RULE)] == ["inconclusive", "no_evidence"]

    def test_once_the_strongest_is_rejected_the_next_needs_the_full_level_only(self):
        weak, strong = self.evidence_at(0.001, RULE.alpha), planted_evidence(5.0)
        assert [f.verdict for f in judge_all([(weak, 2), (strong, 2)], RULE)] == ["relies", "relies"]

    @pytest.mark.slow
    def test_wrong_reliance_on_any_of_five_artefacts_is_as_rare_as_alpha(self):
        wrong = 0
        for run in range(60):
            tried = [(at_the_margin(10 * run + at), 2) for at in range(5)]
            wrong += any(finding.verdict == "relies" for finding in judge_all(tried, RULE))
        assert wrong / 60 <= RULE.alpha


class TestChance:
    def drawn(self, innocent: np.ndarray) -> Observations:
        """A planted lift of class 2, and draws (draws, classes) that move each class by so much on every image."""
        observed = planted_evidence(3.0, n=300)
        draws = np.repeat(innocent[:, None, :], 300, axis=1)
        return replace(observed, draws=Draws(np.arange(300), draws, len(draws)))

    def test_a_scan_relies_where_no_draw_moves_another_class_as_far(self):
        finding = judge(self.drawn(np.zeros((39, 10))), None, RULE)
        assert (finding.verdict, finding.target) == ("relies", "c")
        assert finding.measurements["strongest_by_chance"].n == 300

    def test_a_scan_is_open_where_innocent_content_moves_other_classes_as_far(self):
        moved = np.zeros((39, 10))
        moved[:2, 7] = 6.0
        finding = judge(self.drawn(moved), None, RULE)
        assert finding.verdict == "inconclusive"
        assert "innocent content" in finding.reason

    def test_innocent_content_that_moves_the_class_itself_is_left_to_the_controls(self):
        moved = np.zeros((39, 10))
        moved[:, 2] = 6.0
        assert judge(self.drawn(moved), None, RULE).verdict == "relies"


class TestScan:
    def test_finds_the_planted_class_first(self):
        finding = judge(planted_evidence(3.0), None, RULE)
        assert (finding.verdict, finding.target) == ("relies", "c")
        assert finding.scanned[0].target == "c"
        assert len(finding.scanned) == 10

    def test_says_which_classes_are_promoted_and_which_suppressed(self):
        observed = planted_evidence(3.0, n=600)
        shift = observed.insertion.shift.copy()
        shift[:, 5] -= 6
        finding = judge(replace(observed, insertion=replace(observed.insertion, shift=shift)), None, RULE)
        assert "it promotes c; it suppresses f" in finding.reason

    def test_bounds_are_wider_than_those_of_a_named_target(self):
        theta = judge(planted_evidence(3.0), None, RULE).measurements["theta"]
        assert theta.low_adjusted < theta.low

    def test_of_nothing_planted_finds_no_evidence_for_any_class(self):
        finding = judge(planted_evidence(0.0, n=2000), None, RULE)
        assert finding.verdict == "no_evidence"
        assert {entry.verdict for entry in finding.scanned} == {"no_evidence"}

    def test_of_innocent_artefacts_hardly_ever_relies(self):
        verdicts = [judge(planted_evidence(0.0, n=120, seed=seed), None, RULE).verdict for seed in range(40)]
        assert verdicts.count("relies") <= 2

    def test_images_that_all_have_one_class_do_not_switch_the_comparison_off(self):
        moved = np.zeros((39, 10))
        moved[:, 7] = 6.0
        observed = TestChance().drawn(moved)
        has = observed.insertion.images.has.copy()
        has[:, 0] = True  # several classes an image, one of them on every image
        images = replace(observed.insertion.images, has=has)
        finding = judge(replace(observed, insertion=replace(observed.insertion, images=images)), None, RULE)
        assert finding.verdict == "inconclusive"
        assert "innocent content" in finding.reason


class TestSeverity:
    @pytest.mark.parametrize(("harm", "severity"), [(0.0, "low"), (0.05, "medium"), (0.2499, "medium"), (0.25, "high")])
    def test_follows_its_thresholds(self, harm, severity):
        harmed = Measurement(harm, None, None, None, 1, 1, "share", None)
        assert judge_severity(RELIES, measured(effect(2, 1, 3)), [None, harmed]) == severity

    def test_is_of_the_score_only_where_hardly_a_decision_turns(self):
        turned = Measurement(0.01, 0.0, 0.03, 0.95, 100, 100, "share", None)
        assert judge_severity(RELIES, measured(effect(2, 1, 3), decisions_turned=turned), [turned]) == "score only"

    def test_of_suppression_counts_lost_predictions_even_without_labels(self):
        observed = planted_evidence(0.0, n=600, fall=6.0)
        images = replace(observed.insertion.images, labelled=np.zeros(600, bool))
        nothing = np.zeros((600, 10), bool)
        finding = judge(
            replace(observed, insertion=replace(observed.insertion, images=images, predicted=nothing)), 2, RULE
        )
        assert (finding.direction, finding.severity) == ("suppresses", "high")

    @pytest.mark.parametrize(
        ("verdict", "severity"), [("no_evidence", "none"), ("inconclusive", None), ("error", None)]
    )
    def test_is_none_where_nothing_was_found_and_missing_where_nothing_was_decided(self, verdict, severity):
        decided = RELIES._replace(verdict=verdict, direction=None)
        assert judge_severity(decided, measured(effect(2, 1, 3)), [effect(1, 1, 1)]) == severity

    def test_takes_the_flip_rate_into_account(self):
        observed = planted_evidence(3.0)
        predicted = np.zeros_like(observed.insertion.predicted)
        predicted[:, 2] = True
        finding = judge(replace(observed, insertion=replace(observed.insertion, predicted=predicted)), 2, RULE)
        assert finding.measurements["flip_rate"].value == 1.0
        assert finding.severity == "high"
