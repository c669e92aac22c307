"""Serves the sandbox from another process, so that its work is not in the time of those who read it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from sources.sandbox import World, running
from sources.sandbox.banks import kontist

PAGE = 50
"""Rows of a page, as at the bank."""


@dataclass(frozen=True)
class Bank:
    """A sandbox in another process."""

    url: str
    kontist_email: str
    kontist_password: str
    kontomatik_api_key: str
    pipe: "Connection[Any, Any]"

    def add_rows(self, count: int) -> None:
        """Adds new bookings of today to the first account of Kontist."""
        self._ask("add", count)

    def spent(self) -> tuple[int, float]:
        """Returns the requests so far, and the processor seconds of the sandbox itself."""
        requests, seconds = self._ask("spent")
        return int(requests), float(seconds)

    def _ask(self, *question: Any) -> Any:
        self.pipe.send(question)
        return self.pipe.recv()

    def environment(self, *, kontomatik: bool = False) -> dict[str, str]:
        """Returns the environment of a run that reads this bank: Kontist's login, or Kontomatik's key."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("SOURCES__")}
        if not kontomatik:
            return own | {
                "SOURCES__KONTIST__BASE_URL": self.url,
                "SOURCES__KONTIST__EMAIL": self.kontist_email,
                "SOURCES__KONTIST__PASSWORD": self.kontist_password,
                "SOURCES__KONTIST__REQUESTS_PER_MINUTE": "0",
            }
        from pipelines.consents.keyring import new_vault_key

        return own | {
            "SOURCES__KONTOMATIK__BASE_URL": f"{self.url}/v1",
            "SOURCES__KONTOMATIK__DIALECT": "live",
            "SOURCES__KONTOMATIK__API_KEY": self.kontomatik_api_key,
            "SOURCES__KONTOMATIK__POLL_INTERVAL": "0.02",
            "PIPELINES__VAULT_KEY": new_vault_key(),
        }


@contextmanager
def serving(rows: int, *, latency: float = 0.0) -> Iterator[Bank]:
    """Serves a world with this number of booked rows at each bank. Kontist's rows are rendered before the first request."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(rows, latency, theirs))
    process.start()
    try:
        yield Bank(*ours.recv(), ours)
    finally:
        ours.send(("end",))
        process.join()


def _serve(rows: int, latency: float, pipe: "Connection[Any, Any]") -> None:
    world = World(transactions=rows)
    own = [account for account in world.accounts if account.bank == "kontist"]
    rendering = kontist.row_text
    rendered = {row.id: rendering(row) for account in own for row in account.newest_first()}
    kontist.row_text = lambda row: rendered.get(row.id) or rendering(row)
    with running(world, dialect="live", page_size=PAGE, imports_per_day=1000, latency=latency) as bank:
        pipe.send((bank.url, world.kontist_email, world.kontist_password, world.kontomatik_api_key))
        while True:
            match pipe.recv():
                case ("end",):
                    return
                case ("add", count):
                    for number in range(count):
                        world.append(own[0], amount=-100 - number)
                    pipe.send(None)
                case ("spent",):
                    pipe.send((len(bank.requests), time.process_time()))
