"""A vault that an earlier version made gets what it lacks, and keeps what it has. On SQLite and PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql

from pipelines.consents import schema
from pipelines.consents.database import VaultBroken
from pipelines.consents.tables import attempts, audit
from pipelines.consents.vault import Vault
from tests.consents.customers import NOON, TOKEN, VAULT_KEY, add
from tests.consents.old_vaults import make_old
from tests.consents.racing import together

RACING = 8
EMPTY_VAULTS = 5
Place = Callable[[], tuple[Path, str | None]]


def content(vault: Vault) -> dict[str, list[Any]]:
    """Every row of every table."""
    return {
        table.name: [row._asdict() for row in vault.database.read(sql.select(table))]
        for table in schema.tables_of(vault.database._engine.name)
    }


def parts(vault: Vault) -> set[tuple[str, str]]:
    """The columns, indexes and triggers that the database has."""
    with vault.database.reading() as connection:
        return {(row[0], row[1]) for row in connection.exec_driver_sql(schema._FOUND[connection.dialect.name])}


@contextmanager
def statements() -> Iterator[list[str]]:
    """Collects the statements that are sent to any database."""
    sent: list[str] = []

    def note(*about: Any) -> None:
        sent.append(about[2])

    sql.event.listen(sql.Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sql.event.remove(sql.Engine, "before_cursor_execute", note)


def test_a_vault_of_the_first_version_gets_all_that_a_new_one_has_and_keeps_its_rows(place: Place) -> None:
    (path, url), (new_path, new_url) = place(), place()
    make_old(path, url)
    vault, new = Vault(path, VAULT_KEY, url=url), Vault(new_path, VAULT_KEY, url=new_url)

    assert parts(new) <= parts(vault)
    assert vault.consent("c-old").erase_asked_at is None
    assert vault.quota.remaining("c-old", 4, NOON).left == 3
    assert [entry.what for entry in vault.trail()] == ["added"]
    vault.ask_erasure("c-old", NOON)
    assert vault.consent("c-old").erase_asked_at == NOON
    for forbidden in (audit.delete(), audit.update().values(outcome="nothing happened"), _emptied(vault)):
        with pytest.raises(VaultBroken):
            vault.database.write(forbidden)
    rows = content(vault)
    assert [len(rows[name]) for name in ("consents", "consent_accounts", "attempts", "audit")] == [1, 1, 1, 2]
    vault.close()
    new.close()


def _emptied(vault: Vault) -> Any:
    return sql.text("truncate audit" if vault.database.is_shared else "replace into audit values (1, '', '', '', '', '')")


def test_a_vault_gets_a_column_that_it_lacks_and_its_tokens_stay_readable(opens: Callable[..., Vault]) -> None:
    vault = opens()
    own = add(vault)
    vault.database.write(sql.text("alter table consents drop column erase_asked_at"))
    again = opens()
    assert again.consent(own).erase_asked_at is None
    again.ask_erasure(own, NOON)
    assert vault.consent(own).erase_asked_at == NOON
    assert again.token(own) == TOKEN


def test_an_earlier_program_goes_on_with_a_vault_that_a_later_one_has_added_to(
    opens: Callable[..., Vault], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hosts that share a vault are updated one after the other."""
    later = opens()
    own = add(later)
    later.database.write(sql.text("alter table consents add column of_a_later_version varchar"))
    earlier = opens()
    other = add(earlier)
    assert {one.consent_id for one in earlier.consents()} == {own, other}
    earlier.move(own, "revoking", "asked for", NOON)
    assert later.consent(own).status == "revoking"


def test_a_vault_that_lacks_nothing_is_opened_by_one_query_while_another_process_holds_its_locks(
    opens: Callable[..., Vault],
) -> None:
    first = opens()
    with first.database.transaction() as connection:
        if first.database.is_shared:
            connection.exec_driver_sql(f"select pg_advisory_xact_lock({schema._MAKING})")
        connection.execute(attempts.delete())
        with statements() as sent:
            opens()
    assert [one for one in sent if "quick_check" not in one] == [schema._FOUND[connection.dialect.name]]


def test_eight_processes_that_open_an_empty_or_an_old_vault_at_once_all_succeed(place: Place) -> None:
    """Real processes, which share nothing but the database."""
    places = [place() for _ in range(EMPTY_VAULTS + 1)]
    make_old(*places[0])
    together("opens", RACING, places)
    for path, url in places:
        vault = Vault(path, None, url=url)
        assert [entry.what for entry in vault.trail("c-1")] == ["opened"] * RACING
        vault.close()
