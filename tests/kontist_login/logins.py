"""Kontist alone at the sandbox bank, a data directory, and what the vault and the bank know of the login."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from pipelines.consents import kontist_login
from pipelines.consents.clients import vault_of
from pipelines.consents.vault import Consent, Vault
from pipelines.read.options import Options
from pipelines.run.report import Report
from pipelines.run.steps import Run
from pipelines.settings import KontistSettings, Settings
from pipelines.store.lock import held
from sources.kontist.auth import Login
from sources.sandbox import Fault, SandboxBank, World, running
from tests.support import VAULT_KEY

EMPTY: list[Path] = []
"""A `raw.duckdb` with tables and no rows, once it is made: the first load is not what is tested here."""
ROWS = 60
"""Rows at the bank, over two years."""


@dataclass
class Customer:
    """Somebody with an account at Kontist and a data directory of their own."""

    bank: SandboxBank
    data_dir: Path

    @property
    def world(self) -> World:
        return self.bank.world

    def settings(self, **kontist: Any) -> Settings:
        """Nothing to log in with, unless `kontist` says so."""
        own = KontistSettings(**{"base_url": self.bank.url, "requests_per_minute": 0} | kontist)
        return Settings(data_dir=self.data_dir, vault_key=VAULT_KEY, kontist=own)

    def with_password(self) -> Settings:
        return self.settings(email=self.world.kontist_email, password=self.world.kontist_password)

    @property
    def login(self) -> Login:
        return Login(self.world.kontist_email, self.world.kontist_password)

    def connect(self, login: Login | None = None) -> tuple[Consent, list[str]]:
        """What `connect kontist` does once it has the password."""
        self.data_dir.mkdir(exist_ok=True)
        with self.vault() as vault:
            return kontist_login.connect(self.settings(), vault, login or self.login, self.world.clock.now)

    def read(self, settings: Settings | None = None, *, ledger: bool = False) -> Report:
        """The main job at the bank's time; most tests look at raw history and the vault, and spare the ledger."""
        self.data_dir.mkdir(exist_ok=True)
        if EMPTY and not (self.data_dir / "raw.duckdb").exists():
            shutil.copy(EMPTY[0], self.data_dir / "raw.duckdb")
        with (
            held(self.data_dir, "test"),
            Run(settings or self.settings(), Options(("kontist",)), now=self.world.clock.now) as steps,
        ):
            steps.read_all()
            steps.load()
            steps.publish()
            if ledger:
                steps.ledger()
        return steps.report

    def rows(self, query: str, of: str = "raw") -> list[tuple[Any, ...]]:
        with duckdb.connect(self.data_dir / f"{of}.duckdb", read_only=True) as connection:
            return connection.execute(query).fetchall()

    @contextmanager
    def vault(self) -> Iterator[Vault]:
        self.data_dir.mkdir(exist_ok=True)
        with vault_of(self.settings()) as vault:
            yield vault

    def states(self) -> list[str]:
        with self.vault() as vault:
            return [one.status for one in vault.consents()]

    def token(self, consent: Consent) -> str:
        with self.vault() as vault:
            return vault.token(consent.consent_id)

    def alive(self, token: str) -> bool:
        """Whether the bank would still give an auth token for it."""
        return self.bank.kontist.tokens.read(token, "refresh") is not None

    def trail(self, consent: Consent) -> list[str]:
        with self.vault() as vault:
            return [f"{one.what}: {one.outcome}" for one in vault.trail(consent.consent_id)]

    def on_disk(self) -> bytes:
        """Every byte that the program has left behind, as far as it is text."""
        return b"".join(path.read_bytes() for path in self.data_dir.rglob("*") if path.is_file())

    def sealed(self) -> list[bytes]:
        with closing(sqlite3.connect(self.data_dir / "vault.sqlite")) as connection, connection:
            return [row[0] for row in connection.execute("select sealed_token from consents")]


@contextmanager
def a_customer(folder: Path, *faults: Fault, world: World | None = None, **more: Any) -> Iterator[Customer]:
    with running(world or World(transactions=ROWS), *faults, **more) as bank:
        yield Customer(bank, folder / "data")


def tokens_asked(bank: SandboxBank) -> list[str]:
    """Method and endpoint of each request about tokens."""
    return [f"{method} {path.rpartition('/')[2]}" for method, path in bank.requests if "/api/user/" in path]


def good(report: Report) -> bool:
    """Whether every account was read, and whole."""
    return bool(report.outcomes) and all(one.status == "complete" and one.reason is None for one in report.outcomes)
