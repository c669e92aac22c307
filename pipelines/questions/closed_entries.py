"""Entries of closed months, as they were exported when each month was closed, and the corrections of the first open month.

A correction is exact: what the ledger shows now of the closed days, less what the closed months hold, by entry and account. Its
day is the first open day of the account. So every balance that the bank gave for a later day still holds.
"""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

from pipelines.questions.journal_events import Entry, Money, Origin
from pipelines.store.sql import each_row

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_CLOSED = """
select
    account_id, month, kind, entry, booked_on, movement_on, is_correction, payee, narration, transfer_id, decided_by, reversal_of,
    list({ledger_account: ledger_account, amount: amount, currency: currency, is_bank: is_bank} order by leg) as legs
from closed_postings
group by all
order by booked_on, account_id, kind, entry
"""

_CORRECTIONS = """
with

first_texts as (
    select account_id, kind, entry, min_by(payee, month) as payee, min_by(narration, month) as narration
    from closed_postings
    group by account_id, kind, entry
),

entries as (
    select
        account_id, kind, entry, cause, movement_on, booked_on, transaction_id,
        list(
            {ledger_account: ledger_account, amount: amount, currency: currency, is_bank: is_bank}
            order by is_bank desc, ledger_account, currency
        ) as legs
    from corrections
    where coalesce(account_id = $account, true) and coalesce(booked_on <= $until, true)
    group by all
)

select
    entries.*,
    coalesce(shown.counterparty_name, first_texts.payee, '') as payee,
    coalesce(shown.description, shown.transaction_type, first_texts.narration, '') as narration
from entries
left join first_texts using (account_id, kind, entry)
left join transactions as shown on shown.transaction_id = entries.transaction_id
order by entries.booked_on, account_id, kind, entry
"""


def closed(connection: "DuckDBPyConnection") -> Iterator[Entry]:
    """Yields the entries of closed months, by day: the same ones in every export."""
    cursor = connection.cursor()
    cursor.execute("use ledger")
    for one in each_row(cursor, _CLOSED):
        about = {name: one[name] for name in ("decided_by", "reversal_of") if one[name]}
        if one["kind"] == "transaction":
            about = {"transaction_id": one["entry"]} | about
        yield Entry(
            one["booked_on"],
            one["payee"],
            one["narration"],
            _legs(one),
            about,
            one["transfer_id"],
            differs=one["kind"] == "difference",
            origin=_origin(one, is_correction=one["is_correction"]),
        )


def corrections(connection: "DuckDBPyConnection", account: str | None = None, until: date | None = None) -> Iterator[Entry]:
    """Yields the corrections of closed months, of all accounts or one, as entries of the first open day; through a day."""
    cursor = connection.cursor()
    cursor.execute("use ledger")
    for one in each_row(cursor, _CORRECTIONS, {"account": account, "until": until}):
        text = f"Correction of {one['movement_on']:%Y-%m}, {one['cause']}"
        about = {"transaction_id": one["entry"]} if one["kind"] == "transaction" else {}
        yield Entry(
            one["booked_on"],
            one["payee"],
            f"{text}: {one['narration']}" if one["narration"] else text,
            _legs(one),
            about | {"decided_by": f"correction {one['cause']}"},
            differs=one["kind"] == "difference",
            origin=_origin(one, is_correction=True),
        )


def _legs(one: dict[str, Any]) -> list[tuple[str, Money]]:
    return [(leg["ledger_account"], Money(leg["amount"], leg["currency"])) for leg in one["legs"]]


def _origin(one: dict[str, Any], *, is_correction: bool) -> Origin:
    bank_legs = sum(leg["is_bank"] for leg in one["legs"])
    return Origin(one["account_id"], one["kind"], one["entry"], one["movement_on"], bank_legs, is_correction)
