"""Memos and details of the live service in whole runs: kept, versioned, and outside every balance."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from pipelines.read.options import Options
from sources.sandbox import SandboxBank, World
from tests.reading_kontist.test_refused_fields import live
from tests.support import a_bank, ledger_balances, read, rows, troubled

AUTUMN = date(2024, 10, 25)
ONLY = Options(("kontist",))
COMMON = """
select a.iban, status, transaction_on, booked_on, value_on, booked_at, amount, counterparty_name, counterparty_iban, description,
    end_to_end_id, transaction_type is not null, category, payment_method, invoice_number, document_type, mandate_number
from transactions join accounts a using (account_id) left join transaction_details using (transaction_id)
where status <> 'memo' order by all
"""
QUARANTINED = """
insert into kontist.quarantine by name
select account_id, 'q-1' as quarantine_id, date '{day}' as window_on, 'typed' as reason, '{{}}' as payload, 'i-0' as import_id,
    'v' as row_version, timestamptz '2024-10-01 06:00:00Z' as _dlt_valid_from
from kontist.accounts where iban = '{iban}' and _dlt_valid_to is null
"""


def counts(bank: SandboxBank, data: Path, *, ledger: bool = False, **kontist: Any) -> tuple[int, int, int]:
    """Reads Kontist; returns what is new, changed and removed."""
    report = read(bank, data, ONLY, ledger=ledger, kontist=kontist)
    assert troubled(report) == []
    found = [one.counts for one in report.outcomes]
    return sum(one.new for one in found), sum(one.changed for one in found), sum(one.removed for one in found)


def test_both_dialects_of_one_world_make_one_ledger_and_memos_come_on_top(tmp_path: Path) -> None:
    world, by_rest, by_queries = World(today=AUTUMN, transactions=60), tmp_path / "rest", tmp_path / "graphql"
    main = world.account("4711")
    world.append(main, amount="-3.00", pending=True)
    world.memo(main, amount="-50.00")
    world.memo(main, amount="-7.77", source="SOLARIS", kind="FAILED_CARD_USAGE")
    world.memo(main, amount="-1.00", source="SOLARIS", kind="VERIFICATION_CODE", pending=True)
    world.memo(main, amount="5.00", source="BACKOFFICE_MANUAL", day=AUTUMN - timedelta(days=2))
    world.annotate(next(row for row in main.newest_first() if row.booked_on is not None), "for the office")
    with a_bank(world) as bank:
        counts(bank, by_rest, ledger=True)
        counts(bank, by_queries, ledger=True, **live(bank))
    assert rows(by_rest, COMMON) == rows(by_queries, COMMON)
    key = ("kontist", main.key)
    assert ledger_balances(by_rest)[key] == ledger_balances(by_queries)[key] == (main.balance, main.balance)
    kept = rows(by_queries, "select memo_reason, amount from transaction_details join transactions using (transaction_id)"
                " where status = 'memo' order by amount")  # fmt: skip
    assert [(reason, str(amount)) for reason, amount in kept] == [
        ("customer", "-50.00"),
        ("event", "-7.77"),
        ("event", "-1.00"),
        ("staff", "5.00"),
    ]
    assert rows(by_queries, "select personal_note from transaction_details where personal_note <> ''") == [("for the office",)]
    assert rows(
        by_queries, "select bic, name is not null, available_balance from accounts order by available_balance nulls last"
    ) == [
        ("KNTODE21XXX", True, main.available_balance),
        (None, True, None),
    ]


def test_a_memo_leaves_quarantine_and_is_followed_as_any_row(tmp_path: Path) -> None:
    world = World(today=AUTUMN, transactions=20)
    main, day = world.account("4711"), AUTUMN - timedelta(days=2)
    with a_bank(world) as bank:
        counts(bank, tmp_path, **live(bank))
        with duckdb.connect(tmp_path / "raw.duckdb") as connection:  # what an earlier version made of such a row
            connection.execute(QUARANTINED.format(day=day, iban=main.iban))
        memo, noted = world.memo(main, amount="5.00", day=day), main.newest_first()[0]
        world.annotate(noted, "for the office")
        assert counts(bank, tmp_path, **live(bank)) == (1, 1, 0)
        assert rows(tmp_path, "select count(*) from kontist.quarantine where _dlt_valid_to is null", of="raw") == [(0,)]
        assert counts(bank, tmp_path, **live(bank)) == (0, 0, 0)

        world.annotate(noted, "for the garden")
        world.forget(memo)
        assert counts(bank, tmp_path, **live(bank)) == (0, 1, 1)


def test_an_old_memo_is_no_reservation_that_every_read_goes_back_to(tmp_path: Path) -> None:
    world = World(today=AUTUMN, transactions=130)
    world.memo("4711", amount="-50.00", day=AUTUMN - timedelta(days=600), pending=True)
    with a_bank(world) as bank:
        assert counts(bank, tmp_path, **live(bank)) == (131, 0, 0)
        before = bank.count("POST", "/graphql")
        assert counts(bank, tmp_path, **live(bank)) == (0, 0, 0)
        assert bank.count("POST", "/graphql") - before == 4, "the accounts, a page each, the orders"
