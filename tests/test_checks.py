"""Checks that run themselves: what is read, what is left out, what is told, and that red is never green."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from auditor.auditing.checks.cell import Checked
from auditor.auditing.checks.check import Checking, run_checks
from auditor.auditing.checks.child import Ending, run_auditor
from auditor.auditing.checks.export import export_checks
from auditor.auditing.checks.fingerprint import Fingerprint, take_fingerprint
from auditor.auditing.checks.hashing import Hashes
from auditor.auditing.checks.judging import read_cell
from auditor.auditing.checks.lock import hold
from auditor.config.checks import Cell, read_checks, to_seconds
from auditor.errors import ConfigError, DataError, ReportError
from auditor.measure.ledger import Rows
from auditor.report.checks_page import render_checks
from auditor.report.doctor import examine
from auditor.report.index_page import refresh_index
from auditor.run.accepted import accept_run
from auditor.run.checked import CODES, SEVEREST, exit_code, read_record, read_records, record_file
from auditor.run.index import read_runs
from auditor.run.store import Run, load_result, save_run
from tests.numpy_world import build_numpy_world
from tests.small_world import Command, World
from tests.synthetic import make_finding, make_result
from tests.test_cli import WITHOUT_TENSORFLOW

CHECKS = """\
models = ["model.keras", "other.keras"]
data = ["images.npz"]

[[checks]]
name = "few images"
set = { data.limit = 30 }
"""

AUDIT = """\
[model]
source = "model.keras"
labels = "labels.txt"

[data]
source = "images.npz"

