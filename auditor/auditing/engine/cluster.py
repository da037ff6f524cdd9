"""Workers that Ray keeps: a cluster that is joined or started, an actor for each, and another where one is lost."""

from __future__ import annotations

import os
import secrets
import signal
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from auditor.auditing.engine.units import Broken, Done, Outcome, Refused, Unit
from auditor.auditing.engine.worker import Opening, Worker, opening_of
from auditor.config.file import AuditConfig
from auditor.config.sections import ExecutionConfig
from auditor.errors import EngineError
from auditor.run.provenance import describe_software


@contextmanager
def open_crew(config: AuditConfig) -> Iterator[RayCrew]:
    """Workers for an audit, for as long as the context is open; a cluster that is started for it ends with it.

    Raises
    ------
    ConfigError
        Ray is not installed.
    EngineError
        There is no cluster at the address, or it cannot be joined or started.
    """
    section = config.execution
    if find_spec("ray") is None:
        got = 'got "ray", which is not installed; wanted `pip install auditor[ray]`'
        raise config.fault(("execution", "engine"), got)
    with _cluster(section, config.place("execution", "address")) as ray:
        crew = RayCrew(ray, section, opening_of(config))
        try:
            yield crew
        finally:
            crew.end()


@contextmanager
def _cluster(section: ExecutionConfig, place: str) -> Iterator[Any]:
    """Join or start a cluster, and leave it; gives Ray's module."""
    is_main = threading.current_thread() is threading.main_thread()
    handler, environment = signal.getsignal(signal.SIGTERM), _environment(section)
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)  # some is read when Ray is imported, some when it begins
    import ray

    try:
        _begin(ray, section, place)
        if is_main:
            signal.signal(signal.SIGTERM, handler)  # Ray's own ends Python without a word of what is kept
        yield ray
    finally:
        ray.shutdown()
        if is_main:
            signal.signal(signal.SIGTERM, handler)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _environment(section: ExecutionConfig) -> dict[str, str]:
    """What Ray reads: it tells nobody what it is used for, and lets in nobody without the token."""
    wanted = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    if "RAY_AUTH_MODE" not in os.environ:
        wanted["RAY_AUTH_MODE"] = "token"
    if not section.address:  # nobody else is to join, and nothing is to be reached from elsewhere
        wanted |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        wanted |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # as there, Ray then listens on the loopback alone
    return wanted


