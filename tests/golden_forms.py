"""What golden files hold: texts of one fact a line in named sections, pictures, and what differs between two of them.

A form is text whose sections begin with `§ NAME`. Numbers with a decimal point have a tolerance, all else is compared
sign by sign. A picture inside a page is its size and the mean colours of 8 × 8 blocks, each with a tolerance.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from html.parser import HTMLParser
from typing import Any

import numpy as np
from PIL import Image

from auditor.report.templates import read_template

NUMBER_TOLERANCE = 1e-6
"""Relative, of numbers in texts, which Python formats alike everywhere."""

PLOT_TOLERANCE = 0.05
"""In points, of places in a plot: matplotlib lays out in floating point."""

COLOUR_TOLERANCE = 6
"""In levels of 255, of the mean colour of an eighth of a picture: decoders of JPEG round differently."""

BLOCK, BLOCK_TOLERANCE = 8, 10
"""Pictures of pages: mean colours of blocks of so many pixels a side, in levels of 255. The edge of a letter that is
smoothed otherwise moves the mean of its block by less; 8 × 8 pixels of another colour, wherever they lie, by more."""

MOST_SHOWN = 12


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was."""

    file: str
    section: str
    line: int
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: section {self.section}\n  old  {self.old}\n  new  {self.new}"


def describe(differences: list[Difference]) -> str:
    """What differs, for the reader of a failed test; what words say comes before where a plot puts them."""
    ordered = sorted(differences, key=lambda difference: bool(_PLOT.match(difference.old)))
    shown = [str(difference) for difference in ordered[:MOST_SHOWN]]
    more = len(differences) - len(shown)
    rest = [f"and {more} more differences"] if more > 0 else []
    return "\n".join(["not as the golden files say (tests/golden/README.md):", *shown, *rest])


def compare_forms(file: str, old: str, new: str) -> list[Difference]:
    """What differs between two forms, in the order of the old one."""
    before, after = _split(old), _split(new)
    found = []
    for section in dict.fromkeys([*before, *after]):
        found += _compare_lines(file, section, before.get(section, []), after.get(section, []))
    return found


def compare_pictures(file: str, old: Image.Image, new: Image.Image) -> list[Difference]:
    """Where two pictures of a page differ, if they do."""
    if old.size != new.size:
        return [Difference(file, "size", 0, "{} × {}".format(*old.size), "{} × {}".format(*new.size))]
    means = [_block_means(np.asarray(picture.convert("RGB"), np.float64)) for picture in (old, new)]
    is_off = np.abs(means[0] - means[1]).max(axis=-1) > BLOCK_TOLERANCE
    if not is_off.any():
        return []
    rows, columns = np.nonzero(is_off)
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    place = f"pixels {left * BLOCK}–{right * BLOCK} from the left, {top * BLOCK}–{bottom * BLOCK} from the top"
    worst = np.unravel_index(np.abs(means[0] - means[1]).max(axis=-1).argmax(), is_off.shape)
    colours = ["#{:02x}{:02x}{:02x}".format(*np.round(side[worst]).astype(int)) for side in means]
    said = [f"{is_off.sum()} blocks; the worst is {colours[0]}", colours[1]]
    return [Difference(file, place, 0, *said)]


def page_form(page: str) -> str:
    """HTML or XML: a tag or a text a line, pictures by their colours, our own style and script by name.

    A section begins with every tag of `_SECTIONS`.
    """
    rules = _SHARED.findall(page)  # of images that the stylesheet carries: pictures, too
    page = _SHARED.sub("", page)
    for name, text in _assets().items():
        page = re.sub(rf">\s*{re.escape(text.strip())}\s*<", f">{name}<", page)
    shared = "".join(f'<img class="{name}" src="{uri}">' for name, uri in rules)
    page = page.replace("</body>", f"{shared}</body>", 1)  # last: a picture stands below what shows it first
    page = re.sub(r"(style|script)-src (['&#39;]+)sha256-[\w+/=]+", r"\1-src \2sha256-…", page)
    form = _PageForm()
    form.feed(page)
    form.close()
    return "\n".join(form.lines) + "\n"


