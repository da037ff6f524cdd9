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
    removable: bool | None = None
    """Whether it can be taken out exactly; null in runs from before that was told."""
    within: tuple[int, int, int, int] | None = None
    """Of what lies elsewhere on each image: left, top, right and bottom of where it may lie, in pixels."""
    found: int | None = None
    """Of `looked_at` images that carry it, those in which it was found when it was first looked for; null where it is
    not looked for."""
    looked_at: int | None = None
    parts: tuple[str, ...] = ()
    """Names of the artefacts that it consists of."""
