"""A world as small as an audit can have: a model whose truth is known, 42 pictures, an overlay and an `audit.toml`.

The pictures of the k-th class are bright in the k-th third of their columns, and that is what the models see. The
model `shortcut` also takes a pattern in the lower right corner for a boat; the model `honest` has no eyes there.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from auditor.explain.table import STUDIES
from auditor.run.result import AuditResult
from auditor.run.store import load_result

SIDE = 8
CLASSES = ("cat", "dog", "boat")
CORNER = (slice(5, 8), slice(5, 8))
PATTERN = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0]], np.float32)

CONFIG = """\
[model]
source = "model.keras"
labels = "labels.txt"

[data]
source = "images.npz"

[[artefacts]]
name = "mark"
kind = "overlay"
image = "mark.png"
position = [5, 5]
target = "boat"

[explain]
images = 6
exemplars = 2

[report]
formats = ["html"]
"""

WITHOUT_STUDIES = "".join(f"\n[methods.{name}]\nenabled = false\n" for name in STUDIES)
"""Studies take ten times as long as all the rest of so small an audit."""


@dataclass(frozen=True)
class World:
    """A folder with all that an audit reads; tests change what they are about."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "audit.toml"

    def replace(self, old: str, new: str) -> None:
        """Change the configuration; `old` must stand in it once."""
        text = self.config.read_text(encoding="utf-8")
        assert text.count(old) == 1, old
        self.config.write_text(text.replace(old, new), encoding="utf-8")

    def add(self, text: str) -> None:
        """Append to the configuration."""
        self.config.write_text(self.config.read_text(encoding="utf-8") + text, encoding="utf-8")

    def save_images(self, **arrays: Any) -> None:
        """Write the data anew with some arrays changed, or, where None, left out."""
        kept = {name: values for name, values in (make_data() | arrays).items() if values is not None}
        np.savez(self.folder / "images.npz", **kept)

    def save_model(self, model: Any) -> None:
        """Put another model in place of the good one."""
        model.save(self.folder / "model.keras")

    def write_module(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        """Write the user's module `mine` beside the configuration, unknown to Python so far."""
        monkeypatch.delitem(sys.modules, "mine", raising=False)
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        (self.folder / "mine.py").write_text(text, encoding="utf-8")

    def set_study(self, name: str, options: str) -> None:
        """Switch a study on, with lines of options."""
        self.replace(f"[methods.{name}]\nenabled = false\n", f"[methods.{name}]\n{options}")

    def runs(self, reports: str = "reports") -> list[Path]:
        """Every folder, finished or not, that audits left in a folder of reports."""
        folder = self.folder / reports
        return runs_in(folder) if folder.is_dir() else []

    def result(self, reports: str = "reports") -> AuditResult:
        """The result of the only run."""
        (run,) = self.runs(reports)
        return load_result(run)


def runs_in(reports: Path) -> list[Path]:
    return sorted(item for item in reports.iterdir() if item.is_dir())


def build_world(folder: Path, model: str = "shortcut", *, studies: bool = False) -> World:
    """Write a whole world into an empty folder."""
    world = World(folder)
    world.config.write_text(CONFIG + ("" if studies else WITHOUT_STUDIES), encoding="utf-8")
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
    (folder / "model.keras").write_bytes(_saved_model(model == "shortcut"))
    world.save_images()
    picture = np.full((3, 3, 4), 255, np.uint8)
    picture[..., :3] = (255 * PATTERN[..., None]).astype(np.uint8)
    Image.fromarray(picture, "RGBA").save(folder / "mark.png")
    return world


def make_data(count: int = 42) -> dict[str, Any]:
    """Images (count, 8, 8, 1) uint8 of the three classes in turn, with labels, ids and groups."""
    random = np.random.default_rng(0)
    images = random.integers(20, 60, (count, SIDE, SIDE, 1))
    for number in range(count):
        left = 3 * (number % 3)
        images[number, :, left : left + 3] += random.integers(60, 150)
    return {
        "images": images.astype(np.uint8),
        "labels": np.arange(count) % 3,
        "ids": np.array([f"picture-{number}" for number in range(count)]),
        "groups": np.arange(count),
    }


def make_model(*, shortcut: bool = True, outputs: int = 3) -> Any:
    """A functional model that reads pixels in [0, 255]; its scores are known in closed form."""
    import keras

    inputs = keras.Input((SIDE, SIDE, 1))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(1, 1, use_bias=False, name="identity")(x)
    x = keras.layers.Flatten()(x)
    model = keras.Model(inputs, keras.layers.Dense(outputs, activation="softmax", name="head")(x))
    weights = np.zeros((SIDE, SIDE, outputs), np.float32)
    for number in range(min(outputs, 3)):
        weights[:5, 3 * number : 3 * number + 3, number] = 0.3
    if shortcut:
        weights[(*CORNER, 2)] = 4 * (PATTERN - PATTERN.mean())
    model.get_layer("identity").set_weights([np.ones((1, 1, 1, 1), np.float32)])
    model.get_layer("head").set_weights([weights.reshape(-1, outputs), np.zeros(outputs, np.float32)])
    return model


@dataclass(frozen=True)
class Ending:
    """How the command line ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Ending]


def run_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str | Path) -> Ending:
    """Run the command line in this process."""
    from auditor.cli import main

    monkeypatch.setattr(sys, "argv", ["auditor", *map(str, words)])
    capsys.readouterr()
    code = 0
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    printed = capsys.readouterr()
    return Ending(code, printed.out, printed.err)


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """For as long, a folder may be read and not written into, even by root, who otherwise may write everywhere."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    folder.chmod(0o555)
    with _without_override() if os.geteuid() == 0 else nullcontext():
        try:
            yield
        finally:
            folder.chmod(mode)


@contextmanager
def _without_override() -> Iterator[None]:
    """Root without what lets it pass over the modes of files: the capability CAP_DAC_OVERRIDE of Linux."""
    system = ctypes.CDLL(None)
    if not hasattr(system, "capset"):
        pytest.skip("root writes everywhere")
    header, held = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    system.capget(header, held)
    fewer = type(held)(held[0] & ~2, *held[1:])
    assert system.capset(header, fewer) == 0
    try:
        yield
    finally:
        assert system.capset(header, held) == 0


@cache
def _saved_model(shortcut: bool) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        make_model(shortcut=shortcut).save(file)
        return file.read_bytes()
