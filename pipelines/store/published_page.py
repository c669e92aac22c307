"""Draws the page that is published with the ledger. It shows that ledger, or it is not there."""

from contextlib import suppress
from pathlib import Path

from pipelines.report_page.page_options import FILE, PageOptions
from pipelines.store.atomic_files import write_private
from pipelines.store.private import share_as_before
from pipelines.store.read_only import read_only


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


def _new(ledger: Path) -> Path:
    return ledger.with_name(f"{FILE}.new")
