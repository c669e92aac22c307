"""Every exception that Kontomatik is known to name, wherever it does: what becomes of the consent, the run and the next one."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from pipelines.consents.clients import kontomatik_client
from pipelines.consents.sign_in import mock_opening
from pipelines.consents.vault import Vault
from pipelines.run.report import Report
from sources.kontomatik import client as client_module
from sources.kontomatik.errors import MEANINGS
from sources.sandbox import CommandFails, Fault, Refuses, World
from tests.consents.customers import (
    DIALECTS,
    VAULT_KEY,
    Given,
    SandboxBank,
    a_bank,
    only_ben,
    reading_of,
    settings_for,
)


class Next(NamedTuple):
    """What is left after the run: the consent's state, the outcome, and whether the next run reads it without more ado."""

    state: str
    outcome: str
    reads_again: bool = True


FAILED = Next("active", "failed")
SKIPPED = Next("active", "skipped")
GONE = Next("expired", "failed", reads_again=False)

NAMES = {
    "InvalidParameter": FAILED,
    "InvalidArgument": FAILED,
    "InvalidSince": FAILED,
    "InvalidTarget": FAILED,
    "InvalidIban": FAILED,
    "InvalidOwnerExternalId": FAILED,
    "InvalidCommandId": FAILED,
    "InvalidSessionId": FAILED,
    "InvalidSessionIdSignature": FAILED,
    "NotSignedIn": FAILED,
    "SessionExpired": FAILED,
    "AlreadySignedIn": FAILED,
    "DefaultImportAlreadyExecuted": FAILED,
    "CommandNotAvailable": FAILED,
    "InvalidMultipleAccessId": GONE,
    "MultipleAccessLimitExceeded": SKIPPED,
    "JobsQuotaExceeded": FAILED,
    "ConcurrentSessionsLimitExceed": FAILED,
    "ConcurrentSessionsLimitExceeded": FAILED,
    "ServiceTemporarilyUnavailable": FAILED,
    "ServiceMaintenance": FAILED,
    "IO": FAILED,
    "NoDataToCalculateScore": FAILED,
    "SomethingThatNobodyHasHeardOf": FAILED,
}


def test_the_list_is_whole() -> None:
    assert set(NAMES) - {"SomethingThatNobodyHasHeardOf"} == set(MEANINGS)


class Counter:
    """A consent that was imported once, and what the next reads make of a fault."""

    def __init__(self, bank: SandboxBank, given: Given, folder: Path) -> None:
        self.bank, self.now = bank, bank.world.clock.now
        self.settings = settings_for(bank, folder, kontomatik={"imports_per_day": 1000})
        self.vault = Vault(folder / "vault.sqlite", VAULT_KEY)
        only_ben(bank)
        self.own = self.connect()

    def connect(self) -> str:
        self.bank.faults.clear()
        with kontomatik_client(self.settings, self.now) as client:
            openings = mock_opening(self.now)(self.vault, client)
            reading_of(self.vault, client, self.settings, self.now, openings)
        return openings[0].consent.consent_id

    def reads(self) -> bool:
        """Whether a run without faults reads through this consent and spends one import."""
        self.bank.faults.clear()
        with kontomatik_client(self.settings, self.now) as client:
            reading = reading_of(self.vault, client, self.settings, self.now)
        return (len(reading.answers), reading.run.imports) == (1, 1)

    def read(self, *faults: Fault) -> Report:
        self.bank.faults[:] = faults
        with kontomatik_client(self.settings, self.now) as client:
            reading = reading_of(self.vault, client, self.settings, self.now)
        report = Report("r", [reading.run])
        report.published = None if report.all_failed else object()  # type: ignore[assignment]
        return report


@pytest.fixture
def counter(dialect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    monkeypatch.setattr(client_module, "POOL_WAITS", (0.0, 0.0))
    with a_bank(World(transactions=6), dialect=dialect, imports_per_day=1000) as (bank, given):
        counter = Counter(bank, given, tmp_path)
        yield counter
        counter.vault.close()


def check(counter: Counter, name: str, expected: Next, *faults: Fault) -> None:
    """One run with the fault, one without."""
    other = counter.connect() if counter.vault.consent(counter.own).status != "active" else None
    counter.own = other or counter.own
    report = counter.read(*faults)
    (outcome,) = report.outcomes
    state = counter.vault.consent(counter.own).status
    assert (name, state, outcome.status) == (name, expected.state, expected.outcome)
    assert report.exit_status == (0 if expected.outcome == "skipped" else 1)
    assert outcome.account == f"consent {counter.own}"
    assert name in outcome.reason or expected.outcome == "skipped"
    if expected.outcome == "skipped":  # the bank's word is kept, and holds for a day
        assert not counter.reads()
        counter.bank.world.clock.advance(timedelta(hours=24))
    assert not expected.reads_again or counter.reads(), name


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_name_in_a_refused_reuse(counter: Counter, dialect: str) -> None:
    for name, expected in NAMES.items():
        # The name decides, not the status.
        check(counter, name, expected, Refuses(exception=name, status=200 if len(name) % 2 else 400, path_contains="reuse"))


@pytest.mark.parametrize("dialect", ["live"])
def test_a_name_in_a_refused_import(counter: Counter, dialect: str) -> None:
    for name, expected in NAMES.items():
        check(counter, name, expected, Refuses(exception=name, path_contains="default-import"))


@pytest.mark.parametrize("dialect", ["live"])
def test_a_name_in_a_command_that_failed(counter: Counter, dialect: str) -> None:
    for name, expected in NAMES.items():
        check(counter, name, expected, CommandFails(times=1, exception=name))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_command_that_failed_without_a_name_or_broke_off(counter: Counter, dialect: str) -> None:
    check(counter, "", FAILED, CommandFails(times=1))
    if dialect == "live":
        check(counter, "fatal", FAILED, CommandFails(times=1, fatal=True))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_key_that_is_not_known_names_its_setting(counter: Counter, dialect: str) -> None:
    report = counter.read(Refuses(exception="", status=401))
    assert "Check the secret sources.kontomatik.api_key" in report.outcomes[0].reason
    assert (counter.vault.consent(counter.own).status, report.exit_status) == ("active", 1)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_too_many_commands_at_once_are_asked_for_again_a_few_times(counter: Counter, dialect: str) -> None:
    counter.bank.requests.clear()
    report = counter.read(Refuses(times=2, exception="JobsQuotaExceeded", status=429, path_contains="reuse"))
    assert (len(report.outcomes), counter.bank.count("POST", "reuse")) == (1, 3)
    # With the connection's two: an attempt is one, however often it was refused.
    assert counter.vault.quota.remaining(counter.own, 10, counter.now()).left == 8
