"""What the bank refuses is remembered until it is possible again, and spends nothing; what is asked of it when it is due."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql

from pipelines.consents.clients import kontomatik_client
from pipelines.consents.quota import NoneLeft, Quota
from pipelines.consents.sign_in import Opening, mock_opening
from pipelines.consents.tables import attempts
from pipelines.consents.vault import Vault
from pipelines.read.due import due
from sources.sandbox import CommandFails, Refuses, TooManyRequests, World
from tests.consents.customers import DIALECTS, VAULT_KEY, a_bank
from tests.consents.months import DAY, NOON, Month, a_consent

REFUSALS = {
    "named": lambda: Refuses(exception="MultipleAccessLimitExceeded", status=429, path_contains="reuse"),
    "nameless": lambda: TooManyRequests(times=None, retry_after=None, path_contains="reuse"),
}


USED_UP = "the bank says that its quota is used up"


@pytest.mark.parametrize("refusal", sorted(REFUSALS))
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_banks_refusal_is_remembered_until_its_next_possible_time_and_spends_nothing(
    tmp_path: Path, dialect: str, refusal: str
) -> None:
    with a_bank(World(transactions=6), dialect=dialect, imports_per_day=1000) as (bank, _):
        month = Month(bank, tmp_path)
        ours = month.vault.database.read(sql.select(sql.func.min(attempts.c.started_at)))[0][0]
        began = (datetime.fromisoformat(ours), min(at for times in month.seen.values() for at in times))
        bank.world.clock.advance(timedelta(hours=3))
        first, second = (one.consent_id for one in month.vault.consents())
        assert month.vault.quota.remaining(first, 4, month.now()).left == 2
        bank.faults.append(REFUSALS[refusal]())
        bank.requests.clear()

        for _ in range(3):
            reading = month.read()
            assert reading is not None
            result = [(one.status, one.reason) for one in reading.run.outcomes]
            tomorrow = [f"{moment + DAY:%Y-%m-%d %H:%M} UTC" for moment in began]
            assert result in [[("skipped", f"{USED_UP}; next possible at {moment}")] * 2 for moment in tomorrow]
            # both consents read the same account, and may both have been under way when the bank refused the first
            assert 1 <= bank.count("POST", "reuse") <= 2

        bank.faults.clear()
        bank.world.clock.advance(timedelta(hours=20, minutes=59))
        assert month.vault.quota.remaining(first, 4, month.now()).left == 0
        bank.world.clock.advance(timedelta(minutes=2))
        assert month.vault.quota.remaining(second, 4, month.now()).left == 4  # the two of the beginning are a day old
        again = month.read()
        assert again is not None
        assert len(again.answers) == 1
        month.vault.close()


def test_a_bank_that_names_its_pause_is_asked_after_it(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault.sqlite", VAULT_KEY)
    own = a_consent(vault).consent_id
    for wait, until in ((90.0, timedelta(seconds=90)), (1e7, DAY), (None, DAY)):
        vault.quota.note_refusal(own, NOON, wait)
        assert vault.quota.remaining(own, 4, NOON).next_at == NOON + until
        with pytest.raises(NoneLeft) as refused:
            vault.quota.begin_attempt(own, "reuse", None, NOON + until - timedelta(seconds=1), per_day=4)
        assert refused.value.by_bank
        assert vault.quota.remaining(own, 4, NOON + until).left == 4
    vault.close()


def test_of_two_reasons_to_wait_the_longer_counts(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault.sqlite", VAULT_KEY)
    own = a_consent(vault).consent_id
    for minutes in range(4):
        vault.quota.begin_attempt(own, "reuse", None, NOON + timedelta(minutes=minutes))
    now = NOON + timedelta(minutes=5)
    vault.quota.note_refusal(own, now, 60)
    assert vault.quota.remaining(own, 4, now) == Quota(0, NOON + DAY)
    vault.quota.note_refusal(own, now)
    assert vault.quota.remaining(own, 2, now) == Quota(0, NOON + DAY + timedelta(minutes=2))
    assert vault.quota.remaining(own, 5, now) == Quota(0, NOON + DAY, by_bank=True)
    vault.close()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_the_bank_refused_before_it_began_is_not_counted_and_what_it_may_have_begun_is(tmp_path: Path, dialect: str) -> None:
    with a_bank(World(transactions=6), dialect=dialect, imports_per_day=1000) as (bank, _):
        month = Month(bank, tmp_path)
        own = month.vault.consents()[0]
        bank.world.clock.advance(DAY)

        def left_after(*faults: Any) -> int:
            bank.faults[:] = faults
            before = month.vault.quota.remaining(own.consent_id, 1000, month.now()).left
            month.read([Opening(own)])
            return month.vault.quota.remaining(own.consent_id, 1000, month.now()).left - before

        reuse: dict[str, Any] = {"path_contains": "reuse"}
        assert left_after(Refuses(exception="InvalidSince", **reuse)) == 0
        assert left_after(Refuses(exception="", status=404, **reuse)) == 0
        assert left_after(Refuses(exception="ServiceMaintenance", **reuse)) == -1
        assert left_after(CommandFails(times=1)) == -1
        if dialect == "live":  # the reuse before it is what the bank counts
            assert left_after(Refuses(exception="InvalidSince", path_contains="default-import")) == -1
        month.vault.close()


def test_a_consent_is_due_when_its_last_import_is_exactly_so_long_ago(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault.sqlite", VAULT_KEY)
    own = a_consent(vault)
    vault.covers(own.consent_id, ["account"])
    vault.imported(own.consent_id, NOON)
    after = timedelta(hours=5)
    for now, chosen in ((NOON + after - timedelta(microseconds=1), False), (NOON + after, True)):
        found, others = due(vault, vault.consents(), after, now)
        assert (len(found), len(others)) == (int(chosen), int(not chosen))
    vault.close()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_one_day_more_is_asked_for_than_the_answer_claims(tmp_path: Path, dialect: str) -> None:
    """The bank may take the first day for excluded, and may compare it with either date of a row."""
    with a_bank(World(transactions=6), dialect=dialect, imports_per_day=1000) as (bank, _):
        month = Month(bank, tmp_path)
        reading = month.read()
        assert reading is not None
        (answer,) = reading.answers
        asked = {command.since for command in list(bank.kontomatik.commands.values())[2:]}
        assert answer.since == bank.world.clock.now().date() - timedelta(days=88), "by the day that began everywhere"
        assert asked == {answer.since - timedelta(days=1)}

        with kontomatik_client(month.settings, month.now) as client:
            openings = mock_opening(month.now, date(2026, 3, 1))(month.vault, client)
        month.read(openings)
        assert list(bank.kontomatik.commands.values())[-1].since == date(2026, 2, 28)
        month.vault.close()
