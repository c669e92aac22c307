"""Who is notified in the tests: somebody behind a list, a mail server and a webhook on loopback."""

import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from pipelines.notify.notices import Kind, Notice
from tests.patience import patient

NOW = datetime(2026, 3, 27, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def a_notice(key: str, kind: Kind = "hole") -> Notice:
    """Returns a notice about an account."""
    return Notice(kind, key, f"About {key}", f"This happened to {key}.", {"account_id": key, "days": 3, "until": None})


def holes(*keys: str) -> list[Notice]:
    """Returns a notice about each gap."""
    return [a_notice(key) for key in keys]


@dataclass
class Somebody:
    """Takes notices, unless they are away or refuse it; `patience` is how many more they take before they are away."""

    got: list[Notice] = field(default_factory=list)
    away: bool = False
    patience: int | None = None
    refuses: set[str] = field(default_factory=set)

    def __call__(self, notice: Notice) -> bool:
        if self.away or self.patience == 0 or notice.key in self.refuses:
            return False
        self.patience = None if self.patience is None else self.patience - 1
        self.got.append(notice)
        return True

    @property
    def keys(self) -> list[str]:
        return [notice.key for notice in self.got]


# ---- e-mail


@dataclass(frozen=True)
class Mail:
    """One mail as it was handed in."""

    sender: str
    to: tuple[str, ...]
    message: EmailMessage

    @property
    def text(self) -> str:
        body = self.message.get_body(("plain",))
        assert body is not None
        content: str = body.get_content()
        return content.replace("\r\n", "\n").strip()


@dataclass
class Post:
    """A mail server: what it got, word for word and mail for mail, and whom it refuses."""

    port: int = 0
    mails: list[Mail] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)
    greeting: str = "220 post.test"


class _Smtp(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as a sender needs. It does not offer STARTTLS."""

    post: Post

    def handle(self) -> None:
        self._say(self.post.greeting)
        sender, to = "", []
        while line := self.rfile.readline().decode("latin-1").rstrip("\r\n"):
            self.post.commands.append(line)
            verb, _, rest = line.partition(" ")
            address = rest.partition("<")[2].partition(">")[0]
            match verb.upper():
                case "EHLO":
                    self._say("250-post.test\r\n250 AUTH PLAIN")
                case "AUTH":
                    self._say("235 welcome")
                case "MAIL":
                    sender, to = address, []
                    self._say("250 go on")
                case "RCPT" if address in self.post.refuses:
                    self._say("550 nobody of that name")
                case "RCPT":
                    to.append(address)
                    self._say("250 go on")
                case "DATA":
                    self._say("354 go on")
                    message = cast(EmailMessage, message_from_bytes(self._until_the_dot(), policy=policy.default))
                    self.post.mails.append(Mail(sender, tuple(to), message))
                    self._say("250 taken")
                case "RSET":
                    self._say("250 forgotten")
                case "QUIT":
                    self._say("221 bye")
                    return
                case _:
                    self._say("502 not here")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())

    def _until_the_dot(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)


@contextmanager
def a_post(**more: Any) -> Iterator[Post]:
    """A mail server on loopback."""
    post = Post(**more)
    with _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), type("Smtp", (_Smtp,), {"post": post}))) as port:
        post.port = port
        yield post


# ---- webhooks


@dataclass(frozen=True)
class Called:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    said: Any


@dataclass
class Hook:
    """A webhook: where it is, what it heard, and the status that it answers with."""

    status: int = 200
    port: int = 0
    heard: list[Called] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@contextmanager
def a_hook(status: int = 200) -> Iterator[Hook]:
    """A webhook on loopback. Where it answers with a redirect, that leads back to it."""
    hook = Hook(status)

    class Listening(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            hook.heard.append(Called(self.path, dict(self.headers), said))
            self.send_response(hook.status)
            if hook.status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Listening)) as port:
        hook.port = port
        yield hook


@contextmanager
def _serving(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join(patient(5))


def nobodys_port() -> int:
    """A port on loopback where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
