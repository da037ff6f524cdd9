"""What a model alone asks for: a mark that no image shows, and nothing that is claimed of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from auditor.artefacts.overlay import Overlay
from auditor.auditing import suspecting
from auditor.discovery.candidate import Candidate, CannotLookError, Proposal
from auditor.discovery.material import Material
from auditor.discovery.proposing import overlap, propose
from auditor.discovery.universal import (
    Asked,
    Patches,
    climb,
    plan,
    propose_universal,
    search,
    try_patches,
    weigh_likelihood,
)
from auditor.errors import ModelError
from auditor.measure.arrays import take
from auditor.report.sections.suspects import tell_suspects
from tests.closed_form import LinearClassifier
from tests.small_audits import audit, make_classifier
from tests.small_world import make_data
from tests.synthetic import make_finding
from tests.test_discovery import CORNER, FRAME, PATTERN, classifier, material, pictures
from tests.test_suspecting import planted


def planted_corner():
    region = np.zeros(FRAME[:2], bool)
    region[CORNER] = True
    return region


def without_carriers():
    images, labels, carries = pictures(share=0.0)
    assert not carries.any()
    return material(classifier(), images, labels)


def one_patch(corner, pattern):
    return Patches(np.array([corner]), np.asarray(pattern, np.float64)[None, ..., None])


class TestTheSearch:
    def test_finds_the_place_and_the_pattern_of_a_mark_that_no_image_shows(self):
        asked = search(without_carriers(), 2, 4)
        assert overlap(asked.look.fixed_region, planted_corner()) > 0.4
        shown = asked.look.fixed_region & planted_corner()
        wanted = np.zeros(FRAME[:2])
        wanted[CORNER] = PATTERN
        np.testing.assert_array_equal(asked.look.ink[shown][:, 0] > 0.5, wanted[shown] > 0.5)
        assert asked.raised > asked.usual

    def test_is_the_same_for_the_same_seed(self):
        given = without_carriers()
        first, second = (search(given, 2, 3).look for _ in range(2))
        np.testing.assert_allclose(first.ink, second.ink, atol=1e-6)

    def test_is_the_same_whatever_the_order_of_images(self):
        given = without_carriers()
        order = np.random.default_rng(1).permutation(len(given.images))
        ids = [given.ids[at] for at in order]
        turned = Material(given.classifier, given.images[order], take(given.seen, order), ids, given.seed)
        patch = one_patch((2, 7), np.ones((3, 3)))
        np.testing.assert_allclose(*(try_patches(each, 2, patch, 8) for each in (given, turned)), rtol=1e-5)
        first, second = (search(each, 2, 3).look for each in (given, turned))
        np.testing.assert_allclose(first.ink, second.ink, atol=1e-6)

    def test_is_the_same_whatever_the_batch_size(self):
        alone, together = (search(replace(without_carriers(), batch_size=size), 2, 3) for size in (1, 50))
        np.testing.assert_allclose(alone.look.ink, together.look.ink, atol=1e-6)
        np.testing.assert_allclose(alone.raised, together.raised, rtol=1e-5)

    def test_leaves_a_patch_grey_where_the_model_asks_for_nothing(self):
        given = without_carriers()
        asked = search(replace(given, classifier=LinearClassifier(np.zeros((3, *FRAME)), np.zeros(3))), 2, 3)
        np.testing.assert_array_equal(asked.look.ink[asked.look.fixed_region], 0.5)

    @pytest.mark.parametrize("frame", [(1, 1, 1), (2, 3, 4), (4, 4, 1), (5, 40, 3)])
    def test_takes_frames_of_few_pixels_and_many_channels(self, frame):
        images = np.random.default_rng(0).random((30, *frame), np.float32)
        model = LinearClassifier(np.ones((3, *frame), np.float32) * np.array([[[[-1]]], [[[0]]], [[[1]]]]), np.zeros(3))
        asked = search(material(model, images, np.arange(30) % 3), 2, 3)
        assert asked.look.ink.shape == frame
        np.testing.assert_allclose(asked.look.ink[asked.look.fixed_region], 1)

    def test_keeps_patterns_in_range_and_raises_what_they_do(self):
        given, patch = without_carriers(), one_patch((8, 8), np.full((3, 3), 0.5))
        climbed = climb(given, 2, patch, 4, 0.5, np.random.default_rng(0))
        assert climbed.patterns.min() >= 0
        assert climbed.patterns.max() <= 1
        assert try_patches(given, 2, climbed, 8)[0] > try_patches(given, 2, patch, 8)[0]
        np.testing.assert_array_equal(patch.patterns, 0.5)

    def test_counts_what_a_patch_does_to_images_of_the_class_or_to_others_whichever_is_less(self):
        given, patch = without_carriers(), one_patch((2, 7), np.ones((3, 3)))  # over where the class is bright itself
        look = Overlay(np.zeros(FRAME[:2], np.float32), np.ones(FRAME, np.float32))
        look.alpha[2:5, 7:10] = 1
        rows = given.some_own(2, 8), given.others(2, 8)
        mine, others = (given.shifts(part, look.insert(given.images[part]))[:, 2].mean() for part in rows)
        assert mine < others
        np.testing.assert_allclose(try_patches(given, 2, patch, 8), mine, rtol=1e-5)

    def test_moves_a_pattern_so_that_it_shows_the_same_pixels(self):
        pattern = np.arange(9).reshape(3, 3) / 9
        moved = one_patch((8, 4), pattern).moved(np.array([[0, 0], [1, -2], [3, 0]]), (12, 12))
        np.testing.assert_array_equal(moved.corners, [[8, 4], [9, 2], [9, 4]])
        np.testing.assert_array_equal(moved.patterns[0, ..., 0], pattern)
        np.testing.assert_array_equal(moved.patterns[1, :2, 2:, 0], pattern[1:, :1])
        np.testing.assert_array_equal(moved.patterns[1, 2], 0.5)
        np.testing.assert_array_equal(moved.patterns[2, :2, :, 0], pattern[1:])


class TestHowLikelyItIs:
    def asked(self, target, raised, usual=0.0):
        return Asked(target, Overlay(np.zeros(FRAME[:2], np.float32), np.zeros(FRAME, np.float32)), raised, usual)

    def test_is_the_share_beyond_what_other_classes_ask_for(self):
        every = [self.asked(number, raised) for number, raised in enumerate((8.0, 2.0, 1.0, 3.0))]
        np.testing.assert_allclose(weigh_likelihood(every[0], every), 1 - 2 / 8)
        assert weigh_likelihood(every[2], every) == 0

    def test_is_the_share_beyond_the_median_place_where_that_does_more(self):
        every = [self.asked(0, 8.0, usual=6.0), self.asked(1, 2.0)]
        np.testing.assert_allclose(weigh_likelihood(every[0], every), 1 - 6 / 8)
        np.testing.assert_allclose(weigh_likelihood(every[0], every[:1]), 1 - 6 / 8)

    def test_is_none_of_a_patch_that_lowers_the_class(self):
        assert weigh_likelihood(self.asked(0, -1.0), [self.asked(0, -1.0)]) == 0


class TestThePlan:
    def test_begins_with_the_class_that_most_images_are_taken_for(self):
        given = without_carriers()
        predicted = given.seen.predicted.copy()
        predicted[:, 1] = True
        wrong = replace(given, seen=replace(given.seen, predicted=predicted))
        assert plan(wrong, 20_000)[0][0] == 1

    def test_looks_at_fewer_classes_before_it_takes_fewer_steps_than_are_a_search(self):
        assert len(plan(without_carriers(), 2000)[0]) == 1

    def test_counts_an_image_of_four_times_the_size_as_several(self):
        given = without_carriers()
        large = replace(given, images=np.zeros((len(given.images), 128, 128, 1), np.float32))
        assert large.cost == 4
        assert plan(large, 6000) == (given.classes[:1], 3)
        with pytest.raises(CannotLookError, match="too few"):
            plan(large, 5000)

    def test_counts_the_images_that_the_model_is_differentiated_at(self):
        asked, given = [], without_carriers()

        class Counting(LinearClassifier):
            def differentiate(self, images, targets, layers=()):
                asked.append(len(images))
                return super().differentiate(images, targets, layers)

        counting = Counting(given.classifier.weights, given.classifier.bias, output=given.classifier.output)
        list(propose_universal(replace(given, classifier=counting), 5000))
        assert 0.8 * 5000 < sum(asked) <= 5000

    def test_of_some_classes_only_is_said(self):
        given = without_carriers()
        assert propose(given, 6, 20_000, ["universal"]).skipped == {}
        assert propose(given, 6, 2000, ["universal"]).skipped == {
            "universal": "2000 passes allow a search for 1 of 3 classes"
        }

    @pytest.mark.parametrize("passes", [100, 1400])
    def test_is_none_with_too_few_passes(self, passes):
        with pytest.raises(CannotLookError, match="too few"):
            plan(without_carriers(), passes)


class TestWhatIsProposed:
    def test_is_of_the_class_and_place_that_the_model_asks_for(self):
        found = list(propose_universal(without_carriers(), 20_000))
        assert any(each.target == 2 and overlap(each.looks[0].fixed_region, planted_corner()) > 0.4 for each in found)

    def test_counts_less_in_the_ranking_than_what_images_show(self):
        proposal = Proposal("universal", 0, (), 0.5, (0,), trust=0.5)
        asked, shown = (Candidate("", replace(proposal, trust=trust), None, 2.0, 0.0) for trust in (0.5, 1.0))
        np.testing.assert_allclose(2 * asked.number, shown.number)

    def test_a_model_that_gives_scores_alone_is_said_not_to_be_asked(self):
        given, model = without_carriers(), classifier()

        class Scores:
            classes, image_shape, output = model.classes, model.image_shape, model.output

            def scores(self, images):
                return model.scores(images)

        proposed = propose(replace(given, classifier=Scores()), 6, 20_000, ["universal"])
        assert proposed.candidates == []
        assert "no derivatives" in proposed.skipped["universal"]


class Stepped(LinearClassifier):
    def differentiate(self, images, targets, layers=()):
        raise ModelError("its scores do not hang on pixels in a way that has a derivative")

    weigh = differentiate


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    data = make_data(150)
    data["images"][:, 4:] = np.random.default_rng(1).integers(20, 60, data["images"][:, 4:].shape)
    settings = {
        "discovery": {"sources": ["universal"]},
        "explain": {"images": 6, "exemplars": 2},
        "report": {"formats": ["markdown"]},
    }
    return audit(tmp_path_factory.mktemp("universal") / "audit", artefacts=[], data=data, settings=settings)


def test_a_model_whose_derivatives_cannot_be_had_is_searched_by_the_other_sources():
    images, labels, _ = pictures()
    model = classifier()
    given = material(Stepped(model.weights, model.bias, output="softmax"), images, labels)
    proposed = propose(given, 6, 20_000, ["stamps", "gradients", "universal", "clusters"])
    assert proposed.candidates
    assert set(proposed.skipped) == {"gradients", "universal", "clusters"}


def test_an_audit_of_it_keeps_its_suspects(tmp_path):
    whole = make_classifier()
    model = Stepped(whole.weights, whole.bias, output=whole.output)
    settings = {"discovery": {"sources": ["stamps", "universal"]}, "report": {"formats": ["markdown"]}}
    run = audit(tmp_path / "audit", model=model, artefacts=[], data=planted(), settings=settings)
    assert run.result.suspects
    assert {unit.name: unit.status for unit in run.result.units}["suspects"] == "done"
    assert run.result.discovery.embedding.told_by == "scores"


@pytest.mark.parametrize("is_apart", [True, False])
def test_what_hardly_any_image_shows_is_no_shortcut_candidate(is_apart):
    suspect = Candidate("suspect 1: top", Proposal("universal", 2, (), 1.0, (0,)), None, 1.0, 0.0)
    weighed = suspecting.Weighed(is_apart, ["2 % of 300 images show it."], carried=0.02)
    assert suspecting._stand(make_finding(), weighed, suspect)[0] == "shown by hardly any image"


class TestAnAuditOfAModelWhoseMarkNoImageShows:
    def test_names_the_mark_and_accuses_nobody(self, run):
        found = [each for each in run.result.suspects if each.target == "boat"]
        assert found[0].standing == "shown by hardly any image"
        left, top, right, bottom = found[0].box
        assert min(right, 8) - max(left, 5) > 0
        assert min(bottom, 8) - max(top, 5) > 0
        assert "relies" not in {finding.verdict for finding in run.findings}
        assert run.exit_code == 4

    def test_says_so_in_the_report(self, run):
        assert "shown by hardly any image" in tell_suspects(run.result)
        assert suspecting.UNSEEN in run.result.suspects[0].evidence
