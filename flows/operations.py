"""Shows the state of the schedule at the server, and tidies it after a worker died or was away."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import DeploymentSort, FlowRunSort
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import get_current_settings
from prefect.states import Cancelled, Crashed

from flows.access import Access
from flows.concurrency import AT_ONCE, count_anew, taken
from flows.deployments import SCHEDULE, TAGS, Scheduled
from flows.run_lock import is_gone, sweep
from pipelines.errors import Busy, Failure
from pipelines.store.lock import held

if TYPE_CHECKING:
    from rich.console import Console

PAGE = 200
BEGINS_WITHIN = timedelta(minutes=10)
"""A run that was handed out begins in seconds; `serve` hands out no more than it has room for."""
UNDER_WAY = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]


class ServerAway(Failure):
    """Prefect's server cannot be reached."""


@dataclass(frozen=True)
class Standing:
    """One deployment as the server sees it."""

    name: str
    deployed: bool
    paused: bool = False
    outdated: bool = False
    """Whether an earlier version deployed it: its function may have moved since."""
    next_run: str | None = None
    last_run: str | None = None
    """Its name, state and end."""
    late: int = 0
    under_way: int = 0


@contextmanager
def server() -> Iterator[SyncPrefectClient]:
    """Opens a client of the server that PREFECT_API_URL names. Raises `ServerAway` when nothing answers there."""
    url = get_current_settings().api.url
    if not url:
        raise ServerAway(
            "PREFECT_API_URL is not set", "Start a server (docs/scheduling.md) and set it, e.g. http://127.0.0.1:4200/api"
        )
    with get_client(sync_client=True) as client:
        if client.api_healthcheck() is not None:
            raise ServerAway(f"No Prefect server answers at {url}", "Start it, or correct PREFECT_API_URL")
        try:
            client.api_version()
        except PrefectHTTPStatusError as error:
            if error.response.status_code not in (401, 403):
                raise
            raise ServerAway(
                f"Prefect's server at {url} refuses this login", "Set PREFECT_API_AUTH_STRING as `deploy/login` wrote it"
            ) from None
        yield client


def standings(client: SyncPrefectClient) -> list[Standing]:
    """Returns the state of each of our deployments, whether it is deployed or not."""
    found = _deployments(client)
    return [_standing(client, one, found.get(one.full_name)) for one in SCHEDULE]


def troubles(listed: Sequence[Standing], reached: Access | None = None) -> list[str]:
    """Returns one sentence for each problem that somebody has to resolve."""
    sentences = reached.troubles() if reached else []
    for one in listed:
        if not one.deployed:
            sentences.append(f"{one.name} is not deployed: `python -m flows serve`, or `prefect deploy --all`")
        elif one.paused:
            sentences.append(f"{one.name} is paused: nothing serves it, or somebody has paused it")
        if one.outdated:
            sentences.append(
                f"{one.name} is deployed as an earlier version was, and its runs may crash: "
                "start `python -m flows serve` again, or `prefect deploy --all`"
            )
        if one.late:
            late = _count(one.late, "late run")
            sentences.append(f"{one.name} has {late}: is a worker there? `python -m flows tidy` leaves the newest scheduled one")
    return sentences


def tidy(client: SyncPrefectClient, data_dir: Path) -> list[str]:
    """Drops scheduled runs that a later one repeats, marks runs without a process as crashed, and returns sentences.

    A scheduled run does all the work of an earlier one with the same parameters. A run that a person requested is never dropped,
    because nothing requests it again. A run is dead when the kernel has released its lock in a data directory of this machine, or
    when it was handed out and never began. Any other run is left alone.
    """
    sentences = []
    begun = 0
    for name, deployment in _deployments(client).items():
        late = repeated(_runs(client, deployment, names=["Late"]))
        for run in late:
            client.set_flow_run_state(run.id, Cancelled(message="a later run does the same"), force=True)
        if late:
            sentences.append(f"{name}: {_count(len(late), 'late run')} dropped, the newest stays")
        for run in _runs(client, deployment, types=UNDER_WAY):
            if _is_gone(run, data_dir):
                client.set_flow_run_state(run.id, Crashed(message=_what_now(run)), force=True)
                asked = "" if run.auto_scheduled else ". A person requested it: start it again"
                sentences.append(f"{name}: run {run.name} is marked as crashed, its process is gone{asked}")
            else:
                begun += 1
    if swept := sweep(data_dir):
        sentences.append(f"{_count(swept, 'mark')} of killed runs removed")
    if data_dir.is_dir():
        with suppress(Busy), held(data_dir, "flows tidy"):  # which removes what they had read
            pass
    if not begun and taken(client):  # leaked by killed runs
        count_anew(client)
        sentences.append("The places for Kontomatik's commands are counted anew: none is taken")
    return sentences


