"""Raw history of a cell that is changed outside a run: it counts for all machines at once, and only under the cell's lease."""

from pathlib import Path

import pytest

from pipelines.commands.cell_change import changing
from pipelines.consents.clients import vault_of
from pipelines.consents.upkeep import end_at_its_bank
from pipelines.fleet.cell_keeper import version_here
from pipelines.fleet.cells import fleet_of, make_cells, of_customer
from pipelines.fleet.leases import Leases
from pipelines.read.options import utc_now
from pipelines.settings import Settings
from sources.sandbox import SandboxBank, World
from tests.consents.postgres import empty_database
from tests.fleet.scene import connect, fleet_settings, run_cell
from tests.fleet.stores import Folder
from tests.fleet.test_commands import typed
from tests.fleet.test_whole_fleets import holds, versions
from tests.support import a_bank

RATES = "Date,USD,PLN\n2026-03-02,1.05,4.25\n"


def two_settings(bank: SandboxBank, postgresql: str, folder: Path) -> tuple[Settings, Settings]:
    """Returns the settings of two machines with one vault and one store, where a customer is connected at the first."""
    url = empty_database(postgresql)
    store = Folder(folder / "store")
    here, there = (fleet_settings(url, folder / name, store, bank) for name in ("here", "there"))
    make_cells(here)
    return here, there


def test_a_restored_cell_counts_on_every_machine_at_once_without_what_was_erased(postgresql: str, tmp_path: Path) -> None:
    with a_bank(World(transactions=20), dialect="live") as bank:
        here, there = two_settings(bank, postgresql, tmp_path)
        consent_id = connect(here, "K-1", "test2").consent_id
        cell = of_customer(here, "K-1")
        backup = tmp_path / "backup"
        assert typed(here, "backup", str(backup), "--data-dir", str(cell.data_dir)).status == 0
        with vault_of(cell) as vault:
            secrets = [one.encode() for one in vault.accounts_of(consent_id)]
            vault.ask_erasure(consent_id, utc_now())
            end_at_its_bank(cell, vault, consent_id, utc_now)
        assert run_cell(of_customer(there, "K-1")).status == "ok"
        assert holds(cell.data_dir, secrets)  # until this machine's next `fleet run`
        assert versions(here)[0] == 3

        restored = typed(here, "restore", str(backup), "--yes", "--data-dir", str(cell.data_dir))

        assert (restored.status, f"{consent_id} was erased after this backup" in restored.out) == (0, True)
        assert versions(here)[0] == version_here(cell.data_dir) == 4
        assert not any(holds(path, secrets) for path in (cell.data_dir, tmp_path / "store"))


def test_a_change_of_a_cell_counts_for_every_machine_and_is_refused_while_another_process_has_it(
    postgresql: str, tmp_path: Path
) -> None:
    with a_bank(World(transactions=20), dialect="live") as bank:
        here, there = two_settings(bank, postgresql, tmp_path)
        connect(here, "K-1", "test2")
        file = tmp_path / "rates.csv"
        file.write_text(RATES)
        own, other = of_customer(here, "K-1").data_dir, of_customer(there, "K-1")
        with fleet_of(here) as database:
            leases = Leases(database)
            lease = leases.taken(own.name)
            refused = typed(here, "rates", "--file", str(file), "--data-dir", str(own))
            leases.end(lease)
        assert (refused.status, f"holds {own.name}" in refused.err, versions(here)[0]) == (1, True, 1)

        with changing(other, "rates"):
            assert version_here(other.data_dir) == 1

        assert versions(here)[0] == version_here(other.data_dir) == 2


@pytest.mark.parametrize("arguments", [("rates", "--file", "rates.csv"), ("restore", "--previous", "--yes")])
def test_what_changes_raw_history_wants_a_cell_in_a_fleet(settings: Settings, arguments: tuple[str, ...]) -> None:
    folder = settings.fleet.folder.parent
    folder.mkdir(exist_ok=True)
    (folder / "rates.csv").write_text(RATES)
    refused = typed(settings, *arguments)
    assert (refused.status, "Name its folder: --data-dir" in refused.err) == (2, True), refused.err
