"""Hostile runs and templates: what somebody sends as an audit that he made."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from auditor.measure.ledger import Rows
from auditor.run.store import Run, save_run
from tests.hostile import Case, Effect, Trap
from tests.synthetic import make_arrays, make_result, without_studies


def save(trap: Trap) -> Path:
    """A small run, as it would be received."""
    made = save_run(Run(without_studies(make_result()), Rows(), make_arrays()), trap.world.folder / "reports")
    return made.rename(made.with_name("run"))


def in_place_of(trap: Trap, name: str, make: Callable[[Path], Any]) -> None:
    file = save(trap) / name
    file.unlink(missing_ok=True)
    make(file)


def change_result(trap: Trap, change: Callable[[dict[str, Any]], Any]) -> None:
    file = save(trap) / "result.json"
    result = json.loads(file.read_text())
    change(result)
    file.write_text(json.dumps(result))


def change_hashes(trap: Trap, **values: Any) -> Path:
    run = save(trap)
    hashes = json.loads((run / "hashes.json").read_text())
    (run / "hashes.json").write_text(json.dumps(hashes | values))
    return run


def swell(trap: Trap) -> None:
    """An array of a gigabyte and a half of zeros."""
    run = save(trap)
    with zipfile.ZipFile(run / "arrays.npz") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(run / "arrays.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in parts.items():
            if name != "a2.npy":
                archive.writestr(name, data)
        with archive.open("a2.npy", "w") as member:
            member.write(parts["a2.npy"][:128])
            for _ in range(1536):
                member.write(bytes(2**20))


def pickle_names(trap: Trap) -> None:
    from tests.hostile_data import Springing

    run = save(trap)
    names = np.empty(1, object)
    names[0] = Springing(trap.world.folder.parent / "gone")
    np.savez(run / "arrays.npz", names=names)


def name_function(trap: Trap) -> None:
    """A run that says it was made with a module of the sender's."""

    def change(result: dict[str, Any]) -> None:
        report = result["provenance"]["config"].setdefault("report", {})
        report |= {"sections": ["sprung_module:section"], "formats": ["sprung_module:export"]}

    change_result(trap, change)


def send_templates(trap: Trap) -> None:
    """Templates within the run, which it says it was drawn with."""
    run = change_hashes(trap, templates="mine", templates_hash="0" * 64, run="run", files={"report.html": "0" * 64})
    put(run, "drawn", "report.html")
    put(run / "mine", ENDLESS)


def put(folder: Path, text: str, name: str = "report.html.j2") -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)


def template(effect: Effect, tries: str, text: str, name: str = "report.html.j2") -> Case:
    def build(trap: Trap) -> None:
        save(trap)
        filled = text.replace("SECRET", str(trap.secret)).replace("SPRUNG", str(trap.sprung))
        put(trap.world.folder / "mine", filled.replace("ADDRESS", trap.address), name)

    return Case("templates", effect, tries, build, "render {run} --format html --templates {folder}/mine")


def odd_template(effect: Effect, tries: str, make: Callable[[Trap, Path], Any]) -> Case:
    def build(trap: Trap) -> None:
        save(trap)
        (trap.world.folder / "mine").mkdir()
        make(trap, trap.world.folder / "mine" / "report.html.j2")

    return Case("templates", effect, tries, build, "render {run} --format html --templates {folder}/mine")


ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) if b < 0 %}{% endfor %}{% endfor %}"
HEAVY = '{{ "a" * 700000000 }}'

RENDER = "render {run} --format html"


def run(effect: Effect, tries: str, build: Callable[[Trap], Any], command: str) -> Case:
    return Case("run", effect, tries, build, command)


def pipe(name: str) -> Callable[[Trap], None]:
    return lambda trap: in_place_of(trap, name, os.mkfifo)


RUNS = [
    run("import", "says it was made with a module that lies beside it", name_function, RENDER),
    run("import", "the same, to be compared", name_function, "compare {run} {run}"),
    run("import", "holds pickled names of its arrays", pickle_names, RENDER),
    run("import", "holds pickled names of its arrays, to be verified", pickle_names, "verify {run}"),
    run("loop", "has a pipe in place of its result", pipe("result.json"), RENDER),
    run("loop", "has a pipe in place of its result, to be compared", pipe("result.json"), "compare {run} {run}"),
    run("loop", "has a pipe in place of its arrays", pipe("arrays.npz"), RENDER),
    run("loop", "has a pipe in place of its hashes", pipe("hashes.json"), "verify {run}"),
    run("loop", "has a pipe in place of the index of all runs",
        lambda trap: in_place_of(trap, "../index.jsonl", os.mkfifo), "list {folder}/reports"),
    run("loop", "the same, to be browsed",
        lambda trap: in_place_of(trap, "../index.jsonl", os.mkfifo), "browse {folder}/reports --no-open --port 0"),
    run("loop", "nests its result without end",
        lambda trap: in_place_of(trap, "result.json", lambda file: file.write_text("[" * 10**6)), RENDER),
    run("loop", "nests its result without end, among runs to be browsed",
        lambda trap: in_place_of(trap, "result.json", lambda file: file.write_text("[" * 10**6)),
        "list {folder}/reports"),
    run("allocate", "is a device in place of its result",
        lambda trap: in_place_of(trap, "result.json", lambda file: file.symlink_to("/dev/zero")), RENDER),
    run("allocate", "holds arrays that unpack to gigabytes", swell, RENDER),
    run("allocate", "holds arrays that unpack to gigabytes, to be compared", swell,
        "compare {run} {run} --output {folder}/page.html"),
    run("read", "names a file outside of it to be verified",
        lambda trap: change_hashes(trap, files={"../../../secret.txt": "0" * 64}), "verify {run}"),
    run("read", "has a link to somebody's file in place of a page, to be written over",
        lambda trap: (save(trap) / "report.html").symlink_to(trap.secret), RENDER),
    run("loop", "brings templates that never end, to be drawn", send_templates, RENDER),
    run("loop", "brings templates that never end, to be verified", send_templates, "verify {run}"),
    template("allocate", "multiplies a text to a gigabyte", HEAVY),
    template("allocate", "fills a list without end",
             "{% set all = namespace(x='a') %}{% for a in range(99999) %}{% set all.x = all.x ~ all.x %}{% endfor %}"),
    template("allocate", "centres a letter in a gigabyte", '{{ "a" | center(1500000000) }}'),
    template("loop", "counts without end", ENDLESS),
    template("loop", "raises a number to a power of a power", "{{ 9 ** (9 ** 9) }}"),
    template("loop", "includes itself", '{% include "report.html.j2" %}'),
    template("read", "includes a file outside of its folder", '{% include "SECRET" %}{% include "../../secret.txt" %}'),
    template("import", "climbs to Python's classes",
             "{{ cycler.__init__.__globals__.os.system('touch SPRUNG') }}{{ ''.__class__.__mro__ }}"),
    template("write", "calls what it is given",
             "{{ result.__class__.__init__.__globals__['Path']('SPRUNG').write_text('x') }}"),
    template("connect", "fetches its style from the network", "body { background: url(ADDRESS/x) }", "look.css"),
    odd_template("loop", "is a pipe", lambda trap, file: os.mkfifo(file)),
    odd_template("read", "is a link to somebody's file", lambda trap, file: file.symlink_to(trap.secret)),
]  # fmt: skip
