"""Kills a small audit before every operation on files, goes on with it, and writes what stood then into the docs.

    python docs/make_kills.py

It takes some minutes. The table stands between two marks of `docs/nothing-lost.md`.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from auditor.run.store import load_result  # noqa: E402
from tests.small_audits import audit, runs, timeless  # noqa: E402
from tests.test_killed import die_at, moments  # noqa: E402
from tests.test_resuming import Counting  # noqa: E402

PAGE = ROOT / "docs" / "nothing-lost.md"
BEGIN, END = "<!-- made by docs/make_kills.py -->\n", "<!-- end -->\n"

HEAD = """\
| killed while | operations | what stood then | what was asked of the model again |
| --- | --- | --- | --- |
"""


def phases(folder: Path) -> Iterator[str]:
    """What the audit is at with each of its operations."""
    done, reports = "", folder / "reports"
    for what, file in moments(folder):
        name = str(file.relative_to(reports.parent)) if file.is_relative_to(reports.parent) else str(file)
        if ".journal" in name and what == "rename" and not name.endswith(".partial"):
            done = "the journal is removed"
        elif name.endswith("journal.json") and not done:
            done = "the journal begins"
        elif ".npz" in file.name and ".journal" in name and done in ("the journal begins", "passes are kept"):
            done = "passes are kept"
        elif what == "mkdir" and name.endswith(".partial") and ".journal" not in name:
            done = "the run is saved"
        elif what == "mkdir" and name.endswith(".growth"):
            done = "the study is added" if done == "the maps are added" else "the maps are added"
        elif ".report.md" in name:
            done = "the report is written"
        elif file.name == "index.jsonl" and done == "the report is written":
            done = "the index is renewed"
        yield done or "the journal begins"


def main() -> None:
    rows = []
    with TemporaryDirectory() as scratch, patch("auditor.run.journal._BYTES", 3000):
        place = Path(scratch)
        whole = Counting()
        wanted = timeless(audit(place / "whole", model=whole).folder)
        (place / "counted").mkdir()
        found = []
        for number, phase in enumerate(phases(place / "counted")):
            folder = place / "tried"
            folder.mkdir()
            die_at(folder, number)
            states = {unit.name: unit.status for run in runs(folder) for unit in load_result(run).units}
            again = Counting()
            audit(folder, model=again, resume=True)
            if not all(timeless(run) == wanted for run in runs(folder)):
                sys.exit(f"operation {number}, {phase}: it ended otherwise")
            stood = ", ".join(name.partition(":")[0] for name, state in states.items() if state == "done")
            found.append((phase, stood.replace("tests.small_audits", "study") or "no run yet", again.scored))
            shutil.rmtree(folder)
        for phase, group in groupby(found, key=lambda each: each[0]):
            each = list(group)
            stood = " or ".join(dict.fromkeys(one[1] for one in each))
            least, most = min(one[2] for one in each), max(one[2] for one in each)
            asked = f"{most} passes" if least == most else f"{most} to {least} passes"
            rows.append(f"| {phase} | {len(each)} | {stood} | {asked} |\n")
        rows.append(f"| *nothing happens to it* | | | *{whole.scored} passes* |\n")
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + HEAD + "".join(rows) + END + rest.partition(END)[2], "utf-8")


if __name__ == "__main__":
    main()
