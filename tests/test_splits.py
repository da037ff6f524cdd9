"""A class that falls in two: found where something is shared to the pixel, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from auditor.artefacts.overlay import Overlay
from auditor.discovery.candidate import Candidate, Proposal
from auditor.discovery.control import plant_and_seek
from auditor.discovery.extent import are_photographs
from auditor.discovery.proposing import _joined, overlap, propose
from auditor.discovery.record import ControlRecord
from auditor.discovery.splits import (
    FEWEST,
    OF_STAMPS,
    Population,
    Texture,
    divide,
    find_splits,
    halve_by_likeness,
    lay_windows,
)
from auditor.discovery.stamps import plainly_apart, propose_common, propose_stamps
from auditor.discovery.weighing import weigh
from auditor.report.sections.suspects import tell_control
from auditor.run.suspects import DiscoveryRecord
from tests.closed_form import LinearClassifier
from tests.test_discovery import classifier, material, pictures

SIDE = 16


def scenes(count: int, seed: int):
    """Images (n, 16, 16, 3) of a ground colour, a bright disc that moves, and noise."""
    random = np.random.default_rng(seed)
    ground, ink = random.uniform(0, 0.4, (count, 1, 1, 3)), random.uniform(0.6, 1, (count, 1, 1, 3))
    down, across = np.mgrid[:SIDE, :SIDE]
    middle = random.uniform(5, 11, (2, count, 1, 1))
    disc = ((down - middle[0]) ** 2 + (across - middle[1]) ** 2 < 16)[..., None]
    noise = random.normal(0, 0.03, (count, SIDE, SIDE, 3))
    return np.clip(np.where(disc, ink, ground) + noise, 0, 1).astype(np.float32)


def spots(opacity: float) -> Overlay:
    """Fourteen white spots over the frame."""
    alpha = np.zeros(SIDE * SIDE, np.float32)
    alpha[np.random.default_rng(5).permutation(alpha.size)[:14]] = opacity
    return Overlay(alpha.reshape(SIDE, SIDE), np.ones((SIDE, SIDE, 3), np.float32))


def stamped(images, share: float, opacity: float):
    carries = np.arange(len(images)) < share * len(images)
    return np.concatenate([spots(opacity).insert(images[carries]), images[~carries]]), carries


def of(own, others):
    """The splits of images, by what others vary in."""
    return find_splits(own, Population(others), others)


def clearest(splits):
    """Of splits, the ten with the widest gaps."""
    return sorted(splits, key=lambda split: -split.gap)[:10]


class TestDividing:
    def test_one_bell_has_the_gap_that_its_halves_have(self):
        _, gap = divide(np.random.default_rng(0).normal(size=20_000))
        halves = 2 * np.sqrt(2 / np.pi) / np.sqrt(1 - 2 / np.pi)
        assert gap == pytest.approx(halves, rel=0.03)

    @pytest.mark.parametrize("share", [0.1, 0.5])
    def test_two_bells_have_the_distance_between_them(self, share):
        random, count = np.random.default_rng(1), 4000
        upper = np.arange(count) < share * count
        bar, gap = divide(random.normal(size=count) + 12 * upper)
        assert gap == pytest.approx(12, rel=0.05)
        assert 4 < bar < 8

    def test_neither_units_nor_order_matter(self):
        levels = np.random.default_rng(2).gamma(2, size=50)
        bar, gap = divide(levels)
        other_bar, other_gap = divide(5 - 3 * levels[::-1])
        assert other_gap == pytest.approx(gap)
        assert other_bar == pytest.approx(5 - 3 * bar)

    def test_too_few_are_not_divided(self):
        assert divide(np.arange(2 * FEWEST - 1.0))[1] == 0
        assert halve_by_likeness(np.eye(2 * FEWEST - 1)) == []

    def test_equal_numbers_leave_no_gap(self):
        assert divide(np.ones(40))[1] < 1e-3


class TestSplits:
    @pytest.mark.parametrize(("share", "opacity"), [(0.1, 0.9), (0.5, 0.3), (0.8, 0.4)])
    def test_those_that_carry_it_are_told_from_the_rest(self, share, opacity):
        own, carries = stamped(scenes(120, 0), share, opacity)
        best = max(of(own, scenes(150, 1)), key=lambda split: split.gap)
        assert best.gap > 6
        np.testing.assert_array_equal(best.shows, carries)

    def test_its_filter_tells_them_among_images_that_it_never_saw(self):
        own, _ = stamped(scenes(120, 0), 0.3, 0.4)
        best = max(of(own, scenes(150, 1)), key=lambda split: split.gap)
        others, carries = stamped(scenes(200, 2), 0.5, 0.4)
        bar, gap = divide(best.filter(others))
        assert gap > 6
        np.testing.assert_array_equal(best.filter(others) > bar, carries)

    @pytest.mark.parametrize("seed", range(4))
    def test_objects_that_reach_a_place_in_some_images_leave_no_such_gap_in_others(self, seed):
        splits = clearest(of(scenes(120, 10 + seed), scenes(150, 20 + seed)))
        fresh = scenes(200, 90 + seed)
        assert max(divide(split.filter(fresh))[1] for split in splits) < OF_STAMPS

    def test_a_picture_that_all_share_divides_nobody(self):
        icon = np.zeros((SIDE, SIDE, 1), np.float32)
        icon[4:12, 6:10] = 0.8
        own, others = (icon + np.random.default_rng(at).normal(0, 0.05, (60, SIDE, SIDE, 1)) for at in (0, 1))
        splits = of(own.astype(np.float32), others.astype(np.float32) * 0.5)
        assert max(split.gap for split in splits) < 6

    def test_the_frames_of_one_group_are_no_group_of_images(self):
        own, _ = stamped(scenes(120, 0), 0.3, 0.5)
        (best, *_) = clearest(of(own, scenes(150, 1)))
        others, carries = stamped(scenes(90, 2), 0.2, 0.5)
        _, gap = best.filter.divides(others, np.arange(90))
        assert gap > OF_STAMPS
        as_one = np.where(carries, 0, np.arange(90))
        shows, gap = best.filter.divides(others, as_one)
        assert min(shows.sum(), (~shows).sum()) < 6 or gap < 5

    def test_what_falls_in_two_otherwise_is_not_what_was_seen(self):
        own, _ = stamped(scenes(120, 0), 0.3, 0.5)
        (best, *_) = clearest(of(own, scenes(150, 1)))
        others = scenes(90, 2)
        others[:8] = 0
        assert divide(best.filter(others))[1] > 0
        assert best.filter.divides(others, np.arange(90))[1] == 0

    def test_what_others_vary_in_is_taken_out(self):
        nature = Population(scenes(200, 3))
        fresh = scenes(100, 4)
        assert nature.unexplained(fresh).std() * 0.1 < fresh.std()
        own, _ = stamped(fresh, 1.0, 0.5)
        inside = spots(1).fixed_region
        left = np.abs(nature.unexplained(own).mean(axis=0)).mean(axis=-1)
        assert left[inside].mean() > 5 * left[~inside].mean()

    @pytest.mark.parametrize("count", [16, 60, 180])
    def test_few_images_of_noise_leave_larger_gaps_than_many_and_neither_exceeds_what_noise_leaves(self, count):
        class Plain:
            def unexplained(self, images):
                return images

        noise = np.random.default_rng(count).normal(size=(count, SIDE, SIDE, 3)).astype(np.float32)
        best = max(find_splits(noise, Plain()), key=lambda split: split.excess)
        assert best.excess == pytest.approx(0, abs=0.8)
        assert best.sureness < 0.2

    def test_windows_cover_the_frame_at_every_size(self):
        seen = np.zeros((30, 21), int)
        for rows, columns in lay_windows(seen.shape):
            seen[rows, columns] += 1
        assert seen.min() >= 1
        assert len(list(lay_windows((3, 3)))) == 1


def photographs(count: int, seed: int):
    """Images (n, 32, 32, 3) of textures, as rough in one as smooth in another, up to their edge."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        noise = gaussian_filter(random.normal(size=(32, 32, 3)), (random.uniform(0.5, 3),) * 2 + (0,), mode="wrap")
        found.append(random.uniform(0.3, 0.7, 3) + noise / noise.std() * random.uniform(0.05, 0.3))
    return np.clip(found, 0, 1).astype(np.float32)


