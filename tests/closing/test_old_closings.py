"""A month that was closed before postings had tax legs: its hashes hold, and the tax is a correction between accounts.

The rows and figures are as the first version of `close` wrote them. They must never have to change: each trail that exists would
fail with another form of them.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipelines.consents.clients import vault_of
from pipelines.consents.closing_trail import ClosingTrail, Event, sha256
from pipelines.errors import GOOD
from pipelines.run.closed_changes import closed_changes, open_corrections
from pipelines.settings import load_settings
from pipelines.store.closed_months import ClosedMonth, entries_sha256, transactions_sha256
from pipelines.store.raw_copy import opened
from tests.questions.asked import ask, data_dir, printed_json
from tests.support import rows

CLOSED_AT = datetime(2026, 2, 3, 9, tzinfo=UTC)
TRANSACTIONS_SHA256 = "e9289c97f0fbb0ad19ae3154a6d8cd2c0f061f394b4e6c4828d03839577f5e66"
ENTRIES_SHA256 = "ad402aaeb2fa04227b2247e60f864783c8786e61e566d72b2727c5c78acb8beb"
FIGURES = (
    '{"account_id": "kontist:a", "bank_balance": null, "bank_balance_on": null, "closing_balance": "500.00", "complete": true,'
    ' "currency": "EUR", "days": 23, "entries": 3, "entries_sha256": "' + ENTRIES_SHA256 + '", "first_day": "2026-01-09",'
    ' "last_day": "2026-01-31", "ledger_account": "Assets:Bank:Kontist:A", "money_in": "119.00", "money_out": "-59.50",'
    ' "month": "2026-01", "opening_balance": "440.50", "reconciled_days": 0, "salt": "00112233445566778899aabbccddeeff",'
    ' "seen_days": 23, "transactions": 2, "transactions_sha256": "' + TRANSACTIONS_SHA256 + '"}'
)
ENTRIES = [("10", date(2026, 1, 10), "Income:Sales", "119.00"), ("20", date(2026, 1, 20), "Expenses:Business", "-59.50")]


def legs() -> list[dict[str, Any]]:
    """The entries as journals held them then: two legs each, gross."""
    found: list[dict[str, Any]] = []
    others = [("opening", "opening", date(2026, 1, 9), "Equity:Opening-Balances", "440.50")]
    movements = [("transaction", f"kontist:a:{number}", *about) for number, *about in ENTRIES]
    for kind, entry, day, other, amount in (*others, *movements):
        for leg, account, value in ((1, "Assets:Bank:Kontist:A", Decimal(amount)), (2, other, -Decimal(amount))):
            found.append(
                {"kind": kind, "entry": entry, "leg": leg, "booked_on": day, "movement_on": day, "is_bank": leg == 1,
                 "ledger_account": account, "amount": value, "currency": "EUR"}
            )  # fmt: skip
    return found


def transactions() -> list[dict[str, Any]]:
    return [
        {"transaction_id": f"kontist:a:{number}", "booked_on": day, "amount": Decimal(amount), "currency": "EUR"}
        for number, day, _, amount in ENTRIES
    ]


MONTH = ClosedMonth(
    account_id="kontist:a",
    month=date(2026, 1, 1),
    closed_at=CLOSED_AT,
    closed_by="ada",
    first_day=date(2026, 1, 9),
    last_day=date(2026, 1, 31),
    currency="EUR",
    transactions=2,
    money_in=Decimal("119.00"),
    money_out=Decimal("-59.50"),
    opening_balance=Decimal("440.50"),
    closing_balance=Decimal("500.00"),
    transactions_sha256=TRANSACTIONS_SHA256,
    entries=3,
    entries_sha256=ENTRIES_SHA256,
    bank_balance_on=None,
    bank_balance=None,
    ledger_account="Assets:Bank:Kontist:A",
    days=23,
    seen_days=23,
    reconciled_days=0,
    complete=True,
    salt="00112233445566778899aabbccddeeff",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data directory of today's program, with the month that an earlier one has closed."""
    of_month = {"account_id": "kontist:a", "month": date(2026, 1, 1)}
    instant = datetime(2026, 3, 1, 6, tzinfo=UTC)
    data_dir(
        tmp_path,
        {
            "kontist.accounts": [{"account_id": "kontist:a", "iban": "DE1", "balance_cents": 50_000}],
            "kontist.transactions": [
                {"source_transaction_id": number, "booking_type": "x", "category": "VAT_19",
                 "amount_cents": int(amount.replace(".", "")),
                 "booking_date": datetime(day.year, day.month, day.day, 12, tzinfo=UTC)}
                for number, day, _, amount in ENTRIES
            ],
            "kontist.imports": [{"account_id": "kontist:a", "started_at": instant, "finished_at": instant, "as_of": instant}],
            "closings.months": [vars(MONTH)],
            "closings.transactions": [row | of_month for row in transactions()],
            "closings.legs": [row | of_month for row in legs()],
        },
    )  # fmt: skip
    event = Event(what="closed", month="2026-01", account_id="kontist:a", figures=FIGURES, at=CLOSED_AT, who="ada")
    with opened(tmp_path) as (history, publish), vault_of(load_settings(data_dir=tmp_path)) as vault:
        ClosingTrail(vault.database, history.identity.history_id).append([event])
        publish()
    return tmp_path


def test_hashes_and_figures_have_the_form_in_which_trails_hold_them() -> None:
    assert transactions_sha256(transactions()) == TRANSACTIONS_SHA256
    assert entries_sha256(legs()) == ENTRIES_SHA256
    assert MONTH.figures == FIGURES
    assert sha256(FIGURES) == "206aeada81fcecd5c0dc61187f5563e84974cfa05b5668c25daece6fe2e78b62"


def test_an_old_closing_is_as_it_was_written_and_its_bank_has_changed_nothing(folder: Path) -> None:
    assert ask(folder, "close", "--verify") == GOOD
    assert closed_changes(folder / "ledger.duckdb") == open_corrections(folder / "ledger.duckdb") == []
    assert rows(folder, "select changed_transactions from closings") == [(0,)]


def test_tax_that_postings_have_since_is_a_correction_until_the_month_is_closed_anew(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = rows(folder, "select entry, cause, ledger_account, amount, booked_on from corrections order by all")
    february = date(2026, 2, 1)
    assert found == [
        ("kontist:a:10", "reclassified", "Income:Sales", Decimal("19.00"), february),
        ("kontist:a:10", "reclassified", "Liabilities:Output-VAT", Decimal("-19.00"), february),
        ("kontist:a:20", "reclassified", "Assets:Input-VAT", Decimal("9.50"), february),
        ("kontist:a:20", "reclassified", "Expenses:Business", Decimal("-9.50"), february),
    ]
    assert ask(folder, "close", "--list", "--json") == GOOD
    assert printed_json(capsys)["reclassified_entries"] == 2

    assert ask(folder, "reopen", "--month", "2026-01", "--reason", "tax has legs of its own") == GOOD
    assert ask(folder, "close", "--month", "2026-01") == GOOD

    assert rows(folder, "select count(*) from corrections") == [(0,)]
    assert rows(folder, "select count(*) from closed_postings where ledger_account like '%VAT'") == [(2,)]
    assert ask(folder, "close", "--verify") == GOOD
