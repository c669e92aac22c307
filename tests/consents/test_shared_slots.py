"""Eight commands at once over all processes and hosts that share a vault in PostgreSQL, whoever is killed or cut off."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql

from pipelines.consents.database import Database, VaultBroken
from pipelines.consents.vault import Vault
from pipelines.read.shared_slots import SharedSlots
from sources.sandbox import Fault, SandboxBank
from sources.sandbox.banks.wire import Answer, Call
from tests.consents.customers import a_bank, add, connected, only_ben, outcome_of, read, settings_for, the_vault
from tests.consents.postgres import away, empty_database
from tests.consents.racing import ROOT
from tests.patience import patient
from tests.support import VAULT_KEY, command

KEY = "the client's key"


def never(_: float) -> None:
    """In place of waiting, where a slot is free."""
    pytest.fail("no slot was free")


@pytest.fixture
def url(postgresql: str) -> str:
    """The address of an empty database."""
    return empty_database(postgresql)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """An empty vault's database."""
    with closing(Database(Path("none"), url)) as opened:
        yield opened


def locks(database: Database) -> int:
    """The advisory locks that are held in this database."""
    held = "select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname ="
    with database.reading() as connection:
        return int(connection.exec_driver_sql(f"{held} current_database())").scalar_one())


def cut_off(database: Database) -> None:
    """Ends every other session, as a server does that is started again."""
    others = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    with database.session() as session:
        session.execute(sql.text(f"select pg_terminate_backend(pid, 5000) {others}"))


def test_of_24_processes_eight_hold_a_slot_and_killed_ones_give_theirs_back_within_a_second(url: str) -> None:
    run = [sys.executable, "-m", "tests.consents.taking_slots", url]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=patient(100), check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert (found["most"], found["killed"], found["failed"]) == (8, 16, 0)
    assert max(found["waits"]) < patient(1)


def test_the_threads_of_a_process_hold_their_slots_in_one_session_which_ends_with_the_last(database: Database) -> None:
    slots = SharedSlots(database, KEY, 8, sleep=lambda _: never.wait(0.01) and None)
    never, all_taken, guard = threading.Event(), threading.Event(), threading.Lock()
    running, most, numbers = 0, 0, set()

    def work() -> None:
        nonlocal running, most
        with slots.slot() as number:
            with guard:
                running += 1
                most = max(most, running)
                numbers.add(number)
                if running == 8:
                    assert locks(database) == 8
                    all_taken.set()
            all_taken.wait(patient(30))
            never.wait(0.02)  # a ninth would come meanwhile
            with guard:
                running -= 1

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, numbers, locks(database), slots._session) == (8, set(range(8)), 0, None)


def test_another_client_of_the_bank_has_slots_of_its_own(database: Database) -> None:
    others = SharedSlots(database, "another client's key", 1, sleep=never)
    with SharedSlots(database, KEY, 1, sleep=never).slot() as mine, others.slot() as other:
        assert (mine, other, locks(database)) == (0, 0, 2)


def test_a_slot_is_waited_for_until_another_process_gives_it_back(database: Database, url: str) -> None:
    waits: list[float] = []
    with closing(Database(Path("none"), url)) as another:
        held = SharedSlots(another, KEY, 1).slot()
        held.__enter__()

        def waited(seconds: float) -> None:
            waits.append(seconds)
            held.__exit__(None, None, None)

        with SharedSlots(database, KEY, 1, sleep=waited).slot():
            assert (len(waits), locks(database)) == (1, 1)


def test_who_is_cut_off_goes_on_and_has_its_slots_again_with_the_next_one(database: Database, url: str) -> None:
    slots = SharedSlots(database, KEY, 3, sleep=never)
    with closing(Database(Path("none"), url)) as another:
        with slots.slot(), slots.slot():
            cut_off(database)
            assert locks(another) == 0
            with SharedSlots(another, KEY, 3, sleep=never).slot() as taken, slots.slot() as number:
                assert (taken, number) == (0, 2)
                assert locks(another) == 3  # of its own two, the one that nobody has taken meanwhile
            cut_off(another)
        assert (locks(another), slots._session) == (0, None)


