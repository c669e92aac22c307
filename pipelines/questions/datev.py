"""`export --format datev`: the double entry of chosen days as batches for the books of a tax adviser.

A booked movement is a line: the bank account against the account on the other side, with the gross amount. The adviser's program
takes the tax out of it, by the key of the line or by the account itself. A divided movement has a line a part. What no row of the
seed `skr` names goes to the interim account, and is listed.

A batch lies in one fiscal year and one calendar year, since its days have no year of their own. It is complete, as an account
statement is (`statements.py`), or says in its name that it is not, and is never locked then.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pipelines.errors import Failure, WrongUsage
from pipelines.questions import datev_format
from pipelines.questions.datev_accounts import Books, Chart, Direction, Target, refuse_shared
from pipelines.questions.datev_queries import ACCOUNTS, COUNTED, CURRENCY, POSTINGS
from pipelines.questions.statements import Selection, planned
from pipelines.store.ledger_reader import account_of
from pipelines.store.sql import each_row, rows_of
from pipelines.text.numbers import counted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LISTED = 12
"""Kinds of postings without a mapping that a note names; it counts the others."""


@dataclass(frozen=True)
class Batch:
    """A file: postings of days of one calendar year, in one fiscal year."""

    head: datev_format.Head
    accounts: tuple[str, ...]
    """The ids of the own accounts in it."""

    @property
    def file_name(self) -> str:
        """Returns the name of the file: an import takes only files that are called so."""
        return f"EXTF_Buchungsstapel_{self.head.first:%Y%m%d}_{self.head.last:%Y%m%d}.csv"


@dataclass
class Tally:
    """Notes for a person on the postings that were written."""

    interim: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    interim_number: str = ""
    uncoded: Counter[str] = field(default_factory=Counter)
    replaced: int = 0
    cut: int = 0
    documents: int = 0

    def sentences(self) -> Iterator[str]:
        """Yields a sentence for each difference from the ledger."""
        if self.interim:
            kinds = [
                f"{account} ({direction}, {vat}): {number:,}"
                for (account, direction, vat), number in sorted(self.interim.items(), key=lambda one: (-one[1], one[0]))
            ]
            rest = f" and {counted(len(kinds) - LISTED, 'further kind')}" if len(kinds) > LISTED else ""
            yield (
                f"{counted(self.interim.total(), 'posting')} on the interim account {self.interim_number}, for want of a row in"
                f" skr.csv: {'; '.join(kinds[:LISTED])}{rest}"
            )
        if self.uncoded:
            accounts = "; ".join(f"{account}: {number:,}" for account, number in self.uncoded.most_common())
            number = counted(self.uncoded.total(), "posting")
            yield f"{number} without a VAT code on accounts of expenses, so without a key and without input tax: {accounts}"
        if self.replaced:
            yield (f"{counted(self.replaced, 'posting')} with signs that Windows-1252 lacks: the nearest ones stand there")
        if self.cut:
            yield (f"{counted(self.cut, 'posting')} with longer texts than DATEV allows; what does not fit is left out")
        if self.documents:
            yield f"{counted(self.documents, 'document number')} with signs that Belegfeld 1 lacks, or too long: shortened"


class Batches:
    """The batches of a selection. Raises `WrongUsage` for days that no batch has, `Failure` for days that are not complete."""

    def __init__(
        self, connection: "DuckDBPyConnection", selection: Selection, books: tuple[Books, Chart], note: Callable[[str], None]
    ) -> None:
        self.tally = Tally()
        self._connection = connection
        self._note = note
        self._books, self._chart = books
        self._own: dict[str, Target] = {}
        self.planned = self._planned(selection)

    def lines(self, batch: Batch) -> Iterator[str]:
        """Yields a file, line by line, without line ends."""
        yield datev_format.header(batch.head)
        yield datev_format.names()
        for row in each_row(self._connection, POSTINGS, _days(batch)):
            yield datev_format.posting(self._posting(row), is_locked=batch.head.is_locked)

    def _planned(self, selection: Selection) -> list[Batch]:
        if selection.account and (chosen := account_of(self._connection, selection.account))["currency"] != CURRENCY:
            raise Failure(
                f"{chosen['display_name']} has no batch: books of DATEV are in {CURRENCY}", "Other formats hold its transactions"
            )
        noted: set[str] = set()
        found = []
        for first, last in _periods(selection, self._books):
            part = replace(selection, first=first, last=last, per=None, currency=CURRENCY)
            statements = planned(self._connection, part, lambda sentence: _once(sentence, noted, self._note), as_closed=True)
            accounts = tuple(one.account.account_id for one in statements)
            found.append(Batch(self._head(first, last, is_complete=not any(one.missing for one in statements)), accounts))
        self._number({account for batch in found for account in batch.accounts}, everyone=selection.account is None)
        return [batch for batch in found if self._has_postings(batch)]

    def _head(self, first: date, last: date, *, is_complete: bool) -> datev_format.Head:
        books = self._books
        (about,) = rows_of(self._connection, "select published_at from about")
        created_at: datetime = about["published_at"]
        complete, other = f"Bank {first:%d.%m.%Y} bis {last:%d.%m.%Y}", f"UNVOLLSTAENDIG {first:%d.%m.}/{last:%d.%m.%y}"
        return datev_format.Head(
            consultant=books.consultant,
            client=books.client,
            skr=books.skr,
            account_length=books.account_length,
            fiscal_year=books.fiscal_year(first),
            first=first,
            last=last,
            created_at=created_at,
            label=complete if is_complete else other,
            is_locked=books.is_locked and is_complete,
        )

    def _number(self, chosen: set[str], *, everyone: bool) -> None:
        """Finds the number of each own account in the books."""
        numbers: dict[str, tuple[Target, str]] = {}
        names = {}
        listed = rows_of(self._connection, ACCOUNTS)
        for name in self._chart.unknown(one["ledger_account"] for one in listed):
            self._note(f"skr.csv has a row for {name}, which is no account of the ledger")
        for one in listed:
            if one["currency"] != CURRENCY:
                if everyone:
                    self._note(f"{one['display_name']} is not in the file: books of DATEV are in {CURRENCY}")
                continue
            target = self._chart.own(one["ledger_account"], is_card=one["is_card"])
            if target is None and one["account_id"] in chosen:
                raise Failure(
                    f"No file was written. {one['display_name']} has no number in the books",
                    f"Add a row to skr.csv, as `{one['ledger_account']},any,any,1200,1800,`",
                )
            if target:
                numbers[one["ledger_account"]] = target, one["display_name"]
                names[one["account_id"]] = one["ledger_account"]
                self._own[one["account_id"]] = target
        refuse_shared(numbers, {names[account] for account in chosen})

    def _has_postings(self, batch: Batch) -> bool:
        """Returns whether a batch has any. Raises `Failure` where it has too many."""
        days = f"{batch.head.first} to {batch.head.last}"
        if not batch.accounts:
            self._note(f"No account has a balance and days from {days}: no file was written")
            return False
        (found,) = rows_of(self._connection, COUNTED, _days(batch))
        if found["postings"] > datev_format.LONGEST_BATCH:
            raise Failure(
                f"No file was written. {found['postings']:,} postings from {days}: a batch holds {datev_format.LONGEST_BATCH:,}",
                "Give --per month, or fewer days",
            )
        if found["postings"] and found["largest"] > datev_format.LARGEST:
            raise Failure(
                f"No file was written. An amount from {days} has more than ten digits before the comma: DATEV cannot carry it",
                "Leave its account or its days out, by --account, --from and --to",
            )
        if found["zeros"]:
            self._note(f"{counted(found['zeros'], 'posting')} of zero from {days}: DATEV has none, so they are left out")
        if found["reclassified"]:
            moved = counted(found["reclassified"], "movement")
            self._note(f"Since the closing, {moved} went to other accounts: the books keep the old ones")
        if not found["postings"]:
            self._note(f"Nothing was booked from {days}: no file was written")
        return bool(found["postings"])

    def _posting(self, row: dict[str, Any]) -> datev_format.Posting:
        amount, vat, day = row["amount"], row["vat_code"], row["booked_on"]
        direction: Direction = "in" if (amount > 0) is not row["is_return"] else "out"
        counter = self._chart.counter(row["ledger_account"] or "", direction, vat, day)
        if row["leg"] == 4:  # the rest of a transfer, which a person moved on from where own money is under way
            account = self._chart.counter("Assets:Transit", direction, None, day).number
        else:
            account = self._own[row["account_id"]].number
        if not counter.is_named:
            self.tally.interim[row["ledger_account"] or "a closed month", direction, vat or "no VAT code"] += 1
            self.tally.interim_number = counter.number
        if self._chart.lacks_code(row["ledger_account"] or "", vat, counter):
            self.tally.uncoded[row["ledger_account"]] += 1
        document, is_other = datev_format.document_number(row["invoice_number"] or "")
        self.tally.documents += is_other
        text, about = self._texts(row)
        return datev_format.Posting(
            amount=amount,
            account=account,
            counter_account=counter.number,
            bu_key=counter.bu_key,
            day=day,
            document=document,
            text=text,
            about=about,
        )

    def _texts(self, row: dict[str, Any]) -> tuple[str, dict[str, str]]:
        """Returns the text of a posting, and what Beleginfo says: the whole purpose, the ledger's own id and account."""
        words = [row[name] for name in ("counterparty_name", "description") if row[name]] or [row["transaction_type"] or ""]
        correction = f"Korrektur {row['movement_on']:%m/%Y}: " if row["is_correction"] else ""
        text, is_other = datev_format.windows_text(correction + ", ".join(words))
        purpose, _ = datev_format.windows_text(row["description"] or "")
        name, _ = datev_format.windows_text(row["counterparty_name"] or "")
        transaction, _ = datev_format.windows_text(row["transaction_id"])
        contents = {
            "Geschäftspartner": name,
            "Verwendungszweck": purpose,
            "Buchungskonto": row["ledger_account"] or "",
            "Transaktion": transaction,
        }
        self.tally.replaced += is_other
        self.tally.cut += any(len(one) > datev_format.CONTENT for one in contents.values())
        return text[: datev_format.TEXT].rstrip(), {kind: one[: datev_format.CONTENT] for kind, one in contents.items() if one}


