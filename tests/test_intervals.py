"""Intervals: they cover as often as they say, and know neither the order of images nor the names of groups."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from auditor.measure.intervals import (
    change_interval,
    mean_bounds,
    mean_interval,
    median_interval,
    share_interval,
    simultaneous_bounds,
)

FIVE = np.repeat(np.arange(30), 5)
UNEQUAL = np.repeat(np.arange(30), np.resize([1, 2, 3, 8], 30))
LEVELS = (0.5, 0.9, 0.95, 0.995, 1 - 0.05 / 1000, 1 - 1e-12)


def skewed(groups: np.ndarray, columns: int = 4, seed: int = 0) -> np.ndarray:
    """(images, columns): exponential effects of groups, and noise of images."""
    random = np.random.default_rng(seed)
    effects = random.exponential(size=(groups.max() + 1, columns))
    return effects[groups] + 0.3 * random.normal(size=(len(groups), columns))


def symmetric(groups: int, size: int) -> np.ndarray:
    """(groups, size): every group has a mirror image."""
    half = np.random.default_rng(0).normal(size=(groups // 2, size))
    return 1 + np.concatenate([half, -half])


class TestMeanInterval:
    def test_of_symmetric_data_is_the_t_interval(self):
        values = symmetric(30, 1)[:, 0]
        ours = mean_interval(values, np.arange(30), 0.95, unit="")
        low, high = stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
        assert (ours.value, ours.low, ours.high) == pytest.approx((1, low, high))

    def test_of_symmetric_groups_of_one_size_is_the_t_interval_of_their_means(self):
        values = symmetric(16, 4)
        ours = mean_interval(values.ravel(), np.repeat(np.arange(16), 4), 0.9, unit="")
        means = values.mean(axis=1)
        low, high = stats.t.interval(0.9, 15, means.mean(), stats.sem(means))
        assert (ours.low, ours.high) == pytest.approx((low, high))
        assert (ours.n, ours.groups) == (64, 16)

    def test_is_longer_on_the_side_of_the_long_tail_and_nowhere_shorter_than_the_t_interval(self):
        values = np.random.default_rng(0).exponential(size=25)
        ours = mean_interval(values, np.arange(25), 0.95, unit="")
        low, high = stats.t.interval(0.95, 24, values.mean(), stats.sem(values))
        assert ours.high > high
        assert ours.low == pytest.approx(low)

    def test_is_wider_where_some_groups_are_much_larger_than_others(self):
        means = np.random.default_rng(0).normal(size=20)
        sizes = np.resize([1, 1, 1, 9], 20)
        unequal = mean_interval(np.repeat(means, sizes), np.repeat(np.arange(20), sizes), 0.95, unit="")
        equal = mean_interval(np.repeat(means, 3), np.repeat(np.arange(20), 3), 0.95, unit="")
        assert unequal.n == equal.n
        assert unequal.high - unequal.low > 1.5 * (equal.high - equal.low)

    @pytest.mark.parametrize("count", [12, 22, 50, 300])
    @pytest.mark.parametrize("sizes", [(1,), (5,), (1, 1, 2, 3, 5, 8)], ids=["single", "five", "unequal"])
    @pytest.mark.parametrize("effect", ["standard_normal", "standard_exponential"])
    def test_covers_nearly_as_often_as_it_says_skewed_or_not(self, count, sizes, effect):
        random, runs = np.random.default_rng(count), 2000
        groups = np.repeat(np.arange(count), np.resize(sizes, count))
        effects = getattr(random, effect)((count, runs)) - (effect == "standard_exponential")
        bounds = mean_bounds(effects[groups] + 0.3 * random.normal(size=(len(groups), runs)), groups, (0.95,))
        low, high = (bounds.lows[0] > 0).mean(), (bounds.highs[0] < 0).mean()
        noise = 3 * np.sqrt(0.05 * 0.95 / runs)
        assert 0.93 - noise < 1 - low - high < 0.975 + noise  # a little more than it says in unequal groups
        assert max(low, high) < 0.06 + noise  # on the side of the long tail

    def test_leaves_out_values_that_are_not_known(self):
        values = np.array([1.0, np.nan, 3.0])
        assert mean_interval(values, np.arange(3), 0.95, unit="").n == 2

    def test_of_nothing_has_no_value_and_says_why(self):
        nothing = mean_interval(np.array([]), np.array([]), 0.95, unit="")
        assert nothing.value is None
        assert nothing.reason

    def test_of_one_group_has_no_interval_and_says_why(self):
        one = mean_interval(np.array([1.0, 2.0]), np.array(["g", "g"]), 0.95, unit="")
        assert (one.value, one.low) == (1.5, None)
        assert one.reason

    def test_of_two_groups_is_finite_and_wide(self):
        two = mean_interval(np.array([1.0, 2.0]), np.array(["a", "b"]), 0.95, unit="")
        assert (two.low, two.high) == pytest.approx((1.5 - 12.706 / 2, 1.5 + 12.706 / 2), rel=1e-3)

    def test_of_a_constant_has_no_width(self):
        same = mean_interval(np.full(30, 0.1), np.arange(30), 0.95, unit="")
        assert (same.low, same.high) == pytest.approx((0.1, 0.1), abs=1e-12)

    def test_of_one_group_that_outweighs_all_others_is_finite(self):
        groups = np.repeat(np.arange(30), [1] * 29 + [1000])
        giant = mean_interval(skewed(groups)[:, 0], groups, 0.95, unit="")
        assert giant.low < giant.value < giant.high
        assert np.isfinite([giant.low, giant.high]).all()


@pytest.mark.parametrize("groups", [np.arange(40), FIVE, UNEQUAL], ids=["single", "five", "unequal"])
class TestBounds:
    """Laws of single and of simultaneous bounds."""

    @staticmethod
    def both(values: np.ndarray, groups: np.ndarray, level: float = 0.95) -> np.ndarray:
        """(4, k): lows and highs of single bounds, then of simultaneous ones."""
        found = mean_bounds(values, groups, (level,)), simultaneous_bounds(values, groups, level)
        return np.concatenate([part for bounds in found for part in (bounds.lows, bounds.highs)])

    def test_do_not_know_the_order_of_images(self, groups):
        values, order = skewed(groups), np.random.default_rng(1).permutation(len(groups))
        np.testing.assert_allclose(self.both(values[order], groups[order]), self.both(values, groups), rtol=1e-9)

    def test_do_not_know_the_names_of_groups(self, groups):
        values = skewed(groups)
        renamed = np.array([f"photograph {(name * 7919) % 104729}" for name in groups])
        np.testing.assert_allclose(self.both(values, renamed), self.both(values, groups), rtol=1e-9)

    def test_do_not_know_the_order_of_columns(self, groups):
        values = skewed(groups)
        np.testing.assert_allclose(self.both(values[:, ::-1], groups), self.both(values, groups)[:, ::-1], rtol=1e-9)

    def test_move_and_scale_with_the_values(self, groups):
        values = skewed(groups)
        np.testing.assert_allclose(self.both(3 * values - 7, groups), 3 * self.both(values, groups) - 7, rtol=1e-9)

    def test_are_mirrored_with_the_values(self, groups):
        values = skewed(groups)
        np.testing.assert_allclose(self.both(-values, groups), -self.both(values, groups)[[1, 0, 3, 2]], rtol=1e-9)

    def test_are_the_same_every_time(self, groups):
        values = skewed(groups)
        np.testing.assert_array_equal(self.both(values, groups), self.both(values, groups))

    def test_are_finite_and_wider_the_surer_they_are(self, groups):
        found = np.array([self.both(skewed(groups), groups, level) for level in LEVELS])
        assert np.isfinite(found).all()
        assert (np.diff(found[:, 0::2], axis=0) < 0).all()
        assert (np.diff(found[:, 1::2], axis=0) > 0).all()

    def test_leave_unknown_values_out_column_by_column(self, groups):
        values = skewed(groups)
        values[groups < 9, 1] = np.nan
        values[3, 2] = np.nan
        found = mean_bounds(values, groups, (0.95,))
        for column in range(4):
            known = ~np.isnan(values[:, column])
            alone = mean_interval(values[known, column], groups[known], 0.95, unit="")
            assert (found.n[column], found.groups[column]) == (alone.n, alone.groups)
            assert (found.lows[0, column], found.highs[0, column]) == pytest.approx((alone.low, alone.high))
        assert np.isfinite(self.both(values, groups)).all()

    def test_at_several_levels_are_those_at_each(self, groups):
        values = skewed(groups)
        several = mean_bounds(values, groups, (0.95, 0.995))
        np.testing.assert_allclose(several.lows[1:], mean_bounds(values, groups, (0.995,)).lows, rtol=1e-12)
        np.testing.assert_allclose(several.highs[:1], mean_bounds(values, groups, (0.95,)).highs, rtol=1e-12)


class TestSimultaneousBounds:
    def test_of_one_column_are_its_own(self):
        values = skewed(FIVE, columns=1)
        alone, many = mean_bounds(values, FIVE, (0.95,)), simultaneous_bounds(values, FIVE, 0.95)
        np.testing.assert_allclose((many.lows, many.highs), (alone.lows, alone.highs), rtol=1e-12)

    def test_are_never_tighter_than_single_ones(self):
        values = skewed(FIVE, columns=20)
        alone, many = mean_bounds(values, FIVE, (0.95,)), simultaneous_bounds(values, FIVE, 0.95)
        rounding = 1e-12  # of doubles about 1
        assert (many.lows <= alone.lows + rounding).all()
        assert (many.highs >= alone.highs - rounding).all()

    def test_of_columns_that_are_all_the_same_cost_next_to_nothing(self):
        values = np.repeat(np.random.default_rng(0).normal(size=(50, 1)), 100, axis=1)
        alone, many = (
            bounds.highs - bounds.lows
            for bounds in (
                mean_bounds(values, np.arange(50), (0.95,)),
                simultaneous_bounds(values, np.arange(50), 0.95),
            )
        )
        assert (many < 1.1 * alone).all()

    def test_of_normal_columns_that_move_apart_are_nearly_bonferronis(self):
        values = np.random.default_rng(0).normal(size=(100, 20))
        bonferroni = mean_bounds(values, np.arange(100), (1 - 0.05 / 20,))
        found = simultaneous_bounds(values, np.arange(100), 0.95)
        assert np.median((found.highs - found.lows) / (bonferroni.highs - bonferroni.lows)) == pytest.approx(1, abs=0.1)

    def test_of_a_column_that_does_not_vary_leave_the_others_alone(self):
        values = skewed(FIVE, columns=5)
        with_it = simultaneous_bounds(np.column_stack([values, np.ones(len(FIVE))]), FIVE, 0.95)
        without = simultaneous_bounds(values, FIVE, 0.95)
        np.testing.assert_allclose(with_it.highs[0, :5], without.highs[0], rtol=1e-12)
        assert (with_it.lows[0, 5], with_it.highs[0, 5]) == (1, 1)

    def test_where_one_image_alone_moves_are_finite(self):
        values = np.zeros((300, 3))
        values[0, 0], values[:2, 1], values[:, 2] = 1, (1, -1), np.random.default_rng(0).normal(size=300)
        found = simultaneous_bounds(values, np.arange(300), 1 - 1e-9)
        assert np.isfinite([found.lows, found.highs]).all()

    @pytest.mark.parametrize("count", [12, 50])
    @pytest.mark.parametrize("correlation", [0.0, 0.9])
    @pytest.mark.parametrize("effect", ["standard_normal", "standard_exponential"])
    def test_hold_for_all_columns_at_once_as_often_as_they_say(self, count, correlation, effect):
        random, runs = np.random.default_rng(count), 200
        draw = getattr(random, effect)
        truth = (np.sqrt(correlation) + np.sqrt(1 - correlation)) * (effect == "standard_exponential")
        held = 0
        for _ in range(runs):
            shared, own = draw((count, 1)), draw((count, 10))
            values = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
            bounds = simultaneous_bounds(values, np.arange(count), 0.95)
            held += bool(((bounds.lows <= truth) & (bounds.highs >= truth)).all())
        assert held / runs > 0.93 - 2 * np.sqrt(0.05 * 0.95 / runs)


class TestShareInterval:
    @pytest.mark.parametrize(
        ("hits", "n", "low", "high"), [(0, 10, 0, 0.2775), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)]
    )
    def test_is_wilsons_for_single_images(self, hits, n, low, high):
        found = share_interval(np.arange(n) < hits, np.arange(n), 0.95)
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)

    def test_is_wider_where_images_of_a_group_agree(self):
        hits = np.repeat(np.arange(20) % 2 == 0, 5)
        grouped = share_interval(hits, np.repeat(np.arange(20), 5), 0.95)
        single = share_interval(hits[::5], np.arange(20), 0.95)
        assert (grouped.low, grouped.high) == pytest.approx((single.low, single.high), abs=0.015)
        assert grouped.low < single.low < single.high < grouped.high

    def test_of_a_share_that_is_none_counts_groups_not_images(self):
        grouped = share_interval(np.zeros(100, bool), np.repeat(np.arange(10), 10), 0.95)
        assert grouped.high >= 0.2775


class TestChangeInterval:
    def test_of_no_change_still_has_a_width(self):
        found = change_interval(np.ones(12, bool), np.ones(12, bool), np.arange(12), 0.95)
        assert found.value == 0
        assert found.low < 0 < found.high

    @pytest.mark.parametrize("loss", [0.05, 0.3])
    def test_covers_a_loss_as_often_as_it_says_or_more(self, loss):
        random = np.random.default_rng(3)
        before = np.ones(30, bool)
        found = [change_interval(before, random.random(30) > loss, np.arange(30), 0.95) for _ in range(2000)]
        assert np.mean([m.low <= loss <= m.high for m in found]) >= 0.93

    def test_is_wider_where_images_of_a_group_change_together(self):
        after = np.repeat(np.random.default_rng(0).random(20) > 0.3, 5)
        before = np.ones(100, bool)
        grouped = change_interval(before, after, np.repeat(np.arange(20), 5), 0.95)
        alone = change_interval(before, after, np.arange(100), 0.95)
        assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)

    def test_covers_a_difference_to_a_mean_over_draws(self):
        random = np.random.default_rng(4)
        found = [
            change_interval(random.random(30) < 0.5, (random.random((3, 30)) < 0.5).mean(axis=0), np.arange(30), 0.95)
            for _ in range(2000)
        ]
        assert 0.93 <= np.mean([m.low <= 0 <= m.high for m in found]) <= 0.98


class TestMedianInterval:
    def test_covers_the_median_of_a_skewed_distribution(self):
        random = np.random.default_rng(1)
        found = [median_interval(random.exponential(size=25), np.arange(25), 0.95, unit="") for _ in range(2000)]
        assert np.mean([m.low <= np.log(2) <= m.high for m in found]) >= 0.95

    def test_of_few_values_has_no_interval_and_says_so(self):
        few = median_interval(np.array([1.0, 2.0, 3.0]), np.arange(3), 0.95, unit="")
        assert (few.value, few.low) == (2.0, None)
        assert few.reason

    @pytest.mark.parametrize("shared", [0.0, 0.5, 0.8])
    def test_covers_the_median_where_the_images_of_a_group_are_alike(self, shared):
        random, groups = np.random.default_rng(0), np.repeat(np.arange(22), 5)
        covered = 0
        for _ in range(1000):
            values = np.sqrt(shared) * random.normal(size=22)[groups] + np.sqrt(1 - shared) * random.normal(size=110)
            found = median_interval(values, groups, 0.95, unit="")
            covered += found.low <= 0 <= found.high
        assert covered / 1000 > 0.93
