"""Where the interval of a measurement lies, and what that may be said to mean."""

from __future__ import annotations

import math
import operator

import pytest

from auditor.measure.intervals import missing
from auditor.measure.measurement import Measurement


def measured(value: float, low: float | None, high: float | None, low_adjusted: float | None = None) -> Measurement:
    return Measurement(value, low, high, 0.95, 20, 20, "log-odds", "log-odds", low_adjusted)


@pytest.mark.parametrize(
    ("bar", "place"), [(0.5, "above"), (1.0, "open"), (2.0, "open"), (3.0, "open"), (3.5, "below")]
)
def test_an_interval_is_above_or_below_a_bar_only_as_a_whole(bar: float, place: str) -> None:
    assert measured(2.0, 1.0, 3.0).against(bar) == place


def test_what_has_no_interval_is_open_against_every_bar() -> None:
    for part in (missing("no images"), measured(2.0, None, None)):
        assert {part.against(bar) for bar in (-100.0, 0.0, 2.0, 100.0)} == {"open"}
        assert not part.lies_in(-100.0, 100.0)


def test_turning_a_measurement_round_turns_what_is_said_of_it() -> None:
    turned = measured(2.0, 1.0, 3.0).mapped(operator.neg)
    assert turned.against(-0.5) == "below"
    assert turned.against(-3.5) == "above"


def test_an_interval_that_ends_at_a_bar_is_not_beyond_it_but_lies_in_a_range_up_to_it() -> None:
    none_at_all = measured(0.0, 0.0, 0.0)
    assert none_at_all.against(0.0) == "open"
    assert none_at_all.lies_in(-math.inf, 0.0)
    assert not measured(0.0, -1.0, 1e-9).lies_in(-math.inf, 0.0)


def test_only_the_claim_that_an_effect_exceeds_a_bar_is_corrected() -> None:
    found = measured(2.0, 1.0, 3.0, low_adjusted=0.4)
    assert found.against(0.5) == "above"
    assert found.decisive.against(0.5) == "open"
    assert found.decisive.against(3.5) == found.against(3.5) == "below"
    assert found.decisive.decisive == found.decisive


def test_what_was_not_corrected_is_decided_on_its_plain_interval() -> None:
    found = measured(2.0, 1.0, 3.0)
    assert found.decisive == found
