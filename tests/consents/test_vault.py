"""The vault: which moves there are, what the trail holds, and what nobody can read. On SQLite and PostgreSQL."""

import stat
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.consents import schema
from pipelines.consents.database import VaultBroken
from pipelines.consents.states import LIFETIME, MOVES, STATES, USABLE, MoveRefused, State
from pipelines.consents.tables import audit, consents
from pipelines.consents.vault import Vault
from pipelines.errors import WrongUsage
from tests.consents.customers import NOON, OTHER_KEY, TOKEN, VAULT_KEY, add

SECRETS = ("sealed_key", "sealed_token", "sealed_sign_in")
Opens = Callable[..., Vault]


def row_of(vault: Vault, consent_id: str) -> Any:
    return vault.database.read(sql.select(consents).where(consents.c.consent_id == consent_id))[0]


# ---- states


@given(moves=st.lists(st.sampled_from(STATES), max_size=12), with_token=st.booleans())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_consent_goes_where_the_table_lets_it_and_each_step_is_in_the_trail(
    opens: Opens, moves: list[State], with_token: bool
) -> None:
    vault = opens(who="ada")
    own = add(vault, TOKEN if with_token else None, owner_external_id="customer 4711", sign_in={"id": "1"})
    now: State = "active" if with_token else "pending"
    expected = [("added", now)]
    for number, to in enumerate(moves):
        at = NOON + timedelta(hours=number)
        if to == now or to in MOVES[now]:
            vault.move(own, to, f"reason {number}", at)
            expected += [(f"{now} to {to}", f"reason {number}")] if to != now else []
            now = to
        else:
            with pytest.raises(MoveRefused):
                vault.move(own, to, "no", at)
        assert vault.consent(own).status == now
        row = row_of(vault, own)
        if now in ("revoked", "erased"):
            assert [getattr(row, name) for name in SECRETS] == [None, None, None]
        if now not in ("pending", *USABLE):
            assert row.sealed_sign_in is None
        if now == "erased":
            assert row.owner_external_id is None
    trail = vault.trail(own)
    assert [(entry.what, entry.outcome) for entry in trail] == expected
    assert all(entry.who == "ada" and entry.consent_id == own and entry.at >= NOON for entry in trail)


def test_every_state_can_be_reached_and_each_can_end() -> None:
    reached, todo = set(), ["pending"]
    while todo:
        state = todo.pop()
        if state not in reached:
            reached.add(state)
            todo += MOVES[state]  # type: ignore[index]
    assert reached == set(STATES) == set(MOVES)
    for state in set(STATES) - {"erased"}:
        seen, todo = set(), [state]
        while todo:
            one = todo.pop()
            if one not in seen:
                seen.add(one)
                todo += MOVES[one]
        assert "erased" in seen


def test_of_two_moves_at_the_same_moment_none_is_lost(opens: Opens) -> None:
    """A revocation that time overtakes is still a revocation."""
    vault = opens()
    again = opens()
    for _ in range(10):
        own, start = add(vault), threading.Barrier(2)
        refused: list[Exception] = []

        def move(by: Vault, to: State, own: str = own, start: Any = start, refused: Any = refused) -> None:
            start.wait()
            try:
                by.move(own, to, "at once", NOON)
            except MoveRefused as error:
                refused.append(error)

        both = [threading.Thread(target=move, args=about) for about in ((vault, "revoking"), (again, "expiring"))]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        steps = [entry.what for entry in vault.trail(own)][1:]
        assert vault.consent(own).status == "revoking"
        expected = [["active to revoking"]] if refused else [["active to expiring", "expiring to revoking"]]
        assert steps in expected


# ---- the trail


def test_the_trail_can_only_grow(opens: Opens) -> None:
    vault = opens()
    own = add(vault)
    (entry,) = vault.trail(own)
    attempts: list[Any] = [
        audit.update().values(outcome="nothing happened"),
        audit.delete(),
        audit.delete().where(audit.c.consent_id == own),
    ]
    (number,) = vault.database.read(sql.select(audit.c.entry))[0]
    if vault.database._engine.dialect.name == "sqlite":
        other = f"({number}, '', '', '', '', '')"
        attempts.append(sql.text(f"insert or replace into audit values {other}"))
        attempts.append(sql.text(f"replace into audit values {other}"))
    else:
        attempts.append(sql.text("truncate audit"))
    for attempt in attempts:
        with pytest.raises(VaultBroken):
            vault.database.write(attempt)
    assert vault.trail(own) == [entry]
    vault.note(own, "looked at", "fine", NOON)
    assert len(vault.trail(own)) == 2


def test_opening_a_vault_again_and_all_at_once_changes_nothing(opens: Opens) -> None:
    vault = opens()
    own = add(vault)
    failed: list[BaseException] = []

    def open_it() -> None:
        try:
            opens().trail(own)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (failed, len(vault.trail())) == ([], 1)


# ---- secrets


def test_no_token_stands_in_the_database(opens: Opens) -> None:
    vault = opens()
    own = add(vault, sign_in={"id": "redirection-1", "session_id": "session-4242", "signature": "signature-4242"})
    assert vault.token(own) == TOKEN
    vault.keep_token(own, TOKEN + "-renewed", NOON)
    everything = repr([vault.database.read(sql.select(table)) for table in schema.tables_of(vault.database._engine.name)])
    for secret in (TOKEN, "session-4242", "signature-4242", "redirection-1", VAULT_KEY):
        assert secret not in everything
    assert TOKEN not in repr(vault.consent(own))
    assert vault.token(own) == TOKEN + "-renewed"


