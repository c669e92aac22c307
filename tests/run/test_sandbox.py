"""`run --sandbox`: its bank proves each day, its data directory is marked, and one that was read before stays in its dialect."""

from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.commands.cli import parser
from pipelines.commands.sandbox import sandbox
from pipelines.errors import Failure
from pipelines.report_page.page_options import page_options
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


def test_a_page_of_the_sandbox_is_known_by_its_mark_and_not_by_the_name_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise Failure("No bank today")

    monkeypatch.setattr("pipelines.run.steps.run", away)
    options = parser().parse_args(["--data-dir", str(tmp_path), "run", "--sandbox"])
    with pytest.raises(Failure, match="No bank today"):
        options.command(options)

    assert page_options(Settings(data_dir=tmp_path / "sandbox")).sandbox
    assert not page_options(Settings(data_dir=tmp_path)).sandbox
    assert not page_options(Settings(data_dir=tmp_path / "mine" / "sandbox")).sandbox
