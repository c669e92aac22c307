"""Which notices there are, when each is due, and what it says."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.consents.clients import vault_of
from pipelines.consents.states import LOGIN_WARNINGS, WARNINGS
from pipelines.consents.vault import Vault
from pipelines.fleet.digest import digest
from pipelines.notify.dispatch import TEST
from pipelines.notify.notices import (
    KINDS,
    NEWS,
    Notice,
    about_checks,
    about_closed_months,
    about_consents,
    about_differences,
    about_gaps,
    about_held,
    about_stale,
)
from pipelines.notify.outbox import Outbox
from pipelines.run.closed_changes import ClosedChange
from pipelines.run.report import Report
from pipelines.settings import Settings
from pipelines.store.ledger import Published
from transforms.checks import CheckResult

NOW = datetime(2026, 3, 27, 12, tzinfo=UTC)
DAY = timedelta(days=1)
DOCUMENT = Path(__file__).parents[2] / "docs" / "scheduling.md"
TOKEN, OWNER, IBAN = "the-token-of-this-consent", "owner-4711", "DE89370400440532013000"


@pytest.fixture
def vault(settings: Settings) -> Iterator[Vault]:
    with vault_of(settings) as opened:
        yield opened


def signed_in(vault: Vault, *accounts: str, days_left: float = 100, source: str = "kontomatik") -> str:
    """A consent that has so many days left at `NOW`, and reads these accounts."""
    consent = vault.add(
        source=source,
        institution="KontoBank",
        access_mode="MULTIPLE",
        now=NOW - DAY,
        token=TOKEN,
        owner_external_id=OWNER,
        expires_at=NOW + days_left * DAY,
    )
    vault.covers(consent.consent_id, accounts)
    return consent.consent_id


def kinds(notices: list[Notice]) -> list[tuple[str, Any]]:
    return [(notice.kind, notice.payload["consent_id"]) for notice in notices]


# ---- consents


def warned(vault: Vault, outbox: Outbox, consent_id: str, begin: datetime, days: int) -> list[tuple[int, int]]:
    """Looks twice a day; returns which step was notified with how many days left."""
    found = []
    for half in range(days * 2 + 1):
        now = begin + half * DAY / 2
        vault.age(now)
        found += outbox.put(about_consents(vault, now), now)
    about = (notice.payload for notice in found if notice.kind == "consent.expiring")
    return [(int(one["step"] or 0), int(one["days_left"] or 0)) for one in about if one["consent_id"] == consent_id]


@pytest.mark.parametrize(
    ("source", "steps"), [("kontomatik", [(30, 30), (14, 14), (7, 7), (1, 1)]), ("kontist", [(14, 14), (7, 7), (1, 1)])]
)
def test_each_warning_comes_once_on_its_day(vault: Vault, settings: Settings, source: str, steps: list[tuple[int, int]]) -> None:
    consent_id = signed_in(vault, days_left=32, source=source)

    assert warned(vault, Outbox(settings.data_dir), consent_id, NOW, 33) == steps


def test_who_comes_late_gets_the_tightest_warning_only(vault: Vault, settings: Settings) -> None:
    consent_id = signed_in(vault, days_left=9.5)

    assert warned(vault, Outbox(settings.data_dir), consent_id, NOW, 1) == [(14, 9)]


@pytest.mark.parametrize(("days", "says"), [(12.5, "ends in 12 days"), (1.5, "ends in 1 day."), (0.5, "ends today")])
def test_a_warning_says_how_long_and_what_to_do(vault: Vault, days: float, says: str) -> None:
    consent_id = signed_in(vault, days_left=days)
    (notice,) = about_consents(vault, NOW)

    assert says in notice.text
    assert f"python -m pipelines consents renew {consent_id}" in notice.text
    assert notice.payload["renew"] == f"python -m pipelines consents renew {consent_id}"


def test_a_consent_expires_when_its_time_is_over(vault: Vault) -> None:
    consent_id = signed_in(vault, "a", days_left=1)
    vault.age(NOW + 2 * DAY)
    (notice,) = about_consents(vault, NOW + 2 * DAY)

    assert (notice.kind, notice.key) == ("consent.expired", consent_id)
    assert notice.payload["at"] == (NOW + 2 * DAY).isoformat(timespec="seconds")
    assert notice.payload["reason"] == "its 180 days are over"


def test_a_consent_expires_when_the_bank_says_so(vault: Vault) -> None:
    consent_id = signed_in(vault)
    vault.move(consent_id, "expired", "AccessTokenExpired", NOW)
    (notice,) = about_consents(vault, NOW)

    assert (notice.kind, notice.payload["reason"]) == ("consent.expired", "AccessTokenExpired")


def test_a_consent_whose_accounts_another_reads_expires_in_silence(vault: Vault) -> None:
    over = signed_in(vault, "a", "b")
    signed_in(vault, "a", "b", "c")
    vault.move(over, "expired", "AccessTokenExpired", NOW)

    assert about_consents(vault, NOW) == []


def test_a_consent_of_which_another_reads_not_all_accounts_does_not(vault: Vault) -> None:
    over = signed_in(vault, "a", "b")
    other = signed_in(vault, "b", "c")
    vault.move(over, "expired", "AccessTokenExpired", NOW)
    assert kinds(about_consents(vault, NOW)) == [("consent.expired", over)]

    vault.move(other, "expired", "AccessTokenExpired", NOW)
    assert kinds(about_consents(vault, NOW)) == [("consent.expired", over), ("consent.expired", other)]


def test_a_consent_whose_accounts_nobody_knows_does_not_either(vault: Vault) -> None:
    over = signed_in(vault)
    signed_in(vault, "a")
    vault.move(over, "expired", "AccessTokenExpired", NOW)

    assert kinds(about_consents(vault, NOW)) == [("consent.expired", over)]


def test_a_login_that_is_not_needed_expires_in_silence(vault: Vault) -> None:
    login, consent = signed_in(vault, "a", source="kontist"), signed_in(vault, "b")
    for one in (login, consent):
        vault.move(one, "expired", "gone", NOW)

    assert kinds(about_consents(vault, NOW, configured=("kontist",))) == [("consent.expired", consent)]
    assert kinds(about_consents(vault, NOW)) == [("consent.expired", login), ("consent.expired", consent)]


def test_a_revocation_is_reported_when_the_bank_has_confirmed_it(vault: Vault) -> None:
    consent_id = signed_in(vault)
    vault.move(consent_id, "revoking", "asked for", NOW)
    vault.note(consent_id, "revocation tried", "not confirmed: Timeout", NOW)
    assert about_consents(vault, NOW) == []

    vault.move(consent_id, "revoked", "confirmed by the bank", NOW + DAY)
    (notice,) = about_consents(vault, NOW + DAY)
    assert (notice.kind, notice.payload["reason"]) == ("consent.revoked", "confirmed by the bank")


def renewed(vault: Vault, old: str, *accounts: str) -> str:
    """A newer consent in the place of `old`, which reads these accounts."""
    newer = vault.add(
        source="kontomatik", institution="KontoBank", access_mode="MULTIPLE", now=NOW, token=TOKEN, replaces=old
    ).consent_id
    vault.covers(newer, accounts)
    return newer


@pytest.mark.parametrize("before", ["replaced", "expired"])
def test_a_consent_that_was_renewed_ends_in_silence(vault: Vault, before: str) -> None:
    old = signed_in(vault, "a", "b")
    renewed(vault, old, "a", "b", "c")
    vault.move(old, "replaced" if before == "replaced" else "expired", "AccessTokenExpired", NOW - DAY)
    vault.move(old, "revoking", "asked for", NOW)
    vault.move(old, "revoked", "confirmed by the bank", NOW)

    assert about_consents(vault, NOW) == []


def test_a_consent_that_a_person_ends_is_reported_though_a_newer_one_reads_some_of_its_accounts(vault: Vault) -> None:
    old = signed_in(vault, "a", "b")
    renewed(vault, old, "a")
    vault.move(old, "revoking", "asked for", NOW)
    vault.move(old, "revoked", "confirmed by the bank", NOW)

    assert kinds(about_consents(vault, NOW)) == [("consent.revoked", old)]


def test_a_sign_in_that_nobody_finished_never_was_a_consent(vault: Vault) -> None:
    pending = vault.add(source="kontomatik", institution="KontoBank", access_mode="MULTIPLE", now=NOW)
    vault.move(pending.consent_id, "expired", "the sign-in was never finished", NOW)
    assert about_consents(vault, NOW) == []

    vault.move(pending.consent_id, "revoking", "asked for", NOW)
    vault.move(pending.consent_id, "revoked", "there never was a token to end", NOW)
    assert about_consents(vault, NOW) == []


def test_a_sign_in_that_was_finished_is_a_consent_like_others(vault: Vault) -> None:
    pending = vault.add(source="kontomatik", institution="KontoBank", access_mode="MULTIPLE", now=NOW)
    vault.keep_token(pending.consent_id, TOKEN, NOW)
    vault.move(pending.consent_id, "expired", "AccessTokenExpired", NOW)

    assert kinds(about_consents(vault, NOW)) == [("consent.expired", pending.consent_id)]


def test_an_end_is_news_for_a_week(vault: Vault) -> None:
    consent_id = signed_in(vault)
    vault.move(consent_id, "expired", "AccessTokenExpired", NOW)

    assert kinds(about_consents(vault, NOW + NEWS)) == [("consent.expired", consent_id)]
    assert about_consents(vault, NOW + NEWS + timedelta(seconds=1)) == []


# ---- checks, accounts, holes


def a_report(*checks: CheckResult, refused: bool = True) -> Report:
    published = None if refused else Published(Path("ledger.duckdb"), {}, [*checks], 0.0)
    return Report("r-1", published=published, checks=[*checks], refused="refused" if refused else None)


WELL = CheckResult("ledger.accounts: unique", "An account is there twice.", 0)
FAILED = CheckResult("ledger.balances: proof", "Our balance and the bank's differ.", 3)


def test_a_refused_ledger_names_the_checks_that_failed() -> None:
    (notice,) = about_checks(a_report(WELL, FAILED)) or []

    assert notice.key == FAILED.name
    assert notice.payload == {"check": FAILED.name, "failed_rows": 3, "meaning": FAILED.meaning, "run_id": "r-1"}
    assert FAILED.meaning in notice.text


def test_a_published_ledger_has_none_and_without_a_ledger_nothing_is_known() -> None:
    assert about_checks(a_report(WELL, refused=False)) == []
    assert about_checks(Report("r-1")) is None


def an_account(account_id: str, hours: float | None) -> dict[str, Any]:
    """As `status` lists it, read in full so many hours before `NOW`."""
    last = None if hours is None else (NOW - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
    about = {"institution": "KontoBank", "display_name": f"KontoBank …{IBAN[-4:]} PLN"}
    return {"account_id": account_id, "source": "kontomatik", "last_imported_at": last} | about


def test_an_account_is_stale_when_it_should_be_read_and_was_not() -> None:
    listed = [an_account("fresh", 30), an_account("stale", 30.01), an_account("nobody reads it", 99), an_account("new", None)]
    (notice,) = about_stale(listed, {"fresh", "stale", "new"}, 30, NOW)

    assert notice.key == "stale"
    assert notice.payload["hours"] == 30
    assert notice.payload["last_imported_at"] == listed[1]["last_imported_at"]


def test_an_account_that_its_bank_contradicts_names_the_days_to_look_at() -> None:
    tied = an_account("tied", 1) | {"differs_from": None, "differs_until": None}
    (notice,) = about_differences([tied, an_account("a", 1) | {"differs_from": "2026-03-02", "differs_until": "2026-03-05"}])

    assert (notice.kind, notice.key) == ("account.differs", "a")
    assert "`python -m pipelines prove a --from 2026-03-02 --to 2026-03-05`" in notice.text


def test_a_gap_is_another_one_when_it_begins_elsewhere() -> None:
    holes = [{"account_id": "a", "from_on": day, "to_on": "2026-03-09"} for day in ("2026-03-01", "2026-03-05")]

    assert [notice.key for notice in about_gaps(holes)] == ["a 2026-03-01", "a 2026-03-05"]


# ---- all of them, and the document


@pytest.fixture
def one_of_each(vault: Vault) -> dict[str, Notice]:
    """Every kind of notice, as the program makes it."""
    signed_in(vault, days_left=5)
    vault.move(signed_in(vault), "expired", "AccessTokenExpired", NOW)
    revoked = signed_in(vault)
    vault.move(revoked, "revoking", "asked for", NOW)
    vault.move(revoked, "revoked", "confirmed by the bank", NOW)
    made = about_consents(vault, NOW) + (about_checks(a_report(FAILED)) or [])
    made += about_gaps([{"account_id": "a", "from_on": NOW.date(), "to_on": NOW.date()}])
    made += [*about_stale([an_account("a", 99)], {"a"}, 30, NOW), TEST]
    made += about_held([an_account("a", 1) | {"held_since": "2026-03-27T06:00:00Z"}, an_account("b", 1) | {"held_since": None}])
    made += [digest(made[-1:])]
    made += about_differences([an_account("a", 1) | {"differs_from": "2026-03-02", "differs_until": "2026-03-05"}])
    made += about_closed_months([ClosedChange("a", NOW.date().replace(day=1), "a:1", "new", "state")])
    return {notice.event: notice for notice in made}


def documented() -> dict[str, tuple[str, set[str]]]:
    """When each event comes and what its payload holds, as the document's table has it."""
    found: dict[str, tuple[str, set[str]]] = {}
    before: set[str] = set()
    for event, when, payload in re.findall(
        r"^\| `(kontoledger\.[\w.]+)` \| (.+?) \| (.+?) \|$", DOCUMENT.read_text(), re.MULTILINE
    ):
        before = before if payload == "the same" else set(re.findall(r"`(\w+)`", payload))
        found[event] = (when, before)
    return found


def test_the_document_lists_every_event() -> None:
    assert list(documented()) == [f"kontoledger.{kind}" for kind in KINDS]


def test_every_payload_is_what_the_document_says(one_of_each: dict[str, Notice]) -> None:
    assert {event: set(notice.payload) for event, notice in one_of_each.items()} == {
        event: payload for event, (_, payload) in documented().items()
    }


def test_the_document_names_the_days_of_the_warnings() -> None:
    when, _ = documented()["kontoledger.consent.expiring"]
    consents, logins = when.split("Kontist")

    assert tuple(int(days) for days in re.findall(r"\d+", consents)) == WARNINGS
    assert tuple(int(days) for days in re.findall(r"\d+", logins)) == LOGIN_WARNINGS


def test_no_notice_holds_a_token_an_owner_or_an_account_number(one_of_each: dict[str, Notice]) -> None:
    for notice in one_of_each.values():
        said = " ".join([notice.key, notice.subject, notice.text, *map(str, notice.payload.values())])
        assert not [secret for secret in (TOKEN, OWNER, IBAN) if secret in said], notice.kind
        assert all(value is None or isinstance(value, str | int) for value in notice.payload.values())
        assert notice.subject
        assert "\n" not in notice.subject
