"""What the client hands back: sessions, commands, and what an import brought. Secrets never show in a `repr`."""

from dataclasses import dataclass, field
from typing import Any, Literal

from sources._errors import SourceError
from sources._protocols import Spool

Spoken = Literal["openapi", "live"]
AccessMode = Literal["SINGLE", "MULTIPLE", "MIXED"]
CommandState = Literal["running", "done", "failed", "unknown"]
SignInState = Literal["pending", "completed", "failed", "expired"]


@dataclass(frozen=True)
class Session:
    """A customer's signed-in session: good for one import, for a few minutes (observed).

    `token` is the consent's, where the sign-in gave one: a bearer secret for up to 180 days.
    """

    session_id: str = field(repr=False)
    signature: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    target: str | None = None


@dataclass(frozen=True)
class SignIn:
    """A sign-in that waits for the customer behind `link`.

    The published specification names the session at once, in `session`: it is of use only after the customer has signed in.
    """

    id: str = field(repr=False)
    link: str = field(repr=False)
    session: Session | None = None


@dataclass(frozen=True)
class SignInStatus:
    """How far a sign-in is. `exception` says why a failed one failed, where the bank does."""

    state: SignInState
    session: Session | None = None
    exception: SourceError | None = None
    target: str | None = None
    institution: str | None = None


@dataclass(frozen=True)
class Command:
    """An import that the bank works on; `id` is text, kept to resume after a deadline."""

    id: str


@dataclass(frozen=True)
class Institution:
    """One entry of the catalog. `target` names the way in and is volatile, `institution` the bank and is stable (observed)."""

    target: str
    institution: str
    name: str
    country: str
    access_modes: frozenset[str] = frozenset()
    """Empty where the answer does not say."""
    beta: bool = False


@dataclass(kw_only=True)
class AccountRead:
    """One account or card of an import.

    `account` holds the columns of `ACCOUNTS` except `consent_id` and the computed ones. `spool` holds the rows in the bank's
    order; `newest_first` says which end that order starts at (True for fewer than two days). `partial` is the bank's own
    mark that it ran out of time: a missing row then means nothing. With an `error` the spool is empty and this account is
    not to be trusted; its neighbours are.
    """

    account: dict[str, Any] = field(repr=False)
    account_id: str
    source_account_id: str = field(repr=False)
    partial: bool
    spool: Spool = field(repr=False)
    newest_first: bool = True
    error: SourceError | None = None
    unknown_fields: frozenset[str] = frozenset()
    """Names like `transaction.fee`: kept in `extra`, reported."""


@dataclass
class ImportResult:
    """What one import brought.

    `owners` holds the columns of `OWNERS` except `consent_id` and the computed ones, in an order that does not depend on
    the bank's. `token` is the consent's, which the published specification puts here and the live service into the sign-in.
    """

    owners: list[dict[str, Any]] = field(repr=False)
    accounts: list[AccountRead]
    token: str | None = field(default=None, repr=False)
    target: str | None = None
    institution: str | None = None
    unknown_fields: frozenset[str] = frozenset()
    """Undescribed names beside owners and accounts, like `result.deposits`."""


@dataclass
class Reply:
    """One look at a command. `result` is there when it is `done` and was an import, `session` when it gave a new session.

    `exception` says why it `failed`. A state that we do not know is `unknown`: never a success, worth another look.
    """

    command_id: str | None
    state: CommandState
    result: ImportResult | None = None
    exception: SourceError | None = None
    session: Session | None = None
    spoken: Spoken = "live"
