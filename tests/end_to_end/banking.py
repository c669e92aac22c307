"""The sandbox bank on one side, a data directory on the other, and the whole program in between."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from pipelines.consents.sign_in import mock_opening
from pipelines.read.options import SOURCES, Options
from pipelines.run.report import Report
from pipelines.run.steps import run
from pipelines.settings import KontistSettings, KontomatikSettings, Settings
from pipelines.store.lock import held
from sources.sandbox import SandboxBank, Totals, World, running
from tests.patience import patient

ROOT = Path(__file__).parents[2]
VAULT_KEY = "dGVzdHMtb25seS12YXVsdC1rZXktMDAwMDAwMDAwMDA="
MANY = 1000
"""Imports a day, where a test is not about the quota."""


def settings_for(bank: SandboxBank, data_dir: Path, **more: Any) -> Settings:
    """What `environment` says, as a value. `kontomatik` and `kontist` in `more` are those sections' own settings."""
    world = bank.world
    kontomatik = {"poll_interval": 0.01, "command_deadline": 5.0, "imports_per_day": MANY} | more.pop("kontomatik", {})
    kontist = {"email": world.kontist_email, "password": world.kontist_password, "requests_per_minute": 0}
    return Settings(
        data_dir=data_dir,
        vault_key=VAULT_KEY,
        kontomatik=KontomatikSettings(
            **{"base_url": f"{bank.url}/v1", "dialect": bank.dialect, "api_key": world.kontomatik_api_key} | kontomatik
        ),
        kontist=KontistSettings(**{"base_url": bank.url} | kontist | more.pop("kontist", {})),
        **more,
    )


def environment(bank: SandboxBank, **more: str) -> dict[str, str]:
    """The same for a process of its own."""
    world = bank.world
    ours = {
        "PIPELINES__VAULT_KEY": VAULT_KEY,
        "SOURCES__KONTOMATIK__BASE_URL": f"{bank.url}/v1",
        "SOURCES__KONTOMATIK__DIALECT": bank.dialect,
        "SOURCES__KONTOMATIK__API_KEY": world.kontomatik_api_key,
        "SOURCES__KONTOMATIK__POLL_INTERVAL": "0.01",
        "SOURCES__KONTOMATIK__IMPORTS_PER_DAY": str(MANY),
        "SOURCES__KONTIST__BASE_URL": bank.url,
        "SOURCES__KONTIST__EMAIL": world.kontist_email,
        "SOURCES__KONTIST__PASSWORD": world.kontist_password,
        "SOURCES__KONTIST__REQUESTS_PER_MINUTE": "0",
    }
    return ours | more


@dataclass
class Ended:
    """A process that has ended, and what it said."""

    status: int
    out: str = field(repr=False)
    err: str

    @property
    def told(self) -> dict[str, Any]:
        """Its one JSON object."""
        found: dict[str, Any] = json.loads(self.out)
        return found


def begun(folder: Path, environ: Mapping[str, str], *arguments: str, **more: Any) -> subprocess.Popen[str]:
    """`python -m pipelines …` in a process of its own, in `folder`, with nobody's settings but `environ`."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines", *arguments],
        cwd=folder,
        env=inherited | {"PYTHONPATH": str(ROOT)} | dict(environ),
        text=True,
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more,
    )


def ended(process: subprocess.Popen[str], given: str | None = None) -> Ended:
    """Wait for it; a minute is too long."""
    out, err = process.communicate(given, timeout=patient(60))
    return Ended(process.returncode, out, err)


def command(folder: Path, environ: Mapping[str, str], *arguments: str, **more: Any) -> Ended:
    """Run a command to its end."""
    return ended(begun(folder, environ, *arguments, **more))


def read(bank: SandboxBank, data_dir: Path, options: Options | None = None, **more: Any) -> Report:
    """The main job in this process, at the world's time. The first read at Kontomatik signs in."""
    settings = more.pop("settings", None) or settings_for(bank, data_dir, **more)
    now = bank.world.clock.now
    with held(data_dir, "test"):
        first = not (data_dir / "vault.sqlite").exists() and "kontomatik" in ((options or Options()).sources or SOURCES)
        return run(settings, options or Options(), openings=mock_opening(now) if first else None, now=now)


@contextmanager
def a_bank(world: World, *faults: Any, **more: Any) -> Iterator[SandboxBank]:
    """The sandbox, without a quota unless one is named."""
    with running(world, *faults, **{"imports_per_day": MANY} | more) as bank:
        yield bank


@contextmanager
def opened(data_dir: Path, name: str = "ledger") -> Iterator[duckdb.DuckDBPyConnection]:
    """The ledger or raw history, for reading."""
    with duckdb.connect(data_dir / f"{name}.duckdb", read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        yield connection


def rows(data_dir: Path, query: str, *, of: str = "ledger") -> list[tuple[Any, ...]]:
    """What a query finds."""
    with opened(data_dir, of) as connection:
        return connection.execute(query).fetchall()


KEY = "case when a.source = 'kontist' then a.iban else a.source_account_id end"


def ledger_totals(data_dir: Path) -> dict[tuple[str, str], Totals]:
    """What `World.totals` says, from the ledger."""
    found = rows(
        data_dir,
        f"""
        select a.source, {KEY}, count(*) filter (status = 'booked'), sum(amount) filter (status = 'booked'),
            count(*) filter (status = 'pending'), sum(amount) filter (status = 'pending')
        from accounts a left join transactions t on t.account_id = a.account_id and t.currency = a.currency
        group by all
        """,
    )
    zero = Decimal("0.00")
    return {(bank, key): Totals(booked, paid or zero, pending, held or zero) for bank, key, booked, paid, pending, held in found}


def ledger_balances(data_dir: Path) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
    """The balance that each account has, and the one that its last day ends with."""
    query = f"""
        select a.source, {KEY}, a.balance, coalesce(d.closing_balance, a.balance)
        from accounts a left join (
            from balances_daily qualify row_number() over (partition by account_id order by day desc) = 1
        ) d using (account_id)
        """
    return {(bank, key): (balance, closing) for bank, key, balance, closing in rows(data_dir, query)}


def assert_the_ledger_is_the_world(data_dir: Path, bank: SandboxBank) -> None:
    """Every account's counts, sums and balance, to the cent."""
    world = bank.world
    assert ledger_totals(data_dir) == world.totals(bank.dialect)
    names = dict(zip(world.totals(bank.dialect), world.accounts, strict=True))
    assert ledger_balances(data_dir) == {key: (own.balance, own.balance) for key, own in names.items()}


def account_id(data_dir: Path, account: Any) -> str:
    """The ledger's id of one of the world's accounts."""
    ((found,),) = rows(data_dir, f"select account_id from accounts a where source = '{account.bank}' and {KEY} = '{account.key}'")
    return str(found)
