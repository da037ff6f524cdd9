"""How a page carries its pictures: inside it, each map's image once; or, where that is too much, in files beside it.

While a page is drawn it names its pictures by marks, which no text of a user's can hold, and they wait in an album.
Once it is whole every mark is replaced, in one pass: by the picture itself, or by the name of its file.
"""

from __future__ import annotations

import hashlib
import io
import re
import secrets
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image

from auditor.measure.ledger import Arrays
from auditor.report import pictures
from auditor.report.templates import policy_hash
from auditor.run.files import BUNDLE, FOLDER, PAGE

LARGEST_PAGE = 10 * 2**20
"""Bytes of a page that still opens at once, and that one can mail."""

_NAME = r"[0-9a-f]{20}\.(?:jpeg|png)"
_POLICY = "img-src data:;"


@dataclass(frozen=True)
class Album:
    """The pictures of one page, each made from arrays of a run when the page shows it."""

    arrays: Arrays
    files: dict[str, bytes] = field(default_factory=dict)
    """The pictures by the names of their files."""
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    """What every name on the page begins with until the page is whole."""
    _named: dict[str, str] = field(default_factory=dict, init=False)
    """What names a picture on the page, by the key of its array: page and PDF show the same ones."""

    @property
    def rules(self) -> str:
        """Stands for the rules that carry the images under maps, at the end of the page's style sheet."""
        return f"{self.mark}rules"

    @property
    def style_hash(self) -> str:
        """Stands for the hash of the whole style sheet."""
        return f"{self.mark}hash"

    def put(self, kind: str, data: bytes) -> str:
        """Keep a picture; returns what names it on the page."""
        name = f"{hashlib.sha256(data).hexdigest()[:20]}.{kind}"
        self.files[name] = data
        return f"{self.mark}{name}"

    def picture(self, key: str) -> str:
        """An image (h, w, c) uint8, by its key."""
        if key not in self._named:
            self._named[key] = pictures.picture_uri(self.arrays[key], self.put)
        return self._named[key]

    def flatten(self, under: str, layer: pictures.HeatLayer) -> str:
        """A picture, by what names it, and the layer over it as one picture."""
        image, heat = (self.files[name.removeprefix(self.mark)] for name in (under, layer.uri))
        return self.put("jpeg", pictures.flatten(image, heat, layer.outline))

    def carry(self, name: str) -> str:
        """A picture as data."""
        return pictures.carry(name.partition(".")[2], self.files[name])

    def find(self, page: str) -> list[tuple[str, str]]:
        """All pictures on a page by the names of their files, in order: (under a map, elsewhere), one of them empty."""
        return [(under, name) for under, _, name in self._marks.findall(page) if under or name in self.files]

    def replace(self, page: str, put: Callable[[str, str, str], str]) -> str:
        """The page with every mark replaced, told what lies under a map, else whether it is a source, and its name."""
        return self._marks.sub(lambda found: put(found[1] or "", found[2] or "", found[3] or ""), page)

    @property
    def _marks(self) -> re.Pattern[str]:
        return re.compile(
            rf'<img class="under" src="{self.mark}({_NAME})" alt="">|(src=")?{self.mark}({_NAME}|rules|hash)'
        )


def fits(page: str, album: Album) -> bool:
    """Whether a page with its pictures inside it is small enough."""
    found = album.find(page)
    shown = [*(name for _, name in found if name), *{under for under, _ in found if under}]
    return len(page) + sum(len(album.files[name]) for name in shown) * 4 // 3 <= LARGEST_PAGE


def embed(page: str, album: Album, style: str = "") -> str:
    """The page with every picture inside it.

    Parameters
    ----------
    style
        Its style sheet. Where the page has it as it is, the image under each map stands in it, once.
    """
    short: dict[str, str] = {}
    if f"<style>{style}{album.rules}</style>" in page:
        under = dict.fromkeys(under for under, _ in album.find(page) if under)
        short = {name: f"u{number}" for number, name in enumerate(under)}
    rules = "".join(f".{at}{{background-image:url({album.carry(name)})}}\n" for name, at in short.items())
    texts = {"rules": rules, "hash": policy_hash(style + rules)}

    def put(under: str, source: str, name: str) -> str:
        if under in short:
            return f'<span class="under {short[under]}"></span>'
        if under:
            return f'<img class="under" src="{album.carry(under)}" alt="">'
        return source + (texts[name] if name in texts else album.carry(name))

    return album.replace(page, put)


def unpack(page: str, album: Album, style: str, companions: dict[str, bytes]) -> dict[str, bytes]:
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
    shown = dict.fromkeys(under or name for under, name in album.find(page))  # in their order on the page
    texts = {"rules": "", "hash": policy_hash(style)}

    def wait(name: str) -> str:
        width, height = Image.open(io.BytesIO(album.files[name])).size
        return f'loading="lazy" width="{width}" height="{height}" src="{FOLDER}/{name}'

    def put(under: str, source: str, name: str) -> str:
        if under:
            return f'<img class="under" {wait(under)}" alt="">'
        return source + texts[name] if name in texts else wait(name) if source else f"{FOLDER}/{name}"

    text = album.replace(page, put).replace(_POLICY, "img-src data: 'self' file:;", 1)
    files = {f"{FOLDER}/{name}": album.files[name] for name in shown}
    files |= {PAGE: text.encode("utf-8")}  # last: files are put in their places in this order
    return {BUNDLE: _bundle(files | companions)} | files


def _bundle(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)  # of 1980: an archive knows no clock
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED if name == PAGE else zipfile.ZIP_STORED
            archive.writestr(entry, data)
    return buffer.getvalue()
