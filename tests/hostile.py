"""Hostile files, each with a trap of its own: what it tries, and the command that is given it.

They are made anew each time. `tests/test_hostile.py` gives each to the command line, in this process and, watched from
outside, in one of its own; `docs/make_hostile.py` writes what happened into `docs/hostile-files.md`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.small_world import World, build_world

Effect = Literal["write", "read", "connect", "allocate", "loop", "import"]


@dataclass(frozen=True)
class Trap:
    """What a hostile file may reach for, around a small world."""

    world: World
    port: int
    """Of this machine, where nobody should knock."""
    kept: dict[Path, bytes] = field(default_factory=dict)
    """Files that are to stay as they are."""

    @property
    def sprung(self) -> Path:
        """A file that is to be written, or run as a module."""
        return self.world.folder / "sprung_module.py"

    @property
    def secret(self) -> Path:
        """A file that is to be read: an HDF5, a picture and a text would be readable all the same."""
        return self.world.folder.parent / "secret.txt"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Case:
    """One hostile file."""

    container: str
    effect: Effect
    tries: str
    build: Callable[[Trap], None]
    command: str = "validate {config}"
    is_read: bool = False
    """Whether the file that it reaches for is opened all the same, as what it is not."""

    @property
    def name(self) -> str:
        return f"{self.container}: {self.tries}"

    def words(self, trap: Trap) -> list[str]:
        """The command, with its paths."""
        folder = trap.world.folder
        return self.command.format(config=trap.world.config, folder=folder, run=folder / "reports" / "run").split()


def set_trap(folder: Path, case: Case, port: int = 9) -> Trap:
    """Write a small world with a hostile file in it into an empty folder."""
    (folder / "world").mkdir()
    trap = Trap(build_world(folder / "world"), port)
    trap.sprung.write_text(f"open({str(folder / 'imported')!r}, 'w').close()\n")
    trap.secret.write_text("secret\n")
    case.build(trap)
    trap.kept.update({file: file.read_bytes() for file in (trap.sprung, trap.secret)})
    return trap


def is_sprung(trap: Trap) -> bool:
    """Whether a file that was to be kept is changed, or what the trap would run has run."""
    is_kept = all(file.is_file() and file.read_bytes() == data for file, data in trap.kept.items())
    return not is_kept or any((trap.world.folder.parent / name).exists() for name in ("imported", "gone"))


def say(trap: Trap, code: int, out: str, err: str) -> str:
    """How a command ended, in a sentence that is the same on every machine."""
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    told = lines[-1].removeprefix("error: ") if lines else _first_of(out) if code == 0 else out.strip().splitlines()[0]
    for folder in (trap.world.folder, trap.world.folder.parent):
        told = told.replace(str(folder), "…")
    told = re.sub(r"^…/audit\.toml:\d+:\d+: ", "", told).partition("; ")[0]
    told = re.sub(r"'(\w+?)_\d+'", r"'\1'", told)  # Keras counts its layers
    told = re.sub(r"[0-9a-f]{12}…", "…", told)
    told = re.sub(r"more than [\d.]+ (GiB|MiB of memory|seconds)( of the processor)?", "more than it may", told)
    return f"{told[:300]} (exit code {code})"


def _first_of(out: str) -> str:
    found = re.search("in order|report.html: written|as written|not compared", out)
    return f"goes on: {found[0] if found else out.strip().splitlines()[0]}"


def corpus() -> list[Case]:
    """All hostile files, by their containers."""
    from tests.hostile_data import DATA
    from tests.hostile_models import MODELS
    from tests.hostile_runs import RUNS

    return [*MODELS, *DATA, *RUNS]


def honest(case: Case) -> Case:
    """A file of the same kind that tries nothing, for the same command."""
    from tests.hostile_runs import save

    def build(trap: Trap) -> None:
        if "{run}" in case.command or "reports" in case.command:
            save(trap)
        if "mine" in case.command:
            (trap.world.folder / "mine").mkdir()
            (trap.world.folder / "mine" / "look.css").write_text("body { color: black }")
        if "pictures" in case.command:
            from tests.hostile_data import one_picture

            one_picture(trap, lambda file: None)

    command = case.command
    if command.startswith("browse"):  # it never ends; this loads the same
        command = "render {run} --format html"
    return Case("honest", "write", "tries nothing", build, command)
