"""Workers that Ray keeps: an actor for each, with the model, and another where one is lost."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from auditor.auditing.engine.cluster import Head, cluster, room_for_workers, said
from auditor.auditing.engine.units import Broken, Outcome, Refused, Unit
from auditor.auditing.engine.worker import Opening, Worker, opening_of
from auditor.config.file import AuditConfig
from auditor.config.sections import ExecutionConfig
from auditor.errors import EngineError
from auditor.run.provenance import describe_software


@contextmanager
def open_crew(config: AuditConfig) -> Iterator[RayCrew]:
    """Workers for an audit, for as long as the context is open.

    Raises
    ------
    EngineError
        There is no cluster, or no room in it.
    """
    with cluster(config.execution, config.place("execution", "address")) as ray:
        crew = RayCrew(ray, config.execution, opening_of(config))
        try:
            yield crew
        finally:
            crew.end()


@dataclass
class _Actor:
    """A worker, and what it was given: the first is in work, the next waits there so that it need not."""

    handle: Any
    opening: Any
    """What its `open` will give; None once it has opened."""
    units: deque[tuple[int, Any]] = field(default_factory=deque)
    began: float = 0.0
    """When it began with the first of them, as `time.monotonic` has it."""

    def has_ended(self) -> None:
        """It has done the first unit, and begins with the next."""
        self.units.popleft()
        self.began = time.monotonic()


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
        self._head, self._heard = Head(ray), time.monotonic()
        room = room_for_workers(ray, section)
        self.size = section.workers or room
        self._actors = [self._start() for _ in range(self.size)]

    def _start(self) -> _Actor:
        handle = self._kind.remote()
        return _Actor(handle, [handle.hello.remote(), handle.open.remote(self._opening)])

    def agree(self, fingerprint: dict[str, str]) -> None:
        """See `Crew.agree`."""
        self._fingerprint = fingerprint

    def share(self, value: Any) -> Any:
        """See `Crew.share`."""
        self._head.look()
        return self._ray.put(value)

    def room(self) -> int:
        """See `Crew.room`."""
        return sum(max(0, _AHEAD - len(actor.units)) for actor in self._actors if actor.opening is None)

    def give(self, number: int, unit: Unit) -> None:
        """See `Crew.give`."""
        ready = [actor for actor in self._actors if actor.opening is None]
        actor = min(ready, key=lambda each: len(each.units))
        if not actor.units:
            actor.began = time.monotonic()
        actor.units.append((number, actor.handle.do.remote(unit.call, *unit.arguments)))

    def collect(self) -> list[tuple[int, Outcome]]:
        """See `Crew.collect`."""
        waited = {}
        for actor in self._actors:
            waited[actor.opening[1] if actor.opening is not None else actor.units[0][1] if actor.units else None] = (
                actor
            )
        waited.pop(None, None)
        self._head.look()
        ready, _ = self._ray.wait(list(waited), num_returns=1, timeout=min(_LOOKS, 60 * self._section.unit_minutes))
        if overdue := self._end_overdue():
            return overdue
        if not ready:
            if time.monotonic() - self._heard < _PATIENCE:
                return []
            self._heard = time.monotonic()
            if self._ray.cluster_resources().get("CPU", 0) >= self._section.num_cpus:
                return []  # others may have all of it for now
            raise EngineError("execution: the cluster has no room for any worker now; wanted a node that is alive")
        self._heard = time.monotonic()
        found: list[tuple[int, Outcome]] = []
        for reference in ready:
            actor = waited[reference]
            if actor.opening is not None:
                self._take_up(actor)
                continue
            number, _ = actor.units[0]
            self._head.look()
            try:
                found.append((number, self._ray.get(reference)))
                actor.has_ended()
                self._vain = 0
            except self._ray.exceptions.RayActorError as fault:
                found += self._give_up(actor, f"its worker was lost ({_why(fault)})")
            except Exception as fault:  # what it gave cannot travel, or memory ran out on the way
                found.append((number, Broken(said(fault))))
                actor.has_ended()
        return found

    def _end_overdue(self) -> list[tuple[int, Outcome]]:
        """End workers that hang; what becomes of their units."""
        most, found = 60 * self._section.unit_minutes, list[tuple[int, Outcome]]()
        for actor in list(self._actors):
            is_late = bool(actor.units) and time.monotonic() - actor.began > most
            if is_late and not self._ray.wait([actor.units[0][1]], num_returns=1, timeout=0, fetch_local=False)[0]:
                with contextlib.suppress(self._ray.exceptions.RayError):
                    self._ray.kill(actor.handle)
                found += self._give_up(actor, f"its worker gave nothing for {self._section.unit_minutes:g} minutes")
        return found

    def _give_up(self, actor: _Actor, reason: str) -> list[tuple[int, Outcome]]:
        """Replace a worker; what becomes of its units."""
        (number, _), *others = actor.units
        self._replace(actor)
        return [(number, Broken(reason)), *((waiting, Broken("", is_innocent=True)) for waiting, _ in others)]

    def _take_up(self, actor: _Actor) -> None:
        """A worker has opened what is audited, or could not."""
        try:
            (_, software), opened = self._ray.get(actor.opening)
        except Exception as fault:
            self._vain += 1
            if self._vain >= _VAIN * self.size:
                raise EngineError(f"execution: workers are lost before they can work: {said(fault)}") from None
            self._replace(actor)
            return
        refuse_other(software, self._software, opened, self._fingerprint)
        actor.opening = None

    def _replace(self, actor: _Actor) -> None:
        self.lost += 1
        self._actors[self._actors.index(actor)] = self._start()

    def end(self) -> None:
        """Let all workers go."""
        if self._head.is_lost:
            return  # they end by themselves, and whoever asks Ray for anything waits for ever
        for actor in self._actors:
            with contextlib.suppress(self._ray.exceptions.RayError):  # the cluster may be gone
                self._ray.kill(actor.handle)


def refuse_other(
    theirs: Mapping[str, str], ours: Mapping[str, str], opened: Outcome, fingerprint: Mapping[str, str]
) -> None:
    """Refuse a worker whose numbers would be others: by its versions, or by what it has opened.

    Raises
    ------
    EngineError
        It has other versions or other files, or could not open them.
    AuditError
        What it found wrong with model or data.
    """
    for name in sorted(theirs.keys() | ours.keys()):
        got, wanted = (versions.get(name, "not installed") for versions in (theirs, ours))
        if got != wanted:
            raise EngineError(f"execution: got a worker with {name} {got}, wanted {wanted} as in this process")
    if isinstance(opened, Refused):
        raise opened.fault
    if isinstance(opened, Broken):
        raise EngineError(f"execution: a worker could not open model and images: {opened.reason}")
    differ = [name for name, digest in fingerprint.items() if opened.value.get(name) != digest]
    if differ:
        raise EngineError(f"execution: got a worker with another {' and '.join(differ)}; wanted the same files")


def _why(fault: BaseException) -> str:
    text = " ".join(str(fault).split())
    return "out of memory" if "out-of-memory" in text or "OOM" in text.split("(")[0] else "its process ended"


_AHEAD = 2
"""Units that a worker has: one in work, and the next."""

_LOOKS = 1
"""Seconds that nothing comes back before it is looked whether all is there."""

_PATIENCE = 60
"""Seconds that nobody answers before that is looked at."""

_VAIN = 3
"""Workers in the place of one that are started in vain."""
