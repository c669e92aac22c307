"""Whatever amounts, categories, splits and texts there are: a batch for DATEV reads back, and its sums are the ledger's."""

import os
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.questions.datev_worlds import ROWS, batch_of, kontist, march, parts

TEXTS = st.text(max_size=90) | st.text(alphabet=";\"\r\n=+-@\t'ä€", max_size=240)
AMOUNTS = st.integers(-99_999, -1) | st.integers(1, 99_999)
CATEGORIES = st.sampled_from([None, "VAT_19", "VAT_7", "VAT_0", "REVERSE_CHARGE", "PRIVATE", "TAX_PAYMENT"])
TAXED = {("Income:Sales", "VAT_19"): "8400", ("Income:Sales", "VAT_7"): "8300", ("Income:Sales", "VAT_0"): "1590",
         ("Income:Sales", "REVERSE_CHARGE"): "1590", ("Expenses:Business", "VAT_19"): "4900",
         ("Expenses:Business", "VAT_7"): "4900", ("Expenses:Business", "VAT_0"): "4900",
         ("Expenses:Business", "REVERSE_CHARGE"): "1590"}  # fmt: skip
UNTAXED = {"Income:Uncategorised": "1590", "Expenses:Uncategorised": "1590", "Expenses:Taxes": "1810"}


def number_of(account: str, code: str | None, amount: Decimal) -> str:
    """The account of the adviser's books, as a person reads the shipped seed."""
    if account.startswith("Assets:Bank:"):
        return "1200"
    if account == "Equity:Private":
        return "1800" if amount > 0 else "1890"  # a debit is a drawing
    return TAXED[account, code] if code else UNTAXED[account]


@st.composite
def movements(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draws rows of a month: amounts, categories, splits that are the whole, any texts."""
    drawn = draw(
        st.lists(
            st.tuples(st.integers(1, 31), AMOUNTS, CATEGORIES, st.integers(-999, 999), TEXTS, TEXTS),
            min_size=12,
            max_size=25,
        )
    )
    return [
        kontist(
            number, march(day), cents, category, name=name, purpose=purpose, invoice_number=purpose[:50],
            splits=parts((cents - part, category), (part, "VAT_7")) if category and number % 3 == 0 else None,
        )
        for number, (day, cents, category, part, name, purpose) in enumerate(drawn)
    ]  # fmt: skip


@settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to make a failing ledger smaller takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(rows=movements())
def test_whatever_amounts_and_texts_there_are_the_sums_are_the_ledgers(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    batch, gross, _, _ = batch_of(rows, tmp_path)

    expected: dict[str, Decimal] = defaultdict(Decimal)
    for account, code, amount in gross:
        expected[number_of(account, code, amount)] += amount
    assert {number: amount for number, amount in batch.sums().items() if amount} == {
        number: amount for number, amount in expected.items() if amount
    }
    by_account: dict[str, Decimal] = defaultdict(Decimal)
    for line in batch.lines:
        by_account[line.about["Buchungskonto"]] -= line.amount
    assert dict(by_account) == {account: sum(amount for one, _, amount in gross if one == account) for account in by_account}


def test_the_file_of_march_is_the_one_that_was_looked_at(tmp_path: Path) -> None:
    """To accept a change: `GOLDEN=datev make test ARGS=...` writes it, then read the diff."""
    _, _, _, path = batch_of(ROWS, tmp_path)

    golden = Path(__file__).with_name("datev_march.csv")
    if os.environ.get("GOLDEN") == "datev":
        golden.write_bytes(path.read_bytes())
    assert path.read_bytes() == golden.read_bytes()
