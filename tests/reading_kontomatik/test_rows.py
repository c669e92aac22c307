"""What a transaction of either dialect becomes."""

import json
import time
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reading_kontomatik.fake_bank import (
    live,
    live_account,
    live_row,
    open_account,
    open_row,
    openapi,
    read,
    rejected_of,
    result_of,
    rows_of,
)

DAY = date(2031, 3, 2)


def only(document: str) -> dict[str, Any]:
    (account,) = result_of(document).accounts
    assert rejected_of(account) == []
    (row,) = rows_of(account)
    return row


def reason(document: str) -> tuple[str, date | None]:
    (account,) = result_of(document).accounts
    assert rows_of(account) == []
    ((why, _, window_on),) = rejected_of(account)
    return why, window_on


@pytest.mark.parametrize(
    ("sent", "exact"),
    [
        ("-14.90", "-14.90"),
        ("0.1", "0.10"),
        ("5", "5.00"),
        ("+7.00", "7.00"),
        ("-0.00", "0.00"),
        ("9999999999999.99", "9999999999999.99"),
        ("-9999999999999.99", "-9999999999999.99"),
        (" 1.50\n", "1.50"),
        ("1.<!-- cut -->50", "1.50"),
    ],
)
def test_an_amount_is_the_decimal_that_the_bank_wrote(sent: str, exact: str) -> None:
    assert only(live(live_account(live_row(amount=sent))))["amount"] == Decimal(exact)
    assert only(openapi(open_account(open_row(amount=sent))))["amount"] == Decimal(exact)


@pytest.mark.parametrize(
    "sent",
    [
        "1.234",
        "1.230",
        "1.5E3",
        "1e5",
        "1,50",
        "1 000.00",
        "12345678901234567",
        "NaN",
        "Infinity",
        "--1",
        ".5",
        "5.",
        "x",
        "٣.00",
    ],
)
def test_an_amount_that_would_have_to_be_guessed_or_rounded_is_rejected(sent: str) -> None:
    why, window_on = reason(live(live_account(live_row(amount=sent))))
    assert why == "currencyAmount is not a plain decimal number of at most two decimals"
    assert window_on == DAY
    assert reason(openapi(open_account(open_row(amount=sent))))[0].startswith("amount is not")


@pytest.mark.parametrize("sent", [None, "", "  "])
def test_a_row_without_an_amount_is_rejected(sent: str | None) -> None:
    assert reason(live(live_account(live_row(amount=sent)))) == ("currencyAmount is missing", DAY)


@given(st.decimals(min_value=-(10**13) + 1, max_value=10**13 - 1, places=2, allow_nan=False, allow_infinity=False))
def test_no_cent_is_ever_lost(amount: Decimal) -> None:
    assert only(live(live_account(live_row(amount=f"{amount:f}"))))["amount"] == amount


def test_a_rejected_row_keeps_its_fields_in_the_banks_words_and_its_neighbours_load() -> None:
    odd_row = live_row(
        amount="1.5E3", more="<title>T</title><labels><label>b</label><label>a</label></labels><fee><vat>1</vat></fee>"
    )
    (account,) = result_of(live(live_account(live_row(amount="1.00"), odd_row, live_row(amount="2.00")))).accounts

    assert [row["amount"] for row in rows_of(account)] == [Decimal("1.00"), Decimal("2.00")]
    ((_, payload, _),) = rejected_of(account)
    assert payload == {
        "transactionOn": "2031-03-02",
        "bookedOn": "2031-03-02",
        "currencyAmount": "1.5E3",
        "title": "T",
        "labels": ["a", "b"],
        "fee": {"vat": "1"},
    }
    assert json.dumps(payload)


@pytest.mark.parametrize(
    "sent", ["2031-02-30", "02.03.2031", "2031-3-2", "2031-03-02T00:00:00Z", "0000-00-00", "20310302", "soon"]
)
def test_a_day_that_is_none_rejects_the_row(sent: str) -> None:
    assert reason(live(live_account(live_row(day="2031-03-01", booked=sent)))) == ("bookedOn is not a day", date(2031, 3, 1))
    assert reason(openapi(open_account(open_row(day=sent)))) == ("date is not a day", None)


