"""After a run: keep what there is to tell, and send what waits. Nothing here can fail a run."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.consents.clients import has_vault, vault_of
from pipelines.errors import Failure
from pipelines.notify.channels import usable
from pipelines.notify.notices import Notice, about_checks, about_consents, about_differences, about_held, about_holes, about_stale
from pipelines.notify.outbox import Delivery, Outbox, Send
from pipelines.run.freshness import configured, consented
from pipelines.store.banks import KONTIST

if TYPE_CHECKING:
    from pipelines.run.report import Report
    from pipelines.settings import Settings


TEST = Notice("test", "test", "A test of kontoledger's notices", "If you read this, notices reach you. Nothing is wrong.")
"""What `notify --test` sends; it is kept nowhere."""


@dataclass
class Told:
    """What came of it."""

    fresh: list[Notice] = field(default_factory=list)
    """Notices that were met for the first time."""
    delivery: Delivery = field(default_factory=Delivery)
    wrong: list[str] = field(default_factory=list)
    """Addresses that cannot be used, a sentence each; the others are told all the same."""
    trouble: str | None = None

    def sentences(self) -> list[str]:
        """What a person should know of it: what could not be sent."""
        return self.delivery.sentences() + [f"notices: {one}" for one in (*self.wrong, self.trouble) if one]


def tell(
    settings: "Settings", now: Callable[[], datetime], *, report: "Report | None" = None, also: dict[str, Send] | None = None
) -> Told:
    """Look for notices in the vault, the ledger and `report`; send what waits to every way out, and to `also`.

    Never raises. Without any way out nothing is kept either, and nobody is told of the sandbox.
    """
    told = Told()
    if settings.sandbox:
        return told
    with _noted(told):
        ways_out, wrong = usable(settings.notifications)
        told.wrong = [str(refused) for refused in wrong]
        recipients = ways_out | (also or {})
        if not recipients and not wrong:  # what a wrong address should have got is kept until it is corrected
            return told
        outbox = Outbox(settings.data_dir)
        with _noted(told):  # what waits is sent, whatever cannot be looked at
            _collect(settings, now(), outbox, report, told)
        told.delivery = outbox.deliver(recipients, now())
    return told


@contextmanager
def _noted(told: Told) -> Iterator[None]:
    """Whatever goes wrong in the block ends it, and is noted."""
    try:
        yield
    except (Failure, OSError, sqlite3.Error) as error:
        told.trouble = str(error) if isinstance(error, Failure) else f"the outbox cannot be used ({type(error).__name__})"
    except Exception as error:  # a fault of ours here must not cost a run that has published
        told.trouble = f"a fault in this program ({type(error).__name__})"


def _collect(settings: "Settings", now: datetime, outbox: Outbox, report: "Report | None", told: Told) -> None:
    """What only the report knows goes first, and the ledger last: a vault or a ledger that cannot be read costs no more."""
    from pipelines.run.accounts import accounts

    if report is not None:
        told.fresh += outbox.put(about_holes(report.holes), now)
        failed = about_checks(report)
        if failed is not None:
            told.fresh += outbox.hold("check.failed", failed, now)
    own = settings.kontist
    wanted: set[str] = set()
    if has_vault(settings):
        # A configured refresh token is worth nothing once a login was made of it; a password always is.
        by_itself = (KONTIST.name,) if own.email and own.password else ()
        with vault_of(settings) as vault:
            notices = about_consents(vault, now, configured=by_itself)
            told.fresh += outbox.hold("consent.expiring", [one for one in notices if one.kind == "consent.expiring"], now)
            told.fresh += outbox.put([one for one in notices if one.kind != "consent.expiring"], now)
            wanted = consented(vault)
    listed = accounts(settings.data_dir / "ledger.duckdb")
    stale = about_stale(listed, wanted | configured(settings, listed), settings.notifications.stale_hours, now)
    told.fresh += outbox.hold("account.stale", stale, now)
    told.fresh += outbox.hold("account.held", about_held(listed), now)
    told.fresh += outbox.hold("account.differs", about_differences(listed), now)
