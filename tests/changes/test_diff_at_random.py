"""Whatever a bank does between two reads, history holds what it shows: invariants over random lives of an account."""

import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.changes.control_totals import control_totals
from pipelines.changes.diff import Diff, Differ
from pipelines.changes.late_rows import news_before_the_window
from pipelines.read.outcome import Answer, Outcome
from pipelines.settings import Settings
from pipelines.store.banks import KONTIST, KONTOMATIK
from pipelines.store.shape import Shape
from sources._columns import READ_DAYS, read_by_source
from sources._spool import SpoolFile
from tests.histories import NOON, Row, days_that_differ, kontist, kontomatik

FIRST = date(2026, 1, 1)
LAST = 40
"""Days of the account's life. Few days, few amounts: twins everywhere."""


@dataclass
class Bank:
    """An account at a bank: rows by their own number, which only a bank with ids shows."""

    with_ids: bool
    rows: dict[int, tuple[int, int | None, int, str]] = field(default_factory=dict)
    """Day of the payment, day of the booking if there was one, amount, text."""
    today: int = 15
    number: int = 0

    def change(self, what: str, at: int, day: int, amount: int) -> None:
        """One thing that banks do. `at` chooses the row, `day` counts back from today."""
        when = max(0, self.today - day)
        some = sorted(self.rows)[at % len(self.rows)] if self.rows else None
        if what == "append" or some is None:
            self._add(when, when, amount)
        elif what == "reserve":
            self._add(when, None, amount)
        elif what == "book late":
            self._add(when, self.today, amount)
        elif what == "delete":
            del self.rows[some]
        else:
            paid, booked, old, text = self.rows[some]
            if what == "book":
                self.rows[some] = (paid, self.today if booked is None else booked, old, text)
            elif what == "correct text":
                self.rows[some] = (paid, booked, old, f"text {day}")
            elif what == "correct amount":
                self.rows[some] = (paid, booked, amount, text)
            elif booked is not None:  # move
                self.rows[some] = (min(paid, when), when, old, text)

    def shows(self, since: int | None) -> list[Row]:
        """Newest first, from `since` on by either day, as the more generous bank has it."""
        found = []
        for number, (paid, booked, amount, text) in sorted(self.rows.items(), key=lambda one: (one[1][1] or one[1][0], one[0])):
            if since is None or (booked if booked is not None else paid) >= since:
                day = str(FIRST + timedelta(days=paid))
                booked_on = None if booked is None else str(FIRST + timedelta(days=booked))
                if self.with_ids:  # one day only: that of the booking
                    found.append(kontist(number, booked_on or day, amount, pending=booked is None, purpose=text))
                else:
                    found.append(kontomatik(day, f"{amount}.00", booked=booked_on, pending=booked is None, title=text))
        return found[::-1]

    def _add(self, paid: int, booked: int | None, amount: int) -> None:
        self.number += 1
        self.rows[self.number] = (paid, booked, amount, "text")


class Checked(Differ):
    """Does all of it a second time the plain way, and compares: every column through the windows, every known row numbered."""

    def _identify(self, shape: Shape, name: str, account_id: str, import_id: str, claim: date, newest_first: bool) -> None:
        super()._identify(shape, name, account_id, import_id, claim, newest_first)
        order = "desc" if newest_first else "asc"
        plain = f"""
            with numbered as (
                select *, false as late,
                    row_number() over (partition by window_on, {shape.amount} order by position {order}) as occurrence,
                    if(booked, row_number() over (partition by window_on, booked order by position {order}), 0) as position_in_day
                from answered where window_on >= $claim
            )
            select *, $import as import_id, {shape.version()} as row_version, {shape.version(without=shape.shifting)} as content
            from (select $account || ':' || {shape.key} as transaction_id, * from numbered)
            qualify row_number() over (partition by transaction_id order by position) = 1
        """
        self._same(name, plain, {"account": account_id, "import": import_id, "claim": claim})

    def _add_late(self, shape: Shape, name: str, account_id: str, import_id: str, claim: date, newest_first: bool) -> None:
        self.connection.execute(f"create or replace temp table before as from {name}")
        super()._add_late(shape, name, account_id, import_id, claim, newest_first)
        order = "desc" if newest_first else "asc"
        narrow = news_before_the_window(shape, order, answered="answered", diffed="before")
        whole = re.sub(r"_dlt_valid_to is null and .*", "_dlt_valid_to is null", narrow, count=1)
        assert whole != narrow
        plain = f"from before union all by name ({whole})"
        self._same(name, plain, {"account": account_id, "import": import_id, "claim": claim})

    def _same(self, name: str, plain: str, parameters: dict[str, Any]) -> None:
        self.connection.execute(f"create or replace temp table plainly as {plain}", parameters)
        columns = ", ".join(sorted(row[0] for row in self.connection.execute(f"describe {name}").fetchall()))
        for one, other in ((name, "plainly"), ("plainly", name)):
            left = self.connection.execute(f"select {columns} from {one} except all select {columns} from {other}").fetchall()
            assert left == []


