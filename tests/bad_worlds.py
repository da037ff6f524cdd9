"""Ways to spoil a small world: each returns a change of it, for the tables of the tests."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.small_world import World, make_data, make_model

Change = Callable[[World, pytest.MonkeyPatch], object]

MARK = 'kind = "overlay"\nimage = "mark.png"\nposition = [5, 5]\n'
MODEL = 'source = "model.keras"\n'
DATA = 'source = "images.npz"\n'
LABELS = 'labels = "labels.txt"\n'
TARGET = 'target = "boat"\n'


def text(old: str, new: str) -> Change:
    """Change the configuration."""
    return lambda world, _: world.replace(old, new)


def more(added: str) -> Change:
    """Append to the configuration."""
    return lambda world, _: world.add(added)


def artefact(kind: str, options: str = "") -> Change:
    """Test another artefact than the overlay."""
    return text(MARK, f'kind = "{kind}"\n{options}')


def user(old: str, new: str, module: str) -> Change:
    """Change the configuration and write the module `mine` that it then names."""
    return both(text(old, new), lambda world, patch: world.write_module(patch, module))


def stamp(body: str) -> Change:
    """The user's own kind of artefact."""
    return user(MARK, 'kind = "mine:stamp"\n', _STAMP.format(body=body))


def edit(body: str) -> Change:
    """The user's own edit of an image."""
    return user(MARK, 'kind = "mine:edit"\n', f"def edit(image, random):\n    {body}\n")


def loader(body: str) -> Change:
    """The user's own function for the model."""
    return user(MODEL, 'source = "mine:load"\n', f"def load():\n    {body}\n")


def scale(body: str) -> Change:
    """The user's own preprocessing."""
    return user(LABELS, LABELS + 'preprocess = "mine:scale"\n', _SCALE.format(body=body))


def source(body: str) -> Change:
    """The user's own source of images."""
    return user(DATA, 'source = "mine:pictures"\n', _PICTURES.format(body=body))


def data(**arrays: Any) -> Change:
    """Write the data anew with some arrays changed, or, where None, left out."""
    return lambda world, _: world.save_images(**arrays)


def model(build: Callable[[Any], Any]) -> Change:
    """Save another model, built with `keras`."""

    def change(world: World, _: pytest.MonkeyPatch) -> None:
        import keras

        world.save_model(build(keras))

    return change


def picture(name: str, image: Image.Image) -> Change:
    return lambda world, _: image.save(world.folder / name)


def written(name: str, content: bytes) -> Change:
    return lambda world, _: (world.folder / name).write_bytes(content)


def removed(name: str) -> Change:
    return lambda world, _: (world.folder / name).unlink()


def cut_in_half(name: str) -> Change:
    def change(world: World, _: pytest.MonkeyPatch) -> None:
        file = world.folder / name
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    return change


def both(*changes: Change) -> Change:
    def change(world: World, patch: pytest.MonkeyPatch) -> None:
        for one in changes:
            one(world, patch)

    return change


def masks(side: int = 8, named: Iterable[str] | None = None) -> Change:
    """Masks of a square in the corner, for these images or for all."""

    def change(world: World, _: pytest.MonkeyPatch) -> None:
        folder = world.folder / "masks"
        folder.mkdir()
        mask = Image.new("L", (side, side))
        mask.paste(255, (side - 3, side - 3, side, side))
        for name in make_data()["ids"] if named is None else named:
            mask.save(folder / f"{name}.png")

    return change


def class_folders(*names: str, corrupt: int = 0) -> Change:
    """The data as a folder per class, the first few pictures being no pictures."""

    def change(world: World, _: pytest.MonkeyPatch) -> None:
        world.replace(DATA, 'source = "pictures"\n')
        (world.folder / "pictures").mkdir()
        for number, pixels in enumerate(make_data()["images"] if names else []):
            file = world.folder / "pictures" / names[number % len(names)] / f"{number:02}.png"
            file.parent.mkdir(exist_ok=True)
            if number < corrupt:
                file.write_bytes(b"no picture")
            else:
                Image.fromarray(pixels[..., 0]).save(file)

    return change


def garbled_pixels(world: World, _: pytest.MonkeyPatch) -> None:
    """A compressed archive whose directory is sound and whose pixels are not."""
    file = world.folder / "images.npz"
    np.savez_compressed(file, **make_data())
    with zipfile.ZipFile(file) as archive:
        start = archive.getinfo("images.npy").header_offset + 500
    content = bytearray(file.read_bytes())
    content[start : start + 200] = bytes(200)
    file.write_bytes(content)


def bare_array(world: World, _: pytest.MonkeyPatch) -> None:
    """An `.npy` under the name of an archive."""
    with (world.folder / "images.npz").open("wb") as file:
        np.save(file, make_data()["images"])


def too_few_pixels(world: World, _: pytest.MonkeyPatch) -> None:
    """An array whose header promises more images than follow."""
    file = world.folder / "images.npz"
    world.save_images()
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["images.npy"] = parts["images.npy"][:-100]
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


