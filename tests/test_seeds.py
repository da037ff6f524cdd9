"""Randomness depends on the seed and on names, never on what was drawn before."""

from __future__ import annotations

import numpy as np

from auditor.measure.seeds import audit_generator, keyed_generator, seeded_order

NAMES = [f"image {number}" for number in range(50)]


def test_an_order_depends_on_the_names_alone() -> None:
    order = [NAMES[at] for at in seeded_order(3, "choice", NAMES)]
    turned = NAMES[::-1]
    assert [turned[at] for at in seeded_order(3, "choice", turned)] == order
    assert sorted(order) == sorted(NAMES)


def test_a_choice_from_fewer_keeps_their_order() -> None:
    order = [NAMES[at] for at in seeded_order(3, "choice", NAMES)]
    some = NAMES[10:30]
    assert [some[at] for at in seeded_order(3, "choice", some)] == [name for name in order if name in some]


def test_another_seed_and_another_purpose_give_another_order() -> None:
    orders = {tuple(seeded_order(seed, purpose, NAMES)) for seed in (0, 1) for purpose in ("choice", "other")}
    assert len(orders) == 4


def test_a_generator_gives_the_same_whatever_others_drew() -> None:
    first = keyed_generator(0, "noise", "a").random(3)
    keyed_generator(0, "noise", "b").random(100)
    np.testing.assert_array_equal(keyed_generator(0, "noise", "a").random(3), first)


def test_purposes_of_one_audit_draw_apart() -> None:
    drawn = {
        tuple(audit_generator(7, purpose).random(4))
        for purpose in ("controls", "innocent content", "explained images", "drawn images", "checks")
    }
    assert len(drawn) == 5
