"""Browsing runs: the server shows them to one's own browser and to nobody else, and the page's filters work in it."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from auditor.measure.ledger import Rows
from auditor.report.browse import MOST_CONNECTIONS, allowed_hosts, make_app, make_server
from auditor.report.index_page import render_index
from auditor.report.trends import MOST_POINTS
from auditor.report.write import write_report
from auditor.run.checked import ChecksRecord, write_record
from auditor.run.index import Listing
from auditor.run.store import Run, save_run
from tests.small_world import Command
from tests.synthetic import make_arrays, make_history, make_result, without_studies
from tests.test_history import HOSTILE
from tests.web import VIEWS, unfold


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "reports"
    run = save_run(Run(make_result(), Rows(), make_arrays()), folder)
    write_report(run, ("html",))
    run.rename(folder / "run-1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("auditor.report.packing.LARGEST_PAGE", 1000)
        large = save_run(Run(without_studies(make_result()), Rows(), make_arrays()), folder.parent / "made")
        write_report(large, ("html",))
    large.rename(folder / "run-large")
    pictures = folder / "run-large" / "report_pictures"
    (pictures / "linked.png").symlink_to(folder.parent / "secret.html")
    (pictures / "secret.html").write_text("secret")
    (folder / "secret.txt").write_text("secret")
    (folder.parent / "secret.html").write_text("secret")
    (folder / "run-1" / "secret.py").write_text("secret")
    (folder / "run-1" / "inner").mkdir()
    (folder / "run-1" / "inner" / "secret.html").write_text("secret")
    (folder / "run-1" / "linked.html").symlink_to(folder.parent / "secret.html")
    (folder / "run-1" / "folder.html").mkdir()
    os.mkfifo(folder / "run-1" / "pipe.html")
    (folder / "linked").symlink_to(folder.parent)
    write_record(folder / "checks" / "secret.json", ChecksRecord("a.toml", "2026-01-01", "2026-01-02", []))
    (folder / "checks" / "linked.json").symlink_to(folder.parent / "secret.html")
    return folder


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


Ask = Any
"""Asks for a path, and answers; `port` is where."""


@contextmanager
def serving(reports: Path, token: str | None = None) -> Iterator[Ask]:
    """A real server in a thread, asked through plain connections: no client tidies up what is sent."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        app = make_app(reports, hosts=allowed_hosts("127.0.0.1", port), token=token)
        server = make_server(app)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()

        def ask(path: str, method: str = "GET", **headers: str) -> Answer:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
                connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
                for name, value in ({"Host": "127.0.0.1:PORT"} | headers).items():
                    connection.putheader(name, value.replace("PORT", str(port)))
                connection.endheaders()
                answer = connection.getresponse()
                said = {name.lower(): value for name, value in answer.getheaders()}
                return Answer(answer.status, said, answer.read())

        ask.port = port
        try:
            yield ask
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def ask(reports) -> Iterator[Ask]:
    with serving(reports) as ask:
        yield ask


