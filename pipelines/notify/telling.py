"""After a run: keep what there is to tell, and send what waits. Nothing here can fail a run."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.connections import has_vault, vault_of
from pipelines.consents.states import USABLE
from pipelines.errors import Failure
from pipelines.notify.channels import channels
from pipelines.notify.notices import Notice, about_checks, about_consents, about_holes, about_stale
from pipelines.notify.outbox import Delivery, Outbox, Send

if TYPE_CHECKING:
    from pipelines.run import Report
    from pipelines.settings import Settings


TEST = Notice("check.failed", "test", "A test of kontoledger's notices", "If you read this, notices reach you. Nothing is wrong.")
"""What `notify --test` sends; it is kept nowhere."""


@dataclass
class Told:
    """What came of it."""

    fresh: list[Notice] = field(default_factory=list)
    """Notices that were met for the first time."""
    delivery: Delivery = field(default_factory=Delivery)
    trouble: str | None = None

    def sentences(self) -> list[str]:
        """What a person should know of it: what could not be sent."""
        return self.delivery.sentences() + ([f"notices: {self.trouble}"] if self.trouble else [])


def tell(
    settings: "Settings", now: Callable[[], datetime], *, report: "Report | None" = None, also: dict[str, Send] | None = None
) -> Told:
    """Look for notices in the vault, the ledger and `report`; send what waits to every way out, and to `also`.

    Never raises. Without any way out nothing is kept either, and nobody is told of the sandbox.
    """
    told = Told()
    if settings.sandbox:
        return told
    try:
        recipients = channels(settings.notifications) | (also or {})
        if not recipients:
            return told
        outbox = Outbox(settings.data_dir)
        _collect(settings, now(), outbox, report, told)
        told.delivery = outbox.deliver(recipients, now())
    except (Failure, OSError, sqlite3.Error) as error:
        told.trouble = str(error) if isinstance(error, Failure) else f"the outbox cannot be used ({type(error).__name__})"
    except Exception as error:  # a fault of ours here must not cost a run that has published
        told.trouble = f"a fault in this program ({type(error).__name__})"
    return told


def _collect(settings: "Settings", now: datetime, outbox: Outbox, report: "Report | None", told: Told) -> None:
    from pipelines.status import accounts

    expected: set[str] = set()
    listed = accounts(settings.data_dir / "ledger.duckdb")
    by_itself = ("kontist",) if settings.kontist.configured else ()
    expected |= {account["account_id"] for account in listed if account["source"] in by_itself}
    if has_vault(settings):
        with vault_of(settings) as vault:
            told.fresh += outbox.put(about_consents(vault, now, configured=by_itself), now)
            for consent in vault.consents(status=USABLE):
                expected |= set(vault.accounts_of(consent.consent_id))
    stale = about_stale(listed, expected, settings.notifications.stale_hours, now)
    told.fresh += outbox.hold("account.stale", stale, now)
    if report is not None:
        told.fresh += outbox.put(about_holes(report.holes), now)
        failed = about_checks(report)
        if failed is not None:
            told.fresh += outbox.hold("check.failed", failed, now)
