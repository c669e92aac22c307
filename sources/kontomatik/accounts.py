"""Turns account, card and owner elements into columns, and recognises an account again.

National ids, document numbers, birth dates and citizenships of owners are dropped on purpose, also under names that we have
not seen yet: a ledger does not need them.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sources._identity import account_id, normal_iban
from sources.kontomatik.columns import ACCOUNTS
from sources.kontomatik.errors import BANK
from sources.kontomatik.rows import PLAIN_CURRENCY, PLAIN_DECIMAL, day_of
from sources.kontomatik.safe_xml import as_json, child_text, name_of, nested, put, text_of

ROW_NAMES = frozenset({"moneyTransaction", "transaction", "Transaction", "transactions"})
"""Elements that may be a row. The published specification's array `transactions` is the row itself, or a list of rows."""
ROW_LISTS = frozenset({"moneyTransactions", "transactions", "Transactions"})
OWNER_NAMES = frozenset({"owner", "Owner", "owners"})

TEXTS = {
    "name": "name",
    "friendlyName": "friendly_name",
    "iban": "iban",
    "number": "number",
    "cardId": "card_id",
    "currencyName": "currency",
    "currency": "currency",
    "interest": "interest",
    "interests": "interest",
    "owner": "owner_name",
}
MONIES = {
    "currencyBalance": "balance",
    "balance": "balance",
    "currencyFundsAvailable": "available_balance",
    "availableBalance": "available_balance",
    "limit": "credit_limit",
}
DAYS = {"activeSinceAtLeast": "active_since_at_least", "dueDate": "due_on"}
KEPT_WHOLE = frozenset({"directDebit"})
"""Known, without a column of its own: kept in `extra`, not reported."""
PARTIAL = "partialDueToTimeout"

OWNER_TEXTS = {"name": "name", "externalId": "external_id", "email": "email", "phone": "phone", "address": "address"}
OWNER_KEYS = {"nationalId": "person_key", "polishPesel": "person_key", "personalDocumentNumber": "document_key"}
"""Numbers that a state gave: only their keyed hash is kept, to recognise a person again."""
OWNER_DROPPED = frozenset({"citizenship", "nationality", "personalDocumentType", "birthDate", "birthPlace"})
Recognise = Callable[[str, str], str]
"""The keyed hash of a number of some kind (`person_key`, `document_key`)."""
_CENT = Decimal("0.01")
_MASKED = re.compile(r"[*•]{2}|(?<=[\d\s])[xX]{2,}(?=[\d\s])")
_PERSONAL = re.compile(r"pesel|national|document|passport|birth|citizen|idcard|identity|ssn|social", re.IGNORECASE)


@dataclass
class Fields:
    """The columns of an account's element; the account is named once the whole answer is read."""

    account_type: str
    columns: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    partial: bool = False

    def keep(self, name: str, value: Any, *, known: bool = False) -> None:
        """Puts a value without a column into `extra`."""
        if not known:
            self.unknown.add(f"{self.account_type}.{name}")
        value = _impersonal(name, value)
        if value is not None:
            put(self.extra, name, value)


def account_fields(element: Any, account_type: str) -> Fields:
    """Returns the columns of an account's or card's element; rows and lists of rows in it are skipped."""
    found = Fields(account_type)
    owners: list[Any] = []
    for key, value in element.items():
        if key == PARTIAL:
            found.partial = _is_partial(value)
        elif not key.startswith("{"):
            found.keep(f"@{key}", value)
    for one in element:
        name = name_of(one)
        if name == "owners" or (name in OWNER_NAMES and len(one)):
            owners.append(one)
        elif name == PARTIAL:
            found.partial = found.partial or _is_partial(text_of(one))
        elif name in ROW_LISTS or name in ROW_NAMES:
            _pass_over(found, one, name)
        elif name in KEPT_WHOLE:
            found.keep(name, nested(one), known=True)
        else:
            _take(found, name, one)
    if _MASKED.search(found.columns.get("number") or ""):
        found.account_type = "card"  # the published specification lists cards, if at all, among the accounts
    people, unknown = read_owners(owners)
    found.unknown |= unknown
    if names := sorted({owner["name"] for owner in people if owner["name"]}):
        found.columns["owner_name"] = ", ".join(names)
    return found


