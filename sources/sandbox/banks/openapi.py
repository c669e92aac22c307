"""Kontomatik as its published specification describes it: XML by OpenAPI 3.0's own rules.

The root is named after the schema, a property is an element, and an array repeats the element of its property:
`<accounts>…</accounts><accounts>…</accounts>`. With `wrapped_arrays` the array is one element and its items are named
after their schema. One day, a currency and a label for each transaction; no running balance, no status: a pending
row looks like a booked one, and is not shown. A card is an account whose number is masked.
"""

from collections.abc import Iterable, Iterator

from ..world.people import CUSTOMERS, Customer
from ..world.records import Transaction
from ..world.values import escape, money_text
from .kontomatik import TARGETS, Command, Kontomatik, Refusal, Session, SignIn
from .wire import GAP, Answer, Call, Shown, as_json, as_xml, filled

_STATES = {"running": "RUNNING", "done": "COMPLETED", "failed": "FAILED"}
_SIGN_IN = {"pending": "PENDING", "done": "COMPLETED", "failed": "FAILED", "expired": "EXPIRED"}


class OpenApi:
    """Answers every path under `/v1/`."""

    def __init__(self, bank: Kontomatik, url: str) -> None:
        self.bank, self._url = bank, url

    def answer(self, call: Call) -> Answer:
        path = call.path.removeprefix("/v1")
        match call.method, path:
            case "GET", "/health":
                return Answer(200, b"", "text/plain")
            case "GET", "/kontobank/authorize":
                return self.bank.authorize_page(call)
        self.bank.authorise(call)
        match call.method, path:
            case "POST", "/signin/redirection":
                return self._sign_in(call)
            case "GET", "/signin/redirection-status":
                sign_in = self.bank.sign_in(call.query.get("sessionId", ""))
                return as_json({"sessionId": sign_in.id, "status": _SIGN_IN[self.bank.state_of(sign_in)]})
            case "POST", "/mock-session.xml":
                return as_xml(_session(self.bank.mock_session(call.form(), multiple=True)), about="session")
            case "POST", "/command/default-import.xml":
                return _accepted(self.bank.start_import(call.form()))
            case "POST", "/command/reuse-multiple-access.xml":
                return _accepted(self.bank.reuse_and_import(call.form()))
            case "POST", "/command/delete-multiple-access.xml":
                self.bank.revoke(call.form().get("multipleAccessToken", ""))
                return Answer(200, b"", "application/xml")
            case "GET", "/ais-catalog":
                return _catalog()
            case "GET", _ if path.startswith("/command/") and path.endswith(".xml"):
                return self._result(path[len("/command/") : -len(".xml")])
        raise Refusal("NotFound", 404, "there is no such path")

    def _sign_in(self, call: Call) -> Answer:
        asked = call.json()
        target = next((own for own in TARGETS if own.name == asked.get("target")), None)
        if target is None:
            raise Refusal("InvalidTarget", 400, "target is one of the catalog's")
        owner, back = str(asked.get("ownerExternalId") or ""), asked.get("redirectUrl")
        sign_in: SignIn = self.bank.begin_sign_in(target, str(asked.get("accessMode")), owner, back)
        link = f"{self._url}/kontobank/authorize?id={sign_in.id}"
        return as_json({"sessionId": sign_in.id, "sessionIdSignature": sign_in.signature, "redirectUrl": link})

    def _result(self, number: str) -> Answer:
        command = self.bank.poll(number)
        if command.state == "done" and command.body is None:
            command.body = filled(as_xml(GAP), self._whole(command))
        if command.body is not None:
            return Answer(200, command.body, "application/xml;charset=utf-8", about="result")
        state = command.odd_state or _STATES[command.state]
        target = _element("target", command.session.target.name)
        return as_xml(f"<CommandResult><id>{command.id}</id>{_element('status', state)}{target}</CommandResult>")

    def _whole(self, command: Command) -> Iterator[str]:
        session, accounts = command.session, self.bank.accounts(command)
        people = [session.customer]
        people += [own for own in CUSTOMERS if own not in people and any(own in a.account.owners for a in accounts)]
        target = _element("target", session.target.name)
        yield f"<CommandResult><id>{command.id}</id><status>COMPLETED</status>{target}"
        yield from self._array("owners", "Owner", ([_owner(own, session)] for own in people))
        yield from self._array("accounts", "Account", map(self._account, accounts))
        yield f"{_element('multipleAccessToken', session.token)}</CommandResult>"

    def _account(self, shown: Shown) -> Iterator[str]:
        account = shown.account
        number = account.number if account.kind == "card" else account.iban or account.number
        currency = f"<currency>{account.currency}</currency>"
        yield (
            f"{_element('number', number)}{currency}<balance>{money_text(account.balance_cents)}</balance>"
            f"<availableBalance>{money_text(account.available_cents)}</availableBalance>"
        )
        rows = ([_transaction(row, currency)] for row in shown.rows if row.booked_on is not None)
        yield from self._array("transactions", "Transaction", rows)

    def _array(self, name: str, schema: str, items: Iterable[Iterable[str]]) -> Iterator[str]:
        wrapped = self.bank.rules.wrapped_arrays
        item = schema if wrapped else name
        if wrapped:
            yield f"<{name}>"
        for pieces in items:
            yield f"<{item}>"
            yield from pieces
            yield f"</{item}>"
        if wrapped:
            yield f"</{name}>"


def _transaction(row: Transaction, currency: str) -> str:
    return (
        f"<date>{row.booked_on}</date><amount>{money_text(row.cents)}</amount>{currency}"
        f"{_element('description', row.description)}{_element('counterpartyName', row.party)}"
        f"{_element('counterpartyAccount', row.party_iban)}"
        f"{_element('label', row.labels[0] if row.labels else None)}"
    )


def _owner(own: Customer, session: Session) -> str:
    external = session.owner_external_id if own is session.customer else own.external_id
    return (
        f"{_element('externalId', external)}{_element('name', own.name)}"
        f"{_element('email', own.email)}{_element('nationalId', own.national_id)}"
    )


def _session(session: Session) -> str:
    return (
        f"<MockSession><sessionId>{session.id}</sessionId>"
        f"<sessionIdSignature>{session.signature}</sessionIdSignature></MockSession>"
    )


def _accepted(command: Command) -> Answer:
    text = f"<CommandAccepted><id>{command.id}</id><status>QUEUED</status></CommandAccepted>"
    return as_xml(text, about="accepted")


def _catalog() -> Answer:
    targets = [
        {"id": own.name, "country": own.country.upper(), "name": own.institution, "accessModes": list(own.modes)}
        for own in TARGETS
    ]
    return as_json({"targets": targets}, about="catalog")


def _element(name: str, value: str | None) -> str:
    """Returns an optional property: no value, no element."""
    return "" if value is None else f"<{name}>{escape(value)}</{name}>"
