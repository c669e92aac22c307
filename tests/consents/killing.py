"""Commands that are killed before their n-th step, for every n, and the steps that they got through.

A step is a request to the bank, a write to the vault, a file put into place or removed. The command runs in a fork
(`tests/forks.py`), so that hundreds of them can be killed in seconds.
"""

import functools
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.consents.quick import INSTEAD
from tests.support import VAULT_KEY, Ended, command


@dataclass
class Victim(Ended):
    """A command that has ended, one way or the other."""

    steps: list[str]
    """What it did, oldest first; before the last one it was killed, if it was."""

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL


class Killer:
    """Runs commands, and kills those that it is asked to."""

    def run(
        self,
        environ: Mapping[str, str],
        *arguments: str,
        before: int | None = None,
        ahead: timedelta = timedelta(),
        quick: bool = True,
        given: str = "",
    ) -> Victim:
        """A command, killed before its step number `before`. `quick` puts rows in without dlt and builds no ledger."""
        with tempfile.TemporaryDirectory() as folder:
            steps = Path(folder) / "steps"
            inside = functools.partial(_prepare, steps, before, ahead.total_seconds(), quick)
            ended = command(Path(folder), environ, *arguments, given=given, inside=inside)
            return Victim(ended.status, ended.out, ended.err, steps.read_text().splitlines())


def environment(bank: Any, data_dir: Path, **more: str) -> dict[str, str]:
    """Returns the environment that names this bank."""
    return {
        "PIPELINES__DATA_DIR": str(data_dir),
        "PIPELINES__VAULT_KEY": VAULT_KEY,
        "SOURCES__KONTOMATIK__BASE_URL": f"{bank.url}/v1",
        "SOURCES__KONTOMATIK__DIALECT": bank.dialect,
        "SOURCES__KONTOMATIK__API_KEY": bank.world.kontomatik_api_key,
        "SOURCES__KONTOMATIK__POLL_INTERVAL": "0.01",
        "SOURCES__KONTOMATIK__REDIRECT_URL": "https://back.example.test/",
    } | more


# ---- the inside: what happens in the fork before the command


def _prepare(steps: Path, before: int | None, ahead: float, quick: bool) -> None:
    _time(ahead)
    if quick:
        for module, name, way in INSTEAD:
            setattr(module, name, way)
    _count(steps.open("w"), before)


def _count(steps: Any, before: int | None) -> None:
    """Writes each step down, and dies before the one that it is given."""
    from pipelines.consents.database import Database
    from sources._http import Http

    done = 0

    def step(name: str) -> None:
        nonlocal done
        done += 1
        print(name, file=steps, flush=True)
        if done == before:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(owner: Any, name: str, said_by: Callable[..., str | None]) -> None:
        way = getattr(owner, name)

        @functools.wraps(way)
        def stepping(*about: Any, **more: Any) -> Any:
            if said := said_by(*about):
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
    """Let the commands live some seconds ahead, and the bank's `Date` with them."""

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
