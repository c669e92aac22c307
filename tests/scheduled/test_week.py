"""A week of every schedule, in order and at its time by the sandbox's clock.

What runs, when and with which parameters is what `flows.deployments` says; each run is the flow's own function, called in this
process. 233 of them on a server would take a quarter of an hour; each deployment runs there in `test_served.py`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prefect.server.schemas.schedules import CronSchedule

from flows.deployments import SCHEDULE, TIMEZONE, Scheduled
from pipelines.consents.clients import vault_of
from pipelines.notify.dispatch import dispatch_notices
from pipelines.notify.notices import Notice
from pipelines.read.options import Options
from pipelines.run.report import Report
from pipelines.settings import Settings
from pipelines.store import ledger
from pipelines.store.ledger import Published
from sources.sandbox import Refuses, SandboxBank, World, running
from tests.scheduled.desk import consent, days_before_its_end, ending
from tests.scheduled.inline import in_process
from tests.support import assert_the_ledger_is_the_world, read, settings_for

FRIDAY = datetime(2026, 3, 27, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass
class Week:
    """What happened, and when."""

    bank: SandboxBank
    settings: Settings
    consents: dict[str, str]
    begun: datetime
    ends: list[tuple[str, str]] = field(default_factory=list)
    """Of each run: which deployment, and the state it ended in."""
    reports: list[Report] = field(default_factory=list)
    notices: list[tuple[datetime, Notice]] = field(default_factory=list)
    imports: dict[str, set[datetime]] = field(default_factory=dict)
    """By account, as the bank counted them; it forgets after a day."""

    def now(self) -> datetime:
        return self.bank.world.clock.now()

    def do(self, one: Scheduled) -> None:
        """A run of this deployment."""
        end = one.flow.fn(**one.parameters)
        self.ends.append((one.name, end.name))
        for account, times in self.bank.world.imports.items():
            self.imports.setdefault(account, set()).update(times)

    def receive(self, settings: Settings, *, report: Report | None = None) -> None:
        """What a run ends with."""
        if report is not None:
            self.reports.append(report)
        dispatch_notices(settings, self.now, report=report, also={"test": self._heard})

    def build_at_the_end(self, build: Callable[..., Published]) -> Callable[..., Published]:
        """In place of `build_and_publish`: at the end of the week is enough here, and building is most of a run's work."""

        def built(data_dir: Path, *more: Any, **options: Any) -> Published:
            if self.now() > self.begun + 7 * DAY - timedelta(hours=4):
                return build(data_dir, *more, **options)
            return Published(data_dir / "ledger.duckdb", {}, [], 0.0)

        return built

    def _heard(self, notice: Notice) -> bool:
        self.notices.append((self.now(), notice))
        return True


def fire_times(begin: datetime, end: datetime) -> list[tuple[datetime, Scheduled]]:
    """Every run of every schedule between the two, in order."""
    planned = []
    for one in SCHEDULE:
        dates = asyncio.run(CronSchedule(cron=one.cron, timezone=TIMEZONE).get_dates(500, start=begin, end=end))
        planned += [(datetime.fromtimestamp(moment.timestamp(), UTC), one) for moment in dates]
    return sorted(planned, key=lambda run: (run[0], run[1].name))


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Week]:
    """From a Friday's noon to the next one's, over the night that summer time begins; the bank refuses twice to end a consent."""
    data_dir = tmp_path_factory.mktemp("week") / "data"
    data_dir.mkdir()
    world = World(today=FRIDAY.date(), transactions=120)
    world.clock.advance(FRIDAY - world.clock.now())
    refuses = Refuses(times=2, path_contains="delete")
    with running(world, refuses) as bank:
        settings = settings_for(bank, data_dir, kontomatik={"imports_per_day": 4})
        begun = world.clock.now()
        read(bank, data_dir, Options(("kontomatik",)), settings=settings)
        consents = {f"{days} days left": consent(settings, days_before_its_end(begun, days)) for days in (33, 16, 9, 3)}
        with vault_of(settings) as vault:
            (first,) = (one.consent_id for one in vault.consents() if one.consent_id not in consents.values())
            token = vault.token(first)
        found = Week(bank, settings, consents | {"first": first, "unwanted": ending(settings, begun, begun)}, begun)
        with vault_of(settings) as vault:
            for name in consents.values():
                vault.keep_token(name, token, begun)
                vault.covers(name, vault.accounts_of(first))
                vault.imported(name, begun)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(ledger, "build_and_publish", found.build_at_the_end(ledger.build_and_publish))
            with in_process(settings, world.clock.now, found.receive):
                for moment, one in fire_times(begun, begun + 7 * DAY):
                    world.clock.advance(moment - world.clock.now())
                    found.do(one)
        yield found


