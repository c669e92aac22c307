"""Gathers how things stand: freshness of each account, consents and their quota, the last run. Needs no network."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.run.accounts import Account, accounts, beside_its_bank
from pipelines.run.closed_changes import ClosedChange, open_corrections, sentences
from pipelines.run.summary import gap_sentence
from pipelines.settings import Settings
from pipelines.store.losses import HistoryLost
from pipelines.text.numbers import counted

if TYPE_CHECKING:
    from rich.console import Console

    from pipelines.consents.consent_status import ConsentStatus


@dataclass(frozen=True, kw_only=True)
class LastRun:
    """What the last run has left for `status`; None of a part that it did not reach."""

    run_id: str | None
    status: str | None
    checks: dict[str, Any] | None
    published: str | None
    seconds: dict[str, float] | None
    notes: list[str] | None
    holes: list[dict[str, Any]] | None
    errors: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Status:
    """How everything stands; the fields are those of `status --json`."""

    lost: list[str]
    data_dir: str
    clock: str | None
    """A sentence when the clock has jumped."""
    accounts: list[Account]
    """As `pipelines.run.accounts.accounts` lists them."""
    consents: list["ConsentStatus"]
    closed_changes: list[ClosedChange] = field(default_factory=list)
    """What banks have changed in closed months, and journals correct in a month that is open."""
    last_run: LastRun | None


def gather(settings: Settings) -> Status:
    """Returns how everything stands. Needs no network."""
    from pipelines.consents.clock import jumped
    from pipelines.consents.consent_status import consent_statuses
    from pipelines.questions import found_losses

    consents: list[ConsentStatus] = []
    with suppress(HistoryLost):  # an empty vault, which `lost` names
        consents = consent_statuses(settings)
    return Status(
        lost=[str(loss) for loss in found_losses.found(settings)],
        data_dir=str(settings.data_dir),
        clock=jumped(settings.data_dir, datetime.now(UTC)),
        accounts=accounts(settings.data_dir / "ledger.duckdb"),
        consents=consents,
        closed_changes=open_corrections(settings.data_dir / "ledger.duckdb"),
        last_run=_last_run(settings.data_dir / "run.last.json"),
    )


def held_sentence(account_id: str, since: str) -> str:
    """Returns a sentence: an account waits for a confirmation, and how to give it."""
    return (
        f"! {account_id}: rows that its bank no longer shows, or shows changed, are held for confirmation since {since}."
        f" If the bank is right: `python -m pipelines run --accept-removals {account_id}`"
    )


def _last_run(path: Path) -> LastRun | None:
    """Returns what the last run left; None when it left nothing, or the file is damaged."""
    import msgspec

    try:
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        errors = [error for bank in kept.get("sources", {}).values() for error in bank.get("errors", [])]
        return msgspec.convert({one.name: kept.get(one.name) for one in fields(LastRun)} | {"errors": errors}, LastRun)
    except (OSError, ValueError, AttributeError, TypeError):  # what msgspec raises is a ValueError
        return None


def show(status: Status, console: "Console") -> None:
    """Shows how everything stands, as tables and sentences."""
    from pipelines.text import tables

    for loss in status.lost:
        tables.say(console, f"! {loss}")
    _show_accounts(status, console)
    for sentence in sentences(status.closed_changes):
        tables.say(console, sentence)
    show_consents(status.consents, console)
    if status.clock:
        tables.say(console, f"! {status.clock}: nothing expires until it is right, see `python -m pipelines doctor`")
    last_run = status.last_run
    if last_run is None:
        tables.say(console, "No run is on record (an erasure removes the last one's record).")
        return
    checks = last_run.checks or {"passed": 0, "failed": []}
    tables.say(
        console,
        f"Last run {last_run.run_id}: {last_run.status}{_took(last_run)}, {checks['passed']} checks passed,"
        f" {len(checks['failed'])} failed.",
    )
    for gap in last_run.holes or []:
        tables.say(console, gap_sentence(gap))
    for error in last_run.errors:
        tables.say(console, f"! {error['label']}: {error['reason']}")


def _took(last_run: LastRun) -> str:
    total = (last_run.seconds or {}).get("total")
    return f" in {total:,.1f} s" if total is not None else ""


def _show_accounts(status: Status, console: "Console") -> None:
    from pipelines.store.ledger_reader import no_ledger
    from pipelines.text import tables

    rows = [
        (
            account["institution"],
            beside_its_bank(account["display_name"], account["institution"]),
            account["currency"] or "",
            str(account["last_booked_on"] or "–"),
            account["last_imported_at"] or "never",
            f"{account['missing_days']} days missing" if account["missing_days"] else "complete",
            f"{account['reconciled_days']} of {account['days']} days",
        )
        for account in status.accounts
        if account["gone_at"] is None
    ]
    if status.accounts:
        tables.show(
            console, "Accounts", ("bank", "account", "currency", "last booked", "last imported", "coverage", "reconciled"), rows
        )
    else:
        tables.say(console, f"No ledger yet. {no_ledger(Path(status.data_dir))}.")
    for account in status.accounts:
        if account["gone_at"]:
            why = "no file shows it any more" if account.get("source") == "file" else "its bank no longer lists it"
            tables.say(console, f"- {account['display_name']} is gone since {account['gone_at']}: {why}")
        if account["held_since"]:
            tables.say(console, held_sentence(account["account_id"], account["held_since"]))
        if account["differs_from"]:
            between = f"--from {account['differs_from']} --to {account['differs_until']}"
            proof = f"`python -m pipelines prove {account['account_id']} {between}`"
            tables.say(console, f"! {account['account_id']}: the bank's balances contradict the ledger, see {proof}")


def show_consents(listed: Sequence["ConsentStatus"], console: "Console") -> None:
    """Shows a table of consents, and a sentence for each that needs something."""
    from pipelines.text import tables

    if not listed:
        tables.say(console, "No consents.")
        return
    rows = []
    for one in listed:
        days = "–" if one.days_left is None else str(one.days_left)
        left = "–" if one.imports_left is None else str(one.imports_left)
        ends = (one.expires_at or "–")[:10]
        rows.append((one.consent_id, one.institution, one.access_mode, one.status, ends, days, left, one.next_import_at or ""))
    headings = ["consent", "institution", "mode", "status", "ends", "days left", "imports left", "next import"]
    tables.show(console, "Consents", headings, rows)
    for one in listed:
        if one.status == "erasing":
            withdrawn = f"`python -m pipelines consents erase {one.consent_id} --cancel` withdraws it"
            tables.say(console, f"! {one.consent_id} waits to be erased: {one.reason}; {withdrawn}")
        if one.warning is not None:
            renewal = f"`python -m pipelines consents renew {one.consent_id}`"
            tables.say(console, f"! {one.consent_id} ends in {counted(one.days_left or 0, 'day')}: {renewal}")
        elif one.status not in ("active", "expiring") and one.reason:
            tables.say(console, f"- {one.consent_id} is {one.status}: {one.reason}")
