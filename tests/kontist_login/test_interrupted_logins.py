"""A login that is interrupted, killed, or begun twice at once: which one runs use afterwards, and what the messages say."""

import os
import shutil
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread

import pytest

from pipelines.consents import kontist_login
from pipelines.consents.kontist_oauth import ByPhone
from pipelines.consents.renewals import MARK, marked
from pipelines.store.lock import held
from sources._errors import ConsentGone, Unavailable, Unreached
from sources.sandbox import ServerError
from tests.consents.killing import Killer
from tests.kontist_login.by_link import by_pasting, connect, settings_of
from tests.kontist_login.logins import VAULT_KEY, Customer, a_customer, good
from tests.support import begun, command, ended


def environment(customer: Customer, **more: str) -> dict[str, str]:
    """Settings of the dialect graphql for a process of its own."""
    ours = {
        "PIPELINES__DATA_DIR": str(customer.data_dir),
        "PIPELINES__VAULT_KEY": VAULT_KEY,
        "SOURCES__KONTIST__BASE_URL": customer.bank.url,
        "SOURCES__KONTIST__REQUESTS_PER_MINUTE": "0",
        "SOURCES__KONTIST__DIALECT": "graphql",
        "SOURCES__KONTIST__CLIENT_ID": customer.world.kontist_client_id,
        "SOURCES__KONTIST__CLIENT_SECRET": customer.world.kontist_client_secret,
    }
    return ours | more


def token(customer: Customer) -> str:
    return customer.bank.kontist.oauth.pair()[1]


def in_use(customer: Customer) -> str:
    """The login of the next run, which can read."""
    with customer.vault() as vault:
        kept = kontist_login.kept_login(settings_of(customer), vault, customer.world.clock.now)
        with kontist_login.client_of(kept) as client:
            client.accounts()
        assert kept.consent is not None
        return kept.consent.consent_id


def test_ctrl_c_while_the_phone_is_asked_leaves_the_login_before_in_use(tmp_path: Path) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    with a_customer(tmp_path) as customer:
        before, now = connect(customer), customer.world.clock.now
        customer.bank.kontist.oauth.skips_mfa, customer.bank.kontist.oauth.challenge = True, "PENDING"
        login = by_pasting(customer)
        with customer.vault() as vault, pytest.raises(KeyboardInterrupt):
            kontist_login.connect(settings_of(customer), vault, login, now, ByPhone(lambda _: None, now, interrupted))
        assert customer.states() == ["active", "expired"]
        assert in_use(customer) == before.consent_id


def test_a_connect_that_is_killed_anywhere_leaves_a_login_that_reads_and_the_next_one_tidies_up(tmp_path: Path) -> None:
    killer, step = Killer(), 1
    with a_customer(tmp_path) as customer:
        connect(customer)
        while True:
            copy = Customer(customer.bank, tmp_path / f"killed-{step}")
            shutil.copytree(customer.data_dir, copy.data_dir)
            customer.bank.kontist.oauth.rotates = True
            victim = killer.run(environment(copy), "consents", "add", "kontist", given=f"{token(customer)}\n", before=step)
            customer.bank.kontist.oauth.rotates = False
            assert in_use(copy)
            if not victim.killed:
                break
            if step % 3 == 0:  # each costs as much as the kill
                connect(copy)
                assert copy.states().count("active") == 1, victim.steps
            step += 2
        assert step > 9
        assert copy.states() == ["revoked", "active"]


@pytest.mark.parametrize("dialect", ["graphql", "rest"])
def test_disconnecting_ends_the_remains_of_a_killed_connect_too(tmp_path: Path, dialect: str) -> None:
    with a_customer(tmp_path) as customer:
        by_link, now = dialect == "graphql", customer.world.clock.now()
        connect(customer) if by_link else customer.connect()
        with customer.vault() as vault:
            left = token(customer) if by_link else customer.bank.kontist.tokens.give("refresh", "ada")
            kontist_login.add_login(vault, left, now, mode=kontist_login.OAUTH if by_link else kontist_login.LOGIN)
        assert customer.states() == ["active", "active"]
        gone = command(tmp_path, environment(customer, SOURCES__KONTIST__DIALECT=dialect), "disconnect", "kontist")
        assert gone.status == 0, gone.err
        assert customer.states() == ["revoked", "revoked"]


