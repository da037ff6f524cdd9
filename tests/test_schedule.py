"""Schedules: due when the line of cron says, whatever clocks do; outlived by nothing; and told to other programs."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

import jsonschema
import pytest
from croniter import croniter
from ruamel.yaml import YAML

from auditor.auditing.checks.child import Ending
from auditor.auditing.schedule.emit import emit, to_calendar
from auditor.auditing.schedule.run import Job, run_jobs
from auditor.auditing.schedule.times import Times, read_times
from auditor.config.checks import ChecksConfig, read_checks
from auditor.errors import ConfigError
from auditor.run.checked import ChecksRecord, read_record, record_file, write_record
from tests.small_world import Command

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
BERLIN = "Europe/Berlin"


def times(cron: str, timezone: str = "UTC", jitter: float = 0.0, seed: str = "") -> Times:
    return Times(cron, timezone, jitter, seed)


def due(each: Times, after: datetime, count: int) -> list[str]:
    """The next times as they are written on the wall."""
    found = []
    for _ in range(count):
        after = each.next(after)
        found.append(after.astimezone(ZoneInfo(each.timezone)).strftime("%d %H:%M%z"))
    return found


class TestTimes:
    @pytest.mark.parametrize("cron", ["*/7 * * * *", "0 3 * * 1", "30 4 1,15 * *", "0 0 29 2 *", "5 6 13 * fri"])
    def test_fit_the_line_and_come_one_after_the_other(self, cron: str) -> None:
        at = NEW_YEAR
        for _ in range(20):
            following = times(cron).next(at)
            assert following > at
            assert croniter.match(cron, following)
            at = following

    def test_in_an_hour_that_clocks_leave_out_come_when_they_go_on(self) -> None:
        evening = datetime(2026, 3, 28, 12, tzinfo=UTC)
        assert due(times("30 2 * * *", BERLIN), evening, 2) == ["29 03:00+0200", "30 02:30+0200"]
        assert due(times("0 3 * * *", BERLIN), evening, 2) == ["29 03:00+0200", "30 03:00+0200"]
        night = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)
        assert due(times("0 * * * *", BERLIN), night, 2) == ["29 01:00+0100", "29 03:00+0200"]

    def test_in_an_hour_that_clocks_repeat_come_once_unless_they_come_every_hour(self) -> None:
        evening = datetime(2026, 10, 24, 12, tzinfo=UTC)
        assert due(times("30 2 * * *", BERLIN), evening, 2) == ["25 02:30+0200", "26 02:30+0100"]
        assert due(times("30 1-3 * * *", BERLIN), evening, 3) == ["25 01:30+0200", "25 02:30+0200", "25 03:30+0100"]
        night = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
        assert due(times("0 * * * *", BERLIN), night, 3) == ["25 02:00+0200", "25 02:00+0100", "25 03:00+0100"]

    def test_in_utc_know_no_daylight_saving(self) -> None:
        for month in (3, 10):
            start = datetime(2026, month, 20, tzinfo=UTC)
            found = [times("30 2 * * *").next(start + timedelta(days=day)) for day in range(12)]
            assert {(each.hour, each.minute) for each in found} == {(2, 30)}

    def test_are_put_off_by_less_than_the_jitter_and_each_time_by_as_much(self) -> None:
        mine, yours = times("0 3 * * *", jitter=600, seed="mine"), times("0 3 * * *", jitter=600, seed="yours")
        days = [NEW_YEAR + timedelta(days=day) for day in range(300)]
        delays = [mine.delay(day) for day in days]
        assert delays == [mine.delay(day) for day in days]
        assert all(0 <= delay < 600 for delay in delays)
        assert min(delays) < 60 < 540 < max(delays)
        assert sum(delay == yours.delay(day) for delay, day in zip(delays, days, strict=True)) == 0

    @pytest.mark.parametrize(
        ("cron", "told"),
        [
            ("0 0 30 2 *", "got '0 0 30 2 *', which is never due; wanted a day that is in the calendar"),
            ("0 0 31 4,6 *", "got '0 0 31 4,6 *', which is never due"),
            ("0 3 * *", "got '0 3 * *', which has 4 fields; wanted 5: minute, hour"),
            ("0 0 3 * * 1", "got '0 0 3 * * 1', which has 6 fields"),
            ("60 3 * * *", "out of range"),
            ("@daily", "got '@daily', which has 1 fields"),
            ("0 3 l * *", "whose day of the month is 'l'; wanted numbers, ranges"),
            ("0 3 * * 1#2", "whose day of the week is '1#2'; wanted numbers, ranges"),
            ("H 3 * * *", "whose minute is 'H'; wanted numbers, ranges"),
            ("5/15 * * * *", "whose minute is '5/15'; wanted numbers, ranges"),
            ("0 22-2 * * *", "whose hour is '22-2'; wanted the lower one first"),
            ("0 3 */2 * 1", "with a step in one of two kinds of day"),
            ("", 'got "", wanted some text'),
        ],
    )
    def test_that_are_wrong_are_one_sentence_with_its_place(self, tmp_path: Path, cron: str, told: str) -> None:
        with pytest.raises(ConfigError) as fault:
            read_times(write_checks(tmp_path, cron))
        text = str(fault.value)
        assert text.startswith(f"{tmp_path / 'checks.toml'}:4:1: schedule.cron: ")
        assert told in text
        assert "\n" not in text

    def test_are_asked_for_where_there_are_none(self, tmp_path: Path) -> None:
        config = write_checks(tmp_path, "0 3 * * *")
        (tmp_path / "checks.toml").write_text('[[checks]]\nname = "a"\n')
        with pytest.raises(ConfigError, match=r"got no \[schedule\], wanted one"):
            read_times(read_checks(config.file))


def write_checks(folder: Path, cron: str, more: str = "") -> ChecksConfig:
    (folder / "audit.toml").write_text('[model]\nsource = "m"\n[data]\nsource = "d"\n')
    (folder / "checks.toml").write_text(
        f'[[checks]]\nname = "a"\n[schedule]\ncron = {json.dumps(cron)}\n{more}', encoding="utf-8"
    )
    return read_checks(folder / "checks.toml")


class MovedClock:
    """A clock that goes only while somebody waits, and is set by tests; it ends whatever waits too long."""

    def __init__(self, start: datetime, days: float) -> None:
        self.shown, self.left = start, timedelta(days=days)
        self.settings: list[tuple[datetime, datetime]] = []
        """When it shows the first, it is set to the second, once."""

    def now(self) -> datetime:
        return self.shown

    def wait(self, seconds: float) -> None:
        assert 0 < seconds <= 30
        self.let_pass(timedelta(seconds=seconds))
        for setting in [each for each in self.settings if self.shown >= each[0]]:
            self.settings.remove(setting)
            self.shown = setting[1]

    def let_pass(self, span: timedelta) -> None:
        self.left -= span
        if self.left <= timedelta():
            raise KeyboardInterrupt
        self.shown += span


class Runner:
    """Jobs, when each began, and what was said."""

    def __init__(self, clock: MovedClock) -> None:
        self.clock = clock
        self.begun: dict[str, list[datetime]] = {}
        self.said: list[str] = []

    def job(
        self,
        name: str,
        each: Times,
        takes: timedelta = timedelta(),
        last: datetime | None = None,
        start: Callable[[], Ending] = lambda: Ending(0, "", ""),
    ) -> Job:
        def begin() -> Ending:
            self.begun.setdefault(name, []).append(self.clock.now())
            self.clock.let_pass(takes)
            return start()

        return Job(name, each, begin, last)

    def run(self, *jobs: Job) -> Runner:
        with pytest.raises(KeyboardInterrupt):
            run_jobs(jobs, self.clock, self.said.append)
        return self


class TestRunning:
    def test_begins_each_time_that_is_due_once_and_on_time(self) -> None:
        runner = Runner(MovedClock(NEW_YEAR, 3.01))
        runner.run(runner.job("a", times("0 3,15 * * *")))
        assert runner.begun["a"] == [NEW_YEAR + timedelta(hours=hours) for hours in (3, 15, 27, 39, 51, 63)]
        assert runner.said[0] == "a: next due 2026-01-01 03:00:00 UTC"

    def test_makes_up_once_for_all_that_was_due_while_something_ran(self) -> None:
        runner = Runner(MovedClock(NEW_YEAR, 0.5))
        runner.run(runner.job("a", times("0 * * * *"), takes=timedelta(hours=2, minutes=30)))
        hours = [(each - NEW_YEAR) / timedelta(hours=1) for each in runner.begun["a"]]
        assert hours == [1, 4, 7, 10]  # what took until half past three is due again at four
        assert not any("makes up" in line for line in runner.said)

    def test_makes_up_once_for_all_that_was_due_while_the_machine_slept(self) -> None:
        clock = MovedClock(NEW_YEAR, 0.3)
        clock.settings = [(NEW_YEAR + timedelta(hours=2), NEW_YEAR + timedelta(days=30, minutes=30))]
        runner = Runner(clock)
        runner.run(runner.job("a", times("0 3 * * *")))
        assert runner.begun["a"] == [NEW_YEAR + timedelta(days=30, minutes=30), NEW_YEAR + timedelta(days=30, hours=3)]
        assert any("and 29 more since, which this run makes up for" in line for line in runner.said)

    def test_finds_anew_what_is_due_where_the_clock_is_set_back(self) -> None:
        clock = MovedClock(NEW_YEAR + timedelta(days=10, hours=2), 1)
        clock.settings = [(NEW_YEAR + timedelta(days=10, hours=2, minutes=30), NEW_YEAR + timedelta(hours=2))]
        runner = Runner(clock)
        runner.run(runner.job("a", times("0 3 * * *")))
        assert runner.begun["a"] == [NEW_YEAR + timedelta(hours=3)]
        assert any("the clock was set back by 10 days" in line for line in runner.said)

    def test_loses_nothing_that_was_due_where_the_clock_is_set_back_before_it_began(self) -> None:
        each = times("0 3 * * *", jitter=3600, seed="x")
        begins = NEW_YEAR + timedelta(hours=3, seconds=each.delay(NEW_YEAR + timedelta(hours=3)))
        clock = MovedClock(NEW_YEAR + timedelta(hours=2), 0.2)
        clock.settings = [(begins - timedelta(minutes=1), begins - timedelta(minutes=5))]
        assert begins - timedelta(minutes=5) > NEW_YEAR + timedelta(hours=3)
        runner = Runner(clock)
        runner.run(runner.job("a", each))
        assert runner.begun["a"] == [begins]

    def test_repeats_nothing_where_the_clock_goes_back_a_little(self) -> None:
        clock = MovedClock(NEW_YEAR + timedelta(hours=2), 0.2)
        clock.settings = [
            (NEW_YEAR + timedelta(hours=3, seconds=1), NEW_YEAR + timedelta(hours=2, minutes=59, seconds=50))
        ]
        runner = Runner(clock)
        runner.run(runner.job("a", times("0 3 * * *")))
        assert len(runner.begun["a"]) == 1

    def test_makes_up_at_once_for_what_was_due_while_nothing_ran(self) -> None:
        runner = Runner(MovedClock(NEW_YEAR + timedelta(hours=12), 0.1))
        runner.run(
            runner.job("missed", times("0 3 * * *"), last=NEW_YEAR - timedelta(days=2)),
            runner.job("done", times("0 3 * * *"), last=NEW_YEAR + timedelta(hours=3, minutes=1)),
            runner.job("new", times("0 3 * * *")),
            runner.job("of the future", times("0 3 * * *"), last=NEW_YEAR + timedelta(days=400)),
        )
        assert runner.begun == {"missed": [NEW_YEAR + timedelta(hours=12)]}

    def test_outlives_what_crashes_and_what_cannot_even_begin(self) -> None:
        def refuse() -> Ending:
            raise OSError(11, "Resource temporarily unavailable")

        runner = Runner(MovedClock(NEW_YEAR, 2.5))
        runner.run(
            runner.job("crashes", times("0 3 * * *"), start=lambda: Ending(-11, "", "")),
            runner.job("cannot begin", times("0 3 * * *"), start=refuse),
            runner.job("is late", times("0 3 * * *"), start=lambda: Ending(-15, "", "", is_late=True)),
            runner.job("is well", times("0 3 * * *")),
        )
        assert {name: len(begun) for name, begun in runner.begun.items()} == dict.fromkeys(runner.begun, 3)
        assert len(runner.begun) == 4
        said = "\n".join(runner.said)
        for told in ("code -11", "it could not be run: Resource temporarily unavailable", "its time was up", "code 0"):
            assert f"ended: {told}; next due" in said

    def test_puts_off_each_run_by_its_jitter(self) -> None:
        each = times("0 3 * * *", jitter=3600, seed="x")
        runner = Runner(MovedClock(NEW_YEAR, 3))
        runner.run(runner.job("a", each))
        assert len(runner.begun["a"]) == 3
        for day, begun in enumerate(runner.begun["a"]):
            planned = NEW_YEAR + timedelta(days=day, hours=3)
            assert abs(begun - planned - timedelta(seconds=each.delay(planned))) < timedelta(seconds=1)


LINES = [
    "0 3 * * 1",
    "*/15 * * * *",
    "30 4 1,15 * *",
    "0 0 29 2 *",
    "5 6 13 * fri",
    "0 9-17/2 * jan-mar mon-fri",
    "0 3 * * 7",
]


def require_systemd() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("a system without systemd")


class TestEmitting:
    @pytest.mark.parametrize("cron", LINES)
    def test_a_line_for_cron_is_the_schedules_own_and_runs_the_checks(self, tmp_path: Path, cron: str) -> None:
        folder = tmp_path / "it's 100%"
        folder.mkdir()
        config = write_checks(folder, cron)
        lines = emit("cron", config, read_times(config))["crontab"].splitlines()
        (line,) = [each for each in lines if not each.startswith("#") and "CRON_TZ" not in each]
        *fields, command = line.split(maxsplit=5)
        assert croniter.is_valid(" ".join(fields), strict=True)
        assert fields == cron.split()
        assert "%" not in command.replace(r"\%", "")
        shown = subprocess.run(
            ["sh", "-c", command.replace(r"\%", "%").replace("&& ", "&& echo ", 1) + "; pwd"],
            capture_output=True, text=True, check=True,
        ).stdout.splitlines()  # fmt: skip
        assert shown[0].endswith("check checks.toml --if-changed --quiet")
        assert shown[1] == str(folder)

    @pytest.mark.parametrize("zone", ["UTC", BERLIN, "America/New_York"])
    @pytest.mark.parametrize("cron", LINES)
    def test_systemd_is_due_when_cron_is(self, cron: str, zone: str) -> None:
        require_systemd()
        each = times(cron, zone)
        after = datetime(2026, 5, 4, tzinfo=UTC)
        found = []
        for line in to_calendar(each):
            base = ["--base-time", "2026-05-04 00:00:00 UTC", "--iterations", "6"]
            command, utc = ["systemd-analyze", "calendar", *base, line], os.environ | {"TZ": "UTC"}
            out = subprocess.run(command, capture_output=True, text=True, check=True, env=utc).stdout
            found += re.findall(r"(?:elapse|#\d+): \w+ (\d{4}-\d\d-\d\d \d\d:\d\d):00 UTC", out)
        wanted = []
        for _ in range(6):
            after = each.next(after)
            wanted.append(after.strftime("%Y-%m-%d %H:%M"))
        assert sorted(set(found))[:6] == wanted

    def test_systemd_takes_the_units(self, tmp_path: Path) -> None:
        require_systemd()
        folder = tmp_path / "my $checks"
        folder.mkdir()
        config = write_checks(folder, "0 3 1 * 1", 'timezone = "Europe/Berlin"\njitter = "10m"\n')
        units = emit("systemd", config, read_times(config))
        assert sorted(units) == ["auditor-checks.service", "auditor-checks.timer"]
        for name, text in units.items():
            (tmp_path / name).write_text(text)
        command = ["systemd-analyze", "verify", *(str(tmp_path / name) for name in units)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        (tmp_path / "auditor-checks.timer").write_text(units["auditor-checks.timer"].replace("Mon", "Mooon"))
        assert subprocess.run(command, capture_output=True, text=True, check=False).stderr  # it would be noticed

    @pytest.mark.parametrize("zone", ["UTC", BERLIN])
    def test_github_takes_the_workflow(self, tmp_path: Path, zone: str) -> None:
        config = write_checks(tmp_path, "0 3 * * 1", f'timezone = "{zone}"\n')
        text = emit("github", config, read_times(config))["auditor.yml"]
        workflow = YAML(typ="safe").load(text)
        schema = github_schema("workflows")
        jsonschema.validate(workflow, schema)
        (entry,) = workflow["on"]["schedule"]
        assert entry == {"cron": "0 3 * * 1"} | ({} if zone == "UTC" else {"timezone": zone})
        assert any("auditor check checks.toml" in step.get("run", "") for step in workflow["jobs"]["check"]["steps"])
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(workflow | {"jobs": {"check": {"steps": []}}}, schema)

    def test_github_finds_the_checks_from_the_root_of_the_repository(self, tmp_path: Path) -> None:
        (tmp_path / ".git").mkdir()
        folder = tmp_path / "my models"
        folder.mkdir()
        config = write_checks(folder, "0 3 * * 1")
        workflow = YAML(typ="safe").load(emit("github", config, read_times(config))["auditor.yml"])
        steps = workflow["jobs"]["check"]["steps"]
        (check,) = [step["run"] for step in steps if "auditor check" in step.get("run", "")]
        assert check.startswith("auditor check 'my models/checks.toml' ")
        assert {step["with"]["path"] for step in steps if "cache" in step.get("uses", "")} == {"my models/reports"}
        (folder / "checks.toml").write_text(f'reports = "../../runs"\n{(folder / "checks.toml").read_text()}')
        with pytest.raises(
            ConfigError, match=r"checks\.toml:1:1: reports: got '\.\./\.\./runs', wanted a folder in the"
        ):
            emit("github", read_checks(folder / "checks.toml"), read_times(config))

    @pytest.mark.parametrize("cron", ["* * * * *", "0,1 3 * * *"])
    def test_github_runs_nothing_every_minute(self, tmp_path: Path, cron: str) -> None:
        config = write_checks(tmp_path, cron)
        with pytest.raises(ConfigError, match=r"checks\.toml:4:1: schedule\.cron: .* wanted 5 minutes or more"):
            emit("github", config, read_times(config))

    @pytest.mark.parametrize("target", ["cron", "systemd", "github"])
    def test_is_printed_or_written_and_nothing_else_is_touched(
        self, tmp_path: Path, command: Command, target: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))  # there is no crontab and no systemctl to be called
        config = write_checks(tmp_path, "0 3 * * 1")
        printed = command("schedule", "emit", config.file, "--target", target)
        assert printed.code == 0
        before = set(tmp_path.iterdir())
        written = command("schedule", "emit", config.file, "--target", target, "--output", tmp_path)
        new = sorted(set(tmp_path.iterdir()) - before)
        assert written.code == 0
        assert "\n".join(file.read_text() for file in new) == printed.out


def github_schema(what: str) -> dict[str, object]:
    """The schema of GitHub's workflows or actions, as check-jsonschema carries it from SchemaStore (Apache 2.0)."""
    folder = files("check_jsonschema") / "builtin_schemas" / "vendor"
    return json.loads((folder / f"github-{what}.json").read_text(encoding="utf-8"))


