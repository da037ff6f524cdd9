"""Audits that Ray really spreads: the same numbers, nothing that listens beyond this machine, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from auditor.auditing.api import audit_file
from auditor.auditing.engine.spread import PASSES_OF_A_UNIT
from auditor.auditing.resuming import KEPT
from tests.engine_world import told, write_audit
from tests.ray_processes import descendants, is_loopback, left_of, listens, name_of

pytest.importorskip("ray")

ROOT = Path(__file__).resolve().parents[1]


class Audit:
    """`auditor audit` on Ray, in a process of its own that is looked at while it runs."""

    def __init__(self, file: Path, output: Path, *settings: str, **environment: str) -> None:
        said = ["execution.engine=ray", "execution.workers=2", "execution.num_cpus=0.5", *settings]
        words = [word for setting in said for word in ("--set", setting)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "auditor.cli", "audit", str(file), "--resume", "--output", str(output), *words],
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started: set[int] = set()
        self.listened: set[str] = set()

    def look(self) -> None:
        """See who runs and where they listen now."""
        now = descendants(self.process.pid)
        self.started |= now
        self.listened |= listens(now | {self.process.pid})

    def until(self, is_so: Callable[[], Any], seconds: float = 300) -> Any:
        """Look on until something is so; what it is."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            self.look()
            if found := is_so():
                return found
            time.sleep(0.1)
        return None

    def end(self) -> tuple[int, str]:
        """Wait for it: its exit code, and what it said."""
        self.until(lambda: False)
        said, _ = self.process.communicate(timeout=300)
        return self.process.returncode, said

    def workers(self) -> list[int]:
        """Its workers that hold the model."""
        return [process for process in descendants(self.process.pid) if name_of(process).startswith("ray::Worker")]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """An audit, and what one process finds."""
    file = write_audit(tmp_path_factory.mktemp("alone"))
    folder = audit_file(file).folder
    assert folder is not None
    return file, told(folder)


def found_in(output: Path) -> Any:
    (run,) = [folder for folder in output.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    return told(run)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_of_ray_find_the_same_reach_nobody_and_leave_nothing_behind(workers, alone, tmp_path):
    file, wanted = alone
    audit = Audit(file, tmp_path, f"execution.workers={workers}")
    code, said = audit.end()
    assert code == 1, said
    assert found_in(tmp_path) == wanted
    assert [address for address in sorted(audit.listened) if not is_loopback(address)] == []
    assert left_of(audit.started) == []


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(alone, tmp_path):
    file, wanted = alone
    audit = Audit(file, tmp_path, SLOW="0.2")
    (first, *_) = audit.until(lambda: has_begun(audit, tmp_path) and audit.workers())
    os.kill(first, signal.SIGKILL)
    code, said = audit.end()
    assert code == 1, said
    assert found_in(tmp_path) == wanted
    assert left_of(audit.started) == []


@pytest.mark.slow
def test_a_worker_that_hangs_is_replaced_and_nothing_is_lost(alone, tmp_path):
    file, wanted = alone
    hung = tmp_path / "hung"
    audit = Audit(file, tmp_path / "reports", "execution.unit_minutes=0.5", HANG=str(hung))
    code, said = audit.end()
    assert code == 1, said
    assert hung.exists()
    assert found_in(tmp_path / "reports") == wanted
    assert left_of(audit.started) == []


@pytest.mark.slow
def test_whoever_asked_is_killed_and_another_goes_on_with_the_passes_that_are_kept(alone, tmp_path):
    file, wanted = alone
    audit = Audit(file, tmp_path, SLOW="0.2")
    assert audit.until(lambda: has_begun(audit, tmp_path))
    audit.process.kill()
    audit.process.wait()
    assert audit.process.stdout is not None
    audit.process.stdout.close()  # which what lingers holds open, too
    again = Audit(file, tmp_path)
    code, said = again.end()
    assert code == 1, said
    assert "going on with the audit of" in said
    result, *others = found_in(tmp_path)
    assert passes_of_verdicts(result) < passes_of_verdicts(wanted[0])
    assert (without_work(result), others) == (without_work(wanted[0]), list(wanted[1:]))
    assert left_of(again.started) == []
    assert left_of(audit.started, 240) == []  # two agents of a cluster whose head was killed wait for it for minutes


@pytest.mark.slow
def test_pictures_that_end_every_worker_are_left_out_and_said(alone, tmp_path):
    file, _ = alone
    code, said = Audit(file, tmp_path, "data.max_corrupt=0.2", POISON="41").end()
    assert code == 1, said
    result = json.loads(found_in(tmp_path)[0])
    assert [(skipped["image"], skipped["reason"]) for skipped in result["data"]["skipped"]] == [
        (f"picture-{row}", "images 41 to 42 of the sample failed 3 times: its worker was lost (its process ended)")
        for row in (40, 41)
    ]


@pytest.mark.slow
def test_a_cluster_lets_in_who_has_its_token_and_tells_others_in_a_sentence(alone, tmp_path):
    file, wanted = alone
    address = f"127.0.0.1:{free_port()}"
    with head(address):
        code, said = Audit(file, tmp_path, f"execution.address={address}", RAY_AUTH_TOKEN="b" * 64).end()
        assert code == 3
        assert error_of(said).startswith(f"--set: execution.address: got '{address}', which cannot be joined: ")
        code, said = Audit(file, tmp_path, f"execution.address={address}", RAY_AUTH_TOKEN=TOKEN).end()
        assert code == 1, said
    assert found_in(tmp_path) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["gcs_server", ""])
