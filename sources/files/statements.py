"""Joins the pages of a file into statements of one account, each of which leads exactly from one balance to the other.

A day is whole in a statement when no balance lies inside of it. A statement that begins in the middle of a day, after another
one, is joined with that one. Else its first whole day is the day after its opening balance, or the day of it where an entry is
booked on that day.
"""

from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal

from sources.files.values import Entry, FileRefused, Page

ONE_DAY = timedelta(days=1)
YEARS = range(1900, 2200)
"""Years that a day of a statement may have."""
_AGAIN = "Ask the bank for the file again"


@dataclass(frozen=True, kw_only=True)
class Statement:
    """Whole days of one account, from `first` to `last`, with every entry that was booked on them.

    Balances are those at the end of the day before `first` and at the end of `last`; a CSV file gives none.
    """

    place: str
    reference: str
    first: date
    last: date
    opening: Decimal | None
    closing: Decimal | None
    entries: list[Entry] = field(default_factory=list)

    @property
    def has_days(self) -> bool:
        """Returns whether it covers any day: one without entries may repeat a balance only."""
        return self.first <= self.last


def joined(pages: list[Page]) -> list[Statement]:
    """Returns the statements of one account, by day. Raises `FileRefused` where pages are missing, repeated or do not add up."""
    _refuse_impossible_days(pages)
    _refuse_repeated(pages)
    found = sorted((_statement(part) for part in _whole(pages)), key=lambda one: (one.last, one.first))
    statements: list[Statement] = []
    for one in found:
        if not statements or one.first > statements[-1].last:
            statements.append(one)
            continue
        before = statements[-1]
        if any(entry.booked_on < before.last for entry in one.entries):  # even if both lead back to the same balance
            raise FileRefused(
                f"{one.place} and {before.place} overlap before {before.last}: one may repeat the other",
                "Remove one of them, import them as files of their own, or ask the bank for the file again",
            )
        if one.opening is None or one.opening != before.closing:
            raise FileRefused(
                f"{one.place} and {before.place} overlap, and the one does not begin with the balance that the other ends with",
                "They are of one account: import them as files of their own, or ask the bank for the file again",
            )
        statements[-1] = replace(
            before, last=max(one.last, before.last), closing=one.closing, entries=[*before.entries, *one.entries]
        )
    return statements


def stretches(statements: list[Statement]) -> list[tuple[date, date]]:
    """Returns the first and the last day of each stretch of days that the statements cover without a gap."""
    found: list[tuple[date, date]] = []
    for one in statements:
        if not one.has_days:
            continue
        if found and one.first <= found[-1][1] + ONE_DAY:
            found[-1] = (found[-1][0], max(found[-1][1], one.last))
        else:
            found.append((one.first, one.last))
    return found


def _refuse_impossible_days(pages: list[Page]) -> None:
    for page in pages:
        days = [one.day for one in (page.opening, page.closing) if one is not None]
        days += [day for day in (page.first, page.last) if day is not None]
        if odd := next((day for day in days + [one.booked_on for one in page.entries] if day.year not in YEARS), None):
            raise FileRefused(f"{page.place} has a day of the year {odd.year}", _AGAIN)


def _refuse_repeated(pages: list[Page]) -> None:
    seen: dict[tuple[object, ...], str] = {}
    for page in pages:
        # the reference does not count: a copy may have its own
        said = (page.opening, page.closing, *(replace(one, place="") for one in page.entries))
        if page.entries and said in seen:
            raise FileRefused(f"{page.place} repeats {seen[said]}", "Remove one of them, or ask the bank for the file again")
        seen[said] = page.place


def _whole(pages: list[Page]) -> list[list[Page]]:
    """Returns the pages of each statement: a page that ends with an intermediate balance goes on in the next one."""
    found: list[list[Page]] = []
    for page in pages:
        goes_on = bool(found) and _ends_between(found[-1][-1])
        if goes_on or (page.opening is not None and page.opening.intermediate):
            before = found[-1][-1] if goes_on else None
            if before is None or before.closing is None or page.opening is None or before.closing.amount != page.opening.amount:
                raise FileRefused(
                    f"{page.place} does not go on from the page before it: pages are missing or in the wrong order",
                    "Put the pages into one file in their order, or ask the bank for the file again",
                )
            found[-1].append(page)
        else:
            found.append([page])
    if found and _ends_between(found[-1][-1]):
        raise FileRefused(f"{found[-1][-1].place} goes on on a page that is missing", "Put all its pages into one file")
    return found


def _ends_between(page: Page) -> bool:
    return page.closing is not None and page.closing.intermediate


def _statement(pages: list[Page]) -> Statement:
    first, last = pages[0], pages[-1]
    entries = [entry for page in pages for entry in page.entries]
    if first.opening is None or last.closing is None:
        return _without_balances(first, entries)
    opening, closing = first.opening, last.closing
    moved = sum((one.amount for one in entries), Decimal(0))
    if opening.amount + moved != closing.amount:
        raise FileRefused(
            f"{first.place} does not add up: its {len(entries)} entries do not lead from its opening balance to its closing one",
            _AGAIN,
        )
    days = [one.booked_on for one in entries]
    begin = opening.day if opening.day in days else opening.day + ONE_DAY
    if first.first is not None and first.first <= begin:
        begin = first.first
    end = max(closing.day, last.last or closing.day)
    if days and not begin <= min(days) <= max(days) <= end:
        raise FileRefused(f"{first.place} has an entry that was booked on a day outside of it", _AGAIN)
    return Statement(
        place=first.place,
        reference=first.reference,
        first=begin,
        last=end,
        opening=opening.amount,
        closing=closing.amount,
        entries=entries,
    )


def _without_balances(page: Page, entries: list[Entry]) -> Statement:
    days = [one.booked_on for one in entries]
    first, last = page.first or min(days, default=None), page.last or max(days, default=None)
    if first is None or last is None:
        raise FileRefused("It holds no entry", "Name the days that it is of with --from and --to, if there were no movements")
    if days and not first <= min(days) <= max(days) <= last:
        raise FileRefused("It has an entry outside of the days that are named", "Correct --from or --to")
    return Statement(
        place=page.place, reference=page.reference, first=first, last=last, opening=None, closing=None, entries=entries
    )
