"""One Prefect server for all tests: it takes eight seconds to start."""

from collections.abc import Iterator

import pytest

from tests.scheduled.serving import Server, a_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real one, on loopback, with a database of its own."""
    with a_server(tmp_path_factory.mktemp("prefect")) as running:
        yield running
