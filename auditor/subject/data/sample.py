"""A seeded sample of a source, in the shape and with the classes of a model, read batch by batch."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from auditor.config.file import AuditConfig
from auditor.errors import DataError, MisfitError
from auditor.measure.arrays import Array, Bools, Floats, Groups, Ints
from auditor.stores.address import Place
from auditor.subject.data.columns import Columns, read_columns
from auditor.subject.data.copies import Found, Joining, join_groups
from auditor.subject.data.labels import find_class, is_labelled, note_numbers, read_labels
from auditor.subject.data.listed import Picked
from auditor.subject.data.pictures import CorruptImageError, RawImage
from auditor.subject.data.ranges import guess_limits, to_unit
from auditor.subject.data.sources import NpzSource, Source
from auditor.subject.population import name_classes
from auditor.subject.record import SkippedImage

Fit = Literal["exact", "resize", "crop"]


@dataclass(frozen=True)
class Batch:
    """Some images of the sample, ready for a classifier."""

    positions: Ints
    """Rows of the sample, (n,)."""
    images: Floats
    """(n, height, width, channels) in [0, 1]."""
    ids: list[str]


class Dataset:
    """A seeded sample of a source, in the shape and with the classes of a model."""

    def __init__(
        self,
        source: Source,
        *,
        classes: tuple[str, ...],
        image_shape: tuple[int, int, int],
        multilabel: bool = False,
        limit: int | None = None,
        seed: int = 0,
        fit: Fit = "exact",
        max_corrupt: float = 0.05,
        limits: tuple[float, float] | None = None,
        copies: Joining = "auto",
        where: str = "data",
        wanted: Collection[int | None] = (),
    ) -> None:
        """Choose the sample.

        Parameters
        ----------
        wanted
            Classes that the sample must not be short of: what an audit names as targets.
        limits
            The values of black and white, where they are not those of their kind: see `to_unit`.
        copies
            Which images of one picture count as one group: see `DataConfig.copies`.
        where
            What errors name as their place.

        Raises
        ------
        DataError
            No images, ids that are not unique, or labels that the model lacks.
        """
        if not source.ids:
            raise MisfitError(f"{where}: there are no images")
        if len(set(source.ids)) < len(source.ids):
            commonest, count = Counter(source.ids).most_common(1)[0]
            raise MisfitError(f"{where}: got id {commonest!r} for {count} images, wanted an id of its own for each")
        self._source = source
        self._where = where
        self._shape = image_shape
        self._fit = fit
        self._limits = limits
        self._max_corrupt = max_corrupt
        self._multilabel = multilabel
        self._seed = seed
        self.available = len(source.ids)
        try:
            truth = None if source.labels is None else read_labels(source.labels, classes, multilabel)
        except DataError as fault:
            raise type(fault)(f"{where}: {fault}") from None
        self._chosen = _sample(truth, self.available, limit, seed, wanted)
        self.ids: Sequence[str] = Picked(source.ids, self._chosen)
        self._copies = copies
        groups = source.groups or source.ids
        self._has_groups = groups is not source.ids and groups != source.ids
        numbers = {name: number for number, name in enumerate(sorted({groups[at] for at in self._chosen}))}
        self._given_groups = np.fromiter((numbers[groups[at]] for at in self._chosen), np.int32, len(self._chosen))
        _, first = np.unique(self._given_groups, return_index=True)
        self.group_names: Sequence[str] = Picked(groups, self._chosen[first])
        """Of groups by number."""
        self.groups: Groups = self._given_groups
        """(images,): the number of each image's group, which rises with its name."""
        self._of_copies: list[str] = []
        self.masks: dict[str, Place] | None = None
        """Mask pictures of sampled images by their ids; None where the data name none."""
        if source.masks is not None:
            named = zip(self.ids, (source.masks[at] for at in self._chosen), strict=True)
            self.masks = {identity: mask for identity, mask in named if mask is not None}
        self.truth: Bools | None = None if truth is None else truth[self._chosen]
        """Which classes (images, classes) each sampled image has; None where the data have no labels."""
        self.labelled: Bools = is_labelled(source.labels, self.available)[self._chosen]
        """Which sampled images (images,) have a label."""
        self.brightest = 0
        """The highest value of 16-bit pictures that were seen."""
        self.told: list[str] = note_numbers(source.labels or (), classes)
        self.skipped: dict[int, SkippedImage] = {}
        """Images that could not be used, by their row in the sample."""
        self.file_sha256: str | None = source.sha256()
        """Of the source's file, where it is one."""

    @property
    def notes(self) -> list[str]:
        """What was guessed about the data, and what looks wrong about them, a sentence each."""
        found = [*self._source.notes, *self.told, *self._of_copies]
        if 0 < self.brightest <= _TWELVE_BITS and self._limits is None:
            bits, most = (8, 255) if self.brightest <= 255 else (12, _TWELVE_BITS)
            told = (
                f"No pixel of the 16-bit pictures seen so far is over {self.brightest}, so they look like {bits} bits"
            )
            found.append(f"{told}; range = [0, {most}] under [data] would have them read so.")
        return found

    def __len__(self) -> int:
        return len(self._chosen)

    def array(self, name: str) -> Array | None:
        """A further array or column of the source, at the sampled images."""
        values = self._source.array(name)
        if values is None:
            return None
        if values.ndim == 0 or len(values) != self.available:
            wanted = f"wanted a value for each of {self.available} images"
            raise MisfitError(f"{self._where}: array {name!r} has shape {values.shape}, {wanted}")
        return values[self._chosen]

    def columns(self, rows: Ints, ignored: Iterable[str]) -> Columns:
        """What the data say of some images of the sample, by row (n,), beside pixels and labels: see `read_columns`."""
        return read_columns(self._source, self._chosen[rows], ignored)

    def batches(self, size: int, positions: Sequence[int] | Ints | None = None) -> Iterator[Batch]:
        """Stream the sample, or some rows of it (ascending), leaving out what cannot be read.

        A batch is of `size` rows that were asked for, fewer images where some of them cannot be read: so the batch of
        an image depends on nothing but its row.

        Raises
        ------
        DataError
            Too large a share of the images is corrupt, or one has the wrong size.
        """
        rows = np.arange(len(self)) if positions is None else np.asarray(positions, np.int64)
        wanted = array("q", self._chosen[rows].tobytes())  # a list would take five times as much
        kept: list[tuple[int, Floats]] = []
        for number, (at, raw) in enumerate(self._source.stream(wanted), start=1):
            row = int(np.searchsorted(self._chosen, at))
            try:
                if isinstance(raw, CorruptImageError):
                    raise raw
                if raw.dtype == np.uint16 and raw.size:
                    self.brightest = max(self.brightest, int(raw.max()))
                kept.append((row, to_model_image(raw, self._shape, self._fit, self.ids[row], self._limits)))
            except CorruptImageError as fault:
                self.skip([row], str(fault))
            except DataError as fault:
                raise type(fault)(f"{self._where}: {fault}") from None
            if number % size == 0 and kept:
                yield self._batch(kept)
                kept = []
        if kept:
            yield self._batch(kept)

    def read(self, positions: Iterable[int]) -> tuple[Ints, Floats]:
        """A few images of the sample by row, all at once, in the order asked for, and their rows.

        What cannot be read, or no longer, is left out of both.
        """
        rows, found = [int(row) for row in positions], dict[int, Floats]()
        for batch in self.batches(64, sorted(set(rows))):
            found |= dict(zip(batch.positions.tolist(), batch.images, strict=True))
        kept = [row for row in rows if row in found]
        images = np.stack([found[row] for row in kept]) if kept else np.empty((0, *self._shape), np.float32)
        return np.array(kept, np.int64), images

    def images(self, positions: Iterable[int]) -> Floats:
        """What `read` gives, without the rows."""
        return self.read(positions)[1]

    def skip(self, rows: Iterable[int], reason: str) -> None:
        """Leave images out, by their rows, for a reason that shows when they are used.

        Raises
        ------
        DataError
            That are too many.
        """
        for row in rows:
            self.skipped[int(row)] = SkippedImage(self.ids[int(row)], reason)
        self._refuse_too_many()

    def join_copies(self, found: Found) -> None:
        """Take images that show the same picture for one group each, unless the user says otherwise.

        What was joined before is forgotten: so it can be said anew when more images are known.
        """
        self.groups, self._of_copies = join_groups(self._given_groups, found, self._copies, are_given=self._has_groups)

    def sample_of(self, rows: Ints, size: int, wanted: Collection[int | None]) -> Ints:
        """Which of some rows of the sample (n,) are a smaller one, chosen as the sample was: (size,), ascending."""
        return _sample(None if self.truth is None else self.truth[rows], len(rows), size, self._seed, wanted)

    def named(self, positions: Iterable[int]) -> list[str]:
        """The ids of some images of the sample, by row."""
        return [self.ids[position] for position in positions]

    def label(self, position: int, classes: Sequence[str]) -> str | None:
        """The classes of an image of the sample, by row; None where it has no label."""
        if self.truth is None or not self.labelled[position]:
            return None
        return name_classes(self.truth[position], classes)

    def truth_as(self, classes: tuple[str, ...]) -> Bools | None:
        """What `truth` would be, were the model's outputs called so: the same where labels are numbers."""
        labels = self._source.labels
        return None if labels is None else read_labels([labels[at] for at in self._chosen], classes, self._multilabel)

    def sha256(self, rows: Ints) -> str:
        """Of the source's file, else of some images of the sample as the model gets them, and their labels."""
        if self.file_sha256 is not None:
            return self.file_sha256
        digest = hashlib.sha256()
        for batch in self.batches(64, rows):
            digest.update(batch.images.tobytes())
        if self.truth is not None:
            digest.update(self.truth[rows].tobytes())
        return digest.hexdigest()

    def _batch(self, kept: list[tuple[int, Floats]]) -> Batch:
        rows = np.array([row for row, _ in kept], dtype=np.int64)
        return Batch(rows, np.stack([image for _, image in kept]), [self.ids[row] for row in rows])

    def lacks_too_many(self, tried: int) -> bool:
        """Whether more of so many images that were tried could not be used than may be."""
        return len(self.skipped) > self._max_corrupt * tried

    def _refuse_too_many(self) -> None:
        if self.lacks_too_many(len(self)):
            first = next(iter(self.skipped.values()))
            raise DataError(
                f"{self._where}: at least {len(self.skipped)} of {len(self)} images cannot be used, more than "
                f"data.max_corrupt = {self._max_corrupt:g}; the first is {first.image}: {first.reason}"
            )


