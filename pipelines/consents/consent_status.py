"""Lists how each consent stands: days left, imports left, and what it waits for. No token."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipelines.consents.clients import has_vault, vault_of
from pipelines.consents.clock import jumped
from pipelines.consents.states import USABLE, warning

if TYPE_CHECKING:
    from pipelines.consents.vault import Consent, Vault
    from pipelines.settings import Settings


@dataclass(frozen=True, kw_only=True)
class ConsentStatus:
    """How one consent stands; the fields are those of `consents list --json`."""

    consent_id: str
    source: str
    institution: str
    access_mode: str
    status: str
    usable: bool
    reason: str | None
    created_at: str | None
    expires_at: str | None
    last_import_at: str | None
    erase_asked_at: str | None
    days_left: int | None
    warning: int | None
    """The tightest warning that is due: days before the end."""
    imports_left: int | None
    """Of its accounts' quota for 24 hours; None where there is no quota, or no import is possible."""
    next_import_at: str | None


def consent_statuses(settings: "Settings") -> list[ConsentStatus]:
    """Returns how every consent stands, oldest first; lets consents expire unless the clock has jumped."""
    if not has_vault(settings):
        return []
    now = datetime.now(UTC)
    with vault_of(settings) as vault:
        if jumped(settings.data_dir, now) is None:
            vault.age(now)
        return [_status(settings, vault, consent, now) for consent in vault.consents()]


def _status(settings: "Settings", vault: "Vault", consent: "Consent", now: datetime) -> ConsentStatus:
    usable, counted = consent.status in USABLE and not consent.erasing, not consent.is_login
    quota = vault.quota.remaining(consent.consent_id, settings.kontomatik.imports_per_day, now)
    days = consent.days_left(now) if usable else None
    return ConsentStatus(
        consent_id=consent.consent_id,
        source=consent.source,
        institution=consent.institution,
        access_mode=consent.access_mode,
        status=consent.shown,
        usable=usable,
        reason=_erasing(consent) if consent.erasing else consent.status_reason,
        created_at=_second(consent.created_at),
        expires_at=_second(consent.expires_at),
        last_import_at=_second(consent.last_import_at),
        erase_asked_at=_second(consent.erase_asked_at),
        days_left=days,
        warning=warning(days, login=consent.is_login),
        imports_left=quota.left if usable and counted else None,
        next_import_at=_second(quota.next_at) if usable and counted else None,
    )


def _erasing(consent: "Consent") -> str:
    """Returns what an erasure waits for."""
    if consent.status == "revoked":
        return "it is over at its bank; the next run removes its data"
    return f"it is {consent.status}; its data is removed once the bank has confirmed its end"


def _second(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
