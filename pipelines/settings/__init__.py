"""Every setting with its default, read where dlt reads them: environment, `.dlt/secrets.toml`, `.dlt/config.toml`.

dlt's own resolution is not used here, because importing it costs more than most commands take; a test holds that both
find the same values. `.dlt/config.toml` and `.dlt/example.secrets.toml` list every name with its meaning.
"""

import base64
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from pipelines.errors import WrongUsage
from pipelines.settings.memory import free_bytes, share_of
from pipelines.settings.names import refuse_unknown


@dataclass(frozen=True)
class Thresholds:
    """Booked rows that one read of an account may take away or alter: this number, or this percentage of its window."""

    removals: int
    removals_percent: int
    changes: int
    changes_percent: int

    def hold(self, known: int, gone: int, altered: int) -> bool:
        """Returns whether these rows are held for confirmation. A whole window is; the correction of its only row is not."""
        touched = gone + altered
        if known and (gone == known or (touched == known and known > 1)):
            return True
        return (
            _many(gone, known, self.removals, self.removals_percent)
            or _many(altered, known, self.changes, self.changes_percent)
            or _many(touched, known, max(self.removals, self.changes), max(self.removals_percent, self.changes_percent))
        )


def _many(rows: int, known: int, believed: int, percent: int) -> bool:
    return rows > believed and rows * 100 > known * percent


Dialect = Literal["openapi", "live"]
KontistDialect = Literal["rest", "graphql"]
Auth = Literal["jwt", "basic"]
Security = Literal["starttls", "tls", "none"]


class BankSettings(Protocol):
    """What the settings of every bank answer."""

    @property
    def configured(self) -> bool:
        """Returns whether the settings give access to the bank."""

    @property
    def how_to_configure(self) -> str:
        """Returns what a person has to do, as the end of a sentence."""

    @property
    def uses_vault(self) -> bool:
        """Returns whether stored consents or logins are used."""

    @property
    def has_password(self) -> bool:
        """Returns whether the settings can log in again whenever a login ends."""


@dataclass(frozen=True, kw_only=True)
class KontomatikSettings:
    """How the Kontomatik service is reached, and how patiently."""

    base_url: str = "https://api.kontomatik.com/v1"
    dialect: Dialect = "openapi"
    api_key: str | None = field(default=None, repr=False)
    poll_interval: float = 3.0
    command_deadline: float = 600.0
    max_parallel_commands: int = 8
    imports_per_day: int = 4
    lookback_days: int = 14
    redirect_url: str | None = None
    keep_national_ids: bool = False

    @property
    def configured(self) -> bool:
        """Returns whether an API key is set."""
        return bool(self.api_key)

    @property
    def how_to_configure(self) -> str:
        """Returns what a person has to do, as the end of a sentence."""
        return "set sources.kontomatik.api_key in .dlt/secrets.toml"

    @property
    def uses_vault(self) -> bool:
        """Returns True: each import goes through a stored consent."""
        return True

    @property
    def has_password(self) -> bool:
        """Returns False: the customer signs in at the bank."""
        return False


@dataclass(frozen=True, kw_only=True)
class KontistSettings:
    """How the Kontist service is reached, and how often at most."""

    base_url: str = "https://api.kontist.com"
    dialect: KontistDialect = "rest"
    client_id: str | None = field(default=None, repr=False)
    client_secret: str | None = field(default=None, repr=False)
    redirect_uri: str = "http://127.0.0.1:8765/callback"
    auth: Auth = "jwt"
    email: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    lookback_days: int = 45
    requests_per_minute: int = 90
    pages_in_flight: int = 16
    full_read_days: int = 7
    read_orders: bool = True
    allow_payments: bool = False

    @property
    def configured(self) -> bool:
        """Returns whether a login is set."""
        if self.dialect == "graphql":
            return bool(self.client_id and self.client_secret and self.refresh_token)
        return self.has_password or bool(self.refresh_token and self.uses_vault)

    @property
    def how_to_configure(self) -> str:
        """Returns what a person has to do, as the end of a sentence."""
        if self.dialect == "graphql":
            connect = "run `python -m pipelines connect kontist`"
            if self.client_id and self.client_secret:
                return connect
            return f"set sources.kontist.client_id and .client_secret in .dlt/secrets.toml, then {connect}"
        if self.uses_vault:
            return "run `python -m pipelines connect kontist`, or set sources.kontist.email and .password in .dlt/secrets.toml"
        return (
            'sources.kontist.auth is "basic", which uses no stored login: set sources.kontist.email and .password, or set it to'
            ' "jwt"'
        )

    @property
    def uses_vault(self) -> bool:
        """Returns whether a stored login is used: `basic` sends e-mail and password with every request."""
        return self.auth == "jwt" or self.dialect == "graphql"

    @property
    def has_password(self) -> bool:
        """Returns whether e-mail and password are set: they log in again whenever a login ends. GraphQL takes no password."""
        return bool(self.dialect == "rest" and self.email and self.password)


