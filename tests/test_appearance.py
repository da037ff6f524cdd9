"""An artefact that is no overlay fits wherever one does: it need only say what it does to an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image

from auditor.artefacts.appearance import Appearance, Edit, Frame, Randoms
from auditor.artefacts.describe import describe_artefact
from auditor.artefacts.edits import remove
from auditor.artefacts.kinds import ARTEFACT_KINDS, Artefact
from auditor.artefacts.masks import Masks
from auditor.artefacts.varied import Place
from auditor.measure.arrays import Bools, Floats
from auditor.measure.ledger import NewArrays
from auditor.measure.measurement import Note
from tests.closed_form import random_images
from tests.small_world import World
from tests.test_kinds import audit

SHAPE = (8, 8, 1)
IDS = [f"image {number}" for number in range(6)]


@dataclass(frozen=True)
class Tint:
    """Darkens the whole image, each by its own share: no region, no ink, and nothing to take out exactly."""

    most: float = 0.5
    can_insert: bool = True
    can_remove: bool = False
    fixed_region: Bools | None = None
    opacity: float | None = None
    given: Mapping[str, Appearance] = field(default_factory=dict)

    def insert(self, images: Floats, randoms: Randoms = ()) -> Floats:
        shares = [1 - self.most * random.random(dtype=np.float32) for random in randoms]
        return images * np.array(shares, np.float32)[:, None, None, None]

    def remove(self, images: Floats, shift: tuple[int, int] = (0, 0)) -> Floats:
        raise AssertionError("asked of what cannot be taken out")

    def region(self, image_id: str, frame: Frame, random: np.random.Generator) -> Bools:
        return np.ones(frame[:2], bool)

    def controls(self, given: Mapping[str, Appearance], seed: int) -> tuple[dict[str, list[Edit]], list[Note]]:
        return {"brighter": [lambda images, randoms=(): 1 - self.insert(1 - images, randoms)]}, []

    def innocents(self, count: int, seed: int) -> list[Edit]:
        return []

    def variants(self, given: Mapping[str, Appearance]) -> dict[str, Edit]:
        return {"half": Tint(self.most / 2).insert}

    def doses(self) -> dict[float, Edit]:
        return {}

    def neighbours(self) -> dict[str, Appearance]:
        return {}


def make_tint(frame: Frame, *, most: float = 0.5) -> Tint:
    """For `kind = "tests.test_appearance:make_tint"`."""
    return Tint(most)


def tinted(seed: int = 0) -> Artefact:
    return Artefact("tint", "tint", Tint(), 0, "none", np.zeros(1, bool), seed=seed)


def test_every_kind_of_the_table_is_an_appearance(tmp_path) -> None:
    Image.new("RGBA", (2, 2), "red").save(tmp_path / "tag.png")
    options = {
        "overlay": {"image": tmp_path / "tag.png"},
        "box": {"size": (2, 2)},
        "text": {"text": "1", "size": 6},
        "border": {"width": 1},
        "crop": {"box": (0, 0, 4, 4)},
        "masks": {"folder": tmp_path},
        "background": {"folder": tmp_path},
        "together": {"parts": ("one", "other")},
    }
    for kind, function in ARTEFACT_KINDS.items():
        frame = (8, 8, 3) if kind in ("hue", "saturation") else SHAPE
        assert isinstance(function(frame, **options.get(kind, {})), Appearance), kind
    assert isinstance(Tint(), Appearance)


def test_what_varies_depends_on_the_image_alone() -> None:
    images = random_images(6, SHAPE)
    whole = tinted().insert(images, IDS)
    order = np.array([3, 0, 5])
    np.testing.assert_array_equal(tinted().insert(images[order], [IDS[at] for at in order]), whole[order])
    assert not np.array_equal(tinted(seed=1).insert(images, IDS), whole)


def test_every_edit_of_an_image_draws_the_same() -> None:
    artefact, images = tinted(), np.ones((6, *SHAPE), np.float32)
    randoms = artefact.randoms(IDS)
    half = artefact.appearance.variants({})["half"](images, randoms)
    np.testing.assert_allclose(1 - half, (1 - artefact.insert(images, IDS)) / 2, atol=1e-6)


def test_what_cannot_be_computed_is_filled_in() -> None:
    image, mask = random_images(1, SHAPE)[0], np.zeros(SHAPE[:2], bool)
    mask[1:3, 1:3] = True
    for appearance in (Tint(), Masks()):
        assert set(remove(image, mask, ("mean", "blur"), appearance)) == {"mean", "blur"}


def test_its_record_tells_what_it_has() -> None:
    arrays = NewArrays()
    record = describe_artefact(tinted(), SHAPE, ("cat", "dog"), picture="tint", arrays=arrays)
    assert (record.coverage, record.box, record.opacity) == (None, None, None)
    assert arrays[record.picture].shape == SHAPE
    assert (record.removable, record.within, record.found, record.parts) == (False, None, None, ())


def test_its_record_tells_where_it_may_lie_and_in_how_many_carriers_it_was_found() -> None:
    look = ARTEFACT_KINDS["box"](SHAPE, size=(2, 2), place=Place(within=(0.5, 0, 8, 4)))
    artefact = Artefact("box", "box", look, 0, "all", np.ones(9, bool), found=(7, 9))
    record = describe_artefact(artefact, SHAPE, ("cat", "dog"), picture="box", arrays=NewArrays())
    assert (record.removable, record.within) == (False, (4, 0, 8, 4))
    assert (record.found, record.looked_at) == (7, 9)


def test_the_picture_of_an_edit_shows_what_grey_would_not() -> None:
    arrays, frame = NewArrays(), (16, 16, 3)
    for kind in ("blur", "flip", "contrast"):
        artefact = Artefact(kind, kind, ARTEFACT_KINDS[kind](frame), 0, "none", np.zeros(1, bool))
        record = describe_artefact(artefact, frame, ("cat", "dog"), picture=kind, arrays=arrays)
        assert record.removable == (kind == "flip")
    assert len({arrays[kind].tobytes() for kind in ("blur", "flip", "contrast")}) == 3
    assert all(np.ptp(arrays[kind]) > 50 for kind in ("blur", "flip", "contrast"))


@pytest.mark.parametrize("target", ['target = "boat"', ""])
def test_a_users_own_is_audited_like_an_overlay(world: World, target: str) -> None:
    world.replace('kind = "overlay"\nimage = "mark.png"\nposition = [5, 5]', 'kind = "tests.test_appearance:make_tint"')
    world.replace('target = "boat"', target)
    result = audit(world)
    (finding,) = result.findings
    assert finding.verdict in ("no_evidence", "inconclusive", "relies")
    assert finding.basis == "insertion"
    assert set(finding.controls) == {"brighter"}
    assert set(finding.variants) == {"half"}
    assert finding.dose_response == []
    assert all(entry.scores == {} for entry in result.region_scores)
    assert [method.name for method in result.methods if method.status == "error"] == []


def test_pictures_cannot_stand_for_what_has_no_place(world: World) -> None:
    world.replace(
        'kind = "overlay"\nimage = "mark.png"\nposition = [5, 5]',
        'kind = "tests.test_appearance:make_tint"\ncontrols = ["mark.png"]',
    )
    with pytest.raises(Exception, match="has no one place to put pictures at; leave it out"):
        audit(world)
