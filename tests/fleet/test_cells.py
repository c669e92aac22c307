"""Who is in which cell, which cells are due, and what holds a lease."""

import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sql

from pipelines.consents.clients import vault_of
from pipelines.consents.database import Database
from pipelines.consents.tables import cells, customers
from pipelines.errors import Busy, Failure, WrongUsage
from pipelines.fleet.cells import cell_statuses, due_cells, make_cells, misplaced, of_consent, of_customer
from pipelines.fleet.leases import LeaseLost, Leases, Placed, beating
from pipelines.read.due import due
from pipelines.settings import Settings
from tests.consents.customers import NOON, add
from tests.consents.postgres import empty_database
from tests.fleet.scene import CELLS, HOUR, consent_of, fleet_settings, time_passes
from tests.patience import patient

# ---- customers


def test_new_customers_go_to_the_emptiest_cell_and_stay_there(settings: Settings) -> None:
    first = [of_customer(settings, f"K-{number}").cell for number in range(6)]
    again = [of_customer(settings, f"K-{number}").cell for number in range(6)]

    assert first == ["cell-0000", "cell-0001", "cell-0002", "cell-0003", "cell-0000", "cell-0001"]
    assert again == first
    assert of_customer(settings, "K-0").data_dir == settings.fleet.folder / "cell-0000"


@pytest.mark.parametrize("customer", ["", " ", "K-1 ", "\tK-1", "K\n1", "K\u202e1", "K" * 201])
def test_an_id_that_only_looks_like_another_customers_is_refused(settings: Settings, customer: str) -> None:
    with pytest.raises(WrongUsage, match="A customer is one line"):
        of_customer(settings, customer)


