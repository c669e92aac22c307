"""Moves the rows of files to the account that they belong to, once a bank shows that account or a person names it.

A file that comes before its bank is connected makes an account of its own. The next run moves its rows to the bank's account,
and gives them the ids of that account. So the ledger is the same in either order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.errors import Failure, WrongUsage
from pipelines.run.bank_days import compare, differing_days
from pipelines.run.file_accounts import Known, is_one_account, known_accounts, named
from pipelines.settings import Settings
from pipelines.store.files import FILE, days_of_files, move
from pipelines.store.raw_change import changing_raw
from pipelines.text.numbers import counted
from sources.files.values import FileRefused

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class Join:
    """An account of files that counts as another account from now on."""

    account: Known
    """The account of files."""
    target: Known
    """The account that the rows belong to from now on."""
    files: int
    notes: list[str]


def join_connected(connection: "DuckDBPyConnection", at: datetime) -> list[Join]:
    """Moves the rows of each account of files to the account of a bank that has the same number.

    Where several accounts could be meant nothing is changed: `doctor` names them.
    """
    joins = []
    for account, target in connected_since(known_accounts(connection)):
        held, notes = days_of_files(connection, account.account_id), list[str]()
        earlier = days_of_files(connection, target.account_id)
        if unlike := [day for day in held if day in earlier and earlier[day] != held[day]]:
            notes.append(f"its files differ from each other on {counted(len(unlike), 'day')}, the first is {min(unlike)}")
        if differing := differing_days(connection, target, held)[1]:
            notes.append(
                f"its files have other entries than the bank on {counted(len(differing), 'day')}, the first is {differing[0]}:"
                " the bank's entries count"
            )
        joins.append(Join(account, target, move(connection, account.account_id, target.account_id, at), notes))
    return joins


def connected_since(accounts: Sequence[Known]) -> list[tuple[Known, Known]]:
    """Returns each account of files that a bank shows now, too, with the bank's account, if only one account can be meant."""
    pairs = shown_by_banks(accounts)
    return [
        (one, target)
        for one, target in pairs
        if [other for first, other in pairs if first is one] == [target]
        and {other.currency for other, second in pairs if second is target} == {one.currency}
    ]


def shown_by_banks(accounts: Sequence[Known]) -> list[tuple[Known, Known]]:
    """Returns each account of files with every account of a bank that has its number."""
    of_files = [one for one in accounts if one.source == FILE]
    of_banks = [one for one in accounts if one.source != FILE]
    return [(one, target) for one in of_files for target in of_banks if is_one_account(one, target)]


def sentences(joins: Sequence[Join]) -> list[str]:
    """Returns a sentence for each join."""
    return [
        "; ".join(
            [
                f"account {one.account.account_id} ({one.account.name}), known from files, is account {one.target.account_id}:"
                f" what {counted(one.files, 'file')} brought belongs to that one from now on",
                *one.notes,
            ]
        )
        for one in joins
    ]


def assign(settings: Settings, name: str, to: str, now: datetime, *, accept_differences: bool = False) -> Join:
    """Moves the rows of an account of files to the account that a person names, and publishes the ledger.

    The caller holds the lock. Raises `WrongUsage` for an account that a bank shows or one in another currency, `Failure` for days
    of which both have other entries.
    """
    with changing_raw(settings) as history:
        accounts = known_accounts(history.connection)
        account, target = named(accounts, name), named(accounts, to)
        _refuse_other_kinds(account, target)
        held = days_of_files(history.connection, account.account_id)
        try:
            notes = compare(history.connection, target, held, accept=accept_differences, who="Its files have")
        except FileRefused as refused:
            raise Failure(f"{account.name} was not assigned. {refused.cause}", refused.next_step) from None
        return Join(account, target, move(history.connection, account.account_id, target.account_id, now), notes)


def _refuse_other_kinds(account: Known, target: Known) -> None:
    if account.source != FILE:
        raise WrongUsage(
            f"A bank shows the account {account.name}, so it cannot be assigned",
            "--assign takes an account that is known from files only",
        )
    if account.account_id == target.account_id:
        raise WrongUsage("Both names mean the same account", "Name the other account with --account")
    if None not in (account.currency, target.currency) and account.currency != target.currency:
        raise WrongUsage(
            f"{account.name} is in {account.currency}, and {target.name} in {target.currency}", "Name another account"
        )
