"""A cluster of two nodes on this machine, a matrix of two models as one job on it, and a node that is lost meanwhile.

    python examples/cluster/cluster.py FOLDER

Copies the example into FOLDER, starts a head and a node that let in who has the token, prints what the checks will
cost, runs them, and ends the node while they run: what it did is done again on the other.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1]
PORT = 6390


def settings() -> dict[str, str]:
    """A token for who may join, and nothing that listens beyond this machine."""
    ours = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # as there, Ray then listens on the loopback alone
    }
    return os.environ | ours | {"PYTHONPATH": os.pathsep.join(filter(None, [str(EXAMPLES.parent), *sys.path]))}


@contextmanager
def node(environment: dict[str, str], *words: str) -> Iterator[subprocess.Popen[str]]:
    """A node of a cluster, for as long as the context is open."""
    ray = Path(sys.executable).with_name("ray")
    command = [str(ray), "start", "--block", "--num-cpus=1", "--node-ip-address=127.0.0.1", *words]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if "--block" in line:  # it runs, and stays for as long as this command
                break
        threading.Thread(target=run.stdout.read, daemon=True).start()
        try:
            yield run
        finally:
            run.terminate()


def main(folder: Path) -> int:
    for name in ("cluster", "planted", "clean_twin"):
        shutil.copytree(EXAMPLES / name, folder / name, dirs_exist_ok=True)
    environment, where = settings(), folder / "cluster"
    auditor = [sys.executable, "-m", "auditor.cli", "check", "checks.toml"]
    head = ["--head", f"--port={PORT}", "--include-dashboard=false"]
    with node(environment, *head), node(environment, f"--address=127.0.0.1:{PORT}") as second:
        print("# What it will cost", flush=True)
        subprocess.run([*auditor, "--plan"], cwd=where, env=environment, check=True)
        print("# Both checks, and a node is lost while they run", flush=True)
        checks = subprocess.Popen(auditor, cwd=where, env=environment)
        while checks.poll() is None and not list((where / "reports").glob(".*.journal/0*.npz")):
            time.sleep(0.2)
        second.terminate()
        checks.wait()
    print(f"exit code {checks.returncode}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
