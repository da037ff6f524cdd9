"""What reading and drawing a run may take."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from auditor.errors import ReportError
from auditor.run import limits
from auditor.run.limits import limited, refuse_odd
from tests.dying import apart


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit needs Linux")
def test_more_memory_than_the_limit_is_refused_and_the_limit_goes(tmp_path: Path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(ReportError, match="takes more than 768 MiB of memory; it is damaged, or"), limited(tmp_path):
        bytearray(2**30)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    with limited(tmp_path):
        bytearray(2**28)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit needs Linux")
def test_what_lies_on_the_disk_may_take_more(tmp_path: Path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(os.urandom(2**26))
    with limited(tmp_path):
        bytearray(2**30)
    (tmp_path / "pictures" / "a.png").unlink()
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ReportError, match="memory"), limited(tmp_path):
        bytearray(2**30)


def test_what_does_not_end_is_ended(tmp_path: Path):
    apart(end_a_loop, tmp_path)  # a limit of the processor's time is the whole process's, with all threads of others


def end_a_loop(folder: str) -> None:
    limits.LEAST_SECONDS = 0.05

    def loop() -> None:
        while True:
            sum(range(10_000))

    with pytest.raises(ReportError, match="takes more than 0 seconds of the processor"), limited(Path(folder)):
        loop()
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)


def test_it_is_told_whatever_becomes_of_it_on_its_way(tmp_path: Path):
    apart(end_what_catches, tmp_path)


def end_what_catches(folder: str) -> None:
    limits.LEAST_SECONDS = 0.05

    def loop() -> None:
        try:
            while True:
                sum(range(10_000))
        except ReportError:
            raise TypeError("no line has this number") from None

    with pytest.raises(ReportError, match="takes more than 0 seconds of the processor"), limited(Path(folder)):
        loop()


def test_a_server_and_another_thread_have_no_limit_on_time(tmp_path: Path):
    with limited(tmp_path, is_endless=True):
        assert signal.getitimer(signal.ITIMER_PROF)[0] == 0
    seen = []

    def work() -> None:
        with limited(tmp_path):
            seen.append(signal.getitimer(signal.ITIMER_PROF)[0])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [0]


def test_a_pipe_is_refused_and_what_is_not_there_is_left_to_others(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ReportError, match="pipe: a pipe or a device; wanted a file"):
        refuse_odd(tmp_path / "pipe")
    refuse_odd(tmp_path / "nothing")
    refuse_odd(tmp_path / "pipe" / "nothing")
