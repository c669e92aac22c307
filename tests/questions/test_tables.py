"""Tables for people: nothing that matters is cut at 80 columns, numbers stand right, and no two accounts are named alike."""

import re
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pipelines.consents.consent_status import ConsentStatus
from pipelines.questions import status
from pipelines.read.outcome import BankRun, Counts, Outcome
from pipelines.run import institutions, summary
from pipelines.run.accounts import coverage_sentences
from pipelines.run.report import Report
from pipelines.text import tables
from pipelines.text.endings import Named, endings

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HEADINGS = ("bank", "account", "read", "new", "changed", "balance")


def shown(draw: object, width: int = 80) -> str:
    """What `draw(console)` prints on a terminal that wide."""
    file = StringIO()
    draw(Console(file=file, width=width, force_terminal=True, color_system=None))  # type: ignore[operator]
    return file.getvalue()


def an_outcome(institution: str, number: int, balance: str, new: int = 0) -> Outcome:
    outcome = Outcome("kontomatik", NOW, f"kontomatik:{number}", institution=institution, account=f"account …{number:04d}")
    outcome.currency, outcome.balance, outcome.counts = "PLN", Decimal(balance), Counts(new, 0, 0)
    outcome.window_start = NOW.date()
    return outcome.end("complete")


def a_report(*outcomes: Outcome) -> Report:
    return Report(
        "r-1", [BankRun("kontomatik", list(outcomes))], seconds=dict.fromkeys(("total", "extract", "load", "transform"), 1.0)
    )


cells = st.text("abc…1,.·–", max_size=24)


@given(rows=st.lists(st.tuples(*[cells] * len(HEADINGS)), min_size=1, max_size=4), width=st.integers(20, 120))
def test_no_cell_is_cut_at_any_width(rows: list[tuple[str, ...]], width: int) -> None:
    text = shown(lambda console: tables.show(console, "T", HEADINGS, rows, marked={0}), width)
    for row in rows:
        for cell in row[:2]:
            assert cell in text
        for cell in row[2:]:
            assert cell in text or cell in tables.NOTHING


def test_a_run_loses_columns_that_say_nothing_before_it_loses_its_table() -> None:
    outcomes = [an_outcome("mBank", number, "1234567.89", new=1) for number in (1, 2)]
    text = shown(lambda console: summary.show(a_report(*outcomes), console))
    assert "1,234,567.89 PLN" in text
    assert "removed" not in text
    assert "┃" in text

    outcomes.append(an_outcome("Genossenschaftsbank für Handwerk und Handel", 3, "-99999999999.99"))
    text = shown(lambda console: summary.show(a_report(*outcomes), console))
    (line,) = [line for line in text.splitlines() if "…0003" in line]
    assert line.startswith("Genossenschaftsbank für Handwerk und Handel account …0003: ")
    assert "balance -99,999,999,999.99 PLN" in line


def test_an_answer_loses_columns_without_a_value_before_it_loses_its_table_and_names_them() -> None:
    """As `describe transactions` at 80 columns, three of whose columns say nothing."""
    headings = ("column_name", "column_type", "null", "key", "default", "amount")
    rows = [["x" * 30, "TIMESTAMP WITH TIME ZONE", "YES", "", "", "9999999999999.99"], ["y", "DATE", "YES", "", "", "1.00"]]
    text = shown(lambda console: tables.show_answer(console, headings, rows, right={5}), 90)
    assert "┃" in text
    assert re.search(r"│ +1\.00 │$", text, re.MULTILINE)
    assert text.endswith("Without a value: key, default\n")

    text = shown(lambda console: tables.show_answer(console, headings, rows), 60)
    assert "  amount       9999999999999.99\n" in text
    assert text.endswith("Without a value: key, default\n")

    assert shown(lambda console: tables.show_answer(console, headings, [])) == "No rows.\n"


