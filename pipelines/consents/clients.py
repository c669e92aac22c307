"""How the parts that reach outside are made from the settings: the banks' clients and the vault."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.errors import Failure, WrongUsage
from pipelines.settings import Settings
from pipelines.store.losses import missing_vault, refuse
from sources._errors import Misconfigured, SourceError
from sources._http import Http

if TYPE_CHECKING:
    from pipelines.consents.vault import Vault
    from sources.kontomatik.client import KontomatikClient


@contextmanager
def kontomatik_client(
    settings: Settings, now: Callable[[], datetime], recognise: Callable[[str, str], str] | None = None
) -> Iterator["KontomatikClient"]:
    """A client of Kontomatik while the block runs; `recognise` is what is kept of owners' identity numbers."""
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


class BankSaidNo(Failure):
    """A command that is about one bank could not be carried out."""


@contextmanager
def told_client(settings: Settings, now: Callable[[], datetime]) -> Iterator["KontomatikClient"]:
    """A client of Kontomatik for a command of its own: what the bank refuses ends the command with a sentence."""
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
    """Whether there is a vault to look into, without making one."""
    return settings.vault_url is not None or (settings.data_dir / "vault.sqlite").exists()


@contextmanager
def vault_of(settings: Settings, *, start_new: bool = False) -> Iterator["Vault"]:
    """The vault while the block runs; made when there is none.

    Raises `HistoryLost` when there was one, unless a person has said `start_new`.
    """
    from pipelines.consents.vault import Vault

    if not start_new and not has_vault(settings):
        refuse(missing_vault(settings))
    vault = Vault(settings.data_dir / "vault.sqlite", settings.vault_key, url=settings.vault_url)
    try:
        yield vault
    finally:
        vault.close()
