"""Chooses the banks that a run reads."""

from typing import TYPE_CHECKING

from pipelines.errors import WrongUsage
from pipelines.read.options import Options
from pipelines.run.report import Report
from pipelines.settings import Settings
from pipelines.store.banks import BANKS, KONTIST, Bank

if TYPE_CHECKING:
    from pipelines.consents.vault import Vault
    from pipelines.store.raw_copy import HistoryKeeper


class NothingToRead(WrongUsage):
    """No bank that was asked for is configured."""


OPEN = ("pending", "active", "expiring", "replaced", "revoking")
"""States of a consent that give a run work."""


def wanted_banks(settings: Settings, options: Options, report: Report, vault: "Vault | None", connecting: bool) -> list[Bank]:
    """Returns the banks to read. One that lacks something is left out with a note, or refused if it was asked for by name."""
    lacking = {bank: _lack(settings, bank, vault, connecting) for bank in BANKS if options.asks_for(bank)}
    wanted = [bank for bank, lack in lacking.items() if lack is None]
    left_out = [lack for lack in lacking.values() if lack is not None]
    if options.sources and left_out:
        raise NothingToRead(". ".join(left_out))
    if not wanted:
        raise NothingToRead(". ".join(left_out), "To try it without a bank: `python -m pipelines run --sandbox`")
    report.notes += left_out
    return wanted


def _lack(settings: Settings, bank: Bank, vault: "Vault | None", connecting: bool) -> str | None:
    """Returns why the bank cannot be read, and what to do; None when it can."""
    own = settings.of(bank.name)
    has_work = own.uses_vault and vault is not None and _has_work(vault, bank)
    if not own.configured and (bank.by_consent or not has_work):
        return f"{bank.title} is not configured: {own.how_to_configure}"
    if bank.by_consent and not connecting and not has_work:
        return (
            f"{bank.title} has no consent that can be used: run `python -m pipelines connect {bank.name}`,"
            f" or `consents add {bank.name}` for a token that you have"
        )
    return None


def _has_work(vault: "Vault", bank: Bank) -> bool:
    """Returns whether a consent is stored that a run can use, end or erase, or whose end left accounts unread."""
    from pipelines.consents.ended import ended_consents

    stored = vault.consents(source=bank.name)
    return bool(ended_consents(vault, bank)) or any(
        one.status in OPEN or (one.erase_asked_at and one.status != "erased") for one in stored
    )


def refuse_outside_cells(settings: Settings, options: Options, keeper: "HistoryKeeper | None") -> None:
    """Raises `WrongUsage` where a fleet's consents would be read into one data directory, or a login into every cell."""
    if not settings.fleet.cells:
        return
    if settings.cell is None or keeper is None:
        raise WrongUsage(
            f"With a fleet (fleet.cells = {settings.fleet.cells}) a run is that of one cell, and {settings.data_dir} is none",
            "Use `python -m pipelines fleet run`",
        )
    if options.asks_for(KONTIST) and settings.kontist.configured:
        raise WrongUsage(
            "The login at Kontist of the settings would be read into each cell: a fleet reads consents of Kontomatik only",
            "Give --source kontomatik, or keep Kontist in an installation of its own",
        )
