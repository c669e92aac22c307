"""Commands that are killed before their n-th step, for every n, and the steps that they got through.

A step is a request to the bank, a write to the vault, a file put into place or removed. The command runs in a fork of a
process that has imported everything and started nothing, so that hundreds of them can be killed in seconds.
"""

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.patience import patient

ROOT = Path(__file__).parents[2]


@dataclass
class Victim:
    """A command that has ended, one way or the other."""

    steps: list[str]
    """What it did, oldest first; before the last one it was killed, if it was."""
    killed: bool
    status: int
    out: str
    err: str

    @property
    def told(self) -> dict[str, Any]:
        """Its one JSON object."""
        found: dict[str, Any] = json.loads(self.out)
        return found


class Killer:
    """Runs commands, and kills those that it is told to."""

    def __enter__(self) -> "Killer":
        self._forge = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.consents.killing"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._forge.stdin is not None
        assert self._forge.stdout is not None
        self._forge.stdin.close()
        self._forge.wait(patient(10))
        self._forge.stdout.close()

    def run(
        self,
        environ: dict[str, str],
        *arguments: str,
        before: int | None = None,
        ahead: timedelta = timedelta(),
        quick: bool = True,
        given: str = "",
    ) -> Victim:
        """A command, killed before its step number `before`. `quick` puts rows in without dlt and builds no ledger."""
        assert self._forge.stdin is not None
        assert self._forge.stdout is not None
        with tempfile.TemporaryDirectory() as told:
            order = {"environ": environ, "arguments": arguments, "before": before, "ahead": ahead.total_seconds()}
            print(json.dumps(order | {"quick": quick, "told": told, "given": given}), file=self._forge.stdin, flush=True)
            ended = int(self._forge.stdout.readline())
            read = {name: (Path(told) / name).read_text() for name in ("steps", "out", "err")}
        return Victim(read["steps"].splitlines(), ended == -signal.SIGKILL, ended, read["out"], read["err"])


def environment(bank: Any, data_dir: Path, **more: str) -> dict[str, str]:
    """How a process is told of this bank."""
    from tests.support import VAULT_KEY

    return {
        "PIPELINES__DATA_DIR": str(data_dir),
        "PIPELINES__VAULT_KEY": VAULT_KEY,
        "SOURCES__KONTOMATIK__BASE_URL": f"{bank.url}/v1",
        "SOURCES__KONTOMATIK__DIALECT": bank.dialect,
        "SOURCES__KONTOMATIK__API_KEY": bank.world.kontomatik_api_key,
        "SOURCES__KONTOMATIK__POLL_INTERVAL": "0.01",
        "SOURCES__KONTOMATIK__REDIRECT_URL": "https://back.example.test/",
    } | more


# ---- the inside: the process that forks


NEEDED = (
    *(
        "pipelines.commands.cli",
        "pipelines.commands.consents",
        "pipelines.consents.erase",
        "pipelines.run.raw_load",
        "pipelines.notify.dispatch",
    ),
    *(
        "pipelines.run.summary",
        "sources.kontomatik.client",
        "sources.kontomatik.reply",
        "transforms.build",
        "tests.consents.quick",
    ),
    *("dlt", "filelock", "httpcore", "httpx", "lxml.etree", "pyarrow.compute", "sqlalchemy.dialects.sqlite", "_strptime"),
)
"""What the commands import when they get there: each fork would do it again."""


def _forge() -> None:
    """Import all that any command needs, then run each order in a fork."""
    for name in NEEDED:
        import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _obey(order)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _obey(order: dict[str, Any]) -> None:
    told = Path(order["told"])
    from tests.consents.quick import CERTIFICATES, INSTEAD

    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(told / name, os.O_CREAT | os.O_WRONLY), number)
    (told / "given").write_text(order["given"])
    os.dup2(os.open(told / "given", os.O_RDONLY), 0)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    os.environ.update(order["environ"])
    os.chdir(told)
    _time(order["ahead"])
    module, name, way = CERTIFICATES
    setattr(sys.modules[module], name, way)
    if order["quick"]:
        for module, name, way in INSTEAD:
            setattr(module, name, way)
    _count((told / "steps").open("w"), order["before"])
    from pipelines.commands.cli import main

    main(order["arguments"])


def _count(steps: Any, before: int | None) -> None:
    """Writes each step down, and dies before the one that it is told."""
    from pipelines.consents.database import Database
    from sources._http import Http

    done = 0

    def step(name: str) -> None:
        nonlocal done
        done += 1
        print(name, file=steps, flush=True)
        if done == before:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(owner: Any, name: str, told: Callable[..., str | None]) -> None:
        way = getattr(owner, name)

        @functools.wraps(way)
        def stepping(*about: Any, **more: Any) -> Any:
            if said := told(*about):
                step(said)
            return way(*about, **more)

        setattr(owner, name, stepping)

    def place(path: Path, *_: Any) -> str | None:
        return f"file {path.name}" if path.exists() and not path.name.startswith(".") and "work" not in str(path) else None

    counted(Http, "_send", lambda _, method, url, *_more: f"{method} {url.partition('/v1/')[2].partition('?')[0]}")
    counted(Database, "transaction", lambda _, *_more: f"vault {_caller()}")
    counted(Path, "replace", place)
    counted(Path, "unlink", lambda path, *_more: place(path))


def _caller() -> str:
    """Which of the vault's own methods writes."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_name in ("_caller", "<lambda>", "stepping", "write", "transaction"):
        frame = frame.f_back
    return frame.f_code.co_name


def _time(ahead: float) -> None:
    """Let the commands live so many seconds ahead, and the bank's `Date` with them."""

    def now() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=ahead)

    import pipelines.commands.consents as commands
    import pipelines.consents.clock as clock
    import pipelines.run.steps as running
    from pipelines.read import options

    options.utc_now = commands.utc_now = now
    if ahead:
        clock.bank_time = lambda *_: ("kontomatik", now())
    assert running.run.__kwdefaults__ is not None
    running.run.__kwdefaults__["now"] = now


@contextlib.contextmanager
def killer() -> Iterator[Killer]:
    """One for many tests."""
    with Killer() as running:
        yield running


if __name__ == "__main__":
    _forge()
