"""The world over HTTP, for people who run the sandbox as a server of its own. JSON in and out, no key.

| request | body | answer |
|---|---|---|
| GET `/_sandbox/` | | time, last day in the books, made-up credentials, account keys |
| GET `/_sandbox/totals` | | for each account: bank, key, balance, booked and pending counts and sums |
| GET `/_sandbox/transactions?account=KEY&limit=20` | | newest first, with the `id` that the others want |
| GET `/_sandbox/text_messages` | | TANs, as they came to the customer's phone |
| POST `/_sandbox/clock` | `{"advance_hours": 25}` | time: quotas, tokens and consents age |
| POST `/_sandbox/live` | `{"days": 1}` | days pass: payments are made, what was pending is booked |
| POST `/_sandbox/append` | `{"account": KEY, "amount": "-12.50", "day"?, "pending"?, "party"?, "description"?}` | the row |
| POST `/_sandbox/book` | `{"id": ID, "amount"?}` | the booked row |
| POST `/_sandbox/correct` | `{"id": ID, "amount"?, "day"?, "party"?, "description"?}` | the row |
| POST `/_sandbox/delete` | `{"id": ID}` | nothing |
| POST `/_sandbox/memo` | `{"account": KEY, "amount": "-9.00", "day"?, "source"?, "kind"?, "party"?, "pending"?}` | the row |
| POST `/_sandbox/forget` | `{"id": ID}` of a memo | nothing |
| POST `/_sandbox/divide` | `{"id": ID, "parts": [{"amount": "-5.00", "category"?}]}` | the row with its splits |
| POST `/_sandbox/annotate` | `{"id": ID, "note": "for the office"}` | the row |
| POST `/_sandbox/transfer` | `{"account": KEY, "amount": "9.00", "party"?, "party_iban"?, "status"?, "kind"?}` | the transfer |
| POST `/_sandbox/transfer_status` | `{"id": ID, "status": "BOOKED"}` | the transfer |
| GET `/_sandbox/memos` | | the memos, with their ids |
| POST `/_sandbox/login` | some of `LOGIN`, e.g. `{"skips_mfa": true}` | how Kontist's customers log in now |

Amounts are text with two decimals at most, days are YYYY-MM-DD. What is wrong comes back as 400 with its reason.
Memos, notes, splits and transfers under way are Kontist's, and only its live service (`graphql`) shows them. A memo moves no
money: its `source` is `USER`, `BACKOFFICE_MANUAL`, or `SOLARIS` with a `kind` of `EVENTS`. Without parts a row is whole again. A
transfer is CONFIRMED unless its `status` says otherwise; `append` books it, and its status is yours to set then.
"""

from collections.abc import Collection
from datetime import date, timedelta
from typing import Any

from .banks.oauth import OAuth
from .banks.wire import Answer, Call, as_json
from .world.records import Account, Transaction
from .world.values import money_text
from .world.world import World

LOGIN = ("denies", "skips_mfa", "challenge", "challenge_polls", "grants", "names_scopes", "rotates")
"""What can be set of Kontist's OAuth2: see the fields of `banks.oauth.OAuth`."""


SOURCES = ("USER", "BACKOFFICE_MANUAL", "SOLARIS")
"""Who made a memo; the bank itself makes only `EVENTS`."""
EVENTS = ("FAILED_CARD_USAGE", "VERIFICATION_CODE")
TRANSFERS = ("SEPA_TRANSFER", "INSTANT_CREDIT_TRANSFER")


