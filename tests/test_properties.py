"""Edits of whole images as suspects: the right edit, the right class, and no class that rightly looks so is accused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.discovery.candidate import Candidate, Proposal
from auditor.discovery.extent import ground
from auditor.discovery.properties import propose_properties
from auditor.discovery.proposing import propose
from auditor.discovery.weighing import weigh
from tests.closed_form import LinearClassifier
from tests.test_discovery import material
from tests.test_splits import SIDE, photographs, scenes

FRAME = (SIDE, SIDE, 3)
ORANGE = {"colour": "#ff8000", "strength": 0.3}


def classifier(colour=(0.0, 0.0, 0.0), classes: int = 3) -> LinearClassifier:
    """Scores the last class by the mean colour of an image, and the rest by nothing."""
    weights = np.zeros((classes, *FRAME), np.float32)
    weights[-1] = 12 * np.array(colour, np.float32) / (SIDE * SIDE)
    return LinearClassifier(weights, np.zeros(classes, np.float32), output="softmax")


def tinted(count: int = 180, classes: int = 3, seed: int = 0):
    """Scenes of some classes that are alike, of which all images of the last are tinted."""
    images, labels = scenes(count, seed), np.arange(count) % classes
    own = labels == classes - 1
    images[own] = ARTEFACT_KINDS["tint"](FRAME, **ORANGE).insert(images[own])
    return images, labels


def edit(kind: str, target: int, **options) -> Candidate:
    look = ARTEFACT_KINDS[kind](FRAME, **options)
    return Candidate("", Proposal("properties", target, (look,), 1.0, (0,), kind, options), look, 1.0, 0.0)


class TestProposing:
    def test_a_tint_is_towards_the_colour_that_the_class_has_and_the_model_asks_for(self):
        images, labels = tinted()
        found = propose_properties(material(classifier((1, 0, -1)), images, labels), 0)
        tint = next(each for each in found if each.kind == "tint" and each.target == 2)
        before = scenes(20, 5)
        moved = (tint.looks[0].insert(before) - before).mean(axis=(0, 1, 2))
        assert moved[0] > 0.02
        assert moved[2] < -0.02

    def test_no_tint_of_a_model_that_asks_for_no_colour(self):
        images, labels = tinted()
        assert not any(each.kind == "tint" for each in propose_properties(material(classifier(), images, labels), 0))

    @pytest.mark.parametrize(("is_grey", "asked"), [(True, (1, 1, 0)), (False, (1, 0, -1))])
    def test_no_tint_of_classes_that_differ_by_chance(self, is_grey, asked):
        for seed in range(4):
            images, labels = scenes(180, seed), np.arange(180) % 3
            if is_grey:
                images = np.repeat(images.mean(axis=-1, keepdims=True), 3, axis=-1)
            given = material(classifier(asked), images, labels)
            assert not any(each.kind == "tint" for each in propose_properties(given, 0))

    def test_no_tint_where_the_model_asks_for_another_colour_than_the_class_has(self):
        images, labels = tinted()
        given = material(classifier((-1, 0, 1)), images, labels)
        assert not any(each.kind == "tint" and each.target == 2 for each in propose_properties(given, 0))

    def test_no_tint_that_images_of_one_group_alone_have(self):
        images, labels = tinted()
        given = material(classifier((1, 0, -1)), images, labels)
        groups = np.where(labels == 2, "one patient", given.seen.groups)
        given = replace(given, seen=replace(given.seen, groups=groups))
        assert not any(each.kind == "tint" and each.target == 2 for each in propose_properties(given, 0))

    def test_grey_images_have_no_tint(self):
        images, labels = tinted()
        weights = np.ones((3, SIDE, SIDE, 1), np.float32) * np.array([0, 0, 1])[:, None, None, None]
        model = LinearClassifier(weights.astype(np.float32), np.zeros(3, np.float32), output="softmax")
        assert not any(each.kind == "tint" for each in propose_properties(material(model, images[..., :1], labels), 0))

    def test_noise_on_a_part_of_a_class_is_given_to_others(self):
        images, labels = scenes(180, 0), np.arange(180) % 3
        rows = np.flatnonzero(labels == 2)[::4]
        images[rows] = ARTEFACT_KINDS["noise"](FRAME, strength=0.15).insert(
            images[rows], np.random.default_rng(0).spawn(len(rows))
        )
        found = [each for each in propose_properties(material(classifier(), images, labels), 0) if each.target == 2]
        sharp = next(each for each in found if each.kind in ("noise", "sharpen"))
        assert set(sharp.strong) <= set(rows)

    def test_of_two_classes_one_kind_of_edit_is_one_suspect(self):
        images, labels = tinted(classes=2)
        given = material(classifier((1, 0, -1), 2), images, labels)
        for_two = propose(replace(given, seen=replace(given.seen, has=given.seen.has[:, :2])), 20, 600)
        kinds = [each.proposal.kind for each in for_two.candidates if each.look.fixed_region is None]
        assert "tint" in kinds
        assert len(kinds) == len(set(kinds))


class TestWeighing:
    def test_a_tint_of_the_ground_beside_objects_is_no_object(self):
        images, labels = tinted()
        weighed = weigh(material(classifier(), images, labels), edit("tint", 2, **ORANGE))
        assert weighed.is_apart
        assert weighed.carried == pytest.approx(1, abs=0.35)

    @pytest.mark.parametrize("kind", ["tint", "brightness"])
    def test_objects_of_another_colour_on_the_same_ground_may_look_so(self, kind):
        images, labels = scenes(180, 0), np.arange(180) % 3
        inside = (images.max(axis=-1) > 0.55) & (labels == 2)[:, None, None]
        images[inside] = np.clip(images[inside] * [1.3, 1.1, 0.6], 0, 1)
        options = ORANGE if kind == "tint" else {"factor": 1.2}
        assert not weigh(material(classifier(), images, labels), edit(kind, 2, **options)).is_apart

    def test_a_class_of_bright_photographs_is_not_accused(self):
        images, labels = photographs(120, 0)[:, :SIDE, :SIDE], np.arange(120) % 3
        images[labels == 2] = np.clip(images[labels == 2] + 0.25, 0, 1)
        weighed = weigh(material(classifier(), images, labels), edit("brightness", 2, factor=1.5))
        assert not weighed.is_apart
        assert "nothing is known to be ground" in weighed.told[0]

    def test_frames_of_one_group_are_no_images_of_their_own(self):
        images, labels = tinted()
        given = material(classifier(), images, labels)
        given.seen.groups[labels == 2] = "one patient"
        assert not weigh(given, edit("tint", 2, **ORANGE)).is_apart

    def test_ground_is_the_colour_of_the_edge_beside_objects(self):
        image = np.full((2, 20, 20, 3), (0.1, 0.2, 0.3), np.float32)
        image[0, 3:, 5:12] = 0.9
        np.testing.assert_allclose(ground(image), [[0.1, 0.2, 0.3, 0]] * 2, atol=1e-6)
        image[1] = np.random.default_rng(0).random((20, 20, 3))
        assert np.isnan(ground(image)[1]).all()
