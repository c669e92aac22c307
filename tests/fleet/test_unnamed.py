"""Raw histories in the store that no cell names: killed processes leave them, and `fleet maintain` removes them."""

from dataclasses import replace
from pathlib import Path

from pipelines.consents.database import Database
from pipelines.fleet.fleet_check import check_fleet
from pipelines.fleet.leases import Leases, Placed
from pipelines.fleet.raw_store import RawStore
from pipelines.fleet.unnamed import remove_unnamed
from pipelines.settings import Settings

FINDING = "cell-0000: 1 objects in the store are of no run that counts, and `fleet maintain` removes them"


def test_what_a_killed_upload_left_is_found_and_removed_and_the_two_named_objects_stay(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    fleet = replace(settings, fleet=replace(settings.fleet, store=f"file://{tmp_path / 'store'}"))
    store, leases, raw = RawStore(str(fleet.fleet.store)), Leases(database), tmp_path / "raw.duckdb"
    raw.write_bytes(b"rows")
    lease, kept = leases.taken("cell-0000"), []
    for version in (1, 2):
        placed = Placed(*store.put(raw, "cell-0000", version))
        lease = leases.swap(lease, placed)
        kept.append(placed.object)
    (left, _) = store.put(raw, "cell-0000", 3)

    assert check_fleet(fleet, database).findings == []  # while somebody works on the cell, it may be named soon
    assert remove_unnamed(database, store) == []
    leases.end(lease)

    assert check_fleet(fleet, database).findings == [FINDING]
    assert remove_unnamed(database, store) == ["cell-0000"]
    assert (store.names("cell-0000"), left in kept) == (sorted(kept), False)
    assert check_fleet(fleet, database).findings == []
    assert leases.claim("cell-0000") is not None, "the cell was given back"