def line(opacity: float = 0.7) -> Overlay:
    alpha = np.zeros((32, 32), np.float32)
    alpha[18:28, 2:30] = opacity * np.random.default_rng(1).integers(0, 2, (10, 28))
    return Overlay(alpha, np.ones((32, 32, 3), np.float32))


class TestPhotographs:
    def test_a_faint_line_is_seen_on_a_third_of_them_whatever_they_show(self):
        images = photographs(120, 0)
        carries = np.arange(120) % 3 == 0
        images[carries] = line().insert(images[carries])
        best = max(find_splits(images, Texture()), key=lambda split: split.gap)
        np.testing.assert_array_equal(best.shows, carries)
        assert best.gap > OF_STAMPS

    def test_what_no_image_carries_is_not_seen(self):
        fresh = photographs(120, 2)
        splits = clearest(find_splits(photographs(120, 1), Texture()))
        assert max(divide(split.filter(fresh))[1] for split in splits) < OF_STAMPS

    def test_are_told_from_objects_on_a_plain_ground(self):
        assert are_photographs(photographs(20, 0))
        assert not are_photographs(scenes(20, 0))

    def test_without_a_class_that_carries_it_the_model_says_which_it_is_about(self):
        images = photographs(120, 3)
        labels, carries = np.arange(120) % 3, np.arange(120) % 4 == 0
        weights = np.zeros((3, 32, 32, 3), np.float32)
        weights[1] = line().alpha[..., None] * 4 - 4 * line().alpha.mean()
        model = LinearClassifier(weights / 30, np.zeros(3, np.float32), output="softmax")
        images[carries] = line().insert(images[carries])
        (first, *_) = propose_common(material(model, images, labels))
        assert first.target == 1
        assert first.is_common
        assert set(first.strong) == set(np.flatnonzero(carries))
        assert overlap(first.looks[0].fixed_region, line().fixed_region) > 0.3
        candidate = Candidate("", first, first.looks[0], 1.0, 1.0)
        others = photographs(120, 9)
        assert not weigh(material(model, others, labels), candidate).is_apart
        others[carries] = line().insert(others[carries])
        assert weigh(material(model, others, labels), candidate).is_apart

    def test_what_one_class_shows_is_not_common(self):
        images = photographs(120, 4)
        labels = np.arange(120) % 3
        images[labels == 0] = line().insert(images[labels == 0])
        model = LinearClassifier(np.zeros((3, 32, 32, 3), np.float32), np.zeros(3, np.float32), output="softmax")
        assert not any(len(each.strong) == 40 for each in propose_common(material(model, images, labels)))