def test_a_row_without_any_day_is_quarantined_on_the_day_of_the_row_before_it() -> None:
    rows = [
        live_row(day=None),
        live_row("2031-03-05"),
        live_row(day=None),
        live_row(day=None, amount="x"),
        live_row("2031-03-01"),
    ]
    for batch in (1, 2, 50):
        (account,) = result_of(live(live_account(*rows)), batch=batch).accounts
        days = [window_on for _, _, window_on in rejected_of(account)]
        # nothing stands before the first one: the next row's day is the nearest, where the batch holds it
        assert days == [date(2031, 3, 5) if batch > 1 else None, date(2031, 3, 5), date(2031, 3, 5)]
        assert len(rows_of(account)) == 2


def test_the_window_counts_a_row_on_the_earlier_of_its_days() -> None:
    late = only(live(live_account(live_row(day="2031-03-01", booked="2031-03-04"))))
    early = only(live(live_account(live_row(day="2031-03-04", booked="2031-03-01"))))
    assert late["window_on"] == early["window_on"] == date(2031, 3, 1)
    pending = only(
        live(
            live_account(
                "<moneyTransaction><transactionOn>2031-03-04</transactionOn><currencyAmount>1</currencyAmount></moneyTransaction>"
            )
        )
    )
    assert (pending["window_on"], pending["booked_on"]) == (date(2031, 3, 4), None)


def test_an_openapi_row_has_a_booking_day_and_no_status() -> None:
    row = only(openapi(open_account(open_row(more="<description>D</description><label>l</label>"))))
    assert (row["booked_on"], row["transaction_on"], row["status"], row["title"]) == (DAY, None, None, "D")
    assert row["labels"] == '["l"]'


def test_labels_are_a_sorted_set_whatever_order_they_come_in() -> None:
    def labels(*given: str) -> Any:
        inside = "".join(f"<label>{one}</label>" for one in given)
        return only(live(live_account(live_row(more=f"<labels>{inside}</labels>"))))["labels"]

    assert labels("fee", "monthly", "fee") == labels("monthly", "fee") == '["fee", "monthly"]'
    assert labels(" żabka ") == '["żabka"]'
    assert labels() is labels("") is None


@pytest.mark.parametrize("position", ["before", "after"])
def test_the_accounts_currency_is_that_of_its_rows_also_when_it_stands_behind_them(position: str) -> None:
    rows = f"<moneyTransactions>{live_row() * 5}</moneyTransactions>"
    name = "<currencyName>pln</currencyName>"
    inside = name + rows if position == "before" else rows + name
    for batch in (2, 100):
        (account,) = result_of(
            live(f"<account><iban>{'PL45999900010000000000004242'}</iban>{inside}</account>"), batch=batch
        ).accounts
        assert [row["currency"] for row in rows_of(account)] == ["PLN"] * 5


def test_a_rows_own_currency_goes_before_the_accounts() -> None:
    assert only(openapi(open_account(open_row(currency="eur"))))["currency"] == "EUR"
    assert only(openapi(open_account(open_row(currency="EUR"), currency=None)))["currency"] == "EUR"
    assert only(live(live_account(live_row(more="<currency>EUR</currency>"))))["currency"] == "EUR"


def test_a_currency_that_is_no_code_rejects_the_row() -> None:
    assert reason(openapi(open_account(open_row(currency="zł")))) == ("currency is not a code of three letters", DAY)


@pytest.mark.parametrize("currency", [None, "", "złoty"])
def test_an_account_without_a_currency_is_an_error_and_its_neighbours_load(currency: str | None) -> None:
    nameless = live_account(live_row(), currency=currency, iban=None, more="<name>N</name>")
    bad, good = result_of(live(nameless, live_account(live_row()))).accounts
    assert "currency" in str(bad.error)
    assert rows_of(bad) == []
    assert (good.error, len(rows_of(good))) == (None, 1)


def test_rows_that_wait_for_a_currency_keep_their_order() -> None:
    rows = [live_row(amount=str(number), more="<currency>EUR</currency>" if number % 3 else "") for number in range(20)]
    document = live(
        f"<account><iban>{'PL45999900010000000000004242'}</iban><moneyTransactions>{''.join(rows)}</moneyTransactions>"
        "<currencyName>PLN</currencyName></account>"
    )
    (account,) = result_of(document, batch=3).accounts
    assert [int(row["amount"]) for row in rows_of(account)] == list(range(20))
    assert [row["currency"] for row in rows_of(account)] == ["EUR" if number % 3 else "PLN" for number in range(20)]


