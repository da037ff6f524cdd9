"""Watches a command from outside: what it opens, writes, starts and calls, and what it takes (Linux, with `strace`)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

HOOK = """
import os, sys
_file = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
_told = ("socket.connect", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "pickle.find_class")
def _hook(event, arguments):
    if event in _told or (event == "import" and arguments[0] == "sprung_module"):
        try:
            os.write(_file, (event + " " + repr(arguments)[:300] + chr(10)).encode("utf-8", "replace"))
        except OSError:
            pass  # where no file may be written, strace tells
sys.addaudithook(_hook)
"""

MEASURE = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, timeout=300, stdin=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
told = [part.decode("utf-8", "replace") for part in (done.stdout, done.stderr)]
print(json.dumps([done.returncode, *told, used.ru_maxrss * 1024, used.ru_utime + used.ru_stime]))
"""


@dataclass(frozen=True)
class Watched:
    """How a command ended, and what it did."""

    code: int
    out: str
    err: str
    seconds: float
    processor: float
    """Seconds, too, of all its processes: on a machine that does much else they tell more."""
    memory: int
    """Bytes of its largest process."""
    opened: frozenset[str]
    written: frozenset[str]
    """Files that were made, opened to be written, moved or removed ..."""
    called: frozenset[str]
    """... addresses of the network, programs, and whatever the audit hook of Python told."""


def watch(words: Sequence[str], folder: Path) -> Watched:
    """Run the command line in a process of its own, in a folder, and watch all its processes."""
    hooks, log, trace = folder / "hooks", folder / "hooks.log", folder / "strace.log"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(HOOK.format(log=str(log)))
    paths = [str(hooks), str(ROOT), os.environ.get("PYTHONPATH", "")]
    fixed = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONDONTWRITEBYTECODE": "1",
             "TF_CPP_MIN_LOG_LEVEL": "3", "MPLCONFIGDIR": str(folder / "matplotlib"), "HOME": str(folder)}  # fmt: skip
    strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-s", "500", "-e", f"trace={','.join(_CALLS)}", "-o", str(trace)]
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *strace, sys.executable, "-m", "auditor.cli", *words],
        capture_output=True, cwd=folder, env=os.environ | fixed, check=True, timeout=400,
    )  # fmt: skip
    seconds = time.monotonic() - begun
    code, out, err, memory, processor = json.loads(done.stdout)
    opened, written, called = set(), set(), set()
    for name, arguments in _calls(trace.read_text(errors="replace")):
        files = [os.path.normpath(os.path.join(folder, file)) for file in re.findall(r'"((?:[^"\\]|\\.)*)"', arguments)]
        if name == "connect":
            if "AF_INET" in arguments:
                called.add(f"connect {arguments}")
        elif name == "execve":
            called.add(f"execve {os.path.basename(files[0])}")
        elif name.startswith("open") and not re.search("O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", arguments):
            opened.update(files)
        else:
            written.update(files)
    called |= set(log.read_text().splitlines()) if log.exists() else set()
    kept = (str(hooks), str(log), str(folder / "matplotlib"), "/dev/", "/proc/")
    written = {file for file in written if not file.startswith(kept)}
    return Watched(code, out, err, seconds, processor, memory, frozenset(opened), frozenset(written), frozenset(called))


def longer(watched: Watched, honest: Watched) -> float:
    """Seconds that a command took more than the same with an honest file, by the clock or by the processor."""
    return min(watched.seconds - honest.seconds, watched.processor - honest.processor)


def beyond(watched: Watched, honest: Watched) -> list[str]:
    """What a command wrote and called that the same with an honest file did not."""
    wrote = sorted(set(map(_plain, watched.written)) - set(map(_plain, honest.written)))
    called = sorted(set(map(_plain, watched.called)) - set(map(_plain, honest.called)))
    return [*(f"wrote {file}" for file in wrote), *(f"called {what}" for what in called)]


def _plain(text: str) -> str:
    """A path or a call without what differs from process to process: the folder of a test, numbers, random names."""
    text = re.sub(r"\S*/(?=world/|\.keras)", "", text)
    text = re.sub(r"(?<=/tmp/)\w{8,}|(?<=generated_file)\w{8}", "NAME", text)
    return re.sub(r"\d+", "N", text)[:160]


def _calls(trace: str) -> Iterator[tuple[str, str]]:
    """Calls of the system that did not fail, with their arguments."""
    for line in trace.splitlines():
        found = re.match(r"(?:\d+ +)?(\w+)\((.*?)(?:\) += (-?\d+|\?).*| <unfinished \.\.\.>)$", line)
        if found and (
            found[1] == "connect" or not (found[3] or "").startswith("-")
        ):  # one in vain is tried all the same
            yield found[1], found[2]


_CALLS = (
    "open", "openat", "openat2", "creat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat",
    "symlink", "symlinkat", "link", "linkat", "truncate", "connect", "execve", "chmod", "fchmodat",
)  # fmt: skip
