"""The banks that Kontomatik covers: fetched, shown, and kept as table `institutions` of raw history and ledger."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipelines.consents.clients import told_client
from pipelines.errors import WrongUsage
from pipelines.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console


def fetch(
    settings: Settings, now: Callable[[], datetime], *, country: str | None, access_mode: str | None
) -> list[dict[str, Any]]:
    """The catalog, narrowed to a country (two letters) and an access mode; sorted by country and institution."""
    if not settings.kontomatik.configured:
        raise WrongUsage("Kontomatik is not configured", "Set sources.kontomatik.api_key in .dlt/secrets.toml")
    with told_client(settings, now) as client:
        found = client.catalog(country, access_mode)  # type: ignore[arg-type]  # argparse offers these modes only
    listed = [
        {
            "target": one.target,
            "institution": one.institution,
            "name": one.name,
            "country": one.country,
            "access_modes": sorted(one.access_modes) or None,
            "beta": one.beta,
        }
        for one in found
    ]
    return sorted(listed, key=lambda one: (str(one["country"]), str(one["institution"]), str(one["target"])))


def kept(settings: Settings, institutions: list[dict[str, Any]], now: datetime) -> None:
    """Load the whole catalog into raw history and publish the ledger with it. The caller holds the lock."""
    from pipelines.store import load
    from pipelines.store.ledger import build_and_publish
    from pipelines.store.raw_copy import opened
    from pipelines.store.shape import DATASETS
    from sources.kontomatik.columns import INSTITUTIONS

    rows = [
        one | {"access_modes": json.dumps(one["access_modes"]) if one["access_modes"] else None, "read_at": now}
        for one in institutions
    ]
    with opened(settings.data_dir) as (history, publish):
        for dataset in DATASETS:
            if not load.prepared(history, dataset):
                load.load(history, load.Changeset(dataset))
        state = load.cursors(history, "kontomatik")
        load.load(
            history, load.Changeset("kontomatik", {"institutions": load.batches_of(rows, INSTITUTIONS)}, cursors=dict(state))
        )
        publish()
    build_and_publish(settings.data_dir)


def show(institutions: list[dict[str, Any]], console: "Console") -> None:
    """For people."""
    from pipelines.text import tables

    rows = []
    for one in institutions:
        modes = ", ".join(one["access_modes"] or []) or "not told"
        named = [str(one[name] or "") for name in ("country", "institution", "name", "target")]
        rows.append((*named, modes + (" (beta)" if one["beta"] else "")))
    headings = ("country", "institution", "name", "target", "access modes")
    tables.show(console, f"{len(institutions)} ways into banks", headings, rows)