def test_a_database_that_is_away_is_reported_before_the_slot_and_later_ones_work(database: Database, postgresql: str) -> None:
    slots = SharedSlots(database, KEY, 8, sleep=never)
    sentence = r"cannot be used \(OperationalError\)\. Check that its"
    with away(database, postgresql), pytest.raises(VaultBroken, match=sentence), slots.slot():
        pytest.fail("nobody has given a slot")
    with slots.slot() as number:
        assert number == 0


def test_a_vault_goes_on_when_its_server_was_started_again(postgresql: str) -> None:
    url = empty_database(postgresql)
    with closing(Vault(Path("none"), VAULT_KEY, url=url)) as vault, closing(Database(Path("none"), url)) as another:
        own = add(vault)
        cut_off(another)
        assert vault.consent(own).status == "active"


# ---- runs


@dataclass(eq=False)
class AtRequest(Fault):
    """Does something when the bank gets such a request."""

    method: str = "GET"
    do: Callable[[], Any] = lambda: None

    def before(self, call: Call, bank: SandboxBank, /) -> Answer | None:
        if call.method == self.method and self.path_contains in call.path and self.take():
            self.do()
        return None


@pytest.mark.usefixtures("quick")
def test_an_import_holds_a_slot_of_the_database_and_no_file(database: Database, url: str, new_folder: Any) -> None:
    seen: list[int] = []
    with a_bank() as (bank, _):
        only_ben(bank)
        config = settings_for(bank, new_folder(), vault_url=url)
        bank.faults[:] = [AtRequest(method="POST", path_contains="import", do=lambda: seen.append(locks(database)))]
        connected(bank, config)
    assert (seen, locks(database), (config.data_dir / "commands").exists()) == ([1], 0, False)


@pytest.mark.parametrize(("method", "spent"), [("POST", 3), ("GET", 2)])
@pytest.mark.usefixtures("quick")
def test_a_database_that_stops_during_an_import_ends_the_run_and_nothing_is_lost_or_spent_twice(
    database: Database, url: str, postgresql: str, new_folder: Any, method: str, spent: int
) -> None:
    """After the bank was asked its answer may be lost, which counts; once the command is on record it is resumed."""
    with a_bank() as (bank, _):
        only_ben(bank)
        config = settings_for(bank, new_folder(), vault_url=url)
        own = connected(bank, config)
        stopped = away(database, postgresql)
        bank.faults[:] = [AtRequest(times=1, method=method, path_contains="/command/", do=stopped.__enter__)]

        with pytest.raises(VaultBroken, match=r"cannot be used \(OperationalError\)\. .*nothing is lost") as failed:
            read(bank, config)

        assert failed.value.exit_status == 1
        stopped.__exit__()
        assert outcome_of(read(bank, config), own.consent_id).status == "complete"
        asked = bank.count("POST", "reuse-multiple") + bank.count("POST", "default-import")
        with the_vault(config) as vault:
            left = vault.quota.remaining(own.consent_id, 4, bank.world.clock.now()).left
        assert (asked, left) == (spent, 4 - spent)


@pytest.mark.parametrize("arguments", [("run",), ("consents", "list"), ("status",)])
def test_commands_name_a_database_that_is_away_without_its_password_and_without_a_trace(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    environ = {
        "PIPELINES__VAULT_URL": f"postgresql+psycopg://vault:pass-4711@/vault?host={tmp_path}",
        "PIPELINES__VAULT_KEY": VAULT_KEY,
        "SOURCES__KONTOMATIK__API_KEY": "key",
    }
    done = command(tmp_path, environ, *arguments)
    said = done.out + done.err
    assert done.status == 1
    assert "The vault's database cannot be used (OperationalError)" in said
    assert "pass-4711" not in said
    assert "Traceback" not in said
