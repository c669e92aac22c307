"""The deployments: which flow runs when. `prefect.yaml` says the same for work pools; a test compares them."""

from dataclasses import dataclass, field
from typing import Any

from prefect import Flow
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType

from flows.consents import catalog, consent_renewals, consent_revocation
from flows.ingest import ingest, kontist_full_read, reuse_multiple_access

TIMEZONE = "Europe/Berlin"
TAGS = ["kontoledger"]


@dataclass(frozen=True)
class Scheduled:
    """One deployment. `command` is what does the same under plain cron."""

    flow: Flow[..., Any]
    cron: str
    command: str
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Returns the name of flow and deployment alike."""
        return self.flow.name

    @property
    def full_name(self) -> str:
        """Returns the name that Prefect's commands take."""
        return f"{self.name}/{self.name}"

    @property
    def entrypoint(self) -> str:
        """Returns the path that the server keeps and a run is started by."""
        return f"{self.flow.fn.__module__}.{self.flow.fn.__name__}"

    @property
    def about(self) -> str:
        """Returns what it does, without its parameters."""
        return (self.flow.description or "").partition("Args:")[0].strip()

    def deployment(self) -> RunnerDeployment:
        """Returns the deployment for `prefect.serve`. Its entry point is a module: no source file has to be there."""
        return self.flow.to_deployment(  # type: ignore[return-value]  # an awaitable only where a loop runs
            self.name,
            schedule=Cron(self.cron, timezone=TIMEZONE),
            parameters=self.parameters,
            tags=TAGS,
            description=self.about,
            entrypoint_type=EntrypointType.MODULE_PATH,
        )


SCHEDULE = (
    Scheduled(ingest, "5 0,6,12,18 * * *", "run --due-hours 5"),
    Scheduled(reuse_multiple_access, "5 3,9,15,21 * * *", "run --source kontomatik --due-hours 5"),
    Scheduled(consent_renewals, "30 7 * * *", "consents tend"),
    Scheduled(consent_revocation, "45 * * * *", "consents tend"),
    Scheduled(kontist_full_read, "20 4 * * 0", "run --source kontist --full-refresh"),
    Scheduled(catalog, "20 5 * * 0", "catalog"),
)
