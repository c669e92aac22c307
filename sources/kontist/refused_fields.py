"""Remembers the optional fields that the live service has refused, from one read to the next.

Each refused field costs a request. The service may learn a field later, and its address may change: then all are asked for anew.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from sources._cursors import overdue

FieldName = tuple[str, str]
"""A type of the schema and one of its fields."""
STATE = "refused_fields"
"""Name of the note in the state of dlt."""


@dataclass(frozen=True)
class RefusedFields:
    """Keeps the refused fields of one service in `note`, which is JSON: `service`, `since` (the first refusal), `fields`.

    A note of another service, or one that is `days` old on the day `today`, is emptied.
    """

    note: dict[str, Any]
    base_url: str
    today: date
    days: int

    def __post_init__(self) -> None:
        if self.note and (self.note.get("service") != self._service or overdue(self.note["since"], self.days, self.today)):
            self.note.clear()

    def known(self) -> set[FieldName]:
        """Returns the fields of the note, as (type, field)."""
        return {(kind, name) for kind, _, name in (one.partition(".") for one in self.note.get("fields", ()))}

    def add(self, names: Iterable[FieldName]) -> None:
        """Notes further refused fields."""
        fields = {f"{kind}.{name}" for kind, name in self.known() | set(names)}
        since = self.note.get("since", self.today.isoformat())
        self.note.update({"service": self._service, "since": since, "fields": sorted(fields)})

    @property
    def _service(self) -> str:
        return hashlib.sha256(self.base_url.rstrip("/").encode()).hexdigest()[:16]