def open_dataset(
    config: AuditConfig,
    source: Source,
    *,
    classes: tuple[str, ...],
    image_shape: tuple[int, int, int],
    multilabel: bool,
) -> Dataset:
    """The sample that a configuration asks for.

    Raises
    ------
    DataError
        See `Dataset`.
    """
    section, limits = config.data, config.data.range
    guessed = guess_limits(source, config.model.input_range) if limits is None else (limits, [])
    dataset = Dataset(
        source,
        classes=classes,
        image_shape=image_shape,
        multilabel=multilabel,
        limit=None if section.limit == "all" else section.limit,
        seed=section.seed,
        fit=section.fit,
        max_corrupt=section.max_corrupt,
        limits=guessed[0],
        copies=section.copies,
        where=f"{config.place('data', 'source')}: data.source",
        wanted={find_class(each.target, classes) for each in config.artefacts if each.target},
    )
    names = source.class_names if isinstance(source, NpzSource) and config.model.labels is None else []
    if len(names) == len(classes) and len(classes) <= _MOST_NAMED:
        says_so = f"labels = [{', '.join(map(repr, names))}] under [model]"
        dataset.told.append(f"The data hold names of classes, which are not read; {says_so} would name the outputs so.")
    dataset.told += guessed[1]
    return dataset


