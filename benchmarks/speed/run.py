"""How long explanations take at equal accuracy, beside tf-explain, xplique, tf-keras-vis, PAIR saliency and captum.

    python benchmarks/speed/run.py FOLDER [--networks small,..] [--methods gradient,..] [--images 1,4,64] [--docs]

Makes an environment for the peers in the folder, once; measures each network there in a process of its own, and prints
tables in Markdown: milliseconds of processor time an image, on one thread, medians of ours and the peers in turn.
With `--docs` they are written into `docs/speed.md`, too.

Ours run as they do by default, but for SmoothGrad's samples. Each peer gets as many samples or steps as it needs for
the error that ours had: samples by the variance over many, steps by its own errors against many nodes; how many is said
in `measure.Effort`. Errors are of the first images, in root mean square. Rows in which a peer is faster stand first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
DOCS = ROOT / "docs" / "speed.md"

PACKAGES: tuple[tuple[str, ...], ...] = (
    ("--constraint", str(ROOT / "constraints.txt"), f"{ROOT}[imagenet]"),
    ("--constraint", str(ROOT / "constraints.txt"), "tf-explain", "tf-keras-vis", "saliency"),
    ("--no-deps", "xplique"),  # its pins want older TensorFlow, scipy and scikit-learn; it runs with these
    ("--constraint", str(ROOT / "constraints.txt"), "tensorflow-probability", "tf_keras", "einops"),
    ("torch", "captum"),
)
"""What is installed by each call of pip. What cannot be had is said below the tables."""

NAMES = {
    "gradient": "gradient",
    "grad_cam": "Grad-CAM",
    "smoothgrad": "SmoothGrad",
    "integrated_gradients": "Integrated Gradients",
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--networks", default="small,mobilenet,lite0")
    parser.add_argument("--images", default="1,4,64", help="of these three numbers")
    parser.add_argument("--methods", default=",".join(NAMES))
    parser.add_argument("--docs", action="store_true")
    chosen = parser.parse_args()
    folder: Path = chosen.folder.resolve()
    python = make_environment(folder)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")
    for network in chosen.networks.split(","):
        words = [str(python), str(HERE / "measure.py"), network, str(folder), chosen.methods]
        words += chosen.images.split(",")
        subprocess.run(words, env=os.environ | threads, check=True, stdout=subprocess.DEVNULL)
        table = draw(json.loads((folder / f"{network}.json").read_text()))
        print(f"\n{network}: time of each over ours (what it needs)\n\n{table}", flush=True)
        if chosen.docs:
            put_into_docs(network, table)


def make_environment(folder: Path) -> Path:
    """The Python of the environment in a folder."""
    python = folder / "environment" / "bin" / "python"
    if not (folder / "environment" / "made").exists():
        venv.create(folder / "environment", with_pip=True)
        for packages in PACKAGES:
            done = subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], capture_output=True)
            if done.returncode:
                print(f"not installed: {packages[-1]}", file=sys.stderr)
        (folder / "environment" / "made").touch()
    return python


def put_into_docs(network: str, table: str) -> None:
    """Put a table in place of the one that is in the docs."""
    before, rest = DOCS.read_text().split(f"<!-- {network}: written by benchmarks/speed/run.py -->\n")
    after = rest.partition("<!-- end -->")[2]
    DOCS.write_text(f"{before}<!-- {network}: written by benchmarks/speed/run.py -->\n\n{table}\n\n<!-- end -->{after}")


def draw(found: dict[str, Any]) -> str:
    """The table of one network; of each peer its time over ours, under 1 where it is faster."""
    peers = sorted({name for cell in found["cells"] for name in cell["peers"]})
    cells = [*found["cells"], *_together(found["cells"], peers)]
    rows = []
    for cell in cells:
        ratios = {name: one["ms"] / cell["ms"] for name, one in cell["peers"].items()}
        of_peers = [_ratio(cell, ratios, name) for name in peers]
        error = "" if cell["method"] not in NAMES else "exact" if cell["error"] is None else f"{cell['error']:.2g}"
        name = NAMES.get(cell["method"], cell["method"])
        amount = "" if cell["error"] is None else f"{cell['amount']:.0f}"
        words = [name, str(cell["images"]), error, amount, f"{cell['ms']:.3g}", *of_peers]
        rows.append((min(ratios.values(), default=9.0), words))
    rows.sort(key=lambda row: (row[0] >= 1, row[0]))
    head = ["method", "images", "error", "gradients", "ours, ms an image", *peers]
    lines = [" | ".join(words) for words in (head, ["---"] * len(head), *(words for _, words in rows))]
    told = [f"{name} is missing: {why}" for name, why in found["missing"].items()]
    return "\n".join([*(f"| {line} |" for line in lines), *told])


def _ratio(cell: dict[str, Any], ratios: dict[str, float], name: str) -> str:
    if name not in ratios:
        return "-"
    shown = f"{ratios[name]:.2f}"
    shown = f"**{shown}**" if ratios[name] < 1 else shown
    return shown if cell["error"] is None else f"{shown} ({cell['peers'][name]['amount']:.0f})"


def _together(cells: list[dict[str, Any]], peers: list[str]) -> list[dict[str, Any]]:
    """All four methods, for peers that have all."""
    found = []
    for count in sorted({cell["images"] for cell in cells}):
        own = [cell for cell in cells if cell["images"] == count]
        if len(own) < len(NAMES):
            continue
        whole = [name for name in peers if all(name in cell["peers"] for cell in own)]
        total = {name: {"ms": sum(cell["peers"][name]["ms"] for cell in own)} for name in whole}
        ms = sum(cell["ms"] for cell in own)
        found.append({"method": "all four", "images": count, "error": None, "ms": ms, "peers": total})
    return found


if __name__ == "__main__":
    main()