SLEEP = "import pathlib, time\npathlib.Path(__file__).with_suffix('.begun').touch()\ntime.sleep(600)\n"


class TestASignal:
    def begin(self, folder: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "auditor.cli", "schedule", "run", str(folder / "checks.toml")]
        paths = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUNBUFFERED": "1"}
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=paths,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # jobs in the background ignore it
        )  # fmt: skip

    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
    def test_while_it_waits_ends_it(self, tmp_path: Path, how: int) -> None:
        write_checks(tmp_path, "0 3 1 1 *")
        process = self.begin(tmp_path)
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(0.2)
        process.send_signal(how)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        assert re.match(r"\S+checks\.toml: next due 20\d\d-01-01 03:00:00 UTC", first)
        assert out == "ended while it waited\n"

    def begin_an_audit(self, folder: Path) -> subprocess.Popen[str]:
        """A schedule whose checks are overdue and have begun an audit that never ends."""
        config = write_checks(folder, "0 3 * * *")
        (folder / "mine.py").write_text(SLEEP)
        (folder / "audit.toml").write_text('[model]\nsource = "m"\n[data]\nsource = "d"\n'
                                           '[report]\nformats = ["mine:never"]\n')  # fmt: skip
        record = record_file(folder / "reports", config.file)
        write_record(record, ChecksRecord("checks.toml", NEW_YEAR.isoformat(), NEW_YEAR.isoformat(), []))
        process = self.begin(folder)
        wait_for((folder / "mine.begun").exists)
        assert len(find_processes(folder)) == 3  # the schedule, the checks, an audit
        return process

    def test_that_kills_it_leaves_nothing_that_runs_on_and_holds_nobody_off(self, tmp_path: Path) -> None:
        process = self.begin_an_audit(tmp_path)
        process.kill()
        process.communicate(timeout=60)
        if sys.platform.startswith("linux"):
            wait_for(lambda: not find_processes(tmp_path))
        else:
            for left in find_processes(tmp_path):
                os.kill(left, signal.SIGKILL)
        (tmp_path / "mine.py").write_text("raise ValueError('not today')\n")
        done = subprocess.run(
            [sys.executable, "-P", "-m", "auditor.cli", "check", "checks.toml"], cwd=tmp_path, capture_output=True,
            text=True, check=False, env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        assert done.returncode == 2
        assert "not today" in done.stdout

    def test_is_waited_for_where_what_is_printed_cannot_be_kept(self, tmp_path: Path) -> None:
        if not Path("/dev/full").exists():
            pytest.skip("a system without /dev/full")
        write_checks(tmp_path, "0 3 1 1 *")
        command = f"{shlex.quote(sys.executable)} -m auditor.cli schedule run checks.toml > /dev/full"
        paths = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen(["sh", "-c", f"exec {command}"], cwd=tmp_path, env=paths, stderr=subprocess.PIPE)
        wait_for(lambda: rests(process.pid))
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 3
        assert b"not all could be printed" in err

    def test_while_checks_run_ends_them_and_says_what_is_kept(self, tmp_path: Path) -> None:
        process = self.begin_an_audit(tmp_path)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 3, err
        told = "the checks that were done are kept, and the next run goes on"
        assert out.splitlines()[-1] == f"ended while {tmp_path / 'checks.toml'} ran: {told}"
        assert "error: interrupted: 0 of 1 checks are done and kept" in err
        assert find_processes(tmp_path) == []
        kept = read_record(record_file(tmp_path / "reports", tmp_path / "checks.toml"))
        assert kept is not None
        assert kept.ended is None


def wait_for(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def rests(process: int) -> bool:
    """Whether a process waits for a second, and does something of its own about SIGTERM."""
    for _ in range(20):
        text = Path(f"/proc/{process}/status").read_text()
        caught = re.search(r"^SigCgt:\s*(\w+)", text, re.MULTILINE)
        if caught is None or not int(caught[1], 16) >> (signal.SIGTERM - 1) & 1 or "\nState:\tS" not in text:
            return False
        time.sleep(0.05)
    return True


def find_processes(folder: Path) -> list[int]:
    """The processes of this command line that work in a folder or on it."""
    if not Path("/proc/self").exists():
        pytest.skip("a system that does not tell of processes in /proc")
    found = []
    for item in Path("/proc").iterdir():
        if item.name.isdigit():
            try:
                words, at = (item / "cmdline").read_bytes(), (item / "cwd").readlink()
            except OSError:
                continue
            if b"auditor.cli" in words and (at == folder or bytes(folder) in words):
                found.append(int(item.name))
    return found
