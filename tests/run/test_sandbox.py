"""`run --sandbox`: its bank proves each day, and a data directory that was read before stays in its dialect."""

from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.commands.sandbox import sandbox
from pipelines.settings import Settings
from tests.ledger.worlds import raw_file


@pytest.mark.parametrize(
    ("balance", "dialect"),
    [(None, "openapi"), (Decimal("1.00"), "live"), ("no rows", "live"), ("no file", "live"), ("damaged", "live")],
)
def test_a_new_sandbox_speaks_live_and_one_that_was_read_stays_as_it_is(balance: object, dialect: str, tmp_path: Path) -> None:
    raw = tmp_path / "sandbox" / "raw.duckdb"
    raw.parent.mkdir()
    if balance == "damaged":
        raw.write_bytes(b"no database")
    elif balance != "no file":
        rows = [] if balance == "no rows" else [{"amount": Decimal(1), "balance_after": balance}]
        raw_file(raw, {"kontomatik.transactions": rows})

    with sandbox(Settings(data_dir=tmp_path)) as settings:
        assert settings.kontomatik.dialect == dialect
