"""Transaction elements -> Arrow, column by column, in batches.

An element's texts are collected as they are; types are made for a whole batch at once, exactly: an amount becomes a decimal
from its text, never through a float, and never rounded. A row without a usable amount or day is rejected to quarantine; its
neighbours stay.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sources._columns import DAY, MONEY, TEXT, read_by_source
from sources._errors import SourceError
from sources._protocols import Spool
from sources.kontomatik.columns import TRANSACTIONS
from sources.kontomatik.errors import odd
from sources.kontomatik.safe_xml import as_json, name_of, nested, put, text_of

BATCH = 50_000
ROWS = read_by_source(TRANSACTIONS)

PLAIN_DECIMAL = r"^[+-]?[0-9]{1,13}(\.[0-9]{1,2})?$"
"""Below ten trillion: the ledger's DECIMAL(18, 2) needs room for sums and for hundredths."""
PLAIN_DAY = r"^(?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}$"
PLAIN_CURRENCY = r"^[A-Za-z]{3}$"

# One cell a column, in this order; `labels` and `extra` are JSON, `unusable` is why a row cannot be used.
CELLS = (
    "transaction_on",
    "booked_on",
    "amount",
    "currency",
    "balance_after",
    "title",
    "party",
    "party_iban",
    "kind",
    "status",
    "variable_symbol",
    "constant_symbol",
    "labels",
    "extra",
    "unusable",
)
LABELS, EXTRA, UNUSABLE = CELLS.index("labels"), CELLS.index("extra"), CELLS.index("unusable")
DECISIVE = frozenset({"transaction_on", "booked_on", "amount", "currency"})

LIVE = {
    "transactionOn": "transaction_on",
    "bookedOn": "booked_on",
    "currencyAmount": "amount",
    "currencyBalance": "balance_after",
    "currency": "currency",
    "currencyName": "currency",
    "title": "title",
    "party": "party",
    "partyIban": "party_iban",
    "kind": "kind",
    "status": "status",
    "variableSymbol": "variable_symbol",
    "constantSymbol": "constant_symbol",
}
"""Observed. A row has had no currency so far: the account's holds."""
OPENAPI = {
    "date": "booked_on",
    "amount": "amount",
    "currency": "currency",
    "description": "title",
    "counterpartyName": "party",
    "counterpartyAccount": "party_iban",
}
"""Published specification. It does not say whether its one date is the booking or the transaction day; it is taken as booked."""
LABEL_NAMES = frozenset({"labels", "label"})


