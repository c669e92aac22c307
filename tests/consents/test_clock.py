"""A clock that is wrong: nothing is read, expired or counted by it, and its earlier effects are corrected."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.consents import clock, consent_status, upkeep
from pipelines.consents.quota import WINDOW
from pipelines.consents.vault import Vault
from pipelines.questions import doctor, status
from pipelines.read.due import due
from pipelines.settings import KontistSettings, Settings
from sources._http import Http
from sources.sandbox import World
from tests.consents.customers import DIALECTS, VAULT_KEY, a_bank, connected, only_ben, read, settings_for, states, the_vault

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
YEAR = timedelta(days=365)


@contextmanager
def a_vault(folder: Path) -> Iterator[Vault]:
    vault = Vault(folder / "vault.sqlite", VAULT_KEY)
    yield vault
    vault.close()


def add(vault: Vault, now: datetime = NOON, **more: Any) -> str:
    about = {"source": "kontomatik", "institution": "KontoBank", "access_mode": "MULTIPLE", "token": "t"}
    return vault.add(**about | more, now=now).consent_id


def restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine was off: how long it has been up says nothing of the time since the last run."""
    monkeypatch.setattr(clock, "_boot", lambda: "another start")
    monkeypatch.setattr(clock, "_seconds_up", lambda: 5.0)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("off", [YEAR, -YEAR])
@pytest.mark.usefixtures("quick")
def test_a_run_on_a_clock_that_the_bank_contradicts_changes_nothing(
    new_folder: Any, monkeypatch: pytest.MonkeyPatch, dialect: str, off: timedelta
) -> None:
    with a_bank(World(transactions=12), dialect=dialect) as (bank, _):
        only_ben(bank)
        settings = settings_for(bank, new_folder())
        own = connected(bank, settings)
        for start in ("the same", "another"):
            if start == "another":
                restarted(monkeypatch)
            bank.requests.clear()
            wrong: Callable[[], datetime] = lambda: bank.world.clock.now() + off  # noqa: E731
            with pytest.raises(clock.ClockWrong, match=r"clock says .* that of kontomatik .*Set this machine's clock") as caught:
                read(bank, settings, now=wrong)
            with pytest.raises(clock.ClockWrong):
                upkeep.watch(settings, wrong)
            assert (caught.value.exit_status, states(settings)) == (2, {own.consent_id: "active"})
            assert {path.rpartition("/")[2] for _, path in bank.requests} == {"health"}
        read(bank, settings)
        with the_vault(settings) as vault:
            assert vault.quota.remaining(own.consent_id, 4, bank.world.clock.now()).left == 2


def test_a_jump_that_no_bank_explains_is_not_worked_with_and_time_that_passes_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, up = Settings(data_dir=tmp_path), [1000.0]
    monkeypatch.setattr(clock, "_boot", lambda: "one start")
    monkeypatch.setattr(clock, "_seconds_up", lambda: up[0])
    clock.check(settings, lambda: NOON)
    up[0] += 86_400.0
    clock.check(settings, lambda: NOON + timedelta(days=1))

    later = NOON + timedelta(days=1)
    for shown in (later + YEAR, later - YEAR, later + timedelta(minutes=11)):
        with pytest.raises(clock.ClockWrong, match=r"has jumped (forward|back) by .* no bank says which is right"):
            clock.check(settings, lambda shown=shown: shown)  # type: ignore[misc]
        assert clock.jumped(tmp_path, shown) is not None
    clock.check(settings, lambda: later)

    restarted(monkeypatch)
    with pytest.raises(clock.ClockWrong, match="365 days less than it did at the last run"):
        clock.check(settings, lambda: later - YEAR)
    clock.check(settings, lambda: later + timedelta(days=30))
    assert oct((tmp_path / "clock.json").stat().st_mode & 0o777) == "0o600"


def test_a_mark_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    for text in ("", "[]", "{}", '{"at": 5, "boot": "x", "seconds_up": 1}', "\x00"):
        (tmp_path / "clock.json").write_text(text)
        assert clock.jumped(tmp_path, NOON) is None
        clock.check(Settings(data_dir=tmp_path), lambda: NOON)


@pytest.mark.parametrize("at", ["2026-03-01T12:00:00", "0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59-23:59"])
@pytest.mark.parametrize("seconds_up", ["1e400", "NaN", "1e13", "-1e13", "5"])
def test_a_damaged_mark_is_no_fault(tmp_path: Path, at: str, seconds_up: str) -> None:
    for boot in (clock._boot(), "another start"):
        (tmp_path / "clock.json").write_text(f'{{"at": "{at}", "boot": "{boot}", "seconds_up": {seconds_up}}}')
        clock.jumped(tmp_path, NOON)
        with suppress(clock.ClockWrong):
            clock.check(Settings(data_dir=tmp_path), lambda: NOON, ask=False)


@pytest.mark.parametrize(
    "shown", ["", "²", "Sun, 29 Nov 2026 99999999999999999999:46:24 GMT", "Fri, 31 Dec 9999 23:59:59 -2359", "\x1b[2J"]
)
def test_a_bank_that_sends_no_time_is_not_used_and_is_no_fault(tmp_path: Path, shown: str) -> None:
    own = KontistSettings(base_url="https://kontist.test", email="a@example.com", password="x")
    settings = Settings(data_dir=tmp_path, vault_key=VAULT_KEY, kontist=own)
    answer = httpx.Response(200, headers={"Date": shown.encode()})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Http, "request", lambda *_: answer)
        assert clock.bank_time(settings) == ("kontist", None)
        clock.check(settings, lambda: NOON)


