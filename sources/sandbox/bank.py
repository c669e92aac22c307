"""The sandbox bank: where it is, whose world it serves, and what it was asked."""

import contextlib
import socket
from dataclasses import dataclass, field
from threading import Event, Lock, Thread

from .banks.kontist import Kontist
from .banks.kontomatik import Command, Kontomatik, Refusal, Rules, refused
from .banks.live import Live
from .banks.openapi import OpenApi
from .banks.wire import Answer, Call, Shown, problem
from .control import Control
from .world.plans import Bank
from .world.records import Account
from .world.world import Dialect, World


@dataclass(eq=False, kw_only=True)
class Fault:
    """Does nothing. Its methods are called at each request, from many threads."""

    times: int | None = None
    bank: Bank | None = None
    path_contains: str = ""
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    def before(self, call: Call, bank: "SandboxBank", /) -> Answer | None:
        """Returns an answer in place of the bank's, which then does nothing at all."""

    def after(self, call: Call, answer: Answer, bank: "SandboxBank", /) -> None:
        """Spoils what the bank answered; what it did is done."""

    def shows(self, shown: Shown, /) -> Shown:
        """Changes what an account shows, in both banks and dialects."""
        return shown

    def command(self, command: Command, /) -> None:
        """Decides how an import will end, when it starts."""

    def meets(self, call: Call) -> bool:
        """Returns whether this request is a victim."""
        return self.bank in (None, call.bank) and self.path_contains in call.path

    def take(self) -> bool:
        """Uses up one of its times; returns whether it happens now."""
        with self._lock:
            if self.times is None:
                return True
            self.times -= 1
            return self.times >= 0


def names(account: str | None, own: Account) -> bool:
    """Returns whether a fault's `account` means this one."""
    return account is None or account in (own.key, own.number, own.name)


class SandboxBank:
    """A running sandbox: where it is, whose world it serves, and what it was asked."""

    def __init__(self, world: World, faults: "tuple[Fault, ...]", dialect: Dialect, page_size: int, rules: Rules) -> None:
        self.world = world
        self.dialect = dialect
        self.faults: list[Fault] = list(faults)
        """May be changed at any time."""
        self.requests: list[tuple[str, str]] = []
        """Method and path of every request, in the order they came; the control surface is not in it."""
        self.url = ""
        self.latency = 0.0
        """Seconds before every answer."""
        self.life_goes_on = False
        """Whether a new day on the clock brings its payments by itself."""
        self.kontist = Kontist(world, page_size, self._shown)
        self.kontomatik = Kontomatik(world, rules)
        rules.shown, rules.on_command = self._shown, self._on_command
        self._serves: OpenApi | Live | None = None
        self._control = Control(world, self.kontist.oauth)
        self._closing = Event()
        self._lock = Lock()
        self.connections: dict[socket.socket, Thread] = {}

    def count(self, method: str | None = None, path_contains: str = "") -> int:
        """Returns how many requests had this method and such a path."""
        seen = list(self.requests)
        return sum(method in (None, asked) and path_contains in path for asked, path in seen)

    def wait(self, seconds: float) -> None:
        """Waits, but not for a bank that closes."""
        self._closing.wait(seconds)

    def answer(self, call: Call) -> Answer:
        """Returns the bank's answer to one request, faults included."""
        if call.path.startswith("/_sandbox"):
            with self.world.lock:
                return self._control.answer(call)
        with self._lock:
            self.requests.append((call.method, call.path))
        if self.latency:
            self.wait(self.latency)
        faults = list(self.faults)
        for fault in faults:
            instead = fault.before(call, self)
            if instead is not None:
                return instead
        with self.world.lock:
            if self.life_goes_on and self.world.clock.day() > self.world.today:
                self.world.live((self.world.clock.day() - self.world.today).days)
            answer = self._answer(call)
        for fault in faults:
            fault.after(call, answer, self)
        return answer

    def _answer(self, call: Call) -> Answer:
        if call.path.startswith("/api/"):
            return self.kontist.answer(call)
        if not call.path.startswith(("/v1/", "/kontobank/")):
            return problem(404, "Not Found")
        if self._serves is None:
            self._serves = (Live if self.dialect == "live" else OpenApi)(self.kontomatik, self.url)
        try:
            return self._serves.answer(call)
        except Refusal as refusal:
            return refused(refusal, self.world.clock.now())

    def _shown(self, account: Account) -> Shown:
        shown = Shown(account, account.newest_first())
        for fault in self.faults:
            shown = fault.shows(shown)
        return shown

    def _on_command(self, command: Command) -> None:
        for fault in self.faults:
            fault.command(command)

    def close(self) -> None:
        """Ends what still waits, and every open connection."""
        self._closing.set()
        for connection, thread in list(self.connections.items()):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(2)
