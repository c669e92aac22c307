"""What can go wrong at a bank, by name. Give them to `running`, or put them into `SandboxBank.faults` later.

Every fault takes `times` (how often, None for always), and `bank` and `path_contains` to choose its victims. An
account is named by its key, number or name; None means every account.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .bank import Fault, names
from .banks.kontomatik import Command, Refusal, refused
from .banks.wire import Answer, Call, Shown, problem
from .world.plans import Bank

if TYPE_CHECKING:
    from .bank import SandboxBank


# ---- instead of an answer


@dataclass(eq=False)
class TooManyRequests(Fault):
    """429, with `Retry-After` in seconds unless `retry_after` is None."""

    times: int | None = field(default=1, kw_only=False)
    retry_after: int | None = field(default=1, kw_only=False)

    def before(self, call: Call, _: "SandboxBank", /) -> Answer | None:
        if not (self.meets(call) and self.take()):
            return None
        answer = problem(429, "Too Many Requests")
        if self.retry_after is not None:
            answer.headers["Retry-After"] = str(self.retry_after)
        return answer


@dataclass(eq=False)
class ServerError(Fault):
    """The bank is down: a status of 5xx and a page of HTML."""

    times: int | None = field(default=1, kw_only=False)
    status: int = 503

    def before(self, call: Call, _: "SandboxBank", /) -> Answer | None:
        if self.meets(call) and self.take():
            return Answer(self.status, b"<html><h1>Service unavailable</h1></html>", "text/html")
        return None


@dataclass(eq=False)
class HtmlInsteadOfJson(Fault):
    """200 and a maintenance page, where data were asked for."""

    times: int | None = field(default=1, kw_only=False)

    def before(self, call: Call, _: "SandboxBank", /) -> Answer | None:
        if self.meets(call) and self.take():
            return Answer(200, b"<html><h1>We will be back soon</h1></html>", "text/html; charset=utf-8")
        return None


@dataclass(eq=False)
class Refuses(Fault):
    """Kontomatik refuses with this exception, before it does anything."""

    exception: str = "ServiceMaintenance"
    status: int = 400
    bank: Bank | None = field(default="kontomatik", kw_only=True)

    def before(self, call: Call, bank: "SandboxBank", /) -> Answer | None:
        if self.meets(call) and self.take():
            return refused(Refusal(self.exception, self.status), bank.world.clock.now())
        return None


@dataclass(eq=False)
class SlowAnswer(Fault):
    """The bank does what it is asked at once, and answers after `seconds`."""

    seconds: float = 1.0

    def after(self, call: Call, _: Answer, bank: "SandboxBank", /) -> None:
        if self.meets(call) and self.take():
            bank.wait(self.seconds)


@dataclass(eq=False)
class DropsConnection(Fault):
    """The connection closes without an answer. Unless `unread`, the bank has done what it was asked."""

    times: int | None = field(default=1, kw_only=False)
    unread: bool = False

    def before(self, call: Call, _: "SandboxBank", /) -> Answer | None:
        return Answer(dropped=True) if self.unread and self.meets(call) and self.take() else None

    def after(self, call: Call, answer: Answer, _: "SandboxBank", /) -> None:
        if not self.unread and self.meets(call) and self.take():
            answer.dropped = True


# ---- imports that fail


@dataclass(eq=False)
class CommandFails(Fault):
    """The import is accepted, and ends with this exception; `fatal` is Kontomatik's own fault (live dialect)."""

    exception: str = "ServiceTemporarilyUnavailable"
    fatal: bool = False

    def command(self, command: Command, /) -> None:
        if self.take():
            command.fails_with, command.fatal = self.exception, self.fatal


@dataclass(eq=False)
class CommandNeverEnds(Fault):
    """The import is running, and stays so."""

    def command(self, command: Command, /) -> None:
        if self.take():
            command.never_ends = True


@dataclass(eq=False)
class UnknownCommandState(Fault):
    """The import is in an undescribed state for this number of `polls`; None for ever."""

    state: str = "paused"
    polls: int | None = None

    def command(self, command: Command, /) -> None:
        if self.take():
            command.odd_state, command.odd_polls = self.state, self.polls


# ---- data that surprise


@dataclass(eq=False)
class EmptyAnswer(Fault):
    """The bank suddenly shows no transaction of an account."""

    account: str | None = None

    def shows(self, shown: Shown, /) -> Shown:
        return shown._replace(rows=[]) if names(self.account, shown.account) and self.take() else shown


@dataclass(eq=False)
class PartialDueToTimeout(Fault):
    """Only the newer half of an account, marked as cut short in the live dialect. The specification has no mark."""

    account: str | None = None

    def shows(self, shown: Shown, /) -> Shown:
        if shown.account.bank == "kontomatik" and names(self.account, shown.account) and self.take():
            return Shown(shown.account, shown.rows[: len(shown.rows) // 2], partial=True)
        return shown
