"""An artefact is found where it is, in the size that it has, and not where it is not; and taken out there."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from auditor.artefacts.artefact import Artefact
from auditor.artefacts.kinds import ARTEFACT_KINDS, look_for
from auditor.artefacts.locating import Finder, TooFaintError, finder_of
from auditor.artefacts.overlay import Overlay
from auditor.artefacts.showing import fit, has_place
from auditor.artefacts.together import Together
from auditor.artefacts.varied import Place, Varied
from auditor.errors import OptionError
from auditor.measure.arrays import Bools, Floats
from tests.closed_form import linear, memory_dataset
from tests.test_trial import observe

FRAME = (24, 24, 1)


def noise(count: int, seed: int = 0) -> Floats:
    values = 0.5 + 0.15 * np.random.default_rng(seed).standard_normal((count, *FRAME))
    return np.clip(values, 0, 1).astype(np.float32)


def smooth(count: int, seed: int = 0) -> Floats:
    field = gaussian_filter(np.random.default_rng(seed).standard_normal((count, *FRAME)), (0, 2, 2, 0))
    return np.clip(0.5 + 0.2 * field / field.std(), 0, 1).astype(np.float32)


def tag(opacity: float = 0.9, at: tuple[int, int] = (16, 15)) -> Overlay:
    """Six pixels a side, of random black and white."""
    alpha, ink = np.zeros(FRAME[:2], np.float32), np.zeros(FRAME, np.float32)
    place = np.s_[at[0] : at[0] + 6, at[1] : at[1] + 6]
    alpha[place], ink[place] = opacity, np.random.default_rng(7).integers(0, 2, (6, 6, 1))
    return Overlay(alpha, ink)


def settled(look: Overlay, images: Floats) -> Finder:
    finder = finder_of(look)
    assert finder is not None
    return finder.settled(look, images, images[:0], np.random.default_rng(0))


@pytest.mark.parametrize("world", [noise, smooth])
class TestFinder:
    def test_finds_what_is_there_at_its_place_and_moved(self, world) -> None:
        finder, images = settled(tag(), world(24)), world(30, seed=1)
        for shift in ((0, 0), (-1, 0), (-9, -12), (2, 3)):
            found = [finder.find(image) for image in tag().shifted(shift).insert(images)]
            right = [each is not None and each.offset == shift and each.is_exact for each in found]
            assert np.mean(right) >= 0.9

    def test_does_not_find_what_is_not_there(self, world) -> None:
        finder = settled(tag(), world(24))
        # the largest of one image exceeds the bar in 0.3 %; that 24 images set it makes that a few per cent at worst
        assert sum(finder.find(image) is not None for image in world(60, seed=1)) <= 6

    def test_finds_it_in_another_size_and_says_that_it_is_not_the_same(self, world) -> None:
        finder, larger = settled(tag(), world(24)), tag().resized(1.25)
        found = [finder.find(image) for image in larger.insert(world(30, seed=1))]
        sizes = [each.look.box[2] - each.look.box[0] for each in found if each is not None and not each.is_exact]
        assert len(sizes) >= 24
        assert np.median(sizes) == larger.box[2] - larger.box[0]

    def test_what_is_too_faint_is_not_looked_for(self, world) -> None:
        box = ARTEFACT_KINDS["box"](FRAME, size=(6, 6), position=(3, 3), colour="grey", opacity=0.05)
        with pytest.raises(TooFaintError):
            settled(box, world(24))

    def test_carriers_alone_set_the_bar_where_all_images_carry_it(self, world) -> None:
        finder = finder_of(tag())
        carriers = tag().insert(world(24))
        alone = finder.settled(tag(), carriers[:0], carriers, np.random.default_rng(0))
        assert all(alone.find(image) is not None for image in carriers)
        assert sum(alone.find(image) is not None for image in world(60, seed=1)) <= 6

    def test_what_varies_is_found_wherever_it_is(self, world) -> None:
        place = Place(within=(0, 0, 24, 24), scale=(0.9, 1.3))
        artefact = ARTEFACT_KINDS["text"](FRAME, text="X7", size=9, place=place)
        assert isinstance(artefact, Varied)
        images = world(30, seed=1)
        finder = finder_of(artefact).settled(artefact, world(24), images[:0], np.random.default_rng(0))
        near = 0
        for number, image in enumerate(images):
            drawn = artefact.drawn(np.random.default_rng(number))
            found = finder.find(drawn.insert(image[None])[0])
            near += found is not None and np.abs(np.subtract(found.look.box, drawn.box)).max() <= 2
        assert near >= 24


def test_what_fills_the_frame_has_no_place_to_be_found_at() -> None:
    for kind in ("lightness", "vignette", "blur", "flip"):
        assert finder_of(ARTEFACT_KINDS[kind](FRAME)) is None
    assert finder_of(ARTEFACT_KINDS["border"](FRAME, width=2)) is None


class TestFit:
    """How much of it images show where it is named."""

    def share(self, images: Floats, look: Overlay, place: int = 0) -> float:
        likeness, energy, *_ = fit(images, look)
        return float(likeness[:, place].mean() / energy.mean())

    @pytest.mark.parametrize("opacity", [0.05, 0.3, 0.9])
    @pytest.mark.parametrize("at", [(16, 15), (0, 0), (18, 18)])
    def test_is_all_of_it_on_plain_images_and_nothing_where_it_is_not(self, opacity, at) -> None:
        plain = np.full((3, *FRAME), 0.4, np.float32)
        # the mean colour of images that carry it is a little off that of what they show else
        assert self.share(tag(opacity, at).insert(plain), tag(opacity, at)) == pytest.approx(1, abs=0.05)
        assert self.share(plain, tag(opacity, at)) == pytest.approx(0, abs=1e-6)

    @pytest.mark.parametrize("world", [noise, smooth])
    def test_is_known_of_many_images_where_in_one_it_drowns(self, world) -> None:
        look, images = tag(0.1), world(300, seed=1)
        likeness, energy, *_ = fit(look.insert(images), look)
        assert np.std(likeness[:, 0] / energy) > 0.1
        assert self.share(look.insert(images), look) == pytest.approx(1, abs=0.15)
        assert self.share(images, look) == pytest.approx(0, abs=0.15)

    def test_a_pixel_beside_it_there_is_more_of_it_than_where_it_is_named(self) -> None:
        images = tag(0.3).shifted((-1, 0)).insert(noise(200))
        likeness, energy, *_ = fit(images, tag(0.3))
        assert likeness.shape == (200, 17)
        assert (likeness.mean(axis=0) / energy.mean()).max() == pytest.approx(1, abs=0.1)
        assert self.share(images, tag(0.3)) < 0.5

    def test_what_fills_the_frame_or_varies_has_no_place(self) -> None:
        assert has_place(tag())
        assert has_place(Together((tag(), tag(at=(2, 2))), ("a", "b")))
        whole = [ARTEFACT_KINDS[kind](FRAME) for kind in ("lightness", "blur", "tint")]
        varied = ARTEFACT_KINDS["text"](FRAME, text="X7", size=9, place=Place(within=(0, 0, 24, 24)))
        assert not any(has_place(look) for look in (*whole, varied))


def looked_for(images: Floats, carriers: Bools, look: Overlay) -> Artefact:
    dataset = memory_dataset(linear(shape=FRAME), images)
    return look_for(Artefact("tag", "overlay", look, None, "column", carriers), dataset)


class TestCarriers:
    """Of sixty images the first thirty carry the tag, elsewhere than where it is named."""

    carriers = np.arange(60) < 30

    def images(self, shift: tuple[int, int], missing: int = 0) -> Floats:
        images = noise(60)
        images[missing:30] = tag().shifted(shift).insert(images[missing:30])
        return images

    def test_a_tag_that_is_elsewhere_is_taken_out_where_it_is(self) -> None:
        classifier, clean, carried = linear(shape=FRAME), noise(60), self.images((-1, 2))
        artefact = looked_for(carried, self.carriers, tag())
        assert artefact.found == (24, 24)
        _, observed = observe(classifier, carried, tag(), self.carriers, artefact=artefact)
        removals = observed.removals
        assert removals.found.all()
        np.testing.assert_array_equal(removals.offset, np.broadcast_to([-1, 2], (30, 2)))
        expected = classifier.scores(carried[:30]) - classifier.scores(clean[:30])
        # what lies under an opacity of .9 is known to a tenth of the rounding of its composite
        np.testing.assert_allclose(removals.fall["exact"], expected, atol=1e-2)

    def test_its_region_is_where_a_carrier_shows_it_and_elsewhere_where_it_is_put(self) -> None:
        carried = self.images((-1, 2))
        artefact = looked_for(carried, self.carriers, tag())
        for position, shift in ((3, (-1, 2)), (40, (0, 0))):
            region = artefact.region_at(position, f"image {position}", carried[position])
            np.testing.assert_array_equal(region, tag().shifted(shift).fixed_region)

    def test_where_it_is_not_found_nothing_is_called_exact(self) -> None:
        carried = self.images((0, 0), missing=10)
        artefact = looked_for(carried, self.carriers, tag())
        _, observed = observe(linear(shape=FRAME), carried, tag(), self.carriers, artefact=artefact)
        found = observed.removals.found
        assert found[10:].all()
        assert found[:10].sum() <= 2
        assert np.isnan(observed.removals.fall["exact"][~found]).all()
        assert np.isfinite(observed.removals.fall["exact"][10:]).all()
        assert np.isfinite(observed.removals.fall["blur"]).all()
        assert any(note.kind == "not found" for note in observed.notes)

    def test_a_tag_that_is_nowhere_is_an_error(self) -> None:
        with pytest.raises(OptionError, match="found in none of 24 images that are said to carry it"):
            looked_for(noise(60), self.carriers, tag())

    def test_a_faint_one_is_taken_out_where_it_is_named(self) -> None:
        look = ARTEFACT_KINDS["box"](FRAME, size=(6, 6), position=(3, 3), colour="grey", opacity=0.05)
        artefact = looked_for(noise(60), self.carriers, look)
        assert artefact.finder is None
        assert [note.kind for note in artefact.notes] == ["not looked for"]
