"""Limits the commands at once at Kontomatik over all hosts that share a vault in PostgreSQL.

The bank counts the commands of a client, whichever host they come from. A slot is an advisory lock of a session. The server
gives it back when the session ends: at once when its process dies, after half a minute when its host is gone.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import sqlalchemy as sql
from sqlalchemy.exc import DBAPIError

from pipelines.consents.database import Database

POLL = 0.25
"""Seconds between two attempts to get a slot."""


class SharedSlots:
    """The slots of one client of the bank. All threads of a process hold theirs in one session, which ends with the last."""

    def __init__(self, database: Database, api_key: str, slots: int, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Sets up `slots` slots for the client that has this key; nothing is opened yet."""
        self._database = database
        self._client = int.from_bytes(hashlib.blake2b(api_key.encode(), digest_size=4).digest(), signed=True)
        self._slots = range(max(1, slots))
        self._sleep = sleep
        self._guard = threading.Lock()
        self._session: sql.Connection | None = None
        self._users = 0
        self._held: set[int] = set()

    @contextmanager
    def slot(self) -> Iterator[int]:
        """Holds one of the slots while the block runs; waits until one is free.

        A session that is lost has lost its slots. The block goes on, and another process may get the slot: the bank refuses a
        command too many, and that is waited out. Raises `VaultBroken` when the database is away before the slot is had.
        """
        with self._guard:
            self._users += 1
        try:
            number = self._wait()
            try:
                yield number
            finally:
                self._give_back(number)
        finally:
            with self._guard:
                self._users -= 1
                if not self._users:
                    self._end_session()

    def _wait(self) -> int:
        while True:
            with self._guard:
                number = self._take_free()
                if number is not None:
                    self._held.add(number)
                    return number
            self._sleep(POLL)

    def _take_free(self) -> int | None:
        """Returns a slot that nobody held. A session can take its own locks twice, so its own slots are left out."""
        free = [number for number in self._slots if number not in self._held]
        if not free:
            return None
        if self._session is not None:
            try:
                return self._first(self._session, free)
            except DBAPIError:  # the server was started again, or has ended the session
                self._end_session()
        with self._database.failing_clearly():
            self._session = self._database.session()
            try:
                return self._begin(self._session, free)
            except DBAPIError:
                self._end_session()
                raise

    def _begin(self, session: sql.Connection, free: list[int]) -> int | None:
        for number in self._held:  # of a session that was lost, as far as nobody else has taken them since
            self._first(session, [number])
        return self._first(session, free)

    def _first(self, session: sql.Connection, numbers: list[int]) -> int | None:
        """Takes the first of these slots that nobody holds. `case` tries one after the other, and ends with the first."""
        tries = [(sql.func.pg_try_advisory_lock(self._client, number), number) for number in numbers]
        found: int | None = session.execute(sql.select(sql.case(*tries, else_=None))).scalar()
        return found

    def _give_back(self, number: int) -> None:
        with self._guard:
            self._held.discard(number)
            if self._session is not None:
                try:
                    self._session.execute(sql.select(sql.func.pg_advisory_unlock(self._client, number)))
                except DBAPIError:  # the slot went with the session
                    self._end_session()

    def _end_session(self) -> None:
        if self._session is not None:
            with suppress(DBAPIError):
                self._session.close()
        self._session = None
