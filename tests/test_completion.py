"""Shells complete the command line: what the documentation says to put into their start-up files works in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

COMPLETE = {
    "bash": 'COMP_WORDS=(auditor sched); COMP_CWORD=1; _auditor_completion auditor; echo "${COMPREPLY[@]}"',
    "zsh": "compdef() { :; }; compstate=(); words=(auditor sched); CURRENT=2; "
           "_describe() { shift 2; echo ${(P)1}; }; compadd() { echo ${@[-1]}; }; _auditor_completion",
    "fish": "complete --do-complete 'auditor sched'",
}  # fmt: skip
"""What asks a shell how `auditor sched` may go on, and prints the answer."""


def documented(shell: str) -> str:
    """The line that the documentation gives for a shell."""
    text = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if f"{shell}_source auditor" in line]
    return line.partition("#")[0].strip()


@pytest.mark.parametrize("shell", COMPLETE)
def test_the_documented_line_makes_the_shell_complete(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"a system without {shell}")
    command = tmp_path / "auditor"
    command.write_text(f"#!{sys.executable}\nfrom auditor.cli import main\nmain()\n")
    command.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), *sys.path])),
    }  # fmt: skip
    prepare = "autoload -Uz compinit; compinit -u; " if shell == "zsh" else ""
    script = f"{prepare}{documented(shell)}\n{COMPLETE[shell]}"
    done = subprocess.run([shell, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert "schedule" in done.stdout, done.stderr
    assert "defect" not in done.stderr
