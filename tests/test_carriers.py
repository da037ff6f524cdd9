"""Carriers count as free of an artefact where it can be taken out exactly; where it cannot, fills decide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from auditor.artefacts.overlay import Overlay
from auditor.verdict.findings import judge
from auditor.verdict.observations import Observations
from auditor.verdict.record import Rule
from tests.test_findings import planted_evidence, removal_evidence
from tests.test_second_rule import AT, MARK, SHAPE, SIDE, audit, content, corner, mark, pushed, sees_mark, world

RULE = Rule()


def stamped(n: int, count: int, of: int | None = None, opacity: float = 0.8):
    """Pictures that carry the mark, all of them or those of one class; their classes; and which of them do."""
    images, labels = world(n, count)
    carriers = np.ones(n, bool) if of is None else labels == of
    images[carriers] = mark(opacity).insert(images[carriers])
    return images, labels, carriers


class TestExactRemoval:
    @pytest.mark.parametrize(
        ("push", "verdict", "direction"), [(8, "relies", "promotes"), (-8, "relies", "suppresses")]
    )
    def test_what_is_on_every_image_is_judged_as_though_it_were_on_none(self, push, verdict, direction):
        images, _, every = stamped(300, 4)
        finding = audit(pushed(4, {0: push}, gain=0.35), 4, pictures=images, carriers=every)
        assert (finding.basis, finding.verdict, finding.direction) == ("insertion", verdict, direction)
        free = audit(pushed(4, {0: push}, gain=0.35), 4)
        for name in ("theta", "theta_suppression"):
            assert finding.measurements[name].n == free.measurements[name].n
            assert finding.measurements[name].value == pytest.approx(free.measurements[name].value, abs=0.3)

    def test_what_the_model_does_not_look_at_gets_an_all_clear_though_it_is_on_every_image(self):
        images, _, every = stamped(300, 4)
        assert audit(pushed(4, {}), 4, pictures=images, carriers=every).verdict == "no_evidence"

    def test_images_of_the_class_that_all_carry_it_test_suppression_and_confirm_promotion(self):
        images, labels, carriers = stamped(300, 4, of=0)
        finding = audit(pushed(4, {0: 8}, gain=0.35), 4, pictures=images, carriers=carriers)
        assert (finding.verdict, finding.direction) == ("relies", "promotes")
        own = int((labels == 0).sum())
        assert finding.measurements["suppression"].n == finding.measurements["own_control_contrast"].n == own
        assert finding.measurements["insertion_lift"].n == 300 - own

    @pytest.mark.parametrize("opacity", [0.8, 0.95])
    def test_what_was_never_there_or_is_nearly_opaque_leaves_no_image_free_of_it(self, opacity):
        images, labels = world(300, 4)
        carriers = labels == 0
        if opacity > 0.9:
            images[carriers] = mark(opacity).insert(images[carriers])
        finding = audit(pushed(4, {}), 4, look=mark(opacity), pictures=images, carriers=carriers)
        assert finding.measurements["suppression"].value is None

    @pytest.mark.parametrize("count", [5, 30])
    def test_a_few_that_it_can_be_taken_out_of_do_not_keep_all_others_from_deciding(self, count):
        images, _ = world(300, 4)
        images[:count] = mark(0.6).insert(images[:count])
        images[count:, 10:, 10:] = np.random.default_rng(0).choice([0.0, 1.0], (300 - count, 4, 4, 1))  # not the mark
        every = np.ones(300, bool)
        finding = audit(pushed(4, {0: 8}, gain=0.35), 4, look=mark(0.6), pictures=images, carriers=every)
        freed = [note for note in finding.notes if note.kind == "freed"]
        assert (finding.basis, len(freed)) == (("removal", 0) if count < 12 else ("insertion", 1))


def core(at: tuple[int, int]) -> Overlay:
    """A mark of soft tones in a thin veil: taken out a pixel off, or in another corner, it leaves valid pixels."""
    alpha, ink = np.zeros(SHAPE[:2], np.float32), np.zeros(SHAPE, np.float32)
    around = np.s_[max(at[0] - 2, 0) : at[0] + SIDE + 2, max(at[1] - 2, 0) : at[1] + SIDE + 2]
    alpha[around], ink[around] = 0.1, 0.6
    inside = np.s_[at[0] : at[0] + SIDE, at[1] : at[1] + SIDE]
    alpha[inside], ink[(*inside, 0)] = 0.5, 0.5 + 0.4 * (MARK - 0.5)
    return Overlay(alpha, ink)


def faint(at: tuple[int, int]) -> Overlay:
    return mark(0.3, at)


class TestPlace:
    """Nothing looks for it in each image, and what is taken out elsewhere leaves images that still show it."""

    def audited(self, look, at, push=8, missing=0.0, target=0):
        images, labels = world(300, 4)
        every = np.ones(300, bool)
        shows = np.random.default_rng(3).random(300) >= missing
        images[shows] = look(AT).insert(images[shows])
        model = pushed(4, {0: push} if push else {}, gain=0.35)
        return audit(model, 4, target, look=look(at), pictures=images, labels=labels, carriers=every)

    @pytest.mark.parametrize("look", [core, faint])
    def test_what_is_where_it_is_named_is_judged_as_before(self, look):
        assert self.audited(look, AT).verdict == "relies"
        innocent = self.audited(look, AT, push=0)
        assert (innocent.verdict, innocent.basis) == ("no_evidence", "insertion")
        shown = innocent.measurements["shown_by_carriers"]
        assert shown.low < 1 < shown.high + 0.02
        assert shown.high - shown.low < 0.2

    @pytest.mark.parametrize("look", [core, faint])
    @pytest.mark.parametrize("at", [(9, 10), (10, 9), (0, 0), (2, 10)])
    def test_what_is_elsewhere_gets_no_all_clear_and_frees_no_image(self, look, at):
        finding = self.audited(look, at)
        assert finding.verdict != "no_evidence"
        assert {note.kind for note in finding.notes} & {"freed", "not shown"} == {"not shown"}

    def test_half_of_the_carriers_without_it_are_too_many_for_an_all_clear(self):
        few, many = (self.audited(faint, AT, push=0, missing=share) for share in (0.2, 0.6))
        assert few.verdict == "no_evidence"
        assert {note.kind for note in few.notes} & {"not shown", "partly shown"} == {"partly shown"}
        assert few.measurements["shown_by_carriers"].value == pytest.approx(0.8, abs=0.1)
        assert many.verdict == "inconclusive"

    def test_images_that_are_not_said_to_carry_it_and_do_are_told_of(self):
        images, labels = world(300, 4)
        shows, carriers = labels < 2, labels == 0
        innocent = images.copy()
        images[shows], innocent[carriers] = faint(AT).insert(images[shows]), faint(AT).insert(innocent[carriers])
        for pictures, share in ((images, (labels == 1).sum() / (labels > 0).sum()), (innocent, 0)):
            finding = audit(pushed(4, {}), 4, look=faint(AT), pictures=pictures, labels=labels, carriers=carriers)
            assert finding.measurements["shown_by_others"].value == pytest.approx(share, abs=0.1)
            assert finding.measurements["shown_by_carriers"].value == pytest.approx(1 - share, abs=0.1)
            told = [note.text for note in finding.notes if note.kind == "partly shown"]
            assert len(told) == (share > 0)
            assert all("could be missed" in text for text in told)

    def test_where_none_is_said_to_carry_what_all_carry_that_is_told(self):
        images, labels = world(300, 4)
        for pictures, is_there in ((faint(AT).insert(images), True), (images, False)):
            finding = audit(pushed(4, {}), 4, look=faint(AT), pictures=pictures, labels=labels)
            assert finding.measurements["shown_by_others"].n == 48
            assert any(note.kind == "not said" for note in finding.notes) == is_there

    @pytest.mark.parametrize("opacity", [0.6, 0.8, 1.0])
    def test_what_is_on_every_image_unsaid_gets_no_all_clear(self, opacity):
        images, labels = world(300, 4)
        carried = mark(opacity).insert(images)
        finding = audit(pushed(4, {0: 8}), 4, look=mark(opacity), pictures=carried, labels=labels)
        assert finding.verdict == "inconclusive"
        assert "do they carry it already" in finding.reason
        assert finding.measurements["change_by_inserting"].value == pytest.approx(1 - opacity, abs=0.1)
        free = audit(pushed(4, {}), 4, look=mark(opacity), pictures=images, labels=labels)
        assert free.verdict == "no_evidence"
        assert free.measurements["change_by_inserting"].low > 0.9


class TestScans:
    def any_patch(self, pictures):
        """Whatever lies in the corner raises some class or other, in a manner that no class has learnt."""
        random = np.random.default_rng(1002)
        first, last, at = random.normal(size=(16, 48)) * 2.25, random.normal(size=(48, 20)), random.normal(size=48)
        hidden = np.tanh((corner(pictures).reshape(len(pictures), 16) - 0.5) @ first + at)
        return content(pictures, 20) / 4 + hidden @ last / 14

    @pytest.mark.parametrize("share", [0.0, 0.9, 1.0])
    def test_chance_must_not_reach_as_far_whichever_images_carry_it(self, share):
        images, labels = world(400, 20, 2)
        carriers = np.arange(400) < 400 * share
        images[carriers] = mark().insert(images[carriers])
        finding = audit(self.any_patch, 20, None, pictures=images, labels=labels, carriers=carriers, n=400, seed=2)
        assert finding.basis == "insertion"
        assert finding.measurements["strongest_by_chance"].n == 100
        assert finding.verdict == "inconclusive"


def filled(drop: float, elsewhere: float = 0.0) -> Observations:
    """Filling it in lowers the class by so many margins, and the same elsewhere in the image lowers it by others."""
    observed = removal_evidence(0.0, n=400)
    margin, removals = judge(observed, 2, RULE).margin, observed.removals
    fall = {name: values * 0.1 + drop * margin for name, values in removals.fall.items()}
    placebo = {name: values * 0.1 + elsewhere * margin for name, values in removals.placebo.items()}
    return replace(observed, removals=replace(removals, fall=fall, placebo=placebo))


class TestFills:
    @pytest.mark.parametrize(("drop", "verdict"), [(0.2, "no_evidence"), (1.0, "inconclusive"), (3.0, "relies")])
    def test_settle_nothing_between_half_the_margin_and_twice_it(self, drop, verdict):
        assert judge(filled(drop), 2, RULE).verdict == verdict

    def test_say_so_where_the_effect_is_clear_and_in_between(self):
        assert "settles nothing in between" in judge(filled(1.0), 2, RULE).reason

    def test_a_score_that_only_rises_elsewhere_does_not_rely(self):
        finding = judge(filled(0.0, elsewhere=-4.0), 2, RULE)
        assert finding.measurements["removal_contrast"].low > 2 * finding.margin
        assert finding.verdict == "no_evidence"

    def test_a_score_that_rises_by_removal_is_no_all_clear(self):
        finding = judge(filled(-3.0), 2, RULE)
        assert finding.verdict == "inconclusive"
        assert "it may suppress" in finding.reason

    def test_decisions_that_removal_turns_are_no_all_clear(self):
        observed = filled(0.2)
        images = observed.removals.images
        gone = {name: images.predicted & (np.arange(400) % 5 > 0)[:, None] for name in observed.removals.fall}
        as_it_was = dict.fromkeys(gone, images.predicted)
        removals = replace(observed.removals, predicted=gone, predicted_elsewhere=as_it_was)
        finding = judge(replace(observed, removals=removals), 2, RULE)
        assert finding.measurements["decisions_undone"].value == pytest.approx(images.predicted[::5, 2].sum() / 400)
        assert finding.verdict == "inconclusive"


class TestSuppressionOnOthers:
    """Where no image of the class is free of it, that it lowers the class on all others must do."""

    def evidence(self, push: float) -> Observations:
        observed = planted_evidence(push, n=600)
        return replace(observed, insertion=observed.insertion.rows(~observed.insertion.images.has[:, 2]))

    def test_is_found(self):
        finding = judge(self.evidence(-4.0), 2, RULE)
        assert (finding.verdict, finding.direction) == ("relies", "suppresses")
        assert finding.endpoint == "theta_suppression_others"
        assert any("on images of other classes alone" in note.text for note in finding.notes)

    def test_is_the_mirror_image_of_promotion(self):
        falls, rises = judge(self.evidence(-4.0), 2, RULE), judge(self.evidence(4.0), 2, RULE)
        assert falls.measurements["suppression_others"].value == pytest.approx(
            -falls.measurements["insertion_lift"].value
        )
        assert rises.measurements["theta_suppression_others"].value < 0
        assert rises.direction == "promotes"

    def test_is_not_asked_where_the_class_has_images_of_its_own(self):
        assert "theta_suppression_others" not in judge(planted_evidence(-4.0, n=600), 2, RULE).measurements

    def test_removal_that_lowers_the_class_speaks_against_it(self):
        removals = replace(removal_evidence(4.0).removals)
        exact = {"exact": removals.fall["mean"]}
        placebo, predicted = {"exact": removals.placebo["mean"]}, {"exact": removals.predicted["mean"]}
        removals = replace(removals, fall=exact, placebo=placebo, predicted=predicted)
        finding = judge(replace(self.evidence(-4.0), removals=removals), 2, RULE)
        assert finding.verdict == "inconclusive"
        assert "lowers the score, too" in finding.reason


class TestChanceOfANamedClass:
    @pytest.mark.parametrize("count", [2, 4])
    def test_no_draw_of_innocent_content_does_what_the_mark_does(self, count):
        finding = audit(pushed(count, {0: 8}, gain=0.35), count)
        assert finding.measurements["promoted_by_chance"].value == 0
        assert finding.measurements["promoted_by_chance"].n == 19  # the fewest that can tell at 5 %

    def test_draws_end_once_one_in_each_direction_does_as_much(self):
        finding = audit(pushed(2, {}), 2)
        for name in ("promoted_by_chance", "suppressed_by_chance"):
            assert 1 <= finding.measurements[name].n < 19
            assert finding.measurements[name].value > 0

    def test_a_class_that_any_patch_there_promotes_is_said_to_be(self):
        def bright(pictures):
            logits = content(pictures, 4) * 0.35
            logits[:, 0] += 6 * np.abs(pictures[:, 10:, 10:, 0] - 0.5).mean(axis=(1, 2))
            return logits

        measured = audit(bright, 4).measurements["promoted_by_chance"]
        assert measured.value > 0.05


class TestAModelThatNeedsIt:
    def formula(self, pictures):
        """Class 0 wherever the mark is missing; with it, what the content says."""
        logits = content(pictures, 4)
        logits[:, 0] += 20 * (1 - sees_mark(pictures))
        return logits

    def test_is_wrong_on_most_images_as_they_came_and_gets_a_verdict_all_the_same(self):
        finding = audit(self.formula, 4)
        assert finding.measurements["accuracy"].high < 0.5
        assert finding.measurements["accuracy_inserted"].low > 0.5
        assert (finding.verdict, finding.direction) == ("relies", "suppresses")

    def test_labels_in_another_order_get_none_for_it_is_wrong_with_the_mark_too(self):
        images, labels = world(300, 4)
        finding = audit(self.formula, 4, pictures=images, labels=(labels + 1) % 4)
        assert finding.verdict == "inconclusive"
        assert "in the order of its outputs" in finding.reason

    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_a_few_carriers_that_it_is_taken_out_of_say_nothing_of_the_order_of_labels(self, count):
        images, labels = world(300, 4)
        carriers = np.arange(300) < count
        images[carriers] = mark().insert(images[carriers])
        finding = audit(pushed(4, {}), 4, pictures=images, labels=(labels + 1) % 4, carriers=carriers)
        assert finding.verdict == "inconclusive"
        assert "in the order of its outputs" in finding.reason
