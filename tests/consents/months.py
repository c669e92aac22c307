"""Weeks at a bank that counts its imports: consents for one account, and what a run makes of them."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.consents.clients import kontomatik_client
from pipelines.consents.sign_in import Opening, mock_opening
from pipelines.consents.vault import Consent, Vault
from pipelines.read.kontomatik import Reading
from sources.sandbox import SandboxBank
from tests.consents.customers import VAULT_KEY, only_ben, reading_of, settings_for

DAY = timedelta(hours=24)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Killed(BaseException):
    """The process ends here."""


class Month:
    """Two consents for one account, at a bank that counts and does not refuse."""

    def __init__(self, bank: SandboxBank, folder: Path) -> None:
        self.bank, self.now = bank, bank.world.clock.now
        self.settings = settings_for(bank, folder, kontomatik={"command_deadline": 0.0})
        self.seen: dict[str, list[datetime]] = {}
        count = bank.kontomatik._count_import

        def counted(customer: Any) -> None:
            count(customer)
            for own in bank.kontomatik._owned(customer):
                self.seen.setdefault(own.key, []).append(self.now())

        bank.kontomatik._count_import = counted  # type: ignore[method-assign]
        self.vault = Vault(folder / "vault.sqlite", VAULT_KEY)
        only_ben(bank)
        with kontomatik_client(self.settings, self.now) as client:
            openings = [one for _ in range(2) for one in mock_opening(self.now)(self.vault, client)]
        self.read(openings)

    def read(self, openings: list[Opening] | None = None, *, reserve: int = 0, killed_in: str = "") -> Reading | None:
        """A run's reading of all consents; what was read is taken as loaded."""
        with kontomatik_client(self.settings, self.now) as client, suppress(Killed):
            if killed_in:
                setattr(client, killed_in, _kills)
            return reading_of(self.vault, client, self.settings, self.now, openings, reserve=reserve)
        return None

    def most_in_a_day(self) -> int:
        """The most imports that any account had in any 24 hours, by the bank's own count."""
        return max(
            sum(0 <= (at - one).total_seconds() < DAY.total_seconds() for at in times)
            for times in self.seen.values()
            for one in times
        )


def _kills(*_: Any, **__: Any) -> None:
    raise Killed


def a_consent(vault: Vault, now: datetime = NOON) -> Consent:
    return vault.add(source="kontomatik", institution="KontoBank", access_mode="MULTIPLE", now=now, token=f"token-{now}")