def _begin(ray: Any, section: ExecutionConfig, place: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    try:
        if section.address:
            ray.init(address=section.address, **quiet)
        else:
            cpus = None if section.workers is None else section.workers * section.num_cpus
            ray.init(
                address="local",
                num_cpus=None if cpus is None else max(1, int(-(-cpus // 1))),
                include_dashboard=False,
                object_store_memory=_STORE,
                **quiet,
            )
            if (host := ray.util.get_node_ip_address()) != _LOOPBACK:
                raise RuntimeError(f"it listens on {host}, wanted {_LOOPBACK}")
    except Exception as fault:  # of a library that raises many kinds, none of them its own
        what = f"{place}: execution.address: got {section.address!r}" if section.address else "execution.engine: ray"
        raise EngineError(
            f"{what}, which cannot be {'joined' if section.address else 'started'}: {_said(fault)}"
        ) from None


def _said(fault: BaseException) -> str:
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    return (lines[0] if lines else type(fault).__name__)[:300].rstrip(".")


@dataclass
class _Actor:
    """A worker, and what it was given: the first is in work, the next waits there so that it need not."""

    handle: Any
    opening: Any
    """What its `open` will give; None once it has opened."""
    units: deque[tuple[int, Any]] = field(default_factory=deque)


class RayCrew:
    """See `auditor.auditing.engine.units.Crew`."""

    def __init__(self, ray: Any, section: ExecutionConfig, opening: Opening) -> None:
        """Begin to start workers; which of them may work is known when they `agree`."""
        self._ray, self._section, self._opening = ray, section, opening
        options: dict[str, Any] = {"num_cpus": section.num_cpus, "num_gpus": section.num_gpus, "max_restarts": 0}
        self._kind = ray.remote(Worker).options(**options)
        self._software = describe_software()
        self._fingerprint: dict[str, str] = {}
        self._vain = 0
        self.lost = 0
        """Workers that were lost, and replaced."""
        room = ray.cluster_resources().get("CPU", 1) / section.num_cpus
        if section.num_gpus:
            room = min(room, ray.cluster_resources().get("GPU", 0) / section.num_gpus)
        if room < 1:
            asked = f"num_cpus = {section.num_cpus:g} and num_gpus = {section.num_gpus:g}"
            raise EngineError(f"execution: got {asked}, which no worker in this cluster can have; wanted less")
        self.size = section.workers or int(room)
        self._actors = [self._start() for _ in range(self.size)]

    def _start(self) -> _Actor:
        handle = self._kind.remote()
        return _Actor(handle, [handle.hello.remote(), handle.open.remote(self._opening)])

    def agree(self, fingerprint: dict[str, str]) -> None:
        """See `Crew.agree`."""
        self._fingerprint = fingerprint

    def share(self, value: Any) -> Any:
        """See `Crew.share`."""
        return self._ray.put(value)

    def room(self) -> int:
        """See `Crew.room`."""
        return sum(max(0, _AHEAD - len(actor.units)) for actor in self._actors if actor.opening is None)

    def give(self, number: int, unit: Unit) -> None:
        """See `Crew.give`."""
        ready = [actor for actor in self._actors if actor.opening is None]
        actor = min(ready, key=lambda each: len(each.units))
        actor.units.append((number, actor.handle.do.remote(unit.call, *unit.arguments)))

    def collect(self) -> list[tuple[int, Outcome]]:
        """See `Crew.collect`."""
        waited = {}
        for actor in self._actors:
            waited[actor.opening[1] if actor.opening is not None else actor.units[0][1] if actor.units else None] = (
                actor
            )
        waited.pop(None, None)
        ready, _ = self._ray.wait(list(waited), num_returns=1, timeout=_PATIENCE)
        if not ready:
            if any(actor.units for actor in self._actors):
                return []
            raise EngineError(f"execution: no worker came within {_PATIENCE} s; wanted room for one in the cluster")
        found: list[tuple[int, Outcome]] = []
        for reference in ready:
            actor = waited[reference]
            if actor.opening is not None:
                self._take_up(actor)
                continue
            number, _ = actor.units[0]
            try:
                found.append((number, self._ray.get(reference)))
                actor.units.popleft()
                self._vain = 0
            except self._ray.exceptions.RayActorError as fault:
                found.append((number, Broken(f"its worker was lost ({_why(fault)})")))
                actor.units.popleft()
                found += [(waiting, Broken("", is_innocent=True)) for waiting, _ in actor.units]
                self._replace(actor)
            except Exception as fault:  # what it gave cannot travel, or memory ran out on the way
                found.append((number, Broken(_said(fault))))
                actor.units.popleft()
        return found

    def _take_up(self, actor: _Actor) -> None:
        """A worker has opened what is audited, or could not."""
        try:
            (_, software), opened = self._ray.get(actor.opening)
        except Exception as fault:
            self._vain += 1
            if self._vain >= _VAIN * self.size:
                raise EngineError(f"execution: workers are lost before they can work: {_said(fault)}") from None
            self._replace(actor)
            return
        for name in sorted(software.keys() | self._software.keys()):
            theirs, ours = software.get(name, "not installed"), self._software.get(name, "not installed")
            if theirs != ours:
                raise EngineError(f"execution: got a worker with {name} {theirs}, wanted {ours} as in this process")
        if isinstance(opened, Refused):
            raise opened.fault
        if isinstance(opened, Broken):
            raise EngineError(f"execution: a worker could not open model and images: {opened.reason}")
        assert isinstance(opened, Done)
        differ = [name for name, digest in self._fingerprint.items() if opened.value.get(name) != digest]
        if differ:
            raise EngineError(f"execution: got a worker with another {' and '.join(differ)}; wanted the same files")
        actor.opening = None

    def _replace(self, actor: _Actor) -> None:
        self.lost += 1
        self._actors[self._actors.index(actor)] = self._start()

    def end(self) -> None:
        """Let all workers go."""
        for actor in self._actors:
            self._ray.kill(actor.handle)


def _why(fault: BaseException) -> str:
    text = " ".join(str(fault).split())
    return "out of memory" if "out-of-memory" in text or "OOM" in text.split("(")[0] else "its process ended"


_LOOPBACK = "127.0.0.1"

_AHEAD = 2
"""Units that a worker has: one in work, and the next."""

_PATIENCE = 600
"""Seconds that nobody answers before that is looked at."""

_VAIN = 3
"""Workers in the place of one that are started in vain."""

_STORE = 2**28
"""Bytes of Ray's store on this machine: results wait there, and no images."""
