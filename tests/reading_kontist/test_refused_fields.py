"""A field that the live service refuses costs one request a week, not one a run."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.read.options import Options
from sources.kontist.queries import Fields
from sources.kontist.refused_fields import RefusedFields
from sources.sandbox import SandboxBank, World
from tests.support import AUTUMN, a_bank, read, troubled

MONDAY = date(2026, 6, 1)
HERE = "https://api.kontist.test"
LACKS = {"Transaction.splits", "Account.bic", "Transfer.personalNote"}


def live(bank: SandboxBank, **more: Any) -> dict[str, Any]:
    """The settings of a login at the live service."""
    world = bank.world
    own = {"client_id": world.kontist_client_id, "client_secret": world.kontist_client_secret}
    return {"dialect": "graphql", "refresh_token": bank.kontist.oauth.pair()[1]} | own | more


def asked(bank: SandboxBank, data: Path, **options: Any) -> int:
    """Reads Kontist; returns the number of its queries."""
    before = bank.count("POST", "/graphql")
    report = read(bank, data, Options(("kontist",), **options), ledger=False, kontist=live(bank))
    assert troubled(report) == []
    return bank.count("POST", "/graphql") - before


def test_nothing_new_costs_the_accounts_a_page_each_and_the_orders_also_with_fields_refused(tmp_path: Path) -> None:
    with a_bank(World(today=AUTUMN, transactions=80)) as bank:
        bank.kontist.graphql.lacks = set(LACKS)
        nothing_new, learning = 1 + 2 + 1, len(LACKS)
        first = asked(bank, tmp_path)
        assert asked(bank, tmp_path) == nothing_new
        assert asked(bank, tmp_path, full_refresh=True) == first, "a person asks for all that the bank shows now"
        assert asked(bank, tmp_path) == nothing_new
        bank.kontist.graphql.lacks.add("Transaction.recurlyInvoiceNumber")
        assert asked(bank, tmp_path) == nothing_new + 1
        assert asked(bank, tmp_path) == nothing_new
        bank.world.clock.advance(timedelta(days=7))
        assert asked(bank, tmp_path) == first + 1, "everything is read again, and every field is asked for"
        bank.kontist.graphql.lacks = set()
        bank.world.clock.advance(timedelta(days=7))
        assert asked(bank, tmp_path) == first - learning
        assert asked(bank, tmp_path) == nothing_new


def test_a_note_of_another_service_or_of_last_week_is_emptied() -> None:
    note: dict[str, Any] = {}
    RefusedFields(note, HERE, MONDAY, 7).add([("Account", "bic")])
    RefusedFields(note, f"{HERE}/", MONDAY + timedelta(days=6), 7).add([("Transaction", "fees")])
    assert note["since"] == MONDAY.isoformat()
    assert RefusedFields(dict(note), HERE, MONDAY + timedelta(days=6), 7).known() == {("Account", "bic"), ("Transaction", "fees")}
    assert RefusedFields(dict(note), "https://other.test", MONDAY, 7).known() == set()
    assert RefusedFields(dict(note), HERE, MONDAY + timedelta(days=7), 7).known() == set()


@pytest.mark.parametrize("days", [0, 7])
def test_all_that_one_read_learns_is_noted(days: int) -> None:
    memory, fields = RefusedFields({}, HERE, MONDAY, days), Fields()
    fields.remember(memory)
    fields.refuse({("Account", "bic")})
    fields.refuse({("Transaction", "fees")})
    assert memory.known() == fields.refused == {("Account", "bic"), ("Transaction", "fees")}


def test_a_noted_field_that_no_reader_can_do_without_is_asked_for() -> None:
    """A note of an earlier version, which could do without it."""
    memory, fields = RefusedFields({}, HERE, MONDAY, 7), Fields()
    memory.add([("Transaction", "valutaDate"), ("Transaction", "no longer a field")])
    fields.remember(memory)
    assert fields.refused == set()


def test_an_account_that_the_bank_is_no_longer_asked_for_is_named_and_never_taken_for_closed(tmp_path: Path) -> None:
    with a_bank(World(today=AUTUMN, transactions=20)) as bank:
        asked(bank, tmp_path)
        bank.kontist.graphql.lacks = {"Query.getSubAccounts"}
        report = read(bank, tmp_path, Options(("kontist",)), ledger=False, kontist=live(bank))
        assert [(one.status, one.account[-4:]) for one in report.outcomes] == [("failed", "4712"), ("complete", "4711")]
        bank.kontist.graphql.lacks = set()
        bank.world.clock.advance(timedelta(days=7))
        asked(bank, tmp_path)