class TestServer:
    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("/", "text/html; charset=utf-8"),
            ("/index.html", "text/html; charset=utf-8"),
            ("/checks", "text/html; charset=utf-8"),
            ("/checks.html", "text/html; charset=utf-8"),
            ("/run-1/report.html", "text/html; charset=utf-8"),
            ("/run-1/result.json", "application/json"),
            ("/run-1/arrays.npz", "application/octet-stream"),
        ],
    )
    def test_gives_what_the_index_links_to_under_strict_headers(self, path, kind, ask):
        answer = ask(path)
        assert answer.code == 200
        assert answer.headers["content-type"] == kind
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; ")
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "script-src 'unsafe" not in answer.headers["content-security-policy"]
        assert int(answer.headers["content-length"]) == len(answer.body) > 0

    @pytest.mark.parametrize(
        "path",
        [
            "/run-1", "/run-1/", "/run-1/secret.py", "/run-1/inner/secret.html", "/run-1/linked.html",
            "/run-1/folder.html", "/run-1/pipe.html", "/run-1/gone.html", "/linked/secret.html", "/secret.txt",
            "/secret.html", "/run-1/../secret.txt", "/run-1/%2e%2e/secret.txt", "/..%2fsecret.html",
            "/%2e%2e/secret.html", "/run-1/..%2f..%2fsecret.html", "//etc/passwd", "/run-1//report.html",
            "/run-1/report.html%00.txt", "/run-1/report.html/", "/run-1\\report.html", "/.hidden/report.html",
            "/checks/linked.json", "/checks/secret.json",
            "/index.jsonl", "/run-large/report_pictures/linked.png", "/run-large/report_pictures/secret.html",
            "/run-large/report_pictures", "/run-large/report_pictures/../../secret.html",
            "/" + "a/" * 5000, "/" + "x" * 5000 + "/report.html",
        ],
    )  # fmt: skip
    def test_gives_nothing_else(self, path, ask):
        answer = ask(path)
        assert answer.code == 404
        assert "secret" not in answer.text
        assert answer.headers["x-content-type-options"] == "nosniff"

    def test_gives_the_pictures_beside_a_large_page_and_its_archive(self, reports, ask):
        page = ask("/run-large/report.html").text
        names = set(re.findall(r"report_pictures/[0-9a-f]+\.(?:png|jpeg)", page))
        assert names
        for name in names:
            answer = ask(f"/run-large/{name}")
            assert answer.code == 200
            assert answer.headers["content-type"] == f"image/{name.rpartition('.')[2]}"
            assert answer.body == (reports / "run-large" / name).read_bytes()
        assert ask("/run-large/report.zip").headers["content-type"] == "application/zip"

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
    def test_only_shows(self, method, ask):
        for path in ("/", "/run-1/result.json"):
            answer = ask(path, method)
            assert answer.code == 405
            assert answer.headers["allow"] == "GET, HEAD"
        head, whole = ask("/run-1/result.json", "HEAD"), ask("/run-1/result.json")
        assert (head.code, head.body) == (200, b"")
        assert head.headers["content-length"] == str(len(whole.body))

    @pytest.mark.parametrize(
        "host",
        ["evil.example", "evil.example:PORT", "127.0.0.1", "127.0.0.1:80", "localhost.evil:PORT", "", "a b", "[::1"],
    )
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_refuses_whoever_came_under_another_name(self, host, method, ask):
        answer = ask("/run-1/result.json", method, Host=host)
        assert answer.code == 400
        assert "schema_version" not in answer.text

    @pytest.mark.parametrize("host", ["localhost:PORT", "[::1]:PORT", "LOCALHOST:PORT"])
    def test_answers_under_every_name_of_this_machines_loop(self, host, ask):
        assert ask("/", Host=host).code == 200

    def test_wants_the_token_once_and_keeps_it_out_of_the_address(self, reports):
        with serving(reports, "t0ken") as ask:
            for path in ("/", "/?token=wrong", "/run-1/result.json?token=t0ken", "/?token=%ff%00", "/?token="):
                assert ask(path).code == 403
            assert ask("/", Cookie="auditor=t0ke").code == 403
            welcome = ask("/?token=t0ken")
            assert (welcome.code, welcome.headers["location"]) == (303, "/")
            assert re.search(r"httponly.*samesite=lax", welcome.headers["set-cookie"].lower())
            cookie = welcome.headers["set-cookie"].partition(";")[0]
            assert ask("/run-1/result.json", Cookie=cookie).code == 200
            assert ask("/run-1/result.json", Cookie=cookie, Host="evil.example").code == 400

    def test_a_large_file_is_read_as_the_reader_takes_it(self, tmp_path):
        size, statm = 2**29, Path("/proc/self/statm")
        if not statm.exists():
            pytest.skip("this system does not tell how much memory a process has")
        (tmp_path / "run-1").mkdir()
        with (tmp_path / "run-1" / "report.zip").open("wb") as file:
            file.truncate(size)

        def resident() -> int:
            return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

        with serving(tmp_path) as ask, socket.create_connection(("127.0.0.1", ask.port), timeout=30) as reader:
            before = resident()
            reader.sendall(b"GET /run-1/report.zip HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % ask.port)
            head = reader.recv(2**16)
            assert b"content-length: %d" % size in head.lower()
            read = len(reader.recv(2**16))
            while read < 2**22:
                read += len(reader.recv(2**16))
            assert resident() - before < size / 4

    def test_more_readers_than_it_serves_at_once_are_told_to_come_again(self, tmp_path):
        with serving(tmp_path) as ask:
            idle = [socket.create_connection(("127.0.0.1", ask.port), timeout=30) for _ in range(MOST_CONNECTIONS + 8)]
            codes = []
            for _ in range(200):
                codes.append(ask("/").code)
                if codes[-1] == 503:
                    break
            assert codes[-1] == 503
            for connection in idle:
                connection.close()
            while (code := ask("/").code) == 503:
                pass
            assert code == 200

    def test_shows_runs_that_came_and_went_meanwhile(self, tmp_path):
        with serving(tmp_path) as ask:
            assert "No run is here yet" in ask("/").text
            run = save_run(Run(make_result(), Rows(), make_arrays()), tmp_path)
            assert f"{run.name}/result.json" in ask("/").text
            shutil.rmtree(run)
            assert "No run is here yet" in ask("/").text

    def test_a_folder_that_went_away_is_an_answer_and_no_crash(self, tmp_path):
        with serving(tmp_path / "gone") as ask:
            answer = ask("/")
        assert answer.code == 500
        assert "cannot be listed" in answer.text
        assert answer.headers["x-content-type-options"] == "nosniff"

    def test_on_every_address_a_name_must_be_this_machines_or_a_number(self):
        is_allowed = allowed_hosts("0.0.0.0", 80)
        assert is_allowed("192.168.1.7")
        assert is_allowed("[2001:db8::1]:80")
        assert is_allowed(socket.gethostname())
        assert not is_allowed("evil.example")
        assert not is_allowed("192.168.1.7:81")


class TestCommand:
    @pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "example.org"])
    def test_another_address_takes_a_token(self, host: str, reports: Path, command: Command):
        ending = command("browse", reports, "--host", host, "--no-open")
        assert (ending.code, ending.out) == (2, "")
        assert (
            ending.err
            == f"error: --host {host}: others could read the runs there; wanted --token as well, or 127.0.0.1\n"
        )

    def test_a_port_in_use_is_one_clear_error(self, reports: Path, command: Command):
        with closing(socket.create_server(("127.0.0.1", 0))) as taken:
            port = taken.getsockname()[1]
            ending = command("browse", reports, "--port", port, "--no-open")
        assert (ending.code, ending.out) == (2, "")
        assert f"--port {port}: cannot be opened: Address already in use; try another --port" in ending.err

    @pytest.mark.parametrize("package", ["starlette", "uvicorn"])
    def test_without_its_packages_it_says_what_to_install(
        self, package: str, reports: Path, command: Command, monkeypatch: pytest.MonkeyPatch
    ):
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)
        ending = command("browse", reports, "--port", 0, "--no-open")
        assert ending.code == 3
        assert ending.err == "error: auditor browse needs Starlette and uvicorn: `pip install 'auditor[browse]'`\n"

    def test_a_browser_walks_from_the_index_to_a_report_and_the_server_ends_when_told(self, reports, browser):
        command = [sys.executable, "-m", "auditor.cli", "browse", str(reports), "--port", "0", "--no-open", "--token"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[1]
            complaints: list[str] = []
            page = browser.new_context(**VIEWS["light"]).new_page()
            page.on("console", lambda message: complaints.append(message.text))
            page.goto(address)
            assert "token" not in page.url
            assert page.locator("#shown").inner_text() == "2 of 2 runs"
            for run in ("run-1", "run-large"):
                page.locator(f"#run-{run} .files").get_by_role("link", name="html").click()
                assert page.locator("#verdict-title").inner_text() == "Verdict"
                unfold(page)
                page.locator("#gallery .enlarge").first.click()  # so its script runs
                assert page.locator("#viewer img").first.evaluate(
                    "image => image.decode().then(() => image.naturalWidth)"
                )
                page.go_back()
            assert complaints == []
            port = int(address.partition("127.0.0.1:")[2].partition("/")[0])
            assert raw(port, b"GET /../../secret.html HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % port).startswith(
                b"HTTP/1.1 403"
            )
            assert raw(port, b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").startswith(b"HTTP/1.1 400")
            assert raw(port, b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400")
        finally:
            server.send_signal(signal.SIGINT)
            _, errors = server.communicate(timeout=30)
        assert (server.returncode, errors) == (0, "")


@pytest.fixture(scope="module")
def index_file(tmp_path_factory) -> Path:
    import dataclasses

    entries = make_history(60)
    outcome = dataclasses.replace(entries[0].outcomes[0], artefact=HOSTILE, target="x" * 400, verdict="error")
    changes = {"title": HOSTILE, "model": "m" * 300, "data": HOSTILE, "outcomes": [outcome]}
    entries += [dataclasses.replace(entry, id=f"hostile-{entry.id}", **changes) for entry in entries[:2]]
    file = tmp_path_factory.mktemp("index") / "index.html"
    file.write_text(render_index(Listing(entries, reports={entry.id: ["report.html"] for entry in entries})))
    return file


class TestPage:
    @pytest.mark.parametrize("view", VIEWS)
    def test_shows_every_run_without_complaint_request_or_overflow(self, view, browser, index_file):
        page = browser.new_context(**VIEWS[view]).new_page()
        complaints: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(index_file.as_uri())
        assert page.locator("#rows > tr:visible").count() == 62
        assert page.locator("#filters").is_visible() == (view != "without JavaScript")
        assert page.locator(".trend svg").first.bounding_box()["height"] > 80
        assert complaints == []
        assert asked == [index_file.as_uri()]
        if view != "without JavaScript":
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    def test_filters_narrow_rows_and_trends_and_let_go_again(self, browser, index_file):
        page = browser.new_context(**VIEWS["light"]).new_page()
        page.goto(index_file.as_uri())
        shown = lambda: page.locator("#rows > tr:visible").count()  # noqa: E731
        page.select_option("#model", label="models/network 1.keras")
        assert shown() == 20
        assert page.locator("#shown").inner_text() == "20 of 62 runs"
        assert {"models/network 1.keras"} == {
            text.partition(" · ")[0] for text in page.locator(".trend:visible > p:nth-child(2)").all_inner_texts()
        }
        assert page.locator(".matrix tbody > tr:visible").count() == 1
        page.select_option("#data", label="data/images 0.npz")
        assert shown() == 10
        page.select_option("#verdict", "relies")
        rows = page.locator("#rows > tr:visible")
        assert 0 < rows.count() <= 10
        assert all("Relies on it" in text for text in rows.all_inner_texts())
        page.fill("#search", "AUDIT nothing-like-this")
        assert shown() == 0
        assert page.locator("#none").is_visible()
        page.click("#reset")
        page.locator("#rows > tr:visible").nth(61).wait_for()
        page.fill("#search", "0105T1904 AUDIT")  # words in any order and case
        assert page.locator("#rows > tr:visible bdi").first.inner_text() == "audit 16"
        assert shown() == 1
        page.fill("#search", "<script>alert")
        assert shown() == 2

    def test_a_mark_tells_its_numbers_and_leads_to_its_run(self, browser, index_file):
        page = browser.new_context(**VIEWS["light"]).new_page()
        page.goto(index_file.as_uri())
        card = page.locator(".trend").first
        assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d: .* [+−]\d", card.locator("title").last.text_content())
        assert 1 < card.locator("svg g").count() <= MOST_POINTS
        card.get_by_role("link").click()
        identifier = page.url.partition("#")[2]
        assert page.locator(f"#{identifier}").is_visible()

    def test_a_script_that_is_not_the_pages_own_is_not_run(self, browser, index_file, tmp_path):
        changed = tmp_path / "index.html"
        changed.write_text(
            index_file.read_text().replace("</main>", "<script>document.title = 'taken'</script></main>")
        )
        page = browser.new_context(**VIEWS["light"]).new_page()
        page.goto(changed.as_uri())
        assert page.title().endswith(" – shortcut audits")


def raw(port: int, request: bytes) -> bytes:
    """What the server answers to exactly these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        return connection.recv(4096)
