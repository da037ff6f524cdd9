"""Looks through the containers of models, before Keras reads them: nothing leads out of a file, sizes are bounded.

A `.keras` file is a zip archive of a configuration and of weights as HDF5; a `.h5` file is HDF5 as a whole.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import h5py

from auditor.errors import ModelError
from auditor.subject.model.trial import TO_TRUST

METADATA, ARCHITECTURE, WEIGHTS = _MEMBERS = ("metadata.json", "config.json", "model.weights.h5")

MOST_TEXT = 16 * 2**20
"""Bytes of an architecture as text; that of the largest model that comes with Keras has one million."""

MOST_OBJECTS = 100_000
"""Groups and arrays in a file of HDF5."""


def most_numbers(size: int) -> int:
    """Bytes that the numbers of a file of this size may unpack to; Keras itself does not pack them."""
    return 256 * 2**20 + 4 * size


def read_architecture(file: Path) -> tuple[list[str], Any, Any]:
    """The names in a `.keras` archive, the architecture that it holds, and the version of the Keras that wrote it.

    Raises
    ------
    Exception
        Whatever `zipfile` and `json` make of a file that is none; a `ModelError` where it is too large.
    """
    with zipfile.ZipFile(file) as archive:
        member = archive.getinfo(ARCHITECTURE)
        if member.file_size > MOST_TEXT:
            raise ModelError(f"holds an architecture of {member.file_size:,} bytes, wanted {MOST_TEXT:,} at most")
        names, version = archive.namelist(), None
        if METADATA in names and archive.getinfo(METADATA).file_size <= MOST_TEXT:
            told = json.loads(archive.read(METADATA))
            version = told.get("keras_version") if isinstance(told, dict) else None
        return names, json.loads(archive.read(member)), version


def refuse_leading_out(names: list[str]) -> None:
    """Refuse an archive that would be unpacked to outside of the folder that it is unpacked in."""
    outside = [name for name in names if name.startswith("/") or ".." in PurePosixPath(name).parts or "\\" in name]
    if outside:
        raise ModelError(f"cannot be loaded: it holds a file that would be written outside of it, {outside[0][:80]!r}")


def refuse_archive(file: Path) -> None:
    """Refuse a `.keras` archive with more in it than a model, or with weights that are not what they seem.

    Raises
    ------
    ModelError
        What is in it.
    """
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if member.filename not in _MEMBERS:
                raise ModelError(
                    f"holds {member.filename[:80]!r}, which no model needs that is loaded without trust; {TO_TRUST}"
                )
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ModelError(f"holds {member.filename!r} packed in a way that Keras does not use; {TO_TRUST}")
        if len(archive.namelist()) > len(_MEMBERS):
            raise ModelError(f"holds files of the same name; {TO_TRUST}")
        size, most = archive.getinfo(WEIGHTS).file_size, most_numbers(file.stat().st_size)
        if size > most:
            raise ModelError(f"holds weights that unpack to {size:,} bytes, wanted {most:,} at most; {TO_TRUST}")
        refuse_hdf5(io.BytesIO(archive.read(WEIGHTS)))


def refuse_hdf5(file: Path | io.BytesIO) -> None:
    """Refuse a file of HDF5 that leads out of itself, or whose arrays are larger than what is stored of them.

    Raises
    ------
    ModelError
        What is in it, and where.
    """
    size = len(file.getbuffer()) if isinstance(file, io.BytesIO) else file.stat().st_size
    most, total, seen = most_numbers(size), 0, set()
    with h5py.File(file, "r") as content:
        waiting = [("", content["/"])]
        while waiting:
            path, group = waiting.pop()
            for name in group:
                place = f"{path}/{name}"
                link = group.get(name, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    raise ModelError(f"holds a link at {_shown(place)}, which may lead to another file; {TO_TRUST}")
                found = group[name]
                address = h5py.h5o.get_info(found.id).addr
                if address in seen:
                    raise ModelError(f"holds the same part twice, at {_shown(place)}; {TO_TRUST}")
                seen.add(address)
                if len(seen) > MOST_OBJECTS:
                    raise ModelError(f"holds more than {MOST_OBJECTS:,} parts; {TO_TRUST}")
                if isinstance(found, h5py.Group):
                    waiting.append((place, found))
                    continue
                total += _size_of(found, place)
                if total > most:
                    raise ModelError(
                        f"holds arrays of more than {most:,} bytes in a file of {size:,}, as at {_shown(place)}; "
                        f"{TO_TRUST}"
                    )


def _size_of(found: Any, place: str) -> int:
    """Bytes of an array, once it is read."""
    if not isinstance(found, h5py.Dataset):
        raise ModelError(f"holds what is no array, at {_shown(place)}; {TO_TRUST}")
    if found.is_virtual or found.external:
        raise ModelError(f"holds an array that lies in another file, at {_shown(place)}; {TO_TRUST}")
    is_number = found.dtype.kind in "biufcSV" and found.dtype.names is None  # V: bfloat16, as Keras keeps it
    if not is_number and h5py.check_string_dtype(found.dtype) is None:
        raise ModelError(f"holds what are no numbers, at {_shown(place)}: {found.dtype}; {TO_TRUST}")
    plan = found.id.get_create_plist()
    unknown = {plan.get_filter(number)[0] for number in range(plan.get_nfilters())} - _FILTERS
    if unknown:
        raise ModelError(f"holds an array packed in a way that Keras does not use, at {_shown(place)}; {TO_TRUST}")
    count = 1
    for side in found.shape or ():
        count *= side
    return count * max(found.dtype.itemsize, 1)


def _shown(place: str) -> str:
    return ascii(place[:120])


_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}
"""What HDF5 unpacks by itself: others are looked for as libraries on the disk."""
