"""Writes the journal for hledger. A balance is asserted in an entry of its own, after all other entries of its day."""

from collections.abc import Iterable, Iterator

from pipelines.questions.journal_events import Balance, Entry, Event, Head, Opened, Price, one_line

_OURS = str.maketrans({";": ",", "|": "/"})
"""Signs that begin a comment, and that divide payee and note."""


def lines(events: Iterable[Event]) -> Iterator[str]:
    """Yields the journal, line by line."""
    for event in events:
        match event:
            case Head():
                yield "; kontoledger"
                yield "decimal-mark ."
                yield from (f"commodity 1000.00 {currency}" for currency in event.currencies)
            case Opened():
                yield f"account {event.account}  ; {one_line(event.description)}".rstrip("; ")
            case Price():
                yield f"P {event.day} EUR {event.price}"
            case Entry():
                yield from _entry(event)
            case Balance():
                yield from ("", f"{event.day} * Balance that the bank gave")
                yield f"    {event.account}  0 {event.holds.currency} = {event.holds}"


def _entry(entry: Entry) -> Iterator[str]:
    payee, note = (one_line(text).translate(_OURS).strip() for text in (entry.payee, entry.narration))
    code = one_line(entry.about.get("transaction_id", "")).translate({ord("("): "", ord(")"): ""})
    yield ""
    # The code stands always: a description that begins with a bracket would be taken for one
    yield f"{entry.day} * ({code}) {' | '.join(text for text in (payee, note) if text)}".rstrip()
    tags = entry.about | ({"transfer_id": entry.transfer_id} if entry.transfer_id else {})
    for name, value in tags.items():
        yield f"    ; {name}: {one_line(value).replace(',', ' ')}"
    for account, money in entry.legs:
        yield f"    {account}  {money}"
