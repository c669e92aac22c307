"""A vault that cannot be opened: a sentence with the recovery, and never a password of its address."""

import contextlib
import sqlite3
import threading
from pathlib import Path

import pytest

from pipelines.consents.database import VaultBroken
from pipelines.consents.keyring import new_vault_key
from pipelines.consents.vault import Vault
from pipelines.errors import WrongUsage
from tests.consents.customers import TOKEN, VAULT_KEY, add


@pytest.mark.parametrize(
    "content", [b"this is no database at all, and it is long enough to be one" * 20, b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_a_damaged_file_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vault.sqlite"
    path.write_bytes(content)
    with pytest.raises(
        VaultBroken, match=r"The vault .*vault.sqlite cannot be used \(DatabaseError\). Check .* restore a backup"
    ):
        Vault(path, VAULT_KEY)


def test_a_vault_cut_short_or_damaged_anywhere_is_a_sentence_with_the_recovery(tmp_path: Path) -> None:
    path = tmp_path / "vault.sqlite"
    vault = Vault(path, VAULT_KEY)
    for _ in range(80):  # most pages hold rows
        add(vault)
    vault.close()
    whole = path.read_bytes()
    damages = [whole[: len(whole) * part // 8] for part in range(1, 8)]
    damages += [whole[:at] + b"\xff" * 64 + whole[at + 64 :] for at in range(0, len(whole) - 64, 1500)]
    broken = []
    for damage in damages:
        path.write_bytes(damage)
        try:
            opened = Vault(path, VAULT_KEY)
            try:
                for consent in opened.consents():
                    assert opened.token(consent.consent_id) == TOKEN
                opened.trail()
            finally:
                opened.close()
        except VaultBroken as result:
            broken.append(damage)
            assert result.next_step
    assert broken[:7] == damages[:7]
    assert len(broken) > len(damages) // 3


def test_a_database_of_somebody_else_is_no_vault(tmp_path: Path) -> None:
    path = tmp_path / "vault.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("create table consents (name text)")
    with pytest.raises(VaultBroken, match=r"is no vault: its table consents has no consent_id, source.*restore a backup"):
        Vault(path, VAULT_KEY)
    with contextlib.closing(sqlite3.connect(path)) as other:
        assert other.execute("select name from sqlite_master").fetchall() == [("consents",)]


def test_a_vault_that_somebody_else_writes_to_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "vault.sqlite"
    vault = Vault(path, VAULT_KEY)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("begin immediate")
    threading.Timer(0.1, other.rollback).start()
    assert vault.consent(add(vault)).status == "active"
    vault.close()
    other.close()


@pytest.mark.parametrize("url", ["nonsense", "postgresql+nodriver://a:b@c/d", "mysql://user:secret@host/name", "nosuch://"])
def test_an_address_that_cannot_be_used_is_reported_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(WrongUsage, match="Write it as SQLAlchemy does") as refused:
        Vault(tmp_path / "vault.sqlite", VAULT_KEY, url=url)
    assert "secret" not in str(refused.value)


def test_a_server_that_is_away_is_reported_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(VaultBroken, match="The vault's database cannot be used") as refused:
        Vault(tmp_path / "vault.sqlite", VAULT_KEY, url=f"postgresql+psycopg://user:secret@/name?host={tmp_path}")
    assert "secret" not in str(refused.value)
    assert not (tmp_path / "vault.sqlite").exists()


def test_fresh_keys_are_keys() -> None:
    assert new_vault_key() != new_vault_key()
    vault = Vault(Path("/nonexistent"), new_vault_key(), url="sqlite://")
    vault.check_it_can_store()
    vault.close()
