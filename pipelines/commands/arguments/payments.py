"""Arguments of the commands that pay."""

import argparse

from pipelines.commands.arguments.common import Commands, json_option
from pipelines.commands.option_types import day

INTERVALS = ("MONTHLY", "QUARTERLY", "EVERY_SIX_MONTHS", "ANNUALLY")
"""How often a standing order may be paid (vendor document)."""


def declare(commands: Commands) -> None:
    """Declares `pay`."""
    pay = commands.add(
        "pay", "pay.commands.usage", "pay from Kontist by REST, with a person and a TAN (switched off unless allowed)"
    )
    kinds = commands.below(pay, "WHAT")
    transfer = kinds.add("transfer", "pay.commands.transfer", "a SEPA transfer, now")
    _recipient(transfer)
    standing = kinds.add("standing-order", "pay.commands.usage", "a recurring payment")
    actions = kinds.below(standing)
    create = actions.add("create", "pay.commands.standing_order", "a new standing order")
    _recipient(create)
    create.add_argument("--every", choices=INTERVALS, required=True, help="how often it is paid")
    create.add_argument("--first", type=day, required=True, metavar="DATE", help="day of the first payment")
    create.add_argument("--last", type=day, metavar="DATE", help="no payment after this day (default: no end)")
    change = actions.add("change", "pay.commands.change_standing_order", "change an active standing order")
    _existing(change)
    change.add_argument("--amount", metavar="EUR", help="like 12.50")
    note = change.add_mutually_exclusive_group()
    note.add_argument("--note", metavar="TEXT")
    note.add_argument("--no-note", action="store_true", help="remove the note")
    change.add_argument("--reference", metavar="TEXT", help="end-to-end reference")
    change.add_argument("--every", choices=INTERVALS)
    end = change.add_mutually_exclusive_group()
    end.add_argument("--last", type=day, metavar="DATE", help="no payment after this day")
    end.add_argument("--no-end", action="store_true", help="remove the last day: it is paid until it is cancelled")
    _existing(actions.add("cancel", "pay.commands.cancel_standing_order", "end a standing order"))
    timed = kinds.add("timed-order", "pay.commands.usage", "a transfer on a day to come")
    actions = kinds.below(timed)
    create = actions.add("create", "pay.commands.timed_order", "a new timed order")
    _recipient(create)
    create.add_argument("--on", type=day, required=True, metavar="DATE", help="day of the payment")
    _existing(actions.add("cancel", "pay.commands.cancel_timed_order", "cancel a timed order"))
    json_option(kinds.add("trail", "pay.commands.trail", "who paid what, when, and with what result"))


def _recipient(command: argparse.ArgumentParser) -> None:
    command.add_argument("--to", required=True, metavar="NAME", help="who is paid")
    command.add_argument("--iban", required=True, help="the recipient's IBAN; its check digits are checked")
    command.add_argument("--amount", required=True, metavar="EUR", help="like 12.50")
    command.add_argument("--note", metavar="TEXT", help="what it is for")
    command.add_argument("--reference", metavar="TEXT", help="end-to-end reference, e.g. an invoice number")
    _payer(command)


def _existing(command: argparse.ArgumentParser) -> None:
    command.add_argument("order_id", metavar="ID", help="`order_id` in the ledger's table of these orders")
    _payer(command)


def _payer(command: argparse.ArgumentParser) -> None:
    command.add_argument("--from", dest="account", metavar="ACCOUNT", help="the account that pays, e.g. the end of its IBAN")
