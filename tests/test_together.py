"""Artefacts are put in and taken out together, so that what either does alone shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from auditor.artefacts.appearance import Appearance
from auditor.artefacts.artefact import Artefact
from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.artefacts.overlay import Overlay
from auditor.artefacts.together import Together
from auditor.measure.arrays import Floats
from auditor.verdict.findings import judge
from auditor.verdict.harms import INTERACTION, INTERACTION_ELSEWHERE, JOINT_DROP
from auditor.verdict.record import Rule
from tests.closed_form import LinearClassifier, linear, random_images
from tests.small_world import World
from tests.test_kinds import audit
from tests.test_trial import observe

FRAME = (12, 12, 3)


def patch(at: tuple[int, int], seed: int) -> Overlay:
    alpha, ink = np.zeros(FRAME[:2], np.float32), np.zeros(FRAME, np.float32)
    place = np.s_[at[0] : at[0] + 3, at[1] : at[1] + 3]
    alpha[place], ink[place] = 0.6, np.random.default_rng(seed).random((3, 3, 3))
    return Overlay(alpha, ink)


FIRST, SECOND = patch((1, 1), 0), patch((8, 7), 1)
BOTH = Together((FIRST, SECOND), ("first", "second"))


def test_it_is_one_after_the_other_and_back() -> None:
    assert isinstance(BOTH, Appearance)
    images = random_images(3, FRAME)
    carried = BOTH.insert(images)
    np.testing.assert_array_equal(carried, SECOND.insert(FIRST.insert(images)))
    np.testing.assert_allclose(BOTH.remove(carried), images, atol=1e-6)
    np.testing.assert_array_equal(BOTH.fixed_region, FIRST.fixed_region | SECOND.fixed_region)
    assert BOTH.can_remove


def test_controls_are_those_of_the_same_name_together() -> None:
    images = random_images(2, FRAME)
    controls, _ = BOTH.controls({}, 0)
    assert set(controls) == {"scrambled", "inverted tone", "flat patch", "veil"}
    (inverted,) = controls["inverted tone"]
    expected = SECOND.inverted().insert(FIRST.inverted().insert(images))
    np.testing.assert_allclose(inverted(images), expected, atol=1e-6)
    assert set(BOTH.variants({})) == {"first alone", "second alone"}
    assert len(BOTH.innocents(3, 0)) == 3


def test_parts_of_other_kinds_have_controls_of_both_names() -> None:
    mixed = Together((FIRST, ARTEFACT_KINDS["blur"](FRAME)), ("first", "blur"))
    controls, _ = mixed.controls({}, 0)
    assert set(controls) == {
        "scrambled + uneven light",
        "inverted tone + another tint",
        "flat patch + noise",
        "veil + shift",
    }
    assert mixed.fixed_region is None
    assert not mixed.can_remove


class Either(LinearClassifier):
    """The first class for any of two patches that are not as they are without."""

    def scores(self, images: Floats) -> Floats:
        scores = super().scores(images)
        seen = np.stack([_likeness(images, look) for look in (FIRST, SECOND)])
        scores[:, 0] = 5 * seen.max(axis=0)
        return scores


def _likeness(images: Floats, look: Overlay) -> Floats:
    """1 with the artefact and 0 without it, on grey images."""
    change = (look.insert(np.full((1, *FRAME), 0.5, np.float32))[0] - 0.5)[look.fixed_region]
    return ((images[:, look.fixed_region] - 0.5) * change).sum(axis=(1, 2)) / (change**2).sum()


def test_where_either_suffices_only_both_together_move_the_score() -> None:
    grey, carriers = np.full((20, *FRAME), 0.5, np.float32), np.ones(20, bool)
    plain = linear(shape=FRAME)
    classifier = Either(plain.weights, plain.bias)
    second = Artefact("second", "overlay", SECOND, 0, "all", carriers)
    first = replace(second, name="first", appearance=FIRST, beside=(second,))
    _, observed = observe(classifier, BOTH.insert(grey), FIRST, carriers, artefact=first)
    jointly = observed.removals.jointly["second"]
    np.testing.assert_allclose(jointly.own, 0, atol=0.05)
    np.testing.assert_allclose(jointly.other, 0, atol=0.05)
    assert (jointly.both > 4).all()
    np.testing.assert_allclose(observed.removals.fall["exact"], jointly.own, atol=1e-5)


def test_where_effects_add_up_nothing_is_left_over() -> None:
    images, carriers = random_images(20, FRAME), np.arange(20) < 14
    second = Artefact("second", "overlay", SECOND, None, "column", np.arange(20) >= 4)
    first = replace(second, name="first", appearance=FIRST, carriers=carriers, beside=(second,))
    carried = np.where(carriers[:, None, None, None], FIRST.insert(images), images)
    carried = np.where(second.carriers[:, None, None, None], SECOND.insert(carried), carried)
    _, observed = observe(linear(shape=FRAME), carried, FIRST, carriers, artefact=first)
    jointly = observed.removals.jointly["second"]
    assert np.isnan(jointly.both[:4]).all()
    # a linear classifier adds up, to the rounding of float32
    np.testing.assert_allclose((jointly.both - jointly.own - jointly.other)[4:], 0, atol=1e-2)


class Busyness(LinearClassifier):
    """The first class for contrast anywhere, the more so the more there is: two holes are not twice one hole."""

    def scores(self, images: Floats) -> Floats:
        scores = super().scores(images)
        scores[:, 0] = 4e3 * images.std(axis=(1, 2, 3)) ** 4
        return scores


def test_what_fills_do_together_wherever_they_are_is_no_interaction() -> None:
    images, carriers = random_images(80, FRAME), np.ones(80, bool)
    opaque = [replace(look, alpha=(look.alpha > 0).astype(np.float32)) for look in (FIRST, SECOND)]
    second = Artefact("second", "overlay", opaque[1], 0, "all", carriers)
    first = replace(second, name="first", appearance=opaque[0], beside=(second,))
    plain = linear(shape=FRAME)
    carried = opaque[1].insert(opaque[0].insert(images))
    _, observed = observe(Busyness(plain.weights, plain.bias), carried, opaque[0], carriers, artefact=first)
    measured = judge(observed, 0, Rule()).measurements
    elsewhere, beyond = (measured[f"{name} second"] for name in (INTERACTION_ELSEWHERE, INTERACTION))
    jointly = observed.removals.jointly["second"]
    assert elsewhere.high < -0.1
    assert abs(beyond.value) < abs(jointly.interaction.mean()) / 2
    assert measured[f"{JOINT_DROP} second"].value < jointly.both.mean() / 2


def test_the_same_edits_elsewhere_are_clear_of_both_and_of_each_other() -> None:
    images, carriers, asked = random_images(6, FRAME), np.ones(6, bool), []

    class Watched(LinearClassifier):
        def scores(self, images: Floats) -> Floats:
            asked.append(images.copy())
            return super().scores(images)

    plain = linear(shape=FRAME)
    second = Artefact("second", "overlay", SECOND, 0, "all", carriers)
    first = replace(second, name="first", appearance=FIRST, beside=(second,))
    carried = BOTH.insert(images)
    _, observed = observe(Watched(plain.weights, plain.bias), carried, FIRST, carriers, artefact=first)
    jointly = observed.removals.jointly["second"]
    assert np.isfinite(jointly.elsewhere.both).all()
    np.testing.assert_allclose(jointly.elsewhere.interaction, 0, atol=1e-2)  # a linear model adds up there, too
    changes = [np.abs(carried - image).max(axis=-1) > 1e-6 for image in np.concatenate(asked)]
    nearest = [each[each.sum(axis=(1, 2)).argmin()] for each in changes]
    twice = [where for where in nearest if where.sum() == 18 and not (where & BOTH.fixed_region).any()]
    assert len(twice) == 6


def test_it_goes_through_an_audit(world: World) -> None:
    world.add('[[artefacts]]\nname = "dot"\nkind = "box"\nsize = [1, 1]\ncolour = "white"\ntarget = "boat"\n')
    world.add('[[artefacts]]\nname = "both"\nkind = "together"\nparts = ["mark", "dot"]\ntarget = "boat"\n')
    findings = {finding.artefact: finding for finding in audit(world).findings}
    assert findings["both"].measurements["theta"].value is not None
    assert set(findings["both"].variants) == {"mark alone", "dot alone"}


def test_taken_out_of_carriers_together_they_move_what_each_alone_does_not() -> None:
    grey, carriers = np.full((20, *FRAME), 0.5, np.float32), np.ones(20, bool)
    plain = linear(shape=FRAME)
    classifier, carried = Either(plain.weights, plain.bias), BOTH.insert(grey)
    first, second = (
        Artefact(name, "overlay", look, 0, "all", carriers) for name, look in zip("ab", BOTH.parts, strict=True)
    )
    both = Artefact("both", "together", BOTH, 0, "all", carriers, parts=(first, second))
    for artefact in (first, second):
        _, observed = observe(classifier, carried, artefact.appearance, carriers, artefact=artefact)
        np.testing.assert_allclose(observed.removals.fall["exact"], 0, atol=0.05)
    _, observed = observe(classifier, carried, BOTH, carriers, artefact=both)
    assert (observed.removals.fall["exact"] > 4).all()
    assert observed.removals.found is None
