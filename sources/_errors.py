"""What can go wrong while reading a bank, sorted by what a person or a scheduler does next.

SourceError
├── Rejected            the bank refused; asking again will not help
│   ├── Misconfigured   our side is wrong: an address, a key, a setting
│   ├── ConsentGone     the customer must sign in again
│   └── SessionGone     this sign-in session is used up; a new one is needed
├── Unavailable         asking again later may help
│   ├── Unreached       no connection: the request never left this machine
│   │   └── OutOfTime   the time for all requests is over: it was not sent
│   └── QuotaSpent      the bank's quota is used up; it refills with time
└── Unexpected          an answer that we do not understand; a person must look

The text is one sentence with the cause and one with the next step. It never holds an account number, a name, an amount,
a token or a piece of the bank's answer.
"""


class SourceError(Exception):
    """Any failure of one bank: `bank` says whose, `cause` what happened, `next_step` what to do about it."""

    def __init__(self, bank: str, cause: str, next_step: str = "", *, code: str = "") -> None:
        self.bank = bank
        self.cause = cause
        self.next_step = next_step
        self.code = code
        """The bank's own name for the failure (`MultipleAccessLimitExceeded`), where it gave one."""
        super().__init__(f"{bank}: {cause}." + (f" {next_step}." if next_step else ""))


class Rejected(SourceError):
    """The bank refused, and would refuse again."""


class Misconfigured(Rejected):
    """An address, a key or a setting is wrong."""


class ConsentGone(Rejected):
    """The consent or login is expired, revoked or unknown: the customer signs in again."""


class SessionGone(Rejected):
    """The session is expired or has made its one import already."""


class Unavailable(SourceError):
    """The bank is away or busy; the next run may succeed."""


class Unreached(Unavailable):
    """No connection came about, so the bank cannot have acted on the request."""


class OutOfTime(Unreached):
    """The time that the run has for asking is over. Nothing was sent, and asking again is the next run's."""

    def __init__(self, bank: str) -> None:
        super().__init__(bank, "the run's time is over, so the bank was not asked", "The next run goes on")


class QuotaSpent(Unavailable):
    """No more imports for now. Not a failure: the account is skipped until the quota refills."""

    retry_after: float | None = None
    """Seconds that the bank asks to wait, if it does."""


class Unexpected(SourceError):
    """The answer is not what the documents and observations say."""


def is_retryable(error: SourceError) -> bool:
    """Returns whether another attempt may soon succeed: the bank was away, and there is time left to ask."""
    return isinstance(error, Unavailable) and not isinstance(error, OutOfTime)
