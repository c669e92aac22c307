"""Compares one answer of a bank with raw history: identity, window, new, changed and missing rows, held removals.

The bank's latest answer wins inside the window that it covers (DECISIONS, "The bank's latest answer wins"). All of it is done
on columns, in the run's own DuckDB: rows never become Python objects, and a history of any length spills to disk.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.changes.late_rows import news_before_the_window
from pipelines.changes.plausible_days import PlausibleDays, quoted
from pipelines.changes.removal_guard import Held, RemovalGuard
from pipelines.read.outcome import Answer, Counts
from pipelines.settings import Thresholds
from pipelines.store.shape import Shape
from pipelines.store.unasked import completed
from sources._columns import read_by_source

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ALL = date.min
"""The start of a window over everything that a bank has."""
BATCH = 10_000
"""Rows that are handed on at once: dlt holds a few batches in memory, as rows of a parquet file and encoded."""


@dataclass(frozen=True, kw_only=True)
class Diff:
    """What one account's answer changes, ready to load."""

    account_id: str
    counts: Counts
    claim: date | None
    """From this day on the answer is complete; None: it claims nothing."""
    since: date | None
    """First day that differs from what was known, or `claim`: from it on rows are loaded and known ones retired."""
    differs: bool
    held: Held | None = None
    """Removals and changes that are held for confirmation: they are left out, and the known versions stay in their place."""
    moved: list[str] = field(default_factory=list)
    """Transactions whose known version lies before the window: retired by id."""
    table: str
    """Temporary table of the rows to load."""


