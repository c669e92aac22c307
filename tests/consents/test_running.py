"""Runs through stored consents: what one of them meets never costs another, and nothing that was missed is forgotten."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.consents import revocation
from pipelines.consents.clients import kontomatik_client
from pipelines.consents.ended import ended_consents
from pipelines.consents.quota import QuotaCounter
from pipelines.consents.vault import Vault
from pipelines.read.options import Options
from pipelines.run.freshness import stale_accounts
from pipelines.run.report import Report
from pipelines.run.summary import cells, sentences
from pipelines.settings import KontistSettings, NotificationSettings, Settings
from pipelines.store.banks import KONTOMATIK
from pipelines.store.ledger import Published
from pipelines.store.read_only import read_only
from sources.sandbox import CommandNeverEnds, PartialDueToTimeout, SandboxBank, World
from tests.consents.customers import (
    VAULT_KEY,
    a_bank,
    connected,
    outcome_of,
    read,
    settings_for,
    states,
    the_vault,
    with_kontomatik,
)
from tests.consents.killing import Killer, environment

pytestmark = pytest.mark.usefixtures("quick")
# what the two say differently is tested in both by test_connecting, test_exceptions, test_ending and test_kills
dialects = pytest.mark.parametrize("dialect", ["openapi"])


@dialects
def test_a_consent_that_is_gone_is_named_and_costs_no_other(new_folder: Any, dialect: str) -> None:
    with a_bank(dialect=dialect, imports_per_day=1000) as (bank, given):
        settings = settings_for(bank, new_folder(), kontomatik={"imports_per_day": 1000})
        gone, other = connected(bank, settings), connected(bank, settings)
        bank.kontomatik.revoke(given.tokens[0])

        report = read(bank, settings)

        assert states(settings) == {gone.consent_id: "expired", other.consent_id: "active"}
        assert (report.status, report.exit_status) == ("partial", 4)
        assert outcome_of(report, gone.consent_id).reason.startswith("kontomatik: the consent is expired, revoked or unknown")
        assert [one.status for one in report.outcomes if one.consent_id == other.consent_id] == ["complete"] * 6
        assert read(bank, settings).exit_status == 0


@dialects
def test_accounts_that_nobody_reads_any_more_are_reported_at_every_run(new_folder: Any, dialect: str) -> None:
    """Or a ledger would grow stale in silence."""
    with a_bank(dialect=dialect) as (bank, given):
        settings = with_kontist(bank, settings_for(bank, new_folder()))
        own = connected(bank, settings)
        bank.kontomatik.revoke(given.tokens[0])
        read(bank, settings, Options())

        for _ in range(2):
            report = read(bank, settings, Options(("kontist",)))
            assert report.exit_status == 0
        report = read(bank, settings, Options())

        sentence = f"consent {own.consent_id} (KontoBank) is expired, so 6 of its accounts are not read any more"
        assert [note for note in report.notes if note.startswith(sentence)] != []


@dialects
def test_a_dead_feed_is_said_at_every_run_until_somebody_renews_or_ends_it(new_folder: Any, dialect: str) -> None:
    with a_bank(dialect=dialect, imports_per_day=1000) as (bank, given):
        settings = settings_for(bank, new_folder(), kontomatik={"imports_per_day": 1000})
        dead = connected(bank, settings)
        bank.kontomatik.revoke(given.tokens[0])
        assert read(bank, settings).exit_status == 1

        for _ in range(2):  # it is the only source
            report = read(bank, settings)
            (only,) = report.outcomes
            assert (report.exit_status, report.status, only.consent_id) == (1, "failed", dead.consent_id)
            assert f"`python -m pipelines consents renew {dead.consent_id}`" in only.reason
        with the_vault(settings) as vault:
            other = vault.add(source="kontomatik", institution="B", access_mode="MULTIPLE", now=bank.world.clock.now(), token="x")
            vault.covers(other.consent_id, ["kontomatik:another"])
            vault.quota.note_refusal(other.consent_id, bank.world.clock.now())
        for options in (Options(("kontomatik",)), Options(("kontomatik",), due_after=timedelta(hours=5))):
            report = read(bank, settings, options)
            assert (report.exit_status, sorted(one.status for one in report.outcomes)) == (4, ["failed", "skipped"])

        with the_vault(settings) as vault:
            for state in ("revoking", "revoked"):
                vault.move(dead.consent_id, state, "somebody ended it", bank.world.clock.now())
        assert read(bank, settings).exit_status == 0


@dialects
def test_a_consent_in_the_place_of_a_dead_one_ends_what_is_said_of_it(new_folder: Any, dialect: str) -> None:
    """Of several dead ones for the same accounts the newest is named."""
    with a_bank(dialect=dialect) as (bank, _):
        settings = settings_for(bank, new_folder())
        now = bank.world.clock.now()
        with the_vault(settings) as vault:
            result: dict[str, Any] = {"source": "kontomatik", "institution": "B", "token": "x"}
            old, dead, single, whole = (
                vault.add(access_mode=mode, now=now - timedelta(days=days), **result).consent_id
                for mode, days in (("MULTIPLE", 300), ("MULTIPLE", 200), ("SINGLE", 100), ("MULTIPLE", 0))
            )
            for consent_id, accounts in ((old, ["a"]), (dead, ["a", "b"]), (single, ["c"])):
                vault.covers(consent_id, accounts)
                vault.move(consent_id, "expired", "its 180 days are over", now)
            assert [one.consent_id for one in ended_consents(vault, KONTOMATIK)] == [dead]
            vault.covers(whole, ["a"])
            assert [one.consent_id for one in ended_consents(vault, KONTOMATIK)] == [dead]
            vault.covers(whole, ["a", "b"])
            assert ended_consents(vault, KONTOMATIK) == []


def test_an_account_that_nothing_has_read_for_too_long_is_named_at_every_run(tmp_path: Path) -> None:
    now = datetime(2026, 3, 20, 12, tzinfo=UTC)
    listed: list[Any] = [
        {"account_id": name, "source": source, "institution": "B", "display_name": "B …1234 EUR"} | {"last_imported_at": last}
        for name, source, last in (
            ("stale", "kontomatik", "2026-03-19T05:59:59Z"),
            ("fresh", "kontomatik", "2026-03-19T06:00:00Z"),
            ("nobody's", "kontomatik", "2026-01-01T00:00:00Z"),
            ("login's", "kontist", "2026-01-01T00:00:00Z"),
            ("never", "kontomatik", None),
        )
    ]
    settings = Settings(tmp_path, vault_key=VAULT_KEY)
    with the_vault(settings) as vault:
        own = vault.add(source="kontomatik", institution="B", access_mode="MULTIPLE", now=now, token="x").consent_id
        vault.covers(own, ["stale", "fresh", "never"])

    def named(*sources: str, **more: Any) -> list[tuple[str, int]]:
        return [
            (one["account_id"], one["hours"]) for one in stale_accounts(replace(settings, **more), Options(sources), listed, now)
        ]

    assert named("kontist", "kontomatik") == [("stale", 30)]
    assert named("kontist") == []
    assert named("kontist", kontist=KontistSettings(email="a@b.test", password="x")) == [("login's", 1884)]
    assert named("kontomatik", notifications=NotificationSettings(stale_hours=31)) == []
    always, only = replace(settings, notifications=NotificationSettings(stale_hours=0)), Options(("kontomatik",))
    assert [one["account_id"] for one in stale_accounts(always, only, listed, now)] == ["stale", "fresh"]
    assert stale_accounts(always, only, listed, now, just_read={"stale", "fresh"}) == []
    assert stale_accounts(always, replace(only, due_after=timedelta(hours=31)), listed, now) == []

    report = Report("r", stale=stale_accounts(settings, only, listed, now), published=Published(tmp_path, {}, [], 0.0))
    report.seconds = dict.fromkeys(("extract", "load", "transform", "total"), 0.0)
    assert (report.exit_status, report.status) == (4, "partial")
    (line,) = [line for line in sentences(report) if line.startswith("!")]
    assert line.startswith("! B …1234 EUR: not read in full for 30 hours, since 2026-03-19T05:59:59Z")


@dialects
def test_what_one_consent_meets_never_reaches_another_not_even_a_bug(
    new_folder: Any, dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_bank(dialect=dialect, imports_per_day=1000) as (bank, given):
        settings = settings_for(bank, new_folder(), kontomatik={"imports_per_day": 1000})
        first, other = connected(bank, settings), connected(bank, settings)
        token = Vault.token

        def broken(vault: Vault, consent_id: str) -> str:
            if consent_id == first.consent_id:
                raise RuntimeError(f"about {given.tokens[0]}")
            return token(vault, consent_id)

        monkeypatch.setattr(Vault, "token", broken)
        report = read(bank, settings)

        reason = outcome_of(report, first.consent_id).reason
        assert reason.startswith("a fault in this program (RuntimeError at test_running.py:")
        assert given.tokens[0] not in reason
        assert [one.status for one in report.outcomes if one.consent_id == other.consent_id] == ["complete"] * 6
        assert report.exit_status == 4


@dialects
def test_a_consent_that_is_ended_while_it_is_read_stops_nothing(
    new_folder: Any, dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody revokes it, and its import meets a bank that does not know it any more."""
    with a_bank(dialect=dialect, imports_per_day=1000) as (bank, _):
        settings = settings_for(bank, new_folder(), kontomatik={"imports_per_day": 1000})
        first, other = connected(bank, settings), connected(bank, settings)
        begin = QuotaCounter.begin_attempt

        def revoked_meanwhile(quota: QuotaCounter, consent_id: str, *about: Any, **more: Any) -> str:
            if consent_id == first.consent_id:
                with the_vault(settings) as another, kontomatik_client(settings, bank.world.clock.now) as client:
                    revocation.revoke(another, client, consent_id, bank.world.clock.now())
            return begin(quota, consent_id, *about, **more)

        monkeypatch.setattr(QuotaCounter, "begin_attempt", revoked_meanwhile)
        report = read(bank, settings)

        assert states(settings) == {first.consent_id: "revoked", other.consent_id: "active"}
        assert outcome_of(report, first.consent_id).status == "failed"
        assert [one.status for one in report.outcomes if one.consent_id == other.consent_id] == ["complete"] * 6


