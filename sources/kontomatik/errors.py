"""Kontomatik's failures, sorted by what to do next. The name decides, never the HTTP status or the text beside it (observed).

The vendor may add names at any time. A name that is not in the table stops safely: nothing is tried again by itself.
"""

import re
from dataclasses import dataclass

from sources._errors import ConsentGone, Misconfigured, QuotaSpent, Rejected, SessionGone, SourceError, Unavailable, Unexpected

BANK = "kontomatik"

_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")


class CommandUnfinished(Unavailable):
    """The command still runs, as far as we know: `wait` with its `command_id` goes on where this one stopped.

    A new import instead would spend the quota once more.
    """

    def __init__(self, cause: str, command_id: str, *, code: str = "") -> None:
        super().__init__(BANK, cause, "The next run asks for this command again instead of starting a new import", code=code)
        self.command_id = command_id


class MayBeAccepted(Unavailable):
    """The request was sent and not answered: the bank may have acted on it. It is not repeated by itself."""


class Spoilt(Unexpected):
    """A web page, half an answer or none: perhaps the bank's, perhaps a proxy's. A further look may find it whole."""


@dataclass(frozen=True)
class Meaning:
    """What an exception's name says."""

    kind: type[SourceError]
    cause: str
    next_step: str


_OURS = "Check the settings of sources.kontomatik; if they are right, this is a fault of the connector"
_NEW_SESSION = "A new session is needed; a reused consent gives one and spends one import"
_LATER = "The next run tries again; nothing was lost"

MEANINGS = {
    "InvalidParameter": Meaning(
        Misconfigured, "the bank does not accept a field of the request", "Check the setting sources.kontomatik.dialect"
    ),
    "InvalidArgument": Meaning(
        Misconfigured, "the bank does not accept a value of the request", "Check the setting sources.kontomatik.dialect"
    ),
    "InvalidSince": Meaning(Misconfigured, "the bank does not accept the first day asked for", "Ask for a later day"),
    "InvalidTarget": Meaning(Misconfigured, "the bank to sign in to is not known", "Choose one that the catalog lists"),
    "InvalidIban": Meaning(Misconfigured, "the bank does not accept the account number of the request", _OURS),
    "InvalidOwnerExternalId": Meaning(Misconfigured, "the owner's external id is not accepted", "Use another external id"),
    "InvalidCommandId": Meaning(SessionGone, "the bank does not know this command, or no more", _NEW_SESSION),
    "InvalidSessionId": Meaning(SessionGone, "the session is unknown or expired", _NEW_SESSION),
    "InvalidSessionIdSignature": Meaning(SessionGone, "the session's signature is not accepted", _NEW_SESSION),
    "NotSignedIn": Meaning(SessionGone, "the customer has not signed in to this session", _NEW_SESSION),
    "SessionExpired": Meaning(SessionGone, "the session is expired", _NEW_SESSION),
    "AlreadySignedIn": Meaning(SessionGone, "the session was signed in before", _NEW_SESSION),
    "DefaultImportAlreadyExecuted": Meaning(SessionGone, "the session has made its one import already", _NEW_SESSION),
    "CommandNotAvailable": Meaning(Rejected, "this bank does not offer the command", "Choose another target from the catalog"),
    "InvalidMultipleAccessId": Meaning(
        ConsentGone, "the consent is expired, revoked or unknown", "The customer has to sign in again"
    ),
    "MultipleAccessLimitExceeded": Meaning(
        QuotaSpent, "the imports of 24 hours are used up", "The account is skipped until the quota refills"
    ),
    "JobsQuotaExceeded": Meaning(Unavailable, "too many commands run at the same time", _LATER),
    "ConcurrentSessionsLimitExceed": Meaning(Unavailable, "too many sessions are open", _LATER),
    "ConcurrentSessionsLimitExceeded": Meaning(Unavailable, "too many sessions are open", _LATER),
    "ServiceTemporarilyUnavailable": Meaning(Unavailable, "the service is away for a while", _LATER),
    "ServiceMaintenance": Meaning(Unavailable, "the service is under maintenance", _LATER),
    "IO": Meaning(Unavailable, "Kontomatik could not talk to the customer's bank", _LATER),
    "NoDataToCalculateScore": Meaning(Unexpected, "the bank mentions a score, which we never ask for", _OURS),
}
"""Names as the vendor's SDK lists them; what each means for us is our reading of the vendor's error classes."""


