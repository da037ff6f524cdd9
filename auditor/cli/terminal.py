"""What commands say while they work, and what they keep others from saying."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from auditor.errors import ConfigError, OptionError
from auditor.stores.address import Place, Stored, read_path, read_place
from auditor.stores.fetched import tell

if TYPE_CHECKING:
    from auditor.verdict.trial import Progress

EXIT_CODES = """\b
Exit codes, the highest that applies:
  2  usage or configuration is wrong, or the data do not fit it or the model
  3  the audit could not be completed: something is damaged or failed, the accepted run too
  1  an artefact is relied on; with [gate]: a demand of level error is broken
  4  inconclusive, nothing was applicable, or nothing was named and no suspect confirmed;
     with [gate]: a demand of level error is open
  0  no evidence of reliance above the margin; with [gate]: it passes, perhaps with warnings
A reader that stops early, as in `| head`, changes neither what is done nor the code.
SIGINT and SIGTERM end with 3; what was measured is kept, and --resume goes on."""


NOTHING = "nothing to decide on: the configuration names no artefact"

UNNAMED = "nothing was judged: the configuration names no artefact, and of no suspect there is a verdict"


class _Unheard:
    """A stream whose reader may go, or whose disk may be full: from then on what is written to it goes nowhere."""

    def __init__(self, stream: Any, faults: list[OSError]) -> None:
        self._stream, self._faults = stream, faults

    def __getattr__(self, name: str) -> Any:
        part = getattr(self._stream, name)
        return _Unheard(part, self._faults) if name == "buffer" else part

    def write(self, data: Any) -> Any:
        return 0 if data == "" else self._try(self._stream.write, data)  # click asks by "" whether it takes text

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, call: Any, *data: Any) -> Any:
        try:
            return call(*data)
        except OSError as fault:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            if not isinstance(fault, BrokenPipeError):
                self._faults.append(fault)
            return None


@contextmanager
def outlive_readers() -> Iterator[list[OSError]]:
    """Go on where nobody reads on, as in `auditor list | head -1`: all work is done, and the exit code is the same.

    So it is where nothing more can be written, as on a full disk; what then went wrong is gathered in what is yielded.

    Streams that are closed from the start lead nowhere too; else the next file that is opened would take their place.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it takes the lowest number that is free
    faults: list[OSError] = []
    streams = ((1, sys.stdout), (2, sys.stderr))
    out, err = (_Unheard(stream or os.fdopen(number, "w"), faults) for number, stream in streams)
    with redirect_stdout(out), redirect_stderr(err):
        yield faults


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM interrupt as Ctrl-C does, so that no process is left behind."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def can_ask() -> bool:
    """Whether somebody is there to read a question and to answer it."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


class PlaceType(click.ParamType):  # type: ignore[type-arg]
    """A path, or the address of what lies on a store."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:
        """What was written, or the default, as a place."""
        try:
            place = read_place(value) if isinstance(value, str) else value
        except OptionError as fault:
            self.fail(fault.message, param, ctx)
        return place if isinstance(place, Stored) else click.Path(path_type=Path).convert(place, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """As a shell completes files."""
        return [CompletionItem(incomplete, type="file")]


PLACE = PlaceType()


class HereType(click.Path):
    """A path of this machine."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """What was written, or the default."""
        try:
            path = read_path(value) if isinstance(value, str) else value
        except OptionError as fault:
            self.fail(fault.message, param, ctx)
        return Path(os.fsdecode(super().convert(os.fspath(path), param, ctx)))


HERE = HereType()


def only_here(place: Place, why: str) -> Path:
    """The path, where a command works on this machine alone.

    Raises
    ------
    ConfigError
        It is the address of something on a store.
    """
    if isinstance(place, Path):
        return place
    raise ConfigError(f"{place}: {why}; wanted a folder of this machine")


def plain(text: str) -> str:
    """Text of one line, without what would command the terminal or turn the order of its letters.

    Copies of what lies on a store are called by its address.
    """
    text = tell(text.replace("\N{NARROW NO-BREAK SPACE}", " "))  # before %, and not every terminal has it
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def say(text: str, *, err: bool = False) -> None:
    """Print one line, whatever names of the user's stand in it."""
    click.echo(plain(text), err=err)


def print_warnings(warnings: Iterable[str]) -> None:
    for warning in warnings:
        say(f"warning: {warning}", err=True)


def print_reports(folder: Path, files: Iterable[str]) -> None:
    """Where the files of a report are, of those that could be written."""
    for name in files:
        if (folder / name).is_file():
            click.echo(f"{name}: {tell(str(folder / name))}")


@contextmanager
def show_progress(quiet: bool) -> Iterator[Progress]:
    """A bar with the time left on a terminal, a plain line per stage elsewhere."""
    if quiet:
        yield lambda stage, done, total: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns: list[Any] = [
            TextColumn("{task.description:19}"),
            BarColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        ]
        is_one = sys.stdout.isatty()  # elsewhere what is printed goes its own way
        with Progress(*columns, console=Console(stderr=True), redirect_stdout=is_one) as bar:
            tasks: dict[str, Any] = {}

            def show(stage: str, done: int, total: int) -> None:
                if stage not in tasks:
                    tasks[stage] = bar.add_task(stage, total=total)
                bar.update(tasks[stage], completed=done, total=total)

            yield show
    else:
        seen: set[tuple[str, bool]] = set()

        def say(stage: str, done: int, total: int) -> None:
            key = (stage, done >= total)
            if key not in seen:
                seen.add(key)
                click.echo(f"{stage}: {'done' if done >= total else 'started'}", err=True)

        yield say


@contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Load TensorFlow; what its libraries write to the terminal meanwhile, and until this ends, is kept out of it."""
    from auditor.subject.model.backend import import_tensorflow

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            import_tensorflow()
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
