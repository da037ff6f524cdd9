"""What it takes to run an audit again."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from auditor.config.file import AuditConfig


@dataclass(frozen=True)
class Asked:
    """Images of one kind of pass."""

    needed: int
    """Handed to the model."""
    made: int
    """Computed for them: the same, and what filled the last batches up."""


@dataclass(frozen=True)
class PartOfWork:
    """What one part of an audit asked of the model."""

    part: str
    scores: Asked
    gradients: Asked
    """Passes forward and backward."""


@dataclass(frozen=True)
class Provenance:
    """What it takes to run this audit again.

    Only `started` and `seconds` change between equal runs, and `work` where one was cut short and gone on with.
    """

    started: str
    seconds: float
    auditor: str
    python: str
    platform: str
    packages: dict[str, str]
    seed: int
    config_file: str
    config: dict[str, Any]
    passes: dict[str, int] = field(default_factory=dict)
    """Part of the survey -> images that the model scored for it, explanations left out."""
    engine: str = ""
    """What scored the images where that was not the model's own framework, and how near it comes to that."""
    work: list[PartOfWork] = field(default_factory=list)
    """What each part of the audit asked of the model; nothing of what was kept from an audit that was cut short."""


_PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "scikit-image", "tf-explain", "pillow", "onnxruntime", "tf2onnx")


def describe_run(config: AuditConfig, started: str, seconds: float, passes: dict[str, int]) -> Provenance:
    """The circumstances of an audit that started then and took so many seconds."""
    return Provenance(
        started=started,
        seconds=round(seconds, 1),
        auditor=_version("auditor") or "not installed",
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages=_versions(),
        seed=config.data.seed,
        config_file=config.file.name,
        config=config.echo(),
        passes=passes,
    )


def describe_software() -> dict[str, str]:
    """Versions of all that an audit's numbers may depend on, by name."""
    own = {"auditor": _version("auditor") or "not installed", "python": platform.python_version()}
    return own | {"platform": f"{platform.system()} {platform.machine()}"} | _versions()


def _versions() -> dict[str, str]:
    versions: Mapping[str, str | None] = {name: _version(name) for name in _PACKAGES}
    return {name: version for name, version in versions.items() if version is not None}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
