"""Draws the page that is published with the ledger. It shows that ledger, or it is not there.

A process that dies between the two renames leaves the page of the ledger before. A page says which ledger it shows, so
`doctor` notices that; the next run draws it again.
"""

import re
from contextlib import suppress
from pathlib import Path

from pipelines.report_page.page_options import FILE, PageOptions
from pipelines.store.atomic_files import write_private
from pipelines.store.private import share_as_before
from pipelines.store.read_only import read_only

_SHOWN = re.compile(rb'<meta name="ledger-published-at" content="([^"]+)">')
_HEAD = 4096
"""Bytes of a page in which it says which ledger it shows."""


def draw(ledger: Path, options: PageOptions | None, *, memory: str) -> str | None:
    """Writes the page of a new ledger beside it, for `put` to publish. Returns why that failed: the ledger is fine without it.

    Without `options` there is to be no page.
    """
    new = _new(ledger)
    new.unlink(missing_ok=True)
    if options is None:
        return None
    try:
        from pipelines.report_page.rendering import render

        with read_only(ledger) as connection:
            connection.execute(f"set TimeZone = 'UTC'; set memory_limit = '{memory}'")
            write_private(new, render(connection, options))
    except Exception as error:  # whatever it is, it must not cost anybody a checked ledger
        with suppress(OSError):
            new.unlink(missing_ok=True)
        return f"The page {FILE} could not be drawn ({type(error).__name__}); the ledger is published without it"
    return None


def put(ledger: Path) -> Path | None:
    """Renames the page that was drawn into place; whoever may read the one before may read it. Returns its path.

    Where none was drawn, the one before is removed: it shows another ledger.
    """
    new, page = _new(ledger), ledger.with_name(FILE)
    with suppress(OSError):
        if new.exists():
            share_as_before(new, page)
            new.replace(page)
            return page
        page.unlink(missing_ok=True)
    return None


def is_outdated(ledger: Path) -> bool:
    """Returns whether the page beside a ledger shows another one. Raises `duckdb.Error` for a ledger that cannot be read."""
    try:
        with ledger.with_name(FILE).open("rb") as page:
            found = _SHOWN.search(page.read(_HEAD))
    except OSError:
        return False
    with read_only(ledger) as connection:
        connection.execute("set TimeZone = 'UTC'")
        ((published_at,),) = connection.execute("select published_at from main.about").fetchall()
    return found is not None and found[1].decode() != published_at.isoformat()  # earlier versions' pages do not say it


def _new(ledger: Path) -> Path:
    return ledger.with_name(f"{FILE}.new")