class RowReader:
    """The rows of one account or card, into its spool.

    Rows wait in memory while their currency is unknown, which the bank may name behind them; otherwise memory is one batch.
    """

    def __init__(
        self, fields: Mapping[str, str], spool: Spool, account_currency: Callable[[], str | None], batch: int = BATCH
    ) -> None:
        self.spool = spool
        self._account_currency = account_currency
        self._currency: str | None = None
        self.unknown: set[str] = set()
        self._positions = {name: CELLS.index(column) for name, column in fields.items()}
        self._names = {column: name for name, column in reversed(list(fields.items()))}
        self._cells: list[Any] = []
        """Row behind row: one flat list, because thousands of small ones keep the garbage collector busy."""
        self._full = batch * len(CELLS)
        self._held: list[pa.RecordBatch] = []
        self._last_day: pa.Scalar = pa.scalar(None, DAY)
        self._last_order: pa.Scalar = pa.scalar(None, DAY)
        self._rising = 0
        self._falling = 0

    def read(self, row: Any) -> None:
        """Takes one row's element; it may be cleared afterwards."""
        cells: list[Any] = [None] * len(CELLS)
        positions = self._positions
        for one in row:
            at = positions.get(one.tag)
            if at is None or cells[at] is not None or len(one) or one.keys():
                self._unusual(one, cells)
            else:
                cells[at] = one.text
        if row.keys():
            self._attributes(row, cells)
        self._cells += cells
        if len(self._cells) >= self._full:
            self.flush()

    def finish(self) -> tuple[bool, SourceError | None]:
        """Ends the account's element; returns whether the newest row came first, and what went wrong."""
        self.flush()
        self._currency = self._account_currency()
        held, self._held = self._held, []
        for batch in held:
            if self._currency is None and batch.column("currency").null_count:
                self.spool.clear()
                return True, odd("neither an account nor its transactions name their currency")
            self._deliver(batch)
        return self._falling >= self._rising, None

    def flush(self) -> None:
        """Types the rows collected so far and hands them on."""
        if not self._cells:
            return
        cells, self._cells = self._cells, []
        texts = {name: cells[at :: len(CELLS)] for at, name in enumerate(CELLS)}
        columns, reasons, days = _typed(texts, self._names)
        bad = pc.is_valid(reasons)
        if pc.any(bad).as_py():
            self._reject(texts, reasons, days)
            keep = pc.invert(bad)
            columns = {name: column.filter(keep) for name, column in columns.items()}
        self._last_day = _last_known(days, self._last_day)
        batch = pa.RecordBatch.from_arrays([columns[field.name] for field in ROWS], names=ROWS.names)
        self._watch_order(batch)
        if self._currency is None:
            self._currency = self._account_currency()
        if self._held or (self._currency is None and batch.column("currency").null_count):
            self._held.append(batch)
        else:
            self._deliver(batch)

    def _deliver(self, batch: pa.RecordBatch) -> None:
        if not batch.num_rows:
            return
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        if self._currency is not None:
            columns["currency"] = columns["currency"].fill_null(self._currency)
        self.spool.add(pa.RecordBatch.from_arrays([columns[field.name] for field in ROWS], schema=ROWS))

    def _unusual(self, one: Any, cells: list[Any]) -> None:
        """Takes a label, an undescribed field, one that comes twice, or one with attributes or children."""
        name = one.tag if one.tag in LABEL_NAMES else name_of(one)
        if name in LABEL_NAMES:
            if cells[LABELS] is None:
                cells[LABELS] = []
            cells[LABELS] += [label.text for label in one] or [one.text]
            return
        at = self._positions.get(name)
        if at is not None and not len(one):
            self._attributes(one, cells, name)
            if cells[at] is None:
                cells[at] = one.text
                return
            if CELLS[at] in DECISIVE:
                if (text_of(one) or "") != cells[at].strip():
                    cells[UNUSABLE] = f"{name} is given twice"
                return
        self._keep(cells, name, nested(one))

    def _attributes(self, element: Any, cells: list[Any], name: str = "") -> None:
        for key, value in element.items():
            if not key.startswith("{"):  # xsi:nil and its like say nothing about the row
                self._keep(cells, f"{name}@{key}", value)

    def _keep(self, cells: list[Any], name: str, value: Any) -> None:
        self.unknown.add(f"transaction.{name}")
        if cells[EXTRA] is None:
            cells[EXTRA] = {}
        put(cells[EXTRA], name, value)

    def _reject(self, texts: Mapping[str, Sequence[Any]], reasons: pa.Array, days: pa.Array) -> None:
        known = _neighbours(days, self._last_day)
        for at in pc.indices_nonzero(pc.is_valid(reasons)).to_pylist():
            self.spool.reject(
                reasons[at].as_py(), self._payload({name: column[at] for name, column in texts.items()}), known[at].as_py()
            )

    def _payload(self, cells: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the bank's row in the bank's words."""
        payload = {name: cells[column] for column, name in self._names.items() if cells[column] is not None}
        labels = _labels(tuple(cells["labels"])) if cells["labels"] else None
        return payload | ({"labels": json.loads(labels)} if labels else {}) | (cells["extra"] or {})

    def _watch_order(self, batch: pa.RecordBatch) -> None:
        if not batch.num_rows:
            return
        days = pc.coalesce(batch.column("booked_on"), batch.column("window_on"))
        if self._last_order.is_valid:
            days = pa.concat_arrays([pa.array([self._last_order.as_py()], DAY), days])
        before, after = days[:-1], days[1:]
        self._rising += pc.sum(pc.less(before, after)).as_py() or 0
        self._falling += pc.sum(pc.greater(before, after)).as_py() or 0
        self._last_order = days[-1]


def _typed(texts: Mapping[str, Sequence[Any]], names: Mapping[str, str]) -> tuple[dict[str, pa.Array], pa.Array, pa.Array]:
    """Returns columns of `ROWS`, why a row cannot be used (null when it can), and the day that each row itself names."""
    columns: dict[str, pa.Array] = {name: trimmed(texts[name]) for name in CELLS[:LABELS]}
    transaction_on, odd_transaction_on = days_of(columns["transaction_on"])
    booked_on, odd_booked_on = days_of(columns["booked_on"])
    amount, odd_amount = money_of(columns["amount"])
    balance, odd_balance = money_of(columns["balance_after"])
    days = pc.min_element_wise(transaction_on, booked_on, skip_nulls=True)
    odd_currency = _unlike(columns["currency"], PLAIN_CURRENCY)
    reasons = _first_reason(
        (pa.array(texts["unusable"], TEXT), None),
        (pc.is_null(columns["amount"]), f"{names['amount']} is missing"),
        (odd_amount, f"{names['amount']} is not a plain decimal number of at most two decimals"),
        (odd_transaction_on, f"{names.get('transaction_on', 'the day')} is not a day"),
        (odd_booked_on, f"{names['booked_on']} is not a day"),
        (pc.is_null(days), "no day is given"),
        (odd_currency, "currency is not a code of three letters"),
    )
    extra = list(texts["extra"])
    for at in pc.indices_nonzero(odd_balance).to_pylist():
        extra[at] = {**(extra[at] or {}), names["balance_after"]: columns["balance_after"][at].as_py()}
    columns |= {
        "window_on": days,
        "transaction_on": transaction_on,
        "booked_on": booked_on,
        "amount": amount,
        "balance_after": balance,
        "currency": pc.ascii_upper(columns["currency"]),
        "party_iban": pc.replace_substring_regex(columns["party_iban"], r"\s+", ""),
        "labels": pa.array([_labels(tuple(labels)) if labels else None for labels in texts["labels"]], TEXT),
        "extra": pa.array([as_json(one) for one in extra], TEXT),
    }
    return columns, reasons, days


def _first_reason(*checks: tuple[pa.Array, str | None]) -> pa.Array:
    reasons = [
        found if text is None else pc.if_else(found, pa.scalar(text, TEXT), pa.scalar(None, TEXT)) for found, text in checks
    ]
    return pc.coalesce(*reasons)


def trimmed(texts: Sequence[str | None]) -> pa.Array:
    """Returns texts without the space around them; null for nothing."""
    found = pc.utf8_trim_whitespace(pa.array(texts, TEXT))
    return pc.if_else(pc.equal(found, ""), pa.scalar(None, TEXT), found)


def money_of(texts: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Returns `MONEY` from plain decimal texts, and which texts are something else (their value is null)."""
    bad = _unlike(texts, PLAIN_DECIMAL)
    return pc.if_else(bad, pa.scalar(None, TEXT), texts).cast(MONEY), bad


def days_of(texts: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Returns days from ISO texts, and which texts are something else (their value is null)."""
    bad = _unlike(texts, PLAIN_DAY)
    texts = pc.if_else(bad, pa.scalar(None, TEXT), texts)
    try:
        return texts.cast(DAY), bad
    except pa.ArrowInvalid:  # a 30th of February among them: look at each
        days = pa.array([day_of(text) for text in texts.to_pylist()], DAY)
        return days, pc.or_(bad, pc.and_(pc.is_valid(texts), pc.is_null(days)))


def day_of(text: str | None) -> date | None:
    """Returns one day from ISO text, or None."""
    if text is None or not re.fullmatch(PLAIN_DAY.strip("^$"), text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _unlike(texts: pa.Array, pattern: str) -> pa.Array:
    return pc.invert(pc.match_substring_regex(texts, pattern)).fill_null(False)


def _last_known(days: pa.Array, before: pa.Scalar) -> pa.Scalar:
    known = days.drop_null()
    return known[-1] if len(known) else before


def _neighbours(days: pa.Array, before: pa.Scalar) -> pa.Array:
    """Returns each row's day, else that of the nearest row before it, else of the nearest behind it."""
    if before.is_valid:
        return pc.fill_null_forward(pa.concat_arrays([pa.array([before.as_py()], DAY), days]))[1:]
    return pc.fill_null_backward(pc.fill_null_forward(days))


@lru_cache(maxsize=4096)
def _labels(labels: tuple[str | None, ...]) -> str | None:
    """Returns a JSON list of distinct labels in a fixed order; None for none."""
    found = {text for label in labels if label and (text := label.strip())}
    return json.dumps(sorted(found), ensure_ascii=False) if found else None