def test_a_head_that_is_lost_is_told_in_a_sentence_and_another_goes_on(lost, alone, tmp_path):
    file, wanted = alone
    address = f"127.0.0.1:{free_port()}"
    with head(address) as process:
        audit = Audit(file, tmp_path, f"execution.address={address}", RAY_AUTH_TOKEN=TOKEN, SLOW="0.2")
        assert audit.until(lambda: has_begun(audit, tmp_path, descendants(process.pid)))
        cluster = descendants(process.pid)
        kill(one for one in cluster if lost in name_of(one))
        begun = time.monotonic()
        code, said = audit.end()
        kill(cluster)  # agents wait for their head for minutes
    assert code == 3, said
    assert time.monotonic() - begun < 120
    assert error_of(said).startswith(f"execution: the head of the cluster at {address} was lost: ")
    assert KEPT in said
    again = Audit(file, tmp_path)
    code, said = again.end()
    assert code == 1, said
    assert "going on with the audit of" in said
    result, *others = found_in(tmp_path)
    assert (without_work(result), others) == (without_work(wanted[0]), list(wanted[1:]))
    assert left_of(audit.started) == []


@pytest.mark.slow
def test_a_worker_with_another_package_than_this_process_is_told_in_a_sentence(alone, tmp_path):
    file, _ = alone
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.metadata, sys\n"
        "known = importlib.metadata.version\n"
        "if any('default_worker' in word for word in sys.orig_argv):\n"
        "    importlib.metadata.version = lambda name: '0.1' if name == 'numpy' else known(name)\n"
    )
    code, said = Audit(file, tmp_path / "out", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}").end()
    assert code == 3, said
    wanted = f"wanted {version('numpy')} as in this process"
    assert error_of(said).startswith(f"execution: got a worker with numpy 0.1, {wanted}")


@pytest.mark.slow
def test_one_process_starts_a_cluster_after_another():
    code = """
from auditor.auditing.engine.cluster import cluster
from auditor.config.sections import ExecutionConfig

for number in range(2):
    with cluster(ExecutionConfig(engine="ray", workers=1), "here") as ray:
        print(ray.get(ray.remote(lambda: number).remote()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["0", "1"], done.stderr


TOKEN = "a" * 64


@contextmanager
def head(address: str) -> Iterator[subprocess.Popen[str]]:
    """A cluster of Ray on this machine that lets in who has the token."""
    words = ["--head", "--block", f"--port={address.rpartition(':')[2]}", "--num-cpus=2", "--node-ip-address=127.0.0.1"]
    settings = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0"}
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / "ray"), "start", *words, "--include-dashboard=false"],
        env=os.environ | settings | {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "--block" in line:  # it says that it runs for as long as this command
            break
    else:
        raise AssertionError("the head did not start")
    started = descendants(process.pid)
    try:
        yield process
    finally:
        started |= descendants(process.pid)
        process.terminate()
        process.communicate(timeout=60)
        assert left_of(started, 30) == []


def has_begun(audit: Audit, output: Path, beside: Iterable[int] = ()) -> bool:
    """Whether workers, which it has started or are among others, do units, and passes of theirs are kept."""
    kept = [int(file.stem) for file in output.glob(".*.journal/*.npz")]
    workers = audit.workers() or any(name_of(process).startswith("ray::Worker") for process in beside)
    return bool(workers) and max(kept, default=0) >= PASSES_OF_A_UNIT


def kill(processes: Iterable[int]) -> None:
    """End those of Ray's that are still there."""
    for process in processes:
        if "ray" in name_of(process):
            os.kill(process, signal.SIGKILL)


def passes_of_verdicts(result: str) -> int:
    parts = {part["part"]: part for part in json.loads(result)["provenance"]["work"]}
    return int(parts["verdicts"]["scores"]["made"])


def without_work(result: str) -> Any:
    data = json.loads(result)
    del data["provenance"]["work"]  # what was kept was not asked again
    return data


def error_of(said: str) -> str:
    """The sentence that a command ended with; nothing else may be said then, and no traceback."""
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in said
    return line.removeprefix("error: ")


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])
