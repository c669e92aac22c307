"""Fetches, shows and keeps the banks that Kontomatik covers (table `institutions` of raw history and ledger)."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipelines.consents.clients import command_client, refuse_unconfigured
from pipelines.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console


def fetch(
    settings: Settings, now: Callable[[], datetime], *, country: str | None, access_mode: str | None
) -> list[dict[str, Any]]:
    """Returns the catalog, narrowed to a country (two letters) and an access mode; sorted by country and institution."""
    refuse_unconfigured(settings)
    with command_client(settings, now) as client:
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


def keep(settings: Settings, institutions: list[dict[str, Any]], now: datetime) -> None:
    """Loads the whole catalog into raw history and publishes the ledger with it. The caller holds the lock."""
    from pipelines.store import load
    from pipelines.store.banks import KONTOMATIK
    from pipelines.store.raw_change import changing_raw
    from sources.kontomatik.columns import INSTITUTIONS

    rows = [
        one | {"access_modes": json.dumps(one["access_modes"]) if one["access_modes"] else None, "read_at": now}
        for one in institutions
    ]
    with changing_raw(settings) as raw:
        batches = {"institutions": load.batches_of(rows, INSTITUTIONS)}
        load.load(raw, load.Changeset(KONTOMATIK.name, batches, cursors=load.cursors(raw, KONTOMATIK.name)))


def show(institutions: list[dict[str, Any]], console: "Console") -> None:
    """Shows the banks as a table."""
    from pipelines.text import tables

    rows = []
    for one in institutions:
        modes = ", ".join(one["access_modes"] or []) or "unknown"
        named = [str(one[name] or "") for name in ("country", "institution", "name", "target")]
        rows.append((*named, modes + (" (beta)" if one["beta"] else "")))
    headings = ("country", "institution", "name", "target", "access modes")
    tables.show(console, f"{len(institutions)} bank targets", headings, rows)
