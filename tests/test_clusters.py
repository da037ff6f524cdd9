"""Clusters of maps, components of features, and errors: each finds the corner that was planted."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from auditor.discovery import errors
from auditor.discovery.candidate import CannotLookError
from auditor.discovery.clusters import (
    NEIGHBOURS,
    as_points,
    count_by_gap,
    find_clusters,
    join_neighbours,
    places_of,
    propose_clusters,
)
from auditor.discovery.components import find_components, propose_components, shares_of_channels
from auditor.discovery.errors import find_errors, mend, propose_errors
from auditor.discovery.maps import coarse, maps_of, of_score
from auditor.discovery.proposing import overlap, propose
from tests.test_discovery import CORNER, FRAME, PATTERN, classifier, material, pictures


def corner():
    region = np.zeros(FRAME[:2], bool)
    region[CORNER] = True
    return region


def blobs(sizes, far: float = 6.0, seed: int = 0):
    random = np.random.default_rng(seed)
    centres = far * np.eye(len(sizes), 10)
    return np.concatenate(
        [centre + random.normal(0, 0.3, (size, 10)) for centre, size in zip(centres, sizes, strict=True)]
    )


class TestMaps:
    def test_of_a_linear_model_sum_to_the_difference_from_the_mean_image(self):
        images, labels, _ = pictures()
        given, model = material(classifier(), images, labels), classifier()
        rows = given.own(2)
        apart = (model.scores(images[rows]) - model.scores(images.mean(axis=0, keepdims=True)))[:, 2]
        np.testing.assert_allclose(maps_of(given, rows, of_score(given, 2)).sum(axis=(1, 2)), apart, atol=1e-4)

    @pytest.mark.parametrize("frame", [(12, 12), (28, 40), (30, 29), (5, 5)])
    def test_coarse_ones_keep_the_sum(self, frame):
        maps = np.random.default_rng(0).normal(size=(3, *frame))
        small = coarse(maps, 14)
        assert min(small.shape[1:]) <= 15
        np.testing.assert_allclose(small.sum(axis=(1, 2)), maps.sum(axis=(1, 2)))

    def test_constant_ones_are_no_points(self):
        maps = np.zeros((4, 3, 3))
        maps[2] = np.eye(3)
        maps[3] = 0.5
        points, kept = as_points(maps)
        np.testing.assert_array_equal(kept, [2])
        np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1)


class TestClusters:
    def test_are_as_many_as_the_spectrum_tells_and_come_again(self):
        found = find_clusters(blobs((30, 25, 20)), 0)
        assert sorted(np.bincount(found.labels)) == [20, 25, 30]
        np.testing.assert_allclose(found.stability, 1)

    def test_one_cloud_is_one_cluster(self):
        assert find_clusters(blobs((60,)), 0).labels.max() == 0

    def test_the_gap_is_the_largest_step(self):
        assert count_by_gap(np.array([0.0, 0.01, 0.02, 0.5, 0.6])) == 3

    def test_no_image_is_joined_to_itself_beside_its_duplicates(self):
        points = np.concatenate([np.zeros((15, 2)), np.random.default_rng(0).normal(5, 1, (15, 2))])
        affinity = join_neighbours(points)
        np.testing.assert_array_equal(np.diag(affinity), 0)
        np.testing.assert_allclose(affinity.sum(), 30 * NEIGHBOURS)

    def test_what_lowers_the_score_less_than_in_the_rest_is_no_place(self):
        random = np.random.default_rng(0)
        inside, outside = random.normal(0, 0.1, (20, 28, 28)), random.normal(0, 0.1, (30, 28, 28))
        inside[:, 3:8, 20:26] -= 1
        outside[:, 3:8, 20:26] -= 3
        assert not any(region[3:8, 20:26].any() for region, _ in places_of(inside, outside))

    def test_places_are_where_the_mean_map_exceeds_the_rest(self):
        random = np.random.default_rng(0)
        inside, outside = random.normal(0, 0.1, (20, 28, 28)), random.normal(0, 0.1, (30, 28, 28))
        inside[:, 3:8, 20:26] += 1
        ((region, clear),) = places_of(inside, outside)
        true = np.zeros((28, 28), bool)
        true[3:8, 20:26] = True
        assert overlap(region, true) > 0.6
        assert clear > 10
        assert places_of(outside[:15], outside[15:]) == []

    @pytest.mark.parametrize("share", [0.2, 0.5])
    def test_hold_the_images_that_are_recognised_by_the_mark(self, share):
        images, labels, carries = pictures(share=share)
        (first, *rest) = propose_clusters(material(classifier(), images, labels), 20_000)
        assert {each.target for each in (first, *rest)} == {2}
        assert max(overlap(look.fixed_region, corner()) for look in first.looks) > 0.5
        assert carries[list(first.strong)].all()
        assert "come" in first.beside

    def test_a_model_that_does_not_use_the_mark_has_none(self):
        images, labels, _ = pictures()
        assert list(propose_clusters(material(classifier(shortcut=False), images, labels), 20_000)) == []

    def test_need_images_enough(self):
        images, labels, _ = pictures(count=60)
        with pytest.raises(CannotLookError, match="no class has 24 images"):
            list(propose_clusters(material(classifier(), images, labels), 20_000))

    def test_without_scikit_learn_nothing_is_looked_for_and_that_is_said(self, monkeypatch):
        images, labels, _ = pictures()
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        assert "scikit-learn" in propose(material(classifier(), images, labels), 6, 0, ["clusters"]).skipped["clusters"]

    def test_scikit_learn_is_not_imported_before_it_is_needed(self):
        text = "import sys, auditor.discovery.proposing; print('sklearn' in sys.modules)"
        run = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
        assert run.stdout == "False\n"


class TestComponents:
    def test_what_channels_give_sums_to_the_score_of_a_linear_model(self):
        images, labels, _ = pictures()
        given, model = material(classifier(), images, labels), classifier()
        rows = given.own(2)
        shares = shares_of_channels(given, rows, 2, "pixels")
        np.testing.assert_allclose(shares.sum(axis=1), model.scores(images[rows])[:, 2], atol=1e-4)

    def test_give_what_they_explain_of_the_score(self):
        random = np.random.default_rng(0)
        shares = random.normal(size=(50, 1)) * np.array([3.0, 1.0, 0, 0]) + random.normal(0, 0.01, (50, 4))
        first = find_components(shares)[0]
        np.testing.assert_allclose(np.abs(first.weights), np.array([3, 1, 0, 0]) / np.sqrt(10), atol=0.02)
        np.testing.assert_allclose(first.gives, shares.sum(axis=1) - shares.sum(axis=1).mean(), atol=0.2)

    def test_the_strongest_looks_at_the_planted_corner(self):
        images, labels, carries = pictures(share=0.4)
        found = [
            each for each in propose_components(material(classifier(), images, labels), 20_000) if each.target == 2
        ]
        assert max(overlap(look.fixed_region, corner()) for look in found[0].looks) > 0.3
        assert carries[list(found[0].strong)].all()

    def test_a_model_without_feature_maps_is_said_not_to_be_asked(self):
        images, labels, _ = pictures()
        given = material(replace(classifier(), feature_layers=()), images, labels)
        assert "feature maps" in propose(given, 6, 0, ["components"]).skipped["components"]


class TestErrors:
    def wronged(self):
        """Half of the first class carries the mark of the last, and the model is sure of what it says."""
        images, labels, _ = pictures(share=0.0)
        rows = np.flatnonzero(labels == 0)[::2]
        images[rows[:, None, None], np.arange(8, 11)[:, None], np.arange(8, 11), 0] = PATTERN
        model = classifier()
        return material(replace(model, weights=4 * model.weights), images, labels), rows

    def test_are_the_images_surely_said_to_be_what_they_are_not(self):
        given, rows = self.wronged()
        found = find_errors(given)
        assert set(found) == {2}
        assert set(found[2]) <= set(rows)

    def test_are_mended_where_the_mark_was(self):
        given, _ = self.wronged()
        rows = find_errors(given)[2][:8]
        free = np.flatnonzero(~given.seen.predicted[:, 2])[: len(rows)]
        assert (mend(given, rows, free, corner())[:, 2] < 0).all()
        assert (mend(given, rows, free, ~corner() & (np.arange(12) < 1))[:, 2] > 0).all()

    def test_point_to_the_mark(self):
        given, rows = self.wronged()
        found = list(propose_errors(given, 20_000))
        assert {each.target for each in found} == {2}
        assert max(overlap(look.fixed_region, corner()) for each in found for look in each.looks) > 0.5
        assert set(found[0].strong) <= set(rows)
        assert "no longer" in found[0].beside

    def test_are_no_longer_what_the_model_does_not_call_them_any_more(self, monkeypatch):
        given, _ = self.wronged()
        rows = find_errors(given)[2]
        left = np.tile([1.5, -4.0, -4.0], (len(rows), 1))
        left[: len(rows) // 2] = [-0.6, -0.7, -0.5]  # the highest of three still, though less likely than not
        monkeypatch.setattr(errors, "mend", lambda material, rows, donors, place: left[: len(rows)])
        (told, *_) = {each.beside for each in propose_errors(given, 20_000)}
        looked_at = int(told.split()[1])
        assert f", {looked_at - len(rows) // 2} are so no longer" in told

    def test_are_mended_by_images_that_are_rightly_told_wholly(self):
        given, _ = self.wronged()
        rows = find_errors(given)[2]
        seen = given.seen
        seen.predicted[seen.has[:, 1]] = [True, False, False]
        seen.labelled[np.flatnonzero(seen.has[:, 0])[1::4]] = False
        donors = errors._donors(given, 2, rows)
        assert (seen.predicted[donors] == seen.has[donors]).all()
        assert seen.labelled[donors].all()
        seen.predicted[:] = [False, True, False]
        assert set(np.flatnonzero(seen.has[:, 1])) >= set(errors._donors(given, 2, rows))

    def test_of_a_class_that_no_image_has_are_not_looked_at(self):
        given, rows = self.wronged()
        kept = np.flatnonzero(~given.seen.has[:, 2])
        without = material(given.classifier, given.images[kept], np.where(given.seen.has[kept, 0], 0, 1))
        assert without.seen.predicted[:, 2].sum() >= len(rows) // 2
        assert find_errors(without) == {}

    def test_of_images_without_labels_are_said_not_to_be_known(self):
        given, _ = self.wronged()
        bare = replace(given.seen, has=given.seen.predicted, labelled=np.zeros(len(given.images), bool))
        found = propose(replace(given, seen=bare), 6, 1000, ["errors"])
        assert found.skipped["errors"] == "the images have no labels"

    def test_few_of_them_are_said_not_to_tell_anything(self):
        images, labels, _ = pictures()
        assert "confidently" in propose(material(classifier(), images, labels), 6, 1000, ["errors"]).skipped["errors"]
