"""What every study is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from auditor.artefacts.kinds import Artefact
from auditor.explain.attribution.methods import WITHOUT_GRADIENT
from auditor.explain.attribution.question import Attribution, Method, Question, ask, explain, layers_read
from auditor.explain.attribution.record import MapName
from auditor.measure.arrays import Array, Floats, Groups, Ints, take
from auditor.measure.ledger import NewArrays, Rows
from auditor.measure.seeds import seeded_order
from auditor.subject.data.sample import Dataset
from auditor.subject.model.classifier import Explainable
from auditor.subject.population import Population

SHOWN_ERRORS = "counterfactual"
"""The seeded order of errors that every study follows: what each says of one image can be read together."""


class NotApplicableError(Exception):
    """A study has nothing to work on; the text says why, for the report."""


@dataclass(frozen=True)
class Selection:
    """Some of the images, as they came or changed; who selects them adds what else is known of each."""

    positions: Ints
    """(n,): rows of the data set."""
    ids: list[str]
    groups: Groups
    """(n,)."""
    images: Floats
    """(n, h, w, c)."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Inquiry:
    """The audited model and images, what is known of the artefacts, and where a study puts what it finds."""

    classifier: Explainable
    dataset: Dataset
    images: Population
    """All usable images as they came: where they stand in the data set, scores, predictions, labels, groups."""
    artefacts: list[Artefact]
    targets: list[int | None]
    """For each artefact, the class that it was tested for: of a scan the one that moved most; None where it was not."""
    mean_image: Floats
    """(h, w, c)."""
    attributions: list[Method]
    """The methods of attribution that are switched on."""
    rows: Rows
    """Measurements per image."""
    arrays: NewArrays
    """Pictures and maps by key."""
    seed: int
    level: float
    """Confidence level of all intervals."""
    progress: Callable[[str, int, int], None]
    """Called with what is done, how much of it is, and of how much."""

    def ask(
        self,
        images: Floats,
        targets: Ints,
        ids: list[str],
        *,
        classifier: Explainable | None = None,
        foils: Ints | None = None,
    ) -> Question:
        """What the methods that are on are asked, after a pass that they share; of another classifier if so."""
        layers = layers_read(self.attributions, self.classifier)
        return ask(
            classifier or self.classifier,
            images,
            targets,
            ids=ids,
            mean_image=self.mean_image,
            seed=self.seed,
            layers=layers,
            foils=foils,
            by_pixels=not WITHOUT_GRADIENT.issuperset(method.function for method in self.attributions),
        )

    def explain(self, question: Question) -> dict[MapName, Attribution]:
        """What all methods that are on answer."""
        return {name: one for method in self.attributions for name, one in explain(method, question).items()}

    def of_what_is_there(self) -> Inquiry:
        """The same about the images that have not been found to be changed or gone."""
        kept = ~np.isin(self.images.positions, list(self.dataset.skipped))
        return self if kept.all() else replace(self, images=take(self.images, kept))

    def select(self, positions: Ints) -> Selection:
        """Images by their rows of the data set, in that order, without those that are no longer there."""
        data = self.dataset
        at, images = data.read(positions)
        return Selection(at, data.named(at), data.groups[at], images)

    def note(self, of: Selection, values: Array, measurement: str, **columns: object) -> None:
        """Keep what was measured of each image, (n,), where it is known; see `Rows.note` for further columns."""
        groups = [self.dataset.group_names[group] for group in of.groups.tolist()]
        self.rows.note(values, image=of.ids, group=groups, measurement=measurement, **columns)

    def keep(self, key: str, values: Array) -> str:
        """Keep a picture or a map that was made of audited images; returns its key. See `NewArrays.keep`."""
        return self.arrays.keep(key, values, of_data=True)

    def ordered(self, positions: Ints, purpose: str) -> Ints:
        """Rows of the data set in a seeded order, which depends on their ids alone."""
        return positions[seeded_order(self.seed, purpose, self.dataset.named(positions))]
