"""Runs commands in forks of one process that has imported everything: a new interpreter spends a second on that each time.

A fork has its own arguments, environment, folder, standard streams, signals and exit status, like a process that a shell starts.
What is only true of a new interpreter (its start, closed streams, odd encodings) is tested in one: see `support.begun_anew`.
"""

import atexit
import contextlib
import functools
import gc
import os
import pickle
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import IO, Any

ROOT = Path(__file__).parents[1]
NEEDED = (
    *("pipelines.commands.cli", "pipelines.commands.run", "pipelines.commands.consents", "pipelines.commands.questions"),
    *("pipelines.consents.erase", "pipelines.notify.dispatch", "pipelines.questions.doctor", "pipelines.run.raw_load"),
    *("pipelines.run.handover", "pipelines.run.summary", "sources.kontist.client", "sources.kontomatik.client"),
    *("sources.kontomatik.reply", "sources._resources", "transforms.build", "tests.consents.killing"),
    *("dlt", "dlt.destinations", "duckdb", "filelock", "httpcore", "httpx", "lxml.etree", "pyarrow.compute", "pyarrow.parquet"),
    *("sqlalchemy.dialects.sqlite", "cryptography.fernet", "rich.table", "s3fs", "_strptime"),
)
"""What commands import when they get there: each fork would do it again."""


@dataclass(frozen=True)
class Order:
    """What one fork is to do."""

    folder: Path
    environ: Mapping[str, str]
    arguments: tuple[str, ...]
    inside: Callable[[], Any] | None
    """Called in the fork before the command: whatever can be pickled."""


class Fork:
    """A command under way, with the methods of `subprocess.Popen` that tests use. Unlike there, closing is not waiting."""

    def __init__(self, report: int, given: int | None, said: Mapping[str, int]) -> None:
        self._report = os.fdopen(report)
        self.stdin: IO[str] | None = None if given is None else os.fdopen(given, "w", encoding="utf-8")
        self._said = {name: os.fdopen(number, encoding="utf-8") for name, number in said.items()}
        self.stdout, self.stderr = self._said.get("stdout"), self._said.get("stderr")
        self.returncode: int | None = None
        self.pid = int(self._report.readline())

    def poll(self) -> int | None:
        """Returns the exit status; `None` while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end; returns the exit status, a signal's number below 0. Raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            if not select.select([self._report], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a fork", timeout or 0)
            self.returncode = int(self._report.readline())
            self._report.close()
        return self.returncode

    def communicate(self, given: str | None = None, timeout: float | None = None) -> tuple[str, str]:
        """Writes `given`, reads to the end, waits. Raises `subprocess.TimeoutExpired`; it can be called again then."""
        end = None if timeout is None else time.monotonic() + timeout
        if not hasattr(self, "_reading"):
            self._read: dict[str, str] = {}
            self._reading = [threading.Thread(target=self._read_all, args=one, daemon=True) for one in self._said.items()]
            for one in self._reading:
                one.start()
            if self.stdin is not None:
                with contextlib.suppress(BrokenPipeError), self.stdin:
                    self.stdin.write(given or "")
        self.wait(timeout)
        for one in self._reading:
            one.join(None if end is None else max(0.0, end - time.monotonic()))
            if one.is_alive():
                raise subprocess.TimeoutExpired("what a fork started", timeout or 0)
        return self._read.get("stdout", ""), self._read.get("stderr", "")

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it at once."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> "Fork":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for stream in (self.stdin, *self._said.values()):
            if stream is not None:
                stream.close()
        self.wait()

    def _read_all(self, name: str, stream: IO[str]) -> None:
        with stream:
            self._read[name] = stream.read()


class Forks:
    """The process that has imported everything. It ends when the one that made it does, however that ends."""

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "tests.forks", str(theirs.fileno())],
                cwd=ROOT,
                env=bare() | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def begin(self, order: Order, stdin: Any, stdout: Any, stderr: Any) -> Fork:
        """Starts a fork. Its streams are given as for `subprocess.Popen`."""
        theirs: list[int] = []
        ours: dict[str, int] = {}
        opened: list[int] = []
        for name, number, given in (("stdin", 0, stdin), ("stdout", 1, stdout), ("stderr", 2, stderr)):
            if given == subprocess.PIPE:
                read, written = os.pipe()
                theirs.append(written if number else read)
                ours[name] = read if number else written
                opened.append(theirs[-1])
            elif given == subprocess.DEVNULL:
                opened.append(os.open(os.devnull, os.O_RDWR))
                theirs.append(opened[-1])
            elif given is None:
                theirs.append(number)
            else:
                theirs.append(given if isinstance(given, int) else given.fileno())
        report, reporting = os.pipe()
        packed = pickle.dumps(order)
        socket.send_fds(self._orders, [len(packed).to_bytes(8, "big")], [*theirs, reporting])
        self._orders.sendall(packed)
        for number in (*opened, reporting):
            os.close(number)
        return Fork(report, ours.pop("stdin", None), ours)

    def close(self) -> None:
        """Ends it, and what it has started."""
        self._orders.close()
        self._process.wait()


@functools.cache
def forks() -> Forks:
    """Returns those of this process, begun at the first use."""
    one = Forks()
    atexit.register(one.close)
    return one


def bare() -> dict[str, str]:
    """Returns the environment of whoever runs the tests, without any setting."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}