def _days(batch: Batch) -> dict[str, Any]:
    return {"first": batch.head.first, "last": batch.head.last, "accounts": list(batch.accounts)}


def _periods(selection: Selection, books: Books) -> Iterator[tuple[date, date]]:
    """Yields the first and the last day of each batch: the selection cut at fiscal and calendar years, or at months, too."""
    if selection.first is None or selection.last is None:
        raise WrongUsage("A batch for DATEV has a first and a last day", "Give --from and --to")
    if selection.last < selection.first:
        raise WrongUsage("--to is before --from", "Give the first day by --from")
    if selection.first.year < datev_format.FIRST_YEAR or selection.last.year > datev_format.LAST_YEAR:
        years = f"{datev_format.FIRST_YEAR} to {datev_format.LAST_YEAR}"
        raise WrongUsage(f"A batch for DATEV has days of the years {years}", "Give such days by --from and --to")
    if selection.per == "day":
        raise WrongUsage("A batch for DATEV holds a month or a year", "Leave --per out, or give --per month")
    days = (selection.first + timedelta(days=number) for number in range((selection.last - selection.first).days + 1))
    for _, part in groupby(days, key=lambda day: (books.fiscal_year(day), day.year, selection.per and day.month)):
        listed = list(part)
        yield listed[0], listed[-1]


def _once(sentence: str, noted: set[str], note: Callable[[str], None]) -> None:
    if sentence not in noted:
        noted.add(sentence)
        note(sentence)
