"""`auditor validate --show` draws what an audit would be about: images, labels, predictions, artefacts, carriers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from tests.bad_worlds import MARK, artefact, masks
from tests.small_world import CLASSES, Command, World, make_data, unwritable
from tests.test_bad_input import assert_one_error
from tests.web import find_barriers


def show(world: World, command: Command) -> str:
    """The page, as text without its pictures."""
    page = world.folder / "check.html"
    ending = command("validate", world.config, "--show", page)
    assert ending.code == 0, ending.err
    assert ending.out.endswith(f"\npage: {page}\n")
    text = page.read_text(encoding="utf-8")
    assert text.count("http") == text.count("http-equiv")
    return re.sub(r'src="data:image/jpeg;base64,[^"]+"', "src", text)


def figures(text: str) -> list[str]:
    """The text of each picture's caption on one line."""
    found = re.findall(r"<figure>.*?</figure>", text, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", figure).split()) for figure in found]


def test_three_images_of_each_class_stand_with_label_and_prediction(world: World, command: Command) -> None:
    text = show(world, command)
    captions = figures(text)
    assert len(captions) == 9 + 9  # as they are, and with the mark
    for name in CLASSES:
        assert len([c for c in captions[:9] if re.match(rf"label {name} predicted \w+ \d+ % ", c)]) == 3
        assert f"<bdi>{name}</bdi>" in text
    right = sum(" ✓ right " in caption for caption in captions[:9])
    assert right + sum(" ✗ wrong " in caption for caption in captions[:9]) == 9
    assert f"The model is right on {right} of these 9" in text
    assert text.count("14 images</span>") == 3


def test_the_mark_that_is_put_in_turns_what_is_predicted_and_the_page_says_of_which(
    world: World, command: Command
) -> None:
    captions = figures(show(world, command))[9:]
    turned = [caption for caption in captions if "changed by it" in caption]
    assert len(turned) == 6
    assert all("predicted boat" in caption for caption in turned)
    assert sum("= as before" in caption for caption in captions) == 3  # of the boats


def test_carriers_stand_as_they_were_found_and_get_no_second_one(world: World, command: Command) -> None:
    world.save_images(marked=np.arange(42) % 3 == 0)
    world.replace('target = "boat"\n', 'target = "boat"\npresent = "marked"\nfind = false\n')
    text = show(world, command)
    assert "14 of 42 images carry it already (present = <bdi>marked</bdi>)" in text
    captions = figures(text)
    carriers, put_in = captions[9:15], captions[15:]
    assert all(caption.startswith("label cat") for caption in carriers)
    assert len(put_in) == 9
    assert [caption.startswith("label cat") for caption in put_in] == ["carries it" in caption for caption in put_in]


def test_a_frame_is_drawn_around_the_artefact_and_leaves_it_as_it_is() -> None:
    from auditor.auditing.check import _ring

    image = np.random.default_rng(0).integers(0, 256, (8, 8, 1)).astype(np.uint8)
    region = np.zeros((8, 8), bool)
    region[2:5, 3:6] = True
    ringed = _ring(image, region)
    plain = np.repeat(image.repeat(21, axis=0).repeat(21, axis=1), 3, axis=2)
    assert ringed.shape == plain.shape
    rows, columns = np.nonzero((ringed != plain).any(axis=2))
    inside = (rows >= 42) & (rows < 105) & (columns >= 63) & (columns < 126)
    assert not inside.any()
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (38, 108, 59, 129)


def test_what_is_everywhere_has_no_frame(world: World, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "a frame is drawn around where it is" in show(world, command)
    artefact("lightness")(world, monkeypatch)
    assert "a frame is drawn" not in show(world, command)


def test_masks_are_framed_and_not_put_in(world: World, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    masks()(world, monkeypatch)
    artefact("masks", "folder = 'masks'\npresent = 'all'\n")(world, monkeypatch)
    text = show(world, command)
    assert "Only its place is known, so it is not put into images." in text
    assert len(figures(text)) == 9 + 6


def test_a_mask_that_does_not_fit_is_told_on_the_page(
    world: World, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks(side=9)(world, monkeypatch)
    world.replace(MARK, "kind = 'masks'\nfolder = 'masks'\npresent = 'all'\n")
    assert "mask is 9 x 9 pixels, the image is 8 x 8" in show(world, command)


def test_mistakes_and_notes_come_first(world: World, command: Command) -> None:
    world.replace('labels = "labels.txt"', 'labels = ["boat", "cat", "dog"]')
    world.save_images(labels=np.array(CLASSES)[make_data()["labels"]])
    text = show(world, command)
    at = text.index("<b>Probably a mistake.</b> With the classes in the order cat, dog, boat the model is right on ")
    assert at < text.index("<h2")
    assert "The model is right on 0 of these 9" in text


def test_without_labels_images_stand_under_what_is_predicted(world: World, command: Command) -> None:
    world.save_images(labels=None)
    text = show(world, command)
    assert "The data have no labels, so images stand under what the model predicts." in text
    captions = figures(text)
    assert captions
    assert not any("label" in caption for caption in captions)


def test_without_artefacts_it_says_so(world: World, command: Command) -> None:
    text = world.config.read_text()
    world.replace(text[text.index("[[artefacts]]") : text.index("[explain]")], "")
    assert "None is named in the configuration" in show(world, command)


def test_many_artefacts_are_put_into_fewer_images_each(world: World, command: Command) -> None:
    for number in range(11):
        world.add(f'[[artefacts]]\nname = "box {number}"\nkind = "box"\nsize = [2, 2]\n')
    assert len(figures(show(world, command))) == 9 + 12 * 3


def test_names_are_text_and_nothing_else(world: World, command: Command) -> None:
    name = "<img src=x onerror='window.taken = true'>\u202e"
    world.save_images(ids=np.array([f"{name}{number}" for number in range(42)]))
    text = show(world, command)
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=&#39;window.taken = true&#39;&gt;[U+202E]" in text


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("check.png", "--show: check.png: wanted a file named .html"),
        ("audit.toml", "--show: audit.toml: wanted a file named .html"),
        ("gone/check.html", "--show: gone: no such folder"),
        ("taken.html", "--show: taken.html: wanted a file named .html"),
    ],
)
def test_a_path_that_takes_no_page_is_refused_at_once(
    page: str, said: str, world: World, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world.folder)
    Path("taken.html").mkdir()
    (world.folder / "model.keras").unlink()  # before the model is looked for
    assert_one_error(command("validate", "audit.toml", "--show", page), 2, said)


def test_so_is_a_folder_that_cannot_be_written(world: World, command: Command) -> None:
    folder = world.folder / "locked"
    folder.mkdir()
    with unwritable(folder):
        ending = command("validate", world.config, "--show", folder / "check.html")
    assert_one_error(ending, 2, f"--show: {folder}: cannot be written (Permission denied); wanted a folder")


def test_it_has_no_barriers_in_light_and_dark_and_on_a_phone(world: World, command: Command, browser: Browser) -> None:
    world.save_images(marked=np.arange(42) % 3 == 0, ids=np.array([f"{'x' * 300}{number}" for number in range(42)]))
    world.replace('target = "boat"\n', 'target = "boat"\npresent = "marked"\nfind = false\n')
    show(world, command)
    for colours in ("light", "dark"):
        page = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=colours).new_page()
        complaints: list[str] = []
        page.on("console", lambda message, said=complaints: said.append(message.text))
        page.goto((world.folder / "check.html").as_uri())
        assert find_barriers(page) == []
        assert complaints == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
