"""Reference rates: read from a file or an address, loaded into raw history, and counted with from then on."""

from pathlib import Path
from typing import Any

from pipelines.errors import Failure
from pipelines.settings import Settings
from sources._errors import SourceError


def fetched(file: Path | None, url: str | None) -> Any:
    """The rates, as an Arrow table. Raises `Failure`."""
    from sources.rates import ecb

    try:
        content = ecb.from_file(file) if file is not None else ecb.from_url(url or "")
        return ecb.read_rates(content)
    except SourceError as error:
        raise Failure(error.cause, error.next_step) from None


def kept(settings: Settings, rates: Any) -> None:
    """Load the rates into raw history and publish the ledger with them. The caller holds the lock."""
    from pipelines.store import load
    from pipelines.store.ledger import build_and_publish
    from pipelines.store.raw_copy import opened
    from pipelines.store.shape import DATASETS

    with opened(settings.data_dir) as (history, publish):
        for dataset in DATASETS:
            if not load.prepared(history, dataset):
                load.load(history, load.Changeset(dataset))
        load.load_rates(history, rates)
        publish()
    build_and_publish(settings.data_dir)
