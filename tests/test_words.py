"""Every measurement in a sentence is written by one function."""

from __future__ import annotations

import re

import pytest

from auditor.measure.intervals import missing
from auditor.measure.measurement import Measurement
from auditor.measure.words import PER_CENT, STYLES, listed, number, say, say_in, signed


def measured(unit: str = "log-odds", value: float = -0.25, low: float | None = -0.5, high: float | None = 0.125):
    return Measurement(value, low, high, 0.95, 16, 16, unit, None, reason="it has but one group")


@pytest.mark.parametrize("style", sorted({*STYLES} - {"count", "counted", "tally"}))
@pytest.mark.parametrize("part", [measured(), measured("share"), measured("ratio", 2.0, 1.0, 3.0)])
def test_no_style_leaves_a_hyphen_for_a_minus_or_a_bracket_open(style: str, part: Measurement) -> None:
    told = say(part, style)
    assert "-" not in told.replace("log-odds", "")
    assert "{" not in told
    assert told.count("[") + told.count("(") == told.count("]") + told.count(")")


@pytest.mark.parametrize("style", sorted(STYLES))
def test_what_has_no_interval_is_told_without_one(style: str) -> None:
    told = say(measured(low=None, high=None), style)
    assert " to " not in told
    assert not re.search(r"\[[^n]", told)


@pytest.mark.parametrize("style", sorted(STYLES))
def test_what_was_not_measured_never_becomes_a_number(style: str) -> None:
    told = say(missing("no images"), style)
    assert not re.search(r"[1-9]", told)


def test_the_interval_shows_the_bound_that_reliance_was_decided_on() -> None:
    part = Measurement(2.0, 1.0, 3.0, 0.95, 16, 8, "log-odds", None, low_adjusted=0.5)
    assert say(part) == "+2.0 (0.50 to 3.0)"
    assert say(part, "full").endswith(", n = 16 in 8 groups)")
    assert say(part, "decided") == say(part.decisive, "decided") == "+2.0 log-odds (0.50 to 3.0, n = 16)"


def test_what_rounds_to_nothing_is_never_negative() -> None:
    assert signed(-0.001) == "+0.00"
    assert number(-0.001, "ratio") == "0.00"
    assert say(measured("share", -0.001, -0.002, -0.001), "points") == "−0.10 points (−0.20 to −0.10)"


def test_a_share_is_counted_in_images() -> None:
    assert say(measured("share", 0.875, 0.6, 0.97), "count") == "14 of 16"
    assert say(measured("share", 0.875, 0.6, 0.97), "counted") == f"14 of 16 (60{PER_CENT} to 97{PER_CENT})"


def test_a_long_list_says_how_many_it_leaves_out() -> None:
    assert listed("a") == "a"
    assert listed("abc") == "a, b and c"
    assert listed("abc", 2) == "a, b and 1 more"


@pytest.mark.parametrize(
    ("share", "n", "said"),
    [
        (1 / 3, 360, "1 in 3"),
        (0.336, 360, "1 in 3"),
        (0.3, 360, "3 in 10"),
        (0.5, 6, "3 of 6"),
        (0.0, 99, "none"),
        (1.0, 99, "all"),
        (0.985, 400, "nearly all"),
        (0.001, 1000, "1 of 1000"),
        (0.9, 40, "9 in 10"),
    ],
)
def test_a_share_is_said_as_one_says_it(share: float, n: int, said: str) -> None:
    assert say_in(share, n) == said


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (5.594, "log-odds", "+5.6"),
        (12.2, "log-odds", "+12"),
        (-0.07, "log-odds", "−0.07"),
        (0.33611, "share", "34"),
        (0.0612, "share", "6.1"),
        (0.999, "share", "99.9"),
        (1.0, "share", "100"),
        (2.5, "ratio", "2.5"),
    ],
)
def test_numbers_have_two_significant_digits(value: float, unit: str, said: str) -> None:
    assert number(value, unit).removesuffix(PER_CENT) == said
