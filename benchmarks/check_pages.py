"""Have others check the pages and the PDF of a report: Lighthouse, and three checkers of PDF/UA-1.

    make check-pages                                     # of the runs of tests/golden
    python benchmarks/check_pages.py RUN [EARLIER_RUN]   # of your own: report, PDF, comparison and index

`make check-pages` installs them (npm, pip) into `.venv-checkers` first. Pages are served on loopback. Lighthouse must
give 100 for accessibility and best practices; the checkers must find nothing but what `EXPLAINED` shows, on this very
file, to be a mistake of theirs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pypdf

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # other packages, too, install one called tests

from auditor.report.comparison import render_comparison  # noqa: E402
from auditor.report.index_page import render_index  # noqa: E402
from auditor.report.write import draw_page  # noqa: E402
from auditor.run.compare import pair_runs  # noqa: E402
from auditor.run.index import Listing, enter_run  # noqa: E402
from auditor.run.store import SavedRun  # noqa: E402
from tests.system_tools import find_browser  # noqa: E402
from tests.web import FLAGS  # noqa: E402

CHECKERS = Path(os.environ.get("AUDITOR_CHECKERS", ROOT / ".venv-checkers"))
CATEGORIES = ("accessibility", "best-practices")


def draw(run: SavedRun, earlier: SavedRun, folder: Path) -> list[str]:
    """The pages of two runs and the PDF of the first, in a folder; the names of the pages."""
    names = earlier.folder.name, run.folder.name
    results, arrays = (earlier.result, run.result), (earlier.arrays, run.arrays)
    runs = [enter_run(each.folder.name, each.result, 1) for each in (run, earlier)]
    pages = {
        "report.html": draw_page(run.result, run.arrays, "html", run=names[1]),
        "index.html": render_index(Listing(runs, reports={each.id: [] for each in runs})).encode(),
        "comparison.html": render_comparison(names, results, arrays, None, pair_runs(earlier, run)).encode(),
    }
    for name, data in pages.items():
        (folder / name).write_bytes(data)
    (folder / "report.pdf").write_bytes(draw_page(run.result, run.arrays, "pdf", run=names[1]))
    return list(pages)


def score_pages(folder: Path, pages: list[str]) -> Iterator[tuple[str, str, int, list[str]]]:
    """Lighthouse's scores from 0 to 100 of each page and category, and the audits that it failed."""
    serve = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for page in pages:
            told = _lighthouse(f"http://127.0.0.1:{server.server_port}/{page}")
            for category in CATEGORIES:
                part = told["categories"][category]
                failed = [
                    each["id"]
                    for each in part["auditRefs"]
                    if each["weight"] and told["audits"][each["id"]]["score"] not in (1, None)
                ]
                yield page, category, round(100 * (part["score"] or 0)), failed
        server.shutdown()


def check_pdf(file: Path) -> Iterator[tuple[str, str, str]]:
    """What three checkers find: checker, rule, and what they say with their evidence."""
    found = json.loads(_run("bin/pdfua", "check", "--format", "json", str(file), codes=(0, 1, 2, 3)))
    for each in found if isinstance(found, list) else [found]:
        for finding in each["findings"]:
            yield "pdfua", finding.get("rule_id", "?"), finding.get("message", str(finding))
    for rule, message in json.loads(_run("bin/python", "-c", _VALIDATE, str(file))):
        yield "page-validation", rule, message
    told = json.loads(_run("bin/outloud", "--json", "-", "-q", str(file), codes=(0, 1, 2)))
    for finding in told["results"][0]["findings"]:
        yield "outloud", finding["rule"], f"{finding['message']} [{finding.get('evidence') or ''}]"


def explain(rule: str, message: str, file: Path, page: str) -> str:
    """Why a finding is a mistake of the checker, where this file shows that it is one; empty where it does not."""
    told = EXPLAINED.get(rule)
    return told[1] if told is not None and told[0](message, file, page) else ""


def _lighthouse(address: str) -> dict[str, Any]:
    flags = " ".join(["--headless=new", *FLAGS])
    chosen = [f"--only-categories={','.join(CATEGORIES)}", "--output=json", "--quiet", f"--chrome-flags={flags}"]
    told: dict[str, Any] = json.loads(_run("node_modules/.bin/lighthouse", address, *chosen))
    return told


