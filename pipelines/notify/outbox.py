"""Keeps every notice until each recipient has it.

The outbox is a file of its own in the data directory, not a table of the vault: notifications must not be able to damage, or
wait for, what guards tokens and quotas. If it is lost, some notices are sent twice.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic

from pipelines.notify.notices import LASTING, NEWS, Kind, Notice
from pipelines.store.private import make_folder
from pipelines.store.sql import as_text

_TABLES = """
create table if not exists notices (
    number integer primary key, kind text not null, key text not null, raised_at text not null, ended_at text,
    subject text not null, text text not null, payload text not null
);
create unique index if not exists one_at_a_time on notices (kind, key) where ended_at is null;
create table if not exists sent (
    number integer not null references notices, recipient text not null, sent_at text not null, primary key (number, recipient)
);
"""

Send = Callable[[Notice], bool]
"""Sends one notice; says whether it arrived. What it raises counts as no."""
Digest = Callable[[list[Notice]], Notice]
"""Makes one notice of several."""
KEPT = timedelta(days=90)
"""Since it was raised, a notice of what is over. News stays: by it the outbox knows what it has met."""
PATIENCE = 20.0
"""Seconds that a recipient's failures may take in one round: a refusal takes milliseconds, a server that is away seconds."""


@dataclass
class Delivery:
    """What came of one round, by recipient."""

    sent: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)

    def sentences(self) -> list[str]:
        """Returns for people what could not be sent."""
        return [
            f"{count} notice{'s' if count != 1 else ''} could not be sent by {recipient}; the next run tries again"
            for recipient, count in sorted(self.waiting.items())
        ]


class Outbox:
    """`outbox.sqlite` in the data directory. Raises `sqlite3.Error` or `OSError` when it cannot be used."""

    def __init__(self, data_dir: Path) -> None:
        make_folder(data_dir)
        self._path = data_dir / "outbox.sqlite"
        if not self._path.exists():
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        with self._open() as connection:
            connection.executescript(_TABLES)

    def put(self, notices: Iterable[Notice], now: datetime) -> list[Notice]:
        """Stores the notices that are new; returns them."""
        with self._open() as connection:
            return [notice for notice in notices if self._put(connection, notice, now)]

    def put_over(self, notice: Notice, now: datetime) -> None:
        """Stores a notice that another outbox has met as new: it is sent once, whatever was met before."""
        with self._open() as connection:
            self._put(connection, notice, now, over=True)

    def hold(self, kind: Kind, notices: Iterable[Notice], now: datetime) -> list[Notice]:
        """Replaces the open notices of a lasting `kind`: stores the new ones, ends the others; returns the new ones."""
        if kind not in LASTING:
            raise ValueError(f"{kind} is nothing that ends")
        current = list(notices)
        with self._open() as connection:
            fresh = [notice for notice in current if self._put(connection, notice, now)]
            keys = json.dumps([notice.key for notice in current])
            connection.execute(
                "update notices set ended_at = ? where kind = ? and ended_at is null"
                " and key not in (select value from json_each(?))",
                (as_text(now), kind, keys),
            )
        return fresh

    def deliver(self, recipients: dict[str, Send], now: datetime, *, digest: Digest | None = None) -> Delivery:
        """Sends each recipient its pending notices, oldest first; a failed one is left to the next round.

        With `digest` a recipient is sent one notice that it makes of all pending ones.

        A refused notice does not stop the later ones: they are tried all the same, until failures took `PATIENCE`. A notice that
        is older than `NEWS` is given up. One that is over and older than `KEPT` is removed. Two processes never deliver at once,
        so nothing is sent twice by that.
        """
        from pipelines.store.lock import locked

        delivery = Delivery()
        with locked(self._path.with_name("outbox.lock"), patience=120):
            for recipient, send in recipients.items():
                sent, waiting = (
                    self._send_all(recipient, send, now) if digest is None else self._send_one(recipient, send, now, digest)
                )
                if sent:
                    delivery.sent[recipient] = sent
                if waiting:
                    delivery.waiting[recipient] = waiting
            self._tidy(now)
        return delivery

    def _send_all(self, recipient: str, send: Send, now: datetime) -> tuple[int, int]:
        """Sends a recipient its pending notices; returns how many arrived, and how many are still pending."""
        waiting, sent, patience = self._waiting(recipient, now), 0, PATIENCE
        for number, notice in waiting:
            begun = monotonic()
            if arrived(send, notice):
                with self._open() as connection:
                    connection.execute("insert or ignore into sent values (?, ?, ?)", (number, recipient, as_text(now)))
                sent += 1
                continue
            patience -= monotonic() - begun
            if patience <= 0:
                break
        return sent, len(waiting) - sent

    def _send_one(self, recipient: str, send: Send, now: datetime, digest: Digest) -> tuple[int, int]:
        """Sends a recipient one notice of all that are pending; returns how many arrived by it, and how many still wait."""
        waiting = self._waiting(recipient, now)
        if not waiting or not arrived(send, digest([notice for _, notice in waiting])):
            return 0, len(waiting)
        with self._open() as connection:
            rows = [(number, recipient, as_text(now)) for number, _ in waiting]
            connection.executemany("insert or ignore into sent values (?, ?, ?)", rows)
        return len(waiting), 0

    def _tidy(self, now: datetime) -> None:
        over = "select number from notices where ended_at < ? and raised_at < ?"
        before = (as_text(now - KEPT), as_text(now - KEPT))
        with self._open() as connection:
            connection.execute(f"delete from sent where number in ({over})", before)
            connection.execute(f"delete from notices where number in ({over})", before)

    def _waiting(self, recipient: str, now: datetime) -> list[tuple[int, Notice]]:
        query = """
            select number, kind, key, subject, text, payload from notices
            where raised_at >= ? and number not in (select number from sent where recipient = ?)
            order by number
            """
        with self._open() as connection:
            found = connection.execute(query, (as_text(now - NEWS), recipient)).fetchall()
        return [
            (number, Notice(kind, key, subject, text, json.loads(payload))) for number, kind, key, subject, text, payload in found
        ]

    @staticmethod
    def _put(connection: sqlite3.Connection, notice: Notice, now: datetime, *, over: bool = False) -> bool:
        at = as_text(now)
        values = (notice.kind, notice.key, at, at if over else None, notice.subject, notice.text, json.dumps(notice.payload))
        query = (
            "insert or ignore into notices (kind, key, raised_at, ended_at, subject, text, payload) values (?, ?, ?, ?, ?, ?, ?)"
        )
        return connection.execute(query, values).rowcount == 1

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=30)) as connection, connection:
            connection.execute("pragma foreign_keys = on")
            yield connection


def arrived(send: Send, notice: Notice) -> bool:
    """Sends a notice; returns whether it arrived. Never raises."""
    try:
        return send(notice)
    except Exception:  # a channel that fails must not cost the run; it is tried again
        return False
