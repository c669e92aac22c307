"""`backfill` reads every account back to a day, and says which account its bank does not show so far."""

from datetime import timedelta
from pathlib import Path

from pipelines.consents.sign_in import mock_opening
from pipelines.read.options import Options
from pipelines.run.steps import Run
from pipelines.store.lock import held
from sources.sandbox import World
from tests.support import a_bank, rows, settings_for


def test_a_backfill_reads_what_the_banks_show_and_names_what_only_a_new_sign_in_does(tmp_path: Path) -> None:
    world = World()
    begun, deep, shown = (world.today - timedelta(days=days) for days in (10, 60, 400))
    oldest = "select min(window_on) from kontomatik.transactions where amount <> 0"
    with a_bank(world, dialect="live") as bank:
        settings = settings_for(bank, tmp_path)

        def run(options: Options, **more: object) -> list[tuple[str, str, str]]:
            with held(tmp_path, "test"), Run(settings, options, now=world.clock.now, **more) as steps:  # type: ignore[arg-type]
                steps.read_all()
                steps.load()
                steps.publish()
            return [(one.source, one.status, one.reason or "") for one in steps.report.outcomes]

        run(Options(), openings=mock_opening(world.clock.now, begun))
        assert rows(tmp_path, oldest, of="raw")[0][0] > deep

        assert {reason for _, _, reason in run(Options(since=deep, backfill=True))} == {""}
        first = rows(tmp_path, oldest, of="raw")[0][0]
        assert first < begun - timedelta(days=14)

        for source, status, reason in run(Options(since=shown, backfill=True)):
            assert status == "complete"
            assert (f"so {shown} is not reached" in reason) == (source == "kontomatik")
            assert ("consents renew c-" in reason) == (source == "kontomatik")
        assert rows(tmp_path, oldest, of="raw")[0][0] < first  # what a reused consent shows was read all the same