@dataclass
class Kept:
    """Raw history of the account, in memory; what dlt's scd2 does to it is done by the two statements in `load`."""

    shape: Shape
    folder: Path
    connection: duckdb.DuckDBPyConnection
    differ: type[Differ] = Differ
    reads: int = 0
    whole: bool = True
    """Whether nobody took rows out of it."""

    def empty(self) -> None:
        """As before the first read."""
        self.reads, self.whole = 0, True
        for table in (self.shape.table, f"{self.shape.dataset}.read_days"):
            self.connection.execute(f"delete from {table}")

    def read(self, shown: Sequence[Row], since: date | None, *, complete: bool = True, confirmed: bool = True) -> Diff:
        self.reads += 1
        spool = SpoolFile(self.folder / f"{self.reads}.parquet", read_by_source(self.shape.schema))
        if shown:
            names = read_by_source(self.shape.schema).names
            whole = [{name: row.get(name) for name in names} for row in shown]
            spool.add(pa.RecordBatch.from_pylist(whole, schema=read_by_source(self.shape.schema)))
        outcome = Outcome(self.shape.dataset, NOON, account_id="A", import_id=f"i{self.reads}")
        answer = Answer(outcome, {}, spool, "deep" if since else "full", since, as_of=date(2026, 6, 30), complete=complete)
        differ = self.differ(self.connection, Settings().thresholds)
        settled = differ.diff(self.shape, answer, confirmed=lambda _: confirmed)
        if settled.differs or self.reads == 1:
            result = control_totals(self.connection, self.shape, settled, f"i{self.reads}")
        if settled.differs:
            batches = list(differ.rows(settled, self.shape.schema))
            self.load(pa.Table.from_batches(batches, self.shape.schema), settled)
        if settled.differs or self.reads == 1:
            self.connection.register("totals", result)
            self.connection.execute(f"create or replace table {self.shape.dataset}.read_days as from totals")
        if self.whole:
            assert days_that_differ(self.connection, self.shape) == [], "what is stored before the load holds after it"
        return settled

    def load(self, staged: pa.Table, settled: Diff) -> None:
        self.connection.register("staged", staged)
        if settled.since is not None:
            self.connection.execute(
                f"update {self.shape.table} set _dlt_valid_to = $now where _dlt_valid_to is null"
                " and (window_on >= $since or transaction_id in (select unnest($moved)))"
                " and row_version not in (select row_version from staged)",
                {"now": self.reads, "since": settled.since, "moved": settled.moved},
            )
        self.connection.execute(
            f"insert into {self.shape.table} by name select *, $now as _dlt_valid_from from staged"
            f" where row_version not in (select row_version from {self.shape.table} where _dlt_valid_to is null)",
            {"now": self.reads},
        )

    def current(self, columns: str, since: date = date.min, *, booked: bool = False) -> Counter[tuple[Any, ...]]:
        return Counter(
            self.connection.execute(
                f"select {columns} from {self.shape.table} where _dlt_valid_to is null and window_on >= ?"
                f" and ({not booked} or {self.shape.booked})",
                [since],
            ).fetchall()
        )

    def faults(self) -> list[tuple[Any, ...]]:
        return self.connection.execute(
            f"""
            select transaction_id from {self.shape.table} where _dlt_valid_to is null group by 1 having count(*) > 1
            union all
            select a.transaction_id from {self.shape.table} a join {self.shape.table} b using (transaction_id)
            where a._dlt_valid_from < b._dlt_valid_from and (a._dlt_valid_to is null or a._dlt_valid_to > b._dlt_valid_from)
            """
        ).fetchall()


