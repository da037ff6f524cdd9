"""What lies on an object store is read as if it lay here; what goes wrong there is said without secrets."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image

from auditor.errors import DataError, NotGivenError, OptionError, StoreError
from auditor.stores import ahead, fetched
from auditor.stores.address import Stored, is_stored, read_place, without_secrets
from auditor.stores.ahead import Ahead
from auditor.stores.fetched import fetch
from auditor.stores.store import kind_of, list_files, read, remove, size_of, write
from auditor.subject.data.folders import FolderSource
from auditor.subject.data.manifests import read_manifest
from auditor.subject.data.pictures import CorruptImageError
from tests.store_doubles import BUCKET, Troubled, flaky, put, store_in_memory


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Troubled]]:
    monkeypatch.setattr("auditor.stores.store._WAITS", (0.0, 0.0, 0.0))
    with store_in_memory() as system:
        yield system


def stored(name: str) -> Stored:
    place = read_place(f"{BUCKET}/{name}")
    assert isinstance(place, Stored)
    return place


def draw(folder: Path, names: list[str]) -> None:
    random = np.random.default_rng(0)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("wb") as file:
            Image.fromarray(random.integers(0, 256, (8, 8), dtype=np.uint8)).save(file, "PNG")


class TestAddresses:
    def test_a_path_is_no_address(self) -> None:
        for text in ("reports", "/a/b.npz", "C:/x", "s3:/b", "package.module:function", "keras.applications:VGG16"):
            assert read_place(text) == Path(text)
            assert not is_stored(text)

    def test_an_address_of_a_file_is_a_path(self) -> None:
        assert read_place("file:///a/b.npz") == Path("/a/b.npz")
        assert not is_stored("file:///a/b.npz")

    def test_it_is_written_as_it_was_read(self) -> None:
        for text in ("s3://bucket/folder/x.npz", "gs://bucket", "az://box/x", "abfs://box@account.dfs.net/x"):
            assert str(read_place(text)) == text

    @pytest.mark.parametrize(
        "text",
        [
            "s3://user:hush@bucket/key",
            "s3://user:hu/sh@bucket/key",
            "s3://hush@bucket/key",
            "s3://bucket/key?X-Amz-Signature=hush",
            "ftp://user:hush@host/key",
            "abfs://box:hush@account/x",
            "s3://user:'hush@bucket/key",
            "s3://user:hu sh hush@bucket/key",
            "  s3://user:hush@bucket/key",
            "simplecache::s3://user:hush@bucket/key",
        ],
    )
    def test_one_with_a_secret_is_refused_and_the_secret_is_not_repeated(self, text: str) -> None:
        with pytest.raises(OptionError) as fault:
            read_place(text)
        assert "hush" not in str(fault.value)

    def test_secrets_are_taken_out_of_any_text(self) -> None:
        told = without_secrets("cannot read 's3://me:hush@b/k' or https://h/x?token=hush, wanted s3://b/k@2.png")
        assert "hush" not in told
        assert "https://h/x" in told

    @pytest.mark.parametrize("text", ["ftp://host/key", "s3://", "s3:///", "file://host/x", "memory://.."])
    def test_one_of_no_known_kind_or_place_is_refused(self, text: str) -> None:
        with pytest.raises(OptionError, match="wanted"):
            read_place(text)

    def test_a_name_leads_nowhere_out_of_the_bucket(self) -> None:
        assert stored("a/b") / "../c.png" == stored("a/c.png")
        for name in ("../../other/x", "/etc/passwd", "../../.."):
            with pytest.raises(OptionError, match="leads out of"):
                stored("a") / name


class TestReading:
    def test_what_is_written_is_read_and_listed_with_its_size(self) -> None:
        write(stored("a/x"), b"12345")
        assert read(stored("a/x")) == b"12345"
        assert [(file, file.size) for file in list_files(stored("a"))] == [(stored("a/x"), 5)]
        assert (kind_of(stored("a/x")), kind_of(stored("a")), size_of(stored("a/x"))) == ("file", "folder", 5)
        remove(stored("a/x"))
        remove(stored("a/x"))
        with pytest.raises(NotGivenError, match="no such"):
            read(stored("a/x"))

    def test_a_folder_is_listed_in_the_order_of_the_parts_of_its_names(self) -> None:
        for name in ("a/z", "a-b/x", "a.png", "a/b/c"):
            write(stored(name), b"1")
        listed = [file.below(Stored("memory", "hospital")) for file in list_files(Stored("memory", "hospital"))]
        assert listed == sorted(listed, key=lambda name: Path(name).parts)

    def test_what_fails_for_a_moment_is_asked_for_again_and_not_for_ever(self, store: type[Troubled]) -> None:
        write(stored("x"), b"12345")
        left = 2

        def fail(what: str, path: str) -> None:
            nonlocal left
            left -= 1
            if left >= 0:
                raise TimeoutError("too slow")

        store.trouble = staticmethod(fail)
        assert read(stored("x")) == b"12345"
        left = 10**6
        with pytest.raises(StoreError, match=r"memory://hospital/x: .*TimeoutError: too slow.*tried 4 times"):
            read(stored("x"))

    def test_a_store_that_nobody_answers_for_is_not_asked_again_after_some_seconds(
        self, store: type[Troubled], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class EndpointConnectionError(Exception):  # as botocore calls it
            pass

        def fail(what: str, path: str) -> None:
            raise EndpointConnectionError("nobody there")

        store.trouble = staticmethod(fail)
        for patience, tries in ((60, "4 times"), (-1, "1 time$")):
            monkeypatch.setattr("auditor.stores.store._PATIENCE", patience)
            with pytest.raises(StoreError, match=f"cannot be reached.*nobody there.*tried {tries}"):
                read(stored("x"))

    @pytest.mark.parametrize("length", [0, 90, 110])
    def test_another_number_of_bytes_than_the_store_says_is_an_error(
        self, length: int, store: type[Troubled], tmp_path: Path
    ) -> None:
        write(stored("x"), b"x" * 100)
        store.change = staticmethod(lambda path, data: b"y" * length)
        for ask in (read, fetch):
            with pytest.raises(NotGivenError, match=f"got {length} bytes, and the store says that it has 100"):
                ask(stored("x"))

    def test_what_is_denied_is_not_asked_for_again(self, store: type[Troubled]) -> None:
        def deny(what: str, path: str) -> None:
            raise PermissionError("Access Denied https://host/x?sig=hush")

        write(stored("x"), b"1")
        store.trouble = staticmethod(deny)
        store.asked.clear()
        with pytest.raises(NotGivenError, match="denies it") as fault:
            read(stored("x"))
        assert "hush" not in str(fault.value)
        assert len(store.asked) == 1

    def test_what_is_told_is_cut_short_after_its_secrets_are_taken_out(self, store: type[Troubled]) -> None:
        def fail(what: str, path: str) -> None:
            raise OSError(f"Could not connect to http://user:{'hush' * 60}@proxy")

        store.trouble = staticmethod(fail)
        with pytest.raises(StoreError, match="cannot be reached") as fault:
            read(stored("x"))
        assert "hush" not in str(fault.value)

    def test_credentials_that_are_over_are_no_fault_of_one_file(self, store: type[Troubled]) -> None:
        def expire(what: str, path: str) -> None:
            cause = Exception()
            cause.response = {"Error": {"Code": "ExpiredToken"}}  # type: ignore[attr-defined]  # as botocore has it
            raise PermissionError("The provided token has expired.") from cause

        write(stored("x"), b"1")
        files = list_files(stored("x").parent)
        store.trouble = staticmethod(expire)
        with pytest.raises(StoreError, match="does not take the credentials"):
            [*Ahead(files).stream([0])]

    def test_what_no_package_reaches_is_said_with_how_to_install_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def lack(name: str, **options: Any) -> None:
            raise ImportError("Install it", name=name)

        monkeypatch.setattr(fsspec, "filesystem", lack)
        for address, wanted in (
            ("s3://b/x", r"s3fs.*auditor\[stores\]'`"),
            ("gs://b/x", "gcsfs"),
            ("az://b/x", "adlfs"),
        ):
            place = read_place(address)
            assert isinstance(place, Stored)
            with pytest.raises(StoreError, match=wanted):
                read(place)

    def test_the_account_of_an_address_of_azure_is_the_one_that_is_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        opened = []

        class Azure(Troubled):
            @staticmethod
            def _get_kwargs_from_urls(url: str) -> dict[str, str]:
                return {"account_name": url.partition("@")[2]}

            def __init__(self, account_name: str = "that of the environment", **options: Any) -> None:
                super().__init__(**options)
                opened.append(account_name)

        monkeypatch.setattr(fsspec, "get_filesystem_class", lambda store: Azure)
        monkeypatch.setattr(fsspec, "filesystem", lambda store, **options: Azure(**options))
        for address in ("abfs://box@one/x", "abfs://box@two/x", "abfs://box/x"):
            place = read_place(address)
            assert isinstance(place, Stored)
            with pytest.raises(NotGivenError):
                size_of(place)
        assert opened == ["one", "two", "that of the environment"]

    def test_without_fsspec_it_is_told_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "fsspec", None)
        with pytest.raises(StoreError, match=r"memory:// takes fsspec, which is not installed: `pip install 'auditor"):
            read(stored("x"))


class TestAhead:
    def put(self, count: int) -> list[Any]:
        for number in range(count):
            write(stored(f"f/{number:03}"), bytes([number]) * (number + 1))
        return list(list_files(stored("f")))

    def test_files_come_in_order_each_with_its_position(self) -> None:
        files = self.put(100)
        wanted = [*range(0, 100, 3)]
        assert [*Ahead(files).stream(wanted)] == [(at, bytes([at]) * (at + 1)) for at in wanted]

    def test_only_so_many_are_read_ahead(self, store: type[Troubled]) -> None:
        files = self.put(100)
        store.asked.clear()
        stream = Ahead(files).stream(range(100))
        next(stream)
        time.sleep(0.2)  # as long as the model works
        assert len(store.asked) <= ahead.FILES_AHEAD + 1
        stream.close()

    def test_a_second_pass_asks_the_store_for_what_was_not_kept(
        self, store: type[Troubled], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files = self.put(20)
        monkeypatch.setattr(ahead, "MOST_KEPT", sum(range(1, 11)))
        monkeypatch.setattr(ahead, "THREADS", 1)
        reader = Ahead(files)
        first = [*reader.stream(range(20))]
        store.asked.clear()
        assert [*reader.stream(range(20))] == first
        assert len(store.asked) == 10

    def test_what_a_full_disk_takes_a_part_of_is_asked_for_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pwrite = os.pwrite
        monkeypatch.setattr(os, "pwrite", lambda file, data, start: pwrite(file, data[: len(data) // 2], start))
        reader = Ahead(self.put(5))
        first = [*reader.stream(range(5))]
        assert [*reader.stream(range(5))] == first

    def test_a_copy_of_the_reader_reads_the_same(self) -> None:
        reader = Ahead(self.put(5))
        first = [*reader.stream(range(5))]
        assert [*pickle.loads(pickle.dumps(reader)).stream(range(5))] == first

    def test_a_file_that_changes_or_goes_is_noticed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        files = self.put(3)
        monkeypatch.setattr(ahead, "MOST_KEPT", 0)
        reader = Ahead(files)
        assert all(isinstance(data, bytes) for _, data in reader.stream(range(3)))
        write(files[1], b"zz")
        remove(files[2])
        found = [data for _, data in reader.stream(range(3))]
        assert isinstance(found[0], bytes)
        for fault in found[1:]:
            assert isinstance(fault, NotGivenError)
            assert "must stay" in fault.reason


class TestFetching:
    def test_a_file_is_fetched_once_under_its_own_name(self, store: type[Troubled]) -> None:
        write(stored("models/model.keras"), b"123")
        copy = fetch(stored("models/model.keras"))
        assert (copy.name, copy.read_bytes()) == ("model.keras", b"123")
        store.asked.clear()
        assert fetch(stored("models/model.keras")) == copy
        assert {what for what, _ in store.asked} == {"info"}

    @pytest.mark.parametrize("changed", ["saved/model.pb", "saved"])
    def test_what_was_written_anew_is_fetched_anew_and_the_older_copy_stays(self, changed: str) -> None:
        write(stored("saved/model.pb"), b"123")
        older = fetch(stored(changed))
        write(stored("saved/model.pb"), b"456")
        newer = fetch(stored(changed))
        name = "model.pb" if changed == "saved" else ""
        assert ((older / name).read_bytes(), (newer / name).read_bytes()) == (b"123", b"456")
        assert fetch(stored(changed)) == newer

    def test_a_folder_is_fetched_with_all_that_is_in_it(self) -> None:
        for name in ("saved/model.pb", "saved/variables/index"):
            write(stored(name), name.encode())
        copy = fetch(stored("saved"))
        assert (copy / "variables" / "index").read_bytes() == b"saved/variables/index"

    def test_what_is_too_large_is_refused_before_it_is_fetched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        write(stored("x"), b"x" * 1000)
        monkeypatch.setattr(fetched, "MOST_FETCHED", 999)
        with pytest.raises(StoreError, match=r"has 1,000 bytes, wanted 999 at most"):
            fetch(stored("x"))

    def test_no_name_on_a_store_leads_out_of_the_copy(self, tmp_path: Path) -> None:
        for name in ("../x", "a/../../x", "a//b", "a\\b"):
            with pytest.raises(StoreError, match="no name that a file"):
                fetched.fetch_into(stored("x"), tmp_path, name)


NAMES = [f"{kind}/{number}.png" for kind in ("cat", "dog") for number in range(6)]


class TestFolders:
    @pytest.mark.parametrize(
        "names",
        [
            NAMES,
            ["b.png", "a.PNG", "c", "notes.txt"],
            [*NAMES, "cat/deep/x.png", "cat/.hidden.png", "dog/.d/x.png", "cat/readme.md", "cat/unnamed", ".x/y.png"],
            [f"{part}/{name}" for part in ("Train", "test") for name in NAMES],
            [*NAMES, "loose.png"],
            ["notes.txt"],
        ],
    )
    def test_a_folder_on_a_store_is_what_it_is_on_the_disk(self, names: list[str], tmp_path: Path) -> None:
        draw(tmp_path, names)
        (tmp_path / names[0]).with_suffix(".txt").write_text("no picture")
        put(tmp_path, f"{BUCKET}/pictures")
        found: list[Any] = []
        for folder in (tmp_path, stored("pictures")):
            try:
                source = FolderSource(folder)
                images = [(at, raw.tolist()) for at, raw in source.stream(range(len(source.ids)))]
                found.append((source.ids, source.labels, source.notes, images))
            except DataError as fault:
                found.append(str(fault).replace(str(folder), "FOLDER"))
        assert found[0] == found[1]

    def test_a_name_that_no_file_can_have_is_left_out(self, tmp_path: Path) -> None:
        draw(tmp_path, NAMES)
        put(tmp_path, BUCKET)
        system = fsspec.filesystem("memory")
        for name in ("..", ""):
            system.store[f"/hospital/{name}/x.png"] = system.store["/hospital/cat/0.png"]
        assert set(FolderSource(Stored("memory", "hospital")).ids) == set(NAMES)

    def test_a_share_of_requests_that_fail_changes_nothing(self, tmp_path: Path, store: type[Troubled]) -> None:
        names = [f"{number:03}.png" for number in range(300)]
        draw(tmp_path, names)
        put(tmp_path, f"{BUCKET}/pictures")
        here = [raw.tolist() for _, raw in FolderSource(tmp_path).stream(range(300))]
        store.trouble = staticmethod(flaky(0.05))
        there = FolderSource(stored("pictures"))
        assert [raw.tolist() for _, raw in there.stream(range(300))] == here

    def test_a_picture_that_is_gone_is_one_that_cannot_be_used(self, tmp_path: Path) -> None:
        draw(tmp_path, NAMES)
        put(tmp_path, f"{BUCKET}/pictures")
        source = FolderSource(stored("pictures"))
        remove(stored("pictures/cat/3.png"))
        found = dict(source.stream(range(12)))
        assert isinstance(found.pop(3), CorruptImageError)
        assert not any(isinstance(raw, CorruptImageError) for raw in found.values())

    def test_a_store_that_is_gone_ends_it(self, tmp_path: Path, store: type[Troubled]) -> None:
        def go(what: str, path: str) -> None:
            raise ConnectionRefusedError("nobody there")

        draw(tmp_path, NAMES)
        put(tmp_path, f"{BUCKET}/pictures")
        source = FolderSource(stored("pictures"))
        store.trouble = staticmethod(go)
        with pytest.raises(StoreError, match="cannot be reached"):
            [*source.stream(range(12))]


class TestManifests:
    def write(self, folder: Path, *rows: str) -> Path:
        file = folder / "images.csv"
        file.write_text("path,label,mask\n" + "\n".join(rows) + "\n")
        return file

    def test_paths_are_relative_to_the_folder_on_the_store(self, tmp_path: Path) -> None:
        file = self.write(tmp_path, "cat/0.png,cat,masks/0.png", "../x.png,dog,")
        read = read_manifest(file, origin=stored("data/images.csv"))
        assert read.files == [stored("data/cat/0.png"), stored("x.png")]
        assert read.masks == [stored("data/masks/0.png"), None]
        assert read.ids == ["cat/0.png", "../x.png"]

    def test_a_manifest_here_names_pictures_there_where_the_user_says_so(self, tmp_path: Path) -> None:
        file = self.write(tmp_path, f"{BUCKET}/cat/0.png,cat,", "1.png,cat,")
        assert read_manifest(file, root=stored("data")).files == [stored("cat/0.png"), stored("data/1.png")]
        with pytest.raises(DataError, match=r'images.csv:2: got .*; wanted a path, or root = "s3://BUCKET"'):
            read_manifest(file)

    @pytest.mark.parametrize(
        "path", ["../../x.png", "/etc/passwd", "file:///etc/passwd", "s3://u:hush@b/x", "ftp://h/x", "memory://other/x"]
    )
    def test_a_manifest_there_names_nothing_else(self, path: str, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"memory://hospital/images.csv:2: ") as fault:
            read_manifest(self.write(tmp_path, f"{path},cat,"), origin=stored("images.csv"))
        assert "hush" not in str(fault.value)


FETCHING = """
import os, sys
from auditor.stores.address import Stored
from auditor.stores.fetched import fetch
from auditor.stores.store import write
write(Stored("memory", "b/x"), b"123")
print(fetch(Stored("memory", "b/x")), flush=True)
if sys.argv[1:]:
    os.kill(os.getpid(), 9)
"""


def test_copies_go_with_the_process_or_with_the_next_one_where_it_was_killed(tmp_path: Path) -> None:
    for words, left in (([], 0), (["killed"], 1), ([], 0)):
        done = subprocess.run(
            [sys.executable, "-c", FETCHING, *words],
            env=os.environ | {"TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.endswith("/x\n"), done.stderr
        assert len([*tmp_path.iterdir()]) == left