class Trap:
    """An object whose pickle, were it opened, would write the file `sprung`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "sprung"

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def trapped(name: str) -> Change:
    """An array of pickled objects."""

    def change(world: World, _: pytest.MonkeyPatch) -> None:
        world.save_images(**{name: np.array([Trap(world.folder)] * 42, dtype=object)})

    return change


def float_images(value: float) -> Any:
    """The images as floats in [0, 1], with one pixel of the third set."""
    images = make_data()["images"].astype(np.float32) / 255
    images[2, 0, 0, 0] = value
    return images


def classifier_of(keras: Any, *, shape: tuple[int, ...] = (8, 8, 1), rescaled: bool = True, **head: Any) -> Any:
    """The least classifier: rescaled, flattened, one dense layer."""
    given = keras.Input(shape)
    x = keras.layers.Rescaling(1 / 255)(given) if rescaled else given
    return keras.Model(given, keras.layers.Dense(**({"units": 3} | head))(keras.layers.Flatten()(x)))


def with_two_inputs(keras: Any) -> Any:
    first, second = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    joined = keras.layers.Concatenate()([first, second])
    return keras.Model([first, second], keras.layers.Dense(3)(keras.layers.Flatten()(joined)))


def with_two_outputs(keras: Any) -> Any:
    given = keras.Input((8, 8, 1))
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(given))
    return keras.Model(given, [keras.layers.Dense(3)(flat), keras.layers.Dense(3)(flat)])


def with_nested_outputs(keras: Any) -> Any:
    given = keras.Input((8, 8, 1))
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(given))
    return keras.Model(given, {"kind": keras.layers.Dense(3)(flat), "rest": [keras.layers.Dense(2)(flat)] * 2})


def with_channels_first(keras: Any) -> Any:
    given = keras.Input((3, 8, 8))
    x = keras.layers.Flatten()(keras.layers.Permute((2, 3, 1))(keras.layers.Rescaling(1 / 255)(given)))
    return keras.Model(given, keras.layers.Dense(3)(x))


def with_a_sequence_as_output(keras: Any) -> Any:
    given = keras.Input((8, 8, 1))
    x = keras.layers.Reshape((8, 8))(keras.layers.Rescaling(1 / 255)(given))
    return keras.Model(given, keras.layers.LSTM(3, return_sequences=True)(x))


def with_lambda(keras: Any) -> Any:
    given = keras.Input((8, 8, 1))
    x = keras.layers.Lambda(lambda pixels: pixels * 1.0)(keras.layers.Rescaling(1 / 255)(given))
    return keras.Model(given, keras.layers.Dense(3)(keras.layers.Flatten()(x)))


def with_feature_maps_as_output(keras: Any) -> Any:
    given = keras.Input((8, 8, 1))
    return keras.Model(given, keras.layers.Conv2D(3, 3)(keras.layers.Rescaling(1 / 255)(given)))


def with_weights_that_are_no_numbers(keras: Any) -> Any:
    made = make_model()
    made.get_layer("head").set_weights([np.full((64, 3), np.nan, np.float32), np.zeros(3, np.float32)])
    return made


def with_scores_that_are_no_numbers_for_dark_images(keras: Any) -> Any:
    given = keras.Input((8, 8, 1))
    x = keras.layers.Rescaling(1 / 255)(given)
    root = keras.ops.sqrt(keras.ops.mean(x, axis=(1, 2, 3)) - 0.3)
    return keras.Model(given, keras.layers.Dense(3)(keras.layers.Flatten()(x)) + root[:, None])


def without_derivative(keras: Any) -> Any:
    """Scores are finite everywhere, their derivatives are not: a square root at zero."""
    given = keras.Input((8, 8, 1))
    x = keras.ops.sqrt(keras.ops.relu(keras.layers.Rescaling(1 / 255)(given) - 0.3))
    return keras.Model(given, keras.layers.Dense(3)(keras.layers.Flatten()(x)))


def constant(keras: Any) -> Any:
    made = make_model()
    made.get_layer("head").set_weights([np.zeros((64, 3), np.float32), np.zeros(3, np.float32)])
    return made


_STAMP = "import numpy as np\ndef stamp(frame, *, size: int = 2):\n    {body}\n"
_SCALE = "import tensorflow as tf\ndef scale(pixels):\n    {body}\n"
_PICTURES = """\
import numpy as np
calls = []
def pictures():
    calls.append(0)
    for number in range(30):
        image = np.full((8, 8, 1), number, np.uint8)
        {body}
