"""A connected account, what happened on it, and what the commands show of it."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.files.bank_files import IBAN, OTHER_IBAN, Row
from tests.ledger.worlds import Given
from tests.support import rows

D = Decimal
FIRST, CONNECTED, LAST = date(2024, 1, 1), date(2025, 3, 3), date(2025, 3, 31)
OPENING = D("1000.00")
WORLD: list[Row] = [
    (date(2024, 1, 2), D("250.00"), "Miete"),
    (date(2024, 1, 2), D("-9.90"), "Abo"),
    (date(2024, 1, 2), D("-9.90"), "Abo"),
    (date(2024, 6, 28), D("-1200.05"), "Rechnung"),
    (date(2025, 3, 3), D("-20.00"), "before the bank's first row of the day"),
    (date(2025, 3, 3), D("-5.00"), "Kaffee"),
    (date(2025, 3, 3), D("-5.00"), "Kaffee"),
    (date(2025, 3, 10), D("31.00"), "Gutschrift"),
    (date(2025, 3, 31), D("-0.01"), "Gebühr"),
]
"""What happened on the account. The bank shows it from the second row of 3 March on."""
READ_AT = datetime(2025, 4, 1, 6, tzinfo=UTC)
CLOSING = OPENING + sum(amount for _, amount, _ in WORLD)


def bank(*shown: Row, balance: Decimal) -> Given:
    """What was read of the bank on 1 April."""
    return {
        "kontist.accounts": [
            {"account_id": "kontist:a", "iban": IBAN, "balance_cents": int(balance * 100), "valid_from": READ_AT},
            {"account_id": "kontist:b", "iban": OTHER_IBAN, "balance_cents": 0, "valid_from": READ_AT},
        ],
        "kontist.transactions": [
            {
                "source_transaction_id": str(number),
                "booking_date": datetime(day.year, day.month, day.day, 11, tzinfo=UTC),
                "valuta_date": datetime(day.year, day.month, day.day, 11, tzinfo=UTC),
                "amount_cents": int(amount * 100),
                "purpose": text,
                "import_id": "i-bank",
                "valid_from": READ_AT,
            }
            for number, (day, amount, text) in enumerate(shown, start=1)
        ],
        "kontist.imports": [
            {"import_id": "i-bank", "account_id": "kontist:a", "started_at": READ_AT, "finished_at": READ_AT},
        ],
    }  # fmt: skip


def written(folder: Path, text: str, name: str = "file.xml", encoding: str = "utf-8") -> str:
    path = folder.parent / name
    path.write_bytes(text.encode(encoding))
    return str(path)


def booked(folder: Path) -> list[tuple[date, Decimal]]:
    return sorted(rows(folder, "select booked_on, amount from transactions where status = 'booked' and account_id = 'kontist:a'"))


def of_the_world(first: date = FIRST) -> list[tuple[date, Decimal]]:
    return sorted((day, amount) for day, amount, _ in WORLD if day >= first)


def coverage(folder: Path) -> set[tuple[Any, ...]]:
    return set(rows(folder, "select status, proof from coverage where account_id = 'kontist:a' and day < '2025-04-01'"))
