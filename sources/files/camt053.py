"""Reads camt.053, the "bank to customer statement" of ISO 20022, in any of its versions.

Only booked entries are read; pending and informational ones are counted. A batch is one entry, as it is booked. A document type
is refused, so no entity is ever expanded; nothing is loaded from elsewhere.
"""

from datetime import date, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

from lxml import etree

from sources.files.values import Balance, Document, Entry, FileRefused, Page, filled, money

_OPENING, _CLOSING, _BETWEEN = frozenset({"OPBD", "PRCD"}), frozenset({"CLBD"}), "ITBD"
_ENCODINGS = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "iso-8859-15", "windows-1252", "utf-16"})
_OTHERS = {"camt.052": "an account report of a day that is not over", "camt.054": "a notification without balances"}
_AGAIN = "Ask the bank for the file again"
_MOST_ELEMENTS = 1 << 20
"""The number of elements held in memory at once: those of one entry, and those between two entries."""
_LINE = 140
"""The length of a full line of the purpose: such a line continues in the next one."""
_NO_REFERENCE = frozenset({"NOTPROVIDED", "NONREF", "NOT PROVIDED"})
_OURS = "Written by kontoledger"


def read(content: bytes) -> Document:
    """Returns the statements of a document, in its order. Raises `FileRefused`."""
    pages: list[Page] = []
    seen_root = own = False
    held = 0
    try:
        events = etree.iterparse(
            BytesIO(content), events=("start", "end"), resolve_entities=False, load_dtd=False, no_network=True,
            huge_tree=False, remove_comments=True, remove_pis=True,
        )  # fmt: skip
        for event, element in events:
            if not seen_root:
                _check_root(element)
                seen_root = True
            name = _name(element)
            if event == "start":
                held += 1
                if held > _MOST_ELEMENTS:
                    raise FileRefused("It holds more beside its entries, or in one of them, than any statement does", _AGAIN)
                if name == "Stmt":
                    pages.append(Page(place=f"statement {len(pages) + 1}", number=None, currency=None))
                elif name in ("BkToCstmrAcctRpt", "BkToCstmrDbtCdtNtfctn"):
                    kind = "camt.052" if name == "BkToCstmrAcctRpt" else "camt.054"
                    raise FileRefused(f"It is {kind}, {_OTHERS[kind]}", "Ask the bank for camt.053")
            elif name == "Ntry" and pages:
                _add_entry(pages[-1], element)
                element.clear()
                held = 0
            elif name == "GrpHdr":
                own = (_text(element, "AddtlInf") or "").startswith(_OURS)
            elif name == "Stmt":
                _complete(pages[-1], element)
                element.clear()
    except etree.XMLSyntaxError as error:
        raise FileRefused(f"Its XML is broken or cut off in line {error.lineno or 1}", _AGAIN) from None
    if not pages:
        raise FileRefused("It holds no account statement", "Ask the bank for camt.053, the statement of booked entries")
    return Document("CAMT.053", pages, own=own)


def _check_root(root: Any) -> None:
    about = root.getroottree().docinfo
    if about.doctype or about.internalDTD is not None:
        raise FileRefused("It carries a document type, which no bank's statement has", _AGAIN)
    if (about.encoding or "utf-8").lower() not in _ENCODINGS:
        raise FileRefused(f"Its encoding is {about.encoding}", "Save it as UTF-8")
    if _name(root) != "Document" or "camt.053" not in (root.nsmap.get(root.prefix) or "camt.053"):
        kind = next((one for one in _OTHERS if one in (root.nsmap.get(root.prefix) or "")), None)
        raise FileRefused(f"It is {kind}, {_OTHERS[kind]}" if kind else "It is XML, but no camt.053", "Ask the bank for camt.053")


