"""What `flows status` says of each deployment."""

from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

from flows import operations
from flows.deployments import SCHEDULE


class Server:
    """A server to which everything was deployed, one deployment by an earlier version."""

    def __init__(self, **earlier: str) -> None:
        self.entrypoints = {one.name: one.deployment().entrypoint for one in SCHEDULE} | earlier

    def read_deployments(self, **_: Any) -> list[Any]:
        return [
            SimpleNamespace(name=name, id=uuid4(), paused=False, entrypoint=entrypoint)
            for name, entrypoint in self.entrypoints.items()
        ]

    def read_flow_runs(self, **_: Any) -> list[Any]:
        return []

    def count_flow_runs(self, **_: Any) -> int:
        return 0


def test_a_deployment_of_an_earlier_version_is_named_with_the_next_step() -> None:
    (sentence,) = operations.troubles(operations.standings(cast(Any, Server(ingest="flows.reading.ingest"))))

    assert sentence.startswith("ingest is deployed as an earlier version was")
    assert "flows serve" in sentence
    assert "prefect deploy --all" in sentence


def test_deployments_of_this_version_need_nothing() -> None:
    assert operations.troubles(operations.standings(cast(Any, Server()))) == []
