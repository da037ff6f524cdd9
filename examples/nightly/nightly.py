"""Some nights of a model in use: accepted, checked, unchanged, worse, waived, expired, mended.

    python examples/nightly/nightly.py [FOLDER]

It works in FOLDER, or in one that is removed, and prints what the commands print.
"""

from __future__ import annotations

import datetime
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from model import train, write_data

HERE = Path(__file__).resolve().parent
KNOWN, WORSE, MENDED = 2.0, 6.0, 0.0
"""How far each model takes the tag for a boat, in log-odds."""

WAIVER = """
[[waivers]]
artefact = "tag"
owner = "Ada"
reason = "the next model is being trained"
expires = {day}
"""


class Nights:
    """The folder of the example, and the commands that are run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("model.py", "audit.toml", "checks.toml"):
            shutil.copy(HERE / name, folder)
        write_data(folder)

    def run(self, command: str) -> None:
        """Run a command of Auditor's and print it with what it prints and how it ends."""
        print(f"$ {command}", flush=True)
        words = [sys.executable, "-m", "auditor.cli", *shlex.split(command)[1:]]
        done = subprocess.run(words, cwd=self.folder, env=os.environ | {"COLUMNS": "120"}, check=False)
        print(f"exit code {done.returncode}\n", flush=True)

    def latest(self) -> str:
        """The run that was made last."""
        runs = [file.parent for file in (self.folder / "reports").glob("*/result.json")]
        return str(max(runs, key=lambda run: run.name).relative_to(self.folder))

    def waive(self, day: datetime.date) -> None:
        """Put a waiver that ends with this day into the file of checks, in place of any other."""
        shutil.copy(HERE / "checks.toml", self.folder)
        with (self.folder / "checks.toml").open("a") as file:
            file.write(WAIVER.format(day=day))


def main(folder: Path) -> None:
    nights = Nights(folder)
    today = datetime.datetime.now(datetime.UTC).date()

    print("# The first night: the model relies on the tag, and nobody has said that this is known.")
    train(folder, KNOWN)
    nights.run("auditor check --if-changed")

    print("# Somebody looks at the report and accepts it. That is judged at once, and nothing is audited again.")
    nights.run(f'auditor accept {nights.latest()} --as boats --by Ada --reason "known since the pilot"')
    nights.run("auditor check --if-changed")

    print("# The next night nothing has changed.")
    nights.run("auditor check --if-changed")

    print("# A new model has come, and it is worse than what was accepted.")
    train(folder, WORSE)
    nights.run("auditor check --if-changed")

    print("# It is needed all the same, and Ada answers for it for a week.")
    nights.waive(today + datetime.timedelta(days=7))
    nights.run("auditor check --if-changed")

    print("# A week later the waiver has expired, and the gate is red again.")
    nights.waive(today - datetime.timedelta(days=1))
    nights.run("auditor check --if-changed")

    print("# The model that was promised is there.")
    train(folder, MENDED)
    shutil.copy(HERE / "checks.toml", folder)
    nights.run("auditor check --if-changed")

    print("# What Ada was told, at each change and only then (the headings):")
    lines = (folder / "told.md").read_text(encoding="utf-8").splitlines()
    print("\n".join(line for line in lines if line.startswith("# ")))


if __name__ == "__main__":
    if sys.argv[1:]:
        Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
        main(Path(sys.argv[1]).resolve())
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made))
