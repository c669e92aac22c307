"""A renewal: the old consent works until the new one has made its first good import, and ends last."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.consents import upkeep
from pipelines.consents.vault import Vault
from pipelines.settings import Settings
from sources._errors import Unexpected
from sources.kontomatik.client import KontomatikClient
from sources.sandbox import CommandFails, PartialDueToTimeout, Refuses, SandboxBank
from tests.consents.customers import (
    VAULT_KEY,
    Given,
    SignsIn,
    a_bank,
    connected,
    read,
    settings_for,
    states,
    stored_tokens,
    the_vault,
)
from tests.consents.killing import Killer, environment

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
# what the two say differently is tested in both by test_connecting, test_exceptions, test_ending and test_kills
dialects = pytest.mark.parametrize("dialect", ["live"])


class Desk:
    """A consent that is to be renewed."""

    def __init__(self, killer: Killer, bank: SandboxBank, given: Given, folder: Path) -> None:
        self.bank, self.given = bank, given
        self.settings: Settings = settings_for(bank, folder)
        self.run = lambda *arguments, **more: killer.run(environment(bank, folder), *arguments, **more)
        self.old = connected(bank, self.settings).consent_id
        self.ids = self.account_ids()

    @property
    def states(self) -> list[str]:
        return [*states(self.settings).values()]

    def account_ids(self) -> set[str]:
        with duckdb.connect(self.settings.data_dir / "raw.duckdb", read_only=True) as connection:
            return {one for (one,) in connection.execute("select distinct account_id from kontomatik.accounts").fetchall()}


@pytest.fixture
def desk(the_killer: Killer, new_folder: Callable[[], Path], dialect: str, quick: None) -> Iterator[Desk]:
    with a_bank(None, dialect=dialect) as (bank, given):
        yield Desk(the_killer, bank, given, new_folder())


@dialects
def test_the_new_consent_takes_over_and_the_old_one_ends_last(desk: Desk, dialect: str) -> None:
    desk.bank.faults.append(SignsIn())
    desk.bank.requests.clear()

    renewed = desk.run("consents", "renew", desk.old, "--json")

    assert (renewed.status, desk.states) == (0, ["revoked", "active"])
    assert stored_tokens(desk.settings) == desk.given.alive() == desk.given.tokens[1:]
    assert desk.account_ids() == desk.ids
    asked = [path.rpartition("/")[2].partition(".")[0] for method, path in desk.bank.requests if method == "POST"]
    assert asked == ["redirection", "default-import", "delete-multiple-access"]
    with the_vault(desk.settings) as vault:
        new = vault.consents()[-1]
        assert (new.replaces, new.institution) == (desk.old, "KontoBank")
        moves = [(entry.what, entry.outcome) for entry in vault.trail(desk.old)][-3:]
    assert moves == [
        ("active to replaced", f"by {new.consent_id}"),
        ("replaced to revoking", "asked for"),
        ("revoking to revoked", "confirmed by the bank"),
    ]
    assert desk.run("run", "--json").status == 0


@dialects
def test_abandoning_a_renewal_changes_nothing(desk: Desk, dialect: str) -> None:
    left = desk.run("consents", "renew", desk.old, "--json", "--wait", "0")

    assert (left.status, desk.states) == (1, ["active", "pending"])
    assert desk.run("run", "--json").status == 0
    assert desk.run("run", "--json", ahead=timedelta(minutes=61)).status == 0
    assert desk.states == ["active", "expired"]
    assert stored_tokens(desk.settings) == desk.given.alive() == desk.given.tokens
    desk.bank.faults.append(SignsIn(decision="deny"))
    assert desk.run("consents", "renew", desk.old).status == 1
    assert stored_tokens(desk.settings) == desk.given.alive()


@dialects
def test_the_old_consent_stays_until_the_new_one_has_read_everything(desk: Desk, dialect: str) -> None:
    cut = PartialDueToTimeout(account="Konto Start") if dialect == "live" else CommandFails(times=1)
    desk.bank.faults += [SignsIn(), cut]

    renewed = desk.run("consents", "renew", desk.old, "--json")

    assert (renewed.status, desk.states[0]) == (4 if dialect == "live" else 1, "active")
    assert desk.given.tokens[0] in desk.given.alive()
    desk.bank.faults.remove(cut)
    desk.bank.world.clock.advance(timedelta(hours=24))
    later = desk.run("run", "--json", ahead=timedelta(hours=24))
    assert (later.status, desk.states) == ((0, ["revoked", "active"]) if dialect == "live" else (4, ["active", "expired"]))


@dialects
def test_a_new_consent_that_reads_fewer_accounts_leaves_the_old_one(desk: Desk, dialect: str) -> None:
    desk.bank.faults.append(SignsIn(login="test2"))

    renewed = desk.run("consents", "renew", desk.old, "--json")

    assert (renewed.status, desk.states) == (0, ["active", "active"])
    assert stored_tokens(desk.settings) == desk.given.alive() == desk.given.tokens
    assert any(
        "does not read 5 of the accounts" in note and f"consents revoke {desk.old}" in note for note in renewed.parsed["notes"]
    )


@dialects
def test_accounts_that_the_renewal_of_an_expired_consent_leaves_out_are_named_until_somebody_ends_it(
    desk: Desk, dialect: str
) -> None:
    desk.bank.faults.append(SignsIn(login="test2"))
    ahead = timedelta(days=181)
    desk.bank.world.clock.advance(ahead)
    assert desk.run("run", ahead=ahead).status == 1

    renewed = desk.run("consents", "renew", desk.old, "--json", ahead=ahead)
    assert desk.states == ["expired", "active"]
    assert any("does not read 5 of the accounts" in note for note in renewed.parsed["notes"])
    later = desk.run("run", "--json", ahead=ahead)
    (error,) = later.parsed["sources"]["kontomatik"]["errors"]
    assert (later.status, "nothing reads its accounts" in error["reason"]) == (4, True)

    assert desk.run("consents", "revoke", desk.old, ahead=ahead).status == 0
    assert desk.run("run", ahead=ahead).status == 0
    assert desk.states == ["revoked", "active"]


@dialects
def test_an_account_that_could_not_be_understood_is_not_taken_for_given_up(
    desk: Desk, dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a new consent without it would end the old one, and its imports would not count."""
    wait = KontomatikClient.wait

    def odd(client: Any, *about: Any, **more: Any) -> Any:
        result = wait(client, *about, **more)
        result.accounts[0].error = Unexpected("kontomatik", "the rows are in no order")
        return result

    monkeypatch.setattr(KontomatikClient, "wait", odd)
    assert read(desk.bank, desk.settings).exit_status == 4
    with the_vault(desk.settings) as vault:
        assert len(vault.accounts_of(desk.old)) == 6


