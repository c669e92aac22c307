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
| POST `/_sandbox/login` | some of `LOGIN`, e.g. `{"skips_mfa": true}` | how Kontist's customers log in now |

Amounts are text with two decimals at most, days are YYYY-MM-DD. What is wrong comes back as 400 with its reason.
"""

from datetime import date, timedelta
from typing import Any

from .banks.oauth import OAuth
from .banks.wire import Answer, Call, as_json
from .world.records import Transaction
from .world.world import World

LOGIN = ("denies", "skips_mfa", "challenge", "challenge_polls", "grants", "names_scopes", "rotates")
"""What can be set of Kontist's OAuth2: see the fields of `banks.oauth.OAuth`."""


class Control:
    """Answers every path under `/_sandbox/`."""

    def __init__(self, world: World, oauth: OAuth) -> None:
        self._world = world
        self._oauth = oauth

    def answer(self, call: Call) -> Answer:
        what = call.path.removeprefix("/_sandbox").strip("/")
        try:
            content = self._read(what, call.query) if call.method == "GET" else self._change(call.method, what, call.json())
        except (KeyError, ValueError, TypeError, ArithmeticError) as error:
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
        return None

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
