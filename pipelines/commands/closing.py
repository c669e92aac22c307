"""Runs the commands `close` and `reopen`."""

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipelines.commands.terminal import console, data_of, print_json, say, tell
from pipelines.errors import CHECKS_FAILED, GOOD, WrongUsage
from pipelines.text.numbers import counted

if TYPE_CHECKING:
    from pipelines.consents.closing_trail import Record
    from pipelines.questions.closing import Closed
    from pipelines.store.closed_months import ClosedMonth

_SHOWN = (
    *("account_id", "closed_at", "closed_by", "first_day", "last_day", "currency", "transactions", "money_in", "money_out"),
    *("opening_balance", "closing_balance", "transactions_sha256", "days", "seen_days", "reconciled_days", "complete"),
)
"""What `--json` shows of a closed month, beside its name."""


def close(options: argparse.Namespace) -> int:
    """Runs `close`: closes a month, or with `--list` and `--verify` shows what is closed."""
    if options.record and not options.verify:
        raise WrongUsage("--record is a hash that --verify looks for", "Leave it out, or give --verify")
    if options.list:
        return _list(options)
    if options.verify:
        return _verify(options)
    from pipelines.commands.cell_change import changing
    from pipelines.questions import closing
    from pipelines.read.options import utc_now

    settings, month = data_of(options), options.month
    closing.refuse_unfinished(month, utc_now)
    with changing(settings, "close"):
        done = closing.close(settings, month, options.account, allow_incomplete=options.allow_incomplete, now=utc_now)
    if options.json:
        print_json(
            {
                "month": f"{month:%Y-%m}",
                "closed": [_shown(one) for one in done.months],
                "already_closed": [_shown(one) for one in done.already],
                "records": [_record(one) for one in done.records],
                "notes": done.notes,
            }
        )
        return GOOD
    lines = [f"Closed {_figures(done, one)}" for one in done.months if one.month == month]
    if earlier := len(done.months) - len(lines):
        lines.append(f"Closed {counted(earlier, 'month')} before it, account by account; `close --list` lists them.")
    lines += [
        f"{one.name} of {done.names[one.account_id]} is closed already, since {one.closed_at:%Y-%m-%d}." for one in done.already
    ]
    tell(options, *lines, *(f"- {note}" for note in done.notes), *_newest(done.records))
    return GOOD


def reopen(options: argparse.Namespace) -> int:
    """Runs `reopen`."""
    from pipelines.commands.cell_change import changing
    from pipelines.questions import closing
    from pipelines.read.options import utc_now

    settings = data_of(options)
    with changing(settings, "reopen"):
        done = closing.reopen(settings, options.month, options.account, options.reason, utc_now)
    if options.json:
        print_json({"reopened": [_shown(one) for one in done.months], "records": [_record(one) for one in done.records]})
        return GOOD
    tell(options, *(f"Reopened {one.name} of {done.names[one.account_id]}." for one in done.months), *_newest(done.records))
    return GOOD


def _list(options: argparse.Namespace) -> int:
    from pipelines.questions.closing import accounts_of, changed_since, reclassified
    from pipelines.questions.closing_verification import trail_of
    from pipelines.store.closed_months import closed_months
    from pipelines.store.ledger_reader import ledger_of
    from pipelines.text import tables

    settings = data_of(options)
    with ledger_of(settings.data_dir, with_raw=True, memory=settings.memory_limit) as connection:
        names = {one.account_id: one.display_name for one in accounts_of(connection, options.account)}
        months = [one for one in closed_months(connection, "raw") if one.account_id in names]
        changed = changed_since(connection)
        others = reclassified(connection)
    records = trail_of(settings)
    if options.json:
        listed = [_shown(one) | {"changed_transactions": changed.get((one.account_id, one.month), 0)} for one in months]
        print_json({"closed": listed, "reclassified_entries": others, "trail": [_record(one) for one in records]})
        return GOOD
    if not months:
        say("No month is closed: `python -m pipelines close --month YYYY-MM` closes one.")
        return GOOD
    rows = []
    for one in months:
        since = changed.get((one.account_id, one.month), 0)
        balance = "unknown" if one.closing_balance is None else f"{one.closing_balance:,.2f}"
        closed_on, whole = f"{one.closed_at:%Y-%m-%d}", "complete" if one.complete else "incomplete"
        rows.append((names[one.account_id], one.name, closed_on, str(one.transactions), balance, whole, str(since or "·")))
    headings = ("account", "month", "closed on", "transactions", "closing balance", "days", "changed since")
    tables.show(console(), "Closed months", headings, rows)
    if others:
        entries = "1 entry of closed months is" if others == 1 else f"{others:,} entries of closed months are"
        say(
            f"{entries} booked on other accounts now, by a rule, a transfer or a newer version of the program: journals correct"
            " this in the open month. `reopen` and `close` take it over."
        )
    for sentence in _newest(records):
        say(sentence)
    return GOOD


def _verify(options: argparse.Namespace) -> int:
    from pipelines.questions.closing_verification import verified

    settings = data_of(options)
    if settings.cell is not None:
        from pipelines.fleet.cell_keeper import refuse_older

        refuse_older(settings)
    found = verified(settings, options.record)
    if options.json:
        counts = {"records": len(found.records), "months": len(found.months)}
        print_json(counts | {"faults": found.faults, "notes": found.notes})
    else:
        for fault in found.faults:
            say(f"! {fault}")
        state = "are as they were written" if not found.faults else f"have {counted(len(found.faults), 'fault')}"
        lines = f"{counted(len(found.records), 'record')} and {counted(len(found.months), 'closed month')} {state}."
        tell(options, lines, *(f"- {note}" for note in found.notes), *_newest(found.records))
    return CHECKS_FAILED if found.faults else GOOD


def _figures(done: "Closed", one: "ClosedMonth") -> str:
    balance = "unknown" if one.closing_balance is None else f"{one.closing_balance:,.2f}"
    moved = f"{counted(one.transactions, 'transaction')}, {one.money_in:,.2f} in, {one.money_out:,.2f} out"
    incomplete = "" if one.complete else ", INCOMPLETE"
    return f"{one.name} of {done.names[one.account_id]}: {moved}, closing balance {balance}{incomplete}."


def _newest(records: "list[Record]") -> list[str]:
    if not records:
        return []
    return [f"Newest record of the trail: {records[-1].number}, {records[-1].hash}"]


def _shown(one: "ClosedMonth") -> dict[str, Any]:
    return {"month": one.name} | {name: getattr(one, name) for name in _SHOWN}


def _record(one: "Record") -> dict[str, Any]:
    shown = asdict(one)
    del shown["figures"]
    return shown
