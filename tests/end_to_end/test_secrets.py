"""Where secrets must not be: in any file, any output, any error."""

import re
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.connections import vault_of
from pipelines.sandbox import CommandFails, HtmlInsteadOfJson, SandboxBank, World
from tests.end_to_end.banking import VAULT_KEY, Ended, a_bank, command, environment, opened, settings_for

COMMANDS = (
    ("connect", "kontomatik", "--mock"),
    ("run", "--json"),
    ("run",),
    ("status",),
    ("status", "--json"),
    ("consents", "list"),
    ("doctor",),
)


@pytest.fixture(scope="module")
def bank() -> Iterator[SandboxBank]:
    with a_bank(World(transactions=200), dialect="live") as opened_bank:
        yield opened_bank


@pytest.fixture(scope="module")
def said(bank: SandboxBank, data: Path) -> list[Ended]:
    """What good and bad commands print."""
    folder, environ = data.parent, environment(bank, SOURCES__KONTOMATIK__COMMAND_DEADLINE="1")
    found = [command(folder, environ, *words, "--data-dir", str(data)) for words in COMMANDS]
    bank.faults += [HtmlInsteadOfJson(times=None, bank="kontist"), CommandFails(times=None)]
    found.append(command(folder, environ, "run", "--json", "--data-dir", str(data)))
    bank.faults.clear()
    wrong = {"SOURCES__KONTIST__PASSWORD": "wrong-password-0815", "SOURCES__KONTOMATIK__API_KEY": "wrong-key-0815"}
    found.append(command(folder, environ | wrong, "run", "--json", "--data-dir", str(data)))
    found.append(command(folder, environ | {"PIPELINES__VAULT_KEY": "n" * 43 + "="}, "run", "--data-dir", str(data)))
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secrets") / "data"


def _token(bank: SandboxBank, data: Path) -> str:
    with vault_of(settings_for(bank, data)) as vault:
        return vault.token(vault.consents()[0].consent_id)


def test_no_output_shows_a_secret_or_a_whole_account_number(bank: SandboxBank, data: Path, said: list[Ended]) -> None:
    world = bank.world
    secrets = {_token(bank, data), world.kontomatik_api_key, world.kontist_password, world.kontist_email, VAULT_KEY}
    secrets |= {"0815", "n" * 43} | {account.iban for account in world.accounts if account.iban}
    for one in said:
        assert "Traceback" not in one.out + one.err
        assert {secret for secret in secrets if secret in one.out + one.err} == set(), one.err
        assert not re.search(r"eyJ[\w-]{20,}\.|Bearer \S{8}", one.out + one.err)
    statuses = [one.status for one in said]
    assert statuses[:6] == [0] * 6
    assert statuses[7:9] == [1, 1]


def test_no_file_holds_a_secret(bank: SandboxBank, data: Path, said: list[Ended]) -> None:
    world = bank.world
    secrets = {_token(bank, data), world.kontomatik_api_key, world.kontist_password, VAULT_KEY, "wrong-password-0815"}
    ibans = {account.iban for account in world.accounts if account.iban}
    for path in data.rglob("*"):
        if not path.is_file():
            continue
        content = path.read_bytes()
        ours = secrets if path.suffix == ".duckdb" else secrets | ibans | {world.kontist_email}
        assert [path.name for secret in ours if secret.encode() in content] == []


@pytest.mark.parametrize("name", ["raw", "raw.previous", "ledger"])
def test_no_column_holds_a_secret(bank: SandboxBank, data: Path, said: list[Ended], name: str) -> None:
    """DuckDB compresses what it stores, so that looking at bytes is not enough."""
    world = bank.world
    secrets = [_token(bank, data), world.kontomatik_api_key, world.kontist_password, VAULT_KEY]
    with opened(data, name) as connection:
        columns = connection.execute(
            "select schema_name, table_name, column_name from duckdb_columns() where not internal and data_type like 'VARCHAR%'"
        ).fetchall()
        assert len(columns) > 50
        for schema, table, column in columns:
            for secret in secrets:
                held = f'select count(*) from "{schema}"."{table}" where contains(cast("{column}" as varchar), ?)'
                assert connection.execute(held, [secret]).fetchone() == (0,), f"{schema}.{table}.{column}"


def test_national_ids_are_kept_nowhere_in_plain(bank: SandboxBank, data: Path, said: list[Ended]) -> None:
    with opened(data, "raw") as connection:
        for (text,) in connection.execute("select cast(o as varchar) from kontomatik.owners o").fetchall():
            assert "00000000000" not in text
            assert "XXX000000" not in text


def test_the_vault_is_private_and_sealed(bank: SandboxBank, data: Path, said: list[Ended]) -> None:
    assert stat.S_IMODE((data / "vault.sqlite").stat().st_mode) == 0o600
    with sqlite3.connect(data / "vault.sqlite") as vault:
        ((sealed,),) = vault.execute("select sealed_token from consents where sealed_token is not null").fetchall()
    vault.close()
    assert _token(bank, data).encode() not in sealed
    assert "vault key" in said[-1].out + said[-1].err
