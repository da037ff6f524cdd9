"""Several artefacts as one, put in and taken out together: where either suffices, each alone does nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from auditor.artefacts.appearance import Appearance, Edit, Frame, Randoms
from auditor.measure.arrays import Bools, Floats
from auditor.measure.measurement import Note


@dataclass(frozen=True)
class Together:
    """Artefacts that are put in one after another."""

    parts: tuple[Appearance, ...] = ()
    names: tuple[str, ...] = ()
    """Of the parts; those that are yet to be found, where there are none."""

    @property
    def can_insert(self) -> bool:
        """Whether all looks are known."""
        return all(part.can_insert for part in self.parts)

    @property
    def can_remove(self) -> bool:
        """Whether what would be there without any of them can be computed."""
        return all(part.can_remove for part in self.parts)

    @property
    def fixed_region(self) -> Bools | None:
        """(h, w): that of all of them, where each has one."""
        regions = [part.fixed_region for part in self.parts if part.fixed_region is not None]
        return np.any(regions, axis=0) if regions and len(regions) == len(self.parts) else None

    @property
    def opacity(self) -> float | None:
        """The largest of any."""
        return max((part.opacity for part in self.parts if part.opacity is not None), default=None)

    def insert(self, images: Floats, randoms: Randoms = ()) -> Floats:
        """Images (n, h, w, c) with all of them."""
        return _one_after_another([part.insert for part in self.parts])(images, randoms)

    def remove(self, images: Floats, shift: tuple[int, int] = (0, 0)) -> Floats:
        """What would be there without them: the last is taken out first."""
        for part in reversed(self.parts):
            images = part.remove(images, shift)
        return images

    def region(self, image_id: str, frame: Frame, random: np.random.Generator) -> Bools | None:
        """That of all of them in one image; None where none has one."""
        state = random.bit_generator.state
        regions = []
        for part in self.parts:
            random.bit_generator.state = state  # each draws as it does alone
            regions.append(part.region(image_id, frame, random))
        known = [region for region in regions if region is not None]
        return np.any(known, axis=0) if known else None

    def controls(self, given: Mapping[str, Appearance], seed: int) -> tuple[dict[str, list[Edit]], list[Note]]:
        """Each of one's with each of the other's: those of the same name first, the others in their order."""
        assert not given, "there is no one place to put pictures at"
        tried = [part.controls({}, seed) for part in self.parts]
        edits = [dict(each) for each, _ in tried]
        common = [name for name in edits[0] if all(name in each for each in edits)]
        rest = [[name for name in each if name not in common] for each in edits]
        rows = [(name,) * len(edits) for name in common] + list(zip(*rest, strict=False))
        joint = {
            " + ".join(dict.fromkeys(row)): [
                _one_after_another(draws)
                for draws in zip(*(each[name] for each, name in zip(edits, row, strict=True)), strict=False)
            ]
            for row in rows
        }
        return joint, [note for _, notes in tried for note in notes]

    def innocents(self, count: int, seed: int) -> list[Edit]:
        """Innocent content drawn at random in place of each."""
        drawn = [part.innocents(count, seed) for part in self.parts]
        return [_one_after_another(edits) for edits in zip(*drawn, strict=True)] if all(drawn) else []

    def variants(self, given: Mapping[str, Appearance]) -> dict[str, Edit]:
        """Each of them alone."""
        return {f"{name} alone": part.insert for name, part in zip(self.names, self.parts, strict=True)}

    def doses(self) -> dict[float, Edit]:
        """All at the same dose."""
        first, *others = (part.doses() for part in self.parts)
        common = [dose for dose in first if all(dose in other for other in others)]
        return {dose: _one_after_another([first[dose], *(other[dose] for other in others)]) for dose in common}

    def neighbours(self) -> dict[str, Appearance]:
        """None: each has its own."""
        return {}


def together(frame: Frame, *, parts: Annotated[tuple[str, ...], Field(min_length=2)]) -> Together:
    """Several artefacts at once, `parts`, by the names of others; each stands as an artefact of its own too."""
    return Together(names=parts)


def _one_after_another(edits: Sequence[Edit]) -> Edit:
    def edit(images: Floats, randoms: Randoms = ()) -> Floats:
        for each in edits:
            images = each(images, randoms)
        return images

    return edit