def to_model_image(
    raw: RawImage, shape: tuple[int, int, int], fit: Fit, name: str, limits: tuple[float, float] | None = None
) -> Floats:
    """A raw image as float32 (height, width, channels) in [0, 1], in the shape of the model.

    Parameters
    ----------
    limits
        The values of black and white: see `to_unit`.

    Raises
    ------
    CorruptImageError
        Values are not finite.
    DataError
        The size or the range is wrong: a fault of the whole data set rather than of one image.
    """
    image = raw[..., None] if raw.ndim == 2 else raw
    if image.ndim != 3 or image.shape[2] not in (1, 3) or not image.size:
        raise MisfitError(f"image {name} has shape {raw.shape}, wanted (height, width) or with 1 or 3 channels last")
    pixels = to_unit(image, name, limits)
    height, width, channels = shape
    if pixels.shape[:2] != (height, width):
        if fit == "exact":
            got = f"{pixels.shape[1]} x {pixels.shape[0]}"
            raise MisfitError(
                f'image {name} is {got} pixels, the model takes {width} x {height}; set data.fit = "resize" or "crop"'
            )
        pixels = fit_to(pixels, height, width, crop=fit == "crop")
    if pixels.shape[2] < channels:
        pixels = np.repeat(pixels, channels, axis=2)
    elif pixels.shape[2] > channels:
        pixels = to_grey(pixels)
    return pixels


