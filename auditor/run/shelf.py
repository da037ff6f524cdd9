"""Where an audit writes its run: a folder of runs, or, for one on a store, a folder of this machine that is sent there.

Journal, lock and growth are as for any other run. What is whole here is put there after each step, and is removed here
once all of it is there. Where a store takes nothing more, the audit goes on, and the run is kept here.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from auditor.errors import StoreError
from auditor.run.elsewhere import bring_accepted, refuse_unwritable_store, send_run
from auditor.run.files import refuse_unwritable
from auditor.stores.address import Place, Stored


class Shelf:
    """The folder of runs of an audit, here, and there where it is one on a store."""

    def __init__(self, reports: Place) -> None:
        self.place = reports if isinstance(reports, Stored) else None
        self.folder = _home_of(reports) if isinstance(reports, Stored) else reports
        """Where the run is written."""
        self._sent: dict[str, str] = {}
        self._fault: StoreError | None = None

    def where(self, run: Path) -> Place:
        """Where people find a run: on the store, if it came there."""
        return run if self.place is None or self._fault is not None else self.place / run.name

    def send(self, run: Path) -> None:
        """Put what a run has become on the store; where that fails it is tried again with the next step."""
        if self.place is None:
            return
        try:
            send_run(run, self.place / run.name, self._sent)
            self._fault = None
        except StoreError as fault:
            self._fault = fault

    def bring_accepted(self, key: str) -> Path:
        """The folder in which the run that was accepted under a key is: that of all runs, or one with a copy of it.

        Raises
        ------
        AuditError
            The store does not give it.
        """
        return self.folder if self.place is None else bring_accepted(self.place, key)

    def finish(self, run: Path) -> Stored | None:
        """Send the rest of a run, and remove it here; returns where it is, if that is on a store.

        Raises
        ------
        StoreError
            The store does not take it; it is kept here.
        """
        if self.place is None:
            return None
        self.send(run)
        if self._fault is not None:
            raise StoreError(f"{self._fault}; the run is whole in {run}")
        with contextlib.suppress(OSError):
            shutil.rmtree(run)
        return self.place / run.name


def refuse_unwritable_place(reports: Place, where: str) -> None:
    """A run that could not be saved is better not begun.

    Raises
    ------
    ConfigError
        The folder takes no files; of one on a store, that on this machine.
    StoreError
        The store takes none.
    """
    if isinstance(reports, Path):
        refuse_unwritable(reports, where)
        return
    refuse_unwritable(_home_of(reports), where)
    try:
        refuse_unwritable_store(reports)
    except StoreError as fault:
        raise StoreError(f"{where}: {fault}") from None


def _home_of(reports: Stored) -> Path:
    """The folder of this machine for runs that are on their way to a folder on a store."""
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    except RuntimeError:  # nobody is at home
        cache = Path(tempfile.gettempdir())
    digest = hashlib.sha256(str(reports).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return cache / "auditor" / f"{re.sub(r'[^A-Za-z0-9]+', '-', reports.key)[-40:]}-{digest}"
