"""A month of an account with everything that a batch for DATEV can hold, and the command that writes it."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipelines.questions.exports import Export, files
from pipelines.questions.statements import Selection
from tests.ledger.worlds import Given, built, needed
from tests.questions.asked import ask
from tests.questions.datev_reader import Batch, Line, read
from transforms import seeds

IBAN, OTHER_IBAN = "DE89370400440532013000", "MT84MALT011000012345MTLCAST001S"
READ_AT = datetime(2026, 4, 1, 6, tzinfo=UTC)
MARCH = ("--from", "2026-03-01", "--to", "2026-03-31")
FILE = "EXTF_Buchungsstapel_20260301_20260331.csv"
SETTINGS = "name,value\ndatev_consultant_number,29098\ndatev_client_number,55003\n"
SHIPPED = seeds.FOLDER


def kontist(number: int, day: date, cents: int, category: str | None = None, **more: Any) -> dict[str, Any]:
    booked = datetime(day.year, day.month, day.day, 11, tzinfo=UTC)
    return {
        "account_id": "kontist:a",
        "source_transaction_id": str(number),
        "transaction_id": f"kontist:{number}",
        "amount_cents": cents,
        "booking_date": booked,
        "valuta_date": booked,
        "booking_type": "SEPA_CREDIT_TRANSFER",
        "category": category,
    } | more


def parts(*listed: tuple[int, str]) -> str:
    return json.dumps([{"amount": cents, "category": category} for cents, category in listed])


def march(day: int) -> date:
    return date(2026, 3, day)


RULES = [
    {"rule": "cloud", "account_id": "", "counterparty": "Cloud Ltd", "iban": "", "text": "", "direction": "out",
     "ledger_account": "Expenses:Business", "vat_code": "REVERSE_CHARGE_EU"},
    {"rule": "france", "counterparty": "Customer in France", "direction": "in", "ledger_account": "Income:Sales",
     "vat_code": "REVERSE_CHARGE_EU"},
    {"rule": "hospice", "counterparty": "Hospice", "direction": "any", "ledger_account": "Expenses:Donations"},
]  # fmt: skip
"""A person's: two codes that the bank has not, and an account whose row in `skr` is for postings without VAT."""
ROWS = [
    kontist(1, march(2), 119_000, "VAT_19", name="Ärzte GmbH", purpose="Rechnung 117", invoice_number="RE 2026/117"),
    kontist(2, march(3), 10_700, "VAT_7", name="Verlag"),
    kontist(3, march(4), -11_900, "VAT_19", name="Strom AG", iban="DE01", e2e_id="E-1", booking_type="SEPA_DIRECT_DEBIT"),
    kontist(4, march(5), -1_070, "VAT_7", name="Buchladen"),
    kontist(5, march(5), -5_000, "VAT_0", name="Post"),
    kontist(6, march(6), -10_000, "REVERSE_CHARGE", name="Cloud Inc"),
    kontist(7, march(9), -50_000, "PRIVATE", name="Haushalt"),
    kontist(8, march(9), 20_000, "PRIVATE", name="Einlage"),
    kontist(9, march(10), -30_000, "TAX_PAYMENT", name="Finanzamt"),
    kontist(10, march(11), 7_000, None, splits=parts((5_000, "VAT_19"), (2_000, "VAT_7")), name="Two in one"),
    kontist(11, march(12), 11_900, None, name="Strom AG", iban="DE01", e2e_id="E-1", booking_type="SEPA_DIRECT_DEBIT_RETURN"),
    kontist(12, march(13), 3_333, None, name="Who knows"),
    kontist(13, march(14), 0, None, name="Nothing"),
    kontist(14, march(15), -1, None, name="pending", booking_type=None, valuta_date=None),
    kontist(16, march(16), -2_500, "PRIVATE", name="Mu\u0308ller", iban="DE02", e2e_id="E-2"),
    kontist(17, march(18), 2_500, None, name="Mu\u0308ller", iban="DE02", e2e_id="E-2", booking_type="SEPA_DIRECT_DEBIT_RETURN"),
    kontist(18, march(20), -8_000, "REVERSE_CHARGE", name="Cloud Ltd"),
    kontist(19, march(21), 30_000, "REVERSE_CHARGE", name="Customer in France"),
    kontist(20, march(22), -2_380, "VAT_19", name="Hospice"),
    kontist(15, march(31), -700, None, name='=cmd|"/c calc"!A0; "Ü"', purpose="Zeile 1\r\nZeile 2 ☕ 東京 \x1b[31m" + "ä" * 240),
]
BALANCE = sum(row["amount_cents"] for row in ROWS if row["booking_type"])
COMPLETE: Given = {
    "kontist.accounts": [{"account_id": "kontist:a", "iban": IBAN, "balance_cents": BALANCE}],
    "kontist.transactions": ROWS,
    "kontist.imports": [{"import_id": "i-a", "account_id": "kontist:a", "finished_at": READ_AT}],
    "kontomatik.accounts": [
        {"account_id": "kontomatik:k", "iban": "PL61109010140000071219812874", "balance": "0", "currency": "PLN"}
    ],
}


def with_seeds(folder: Path, **texts: str) -> Path:
    (folder / "seeds").mkdir(parents=True, exist_ok=True)
    columns = tuple(RULES[0])
    rules = "\n".join(",".join(row.get(column, "") for column in columns) for row in ({name: name for name in columns}, *RULES))
    for name, text in ({"settings": SETTINGS, "rules": f"{rules}\n"} | texts).items():
        (folder / "seeds" / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def exported(folder: Path, out: Path, *more: str, days: tuple[str, ...] = MARCH) -> Batch:
    assert ask(folder, "export", "--format", "datev", "--out", str(out), *days, *more) == 0
    (path,) = out.iterdir()
    return read(path)


def by_id(batch: Batch) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = {}
    for line in batch.lines:
        found.setdefault(line.about["Transaktion"].rpartition(":")[2], []).append(line)
    return found


def euros(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


TABLES = (
    "accounts", "balances_daily", "closed_month_changes", "closed_postings", "closings", "corrections", "coverage", "holes",
    "imports", "postings", "seeds", "transactions", "transaction_details",
)  # fmt: skip
NEEDED = needed(*(f"ledger.{table}" for table in TABLES))


def batch_of(
    rows: list[dict[str, Any]], tmp_path: Path, given: Given | None = None, days: tuple[date, date] = (march(1), march(31))
) -> tuple[Batch, list[tuple[str, str | None, Decimal]], list[str], Path]:
    """Returns the batch of a ledger in memory, its postings' accounts, codes and gross amounts, the notes, and the file."""
    balance = sum(row["amount_cents"] for row in rows if row["booking_type"] and not row.get("valid_to"))
    world = COMPLETE | {
        "kontist.accounts": [{"account_id": "kontist:a", "iban": IBAN, "balance_cents": balance}],
        "kontist.transactions": rows,
        "seeds.rules": RULES,
    }
    notes: list[str] = []
    with built(world | (given or {}), NEEDED) as connection:
        connection.execute("use ledger; create table about as select timestamptz '2026-04-01 06:30:00.123456+00' as published_at")
        selection = Selection(first=days[0], last=days[1])
        (path,) = files(connection, "datev", Export(tmp_path / "out", notes.append, selection, with_seeds(tmp_path) / "seeds"))
        gross = connection.execute(
            "select any_value(ledger_account) filter (leg < 1000), any_value(vat_code), sum(amount)"
            " from postings where account_id = 'kontist:a' group by transaction_id, leg % 1000"
        ).fetchall()
    return read(path), gross, notes, path
