"""A vault that many processes use at once, and one with very many consents: quotas hold, and nothing waits for strangers."""

from collections import Counter
from collections.abc import Callable
from contextlib import closing, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql

from benchmarks.vault import NOW, cheapest, fill, steps
from pipelines.consents import database
from pipelines.consents.clients import vault_of
from pipelines.consents.database import VaultBroken
from pipelines.consents.kontist_login import KeptLogin, add_login, login_by
from pipelines.consents.quota import KEPT, WINDOW, NoneLeft
from pipelines.consents.tables import attempts
from pipelines.consents.vault import Vault
from pipelines.read import due
from pipelines.read.options import utc_now
from pipelines.settings import Settings
from tests.consents.customers import NOON, VAULT_KEY, add
from tests.consents.postgres import administer, empty_database
from tests.consents.racing import DAYS, together

SPENDING = 8
PER_DAY = 4
Place = Callable[[], tuple[Path, str | None]]


def test_eight_processes_that_spend_at_once_get_four_imports_of_each_account_and_all_end(place: Place) -> None:
    """Three consents share one account. Five more stand in a circle: each shares an account with the one before and after it."""
    path, url = place()
    with closing(Vault(path, VAULT_KEY, url=url)) as vault:
        accounts = {add(vault): ["shared", f"own-{number}"] for number in range(3)}
        ring = [add(vault) for _ in range(5)]
        accounts |= {own: [f"ring-{number}", f"ring-{(number + 1) % 5}"] for number, own in enumerate(ring)}
        for own, read in accounts.items():
            vault.covers(own, read)

        granted = [line.split() for line in together("spends", SPENDING, [(path, url)])]

        for day in range(DAYS):
            spent = Counter(account for on, own in granted if on == str(day) for account in accounts[own])
            assert (spent["shared"], max(spent.values())) == (PER_DAY, PER_DAY)
            left = [vault.quota.remaining(own, PER_DAY, NOON + timedelta(days=day)).left for own in accounts]
            assert left == [0] * 8


@pytest.mark.parametrize(("locked", "waits"), [("account shared", True), ("account another", False)])
def test_only_who_reads_the_same_account_waits(
    postgresql: str, monkeypatch: pytest.MonkeyPatch, locked: str, waits: bool
) -> None:
    """A process that counts one customer's imports holds up no other customer's."""
    monkeypatch.setattr(database, "PATIENCE", 0.1)
    url = empty_database(postgresql)
    with closing(Vault(Path("none"), VAULT_KEY, url=url)) as vault, closing(Vault(Path("none"), VAULT_KEY, url=url)) as other:
        own = add(vault)
        vault.covers(own, ["shared", "own"])
        with vault.database.transaction() as connection:
            vault.database.lock(connection, [locked])
            with pytest.raises(VaultBroken, match="busy: another process has held a lock") if waits else nullcontext():
                other.quota.begin_attempt(own, "reuse", None, NOON, per_day=PER_DAY)


