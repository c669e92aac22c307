"""What every flow does last: show how consents stand, emit the events, send the notices."""

from typing import TYPE_CHECKING

from prefect.logging import get_run_logger

from flows import artifacts
from pipelines.consents.consent_status import consent_statuses
from pipelines.notify.dispatch import dispatch_notices
from pipelines.read.options import utc_now
from pipelines.run.report import Report
from pipelines.run.tables import consent_rows, renewal_text

if TYPE_CHECKING:
    from pipelines.settings import Settings


def send_notices(settings: "Settings", *, report: Report | None = None) -> None:
    """Shows consents and dispatches notices. Never fails: a notice that cannot be sent is logged, and sent by the next run."""
    listed = consent_statuses(settings)
    artifacts.table("kontoledger-consents", "Consents: days left, imports left in 24 hours", consent_rows(listed))
    renewals = renewal_text(listed, lambda consent_id: artifacts.custom_run("consent-renewals", {"sign_in_for": [consent_id]}))
    if renewals:
        artifacts.markdown("kontoledger-renewals", "Consents to renew", renewals)
    came_of_it = dispatch_notices(settings, utc_now, report=report, also={"prefect events": artifacts.emitted})
    for sentence in came_of_it.sentences():
        get_run_logger().warning(sentence)
