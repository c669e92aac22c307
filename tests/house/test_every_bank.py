"""Each list of banks names all of them: a bank that one list lacks would be missing there silently."""

import re
from pathlib import Path
from typing import get_args

import pytest

from flows.ingest import BankName
from pipelines.commands.cli import parser
from pipelines.questions.doctor import BANK_LOOKS
from pipelines.read.bank_reader import READERS
from pipelines.settings import NAMES, Settings
from pipelines.store.banks import BANKS, Bank
from pipelines.store.files import FILE
from transforms import seeds
from transforms.models import load

TRANSFORMS = Path(__file__).parents[2] / "transforms"
MODELS = {model.name: model for model in load()}
NAMES_OF_BANKS = {bank.name for bank in BANKS}
SHARED = set.intersection(*(set(bank.tables) for bank in BANKS))
"""Tables that every bank has: a query that reads one of them of one bank reads it of all banks."""
LACKING = {
    ("int_running_balance_ends", "kontist", "transactions"),
    ("account_owners", "kontist", "accounts"),
    ("memos_move_nothing", "kontomatik", "transactions"),
    ("every_split_once", "kontomatik", "transactions"),
    ("int_payment_kinds", "kontomatik", "transactions"),
}
"""Query, bank and table, where the bank's table has nothing of what the query asks: Kontist gives no balance after each row, and
names no owner; Kontomatik shows movements only, no splits and no merchant codes."""
NOT_OF_FILES = {
    "int_file_accounts",
    "int_reported_balances",
    "every_version_once",
}
"""Queries of the banks alone: the first compares them with files; a file gives balances of days, and a
version of an entry may be of several files (`files_hold_every_entry`)."""
OF_A_COLUMN = {"stg_kontist__splits"}
"""Staging models of a list that stands in one column of a raw table."""


@pytest.mark.parametrize("bank", BANKS, ids=lambda bank: bank.name)
def test_every_raw_table_of_a_bank_has_a_staging_model(bank: Bank) -> None:
    staged = {f"stg_{bank.name}__{table}" for table in bank.tables}

    assert staged == {name for name in MODELS if name.startswith(f"stg_{bank.name}__")} - OF_A_COLUMN


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if model.layer != "staging"])
def test_a_model_reads_a_table_of_all_banks_or_of_none(name: str) -> None:
    assert forgotten(name, set(re.findall(r"\bstg_([a-z]+)__(\w+)", MODELS[name].sql))) == set()


@pytest.mark.parametrize("check", sorted((TRANSFORMS / "checks").glob("*.sql")), ids=lambda path: path.stem)
def test_a_check_reads_a_table_of_all_banks_or_of_none(check: Path) -> None:
    assert forgotten(check.stem, set(re.findall(r"\braw\.(\w+)\.(\w+)", check.read_text()))) == set()


def forgotten(query: str, read: set[tuple[str, str]]) -> set[tuple[str, str, str]]:
    """The tables that the query would have to read, too, for each bank to be there."""
    shared = {table for bank, table in read if bank in NAMES_OF_BANKS and table in SHARED}
    missing = {(query, bank, table) for bank in NAMES_OF_BANKS for table in shared if (bank, table) not in read}
    return missing - LACKING


def test_what_is_forgotten_is_found() -> None:
    (one, *others) = sorted(NAMES_OF_BANKS)

    found = forgotten("a query", {(one, "transactions"), (one, "no_shared_table")})

    assert found == {("a query", bank, "transactions") for bank in others}


def test_every_model_that_names_its_source_accepts_every_bank() -> None:
    accepted = {
        name: {value.strip("'") for value in check.values}
        for name, model in MODELS.items()
        for check in model.checks
        if check.kind == "accepted" and check.column == "source"
    }

    assert "transactions" in accepted
    assert {name: banks for name, banks in accepted.items() if banks - {FILE} != NAMES_OF_BANKS} == {}


def test_a_model_or_check_that_reads_all_banks_reads_files_too() -> None:
    read = {
        name: set(re.findall(r"\bstg_([a-z]+)__(accounts|imports|transactions)\b", model.sql))
        for name, model in MODELS.items()
        if model.layer != "staging"
    } | {
        check.stem: set(re.findall(r"\braw\.(\w+)\.(accounts|imports|transactions)\b", check.read_text()))
        for check in (TRANSFORMS / "checks").glob("*.sql")
    }
    lacking = {
        name
        for name, tables in read.items()
        for table in ("accounts", "imports", "transactions")
        if {(bank, table) for bank in NAMES_OF_BANKS} <= tables and (FILE, table) not in tables
    }

    assert lacking == NOT_OF_FILES


def test_commands_settings_and_seeds_know_every_bank() -> None:
    for bank in NAMES_OF_BANKS:
        assert parser().parse_args(["run", "--source", bank]).source == [bank]
        assert f"sources.{bank}" in NAMES
        assert hasattr(Settings(), bank)
    assert set(get_args(BankName)) == NAMES_OF_BANKS
    assert BANK_LOOKS.keys() == NAMES_OF_BANKS
    assert READERS.keys() == set(BANKS)
    assert set(seeds.SOURCES) == NAMES_OF_BANKS