@pytest.fixture(scope="module", params=["ids", "no ids"])
def kept(request: pytest.FixtureRequest) -> Iterator[Kept]:
    shape = (KONTIST if request.param == "ids" else KONTOMATIK).shape
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(":memory:", config={"threads": 1}) as connection:
        empty = shape.schema.empty_table()
        connection.register("empty", empty)
        connection.execute(f"create schema {shape.dataset}")
        connection.execute(
            f"create table {shape.table} as"
            " select *, cast(null as integer) as _dlt_valid_from, cast(null as integer) as _dlt_valid_to from empty"
        )
        connection.register("no_days", READ_DAYS.empty_table())
        connection.execute(f"create table {shape.dataset}.read_days as from no_days")
        yield Kept(shape, Path(folder), connection)


CHANGES = st.tuples(
    st.sampled_from(["append", "append", "reserve", "book late", "book", "delete", "correct text", "correct amount", "move"]),
    st.integers(0, 20),
    st.integers(0, 15),
    st.integers(-2, 2),
)
READS = st.tuples(st.lists(CHANGES, max_size=4), st.integers(0, 12), st.sampled_from(["window", "window", "full", "partial"]))


@given(lives=st.lists(READS, min_size=4, max_size=6))
@settings(max_examples=5)
def test_the_short_way_to_identify_rows_ends_where_the_plain_one_does(kept: Kept, lives: list[Any]) -> None:
    kept.empty()
    kept.differ = Checked
    bank = Bank(kept.shape is KONTIST.shape)
    for changes, days, depth in lives:
        for change in changes:
            bank.change(*change)
        since = None if depth == "full" else FIRST + timedelta(days=max(1, bank.today - days))
        shown = bank.shows(None if since is None else (since - FIRST).days - 1)
        kept.read(shown, since, complete=depth != "partial")


@given(lives=st.lists(READS, min_size=2, max_size=6))
@settings(max_examples=10)
def test_history_holds_what_the_bank_shows(kept: Kept, lives: list[Any]) -> None:
    kept.empty()
    with_ids = kept.shape is KONTIST.shape
    bank = Bank(with_ids)
    alike = "source_transaction_id, window_on, amount_cents, purpose" if with_ids else "window_on, booked_on, amount"

    def as_kept(rows: Sequence[Row]) -> Counter[tuple[Any, ...]]:
        return Counter(tuple(row.get(name) for name in alike.split(", ")) for row in rows)

    for changes, days, depth in [*lives, ([], 0, "full")]:
        for change in changes:
            bank.change(*change)
        since = None if depth == "full" else FIRST + timedelta(days=max(1, bank.today - days))
        shown = bank.shows(None if since is None else (since - FIRST).days - 1)
        kept.read(shown, since, complete=depth != "partial")

        assert kept.faults() == []
        assert as_kept(shown) - kept.current(alike) == Counter() or depth == "partial", "nothing that is shown is dropped"
        if depth == "window":
            assert kept.current(alike, since) == as_kept([row for row in shown if row["window_on"] >= since])
        if depth == "full":
            assert kept.current(alike) == as_kept(shown)
        if depth != "partial":
            again = kept.read(shown, since)
            assert (again.counts.new, again.counts.changed, again.counts.removed, again.differs) == (0, 0, 0, False)
        bank.today = min(LAST, bank.today + 3)


def _faulty(rows: Sequence[Row], fault: str) -> list[Row]:
    """The bank's answer with one thing wrong in all of it."""
    if fault == "empty":
        return []
    if fault == "half":
        return [row for place, row in enumerate(rows) if place % 2 == 0 or _is_news(row)]
    factor = {"sign": -1, "hundredfold": 100}.get(fault, 1)
    days = timedelta(days=1 if fault == "shift" else 0)
    wrong = []
    for row in rows:
        moved = {name: row[name] + days for name in ("window_on", "transaction_on", "booked_on") if row.get(name) is not None}
        wrong.append(row | moved | {name: row[name] * factor for name in ("amount", "amount_cents") if name in row})
    return wrong


