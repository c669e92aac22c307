"""Consents that are ended: revoked when the bank says so and not before, and erased without a trace but the receipt."""

import io
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.commands import consents
from pipelines.commands.cli import parser
from pipelines.consents import revocation, upkeep
from pipelines.consents import sign_in as steward
from pipelines.consents.clients import kontomatik_client
from pipelines.consents.erase import OUTSIDE, erase
from pipelines.consents.upkeep import end_at_its_bank
from pipelines.consents.vault import Vault
from pipelines.errors import Failure
from pipelines.settings import Settings
from pipelines.store import load, raw_copy
from pipelines.store.unfinished import UnfinishedRead
from sources.sandbox import DropsConnection, HtmlInsteadOfJson, Refuses, SandboxBank, ServerError, World
from sources.sandbox.world.people import ADA, BEN, CARD_NUMBER, CZK_MAIN, PLN_EUR, PLN_MAIN, PLN_SHARED, SAVINGS_NUMBER
from tests.consents.customers import (
    DIALECTS,
    ROWS,
    Given,
    SignsIn,
    a_bank,
    connected,
    only_ben,
    outcome_of,
    read,
    settings_for,
    states,
    stored_tokens,
    the_vault,
    with_kontomatik,
)
from tests.consents.killing import Killer, environment

