"""Keeps the new notices and sends the pending ones, after a run. Nothing here can fail a run."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.consents.clients import has_vault, vault_of
from pipelines.errors import Failure
from pipelines.notify.channels import usable
from pipelines.notify.notices import (
    Notice,
    about_checks,
    about_closed_months,
    about_consents,
    about_differences,
    about_gaps,
    about_held,
    about_stale,
)
from pipelines.notify.outbox import Delivery, Outbox, Send
from pipelines.run.freshness import configured
from pipelines.store.banks import BANKS

if TYPE_CHECKING:
    from pipelines.run.report import Report
    from pipelines.settings import Settings


TEST = Notice("test", "test", "A test of kontoledger's notices", "If you read this, notices reach you. Nothing is wrong.")
"""What `notify --test` sends; it is kept nowhere."""


@dataclass
class Dispatched:
    """The outcome of one dispatch."""

    fresh: list[Notice] = field(default_factory=list)
    """Notices that were met for the first time."""
    delivery: Delivery = field(default_factory=Delivery)
    wrong: list[str] = field(default_factory=list)
    """Addresses that cannot be used, a sentence each; the others get their notices all the same."""
    trouble: str | None = None

    def sentences(self) -> list[str]:
        """Returns what could not be sent, for people."""
        return self.delivery.sentences() + [f"notices: {one}" for one in (*self.wrong, self.trouble) if one]


def dispatch_notices(
    settings: "Settings", now: Callable[[], datetime], *, report: "Report | None" = None, also: dict[str, Send] | None = None
) -> Dispatched:
    """Looks for notices in the vault, the ledger and `report`; sends the pending ones to every channel, and to `also`.

    Never raises. Without any channel nothing is kept either. Nobody is notified of the sandbox. A cell of a fleet keeps its
    notices, and `fleet run` sends one digest of all; outside of the cells nobody looks for any.
    """
    done = Dispatched()
    if settings.sandbox or (settings.fleet.cells and settings.cell is None):
        return done
    with _noted(done):
        found, wrong = usable(settings.notifications)
        done.wrong = [str(refused) for refused in wrong]
        recipients = found | (also or {})
        if not recipients and not wrong:  # what a wrong address should have got is kept until it is corrected
            return done
        outbox = Outbox(settings.data_dir)
        with _noted(done):  # pending notices are sent, whatever cannot be looked at
            _collect(settings, now(), outbox, report, done)
        if settings.cell is None:
            done.delivery = outbox.deliver(recipients, now())
    return done


@contextmanager
def _noted(done: Dispatched) -> Iterator[None]:
    """Ends the block at any failure, and notes it."""
    try:
        yield
    except (Failure, OSError, sqlite3.Error) as error:
        done.trouble = str(error) if isinstance(error, Failure) else f"the outbox cannot be used ({type(error).__name__})"
    except Exception as error:  # a fault of ours here must not cost a run that has published
        done.trouble = f"a fault in this program ({type(error).__name__})"


def _collect(settings: "Settings", now: datetime, outbox: Outbox, report: "Report | None", done: Dispatched) -> None:
    """Collects notices: those of the report first, of the ledger last, so that one that cannot be read costs only the rest."""
    from pipelines.run.accounts import accounts

    if report is not None:
        done.fresh += outbox.put(about_gaps(report.gaps), now)
        done.fresh += outbox.put(about_closed_months(report.closed_changes), now)
        failed = about_checks(report)
        if failed is not None:
            done.fresh += outbox.hold("check.failed", failed, now)
    wanted: set[str] = set()
    if has_vault(settings):
        # A configured refresh token is worth nothing once a login was made of it; a password always is.
        by_itself = tuple(bank.name for bank in BANKS if settings.of(bank.name).has_password)
        with vault_of(settings) as vault:
            notices = about_consents(vault, now, configured=by_itself)
            done.fresh += outbox.hold("consent.expiring", [one for one in notices if one.kind == "consent.expiring"], now)
            done.fresh += outbox.put([one for one in notices if one.kind != "consent.expiring"], now)
            wanted = vault.accounts_in_use()
    listed = accounts(settings.data_dir / "ledger.duckdb")
    stale = about_stale(listed, wanted | configured(settings, listed), settings.notifications.stale_hours, now)
    done.fresh += outbox.hold("account.stale", stale, now)
    done.fresh += outbox.hold("account.held", about_held(listed), now)
    done.fresh += outbox.hold("account.differs", about_differences(listed), now)
