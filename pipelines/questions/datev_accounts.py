"""Numbers of the ledger's accounts in the books of the tax adviser: the seed `skr`, and the settings of DATEV."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipelines.errors import Failure, WrongUsage

if TYPE_CHECKING:
    from transforms.seeds import Row, Seed

SHORTEST = 4
"""Digits of an account of the standard charts. In books with longer numbers it has zeros behind."""
_LOWERED = (date(2020, 7, 1), date(2020, 12, 31))
"""Days on which the keys and automatic accounts of 19 % and 7 % take 16 % and 5 %."""
_ON_LOWERED_DAYS = {"VAT_16": "VAT_19", "VAT_5": "VAT_7", "VAT_19": "VAT_19 of other days", "VAT_7": "VAT_7 of other days"}

Direction = Literal["in", "out"]


@dataclass(frozen=True, kw_only=True)
class Books:
    """The books of the adviser that a batch is for."""

    consultant: str
    client: str
    skr: str
    account_length: int
    fiscal_month: int
    is_locked: bool
    has_vat: bool

    def fiscal_year(self, day: date) -> date:
        """Returns the first day of the fiscal year that a day is in."""
        return date(day.year - (day.month < self.fiscal_month), self.fiscal_month, 1)


@dataclass(frozen=True, kw_only=True)
class Target:
    """An account in the books, and the key by which they take tax out of an amount; an account that does so itself has none."""

    number: str
    bu_key: str
    is_named: bool
    """Whether a row names the account; otherwise it is the interim account, or that of all bank accounts or cards."""


class Chart:
    """The seed `skr` for one chart of accounts.

    Raises `WrongUsage` for a number of other length than the books' own, and for a key on an account that takes none.
    """

    def __init__(self, rows: Sequence["Row"], books: Books) -> None:
        from transforms.datev_seed import ANY

        column = f"skr{books.skr}"
        self._named: dict[tuple[str, str, str | None], Target] = {}
        for number, row in enumerate(rows, start=1):
            name, account = row["ledger_account"] or "", row[column]
            if account:
                _refuse_key(account, row["bu_key"], books, number)
                target = Target(number=_sized(account, books, number), bu_key=row["bu_key"] or "", is_named=name != ANY)
                self._named[name, row["direction"] or ANY, row["vat"]] = target
        self._any = ANY
        self._deducting = {name for (name, _, _), target in self._named.items() if target.bu_key} if books.has_vat else set()

    def counter(self, ledger_account: str, direction: Direction, vat: str | None, day: date) -> Target:
        """Returns the account on the other side of the bank, for money in or out with this code of VAT; else the interim account.

        The row that says most goes before others: of a direction and a code, of a code, of a direction, of neither.
        """
        if vat and _LOWERED[0] <= day <= _LOWERED[1]:
            vat = _ON_LOWERED_DAYS.get(vat, vat)
        wanted = ((direction, vat), (self._any, vat), (direction, self._any), (self._any, self._any))
        found = (self._named.get((ledger_account, way, code)) for way, code in wanted)
        return next((one for one in found if one), self._named[self._any, self._any, self._any])

    def lacks_code(self, ledger_account: str, vat: str | None, target: Target) -> bool:
        """Returns whether a posting lacks input tax only because it has no VAT code: with one, its account has a key."""
        return vat is None and ledger_account in self._deducting and target.is_named and not target.bu_key

    def unknown(self, known: Iterable[str]) -> list[str]:
        """Returns the bank accounts and cards that rows name and the ledger does not have."""
        from transforms.datev_seed import BANK, CARD

        return sorted({name for name, _, _ in self._named if name.startswith((f"{BANK}:", f"{CARD}:"))}.difference(known))

    def own(self, ledger_account: str, *, is_card: bool) -> Target | None:
        """Returns the number of an own account: of its row, or of the row for all bank accounts or cards; None without either."""
        from transforms.datev_seed import BANK, CARD

        if named := self._named.get((ledger_account, self._any, self._any)):
            return named
        common = self._named.get((CARD if is_card else BANK, self._any, self._any))
        return Target(number=common.number, bu_key="", is_named=False) if common else None


def books_and_chart(own_seeds: Path, skr: str | None) -> tuple[Books, Chart]:
    """Returns what the seeds say, for the chart `skr` or that of the settings.

    Raises `WrongUsage` for seeds that are not what they must be, and for settings that are missing.
    """
    from transforms.errors import SeedUnreadable
    from transforms.seeds import read

    try:
        seeds = {seed.name: seed for seed in read(own_seeds)}
    except SeedUnreadable as error:
        raise WrongUsage(str(error).rstrip(". ")) from None
    books = _books(seeds["settings"], own_seeds / "settings.csv", skr)
    return books, Chart(seeds["skr"].rows, books)


def refuse_shared(numbers: dict[str, tuple[Target, str]], chosen: set[str]) -> None:
    """Raises `Failure` where a chosen account has its number only by the row for all accounts, and another account has it, too.

    `numbers` is by ledger account: the number, and the name for people.
    """
    for account in sorted(chosen):
        target, name = numbers[account]
        others = [one for one, (other, _) in numbers.items() if one != account and other.number == target.number]
        if not target.is_named and others:
            named = ", ".join([name, *(numbers[one][1] for one in others[:4])])
            named_there = ", ".join([account, *others[:4]])
            raise Failure(
                f"No file was written. {1 + len(others)} accounts would have the number {target.number} in the books: {named}",
                f"In skr.csv, which begins as a copy of transforms/seeds/skr.csv, they are {named_there}."
                f" Give each a row in skr.csv in the data directory's `seeds`, as `{account},any,any,1210,1810,`",
            )


def _books(settings: "Seed", path: Path, skr: str | None) -> Books:
    given = {row["name"]: row["value"] or "" for row in settings.rows}
    needed = {
        "datev_consultant_number": "the number of the tax adviser (Beraternummer)",
        "datev_client_number": "the client's number there (Mandantennummer)",
    }
    if missing := [f"{name}, {words}" for name, words in needed.items() if name not in given]:
        raise WrongUsage(
            f"DATEV needs {' and '.join(missing)}",
            f"Add a line for each to {path}, as `datev_consultant_number,1001`; a new file begins as a copy of"
            " transforms/seeds/settings.csv",
        )
    return Books(
        consultant=given["datev_consultant_number"],
        client=given["datev_client_number"],
        skr=skr or given.get("datev_skr", "03"),
        account_length=int(given.get("datev_account_length", SHORTEST)),
        fiscal_month=int(given.get("fiscal_year_start_month", 1)),
        is_locked=given.get("datev_festschreibung") == "1",
        has_vat=given.get("vat") != "off",
    )


def _refuse_key(account: str, bu_key: str | None, books: Books, row: int) -> None:
    """Raises `WrongUsage` for a key on an account that computes the tax itself: DATEV refuses such a line."""
    from transforms.datev_seed import AUTOMATIC, LIFTS_AUTOMATIC

    is_automatic = account[:SHORTEST] in AUTOMATIC[f"skr{books.skr}"] and not account[SHORTEST:].strip("0")
    if bu_key and is_automatic and not LIFTS_AUTOMATIC.fullmatch(bu_key):
        raise WrongUsage(
            f"Row {row} of skr.csv gives the key {bu_key} to {account}, which computes the tax itself in SKR{books.skr}"
            " (Automatikkonto): DATEV refuses such a line",
            "Leave bu_key empty; where the adviser's books have no automatic there, name another account",
        )


def _sized(account: str, books: Books, row: int) -> str:
    """Returns an account with the digits of the books: one more is a customer or supplier (Personenkonto)."""
    length = books.account_length
    number = account.ljust(length, "0") if len(account) == SHORTEST else account
    if len(number) not in (length, length + 1):
        raise WrongUsage(
            f"Row {row} of skr.csv has a number of {len(account)} digits for SKR{books.skr}; datev_account_length is {length}",
            f"Write {SHORTEST} digits, {length}, or {length + 1} of a customer or supplier",
        )
    return number
