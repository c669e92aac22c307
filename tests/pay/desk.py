"""A customer at the terminal, the sandbox bank behind it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from pipelines.consents.vault import Vault
from pipelines.pay.paying import Desk, Intent
from sources._http import Http, Patience
from sources.kontist.accounts import Account
from sources.kontist.auth import Login
from sources.kontist.client import KontistClient
from sources.kontist.payments import Done, Payment, Payments
from sources.sandbox import Fault, SandboxBank, World, running

RENT = Payment("Vermieterin Beispiel", "DE89370400440532013000", 85_000, "Miete", "RENT-1")


@dataclass
class Typing:
    """Answers in turn; `tan` stands for the last one that the bank sent to the phone."""

    world: World
    answers: list[str]
    heard: list[str] = field(default_factory=list)

    def show_line(self, line: str) -> None:
        self.heard.append(line)

    def ask(self, question: str) -> str:
        self.heard.append(question)
        answer = self.answers.pop(0)
        return last_tan(self.world) if answer == "tan" else answer


def last_tan(world: World) -> str:
    return world.text_messages[-1].rpartition(" ")[2]


@dataclass
class Counter:
    """A place to pay at, and what came of it."""

    bank: SandboxBank
    client: KontistClient
    account: Account
    vault: Vault
    slept: list[float]

    @property
    def world(self) -> World:
        return self.bank.world

    @property
    def payments(self) -> Payments:
        return Payments(self.client, self.account)

    def pay(self, intent: Intent, answers: Sequence[str] = ("yes", "tan")) -> tuple[Done, Typing]:
        person = Typing(self.world, list(answers))
        desk = Desk(self.vault, "kontist", person, self.world.clock.now)
        return desk.carry_out(self.payments, self.account, intent), person

    def transfer(self, payment: Payment = RENT, answers: Sequence[str] = ("yes", "tan")) -> tuple[Done, Typing]:
        intent = Intent("transfer: 850.00 EUR to …3000", lambda bank: bank.transfer(payment), (("to", payment.recipient),))
        return self.pay(intent, answers)

    def trail(self) -> list[str]:
        return [one.outcome for one in self.vault.trail()]

    def asked(self) -> list[str]:
        """What was asked of the bank about payments, method and the end of the path."""
        return [f"{method} {path.partition('/4711/')[2].split('/')[0]}" for method, path in self.bank.requests if method != "GET"
                and "/accounts/" in path]  # fmt: skip


@contextmanager
def a_counter(folder: Path, *faults: Fault, transport: httpx.BaseTransport | None = None) -> Iterator[Counter]:
    world = World(transactions=60)
    with running(world, *faults) as bank:
        slept: list[float] = []
        http = Http("kontist", bank.url, patience=Patience((1.0, 4.0), slept.append), transport=transport)
        login = Login(world.kontist_email, world.kontist_password)
        client = KontistClient(http, login, clock=lambda: world.clock.now().timestamp())
        vault = Vault(folder / "vault.sqlite", None, who="ada")
        try:
            yield Counter(bank, client, client.accounts()[0], vault, slept)
        finally:
            vault.close()
            http.close()


def answering(answer: Callable[[httpx.Request], httpx.Response]) -> Any:
    """Payments at a bank that answers so; tokens are no matter."""
    asked: list[httpx.Request] = []

    def reply(request: httpx.Request) -> httpx.Response:
        if "/api/user/" in request.url.path:
            return httpx.Response(200, json={"token": "t"})
        asked.append(request)
        return answer(request)

    slept: list[float] = []
    http = Http("kontist", "https://kontist.test", patience=Patience((1.0,), slept.append), transport=httpx.MockTransport(reply))
    client = KontistClient(http, Login(refresh_token="r"))
    return Payments(client, Account("kontist:0", "4711", {})), asked, slept
