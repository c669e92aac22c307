"""How much memory DuckDB gets."""

from pathlib import Path

import duckdb
import pytest

from pipelines.errors import unexpected
from pipelines.settings import Settings
from pipelines.settings.memory import free_bytes, share_of

GIBI = 2**30


@pytest.mark.parametrize(
    ("free", "mebibytes"),
    [
        ([], 256),
        ([0], 256),
        ([GIBI - 1], 256),
        ([2 * GIBI], 512),
        ([8 * GIBI], 2048),
        ([64 * GIBI], 2048),
        ([64 * GIBI, 2 * GIBI], 512),
    ],
)
def test_a_quarter_of_what_is_free_is_used_within_bounds(free: list[int], mebibytes: int) -> None:
    assert share_of(free) == mebibytes


def test_a_limit_of_any_group_that_the_process_is_in_counts(tmp_path: Path) -> None:
    files = {
        "proc/meminfo": "MemTotal: 9000000 kB\nMemAvailable:    8000000 kB\n",
        "proc/self/cgroup": "0::/system.slice/run.service\n",
        "sys/fs/cgroup/system.slice/run.service/memory.max": "max\n",
        "sys/fs/cgroup/system.slice/memory.max": f"{2 * GIBI}\n",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)

    assert sorted(free_bytes(tmp_path)) == [2 * GIBI, 8_000_000 * 1024]


def test_a_machine_that_says_nothing_gets_the_smallest_and_a_setting_is_taken_as_it_is(tmp_path: Path) -> None:
    assert list(free_bytes(tmp_path)) == []
    assert Settings(memory_mb=100).memory_limit == "100MiB"


def test_an_error_for_want_of_memory_names_the_setting() -> None:
    with duckdb.connect(config={"memory_limit": "1MiB"}) as connection, pytest.raises(duckdb.Error) as caught:
        connection.execute("create table numbers as from range(10000000)")

    assert "pipelines.memory_mb" in unexpected(caught.value)
