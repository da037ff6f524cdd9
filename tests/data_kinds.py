"""Data of every kind that people bring, and what becomes of each: the table of `docs/data_kinds.md`.

`python -m tests.data_kinds` writes it anew; a test holds it to what happens.
"""

from __future__ import annotations

import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from auditor.config.file import AuditConfig
from auditor.config.sections import DataConfig, ModelConfig
from auditor.errors import AuditError
from auditor.subject.data.sample import open_dataset
from auditor.subject.data.sources import open_source

PAGE = Path(__file__).parents[1] / "docs" / "data_kinds.md"

CLASSES = ("cat", "dog")
COUNT, SIDE = 12, 6

PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE)).astype(np.uint8)
LABELS = np.arange(COUNT) % 2

HEAD = """# What becomes of data of every kind

Made by `python -m tests.data_kinds`, which makes each of these for a model of the classes cat and dog, and opens it; a
test holds this page to what happens. How data are written is told in [Data of every kind](data.md).

| what is brought | `[data]` and `[model]` | what happens |
| --- | --- | --- |
"""

Maker = Callable[[Path], object]


def npz(**arrays: Any) -> Maker:
    return lambda folder: np.savez(folder / "data.npz", **arrays)


def pictures(*names: str, **texts: str) -> Maker:
    """Pictures by their names, whatever their suffix, and further files with some text."""

    def make(folder: Path) -> None:
        for number, name in enumerate(names):
            (folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(PIXELS[number % COUNT]).save(folder / "data" / name, "PNG")
        for name, text in texts.items():
            (folder / "data" / name.replace("__", "/").replace("_", ".")).write_text(text)

    return make


def manifest(text: str, *missing: str) -> Maker:
    """A table beside the pictures that its first column names."""

    def make(folder: Path) -> None:
        (folder / "data.csv").write_text(text, encoding="utf-8")
        for number, line in enumerate(text.splitlines()[1:]):
            name = line.split(",")[0]
            if name not in missing and name.endswith(".png"):
                Image.fromarray(PIXELS[number]).save(folder / name)

    return make


def rows(header: str, *values: str, count: int = 12) -> str:
    lines = [",".join([f"{number:02}.png", values[number % len(values)]]) for number in range(count)]
    return "\n".join([header, *lines]) + "\n"


NFD, NFC = (unicodedata.normalize(form, "Käse") for form in ("NFD", "NFC"))
HOUNSFIELD = np.random.default_rng(1).integers(-1024, 3072, (COUNT, SIDE, SIDE)).astype(np.int16)

KINDS: list[tuple[str, Maker, dict[str, Any]]] = [
    ("an npz of `images` and `labels`", npz(images=PIXELS, labels=LABELS), {}),
    ("labels as whole floats", npz(images=PIXELS, labels=LABELS.astype(np.float32)), {}),
    ("labels in a column, (n, 1)", npz(images=PIXELS, labels=LABELS[:, None]), {}),
    ("labels as bytes", npz(images=PIXELS, labels=np.array([b"cat", b"dog"])[LABELS]), {}),
    ("one-hot labels", npz(images=PIXELS, labels=np.eye(2)[LABELS]), {}),
    ("soft labels", npz(images=PIXELS, labels=np.full((COUNT, 2), 0.5)), {}),
    ("no labels", npz(images=PIXELS), {}),
    (
        "an npz of `x_train`, `y_train`, `x_test`, `y_test`",
        npz(x_train=PIXELS, y_train=LABELS, x_test=PIXELS[:6], y_test=LABELS[:6]),
        {},
    ),
    (
        "the same",
        npz(x_train=PIXELS, y_train=LABELS, x_test=PIXELS[:6], y_test=LABELS[:6]),
        {"images": "x_train", "labels": "y_train"},
    ),
    ("an array that is nearly called `labels`", npz(images=PIXELS, lables=LABELS), {}),
    ("an npz without images", npz(pixels=PIXELS), {}),
    ("float pixels a rounding error over 1", npz(images=np.minimum(PIXELS / 254.0, 1.0000001), labels=LABELS), {}),
    ("float pixels in [0, 255]", npz(images=PIXELS.astype(np.float32), labels=LABELS), {}),
    ("the same", npz(images=PIXELS.astype(np.float32), labels=LABELS), {"input_range": (0.0, 255.0)}),
    ("12 bits in 16", npz(images=PIXELS.astype(np.uint16) * 16, labels=LABELS), {}),
    ("the same", npz(images=PIXELS.astype(np.uint16) * 16, labels=LABELS), {"range": (0.0, 4095.0)}),
    ("Hounsfield units", npz(images=HOUNSFIELD, labels=LABELS), {}),
    ("the same", npz(images=HOUNSFIELD, labels=LABELS), {"input_range": (-1024.0, 3071.0)}),
    ("the same", npz(images=HOUNSFIELD, labels=LABELS), {"range": (-1024.0, 3071.0)}),
    (
        "images of NaN",
        npz(images=np.where(np.arange(COUNT)[:, None, None] == 3, np.nan, PIXELS / 255), labels=LABELS),
        {"max_corrupt": 0.1},
    ),
    ("a folder per class", pictures(*(f"{'cat' if n % 2 else 'dog'}/{n}.png" for n in range(12))), {}),
    ("suffixes of browsers, and none", pictures("cat/a.jfif", "cat/b.jpe", "dog/c", "dog/d.webp"), {}),
    ("other files among them", pictures("cat/a.png", "dog/b.png", cat__notes_txt="x", dog__scan_dcm="x"), {}),
    (
        "`train` and `test` above the classes",
        pictures(*(f"{s}/{c}/{n}.png" for s in ("train", "test") for c in CLASSES for n in range(3))),
        {},
    ),
    ("pictures without folders", pictures("a.png", "b.png"), {}),
    ("pictures both in folders and beside them", pictures("a.png", "cat/b.png"), {}),
    ("folders of classes that the model lacks", pictures("cat/a.png", "cow/b.png"), {}),
    ("a folder whose name is composed otherwise", pictures(f"{NFD}/a.png", "dog/b.png"), {"classes": (NFC, "dog")}),
    ("a manifest", manifest(rows("path,label", "cat", "dog")), {}),
    ("spaces after the commas", manifest(rows("path, label", " cat", " dog")), {}),
    ("other names of columns", manifest(rows("filename,Class", "cat", "dog")), {}),
    ("class numbers as floats", manifest(rows("path,label", "0.0", "1.0")), {}),
    (
        "none of the classes, multilabel",
        manifest(rows("path,label", "cat|dog", "none", "cat")),
        {"output": "multilabel"},
    ),
    ("semicolons", manifest(rows("path,label", "cat", "dog").replace(",", ";")), {}),
    ("a picture that is not there", manifest(rows("path,label", "cat", "dog"), "03.png"), {"max_corrupt": 0.1}),
    ("too many that are not there", manifest(rows("path,label", "cat", "dog"), "03.png", "04.png"), {}),
]


def try_kind(make: Maker, said: dict[str, Any], folder: Path) -> str:
    """What happens to data when they are opened and read, in words."""
    make(folder)
    source = next(path.name for path in sorted(folder.iterdir()) if path.name.startswith("data"))
    ours = {key: value for key, value in said.items() if key in DataConfig.model_fields}
    model = {key: value for key, value in said.items() if key in ModelConfig.model_fields}
    config = AuditConfig(
        model=ModelConfig(source="model.keras", **model),
        data=DataConfig(source=source, **ours),
        file=folder / "audit.toml",
    )
    is_multilabel = said.get("output") == "multilabel"
    options = {"classes": said.get("classes", CLASSES), "image_shape": (SIDE, SIDE, 1), "multilabel": is_multilabel}
    try:
        dataset = open_dataset(config, open_source(config), **options)
        used = sum(len(batch.ids) for batch in dataset.batches(5))
    except AuditError as fault:
        return f"refused: {str(fault).replace(f'{folder}/', '').split(': ', 2)[-1]}"
    labels = "no labels"
    if dataset.truth is not None:
        counts = dataset.truth.sum(axis=0).tolist()
        labels = ", ".join(f"{name} {count}" for name, count in zip(options["classes"], counts, strict=True))
    skipped = [f"left out: {each.image}, {each.reason}" for each in dataset.skipped.values()]
    return ". ".join([f"read: {used} images; {labels}", *skipped, *(note.rstrip(".") for note in dataset.notes)]) + "."


def write_page() -> str:
    """The whole page."""
    lines = []
    for what, make, said in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            happened = try_kind(make, said, Path(folder))
        shown = ", ".join(f"`{key} = {_toml(value)}`" for key, value in said.items() if key != "classes")
        lines.append(f"| {what} | {shown} | {happened.replace('|', chr(92) + '|')} |\n")
    return HEAD + "".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(f'{each:g}' for each in value)}]"
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"


if __name__ == "__main__":
    PAGE.write_text(write_page(), encoding="utf-8")
