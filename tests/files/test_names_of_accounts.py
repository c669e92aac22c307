"""How people name an account of files, and what they read of it."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import WrongUsage
from pipelines.run.file_accounts import Known, named
from tests.files.bank_files import MAPPING, csv
from tests.files.scene import D, written
from tests.questions.asked import ask, printed_json

KNOWN = [
    Known("file:v", "file", "50010517/5407324931", "EUR", "Volksbank"),
    Known("file:s", "file", "1001", "EUR", "Sparkasse"),
    Known("file:t", "file", "1002", "EUR", "Sparkasse"),
    Known("file:k", "file", "Kasse", "EUR", "Kasse"),
    Known("kontist:a", "kontist", "DE02100000000000003000", "EUR", "Kontist"),
]


@pytest.mark.parametrize(
    ("name", "account"), [("volksbank", "file:v"), ("4931", "file:v"), ("1002", "file:t"), ("Kasse", "file:k")]
)
def test_an_account_of_files_is_named_by_its_number_or_by_its_bank(name: str, account: str) -> None:
    assert named(KNOWN, name).account_id == account


@pytest.mark.parametrize(
    ("name", "cause", "step"),
    [
        ("Sparkasse", "2 accounts have a number that ends so, or this name", "file:s, file:t"),
        ("Kontist", "No account has this id", "select account_id, display_name from accounts"),
    ],
)
def test_a_name_of_several_accounts_or_of_none_is_refused_with_the_next_step(name: str, cause: str, step: str) -> None:
    with pytest.raises(WrongUsage, match=cause) as refused:
        named(KNOWN, name)
    assert step in refused.value.next_step


def test_an_account_without_a_number_is_called_by_its_bank_alone() -> None:
    assert [one.name for one in KNOWN[2:4]] == ["Sparkasse …1002", "Kasse"]


def test_the_next_step_for_missing_days_of_an_account_of_files_is_an_import(connected: Path, capsys: Any) -> None:
    mapping = written(connected, MAPPING, "mapping.toml")
    path = written(connected, csv([(date(2024, 3, 20), D("1.00"), "x")]), "umsatz.csv", "cp1252")
    assert ask(connected, "import", path, "--new", "--name", "Kasse", "--mapping", mapping) == 0
    capsys.readouterr()
    assert ask(connected, "query", "select account_id from accounts where source = 'file'", "--json") == 0
    account = printed_json(capsys)["rows"][0]["account_id"]

    assert ask(connected, "prove", account, "--from", "2024-03-20", "--to", "2024-03-22", "--json") == 3
    steps = printed_json(capsys)["next_steps"]
    assert len(steps) == 1
    assert "pipelines import FILE" in steps[0]