def _is_news(row: Row) -> bool:
    return abs(row.get("amount", row.get("amount_cents"))) >= NEWS


NEWS = 1_000
"""Amounts from here on are those of payments that come while something is held, each another one, on a day of its own."""
FAULTS = st.sampled_from(["sign", "hundredfold", "shift", "half", "empty"])


@given(
    fault=FAULTS,
    before=st.lists(CHANGES, min_size=3, max_size=12),
    reads=st.lists(st.tuples(st.booleans(), st.lists(CHANGES, max_size=2)), max_size=5),
)
@settings(max_examples=6)
def test_whatever_is_held_no_payment_is_there_twice_and_what_is_new_is_there(
    kept: Kept, fault: str, before: list[Any], reads: list[Any]
) -> None:
    """Active rows are those of the last answer that was believed, and the new ones of the answers since."""
    kept.empty()
    with_ids = kept.shape is KONTIST.shape
    money = "amount_cents" if with_ids else "amount"
    known = f"window_on, {money}"
    bank = Bank(with_ids)
    for change in before:
        bank.change(*change)
    kept.read(bank.shows(None), None)
    payments = set(bank.rows)

    for is_faulty, changes in reads:
        for what, at, day, amount in changes:
            # a payment that changes day and amount at once is another one to everybody
            if what not in ("move", "book late") and (fault != "shift" or what == "delete"):
                bank.change(what, at, day + 2, amount)
        bank.today += 3
        bank.change("append", 0, 0, NEWS + bank.number)
        shown = _faulty(bank.shows(None), fault if is_faulty else "none")
        was = kept.current(known, booked=True)
        read = kept.read(shown, None, confirmed=False)
        payments |= set(bank.rows)

        assert kept.faults() == []
        now = kept.current(known, booked=True)
        if read.held is None:
            assert kept.current(known) == Counter((row["window_on"], row[money]) for row in shown)
            payments = set(bank.rows)
        else:
            assert was - now == Counter(), "what is known stays while it is held"
            newest = [(row["window_on"], row[money]) for row in shown if _is_news(row)]
            assert Counter(newest[:1]) - now == Counter(), "what is new is there"
        assert now.total() <= len(payments), "no payment is there twice"

    whole = bank.shows(None)
    kept.read(whole, None)
    assert kept.faults() == []
    assert kept.current(known) == Counter((row["window_on"], row[money]) for row in whole)


@given(
    lives=st.lists(st.tuples(st.lists(CHANGES, max_size=4), st.integers(0, 8)), min_size=1, max_size=3),
    lost=st.integers(0, 11),
    again=st.booleans(),
)
@settings(max_examples=5)
def test_a_row_that_history_lost_is_not_forgotten_when_newer_days_are_read(
    kept: Kept, lives: list[Any], lost: int, again: bool
) -> None:
    """Lost or doubled before the days that are read again: the stored total of its day still says so."""
    kept.empty()
    bank = Bank(kept.shape is KONTIST.shape)
    for day in range(12):
        bank.change("append", 0, bank.today - day, 1 + day % 3)
    kept.read(bank.shows(None), None)
    ((day, rows),) = kept.connection.execute(
        f"select window_on, list(transaction_id) from {kept.shape.table} group by all order by 1 limit 1 offset {lost}"
    ).fetchall()
    if again:
        kept.connection.execute(
            f"insert into {kept.shape.table} select * replace ('another' as transaction_id) from {kept.shape.table}"
            " where transaction_id = ?",
            rows,
        )
    else:
        kept.connection.execute(f"delete from {kept.shape.table} where transaction_id = ?", rows)
    kept.whole = False

    bank.today = 30  # what happens from here on happens on later days
    bank.rows = {number: row for number, row in bank.rows.items() if row[0] > 11}
    for changes, days in lives:
        for what, at, back, amount in changes:
            bank.change(what, at, min(back, 10), amount)
        kept.read(bank.shows(bank.today - days), FIRST + timedelta(days=bank.today - days))
        differing = days_that_differ(kept.connection, kept.shape)
        assert [one[1] for one in differing] == [day]
        bank.today += 3
