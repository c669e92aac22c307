"""The login at Kontist as a consent: connected, used, renewed, over, ended, erased."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread

import pytest

from pipelines.consents import kontist
from pipelines.consents.chores import end_at_its_bank, tidy, watch
from pipelines.consents.erase import erase
from pipelines.consents.steward import StillRevoking, warnings
from pipelines.errors import WrongUsage
from pipelines.run import NothingToRead, Report
from pipelines.sandbox import HtmlInsteadOfJson, ServerError, TokenExpires, World
from pipelines.sandbox.wire import problem
from pipelines.status import consents as listed_consents
from sources.kontist.tokens import Login, expiry
from tests.kontist_login.logins import a_customer, tokens_asked

# ---- connecting


def test_a_login_is_stored_as_a_consent_and_a_run_needs_nothing_else(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        consent, sentences = customer.connect()
        assert tokens_asked(customer.bank) == ["POST refresh-token", "POST auth-token"]
        assert (consent.source, consent.institution, consent.access_mode, consent.status) == (
            "kontist",
            "Kontist",
            "LOGIN",
            "active",
        )
        assert sentences == []
        token = customer.token(consent)
        assert consent.expires_at is not None
        assert consent.expires_at.timestamp() == expiry(token)

        customer.bank.requests.clear()
        report = customer.read(ledger=True)
        assert (_good(report), [one.consent_id for one in report.outcomes]) == (True, [consent.consent_id] * 2)
        assert tokens_asked(customer.bank) == ["POST auth-token"]
        assert customer.rows("select source, institution, access_mode, status, days_left from consents", "ledger") == [
            ("kontist", "Kontist", "LOGIN", "active", 29)
        ]
        assert customer.rows("select distinct consent_id from kontist.imports") == [(consent.consent_id,)]
        with customer.vault() as vault:
            assert len(vault.accounts_of(consent.consent_id)) == 2
            assert vault.consent(consent.consent_id).last_import_at is not None


def test_neither_password_nor_token_is_anywhere_in_plain(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        consent, _ = customer.connect()
        customer.read()
        on_disk = customer.on_disk()
        for secret in (customer.world.kontist_password, customer.token(consent), customer.token(consent).rpartition(".")[2]):
            assert secret.encode() not in on_disk


def test_a_wrong_password_stores_nothing(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        with pytest.raises(WrongUsage, match="No login was stored"):
            customer.connect(Login(customer.world.kontist_email, "wrong"))
        assert customer.states() == []


def test_without_a_vault_key_the_bank_is_not_even_asked(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        settings = replace(customer.settings(), vault_key=None)
        with customer.vault() as vault:
            vault.keyring._vault_key = None
            with pytest.raises(WrongUsage, match="vault key"):
                kontist.connect(settings, vault, customer.login, customer.world.clock.now)
        assert customer.bank.requests == []


def test_a_token_that_may_not_read_is_not_kept_as_a_login(tmp_path: Path) -> None:
    class Unconfirmed(ServerError):
        def before(self, call, _, /):  # type: ignore[no-untyped-def]
            return problem(403, "Forbidden") if "/accounts" in call.path else None

    with a_customer(tmp_path, Unconfirmed()) as customer:
        with pytest.raises(kontist.NotLoggedIn, match="MFA"):
            customer.connect()
        assert customer.states() == ["expired"]
        with pytest.raises(NothingToRead, match="connect kontist"):
            customer.read()


def test_connecting_again_replaces_the_login_and_ends_the_old_one(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        old, _ = customer.connect()
        before = customer.token(old)
        new, sentences = customer.connect()

        assert (customer.states(), sentences) == (["revoked", "active"], [])
        assert new.replaces == old.consent_id
        assert not customer.alive(before)
        # the request that ends a refresh token names none: this bank ends all, so the customer is logged in once more
        assert customer.alive(customer.token(new))
        assert _good(customer.read())


def test_a_new_login_that_fails_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        old, _ = customer.connect()
        customer.bank.faults.append(HtmlInsteadOfJson(path_contains="/accounts"))
        with pytest.raises(kontist.NotLoggedIn):
            customer.connect()
        assert customer.states() == ["active", "expired"]
        assert customer.read().outcomes[0].consent_id == old.consent_id


def test_a_login_of_somebody_else_does_not_take_over(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        old, _ = customer.connect()
        with customer.vault() as vault:
            vault.covers(old.consent_id, ["kontist:of-somebody-else"])
        with pytest.raises(WrongUsage, match="disconnect kontist"):
            customer.connect()
        assert customer.states() == ["active", "expired"]
        assert customer.alive(customer.token(old))


def test_a_refresh_token_from_elsewhere_can_be_added(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        token = customer.bank.kontist.tokens.give("refresh", "ada")
        consent, _ = customer.connect(Login(refresh_token=token))
        assert (consent.status, customer.token(consent)) == ("active", token)
        assert _good(customer.read())
        with pytest.raises(kontist.NotLoggedIn):
            customer.connect(Login(refresh_token="a.b.c"))
        assert customer.states() == ["active", "expired"]


@pytest.mark.parametrize(("says", "days"), [(None, 30), ("soon", 30), (1e30, 30)])
def test_a_token_that_does_not_say_when_it_ends_is_taken_for_thirty_days(tmp_path: Path, says: object, days: int) -> None:
    from tests.reading_kontist.fake_bank import jwt

    with a_customer(tmp_path) as customer:
        now = customer.world.clock.now()
        token = "opaque" if says is None else jwt(exp=says)
        assert kontist.ends_at(token, now) == now + timedelta(days=days)


# ---- using


def test_a_rotated_token_is_stored_before_it_is_used(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        consent, _ = customer.connect()
        customer.bank.kontist.rotates = True
        tokens = [customer.token(consent)]
        for _ in range(2):
            assert _good(customer.read())
            tokens.append(customer.token(consent))
        assert len(set(tokens)) == 3
        assert [customer.alive(token) for token in tokens] == [False, False, True]
        assert customer.trail(consent).count("token stored: sealed") == 2
        assert customer.states() == ["active"]


def test_a_rotated_token_moves_the_end(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        consent, _ = customer.connect()
        customer.world.clock.advance(timedelta(days=29))
        customer.bank.kontist.rotates = True
        report = customer.read()
        assert _good(report)
        with customer.vault() as vault:
            assert vault.consent(consent.consent_id).days_left(customer.world.clock.now()) == 29
            assert vault.consent(consent.consent_id).status == "active"


def test_a_configured_token_that_the_bank_rotates_becomes_a_login(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        customer.bank.kontist.rotates = True
        settings = customer.settings(refresh_token=customer.bank.kontist.tokens.give("refresh", "ada"))
        for _ in range(3):
            assert _good(customer.read(settings))
        assert customer.states() == ["active"]


def test_a_rotated_token_that_cannot_be_sealed_is_not_used(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        customer.bank.kontist.rotates = True
        settings = customer.settings(refresh_token=customer.bank.kontist.tokens.give("refresh", "ada"))
        report = customer.read(replace(settings, vault_key=None))
        assert report.all_failed
        assert "vault key" in str(report.outcomes[0].reason)
        assert customer.bank.count("GET") == 0


def test_a_password_in_the_settings_is_asked_for_nothing_to_be_stored(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        report = customer.read(replace(customer.with_password(), vault_key=None))
        assert _good(report)
        assert not (customer.data_dir / "vault.sqlite").exists()


def test_the_stored_login_comes_before_what_is_configured(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        consent, _ = customer.connect()
        customer.bank.requests.clear()
        report = customer.read(customer.with_password())
        assert tokens_asked(customer.bank) == ["POST auth-token"]
        assert report.outcomes[0].consent_id == consent.consent_id


def test_a_login_that_the_bank_has_forgotten_is_replaced_with_the_configured_password(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        consent, _ = customer.connect()
        customer.bank.kontist.tokens.end_all("refresh")
        assert _good(customer.read(customer.with_password()))
        assert customer.alive(customer.token(consent))


def test_two_processes_renew_one_after_the_other(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        consent, _ = customer.connect()
        customer.bank.kontist.rotates = True
        together, failed = Barrier(4), []

        def another() -> None:
            with customer.vault() as vault:
                kept = kontist.kept_login(customer.settings(), vault, customer.world.clock.now)
                with kontist.client_of(kept) as client:
                    together.wait()
                    try:
                        client.accounts()
                    except Exception as error:
                        failed.append(error)

        threads = [Thread(target=another) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert customer.alive(customer.token(consent))


def test_a_token_that_ends_between_two_pages_is_renewed_once(tmp_path: Path) -> None:
    with a_customer(tmp_path, world=World(transactions=400)) as customer:
        customer.connect()
        customer.bank.requests.clear()
        customer.bank.faults.append(TokenExpires(after_pages=2))
        report = customer.read()
        assert _good(report)
        assert tokens_asked(customer.bank) == ["POST auth-token"] * 2
        truth = customer.world.totals()
        assert customer.rows("select count(*) from kontist.transactions") == [
            (sum(one.booked_count for key, one in truth.items() if key[0] == "kontist"),)
        ]


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

        customer.bank.requests.clear()
        with pytest.raises(NothingToRead, match="connect kontist"):
            customer.read()
        assert customer.bank.requests == []


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


def test_a_login_ages_like_any_consent_and_is_warned_of(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        consent, _ = customer.connect()
        now = customer.world.clock.now
        said = []
        for days in (0, 14, 17, 20, 29):
            with customer.vault() as vault:
                vault.age(now() + timedelta(days=days))
                told = warnings(vault, now() + timedelta(days=days))
                said.append((vault.consent(consent.consent_id).status, len(told)))
        assert said == [("active", 0), ("active", 0), ("expiring", 1), ("expiring", 1), ("expiring", 1)]
        with customer.vault() as vault:
            vault.age(now() + timedelta(days=31))
            assert vault.consent(consent.consent_id).status_reason == "its time is over"
        assert customer.trail(consent)[-1] == "expiring to expired: its time is over"
        assert listed_consents(customer.settings())[0]["imports_left"] is None
        assert watch(customer.settings(), now) != []


# ---- ended


def test_disconnecting_ends_the_token_at_the_bank_and_destroys_it_here(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        consent, _ = customer.connect()
        token = customer.token(consent)
        with customer.vault() as vault:
            assert kontist.to_disconnect(vault).consent_id == consent.consent_id
            end_at_its_bank(customer.settings(), vault, consent.consent_id, customer.world.clock.now)
            assert vault.consent(consent.consent_id).status_reason == "confirmed by the bank"
        assert customer.sealed() == [None]
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
        assert _good(customer.read(customer.with_password()))
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
            third = kontist.add_login(vault, customer.bank.kontist.tokens.give("refresh", "ada"), customer.world.clock.now())
            vault.move(third.consent_id, "replaced", "by hand", customer.world.clock.now())
        assert _good(customer.read())
        assert customer.states() == ["revoked", "active", "replaced"]
        assert customer.alive(customer.token(new))
        customer.world.clock.advance(timedelta(days=31))
        with customer.vault() as vault:
            kontist.tend(vault, customer.settings(), customer.world.clock.now())
        assert customer.states() == ["revoked", "expired", "revoked"]


def test_there_is_nothing_to_disconnect_without_a_login(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer, customer.vault() as vault, pytest.raises(WrongUsage, match="no login"):
        kontist.to_disconnect(vault)


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


def _good(report: Report) -> bool:
    return bool(report.outcomes) and all(one.status == "complete" and one.reason is None for one in report.outcomes)


def _impatient(self, waits=(), sleep=lambda _: None):  # type: ignore[no-untyped-def]
    object.__setattr__(self, "waits", waits)
    object.__setattr__(self, "sleep", sleep)
