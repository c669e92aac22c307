"""The login at Kontist as a consent: warned of, over, ended, erased."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.consents import kontist_login
from pipelines.consents.consent_status import consent_statuses
from pipelines.consents.disconnection import to_disconnect
from pipelines.consents.ended import ended_consents
from pipelines.consents.erase import erase
from pipelines.consents.revocation import StillRevoking
from pipelines.consents.upkeep import end_at_its_bank, tidy, warnings, watch
from pipelines.errors import WrongUsage
from pipelines.questions.kontist_findings import look
from pipelines.read.options import Options
from pipelines.run.report import Report
from pipelines.run.sources import NothingToRead, wanted_banks
from pipelines.store.banks import KONTIST, KONTOMATIK
from pipelines.store.unfinished import UnfinishedRead
from sources.sandbox import ServerError
from sources.sandbox.banks.wire import problem
from tests.kontist_login.logins import a_customer, good, tokens_asked

# ---- over


def test_a_login_that_is_refused_says_log_in_again_and_is_expired(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        consent, _ = customer.connect()
        customer.read()
        customer.bank.kontist.tokens.end_all("refresh")
        report = customer.read()
        assert report.all_failed
        assert "connect kontist" in str(report.outcomes[0].reason)
        assert "MFA" in str(report.outcomes[0].reason)
        assert customer.states() == ["expired"]
        assert any("expired" in line for line in customer.trail(consent))
        assert any("renew" in note for note in report.notes)

        # until somebody logs in again, every run says so, and asks nobody
        customer.bank.requests.clear()
        for _ in range(2):
            report = customer.read()
            assert (report.exit_status, report.all_failed) == (1, True)
            assert "the login is over" in str(report.outcomes[0].reason)
            assert report.outcomes[0].consent_id == consent.consent_id
        assert customer.bank.requests == []
        (found,) = look(customer.settings(), customer.world.clock.now)
        assert (found.level, "the login is over" in found.found) == ("wrong", True)
        customer.connect()
        assert good(customer.read())


def test_a_login_that_is_over_is_missed_beside_a_bank_that_is_read(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        consent, _ = customer.connect()
        with customer.vault() as vault:
            vault.move(consent.consent_id, "expired", "its time is over", customer.world.clock.now())
            settings = customer.settings()
            both = replace(settings, kontomatik=replace(settings.kontomatik, api_key="k"))
            with_consent = vault.add(
                source="kontomatik", institution="B", access_mode="MULTIPLE", now=consent.created_at, token="t"
            )
            report = Report("r")
            assert wanted_banks(both, Options(), report, vault, False) == [KONTIST, KONTOMATIK]
            assert report.notes == []
            assert with_consent.status == "active"
            # who is read by password, or has ended it on purpose, misses nothing
            assert ended_consents(vault, KONTIST) != []
            vault.move(consent.consent_id, "revoking", "asked for", customer.world.clock.now())
            assert ended_consents(vault, KONTIST) == []
            assert wanted_banks(both, Options(("kontomatik",)), report, vault, False) == [KONTOMATIK]


def test_a_login_that_basic_does_not_use_is_no_reason_to_log_in_again(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        customer.connect()
        with pytest.raises(NothingToRead, match='set it to "jwt"') as caught:
            customer.read(customer.settings(auth="basic"))
        assert "connect kontist" not in str(caught.value)


def test_data_that_stay_refused_after_one_renewal_expire_the_login(tmp_path: Path) -> None:
    class Refuses(ServerError):
        def before(self, call, _, /):  # type: ignore[no-untyped-def]
            return problem(401, "Unauthorized") if "/transactions" in call.path else None

    with a_customer(tmp_path) as customer:
        customer.connect()
        customer.bank.faults.append(Refuses())
        customer.bank.requests.clear()
        report = customer.read()
        assert report.all_failed
        # one more try with a fresh token for each of both accounts, and no more
        assert customer.bank.count(path_contains="/transactions") == 4
        assert customer.states() == ["expired"]


def test_orders_that_stay_refused_after_one_renewal_expire_the_login_too(tmp_path: Path) -> None:
    class Refuses(ServerError):
        def before(self, call, _, /):  # type: ignore[no-untyped-def]
            return problem(401, "Unauthorized") if "-orders" in call.path else None

    with a_customer(tmp_path) as customer:
        customer.connect()
        customer.bank.faults.append(Refuses())
        customer.read()
        assert customer.states() == ["expired"]


def test_a_login_ages_like_any_consent_and_is_warned_of(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        consent, _ = customer.connect()
        now = customer.world.clock.now
        said = []
        for days in (0, 14, 17, 20, 29):
            with customer.vault() as vault:
                vault.age(now() + timedelta(days=days))
                result = warnings(vault, now() + timedelta(days=days))
                said.append((vault.consent(consent.consent_id).status, len(result)))
        assert said == [("active", 0), ("active", 0), ("expiring", 1), ("expiring", 1), ("expiring", 1)]
        with customer.vault() as vault:
            vault.age(now() + timedelta(days=31))
            assert vault.consent(consent.consent_id).status_reason == "its time is over"
        assert customer.trail(consent)[-1] == "expiring to expired: its time is over"
        customer.world.clock.advance(timedelta(days=31))  # back at the time before, it would not be over
        assert watch(customer.settings(), now) != []
        assert consent_statuses(customer.settings())[0].imports_left is None


# ---- ended


def test_disconnecting_ends_the_token_at_the_bank_and_destroys_it_here(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        consent, _ = customer.connect()
        token = customer.token(consent)
        data_dir = customer.settings().data_dir
        UnfinishedRead(data_dir, "kontist:1", {}, customer.world.clock.now()).keep(b"a read that broke off")
        with customer.vault() as vault:
            assert to_disconnect(vault, kontist_login.LOGIN).consent_id == consent.consent_id
            end_at_its_bank(customer.settings(), vault, consent.consent_id, customer.world.clock.now)
            assert vault.consent(consent.consent_id).status_reason == "confirmed by the bank"
        assert customer.sealed() == [None]
        assert not (data_dir / "unfinished").exists()
        assert not customer.alive(token)
        assert tokens_asked(customer.bank)[-2:] == ["DELETE refresh-token", "DELETE auth-token"]
        with pytest.raises(NothingToRead):
            customer.read()


def test_an_end_that_the_bank_does_not_confirm_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_customer(tmp_path) as customer:
        consent, _ = customer.connect()
        down = ServerError(times=None, path_contains="/user/")
        customer.bank.faults.append(down)
        monkeypatch.setattr("sources._http.Patience.__init__", _impatient)
        with customer.vault() as vault, pytest.raises(StillRevoking):
            end_at_its_bank(customer.settings(), vault, consent.consent_id, customer.world.clock.now)
        assert customer.states() == ["revoking"]
        customer.bank.faults.remove(down)
        assert good(customer.read(customer.with_password()))
        assert customer.states() == ["revoked"]


def test_a_login_that_was_gone_already_is_revoked(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        consent, _ = customer.connect()
        customer.bank.kontist.tokens.end_all("refresh")
        with customer.vault() as vault:
            vault.move(consent.consent_id, "revoking", "asked for", customer.world.clock.now())
        assert tidy(customer.settings(), customer.world.clock.now).revoked == [consent.consent_id]
        with customer.vault() as vault:
            assert vault.consent(consent.consent_id).status_reason == "the bank says that it was gone already"


def test_a_replaced_login_is_over_with_its_time_and_never_endangers_the_new_one(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        customer.connect()
        new, _ = customer.connect()
        with customer.vault() as vault:
            third = kontist_login.add_login(
                vault, customer.bank.kontist.tokens.give("refresh", "ada"), customer.world.clock.now()
            )
            vault.move(third.consent_id, "replaced", "by hand", customer.world.clock.now())
        assert good(customer.read())
        assert customer.states() == ["revoked", "active", "replaced"]
        assert customer.alive(customer.token(new))
        customer.world.clock.advance(timedelta(days=31))
        with customer.vault() as vault:
            kontist_login.maintain(vault, customer.settings(), customer.world.clock.now())
        assert customer.states() == ["revoked", "expired", "revoked"]


def test_there_is_nothing_to_disconnect_without_a_login(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer, customer.vault() as vault, pytest.raises(WrongUsage, match="no login"):
        to_disconnect(vault, kontist_login.LOGIN)


# ---- erased


def test_erasing_a_login_removes_its_rows_and_says_what_still_reads_them(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        consent, _ = customer.connect()
        customer.read()
        iban = customer.world.account("4711").iban
        assert iban is not None
        settings, now = customer.settings(), customer.world.clock.now
        with customer.vault() as vault:
            vault.ask_erasure(consent.consent_id, now())
            end_at_its_bank(settings, vault, consent.consent_id, now)
            receipt = erase(customer.with_password(), vault, vault.consent(consent.consent_id), now).read_text()
        assert '"kontist.transactions": 60' in receipt
        assert "sources.kontist" in receipt
        assert customer.states() == ["erased"]
        assert customer.rows("select (select count(*) from accounts), (select count(*) from transactions)", "ledger") == [(0, 0)]
        assert iban.encode() not in customer.on_disk()


def test_an_erasure_asked_for_is_finished_by_the_next_run(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        consent, _ = customer.connect()
        customer.read()
        with customer.vault() as vault:
            vault.ask_erasure(consent.consent_id, customer.world.clock.now())
        report = customer.read()
        assert customer.states() == ["erased"]
        assert any("is erased" in note for note in report.notes)
        assert [(one.status, "connect kontist" in str(one.reason)) for one in report.outcomes] == [("skipped", True)]
        assert customer.rows("select count(*) from kontist.transactions") == [(0,)]
        with pytest.raises(NothingToRead):
            customer.read()


def _impatient(self, waits=(), sleep=lambda _: None):  # type: ignore[no-untyped-def]
    object.__setattr__(self, "waits", waits)
    object.__setattr__(self, "sleep", sleep)
