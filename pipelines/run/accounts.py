"""The accounts of the published ledger, and how fresh each one is."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, TypedDict, cast

from pipelines.text.endings import Named, endings


class Account(TypedDict):
    """One account of the published ledger, as `status --json` prints it. A moment is text in UTC, a day of a difference text."""

    account_id: str
    source: str
    institution: str
    account_type: str
    iban_ends: str | None
    """Last four characters of the IBAN."""
    ending: str
    """End of the number, as long as it tells the account apart from the others."""
    display_name: str
    """As in the ledger; of a ledger that has none yet: bank, kind and ending."""
    currency: str
    last_booked_on: date | None
    last_imported_at: str | None
    held_since: str | None
    gone_at: str | None
    days: int
    """Days from the first booked movement to the last known day."""
    missing_days: int
    """Those that no import has covered."""
    reconciled_days: int
    """Those that the bank's own balances prove."""
    differs_from: str | None
    differs_until: str | None


def accounts(ledger: Path) -> list[Account]:
    """Returns every account of the ledger with its last day, last import and reconciled days; none before the first ledger."""
    if not ledger.exists():
        return []
    import duckdb

    from pipelines.store.ledger_reader import unreadable
    from pipelines.store.read_only import read_only
    from pipelines.store.sql import rows_of

    query = """
        with

        complete as (select account_id, max(finished_at) as at from main.imports where status = 'complete' group by all),

        held as (
            select account_id, min(finished_at) as since
            from main.imports
            left join complete using (account_id)
            where status = 'doubted' and (complete.at is null or finished_at > complete.at)
            group by all
        ),

        compared as (
            select
                account_id,
                count(*) as days,
                count(*) filter (where status in ('unseen', 'hole')) as missing_days,
                count(*) filter (where proof in ('chain', 'reported')) as reconciled_days,
                min(coalesce(differs_since + 1, day)) filter (where difference_amount is not null) as differs_from,
                max(day) filter (where difference_amount is not null) as differs_until
            from main.coverage
            group by all
        )

        select accounts.*,
            strftime(last_imported_at at time zone 'UTC', '%Y-%m-%dT%H:%M:%SZ') as last_imported_at,
            case when gone_at is null then strftime(held.since at time zone 'UTC', '%Y-%m-%dT%H:%M:%SZ') end as held_since,
            strftime(gone_at at time zone 'UTC', '%Y-%m-%dT%H:%M:%SZ') as gone_at,
            coalesce(days, 0) as days, coalesce(missing_days, 0) as missing_days,
            coalesce(reconciled_days, 0) as reconciled_days,
            strftime(differs_from, '%Y-%m-%d') as differs_from, strftime(differs_until, '%Y-%m-%d') as differs_until
        from main.accounts
        left join held using (account_id)
        left join compared using (account_id)
        order by source, institution, account_id
    """
    try:
        with read_only(ledger) as connection:
            return [_named(one, ending) for one, ending in _with_endings(rows_of(connection, query))]
    except duckdb.Error as error:
        raise unreadable(ledger, error) from None


def published_accounts(ledger: Path) -> list[Account]:
    """Returns every account of the ledger; none where it cannot be read: whoever builds or reads it says so."""
    from pipelines.errors import Failure

    try:
        return accounts(ledger)
    except Failure:
        return []


def coverage_sentences(listed: Sequence[Account]) -> list[str]:
    """Returns two statements about these accounts: whether their days were read, and how many the banks' balances prove."""
    days, missing, reconciled = (sum(one[name] for one in listed) for name in ("days", "missing_days", "reconciled_days"))
    if not days:
        return []
    lacking = sum(one["missing_days"] > 0 for one in listed)
    if missing:
        covered = f"{missing:,} of {days:,} days were not read, in {lacking} of {len(listed)} accounts; `prove` names them"
    else:
        covered = f"every day was read ({days:,} days of {len(listed)} accounts)"
    return [f"Coverage: {covered}.", f"Reconciliation: {reconciled:,} of {days:,} days are proven by the bank's balance."]


def display_names(ledger: Path) -> dict[str, str]:
    """Returns the display name of each account of the ledger by its id; none where the ledger cannot say."""
    if not ledger.exists():
        return {}
    import duckdb

    from pipelines.store.read_only import read_only

    try:
        with read_only(ledger) as connection:
            return dict(connection.execute("select account_id, display_name from main.accounts").fetchall())
    except duckdb.Error:  # an earlier version's ledger
        return {}


def beside_its_bank(display_name: str, institution: str) -> str:
    """Returns a display name for a table that shows the bank in a column of its own: without the bank's name."""
    return display_name.removeprefix(f"{institution} ")


def _with_endings(listed: list[dict[str, Any]]) -> list[tuple[dict[str, Any], str]]:
    shown = endings(
        Named(one["account_id"], one["iban"] or one["source_account_id"], one["account_type"], one["currency"]) for one in listed
    )
    return [(one, shown[one["account_id"]]) for one in listed]


def _named(one: dict[str, Any], ending: str) -> Account:
    """Returns an account as `status --json` prints it: the end of its number in place of the number."""
    iban = one["iban"]
    named = one | {
        "iban_ends": iban[-4:] if iban else None,
        "ending": ending,
        "display_name": one.get("display_name") or f"{one['institution']} {one['account_type']} {ending}",
    }
    return cast(Account, {name: named[name] for name in Account.__annotations__})