def test_every_schedule_ran_as_often_as_it_should(week: Week) -> None:
    assert Counter(name for name, _ in week.ends) == {
        "ingest": 28,
        "reuse-multiple-access": 28,
        "consent-renewals": 7,
        "consent-revocation": 168,
        "kontist-full-read": 1,
        "catalog": 1,
    }
    assert [outcome.reason for report in week.reports for outcome in report.outcomes if outcome.troubled] == []
    assert {report.status for report in week.reports} == {"ok"}
    assert Counter(state for _, state in week.ends) == {"Completed": 231, "StillRevoking": 2}
    assert_the_ledger_is_the_world(week.settings.data_dir, week.bank)


def test_there_is_never_a_fifth_import_in_24_hours(week: Week) -> None:
    """By the bank's own books, for every account."""
    assert len(week.imports) == 6
    for times in week.imports.values():
        assert max(sum(last - DAY < one <= last for one in times) for last in times) == 4
        assert len(times) >= 7 * 24 / 27 * 4, "one of four comes three hours late, when the first of them is a day ago"


def test_no_account_is_left_unread_for_long(week: Week) -> None:
    for times in week.imports.values():
        moments = sorted(times)
        assert max(later - earlier for earlier, later in pairwise(moments)) <= timedelta(hours=10)


def test_warnings_come_on_the_right_days_and_once(week: Week) -> None:
    names = {consent_id: name for name, consent_id in week.consents.items()}
    result = [
        (
            names[str(notice.payload["consent_id"])],
            notice.payload["step"],
            notice.payload["days_left"],
            (moment - week.begun).days,
        )
        for moment, notice in week.notices
        if notice.kind == "consent.expiring"
    ]

    # consent, step, whole days left when it was notified, days into the week
    assert sorted(result) == [
        ("16 days left", 14, 14, 1),
        ("16 days left", 30, 16, 0),
        ("3 days left", 1, 1, 1),
        ("3 days left", 7, 3, 0),
        ("33 days left", 30, 30, 2),
        ("9 days left", 7, 7, 1),
        ("9 days left", 14, 9, 0),
    ]


def test_a_consent_expires_on_its_day_and_that_is_reported(week: Week) -> None:
    over = week.consents["3 days left"]

    with vault_of(week.settings) as vault:
        assert vault.consent(over).status == "expired"
        (entry,) = [one for one in vault.trail(over) if one.what.endswith("to expired")]
    assert timedelta(days=3) <= entry.at - week.begun <= timedelta(days=3, hours=7)


def test_a_revocation_that_the_bank_refuses_twice_is_finished_at_the_third_try(week: Week) -> None:
    with vault_of(week.settings) as vault:
        tries = [entry.what for entry in vault.trail(week.consents["unwanted"])][-3:]

    assert tries == ["revocation tried", "revocation tried", "revoking to revoked"]
    assert [notice.payload["consent_id"] for _, notice in week.notices if notice.kind == "consent.revoked"] == [
        week.consents["unwanted"]
    ]
