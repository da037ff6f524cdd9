"""What an appearance and its controls do to some images: asked of the model together, and measured once it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from auditor.artefacts.appearance import Appearance, Edit, Randoms
from auditor.measure.arrays import Floats
from auditor.subject.model.classifier import Output, log_odds, predicted_classes, to_probability
from auditor.subject.pooling import Answer
from auditor.subject.population import Population
from auditor.verdict.observations import ITSELF, Insertion
from auditor.verdict.passes import Counted


class Came(NamedTuple):
    """Images as they came, with the artefact, and what the model says of them."""

    images: Floats
    """(n, h, w, c)."""
    scores: Floats
    """(n, classes)."""


@dataclass(frozen=True)
class Asked:
    """What an appearance and its controls were asked to do to some images."""

    before: Callable[[], Population]
    inserted: Answer | Came
    controls: dict[str, list[Answer]]
    output: Output

    def measured(self, kept: Callable[[Floats], Floats]) -> Insertion:
        """What they did; of probabilities only the columns that are kept."""
        output, before, raw = self.output, self.before(), self.inserted.scores
        scores = log_odds(raw, output)
        change = to_probability(scores) - to_probability(before.scores)
        return Insertion(
            images=before,
            shift=scores - before.scores,
            predicted=predicted_classes(raw, output),
            probability_change=kept(change.astype(np.float32)),
            controls={
                name: np.mean([log_odds(each.scores, output) for each in draws], axis=0) - before.scores
                for name, draws in self.controls.items()
            },
            predicted_with={
                name: np.stack([predicted_classes(each.scores, output) for each in draws]).mean(
                    axis=0, dtype=np.float32
                )
                for name, draws in self.controls.items()
            },
        )


def put(
    classifier: Counted,
    look: Appearance,
    controls: Mapping[str, list[Edit]],
    images: Floats,
    randoms: Randoms,
    before: Callable[[], Population],
    purpose: str = "",
    compare: Callable[[str, list[Floats], Floats], None] = lambda name, draws, other: None,
    came: Came | None = None,
) -> Asked:
    """Ask what an appearance and its controls do to some images.

    Parameters
    ----------
    before
        The images without it, known by the time that they are measured.
    purpose
        Part of the audit that its passes count for; the artefact and its controls where that is empty.
    compare
        Told the name of each and the images that it gave, beside those that it is compared with.
    came
        The images with it, where they came so.
    """
    inserted = look.insert(images, randoms) if came is None else came.images
    compare(ITSELF, [inserted], images)
    own, innocent = (classifier.part(purpose or name) for name in ("the artefact", "controls"))
    answer, tried = came or own.ask(inserted), dict[str, list[Answer]]()
    for name, draws in controls.items():
        edited = [edit(images, randoms) for edit in draws]
        compare(name, edited, inserted)
        tried[name] = [innocent.ask(each) for each in edited]
    return Asked(before, answer, tried, classifier.output)
