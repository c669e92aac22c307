"""What one answer of a bank makes of raw history: every trap that a trial has shown."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa

from tests.histories import Raw, kontist, kontomatik
from tests.plain_loads import by_dlt


def test_a_version_that_comes_back_is_the_current_one_again(ids: Raw) -> None:
    for cents in (100, 200, 100):
        ids.read({"A": [kontist(1, "2026-03-01", cents), kontist(2, "2026-02-01", 1)]})

    assert ids.current("source_transaction_id", "amount_cents") == [("1", 100), ("2", 1)]
    assert ids.query("select amount_cents from {t} where source_transaction_id = '1' order by _dlt_valid_from") == [
        (100,),
        (200,),
        (100,),
    ]


def test_a_row_that_vanishes_and_comes_back_is_removed_in_between(ids: Raw) -> None:
    old = kontist(2, "2026-02-01", 1)
    assert ids.read({"A": [kontist(1, "2026-03-01", 100), old]}) == {"A": (2, 0, 0)}
    assert ids.read({"A": [old]}) == {"A": (0, 0, 1)}
    assert ids.current("source_transaction_id") == [("2",)]
    assert ids.read({"A": [kontist(1, "2026-03-01", 100), old]}) == {"A": (1, 0, 0)}


def test_an_upgrade_makes_no_new_version_of_a_row_without_a_value_in_the_new_column(ids: Raw) -> None:
    """The version of a row without splits is the hash that was computed before there was the column."""
    rows = [kontist(1, "2026-03-02", 100), kontist(2, "2026-03-01", 200)]
    ids.read({"A": rows})
    before = replace(ids.shape, schema=pa.schema([one for one in ids.shape.schema if one.name != "splits"]))
    assert ids.query(f"select count(*) from {{t}} where row_version <> {before.version()}") == [(0,)]
    ids.query("alter table {t} drop column splits")

    assert ids.read({"A": rows}) == {"A": (0, 0, 0)}
    assert ids.query("select count(*) from {t}") == [(2,)]
    divided = [rows[0] | {"splits": '[{"amount":60},{"amount":40}]'}, rows[1]]
    assert ids.read({"A": divided}) == {"A": (0, 1, 0)}
    assert ids.read({"A": divided}) == {"A": (0, 0, 0)}
    assert ids.read({"A": rows}) == {"A": (0, 1, 0)}
    assert ids.faults() == []


def test_twins_stay_twins_and_a_third_one_is_new(no_ids: Raw) -> None:
    coffee = kontomatik("2026-03-01", "-2.50", title="coffee")
    assert no_ids.read({"A": [coffee, coffee]}) == {"A": (2, 0, 0)}
    assert no_ids.read({"A": [coffee, coffee]}) == {"A": (0, 0, 0)}
    assert no_ids.read({"A": [coffee, coffee, coffee]}) == {"A": (1, 0, 0)}
    assert no_ids.read({"A": [coffee, coffee]}) == {"A": (0, 0, 1)}
    assert no_ids.current("amount", "occurrence") == [(coffee["amount"], 1), (coffee["amount"], 2)]


def test_an_earlier_twin_keeps_its_number_when_a_later_one_comes(no_ids: Raw) -> None:
    def shown(*titles: str) -> dict[str, list[dict[str, Any]]]:
        return {"A": [kontomatik("2026-03-01", "-2.50", title=title) for title in titles]}  # newest first

    no_ids.read(shown("first"))
    assert no_ids.read(shown("second", "first")) == {"A": (1, 0, 0)}
    assert no_ids.current("occurrence", "title") == [(1, "first"), (2, "second")]


def test_a_bank_that_lists_oldest_first_is_counted_from_the_same_end(no_ids: Raw) -> None:
    rows = [kontomatik("2026-03-01", "-2.50", title="first"), kontomatik("2026-03-01", "-2.50", title="second")]
    no_ids.read({"A": rows}, newest_first=False)

    assert no_ids.read({"A": rows[::-1]}) == {"A": (0, 0, 0)}
    assert no_ids.current("occurrence", "title") == [(1, "first"), (2, "second")]


def test_one_correction_is_one_change_though_every_later_balance_moves(no_ids: Raw) -> None:
    def shown(*balances: str, title: str = "rent") -> dict[str, list[dict[str, Any]]]:
        days = ("2026-03-03", "2026-03-02", "2026-03-01")
        titles = ("later", "later", title)
        return {
            "A": [
                kontomatik(day, "-1.00", balance_after=Decimal(balance), title=text)
                for day, balance, text in zip(days, balances, titles, strict=True)
            ]
        }

    no_ids.read(shown("7", "8", "9"))
    assert no_ids.read(shown("70", "80", "90", title="rent, corrected")) == {"A": (0, 1, 0)}
    assert no_ids.query("select count(*) from {t}") == [(6,)]


def test_a_row_booked_days_later_stays_one_row(no_ids: Raw) -> None:
    old = kontomatik("2026-02-01", "1.00")
    no_ids.read({"A": [kontomatik("2026-03-01", "-5.00", pending=True), old]})
    booked = kontomatik("2026-03-01", "-5.00", booked="2026-03-06")

    assert no_ids.read({"A": [booked]}, "2026-02-20") == {"A": (0, 1, 0)}
    assert no_ids.current("window_on", "booked_on") == [
        (date(2026, 2, 1), date(2026, 2, 1)),
        (date(2026, 3, 1), date(2026, 3, 6)),
    ]


def test_rows_before_the_window_stay_and_rows_inside_that_vanish_go(ids: Raw) -> None:
    ids.read({"A": [kontist(n, f"2026-03-{n:02d}", n) for n in range(9, 0, -1)]})

    assert ids.read({"A": [kontist(9, "2026-03-09", 9), kontist(8, "2026-03-08", 8)]}, "2026-03-07") == {"A": (0, 0, 1)}
    assert [number for (number,) in ids.current("source_transaction_id")] == ["1", "2", "3", "4", "5", "6", "8", "9"]


def test_a_row_that_moves_into_the_window_leaves_no_second_version(ids: Raw) -> None:
    ids.read({"A": [kontist(2, "2026-03-09", 2), kontist(1, "2026-01-01", 1)]})

    assert ids.read({"A": [kontist(2, "2026-03-09", 2), kontist(1, "2026-03-08", 1)]}, "2026-03-01") == {"A": (0, 1, 0)}
    assert ids.current("source_transaction_id", "window_on") == [("1", date(2026, 3, 8)), ("2", date(2026, 3, 9))]


def test_a_row_that_moves_out_of_the_window_is_moved_not_lost(ids: Raw) -> None:
    """The bank shows it on the pages that were read, only further back: that is an answer too."""
    ids.read({"A": [kontist(2, "2026-03-09", 2), kontist(1, "2026-03-08", 1), kontist(0, "2026-01-01", 9)]})
    moved = kontist(1, "2026-02-20", 1)

    assert ids.read({"A": [kontist(2, "2026-03-09", 2), moved, kontist(0, "2026-01-01", 9)]}, "2026-03-01") == {"A": (0, 1, 0)}
    assert ids.current("source_transaction_id", "window_on") == [
        ("0", date(2026, 1, 1)),
        ("1", date(2026, 2, 20)),
        ("2", date(2026, 3, 9)),
    ]


def test_a_row_first_shown_before_the_window_is_not_dropped(ids: Raw) -> None:
    ids.read({"A": [kontist(2, "2026-03-09", 2), kontist(1, "2026-01-01", 1)]})
    late = kontist(3, "2026-02-15", 3)

    assert ids.read({"A": [kontist(2, "2026-03-09", 2), late, kontist(1, "2026-01-01", 1)]}, "2026-03-01") == {"A": (1, 0, 0)}
    assert [number for (number,) in ids.current("source_transaction_id")] == ["1", "2", "3"]


def test_a_payment_booked_weeks_after_its_day_is_not_dropped(no_ids: Raw) -> None:
    """A hotel's charge: paid on the 1st of February, unseen until it is booked in March. Its day lies before the window."""
    no_ids.read({"A": [kontomatik("2026-02-10", "-1.00"), kontomatik("2026-02-01", "-80.00", title="another night")]})
    late = kontomatik("2026-02-01", "-80.00", booked="2026-03-05", title="hotel")

    assert no_ids.read({"A": [late]}, "2026-02-20") == {"A": (1, 0, 0)}
    assert no_ids.read({"A": [late]}, "2026-02-20") == {"A": (0, 0, 0)}
    assert no_ids.current("window_on", "title") == [
        (date(2026, 2, 1), "another night"),
        (date(2026, 2, 1), "hotel"),
        (date(2026, 2, 10), None),
    ]
    whole = [late, kontomatik("2026-02-10", "-1.00"), kontomatik("2026-02-01", "-80.00", title="another night")]
    assert no_ids.read({"A": whole})["A"][::2] == (0, 0)  # the whole day again: nothing new, nothing gone


