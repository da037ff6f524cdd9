"""A cluster of Ray: joined where one runs, else started on this machine alone, and ended."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from auditor.config.sections import ExecutionConfig
from auditor.errors import EngineError, EngineLostError


@contextmanager
def cluster(section: ExecutionConfig, place: str) -> Iterator[Any]:
    """Join or start a cluster, and leave it; gives Ray's module. One that is started ends with the context.

    Parameters
    ----------
    place
        Where the address is named.

    Raises
    ------
    EngineError
        Ray is not installed, there is no cluster at the address, or it cannot be joined or started.
    """
    if find_spec("ray") is None:
        raise EngineError('execution.engine: got "ray", which is not installed; wanted `pip install auditor[ray]`')
    is_main = threading.current_thread() is threading.main_thread()
    handler, environment = signal.getsignal(signal.SIGTERM), _environment(section)
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)  # some is read when Ray is imported, some when it begins
    import ray

    _sweep()
    folder = tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-")  # what Ray writes of itself goes with it
    is_lost = False
    try:
        _begin(ray, section, place, folder)
        if is_main:
            signal.signal(signal.SIGTERM, handler)  # Ray's own ends Python without a word of what is kept
        yield ray
    except EngineLostError:
        is_lost = True
        atexit.unregister(ray.shutdown)  # it would end this process before anything is said
        raise
    finally:
        if not is_lost:
            ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
        if is_main:
            signal.signal(signal.SIGTERM, handler)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Head:
    """What a cluster stands on, which is looked at before Ray is asked: where that is lost, Ray ends this process."""

    def __init__(self, ray: Any) -> None:
        """That of the cluster which was joined or started."""
        context = ray.get_runtime_context()
        self._address, node = str(context.gcs_address), context.get_node_id()
        own = [str(each["ObjectStoreSocketName"]) for each in ray.nodes() if each["NodeID"] == node]
        self._store = own[0] if own else ""
        self._looked = time.monotonic()
        self._silent_since: float | None = None
        self.is_lost = False

    def look(self) -> None:
        """See whether both are there: the store on this machine each time, the head every few seconds.

        Raises
        ------
        EngineLostError
            The store is gone, or the head has not answered for a while.
        """
        if self._store and not _takes(self._store):
            self._lose("what Ray keeps on this machine has ended")
        now = time.monotonic()
        if now - self._looked < _EACH:
            return
        self._looked = now
        try:
            _reach(self._address)
            self._silent_since = None
        except RuntimeError as fault:
            self._silent_since = now if self._silent_since is None else self._silent_since
            if now - self._silent_since > _SILENCE:
                self._lose(f"{fault} for {_SILENCE} seconds")

    def _lose(self, why: str) -> NoReturn:
        self.is_lost = True
        raise EngineLostError(f"execution: the head of the cluster at {self._address} was lost: {why}")


def _takes(path: str) -> bool:
    """Whether anybody listens at a socket of this machine."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.setblocking(False)
        try:
            asking.connect(path)
        except BlockingIOError:
            return True  # it has many to listen to
        except OSError:
            return False
    return True


def room_for_workers(ray: Any, section: ExecutionConfig) -> int:
    """How many workers a cluster has room for, other work left out.

    Raises
    ------
    EngineError
        It has none for any.
    """
    there = ray.cluster_resources()
    room = there.get("CPU", 0) / section.num_cpus
    if section.num_gpus:
        room = min(room, there.get("GPU", 0) / section.num_gpus)
    if room < 1:
        asked = f"num_cpus = {section.num_cpus:g} and num_gpus = {section.num_gpus:g}"
        raise EngineError(f"execution: got {asked}, which no worker in this cluster can have; wanted less")
    return int(room)


def _environment(section: ExecutionConfig) -> dict[str, str]:
    """What Ray reads: it tells nobody what it is used for, and lets in nobody without the token."""
    wanted = {"RAY_USAGE_STATS_ENABLED": "0"}
    if "RAY_AUTH_MODE" not in os.environ:
        wanted["RAY_AUTH_MODE"] = "token"
    if not section.address or section.address.startswith((_LOOPBACK, "localhost")):
        wanted |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # as there, Ray keeps to the loopback
    if not section.address:  # nobody else is to join
        wanted |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _token()}
        wanted |= {"RAY_gcs_rpc_server_reconnect_timeout_s": "15"}  # what outlives a kill of this process ends soon
    return wanted


@cache
def _token() -> str:
    """The secret of all clusters that this process starts: Ray keeps the first one that it reads."""
    return secrets.token_hex(32)


def _sweep() -> None:
    """Remove what processes that were killed left of their clusters."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        process = folder.name.removeprefix(_FOLDER).partition("-")[0]
        if process.isdigit() and folder.stat(follow_symlinks=False).st_uid == os.getuid():
            try:
                os.kill(int(process), 0)
            except ProcessLookupError:
                shutil.rmtree(folder, ignore_errors=True)
            except PermissionError:
                continue  # it is somebody's


def _begin(ray: Any, section: ExecutionConfig, place: str, folder: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    try:
        if section.address:
            _reach(section.address)
            ray.init(address=section.address, **quiet)
        else:
            cpus = None if section.workers is None else section.workers * section.num_cpus
            ray.init(
                address="local",
                num_cpus=None if cpus is None else max(1, int(-(-cpus // 1))),
                include_dashboard=False,
                object_store_memory=_STORE,
                _temp_dir=folder,
                **quiet,
            )
            if (host := ray.util.get_node_ip_address()) != _LOOPBACK:
                raise RuntimeError(f"it listens on {host}, wanted {_LOOPBACK}")
    except Exception as fault:  # of a library that raises many kinds, none of them its own
        if section.address:
            got = f"{place}: execution.address: got {section.address!r}, which cannot be joined"
            raise EngineError(f"{got}: {said(fault)}; wanted a cluster that runs, and its token") from None
        raise EngineError(f"execution.engine: Ray cannot be started: {said(fault)}") from None


def _reach(address: str) -> None:
    """See whether anybody listens at an address, before Ray tries that for minutes."""
    host, _, port = address.rpartition(":")
    if "://" in address or not (host and port.isdigit()):
        return  # a name that Ray knows
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as fault:
        raise RuntimeError(f"nobody answers there ({getattr(fault, 'strerror', None) or fault})") from None


def said(fault: BaseException) -> str:
    """The first sentence of what Ray raised."""
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    return (lines[0] if lines else type(fault).__name__).partition(". ")[0][:300].rstrip(".")


_EACH = 5
"""Seconds after which it is looked whether the head is still there."""

_SILENCE = 20
"""Seconds that a head may not answer; Ray's own patience is a minute."""

_LOOPBACK = "127.0.0.1"

_FOLDER = "auditor-ray-"

_STORE = 2**28
"""Bytes of Ray's store on this machine: results wait there, and no images."""
