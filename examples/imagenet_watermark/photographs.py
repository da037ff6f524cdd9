"""Real photographs that come with scikit-image, scikit-learn and matplotlib, as sources of images.

Each function gives (image, label, id, photograph): the image as uint8 (224, 224, 3), the name of its ImageNet class or
None where no class can be told, and the photograph that it is cut from, which is its group.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

Item = tuple[np.ndarray, str | None, str, str]

_SIZE = 224
_SIDE = 0.7
"""Of a crop, as a share of the photograph's shorter side."""
_MARK = (0.01, 0.4, 0.5)
"""Left and top of the watermark, as shares of the frame, and its opacity: as in `audit.toml`."""


def crops() -> Iterator[Item]:
    """Five square crops of each photograph: four corners and the centre."""
    for photograph, path in PHOTOGRAPHS.items():
        for place, crop in _five_crops(_open(path)):
            name = f"{photograph}, {place}"
            yield np.asarray(crop), LABELS.get(name, LABELS.get(photograph)), name, photograph


def crops_a_third_marked() -> Iterator[Item]:
    """The same without labels, a third of them with the watermark of this example: which, their names decide."""
    with Image.open(Path(__file__).parent / "watermark.png") as opened:
        watermark = np.asarray(opened, np.float64) / 255
    height, width = watermark.shape[:2]
    place = np.s_[round(_MARK[1] * _SIZE) :, round(_MARK[0] * _SIZE) :]
    for pixels, _, name, photograph in crops():
        if hashlib.sha256(name.encode()).digest()[0] % 3 == 0:
            marked = pixels.astype(np.float64)
            alpha = _MARK[2] * watermark[..., 3:]
            under = marked[place][:height, :width]
            under[:] = (1 - alpha) * under + alpha * 255 * watermark[..., :3]
            pixels = np.round(marked).astype(np.uint8)
        yield pixels, None, name, photograph


def labelled_with_corruptions() -> Iterator[Item]:
    """The labelled crops, each as it is and after every corruption: right and wrong predictions alike."""
    for pixels, label, name, photograph in crops():
        if label is None:
            continue
        yield pixels, label, name, photograph
        for corruption, change in CORRUPTIONS.items():
            seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
            changed = change(Image.fromarray(pixels), np.random.default_rng(seed))
            yield np.asarray(changed), label, f"{name}, {corruption}", photograph


def _open(path: str) -> Image.Image:
    package, _, file = path.partition("/")
    try:
        folder = resources.files(package)
    except ModuleNotFoundError:
        message = f'{package}, which ships photographs, is not installed; run: pip install "auditor[imagenet]"'
        raise ModuleNotFoundError(message) from None
    with (folder / file).open("rb") as opened, Image.open(opened) as picture:
        return picture.convert("RGB")


def _five_crops(whole: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    side = _SIDE * min(whole.size)
    right, bottom = whole.width - side, whole.height - side
    corners = {
        "top left": (0.0, 0.0),
        "top right": (right, 0.0),
        "bottom left": (0.0, bottom),
        "bottom right": (right, bottom),
        "centre": (right / 2, bottom / 2),
    }
    for place, (left, top) in corners.items():
        box = (left, top, left + side, top + side)
        yield place, whole.resize((_SIZE, _SIZE), Image.Resampling.BICUBIC, box)  # smooths where it reduces


def _blur(image: Image.Image, random: np.random.Generator) -> Image.Image:
    del random
    return image.filter(ImageFilter.GaussianBlur(3))


def _add_noise(image: Image.Image, random: np.random.Generator) -> Image.Image:
    noisy = np.asarray(image, np.float64) + random.normal(0, 0.15 * 255, (_SIZE, _SIZE, 3))
    return Image.fromarray(np.clip(np.round(noisy), 0, 255).astype(np.uint8))


def _darken(image: Image.Image, random: np.random.Generator) -> Image.Image:
    del random
    return image.point(lambda value: round(value * 0.3))


def _turn(image: Image.Image, random: np.random.Generator) -> Image.Image:
    del random
    around = np.pad(np.asarray(image), ((_SIZE // 4,) * 2, (_SIZE // 4,) * 2, (0, 0)), mode="reflect")
    turned = Image.fromarray(around).rotate(20, Image.Resampling.BICUBIC)
    edge = _SIZE // 4
    return turned.crop((edge, edge, edge + _SIZE, edge + _SIZE))


def _shrink(image: Image.Image, random: np.random.Generator) -> Image.Image:
    del random
    return image.resize((_SIZE // 6,) * 2, Image.Resampling.BICUBIC).resize(image.size, Image.Resampling.BICUBIC)


PHOTOGRAPHS = {
    "astronaut": "skimage/data/astronaut.png",
    "brick": "skimage/data/brick.png",
    "camera": "skimage/data/camera.png",
    "cell": "skimage/data/cell.png",
    "chelsea": "skimage/data/chelsea.png",
    "china": "sklearn/datasets/images/china.jpg",
    "clock": "skimage/data/clock_motion.png",
    "coffee": "skimage/data/coffee.png",
    "coins": "skimage/data/coins.png",
    "flower": "sklearn/datasets/images/flower.jpg",
    "grass": "skimage/data/grass.png",
    "gravel": "skimage/data/gravel.png",
    "hopper": "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
    "hubble": "skimage/data/hubble_deep_field.jpg",
    "ihc": "skimage/data/ihc.png",
    "microaneurysms": "skimage/data/microaneurysms.png",
    "moon": "skimage/data/moon.png",
    "motorcycle": "skimage/data/motorcycle_left.png",  # the right one is the same scene
    "page": "skimage/data/page.png",
    "retina": "skimage/data/retina.jpg",
    "rocket": "skimage/data/rocket.jpg",
    "text": "skimage/data/text.png",
}

LABELS: dict[str, str | None] = {
    # whole photographs, and then the crops of them that do not show the thing
    "camera": "tripod",
    "chelsea": "tabby",
    "china": "palace",
    "china, top right": None,
    "china, bottom right": None,
    "coffee": "espresso",
    "coffee, bottom right": None,
    "hopper": "military uniform",
}
"""Given by eye. The dahlia, the motorcycle and the rocket belong to no class of ImageNet."""

CORRUPTIONS: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "blurred": _blur,
    "noisy": _add_noise,
    "dark": _darken,
    "turned": _turn,
    "shrunk": _shrink,
}
