"""The command `pay`: transfers, standing orders, timed orders. A person sits at the terminal, or nothing happens."""

import argparse
import os
import sys
from collections.abc import Callable
from datetime import date
from typing import Any

from pipelines.commands.terminal import data_of, say, settings_of
from pipelines.consents.clients import BankSaidNo, vault_of
from pipelines.consents.kontist_login import client_of, kept_login
from pipelines.errors import GOOD, WrongUsage
from pipelines.pay import inputs
from pipelines.pay.paying import ON_THE_TRAIL, Desk, GivenUp, Intent, chosen
from pipelines.read.options import utc_now
from pipelines.settings import Settings
from pipelines.store.lock import prepare
from sources._errors import SourceError
from sources._identity import tail
from sources.kontist.accounts import Account
from sources.kontist.client import KontistClient
from sources.kontist.payments import Payment, Payments, moment
from sources.kontist.values import BERLIN


class Terminal:
    """The person at the keyboard."""

    def show_line(self, line: str) -> None:
        """Shows a line on standard error."""
        say(line, error=True)

    def ask(self, question: str) -> str:
        """Asks on standard error, and returns a line of standard input."""
        say(question, end="", error=True)
        return sys.stdin.readline()


def transfer(options: argparse.Namespace) -> int:
    """Runs `pay transfer`."""
    settings = _allowed(options)
    payment = _payment(options)
    return _pay(settings, options, lambda *_: _of(payment, "transfer", lambda bank: bank.transfer(payment)))


def standing_order(options: argparse.Namespace) -> int:
    """Runs `pay standing-order create`."""
    settings = _allowed(options)
    payment, first = _payment(options), inputs.not_before(options.first, _today(), "first payment")
    last = inputs.not_before(options.last, first, "last payment") if options.last else None
    intent = _of(
        payment,
        f"standing order {options.every.lower()}",
        lambda bank: bank.standing_order(payment, options.every, first, last),
        ("every", options.every.lower().replace("_", " ")),
        ("first on", str(first)),
        ("last on", str(last) if last else "no end"),
    )
    return _pay(settings, options, lambda *_: intent)


def change_standing_order(options: argparse.Namespace) -> int:
    """Runs `pay standing-order change ID`."""
    settings = _allowed(options)
    changes: dict[str, Any] = {}
    if options.amount is not None:
        changes["amount"] = inputs.cents(options.amount)
    if options.no_note:
        changes["note"] = None
    elif options.note is not None:
        changes["note"] = inputs.words(options.note, "note", inputs.LONGEST_NOTE)
    if options.reference is not None:
        changes["e2eId"] = inputs.words(options.reference, "reference", inputs.LONGEST_REFERENCE)
    if options.every is not None:
        changes["reoccurrence"] = options.every
    if options.no_end:
        changes["lastExecutionDate"] = None
    elif options.last is not None:
        changes["lastExecutionDate"] = moment(inputs.not_before(options.last, _today(), "last payment"))
    if not changes:
        raise WrongUsage("Nothing is to be changed", "Give --amount, --note, --no-note, --reference, --every, --last or --no-end")

    def intent(client: KontistClient, account: Account) -> Intent:
        order = _listed(client.standing_orders(account).rows.to_pylist(), options.order_id)
        after = tuple((f"new {name}", _changed(name, value)) for name, value in changes.items())
        return Intent(
            f"standing order {options.order_id} changed: {', '.join(changes)}"
            + (f", {inputs.euros(changes['amount'])}" if "amount" in changes else ""),
            lambda bank: bank.change_standing_order(options.order_id, changes),
            (*_as_it_is(order, "name", "iban"), *after),
        )

    return _pay(settings, options, intent)


def _changed(name: str, value: Any) -> str:
    """Returns the new value of a standing order's field, as the person reads it."""
    if value is None:
        return "none"
    if name == "amount":
        return inputs.euros(value)
    return str(value)[:10] if name == "lastExecutionDate" else str(value)


def cancel_standing_order(options: argparse.Namespace) -> int:
    """Runs `pay standing-order cancel ID`."""
    settings = _allowed(options)

    def intent(client: KontistClient, account: Account) -> Intent:
        order = _listed(client.standing_orders(account).rows.to_pylist(), options.order_id)
        return Intent(
            f"standing order {options.order_id} cancelled",
            lambda bank: bank.cancel_standing_order(options.order_id),
            (("cancel", f"standing order {options.order_id}"), *_as_it_is(order, "name", "iban")),
        )

    return _pay(settings, options, intent)


def timed_order(options: argparse.Namespace) -> int:
    """Runs `pay timed-order create`."""
    settings = _allowed(options)
    payment, on = _payment(options), inputs.not_before(options.on, _today(), "payment")
    intent = _of(payment, f"timed order for {on}", lambda bank: bank.timed_order(payment, on), ("on", str(on)))
    return _pay(settings, options, lambda *_: intent)


