"""Files that are imported into a cell of a fleet: they count on every machine, and an erasure leaves no copy in the store."""

from pathlib import Path

from pipelines.fleet.cells import fleet_of, of_customer
from pipelines.fleet.leases import Leases
from sources.sandbox import World
from tests.files.bank_files import camt053
from tests.files.test_file_erasure import NUMBER, SECRET, STATED
from tests.fleet.scene import connect, run_cell
from tests.fleet.test_changed_cells import two_settings
from tests.fleet.test_commands import typed
from tests.fleet.test_whole_fleets import holds, versions
from tests.support import a_bank, rows

ENTRIES = "select count(*) from file.transactions where _dlt_valid_to is null"


def test_a_file_of_a_cell_counts_on_every_machine_and_its_erasure_reaches_the_store(postgresql: str, tmp_path: Path) -> None:
    with a_bank(World(transactions=20), dialect="live") as bank:
        here, there = two_settings(bank, postgresql, tmp_path)
        connect(here, "K-1", "test2")
        cell, other = of_customer(here, "K-1").data_dir, of_customer(there, "K-1")
        path, secrets = tmp_path / "file.xml", [SECRET.encode(), NUMBER.encode()]
        path.write_text(camt053(STATED, iban=NUMBER))
        arguments = ("import", str(path), "--new", "--name", "Sparkasse", "--data-dir", str(cell))
        with fleet_of(here) as database:
            leases = Leases(database)
            lease = leases.taken(cell.name)
            refused = typed(here, *arguments)
            leases.end(lease)
        assert (refused.status, f"holds {cell.name}" in refused.err, versions(here)[0]) == (1, True, 1)
        nowhere = typed(here, *arguments[:-2])
        assert (nowhere.status, "Name its folder: --data-dir" in nowhere.err) == (2, True)

        done = typed(here, *arguments)

        assert (done.status, versions(here)[0]) == (0, 2), done.err
        assert run_cell(other).status == "ok"
        assert rows(other.data_dir, ENTRIES, of="raw") == [(2,)]
        assert holds(tmp_path / "store", secrets)

        ((file,),) = rows(cell, "select file_id from file.files", of="raw")
        erased = typed(here, "import", "--erase", file, "--yes", "--data-dir", str(cell))

        assert (erased.status, "older copies of raw history in the fleet's store were removed" in erased.out) == (0, True), (
            erased.err
        )
        assert not any(holds(folder, secrets) for folder in (tmp_path / "store", cell))
        assert run_cell(other).status == "ok"
        assert rows(other.data_dir, ENTRIES, of="raw") == [(0,)]
