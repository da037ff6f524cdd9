"""All checks as one job on a cluster: small audits whole, each by one worker; large ones spread over several."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from auditor.auditing.checks.cell import Audit, Checked
from auditor.auditing.checks.check import Each, One
from auditor.auditing.checks.child import Ending, run_auditor
from auditor.auditing.engine.cluster import Head, cluster, room_for_workers, said
from auditor.config.checks import Cell, ChecksConfig
from auditor.config.sections import ExecutionConfig


def order_cells(cells: Iterable[Cell], sizes: Mapping[str, float]) -> list[Cell]:
    """The largest first, and the models by turns: each has its largest done before any has its second."""
    turns = Counter[str]()
    ranked = []
    for cell in sorted(cells, key=lambda each: (-sizes.get(each.name, 0.0), each.name)):
        ranked.append((turns[cell.model], cell))
        turns[cell.model] += bool(cell.model)  # checks by themselves are of no model, and wait for none
    return [cell for _, cell in sorted(ranked, key=lambda each: each[0])]


def share_workers(cells: Sequence[Cell], sizes: Mapping[str, float], workers: int) -> dict[str, int]:
    """How many workers each check is spread over, 1 where one worker does it whole.

    What is larger than the share of one worker of the whole is spread over as many as it has shares.
    """
    share = sum(sizes.get(cell.name, 0.0) for cell in cells) / workers
    of = {cell.name: sizes.get(cell.name, 0.0) / share if share else 0.0 for cell in cells}
    return {name: max(1, min(workers, round(part))) for name, part in of.items()}


def at_once(
    cells: Sequence[Cell],
    one: One,
    audits: Mapping[str, Audit],
    stop: Callable[[], object] = lambda: None,
    most: int | None = None,
) -> Iterator[tuple[Cell, Checked]]:
    """Check cells at once, by the audits of their names, and give each as it is known.

    All but the audits is done by one at a time: what is kept has one writer.

    Parameters
    ----------
    stop
        Ends the audits that run, where somebody wants no more of them.
    most
        So many at once, begun in the order of the cells; all, where left out.
    """
    lock = threading.Lock()

    def apart(audit: Audit) -> Audit:
        def unlocked(words: list[str], folder: Path, limit: float) -> Ending:
            lock.release()
            try:
                return audit(words, folder, limit)
            finally:
                lock.acquire()

        return unlocked

    def check(cell: Cell) -> tuple[Cell, Checked]:
        with lock:
            return cell, one(cell, apart(audits[cell.name]))

    with ThreadPoolExecutor(max(1, min(len(cells), most or len(cells)))) as threads:
        running = [threads.submit(check, cell) for cell in cells]
        try:
            for ended in as_completed(running):
                with lock:
                    found = ended.result()
                    yield found
        finally:
            for each in running:
                each.cancel()
            stop()


class RayAudits:
    """Runs audits on a cluster: whole ones as tasks, and what is spread by a task that only hands out units."""

    def __init__(self, ray: Any, section: ExecutionConfig) -> None:
        """On a cluster that was joined, with the workers that a section describes.

        Raises
        ------
        EngineError
            There is no room in it.
        """
        self._ray, self._section = ray, section
        room = room_for_workers(ray, section)
        self.workers = section.workers or room
        self._stopped = threading.Event()
        self._head = Head(ray)
        self._address = str(ray.get_runtime_context().gcs_address)

    def audit(self, workers: int) -> Audit:
        """Runs one audit over so many workers."""
        options: dict[str, Any] = {"num_cpus": self._section.num_cpus, "num_gpus": self._section.num_gpus}
        more: list[str] = []
        if workers > 1:
            options = {"num_cpus": 0}  # it waits for workers, and must take no room from them
            keys = {"engine": "ray", "address": self._address, "workers": workers}
            keys |= {"num_cpus": self._section.num_cpus, "num_gpus": self._section.num_gpus}
            keys |= {"unit_minutes": self._section.unit_minutes}
            more = [word for key, value in keys.items() for word in ("--set", f"execution.{key}={value}")]

        def audit(words: list[str], folder: Path, limit: float) -> Ending:
            task = self._ray.remote(run_auditor).options(**options, max_retries=_RETRIES)
            return self._wait(task.remote([*words, *more], folder.absolute(), limit))  # workers stand elsewhere

        return audit

    def _wait(self, reference: Any) -> Ending:
        while not self._stopped.is_set():
            self._head.look()
            ready, _ = self._ray.wait([reference], timeout=_PATIENCE)
            if ready:
                try:
                    return self._ray.get(reference)
                except Exception as fault:  # whatever Ray raises for a node that is lost too often
                    return Ending(-9, "", f"error: its worker was lost {_RETRIES + 1} times: {said(fault)}")
        if not self._head.is_lost:
            self._ray.cancel(reference, force=True)
        return Ending(-15, "", "")

    def stop(self) -> None:
        """Wait for no audit any more."""
        self._stopped.set()


@contextmanager
def on_cluster(config: ChecksConfig, sizes: Mapping[str, float]) -> Iterator[Each]:
    """What checks cells at once, on the cluster that a file of checks names or one that is started for them.

    Parameters
    ----------
    sizes
        Name of a check -> how large it is beside others.

    Raises
    ------
    EngineError
        There is no cluster.
    """
    with cluster(config.execution, str(config.file)) as ray:
        audits = RayAudits(ray, config.execution)

        def each(cells: Iterable[Cell], one: One) -> Iterator[tuple[Cell, Checked]]:
            ordered = order_cells(cells, sizes)
            shares = share_workers(ordered, sizes, audits.workers)
            run = {name: audits.audit(workers) for name, workers in shares.items()}
            return at_once(ordered, one, run, audits.stop, _AHEAD * audits.workers)

        yield each


_RETRIES = 2
"""A check whose worker is lost goes on elsewhere so often."""

_AHEAD = 2
"""Checks for each worker that are in work, or wait for one."""

_PATIENCE = 1.0
"""Seconds after which it is looked whether all is to stop."""
