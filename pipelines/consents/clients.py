"""Makes from the settings the parts that reach outside: Kontomatik's client and the vault."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipelines.errors import Failure, WrongUsage
from pipelines.settings import Settings
from pipelines.store.losses import missing_vault, refuse
from sources._errors import Misconfigured, SourceError

if TYPE_CHECKING:
    from pipelines.consents.vault import Vault
    from sources.kontomatik.client import KontomatikClient


@contextmanager
def kontomatik_client(
    settings: Settings, now: Callable[[], datetime], recognise: Callable[[str, str], str] | None = None
) -> Iterator["KontomatikClient"]:
    """Opens a client of Kontomatik. `recognise` makes the hash that is kept of an owner's identity number."""
    from sources._http import Http
    from sources.kontomatik.client import KontomatikClient

    own = settings.kontomatik
    http = Http("kontomatik", own.base_url)
    try:
        yield KontomatikClient(
            http,
            own.api_key or "",
            own.dialect,
            poll_interval=own.poll_interval,
            command_deadline=own.command_deadline,
            today=lambda: now().date(),
            recognise=recognise,
        )
    finally:
        http.close()


def refuse_unconfigured(settings: Settings) -> None:
    """Raises `WrongUsage` when the settings hold no access to Kontomatik."""
    if not settings.kontomatik.configured:
        raise WrongUsage("Kontomatik is not configured", "Set sources.kontomatik.api_key in .dlt/secrets.toml")


class BankSaidNo(Failure):
    """The bank did not carry out a command."""


@contextmanager
def command_client(settings: Settings, now: Callable[[], datetime]) -> Iterator["KontomatikClient"]:
    """Opens a client of Kontomatik for one command: what the bank refuses ends the command with a sentence."""
    with as_failures(), kontomatik_client(settings, now) as client:
        yield client


@contextmanager
def as_failures() -> Iterator[None]:
    """Turns what a bank refuses into the failure that ends a command."""
    try:
        yield
    except Misconfigured as error:
        raise WrongUsage(str(error).rstrip(".")) from None
    except SourceError as error:
        raise BankSaidNo(str(error).rstrip(".")) from None


def has_vault(settings: Settings) -> bool:
    """Returns whether there is a vault, without making one."""
    return settings.vault_url is not None or (settings.data_dir / "vault.sqlite").exists()


@contextmanager
def vault_of(settings: Settings, *, start_new: bool = False) -> Iterator["Vault"]:
    """Opens the vault; makes it when there is none.

    Raises `HistoryLost` when there was one, and it is missing or empty, unless a person has said `start_new`; the audit trail
    of the new one begins with that.
    """
    from pipelines.consents.scope import Scope
    from pipelines.consents.vault import Vault

    if not start_new and not has_vault(settings):
        refuse(missing_vault(settings))
    vault = Vault(settings.data_dir / "vault.sqlite", settings.vault_key, url=settings.vault_url, scope=Scope.of(settings))
    try:
        if not start_new:
            refuse(missing_vault(settings, vault))
        elif vault.is_blank():
            vault.note("", "vault begun anew", "a person gave --start-new", datetime.now(UTC))
        yield vault
    finally:
        vault.close()
