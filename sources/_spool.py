"""Keeps the transactions of one account on disk, on their way from the bank to raw history."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

# Fields whose values name nobody: shown in quarantine as they are. Of every other value only its shape is kept.
HARMLESS = frozenset(
    {"id", "amount", "type", "category", "status", "currency", "date", "kind", "label", "paymentMethod", "reoccurrence"}
    | {"bookingDate", "booking_date", "valutaDate", "valuta_date", "bookingType", "booking_type"}
    | {"originalAmount", "original_amount", "foreignCurrency", "foreign_currency", "nextOccurrence", "lastExecutionDate"}
    | {"transactionOn", "bookedOn", "currencyAmount", "currencyBalance"}
    | {"window_on", "transaction_on", "booked_on", "amount_cents", "booking_type"}
)


@dataclass(frozen=True)
class Rejected:
    """One row that cannot be understood, redacted."""

    reason: str
    payload: str
    window_on: date | None
    digest: str
    """Of the whole row, so that it is recognised when the bank shows it again."""

    @classmethod
    def of(cls, reason: str, payload: Mapping[str, Any], window_on: date | None) -> "Rejected":
        """Returns the row without its values about people and money."""
        whole = json.dumps(payload, sort_keys=True, default=str, ensure_ascii=False)
        digest = hashlib.sha256(whole.encode()).hexdigest()
        return cls(reason, json.dumps(redacted(payload), sort_keys=True), window_on, digest)


class SpoolFile:
    """Implements `sources._protocols.Spool`: rows go to a parquet file as they come, numbered in the bank's order."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self.rejected: list[Rejected] = []
        self.rows = 0
        self._in_front = 0
        self._schema = schema.append(pa.field("position", pa.int64(), nullable=False))
        self._writer: pq.ParquetWriter | None = None

    def add(self, rows: pa.RecordBatch) -> None:
        """Writes `rows` behind the ones before."""
        self._write(rows, self.rows)

    def add_in_front(self, rows: pa.RecordBatch) -> None:
        """Writes `rows` with positions below those of all others."""
        self._in_front += rows.num_rows
        self._write(rows, -self._in_front)

    def _write(self, rows: pa.RecordBatch, first: int) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self.path, self._schema, compression="zstd", compression_level=1)
        position = pa.array(range(first, first + rows.num_rows), pa.int64())
        self.rows += rows.num_rows
        self._writer.write_batch(pa.RecordBatch.from_arrays([*rows.columns, position], schema=self._schema))

    def reject(self, reason: str, payload: dict[str, Any], window_on: date | None) -> None:
        """Keeps a row for quarantine, without its values about people and money."""
        self.rejected.append(Rejected.of(reason, payload, window_on))

    def clear(self) -> None:
        """Deletes what was written, to start again."""
        self.close()
        self.path.unlink(missing_ok=True)
        self.rejected.clear()
        self.rows = self._in_front = 0

    def close(self) -> Path | None:
        """Finishes the file and returns its path; None when no row came."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        return self.path if self.rows else None


def redacted(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `payload` with every value that may name a person or an account replaced by its kind and length."""
    return {name: value if name in HARMLESS and _plain(value) else _shape(value) for name, value in payload.items()}


_PLAIN = re.compile(r"[-+]?\d{1,15}([.,]\d{1,6})?|[A-Za-z_]{1,30}|\d{4}-\d\d-\d\d([T ][\d:.]{5,15}(Z|[-+]\d\d:?\d\d)?)?")


def _plain(value: Any) -> bool:
    """Returns whether it is a number, a date or a code of one word: none can hold an account number or a full name."""
    return isinstance(value, bool | int | float) or (isinstance(value, str) and _PLAIN.fullmatch(value) is not None)


def _shape(value: Any) -> Any:
    match value:
        case None | bool():
            return value
        case str():
            return f"text of {len(value)}"
        case int() | float():
            return "number"
        case _:
            return type(value).__name__


class Spools:
    """Makes the spools of one import, in `work`, with the names `name`-1.parquet and so on."""

    def __init__(self, work: Path, name: str, schema: pa.Schema) -> None:
        self._work = work
        self._name = name
        self._schema = schema
        self._made = 0

    def new(self) -> SpoolFile:
        """Makes one more."""
        self._made += 1
        return SpoolFile(self._work / f"{self._name}-{self._made}.parquet", self._schema)
