"""The time of one answer holds for each of its bytes, from the request on: banks on loopback that are slow, each in its way."""

import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from pipelines.read.deadline import Deadline
from sources._errors import OutOfTime, Unavailable, Unreached
from sources._http import Http, Patience
from sources._limits import Limits
from tests.patience import patient

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
Answering = Callable[[socket.socket, threading.Event], None]


def drips_its_head(client: socket.socket, over: threading.Event) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not over.wait(0.02):
        client.sendall(b"a")


def drips_its_body(client: socket.socket, over: threading.Event) -> None:
    client.sendall(HEAD)
    while not over.wait(0.02):
        client.sendall(b"a")


def stops_in_its_body(client: socket.socket, over: threading.Event) -> None:
    client.sendall(HEAD + b"[")
    over.wait()


def says_nothing(client: socket.socket, over: threading.Event) -> None:
    over.wait()


@contextmanager
def slow_bank(answering: Answering) -> Iterator[int]:
    """A port where each caller is answered so, until the block ends or the caller has gone."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    try:
                        client.recv(65536)
                        answering(client, over)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join(patient(10))


@pytest.mark.parametrize("answering", [drips_its_head, drips_its_body, stops_in_its_body, says_nothing])
def test_an_answer_ends_at_its_deadline_wherever_the_bank_lingers(answering: Answering) -> None:
    with slow_bank(answering) as port:
        http = Http("bank", f"http://127.0.0.1:{port}", patience=Patience((0.0,) * 3, lambda _: None), limits=Limits(seconds=0.3))
        began = time.monotonic()
        with pytest.raises(Unavailable, match=r"not complete after 0\.3 seconds") as caught:
            http.request("GET", "/")
        http.close()
    assert time.monotonic() - began < patient(8), "httpx's own timeout is 30 seconds"
    assert not isinstance(caught.value, Unreached)
    assert http.requests == 1, "an answer of five minutes is not asked for four times"


def test_an_answer_through_a_proxy_ends_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    with slow_bank(drips_its_head) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        http = Http("bank", "https://bank.test", patience=Patience(()), limits=Limits(seconds=0.3))
        with pytest.raises(Unavailable, match=r"not complete after 0\.3 seconds"):
            http.request("GET", "/")
        http.close()


def test_nothing_is_sent_once_the_time_for_asking_is_over() -> None:
    moment, asked = [0.0], []
    http = Http(
        "bank",
        "https://bank.test",
        transport=httpx.MockTransport(lambda request: asked.append(request) or httpx.Response(200)),  # type: ignore[func-returns-value]
    )
    http.before_each = Deadline(60.0, lambda: moment[0]).keep
    moment[0] = 59.0
    http.request("GET", "/")
    moment[0] = 60.0
    for method in ("GET", "POST"):
        with pytest.raises(OutOfTime, match=r"the run's time is over, so the bank was not asked\. The next run goes on"):
            http.request(method, "/")
    assert (len(asked), http.requests) == (1, 1)


def test_no_deadline_is_never_over() -> None:
    moment = [0.0]
    never = Deadline(0.0, lambda: moment[0])
    moment[0] = 1e9
    never.keep("bank")
    assert never.left == math.inf