class Control:
    """Answers every path under `/_sandbox/`."""

    def __init__(self, world: World, oauth: OAuth) -> None:
        self._world = world
        self._oauth = oauth

    def answer(self, call: Call) -> Answer:
        what = call.path.removeprefix("/_sandbox").strip("/")
        try:
            content = self._read(what, call.query) if call.method == "GET" else self._change(call.method, what, call.json())
        except (KeyError, ValueError, TypeError, ArithmeticError, StopIteration) as error:
            return as_json({"error": f"{type(error).__name__}: {error}"}, 400)
        return as_json({"error": "there is no such path"}, 404) if content is None else as_json(content)

    def _read(self, what: str, query: dict[str, str]) -> object:
        world = self._world
        match what:
            case "":
                return {
                    "now": world.clock.now().isoformat(),
                    "today": str(world.today),
                    "kontist": {"email": world.kontist_email, "password": world.kontist_password},
                    "kontomatik": {"api_key": world.kontomatik_api_key},
                    "accounts": [account.key for account in world.accounts],
                }
            case "totals":
                return [
                    {"bank": own.bank, "key": own.key, "name": own.name, "currency": own.currency}
                    | {"balance": str(own.balance)}
                    | {name: str(value) if "sum" in name else value for name, value in own.totals()._asdict().items()}
                    for own in world.accounts
                ]
            case "text_messages":
                return list(world.text_messages)
            case "memos":
                return [_row(row) | {"source": source, "kind": row.kind} for row, source in world.memos]
            case "transactions":
                rows = world.account(query["account"]).transactions
                return [_row(row) for row in rows[: int(query.get("limit", "20"))]]
        return None

    def _change(self, method: str, what: str, body: dict[str, Any]) -> object:
        world = self._world
        options: dict[str, Any] = {name: body[name] for name in ("party", "description") if name in body}
        if "day" in body:
            options["day"] = date.fromisoformat(body["day"])
        match method, what:
            case "POST", "clock":
                return {"now": world.clock.advance(timedelta(hours=body["advance_hours"])).isoformat()}
            case "POST", "live":
                return {"today": str(world.live(int(body.get("days", 1))))}
            case "POST", "login":
                return self._set_login(body)
            case "POST", "append":
                pending = body.get("pending") is True
                return _row(world.append(body["account"], amount=body["amount"], pending=pending, **options))
            case "POST", "book":
                return _row(world.book(world.find(body["id"]), body.get("amount")))
            case "POST", "correct":
                return _row(world.correct(world.find(body["id"]), amount=body.get("amount"), **options))
            case "POST", "delete":
                world.delete(world.find(body["id"]))
                return {}
            case "POST", _:
                return self._change_kontist(what, body, options)
        return None

    def _change_kontist(self, what: str, body: dict[str, Any], options: dict[str, Any]) -> object:
        """Makes what only Kontist's live service shows. Raises `ValueError` for a word that is not in its schema."""
        world = self._world
        match what:
            case "memo":
                source = _one_of(body.get("source", "USER"), SOURCES)
                kind = body.get("kind") or "EXTERNAL_TRANSACTION_CASH"
                kind = _one_of(kind, EVENTS if source == "SOLARIS" else (*EVENTS, "EXTERNAL_TRANSACTION_CASH"))
                options |= {"source": source, "kind": kind, "pending": body.get("pending") is True}
                options.pop("description", None)
                return _row(world.memo(self._kontist(body["account"]), amount=body["amount"], **options))
            case "forget":
                world.forget(self._memo(body["id"]))
                return {}
            case "divide":
                parts = [(one["amount"], one.get("category")) for one in body["parts"]]
                for _, category in parts:
                    if category is not None:
                        _word(category, "TransactionCategory")
                row = world.divide(self._of_kontist(body["id"]), *parts)
                return _row(row) | {"splits": [{"amount": money_text(one.cents), "category": one.category} for one in row.splits]}
            case "annotate":
                row = self._of_kontist(body["id"])
                world.annotate(row, str(body["note"]))
                return _row(row)
            case "transfer":
                given = {name: body[name] for name in ("party", "party_iban", "status", "kind") if name in body}
                _word(given.get("status", "CONFIRMED"), "TransferStatus")
                _one_of(given.get("kind", TRANSFERS[0]), TRANSFERS)
                return world.transfer(self._kontist(body["account"]), amount=body["amount"], **given)
            case "transfer_status":
                sent = next(one for _, one in world.transfers if one["id"] == body["id"])
                sent["status"] = _word(body["status"], "TransferStatus")
                return sent
        return None

    def _kontist(self, key: str) -> Account:
        account = self._world.account(key)
        if account.bank != "kontist":
            raise ValueError("only Kontist has these")
        return account

    def _of_kontist(self, row_id: int) -> Transaction:
        row = next((row for row, _ in self._world.memos if row.id == row_id), None) or self._world.find(row_id)
        self._kontist(row.account.key)
        return row

    def _memo(self, row_id: int) -> Transaction:
        return next(row for row, _ in self._world.memos if row.id == row_id)

    def _set_login(self, body: dict[str, Any]) -> dict[str, object]:
        present = {name: getattr(self._oauth, name) for name in LOGIN}
        for name, value in body.items():
            kinds = (str, type(None)) if name == "grants" else (type(present.get(name)),)
            if name not in present or type(value) not in kinds:
                raise ValueError(f"{name} is none of {', '.join(LOGIN)}, or of another kind")
            if name == "challenge" and value not in ("VERIFIED", "DENIED", "PENDING"):
                raise ValueError("challenge is VERIFIED, DENIED or PENDING")
        for name, value in body.items():
            setattr(self._oauth, name, value)
        return present | body


def _word(word: str, enum: str) -> str:
    """Returns a word of an enumeration of the live service's schema. Raises `ValueError` for another one."""
    from .banks.graphql import words_of  # the sandbox starts faster without the schema

    return _one_of(word, words_of(enum))


def _one_of(word: str, words: Collection[str]) -> str:
    if word not in words:
        raise ValueError(f"{word!r} is none of {', '.join(sorted(words))}")
    return word


def _row(row: Transaction) -> dict[str, object]:
    return {
        "id": row.id,
        "account": row.account.key,
        "day": str(row.day),
        "booked_on": None if row.booked_on is None else str(row.booked_on),
        "amount": str(row.amount),
        "currency": row.account.currency,
        "party": row.party,
        "description": row.description,
    }