[[artefacts]]
name = "tag"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file of three checks and what they name."""
    (tmp_path / "audit.toml").write_text(AUDIT)
    (tmp_path / "checks.toml").write_text(CHECKS)
    for name in ("model.keras", "other.keras", "images.npz", "labels.txt"):
        (tmp_path / name).write_text(name)
        settle(tmp_path / name)
    return tmp_path


def settle(file: Path) -> None:
    """As if it had not been changed for an hour."""
    past = time.time() - 3600
    os.utime(file, (past, past))


class Auditor:
    """Stands in for the process that audits: leaves a run with the verdict that it is told, and counts."""

    def __init__(self, folder: Path) -> None:
        self.reports = folder / "reports"
        self.words: list[list[str]] = []
        self.verdict = "no_evidence"
        self.instead: Callable[[list[str]], Ending | None] = lambda words: None

    def __call__(self, words: list[str], folder: Path, limit: float) -> Ending:
        self.words.append(words)
        ending = self.instead(words)
        return ending or self.finish()

    def finish(self) -> Ending:
        code = {"relies": 1, "inconclusive": 4, "no_evidence": 0}[self.verdict]
        finding = make_finding(verdict=self.verdict)
        run = save_run(Run(replace(make_result(findings=[finding]), exit_code=code), Rows(), {}), self.reports)
        return Ending(code, f"tag -> cat: {self.verdict}\nresult.json: {run / 'result.json'}\n", "")


@pytest.fixture
def auditor(folder: Path) -> Auditor:
    return Auditor(folder)


def run(folder: Path, auditor: Auditor, **how: object) -> Checking:
    return run_checks(read_checks(folder / "checks.toml"), audit=auditor, **how)  # type: ignore[arg-type]


def states(checking: Checking) -> dict[str, str]:
    return {checked.record.name: checked.record.state for checked in checking.checks}


def hows(checking: Checking) -> list[str]:
    return [checked.how for checked in checking.checks]


class TestTheFile:
    def test_is_a_list_of_checks_and_a_matrix(self, folder: Path) -> None:
        config = read_checks(folder / "checks.toml")
        assert [(cell.name, cell.overrides) for cell in config.cells] == [
            ("few images", ("data.limit=30",)),
            ("model on images", ('model.source="model.keras"', 'data.source="images.npz"')),
            ("other on images", ('model.source="other.keras"', 'data.source="images.npz"')),
        ]

    def test_calls_models_of_one_name_by_their_paths(self, folder: Path) -> None:
        (folder / "checks.toml").write_text('models = ["a/net.keras", "b/net.keras", "c.keras"]\n')
        names = [cell.name for cell in read_checks(folder / "checks.toml").cells]
        assert names == ["a/net.keras", "b/net.keras", "c"]

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("", "{file}: got no check; wanted [[checks]], or models and data for a matrix of them"),
            (CHECKS + '[[checks]]\nname = "few images"\n', "{file}:8:1: checks[1].name: got 'few images' twice"),
            ('models = ["a.keras", "a.keras"]\n', "{file}:1:1: models: got 'a.keras' twice, wanted"),
            ('[[checks]]\nname = "a"\nconfig = "b.toml"', "{file}:3:1: checks[0].config: got 'b.toml', wanted"),
            ('[[checks]]\nname = "a"\nconfg = "b"', "{file}:3:1: checks[0].confg: unknown key; did you mean 'config'?"),
            ('limit = 5\nmodels = ["a"]', '{file}:1:1: limit: got 5, wanted text'),
            ('limit = "5"\nmodels = ["a"]', '{file}:1:1: limit: got "5", wanted a duration such as "90s", "45m"'),
            ('limit = "0s"\nmodels = ["a"]', "{file}:1:1: limit: got \"0s\", wanted a duration of more than nothing"),
            ("models = []", "{file}:1:1: models: got [], wanted 1 or more items"),
            ('base = "audit.toml"\n[[checks]]\nname = "a"', "{file}:1:1: base: has an effect only beside models"),
            (CHECKS + '[schedule]\ncron = "0 3 * * 1"\ntimezone = "Berlin"', '{file}:9:1: schedule.timezone: got'),
            ("models = [", "{file}:1:1: not TOML: "),
            (r'reports = "a\u0000b"', r'{file}:1:1: reports: got "a\u0000b", wanted a path, which holds no NUL byte'),
            (r'watch = ["\u0000"]', r'{file}:1:1: watch[0]: got "\u0000", wanted a path, which holds no NUL byte'),
            (r'notify = "a\u0000"', r'{file}:1:1: notify: got "a\u0000", wanted a command'),
            ("""notify = "mail 'Ada" """, """{file}:1:1: notify: got "mail 'Ada", wanted a command"""),
            ('notify = " "', '{file}:1:1: notify: got " ", wanted a command'),
        ],
    )  # fmt: skip
    def test_of_a_fault_its_place_is_told(self, folder: Path, text: str, told: str) -> None:
        file = folder / "checks.toml"
        file.write_text(text)
        with pytest.raises(ConfigError) as fault:
            read_checks(file)
        assert str(fault.value).startswith(told.format(file=file))

    def test_that_is_missing_is_said_to_be_one_of_checks(self, folder: Path) -> None:
        with pytest.raises(ConfigError, match="no such file; wanted a file of checks"):
            read_checks(folder / "none.toml")

    def test_fits_the_schema_that_is_printed(self, command: Command) -> None:
        schema = json.loads(command("schema", "checks").out)
        jsonschema.Draft202012Validator.check_schema(schema)
        example = Path(__file__).resolve().parents[1] / "examples" / "nightly" / "checks.toml"
        data = tomllib.loads(example.read_text(encoding="utf-8"))
        jsonschema.validate(data, schema)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(data | {"shedule": {}}, schema)

    def test_durations_are_what_they_say(self) -> None:
        assert [to_seconds(text) for text in ("90s", "1.5m", "2h", "1d")] == [90, 90, 7200, 86400]


def fingerprint(cell: Cell, folder: Path) -> Fingerprint:
    data, _ = read_cell(cell)
    return take_fingerprint(cell, data, folder, Hashes(folder / "cache"))


class TestAFingerprint:
    def digest(self, folder: Path, number: int = 0) -> str:
        config = read_checks(folder / "checks.toml")
        return fingerprint(config.cells[number], folder).digest

    @pytest.mark.parametrize("name", ["model.keras", "images.npz", "labels.txt"])
    def test_changes_with_every_file_that_is_named(self, folder: Path, name: str) -> None:
        before = self.digest(folder)
        (folder / name).write_text("another")
        assert self.digest(folder) != before

    def test_changes_with_a_key_and_not_with_a_comment(self, folder: Path) -> None:
        before = self.digest(folder)
        (folder / "audit.toml").write_text("# said anew\n" + AUDIT)
        assert self.digest(folder) == before
        (folder / "audit.toml").write_text(AUDIT + "find = false\n")
        assert self.digest(folder) != before

    def test_changes_with_an_override_and_the_file_that_it_names(self, folder: Path) -> None:
        before = [self.digest(folder, number) for number in range(3)]
        assert len(set(before)) == 3
        (folder / "other.keras").write_text("trained on")
        after = [self.digest(folder, number) for number in range(3)]
        assert [old == new for old, new in zip(before, after, strict=True)] == [True, True, False]

    def test_changes_with_a_picture_in_a_folder_and_its_name(self, folder: Path) -> None:
        (folder / "pictures" / "cat").mkdir(parents=True)
        picture = folder / "pictures" / "cat" / "1.png"
        picture.write_bytes(b"1")
        (folder / "audit.toml").write_text(AUDIT.replace("images.npz", "pictures"))
        seen = [self.digest(folder)]
        picture.write_bytes(b"2")
        seen.append(self.digest(folder))
        picture.rename(picture.with_name("2.png"))
        seen.append(self.digest(folder))
        assert len(set(seen)) == 3

    def test_changes_with_a_picture_that_a_manifest_names(self, folder: Path) -> None:
        (folder / "images.csv").write_text("path,label\n1.png,cat\n")
        (folder / "1.png").write_bytes(b"1")
        (folder / "audit.toml").write_text(AUDIT.replace("images.npz", "images.csv"))
        before = self.digest(folder)
        (folder / "1.png").write_bytes(b"2")
        assert self.digest(folder) != before

    def test_changes_with_the_code_beside_the_configuration(self, folder: Path) -> None:
        (folder / "mine.py").write_text("def section(result, arrays): return []\n")
        (folder / "audit.toml").write_text(AUDIT + '[report]\nsections = ["mine:section"]\n')
        before = self.digest(folder)
        (folder / "neighbour.py").write_text("x = 1\n")
        assert self.digest(folder) != before

    def test_changes_with_the_version(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = self.digest(folder)
        monkeypatch.setattr("auditor.run.provenance._version", lambda name: "99")
        assert self.digest(folder) != before

    def test_of_what_lies_on_a_store_is_none(self, folder: Path) -> None:
        (folder / "audit.toml").write_text(AUDIT.replace('"images.npz"', '"s3://bucket/images.npz"'))
        (cell, *_) = read_checks(folder / "checks.toml").cells
        assert fingerprint(cell, folder).unknown.startswith("data.source lies on a store")

    def test_changes_with_a_file_that_is_named_by_its_address(self, folder: Path) -> None:
        (folder / "audit.toml").write_text(AUDIT.replace('"images.npz"', f'"file://{folder}/images.npz"'))
        before = self.digest(folder)
        (folder / "images.npz").write_text("another")
        assert self.digest(folder) != before

    def test_of_a_function_that_reads_who_knows_what_is_none_until_watch_says(self, folder: Path) -> None:
        (folder / "mine.py").write_text("def load(): ...\n")
        (folder / "audit.toml").write_text(AUDIT.replace('"images.npz"', '"mine:load"'))
        (cell, *_) = read_checks(folder / "checks.toml").cells
        assert fingerprint(cell, folder).unknown.startswith("data.source is a function")
        assert fingerprint(replace(cell, watch=(folder / "labels.txt",)), folder).unknown == ""

    @pytest.mark.parametrize(
        ("function", "unknown"),
        [
            ("mine:prepare", "model.preprocess is a function, and no watch says what it reads"),
            ("json:loads", ""),  # of a library, which reads nothing of the user's
            ("none_of_this_name:prepare", "none_of_this_name:prepare: its code was not found"),
        ],
    )
    def test_of_a_function_of_the_users_own_is_none_either(self, folder: Path, function: str, unknown: str) -> None:
        (folder / "mine.py").write_text("def prepare(images): ...\n")
        (folder / "audit.toml").write_text(AUDIT.replace("[data]", f'preprocess = "{function}"\n\n[data]'))
        (cell, *_) = read_checks(folder / "checks.toml").cells
        assert fingerprint(cell, folder).unknown == unknown

    def test_ignores_what_the_audit_itself_writes(self, folder: Path) -> None:
        (folder / "reports").mkdir()
        before = self.digest(folder)
        (folder / "reports" / "run").write_text("new")
        assert self.digest(folder) == before


class TestHashes:
    def test_of_a_file_that_looks_the_same_are_not_taken_again(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept = Hashes(folder / "cache")
        first = kept.of(folder / "model.keras")
        kept.save()
        age = time.time() + 10  # so that the file has settled by its second time, too
        monkeypatch.setattr("auditor.auditing.checks.hashing.time.time", lambda: age)
        kept = Hashes(folder / "cache")
        assert kept.of(folder / "model.keras") == first
        kept.save()
        monkeypatch.setattr("auditor.auditing.checks.hashing.hash_file", lambda file: pytest.fail("it was read"))
        assert Hashes(folder / "cache").of(folder / "model.keras") == first

    def test_notice_another_content_of_the_same_size_and_time(self, folder: Path) -> None:
        file = folder / "model.keras"
        kept = Hashes(folder / "cache")
        before, state = kept.of(file), file.stat()
        kept.save()
        file.write_text("MODEL.KERAS")
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
        assert (file.stat().st_size, file.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
        assert Hashes(folder / "cache").of(file) != before

    def test_are_all_taken_anew_where_that_is_wanted(self, folder: Path) -> None:
        file = folder / "model.keras"
        state = file.stat()
        stamp = [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
        (folder / "cache").write_text(json.dumps({str(file): [*stamp, "old"]}))
        assert Hashes(folder / "cache").of(file) == "old"
        assert Hashes(folder / "cache", is_full=True).of(file) != "old"

    @pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', '{"a": [1]}'])
    def test_do_without_a_damaged_cache(self, folder: Path, text: str) -> None:
        (folder / "cache").write_text(text)
        assert len(Hashes(folder / "cache").of(folder / "model.keras")) == 64

    def test_of_a_folder_pass_over_what_audits_write_into_it(self, folder: Path, auditor: Auditor) -> None:
        (folder / "checks.toml").write_text('[[checks]]\nname = "a"\nset = { data.source = "." }\n')
        run(folder, auditor)
        (folder / "checks.toml").touch()
        assert hows(run(folder, auditor, if_changed=True)) == ["unchanged"]

    def test_of_what_is_no_file_are_refused_and_not_waited_for(self, folder: Path, auditor: Auditor) -> None:
        os.mkfifo(folder / "pipe")
        (folder / "checks.toml").write_text('watch = ["pipe"]\n' + CHECKS)
        checking = run(folder, auditor)
        assert set(states(checking).values()) == {"broken"}
        assert "pipe: a pipe or a device" in checking.checks[0].record.reason

    def test_of_a_folder_end_where_a_link_leads_round(self, folder: Path) -> None:
        (folder / "pictures").mkdir()
        (folder / "pictures" / "again").symlink_to(folder / "pictures")
        assert len(Hashes(folder / "cache").of(folder / "pictures")) == 64

    def test_of_a_file_that_is_gone_are_an_error_with_its_name(self, folder: Path) -> None:
        with pytest.raises(DataError, match=r"gone\.npz: cannot be read: No such file"):
            Hashes(folder / "cache").of(folder / "gone.npz")


class TestChecking:
    def test_audits_each_cell_in_a_process_of_its_own_with_its_overrides(self, folder: Path, auditor: Auditor) -> None:
        checking = run(folder, auditor)
        assert set(states(checking).values()) == {"pass"}
        assert checking.exit_code == 0
        common = ["audit", "audit.toml", "--output", "reports", "--resume", "--quiet", "--set"]
        assert auditor.words == [
            [*common, "data.limit=30"],
            [*common, 'model.source="model.keras"', "--set", 'data.source="images.npz"'],
            [*common, 'model.source="other.keras"', "--set", 'data.source="images.npz"'],
        ]

    def test_leaves_out_what_has_not_changed_and_counts_it_as_what_it_was(self, folder: Path, auditor: Auditor) -> None:
        auditor.verdict = "relies"
        first = run(folder, auditor)
        again = run(folder, auditor, if_changed=True)
        assert hows(first) == ["audited"] * 3
        assert hows(again) == ["unchanged"] * 3
        assert first.exit_code == again.exit_code == 1
        assert [each.record.since for each in again.checks] == [each.record.since for each in first.checks]

    def test_audits_anew_what_has_changed_and_nothing_else(self, folder: Path, auditor: Auditor) -> None:
        run(folder, auditor)
        (folder / "other.keras").write_text("trained on")
        assert hows(run(folder, auditor, if_changed=True)) == ["unchanged", "unchanged", "audited"]

    def test_audits_everything_without_if_changed(self, folder: Path, auditor: Auditor) -> None:
        run(folder, auditor)
        assert hows(run(folder, auditor)) == ["audited"] * 3

    def test_audits_anew_where_the_run_is_gone(self, folder: Path, auditor: Auditor) -> None:
        checking = run(folder, auditor)
        (folder / "reports" / str(checking.checks[0].record.run) / "result.json").unlink()
        assert hows(run(folder, auditor, if_changed=True)) == ["audited", "unchanged", "unchanged"]

    def test_says_why_it_audits_what_it_cannot_see_through(self, folder: Path, auditor: Auditor) -> None:
        (folder / "mine.py").write_text("def load(): ...\n")
        (folder / "checks.toml").write_text('[[checks]]\nname = "a"\nset = { data.source = "mine:load" }\n')
        run(folder, auditor)
        (checked,) = run(folder, auditor, if_changed=True).checks
        assert checked.how == "audited"
        assert checked.note == "data.source is a function, and no watch says what it reads"

    def test_of_some_alone_changes_nothing_of_when_all_began_and_are_due(self, folder: Path, auditor: Auditor) -> None:
        nights = [datetime(2026, 6, day, 3, tzinfo=UTC) for day in (1, 2)]
        run(folder, auditor, now=lambda: nights[0], due=nights[1].isoformat())
        run(folder, auditor, now=lambda: nights[1] + timedelta(hours=5), due="later", only=["few images"])
        kept = read_record(record_file(folder / "reports", folder / "checks.toml"))
        assert kept is not None
        assert (kept.begun, kept.next_due) == (nights[0].isoformat(), nights[1].isoformat())
        assert kept.ended is not None

    def test_runs_only_what_is_named_and_keeps_the_rest(self, folder: Path, auditor: Auditor) -> None:
        run(folder, auditor)
        checking = run(folder, auditor, only=["few images"])
        assert list(states(checking)) == ["few images"]
        kept = read_record(record_file(folder / "reports", folder / "checks.toml"))
        assert kept is not None
        assert len(kept.checks) == 3
        with pytest.raises(
            ConfigError, match=r"--only few image: no check of this name in .*did you mean 'few images'"
        ):
            run(folder, auditor, only=["few image"])


class TestTheGate:
    """What becomes of a verdict that relies, by what the file of checks says of it."""

    @pytest.fixture(autouse=True)
    def relies(self, auditor: Auditor) -> None:
        auditor.verdict = "relies"

    def say(self, folder: Path, text: str) -> None:
        (folder / "checks.toml").write_text('[[checks]]\nname = "mark"\n' + text)

    def check(self, folder: Path, auditor: Auditor, day: str = "2026-06-01") -> Checked:
        now = datetime.fromisoformat(f"{day}T12:00:00+00:00")
        (checked,) = run(folder, auditor, if_changed=True, now=lambda: now).checks
        return checked

    def test_waives_for_the_checks_that_are_named_and_for_no_other(self, folder: Path, auditor: Auditor) -> None:
        self.say(folder, '[[checks]]\nname = "other"\n' + self.WAIVER + 'checks = ["mark"]\n')
        assert states(run(folder, auditor, now=lambda: datetime(2026, 6, 1, tzinfo=UTC))) == {
            "mark": "warn",
            "other": "fail",
        }
        self.say(folder, self.WAIVER + 'checks = ["marks"]\n')
        with pytest.raises(ConfigError, match=r"toml:8:1: waivers\[0\]\.checks\[0\]: got 'marks'.*mean 'mark'"):
            run(folder, auditor)

    def test_says_of_a_waiver_for_what_no_check_has_that_it_waives_nothing(
        self, folder: Path, auditor: Auditor
    ) -> None:
        self.say(folder, self.WAIVER.replace('"tag"', '"tagg"'))
        checking = run(folder, auditor)
        assert states(checking) == {"mark": "fail"}
        assert checking.warnings == [
            "checks.toml:3:1: the waiver of Ada for tagg waives nothing: no check has an artefact of that name"
        ]

    WAIVER = '[[waivers]]\nartefact = "tag"\nowner = "Ada"\nreason = "to be retrained"\nexpires = 2026-06-30\n'

    def test_fails_or_warns_as_it_is_told_without_another_audit(self, folder: Path, auditor: Auditor) -> None:
        self.say(folder, "")
        assert (self.check(folder, auditor).record.state, len(auditor.words)) == ("fail", 1)
        self.say(folder, '[gate]\nrelies = "warn"\n')
        checked = self.check(folder, auditor)
        assert (checked.record.state, checked.how, checked.is_new) == ("warn", "judged anew", True)
        self.say(folder, '[gate]\nrelies = "off"\n')
        assert self.check(folder, auditor).record.state == "pass"
        assert self.check(folder, auditor).how == "unchanged"
        assert len(auditor.words) == 1

    def test_of_the_audit_counts_where_the_file_of_checks_has_none(self, folder: Path, auditor: Auditor) -> None:
        (folder / "audit.toml").write_text(AUDIT + '[gate]\nrelies = "warn"\n')
        self.say(folder, "")
        assert self.check(folder, auditor).record.state == "warn"
        self.say(folder, '[gate]\nrelies = "error"\n')
        assert self.check(folder, auditor).record.state == "fail"

    def test_lets_pass_what_is_waived_until_the_day_that_it_expires(self, folder: Path, auditor: Auditor) -> None:
        self.say(folder, self.WAIVER)
        waived = self.check(folder, auditor).record
        assert (waived.state, len(waived.waived)) == ("warn", 1)
        assert "Waived by Ada until 2026-06-30: to be retrained" in waived.waived[0]
        assert self.check(folder, auditor, "2026-06-30").how == "unchanged"
        expired = self.check(folder, auditor, "2026-07-01")
        assert (expired.record.state, expired.how) == ("fail", "judged anew")
        assert "expired 1 day ago" in expired.record.reason
        assert len(auditor.words) == 1

    def test_is_shown_in_the_run(self, folder: Path, auditor: Auditor) -> None:
        self.say(folder, self.WAIVER)
        record = self.check(folder, auditor).record
        result = load_result(folder / "reports" / str(record.run))
        assert result.gate is not None
        assert result.gate.state == "warn"

    def test_compares_with_the_run_that_was_accepted_for_this_check(self, folder: Path, auditor: Auditor) -> None:
        self.say(folder, '[gate]\nrelies = "off"\nnewly_relies = "error"\n')
        first = self.check(folder, auditor)
        assert first.record.state == "fail"  # what nobody accepted is new
        accept_run(folder / "reports" / str(first.record.run), "known since May", "Ada", key="mark")
        second = self.check(folder, auditor)
        assert (second.record.state, second.how) == ("pass", "judged anew")
        assert len(auditor.words) == 1

    def test_of_which_the_accepted_run_was_changed_is_broken_until_it_is_not(
        self, folder: Path, auditor: Auditor
    ) -> None:
        self.say(folder, '[gate]\nrelies = "off"\nnewly_relies = "error"\n')
        accepted = folder / "reports" / str(self.check(folder, auditor).record.run)
        accept_run(accepted, "known since May", "Ada", key="mark")
        self.say(folder, '[gate]\nrelies = "off"\nnewly_relies = "error"\n[[checks]]\nname = "other"\n')
        kept = (accepted / "result.json").read_bytes()
        (accepted / "result.json").write_bytes(kept + b" ")
        broken = run(folder, auditor)
        assert states(broken)["mark"] == "broken"
        assert broken.exit_code == 3
        (accepted / "result.json").write_bytes(kept)
        assert states(run(folder, auditor, if_changed=True))["mark"] == "pass"

    def test_of_which_the_accepted_run_changes_unseen_is_not_green_for_nothing_changed(
        self, folder: Path, auditor: Auditor
    ) -> None:
        self.say(folder, '[gate]\nrelies = "off"\nnewly_relies = "error"\n')
        accepted = folder / "reports" / str(self.check(folder, auditor).record.run)
        accept_run(accepted, "known since May", "Ada", key="mark")
        assert self.check(folder, auditor).record.state == "pass"
        assert self.check(folder, auditor).how == "unchanged"
        kept = (accepted / "rows.parquet").read_bytes()
        (accepted / "rows.parquet").write_bytes(kept + b" ")
        assert self.check(folder, auditor).record.state == "broken"
        (accepted / "rows.parquet").unlink()
        assert self.check(folder, auditor).record.state == "broken"
        (accepted / "rows.parquet").write_bytes(kept)
        assert self.check(folder, auditor).record.state == "pass"

    def test_that_is_wrong_is_a_fault_of_its_file(self, folder: Path, auditor: Auditor) -> None:
        (folder / "audit.toml").write_text(AUDIT + '[gate]\nrelies = "maybe"\n')
        self.say(folder, "")
        record = self.check(folder, auditor).record
        assert record.state == "wrong"
        assert 'audit.toml:11:1: gate.relies: got "maybe", wanted' in record.reason
        self.say(folder, self.WAIVER.replace("2026-06-30", '"soon"'))
        with pytest.raises(ConfigError, match=r"checks\.toml:7:1: waivers\[0\]\.expires: got \"soon\", wanted a date"):
            self.check(folder, auditor)


BROKEN = {
    "a crash": (Ending(-11, "", ""), "broken", "the process was ended by SIGSEGV"),
    "no memory": (Ending(-9, "", ""), "broken", "SIGKILL, as the system does where memory runs out"),
    "an error": (Ending(3, "", "warning: x\nerror: the model is damaged\n"), "broken", "the model is damaged"),
    "a wrong key": (Ending(2, "", "error: audit.toml:3:1: data: missing\n"), "wrong", "audit.toml:3:1: data: missing"),
    "no time": (Ending(-15, "", "", is_late=True), "broken", "it took longer than 6h and was ended"),
    "a lie": (Ending(0, "all is well\n", ""), "broken", "it ended as if it were complete, and left no run"),
    "a lost run": (Ending(0, "result.json: reports/none/result.json\n", ""), "broken", "no result.json there"),
    "an unknown code": (Ending(77, "", "Aborted\n"), "broken", "the process ended with code 77 and said no more"),
}


class TestWhatGoesWrong:
    @pytest.mark.parametrize("what", BROKEN)
    def test_is_the_state_of_its_own_check_and_hurts_no_other(self, folder: Path, auditor: Auditor, what: str) -> None:
        ending, state, reason = BROKEN[what]
        auditor.instead = lambda words: ending if "data.limit=30" in words else None
        checking = run(folder, auditor)
        assert list(states(checking).values()) == [state, "pass", "pass"]
        assert reason in checking.checks[0].record.reason
        assert checking.exit_code == CODES[state]  # type: ignore[index]
        assert hows(run(folder, auditor, if_changed=True)) == ["audited", "unchanged", "unchanged"]

    def test_of_an_audit_that_was_cut_off_after_its_verdicts_is_not_green(self, folder: Path, auditor: Auditor) -> None:
        auditor.instead = lambda words: replace(auditor.finish(), code=-9)
        checking = run(folder, auditor)
        assert set(states(checking).values()) == {"broken"}
        assert checking.exit_code == 3
        assert all(checked.record.run for checked in checking.checks)

    def test_on_the_way_of_an_audit_is_said_though_the_audit_is_whole(self, folder: Path, auditor: Auditor) -> None:
        auditor.instead = lambda words: replace(
            auditor.finish(), err="warning: the index was not renewed: no space\n" if "data.limit=30" in words else ""
        )
        checking = run(folder, auditor)
        assert checking.warnings == ["few images: the index was not renewed: no space"]
        assert set(states(checking).values()) == {"pass"}

    def test_with_a_configuration_is_that_checks_own(self, folder: Path, auditor: Auditor) -> None:
        (folder / "broken.toml").write_text("[model")
        (folder / "checks.toml").write_text(CHECKS + '[[checks]]\nname = "b"\nconfig = "broken.toml"\n')
        checking = run(folder, auditor)
        assert states(checking)["b"] == "wrong"
        assert hows(checking)[1] == "not audited"
        assert checking.exit_code == 2
        assert list(states(checking).values()).count("pass") == 3

    def test_with_the_system_is_too(self, folder: Path, auditor: Auditor) -> None:
        def refuse(words: list[str]) -> None:
            if "data.limit=30" in words:
                raise OSError(11, "Resource temporarily unavailable")

        auditor.instead = refuse
        assert list(states(run(folder, auditor)).values()) == ["broken", "pass", "pass"]

    def test_is_the_severest_of_all(self, folder: Path, auditor: Auditor) -> None:
        first, *others = [checked.record for checked in run(folder, auditor).checks]
        assert {state: exit_code([replace(first, state=state), *others]) for state in CODES} == CODES
        assert sorted(SEVEREST) == [0, 1, 2, 3, 4]
        assert SEVEREST.index(3) < SEVEREST.index(1) < SEVEREST.index(4) < SEVEREST.index(0)

    def test_with_what_was_kept_is_told_and_all_is_audited_anew(self, folder: Path, auditor: Auditor) -> None:
        run(folder, auditor)
        file = record_file(folder / "reports", folder / "checks.toml")
        file.write_text(file.read_text().replace('"state": "pass"', '"state": "green"'))
        checking = run(folder, auditor, if_changed=True)
        assert hows(checking) == ["audited"] * 3
        assert "damaged" in checking.warnings[0]

    def test_by_a_newer_version_is_left_as_it_is(self, folder: Path, auditor: Auditor) -> None:
        run(folder, auditor)
        file = record_file(folder / "reports", folder / "checks.toml")
        newer = file.read_text().replace('"version": 1', '"version": 2')
        file.write_text(newer)
        with pytest.raises(ReportError, match="version: got 2, wanted 1; update Auditor"):
            run(folder, auditor)
        assert file.read_text() == newer

    def test_where_a_file_takes_the_place_of_the_folder_that_is_said(self, folder: Path, auditor: Auditor) -> None:
        (folder / "reports").mkdir(exist_ok=True)
        (folder / "reports" / "checks").touch()
        with pytest.raises(ReportError, match="checks: is no folder"):
            run(folder, auditor)


class TestACheckThatIsCutOff:
    def cut_off(self, folder: Path, auditor: Auditor) -> None:
        def stop(words: list[str]) -> None:
            if 'model.source="model.keras"' in words:
                raise KeyboardInterrupt

        auditor.instead = stop
        with pytest.raises(KeyboardInterrupt):
            run(folder, auditor)
        auditor.instead = lambda words: None

    def test_is_continued_by_the_next(self, folder: Path, auditor: Auditor) -> None:
        self.cut_off(folder, auditor)
        assert hows(run(folder, auditor)) == ["unchanged", "audited", "audited"]
        assert hows(run(folder, auditor)) == ["audited"] * 3

    def test_is_not_continued_where_something_changed(self, folder: Path, auditor: Auditor) -> None:
        self.cut_off(folder, auditor)
        (folder / "labels.txt").write_text("others")
        assert hows(run(folder, auditor)) == ["audited"] * 3


class TestALock:
    def test_lets_in_one_at_a_time_and_says_who(self, tmp_path: Path) -> None:
        file = tmp_path / "lock"
        with hold(file) as before:
            assert before is None
            with pytest.raises(ReportError, match=f"process {os.getpid()} of {socket.gethostname()} since 20"):
                hold(file).__enter__()
        assert not file.exists()
        with hold(file):
            pass

    def test_of_a_process_that_was_killed_holds_nobody_off(self, tmp_path: Path) -> None:
        file = tmp_path / "lock"
        child = os.fork()
        if not child:
            kept = hold(file)
            kept.__enter__()
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        assert file.exists()
        with hold(file) as before:
            assert before is not None
            assert before.process == child

    def test_of_another_host_is_left_to_a_person(self, tmp_path: Path) -> None:
        file = tmp_path / "lock"
        file.write_text('{"process": 7, "host": "elsewhere", "since": "2026-01-01"}')
        with pytest.raises(ReportError, match=r"process 7 of elsewhere .* if it is gone, remove the file"):
            hold(file).__enter__()
        assert file.exists()

    def test_that_is_damaged_is_nobodys(self, tmp_path: Path) -> None:
        (tmp_path / "lock").write_text("?")
        with hold(tmp_path / "lock") as before:
            assert before is None

    def test_keeps_a_second_check_out(self, folder: Path, auditor: Auditor) -> None:
        def second(words: list[str]) -> None:
            with pytest.raises(ReportError, match="these checks run already"):
                run(folder, Auditor(folder))

        auditor.instead = second
        assert run(folder, auditor).exit_code == 0


class TestNotifying:
    def listen(self, folder: Path, command: str = "tee -a told.md") -> None:
        text = (folder / "checks.toml").read_text()
        (folder / "checks.toml").write_text(f"notify = {json.dumps(command)}\n{text}")

    def test_tells_of_changes_and_of_nothing_else(self, folder: Path, auditor: Auditor) -> None:
        self.listen(folder)
        told = folder / "told.md"
        run(folder, auditor)
        assert not told.exists()  # all is well, as was to be hoped
        auditor.verdict = "relies"
        run(folder, auditor)
        first = told.read_text()
        assert first.startswith("# checks.toml: 3 changed of 3 checks: 3 fail\n")
        assert "| few images | **fail**, was pass |" in first
        run(folder, auditor)
        assert told.read_text() == first
        auditor.verdict = "no_evidence"
        run(folder, auditor)
        assert "| few images | **pass**, was fail |" in told.read_text()

    @pytest.mark.parametrize(
        ("command", "why"),
        [
            ("none-of-this-name", "notify: none-of-this-name: "),  # why not depends on the folders of PATH
            ("sh -c 'echo no network >&2; exit 7'", "ended with code 7: no network"),
        ],
    )
    def test_that_fails_is_said_changes_nothing_and_is_made_up_for(
        self, folder: Path, auditor: Auditor, command: str, why: str
    ) -> None:
        self.listen(folder, command)
        auditor.verdict = "relies"
        checking = run(folder, auditor)
        assert checking.exit_code == 1
        assert why in checking.warnings[0]
        assert checking.warnings[0].endswith("nobody was told")
        text = (folder / "checks.toml").read_text()
        (folder / "checks.toml").write_text(text.partition("\n")[2])
        self.listen(folder)
        run(folder, auditor, if_changed=True)
        assert "| few images | **fail**, was pass |" in (folder / "told.md").read_text()

    def test_that_never_ends_is_ended(self, folder: Path, auditor: Auditor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("auditor.auditing.checks.notify._PATIENCE", 0.2)
        self.listen(folder, "sleep 60")
        auditor.verdict = "relies"
        assert "it took longer than 0.2 seconds" in run(folder, auditor).warnings[0]

    def test_waits_for_nothing_that_the_command_leaves_running(
        self, folder: Path, auditor: Auditor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("auditor.auditing.checks.notify._PATIENCE", 10.0)
        self.listen(folder, "sh -c 'sleep 15 & cat > told.md'")
        auditor.verdict = "relies"
        assert run(folder, auditor).warnings == []
        assert "**fail**" in (folder / "told.md").read_text()

    def test_writes_names_that_do_nothing(self, folder: Path, auditor: Auditor) -> None:
        (folder / "checks.toml").write_text('[[checks]]\nname = "@all | <b>*x*</b>"\n')
        self.listen(folder)
        auditor.verdict = "relies"
        run(folder, auditor)
        assert r"&lt;b&gt;\*x\*&lt;/b&gt;" in (folder / "told.md").read_text()


class TestThePage:
    def test_shows_the_matrix_and_every_check_the_severest_first(self, folder: Path, auditor: Auditor) -> None:
        auditor.instead = lambda words: Ending(-9, "", "") if "data.limit=30" in words else None
        auditor.verdict = "relies"
        run(folder, auditor)
        run(folder, auditor)
        page = (folder / "reports" / "checks.html").read_text()
        assert re.findall(r"<h3><bdi>(.*?)</bdi></h3>", page) == ["few images", "model on images", "other on images"]
        table = re.search(r"<table class=\"matrix\">.*?</table>", page, re.DOTALL)
        assert table is not None
        assert table[0].count("Fails") == 4  # in words, and for those who hear them
        assert page.count("<svg") == 2
        assert "Overdue" not in page

    def test_says_what_is_overdue_and_what_was_cut_off(self, folder: Path, auditor: Auditor) -> None:
        run(folder, auditor, due="2026-06-01T03:00:00+00:00")
        (record,), faults = read_records(folder / "reports")
        assert not faults
        listing = read_runs(folder / "reports")
        day = datetime(2026, 5, 31, tzinfo=UTC)
        assert "next due" in render_checks([record], listing, day)
        assert "Overdue" not in render_checks([record], listing, day)
        assert "Overdue" in render_checks([record], listing, day + timedelta(days=2))
        assert "cut off" in render_checks([replace(record, ended=None)], listing, day)

    def test_that_cannot_be_written_changes_nothing(self, folder: Path, auditor: Auditor) -> None:
        (folder / "reports" / "checks.html").mkdir(parents=True)
        checking = run(folder, auditor)
        assert checking.exit_code == 0
        assert "checks.html was not renewed" in checking.warnings[0]

    def test_is_linked_from_that_of_all_runs(self, folder: Path, auditor: Auditor) -> None:
        run(folder, auditor)
        refresh_index(folder / "reports")
        assert '<a href="checks.html">' in (folder / "reports" / "index.html").read_text()


class TestTheDoctor:
    def test_knows_what_checks_keep_and_finds_what_is_damaged_of_it(self, folder: Path, auditor: Auditor) -> None:
        (folder / "checks.toml").write_text(CHECKS + '[gate]\npreset = "strict"\n')
        run(folder, auditor)  # the gate changes the size of each result
        assert [str(trouble) for trouble in examine(folder / "reports")] == []
        file = record_file(folder / "reports", folder / "checks.toml")
        file.write_text(file.read_text()[:-9])
        (trouble,) = examine(folder / "reports")
        assert trouble.weight == "loose end"
        assert str(file) in trouble.what


class TestExporting:
    def test_writes_junit_sarif_and_markdown_in_which_what_is_broken_is_an_error(
        self, folder: Path, auditor: Auditor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(folder)
        auditor.instead = lambda words: Ending(-9, "", "") if "data.limit=30" in words else None
        auditor.verdict = "relies"
        config = read_checks(Path("checks.toml"))
        checking = run_checks(config, audit=auditor)
        (folder / "found").mkdir()
        export_checks(config, [checked.record for checked in checking.checks], Path("found"))
        names = ["2-model-on-images.sarif", "3-other-on-images.sarif", "checks.junit.xml", "checks.md"]
        assert sorted(file.name for file in (folder / "found").iterdir()) == names
        root = ElementTree.parse(folder / "found" / "checks.junit.xml").getroot()
        counts = [(suite.get("name"), suite.get("failures"), suite.get("errors")) for suite in root]
        assert counts == [
            ("few images", "0", "1"),
            ("model on images: tag → cat", "1", "0"),
            ("other on images: tag → cat", "1", "0"),
        ]
        assert [suite.get("id") for suite in root] == ["0", "1", "2"]
        sarif = json.loads((folder / "found" / names[0]).read_text())
        (result,) = sarif["runs"][0]["results"]
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "audit.toml"
        assert "| few images | **broken**, was pass |" in (folder / "found" / "checks.md").read_text()

    def test_of_a_run_that_is_gone_is_an_error(self, folder: Path, auditor: Auditor) -> None:
        checking = run(folder, auditor)
        records = [checked.record for checked in checking.checks]
        shutil.rmtree(folder / "reports" / str(records[0].run))
        export_checks(read_checks(folder / "checks.toml"), records, folder)
        root = ElementTree.parse(folder / "checks.junit.xml").getroot()
        assert [suite.get("errors") for suite in root] == ["1", "0", "0"]


class TestAProcess:
    def test_has_its_time_and_no_more(self, tmp_path: Path) -> None:
        begun = time.monotonic()
        ending = run_auditor(["browse", ".", "--port", "0", "--no-open"], tmp_path, 4.0)
        assert ending.is_late
        assert time.monotonic() - begun < 30

    def test_that_fails_says_so_in_its_own_words(self, tmp_path: Path) -> None:
        ending = run_auditor(["audit", "none.toml"], tmp_path, 60.0)
        assert ending.code == 2
        assert ending.error == "none.toml: no such file; wanted the configuration of an audit"


WAIT = """\
import pathlib, time
def wait(run):
    here = pathlib.Path(__file__)
    here.with_suffix(".begun").touch()
    while not here.with_suffix(".go").exists():
        time.sleep(0.05)
    return "last.txt", b"done"