# ---- the inside: the process that forks


def _next_order(orders: socket.socket) -> tuple[bytes, list[int]] | None:
    """Forks for each order. Returns, in a fork, its packed order and its streams; in this process `None` once nobody asks."""
    running: dict[int, int] = {}
    woken, wake = os.pipe()
    for number in (woken, wake):
        os.set_blocking(number, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at the tests reaches this process, too
    while True:
        ready, _, _ = select.select([orders, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _report_the_ended(running)
        if orders not in ready:
            continue
        size, streams, _, _ = socket.recv_fds(orders, 8, 4)
        if not size:
            for pid in running:
                os.kill(pid, signal.SIGKILL)
            return None
        packed = _received(orders, int.from_bytes(size, "big"))
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            return packed, streams[:3]
        running[pid] = streams.pop()
        os.write(running[pid], b"%d\n" % pid)
        for number in streams:
            os.close(number)


def _report_the_ended(running: dict[int, int]) -> None:
    for pid, report in [*running.items()]:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with contextlib.suppress(BrokenPipeError):
                os.write(report, b"%d\n" % os.waitstatus_to_exitcode(status))
            os.close(report)
            del running[pid]


def _received(orders: socket.socket, size: int) -> bytes:
    packed = b""
    while len(packed) < size:
        packed += orders.recv(size - len(packed))
    return packed


def _become(order: Order, imported: Mapping[str, str]) -> None:
    """Makes this fork what a new process would be. `imported` is what the imports have added to the environment."""
    os.environ.clear()
    os.environ.update({**imported, **order.environ})
    time.tzset()
    os.chdir(order.folder)
    tempfile.tempdir = None
    sys.path[0] = str(order.folder)
    sys.argv[:] = ["pipelines", *order.arguments]
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        old = getattr(sys, name)
        new = open(number, old.mode, encoding=old.encoding, errors=old.errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)
    sys.stderr.reconfigure(line_buffering=True)
    if order.inside is not None:
        order.inside()


def main(orders: int) -> None:
    """Imports all that commands need, then forks; in a fork, runs `python -m pipelines`."""
    before = dict(os.environ)
    for name in NEEDED:
        import_module(name)
    import_module("sources._http")._trusted()  # reads certificates, once for all forks
    imported = {name: value for name, value in os.environ.items() if before.get(name) != value}
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=orders) as listening:
        asked = _next_order(listening)
    if asked is None:
        os._exit(0)
    packed, streams = asked
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, 1024)
    _become(pickle.loads(packed), imported)  # noqa: S301  # from the tests themselves
    runpy.run_module("pipelines", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
