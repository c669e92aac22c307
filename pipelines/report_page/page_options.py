"""What a page is asked to show."""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.settings import Settings

FILE = "report.html"
"""The page beside the ledger: it shows all of it."""
SANDBOX = ".sandbox"
"""A file that `run --sandbox` leaves in its data directory: a later command has settings that do not know of the sandbox."""


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """What a page shows beside the ledger's own content, and how much of it."""

    imports_per_day: int = 4
    """Imports of an account in 24 hours that its bank allows."""
    sandbox: bool = False
    """Whether the data is invented; the page says so."""
    month: date | None = None
    """First day of the month whose days are shown; None: the last one that is known."""
    account_id: str | None = None
    """The only account that is shown; None: all of them."""


def wanted_page(settings: "Settings") -> PageOptions | None:
    """Returns the options of the page that is published with the ledger; None where the settings want no page."""
    return page_options(settings) if settings.report else None


def page_options(settings: "Settings") -> PageOptions:
    """Returns the options of a page of the whole ledger."""
    sandbox = settings.sandbox or (settings.data_dir / SANDBOX).exists()
    return PageOptions(imports_per_day=settings.kontomatik.imports_per_day, sandbox=sandbox)