def test_customers_that_come_at_once_get_one_cell_each_and_all_cells_are_used(settings: Settings) -> None:
    found: list[tuple[int, str | None]] = []
    threads = [
        threading.Thread(target=lambda number=number: found.append((number % 4, of_customer(settings, f"K-{number % 4}").cell)))
        for number in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 16
    assert len(set(found)) == CELLS
    assert len({cell for _, cell in found}) == CELLS


def test_more_cells_are_made_when_the_setting_has_grown_and_nobody_moves(settings: Settings, database: Database) -> None:
    before = of_customer(settings, "K-0").cell
    database.write(cells.insert().values(cell="cell-0004"))
    assert make_cells(settings) == 0
    assert of_customer(settings, "K-0").cell == before


def test_a_renewal_is_in_the_cell_of_the_consent_that_it_replaces_and_erasing_the_last_one_forgets_the_customer(
    settings: Settings, database: Database
) -> None:
    old = consent_of(settings, "K-1")
    of_customer(settings, "K-2")
    own = of_consent(settings, old)
    with vault_of(own) as vault:
        renewed = add(vault, replaces=old)
        assert {one.consent_id for one in vault.consents()} == {old, renewed}
        for one in (old, renewed):
            vault.move(one, "revoking", "asked for", NOON)
            vault.move(one, "revoked", "confirmed", NOON)
            vault.move(one, "erased", "done", NOON)
            left = {row.customer for row in database.read(sql.select(customers.c.customer))}
            assert left == ({"K-1", "K-2"} if one == old else {"K-2"})


def test_a_cell_lists_its_own_consents_only_and_the_fleet_lists_all(settings: Settings) -> None:
    mine, other = consent_of(settings, "K-1", "a", read_at=HOUR), consent_of(settings, "K-2", "b")
    with vault_of(of_consent(settings, mine)) as vault:
        assert [one.consent_id for one in vault.consents()] == [mine]
        assert (vault.accounts_in_use(), vault.has_imported()) == ({"a"}, True)
        assert {entry.consent_id for entry in vault.trail()} == {mine}
    with vault_of(of_consent(settings, other)) as vault:
        assert (vault.accounts_in_use(), vault.has_imported()) == ({"b"}, False)
    with vault_of(settings) as vault:
        assert {one.consent_id for one in vault.consents()} == {mine, other}


def test_a_consent_without_a_customer_and_a_customer_in_another_cell_are_refused(settings: Settings) -> None:
    with vault_of(settings) as vault, pytest.raises(WrongUsage, match="Give --customer"):
        add(vault)
    own = of_customer(settings, "K-1")
    elsewhere = fleet_settings(str(settings.vault_url), settings.fleet.folder.parent)
    wrong = Settings(**{**vars(elsewhere), "data_dir": elsewhere.fleet.folder / "cell-0003", "customer": "K-1"})
    with vault_of(wrong) as vault, pytest.raises(Failure, match=f"in {own.cell} and not in cell-0003"):
        add(vault)


def test_a_fleet_needs_a_setting_a_vault_in_postgresql_and_cells(tmp_path: Path, postgresql: str) -> None:
    with pytest.raises(WrongUsage, match=r"fleet\.cells is 0"):
        make_cells(Settings(data_dir=tmp_path))
    with pytest.raises(WrongUsage, match="in PostgreSQL"):
        make_cells(fleet_settings(f"sqlite:///{tmp_path}/v.sqlite", tmp_path))
    with pytest.raises(WrongUsage, match="fleet init"):
        of_customer(fleet_settings(empty_database(postgresql), tmp_path), "K-1")


# ---- what is due


def test_a_cell_is_known_through_a_link_and_by_a_longer_path(tmp_path: Path) -> None:
    settings = fleet_settings("postgresql+psycopg://nobody@127.0.0.1/vault", tmp_path)
    folder = settings.fleet.folder
    (folder / "cell-0001").mkdir(parents=True)
    (tmp_path / "linked").symlink_to(folder)
    (tmp_path / "mine").symlink_to(folder / "cell-0001")
    paths = [
        folder / "cell-0001",
        tmp_path / "linked" / "cell-0001",
        tmp_path / "mine",
        folder / "cell-0000" / ".." / "cell-0001",
    ]

    assert [replace(settings, data_dir=path).cell for path in paths] == ["cell-0001"] * 4
    assert replace(settings, data_dir=tmp_path / "cell-0001").cell is None


def test_the_most_urgent_cell_comes_first_and_a_fresh_one_is_not_due(settings: Settings, database: Database) -> None:
    consent_of(settings, "K-0", "a", read_at=6 * HOUR)
    consent_of(settings, "K-1", "b", read_at=9 * HOUR)
    consent_of(settings, "K-2", "c", read_at=HOUR)
    assert due_cells(database, 5 * HOUR, NOON).ready == ["cell-0001", "cell-0000"]

    consent_of(settings, "K-3", "d")  # never read
    assert due_cells(database, 5 * HOUR, NOON).ready == ["cell-0003", "cell-0001", "cell-0000"]


def test_an_account_that_another_cell_has_read_is_due_here_all_the_same(settings: Settings, database: Database) -> None:
    consent_of(settings, "K-0", "shared", read_at=HOUR)
    consent_of(settings, "K-1", "shared", read_at=9 * HOUR)
    assert due_cells(database, 5 * HOUR, NOON).ready == ["cell-0001"]


def test_the_run_of_a_cell_counts_its_own_reads_only(settings: Settings) -> None:
    consent_of(settings, "K-0", "shared", read_at=HOUR)
    stale = consent_of(settings, "K-1", "shared", read_at=9 * HOUR)
    with vault_of(of_consent(settings, stale)) as vault:
        chosen, others = due(vault, vault.consents(), 5 * HOUR, NOON)
    assert ([one.consent_id for one in chosen], others) == ([stale], [])


def test_what_a_run_has_to_finish_is_due_at_once_and_an_account_read_by_a_fast_clock_too(
    settings: Settings, database: Database
) -> None:
    ending = consent_of(settings, "K-0", "a", read_at=HOUR)
    consent_of(settings, "K-1", "b", read_at=-5 * HOUR)
    assert due_cells(database, 5 * HOUR, NOON).ready == ["cell-0001"]
    with vault_of(settings) as vault:
        vault.move(ending, "revoking", "asked for", NOON)
        assert due_cells(database, 5 * HOUR, NOON).ready == ["cell-0000", "cell-0001"]
        vault.move(ending, "revoked", "confirmed", NOON)
        assert due_cells(database, 5 * HOUR, NOON).ready == ["cell-0001"]
        vault.ask_erasure(ending, NOON)
    assert due_cells(database, 5 * HOUR, NOON).ready == ["cell-0000", "cell-0001"]


def test_a_consent_in_no_cell_or_beside_its_customer_is_found(settings: Settings, database: Database) -> None:
    own = consent_of(settings, "K-1")
    assert misplaced(database) == []
    database.write(sql.text("update consents set cell = 'cell-0002'"))
    assert misplaced(database) == [f"consent {own} is in cell-0002, its customer in cell-0000"]
    database.write(sql.text("update consents set cell = null, customer = null"))
    assert misplaced(database) == [f"consent {own} is in no cell"]


# ---- leases


def test_one_process_holds_a_cell_until_it_gives_it_back(database: Database) -> None:
    leases = Leases(database)
    lease = leases.taken("cell-0000")
    with pytest.raises(Busy, match="holds cell-0000"):
        leases.taken("cell-0000")
    assert leases.claim("cell-0001") is not None
    begun = leases.now()
    leases.end(lease, 4, "something")
    assert leases.claim("cell-0000", not_ended_since=begun) is None, "it was run meanwhile"
    assert leases.claim("cell-0000") is not None
    assert next((one.status, one.trouble) for one in cell_statuses(database)) == (4, "something")
    with pytest.raises(Failure, match="no cell cell-9999"):
        leases.taken("cell-9999")


def test_a_cell_is_taken_over_after_its_holders_patience_and_the_zombie_is_refused(database: Database) -> None:
    leases = Leases(database)
    zombie = leases.taken("cell-0000")
    time_passes(database)
    rightful = leases.taken("cell-0000")

    assert not leases.beat(zombie)
    with pytest.raises(LeaseLost):
        leases.adopted("cell-0000", zombie.token)
    with pytest.raises(LeaseLost):
        leases.swap(zombie, Placed("object", "digest"))
    leases.end(zombie, 1, "of the zombie")

    assert leases.adopted("cell-0000", rightful.token) == rightful
    assert next((one.object, one.status) for one in cell_statuses(database)) == (None, None)
    assert leases.swap(rightful, Placed("object", "digest")).version == 1


def test_a_version_that_was_seen_can_be_replaced_once(database: Database) -> None:
    leases = Leases(database)
    lease = leases.taken("cell-0000")
    after = leases.swap(lease, Placed("one", "digest"))
    with pytest.raises(LeaseLost):
        leases.swap(lease, Placed("two", "digest"))
    last = leases.swap(after, Placed("two", "digest"))
    assert (last.version, last.object, last.object_before) == (2, "two", "one")
    erased = leases.swap(last, Placed("three", "digest"), erasing=True)
    assert (erased.object_before, cell_statuses(database)[0].erased_version) == (None, 3)


def test_a_holder_that_gives_signs_of_life_keeps_its_cell(settings: Settings, database: Database) -> None:
    leases = Leases(database)
    lease = leases.taken("cell-0000")
    beaten = threading.Event()
    with closing(Database(Path("none"), settings.vault_url)) as another:
        watched = Leases(another)
        way = watched.beat
        watched.beat = lambda one: (way(one), beaten.set())[0]  # type: ignore[method-assign]
        time_passes(database)
        with beating(watched, lease, every=0.01):
            assert beaten.wait(patient(30))
            with pytest.raises(Busy):
                leases.taken("cell-0000")
