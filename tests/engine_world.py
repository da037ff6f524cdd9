"""An audit from files that any process can open, without Keras, and a crew of workers in this process."""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from auditor.auditing import conduct as conducting
from auditor.auditing.engine.units import Broken, Outcome, Unit
from auditor.auditing.engine.worker import Opening, Worker, opening_of
from auditor.config.file import AuditConfig
from auditor.run.result import result_to_json
from auditor.run.store import SavedRun
from tests.small_world import CORNER, PATTERN, SIDE, make_data

MODEL = f"""\
import os
import signal
import sys
import time

import auditor
import numpy as np
from auditor import Pass


class Linear:
    classes, image_shape, output = ("cat", "dog", "boat"), ({SIDE}, {SIDE}, 1), "softmax"

    def __init__(self):
        self.weights = np.load(os.path.join(os.path.dirname(__file__), "weights.npy"))

    def scores(self, images):
        time.sleep(float(os.environ.get("SLOW", "0")))
        frame, poison = sys._getframe(), int(os.environ.get("POISON", "-1"))
        hung = os.environ.get("HANG", "")
        while frame is not None:  # as a picture that a library of the system dies of, in a worker alone
            if frame.f_code.co_name == "look_for_another" and poison in frame.f_locals["rows"]:
                os.kill(os.getpid(), signal.SIGKILL)
            if frame.f_code.co_name == "look_for_another" and hung and not os.path.exists(hung):
                open(hung, "w").close()  # the first to come here hangs, and no other
                time.sleep(3600)
            if frame.f_code.co_name == "look_for_another" and len(images) > int(os.environ.get("MOST", "8")):
                raise MemoryError
            frame = frame.f_back
        return np.einsum("nhwc,hwck->nk", images, self.weights)

    def differentiate(self, images, targets, layers=()):
        return Pass(self.scores(images), np.moveaxis(self.weights, -1, 0)[targets], {{}}, {{}})


def load():
    return Linear()


def spread(inquiry: auditor.Inquiry):
    \"\"\"How bright are the images?\"\"\"
    chosen = inquiry.select(inquiry.images.positions[:8])
    values = chosen.images.mean(axis=(1, 2, 3))
    inquiry.note(chosen, values, "brightness")
    inquiry.keep("brightest", (255 * chosen.images[values.argmax()]).astype(np.uint8))
    return [auditor.Answer(f"Their mean is {{values.mean():.3f}}.")]
"""

CONFIG = """\
model = {{ source = "{module}:load", batch_size = 8 }}
data = {{ source = "images.npz" }}
report = {{ formats = ["markdown"] }}
explain = {{ images = 6, exemplars = 2 }}
artefacts = [
    {{ name = "mark", kind = "overlay", image = "mark.png", position = [5, 5], target = "boat" }},
    {{ name = "other mark", kind = "overlay", image = "mark.png", position = [0, 5], present = "marked" }},
]
[methods]
smoothgrad = {{ enabled = false }}
grad_cam = {{ enabled = false }}
trust = {{ enabled = false }}
optima = {{ enabled = false }}
counterfactual = {{ enabled = false }}
errors = {{ enabled = false }}
"{module}:spread" = {{}}
"""

TIMES = ("started", "seconds")
"""Of the provenance: all in which an audit differs that is run elsewhere, beside the section that says where."""


def write_audit(folder: Path, count: int = 42) -> Path:
    """Write model, images and configuration; the model takes a pattern in the corner for a boat."""
    folder.mkdir(parents=True, exist_ok=True)
    module = f"linear_{random.Random(str(folder)).getrandbits(32):x}"  # each folder has a module of its own
    (folder / f"{module}.py").write_text(MODEL)
    weights = np.zeros((SIDE, SIDE, 1, 3), np.float32)
    for number in range(3):
        weights[:5, 3 * number : 3 * number + 3, :, number] = 0.3
    weights[(*CORNER, 0, 2)] = 4 * (PATTERN - PATTERN.mean())
    np.save(folder / "weights.npy", weights)
    marked = np.arange(count) % 7 == 0
    np.savez(folder / "images.npz", **make_data(count), marked=marked)
    picture = np.full((3, 3, 4), 255, np.uint8)
    picture[..., :3] = (255 * PATTERN[..., None]).astype(np.uint8)
    Image.fromarray(picture, "RGBA").save(folder / "mark.png")
    (folder / "audit.toml").write_text(CONFIG.format(module=module))
    return folder / "audit.toml"


def told(run: Path) -> tuple[str, Any, dict[str, bytes]]:
    """All that a run holds but for its times and for where it was made: its result, rows and arrays."""
    saved = SavedRun(run)
    data = json.loads(result_to_json(saved.result))
    for name in TIMES:
        del data["provenance"][name]
    del data["provenance"]["config"]["execution"]
    return json.dumps(data), saved.rows.to_pydict(), {name: saved.arrays[name].tobytes() for name in saved.arrays}


Fate = Callable[[Unit], str]
"""What happens to a unit instead of its being done; empty where nothing does."""


class Inline:
    """A crew of workers in this process, whose units end in a random order, and some of them badly."""

    def __init__(self, opening: Opening, workers: int = 2, seed: int = 0, fate: Fate = lambda unit: "") -> None:
        self.size, self._random, self._fate = workers, random.Random(seed), fate
        self._workers = [Worker() for _ in range(workers)]
        self._opening = opening
        self._given: list[tuple[int, Unit]] = []
        self.most, self.done = 0, list[str]()

    def agree(self, fingerprint: dict[str, str]) -> None:
        for worker in self._workers:
            opened = worker.open(travel(self._opening))
            assert getattr(opened, "value", opened) == fingerprint

    def share(self, value: Any) -> Any:
        return value

    def room(self) -> int:
        return 2 * self.size - len(self._given)

    def give(self, number: int, unit: Unit) -> None:
        self._given.append((number, unit))
        self.most = max(self.most, len(self._given))

    def collect(self) -> list[tuple[int, Outcome]]:
        number, unit = self._given.pop(self._random.randrange(len(self._given)))
        if reason := self._fate(unit):
            return [(number, Broken(reason))]
        self.done.append(unit.name)
        worker = self._workers[self._random.randrange(self.size)]
        return [(number, travel(worker.do(unit.call, *travel(unit.arguments))))]


def travel(value: Any) -> Any:
    """As it comes out of a pickle."""
    return pickle.loads(pickle.dumps(value))


def work_inline(patch: pytest.MonkeyPatch, **named: Any) -> list[Inline]:
    """Audits that ask for Ray get workers in this process instead; gives the list that their crews will be in."""
    crews: list[Inline] = []

    def crew(config: AuditConfig, handed: Any) -> Any:
        del handed
        if config.execution.engine == "local":
            return nullcontext()
        crews.append(Inline(opening_of(config), **named))
        return nullcontext(crews[-1])

    patch.setattr(conducting, "_crew", crew)
    return crews