_MOST_NAMED = 20
"""Classes that are named in a sentence, at the most."""

_TWELVE_BITS = 4095


def to_grey(image: Array) -> Array:
    """Luminance (ITU-R BT.601) of colour values (..., 3), as (..., 1)."""
    return np.asarray(image @ np.array([0.299, 0.587, 0.114], dtype=image.dtype))[..., None]


def fit_to(image: Floats, height: int, width: int, *, crop: bool) -> Floats:
    """An image (h, w, c) in another size, each pixel the mean of what falls into it; or, undistorted, its centre."""
    rows, columns = image.shape[:2]
    if crop:
        scale = max(height / rows, width / columns)
        rows, columns = max(height, round(rows * scale)), max(width, round(columns * scale))
    else:
        rows, columns = height, width
    planes = [
        np.asarray(Image.fromarray(image[..., channel]).resize((columns, rows), Image.Resampling.BILINEAR))
        for channel in range(image.shape[2])
    ]
    top, left = (rows - height) // 2, (columns - width) // 2
    return np.clip(np.stack(planes, axis=-1)[top : top + height, left : left + width], 0, 1)


def _sample(truth: Bools | None, available: int, limit: int | None, seed: int, wanted: Collection[int | None]) -> Ints:
    """Ascending positions of a seeded sample, as even over classes as can be, thirty at least of those wanted."""
    if limit is None or limit >= available:
        return np.arange(available)
    order = np.random.default_rng(seed).permutation(available)
    if truth is None:
        return np.sort(order[:limit])
    first_class = np.where(truth.any(axis=1), truth.argmax(axis=1), truth.shape[1])[order]
    turn = np.zeros(available, dtype=np.int64)
    for number in np.unique(first_class):
        members = np.flatnonzero(first_class == number)
        turn[members] = np.arange(len(members))
        if number in wanted:
            turn[members[: min(_LEAST_WANTED, limit // (3 * len(wanted)))]] = -1
    return np.sort(order[np.argsort(turn, kind="stable")[:limit]])


_LEAST_WANTED = 30
"""Images of a class that is asked about, where the data have them: a few more than suppression takes."""
