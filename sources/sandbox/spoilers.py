"""Faults that spoil an answer: bytes that break, pages that do not add up, rows that surprise."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from .bank import Fault, names
from .banks.wire import Answer, Call

if TYPE_CHECKING:
    from .bank import SandboxBank

# ---- spoilt bytes


@dataclass(eq=False)
class _Spoils(Fault):
    """An answer with data, in one of two formats, comes out wrong."""

    times: int | None = field(default=1, kw_only=True)

    def after(self, call: Call, answer: Answer, _: "SandboxBank", /) -> None:
        data = answer.about in ("accounts", "page", "orders", "result")
        if data and self.meets(call) and self.wants(answer) and self.take():
            self.spoil(answer)

    def wants(self, answer: Answer) -> bool:
        return "xml" in answer.content_type

    def spoil(self, answer: Answer) -> None:
        raise NotImplementedError


class BrokenXml(_Spoils):
    """An import's result whose tags do not match."""

    def spoil(self, answer: Answer) -> None:
        head, _, tail = answer.body.rpartition(b"</currency")
        answer.body = head + b"</crurency" + tail


@dataclass(eq=False)
class TruncatedBody(_Spoils):
    """Half of the body. The length announced is the whole one's, and the connection breaks; or, not `announced`,
    half the body is all there ever was."""

    announced: bool = True

    def wants(self, answer: Answer) -> bool:
        return bool(answer.body)

    def spoil(self, answer: Answer) -> None:
        if self.announced:
            answer.sent = len(answer.body) // 2
        else:
            answer.body = answer.body[: len(answer.body) // 2]


class XmlBomb(_Spoils):
    """Entities within entities: a few hundred bytes that want to be gigabytes."""

    def spoil(self, answer: Answer) -> None:
        levels = "".join(f'<!ENTITY e{level} "{f"&e{level - 1};" * 10}">' for level in range(1, 10))
        _with_entity(answer, f'<!ENTITY e0 "ha">{levels}', "&e9;")


@dataclass(eq=False)
class ExternalEntity(_Spoils):
    """A document that asks its reader to fetch a file or an address."""

    address: str = "file:///etc/hostname"

    def spoil(self, answer: Answer) -> None:
        _with_entity(answer, f'<!ENTITY outside SYSTEM "{self.address}">', "&outside;")


def _with_entity(answer: Answer, entities: str, use: str) -> None:
    head, _, document = answer.body.partition(b"\n")
    match = re.match(rb"<(\w+)", document)
    root = match.group(1).decode() if match else "reply"
    document = document.replace(b"<name>", b"<name>" + use.encode(), 1)
    answer.body = head + f"\n<!DOCTYPE {root} [{entities}]>\n".encode() + document


# ---- pages that do not add up


@dataclass(eq=False)
class _PageFault(Fault):
    """Changes a page of Kontist transactions in its parsed form."""

    account: str | None = field(default=None, kw_only=True)

    def after(self, call: Call, answer: Answer, bank: "SandboxBank", /) -> None:
        if answer.about != "page" or answer.account is None or not self.meets(call):
            return
        content = json.loads(answer.body)
        if names(self.account, answer.account) and isinstance(content, dict):
            self.change(content, answer, bank)
            answer.body = json.dumps(content, ensure_ascii=False).encode()

    def change(self, page: dict[str, Any], answer: Answer, bank: "SandboxBank") -> None:
        raise NotImplementedError


@dataclass(eq=False)
class TokenExpires(Fault):
    """After this number of pages every auth token given before has expired."""

    after_pages: int = 1
    times: int | None = field(default=1, kw_only=True)
    _served: int = field(default=0, init=False)

    def after(self, call: Call, answer: Answer, bank: "SandboxBank", /) -> None:
        if answer.about != "page" or not self.meets(call):
            return
        with self._lock:
            self._served += 1
            reached = self._served % self.after_pages == 0
        if reached and self.take():
            bank.kontist.tokens.end_all("auth")


@dataclass(eq=False)
class PageShift(_PageFault):
    """Right after page `after_page`, something is booked: the next page begins with a row already seen.

    With `vanishes`, the newest row is taken back instead: the next page begins one row too late.
    """

    times: int | None = field(default=1, kw_only=False)
    after_page: int = 1
    vanishes: bool = False
    amount: Decimal = Decimal("-1.00")

    def change(self, _: dict[str, Any], answer: Answer, bank: "SandboxBank") -> None:
        if answer.account is None or answer.page != self.after_page or not self.take():
            return
        if self.vanishes:
            bank.world.delete(answer.account.newest_first()[0])
        else:
            bank.world.append(answer.account, amount=self.amount, description="booked while you read")


@dataclass(eq=False)
class RepeatedRow(_PageFault):
    """The last row of a page comes again as the first of the next (observed in 2018)."""

    times: int | None = field(default=None, kw_only=False)
    _last: dict[tuple[str, int], Any] = field(default_factory=dict, init=False)

    def change(self, page: dict[str, Any], answer: Answer, _: "SandboxBank") -> None:
        if answer.account is None or not page["results"]:
            return
        self._last[answer.account.key, answer.page] = page["results"][-1]
        before = self._last.get((answer.account.key, answer.page - 1))
        if before is not None and self.take():
            page["results"].insert(0, before)


@dataclass(eq=False)
class TotalChanges(_PageFault):
    """`total` is another number on every page."""

    def change(self, page: dict[str, Any], answer: Answer, _: "SandboxBank") -> None:
        if self.take():
            page["total"] += answer.page


@dataclass(eq=False)
class NextToForeignHost(_PageFault):
    """`next` leads to another server, which would see the token."""

    host: str = "http://127.0.0.1:9"

    def change(self, page: dict[str, Any], answer: Answer, _: "SandboxBank") -> None:
        if self.take():
            number = answer.account.number if answer.account else ""
            page["next"] = f"{self.host}/api/accounts/{number}/transactions?page={answer.page + 1}"


@dataclass(eq=False)
class NextLoop(_PageFault):
    """The `next` of page `at_page` is that page itself."""

    at_page: int = 1

    def change(self, page: dict[str, Any], answer: Answer, _: "SandboxBank") -> None:
        if answer.account is not None and answer.page == self.at_page and self.take():
            page["next"] = f"/api/accounts/{answer.account.number}/transactions?page={self.at_page}"


@dataclass(eq=False)
class OutOfOrderPage(_PageFault):
    """Page `page` lists oldest first."""

    page: int = 1

    def change(self, page: dict[str, Any], answer: Answer, _: "SandboxBank") -> None:
        if answer.page == self.page and self.take():
            page["results"].reverse()


# ---- rows that surprise


@dataclass(eq=False)
class UnknownField(Fault):
    """Every transaction has one field more than anybody knows."""

    name: str = "carbonFootprint"
    value: str = "12 g"

    def after(self, call: Call, answer: Answer, _: "SandboxBank", /) -> None:
        if answer.about not in ("page", "result") or not self.meets(call) or not self.take():
            return
        if answer.about == "page":
            _change_rows(answer, lambda rows: [row | {self.name: self.value} for row in rows])
        else:
            end = b"</%b>" % _row_tag(answer.body)
            answer.body = answer.body.replace(end, f"<{self.name}>{self.value}</{self.name}>".encode() + end)


@dataclass(eq=False)
class BadRow(Fault):
    """One row more that is unusable: no `amount`, or no `date`. It is in no total of the world's.

    First on page 1 at Kontist; first in the first account that has rows at Kontomatik.
    """

    what: Literal["amount", "date"] = "amount"
    account: str | None = None

    def after(self, call: Call, answer: Answer, _: "SandboxBank", /) -> None:
        if answer.about == "page" and answer.page == 1 and answer.account is not None:
            if self.meets(call) and names(self.account, answer.account) and self.take():
                _change_rows(answer, lambda rows: [self._bad(rows[0]), *rows] if rows else rows)
        elif answer.about == "result" and self.meets(call) and self.take():
            tag = _row_tag(answer.body)
            amount, day = rb"<(?:currencyA|a)mount>", rb"<(?:transactionOn|bookedOn|date)>"
            first = re.search(rb"<%b>.*?</%b>" % (tag, tag), answer.body, re.DOTALL)
            if first is not None:
                bad = re.sub(rb"(%b)[^<]*" % (amount if self.what == "amount" else day), rb"\1soon", first[0])
                answer.body = answer.body[: first.start()] + bad + answer.body[first.start() :]

    def _bad(self, row: dict[str, Any]) -> dict[str, Any]:
        wrong = {"amount": None} if self.what == "amount" else {"bookingDate": "soon", "valutaDate": "soon"}
        return row | wrong | {"id": row["id"] + 1_000_000_000}


@dataclass(eq=False)
class LegacyRows(Fault):
    """Kontist answers as before 2018, whatever is asked: one bare array, snake_case, unsigned, `from` and `to`."""

    def after(self, call: Call, answer: Answer, bank: "SandboxBank", /) -> None:
        if answer.about != "page" or answer.account is None or not self.meets(call) or not self.take():
            return
        call.headers["accept"], call.query = "", {}
        with bank.world.lock:
            whole = bank.kontist.answer(call)
        number = int(answer.account.number or 0)
        rows = [_legacy(row, number) for row in json.loads(whole.body)]
        answer.body = json.dumps(rows, ensure_ascii=False).encode()


def _legacy(row: dict[str, Any], account: int) -> dict[str, Any]:
    old = {re.sub("([A-Z])", lambda match: f"_{match[0].lower()}", name): value for name, value in row.items()}
    out, pending = row["amount"] < 0, row["valutaDate"] is None
    ends = {"from": account if out else None, "to": None if out else account, "pending_from": account if pending else None}
    return old | ends | {"amount": abs(row["amount"]), "date": row["bookingDate"]}


def _row_tag(body: bytes) -> bytes:
    """Returns the element of one transaction: live, the specification with its arrays wrapped, and without."""
    return next((tag for tag in (b"moneyTransaction", b"Transaction") if b"<%b>" % tag in body), b"transactions")


def _change_rows(answer: Answer, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    content = json.loads(answer.body)
    if isinstance(content, dict):
        content["results"] = change(content["results"])
    else:
        content = change(content)
    answer.body = json.dumps(content, ensure_ascii=False).encode()
