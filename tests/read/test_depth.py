"""How far back the next read reaches: what is due, what a known difference asks for, and what a person asked for."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.commands.cli import parser
from pipelines.errors import WrongUsage
from pipelines.read.options import Options
from pipelines.read.windows import KontistPlan, KontomatikPlan, known_differences
from pipelines.run.steps import Run
from pipelines.settings import KontistSettings, KontomatikSettings, Settings
from sources.sandbox import World
from tests.support import a_bank, opened, read

TODAY = date(2026, 3, 20)
USUAL = TODAY - timedelta(days=1 + 14)
DEEPEST = TODAY - timedelta(days=88)


def days_ago(days: int) -> str:
    return str(TODAY - timedelta(days=days))


def kontomatik(*, differs: date | None = None, held: Any = None, **more: Any) -> KontomatikPlan:
    """Two accounts, read yesterday, of which `a` has the cursor that `more` says."""
    asked = {name: more.pop(name) for name in ("since", "full", "backfill") if name in more}
    cursors = {
        "a": {"through": days_ago(1), "full_on": days_ago(3)} | more,
        "b": {"through": days_ago(1), "full_on": days_ago(3)},
    }
    differences = {"a": differs} if differs else {}
    return KontomatikPlan(cursors=cursors, held=held or {}, today=TODAY, lookback_days=14, differences=differences, **asked)


def kontist(*, differs: bool = False, **cursor: str) -> KontistPlan:
    cursors = {"a": {"through": days_ago(0), "deep_on": days_ago(0), "full_on": days_ago(1)} | cursor}
    return KontistPlan(cursors=cursors, held={}, today=TODAY, lookback_days=45, differences={"a": TODAY} if differs else {})


@pytest.mark.parametrize(
    ("windows", "claimed"),
    [
        (kontomatik(), USUAL),
        (kontomatik(full_on=days_ago(6)), USUAL),
        (kontomatik(full_on=days_ago(7)), DEEPEST),
        (kontomatik(full_on=days_ago(70), far_on=days_ago(6)), USUAL),
        (kontomatik(full_on=days_ago(70), far_on=days_ago(7)), DEEPEST),
    ],
)
def test_once_a_week_all_that_a_reused_consent_shows_is_asked_for(windows: KontomatikPlan, claimed: date) -> None:
    assert windows.claim(["a", "b"]) == claimed


@pytest.mark.parametrize(
    ("windows", "first", "missed"),
    [
        (kontomatik(since=date(2025, 1, 1), backfill=True), DEEPEST, False),  # its first import brought everything
        (kontomatik(since=date(2025, 1, 1), backfill=True, full_on=None), None, False),
        (kontomatik(since=date(2025, 1, 1), backfill=True, full_on=None), DEEPEST, True),
        (kontomatik(since=DEEPEST, backfill=True, full_on=None), DEEPEST, False),
        (kontomatik(since=date(2025, 1, 1), backfill=True, full_on=None, not_before="2025-01-01"), DEEPEST, False),
        (kontomatik(since=date(2024, 12, 31), backfill=True, full_on=None, not_before="2025-01-01"), DEEPEST, True),
        (kontomatik(since=date(2025, 1, 1), full_on=None), DEEPEST, False),  # `run --since` reads what there is
    ],
)
def test_a_backfill_misses_days_that_neither_this_nor_an_earlier_answer_reaches(
    windows: KontomatikPlan, first: date | None, missed: bool
) -> None:
    assert windows.out_of_reach("a", first) == missed


def test_a_known_difference_asks_for_everything_at_the_next_run_and_then_daily_while_it_persists() -> None:
    assert kontomatik(differs=TODAY).claim(["a", "b"]) == DEEPEST
    assert kontomatik(differs=TODAY, far_on=days_ago(0)).claim(["a", "b"]) == DEEPEST  # read before it was known
    assert kontomatik(differs=TODAY, difference_on=days_ago(1)).claim(["a", "b"]) == DEEPEST
    assert kontomatik(differs=TODAY, difference_on=days_ago(0)).claim(["a", "b"]) == USUAL
    assert kontomatik(differs=TODAY).claim(["b"]) == USUAL

    assert kontist().window("a") == ("shallow", None)
    assert kontist(differs=True).window("a") == ("full", None)
    assert kontist(differs=True, difference_on=days_ago(1)).window("a") == ("full", None)
    assert kontist(differs=True, difference_on=days_ago(0)).window("a") == ("shallow", None)


def test_a_difference_behind_the_days_that_can_be_shown_asks_for_nothing() -> None:
    assert kontomatik(differs=DEEPEST).claim(["a"]) == DEEPEST
    assert kontomatik(differs=DEEPEST - timedelta(days=1)).claim(["a"]) == USUAL


def test_a_read_is_remembered_for_what_it_was() -> None:
    known, unknown = kontomatik(differs=TODAY), kontomatik()
    assert known.marks("a", DEEPEST, TODAY) == {"far_on": str(TODAY), "difference_on": str(TODAY)}
    assert known.marks("a", None, TODAY) == {"far_on": str(TODAY), "difference_on": str(TODAY)}
    assert unknown.marks("a", DEEPEST, TODAY) == {"far_on": str(TODAY)}
    assert known.marks("a", DEEPEST + timedelta(days=1), TODAY) == {}
    assert kontist(differs=True).marks("a", "full") == {"difference_on": str(TODAY)}
    assert kontist(differs=True).marks("a", "deep") == kontist().marks("a", "full") == {}


def test_after_a_deeper_read_that_failed_what_is_due_comes_first() -> None:
    assert kontomatik(differs=TODAY, full_on=days_ago(30)).claim(["a", "b"], may_deepen=False) == USUAL


def test_who_asked_for_less_is_not_read_deeper_by_itself() -> None:
    """`connect --since` may mean that somebody must not see more."""
    begun = TODAY - timedelta(days=20)
    assert kontomatik(differs=TODAY, full_on=days_ago(30), not_before=str(begun)).claim(["a"]) == begun
    assert kontomatik(not_before=days_ago(3)).claim(["a"]) == TODAY - timedelta(days=3)
    assert kontomatik(not_before=str(begun), full_on=days_ago(30)).marks("a", begun, TODAY) == {"far_on": str(TODAY)}
    assert kontomatik(not_before=str(begun), full=True).claim(["a"]) == DEEPEST
    assert kontomatik(not_before=str(begun), since=date(2026, 2, 1)).claim(["a"]) == date(2026, 2, 1)


def test_the_published_ledger_knows_of_differences_and_one_that_cannot_say_asks_for_nothing(tmp_path: Path) -> None:
    assert known_differences(tmp_path) == {}
    with duckdb.connect(tmp_path / "ledger.duckdb") as ledger:
        ledger.execute(
            "create table coverage as select * from (values ('a', date '2026-03-01', 1.00), ('a', date '2026-03-05', -2.00),"
            " ('b', date '2026-03-09', null)) as differences (account_id, day, difference_amount)"
        )
    assert known_differences(tmp_path) == {"a": date(2026, 3, 5)}
    with duckdb.connect(tmp_path / "ledger.duckdb") as ledger:
        ledger.execute("alter table coverage drop column difference_amount")
    assert known_differences(tmp_path) == {}
    (tmp_path / "ledger.duckdb").write_bytes(b"x" * 3000)
    assert known_differences(tmp_path) == {}


def test_a_row_that_the_usual_window_passes_over_is_found_by_the_run_after(tmp_path: Path) -> None:
    """And the run after that asks for the usual days again: what differed is explained."""
    world = World(today=date(2024, 12, 31))
    with a_bank(world, dialect="live") as bank:
        only = Options(("kontomatik",))
        read(bank, tmp_path, only, ledger=False)
        world.live(days=1)
        world.append("Konto Start", amount="-77.77", day=world.today - timedelta(days=20))

        starts = []
        for _ in range(3):
            report = read(bank, tmp_path, only)
            starts.append({outcome.window_start for outcome in report.outcomes})
            noticed = any("moved more or less than the ledger holds" in note for note in report.notes)
            assert noticed == (len(starts) == 1)

        today = report.outcomes[0].window_end
        assert today is not None
        assert starts[1] == {today - timedelta(days=88)}
        assert (starts[0], starts[2]) == ({today - timedelta(days=15)}, {today - timedelta(days=14)})
        with opened(tmp_path) as ledger:
            (found,) = ledger.execute("select count(*) from transactions where amount = -77.77").fetchall()
            assert found == (1,)


NOW = datetime(2026, 3, 20, 22, 30, tzinfo=UTC)  # in Berlin half an hour before midnight


def test_a_run_from_a_day_to_come_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    banks = {"kontist": KontistSettings(email="a@b.test", password="x"), "kontomatik": KontomatikSettings(api_key="key")}
    options = Options(since=date(2026, 3, 21))
    with (
        pytest.raises(WrongUsage, match="--since 2026-03-21 lies in the future: today is 2026-03-20") as refused,
        Run(Settings(tmp_path, **banks), options, now=lambda: NOW),  # type: ignore[arg-type]
    ):
        raise AssertionError("it began")
    assert (refused.value.exit_status, list(tmp_path.iterdir())) == (2, [])


@pytest.mark.parametrize(
    "command",
    [
        "connect kontomatik --mock --since 2999-01-01",
        "connect kontomatik --target KontoBank --since 2999-01-01",
        "consents add kontomatik --institution KontoBank --signed-in 2999-01-01",
        "prove a --from 2999-01-01 --to 2999-01-02",
    ],
)
def test_every_command_refuses_a_day_to_come_where_it_makes_no_sense(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__KONTOMATIK__API_KEY", "key")
    monkeypatch.chdir(tmp_path)
    options = parser().parse_args([*command.split(), "--data-dir", str(tmp_path)])
    with pytest.raises(WrongUsage, match="2999-01-01 lies in the future") as refused:
        options.command(options)
    assert (refused.value.exit_status, list(tmp_path.iterdir())) == (2, [])


def test_a_login_that_imports_nothing_takes_no_first_day(tmp_path: Path) -> None:
    options = parser().parse_args(["connect", "kontist", "--since", "2026-01-01", "--data-dir", str(tmp_path)])
    with pytest.raises(WrongUsage, match="imports nothing"):
        options.command(options)
