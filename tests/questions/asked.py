"""A data directory with a raw history and its ledger, and the commands asked as a person asks them."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.commands.cli import parser
from pipelines.store.ledger import build_and_publish
from tests.ledger.worlds import Given, raw_file


def data_dir(folder: Path, given: Given) -> Path:
    """`folder` with `raw.duckdb` and a published `ledger.duckdb`."""
    with duckdb.connect(raw_file(folder / "raw.duckdb", given)) as connection:
        for bank in ("kontist", "kontomatik"):
            connection.execute(f"create table {bank}._dlt_loads (load_id varchar, inserted_at timestamptz)")
            connection.execute(f"insert into {bank}._dlt_loads values ('1772431200.0', now())")
    build_and_publish(folder)
    return folder


def ask(folder: Path, *arguments: str) -> int:
    """The exit status of a command; a `Failure` is raised, as `main` gets it."""
    options = parser().parse_args([*arguments, "--data-dir", str(folder)])
    status: int = options.command(options)
    return status


def printed_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one JSON object on standard output."""
    content: dict[str, Any] = json.loads(capsys.readouterr().out)
    return content
