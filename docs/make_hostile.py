"""Gives every hostile file of the tests to the command line, watched from outside, and writes `docs/hostile-files.md`.

    python docs/make_hostile.py

It takes half an hour, Linux and `strace`. It ends with a fault where a file reached for anything, or took more than a
gigabyte and ten seconds beyond what an honest file takes with the same command.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.hostile import Case, corpus, is_sprung, say, set_trap  # noqa: E402
from tests.hostile_watch import beyond, longer, watch  # noqa: E402
from tests.test_hostile import MOST_MEMORY, MOST_SECONDS, _watch_honest, row  # noqa: E402

HEAD = """\
# Hostile files

Each of these is made anew by the tests, with a file beside it that it may write, run or read. Each is given to the
command line with `trust = false`, in the tests' own process every day, and by this command in a process of its own,
under `strace -f` and an audit hook of Python, beside an honest file:

```sh
python docs/make_hostile.py
```

None of them wrote a file, read one that it was not given, opened a connection, started a program or imported a module.
{took}
What TensorFlow itself takes is not counted: {base:.0f} MiB in the largest process, and {seconds:.0f} seconds with
`strace`, for `auditor validate` with an honest model.

| container | what it tries | effect | given to | what happened |
| --- | --- | --- | --- | --- |
"""


def main() -> int:
    """Watch all, write the table, and say what went wrong; a text leaves all but some out, and the table as it is."""
    only = "".join(sys.argv[1:])
    rows, faults, memory, seconds = [], [], 0, 0.0
    for number, case in enumerate(case for case in corpus() if only in case.name):
        with TemporaryDirectory() as folder:
            told, more, later, wrong = _try(case, Path(folder))
        rows.append(row(case, told))
        faults += [f"{case.name}: {fault}" for fault in wrong]
        memory, seconds = max(memory, more), max(seconds, later)
        print(f"{number + 1:3} {more >> 20:5} MiB {later:5.1f} s  {case.name}: {told}", flush=True)  # noqa: T201
    usual = _watch_honest("validate {config}")
    took = (
        f"The largest took {memory >> 20} MiB more than the honest file in its largest process, the slowest "
        f"{seconds:.0f} seconds more, on the machine that this page was made on (two processors)."
    )
    text = HEAD.format(took=took, base=usual.memory / 2**20, seconds=usual.seconds) + "\n".join(rows) + "\n"
    if not only:
        (ROOT / "docs" / "hostile-files.md").write_text(text, "utf-8")
    print("\n".join(faults))  # noqa: T201
    return bool(faults)


def _try(case: Case, folder: Path) -> tuple[str, int, float, list[str]]:
    trap = set_trap(folder, case)
    watched, usual = watch(case.words(trap), folder), _watch_honest(case.command)
    wrong = beyond(watched, usual)
    if is_sprung(trap):
        wrong.append("sprang")
    if str(trap.secret) in watched.opened and not case.is_read:
        wrong.append("read the secret")
    more, later = watched.memory - usual.memory, longer(watched, usual)
    if more > MOST_MEMORY or later > MOST_SECONDS:
        wrong.append(f"took {more >> 20} MiB and {later:.1f} seconds more")
    return say(trap, watched.code, watched.out, watched.err), more, later, wrong


if __name__ == "__main__":
    sys.exit(main())
