"""An audit whose model, data and runs lie on S3: a server of this machine, in a process and an environment of its own.

    python -m pytest -m slow tests/test_s3.py

The environment is made once, beside the cache of pytest; AUDITOR_S3_ENVIRONMENT names one that is there already.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engine_world import told as told_of_ray
from tests.small_audits import TIMES
from tests.small_world import World
from tests.test_stored_audits import draw_pictures

pytestmark = pytest.mark.slow

PACKAGES = ("s3fs==2026.9.0", "moto[server]==5.2.5")

ROOT = Path(__file__).resolve().parents[1]

SECRET = "a-key-that-no-text-may-hold"

SERVER = """
import os, random, sys
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple

moto, draw = DomainDispatcherApplication(create_backend_app), random.Random(0)


def serve(environ, start):
    if environ["REQUEST_METHOD"] == "GET" and draw.random() < float(open(sys.argv[1]).read()):
        with open(sys.argv[2], "ab") as file:
            file.write(b"x")
        start("500 Internal Server Error", [("Content-Length", "0")])
        return [b""]
    return moto(environ, start)


run_simple("127.0.0.1", 0, serve, threaded=True, request_handler=MotoRequestHandler)
"""
"""Keeps buckets, and answers the share of what is asked for that a file names with an error, which it counts."""

COMMAND = "import sys; sys.path.append(sys.argv.pop(1)); from auditor.cli import main; main()"
"""The command line, with the packages of the environment after those of this one."""


@dataclass(frozen=True)
class S3:
    """A server that keeps buckets, and what reaches it."""

    packages: str
    variables: dict[str, str]
    share: Path
    """What stands in it is the share of all reads that fail."""
    lost: Path
    """It has a byte for each that did."""

    def run(self, *words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the command line against it."""
        command = [sys.executable, "-c", COMMAND, self.packages, *map(str, words)]
        return subprocess.run(
            command, capture_output=True, text=True, env=os.environ | self.variables | variables, check=False
        )

    def do(self, code: str, *words: str | Path, **variables: str) -> str:
        """Run some lines of Python with the bucket's file system as `s3`; gives what they print."""
        begun = "import sys; sys.path.append(sys.argv.pop(1)); import s3fs; s3 = s3fs.S3FileSystem()\n"
        command = [sys.executable, "-c", begun + code, self.packages, *map(str, words)]
        return subprocess.run(
            command, capture_output=True, text=True, env=os.environ | self.variables | variables, check=True
        ).stdout


@pytest.fixture(scope="module")
def environment(pytestconfig: pytest.Config) -> Path:
    """An environment with the server and the client; the test is skipped where none can be made."""
    named = os.environ.get("AUDITOR_S3_ENVIRONMENT")
    if named:
        return Path(named)
    folder = Path(pytestconfig.cache.mkdir("s3-environment"))
    python = folder / "bin" / "python"
    try:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True, text=True)
        install = [str(python), "-m", "pip", "install", "--quiet", *PACKAGES]
        subprocess.run(install, check=True, capture_output=True, text=True, timeout=600)
    except (subprocess.SubprocessError, OSError) as fault:
        lines = str(getattr(fault, "stderr", "") or fault).strip().splitlines()
        pytest.skip(f"an environment with {', '.join(PACKAGES)} cannot be made: {lines[-1] if lines else fault}")
    return folder


