"""Waits on this machine for a customer who comes back from a bank's page (RFC 8252, loopback redirect)."""

import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from urllib.parse import urlsplit

from pipelines.errors import Failure, WrongUsage
from sources.kontist.oauth import normal_path

HOSTS = ("127.0.0.1", "localhost")
REGISTER_ANOTHER = "Register http://127.0.0.1:8765/callback or an https address at Kontist, and set the same one"
_PAGE = b"<!doctype html><title>kontoledger</title><p>The login goes on in the terminal. You can close this page."

_ANOTHER = b"<!doctype html><title>kontoledger</title><p>This address does not belong to the login that the terminal waits for."


class _Server(ThreadingMixIn, TCPServer):
    """Each connection has a thread: a browser opens some that it never uses, and they would keep the others waiting."""

    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Passes over a browser that hung up: its trace would be of no use to anybody."""


class NobodyCame(Failure):
    """Nobody came back in time."""


def is_here(redirect_uri: str) -> bool:
    """Returns whether the address is on this machine, so that a program can wait there."""
    parts = urlsplit(redirect_uri)
    return parts.scheme == "http" and parts.hostname in HOSTS and parts.port is not None


def redirect_fault(redirect_uri: str) -> str | None:
    """Returns why no login can come back to this address, as the end of a sentence; None where one can."""
    try:
        parts = urlsplit(redirect_uri)
        port = parts.port
    except ValueError:
        return "is no address"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "is no http or https address"
    if parts.fragment or parts.username is not None:
        return "holds more than an address"
    if parts.scheme == "http" and parts.hostname not in HOSTS:
        return "is an http address of another machine: the code of the login would travel unencrypted"
    return None


def address_landed_on(redirect_uri: str, state: str, seconds: float, when_ready: Callable[[], None]) -> str:
    """Returns the whole address that a browser comes back to with this `state`.

    Calls `when_ready` once somebody can come. Other requests get a 404 and end nothing. Raises `WrongUsage` if the port is taken,
    `NobodyCame` when the seconds are over.
    """
    parts = urlsplit(redirect_uri)
    path = normal_path(parts.path)
    landed: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            came = urlsplit(self.path)
            right = normal_path(came.path) == path and f"state={state}" in came.query.split("&")
            self.send_response(200 if right else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Referrer-Policy", "no-referrer")
            self.end_headers()
            self.wfile.write(_PAGE if right else _ANOTHER)
            if right:
                landed.append(f"{parts.scheme}://{parts.netloc}{self.path}")

        def log_message(self, *_: object) -> None:
            """Logs nothing: the address holds a code."""

    try:
        server = _Server(("127.0.0.1", parts.port or 0), Handler)
    except PermissionError:
        raise WrongUsage(
            f"This user may not wait for the browser at port {parts.port} of this machine",
            "Register an address with a port above 1023 and set sources.kontist.redirect_uri to it",
        ) from None
    except OSError:
        raise WrongUsage(
            f"Port {parts.port} of this machine is in use, and the bank sends the browser there",
            "Close the other program, or register another address and set sources.kontist.redirect_uri to it",
        ) from None
    with server:
        server.timeout = 0.2
        when_ready()
        ends = time.monotonic() + seconds
        while not landed:
            if time.monotonic() >= ends:
                raise NobodyCame(f"Sign-in timed out after {seconds:.0f} s", "Begin again: python -m pipelines connect kontist")
            server.handle_request()
    return landed[0]
