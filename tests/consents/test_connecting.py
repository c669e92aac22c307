"""From the link that a customer is sent to, to the first import: the token is safe before anything else is done."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from pipelines.consents import sign_in, upkeep
from pipelines.consents.clients import kontomatik_client
from pipelines.read.windows import KontomatikPlan
from pipelines.settings import Settings
from pipelines.store.lock import held
from sources.sandbox import CommandFails, Fault, SandboxBank
from sources.sandbox.banks.wire import Answer, Call
from tests.consents.customers import DIALECTS, Given, SignsIn, a_bank, reading_of, settings_for, states, stored_tokens, the_vault
from tests.consents.killing import Killer, Victim, environment
from tests.patience import patient

pytestmark = pytest.mark.parametrize("dialect", DIALECTS)


class Desk:
    """Where customers are connected."""

    def __init__(self, killer: Killer, bank: SandboxBank, given: Given, folder: Path) -> None:
        self.killer, self.bank, self.given = killer, bank, given
        self.settings: Settings = settings_for(bank, folder)

    def command(self, *arguments: str, ahead: timedelta = timedelta(), **environ: str) -> Victim:
        return self.killer.run(environment(self.bank, self.settings.data_dir, **environ), *arguments, ahead=ahead)

    def connect(self, *more: str, target: str = "KontoBankApi", **environ: str) -> Victim:
        return self.command("connect", "kontomatik", "--target", target, "--json", *more, **environ)

    @property
    def states(self) -> list[str]:
        return [*states(self.settings).values()]

    def oldest_row(self) -> object:
        with duckdb.connect(self.settings.data_dir / "raw.duckdb", read_only=True) as connection:
            return connection.execute("select min(window_on) from kontomatik.transactions").fetchall()[0][0]

    def oldest_at_the_bank(self) -> object:
        return min(row.day for own in self.bank.world.accounts[2:] for row in own.transactions if row.booked_on)


@pytest.fixture
def desk(the_killer: Killer, new_folder: Callable[[], Path], dialect: str) -> Iterator[Desk]:
    with a_bank(None, dialect=dialect) as (bank, given):
        yield Desk(the_killer, bank, given, new_folder())


def test_multiple_access_imports_all_history_and_keeps_the_token(desk: Desk, dialect: str) -> None:
    desk.bank.faults.append(SignsIn())

    ended = desk.connect()

    assert (ended.status, ended.parsed["status"], desk.states) == (0, "ok", ["active"])
    assert stored_tokens(desk.settings) == desk.given.tokens == desk.given.alive()
    assert desk.oldest_row() == desk.oldest_at_the_bank()
    assert ended.parsed["sources"]["kontomatik"]["imports"] == 1
    assert "Sign in at the bank: http://127.0.0.1" in ended.err
    with the_vault(desk.settings) as vault:
        (consent,) = vault.consents()
        assert (consent.access_mode, consent.institution, consent.target) == ("MULTIPLE", "KontoBank", "KontoBankApi")
        assert vault.sign_in(consent.consent_id) is None


def test_single_access_imports_once_and_leaves_nothing(desk: Desk, dialect: str) -> None:
    desk.bank.faults.append(SignsIn())

    ended = desk.connect("--access-mode", "SINGLE")

    assert (ended.status, desk.states, desk.given.tokens) == (0, ["expired"], [])
    assert desk.oldest_row() == desk.oldest_at_the_bank()
    with the_vault(desk.settings) as vault:
        (consent,) = vault.consents()
        assert (consent.has_token, vault.sign_in(consent.consent_id)) == (False, None)
        assert vault.trail(consent.consent_id)[-1].outcome == "imported once: the bank gave no reusable consent"
    assert not any("MULTIPLE" in note or "SINGLE" in note for note in ended.parsed["notes"])


def test_mixed_access_without_a_token_says_so(desk: Desk, dialect: str) -> None:
    desk.bank.faults.append(SignsIn())

    ended = desk.connect("--access-mode", "MIXED", target="KontoBankApi_es")

    assert (ended.status, desk.states, desk.given.tokens) == (0, ["expired"], [])
    assert any("the bank gave no reusable consent (MIXED was asked for)" in note for note in ended.parsed["notes"])


def test_a_customer_who_says_no_leaves_nothing(desk: Desk, dialect: str) -> None:
    desk.bank.faults.append(SignsIn(decision="deny"))

    ended = desk.connect()

    assert (ended.status, desk.states, desk.given.tokens) == (1, ["expired"], [])
    assert "The sign-in at the bank has failed" in ended.parsed["error"]
    assert desk.command("run").status == 2


class TakesLong(Fault):
    """The customer is still on the bank's page when the bank gives up."""

    def before(self, call: Call, bank: SandboxBank, /) -> Answer | None:
        if "redirection-status" in call.path:
            bank.world.clock.advance(timedelta(minutes=31))
        return None


