"""A suspected shortcut as a result tells of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ArtefactRecord:
    """A suspected shortcut as it was tested."""

    name: str
    kind: str
    target: str | None
    present: str
    carriers: int
    """Images of the sample that already carry it."""
    coverage: float | None
    """Share of the frame that it covers; null where it differs from image to image."""
    box: tuple[int, int, int, int] | None
    """Left, top, right, bottom in pixels, half-open."""
    opacity: float | None
    picture: str | None
    """Key of the array that shows it on grey."""
    line: int | None = None
    """Where it stands in the configuration file; null where it came with the command line."""