def currency_of(element: Any) -> str | None:
    """Returns the currency that an account's element has named so far."""
    found = (currency(text_of(one)) for one in element if TEXTS.get(name_of(one)) == "currency")
    return next(filter(None, found), None)


def currency(text: str | None) -> str | None:
    """Returns a code of three capitals, or None."""
    return text.upper() if text and re.fullmatch(PLAIN_CURRENCY.strip("^$"), text) else None


def _take(found: Fields, name: str, one: Any) -> None:
    text = text_of(one)
    column = TEXTS.get(name) or MONIES.get(name) or DAYS.get(name)
    if column is None or len(one) or found.columns.get(column) is not None:
        if len(one) or one.keys() or text != found.columns.get(column or ""):
            found.keep(name, nested(one))
        return
    for key, value in one.items():
        if not key.startswith("{"):
            found.keep(f"{name}@{key}", value)
    if text is None:
        return
    typed: Any = text
    if name in MONIES:
        typed = Decimal(text).quantize(_CENT) if re.fullmatch(PLAIN_DECIMAL.strip("^$"), text) else None
    elif name in DAYS:
        typed = day_of(text)
    elif column == "currency":
        typed = currency(text)
    if typed is None:  # not what the column holds: the text is kept
        found.keep(name, text, known=True)
    found.columns[column] = typed


def _pass_over(found: Fields, one: Any, name: str) -> None:
    """Records what is in a list of rows and is no row. The rows are read and cleared by now."""
    for left in one:
        if name_of(left) not in ROW_NAMES:
            found.unknown.add(f"{found.account_type}.{name}.{name_of(left)}")


def _is_partial(text: str | None) -> bool:
    return (text or "").strip().lower() not in ("", "false", "0")


@dataclass(frozen=True)
class Named:
    """An account with its identity."""

    account_id: str
    source_account_id: str
    account: dict[str, Any]
    recognisable: bool
    """False when nothing that lasts names the account."""


@dataclass(frozen=True)
class _Numbers:
    """What an account or a card can be recognised by."""

    iban: str | None
    number: str | None
    card_id: str | None
    name: str | None

    @classmethod
    def of(cls, found: Fields) -> "_Numbers":
        """Returns them from what the bank says; a valid IBAN counts in the field for numbers, too, but for a card."""
        sent_iban, sent_number, card_id = (found.columns.get(name) for name in ("iban", "number", "card_id"))
        iban = normal_iban(sent_iban) or (normal_iban(sent_number) if found.account_type == "account" else None)
        number = sent_number or card_id
        if not number and sent_iban and not normal_iban(sent_iban):
            number = sent_iban
        return cls(iban, number, card_id, found.columns.get("name"))


@dataclass(frozen=True)
class _Identity:
    """The parts that an account's id is made of, and what the bank itself calls the account."""

    parts: tuple[str, ...]
    source_account_id: str
    recognisable: bool


def named(found: Fields, *, target: str | None, institution: str | None) -> Named:
    """Returns the account with its id, which depends on nothing but what the bank says of this very account."""
    numbers = _Numbers.of(found)
    identify = _identity_of_card if found.account_type == "card" else _identity_of_account
    identity = identify(numbers, institution or "", found.columns.get("currency") or "")
    account = _columns(found, numbers) | {
        "source_account_id": identity.source_account_id,
        "institution": institution,
        "target": target,
    }
    return Named(account_id(BANK, *identity.parts), identity.source_account_id, account, identity.recognisable)


def _identity_of_card(numbers: _Numbers, institution: str, currency: str) -> _Identity:
    """Returns a card's identity: its own number with the IBAN that it repeats, else with the institution."""
    number = numbers.card_id or numbers.number
    own, issuer = _compact(number) or (numbers.name or ""), numbers.iban or institution
    return _Identity(("card", issuer, own, currency), number or numbers.name or "", bool(issuer and own))


def _identity_of_account(numbers: _Numbers, institution: str, currency: str) -> _Identity:
    """Returns an account's identity: its IBAN, else the institution with the number, else with the name; and the currency."""
    if numbers.iban:
        return _Identity((numbers.iban, currency), numbers.iban, recognisable=True)
    own = _compact(numbers.number) or (numbers.name or "")
    return _Identity((institution, own, currency), numbers.number or numbers.name or "", bool(institution and own))


