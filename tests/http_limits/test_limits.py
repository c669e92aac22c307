"""Limits on what a bank, or somebody in between, may send: time, size, packing, addresses, pauses, and what proxies may see."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from sources._errors import Misconfigured, Unavailable, Unexpected
from sources._http import LONGEST_WAIT, Http, Pace, Patience, retry_after
from sources._limits import Limits
from sources.kontist.prefetch import next_number


class Body(httpx.SyncByteStream):
    """A body in pieces, as it would come over a network."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        self.closed = True


def asking(answer: Callable[[], httpx.Response], limits: Limits | None = None, clock: Callable[[], float] = lambda: 0.0) -> Http:
    return Http(
        "bank",
        "https://bank.test",
        patience=Patience((), lambda _: None),
        pace=Pace(clock=clock),
        limits=limits,
        transport=httpx.MockTransport(lambda _: answer()),
    )


def packed(pieces: Iterator[bytes], encoding: str = "gzip") -> httpx.Response:
    return httpx.Response(200, headers={"Content-Encoding": encoding}, stream=Body(pieces))


def zeros(count: int) -> bytes:
    """So many bytes of nothing, packed."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(count >> 20)) + packer.flush()


def test_an_answer_that_drips_ends_at_its_deadline_with_a_sentence() -> None:
    seconds = iter(range(1_000_000))
    body = Body(b" " for _ in iter(int, 1))  # never ends
    http = asking(lambda: httpx.Response(200, stream=body), Limits(seconds=60), clock=lambda: float(next(seconds)))

    with pytest.raises(Unavailable, match="not complete after 60 seconds"):
        http.request("GET", "/")
    assert body.closed
    assert http.requests == 1


def test_an_answer_that_unpacks_to_more_than_the_limit_is_refused_in_bounded_memory() -> None:
    bomb = zeros(260 << 20)
    assert len(bomb) < 300_000
    http = asking(lambda: packed(iter([bomb])), Limits(size=8 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(Unexpected, match="larger than 8 MiB"):
            http.request("GET", "/")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 24 << 20


def test_an_answer_packed_twice_is_refused_unread() -> None:
    with pytest.raises(Unexpected, match="compressed in another way"):
        asking(lambda: packed(iter([gzip.compress(zeros(1 << 20))]), "gzip, gzip")).request("GET", "/")


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "x-unknown"])
def test_a_packing_that_was_not_asked_for_is_refused(encoding: str) -> None:
    with pytest.raises(Unexpected, match="compressed in another way"):
        asking(lambda: packed(iter([b"..."]), encoding)).request("GET", "/")


def test_an_unpacked_answer_beyond_the_limit_is_refused() -> None:
    http = asking(lambda: httpx.Response(200, stream=Body(bytes(1 << 16) for _ in iter(int, 1))), Limits(size=1 << 20))
    with pytest.raises(Unexpected, match="larger than 1 MiB"):
        http.request("GET", "/")


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_a_packed_answer_arrives_whole_however_it_is_cut(size: int) -> None:
    whole = bytes(range(256)) * 300
    sent = gzip.compress(whole[:40_000]) + gzip.compress(whole[40_000:])  # two files, one behind the other
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
    assert asking(lambda: packed(iter(pieces))).request("GET", "/").content == whole


def test_only_gzip_is_asked_for() -> None:
    asked: list[httpx.Request] = []
    transport = httpx.MockTransport(lambda request: asked.append(request) or httpx.Response(200))  # type: ignore[func-returns-value]
    Http("bank", "https://bank.test", transport=transport).request("GET", "/")
    assert asked[0].headers["Accept-Encoding"] == "gzip"


@pytest.mark.parametrize("damage", [lambda sent: sent[:-9], lambda sent: b"\x1f\x8b\x08\x00" + b"\xff" * 40])
def test_a_packed_answer_that_is_cut_off_or_damaged_is_a_broken_connection(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Unavailable, match="broke off"):
        asking(lambda: packed(iter([damage(gzip.compress(b"[1, 2, 3]" * 100))]))).request("GET", "/")


@pytest.mark.parametrize("address", ["/api?page=\x00", "/api\n", "/a\x7fb", "/" + "9" * 100_000, "https://bank.test/\u202e"])
def test_an_address_that_is_none_is_a_sentence(address: str) -> None:
    http = asking(lambda: httpx.Response(200))
    with pytest.raises(Unexpected, match="names an address that is none"):
        http.request("GET", address)
    assert http.requests == 0


def test_a_page_number_of_any_length_is_no_fault() -> None:
    assert next_number("/api?page=" + "9" * 100_000) == ""
    assert next_number("/api?page=9") == "/api?page=10"


@pytest.mark.parametrize(
    "header", ["²", "٣", "1e400", "-1", "soon", "Thu, 99 Xyz 2026", "\t", ",", "Mon, 01 Jan 0001 00:00:00 +9999"]
)
def test_a_pause_that_cannot_be_read_is_no_pause(header: str) -> None:
    slept: list[float] = []
    answers = [httpx.Response(503, headers={"Retry-After": header.encode()}), httpx.Response(200)]
    http = Http(
        "bank",
        "https://bank.test",
        patience=Patience((1.0,), slept.append),
        transport=httpx.MockTransport(lambda _: answers.pop(0)),
    )
    assert http.request("GET", "/").status_code == 200
    assert slept == [1.0]


@pytest.mark.parametrize(("asked", "waits"), [(120, True), (121, False), (1200, False), (10**400, False)])
def test_the_longest_pause_that_is_waited_out_is_two_minutes(asked: int, waits: bool) -> None:
    assert LONGEST_WAIT == 120
    slept: list[float] = []
    answers = [httpx.Response(503, headers={"Retry-After": str(asked)}), httpx.Response(200)]
    http = Http(
        "bank",
        "https://bank.test",
        patience=Patience((1.0,), slept.append),
        transport=httpx.MockTransport(lambda _: answers.pop(0)),
    )
    assert http.request("GET", "/").status_code == (200 if waits else 503)
    assert slept == ([float(asked)] if waits else [])
    if not waits:
        with pytest.raises(Unavailable, match="asked for a pause"):
            http.request("GET", "/")


def test_a_pause_of_a_year_is_the_longest_that_counts() -> None:
    for asked in ("1" + "0" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"):
        assert retry_after(httpx.Response(503, headers={"Retry-After": asked})) == 365 * 24 * 3600


def test_a_proxy_of_the_environment_never_sees_what_goes_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    for host in ("127.0.0.1", "localhost", "[::1]"):
        assert _proxies(Http("bank", f"http://{host}:1")) == []
    assert len(_proxies(Http("bank", "https://bank.test"))) > 0


def test_passwords_of_a_netrc_file_are_not_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine bank.test login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200)

    Http("bank", "https://bank.test", transport=httpx.MockTransport(answer)).request("GET", "/")
    assert "Authorization" not in asked[0].headers


@pytest.mark.parametrize("proxy", ["socks5://proxy.test:1", "ftp://proxy.test", "http://[::1"])
def test_a_proxy_that_cannot_be_used_is_a_sentence(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(Misconfigured, match="proxy"):
        Http("bank", "https://bank.test")


def _proxies(http: Http) -> list[Any]:
    return [mount for mount in http._client._mounts.values() if mount is not None]