def json_form(text: str | bytes) -> str:
    """A value a line, with the path to it; a section for each part of the whole."""
    lines, section = [], ""
    for path, value in _flatten(json.loads(text), ()):
        if path[0] != section:
            section = path[0]
            lines.append(f"§ {section}")
        lines.append(f"{'.'.join(path)} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


def markdown_form(text: str) -> str:
    """The text itself; a section for each heading."""
    lines = []
    for line in text.splitlines():
        if line.startswith("#"):
            lines.append(f"§ {line.lstrip('# ')}")
        lines.append(line.rstrip())
    return "\n".join(lines) + "\n"


def csv_form(text: str) -> str:
    """A section for each row, a cell a line."""
    lines = []
    for number, row in enumerate(csv.DictReader(io.StringIO(text, newline=""))):
        lines += [f"§ row {number}", *(f"{name} = {value}" for name, value in row.items() if value)]
    return "\n".join(lines) + "\n"


def pdf_form(text: str) -> str:
    """Text of `pdftotext -layout`; a section for each page, two blanks for any number of them."""
    lines = []
    for number, page in enumerate(text.removesuffix("\f").split("\f"), 1):
        lines.append(f"§ page {number}")
        lines += [re.sub(r" {2,}", "  ", line.strip()) for line in page.splitlines() if line.strip()]
    return "\n".join(lines) + "\n"


class _PageForm(HTMLParser):
    """Lines of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.is_verbatim = False
        self.pictures: dict[str, int] = {}
        self.ids: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.is_verbatim |= tag == "pre"
        if tag in _SECTIONS:
            name = given.get("id") or given.get("aria-labelledby") or given.get("name") or tag
            self.lines.append(f"§ {name}")
        pictures = [value for value in given.values() if value.startswith("data:image/")]
        shown = "".join(
            f" {name}={json.dumps(self._value(value), ensure_ascii=False)}" for name, value in given.items()
        )
        self.lines.append(f"<{tag}{shown}>")
        for uri in pictures:
            if uri not in self.pictures:
                self.pictures[uri] = len(self.pictures) + 1
                self.lines += _picture_lines(self.pictures[uri], uri)

    def handle_endtag(self, tag: str) -> None:
        self.lines.append(f"</{tag}>")
        self.is_verbatim &= tag != "pre"

    def handle_data(self, data: str) -> None:
        texts = data.splitlines() if self.is_verbatim else [data]
        self.lines += [" ".join(text.split()) for text in texts if text.strip()]

    def _value(self, value: str) -> str:
        if value.startswith("data:image/"):
            return f"picture {self.pictures.get(value, len(self.pictures) + 1)}"
        return _HASHED_ID.sub(self._numbered, value)

    def _numbered(self, found: re.Match[str]) -> str:
        return self.ids.setdefault(found[0], f"{found[1]}{len(self.ids) + 1}")


def _picture_lines(number: int, uri: str) -> list[str]:
    """Kind and size of a picture, and its mean colours on white, 8 rows of 8."""
    picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    kind, size = picture.format, picture.size
    layer = picture.convert("RGBA")
    shown = Image.alpha_composite(Image.new("RGBA", size, "white"), layer).convert("RGB")
    colours = np.asarray(shown.resize((8, 8), Image.Resampling.BOX))
    rows = ["  " + " ".join("{:02x}{:02x}{:02x}".format(*colour) for colour in row) for row in colours]
    return [f"picture {number}: {kind}, {size[0]} × {size[1]} pixels", *rows]


def _assets() -> dict[str, str]:
    style, index = read_template("style.css"), read_template("index.css")
    return {
        "style.css and index.css": style + index,
        "style.css": style,
        "index.js": read_template("index.js"),
        "report.js": read_template("report.js"),
    }


def _flatten(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if not children:
        yield path, value
        return
    for key, inner in children:
        yield from _flatten(inner, (*path, str(key)))


def _split(form: str) -> dict[str, list[tuple[int, str]]]:
    """Numbered lines by section; a name that comes again is told apart."""
    sections: dict[str, list[tuple[int, str]]] = {}
    name = "head"
    for number, line in enumerate(form.splitlines(), 1):
        if line.startswith("§ "):
            name = line[2:]
            while name in sections:
                name += " again"
            sections[name] = []
        else:
            sections.setdefault(name, []).append((number, line))
    return sections


def _compare_lines(file: str, section: str, old: list[tuple[int, str]], new: list[tuple[int, str]]) -> list[Difference]:
    if [line for _, line in old] == [line for _, line in new]:
        return []
    found = []
    masks = [[_mask(line) for _, line in side] for side in (old, new)]
    start = next((at for at, pair in enumerate(zip(*masks, strict=False)) if pair[0] != pair[1]), min(map(len, masks)))
    most = min(map(len, masks)) - start
    end = next((at for at in range(most) if masks[0][-1 - at] != masks[1][-1 - at]), most)
    for a, b in zip(old[:start], new[:start], strict=True):
        found += _compare_numbers(file, section, a, b[1])
    middles = [side[start : len(side) - end] for side in masks]
    for kind, i, j, k, m in SequenceMatcher(None, *middles).get_opcodes():
        before, after = old[start + i : start + j], new[start + k : start + m]
        if kind == "equal":
            for a, b in zip(before, after, strict=True):
                found += _compare_numbers(file, section, a, b[1])
            continue
        place = before[0][0] if before else old[start + i - 1][0] if start + i else 0
        for at in range(max(len(before), len(after))):
            sides = [side[at][1] if at < len(side) else "–" for side in (before, after)]
            found.append(Difference(file, section, before[at][0] if at < len(before) else place, *sides))
    for a, b in zip(old[len(old) - end :], new[len(new) - end :], strict=True):
        found += _compare_numbers(file, section, a, b[1])
    return found


def _compare_numbers(file: str, section: str, numbered: tuple[int, str], new: str) -> list[Difference]:
    """Two lines that are alike but for their numbers or colours."""
    number, old = numbered
    if old == new:
        return []
    if _GRID.fullmatch(old):
        for block, colours in enumerate(zip(old.split(), new.split(), strict=True), 1):
            levels = [np.frombuffer(bytes.fromhex(colour), np.uint8).astype(int) for colour in colours]
            if np.abs(levels[0] - levels[1]).max() > COLOUR_TOLERANCE:
                sides = [f"colour {block} of the row: #{colour}" for colour in colours]
                return [Difference(file, section, number, *sides)]
        return []
    is_plot = bool(_PLOT.match(old))
    for before, after in zip(_NUMBER.findall(old), _NUMBER.findall(new), strict=True):
        tolerance = PLOT_TOLERANCE if is_plot else NUMBER_TOLERANCE * abs(float(before))
        if abs(float(before) - float(after)) > tolerance:
            return [Difference(file, section, number, old, new)]
    return []


def _mask(line: str) -> str:
    return "a row of colours" if _GRID.fullmatch(line) else _NUMBER.sub("#", line)


def _block_means(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    height, width = (side - side % BLOCK for side in pixels.shape[:2])
    blocks = pixels[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK, 3)
    return blocks.mean(axis=(1, 3))


_SECTIONS = {"head", "body", "section", "footer", "testsuite"}

_NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")

_GRID = re.compile(r"  [0-9a-f]{6}(?: [0-9a-f]{6}){7}")

_PLOT = re.compile(r"<(?:svg|g|defs|path|use|text|tspan|rect|circle|line|polyline|polygon|clippath)\b")

_SHARED = re.compile(r"\.(u\d+)\{background-image:url\((data:image/[a-z]+;base64,[A-Za-z0-9+/=]+)\)\}\n")

_HASHED_ID = re.compile(r"\b([mp])[0-9a-f]{10}\b")
"""What matplotlib calls clips and marks: a hash of coordinates in full precision."""