@pytest.mark.usefixtures("quick")
def test_a_bank_of_the_right_time_corrects_a_mark_that_was_wrong(new_folder: Any) -> None:
    with a_bank(World(transactions=12)) as (bank, _):
        settings = settings_for(bank, new_folder())
        connected(bank, settings)
        bank.world.clock.advance(timedelta(days=40))
        assert clock.jumped(settings.data_dir, bank.world.clock.now()) is not None
        read(bank, settings)
        assert clock.jumped(settings.data_dir, bank.world.clock.now()) is None


def test_a_jump_is_named_by_doctor_and_status_and_expires_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data_dir=tmp_path, vault_key=VAULT_KEY)
    now = datetime.now(UTC)
    with a_vault(tmp_path) as vault:
        own = add(vault, now - timedelta(days=10))
    monkeypatch.setattr(clock, "_boot", lambda: "one start")
    monkeypatch.setattr(clock, "_seconds_up", lambda: 5.0)
    clock.check(settings, lambda: now - YEAR)

    (found,) = [one for one in doctor.examine(settings, lambda: now) if one.about == "clock"]
    assert (found.level, "has jumped forward by 365 days" in found.found) == ("wrong", True)
    for module in (status, consent_status):
        monkeypatch.setattr(module, "datetime", Now(now + YEAR))
    standing = status.gather(settings)
    assert "has jumped forward by 730 days" in (standing.clock or "")
    assert [one.status for one in standing.consents] == ["active"]
    assert states(settings) == {own: "active"}


class Now:
    """A clock that stands still, in place of `datetime`."""

    def __init__(self, shown: datetime) -> None:
        self.now = lambda _zone: shown


def test_kontist_shows_the_time_where_it_alone_is_read(tmp_path: Path) -> None:
    with a_bank() as (bank, _):
        own = KontistSettings(base_url=bank.url, email=bank.world.kontist_email, password="x", requests_per_minute=0)
        settings = Settings(data_dir=tmp_path, vault_key=VAULT_KEY, kontist=own)
        with pytest.raises(clock.ClockWrong, match="that of kontist"):
            clock.check(settings, lambda: bank.world.clock.now() + YEAR)


# ---- what a wrong clock has done


@pytest.mark.parametrize("source", ["kontomatik", "kontist"])
def test_a_clock_that_was_a_year_ahead_once_has_ended_no_consent(tmp_path: Path, source: str) -> None:
    with a_vault(tmp_path) as vault:
        own, gone = add(vault, source=source), add(vault, source=source)
        vault.move(gone, "expired", "the bank does not know it", NOON)
        later = NOON + timedelta(days=1)
        for ahead, then in ((YEAR, "expired"), (timedelta(0), "active"), (timedelta(days=165), "expiring")):
            vault.age(later + ahead)
            assert (vault.consent(own).status, vault.consent(gone).status) == (then, "expired")
        vault.age(later)
        assert (vault.consent(own).status, vault.consent(own).has_token) == ("active", True)
        assert vault.trail(own)[-1].outcome == "its end lies ahead: the clock was wrong"
        vault.age(NOON + timedelta(days=181))
        assert vault.consent(own).status == "expired"


def test_a_login_that_has_been_replaced_since_stays_over(tmp_path: Path) -> None:
    with a_vault(tmp_path) as vault:
        old = add(vault, source="kontist")
        vault.age(NOON + YEAR)
        new = add(vault, NOON + timedelta(days=1), source="kontist")
        vault.age(NOON + timedelta(days=2))
        assert (vault.consent(old).status, vault.consent(new).status) == ("expired", "active")


def test_a_sign_in_that_is_dated_ahead_has_its_days_counted_anew(tmp_path: Path) -> None:
    with a_vault(tmp_path) as vault:
        own = add(vault, NOON + YEAR)
        vault.age(NOON)
        assert (vault.consent(own).created_at, vault.consent(own).days_left(NOON)) == (NOON, 180)


def test_attempts_and_imports_that_are_dated_ahead_block_nothing(tmp_path: Path) -> None:
    with a_vault(tmp_path) as vault:
        own = add(vault)
        vault.covers(own, ["a"])
        for number in range(4):
            attempt = vault.quota.begin_attempt(own, "reuse", None, NOON + YEAR + timedelta(hours=number), per_day=4)
            vault.quota.end_attempt(attempt, "done", NOON + YEAR)
        vault.imported(own, NOON + YEAR)

        assert vault.quota.remaining(own, 4, NOON).left == 4
        assert [one.consent_id for one in due(vault, vault.consents(), timedelta(hours=5), NOON)[0]] == [own]
        again = vault.quota.begin_attempt(own, "reuse", None, NOON, per_day=4)
        vault.quota.note_command(again, "42", NOON)
        found = vault.quota.unfinished(own, NOON)
        assert found is not None
        assert found.command_id == "42"
        assert vault.quota.remaining(own, 4, NOON + timedelta(seconds=1)).left == 3
        assert vault.quota.remaining(own, 4, NOON + WINDOW).left == 4
