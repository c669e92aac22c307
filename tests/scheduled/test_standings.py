"""What `flows status` says of each deployment."""

from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    temporary_settings,
)

from flows import access, operations
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


def test_status_names_a_server_that_answers_anybody_and_what_lies_there() -> None:
    well = access.Access(login=True, any_page=False, blocks=("kontoledger-vault-key",))
    open_to_all = access.Access(login=False, any_page=True, blocks=("kontoledger-vault-key",))

    assert operations.troubles([], well) == []
    no_login, any_page = operations.troubles([], open_to_all)
    assert "no login" in no_login
    assert "kontoledger-vault-key" in no_login
    assert "PREFECT_SERVER_CORS_ALLOWED_ORIGINS" in any_page


@pytest.mark.parametrize(("login", "any_page"), [(True, False), (False, True), (False, False)])
def test_status_asks_as_a_page_of_another_site_would(login: bool, any_page: bool) -> None:
    """A server in memory, behind Prefect's own client."""

    def answer(request: httpx.Request) -> httpx.Response:
        if login and "authorization" not in request.headers:
            return httpx.Response(401, request=request)
        if request.url.path.endswith("/filter"):
            return httpx.Response(200, json=[], request=request)
        shown = {"access-control-allow-origin": "*"} if any_page and "origin" in request.headers else {}
        return httpx.Response(200, json="0.8.4", headers=shown, request=request)

    documents = SimpleNamespace(read_block_documents_by_type=lambda *_, **__: [SimpleNamespace(name="of somebody else")])
    mounted = temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api", PREFECT_API_AUTH_STRING: "kontoledger:right"})
    with mounted, pytest.MonkeyPatch.context() as patched:
        patched.setattr(httpx.HTTPTransport, "handle_request", lambda _, request: answer(request))
        found = access.access(cast(Any, documents))

    assert found == access.Access(login, any_page, ())