def plain_name(text: str | None) -> str:
    """Returns an exception's name without package or the ending `Exception`; empty for anything that is not a name."""
    name = (text or "").strip().rsplit(".", 1)[-1]
    name = name.removesuffix("Exception") or name
    return name if _PLAIN_NAME.fullmatch(name) else ""


def by_name(text: str | None) -> SourceError:
    """Returns the error for an exception's name."""
    name = plain_name(text)
    meaning = MEANINGS.get(name)
    if meaning:
        return meaning.kind(BANK, f"{meaning.cause} ({name})", meaning.next_step, code=name)
    shown = f"a failure that we do not know ({name})" if name else "a failure without a name that we could read"
    return Unexpected(BANK, f"the bank reports {shown}", "Look it up in the vendor's documentation", code=name)


def fatal(command_id: str | None, name: str | None) -> Unexpected:
    """Returns the error for a command that broke inside Kontomatik."""
    return Unexpected(
        BANK,
        f"command {_shown(command_id)} broke off inside Kontomatik (fatal)",
        "Try once more later; if it happens again, give the command's number to Kontomatik's support",
        code=plain_name(name),
    )


def without_reason(command_id: str | None) -> Unavailable:
    """Returns the error for a failed command that says no more. The published specification has no field for a reason."""
    return Unavailable(BANK, f"command {_shown(command_id)} failed, and the bank gave no reason", _LATER)


def unauthorized() -> Misconfigured:
    """Returns the error for a 401. What the bank writes beside it holds our address and key, so it is never repeated."""
    return Misconfigured(
        BANK,
        "the API key is unknown, or this machine's address is not on Kontomatik's list",
        "Check the secret sources.kontomatik.api_key and which addresses are registered for it",
        code="401",
    )


def web_page() -> Spoilt:
    """Returns the error for HTML in the place of XML or JSON."""
    return Spoilt(BANK, "the bank answered with a web page", "Check the setting sources.kontomatik.base_url")


def wrong_dialect(ours: str) -> Misconfigured:
    """Returns the error for an answer in the other dialect than the one that we ask in."""
    other = "live" if ours == "openapi" else "openapi"
    return Misconfigured(
        BANK,
        f"the bank answers in the dialect {other}, and we ask in {ours}",
        f'Set sources.kontomatik.dialect to "{other}"',
    )


def odd(cause: str) -> Unexpected:
    """Returns the error for an answer that neither the published specification nor the observations explain."""
    return Unexpected(BANK, cause, "The answer was not used; look at it with the vendor's documentation at hand")


def is_web_page(body: bytes) -> bool:
    """Returns whether an answer is HTML."""
    return bool(re.match(rb"\s*<(!doctype\s+html|html)\b", body[:1000], re.IGNORECASE))


def with_pause(failure: SourceError, seconds: float | None) -> SourceError:
    """Returns the failure; one about the quota knows how long the bank asks to wait."""
    if isinstance(failure, QuotaSpent):
        failure.retry_after = seconds
    return failure


def spoilt(cause: str) -> Spoilt:
    """Returns the error for an answer that is not whole."""
    return Spoilt(BANK, cause, "Nothing was used of it; try again later")


def by_status(status: int, *, spends: bool, command: bool) -> SourceError:
    """Returns the error for an HTTP status without a readable exception.

    `spends`: the request may not be repeated blindly. `command`: it asked for a command by its id.
    """
    answered = f"the bank answered {status} without a reason"
    if status == 401:
        return unauthorized()
    if status == 404 and command:
        return SessionGone(BANK, "the bank does not know this command, or no more", _NEW_SESSION, code="404")
    if status in (403, 404, 405, 406, 415):
        return Misconfigured(
            BANK, answered, "Check the settings sources.kontomatik.base_url and sources.kontomatik.dialect", code=str(status)
        )
    if spends and status in (408, 500, 502, 504):
        return MayBeAccepted(
            BANK, f"{answered}, and may have accepted the request", "It is not repeated by itself", code=str(status)
        )
    if spends and status == 429:  # the published specification names no failures
        return QuotaSpent(BANK, f"{answered}: no more for now", "The account is skipped until the quota refills", code="429")
    if status in (408, 425, 429) or status >= 500:
        return Unavailable(BANK, f"the bank answered {status}", "Try again later", code=str(status))
    return Unexpected(BANK, answered, "Nothing was loaded from it", code=str(status))


def _shown(command_id: str | None) -> str:
    return command_id if command_id and re.fullmatch(r"[A-Za-z0-9_-]{1,100}", command_id) else "without a number"