"""


class TestTheCommand:
    def test_takes_a_second_for_twenty_cells_and_no_tensorflow(self, folder: Path, auditor: Auditor) -> None:
        names = [f"{number}.keras" for number in range(20)]
        for name in names:
            (folder / name).write_text(name)
            settle(folder / name)
        (folder / "checks.toml").write_text(f"models = {json.dumps(names)}\n")
        run(folder, auditor)
        script = WITHOUT_TENSORFLOW.replace("'tensorflow',", "'tensorflow', 'matplotlib', 'scipy.stats', 'pyarrow',")
        command = [sys.executable, "-c", script, "check", "checks.toml", "--if-changed"]
        paths = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(command, cwd=folder, env=paths, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) == 21
        assert all(": pass, unchanged: tag -> cat: no_evidence" in line for line in lines[:20])
        assert lines[-1] == "20 checks: 20 pass"

    def test_ends_as_it_should_where_nobody_reads(self, folder: Path, auditor: Auditor) -> None:
        auditor.verdict = "relies"
        run(folder, auditor)
        script = f"{shlex.quote(sys.executable)} -m auditor.cli check checks.toml --if-changed"
        paths = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        full = [("> /dev/full", 3)] if Path("/dev/full").exists() else []
        for ending, code in [("| true; exit ${PIPESTATUS[0]}", 1), (">&-", 1), *full]:
            command = ["bash", "-c", f"{script} {ending}"]
            assert subprocess.run(command, cwd=folder, env=paths, check=False).returncode == code
            (record,), _ = read_records(folder / "reports")
            assert record.ended is not None

    def test_prints_json_of_what_became_of_each(self, folder: Path, auditor: Auditor, command: Command) -> None:
        auditor.verdict = "relies"
        run(folder, auditor)
        ending = command("check", folder / "checks.toml", "--if-changed", "--json")
        told = json.loads(ending.out)
        assert ending.code == told["exit_code"] == 1
        assert [check["state"] for check in told["checks"]] == ["fail"] * 3
        assert {check["how"] for check in told["checks"]} == {"unchanged"}

    def test_is_quiet_about_what_is_as_it_was(self, folder: Path, auditor: Auditor, command: Command) -> None:
        auditor.verdict = "relies"
        run(folder, auditor)
        ending = command("check", folder / "checks.toml", "--if-changed", "--quiet")
        assert (ending.code, ending.out, ending.err) == (1, "", "")

    @pytest.mark.slow
    def test_that_is_killed_goes_on_with_the_audit_that_it_was_at(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = build_numpy_world(tmp_path, monkeypatch)
        world.replace('formats = ["markdown"]', 'formats = ["last:wait"]')
        (tmp_path / "last.py").write_text(WAIT)
        (tmp_path / "checks.toml").write_text('[[checks]]\nname = "mark"\n')
        command = [sys.executable, "-P", "-m", "auditor.cli", "check", "checks.toml"]
        paths = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen(command, cwd=tmp_path, env=paths, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        end = time.monotonic() + 120
        while not (tmp_path / "last.begun").exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        process.kill()
        process.communicate(timeout=60)
        (tmp_path / "last.go").touch()
        done = subprocess.run(command, cwd=tmp_path, env=paths, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stderr
        assert "the last check was cut off" in done.stderr
        (file,) = (tmp_path / "reports").glob("*/result.json")  # of the run that was begun, and is whole now
        result = load_result(file.parent)
        assert ([finding.verdict for finding in result.findings], result.exit_code) == (["relies"], 1)
        assert not [item.name for item in (tmp_path / "reports").iterdir() if item.name.startswith(".")]

    def test_really_audits_and_leaves_no_process_behind(self, world: World, command: Command) -> None:
        (world.folder / "checks.toml").write_text('[[checks]]\nname = "mark"\n[[checks]]\nname = "none"\n'
                                                  'set = { model.source = "none.keras" }\n')  # fmt: skip
        ending = command("check", world.folder / "checks.toml")
        lines = ending.out.splitlines()
        assert lines[0].startswith("mark: fail, audited: mark -> boat: relies (promotes), severity high [")
        assert lines[1].startswith("none: wrong, audited: --set: model.source: none.keras: no such file")
        assert lines[2] == "2 checks: 1 wrong, 1 fail"
        assert ending.code == 2