def test_a_token_that_arrives_after_the_end_is_not_kept(tmp_path: Path) -> None:
    with a_bank() as (bank, _):
        settings = settings_for(bank, tmp_path)
        now = bank.world.clock.now()
        with the_vault(settings) as vault:
            own = vault.add(source="kontomatik", institution="B", access_mode="MULTIPLE", now=now, token="one").consent_id
            vault.move(own, "revoking", "asked for", now)
            vault.keep_token(own, "another", now)
            assert vault.token(own) == "one"  # the one that has to be ended
            vault.move(own, "revoked", "confirmed", now)
            vault.keep_token(own, "another", now)
            assert not vault.consent(own).has_token


@dialects
def test_an_import_that_took_too_long_is_resumed_and_spends_nothing(new_folder: Any, dialect: str) -> None:
    with a_bank(dialect=dialect) as (bank, _):
        settings = settings_for(bank, new_folder())
        own = connected(bank, settings)
        bank.faults.append(CommandNeverEnds(times=1))
        bank.world.append("Konto Start", amount="-12.34")
        before = bank.world.clock.now()

        late = read(bank, with_kontomatik(settings, command_deadline=0.03))
        assert (outcome_of(late, own.consent_id).status, late.exit_status, late.banks[0].imports) == ("failed", 1, 1)
        assert "the next run asks for this command again" in outcome_of(late, own.consent_id).reason.lower()
        for command in bank.kontomatik.commands.values():
            command.never_ends = False
        bank.requests.clear()
        after = bank.world.clock.now()
        bank.world.clock.advance(timedelta(hours=2))

        resumed = read(bank, settings)

        parts = [one for one in resumed.outcomes if one.status == "complete"]
        (asked_at,) = {one.as_of for one in parts}
        assert before <= asked_at <= after, "it is dated as of the moment when the bank was asked"
        assert {cells(one)[-1] for one in parts} == {f"as of {asked_at:%d %b %H:%M} UTC"}
        assert all(one.finished_at >= one.started_at for one in parts)
        with read_only(settings.data_dir / "raw.duckdb") as raw:
            result = "select distinct as_of from kontomatik.imports where as_of is not null and as_of < started_at"
            assert raw.execute(result).fetchall() == [(asked_at,)]
        assert (resumed.status, resumed.banks[0].imports, resumed.banks[0].counts.new) == ("ok", 0, 1)
        # two hours that passed in no time are a jump of the clock: the bank says what time it is, and is asked once
        asked = [(method, path.endswith("/health")) for method, path in bank.requests if "/v1/" in path]
        assert asked == [("GET", True), ("GET", False)]
        with the_vault(settings) as vault:
            assert vault.quota.remaining(own.consent_id, 4, bank.world.clock.now()).left == 2


