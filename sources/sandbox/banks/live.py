"""Kontomatik as the live service was observed: `<reply><command state=…>`, and a failure inside a 200.

Accounts without IBAN have no number at all; cards are elements of their own; a transaction has two days, a running
balance, any number of labels in no stable order, and no id. A pending row has no booking day and no balance; its
status text is a guess, since only `DONE` was ever seen.
"""

from collections.abc import Iterator

from ..world.life import next_due
from ..world.people import Customer
from ..world.plans import PLANS
from ..world.records import Account, Transaction
from ..world.values import EPOCH, escape, money_text
from .kontomatik import STATUS, TARGETS, Command, Kontomatik, Refusal, Session, stamp
from .wire import GAP, Answer, Call, Shown, as_json, as_xml, filled

PSD2 = ' psd2="true"'
_STATES = {"running": "in_progress", "done": "successful", "failed": "error"}
_SIGN_IN = {"pending": "PENDING", "done": "SUCCESS", "failed": "ERROR", "expired": "EXPIRED"}


class Live:
    """Answers every path under `/v1/`."""

    def __init__(self, bank: Kontomatik, url: str) -> None:
        self.bank, self._url = bank, url
        self._imports = 0

    def answer(self, call: Call) -> Answer:
        path = call.path.removeprefix("/v1")
        match call.method, path:
            case "GET", "/health":
                return Answer(200, b"OK", "text/plain")
            case "GET", "/kontobank/authorize":
                return self.bank.authorize_page(call)
        self.bank.authorise(call)
        match call.method, path:
            case "POST", "/signin/redirection":
                return self._sign_in(call)
            case "GET", "/signin/redirection-status":
                return self._sign_in_status(call.query.get("redirectionId", ""))
            case "POST", "/mock-session.xml":
                fields = call.form()
                multiple = fields.get("multipleAccess") == "true"
                return self._session(self.bank.mock_session(fields, multiple=multiple), shows_token=True)
            case "POST", "/command/default-import.xml":
                return self._accepted(self.bank.start_import(call.form()))
            case "POST", "/command/reuse-multiple-access.xml":
                return self._session(self.bank.reuse(call.form().get("multipleAccessId", "")), shows_token=False)
            case "POST", "/command/delete-multiple-access.xml":
                self.bank.revoke(call.form().get("multipleAccessId", ""))
                return self._reply("", 200)
            case "POST", "/command/sign-out.xml":
                raise Refusal("CommandNotAvailable", 400, "the bank does not know this command")
            case "GET", "/catalog.xml":
                return self._catalog(call.query.get("accessMode", "MIXED"))
            case "GET", _ if path.startswith("/command/") and path.endswith(".xml"):
                return self._result(path[len("/command/") : -len(".xml")])
        raise Refusal("NotFound", 404, "there is no such path")

    def _reply(self, inside: str, status: int = 200, owner: str | None = None) -> Answer:
        owned = "" if owner is None else f' ownerExternalId="{escape(owner)}"'
        return as_xml(
            f'<reply status="{status} {STATUS[status]}" user="sandbox"{owned} '
            f'responseTimestamp="{stamp(self.bank.now())}">{inside}</reply>',
            status,
        )

    # ---- sign-in

    def _sign_in(self, call: Call) -> Answer:
        asked = call.json()
        psd2 = asked.get("psd2")
        mode = str(psd2.get("accessMode", "MIXED")) if isinstance(psd2, dict) else "MIXED"
        country = str(asked.get("country") or "pl")
        target = next((own for own in TARGETS if own.country == country), None)
        back = asked.get("redirectUri")
        if target is None or not isinstance(back, str):
            raise Refusal("InvalidParameter", 400, "redirectUri, and a country in lower case that has banks")
        sign_in = self.bank.begin_sign_in(target, mode, str(asked.get("ownerExternalId") or ""), back)
        link = f"{self._url}/kontobank/authorize?id={sign_in.id}"
        return as_json({"redirectionId": sign_in.id, "redirectionLink": link})

    def _sign_in_status(self, number: str) -> Answer:
        sign_in = self.bank.sign_in(number)
        state = self.bank.state_of(sign_in)
        content: dict[str, object] = {"status": _SIGN_IN[state]}
        if state == "failed":
            content["params"] = {"exception": "NotSignedIn"}
        session = sign_in.session
        if session is not None:
            params = {
                "sessionId": session.id,
                "sessionIdSignature": session.signature,
                "target": session.target.name,
                "officialName": session.target.institution,
            }
            content["params"] = params | ({} if session.token is None else {"multipleAccessId": session.token})
        return as_json(content)

    def _session(self, session: Session, *, shows_token: bool) -> Answer:
        token = _element("multipleAccessId", session.token) if shows_token else ""
        answer = self._reply(f'<session id="{session.id}" signature="{session.signature}"/>{token}')
        answer.about = "session"
        return answer

    def _catalog(self, mode: str) -> Answer:
        found = "".join(
            f'<target country="{own.country}" name="{own.name}" institution="{own.institution}" '
            f'officialName="{own.institution}" officialUrl="https://kontobank.example.test"'
            f"{PSD2 if 'Api' in own.name else ''}>"
            '<supportedAccountTypes><supportedAccountType name="Individual"/></supportedAccountTypes>'
            '<commands><command name="DefaultImportCommand"/></commands></target>'
            for own in TARGETS
            if mode in own.modes
        )
        answer = self._reply(f"<targets>{found}</targets>")
        answer.about = "catalog"
        return answer

    # ---- commands

    def _accepted(self, command: Command) -> Answer:
        inside = _command(command, "setup", "")
        answer = self._reply(inside, 202, command.session.owner_external_id)
        answer.about = "accepted"
        return answer

    def _result(self, number: str) -> Answer:
        command = self.bank.poll(number)
        if command.state == "done" and command.body is None:
            command.body = filled(self._reply(_command(command, "successful", GAP)), self._whole(command))
        if command.body is not None:
            return Answer(200, command.body, "application/xml;charset=utf-8", about="result")
        inside, state = "", "fatal" if command.fatal and command.state == "failed" else _STATES[command.state]
        if command.state == "failed" and command.fails_with is not None:
            inside = (
                f'<exception name="{escape(command.fails_with)}"><message>the import failed</message>'
                "<friendlyMessage>Nie udało się</friendlyMessage></exception>"
            )
        return self._reply(_command(command, command.odd_state or state, inside))

    def _whole(self, command: Command) -> Iterator[str]:
        # Labels come in another order with every import (observed).
        self._imports += 1
        backwards = self._imports % 2 == 0
        shown = self.bank.accounts(command)
        people = [command.session.customer]
        for own in shown:
            people += [other for other in own.account.owners if other not in people]
        owners = "".join(_owner(own, "OWNER" if own is people[0] else "CO_OWNER", whole=True) for own in people)
        due = str(next_due(PLANS[-1].habits[0], self.bank.world.clock.day()))
        yield f"<result><owners>{owners}</owners><accounts>"
        for own in shown:
            if own.account.kind == "account":
                yield from _account(own, backwards=backwards)
        yield "</accounts>"
        cards = [own for own in shown if own.account.kind == "card"]
        if cards:
            yield "<creditCards>"
            for own in cards:
                yield from _card(own, due, backwards=backwards)
            yield "</creditCards>"
        yield "</result>"


