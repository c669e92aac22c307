"""`fleet run` with processes that are none: a given number at once, the most urgent first, and what its exit status says."""

import errno
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.consents.clients import vault_of
from pipelines.errors import WrongUsage
from pipelines.fleet.cells import cell_statuses, fleet_of, of_customer
from pipelines.fleet.leases import LEASE, Leases
from pipelines.fleet.workers import CellRun, FleetReport, Process, Workers
from pipelines.read.options import utc_now
from pipelines.settings import Settings
from tests.consents.customers import NOON
from tests.consents.postgres import away
from tests.fleet.scene import HOUR, consent_of, waits_end
from tests.patience import patient


class Pretended:
    """A process that ends when its function does."""

    def __init__(self, work: Callable[[], int], said: str = "") -> None:
        self._work, self._said = work, said
        self.returncode: int | None = None
        self.signals: list[int] = []

    def communicate(self) -> tuple[str, str]:
        """Does the work."""
        self.returncode = self._work()
        return "", self._said

    def send_signal(self, number: int, /) -> None:
        """Notes the signal."""
        self.signals.append(number)


@pytest.fixture(autouse=True)
def customers(settings: Settings) -> None:
    """A customer in each cell, read 6 to 9 hours ago: the last cell is the most urgent one."""
    for number in range(4):
        consent_of(settings, f"K-{number}", f"account-{number}", read_at=(6 + number) * HOUR)


class Started:
    """Starts pretended processes, and knows which cells they were for."""

    def __init__(self, statuses: Mapping[str, int] | None = None, work: Callable[[str], None] = lambda _: None) -> None:
        self.cells: list[str] = []
        self.variables: list[Mapping[str, str]] = []
        self.arguments: list[Sequence[str]] = []
        self.processes: list[Pretended] = []
        self._statuses, self._work = statuses or {}, work

    def __call__(self, arguments: Sequence[str], variables: Mapping[str, str]) -> Process:
        cell = Path(arguments[arguments.index("--data-dir") + 1]).name
        self.cells.append(cell)
        self.arguments.append(arguments)
        self.variables.append(variables)
        status = self._statuses.get(cell, 0)

        def work() -> int:
            self._work(cell)
            return status

        self.processes.append(Pretended(work, f"\nsomething happened in {cell}\n" if status else ""))
        return self.processes[-1]


def ran(settings: Settings, start: Started, at_most: int = 1, after: timedelta = 5 * HOUR) -> FleetReport:
    """Does `fleet run` at noon."""
    return Workers(settings, after, at_most, start).run(lambda: NOON)


def test_the_most_urgent_cell_is_run_first_by_todays_command_under_a_lease(settings: Settings) -> None:
    start = Started()
    report = ran(settings, start)

    assert start.cells == ["cell-0003", "cell-0002", "cell-0001", "cell-0000"]
    assert (report.due, report.exit_status) == (4, 0)
    folder = str(settings.fleet.folder / "cell-0003")
    assert start.arguments[0] == ("run", "--data-dir", folder, "--source", "kontomatik", "--due-hours", "5", "--quiet")
    assert len(start.variables[0][LEASE]) == 16
    assert int(start.variables[0]["PIPELINES__MEMORY_MB"]) >= 256
    with fleet_of(settings) as database:
        assert [(one.holder, one.status) for one in cell_statuses(database)] == [(None, 0)] * 4


def test_a_cell_whose_run_fails_stops_no_other_and_is_named(settings: Settings) -> None:
    report = ran(settings, Started({"cell-0002": 1, "cell-0001": -9}))

    assert report.runs == [
        CellRun("cell-0000", 0),
        CellRun("cell-0001", -9, "Its process was killed by signal 9."),
        CellRun("cell-0002", 1, "something happened in cell-0002"),
        CellRun("cell-0003", 0),
    ]
    assert report.exit_status == 1


def test_a_cell_that_fails_waits_twice_as_long_each_time_until_a_run_of_it_is_good(settings: Settings) -> None:
    broken = Started({"cell-0003": 4})
    waits: list[timedelta] = []
    with fleet_of(settings) as database:
        for _ in range(7):
            ran(settings, broken)
            failed = cell_statuses(database)[3]
            assert failed.retry_at and failed.ended_at
            waits.append(failed.retry_at - failed.ended_at)
            at_once = Started()
            assert (ran(settings, at_once).waiting, "cell-0003" in at_once.cells) == (1, False)
            waits_end(database)
        minutes = [round(wait / timedelta(minutes=1)) for wait in waits]
        assert (minutes, failed.failures) == ([5, 10, 20, 40, 80, 120, 120], 7)

        ran(settings, Started())
        assert [(one.failures, one.retry_at) for one in cell_statuses(database)] == [(0, None)] * 4


def test_a_cell_does_not_wait_with_an_erasure_that_was_asked_for_after_its_run_failed(settings: Settings) -> None:
    cell = of_customer(settings, "K-3")
    with vault_of(cell) as vault:
        (own,) = vault.consents()
    broken = Started({"cell-0003": 1})
    ran(settings, broken)
    with vault_of(cell) as vault:
        vault.ask_erasure(own.consent_id, utc_now())

    assert (ran(settings, broken).waiting, broken.cells.count("cell-0003")) == (0, 2)
    assert (ran(settings, broken).waiting, broken.cells.count("cell-0003")) == (1, 2)  # it has failed since