def test_a_reservation_booked_weeks_later_becomes_booked(no_ids: Raw) -> None:
    no_ids.read({"A": [kontomatik("2026-02-10", "-1.00"), kontomatik("2026-02-01", "-80.00", pending=True)]})
    booked = kontomatik("2026-02-01", "-80.00", booked="2026-03-05")

    assert no_ids.read({"A": [booked]}, "2026-02-20") == {"A": (0, 1, 0)}
    assert no_ids.current("status", "booked_on") == [("DONE", date(2026, 2, 10)), ("DONE", date(2026, 3, 5))]


def test_the_same_row_twice_in_an_answer_is_one_row(ids: Raw) -> None:
    row = kontist(1, "2026-03-01", 100)

    assert ids.read({"A": [row, row]}) == {"A": (1, 0, 0)}
    assert ids.current("source_transaction_id") == [("1",)]


def test_an_account_linked_later_gets_its_whole_history(ids: Raw) -> None:
    ids.read({"A": [kontist(1, "2026-03-10", 1)]})
    ids.read({"A": [kontist(1, "2026-03-10", 1)], "B": [kontist(9, "2020-01-01", 9), kontist(8, "2019-01-01", 8)]})

    assert ids.current("source_transaction_id", account="B") == [("8",), ("9",)]
    assert ids.current("source_transaction_id", account="A") == [("1",)]


