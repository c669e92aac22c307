"""Whose file it is: accounts of raw history, recognised by the number in a file or by what a person names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipelines.errors import WrongUsage
from pipelines.store.banks import BANKS
from pipelines.store.files import FILE
from pipelines.store.ledger_reader import LISTS_ACCOUNTS
from sources._identity import account_id, normal_iban, tail
from sources.files.values import Page

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_GERMAN = re.compile(r"(\d{8})/(\d{1,10})")
"""Bank code and account number, as German banks write them into field 25."""
_CURRENCY = re.compile(r"[A-Z]{3}")
_SHORTEST = 6
"""Characters of a number from which on its being the end of another one says that both are of one account."""


@dataclass(frozen=True)
class Known:
    """One account of raw history, or one that is made by an import."""

    account_id: str
    source: str
    number: str | None
    currency: str | None
    institution: str

    @property
    def name(self) -> str:
        """Returns what people call it."""
        return self.institution if self.number == self.institution else f"{self.institution} {tail(self.number)}"


def known_accounts(connection: "DuckDBPyConnection") -> list[Known]:
    """Returns every account that a bank or a file shows; cards are none, since no statement of an account is theirs."""
    of_banks = [
        f"select account_id, '{bank.name}', {bank.accounts.number}, {bank.accounts.currency}, {bank.accounts.institution}"
        f" from {bank.name}.accounts where {bank.accounts.account_type} <> 'card'"
        " qualify row_number() over (partition by account_id order by _dlt_valid_to desc nulls first) = 1"
        for bank in BANKS
    ]
    of_files = (
        f"select account_id, '{FILE}', coalesce(iban, source_account_id), currency, institution from file.accounts"
        " semi join file.files using (account_id)"  # one that was given to another account has none
        " qualify row_number() over (partition by account_id order by _dlt_valid_to desc nulls first) = 1"
    )
    rows = connection.execute(f"from ({' union all '.join([*of_banks, of_files])}) order by 1").fetchall()
    return [Known(*row) for row in rows]


def named(accounts: Sequence[Known], name: str, *, otherwise: str = "") -> Known:
    """Returns the account with this id, or the only one whose number ends so, or the only one of files whose bank has this name.

    Raises `WrongUsage`, with `otherwise` as one more next step where no account is found.
    """
    wanted = _compact(name.replace("…", ""))
    found = [one for one in accounts if one.account_id == name] or [
        one for one in accounts if wanted and _compact(one.number or "").endswith(wanted)
    ]
    found = found or [one for one in accounts if one.source == FILE and one.institution.casefold() == name.strip().casefold()]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(one.account_id for one in found)
        raise WrongUsage(f"{len(found)} accounts have a number that ends so, or this name", f"Name one by its id: {ids}")
    raise WrongUsage(
        "No account has this id, or a number that ends so",
        f"{LISTS_ACCOUNTS} lists the accounts{otherwise}",
    )


def of_the_file(account: Known, page: Page) -> bool:
    """Returns whether a page can be of this account: its number and its currency. A page that names no account is of any."""
    if page.currency and account.currency and page.currency != account.currency:
        return False
    if page.number is None:
        return True
    number = without_currency(page.number, page.currency)
    ours, theirs = _compact(account.number or ""), _compact(number)
    if _compact(account.account_id).endswith(theirs) and len(theirs) >= _SHORTEST:
        return True
    if key := _whole_number(number):
        return key == _whole_number(account.number)
    return len(theirs) >= _SHORTEST and ours.endswith(theirs)


def is_one_account(first: Known, second: Known) -> bool:
    """Returns whether two accounts have one number, bank and all, and one currency. A bank that gives no currency has any."""
    key = _whole_number(first.number)
    one_currency = first.currency == second.currency or None in (first.currency, second.currency)
    return one_currency and key is not None and key == _whole_number(second.number)


def _whole_number(text: str | None) -> tuple[str, ...] | None:
    """Returns what names an account among those of all banks: its IBAN, in Germany bank code and number. None for less."""
    if german := _GERMAN.fullmatch((text or "").replace(" ", "")):
        return german[1], german[2].zfill(10)
    iban = normal_iban(text)
    if iban is not None and iban.startswith("DE"):
        return iban[4:12], iban[12:]
    return None if iban is None else (iban,)


def new_account(page: Page, name: str, currency: str | None) -> Known:
    """Returns the account of a bank that is not connected, by the number in its file. Raises `WrongUsage`."""
    unit = page.currency or currency
    if unit is None or not _CURRENCY.fullmatch(unit):
        raise WrongUsage("The currency of the new account is not known", "Name it, as in --currency EUR")
    if currency not in (None, unit):
        raise WrongUsage(f"The file is in {unit}", f"Leave --currency out, or give --currency {unit}")
    number = without_currency(page.number, page.currency) if page.number else None
    iban = normal_iban(number)
    key = (iban,) if iban else (name, number or "")
    return Known(account_id(FILE, *key, unit), FILE, iban or number or name, unit, name)


def in_its_currency(account: Known, page: Page, currency: str | None) -> Known:
    """Returns the account with its currency, that of its file, or the one that a person names. Raises `WrongUsage`."""
    found = account.currency or page.currency or currency
    if found is None or not _CURRENCY.fullmatch(found):
        raise WrongUsage("Neither the account nor the file names a currency", "Name it, as in --currency EUR")
    if currency not in (None, found):
        raise WrongUsage(f"{account.name} is in {found}", f"Leave --currency out, or give --currency {found}")
    return replace(account, currency=found)


def without_currency(number: str, currency: str | None) -> str:
    """Returns a number without the currency that some banks put behind it."""
    shown = number.strip()
    return shown.removesuffix(currency) if currency and len(shown) > len(currency) + _SHORTEST else shown


def _compact(text: str) -> str:
    return re.sub(r"[\s-]", "", text).upper()