def test_the_second_of_two_that_connect_at_once_is_told_so_before_it_asks_anything(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        customer.data_dir.mkdir()
        with held(customer.data_dir, "connect kontist", name="connect"):
            for words, dialect in ((("connect", "kontist"), "graphql"), (("consents", "add", "kontist"), "rest")):
                second = command(
                    customer.data_dir.parent, environment(customer, SOURCES__KONTIST__DIALECT=dialect), *words, given="a.b.c\n"
                )
                assert second.status == 1
                assert f"Process {os.getpid()} (connect kontist" in second.err
        assert customer.bank.requests == []


def _killed_before_it_stores() -> None:
    kontist_login.KeptLogin.keep = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]


def test_a_renewal_that_is_killed_before_it_stores_is_named_when_the_bank_refuses(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        connect(customer)
        customer.bank.kontist.oauth.rotates = True
        killed = begun(customer.data_dir.parent, environment(customer), "doctor", inside=_killed_before_it_stores)
        assert ended(killed).status == -signal.SIGKILL
        customer.bank.requests.clear()
        report = customer.read(settings_of(customer))
        assert report.all_failed
        reason = str(customer.read(settings_of(customer)).outcomes[0].reason)
        assert "the renewal of " in reason
        assert "was cut off, and what it brought is lost" in reason
        assert "connect kontist" in reason
        assert not (customer.data_dir / MARK).exists()
        connect(customer)
        assert good(customer.read(settings_of(customer)))


def test_a_renewal_without_an_answer_stays_marked_and_a_good_one_clears_it(tmp_path: Path) -> None:
    now, mark = datetime(2026, 3, 1, tzinfo=UTC), tmp_path / MARK
    for kind, stays in ((Unavailable, True), (Unreached, False), (ConsentGone, False)):
        with pytest.raises(kind), marked(tmp_path, now):
            raise kind("kontist", "x")
        assert mark.exists() == stays
        mark.unlink(missing_ok=True)
    mark.write_text("nonsense that nobody wrote here")
    with marked(tmp_path, now) as before:
        assert before is None
    assert not mark.exists()
    with marked(tmp_path, now):
        assert mark.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("rotates", [True, False])
def test_processes_renew_a_login_by_link_one_after_the_other(tmp_path: Path, rotates: bool) -> None:
    with a_customer(tmp_path) as customer:
        consent = connect(customer)
        first = customer.token(consent)
        customer.bank.kontist.oauth.rotates = rotates
        together, failed = Barrier(4), list[Exception]()

        def another() -> None:
            with customer.vault() as vault:
                kept = kontist_login.kept_login(settings_of(customer), vault, customer.world.clock.now)
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
        assert (customer.token(consent) == first) is not rotates, "without a new refresh token the old one is used again"


def test_a_new_login_is_kept_where_the_bank_is_away_after_the_old_one_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AwayAfterTheEnd(ServerError):
        def before(self, call, bank, /):  # type: ignore[no-untyped-def]
            ended = any(method == "DELETE" for method, _ in bank.requests)
            return super().before(call, bank) if ended and call.method == "POST" else None

    with a_customer(tmp_path) as customer:
        customer.connect()
        monkeypatch.setattr("sources._http.Patience.__init__", _impatient)
        customer.bank.faults.append(AwayAfterTheEnd(times=None, path_contains="/user/"))
        consent, sentences = customer.connect()
        assert "could not be tried again" in sentences[0]
        assert customer.states() == ["revoked", "active"]
        assert consent.status == "active"


def test_the_token_s_own_end_is_the_login_s(tmp_path: Path) -> None:
    with a_customer(tmp_path) as customer:
        now = customer.world.clock.now()
        assert kontist_login.ends_at("opaque", now, kontist_login.OAUTH) == now + timedelta(days=365)
        consent = connect(customer)
        assert consent.expires_at == kontist_login.ends_at(customer.token(consent), now)
        customer.world.clock.advance(timedelta(days=20))
        customer.bank.kontist.oauth.rotates = True
        assert good(customer.read(settings_of(customer)))
        with customer.vault() as vault:
            assert vault.consent(consent.consent_id).days_left(customer.world.clock.now()) == 29


def _impatient(self, waits=(), sleep=lambda _: None):  # type: ignore[no-untyped-def]
    object.__setattr__(self, "waits", waits)
    object.__setattr__(self, "sleep", sleep)
