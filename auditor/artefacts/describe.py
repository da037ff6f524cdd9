"""What a result tells of an artefact."""

from __future__ import annotations

import numpy as np

from auditor.artefacts.edits import insert
from auditor.artefacts.kinds import Artefact, Frame, Overlay
from auditor.artefacts.record import ArtefactRecord
from auditor.measure.intervals import Bools
from auditor.measure.ledger import NewArrays
from auditor.subject.data.pictures import to_pixels


def describe_artefact(
    artefact: Artefact, carries: Bools, frame: Frame, classes: tuple[str, ...], *, picture: str, arrays: NewArrays
) -> ArtefactRecord:
    """The record of an artefact; where its appearance is known, what it looks like on grey is kept under `picture`."""
    overlay = artefact.appearance if isinstance(artefact.appearance, Overlay) else None
    if overlay is not None:
        grey = np.full((1, *frame), 0.5, np.float32)
        arrays.keep(picture, to_pixels(insert(grey, overlay)[0]), of_data=False)
    return ArtefactRecord(
        name=artefact.name,
        kind=artefact.kind,
        target=None if artefact.target is None else classes[artefact.target],
        present=artefact.present,
        carriers=int(carries.sum()),
        coverage=None if overlay is None else float(overlay.mask.mean()),
        box=None if overlay is None else overlay.box,
        opacity=None if overlay is None else overlay.opacity,
        picture=None if overlay is None else picture,
        line=artefact.line,
    )