def _columns(found: Fields, numbers: _Numbers) -> dict[str, Any]:
    """Returns the account's columns, and keeps in `extra` the numbers that have no column of their own."""
    sent_iban, card_id = found.columns.get("iban"), numbers.card_id
    if sent_iban and not normal_iban(sent_iban) and (found.columns.get("number") or card_id):
        found.keep("iban", sent_iban, known=True)
    if card_id and card_id != numbers.number:
        found.keep("cardId", card_id, known=True)
    columns: dict[str, Any] = {column: None for column in ACCOUNTS.names if column not in _NOT_OURS}
    return (
        columns
        | {column: value for column, value in found.columns.items() if column != "card_id"}
        | {
            "account_type": found.account_type,
            "iban": numbers.iban,
            "number": numbers.number,
            "extra": as_json(found.extra),
        }
    )


_NOT_OURS = frozenset({"account_id", "consent_id", "import_id", "row_version"})


def repeated(identities: Iterable[str]) -> frozenset[str]:
    """Returns the ids that occur more than once: accounts that cannot be distinguished."""
    return frozenset(one for one, times in Counter(identities).items() if times > 1)


def institution_of(target: str | None) -> str | None:
    """Returns the bank behind a target, for answers that name only the target.

    A bank's target flips between its PSD2 target (`SampleApi`, `SampleApi_cz`) and its fallback (`Sample`, `Sample_cz`)
    at any time (observed); the bank stays.
    """
    return re.sub(r"(?<=.)Api(?=_|$)", "", target) if target else None


def read_owners(containers: Iterable[Any], recognise: Recognise | None = None) -> tuple[list[dict[str, Any]], set[str]]:
    """Returns owners in the columns of `OWNERS`, and the names of unknown fields.

    Identity numbers leave this function as hashes of `recognise`, or not at all.

    A container may be repeated, be a list of owners, or be an owner itself. Owners have no id and come in any order
    (observed), so `position` counts them in the order of what they say.
    """
    unknown: set[str] = set()
    people = [_owner(one, unknown, recognise) for one in _each_owner(containers)]
    distinct = {as_json(person): person for person in people}
    ordered = [distinct[key] for key in sorted(distinct, key=lambda key: (distinct[key]["name"] or "", str(key)))]
    return [{"position": position, **person} for position, person in enumerate(ordered, 1)], unknown


def _each_owner(containers: Iterable[Any]) -> Iterator[Any]:
    for container in containers:
        inner = [one for one in container if name_of(one) in OWNER_NAMES]
        if inner:
            yield from _each_owner(inner)
        elif len(container):
            yield container


def _owner(element: Any, unknown: set[str], recognise: Recognise | None) -> dict[str, Any]:
    person: dict[str, Any] = dict.fromkeys((*OWNER_TEXTS.values(), "kind", *OWNER_KEYS.values()))
    extra: dict[str, Any] = {}
    for one in element:
        name = name_of(one)
        if name in OWNER_TEXTS and person[OWNER_TEXTS[name]] is None and not len(one):
            person[OWNER_TEXTS[name]] = text_of(one)
        elif name == "kind":
            person["kind"] = re.sub(r"[\s-]+", "_", (child_text(element, "kind") or "").upper()) or None
        elif name in OWNER_KEYS:
            if recognise is not None and (number := text_of(one)):
                person[OWNER_KEYS[name]] = recognise(OWNER_KEYS[name], number)
        elif name not in OWNER_DROPPED:
            unknown.add(f"owner.{name}")
            if (value := _impersonal(name, nested(one))) is not None:
                put(extra, name, value)
    return person | {"extra": as_json(extra)}


def _impersonal(name: str, value: Any) -> Any:
    """Returns `value` without identity data that a state gives a person, at any depth; None if nothing else is left."""
    if _PERSONAL.search(name):
        return None
    if isinstance(value, dict):
        return {key: kept for key, one in value.items() if (kept := _impersonal(key, one)) is not None} or None
    return [_impersonal(name, one) for one in value] if isinstance(value, list) else value


def _compact(number: str | None) -> str:
    return re.sub(r"\s+", "", number or "").upper()