@dialects
def test_an_import_that_the_bank_has_forgotten_is_made_anew(new_folder: Any, dialect: str) -> None:
    with a_bank(dialect=dialect) as (bank, _):
        settings = settings_for(bank, new_folder())
        connected(bank, settings)
        bank.faults.append(CommandNeverEnds(times=1))
        read(bank, with_kontomatik(settings, command_deadline=0.03))
        bank.kontomatik.commands.clear()

        report = read(bank, settings)
        assert (report.status, report.banks[0].imports) == ("ok", 1)

        bank.faults.append(CommandNeverEnds(times=1))
        read(bank, with_kontomatik(settings, command_deadline=0.03))
        bank.world.clock.advance(timedelta(hours=25))
        report = read(bank, settings)
        assert (report.status, report.banks[0].imports) == ("ok", 1)


def test_an_answer_that_was_cut_short_moves_no_cursor(new_folder: Any) -> None:
    with a_bank(dialect="live") as (bank, _):
        settings = settings_for(bank, new_folder())
        connected(bank, settings)
        bank.world.clock.advance(timedelta(days=40))
        bank.faults.append(PartialDueToTimeout(account="Konto Start"))

        cut = read(bank, settings)
        statuses = sorted(one.status for one in cut.outcomes)
        assert (statuses, cut.exit_status) == (["complete"] * 5 + ["partial"], 4)
        bank.faults.clear()
        bank.world.clock.advance(timedelta(days=6))  # a week later all would be asked for anyway
        whole = read(bank, settings)

        (first,) = {one.window_start for one in whole.outcomes}
        assert first == KONTOMATIK.day(bank.world.clock.now()) - timedelta(days=46 + 14)  # from the last whole answer


