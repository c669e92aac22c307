"""Where secrets must not be: in any file, any output, any error. And who may read a file: its owner, also while a run works."""

import os
import re
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Event, Thread

import pytest

from pipelines.consents.clients import vault_of
from sources.sandbox import CommandFails, Fault, HtmlInsteadOfJson, SandboxBank, World
from sources.sandbox.banks.wire import Answer, Call
from tests.support import VAULT_KEY, Ended, a_bank, command, environment, opened, settings_for

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


class Looks(Fault):
    """No fault: at every request, and in between, it notes each file beside the data directory or in it that others can read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(times=None)
        self.seen: set[str] = set()
        self.open: set[str] = set()
        self._folder = folder

    def before(self, call: Call, bank: SandboxBank) -> Answer | None:
        """Looks, and lets the bank answer."""
        self.look()
        return None

    def look(self) -> None:
        """Notes what is there now."""
        for folder, _, names in os.walk(self._folder):  # unlike `rglob` it lets a folder go
            for name in names:
                with suppress(FileNotFoundError):
                    mode = (Path(folder) / name).lstat().st_mode
                    self.seen.add(name)
                    self.open |= {name} if stat.S_ISREG(mode) and mode & 0o077 else set()

    @contextmanager
    def throughout(self) -> Iterator[None]:
        """Looks again and again while the block runs."""
        done = Event()

        def again() -> None:
            while not done.wait(0.02):
                self.look()

        watch = Thread(target=again)
        watch.start()
        try:
            yield
        finally:
            done.set()
            watch.join()


@pytest.fixture(scope="module")
def looks(data: Path) -> Looks:
    return Looks(data.parent)


@pytest.fixture(scope="module")
def said(bank: SandboxBank, data: Path, looks: Looks) -> list[Ended]:
    """What good and bad commands print, of a person whose umask closes nothing."""
    folder, more = data.parent, {"SOURCES__KONTOMATIK__COMMAND_DEADLINE": "1", "PIPELINES__REPORT": "true"}
    environ = environment(bank, TMPDIR=str(folder)) | more
    bank.faults.append(looks)
    with looks.throughout():
        found = [command(folder, environ, *words, "--data-dir", str(data), inside=partial(os.umask, 0)) for words in COMMANDS]
        bank.faults += [HtmlInsteadOfJson(times=None, bank="kontist"), CommandFails(times=None)]
        found.append(command(folder, environ, "run", "--json", "--data-dir", str(data), inside=partial(os.umask, 0)))
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


def test_no_file_but_the_ledger_can_be_read_by_others_also_while_a_run_works(data: Path, said: list[Ended], looks: Looks) -> None:
    looks.look()
    made = {"raw.new.duckdb", "raw.duckdb", "raw.previous.duckdb", "vault.sqlite", "run.last.json", "run.lock"}
    assert made <= looks.seen
    assert any(name.endswith(".parquet") for name in looks.seen)
    # a ledger that is finished, and its page, get their readers the moment before they are renamed
    assert looks.open - {"ledger.new.duckdb", "report.html.new"} == {"ledger.duckdb", "report.html"}
    assert stat.S_IMODE((data / "ledger.duckdb").stat().st_mode) == 0o644


def test_the_vault_is_private_and_encrypted(bank: SandboxBank, data: Path, said: list[Ended]) -> None:
    assert stat.S_IMODE((data / "vault.sqlite").stat().st_mode) == 0o600
    with closing(sqlite3.connect(data / "vault.sqlite")) as vault, vault:
        ((sealed,),) = vault.execute("select sealed_token from consents where sealed_token is not null").fetchall()
    vault.close()
    assert _token(bank, data).encode() not in sealed
    assert "vault key" in said[-1].out + said[-1].err
