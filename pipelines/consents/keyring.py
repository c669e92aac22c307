"""Encrypts the vault's secrets.

Each consent's secrets are encrypted with a key of its own, and that key with the vault key. So the vault key can be changed
without touching a token, and one consent becomes unreadable for ever when its key is deleted. Nothing is stored without a
vault key: there is no fallback.
"""

import hashlib
import hmac
from typing import Any

import sqlalchemy as sql
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from pipelines.consents.database import Database, VaultBroken
from pipelines.consents.tables import consents, keys
from pipelines.errors import WrongUsage
from pipelines.settings import NEW_KEY, vault_key_fault


class Keyring:
    """Encrypts and decrypts secrets with the vault key: a Fernet key, or several separated by commas while one is being replaced.

    The first key encrypts; each of them decrypts.
    """

    def __init__(self, database: Database, vault_key: str | None) -> None:
        self._database = database
        self._vault_key = vault_key

    def usable(self) -> MultiFernet:
        """Returns the vault key. Raises `WrongUsage` when none is set, or the setting is no key."""
        if not self._vault_key:
            raise WrongUsage(
                "No vault key is set, so a bank's token cannot be stored",
                "Print one with `python -m pipelines doctor --new-vault-key` and keep it as pipelines.vault_key in"
                " .dlt/secrets.toml, or as PIPELINES__VAULT_KEY",
            )
        if fault := vault_key_fault(self._vault_key):
            raise WrongUsage(f"The setting pipelines.vault_key is no vault key: {fault}", NEW_KEY)
        return MultiFernet([Fernet(key.strip()) for key in self._vault_key.split(",")])

    def new_key(self) -> bytes:
        """Returns a new key, encrypted."""
        return self.usable().encrypt(Fernet.generate_key())

    def encrypt(self, sealed_key: bytes, secret: str) -> bytes:
        """Returns `secret` encrypted with an encrypted key."""
        return Fernet(self._opened(sealed_key)).encrypt(secret.encode())

    def decrypt(self, sealed_key: bytes, sealed: bytes) -> str:
        """Returns the secret in plain. Raises `VaultBroken` when another vault key encrypted it."""
        try:
            return Fernet(self._opened(sealed_key)).decrypt(sealed).decode()
        except InvalidToken:
            raise VaultBroken(
                "An encrypted secret is damaged", "Connect the bank again, or restore the vault from a backup"
            ) from None

    def rotate(self) -> int:
        """Encrypts every key anew with the first vault key, after which the others are not needed; returns the number of keys."""
        ring, count = self.usable(), 0
        with self._database.transaction() as connection:
            for table, name in ((consents, consents.c.consent_id), (keys, keys.c.name)):
                found = connection.execute(sql.select(name, table.c.sealed_key).where(table.c.sealed_key.is_not(None)))
                for key, sealed in list(found):
                    again = self._rotated(ring, sealed)
                    connection.execute(table.update().where(name == key).values(sealed_key=again))
                    count += 1
        return count

    def recognise(self, kind: str, text: str) -> str:
        """Returns a keyed hash of an identity number: it recognises the owner again, and says nothing without the vault."""
        known = sql.select(keys.c.sealed_key).where(keys.c.name == "recognition")
        if not (rows := self._database.read(known)):
            try:
                self._database.write(keys.insert().values(name="recognition", sealed_key=self.new_key()))
            except VaultBroken:  # somebody else was first, or it cannot be written at all
                if not self._database.read(known):
                    raise
            rows = self._database.read(known)
        plain = "".join(text.split()).upper()
        return hmac.new(self._opened(rows[0].sealed_key), f"{kind}\x1f{plain}".encode(), hashlib.sha256).hexdigest()[:32]

    def _opened(self, sealed_key: bytes) -> bytes:
        return self._with(self.usable().decrypt, sealed_key)

    def _rotated(self, ring: MultiFernet, sealed_key: bytes) -> bytes:
        return self._with(ring.rotate, sealed_key)

    @staticmethod
    def _with(work: Any, sealed_key: bytes) -> bytes:
        try:
            done: bytes = work(sealed_key)
        except InvalidToken:
            raise VaultBroken(
                "The vault's secrets cannot be opened with this vault key",
                "Set pipelines.vault_key to the key that they were stored with (or to `NEW,OLD` while rotating)",
            ) from None
        return done


def new_vault_key() -> str:
    """Returns a new vault key."""
    return Fernet.generate_key().decode()
