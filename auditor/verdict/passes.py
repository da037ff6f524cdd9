"""How many images the model scored, and for what: the cost of a verdict."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from auditor.measure.arrays import Floats
from auditor.subject.model.classifier import Classifier, Output

AS_THEY_CAME, CHECKS = "images as they came", "checks of the run"
NEIGHBOURS, CANVASES = "neighbouring places", "canvases without content"


@dataclass(frozen=True)
class Counted:
    """A classifier that counts the images it scores, by the part of the audit that they are scored for."""

    model: Classifier
    counts: Counter[str] = field(default_factory=Counter)
    """Part -> images; shared by all that `part` gives."""
    name: str = AS_THEY_CAME

    @property
    def classes(self) -> tuple[str, ...]:
        """See `Classifier`."""
        return self.model.classes

    @property
    def output(self) -> Output:
        """See `Classifier`."""
        return self.model.output

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """See `Classifier`."""
        return self.model.image_shape

    def scores(self, images: Floats) -> Floats:
        """See `Classifier`."""
        self.counts[self.name] += len(images)
        return self.model.scores(images)

    def part(self, name: str) -> Counted:
        """The same, counting for a part of the audit."""
        return replace(self, name=name)
