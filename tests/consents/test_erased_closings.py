"""The erasure of a person whose months are closed: the figures go, the records stay, and both are still as they were written."""

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipelines.consents.closing_trail import ClosingTrail, Event
from pipelines.questions.closing_verification import verified
from pipelines.settings import Settings
from pipelines.store import closed_months
from pipelines.store.closed_months import ClosedMonth, entries_sha256, transactions_sha256
from pipelines.store.raw_copy import opened
from tests.consents.customers import NOON, the_vault
from tests.consents.test_erasing import a_consent, erase
from tests.support import rows

pytestmark = pytest.mark.usefixtures("quick")


def close(settings: Settings, account_id: str) -> ClosedMonth:
    """Closes a month of one transaction, as `close` keeps it."""
    transactions = [
        {"transaction_id": f"{account_id}:1", "booked_on": date(2026, 1, 5), "amount": Decimal("-12.34"), "currency": "PLN"}
    ]
    month = ClosedMonth(
        account_id=account_id,
        month=date(2026, 1, 1),
        closed_at=NOON,
        closed_by="ada",
        first_day=date(2026, 1, 1),
        last_day=date(2026, 1, 31),
        currency="PLN",
        transactions=1,
        money_in=Decimal("0.00"),
        money_out=Decimal("-12.34"),
        opening_balance=None,
        closing_balance=None,
        transactions_sha256=transactions_sha256(transactions),
        entries=0,
        entries_sha256=entries_sha256([]),
        bank_balance_on=None,
        bank_balance=None,
        ledger_account="Assets:Bank",
        days=31,
        seen_days=31,
        reconciled_days=0,
        complete=True,
        salt="salt",
    )
    event = Event(what="closed", month=month.name, account_id=account_id, figures=month.figures, at=NOON, who="ada")
    with opened(settings.data_dir) as (history, publish), the_vault(settings) as vault:
        closed_months.create_tables(history.connection)
        closed_months.keep(history.connection, month, transactions, [])
        publish()
        ClosingTrail(vault.database, history.identity.history_id).append([event])
    return month


def test_an_erasure_takes_the_figures_of_closed_months_and_leaves_a_trail_that_holds(
    new_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder: Path = new_folder()
    with a_consent(folder) as (bank, settings, own):
        with the_vault(settings) as vault:
            (account_id,) = vault.accounts_of(own.consent_id)
        close(settings, account_id)
        assert verified(settings).faults == []

        assert erase(bank, settings, monkeypatch, own.consent_id, "--yes") == 0

        after = verified(replace(settings))
        assert [(one.what, one.figures is None) for one in after.records] == [("closed", True), ("erased", False)]
        assert (after.faults, after.months) == ([], [])
        for table in ("months", "transactions", "legs"):
            assert rows(folder, f"select count(*) from closings.{table}", of="raw") == [(0,)]
        (receipt,) = (json.loads(path.read_text()) for path in (folder / "receipts").glob("erased-*.json"))
        assert "the trail of closed months, 1 of its records without figures" in " ".join(receipt["kept"])
        kept = (folder / "vault.sqlite").read_bytes()
        assert account_id.encode() not in kept
        assert b"-12.34" not in kept