def _add_entry(page: Page, entry: Any) -> None:
    place = f"{page.place}, entry {len(page.entries) + page.left_out + 1}"
    status = (_text(entry, "Sts", "Cd") or _text(entry, "Sts") or "").upper()
    if status in ("PDNG", "INFO", "FUTR"):
        page.left_out += 1
        return
    if status != "BOOK":
        raise FileRefused(f"{place}: its status is none of BOOK, PDNG, INFO and FUTR", _AGAIN)
    booked = _day(entry, "BookgDt", place=place)
    if booked is None:
        raise FileRefused(f"{place}: a booked entry has no booking date", _AGAIN)
    amount = _amount(page, entry, place)
    details = [one for part in _children(entry, "NtryDtls") for one in _children(part, "TxDtls")]
    single = details[0] if len(details) == 1 else None
    page.entries.append(
        Entry(
            place=place,
            booked_on=booked,
            value_on=_day(entry, "ValDt", place=place),
            amount=amount,
            transaction_type=_kind(entry),
            reference=_text(entry, "AcctSvcrRef") or _text(entry, "NtryRef"),
            is_reversal=_truth(_text(entry, "RvslInd"), place),
            **_said(single, amount, _text(entry, "AddtlNtryInf"))
            if len(details) < 2
            else {"description": _of_a_batch(details, _text(entry, "AddtlNtryInf"))},
        )
    )


def _said(details: Any, amount: Decimal, about: str | None) -> dict[str, str | None]:
    """Returns the other side and the purpose of one payment, from its details."""
    parties = _child(details, "RltdPties")
    role, other = ("Cdtr", "Dbtr") if amount < 0 else ("Dbtr", "Cdtr")
    if not _name_of(parties, role) and not _number_of(parties, role):
        role = other  # of a payment that is given back, some banks leave the roles as they were
    reference = _text(details, "Refs", "EndToEndId")
    return {
        "counterparty_name": _name_of(parties, role),
        "counterparty_iban": _number_of(parties, role),
        "description": _purpose(details) or about,
        "end_to_end_id": None if (reference or "").upper() in _NO_REFERENCE else reference,
        "mandate_number": _text(details, "Refs", "MndtId"),
    }


def _of_a_batch(details: list[Any], about: str | None) -> str:
    return " ".join(filter(None, [about, f"batch of {len(details)} payments"]))


def _purpose(details: Any) -> str | None:
    remittance = _child(details, "RmtInf")
    if remittance is None:
        return None
    found = ""
    for one in _children(remittance, "Ustrd"):
        text = one.text or ""
        found += text if not found or _goes_on(found) else f" {text}"
    parts = [found, *(_text(one, "CdtrRefInf", "Ref") for one in _children(remittance, "Strd"))]
    return filled(" ".join(filter(None, parts)))


def _goes_on(text: str) -> bool:
    return len(text) % _LINE == 0


def _kind(entry: Any) -> str | None:
    """Returns the bank's own word for the kind of entry, else its codes."""
    own = _text(entry, "BkTxCd", "Prtry", "Cd")
    domain = _child(_child(entry, "BkTxCd"), "Domn")
    codes = [_text(domain, "Cd"), _text(domain, "Fmly", "Cd"), _text(domain, "Fmly", "SubFmlyCd")]
    return own or filled("-".join(filter(None, codes)))


def _name_of(parties: Any, role: str) -> str | None:
    party = _child(parties, role)
    return _text(party, "Pty", "Nm") or _text(party, "Nm") or _text(party, "Agt", "FinInstnId", "Nm")


def _number_of(parties: Any, role: str) -> str | None:
    number = _child(_child(parties, f"{role}Acct"), "Id")
    return _text(number, "IBAN") or _text(number, "Othr", "Id")


def _complete(page: Page, statement: Any) -> None:
    """Reads the parts of a statement other than its entries."""
    page.reference = _text(statement, "Id") or ""
    account = _child(statement, "Acct")
    page.number = _text(account, "Id", "IBAN") or _text(account, "Id", "Othr", "Id")
    if page.number is None:
        raise FileRefused(f"{page.place} names no account", _AGAIN)
    servicer = _child(_child(account, "Svcr"), "FinInstnId")
    page.institution = _text(servicer, "Nm") or _text(servicer, "BICFI") or _text(servicer, "BIC")
    if currency := _text(account, "Ccy"):
        _same_currency(page, currency, page.place)
    _balances(page, statement)
    page.first = _whole_day(statement, "FrDtTm", "00:00", page.place)
    page.last = _whole_day(statement, "ToDtTm", "23:59", page.place)
    stated = _text(statement, "TxsSummry", "TtlNtries", "NbOfNtries")
    if stated is not None and stated not in {str(len(page.entries)), str(len(page.entries) + page.left_out)}:
        raise FileRefused(f"{page.place} has {len(page.entries)} booked entries, and its summary says {stated}", _AGAIN)