@dataclass(frozen=True, kw_only=True)
class NotificationSettings:
    """The channels of notifications and their addresses. A channel that is not set is not used."""

    email_host: str | None = None
    email_port: int = 587
    email_security: Security = "starttls"
    email_user: str | None = None
    email_password: str | None = field(default=None, repr=False)
    email_from: str | None = None
    email_to: str | None = None
    webhook_url: str | None = field(default=None, repr=False)
    slack_url: str | None = field(default=None, repr=False)
    urls: str | None = field(default=None, repr=False)
    stale_hours: int = 30


CELL_NAME = re.compile(r"cell-\d{4,6}")


@dataclass(frozen=True, kw_only=True)
class FleetSettings:
    """How many customers are kept in many data directories, the cells. Without `cells` there is one data directory.

    `folder` holds this machine's copies of the cells. `store` is the address, as fsspec takes it, under which raw histories are
    kept for several machines; None: only here. `lake` is the address of the PostgreSQL database that is the lake's catalog, and
    `lake_data` the folder or `s3://` address of its files; without both there is no lake.
    """

    cells: int = 0
    folder: Path = Path("data/cells")
    store: str | None = None
    lake: str | None = field(default=None, repr=False)
    lake_data: str | None = None
    lake_encrypted: bool = False


@dataclass(frozen=True)
class Settings:
    """All that a command needs to know. A value: nothing changes it."""

    data_dir: Path = Path("data")
    vault_key: str | None = field(default=None, repr=False)
    vault_url: str | None = field(default=None, repr=False)
    run_deadline: float = 14_400.0
    memory_mb: int = 0
    report: bool = True
    removals_believed: int = 5
    removals_believed_percent: int = 20
    changes_believed: int = 5
    changes_believed_percent: int = 20
    kontomatik: KontomatikSettings = KontomatikSettings()
    kontist: KontistSettings = KontistSettings()
    notifications: NotificationSettings = NotificationSettings()
    fleet: FleetSettings = FleetSettings()
    sandbox: bool = False
    customer: str | None = None
    """Whose consents are added, in a fleet: `connect --customer`."""

    @property
    def cell(self) -> str | None:
        """Returns the cell that the data directory is, also through a link; None for any other data directory."""
        if not self.fleet.cells:
            return None
        own = self.data_dir.resolve()
        return own.name if own.parent == self.fleet.folder.resolve() and CELL_NAME.fullmatch(own.name) else None

    def of(self, bank: str) -> BankSettings:
        """Returns the settings of the bank with this name."""
        found: BankSettings = getattr(self, bank)
        return found

    @property
    def memory_limit(self) -> str:
        """Returns the memory of DuckDB in its own notation: that of the setting, else a share of what is free now."""
        return f"{self.memory_mb or share_of(free_bytes())}MiB"

    @property
    def thresholds(self) -> Thresholds:
        """Removals and changes that are accepted at once."""
        return Thresholds(
            self.removals_believed, self.removals_believed_percent, self.changes_believed, self.changes_believed_percent
        )


LARGEST = 100_000
"""No number of days, seconds or requests that means anything is larger: dates go no further back."""

KEY_LENGTH = 44
"""Characters of a vault key."""
NEW_KEY = "Copy the whole key again; where nothing is stored yet, print one with `python -m pipelines doctor --new-vault-key`"

THRESHOLDS = ("removals_believed", "removals_believed_percent", "changes_believed", "changes_believed_percent")

Section = Literal["pipelines", "sources.kontomatik", "sources.kontist", "notifications", "fleet"]
NAMES: Mapping[str, frozenset[str]] = {
    "pipelines": frozenset({"data_dir", "vault_key", "vault_url", "run_deadline", "memory_mb", "report", *THRESHOLDS}),
    "sources.kontomatik": frozenset(KontomatikSettings.__dataclass_fields__),
    "sources.kontist": frozenset(KontistSettings.__dataclass_fields__),
    "notifications": frozenset(NotificationSettings.__dataclass_fields__),
    "fleet": frozenset(FleetSettings.__dataclass_fields__),
}
"""Every setting, by section."""


