"""A batch of a closed month stays what it was; what a bank changes in the month later is a correction in the first open one."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.questions.datev_reader import Batch
from tests.questions.datev_worlds import IBAN, batch_of, kontist, march

CHANGED_AT = datetime(2026, 3, 10, 6, tzinfo=UTC)
BEFORE, AFTER = {"valid_to": CHANGED_AT}, {"valid_from": CHANGED_AT}
FEBRUARY = (date(2026, 2, 1), date(2026, 2, 28))


def february(day: int) -> date:
    return date(2026, 2, day)


ROWS = [
    kontist(1, february(10), 11_900, "VAT_19", name="as it was"),
    kontist(2, february(11), -2_000, "VAT_0", name="another amount", **BEFORE),
    kontist(2, february(11), -2_500, "VAT_0", name="another amount", **AFTER),
    kontist(3, february(12), -700, "VAT_0", name="gone", **BEFORE),
    kontist(4, february(13), -1_190, "VAT_19", name="late", **AFTER),
    kontist(6, february(28), -400, "PRIVATE", name="in March now", **BEFORE),
    kontist(6, march(2), -400, "PRIVATE", name="in March now", **AFTER),
    kontist(7, february(14), -200, "VAT_0", name="another account"),
]
"""What the bank says of six movements; it changed its mind in March."""


def closed(number: int, day: date, *others: tuple[str, str]) -> list[dict[str, Any]]:
    of = {"account_id": "kontist:a", "month": february(1), "entry": f"kontist:{number}", "booked_on": day, "movement_on": day,
          "currency": "EUR", "payee": "gone" if number == 3 else "",
          "narration": "" if number == 3 else "SEPA_CREDIT_TRANSFER"}  # fmt: skip
    bank = -sum(Decimal(amount) for _, amount in others)
    # the account has had another name then
    legs = [("Assets:Bank", bank, True), *((account, Decimal(amount), False) for account, amount in others)]
    return [
        of | {"leg": leg, "ledger_account": account, "amount": amount, "is_bank": is_bank}
        for leg, (account, amount, is_bank) in enumerate(legs, start=1)
    ]


AGREEING = {
    "kontist.accounts": [
        {"account_id": "kontist:a", "iban": IBAN, "balance_cents": 8_600, **BEFORE},
        {"account_id": "kontist:a", "iban": IBAN, "balance_cents": 7_610, **AFTER},
    ]
}
CLOSED = AGREEING | {
    "closings.months": [{"account_id": "kontist:a", "month": february(1), "last_day": february(28)}],
    "closings.legs": [
        *closed(1, february(10), ("Income:Sales", "-100.00"), ("Liabilities:Output-VAT", "-19.00")),
        *closed(2, february(11), ("Expenses:Business", "20.00")),
        *closed(3, february(12), ("Expenses:Business", "7.00")),
        *closed(6, february(28), ("Equity:Private", "4.00")),
        *closed(7, february(14), ("Expenses:Rent", "2.00")),
    ],
}


def shown(batch: Batch) -> list[tuple[str, str, str, str, str]]:
    return [(line.text, f"{line.day:%d.%m.}", str(line.amount), line.counter_account, line.bu_key) for line in batch.lines]


def test_the_closed_month_is_written_as_it_was_closed(tmp_path: Path) -> None:
    batch, _, notes, _ = batch_of(ROWS, tmp_path, CLOSED, FEBRUARY)

    assert shown(batch) == [
        ("as it was", "10.02.", "119.00", "8400", ""),
        ("another amount", "11.02.", "-20.00", "4900", ""),
        ("gone", "12.02.", "-7.00", "1590", ""),
        ("another account", "14.02.", "-2.00", "1590", ""),
        ("in March now", "28.02.", "-4.00", "1800", ""),
    ]
    assert not any("Verwendungszweck" in line.about for line in batch.lines)  # which none of these movements has
    assert any("a closed month (out, no VAT code): 2" in one for one in notes)
    assert not any("the file shows them" in one for one in notes)  # as a statement of these days says


def test_the_open_month_has_what_changed_since_so_that_both_are_the_ledger(tmp_path: Path) -> None:
    batch, gross, notes, _ = batch_of(ROWS, tmp_path / "march", CLOSED)

    assert shown(batch) == [
        ("Korrektur 02/2026: another amount", "01.03.", "-5.00", "4900", ""),
        ("Korrektur 02/2026: gone", "01.03.", "7.00", "1590", ""),
        ("Korrektur 02/2026: late", "01.03.", "-11.90", "4900", "9"),
        ("Korrektur 02/2026: in March now", "01.03.", "4.00", "1800", ""),
        ("in March now", "02.03.", "-4.00", "1800", ""),
    ]
    assert any(one == "Since the closing, 1 movement went to other accounts: the books keep the old ones" for one in notes)
    before, _, _, _ = batch_of(ROWS, tmp_path / "february", CLOSED, FEBRUARY)
    of_bank = sum(amount for account, _, amount in gross if account.startswith("Assets:Bank"))
    assert batch.sums()["1200"] + before.sums()["1200"] == of_bank


def test_months_that_nobody_closed_are_the_ledgers(tmp_path: Path) -> None:
    batch, _, _, _ = batch_of(ROWS, tmp_path, AGREEING, FEBRUARY)

    assert [line[2:] for line in shown(batch)] == [
        ("119.00", "8400", ""), ("-25.00", "4900", ""), ("-11.90", "4900", "9"), ("-2.00", "4900", ""),
    ]  # fmt: skip


CHANGES = [
    # (cents then and now, category now, the other legs then), the lines of February and of the correction in March
    ((-1_190, -2_380, "VAT_19", ("Expenses:Business", "10.00"), ("Assets:Input-VAT", "1.90")), "4900/9", "4900/9"),
    ((-1_001, -1_000, "VAT_19", ("Expenses:Business", "8.41"), ("Assets:Input-VAT", "1.60")), "4900/9", "4900/9"),
    ((11_900, 10_700, "VAT_19", ("Income:Sales", "-100.00"), ("Liabilities:Output-VAT", "-19.00")), "8400", "8400"),
    # nothing but the rounded tax differs
    ((998, 999, "VAT_19", ("Income:Sales", "-8.39"), ("Liabilities:Output-VAT", "-1.59")), "8400", "8400"),
    # the category was another one then, and so was the account
    ((-1_070, -2_380, "VAT_19", ("Expenses:Business", "10.00"), ("Assets:Input-VAT", "0.70")), "1590", "1590"),
    ((-1_190, -2_380, "VAT_19", ("Expenses:Rent", "10.00"), ("Assets:Input-VAT", "1.90")), "1590", "1590"),
    # what was a payment is money that came in: nothing says where the difference belongs
    ((-500, 700, "PRIVATE", ("Equity:Private", "5.00")), "1800", "1800"),
    ((-500, 700, "VAT_0", ("Income:Sales", "5.00")), "1590", "1590"),
    # a drawing that is less, and one that is gone, are no deposits
    ((-500, -300, "PRIVATE", ("Equity:Private", "5.00")), "1800", "1800"),
    ((-500, None, "PRIVATE", ("Equity:Private", "5.00")), "1800", "1800"),
    ((-500, None, "VAT_0", ("Expenses:Business", "5.00")), "1590", "1590"),
]


def test_another_amount_keeps_account_and_key_where_net_and_tax_are_those_of_the_rate(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [kontist(99, march(2), 1, "VAT_0")]
    legs: list[dict[str, Any]] = []
    for number, ((then, now, category, *others), _, _) in enumerate(CHANGES):
        rows.append(kontist(number, february(10), then, category, **BEFORE))
        if now:
            rows.append(kontist(number, february(10), now, category, **AFTER))
        legs += closed(number, february(10), *others)
    total = sum(now or 0 for (_, now, *_), _, _ in CHANGES) + 1
    given = {
        "kontist.accounts": [{"account_id": "kontist:a", "iban": IBAN, "balance_cents": total, **AFTER}],
        "closings.months": CLOSED["closings.months"],
        "closings.legs": legs,
    }

    for name, days, place in [("february", FEBRUARY, 1), ("march", (march(1), march(31)), 2)]:
        batch, _, _, _ = batch_of(rows, tmp_path / name, given, days)
        lines = {line.about["Transaktion"].rpartition(":")[2]: line for line in batch.lines}
        for number, change in enumerate(CHANGES):
            line = lines[str(number)]
            then, now, *_ = change[0]
            wanted = Decimal(then if place == 1 else (now or 0) - then).scaleb(-2)
            found = f"{line.counter_account}/{line.bu_key}" if line.bu_key else line.counter_account
            assert (line.amount, found) == (wanted, change[place]), (name, change)
