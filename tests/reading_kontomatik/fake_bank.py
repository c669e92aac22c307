"""A Kontomatik in memory: answers that a test lines up, a spool that keeps rows, and short ways to write replies."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import httpx
import pyarrow as pa

from sources._http import Http, Patience
from sources.kontomatik.client import KontomatikClient
from sources.kontomatik.reply import read_reply
from sources.kontomatik.results import AccountRead, ImportResult, Reply
from sources.kontomatik.rows import ROWS

BASE = "https://kontomatik.test/v1"
KEY = "sk-very-secret-4242"
TODAY = date(2031, 3, 4)


@dataclass
class Kept:
    """A spool in memory."""

    batches: list[pa.RecordBatch] = field(default_factory=list)
    rejected: list[tuple[str, dict[str, Any], date | None]] = field(default_factory=list)
    cleared: int = 0

    def add(self, rows: pa.RecordBatch) -> None:
        assert rows.schema == ROWS
        rows.validate(full=True)
        assert all(rows.column(one.name).null_count == 0 for one in ROWS if not one.nullable)
        self.batches.append(rows)

    def reject(self, reason: str, payload: dict[str, Any], window_on: date | None) -> None:
        self.rejected.append((reason, payload, window_on))

    def clear(self) -> None:
        self.batches.clear()
        self.rejected.clear()
        self.cleared += 1

    @property
    def rows(self) -> list[dict[str, Any]]:
        return pa.Table.from_batches(self.batches, ROWS).to_pylist()


def read(document: str | bytes, **options: Any) -> Reply:
    body = document.encode() if isinstance(document, str) else document
    return read_reply([body], Kept, **options)


def result_of(document: str | bytes, **options: Any) -> ImportResult:
    reply = read(document, **options)
    assert reply.state == "done", reply
    assert reply.result is not None
    return reply.result


def rows_of(account: AccountRead) -> list[dict[str, Any]]:
    assert isinstance(account.spool, Kept)
    return account.spool.rows


def rejected_of(account: AccountRead) -> list[tuple[str, dict[str, Any], date | None]]:
    assert isinstance(account.spool, Kept)
    return account.spool.rejected


IBAN = "PL45999900010000000000004242"


def element(name: str, value: object) -> str:
    return "" if value is None else f"<{name}>{value}</{name}>"


def live_row(day: str | None = "2031-03-02", amount: str | None = "-14.90", more: str = "", booked: str | None = None) -> str:
    return (
        f"<moneyTransaction>{element('transactionOn', day)}{element('bookedOn', booked or day)}"
        f"{element('currencyAmount', amount)}{more}</moneyTransaction>"
    )


def live_account(*rows: str, iban: str | None = IBAN, currency: str | None = "PLN", more: str = "", marks: str = "") -> str:
    return (
        f"<account{marks}>{element('iban', iban)}{element('currencyName', currency)}{more}"
        f"<moneyTransactions>{''.join(rows)}</moneyTransactions></account>"
    )


def live(*accounts: str, cards: str = "", owners: str = "", state: str = "successful", more: str = "") -> str:
    return (
        f'<reply status="200 OK"><command id="700" state="{state}" name="DefaultImportCommand" target="KontoBankApi"'
        f' institution="KontoBank"><progress><value>0</value></progress>{more}<result><owners>{owners}</owners>'
        f"<accounts>{''.join(accounts)}</accounts><creditCards>{cards}</creditCards></result></command></reply>"
    )


def open_row(day: str | None = "2031-03-02", amount: str | None = "-14.90", currency: str | None = "PLN", more: str = "") -> str:
    return f"<transactions>{element('date', day)}{element('amount', amount)}{element('currency', currency)}{more}</transactions>"


def open_account(*rows: str, number: str | None = IBAN, currency: str | None = "PLN", more: str = "") -> str:
    return f"<accounts>{element('number', number)}{element('currency', currency)}{more}{''.join(rows)}</accounts>"


def openapi(*accounts: str, status: str | None = "COMPLETED", more: str = "") -> str:
    return (
        f"<CommandResult><id>700</id>{element('status', status)}<target>KontoBankApi</target>{more}{''.join(accounts)}"
        "</CommandResult>"
    )


def live_command(state: str = "setup", command_id: str = "700", inside: str = "") -> str:
    return f'<reply status="202 Accepted"><command id="{command_id}" state="{state}">{inside}</command></reply>'


def exception(name: str) -> str:
    return f'<exception name="{name}"><message>about PL45999900010000000000004242</message></exception>'


Answer = httpx.Response | Exception | str | bytes | dict[str, Any]


@dataclass
class FakeBank:
    """Gives its answers one after another, the last one again and again, and remembers what it was asked."""

    answers: list[Answer]
    asked: list[httpx.Request] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        match answer:
            case httpx.Response():
                return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
            case Exception():
                raise answer
            case dict():
                return httpx.Response(200, json=answer)
            case _:
                return httpx.Response(200, content=answer)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds

    def client(self, dialect: Any, **options: Any) -> KontomatikClient:
        http = Http("kontomatik", BASE, patience=Patience((1.0,), self.sleep), transport=httpx.MockTransport(self))
        options = {"clock": lambda: self.seconds, "sleep": self.sleep, "today": lambda: TODAY} | options
        return KontomatikClient(http, KEY, dialect, **options)


def bank(*answers: Answer) -> FakeBank:
    return FakeBank(list(answers))


def in_pieces(body: bytes, sizes: Callable[[], int]) -> Iterator[bytes]:
    at = 0
    while at < len(body):
        size = sizes()
        yield body[at : at + size]
        at += size