"""

# name: what is changed, the line of the file that the error names as its place (or None), what it says
Row = tuple[Change, str | None, str]

CONFIGURATION: dict[str, Row] = {
    "a syntax error": (text(MODEL, "source = model.keras\n"), None, "audit.toml:2:10: not TOML: Invalid value"),
    "a text that never ends": (text(MODEL, 'source = """model.keras\n'), None, "not TOML: "),
    "a file that is not UTF-8": (
        written("audit.toml", b'[model]\nsource = "\xe8"'),
        None,
        "audit.toml:2:11: not UTF-8 text: got byte 0xe8",
    ),
    "an unknown section": (more("[modle]\nx = 1\n"), "[modle]", "modle: unknown key; did you mean 'model'?"),
    "an unknown key": (
        text(LABELS, 'lables = "labels.txt"\n'),
        "lables",
        "model.lables: unknown key; did you mean 'labels'? (allowed: source, labels,",
    ),
    "text for a number": (more("[verdict]\nmargin = '1'\n"), "margin", 'verdict.margin: got "1", wanted a number'),
    "a number for text": (text(MODEL, "source = 3\n"), "source = 3", "model.source: got 3, wanted text"),
    "a fraction for a whole number": (
        more("[verdict]\nmin_groups = 2.5\n"),
        "min_groups",
        "verdict.min_groups: got 2.5, wanted a whole number",
    ),
    "a number for labels": (text(LABELS, "labels = 3\n"), "labels = 3", "model.labels: got 3, wanted text or an array"),
    "a number among labels": (
        text(LABELS, 'labels = ["cat", 3, "boat"]\n'),
        "labels",
        "model.labels[1]: got 3, wanted text",
    ),
    "a table for the list of artefacts": (text("[[artefacts]]", "[artefacts]"), "[artefacts]", "artefacts: got {"),
    "nan for a number": (
        more("[verdict]\nmargin = nan\n"),
        "margin",
        "verdict.margin: got NaN, wanted a finite number",
    ),
    "a margin of no spread": (
        more("[verdict]\nmargin_sd = 0\n"),
        "margin_sd",
        "verdict.margin_sd: got 0, wanted more than 0",
    ),
    "a limit that is no limit": (
        text(DATA, DATA + 'limit = "many"\n'),
        "limit",
        "data.limit: got \"many\", wanted a whole number or 'all'",
    ),
    "a fit that is none": (
        text(DATA, DATA + 'fit = "stretch"\n'),
        "fit",
        "data.fit: got \"stretch\", wanted 'exact', 'resize' or 'crop'",
    ),
    "no source of the model": (text(MODEL, ""), "[model]", "model.source: missing; it is required"),
    "no section of data": (text("[data]\n" + DATA, ""), None, "data: missing; it is required"),
    "a range that falls": (
        text(LABELS, LABELS + "input_range = [1, 0]\n"),
        "input_range",
        "model.input_range: got [1, 0], wanted the lower end first",
    ),
    "half a range": (
        text(LABELS, LABELS + "input_range = [1]\n"),
        "input_range",
        "model.input_range: got [1], wanted 2 items",
    ),
    "no formats of the report": (
        text('formats = ["html"]', "formats = []"),
        "formats",
        "report.formats: got [], wanted 1 or more items",
    ),
    "an unknown method": (
        more("[methods.gradcam]\n"),
        "[methods.gradcam]",
        "methods.gradcam: unknown method; did you mean 'grad_cam'?",
    ),
    "an unknown option of a method": (
        more("[methods.smoothgrad]\nsample = 3\n"),
        "sample",
        "methods.smoothgrad.sample: unknown key; did you mean 'samples'?",
    ),
    "an option of a method of the wrong type": (
        more("[methods.smoothgrad]\nsamples = '3'\n"),
        "samples",
        'methods.smoothgrad.samples: got "3", wanted a whole number',
    ),
    "an option of a method out of range": (
        more("[methods.smoothgrad]\nnoise = 2\n"),
        "noise",
        "methods.smoothgrad.noise: got 2, wanted less than 1",
    ),
    "an unknown baseline": (
        more("[methods.integrated_gradients]\nbaselines = ['none']\n"),
        "baselines",
        "methods.integrated_gradients.baselines[0]: got \"none\", wanted 'mean'",
    ),
    "enabled by a text": (
        more("[methods.gradient]\nenabled = 'no'\n"),
        "enabled = 'no'",
        'methods.gradient.enabled: got "no", wanted true or false',
    ),
    "a method on images that are no choice": (
        more("[methods.gradient]\non = 'some'\n"),
        "on",
        "methods.gradient.on: got \"some\", wanted 'all' or 'exemplars'",
    ),
    "an unknown layer of Grad-CAM": (
        more("[methods.grad_cam]\nlayers = ['identiti']\n"),
        "layers",
        "methods.grad_cam.layers[0]: 'identiti' is no layer with feature maps; did you mean 'identity'?",
    ),
    "an unknown kind of artefact": (
        artefact("overlai"),
        "kind",
        "artefacts[0].kind: unknown kind 'overlai'; did you mean 'overlay'?",
    ),
    "a missing option of an artefact": (artefact("box"), "[[artefacts]]", "artefacts[0].size: missing; it is required"),
    "an unknown option of an artefact": (
        artefact("box", "size = [1, 1]\ncolor = 'red'\n"),
        "color",
        "artefacts[0].color: unknown key; did you mean 'colour'?",
    ),
    "a name used twice": (
        more("[[artefacts]]\nname = 'mark'\nkind = 'lightness'\n"),
        "name = 'mark'",
        "artefacts[1].name: got 'mark' twice",
    ),
    "no name of an artefact": (
        text('name = "mark"\n', ""),
        "[[artefacts]]",
        "artefacts[0].name: missing; it is required",
    ),
}

