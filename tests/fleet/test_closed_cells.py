"""Months of a fleet's cell are closed for all machines, under its lease, and with the newest raw history."""

from datetime import timedelta
from pathlib import Path

from pipelines.commands.cell_change import changing
from pipelines.errors import FAILED, GOOD, Busy
from pipelines.fleet.cell_keeper import version_here
from pipelines.fleet.cells import fleet_of, of_customer
from pipelines.fleet.leases import Leases
from pipelines.read.options import utc_now
from pipelines.settings import Settings
from pipelines.store.raw_copy import opened
from sources.sandbox import World
from tests.fleet.scene import connect, run_cell
from tests.fleet.test_changed_cells import two_settings
from tests.fleet.test_whole_fleets import versions
from tests.support import VAULT_KEY, Ended, a_bank, command, rows


def whole(settings: Settings, cell: Path, *arguments: str) -> Ended:
    """Runs a command on a cell of a machine, with all that it builds."""
    fleet = settings.fleet
    environ = {
        "FLEET__CELLS": str(fleet.cells),
        "FLEET__FOLDER": str(fleet.folder),
        "FLEET__STORE": fleet.store or "",
        "PIPELINES__VAULT_URL": str(settings.vault_url),
        "PIPELINES__VAULT_KEY": VAULT_KEY,
        "PIPELINES__REPORT": "false",
    }
    return command(fleet.folder.parent, environ, *arguments, "--data-dir", str(cell))


def test_a_closed_month_of_a_cell_counts_on_every_machine_and_is_refused_while_another_process_has_it(
    postgresql: str, tmp_path: Path
) -> None:
    with a_bank(World(transactions=40), dialect="live") as bank:
        here, there = two_settings(bank, postgresql, tmp_path)
        connect(here, "K-1", "test2")
        assert run_cell(of_customer(there, "K-1")).status == "ok"
        assert run_cell(of_customer(here, "K-1")).status == "ok"
    own, other = (of_customer(settings, "K-1").data_dir for settings in (here, there))
    for settings, cell in ((here, own), (there, other)):
        assert whole(settings, cell, "transform").status == GOOD
    month = f"{(utc_now().date().replace(day=1) - timedelta(days=1)):%Y-%m}"
    close = ("close", "--month", month, "--allow-incomplete", "--json")
    with fleet_of(here) as database:
        leases = Leases(database)
        lease = leases.taken(own.name)
        refused = whole(here, own, *close)
        leases.end(lease)
    assert (refused.status, f"holds {own.name}" in refused.err) == (Busy.exit_status, True)

    closed = whole(here, own, *close)

    assert (closed.status, closed.err) == (GOOD, "")
    assert month in [one["month"] for one in closed.parsed["closed"]]
    assert versions(here)[0] == version_here(own)
    assert whole(here, own, "close", "--verify").status == GOOD
    behind = whole(there, other, "close", "--verify")
    assert (behind.status, f"{other.name} has an older raw history here" in behind.err) == (FAILED, True)

    again = whole(there, other, *close)

    assert (again.status, again.parsed["closed"]) == (GOOD, [])
    assert {one["month"] for one in again.parsed["already_closed"]} == {month}
    assert rows(other, "select count(*) from closings") == rows(own, "select count(*) from closings")
    verified = whole(there, other, "close", "--verify", "--json")
    assert (verified.status, verified.parsed["faults"]) == (GOOD, [])


def test_a_month_is_closed_with_what_the_newest_raw_history_of_the_cell_shows(postgresql: str, tmp_path: Path) -> None:
    """The ledger of this machine is older than the raw history that the command fetches."""
    with a_bank(World(transactions=40), dialect="live") as bank:
        here, there = two_settings(bank, postgresql, tmp_path)
        connect(here, "K-1", "test2")
    own, other = of_customer(here, "K-1"), of_customer(there, "K-1")
    assert whole(here, own.data_dir, "transform").status == GOOD
    ((transaction_id, day),) = rows(own.data_dir, "select transaction_id, booked_on from transactions order by booked_on limit 1")
    with changing(other, "rates"), opened(other.data_dir) as (history, publish):
        changed = "update kontomatik.transactions set amount = 123.45 where transaction_id = ?"
        history.connection.execute(changed, [transaction_id])
        publish()

    closed = whole(here, own.data_dir, "close", "--month", f"{day:%Y-%m}", "--allow-incomplete", "--json")

    assert closed.status == GOOD
    ((amount,),) = rows(own.data_dir, f"select amount from closed_transactions where transaction_id = '{transaction_id}'")
    assert (str(amount), rows(own.data_dir, "select count(*) from corrections")) == ("123.45", [(0,)])
