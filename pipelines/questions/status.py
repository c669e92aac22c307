"""How things stand: freshness of each account, consents and their quota, the last run. Reads only, and needs no network."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.run.accounts import accounts
from pipelines.run.summary import hole_sentence
from pipelines.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from pipelines.consents.vault import Consent


def gather(settings: Settings) -> dict[str, Any]:
    """The object of `status --json`."""
    from pipelines.consents.clock import jumped
    from pipelines.questions import found_losses

    return {
        "lost": [str(loss) for loss in found_losses.found(settings)],
        "data_dir": str(settings.data_dir),
        "clock": jumped(settings.data_dir, datetime.now(UTC)),
        "accounts": accounts(settings.data_dir / "ledger.duckdb"),
        "consents": consents(settings),
        "last_run": _last_run(settings.data_dir / "run.last.json"),
    }


def consents(settings: Settings) -> list[dict[str, Any]]:
    """Every consent with its days left and the imports left in its 24 hours. No token."""
    from pipelines.consents.clients import has_vault, vault_of
    from pipelines.consents.clock import jumped
    from pipelines.consents.states import USABLE, warning

    if not has_vault(settings):
        return []
    now = datetime.now(UTC)
    listed = []
    with vault_of(settings) as vault:
        if jumped(settings.data_dir, now) is None:
            vault.age(now)
        for consent in vault.consents():
            usable, counted = consent.status in USABLE and not consent.erasing, consent.source == "kontomatik"
            quota = vault.quota.remaining(consent.consent_id, settings.kontomatik.imports_per_day, now)
            days = consent.days_left(now) if usable else None
            listed.append(
                {
                    "consent_id": consent.consent_id,
                    "source": consent.source,
                    "institution": consent.institution,
                    "access_mode": consent.access_mode,
                    "status": consent.shown,
                    "usable": usable,
                    "reason": _erasing(consent) if consent.erasing else consent.status_reason,
                    "created_at": _second(consent.created_at),
                    "expires_at": _second(consent.expires_at),
                    "last_import_at": _second(consent.last_import_at),
                    "erase_asked_at": _second(consent.erase_asked_at),
                    "days_left": days,
                    "warning": warning(days, consent.source),
                    "imports_left": quota.left if usable and counted else None,
                    "next_import_at": _second(quota.next_at) if usable and counted else None,
                }
            )
    return listed


def _erasing(consent: "Consent") -> str:
    """What an erasure waits for."""
    if consent.status == "revoked":
        return "it is over at its bank; the next run removes its data"
    return f"it is {consent.status}; its data is removed once the bank has confirmed its end"


def _second(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None


def held_sentence(account_id: str, since: str) -> str:
    """Says that an account waits for a confirmation, and how to give it."""
    return (
        f"! {account_id}: what its bank no longer shows, or shows otherwise, is held for confirmation since {since}."
        f" If the bank is right: `python -m pipelines run --accept-removals {account_id}`"
    )


def _last_run(path: Path) -> dict[str, Any] | None:
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return {name: told.get(name) for name in ("run_id", "status", "checks", "published", "seconds", "notes", "holes")} | {
        "errors": [error for bank in told.get("sources", {}).values() for error in bank.get("errors", [])]
    }


def show(gathered: dict[str, Any], console: "Console") -> None:
    """For people."""
    from pipelines.store.ledger_reader import no_ledger
    from pipelines.text import tables

    for loss in gathered.get("lost", ()):
        tables.say(console, f"! {loss}")

    rows = [
        (
            account["institution"],
            f"{account['account_type']} {account['ending']}",
            account["currency"] or "",
            str(account["last_booked_on"] or "–"),
            account["last_imported_at"] or "never",
        )
        for account in gathered["accounts"]
        if account["gone_at"] is None
    ]
    if gathered["accounts"]:
        tables.show(console, "Accounts", ("bank", "account", "currency", "last booked", "last imported"), rows)
    else:
        tables.say(console, f"No ledger yet. {no_ledger(Path(gathered['data_dir']))}.")
    for account in gathered["accounts"]:
        if account["gone_at"]:
            named = f"{account['institution']}, {account['account_type']} {account['ending']}"
            tables.say(console, f"- {named} is gone since {account['gone_at']}: its bank no longer lists it")
        if account["held_since"]:
            tables.say(console, held_sentence(account["account_id"], account["held_since"]))
        if account["differs_from"]:
            between = f"--from {account['differs_from']} --to {account['differs_until']}"
            proof = f"`python -m pipelines prove {account['account_id']} {between}`"
            tables.say(console, f"! {account['account_id']}: the bank's balances contradict the ledger, see {proof}")
    show_consents(gathered["consents"], console)
    if gathered["clock"]:
        tables.say(console, f"! {gathered['clock']}: nothing expires until it is right, see `python -m pipelines doctor`")
    last_run = gathered["last_run"]
    if last_run is None:
        tables.say(console, "No run is on record (an erasure removes what the last one told).")
        return
    checks = last_run["checks"] or {"passed": 0, "failed": []}
    tables.say(
        console,
        f"Last run {last_run['run_id']}: {last_run['status']}, {checks['passed']} checks passed, {len(checks['failed'])} failed.",
    )
    for hole in last_run["holes"] or []:
        tables.say(console, hole_sentence(hole))
    for error in last_run["errors"]:
        tables.say(console, f"! {error['label']}: {error['reason']}")


def show_consents(listed: list[dict[str, Any]], console: "Console") -> None:
    """For people."""
    from pipelines.text import tables

    if not listed:
        tables.say(console, "No consents.")
        return
    rows = []
    for one in listed:
        days = "–" if one["days_left"] is None else str(one["days_left"])
        left = "–" if one["imports_left"] is None else str(one["imports_left"])
        row = (one["consent_id"], one["institution"], one["access_mode"], one["status"], days, left, one["next_import_at"] or "")
        rows.append(row)
    headings = ["consent", "institution", "mode", "status", "days left", "imports left", "next import"]
    tables.show(console, "Consents", headings, rows)
    for one in listed:
        if one["status"] == "erasing":
            withdrawn = f"`python -m pipelines consents erase {one['consent_id']} --cancel` withdraws it"
            tables.say(console, f"! {one['consent_id']} waits to be erased: {one['reason']}; {withdrawn}")
        if one["warning"] is not None:
            told = (
                f"! {one['consent_id']} ends in {one['days_left']} days: `python -m pipelines consents renew {one['consent_id']}`"
            )
            tables.say(console, told)
        elif one["status"] not in ("active", "expiring") and one["reason"]:
            tables.say(console, f"- {one['consent_id']} is {one['status']}: {one['reason']}")
