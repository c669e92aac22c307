"""`python -m flows` at a terminal: output that cannot be written and an interrupt end it as they end every other command."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipelines.commands.streams import CLOSED_PIPE
from pipelines.errors import FAILED, INTERRUPTED
from tests.patience import patient
from tests.scheduled.serving import environment

HELP = ("tidy", "--help")
NO_SPACE = (
    "The output could not be written (No space left on device). What the command did before stands; give it another place.\n"
)


def begun(home: Path, *asked: str, **options: Any) -> subprocess.Popen[str]:
    settings = environment(home, **options.pop("env", {}))
    return subprocess.Popen(
        [sys.executable, "-m", "flows", *asked], cwd=home, env=settings, stderr=subprocess.PIPE, text=True, **options
    )


def test_output_that_is_full_is_a_sentence_and_status_1(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full, begun(tmp_path, *HELP, stdout=full) as process:
        _, result = process.communicate(timeout=patient(60))
    assert (process.returncode, result) == (FAILED, NO_SPACE)


def test_a_reader_that_has_gone_is_what_it_is_for_other_programs(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with begun(tmp_path, *HELP, stdout=writing) as process:
        os.close(writing)
        _, result = process.communicate(timeout=patient(60))
    assert (process.returncode, result) == (CLOSED_PIPE, "")


@contextmanager
def silent_server(asked: Callable[[], None]) -> Iterator[str]:
    """A server that never answers; `asked` hears of the first question."""
    over = threading.Event()

    class Silent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked()
            over.wait()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api"
    finally:
        over.set()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("asked", ["status", "tidy"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_the_server_is_waited_for_is_a_sentence_and_130(
    tmp_path: Path, asked: str, number: signal.Signals
) -> None:
    waits = threading.Event()
    with silent_server(waits.set) as url, begun(tmp_path, asked, env={"PREFECT_API_URL": url}) as process:
        assert waits.wait(patient(60))
        process.send_signal(number)
        _, result = process.communicate(timeout=patient(60))
    assert (process.returncode, result) == (INTERRUPTED, "Interrupted.\n")
