"""Reads reference rates from a file or an address and keeps them in raw history; the ledger converts amounts with them."""

from pathlib import Path
from typing import Any

from pipelines.errors import Failure
from pipelines.settings import Settings
from sources._errors import SourceError


def fetch(file: Path | None, url: str | None) -> Any:
    """Returns the rates of a file or an address as an Arrow table. Raises `Failure`."""
    from sources.rates import ecb

    try:
        content = ecb.from_file(file) if file is not None else ecb.from_url(url or "")
        return ecb.read_rates(content)
    except SourceError as error:
        raise Failure(error.cause, error.next_step) from None


def keep(settings: Settings, rates: Any) -> None:
    """Loads the rates into raw history and publishes the ledger with them. The caller holds the lock."""
    from pipelines.store.load import load_rates
    from pipelines.store.raw_change import changing_raw

    with changing_raw(settings) as raw:
        load_rates(raw, rates)