def cancel_timed_order(options: argparse.Namespace) -> int:
    """Runs `pay timed-order cancel ID`."""
    settings = _allowed(options)

    def intent(client: KontistClient, account: Account) -> Intent:
        order = _listed(client.timed_orders(account).rows.to_pylist(), options.order_id)
        return Intent(
            f"timed order {options.order_id} cancelled",
            lambda bank: bank.cancel_timed_order(options.order_id),
            (("cancel", f"timed order {options.order_id}"), *_as_it_is(order, "recipient_name", "recipient_iban")),
        )

    return _pay(settings, options, intent)


def trail(options: argparse.Namespace) -> int:
    """Runs `pay trail`: who paid what from which account, step by step, and with what result."""
    from pipelines.commands.consents import show_trail

    with vault_of(data_of(options)) as vault:
        entries = [entry for entry in vault.trail() if entry.what.startswith(ON_THE_TRAIL)]
    return show_trail(options, entries, "Payments")


def usage(_: argparse.Namespace) -> int:
    """Refuses `pay` without a kind of payment."""
    raise WrongUsage("`pay` needs to know what is to be done", "See `python -m pipelines pay --help`")


def _allowed(options: argparse.Namespace) -> Settings:
    """Returns the settings. Raises `WrongUsage` in the dialect graphql, when payments are off, or when nobody can be asked."""
    settings = settings_of(options)
    if settings.kontist.dialect != "rest":  # first: nobody is to switch payments on for nothing
        raise WrongUsage(
            f"Payments are made by REST only, and sources.kontist.dialect is {settings.kontist.dialect}",
            'Pay in Kontist\'s own app; to pay from here, set sources.kontist.dialect to "rest" and log in for it',
        )
    if not settings.kontist.allow_payments:
        raise WrongUsage(
            "Payments are switched off",
            "To enable them: set sources.kontist.allow_payments = true in .dlt/config.toml",
        )
    if not sys.stdin.isatty() or any(name.startswith("PREFECT__FLOW") for name in os.environ):
        raise WrongUsage("A payment needs a person at a terminal", "Start it there yourself: no script, schedule or flow may pay")
    return settings


def _pay(settings: Settings, options: argparse.Namespace, intent: Callable[[KontistClient, Account], Intent]) -> int:
    prepare(settings.data_dir)
    done = None
    try:
        with vault_of(settings) as vault:
            kept = kept_login(settings, vault, utc_now)
            with client_of(kept) as client:
                assert isinstance(client, KontistClient)  # noqa: S101 (`_allowed` has refused the other dialect)
                account = chosen(client.accounts(), options.account)
                desk = Desk(vault, kept.consent.consent_id if kept.consent else "kontist", Terminal(), utc_now)
                done = desk.carry_out(Payments(client, account), account, intent(client, account))
    except SourceError as error:
        raise BankSaidNo(f"Kontist: {error.cause}", f"Nothing was paid. {error.next_step}") from None
    except KeyboardInterrupt:
        if done is None:  # before the desk: it turns its own interrupts into messages
            raise GivenUp("Interrupted, so nothing was paid") from None
    return GOOD


def _payment(options: argparse.Namespace) -> Payment:
    return Payment(
        inputs.words(options.to, "recipient", inputs.LONGEST_NAME),
        inputs.iban(options.iban),
        inputs.cents(options.amount),
        inputs.words(options.note, "note", inputs.LONGEST_NOTE) if options.note else None,
        inputs.words(options.reference, "reference", inputs.LONGEST_REFERENCE) if options.reference else None,
    )


def _of(payment: Payment, what: str, register: Callable[[Payments], Any], *more: tuple[str, str]) -> Intent:
    shown = (
        ("to", payment.recipient),
        ("IBAN", " ".join(payment.iban[place : place + 4] for place in range(0, len(payment.iban), 4))),
        ("amount", inputs.euros(payment.cents)),
        ("note", payment.note or "none"),
        ("reference", payment.e2e_id or "none"),
        *more,
    )
    return Intent(f"{what}: {inputs.euros(payment.cents)} to {tail(payment.iban)}", register, shown)


def _listed(rows: list[dict[str, Any]], order_id: str) -> dict[str, Any]:
    """Returns the order as the bank lists it now."""
    for row in rows:
        if row["order_id"] == order_id:
            return row
    known = ", ".join(row["order_id"] for row in rows) or "none"
    raise WrongUsage(f"The bank lists no such order: {order_id}", f"Its orders are: {known}")


def _as_it_is(order: dict[str, Any], name: str, iban: str) -> tuple[tuple[str, str], ...]:
    return (
        ("to", str(order[name])),
        ("IBAN", str(order[iban])),
        ("amount", inputs.euros(abs(order["amount_cents"]))),
        ("status", str(order["status"])),
    )


def _today() -> date:
    return utc_now().astimezone(BERLIN).date()
