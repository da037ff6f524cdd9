"""How rough and how fine images are, and how alike: measured in one place, and undefined where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest

from auditor.explain.attribution.likeness import correlations, rank_correlations, structure
from auditor.explain.texture import high_frequency_share, total_variation, variation
from tests.closed_form import random_images

SHAPES = [(7, 9, 1), (8, 8, 3), (5, 13, 3)]


def flat(shape: tuple[int, int, int], value: float = 0.3) -> np.ndarray:
    """(2, h, w, c): images of one colour."""
    return np.full((2, *shape), value, np.float32)


class TestHighFrequencies:
    def test_are_the_waves_above_half_of_the_finest(self):
        x = np.arange(32)
        low, high = np.sin(2 * np.pi * 4 * x / 32), np.sin(2 * np.pi * 12 * x / 32)
        images = np.stack([low, high, 3 * low + high])[:, None, :, None].repeat(32, axis=1).astype(np.float32)
        np.testing.assert_allclose(high_frequency_share(images), [0, 1, 0.1], atol=1e-6)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_of_an_image_without_contrast_are_undefined_whatever_its_brightness(self, shape):
        for value in (0.0, 0.1, 0.3, 1.0):
            assert np.isnan(high_frequency_share(flat(shape, value))).all()

    def test_do_not_depend_on_brightness_or_contrast(self):
        images = random_images(3, (9, 8, 3))
        np.testing.assert_allclose(high_frequency_share(0.1 + images / 2), high_frequency_share(images), rtol=1e-5)


class TestTotalVariation:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_is_all_but_nothing_of_an_image_without_contrast(self, shape):
        assert (total_variation(flat(shape)) < 0.002).all()
        assert not variation(flat(shape), 0.01)[1].any()

    def test_grows_with_contrast(self):
        images = random_images(3, (9, 8, 3))
        np.testing.assert_allclose(total_variation(images / 2), total_variation(images) / 2, rtol=0.01)


class TestLikeness:
    @pytest.mark.parametrize("measure", [correlations, rank_correlations])
    def test_is_whole_with_itself_and_opposite_with_the_negative(self, measure):
        maps = random_images(3, (9, 8, 3)) - 0.5
        np.testing.assert_allclose(measure(maps, 3 * maps), 1, atol=1e-6)
        np.testing.assert_allclose(measure(maps, -maps), -1, atol=1e-6)

    @pytest.mark.parametrize("measure", [correlations, rank_correlations])
    @pytest.mark.parametrize("shape", SHAPES)
    def test_with_what_is_the_same_everywhere_is_undefined(self, measure, shape):
        assert np.isnan(measure(random_images(2, shape), flat(shape))).all()
        assert np.isnan(measure(flat(shape), random_images(2, shape))).all()

    def test_of_ranks_knows_the_order_alone(self):
        maps = random_images(3, (9, 8, 1))
        np.testing.assert_allclose(rank_correlations(maps, maps**3), 1)

    def test_of_structure_is_undefined_where_no_window_fits(self):
        first, second = random_images(2, (9, 2, 1))[..., 0]
        assert np.isnan(structure(first, second))
        assert structure(first.repeat(4, axis=1), first.repeat(4, axis=1)) == pytest.approx(1)
