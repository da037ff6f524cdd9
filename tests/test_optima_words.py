"""What is said of optimal inputs: a likeness or a difference only where an interval shows it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from auditor.measure.intervals import ratio_interval
from auditor.measure.measurement import Measurement
from auditor.measure.words import number
from auditor.report.sections import optima
from tests.synthetic import make_result

RECORD = make_result().optima


def measured(value, low=None, high=None, unit="ratio", n=4):
    return Measurement(value, low, high, None if low is None else 0.95, n, n, unit, None)


def looks(**changes):
    return optima.tell_looks(replace(RECORD.looks, **changes), RECORD)


class TestLooks:
    @pytest.mark.parametrize(
        ("ratio", "said"),
        [
            (measured(30.0), "is open"),
            (measured(1.0, 0.5, 2.0), "is open"),
            (measured(1.0, 0.9, 1.1), "much that of real images"),
            (measured(2.0, 1.5, 2.5), "Not by its texture"),
        ],
    )
    def test_the_texture_is_that_of_images_only_where_the_intervals_are_near_one(self, ratio, said):
        assert said in looks(total_variation=ratio, high_frequency=ratio).split(":")[0]

    @pytest.mark.parametrize(("share", "probability"), [(0.4, 0.95), (0.95, 0.4), (0.95, 0.95)])
    def test_the_model_has_no_doubts_only_where_it_has_none(self, share, probability):
        told = looks(
            predicted_as_asked=replace(measured(share, unit="share", n=80), groups=10),
            probability=measured(probability, unit="share"),
        )
        assert ("no such doubts" in told) == (min(share, probability) > 0.9)
        assert "80 optima (10 classes)" in told
        assert f"probability of {number(probability, 'share')}" in told


class TestComparisons:
    def compare(self, topic, tell, **changes):
        (one,) = (each for each in RECORD.comparisons if each.topic == topic)
        second = changes.pop("second", one.second)
        return tell(replace(one, second=second, **changes), RECORD)

    @pytest.mark.parametrize(
        ("fine", "ratio", "noise"),
        [(0.1, 9.0, False), (0.8, 9.0, True), (0.8, 0.9, False)],
    )
    def test_noise_is_said_only_of_what_is_mostly_fine_and_finer_than_images(self, fine, ratio, noise):
        (one,) = (each for each in RECORD.comparisons if each.topic == "regularisation")
        side = replace(
            one.second,
            fine=measured(fine, fine - 0.05, fine + 0.05, "share"),
            high_frequency=measured(ratio, ratio - 0.1, ratio + 0.1),
        )
        first = replace(one.first, high_frequency=measured(0.5, 0.4, 0.6))
        gain = measured(3.0, 2.0, 4.0, "log-odds")
        told = self.compare("regularisation", optima.tell_regularisation, first=first, second=side, gain=gain)
        assert ("largely fine noise" in told) == noise

    @pytest.mark.parametrize(("bound", "same"), [(0.2, True), (3.0, False)])
    def test_a_wide_interval_about_nought_leaves_open_whether_objectives_differ(self, bound, same):
        gain = measured(0.0, -bound, bound, "log-odds")
        told = self.compare("objective", optima.tell_objective, gain=gain)
        assert ("much the same" in told) == same
        assert ("is open" in told) != same

    @pytest.mark.parametrize(("bound", "same"), [(0.05, True), (0.4, False)])
    def test_wide_intervals_that_overlap_leave_open_whether_the_start_matters(self, bound, same):
        alike = measured(0.5, 0.5 - bound, 0.5 + bound, "correlation")
        gain = measured(0.0, -3.0, 3.0, "log-odds")
        (one,) = (each for each in RECORD.comparisons if each.topic == "start")
        record = replace(RECORD, looks=replace(RECORD.looks, restarts_alike=alike))
        told = optima.tell_start(replace(one, correlation=alike, gain=gain), record)
        assert ("no more than it does with another start of noise" in told) == same
        assert ("cannot be told" in told) != same
        assert "changes the score is open" in told


class TestMatch:
    @pytest.mark.parametrize(
        ("placebos", "classes", "following", "said"),
        [
            (0.4, 0.3, 0.2, "Yes"),
            (0.4, 0.3, -0.2, "That is open: not more than in the optima of the class that comes next (dog)"),
            (-0.3, 0.3, 0.2, "No."),
            (0.4, -0.3, -0.2, "No."),
            (0.4, 0.3, 0.0, "That is open."),
        ],
    )
    def test_no_is_said_only_where_placebos_or_the_other_classes_do_as_well(self, placebos, classes, following, said):
        match = replace(RECORD.matches[0], next_class="dog")
        leads = {"over_placebos": placebos, "over_classes": classes, "over_next": following}
        found = match.measurements | {
            name: measured(value, value - 0.1, value + 0.1, "difference of correlations")
            for name, value in leads.items()
        }
        told = optima.tell_match(replace(match, measurements=found), make_result().findings[0], RECORD)
        assert told.startswith(said)
        if "open" in said:
            assert "This agrees" not in told


class TestNumbers:
    def test_no_interval_of_ratios_reaches_below_nought(self):
        values = np.array([0.01, 0.02, 9.0, 0.05])
        found = ratio_interval(values, np.arange(4), 0.95)
        assert 0 < found.low < found.value < found.high
        assert found.value == pytest.approx(np.exp(np.log(values).mean()))
        assert ratio_interval(np.array([0.0, 1.0]), np.arange(2), 0.95).reason

    def test_a_probability_that_was_climbed_has_no_sign(self):
        assert optima.tell_objective_value(0.5, replace(RECORD, objective="probability")) == "0.500"
        assert optima.tell_objective_value(0.5, RECORD) == "+0.5"
