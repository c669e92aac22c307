"""The trail of closed months: only ever added to, a chain, and whole without the figures of erased accounts."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sql

from pipelines.consents.closing_trail import ClosingTrail, Event, faults, standing
from pipelines.consents.database import VaultBroken
from pipelines.consents.tables import closing_figures, closings
from pipelines.consents.vault import Vault
from tests.consents.customers import NOON

Opens = Callable[..., Vault]
TRIGGERS = ("closings_no_update", "closings_no_delete", "closings_no_insert")


def event(number: int, account: str = "kontist:a", what: str = "closed") -> Event:
    figures = f'{{"account_id": "{account}", "month": {number}}}'
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
    ],
)
def test_whatever_is_altered_or_removed_is_named(opens: Opens, statement: sql.Executable, fault: str) -> None:
    vault = opens()
    trail = three(vault)
    without_triggers(vault, statement)

    assert any(fault in one for one in faults(trail.records()))


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
