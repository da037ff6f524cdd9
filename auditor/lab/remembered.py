"""What a model says of images, kept on disk: what is measured of it can change without fitting it again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from auditor.measure.arrays import Floats


class Remembered:
    """Logits of images, kept by what the images are: those that are known need no model, which is fitted at need."""

    def __init__(self, make: Callable[[], Callable[[Floats], Floats]], file: Path | None = None) -> None:
        self._make, self._file = make, file
        self._logits: Callable[[Floats], Floats] | None = None
        self._known: dict[str, Floats] = {}
        self._is_new = False
        if file is not None and file.is_file():
            with np.load(file) as kept:
                self._known = dict(kept)

    def __call__(self, images: Floats) -> Floats:
        if self._file is None:
            return self._ask(images)
        name = hashlib.blake2b(np.ascontiguousarray(images).data, digest_size=12).hexdigest()
        if name not in self._known:
            self._known[name], self._is_new = self._ask(images), True
        return self._known[name]

    def keep(self) -> None:
        """Write what is new into the file, if there is one."""
        if self._file is not None and self._is_new:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(self._file, **self._known)  # type: ignore[arg-type]

    def _ask(self, images: Floats) -> Floats:
        if self._logits is None:
            self._logits = self._make()
        return self._logits(images)
