"""Hostile data: arrays, pictures, tables, and what a configuration is written in."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tests.bad_worlds import DATA as SOURCE
from tests.bad_worlds import LABELS, TARGET
from tests.hostile import Case, Effect, Trap
from tests.small_world import CLASSES, SIDE, make_data


class Springing:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.file}",)


def pickled(trap: Trap, **arrays: str) -> None:
    objects = np.empty(42, object)
    objects[:] = [Springing(trap.world.folder.parent / "gone")] * 42
    trap.world.save_images(**dict.fromkeys(arrays.values(), objects))


def declare(trap: Trap, name: str, shape: tuple[int, ...], kind: str, data: bytes = b"") -> None:
    """Put an array into the archive whose header says more than there is."""
    file = trap.world.folder / "images.npz"
    with zipfile.ZipFile(file) as archive:
        parts = {other: archive.read(other) for other in archive.namelist() if other != f"{name}.npy"}
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    with zipfile.ZipFile(file, "w") as archive:
        for other, kept in parts.items():
            archive.writestr(other, kept)
        archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data)


def unpacking(trap: Trap) -> None:
    """An archive of a few million bytes whose images unpack to gigabytes, and are all there."""
    file, count = trap.world.folder / "images.npz", 12_000_000
    with zipfile.ZipFile(file) as archive:
        parts = {other: archive.read(other) for other in archive.namelist() if other != "images.npy"}
    header = (
        f"{{'descr': '|u1', 'fortran_order': False, 'shape': {(count, SIDE, SIDE, 1)}, }}".encode().ljust(117) + b"\n"
    )
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for other, kept in parts.items():
            archive.writestr(other, kept)
        with archive.open("images.npy", "w") as member:
            member.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
            for _ in range(count // 10_000):
                member.write(bytes(10_000 * SIDE * SIDE))


def one_picture(trap: Trap, make: Callable[[Path], Any], name: str = "cat/odd.png") -> None:
    """A folder of pictures, one of which is hostile."""
    for number, image in enumerate(make_data()["images"]):
        file = trap.world.folder / "pictures" / CLASSES[number % 3] / f"{number:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(file)
    make(trap.world.folder / "pictures" / name)
    trap.world.replace(SOURCE, 'source = "pictures"\n')


def huge_png(file: Path, side: int = 60_000) -> None:
    """A few bytes that say they are 3.6 billion pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(10**6))
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b""))


def huge_tiff(file: Path, side: int = 60_000) -> None:
    tags = [(256, side), (257, side), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, side), (279, side * side)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    file.write_bytes(struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(tags)) + entries + bytes(4))


def huge_webp(file: Path) -> None:
    """As large as a WebP may be: 16383 pixels a side, all of one colour."""
    Image.new("L", (16_383, 16_383)).save(file, "WEBP", lossless=True, method=0)


