"""A run has a deadline: then no bank is asked anything new, what was read is published, and no import is spent for nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

import pipelines.read.kontomatik
import pipelines.run.steps
from pipelines.read.command_slots import slot
from pipelines.read.deadline import Deadline
from pipelines.read.options import Options
from pipelines.read.shared_slots import SharedSlots
from pipelines.settings import KontistSettings
from sources.sandbox import CommandNeverEnds, Fault, SandboxBank
from sources.sandbox.banks.wire import Answer, Call
from tests.consents.customers import a_bank, connected, only_ben, outcome_of, read, settings_for, the_vault
from tests.consents.postgres import empty_database

pytestmark = pytest.mark.usefixtures("quick")


@dataclass(eq=False)
class TimePasses(Fault):
    """A day goes by at the first request that is met."""

    method: str = "GET"
    part: str = ""
    clock: list[float] = field(default_factory=lambda: [0.0])

    def after(self, call: Call, answer: Answer, bank: SandboxBank, /) -> None:
        if call.method == self.method and self.part in call.path and self.take():
            self.clock[0] += 86_400


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """What the deadlines of runs go by, in seconds."""
    moment = [0.0]
    monkeypatch.setattr(pipelines.run.steps, "Deadline", lambda seconds: Deadline(seconds, lambda: moment[0]))
    yield moment


def test_a_run_whose_time_is_over_publishes_what_it_read_and_spends_nothing_more(new_folder: Any, clock: list[float]) -> None:
    with a_bank() as (bank, _):
        only_ben(bank)
        settings = settings_for(bank, new_folder(), kontomatik={"max_parallel_commands": 1})
        ours = {connected(bank, settings).consent_id, connected(bank, settings).consent_id}
        bank.faults.append(TimePasses(part="/command/", times=1, clock=clock))

        report = read(bank, settings)

        (unread,) = [one for one in report.outcomes if one.status == "failed"]
        assert unread.reason == "kontomatik: the run's time is over, so the bank was not asked. The next run goes on."
        assert (report.status, report.exit_status, report.banks[0].imports) == ("partial", 4, 1)
        assert {one.consent_id for one in report.outcomes if one.status == "complete"} == ours - {unread.consent_id}
        with the_vault(settings) as vault:  # consents of the same accounts share their quota
            assert (
                vault.quota.remaining(str(unread.consent_id), 4, bank.world.clock.now()).left == 1
            )  # both first ones and that read


def test_an_import_under_way_when_the_time_is_over_is_resumed_by_the_next_run(new_folder: Any, clock: list[float]) -> None:
    with a_bank() as (bank, _):
        only_ben(bank)
        settings = settings_for(bank, new_folder())
        own = connected(bank, settings)
        bank.faults += [CommandNeverEnds(times=1), TimePasses(part="/command/", times=1, clock=clock)]

        late = read(bank, settings)

        assert "the next run asks for this command again" in str(outcome_of(late, own.consent_id).reason).lower()
        for command in bank.kontomatik.commands.values():
            command.never_ends = False
        resumed = read(bank, settings)
        assert (resumed.status, resumed.banks[0].imports) == ("ok", 0)


def test_an_import_that_was_begun_in_time_is_not_given_up_between_its_two_requests(new_folder: Any, clock: list[float]) -> None:
    """The live service gives a session first: one that nobody imports with would have cost an import."""
    with a_bank(dialect="live") as (bank, _):
        only_ben(bank)
        settings = settings_for(bank, new_folder())
        connected(bank, settings)
        bank.faults.append(TimePasses(method="POST", part="reuse-multiple-access", times=1, clock=clock))

        report = read(bank, settings)

        assert clock[0] > settings.run_deadline
        assert (report.status, report.banks[0].imports) == ("ok", 1)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_run_that_waits_for_other_processes_commands_ends_at_its_deadline(
    request: pytest.FixtureRequest, new_folder: Any, clock: list[float], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Hosts that share a vault share the eight commands: a run must not wait for the others for ever."""
    url = empty_database(request.getfixturevalue("postgresql")) if kind == "postgresql" else None
    with a_bank() as (bank, _):
        only_ben(bank)
        settings = settings_for(bank, new_folder(), kontomatik={"max_parallel_commands": 1}, vault_url=url)
        own = connected(bank, settings)
        asked = len(bank.requests)

        def passes(_: float) -> None:
            assert not clock[0], "the time is over, and the run goes on waiting"
            clock[0] = 86_400.0

        monkeypatch.setattr(pipelines.read.kontomatik, "time", SimpleNamespace(sleep=passes))
        with the_vault(settings) as vault, another_commands_slot(settings, vault):
            report = read(bank, settings)

        assert outcome_of(report, own.consent_id).reason.startswith("kontomatik: the run's time is over")
        assert [call for call in bank.requests[asked:] if "/command/" in call[1]] == []


def another_commands_slot(settings: Any, vault: Any) -> Any:
    """Holds the only slot."""
    if settings.vault_url:
        return SharedSlots(vault.database, settings.kontomatik.api_key, 1).slot()
    return slot(settings.data_dir, 1)


def test_accounts_of_kontist_that_were_read_in_time_are_published(new_folder: Any, clock: list[float]) -> None:
    with a_bank() as (bank, _):
        world, folder = bank.world, new_folder()
        login = KontistSettings(
            base_url=bank.url, email=world.kontist_email, password=world.kontist_password, requests_per_minute=0
        )
        settings = replace(settings_for(bank, folder), kontist=login)
        bank.faults.append(TimePasses(part="/timed-orders", times=1, clock=clock))
        only = Options(("kontist",))

        report = read(bank, settings, only)

        first, *others = report.outcomes
        assert (first.status, {one.status for one in others}) == ("complete", {"failed"})
        assert (report.status, report.exit_status, report.published is not None) == ("partial", 4, True)
        assert not any(one.retryable for one in others), "a scheduler that asked again would wait for nothing"
        clock[0] = 0.0
        assert read(bank, settings, only).status == "ok"
