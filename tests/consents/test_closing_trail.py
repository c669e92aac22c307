"""The trail of closed months: only ever added to, a chain, and whole without the figures of erased accounts."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sql

from pipelines.consents.closing_trail import ClosingTrail, Event, dated_back, faults, standing
from pipelines.consents.database import VaultBroken
from pipelines.consents.tables import closing_figures, closings
from pipelines.consents.vault import Vault
from tests.consents.customers import NOON

Opens = Callable[..., Vault]
TRIGGERS = ("closings_no_update", "closings_no_delete", "closings_no_insert")


def event(number: int, account: str = "kontist:a", what: str = "closed") -> Event:
    figures = f'{{"account_id": "{account}", "month": "2026-0{number}"}}'
    return Event(
        what=what, month=f"2026-0{number}", account_id=account, figures=figures, at=NOON + timedelta(days=number), who="ada"
    )


def three(vault: Vault) -> ClosingTrail:
    trail = ClosingTrail(vault.database, "h-1")
    trail.append([event(1), event(2, "kontist:b")])
    trail.append([event(3)])
    return trail


def without_triggers(vault: Vault, statement: sql.Executable) -> None:
    """Changes the table as somebody does who may change the database itself."""
    with vault.database.transaction() as connection:
        if vault.database.is_shared:
            connection.exec_driver_sql("drop trigger closings_append_only on closings")
        else:
            for name in TRIGGERS:
                connection.exec_driver_sql(f"drop trigger {name}")
        connection.execute(statement)


def test_each_record_holds_the_hash_of_the_one_before_and_each_history_has_a_chain_of_its_own(opens: Opens) -> None:
    vault = opens()
    trail = three(vault)
    ClosingTrail(vault.database, "h-2").append([event(4)])
    records = trail.records()

    assert [one.number for one in records] == [1, 2, 3]
    assert [one.previous for one in records[1:]] == [one.hash for one in records[:-1]]
    assert faults(records) == []
    assert faults(ClosingTrail(vault.database, "h-2").records()) == []
    assert "kontist" not in str([{**vars(one), "account_id": "", "figures": ""} for one in records])


def test_the_database_refuses_to_change_or_remove_a_record(opens: Opens) -> None:
    vault = opens()
    three(vault)
    for statement in (closings.update().values(who="eve"), closings.delete()):
        with pytest.raises(VaultBroken):
            vault.database.write(statement)
    assert faults(ClosingTrail(vault.database, "h-1").records()) == []


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        (closings.update().where(closings.c.number == 2).values(reason="another"), "record 2 was altered"),
        (closings.delete().where(closings.c.number == 2), "record 2 is missing"),
        (closings.delete().where(closings.c.number == 1), "record 1 is missing"),
        (closings.update().where(closings.c.number == 2).values(previous="0" * 64), "record 2 does not follow record 1"),
        (
            closing_figures.update().where(closing_figures.c.account_id == "kontist:b").values(figures="{}"),
            "figures of record 2 were",
        ),
        (closing_figures.delete().where(closing_figures.c.account_id == "kontist:b"), "figures of record 2 are missing"),
        (
            closing_figures.update().where(closing_figures.c.account_id == "kontist:b").values(account_id="kontist:c"),
            "figures of record 2 are kept with another account",
        ),
    ],
)
def test_whatever_is_altered_or_removed_is_named(opens: Opens, statement: sql.Executable, fault: str) -> None:
    vault = opens()
    trail = three(vault)
    without_triggers(vault, statement)

    assert any(fault in one for one in faults(trail.records()))


def test_records_in_another_order_or_numbered_anew_are_named(opens: Opens) -> None:
    vault = opens()
    first, second, third = three(vault).records()

    assert faults([first, third, second])[0] == "record 2 is missing: record 3 follows record 1"
    swapped = [first, replace(third, number=2), replace(second, number=3)]
    assert {one.partition(":")[0] for one in faults(swapped)} == {
        *("record 2 does not follow record 1", "record 3 does not follow record 2"),
        *("record 2 was altered", "record 3 was altered"),
    }


def test_a_trail_without_its_last_record_is_a_chain_and_lacks_the_hash_that_somebody_kept(opens: Opens) -> None:
    vault = opens()
    trail = three(vault)
    newest = trail.records()[-1]
    without_triggers(vault, closings.delete().where(closings.c.number == newest.number))

    assert faults(trail.records()) == []
    assert newest.hash not in {one.hash for one in trail.records()}


def test_a_record_of_a_clock_that_was_set_back_is_named(opens: Opens) -> None:
    vault = opens()
    trail = three(vault)
    trail.append([replace(event(4), at=NOON)])

    (said,) = dated_back(trail.records())

    assert said.startswith("record 4 is dated 2026-") and ", before record 3 (" in said
    assert faults(trail.records()) == []


def test_an_erasure_removes_the_figures_and_the_chain_still_holds(opens: Opens) -> None:
    vault = opens()
    trail = three(vault)

    trail.forget(["kontist:a"], NOON, "ada")

    records = trail.records()
    assert [one.what for one in records] == ["closed", "closed", "closed", "erased"]
    assert [one.figures is None for one in records] == [True, False, True, False]
    assert faults(records) == []
    assert [account for account, _ in standing(records)] == ["kontist:b"]
    assert vault.database.read(sql.select(closing_figures).where(closing_figures.c.account_id == "kontist:a")) == []
    trail.forget(["kontist:a", "kontist:unknown"], NOON, "ada")
    assert len(trail.records()) == 4


def test_a_reopened_month_is_not_closed_until_it_is_closed_again(opens: Opens) -> None:
    vault = opens()
    trail = three(vault)
    trail.append([event(3, what="reopened")])
    assert [month for _, month in standing(trail.records())] == ["2026-01", "2026-02"]
    trail.append([event(3)])
    assert [month for _, month in standing(trail.records())] == ["2026-01", "2026-02", "2026-03"]
