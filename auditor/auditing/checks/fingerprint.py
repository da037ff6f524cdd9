"""What an audit depends on, as one hash: where it is as it was, the audit would find what it found.

It is taken without TensorFlow, and without the options of artefacts and methods: whatever text of the configuration is
the name of a file or a folder counts as one. To take a file for named that is not only makes an audit run once more.
"""

from __future__ import annotations

import importlib.machinery
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditor.auditing.checks.hashing import Hashes, hash_text
from auditor.config.checks import Cell, GatedDocument
from auditor.config.options import APPLICATIONS, dotted, is_function_spec
from auditor.errors import AuditError
from auditor.run.provenance import describe_software
from auditor.stores.address import FILE, is_stored, read_place
from auditor.subject.data.manifests import MANIFESTS, read_manifest
from auditor.subject.data.naming import OF_COLUMNS

_ELSEWHERE = "on a store, which does not tell what changed there"

_NOT_FILES = {"title", "preface", "name", "target", "present", "output"}
"""Keys whose texts name no file that is read, whatever lies there under that name."""


@dataclass(frozen=True)
class Fingerprint:
    """What an audit depends on."""

    digest: str
    unknown: str = ""
    """Why it may depend on more than could be seen, where it may."""


def take_fingerprint(cell: Cell, data: Mapping[str, Any], folder: Path, hashes: Hashes) -> Fingerprint:
    """The fingerprint of a cell of a file of checks in `folder`, whose audit is configured by `data`.

    Raises
    ------
    DataError
        A file that it names cannot be read.
    """
    data = {key: value for key, value in data.items() if key not in GatedDocument.model_fields}
    lines = [f"{name} {version}" for name, version in describe_software().items()]
    lines.append(json.dumps(data, sort_keys=True, default=str))
    unknown = ""
    for path, text in _texts(data):
        if text.startswith(APPLICATIONS):
            continue  # told by the version of Keras
        if is_function_spec(text):
            code = _code(text.partition(":")[0], cell.config.parent)
            lines += [f"{text} {file.name} {hashes.of(file)}" for file in code]
            is_own = any(file.is_relative_to(cell.config.parent.resolve()) for file in code)
            if not cell.watch and (path[-1] == "source" or (is_own and path[0] in ("model", "artefacts"))):
                unknown = f"{dotted(path)} is a function, and no watch says what it reads"
            elif not code:
                unknown = f"{text}: its code was not found"
        elif is_stored(text) and str(path[-1]) not in _NOT_FILES:
            unknown = f"{dotted(path)} lies {_ELSEWHERE}"
        elif str(path[-1]) not in _NOT_FILES:
            for file in _files(text.removeprefix(f"{FILE}://"), cell.config.parent, folder):
                lines.append(f"{text} {hashes.of(file)}")
                if path == ("data", "source") and file.suffix.lower() in MANIFESTS:
                    lines += _named(file, data["data"], cell.config.parent, hashes)
    lines += [f"{file.name} {hashes.of(file)}" for file in cell.watch]
    return Fingerprint(hash_text("\n".join(lines)), unknown)


def _texts(data: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every text of a configuration, and the names of its tables, with where it stands."""
    if isinstance(data, str):
        yield path, data
    elif isinstance(data, dict):
        for key, value in data.items():
            if is_function_spec(key):
                yield (*path, key), key
            yield from _texts(value, (*path, key))
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from _texts(value, (*path, number))


def _files(text: str, *folders: Path) -> list[Path]:
    """What a text names, relative to the configuration's folder or to that of the checks."""
    if not text or "\n" in text or "\0" in text or len(text) > 1024:
        return []
    paths = dict.fromkeys(folder / text for folder in folders)
    return [path for path in paths if path.is_file() or path.is_dir()]


def _named(manifest: Path, section: dict[str, Any], folder: Path, hashes: Hashes) -> list[str]:
    """The pictures and masks that a manifest names, of those that lie here; what is missing is for the audit to say."""
    declared = {key: str(value) for key, value in section.items() if key in OF_COLUMNS}
    try:
        root = read_place(str(section["root"])) if section.get("root") else None
        read = read_manifest(manifest, declared=declared, root=folder / root if isinstance(root, Path) else root)
    except AuditError:
        return []
    files = [*read.files, *(mask for mask in read.masks or [] if mask is not None)]
    here = [file for file in files if isinstance(file, Path)]
    return [hashes.of(file) if file.is_file() else "missing" for file in here]


def _code(module: str, folder: Path) -> list[Path]:
    """The Python files that a function of a user's may come from: its package, or all beside its module."""
    top = module.partition(".")[0]
    for place in (str(folder.resolve()), *sys.path):
        spec = importlib.machinery.PathFinder.find_spec(top, [place])
        if spec is not None and spec.submodule_search_locations:
            return sorted(file for root in spec.submodule_search_locations for file in Path(root).rglob("*.py"))
        if spec is not None and spec.origin is not None:
            beside = Path(spec.origin).parent == folder.resolve()
            return sorted(folder.resolve().glob("*.py")) if beside else [Path(spec.origin)]
    return []
