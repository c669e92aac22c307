"""Both banks on one loopback port. Kontomatik's `base_url` is the url with `/v1`, Kontist's is the url itself."""

import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Event, Thread, current_thread
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qsl

from .bank import SandboxBank
from .banks.kontomatik import Rules
from .banks.wire import Answer, Call, problem
from .world.world import Dialect, World

if TYPE_CHECKING:
    from .bank import Fault

log = logging.getLogger(__name__)
_PHRASES = {
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "No Content",
    302: "Found",
    400: "Bad Request",
    401: "Unauthorized",
} | {
    404: "Not Found",
    409: "Conflict",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128
    bank: SandboxBank


class _Handler(StreamRequestHandler):
    """HTTP/1.1 with kept connections: one read, one write, nothing logged.

    The standard library's own handler parses headers as e-mail does and writes the answer in pieces, which costs more
    than making a page.
    """

    disable_nagle_algorithm = True
    connection: socket.socket

    def handle(self) -> None:
        bank = cast(_Server, self.server).bank
        bank.connections[self.connection] = current_thread()
        try:
            with contextlib.suppress(ConnectionError):
                while self._one(bank):
                    pass
        finally:
            del bank.connections[self.connection]

    def _one(self, bank: SandboxBank) -> bool:
        """Reads one request and answers it; whether the connection may be used again."""
        words = self.rfile.readline(65_537).split()
        if len(words) != 3:
            return False
        method, target = words[0].decode("latin-1"), words[1].decode("latin-1")
        headers: dict[str, str] = {}
        while (line := self.rfile.readline(65_537)) not in (b"\r\n", b"\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        length = headers.get("content-length", "0")
        if not length.isdecimal() or "transfer-encoding" in headers:
            self._send(problem(400, "a body needs a Content-Length"))
            return False
        body = self.rfile.read(int(length))
        path, _, query = target.partition("?")
        call = Call(method, path, dict(parse_qsl(query, keep_blank_values=True)), headers, body)
        try:
            answer = bank.answer(call)
        except Exception:
            log.exception("the sandbox itself failed at %s %s", method, path)
            answer = problem(500, "the sandbox itself failed: see its log")
        return self._send(answer) and headers.get("connection", "").lower() != "close"

    def _send(self, answer: Answer) -> bool:
        if answer.dropped:
            return False
        more = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        date = f"{cast(_Server, self.server).bank.world.clock.now():%a, %d %b %Y %H:%M:%S} GMT"
        head = (
            f"HTTP/1.1 {answer.status} {_PHRASES.get(answer.status, 'Unknown')}\r\nDate: {date}\r\n"
            f"Content-Type: {answer.content_type}\r\n{more}Content-Length: {len(answer.body)}\r\n\r\n"
        ).encode("latin-1")
        body = answer.body if answer.sent is None else answer.body[: answer.sent]
        if len(body) < 1_000_000:
            self.request.sendall(head + body)
        else:
            self.request.sendall(head)
            self.request.sendall(body)
        return answer.sent is None


@contextmanager
def running(
    world: World,
    *faults: "Fault",
    port: int = 0,
    dialect: Dialect = "openapi",
    page_size: int = 50,
    imports_per_day: int = 4,
    command_polls: int = 1,
    latency: float = 0.0,
    wrapped_arrays: bool = False,
) -> Iterator[SandboxBank]:
    """Serves `world` by both banks until the block ends; port 0 takes any free one.

    `command_polls` is the question that finds an import finished, `latency` the seconds before every answer,
    `wrapped_arrays` the other way to read the specification's arrays. What was imported, ended and changed stays with
    the world; sessions and running commands end with the bank.
    """
    rules = Rules(imports_per_day=imports_per_day, command_polls=command_polls, wrapped_arrays=wrapped_arrays)
    bank = SandboxBank(world, faults, dialect, page_size, rules)
    bank.latency = latency
    with _Server(("127.0.0.1", port), _Handler) as server:  # bound by now: no client has to wait for it
        server.bank = bank
        bank.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield bank
        finally:
            server.shutdown()
            thread.join()
            bank.close()


def serve_forever(
    world: World, port: int = 0, dialect: Dialect = "openapi", on_ready: Callable[[str], None] = lambda _: None
) -> None:
    """Serves a sandbox of its own, for people: calls `on_ready` with its url, ends at Ctrl-C. Days pass as they do."""
    with running(world, port=port, dialect=dialect) as bank:
        bank.life_goes_on = True
        on_ready(bank.url)
        with contextlib.suppress(KeyboardInterrupt):
            Event().wait()