def test_a_sign_in_that_ran_out_of_time_is_reported(desk: Desk, dialect: str) -> None:
    desk.bank.faults.append(TakesLong())

    ended = desk.connect()

    assert (ended.status, desk.states) == (1, ["expired"])
    assert "The sign-in at the bank has expired. Start again; nothing was stored" in ended.parsed["error"]


def test_a_sign_in_that_is_finished_later_is_picked_up_with_all_its_history(desk: Desk, dialect: str) -> None:
    left = desk.connect("--wait", "0")
    assert (left.status, desk.states) == (1, ["pending"])
    assert "the next run picks it up" in left.parsed["error"]
    assert desk.command("run").status == 0  # nothing to read, and nothing wrong
    assert desk.states == ["pending"]

    desk.bank.faults.append(SignsIn())
    later = desk.command("run", "--since", str(desk.bank.world.today - timedelta(days=3)), "--json")

    assert (later.status, desk.states) == (0, ["active"])
    assert stored_tokens(desk.settings) == desk.given.alive()
    assert desk.oldest_row() == desk.oldest_at_the_bank()
    assert any("its first import ignores --since and reads all that the bank gives" in note for note in later.parsed["notes"])


def test_a_sign_in_that_asked_for_less_gets_it_whoever_picks_it_up(desk: Desk, dialect: str) -> None:
    first_day = desk.bank.world.today - timedelta(days=30)
    desk.connect("--wait", "0", "--since", str(first_day))
    desk.bank.faults.append(SignsIn())

    now, today = desk.bank.world.clock.now, desk.bank.world.today
    with the_vault(desk.settings) as vault, kontomatik_client(desk.settings, now) as client:
        maintenance = upkeep.maintain(vault, client, now())
        assert [(one.since, one.session is not None) for one in maintenance.openings] == [(None, True)]
        windows = KontomatikPlan(cursors={}, held={}, today=today, lookback_days=14, since=today - timedelta(days=60))
        reading = reading_of(vault, client, desk.settings, now, maintenance.openings, windows=windows)

    assert {answer.since for answer in reading.answers} == {first_day}
    assert {answer.marks["not_before"] for answer in reading.answers} == {str(first_day)}
    assert all(answer.earns_cursor for answer in reading.answers)
    assert [note.partition("first import ")[2] for note in reading.notes] == [
        f"ignores --since and reads from {first_day} on, as `connect --since` asked"
    ]


def test_a_sign_in_that_nobody_finishes_is_given_up_after_an_hour(desk: Desk, dialect: str) -> None:
    desk.connect("--wait", "0")
    desk.command("run", ahead=timedelta(minutes=59))
    assert desk.states == ["pending"]
    desk.command("run", ahead=timedelta(minutes=61))
    assert desk.states == ["expired"]
    with the_vault(desk.settings) as vault:
        assert [entry.outcome for entry in vault.trail()] == ["pending", "the sign-in was never finished"]


def test_a_sign_in_that_the_bank_has_forgotten_is_reported_once(desk: Desk, dialect: str) -> None:
    desk.connect("--wait", "0")
    desk.bank.kontomatik.sign_ins.clear()

    result = desk.command("run", "--json")

    assert (result.status, desk.states) == (1, ["expired"])
    assert "its sign-in is over at the bank; connect again" in result.parsed["sources"]["kontomatik"]["errors"][0]["reason"]
    assert desk.command("run").status == 2


def test_a_first_import_that_fails_costs_no_consent(desk: Desk, dialect: str) -> None:
    """Where the token comes with the sign-in. The published specification gives it with the import alone."""
    desk.bank.faults += [SignsIn(), CommandFails(times=1)]

    failed = desk.connect()
    later = desk.command("run", "--json")

    assert failed.status == 1
    if dialect == "live":
        assert (later.status, desk.states) == (0, ["active"])
        assert stored_tokens(desk.settings) == desk.given.alive()
        assert later.parsed["sources"]["kontomatik"]["accounts"] == 6
    else:
        assert (later.status, desk.states) == (1, ["expired"])
        assert "one import already" in later.parsed["sources"]["kontomatik"]["errors"][0]["reason"]
        assert desk.command("run").status == 2