def load_settings(
    *,
    data_dir: Path | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Settings:
    """Returns the settings; `data_dir` (the command line's) overrides all.

    `folder` holds `.dlt/`, default the working directory. Raises `WrongUsage` for a file that is not TOML, a value that is
    not of its kind, and a name in one of our sections that is no setting.
    """
    variables = os.environ if environment is None else environment
    files = {
        path.name: _toml(path) for path in (((folder or Path.cwd()) / ".dlt" / f"{name}.toml") for name in ("secrets", "config"))
    }
    refuse_unknown(NAMES, files, variables)
    find = _finder(variables, files)
    pipelines = _section(find, "pipelines", Settings)
    if fault := vault_key_fault(pipelines.get("vault_key")):
        raise WrongUsage(f"The setting pipelines.vault_key is no vault key: {fault}", NEW_KEY)
    settings = Settings(
        **pipelines,
        kontomatik=KontomatikSettings(**_section(find, "sources.kontomatik", KontomatikSettings)),
        kontist=KontistSettings(**_section(find, "sources.kontist", KontistSettings)),
        notifications=NotificationSettings(**_section(find, "notifications", NotificationSettings)),
        fleet=FleetSettings(**_section(find, "fleet", FleetSettings)),
    )
    return replace(
        settings,
        data_dir=(data_dir or settings.data_dir).expanduser().absolute(),
        fleet=replace(settings.fleet, folder=settings.fleet.folder.expanduser().absolute()),
    )


def vault_key_fault(text: str | None) -> str | None:
    """Returns why `text` is no vault key, or several separated by commas; None where it is one, or empty."""
    if not text:
        return None
    for key in (one.strip() for one in text.split(",")):
        if not key:
            return "there is nothing before or after a comma"
        if any(sign.isspace() for sign in key):
            return "it holds white space"
        if not re.fullmatch(r"[A-Za-z0-9_+/=-]+", key):
            return "it holds a character that is not of URL-safe base64"
        if len(key) != KEY_LENGTH:
            return f"it has {len(key)} characters and not {KEY_LENGTH}"
        try:
            decoded = base64.urlsafe_b64decode(key)
        except ValueError:
            decoded = b""
        if len(decoded) != 32:
            return "it is not URL-safe base64 of 32 bytes"
    return None


def _finder(environment: Mapping[str, str], files: Mapping[str, dict[str, Any]]) -> Callable[[str], tuple[Any, str] | None]:
    """Returns a function from a dotted key to its value and where that was found, in dlt's order."""

    def find(key: str) -> tuple[Any, str] | None:
        variable = key.upper().replace(".", "__")
        if variable in environment:
            return environment[variable], variable
        for file, content in files.items():
            value: Any = content
            for part in key.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if value is not None:
                return value, f"{key} in {file}"
        return None

    return find


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUsage(f"{path} cannot be read ({error.__class__.__name__})", "Check its permissions and encoding") from None
    except tomllib.TOMLDecodeError as error:
        where = str(error).rpartition("(")[2].rstrip(")") or "somewhere"
        raise WrongUsage(f"{path} is not valid TOML ({where})", "Correct that line") from None


def _section(find: Callable[[str], tuple[Any, str] | None], section: Section, kind: type[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in sorted(NAMES[section]):
        hit = find(f"{section}.{name}")
        if hit is not None and hit[0] != "":
            found[name] = _converted(hit[0], kind.__dataclass_fields__[name].type, hit[1])
    return found


def _converted(value: Any, kind: Any, where: str) -> Any:
    """Returns `value` as the setting's type. The value itself is never shown: it may be a secret in the wrong place."""
    try:
        if kind is int:
            return _in_range(int(str(value)))
        if kind is float:
            return _in_range(float(str(value)))
    except ValueError:
        raise WrongUsage(f"The setting {where} must be a number from 0 to {LARGEST:,}", "Correct it") from None
    choices = get_args(kind)
    if choices and all(isinstance(choice, str) for choice in choices):
        if value not in choices:
            raise WrongUsage(f"The setting {where} must be one of {', '.join(choices)}", "Correct it")
        return value
    if kind is bool:
        if str(value).lower() not in ("true", "false"):
            raise WrongUsage(f"The setting {where} must be true or false", "Correct it")
        return str(value).lower() == "true"
    if not isinstance(value, str):
        raise WrongUsage(f"The setting {where} must be text in quotes", "Correct it")
    return Path(value) if kind is Path else value


def _in_range(number: Any) -> Any:
    if not 0 <= number <= LARGEST:
        raise ValueError(number)
    return number