class TestStamps:
    def test_spots_on_all_images_of_a_class_are_seen_on_its_objects_too(self):
        own, others = spots(0.7).insert(scenes(90, 0)), scenes(150, 1)
        inside = spots(1).fixed_region
        assert inside[5:11, 5:11].any()
        assert overlap(plainly_apart(own, others), inside) > 0.6

    def test_nothing_is_plainer_than_the_rest_where_images_are_equal(self):
        assert not plainly_apart(np.ones((9, 8, 8, 1), np.float32), np.ones((9, 8, 8, 1), np.float32)).any()

    def test_a_stamp_on_part_of_a_class_is_proposed_as_it_is(self):
        images, labels, carries = pictures(share=0.3)
        found = [each for each in propose_stamps(material(classifier(), images, labels), 0) if each.filter]
        first = found[0]
        assert first.target == 2
        assert set(first.strong) == set(np.flatnonzero(carries))
        region = first.looks[0].fixed_region
        true = np.zeros(region.shape, bool)
        true[8:11, 8:11] = True
        assert overlap(region, true) > 0.7

    def test_that_a_class_falls_in_two_says_that_it_is_not_the_object(self):
        images, labels, _ = pictures(count=360, share=0.4)
        images[:, 8:11, 8:11, 0] = np.maximum(images[:, 8:11, 8:11, 0], 0)
        proposing, deciding = (material(classifier(), images[at::2], labels[at::2]) for at in (0, 1))
        candidate = next(each for each in propose(proposing, 6, 6000).candidates if each.proposal.filter)
        weighed = weigh(deciding, candidate)
        assert weighed.is_apart
        assert any(told.startswith("It divides the class:") for told in weighed.told)
        innocent, labels, _ = pictures(count=180, share=0.0, seed=4)
        assert not any("divides" in told for told in weigh(material(classifier(), innocent, labels), candidate).told)

    def test_images_that_proposed_say_nothing_by_what_divides_them(self):
        images, labels, _ = pictures(count=240, share=0.4)
        given = material(classifier(), images, labels)
        candidate = next(each for each in propose(given, 6, 6000).candidates if each.proposal.filter)
        assert any("divides" in told for told in weigh(given, candidate).told)
        assert not any("divides" in told for told in weigh(given, candidate.unfiltered()).told)

    def test_what_another_source_saw_of_the_same_keeps_what_it_divides(self):
        images, labels, _ = pictures(count=240, share=0.4)
        (split, *_) = [each for each in propose_stamps(material(classifier(), images, labels), 0) if each.filter]
        look = split.looks[0]
        found = Proposal("places", split.target, (look,), 9.0, split.strong)
        common = Candidate("", replace(split, is_common=True), look, 1.0, 0.0)
        joined = _joined(Candidate("", found, look, 2.0, 0.0), common)
        assert (joined.gain, joined.proposal.source) == (2.0, "places")
        assert joined.proposal.filter is split.filter
        assert joined.proposal.is_common
        of_class = _joined(Candidate("", split, look, 2.0, 0.0), common)
        assert not of_class.proposal.is_common