def test_accounts_that_were_not_read_stay_as_they_are(ids: Raw) -> None:
    ids.read({"A": [kontist(1, "2026-03-10", 1)], "B": [kontist(2, "2026-03-10", 2)]})
    ids.read({"A": [kontist(1, "2026-03-10", 5)]})

    assert ids.current("amount_cents", account="B") == [(2,)]
    assert set(ids.cursors()["accounts"]) == {"A", "B"}


def test_two_accounts_may_show_rows_that_are_alike(no_ids: Raw) -> None:
    row = kontomatik("2026-03-01", "-2.50")

    assert no_ids.read({"A": [row], "B": [row]}) == {"A": (1, 0, 0), "B": (1, 0, 0)}
    assert no_ids.read({"A": [row], "B": [row]}) == {"A": (0, 0, 0), "B": (0, 0, 0)}


def test_a_partial_answer_only_adds(no_ids: Raw) -> None:
    rows = [kontomatik("2026-03-02", "-2.00"), kontomatik("2026-03-01", "-1.00")]
    no_ids.read({"A": rows})
    cursors = no_ids.cursors()

    assert no_ids.read({"A": [kontomatik("2026-03-03", "-3.00")]}, complete=False) == {"A": (1, 0, 0)}
    assert [str(amount) for (amount,) in no_ids.current("amount")] == ["-3.00", "-2.00", "-1.00"]
    assert no_ids.query("select count(*) from {t} where _dlt_valid_to is not null") == [(0,)]
    assert no_ids.outcomes["A"].status == "partial"
    assert no_ids.cursors() == cursors


