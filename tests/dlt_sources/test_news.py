"""A destination that can only append gets each change of a bank once, whatever the bank does between two reads."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources._columns import DAY, required, table
from sources._deliveries import Delivery
from sources._versions import Window, digest, versioned_rows

SCHEMA = table(required("transaction_id"), required("account_id"), required("window_on", DAY), required("row_version"))
FIRST = date(2026, 1, 1)
LAG = 2
CHANGES = st.tuples(st.sampled_from(["add", "edit", "move", "delete"]), st.integers(0, 50), st.integers(0, 3 * LAG))
READS = st.tuples(st.lists(CHANGES, max_size=4), st.integers(0, 3), st.booleans(), st.booleans())
"""What the bank does, the days until the next read, whether this read begins at `SINCE`, and whether a backfill follows it."""
SINCE = FIRST - timedelta(days=3)


def change(rows: dict[str, tuple[date, str]], today: date, what: str, at: int, days_ago: int) -> None:
    """Does one thing that banks do; `at` chooses the row."""
    day, number = today - timedelta(days=days_ago), len(rows) + at * 1000
    name = sorted(rows)[at % len(rows)] if rows else ""
    if what == "add" or not rows:
        rows[f"bank:a:{number}-{today}"] = (day, digest("first"))
    elif what == "edit":
        rows[name] = (rows[name][0], digest(f"edited on {today} {days_ago}"))
    elif what == "move":
        rows[name] = (day, digest(f"moved to {day} on {today}"))
    else:
        del rows[name]


@settings(max_examples=150)
@given(st.lists(READS, min_size=1, max_size=6))
def test_what_was_appended_adds_up_to_what_the_bank_shows(lives: Sequence[Any]) -> None:
    memory: dict[str, Any] = {}
    bank: dict[str, tuple[date, str]] = {}
    held: dict[str, tuple[date, str]] = {}
    today, kept_from, is_filled_in = FIRST, SINCE, False
    for changes, passed, everything, backfill in lives:
        for one in changes:
            change(bank, today, *one)
        shown = {name: row for name, row in bank.items() if row[0] >= SINCE}
        again = today - timedelta(days=LAG)
        apply(held, shown, delivered(memory, shown, Window(SINCE if everything else kept_from), max(SINCE, again)))
        if backfill:
            earlier = {name: row for name, row in bank.items() if row[0] < SINCE}
            apply(held, earlier, delivered(memory, earlier, Window(None, SINCE), None))
            assert is_filled_in or earlier.items() <= held.items()
            is_filled_in = True

        assert {name: row for name, row in bank.items() if row[0] >= kept_from}.items() <= held.items()
        assert {name for name, (day, _) in held.items() if day >= kept_from} <= set(bank)
        kept_from = max(SINCE, again)
        today += timedelta(days=passed)


def apply(held: dict[str, tuple[date, str]], shown: dict[str, tuple[date, str]], news: list[Any]) -> None:
    """Adds what a read delivered to what is held."""
    for name, day, version, removed in news:
        assert held.get(name) != (day, version)  # nothing twice
        if removed:
            assert name not in shown
            del held[name]
        else:
            held[name] = day, version


def delivered(memory: dict[str, Any], shown: dict[str, tuple[date, str]], window: Window, keep_from: date | None) -> list[Any]:
    """Returns what one read delivers: transaction, day, version, and whether it is removed."""
    values = [(name, "bank:a", day, version) for name, (day, version) in shown.items()]
    rows = pa.Table.from_pylist([dict(zip(SCHEMA.names, one, strict=True)) for one in values], schema=SCHEMA).to_batches()
    delivery = Delivery(SCHEMA, ("transaction_id",), keeps="news", memory=memory)
    columns = ("transaction_id", "window_on", "row_version", "removed")
    batches = delivery.days("bank:a", window, rows, keep_from=keep_from)
    return [tuple(row[name] for name in columns) for batch in batches for row in batch.to_pylist()]


@pytest.mark.parametrize("consent_id", ["customer|7", "bank", "a:b"])
def test_a_row_that_went_is_named_as_it_was_delivered_whatever_its_key_looks_like(consent_id: str) -> None:
    key, memory = ("account_id", "position"), dict[str, Any]()
    schema = table(required("consent_id"), required("account_id"), required("position", pa.int64()), required("row_version"))
    reported = []
    for places in ((0, 1), (0,)):
        rows = [{"consent_id": consent_id, "account_id": f"{consent_id}:1|2", "position": place} for place in places]
        delivery = Delivery(schema, key, keeps="news", memory=memory)
        batches = delivery.whole(versioned_rows(rows, schema), consent_id=consent_id)
        reported += [(row["account_id"], row["position"], row["removed"]) for batch in batches for row in batch.to_pylist()]

    whose = f"{consent_id}:1|2"
    assert reported == [(whose, 0, False), (whose, 1, False), (whose, 1, True)]


def test_an_account_that_another_consent_delivers_in_this_load_is_not_gone() -> None:
    memory, schema = dict[str, Any](), table(required("account_id"), required("consent_id"), required("row_version"))

    def reported(consent_id: str, *accounts: str, elsewhere: Sequence[str] = ()) -> list[tuple[str, bool]]:
        rows = versioned_rows([{"account_id": one, "consent_id": consent_id} for one in accounts], schema)
        delivery = Delivery(schema, ("account_id",), keeps="news", memory=memory)
        batches = delivery.whole(rows, consent_id=consent_id, elsewhere=[{"account_id": one} for one in elsewhere])
        return [(row["account_id"], row["removed"]) for batch in batches for row in batch.to_pylist()]

    assert (reported("c-1", "a", "b"), reported("c-2", elsewhere=["a"])) == ([("a", False), ("b", False)], [])
    assert (reported("c-2", "a"), reported("c-1", "b", elsewhere=["a"])) == ([("a", False)], [])  # now the other way round
    assert reported("c-2") == [("a", True)]
