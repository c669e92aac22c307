"""`fleet run` as a flow: for a work pool whose concurrency limit says how many machines may be at work (`docs/fleet.md`).

Its processes read the settings as every command does. So Secret blocks are not used: no child process inherits them.
"""

from datetime import timedelta
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed
from pydantic import Field

from flows.guard import guarded, quiet
from flows.ingest import INCOMPLETE, REFUSED, DueHours
from pipelines.errors import CHECKS_FAILED, GOOD, PARTIAL
from pipelines.fleet.digest import send_digest
from pipelines.fleet.workers import FleetReport, Workers
from pipelines.read.options import utc_now
from pipelines.settings import load_settings
from pipelines.store.private import closed_to_others

AtMost = Annotated[int, Field(ge=1, le=64)]


@flow(name="fleet", flow_run_name="fleet", retries=0)
def fleet(due_hours: DueHours = 5, at_most: AtMost = 8) -> State[Any]:
    """Runs the cells that are due, the most urgent first, each in a process of its own. As `python -m pipelines fleet run`.

    Args:
        due_hours: A cell is due when the last import of one of its accounts is at least this old, in hours.
        at_most: Processes at once on this machine.
    """
    quiet()
    with guarded(), closed_to_others():
        settings = load_settings()
        report = Workers(settings, timedelta(hours=due_hours), at_most).run(utc_now)
        dispatched = send_digest(settings, [run.cell for run in report.runs], utc_now())
    logger = get_run_logger()
    for sentence in dispatched.sentences():
        logger.warning(sentence)
    return ended(report)


def ended(report: FleetReport) -> State[Any]:
    """Returns the state that a fleet's run means: the cells with trouble are in its message."""
    named = [
        f"{run.cell} ended with {run.status}: {run.trouble or 'see its status'}" for run in report.runs if run.status != GOOD
    ]
    counts = f"{report.due} due, {len(report.runs)} run" + (
        f", {report.waiting} wait after failed runs" if report.waiting else ""
    )
    message = "; ".join([counts, *named, *report.copies_left, *([report.trouble] if report.trouble else [])])
    names = {PARTIAL: INCOMPLETE, CHECKS_FAILED: REFUSED}
    if report.exit_status == GOOD:
        return Completed(message=message)
    return Failed(message=message, name=names.get(report.exit_status, "Failed"))
