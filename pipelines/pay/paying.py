"""One payment from the question to the bank's word: shown, asked, registered, confirmed by TAN, and on record at each step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from pipelines.consents.registry import Vault
from pipelines.errors import Failure, WrongUsage
from pipelines.pay.inputs import tan
from sources._errors import SourceError
from sources._identity import tail
from sources.kontist.orders import Account
from sources.kontist.payments import Done, Payments, Registered, Uncertain


class NotPaid(Failure):
    """Nothing was paid: the person or the bank said no."""


class NobodyKnows(Failure):
    """The bank may have carried it out, and did not say so."""


class Person(Protocol):
    """Who decides. At a terminal, or in a test."""

    def tell(self, line: str) -> None:
        """Show a line."""

    def ask(self, question: str) -> str:
        """What the person answers."""


@dataclass(frozen=True)
class Intent:
    """What somebody wants done. `shown` is for their eyes; `trail` for the audit trail: no name, no account number in full."""

    trail: str
    register: Callable[[Payments], Registered | Done] = field(repr=False)
    shown: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass
class Desk:
    """Where payments are made: `trail_id` is the login that the audit trail names."""

    vault: Vault
    trail_id: str
    person: Person
    now: Callable[[], datetime]

    def carry_out(self, payments: Payments, account: Account, intent: Intent) -> Done:
        """Show it, ask, register it, ask for the TAN, confirm. Raises `NotPaid` or `NobodyKnows`; nothing is tried twice."""
        self.person.tell(f"{'from':<12} {account.row.get('iban') or account.source_account_id}")
        for name, value in intent.shown:
            self.person.tell(f"{name:<12} {value}")
        self._agreed("Type yes to register this at the bank: ", intent)
        self._note(intent, "the bank is asked")
        try:
            registered = intent.register(payments)
        except SourceError as error:
            raise self._failed(intent, error) from None
        if isinstance(registered, Done):
            return self._done(intent, registered)
        for doubt in registered.doubts:
            self.person.tell(f"! {doubt}")
        if registered.doubts:
            self._agreed("This is not what was asked for. Type yes to go on all the same: ", intent)
        given = tan(
            self.person.ask(f"TAN from your phone ({registered.tan_length} digits), or nothing to give up: "),
            registered.tan_length,
        )
        if given is None:
            self._note(intent, "given up: no TAN")
            raise NotPaid("That is no TAN, so nothing was paid", "Begin again: a new TAN will be sent")
        self._note(intent, "the TAN is sent")
        try:
            return self._done(intent, payments.confirm(registered, given))
        except SourceError as error:
            raise self._failed(intent, error) from None

    def _agreed(self, question: str, intent: Intent) -> None:
        if self.person.ask(question).strip().lower() != "yes":
            self._note(intent, "given up by the person")
            raise NotPaid("Nothing was paid, as you did not say yes")

    def _done(self, intent: Intent, done: Done) -> Done:
        self._note(intent, f"done: {done.status}")
        return done

    def _failed(self, intent: Intent, error: SourceError) -> Failure:
        code = error.code or type(error).__name__
        cause, next_step = f"Kontist: {error.cause}", error.next_step
        if isinstance(error, Uncertain):
            self._note(intent, f"not known whether it was carried out: {code}")
            return NobodyKnows(cause, next_step)
        self._note(intent, f"not carried out: {code}")
        return NotPaid(cause, next_step)

    def _note(self, intent: Intent, outcome: str) -> None:
        self.vault.note(self.trail_id, intent.trail, outcome, self.now())


def chosen(accounts: Sequence[Account], name: str | None) -> Account:
    """The account to pay from: named by id, number, IBAN or its last four characters; the only one needs no name."""
    wanted = "".join((name or "").split()).upper()

    def matches(account: Account) -> bool:
        iban = "".join(str(account.row.get("iban") or "").split()).upper()
        return wanted in (account.account_id.upper(), account.source_account_id.upper(), iban) or (
            len(wanted) >= 4 and iban.endswith(wanted)
        )

    found = [account for account in accounts if not name or matches(account)]
    if len(found) != 1:
        known = ", ".join(tail(account.row.get("iban") or account.source_account_id) for account in accounts) or "none"
        raise WrongUsage(
            "--from does not name one account" if name else "There are several accounts", f"Give --from, one of {known}"
        )
    return found[0]