def test_status_consents_and_catalog_cut_no_account_currency_or_name() -> None:
    long = "Genossenschaftsbank für Handwerk und Handel in Niederbayern"
    account = {"institution": long, "display_name": f"{long} savings …1234", "currency": "CHF", "last_booked_on": NOW.date()}
    account |= {"last_imported_at": "2026-03-01T12:00:00Z", "held_since": None, "differs_from": None, "gone_at": None}
    account |= {"days": 830, "missing_days": 0, "reconciled_days": 818}
    consent = {
        "consent_id": "c-0123456789ab",
        "institution": long,
        "access_mode": "MULTIPLE",
        "status": "active",
        "days_left": 120,
    }
    consent |= {"imports_left": 0, "next_import_at": "2026-03-02T12:00:00+00:00", "warning": None, "reason": None}
    consent |= dict.fromkeys(("source", "usable", "created_at", "last_import_at", "erase_asked_at"))
    consent["expires_at"] = "2026-06-30T12:00:00+00:00"
    known = ConsentStatus(**consent)
    gathered = status.Status(accounts=[account], consents=[known], last_run=None, data_dir=".", clock=None, lost=[])
    bank = {"country": "de", "institution": long, "name": long, "target": "GBH", "access_modes": ["MULTIPLE"], "beta": True}
    for width in (40, 80):
        text = shown(lambda console: status.show(gathered, console), width)
        for wanted in (
            f"{long} savings …1234: currency CHF",
            f"c-0123456789ab {long}: ",
            "ends 2026-06-30",
            "days left 120",
            "imports left 0",
            "coverage complete, reconciled 818 of 830 days",
        ):
            assert wanted in text
        assert f"de {long}: name {long}" in shown(lambda console: institutions.show([bank], console), width)


@pytest.mark.parametrize(
    ("days", "said"),
    [
        ([(10, 0, 4), (1000, 0, 1000)], ["every day was read (1,010 days of 2 accounts)", "1,004 of 1,010 days are proven"]),
        (
            [(10, 3, 0), (20, 0, 0)],
            ["3 of 30 days were not read, in 1 of 2 accounts; `prove` names them", "0 of 30 days are proven"],
        ),
        ([(0, 0, 0)], []),
    ],
)
def test_coverage_and_reconciliation_are_two_statements(days: list[tuple[int, int, int]], said: list[str]) -> None:
    listed: list[Any] = [dict(zip(("days", "missing_days", "reconciled_days"), one, strict=True)) for one in days]
    sentences = coverage_sentences(listed)

    assert len(sentences) == len(said)
    assert all(part in sentence for part, sentence in zip(said, sentences, strict=True))


def test_numbers_stand_right() -> None:
    outcomes = [an_outcome("Bank", 1, "5.00", new=1), an_outcome("Bank", 2, "12345.67", new=1000)]
    one, two = [line for line in shown(lambda console: summary.show(a_report(*outcomes), console)).splitlines() if "…000" in line]
    assert (one.index("5.00 PLN") + 4, one.index(" 1 ") + 2) == (two.index("12,345.67 PLN") + 9, two.index("1000") + 4)


def test_what_a_bank_sends_is_no_markup() -> None:
    rows = [("[/x] [red]Bank", "account …1234", "[bold]")]
    text = shown(lambda console: tables.show(console, "[title]", ("bank", "account", "x"), rows))
    assert "[/x] [red]Bank" in text
    assert "[title]" in text


numbers = st.text("0123", min_size=4, max_size=12).map(lambda tail: f"DE89370400440532{tail}")
accounts = st.lists(
    st.tuples(numbers | st.none(), st.sampled_from(["card", "account", "savings"]), st.sampled_from(["EUR", "PLN"])), max_size=12
)


@given(accounts)
def test_no_two_accounts_are_named_alike_and_none_in_full(given_: list[tuple[str | None, str, str]]) -> None:
    named = [Named(f"k:{place:06x}", *one) for place, one in enumerate(given_)]
    result = endings(named)
    assert set(result) == {one.account_id for one in named}
    assert all(count == 1 for count in Counter((one.kind, result[one.account_id]) for one in named).values())
    assert not [one for one in named if one.number and one.number in result[one.account_id]]


@pytest.mark.parametrize(
    ("given_", "result"),
    [
        ([("PL111234", "account", "PLN")], ["…1234"]),
        ([("PL11551234", "account", "PLN"), ("PL11661234", "account", "PLN")], ["…551234", "…661234"]),
        ([("PL11551234", "account", "PLN"), ("PL11551234", "card", "PLN")], ["…1234", "…1234"]),
        ([("PL11551234", "account", "PLN"), ("PL11551234", "account", "EUR")], ["…1234 PLN", "…1234 EUR"]),
        ([("PL61109010140000071219812874", "account", "PLN"), ("PL27114020040000071219812874", "account", "PLN")], None),
        ([(None, "account", "PLN"), (None, "account", "PLN")], ["000000", "000001"]),
        ([("Konto Oszczędnościowe", "account", "PLN")], ["…Oszczędnościowe"]),
        ([("My Account", "account", "PLN"), ("Your Account", "account", "PLN")], ["…My Account", "…Your Account"]),
    ],
)
def test_an_account_is_named_by_as_little_as_tells_it_apart(given_: list[tuple[str, str, str]], result: list[str] | None) -> None:
    found = endings(Named(f"k:{place:06x}", *one) for place, one in enumerate(given_))
    assert list(found.values()) == (result or ["PL61…2874", "PL27…2874"])
