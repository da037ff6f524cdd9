"""Edits of the whole image say what they do, and what they are compared with is as large."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from auditor.artefacts.appearance import Appearance, Frame
from auditor.artefacts.global_edits import GlobalEdit, change_of, dissimilarity
from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.errors import OptionError
from auditor.measure.arrays import Floats
from auditor.measure.seeds import KeyedGenerators

FRAME = (24, 20, 3)
IDS = [f"image {number}" for number in range(4)]
RANDOMS = KeyedGenerators(0, "artefact", IDS)

KINDS = {
    "tint": {"colour": "#2060ff", "strength": 0.3},
    "brightness": {"factor": 0.6},
    "contrast": {"factor": 0.5},
    "gamma": {"exponent": 2.0},
    "saturation": {"factor": 0.4},
    "hue": {"degrees": 60},
    "blur": {"sigma": 1.5},
    "sharpen": {"amount": 2.0},
    "jpeg": {"quality": 10},
    "noise": {"strength": 0.1},
    "rotation": {"degrees": 15},
    "flip": {},
    "zoom": {"factor": 1.4},
    "crop": {"box": (0.1, 0.2, 0.8, 0.9)},
}
COLOURED = {"saturation", "hue"}
GREY = sorted(set(KINDS) - COLOURED)


def photographs(frame: Frame = FRAME, count: int = 4) -> Floats:
    """Smooth images that fill their range, as photographs do."""
    random = np.random.default_rng(5)
    images = gaussian_filter(random.standard_normal((count, *frame)), (0, 2, 2, 0))
    low, high = images.min(axis=(1, 2, 3), keepdims=True), images.max(axis=(1, 2, 3), keepdims=True)
    return (0.05 + 0.9 * (images - low) / (high - low)).astype(np.float32)


def make(kind: str, frame: Frame = FRAME, **options: object) -> GlobalEdit:
    made = ARTEFACT_KINDS[kind](frame, **(KINDS[kind] | options))
    assert isinstance(made, GlobalEdit)
    return made


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    def test_changes_images_and_gives_images(self, kind: str) -> None:
        assert isinstance(make(kind), Appearance)
        images = photographs()
        edited = make(kind).insert(images, RANDOMS)
        assert (edited.shape, edited.dtype) == (images.shape, np.float32)
        assert edited.min() >= 0
        assert edited.max() <= 1
        assert (np.abs(edited - images).mean(axis=(1, 2, 3)) > 0.005).all()

    def test_depends_on_the_image_and_its_generator_alone(self, kind: str) -> None:
        edit, images = make(kind), photographs()
        whole, order = edit.insert(images, RANDOMS), [2, 0]
        some = KeyedGenerators(0, "artefact", [IDS[at] for at in order])
        np.testing.assert_array_equal(edit.insert(images[order], some), whole[order])
        for draws in edit.controls({}, 0)[0].values():
            np.testing.assert_array_equal(draws[0](images[order], some), draws[0](images, RANDOMS)[order])

    def test_is_undone_exactly_where_it_says_so(self, kind: str) -> None:
        edit, images = make(kind), photographs()
        assert edit.can_remove == (kind in {"tint", "brightness", "contrast", "gamma", "saturation", "hue", "flip"})
        if edit.can_remove:
            # float32 has seven digits, and a factor of .4 makes an error 2.5 times as large
            np.testing.assert_allclose(edit.remove(edit.insert(images, RANDOMS)), images, atol=1e-5)

    def test_controls_are_as_large_or_as_visible_as_is_allowed(self, kind: str) -> None:
        edit, images = make(kind), photographs()
        edited = edit.insert(images, RANDOMS)
        controls, notes = edit.controls({}, seed=3)
        assert notes == []
        assert len(controls) >= 4
        for name, draws in controls.items():
            for draw in draws:
                for image, theirs, ours in zip(images, edited, draw(images, RANDOMS), strict=True):
                    size, wanted = change_of(image, ours), change_of(image, theirs)
                    limit = max(2 * dissimilarity(image, theirs), 0.1)
                    assert dissimilarity(image, ours) <= 1.05 * limit, name
                    assert size <= 1.05 * wanted, name
                    as_visible = dissimilarity(image, ours) >= 0.9 * limit
                    at_its_most = name in ("blur", "uneven light", "shift", "opposite")  # a flip exceeds any of them
                    assert size >= 0.95 * wanted or as_visible or (at_its_most and size > 0.3 * wanted), name

    def test_controls_are_fixed_by_the_seed(self, kind: str) -> None:
        images = photographs()
        first, again, other = (make(kind).controls({}, seed)[0]["uneven light"][0](images) for seed in (0, 0, 1))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_innocent_draws_are_as_large_and_all_different(self, kind: str) -> None:
        edit, images = make(kind), photographs()
        wanted = np.abs(edit.insert(images) - images).mean(axis=(1, 2, 3))
        seen = [draw(images) for draw in edit.innocents(6, seed=0)]
        assert len(seen) == 6
        for number, drawn in enumerate(seen):
            assert (np.abs(drawn - images).mean(axis=(1, 2, 3)) <= 1.05 * wanted).all()
            assert all(np.abs(drawn - other).max() > 1e-3 for other in seen[:number])

    def test_more_of_it_changes_more(self, kind: str) -> None:
        edit, images = make(kind), photographs()
        doses = edit.doses()
        if kind == "flip":
            assert doses == {}
            return
        changes = [np.abs(dose(images, RANDOMS) - images).mean() for dose in doses.values()]
        assert changes == sorted(changes)
        np.testing.assert_array_equal(doses[1.0](images, RANDOMS), edit.insert(images, RANDOMS))
        np.testing.assert_array_equal(doses[0.5](images, RANDOMS), edit.variants({})["half as strong"](images, RANDOMS))

    def test_grey_images_are_edited_or_refused_in_a_sentence(self, kind: str) -> None:
        grey = (*FRAME[:2], 1)
        if kind in COLOURED:
            with pytest.raises(OptionError, match="kind: the images are grey, so there is no"):
                ARTEFACT_KINDS[kind](grey, **KINDS[kind])
            return
        edit, images = make(kind, grey), photographs(grey)
        assert edit.insert(images, RANDOMS).shape == images.shape
        for draws in edit.controls({}, 0)[0].values():
            assert draws[0](images, RANDOMS).shape == images.shape

    def test_it_has_no_place(self, kind: str) -> None:
        edit = make(kind)
        assert edit.neighbours() == {}
        assert edit.fixed_region is None
        assert edit.opacity is None
        assert edit.region("image", FRAME).all()


@pytest.mark.parametrize(
    ("kind", "option", "low", "high"),
    [("tint", "strength", 0.1, 0.4), ("blur", "sigma", 0.5, 2.0), ("rotation", "degrees", -20, 20)],
)
class TestAmountsThatVary:
    def test_each_image_has_its_own_between_the_ends(self, kind: str, option: str, low: float, high: float) -> None:
        image = np.repeat(photographs(count=1), 12, axis=0)
        randoms = KeyedGenerators(0, "artefact", [str(number) for number in range(12)])
        edited = make(kind, **{option: (low, high)}).insert(image, randoms)
        assert len({each.tobytes() for each in edited}) == 12
        if low > 0:
            ends = [np.abs(make(kind, **{option: end}).insert(image[:1]) - image[0]).mean() for end in (low, high)]
            changes = np.abs(edited - image).mean(axis=(1, 2, 3))
            assert ends[0] <= changes.min()
            assert changes.max() <= ends[1]

    def test_what_varies_cannot_be_taken_out(self, kind: str, option: str, low: float, high: float) -> None:
        assert not make(kind, **{option: (low, high)}).can_remove

    def test_ends_are_in_their_order(self, kind: str, option: str, low: float, high: float) -> None:
        with pytest.raises(OptionError, match=f"{option}: got .*, wanted the lower end first"):
            make(kind, **{option: (high, low)})


def test_a_tint_is_a_mixture() -> None:
    images = photographs()
    ink = np.array([0x20, 0x60, 0xFF], np.float32) / 255
    np.testing.assert_allclose(make("tint").insert(images), 0.7 * images + 0.3 * ink, atol=1e-6)


def test_noise_has_the_strength_that_it_is_told() -> None:
    grey = np.full((1, 60, 60, 1), 0.5, np.float32)
    plain = make("noise", grey.shape[1:]).insert(grey)
    # the standard deviation of 3600 values errs by 1.2 %
    assert plain.std() == pytest.approx(0.1, rel=0.06)
    salted = make("noise", grey.shape[1:], pattern="salt").insert(grey)
    assert set(np.unique(salted)) == {0.0, 0.5, 1.0}
    assert (salted != 0.5).mean() == pytest.approx(0.1, abs=0.02)


def test_a_whole_turn_of_hue_or_of_the_image_comes_back() -> None:
    images = photographs((20, 20, 3))
    third = make("hue", degrees=120)
    np.testing.assert_allclose(third.insert(third.insert(third.insert(images))), images, atol=1e-5)
    np.testing.assert_allclose(third.insert(images), images[..., [2, 0, 1]], atol=1e-5)
    turned = make("rotation", images.shape[1:], degrees=90).insert(images)
    np.testing.assert_allclose(turned, np.rot90(images, axes=(1, 2)), atol=1e-5)


def test_a_crop_shows_the_part_and_a_zoom_the_middle() -> None:
    images = np.zeros((1, 20, 20, 1), np.float32)
    images[:, 4:14, 6:16] = 1
    cut = make("crop", (20, 20, 1), box=(6, 4, 16, 14)).insert(images)
    np.testing.assert_allclose(cut[0, 1:-1, 1:-1], 1, atol=1e-6)
    centred = np.zeros((1, 20, 20, 1), np.float32)
    centred[:, 5:15, 5:15] = 1
    np.testing.assert_allclose(make("zoom", (20, 20, 1), factor=2.0).insert(centred)[0, 1:-1, 1:-1], 1, atol=1e-6)
    small = make("zoom", (20, 20, 1), factor=0.5, outside="white").insert(np.zeros((1, 20, 20, 1), np.float32))
    assert small[0, 0].min() == 1
    assert small[0, 6:14, 6:14].max() == 0


def test_mirror_images_are_variants_and_opposites_controls() -> None:
    images = photographs()
    np.testing.assert_array_equal(make("flip").variants({})["mirrored"](images), images[:, ::-1])
    assert "opposite" not in make("rotation").controls({}, 0)[0]
    darker, brighter = make("brightness"), make("brightness", factor=1.4)
    assert darker.controls({}, 0)[0]["opposite"][0](images).mean() > images.mean()
    assert brighter.controls({}, 0)[0]["opposite"][0](images).mean() < images.mean()


def test_an_artefact_that_changes_nothing_is_controlled_by_nothing() -> None:
    black = np.zeros((1, *FRAME), np.float32)
    for draws in make("blur").controls({}, 0)[0].values():
        np.testing.assert_array_equal(draws[0](black), black)
