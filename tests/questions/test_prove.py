"""`prove`: a certificate that names what is missing, by day and amount."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.errors import CHECKS_FAILED, GOOD, WrongUsage
from pipelines.questions.prove import Altered, certificate, text
from tests.ledger.worlds import Row, built
from tests.questions.asked import ask, data_dir, printed_json

FIRST = date(2026, 3, 1)
MOVES = [(0, 10_000), (1, -2_000), (1, -2_000), (1, 350), (4, -99), (5, -2_000), (5, 7_000), (5, -1)]
"""Day and cents: twins, several on a day, quiet days between."""
SPOILED = [
    ("as it was", 0),
    ("doubled", 0),
    # the first row of all has nothing before it that its removal or another amount could contradict: see the next test but one
    *((way, row) for way in ("removed", "doubled", "changed") for row in range(1, len(MOVES))),
    ("removed", 0),
    ("changed", 0),
]
DAYS = 8


def on(day: int) -> date:
    return FIRST + timedelta(days=day)


def moves(way: str, row: int) -> Iterator[tuple[int, int, int]]:
    """Day, cents and running balance of each row that raw history has, spoilt in one way."""
    balances = accumulate(cents for _, cents in MOVES)
    for number, ((day, cents), after) in enumerate(zip(MOVES, balances, strict=True)):
        here = number == row
        if way == "removed" and here:
            continue
        yield day, cents + 77 if way == "changed" and here else cents, after
        if way == "doubled" and here:
            yield day, cents, after


def missing_cents(way: str, row: int) -> int:
    """What the bank moved beyond the rows that are there."""
    return {"as it was": 0, "removed": MOVES[row][1], "doubled": -MOVES[row][1], "changed": -77}[way]


@pytest.fixture(scope="module")
def spoilt() -> Iterator[duckdb.DuckDBPyConnection]:
    """One account for every way to spoil every row, all in one ledger."""
    total = sum(cents for _, cents in MOVES)
    given: dict[str, list[Row]] = {"kontomatik.accounts": [], "kontomatik.transactions": [], "kontomatik.imports": []}
    for way, row in SPOILED:
        account = f"kontomatik:{way}-{row}"
        given["kontomatik.accounts"].append({"account_id": account, "currency": "PLN", "balance": Decimal(total) / 100})
        given["kontomatik.imports"].append(
            {
                "import_id": f"i-{account}",
                "account_id": account,
                "finished_at": datetime(2026, 3, DAYS + 1, 5, tzinfo=UTC),
                "window_start": FIRST,
                "window_end": on(DAYS - 1),
            }
        )
        given["kontomatik.transactions"] += [
            {
                "account_id": account,
                "transaction_id": f"{account}:{number}",
                "booked_on": on(day),
                "amount": Decimal(cents) / 100,
                "balance_after": Decimal(after) / 100,
                "position_in_day": number,
            }
            for number, (day, cents, after) in enumerate(moves(way, row))
        ]
    with built(given) as connection:
        connection.execute("use ledger")
        yield connection


@pytest.mark.parametrize(("way", "row"), [one for one in SPOILED if one not in (("removed", 0), ("changed", 0))])
def test_any_one_row_that_is_removed_doubled_or_changed_is_named(spoilt: duckdb.DuckDBPyConnection, way: str, row: int) -> None:
    certified = certificate(spoilt, f"kontomatik:{way}-{row}", FIRST, on(DAYS - 1))
    proof = certified.as_json()
    day = on(MOVES[row][0])

    if way == "as it was":
        assert (proof["verdict"], proof["missing"]) == ("seen", [])
        assert proof["proof"] == {"chain": DAYS - 1, "derived": 1}
        assert certificate(spoilt, f"kontomatik:{way}-{row}", on(1), on(DAYS - 1)).verdict == "proven"
        assert (proof["closing_balance"], proof["transactions"]) == (Decimal("112.50"), len(MOVES))
        return
    (one,) = proof["missing"]
    assert proof["verdict"] == "incomplete"
    assert one["amount"] == Decimal(missing_cents(way, row)) / 100
    assert (one["since"] or date.min) <= day <= one["day"]
    # only when the row is gone, and was the last of its day or alone on it, may it have been on one of several days
    if way != "removed" or (MOVES[row + 1 :][:1] and MOVES[row + 1][0] == MOVES[row][0]):
        assert one["day"] == day
    assert f"{one['amount']:,.2f} PLN" in text(certified)
    assert str(one["day"]) in text(certified)


@pytest.mark.parametrize("way", ["removed", "changed"])
def test_the_day_of_the_first_row_and_quiet_days_before_it_are_never_called_proven(
    spoilt: duckdb.DuckDBPyConnection, way: str
) -> None:
    account = f"kontomatik:{way}-0"
    first, later = certificate(spoilt, account, on(0), on(0)), certificate(spoilt, account, on(0), on(DAYS - 1))

    assert (first.verdict, later.verdict) == ("seen", "seen")
    assert first.proof == ({"quiet": 1} if way == "removed" else {"derived": 1})
    assert "for 1 of 1 days no balance of the bank proves it" in text(first)


def test_a_certificate_for_days_around_it_does_not_show_a_difference(spoilt: duckdb.DuckDBPyConnection) -> None:
    assert certificate(spoilt, "kontomatik:removed-4", on(0), on(0)).complete
    # it may have been this quiet day, or the evening of the day before
    assert not certificate(spoilt, "kontomatik:removed-4", on(2), on(2)).complete
    assert not certificate(spoilt, "kontomatik:removed-4", on(1), on(1)).complete
    assert certificate(spoilt, "kontomatik:removed-4", on(6), on(7)).complete


def test_a_row_that_was_taken_out_of_the_published_file_shows_too(spoilt: duckdb.DuckDBPyConnection) -> None:
    spoilt.execute("begin")
    spoilt.execute("delete from transactions where transaction_id = 'kontomatik:as it was-0:3'")
    (one,) = certificate(spoilt, "kontomatik:as it was-0", FIRST, on(DAYS - 1)).missing
    spoilt.execute("rollback")

    assert one == Altered(on(1), Decimal("3.50"))


def kontist(movements: list[Row]) -> dict[str, list[Row]]:
    later = datetime(2026, 3, 6, 6, tzinfo=UTC)
    return {
        "kontist.accounts": [
            {"iban": "DE00 1234", "balance_cents": 10_000, "valid_to": later},
            {"iban": "DE00 1234", "balance_cents": 8_500, "valid_from": later},
        ],
        "kontist.transactions": [{"booking_type": "x", "amount_cents": 4_000}, *movements],
        "kontist.imports": [{"account_id": "kontist:a", "finished_at": later, "window_end": date(2026, 3, 6)}],
    }


SECOND: Row = {"booking_type": "x", "amount_cents": -1_500, "booking_date": datetime(2026, 3, 5, 12, tzinfo=UTC),
               "valid_from": datetime(2026, 3, 6, 6, tzinfo=UTC)}  # fmt: skip


def test_without_running_balances_two_reports_prove_what_lies_between_them(tmp_path: Path, capsys: Any) -> None:
    data_dir(tmp_path, kontist([SECOND]))

    assert ask(tmp_path, "prove", "1234", "--from", "2026-03-03", "--to", "2026-03-05", "--json") == GOOD
    proof = printed_json(capsys)
    assert (proof["verdict"], proof["proof"], proof["closing_balance"]) == ("proven", {"reported": 3}, "85.00")
    assert ask(tmp_path, "prove", "kontist:a", "--from", "2026-03-01", "--to", "2026-03-05") == GOOD
    assert "COMPLETE: every day was seen and nothing differs; for 2 of 5 days no" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spoil", "amount"),
    [
        ("delete from kontist.transactions where source_transaction_id = '1'", "40.00"),
        ("insert into kontist.transactions select * replace ('x' as transaction_id) from kontist.transactions", "-40.00"),
        ("update kontist.transactions set amount_cents = amount_cents - 77", "0.77"),
    ],
)
def test_a_row_of_a_first_read_that_is_spoilt_in_raw_history_is_named(
    tmp_path: Path, capsys: Any, spoil: str, amount: str
) -> None:
    rows = {"account_id": "kontist:a", "day": date(2026, 3, 1), "rows": 1, "amount": "40.00"}
    data_dir(tmp_path, {
        "kontist.accounts": [{"iban": "DE00 1234", "balance_cents": 4_000}],
        "kontist.transactions": [{"booking_type": "x", "amount_cents": 4_000}],
        "kontist.imports": [{"account_id": "kontist:a", "finished_at": datetime(2026, 3, 6, 6, tzinfo=UTC)}],
        "kontist.read_days": [rows],
    })  # fmt: skip
    days = ("--from", "2026-03-01", "--to", "2026-03-05")
    assert ask(tmp_path, "prove", "1234", *days) == GOOD
    with duckdb.connect(tmp_path / "raw.duckdb") as connection:
        connection.execute(spoil)
    ask(tmp_path, "transform")
    assert "\n- 1 account whose bank moved more or less than the ledger holds" in capsys.readouterr().out
    ask(tmp_path, "transform", "--json")
    assert printed_json(capsys)["notes"][0].startswith("1 account whose bank moved")

    assert ask(tmp_path, "prove", "1234", *days, "--json") == CHECKS_FAILED
    (one,) = printed_json(capsys)["missing"]
    assert one == {"kind": "difference", "day": "2026-03-01", "since": None, "amount": amount}


def test_the_day_of_the_last_import_is_not_over(tmp_path: Path, capsys: Any) -> None:
    data_dir(tmp_path, kontist([SECOND]))

    assert ask(tmp_path, "prove", "1234", "--from", "2026-03-03", "--to", "2026-03-06", "--json") == CHECKS_FAILED
    proof = printed_json(capsys)
    assert proof["days"] == {"total": 4, "seen": 3, "unfinished": 1}
    assert proof["missing"] == [{"kind": "unfinished", "day": "2026-03-06", "seen_at": "2026-03-06 06:00:00+00:00"}]
    ask(tmp_path, "prove", "1234", "--from", "2026-03-06", "--to", "2026-03-06")
    assert "2026-03-06: read last at 2026-03-06 06:00 UTC, before the day was over" in capsys.readouterr().out


def test_without_an_account_there_is_a_line_for_each(tmp_path: Path, capsys: Any) -> None:
    data_dir(tmp_path, kontist([SECOND]))

    assert ask(tmp_path, "prove", "--from", "2026-03-03", "--to", "2026-03-05") == GOOD
    shown = capsys.readouterr().out
    assert "Kontist …1234 EUR" in shown
    assert shown.count("3 of 3") == 2
    assert ask(tmp_path, "prove", "--from", "2026-03-03", "--to", "2026-03-06") == CHECKS_FAILED
    assert "1 of 1 incomplete: `prove ACCOUNT` with the same days names what is missing." in capsys.readouterr().out
    assert ask(tmp_path, "prove", "--from", "2026-03-03", "--to", "2026-03-06", "--json") == CHECKS_FAILED
    printed = printed_json(capsys)
    assert (printed["complete"], [one["verdict"] for one in printed["certificates"]]) == (False, ["incomplete"])


def test_a_payment_that_never_came_is_named_between_two_reports(tmp_path: Path, capsys: Any) -> None:
    data_dir(tmp_path, kontist([]))

    assert ask(tmp_path, "prove", "DE001234", "--from", "2026-03-01", "--to", "2026-03-05", "--json") == CHECKS_FAILED
    (one,) = printed_json(capsys)["missing"]
    assert one == {"kind": "difference", "day": "2026-03-06", "since": "2026-03-02", "amount": "-15.00"}
    assert ask(tmp_path, "prove", "1234", "--from", "2026-03-01", "--to", "2026-03-06") == CHECKS_FAILED
    assert "-15.00 EUR moved at the bank (after 2026-03-02, by 2026-03-06)" in capsys.readouterr().out


def test_gaps_and_days_that_nobody_read_are_missing(tmp_path: Path, capsys: Any) -> None:
    given: dict[str, list[Row]] = {
        "kontomatik.accounts": [{"currency": "PLN"}],
        "kontomatik.transactions": [{"booked_on": date(2026, 1, 1)}, {"booked_on": date(2026, 1, 9)}],
        "kontomatik.imports": [
            {"account_id": "kontomatik:a", "finished_at": datetime(2026, 1, 9, 12, tzinfo=UTC),
             "window_start": date(2025, 12, 30), "window_end": date(2026, 1, 1)},
        ],
        "kontomatik.holes": [{"from_on": date(2026, 1, 2), "to_on": date(2026, 1, 5)}],
    }  # fmt: skip
    data_dir(tmp_path, given)

    assert ask(tmp_path, "prove", "kontomatik:a", "--from", "2025-12-29", "--to", "2026-01-06", "--json") == CHECKS_FAILED
    proof = printed_json(capsys)
    assert proof["days"] == {"total": 9, "hole": 4, "seen": 3, "unseen": 2}
    assert proof["missing"] == [
        {"kind": "unseen", "from_on": "2025-12-29", "to_on": "2025-12-29"},
        {"kind": "unseen", "from_on": "2026-01-06", "to_on": "2026-01-06"},
        {"kind": "hole", "from_on": "2026-01-02", "to_on": "2026-01-05"},
    ]
    ask(tmp_path, "prove", "kontomatik:a", "--from", "2026-01-02", "--to", "2026-01-06")
    shown = capsys.readouterr().out
    assert "2026-01-02 to 2026-01-05: never read, and the bank cannot show it any more" in shown
    assert "2026-01-06: no complete import claims these days" in shown


def test_an_import_that_was_resumed_proves_no_quiet_day_after_the_bank_answered(tmp_path: Path, capsys: Any) -> None:
    given: dict[str, list[Row]] = {
        "kontomatik.accounts": [{"currency": "PLN"}],
        "kontomatik.transactions": [],
        "kontomatik.imports": [
            {"account_id": "kontomatik:a", "window_start": date(2025, 12, 30), "window_end": None,
             "as_of": datetime(2026, 1, 9, 12, tzinfo=UTC), "finished_at": datetime(2026, 1, 10, 11, tzinfo=UTC)},
        ],
    }  # fmt: skip
    data_dir(tmp_path, given)

    assert ask(tmp_path, "prove", "kontomatik:a", "--from", "2026-01-08", "--to", "2026-01-10", "--json") == CHECKS_FAILED
    assert printed_json(capsys)["missing"] == [
        {"kind": "unseen", "from_on": "2026-01-10", "to_on": "2026-01-10"},
        {"kind": "unfinished", "day": "2026-01-09", "seen_at": "2026-01-09 12:00:00+00:00"},
    ]


def test_an_iban_means_the_account_and_not_the_card_that_repeats_it(tmp_path: Path, capsys: Any) -> None:
    both = [{"account_id": f"kontomatik:{kind}", "account_type": kind, "iban": "PL0042"} for kind in ("account", "card")]
    data_dir(tmp_path, {"kontomatik.accounts": both})

    ask(tmp_path, "prove", "0042", "--from", "2026-03-01", "--to", "2026-03-01", "--json")
    assert printed_json(capsys)["account"]["account_id"] == "kontomatik:account"


def test_an_account_is_named_by_its_id_or_the_end_of_one_iban(tmp_path: Path) -> None:
    data_dir(tmp_path, {"kontist.accounts": [{"account_id": f"kontist:{one}", "iban": f"DE0{one}99"} for one in ("1", "2")]})

    days = ("--from", "2026-03-01", "--to", "2026-03-01")
    for name, complaint in (("99", "2 accounts have an IBAN that ends so"), ("98", "No account has this id"), ("", "No account")):
        with pytest.raises(WrongUsage, match=complaint):
            ask(tmp_path, "prove", name, *days)
    with pytest.raises(WrongUsage, match="must not lie before"):
        ask(tmp_path, "prove", "199", "--from", "2026-03-02", "--to", "2026-03-01")
    assert ask(tmp_path, "prove", "0199", *days) == CHECKS_FAILED
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(WrongUsage, match="There is no ledger"):
        ask(tmp_path / "elsewhere", "prove", "199", *days)