@dialects
def test_an_end_that_the_bank_does_not_confirm_is_tried_by_the_next_run(desk: Desk, dialect: str) -> None:
    refusal = Refuses(exception="ServiceMaintenance", path_contains="delete-multiple")
    desk.bank.faults += [SignsIn(), refusal]

    renewed = desk.run("consents", "renew", desk.old, "--json")

    assert (renewed.status, desk.states) == (0, ["revoking", "active"])
    assert any("has not confirmed the end of consent" in note for note in renewed.parsed["notes"])
    assert desk.run("run").status == 4
    desk.bank.faults.remove(refusal)
    assert (desk.run("run").status, desk.states) == (0, ["revoked", "active"])
    assert stored_tokens(desk.settings) == desk.given.alive()


@dialects
def test_a_consent_that_has_expired_is_renewed_too(desk: Desk, dialect: str) -> None:
    desk.bank.faults.append(SignsIn())
    desk.bank.world.clock.advance(timedelta(days=181))
    ahead = timedelta(days=181)
    found = desk.run("run", "--json", ahead=ahead)
    assert (found.status, desk.states) == (1, ["expired"])
    (error,) = found.parsed["sources"]["kontomatik"]["errors"]
    assert "its consent is over (its 180 days are over) and nothing reads its accounts" in error["reason"]

    assert desk.run("consents", "renew", desk.old, ahead=ahead).status == 0
    assert desk.states == ["revoked", "active"]
    assert desk.account_ids() == desk.ids
    assert stored_tokens(desk.settings) == desk.given.alive() == desk.given.tokens[1:]


@dialects
def test_no_customer_is_sent_to_sign_in_when_nothing_can_be_imported(desk: Desk, dialect: str) -> None:
    """The published specification gives the token with the import: the new consent would be alive, and nobody's."""
    for _ in range(3):
        assert desk.run("run").status == 0
    desk.bank.faults.append(SignsIn())
    desk.bank.requests.clear()

    renewed = desk.run("consents", "renew", desk.old, "--json")

    assert (renewed.status, desk.bank.requests, desk.states) == (1, [], ["active"])
    assert "The next one is possible at " in renewed.parsed["error"]


@dialects
def test_a_renewal_counts_what_its_accounts_spend_while_the_customer_signs_in(desk: Desk, dialect: str) -> None:
    desk.run("consents", "renew", desk.old, "--wait", "0")
    desk.bank.faults.append(SignsIn())
    for _ in range(4):
        desk.run("run")
    assert desk.bank.count("POST", "default-import") + desk.bank.count("POST", "reuse") <= (4 if dialect == "openapi" else 7)
    assert max(len(times) for times in desk.bank.world.imports.values()) == 4


def test_warnings_come_at_30_14_7_and_1_once_each(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault.sqlite", VAULT_KEY)
    own = vault.add(source="kontomatik", institution="KontoBank", access_mode="MULTIPLE", now=NOON, token="t").consent_id
    found: dict[int, list[str]] = {}
    for half_days in range(2 * 182):
        now = NOON + timedelta(days=half_days / 2)
        vault.age(now)
        upkeep.note_warnings(vault, now)
        found[half_days] = upkeep.warnings(vault, now)

    assert {half_days // 2 for half_days, sentences in found.items() if sentences} == set(range(149, 180))
    assert found[2 * 179] == [f"consent {own} (KontoBank) ends in 1 day: `python -m pipelines consents renew {own}`"]
    assert found[2 * 179 + 1] == [f"consent {own} (KontoBank) ends today: `python -m pipelines consents renew {own}`"]
    noted = [(entry.what, entry.at) for entry in vault.trail(own) if entry.what.startswith("warned")]
    assert noted == [(f"warned, {days} days", NOON + timedelta(days=180 - days - 0.5)) for days in (30, 14, 7, 1)]
    assert [entry.what for entry in vault.trail(own) if " to " in entry.what] == ["active to expiring", "expiring to expired"]
    vault.close()
