"""Chooses the banks that a run reads."""

from typing import TYPE_CHECKING

from pipelines.errors import WrongUsage
from pipelines.read.options import Options
from pipelines.run.report import Report
from pipelines.settings import HOW_BASIC, HOW_CONSENT, HOW_KONTIST, HOW_KONTOMATIK, Settings
from pipelines.store.banks import BANKS, KONTIST, KONTOMATIK, Bank

if TYPE_CHECKING:
    from pipelines.consents.vault import Vault


class NothingToRead(WrongUsage):
    """No bank that was asked for is configured."""


OPEN = ("pending", "active", "expiring", "replaced", "revoking")
"""States of a consent that give a run work."""


def wanted_banks(settings: Settings, options: Options, report: Report, vault: "Vault | None", connecting: bool) -> list[Bank]:
    """Returns the banks to read. One that lacks something is left out with a note, or refused if it was asked for by name."""
    lacking: dict[Bank, str] = {}
    if not settings.kontist.configured and (settings.kontist.auth != "jwt" or not _has_work(vault, KONTIST)):
        lacking[KONTIST] = f"Kontist is not configured: {HOW_KONTIST if settings.kontist.auth == 'jwt' else HOW_BASIC}"
    if not settings.kontomatik.configured:
        lacking[KONTOMATIK] = f"Kontomatik is not configured: {HOW_KONTOMATIK}"
    elif not connecting and not _has_work(vault, KONTOMATIK):
        lacking[KONTOMATIK] = f"Kontomatik has no consent that can be used: {HOW_CONSENT}"
    asked = [bank for bank in BANKS if options.asks_for(bank)]
    wanted = [bank for bank in asked if bank not in lacking]
    left_out = [lacking[bank] for bank in asked if bank in lacking]
    if options.sources and left_out:
        raise NothingToRead(". ".join(left_out))
    if not wanted:
        raise NothingToRead(". ".join(left_out), "To try it without a bank: `python -m pipelines run --sandbox`")
    report.notes += left_out
    return wanted


def _has_work(vault: "Vault | None", bank: Bank) -> bool:
    """Returns whether a consent is stored that a run can use, end or erase, or whose end left accounts unread."""
    from pipelines.consents.ended import dead_feeds
    from pipelines.consents.kontist_login import ended_login

    if vault is not None and (ended_login(vault) is not None if bank is KONTIST else dead_feeds(vault)):
        return True
    stored = vault.consents(source=bank.name) if vault is not None else []
    return any(one.status in OPEN or (one.erase_asked_at and one.status != "erased") for one in stored)
