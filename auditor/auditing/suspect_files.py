"""Suspects as files: the picture that a block of `[[artefacts]]` names, and a folder of both to be pruned by hand."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from auditor.measure.arrays import Array
from auditor.measure.ledger import Arrays
from auditor.report.sections.suspects import block_of
from auditor.run.files import write_files
from auditor.run.suspects import Suspect

BLOCKS = "suspects.toml"


def write_looks(suspects: Sequence[Suspect], arrays: Arrays, folder: Path) -> list[str]:
    """Write the pictures that blocks name into a folder; returns their names.

    Raises
    ------
    ReportError
        The folder cannot be written.
    """
    pictures = {each.file: _png(arrays[look_key(each)]) for each in suspects if each.file}
    write_files({folder / name: data for name, data in pictures.items()})
    return list(pictures)


def write_suspects(suspects: Sequence[Suspect], arrays: Arrays, folder: Path, named: str) -> Path:
    """Write blocks of `[[artefacts]]`, the pictures that they name, and what each suspect looks like; the blocks' file.

    Parameters
    ----------
    named
        The folder as an `audit.toml` names it.

    Raises
    ------
    ReportError
        The folder cannot be written.
    """
    write_looks(suspects, arrays, folder)
    strips = {
        folder / f"suspect-{number}-seen.png": _png(_abreast([arrays[picture.array] for picture in each.pictures]))
        for number, each in enumerate(suspects, 1)
    }
    write_files(strips)
    blocks = [f"# {each.reason}\n" + "".join(f"# {said}\n" for said in each.evidence) + block_of(each, named)
              for each in suspects]  # fmt: skip
    file = folder / BLOCKS
    write_files({file: "\n".join(blocks).encode()})
    return file


def look_key(suspect: Suspect) -> str:
    """Key of the array (h, w, channels + 1) with the look of a suspect, its opacity last."""
    return f"{suspect.file.removesuffix('.png').replace('-', ' ')}: look"


def _png(values: Array) -> bytes:
    """A picture (h, w, 1 or 3) uint8, or a look cut to its box, as a PNG."""
    pixels = values
    if values.dtype != np.uint8:
        shown = values[..., -1] > 0
        rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
        cut = values[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        ink = np.repeat(cut[..., :-1], 3, axis=2) if cut.shape[2] == 2 else cut[..., :-1]
        pixels = np.rint(255 * np.concatenate([ink, cut[..., -1:]], axis=2)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return file.getvalue()


def _abreast(pictures: Sequence[Array]) -> Array:
    """Pictures of one size side by side, on white, enlarged where they are small."""
    times = max(1, 128 // max(pictures[0].shape[:2]))
    large = [each.repeat(times, axis=0).repeat(times, axis=1) for each in pictures]
    gap = np.full((large[0].shape[0], 4, large[0].shape[2]), 255, np.uint8)
    return np.concatenate([part for each in large for part in (each, gap)][:-1], axis=1)