@dialects
def test_days_that_nobody_can_read_any_more_are_reported_by_every_later_run(
    the_killer: Killer, new_folder: Any, dialect: str
) -> None:
    with a_bank(dialect=dialect) as (bank, _):
        data = new_folder()
        environ = environment(bank, data) | kontist(bank)
        assert the_killer.run(environ, "connect", "kontomatik", "--mock", "--json").status == 0
        today = KONTOMATIK.day(bank.world.clock.now())
        for days, holes in ((60, 0), (100, 6), (0.1, 6), (1, 6)):
            bank.world.clock.advance(timedelta(days=days))
            ahead = bank.world.clock.now() - World().clock.now()
            result = the_killer.run(environ, "run", "--json", ahead=ahead).parsed
            assert len(result["holes"]) == holes
        expected = {"from_on": str(today + timedelta(days=61)), "to_on": str(today + timedelta(days=160 - 89))}
        assert all(hole.items() >= expected.items() for hole in result["holes"])

        other = the_killer.run(environ, "run", "--source", "kontist", "--json", ahead=ahead).parsed
        assert other["holes"] == result["holes"]
        status = the_killer.run(environ, "status", "--json").parsed
        assert status["last_run"]["holes"] == result["holes"]
        people = the_killer.run(environ, "status").out
        assert people.count("was never read and cannot be any more") == 6


def test_no_gap_within_ninety_days(new_folder: Any) -> None:
    with a_bank() as (bank, _):
        settings = settings_for(bank, new_folder())
        connected(bank, settings)
        bank.world.clock.advance(timedelta(days=88))
        assert read(bank, settings).gaps == []


def test_a_stored_token_is_read_as_far_back_as_the_bank_lets_and_gets_its_banks_name(new_folder: Any) -> None:
    from pipelines.consents.sign_in import add_token
    from pipelines.consents.states import UNNAMED

    with a_bank(dialect="live") as (bank, given):
        settings = settings_for(bank, new_folder())
        token = bank.kontomatik._consent(*_ada(bank))
        with the_vault(settings) as vault:
            now = bank.world.clock.now()
            add_token(vault, f" {token}\n", institution=None, target=None, access_mode="MULTIPLE", signed_in=now)
            assert vault.consents()[0].institution == UNNAMED
        report = read(bank, settings)
        assert (report.status, len(report.outcomes)) == ("ok", 6)
        assert given.alive() == [token]
        with the_vault(settings) as vault:
            assert vault.consents()[0].institution == "KontoBank"


def _ada(bank: SandboxBank) -> tuple[Any, Any]:
    from sources.sandbox.banks.kontomatik import TARGETS
    from sources.sandbox.world.people import ADA

    return ADA, TARGETS[0]


def kontist(bank: SandboxBank) -> dict[str, str]:
    """The other bank's settings, for a process."""
    return {
        "SOURCES__KONTIST__BASE_URL": bank.url,
        "SOURCES__KONTIST__EMAIL": bank.world.kontist_email,
        "SOURCES__KONTIST__PASSWORD": bank.world.kontist_password,
        "SOURCES__KONTIST__REQUESTS_PER_MINUTE": "0",
    }


def with_kontist(bank: SandboxBank, settings: Settings) -> Settings:
    """The other bank's settings, for this one."""
    world = bank.world
    own = KontistSettings(base_url=bank.url, email=world.kontist_email, password=world.kontist_password, requests_per_minute=0)
    return replace(settings, kontist=own)
