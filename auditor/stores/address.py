"""Addresses of what lies on an object store: which text is one, and how no secret comes into any other text.

An address is `s3://bucket/folder/file`. `file:///folder` is another spelling of a path, and is taken for that.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path

from auditor.errors import OptionError

STORES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "memory": "",
}
"""How an address begins -> the package that reaches such a store, beside fsspec, where it takes one."""

FILE = "file"
"""How the address of a path of this machine begins."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file or a folder on an object store, in the manner of a `Path`; nothing is asked of the store."""

    store: str
    """How its address begins, a key of `STORES`."""
    key: str
    """Bucket and what stands after it, without a slash at either end."""
    size: int | None = field(default=None, compare=False)
    """Bytes of a file, as its folder lists it; None where it was not listed."""

    def __str__(self) -> str:
        return f"{self.store}://{self.key}"

    def __truediv__(self, name: str) -> Stored:
        """What a relative name leads to from here.

        Raises
        ------
        OptionError
            It leads out of the bucket, or is no relative name.
        """
        key = posixpath.normpath(f"{self.key}/{name}")
        if name.startswith("/") or key.partition("/")[0] != self.bucket:
            raise OptionError(
                "", f"{name!r} leads out of {self.store}://{self.bucket}; wanted a name relative to {self}"
            )
        return Stored(self.store, key)

    @property
    def bucket(self) -> str:
        """The first part."""
        return self.key.partition("/")[0]

    @property
    def name(self) -> str:
        """The last part."""
        return self.key.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """As `Path.suffix`."""
        name = self.name
        at = name.rfind(".")
        return name[at:] if 0 < at < len(name) - 1 else ""  # a path would keep each name in a table of its own

    @property
    def parent(self) -> Stored:
        """The folder that it lies in; a bucket lies in itself."""
        return Stored(self.store, self.key.rpartition("/")[0] or self.key)

    def below(self, folder: Stored) -> str:
        """The rest of its key after that of a folder above it."""
        return self.key.removeprefix(f"{folder.key}/")


Place = Path | Stored
"""A file or a folder that may be elsewhere."""


def is_address(text: str) -> bool:
    """Whether a text is meant as an address rather than a path: it begins with a word, a colon and two slashes."""
    return _ADDRESS.match(text) is not None


def is_stored(text: str) -> bool:
    """Whether a text is the address of something on a store."""
    match = _ADDRESS.match(text)
    return match is not None and match[1].lower() in STORES


def read_place(text: str) -> Place:
    """The path, or the place on a store, that a text names.

    Raises
    ------
    OptionError
        It is an address of no known kind, or holds a user, a password or a query: credentials come from the
        environment alone, and what is written down of an audit must not hold any.
    """
    match = _ADDRESS.match(text)
    if match is None:
        return Path(text)
    store, key = match[1].lower(), text[match.end() :]
    shown = _show(text)
    if store == FILE:
        if not key.startswith("/"):
            raise OptionError("", f"got {shown!r}, wanted file:///FOLDER, or a path")
        return Path(key)
    if store not in STORES:
        known = ", ".join(f"{name}://" for name in ("s3", "gs", "az", "memory"))
        raise OptionError("", f"got {shown!r}; wanted a path, or an address that begins with {known} or {FILE}://")
    bucket = key.partition("/")[0]
    has_user = "@" in bucket and (":" in bucket or not store.startswith("abfs"))  # container@account of Azure is none
    if has_user or ":" in bucket or "?" in key:
        what = "a query" if "?" in key else "a user or a password"
        raise OptionError("", f"got {shown!r}, which holds {what}; wanted none: {_CREDENTIALS}")
    key = posixpath.normpath(key.strip("/")) if key.strip("/") else ""
    if not key or key.startswith("."):
        raise OptionError("", f"got {shown!r}, which names no bucket; wanted {store}://BUCKET/..")
    return Stored(store, key)


def read_path(text: str) -> Path:
    """The path that a text names, where what is named must lie on this machine.

    Raises
    ------
    OptionError
        It is an address of something on a store, or as `read_place`.
    """
    place = read_place(text)
    if isinstance(place, Stored):
        raise OptionError("", f"got {text!r}, which lies on a store; wanted a path of this machine: fetch it first")
    return place


def _show(address: str) -> str:
    """An address without user, password and query, whatever signs these are made of."""
    start, _, rest = address.strip().partition("://")
    _, at, rest = rest.rpartition("@")
    rest, query, _ = rest.partition("?")
    return f"{start}://{'…@' if at else ''}{rest}{'?…' if query else ''}"


def without_secrets(text: str) -> str:
    """A text in which nothing stands of users, passwords and queries of addresses."""
    return _QUERY.sub(r"\1?…", _USER.sub(r"\1…@", text))


_ADDRESS = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.:-]*)://")
"""With a colon in it, it is one that is chained as `simplecache::s3://` is, of no kind that is known here."""

_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s'\"]*@")

_QUERY = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s'\"?]*)\?[^\s'\"]*")

_CREDENTIALS = "credentials come from the environment alone"
