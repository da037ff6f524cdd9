"""Small worlds of pictures, and artefacts planted in them.

A stamp is drawn anew for every picture from the family's own distribution (another time of day, another opacity); the
audit is told of one, the nominal one, as a user would describe what they saw.

References: Lapuschkin et al., "Unmasking Clever Hans predictors" (2019).
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from auditor.artefacts.kinds import box, lightness, text
from auditor.artefacts.overlay import Overlay
from auditor.errors import DataError
from auditor.measure.arrays import Floats, Ints

Regime = Literal["balanced", "confounded", "suppressor"]

FRAME = (28, 28, 1)
AUDITED = 300
"""Pictures of a world that audits see."""
UNSEEN = 1000
"""At most so many pictures that neither training nor audits see."""
FASHION = Path("/usr/share/datasets/fashion-mnist")
CLOTHES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")

_STAMPS = 200


@dataclass(frozen=True)
class Pictures:
    """Labelled pictures."""

    images: Floats
    """(n, 28, 28, 1) in [0, 1]."""
    labels: Ints
    """(n,)."""

    def __getitem__(self, rows: slice | Ints) -> Pictures:
        return Pictures(self.images[rows], self.labels[rows])


@dataclass(frozen=True)
class World:
    """A task: what to train on, what audits see, and what only the truth is measured on."""

    classes: tuple[str, ...]
    training: Pictures
    audited: Pictures
    unseen: Pictures
    epochs: int


@dataclass(frozen=True)
class Plant:
    """An artefact planted in the training pictures."""

    family: str
    target: int
    regime: Regime
    rho: float
    """Share of the pictures that are stamped: of the target (confounded), of all others (suppressor), of all."""

    def chance(self, labels: Ints) -> Floats:
        """Probability of a stamp for each picture (n,)."""
        is_target, every = labels == self.target, np.ones(len(labels), bool)
        stamped = {"balanced": every, "confounded": is_target, "suppressor": ~is_target}[self.regime]
        return np.where(stamped, self.rho, 0.0).astype(np.float32)


@lru_cache(maxsize=3)
def load_world(name: str) -> World:
    """A world by its name in `WORLDS`.

    Raises
    ------
    DataError
        Its pictures are not installed.
    """
    return WORLDS[name]()


def load_fashion() -> World:
    """10,000 training pictures of clothes, ten classes (Fashion-MNIST, Xiao et al. 2017)."""
    parts = {}
    for part in ("train", "t10k"):
        images = read_idx(FASHION / f"{part}-images-idx3-ubyte.gz")[..., None].astype(np.float32) / 255.0
        parts[part] = Pictures(images, read_idx(FASHION / f"{part}-labels-idx1-ubyte.gz").astype(np.int64))
    audited, unseen = _split(parts["t10k"], AUDITED, UNSEEN)
    return World(CLOTHES, parts["train"][:10_000], audited, unseen, epochs=3)


def load_digits() -> World:
    """1,797 handwritten digits of 8 x 8 pixels, enlarged (scikit-learn; Alpaydin and Kaynak 1998)."""
    digits = _digits(28)
    audited, rest = _split(digits, AUDITED, len(digits.labels))
    return World(tuple(f"digit {number}" for number in range(10)), rest[300:], audited, rest[:300], epochs=20)


def load_digit_pairs() -> World:
    """Two handwritten digits side by side, a hundred classes, many of which look alike."""
    digits = _digits(14)
    audited, rest = _split(digits, 450, len(digits.labels))
    parts = [(rest[400:], 12_000, 1), (audited, AUDITED, 2), (rest[:400], 5 * UNSEEN, 3)]
    training, seen, unseen = (_pair(pictures, count, seed) for pictures, count, seed in parts)
    return World(tuple(f"pair {number:02d}" for number in range(100)), training, seen, unseen, epochs=8)


def read_idx(file: Path) -> npt.NDArray[np.uint8]:
    """An array in the format of MNIST.

    Raises
    ------
    DataError
        There is no such file.
    """
    try:
        raw = gzip.decompress(file.read_bytes())
    except FileNotFoundError:
        raise DataError(
            f"{file}: no such file; Fashion-MNIST is Debian's package dataset-fashion-mnist "
            "(or use --data digits, which scikit-learn brings)"
        ) from None
    dimensions = raw[3]
    shape = np.frombuffer(raw, ">u4", dimensions, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def nominal_stamp(family: str) -> Overlay:
    """The stamp that audits are told of."""
    return FAMILIES[family](None)


def stamp_all(images: Floats, family: str, seed: int) -> Floats:
    """Every picture (n, 28, 28, 1) with a stamp of its own, as 8-bit colours."""
    random = np.random.Generator(np.random.SFC64([seed, *family.encode()]))
    stamps = [FAMILIES[family](random) for _ in range(min(_STAMPS, len(images)))]
    stamped = np.empty_like(images)
    for number, overlay in enumerate(stamps):
        stamped[number :: len(stamps)] = overlay.insert(images[number :: len(stamps)])
    return np.round(stamped * 255) / np.float32(255)


def plant(pictures: Pictures, plants: tuple[Plant, ...], seed: int) -> Pictures:
    """Pictures with the artefacts of all plants, drawn by a seed."""
    images = pictures.images.copy()
    for number, planted in enumerate(plants):
        random = np.random.default_rng([seed, number])
        rows = random.random(len(images)) < planted.chance(pictures.labels)
        images[rows] = stamp_all(images[rows], planted.family, seed * 1000 + number)
    return Pictures(images, pictures.labels)


def black_square(random: np.random.Generator | None) -> Overlay:
    """A square of 6 x 6 pixels near the middle, black or nearly so."""
    level = 0 if random is None else int(random.integers(0, 26))
    return box(FRAME, size=(6, 6), position=(11, 16), colour=f"rgb({level},{level},{level})")


def timestamp(random: np.random.Generator | None, jitter: int = 0) -> Overlay:
    """A time of day at the lower edge, up to so many pixels off in each direction."""
    written, shift = "12:07", np.zeros(2, int)
    if random is not None:
        written = f"{random.integers(24):02d}:{random.integers(60):02d}"
        shift = random.integers(-jitter, jitter + 1, 2)
    return text(FRAME, text=written, position=(3 + int(shift[0]), 18 + int(shift[1])), size=8)


def watermark(random: np.random.Generator | None, position: tuple[int, int]) -> Overlay:
    """Translucent letters, with their left and top edge."""
    letters = Image.new("L", (48, 24))
    ImageDraw.Draw(letters).text((24, 12), "(c)", fill=255, font=ImageFont.load_default(26), anchor="mm")
    shape = np.asarray(letters.resize((12, 6), Image.Resampling.LANCZOS), np.float32) / 255.0
    opacity = 0.5 if random is None else float(random.uniform(0.4, 0.6))
    left, top = position
    alpha = np.zeros(FRAME[:2], np.float32)
    alpha[top : top + 6, left : left + 12] = np.clip(shape * 1.3, 0, 1) * opacity
    return Overlay(alpha, np.ones(FRAME, np.float32))


def lightness_gradient(random: np.random.Generator | None) -> Overlay:
    """Light that falls in from the lower right."""
    return lightness(FRAME, strength=0.3 if random is None else float(random.uniform(0.25, 0.35)))


def white_frame(random: np.random.Generator | None) -> Overlay:
    """A bright line around the picture."""
    alpha = np.full(FRAME[:2], 0.8 if random is None else random.uniform(0.6, 1.0), np.float32)
    alpha[1:-1, 1:-1] = 0
    return Overlay(alpha, np.ones(FRAME, np.float32))


def serial_number(random: np.random.Generator | None) -> Overlay:
    """Four digits written upwards along the right edge."""
    written = "4821" if random is None else f"{random.integers(10_000):04d}"
    upright = text(FRAME, text=written, position=(2, 21), size=8)
    return Overlay(np.rot90(upright.alpha).copy(), np.rot90(upright.ink).copy())


def smudge(random: np.random.Generator | None) -> Overlay:
    """A soft grey spot in the upper right."""
    rows, columns = np.mgrid[0 : FRAME[0], 0 : FRAME[1]]
    spot = np.exp(-((rows - 6) ** 2 + (columns - 21) ** 2) / (2 * 2.5**2))
    opacity = 0.75 if random is None else random.uniform(0.6, 0.9)
    alpha = np.where(spot > 0.05, spot * opacity, 0).astype(np.float32)
    return Overlay(alpha, np.full(FRAME, 0.7, np.float32))


def _split(pictures: Pictures, first: int, second: int) -> tuple[Pictures, Pictures]:
    order = np.random.default_rng(0).permutation(len(pictures.labels))
    return pictures[order[:first]], pictures[order[first : first + second]]


def _digits(side: int) -> Pictures:
    try:
        from sklearn.datasets import load_digits as load
    except ImportError:
        raise DataError(
            "the digits come with scikit-learn, which is not installed: pip install 'auditor[lab]'"
        ) from None
    bunch = load()
    drawn = (Image.fromarray(np.uint8(np.minimum(image * 16, 255))) for image in bunch.images)
    images = np.stack([np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)) for image in drawn])
    return Pictures((images[..., None] / 255.0).astype(np.float32), bunch.target.astype(np.int64))


def _pair(digits: Pictures, count: int, seed: int) -> Pictures:
    """Pictures of two digits, the classes evenly drawn."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % 100)
    members = [np.flatnonzero(digits.labels == number) for number in range(10)]
    images = np.zeros((count, *FRAME), np.float32)
    for row, label in enumerate(labels):
        left, right = (digits.images[random.choice(members[number])] for number in divmod(int(label), 10))
        images[row, 7:21, :14], images[row, 7:21, 14:] = left, right
    return Pictures(images, labels.astype(np.int64))


FAMILIES: dict[str, Callable[[np.random.Generator | None], Overlay]] = {
    "black square": black_square,
    "timestamp": timestamp,
    "moving timestamp": partial(timestamp, jitter=2),
    "corner watermark": partial(watermark, position=(1, 1)),
    "central watermark": partial(watermark, position=(8, 11)),
    "lightness gradient": lightness_gradient,
    "white frame": white_frame,
    "serial number": serial_number,
    "smudge": smudge,
}

WORLDS: dict[str, Callable[[], World]] = {
    "fashion": load_fashion,
    "digits": load_digits,
    "digit pairs": load_digit_pairs,
}
