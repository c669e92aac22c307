"""Which banks a run reads."""

from typing import TYPE_CHECKING

from pipelines.errors import WrongUsage
from pipelines.read.options import SOURCES, Options
from pipelines.run.report import Report
from pipelines.settings import HOW_BASIC, HOW_CONSENT, HOW_KONTIST, HOW_KONTOMATIK, Settings

if TYPE_CHECKING:
    from pipelines.consents.vault import Vault


class NothingToRead(WrongUsage):
    """No bank is configured, or none of those that were asked for."""


OPEN = ("pending", "active", "expiring", "replaced", "revoking")
"""States of a consent that a run has something to do with."""


def wanted_sources(settings: Settings, options: Options, report: Report, vault: "Vault | None", connecting: bool) -> list[str]:
    """The sources to read. One that lacks something is left out with a note, or refused if it was asked for by name."""
    lacking: dict[str, str] = {}
    if not settings.kontist.configured and (settings.kontist.auth != "jwt" or not _has_work(vault, "kontist")):
        lacking["kontist"] = f"Kontist is not configured: {HOW_KONTIST if settings.kontist.auth == 'jwt' else HOW_BASIC}"
    if not settings.kontomatik.configured:
        lacking["kontomatik"] = f"Kontomatik is not configured: {HOW_KONTOMATIK}"
    elif not connecting and not _has_work(vault, "kontomatik"):
        lacking["kontomatik"] = f"Kontomatik has no consent that can be used: {HOW_CONSENT}"
    asked = options.sources or SOURCES
    wanted = [source for source in asked if source not in lacking]
    left_out = [lacking[source] for source in asked if source in lacking]
    if options.sources and left_out:
        raise NothingToRead(". ".join(left_out))
    if not wanted:
        raise NothingToRead(". ".join(left_out), "To try it without a bank: `python -m pipelines run --sandbox`")
    report.notes += left_out
    return wanted


def _has_work(vault: "Vault | None", source: str) -> bool:
    """Whether a consent is stored that a run has something to do with: it can be used, ended or erased, or it is missed."""
    from pipelines.consents.ended import dead_feeds
    from pipelines.consents.kontist_login import ended_login

    if vault is not None and (ended_login(vault) is not None if source == "kontist" else dead_feeds(vault)):
        return True
    stored = vault.consents(source=source) if vault is not None else []
    return any(one.status in OPEN or (one.erase_asked_at and one.status != "erased") for one in stored)