def test_one_host_at_a_time_renews_a_login_that_several_share(
    postgresql: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The bank's old refresh token may be worthless after a renewal: who renews next must read the one that is stored by then."""
    monkeypatch.setattr(database, "PATIENCE", 0.1)
    url = empty_database(postgresql)
    hosts = [Settings(data_dir=tmp_path / name, vault_key=VAULT_KEY, vault_url=url) for name in ("a", "b")]
    with vault_of(hosts[0]) as vault, vault_of(hosts[1]) as other:
        login = add_login(vault, "token-1", datetime.now(UTC))
        kept, late = (
            KeptLogin(host, own, utc_now, login_by(host, "token-1"), login)
            for host, own in zip(hosts, (vault, other), strict=True)
        )
        for host in hosts:
            host.data_dir.mkdir()
        with kept.renewing() as token:
            assert token == "token-1"
            with pytest.raises(VaultBroken, match="busy"), late.renewing():
                pytest.fail("two renew at once")
            kept.keep("token-2")
        with late.renewing() as token:
            assert token == "token-2"


def test_locks_are_taken_in_one_order_whatever_the_order_of_their_names(postgresql: str) -> None:
    """Or two processes could wait for each other."""
    names = [f"account {number}" for number in range(5)]
    with closing(Vault(Path("none"), None, url=empty_database(postgresql))) as vault:
        orders: list[Any] = []
        sql.event.listen(vault.database._engine, "before_cursor_execute", lambda *about: orders.append(about[3]))
        with vault.database.transaction() as connection:
            vault.database.lock(connection, names)
            vault.database.lock(connection, [*reversed(names), names[0]])
    assert orders[0] == orders[1]
    assert len(orders[0]["keys"]) == 5


# ---- many consents


@pytest.fixture(scope="module")
def crowded(postgresql: str) -> Any:
    """Vaults with 1,000 and with 100,000 consents."""
    vaults = {}
    for count in (1_000, 100_000):
        vaults[count] = Vault(Path("none"), None, url=empty_database(postgresql))
        fill(vaults[count], count)
    yield vaults
    for vault in vaults.values():
        vault.close()


def test_no_step_of_one_customer_reads_all_consents(crowded: dict[int, Vault]) -> None:
    vault = crowded[100_000]
    customer = [vault.consent(f"c-{number}") for number in (50_000, 50_001)]
    sent: list[tuple[str, Any]] = []
    engine = vault.database._engine
    sql.event.listen(engine, "before_cursor_execute", lambda *about: sent.append((about[2], about[3])))
    vault.quota.begin_attempt("c-50000", "reuse", None, NOW, per_day=PER_DAY)
    vault.quota.note_refusal("c-70000", NOW)
    due.due(vault, customer, timedelta(hours=5), NOW)
    vault.quota.remove_old(NOW)
    asked = list(sent)
    plans = []
    with vault.database.session() as connection:
        for statement, values in asked:
            plan = "\n".join(row[0] for row in connection.exec_driver_sql(f"explain {statement}", values))
            plans.append(f"{statement}\n{plan}")
    assert len(plans) >= 12
    assert [plan for plan in plans if "Seq Scan on" in plan.replace("Seq Scan on refusals", "")] == []
    assert sum("Index Scan" in plan or "Index Only Scan" in plan for plan in plans) >= 6


def test_a_hundred_times_the_consents_cost_no_step_five_times_as_much(crowded: dict[int, Vault]) -> None:
    few, many = (steps(crowded[count], count) for count in (1_000, 100_000))
    for name in few:
        if name != "list all consents":
            assert cheapest(many[name]) < 5 * cheapest(few[name]), name


def test_which_consents_are_due_is_the_same_however_many_are_asked_for_at_once(
    crowded: dict[int, Vault], monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = crowded[1_000]
    some = vault.consents()[:50]
    vault.quota.note_command(vault.quota.begin_attempt(some[7].consent_id, "reuse", None, NOW), "command", NOW)
    at_once = due.due(vault, some, timedelta(hours=9), NOW)
    monkeypatch.setattr(due, "AT_ONCE", 7)
    assert due.due(vault, some, timedelta(hours=9), NOW) == at_once
    assert [one.consent_id for one in at_once[0]] == [some[7].consent_id]


# ---- old attempts


def test_attempts_are_removed_when_no_quota_counts_them_and_what_they_prove_stays(opens: Callable[..., Vault]) -> None:
    vault = opens()
    own = add(vault)
    vault.covers(own, ["account"])
    for hours in (0, 20, 47, 49):
        begun = vault.quota.begin_attempt(own, "reuse", None, NOON + timedelta(hours=hours), per_day=PER_DAY)
        vault.quota.end_attempt(begun, "done", NOON + timedelta(hours=hours))
        vault.imported(own, NOON + timedelta(hours=hours))
    later = NOON + timedelta(hours=50)
    trail, left = vault.trail(), vault.quota.remaining(own, PER_DAY, later)

    vault.age(later)

    began = sorted(row.started_at for row in vault.database.read(sql.select(attempts)))
    assert [one[8:13] for one in began] == ["02T08", "03T11", "03T13"]  # of noon on the first, nothing
    assert vault.quota.remaining(own, PER_DAY, later) == left
    assert (vault.trail(), vault.has_imported()) == (trail, True)
    assert vault.consent(own).last_import_at == NOON + timedelta(hours=49)
    vault.age(later + timedelta(days=9))
    assert vault.database.read(sql.select(attempts)) == []
    assert (vault.trail()[: len(trail)], vault.has_imported()) == (trail, True)


def test_a_clock_that_was_a_day_ahead_has_removed_no_attempt_that_counts(opens: Callable[..., Vault]) -> None:
    vault = opens()
    own = add(vault)
    for _ in range(PER_DAY):
        vault.quota.begin_attempt(own, "reuse", None, NOON, per_day=PER_DAY)
    vault.quota.remove_old(NOON + timedelta(hours=24))
    with pytest.raises(NoneLeft):
        vault.quota.begin_attempt(own, "reuse", None, NOON + timedelta(minutes=1), per_day=PER_DAY)


def test_an_attempt_that_can_be_resumed_is_there_after_old_ones_were_removed(opens: Callable[..., Vault]) -> None:
    vault = opens()
    own = add(vault)
    vault.quota.begin_attempt(own, "reuse", None, NOON - KEPT - timedelta(hours=1))
    vault.quota.note_command(vault.quota.begin_attempt(own, "reuse", None, NOON - WINDOW), "command-2", NOON - WINDOW)
    vault.quota.remove_old(NOON)
    found = vault.quota.unfinished(own, NOON)
    assert found is not None
    assert (found.command_id, vault.quota.tried(own)) == ("command-2", True)


def test_a_user_without_rights_and_a_server_that_takes_no_changes_are_named_with_what_to_do(
    postgresql: str, tmp_path: Path
) -> None:
    url = empty_database(postgresql)
    database.Database(tmp_path, url).close()
    standby = database.Database(tmp_path, f"{url}&options=-c%20default_transaction_read_only%3Don")
    administer(postgresql, "drop role if exists guest", "create role guest login")
    guest = database.Database(tmp_path, url.replace("//vault@", "//guest@"))

    with (
        closing(standby),
        pytest.raises(VaultBroken, match=r"\(ReadOnlySqlTransaction\)\. It takes no changes, as a standby does"),
    ):
        standby.write(attempts.delete())
    with closing(guest), pytest.raises(VaultBroken, match=r"\(InsufficientPrivilege\)\. Give the user .* all rights"):
        guest.write(attempts.delete())
