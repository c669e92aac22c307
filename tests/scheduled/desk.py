"""What the scheduled tests share: consents of every age, a bank that can be held up, somebody who takes notices."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pipelines.consents.clients import vault_of
from pipelines.settings import Settings
from sources.sandbox import Fault, SandboxBank
from sources.sandbox.banks.wire import Answer, Call
from tests.patience import patient


def consent(settings: Settings, signed_in: datetime, token: str = "the bank never gave this one") -> str:  # noqa: S107
    """A stored consent whose 180 days began then."""
    bank = {"source": "kontomatik", "institution": "KontoBank", "target": "KontoBankApi", "access_mode": "MULTIPLE"}
    with vault_of(settings) as vault:
        return vault.add(**bank, now=signed_in, token=token).consent_id


def ending(settings: Settings, signed_in: datetime, now: datetime) -> str:
    """A consent whose end was asked for, and the bank has not been asked yet."""
    consent_id = consent(settings, signed_in)
    with vault_of(settings) as vault:
        vault.move(consent_id, "revoking", "asked for", now)
    return consent_id


def days_before_its_end(now: datetime, days: float) -> datetime:
    """The sign-in of a consent that has so many days left."""
    return now - timedelta(days=180) + timedelta(days=days, hours=1)


@dataclass(eq=False)
class HeldUp(Fault):
    """The bank takes its time: it has accepted an import, and gives no state of it until it is let go."""

    reached: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    def before(self, call: Call, bank: SandboxBank, /) -> Answer | None:
        if call.method == "GET" and self.meets(call) and not self.let_go.is_set():
            self.reached.set()
            self.let_go.wait(patient(30))
        return None


@contextmanager
def held_up(bank: SandboxBank) -> Iterator[HeldUp]:
    """Kontomatik is held up inside the block."""
    slow = HeldUp(bank="kontomatik", path_contains="command/")
    bank.faults.append(slow)
    try:
        yield slow
    finally:
        slow.let_go.set()
        bank.faults.remove(slow)


@contextmanager
def somebody_listening(*, status: int = 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook on loopback, and what was sent to it."""
    heard: list[dict[str, Any]] = []

    class Listening(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listening)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", heard
    finally:
        server.shutdown()
        server.server_close()
        thread.join(patient(5))
