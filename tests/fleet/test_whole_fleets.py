"""Four cells, two machines, the sandbox bank: whoever is killed where, every cell equals the bank's world after the next run."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.consents.clients import vault_of
from pipelines.consents.upkeep import end_at_its_bank
from pipelines.fleet.cell_keeper import version_here
from pipelines.fleet.cells import cell_statuses, fleet_of, make_cells, of_customer
from pipelines.fleet.copies import remove_erased
from pipelines.fleet.leases import LeaseLost, Leases
from pipelines.fleet.workers import FleetReport
from pipelines.read.options import utc_now
from pipelines.settings import Settings
from pipelines.store.ledger import build_and_publish
from pipelines.store.lock import held
from pipelines.store.losses import HistoryLost
from sources.sandbox import Fault, SandboxBank, World
from sources.sandbox.banks.wire import Answer, Call
from tests.consents.postgres import empty_database, own_server, programs_or_skip
from tests.fleet.scene import CELLS, Machine, cell_run, connect, fleet_settings, keeper_of, run_cell, time_passes
from tests.fleet.stores import Folder, Store
from tests.patience import patient
from tests.support import a_bank, ledger_totals

ROWS = 60
LOGINS = ("test1", "test2")


@pytest.fixture
def bank() -> Iterator[SandboxBank]:
    """A bank with two customers of its own, and little history."""
    with a_bank(World(transactions=ROWS), dialect="live") as bank:
        yield bank


@contextmanager
def two_machines(bank: SandboxBank, url: str, folder: Path, store: Store) -> Iterator[tuple[Machine, Machine]]:
    """Two machines with one vault and one store, and empty cells."""
    here, there = (Machine(fleet_settings(url, folder / name, store, bank), bank) for name in ("here", "there"))
    make_cells(here.settings)
    yield here, there


def both(*machines: Machine) -> list[FleetReport]:
    """Does `fleet run` on each of these machines at once."""
    reports: list[FleetReport] = []
    threads = [threading.Thread(target=lambda one=one: reports.append(one.workers().run(utc_now))) for one in machines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return reports


def spent(bank: SandboxBank) -> int:
    """Imports that the bank was asked for."""
    return bank.count("POST", "default-import")


def assert_the_cell_is_the_world(folder: Path, bank: SandboxBank) -> None:
    """Builds the ledger of a cell, and compares count and sum of each account with the bank's truth."""
    build_and_publish(folder)
    found, truth = ledger_totals(folder), bank.world.totals(bank.dialect)
    assert found
    assert found == {key: truth[key] for key in found}


def versions(settings: Settings) -> list[int]:
    """Returns the version of each cell's raw history, by the cells' names."""
    with fleet_of(settings) as database:
        return [one.version for one in cell_statuses(database)]


def test_workers_killed_at_lease_upload_and_swap_lose_nothing_and_another_machine_goes_on(
    bank: SandboxBank, postgresql: str, tmp_path: Path
) -> None:
    store = Folder(tmp_path / "store")
    with two_machines(bank, empty_database(postgresql), tmp_path, store) as (here, there):
        for number in range(CELLS):
            connect(here.settings, f"K-{number}", LOGINS[number % 2])
        assert versions(here.settings) == [1, 1, 1, 1]
        bank.world.append("Konto Start", amount="-12.34")
        begun = spent(bank)
        here.deaths |= {"cell-0000": "lease", "cell-0001": "upload", "cell-0002": "swap"}

        report = here.workers().run(utc_now)

        assert [(run.cell, run.status) for run in report.runs] == [
            ("cell-0000", -9),
            ("cell-0001", -9),
            ("cell-0002", -9),
            ("cell-0003", 0),
        ]
        assert report.exit_status == 1
        assert versions(here.settings) == [1, 1, 2, 2]
        assert store.counts() == [1, 2, 2, 2]  # one was stored and never named
        assert spent(bank) == begun + 3

        with fleet_of(here.settings) as database:  # its worker is killed right after the lease
            assert Leases(database).claim("cell-0003") is not None
            time_passes(database)
        reports = both(here, there)

        assert [one.trouble for report in reports for one in (report, *report.runs) if one.trouble] == []
        assert sorted(here.begun[4:] + there.begun) == [f"cell-{number:04d}" for number in range(CELLS)]
        assert spent(bank) == begun + 5, "the imports of the two killed runs were resumed"
        assert versions(here.settings) == [2, 2, 3, 3]
        assert store.counts() == [2, 2, 2, 2]
        for number in range(CELLS):
            cell = f"cell-{number:04d}"
            machine = there if cell in there.begun else here
            assert_the_cell_is_the_world(machine.settings.fleet.folder / cell, bank)