@pytest.mark.parametrize("status", [130, -9])
def test_a_run_that_was_interrupted_or_killed_is_not_waited_for(settings: Settings, status: int) -> None:
    ran(settings, Started({"cell-0003": 1, "cell-0002": status}))
    again = Started()
    assert (ran(settings, again).waiting, again.cells) == (1, ["cell-0002", "cell-0001", "cell-0000"])


def test_a_cell_that_is_named_runs_though_its_last_run_failed_and_no_other_does(settings: Settings) -> None:
    ran(settings, Started({"cell-0003": 1}))
    start = Started()
    Workers(settings, 5 * HOUR, 1, start, named=["cell-0003", "cell-0003"]).run(lambda: NOON)
    assert start.cells == ["cell-0003"]
    with pytest.raises(WrongUsage, match="no cell 'cell-9999'"):
        Workers(settings, 5 * HOUR, 1, start, named=["cell-9999"]).run(lambda: NOON)


@pytest.mark.parametrize(("statuses", "ends"), [({0: 4}, 4), ({0: 4, 1: 3}, 3), ({0: 3, 1: 2}, 1), ({}, 0)])
def test_the_exit_status_is_that_of_the_worst_cell(statuses: Mapping[int, int], ends: int) -> None:
    runs = [CellRun(f"cell-{number}", statuses.get(number, 0)) for number in range(3)]
    assert FleetReport(runs=runs).exit_status == ends


def test_no_more_run_at_once_than_asked_for(settings: Settings) -> None:
    guard, both, running, most = threading.Lock(), threading.Event(), 0, 0

    def work(_: str) -> None:
        nonlocal running, most
        with guard:
            running += 1
            most = max(most, running)
            if running == 2:
                both.set()
        both.wait(patient(30))
        with guard:
            running -= 1

    report = ran(settings, Started(work=work), at_most=2)
    assert (most, len(report.runs)) == (2, 4)


def test_two_machines_at_once_run_each_cell_once(settings: Settings) -> None:
    starts = [Started(), Started()]
    together = threading.Barrier(2, timeout=patient(30))
    first = threading.local()

    def work(_: str) -> None:
        if not getattr(first, "met", False):
            first.met = True
            together.wait()  # both are at work: neither can do all

    for start in starts:
        start._work = work
    threads = [threading.Thread(target=ran, args=(settings, start)) for start in starts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(starts[0].cells + starts[1].cells) == [f"cell-000{number}" for number in range(4)]
    assert all(start.cells for start in starts)


def test_a_cell_that_somebody_holds_is_left_to_them(settings: Settings) -> None:
    with fleet_of(settings) as database:
        assert Leases(database).claim("cell-0003") is not None
    start = Started()
    assert (ran(settings, start).exit_status, start.cells) == (0, ["cell-0002", "cell-0001", "cell-0000"])


def test_an_interrupt_ends_the_processes_and_begins_no_other(settings: Settings) -> None:
    at_work, ended = threading.Event(), threading.Event()

    def work(_: str) -> None:
        at_work.set()
        assert ended.wait(patient(30))

    start = Started(work=work)
    workers = Workers(settings, 5 * HOUR, 1, start)
    way = workers._stop

    def stop() -> None:
        way()
        ended.set()  # as the signal does it

    workers._stop = stop  # type: ignore[method-assign]

    with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patched:
        patched.setattr("pipelines.fleet.workers._ended", lambda _futures: (at_work.wait(patient(30)), _interrupt()))
        workers.run(lambda: NOON)

    assert start.cells == ["cell-0003"]
    assert start.processes[0].signals == [2]
    with fleet_of(settings) as database:
        assert [one.holder for one in cell_statuses(database)] == [None] * 4


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_a_database_that_goes_away_is_named_and_no_other_cell_is_begun(settings: Settings, postgresql: str) -> None:
    with fleet_of(settings) as database:
        stopped = away(database, postgresql)
        start = Started(work=lambda _: stopped.__enter__())
        report = ran(settings, start)
        stopped.__exit__()
    assert (report.exit_status, start.cells) == (1, ["cell-0003"])
    assert "The vault's database cannot be used" in str(report.trouble)


def test_a_process_that_the_system_does_not_start_is_named_and_its_cell_given_back(settings: Settings) -> None:
    def full(_arguments: Sequence[str], _variables: Mapping[str, str]) -> Process:
        raise BlockingIOError(errno.EAGAIN, "")

    report = Workers(settings, 5 * HOUR, 2, full).run(lambda: NOON)

    assert (report.exit_status, report.runs) == (1, [])
    assert "could not be started (Resource temporarily unavailable). Give this user more processes" in str(report.trouble)
    with fleet_of(settings) as database:
        assert [(one.holder, one.failures) for one in cell_statuses(database)] == [(None, 0)] * 4
