"""Changes raw history outside a run, and publishes the ledger with the change."""

from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.report_page.page_options import wanted_page
from pipelines.settings import Settings
from pipelines.store.ledger import build_and_publish
from pipelines.store.load import create_tables
from pipelines.store.raw_copy import RawCopy, opened


@contextmanager
def changing_raw(settings: Settings) -> Iterator[RawCopy]:
    """Opens a copy of raw history that has every table; publishes it, and the ledger with it, when the block has ended well.

    The caller holds the lock. What the block raises leaves both published files untouched.
    """
    with opened(settings.data_dir, memory=settings.memory_limit) as (history, publish):
        create_tables(history)
        yield history
        publish()
    build_and_publish(settings.data_dir, memory=settings.memory_limit, keep_unchanged=True, page=wanted_page(settings))
