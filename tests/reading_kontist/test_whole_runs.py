"""Whole runs against a Kontist that changes while it is read, and what they cost in requests."""

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from threading import RLock
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.read.options import Options
from pipelines.run.report import Report
from pipelines.run.steps import Run
from pipelines.settings import KontistSettings, Settings
from pipelines.store.lock import held
from sources.sandbox import Fault, SandboxBank, World, running
from sources.sandbox.banks.wire import Answer, Call
from sources.sandbox.world.records import Account

AUTUMN = date(2024, 10, 25)
ONLY = Options(("kontist",))
FULL = replace(ONLY, full_refresh=True)
Shown = dict[int, tuple[int, bool, str | None]]
"""By id: cents, whether booked, description."""


def settings_for(bank: SandboxBank, folder: Path, **more: Any) -> Settings:
    world = bank.world
    login = {"email": world.kontist_email, "password": world.kontist_password, "requests_per_minute": 0}
    return Settings(data_dir=folder, kontist=KontistSettings(**{"base_url": bank.url} | login | more))


def read(bank: SandboxBank, folder: Path, options: Options = ONLY, *, ledger: bool = False) -> Report:
    with held(folder, "test"), Run(settings_for(bank, folder), options, now=bank.world.clock.now) as steps:
        steps.read_all()
        steps.load()
        steps.publish()
        if ledger:
            steps.ledger()
    return steps.report


def rows(folder: Path, query: str, of: str = "raw") -> list[tuple[Any, ...]]:
    with duckdb.connect(folder / f"{of}.duckdb", read_only=True) as connection:
        return connection.execute(query).fetchall()


def kept(folder: Path, account_id: str) -> Shown:
    """What raw history takes for the account as it is."""
    query = (
        "select source_transaction_id::int64, amount_cents, valuta_date is not null, purpose from kontist.transactions"
        f" where _dlt_valid_to is null and account_id = '{account_id}'"
    )
    return {number: (cents, booked, text) for number, cents, booked, text in rows(folder, query)}


def shown(account: Account) -> Shown:
    return {row.id: (row.cents, row.booked_on is not None, row.description) for row in account.newest_first()}


