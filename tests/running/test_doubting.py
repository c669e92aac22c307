"""A bank that suddenly shows nothing is not believed at once."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from pipelines.errors import WrongUsage
from pipelines.run import Options
from pipelines.sandbox import EmptyAnswer, World
from tests.end_to_end.banking import a_bank, account_id, assert_the_ledger_is_the_world, ledger_totals, read, rows
from tests.running.histories import Raw, kontist

TEN = [kontist(n, f"2026-03-{n:02d}", n) for n in range(10, 0, -1)]


@pytest.mark.parametrize(
    ("left", "doubted"),
    [
        (TEN[:5], False),  # five of ten: a handful
        (TEN[:4], True),  # six of ten
        ([], True),
    ],
)
def test_more_than_a_handful_and_a_fifth_is_doubted(ids: Raw, left: list, doubted: bool) -> None:  # type: ignore[type-arg]
    ids.read({"A": TEN})
    cursors = ids.cursors()["accounts"]
    ids.read({"A": left})

    assert ids.outcomes["A"].status == ("doubted" if doubted else "complete")
    assert len(ids.current("transaction_id")) == (10 if doubted else len(left))
    assert (ids.cursors()["accounts"] == cursors) is doubted


def test_a_handful_that_is_all_there_was_is_doubted(ids: Raw) -> None:
    ids.read({"A": [*TEN[:2], kontist(0, "2026-01-01", 1)]})
    ids.read({"A": []}, "2026-03-01")

    assert ids.outcomes["A"].status == "doubted"
    assert ids.outcomes["A"].reason is not None
    assert "2 of 2 booked rows" in ids.outcomes["A"].reason


def test_six_of_many_are_believed(ids: Raw) -> None:
    many = [kontist(100 + n, "2026-02-01", n) for n in range(30)]
    ids.read({"A": TEN + many})
    ids.read({"A": TEN[6:] + many})

    assert ids.outcomes["A"].status == "complete"
    assert ids.outcomes["A"].counts.removed == 6


def test_reservations_may_vanish_as_they_like(ids: Raw) -> None:
    held = [kontist(100 + n, "2026-03-10", n, pending=True) for n in range(30)]
    ids.read({"A": held + TEN})
    ids.read({"A": TEN})

    assert ids.outcomes["A"].status == "complete"
    assert len(ids.current("transaction_id")) == 10


def test_what_is_new_waits_with_what_is_doubted(ids: Raw) -> None:
    ids.read({"A": TEN, "B": TEN[:1]})
    ids.read({"A": [kontist(11, "2026-03-11", 1)], "B": [kontist(12, "2026-03-12", 1), TEN[0]]})

    assert ids.outcomes["A"].status == "doubted"
    assert ("11",) not in ids.current("source_transaction_id")
    assert ids.outcomes["B"].counts.new == 1


def test_three_reads_over_a_day_are_believed(ids: Raw) -> None:
    ids.read({"A": TEN})
    statuses = []
    for _ in range(4):  # eight hours apart
        ids.read({"A": TEN[:2]})
        statuses.append(ids.outcomes["A"].status)

    assert statuses == ["doubted", "doubted", "doubted", "complete"]
    assert len(ids.current("transaction_id")) == 2
    assert ids.cursors()["doubts"] == {}


def test_three_reads_within_hours_are_not(ids: Raw) -> None:
    ids.read({"A": TEN})
    for _ in range(4):
        ids.clock -= timedelta(hours=7)
        ids.read({"A": TEN[:2]})

    assert ids.outcomes["A"].status == "doubted"


def test_another_answer_starts_the_waiting_anew(ids: Raw) -> None:
    ids.read({"A": TEN})
    for left in (TEN[:2], TEN[:2], TEN[:2], TEN[:3]):
        ids.read({"A": left})

    assert ids.outcomes["A"].status == "doubted"
    assert len(ids.current("transaction_id")) == 10


def test_a_bank_that_comes_to_its_senses_is_believed_at_once(ids: Raw) -> None:
    ids.read({"A": TEN})
    ids.read({"A": []})
    ids.read({"A": TEN})

    assert ids.outcomes["A"].status == "complete"
    assert ids.cursors()["doubts"] == {}


def test_an_empty_account_stays_in_the_ledger_until_somebody_accepts_it(tmp_path: Path) -> None:
    world = World(today=date(2024, 10, 25))
    with a_bank(world, dialect="live") as bank:
        read(bank, tmp_path)
        before = ledger_totals(tmp_path)
        tram, card = world.account("4711"), world.account("Konto Start")
        bank.faults.append(EmptyAnswer(account=tram.key))
        bank.faults.append(EmptyAnswer(account=card.key))
        world.append("4712", amount="1.00")
        report = read(bank, tmp_path)

        assert (report.exit_status, report.status) == (4, "partial")
        doubted = {outcome.account_id: outcome.reason or "" for outcome in report.outcomes if outcome.troubled}
        assert set(doubted) == {account_id(tmp_path, tram), account_id(tmp_path, card)}
        count = before["kontist", tram.key].booked_count
        assert f"{count} of {count} booked rows" in doubted[account_id(tmp_path, tram)]
        found = ledger_totals(tmp_path)
        assert {key: found[key] for key in found if key[1] != world.account("4712").key} == {
            key: before[key] for key in before if key[1] != world.account("4712").key
        }
        assert (
            found["kontist", world.account("4712").key].booked_count
            == before["kontist", world.account("4712").key].booked_count + 1
        )

        bank.requests.clear()
        with pytest.raises(WrongUsage, match="no account"):
            read(bank, tmp_path, Options(accept_removals=("kontist:0000000000000000",)))
        assert bank.count("POST", "reuse-multiple-access") == 0, "a slip of the hand costs no import"

        report = read(bank, tmp_path, Options(accept_removals=(account_id(tmp_path, tram),)))
        assert [outcome.account_id for outcome in report.outcomes if outcome.troubled] == [account_id(tmp_path, card)]
        assert ledger_totals(tmp_path)["kontist", tram.key].booked_count == 0
        removed = (
            f"select count(*) from transaction_history where change = 'removed' and account_id = '{account_id(tmp_path, tram)}'"
        )
        assert rows(tmp_path, removed) == [(count + before["kontist", tram.key].pending_count,)]

        bank.faults.clear()
        assert read(bank, tmp_path, Options(full_refresh=True)).exit_status == 0
        assert_the_ledger_is_the_world(tmp_path, bank)
