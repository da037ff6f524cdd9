"""Edits touch what they say, and undo each other exactly."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from auditor.artefacts.appearance import Appearance
from auditor.artefacts.edits import matched_placements, remove, shift_mask
from auditor.artefacts.fills import FILLS
from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.artefacts.masks import Masks
from auditor.artefacts.overlay import Overlay
from auditor.errors import OptionError
from tests.closed_form import random_images

FRAME = (16, 20, 3)


def patch(
    opacity: float = 0.6, corner: tuple[int, int] = (2, 3), size: tuple[int, int] = (4, 6), seed: int = 0
) -> Overlay:
    """A patch of random ink and uneven opacity."""
    random = np.random.default_rng(seed)
    alpha = np.zeros(FRAME[:2], np.float32)
    ink = np.zeros(FRAME, np.float32)
    place = np.s_[corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]]
    alpha[place] = opacity * random.uniform(0.3, 1, size).astype(np.float32)
    ink[place] = random.random((*size, 3))
    return Overlay(alpha, ink)


def square() -> Overlay:
    overlay = ARTEFACT_KINDS["box"](FRAME, size=(5, 5), position=(1, 2))
    assert isinstance(overlay, Overlay)
    return overlay


KINDS = {
    "box": {"size": (4, 3), "position": (2, 2)},
    "text": {"text": "2024", "size": 8, "position": (0, 4)},
    "lightness": {"strength": 0.4},
    "vignette": {"strength": 0.6, "colour": "navy"},
    "border": {"width": 2},
}


class TestInsertion:
    @pytest.mark.parametrize("kind", KINDS)
    def test_touches_only_pixels_of_the_region(self, kind):
        overlay = ARTEFACT_KINDS[kind](FRAME, **KINDS[kind])
        images = random_images(3, FRAME)
        edited = overlay.insert(images)
        np.testing.assert_array_equal(edited[:, ~overlay.fixed_region], images[:, ~overlay.fixed_region])
        assert (edited[:, overlay.fixed_region] != images[:, overlay.fixed_region]).any()
        assert edited.dtype == np.float32
        assert edited.min() >= 0
        assert edited.max() <= 1

    def test_composites_by_the_formula(self):
        overlay, images = patch(), random_images(2, FRAME)
        alpha = overlay.alpha[..., None]
        np.testing.assert_allclose(overlay.insert(images), (1 - alpha) * images + alpha * overlay.ink, atol=1e-7)

    def test_at_full_opacity_shows_the_ink_alone(self):
        overlay = square()
        edited = overlay.insert(random_images(2, FRAME))
        np.testing.assert_array_equal(edited[:, overlay.fixed_region], 0)

    @pytest.mark.parametrize("dose", [0.05, 0.5, 1.0])
    def test_a_dose_has_that_opacity(self, dose):
        edit = patch().doses()[dose]
        white = edit(np.ones((1, *FRAME), np.float32))
        black = edit(np.zeros((1, *FRAME), np.float32))
        assert 1 - (white - black).min() == pytest.approx(dose, abs=1e-6)


class TestRemoval:
    def test_un_compositing_undoes_insertion_exactly(self):
        overlay, images = patch(0.8), random_images(3, FRAME)
        np.testing.assert_allclose(overlay.remove(overlay.insert(images)), images, atol=2e-6)

    def test_un_compositing_touches_only_the_region(self):
        overlay, images = patch(), random_images(3, FRAME)
        outside = ~overlay.fixed_region
        np.testing.assert_array_equal(overlay.remove(images)[:, outside], images[:, outside])

    def test_the_placebo_touches_only_one_shifted_region(self):
        image, mask = random_images(1, FRAME)[0], patch().fixed_region
        for removal in remove(image, mask, ("mean", "blur"), Masks()).values():
            assert removal.placebo is not None
            touched = (removal.placebo != image).any(axis=2)
            assert not (touched & mask).any()
            assert 0 < touched.sum() <= mask.sum()

    def test_an_opaque_artefact_is_never_un_composited(self):
        overlay = square()
        assert set(remove(random_images(1, FRAME)[0], overlay.fixed_region, ("mean",), overlay)) == {"mean"}
        assert set(remove(random_images(1, FRAME)[0], patch().fixed_region, ("mean",), patch())) == {"exact", "mean"}

    def test_a_region_that_fits_nowhere_else_has_no_placebo(self):
        overlay = patch(corner=(1, 1), size=(14, 18))
        removals = remove(random_images(1, FRAME)[0], overlay.fixed_region, ("mean",), Masks())
        assert [removal.placebo for removal in removals.values()] == [None]


PIXELS = {"a region": patch().fixed_region, "scattered": np.random.default_rng(1).random(FRAME[:2]) < 0.2}


@pytest.mark.parametrize("mask", PIXELS.values(), ids=PIXELS)
class TestFills:
    @pytest.mark.parametrize("name", FILLS)
    def test_touch_only_the_pixels_that_they_fill(self, name, mask):
        image = random_images(1, FRAME)[0]
        filled = FILLS[name](image, mask)
        np.testing.assert_array_equal(filled[~mask], image[~mask])
        assert (filled[mask] != image[mask]).any()
        assert filled.min() >= 0
        assert filled.max() <= 1

    @pytest.mark.parametrize("name", FILLS)
    def test_never_look_at_what_they_replace(self, name, mask):
        first, second = random_images(2, FRAME)
        second[~mask] = first[~mask]
        np.testing.assert_allclose(FILLS[name](first, mask), FILLS[name](second, mask), atol=1e-6)

    @pytest.mark.parametrize("name", FILLS)
    def test_restore_an_image_of_one_colour(self, name, mask):
        image = np.full(FRAME, 0.3, np.float32)
        np.testing.assert_allclose(FILLS[name](np.where(mask[..., None], 1, image), mask), image, atol=1e-5)

    def test_inpainting_continues_a_ramp_that_surrounds_the_pixels(self, mask):
        inner = np.zeros_like(mask)
        inner[2:-2, 2:-2] = mask[2:-2, 2:-2]
        ramp = np.broadcast_to(np.linspace(0.2, 0.8, FRAME[1], dtype=np.float32)[None, :, None], FRAME)
        filled = FILLS["inpaint"](np.where(inner[..., None], np.float32(0), ramp), inner)
        np.testing.assert_allclose(filled, ramp, atol=1e-5)


class TestPlacements:
    def test_stay_in_the_frame_and_clear_of_the_region(self):
        mask = patch().fixed_region
        for shift in matched_placements(random_images(1, FRAME)[0], mask, 50):
            moved = shift_mask(mask, shift)
            rows, columns = np.nonzero(mask)
            assert (rows + shift[0] >= 0).all()
            assert (rows + shift[0] < FRAME[0]).all()
            assert (columns + shift[1] >= 0).all()
            assert (columns + shift[1] < FRAME[1]).all()
            assert not (moved & mask).any()

    def test_the_first_looks_most_like_the_region(self):
        image = random_images(1, FRAME)[0] * 0.1
        mask = np.zeros(FRAME[:2], bool)
        mask[2:5, 2:5] = True
        twin = (9, 12)
        image[2:5, 2:5] = image[11:14, 14:17] = random_images(1, (3, 3, 3), seed=9)[0]
        assert matched_placements(image, mask, 1) == [twin]


class TestControls:
    def test_scrambled_ink_is_the_same_ink_elsewhere_in_the_box(self):
        overlay = patch()
        controls, notes = overlay.controls({}, seed=0)
        assert notes == []
        black = np.zeros((1, *FRAME), np.float32)
        assert len(controls["scrambled"]) == 3
        for draw in controls["scrambled"]:
            scrambled = draw(black)[0]
            np.testing.assert_allclose(np.sort(scrambled, axis=None), np.sort(overlay.insert(black)[0], axis=None))
            assert not np.allclose(scrambled, overlay.insert(black)[0])

    def test_a_flat_patch_has_the_mean_opacity_and_the_mean_ink(self):
        overlay = patch()
        (flat,) = overlay.controls({}, seed=0)[0]["flat patch"]
        black, white = np.zeros((1, *FRAME), np.float32), np.ones((1, *FRAME), np.float32)
        left, top, right, bottom = overlay.box
        np.testing.assert_allclose(
            (1 - (flat(white) - flat(black)))[0, top:bottom, left:right].mean(),
            overlay.alpha[top:bottom, left:right].mean(),
            rtol=1e-5,
        )
        np.testing.assert_allclose(flat(black).sum(), overlay.insert(black).sum(), rtol=1e-4)

    def test_a_control_that_equals_the_artefact_is_left_out_and_said(self):
        controls, notes = square().controls({}, seed=0)
        assert set(controls) == {"veil", "inverted tone"}
        assert len(notes) == 2
        assert all("equals the artefact" in note.text for note in notes)

    def test_the_users_own_control_is_among_them(self):
        given = patch(seed=5)
        controls, _ = patch().controls({"latin": given}, seed=0)
        images = random_images(2, FRAME)
        (latin,) = controls["latin"]
        np.testing.assert_array_equal(latin(images), given.insert(images))

    def test_inverted_tone_turns_black_ink_white(self):
        (inverted,) = square().controls({}, seed=0)[0]["inverted tone"]
        images = random_images(1, FRAME)
        inside = square().fixed_region
        np.testing.assert_allclose((inverted(images) + square().insert(images))[:, inside], 1, atol=1e-6)

    def test_all_stay_in_the_box_of_the_artefact_and_depend_on_their_own_image_only(self):
        overlay, images = patch(), random_images(4, FRAME)
        left, top, right, bottom = overlay.box
        outside = np.ones(FRAME[:2], bool)
        outside[top:bottom, left:right] = False
        for edit in itertools.chain.from_iterable(overlay.controls({}, seed=0)[0].values()):
            edited = edit(images)
            np.testing.assert_array_equal(edited[:, outside], images[:, outside])
            np.testing.assert_allclose(edit(images[2:3])[0], edited[2], atol=1e-6)  # a veil takes the mean of its image

    def test_are_fixed_by_the_seed(self):
        images = random_images(1, FRAME)
        first, again, other = (patch().controls({}, seed)[0]["scrambled"][0](images) for seed in (0, 0, 1))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)


class TestBorder:
    def test_lies_at_the_edges_alone(self):
        border = ARTEFACT_KINDS["border"](FRAME, width=0.125)
        region = np.ones(FRAME[:2], bool)
        region[2:-2, 2:-2] = False
        np.testing.assert_array_equal(border.fixed_region, region)

    def test_what_it_is_compared_with_lies_at_the_edges_too(self):
        border, images = ARTEFACT_KINDS["border"](FRAME, width=2, opacity=0.8), random_images(2, FRAME)
        controls, _ = border.controls({}, seed=0)
        assert set(controls) == {"inverted tone", "veil"}
        edits = [*itertools.chain.from_iterable(controls.values()), *border.innocents(3, seed=0)]
        for edited in (edit(images) for edit in edits):
            np.testing.assert_array_equal(edited[:, 2:-2, 2:-2], images[:, 2:-2, 2:-2])
            assert (edited[:, :2] != images[:, :2]).all()

    @pytest.mark.parametrize("width", [8, 0.5])
    def test_leaves_something_of_the_image(self, width):
        with pytest.raises(OptionError, match=r"width: got .*, which is 8 pixels at each edge"):
            ARTEFACT_KINDS["border"](FRAME, width=width)


def test_a_vignette_darkens_corners_most_and_the_middle_hardly():
    frame = (31, 41, 1)
    alpha = ARTEFACT_KINDS["vignette"](frame, strength=0.5).alpha
    assert alpha[0, 0] == alpha[-1, -1] == alpha.max() == pytest.approx(0.5)
    assert alpha[15, 20] == 0
    assert (np.diff(alpha[15, 20:]) > 0).all()


class TestVariants:
    def test_mirroring_twice_gives_the_artefact_back(self):
        overlay = patch()
        black = np.zeros((1, *FRAME), np.float32)
        left, top, right, bottom = overlay.box
        mirrored = overlay.variants({})["mirrored"](black)[0, top:bottom, left:right]
        np.testing.assert_array_equal(mirrored[:, ::-1], overlay.insert(black)[0, top:bottom, left:right])

    def test_the_moved_artefact_is_the_same_elsewhere(self):
        overlay = patch()
        black = np.zeros((1, *FRAME), np.float32)
        moved = overlay.variants({})["moved"](black)
        np.testing.assert_allclose(moved.sum(), overlay.insert(black).sum(), rtol=1e-6)
        assert not (moved[0, ..., 0].astype(bool) & overlay.fixed_region).any()

    def test_a_central_artefact_has_no_other_place(self):
        assert "moved" not in patch(corner=(6, 7)).variants({})

    def test_a_symmetric_artefact_has_no_mirror_image(self):
        assert set(square().variants({})) == {"half opacity", "moved"}


def count_pixels(appearance: Appearance) -> int:
    assert appearance.fixed_region is not None
    return int(appearance.fixed_region.sum())


class TestNeighbours:
    @pytest.mark.parametrize("corner", [(2, 3), (0, 0), (12, 14), (6, 7), (0, 7)])
    def test_are_the_same_artefact_elsewhere_or_of_another_size(self, corner):
        overlay = patch(corner=corner)
        whole = count_pixels(overlay)
        neighbours = overlay.neighbours()
        assert len(neighbours) > 8
        for name, look in neighbours.items():
            factor = float(name.split(" ")[0]) ** 2 if name.endswith("of its size") else 1
            assert count_pixels(look) == pytest.approx(whole * factor, rel=0.2 if factor != 1 else 0)
            assert look.opacity == pytest.approx(overlay.opacity, rel=0.3 if factor != 1 else 1e-6)

    def test_are_all_different_and_none_is_the_artefact(self):
        images = random_images(1, FRAME)
        seen = [patch().insert(images), *(look.insert(images) for look in patch().neighbours().values())]
        for first, second in itertools.combinations(seen, 2):
            assert np.abs(first - second).max() > 1e-3

    def test_of_a_corner_are_the_other_corners_and_of_the_middle_none(self):
        corners = {"upper left corner", "upper right corner", "lower left corner", "lower right corner"}
        assert corners & set(patch(corner=(0, 14)).neighbours()) == corners - {"upper right corner"}
        assert corners & set(patch(corner=(6, 7)).neighbours()) == set()
        top, left = np.argwhere(patch(corner=(1, 2)).neighbours()["lower right corner"].fixed_region)[0]
        assert (top, left) == (16 - 4 - 1, 20 - 6 - 2)

    def test_one_pixel_off_is_one_of_them(self):
        overlay = patch()
        moved = overlay.neighbours()["1 px down right"]
        images = random_images(1, FRAME)
        np.testing.assert_array_equal(moved.insert(images), overlay.shifted((1, 1)).insert(images))

    def test_steps_grow_with_the_frame(self):
        large = ARTEFACT_KINDS["box"]((100, 200, 1), size=(10, 10), position=(40, 50))
        names = {name for name in large.neighbours() if " px " in name}
        assert {name.split(" ")[0] for name in names} == {"2", "6"}

    def test_what_covers_the_frame_has_none(self):
        assert ARTEFACT_KINDS["lightness"](FRAME).neighbours() == {}

    @pytest.mark.parametrize("size", [(20, 3), (1, 1), (19, 16)])
    def test_never_leave_the_frame(self, size):
        box = ARTEFACT_KINDS["box"](FRAME, size=size)
        for name, look in box.neighbours().items():
            if not name.endswith("of its size"):
                assert count_pixels(look) == size[0] * size[1]


class TestText:
    def test_a_sign_that_the_font_lacks_is_refused(self):
        with pytest.raises(OptionError, match="has no sign for '中文'"):
            ARTEFACT_KINDS["text"]((40, 60, 3), text="a中文", size=12)
