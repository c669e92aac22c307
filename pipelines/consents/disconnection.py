"""Chooses the logins at Kontist that `disconnect` ends."""

from typing import TYPE_CHECKING

from pipelines.consents.kontist_login import stored_login, usable_logins
from pipelines.errors import WrongUsage
from sources.kontist.responses import BANK

if TYPE_CHECKING:
    from pipelines.consents.vault import Consent, Vault


def to_disconnect(vault: "Vault", mode: str) -> "Consent":
    """Returns the login that `disconnect` ends. Raises `WrongUsage` where there is none.

    The one in use of this `access_mode`, else that of the other dialect, else the last one whose end is not confirmed.
    """
    found = (
        stored_login(vault, mode)
        or stored_login(vault)
        or next(reversed(vault.consents(source=BANK, status=("revoking", "replaced", "expired"))), None)
    )
    if found is None:
        raise WrongUsage("There is no login at Kontist to end", "See `python -m pipelines consents list`")
    return found


def never_read(vault: "Vault", mode: str) -> "list[Consent]":
    """Returns the logins that could be used and have read nothing yet: what a `connect` leaves that was killed."""
    return [one for one in usable_logins(vault, mode) if not vault.accounts_of(one.consent_id)]