def _command(command: Command, state: str, inside: str) -> str:
    target = command.session.target
    known = f' target="{target.name}" institution="{target.institution}"' if command.state == "done" else ""
    # Progress stays 0 even when all is done (observed).
    return (
        f'<command id="{command.id}" state="{escape(state)}" name="DefaultImportCommand"{known}>'
        f"<progress><value>0</value></progress>{inside}</command>"
    )


def _account(shown: Shown, *, backwards: bool) -> Iterator[str]:
    account = shown.account
    yield (
        f"<account{_cut(shown)}>{_element('name', account.name)}{_element('iban', account.iban)}{_balances(account)}"
        f'<activeSinceAtLeast>{EPOCH}</activeSinceAtLeast><directDebit available="true"/>'
    )
    yield from _rows(shown, backwards=backwards)
    yield f"{_owners(account)}</account>"


def _card(shown: Shown, due: str, *, backwards: bool) -> Iterator[str]:
    account = shown.account
    yield (
        f"<creditCard{_cut(shown)}>{_element('name', account.name)}{_element('cardId', account.number)}"
        f"{_element('iban', account.iban)}{_element('number', account.number)}{_balances(account)}{_owners(account)}"
        f"<limit>{money_text(account.plan.limit)}</limit><interest>18</interest><dueDate>{due}</dueDate>"
    )
    yield from _rows(shown, backwards=backwards)
    yield "</creditCard>"


def _cut(shown: Shown) -> str:
    return ' partialDueToTimeout="true"' if shown.partial else ""


def _balances(account: Account) -> str:
    return (
        f"<currencyBalance>{money_text(account.balance_cents)}</currencyBalance>"
        f"<currencyFundsAvailable>{money_text(account.available_cents)}</currencyFundsAvailable>"
        f"<currencyName>{account.currency}</currencyName>"
    )


def _owners(account: Account) -> str:
    found = (_owner(own, "OWNER" if own is account.owners[0] else "CO_OWNER", whole=False) for own in account.owners)
    return f"<owners>{''.join(found)}</owners>"


def _owner(own: Customer, kind: str, *, whole: bool) -> str:
    more = ""
    if whole:
        more = (
            f"<address>Testowa 1 00-001 Testowo</address><polishPesel>{own.national_id}</polishPesel>"
            f"<phone>+48000000000</phone><email>{own.email}</email><citizenship>PL</citizenship>"
            "<personalDocumentType>ID card</personalDocumentType>"
            "<personalDocumentNumber>XXX000000</personalDocumentNumber><birthDate>1990-01-02</birthDate>"
        )
    return f"<owner>{_element('name', own.name)}{more}<kind>{kind}</kind></owner>"


def _rows(shown: Shown, *, backwards: bool) -> Iterator[str]:
    yield "<moneyTransactions>"
    for row in shown.rows:
        yield _transaction(row, backwards=backwards)
    yield "</moneyTransactions>"


def _transaction(row: Transaction, *, backwards: bool) -> str:
    booked = "" if row.booked_on is None else f"<bookedOn>{row.booked_on}</bookedOn>"
    balance = "" if row.balance_cents is None else f"<currencyBalance>{money_text(row.balance_cents)}</currencyBalance>"
    labels = "".join(f"<label>{escape(label)}</label>" for label in (row.labels[::-1] if backwards else row.labels))
    return (
        f"<moneyTransaction><transactionOn>{row.day}</transactionOn>{booked}"
        f"<currencyAmount>{money_text(row.cents)}</currencyAmount>{balance}{_element('title', row.description)}"
        f"{_element('party', row.party)}{_element('partyIban', row.party_iban)}"
        f"{_element('variableSymbol', row.symbol)}{_element('kind', row.kind)}"
        f"<status>{'PENDING' if row.booked_on is None else 'DONE'}</status>"
        f"{f'<labels>{labels}</labels>' if labels else ''}</moneyTransaction>"
    )


def _element(name: str, value: str | None) -> str:
    """Returns an optional element: no value, no element."""
    return "" if value is None else f"<{name}>{escape(value)}</{name}>"
