"""How long the index of a long history takes to be made anew.

    python benchmarks/history.py [RUNS]

Writes a folder of that many runs (5,000 unless told), each with its files, all but the last known to `index.jsonl`
already, as after an audit; then makes the index anew, several times. Prints the median of wall and processor time.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from auditor.report.index_page import INDEX_PAGE, refresh_index
from auditor.run.index import INDEX, add_lines
from auditor.run.result import result_to_json
from tests.synthetic import make_history, make_result

TIMES = 7


def build_history(folder: Path, count: int) -> None:
    """A folder of runs whose index lacks the newest."""
    text = result_to_json(make_result())
    entries = make_history(count, size=len(text.encode()))
    for entry in entries:
        run = folder / entry.id
        run.mkdir()
        (run / "result.json").write_text(text)
        (run / "report.html").touch()
        (run / "report.pdf").touch()
    add_lines(folder / INDEX, entries)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        build_history(folder, count - 1)
        last = folder / "20990101T000000-ffffffff"
        last.mkdir()
        (last / "result.json").write_text(result_to_json(make_result()))
        walls, processors = [], []
        for _ in range(TIMES):
            started, worked = time.perf_counter(), time.process_time()
            listing = refresh_index(folder)
            walls.append(time.perf_counter() - started)
            processors.append(time.process_time() - worked)
        assert len(listing.entries) == count
        size = (folder / INDEX_PAGE).stat().st_size
    print(f"{count} runs: {statistics.median(walls):.2f} s, {statistics.median(processors):.2f} s of processor time")
    print(f"first {walls[0]:.2f} s (with one run to read); the page has {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
