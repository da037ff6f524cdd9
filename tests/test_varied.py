"""What varies is drawn from the generator of each image, and all that it is compared with lies there too."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from auditor.artefacts.appearance import Appearance, box_of
from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.artefacts.overlay import Overlay
from auditor.artefacts.varied import Place, Varied, turned
from auditor.errors import OptionError
from auditor.measure.seeds import KeyedGenerators
from tests.closed_form import random_images
from tests.small_world import World
from tests.test_kinds import audit

FRAME = (24, 30, 3)
IDS = [f"image {number}" for number in range(40)]
RANDOMS = KeyedGenerators(0, "artefact", IDS)
IMAGES = random_images(40, FRAME)


def varied(kind: str = "box", **options: object) -> Varied:
    made = ARTEFACT_KINDS[kind](FRAME, **({"size": (6, 4)} if kind == "box" else {}) | options)
    assert isinstance(made, Varied)
    return made


def boxes(artefact: Varied) -> np.ndarray:
    """Left, top, right and bottom in every image, (40, 4)."""
    return np.array([box_of(artefact.drawn(random).fixed_region) for random in RANDOMS])


@pytest.fixture
def tags(tmp_path: Path) -> tuple[Path, ...]:
    files = tuple(tmp_path / f"tag{number}.png" for number in range(3))
    random = np.random.default_rng(0)
    for number, file in enumerate(files):
        pixels = random.integers(0, 256, (4 + number, 6, 4)).astype(np.uint8)
        pixels[..., 3] = 255
        Image.fromarray(pixels).save(file)
    return files


def test_it_lies_within_the_place_and_all_over_it() -> None:
    found = boxes(varied(place=Place(within=(5, 2, 25, 20))))
    np.testing.assert_array_equal(found[:, 2:] - found[:, :2], np.broadcast_to([6, 4], (40, 2)))
    assert found[:, 0].min() >= 5
    assert found[:, 1].min() >= 2
    assert found[:, 2].max() <= 25
    assert found[:, 3].max() <= 20
    # of 15 places across, 40 even draws leave out the five at an end in one of ten million
    assert found[:, 0].min() < 10
    assert found[:, 0].max() > 14


def test_fractions_are_of_the_frame() -> None:
    pixels, shares = (boxes(varied(place=Place(within=each))) for each in ((15, 12, 30, 24), (0.5, 0.5, 1.0, 1.0)))
    np.testing.assert_array_equal(pixels, shares)


def test_size_rotation_and_opacity_lie_between_their_ends() -> None:
    sizes = boxes(varied(place=Place(within=(0, 0, 30, 24), scale=(0.5, 2.0))))
    wide = sizes[:, 2] - sizes[:, 0]
    assert 3 <= wide.min() < 6 < wide.max() <= 12
    turns = boxes(varied(place=Place(rotation=(90, 90)), position=(10, 10)))
    assert ((turns[:, 3] - turns[:, 1]) >= 6).all()
    assert ((turns[:, 2] - turns[:, 0]) < 6).all()
    opacities = [
        varied(place=Place(opacity=(0.5, 1.0)), opacity=0.8, position=(3, 3)).drawn(random).opacity
        for random in RANDOMS
    ]
    assert 0.4 <= min(opacities) < 0.6 < max(opacities) <= 0.8


def test_without_a_rectangle_it_stays_about_its_own_middle() -> None:
    artefact = varied(place=Place(scale=(0.5, 1.5)), position=(8, 6))
    found = boxes(artefact)
    np.testing.assert_allclose((found[:, 0] + found[:, 2]) / 2, 11, atol=0.5)
    np.testing.assert_allclose((found[:, 1] + found[:, 3]) / 2, 8, atol=0.5)


def test_each_image_has_one_of_the_examples(tags: tuple[Path, ...]) -> None:
    artefact = varied("overlay", examples=tags, position=(4, 4))
    inserted = artefact.insert(IMAGES, RANDOMS)
    alone = [ARTEFACT_KINDS["overlay"](FRAME, image=tag, position=(4, 4)).insert(IMAGES) for tag in tags[:1]]
    first = [number for number in range(40) if np.array_equal(inserted[number], alone[0][number])]
    assert 4 <= len(first) <= 25  # a third of 40, give or take three standard deviations
    assert len({tuple(box) for box in boxes(artefact)}) == 3


def test_a_pattern_is_written_anew_on_every_image() -> None:
    dated = varied("text", text="%Y-##", vary=True, size=7, position=(1, 1))
    inks = {dated.drawn(random).alpha.tobytes() for random in RANDOMS}
    assert len(inks) > 35  # of three thousand
    literal = ARTEFACT_KINDS["text"](FRAME, text="%Y", size=7)
    assert isinstance(literal, Overlay)


def test_every_edit_of_an_image_lies_where_the_artefact_does(tags: tuple[Path, ...]) -> None:
    artefact = varied(
        "overlay", examples=tags, place=Place(within=(0, 0, 30, 24), scale=(0.8, 1.2), rotation=(-20, 20))
    )
    inserted = artefact.insert(IMAGES, RANDOMS)
    edits = [draws[0] for draws in artefact.controls({}, 0)[0].values()]
    assert len(edits) == 4
    edits += [*artefact.variants({}).values(), *artefact.doses().values(), *artefact.innocents(2, 0)]
    for edit in edits:
        edited = edit(IMAGES, RANDOMS)
        for number, (image, random) in enumerate(zip(IMAGES, RANDOMS, strict=True)):
            left, top, right, bottom = box_of(artefact.region(IDS[number], FRAME, random))
            outside = np.ones(FRAME[:2], bool)
            outside[top:bottom, left:right] = False
            np.testing.assert_array_equal(edited[number][outside], image[outside])
            np.testing.assert_array_equal(inserted[number][outside], image[outside])


def test_a_picture_of_the_users_lies_where_the_artefact_does() -> None:
    artefact = varied(place=Place(within=(0, 0, 30, 24), rotation=(-20, 20)), size=(6, 5))
    given = artefact.showing(np.ones((5, 6, 4), np.float32))
    (control,) = artefact.controls({"white": given}, 0)[0]["white"]
    black = np.zeros_like(IMAGES)
    for lit, random in zip(control(black, RANDOMS), RANDOMS, strict=True):
        np.testing.assert_array_equal(lit.any(axis=2), artefact.drawn(random).fixed_region)


def test_it_depends_on_the_image_and_the_seed_alone() -> None:
    artefact = varied(place=Place(within=(0, 0, 30, 24)))
    whole, order = artefact.insert(IMAGES, RANDOMS), [7, 2]
    some = KeyedGenerators(0, "artefact", [IDS[at] for at in order])
    np.testing.assert_array_equal(artefact.insert(IMAGES[order], some), whole[order])
    assert not np.array_equal(artefact.insert(IMAGES, KeyedGenerators(1, "artefact", IDS)), whole)


def test_a_quarter_turn_is_one() -> None:
    layer = np.random.default_rng(0).random((5, 7, 4)).astype(np.float32)
    np.testing.assert_allclose(turned(layer, 1.0, 90.0), np.rot90(layer), atol=1e-5)
    np.testing.assert_array_equal(turned(layer, 1.0, 0.0), layer)
    assert turned(layer, 2.0, 0.0).shape == (10, 14, 4)


def test_its_neighbours_lie_a_little_off_or_anywhere_or_are_of_another_size() -> None:
    artefact = varied(place=Place(within=(5, 2, 25, 20), scale=(1, 1.5)))
    neighbours = artefact.neighbours()
    for name, (down, across) in {"1 px up": (-1, 0), "2 px down right": (2, 2)}.items():
        np.testing.assert_array_equal(boxes(neighbours[name]) - boxes(artefact), [[across, down, across, down]] * 40)
    anywhere = boxes(neighbours["anywhere in the frame"])
    assert anywhere[:, 0].min() < 5
    assert anywhere[:, 2].max() > 25
    smaller, larger = (np.ptp(boxes(neighbours[f"{by} of its size"])[:, ::2], axis=1) for by in (0.8, 1.25))
    assert (smaller <= larger).all()
    assert smaller.mean() < larger.mean()


def test_neighbours_stay_in_the_frame_and_are_told_of_what_stands_about_its_own_middle() -> None:
    at_the_edge = varied(place=Place(within=(0, 0, 25, 20))).neighbours()
    assert "1 px left" not in at_the_edge
    assert "1 px right" in at_the_edge
    assert "anywhere in the frame" not in varied(place=Place(within=(0, 0, 30, 24))).neighbours()
    turning = varied(position=(10, 8), place=Place(rotation=(0, 0), scale=(0.9, 1.1)))
    assert "2 px up left" in turning.neighbours()


def test_it_is_an_appearance_without_a_fixed_place() -> None:
    artefact = varied(place=Place(within=(0, 0, 30, 24)))
    assert isinstance(artefact, Appearance)
    assert artefact.fixed_region is None
    assert artefact.opacity == 1
    assert not artefact.can_remove
    assert set(artefact.neighbours()) == {"0.8 of its size", "1.25 of its size"}  # it is all over the frame already


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"place": Place(within=(0, 0, 31, 24))},
            "place: got within = [0, 0, 31, 24], wanted left, top, right and bottom",
        ),
        ({"place": Place(within=(9, 9, 9, 20))}, "place: got within = [9, 9, 9, 20]"),
        ({"place": Place(within=(0, 0, 5, 24))}, "up to 6 x 4 pixels as it varies, and place.within of [0, 0, 5, 24]"),
        ({"place": Place(within=(0, 0, 9, 9), scale=(1, 2))}, "it is up to 12 x 8 pixels as it varies"),
        ({"place": Place(scale=(1, 2)), "position": (0, 0)}, "and the frame has room for 6 x 4"),
        ({"place": Place(within=(0, 0, 9, 9)), "position": (1, 1)}, "position: stands beside place.within"),
    ],
)
def test_a_place_without_room_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        varied(**options)


@pytest.mark.parametrize(
    "kind", ['kind = "box"\nsize = [3, 3]', 'kind = "overlay"\nexamples = ["mark.png", "mark.png"]']
)
def test_it_goes_through_an_audit(world: World, kind: str) -> None:
    place = "place = { within = [4, 4, 8, 8], opacity = [0.5, 1] }\ncontrols = ['mark.png']"
    world.replace('kind = "overlay"\nimage = "mark.png"\nposition = [5, 5]', f"{kind}\n{place}")
    (finding,) = audit(world).findings
    assert finding.measurements["theta"].value is not None
    assert "inverted tone" in finding.controls
