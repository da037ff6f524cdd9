"""How a page carries its pictures: inside it, each map's image once; or, where that is too much, in files beside it.

While a page is drawn its pictures may be collected: then it names them, and they wait in a store by their names.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import PurePosixPath

from PIL import Image

from auditor.run.files import BUNDLE, FOLDER, PAGE

LARGEST_PAGE = 10 * 2**20
"""Bytes of a page that still opens at once, and that one can mail."""

Store = dict[str, bytes]

_COLLECTED: ContextVar[Store | None] = ContextVar("collected", default=None)
_CARRIED = re.compile(r'src="data:image/(jpeg|png);base64,([A-Za-z0-9+/=]+)"')
_NAME = rf"{FOLDER}/[0-9a-f]{{20}}\.(?:jpeg|png)"
_UNDER = re.compile(rf'<img class="under" src="({_NAME})" alt="">')
_NAMED = re.compile(rf'src="({_NAME})"')
_POLICY = "img-src data:;"


@contextlib.contextmanager
def collecting() -> Iterator[Store]:
    """Inside it, pictures go into a store, and what names them is the name of a file."""
    store: Store = {}
    token = _COLLECTED.set(store)
    try:
        yield store
    finally:
        _COLLECTED.reset(token)


def picture_source(kind: str, data: bytes) -> str:
    """What an `<img>` of a `jpeg` or `png` names: the picture itself; where pictures are collected, its file."""
    store = _COLLECTED.get()
    return _carry(f"{FOLDER}/a.{kind}", data) if store is None else _put(store, kind, data)


def read_source(source: str) -> bytes:
    """The bytes of a picture, from what an `<img>` names."""
    store = _COLLECTED.get() or {}
    return store[source] if source in store else base64.b64decode(source.partition(",")[2])


def fits(page: str, store: Store) -> bool:
    """Whether a page with its pictures inside it is small enough."""
    under = set(_UNDER.findall(page))
    named = [*_NAMED.findall(_UNDER.sub("", page)), *under]
    return len(page) + sum(len(store[name]) for name in named) * 4 // 3 <= LARGEST_PAGE


def collect(page: str, store: Store) -> str:
    """The page with the pictures that it still carries named instead, and put into the store."""
    return _CARRIED.sub(lambda found: f'src="{_put(store, found[1], base64.b64decode(found[2]))}"', page)


def share_images(page: str, store: Store) -> tuple[str, str]:
    """The page with the image under each map left to the style, and the style rules that carry each once."""
    names: dict[str, str] = {}
    for name in _UNDER.findall(page):
        names.setdefault(name, f"u{len(names)}")
    shared = _UNDER.sub(lambda found: f'<span class="under {names[found[1]]}"></span>', page)
    rules = (f".{short}{{background-image:url({_carry(name, store[name])})}}\n" for name, short in names.items())
    return shared, "".join(rules)


def embed(page: str, store: Store) -> str:
    """The page with every picture inside it."""
    return _NAMED.sub(lambda found: f'src="{_carry(found[1], store[found[1]])}"', page)


def unpack(page: str, store: Store, companions: dict[str, bytes]) -> dict[str, bytes]:
    """A page whose pictures lie in files beside it and are read when they are looked at, and all of it as one archive.

    Parameters
    ----------
    companions
        What else goes into the archive, because the page leads to it.

    Returns
    -------
    dict[str, bytes]
        Files by their names in the folder of the page. The same page gives the same bytes.
    """
    sizes = {name: Image.open(io.BytesIO(data)).size for name, data in store.items()}

    def wait(found: re.Match[str]) -> str:
        width, height = sizes[found[1]]
        return f'loading="lazy" width="{width}" height="{height}" {found[0]}'

    shown = {name: store[name] for name in dict.fromkeys(_NAMED.findall(page))}  # in their order on the page
    page = _NAMED.sub(wait, page).replace(_POLICY, "img-src data: 'self' file:;", 1)
    files = shown | {PAGE: page.encode("utf-8")}  # last: files are put in their places in this order
    return {BUNDLE: _bundle(files | companions)} | files


def _put(store: Store, kind: str, data: bytes) -> str:
    name = f"{FOLDER}/{hashlib.sha256(data).hexdigest()[:20]}.{kind}"
    store[name] = data
    return name


def _carry(name: str, data: bytes) -> str:
    return f"data:image/{PurePosixPath(name).suffix[1:]};base64,{base64.b64encode(data).decode('ascii')}"


def _bundle(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)  # of 1980: an archive knows no clock
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED if name == PAGE else zipfile.ZIP_STORED
            archive.writestr(entry, data)
    return buffer.getvalue()
