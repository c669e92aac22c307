"""Asks Kontist what it says of one transaction now, and compares that with raw history (`explain --ask-bank`); stores nothing."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from pipelines.consents.clients import BankSaidNo, has_vault, vault_of
from pipelines.consents.kontist_login import BankClient, KeptLogin, client_of, kept_login
from pipelines.errors import Failure, WrongUsage
from pipelines.questions.explain import Explanation
from pipelines.settings import Settings
from pipelines.store.banks import KONTIST
from pipelines.store.sql import rows_of
from pipelines.text.sinks import line
from sources._errors import ConsentGone, SourceError
from sources._http import Patience
from sources._identity import tail
from sources.kontist.accounts import Account
from sources.kontist.query_client import QueryClient
from sources.kontist.unasked import unasked_columns

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ONCE = Patience(())
"""A person waits for the answer, and may ask again."""
_MONEY = ("amount_cents", "original_amount_minor")
_NOT_COMPARED = frozenset({"source_transaction_id", "window_on", "extra", *_MONEY})
"""The question itself, a day that we compute, and fields that nobody has described: they may change with every answer."""


@dataclass(frozen=True)
class Question:
    """One row to ask for, and its last version in raw history, by column, without empty values."""

    account: Account
    held: dict[str, Any] = field(repr=False)
    shown: bool
    """Whether the bank's list still showed it at the last read."""


@dataclass(frozen=True)
class BankAnswer:
    """What the bank says of the transaction now."""

    asked_at: datetime
    answer: Literal["same", "differs", "unknown"]
    differences: list[dict[str, Any]]
    """Fields that differ: `field`, and its value in the `ledger` and at the `bank`."""
    read_again_since: date | None
    """The day from which to read again, where the bank and the ledger do not agree."""


def question(connection: "DuckDBPyConnection", explained: Explanation) -> Question:
    """Returns what to ask about an explained transaction. Raises `WrongUsage` where no bank can be asked."""
    if explained.source != KONTIST.name:
        raise WrongUsage(
            "Kontomatik cannot be asked for one transaction: it has no such endpoint, and asking would spend one of the imports",
            "Leave --ask-bank out; the next `python -m pipelines run` reads the account again",
        )
    account = rows_of(
        connection,
        "select source_account_id from raw.kontist.accounts where account_id = $1 order by _dlt_valid_from desc limit 1",
        [explained.account_id],
    )
    if not (account and explained.versions):
        raise Failure(
            "Raw history does not hold this transaction any more", "Run `python -m pipelines transform`, then ask again"
        )
    source_account_id = account[0]["source_account_id"]
    return Question(Account(explained.account_id, source_account_id, {}), explained.versions[-1].values, _shown(explained))


def _shown(explained: Explanation) -> bool:
    """Returns whether the bank's list still showed the transaction at the last read."""
    return explained.versions[-1].shown_until is None


@contextmanager
def login_of(settings: Settings, now: Callable[[], datetime]) -> Iterator[KeptLogin]:
    """Opens the login that a run would use. Raises `WrongUsage` where there is none."""
    with ExitStack() as stack:
        vault = stack.enter_context(vault_of(settings)) if has_vault(settings) else None
        kept = kept_login(settings, vault, now)
        if kept.consent is None and not settings.kontist.configured:
            raise WrongUsage(f"Kontist is not configured: {settings.kontist.how_to_configure}")
        yield kept


def answer(kept: KeptLogin, asked: Question) -> BankAnswer:
    """Asks the bank; returns its answer compared with the ledger.

    One request (by GraphQL two at most), and what it takes to log in. Money is compared without its sign, which this endpoint
    is not trusted with: in the vendor document's own samples the list says -50433 and this endpoint 50433 of one row. An IBAN
    that differs is shown by its end. Raises `BankSaidNo`; a login that the bank refuses for good is expired then, as after a run.
    """
    try:
        with client_of(kept, patience=ONCE) as client:
            says = _asked(client, asked)
    except SourceError as error:
        if isinstance(error, ConsentGone):
            kept.over(error.code)
        raise BankSaidNo(f"Kontist: {error.cause}", error.next_step) from None
    differences = [] if says is None else _differences(asked.held, says)
    one_shows_it = asked.shown != (says is not None)
    days = [row["window_on"] for row in (asked.held, says) if row is not None]
    return BankAnswer(
        asked_at=kept.now(),
        answer="unknown" if says is None else "differs" if differences else "same",
        differences=differences,
        read_again_since=min(days) if one_shows_it or differences else None,
    )


def _asked(client: BankClient, asked: Question) -> dict[str, Any] | None:
    """Returns the bank's present row by column, None where it does not know the id. A column that it has refused is left out."""
    if isinstance(client, QueryClient):
        says = client.transaction(asked.account, asked.held)
        unasked = unasked_columns(client.fields.refused)["transactions"]
        return None if says is None else {name: value for name, value in says.items() if name not in unasked}
    return client.transaction(asked.account, asked.held["source_transaction_id"])


def _differences(held: dict[str, Any], says: dict[str, Any]) -> list[dict[str, Any]]:
    pairs = {f"absolute_{name}": (_absolute(held.get(name)), _absolute(says[name])) for name in _MONEY}
    pairs |= {name: (held.get(name), says[name]) for name in says if name not in _NOT_COMPARED}
    return [
        {"field": name, "ledger": _showable(name, before), "bank": _showable(name, after)}
        for name, (before, after) in pairs.items()
        if before != after
    ]


def _absolute(minor_units: int | None) -> int | None:
    return None if minor_units is None else abs(minor_units)


def _showable(name: str, value: Any) -> Any:
    return tail(value) if name == "iban" and value else value


def text(explained: Explanation, bank: BankAnswer) -> str:
    """Returns the bank's answer for people."""
    if bank.answer == "unknown":
        found = "the bank no longer knows it"
        if explained.rules.status.status == "pending":
            found += "; a reservation goes when it is booked, often under another id"
    else:
        found = "the bank says the same" if bank.answer == "same" else "the bank says something else"
        found += "" if _shown(explained) else ", though its list has stopped showing it"
    lines = [f"asked at {bank.asked_at:%Y-%m-%d %H:%M:%S} UTC: {found}"]
    lines += [
        f"  {one['field']}: {_as_text(one['ledger'])} in the ledger, {_as_text(one['bank'])} at the bank"
        for one in bank.differences
    ]
    if bank.read_again_since:
        lines.append(f"to read it again: python -m pipelines run --source kontist --since {bank.read_again_since}")
    return "\n".join(map(line, lines))


def _as_text(value: Any) -> str:
    return "nothing" if value is None else str(value)
