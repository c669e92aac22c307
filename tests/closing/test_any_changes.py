"""Whatever a bank changes, and whenever months are closed: closed months never change, and all sums are the ledger's."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from pipelines.questions import beancount, journal
from pipelines.questions.closing import accounts_of, last_day_of, planned_closings
from pipelines.questions.journal_events import Balance, Entry
from tests.ledger.worlds import MODELS, Row, built, needed

FIRST = date(2026, 1, 20)
NOW = datetime(2026, 7, 1, 6, tzinfo=UTC)
NEEDED = {
    model.table
    for table in (
        "corrections",
        "closings",
        "closed_transactions",
        "ledger_accounts",
        "exchange_rates",
        "seeds",
        "imports",
        "holes",
    )
    for model in needed(f"ledger.{table}")
}
CHANGES = st.tuples(
    st.sampled_from(["add", "amount", "day", "remove", "rule"]), st.integers(0, 9), st.integers(0, 130), st.integers(-999, 999)
)
STEPS = st.lists(st.one_of(st.just("close"), CHANGES), min_size=4, max_size=7)


@dataclass
class Books:
    """A bank with one account, and what is closed of it."""

    rows: dict[int, tuple[date, int]] = field(default_factory=lambda: {1: (FIRST, 10_000), 2: (date(2026, 3, 5), -2_000)})
    closed: dict[str, list[Row]] = field(default_factory=lambda: {"months": [], "transactions": [], "legs": []})
    rule: bool = False

    def change(self, what: str, which: int, day: int, cents: int) -> None:
        """Changes one row as a bank may, or the rule of its user."""
        number = sorted(self.rows)[which % len(self.rows)]
        booked_on, amount = self.rows[number]
        match what:
            case "add":
                self.rows[max(self.rows) + 1] = (FIRST + timedelta(days=day), cents)
            case "amount":
                self.rows[number] = (booked_on, cents)
            case "day":
                self.rows[number] = (FIRST + timedelta(days=day), amount)
            case "remove" if len(self.rows) > 1:
                del self.rows[number]
            case "rule":
                self.rule = not self.rule

    def ledger(self) -> duckdb.DuckDBPyConnection:
        """Returns the ledger of what the bank shows now and of what is closed."""
        rules = [{"rule": "r", "text": "x", "direction": "out", "ledger_account": "Expenses:Travel"}] if self.rule else []
        moved = sum(cents for _, cents in self.rows.values())
        given: dict[str, Any] = {
            "kontist.accounts": [{"account_id": "kontist:a", "balance_cents": 50_000 + moved}],
            "kontist.transactions": [
                {"source_transaction_id": str(number), "booking_type": "x", "purpose": "x", "amount_cents": cents,
                 "booking_date": datetime(day.year, day.month, day.day, 11, tzinfo=UTC)}
                for number, (day, cents) in self.rows.items()
            ],
            "kontist.imports": [{"account_id": "kontist:a", "started_at": NOW, "finished_at": NOW, "as_of": NOW}],
            "seeds.rules": rules,
        }  # fmt: skip
        given |= {f"closings.{name}": rows for name, rows in self.closed.items()}
        connection = built(given, [model for model in MODELS if model.table in NEEDED])
        connection.execute("use ledger")
        return connection

    def close(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Closes the first month that is open."""
        (account,) = accounts_of(connection, None)
        if account.closed_through is not None:
            month = account.closed_through + timedelta(days=1)
        else:
            assert account.first_day is not None
            month = account.first_day.replace(day=1)
        if last_day_of(month) >= NOW.date():
            return
        for one in planned_closings(connection, account, month, "ada", NOW, []):
            of_month = {"account_id": one.month.account_id, "month": one.month.month}
            self.closed["months"].append(vars(one.month))
            self.closed["transactions"] += [row | of_month for row in one.transactions]
            self.closed["legs"] += [row | of_month for row in one.legs]


def entries_of(connection: duckdb.DuckDBPyConnection) -> list[Entry]:
    return [one for one in journal.events(connection) if isinstance(one, Entry)]


def sums(entries: Sequence[Entry]) -> dict[tuple[str, str], Decimal]:
    found: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for entry in entries:
        for account, money in entry.legs:
            found[account, money.currency] += money.amount
    return {key: amount for key, amount in found.items() if amount}


def ledger_sums(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], Decimal]:
    found = connection.execute("""
        select ledger_account, currency, sum(amount)
        from (
            select ledger_account, currency, amount from postings
            union all
            select unnest([ledger_account, other_ledger_account]), currency, unnest([amount, -amount]) from balance_entries
        )
        group by all having sum(amount) <> 0
    """).fetchall()
    return {(account, currency): amount for account, currency, amount in found}


def text_through(entries: Sequence[Entry], day: date | None) -> list[str]:
    """The text of each entry through a day; within a day their order is of no meaning."""
    return sorted("\n".join(beancount.lines([one])) for one in entries if day is not None and one.day <= day)


@settings(max_examples=6, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
@example(
    steps=["close", "close", "close", ("add", 0, 100, 891), ("day", 1, 105, 0), "close", ("day", 1, 45, 0), ("add", 0, 0, -455)]
)
@given(steps=STEPS)
def test_closed_months_never_change_and_all_sums_are_the_ledgers(steps: list[Any]) -> None:
    books = Books()
    connection = books.ledger()
    for step in steps:
        before = entries_of(connection)
        if step == "close":
            books.close(connection)
        else:
            books.change(*step)
        through = max((month["last_day"] for month in books.closed["months"]), default=None)
        connection.close()
        connection = books.ledger()
        entries = entries_of(connection)

        assert text_through(entries, through) == text_through(before, through)
        assert sums(entries) == ledger_sums(connection)
        for entry in entries:
            assert sums([entry]).keys() != set() or not any(money.amount for _, money in entry.legs)
            assert sum(money.amount for _, money in entry.legs) == 0
        for one in journal.events(connection):
            if isinstance(one, Balance):
                held = sums([entry for entry in entries if entry.day <= one.day])
                assert held.get((one.account, one.holds.currency), Decimal(0)) == one.holds.amount
    connection.close()
