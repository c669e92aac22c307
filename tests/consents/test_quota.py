"""At most four imports of an account in any 24 hours and eight commands at once, whoever asks and whatever goes wrong."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.consents.quota import NoneLeft
from pipelines.consents.sign_in import Opening
from pipelines.consents.tables import attempts
from pipelines.consents.vault import Vault
from pipelines.read.command_slots import slot
from pipelines.read.options import Options
from sources.sandbox import CommandFails, CommandNeverEnds, DropsConnection, Refuses, World
from tests.consents.customers import (
    DIALECTS,
    VAULT_KEY,
    a_bank,
    connected,
    only_ben,
    outcome_of,
    read,
    settings_for,
    the_vault,
)
from tests.consents.months import DAY, NOON, Month, a_consent
from tests.patience import patient

FAULTS = {
    "nothing": list,
    "no answer": lambda: [DropsConnection(times=1, path_contains="/command/")],
    "half an answer": lambda: [DropsConnection(times=2, path_contains="default-import")],
    "failed": lambda: [CommandFails(times=1)],
    "too slow": lambda: [CommandNeverEnds(times=1)],
    "refused": lambda: [Refuses(times=1, exception="MultipleAccessLimitExceeded", path_contains="reuse")],
}
RUNS = st.lists(
    st.tuples(
        st.sampled_from([0.2, 1, 5.9, 6, 12, 23.9, 24, 25]),
        st.sampled_from(sorted(FAULTS)),
        st.integers(0, 3),
        st.sampled_from(["", "", "", "wait", "start_import", "reuse"]),
    ),
    min_size=60,
    max_size=60,
)


@pytest.mark.parametrize("dialect", DIALECTS)
@given(runs=RUNS)
@settings(max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_month_of_runs_and_failures_never_spends_a_fifth(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[float, str, int, str]], dialect: str
) -> None:
    with a_bank(World(transactions=12), dialect=dialect, imports_per_day=1000) as (bank, _):
        month = Month(bank, tmp_path_factory.mktemp("month"))
        for hours, fault, reserve, killed_in in runs:
            bank.world.clock.advance(timedelta(hours=hours))
            bank.faults[:] = FAULTS[fault]()
            month.read(reserve=reserve, killed_in=killed_in)
        assert month.most_in_a_day() <= 4
        asked = bank.count("POST", "reuse-multiple") + bank.count("POST", "default-import" if dialect == "openapi" else "nothing")
        month.vault.close()
        assert len(month.vault.database.read(sql.select(attempts))) >= asked
        month.vault.close()


def test_whoever_asks_at_the_same_moment_four_are_spent(tmp_path: Path) -> None:
    vault, again = Vault(tmp_path / "vault.sqlite", VAULT_KEY), Vault(tmp_path / "vault.sqlite", VAULT_KEY)
    consents = [a_consent(vault).consent_id for _ in range(3)]
    for consent_id in consents:
        vault.covers(consent_id, ["shared", consent_id])
    spent: list[str] = []
    start = threading.Barrier(12)

    def spend(number: int) -> None:
        start.wait()
        with suppress(NoneLeft):
            spent.append((vault, again)[number % 2].quota.begin_attempt(consents[number % 3], "reuse", None, NOON, per_day=4))

    threads = [threading.Thread(target=spend, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(spent) == 4
    vault.close()
    again.close()


@given(hours=st.lists(st.floats(0, 30, allow_nan=False), max_size=15), per_day=st.integers(0, 5))
@settings(max_examples=20)
def test_the_next_one_is_possible_when_it_is_said_and_not_before(
    tmp_path_factory: pytest.TempPathFactory, hours: list[float], per_day: int
) -> None:
    vault = Vault(tmp_path_factory.mktemp("vault") / "vault.sqlite", VAULT_KEY)
    own, now = a_consent(vault).consent_id, NOON
    begun = []
    for wait in hours:
        now += timedelta(hours=wait)
        with suppress(NoneLeft):
            vault.quota.begin_attempt(own, "reuse", None, now, per_day=per_day)
            begun.append(now)
        quota = vault.quota.remaining(own, per_day, now)
        assert 0 <= quota.left <= per_day
        assert (quota.next_at is None) == (quota.left > 0 or per_day == 0)
        if quota.next_at is not None:
            of_one_moment = begun.count(quota.next_at - DAY)
            assert vault.quota.remaining(own, per_day, quota.next_at).left == of_one_moment >= 1
            assert vault.quota.remaining(own, per_day, quota.next_at - timedelta(microseconds=1)).left == 0
    vault.close()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.usefixtures("quick")
def test_a_spent_quota_is_skipped_and_says_until_when(new_folder: Any, dialect: str) -> None:
    with a_bank(dialect=dialect) as (bank, _):
        only_ben(bank)
        config = settings_for(bank, new_folder())
        began = bank.world.clock.now()
        own = connected(bank, config)
        for _ in range(3):
            assert outcome_of(read(bank, config), own.consent_id).status == "complete"
        bank.requests.clear()

        report = read(bank, config)

        (only,) = report.outcomes
        assert (only.status, only.rows, report.exit_status, report.status) == ("skipped", 0, 0, "ok")
        assert only.reason.startswith("all 4 imports of the last 24 hours are used; next possible at ")
        until = datetime.strptime(only.reason[-20:], "%Y-%m-%d %H:%M UTC").replace(tzinfo=UTC)
        assert timedelta() <= until - began.replace(second=0, microsecond=0) - DAY <= timedelta(minutes=2)
        assert bank.requests == []
        bank.world.clock.advance(DAY)
        assert outcome_of(read(bank, config), own.consent_id).status == "complete"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.usefixtures("quick")
def test_the_banks_own_count_may_be_stricter_and_is_no_failure(new_folder: Any, dialect: str) -> None:
    """Another company that reads the same account spends of its imports too."""
    with a_bank(dialect=dialect, imports_per_day=2) as (bank, _):
        only_ben(bank)
        config = settings_for(bank, new_folder())
        own = connected(bank, config)
        assert read(bank, config).status == "ok"

        report = read(bank, config)

        (only,) = report.outcomes
        assert (only.status, report.exit_status) == ("skipped", 0)
        assert only.reason.startswith("the bank says that its quota is used up; next possible at ")
        with the_vault(config) as vault:
            assert vault.consent(own.consent_id).status == "active"
            quota = vault.quota.remaining(own.consent_id, 4, bank.world.clock.now())
            assert (quota.left, quota.by_bank) == (0, True)


@pytest.mark.usefixtures("quick")
def test_people_keep_what_is_reserved(new_folder: Any) -> None:
    with a_bank() as (bank, _):
        only_ben(bank)
        config = settings_for(bank, new_folder())
        connected(bank, config)
        assert read(bank, config, Options(("kontomatik",), reserve=2)).banks[0].imports == 1
        kept = read(bank, config, Options(("kontomatik",), reserve=2))
        assert (kept.outcomes[0].status, kept.exit_status, kept.banks[0].imports) == ("skipped", 0, 0)
        assert (
            "the last 2 of 4 imports in 24 hours are reserved for manual use (--reserve); next possible"
            in kept.outcomes[0].reason
        )
        assert read(bank, config).banks[0].imports == 1


@pytest.mark.usefixtures("quick")
def test_two_consents_of_one_account_share_its_imports(new_folder: Any) -> None:
    with a_bank(imports_per_day=1000) as (bank, _):
        config = settings_for(bank, new_folder())
        connected(bank, config)
        connected(bank, config)

        assert [one.status for one in read(bank, config).outcomes].count("complete") == 6
        report = read(bank, config)
        assert ([one.status for one in report.outcomes], report.exit_status) == (["skipped", "skipped"], 0)


@pytest.mark.usefixtures("quick")
def test_a_vault_that_cannot_be_opened_spends_nothing(new_folder: Any) -> None:
    """Or the fifth run with a wrong key would say `skipped`, and nobody would look."""
    with a_bank() as (bank, _):
        only_ben(bank)
        config = settings_for(bank, new_folder())
        own = connected(bank, config)
        wrong = settings_for(bank, config.data_dir, vault_key="YW5vdGhlci12YXVsdC1rZXktZm9yLXRlc3RzLTAwMDA=")
        for _ in range(5):
            report = read(bank, wrong)
            assert (report.outcomes[0].status, report.exit_status) == ("failed", 1)
            assert "cannot be opened with this vault key" in report.outcomes[0].reason
        with the_vault(config) as vault:
            assert vault.quota.remaining(own.consent_id, 4, bank.world.clock.now()).left == 3


def test_no_more_commands_at_once_than_there_are_slots(tmp_path: Path) -> None:
    running, most, lock = 0, 0, threading.Lock()
    never, all_taken = threading.Event(), threading.Event()

    def work() -> None:
        nonlocal running, most
        with slot(tmp_path, 8, sleep=lambda _: never.wait(0.01) and None):
            with lock:
                running += 1
                most = max(most, running)
                if running == 8:
                    all_taken.set()
            all_taken.wait(patient(30))
            never.wait(0.02)  # a ninth would come meanwhile
            with lock:
                running -= 1

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 8


def test_slots_are_shared_with_other_processes_and_come_back_from_dead_ones(tmp_path: Path) -> None:
    holder = (
        "import sys; from contextlib import ExitStack; from pathlib import Path; from pipelines.read.command_slots import slot\n"
        "with ExitStack() as stack:\n"
        "    held = [stack.enter_context(slot(Path(sys.argv[1]), 8)) for _ in range(8)]\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    with a_process(holder, str(tmp_path)) as process:
        assert process.stdout.readline() == "held\n"
        waits: list[float] = []

        def waited(seconds: float) -> None:
            waits.append(seconds)
            process.kill()
            process.wait()

        with slot(tmp_path, 8, sleep=waited) as number:
            assert (number, len(waits)) == (0, 1)


def test_the_stalest_is_read_first_and_a_fresh_sign_in_before_all(tmp_path: Path) -> None:
    """Of those that were read at the same time, the one that ends first."""
    from pipelines.read.kontomatik import _urgency
    from sources.kontomatik.results import Session

    vault = Vault(tmp_path / "vault.sqlite", VAULT_KEY)
    fresh, stale, never, ends_first = (a_consent(vault, NOON - timedelta(days=days)) for days in (1, 2, 3, 9))
    for consent, days in ((fresh, 0), (stale, 80), (ends_first, 0)):
        vault.imported(consent.consent_id, NOON - timedelta(days=days))
    signed_in = a_consent(vault)
    openings = [Opening(vault.consent(one.consent_id)) for one in (fresh, stale, never, ends_first)]
    openings.append(Opening(signed_in, Session("1", "2")))

    found = [one.consent.consent_id for one in sorted(openings, key=_urgency)]
    assert found == [one.consent_id for one in (signed_in, never, stale, ends_first, fresh)]
    vault.close()


@contextmanager
def a_process(code: str, *arguments: str) -> Iterator[Any]:
    import subprocess
    import sys

    from tests.forks import ROOT

    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