def test_a_balance_that_cannot_be_used_is_kept_as_it_stands_and_costs_no_row() -> None:
    row = only(live(live_account(live_row(more="<currencyBalance>1,200.40</currencyBalance>"))))
    assert row["balance_after"] is None
    assert json.loads(row["extra"]) == {"currencyBalance": "1,200.40"}


def test_a_field_that_nobody_described_is_kept_and_named() -> None:
    more = "<a>1</a><a>2</a><b><c x='1'>t</c></b><kind lang='pl'>K</kind>"
    (account,) = result_of(live(live_account(live_row(more=more)))).accounts
    (row,) = rows_of(account)
    assert json.loads(row["extra"]) == {"a": ["1", "2"], "b": {"c": {"@x": "1", "#text": "t"}}, "kind@lang": "pl"}
    assert row["kind"] == "K"
    assert account.unknown_fields == {"transaction.a", "transaction.b", "transaction.kind@lang"}


def test_a_decisive_field_that_comes_twice_and_differs_rejects_the_row() -> None:
    assert reason(live(live_account(live_row(more="<currencyAmount>1.00</currencyAmount>")))) == (
        "currencyAmount is given twice",
        DAY,
    )
    assert only(live(live_account(live_row(more="<currencyAmount>-14.90</currencyAmount>"))))["amount"] == Decimal("-14.90")


def test_a_nil_is_nothing() -> None:
    nil = '<party xsi:nil="true" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"/>'
    row = only(live(live_account(live_row(more=nil))))
    assert (row["party"], row["extra"]) == (None, None)


def test_an_empty_row_is_a_row_and_an_empty_list_is_none() -> None:
    assert reason(live(live_account("<moneyTransaction/>"))) == ("currencyAmount is missing", None)
    for nothing in ("<transactions/>", "<transactions></transactions>", "<transactions>\n</transactions>", ""):
        (account,) = result_of(openapi(open_account(nothing))).accounts
        assert rows_of(account) == rejected_of(account) == []
        assert account.unknown_fields == frozenset()


def test_a_field_named_like_a_row_is_a_field() -> None:
    row = only(openapi(open_account(open_row(more="<transaction>T-1</transaction>"))))
    assert json.loads(row["extra"]) == {"transaction": "T-1"}
    row = only(live(live_account(live_row(more="<transaction><id>1</id></transaction>"))))
    assert json.loads(row["extra"]) == {"transaction": {"id": "1"}}


@pytest.mark.parametrize(
    ("days", "newest_first"),
    [("5 4 4 1", True), ("1 2 2 5", False), ("3", True), ("", True), ("3 3 3", True), ("1 5 4 3 2", True), ("5 1 2 3 4", False)],
)
def test_the_order_of_the_rows_is_reported(days: str, newest_first: bool) -> None:
    rows = [live_row(f"2031-03-0{day}") for day in days.split()]
    for batch in (1, 2, 100):
        (account,) = result_of(live(live_account(*rows)), batch=batch).accounts
        assert account.newest_first is newest_first


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(-99999, 99999)), max_size=40), st.integers(1, 7))
def test_every_row_is_read_or_rejected_and_the_order_is_kept(history: list[tuple[int, int]], batch: int) -> None:
    def row(ago: int, cents: int) -> str:
        amount = "?" if cents % 7 == 0 else f"{Decimal(cents) / 100:.2f}"
        return live_row(str(DAY - timedelta(ago)), amount)

    (account,) = result_of(live(live_account(*(row(*one) for one in history))), batch=batch).accounts
    good = [(DAY - timedelta(ago), Decimal(cents) / 100) for ago, cents in history if cents % 7]
    assert [(one["window_on"], one["amount"]) for one in rows_of(account)] == good
    assert len(rejected_of(account)) == len(history) - len(good)


def test_labels_that_come_one_by_one_cost_time_in_proportion() -> None:
    def seconds(count: int) -> float:
        document = live(live_account(live_row(more="".join(f"<label>{one}</label>" for one in range(count)))))

        def once() -> float:
            began = time.process_time()
            read(document)
            return time.process_time() - began

        return min(once() for _ in range(3))

    assert seconds(64_000) / seconds(8_000) < 20  # 8 in proportion, 64 for the square


@pytest.mark.parametrize("sent", ["1e400", "9" * 5_000, "0." + "1" * 5_000])
def test_an_amount_of_any_length_costs_its_own_row_only(sent: str) -> None:
    account = result_of(live(live_account(live_row(), live_row(amount=sent)))).accounts[0]

    assert len(rows_of(account)) == 1
    assert len(rejected_of(account)) == 1
