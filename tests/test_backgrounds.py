"""A background is replaced where masks say so, and the object stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from auditor.artefacts.backgrounds import Background
from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.measure.arrays import Bools
from auditor.measure.seeds import KeyedGenerators
from tests.closed_form import random_images
from tests.small_world import SIDE, World, make_data
from tests.test_kinds import audit

FRAME = (10, 12, 3)
IDS = ["a", "b", "c"]
RANDOMS = KeyedGenerators(0, "artefact", IDS)


def object_of(number: int) -> Bools:
    covered = np.zeros(FRAME[:2], bool)
    covered[2:6, 2 + number : 7 + number] = True
    return covered


@pytest.fixture
def ground(tmp_path: Path) -> Background:
    for number, name in enumerate(IDS):
        Image.fromarray(255 * object_of(number).astype(np.uint8)).save(tmp_path / f"{name}.png")
    picture = np.random.default_rng(0).integers(0, 256, FRAME).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "beach.jpg", quality=95)
    made = ARTEFACT_KINDS["background"](FRAME, picture=tmp_path / "beach.jpg", folder=tmp_path)
    assert isinstance(made, Background)
    return made


def test_every_edit_leaves_the_object_as_it_is_and_replaces_all_else(ground: Background) -> None:
    images = random_images(3, FRAME)
    edits = [ground.insert, *ground.variants({}).values(), *ground.doses().values(), *ground.innocents(2, 0)]
    edits += [draws[0] for draws in ground.controls({}, 0)[0].values()]
    for edit in edits:
        edited = edit(images, RANDOMS)
        assert (edited.shape, edited.dtype) == (images.shape, np.float32)
        for number in range(3):
            inside = object_of(number)
            np.testing.assert_array_equal(edited[number][inside], images[number][inside])
            assert (edited[number][~inside] != images[number][~inside]).any(axis=1).mean() > 0.9


def test_the_picture_itself_stands_behind_the_object(ground: Background) -> None:
    edited = ground.insert(random_images(3, FRAME), RANDOMS)
    for number, name in enumerate(IDS):
        region = ground.region(name, FRAME)
        np.testing.assert_array_equal(region, ~object_of(number))
        np.testing.assert_array_equal(edited[number][region], ground.ground[region])


def test_a_plain_colour_has_no_scrambled_control(tmp_path: Path) -> None:
    plain = ARTEFACT_KINDS["background"](FRAME, colour="green", folder=tmp_path)
    controls, notes = plain.controls({}, 0)
    assert set(controls) == {"inverted tone", "blurred"}
    assert len(notes) == 2


def test_the_blurred_control_never_looks_at_the_object(ground: Background) -> None:
    images = random_images(3, FRAME)
    (blurred,) = ground.controls({}, 0)[0]["blurred"]
    other = np.where(np.stack([object_of(number) for number in range(3)])[..., None], 1 - images, images)
    outside = ~np.stack([object_of(number) for number in range(3)])
    first, second = blurred(images, RANDOMS), blurred(other.astype(np.float32), RANDOMS)
    np.testing.assert_allclose(first[outside], second[outside], atol=1e-6)


def test_it_goes_through_an_audit_with_pictures_as_controls(world: World) -> None:
    folder = world.folder / "masks"
    folder.mkdir()
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:5] = 255
    for name in make_data()["ids"]:
        Image.fromarray(mask).save(folder / f"{name}.png")
    world.replace(
        'kind = "overlay"\nimage = "mark.png"\nposition = [5, 5]',
        'kind = "background"\nfolder = "masks"\ncolour = "white"\ncontrols = ["mark.png"]',
    )
    (finding,) = audit(world).findings
    assert finding.measurements["theta"].value is not None
    assert {"mark", "inverted tone", "blurred"} <= set(finding.controls)