DELETE = "delete-multiple-access"
NO: dict[str, Any] = {
    "maintenance": lambda times: Refuses(times=times, exception="ServiceMaintenance", path_contains=DELETE),
    "an unknown name": lambda times: Refuses(times=times, exception="SomethingNew", path_contains=DELETE),
    "a name inside a 200": lambda times: Refuses(times=times, exception="IO", status=200, path_contains=DELETE),
    "down": lambda times: ServerError(times=times, path_contains=DELETE),
    "no answer": lambda times: DropsConnection(times=times, unread=True, path_contains=DELETE),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("no", [*NO, "a web page that says 200"])
@pytest.mark.usefixtures("quick")
def test_a_revocation_that_is_not_confirmed_is_tried_again_until_it_is(new_folder: Any, dialect: str, no: str) -> None:
    with a_bank(World(transactions=12), dialect=dialect) as (bank, given):
        only_ben(bank)
        settings = settings_for(bank, new_folder())
        own = connected(bank, settings)
        bank.faults.append(NO[no](2) if no in NO else HtmlInsteadOfJson(times=2, path_contains=DELETE))
        bank.requests.clear()

        with pytest.raises(revocation.StillRevoking):
            revoke(bank, settings, own.consent_id)
        assert (states(settings), len(given.alive())) == ({own.consent_id: "revoking"}, 1)

        second = read(bank, settings)
        assert (states(settings), len(given.alive())) == ({own.consent_id: "revoking"}, 1)
        assert (outcome_of(second, own.consent_id).status, second.exit_status) == ("failed", 1)
        assert "has not confirmed the end" in outcome_of(second, own.consent_id).reason

        read(bank, settings)
        assert (states(settings), given.alive()) == ({own.consent_id: "revoked"}, [])
        assert bank.count("POST", DELETE) == 3
        assert bank.count("POST", "import") + bank.count("POST", "reuse") == 0
        with the_vault(settings) as vault:
            assert not vault.consent(own.consent_id).has_token
            outcomes = [(entry.what, entry.outcome.partition(":")[0]) for entry in vault.trail(own.consent_id)][-4:]
        tried = ("revocation tried", "not confirmed")
        assert outcomes == [("active to revoking", "asked for"), tried, tried, ("revoking to revoked", "confirmed by the bank")]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.usefixtures("quick")
def test_a_consent_that_is_gone_already_is_revoked(new_folder: Any, dialect: str) -> None:
    with a_bank(World(transactions=12), dialect=dialect) as (bank, given):
        settings = settings_for(bank, new_folder())
        own = connected(bank, settings)
        bank.kontomatik.revoke(given.tokens[0])

        revoke(bank, settings, own.consent_id)
        revoke(bank, settings, own.consent_id)
        assert states(settings) == {own.consent_id: "revoked"}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_consent_waits_for_the_catalog_to_be_ended(tmp_path: Path, dialect: str) -> None:
    """By the command, by a run, by the deployment, and by the renewal that replaced it."""
    with a_bank(World(transactions=12), HtmlInsteadOfJson(times=None, path_contains="catalog"), dialect=dialect) as (bank, given):
        settings, now = settings_for(bank, tmp_path), bank.world.clock.now
        with the_vault(settings) as vault, kontomatik_client(settings, now) as client:
            by_command, by_run, by_deployment, by_renewal = (opened(vault, bank, given) for _ in range(4))
            new = opened(vault, bank, given, replaces=by_renewal)
            vault.move(by_run, "replaced", "by another", now())
            end_at_its_bank(settings, vault, by_command, now)
            assert upkeep.maintain(vault, client, now()).troubles == []
            upkeep.end(settings, by_deployment, now, erase=True)
            assert revocation.take_over(vault, client, new, now()) is None
            assert {vault.consent(one).status_reason for one in (by_command, by_run, by_deployment, by_renewal)} == {
                "confirmed by the bank"
            }
        assert (given.alive(), bank.count("GET", "catalog")) == (given.tokens[-1:], 0)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_gone_already_counts_once_the_bank_has_understood_the_dialect(tmp_path: Path, dialect: str) -> None:
    with a_bank(World(transactions=12), HtmlInsteadOfJson(times=1, path_contains="catalog"), dialect=dialect) as (bank, given):
        settings, now = settings_for(bank, tmp_path), bank.world.clock.now
        with the_vault(settings) as vault, kontomatik_client(settings, now) as client:
            own = opened(vault, bank, given)
            bank.kontomatik.revoke(given.tokens[0])
            with pytest.raises(revocation.StillRevoking, match=r"It stays `revoking`.*cannot be withdrawn"):
                revocation.revoke(vault, client, own, now())
            revocation.revoke(vault, client, own, now())
            assert vault.consent(own).status_reason == "the bank says that it was gone already"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.usefixtures("quick")
def test_a_slip_in_the_settings_ends_no_consent(new_folder: Any, dialect: str) -> None:
    """In the other dialect the bank finds no token in what it is sent, and says that the consent is unknown."""
    with a_bank(World(transactions=12), dialect=dialect) as (bank, given):
        settings = settings_for(bank, new_folder())
        own = connected(bank, settings)
        slip = with_kontomatik(settings, dialect="live" if dialect == "openapi" else "openapi")

        report = read(bank, slip)
        assert (states(settings), report.exit_status) == ({own.consent_id: "active"}, 1)
        assert "Check the setting sources.kontomatik.dialect" in outcome_of(report, own.consent_id).reason
        with pytest.raises(revocation.StillRevoking):
            revoke(bank, slip, own.consent_id)
        assert (states(settings), given.alive()) == ({own.consent_id: "revoking"}, given.tokens)
        revoke(bank, settings, own.consent_id)
        assert (states(settings), given.alive()) == ({own.consent_id: "revoked"}, [])


@pytest.mark.usefixtures("quick")
def test_a_sign_in_that_is_given_up_too_late_leaves_no_token_at_the_bank(new_folder: Any) -> None:
    """The customer signed in, and nobody has looked since."""
    with a_bank(World(transactions=12), SignsIn(), dialect="live") as (bank, given):
        settings = settings_for(bank, new_folder())
        with the_vault(settings) as vault, kontomatik_client(settings, bank.world.clock.now) as client:
            now = bank.world.clock.now()
            consent, _ = steward.start_sign_in(
                vault, client, target="KontoBankApi", access_mode="MULTIPLE", now=now, redirect_url="https://x.example.test"
            )
            revocation.revoke(vault, client, consent.consent_id, now)
        assert (states(settings), len(given.tokens), given.alive()) == ({consent.consent_id: "revoked"}, 1, [])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_erasing_leaves_nothing_of_the_owner_but_what_another_consent_reads(
    the_killer: Killer, new_folder: Any, dialect: str
) -> None:
    data, quick = new_folder(), dialect == "openapi"  # with dlt and a ledger in one of them
    with a_bank(World(transactions=ROWS), SignsIn(login="test2"), dialect=dialect) as (bank, given):
        settings, environ = settings_for(bank, data), environment(bank, data)
        sign_in = ("connect", "kontomatik", "--target", "KontoBankApi", "--json", "--owner-external-id", "customer 4711")
        assert the_killer.run(environ, *sign_in, quick=quick).status == 0
        bank.faults[:] = [SignsIn()]
        assert the_killer.run(environ, *sign_in, quick=quick).status == 0
        ben, ada = states(settings)
        # The account that Ben owns too names Ada and the account that she pays from: both stay with it.
        hers = [PLN_EUR, CZK_MAIN, SAVINGS_NUMBER, CARD_NUMBER]
        theirs = [PLN_MAIN, PLN_SHARED, ADA.name, ADA.email, BEN.name, BEN.email, "customer 4711"]
        assert [one for one in (PLN_EUR, CZK_MAIN, *theirs) if not holds(data, one)] == []

        UnfinishedRead(data, "kontist:1", {}, bank.world.clock.now()).keep(PLN_EUR.encode())  # a read that broke off
        assert "part-000001.arrow" in holds(data, PLN_EUR)
        ended = the_killer.run(environ, "consents", "erase", ada, "--yes", "--json", quick=quick)

        assert (ended.status, states(settings)) == (0, {ben: "active", ada: "erased"})
        assert [one for one in hers if holds(data, one)] == []
        private = [data / "raw.duckdb", data / "vault.sqlite", *(data / "receipts").iterdir()]
        assert {oct(path.stat().st_mode & 0o777) for path in private} == {"0o600"}
        with the_vault(settings) as vault:
            left = {one: vault.quota.remaining(one, 4, bank.world.clock.now()).left for one in (ben, ada)}
        assert left[ben] == 2  # hers was an import of his account, too
        assert holds(data, PLN_SHARED) == ["raw.duckdb"] if quick else ["ledger.duckdb", "raw.duckdb"]
        assert given.alive() == stored_tokens(settings) == given.tokens[:1]
        receipt = json.loads((data / "receipts" / f"erased-{ada}.json").read_text())
        assert receipt == ended.parsed
        assert receipt["accounts_removed"] == 5
        shared = "1 accounts with their rows: another consent that is not erased reads them too"
        assert receipt["kept"][-2:] == [shared, OUTSIDE]
        assert receipt["rows_removed"]["kontomatik.accounts"] == 5
        assert receipt["rows_removed"]["kontomatik.transactions"] > 10
        text = (data / "receipts" / f"erased-{ada}.txt").read_text()
        assert all(f"{table}: {count}" in text for table, count in receipt["rows_removed"].items())

        again = the_killer.run(environ, "consents", "erase", ada, "--yes", quick=quick)
        assert (again.status, "is erased already" in again.out) == (0, True)
        (data / "run.last.json").unlink(missing_ok=True)
        assert the_killer.run(environ, "consents", "erase", ben, "--yes", "--json", quick=quick).status == 0
        assert [one for one in (*hers, *theirs) if holds(data, one)] == []
        with the_vault(settings) as vault:
            assert vault.accounts_of(ben) == vault.accounts_of(ada) == []
        if not quick:
            with duckdb.connect(data / "ledger.duckdb", read_only=True) as ledger:
                assert ledger.execute("select count(*) from transaction_history").fetchall() == [(0,)]


def test_an_account_that_a_consent_showed_once_is_erased_too(tmp_path: Path) -> None:
    """The bank no longer shows it, so that the vault has forgotten it; raw history has not."""
    with a_bank(World(transactions=ROWS)) as (bank, _):
        settings = settings_for(bank, tmp_path)
        own = connected(bank, settings)
        with the_vault(settings) as vault, kontomatik_client(settings, bank.world.clock.now) as client:
            known, other = vault.accounts_of(own.consent_id)[:2]
            with raw_copy.opened(tmp_path) as (copy, keep):  # under a later number, and left out of a list
                said = {"aliases": {"kontomatik:later": known, "kontomatik:b": "kontomatik:a"}, "unlisted": {other: {"reads": 1}}}
                load.load(copy, load.Changeset("kontomatik", cursors=load.cursors(copy, "kontomatik") | said))
                keep()
            vault.covers(own.consent_id, [known, other])
            revocation.revoke(vault, client, own.consent_id, bank.world.clock.now())
            path = erase(settings, vault, vault.consent(own.consent_id), bank.world.clock.now)
        with raw_copy.opened(tmp_path) as (copy, _):
            result = load.cursors(copy, "kontomatik")
        assert result == {"accounts": {}, "doubts": {}, "aliases": {"kontomatik:b": "kontomatik:a"}, "unlisted": {}}
        assert json.loads(path.read_text())["accounts_removed"] == 6
        assert holds(tmp_path, PLN_MAIN) == holds(tmp_path, CZK_MAIN) == []


@pytest.mark.parametrize(("answer", "ended"), [("n\n", "active"), ("", "active"), ("y\n", "erased")])
@pytest.mark.usefixtures("quick")
def test_a_person_is_asked_before_anything_is_erased(
    new_folder: Any, monkeypatch: pytest.MonkeyPatch, answer: str, ended: str
) -> None:
    class Keyboard(io.StringIO):
        def isatty(self) -> bool:
            return True

    with a_bank(World(transactions=12)) as (bank, _):
        only_ben(bank)
        settings = settings_for(bank, new_folder())
        own = connected(bank, settings)
        for name, value in environment(bank, settings.data_dir).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.stdin", Keyboard(answer))
        options = parser().parse_args(["consents", "erase", own.consent_id])
        with nullcontext() if ended == "erased" else pytest.raises(Failure, match="Nothing was erased"):
            consents.erase(options)
    assert states(settings) == {own.consent_id: ended}


def opened(vault: Vault, bank: SandboxBank, given: Given, replaces: str | None = None) -> str:
    """A consent whose token the bank has given, and that nothing was imported through."""
    bank.kontomatik.mock_session({}, multiple=True)
    about = {"source": "kontomatik", "institution": "KontoBank", "access_mode": "MULTIPLE", "replaces": replaces}
    return vault.add(**about, token=given.tokens[-1], now=bank.world.clock.now()).consent_id  # type: ignore[arg-type]


def revoke(bank: SandboxBank, settings: Settings, consent_id: str) -> None:
    now = bank.world.clock.now
    with the_vault(settings) as vault, kontomatik_client(settings, now) as client:
        revocation.revoke(vault, client, consent_id, now())


def holds(folder: Path, text: str) -> list[str]:
    """The files that hold this text, as it is or packed."""
    found = {path.name for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()}
    for name in ("raw", "ledger"):
        if (folder / f"{name}.duckdb").exists() and text in everything(folder / f"{name}.duckdb"):
            found.add(f"{name}.duckdb")
    return sorted(found)


def everything(path: Path) -> str:
    """Every row of every table: DuckDB may pack texts, so that a search in the file alone would miss them."""
    with duckdb.connect(path, read_only=True) as connection:
        tables = connection.execute("select distinct schema_name, table_name from duckdb_tables()").fetchall()
        return "".join(repr(connection.execute(f'select * from "{one}"."{two}"').fetchall()) for one, two in tables)