NAMED: dict[str, Row] = {
    "beyond the right edge": (
        text("[5, 5]", "[6, 5]"),
        "position",
        "artefacts[0].position: right edge 9 exceeds the image width 8",
    ),
    "beyond the bottom edge": (
        text("[5, 5]", "[5, 6]"),
        "position",
        "artefacts[0].position: bottom edge 9 exceeds the image height 8",
    ),
    "beyond the left edge": (
        text("[5, 5]", "[-1, 5]"),
        "position",
        "artefacts[0].position: got [-1, 5], wanted the left and top edge inside",
    ),
    "farther than any frame": (
        text("[5, 5]", "[1e308, 0]"),
        "position",
        "artefacts[0].position: right edge 1000000003 exceeds the image width 8",
    ),
    "larger than the image": (
        artefact("box", "size = [9, 1]\n"),
        "size",
        "artefacts[0].size: got 9, which is 9 pixels, wanted 1 to the 8 of the image",
    ),
    "smaller than a pixel": (
        artefact("box", "size = [0.01, 1]\n"),
        "size",
        "artefacts[0].size: got 0.01, which is 0 pixels",
    ),
    "text of no size": (artefact("text", "text = 'x'\nsize = -3\n"), "size", "artefacts[0].size: got -3"),
    "an overlay that does not exist": (removed("mark.png"), "image =", "artefacts[0].image: "),
    "an overlay that is no picture": (written("mark.png", b"?"), "image =", "artefacts[0].image: "),
    "an overlay without transparency": (
        picture("mark.png", Image.new("RGB", (3, 3))),
        "image =",
        "RGB without transparency, wanted RGBA",
    ),
    "an overlay of nothing": (
        picture("mark.png", Image.new("RGBA", (3, 3))),
        "[[artefacts]]",
        "artefacts[0]: the artefact is transparent everywhere",
    ),
    "text in no colour": (
        artefact("text", "text = 'x'\nsize = 6\ncolour = 'reddish'\n"),
        "colour",
        "artefacts[0].colour: got 'reddish', wanted a colour such as",
    ),
    "text in no font": (
        artefact("text", "text = 'x'\nsize = 6\nfont = 'none.ttf'\n"),
        "font",
        "none.ttf: not a readable font",
    ),
    "a target that is no class": (
        text(TARGET, 'target = "baot"\n'),
        "target",
        "artefacts[0].target: got 'baot', which is no class of the model; did you mean 'boat'? (allowed: cat,",
    ),
    "presence by no class": (
        text(TARGET, TARGET + 'present = "class:ship"\n'),
        "present",
        "artefacts[0].present: 'ship' is no class of the model",
    ),
    "presence by no array": (
        text(TARGET, TARGET + 'present = "marked"\n'),
        "present",
        "artefacts[0].present: got 'marked', which is no array or column of the data; wanted 'none', 'all',",
    ),
    "presence by an array of numbers": (
        text(TARGET, TARGET + 'present = "groups"\n'),
        "present",
        "artefacts[0].present: got 'groups', which is an array of int64; wanted",
    ),
    "presence by class without labels": (
        both(text(TARGET, TARGET + 'present = "class:boat"\n'), data(labels=None)),
        "present",
        "artefacts[0].present: got 'class:boat', but the data have no labels",
    ),
    "a control that does not exist": (
        text(TARGET, TARGET + 'controls = ["other.png"]\n'),
        "controls",
        "other.png: no such file",
    ),
    "no folder of masks": (artefact("masks", "folder = 'masks'\npresent = 'all'\n"), "folder", "masks: no such folder"),
    "masks that are nowhere present": (
        both(masks(), artefact("masks", "folder = 'masks'\n")),
        "[[artefacts]]",
        "artefacts[0].present: got 'none', but masks say where",
    ),
    "masks with controls": (
        both(masks(), artefact("masks", "folder = 'masks'\npresent = 'all'\ncontrols = ['mark.png']\n")),
        "controls",
        "artefacts[0].controls: masks have no appearance",
    ),
    "a hue of grey images": (
        artefact("hue"),
        "kind",
        "artefacts[0].kind: the images are grey, so there is no hue to turn",
    ),
    "an amount upside down": (
        artefact("blur", "sigma = [2, 1]\n"),
        "sigma",
        "artefacts[0].sigma: got [2.0, 1.0], wanted the lower end first, then the higher",
    ),
    "an amount that changes nothing": (
        artefact("rotation", "degrees = 0\n"),
        "degrees",
        "artefacts[0].degrees: got 0.0, which changes nothing",
    ),
    "an amount out of its range": (
        artefact("jpeg", "quality = 100\n"),
        "quality",
        "artefacts[0].quality: got 100, wanted 95 or less or an array",
    ),
    "a crop outside the frame": (
        artefact("crop", "box = [0, 0, 9, 8]\n"),
        "box",
        "artefacts[0].box: got [0, 0, 9, 8], wanted left, top, right and bottom inside the frame of 8 x 8 pixels",
    ),
    "a crop of everything": (artefact("crop", "box = [0, 0, 8, 8]\n"), "box", "which is the whole frame"),
    "a border that leaves nothing": (
        artefact("border", "width = 4\n"),
        "width",
        "artefacts[0].width: got 4, which is 4 pixels at each edge, so nothing of an image is left",
    ),
    "a picture beside an edit of the whole image": (
        artefact("blur", "controls = ['mark.png']\n"),
        "controls",
        "artefacts[0].controls: blur has no one place to put pictures at; leave it out",
    ),
    "a background without its masks": (
        both(masks(named=["0", "1"]), artefact("background", "folder = 'masks'\n")),
        "folder",
        "artefacts[0].folder: there is no mask of the image ",
    ),
    "a background that does not exist": (
        both(masks(), artefact("background", "folder = 'masks'\npicture = 'beach.png'\n")),
        "picture",
        "beach.png: no such file",
    ),
    "a place outside the frame": (
        text(MARK, 'kind = "overlay"\nimage = "mark.png"\nplace = { within = [4, 4, 9, 8] }\n'),
        "place",
        "artefacts[0].place: got within = [4, 4, 9, 8], wanted left, top, right and bottom inside the frame of 8 x 8",
    ),
    "a place with an unknown key": (
        text(MARK, MARK + "place = { inside = [4, 4, 8, 8] }\n"),
        "place",
        "artefacts[0].place.inside: unknown key",
    ),
    "a range upside down": (
        text(MARK, MARK + "place = { scale = [1.2, 0.8] }\n"),
        "place",
        "artefacts[0].place.scale: got [1.2, 0.8], wanted the lower end first, then the higher",
    ),
    "a place without room": (
        text(MARK, 'kind = "overlay"\nimage = "mark.png"\nplace = { within = [4, 4, 8, 8], scale = [1, 2] }\n'),
        "place",
        "artefacts[0].place: it is up to 6 x 6 pixels as it varies, and place.within of [4, 4, 8, 8] has room",
    ),
    "a place beside a position": (
        text(MARK, MARK + "place = { within = [4, 4, 8, 8] }\n"),
        "position",
        "artefacts[0].position: stands beside place.within",
    ),
    "examples of other sizes than fit": (
        both(
            lambda world, _: Image.new("RGBA", (9, 2), "red").save(world.folder / "wide.png"),
            text(MARK, 'kind = "overlay"\nexamples = ["mark.png", "wide.png"]\n'),
        ),
        "[[artefacts]]",
        "artefacts[0].position: right edge 9 exceeds the image width 8",
    ),
    "an example that is no picture": (
        both(written("no.png", b"?"), text(MARK, 'kind = "overlay"\nexamples = ["mark.png", "no.png"]\n')),
        "examples",
        "artefacts[0].examples: ",
    ),
    "neither a picture nor examples": (artefact("overlay"), "[[artefacts]]", "artefacts[0].image: missing; wanted one"),
    "a text that says it varies and does not": (
        artefact("text", "text = 'a'\nsize = 4\nvary = true\n"),
        "text",
        "artefacts[0].text: got 'a', which is the same on every image; wanted a pattern of what varies",
    ),
    "an artefact in none of its carriers": (
        both(text(TARGET, TARGET + 'present = "class:cat"\n'), data(images=np.full((42, 8, 8, 1), 100, np.uint8))),
        "present",
        "artefacts[0].present: got 'class:cat', but the artefact is found in none of 14 images that are said to",
    ),
    "a part that is no artefact": (
        more("[[artefacts]]\nname = 'both'\nkind = 'together'\nparts = ['mark', 'stamp']\n"),
        "parts",
        "artefacts[1].parts: got 'stamp', which is no other artefact of one part (allowed: mark)",
    ),
    "the same part twice": (
        more("[[artefacts]]\nname = 'both'\nkind = 'together'\nparts = ['mark', 'mark']\n"),
        "parts",
        "artefacts[1].parts: got ['mark', 'mark'], wanted each once",
    ),
    "one part alone": (
        more("[[artefacts]]\nname = 'both'\nkind = 'together'\nparts = ['mark']\n"),
        "parts",
        'artefacts[1].parts: got ["mark"], wanted 2 or more items',
    ),
    "a kind that raises": (
        stamp("raise KeyError('ink')"),
        "kind",
        "artefacts[0].kind: mine:stamp failed: KeyError: 'ink'",
    ),
    "a kind of another shape": (
        stamp("return np.zeros((4, 4, 4))"),
        "kind",
        "mine:stamp returned an array of shape (4, 4, 4), wanted RGBA (8, 8, 4)",
    ),
    "a kind out of range": (
        stamp("return np.full((8, 8, 4), 255)"),
        "kind",
        "mine:stamp returned values in [255, 255], wanted RGBA in [0, 1]",
    ),
    "a kind that gives nothing": (stamp("return 'ink'"), "kind", "mine:stamp failed: ValueError"),
    "an edit of another shape": (
        edit("return image[1:]"),
        "kind",
        "artefacts[0].kind: mine:edit returned an array of shape (7, 8, 1), wanted an image (8, 8, 1)",
    ),
    "an edit out of range": (edit("return image + 1"), "kind", "wanted an image in [0, 1]"),
    "an edit that gives NaN": (edit("return image * float('nan')"), "kind", "mine:edit returned values in [nan, nan]"),
    "an edit that raises": (edit("return image[9]"), "kind", "artefacts[0].kind: mine:edit failed: IndexError"),
    "an edit that draws from elsewhere": (
        edit("import numpy; return numpy.random.rand(*image.shape)"),
        "kind",
        "artefacts[0].kind: mine:edit made two different images of one image and one generator, wanted all that is",
    ),
    "a kind without its function": (
        user(MARK, 'kind = "mine:stump"\n', _STAMP.format(body="pass")),
        "kind",
        "artefacts[0].kind: module 'mine' has no function 'stump'",
    ),
    "a kind with an unknown option": (
        user(MARK, 'kind = "mine:stamp"\nsise = 3\n', _STAMP.format(body="pass")),
        "sise",
        "artefacts[0].sise: unknown key; did you mean 'size'?",
    ),
    "a kind whose options nobody can read": (
        user(MARK, 'kind = "mine:stamp"\n', "def stamp(frame, *, size: 'Missing' = 1): ...\n"),
        "kind",
        "artefacts[0].kind: its options cannot be read: NameError",
    ),
    "a kind in no module": (
        artefact("no_such_module:stamp"),
        "kind",
        "artefacts[0].kind: module 'no_such_module' cannot be imported: ModuleNotFoundError",
    ),
    "a module that raises": (
        user(MARK, 'kind = "mine:stamp"\n', "1 / 0\n"),
        "kind",
        "module 'mine' cannot be imported: ZeroDivisionError",
    ),
    "a model that does not exist": (removed("model.keras"), "source", "model.source: "),
    "a model of an unknown kind": (
        text(MODEL, 'source = "model.onnx"\n'),
        "source",
        "model.source: got 'model.onnx', wanted one of: .keras, .h5, .hdf5, the folder of a SavedModel,",
    ),
    "a folder that is no model": (
        text(MODEL, 'source = "."\n'),
        "source",
        "no saved_model.pb there; wanted the folder of a SavedModel",
    ),
    "a signature of a file": (
        text(MODEL, MODEL + 'signature = "serve"\n'),
        "signature",
        "model.signature: has an effect only where source is the folder of a SavedModel; leave it out",
    ),
    "weights beside a file": (
        text(MODEL, MODEL + 'weights = "model.weights.h5"\n'),
        "weights",
        'has an effect only beside source = "keras.applications:NAME" or "package.module:function"; leave it out',
    ),
    "a model that does not come with Keras": (
        text(MODEL, 'source = "keras.applications:ResNet51"\n'),
        "source",
        "model.source: keras.applications has no model 'ResNet51'; did you mean 'ResNet50'?",
    ),
    "a model of random weights": (
        text(MODEL, 'source = "keras.applications:ResNet50"\n'),
        "[model]",
        'model.weights: missing; wanted weights = "FILE.weights.h5", or "imagenet" to fetch them',
    ),
    "a model of no known range": (
        model(lambda keras: classifier_of(keras, rescaled=False)),
        "[model]",
        "model.input_range: the model shows no Rescaling or Normalization of its own",
    ),
    "a preprocessing that is none": (
        text(LABELS, LABELS + 'preprocess = "yes"\n'),
        "preprocess",
        "model.preprocess: got 'yes', wanted 'none' or package.module:function",
    ),
    "a range beside a function": (
        user(LABELS, LABELS + 'preprocess = "mine:scale"\ninput_range = [0, 1]\n', _SCALE.format(body="return pixels")),
        "input_range",
        "model.input_range: has no effect beside preprocess = 'mine:scale'",
    ),
    "too few labels": (
        written("labels.txt", b"cat\ndog\n"),
        "labels",
        "model.labels: got 2 names, wanted 3: the model has 3 output units",
    ),
    "no labels at all": (written("labels.txt", b"\n"), "labels", "model.labels: got 0 names, wanted 3"),
    "a label twice": (text(LABELS, 'labels = ["cat", "dog", "cat"]\n'), "labels", "model.labels: got 'cat' twice"),
    "labels that do not exist": (removed("labels.txt"), "labels", "labels.txt: no such file"),
    "labels that are no text": (
        written("labels.txt", b"\xff\xfe"),
        "labels",
        "labels.txt: cannot be read as UTF-8 text",
    ),
    "a binary output of three units": (
        text(LABELS, LABELS + 'output = "binary"\n'),
        "output",
        "model.output: got 'binary', but the model has 3 output units",
    ),
    "a multilabel softmax": (
        text(LABELS, LABELS + 'output = "multilabel"\n'),
        "output",
        "model.output: got 'multilabel', but the model's outputs are a softmax",
    ),
    "a model of two inputs": (
        model(with_two_inputs),
        "[model]\n",
        "wanted one that is not fixed: the images; say for example inputs = { ",
    ),
    "a model of two outputs": (
        model(with_two_outputs),
        "[model]\n",
        "the model has 2 outputs, wanted the name of the one with the scores: ",
    ),
    "a model of outputs in lists and tables": (
        model(with_nested_outputs),
        "[model]\n",
        "the model has 3 outputs, wanted the name of the one with the scores: ",
    ),
    "a function of no module": (
        text(MODEL, 'source = "no_such_module:load"\n'),
        "source",
        "model.source: module 'no_such_module' cannot be imported",
    ),
    "data that do not exist": (
        removed("images.npz"),
        'source = "images.npz"',
        "images.npz: no such file or folder; wanted an .npz, .csv or .parquet file",
    ),
    "data of an unknown kind": (
        both(text(DATA, 'source = "images.zip"\n'), written("images.zip", b"1,2")),
        'source = "images.zip"',
        "images.zip: not a known kind of file; wanted an .npz, .csv or .parquet file, a folder of pictures, or",
    ),
    "a folder of reports that is a file": (
        text("[report]\n", '[report]\noutput = "mark.png"\n'),
        "output",
        "report.output: ",
    ),
    "a folder of reports inside a file": (
        text("[report]\n", '[report]\noutput = "mark.png/runs"\n'),
        "output",
        "mark.png: cannot be written",
    ),
}

