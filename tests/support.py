"""The sandbox bank on one side, a data directory on the other, and the whole program in between."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pytest
from filelock import FileLock

from pipelines.consents.sign_in import mock_opening
from pipelines.read.options import Options
from pipelines.run.report import Report
from pipelines.run.steps import Run
from pipelines.settings import KontistSettings, KontomatikSettings, Settings
from pipelines.store.banks import KONTOMATIK
from pipelines.store.ledger import Published
from pipelines.store.lock import held
from sources.sandbox import Dialect, SandboxBank, Totals, World, running
from tests.forks import Fork, Order, bare, forks
from tests.patience import patient
from tests.plain_loads import by_dlt
from transforms.engine import literal

ROOT = Path(__file__).parents[1]
VAULT_KEY = "dGVzdHMtb25seS12YXVsdC1rZXktMDAwMDAwMDAwMDA="
MANY = 1000
"""Imports a day, where a test is not about the quota."""
AUTUMN = date(2024, 10, 25)
"""The last day of a world of eight weeks: history enough for every window, and little to read."""


def settings_for(bank: SandboxBank, data_dir: Path, **more: Any) -> Settings:
    """Returns what `environment` says, as a value. `kontomatik` and `kontist` in `more` are those sections' own settings.

    No page is drawn unless `report` says so: few tests look at one.
    """
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
        **{"report": False} | more,
    )


def environment(bank: SandboxBank, **more: str) -> dict[str, str]:
    """Returns the same for a process of its own."""
    world = bank.world
    ours = {
        "PIPELINES__VAULT_KEY": VAULT_KEY,
        "PIPELINES__REPORT": "false",
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
    def parsed(self) -> dict[str, Any]:
        """Returns its one JSON object."""
        found: dict[str, Any] = json.loads(self.out)
        return found


def begun(
    folder: Path,
    environ: Mapping[str, str],
    *arguments: str,
    stdin: Any = subprocess.DEVNULL,
    stdout: Any = subprocess.PIPE,
    stderr: Any = subprocess.PIPE,
    inside: Callable[[], Any] | None = None,
) -> Fork:
    """Starts `python -m pipelines …` in a process of its own, in `folder`, with nobody's settings but `environ`.

    `inside` is called there before the command; `pickle` must be able to send it.
    """
    return forks().begin(Order(folder, bare() | dict(environ), arguments, inside), stdin, stdout, stderr)


def begun_anew(folder: Path, environ: Mapping[str, str], *arguments: str, **more: Any) -> subprocess.Popen[str]:
    """Starts the same in a new interpreter: for what is about its start, and odd streams. Takes what `subprocess.Popen` takes."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines", *arguments],
        cwd=folder,
        env=bare() | {"PYTHONPATH": str(ROOT)} | dict(environ),
        text=True,
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more,
    )


def ended(process: Fork | subprocess.Popen[str], given: str | None = None) -> Ended:
    """Waits for its end; a minute is too long."""
    try:
        out, err = process.communicate(given, timeout=patient(60))
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return Ended(process.returncode, out, err)


def command(folder: Path, environ: Mapping[str, str], *arguments: str, given: str | None = None, **more: Any) -> Ended:
    """Runs a command to its end, in a fork."""
    if given is not None:
        more["stdin"] = subprocess.PIPE
    return ended(begun(folder, environ, *arguments, **more), given)


def read(
    bank: SandboxBank, data_dir: Path, options: Options | None = None, *, ledger: bool = True, sign_in: bool = False, **more: Any
) -> Report:
    """Runs the main job in this process, at the world's time. The first read at Kontomatik signs in, as with `sign_in`.

    Without `ledger` raw history is published and the ledger stays as it is: most of a run's time is the ledger's.
    """
    settings = more.pop("settings", None) or settings_for(bank, data_dir, **more)
    options, now = options or Options(), bank.world.clock.now
    first = not (data_dir / "vault.sqlite").exists() and options.asks_for(KONTOMATIK)
    openings = mock_opening(now) if first or sign_in else None
    with held(data_dir, "test"), Run(settings, options, openings=openings, now=now) as steps:
        steps.read_all()
        steps.load()
        steps.publish()
        if ledger:
            steps.ledger()
    return steps.report


def troubled(report: Report) -> list[tuple[str, str]]:
    """Status and reason of every account that is not as the bank shows it."""
    return [(one.status, one.reason or "") for one in report.outcomes if one.troubled]


