"""One payment from the question to the bank's word: shown, asked, registered, confirmed by TAN, and on record at each step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Protocol

from pipelines.consents.vault import Vault
from pipelines.errors import INTERRUPTED, Failure, WrongUsage, where
from pipelines.pay.inputs import tan
from sources._errors import SourceError
from sources._identity import tail
from sources.kontist.accounts import Account
from sources.kontist.payments import LOOK_FIRST, Done, Payments, Registered, Uncertain


class NotPaid(Failure):
    """Nothing was paid: the person or the bank said no."""


class GivenUp(NotPaid):
    """Nothing was paid: a person interrupted it in time."""

    exit_status: ClassVar[int] = INTERRUPTED


class NobodyKnows(Failure):
    """The bank may have carried it out, and did not say so."""


class Person(Protocol):
    """Who decides. At a terminal, or in a test."""

    def show_line(self, line: str) -> None:
        """Shows a line."""

    def ask(self, question: str) -> str:
        """Returns the person's answer."""


@dataclass(frozen=True)
class Intent:
    """One payment as a person ordered it.

    `shown` is for that person; `trail` is for the audit trail: no name, no full account number.
    """

    trail: str
    register: Callable[[Payments], Registered | Done] = field(repr=False)
    shown: tuple[tuple[str, str], ...] = field(default=(), repr=False)


ASKED, TAN_SENT = "the bank is asked", "the TAN is sent"
NOT_KNOWN = "not known whether it was carried out"
LEFT_OPEN = "; still not answered: that of "
"""What an attempt that came to nothing says of the one before: it is asked about until the same payment is carried out."""
ON_THE_TRAIL = "pay: "
"""What payments begin with in the audit trail, which is that of consents too."""


@dataclass
class Desk:
    """Where payments are made: `trail_id` is the login that the audit trail names."""

    vault: Vault
    trail_id: str
    person: Person
    now: Callable[[], datetime]
    _what: str = ""
    _money_may_move: bool = False
    """While a request is under way, and from the last one on: what happens then says nothing about whether it was paid."""
    _before: str = ""
    """When the same payment was begun that the bank never answered."""

    def carry_out(self, payments: Payments, account: Account, intent: Intent) -> Done:
        """Shows the payment, asks, registers it, asks for the TAN, confirms it and shows the bank's answer. Nothing is tried
        twice.

        Raises `NotPaid`, or `NobodyKnows` for everything that goes wrong, interrupts included, once the bank may have paid.
        """
        iban = account.row.get("iban") or account.source_account_id
        self._what = f"{ON_THE_TRAIL}{intent.trail}, from {tail(iban)}"
        self._money_may_move = False
        self._before = self._unanswered()
        self.person.show_line(f"{'from':<12} {iban}")
        for name, value in intent.shown:
            self.person.show_line(f"{name:<12} {value}")
        try:
            done = self._carried_out(payments, intent)
            word = f"{done.status}, order {done.order_id}" if done.order_id else done.status
            # Shown before it is recorded: what the bank has done is done, even if the trail cannot be written.
            self.person.show_line(f"The bank says {word}.")
        except (NotPaid, NobodyKnows):
            raise
        except BaseException as error:
            raise self._broken_off(error) from None
        self._note_afterwards(f"done: {word}")
        return done

    def _carried_out(self, payments: Payments, intent: Intent) -> Done:
        if self._before:
            self.person.show_line(f"! The same payment was begun on {self._before}.")
            self.person.show_line("! The bank did not say whether it was carried out.")
            self._agreed("Look at the bank's own app first. Type yes to pay again all the same: ")
        self._agreed("Type yes to register this at the bank: ")
        self._note(ASKED)
        self._money_may_move = True
        registered = intent.register(payments)
        if isinstance(registered, Done):
            if not registered.status.startswith("CANCEL"):
                self.person.show_line("! The bank asked for no TAN.")
            return registered
        self._money_may_move = False
        for deviation in registered.deviations:
            self.person.show_line(f"! {deviation}")
        if registered.deviations:
            self._agreed("This is not what was asked for. Type yes to go on all the same: ")
        given = tan(
            self.person.ask(f"TAN from your phone ({registered.tan_length} digits), or nothing to give up: "),
            registered.tan_length,
        )
        if given is None:
            self._note_nothing("given up: no TAN")
            raise NotPaid("That is no TAN, so nothing was paid", "Begin again: a new TAN will be sent")
        self._note(TAN_SENT)
        self._money_may_move = True
        return payments.confirm(registered, given)

    def _unanswered(self) -> str:
        """Returns when the same payment began that the bank never answered, else nothing. A killed process leaves one."""
        same = [entry for entry in self.vault.trail() if entry.what == self._what]
        if same and same[-1].outcome.startswith((ASKED, TAN_SENT, NOT_KNOWN)):
            return f"{same[-1].at:%Y-%m-%d %H:%M} UTC"
        return same[-1].outcome.partition(LEFT_OPEN)[2] if same else ""

    def _agreed(self, question: str) -> None:
        if self.person.ask(question).strip().lower() != "yes":
            self._note_nothing("given up by the person")
            raise NotPaid("Nothing was paid, as you did not say yes")

    def _broken_off(self, error: BaseException) -> Failure:
        """Returns the sentence for the error that stopped the payment, and its line of the trail."""
        match error:
            case SourceError():
                why, cause, next_step = error.code or type(error).__name__, f"Kontist: {error.cause}", error.next_step
            case KeyboardInterrupt():
                why, cause, next_step = "interrupted", "Interrupted, so nothing was paid", ""
            case Failure():
                why, cause, next_step = type(error).__name__, f"{error.cause}; nothing was paid", error.next_step
            case _:
                why, next_step = where(error), "Please report it"
                cause = f"A fault in this program, so nothing was paid: {why}"
        foreseen = isinstance(error, SourceError)
        if isinstance(error, Uncertain) or (self._money_may_move and not foreseen):
            self._note_afterwards(f"{NOT_KNOWN}: {why}")
            if not foreseen:
                cause, next_step = f"Broken off when the bank may have carried it out already: {why}", LOOK_FIRST
            return NobodyKnows(cause, next_step)
        self._note_nothing(f"not carried out: {why}" if foreseen else f"given up: {why}")
        return GivenUp(cause) if isinstance(error, KeyboardInterrupt) else NotPaid(cause, next_step)

    def _note(self, outcome: str) -> None:
        self.vault.note(self.trail_id, self._what, outcome, self.now())

    def _note_nothing(self, outcome: str) -> None:
        """Adds an audit entry for an attempt that came to nothing; it does not answer the attempt before."""
        self._note_afterwards(f"{outcome}{LEFT_OPEN}{self._before}" if self._before else outcome)

    def _note_afterwards(self, outcome: str) -> None:
        """Adds an audit entry. If it cannot be written, the person sees that; the payment itself is not affected."""
        try:
            self._note(outcome)
        except (Exception, KeyboardInterrupt) as error:
            why = error.cause if isinstance(error, Failure) else where(error)
            self.person.show_line(f"! The audit trail lacks the line `{outcome}`: {why}.")


def chosen(accounts: Sequence[Account], name: str | None) -> Account:
    """Returns the account to pay from: named by id, number, IBAN or its last four characters; the only one needs no name."""
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
