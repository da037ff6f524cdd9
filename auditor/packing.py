"""How a page carries its pictures: inside it, each map's image once; or, where that is too much, in files beside it."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import zipfile
from pathlib import Path, PurePosixPath

from PIL import Image

LARGEST_PAGE = 10 * 2**20
"""Bytes of a page that still opens at once, and that one can mail."""

PAGE = "report.html"
FOLDER = "report_pictures"
BUNDLE = "report.zip"

_FILE = re.compile(r"[0-9a-f]{20}\.(jpeg|png)")
"""Name of a picture beside a page."""

_UNDER = re.compile(r'<img class="under" src="(data:image/[a-z]+;base64,[A-Za-z0-9+/=]+)" alt="">')
_PICTURE = re.compile(r'<img( [^>]*?)?src="data:image/(jpeg|png);base64,([A-Za-z0-9+/=]+)"')
_POLICY = "img-src data:;"


def share_images(page: str) -> tuple[str, str]:
    """The page with the image under each map named instead of carried, and the style rules that carry each once."""
    names: dict[str, str] = {}
    for uri in _UNDER.findall(page):
        names.setdefault(uri, f"u{len(names)}")
    shared = _UNDER.sub(lambda found: f'<span class="under {names[found[1]]}"></span>', page)
    return shared, "".join(f".{name}{{background-image:url({uri})}}\n" for uri, name in names.items())


def unpack(page: str) -> dict[str, bytes]:
    """A page whose pictures lie in files beside it and are read when they are looked at, and all of it as one archive.

    Returns
    -------
    dict[str, bytes]
        Files by their names in the folder of the page. The same page gives the same bytes.
    """
    files: dict[str, bytes] = {}

    def put_beside(found: re.Match[str]) -> str:
        before, kind, text = found.groups()
        data = base64.b64decode(text)
        name = f"{FOLDER}/{hashlib.sha256(data).hexdigest()[:20]}.{kind}"
        files[name] = data
        width, height = Image.open(io.BytesIO(data)).size
        return f'<img{before or " "}loading="lazy" width="{width}" height="{height}" src="{name}"'

    page = _PICTURE.sub(put_beside, page).replace(_POLICY, "img-src data: 'self' file:;", 1)
    files |= {PAGE: page.encode("utf-8")}  # last: files are put in their places in this order, and it names the others
    return {BUNDLE: _bundle(files)} | files


def is_beside(name: str) -> bool:
    """Whether a file of a run is one that a large page needs beside it, or its archive."""
    return name == BUNDLE or name.startswith(f"{FOLDER}/")


def is_pictures(folder: Path) -> bool:
    """Whether this is the folder of pictures that `unpack` fills, with nothing else in it and no link on the way.

    Raises
    ------
    OSError
        It cannot be read.
    """
    if folder.name != FOLDER or folder.is_symlink() or not folder.is_dir():
        return False
    return all(_FILE.fullmatch(file.name) and file.is_file() and not file.is_symlink() for file in folder.iterdir())


def _bundle(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)  # of 1980: an archive knows no clock
            entry.external_attr = 0o644 << 16
            is_page = PurePosixPath(name).suffix == ".html"
            entry.compress_type = zipfile.ZIP_DEFLATED if is_page else zipfile.ZIP_STORED
            archive.writestr(entry, data)
    return buffer.getvalue()