class TestControl:
    def test_a_faint_mark_is_seen_where_images_are_quiet_and_not_where_they_are_loud(self):
        images, labels, _ = pictures(count=240, share=0.0)
        quiet = plant_and_seek(material(classifier(), images, labels))
        random = np.random.default_rng(0)
        noise = random.integers(0, 2, images.shape).astype(np.float32)
        loud = plant_and_seek(material(classifier(), noise, labels))
        assert quiet.weakest_seen < 0.6
        assert loud.weakest_seen is None or loud.weakest_seen > quiet.weakest_seen
        assert quiet.carriers == 16
        assert quiet.images == 80

    def test_it_stops_at_the_first_that_is_missed(self):
        images, labels, _ = pictures(count=240, share=0.0)
        control = plant_and_seek(material(classifier(), images, labels))
        assert all(control.seen[:-1])
        assert len(control.seen) == len(control.opacities)
        assert control.opacities == sorted(control.opacities, reverse=True)

    def test_the_images_stay_as_they_are(self):
        images, labels, _ = pictures(count=120, share=0.0)
        given = material(classifier(), images.copy(), labels)
        plant_and_seek(given)
        np.testing.assert_array_equal(given.images, images)

    def test_too_few_images_are_not_tried(self):
        images, labels, _ = pictures(count=24, share=0.0)
        assert plant_and_seek(material(classifier(), images, labels)) is None


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ([False], "The search would have missed even an opaque mark"),
        ([True, True, False], "was seen down to an opacity of 70\u202f%, and missed at 50\u202f%."),
        ([True, True], "was seen down to an opacity of 70\u202f%; fainter ones were not tried."),
    ],
)
def test_the_report_tells_what_would_have_been_missed(seen, words):
    control = ControlRecord("cat", 6, 30, 4, [1.0, 0.7, 0.5][: len(seen)], seen)
    told = tell_control(DiscoveryRecord(100, 100, 200, {}, 0, control=control))
    assert words in told
    assert "a corner of 6 of 30 images of cat" in told


def test_where_nothing_was_planted_nothing_is_told():
    assert tell_control(DiscoveryRecord(100, 100, 200, {}, 0)) == ""