MISFITS: dict[str, Row] = {
    "data without images": (data(images=None), DATA, "images.npz: no array 'images'; it holds labels, ids, groups"),
    "no images": (
        data(images=np.zeros((0, 8, 8, 1), np.uint8), labels=None, ids=None, groups=None),
        DATA,
        "data.source: there are no images",
    ),
    "too few labels of images": (
        data(labels=np.zeros(41, int)),
        DATA,
        "images.npz: got 41 labels for 42 images, wanted one each",
    ),
    "too many groups": (data(groups=np.arange(43)), DATA, "images.npz: got 43 groups for 42 images, wanted one each"),
    "an id twice": (data(ids=np.array(["a"] * 42)), DATA, "got id 'a' for 42 images, wanted an id of its own for each"),
    "labels that the model lacks": (
        data(labels=np.array(["cat", "cow"] * 21)),
        DATA,
        "labels that the model lacks: 'cow' (21 images)",
    ),
    "a class number that the model lacks": (
        data(labels=np.arange(42) % 4),
        DATA,
        "labels that the model lacks: '3' (10 images)",
    ),
    "a row of labels per image": (
        data(labels=np.eye(42, 3)),
        DATA,
        "a label row names 0 classes, wanted one, for the classes exclude each other",
    ),
    "one number for images": (
        data(images=np.uint8(3)),
        DATA,
        "images.npz: images have shape (), wanted (n, height, width[, channels])",
    ),
    "whole numbers of 64 bits": (
        data(images=make_data()["images"].astype(np.int64)),
        DATA,
        "images.npz: images are int64, wanted uint8 in [0, 255] or float in [0, 1]",
    ),
    "floats beyond 1": (
        data(images=float_images(254.0)),
        DATA,
        "254], wanted uint8 in [0, 255] or float in [0, 1]; other values need range = [black, white] under [data]",
    ),
    "images of another size": (
        data(images=np.zeros((42, 9, 10, 1), np.uint8)),
        DATA,
        'image picture-0 is 10 x 9 pixels, the model takes 8 x 8; set data.fit = "resize" or "crop"',
    ),
    "images of two channels": (
        data(images=np.zeros((42, 8, 8, 2), np.uint8)),
        DATA,
        "image picture-0 has shape (8, 8, 2), wanted (height, width) or with 1 or 3 channels last",
    ),
    "pickled images": (trapped("images"), DATA, "images.npz: images are object, wanted uint8"),
    "pickled labels": (
        trapped("labels"),
        DATA,
        "images.npz: array 'labels' holds pickled objects, which are never opened",
    ),
    "an array of presence of another length": (
        both(text(TARGET, TARGET + 'present = "marked"\n'), data(marked=np.zeros(41, bool))),
        DATA,
        "array 'marked' has shape (41,), wanted a value for each of 42 images",
    ),
    "an empty folder": (
        class_folders(),
        'source = "pictures"',
        ".jpe, .jpeg, .jpg, .png, .tif, .tiff, .webp); wanted a folder per class, or",
    ),
    "folders of unknown classes": (
        class_folders("cat", "cow"),
        'source = "pictures"',
        "labels that the model lacks: 'cow' (21 images)",
    ),
    "a source that repeats ids": (
        source("yield image, 0, number // 2, None"),
        'source = "mine:pictures"',
        "got id '0' for 2 images",
    ),
}

