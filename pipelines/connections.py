"""How the parts that reach outside are made from the settings: the banks' clients and the vault."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.errors import Failure, WrongUsage
from pipelines.settings import Settings
from sources._errors import Misconfigured, SourceError
from sources._http import Http, Pace

if TYPE_CHECKING:
    from pipelines.consents.registry import Vault
    from sources.kontist.client import KontistClient
    from sources.kontomatik.client import KontomatikClient


@contextmanager
def kontist_client(settings: Settings, now: Callable[[], datetime]) -> Iterator["KontistClient"]:
    """A client of Kontist while the block runs."""
    from sources.kontist.client import KontistClient
    from sources.kontist.tokens import Login

    own = settings.kontist
    http = Http("kontist", own.base_url, pace=Pace(own.requests_per_minute))
    try:
        login = Login(own.email, own.password, own.refresh_token, own.auth)
        yield KontistClient(http, login, clock=lambda: now().timestamp())
    finally:
        http.close()


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
    try:
        with kontomatik_client(settings, now) as client:
            yield client
    except Misconfigured as error:
        raise WrongUsage(str(error).rstrip(".")) from None
    except SourceError as error:
        raise BankSaidNo(str(error).rstrip(".")) from None


def has_vault(settings: Settings) -> bool:
    """Whether there is a vault to look into, without making one."""
    return settings.vault_url is not None or (settings.data_dir / "vault.sqlite").exists()


@contextmanager
def vault_of(settings: Settings) -> Iterator["Vault"]:
    """The vault while the block runs; made when there is none."""
    from pipelines.consents.registry import Vault

    vault = Vault(settings.data_dir / "vault.sqlite", settings.vault_key, url=settings.vault_url)
    try:
        yield vault
    finally:
        vault.close()
