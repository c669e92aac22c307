"""Limits on one answer: how long it may take, how large it may become, how it may be compressed.

httpx limits the pause between two bytes, but neither the whole time of an answer nor the size that a compressed answer expands
to: 300 kB of gzip can become 260 MB, and gigabytes if it is compressed twice. So the body is decompressed here, piece by piece,
and counted.
"""

import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx

from sources._deadline import ending
from sources._errors import Unavailable, Unexpected

PACKED_AS = "gzip"
"""What we ask for, and the only packing that is accepted."""
PIECE = 1 << 16
"""Bytes that are unpacked at once."""


@dataclass(frozen=True)
class Limits:
    """The longest time of an answer in seconds, from the request to its last byte, and its largest size in bytes, unpacked."""

    seconds: float = 300.0
    size: int = 1 << 26


class LimitedBody(httpx.SyncByteStream):
    """The unpacked body of one answer, within limits.

    Reading it raises `Unavailable` when the time is over, `Unexpected` when it is too large or compressed in another way than
    asked for, and `httpx.DecodingError` when it is damaged.
    """

    def __init__(
        self,
        bank: str,
        response: httpx.Response,
        stream: httpx.SyncByteStream,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        began: float | None = None,
    ) -> None:
        self._bank = bank
        self._request = response.request
        self._packing = response.headers.get("Content-Encoding", "").strip().lower()
        self._stream = stream
        self._limits = limits
        self._clock = clock
        self._began = clock() if began is None else began

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for piece in self._pieces():
            size += len(piece)
            if size > self._limits.size:
                raise Unexpected(
                    self._bank,
                    f"an answer is larger than {self._limits.size >> 20} MiB",
                    "Nothing of it was stored; tell the maintainers if it stays so",
                )
            yield piece

    def close(self) -> None:
        """Closes the connection's side of the answer."""
        self._stream.close()

    def _pieces(self) -> Iterator[bytes]:
        match self._packing:
            case "" | "identity":
                return self._in_time()
            case "gzip" | "x-gzip":
                return self._unpacked()
            case _:
                raise Unexpected(
                    self._bank,
                    "an answer is compressed in another way than was asked for",
                    "Nothing of it was stored; ask whoever stands between you and the bank",
                )

    def _in_time(self) -> Iterator[bytes]:
        chunks = iter(self._stream)
        while True:
            try:
                with ending(self._limits.seconds - (self._clock() - self._began)):
                    chunk = next(chunks, None)
            except httpx.ReadTimeout:
                if self._clock() - self._began < self._limits.seconds:
                    raise
                raise too_late(self._bank, self._limits) from None
            if chunk is None:
                return
            if self._clock() - self._began > self._limits.seconds:
                raise too_late(self._bank, self._limits)
            yield chunk

    def _unpacked(self) -> Iterator[bytes]:
        unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
        started = False
        for chunk in self._in_time():
            rest = chunk
            while rest:
                started = True
                if unpacker.eof:  # gzip files may stand one behind the other
                    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
                try:
                    yield unpacker.decompress(rest, PIECE)
                except zlib.error:
                    raise httpx.DecodingError("damaged gzip", request=self._request) from None
                rest = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
        if started and not unpacker.eof:
            raise httpx.DecodingError("the gzip is cut off", request=self._request)


def limited(
    bank: str,
    response: httpx.Response,
    limits: Limits,
    clock: Callable[[], float] = time.monotonic,
    began: float | None = None,
) -> httpx.Response:
    """Puts limits on the body of `response`, and returns it. A body that was read already is left alone.

    `began` is when the request was sent, by `clock`; None: now.
    """
    if not response.is_stream_consumed and isinstance(response.stream, httpx.SyncByteStream):
        response.stream = LimitedBody(bank, response, response.stream, limits, clock, began)
        response.headers.pop("Content-Encoding", None)  # unpacked here, not a second time by httpx
    return response


def too_late(bank: str, limits: Limits) -> Unavailable:
    """Returns the error for an answer that took too long."""
    return Unavailable(bank, f"an answer was not complete after {limits.seconds:g} seconds", "Try again later")
