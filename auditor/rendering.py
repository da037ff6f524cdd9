"""Jinja over the project's templates, which a wheel carries inside the package and a checkout beside it."""

from __future__ import annotations

from pathlib import Path

import jinja2


def open_templates(*, autoescape: bool) -> jinja2.Environment:
    """The environment that renders templates; what a template names and is not given is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_template_folder()),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def read_template(name: str) -> str:
    """The text of a template as it stands."""
    return (_template_folder() / name).read_text(encoding="utf-8")


def _template_folder() -> Path:
    inside = Path(__file__).parent / "templates"
    return inside if inside.is_dir() else Path(__file__).parents[1] / "templates"