class Differ:
    """Compares answers with raw history, on the run's held connection."""

    def __init__(self, connection: "DuckDBPyConnection", thresholds: Thresholds) -> None:
        self._connection = connection
        self._guard = RemovalGuard(connection, thresholds)
        self._tables = 0

    @property
    def connection(self) -> "DuckDBPyConnection":
        """Returns the run's open connection."""
        return self._connection

    def diff(self, shape: Shape, answer: Answer, *, confirmed: Callable[[Held], bool] = lambda _: False) -> Diff:
        """Returns what the answer changes, and leaves its rows to load in a temporary table.

        `answer.since` is the claim: from that day on the answer is all that the bank shows; None claims everything. Without
        `depth_known` the bank may have cut old days off silently, and the claim starts at the first day that it shows. An answer
        that is not `complete` claims nothing: it only adds rows that were not known. Rows of days that are not plausible are left
        out. `confirmed` is asked about removals that the guard holds; unless it agrees, everything else of the answer loads.
        """
        self._tables += 1
        name, account_id, import_id = f"diff_{self._tables}", str(answer.outcome.account_id), answer.outcome.import_id
        self._show(shape, account_id, answer)
        shape = self._narrowed(shape, account_id)
        claim = answer.since or (ALL if answer.depth_known else self._oldest_day_shown_whole(shape, account_id))
        self._identify(shape, name, account_id, import_id, claim, answer.newest_first)
        self._add_late(shape, name, account_id, import_id, claim, answer.newest_first)
        if not answer.complete:
            return self._only_additions(shape, name, account_id, claim)
        self._compare(shape, name, account_id, claim)
        held = self._held(shape, name, account_id, claim, confirmed)
        return self._changes_of(name, account_id, claim, held)

    def rows(self, diff: Diff, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yields the rows to load, in batches, exactly as the table declares them."""
        held = {name for name, *_ in self._connection.execute(f"select * from {diff.table} limit 0").description}
        columns = ", ".join(field.name if field.name in held else f"null as {field.name}" for field in schema)
        reader = self._connection.sql(f"select {columns} from {diff.table}").to_arrow_reader(BATCH)
        for batch in reader:
            if batch.num_rows:
                yield pa.RecordBatch.from_arrays(
                    [column.cast(field.type) for column, field in zip(batch.columns, schema, strict=True)], schema=schema
                )

    def _held(self, shape: Shape, name: str, account_id: str, claim: date, confirmed: Callable[[Held], bool]) -> Held | None:
        """Returns what the removal guard holds; `name` and `compared` have the known versions in its place then."""
        held = self._guard.weigh(shape, name, account_id, claim)
        if held is None or confirmed(held):
            return None
        self._guard.hold_back(shape, name, account_id, claim)
        self._compare(shape, name, account_id, claim)
        return held

    def _changes_of(self, name: str, account_id: str, claim: date, held: Held | None) -> Diff:
        """Returns the diff of a complete answer; `name` keeps the rows from the first day on that differs."""
        counts = Counts(
            *self._row("select count(*) filter (news), count(*) filter (changed), count(*) filter (gone) from compared")
        )
        differs, first = self._row(
            "select count(*), min(least(if(shown_on >= $claim, shown_on, null), if(known_on >= $claim, known_on, null)))"
            " from compared where differs",
            {"claim": claim},
        )
        # Days before the first difference are as they were: neither loaded nor claimed again.
        start: date = first or claim
        moved = [
            row[0]
            for row in self._connection.execute(
                "select transaction_id from compared where differs and known_on < ? and shown_on is not null", [start]
            ).fetchall()
        ]
        self._connection.execute(f"delete from {name} where window_on < ? and not late", [start])
        return Diff(
            account_id=account_id,
            counts=counts,
            claim=claim,
            since=start,
            differs=bool(differs),
            held=held,
            moved=moved,
            table=name,
        )

    def _show(self, shape: Shape, account_id: str, answer: Answer) -> None:
        """Creates the view `answered`: all rows of plausible days that the bank showed of the account, with what is known of the
        columns that it was not asked for."""
        spooled, currency = answer.spool.close(), answer.account.get("currency")
        if spooled is None:
            columns = [*read_by_source(shape.schema), pa.field("position", pa.int64())]
            nothing = pa.schema(columns).empty_table()  # read by its name in the query
            self._connection.execute("create or replace temp table spooled_nothing as from nothing")
            del nothing
            rows = "spooled_nothing"
        else:
            rows = f"read_parquet({quoted(str(spooled))}, hive_partitioning = false)"
        filled = f"replace (coalesce(currency, {quoted(currency)}) as currency)" if "currency" in shape.schema.names else ""
        shown = (
            f"select {quoted(account_id)} as account_id, * {filled}, {shape.booked} as booked from {rows}"
            f" where {PlausibleDays.on(answer.as_of).sql(shape)}"
        )
        shown = completed(shape, shown, quoted(account_id), answer.unasked.get("transactions", {}))
        self._connection.execute(f"create or replace temp view answered as {shown}")

    def _narrowed(self, shape: Shape, account_id: str) -> Shape:
        """Returns the shape without the later columns that neither the answer nor what is known of the account fills.

        Each column of a table takes memory of its own, however empty it is; versions are the same without these.
        """
        later = [column.name for column in shape.schema if column.name in shape.later]
        if not later:
            return shape
        filled = ", ".join(f"count({name})" for name in later)
        shown = self._row(f"select {filled} from answered")
        known = self._row(f"select {filled} from {shape.table} where account_id = ? and _dlt_valid_to is null", [account_id])
        empty = {name for name, *counts in zip(later, shown, known, strict=True) if not any(counts)}
        return replace(shape, schema=pa.schema([column for column in shape.schema if column.name not in empty]))

    def _identify(self, shape: Shape, name: str, account_id: str, import_id: str, claim: date, newest_first: bool) -> None:
        """Creates the table of the shown rows inside the window, with identity and version.

        Only keys pass through the windows: a whole history with all its columns would be written to disk at each of them.
        """
        oldest_first = "desc" if newest_first else "asc"
        self._connection.execute(
            f"""
            create or replace temp table {name} as
            with

            -- counted from the oldest row of a whole day, so that a later twin never takes an earlier one's number
            numbered as (
                select
                    {shape.counted},
                    false as late,
                    row_number() over (partition by window_on, {shape.amount} order by position {oldest_first}) as occurrence,
                    if(
                        booked,
                        row_number() over (partition by window_on, booked order by position {oldest_first}),
                        0
                    ) as position_in_day
                from answered
                where window_on >= $claim
            )

            {shape.identified("answered", "numbered")}
            """,
            {"account": account_id, "import": import_id, "claim": claim},
        )

    def _add_late(self, shape: Shape, name: str, account_id: str, import_id: str, claim: date, newest_first: bool) -> None:
        """Adds the late rows: new ones that are shown before the window."""
        if self._one("select count(*) from answered where window_on < ?", [claim]):
            oldest_first = "desc" if newest_first else "asc"
            self._connection.execute(
                f"insert into {name} by name {news_before_the_window(shape, oldest_first, answered='answered', diffed=name)}",
                {"account": account_id, "import": import_id, "claim": claim},
            )

    def _compare(self, shape: Shape, name: str, account_id: str, claim: date) -> None:
        """Creates `compared`: one row a transaction that is shown now, or known inside the window, or both."""
        mark = shape.told_apart_by or "cast(null as date)"
        self._connection.execute(
            f"""
            create or replace temp table compared as
            with

            known as (
                select
                    transaction_id, row_version, window_on, {shape.booked} as booked, {shape.pending} as pending,
                    {shape.version(without=shape.shifting)} as content, {mark} as mark, {shape.weighed}
                from {shape.table}
                where account_id = $account and _dlt_valid_to is null
                    and (window_on >= $claim or transaction_id in (select transaction_id from {name}))
            ),

            shown as (
                select transaction_id, row_version, window_on, booked, content, {mark} as mark, {shape.weighed} from {name}
            )

            select
                transaction_id,
                shown.window_on as shown_on,
                known.window_on as known_on,
                known.transaction_id is null as news,
                shown.transaction_id is null as gone,
                shown.content <> known.content as changed,
                shown.row_version is distinct from known.row_version as differs,
                known.booked as was_booked,
                known.pending as was_pending,
                shown.booked as is_booked,
                -- a day that was not known yet may come; one that is known stays
                coalesce(
                    known.booked and shown.transaction_id is not null and (
                        not shown.booked
                        or shown.amount <> known.amount
                        or shown.currency <> known.currency
                        or shown.window_on <> known.window_on
                        or coalesce(known.mark <> coalesce(shown.mark, date '0001-01-01'), false)
                    ),
                    false
                ) as altered,
                coalesce(shown.window_on, known.window_on) as day,
                coalesce(shown.amount, known.amount) as amount,
                coalesce(shown.currency, known.currency) as currency,
                coalesce(shown.about, known.about) as about,
                shown.mark as mark
            from shown
            full outer join known using (transaction_id)
            """,
            {"account": account_id, "claim": claim},
        )

    def _oldest_day_shown_whole(self, shape: Shape, account_id: str) -> date:
        """Returns the first day from which an answer of unknown depth is complete.

        Banks cut old history silently, at any hour of a day. If older rows are known, the first day shown is not taken as whole.
        If nothing at all is shown, everything is claimed, and the removal guard decides.
        """
        oldest = self._one("select min(window_on) from answered")
        if oldest is None:
            return ALL
        older = self._one(
            f"select count(*) from {shape.table} where account_id = ? and _dlt_valid_to is null and window_on < ?",
            [account_id, oldest],
        )
        first_whole: date = oldest + timedelta(days=1) if older else oldest
        return first_whole

    def _only_additions(self, shape: Shape, name: str, account_id: str, claim: date) -> Diff:
        """Returns the diff of an answer that was cut short: it adds rows, and neither changes nor retires any."""
        self._compare(shape, name, account_id, claim)
        self._guard.hold_back_replacements(shape, name, account_id, claim)
        self._connection.execute(
            f"delete from {name} where transaction_id in"
            f" (select transaction_id from {shape.table} where account_id = ? and _dlt_valid_to is null)",
            [account_id],
        )
        new = self._one(f"select count(*) from {name}")
        return Diff(account_id=account_id, counts=Counts(new=new), claim=None, since=None, differs=bool(new), table=name)

    def _one(self, query: str, parameters: object = None) -> Any:
        return self._row(query, parameters)[0]

    def _row(self, query: str, parameters: object = None) -> tuple[Any, ...]:
        (row,) = self._connection.execute(query, parameters).fetchall()
        return tuple(row)
