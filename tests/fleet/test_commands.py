"""The commands of a fleet as they are typed, and an installation without one, which notices nothing of it."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.consents.clients import vault_of
from pipelines.consents.database import Database
from pipelines.consents.tables import cells
from pipelines.errors import WrongUsage
from pipelines.fleet.cells import cell_statuses, fleet_of, of_customer
from pipelines.fleet.digest import send_digest
from pipelines.fleet.leases import Leases
from pipelines.notify import channels
from pipelines.notify.dispatch import dispatch_notices
from pipelines.notify.notices import Notice
from pipelines.notify.outbox import Outbox
from pipelines.read.options import Options, utc_now
from pipelines.run.steps import Run
from pipelines.settings import FleetSettings, KontistSettings, NotificationSettings, Settings
from sources.sandbox import World
from tests.consents.customers import NOON
from tests.fleet.scene import HOUR, consent_of, lighter, run_cell
from tests.notify.receivers import a_notice
from tests.support import AUTUMN, Ended, a_bank, begun_anew, command, ended, environment


def typed(settings: Settings, *arguments: str, **more: str) -> Ended:
    """Runs a command in a fork with these settings."""
    fleet = settings.fleet
    ours = {"FLEET__CELLS": str(fleet.cells), "FLEET__FOLDER": str(fleet.folder), "FLEET__STORE": fleet.store or ""}
    ours |= {"PIPELINES__VAULT_URL": str(settings.vault_url), "PIPELINES__VAULT_KEY": str(settings.vault_key)}
    folder = fleet.folder.parent
    folder.mkdir(exist_ok=True)
    return command(folder, ours | more, *arguments, inside=lighter_as_it_is)


def lighter_as_it_is() -> None:
    """In a fork: raw history is loaded without dlt, and no ledger is built."""
    lighter(None)


def test_a_customer_is_connected_imported_shown_checked_and_erased_by_commands(settings: Settings) -> None:
    with a_bank(World(transactions=60), dialect="live") as bank:
        theirs = environment(bank, SOURCES__KONTIST__EMAIL="", SOURCES__KONTIST__PASSWORD="")
        kept = replace(settings, fleet=replace(settings.fleet, store=f"file://{settings.fleet.folder.parent}/store"))
        connected = typed(kept, "connect", "kontomatik", "--mock", "--login", "test2", "--customer", "K-4711", "--json", **theirs)
        assert (connected.status, connected.err) == (0, "")
        (cell,) = [one for one in typed(kept, "fleet", "status", "--json").parsed["cells"] if one["customers"]]
        assert (cell["cell"], cell["version"], cell["holder"]) == ("cell-0000", 1, None)
        checked = typed(kept, "fleet", "check")
        assert (checked.status, checked.out) == (0, "Checked 4 cells, 1 object, 0 ledgers on this machine: 0 findings.\n")
        with vault_of(kept) as vault:
            (consent,) = vault.consents()
        listed = typed(kept, "consents", "list", "--customer", "K-4711", "--json").parsed
        assert (listed["cell"], [one["consent_id"] for one in listed["consents"]]) == ("cell-0000", [consent.consent_id])
        unknown = typed(kept, "consents", "list", "--customer", "K-4712")
        assert (unknown.status, "There is no customer K-4712" in unknown.err) == (2, True)
        status = typed(kept, "status")
        assert "is missing" not in status.out  # each cell has a raw history, and `pipelines.data_dir` none
        erased = typed(kept, "consents", "erase", consent.consent_id, "--yes", **theirs)
        assert (erased.status, "the next `fleet run` does it in cell-0000" in erased.out) == (0, True)
        refused = typed(kept, "consents", "erase", consent.consent_id, "--cancel", **theirs)
        assert (refused.status, "cannot be withdrawn any more" in refused.err) == (2, True)
        assert typed(kept, "fleet", "status", "--json").parsed["due"] == ["cell-0000"]
        assert run_cell(of_consent_settings(kept, bank)).notes != []
        with vault_of(kept) as vault:
            assert [one.status for one in vault.consents()] == ["erased"]
        for gone in (kept.fleet.folder.parent / "store" / "cell-0000").iterdir():
            gone.unlink()
        away = {"FLEET__LAKE": "postgresql+psycopg://reader@127.0.0.1:1/lake", "FLEET__LAKE_DATA": "lake"}
        missing = typed(kept, "fleet", "check", **away)
        assert (missing.status, "is not in the store" in missing.out) == (3, True)
        assert "the lake could not be compared" in missing.out


def of_consent_settings(settings: Settings, bank: Any) -> Settings:
    """Returns the settings of the first cell, for this bank."""
    from tests.support import settings_for

    own = settings_for(bank, settings.fleet.folder / "cell-0000")
    return replace(settings, data_dir=own.data_dir, kontomatik=own.kontomatik)


def test_status_names_who_is_at_work_and_whose_run_failed(settings: Settings) -> None:
    with fleet_of(settings) as database:
        leases = Leases(database)
        leases.end(leases.taken("cell-0001"), 1, "The disk is full.")
        held = leases.taken("cell-0002")
        shown = typed(settings, "fleet", "status")
        parsed = typed(settings, "fleet", "status", "--json").parsed["cells"][1]
        leases.end(held)
        retry_at = cell_statuses(database)[1].retry_at
    first, at_work, failed, again = shown.out.splitlines()
    assert retry_at is not None
    minute = f"{retry_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    assert again == f"  failed once, runs again from {minute} on (at once: `fleet run --cell cell-0001`)"
    assert (parsed["failures"], datetime.fromisoformat(parsed["retry_at"])) == (1, retry_at)
    assert first == "4 cells, 0 customers; 0 due, 1 at work."
    assert at_work.startswith("- cell-0002: ")
    assert "; last sign of life " in at_work
    assert failed.startswith("! cell-0001: its run of ")
    assert failed.endswith("ended with 1: The disk is full.")


def test_a_fleet_with_nothing_due_runs_nothing_and_grows_by_init(settings: Settings) -> None:
    ran = typed(settings, "fleet", "run", "--due", "90m", "--at-most", "3")
    assert (ran.status, ran.out) == (0, "0 cells due, 0 run here, 0 with trouble.\n")
    grown = typed(settings, "fleet", "init", FLEET__CELLS="6")
    assert (grown.status, grown.out) == (0, "The fleet has 6 cells; 2 made now.\n")
    with fleet_of(settings) as database:
        assert len(cell_statuses(database)) == 6


def test_a_vault_without_cells_is_refused_since_it_may_be_another_one(settings: Settings, database: Database) -> None:
    database.write(cells.delete())
    for action in ("run", "status"):
        refused = typed(settings, "fleet", action)
        assert (refused.status, "no cells yet" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("connect", "kontomatik", "--mock"), "Give --customer"),
        (("connect", "kontist", "--customer", "K-1"), "A fleet does not read Kontist"),
        (("run",), "Use `python -m pipelines fleet run`"),
        (("fleet",), "`fleet` needs an action"),
        (("fleet", "run", "--due", "5"), "not a span of time"),
        (("fleet", "run", "--at-most", "0"), "not a whole number from 1 to 64"),
        (("fleet", "run", "--cell", "cell-9999"), "There is no cell 'cell-9999'"),
    ],
)
def test_what_a_fleet_does_not_do_is_refused_with_the_way_to_do_it(
    settings: Settings, arguments: tuple[str, ...], sentence: str
) -> None:
    refused = typed(settings, *arguments, SOURCES__KONTOMATIK__API_KEY="key")
    assert (refused.status, sentence in refused.err) == (2, True), refused.err


def test_a_cell_is_run_under_its_lease_only_and_never_reads_the_login_of_the_settings(settings: Settings) -> None:
    cell = of_customer(settings, "K-1")
    with pytest.raises(WrongUsage, match="fleet run"), Run(cell, Options(("kontomatik",))):
        pytest.fail("nobody holds the lease")
    with_login = replace(cell, kontist=KontistSettings(email="a@b.example", password="secret"))

    class Keeper:
        def keep(self, *, erasing: bool = False) -> None:
            pytest.fail("nothing is read")

    with pytest.raises(WrongUsage, match="login at Kontist"), Run(with_login, Options(), keeper=Keeper()):
        pytest.fail("the login was taken")


# ---- notices


def test_a_fleet_sends_one_digest_of_the_new_notices_of_all_cells_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[Notice] = []
    works = False

    def send(notice: Notice) -> bool:
        received.append(notice)
        return works

    monkeypatch.setattr(channels, "_configured", lambda _: iter([("pager", "urls", lambda _setting: send)]))
    notified = replace(settings, notifications=NotificationSettings(urls="json://somebody"))
    for number in range(3):
        Outbox(settings.fleet.folder / f"cell-000{number}").put([a_notice(f"account-{number}")], NOON)
    cells = [f"cell-000{number}" for number in range(4)]

    failed = send_digest(notified, cells, NOON)
    works = True
    sent = send_digest(notified, [], NOON)
    again = send_digest(notified, cells, NOON + HOUR)

    assert (failed.delivery.waiting, sent.delivery.sent, again.delivery.sent) == ({"pager": 3}, {"pager": 3}, {})
    assert len(received) == 2
    assert (received[1].subject, received[1].payload) == ("3 notices of the fleet", {"notices": 3, "kinds": "hole ×3"})
    for number in range(3):
        assert f"cell-000{number}: About account-{number}\nThis happened to account-{number}." in received[1].text

    Outbox(settings.fleet.folder / "cell-0000").put([a_notice("another")], NOON)
    assert send_digest(notified, cells, NOON).delivery.sent == {"pager": 1}


def test_the_run_of_a_cell_keeps_its_notices_and_sends_none(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(notice: Notice) -> bool:
        pytest.fail(f"sent: {notice.subject}")

    monkeypatch.setattr(channels, "_configured", lambda _: iter([("pager", "urls", lambda _setting: never)]))
    own = consent_of(settings, "K-1", "a", read_at=HOUR)  # of March: it has ended since
    cell = replace(of_customer(settings, "K-1"), notifications=NotificationSettings(urls="json://somebody"))
    with vault_of(cell) as vault:
        vault.move(own, "revoking", "asked for", utc_now())
        vault.move(own, "revoked", "confirmed by the bank", utc_now())
    whole = replace(cell, data_dir=settings.data_dir)
    assert dispatch_notices(whole, utc_now).fresh == []
    assert not settings.data_dir.exists()
    done = dispatch_notices(cell, utc_now)
    assert ([notice.kind for notice in done.fresh], done.delivery.sent, done.trouble) == (["consent.revoked"], {}, None)


# ---- without a fleet


def test_without_a_fleet_nothing_of_it_is_imported_and_no_other_file_is_made(tmp_path: Path) -> None:
    named = {"PYTHONPROFILEIMPORTTIME": "1", "SOURCES__KONTIST__PASSWORD": "wrong", "SOURCES__KONTOMATIK__API_KEY": ""}
    with a_bank(World(today=AUTUMN)) as bank:
        run = ended(begun_anew(tmp_path, environment(bank, **named), "run", "--json"))
    imported = {line.rpartition("|")[2].strip() for line in run.err.splitlines() if line.startswith("import time:")}

    assert run.parsed["sources"]["kontist"]["errors"]
    assert "pipelines.notify.dispatch" in imported
    assert [name for name in imported if name.startswith(("pipelines.fleet", "s3fs"))] == []
    assert {path.name for path in (tmp_path / "data").iterdir()} == {
        *("clock.json", "dlt", "raw.duckdb", "run.last.json", "run.lock", "runs.jsonl")
    }


def test_a_customer_without_a_fleet_is_refused_and_fleet_says_what_is_missing(tmp_path: Path) -> None:
    own = {"SOURCES__KONTOMATIK__API_KEY": "key"}
    refused = command(tmp_path, own, "connect", "kontomatik", "--mock", "--customer", "K-1")
    assert (refused.status, "--customer is for a fleet" in refused.err) == (2, True)
    refused = command(tmp_path, own, "fleet", "run")
    assert (refused.status, "the setting fleet.cells is 0" in refused.err) == (2, True)
    assert Settings().fleet == FleetSettings()
    assert Settings().cell is None
