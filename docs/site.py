"""Pages of the documentation site that are made when it is built: from the code, and from files beside `docs/`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from xml.sax.saxutils import escape

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made."""
    for name, make in PAGES.items():
        files.append(File.generated(config, name, content=make()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to files that are no part of the site become their names."""
    del config
    here = Path(page.file.src_uri).parent

    def keep(found: re.Match[str]) -> str:
        text, target = found[1], found[2]
        name = target.partition("#")[0]
        where = Path(*[part for part in (here / name).parts if part != "."])
        inside = _normal(where.as_posix())
        if "://" in target or not name or files.get_file_from_path(inside) is not None:
            return found[0]
        return text if text.startswith(("[", "`")) or "/" in text else f"{text} (`{inside.replace('../', '')}`)"

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)", keep, markdown)


def make_tables() -> str:
    """Methods, kinds of artefacts, tests of trust, bars of the verdict and presets of a gate, as the code has them."""
    from auditor.artefacts.kinds import ARTEFACT_KINDS
    from auditor.auditing.plan import describe_method
    from auditor.config.gate import PRESETS, write_preset
    from auditor.config.options import describe_options
    from auditor.explain.attribution.methods import ATTRIBUTIONS
    from auditor.explain.table import STUDIES
    from auditor.explain.trust.sanity import TRUST_TESTS
    from auditor.verdict.record import FILL_FACTOR, SMALLEST_SHARE, Rule
    from auditor.verdict.rule import LARGEST_CHANGE, LARGEST_NO_OP, LEAST_ACCURACY, SEVERITY_THRESHOLDS

    parts = ["# Tables", "Made from the code when this site is built.", ""]
    for title, section, table in (
        ("Methods of attribution", "methods.", ATTRIBUTIONS),
        ("Studies", "methods.", STUDIES),
        ("Kinds of artefacts", "artefacts, kind = ", ARTEFACT_KINDS),
    ):
        parts += [f"## {title}", ""]
        for name, function in table.items():
            summary, reference = describe_method(function)
            parts += [f"### `[{section}{name}]`", "", summary, ""]
            options = describe_options(function)
            if options:
                parts += [_table(("option", "what it takes", "default"), options), ""]
            if reference:
                parts += [f"Reference: {reference}", ""]
    rows = [
        (test.name, test.question, test.figure, f"{'under' if test.better == 'low' else 'over'} {test.passes:g}",
         "yes" if test.decisive else "no")
        for test in TRUST_TESTS.values()
    ]  # fmt: skip
    parts += ["## Tests of trust", "", _table(("test", "question", "figure", "passes", "decisive"), rows), ""]
    bars = [
        (f"severity {name}", f"flip rate or accuracy drop of {least:.0%} or more")
        for name, least in SEVERITY_THRESHOLDS
    ]
    bars += [
        ("severity score only", f"fewer than {SMALLEST_SHARE:.0%} of decisions turned beyond the median control"),
        ("margin", f"{Rule().margin_sd:g} standard deviations of the score; half of it where decisions clearly turn"),
        (
            "where it is only filled in",
            f"reliance from {FILL_FACTOR:g} margins on, an all-clear below 1/{FILL_FACTOR:g} of one",
        ),
        ("images for an all-clear", f"{Rule().images_for_all_clear} or more"),
        ("decisions beside an all-clear", f"fewer than {LARGEST_CHANGE:.0%} change, for whatever reason"),
        ("pasted object", "must clearly raise the score of its class"),
        ("accuracy", f"must reach {LEAST_ACCURACY:.0%} of the labelled images"),
        ("no-op", f"may move scores by {LARGEST_NO_OP:g} standard deviations at most"),
    ]
    parts += ["## Bars of the verdict", "", _table(("bar", "what it says"), bars), ""]
    parts += ["## Presets of a gate", "", "What `preset = ..` under `[gate]` stands for.", ""]
    for name in PRESETS:
        parts += [f"### `{name}`", "", f"```toml\n{write_preset(name)}```", ""]
    return "\n".join(parts)


def make_architecture() -> str:
    """The floors of the house as one picture, from the contract that holds them, and the walk of one image."""
    text = (ROOT / "docs" / "architecture.md.in").read_text(encoding="utf-8")
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return text.replace("{{ floors }}", _draw_floors([re.split(r"\s*[|:]\s*", layer) for layer in layers]))


def _draw_floors(floors: list[list[str]]) -> str:
    width, height = 720, 52
    shapes = []
    for number, rooms in enumerate(floors):
        share = width / len(rooms)
        for at, room in enumerate(rooms):
            says = ROOMS.get(room, _first_sentence(room)).replace("`", "")
            x, y = at * share + 3, number * height + 3
            shapes.append(
                f'<rect x="{x:.0f}" y="{y}" width="{share - 6:.0f}" height="{height - 6}" rx="4" fill="none" '
                f'stroke="currentColor" stroke-opacity=".5"/>'
                f'<text x="{x + 10:.0f}" y="{y + 19}" font-weight="600" fill="currentColor">{escape(room)}</text>'
                f'<text x="{x + 10:.0f}" y="{y + 36}" font-size="11" fill="currentColor">{escape(says)}</text>'
            )
    total = len(floors) * height + 6
    return (
        f'<svg viewBox="0 0 {width} {total}" role="img" aria-label="Floors of the house; imports go down only" '
        f'font-family="sans-serif" font-size="14">{"".join(shapes)}</svg>'
    )


def _first_sentence(room: str) -> str:
    import importlib

    text = (importlib.import_module(f"auditor.{room}").__doc__ or "").strip().partition("\n")[0]
    return text.partition(". ")[0].rstrip(".")


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    names = list(head)
    return "\n".join([line(names), line("---" for _ in names), *(line(row) for row in rows)])


def _beside(name: str) -> Callable[[], str]:
    """A page made of a file at the root, whose links into docs/ stay right."""

    def make() -> str:
        text = (ROOT / name).read_text(encoding="utf-8")
        return re.sub(r"\((?:\./)?docs/", "(", text)

    return make


def _normal(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in (".", ""):
            parts.append(part)
    return "/".join(parts)


ROOMS = {
    "lab": "models of known truth",
    "auditing.propose": "`auditor init`",
    "auditing.api": "what a call does",
    "auditing.conduct": "an audit on its way: run, kept as it grows, published",
    "report": "a saved run as a page, a PDF, a file",
    "auditing.audit": "verdicts, maps, studies: the story",
    "auditing.suspecting": "suspects proposed by half of the images, judged by the other",
    "auditing.suspect_files": "suspects as files",
    "auditing.suspect_pictures": "a suspect as a result tells of it",
    "run": "runs on disk",
    "auditing.opening": "model, data, artefacts",
    "auditing.plan": "which methods run",
    "verdict": "images tried, effects measured, one rule",
    "explain": "a folder per question; none decides",
    "stores": "addresses; reading and writing what lies on an object store",
    "discovery": "suspects that nobody named; none decides",
    "measure": "numbers with intervals, rows, pieces",
    "errors": "what can go wrong, for the user",
}
"""What is said of rooms that share a floor, or have a long sentence of their own."""

PAGES: dict[str, Callable[[], str]] = {
    "index.md": _beside("README.md"),
    "contributing.md": _beside("CONTRIBUTING.md"),
    "changelog.md": _beside("CHANGELOG.md"),
    "security.md": _beside("SECURITY.md"),
    "tables.md": make_tables,
    "architecture.md": make_architecture,
}
"""Pages that are made, by their names in the site."""
