"""Keeps national ids of owners, encrypted, where the setting `sources.kontomatik.keep_national_ids` asks for it.

Raw history and ledger hold a keyed hash of such a number and nothing else. The number itself is in the vault only, encrypted
with a key of its consent, and goes when the consent is erased.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sql

from pipelines.consents.database import Database
from pipelines.consents.keyring import Keyring
from pipelines.consents.tables import consents, keys, national_ids

PERSON = "person_key"
"""The kind of number that is kept: that of a person (`nationalId`, `polishPesel`), not that of a document."""


class Recogniser:
    """Makes the hash of each identity number, and remembers the numbers of persons if `keeps`, until they are stored."""

    def __init__(self, keyring: Keyring, *, keeps: bool) -> None:
        self._keyring = keyring
        self._keeps = keeps
        self._numbers: dict[str, str] = {}

    def __call__(self, kind: str, number: str) -> str:
        """Returns the keyed hash of an identity number."""
        found = self._keyring.recognise(kind, number)
        if self._keeps and kind == PERSON:
            self._numbers[found] = number.strip()
        return found

    def numbers_of(self, owners: Iterable[Mapping[str, Any]]) -> dict[str, str] | None:
        """Returns the numbers of these owners, by their hash; None where none are to be kept."""
        if not self._keeps:
            return None
        found = {str(owner[PERSON]) for owner in owners if owner.get(PERSON)}
        return {key: number for key, number in self._numbers.items() if key in found}


class NationalIds:
    """The national ids of each consent's owners, encrypted."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring

    def take_over(self, consent_id: str, replaces: str | None, numbers: Mapping[str, str] | None) -> None:
        """Stores the numbers that an import showed, by their hash; those of the consent that it `replaces` go.

        None: none are to be kept any more, so those before are destroyed. An answer without any number changes nothing.
        """
        if numbers is None:
            self._destroy(consent_id, replaces)
        elif numbers:
            self._keep(consent_id, numbers)
            self._destroy(replaces)

    def _keep(self, consent_id: str, numbers: Mapping[str, str]) -> None:
        with self._database.transaction() as connection:
            # Processes that share a database wait here for each other; an erased consent brings nothing any more.
            held = sql.select(consents.c.status).where(consents.c.consent_id == consent_id).with_for_update()
            if connection.execute(held).scalar() == "erased":
                return
            name = _key_name(consent_id)
            sealed_key = connection.execute(sql.select(keys.c.sealed_key).where(keys.c.name == name)).scalar()
            if sealed_key is None:
                sealed_key = self._keyring.new_key()
                connection.execute(keys.insert().values(name=name, sealed_key=sealed_key))
            rows = [
                {"consent_id": consent_id, "person_key": key, "sealed_number": self._keyring.encrypt(sealed_key, number)}
                for key, number in numbers.items()
            ]
            connection.execute(national_ids.delete().where(national_ids.c.consent_id == consent_id))
            connection.execute(national_ids.insert(), rows)

    def _destroy(self, *consent_ids: str | None) -> None:
        for consent_id in consent_ids:
            if consent_id is not None and self._sealed_key(consent_id) is not None:
                with self._database.transaction() as connection:
                    forget(connection, consent_id)

    def by_owner(self, consent_id: str) -> dict[str, str]:
        """Returns the national ids of a consent's owners by the ledger's `owner_id`. Raises `VaultBroken` without the key."""
        sealed_key = self._sealed_key(consent_id)
        if sealed_key is None:
            return {}
        rows = self._database.read(sql.select(national_ids).where(national_ids.c.consent_id == consent_id))
        return {owner_id(row.person_key): self._keyring.decrypt(sealed_key, row.sealed_number) for row in rows}

    def _sealed_key(self, consent_id: str) -> bytes | None:
        rows = self._database.read(sql.select(keys.c.sealed_key).where(keys.c.name == _key_name(consent_id)))
        return rows[0].sealed_key if rows else None


def forget(connection: sql.Connection, consent_id: str) -> None:
    """Destroys the national ids of a consent's owners, and their key."""
    connection.execute(national_ids.delete().where(national_ids.c.consent_id == consent_id))
    connection.execute(keys.delete().where(keys.c.name == _key_name(consent_id)))


def owner_id(person_key: str) -> str:
    """Returns the ledger's id of the person with this hash (`transforms/models/intermediate/int_owners.sql`)."""
    return f"o-{hashlib.md5(person_key.encode(), usedforsecurity=False).hexdigest()[:16]}"


def _key_name(consent_id: str) -> str:
    return f"national ids of {consent_id}"