def test_a_zombie_may_neither_swap_nor_end_an_import_and_the_rightful_holder_resumes_it(
    bank: SandboxBank, postgresql: str, tmp_path: Path, store: Store
) -> None:
    with two_machines(bank, empty_database(postgresql), tmp_path, store) as (here, there):
        consent = connect(here.settings, "K-1", "test2")
        begun = spent(bank)
        zombie, rightful = (of_customer(one.settings, "K-1") for one in (here, there))
        with pytest.raises(LeaseLost), cell_run(zombie) as steps, fleet_of(zombie) as database:
            steps.read_all()
            steps.load()
            time_passes(database)
            taken = Leases(database).taken("cell-0000")
            try:
                steps.publish()
            finally:
                with vault_of(zombie) as vault:
                    assert vault.quota.unfinished(consent.consent_id, utc_now()) is not None
                Leases(database).end(taken)
        assert (versions(zombie)[0], store.counts()) == (1, [1]), "what the zombie stored is gone"

        assert run_cell(rightful).status == "ok"

        assert (spent(bank), versions(zombie)[0]) == (begun + 1, 2)
        assert_the_cell_is_the_world(rightful.data_dir, bank)
        assert version_here(zombie.data_dir) == 1
        with held(zombie.data_dir, "test"), keeper_of(zombie):  # the next work there fetches what the other one stored
            assert version_here(zombie.data_dir) == 2
        assert (zombie.data_dir / "raw.duckdb").read_bytes() == (rightful.data_dir / "raw.duckdb").read_bytes()


@dataclass(eq=False)
class WhenBothImport(Fault):
    """Does something once two processes ask the bank how their commands go: both have recorded them."""

    both: threading.Barrier | None = None

    def before(self, call: Call, bank: SandboxBank, /) -> Answer | None:
        if call.method == "GET" and "/command/" in call.path and self.both and self.take():
            self.both.wait(patient(60))
        return None


def test_postgresql_stopped_in_the_middle_ends_with_1_and_every_cell_is_right_after_the_next_run(
    bank: SandboxBank, tmp_path: Path
) -> None:
    store = Folder(tmp_path / "store")
    with own_server(programs_or_skip()) as server, two_machines(bank, empty_database(server.url), tmp_path, store) as (here, _):
        for number in range(2):
            connect(here.settings, f"K-{number}", LOGINS[number])
        begun = spent(bank)
        both = threading.Barrier(2, action=lambda: server.stop(signal.SIGQUIT))
        bank.faults[:] = [WhenBothImport(times=2, both=both)]

        report = here.workers().run(utc_now)

        server.start()
        assert report.exit_status == 1
        assert "The vault's database cannot be used" in str(report.trouble)
        assert [(run.status, "cannot be used" in str(run.trouble)) for run in report.runs] == [(1, True)] * 2
        assert versions(here.settings)[:2] == [1, 1]
        with fleet_of(here.settings) as database:
            time_passes(database)
        assert here.workers().run(utc_now).exit_status == 0
        assert (spent(bank), versions(here.settings)[:2]) == (begun + 2, [2, 2])
        for cell in ("cell-0000", "cell-0001"):
            assert_the_cell_is_the_world(here.settings.fleet.folder / cell, bank)


def test_an_erasure_leaves_no_object_and_no_copy_on_another_machine_with_what_is_erased(
    bank: SandboxBank, postgresql: str, tmp_path: Path, store: Store
) -> None:
    with two_machines(bank, empty_database(postgresql), tmp_path, store) as (here, there):
        ada = connect(here.settings, "K-1", "test1")
        cell = of_customer(here.settings, "K-1")
        for customer in ("K-2", "K-3", "K-4"):  # one for each other cell, so that the next is in the first again
            of_customer(here.settings, customer)
        ben = connect(here.settings, "K-5", "test2")
        assert cell.data_dir == of_customer(here.settings, "K-5").data_dir
        assert run_cell(of_customer(there.settings, "K-1")).status == "ok"
        copy = there.settings.fleet.folder / cell.data_dir.name
        with vault_of(cell) as vault:
            only_hers = set(vault.accounts_of(ada.consent_id)) - set(vault.accounts_of(ben.consent_id))
            secrets = [one.encode() for one in only_hers]
            assert holds(copy, secrets)
            assert any_of(secrets, store.contents())
            vault.ask_erasure(ada.consent_id, utc_now())
            end_at_its_bank(cell, vault, ada.consent_id, utc_now)

        assert run_cell(cell).status == "ok"

        with vault_of(here.settings) as vault:
            assert vault.consent(ada.consent_id).status == "erased"
            assert [one.consent_id for one in vault.consents(status=("active",))] == [ben.consent_id]
        assert not any_of(secrets, store.contents())
        with fleet_of(there.settings) as database:
            assert remove_erased(there.settings, database).cells == [cell.data_dir.name]
        assert not holds(copy, secrets)
        assert not holds(cell.data_dir, secrets, leaving=("receipts",))


def holds(folder: Path, secrets: list[bytes], leaving: tuple[str, ...] = ()) -> bool:
    """Returns whether any file below a folder has one of these bytes in it."""
    files = [path for path in folder.rglob("*") if path.is_file() and not set(leaving) & set(path.parts)]
    return any_of(secrets, [path.read_bytes() for path in files])


def any_of(secrets: list[bytes], contents: list[bytes]) -> bool:
    """Returns whether one of these bytes is in any of these contents."""
    return any(secret in one for one in contents for secret in secrets)


def test_a_cell_without_a_store_stays_on_its_machine_and_is_refused_elsewhere(
    bank: SandboxBank, postgresql: str, tmp_path: Path
) -> None:
    url = empty_database(postgresql)
    here, there = (fleet_settings(url, tmp_path / name, bank=bank) for name in ("here", "there"))
    make_cells(here)
    connect(here, "K-1", "test2")

    with pytest.raises(HistoryLost, match="its vault knows of imports"):
        run_cell(of_customer(there, "K-1"))

    assert run_cell(of_customer(here, "K-1")).status == "ok"
    assert versions(here) == [2, 0, 0, 0]
