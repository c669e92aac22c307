"""Writes the booked transactions of each account as a statement of OFX 2.2, with its opening and its closing balance.

Where a person names no days, a statement holds all booked transactions, and closes with the balance that the bank reported last.
Where days are named, the rules of `statements.py` hold.

OFX cannot carry all of the ledger. A name has at most 32 characters and a memo 255; whoever needs the whole text takes CSV. An
account's number has at most 22, so a longer IBAN is its end. Pending rows, categories, labels, transfers and history stay behind,
and so do rows in another currency than their account's.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from pipelines.questions.closing import changed_since
from pipelines.questions.statements import Statement, changed_since_closing
from pipelines.questions.xml_text import plain
from pipelines.store.sql import each_row, rows_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NAME, MEMO, NUMBER, BANK, ID, MESSAGE = 32, 255, 22, 9, 255, 255
"""Characters that OFX 2.2 allows."""

_HEAD = (
    '<?xml version="1.0" encoding="UTF-8" standalone="no"?>',
    '<?OFX OFXHEADER="200" VERSION="220" SECURITY="NONE" OLDFILEUID="NONE" NEWFILEUID="NONE"?>',
)
_FINE = "<STATUS><CODE>0</CODE><SEVERITY>INFO</SEVERITY></STATUS>"
_OPENING = "<NAME>Opening balance</NAME><DESC>Booked balance before the first transaction</DESC><BALTYPE>DOLLAR</BALTYPE>"

_ACCOUNTS = """
with

last_days as (
    select account_id, max(day) as day, max_by(closing_balance, day) as balance, min_by(opening_balance, day) as opening
    from balances_daily
    where closing_balance is not null
    group by account_id
),

moved as (
    select account_id, min(booked_on) as first_on, max(booked_on) as last_on,
        count(*) filter (transactions.currency is distinct from accounts.currency) as others
    from transactions inner join accounts using (account_id)
    where status = 'booked'
    group by account_id
)

select
    account_id, source, iban, account_type, currency, display_name,
    coalesce(accounts.balance, last_days.balance)               as balance,
    case when accounts.balance is null then last_days.day
        else coalesce(accounts.balance_on, last_days.day) end   as balance_on,
    last_days.opening, available_balance, first_on, last_on, coalesce(others, 0) as others
from accounts
left join last_days using (account_id)
left join moved using (account_id)
order by account_id
"""

_ROWS = """
select transaction_id, booked_on, amount, counterparty_name as name, description
from transactions
where account_id = $account and status = 'booked' and currency = $currency
    and ($first is null or booked_on between $first and $last)
