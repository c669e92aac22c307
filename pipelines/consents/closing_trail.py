"""The trail of closed months: who closed or reopened which month, when, and a fingerprint of its figures.

The records of one raw history are a chain: each holds the hash of the one before. So a record that was removed, altered or put in
between shows. A record names no account and holds no amount. The figures stand beside it and are removed with their account; the
chain still holds then, and a record says which figures went.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal

import sqlalchemy as sql

from pipelines.consents.database import Database
from pipelines.consents.tables import closing_figures, closings
from pipelines.store.sql import as_text

BEGINNING = "0" * 64
"""The hash before that of the first record."""
What = Literal["closed", "reopened", "erased"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """The content of a record to be added. `figures` is one line of text about `account_id`."""

    what: What
    month: str
    """YYYY-MM; empty where accounts were erased."""
    account_id: str
    figures: str
    at: datetime
    who: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record of the trail."""

    number: int
    at: str
    who: str
    what: str
    month: str
    reason: str
    figures_sha256: str
    previous: str
    hash: str
    account_id: str | None
    figures: str | None
    """None where the account was erased."""

    @property
    def computed(self) -> str:
        """Returns the hash that its content has."""
        said = [self.number, self.at, self.who, self.what, self.month, self.reason, self.figures_sha256, self.previous]
        return sha256(json.dumps(said, ensure_ascii=False, separators=(",", ":")))


def sha256(text: str) -> str:
    """Returns the SHA-256 of a text in UTF-8, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


class ClosingTrail:
    """The trail of one raw history."""

    def __init__(self, database: Database, history_id: str) -> None:
        self._database = database
        self._history_id = history_id

    def records(self) -> list[Record]:
        """Returns every record with its figures, oldest first."""
        with self._database.reading() as connection:
            return self._records(connection)

    def append(self, events: Sequence[Event]) -> list[Record]:
        """Adds a record for each event, all or none; returns them."""
        with self._database.transaction() as connection:
            self._lock(connection)
            return self._append(connection, events)

    def forget(self, account_ids: Iterable[str], now: datetime, who: str) -> int:
        """Removes the figures of erased accounts, and adds a record with the numbers of their records; returns the count."""
        wanted = set(account_ids)
        with self._database.transaction() as connection:
            self._lock(connection)
            gone = [one for one in self._records(connection) if one.account_id in wanted]
            if not gone:
                return 0
            connection.execute(closing_figures.delete().where(closing_figures.c.hash.in_([one.hash for one in gone])))
            figures = json.dumps({"records": [one.number for one in gone], "salt": secrets.token_hex(16)}, sort_keys=True)
            event = Event(what="erased", month="", account_id="", figures=figures, at=now, who=who)
            self._append(connection, [event])
            return len(gone)

    def _lock(self, connection: sql.Connection) -> None:
        self._database.lock(connection, [f"closings {self._history_id}"])

    def _append(self, connection: sql.Connection, events: Sequence[Event]) -> list[Record]:
        last = (
            sql.select(closings.c.number, closings.c.hash)
            .where(closings.c.history_id == self._history_id)
            .order_by(closings.c.number.desc())
            .limit(1)
        )
        found = connection.execute(last).first()
        number, previous = (found.number, found.hash) if found else (0, BEGINNING)
        added: list[Record] = []
        for one in events:
            number += 1
            record = _record(number, previous, one)
            previous = record.hash
            row = {name: value for name, value in vars(record).items() if name not in ("account_id", "figures")}
            connection.execute(closings.insert().values(history_id=self._history_id, **row))
            connection.execute(closing_figures.insert().values(hash=record.hash, account_id=one.account_id, figures=one.figures))
            added.append(record)
        return added

    def _records(self, connection: sql.Connection) -> list[Record]:
        query = (
            sql.select(closings, closing_figures.c.account_id, closing_figures.c.figures)
            .join(closing_figures, closing_figures.c.hash == closings.c.hash, isouter=True)
            .where(closings.c.history_id == self._history_id)
            .order_by(closings.c.number)
        )
        return [_read(row) for row in connection.execute(query)]


def standing(records: Iterable[Record]) -> dict[tuple[str, str], Record]:
    """Returns the record of each account and month that is closed, those of erased accounts left out."""
    found: dict[tuple[str, str], Record] = {}
    for one in records:
        if one.account_id is None:
            continue
        key = (one.account_id, one.month)
        if one.what == "closed":
            found[key] = one
        elif one.what == "reopened":
            found.pop(key, None)
    return found


def faults(records: Sequence[Record]) -> list[str]:
    """Returns a sentence for each place where the trail is not as it was written."""
    found: list[str] = []
    previous, expected = BEGINNING, 1
    erased: set[int] = set()
    for one in records:
        if one.what == "erased" and one.figures is not None:
            erased |= set(json.loads(one.figures)["records"]) if one.figures_sha256 == sha256(one.figures) else set()
    for one in records:
        if one.number != expected:
            found.append(f"record {expected} is missing: record {one.number} follows record {expected - 1}")
        elif one.previous != previous:
            found.append(f"record {one.number} does not follow record {one.number - 1}: one of them was replaced")
        if one.computed != one.hash:
            found.append(f"record {one.number} was altered: its hash is of another content")
        if one.figures is None and one.number not in erased:
            found.append(f"the figures of record {one.number} are missing, and no erasure removed them")
        elif one.figures is not None and sha256(one.figures) != one.figures_sha256:
            found.append(f"the figures of record {one.number} were altered")
        elif one.figures is not None and not _is_of_its_month(one):
            found.append(f"the figures of record {one.number} are kept with another account, or are of another month")
        previous, expected = one.hash, one.number + 1
    return found


def _is_of_its_month(record: Record) -> bool:
    """Returns whether the figures are of the account beside them, which no hash covers, and of the month of the record."""
    if record.what == "erased" or record.figures is None:
        return True
    known = json.loads(record.figures)
    return (known.get("account_id"), known.get("month")) == (record.account_id, record.month)


def dated_back(records: Sequence[Record]) -> list[str]:
    """Returns a sentence for each record that is dated before the one that it follows: a clock was set back, or was ahead."""
    return [
        f"record {one.number} is dated {one.at}, before record {before.number} ({before.at}): a clock was wrong"
        for before, one in pairwise(records)
        if one.at < before.at
    ]


def _record(number: int, previous: str, event: Event) -> Record:
    unsigned = Record(
        number=number,
        at=as_text(event.at),
        who=event.who,
        what=event.what,
        month=event.month,
        reason=event.reason,
        figures_sha256=sha256(event.figures),
        previous=previous,
        hash="",
        account_id=event.account_id,
        figures=event.figures,
    )
    return Record(**vars(unsigned) | {"hash": unsigned.computed})


def _read(row: sql.Row[Any]) -> Record:
    names = ("number", "at", "who", "what", "month", "reason", "figures_sha256", "previous", "hash", "account_id", "figures")
    return Record(**{name: getattr(row, name) for name in names})
