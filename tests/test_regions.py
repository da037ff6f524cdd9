from __future__ import annotations

import numpy as np
import pytest

from auditor.explain.attribution.regions import REGION_SCORES, score_region
from tests.closed_form import random_images

SHAPE = (20, 24, 3)


@pytest.fixture
def mask() -> np.ndarray:
    region = np.zeros(SHAPE[:2], bool)
    region[3:7, 4:10] = True
    return region


def scores(saliency, mask, image=None):
    image = random_images(1, SHAPE)[0] if image is None else image
    return score_region(saliency.astype(np.float32), mask, image, image)


def test_all_attribution_inside_is_the_most_there_is(mask):
    found = scores(mask, mask)
    assert (
        found["relevance mass"] == found["relevance rank"] == found["pixel AUC"] == found["placement percentile"] == 1
    )
    assert found["lift"] == pytest.approx(mask.size / mask.sum())


def test_all_attribution_outside_is_the_least_there_is(mask):
    found = scores(~mask, mask)
    assert (
        found["relevance mass"] == found["relevance rank"] == found["pixel AUC"] == found["placement percentile"] == 0
    )


def test_an_even_map_is_chance(mask):
    found = scores(np.ones(SHAPE[:2]), mask)
    assert found["lift"] == pytest.approx(1)
    assert found["pixel AUC"] == pytest.approx(0.5)
    assert found["placement percentile"] == pytest.approx(0.5)


def test_noise_is_chance_on_average(mask):
    random = np.random.default_rng(0)
    found = [scores(random.random(SHAPE[:2]), mask) for _ in range(200)]
    for name, chance in (("lift", 1), ("pixel AUC", 0.5), ("placement percentile", 0.5)):
        assert np.mean([one[name] for one in found]) == pytest.approx(chance, abs=0.06)


def test_scores_do_not_depend_on_the_scale_of_the_map(mask):
    saliency = np.random.default_rng(1).random(SHAPE[:2])
    assert scores(1000 * saliency, mask) == pytest.approx(scores(saliency, mask), rel=1e-4)


def test_an_edge_filter_has_no_excess_lift_over_itself(mask):
    from skimage.filters import sobel

    from auditor.subject.data.sample import to_grey

    image = random_images(1, SHAPE)[0]
    assert scores(sobel(to_grey(image)[..., 0]), mask, image)["excess lift"] == pytest.approx(0, abs=1e-4)


def test_an_all_zero_map_has_no_scores(mask):
    found = scores(np.zeros(SHAPE[:2]), mask)
    assert set(found) == set(REGION_SCORES)
    assert np.isnan(list(found.values())).all()