class Shared:
    """Folders that are made once for all the workers of a test run."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        own = factory.getbasetemp()
        self._root = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def folder(self, name: str, fill: Callable[[Path], None]) -> Path:
        """Returns the folder of that name, which `fill` has filled."""
        folder = self._root / name
        with FileLock(self._root / f"{name}.lock"):
            if not folder.exists():
                begun = self._root / f"{name}.begun"
                shutil.rmtree(begun, ignore_errors=True)
                begun.mkdir()
                fill(begun)
                begun.rename(folder)
        return folder


class FirstRuns:
    """Data directories as a first run leaves them. Each is made once, then copied: that run is seldom what is tested."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def copy(self, data_dir: Path, *, dialect: Dialect = "live", sources: tuple[str, ...] = (), **world: Any) -> World:
        """Puts one into `data_dir`; returns its world, as it was then. The bank's tokens hold at any bank of this world."""
        world = world or {"today": AUTUMN}

        def first_run(folder: Path) -> None:
            with by_dlt(), a_bank(World(**world), dialect=dialect) as bank:
                assert read(bank, folder, Options(sources)).status == "ok"

        about = sha256(repr((dialect, sources, *world.items())).encode()).hexdigest()[:16]
        shutil.copytree(self._shared.folder(f"first-run-{about}", first_run), data_dir, dirs_exist_ok=True)
        return World(**world)


def published(data_dir: Path, *_: Any, **__: Any) -> Published:
    """Leaves the ledger as it is, in place of `pipelines.store.ledger.build_and_publish`: for what is not about the ledger."""
    return Published(data_dir / "ledger.duckdb", {}, [], 0.0)


@contextmanager
def a_bank(world: World, *faults: Any, **more: Any) -> Iterator[SandboxBank]:
    """Yields the sandbox, without a quota unless one is named."""
    with running(world, *faults, **{"imports_per_day": MANY} | more) as bank:
        yield bank


_ASKED = count()


@cache
def _duckdb() -> duckdb.DuckDBPyConnection:
    """Returns a DuckDB that files are attached to: to start another one for a question costs ten times the question."""
    return duckdb.connect()


@contextmanager
def opened(data_dir: Path, name: str = "ledger") -> Iterator[duckdb.DuckDBPyConnection]:
    """Opens the ledger or raw history for reading."""
    with duckdb.connect(data_dir / f"{name}.duckdb", read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        yield connection


def rows(data_dir: Path, query: str, *, of: str = "ledger") -> list[tuple[Any, ...]]:
    """Returns what a query finds."""
    name = f"asked_{next(_ASKED)}"
    with _duckdb().cursor() as connection:
        connection.execute(f"attach {literal(data_dir / f'{of}.duckdb')} as {name} (read_only)")
        try:
            connection.execute(f"use {name}; set TimeZone = 'UTC'")
            return connection.execute(query).fetchall()
        finally:
            connection.execute(f"use memory; detach {name}")


KEY = "case when a.source = 'kontist' then a.iban else a.source_account_id end"


def ledger_totals(data_dir: Path) -> dict[tuple[str, str], Totals]:
    """Returns what `World.totals` says, from the ledger."""
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
    """Returns the balance that each account has, and the one that its last day ends with."""
    query = f"""
        select a.source, {KEY}, a.balance, coalesce(d.closing_balance, a.balance)
        from accounts a left join (
            from balances_daily qualify row_number() over (partition by account_id order by day desc) = 1
        ) d using (account_id)
        """
    return {(bank, key): (balance, closing) for bank, key, balance, closing in rows(data_dir, query)}


def assert_the_ledger_is_the_world(data_dir: Path, bank: SandboxBank) -> None:
    """Checks every account's counts, sums and balance, to the cent."""
    world = bank.world
    assert ledger_totals(data_dir) == world.totals(bank.dialect)
    names = dict(zip(world.totals(bank.dialect), world.accounts, strict=True))
    assert ledger_balances(data_dir) == {key: (own.balance, own.balance) for key, own in names.items()}


def account_id(data_dir: Path, account: Any) -> str:
    """Returns the ledger's id of one of the world's accounts."""
    ((found,),) = rows(data_dir, f"select account_id from accounts a where source = '{account.bank}' and {KEY} = '{account.key}'")
    return str(found)