@pytest.fixture(scope="module")
def s3(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    folder = tmp_path_factory.mktemp("s3")
    log, share, lost = (folder / name for name in ("log", "share", "lost"))
    share.write_text("0")
    python = str(environment / "bin" / "python")
    with log.open("w") as written:
        server = subprocess.Popen([python, "-c", SERVER, str(share), str(lost)], stderr=written)
        try:
            found = None
            for _ in range(300):
                found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
                if found or server.poll() is not None:
                    break
                time.sleep(0.1)
            assert found, log.read_text()
            packages = sysconfig.get_path("purelib", vars={"base": str(environment)})
            keys = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1"}
            keys |= {"AWS_ENDPOINT_URL": found[0], "XDG_CACHE_HOME": str(folder / "cache")}
            yield S3(packages, keys, share, lost)
        finally:
            server.kill()
            server.wait()


@pytest.fixture
def bucket(s3: S3, world: World) -> str:
    """A bucket with all that an audit reads."""
    name = f"hospital-{world.folder.name.replace('_', '-')[-40:]}".lower().strip("-")
    draw_pictures(world.folder)
    s3.do("s3.mkdir(sys.argv[1]); s3.put(sys.argv[2], sys.argv[3], recursive=True)", name, world.folder, f"{name}/in")
    inside = s3.do("print(*s3.ls(sys.argv[1]))", f"{name}/in")
    assert "model.keras" in inside, inside
    return f"s3://{name}"


def told(text: str, *sources: tuple[str, str]) -> str:
    """What a `result.json` says, but for times, and with each source by another name."""
    data = json.loads(text)
    for name in TIMES:
        del data["provenance"][name]
    text = json.dumps(data)
    for source, name in sources:
        text = text.replace(json.dumps(source), json.dumps(name))
    return text


def no_secret_in(s3: S3, *texts: str) -> None:
    assert not any(SECRET in text for text in texts)


@pytest.mark.parametrize("source", ["images.csv", "pictures"])
def test_an_audit_from_and_to_a_bucket_says_what_one_of_the_disk_says(
    source: str, s3: S3, bucket: str, world: World
) -> None:
    world.replace('"images.npz"', f'"{source}"')
    here = s3.run("audit", world.config, "--quiet", "--output", world.folder / "here")
    named = [(f"{bucket}/in/{name}", name) for name in ("model.keras", "labels.txt", source, "mark.png")]
    for address, name in named:
        world.replace(f'"{name}"', f'"{address}"')
    reports = f"{bucket}/reports"
    there = s3.run("audit", world.config, "--quiet", "--output", reports)
    assert (there.returncode, here.returncode) == (1, 1), there.stderr
    (run,) = s3.do("print(*s3.glob(sys.argv[1]))", f"{reports}/*/result.json").split()
    result = s3.do("print(s3.cat(sys.argv[1]).decode())", run)
    (local,) = world.runs("here")
    assert told(result, *named) == told((local / "result.json").read_text())
    files = s3.do("print(*s3.find(sys.argv[1]))", reports).split()
    whole = s3.do("print(any(sys.argv[1].encode() in s3.cat(name) for name in s3.find(sys.argv[2])))", SECRET, reports)
    assert whole == "False\n"
    assert {name.rpartition("/")[2] for name in files} >= {"hashes.json", "report.html", "index.html", "index.jsonl"}
    folder = f"s3://{run.rpartition('/')[0]}"
    listed = s3.run("list", reports)
    assert run.split("/")[-2] in listed.stdout
    verified = s3.run("verify", folder)
    assert verified.returncode == 0, verified.stdout
    compared = s3.run("compare", folder, folder)
    assert compared.returncode in (0, 4)
    no_secret_in(s3, there.stdout, there.stderr, listed.stdout, verified.stdout, compared.stdout)
    pruned = s3.run("prune", reports, "--keep", "0", "--yes")
    assert pruned.returncode == 0, pruned.stderr
    assert not s3.do("print(*s3.glob(sys.argv[1]))", f"{reports}/*/result.json").split()


def test_workers_of_ray_read_the_bucket_themselves_though_some_reads_fail(s3: S3, bucket: str, world: World) -> None:
    pytest.importorskip("ray")
    world.replace('"images.npz"', '"pictures"')
    for name in ("model.keras", "labels.txt", "pictures", "mark.png"):
        world.replace(f'"{name}"', f'"{bucket}/in/{name}"')
    words = ("audit", world.config, "--quiet", "--output")
    alone = s3.run(*words, world.folder / "alone")
    engine = ("engine=ray", "workers=2", "num_cpus=0.5")
    settings = [word for setting in engine for word in ("--set", f"execution.{setting}")]
    s3.share.write_text("0.05")
    paths = os.pathsep.join((str(ROOT), s3.packages))  # which workers are told by the environment alone
    spread = s3.run(*words, world.folder / "spread", *settings, PYTHONPATH=paths)
    s3.share.write_text("0")
    assert (alone.returncode, spread.returncode) == (1, 1), spread.stderr
    assert s3.lost.exists()
    (one,), (other,) = world.runs("alone"), world.runs("spread")
    assert told_of_ray(other) == told_of_ray(one)
    no_secret_in(s3, spread.stdout, spread.stderr, (other / "result.json").read_text())


@pytest.mark.parametrize(
    ("variables", "source", "wanted"),
    [
        ({}, "s3://no-such-bucket/x.npz", "no such bucket, folder or file"),
        ({}, "BUCKET/nothing.npz", "no such bucket, folder or file"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "BUCKET/in/images.npz", "cannot be reached"),
        (
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"},
            "BUCKET/in/images.npz",
            "credentials",
        ),
    ],
)
def test_what_is_wrong_with_a_bucket_is_told_in_a_sentence(
    variables: dict[str, str], source: str, wanted: str, s3: S3, bucket: str, world: World
) -> None:
    source = source.replace("BUCKET", bucket)
    done = s3.run("audit", world.config, "--quiet", "--set", f"data.source={source}", **variables)
    assert done.returncode == 3, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert wanted in done.stderr
    assert "data.source" in done.stderr
    no_secret_in(s3, done.stdout, done.stderr)


def test_an_address_that_takes_up_no_connection_is_told_after_seconds(s3: S3) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, contextlib.ExitStack() as held:
        for _ in range(4):  # whoever comes after these waits for ever
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        begun = time.monotonic()
        done = s3.run("list", "s3://bucket/reports", AWS_ENDPOINT_URL=f"http://127.0.0.1:{deaf.getsockname()[1]}")
    assert done.returncode == 3, done.stderr
    assert "cannot be reached" in done.stderr
    assert time.monotonic() - begun < 60  # by itself its package would wait for two minutes


def test_a_model_that_was_replaced_in_the_bucket_is_fetched_anew_by_the_same_process(s3: S3, bucket: str) -> None:
    code = """
from auditor.stores.address import read_place
from auditor.stores.fetched import fetch
for data in (b"one", b"two", b"two"):
    s3.pipe_file(sys.argv[1], data)
    print(fetch(read_place(sys.argv[1])).read_bytes().decode())
"""
    assert s3.do(code, f"{bucket}/model.keras").split() == ["one", "two", "two"]


def test_how_often_a_request_is_tried_is_what_the_files_of_aws_say(s3: S3, tmp_path: Path) -> None:
    file = tmp_path / "config"
    code = "from auditor.stores.store import _open; print(_open('s3', 'bucket').config_kwargs.get('retries'))"
    found = []
    for text in ("[default]\nregion = us-east-1\n", "[default]\nretry_mode = adaptive\n"):
        file.write_text(text)
        found.append(s3.do(code, AWS_CONFIG_FILE=str(file)).strip())
    assert found == ["{'mode': 'standard'}", "None"]


def test_without_the_package_it_is_told_which_to_install(s3: S3, world: World) -> None:
    done = s3.run("audit", world.config, "--quiet", "--set", "data.source=gs://bucket/images.npz")
    assert done.returncode == 3
    assert "gs:// takes gcsfs, which is not installed: `pip install 'auditor[stores]' gcsfs`" in done.stderr
