"""Whole audits beside those of an earlier commit: processor time by turns, and whether the verdicts are the same.

    python benchmarks/against.py 6543ee7 [--runs 3] [--only root ..]

Makes a work tree of the commit in a scratch folder and runs the same audits in both, each in a process of its own, with
the packages that are installed. Seconds are of processor, of all that the command does: opening, verdicts,
explanations, reports. Modules are compiled before, as `pip` does. Prints the median of the earlier commit, today's, and
their ratio, the least gain first.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
METHODS = ("gradient", "grad_cam", "smoothgrad", "integrated_gradients", "trust", "optima", "counterfactual", "errors")

EARLIER_METHODS = (*METHODS[:5], "activation_maximisation", "counterfactual", "contrastive")
"""What they were called before."""

MODULE = '''\
"""A network of three convolutions that knows 1,000 pictures by their features, and two noisy copies of each."""

import keras
import numpy as np

CLASSES = 1000


def draw(random):
    blots = random.random((CLASSES, 4, 4, 3))
    return np.repeat(np.repeat(blots, 8, axis=1), 8, axis=2).astype(np.float32)


def load():
    keras.utils.set_random_seed(0)
    layers = [keras.Input((32, 32, 3))]
    for width in (32, 64, 128):
        layers += [keras.layers.Conv2D(width, 3, strides=2, padding="same", activation="relu")]
    body = keras.Sequential([*layers, keras.layers.Flatten()])
    known = np.asarray(body.predict(0.7 * draw(np.random.default_rng(0)) + 0.15, verbose=0))
    model = keras.Sequential([*body.layers, keras.layers.Dense(CLASSES)])
    model.build((None, 32, 32, 3))
    model.layers[-1].set_weights([20 * known.T, -10 * np.square(known).sum(axis=1)])
    return model


def save(file):
    random = np.random.default_rng(0)
    images = np.concatenate([draw(random)] * 2)
    images = 0.7 * images + 0.3 * random.random(images.shape, np.float32)
    np.savez(file, images=images.astype(np.float32), labels=np.arange(2 * CLASSES) % CLASSES)
'''

SCAN = """\
[model]
source = "net:load"
input_range = [0.0, 1.0]

[data]
source = "data.npz"
limit = "all"

[[artefacts]]
name = "mark"
kind = "overlay"
image = "mark.png"
position = [2, 2]

[report]
formats = ["html"]
"""


class Case(NamedTuple):
    """An audit that both trees run."""

    config: str
    """Below the tree; or in a scratch folder, where it is absolute."""
    verdict_only: bool


class Cost(NamedTuple):
    """What a run cost, and what it said."""

    seconds: float
    verdicts: tuple[str, ...]


def list_cases(scratch: Path) -> dict[str, Case]:
    return {
        "root": Case("audit.toml", False),
        "root, verdict only": Case("audit.toml", True),
        "scan of 2,000 images, 1,000 classes": Case(str(scratch / "scan/audit.toml"), True),
        "ImageNet, verdict only": Case("examples/imagenet_watermark/audit.toml", True),
        "ImageNet": Case("examples/imagenet_watermark/audit.toml", False),
    }


def make_scan(folder: Path) -> None:
    """Write the model, the pictures and the configuration of the scan."""
    import numpy as np
    from PIL import Image

    folder.mkdir()
    (folder / "net.py").write_text(MODULE, encoding="utf-8")
    ink = np.random.default_rng(1).integers(0, 256, (5, 5, 4), np.uint8)
    ink[..., 3] = 60
    Image.fromarray(ink, "RGBA").save(folder / "mark.png")
    (folder / "audit.toml").write_text(SCAN, encoding="utf-8")
    subprocess.run([sys.executable, "-c", "import net; net.save('data.npz')"], cwd=folder, check=True)


def run(tree: Path, case: Case, scratch: Path) -> Cost:
    """Run an audit by the code of a tree."""
    said = ""
    for names in (METHODS, EARLIER_METHODS):
        output = Path(tempfile.mkdtemp(dir=scratch))
        off = [f"--set=methods.{name}.enabled=false" for name in names] if case.verdict_only else []
        command = [sys.executable, "-c", "from auditor.cli import main; main()"]
        command += ["audit", case.config, "--output", str(output), *off]
        environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": ""}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
        for result in sorted(output.glob("*/result.json")):
            findings = json.loads(result.read_text(encoding="utf-8"))["findings"]
            return Cost(seconds, tuple(f"{each['artefact']}: {each['verdict']}" for each in findings))
        said = f"{tree}: {case.config} ended with {done.returncode}: {done.stderr[-400:]}"
    sys.exit(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("commit")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        tree = scratch / "earlier"
        subprocess.run(["git", "worktree", "add", "-q", "--detach", str(tree), options.commit], cwd=ROOT, check=True)
        try:
            for each in (tree, ROOT):
                subprocess.run([sys.executable, "-m", "compileall", "-q", str(each / "auditor")], check=True)
            compare(tree, scratch, options.runs, options.only)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)


def compare(tree: Path, scratch: Path, runs: int, only: list[str]) -> None:
    rows = []
    for name, case in list_cases(scratch).items():
        if only and name not in only:
            continue
        if name.startswith("scan"):
            make_scan(scratch / "scan")
        found: dict[Path, list[Cost]] = {tree: [], ROOT: []}
        for _ in range(runs):
            for side, costs in found.items():
                costs.append(run(side, case, scratch))
        was, now = (statistics.median(cost.seconds for cost in found[side]) for side in (tree, ROOT))
        said, says = (found[side][0].verdicts for side in (tree, ROOT))
        told = "the same" if said == says else f"{', '.join(said)} → {', '.join(says)}"
        rows.append((was / now, f"| {name} | {was:.1f} | {now:.1f} | {was / now:.2f} | {told} |"))
        print(rows[-1][1], file=sys.stderr, flush=True)
    print("| audit | then, s | now, s | gain | verdicts |\n| --- | --- | --- | --- | --- |")
    for _, row in sorted(rows):
        print(row)


if __name__ == "__main__":
    main()
