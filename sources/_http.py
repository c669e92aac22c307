"""HTTP as both banks need it: timeouts, TLS, patience, a limit on our own speed, and errors that say what to do next.

The transport and the clock are arguments, so that tests pass a `httpx.MockTransport` and a sleep that only remembers.
Redirects are never followed: `Authorization` goes to the configured host and nowhere else.
"""

import ipaddress
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpx

from sources._deadline import bounded, ending
from sources._errors import Misconfigured, SourceError, Unavailable, Unexpected, Unreached
from sources._limits import PACKED_AS, Limits, limited, too_late

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
LONGEST_WAIT = 120.0
"""Seconds that a `Retry-After` may cost; a bank that asks for more is asked nothing else meanwhile, so the next run reads it."""
A_YEAR = 365 * 86_400.0
"""Seconds. A `Retry-After` beyond it counts as this."""
LONGEST_ADDRESS = 4096
"""Characters of an address that a bank's answer may name."""
AGAIN_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Patience:
    """Seconds to wait before each further try of a request that may be repeated."""

    waits: tuple[float, ...] = (1.0, 4.0, 15.0)
    sleep: Callable[[float], None] = time.sleep


@dataclass
class Pace:
    """Keeps the requests of all threads under a number per minute, by waiting before the one too many.

    `per_minute` 0 is no limit of ours. A bucket of one minute, so that a short run never waits.
    """

    per_minute: int = 0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    waiting: Callable[[float], None] = lambda _: None
    """Called before each wait with the seconds of waiting that remain in all, as far as `to_come` says."""
    to_come: int = 0
    """Requests that will follow, as far as who sends them knows."""
    _sent: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self) -> None:
        """Waits until the next request may be sent, and counts it."""
        if not self.per_minute:
            return
        with self._lock:
            now = self.clock()
            self._sent = [moment for moment in self._sent if now - moment < 60]
            if len(self._sent) >= self.per_minute:
                seconds = 60 - (now - self._sent[-self.per_minute])
                self.waiting(seconds + 60 * (self.to_come // self.per_minute))
                self.sleep(seconds)
                now = self.clock()
            self._sent.append(now)


@cache
def _trusted() -> ssl.SSLContext:
    """Returns the certificates that are trusted, read once: that takes longer than all else a client needs."""
    return httpx.create_ssl_context()


class _Sent:
    """Counts the requests of this process, to whatever host."""

    def __init__(self) -> None:
        self.requests = 0
        self._counting = threading.Lock()

    def add(self) -> None:
        with self._counting:
            self.requests += 1


_sent = _Sent()


def requests_sent() -> int:
    """Returns how many requests this process has sent so far, repeated ones too: a run counts its own by the difference."""
    return _sent.requests


class Http:
    """One bank's host. Threads may share it.

    `requests` counts every request that was sent, repeated ones too.
    """

    def __init__(
        self,
        bank: str,
        base_url: str,
        *,
        patience: Patience | None = None,
        pace: Pace | None = None,
        limits: Limits | None = None,
        transport: httpx.BaseTransport | None = None,
        wrong_address: str | None = None,
    ) -> None:
        """Opens a client. `wrong_address` is the next step when the address does not work; default: the setting `base_url`."""
        self.bank = bank
        self._wrong_address = wrong_address
        self.base_url = base_url.rstrip("/")
        self.patience = patience or Patience()
        self.pace = pace or Pace()
        self.limits = limits or Limits()
        self.requests = 0
        self.lost = 0
        """Requests whose answer broke off, or never came: the bank may have done what they ask."""
        self.before_each: Callable[[str], None] = lambda _: None
        """Called with the bank's name before each request; what it raises (`OutOfTime`) keeps the request from being sent."""
        self._counting = threading.Lock()
        self._resting = threading.Lock()
        self._rests = 0
        self._not_before = 0.0
        self._refuse_plain_http()
        self._client = self._new_client(transport)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def request(
        self, method: str, path: str, *, repeatable: bool | frozenset[int] | None = None, **options: Any
    ) -> httpx.Response:
        """Returns the bank's answer, whatever its status below 500. `path` is joined to the base URL, or a full URL on its host.

        A GET is repeated when the bank is away or asks to wait (`Retry-After`); anything else only if `repeatable`. That may name
        the statuses after which a request is repeated.
        Raises `Unavailable` when patience ends or an answer takes too long, `Unexpected` for a
        redirect and for an answer beyond the `limits`.
        """
        waits = list(self.patience.waits) if _repeated(method, repeatable) else []
        while True:
            with self.stream(method, path, repeatable=repeatable, **options) as response:
                try:
                    response.read()
                except httpx.HTTPError as error:
                    self._count_lost(error)
                    if not waits:
                        raise self._away(error) from None
                else:
                    return response
            self.patience.sleep(waits.pop(0))  # the connection broke in the middle of the answer

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        repeatable: bool | frozenset[int] | None = None,
        limits: Limits | None = None,
        **options: Any,
    ) -> Iterator[httpx.Response]:
        """Yields the answer with the body still to be read, within `limits`; reading it may raise `httpx.HTTPError`."""
        repeated = _repeated(method, repeatable)
        response = self._send_patiently(method, self.url(path), repeated, limits or self.limits, options)
        try:
            yield response
        finally:
            response.close()

    def url(self, path: str) -> str:
        """Returns `path` on this bank's host. Raises `Unexpected` for an address on any other host: a token would go there."""
        if len(path) > LONGEST_ADDRESS or not path.isprintable():
            raise Unexpected(self.bank, "the bank's answer names an address that is none", "Nothing was sent there")
        if "://" not in path and not path.startswith("//"):
            return f"{self.base_url}/{path.lstrip('/')}"
        ours, theirs = urlsplit(self.base_url), urlsplit(path)
        if (theirs.scheme, theirs.netloc) != (ours.scheme, ours.netloc):
            raise Unexpected(self.bank, "the bank's answer points to another host", "Nothing was sent there")
        return path

    def _send_patiently(
        self, method: str, url: str, repeated: Set[int], limits: Limits, options: Mapping[str, Any]
    ) -> httpx.Response:
        waits = list(self.patience.waits) if repeated else []
        while True:
            asked_to_wait: float | None = None
            too_often = False
            failure: SourceError
            with self._resting:  # whoever was asked to wait, waits for all
                rests = self._rests
                left = self._not_before - self.pace.clock()
            if left > 0:
                raise Unavailable(
                    self.bank, f"the bank asked for a pause, of which {left / 60:.0f} minutes are left", "Try again after it"
                )
            try:
                response = self._send(method, url, limits, options)
            except httpx.HTTPError as error:
                self._count_lost(error)
                failure = self._away(error)
            else:
                if response.is_redirect:
                    response.close()
                    raise Unexpected(
                        self.bank, "the bank redirects the request", self._wrong_address or "Check the setting base_url"
                    )
                # An answer that may not be repeated is the caller's to read: a refused import explains itself in its body.
                if response.status_code not in repeated:
                    return response
                asked_to_wait, too_often = retry_after(response), response.status_code == 429
                failure = Unavailable(
                    self.bank,
                    f"the bank answered {response.status_code} {response.reason_phrase}".rstrip(),
                    "Try again later",
                    code=str(response.status_code),
                )
                if (asked_to_wait or 0) > LONGEST_WAIT:
                    with self._resting:
                        self._not_before = self.pace.clock() + (asked_to_wait or 0)
                    return response
                if not waits:
                    return response
                response.close()
            if not waits:
                raise failure
            seconds = max(waits.pop(0), asked_to_wait or 0)
            if too_often or asked_to_wait:
                self._rest(seconds, rests)
            else:
                self.patience.sleep(seconds)

    def _rest(self, seconds: float, rests: int) -> None:
        """Pauses all threads. A thread whose 429 another one has already waited out returns at once."""
        with self._resting:
            if self._rests == rests:
                self.patience.sleep(seconds)
                self._rests += 1

    def _send(self, method: str, url: str, limits: Limits, options: Mapping[str, Any]) -> httpx.Response:
        """Returns the answer to one request, its head read, its body still to come within what is left of its time."""
        self.pace.wait()
        self.before_each(self.bank)
        with self._counting:
            self.requests += 1
        _sent.add()
        clock = self.pace.clock
        began = clock()
        try:
            request = self._client.build_request(method, url, **options)
            with ending(limits.seconds):
                response = self._client.send(request, stream=True)
        except httpx.InvalidURL:
            raise Unexpected(self.bank, "the bank's answer names an address that is none", "Nothing was sent there") from None
        except (httpx.ReadTimeout, httpx.WriteTimeout):
            if clock() - began < limits.seconds:
                raise
            raise too_late(self.bank, limits) from None
        except RuntimeError:
            if not self._client.is_closed:
                raise
            raise Unreached(self.bank, "reading was interrupted", "The next run goes on") from None
        return limited(self.bank, response, limits, clock, began)

    def _count_lost(self, error: httpx.HTTPError) -> None:
        if not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
            with self._counting:
                self.lost += 1

    def _away(self, error: httpx.HTTPError) -> SourceError:
        host = urlsplit(self.base_url).netloc
        match error:
            case httpx.ConnectTimeout() | httpx.ConnectError():
                next_step = self._wrong_address or "Check the network and the setting base_url"
                return Unreached(self.bank, f"{host} cannot be reached", next_step)
            case httpx.TimeoutException():
                return Unavailable(self.bank, f"{host} did not answer in time", "Try again later")
            case httpx.UnsupportedProtocol() | httpx.ProxyError():
                next_step = self._wrong_address or "Check the setting base_url"
                return Misconfigured(self.bank, f"the address {host} cannot be used", next_step)
            case _:
                return Unavailable(self.bank, f"the connection to {host} broke off", "Try again later")

    def _new_client(self, transport: httpx.BaseTransport | None) -> httpx.Client:
        """Makes the client. Proxies of the environment are used for a bank (inside TLS), never for this machine itself."""
        try:
            return bounded(
                httpx.Client(
                    timeout=TIMEOUT,
                    follow_redirects=False,
                    headers={"Accept-Encoding": PACKED_AS},
                    transport=transport,
                    verify=_trusted(),
                    trust_env=not _is_loopback(urlsplit(self.base_url).hostname or ""),
                )
            )
        except (ImportError, ValueError, httpx.InvalidURL):  # SOCKS without its library, or no address of a proxy
            raise Misconfigured(
                self.bank,
                "the proxy that the environment names cannot be used",
                "Give HTTPS_PROXY the address of an HTTP proxy, or name the bank's host in NO_PROXY",
            ) from None

    def _refuse_plain_http(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme == "https" and parts.hostname:
            return
        if parts.scheme == "http" and parts.hostname and _is_loopback(parts.hostname):
            return
        raise Misconfigured(
            self.bank,
            "base_url is not an https address (plain http is for a sandbox on this machine only)",
            f"Correct the setting sources.{self.bank}.base_url",
        )


def _repeated(method: str, repeatable: bool | frozenset[int] | None) -> Set[int]:
    """Returns the statuses after which a request is sent again; none where it must not be."""
    if isinstance(repeatable, frozenset):
        return repeatable
    return AGAIN_LATER if repeatable or (repeatable is None and method == "GET") else frozenset()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def retry_after(response: httpx.Response) -> float | None:
    """Returns the seconds that the bank asks us to wait, from either form of the header."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), A_YEAR)
    until = moment_of(text)
    return None if until is None else min(max(0.0, until.timestamp() - time.time()), A_YEAR)


def moment_of(text: str) -> datetime | None:
    """Returns the moment that a header of HTTP names; None where it names none."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):  # the standard library's parser raises each of them
        return None
