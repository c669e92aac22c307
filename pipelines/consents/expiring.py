"""Decides who is warned: the consents that end soon, each with the tightest warning that is due."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.consents.states import USABLE, warning

if TYPE_CHECKING:
    from pipelines.consents.vault import Consent, Vault


@dataclass(frozen=True)
class Expiring:
    """A consent in use that ends soon."""

    consent: "Consent"
    days_left: int
    step: int
    """Days before the end at which the tightest due warning is given (`states.warnings_of`)."""

    @property
    def urgency(self) -> str:
        """Returns for people how soon it ends."""
        if self.days_left == 0:
            return "ends today"
        return f"ends in {self.days_left} day{'s' if self.days_left != 1 else ''}"

    @property
    def renewal(self) -> str:
        """Returns the command that renews it."""
        return f"python -m pipelines consents renew {self.consent.consent_id}"


def expiring(vault: "Vault", now: datetime) -> list[Expiring]:
    """Returns the consents in use for which a warning is due, oldest first."""
    found = []
    for consent in vault.consents(status=USABLE):
        days = consent.days_left(now)
        step = warning(days, login=consent.is_login)
        if days is not None and step is not None:
            found.append(Expiring(consent, days, step))
    return found
