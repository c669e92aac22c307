"""The end of an answer's time, kept below httpx: it limits the pause between two bytes, and starts anew with each of them.

A bank that drips its answer, head or body, a byte every 29 seconds would never be late. So each read of the connection waits
no longer than what is left of the answer's time.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from ssl import SSLContext
from typing import Any

import httpcore
import httpx

_ENDS: ContextVar[float | None] = ContextVar("the moment at which the answer's time is over", default=None)
"""By `time.monotonic`; of the thread that waits for the answer. None: no end but httpx's own."""


@contextmanager
def ending(seconds: float) -> Iterator[None]:
    """Ends every read of a connection in this block after the given seconds, counted from the block's start."""
    token = _ENDS.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ENDS.reset(token)


def bounded(client: httpx.Client) -> httpx.Client:
    """Puts the connections of `client` under `ending`, those through a proxy too, and returns it. Other transports are left.

    Reaches into private parts: httpx has no way to hand httpcore the network backend that httpcore takes.
    """
    for transport in (client._transport, *client._mounts.values()):
        if isinstance(transport, httpx.HTTPTransport):
            pool: Any = transport._pool
            pool._network_backend = _Backend(pool._network_backend)
    return client


class _Backend(httpcore.NetworkBackend):
    """Opens connections whose reads and writes keep to the end."""

    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Does what httpcore's own method does, within the time that is left."""
        return _Stream(self._inner.connect_tcp(host, port, timeout, local_address, socket_options))

    def sleep(self, seconds: float) -> None:
        """Does what httpcore's own method does, within the time that is left."""
        self._inner.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _left(timeout: float | None, over: Callable[[str], Exception]) -> float | None:
    ends = _ENDS.get()
    if ends is None:
        return timeout
    left = ends - time.monotonic()
    if left <= 0:
        raise over("the answer's time is over")
    return left if timeout is None else min(timeout, left)
