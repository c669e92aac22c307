"""Accounts that should be read and have not been for too long: the setting `notifications.stale_hours`, `status --max-age`."""

from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pipelines.consents.clients import has_vault, vault_of
from pipelines.store.banks import BANKS, read_without_consent
from pipelines.store.losses import HistoryLost
from pipelines.text.sinks import line

if TYPE_CHECKING:
    from pipelines.consents.vault import Consent
    from pipelines.read.options import Options
    from pipelines.run.accounts import Account
    from pipelines.settings import Settings


def configured(settings: "Settings", listed: Iterable["Account"]) -> set[str]:
    """Returns the accounts that are read without a stored consent: of banks whose login is in the settings."""
    banks = read_without_consent(settings)
    return {account["account_id"] for account in listed if account["source"] in banks}


def overdue(listed: Iterable["Account"], wanted: set[str], hours: float, now: datetime) -> list[tuple["Account", int]]:
    """Returns those of the `wanted` accounts that were not read in full for `hours`, each with the hours since."""
    found = []
    for account in listed:
        if account.get("gone_at") is not None:
            continue
        last = account["last_imported_at"]
        if account["account_id"] not in wanted or last is None or datetime.fromisoformat(last) >= now - timedelta(hours=hours):
            continue
        found.append((account, int((now - datetime.fromisoformat(last)).total_seconds() // 3600)))
    return found


def name_of(account: "Account") -> str:
    """Returns an account's name for people, on one line."""
    return line(account["display_name"])


@dataclass(frozen=True)
class Expected:
    """The accounts that should be read, and the consents and logins that are over with nothing in their place."""

    accounts: set[str]
    over: "list[Consent]" = field(default_factory=list)


def expected(settings: "Settings", listed: Iterable["Account"]) -> Expected:
    """Returns what should be read by now, the accounts of consents that are over among it; one that a person ended reads none."""
    wanted = configured(settings, listed)
    if not has_vault(settings):
        return Expected(wanted)
    from pipelines.consents.ended import ended_consents

    with suppress(HistoryLost), vault_of(settings) as vault:  # an empty vault: the command names it
        logging_in = [bank for bank in BANKS if settings.of(bank.name).has_password]
        over = [one for bank in BANKS if bank not in logging_in for one in ended_consents(vault, bank)]
        missed = {account for one in over for account in vault.accounts_of(one.consent_id)}
        return Expected(wanted | vault.accounts_in_use() | missed, over)
    return Expected(wanted)


def overdue_sentences(
    listed: Sequence["Account"], wanted: Expected, hours: float, now: datetime, *, clock: str | None = None
) -> list[str]:
    """Returns what a person has to look at; nothing where every expected account is read. `clock`: why no age is known."""
    from pipelines.consents.ended import ended_sentence

    sentences = [f"{clock}: no age is known until it is right"] if clock else []
    if not listed:
        sentences.append("nothing has been read yet: there is no ledger with an account in it")
    sentences += [
        f"{name_of(account)} was not read for {waited} hours, since {account['last_imported_at']}"
        for account, waited in overdue(listed, wanted.accounts, hours, now)
    ]
    sentences += [
        f"{name_of(account)} was never read"
        for account in listed
        if account["account_id"] in wanted.accounts and account["last_imported_at"] is None and account["gone_at"] is None
    ]
    for consent in wanted.over:
        sentences.append(line(f"{consent.institution}, consent {consent.consent_id}: {ended_sentence(consent)}"))
    return sentences


def stale_accounts(
    settings: "Settings", options: "Options", published: "list[Account]", now: datetime, *, just_read: Container[str | None] = ()
) -> list[dict[str, Any]]:
    """Returns the `published` accounts of a run's banks that nothing has read in full for too long, as `run --json` prints them.

    An account that this run has `just_read` is not stale, and neither is one that was not due yet.
    """
    limit = max(settings.notifications.stale_hours, (options.due_after or timedelta()).total_seconds() / 3600)
    from pipelines.errors import Failure

    try:
        listed = [account for account in published if not options.sources or account["source"] in options.sources]
        wanted = configured(settings, listed)
        if has_vault(settings):
            with vault_of(settings) as vault:
                wanted |= vault.accounts_in_use()
    except Failure:  # a ledger that cannot be read: whoever builds or reads it says so
        return []
    return [
        {
            "account_id": account["account_id"],
            "label": name_of(account),
            "last_imported_at": account["last_imported_at"],
            "hours": hours,
        }
        for account, hours in overdue(listed, wanted, limit, now)
        if account["account_id"] not in just_read
    ]
