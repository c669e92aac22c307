"""Shows a run's report: one JSON object for machines, a table and plain sentences for people."""

import json
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pipelines.read.outcome import BankRun, Outcome
from pipelines.run import closed_changes
from pipelines.run.accounts import beside_its_bank, coverage_sentences, display_names
from pipelines.run.report import Report
from pipelines.store.atomic_files import replacing, write_private
from pipelines.store.banks import bank_named
from pipelines.text.numbers import counted

if TYPE_CHECKING:
    from rich.console import Console


def as_json(report: Report) -> str:
    """Returns the object of `run --json`, as the contract lists it."""
    ledger = report.published.rows if report.published else {}
    return json.dumps(
        {
            "run_id": report.run_id,
            "status": report.status,
            "sources": {bank.source: _bank(bank) for bank in report.banks},
            "notes": report.notes,
            "holes": report.gaps,
            "stale": report.stale,
            "closed_changes": [one.named() for one in report.closed_changes],
            "ledger": {"transactions": ledger.get("transactions"), "accounts": ledger.get("accounts")},
            "coverage": {name: sum(one[name] for one in report.accounts) for name in ("days", "missing_days", "reconciled_days")},
            "checks": {
                "passed": sum(check.passed for check in report.checks),
                "failed": [
                    {"check": check.name, "rows": check.failed_rows, "meaning": check.meaning}
                    for check in report.checks
                    if not check.passed
                ],
            },
            "published": str(report.published.path) if report.published else None,
            "report": str(report.published.page) if report.published and report.published.page else None,
            "seconds": {stage: round(seconds, 3) for stage, seconds in report.seconds.items()},
        },
        ensure_ascii=False,
        default=str,
    )


def _bank(bank: BankRun) -> dict[str, Any]:
    counts = bank.counts
    shown: dict[str, Any] = {
        "accounts": len(bank.read),
        "transactions": {"new": counts.new, "changed": counts.changed, "removed": counts.removed},
        "requests": bank.requests,
        "skipped": [outcome.named() for outcome in bank.outcomes if outcome.status == "skipped"],
        "errors": [outcome.named() for outcome in bank.outcomes if outcome.troubled],
        "unknown_fields": sorted({name for outcome in bank.outcomes for name in outcome.unknown_fields}),
    }
    if bank_named(bank.source).by_consent:
        shown["imports"] = bank.imports
    return shown


def remember(data_dir: Path, text: str) -> None:
    """Keeps the last report for `status`. Bookkeeping: the ledger is fine without it."""
    with suppress(OSError), replacing(data_dir / "run.last.json") as new:
        write_private(new, text)


def show(report: Report, console: "Console") -> None:
    """Prints the summary: a line an account, then sentences that somebody has to know, then where the ledger is."""
    from pipelines.text import tables

    headings = ("bank", "account", "read", "new", "changed", "removed", "balance", "result")
    marked = {number for number, outcome in enumerate(report.outcomes) if outcome.troubled}
    names = display_names(report.published.path) if report.published else {}
    rows = [cells(outcome, names) for outcome in report.outcomes]
    tables.show(console, f"Run {report.run_id}: {report.status}", headings, rows, marked=marked)
    for line in sentences(report):
        tables.say(console, line)


def troubles(report: Report) -> list[str]:
    """Returns the sentences that somebody has to look at."""
    return [sentence for sentence in sentences(report) if sentence.startswith("!")]


def gap_sentence(gap: Mapping[str, Any]) -> str:
    """Returns the sentence about a gap in coverage that can never be closed."""
    return f"! {gap['account_id']}: {gap['from_on']} to {gap['to_on']} was never read and cannot be any more"


def cells(outcome: Outcome, names: Mapping[str, str] = MappingProxyType({})) -> tuple[str, ...]:
    """Returns an account's line of the summary, called as in `names` (by account id) where it is there."""
    counts = outcome.counts
    name = names.get(outcome.account_id or "")
    account = beside_its_bank(name, outcome.institution) if name else outcome.account
    if outcome.status not in ("complete", "partial", "doubted"):
        return outcome.institution, account, "–", "", "", "", "", outcome.status
    window = f"from {outcome.window_start}" if outcome.window_start else "everything"
    if outcome.status == "doubted":
        window = "what is new"
    numbers = tuple(str(number) if number else "·" for number in (counts.new, counts.changed, counts.removed))
    return outcome.institution, account, window, *numbers, _money(outcome), _result(outcome)


def _result(outcome: Outcome) -> str:
    if outcome.as_of is not None and outcome.status == "complete":
        return f"as of {outcome.as_of:%d %b %H:%M} UTC"
    return "held" if outcome.status == "doubted" else outcome.status


def _money(outcome: Outcome) -> str:
    balance: Decimal | None = outcome.balance
    return "" if balance is None else f"{balance:,.2f} {outcome.currency or ''}".rstrip()


def sentences(report: Report) -> list[str]:
    """Returns the sentences of the summary, for all that the table does not say."""
    lines = [f"! {o.institution} {o.account}: {o.reason}" for o in report.outcomes if o.troubled]
    lines += [f"- {o.institution} {o.account} skipped: {o.reason}" for o in report.outcomes if o.status == "skipped"]
    unknown = {(bank.source, name) for bank in report.banks for o in bank.outcomes for name in o.unknown_fields}
    if fields := sorted(f"{source}.{name}" for source, name in unknown if " " not in name):
        lines.append(f"- New fields at the bank, kept in the column `extra`: {', '.join(fields)}")
    if kinds := sorted(f"{source} {name}" for source, name in unknown if " " in name):
        lines.append(f"- New kinds of rows at the bank, taken for movements: {', '.join(kinds)}")
    lines += [f"- {note}" for note in report.notes]
    lines += [gap_sentence(gap) for gap in report.gaps]
    lines += closed_changes.sentences(report.closed_changes)
    lines += [
        f"! {one['label']}: not read in full for {one['hours']} hours, since {one['last_imported_at']} (setting stale_hours)"
        for one in report.stale
    ]
    requests = ", ".join(
        f"{bank.source} {counted(bank.requests, 'request')}"
        + (f" and {counted(bank.imports, 'import')}" if bank_named(bank.source).by_consent else "")
        for bank in report.banks
    )
    took = report.seconds
    if report.refused:
        lines.append(f"! {report.refused}")
    if report.published:
        rows = report.published.rows
        lines.append(
            f"Published {report.published.path}: {counted(rows.get('transactions', 0), 'transaction')} in"
            f" {counted(rows.get('accounts', 0), 'account')}, {counted(len(report.checks), 'check')} passed."
        )
        lines += coverage_sentences(report.accounts)
    elif not report.refused:
        lines.append("! Nothing could be read, so nothing new was published.")
    lines.append(
        f"{requests}. {took['total']:.1f} s: extract {took['extract']:.1f}, load {took['load']:.1f},"
        f" transform {took['transform']:.1f}."
    )
    return lines