def repeated(late: Sequence[FlowRun]) -> list[FlowRun]:
    """Returns the scheduled runs that a later scheduled one with the same parameters repeats. `late` has the newest first."""
    newest: set[str] = set()
    found = []
    for run in late:
        if not run.auto_scheduled:
            continue
        asked = json.dumps(run.parameters, sort_keys=True, default=str)
        if asked in newest:
            found.append(run)
        newest.add(asked)
    return found


def _what_now(run: FlowRun) -> str:
    return "its process is gone; " + ("the next run goes on" if run.auto_scheduled else "start it again: a person requested it")


def _is_gone(run: FlowRun, data_dir: Path) -> bool:
    if run.state is not None and run.state.is_pending():
        return run.state.timestamp < datetime.now(UTC) - BEGINS_WITHIN
    own = run.parameters.get("data_dir")
    return is_gone(Path(own) if own else data_dir, str(run.id))


def show(listed: Sequence[Standing], places: int, about: str, reached: Access, console: "Console") -> None:
    """Prints the state of the schedule for people."""
    from pipelines.text import tables

    headings = ("deployment", "next run", "last run", "late", "under way")
    rows = [(one.name, one.next_run or ("paused" if one.paused else "–"), one.last_run or "–", *_counts(one)) for one in listed]
    tables.show(console, about, headings, rows)
    tables.say(console, f"{places} of {AT_ONCE} places for Kontomatik's commands are taken")
    if reached.blocks:
        tables.say(console, f"Secret blocks on the server: {', '.join(reached.blocks)}")
    for sentence in troubles(listed, reached):
        tables.say(console, f"! {sentence}")


def _counts(one: Standing) -> tuple[str, str]:
    return str(one.late or "–"), str(one.under_way or "–")


def as_json(listed: Sequence[Standing], places: int, about: str, reached: Access) -> dict[str, Any]:
    """Returns the object of `status --json`."""
    commands = {"taken": places, "of": AT_ONCE}
    return {
        "server": about,
        "access": asdict(reached),
        "deployments": [asdict(one) for one in listed],
        "commands": commands,
        "troubles": troubles(listed, reached),
    }


def _deployments(client: SyncPrefectClient) -> dict[str, DeploymentResponse]:
    """Returns our deployments that the server knows, by full name."""
    chosen = DeploymentFilter(tags=DeploymentFilterTags(all_=TAGS))
    found = client.read_deployments(deployment_filter=chosen, limit=100, sort=DeploymentSort.NAME_ASC)
    ours = {one.name: one.full_name for one in SCHEDULE}
    return {ours[one.name]: one for one in found if one.name in ours}


def _standing(client: SyncPrefectClient, one: Scheduled, deployment: DeploymentResponse | None) -> Standing:
    if deployment is None:
        return Standing(one.name, deployed=False)
    planned = _runs(client, deployment, names=["Scheduled"], sort=FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC, limit=1)
    ended = [StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED]
    last = _runs(client, deployment, types=ended, sort=FlowRunSort.END_TIME_DESC, limit=1)
    return Standing(
        one.name,
        deployed=True,
        paused=deployment.paused,
        outdated=deployment.entrypoint != one.entrypoint,
        next_run=_minute(planned[0].next_scheduled_start_time) if planned else None,
        last_run=f"{last[0].name}: {last[0].state_name}, {_minute(last[0].end_time)}" if last else None,
        late=client.count_flow_runs(flow_run_filter=_chosen(deployment, names=["Late"])),
        under_way=client.count_flow_runs(flow_run_filter=_chosen(deployment, types=UNDER_WAY)),
    )


def _chosen(
    deployment: DeploymentResponse, *, names: list[str] | None = None, types: list[StateType] | None = None
) -> FlowRunFilter:
    state = FlowRunFilterState(
        name=FlowRunFilterStateName(any_=names) if names else None, type=FlowRunFilterStateType(any_=types) if types else None
    )
    return FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]), state=state)


def _runs(
    client: SyncPrefectClient,
    deployment: DeploymentResponse,
    *,
    names: list[str] | None = None,
    types: list[StateType] | None = None,
    sort: FlowRunSort = FlowRunSort.EXPECTED_START_TIME_DESC,
    limit: int | None = None,
) -> list[FlowRun]:
    """Returns all runs, or the first `limit`. The server returns two hundred at a time."""
    chosen = _chosen(deployment, names=names, types=types)
    found: list[FlowRun] = []
    while limit is None or len(found) < limit:
        page = client.read_flow_runs(flow_run_filter=chosen, sort=sort, limit=limit or PAGE, offset=len(found))
        found += page
        if len(page) < PAGE:
            break
    return found


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def _minute(moment: datetime | None) -> str:
    return moment.astimezone().isoformat(timespec="minutes") if moment else "?"
