"""Output that cannot be written, and signals at a bad moment: the right status, a sentence or silence, never a traceback."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.commands import cli, questions
from pipelines.commands.stop import SENTENCE
from pipelines.commands.streams import CLOSED_PIPE, Streams
from pipelines.errors import FAILED, GOOD, INTERRUPTED, WRONG_USAGE
from tests.support import begun_anew, command, ended

STATUS = ("status", "--data-dir", ".")
JSON = (*STATUS, "--json")
NO_SPACE = (
    "The output could not be written (No space left on device). What the command did before stands; give it another place.\n"
)


@pytest.mark.parametrize("asked", [STATUS, JSON, ("--help",)])
def test_output_that_is_full_is_a_sentence_and_status_1(tmp_path: Path, asked: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        said = command(tmp_path, {}, *asked, stdout=full)
    assert (said.status, said.err) == (FAILED, NO_SPACE)


def test_output_that_is_closed_is_a_sentence_and_no_file_of_ours_gets_its_number(tmp_path: Path) -> None:
    said = ended(begun_anew(tmp_path, {}, *STATUS, stdout=None, preexec_fn=lambda: os.close(1)))
    assert said.status == FAILED
    assert said.err.startswith("The output could not be written (Bad file descriptor).")


def test_a_reader_that_has_gone_is_what_it_is_for_other_programs(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        said = command(tmp_path, {}, *STATUS, stdout=writing)
    finally:
        os.close(writing)
    assert (said.status, said.err) == (CLOSED_PIPE, "")


def test_errors_that_cannot_be_printed_change_no_status(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        assert command(tmp_path, {}, "prove", stderr=full).status == WRONG_USAGE
        both = command(tmp_path, {}, "explain", "t", "--data-dir", ".", "--json", stderr=full, stdout=full)
    assert both.status == WRONG_USAGE
    said = ended(begun_anew(tmp_path, {}, *JSON, stderr=None, preexec_fn=lambda: os.close(2)))
    assert (said.status, said.parsed["accounts"]) == (GOOD, [])


def test_a_terminal_without_our_signs_gets_json_that_loses_nothing(tmp_path: Path) -> None:
    odd = tmp_path / "Łódź €"
    odd.mkdir()
    latin = {"PYTHONIOENCODING": "latin-1"}
    said = ended(begun_anew(tmp_path, latin, "status", "--data-dir", str(odd), "--json", encoding="latin-1"))
    assert (said.status, said.err, said.parsed["data_dir"]) == (GOOD, "", str(odd))


def test_signs_that_an_encoding_lacks_are_shown_plainly_or_escaped() -> None:
    streams = Streams()
    assert "account …1234 · 5 × – Ł".encode("ascii", "kontoledger") == b"account ...1234 . 5 x - ?"
    streams.expect_json()
    text = "…é\U0001f600"
    assert json.loads(f'"{text}"'.encode("ascii", "kontoledger")) == text


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`cli.main` in this process: how it ends."""

    def left(status: int) -> None:
        raise SystemExit(status)

    monkeypatch.setattr(os, "_exit", left)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def called(*arguments: str) -> Any:
        with pytest.raises(SystemExit) as ending:
            cli.main([*arguments])
        return ending.value.code

    yield called
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_duckdb_works_is_an_interrupt_and_no_fault(
    main: Callable[..., int], how: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def works(_: Any) -> int:
        threading.Timer(0.1, os.kill, (os.getpid(), how)).start()
        # Now and then DuckDB leaves all the work to another thread and the main one hears nothing before the statement ends:
        # so this one ends by itself.
        with duckdb.connect() as connection:
            connection.execute("select sum(a.range * b.range) from range(100_000) a, range(5_000) b").fetchall()
            time.sleep(0)  # here at the latest
        return GOOD

    monkeypatch.setattr(questions, "status", works)
    assert main("status", "--json") == INTERRUPTED
    said = capsys.readouterr()
    assert said.err == f"{SENTENCE}\n"
    assert json.loads(said.out)["exit_status"] == INTERRUPTED


@pytest.mark.parametrize("error", [RuntimeError("Query interrupted"), ValueError(), OSError(4, "EINTR"), KeyboardInterrupt()])
def test_whatever_a_library_makes_of_an_interrupt_it_stays_one(
    main: Callable[..., int], error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def works(_: Any) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.sigtimedwait([], 0)  # a signal is heard between two steps
        except KeyboardInterrupt:
            raise error from None
        return GOOD

    monkeypatch.setattr(questions, "status", works)
    assert (main("status"), capsys.readouterr().err) == (INTERRUPTED, f"{SENTENCE}\n")


def test_a_signal_before_the_first_import_is_an_interrupt(tmp_path: Path) -> None:
    """The command's own module asks for it to be stopped while it is imported."""
    stops = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    (tmp_path / "argparse.py").write_text(stops)
    said = ended(begun_anew(tmp_path, {}, "--help"))
    assert (said.status, said.err) == (INTERRUPTED, f"{SENTENCE}\n")
