"""Edits look at the artefact's surroundings alone, and give what an edit of the whole image would."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.restoration import inpaint_biharmonic

from auditor.artefacts.fills import FILLS, window_of
from auditor.artefacts.overlay import Overlay

SHAPE = (40, 56, 3)
IMAGE = np.clip(gaussian_filter(np.random.default_rng(1).random(SHAPE), (3, 3, 0)) * 3 - 1, 0, 1).astype(np.float32)
IMAGE[0, 50], IMAGE[-1, 3] = 0, 1  # the limits of the values lie far from most holes


def hole(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    mask = np.zeros(SHAPE[:2], bool)
    mask[top:bottom, left:right] = True
    return mask


HOLES = {
    "inside": hole(10, 15, 20, 28),
    "in a corner": hole(35, 40, 50, 56),
    "one pixel": hole(3, 4, 3, 4),
    "across": hole(18, 22, 0, 56),
    "all but little": hole(1, 40, 0, 56),
    "two at once": hole(2, 5, 2, 6) | hole(30, 34, 44, 50),
    "ragged": hole(5, 25, 5, 25) & (np.random.default_rng(2).random(SHAPE[:2]) < 0.4),
}


def mean(mask: np.ndarray) -> np.ndarray:
    return np.broadcast_to(IMAGE[~mask].mean(axis=0, dtype=np.float64), SHAPE)


def blur(mask: np.ndarray) -> np.ndarray:
    sigma, known = max(1.0, 0.5 * float(np.sqrt(mask.sum()))), (~mask).astype(float)
    weight = np.maximum(gaussian_filter(known, sigma, mode="nearest"), 1e-9)
    return np.stack([gaussian_filter(IMAGE[..., c] * known, sigma, mode="nearest") / weight for c in range(3)], axis=-1)


def inpaint(mask: np.ndarray) -> np.ndarray:
    return inpaint_biharmonic(IMAGE, mask, channel_axis=-1)


@pytest.mark.parametrize("name", HOLES)
@pytest.mark.parametrize("whole", [mean, blur, inpaint])
def test_a_fill_of_a_part_is_that_of_the_whole_image(whole, name: str):
    mask = HOLES[name]
    filled = FILLS[whole.__name__](IMAGE, mask)
    np.testing.assert_allclose(filled[mask], np.clip(whole(mask), 0, 1)[mask], atol=1e-6)
    np.testing.assert_array_equal(filled[~mask], IMAGE[~mask])
    assert filled.dtype == np.float32


@pytest.mark.parametrize("name", FILLS)
def test_a_fill_of_nothing_is_the_image_itself_and_no_view_of_it(name: str):
    filled = FILLS[name](IMAGE, np.zeros(SHAPE[:2], bool))
    np.testing.assert_array_equal(filled, IMAGE)
    assert not np.shares_memory(filled, IMAGE)


def test_a_window_stays_in_the_frame():
    rows, columns = window_of(HOLES["in a corner"], 6)
    assert HOLES["in a corner"][rows, columns].shape == (11, 12)


@pytest.mark.parametrize("name", HOLES)
def test_an_overlay_changes_its_box_as_it_would_the_whole_image(name: str):
    random = np.random.default_rng(4)
    alpha = np.where(HOLES[name], random.uniform(0.2, 0.8, SHAPE[:2]), 0).astype(np.float32)
    ink, images = random.random(SHAPE).astype(np.float32), np.stack([IMAGE, IMAGE[:, ::-1]])
    look, opacity = Overlay(alpha, ink), alpha[..., None]
    expected = np.where(opacity > 0, (1 - opacity) * images + opacity * ink, images)
    inserted = look.insert(images)
    np.testing.assert_allclose(inserted, expected, atol=1e-6)
    np.testing.assert_array_equal(inserted[:, alpha == 0], images[:, alpha == 0])
    np.testing.assert_allclose(look.remove(inserted), images, atol=1e-4)
    assert not np.shares_memory(inserted, images)
    flat, tone = look.flattened().alpha[..., None], images.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(look.veil(images), (1 - flat) * images + flat * tone, atol=1e-6)


def test_an_overlay_without_ink_changes_nothing():
    look = Overlay(np.zeros(SHAPE[:2], np.float32), np.ones(SHAPE, np.float32))
    np.testing.assert_array_equal(look.insert(IMAGE[None]), IMAGE[None])
