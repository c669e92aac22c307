"""What holds for every test: it cannot leave the machine, and finds nobody's settings."""

import gc
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

if TYPE_CHECKING:
    from tests.histories import Raw
    from tests.support import FirstRuns, Shared

LOOPBACK = ("127.0.0.1", "::1", "localhost", "")

hypothesis.settings.register_profile("house", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis.settings.load_profile("house")


FIRST = ("scheduled", "end_to_end", "consents", "run", "changes", "read")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The folders whose files take longest go first, so that no worker is left alone with one of them at the end."""
    items.sort(key=lambda item: FIRST.index(item.path.parent.name) if item.path.parent.name in FIRST else len(FIRST))


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches out fails and says where to. It does not even ask for an address."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def refuse_foreign(host: Any, opened: socket.socket | None = None) -> None:
        if (host.decode() if isinstance(host, bytes) else host or "") not in LOOPBACK:
            if opened is not None:
                opened.close()
            pytest.fail(f"a test tried to reach {host}")

    def guarded(way: Any) -> Any:
        def connecting(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6):
                refuse_foreign(address[0], self)
            return way(self, address)

        return connecting

    def looking_up(host: Any, *more: Any, **options: Any) -> Any:
        refuse_foreign(host)
        return getaddrinfo(host, *more, **options)

    monkeypatch.setattr(socket.socket, "connect", guarded(connect))
    monkeypatch.setattr(socket.socket, "connect_ex", guarded(connect_ex))
    monkeypatch.setattr(socket, "getaddrinfo", looking_up)


@pytest.fixture(autouse=True)
def nobodys_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of whoever runs the tests is seen by them."""
    for name in os.environ:
        if name.startswith(("SOURCES__", "PIPELINES__", "NOTIFICATIONS__", "FLEET__", "DESTINATION__")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> "Shared":
    """Folders that are made once for all the workers."""
    from tests.support import Shared

    return Shared(tmp_path_factory)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a PostgreSQL server, without the database's name; skipped where PostgreSQL is not installed."""
    from tests.consents.postgres import programs_or_skip, server

    with server(programs_or_skip()) as url:
        yield url


@pytest.fixture(scope="session")
def first_runs(shared: "Shared") -> "FirstRuns":
    """Copies of data directories as a first run leaves them."""
    from tests.support import FirstRuns

    return FirstRuns(shared)


@pytest.fixture(scope="session")
def empty_raw(shared: "Shared") -> Path:
    """A `raw.duckdb` with both banks' tables and nothing in them, made as a first run makes it."""

    def without_rows(folder: Path) -> None:
        from pipelines.store.load import Changeset, load
        from pipelines.store.raw_copy import opened
        from tests.plain_loads import by_dlt

        with by_dlt(), opened(folder) as (history, publish):
            for dataset in ("kontist", "kontomatik"):
                load(history, Changeset(dataset))
            publish()

    return shared.folder("empty-raw", without_rows) / "raw.duckdb"


@pytest.fixture(scope="session", autouse=True)
def plain_loads() -> Iterator[None]:
    """Raw history is loaded without dlt: few tests are about loading. Commands in processes of their own load by dlt."""
    from tests import plain_loads

    with pytest.MonkeyPatch.context() as monkeypatch:
        plain_loads.use(monkeypatch)
        yield


@pytest.fixture(scope="module")
def by_dlt(plain_loads: None) -> Iterator[None]:
    """Raw history is loaded by dlt in all of the file, as by every command."""
    from tests import plain_loads as loads

    with loads.by_dlt():
        yield


def pytest_unconfigure() -> None:
    """hypothesis's hook into garbage collection outlives the interpreter, and DuckDB then reports leaks that are none."""
    gc.callbacks.clear()


@pytest.fixture
def fresh(empty_raw: Path, tmp_path: Path) -> Path:
    """A data directory whose raw history has tables and no rows."""
    shutil.copy(empty_raw, tmp_path / "raw.duckdb")
    return tmp_path


@pytest.fixture
def ids(fresh: Path) -> "Iterator[Raw]":
    """A bank that gives every row an id."""
    from tests.histories import raw_history

    with raw_history(fresh, "kontist") as raw:
        yield raw
        assert raw.faults() == raw.days_that_differ() == []


@pytest.fixture
def no_ids(fresh: Path) -> "Iterator[Raw]":
    """A bank whose rows are known by day, amount and number alone."""
    from tests.histories import raw_history

    with raw_history(fresh, "kontomatik") as raw:
        yield raw
        assert raw.faults() == raw.days_that_differ() == []
