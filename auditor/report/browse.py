"""A server for the runs of one folder, for one's own browser: it reads, and only what the index links to."""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from auditor.errors import ConfigError, ReportError
from auditor.report.checks_page import CHECKS_PAGE, checks_policy, render_checks
from auditor.report.index_page import INDEX_PAGE, index_policy, render_index
from auditor.report.page import script_source
from auditor.run.checked import CHECKS, has_checks, read_records
from auditor.run.files import FOLDER
from auditor.run.index import is_run_id, read_runs

NEEDS = "auditor browse needs Starlette and uvicorn: `pip install 'auditor[browse]'`"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".pdf": "application/pdf",
    ".json": "application/json",
    ".zip": "application/zip",
    **dict.fromkeys((".npz", ".parquet"), "application/octet-stream"),
    **dict.fromkeys((".csv", ".md", ".xml", ".sarif", ".txt"), "text/plain; charset=utf-8"),
}
"""Files of a run that are given out, by their ending ..."""

_PICTURES = {".jpeg": "image/jpeg", ".png": "image/png"}
"""... and those beside a large page."""

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src data: 'self'; style-src 'unsafe-inline'; "
    "object-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def make_app(reports: Path, *, hosts: Callable[[str], bool], token: str | None = None) -> Any:
    """The application (ASGI): GET and HEAD of `/` and of runs' files, to whoever names an allowed host and the token.

    Raises
    ------
    ReportError
        The server's packages are missing.
    """
    try:
        from starlette.applications import Starlette
        from starlette.concurrency import run_in_threadpool
        from starlette.requests import Request
        from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
        from starlette.routing import Mount
    except ImportError:
        raise ReportError(NEEDS) from None

    class Streamed(StreamingResponse):
        """A file, read as its reader takes it, and closed whether or not one does."""

        def __init__(self, file: BinaryIO, kind: str) -> None:
            size = os.fstat(file.fileno()).st_size
            policy = f"{_HEADERS['Content-Security-Policy']}; script-src {script_source()}"
            about = {"Content-Type": kind, "Content-Length": str(size), "Content-Security-Policy": policy}
            super().__init__(_read_parts(file, size), headers=_HEADERS | about)
            self.file = file

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            with self.file:
                await super().__call__(scope, receive, send)

    def show(request: Request) -> Response:
        if not hosts(request.headers.get("host", "")):
            return refuse(400, "This address is not the one that `auditor browse` was started for.")
        if token is not None:
            given = request.query_params.get("token")
            if given is not None and request.scope["path"] == "/" and _is_same(given, token):
                # out of the address, where histories and screens would keep it
                response = RedirectResponse("/", 303, headers=_HEADERS)
                response.set_cookie("auditor", token, httponly=True, samesite="lax")
                return response
            if not _is_same(request.cookies.get("auditor", ""), token):
                return refuse(403, "Open the whole address that `auditor browse` printed; its token is missing here.")
        if request.method not in ("GET", "HEAD"):
            return refuse(405, "Runs are only shown here.", Allow="GET, HEAD")
        return answer(request.scope["path"])

    def answer(path: str) -> Response:
        if path in ("/", f"/{INDEX_PAGE}"):
            return give(render_index(read_runs(reports), has_checks=has_checks(reports)), index_policy())
        if path in ("/checks", f"/{CHECKS_PAGE}"):
            records, faults = read_records(reports)
            return give(render_checks(records, read_runs(reports), datetime.now(UTC), faults), checks_policy())
        if path == "/favicon.ico":  # browsers ask for it, whatever a page says, and complain where it is missing
            return Response(status_code=204, headers=_HEADERS)
        start, *parts = path.split("/")
        is_of_run = start == "" and len(parts) in (2, 3) and parts[0] != CHECKS
        file = open_file(reports, *parts) if is_of_run else None
        if file is None:
            return refuse(404, "There is no such run or file.")
        return Streamed(file, (_TYPES | _PICTURES)[os.path.splitext(parts[-1])[1]])

    def give(page: str, policy: str) -> Response:
        allowed = {"Content-Security-Policy": f"{policy}; frame-ancestors 'none'"}
        return Response(page, headers=_HEADERS | allowed, media_type="text/html")

    def refuse(code: int, why: str, **headers: str) -> Response:
        return PlainTextResponse(why + "\n", code, headers=_HEADERS | headers)

    def fail(_: Request, fault: Exception) -> Response:
        return refuse(500, str(fault))

    async def respond(scope: Any, receive: Any, send: Any) -> None:
        response = await run_in_threadpool(show, Request(scope, receive))
        await response(scope, receive, send)

    # mounted, not routed: a route would answer other methods by itself, without a look at host and token
    return Starlette(routes=[Mount("/", app=respond)], exception_handlers={ReportError: fail})


