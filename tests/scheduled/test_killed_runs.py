"""What a start of `serve` does about runs that were killed."""

from pathlib import Path
from typing import Any, cast

from flows import operations
from pipelines.store.leftovers import fresh_work
from pipelines.store.lock import held


class _WithoutDeployments:
    """A server of Prefect's that knows of nothing."""

    def read_deployments(self, **_: Any) -> list[Any]:
        return []

    def read_global_concurrency_limit_by_name(self, _: str) -> Any:
        return type("Limit", (), {"active_slots": 0})()


def test_what_a_killed_run_had_read_goes_at_the_start_of_serve_unless_a_run_is_at_work(tmp_path: Path) -> None:
    server = cast(Any, _WithoutDeployments())
    with held(tmp_path, "run"):
        (work := fresh_work(tmp_path)).joinpath("kontist-2.parquet").touch()
        operations.tidy(server, tmp_path)
        assert [path.name for path in work.iterdir()] == ["kontist-2.parquet"]
    operations.tidy(server, tmp_path)
    assert not work.exists()
    operations.tidy(server, tmp_path / "not there")
    assert not (tmp_path / "not there").exists()