DAMAGED: dict[str, Row] = {
    "a damaged model": (
        cut_in_half("model.keras"),
        MODEL,
        "model.source: model.keras: cannot be loaded: it is no archive of Keras",
    ),
    "a model that is something else": (
        written("model.keras", b"weights"),
        MODEL,
        "model.source: model.keras: cannot be loaded: it is no archive of Keras",
    ),
    "a damaged model of the old kind": (
        both(text(MODEL, 'source = "model.h5"\n'), written("model.h5", b"weights")),
        'source = "model.h5"',
        "model.source: model.h5: cannot be loaded: it is no HDF5 file, as .h5 files are",
    ),
    "a model with a Lambda layer": (
        model(with_lambda),
        MODEL,
        "model.source: model.keras: holds a Lambda layer (layer 'lambda",
    ),
    "a model that gives feature maps": (
        model(with_feature_maps_as_output),
        MODEL,
        "the model's output has shape (4, 6, 6, 3), wanted (images, classes)",
    ),
    "a model that gives a sequence": (
        model(with_a_sequence_as_output),
        MODEL,
        "the model's output has shape (4, 8, 3), wanted (images, classes)",
    ),
    "a model of channels first": (
        model(with_channels_first),
        MODEL,
        "the model takes 8 channels, wanted 1 (grey) or 3 (colour), channels last; it seems to take channels first",
    ),
    "a model of four channels": (
        model(lambda keras: classifier_of(keras, shape=(8, 8, 4))),
        MODEL,
        "the model takes 4 channels, wanted 1 (grey) or 3 (colour), channels last",
    ),
    "a model of no images": (
        model(lambda keras: classifier_of(keras, shape=(64,))),
        MODEL,
        "the model's input has shape (64,), wanted (height, width, channels)",
    ),
    "weights that are no numbers": (
        model(with_weights_that_are_no_numbers),
        MODEL,
        "the model's scores are not finite (NaN or infinity)",
    ),
    "scores that are no numbers for some images": (
        model(with_scores_that_are_no_numbers_for_dark_images),
        None,
        "images cannot be used, more than data.max_corrupt = 0.05; the first is ",
    ),
    "a function that returns no model": (
        loader("return 3"),
        "source",
        "model.source: mine:load: returned int, wanted a keras.Model or an auditor.Classifier",
    ),
    "a function that raises instead of a model": (
        loader("return {}['weights']"),
        "source",
        "model.source: mine:load: failed: KeyError: 'weights'",
    ),
    "a preprocessing that raises": (
        scale("return pixels['red']"),
        MODEL,
        "preprocess fails on images (8, 8, 1): TypeError: ",
    ),
    "a preprocessing to another shape": (
        scale("return pixels[:, ::2]"),
        MODEL,
        "the model cannot be run on images (8, 8, 1): ",
    ),
    "a preprocessing that leaves TensorFlow": (
        scale("return tf.constant(pixels.numpy())"),
        MODEL,
        "the model cannot be run: AttributeError: ",
    ),
    "a truncated archive": (cut_in_half("images.npz"), DATA, "images.npz: not a readable .npz: "),
    "an archive that is none": (written("images.npz", b"pixels"), DATA, "images.npz: not a readable .npz: "),
    "an empty archive": (written("images.npz", b""), DATA, "images.npz: not a readable .npz: "),
    "an array in place of an archive": (bare_array, DATA, "images.npz: not a readable .npz: "),
    "garbled pixels": (garbled_pixels, DATA, "images.npz: not a readable .npz: Bad CRC-32 for file 'images.npy'"),
    "too few pixels": (
        too_few_pixels,
        DATA,
        "images.npz: not a readable .npz: array 'images' says that it is (42, 8, 8, 1) of uint8, and is too",
    ),
    "too many corrupt pictures": (
        class_folders("cat", "dog", "boat", corrupt=3),
        'source = "pictures"',
        "at least 3 of 42 images cannot be used, more than data.max_corrupt = 0.05; the first is boat/02.png: not a",
    ),
    "a source that raises": (
        source("raise OSError('disk')"),
        'source = "mine:pictures"',
        "mine:pictures failed: OSError: disk",
    ),
    "a source of bare images": (
        source("yield image"),
        'source = "mine:pictures"',
        "mine:pictures: got ndarray, wanted (image, label, id, group)",
    ),
    "a source of nothing": (
        user(DATA, 'source = "mine:pictures"\n', "def pictures(): ...\n"),
        'source = "mine:pictures"',
        "mine:pictures failed: TypeError: ",
    ),
    "a source that changes its order": (
        source("yield image, 0, (number * len(calls)) % 31, None"),
        'source = "mine:pictures"',
        "mine:pictures: image 1 was 1 and is now ",
    ),
    "a source that runs dry": (
        source("if number < 31 - len(calls): yield image, 0, number, None"),
        'source = "mine:pictures"',
        "and is gone; the images must stay",
    ),
    "a source that ends Python": (
        source("raise SystemExit(0)"),
        None,
        "Python was told to exit (code 0) before the audit was complete",
    ),
}