def _run(program: str, *words: str, codes: tuple[int, ...] = (0,)) -> str:
    own = {"CHROME_PATH": find_browser() or "", "PYTHONPATH": ""}
    done = subprocess.run(
        [str(CHECKERS / program), *words], capture_output=True, text=True, env=os.environ | own, check=False
    )
    if done.returncode not in codes:
        raise SystemExit(f"{program} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def _has_scopes(message: str, file: Path, page: str) -> bool:
    """Whether every header cell of the file says whose it is."""
    heads = [item for item in _elements(pypdf.PdfReader(file)) if item["/S"] == "/TH"]
    return bool(heads) and all(item["/A"]["/Scope"] in ("/Row", "/Column") for item in heads)


def _repeats_a_head(message: str, file: Path, page: str) -> bool:
    """Whether the words that are said to be hidden are those of a table's head, which is read with the table."""
    heads = [set(re.sub(r"<[^>]*>", " ", head).split()) for head in re.findall(r"<thead>.*?</thead>", page, re.DOTALL)]
    hidden = set(message.partition("[")[2].rstrip("]").split())
    return bool(hidden) and any(hidden <= head for head in heads)


def _is_in_order(message: str, file: Path, page: str) -> bool:
    """Whether all but pictures and signs of lists is painted in the order of the tags, by the rule's own measure."""
    document = pypdf.PdfReader(file)
    told: dict[int, list[int]] = {}
    for item in _elements(document):
        if item["/S"] in ("/Figure", "/Lbl") or item["/P"].get_object().get("/S") == "/Lbl":
            continue
        kids = item.get("/K", [])
        for kid in kids if isinstance(kids, list) else [kids]:
            part = kid.get_object()
            if isinstance(part, dict) and part.get("/Type") == "/MCR":
                told.setdefault(part.raw_get("/Pg").idnum, []).append(part["/MCID"])
            elif isinstance(part, int):
                told.setdefault(item.raw_get("/Pg").idnum, []).append(part)
    for each in document.pages:
        assert each.indirect_reference is not None
        content = each.get_contents()
        marks = told.get(each.indirect_reference.idnum, [])
        painted = _MARK.findall(b"" if content is None else content.get_data())
        at = {int(mark): place for place, mark in enumerate(painted)}
        if _longest_rise([at[mark] for mark in marks]) < _IN_PLACE * len(marks):
            return False
    return bool(told)


def _longest_rise(values: list[int]) -> int:
    ends: list[int] = []
    for value in values:
        at = bisect_left(ends, value)
        ends[at : at + 1] = [value]
    return len(ends)


def _elements(document: pypdf.PdfReader) -> Iterator[Any]:
    """The elements of the tree of tags in the order in which they are read."""
    waiting = [document.trailer["/Root"]["/StructTreeRoot"]["/K"]]
    while waiting:
        item = waiting.pop(0).get_object()
        if isinstance(item, list):
            waiting = [*item, *waiting]
        elif isinstance(item, dict) and "/S" in item:
            yield item
            kids = item.get("/K", [])
            waiting = [*(kids if isinstance(kids, list) else [kids]), *waiting]


_MARK = re.compile(rb"/MCID (\d+)")

_IN_PLACE = 0.8
"""Share of a page that outloud wants painted in the order of the tags."""

_VALIDATE = """
import json, page, sys
found = page.validate_pdf(sys.argv[1], profile="ua1").failures
print(json.dumps([(each.rule_id, each.message) for each in found]))
"""

EXPLAINED: dict[str, tuple[Callable[[str, Path, str], bool], str]] = {
    "TBL-010": (_has_scopes, "a short table whose rows have heads, too, has more heads than cells; each has its scope"),
    "TAG-002": (
        _repeats_a_head,
        "a table repeats its head on its next page: it is read once, and is pagination there",
    ),
    "ORD-001": (
        _is_in_order,
        "pictures and signs of lists are painted last, and read in the order of the tags (ISO 32000-1, 14.8.2.3)",
    ),
}
"""Rules of outloud that are wrong here: what must hold of the file for that, and why."""


def main() -> None:
    golden = ROOT / "tests" / "golden" / "runs"
    given = [Path(word) for word in sys.argv[1:]] or [golden / "complete", golden / "later"]
    run, earlier = SavedRun(given[0]), SavedRun(given[-1])
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pages = draw(run, earlier, folder)
        print("| page | accessibility | best practices |\n| --- | ---: | ---: |")
        scores = list(score_pages(folder, pages))
        for page in pages:
            own = {category: score for of, category, score, _ in scores if of == page}
            print(f"| {page} | {own['accessibility']} | {own['best-practices']} |")
        for page, category, score, why in scores:
            failed |= score < 100
            print(f"{page}: {category}: {', '.join(why)}\n" * (score < 100), end="")
        found = list(check_pdf(folder / "report.pdf"))
        html = (folder / "report.html").read_text(encoding="utf-8")
        print("\n| checker | findings | of these explained |\n| --- | ---: | ---: |")
        for checker in ("pdfua", "page-validation", "outloud"):
            own = [
                (rule, said, explain(rule, said, folder / "report.pdf", html))
                for of, rule, said in found
                if of == checker
            ]
            print(f"| {checker} | {len(own)} | {sum(bool(why) for *_, why in own)} |")
            for rule, said, why in own:
                failed |= not why
                print(f"  {rule}: {said}: {f'wrong: {why}' if why else 'NOT EXPLAINED'}", file=sys.stderr)
    raise SystemExit(int(failed))


if __name__ == "__main__":
    main()
