"""Jinja over templates: the project's, which a wheel carries inside the package and a checkout beside it, and a user's.

A user's templates are data that came with a repository: they are read once, from one folder, and drawn in a sandbox.
"""

from __future__ import annotations

import base64
import hashlib
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2.bccache import Bucket
from jinja2.sandbox import ImmutableSandboxedEnvironment

from auditor.errors import ReportError, TemplateError
from auditor.run.limits import limited

if TYPE_CHECKING:  # the process that draws a PDF needs no configuration
    from auditor.config.file import AuditConfig

_MOST_BITS = 4096
"""Of a whole number in a user's template."""

LOOK = "look.css"
"""The style sheet among a user's templates."""

MOST_FILES, MOST_BYTES, LARGEST_PICTURE = 2000, 20 * 2**20, 2 * 2**20
"""How much a folder of templates may hold: files of any kind, bytes that are read, bytes of one picture."""


@dataclass(frozen=True, eq=False)
class OwnTemplates:
    """A user's templates, style and pictures as they were read; without files it stands for the built-in look."""

    folder: Path = Path()
    files: Mapping[str, bytes] = field(default_factory=dict)
    """By name, relative to the folder, with `/`."""

    @property
    def digest(self) -> str:
        """SHA-256 over all names and contents; empty for the built-in look."""
        if not self.files:
            return ""
        lines = (f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(self.files.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def look(self) -> str:
        """The style sheet that comes after the built-in one."""
        return self.files.get(LOOK, b"").decode("utf-8")

    def picture(self, name: str) -> tuple[str, bytes]:
        """A picture of the folder: its kind (`png`, `jpeg`, `svg+xml`) and its bytes.

        Raises
        ------
        TemplateError
            It is not there, or no picture.
        """
        kind = _PICTURES.get(Path(str(name)).suffix.lower())
        if kind is None or name not in self.files:
            there = ", ".join(sorted(other for other in self.files if Path(other).suffix.lower() in _PICTURES))
            raise TemplateError(f"picture {name!r}: not among the templates; pictures there: {there or 'none'}")
        return kind, self.files[name]


BUILT_IN = OwnTemplates()


def read_own_templates(folder: Path) -> OwnTemplates:
    """Read a folder of templates (`.j2`), `look.css` and pictures; whatever else lies there is left alone.

    Raises
    ------
    TemplateError
        The folder is missing, too large, holds a link that leads out of it, or a template of wrong syntax.
    """
    if not folder.is_dir():
        raise TemplateError(f"{folder}: no such folder; wanted a folder of templates")
    files: dict[str, bytes] = {}
    try:
        for file in _walk(folder):
            name = file.relative_to(folder).as_posix()
            if file.suffix == ".j2" or name == LOOK or file.suffix.lower() in _PICTURES:
                if not file.resolve(strict=True).is_relative_to(folder.resolve()):
                    raise TemplateError(f"{file}: leads out of the folder of templates")
                if not file.is_file():
                    raise TemplateError(f"{file}: no file; wanted templates, {LOOK} or pictures")
                files[name] = _read(file, MOST_BYTES - sum(map(len, files.values())))
    except OSError as fault:
        raise TemplateError(f"{fault.filename or folder}: cannot be read: {fault.strerror or fault}") from None
    if not files:
        raise TemplateError(f"{folder}: no templates there; wanted files named .html.j2, {LOOK} or pictures")
    own = OwnTemplates(folder, files)
    _check_texts(own)
    return own


def configured_templates(config: AuditConfig) -> OwnTemplates:
    """The templates that a configuration names; read before an audit, as it would be a pity after it.

    Raises
    ------
    ConfigError
        They cannot be used.
    """
    if not config.report.templates:
        return BUILT_IN
    folder = Path(os.path.normpath(config.path(config.report.templates, "report", "templates")))
    try:
        with limited(folder):
            return read_own_templates(folder)
    except TemplateError as fault:
        raise config.fault(("report", "templates"), str(fault)) from None


class _Sandbox(ImmutableSandboxedEnvironment):
    """What a user's templates are drawn in; numbers stay so small that no reckoning takes long."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """A product or a power: while Python reckons with whole numbers nothing interrupts it."""
        if isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
            if bits > _MOST_BITS:
                raise jinja2.TemplateRuntimeError(f"a number of {_MOST_BITS} bits is the largest there is")
        return super().call_binop(context, operator, left, right)


class _Compiled(jinja2.BytecodeCache):
    """Built-in templates, compiled once and kept as Python keeps its own modules: beside them, where it may write."""

    def __init__(self, autoescape: bool) -> None:
        self._kind = "".join(filter(str.isalnum, f"jinja{jinja2.__version__}{'html' if autoescape else 'text'}"))

    def get_cache_key(self, name: str, filename: str | None = None) -> str:
        return cache_from_source(filename or name, optimization=self._kind)

    def load_bytecode(self, bucket: Bucket) -> None:
        try:
            with Path(bucket.key).open("rb") as file:
                bucket.load_bytecode(file)
        except Exception:  # it is not there, or torn, which unpickling tells in many ways: then it is compiled anew
            bucket.reset()

    def dump_bytecode(self, bucket: Bucket) -> None:
        if sys.dont_write_bytecode:
            return
        kept = Path(bucket.key)
        written = kept.with_name(f"{kept.name}.{os.getpid()}")
        with suppress(OSError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            try:
                with written.open("wb") as file:
                    bucket.write_bytecode(file)
                os.replace(written, kept)
            finally:
                written.unlink(missing_ok=True)


@lru_cache(maxsize=4)  # page and PDF of one report are made from templates that are compiled once
def open_templates(*, autoescape: bool, own: OwnTemplates = BUILT_IN) -> jinja2.Environment:
    """The environment that renders templates; what a template names and is not given is an error.

    A user's templates go before the built-in ones of the same name, which stay within reach under `builtin/`.
    """
    built_in = jinja2.FileSystemLoader(_template_folder())

    def load_own(name: str) -> tuple[str, str, None] | None:
        data = own.files.get(name)
        return None if data is None else (data.decode("utf-8"), str(own.folder / name), None)

    environment_class = _Sandbox if own.files else jinja2.Environment
    environment = environment_class(
        loader=jinja2.ChoiceLoader(
            [jinja2.FunctionLoader(load_own), built_in, jinja2.PrefixLoader({"builtin": built_in})]
        ),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=None if own.files else _Compiled(autoescape),
    )
    del environment.filters["random"], environment.globals["lipsum"]  # a report is the same twice
    return environment


def render_page(name: str, view: Mapping[str, Any], own: OwnTemplates) -> str:
    """An HTML page from a template, the user's own before the built-in.

    Raises
    ------
    TemplateError
        A template of the user's fails, whatever it does; the file and line are told.
    ReportError
        An array that the page shows is missing or damaged.
    """
    try:
        return open_templates(autoescape=True, own=own).get_template(name).render(view)
    except ReportError:  # of the run, whose pictures are read while the page is drawn
        raise
    except Exception as fault:
        if not own.files:
            raise
        raise TemplateError(f"{_place(fault, own)}: {_describe(fault)}") from None


def policy_hash(text: str) -> str:
    """As a page's policy names what it may use (CSP level 3)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def read_template(name: str) -> str:
    """The text of a built-in template as it stands."""
    return (_template_folder() / name).read_text(encoding="utf-8")


def _walk(folder: Path) -> list[Path]:
    """Every file below a folder, by name, but for what is hidden; links to folders are not followed."""
    found: list[Path] = []
    for at, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(at) / name for name in sorted(names) if not name.startswith(".")]
        if len(found) > MOST_FILES:
            raise TemplateError(f"{folder}: more than {MOST_FILES} files; wanted a folder of templates alone")
    return found


def _raise(fault: OSError) -> None:
    raise fault


def _read(file: Path, room: int) -> bytes:
    most = min(room, LARGEST_PICTURE) if file.suffix.lower() in _PICTURES else room
    with file.open("rb") as opened:
        data = opened.read(most + 1)
    if len(data) > most:
        is_picture = most < room
        limit = f"a picture of at most {LARGEST_PICTURE >> 20} MiB" if is_picture else f"{MOST_BYTES >> 20} MiB in all"
        raise TemplateError(f"{file}: too large; wanted {limit}")
    return data


def _check_texts(own: OwnTemplates) -> None:
    """Before an audit runs for hours: every template can be compiled, and the style stays inside its element."""
    environment = open_templates(autoescape=True, own=own)
    for name, data in own.files.items():
        file = own.folder / name
        if name != LOOK and not name.endswith(".j2"):
            continue
        try:
            text = data.decode("utf-8")
            if name != LOOK:
                environment.compile(text, name, str(file))
            elif "</style" in text.lower():
                line = text.lower().partition("</style")[0].count("\n") + 1
                raise TemplateError(f"{file}:{line}: got '</style', wanted style alone")
        except UnicodeDecodeError as fault:
            line = data[: fault.start].count(b"\n") + 1
            raise TemplateError(f"{file}:{line}: not UTF-8 text") from None
        except (jinja2.TemplateError, RecursionError, ValueError, OverflowError) as fault:
            raise TemplateError(f"{_place(fault, own)}: {_describe(fault)}") from None


def _place(fault: Exception, own: OwnTemplates) -> str:
    """File and line of the innermost template of the user's that a fault went through, else of any template."""
    if isinstance(fault, jinja2.TemplateSyntaxError):
        return f"{fault.filename or fault.name}:{fault.lineno}"
    mine = {str(own.folder / name) for name in own.files}
    inside, any_template = "", ""
    trace = fault.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file in mine:
            inside = f"{file}:{trace.tb_lineno}"
        elif file.endswith(".j2"):
            any_template = f"{file}:{trace.tb_lineno}"
        trace = trace.tb_next
    return inside or any_template or str(own.folder)


def _describe(fault: Exception) -> str:
    text = " ".join(str(fault).split())
    if isinstance(fault, jinja2.TemplateNotFound):
        return f"no template of this name: {fault.name or text}"
    if isinstance(fault, MemoryError):
        return "takes more memory than a page may"
    if isinstance(fault, RecursionError):
        return "the templates call one another without end; built-in ones are named with builtin/ in front"
    if isinstance(fault, jinja2.TemplateError | TemplateError):
        return text
    return f"{type(fault).__name__}: {text}"


def _template_folder() -> Path:
    inside = Path(__file__).parents[1] / "templates"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "templates"


_PICTURES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".svg": "svg+xml"}
"""Kinds of pictures by the end of their names."""