@dataclass(eq=False)
class Meanwhile(Fault):
    """After some pages of transactions something happens at the bank; remembers what it showed, page by page."""

    plan: dict[int, tuple[str, int]] = field(default_factory=dict)
    seen: dict[str, list[Shown]] = field(default_factory=dict)
    _pages: int = 0
    _alone: Any = field(default_factory=RLock)

    def before(self, call: Call, bank: SandboxBank, /) -> Answer | None:
        if call.path.endswith("/transactions"):
            self._alone.acquire()  # a page and what follows it are one step, however many threads ask
        return None

    def after(self, call: Call, answer: Answer, bank: SandboxBank, /) -> None:
        if not call.path.endswith("/transactions"):
            return
        try:
            if answer.account is not None:
                self.seen.setdefault(str(answer.account.number), []).append(shown(answer.account))
                self._pages += 1
                what, draw = self.plan.pop(self._pages, ("", 0))
                self._happen(bank.world, answer.account, what, random.Random(draw))  # noqa: S311 (a test's draw)
        finally:
            self._alone.release()

    def _happen(self, world: World, account: Account, what: str, dice: random.Random) -> None:
        booked = [row for row in account.newest_first() if row.booked_on is not None]
        waiting = [row for row in account.newest_first() if row.booked_on is None]
        if what == "come":
            world.append(account, amount="-1.00", description="new")
        elif what == "late":
            world.insert(account, world.today - timedelta(dice.randrange(1, 40)), "2.00")
        elif what == "go" and booked:
            world.delete(dice.choice(booked))
        elif what == "swap" and booked:  # `total` stays
            world.delete(dice.choice(booked))
            world.insert(account, world.today - timedelta(dice.randrange(1, 300)), f"{dice.randrange(10**6, 10**7)}.00")
        elif what == "edit" and booked:
            world.correct(dice.choice(booked), description=f"edited {dice.random()}")
        elif what == "reserve":
            world.append(account, amount="-3.00", pending=True)
        elif what == "book" and waiting:
            world.book(dice.choice(waiting))
        elif what == "lapse" and waiting:
            world.delete(dice.choice(waiting))


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw history of the quiet world."""
    folder = tmp_path_factory.mktemp("history")
    with running(World(today=AUTUMN), page_size=10) as bank:
        report = read(bank, folder)
    assert all(one.status == "complete" for one in report.outcomes)
    return folder / "raw.duckdb"


@contextmanager
def a_copy(history: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("run")
    shutil.copy(history, folder / "raw.duckdb")
    yield folder
    shutil.rmtree(folder)


happenings = st.dictionaries(
    st.integers(1, 30),
    st.tuples(st.sampled_from(["come", "late", "go", "swap", "edit", "reserve", "book", "lapse"]), st.integers(0, 9999)),
    min_size=1,
    max_size=5,
)


@settings(max_examples=8, deadline=None)
@given(plan=happenings, options=st.sampled_from([ONLY, FULL, replace(ONLY, since=AUTUMN - timedelta(20))]))
def test_the_history_is_the_world_after_a_run_or_the_account_is_reported_unread(
    plan: dict[int, tuple[str, int]], options: Options, history: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world, meanwhile = World(today=AUTUMN), Meanwhile(plan=plan)
    swaps = any(what == "swap" for what, _ in plan.values())
    with a_copy(history, tmp_path_factory) as folder, running(world, meanwhile, page_size=10) as bank:
        before = {number: shown(world.account(number)) for number in ("4711", "4712")}
        report = read(bank, folder, options)
        for number, outcome in zip(before, report.outcomes, strict=True):
            assert outcome.account_id is not None
            found, looks = kept(folder, outcome.account_id), meanwhile.seen[number]
            if outcome.status != "complete":
                assert "kept changing" in str(outcome.reason)
                assert found == before[number]
                continue
            # the world as it was at the last look: every row once, to the cent; a text may be one that an earlier look showed
            # a swap behind what was read already leaves the world as it was at an earlier look
            truths = looks if swaps else looks[-1:]
            assert {key: row[:2] for key, row in found.items()} in [
                {key: row[:2] for key, row in truth.items()} for truth in truths
            ]
            for key, row in found.items():
                assert row in [look[key] for look in [before[number], *looks] if key in look]
        meanwhile.plan.clear()
        read(bank, folder, FULL)
        for number, outcome in zip(before, report.outcomes, strict=True):
            assert kept(folder, str(outcome.account_id)) == shown(world.account(number))


# ---- what it costs


def asked(bank: SandboxBank) -> dict[str, int]:
    """Requests by what they were about."""
    found = {
        "tokens": bank.count("POST", "/api/user/"),
        "accounts": bank.count("GET", "/api/accounts") - bank.count("GET", "/api/accounts/"),
        "transactions": bank.count("GET", "/transactions"),
        "orders": bank.count("GET", "-orders"),
    }
    assert sum(found.values()) == len(bank.requests)
    return found


def test_a_run_asks_for_what_it_needs_and_nothing_that_moves_money(tmp_path: Path) -> None:
    with running(World(transactions=10_000), page_size=50) as bank:
        account = bank.world.account("4711")
        pages = -(-len(account.newest_first()) // 50)
        other = -(-len(bank.world.account("4712").newest_first()) // 50)
        report = read(bank, tmp_path)
        # 10,000 rows of history: every page once, and the first of each account once more
        assert asked(bank) == {"tokens": 2, "accounts": 1, "transactions": pages + 1 + other + 1, "orders": 4}
        assert (pages, other) == (180, 20)
        assert report.banks[0].requests == len(bank.requests)

        bank.requests.clear()
        read(bank, tmp_path)
        # nothing new: accounts 1, transactions 1 an account, orders 2 an account
        assert asked(bank) == {"tokens": 2, "accounts": 1, "transactions": 2, "orders": 4}

        for number in range(3):
            bank.world.append(account, amount=f"-{number + 1}.00")
        bank.requests.clear()
        report = read(bank, tmp_path)
        # 3 new rows: the page that brings them, the one behind it, a second look at the first; the other account 1
        assert asked(bank) == {"tokens": 2, "accounts": 1, "transactions": 3 + 1, "orders": 4}
        assert report.banks[0].counts.new == 3
        assert {method for method, path in bank.requests if "/accounts" in path} == {"GET"}


def depth(report: Report) -> str | None:
    """How far the larger account was read: the smaller one is at its end soon, and a shallow read of it is a full one."""
    return report.outcomes[0].depth


def test_everything_is_read_again_after_a_week_and_whenever_somebody_says_so(tmp_path: Path) -> None:
    with running(World(today=AUTUMN), page_size=10) as bank:
        old = bank.world.account("4711").newest_first()[-1]
        read(bank, tmp_path)
        bank.world.correct(old, description="edited long after", category="VAT_19")
        edited = f"select count(*) from kontist.transactions where source_transaction_id = '{old.id}' and category = 'VAT_19'"
        assert depth(read(bank, tmp_path)) == "shallow"
        assert rows(tmp_path, edited) == [(0,)]
        bank.world.clock.advance(timedelta(days=1))
        assert depth(read(bank, tmp_path)) == "deep"
        bank.world.clock.advance(timedelta(days=6))
        assert depth(read(bank, tmp_path)) == "full"
        assert rows(tmp_path, edited) == [(1,)]

        bank.world.correct(old, category="VAT_7")
        assert depth(read(bank, tmp_path, FULL)) == "full"
        assert rows(tmp_path, edited.replace("VAT_19", "VAT_7")) == [(1,)]


# ---- pending


def test_pending_rows_are_replaced_at_every_read_and_stand_in_no_balance(tmp_path: Path) -> None:
    world = World(transactions=60)
    with running(world) as bank:
        account = world.account("4711")
        reserved = world.append(account, amount="-20.00", pending=True)
        lapses = world.append(account, amount="-30.00", pending=True)
        grows = world.append(account, amount="-40.00", pending=True)
        read(bank, tmp_path, ledger=True)
        balance = (
            "select balance, (select sum(amount) from transactions t where t.account_id = a.account_id and status = 'booked')"
        )
        query = f"{balance} from accounts a where source_account_id = '4711'"
        ((reported, booked),) = rows(tmp_path, query, "ledger")
        assert reported == account.balance
        pending = "select count(*), sum(amount) from transactions where status = 'pending'"
        assert rows(tmp_path, pending, "ledger") == [(3, -90)]

        world.clock.advance(timedelta(days=1))
        becomes = world.book(reserved, day=world.today)
        world.delete(lapses)
        world.book(grows, amount="-41.00", day=world.today)
        report = read(bank, tmp_path, ledger=True)
        assert report.status == "ok"
        assert rows(tmp_path, pending, "ledger") == [(0, None)]
        ((_, after),) = rows(tmp_path, query, "ledger")
        assert after - booked == -61
        linked = "select source_transaction_id, split_part(succeeds_transaction_id, ':', 3) from transaction_history"
        assert rows(tmp_path, f"{linked} where succeeds_transaction_id is not null", "ledger") == [
            (str(becomes.id), str(reserved.id))
        ]