def test_a_sign_in_whose_session_has_passed_is_imported_by_its_token(desk: Desk, dialect: str) -> None:
    desk.connect("--wait", "0")
    desk.bank.faults.append(SignsIn())
    with the_vault(desk.settings) as vault, kontomatik_client(desk.settings, desk.bank.world.clock.now) as client:
        (consent,) = vault.consents()
        sign_in.finished_sign_in(vault, client, consent, desk.bank.world.clock.now())
    desk.bank.world.clock.advance(timedelta(minutes=20))

    later = desk.command("run", "--json", ahead=timedelta(minutes=20))

    if dialect == "live":
        assert (later.status, desk.states) == (0, ["active"])
        assert desk.bank.count("POST", "reuse") == 1
    else:
        assert (later.status, desk.states) == (1, ["expired"])
        assert "the session is unknown or expired" in later.parsed["sources"]["kontomatik"]["errors"][0]["reason"]


def test_a_run_may_take_up_the_sign_in_that_somebody_waits_for(desk: Desk, dialect: str) -> None:
    """It did once end the consent: who waited found the sign-in gone and took it for given up."""
    now = desk.bank.world.clock.now
    desk.connect("--wait", "0")
    with the_vault(desk.settings) as vault, kontomatik_client(desk.settings, now) as client:
        (consent,) = vault.consents()
        waits: list[float] = []

        def wait(seconds: float) -> None:
            waits.append(seconds)
            desk.bank.faults[:] = [SignsIn()]
            assert desk.command("run").status == 0

        opening = sign_in.wait_for_sign_in(vault, client, consent, seconds=60, every=3, now=now, sleep=wait)

        assert (waits, desk.states, opening.session) == ([3], ["active"], None)


def test_waiting_asks_at_its_interval_and_shows_how_long(desk: Desk, dialect: str) -> None:
    desk.connect("--wait", "0")
    time_is = datetime.now().astimezone()
    heard: list[float] = []

    def now() -> datetime:
        return time_is

    def sleep(seconds: float) -> None:
        nonlocal time_is
        time_is += timedelta(seconds=seconds)

    with the_vault(desk.settings) as vault, kontomatik_client(desk.settings, now) as client:
        (consent,) = vault.consents()
        asked = desk.bank.count("GET", "redirection-status")
        with pytest.raises(sign_in.SignInFailed, match="The sign-in timed out after 10 seconds"):
            sign_in.wait_for_sign_in(vault, client, consent, seconds=10, every=3, now=now, sleep=sleep, progress=heard.append)
    assert (heard, desk.bank.count("GET", "redirection-status") - asked) == ([0, 3, 6, 9], 5)


def test_a_run_that_is_going_on_is_waited_for(desk: Desk, dialect: str) -> None:
    """The session ends in minutes: a sign-in must not be lost because a scheduled run had begun."""
    desk.bank.faults.append(SignsIn())
    ended: list[Victim] = []
    with held(desk.settings.data_dir, "another run"):
        connecting = threading.Thread(target=lambda: ended.append(desk.connect("--wait", str(int(patient(30))))))
        connecting.start()
        while not desk.bank.count("GET", "redirection-status"):
            time.sleep(0.01)
        connecting.join(0.3)
        assert ended == []
    connecting.join(patient(30))
    assert (ended[0].status, desk.states) == (0, ["active"])
    assert desk.oldest_row() == desk.oldest_at_the_bank()


def test_the_link_is_opened_when_asked(desk: Desk, dialect: str, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o700)
    ended = desk.connect("--wait", "0", "--open", BROWSER=f"{browser} %s")
    assert (tmp_path / "opened").read_text().strip() in ended.err
    assert "/kontobank/authorize?id=" in (tmp_path / "opened").read_text()


def test_without_a_vault_key_the_bank_is_not_even_asked(desk: Desk, dialect: str) -> None:
    for arguments in (("--target", "KontoBankApi"), ("--mock",)):
        ended = desk.command("connect", "kontomatik", "--json", *arguments, PIPELINES__VAULT_KEY="")
        assert (ended.status, desk.bank.requests) == (2, [])
        assert "doctor --new-vault-key" in ended.parsed["error"]