def test_an_answer_cut_off_in_the_middle_of_a_day_loses_nothing(no_ids: Raw) -> None:
    """`since` None from a bank that may have cut old days: its oldest day is taken as whole only if nothing older is known."""
    day = [kontomatik("2026-03-02", "-2.00", title="b"), kontomatik("2026-03-02", "-3.00", title="a")]
    old = [kontomatik("2026-03-01", "-1.00"), kontomatik("2026-02-01", "-1.00")]
    no_ids.read({"A": [kontomatik("2026-03-03", "-9.00"), *day, *old]})

    assert no_ids.read({"A": [kontomatik("2026-03-03", "-9.00"), day[0]]}, depth_known=False) == {"A": (0, 0, 0)}
    assert len(no_ids.current("amount")) == 5


def test_nothing_new_loads_no_transaction(ids: Raw) -> None:
    rows = [kontist(n, f"2026-03-{n:02d}", n) for n in range(9, 0, -1)]
    ids.read({"A": rows})
    before = ids.query("select count(*), max(_dlt_valid_from), count(distinct import_id) from {t}")
    ids.read({"A": rows})

    assert ids.query("select count(*), max(_dlt_valid_from), count(distinct import_id) from {t}") == before


def test_no_account_number_reaches_the_schema_that_dlt_keeps(ids: Raw) -> None:
    with by_dlt():
        ids.read({"kontist:SECRET-ACCOUNT": [kontist(1, "2026-03-10", 1)]}, "2026-03-01")
        ids.read({"kontist:SECRET-ACCOUNT": [kontist(1, "2026-03-10", 2)]}, "2026-03-01")

    assert ids.query("select count(*) from kontist._dlt_version") == [(1,)]
    assert ids.query("select count(*) from kontist._dlt_version where schema like '%SECRET%'") == [(0,)]


def test_amounts_are_exact_to_the_widest_that_fits(no_ids: Raw) -> None:
    amounts = ["9999999999999999.99", "-9999999999999999.99", "0.01", "-0.01", "0.00"]
    no_ids.read({"A": [kontomatik("2026-03-01", amount) for amount in amounts]})

    assert sorted(str(amount) for (amount,) in no_ids.current("amount")) == sorted(amounts)


NO_DAY = "its day lies before 1970 or more than a year ahead"


def test_a_row_of_a_day_that_no_bank_can_mean_is_in_quarantine_and_its_neighbours_stay(ids: Raw) -> None:
    good = [kontist(2, "2027-03-20", 2), kontist(3, "2026-03-01", 3)]
    ids.read({"A": [kontist(1, "2199-12-31", 100, name="Ada"), *good]})

    assert ids.current("source_transaction_id") == [("2",), ("3",)]
    assert ids.outcomes["A"].quarantined == 1
    ((reason, payload),) = ids.query("select reason, payload from kontist.quarantine")
    assert reason == NO_DAY
    assert "2199-12-31" in payload
    assert "Ada" not in payload
    ids.read({"A": [kontist(1, "2026-03-02", 100, name="Ada"), *good]})
    assert ids.query("select count(*) from kontist.quarantine where _dlt_valid_to is null") == [(0,)]
    assert len(ids.current("source_transaction_id")) == 3


def test_so_is_one_that_is_booked_on_such_a_day(no_ids: Raw) -> None:
    no_ids.read({"A": [kontomatik("2026-03-01", "1.00", booked="2099-12-31"), kontomatik("2026-03-01", "2.00")]})

    assert no_ids.current("amount") == [(Decimal("2.00"),)]
    assert no_ids.query("select reason from kontomatik.quarantine") == [(NO_DAY,)]