order by booked_on, transaction_id
"""


def whole_accounts(connection: "DuckDBPyConnection", note: Callable[[str], None]) -> list[dict[str, Any]]:
    """Returns the text that `lines` writes for each account. `note` receives what is left out, and which closed
    months have changed.
    """
    written = [one for one in rows_of(connection, _ACCOUNTS) if _can_be_written(one, note)]
    changed = changed_since(connection)
    for one in written:
        for month in sorted(month for account_id, month in changed if account_id == one["account_id"]):
            note(changed_since_closing(f"{one['display_name']}, {month:%Y-%m}", changed[one["account_id"], month]))
    return written


def periods(statements: list[Statement]) -> list[dict[str, Any]]:
    """Returns what `lines` writes of these statements, one for each account."""
    return [
        {
            "account_id": one.account.account_id,
            "source": one.account.source,
            "iban": one.account.iban,
            "account_type": "card" if one.account.is_card else "account",
            "currency": one.account.currency,
            "first": one.first,
            "first_on": one.first,
            "last_on": one.last,
            "opening": one.opening,
            "balance": one.closing,
            "balance_on": one.last,
            "available_balance": None,
            "message": f"INCOMPLETE: {'; '.join(one.missing)}" if one.missing else "",
        }
        for one in statements
    ]


def lines(connection: "DuckDBPyConnection", listed: list[dict[str, Any]], written_at: datetime) -> Iterator[str]:
    """Yields the file, line by line. `written_at` is when the ledger was published: the same in each export of it."""
    numbers = _numbers(listed)
    yield from _HEAD
    server = f"<DTSERVER>{written_at.astimezone(UTC):%Y%m%d%H%M%S}</DTSERVER>"
    yield f"<OFX><SIGNONMSGSRSV1><SONRS>{_FINE}{server}<LANGUAGE>ENG</LANGUAGE></SONRS></SIGNONMSGSRSV1>"
    cards = [one for one in listed if one["account_type"] == "card"]
    for message, statements in (("BANK", [one for one in listed if one not in cards]), ("CREDITCARD", cards)):
        if statements:
            yield f"<{message}MSGSRSV1>"
            for one in statements:
                yield from _statement(connection, one, numbers[one["account_id"]])
            yield f"</{message}MSGSRSV1>"
    yield "</OFX>"


def _can_be_written(account: dict[str, Any], note: Callable[[str], None]) -> bool:
    missing = "currency" if account["currency"] is None else "balance" if account["balance"] is None else None
    if missing:
        note(f"{account['display_name']} is not in the file: its {missing} is not known")
    elif account["others"]:
        note(f"{account['display_name']}: {account['others']} transactions in other currencies are not in the file")
    return missing is None


def _numbers(listed: list[dict[str, Any]]) -> dict[str, str]:
    """Returns a number for each account, of at most 22 characters: the end of its IBAN, or of its id where that is not unique."""
    ends = {one["account_id"]: (one["iban"] or one["account_id"]).replace(" ", "")[-NUMBER:] for one in listed}
    kinds = {one["account_id"]: one["account_type"] == "card" for one in listed}
    common = Counter((kinds[account], end) for account, end in ends.items())
    return {account: account[-NUMBER:] if common[kinds[account], end] > 1 else end for account, end in ends.items()}


def _statement(connection: "DuckDBPyConnection", account: dict[str, Any], number: str) -> Iterator[str]:
    is_card = account["account_type"] == "card"
    kind, holder = ("CC", "CCACCTFROM") if is_card else ("", "BANKACCTFROM")
    bank = (account["iban"] or "").replace(" ", "")[4:12] or account["source"][:BANK]
    yield f"<{kind}STMTTRNRS>{_tag('TRNUID', account['account_id'][-36:])}{_status(account.get('message', ''))}"
    yield f"<{kind}STMTRS>{_tag('CURDEF', account['currency'])}<{holder}>"
    yield _tag("ACCTID", number) if is_card else _tag("BANKID", bank) + _tag("ACCTID", number) + _tag("ACCTTYPE", "CHECKING")
    first = account["first_on"] or account["balance_on"]
    yield f"</{holder}><BANKTRANLIST>{_day('DTSTART', first)}{_day('DTEND', account['last_on'] or account['balance_on'])}"
    cursor = connection.cursor()
    cursor.execute("use ledger")
    given = {"account": account["account_id"], "currency": account["currency"], "first": account.get("first")}
    for row in each_row(cursor, _ROWS, given | {"last": account["last_on"]}):
        yield _transaction(row)
    balance = f"{_tag('BALAMT', account['balance'])}{_day('DTASOF', account['balance_on'])}"
    yield f"</BANKTRANLIST><LEDGERBAL>{balance}</LEDGERBAL>"
    if account["available_balance"] is not None:
        available = f"{_tag('BALAMT', account['available_balance'])}{_day('DTASOF', account['balance_on'])}"
        yield f"<AVAILBAL>{available}</AVAILBAL>"
    if account["opening"] is not None:
        opening = f"{_OPENING}{_tag('VALUE', account['opening'])}{_day('DTASOF', first)}"
        yield f"<BALLIST><BAL>{opening}</BAL></BALLIST>"
    yield f"</{kind}STMTRS></{kind}STMTTRNRS>"


def _transaction(row: dict[str, Any]) -> str:
    kind = "CREDIT" if row["amount"] > 0 else "DEBIT" if row["amount"] < 0 else "OTHER"
    name, memo = (plain(row[name] or "") for name in ("name", "description"))
    if len(name) > NAME:
        memo = f"{name} {memo}"
    texts = _tag("NAME", name[:NAME].strip()) + _tag("MEMO", memo[:MEMO].strip())
    booked = _day("DTPOSTED", row["booked_on"]) + _tag("TRNAMT", row["amount"])
    return f"<STMTTRN>{_tag('TRNTYPE', kind)}{booked}{_tag('FITID', row['transaction_id'][-ID:])}{texts}</STMTTRN>"


def _status(message: str) -> str:
    if not message:
        return _FINE
    return f"<STATUS><CODE>0</CODE><SEVERITY>WARN</SEVERITY>{_tag('MESSAGE', plain(message)[:MESSAGE])}</STATUS>"


def _tag(name: str, value: object) -> str:
    """Returns an element; nothing for an empty one, which OFX does not allow."""
    text = escape(str(value))
    return f"<{name}>{text}</{name}>" if text else ""


def _day(name: str, day: date) -> str:
    """Returns an element with a day: noon in UTC is the same day in every bank's time zone."""
    return f"<{name}>{day:%Y%m%d}120000</{name}>"
