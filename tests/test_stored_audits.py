"""Audits whose model, data or runs lie on an object store end as those on the disk do."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import auditor
from auditor.errors import ConfigError, ReportError, StoreError
from auditor.run.elsewhere import accept_stored_run, fetch_run, on_disk, read_stored_runs, send_run
from auditor.run.files import HASHES, RESULT
from auditor.run.result import result_to_json
from auditor.run.store import SavedRun
from auditor.stores.address import Stored, read_place
from auditor.stores.store import list_files, read, remove, write
from tests import small_audits
from tests.small_world import Command, World, build_world, make_data
from tests.store_doubles import BUCKET, Troubled, flaky, put, store_in_memory

REPORTS = f"{BUCKET}/reports"


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[type[Troubled]]:
    monkeypatch.setattr("auditor.stores.store._WAITS", (0.0, 0.0, 0.0))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    with store_in_memory() as system:
        yield system


@pytest.fixture
def home(store: type[Troubled]) -> Path:
    """Where runs lie that are on their way to a store."""
    return Path(os.environ["XDG_CACHE_HOME"]) / "auditor"


def there(name: str = "") -> Stored:
    place = read_place(f"{REPORTS}/{name}" if name else REPORTS)
    assert isinstance(place, Stored)
    return place


def draw_pictures(folder: Path) -> None:
    """The images of the small world as pictures in folders of classes, with a manifest and masks."""
    data, rows = make_data(), ["path,label,group,mask"]
    for number, (image, label) in enumerate(zip(data["images"], data["labels"], strict=True)):
        name = f"{('cat', 'dog', 'boat')[label]}/{number:02}.png"
        for part, values in (("pictures", image[..., 0]), ("masks", 255 * (image[..., 0] > 100).astype(np.uint8))):
            (folder / part / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(folder / part / name)
        rows.append(f"pictures/{name},{('cat', 'dog', 'boat')[label]},{number},masks/{name}")
    (folder / "images.csv").write_text("\n".join(rows) + "\n")


def told(run: Path, *sources: tuple[str, str]) -> str:
    """What `result.json` says, but for times, and with each source by another name."""
    data = json.loads((run / RESULT).read_text())
    for name in small_audits.TIMES:
        del data["provenance"][name]
    text = json.dumps(data)
    for source, name in sources:
        text = text.replace(json.dumps(source), json.dumps(name))
    return text


def audit(folder: Path, source: str, root: str, **changes: Any) -> Path:
    """Audit a closed form on a source below a root, with an overlay and, where the source has them, masks."""
    masks = {"images.csv": [{}], "pictures": [{"folder": f"{root}/masks"}]}.get(source, [])
    artefacts = [auditor.overlay(f"{root}/mark.png", position=(5, 5), name="mark", target="boat")]
    artefacts += [auditor.Artefact("masks", "thing", present="all", options=options) for options in masks]
    said = {"ids": None, "groups": None, "labels": None, "images": f"{root}/{source}", "artefacts": artefacts}
    run = small_audits.audit(folder, **said | changes)
    assert run.folder is not None
    return run.folder


@pytest.mark.parametrize("source", ["images.npz", "pictures", "images.csv"])
@pytest.mark.parametrize("share", [0.0, 0.05])
def test_an_audit_of_what_lies_on_a_store_says_what_one_of_the_disk_says(
    source: str, share: float, tmp_path: Path, store: type[Troubled]
) -> None:
    build_world(tmp_path)
    draw_pictures(tmp_path)
    put(tmp_path, f"{BUCKET}/audit")
    here = audit(tmp_path / "here", source, str(tmp_path))
    store.trouble = staticmethod(flaky(share))
    elsewhere = audit(tmp_path / "there", source, f"{BUCKET}/audit")
    names = [source, "mark.png", "masks"]
    assert told(elsewhere, *((f"{BUCKET}/audit/{name}", f"{tmp_path}/{name}") for name in names)) == told(here)
    assert small_audits.timeless(elsewhere)[1:] == small_audits.timeless(here)[1:]


def test_a_configuration_is_proposed_for_what_lies_on_a_store(world: World, command: Command) -> None:
    put(world.folder, f"{BUCKET}/audit")
    config = world.folder / "proposed.toml"
    words = ("--model", f"{BUCKET}/audit/model.keras", "--data", f"{BUCKET}/audit/images.npz")
    done = command("init", *words, "--labels", f"{BUCKET}/audit/labels.txt", "--output", config)
    assert done.code == 0, done.err
    assert all(f'"{address}"' in config.read_text() for address in words[1::2])
    assert command("validate", config).code == 0


def test_a_configuration_names_places_on_a_store_as_it_names_files(world: World, command: Command) -> None:
    put(world.folder, f"{BUCKET}/audit")
    assert command("audit", world.config, "--quiet", "--output", world.folder / "here").code == 1
    named = [(f"{BUCKET}/audit/{name}", name) for name in ("model.keras", "labels.txt", "images.npz", "mark.png")]
    for address, name in named:
        world.replace(f'"{name}"', f'"{address}"')
    assert command("audit", world.config, "--quiet", "--output", world.folder / "there").code == 1
    (here,), (elsewhere,) = world.runs("here"), world.runs("there")
    assert told(elsewhere, *named) == told(here)


@pytest.mark.parametrize(
    "words",
    [
        ("audit", f"{BUCKET}/audit.toml"),
        ("validate", "--show", f"{BUCKET}/page.html"),
        ("render", "run", "--templates", f"{BUCKET}/templates"),
        ("gate", "run", "--config", f"{BUCKET}/audit.toml"),
        ("check", f"{BUCKET}/checks.toml"),
        ("lab", "audit", "--output", f"{BUCKET}/lab"),
    ],
)
def test_what_must_lie_on_this_machine_is_said_in_a_sentence(words: tuple[str, ...], command: Command) -> None:
    told = command(*words)
    assert told.code == 2
    assert f"got '{words[-1]}', which lies on a store; wanted a path of this machine: fetch it first" in told.err


def test_a_configuration_on_a_store_is_refused_from_python(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model: got .memory://hospital/audit\.toml., which lies on a store"):
        auditor.audit(f"{BUCKET}/audit.toml")


class TestRuns:
    def run(self, folder: Path, **changes: Any) -> auditor.AuditedRun:
        return small_audits.audit(folder, output=REPORTS, **changes)

    def test_a_run_is_on_the_store_and_nothing_of_it_here(self, tmp_path: Path, home: Path) -> None:
        here, run = small_audits.audit(tmp_path / "a"), self.run(tmp_path / "b")
        assert run.folder is None
        assert run.address.startswith(REPORTS)
        place = read_place(run.address)
        assert isinstance(place, Stored)
        with on_disk(place, is_whole=True) as copy:
            assert here.folder is not None
            assert small_audits.timeless(copy) == small_audits.timeless(here.folder)
            assert {file.name for file in copy.iterdir()} == {file.name for file in here.folder.iterdir()}
        assert not any(file.name == RESULT for file in home.rglob("*"))
        listing = read_stored_runs(there())
        assert [entry.id for entry in listing.entries] == [place.name]
        assert {"index.html", "index.jsonl"} <= {file.below(there()) for file in list_files(there())}
        assert auditor.load(run.address).findings == here.findings

    def test_what_makes_a_run_whole_is_written_last(self, tmp_path: Path, store: type[Troubled]) -> None:
        self.run(tmp_path)
        written = [path.rpartition("/")[2] for what, path in store.asked if what == "write" and "/.auditor" not in path]
        assert written.index(HASHES) == 3
        assert set(written[:3]) == {"result.json", "rows.parquet", "arrays.npz"}
        assert written[-3:] == [HASHES, "index.jsonl", "index.html"]

    def test_a_run_that_was_cut_short_is_none(self, tmp_path: Path, command: Command) -> None:
        run = read_place(self.run(tmp_path).address)
        assert isinstance(run, Stored)
        remove(run / HASHES)
        assert not read_stored_runs(there()).entries
        for words in (("list", REPORTS), ("render", str(run)), ("compare", str(run), str(run)), ("verify", str(run))):
            told = command(*words)
            assert "has no hashes.json: it is being written, or was cut short" in told.err
            assert told.code == (0 if words[0] == "list" else 3)
            assert str(run) in told.err

    def test_a_run_that_is_being_replaced_is_told_from_a_whole_one(self, tmp_path: Path, command: Command) -> None:
        run = read_place(self.run(tmp_path).address)
        assert isinstance(run, Stored)
        write(run / "arrays.npz", read(run / "arrays.npz") + b"more")
        told = command("compare", str(run), str(run))
        assert (told.code, told.err.count("\n")) == (3, 1)
        assert f"{run}/arrays.npz: is not what hashes.json says" in told.err
        assert command("verify", str(run)).code == 1

    def test_where_the_store_takes_nothing_the_audit_is_not_begun(self, tmp_path: Path, store: type[Troubled]) -> None:
        def deny(what: str, path: str) -> None:
            if what == "write":
                raise PermissionError("no")

        store.trouble = staticmethod(deny)
        with pytest.raises(StoreError, match=rf"{REPORTS}/.auditor: cannot be written: the store denies it"):
            self.run(tmp_path)

    def test_where_the_store_goes_meanwhile_the_run_is_kept_here_and_sent_the_next_time(
        self, tmp_path: Path, store: type[Troubled], home: Path
    ) -> None:
        is_gone = False

        def go(what: str, path: str) -> None:
            nonlocal is_gone
            is_gone = is_gone or path.endswith("rows.parquet")
            if is_gone:
                raise ConnectionRefusedError("nobody there")

        store.trouble = staticmethod(go)
        with pytest.raises(StoreError, match=r"cannot be reached.*the run is whole in ") as fault:
            self.run(tmp_path)
        assert any("--resume goes on" in note for note in fault.value.__notes__)
        (kept,) = (file.parent for file in home.rglob(RESULT))
        units = SavedRun(kept).result.units
        assert {unit.status for unit in units} == {"done"}
        store.trouble = staticmethod(lambda what, path: None)
        assert not read_stored_runs(there()).entries
        before = small_audits.timeless(kept)
        run = self.run(tmp_path, resume=True)
        assert small_audits.timeless(fetch_run(there(kept.name))) == before
        assert run.address == str(there(kept.name))
        assert not any(home.rglob(RESULT))

    def test_reading_commands_work_as_on_a_folder(self, tmp_path: Path, command: Command) -> None:
        small_audits.audit(tmp_path / "a")
        (folder,) = small_audits.runs(tmp_path / "a")
        send_run(folder, there(folder.name))
        run = str(there(folder.name))
        assert command("list", REPORTS).out == command("list", folder.parent).out
        for words in (
            ("compare", "RUN", "RUN"),
            ("verify", "RUN"),
            ("export", "RUN", "--format", "csv", "--output", "-"),
        ):
            both = [command(*(place if word == "RUN" else word for word in words)) for place in (run, str(folder))]
            assert both[0].out == both[1].out
            assert both[0].code == both[1].code

    def test_a_report_is_rendered_to_where_its_run_is(self, tmp_path: Path, command: Command) -> None:
        run = self.run(tmp_path).address
        told = command("render", run, "--format", "html")
        assert told.code == 0, told.err
        assert told.out == f"report.html: {run}/report.html\n"
        place = read_place(run)
        assert isinstance(place, Stored)
        assert b"<html" in read(place / "report.html")
        assert command("verify", run).code == 0

    def test_runs_are_accepted_gated_and_pruned(self, tmp_path: Path, command: Command) -> None:
        settings = {
            "report": {"formats": ["markdown"]},
            "explain": {"images": 6, "exemplars": 2},
            "gate": {"relies": "off", "unaccepted": "error"},
        }
        first = self.run(tmp_path, settings=settings)
        assert first.exit_code == 4
        told = command("accept", first.address, "--reason", "known", "--by", "us")
        assert told.code == 0, told.err
        assert first.address.rpartition("/")[2] in command("accept", REPORTS, "--list").out
        second = self.run(tmp_path, settings=settings)
        assert second.exit_code == 0
        assert second.result.gate is not None
        assert second.result.gate.accepted == first.address.rpartition("/")[2]
        told = command("gate", second.address, "--keep")
        assert told.code == 0, told.err
        self.run(tmp_path)
        newest = read_stored_runs(there()).entries[0].id  # of one second, by name
        told = command("prune", REPORTS, "--keep", "1", "--yes")
        assert told.code == 0, told.err
        left = {f"{REPORTS}/{entry.id}" for entry in read_stored_runs(there()).entries}
        assert left == {first.address, f"{REPORTS}/{newest}"}

    @pytest.mark.parametrize("is_there", [True, False])
    def test_what_was_accepted_is_listed_only_where_there_is_a_folder(self, is_there: bool, command: Command) -> None:
        if is_there:
            write(there() / "notes.txt", b"1")
        told = command("accept", REPORTS, "--list")
        assert told.code == (0 if is_there else 3)
        assert told.out == ("nothing was accepted\n" if is_there else "")
        assert ("no such bucket, folder or file" in told.err) is not is_there

    def test_an_accepted_run_that_changed_on_the_store_is_noticed_by_the_gate(self, tmp_path: Path) -> None:
        settings = {"report": {"formats": ["markdown"]}, "explain": {"images": 6, "exemplars": 2}}
        settings["gate"] = {"relies": "off", "unaccepted": "error"}
        accepted = read_place(self.run(tmp_path, settings=settings).address)
        assert isinstance(accepted, Stored)
        accept_stored_run(accepted, "known", "us")
        assert self.run(tmp_path, settings=settings).exit_code == 0
        write(accepted / "rows.parquet", b"another")
        run = self.run(tmp_path, settings=settings)
        assert run.exit_code == 3
        assert str(accepted) in str(run.result.gate)
        assert "/auditor-stores-" not in str(run.result.gate)

    def test_what_was_accepted_is_not_taken_for_nothing_where_it_is_denied(
        self, tmp_path: Path, command: Command, store: type[Troubled]
    ) -> None:
        run = read_place(self.run(tmp_path).address)
        assert isinstance(run, Stored)
        accept_stored_run(run, "known", "us")
        list_of_them = read(there() / "accepted.jsonl")

        def deny(what: str, path: str) -> None:
            if what in ("read", "info") and path.endswith("accepted.jsonl"):
                raise PermissionError("no")

        store.trouble = staticmethod(deny)
        for words in (("prune", REPORTS, "--keep", "0", "--yes"), ("accept", str(run), "--reason", "again")):
            assert command(*words).code == 3
        store.trouble = staticmethod(lambda what, path: None)
        assert read_stored_runs(there()).entries
        assert read(there() / "accepted.jsonl") == list_of_them

    def test_what_a_store_gives_to_compare_with_replaces_no_run_that_is_kept_here(
        self, tmp_path: Path, home: Path
    ) -> None:
        settings = {"report": {"formats": ["markdown"]}, "explain": {"images": 6, "exemplars": 2}}
        settings["gate"] = {"relies": "off", "unaccepted": "error"}
        accepted = read_place(self.run(tmp_path, settings=settings).address)
        assert isinstance(accepted, Stored)
        accept_stored_run(accepted, "known", "us")
        (runs,) = home.iterdir()
        mine = runs / accepted.name / "mine"
        mine.parent.mkdir()
        mine.touch()
        assert self.run(tmp_path, settings=settings).exit_code == 0
        assert mine.exists()

    def test_an_accepted_run_stays_as_it_was(self, tmp_path: Path, command: Command) -> None:
        settings: dict[str, Any] = {"report": {"formats": ["markdown"]}, "explain": {"images": 6, "exemplars": 2}}
        run = read_place(self.run(tmp_path, settings=settings | {"gate": {"relies": "off"}}).address)
        assert isinstance(run, Stored)
        accept_stored_run(run, "known", "us")
        before = read(run / RESULT)
        told = command("gate", str(run), "--keep")
        assert (told.code, read(run / RESULT)) == (3, before), told
        assert "was accepted, and stays as it was" in told.err

    def test_rendering_leaves_what_became_of_the_run_meanwhile(self, tmp_path: Path) -> None:
        run = read_place(self.run(tmp_path).address)
        assert isinstance(run, Stored)
        with on_disk(run, sends=True) as folder:
            write(run / RESULT, b"grown")
            (folder / "report.html").write_text("drawn")
        assert (read(run / RESULT), read(run / "report.html")) == (b"grown", b"drawn")
        with pytest.raises(ReportError, match=r"is not what hashes\.json says"), on_disk(run, sends=True):
            pass

    def test_a_run_that_is_still_growing_is_not_removed(self, tmp_path: Path, command: Command) -> None:
        small_audits.audit(tmp_path)
        (folder,) = small_audits.runs(tmp_path)
        saved = SavedRun(folder)
        units = [replace(unit, status="missing") for unit in saved.result.units]
        result = replace(saved.result, units=units)
        (folder / RESULT).write_text(result_to_json(result))
        send_run(folder, there(folder.name))
        told = command("prune", REPORTS, "--keep", "0", "--yes")
        assert "may still add to it" in told.err
        assert read_stored_runs(there()).entries

    def test_a_run_is_saved_by_its_address(self, tmp_path: Path) -> None:
        run = small_audits.audit(tmp_path, output=None)
        saved = run.save(REPORTS)
        assert saved.address.startswith(REPORTS)
        assert auditor.load(saved.address).findings == run.findings

    def test_nothing_foreign_is_removed(self, tmp_path: Path, command: Command) -> None:
        run = read_place(self.run(tmp_path).address)
        assert isinstance(run, Stored)
        write(run / "notes.txt", b"mine")
        told = command("prune", REPORTS, "--keep", "0", "--yes")
        assert "holds 'notes.txt'" in told.err
        assert read_stored_runs(there()).entries

    @pytest.mark.parametrize("words", [("doctor", REPORTS), ("browse", REPORTS)])
    def test_what_works_here_alone_says_so(self, words: tuple[str, ...], command: Command) -> None:
        told = command(*words)
        assert told.code == 2
        assert told.err.count("\n") == 1
        assert "wanted a folder of this machine" in told.err

    def test_checks_are_kept_here_alone(self, world: World, command: Command) -> None:
        checks = world.folder / "checks.toml"
        checks.write_text(f'reports = "{REPORTS}"\n[[checks]]\nname = "a"\nconfig = "audit.toml"\n')
        told = command("check", checks)
        assert told.code == 2
        assert "checks.toml:1:1: reports: got 'memory://hospital/reports', wanted a folder of this machine" in told.err


class TestSecrets:
    KEYS = ("model.source", "model.labels", "data.source", "report.output", "artefacts.0.image")

    @pytest.mark.parametrize("key", KEYS)
    @pytest.mark.parametrize("text", ["s3://user:hush@bucket/x.npz", "s3://bucket/x.npz?X-Amz-Security-Token=hush"])
    def test_none_stands_in_a_message_or_comes_into_a_run(
        self, key: str, text: str, world: World, command: Command
    ) -> None:
        told = command("audit", world.config, "--set", f"{key}={text}")
        assert told.code == 2
        assert "hush" not in told.out + told.err
        assert "holds a" in told.err
        assert not world.runs()

    def test_none_stands_in_what_commands_say_of_their_words(self, command: Command) -> None:
        there = "s3://user:hush@bucket/x"
        for words in (
            ("list", there),
            ("render", "s3://bucket/run?token=hush"),
            ("export", "reports", "--format", "csv", "--output", there),
            ("compare", "reports", "reports", "--output", there),
        ):
            told = command(*words)
            assert told.code == 2
            assert "hush" not in told.out + told.err

    def test_a_call_says_it_too(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="credentials come from the environment") as fault:
            small_audits.audit(tmp_path, output="s3://user:hush@bucket/reports")
        assert "hush" not in str(fault.value)


class TestFaults:
    @pytest.mark.parametrize(
        ("key", "text", "wanted"),
        [
            ("data.source", f"{BUCKET}/nothing.npz", "no such bucket, folder or file"),
            ("model.source", f"{BUCKET}/nothing.keras", "no such bucket, folder or file"),
            ("data.source", "gs://bucket/x.npz", "gcsfs, which is not installed"),
        ],
    )
    def test_what_is_not_there_is_told_in_a_sentence(
        self, key: str, text: str, wanted: str, world: World, command: Command
    ) -> None:
        told = command("audit", world.config, "--quiet", "--set", f"{key}={text}")
        assert told.code == 3
        assert told.err.count("\n") == 1
        assert wanted in told.err
        assert key in told.err

    def test_an_unknown_kind_of_address_is_told_with_those_that_are_known(self, world: World, command: Command) -> None:
        told = command("validate", world.config, "--set", "data.source=ftp://host/x.npz")
        assert told.code == 2
        assert "got 'ftp://host/x.npz'; wanted a path, or an address that begins with s3://" in told.err

    def test_a_store_that_goes_before_the_verdicts_leaves_what_was_measured(
        self, tmp_path: Path, store: type[Troubled]
    ) -> None:
        draw_pictures(tmp_path)
        put(tmp_path, f"{BUCKET}/audit")
        small_audits.audit(tmp_path / "here")  # which draws the mark
        left = 30

        def go(what: str, path: str) -> None:
            nonlocal left
            left -= path.endswith(".png")
            if left < 0:
                raise ConnectionRefusedError("nobody there")

        store.trouble = staticmethod(go)
        said = {"ids": None, "groups": None, "labels": None, "images": f"{BUCKET}/audit/pictures"}
        with pytest.raises(StoreError, match="cannot be reached"):
            small_audits.audit(tmp_path / "there", **said)
        store.trouble = staticmethod(lambda what, path: None)
        run = small_audits.audit(tmp_path / "there", resume=True, **said)
        whole = small_audits.audit(tmp_path / "whole", **said)
        assert run.folder is not None
        assert whole.folder is not None
        assert small_audits.timeless(run.folder) == small_audits.timeless(whole.folder)

    def test_a_picture_that_is_shorter_than_said_is_left_out_and_told(
        self, tmp_path: Path, store: type[Troubled]
    ) -> None:
        draw_pictures(tmp_path)
        put(tmp_path, f"{BUCKET}/audit")
        store.change = staticmethod(lambda path, data: data[:50] if path.endswith("cat/03.png") else data)
        said = {"ids": None, "groups": None, "labels": None, "images": f"{BUCKET}/audit/pictures"}
        run = small_audits.audit(tmp_path / "there", **said)
        (skipped,) = run.result.data.skipped
        assert skipped.image == "cat/03.png"
        assert "got 50 bytes, and the store says that it has" in skipped.reason
