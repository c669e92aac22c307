"""The login at Kontist as a consent: connected, used, renewed."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread

import pytest

from pipelines.consents import kontist_login
from pipelines.errors import WrongUsage
from pipelines.run.sources import NothingToRead
from sources.kontist.auth import Login, expiry
from sources.sandbox import HtmlInsteadOfJson, ServerError, TokenExpires, World
from sources.sandbox.banks.wire import problem
from tests.kontist_login.logins import a_customer, good, tokens_asked

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
        assert (good(report), [one.consent_id for one in report.outcomes]) == (True, [consent.consent_id] * 2)
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
                kontist_login.connect(settings, vault, customer.login, customer.world.clock.now)
        assert customer.bank.requests == []


def test_a_token_that_may_not_read_is_not_kept_as_a_login(tmp_path: Path) -> None:
    class Unconfirmed(ServerError):
        def before(self, call, _, /):  # type: ignore[no-untyped-def]
            return problem(403, "Forbidden") if "/accounts" in call.path else None

    with a_customer(tmp_path, Unconfirmed()) as customer:
        with pytest.raises(kontist_login.NotLoggedIn, match="MFA"):
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
        assert good(customer.read())


def test_a_new_login_that_fails_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        old, _ = customer.connect()
        customer.bank.faults.append(HtmlInsteadOfJson(path_contains="/accounts"))
        with pytest.raises(kontist_login.NotLoggedIn):
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


def test_a_bank_that_gives_no_refresh_token_is_read_by_password_and_stores_no_login(tmp_path: Path) -> None:
    class NoRefreshToken(ServerError):
        def before(self, call, _, /):  # type: ignore[no-untyped-def]
            return problem(403, "Forbidden") if call.path.endswith("/refresh-token") else None

    with a_customer(tmp_path) as customer:
        customer.bank.faults.append(NoRefreshToken())
        with pytest.raises(kontist_login.NotLoggedIn, match="gives no refresh token") as caught:
            customer.connect()
        assert "sources.kontist.password" in str(caught.value)
        assert customer.states() == []
        assert good(customer.read(customer.with_password()))


def test_a_refresh_token_from_elsewhere_can_be_added(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        token = customer.bank.kontist.tokens.give("refresh", "ada")
        consent, _ = customer.connect(Login(refresh_token=token))
        assert (consent.status, customer.token(consent)) == ("active", token)
        assert good(customer.read())
        with pytest.raises(kontist_login.NotLoggedIn, match="This login was not kept"):
            customer.connect(Login(refresh_token="a.b.c"))
        assert customer.states() == ["active", "expired"]


@pytest.mark.parametrize(("says", "days"), [(None, 30), ("soon", 30), (1e30, 30)])
def test_a_token_that_does_not_say_when_it_ends_is_taken_for_thirty_days(tmp_path: Path, says: object, days: int) -> None:
    from tests.reading_kontist.fake_bank import jwt

    with a_customer(tmp_path) as customer:
        now = customer.world.clock.now()
        token = "opaque" if says is None else jwt(exp=says)
        assert kontist_login.ends_at(token, now) == now + timedelta(days=days)


# ---- using


def test_a_rotated_token_is_stored_before_it_is_used(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        consent, _ = customer.connect()
        customer.bank.kontist.rotates = True
        tokens = [customer.token(consent)]
        for _ in range(2):
            assert good(customer.read())
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
        assert good(report)
        with customer.vault() as vault:
            assert vault.consent(consent.consent_id).days_left(customer.world.clock.now()) == 29
            assert vault.consent(consent.consent_id).status == "active"


def test_a_configured_token_that_the_bank_rotates_becomes_a_login(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        customer.bank.kontist.rotates = True
        settings = customer.settings(refresh_token=customer.bank.kontist.tokens.give("refresh", "ada"))
        for _ in range(3):
            assert good(customer.read(settings))
        assert customer.states() == ["active"]


def test_a_rotated_token_that_cannot_be_encrypted_is_not_used(tmp_path: Path) -> None:
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
        assert good(report)
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
        assert good(customer.read(customer.with_password()))
        assert customer.alive(customer.token(consent))


def test_two_processes_renew_one_after_the_other(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        consent, _ = customer.connect()
        customer.bank.kontist.rotates = True
        together, failed = Barrier(4), []

        def another() -> None:
            with customer.vault() as vault:
                kept = kontist_login.kept_login(customer.settings(), vault, customer.world.clock.now)
                with kontist_login.client_of(kept) as client:
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
        assert good(report)
        assert tokens_asked(customer.bank) == ["POST auth-token"] * 2
        truth = customer.world.totals()
        assert customer.rows("select count(*) from kontist.transactions") == [
            (sum(one.booked_count for key, one in truth.items() if key[0] == "kontist"),)
        ]
