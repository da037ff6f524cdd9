"""Whether images that carry nothing are ever taken for carriers that nobody named, by what inserting does to them.

    python benchmarks/unsaid_carriers.py   # pictures and artefacts of the laboratory's seeds, no models; a minute

Prints by kind of artefact the least change by inserting, over that of plain images: an all-clear asks for a half.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from auditor.artefacts.showing import fit, has_place
from auditor.lab.colours import KINDS, draw_task
from auditor.lab.features import choose_recipe
from auditor.verdict.carrying import HALF

IMAGES = 48
"""As many as an audit looks at where none is said to carry it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", nargs=2, type=int, default=(500_000, 500_900), metavar=("FIRST", "LAST"))
    found: dict[str, list[float]] = defaultdict(list)
    for seed in range(*parser.parse_args().seeds):
        recipe = choose_recipe(seed)
        random = np.random.default_rng([seed, 2])
        task = draw_task(recipe.question, random)
        look = KINDS[recipe.kind](random)
        if has_place(look):
            change = fit(task.audited.images[:IMAGES], look)
            found[recipe.kind].append(float(change.change.mean() / change.change_of_plain.mean()))
    for kind, ratios in found.items():
        below = sum(ratio < HALF for ratio in ratios)
        print(f"{kind}: least {min(ratios):.2f}, below a half {below} of {len(ratios)}")


if __name__ == "__main__":
    main()
