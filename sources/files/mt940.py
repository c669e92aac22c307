"""Reads MT940, SWIFT's customer statement, as banks give it to their customers.

Field 86 is read in the German subfields (`?20`) with their SEPA keywords (`EREF+`); in any other form its text is kept as it
stands. The sign of an entry is that of its mark: `RC` takes a credit back (money out), `RD` a debit (money in).
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date

from sources.files.values import LONGEST_TEXT, Balance, Document, Entry, FileRefused, Page, filled, money

_TAG = re.compile(r":(\d{2}[A-Z]?):(.*)", re.DOTALL)
_BALANCE = re.compile(r"([CD])(\d{6})([A-Z]{3})(\d{1,15},\d{0,2})")
_BOOKING = re.compile(
    r"(?P<valued>\d{6})(?P<booked>\d{4})?(?P<mark>RC|RD|C|D)(?P<funds>[A-Z])?(?P<amount>\d{1,15},\d{0,2})"
    r"(?P<kind>[NFS][A-Z0-9]{3})(?P<own>[^\n]*?)(?://(?P<banks>[^\n]*))?(?:\n(?P<more>[^\n]*(?:\n[^\n]*)*))?"
)
_SUBFIELDS = re.compile(r"(\d{3})(?=[?])(.*)", re.DOTALL)
_KEYWORD = re.compile(r"(EREF|KREF|MREF|CRED|DEBT|PURP|SVWZ|MDAT|ABWA|ABWE|SQTP|ORCR|ORMR|DDAT|COAM|OAMT)\+")
_KNOWN = frozenset({"20", "21", "25", "25P", "28", "28C", "60F", "60M", "61", "62F", "62M", "64", "65", "86", "13", "13D"})
_PURPOSE = tuple(str(number) for number in (*range(20, 30), *range(60, 64)))
_AGAIN = "Ask the bank for the file again"
_NO_REFERENCE = frozenset({"NONREF", "NOTPROVIDED", ""})


def read(content: bytes, encoding: str | None = None) -> Document:
    """Returns the statements of a file, in its order. Raises `FileRefused`."""
    pages: list[Page] = []
    for number, fields in enumerate(_messages(_decoded(content, encoding)), start=1):
        pages.append(_page(f"statement {number}", fields))
    if not pages:
        raise FileRefused("It holds no statement", "Ask the bank for MT940")
    return Document("MT940", pages)


def _decoded(content: bytes, encoding: str | None) -> str:
    try:
        text = content.decode(encoding or "utf-8-sig")
    except LookupError:
        raise FileRefused(f"There is no encoding {encoding}", "Name another, as in --encoding iso-8859-1") from None
    except UnicodeError:
        raise FileRefused(
            f"It is not {encoding or 'ASCII or UTF-8'}", "Name its encoding, as in --encoding iso-8859-1 or --encoding cp850"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _messages(text: str) -> Iterator[list[tuple[str, str]]]:
    """Yields the fields of each message: tag and text, further lines behind a line break."""
    fields: list[tuple[str, list[str]]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        shown = line.rstrip()
        if shown.startswith("{"):
            shown = shown.partition("{4:")[2]
        if shown in ("", "-", "-}", "\x03") or shown.startswith("-}"):
            if fields and shown.startswith("-"):
                yield _joined(fields)
                fields = []
            continue
        found = _TAG.fullmatch(shown)
        if found is None:
            if not fields:
                raise FileRefused(f"Line {number} stands before the first field", "It is no MT940, or its beginning is missing")
            fields[-1][1].append(shown)
            continue
        tag = found[1]
        if tag not in _KNOWN:
            raise FileRefused(f"Line {number}: field {tag} is none of a statement", _AGAIN)
        if tag == "20" and fields:
            yield _joined(fields)
            fields = []
        fields.append((tag, [found[2]]))
    if fields:
        yield _joined(fields)


def _joined(fields: list[tuple[str, list[str]]]) -> list[tuple[str, str]]:
    return [(tag, "\n".join(lines)) for tag, lines in fields]


def _page(place: str, fields: list[tuple[str, str]]) -> Page:
    page = Page(place=place, number=None, currency=None)
    for tag, text in fields:
        match tag:
            case "20":
                page.reference = text.strip()
            case "25" | "25P":
                page.number = text.strip()
            case "60F" | "60M":
                page.opening = _balance(page, text, place, intermediate=tag == "60M")
            case "61":
                if page.opening is None or page.closing is not None:
                    raise FileRefused(f"{place}: an entry stands outside of its balances", _AGAIN)
                page.entries.append(_entry(f"{place}, entry {len(page.entries) + 1}", text))
            case "62F" | "62M":
                page.closing = _balance(page, text, place, intermediate=tag == "62M")
            case "86" if page.entries and page.closing is None:
                page.entries[-1] = _informed(page.entries[-1], text)
    if page.number is None:
        raise FileRefused(f"{place} names no account (field 25)", _AGAIN)
    if page.opening is None or page.closing is None:
        field = "60" if page.opening is None else "62"
        raise FileRefused(f"{place} has no balance of field {field}: the file is cut off, or no MT940", _AGAIN)
    return page


def _balance(page: Page, text: str, place: str, *, intermediate: bool) -> Balance:
    found = _BALANCE.fullmatch(text.strip())
    if found is None:
        raise FileRefused(f"{place}: a balance cannot be read", _AGAIN)
    sign, day, currency, amount = found.groups()
    if page.currency not in (None, currency):
        raise FileRefused(f"{place}: its balances are in {page.currency} and {currency}", _AGAIN)
    page.currency = currency
    unsigned = money(amount.replace(",", "."), place)
    return Balance(_day(day, place), -unsigned if sign == "D" else unsigned, intermediate)


def _entry(place: str, text: str) -> Entry:
    found = _BOOKING.fullmatch(text)
    if found is None:
        raise FileRefused(f"{place}: field 61 cannot be read", _AGAIN)
    valued = _day(found["valued"], place)
    amount = money(found["amount"].replace(",", "."), place)
    own = (found["own"] or "").strip()
    return Entry(
        place=place,
        booked_on=_booked(found["booked"], valued, place) if found["booked"] else valued,
        value_on=valued,
        amount=amount if found["mark"] in ("C", "RD") else -amount,
        end_to_end_id=None if own.upper() in _NO_REFERENCE else own,
        transaction_type=found["kind"],
        reference=filled(found["banks"]),
        is_reversal=found["mark"].startswith("R"),
    )


def _informed(entry: Entry, text: str) -> Entry:
    """Returns the entry with the parties, texts and references of its field 86."""
    if len(text) + len(entry.description or "") > LONGEST_TEXT:
        raise FileRefused(f"{entry.place}: its text is longer than any bank's", _AGAIN)
    found = _SUBFIELDS.fullmatch(text.replace("\n", ""))
    if found is None:
        more = filled(" ".join(text.split("\n")))
        return replace(entry, description=filled(" ".join(filter(None, [entry.description, more]))))
    parts = [(part[:2], part[2:]) for part in found[2].split("?")[1:]]
    by_field: dict[str, str] = {}
    for name, part in parts:
        by_field[name] = by_field.get(name, "") + part
    said = _purposes("".join(by_field.get(name, "") for name in _PURPOSE))
    return replace(
        entry,
        description=filled(said.get("SVWZ") or said.get("")),
        end_to_end_id=_reference(said.get("EREF")) or entry.end_to_end_id,
        mandate_number=filled(said.get("MREF")),
        counterparty_name=filled(by_field.get("32", "") + by_field.get("33", "")),
        counterparty_iban=filled(by_field.get("31")),
        transaction_type=filled(by_field.get("00")) or entry.transaction_type,
    )


def _purposes(text: str) -> dict[str, str]:
    """Returns the parts of a purpose by their keyword; text before the first keyword has an empty one."""
    first, *parts = _KEYWORD.split(text)
    found = {"": first}
    for keyword, part in zip(parts[::2], parts[1::2], strict=True):
        found.setdefault(keyword, part)
    return found


def _reference(text: str | None) -> str | None:
    shown = (text or "").strip()
    return None if shown.upper() in _NO_REFERENCE else shown


def _day(text: str, place: str) -> date:
    try:
        year = int(text[:2])
        return date(year + (1900 if year >= 80 else 2000), int(text[2:4]), int(text[4:6]))
    except ValueError:
        raise FileRefused(f"{place}: a date is no day", _AGAIN) from None


def _booked(text: str, valued: date, place: str) -> date:
    """Returns the booking day, whose year the format leaves out: the one nearest to the value day."""
    days = []
    for year in (valued.year - 1, valued.year, valued.year + 1):
        try:
            days.append(date(year, int(text[:2]), int(text[2:4])))
        except ValueError:
            continue
    if not days:
        raise FileRefused(f"{place}: its booking date is no day", _AGAIN)
    return min(days, key=lambda day: abs(day - valued))
