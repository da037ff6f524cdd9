"""What is the same to the pixel is told from what was only chosen for being alike."""

from __future__ import annotations

import numpy as np
import pytest

from auditor.artefacts.overlay import Overlay
from auditor.discovery.candidate import Candidate, Proposal
from auditor.discovery.weighing import LEAST_CARRIED, MOST_VARIED, weigh
from tests.closed_form import LinearClassifier
from tests.test_discovery import material

FRAME, OBJECT, PLACE = (24, 24, 1), np.s_[2:22, 2:22], np.s_[9:15, 9:15]
CHEQUERED = (np.add.outer(np.arange(6), np.arange(6)) % 2).astype(np.float32)


def things(count: int, seed: int):
    """Images of three classes: objects of rough cloth, whose middle is white in some, and in most of the last."""
    random = np.random.default_rng(seed)
    images, labels = np.full((count, *FRAME), 0.05, np.float32), np.arange(count) % 3
    images[:, *OBJECT] = random.uniform(0.2, 1, (count, 20, 20, 1))
    is_white = random.random(count) < np.where(labels == 2, 0.9, 0.11)
    bright = np.where(is_white, 0.9, random.uniform(0.2, 0.6, count))
    images[:, *PLACE] = bright[:, None, None, None] + random.normal(0, 0.04, (count, 6, 6, 1))
    return images, labels


def weighed(images, labels, ink):
    model = LinearClassifier(np.zeros((3, *FRAME), np.float32), np.zeros(3, np.float32), output="softmax")
    look = Overlay(np.zeros(FRAME[:2], np.float32), np.zeros(FRAME, np.float32))
    look.alpha[PLACE], look.ink[PLACE] = 1, np.broadcast_to(ink, (6, 6))[..., None]
    suspect = Candidate("", Proposal("clusters", 2, (look,), 1.0, (0,)), look, 1.0, 1.0)
    return weigh(material(model, images, labels), suspect)


def test_a_part_of_objects_is_not_the_same_because_those_were_chosen_that_look_like_it():
    for seed in range(3):
        found = weighed(*things(3000, seed), 0.95)
        assert found.carried >= LEAST_CARRIED
        assert found.varied < MOST_VARIED
        assert not found.is_apart


def test_a_mark_on_objects_is_the_same():
    images, labels = things(900, 0)
    carries = (labels == 2) & (np.arange(900) % 2 == 0)
    images[carries, *PLACE] = CHEQUERED[..., None]
    found = weighed(images, labels, CHEQUERED)
    assert found.is_apart
    assert any("the same to the pixel" in told for told in found.told)


@pytest.mark.parametrize(("others", "compared"), [(200, 150), (40, 40)])
def test_as_many_images_of_others_are_compared_with_as_show_it_or_all_there_are(others, compared):
    images, _ = things(150 + others, 0)
    labels = np.where(np.arange(150 + others) < 150, 2, 0)
    images[:150, *PLACE] = CHEQUERED[..., None]
    found = weighed(images, labels, CHEQUERED)
    assert any(f"the {compared} of others that are most like it" in told for told in found.told)


def test_a_mark_is_the_same_though_some_images_of_others_carry_it_too():
    images, labels = things(900, 0)
    carries = (np.arange(900) % 2 == 0) & ((labels == 2) | (np.arange(900) % 90 == 0))
    images[carries, *PLACE] = CHEQUERED[..., None]
    assert (labels[carries] != 2).any()
    assert weighed(images, labels, CHEQUERED).is_apart
