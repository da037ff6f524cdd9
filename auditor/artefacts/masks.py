"""Masks: pictures that say where in each image an artefact is, whatever it looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np

from auditor.artefacts.appearance import Appearance, Edit, Frame, Randoms
from auditor.errors import DataError, OptionError
from auditor.measure.arrays import Bools, Floats
from auditor.measure.measurement import Note
from auditor.stores.address import Place, Stored
from auditor.stores.store import is_file, list_files
from auditor.subject.data.pictures import CorruptImageError, read_picture
from auditor.subject.data.sample import Fit, fit_to


@dataclass(frozen=True)
class Masks:
    """An artefact of which only the place is known: a mask picture per image, not black in the region."""

    folder: Place | None = None
    """Where masks are called as the images are: that of `cat/1.jpg` is `cat/1.jpg.png` or `cat/1.png`."""
    files: Mapping[str, Place] = field(default_factory=dict)
    """Masks by the ids of their images, where there is no folder."""
    fit: Fit = "exact"
    """What is done with masks of another size, as it is done with their images."""

    can_insert = can_remove = False
    fixed_region = opacity = None

    def insert(self, images: Floats, randoms: Randoms = ()) -> Floats:
        """Nobody knows what it looks like."""
        raise AssertionError("it says so in can_insert and can_remove")

    def remove(self, images: Floats, shift: tuple[int, int] = (0, 0)) -> Floats:
        """Nobody knows what would be there."""
        raise AssertionError("it says so in can_insert and can_remove")

    def controls(self, given: Mapping[str, Appearance], seed: int) -> tuple[dict[str, list[Edit]], list[Note]]:
        """None: what cannot be put in is compared with nothing."""
        return {}, []

    def innocents(self, count: int, seed: int) -> list[Edit]:
        """None."""
        return []

    def variants(self, given: Mapping[str, Appearance]) -> dict[str, Edit]:
        """None."""
        return {}

    def doses(self) -> dict[float, Edit]:
        """None."""
        return {}

    def neighbours(self) -> dict[str, Appearance]:
        """None."""
        return {}

    def region(self, image_id: str, frame: Frame, random: np.random.Generator | None = None) -> Bools | None:
        """The region (height, width) of one image; None where it has no mask.

        Raises
        ------
        DataError
            The mask is unreadable or of another size than the image.
        """
        file = self._file(image_id)
        if file is None:
            return None
        try:
            picture = read_picture(file)
        except CorruptImageError as fault:
            raise DataError(f"{file}: {fault}") from None
        bright = np.asarray((picture if picture.ndim == 2 else picture.max(axis=2)) > 0)
        if bright.shape == frame[:2]:
            return bright
        if self.fit == "exact":
            got, wanted = bright.shape, frame[:2]
            raise DataError(f"{file}: mask is {got[1]} x {got[0]} pixels, the image is {wanted[1]} x {wanted[0]}")
        share = fit_to(bright[..., None].astype(np.float32), *frame[:2], crop=self.fit == "crop")
        return np.asarray(share[..., 0] > 1e-3)  # wherever a pixel of the region reaches

    def has(self, image_id: str) -> bool:
        """Whether an image has a mask."""
        return self._file(image_id) is not None

    def named_by(self, files: Mapping[str, Place] | None) -> Masks:
        """The same with the masks that the data name, where there is no folder.

        Raises
        ------
        OptionError
            They name none, or some that do not exist.
        """
        if self.folder is not None:
            return self
        if files is None:
            raise OptionError("folder", "missing, and the data have no column 'mask' that would name the masks")
        lost = [file for file in files.values() if not _is_there(file)]
        if lost:
            others = f" ({len(lost)} in all)" if len(lost) > 1 else ""
            raise OptionError("folder", f"left out, but the mask {lost[0]} that the data name does not exist{others}")
        return replace(self, files=files)

    def _file(self, image_id: str) -> Place | None:
        return self.files.get(image_id) if self.folder is None else _find_mask(self.folder, image_id)


def masks(frame: Frame, *, folder: Path | None = None) -> Masks:
    """Only the place is known: a mask picture per image, not black in the region.

    It is `<image id>.png` in `folder`, or without a folder the picture in the column `mask` of the manifest.
    """
    del frame
    if folder is not None and not (_listed(folder) if isinstance(folder, Stored) else folder.is_dir()):
        raise OptionError("folder", f"{folder}: no such folder")
    return Masks(folder)


def _find_mask(folder: Place, image_id: str) -> Place | None:
    """The mask in the folder that is called as the image is; steps out of the folder are left away."""
    path = PurePosixPath(image_id)
    inside = PurePosixPath(*(part for part in path.parts if part not in ("..", path.anchor)))
    if not inside.name:
        return None
    names = [inside.with_name(f"{inside.name}.png"), inside.with_suffix(".png")]
    if isinstance(folder, Stored):
        return next((found for name in names if (found := _listed(folder).get(name.as_posix()))), None)
    return next((folder / name for name in names if (folder / name).is_file()), None)


@cache
def _listed(folder: Stored) -> dict[str, Stored]:
    """The files of a folder on a store by their names from there; it is asked once."""
    return {file.below(folder): file for file in list_files(folder)}


def _is_there(file: Place) -> bool:
    return is_file(file) if isinstance(file, Stored) else file.is_file()
