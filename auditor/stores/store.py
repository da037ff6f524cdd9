"""Asks an object store, through fsspec: what is there, its bytes, and to keep or remove some.

Whatever fails for a moment is tried again, a few times; what a store gives is as long as it says that it is. Nothing
here asks for a user or a password: fsspec and the packages behind it find credentials in the environment.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from auditor.errors import NotGivenError, StoreError
from auditor.stores.address import STORES, Stored, without_secrets

Found = TypeVar("Found")

_WAITS = (0.1, 0.4, 1.6)
"""Seconds after which what failed is tried again."""

_PATIENCE = 10.0
"""Seconds after which a store that nobody answers for is not tried again."""

_CONNECTING = 3.0
"""Seconds in which S3 is to take up a connection; what it then gives may take longer."""

LOST = "no such bucket, folder or file"


def kind_of(place: Stored) -> Literal["file", "folder"]:
    """What stands at a place.

    Raises
    ------
    StoreError
        Nothing does, it may not be read, or the store cannot be reached.
    """
    return "folder" if _info(place)["type"] == "directory" else "file"


def size_of(place: Stored) -> int:
    """Bytes of a file, as the store says.

    Raises
    ------
    StoreError
        As `kind_of`.
    """
    return int(_info(place)["size"]) if place.size is None else place.size


def stamp_of(place: Stored) -> str:
    """What a store says of a file, or of all files of a folder, beside their bytes: something else once one changed.

    Raises
    ------
    StoreError
        As `kind_of`.
    """
    info = _info(place)
    found = {"": info}
    if info["type"] == "directory":
        system = _open(place.store, place.bucket)
        found = _patiently(lambda: system.find(str(place), detail=True), place)
    told = repr([(name, *(str(found[name].get(key)) for key in _STAMPS)) for name in sorted(found)])
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()


def is_file(place: Stored) -> bool:
    """Whether a file stands there.

    Raises
    ------
    StoreError
        The store cannot be reached.
    """
    try:
        return kind_of(place) == "file"
    except NotGivenError:
        return False


def list_files(folder: Stored) -> list[Stored]:
    """All files below a folder, with their sizes, in the order of the parts of their names; none where there is none.

    Raises
    ------
    StoreError
        It may not be listed, or the store cannot be reached.
    """
    system = _open(folder.store, folder.bucket)
    found = _patiently(lambda: system.find(str(folder), detail=True), folder)
    root = system._strip_protocol(str(folder)).strip("/")
    files = []
    while found:  # what is told of each file takes far more memory than what is kept of it
        name, told = found.popitem()
        inside = name.strip("/").removeprefix(f"{root}/")
        if told.get("type") == "file" and not name.endswith("/") and inside != root:
            files.append(Stored(folder.store, f"{folder.key}/{inside}", int(told["size"])))
    files.sort(key=lambda file: file.key.replace("/", "\0"))  # as by their parts, without a list for each
    return files


def read(file: Stored, given_up: threading.Event | None = None) -> bytes:
    """All bytes of a file; what fails is not asked for again once it is given up.

    Raises
    ------
    StoreError
        It is not there or denied, the store gives fewer or more bytes than it says, or it cannot be reached.
    """
    system, size = _open(file.store, file.bucket), size_of(file)

    def once() -> bytes:
        data = bytes(system.cat_file(str(file)))
        _refuse_length(file, len(data), size)
        return data

    return _patiently(once, file, given_up=given_up)


def fetch_file(file: Stored, to: Path) -> None:
    """Put the bytes of a file into one on the disk, whole or not at all.

    Raises
    ------
    StoreError
        As `read`; or the disk takes no more.
    """
    system, size = _open(file.store, file.bucket), size_of(file)
    partial = to.with_name(f"{to.name}.partial")

    def once() -> None:
        system.get_file(str(file), str(partial))
        _refuse_length(file, partial.stat().st_size, size)
        partial.replace(to)

    try:
        _patiently(once, file)
    finally:
        partial.unlink(missing_ok=True)


def write(file: Stored, data: bytes | Path) -> None:
    """Keep some bytes, or those of a file on the disk, at a place: all of them or what stood there.

    Raises
    ------
    StoreError
        The store denies it, keeps another number of bytes, or cannot be reached.
    """
    system = _open(file.store, file.bucket)
    size = data.stat().st_size if isinstance(data, Path) else len(data)

    def once() -> None:
        if isinstance(data, Path):
            system.put_file(str(data), str(file))
        else:
            system.pipe_file(str(file), data)
        _refuse_length(file, int(system.info(str(file))["size"]), size)

    _patiently(once, file, "cannot be written")


def remove(file: Stored) -> None:
    """Remove a file, if it is there.

    Raises
    ------
    StoreError
        The store denies it, or cannot be reached.
    """

    def once() -> None:
        try:
            _open(file.store, file.bucket).rm_file(str(file))
        except FileNotFoundError:
            return

    _patiently(once, file, "cannot be removed")


_STAMPS = ("size", "ETag", "etag", "generation", "LastModified", "last_modified", "created")
"""What each store says that is another once a file was written anew."""


def _info(place: Stored) -> Any:
    return _patiently(lambda: _open(place.store, place.bucket).info(str(place)), place)


@cache
def _open(store: str, bucket: str) -> Any:
    """The file system of fsspec behind a bucket, which remembers nothing of what it listed.

    The bucket is asked for nothing but the account of Azure that may stand in it.
    """
    package = STORES[store]
    try:
        import fsspec

        account = (
            fsspec.get_filesystem_class(store)._get_kwargs_from_urls(f"{store}://{bucket}") if "@" in bucket else {}
        )
        options = account | _patience_of(package, fsspec.config.conf.get(store, {}))
        return fsspec.filesystem(store, **options, use_listings_cache=False, skip_instance_cache=True)
    except ImportError as fault:
        lacking = package if package and fault.name != "fsspec" else "fsspec"
        install = f"'auditor[stores]'{f' {package}' if package not in ('', 's3fs') else ''}"
        raise StoreError(f"{store}:// takes {lacking}, which is not installed: `pip install {install}`") from None
    except Exception as fault:  # each package behind fsspec raises its own
        raise StoreError(f"{store}://: cannot be opened: {_reason(fault)}") from None


def _patience_of(package: str, settings: dict[str, Any]) -> dict[str, Any]:
    """How long S3 is waited for, where neither the environment, the files of AWS nor the settings of fsspec say that.

    Its package would try an address that nobody answers at for two minutes.
    """
    if package != "s3fs":
        return {}
    config: dict[str, Any] = {"connect_timeout": _CONNECTING}
    if not os.environ.keys() & {"AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"} and not _profile_says_retries():
        config["retries"] = {"mode": "standard"}  # three tries of each request, where there were five
    return {"config_kwargs": config | settings.get("config_kwargs", {})}


def _profile_says_retries() -> bool:
    """Whether the files of AWS, as `~/.aws/config`, say how often a request is tried."""
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        return not Session().get_scoped_config().keys().isdisjoint({"max_attempts", "retry_mode"})
    except BotoCoreError:  # there is no such profile, or no such file can be read: that is told when it is needed
        return False


def _patiently(
    ask: Callable[[], Found], place: Stored, what: str = "cannot be read", given_up: threading.Event | None = None
) -> Found:
    """What a store answers, asked again where it fails for what may pass."""
    given_up, begun = given_up or threading.Event(), time.monotonic()
    for tries, wait in enumerate((*_WAITS, None), 1):
        try:
            return ask()
        except StoreError:
            raise
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise NotGivenError(place, LOST) from None
        except PermissionError as fault:
            if _code(fault) in _BAD_CREDENTIALS:  # then nothing is given any more, and no one thing is at fault
                told = f"{what}: the store does not take the credentials of the environment ({_reason(fault)})"
                raise StoreError(f"{place}: {told}") from None
            raise NotGivenError(place, f"{what}: the store denies it ({_reason(fault)})") from None
        except _LengthError as fault:
            if wait is None:
                raise NotGivenError(place, str(fault)) from None
        except Exception as fault:  # each package behind fsspec raises its own
            if isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # it is the disk here
            if type(fault).__name__ in _WITHOUT_CREDENTIALS:
                told = f"{what}: the environment has no credentials for it ({_reason(fault)})"
                raise StoreError(f"{place}: {told}") from None
            is_over = type(fault).__name__ in _UNANSWERED and time.monotonic() - begun > _PATIENCE
            if wait is None or is_over:
                told = f"{what}: the store cannot be reached, or fails ({_reason(fault)})"
                raise StoreError(f"{place}: {told}; tried {tries} time{'s' * (tries > 1)}") from None
        if given_up.wait(wait):
            raise StoreError(f"{place}: {what}: given up")
    raise AssertionError("the last try ends it")


def _refuse_length(file: Stored, got: int, wanted: int) -> None:
    if got != wanted:
        raise _LengthError(f"got {got:,} bytes, and the store says that it has {wanted:,}")


def _code(fault: BaseException) -> str:
    """What S3 calls a fault; empty of any other store."""
    response = getattr(fault.__cause__, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _reason(fault: BaseException) -> str:
    """What was raised, in a line without secrets."""
    line = next((line.strip() for line in str(fault).splitlines() if line.strip()), "")
    return f"{type(fault).__name__}: {without_secrets(line)[:200]}" if line else type(fault).__name__


class _LengthError(Exception):
    """Fewer bytes, or more, than there should be."""


_BAD_CREDENTIALS = {
    "ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "AccountProblem",
}  # fmt: skip
"""How S3 says that it does not take credentials, as those that are over."""

_WITHOUT_CREDENTIALS = {
    "NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "TokenRetrievalError",
    "DefaultCredentialsError", "ClientAuthenticationError",
}  # fmt: skip
"""What the packages of the stores raise where the environment holds no credentials, by name."""

_UNANSWERED = {"EndpointConnectionError", "ConnectTimeoutError"}
"""What S3's package raises where nobody takes up a connection."""