def test_a_token_that_is_given_again_is_no_news(opens: Opens) -> None:
    vault = opens()
    own = add(vault, None)
    vault.keep_token(own, TOKEN, NOON + timedelta(hours=1))
    vault.keep_token(own, TOKEN, NOON + timedelta(hours=2))
    assert [entry.what for entry in vault.trail(own)] == ["added", "token stored", "pending to active"]
    assert vault.consent(own).expires_at == NOON + timedelta(hours=1) + LIFETIME


def test_what_is_destroyed_leaves_no_bytes_behind(tmp_path: Path) -> None:
    path = tmp_path / "vault.sqlite"
    vault = Vault(path, VAULT_KEY)
    own = add(vault, sign_in={"id": "1"})
    row = row_of(vault, own)
    sealed = [bytes(getattr(row, name)) for name in SECRETS]
    assert all(one in path.read_bytes() for one in sealed)
    vault.move(own, "revoking", "asked for", NOON)
    vault.move(own, "revoked", "confirmed", NOON)
    assert [one for one in sealed if one in path.read_bytes()] == []
    assert [other.name for other in tmp_path.iterdir()] == ["vault.sqlite"]
    vault.close()


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "vault.sqlite"
    Vault(path, None).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    Vault(path, None).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("key", [None, "", "too short", VAULT_KEY[:-2], f"{VAULT_KEY},", "ö" * 44])
def test_without_a_usable_key_no_token_is_taken(opens: Opens, key: str | None) -> None:
    vault = opens(key)
    with pytest.raises(WrongUsage, match="doctor --new-vault-key"):
        vault.check_it_can_store()
    with pytest.raises(WrongUsage, match="doctor --new-vault-key"):
        add(vault)
    assert vault.consents() == vault.trail() == []


def test_another_key_opens_nothing_and_says_so(opens: Opens) -> None:
    own = add(opens())
    other = opens(OTHER_KEY)
    with pytest.raises(VaultBroken, match=r"cannot be opened with this vault key.*NEW,OLD"):
        other.token(own)
    with pytest.raises(VaultBroken, match="cannot be opened with this vault key"):
        other.keyring.rotate()


def test_after_a_rotation_the_old_key_is_not_needed_and_does_not_help(opens: Opens) -> None:
    vault = opens()
    own, sign_in = add(vault), add(vault, None, sign_in={"id": "redirection-1"})
    person = vault.keyring.recognise("pesel", "00000000000")
    both, new = opens(f"{OTHER_KEY},{VAULT_KEY}"), opens(OTHER_KEY)
    assert both.token(own) == TOKEN
    assert both.keyring.rotate() == 3
    assert (new.token(own), new.sign_in(sign_in)) == (TOKEN, {"id": "redirection-1"})
    assert new.keyring.recognise("pesel", " 000 0000 0000") == person
    with pytest.raises(VaultBroken):
        vault.token(own)
    assert new.keyring.rotate() == 3


def test_a_rotation_that_breaks_off_leaves_every_token_readable(opens: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = opens()
    owned = [add(vault, f"{TOKEN}-{number}") for number in range(3)]
    both = opens(f"{OTHER_KEY},{VAULT_KEY}")
    rotated = both.keyring._rotated
    done = 0

    def breaks(*about: Any) -> bytes:
        nonlocal done
        done += 1
        if done == 3:
            raise KeyboardInterrupt
        return rotated(*about)

    monkeypatch.setattr(both.keyring, "_rotated", breaks)
    with pytest.raises(KeyboardInterrupt):
        both.keyring.rotate()
    assert [vault.token(own) for own in owned] == [f"{TOKEN}-{number}" for number in range(3)]


def test_one_secret_that_is_damaged_is_reported_and_costs_no_other(opens: Opens) -> None:
    vault = opens()
    own, other = add(vault), add(vault)
    vault.database.write(consents.update().where(consents.c.consent_id == own).values(sealed_token=b"not sealed at all"))
    with pytest.raises(VaultBroken, match=r"An encrypted secret is damaged\. Connect the bank again"):
        vault.token(own)
    assert vault.token(other) == TOKEN


def test_people_are_recognised_and_cannot_be_read_back(opens: Opens) -> None:
    vault = opens()
    found = {vault.keyring.recognise(kind, text) for kind in ("pesel", "document") for text in ("80010112345", "XXX000000")}
    assert len(found) == 4
    assert vault.keyring.recognise("document", "xxx 000000") in found
    again = opens(new=True)
    assert again.keyring.recognise("pesel", "80010112345") not in found
    assert "80010112345" not in repr(found)


def test_all_who_recognise_first_agree(opens: Opens) -> None:
    vault, found, start = opens(), set(), threading.Barrier(8)

    def recognise() -> None:
        start.wait()
        found.add(vault.keyring.recognise("pesel", "80010112345"))

    threads = [threading.Thread(target=recognise) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1


def test_an_id_that_nobody_has_is_reported(opens: Opens) -> None:
    vault = opens()
    for ask in (vault.consent, vault.token, vault.sign_in):
        with pytest.raises(WrongUsage, match="There is no consent c-nobody"):
            ask("c-nobody")
