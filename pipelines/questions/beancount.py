"""Writes the journal for beancount. Assertions hold to the cent (`~ 0.00`): its own tolerance would let one cent pass."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from pipelines.questions.journal_events import Balance, Entry, Event, Head, Opened, Price, one_line


def lines(events: Iterable[Event]) -> Iterator[str]:
    """Yields the journal, line by line."""
    last: type[Event] | None = None
    for event in events:
        if last is not None and last is not type(event) and last in (Head, Opened, Price):
            yield ""
        last = type(event)
        match event:
            case Head():
                yield 'option "title" "kontoledger"'
                if event.reporting_currency:
                    yield f'option "operating_currency" "{event.reporting_currency}"'
            case Opened():
                yield f"{event.day} open {event.account} {','.join(event.currencies)}"
                yield f'  description: "{_text(event.description)}"'
            case Price():
                yield f"{event.day} price EUR {event.price}"
            case Entry():
                yield from _entry(event)
            case Balance():  # it holds at the beginning of its day
                money = event.holds
                day = event.day + timedelta(days=1)
                yield f"{day} balance {event.account}  {money.amount} ~ 0.00 {money.currency}"


def _entry(entry: Entry) -> Iterator[str]:
    texts = [entry.payee, entry.narration] if entry.payee or entry.about else [entry.narration]
    link = f" ^{entry.transfer_id}" if entry.transfer_id else ""
    shown = " ".join(f'"{_text(text)}"' for text in texts)
    yield f"{entry.day} * {shown}{link}{' #difference' if entry.differs else ''}"
    for name, value in entry.about.items():
        yield f'  {name}: "{_text(value)}"'
    for account, money in entry.legs:
        yield f"  {account}  {money}"
    yield ""


def _text(text: str) -> str:
    """Returns text for inside quotes: one line, quotes and backslashes escaped."""
    return one_line(text).replace("\\", "\\\\").replace('"', '\\"')
