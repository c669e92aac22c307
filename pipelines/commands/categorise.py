"""Runs `categorise`: shows the largest uncategorised counterparties, and writes the accounts that a person chooses as rules."""

import argparse
import sys
from typing import TYPE_CHECKING

from pipelines.commands.terminal import console, data_of, print_json, say
from pipelines.errors import GOOD, WrongUsage
from pipelines.text.numbers import counted

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.questions.rule_lines import Rows

APPLY = "`python -m pipelines transform` applies the new rules."
BY_TEXT = "A line of `rules.csv` can match their `text`; the report page lists such lines."


def categorise(options: argparse.Namespace) -> int:
    """Runs `categorise`: with `--to` one rule is written, at a terminal it asks, else it lists."""
    from pipelines.questions.rule_lines import accounts_to_choose, movements_without_rule, uncategorised
    from pipelines.store.ledger_reader import ledger_of

    if (options.to is None) != (options.counterparty is None):
        raise WrongUsage("--counterparty and --to belong together", "`categorise` alone lists the counterparties with their ids")
    settings = data_of(options)
    with ledger_of(settings.data_dir, memory=settings.memory_limit) as connection:
        listed = uncategorised(connection, 1_000_000 if options.to else options.limit)
        accounts = accounts_to_choose(connection)
        others = movements_without_rule(connection)
    if options.to is not None:
        _add_one(options, settings.data_dir, listed, accounts)
    elif options.json:
        plain = [{name: _plain(value) for name, value in row.items()} for row in listed]
        print_json({"uncategorised": plain, "movements_without_rule": others})
    elif not listed:
        say("Every movement with a named counterparty has a category.")
    elif sys.stdin.isatty():
        _ask(settings.data_dir, listed, accounts)
    else:
        _show(listed)
    if others and options.to is None and not options.json:
        say(f"{counted(others, 'movement')} without a category: no counterparty that a rule could match. {BY_TEXT}")
    return GOOD


def _add_one(options: argparse.Namespace, data_dir: "Path", listed: "Rows", accounts: list[str]) -> None:
    from pipelines.questions.rule_lines import account_called, add_rule
    from pipelines.store.lock import held

    chosen = [
        row for row in listed if row["counterparty_id"] == options.counterparty and options.direction in (None, row["direction"])
    ]
    lines = {row["rule_line"] for row in chosen}
    if not lines:
        raise WrongUsage("No uncategorised counterparty has this id", "`categorise` lists them with their ids")
    if len(lines) > 1:
        raise WrongUsage("It has uncategorised movements in and out", "Choose by --direction in or --direction out")
    account = account_called(options.to, accounts)
    with held(data_dir, "categorise"):
        path = add_rule(data_dir, lines.pop(), account)
    if options.json:
        print_json({"counterparty_id": options.counterparty, "ledger_account": account, "rules": str(path)})
    else:
        say(f"{path}: booked to {account} from now on. {APPLY}")


def _ask(data_dir: "Path", listed: "Rows", accounts: list[str]) -> None:
    from pipelines.questions.rule_lines import account_called, add_rule
    from pipelines.store.lock import held

    say("An account, or its last part: Enter skips, ? lists the accounts, q ends.")
    written = set()
    for row in listed:
        if row["rule_line"] in written:
            continue  # the same rule in another currency
        say(f"{row['counterparty_name']}: {row['transactions']} movements {row['direction']}, {_money(row)}")
        while typed := _typed():
            if typed == "q":
                break
            if typed == "?":
                say(", ".join(accounts))
                continue
            try:
                account = account_called(typed, accounts)
                with held(data_dir, "categorise"):
                    add_rule(data_dir, row["rule_line"], account)
            except WrongUsage as error:
                say(error)
                continue
            written.add(row["rule_line"])
            break
        if typed == "q":
            break
    number = f"{len(written)} rule{'' if len(written) == 1 else 's'}"
    say(f"{number} written. {APPLY}" if written else "No rule written.")


def _typed() -> str:
    try:
        return input("account> ").strip()
    except EOFError:
        return "q"


def _show(listed: "Rows") -> None:
    from pipelines.text import tables

    headings = ("id", "counterparty", "direction", "movements", "amount", "last")
    rows = [
        (
            row["counterparty_id"],
            row["counterparty_name"],
            row["direction"],
            str(row["transactions"]),
            _money(row),
            str(row["last_on"]),
        )
        for row in listed
    ]
    tables.show(console(), "Uncategorised", headings, rows)


def _money(row: dict[str, object]) -> str:
    amount = "an unknown amount of" if row["amount"] is None else f"{row['amount']:,.2f}"  # a sum that does not fit
    return f"{amount} {row['currency']}"


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, int) else str(value)