def _balances(page: Page, statement: Any) -> None:
    between: list[Balance] = []
    for one in _children(statement, "Bal"):
        code = _text(one, "Tp", "CdOrPrtry", "Cd")
        if code not in _OPENING | _CLOSING | {_BETWEEN}:
            continue
        place = f"{page.place}, balance {code}"
        day = _day(one, "Dt", place=place)
        if day is None:
            raise FileRefused(f"{place} has no day", _AGAIN)
        balance = Balance(day, _amount(page, one, place), intermediate=code == _BETWEEN)
        if code == _BETWEEN:
            between.append(balance)
            continue
        known = page.opening if code in _OPENING else page.closing
        if known is not None and known.amount != balance.amount:
            raise FileRefused(f"{page.place} has two different {'opening' if code in _OPENING else 'closing'} balances", _AGAIN)
        if code in _OPENING:
            page.opening = known or balance
        else:
            page.closing = known or balance
    page.opening = page.opening or (between[0] if between else None)
    page.closing = page.closing or (between[-1] if between else None)
    if page.opening is None or page.closing is None:
        missing = "opening (OPBD or PRCD)" if page.opening is None else "closing (CLBD)"
        raise FileRefused(f"{page.place} has no {missing} booked balance", "Ask the bank for statements with balances")


def _amount(page: Page, element: Any, place: str) -> Decimal:
    shown = _child(element, "Amt")
    if shown is None or not shown.get("Ccy"):
        raise FileRefused(f"{place} has no amount with a currency", _AGAIN)
    _same_currency(page, shown.get("Ccy"), place)
    sign = _text(element, "CdtDbtInd")
    if sign not in ("CRDT", "DBIT"):
        raise FileRefused(f"{place} is neither a credit nor a debit", _AGAIN)
    amount = money(shown.text, place)
    return -amount if sign == "DBIT" else amount


def _same_currency(page: Page, currency: str, place: str) -> None:
    if page.currency not in (None, currency):
        raise FileRefused(f"{place} is in {currency}, and what stands before it in {page.currency}", _AGAIN)
    page.currency = currency


def _whole_day(statement: Any, name: str, at: str, place: str) -> date | None:
    """Returns the day that a statement's period begins or ends with, if the period holds all of that day."""
    period = _child(statement, "FrToDt")
    shown = _text(period, name) or ""
    return _day(period, name, place=place) if shown.partition("T")[2].startswith(at) else None


def _day(element: Any, name: str, *, place: str) -> date | None:
    """Returns the day in a child: the bank's own, whatever its time zone."""
    found = _child(element, name)
    shown = _text(found, "Dt") or _text(found, "DtTm") or filled(found.text if found is not None else None)
    if shown is None:
        return None
    try:
        return datetime.fromisoformat(shown).date() if "T" in shown else date.fromisoformat(shown[:10])
    except ValueError:
        raise FileRefused(f"{place}: {name} is no day", _AGAIN) from None


def _truth(text: str | None, place: str) -> bool:
    if text not in (None, "true", "false", "1", "0"):
        raise FileRefused(f"{place}: RvslInd is neither true nor false", _AGAIN)
    return text in ("true", "1")


def _name(element: Any) -> str:
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _children(element: Any, name: str) -> list[Any]:
    return [one for one in element if _name(one) == name] if element is not None else []


def _child(element: Any, name: str) -> Any:
    return next(iter(_children(element, name)), None)


def _text(element: Any, *names: str) -> str | None:
    for name in names:
        element = _child(element, name)
    return filled(element.text) if element is not None and not len(element) else None
