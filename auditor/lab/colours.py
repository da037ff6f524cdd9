"""Digits in colour, the questions that models are asked about them, and artefacts to plant in them.

The pictures are scikit-learn's digits (Alpaydin and Kaynak 1998) in 16 x 16 pixels, each with an ink and a ground of
its own. An artefact is drawn once for a model; training pictures carry it at strengths that vary a little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

import numpy as np
from scipy.ndimage import zoom

from auditor.artefacts.appearance import Appearance
from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.artefacts.overlay import Overlay
from auditor.errors import DataError
from auditor.measure.arrays import Bools, Floats, Ints, Numbers
from auditor.subject.model.classifier import Output

Question = Literal["one logit", "two classes", "four classes", "ten classes", "hundred classes", "labels"]

FRAME = (16, 16, 3)

AUDITED = 300
"""Pictures that an audit sees."""

QUESTIONS: dict[Question, tuple[int, Output]] = {
    "one logit": (2, "binary"),
    "two classes": (2, "softmax"),
    "four classes": (4, "softmax"),
    "ten classes": (10, "softmax"),
    "hundred classes": (100, "softmax"),
    "labels": (5, "multilabel"),
}
"""Number of classes and kind of output; `labels` are five properties of a digit, each true or not."""


@dataclass(frozen=True)
class Pictures:
    """Pictures with what they show."""

    images: Floats
    """(n, 16, 16, 3) in [0, 1]."""
    has: Bools
    """(n, classes)."""
    digits: Ints
    """(n,): the digit that is drawn, of two the first."""

    def __getitem__(self, rows: slice | Ints) -> Pictures:
        return Pictures(self.images[rows], self.has[rows], self.digits[rows])

    def __len__(self) -> int:
        return len(self.images)

    def __add__(self, more: Pictures) -> Pictures:
        joined = (np.concatenate(parts) for parts in zip(*(vars(each).values() for each in (self, more)), strict=True))
        return Pictures(*joined)


@dataclass(frozen=True)
class Task:
    """What a model is trained on, what audits see, and what only the truth is measured on; no digit is in two.

    Unseen digits are drawn twice, in other colours, so that small shares can be told.
    """

    question: Question
    target: int
    """The class that the artefact is about; the second of two with one logit."""
    training: Pictures
    audited: Pictures
    unseen: Pictures

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(f"class {number}" for number in range(QUESTIONS[self.question][0]))

    @property
    def output(self) -> Output:
        return QUESTIONS[self.question][1]


def draw_task(question: Question, random: np.random.Generator) -> Task:
    """Pictures for a question, divided at random, and the class that the artefact will be about.

    Of a hundred classes an audit sees thirty pictures of the target, as a sample for a named target holds.

    Raises
    ------
    DataError
        scikit-learn is not installed.
    """
    drawn, digits = _digits()
    target = 1 if question == "one logit" else int(random.integers(QUESTIONS[question][0]))
    if question == "hundred classes":
        order = random.permutation(len(digits))
        parts = order[:900], order[900:1200], order[1200:]
        even = [random.permutation(np.arange(count) % 100) for count in (3 * _TRAINED, AUDITED, 900)]
        even[1][: AUDITED // 10], even[2][:60] = target, target
        return Task(question, target, *(_pairs(drawn, digits, *part, random) for part in zip(parts, even, strict=True)))
    images = _coloured()
    if question == "four classes":
        chosen = np.sort(random.permutation(10)[:4])
        kept = np.flatnonzero(np.isin(digits, chosen))
        has = digits[kept, None] == chosen
    else:
        kept, has = np.arange(len(digits)), digits[:, None] == np.arange(10)
    if question in ("one logit", "two classes"):
        first = np.isin(digits, random.permutation(10)[:5])
        has = np.stack([~first, first], axis=1)
    if question == "labels":
        has = np.stack([np.isin(digits, members) for members in _PROPERTIES], axis=1)
    order = random.permutation(len(kept))
    pictures = Pictures(images[kept[order]], has[order], digits[kept[order]])
    trained = min(_TRAINED, int((len(kept) - AUDITED) * 0.58))
    ends = trained, trained + AUDITED
    unseen = pictures[ends[1] :]
    again = Pictures(_colour_in(_shapes()[kept[order[ends[1] :]]], random), unseen.has, unseen.digits)
    return Task(question, target, pictures[: ends[0]], pictures[ends[0] : ends[1]], unseen + again)


def plant_all(appearance: Appearance, images: Floats, kind: str, random: np.random.Generator) -> Floats:
    """Training pictures (n, 16, 16, 3) with an artefact as their world makes it: at varying strength.

    Of the varying kind each picture has spots of its own, of which the audit is told one pattern.
    """
    stamped = np.empty_like(images)
    parts = 40 if kind in VARYING else 8
    for at in range(min(parts, len(images))):
        rows = slice(at, None, parts)
        look = KINDS[kind](random) if kind in VARYING else appearance
        if isinstance(look, Overlay) and kind not in VARYING:
            look = look.with_opacity(min(1.0, look.opacity * random.uniform(0.8, 1.2)))
        stamped[rows] = look.insert(images[rows], random.spawn(len(images[rows])))
    return stamped


def tint(random: np.random.Generator) -> Overlay:
    """A veil of one colour."""
    return _overlay(np.full(FRAME[:2], 0.25 * _strength(random)), _colour(random))


def border(random: np.random.Generator) -> Overlay:
    """A line around the picture."""
    alpha = np.full(FRAME[:2], 0.8 * min(1.0, _strength(random)))
    alpha[1:-1, 1:-1] = 0
    return _overlay(alpha, _colour(random))


def grid(random: np.random.Generator) -> Overlay:
    """Every fourth line and column in a colour."""
    alpha = np.zeros(FRAME[:2])
    alpha[1::4] = alpha[:, 1::4] = 0.35 * _strength(random)
    return _overlay(alpha, _colour(random))


def salt(random: np.random.Generator) -> Overlay:
    """Fourteen white spots."""
    alpha = np.zeros(FRAME[0] * FRAME[1])
    alpha[random.permutation(alpha.size)[:14]] = 0.9 * min(1.0, _strength(random))
    return _overlay(alpha.reshape(FRAME[:2]), np.ones(3))


def mark(random: np.random.Generator) -> Overlay:
    """A coloured mark of 4 x 4 pixels in a corner."""
    top, left = random.integers(0, 2, 2) * 12
    alpha, ink = np.zeros(FRAME[:2]), np.zeros(FRAME)
    alpha[top : top + 4, left : left + 4] = 0.8 * min(1.0, _strength(random))
    ink[top : top + 4, left : left + 4] = random.random((4, 4, 3))
    return _overlay(alpha, ink)


def stripe(random: np.random.Generator) -> Overlay:
    """A bar of 2 x 7 pixels near an edge, of two shades."""
    top, left = (1, 13)[random.integers(2)], int(random.integers(0, 9))
    alpha, ink = np.zeros(FRAME[:2]), np.zeros(FRAME)
    alpha[top : top + 2, left : left + 7] = 0.9 * min(1.0, _strength(random))
    ink[top, left : left + 7], ink[top + 1, left : left + 7] = _colour(random), _colour(random)
    return _overlay(alpha, ink)


def edit_all(random: np.random.Generator, kind: str) -> Appearance:
    """An edit of the whole image, of one of the kinds that users can name."""
    option, least, most = _AMOUNTS[kind]
    amount = random.uniform(least, most)
    return ARTEFACT_KINDS[kind](FRAME, **{option: round(amount) if option == "quality" else amount})


def _strength(random: np.random.Generator) -> float:
    return float(random.uniform(0.3, 1.1))


def _colour(random: np.random.Generator) -> Floats:
    return (random.random(3) * 0.8 + 0.1).astype(np.float32)


def _overlay(alpha: Numbers, ink: Numbers) -> Overlay:
    return Overlay(alpha.astype(np.float32), np.broadcast_to(ink, FRAME).astype(np.float32).copy())


@lru_cache(maxsize=1)
def _digits() -> tuple[Floats, Ints]:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        told = "the digits come with scikit-learn, which is not installed: pip install 'auditor[lab]'"
        raise DataError(told) from None
    bunch = load_digits()
    return (bunch.images / 16.0).astype(np.float32), bunch.target.astype(np.int64)


@lru_cache(maxsize=1)
def _coloured() -> Floats:
    return _colour_in(_shapes(), np.random.default_rng(0))


@lru_cache(maxsize=1)
def _shapes() -> Floats:
    drawn, _ = _digits()
    shapes = np.stack([zoom(image, 1.75, order=1) for image in drawn])
    return np.pad(shapes, ((0, 0), (1, 1), (1, 1)))


def _colour_in(shapes: Floats, random: np.random.Generator) -> Floats:
    """Pictures (n, 16, 16, 3) from how much ink lies where (n, 16, 16)."""
    ink, ground = (random.uniform(*ends, (len(shapes), 1, 1, 3)) for ends in ((0.5, 1.0), (0.0, 0.45)))
    cover = np.clip(shapes, 0, 1)[..., None]
    noise = 0.04 * random.normal(size=(*shapes.shape, 3))
    return np.clip(cover * ink + (1 - cover) * ground + noise, 0, 1).astype(np.float32)


def _pairs(drawn: Floats, digits: Ints, rows: Ints, labels: Ints, random: np.random.Generator) -> Pictures:
    """Pictures of two digits side by side, by the numbers of their classes (n,), from digits at some rows."""
    members = [rows[digits[rows] == number] for number in range(10)]
    shapes = np.zeros((len(labels), 16, 16), np.float32)
    for at, label in enumerate(labels):
        left, right = (
            drawn[members[number][random.integers(len(members[number]))]] for number in divmod(int(label), 10)
        )
        shapes[at, 2:14, :8], shapes[at, 2:14, 8:] = left[_TALL], right[_TALL]
    return Pictures(_colour_in(shapes, random), labels[:, None] == np.arange(100), labels // 10)


_AMOUNTS: dict[str, tuple[str, float, float]] = {
    "blur": ("sigma", 0.4, 1.0),
    "jpeg": ("quality", 5, 30),
    "saturation": ("factor", 0.2, 0.8),
    "brightness": ("factor", 1.05, 1.4),
    "gamma": ("exponent", 1.1, 1.8),
    "hue": ("degrees", 10, 60),
    "noise": ("strength", 0.03, 0.1),
    "rotation": ("degrees", 4, 15),
}
"""Edit of the whole image -> the option that says how strong it is, and between which values it is drawn."""

KINDS: dict[str, Callable[[np.random.Generator], Appearance]] = {
    "tint": tint,
    "border": border,
    "grid": grid,
    "salt": salt,
    "mark": mark,
    "stripe": stripe,
    "varying salt": salt,
    **{name: partial(edit_all, kind=name) for name in _AMOUNTS},
}
"""What can be planted."""

EDITS = tuple(_AMOUNTS)
"""Kinds that edit the whole image, whose controls take long to find."""

VARYING = ("varying salt",)
"""Kinds that are drawn anew for every training picture, while the audit is told of one."""

LOCAL = ("mark", "stripe")
"""Kinds that lie in one place, so that a region of the same shape fits elsewhere."""

_PROPERTIES = ((0, 2, 4, 6, 8), (5, 6, 7, 8, 9), (0, 6, 8, 9), (1, 4, 7), (2, 3, 5))
_TALL = np.array([0, 1, 1, 2, 3, 3, 4, 4, 5, 6, 6, 7])
_TRAINED = 900
