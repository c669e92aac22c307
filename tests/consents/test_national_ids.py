"""National ids of owners: kept nowhere by default; where the settings ask for it, encrypted in the vault, until the erasure."""

import hashlib
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from pipelines.consents.national_ids import Recogniser, owner_id
from pipelines.consents.vault import Vault
from pipelines.read.options import utc_now
from sources.sandbox.world.people import ADA, BEN
from tests.consents.customers import DIALECTS, a_bank, settings_for, the_vault
from tests.consents.killing import Killer, environment
from tests.support import VAULT_KEY

KEEP = {"SOURCES__KONTOMATIK__KEEP_NATIONAL_IDS": "true"}


def everything_under(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_national_ids_are_shown_on_demand_recorded_and_gone_with_the_consent(
    the_killer: Killer, tmp_path: Path, dialect: str
) -> None:
    with a_bank(None, dialect=dialect) as (bank, _):
        environ = environment(bank, tmp_path) | KEEP
        assert the_killer.run(environ, "connect", "kontomatik", "--mock", "--json", quick=False).status == 0
        settings = settings_for(bank, tmp_path)
        with the_vault(settings) as vault:  # another data directory's: the vault may be shared
            stranger = vault.add(source="kontomatik", institution="x", access_mode="SINGLE", now=utc_now()).consent_id
            vault.national_ids.take_over(stranger, None, {"a key": "a number"})

        plain = the_killer.run(environ, "owners", "--json")
        assert {one["name"] for one in plain.parsed["owners"]} == {ADA.name, BEN.name}
        assert not any("national_id" in one for one in plain.parsed["owners"])
        shown = the_killer.run(environ, "owners", "--reveal", "--json")
        assert {one["name"]: one["national_id"] for one in shown.parsed["owners"]} == {
            ADA.name: ADA.national_id,
            BEN.name: BEN.national_id,
        }
        assert BEN.national_id.encode() not in everything_under(tmp_path)  # Ada's is all noughts, as parts of IBANs are

        with the_vault(settings) as vault:
            (consent, _) = vault.consents()
            assert vault.trail(stranger)[-1].what == "added"
            entry = vault.trail(consent.consent_id)[-1]
            assert (entry.what, entry.outcome) == ("national ids shown", "2 owners")
            vault.keyring.rotate()
            assert set(vault.national_ids.by_owner(consent.consent_id).values()) == {ADA.national_id, BEN.national_id}
            vault.move(consent.consent_id, "revoking", "asked for", utc_now())
            vault.move(consent.consent_id, "revoked", "done", utc_now())
            assert len(vault.national_ids.by_owner(consent.consent_id)) == 2
            vault.move(consent.consent_id, "erased", "done", utc_now())
            assert vault.national_ids.by_owner(consent.consent_id) == {}
        assert the_killer.run(environ, "owners", "--reveal").status == 1


def test_no_national_id_is_kept_unless_the_settings_ask_for_it(the_killer: Killer, tmp_path: Path) -> None:
    with a_bank(None, dialect="openapi") as (bank, _):
        environ = environment(bank, tmp_path)
        assert the_killer.run(environ, "connect", "kontomatik", "--mock", "--json", quick=False).status == 0
        with the_vault(settings_for(bank, tmp_path)) as vault:
            assert vault.national_ids.by_owner(vault.consents()[0].consent_id) == {}
        ended = the_killer.run(environ, "owners", "--reveal", "--json")
        assert ended.status == 1
        assert "keep_national_ids" in ended.parsed["error"]


def test_numbers_move_with_a_renewal_and_go_when_the_setting_is_taken_back(tmp_path: Path) -> None:
    with closing(Vault(tmp_path / "vault.sqlite", VAULT_KEY)) as vault:
        added = [vault.add(source="kontomatik", institution="x", access_mode="SINGLE", now=utc_now()) for _ in "ab"]
        old, new = (one.consent_id for one in added)

        def reads(consent_id: str, replaces: str | None, *, keeps: bool, number: str = "44051401458") -> list[int]:
            recognise = Recogniser(vault.keyring, keeps=keeps)
            owners = [{"person_key": recognise("person_key", number) if number else None}]
            vault.national_ids.take_over(consent_id, replaces, recognise.numbers_of(owners))
            return [len(vault.national_ids.by_owner(one)) for one in (old, new)]

        assert reads(old, None, keeps=True) == [1, 0]
        assert reads(old, None, keeps=True, number="") == [1, 0]
        assert reads(new, old, keeps=True, number="") == [1, 0]
        assert reads(new, old, keeps=True) == [0, 1]
        assert reads(old, None, keeps=True) == [1, 1]
        assert reads(new, old, keeps=False) == [0, 0]
        vault.move(new, "expired", "its time is over", utc_now())
        vault.move(new, "erased", "done", utc_now())
        assert reads(new, None, keeps=True) == [0, 0]


def test_the_vault_and_the_ledger_name_a_person_alike() -> None:
    with duckdb.connect() as connection:
        (there,) = connection.execute("select concat('o-', left(md5('a key'), 16))").fetchall()[0]
    assert owner_id("a key") == there == "o-" + hashlib.md5(b"a key", usedforsecurity=False).hexdigest()[:16]