def large_gif(file: Path) -> None:
    Image.new("L", (65_000, 65_000 // 8)).save(file, "GIF")


def postscript(trap: Trap) -> Callable[[Path], Any]:
    """Pillow would start Ghostscript for it, whatever its name is."""
    text = (
        f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n({trap.sprung}) (w) file closefile\n%%EOF\n"
    )
    return lambda file: file.write_text(text)


def manifest(trap: Trap, text: str) -> None:
    (trap.world.folder / "images.csv").write_text(text)
    trap.world.replace(SOURCE, 'source = "images.csv"\n')


def parquet(trap: Trap, table: Any) -> None:
    pq.write_table(table, trap.world.folder / "images.parquet", compression="zstd")
    trap.world.replace(SOURCE, 'source = "images.parquet"\n')


def repeated(count: int, length: int) -> Any:
    """A column of one text again and again, which takes no room in a file."""
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array(["x" * length]))
    return pa.table({"path": texts})


def pipe(file: Path) -> None:
    os.mkfifo(file)


def labels_at(trap: Trap, path: str) -> None:
    trap.world.replace(LABELS, f'labels = "{path}"\n')


def config(trap: Trap, text: str) -> None:
    trap.world.config.write_text(text)


def case(container: str, effect: Effect, tries: str, build: Callable[[Trap], Any]) -> Case:
    return Case(container, effect, tries, build)


INIT = "init --model {folder}/model.keras --data {folder}/pictures --output {folder}/new.toml"

DATA = [
    case("npz", "import", "holds images that are pickled code", lambda trap: pickled(trap, name="images")),
    case("npz", "import", "holds labels that are pickled code", lambda trap: pickled(trap, name="labels")),
    case("npz", "allocate", "promises a trillion images",
         lambda trap: declare(trap, "images", (10**12, SIDE, SIDE, 1), "|u1")),
    case("npz", "allocate", "promises images of a terabyte each",
         lambda trap: declare(trap, "images", (42, 10**6, 10**6), "|u1")),
    case("npz", "allocate", "promises labels of a gigabyte each",
         lambda trap: declare(trap, "labels", (42,), "<U250000000")),
    case("npz", "loop", "unpacks to twelve million images", unpacking),
    case("png", "allocate", "says that it is 60000 pixels a side", lambda trap: one_picture(trap, huge_png)),
    Case("png", "allocate", "the same, given to init", lambda trap: one_picture(trap, huge_png), INIT),
    case("tiff", "allocate", "says that it is 60000 pixels a side",
         lambda trap: one_picture(trap, huge_tiff, "cat/odd.tif")),
    case("webp", "allocate", "is as large as one may be, of one colour",
         lambda trap: one_picture(trap, huge_webp, "cat/odd.webp")),
    case("gif", "allocate", "is half a billion pixels of one colour",
         lambda trap: one_picture(trap, large_gif, "cat/odd.gif")),
    case("png", "import", "is a program in PostScript", lambda trap: one_picture(trap, postscript(trap))),
    case("png", "loop", "is a pipe that nobody writes into", lambda trap: one_picture(trap, pipe)),
    case("png", "allocate", "is a device that never ends",
         lambda trap: one_picture(trap, lambda file: file.symlink_to("/dev/zero"))),
    case("png", "allocate", "is the picture of an artefact, 60000 pixels a side",
         lambda trap: huge_png(trap.world.folder / "mark.png")),
    case("png", "loop", "is the picture of an artefact, and a pipe",
         lambda trap: ((trap.world.folder / "mark.png").unlink(), pipe(trap.world.folder / "mark.png"))),
    Case("csv", "read", "names a file that is no picture",
         lambda trap: manifest(trap, f"path,label\n{trap.secret},cat\n"), is_read=True),
    case("csv", "allocate", "names a device that never ends",
         lambda trap: manifest(trap, "path,label\n/dev/zero,cat\n")),
    case("csv", "allocate", "has millions of columns", lambda trap: manifest(trap, "path," * 12_000_000)),
    case("csv", "allocate", "has millions of rows", lambda trap: manifest(trap, "path,label\n" + "a,\n" * 12_000_000)),
    case("parquet", "allocate", "repeats one row twenty million times",
         lambda trap: parquet(trap, repeated(20_000_000, 9))),
    case("parquet", "allocate", "repeats one name of a million letters",
         lambda trap: parquet(trap, repeated(1_000_000, 1_000_000))),
    case("labels", "loop", "are a pipe", lambda trap: ((trap.world.folder / "labels.txt").unlink(),
                                                       pipe(trap.world.folder / "labels.txt"))),
    case("labels", "allocate", "are a device that never ends", lambda trap: labels_at(trap, "/dev/zero")),
    case("toml", "loop", "nests lists without end", lambda trap: config(trap, "a = " + "[" * 100_000)),
    case("toml", "loop", "has a key of a hundred thousand parts",
         lambda trap: config(trap, ".".join("a" * 100_000) + " = 1")),
    case("toml", "loop", "has a list of as many lines as fit",
         lambda trap: config(trap, "x = [\n" + "[],\n" * 60_000 + "]\n")),
    case("toml", "loop", "has a number of a hundred thousand digits",
         lambda trap: config(trap, "a = " + "9" * 100_000)),
    case("toml", "allocate", "is larger than any configuration", lambda trap: config(trap, "#" * 10**7)),
    case("toml", "allocate", "asks for a text of a million points",
         lambda trap: trap.world.replace('kind = "overlay"\nimage = "mark.png"\nposition = [5, 5]\n' + TARGET,
                                         'kind = "text"\ntext = "x"\nsize = 1000000\n' + TARGET)),
]  # fmt: skip
