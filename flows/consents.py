"""Runs the flows that maintain consents without an import, and the one that keeps the list of banks."""

from collections.abc import Callable
from typing import Annotated, Any, ParamSpec, TypeVar

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed
from prefect.tasks import Task, exponential_backoff
from pydantic import Field

from flows import artifacts
from flows.guard import guarded, whole
from flows.ingest import WaitSeconds, threads
from flows.notices import send_notices
from flows.run_lock import skipped, under_way
from pipelines.consents import upkeep
from pipelines.errors import Busy, WrongUsage
from pipelines.read.options import utc_now
from pipelines.run import institutions
from pipelines.settings import Settings
from pipelines.store.lock import held
from pipelines.text.sinks import line, markdown

ConsentId = Annotated[str, Field(pattern="^c-[0-9a-f]+$")]
P = ParamSpec("P")
R = TypeVar("R")
Reason = Annotated[str, Field(min_length=1, max_length=200)]


def _not_ours(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Returns whether another try may help: not when a person has to change something, nor when the step has waited itself."""
    return not isinstance(state.data, (WrongUsage, Busy))


def patient_task(name: str) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Makes a step that is tried again by itself where that may help."""
    return task(
        task_run_name=name,
        retries=2,
        retry_delay_seconds=exponential_backoff(backoff_factor=30),
        retry_condition_fn=_not_ours,
        cache_policy=NO_CACHE,
        persist_result=False,
    )


@patient_task("look after consents")
def watch(settings: Settings) -> list[str]:
    """Expires consents that are over; returns the warnings that are due."""
    with guarded():
        return upkeep.watch(settings, utc_now)


@task(task_run_name="sign-in to renew {consent_id}", retries=0, cache_policy=NO_CACHE, persist_result=False)
def sign_in(settings: Settings, consent_id: str) -> None:
    """Shows a new link to the bank, good for minutes. Never tried again: two links would confuse people."""
    with guarded():
        fresh, url = upkeep.sign_in_link(settings, consent_id, utc_now)
    about = f"To renew {consent_id} ({fresh.institution}); good for minutes. The next `ingest` takes up {fresh.consent_id}."
    artifacts.link("kontoledger-sign-in", about, url, f"Sign in at {fresh.institution}")


@patient_task("end {name}")
def end(name: str, settings: Settings, consent_id: str, erase: bool, reason: str | None = None) -> State[Any]:
    """Ends one consent at the bank. Without the bank's confirmation it stays `revoking`, and the next run tries again."""
    with guarded():
        upkeep.end(settings, consent_id, utc_now, erase=erase, reason=reason)
    return Completed(message=f"{name} is over at the bank")


@patient_task("erase what was asked for")
def finish_erasing(settings: Settings, wait_seconds: int) -> list[str]:
    """Removes the data of ended consents where that was asked for; returns a sentence with each receipt."""
    with guarded():
        return upkeep.finish_erasing(settings, utc_now, wait_seconds)


@patient_task("fetch the catalog")
def fetch_catalog(settings: Settings) -> list[dict[str, Any]]:
    """Fetches all banks that Kontomatik covers. Costs nothing, so it is tried again."""
    with guarded():
        return institutions.fetch(settings, utc_now, country=None, access_mode=None)


@patient_task("keep the catalog")
def keep_catalog(settings: Settings, found: list[dict[str, Any]], wait_seconds: int) -> None:
    """Stores the banks in raw history and ledger, under the data directory's lock."""
    with guarded(), held(settings.data_dir, "catalog", wait_seconds):
        institutions.keep(settings, found, utc_now())


@flow(name="consent-renewals", flow_run_name="consent-renewals")
def consent_renewals(sign_in_for: list[ConsentId] = [], data_dir: str | None = None) -> State[Any]:  # noqa: B006
    """Warns 30, 14, 7 and 1 days before a consent ends, and expires what is over. As `python -m pipelines consents tend`.

    Args:
        sign_in_for: Start a sign-in that renews these consents now: the bank's link, good for minutes, becomes an artifact.
        data_dir: Where data is kept; empty: as the settings say (pipelines.data_dir).
    """
    with under_way(data_dir) as settings:
        warnings = watch(whole(settings))
        for warning in warnings:
            get_run_logger().warning(warning)
        begun = [sign_in(whole(settings), consent_id, return_state=True) for consent_id in sign_in_for]
        send_notices(settings)  # whoever cannot be renewed, the others hear of their own
        troubles = [str(one.message) for one in begun if not one.is_completed()]
        if troubles:
            artifacts.why("Sign-ins that could not be started", "\n".join(f"- {line(trouble)}" for trouble in troubles))
            return Failed(message="; ".join(troubles))
    return Completed(message=f"{len(warnings)} warnings" if warnings else "nothing ends soon")


@flow(name="consent-revocation", flow_run_name="consent-revocation", task_runner=threads(4))
def consent_revocation(
    consent_id: ConsentId | None = None,
    erase: bool = False,
    wait_seconds: WaitSeconds = 600,
    data_dir: str | None = None,
    confirm_erasure: bool = False,
    reason: Reason | None = None,
) -> State[Any]:
    """Finishes every consent that waits for the bank's word, and every erasure that was asked for; or ends one consent now.

    As `python -m pipelines consents tend`, `consents revoke ID` and `consents erase ID --yes`.

    Args:
        consent_id: End this consent now; empty: finish what was asked for.
        erase: Also erase what only this consent brought, with a receipt.
        wait_seconds: How long an erasure waits for a run that holds the data directory; then it is left to the next run.
        data_dir: Where data is kept; empty: as the settings say (pipelines.data_dir).
        confirm_erasure: Say that the data is to go for good; without it `erase` is refused and nothing is recorded.
        reason: Why it is erased, for receipt and audit trail. Name no customer.
    """
    with under_way(data_dir) as settings:
        if erase and not consent_id:
            raise WrongUsage("`erase` needs a consent_id", "Give the consent whose data is to go")
        if erase and not confirm_erasure:
            raise WrongUsage(f"`erase` is not confirmed; nothing was recorded of consent {consent_id}", "Set confirm_erasure")
        waiting = upkeep.to_end(settings, consent_id)
        named = [f"{consent.institution} {consent.consent_id}" for consent in waiting]
        artifacts.named(f"consent-revocation: {', '.join(named) or 'nothing waits'}")
        futures = [
            end.submit(name, whole(settings), one.consent_id, erase, reason) for name, one in zip(named, waiting, strict=True)
        ]
        for future in futures:
            future.wait()
        troubles = [f"{future.state.message}" for future in futures if not future.state.is_completed()]
        try:
            receipts = finish_erasing(whole(settings), wait_seconds)
        except Busy as busy:
            receipts = []
            troubles.append(f"erasing waits: {busy}")
        if receipts:
            artifacts.markdown("kontoledger-receipts", "Receipts of erasure", "\n".join(f"- {markdown(one)}" for one in receipts))
        send_notices(settings)
    if troubles:
        return Failed(name="StillRevoking", message="; ".join(troubles))
    return Completed(message="; ".join([*(f"{name} is over" for name in named), *receipts]) or "nothing waits")


@flow(name="catalog", flow_run_name="catalog: Kontomatik")
def catalog(wait_seconds: WaitSeconds = 1800, data_dir: str | None = None) -> State[Any]:
    """Fetches the banks that Kontomatik covers and keeps them in the ledger. As `python -m pipelines catalog`.

    Args:
        wait_seconds: How long to wait for a run that holds the data directory, before this one is skipped.
        data_dir: Where data is kept; empty: as the settings say (pipelines.data_dir).
    """
    with under_way(data_dir) as settings:
        if not settings.kontomatik.configured:
            return skipped("Kontomatik is not configured")
        found = fetch_catalog(whole(settings))
        try:
            keep_catalog(whole(settings), whole(found), wait_seconds)
        except Busy as busy:
            return skipped(str(busy))
        send_notices(settings)
    return Completed(message=f"{len(found)} bank targets")