def open_file(reports: Path, run: str, *names: str) -> BinaryIO | None:
    """A file of a run, or None: names are those of runs and reports, and no link is followed on the way."""
    *inside, name = names
    types = _PICTURES if inside == [FOLDER] else _TYPES if not inside else {}
    if not (is_run_id(run) and is_run_id(name) and os.path.splitext(name)[1] in types):
        return None
    with ExitStack() as stack:

        def open_in(parent: int | None, name: str | Path, flags: int) -> int:
            return os.open(name, flags | os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=parent)

        try:
            folder = open_in(None, reports, os.O_DIRECTORY)
            stack.callback(os.close, folder)
            for step in (run, *inside):
                folder = open_in(folder, step, os.O_DIRECTORY | os.O_NOFOLLOW)
                stack.callback(os.close, folder)
            file = open(open_in(folder, name, os.O_NOFOLLOW), "rb", buffering=0)  # noqa: SIM115  the reader closes it
        except OSError:
            return None
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    return None


def _read_parts(file: BinaryIO, size: int) -> Iterator[bytes]:
    """So many bytes of a file in parts, however large it is: only one is in memory; a file that shrank ends early."""
    while size > 0 and (part := file.read(min(size, _PART))):
        size -= len(part)
        yield part


_PART = 2**18


def allowed_hosts(host: str, port: int) -> Callable[[str], bool]:
    """Which `Host` headers to answer: a page elsewhere whose name was made to point here sends its own."""
    names = {host, "localhost", "127.0.0.1", "::1"} if is_loopback(host) else {host}
    is_wildcard = host in ("0.0.0.0", "::")
    if is_wildcard:
        names |= {"localhost", socket.gethostname().lower()}

    def is_allowed(header: str) -> bool:
        match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?", header)
        if match is None or int(match[2] or 80) != port:
            return False
        name = match[1].strip("[]").lower()
        if name in names:
            return True
        with suppress(ValueError):
            return is_wildcard and bool(ipaddress.ip_address(name))
        return False

    return is_allowed


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach an address."""
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def open_socket(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises
    ------
    ConfigError
        The address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as fault:  # whose own text repeats the address
        reason = os.strerror(fault.errno) if fault.errno and fault.errno > 0 else fault.strerror
        raise ConfigError(f"--host {host} --port {port}: cannot be opened: {reason}; try another --port") from None


def make_server(app: Any) -> Any:
    """A server (uvicorn's) that takes so many connections at once and waits for none without end.

    Raises
    ------
    ReportError
        The server's packages are missing.
    """
    try:
        import uvicorn
    except ImportError:
        raise ReportError(NEEDS) from None
    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=_IDLE,
    )
    return uvicorn.Server(config)


def serve(app: Any, listening: socket.socket) -> None:
    """Serve until interrupted.

    Raises
    ------
    ReportError
        The server's packages are missing.
    """
    with suppress(KeyboardInterrupt):
        make_server(app).run(sockets=[listening])


MOST_CONNECTIONS = 64
"""Open at once; whoever comes beyond is told to come again (503). A browser opens six."""

_IDLE = 5
"""Seconds that a connection without a request, or a reader when the server ends, is waited for."""


def _is_same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())
